//! What the stages deploy.

use resource_broker_plugin_databases::Databases;
use resource_broker_sdk::testing::with_settings;
use resource_broker_sdk::{Document, Endpoint, MigrationContext, MigrationTemplate as _, Mirrored};
use serde_json::{Value, json};

fn end(name: &str, related: &[(&str, &str)]) -> Endpoint {
    let mirrored = |(key, kind): &(&str, &str)| Mirrored {
        key: (*key).to_owned(),
        api_version: "v1".to_owned(),
        kind: (*kind).to_owned(),
        name: format!("{name}-{key}"),
    };
    Endpoint {
        provider: format!("provider#{name}"),
        api_version: "databases.generic.platform-mesh.io/v1alpha1".to_owned(),
        kind: "SQL".to_owned(),
        namespace: "dbs".to_owned(),
        name: "a-shop".to_owned(),
        related: related.iter().map(mirrored).collect(),
    }
}

/// The only manifest of a stage; both ends have a Secret, a `ConfigMap` and something that is neither.
fn render(settings: &Value, configuration: Value, old: &Value, new: &Value, stage: &str) -> Value {
    let related = [("ca", "ConfigMap"), ("credentials", "Secret"), ("ingress", "Ingress")];
    let context = MigrationContext {
        id: "m1".to_owned(),
        namespace: "compute".to_owned(),
        configuration: Document::from(configuration),
        old: end("from", &related),
        new: end("to", &related),
    };
    let (old, new) = (Document::from(json!({ "spec": old })), Document::from(json!({ "spec": new })));
    let mut manifests =
        with_settings(&settings.to_string(), || Databases::render(&context, &old, &new, stage)).unwrap();
    assert_eq!(manifests.len(), 1);
    manifests.remove(0).body
}

fn postgres(settings: &Value, configuration: Value) -> Value {
    render(
        settings,
        configuration,
        &json!({"engine": "pg", "version": "15"}),
        &json!({"engine": "pg", "version": "16.4"}),
        "copy",
    )
}

fn variable<'v>(job: &'v Value, name: &str) -> Option<&'v str> {
    let variables = job.pointer("/spec/template/spec/containers/0/env")?.as_array()?;
    variables.iter().find(|variable| variable["name"] == name)?["value"].as_str()
}

#[test]
fn a_job_finds_both_ends_credentials_as_files() {
    let job = postgres(&json!({}), json!({}));
    assert_eq!((&job["apiVersion"], &job["kind"]), (&json!("batch/v1"), &json!("Job")));
    let pod = &job["spec"]["template"]["spec"];
    let volumes = json!([
        {"name": "work", "emptyDir": {"sizeLimit": "10Gi"}},
        {"name": "from-0", "configMap": {"name": "from-ca"}},
        {"name": "from-1", "secret": {"secretName": "from-credentials"}},
        {"name": "to-0", "configMap": {"name": "to-ca"}},
        {"name": "to-1", "secret": {"secretName": "to-credentials"}},
    ]);
    assert_eq!(pod["volumes"], volumes);
    let mounts = json!([
        {"name": "work", "mountPath": "/work"},
        {"name": "from-0", "mountPath": "/from/0", "readOnly": true},
        {"name": "from-1", "mountPath": "/from/1", "readOnly": true},
        {"name": "to-0", "mountPath": "/to/0", "readOnly": true},
        {"name": "to-1", "mountPath": "/to/1", "readOnly": true},
    ]);
    assert_eq!(pod["containers"][0]["volumeMounts"], mounts);
    assert_eq!(variable(&job, "HOST_KEYS"), Some("host hostname endpoint"));
    assert_eq!(variable(&job, "API_KEY_KEYS"), Some("api-key apiKey apikey"));
    assert_eq!(variable(&job, "FREEZE"), Some("true"));
}

#[test]
fn a_pod_may_do_no_more_than_it_has_to() {
    let job = postgres(&json!({}), json!({}));
    let pod = &job["spec"]["template"]["spec"];
    assert_eq!(pod["automountServiceAccountToken"], json!(false));
    assert_eq!(pod["securityContext"]["runAsNonRoot"], json!(true));
    let container = &pod["containers"][0]["securityContext"];
    assert_eq!(container["allowPrivilegeEscalation"], json!(false));
    assert_eq!(container["capabilities"], json!({"drop": ["ALL"]}));
    assert_eq!(container["readOnlyRootFilesystem"], json!(true));
}

