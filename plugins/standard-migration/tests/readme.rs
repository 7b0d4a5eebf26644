//! What the README shows is what the plugin takes.

use resource_broker_plugin_kit::readme;
use resource_broker_plugin_standard_migration::StandardMigration;

#[test]
fn its_examples_are_welcome() {
    let problems = readme::migration_problems::<StandardMigration>(include_str!("../README.md"));
    assert!(problems.is_empty(), "{}", problems.join("\n\n"));
}
