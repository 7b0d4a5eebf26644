//! The stages of a migration: how a plugin describes them, what they deploy, and how they stand.

use resource_broker_sdk::{
    Deployed, Document, Endpoint, Error, Manifest, MigrationContext, Stage, StageOutcome, assess_jobs, unknown_stage,
};
use serde_json::{Map, Value};

use crate::configuration::{Change, Configuration, METADATA};
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

/// The stages as the host is told of them.
pub fn stages(steps: &[Step], settings: &PodSettings, configuration: &Configuration) -> Vec<Stage> {
    let stage = |step: &Step| {
        let change = configuration.of(step.name);
        Stage {
            name: step.name.to_owned(),
            progress: step.progress,
            timeout_seconds: Some(timeout(step, settings, change)),
            retries: change.and_then(|change| change.retries).or(settings.retries).unwrap_or(step.retries),
            approval: step.approval || change.is_some_and(|change| change.approval),
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
    for metadata in manifests.iter_mut().filter_map(|manifest| manifest.body.get_mut("metadata")?.as_object_mut()) {
        metadata.retain(|field, _| METADATA.contains(&field.as_str()));
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

    fn context(configuration: Value) -> MigrationContext {
        let end = |provider: &str| Endpoint {
            provider: provider.to_owned(),
            api_version: "databases.generic.platform-mesh.io/v1alpha1".to_owned(),
            kind: "SQL".to_owned(),
            namespace: "dbs".to_owned(),
            name: "a-shop".to_owned(),
            related: Vec::new(),
        };
        let configuration = Document::from(configuration);
        MigrationContext { id: "m1".into(), namespace: "compute".into(), configuration, old: end("a"), new: end("b") }
    }

    fn step(approval: bool) -> Step {
        let pod = Pod::job("copy", "example/copy:1".to_owned(), String::new(), Vec::new());
        Step { name: "copy", progress: true, approval, timeout_seconds: 7, retries: 1, pods: vec![pod] }
    }

    #[test]
    fn a_configuration_adds_an_approval_and_takes_none_away() {
        for (own, change, expected) in [
            (false, json!({"name": "copy"}), false),
            (false, json!({"name": "copy", "approval": "required"}), true),
            (true, json!({"name": "copy", "timeout": "1m"}), true),
        ] {
            let configuration = Configuration::read(&Document::from(json!({"stages": [change]}))).unwrap();
            let stages = stages(&[step(own)], &PodSettings::default(), &configuration);
            assert_eq!(stages[0].approval, expected, "{own} {configuration:?}");
        }
    }

    #[test]
    fn names_and_namespaces_of_templates_are_the_hosts_to_choose() {
        let metadata = json!({"name": "x", "namespace": "y", "labels": {"a": "b"}, "annotations": {"c": "d"}});
        let added = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata});
        let templates = json!({"copy": {"metadata": metadata}, "added": added});
        let context = context(json!({"stages": [{"name": "copy", "templates": templates}]}));
        let configuration = Configuration::read(&context.configuration).unwrap();
        let manifests = render(&[step(false)], "copy", &context, &PodSettings::default(), &configuration).unwrap();
        let names: Vec<&str> = manifests.iter().map(|manifest| manifest.name.as_str()).collect();
        assert_eq!(names, ["copy", "added"]);
        for manifest in manifests {
            assert_eq!(manifest.body["metadata"], json!({"labels": {"a": "b"}, "annotations": {"c": "d"}}));
        }
    }

    #[test]
    fn a_template_is_merged_over_the_manifest() {
        let mut body = json!({"spec": {"backoffLimit": 3, "template": {"spec": {"a": 1, "b": [1, 2]}}}});
        let patch = json!({"spec": {"backoffLimit": null, "template": {"spec": {"b": [3]}}, "suspend": true}, "x": {"y": {"z": null}}});
        merge(&mut body, patch.as_object().unwrap());
        assert_eq!(body, json!({"spec": {"suspend": true, "template": {"spec": {"a": 1, "b": [3]}}}, "x": {"y": {}}}));
    }
}
