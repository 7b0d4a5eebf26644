//! The pages for users name everything that this crate makes public.

use resource_broker_api::all_crds;

const CONDITIONS: &str = include_str!("../src/conditions.rs");
const USAGE: &str = include_str!("../../../docs/usage.md");
const MIGRATIONS: &str = include_str!("../../../docs/migrations.md");
const KINDS: &str = include_str!("../../../docs/kinds.md");

#[test]
fn every_condition_and_reason_is_documented() {
    let names: Vec<&str> = CONDITIONS
        .lines()
        .filter(|line| line.trim_start().starts_with("pub const "))
        .filter_map(|line| line.split('"').nth(1))
        .collect();
    assert!(names.len() > 20, "{names:?}");
    for name in names {
        let is_there = [USAGE, MIGRATIONS].iter().any(|page| page.contains(&format!("`{name}`")));
        assert!(is_there, "neither docs/usage.md nor docs/migrations.md has {name}");
    }
}

#[test]
fn every_kind_and_short_name_of_the_broker_is_documented() {
    for file in all_crds() {
        let names = file.crd.spec.names;
        assert!(KINDS.contains(&format!("`{}`", names.kind)), "docs/kinds.md does not have {}", names.kind);
        if names.categories.is_some_and(|categories| categories.contains(&"broker".to_owned())) {
            for short in names.short_names.unwrap_or_default() {
                assert!(KINDS.contains(&format!("(`{short}`)")), "docs/kinds.md does not have {short}");
            }
        }
    }
}
