//! Carries out actions: one match over [`Action`], and the only place that changes anything in a cluster (but for the
//! Lease). It chooses nothing: every action says which object is meant, and where the cluster shows another one the
//! key is looked at again.

mod faults;
mod moves;
mod related;

use std::{sync::Arc, time::Duration};

use http::Request;
use resource_broker_api::{
    broker::{AssignmentSpec, MigrationState},
    conditions::reason,
    keys,
    names::{ClusterName, Gvk, Role},
    object::Object,
};
use serde_json::{Value, json};

use self::faults::{failed, fault, is_absent, lacks_namespace, refused, unaddressable};
use crate::{
    cache::{Cache, WorkKey, own},
    clusters::ClusterSet,
    discovery::{self, DiscoveryError},
    lease::Leadership,
    planner::{
        model::snapshot::{Failure, Part, Target},
        plan::{Action, Guard, digest},
        sync::copy::content_digest,
    },
    queue::Queue,
    report::Reporter,
    resource::{Patch, Resource},
    transport::{Cluster, Reply, RequestError},
};

/// Any version is older than what an API server holds: an apply with this one creates, and never changes.
const CREATE_ONLY: &str = "1";

/// What a pass learns from an action that went well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Learned {
    /// A copy was made at this provider.
    Placed(ClusterName),
    /// The copy at a provider was applied: digests of what was asked for and of what resulted, and the copy's UID.
    Applied(ClusterName, String, String, String),
    /// The status was written: digests of what was asked for and of what resulted.
    Status(String, String),
    /// A related resource was written: kind, name and resulting resourceVersion.
    Related(Gvk, String, String),
    /// The copy with this UID ended.
    Gone(String),
    /// The Assignment records this from now on.
    Recorded(Box<AssignmentSpec>),
    /// The Migration is in this state from now on.
    Migrated(Option<MigrationState>),
}

/// Why an action did not do what it says.
#[derive(Debug)]
pub enum Fault {
    /// The cluster shows something else than the snapshot did: look again.
    Again(String),
    /// It did not work out; told to people, and tried again.
    Failed {
        /// For the next pass.
        failure: Failure,
        /// A word of a small set, for metrics.
        category: &'static str,
        /// When another try makes sense, if the cluster said.
        retry_in: Option<Duration>,
    },
    /// Another process leads now.
    NotLeading,
}

type Done = Result<Vec<Learned>, Fault>;
type Answer = Result<Reply, RequestError>;

/// See the module.
pub struct Apply {
    /// The clusters.
    pub clusters: Arc<ClusterSet>,
    /// Takes in what API servers answer.
    pub cache: Arc<Cache>,
    /// Gets what that concerns.
    pub queue: Arc<Queue<WorkKey>>,
    /// Whether this process may write.
    pub leadership: Arc<Leadership>,
    /// Sends Events.
    pub reporter: Reporter,
    /// The broker's namespace in the coordination cluster.
    pub namespace: String,
}

