//! A model of the clusters around one consumer object: just enough of API servers that plans can be carried out and
//! planned again. What is there and what people do is here, what the caches show in `caches`, what the broker does in
//! `writes`, what moves take beside that in `moves`, a migration's template component and what it deploys in `compute`.

mod caches;
pub(crate) mod compute;
mod moves;
mod writes;

pub(crate) use writes::Cut;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::Time,
    jiff::{SignedDuration, Timestamp},
};
use resource_broker_api::{
    broker::Copies,
    keys,
    names::{ClusterName, Gvk, Role, prefix_of_copy},
    object::{Object, Shape},
};
use resource_broker_planner::model::{
    claimed::Claims,
    question::Judgement,
    snapshot::{Configuration, Identity, Key, Limits, Memory, MigrationRecord, Record},
};
use resource_broker_plugin_types::{Verdict, Violation};
use serde_json::{Value, json};

use crate::fields;
use compute::Compute;

/// The namespace of the consumer object.
pub(crate) const NAMESPACE: &str = "team";
/// A finalizer of a provider's operator.
pub(crate) const THEIR_FINALIZER: &str = "corp.com/cleanup";
/// The id of the broker.
pub(crate) const BROKER: &str = "b1";

/// An offer accepts the object.
#[expect(clippy::unnecessary_wraps, reason = "it stands for an answer that may be a failure")]
pub(crate) fn accepts() -> Judgement {
    Ok(Verdict::accepted())
}

/// An offer refuses the object, for one reason.
pub(crate) fn refuses(reason: &str) -> Judgement {
    judgement(&[reason.to_owned()])
}

/// An offer refuses the object, for these reasons.
#[expect(clippy::unnecessary_wraps, reason = "it stands for an answer that may be a failure")]
pub(crate) fn judgement(reasons: &[String]) -> Judgement {
    Ok(Verdict::Refused(reasons.iter().map(|reason| Violation::new("key", "rule", reason)).collect()))
}

/// Why a cache cannot be read.
#[derive(Clone, Debug)]
pub(crate) struct Unread {
    pub(crate) why: String,
    pub(crate) failing: bool,
}

/// How a plugin answers.
#[derive(Clone, Debug, Default)]
pub(crate) enum Plugin {
    #[default]
    Works,
    /// It was not asked in time.
    Silent,
    Failed(String),
}

/// Where an offer is: provider, namespace, name.
pub(crate) type OfferName = (ClusterName, String, String);
/// A related resource's kind, namespace and name.
pub(crate) type SourceName = (Gvk, String, String);

/// One provider cluster.
#[derive(Clone, Debug, Default)]
pub(crate) struct Provider {
    pub(crate) detached: bool,
    /// Whatever is written there fails.
    pub(crate) broken: bool,
    /// Why its API server refuses every copy.
    pub(crate) refuses: Option<String>,
    pub(crate) copy: Option<Value>,
    pub(crate) copies_unread: Option<Unread>,
    pub(crate) offers_unread: Option<Unread>,
    pub(crate) sources: BTreeMap<SourceName, Value>,
}

/// Which related resources may not be watched, or cannot be read yet.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ends {
    pub(crate) unwatchable: bool,
    pub(crate) unread: Option<Unread>,
}

