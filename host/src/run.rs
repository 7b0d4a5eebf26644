//! Wires the broker together and runs it until it is told to stop.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, anyhow};
use kube::core::GroupVersionKind;
use resource_broker_api::names::{Gvk, Role};
use resource_broker_sandbox::{Sandbox, SandboxConfig};
use tokio::{
    task::{JoinError, JoinHandle},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::{
    admin::{self, Check, Checks},
    apply::Apply,
    args::Options,
    cache::{Cache, Scope, What},
    clusters::{ClusterEvent, ClusterSet, POLL, Settings},
    identity,
    lease::Leadership,
    metrics::Metrics,
    plugin_command,
    plugins::{self, Board, Controller},
    queue::Queue,
    report::Reporter,
    watches::Watches,
    worker::{self, Worker},
};

/// How long the first passes wait for clusters to be read, so that objects are spread over all providers and not over
/// the fastest. A cluster that takes longer joins later.
const FIRST_READ: Duration = Duration::from_secs(3);
/// How long the end may take after the last pass: the whole stop is promised within five seconds.
const LAST_WORD: Duration = Duration::from_secs(1);

/// Runs the broker as `options` say.
pub async fn run(options: Options) -> anyhow::Result<()> {
    let stop = stop_on_signal()?;
    let metrics = Metrics::new();
    let config = SandboxConfig { probe: plugin_command::probe(), ..SandboxConfig::default() };
    let component_bytes = config.component_bytes;
    let sandbox = tokio::task::spawn_blocking(|| Sandbox::new(config));
    let scope = Scope {
        kinds: gvks(&options.watch_kinds),
        related: gvks(&options.related_kinds),
        namespace: options.namespace.clone(),
        compute: options.compute,
        limits: options.limits,
    };
    let settings = Settings { poll: POLL, proxy: options.proxy };
    let (clusters, mut events) = ClusterSet::start(options.sources, settings, metrics.clone()).await?;
    let clusters = Arc::new(clusters);
    let cache = Arc::new(Cache::new(scope.clone()));
    let queue = Arc::new(Queue::new());

    let board = Board::default();

    let checks: Checks = {
        let (clusters, cache, board) = (clusters.clone(), cache.clone(), board.clone());
        Arc::new(move || clusters.checks().into_iter().chain(cache_checks(&cache)).chain(board.checks()).collect())
    };
    let _health = admin::serve_health(&options.health_bind, checks).await?;
    let _metrics = admin::serve_metrics(&options.metrics_bind, options.metrics_secure, metrics.clone()).await?;

    let watches = Arc::new(Watches::new(scope, clusters.clone(), cache.clone(), queue.clone(), metrics.clone()));
    watches.on(&ClusterEvent::Attached(clusters.coordination().clone()));
    // What is there from the start is watched before the first decision.
    while let Ok(event) = events.try_recv() {
        watches.on(&event);
    }
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
    let sandbox = sandbox.await?.context("the standard plugin cannot be loaded; this build of the broker is broken")?;
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

    let outcome = lead(&leadership, &cache, &board, me, worker, &mut loading, &stop).await;
    following.abort();
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
    cache: &Cache,
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
        if timeout(FIRST_READ, cache.settled()).await.is_err() {
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

/// A line for each cache. Only the broker's own records and plugins are required.
fn cache_checks(cache: &Cache) -> Vec<Check> {
    let states = cache.states().into_iter();
    states
        .map(|(id, why)| {
            let own = matches!(id.what, What::Records | What::Plugins | What::Migrations | What::Configurations)
                && id.cluster.role == Role::Coordination;
            // Where the kind is not known there are none of it, and that is fine.
            let none = own && id.what != What::Records && cache.is_unserved(&id);
            Check {
                name: format!("cache {id}"),
                ok: why.is_none() || none,
                required: own,
                detail: why.filter(|_| !none).unwrap_or_default(),
            }
        })
        .collect()
}
