//! Which copies declare a related resource at a provider, and to which copy it belongs. Kept up with the copies themselves and
//! not with the passes over their objects: after a start the first pass knows all that declare one.

use std::collections::{BTreeSet, HashMap};

use resource_broker_api::{
    keys,
    names::{ClusterName, Gvk},
    object::Object,
};

use super::{Cache, CopyId, Dirty, Inner, State, What, WorkKey, store::Change, store::place};
use crate::planner::model::{
    claimed::{Claims, Owner},
    declared,
    snapshot::Target,
};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// Related resources, to the copies that declare them.
    declared: HashMap<Target, BTreeSet<Target>>,
    /// Copies, to what they declare.
    declares: HashMap<Target, Vec<Target>>,
}

impl Index {
    /// A copy declares these from now on. What it declared before and does not now, or the other way round.
    fn put(&mut self, copy: &Target, sources: Vec<Target>) -> Vec<Target> {
        let before = self.declares.remove(copy).unwrap_or_default();
        let gone = before.iter().filter(|source| !sources.contains(source));
        for source in gone.clone() {
            if let Some(copies) = self.declared.get_mut(source) {
                copies.remove(copy);
                if copies.is_empty() {
                    self.declared.remove(source);
                }
            }
        }
        let new = sources.iter().filter(|source| !before.contains(source));
        for source in new.clone() {
            self.declared.entry(source.clone()).or_default().insert(copy.clone());
        }
        let changed = gone.chain(new).cloned().collect();
        if !sources.is_empty() {
            self.declares.insert(copy.clone(), sources);
        }
        changed
    }

    /// A cluster was taken away.
    pub(super) fn forget(&mut self, cluster: &ClusterName) {
        self.declared.retain(|source, _| source.cluster != *cluster);
        self.declares.retain(|copy, _| copy.cluster != *cluster);
    }
}

/// Whose objects a copy belongs to: copies of one tenant may share what they declare.
#[derive(Debug, PartialEq, Eq)]
struct Tenant {
    /// Another broker's id, where the copy is another broker's.
    broker: Option<String>,
    consumer: String,
    namespace: Option<String>,
}

impl Inner {
    /// An object of a brokered kind changed at a provider: what it declares concerns whoever declares the same.
    pub(super) fn claims_changed(&mut self, copy: &Target, change: &Change, dirty: &mut Dirty) {
        let sources = change.new.as_ref().map(|copy| declared::sources(copy)).unwrap_or_default();
        let sources = sources.into_iter().filter(|(gvk, ..)| self.scope.related.contains(gvk));
        let mut sources: Vec<Target> = sources
            .map(|(gvk, namespace, name)| Target::new(copy.cluster.clone(), gvk, Some(namespace), name))
            .collect();
        sources.sort();
        sources.dedup();
        // A new object under the name may be another's copy.
        let is_other = change.old.as_ref().map(|old| old.uid()) != change.new.as_ref().map(|new| new.uid());
        let all = if is_other { sources.clone() } else { Vec::new() };
        for source in self.claims.put(copy, sources).into_iter().chain(all) {
            let keys = self.declared.get(&source).into_iter().flatten();
            dirty.now.extend(keys.cloned().map(WorkKey::Object));
        }
    }

    /// What copies at a provider have to do with a related resource that one of them declares. `there` is the resource itself,
    /// as far as it is known.
    pub(super) fn claims(&self, by: &Target, source: &Target, there: Option<&Object>) -> Claims {
        let me = self.tenant(by);
        let declared = self.claims.declared.get(source).into_iter().flatten();
        let rivals = declared.filter(|copy| *copy != by && self.tenant(copy).is_some_and(|other| Some(other) != me));
        let rivals: Vec<Target> = rivals.cloned().collect();
        let owner = self.owner(by, me.as_ref(), source, there, !rivals.is_empty());
        Claims { unread: self.unread_copies(&source.cluster), rivals, owner }
    }

