//! Runs the plugin's cases natively; `resource-broker plugin test` runs the same ones through the sandbox.

use resource_broker_plugin_standard_migration::StandardMigration;
use resource_broker_sdk::testing::Harness;

#[test]
fn cases() {
    Harness::<StandardMigration>::new().migration_template().run("cases");
}
