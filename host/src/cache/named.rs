//! Which copies records name by UID, whatever the clusters are called in which they are.

use std::collections::BTreeMap;

use resource_broker_api::{
    names::{ClusterName, Gvk, Role},
    object::Object,
};

use super::{Cache, CopyId, Inner, What, indexes::key_of_record};
use crate::planner::model::snapshot::{Key, Record, Target, View};

/// Every UID of a copy that a record knows.
fn uids_of(record: &Record) -> impl Iterator<Item = &String> {
    let places = std::iter::once(&record.spec.provider).chain(&record.spec.next).filter_map(|place| place.uid.as_ref());
    let previous = record.spec.previous.iter().filter_map(|place| place.uid.as_ref());
    let reported = record.status.copy.iter().chain(&record.status.next).map(|copy| &copy.uid);
    places.chain(previous).chain(reported)
}

impl Cache {
    /// Whether a record names the copy with this UID for the use of an object that lives.
    pub fn is_serving(&self, uid: &str) -> bool {
        self.lock().is_serving(uid)
    }

    /// The broker that serves an object in this one's stead, or none. Whether it is the first of its cluster and kind that is left to
    /// that broker.
    pub fn left_to(&self, key: &Key, broker: Option<&str>) -> bool {
        let mut inner = self.lock();
        let Some(broker) = broker else {
            inner.others.remove(key);
            return false;
        };
        let is_beside = |other: &Key| other.consumer == key.consumer && other.gvk == key.gvk;
        let is_known = inner.others.iter().any(|(other, by)| by == broker && is_beside(other));
        inner.others.insert(key.clone(), broker.to_owned());
        !is_known
    }

    /// The objects that other brokers serve: how many, by cluster, kind and broker.
    pub fn others(&self) -> BTreeMap<(ClusterName, Gvk, String), usize> {
        let mut counts = BTreeMap::new();
        for (key, broker) in &self.lock().others {
            *counts.entry((key.consumer.clone(), key.gvk.clone(), broker.clone())).or_default() += 1;
        }
        counts
    }
}

impl Inner {
    /// A record is another one.
    pub(super) fn uids_changed(&mut self, old: Option<&Record>, new: Option<&Record>) {
        for (record, uid) in old.into_iter().flat_map(|old| uids_of(old).map(move |uid| (old, uid))) {
            if let Some(records) = self.uids.get_mut(uid) {
                records.remove(&record.name);
                if records.is_empty() {
                    self.uids.remove(uid);
                }
            }
        }
        for (record, uid) in new.into_iter().flat_map(|new| uids_of(new).map(move |uid| (new, uid))) {
            self.uids.entry(uid.clone()).or_default().insert(record.name.clone());
        }
    }

    /// The record that names a copy by its UID.
    pub(super) fn named_by_uid(&self, uid: &str) -> Option<&String> {
        self.uids.get(uid)?.first()
    }

    /// Whether a record names the copy with this UID for the use of an object that lives, or may live.
    pub(super) fn is_serving(&self, uid: &str) -> bool {
        let records = self.uids.get(uid).into_iter().flatten().filter_map(|name| self.records.get(name));
        records
            .filter(|record| record.serving().any(|serving| serving == uid))
            .any(|record| self.is_of_live_object(record))
    }

    fn is_of_live_object(&self, record: &Record) -> bool {
        let Some(key) = key_of_record(record) else { return true };
        match self.view(&key.consumer, What::Kind(key.gvk.clone()), key.namespace.as_deref(), &key.name) {
            View::Unknown { .. } => true,
            View::Absent => false,
            View::Present(object) => !object.is_deleting() && object.uid() == record.spec.consumer.uid,
        }
    }

