//! What the stages deploy.

use resource_broker_plugin_messaging::Messaging;
use resource_broker_sdk::testing::with_settings;
use resource_broker_sdk::{Document, Endpoint, MigrationContext, MigrationTemplate as _, Mirrored};
use serde_json::{Value, json};

fn end(name: &str) -> Endpoint {
    Endpoint {
        provider: format!("provider#{name}"),
        api_version: "messaging.generic.platform-mesh.io/v1alpha1".to_owned(),
        kind: "MessageBroker".to_owned(),
        namespace: "shop".to_owned(),
        name: "a-bus".to_owned(),
        related: vec![Mirrored {
            key: "user".to_owned(),
            api_version: "v1".to_owned(),
            kind: "Secret".to_owned(),
            name: format!("{name}-bus"),
        }],
    }
}

fn render(settings: &Value, engine: &str, stage: &str) -> Vec<(String, Value)> {
    let context = MigrationContext {
        id: "m1".to_owned(),
        namespace: "compute".to_owned(),
        configuration: Document::from(json!({})),
        old: end("from"),
        new: end("to"),
    };
    let copy = Document::from(json!({"spec": {"engine": engine}}));
    let manifests = with_settings(&settings.to_string(), || Messaging::render(&context, &copy, &copy, stage)).unwrap();
    manifests.into_iter().map(|manifest| (manifest.name, manifest.body)).collect()
}

fn variable<'v>(body: &'v Value, name: &str) -> Option<&'v str> {
    let variables = body["spec"]["template"]["spec"]["containers"][0]["env"].as_array()?;
    variables.iter().find(|variable| variable["name"] == name)?["value"].as_str()
}

#[test]
fn the_mirror_is_a_deployment_whose_selector_finds_its_pods_alone() {
    let manifests = render(&json!({}), "kafka", "mirror");
    let (name, mirror) = &manifests[0];
    assert_eq!((name.as_str(), &mirror["kind"]), ("mirror", &json!("Deployment")));
    assert_eq!(mirror["spec"]["selector"]["matchLabels"], mirror["spec"]["template"]["metadata"]["labels"]);
    assert_eq!(mirror["spec"]["selector"]["matchLabels"]["app.kubernetes.io/instance"], json!("m1"));
    assert_eq!(mirror["spec"]["template"]["spec"]["restartPolicy"], json!("Always"));
    assert_eq!((variable(mirror, "TOPICS"), variable(mirror, "REPLICATION")), (Some(".*"), Some("3")));
}

#[test]
fn caught_up_allows_a_lag_and_drained_none() {
    let settings = json!({"migration": {"maxLag": 50, "quietSeconds": 120, "kafka": {"topics": "orders"}}});
    let watch = |stage: &str| render(&settings, "kafka", stage).remove(1);
    let (name, job) = watch("mirror");
    assert_eq!((name.as_str(), &job["kind"]), ("caught-up", &json!("Job")));
    assert_eq!((variable(&job, "MAX_LAG"), variable(&job, "QUIET_SECONDS")), (Some("50"), Some("0")));
    let (name, job) = watch("drain");
    assert_eq!(name, "drained");
    assert_eq!((variable(&job, "MAX_LAG"), variable(&job, "QUIET_SECONDS")), (Some("0"), Some("120")));
    assert_eq!(variable(&job, "TOPICS"), Some("orders"));
}

#[test]
fn rabbitmq_is_moved_by_one_program_with_two_stages() {
    let settings = json!({"migration": {"rabbitmq": {"vhost": "shop", "managementPort": 443}}});
    for (stage, name, argument) in [("prepare", "prepare", "prepare"), ("drain", "drained", "drain")] {
        let (found, job) = render(&settings, "rabbitmq", stage).remove(0);
        assert_eq!(found, name);
        let command = job["spec"]["template"]["spec"]["containers"][0]["command"].as_array().unwrap();
        assert_eq!((&command[0], command.len()), (&json!("python3"), 3));
        assert_eq!(variable(&job, "STAGE"), Some(argument));
        assert_eq!((variable(&job, "VHOST"), variable(&job, "MANAGEMENT_PORT")), (Some("shop"), Some("443")));
    }
}
