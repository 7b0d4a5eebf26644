use http_body_util::BodyExt;
use kube::client::Body;
use serde_json::{Value, json};

use super::*;
use crate::observe::Nobody;
use crate::testing::{Answer, answer, cluster};

/// The Lease at the API server.
#[derive(Clone, Default)]
struct Store(Arc<Mutex<(Option<Value>, u64)>>);

/// What happens to one candidate's requests.
#[derive(Clone, Default)]
struct Fault(Arc<Mutex<&'static str>>);

impl Fault {
    fn set(&self, fault: &'static str) {
        *self.0.lock() = fault;
    }
}

impl Store {
    async fn serve(self, request: Request<Body>, fault: Fault) -> Answer {
        let fault = *fault.0.lock();
        match fault {
            "cut off" => return Err(std::io::Error::other("unreachable")),
            "hang" => std::future::pending().await,
            _ => {}
        }
        let (parts, body) = request.into_parts();
        if parts.uri.path() == "/version" {
            return answer(200, "{}");
        }
        let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
        let answered = self.act(&parts.method, serde_json::from_slice(&body).unwrap_or_default());
        // The write took effect, and nobody hears of it.
        if fault == "deaf" { Err(std::io::Error::other("reset")) } else { answered }
    }

    fn act(&self, method: &Method, mut lease: Value) -> Answer {
        let (stored, version) = &mut *self.0.lock();
        let current = stored.as_ref().map(|stored| stored["metadata"]["resourceVersion"].clone());
        match (method.as_str(), current) {
            ("GET", Some(_)) => return answer(200, stored.as_ref().unwrap().to_string()),
            ("GET" | "PUT", None) => return answer(404, "{}"),
            ("POST", Some(_)) => return answer(409, "{}"),
            ("PUT", Some(current)) if current != lease["metadata"]["resourceVersion"] => return answer(409, "{}"),
            _ => {}
        }
        *version += 1;
        lease["metadata"]["resourceVersion"] = json!(version.to_string());
        *stored = Some(lease.clone());
        answer(200, lease.to_string())
    }

    fn holder(&self) -> String {
        let stored = &self.0.lock().0;
        stored
            .as_ref()
            .map(|lease| lease["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned())
            .unwrap_or_default()
    }

    fn version(&self) -> u64 {
        self.0.lock().1
    }

    fn put(&self, holder: &str) {
        let (stored, version) = &mut *self.0.lock();
        *version += 1;
        *stored = Some(json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"name": NAME, "namespace": "ns", "resourceVersion": version.to_string()},
            // A clock that is far behind: what it says must not count.
            "spec": {"holderIdentity": holder, "leaseDurationSeconds": 15, "renewTime": "1999-01-01T00:00:00.000000Z"},
        }));
    }
}

fn stand(store: &Store, identity: &str) -> (Leadership, Fault) {
    let (store, fault) = (store.clone(), Fault::default());
    let seen = fault.clone();
    let cluster = cluster("coordination#c", Nobody, move |request| store.clone().serve(request, seen.clone()));
    (Leadership::stand(cluster, "ns", identity.to_owned(), Nobody), fault)
}

async fn within(seconds: u64, what: impl Future<Output = ()>) -> Duration {
    let started = Instant::now();
    assert!(tokio::time::timeout(Duration::from_secs(seconds), what).await.is_ok(), "not within {seconds} s");
    started.elapsed()
}

#[tokio::test(start_paused = true)]
async fn one_leads_and_another_follows_when_it_lets_go() {
    let store = Store::default();
    let (first, _) = stand(&store, "first");
    within(1, first.acquired()).await;
    let (second, _) = stand(&store, "second");
    sleep(Duration::from_mins(2)).await;
    assert!(first.is_leader() && !second.is_leader());
    first.release().await;
    assert_eq!(store.holder(), "");
    within(5, second.acquired()).await;
    assert_eq!(store.holder(), "second");
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_is_cut_off_stops_before_another_begins() {
    for fault in ["cut off", "hang"] {
        let store = Store::default();
        let (first, cut) = stand(&store, "first");
        within(1, first.acquired()).await;
        let (second, _) = stand(&store, "second");
        sleep(Duration::from_secs(30)).await;
        cut.set(fault);
        let lost = within(11, first.lost()).await;
        assert!(!first.is_leader() && !second.is_leader(), "{fault}: a while in which nobody writes");
        assert!(lost >= Duration::from_secs(6), "{fault}: it holds on for some time: {lost:?}");
        within(20, second.acquired()).await;
        cut.set("");
        sleep(Duration::from_mins(1)).await;
        assert!(second.is_leader() && !first.is_leader(), "{fault}: what was lost does not come back");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_free_when_it_was_seen_unchanged_for_as_long_as_it_lasts() {
    let store = Store::default();
    store.put("dead");
    let (candidate, _) = stand(&store, "candidate");
    let waited = within(25, candidate.acquired()).await;
    assert!(waited >= Duration::from_secs(15), "its renewTime is long past, and does not count: {waited:?}");
    let stored = store.0.lock().0.clone().unwrap();
    assert_eq!(stored["spec"]["leaseTransitions"], 1);
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_took_effect_unheard_is_ours() {
    let store = Store::default();
    let (leader, fault) = stand(&store, "leader");
    within(1, leader.acquired()).await;
    fault.set("deaf");
    sleep(Duration::from_secs(3)).await;
    fault.set("");
    sleep(Duration::from_mins(1)).await;
    assert!(leader.is_leader());
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_was_under_way_at_the_stop_does_not_keep_the_lease() {
    let store = Store::default();
    let (first, fault) = stand(&store, "first");
    within(1, first.acquired()).await;
    fault.set("deaf");
    let version = store.version();
    while store.version() == version {
        sleep(Duration::from_millis(100)).await;
    }
    fault.set("");
    first.release().await;
    assert_eq!(store.holder(), "", "nobody has to wait until it ends by itself");

    // What another one has taken since is its own.
    let (second, fault) = stand(&store, "second");
    within(5, second.acquired()).await;
    fault.set("deaf");
    store.put("third");
    fault.set("");
    second.release().await;
    assert_eq!(store.holder(), "third");
}

#[tokio::test(start_paused = true)]
async fn a_lease_taken_away_ends_leadership() {
    let store = Store::default();
    let (leader, _) = stand(&store, "leader");
    within(1, leader.acquired()).await;
    store.put("thief");
    within(3, leader.lost()).await;
    assert!(!leader.is_leader());
    leader.release().await;
    assert_eq!(store.holder(), "thief", "what is not ours is not released");
}

#[tokio::test(start_paused = true)]
async fn a_deleted_lease_is_made_again() {
    let store = Store::default();
    let (leader, _) = stand(&store, "leader");
    within(1, leader.acquired()).await;
    store.0.lock().0 = None;
    sleep(Duration::from_mins(1)).await;
    assert!(leader.is_leader());
    assert_eq!(store.holder(), "leader");
}

#[tokio::test(start_paused = true)]
async fn without_an_election_leadership_is_never_lost() {
    let alone = Leadership::unopposed(&Nobody);
    within(1, alone.acquired()).await;
    assert!(tokio::time::timeout(Duration::from_hours(24), alone.lost()).await.is_err());
    assert!(alone.is_leader());
}