    /// The record whose copy an object of a consumer is: where a cluster is consumer and provider, the broker's copies stand beside
    /// the orders. The record is written before the copy, so its place is known before the copy can be seen.
    pub(super) fn copy_of(&self, key: &Key, object: &Object) -> Option<String> {
        if let Some(record) = self.named_by_uid(object.uid()) {
            return Some(record.clone());
        }
        let known = self.identities.keys().chain(&self.clusters).filter(|cluster| cluster.role == Role::Provider);
        let at = |provider: &ClusterName| {
            let target = Target::new(provider.clone(), key.gvk.clone(), key.namespace.clone(), key.name.clone());
            let of = self.copies.get(&CopyId::of(&target))?;
            self.is_same_object(key, object, &target).then(|| of.record_name())
        };
        known.into_iter().find_map(at)
    }

    /// Whether what a record names at a provider may be this object, seen at a consumer.
    fn is_same_object(&self, key: &Key, object: &Object, target: &Target) -> bool {
        let fingerprint = |cluster: &ClusterName| self.identities.get(cluster)?.fingerprint.as_deref();
        if let (Some(here), Some(there)) = (fingerprint(&key.consumer), fingerprint(&target.cluster)) {
            return here == there;
        }
        let what = What::Kind(target.gvk.clone());
        match self.view(&target.cluster, what, target.namespace.as_deref(), &target.name) {
            View::Present(there) => there.uid() == object.uid(),
            View::Absent | View::Unknown { .. } => object.is_applied(),
        }
    }

    /// Whether a name begins as those of a known consumer's copies do.
    pub(super) fn is_named_as_copy(&self, name: &str) -> bool {
        let name = name.strip_prefix("c-").unwrap_or(name);
        name.split_once('-').is_some_and(|(hash, _)| self.prefixes.contains_key(&format!("{hash}-")))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use resource_broker_api::keys;
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        cache::StoreId,
        planner::model::snapshot::{Identity, Memory},
        testing::{assignment, key, object, records, scope},
    };

    fn store(cluster: &str) -> StoreId {
        StoreId { cluster: ClusterName::parse(cluster).unwrap(), what: What::Kind(key("a").gvk) }
    }

    /// Consumer `c`, and one cluster that is consumer `both` and the providers `p` and `q`.
    fn cache() -> Cache {
        let cache = Cache::new(scope(vec![key("a").gvk], vec![]));
        let kinds = ["consumer#c", "consumer#both", "provider#p", "provider#q"].map(store);
        for id in kinds.into_iter().chain([records()]) {
            cache.attach(&id.cluster);
            cache.open(&id);
            cache.listed(&id, "1", vec![]);
        }
        cache
    }

    fn thing(name: &str, uid: &str, change: &Value) -> Object {
        let mut there = json!({"metadata": {"name": name, "namespace": "n", "uid": uid, "resourceVersion": "5"}});
        for (field, value) in change.as_object().into_iter().flatten() {
            there["metadata"][field] = value.clone();
        }
        object(&there)
    }

    /// The Assignment of `a`, whose copy at `p` has the UID `copy`.
    fn recorded(version: u64) -> Object {
        let mut record = assignment(&key("a"), version, "p", None);
        let status = object(&json!({"metadata": {}, "status": {"copy": {"uid": "copy"}}}));
        record.fields.extend(status.fields);
        record
    }

    fn identify(cache: &Cache, cluster: &str, fingerprint: &str) {
        let identity = Identity { fingerprint: Some(fingerprint.into()), ..Identity::default() };
        let mut inner = cache.lock();
        Arc::make_mut(&mut inner.identities).insert(ClusterName::parse(cluster).unwrap(), identity);
    }

    /// What a snapshot of the copy says, seen as an order of `both`.
    fn seen_as_order(cache: &Cache, uid: &str, change: &Value) -> Option<String> {
        let name = key("a").copy_name();
        cache.seen(&store("consumer#both"), thing(&name, uid, change));
        let order = Key { consumer: store("consumer#both").cluster, name, ..key("a") };
        cache.snapshot(&order, Memory::default()).0.copy_of
    }

