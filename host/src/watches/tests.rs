use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::*;
use resource_broker_api::names::Gvk;
use tokio::time::{sleep, timeout};

use crate::{
    testing::{answer, cluster, scope},
    watch::Watch,
};

/// A consumer that answers each list with `status` and `body`, and what its store is said to be after a minute.
async fn state_after_a_minute(status: u16, body: &'static str) -> Option<String> {
    let metrics = Metrics::new();
    let cluster = cluster("consumer#c", metrics.clone(), move |_| async move { answer(status, body) });
    let secrets = Gvk::new("", "v1", "Secret");
    let cache = Arc::new(Cache::new(scope(vec![], vec![secrets.clone()])));
    cache.attach(cluster.name());
    let id = StoreId { cluster: cluster.name().clone(), what: What::Related(secrets) };
    cache.open(&id);
    let kept = Kept { id, cache: cache.clone(), queue: Arc::new(Queue::new()) };
    let watch = kept.watch(cluster, "broker", usize::MAX, &metrics);
    assert!(timeout(Duration::from_mins(1), watch.run()).await.is_err());
    cache.states().into_iter().find_map(|(_, why)| why)
}

/// A store of a kind that its cluster does not serve, the cache, and how often the cluster has been asked for it.
fn unserved(what: fn(Gvk) -> What) -> (Watch, StoreId, Arc<Cache>, Arc<AtomicUsize>) {
    let (metrics, asked) = (Metrics::new(), Arc::new(AtomicUsize::new(0)));
    let server = {
        let asked = asked.clone();
        move |_| {
            asked.fetch_add(1, Ordering::Relaxed);
            async move { answer(404, "{}") }
        }
    };
    let cluster = cluster("compute#compute", metrics.clone(), server);
    let cache = Arc::new(Cache::new(scope(vec![], vec![])));
    cache.attach(cluster.name());
    let id = StoreId { cluster: cluster.name().clone(), what: what(Gvk::new("batch", "v1", "Jobb")) };
    cache.open(&id);
    let queue = Arc::new(Queue::new());
    let watch = Kept { id: id.clone(), cache: cache.clone(), queue }.watch(cluster, "n", usize::MAX, &metrics);
    (watch, id, cache, asked)
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_compute_does_not_serve_is_asked_for_ever_less_often() {
    for (what, at_most) in [(What::Stage as fn(Gvk) -> What, 30), (What::Mirrors, 30), (What::Kind, 1000)] {
        let (watch, _, _, asked) = unserved(what);
        assert!(timeout(Duration::from_hours(1), watch.run()).await.is_err());
        let asked = asked.load(Ordering::Relaxed);
        assert!((at_most / 3..at_most).contains(&asked), "{asked} times in an hour");
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_called_asks_at_once_but_not_all_the_time() {
    let (watch, id, cache, asked) = unserved(What::Stage);
    let watching = tokio::spawn(watch.run());
    sleep(Duration::from_hours(1)).await;
    let before = asked.load(Ordering::Relaxed);
    for _ in 0..100 {
        cache.call(&id).notify_one();
        sleep(Duration::from_millis(100)).await;
    }
    let more = asked.load(Ordering::Relaxed) - before;
    assert!((9..=11).contains(&more), "{more} times in ten seconds");
    watching.abort();
}

#[tokio::test(start_paused = true)]
async fn a_first_list_that_never_comes_to_its_end_is_told() {
    let gone = r#"{"kind": "Status", "status": "Failure", "code": 410, "reason": "Expired", "message": "too old"}"#;
    assert_eq!(state_after_a_minute(410, gone).await.as_deref(), Some("the resource version is too old"));
}

#[tokio::test(start_paused = true)]
async fn a_schema_that_is_published_late_is_taken_in_and_all_objects_are_reconciled() {
    let is_published = Arc::new(AtomicBool::new(false));
    let server = {
        let is_published = is_published.clone();
        move |request: http::Request<kube::client::Body>| {
            let (uri, is_published) = (request.uri().to_string(), is_published.load(Ordering::Relaxed));
            async move {
                match uri.as_str() {
                    "/apis/g.io/v1" => answer(
                        200,
                        r#"{"kind": "APIResourceList", "resources": [
                            {"name": "things", "kind": "Thing", "namespaced": true},
                            {"name": "things/status", "kind": "Thing", "namespaced": true}]}"#,
                    ),
                    "/openapi/v3/apis/g.io/v1" if is_published => answer(
                        200,
                        r#"{"components": {"schemas": {"x": {
                            "x-kubernetes-group-version-kind": [{"group": "g.io", "version": "v1", "kind": "Thing"}],
                            "properties": {"status": {"properties": {"conditions": {"type": "array"}}}}}}}}"#,
                    ),
                    "/openapi/v3/apis/g.io/v1" => answer(404, "{}"),
                    uri if uri.contains("watch=1") => std::future::pending().await,
                    _ => answer(
                        200,
                        r#"{"metadata": {"resourceVersion": "1"}, "items": [
                            {"metadata": {"name": "a", "namespace": "n", "uid": "u", "resourceVersion": "1"}}]}"#,
                    ),
                }
            }
        }
    };
    let metrics = Metrics::new();
    let cluster = cluster("consumer#c", metrics.clone(), server);
    let gvk = Gvk::new("g.io", "v1", "Thing");
    let cache = Arc::new(Cache::new(scope(vec![gvk.clone()], vec![])));
    cache.attach(cluster.name());
    let id = StoreId { cluster: cluster.name().clone(), what: What::Kind(gvk.clone()) };
    cache.open(&id);
    let queue = Arc::new(Queue::new());
    let kept = Kept { id: id.clone(), cache: cache.clone(), queue: queue.clone() };
    let watching = tokio::spawn(kept.watch(cluster, "broker", usize::MAX, &metrics).run());
    let has_conditions = || cache.resource(&id.cluster, &gvk).is_some_and(|resource| resource.shape.conditions);

    sleep(Duration::from_mins(1)).await;
    assert!(cache.is_synced(&id) && !has_conditions(), "objects are brokered without conditions meanwhile");
    while queue.depth() > 0 {
        let (key, _) = queue.next().await;
        queue.done(&key);
    }
    is_published.store(true, Ordering::Relaxed);
    sleep(Duration::from_mins(10)).await;
    assert!(has_conditions());
    assert!(queue.depth() > 0, "its object is reconciled although it did not change");
    watching.abort();
}
