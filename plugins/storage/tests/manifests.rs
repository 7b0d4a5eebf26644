//! What the stages deploy.

use resource_broker_plugin_storage::Storage;
use resource_broker_sdk::{Document, Endpoint, MigrationContext, MigrationTemplate as _, Mirrored};
use serde_json::{Value, json};

fn end(name: &str, kind: &str, related: &str) -> Endpoint {
    Endpoint {
        provider: format!("provider#{name}"),
        api_version: "storage.generic.platform-mesh.io/v1alpha1".to_owned(),
        kind: kind.to_owned(),
        namespace: "data".to_owned(),
        name: "a-data".to_owned(),
        related: vec![Mirrored {
            key: "data".to_owned(),
            api_version: "v1".to_owned(),
            kind: related.to_owned(),
            name: format!("{name}-data"),
        }],
    }
}

/// The pod of the stage `bulk` between two ends, of each its spec and the kind of its related resource.
fn pod(kind: &str, old: &(Value, &str), new: &(Value, &str)) -> Value {
    let context = MigrationContext {
        id: "m1".to_owned(),
        namespace: "compute".to_owned(),
        configuration: Document::from(json!({})),
        old: end("from", kind, old.1),
        new: end("to", kind, new.1),
    };
    let (old, new) = (Document::from(json!({ "spec": old.0 })), Document::from(json!({ "spec": new.0 })));
    let mut manifests = Storage::render(&context, &old, &new, "bulk").unwrap();
    assert_eq!(manifests.len(), 1);
    manifests.remove(0).body["spec"]["template"]["spec"].take()
}

fn variable<'v>(pod: &'v Value, name: &str) -> Option<&'v str> {
    let variables = pod["containers"][0]["env"].as_array()?;
    variables.iter().find(|variable| variable["name"] == name)?["value"].as_str()
}

#[test]
fn buckets_need_no_privileges() {
    let pod = pod("Object", &(json!({}), "Secret"), &(json!({}), "ConfigMap"));
    assert_eq!(pod["securityContext"]["runAsNonRoot"], json!(true));
    assert_eq!(pod["containers"][0]["securityContext"]["capabilities"], json!({"drop": ["ALL"]}));
    assert_eq!(variable(&pod, "ACCESS_KEY_KEYS"), Some("accessKeyID AWS_ACCESS_KEY_ID accessKey access_key"));
    assert_eq!(variable(&pod, "TRANSFERS"), Some("16"));
}

#[test]
fn claims_are_mounted_by_the_kubelet_the_old_one_read_only() {
    let claim = (json!({"protocol": "cephfs"}), "PersistentVolumeClaim");
    let pod = pod("File", &claim, &claim);
    let volumes = &pod["volumes"].as_array().unwrap()[1..];
    let claim = |name, read_only| json!({"claimName": name, "readOnly": read_only});
    assert_eq!(volumes[0]["persistentVolumeClaim"], claim("from-data", true));
    assert_eq!(volumes[1]["persistentVolumeClaim"], claim("to-data", false));
    let mounts = &pod["containers"][0]["volumeMounts"].as_array().unwrap()[1..];
    assert_eq!(mounts[0], json!({"name": "claim-0", "mountPath": "/mnt/from", "readOnly": true}));
    assert_eq!(mounts[1], json!({"name": "claim-1", "mountPath": "/mnt/to", "readOnly": false}));
    assert_eq!((variable(&pod, "CLAIMED_from"), variable(&pod, "CLAIMED_to")), (Some("true"), Some("true")));
    let container = &pod["containers"][0]["securityContext"];
    assert_eq!(container["capabilities"]["drop"], json!(["ALL"]));
    assert!(!container["capabilities"]["add"].as_array().unwrap().contains(&json!("SYS_ADMIN")));
}

#[test]
fn only_a_pod_that_mounts_itself_may_mount() {
    let pod = pod(
        "File",
        &(json!({"protocol": "NFSv4.1"}), "Secret"),
        &(json!({"protocol": "cifs"}), "PersistentVolumeClaim"),
    );
    assert!(
        pod["containers"][0]["securityContext"]["capabilities"]["add"]
            .as_array()
            .unwrap()
            .contains(&json!("SYS_ADMIN"))
    );
    assert_eq!((variable(&pod, "CLAIMED_from"), variable(&pod, "CLAIMED_to")), (Some("false"), Some("true")));
    assert_eq!((variable(&pod, "PROTOCOL_from"), variable(&pod, "NFS_VERSION_from")), (Some("nfs"), Some("4.1")));
    assert_eq!(variable(&pod, "PROTOCOL_to"), None);
}
