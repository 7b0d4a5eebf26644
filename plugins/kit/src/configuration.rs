//! What a `MigrationConfiguration` changes about a plugin's stages: reads its `spec`, and says everything that is wrong with it.
//!
//! A plugin decides which stages there are. `spec.stages` names those of them that somebody wants otherwise: `timeout` and
//! `retries` replace the plugin's own, `approval: required` adds an approval, and a template is merged over the manifest of the
//! same name (RFC 7386: objects by field, null removes, anything else replaces). A template of another name is deployed beside
//! it. An approval that the plugin itself wants stays: without it data could be lost.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Display;

use resource_broker_sdk::duration::Duration;
use resource_broker_sdk::{Document, Error, Problems, escape_key};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

/// The longest DNS label, which a template's name has to be.
const LABEL: usize = 63;
/// What the broker's own labels and annotations begin with.
const OWN: &str = "broker.platform-mesh.io/";
const STAGE_FIELDS: &str = "name, templates, preconditions, successConditions, progress, timeout, retries and approval";
const LEAVE_OUT_TIMEOUT: &str = "leave it out for the plugin's own";

/// The parts of a template's `metadata` that are deployed; the rest is the broker's to set.
pub(crate) const METADATA: [&str; 2] = ["labels", "annotations"];

/// A stage that a plugin may have, and the templates in it.
pub type KnownStage = (&'static str, &'static [&'static str]);

/// `spec` of a `MigrationConfiguration`.
#[derive(Clone, Debug, Default)]
pub struct Configuration {
    changes: Vec<Change>,
}

/// What is changed about one stage.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    name: String,
    pub(crate) templates: BTreeMap<String, Map<String, Value>>,
    pub(crate) timeout_seconds: Option<u32>,
    pub(crate) retries: Option<u32>,
    pub(crate) approval: bool,
}

impl Configuration {
    /// Reads it.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`] with everything that is wrong with its form.
    pub fn read(spec: &Document<'_>) -> Result<Self, Error> {
        let mut problems = Problems::new();
        let changes = written(spec)?.into_iter().enumerate();
        let changes = changes.map(|(index, stage)| Reader::new(index, &stage, &mut problems).read(stage)).collect();
        problems.finish().map(|()| Self { changes })
    }

    /// Judges it for a plugin that has these stages.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`] with everything that is wrong.
    pub fn check(spec: &Document<'_>, known: &[KnownStage]) -> Result<(), Error> {
        let mut problems = Problems::new();
        let mut names = HashSet::new();
        for (index, stage) in written(spec)?.into_iter().enumerate() {
            let is_second = !names.insert(stage.name.clone());
            let mut reader = Reader::new(index, &stage, &mut problems);
            match known.iter().find(|(name, _)| *name == stage.name) {
                None => reader.no_such_stage(&stage.name, known),
                Some(_) if is_second => reader.wrong("name", "it is changed twice: make one of it"),
                Some((_, templates)) => reader.check(&stage, templates),
            }
            reader.read(stage);
        }
        problems.finish()
    }

    /// What is changed about a stage.
    pub(crate) fn of(&self, stage: &str) -> Option<&Change> {
        self.changes.iter().find(|change| change.name == stage)
    }
}

/// `spec` as it is written. For which moves it is, is the host's business.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Spec {
    #[serde(rename = "from")]
    _from: IgnoredAny,
    #[serde(rename = "to")]
    _to: IgnoredAny,
    stages: Vec<Written>,
}

/// One stage as it is written.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Written {
    name: String,
    templates: BTreeMap<String, Map<String, Value>>,
    preconditions: Vec<String>,
    success_conditions: Vec<String>,
    progress: bool,
    timeout: Option<Value>,
    retries: Option<u32>,
    approval: Option<Value>,
    #[serde(flatten)]
    others: BTreeMap<String, Value>,
}

fn written(spec: &Document<'_>) -> Result<Vec<Written>, Error> {
    let spec: Option<Option<Spec>> = spec.parse("")?;
    Ok(spec.flatten().unwrap_or_default().stages)
}

