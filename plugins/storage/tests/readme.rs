//! What the README shows is what the plugin takes.

use resource_broker_plugin_kit::readme;
use resource_broker_plugin_storage::Storage;
use resource_broker_sdk::Plugin as _;

const README: &str = include_str!("../README.md");

#[test]
fn its_examples_are_welcome() {
    let mut problems = readme::problems::<Storage>(README);
    problems.extend(readme::migration_problems::<Storage>(README));
    assert!(problems.is_empty(), "{}", problems.join("\n\n"));
}

#[test]
fn the_schema_of_the_settings_is_in_it() {
    let schema = Storage::SETTINGS_SCHEMA.unwrap_or_default().trim();
    assert!(README.contains(&format!("```json\n{schema}\n```")), "copy settings.schema.json into the README");
}
