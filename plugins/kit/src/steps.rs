//! The stages of a migration: how a plugin describes them, and what a `MigrationConfiguration` changes about them.
//!
//! A plugin decides which stages there are. `spec.stages` of a `MigrationConfiguration` names those of them that somebody
//! wants otherwise: `timeoutSeconds`, `retries` and `approval` replace the plugin's own, and a template is merged over the
//! manifest of the same name (RFC 7386: objects by field, null removes, anything else replaces). A template of another name
//! is deployed beside it.

use std::collections::BTreeMap;

use resource_broker_sdk::{
    Deployed, Document, Endpoint, Error, Manifest, MigrationContext, Problems, Stage, StageOutcome, assess_jobs,
    escape_key, unknown_stage,
};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::phases::{Phases, State};
use crate::pods::{Pod, PodSettings};

/// One stage.
#[derive(Clone, Debug)]
pub struct Step {
    /// Its name.
    pub name: &'static str,
    /// Whether the consumer is given the new end when it is done.
    pub progress: bool,
    /// Whether a person has to approve it.
    pub approval: bool,
    /// After how many seconds it has failed.
    pub timeout_seconds: u32,
    /// How many times it is tried again.
    pub retries: u32,
    /// What works in it.
    pub pods: Vec<Pod>,
}

/// A stage that a plugin may have, and the templates in it.
pub type KnownStage = (&'static str, &'static [&'static str]);

/// `spec` of a `MigrationConfiguration`, as far as it matters here; the kinds that it is for are the host's business.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Configuration {
    stages: Vec<Change>,
}

/// What is changed about one stage.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Change {
    name: String,
    templates: BTreeMap<String, Map<String, Value>>,
    preconditions: Vec<String>,
    success_conditions: Vec<String>,
    progress: Option<bool>,
    timeout_seconds: Option<u32>,
    retries: Option<u32>,
    approval: Option<bool>,
}

impl Configuration {
    /// Reads it.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`] with the path of what does not fit.
    pub fn read(spec: &Document<'_>) -> Result<Self, Error> {
        Ok(spec.at("").parse()?.unwrap_or_default())
    }

    /// What is wrong with it, for a plugin that has these stages.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`] with everything that is wrong.
    pub fn check(&self, known: &[KnownStage]) -> Result<(), Error> {
        let mut problems = Problems::new();
        for (index, change) in self.stages.iter().enumerate() {
            let path = format!("stages.{index}");
            let Some((name, templates)) = known.iter().find(|(name, _)| *name == change.name) else {
                let names = known.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
                let message = format!("there is no stage {:?}; the plugin's own are {names}", change.name);
                problems.push(format!("{path}.name"), message);
                continue;
            };
            if self.stages[..index].iter().any(|other| other.name == *name) {
                problems.push(format!("{path}.name"), format!("the stage {name:?} is changed twice: make one of it"));
            }
            change.check(&path, templates, &mut problems);
        }
        problems.finish()
    }

    fn of(&self, stage: &str) -> Option<&Change> {
        self.stages.iter().find(|change| change.name == stage)
    }
}

impl Change {
    fn check(&self, path: &str, templates: &[&str], problems: &mut Problems) {
        for (field, conditions) in
            [("preconditions", &self.preconditions), ("successConditions", &self.success_conditions)]
        {
            if !conditions.is_empty() {
                let message = "the plugin judges its stages itself and evaluates no expressions: remove them";
                problems.push(format!("{path}.{field}"), message);
            }
        }
        if self.progress == Some(true) {
            let message = "which stage lets the migration progress is for the plugin to say: remove it";
            problems.push(format!("{path}.progress"), message);
        }
        if self.timeout_seconds == Some(0) {
            problems.push(format!("{path}.timeoutSeconds"), "a stage without any time always fails: write at least 1");
        }
        for (name, template) in &self.templates {
            let path = format!("{path}.templates.{}", escape_key(name));
            for field in ["apiVersion", "kind"] {
                match (templates.contains(&name.as_str()), template.contains_key(field)) {
                    (true, true) => {
                        let message =
                            format!("the {field} of {name:?} is the plugin's: remove it, or use another name");
                        problems.push(format!("{path}.{field}"), message);
                    }
                    (false, false) => {
                        let message = format!(
                            "{name:?} is none of the stage's own templates ({}), so that it needs its {field}",
                            templates.join(", ")
                        );
                        problems.push(&path, message);
                    }
                    _ => {}
                }
            }
        }
    }
}

/// The stages as the host is told of them.
pub fn stages(steps: &[Step], settings: &PodSettings, configuration: &Configuration) -> Vec<Stage> {
    let stage = |step: &Step| {
        let change = configuration.of(step.name);
        Stage {
            name: step.name.to_owned(),
            progress: step.progress,
            timeout_seconds: Some(timeout(step, settings, change)),
            retries: change.and_then(|change| change.retries).or(settings.retries).unwrap_or(step.retries),
            approval: change.and_then(|change| change.approval).unwrap_or(step.approval),
        }
    };
    steps.iter().map(stage).collect()
}

fn timeout(step: &Step, settings: &PodSettings, change: Option<&Change>) -> u32 {
    change.and_then(|change| change.timeout_seconds).or(settings.timeout_seconds).unwrap_or(step.timeout_seconds)
}