/// Says what is wrong with one stage.
struct Reader<'p> {
    path: String,
    /// How people know the stage.
    whose: String,
    problems: &'p mut Problems,
}

impl<'p> Reader<'p> {
    fn new(index: usize, stage: &Written, problems: &'p mut Problems) -> Self {
        Self { path: format!("stages.{index}"), whose: format!("stage {:?}", stage.name), problems }
    }

    fn wrong(&mut self, field: &str, message: impl Display) {
        let message = format!("{}, {field}: {message}", self.whose);
        self.problems.push(format!("{}.{field}", self.path), message);
    }

    fn read(mut self, stage: Written) -> Change {
        for (field, value) in &stage.others {
            self.unknown(field, value);
        }
        Change {
            timeout_seconds: stage.timeout.and_then(|timeout| self.timeout(&timeout)),
            retries: stage.retries,
            approval: stage.approval.is_some_and(|approval| self.approval(&approval)),
            name: stage.name,
            templates: stage.templates,
        }
    }

    fn unknown(&mut self, field: &str, value: &Value) {
        match (field, value) {
            ("timeoutSeconds", Value::Number(seconds)) => {
                self.wrong(field, format!("it is called timeout, and is a duration: write timeout: {seconds}s"));
            }
            ("timeoutSeconds", _) => self.wrong(field, "it is called timeout, and is a duration, such as 90s or 1h30m"),
            _ => self.wrong(&escape_key(field), format!("there is no field {field:?}; there are {STAGE_FIELDS}")),
        }
    }

    /// In whole seconds: a stage gets what it asks for, or a little more.
    fn timeout(&mut self, value: &Value) -> Option<u32> {
        let Value::String(text) = value else {
            self.wrong("timeout", format!("{value} is not a duration as a string, such as \"90s\" or \"1h30m\""));
            return None;
        };
        let duration: Duration = match text.parse() {
            Ok(duration) => duration,
            Err(error) => {
                self.wrong("timeout", error);
                return None;
            }
        };
        let seconds = duration.nanos().max(0).unsigned_abs().div_ceil(1_000_000_000);
        match u32::try_from(seconds) {
            Ok(seconds @ 1..) => return Some(seconds),
            Ok(0) => self.wrong("timeout", format!("in {text} no stage can be done; {LEAVE_OUT_TIMEOUT}")),
            Err(_) => self.wrong("timeout", format!("{text} is more than a century; {LEAVE_OUT_TIMEOUT}")),
        }
        None
    }

    fn approval(&mut self, value: &Value) -> bool {
        let required = *value == "required";
        if *value == true {
            self.wrong("approval", "true is not \"required\": write approval: required");
        } else if !required {
            let message = format!(
                "{value} is not \"required\"; leave it out for the plugin's own. A stage for which the plugin itself wants an \
                 approval cannot go without"
            );
            self.wrong("approval", message);
        }
        required
    }

    fn no_such_stage(&mut self, name: &str, known: &[KnownStage]) {
        let names = known.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
        let message = format!("there is no stage {name:?}; the plugin's own are {names}");
        self.problems.push(format!("{}.name", self.path), message);
    }

    /// What a stage of a plugin may not have, beside what no stage may.
    fn check(&mut self, stage: &Written, templates: &[&str]) {
        for (field, conditions) in
            [("preconditions", &stage.preconditions), ("successConditions", &stage.success_conditions)]
        {
            if !conditions.is_empty() {
                self.wrong(field, "the plugin judges its stages itself and evaluates no expressions: remove them");
            }
        }
        if stage.progress {
            self.wrong("progress", "which stage lets the migration progress is for the plugin to say: remove it");
        }
        for (name, template) in &stage.templates {
            let field = format!("templates.{}", escape_key(name));
            if templates.contains(&name.as_str()) {
                self.merged(&field, name, template);
            } else {
                self.added(&field, name, template, templates);
            }
            self.metadata(&field, template.get("metadata"));
        }
    }

