//! What moves take beside the writes of every pass: a place among a provider's moves, a look at the Assignment as it is
//! now, and what stages deploy.

use resource_broker_api::{broker::AssignmentSpec, conditions::reason, keys, object::Object};
use serde_json::{Value, json};

use super::{
    Apply, Done, Fault, Learned,
    faults::{failed, lacking_namespace, refused, unaddressable},
    parse, test_uid,
};
use crate::{
    cache::{MirrorName, is_named},
    planner::{
        migration::found::{self, Found},
        model::snapshot::{Part, Target},
        plan::Budget,
    },
    resource::Patch,
};

impl Apply {
    pub(super) async fn update_record(
        &self,
        name: &str,
        uid: &str,
        generation: Option<i64>,
        spec: &AssignmentSpec,
        obeyed: Option<&str>,
        budget: Option<&Budget>,
    ) -> Done {
        // Held until the answer is in the cache, where the record counts.
        let _place = match budget {
            Some(budget) => Some(self.cache.reserve(name, budget).ok_or_else(|| {
                Fault::Again("every place for moves from or to one of the providers is taken".to_owned())
            })?),
            None => None,
        };
        let generation = generation.map(|is| json!({"op": "test", "path": "/metadata/generation", "value": is}));
        let replace = json!({"op": "replace", "path": "/spec", "value": spec});
        let obeyed = obeyed.map(|annotation| {
            let path = format!("/metadata/annotations/{}", annotation.replace('~', "~0").replace('/', "~1"));
            json!({"op": "remove", "path": path})
        });
        let change: Vec<Value> = [test_uid(uid)].into_iter().chain(generation).chain([replace]).chain(obeyed).collect();
        self.patch(&self.record_target(name), "", Patch::Json, &change.into(), Part::Record).await?;
        Ok(vec![Learned::Recorded(Box::new(spec.clone()))])
    }

    /// Creates what a stage deploys. An object of this stage of this migration that is there already is what was asked for.
    pub(super) async fn deploy(&self, target: &Target, body: &Value) -> Done {
        const PART: Part = Part::Migration;
        let (_, resource) = self.place(target, PART).await?;
        if !resource.namespaced {
            let message = format!(
                "{target} cannot be deployed: {} objects are not in namespaces, and a stage may deploy into its own alone",
                target.gvk
            );
            return Err(failed(PART, reason::INVALID, message, "invalid"));
        }
        let cluster = self.cluster_to_change(target, PART)?;
        let request = resource.create(target.namespace.as_deref(), body);
        match cluster.request(request.map_err(|error| unaddressable(target, &error, PART))?).await {
            Ok(reply) => {
                let made = parse(target, &reply, PART)?;
                self.took(target, &made);
                tracing::info!(resource = %target, "deployed for a migration");
                self.recall(target, &made).await?;
                Ok(vec![])
            }
            Err(error) if error.is_conflict() => {
                let there = self.read(target, PART).await?;
                let there = there.ok_or_else(|| Fault::Again(format!("{target} has just gone")))?;
                self.took(target, &there);
                let found = found::judge(&there, body);
                if found == Found::OtherStage {
                    self.take_away(target, &there).await?;
                }
                found_instead(target, found)
            }
            Err(error) => Err(lacking_namespace(target, &error, PART)
                .unwrap_or_else(|| refused(&described(target, body), &error, PART))),
        }
    }

    /// Takes away what was made in the compute cluster for a migration that somebody deleted meanwhile: its finalizer may be
    /// off by now, since nothing of it was seen there.
    pub(super) async fn recall(&self, target: &Target, made: &Object) -> Result<(), Fault> {
        if self.cache.is_migrating(made.label(keys::MIGRATION_ID).unwrap_or_default()) {
            return Ok(());
        }
        self.take_away(target, made).await?;
        Err(Fault::Again(format!("the Migration that {target} was made for is being deleted")))
    }

    /// A mirror's name belongs to one migration. Passes of two may make mirrors at the same time, of different kinds.
    pub(super) fn take_mirror_name(&self, target: &Target, id: &str) -> Result<MirrorName, Fault> {
        let taken = |other: String| Fault::Again(format!("{target} is in use by migration {other}"));
        self.cache.take_mirror_name(&target.name, id).map_err(taken)
    }

