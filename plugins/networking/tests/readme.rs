//! What the README shows is what the plugin takes.

use resource_broker_plugin_kit::readme;
use resource_broker_plugin_networking::Networking;

#[test]
fn the_readme_shows_what_the_plugin_takes() {
    let problems = readme::problems::<Networking>(include_str!("../README.md"));
    assert!(problems.is_empty(), "{}", problems.join("\n\n"));
}