    /// A template that is merged over the plugin's own.
    fn merged(&mut self, field: &str, name: &str, template: &Map<String, Value>) {
        for part in ["apiVersion", "kind"].into_iter().filter(|part| template.contains_key(*part)) {
            let message = format!("the {part} of {name:?} is the plugin's: remove it, or use another name");
            self.wrong(&format!("{field}.{part}"), message);
        }
    }

    /// A template that is deployed beside the plugin's own.
    fn added(&mut self, field: &str, name: &str, template: &Map<String, Value>, own: &[&str]) {
        if !is_label(name) {
            let message = format!(
                "the name of a template has to be at most {LABEL} lower-case letters, digits and dashes, with no dash at \
                 either end"
            );
            self.wrong(field, message);
        }
        for part in ["apiVersion", "kind"].into_iter().filter(|part| !template.get(*part).is_some_and(Value::is_string))
        {
            let own = own.join(", ");
            let message = format!("{name:?} is none of the stage's own templates ({own}), so that it needs its {part}");
            self.wrong(field, message);
        }
    }

    fn metadata(&mut self, field: &str, metadata: Option<&Value>) {
        let metadata = match metadata {
            None | Some(Value::Null) => return,
            Some(Value::Object(metadata)) => metadata,
            Some(_) => return self.wrong(&format!("{field}.metadata"), "it has to be an object"),
        };
        for part in METADATA {
            let path = format!("{field}.metadata.{part}");
            match metadata.get(part) {
                None | Some(Value::Null) => {}
                Some(Value::Object(entries)) => entries.iter().for_each(|(key, value)| self.entry(&path, key, value)),
                Some(_) => self.wrong(&path, "it has to be an object of strings"),
            }
        }
    }

    /// A label or an annotation.
    fn entry(&mut self, path: &str, key: &str, value: &Value) {
        let path = format!("{path}.{}", escape_key(key));
        if key.starts_with(OWN) {
            self.wrong(&path, format!("what begins with {OWN} is for the broker to set: remove it"));
        } else if !value.is_string() {
            self.wrong(&path, format!("{value} is not a string: put it in quotes"));
        }
    }
}

