//! Wires the broker together and runs it until it is told to stop.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::anyhow;
use kube::core::GroupVersionKind;
use resource_broker_api::{
    keys,
    names::{ClusterName, Gvk, Role},
};
use resource_broker_sandbox::{Sandbox, SandboxConfig};
use tokio::{
    task::{JoinError, JoinHandle},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    admin::{self, Check, Checks},
    apply::Apply,
    args::Options,
    cache::{Cache, Compute, Scope, What},
    clusters::{self, ClusterEvent, ClusterSet, POLL, Register, Settings},
    descriptors, identity,
    lease::Leadership,
    metrics::Metrics,
    planner::placement::core_kinds,
    plugin,
    plugins::{self, Board, Controller},
    queue::Queue,
    report::Reporter,
    watches::Watches,
    worker::{self, Worker},
};

/// How long the first passes wait for clusters to be read, so that objects are spread over all providers and not over
/// the fastest. A cluster that takes longer joins later.
const FIRST_READ: Duration = Duration::from_secs(3);
/// The shortest pause between two looks at what records say of clusters.
const INFORM: Duration = Duration::from_millis(200);
/// How long the end may take after the last pass: the whole stop is promised within five seconds.
const LAST_WORD: Duration = Duration::from_secs(1);

/// Runs the broker as `options` say.
pub async fn run(options: Options) -> anyhow::Result<()> {
    let stop = stop_on_signal()?;
    let metrics = Metrics::new();
    let config = SandboxConfig { probe: plugin::probe(), ..SandboxConfig::default() };
    let component_bytes = config.component_bytes;
    let sandbox = tokio::task::spawn_blocking(|| Sandbox::new(config));
    let scope = Scope {
        kinds: gvks(&options.watch_kinds),
        related: gvks(&options.related_kinds),
        namespace: options.namespace.clone(),
        compute: Compute { cluster: options.compute.cluster, namespace: options.compute.namespace },
        limits: options.limits,
        most_of_a_kind: options.most_of_a_kind,
    };
    for (gvk, why) in scope.kinds.iter().filter_map(|gvk| Some((gvk, core_kinds::warning(gvk)?))) {
        tracing::warn!(kind = %gvk, "{why}");
    }
    let settings = Settings { poll: POLL, proxy: options.proxy, connect: clusters::connect(&metrics) };
    let (clusters, events) = ClusterSet::start(options.sources, settings, metrics.clone()).await?;
    let clusters = Arc::new(clusters);
    let cache = Arc::new(Cache::new(scope.clone()));
    let queue = Arc::new(Queue::new());

    let board = Board::default();

    let checks: Checks = {
        let (clusters, cache, board) = (clusters.clone(), cache.clone(), board.clone());
        Arc::new(move || {
            let (mut checks, mut caches) = (clusters.checks(), cache_checks(&cache));
            agree(&mut checks, &mut caches, &cache.denied_everywhere());
            checks.into_iter().chain(caches.into_iter().map(|(_, check)| check)).chain(board.checks()).collect()
        })
    };
    let _health = admin::serve_health(&options.health_bind, checks).await?;
    let _metrics = admin::serve_metrics(&options.metrics_bind, options.metrics_secure, metrics.clone()).await?;

    let watches = Arc::new(Watches::new(scope, clusters.clone(), cache.clone(), queue.clone(), metrics.clone()));
    watches.on(&ClusterEvent::Attached(clusters.coordination().clone()));
    let informing = tokio::spawn(inform(clusters.clone(), cache.clone()));
    let following = tokio::spawn({
        let watches = watches.clone();
        async move { watches.follow(events).await }
    });

    let coordination = clusters.coordination().clone();
    let leadership = Arc::new(if options.leader_elect {
        Leadership::stand(coordination, &options.namespace, options.identity, metrics.clone())
    } else {
        Leadership::unopposed(&metrics)
    });
    let sandbox = sandbox.await?.map_err(|error| {
        let why = match descriptors::exhaustion(&error) {
            Some(_) => "the standard plugin cannot be loaded",
            None => "the standard plugin cannot be loaded; this build of the broker is broken",
        };
        anyhow::Error::new(error).context(why)
    })?;
    let me = {
        let (coordination, namespace) = (clusters.coordination().clone(), options.namespace.clone());
        async move { identity::find(&coordination, &namespace).await }
    };
    let apply = Arc::new(Apply {
        clusters: clusters.clone(),
        cache: cache.clone(),
        queue: queue.clone(),
        leadership: leadership.clone(),
        reporter: Reporter::new(&options.namespace),
        namespace: options.namespace,
    });
    let register = Register {
        clusters: clusters.clone(),
        cache: cache.clone(),
        queue: queue.clone(),
        leadership: leadership.clone(),
        namespace: apply.namespace.clone(),
        kinds: gvks(&options.watch_kinds),
        related: gvks(&options.related_kinds),
    };
    let registering = tokio::spawn(register.run());
    let begin = {
        let watches = watches.clone();
        move || {
            let watches = watches.clone();
            Box::new(move |id| watches.begin(id))
        }
    };
    let controller = Controller::new(plugins::Parts {
        clusters,
        cache: cache.clone(),
        queue: queue.clone(),
        sandbox: sandbox.clone(),
        component_bytes,
        apply: apply.clone(),
        watches: begin(),
        metrics: metrics.clone(),
        board: board.clone(),
    });
    // Every process loads, so that one that takes over has nothing to wait for.
    let mut loading = tokio::spawn(controller.run());
    let worker = worker::Parts {
        queue,
        cache: cache.clone(),
        sandbox,
        board: board.clone(),
        apply,
        watches: begin(),
        history: options.migration_history,
        metrics,
    };
    let worker = Arc::new(Worker::new(worker));

    let outcome = lead(&leadership, (&watches, &cache), &board, me, worker, &mut loading, &stop).await;
    following.abort();
    informing.abort();
    registering.abort();
    loading.abort();
    // Nothing is written any more, so others may take over at once rather than when the Lease has run out.
    if timeout(LAST_WORD, leadership.release()).await.is_err() {
        tracing::warn!("the coordination cluster did not take the Lease back in time; it ends by itself");
    }
    tracing::info!("stopped");
    outcome
}

