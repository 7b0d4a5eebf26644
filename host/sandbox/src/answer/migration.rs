//! What plugins answer about migrations, checked: it becomes names and objects in the compute cluster.

use std::collections::HashSet;

use resource_broker_plugin_types::{Manifest, Stage};
use serde_json::{Map, Value};

use crate::text;

/// The most stages of a migration, and the most manifests of a stage.
const COUNT: usize = 64;
/// The longest DNS label, which the value of a label on an object may be too.
const LABEL: usize = 63;
/// The longest name of an object.
const NAME: usize = 253;
/// How much of a wrong name is shown, in characters.
const SHOWN: usize = 80;
/// What the broker's own labels and annotations begin with.
const OWN: &str = "broker.platform-mesh.io/";

/// Stages that can be kept apart by their names; or else what is wrong with them.
pub(crate) fn stages(stages: Vec<Stage>) -> Result<Vec<Stage>, String> {
    check_names("stage", stages.iter().map(|stage| stage.name.as_str()))?;
    Ok(stages)
}

/// Manifests that may be deployed as `ID-NAME`; or else what is wrong with them. Whether a kind lives in a namespace is for
/// the host to find out.
pub(crate) fn manifests(manifests: Vec<Manifest>, id: &str) -> Result<Vec<Manifest>, String> {
    check_names("manifest", manifests.iter().map(|manifest| manifest.name.as_str()))?;
    for Manifest { name, body } in &manifests {
        if id.len() + 1 + name.len() > NAME {
            return Err(format!("manifest {name}, whose object's name {id}-{name} is longer than {NAME} characters"));
        }
        check_body(body).map_err(|problem| format!("manifest {name}, {problem}"))?;
    }
    Ok(manifests)
}

fn check_names<'n>(what: &str, names: impl ExactSizeIterator<Item = &'n str>) -> Result<(), String> {
    if names.len() > COUNT {
        return Err(format!("{} {what}s, more than {COUNT}", names.len()));
    }
    let mut seen = HashSet::new();
    for name in names {
        if !is_label(name) {
            let name = text::clean(name, SHOWN);
            return Err(format!(
                "a {what} called {name:?}, which has to be at most {LABEL} lower-case letters, digits and dashes, with no \
                 dash at either end"
            ));
        }
        if !seen.insert(name) {
            return Err(format!("two {what}s called {name}"));
        }
    }
    Ok(())
}

/// A name that is a part of other names and paths: nothing in it may mean anything there.
fn is_label(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    name.len() <= LABEL
        && name.bytes().all(|byte| plain(byte) || byte == b'-')
        && name.bytes().next().is_some_and(plain)
        && name.bytes().last().is_some_and(plain)
}

fn check_body(body: &str) -> Result<(), String> {
    // The parser refuses what is nested deeper than 128 levels.
    let body: Value = serde_json::from_str(body).map_err(|error| format!("which is no JSON: {error}"))?;
    let Value::Object(body) = body else { return Err("which is no JSON object".to_owned()) };
    let text = |field: &str| body.get(field).and_then(Value::as_str).unwrap_or_default();
    if !is_api_version(text("apiVersion")) {
        return Err("whose apiVersion is not a version with or without a group, as in batch/v1".to_owned());
    }
    if !is_kind(text("kind")) {
        return Err("whose kind is not the name of a kind, as in Job".to_owned());
    }
    match body.get("metadata") {
        None | Some(Value::Null) => Ok(()),
        Some(Value::Object(metadata)) => check_metadata(metadata),
        Some(_) => Err("whose metadata is no object".to_owned()),
    }
}

/// Where an object lives, who owns it and when it may go are the host's to set.
fn check_metadata(metadata: &Map<String, Value>) -> Result<(), String> {
    for (field, value) in metadata.iter().filter(|(_, value)| !value.is_null()) {
        let ("labels" | "annotations", Value::Object(entries)) = (field.as_str(), value) else {
            let field = text::clean(field, SHOWN);
            return Err(format!(
                "whose metadata has {field:?}; a template has labels and annotations alone, as objects"
            ));
        };
        for (key, value) in entries {
            let shown = text::clean(key, SHOWN);
            if key.starts_with(OWN) {
                return Err(format!("whose metadata has {shown:?} among its {field}, which is the broker's to set"));
            }
            if !value.is_string() {
                return Err(format!("whose metadata has {shown:?} among its {field}, which is no text"));
            }
        }
    }
    Ok(())
}

/// `version` or `group/version`: it becomes a part of the request's path.
fn is_api_version(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let part = |part: &str| part.len() <= NAME && part.split('.').all(is_label);
    match text.split_once('/') {
        Some((group, version)) => part(group) && is_label(version),
        None => text.len() <= LABEL && !text.is_empty() && text.bytes().all(plain),
    }
}

