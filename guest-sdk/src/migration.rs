//! The role that moves an object from one provider to another, and what passes through it.

use resource_broker_plugin_types::{Endpoint, Stage, StageOutcome};
use serde_json::Value;

use crate::document::Document;
use crate::error::Error;
use crate::roles::Plugin;

/// The role that moves an object from one provider to another in stages.
///
/// Both copies exist while it does: `old` is the one that is left, `new` the one that will be. Their related resources are
/// mirrored into the namespace of the compute cluster where the stages are deployed; [`Endpoint::related`] finds them.
///
/// ```
/// use resource_broker_sdk::{Document, Error, Manifest, MigrationContext, MigrationTemplate, Plugin, Stage};
/// use serde_json::json;
///
/// /// Dumps the old database and restores it into the new one.
/// struct Databases;
///
/// impl Plugin for Databases {}
///
/// impl MigrationTemplate for Databases {
///     fn validate(configuration: &Document<'_>) -> Result<(), Error> {
///         configuration.at("image").required().text().map(drop)
///     }
///
///     fn stages(_: &MigrationContext, _: &Document<'_>, _: &Document<'_>) -> Result<Vec<Stage>, Error> {
///         Ok(vec![Stage::new("copy").retries(3).timeout(3600).progress(), Stage::new("check").approval()])
///     }
///
///     fn render(
///         context: &MigrationContext,
///         _: &Document<'_>,
///         _: &Document<'_>,
///         stage: &str,
///     ) -> Result<Vec<Manifest>, Error> {
///         let image = context.configuration.at("image").required().text()?;
///         let container = json!({
///             "name": stage,
///             "image": image,
///             "args": [stage],
///             "envFrom": [{"secretRef": {"name": context.old.required("login")?.name}}],
///         });
///         let body = json!({
///             "apiVersion": "batch/v1",
///             "kind": "Job",
///             "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [container]}}},
///         });
///         Ok(vec![Manifest::new("job", body)])
///     }
/// }
///
/// resource_broker_sdk::export!(Databases: MigrationTemplate);
/// ```
pub trait MigrationTemplate: Plugin {
    /// Judges `spec` of a `MigrationConfiguration` when it is made or changed. By default all are welcome.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`] with everything that is wrong.
    fn validate(configuration: &Document<'_>) -> Result<(), Error> {
        let _ = configuration;
        Ok(())
    }

    /// The stages in their order, each name once. None: the object is moved without any.
    ///
    /// # Errors
    ///
    /// If there is no answer; the migration then stays where it is.
    fn stages(context: &MigrationContext, old: &Document<'_>, new: &Document<'_>) -> Result<Vec<Stage>, Error>;

    /// What one stage deploys.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] for a stage that there is not ([`unknown_stage`]); any other if there is no answer.
    fn render(
        context: &MigrationContext,
        old: &Document<'_>,
        new: &Document<'_>,
        stage: &str,
    ) -> Result<Vec<Manifest>, Error>;

    /// How one stage stands; `deployed` is empty until it has been deployed. By default a stage may be deployed at once,
    /// and [`assess_jobs`] says how what it deployed stands.
    ///
    /// # Errors
    ///
    /// If there is no answer; the migration then stays where it is.
    fn assess(
        context: &MigrationContext,
        old: &Document<'_>,
        new: &Document<'_>,
        stage: &str,
        deployed: &[Deployed],
    ) -> Result<StageOutcome, Error> {
        let _ = (context, old, new, stage);
        assess_jobs(deployed)
    }
}

/// What a migration is about.
#[derive(Clone, Debug)]
pub struct MigrationContext {
    /// The migration's id, which begins the name of everything that its stages deploy.
    pub id: String,
    /// The compute cluster's namespace.
    pub namespace: String,
    /// `spec` of the `MigrationConfiguration`.
    pub configuration: Document<'static>,
    /// The end that the object leaves.
    pub old: Endpoint,
    /// The end to which it goes.
    pub new: Endpoint,
}

impl MigrationContext {
    /// What the compute cluster calls the object that is deployed from the manifest of this name.
    pub fn deployed_name(&self, manifest: &str) -> String {
        format!("{}-{manifest}", self.id)
    }
}

/// Something that a stage deploys.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// The template's name; the deployed object is called by the migration's id, a dash and this.
    pub name: String,
    /// The object with its apiVersion and kind; name, namespace and labels are the host's to set.
    pub body: Value,
}

impl Manifest {
    /// A manifest of that name.
    pub fn new(name: impl Into<String>, body: Value) -> Self {
        Self { name: name.into(), body }
    }
}

/// Something that a stage has deployed.
#[derive(Clone, Debug)]
pub struct Deployed {
    /// The template's name.
    pub name: String,
    /// The object as the compute cluster shows it; `None` if it is not there.
    pub object: Option<Document<'static>>,
}

