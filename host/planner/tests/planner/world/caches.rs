//! What the caches show of the model, and what plugins answer about it.

use std::{collections::BTreeSet, sync::Arc};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use resource_broker_api::{
    keys,
    names::{ClusterName, Gvk},
    object::Object,
};
use resource_broker_planner::{
    ask,
    question::{Answers, Judge, PluginFailure, Transform, Verdict},
    related,
    snapshot::{Offer, ProviderView, Record, RelatedView, Snapshot, View, Watched},
};
use serde_json::{Map, Value};

use super::{Ends, OfferName, Plugin, Unread, World, object};

impl World {
    /// What the caches show.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let assigned = self.assigned();
        let attached = self.providers.iter().filter(|(_, provider)| !provider.detached);
        let of_interest = attached.clone().filter(|(name, _)| assigned.as_ref().is_none_or(|at| at == *name));
        let providers = of_interest.map(|(name, provider)| {
            let copy = view(provider.copy.as_ref(), provider.copies_unread.as_ref());
            let offers = match &provider.offers_unread {
                Some(Unread { why, failing }) => View::Unknown { why: why.clone(), failing: *failing },
                None => View::Present(()),
            };
            (name.clone(), ProviderView { offers, copy })
        });
        let attached: BTreeSet<&ClusterName> = attached.map(|(name, _)| name).collect();
        let offers = self.offers.keys().filter(|(provider, ..)| attached.contains(provider));
        let is_of_this_version = |record: &Record| record.spec.consumer.version == self.key.gvk.version;
        let record = match (&self.record_unread, &self.record) {
            (Some(Unread { why, failing }), _) => View::Unknown { why: why.clone(), failing: *failing },
            (None, Some(record)) => View::Present(Arc::new(record.clone())),
            (None, None) => View::Absent,
        };
        let mut snapshot = Snapshot {
            broker: None,
            key: self.key.clone(),
            now: Time(self.now),
            consumer: view(self.object.as_ref(), self.object_unread.as_ref()),
            shape: self.shape,
            record,
            record_is_watched: self.other_versions_watched || self.record.as_ref().is_none_or(is_of_this_version),
            offers: offers.map(|name| Arc::new(offer(name))).collect(),
            providers: providers.collect(),
            related: Vec::new(),
            held: self.held(),
            held_is_read: self.targets.unread.as_ref().is_none_or(|unread| unread.failing),
            memory: self.memory.clone(),
        };
        if let (Some(at), Some(copy)) = (&assigned, snapshot.copy()) {
            snapshot.related = related::declared(copy, &self.key).into_iter().map(|d| self.related(at, d)).collect();
        }
        snapshot
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

    fn related(&self, at: &ClusterName, declared: related::Declared) -> RelatedView {
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
            declared,
        }
    }

    /// What the plugins answer.
    pub(crate) fn answers(&self, snapshot: &Snapshot) -> Answers {
        let questions = ask(snapshot);
        Answers {
            judge: questions.judge.and_then(|judge| answer(&self.filter, || self.judge(snapshot, &judge))),
            transform: questions.transform.and_then(|question| answer(&self.transformer, || transform(&question))),
        }
    }

    fn judge(&self, snapshot: &Snapshot, judge: &Judge) -> Vec<Verdict> {
        let asked = judge.offers.iter().map(|index| &snapshot.offers[*index]);
        let verdict = |offer: &Arc<Offer>| {
            let name = (offer.provider.clone(), offer.namespace.clone(), offer.name.clone());
            self.offers.get(&name).cloned().unwrap_or_else(|| Verdict::Refused(vec!["it has just gone".into()]))
        };
        asked.map(verdict).collect()
    }
}

fn view(object_there: Option<&Value>, unread: Option<&Unread>) -> View<Arc<Object>> {
    match (unread, object_there) {
        (Some(Unread { why, failing }), _) => View::Unknown { why: why.clone(), failing: *failing },
        (None, Some(there)) => View::Present(object(there)),
        (None, None) => View::Absent,
    }
}

fn offer((provider, namespace, name): &OfferName) -> Offer {
    Offer { provider: provider.clone(), namespace: namespace.clone(), name: name.clone(), filters: Vec::new() }
}

fn answer<T>(plugin: &Plugin, works: impl FnOnce() -> T) -> Option<Result<T, PluginFailure>> {
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
        related["name"] = name.strip_prefix(&question.prefix).unwrap_or(name).into();
        related["namespace"] = question.consumer_namespace.clone().into();
    }
    Some(status)
}