impl Apply {
    /// Carries out one action.
    pub async fn run(&self, action: &Action) -> Done {
        let part = action.part();
        match action {
            Action::CreateRecord { name, spec } => {
                let body = json!({
                    "apiVersion": own::records().gvk.api_version(), "kind": "Assignment",
                    "metadata": {"name": name, "namespace": self.namespace}, "spec": spec,
                });
                let request = own::records().create(Some(&self.namespace), &body);
                self.write(&self.record_target(name), request, part).await?;
                tracing::info!(assignment = name, provider = spec.provider.cluster, "made the Assignment");
                Ok(vec![])
            }
            Action::UpdateRecord { name, uid, generation, spec, obeyed, budget, guards } => {
                self.guards(guards).await?;
                self.update_record(name, uid, *generation, spec, *obeyed, budget.as_ref()).await
            }
            Action::RecordStatus { name, uid, status } => {
                let change = json!([test_uid(uid), {"op": "add", "path": "/status", "value": status}]);
                self.patch(&self.record_target(name), "status", Patch::Json, &change, part).await?;
                Ok(vec![])
            }
            Action::DeleteRecord { name, uid, guards } => {
                self.guards(guards).await?;
                self.delete(&self.record_target(name), uid, part).await?;
                Ok(vec![])
            }
            Action::CreateMigration { name, spec } => {
                let migrations = own::migrations();
                let body = json!({
                    "apiVersion": migrations.gvk.api_version(), "kind": migrations.gvk.kind,
                    "metadata": {
                        "name": name, "namespace": self.namespace, "finalizers": [keys::MIGRATION_FINALIZER],
                    },
                    "spec": spec,
                });
                let request = migrations.create(Some(&self.namespace), &body);
                self.write(&self.migration_target(name), request, part).await?;
                Ok(vec![])
            }
            Action::MigrationStatus { name, uid, resource_version, status, guards } => {
                self.guards(guards).await?;
                // Whoever led before may have come further than the cache shows.
                let unchanged = json!({"op": "test", "path": "/metadata/resourceVersion", "value": resource_version});
                let change = json!([test_uid(uid), unchanged, {"op": "add", "path": "/status", "value": status}]);
                self.patch(&self.migration_target(name), "status", Patch::Json, &change, part).await?;
                Ok(vec![Learned::Migrated(status.state)])
            }
            Action::TakeOrders { name, uid, annotations } => {
                // A merge patch takes off what may be gone already.
                let none: serde_json::Map<String, Value> =
                    annotations.iter().map(|annotation| ((*annotation).to_owned(), Value::Null)).collect();
                let change = json!({"metadata": {"uid": uid, "annotations": none}});
                self.patch(&self.migration_target(name), "", Patch::Merge, &change, part).await?;
                tracing::info!(migration = name, orders = annotations.join(", "), "took orders off");
                Ok(vec![])
            }
            Action::ReleaseMigration { name, uid, resource_version, keep } => {
                self.release(&self.migration_target(name), uid, resource_version, keep, part).await
            }
            Action::DeleteMigration { name, uid, guards } => {
                self.guards(guards).await?;
                self.delete(&self.migration_target(name), uid, part).await?;
                Ok(vec![])
            }
            Action::Deploy { target, body } => self.deploy(target, body).await,
            Action::Decorate { target, uid, resource_version, finalizer, annotations, hand_over } => {
                let frame = |metadata: Value| json!({"apiVersion": target.gvk.api_version(), "kind": target.gvk.kind, "metadata": metadata});
                let mut body = frame(json!({"uid": uid, "finalizers": [finalizer], "annotations": annotations}));
                if let Some(version) = resource_version {
                    body["metadata"]["resourceVersion"] = version.as_str().into();
                }
                self.mark(target, keys::MARKS_MANAGER, &body).await?;
                if *hand_over {
                    // What is marked under the other name stays, and this manager owns nothing any more.
                    self.mark(target, keys::FIELD_MANAGER, &frame(json!({"uid": uid}))).await?;
                }
                Ok(vec![])
            }
            Action::Unmark { target, uid, annotation } => {
                let change = json!({"metadata": {"uid": uid, "annotations": {*annotation: null}}});
                self.patch(target, "", Patch::Merge, &change, part).await?;
                Ok(vec![])
            }
            Action::ReleaseFinalizer { target, uid, resource_version, keep, guards } => {
                self.guards(guards).await?;
                self.release(target, uid, resource_version, keep, part).await
            }
            Action::Retain { target, uid, resource_version, finalizers } => {
                self.release(target, uid, resource_version, finalizers, part).await
            }
            Action::ApplyCopy { target, uid, body, asked } => {
                self.apply_copy(target, uid.as_deref(), body, asked).await
            }
            Action::PutStatus { target, uid, status, beside, asked } => {
                let put = json!({"op": "add", "path": "/status", "value": status});
                // What others write beside it is not set back to what a cache shows.
                let unchanged =
                    beside.as_ref().map(|there| json!({"op": "test", "path": "/status/conditions", "value": there}));
                let change: Vec<Value> = [test_uid(uid)].into_iter().chain(unchanged).chain([put]).collect();
                let change = Value::from(change);
                let object = self.patch(target, "status", Patch::Json, &change, part).await?;
                let got = digest::of(&object.field("status").unwrap_or(Value::Null));
                Ok(vec![Learned::Status(asked.clone(), got)])
            }
            Action::OfferStatus { target, uid, resource_version, status, asked } => {
                let unchanged = json!({"op": "test", "path": "/metadata/resourceVersion", "value": resource_version});
                let change = json!([test_uid(uid), unchanged, {"op": "add", "path": "/status", "value": status}]);
                let object = self.patch(target, "status", Patch::Json, &change, part).await?;
                let got = digest::of(&object.field("status").unwrap_or(Value::Null));
                Ok(vec![Learned::Status(asked.clone(), got)])
            }
            Action::CopyRelated(request) => self.copy_related(request, part).await,
            Action::Delete { target, uid, guards } => {
                self.guards(guards).await?;
                if target.cluster.role == Role::Provider && self.cache.is_serving(uid) {
                    return Err(Fault::Again(format!(
                        "{target} is in use: a record names it for an object that lives"
                    )));
                }
                let ended = self.delete(target, uid, part).await?;
                if target.cluster.role == Role::Provider {
                    tracing::info!(copy = %target, "deleted the copy");
                }
                Ok(if ended { gone(target, uid) } else { vec![] })
            }
            Action::Event(_) if !self.leadership.is_leader() => Err(Fault::NotLeading),
            Action::Event(event) => {
                self.reporter.tell(event, &self.clusters).await;
                Ok(vec![])
            }
        }
    }