impl Deployed {
    /// How this one stands: a Job by its conditions, anything else is done as soon as it is there.
    ///
    /// ```
    /// # use resource_broker_sdk::{Deployed, Document, StageOutcome};
    /// let job = serde_json::json!({
    ///     "kind": "Job",
    ///     "status": {"conditions": [{"type": "Failed", "status": "True", "message": "no space left"}]},
    /// });
    /// let deployed = Deployed { name: "dump".to_owned(), object: Some(Document::from(job)) };
    /// assert_eq!(deployed.outcome().unwrap(), StageOutcome::failed("dump failed: no space left"));
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`] if its status has another form than a Job's.
    pub fn outcome(&self) -> Result<StageOutcome, Error> {
        let name = &self.name;
        let Some(object) = &self.object else {
            return Ok(StageOutcome::waiting(format!("{name} is not there yet")));
        };
        if object.text("kind").as_deref() != Some("Job") {
            return Ok(StageOutcome::Succeeded);
        }
        let status = object.at("status");
        for condition in status.at("conditions").list()?.unwrap_or_default() {
            if condition.at("status").text()?.as_deref() != Some("True") {
                continue;
            }
            match condition.at("type").text()?.as_deref() {
                Some("Complete") => return Ok(StageOutcome::Succeeded),
                Some("Failed") => {
                    let why = match (condition.at("message").text()?, condition.at("reason").text()?) {
                        (Some(message), _) if !message.is_empty() => message,
                        (_, Some(reason)) => reason,
                        (_, None) => "its Job gives no reason".to_owned(),
                    };
                    return Ok(StageOutcome::failed(format!("{name} failed: {why}")));
                }
                _ => {}
            }
        }
        let count = |field| Ok::<_, Error>(status.at(field).integer()?.unwrap_or(0));
        let (active, failed) = (count("active")?, count("failed")?);
        Ok(StageOutcome::waiting(format!("{name} has not finished ({active} running, {failed} failed)")))
    }
}

/// How a stage of Jobs stands: ready until it is deployed, failed as soon as one has, succeeded when all have. What is no
/// Job is done as soon as it is there.
///
/// ```
/// # use resource_broker_sdk::{Deployed, Document, StageOutcome, assess_jobs};
/// assert_eq!(assess_jobs(&[]).unwrap(), StageOutcome::Ready);
///
/// let job = |status| Deployed {
///     name: "dump".to_owned(),
///     object: Some(Document::from(serde_json::json!({"kind": "Job", "status": status}))),
/// };
/// let done = job(serde_json::json!({"conditions": [{"type": "Complete", "status": "True"}]}));
/// assert_eq!(assess_jobs(&[done.clone()]).unwrap(), StageOutcome::Succeeded);
///
/// let running = job(serde_json::json!({"active": 1}));
/// let expected = StageOutcome::waiting("dump has not finished (1 running, 0 failed)");
/// assert_eq!(assess_jobs(&[done, running]).unwrap(), expected);
/// ```
///
/// # Errors
///
/// As [`Deployed::outcome`].
pub fn assess_jobs(deployed: &[Deployed]) -> Result<StageOutcome, Error> {
    if deployed.is_empty() {
        return Ok(StageOutcome::Ready);
    }
    let outcomes = deployed.iter().map(Deployed::outcome).collect::<Result<Vec<_>, Error>>()?;
    let first = |wanted: fn(&StageOutcome) -> bool| outcomes.iter().find(|outcome| wanted(outcome)).cloned();
    let failed = first(|outcome| matches!(outcome, StageOutcome::Failed(_)));
    let waiting = || first(|outcome| matches!(outcome, StageOutcome::Waiting(_)));
    Ok(failed.or_else(waiting).unwrap_or(StageOutcome::Succeeded))
}

/// That the plugin has no such stage, for [`MigrationTemplate::render`].
pub fn unknown_stage(stage: &str) -> Error {
    Error::Unsupported(format!("there is no stage {stage:?}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn deployed(name: &str, object: Option<Value>) -> Deployed {
        Deployed { name: name.to_owned(), object: object.map(Document::from) }
    }

    fn job(name: &str, status: &Value) -> Deployed {
        deployed(name, Some(json!({"apiVersion": "batch/v1", "kind": "Job", "status": status})))
    }

    fn done(kind: &str) -> Value {
        json!({"conditions": [{"type": "Suspended", "status": "False"}, {"type": kind, "status": "True", "reason": "Because"}]})
    }

    #[test]
    fn a_stage_of_jobs_stands_as_its_worst_job() {
        let script = deployed("script", Some(json!({"kind": "ConfigMap"})));
        let complete = job("a", &done("Complete"));
        let failed = job("b", &done("Failed"));
        let running = job("c", &json!({"active": 2, "failed": 1}));
        let running_says = "c has not finished (2 running, 1 failed)";
        let fresh = job("d", &Value::Null);
        let ending = job("e", &done("FailureTarget"));
        let missing = deployed("f", None);
        for (stage, expected) in [
            (vec![], StageOutcome::Ready),
            (vec![&script], StageOutcome::Succeeded),
            (vec![&script, &complete], StageOutcome::Succeeded),
            (vec![&complete, &running], StageOutcome::waiting(running_says)),
            (vec![&running, &failed], StageOutcome::failed("b failed: Because")),
            (vec![&fresh], StageOutcome::waiting("d has not finished (0 running, 0 failed)")),
            (vec![&ending], StageOutcome::waiting("e has not finished (0 running, 0 failed)")),
            (vec![&complete, &missing], StageOutcome::waiting("f is not there yet")),
        ] {
            let stage: Vec<Deployed> = stage.into_iter().cloned().collect();
            assert_eq!(assess_jobs(&stage), Ok(expected), "{stage:?}");
        }
    }

    #[test]
    fn a_job_whose_status_is_no_jobs_cannot_be_assessed() {
        for status in [json!({"conditions": {}}), json!({"active": "many"}), json!({"conditions": [{"status": []}]})] {
            assert!(matches!(assess_jobs(&[job("a", &status)]), Err(Error::InvalidInput(_))), "{status}");
        }
    }
}
