//! Which keys a change concerns while objects move, and between versions of a kind.

use resource_broker_api::names::Role;
use serde_json::{Value, json};

use super::*;
use crate::testing::{assignment, key, object, records, scope};

fn store(cluster: &str, what: What) -> StoreId {
    StoreId { cluster: ClusterName::parse(cluster).unwrap(), what }
}

fn kind(cluster: &str, version: &str) -> StoreId {
    store(cluster, What::Kind(Gvk::new("g.io", version, "Thing")))
}

/// Consumer `c` and providers `p`, `q`, `r`, all read and empty, with a kind in two versions.
fn cache() -> Cache {
    let kinds = ["v1", "v2"].map(|version| Gvk::new("g.io", version, "Thing"));
    let cache = Cache::new(scope(kinds.to_vec(), vec![]));
    let of_kind = |cluster: &str| ["v1", "v2"].map(|version| kind(cluster, version));
    let clusters = ["consumer#c", "provider#p", "provider#q", "provider#r"];
    for id in clusters.into_iter().flat_map(of_kind).chain([records()]) {
        cache.attach(&id.cluster);
        cache.open(&id);
        if let What::Kind(gvk) = &id.what {
            cache.discovered(&id, Resource::known(gvk.clone(), "things"));
        }
        cache.listed(&id, "1", vec![]);
    }
    for provider in ["p", "q", "r"] {
        let offers = store(&format!("provider#{provider}"), What::Offers);
        cache.open(&offers);
        cache.listed(&offers, "1", vec![]);
    }
    cache
}

fn order(name: &str, version: u64) -> Object {
    let version = version.to_string();
    object(&json!({"metadata": {"name": name, "namespace": "n", "uid": name, "resourceVersion": version}}))
}

/// The objects among the keys, as `NAME VERSION`.
fn objects(dirty: &Dirty) -> BTreeSet<String> {
    let names = dirty.now.iter().filter_map(|key| match key {
        WorkKey::Object(key) => Some(format!("{} {}", key.name, key.gvk.version)),
        _ => None,
    });
    names.collect()
}

fn set<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.map(str::to_owned).into()
}

fn offer(provider: &str, version: u64) -> (StoreId, Object) {
    let offer: Value = json!({
        "metadata": {"name": "o", "namespace": "n", "uid": provider, "resourceVersion": version.to_string()},
        "spec": {"gvr": {"group": "g.io", "version": "v1", "resource": "things"}},
    });
    (store(&format!("provider#{provider}"), What::Offers), object(&offer))
}

fn accepted(mut assignment: Object) -> Object {
    let status = json!({"conditions": [{
        "type": "Accepted", "status": "True", "reason": "Accepted", "message": "",
        "lastTransitionTime": "2020-01-01T00:00:00Z",
    }]});
    let status = object(&json!({"metadata": {}, "status": status})).fields;
    assignment.fields.extend(status);
    assignment
}

#[test]
fn an_offer_concerns_whoever_may_go_there() {
    let cache = cache();
    for (name, from, next) in [("settled", "p", None), ("moving", "p", Some("q")), ("there", "r", None)] {
        cache.seen(&kind("consumer#c", "v1"), order(name, 2));
        cache.seen(&records(), accepted(assignment(&key(name), 3, from, next)));
    }
    cache.seen(&kind("consumer#c", "v1"), order("unplaced", 4));
    cache.seen(&kind("consumer#c", "v1"), order("refused", 5));
    cache.seen(&records(), assignment(&key("refused"), 6, "p", None));
    let (id, offer) = offer("r", 7);
    let concerned = objects(&cache.seen(&id, offer));
    assert_eq!(concerned, set(["moving v1", "refused v1", "there v1", "unplaced v1"]), "all but who is settled");
}

#[test]
fn an_object_is_looked_at_in_the_version_in_which_it_is_brokered() {
    let cache = cache();
    cache.seen(&records(), assignment(&key("a"), 2, "p", None));
    let concerned = objects(&cache.seen(&kind("consumer#c", "v2"), order("a", 3)));
    assert_eq!(concerned, set(["a v1", "a v2"]));
    // Every version's watch shows the one copy.
    let copy = order(&key("a").copy_name(), 4);
    let dirty = cache.seen(&kind("provider#p", "v2"), copy);
    assert_eq!(objects(&dirty), set(["a v1"]));
    assert!(!dirty.now.iter().any(|key| matches!(key, WorkKey::Copy(_))), "it is nobody's stray: {dirty:?}");
}

#[test]
fn what_becomes_known_in_one_version_concerns_objects_that_are_brokered_in_another() {
    let cache = cache();
    cache.seen(&records(), assignment(&key("a"), 2, "p", Some("q")));
    // Its next provider has it in v2, which was not served there until now.
    cache.state(&kind("provider#q", "v2"), State::NotServed("no CRD".into()));
    let dirty = cache.listed(&kind("provider#q", "v2"), "5", vec![]);
    assert_eq!(objects(&dirty), set(["a v1"]));
    // The name that its copy needs at a third one comes free there.
    let stranger = order(&key("a").copy_name(), 6);
    cache.seen(&kind("provider#r", "v2"), stranger.clone());
    assert_eq!(objects(&cache.deleted(&kind("provider#r", "v2"), &stranger)), set(["a v1"]));
}

#[test]
fn the_end_of_a_record_concerns_the_object_in_every_version() {
    let cache = cache();
    let record = assignment(&key("a"), 2, "p", None);
    cache.seen(&records(), record.clone());
    assert_eq!(objects(&cache.deleted(&records(), &record)), set(["a v1", "a v2"]));
}

#[test]
fn a_place_that_is_named_no_more_is_looked_at() {
    let cache = cache();
    cache.seen(&records(), assignment(&key("a"), 2, "p", Some("q")));
    let dirty = cache.seen(&records(), assignment(&key("a"), 3, "p", None));
    let left = key("a").copy_at(&ClusterName::new(Role::Provider, "q"));
    assert!(dirty.now.contains(&WorkKey::Copy(left)), "{dirty:?}");
}