    /// Whose copy an object at a provider is; `None`: it is no copy.
    fn tenant(&self, copy: &Target) -> Option<Tenant> {
        if let Some(key) = self.copies.get(&CopyId::of(copy)) {
            let (consumer, namespace) = (key.consumer.to_string(), key.namespace.clone());
            return Some(Tenant { broker: None, consumer, namespace });
        }
        // One that no record names, or another broker's.
        let store = self.store(&copy.cluster, What::Kind(copy.gvk.clone()))?;
        let there = store.get(&place(copy.namespace.as_deref(), &copy.name))?;
        let consumer = there.annotation(keys::CONSUMER_CLUSTER)?.to_owned();
        let broker = there.annotation(keys::BROKER).filter(|broker| self.broker.as_deref() != Some(*broker));
        Some(Tenant { broker: broker.map(str::to_owned), consumer, namespace: copy.namespace.clone() })
    }

    fn owner(
        &self,
        by: &Target,
        me: Option<&Tenant>,
        source: &Target,
        there: Option<&Object>,
        has_rivals: bool,
    ) -> Owner {
        let whose = |copy: &Target| match self.tenant(copy) {
            Some(tenant) if Some(&tenant) == me => Some(Owner::This),
            Some(_) => Some(Owner::Other(copy.clone())),
            None => None,
        };
        let owners = there.into_iter().flat_map(|there| there.meta.owner_references.iter().flatten());
        for owner in owners {
            let (group, _) = owner.api_version.rsplit_once('/').unwrap_or_default();
            let kinds = self.scope.kinds.iter().filter(|gvk| gvk.group == group && gvk.kind == owner.kind);
            for gvk in kinds {
                for namespace in [source.namespace.clone(), None] {
                    let copy = Target::new(source.cluster.clone(), gvk.clone(), namespace, owner.name.clone());
                    if self.is_there(&copy, Some(&owner.uid))
                        && let Some(whose) = whose(&copy)
                    {
                        return whose;
                    }
                }
            }
        }
        let is_named =
            |copy: &str| source.name.strip_prefix(copy).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'));
        let in_place = by.namespace == source.namespace;
        // Two namespaces may have copies of one name: elsewhere a name alone says whose it is only where nobody else means it.
        if is_named(&by.name) && (in_place || !has_rivals) {
            return Owner::This;
        }
        let ends = source.name.char_indices().filter(|(_, c)| *c == '-').map(|(end, _)| end);
        let names = ends.chain([source.name.len()]).filter_map(|end| source.name.get(..end));
        for name in names.filter(|name| !name.is_empty()) {
            for gvk in &self.scope.kinds {
                let copy = Target::new(source.cluster.clone(), gvk.clone(), source.namespace.clone(), name.to_owned());
                if self.is_there(&copy, None)
                    && let Some(whose) = whose(&copy)
                {
                    return whose;
                }
            }
        }
        Owner::Nobody
    }

    fn is_there(&self, copy: &Target, uid: Option<&str>) -> bool {
        let store = self.store(&copy.cluster, What::Kind(copy.gvk.clone()));
        let there = store.and_then(|store| store.get(&place(copy.namespace.as_deref(), &copy.name)));
        there.is_some_and(|there| uid.is_none_or(|uid| there.uid() == uid))
    }

    /// Why not all copies at a provider are known. Where a kind is not served, or may not be read, there are none of it.
    fn unread_copies(&self, provider: &ClusterName) -> Option<(String, bool)> {
        let unread = |gvk: &Gvk| match self.store(provider, What::Kind(gvk.clone())) {
            None => Some((format!("{gvk} there has not been read yet"), false)),
            Some(store) => match store.state() {
                State::Synced | State::NotServed(_) | State::Forbidden(_) => None,
                State::Starting | State::Failing(_) => {
                    store.unread().map(|(why, lasts)| (format!("{gvk} there cannot be read: {why}"), lasts))
                }
            },
        };
        self.scope.kinds.iter().find_map(unread)
    }
}

impl Cache {
    /// What copies at a provider have to do with a related resource that was just read there.
    pub fn claims(&self, by: &Target, source: &Target, there: &Object) -> Claims {
        self.lock().claims(by, source, Some(there))
    }
}