    fn record_target(&self, name: &str) -> Target {
        self.own_target(&own::records(), name)
    }

    /// Where a Migration is.
    pub fn migration_target(&self, name: &str) -> Target {
        self.own_target(&own::migrations(), name)
    }

    fn own_target(&self, resource: &Resource, name: &str) -> Target {
        let coordination = self.clusters.coordination().name().clone();
        Target::new(coordination, resource.gvk.clone(), Some(self.namespace.clone()), name.into())
    }

    async fn apply_copy(&self, target: &Target, uid: Option<&str>, body: &Value, asked: &str) -> Done {
        let mut body = body.clone();
        if let Some(uid) = uid {
            body["metadata"]["uid"] = uid.into();
        } else {
            body["metadata"]["resourceVersion"] = CREATE_ONLY.into();
        }
        let force = uid.is_some();
        let mut applied = self.try_apply(target, &body, force).await?;
        if let (Err(error), Some(namespace)) = (&applied, &target.namespace)
            && lacks_namespace(error, namespace)
        {
            self.make_namespace(target, namespace, &body).await?;
            applied = self.try_apply(target, &body, force).await?;
        }
        let object = match applied {
            Ok(reply) => parse(target, &reply, Part::Copy)?,
            Err(error) if error.is_conflict() => return self.look_again(target, Part::Copy).await,
            Err(error) => return Err(fault(&error, Part::Copy)),
        };
        let mut learned = vec![Learned::Applied(
            target.cluster.clone(),
            asked.to_owned(),
            content_digest(&object),
            object.uid().to_owned(),
        )];
        if uid.is_none() {
            tracing::info!(copy = %target, "made the copy");
            learned.push(Learned::Placed(target.cluster.clone()));
        }
        self.took(target, &object);
        Ok(learned)
    }

    async fn try_apply(&self, target: &Target, body: &Value, force: bool) -> Result<Answer, Fault> {
        let (_, resource) = self.place(target, Part::Copy).await?;
        let cluster = self.cluster_to_change(target, Part::Copy)?;
        let request = resource.patch(target.namespace.as_deref(), &target.name, "", Patch::Apply { force }, body);
        Ok(cluster.request(request.map_err(|error| unaddressable(target, &error, Part::Copy))?).await)
    }

    /// Makes the namespace of the copy `body`, marked as this broker's, and as one consumer's where it is for that one alone.
    async fn make_namespace(&self, target: &Target, namespace: &str, copy: &Value) -> Result<(), Fault> {
        let cluster = self.cluster_to_change(target, Part::Copy)?;
        let namespaces =
            Resource { namespaced: false, ..Resource::known(Gvk::new("core", "v1", "Namespace"), "namespaces") };
        let marks = &copy["metadata"]["annotations"];
        let mut body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
        if let Some(broker) = marks[keys::BROKER].as_str() {
            body["metadata"]["labels"] = json!({keys::MADE_BY: broker});
        }
        if marks[keys::CONSUMER_NAMESPACE].is_string() {
            let of = [keys::CONSUMER_CLUSTER, keys::CONSUMER_NAMESPACE].map(|mark| (mark, marks[mark].clone()));
            body["metadata"]["annotations"] = of.into_iter().collect();
        }
        let request = namespaces.create(None, &body).map_err(|error| unaddressable(target, &error, Part::Copy))?;
        match cluster.request(request).await {
            Ok(_) => {
                tracing::info!(cluster = %target.cluster, namespace, "made the namespace for a copy");
                Ok(())
            }
            Err(error) if error.is_conflict() => Ok(()),
            Err(error) => Err(fault(&error, Part::Copy)),
        }
    }

    /// An object is there that the cache did not show, or not as it is: takes it in, and looks at the key again.
    async fn look_again(&self, target: &Target, part: Part) -> Done {
        if let Some(object) = self.read(target, part).await? {
            self.took(target, &object);
        }
        Err(Fault::Again(format!("{target} is not as the cache shows it")))
    }