#[test]
fn the_client_has_the_new_version() {
    let image = |old: Value, new: Value| {
        let job = render(&json!({}), json!({}), &old, &new, "copy");
        job["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap().to_owned()
    };
    let of = |engine: &str, version: Option<&str>| json!({"engine": engine, "version": version});
    for (engine, version, expected) in [
        ("postgres", Some("16.4"), "postgres:16"),
        ("postgres", None, "postgres:17"),
        ("mysql", Some("8.0.36"), "mysql:8.0"),
        ("mysql", Some("8"), "mysql:8"),
        ("mariadb", Some("10.11"), "mariadb:10.11"),
        ("mongodb", Some("v7.0.5"), "mongo:7.0"),
    ] {
        assert_eq!(image(of(engine, None), of(engine, version)), expected, "{engine} {version:?}");
    }
}

#[test]
fn what_somebody_writes_as_version_never_becomes_an_image() {
    let spec = json!({"engine": "postgres", "version": "16-evil.example"});
    let job = render(&json!({}), json!({}), &spec, &spec, "copy");
    assert_eq!(job["spec"]["template"]["spec"]["containers"][0]["image"], json!("postgres:16"));
}

#[test]
fn redis_is_made_to_follow_in_both_stages() {
    let spec = json!({"engine": "redis", "version": "7.2"});
    for stage in ["replicate", "promote"] {
        let job = render(&json!({}), json!({}), &spec, &spec, stage).to_string();
        assert!(job.contains(r#"cli to REPLICAOF \"$from_host\""#), "{stage}");
    }
}

#[test]
fn settings_are_in_every_job() {
    let settings = json!({"migration": {"freeze": false, "tls": "require", "pods": {
        "images": {"postgres": "example/postgres:1"},
        "resources": {"limits": {"memory": "1Gi"}},
        "scratch": {"size": "100Gi", "storageClassName": "fast"},
        "serviceAccountName": "mover",
        "nodeSelector": {"disk": "large"},
        "tolerations": [{"key": "batch"}],
        "imagePullSecrets": ["pull"],
        "backoffLimit": 1,
        "timeoutSeconds": 600,
        "related": ["credentials"],
        "keys": {"host": ["address"]},
    }}});
    let job = postgres(&settings, json!({}));
    assert_eq!(job["spec"]["backoffLimit"], json!(1));
    assert_eq!(job["spec"]["activeDeadlineSeconds"], json!(600));
    let pod = &job["spec"]["template"]["spec"];
    assert_eq!(pod["serviceAccountName"], json!("mover"));
    assert_eq!(pod["nodeSelector"], json!({"disk": "large"}));
    assert_eq!(pod["tolerations"], json!([{"key": "batch"}]));
    assert_eq!(pod["imagePullSecrets"], json!([{"name": "pull"}]));
    assert_eq!(pod["containers"][0]["image"], json!("example/postgres:1"));
    assert_eq!(pod["containers"][0]["resources"], json!({"limits": {"memory": "1Gi"}}));
    let claim = &pod["volumes"][0]["ephemeral"]["volumeClaimTemplate"]["spec"];
    assert_eq!(claim["storageClassName"], json!("fast"));
    assert_eq!(claim["resources"], json!({"requests": {"storage": "100Gi"}}));
    assert_eq!(pod["volumes"].as_array().unwrap().len(), 3, "only the related resource that is named");
    assert_eq!(variable(&job, "HOST_KEYS"), Some("address"));
    assert_eq!(variable(&job, "FREEZE"), Some("false"));
    assert_eq!(variable(&job, "TLS"), Some("require"));
}

#[test]
fn a_migration_configuration_is_merged_over_it() {
    let template =
        json!({"spec": {"backoffLimit": 0, "template": {"spec": {"securityContext": null, "hostUsers": false}}}});
    let stages = json!({"stages": [{"name": "copy", "timeout": "1m", "templates": {"copy": template}}]});
    let job = postgres(&json!({}), stages);
    assert_eq!(job["spec"]["backoffLimit"], json!(0));
    assert_eq!(job["spec"]["activeDeadlineSeconds"], json!(60));
    let pod = &job["spec"]["template"]["spec"];
    assert_eq!(pod.get("securityContext"), None);
    assert_eq!(pod["hostUsers"], json!(false));
    assert_eq!(pod["containers"][0]["name"], json!("copy"), "what is not named stays");
}