fn is_kind(text: &str) -> bool {
    text.len() <= LABEL
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && text.bytes().next().is_some_and(|byte| byte.is_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    const JOB: &str = r#"{"apiVersion":"batch/v1","kind":"Job","spec":{"n":1.10}}"#;

    fn stage(name: &str) -> Stage {
        Stage { name: name.to_owned(), progress: false, timeout_seconds: None, retries: 0, approval: false }
    }

    fn manifest(name: &str, body: &str) -> Manifest {
        Manifest { name: name.to_owned(), body: body.to_owned() }
    }

    fn numbered<T>(count: usize, make: impl Fn(&str) -> T) -> Vec<T> {
        (0..count).map(|number| make(&format!("n{number}"))).collect()
    }

    #[test]
    fn names_are_labels_and_unique_and_not_too_many() {
        assert!(stages(numbered(COUNT, stage)).is_ok() && stages(Vec::new()).is_ok());
        assert!(stages(numbered(COUNT + 1, stage)).unwrap_err().contains("65 stages"));
        assert!(manifests(numbered(COUNT + 1, |name| manifest(name, JOB)), "m1").is_err());
        assert!(stages(vec![stage("dump"), stage("dump")]).unwrap_err().contains("two stages called dump"));
        let long = "x".repeat(LABEL + 1);
        for bad in
            ["", "-a", "a-", "A", "a.b", "a/b", "../../../api/v1/namespaces/kube-system/secrets/x", "a\nb", "ü", &long]
        {
            assert!(stages(vec![stage(bad)]).is_err(), "{bad}");
            assert!(manifests(vec![manifest(bad, JOB)], "m1").is_err(), "{bad}");
        }
        let roomy = "i".repeat(NAME - 1 - LABEL);
        let longest = "n".repeat(LABEL);
        assert!(manifests(vec![manifest(&longest, JOB)], &roomy).is_ok());
        assert!(manifests(vec![manifest(&longest, JOB)], &format!("{roomy}i")).is_err());
    }

    #[test]
    fn a_body_is_an_object_of_some_kind_and_goes_through_as_written() {
        let fine = [
            JOB,
            r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":null}"#,
            r#"{"apiVersion":"a.b-c.io/v1beta1","kind":"X","metadata":{"labels":{"app":"x"},"annotations":{},"creationTimestamp":null}}"#,
        ];
        for body in fine {
            assert_eq!(
                manifests(vec![manifest("job", body)], "m1").map(|all| all[0].body.clone()),
                Ok(body.to_owned())
            );
        }
        let deep = format!(r#"{{"apiVersion":"v1","kind":"X","a":{}1{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
        for body in [
            "",
            "null",
            "[]",
            "{}",
            r#"{"apiVersion":"v1"}"#,
            r#"{"kind":"Job"}"#,
            r#"{"apiVersion":1,"kind":"Job"}"#,
            r#"{"apiVersion":"v1","kind":["Job"]}"#,
            r#"{"apiVersion":"v1","kind":"Job/../x"}"#,
            r#"{"apiVersion":"../v1","kind":"Job"}"#,
            r#"{"apiVersion":"a/b/v1","kind":"Job"}"#,
            r#"{"apiVersion":"v1","kind":"Job","metadata":[]}"#,
            r#"{"apiVersion":"v1","kind":"Job","x":NaN}"#,
            &deep,
        ] {
            let error = manifests(vec![manifest("job", body)], "m1").unwrap_err();
            assert!(error.starts_with("manifest job, wh"), "{error}");
        }
    }

    #[test]
    fn what_the_host_sets_is_not_the_templates() {
        for metadata in [
            r#"{"name":"m1-job"}"#,
            r#"{"generateName":"x"}"#,
            r#"{"namespace":"kube-system"}"#,
            r#"{"ownerReferences":[]}"#,
            r#"{"finalizers":["x/y"]}"#,
            r#"{"uid":"1"}"#,
            r#"{"labels":[]}"#,
            r#"{"labels":{"app":1}}"#,
            r#"{"labels":{"broker.platform-mesh.io/migration-id":"m2"}}"#,
            r#"{"annotations":{"broker.platform-mesh.io/consumer-cluster":"consumer#other"}}"#,
        ] {
            let body = format!(r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{metadata}}}"#);
            let error = manifests(vec![manifest("map", &body)], "m1").unwrap_err();
            assert!(error.contains("manifest map, whose metadata has"), "{metadata}: {error}");
        }
    }
}