fn is_label(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    name.len() <= LABEL
        && name.bytes().all(|byte| plain(byte) || byte == b'-')
        && name.bytes().next().is_some_and(plain)
        && name.bytes().last().is_some_and(plain)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const KNOWN: &[KnownStage] = &[("copy", &["copy"]), ("verify", &["verify"])];

    fn check(spec: Value) -> Result<(), Error> {
        Configuration::check(&Document::from(spec), KNOWN)
    }

    fn read(stage: &Value) -> Change {
        let configuration = Configuration::read(&Document::from(json!({ "stages": [stage] }))).unwrap();
        configuration.of("copy").unwrap().clone()
    }

    #[test]
    fn what_a_configuration_may_change() {
        let gvk = json!({"group": "databases.generic.platform-mesh.io", "version": "v1alpha1", "kind": "SQL"});
        for spec in [
            json!({}),
            json!(null),
            json!({"from": gvk, "to": gvk}),
            json!({"from": gvk, "to": gvk, "stages": []}),
            json!({"stages": [{"name": "copy", "timeout": "5s", "retries": 0, "approval": "required"}]}),
            json!({"stages": [{"name": "copy", "timeout": null, "retries": null, "approval": null}]}),
            json!({"stages": [{"name": "copy", "templates": {"copy": {"spec": {"backoffLimit": 0}}}}]}),
            json!({"stages": [{"name": "copy", "templates": {"net": {"apiVersion": "v1", "kind": "ConfigMap"}}}]}),
            json!({"stages": [{"name": "copy", "templates": {"copy": {"metadata": {"name": "x", "labels": {"a": "b"}}}}}]}),
            json!({"stages": [{"name": "copy", "progress": false, "preconditions": []}]}),
        ] {
            assert_eq!(check(spec.clone()), Ok(()), "{spec}");
        }
    }

    #[test]
    fn what_it_may_not_is_told_with_its_place() {
        for (stage, expected) in [
            (json!({"name": "dump"}), "stages.0.name: there is no stage \"dump\"; the plugin's own are copy, verify"),
            (
                json!({"name": "copy", "preconditions": ["true"]}),
                "stages.0.preconditions: stage \"copy\", preconditions: ",
            ),
            (json!({"name": "copy", "successConditions": ["true"]}), "stages.0.successConditions: "),
            (json!({"name": "copy", "progress": true}), "stages.0.progress: "),
            (json!({"name": "copy", "templates": {"copy": {"kind": "Pod"}}}), "stages.0.templates.copy.kind: "),
            (json!({"name": "copy", "templates": {"x": {"kind": "Pod"}}}), "needs its apiVersion"),
            (
                json!({"name": "copy", "templates": {"x.y": {"apiVersion": "v1", "kind": "Pod"}}}),
                r"stages.0.templates.x\.y: ",
            ),
            (json!({"name": "copy", "templates": {"copy": {"metadata": 1}}}), "stages.0.templates.copy.metadata: "),
            (
                json!({"name": "copy", "templates": {"copy": {"metadata": {"labels": {"a": 1}}}}}),
                "stages.0.templates.copy.metadata.labels.a: ",
            ),
            (
                json!({"name": "copy", "templates": {"copy": {"metadata": {"annotations": {"broker.platform-mesh.io/x": "1"}}}}}),
                "is for the broker to set",
            ),
            (json!({"name": "copy", "retires": 1}), "stages.0.retires: stage \"copy\", retires: there is no field"),
            (json!({"name": "copy", "retries": "1"}), "stages.0.retries: "),
        ] {
            let error = check(json!({"stages": [stage]})).unwrap_err().to_string();
            assert!(error.contains(expected), "{stage}: {error}");
        }
        let twice = check(json!({"stages": [{"name": "copy"}, {"name": "copy"}]})).unwrap_err().to_string();
        assert!(twice.contains("stages.1.name: "), "{twice}");
        let field = check(json!({"steps": []})).unwrap_err().to_string();
        assert!(field.contains("steps: unknown field"), "{field}");
    }

    #[test]
    fn a_timeout_is_a_duration_in_whole_seconds() {
        for (timeout, seconds) in [("90s", 90), ("1h30m", 5400), ("1.2s", 2), ("1ms", 1)] {
            assert_eq!(read(&json!({"name": "copy", "timeout": timeout})).timeout_seconds, Some(seconds), "{timeout}");
        }
        for (timeout, expected) in [
            (json!("0s"), "in 0s no stage can be done"),
            (json!("-1s"), "in -1s no stage can be done"),
            (json!("1200000h"), "more than a century"),
            (json!("2d"), "write days as hours"),
            (json!("soon"), "a duration, such as 90s"),
            (json!(60), "60 is not a duration as a string"),
        ] {
            let error = check(json!({"stages": [{"name": "copy", "timeout": timeout}]})).unwrap_err().to_string();
            assert!(error.contains("stages.0.timeout: stage \"copy\", timeout: "), "{timeout}: {error}");
            assert!(error.contains(expected), "{timeout}: {error}");
        }
    }

    #[test]
    fn what_was_written_otherwise_once_says_how_to_write_it_now() {
        let stage = json!({"name": "copy", "timeoutSeconds": 86400, "approval": true});
        let spec = json!({"stages": [stage]});
        for judged in [check(spec.clone()), Configuration::read(&Document::from(spec)).map(drop)] {
            let error = judged.unwrap_err().to_string();
            assert!(error.contains("stages.0.timeoutSeconds: ") && error.contains("write timeout: 86400s"), "{error}");
            assert!(error.contains("stages.0.approval: ") && error.contains("write approval: required"), "{error}");
        }
        let error = check(json!({"stages": [{"name": "copy", "approval": false}]})).unwrap_err().to_string();
        assert!(error.contains("false is not \"required\"; leave it out"), "{error}");
    }
}
