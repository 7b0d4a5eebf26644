//! Servers that refuse, lie or were restored.

use std::collections::BTreeMap;

use bytes::Bytes;
use tokio::{
    task::JoinHandle,
    time::{sleep, timeout},
};

use super::{
    server::{Asked, Fault, Server},
    *,
};
use crate::{
    cache::own,
    planner::model::snapshot,
    testing::{records, scope},
    transport::{Cluster, Health, Limits},
};

/// A store that is being kept.
struct Watched {
    server: Server,
    cluster: Arc<Cluster>,
    cache: Arc<Cache>,
    id: StoreId,
    watching: JoinHandle<()>,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

fn keep(server: &Server) -> Watched {
    keep_at_most(server, 512 << 20)
}

fn keep_at_most(server: &Server, most: usize) -> Watched {
    let id = records();
    let cluster = server.cluster(&id.cluster.to_string());
    let cache = Arc::new(Cache::new(scope(vec![], vec![])));
    cache.attach(cluster.name());
    cache.open(&id);
    let kept = Kept { id: id.clone(), cache: cache.clone(), queue: Arc::new(Queue::new()) };
    let watch = kept.watch(cluster.clone(), "broker", most, &Metrics::new());
    Watched { server: server.clone(), cluster, cache, id, watching: tokio::spawn(watch.run()) }
}

impl Watched {
    fn why(&self) -> Option<String> {
        self.cache.states().into_iter().find(|(id, _)| *id == self.id).and_then(|(_, why)| why)
    }

    fn shows(&self) -> BTreeMap<String, u64> {
        self.cache.shown(&self.id)
    }

    /// Waits until the store is believed and shows these versions.
    async fn comes_to_show(&self, expected: &[(&str, u64)], within: Duration) {
        let expected: BTreeMap<String, u64> = expected.iter().map(|(name, at)| ((*name).to_owned(), *at)).collect();
        let comes = timeout(within, async {
            while !(self.cache.is_synced(&self.id) && self.shows() == expected) {
                sleep(Duration::from_millis(50)).await;
            }
        });
        assert!(comes.await.is_ok(), "{expected:?}: {:?}, {:?}", self.shows(), self.why());
    }

    async fn comes_to_say(&self, what: &str, within: Duration) {
        let comes = timeout(within, async {
            while !self.why().is_some_and(|why| why.contains(what)) {
                sleep(Duration::from_millis(50)).await;
            }
        });
        assert!(comes.await.is_ok(), "{what}: {:?}", self.why());
    }

