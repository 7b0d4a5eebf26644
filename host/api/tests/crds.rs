//! What the definitions of the kinds promise: names, columns, validation, and that an API server can take them.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use resource_broker_api::all_crds;
use serde_json::{Value, json};

/// The definition called `PLURAL.GROUP`.
fn crd(name: &str) -> CustomResourceDefinition {
    all_crds()
        .into_iter()
        .map(|file| file.crd)
        .find(|crd| crd.metadata.name.as_deref() == Some(name))
        .unwrap_or_else(|| panic!("no kind {name}"))
}

/// The schema of the definition called `name`, or the part of it at `pointer`.
fn schema(name: &str, pointer: &str) -> Value {
    let crd = serde_json::to_value(crd(name)).unwrap();
    let whole = crd.pointer("/spec/versions/0/schema/openAPIV3Schema").unwrap();
    let found = whole.pointer(pointer);
    found.unwrap_or_else(|| panic!("{name} has no {pointer}")).clone()
}

fn spec(name: &str) -> Value {
    schema(name, "/properties/spec")
}

/// The columns of the definition called `name`: those always shown, or those of `-o wide` alone.
fn columns(name: &str, wide: bool) -> Vec<String> {
    let columns = crd(name).spec.versions[0].additional_printer_columns.clone().unwrap_or_default();
    columns
        .into_iter()
        .filter(|column| (column.priority.unwrap_or(0) > 0) == wide)
        .map(|column| column.name.to_uppercase())
        .collect()
}

/// Calls `look` on every object within `value`, with its path.
fn walk(value: &Value, path: &str, look: &mut impl FnMut(&str, &serde_json::Map<String, Value>)) {
    match value {
        Value::Object(object) => {
            look(path, object);
            for (key, inner) in object {
                walk(inner, &format!("{path}/{key}"), look);
            }
        }
        Value::Array(items) => {
            for (at, inner) in items.iter().enumerate() {
                walk(inner, &format!("{path}/{at}"), look);
            }
        }
        _ => {}
    }
}

#[test]
fn every_kind_is_there_in_its_place() {
    let paths: Vec<String> = all_crds().into_iter().map(|file| file.path).collect();
    assert_eq!(
        paths,
        [
            "ai.generic.platform-mesh.io/hostedmodels.yaml",
            "broker.platform-mesh.io/acceptapis.yaml",
            "broker.platform-mesh.io/assignments.yaml",
            "broker.platform-mesh.io/brokerclusters.yaml",
            "broker.platform-mesh.io/migrationconfigurations.yaml",
            "broker.platform-mesh.io/migrations.yaml",
            "broker.platform-mesh.io/plugins.yaml",
            "compute.generic.platform-mesh.io/kubernetesclusters.yaml",
            "compute.generic.platform-mesh.io/virtualmachines.yaml",
            "databases.generic.platform-mesh.io/keyvalues.yaml",
            "databases.generic.platform-mesh.io/nosqls.yaml",
            "databases.generic.platform-mesh.io/sqls.yaml",
            "databases.generic.platform-mesh.io/vectors.yaml",
            "example.platform-mesh.io/certificates.yaml",
            "example.platform-mesh.io/vms.yaml",
            "identity.generic.platform-mesh.io/certificates.yaml",
            "messaging.generic.platform-mesh.io/eventstreamings.yaml",
            "messaging.generic.platform-mesh.io/messagebrokers.yaml",
            "messaging.generic.platform-mesh.io/pubsubs.yaml",
            "networking.generic.platform-mesh.io/peerings.yaml",
            "networking.generic.platform-mesh.io/virtualnetworks.yaml",
            "operator.broker.platform-mesh.io/brokers.yaml",
            "storage.generic.platform-mesh.io/blocks.yaml",
            "storage.generic.platform-mesh.io/files.yaml",
            "storage.generic.platform-mesh.io/objects.yaml",
        ]
    );
}