/// Everything around one consumer object.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, and any of them may go with any other")]
pub(crate) struct World {
    pub(crate) key: Key,
    pub(crate) shape: Shape,
    pub(crate) now: Timestamp,
    pub(crate) object: Option<Value>,
    pub(crate) object_unread: Option<Unread>,
    pub(crate) record: Option<Record>,
    pub(crate) record_unread: Option<Unread>,
    /// Whether the broker watches other versions of the object's kind too.
    pub(crate) other_versions_watched: bool,
    /// Other versions of the kind that are watched, with their offers.
    pub(crate) versions: BTreeMap<String, BTreeMap<OfferName, Judgement>>,
    pub(crate) offers: BTreeMap<OfferName, Judgement>,
    pub(crate) providers: BTreeMap<ClusterName, Provider>,
    /// Networks that a Peering may refer to: `gone`, `unplaced`, `unread`, a provider, or `FROM to TO`. Empty: their kind is
    /// not watched.
    pub(crate) networks: BTreeMap<String, String>,
    /// Peerings with a record that refer to a network.
    pub(crate) referrers: Vec<String>,
    /// How the offers of a provider want their copies.
    pub(crate) copies: BTreeMap<ClusterName, Copies>,
    /// Objects beside the consumer object, by kind and name.
    pub(crate) beside: BTreeMap<(Gvk, String), Value>,
    pub(crate) allowed: BTreeSet<&'static str>,
    /// What other copies at the providers have to do with related resources there.
    pub(crate) claims: Claims,
    pub(crate) sources: Ends,
    pub(crate) targets: Ends,
    pub(crate) filter: Plugin,
    pub(crate) transformer: Plugin,
    /// What a webhook at the providers makes of every copy that is applied.
    pub(crate) webhook: Option<Value>,
    /// Whether the consumer's schema drops the broker's conditions, although it has the field.
    pub(crate) drops_conditions: bool,
    pub(crate) memory: Memory,
    pub(crate) limits: Limits,
    /// Other objects that move from or to a provider.
    pub(crate) moves: BTreeMap<ClusterName, usize>,
    pub(crate) migration: Option<MigrationRecord>,
    pub(crate) migrations_unread: Option<Unread>,
    /// Each provider calls its Secret by a name of its own.
    pub(crate) own_names: bool,
    /// Somebody tore a Migration away, finalizer or not.
    pub(crate) migration_was_lost: bool,
    pub(crate) configurations: Vec<Configuration>,
    /// Whether a Plugin makes the stages of the object's API.
    pub(crate) stages_plugin: bool,
    pub(crate) compute: Compute,
    /// Which clusters stand behind names.
    pub(crate) identities: BTreeMap<ClusterName, Identity>,
    /// The record whose copy the consumer object is.
    pub(crate) copy_of: Option<String>,
    /// How long a finished Migration stays.
    pub(crate) history: Duration,
    /// The annotations of the object that the broker has put there.
    pub(crate) marked: BTreeSet<String>,
    /// The spec that the old copy had when the move began.
    pub(crate) frozen: Option<Value>,
    /// What a write did that no write may do.
    pub(crate) wrongs: Vec<String>,
    counter: u64,
}

/// A provider cluster by its short name.
pub(crate) fn provider(name: &str) -> ClusterName {
    ClusterName::new(Role::Provider, name)
}

/// What an API server would send of `document`.
pub(crate) fn object(document: &Value) -> Arc<Object> {
    match serde_json::from_str(&document.to_string()) {
        Ok(object) => Arc::new(object),
        Err(error) => panic!("not an object: {error}: {document}"),
    }
}

fn uid_of(document: &Value) -> &str {
    document["metadata"]["uid"].as_str().unwrap_or_default()
}

fn is_deleting(document: &Value) -> bool {
    !document["metadata"]["deletionTimestamp"].is_null()
}

impl World {
    /// A consumer cluster with one new `Certificate`, and nothing else.
    pub(crate) fn new() -> Self {
        let key = Key {
            consumer: ClusterName::new(Role::Consumer, "acme"),
            gvk: Gvk::new("identity.generic.platform-mesh.io", "v1alpha1", "Certificate"),
            namespace: Some(NAMESPACE.into()),
            name: "www".into(),
        };
        // Any moment does: plans tell now from before, and nothing else.
        let now = "2026-01-02T03:04:05Z".parse().unwrap_or(Timestamp::UNIX_EPOCH);
        let mut world = Self {
            key,
            shape: Shape { status: true, conditions: true },
            now,
            object: None,
            object_unread: None,
            record: None,
            record_unread: None,
            other_versions_watched: true,
            versions: BTreeMap::new(),
            offers: BTreeMap::new(),
            providers: BTreeMap::new(),
            networks: BTreeMap::new(),
            referrers: Vec::new(),
            copies: BTreeMap::new(),
            beside: BTreeMap::new(),
            allowed: BTreeSet::from(["Secret", "ConfigMap"]),
            claims: Claims::default(),
            sources: Ends::default(),
            targets: Ends::default(),
            filter: Plugin::Works,
            transformer: Plugin::Works,
            webhook: None,
            drops_conditions: false,
            memory: Memory::default(),
            limits: Limits { settle: Duration::from_secs(10), moves_per_provider: 10 },
            moves: BTreeMap::new(),
            migration: None,
            migrations_unread: None,
            own_names: false,
            migration_was_lost: false,
            configurations: Vec::new(),
            stages_plugin: false,
            compute: Compute::new(),
            identities: BTreeMap::new(),
            copy_of: None,
            history: Duration::from_hours(24),
            marked: BTreeSet::new(),
            frozen: None,
            wrongs: Vec::new(),
            counter: 0,
        };
        world.create_object();
        world
    }