#[cfg(test)]
mod tests {
    use resource_broker_api::names::Role;
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        cache::StoreId,
        planner::model::snapshot::{Key, Memory},
        testing::{assignment, key, object, records, scope},
    };

    const SECRET: [&str; 3] = ["", "v1", "Secret"];

    fn gvk([group, version, kind]: [&str; 3]) -> Gvk {
        Gvk::new(group, version, kind)
    }

    fn provider() -> ClusterName {
        ClusterName::new(Role::Provider, "p")
    }

    fn things() -> StoreId {
        StoreId { cluster: provider(), what: What::Kind(key("a").gvk) }
    }

    /// The object `name` of another consumer, or of another namespace of the same.
    fn of(consumer: &str, namespace: &str, name: &str) -> Key {
        let consumer = ClusterName::new(Role::Consumer, consumer);
        Key { consumer, namespace: Some(namespace.into()), ..key(name) }
    }

    /// The copy of an object, which declares a Secret of this name beside it.
    fn copy(of: &Key, version: u64, declares: Option<&str>) -> Object {
        let secret = declares
            .map(|name| json!({"tls": {"gvk": {"group": "", "version": "v1", "kind": "Secret"}, "name": name}}))
            .unwrap_or_default();
        object(&json!({
            "metadata": {
                "name": of.copy_name(), "namespace": of.namespace, "uid": format!("copy of {}", of.name),
                "resourceVersion": version.to_string(),
            },
            "status": {"relatedResources": secret},
        }))
    }

    /// A cache with the records of these objects at provider `p`, and no copy there yet.
    fn cache(objects: &[&Key]) -> Cache {
        let cache = Cache::new(scope(vec![key("a").gvk], vec![gvk(SECRET)]));
        for id in [records(), things()] {
            cache.attach(&id.cluster);
            cache.open(&id);
        }
        let all = objects.iter().enumerate().map(|(at, key)| assignment(key, 2 + at as u64, "p", None));
        cache.listed(&records(), "9", all.collect());
        cache.listed(&things(), "9", vec![]);
        cache
    }

    fn secret(name: &str) -> Target {
        Target::new(provider(), gvk(SECRET), Some("n".into()), name.into())
    }

    fn claims(cache: &Cache, by: &Key, name: &str, owners: &Value) -> Claims {
        let there = object(&json!({"metadata": {"name": name, "namespace": "n", "ownerReferences": owners}}));
        cache.claims(&by.copy_at(&provider()), &secret(name), &there)
    }

    fn owned_by(kind: &str, name: &str, uid: &str) -> Value {
        json!([{"apiVersion": "g.io/v1", "kind": kind, "name": name, "uid": uid}])
    }

    #[test]
    fn copies_of_other_consumers_are_rivals_and_those_of_one_namespace_are_not() {
        let (mine, same, theirs) = (key("a"), key("b"), of("d", "n", "a"));
        let cache = cache(&[&mine, &same, &theirs]);
        for (at, key) in [&mine, &same, &theirs].into_iter().enumerate() {
            cache.seen(&things(), copy(key, 10 + at as u64, Some("web-tls")));
        }
        let rivals = |by: &Key| claims(&cache, by, "web-tls", &json!([])).rivals;
        assert_eq!(rivals(&mine), [theirs.copy_at(&provider())]);
        assert_eq!(rivals(&theirs).len(), 2);
        cache.seen(&things(), copy(&theirs, 20, None));
        assert!(rivals(&mine).is_empty());
    }

    #[test]
    fn a_copy_that_declares_the_same_calls_the_others() {
        let (mine, theirs) = (key("a"), of("d", "n", "a"));
        let cache = cache(&[&mine, &theirs]);
        cache.attach(&mine.consumer);
        cache.seen(&things(), copy(&mine, 10, Some("web-tls")));
        cache.snapshot(&mine, Memory::default());
        for (version, declares) in [(11, Some("web-tls")), (12, None)] {
            let dirty = cache.seen(&things(), copy(&theirs, version, declares));
            assert!(dirty.now.contains(&WorkKey::Object(mine.clone())), "{declares:?}: {dirty:?}");
        }
        let dirty = cache.seen(&things(), copy(&theirs, 13, Some("another")));
        assert!(!dirty.now.contains(&WorkKey::Object(mine.clone())));
    }

    #[test]
    fn a_copy_owns_what_refers_to_it_or_is_called_after_it() {
        let (mine, theirs) = (key("a"), of("d", "n", "a"));
        let cache = cache(&[&mine, &theirs]);
        for (at, key) in [&mine, &theirs].into_iter().enumerate() {
            cache.seen(&things(), copy(key, 10 + at as u64, None));
        }
        let stranger = json!({"metadata": {"name": "own", "namespace": "n", "uid": "own", "resourceVersion": "15"}});
        cache.seen(&things(), object(&stranger));
        let (my_copy, their_copy) = (mine.copy_name(), theirs.copy_name());
        let other = Owner::Other(theirs.copy_at(&provider()));
        let none = || json!([]);
        for (name, owners, owner) in [
            ("web-tls".to_owned(), none(), Owner::Nobody),
            (my_copy.clone(), none(), Owner::This),
            (format!("{my_copy}-tls"), none(), Owner::This),
            (format!("{my_copy}tls"), none(), Owner::Nobody),
            (format!("{their_copy}-tls-0"), none(), other.clone()),
            ("web-tls".to_owned(), owned_by("Thing", &my_copy, "copy of a"), Owner::This),
            ("web-tls".to_owned(), owned_by("Thing", &my_copy, "an earlier one"), Owner::Nobody),
            ("web-tls".to_owned(), owned_by("Other", &my_copy, "copy of a"), Owner::Nobody),
            ("web-tls".to_owned(), owned_by("Thing", "own", "own"), Owner::Nobody),
            (format!("{my_copy}-tls"), owned_by("Thing", &their_copy, "copy of a"), other.clone()),
        ] {
            assert_eq!(claims(&cache, &mine, &name, &owners).owner, owner, "{name} {owners}");
        }
    }

    #[test]
    fn elsewhere_a_name_says_whose_it_is_only_where_nobody_else_means_it() {
        let (mine, theirs) = (key("a"), of("c", "m", "a"));
        let cache = cache(&[&mine, &theirs]);
        let name = format!("{}-tls", mine.copy_name());
        let vault = Target::new(provider(), gvk(SECRET), Some("vault".into()), name.clone());
        let there = object(&json!({"metadata": {"name": name, "namespace": "vault"}}));
        let owner = || cache.claims(&mine.copy_at(&provider()), &vault, &there).owner;
        let declaring = |key: &Key, version: u64| {
            let mut copy = copy(key, version, None);
            let gvk = json!({"group": "", "version": "v1", "kind": "Secret"});
            let status = json!({"relatedResources": {"tls": {"gvk": gvk, "name": name, "namespace": "vault"}}});
            copy.fields = object(&json!({"metadata": {}, "status": status})).fields;
            copy
        };
        cache.seen(&things(), declaring(&mine, 10));
        assert_eq!(owner(), Owner::This);
        cache.seen(&things(), declaring(&theirs, 11));
        assert_eq!(owner(), Owner::Nobody, "the other namespace's copy has the same name");
    }

    #[test]
    fn another_brokers_copies_are_rivals_too_and_what_is_no_copy_is_none() {
        let mine = key("a");
        let cache = cache(&[&mine]);
        cache.known_as("this");
        cache.seen(&things(), copy(&mine, 10, Some("web-tls")));
        let foreign = |name: &str, version: u64, annotations: Value| {
            let mut copy = copy(&of("d", "n", name), version, Some("web-tls"));
            copy.meta.annotations = serde_json::from_value(annotations).unwrap();
            copy
        };
        cache.seen(&things(), foreign("own", 11, json!({})));
        assert!(claims(&cache, &mine, "web-tls", &json!([])).rivals.is_empty());
        let marks = json!({keys::CONSUMER_CLUSTER: "consumer#c", keys::BROKER: "other"});
        cache.seen(&things(), foreign("theirs", 12, marks));
        assert_eq!(claims(&cache, &mine, "web-tls", &json!([])).rivals.len(), 1, "of a consumer of the same name");
    }

    #[test]
    fn copies_that_are_not_read_yet_may_be_rivals() {
        let mine = key("a");
        let cache = cache(&[&mine]);
        let unread = || claims(&cache, &mine, "web-tls", &json!([])).unread;
        assert_eq!(unread(), None);
        cache.state(&things(), State::Failing("no answer".into()));
        assert!(unread().is_some_and(|(why, lasts)| why.contains("no answer") && !lasts));
        cache.state(&things(), State::Forbidden("no list".into()));
        assert_eq!(unread(), None, "there are no copies where none can be made");
    }

    #[test]
    fn a_cluster_that_is_taken_away_takes_its_claims_with_it() {
        let (mine, theirs) = (key("a"), of("d", "n", "a"));
        let cache = cache(&[&mine, &theirs]);
        cache.seen(&things(), copy(&theirs, 10, Some("web-tls")));
        cache.detach(&provider());
        assert!(claims(&cache, &mine, "web-tls", &json!([])).rivals.is_empty());
    }
}