#[test]
fn every_kind_is_namespaced_with_one_version_and_a_status_subresource() {
    for file in all_crds() {
        let spec = &file.crd.spec;
        assert_eq!(spec.scope, "Namespaced", "{}", file.path);
        let [version] = spec.versions.as_slice() else { panic!("{} has not one version", file.path) };
        assert_eq!((version.name.as_str(), version.served, version.storage), ("v1alpha1", true, true), "{}", file.path);
        assert!(version.subresources.as_ref().is_some_and(|sub| sub.status.is_some()), "{}", file.path);
        assert!(spec.names.short_names.as_ref().is_some_and(|names| names.len() == 1), "{}", file.path);
        let category = if spec.group.ends_with("broker.platform-mesh.io") { "broker" } else { "generic" };
        assert_eq!(spec.names.categories.as_deref(), Some(&[category.to_owned()][..]), "{}", file.path);
    }
}

#[test]
fn short_names_are_unique_and_nobodys_singular_or_plural() {
    let mut seen = std::collections::BTreeSet::new();
    let mut full = std::collections::BTreeSet::new();
    for file in all_crds() {
        let names = file.crd.spec.names;
        full.extend([names.plural, names.singular.unwrap_or_default()]);
        for short in names.short_names.unwrap_or_default() {
            assert!(seen.insert(short.clone()), "two kinds are called {short}");
        }
    }
    assert!(seen.is_disjoint(&full), "{seen:?} and {full:?} share a name");
}

#[test]
fn kinds_keep_their_spelling() {
    for (name, kind) in [
        ("acceptapis.broker.platform-mesh.io", "AcceptAPI"),
        ("sqls.databases.generic.platform-mesh.io", "SQL"),
        ("nosqls.databases.generic.platform-mesh.io", "NoSQL"),
        ("pubsubs.messaging.generic.platform-mesh.io", "PubSub"),
        ("vms.example.platform-mesh.io", "VM"),
    ] {
        assert_eq!(crd(name).spec.names.kind, kind);
    }
}

#[test]
fn schemas_are_structural() {
    for file in all_crds() {
        let json = serde_json::to_value(&file.crd).unwrap();
        let schema = json.pointer("/spec/versions/0/schema/openAPIV3Schema").unwrap();
        walk(schema, "", &mut |path, object| {
            // Below `properties` the keys are field names and may be anything.
            if path.ends_with("/properties") {
                return;
            }
            for refused in ["$ref", "$defs", "anyOf", "oneOf", "allOf", "not", "const", "if"] {
                assert!(!object.contains_key(refused), "{}: {refused} at {path}", file.path);
            }
            assert!(!object.contains_key("default"), "{}: a default at {path} would write into objects", file.path);
            assert!(!object.get("type").is_some_and(Value::is_array), "{}: several types at {path}", file.path);
            if let Some(format) = object.get("format").and_then(Value::as_str) {
                assert!(
                    ["int32", "int64", "double", "date-time"].contains(&format),
                    "{}: {format} at {path}",
                    file.path
                );
            }
        });
    }
}

