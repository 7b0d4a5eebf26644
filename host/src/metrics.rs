//! What the broker tells Prometheus. Every label is bounded: by code, by the clusters given, or by the kinds watched.

use std::{collections::HashSet, sync::Arc, time::Duration};

use parking_lot::Mutex;
use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
        info::Info,
    },
    registry::Registry,
};
use resource_broker_api::names::ClusterName;

use resource_broker_kube_io::observe::{Class, Observer};

use crate::transport::Verb;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ClusterLabel {
    cluster: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusedLabels {
    cluster: String,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    cluster: String,
    verb: &'static str,
    class: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestTimeLabels {
    cluster: String,
    verb: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WatchLabels {
    cluster: String,
    kind: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabel {
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SandboxLabels {
    role: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RoleLabel {
    role: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PluginLabel {
    plugin: String,
}

/// The broker's metrics. Clones share one registry; every method is cheap and never fails.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    registry: Registry,
    queue_depth: Gauge,
    queue_wait: Histogram,
    passes: Family<OutcomeLabel, Counter>,
    pass_duration: Histogram,
    requests: Family<RequestLabels, Counter>,
    request_duration: Family<RequestTimeLabels, Histogram, fn() -> Histogram>,
    sandbox_calls: Family<SandboxLabels, Counter>,
    sandbox_duration: Family<RoleLabel, Histogram, fn() -> Histogram>,
    plugin_ready: Family<PluginLabel, Gauge>,
    plugin_suspended: Family<PluginLabel, Gauge>,
    watch_restarts: Family<WatchLabels, Counter>,
    /// The watch labels that exist, so that a cluster's can be found when it goes.
    watches: Mutex<HashSet<WatchLabels>>,
    objects: Family<StateLabel, Gauge>,
    moves: Family<OutcomeLabel, Counter>,
    migrations: Family<OutcomeLabel, Counter>,
    cluster_up: Family<ClusterLabel, Gauge>,
    refused_clusters: Family<RefusedLabels, Gauge>,
    source_problems: Gauge,
    misnamed: Counter,
    leader: Gauge,
}

/// 100 µs to 26 s.
fn long_times() -> Histogram {
    Histogram::new(exponential_buckets(0.0001, 2.0, 19))
}

/// 10 µs to 2.6 s: a call into the sandbox is short.
fn short_times() -> Histogram {
    Histogram::new(exponential_buckets(0.000_01, 2.0, 19))
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

impl Metrics {
    /// A registry with everything at zero.
    pub fn new() -> Self {
        let mut inner = Inner {
            registry: Registry::with_prefix("resource_broker"),
            queue_depth: Gauge::default(),
            queue_wait: long_times(),
            passes: Family::default(),
            pass_duration: long_times(),
            requests: Family::default(),
            request_duration: Family::new_with_constructor(long_times),
            sandbox_calls: Family::default(),
            sandbox_duration: Family::new_with_constructor(short_times),
            plugin_ready: Family::default(),
            plugin_suspended: Family::default(),
            watch_restarts: Family::default(),
            watches: Mutex::default(),
            objects: Family::default(),
            moves: Family::default(),
            migrations: Family::default(),
            cluster_up: Family::default(),
            refused_clusters: Family::default(),
            source_problems: Gauge::default(),
            misnamed: Counter::default(),
            leader: Gauge::default(),
        };
        inner.register();
        Self(Arc::new(inner))
    }

    /// Everything in the OpenMetrics text format.
    pub fn encode(&self) -> Result<String, std::fmt::Error> {
        let mut page = String::new();
        text::encode(&mut page, &self.0.registry)?;
        Ok(page)
    }

    /// How many keys wait in the queue.
    pub fn queue_depth(&self, keys: usize) {
        self.0.queue_depth.set(to_gauge(keys));
    }

    /// A key waited this long, from when it was due until a worker took it.
    pub fn queue_wait(&self, waited: Duration) {
        self.0.queue_wait.observe(waited.as_secs_f64());
    }

    /// A pass over one key ended. `outcome` is one of a few words known at compile time.
    pub fn pass(&self, outcome: &'static str, took: Duration) {
        self.0.passes.get_or_create(&OutcomeLabel { outcome }).inc();
        self.0.pass_duration.observe(took.as_secs_f64());
    }

    /// A plugin was called. `role` and `outcome` are of a few words known at compile time.
    pub fn sandbox_call(&self, role: &'static str, outcome: &'static str, took: Duration) {
        self.0.sandbox_calls.get_or_create(&SandboxLabels { role, outcome }).inc();
        self.0.sandbox_duration.get_or_create(&RoleLabel { role }).observe(took.as_secs_f64());
    }

    /// How a Plugin fares. There are as many as people make in the broker's own namespace: few.
    pub fn plugin(&self, name: &str, ready: bool, suspended: bool) {
        let label = PluginLabel { plugin: name.to_owned() };
        self.0.plugin_ready.get_or_create(&label).set(i64::from(ready));
        self.0.plugin_suspended.get_or_create(&label).set(i64::from(suspended));
    }

    /// Drops every series of a Plugin that is gone.
    pub fn forget_plugin(&self, name: &str) {
        let label = PluginLabel { plugin: name.to_owned() };
        self.0.plugin_ready.remove(&label);
        self.0.plugin_suspended.remove(&label);
    }

    /// Drops the series of a watch that ended for good.
    pub fn forget_watch(&self, cluster: &ClusterName, kind: &str) {
        let labels = WatchLabels { cluster: cluster.to_string(), kind: kind.to_owned() };
        self.0.watches.lock().remove(&labels);
        self.0.watch_restarts.remove(&labels);
    }

    /// How many brokered objects are in `state`, one of a few words known at compile time.
    pub fn objects(&self, state: &'static str, count: usize) {
        self.0.objects.get_or_create(&StateLabel { state }).set(to_gauge(count));
    }

    /// A move to another provider ended. `outcome` is one of a few words known at compile time.
    pub fn moved(&self, outcome: &'static str) {
        self.0.moves.get_or_create(&OutcomeLabel { outcome }).inc();
    }

    /// A migration ended. `outcome` is one of a few words known at compile time.
    pub fn migrated(&self, outcome: &'static str) {
        self.0.migrations.get_or_create(&OutcomeLabel { outcome }).inc();
    }

    /// Which clusters are named by kubeconfigs and not attached, and the reason.
    pub fn refused_clusters(&self, all: impl Iterator<Item = (ClusterName, &'static str)>) {
        self.0.refused_clusters.clear();
        for (cluster, reason) in all {
            let labels = RefusedLabels { cluster: cluster.to_string(), reason };
            self.0.refused_clusters.get_or_create(&labels).set(1);
        }
    }

    /// How many kubeconfigs cannot be used as they are.
    pub fn source_problems(&self, count: usize) {
        self.0.source_problems.set(to_gauge(count));
    }

    /// A file was found that reads as a kubeconfig and is not called like one.
    pub fn misnamed_kubeconfig(&self) {
        self.0.misnamed.inc();
    }

    /// Drops every series of a cluster that was taken away.
    pub fn forget_cluster(&self, cluster: &ClusterName) {
        let cluster = cluster.to_string();
        for verb in Verb::ALL.map(Verb::as_str) {
            self.0.request_duration.remove(&RequestTimeLabels { cluster: cluster.clone(), verb });
            for class in Class::ALL.map(Class::as_str) {
                self.0.requests.remove(&RequestLabels { cluster: cluster.clone(), verb, class });
            }
        }
        self.0.watches.lock().retain(|labels| {
            let stays = labels.cluster != cluster;
            if !stays {
                self.0.watch_restarts.remove(labels);
            }
            stays
        });
        self.0.cluster_up.remove(&ClusterLabel { cluster });
    }
}

impl Inner {
    fn register(&mut self) {
        let build = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        let registry = &mut self.registry;
        registry.register("build", "The running version", build);
        registry.register("queue_depth", "Keys that wait for a worker", self.queue_depth.clone());
        registry.register(
            "queue_wait_seconds",
            "From when a key was due until a worker took it",
            self.queue_wait.clone(),
        );
        registry.register("passes", "Passes over one key, by outcome", self.passes.clone());
        registry.register("pass_duration_seconds", "The time of one pass", self.pass_duration.clone());
        registry.register("requests", "Requests to API servers, watches excepted", self.requests.clone());
        registry.register(
            "request_duration_seconds",
            "From sending a request to the end of its answer",
            self.request_duration.clone(),
        );
        registry.register("sandbox_calls", "Calls of plugins, by role and outcome", self.sandbox_calls.clone());
        registry.register("sandbox_call_duration_seconds", "The time of one call", self.sandbox_duration.clone());
        registry.register(
            "plugin_ready",
            "Whether a Plugin serves what it claims (1) or not (0)",
            self.plugin_ready.clone(),
        );
        registry.register(
            "plugin_suspended",
            "Whether a Plugin is asked only now and then since its calls fail (1) or not (0)",
            self.plugin_suspended.clone(),
        );
        registry.register("watch_restarts", "Watches that ended and were started anew", self.watch_restarts.clone());
        registry.register("objects", "Brokered objects, by state", self.objects.clone());
        registry.register("moves", "Moves between providers that ended, by outcome", self.moves.clone());
        registry.register("migrations", "Migrations that ended, by outcome", self.migrations.clone());
        registry.register("cluster_up", "Whether the cluster answers (1) or not (0)", self.cluster_up.clone());
        registry.register(
            "cluster_refused",
            "A cluster that a kubeconfig names and that is not attached (1), by reason; readyz?verbose says why",
            self.refused_clusters.clone(),
        );
        registry.register(
            "kubeconfig_problems",
            "Kubeconfigs that cannot be used as they are; readyz?verbose names them",
            self.source_problems.clone(),
        );
        registry.register(
            "kubeconfigs_misnamed",
            "Files in directories that read as kubeconfigs and are passed over because of their names, as they were found or changed",
            self.misnamed.clone(),
        );
        registry.register("leader", "Whether this process is the one that writes", self.leader.clone());
    }
}

fn to_gauge(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

impl Observer for Metrics {
    fn cluster_up(&self, cluster: &ClusterName, up: bool) {
        self.0.cluster_up.get_or_create(&ClusterLabel { cluster: cluster.to_string() }).set(i64::from(up));
    }

    fn request(&self, cluster: &ClusterName, verb: Verb, class: Class, took: Duration) {
        let (cluster, verb) = (cluster.to_string(), verb.as_str());
        let labels = RequestTimeLabels { cluster: cluster.clone(), verb };
        self.0.request_duration.get_or_create(&labels).observe(took.as_secs_f64());
        self.0.requests.get_or_create(&RequestLabels { cluster, verb, class: class.as_str() }).inc();
    }

    fn watch_restart(&self, cluster: &ClusterName, kind: &str) {
        let labels = WatchLabels { cluster: cluster.to_string(), kind: kind.to_owned() };
        self.0.watch_restarts.get_or_create(&labels).inc();
        self.0.watches.lock().insert(labels);
    }

    fn leader(&self, leads: bool) {
        self.0.leader.set(i64::from(leads));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line<'a>(page: &'a str, start: &str) -> Option<&'a str> {
        page.lines().find_map(|line| line.strip_prefix(start)).map(str::trim)
    }

    #[test]
    fn a_request_is_counted_under_its_labels() {
        let metrics = Metrics::new();
        let cluster = ClusterName::parse("provider#a").unwrap();
        metrics.request(&cluster, Verb::Apply, Class::Conflict, Duration::from_millis(3));
        let page = metrics.encode().unwrap();
        let series = r#"resource_broker_requests_total{cluster="provider#a",verb="apply",class="409"}"#;
        assert_eq!(line(&page, series), Some("1"), "{page}");
        assert!(page.contains(r#"resource_broker_build_info{version=""#), "{page}");
        assert!(page.ends_with("# EOF\n"));
    }

    #[test]
    fn a_cluster_that_went_leaves_nothing_behind() {
        let metrics = Metrics::new();
        let [gone, stays] = ["provider#gone", "provider#stays"].map(|name| ClusterName::parse(name).unwrap());
        for cluster in [&gone, &stays] {
            metrics.cluster_up(cluster, true);
            metrics.watch_restart(cluster, "ConfigMap.v1.core");
            metrics.request(cluster, Verb::Get, Class::Success, Duration::ZERO);
        }
        metrics.forget_cluster(&gone);
        let page = metrics.encode().unwrap();
        assert!(!page.contains("provider#gone"), "{page}");
        assert_eq!(line(&page, r#"resource_broker_cluster_up{cluster="provider#stays"}"#), Some("1"));
    }
}