/// Works from when this process leads until it is told to stop. `loading` is who loads plugins: without it, objects that
/// wait for one would wait for ever.
async fn lead(
    leadership: &Leadership,
    (watches, cache): (&Watches, &Cache),
    board: &Board,
    me: impl Future<Output = Option<String>>,
    worker: Arc<Worker>,
    loading: &mut JoinHandle<()>,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let begin = async {
        leadership.acquired().await;
        if let Some(me) = me.await {
            cache.known_as(&me);
        }
        // What a Plugin claims is never decided by the standard component only because the broker has just started.
        board.claimed().await;
        let read = async {
            watches.settled().await;
            cache.settled().await;
        };
        if timeout(FIRST_READ, read).await.is_err() {
            tracing::info!("not every cluster could be read yet; going on with those that could");
        }
    };
    tokio::select! {
        () = stop.cancelled() => return Ok(()),
        ended = &mut *loading => return Err(ended_by_itself("the plugin controller", ended)),
        () = begin => {}
    }
    tracing::info!("brokering");
    let over = CancellationToken::new();
    let mut working = tokio::spawn(worker.run(over.clone()));
    let outcome = tokio::select! {
        () = stop.cancelled() => Ok(()),
        () = leadership.lost() => {
            Err(anyhow!("another process holds the Lease now; this one ends so that it starts anew as a candidate"))
        }
        ended = &mut *loading => Err(ended_by_itself("the plugin controller", ended)),
        ended = &mut working => return Err(ended_by_itself("the worker", ended)),
    };
    over.cancel();
    working.await?;
    outcome
}

/// Keeps the keeper of clusters informed of what records say of them.
async fn inform(clusters: Arc<ClusterSet>, cache: Arc<Cache>) {
    loop {
        if let Some(directory) = cache.directory() {
            clusters.inform(directory);
            // Many Assignments may change at once.
            sleep(INFORM).await;
        }
        cache.directory_changed().await;
    }
}