#[test]
fn required_fields_are_those_of_the_contract() {
    for (name, required) in [
        ("acceptapis.broker.platform-mesh.io", json!(["gvr"])),
        ("migrations.broker.platform-mesh.io", json!(["from", "to"])),
        ("migrationconfigurations.broker.platform-mesh.io", json!(["from", "to"])),
        ("assignments.broker.platform-mesh.io", json!(["consumer", "provider"])),
        ("brokerclusters.broker.platform-mesh.io", json!(["name", "role"])),
        ("plugins.broker.platform-mesh.io", json!(["apis", "component"])),
        ("brokers.operator.broker.platform-mesh.io", Value::Null),
        ("hostedmodels.ai.generic.platform-mesh.io", json!(["modelID"])),
        ("kubernetesclusters.compute.generic.platform-mesh.io", json!(["version"])),
        ("virtualmachines.compute.generic.platform-mesh.io", Value::Null),
        ("sqls.databases.generic.platform-mesh.io", json!(["engine"])),
        ("nosqls.databases.generic.platform-mesh.io", json!(["engine"])),
        ("keyvalues.databases.generic.platform-mesh.io", json!(["engine"])),
        ("vectors.databases.generic.platform-mesh.io", json!(["engine"])),
        ("certificates.identity.generic.platform-mesh.io", Value::Null),
        ("pubsubs.messaging.generic.platform-mesh.io", Value::Null),
        ("eventstreamings.messaging.generic.platform-mesh.io", json!(["engine"])),
        ("messagebrokers.messaging.generic.platform-mesh.io", json!(["engine"])),
        ("virtualnetworks.networking.generic.platform-mesh.io", Value::Null),
        ("peerings.networking.generic.platform-mesh.io", json!(["localNetworkRef", "remoteNetworkRef"])),
        ("objects.storage.generic.platform-mesh.io", Value::Null),
        ("blocks.storage.generic.platform-mesh.io", json!(["size"])),
        ("files.storage.generic.platform-mesh.io", json!(["size"])),
        ("certificates.example.platform-mesh.io", Value::Null),
        ("vms.example.platform-mesh.io", Value::Null),
    ] {
        assert_eq!(spec(name).get("required").cloned().unwrap_or_default(), required, "{name}");
    }
}

#[test]
fn spec_fields_are_those_of_the_contract() {
    for (name, fields) in [
        ("acceptapis.broker.platform-mesh.io", &["copies", "filters", "gvr", "relatedResources"][..]),
        (
            "brokerclusters.broker.platform-mesh.io",
            &["fingerprint", "name", "previousFingerprints", "removed", "role", "source"],
        ),
        ("migrationconfigurations.broker.platform-mesh.io", &["from", "stages", "to"]),
        ("hostedmodels.ai.generic.platform-mesh.io", &["modelID", "runtime"]),
        ("kubernetesclusters.compute.generic.platform-mesh.io", &["nodeCount", "version"]),
        ("virtualmachines.compute.generic.platform-mesh.io", &["arch", "memory"]),
        ("sqls.databases.generic.platform-mesh.io", &["engine", "version"]),
        ("certificates.identity.generic.platform-mesh.io", &["fqdn"]),
        ("pubsubs.messaging.generic.platform-mesh.io", &["maxSize", "retentionSeconds"]),
        ("eventstreamings.messaging.generic.platform-mesh.io", &["engine", "partitions", "retentionHours"]),
        ("messagebrokers.messaging.generic.platform-mesh.io", &["engine", "instanceType", "version"]),
        ("virtualnetworks.networking.generic.platform-mesh.io", &["cidr", "region"]),
        (
            "peerings.networking.generic.platform-mesh.io",
            &["allowForwardedTraffic", "allowGatewayTransit", "localNetworkRef", "remoteNetworkRef"],
        ),
        ("objects.storage.generic.platform-mesh.io", &["region", "versioning"]),
        ("blocks.storage.generic.platform-mesh.io", &["size", "storageClass"]),
        ("files.storage.generic.platform-mesh.io", &["protocol", "size"]),
        (
            "brokers.operator.broker.platform-mesh.io",
            &[
                "annotations",
                "env",
                "extraArgs",
                "hostAliases",
                "image",
                "labels",
                "replicas",
                "resources",
                "securityContext",
                "serviceAccountName",
                "volumeMounts",
                "volumes",
            ],
        ),
    ] {
        let mut found: Vec<String> = spec(name)["properties"].as_object().unwrap().keys().cloned().collect();
        found.sort();
        assert_eq!(found, fields, "{name}");
    }
}

#[test]
fn a_filter_key_is_a_path_below_spec() {
    let filter = schema("acceptapis.broker.platform-mesh.io", "/properties/spec/properties/filters/items");
    assert_eq!(filter["required"], json!(["key"]));
    let key = &filter["properties"]["key"];
    assert_eq!(key["minLength"], 1);
    let rule = &key["x-kubernetes-validations"][0];
    assert_eq!(rule["rule"], "!self.startsWith('spec.')");
    assert!(rule["message"].as_str().unwrap().contains("drop the leading 'spec.'"), "{rule}");
    assert_eq!(filter["properties"]["boundary"]["properties"]["min"]["type"], "number");
    assert_eq!(filter["properties"]["with"]["x-kubernetes-preserve-unknown-fields"], true);
}