    fn next(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    fn metadata(&mut self, name: &str, namespace: Option<&str>) -> Value {
        let (uid, version) = (format!("uid-{}", self.next()), self.counter.to_string());
        let mut metadata = json!({
            "name": name, "uid": uid, "resourceVersion": version, "generation": 1, "creationTimestamp": Time(self.now),
        });
        if let Some(namespace) = namespace {
            metadata["namespace"] = namespace.into();
        }
        metadata
    }

    /// The consumer makes its object, under a UID of its own.
    pub(crate) fn create_object(&mut self) {
        let (name, namespace) = (self.key.name.clone(), self.key.namespace.clone());
        let metadata = self.metadata(&name, namespace.as_deref());
        self.object = Some(json!({"metadata": metadata, "spec": {"fqdn": "www.corp.com"}}));
    }

    /// Lets time pass.
    pub(crate) fn wait(&mut self, time: Duration) {
        self.now += SignedDuration::try_from(time).unwrap_or_default();
        if !time.is_zero() {
            self.end_pods();
        }
        if let Some(since) = &mut self.memory.since_placed {
            *since += time;
        }
        for applied in self.memory.applied.values_mut() {
            applied.ago += time;
        }
        if let Some(written) = &mut self.memory.status {
            written.ago += time;
        }
        for judged in self.memory.judged.values_mut() {
            for lasted in [&mut judged.refused_for, &mut judged.accepted_for].into_iter().flatten() {
                *lasted += time;
            }
        }
        for lasted in self.memory.fit.iter_mut().chain(self.memory.missing.values_mut()) {
            *lasted += time;
        }
    }

    /// Marks an object as deleted; one without finalizers goes. Whether it is gone.
    fn delete(there: &mut Option<Value>, now: Timestamp) -> bool {
        let Some(document) = there else { return true };
        if document["metadata"]["finalizers"].as_array().is_none_or(Vec::is_empty) {
            *there = None;
            return true;
        }
        if !is_deleting(document) {
            document["metadata"]["deletionTimestamp"] = json!(Time(now));
        }
        false
    }

    /// The consumer deletes its object.
    pub(crate) fn delete_object(&mut self) {
        Self::delete(&mut self.object, self.now);
    }

    /// Somebody at the provider deletes the copy.
    pub(crate) fn delete_copy(&mut self, at: &ClusterName) {
        let now = self.now;
        if let Some(provider) = self.providers.get_mut(at) {
            Self::delete(&mut provider.copy, now);
        }
    }

    /// The consumer changes its object; a changed spec is a new generation.
    pub(crate) fn edit_object(&mut self, change: &Value) {
        let version = self.next();
        if let Some(there) = &mut self.object {
            let before = there["spec"].clone();
            fields::patch(there, change);
            if there["spec"] != before {
                let generation = there["metadata"]["generation"].as_i64().unwrap_or_default();
                there["metadata"]["generation"] = (generation + 1).into();
            }
            there["metadata"]["resourceVersion"] = version.to_string().into();
            Self::end(&mut self.object);
        }
    }

    /// Somebody at the provider changes what is under the copy's name, or puts something there.
    pub(crate) fn edit_copy(&mut self, at: &ClusterName, change: &Value) {
        let (namespace, name) = self.place_at(at);
        let metadata = self.metadata(&name, namespace.as_deref());
        let version = self.next();
        let Some(provider) = self.providers.get_mut(at) else { return };
        let there = provider.copy.get_or_insert_with(|| json!({"metadata": metadata}));
        let before = fields::content_of(there);
        fields::patch(there, change);
        let after = fields::content_of(there);
        if before.contains_key("spec") && before.get("spec") != after.get("spec") {
            let generation = there["metadata"]["generation"].as_i64().unwrap_or_default();
            there["metadata"]["generation"] = (generation + 1).into();
        }
        if let Some(owned) = there["metadata"]["managedFields"][0]["fieldsV1"].as_object() {
            let left = fields::disown(owned, &before, &after);
            there["metadata"]["managedFields"][0]["fieldsV1"] = Value::Object(left);
        }
        there["metadata"]["resourceVersion"] = version.to_string().into();
        Self::end(&mut provider.copy);
    }

    /// A copy as another broker made it: marked, and without an entry of this one in the managed fields.
    pub(crate) fn copy_of_another_broker(&mut self, at: &ClusterName) {
        let marks = json!({
            "metadata": {
                "annotations": {
                    keys::CONSUMER_CLUSTER: self.key.consumer.to_string(), keys::CONSUMER_NAME: self.key.name,
                },
                "finalizers": [keys::GENERIC_FINALIZER],
            },
            "spec": self.object.as_ref().map(|there| there["spec"].clone()),
        });
        self.edit_copy(at, &marks);
    }

    /// The provider's operator puts a source of a related resource there, or a new version of it.
    pub(crate) fn put_source(&mut self, at: &ClusterName, gvk: Gvk, name: &str) {
        let namespace = self.place_at(at).0.unwrap_or_else(|| NAMESPACE.into());
        let metadata = self.metadata(name, Some(&namespace));
        let version = self.counter;
        let Some(provider) = self.providers.get_mut(at) else { return };
        let source = provider.sources.entry((gvk, namespace, name.into()));
        let source = source.or_insert_with(|| json!({"metadata": metadata}));
        source["metadata"]["resourceVersion"] = version.to_string().into();
        source["data"] = json!({"version": version.to_string()});
    }

    /// The provider's operator has done its work: the copy is available and declares a Secret, which is there.
    pub(crate) fn make_ready(&mut self, at: &ClusterName, secret: &str) {
        let kind = Gvk::new("core", "v1", "Secret");
        let (namespace, copy) = self.place_at(at);
        let namespace = namespace.unwrap_or_else(|| NAMESPACE.into());
        let name = format!("{}{secret}", prefix_of_copy(&self.key.consumer, &copy));
        let is_there = self
            .providers
            .get(at)
            .is_some_and(|provider| provider.sources.contains_key(&(kind.clone(), namespace.clone(), name.clone())));
        if !is_there {
            self.put_source(at, kind, &name);
        }
        let gvk = json!({"group": "core", "version": "v1", "kind": "Secret"});
        let declared = json!({"tls": {"gvk": gvk, "name": name, "namespace": namespace}});
        let status = json!({"status": {"status": "Available", "relatedResources": declared}});
        if self.providers.get(at).is_some_and(|provider| provider.copy.is_some()) {
            self.edit_copy(at, &status);
        }
    }

    /// Somebody puts an object of their own beside the consumer object, or changes the one that is there.
    pub(crate) fn edit_beside(&mut self, gvk: Gvk, name: &str, change: &Value) {
        let metadata = self.metadata(name, self.key.namespace.clone().as_deref());
        let version = self.counter;
        let there = self.beside.entry((gvk, name.into())).or_insert_with(|| json!({"metadata": metadata}));
        fields::patch(there, change);
        there["metadata"]["resourceVersion"] = version.to_string().into();
        there["metadata"]["managedFields"] =
            json!([{"manager": "kubectl-edit", "operation": "Update", "fieldsV1": {"f:data": {}}}]);
    }

    /// An object that is being deleted goes with its last finalizer.
    fn end(there: &mut Option<Value>) {
        let is_over = there.as_ref().is_some_and(|document| {
            is_deleting(document) && document["metadata"]["finalizers"].as_array().is_none_or(Vec::is_empty)
        });
        if is_over {
            *there = None;
        }
    }

    /// Where the copy at a provider is, or is to be: its namespace and name.
    fn place_at(&self, at: &ClusterName) -> (Option<String>, String) {
        let recorded = self.record.iter().flat_map(Record::places).find(|place| place.cluster == *at);
        recorded
            .map_or_else(|| (self.key.namespace.clone(), self.key.copy_name()), |place| (place.namespace, place.name))
    }

    /// The provider that the record names.
    pub(crate) fn assigned(&self) -> Option<ClusterName> {
        self.record.as_ref()?.provider()
    }

    /// The copy at the provider that the record names.
    pub(crate) fn copy(&self) -> Option<&Value> {
        self.providers.get(&self.assigned()?)?.copy.as_ref()
    }
}