/// What one stage deploys.
///
/// # Errors
///
/// [`Error::Unsupported`] if there is no such stage.
pub fn render(
    steps: &[Step],
    stage: &str,
    context: &MigrationContext,
    settings: &PodSettings,
    configuration: &Configuration,
) -> Result<Vec<Manifest>, Error> {
    let step = steps.iter().find(|step| step.name == stage).ok_or_else(|| unknown_stage(stage))?;
    let change = configuration.of(stage);
    let mut manifests: Vec<Manifest> = step
        .pods
        .iter()
        .map(|pod| Manifest::new(pod.name, pod.manifest(context, settings, timeout(step, settings, change))))
        .collect();
    for (name, template) in change.iter().flat_map(|change| &change.templates) {
        match manifests.iter_mut().find(|manifest| manifest.name == *name) {
            Some(manifest) => merge(&mut manifest.body, template),
            None => manifests.push(Manifest::new(name, Value::Object(template.clone()))),
        }
    }
    Ok(manifests)
}

/// Merges a patch by RFC 7386. Its depth is that of JSON that was read, and so bounded.
fn merge(body: &mut Value, patch: &Map<String, Value>) {
    if !body.is_object() {
        *body = Value::Object(Map::new());
    }
    let Some(fields) = body.as_object_mut() else { return };
    for (name, value) in patch {
        match value {
            Value::Null => {
                fields.remove(name);
            }
            Value::Object(patch) => merge(fields.entry(name.clone()).or_insert(Value::Null), patch),
            other => {
                fields.insert(name.clone(), other.clone());
            }
        }
    }
}

/// How one stage stands. It may begin when the new copy is available and both ends have related resources.
///
/// # Errors
///
/// If a copy or what was deployed cannot be read.
pub fn assess(
    context: &MigrationContext,
    settings: &PodSettings,
    phases: &Phases<'_>,
    copies: (&Document<'_>, &Document<'_>),
    deployed: &[Deployed],
) -> Result<StageOutcome, Error> {
    if !deployed.is_empty() {
        return assess_jobs(deployed);
    }
    let (old, new) = copies;
    let never_reports = phases.state(old, None)?.is_none();
    match phases.state(new, None)? {
        Some(State::Available) => {}
        None if never_reports => {}
        state => {
            let word = state.map_or("nothing", State::word);
            let reason = format!("the new copy at {} has to be Available; it reports {word}", context.new.provider);
            return Ok(StageOutcome::Waiting(reason));
        }
    }
    let lacking = [&context.old, &context.new].into_iter().find_map(|end| lacks(end, settings));
    Ok(lacking.map_or(StageOutcome::Ready, StageOutcome::Waiting))
}

/// What an end has not published yet.
fn lacks(end: &Endpoint, settings: &PodSettings) -> Option<String> {
    let Endpoint { provider, kind, namespace, name, .. } = end;
    let whose = format!("{kind} {namespace}/{name} at {provider}");
    if let Some(key) = settings.related.iter().find(|key| end.related(key).is_none()) {
        return Some(format!("{whose} has no related resource {key:?} yet"));
    }
    let usable =
        !settings.mounted(end).is_empty() || end.related.iter().any(|each| each.kind == "PersistentVolumeClaim");
    (!usable)
        .then(|| format!("{whose} has no Secret, ConfigMap or PersistentVolumeClaim among its related resources yet"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const KNOWN: &[KnownStage] = &[("copy", &["copy"]), ("verify", &["verify"])];

    fn check(spec: Value) -> Result<(), Error> {
        Configuration::read(&Document::from(spec))?.check(KNOWN)
    }

    #[test]
    fn what_a_configuration_may_change() {
        for spec in [
            json!({}),
            json!(null),
            json!({"from": {"kind": "SQL"}, "to": {"kind": "SQL"}}),
            json!({"stages": [{"name": "copy", "timeoutSeconds": 5, "retries": 0, "approval": true}]}),
            json!({"stages": [{"name": "copy", "templates": {"copy": {"spec": {"backoffLimit": 0}}}}]}),
            json!({"stages": [{"name": "copy", "templates": {"net": {"apiVersion": "v1", "kind": "ConfigMap"}}}]}),
            json!({"stages": [{"name": "copy", "progress": false, "preconditions": []}]}),
        ] {
            assert_eq!(check(spec.clone()), Ok(()), "{spec}");
        }
        for (stage, path) in [
            (json!({"name": "dump"}), "stages.0.name: there is no stage \"dump\"; the plugin's own are copy, verify"),
            (json!({"name": "copy", "preconditions": ["true"]}), "stages.0.preconditions: "),
            (json!({"name": "copy", "successConditions": ["true"]}), "stages.0.successConditions: "),
            (json!({"name": "copy", "progress": true}), "stages.0.progress: "),
            (json!({"name": "copy", "timeoutSeconds": 0}), "stages.0.timeoutSeconds: "),
            (json!({"name": "copy", "templates": {"copy": {"kind": "Pod"}}}), "stages.0.templates.copy.kind: "),
            (json!({"name": "copy", "templates": {"x.y": {"kind": "Pod"}}}), r"stages.0.templates.x\.y: "),
            (json!({"name": "copy", "retires": 1}), "stages.0.retires: "),
        ] {
            let error = check(json!({"stages": [stage]})).unwrap_err().to_string();
            assert!(error.contains(path), "{stage}: {error}");
        }
        let twice = check(json!({"stages": [{"name": "copy"}, {"name": "copy"}]})).unwrap_err().to_string();
        assert!(twice.contains("stages.1.name: "), "{twice}");
    }

    #[test]
    fn a_template_is_merged_over_the_manifest() {
        let mut body = json!({"spec": {"backoffLimit": 3, "template": {"spec": {"a": 1, "b": [1, 2]}}}});
        let patch = json!({"spec": {"backoffLimit": null, "template": {"spec": {"b": [3]}}, "suspend": true}, "x": {"y": {"z": null}}});
        merge(&mut body, patch.as_object().unwrap());
        assert_eq!(body, json!({"spec": {"suspend": true, "template": {"spec": {"a": 1, "b": [3]}}}, "x": {"y": {}}}));
    }
}