fn ended_by_itself(who: &str, ended: Result<(), JoinError>) -> anyhow::Error {
    let how = ended.err().map(|error| format!(": {error}")).unwrap_or_default();
    anyhow!("{who} ended by itself; this is a bug{how}")
}

fn stop_on_signal() -> anyhow::Result<CancellationToken> {
    use tokio::signal::unix::{SignalKind, signal};
    let stop = CancellationToken::new();
    let mut term = signal(SignalKind::terminate())?;
    let mut int = signal(SignalKind::interrupt())?;
    let told = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
        tracing::info!("told to stop");
        told.cancel();
    });
    Ok(stop)
}

fn gvks(kinds: &[GroupVersionKind]) -> Vec<Gvk> {
    kinds.iter().map(|kind| Gvk::new(&kind.group, &kind.version, &kind.kind)).collect()
}

/// A cluster that answers and refuses everything is not well, and what a cache shows of one that is not well is of an earlier time.
fn agree(clusters: &mut [Check], caches: &mut [(ClusterName, Check)], denied: &BTreeMap<ClusterName, String>) {
    for (name, why) in denied {
        let line = format!("cluster {name}");
        if let Some(check) = clusters.iter_mut().find(|check| check.ok && check.name == line) {
            check.ok = false;
            check.detail = format!("it answers, and refuses whatever the broker asks for: {why}");
        }
    }
    for (name, check) in caches.iter_mut().filter(|(_, check)| check.ok && check.detail.is_empty()) {
        let line = format!("cluster {name}");
        if let Some(cluster) = clusters.iter().find(|cluster| !cluster.ok && cluster.name == line) {
            check.ok = false;
            check.detail = format!("it shows what was there before: {}", cluster.detail);
        }
    }
}

/// A line for each cache. Only the broker's own records and plugins are required.
fn cache_checks(cache: &Cache) -> Vec<(ClusterName, Check)> {
    let states = cache.states().into_iter();
    let others = cache.others().into_iter().map(|((cluster, gvk, broker), count)| {
        let detail =
            format!("{count} objects say that broker {broker} serves them ({}); they are left alone", keys::SERVED_BY);
        let name = format!("{gvk} in {cluster} of broker {broker}");
        (cluster, Check { name, ok: false, required: false, detail })
    });
    states
        .map(|(id, why)| {
            let own = matches!(
                id.what,
                What::Records | What::Plugins | What::Migrations | What::Configurations | What::Clusters
            ) && id.cluster.role == Role::Coordination;
            // Where the kind is not known there are none of it, and that is fine.
            let none = own && id.what != What::Records && cache.is_unserved(&id);
            let check = Check {
                name: format!("cache {id}"),
                ok: why.is_none() || none,
                required: own && id.what != What::Clusters,
                detail: why.filter(|_| !none).unwrap_or_default(),
            };
            (id.cluster, check)
        })
        .chain(others)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, ok: bool, detail: &str) -> Check {
        Check { name: name.into(), ok, required: false, detail: detail.into() }
    }

    #[test]
    fn a_cluster_that_refuses_everything_and_caches_of_one_that_is_silent_are_not_well() {
        let name = |name: &str| ClusterName::new(Role::Provider, name);
        let mut clusters = vec![
            check("cluster provider#denies", true, ""),
            check("cluster provider#silent", false, "no answer"),
            check("cluster provider#well", true, ""),
        ];
        let mut caches: Vec<_> =
            ["silent", "well"].map(|it| (name(it), check(&format!("cache provider#{it} x"), true, ""))).into();
        agree(&mut clusters, &mut caches, &BTreeMap::from([(name("denies"), "403".to_owned())]));
        assert!(!clusters[0].ok && clusters[0].detail.contains("403"), "{clusters:?}");
        assert!(!caches[0].1.ok && caches[0].1.detail.contains("no answer"), "{caches:?}");
        assert!(clusters[2].ok && caches[1].1.ok);
    }
}
