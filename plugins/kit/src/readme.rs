//! For a plugin's own tests: whether the YAML that its README shows is what the plugin takes.

use resource_broker_sdk::{AcceptFilter, Document, Error, MigrationTemplate};
use serde_json::{Map, Value};

/// What the API server takes.
const CRD: &str = include_str!("../../../crds/broker.platform-mesh.io/migrationconfigurations.yaml");

/// What is wrong with a README's offers (documents of the kind `AcceptAPI`) and settings (those without a kind); a README
/// without one of each is wrong as well.
pub fn problems<P: AcceptFilter>(readme: &str) -> Vec<String> {
    let (documents, mut problems) = documents(readme);
    let (mut offers, mut settings) = (0, 0);
    for document in &documents {
        let judged = match document["kind"].as_str() {
            Some("AcceptAPI") => {
                offers += 1;
                let filters = document["spec"]["filters"].as_array().map(Vec::as_slice).unwrap_or_default();
                P::validate(&filters.iter().map(Value::to_string).collect::<Vec<_>>())
            }
            Some(_) => Ok(()),
            None => {
                settings += 1;
                P::validate_settings(&document.to_string())
            }
        };
        problems.extend(refusal(document, judged));
    }
    for (what, count) in [("offer", offers), ("settings", settings)] {
        if count == 0 {
            problems.push(format!("the README has no example of {what}"));
        }
    }
    problems
}

/// What is wrong with a README's documents of the kind `MigrationConfiguration`, for the plugin and for the API server; one
/// without any is wrong as well.
pub fn migration_problems<P: MigrationTemplate>(readme: &str) -> Vec<String> {
    let (documents, mut problems) = documents(readme);
    let of_kind = documents.iter().filter(|document| document["kind"] == "MigrationConfiguration");
    let configurations: Vec<&Value> = of_kind.collect();
    for configuration in &configurations {
        problems.extend(refusal(configuration, P::validate(&Document::from(&configuration["spec"]))));
        problems.extend(misfits_of(configuration));
    }
    if configurations.is_empty() {
        problems.push("the README has no example of a MigrationConfiguration".to_owned());
    }
    problems
}

fn refusal(document: &Value, judged: Result<(), Error>) -> Option<String> {
    judged.err().map(|error| format!("{error}, in {document}"))
}

/// What the API server would refuse or drop of a `MigrationConfiguration`.
fn misfits_of(configuration: &Value) -> Vec<String> {
    let crd: Value = match serde_yaml::from_str(CRD) {
        Ok(crd) => crd,
        Err(error) => return vec![format!("the CRD cannot be read: {error}")],
    };
    let (group, version) = (&crd["spec"]["group"], &crd["spec"]["versions"][0]);
    let mut misfits = Vec::new();
    let expected = [group, &version["name"]].map(|part| part.as_str().unwrap_or_default()).join("/");
    if configuration["apiVersion"] != expected.as_str() {
        misfits.push(format!("apiVersion: it has to be {expected}"));
    }
    for field in ["name", "namespace"].into_iter().filter(|field| !configuration["metadata"][*field].is_string()) {
        misfits.push(format!("metadata.{field}: it is missing"));
    }
    compare(&version["schema"]["openAPIV3Schema"]["properties"]["spec"], &configuration["spec"], "spec", &mut misfits);
    misfits.into_iter().map(|misfit| format!("{misfit}, in {configuration}")).collect()
}

/// Holds a value against its part of the CRD's schema. Patterns are left to the plugin, which reads what they are for.
fn compare(schema: &Value, value: &Value, path: &str, misfits: &mut Vec<String>) {
    let kind = match value {
        Value::Null if schema["nullable"] == true => return,
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    if schema["type"] != kind {
        misfits.push(format!("{path}: it is of the type {kind}, and has to be {}", schema["type"]));
        return;
    }
    if schema["enum"].as_array().is_some_and(|values| !values.contains(value)) {
        misfits.push(format!("{path}: {value} is none of {}", schema["enum"]));
    }
    match value {
        Value::Object(fields) => compare_fields(schema, fields, path, misfits),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                compare(&schema["items"], item, &format!("{path}.{index}"), misfits);
            }
        }
        _ => {}
    }
}

fn compare_fields(schema: &Value, fields: &Map<String, Value>, path: &str, misfits: &mut Vec<String>) {
    for field in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !fields.contains_key(field) {
            misfits.push(format!("{path}.{field}: it is missing"));
        }
    }
    for (name, value) in fields {
        let path = format!("{path}.{name}");
        match [&schema["properties"][name], &schema["additionalProperties"]].into_iter().find(|it| it.is_object()) {
            Some(schema) => compare(schema, value, &path, misfits),
            None if schema["x-kubernetes-preserve-unknown-fields"] == true => {}
            None => misfits.push(format!("{path}: there is no such field, and the API server drops it")),
        }
    }
}

/// The blocks of YAML, and what cannot be read of them.
fn documents(readme: &str) -> (Vec<Value>, Vec<String>) {
    let (mut documents, mut problems) = (Vec::new(), Vec::new());
    for block in readme.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()) {
        match serde_yaml::from_str(block) {
            Ok(document) => documents.push(document),
            Err(error) => problems.push(format!("{error}, in {block}")),
        }
    }
    (documents, problems)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_the_api_server_does_not_take_is_found() {
        let kind = json!({"group": "g.example", "version": "v1", "kind": "K"});
        let with = |stage: Value| {
            let spec = json!({"from": kind, "to": kind, "stages": [stage]});
            json!({"apiVersion": "broker.platform-mesh.io/v1alpha1", "metadata": {"name": "a", "namespace": "b"}, "spec": spec})
        };
        let template = json!({"spec": {"backoffLimit": 0, "anything": null}});
        let fine = json!({"name": "copy", "timeout": "1h", "approval": "required", "templates": {"copy": template}});
        assert_eq!(misfits_of(&with(fine)), [""; 0]);
        for (stage, expected) in [
            (json!({"name": "copy", "timeoutSeconds": 1}), "spec.stages.0.timeoutSeconds: there is no such field"),
            (json!({"name": "copy", "approval": true}), "spec.stages.0.approval: it is of the type boolean"),
            (json!({"name": "copy", "approval": "yes"}), "spec.stages.0.approval: \"yes\" is none of"),
            (json!({"timeout": "1h"}), "spec.stages.0.name: it is missing"),
        ] {
            let misfits = misfits_of(&with(stage));
            assert!(misfits.len() == 1 && misfits[0].starts_with(expected), "{misfits:?}");
        }
        let bare = json!({"apiVersion": "v1", "spec": {"from": kind, "to": kind}});
        assert_eq!(misfits_of(&bare).len(), 3);
    }
}
