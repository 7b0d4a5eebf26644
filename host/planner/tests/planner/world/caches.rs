//! What the caches show of the model, and what plugins answer about it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use resource_broker_api::{
    broker::AssignmentStatus,
    keys,
    names::{ClusterName, Gvk},
    object::Object,
};
use resource_broker_planner::{
    ask,
    model::{
        declared,
        question::{Answers, Judge, Judgement, PluginFailure, Questions, Transform},
        referred::{self, Reference, References},
        snapshot::{
            Key, Location, MigrationView, Moves, Offer, ProviderView, Record, RelatedView, Snapshot, Target,
            VersionView, View, Watched,
        },
    },
    plan,
};
use serde_json::{Map, Value, json};

use super::refuses;
use super::{Ends, OfferName, Plugin, Unread, World, object, provider};

impl World {
    /// What the caches show.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let assigned = self.assigned();
        let attached = self.providers.iter().filter(|(_, provider)| !provider.detached);
        let providers = attached.clone().map(|(name, provider)| {
            let copy = view(provider.copy.as_ref(), provider.copies_unread.as_ref());
            let offers = match &provider.offers_unread {
                Some(Unread { why, failing }) => View::Unknown { why: why.clone(), failing: *failing },
                None => View::Present(()),
            };
            // A copy that is not where copies are by default.
            let elsewhere = provider.copy.as_ref().map(object).filter(|there| {
                (there.namespace(), there.name()) != (self.key.namespace.as_deref(), &self.key.copy_name())
            });
            let own = &self.key.gvk.version;
            let others = elsewhere.iter().flat_map(|there| {
                let location = |version: &String| Location {
                    version: version.clone(),
                    namespace: there.meta.namespace.clone(),
                    name: there.name().to_owned(),
                };
                let versions = std::iter::once(own).chain(self.versions.keys());
                versions.map(|version| (location(version), copy.clone())).collect::<Vec<_>>()
            });
            let others: BTreeMap<_, _> = others.collect();
            let copy = if elsewhere.is_some() { view(None, provider.copies_unread.as_ref()) } else { copy.clone() };
            let versions = self.versions.keys().map(|version| (version.clone(), copy.clone())).collect();
            (name.clone(), ProviderView { offers, copy, versions, others })
        });
        let attached: BTreeSet<&ClusterName> = attached.map(|(name, _)| name).collect();
        let offers = self.offers.keys().filter(|(provider, ..)| attached.contains(provider));
        let is_of_this_version = |record: &Record| record.spec.consumer.version == self.key.gvk.version;
        let record = match (&self.record_unread, &self.record) {
            (Some(Unread { why, failing }), _) => View::Unknown { why: why.clone(), failing: *failing },
            (None, Some(record)) => View::Present(Arc::new(record.clone())),
            (None, None) => View::Absent,
        };
        let is_attached = |name: &&OfferName| attached.contains(&name.0);
        let versions = self.versions.iter().map(|(version, offers)| VersionView {
            version: version.clone(),
            consumer: view(self.object.as_ref(), self.object_unread.as_ref()),
            offers: offers.keys().filter(is_attached).map(|name| Arc::new(offer(self, name))).collect(),
        });
        let mut snapshot = Snapshot {
            versions: versions.collect(),
            limits: self.limits,
            moves: self.moves.iter().map(|(at, count)| (at.clone(), others(*count))).collect(),
            migration: MigrationView {
                object: match (&self.migrations_unread, &self.migration) {
                    (Some(Unread { why, failing }), _) => View::Unknown { why: why.clone(), failing: *failing },
                    (None, Some(migration)) => View::Present(Arc::new(migration.clone())),
                    (None, None) => View::Absent,
                },
                configurations: View::Present(self.configurations.iter().cloned().map(Arc::new).collect()),
                plugin: self.stages_plugin,
                compute: self.compute_view(),
            },
            related_next: Vec::new(),
            references: self.references(),
            identities: Arc::new(self.identities.clone()),
            fresh_token: "token".into(),
            broker: Some(super::BROKER.into()),
            namespace: "broker".into(),
            copy_of: self.copy_of.clone(),
            is_named_as_copy: false,
            serving: self.serving(),
            key: self.key.clone(),
            now: Time(self.now),
            consumer: view(self.object.as_ref(), self.object_unread.as_ref()),
            shape: self.shape,
            record,
            record_is_watched: self.other_versions_watched || self.record.as_ref().is_none_or(is_of_this_version),
            offers: offers.map(|name| Arc::new(offer(self, name))).collect(),
            providers: providers.collect(),
            related: Vec::new(),
            held: self.held(),
            held_is_read: self.targets.unread.as_ref().is_none_or(|unread| unread.failing),
            memory: self.memory.clone(),
        };
        if let (Some(at), Some(copy)) = (&assigned, snapshot.copy()) {
            snapshot.related = declared::declared(copy, &self.key).into_iter().map(|d| self.related(at, d)).collect();
        }
        let next = self.record.as_ref().and_then(Record::next);
        if let (Some(at), Some(copy)) = (&next, snapshot.next_copy()) {
            snapshot.related_next =
                declared::declared(copy, &self.key).into_iter().map(|d| self.related(at, d)).collect();
        }
        snapshot
    }

    fn references(&self) -> References {
        let object = self.object.as_ref().map(object);
        let names = object.map(|object| referred::names(&self.key.gvk, &object)).unwrap_or_default();
        let names = names.into_iter().filter(|_| !self.networks.is_empty());
        let to = names.map(|(field, name)| {
            let gvk = Gvk { kind: "VirtualNetwork".into(), ..self.key.gvk.clone() };
            let key = Key { gvk, name, ..self.key.clone() };
            let state = self.networks.get(&key.name).map_or("gone", String::as_str);
            let (from, to) = state.split_once(" to ").map_or((state, None), |(from, to)| (from, Some(to)));
            let place = |at: &str| {
                let at = provider(at);
                let (namespace, name) = key.copy_location(self.copies.get(&at).copied().unwrap_or_default());
                json!({"cluster": at.to_string(), "acceptAPI": {"namespace": "offers", "name": "nets"}, "namespace": namespace, "name": name})
            };
            let spec = json!({
                "consumer": {
                    "cluster": key.consumer.to_string(), "group": key.gvk.group, "version": key.gvk.version,
                    "kind": key.gvk.kind, "namespace": key.namespace, "name": key.name, "uid": "uid-of-the-network",
                },
                "provider": place(from), "next": to.map(place),
            });
            let unread = || View::Unknown { why: "it has not been read yet".into(), failing: false };
            let (object, record) = match from {
                "gone" => (View::Absent, View::Absent),
                "unplaced" => (View::Present(()), View::Absent),
                "unread" => (unread(), View::Absent),
                _ => {
                    let record = Record {
                        name: key.record_name(),
                        uid: "uid-of-the-record".into(),
                        generation: Some(1),
                        deleting: false,
                        recreated: None,
                        spec: serde_json::from_value(spec).unwrap_or_else(|error| panic!("{error}")),
                        status: AssignmentStatus::default(),
                    };
                    (View::Present(()), View::Present(Arc::new(record)))
                }
            };
            Reference { field, key, object, record }
        });
        let from = self.referrers.iter().map(|name| {
            let gvk = Gvk { kind: "Peering".into(), ..self.key.gvk.clone() };
            Key { gvk, name: name.clone(), ..self.key.clone() }
        });
        References { to: to.collect(), from: from.collect() }
    }

    /// The broker's copies of related resources that a watch shows.
    fn held(&self) -> Vec<(Gvk, Arc<Object>)> {
        if self.targets.unwatchable || self.targets.unread.is_some() {
            return Vec::new();
        }
        let record = self.key.record_name();
        let beside = self.beside.iter().map(|((gvk, _), document)| (gvk.clone(), object(document)));
        beside.filter(|(_, object)| object.label(keys::RELATED_TO) == Some(record.as_str())).collect()
    }

    fn related(&self, at: &ClusterName, declared: declared::Declared) -> RelatedView {
        let source = (declared.gvk.clone(), declared.namespace.clone(), declared.name.clone());
        let source = self.providers.get(at).and_then(|provider| provider.sources.get(&source));
        let ours = |document: &&Value| !document["metadata"]["labels"][keys::RELATED_TO].is_null();
        let target = self.beside.get(&(declared.gvk.clone(), declared.target_name.clone())).filter(ours);
        let watched = |ends: &Ends, there: Option<&Value>| {
            if ends.unwatchable { Watched::Unwatchable } else { Watched::View(view(there, ends.unread.as_ref())) }
        };
        RelatedView {
            allowed: self.allowed.contains(declared.gvk.kind.as_str()),
            source: watched(&self.sources, source),
            target: watched(&self.targets, target),
            claims: self.claims.clone(),
            declared,
        }
    }

    /// What the plugins answer to all that is asked, and the questions, in their order.
    pub(crate) fn questioned(&self, snapshot: &Snapshot) -> (Answers, Vec<Questions>) {
        let (mut answers, mut asked) = (Answers::default(), vec![ask(snapshot)]);
        // The host stops after as many.
        for _ in 0..8 {
            let Some(questions) = asked.last() else { break };
            self.answer(snapshot, questions, &mut answers);
            match plan(snapshot, &answers) {
                Ok(_) => return (answers, asked),
                Err(more) => asked.push(*more),
            }
        }
        panic!("no end of questions: {asked:#?}")
    }

    fn answer(&self, snapshot: &Snapshot, questions: &Questions, answers: &mut Answers) {
        if let Some(judge) = &questions.judge {
            answers.judge = answer(&self.filter, || self.judge(snapshot, judge));
        }
        if let Some(question) = &questions.transform {
            answers.transform = answer(&self.transformer, || transform(question));
        }
        if !questions.elsewhere.is_empty() {
            let one = |judge| {
                answer(&self.filter, || self.judge(snapshot, judge))
                    .unwrap_or_else(|| Err(PluginFailure { message: "no answer".into() }))
            };
            answers.elsewhere = Some(questions.elsewhere.iter().map(one).collect());
        }
        if let Some(template) = &questions.template {
            self.ask_component(template, answers);
        }
        if !questions.places.is_empty() {
            let look = |target: &Target| Ok(self.there(target).map(object));
            answers.places = Some(questions.places.iter().map(look).collect());
        }
        if let Some(pods) = &questions.pods {
            answers.pods = Some(self.live_pods(pods));
        }
    }

    fn judge(&self, snapshot: &Snapshot, judge: &Judge) -> Vec<Judgement> {
        let view = judge.version.map(|index| &snapshot.versions[index]);
        let offers = view.map_or(&snapshot.offers, |view| &view.offers);
        let table = view.map_or(&self.offers, |view| &self.versions[&view.version]);
        let asked = judge.offers.iter().map(|index| &offers[*index]);
        let verdict = |offer: &Arc<Offer>| {
            let name = (offer.provider.clone(), offer.namespace.clone(), offer.name.clone());
            table.get(&name).cloned().unwrap_or_else(|| refuses("it has just gone"))
        };
        asked.map(verdict).collect()
    }
}