    fn wrote(&self, object: &serde_json::Value) {
        let target = snapshot::Target::new(
            self.id.cluster.clone(),
            own::records().gvk,
            Some("broker".into()),
            object["metadata"]["name"].as_str().unwrap().into(),
        );
        let _ = self.cache.wrote(&target, &crate::testing::object(object));
    }
}

const SOON: Duration = Duration::from_secs(10);

/// A server with two objects, and a store that shows them.
async fn synced(version: u64) -> Watched {
    let server = Server::new(version - 2);
    server.put("a", "1", "");
    server.put("b", "2", "");
    let kept = keep(&server);
    kept.comes_to_show(&[("a", version - 1), ("b", version)], SOON).await;
    kept
}

#[tokio::test(start_paused = true)]
async fn a_quiet_server_is_not_asked_again() {
    let kept = synced(900).await;
    sleep(Duration::from_hours(1)).await;
    let (lists, continued, looks, watches) = kept.server.counts();
    assert_eq!((lists, continued, looks), (1, 0, 0));
    assert!((10..20).contains(&watches), "{watches}");
    assert_eq!(kept.why(), None);
}

#[tokio::test(start_paused = true)]
async fn a_restored_server_is_noticed_after_silence_and_read_anew() {
    let kept = synced(900).await;
    kept.server.with(|model| model.bookmarks = false);
    kept.server.restore(400, &[("a", "1", 300)]);
    kept.comes_to_show(&[("a", 300)], Duration::from_secs(67) + SOON).await;
    // What happens from now on is seen.
    kept.server.put("c", "3", "");
    kept.comes_to_show(&[("a", 300), ("c", 401)], SOON).await;
    assert_eq!(kept.server.counts().0, 2, "one list more");
}

#[tokio::test(start_paused = true)]
async fn a_restored_server_is_noticed_at_once_when_the_watch_breaks() {
    let kept = synced(900).await;
    kept.server.restore(400, &[("b", "2", 300)]);
    kept.server.hang_up();
    kept.comes_to_show(&[("b", 300)], Duration::from_secs(5)).await;
}

#[tokio::test(start_paused = true)]
async fn a_restored_server_that_is_past_what_was_seen_is_noticed_by_what_it_shows() {
    let kept = synced(900).await;
    // Another history: `a` was not written since, and is not the one that was seen.
    kept.server.restore(1200, &[("a", "1", 899), ("b", "other", 850)]);
    kept.server.fault(|_| None);
    kept.server.hang_up();
    sleep(SOON).await;
    // `a` fits. Only the first object is looked at.
    assert_eq!(kept.shows()["a"], 899);
    kept.server.restore(1300, &[("a", "other", 850)]);
    kept.server.hang_up();
    kept.comes_to_show(&[("a", 850)], SOON).await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_believed_of_a_restored_server_before_it_is_known_who_it_is() {
    let kept = synced(900).await;
    kept.cluster.guard();
    kept.cluster.prove(1);
    kept.server.restore(400, &[("a", "1", 300)]);
    kept.server.hang_up();
    sleep(Duration::from_mins(10)).await;
    assert_eq!(kept.server.counts().2, 0, "it is not even asked");
    assert_eq!(kept.shows().len(), 2, "the last good state is kept");
    let first = kept.cluster.looks_asked();
    assert!(first > 1, "who knows it looks again");
    kept.cluster.prove(first);
    kept.comes_to_say("its versions went back, from 900 to 400", Duration::from_secs(30)).await;
    sleep(Duration::from_mins(10)).await;
    assert!(!kept.cache.is_synced(&kept.id), "that it is the same one has to be seen after this");
    assert_eq!(kept.shows().len(), 2);
    kept.cluster.prove(kept.cluster.looks_asked());
    kept.comes_to_show(&[("a", 300)], SOON).await;
}

#[tokio::test(start_paused = true)]
async fn an_own_write_that_is_older_than_what_was_seen_shows_that_the_server_was_restored() {
    let kept = synced(900).await;
    sleep(Duration::from_mins(2)).await;
    kept.server.restore(400, &[("a", "1", 300)]);
    // The watch goes on, and its bookmarks come: a balancer with two servers behind it.
    let answer = kept.server.put("new", "3", "");
    kept.wrote(&answer);
    kept.comes_to_show(&[("a", 300), ("new", 401)], SOON).await;
    // The same for one that is held.
    sleep(Duration::from_mins(2)).await;
    kept.server.restore(200, &[("a", "1", 100)]);
    let answer = kept.server.put("a", "1", "");
    kept.wrote(&answer);
    kept.comes_to_show(&[("a", 201)], SOON).await;
}

#[tokio::test(start_paused = true)]
async fn late_answers_cause_no_list() {
    let kept = synced(900).await;
    let answer = kept.server.put("c", "3", "");
    kept.server.put("c", "3", "");
    kept.server.put("d", "4", "");
    kept.comes_to_show(&[("a", 899), ("b", 900), ("c", 902), ("d", 903)], SOON).await;
    kept.wrote(&answer);
    kept.server.with(|model| model.remove("c"));
    kept.comes_to_show(&[("a", 899), ("b", 900), ("d", 903)], SOON).await;
    kept.wrote(&answer);
    sleep(Duration::from_mins(3)).await;
    assert_eq!((kept.server.counts().0, kept.server.counts().2), (1, 0));
    assert_eq!(kept.shows().len(), 3, "and bring nothing back");
}

#[tokio::test(start_paused = true)]
async fn a_kubeconfig_that_names_another_server_has_it_read_anew() {
    let kept = synced(900).await;
    let other = Server::new(5000);
    other.put("z", "9", "");
    kept.cluster.points_at(other.client());
    kept.comes_to_show(&[("z", 5001)], SOON).await;
    // The same server with other credentials is not.
    kept.cluster.has_credentials(other.client());
    sleep(SOON).await;
    assert_eq!((other.counts().0, other.counts().2), (1, 1));
    other.put("z", "9", "");
    kept.comes_to_show(&[("z", 5002)], SOON).await;
}

#[tokio::test(start_paused = true)]
async fn versions_that_are_no_numbers_are_refused_and_forgiven() {
    let server = Server::new(10);
    server.with(|model| model.opaque = true);
    server.put("a", "1", "");
    let kept = keep(&server);
    kept.comes_to_say("resourceVersions are no numbers (\"vbz\")", SOON).await;
    sleep(Duration::from_mins(5)).await;
    assert!(!kept.cache.is_synced(&kept.id));
    assert!(server.counts().0 < 60, "{:?}", server.counts());
    server.with(|model| model.opaque = false);
    server.put("a", "1", "");
    kept.comes_to_show(&[("a", 12)], Duration::from_secs(30)).await;
    assert_eq!(kept.why(), None);
}

#[tokio::test(start_paused = true)]
async fn versions_that_become_no_numbers_are_noticed_at_once() {
    for bookmark in [true, false] {
        let kept = synced(900).await;
        kept.server.with(|model| model.opaque = true);
        if !bookmark {
            kept.server.put("a", "1", "");
        }
        kept.comes_to_say("are no numbers", Duration::from_secs(61)).await;
        assert!(!kept.cache.is_synced(&kept.id));
        kept.server.with(|model| model.opaque = false);
        kept.server.put("a", "1", "");
        kept.server.put("b", "2", "");
        let at = kept.server.with(|model| model.version);
        kept.comes_to_show(&[("a", at - 1), ("b", at)], Duration::from_secs(30)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_own_write_whose_version_is_no_number_is_not_passed_over() {
    let kept = synced(900).await;
    sleep(SOON).await;
    kept.server.with(|model| model.opaque = true);
    kept.wrote(&json_object("a", "v1"));
    kept.comes_to_say("are no numbers", Duration::from_secs(5)).await;
}

fn json_object(name: &str, version: &str) -> serde_json::Value {
    serde_json::json!({"metadata": {"name": name, "namespace": "broker", "uid": name, "resourceVersion": version}})
}

#[tokio::test(start_paused = true)]
async fn a_refused_watch_goes_on_where_it_was() {
    for fault in [
        || Fault::Status(429, Some(5)),
        || Fault::Status(503, Some(5)),
        || Fault::Status(504, None),
        || Fault::Status(401, None),
        || Fault::Break,
        || {
            let text = r#"{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"busy","reason":"TooManyRequests","code":429,"details":{"retryAfterSeconds":5}}}"#;
            Fault::Body(text.into())
        },
    ] {
        let kept = synced(900).await;
        kept.server.fault(move |asked| matches!(asked, Asked::Watch { .. }).then(fault));
        kept.server.hang_up();
        kept.server.put("a", "1", "");
        kept.server.hang_up();
        sleep(Duration::from_mins(1)).await;
        let (lists, _, _, watches) = kept.server.counts();
        assert_eq!(lists, 1, "no list in place of a watch");
        assert!(watches <= 16, "{watches} watches in a minute");
        assert!(kept.why().is_some_and(|why| why.contains("still believed")), "{:?}", kept.why());
        assert!(kept.cache.is_synced(&kept.id));
        kept.server.heal();
        kept.comes_to_show(&[("a", 901), ("b", 900)], Duration::from_secs(40)).await;
        assert_eq!(kept.server.counts().0, 1);
        sleep(SOON).await;
        assert_eq!(kept.why(), None);
    }
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_obeyed_and_not_for_ever() {
    let kept = synced(900).await;
    for (asked_for, at_least, at_most) in [(20, 2, 4), (86_400, 2, 4)] {
        kept.server.heal();
        sleep(Duration::from_mins(1)).await;
        kept.server
            .fault(move |asked| matches!(asked, Asked::Watch { .. }).then(|| Fault::Status(429, Some(asked_for))));
        let before = kept.server.counts().3;
        kept.server.hang_up();
        sleep(Duration::from_secs(75)).await;
        let watches = kept.server.counts().3 - before;
        assert!((at_least..=at_most).contains(&watches), "Retry-After {asked_for}: {watches} watches");
    }
    assert_eq!(kept.server.counts().0, 1);
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_the_server_cannot_serve_from_a_version_is_listed_in_the_end() {
    let kept = synced(900).await;
    kept.server.fault(|asked| matches!(asked, Asked::Watch { from: 900, .. }).then(|| Fault::Status(500, None)));
    kept.server.hang_up();
    sleep(Duration::from_secs(5)).await;
    assert_eq!(kept.server.counts().0, 1);
    kept.server.put("c", "3", "");
    kept.comes_to_show(&[("a", 899), ("b", 900), ("c", 901)], Duration::from_mins(3)).await;
}

#[tokio::test(start_paused = true)]
async fn versions_that_are_always_too_old_are_listed_at_a_bounded_rate() {
    let server = Server::new(900);
    server.fault(|asked| matches!(asked, Asked::Watch { .. }).then(|| Fault::Status(410, None)));
    let kept = keep(&server);
    sleep(Duration::from_mins(5)).await;
    let (lists, ..) = server.counts();
    assert!((10..40).contains(&lists), "{lists} lists in five minutes");
    assert!(kept.why().is_some_and(|why| why.contains("too old")), "{:?}", kept.why());
}

fn many(server: &Server, count: usize, content: &str) {
    for n in 0..count {
        server.put(&format!("o{n:04}"), &n.to_string(), content);
    }
}

async fn shows_so_many(kept: &Watched, count: usize, within: Duration) {
    let comes = timeout(within, async {
        while !(kept.cache.is_synced(&kept.id) && kept.shows().len() == count) {
            sleep(Duration::from_millis(50)).await;
        }
    });
    assert!(comes.await.is_ok(), "{} of {count}: {:?}", kept.shows().len(), kept.why());
}

#[tokio::test(start_paused = true)]
async fn large_objects_come_in_small_pages() {
    let server = Server::new(1);
    many(&server, 520, &"x".repeat(290_000));
    let kept = keep(&server);
    shows_so_many(&kept, 520, Duration::from_mins(2)).await;
    let (lists, continued, ..) = server.counts();
    assert!(lists == 1 && continued < 25, "{lists} {continued}");
}

#[tokio::test(start_paused = true)]
async fn more_than_may_be_kept_is_not_read_until_it_is_less() {
    let server = Server::new(1);
    many(&server, 60, &"x".repeat(100_000));
    let kept = keep_at_most(&server, 4 << 20);
    let refused = timeout(SOON, async {
        while !kept.why().is_some_and(|why| why.contains("more than 4 MiB") && why.contains("--max-memory-per-kind")) {
            sleep(Duration::from_millis(50)).await;
        }
    });
    assert!(refused.await.is_ok(), "{:?}", kept.why());
    assert!(kept.cache.weight(&kept.id) == 0 && server.counts().0 <= 3, "it is not asked for again and again");
    for number in 0..30 {
        server.with(|model| model.remove(&format!("o{number:04}")));
    }
    shows_so_many(&kept, 30, Duration::from_mins(3)).await;
}

#[tokio::test(start_paused = true)]
async fn what_grows_beyond_what_may_be_kept_is_followed_no_further() {
    let server = Server::new(1);
    many(&server, 30, &"x".repeat(100_000));
    let kept = keep_at_most(&server, 4 << 20);
    shows_so_many(&kept, 30, SOON).await;
    let before = kept.cache.weight(&kept.id);
    assert!((30 * 100_000..32 * 110_000).contains(&before), "{before}");
    for number in 0..60 {
        server.put(&format!("more-{number}"), &format!("more-{number}"), &"x".repeat(100_000));
    }
    let refused = timeout(Duration::from_mins(3), async {
        while !kept.why().is_some_and(|why| why.contains("more than 4 MiB") && why.contains("is still believed")) {
            sleep(Duration::from_millis(50)).await;
        }
    });
    assert!(refused.await.is_ok(), "{:?}", kept.why());
    assert!(kept.cache.is_synced(&kept.id), "what was there is there");
    assert!(kept.cache.weight(&kept.id) < 5 << 20, "{}", kept.cache.weight(&kept.id));
    for number in 0..60 {
        server.with(|model| model.remove(&format!("more-{number}")));
    }
    shows_so_many(&kept, 30, Duration::from_mins(3)).await;
    assert_eq!(kept.cache.weight(&kept.id), before);
}

fn too_large() -> Fault {
    Fault::Body(Bytes::from(vec![b' '; Limits::PAGE.max_body + 1]))
}

#[tokio::test(start_paused = true)]
async fn pages_that_are_too_large_shrink_and_the_size_is_remembered() {
    let server = Server::new(1);
    many(&server, 60, "");
    server.fault(|asked| matches!(asked, Asked::List { limit: 15.., metadata: false, .. }).then(too_large));
    let kept = keep(&server);
    shows_so_many(&kept, 60, SOON).await;
    let before = server.counts();
    assert_eq!(before.0, 4, "100, 50, 25, 12");
    // The next list knows.
    server.fault(|asked| {
        assert!(!matches!(asked, Asked::List { limit: 15.., metadata: false, .. }), "{asked:?}");
        matches!(asked, Asked::Watch { from: 61, .. }).then(|| Fault::Status(410, None))
    });
    server.hang_up();
    server.put("z", "z", "");
    shows_so_many(&kept, 61, SOON).await;
}

#[tokio::test(start_paused = true)]
async fn pages_that_are_too_slow_shrink() {
    let server = Server::new(1);
    many(&server, 60, "");
    server.fault(|asked| matches!(asked, Asked::List { limit: 30.., .. }).then(|| Fault::Hang));
    let kept = keep(&server);
    shows_so_many(&kept, 60, Duration::from_mins(3)).await;
}

#[tokio::test(start_paused = true)]
async fn one_object_that_is_too_large_is_named() {
    let server = Server::new(1);
    many(&server, 5, "");
    server.put("o0002x", "huge", "");
    let is_huge = |next: Option<&str>, limit: usize| {
        let first = next.and_then(|next| next.strip_prefix('o')).map_or(0, |n| n.parse::<usize>().unwrap_or(2) + 1);
        first <= 3 && first + limit > 3 && next != Some("o0002x")
    };
    server.fault(move |asked| match asked {
        Asked::List { limit, next, metadata: false } if is_huge(next.as_deref(), *limit) => Some(too_large()),
        _ => None,
    });
    let kept = keep(&server);
    kept.comes_to_say("broker/o0002x alone is larger than", SOON).await;
    sleep(Duration::from_mins(1)).await;
    assert!(!kept.cache.is_synced(&kept.id), "what cannot be read is not thought to be absent");
    server.heal();
    server.with(|model| model.remove("o0002x"));
    shows_so_many(&kept, 5, Duration::from_secs(30)).await;
}

#[tokio::test(start_paused = true)]
async fn a_list_that_fails_in_the_middle_goes_on_there() {
    for fault in [|| Fault::Status(504, None), || Fault::Status(429, Some(2)), || Fault::Break] {
        let server = Server::new(1);
        many(&server, 1000, "");
        let mut left = 3;
        server.fault(move |asked| {
            let strikes = left > 0 && matches!(asked, Asked::List { next: Some(next), .. } if next.as_str() > "o0500");
            left -= usize::from(strikes);
            strikes.then(fault)
        });
        let kept = keep(&server);
        shows_so_many(&kept, 1000, Duration::from_mins(1)).await;
        assert_eq!(server.counts().0, 1, "the list did not begin anew");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_no_list_is_told_and_got_over() {
    for (body, what) in [
        ("<html>please log in: hunter2</html>", "a web page"),
        (r#"{"kind":"Status","code":503,"reason":"ServiceUnavailable","message":"etcd is away"}"#, "etcd is away"),
        (r#"{"kind":"AssignmentList","items":[{"metadata":{"na"#, "ends in the middle"),
        (
            r#"{"kind":"SecretList","apiVersion":"v1","metadata":{"resourceVersion":"5"},"items":[]}"#,
            "a list of SecretList in v1",
        ),
        ("", "is empty"),
    ] {
        let server = Server::new(10);
        server.put("a", "1", "");
        server.fault(move |asked| matches!(asked, Asked::List { .. }).then(|| Fault::Body(body.into())));
        let kept = keep(&server);
        kept.comes_to_say(what, SOON).await;
        assert!(!kept.why().is_some_and(|why| why.contains("hunter2")));
        server.heal();
        kept.comes_to_show(&[("a", 11)], Duration::from_secs(30)).await;
        // The same while it is watched, and to the look before the watch goes on.
        server.fault(move |_| Some(Fault::Body(body.into())));
        server.hang_up();
        sleep(Duration::from_mins(2)).await;
        assert!(kept.cache.is_synced(&kept.id), "the last good state is kept: {:?}", kept.why());
        assert!(kept.why().is_some(), "{body}");
        assert!(server.counts().0 < 40, "{:?}", server.counts());
        server.heal();
        kept.comes_to_show(&[("a", 11)], Duration::from_secs(30)).await;
        sleep(Duration::from_secs(30)).await;
        assert_eq!(kept.why(), None, "{body}");
    }
}

#[tokio::test(start_paused = true)]
async fn refused_credentials_show_in_the_store_with_a_way_out() {
    let kept = synced(900).await;
    kept.server.fault(|_| Some(Fault::Status(401, None)));
    kept.server.hang_up();
    kept.comes_to_say("401 Unauthorized: renew the credentials in its kubeconfig", Duration::from_secs(25)).await;
    assert_eq!(*kept.cluster.health().borrow(), Health::Refused);
    kept.server.heal();
    sleep(Duration::from_secs(40)).await;
    assert_eq!((kept.why(), kept.server.counts().0), (None, 1));
}
