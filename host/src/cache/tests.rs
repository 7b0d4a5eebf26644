//! Which keys a change concerns while objects move, and between versions of a kind.

use resource_broker_api::{
    broker::{Copies, CopyNames, CopyNamespace},
    keys,
    names::Role,
};
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
            drop(cache.discovered(&id, Resource::known(gvk.clone(), "things")));
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

#[test]
fn copies_are_seen_wherever_the_record_or_an_offer_has_them() {
    let cache = cache();
    let (key, r) = (key("a"), ClusterName::new(Role::Provider, "r"));
    let [elsewhere, lost] = [
        Copies { namespace: Some(CopyNamespace::PerConsumer), names: Some(CopyNames::Letter) },
        Copies { namespace: None, names: Some(CopyNames::Letter) },
    ]
    .map(|copies| key.copy_location(copies));
    let there = |(namespace, name): &(Option<String>, String), version: u64| {
        object(&json!({"metadata": {
            "name": name, "namespace": namespace, "uid": format!("uid-{version}"), "resourceVersion": version.to_string(),
            "annotations": {
                keys::CONSUMER_CLUSTER: "consumer#c", keys::CONSUMER_NAME: "a", keys::CONSUMER_NAMESPACE: "n",
            },
        }}))
    };
    let mut record = assignment(&key, 2, "r", None);
    let mut spec = record.field("spec").unwrap();
    (spec["provider"]["namespace"], spec["provider"]["name"]) = (json!(elsewhere.0), json!(elsewhere.1));
    record.fields.extend(object(&json!({"metadata": {}, "spec": spec})).fields);
    cache.seen(&records(), record);
    // The recorded one, and one that no record names.
    assert_eq!(objects(&cache.seen(&kind("provider#r", "v1"), there(&elsewhere, 3))), set(["a v1"]));
    let dirty = cache.seen(&kind("provider#r", "v1"), there(&lost, 4));
    let stray = Target::new(r.clone(), key.gvk.clone(), lost.0.clone(), lost.1.clone());
    assert!(dirty.now.contains(&WorkKey::Copy(stray.clone())), "{dirty:?}");
    let (snapshot, _) = cache.snapshot(&key, crate::planner::model::snapshot::Memory::default());
    let uid = |target: &Target| snapshot.view_of(target).and_then(|view| Some(view.present()?.uid().to_owned()));
    assert_eq!(uid(&stray).as_deref(), Some("uid-4"));
    assert_eq!(uid(&key.copy_at(&r)), None, "nothing is where copies are by default");
    assert_eq!(snapshot.copy().map(|copy| copy.uid()), Some("uid-3"));
}

/// Consumer `c` with networks and peerings, and the Assignments, all read and empty.
fn with_networks() -> (Cache, [StoreId; 2]) {
    let kinds =
        ["VirtualNetwork", "Peering"].map(|kind| Gvk::new("networking.generic.platform-mesh.io", "v1alpha1", kind));
    let cache = Cache::new(scope(kinds.to_vec(), vec![]));
    let ids = kinds.map(|gvk| store("consumer#c", What::Kind(gvk)));
    for id in ids.iter().chain([&records()]) {
        cache.attach(&id.cluster);
        cache.open(id);
        cache.listed(id, "1", vec![]);
    }
    (cache, ids)
}

fn peering(version: u64, local: &str, remote: &str) -> Object {
    object(&json!({
        "metadata": {"name": "link", "namespace": "n", "uid": "link", "resourceVersion": version.to_string()},
        "spec": {"localNetworkRef": local, "remoteNetworkRef": remote},
    }))
}

#[test]
fn what_becomes_of_a_network_concerns_who_refers_to_it() {
    let (cache, [networks, peerings]) = with_networks();
    let What::Kind(gvk) = &networks.what else { unreachable!() };
    let network = Key { gvk: gvk.clone(), ..key("a") };
    cache.seen(&peerings, peering(2, "a", "b"));
    assert!(objects(&cache.seen(&networks, order("a", 3))).contains("link v1alpha1"), "it exists");
    let changed = order("a", 4);
    assert!(
        !objects(&cache.seen(&networks, changed)).contains("link v1alpha1"),
        "a change of its own is nobody's business"
    );
    assert!(
        objects(&cache.seen(&records(), assignment(&network, 5, "p", None))).contains("link v1alpha1"),
        "it is placed"
    );
    assert!(
        objects(&cache.seen(&records(), assignment(&network, 6, "p", Some("q")))).contains("link v1alpha1"),
        "it moves"
    );
    // It refers to another one now.
    cache.seen(&peerings, peering(7, "c", "b"));
    assert!(!objects(&cache.seen(&records(), assignment(&network, 8, "q", None))).contains("link v1alpha1"));
}

#[test]
fn what_becomes_of_a_peering_concerns_its_networks() {
    let (cache, [networks, peerings]) = with_networks();
    let (What::Kind(of_networks), What::Kind(of_peerings)) = (&networks.what, &peerings.what) else { unreachable!() };
    let network = Key { gvk: of_networks.clone(), ..key("a") };
    let link = Key { gvk: of_peerings.clone(), ..key("link") };
    let referrers = || cache.snapshot(&network, crate::planner::model::snapshot::Memory::default()).0.references.from;
    cache.seen(&networks, order("a", 2));
    cache.seen(&records(), assignment(&network, 3, "p", None));
    cache.seen(&peerings, peering(4, "a", "b"));
    assert_eq!(referrers(), [], "it is nowhere yet");
    let record = assignment(&link, 5, "p", None);
    assert!(objects(&cache.seen(&records(), record.clone())).contains("a v1alpha1"));
    assert_eq!(referrers(), std::slice::from_ref(&link));
    // It names another network: this one is free.
    assert!(objects(&cache.seen(&peerings, peering(6, "c", "b"))).contains("a v1alpha1"));
    assert_eq!(referrers(), []);
    cache.seen(&peerings, peering(7, "a", "b"));
    assert!(objects(&cache.deleted(&records(), &record)).contains("a v1alpha1"), "it goes");
    assert_eq!(referrers(), []);
    // A consumer that is not attached refers to nothing.
    cache.seen(&records(), record);
    cache.detach(&network.consumer);
    assert_eq!(referrers(), []);
}