    /// Gives an object these finalizers alone.
    async fn release(&self, target: &Target, uid: &str, resource_version: &str, keep: &[String], part: Part) -> Done {
        let finalizers = if keep.is_empty() { Value::Null } else { json!(keep) };
        let change = json!({"metadata": {"uid": uid, "resourceVersion": resource_version, "finalizers": finalizers}});
        let object = match self.patch(target, "", Patch::Merge, &change, part).await {
            // Somebody else took the last finalizer off.
            Err(Fault::Again(_)) if self.read(target, part).await?.is_none_or(|there| there.uid() != uid) => {
                self.cache.ended(target, uid).enqueue(&self.queue);
                return Ok(gone(target, uid));
            }
            other => other?,
        };
        let graceful = object.meta.deletion_grace_period_seconds.is_some_and(|seconds| seconds > 0);
        if object.is_deleting() && object.finalizers().is_empty() && !graceful {
            // Taking the last finalizer off is what ends an object.
            self.cache.ended(target, uid).enqueue(&self.queue);
            return Ok(gone(target, uid));
        }
        Ok(vec![])
    }

    /// Deletes the object with this UID; whether it is gone already.
    async fn delete(&self, target: &Target, uid: &str, part: Part) -> Result<bool, Fault> {
        let (_, resource) = self.place(target, part).await?;
        let cluster = self.cluster_to_change(target, part)?;
        let request = resource.delete(target.namespace.as_deref(), &target.name, uid);
        let request = request.map_err(|error| unaddressable(target, &error, part))?;
        match cluster.request(request).await {
            Ok(reply) => {
                let object =
                    parse(target, &reply, part).ok().filter(|object| object.uid() == uid && object.is_deleting());
                match object {
                    Some(object) if !object.finalizers().is_empty() => {
                        self.took(target, &object);
                        Ok(false)
                    }
                    // A pod, say, that is given time.
                    Some(object) if object.meta.deletion_grace_period_seconds.is_some_and(|s| s > 0) => Ok(false),
                    _ => {
                        self.cache.ended(target, uid).enqueue(&self.queue);
                        Ok(true)
                    }
                }
            }
            Err(error) if is_absent(&error, target) => {
                self.cache.ended(target, uid).enqueue(&self.queue);
                Ok(true)
            }
            Err(error) if error.is_conflict() => self.look_again(target, part).await.map(|_| false),
            Err(error) if part == Part::Migration => Err(refused(&format!("the deletion of {target}"), &error, part)),
            Err(error) => Err(fault(&error, part)),
        }
    }

    async fn guards(&self, guards: &[Guard]) -> Result<(), Fault> {
        for guard in guards {
            let (target, uid) = match guard {
                Guard::Gone(target) => (target.clone(), None),
                Guard::NotThatOne(target, uid) => (target.clone(), Some(uid)),
                Guard::NoRecord(name) => (self.record_target(name), None),
                Guard::NotNamed(name, copy) => {
                    self.is_not_named(name, copy).await?;
                    continue;
                }
                Guard::Lives(target, uid) => {
                    self.lives(target, uid).await?;
                    continue;
                }
            };
            let there = self.read(&target, Part::Delete).await?;
            let holds = there.as_ref().is_none_or(|there| uid.is_some_and(|uid| there.uid() != uid));
            if !holds {
                if let Some(there) = there {
                    self.took(&target, &there);
                }
                return Err(Fault::Again(format!("{target} is there, although the cache does not show it")));
            }
        }
        Ok(())
    }

    /// Something counts on this object's being there.
    async fn lives(&self, target: &Target, uid: &str) -> Result<(), Fault> {
        let there = self.read(target, Part::Delete).await?;
        if there.as_ref().is_some_and(|there| there.uid() == uid && !there.is_deleting()) {
            return Ok(());
        }
        if let Some(there) = there {
            self.took(target, &there);
        }
        Err(Fault::Again(format!("{target} is not there any more, although the cache shows it")))
    }

    /// What is at a place of which no watch shows everything: metadata only, since nobody has a use for the rest.
    pub async fn look(&self, target: &Target) -> Result<Option<Arc<Object>>, String> {
        match self.read(target, Part::Related).await {
            Ok(there) => Ok(there.map(|mut there| {
                there.fields.clear();
                Arc::new(there)
            })),
            Err(Fault::Again(why)) => Err(why),
            Err(Fault::Failed { failure, .. }) => Err(failure.message),
            Err(Fault::NotLeading) => Err("this process does not lead any more".into()),
        }
    }