    /// Deletes what was made for a migration that does not go on: nothing of it has to be recorded.
    async fn take_away(&self, target: &Target, there: &Object) -> Result<(), Fault> {
        if there.finalizers().iter().any(|held| held == keys::STAGE_FINALIZER) {
            let keep: Vec<String> =
                there.finalizers().iter().filter(|held| *held != keys::STAGE_FINALIZER).cloned().collect();
            self.release(target, there.uid(), there.resource_version(), &keep, Part::Migration).await?;
        }
        if !there.is_deleting() {
            self.delete(target, there.uid(), Part::Migration).await?;
        }
        Ok(())
    }

    /// Whether an Assignment, as it is now, does not name a copy in any version.
    pub(super) async fn is_not_named(&self, name: &str, copy: &Target) -> Result<(), Fault> {
        let target = self.record_target(name);
        let Some(there) = self.read(&target, Part::Delete).await? else { return Ok(()) };
        self.took(&target, &there);
        // One that cannot be read may name anything.
        if is_named(&there, copy) == Some(false) {
            return Ok(());
        }
        Err(Fault::Again(format!("{target} names {copy}, although the cache does not show it")))
    }
}

/// What a stage deploys, as its configuration knows it and as it is found.
fn described(target: &Target, body: &Value) -> String {
    let label = |name: &str| body["metadata"]["labels"][name].as_str().unwrap_or_default();
    let id = format!("{}-", label(keys::MIGRATION_ID));
    format!(
        "stage {}: {} {} (template {}) in namespace {} of {}",
        label(keys::MIGRATION_STAGE),
        target.gvk.kind,
        target.name,
        target.name.strip_prefix(&id).unwrap_or(&target.name),
        target.namespace.as_deref().unwrap_or_default(),
        target.cluster,
    )
}

/// What becomes of a stage's object where there is one already.
fn found_instead(target: &Target, found: Found) -> Done {
    match found {
        Found::Deployed => Ok(vec![]),
        Found::Deleting => Err(Fault::Again(format!("{target} of an earlier attempt is still going"))),
        Found::OtherStage => Err(Fault::Again(format!("{target} of another stage goes first"))),
        Found::Foreign => {
            let message = format!("{target} exists and is not this migration's; rename or delete that one");
            Err(failed(Part::Migration, reason::WRITE_FAILED, message, "conflict"))
        }
    }
}

#[cfg(test)]
mod tests {
    use resource_broker_api::names::{ClusterName, Gvk, Role};

    use super::*;

    #[test]
    fn a_refused_resource_is_named_with_its_stage_and_template() {
        let target = Target::new(
            ClusterName::new(Role::Compute, "compute"),
            Gvk::new("batch", "v1", "Job"),
            Some("jobs".into()),
            "m1-run".into(),
        );
        let body = json!({"metadata": {"labels": {keys::MIGRATION_ID: "m1", keys::MIGRATION_STAGE: "copy"}}});
        let request = http::Request::post("/apis/batch/v1/namespaces/jobs/jobs").body(()).unwrap();
        let sent = crate::transport::Target::of(&target.cluster, &request);
        let said = br#"{"reason": "BadRequest", "message": "strict decoding error: unknown field \"spec.x\""}"#;
        let code = http::StatusCode::BAD_REQUEST;
        let error = crate::transport::RequestError::from_answer(sent, code, &http::HeaderMap::new(), said);
        let Fault::Failed { failure, .. } = refused(&described(&target, &body), &error, Part::Migration) else {
            panic!("{error}")
        };
        let what = "stage copy: Job m1-run (template run) in namespace jobs of compute#compute is refused: 400 BadRequest: \
                    strict decoding error: unknown field \"spec.x\"";
        assert_eq!(failure.message, what);
    }

    #[test]
    fn what_is_there_is_taken_in_where_it_is_this_stages_and_left_alone_otherwise() {
        let target = Target::new(
            ClusterName::new(Role::Compute, "compute"),
            Gvk::new("batch", "v1", "Job"),
            Some("jobs".into()),
            "m1-run".into(),
        );
        assert!(found_instead(&target, Found::Deployed).is_ok());
        for goes_first in [Found::Deleting, Found::OtherStage] {
            assert!(matches!(found_instead(&target, goes_first), Err(Fault::Again(_))), "{goes_first:?}");
        }
        let Err(Fault::Failed { failure, .. }) = found_instead(&target, Found::Foreign) else { panic!("it was taken") };
        assert!(failure.message.contains("Job jobs/m1-run in compute#compute exists"), "{}", failure.message);
        assert!(failure.message.contains("rename or delete"), "{}", failure.message);
    }
}