pub(super) fn view(object_there: Option<&Value>, unread: Option<&Unread>) -> View<Arc<Object>> {
    match (unread, object_there) {
        (Some(Unread { why, failing }), _) => View::Unknown { why: why.clone(), failing: *failing },
        (None, Some(there)) => View::Present(object(there)),
        (None, None) => View::Absent,
    }
}

/// As many other objects that move.
fn others(count: usize) -> Moves {
    Moves { count, names: (1..=count).map(|number| format!("certificate-{number}")).collect() }
}

fn offer(world: &World, (provider, namespace, name): &OfferName) -> Offer {
    Offer {
        provider: provider.clone(),
        namespace: namespace.clone(),
        name: name.clone(),
        filters: Vec::new().into(),
        copies: world.copies.get(provider).copied().unwrap_or_default(),
        related_namespaces: vec!["vault".into()],
    }
}

pub(super) fn answer<T>(plugin: &Plugin, works: impl FnOnce() -> T) -> Option<Result<T, PluginFailure>> {
    match plugin {
        Plugin::Works => Some(Ok(works())),
        Plugin::Silent => None,
        Plugin::Failed(message) => Some(Err(PluginFailure { message: message.clone() })),
    }
}

/// What the standard transformer does: the consumer's names for related resources.
fn transform(question: &Transform) -> Option<Value> {
    let copy: Value = serde_json::from_str(&question.copy).unwrap_or_default();
    let mut status = copy.get("status")?.clone();
    let related = status.get_mut("relatedResources").and_then(Value::as_object_mut);
    for related in related.into_iter().flat_map(Map::values_mut) {
        let name = related["name"].as_str().unwrap_or_default();
        related["name"] = question.context.consumer_name(name).unwrap_or(name).into();
        related["namespace"] = question.context.consumer_namespace.clone().into();
    }
    Some(status)
}
