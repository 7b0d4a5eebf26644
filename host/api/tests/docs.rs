//! The pages below `docs/` name everything that this crate makes public, and only files and tests that exist.

use std::path::Path;

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

#[test]
fn every_rule_names_a_file_and_a_test_that_exist() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let read =
        |path: &str| std::fs::read_to_string(repository.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    let page = read("docs/rules.md");
    let rows: Vec<Vec<&str>> = page
        .lines()
        .filter(|line| line.starts_with('|') && line.contains('`'))
        .map(|line| line.trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`')).collect())
        .filter(|cells: &Vec<&str>| cells.last().is_some_and(|cell| cell.contains("::")))
        .collect();
    assert!(rows.len() >= 25, "{} rules", rows.len());
    for row in rows {
        let [rule, file, test] = row[..] else { panic!("not a rule, a file and a test: {row:?}") };
        assert!(repository.join(file).is_file(), "{rule}: there is no {file}");
        let Some((path, name)) = test.split_once("::") else { panic!("{rule}: {test} names no test") };
        assert!(read(path).contains(&format!("fn {name}(")), "{rule}: {path} has no test {name}");
    }
}