    #[test]
    fn a_uid_that_a_record_names_is_no_orphan_under_another_name_of_its_cluster() {
        let cache = cache();
        cache.seen(&store("consumer#c"), thing("a", "a", &json!({})));
        let copy = thing(&key("a").copy_name(), "copy", &json!({}));
        cache.seen(&store("provider#q"), copy);
        let target = key("a").copy_at(&store("provider#q").cluster);
        assert!(!cache.sweep_snapshot(&target).named);
        cache.seen(&records(), recorded(2));
        assert!(cache.sweep_snapshot(&target).named && cache.is_serving("copy"));
        assert!(cache.snapshot(&key("a"), Memory::default()).0.serving.contains("copy"));
        cache.deleted(&records(), &recorded(2));
        assert!(!cache.sweep_snapshot(&target).named && !cache.is_serving("copy"));
    }

    #[test]
    fn a_copy_serves_as_long_as_its_object_lives() {
        let cache = cache();
        cache.seen(&records(), recorded(2));
        assert!(!cache.is_serving("copy"), "there is no object");
        cache.seen(&store("consumer#c"), thing("a", "another", &json!({})));
        assert!(!cache.is_serving("copy"), "it is another one");
        cache.seen(&store("consumer#c"), thing("a", "a", &json!({"resourceVersion": "6"})));
        assert!(cache.is_serving("copy") && !cache.is_serving("other"));
        let going = json!({"resourceVersion": "7", "deletionTimestamp": "2020-01-01T00:00:00Z"});
        cache.seen(&store("consumer#c"), thing("a", "a", &going));
        assert!(!cache.is_serving("copy"));
        cache.detach(&store("consumer#c").cluster);
        assert!(cache.is_serving("copy"), "nobody knows");
    }

    #[test]
    fn a_copy_is_no_order_where_its_provider_is_a_consumer_too() {
        let applied =
            json!({"managedFields": [{"manager": keys::FIELD_MANAGER, "operation": "Apply", "fieldsV1": {}}]});
        // Its UID is not recorded yet: the record was written before it was made.
        let cache = cache();
        assert_eq!(seen_as_order(&cache, "copy", &applied), None, "no record, no copy");
        cache.seen(&records(), assignment(&key("a"), 2, "p", None));
        let record = Some(key("a").record_name());
        assert_eq!(seen_as_order(&cache, "copy", &applied), record, "its place and its manager");
        assert_eq!(seen_as_order(&cache, "order", &json!({"resourceVersion": "6"})), None, "an order of that name");
        cache.seen(&store("provider#p"), thing(&key("a").copy_name(), "copy", &json!({})));
        let again = json!({"resourceVersion": "7", "managedFields": applied["managedFields"]});
        assert_eq!(seen_as_order(&cache, "order", &again), None, "what is at that place is another one");
        identify(&cache, "consumer#both", "same");
        identify(&cache, "provider#p", "same");
        assert_eq!(seen_as_order(&cache, "copy", &json!({"resourceVersion": "8"})), record, "it is one cluster");
        identify(&cache, "provider#p", "another");
        assert_eq!(seen_as_order(&cache, "copy", &json!({"resourceVersion": "9"})), None, "these are two");
        cache.seen(&records(), recorded(3));
        assert_eq!(seen_as_order(&cache, "copy", &json!({"resourceVersion": "10"})), record, "UIDs are believed");
    }

    #[test]
    fn names_of_copies_are_known_by_their_consumers() {
        let cache = cache();
        let (copy, other) = (key("a").copy_name(), "0123456789ab-a");
        let named = |name: &str| cache.lock().is_named_as_copy(name);
        assert!(named(&copy) && named(&format!("c-{copy}")));
        assert!(!named(other) && !named("a") && !named("c-a"));
    }

    #[test]
    fn the_first_object_that_is_left_to_another_broker_is_news() {
        let cache = cache();
        assert!(cache.left_to(&key("a"), Some("b2")) && !cache.left_to(&key("a"), Some("b2")));
        assert!(!cache.left_to(&key("b"), Some("b2")) && cache.left_to(&key("b"), Some("b3")));
        assert_eq!(cache.others().len(), 2);
        assert!(!cache.left_to(&key("a"), None));
        assert_eq!(cache.others().into_values().collect::<Vec<_>>(), [1]);
    }
}