#[test]
fn states_are_closed_lists() {
    let generic = schema("vms.example.platform-mesh.io", "/properties/status/properties/status/enum");
    let mut states: Vec<&str> = generic.as_array().unwrap().iter().filter_map(Value::as_str).collect();
    states.sort_unstable();
    let known = ["", "Available", "Degraded", "Deleting", "Failed", "Provisioning", "Unavailable", "Unknown"];
    assert_eq!(states, known);

    let migration = schema("migrations.broker.platform-mesh.io", "/properties/status/properties/state/enum");
    for state in
        ["", "Pending", "InitialInProgress", "InitialCompleted", "CutoverInProgress", "CutoverCompleted", "Failed"]
    {
        assert!(migration.as_array().unwrap().contains(&json!(state)), "{state} in {migration}");
    }

    let roles = schema("plugins.broker.platform-mesh.io", "/properties/spec/properties/roles/items/enum");
    assert_eq!(roles, json!(["accept-filter", "status-transformer", "migration-template"]));
}

#[test]
fn conditions_are_one_for_each_type() {
    for file in all_crds() {
        let crd = serde_json::to_value(&file.crd).unwrap();
        let conditions = crd
            .pointer("/spec/versions/0/schema/openAPIV3Schema/properties/status/properties/conditions")
            .unwrap_or_else(|| panic!("{} has no conditions", file.path));
        assert_eq!(conditions["x-kubernetes-list-type"], "map", "{}", file.path);
        assert_eq!(conditions["x-kubernetes-list-map-keys"], json!(["type"]), "{}", file.path);
        assert_eq!(conditions["items"]["properties"]["status"]["enum"], json!(["True", "False", "Unknown"]));
    }
}

#[test]
fn columns_answer_the_question() {
    for (name, shown) in [
        ("acceptapis.broker.platform-mesh.io", &["RESOURCE", "VALID", "OBJECTS", "AGE"][..]),
        (
            "assignments.broker.platform-mesh.io",
            &["KIND", "CONSUMER", "OBJECT", "PROVIDER", "ACCEPTED", "SYNCED", "READY", "AGE"],
        ),
        ("migrations.broker.platform-mesh.io", &["FROM", "TO", "STATE", "STAGE", "AGE"]),
        ("plugins.broker.platform-mesh.io", &["READY", "ROLES", "APIS", "DIGEST", "AGE"]),
        ("sqls.databases.generic.platform-mesh.io", &["STATUS", "READY", "PROVIDER", "AGE"]),
        ("certificates.example.platform-mesh.io", &["STATUS", "READY", "PROVIDER", "AGE"]),
    ] {
        assert_eq!(columns(name, false), shown, "{name}");
        assert!(!columns(name, true).is_empty(), "{name} shows nothing more with -o wide");
    }
}

#[test]
fn objects_survive_the_types() {
    let offer = json!({
        "apiVersion": "broker.platform-mesh.io/v1alpha1",
        "kind": "AcceptAPI",
        "metadata": { "name": "small", "namespace": "default" },
        "spec": {
            "gvr": { "group": "example.platform-mesh.io", "version": "v1alpha1", "resource": "vms" },
            "filters": [
                { "key": "arch", "valueIn": ["x86_64"], "boundary": {}, "suffix": "" },
                { "key": "memory", "boundary": { "min": 512, "max": 4096.5 } },
                { "key": "image", "with": { "semver": ">=15, <18", "deep": { "list": [1, null, "a"] } } },
            ],
        },
    });
    let read: resource_broker_api::AcceptApi = serde_json::from_value(offer.clone()).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), offer, "nothing is added, lost or rewritten");
}
