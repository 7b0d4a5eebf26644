//! Runs the plugin's cases natively; `resource-broker plugin test` runs the same ones through the sandbox.

use resource_broker_plugin_compute::Compute;
use resource_broker_sdk::testing::Harness;

#[test]
fn cases() {
    Harness::<Compute>::new().accept_filter().status_transformer().migration_template().run("cases");
}