    /// Reads one object, uncached; `None` where it is not there.
    async fn read(&self, target: &Target, part: Part) -> Result<Option<Object>, Fault> {
        let (cluster, resource) = self.place(target, part).await?;
        let request = resource.get(target.namespace.as_deref(), &target.name);
        let request = request.map_err(|error| unaddressable(target, &error, part))?;
        match cluster.request(request).await {
            Ok(reply) => parse(target, &reply, part).map(Some),
            Err(error) if is_absent(&error, target) => Ok(None),
            Err(error) => Err(fault(&error, part)),
        }
    }

    async fn mark(&self, target: &Target, manager: &str, body: &Value) -> Result<Object, Fault> {
        let (_, resource) = self.place(target, Part::Decorate).await?;
        let patch = Patch::Apply { force: true };
        let request = resource.patch_as(manager, target.namespace.as_deref(), &target.name, "", patch, body);
        self.write(target, request, Part::Decorate).await
    }

    async fn patch(
        &self,
        target: &Target,
        subresource: &str,
        patch: Patch,
        body: &Value,
        part: Part,
    ) -> Result<Object, Fault> {
        let (_, resource) = self.place(target, part).await?;
        let request = resource.patch(target.namespace.as_deref(), &target.name, subresource, patch, body);
        self.write(target, request, part).await
    }

    async fn write(
        &self,
        target: &Target,
        request: Result<Request<Vec<u8>>, http::Error>,
        part: Part,
    ) -> Result<Object, Fault> {
        let cluster = self.cluster_to_change(target, part)?;
        let request = request.map_err(|error| unaddressable(target, &error, part))?;
        let reply = cluster.request(request).await.map_err(|error| fault(&error, part))?;
        let object = parse(target, &reply, part)?;
        self.took(target, &object);
        Ok(object)
    }

    fn took(&self, target: &Target, object: &Object) {
        self.cache.wrote(target, object).enqueue(&self.queue);
    }

    fn cluster(&self, target: &Target, part: Part) -> Result<Arc<Cluster>, Fault> {
        let unattached = || {
            let message = format!("{} is not attached to the broker any more", target.cluster);
            failed(part, reason::CLUSTER_UNAVAILABLE, message, "detached")
        };
        self.clusters.get(&target.cluster).ok_or_else(unattached)
    }

    /// The cluster of a request that changes something. Asked for right before each of them: an action may have read for
    /// a while, and leadership ends by the clock.
    fn cluster_to_change(&self, target: &Target, part: Part) -> Result<Arc<Cluster>, Fault> {
        if !self.leadership.is_leader() {
            return Err(Fault::NotLeading);
        }
        self.cluster(target, part)
    }

    async fn place(&self, target: &Target, part: Part) -> Result<(Arc<Cluster>, Resource), Fault> {
        let cluster = self.cluster(target, part)?;
        let own = own::all().into_iter().find(|own| own.gvk == target.gvk);
        if let Some(resource) = own.or_else(|| self.cache.resource(&target.cluster, &target.gvk)) {
            return Ok((cluster, resource));
        }
        let unserved = |why: &dyn std::fmt::Display| {
            let message = format!("{} cannot be written in {}: {why}", target.gvk, target.cluster);
            failed(part, reason::CLUSTER_UNAVAILABLE, message, "not_served")
        };
        if target.cluster.role != Role::Compute {
            return Err(unserved(&"it is not served there, or has not been found yet"));
        }
        // Stages deploy kinds that nobody has watched before.
        match discovery::find(&cluster, &target.gvk, false).await.map(|found| found.resource) {
            Ok(resource) => Ok((cluster, resource)),
            Err(DiscoveryError::Request(error)) => Err(fault(&error, part)),
            Err(error) => Err(unserved(&error)),
        }
    }
}

/// Of ends, only a copy's is worth remembering: it lets the consumer's object go.
fn gone(target: &Target, uid: &str) -> Vec<Learned> {
    if target.cluster.role == Role::Provider { vec![Learned::Gone(uid.into())] } else { Vec::new() }
}

fn test_uid(uid: &str) -> Value {
    json!({"op": "test", "path": "/metadata/uid", "value": uid})
}

fn parse(target: &Target, reply: &Reply, part: Part) -> Result<Object, Fault> {
    serde_json::from_slice(&reply.body).map_err(|error| {
        let message = format!("{}: the answer about {target} is no Kubernetes object: {error}", target.cluster);
        failed(part, reason::CLUSTER_UNAVAILABLE, message, "malformed")
    })
}
