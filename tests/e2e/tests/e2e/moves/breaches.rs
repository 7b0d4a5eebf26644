//! The law itself, held against short histories: one that keeps it, and some that break it in one way each.

use kube::api::{ApiResource, DynamicObject, GroupVersionKind};
use resource_broker_api::keys;
use serde_json::{Value, json};

use super::law::Terms;
use super::witness::{Chronicle, Sight};

const CONSUMER: &str = "consumer#c";
const OLD: &str = "provider#a";
const NEW: &str = "provider#b";

/// Changes in their order.
#[derive(Default)]
struct History(Vec<Sight>);

impl History {
    fn then(mut self, cluster: &str, kind: &str, name: &str, gone: bool, metadata: &Value, data: Value) -> Self {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", kind));
        let mut object = DynamicObject::new(name, &resource).data(data);
        let mut whole = json!({"name": name});
        json_patch::merge(&mut whole, metadata);
        object.metadata = serde_json::from_value(whole).expect("metadata");
        let revision = u64::try_from(self.0.len()).expect("a short history");
        self.0.push(Sight { revision, cluster: cluster.into(), kind: kind.into(), gone, object });
        self
    }

    fn object(self, status: &Value) -> Self {
        let data = json!({"spec": {"tenant": "c"}, "status": status});
        self.then(CONSUMER, "Widget", "order", false, &json!({"uid": "u"}), data)
    }

    fn record(self, at: &str, next: Option<&str>, previous: &[&str]) -> Self {
        let place = |cluster: &str| json!({"cluster": cluster, "name": "copy", "acceptAPI": {"namespace": "n", "name": "offer"}});
        let spec = json!({
            "consumer": {"cluster": CONSUMER, "group": "g", "version": "v1", "kind": "Widget", "name": "order", "uid": "u"},
            "provider": place(at),
            "next": next.map(place),
            "previous": previous.iter().map(|it| json!({"cluster": it, "name": "copy"})).collect::<Vec<_>>(),
        });
        self.then("coordination", "Assignment", "record", false, &json!({}), json!({"spec": spec}))
    }

    fn copy(self, at: &str, size: u64, state: &str) -> Self {
        let metadata = json!({"annotations": {keys::CONSUMER_CLUSTER: CONSUMER}});
        self.then(at, "Widget", "copy", false, &metadata, json!({"spec": {"size": size}, "status": {"status": state}}))
    }

    fn ending(self, at: &str) -> Self {
        let metadata = json!({
            "annotations": {keys::CONSUMER_CLUSTER: CONSUMER}, "deletionTimestamp": "2026-01-01T00:00:00Z",
        });
        self.then(at, "Widget", "copy", false, &metadata, json!({"spec": {"size": 1}}))
    }

    fn secret(self, cluster: &str, gone: bool, from: &str, tenant: &str) -> Self {
        let text = |value: &str| json!(k8s_openapi::ByteString(json!(value).to_string().into_bytes()));
        let data = json!({"provider": text(from), "tenant": text(tenant), "copy": text("copy")});
        let ours = json!({"labels": {keys::RELATED_TO: "record"}});
        let metadata = if cluster == CONSUMER { ours } else { json!({}) };
        self.then(cluster, "Secret", "secret", gone, &metadata, json!({"data": data}))
    }

    /// An object at the old provider, with its Secret.
    fn placed() -> Self {
        let history = Self::default().object(&json!({})).record(OLD, None, &[]).copy(OLD, 1, "Available");
        history.secret(OLD, false, "a", "c").secret(CONSUMER, false, "a", "c")
    }

    /// On its way, and the new copy ready.
    fn moving() -> Self {
        let history = Self::placed().record(OLD, Some(NEW), &[]).copy(NEW, 2, "Available");
        history.secret(NEW, false, "b", "c")
    }

    fn moved() -> Self {
        Self::moving().record(NEW, None, &[OLD]).secret(CONSUMER, false, "b", "c").ending(OLD).record(NEW, None, &[])
    }

    /// What the law says of it, if it has to say anything.
    fn breach(self) -> Option<String> {
        Chronicle { sights: self.0 }.breach(&Terms::default()).map(|(breach, _)| breach)
    }
}

#[test]
fn a_proper_move_breaks_nothing() {
    assert_eq!(History::moved().breach(), None);
}

#[test]
fn each_breach_is_told() {
    let cases = [
        (History::placed().copy(NEW, 1, ""), "that no record names"),
        (
            History::moving().record(OLD, Some("provider#c"), &[NEW]).copy("provider#c", 2, ""),
            "more than two live copies",
        ),
        (History::moving().copy(OLD, 2, "Available"), "the old copy at provider#a changed during the move"),
        (History::moving().ending(OLD), "was deleted while the record record still counts on it"),
        (History::moving().record(OLD, None, &[]), "forgot live copies"),
        (
            History::placed().record(OLD, Some(NEW), &[]).copy(NEW, 2, "Provisioning").record(NEW, None, &[OLD]),
            "whose copy is not ready",
        ),
        (History::moving().record(NEW, None, &[]), "forgot live copies"),
        (History::placed().record(NEW, None, &[OLD]), "without a move to there"),
        (History::moving().secret(CONSUMER, false, "b", "c"), "which does not serve the object yet"),
        (History::moving().secret(CONSUMER, true, "a", "c"), "was taken away"),
        (History::placed().secret(CONSUMER, false, "a", "d"), "what no provider's Secret ever held"),
        (History::placed().secret(OLD, false, "a", "d").secret(CONSUMER, false, "a", "d"), "of another tenant"),
        (History::placed().object(&json!({"made": {"tenant": "d"}})), "the status of another tenant"),
        (History::placed().object(&json!({"made": {"token": "topsecret-a"}})), "shows a token"),
    ];
    for (history, expected) in cases {
        let breach = history.breach();
        assert!(breach.as_ref().is_some_and(|said| said.contains(expected)), "not {expected:?}: {breach:?}");
    }
}

#[test]
fn the_most_that_moved_at_once_is_counted() {
    let most = |history: History, provider: &str| Chronicle { sights: history.0 }.most_moving(provider);
    assert_eq!([OLD, NEW, "provider#c"].map(|it| most(History::moved(), it)), [1, 1, 0]);
    assert_eq!(most(History::placed(), OLD), 0);
}
