//! What the README shows is what the plugin takes.

use resource_broker_plugin_databases::Databases;
use resource_broker_plugin_kit::readme;
use resource_broker_sdk::Plugin as _;

const README: &str = include_str!("../README.md");

#[test]
fn its_examples_are_welcome() {
    let mut problems = readme::problems::<Databases>(README);
    problems.extend(readme::migration_problems::<Databases>(README));
    assert!(problems.is_empty(), "{}", problems.join("\n\n"));
}

#[test]
fn the_schema_of_the_settings_is_in_it() {
    let schema = Databases::SETTINGS_SCHEMA.unwrap_or_default().trim();
    assert!(README.contains(&format!("```json\n{schema}\n```")), "copy settings.schema.json into the README");
}
