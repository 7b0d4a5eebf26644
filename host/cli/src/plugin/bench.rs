//! `plugin bench`: what a component costs the broker.

use std::fmt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use clap::Args;
use resource_broker_plugin_cases as cases;
use resource_broker_plugin_types::{CopyContext, Offer, Role};
use resource_broker_sandbox::{Trial, Trialled};
use serde::Serialize;
use serde_json::{Value, json};

use super::component::{self, ComponentArgs, Opened};
use super::{input, run::offers};
use crate::output::{self, Format, Progress, count, size, time};

/// How many offers an object is judged against.
const OFFERS: [usize; 4] = [1, 10, 100, 1000];
/// Calls that are made before the measured ones.
const WARM_UP: usize = 3;

/// Calls a component over and over, one call after the other: calls a second, latency, and memory. Filters are measured
/// with 1, 10, 100 and 1,000 offers, transformers with one copy, and an instance that is asked nothing for comparison.
/// Without files it uses an object and offers of its own: what a real object costs is known by giving one.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Example:\n  resource-broker plugin bench my_plugin.wasm --object database.yaml --accept-api nestor.yaml"
)]
pub(super) struct BenchArgs {
    #[command(flatten)]
    component: ComponentArgs,
    /// The consumer's object, and the copy whose status is transformed
    #[arg(long, value_name = "FILE")]
    object: Option<PathBuf>,
    /// Offers: AcceptAPIs, repeated until there are as many as are measured
    #[arg(long, value_name = "FILE", num_args = 1..)]
    accept_api: Vec<PathBuf>,
    /// How long each row is measured, in seconds
    #[arg(long, default_value_t = 2.0, value_parser = parse_seconds)]
    seconds: f64,
    /// Print for scripts
    #[arg(short, long, value_name = "FORM")]
    output: Option<Format>,
}

fn parse_seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse::<f64>().ok().filter(|seconds| (0.01..=600.0).contains(seconds));
    seconds.ok_or_else(|| "not a number of seconds from 0.01 to 600".to_owned())
}

/// Measures and prints.
pub(super) fn run(args: &BenchArgs) -> Result<ExitCode> {
    let given = Given::read(args)?;
    let bench = super::block_on(async {
        let opened = component::open(&args.component).await?;
        measure(&opened, &given, Duration::from_secs_f64(args.seconds)).await
    })?;
    output::print(&bench.with_context(|| input::name(&args.component.file))?, args.output)?;
    Ok(ExitCode::SUCCESS)
}

/// What the component is called with.
struct Given {
    object: String,
    offers: Vec<Offer>,
}

impl Given {
    fn read(args: &BenchArgs) -> Result<Self> {
        let object = match &args.object {
            Some(file) => input::single(file)?.into_kubernetes_object()?.value,
            None => synthetic_object(),
        };
        let mut given = Vec::new();
        for file in &args.accept_api {
            given.extend(offers(file)?);
        }
        if given.is_empty() {
            given.push(synthetic_offer());
        }
        Ok(Self { object: object.to_string(), offers: given })
    }

    /// So many offers, by different providers.
    fn offers(&self, wanted: usize) -> Vec<Offer> {
        let numbered = |(number, offer): (usize, &Offer)| Offer {
            provider: format!("{}-{number}", offer.provider),
            ..offer.clone()
        };
        self.offers.iter().cycle().take(wanted).enumerate().map(numbered).collect()
    }
}

/// About a kilobyte, as an object of a small API is.
fn synthetic_object() -> Value {
    json!({
        "apiVersion": "example.platform-mesh.io/v1alpha1",
        "kind": "Certificate",
        "metadata": {
            "name": "www",
            "namespace": "team",
            "uid": "0b0c1f5e-6f0e-4d3c-9a55-6d0d9f1a2b3c",
            "resourceVersion": "4711",
            "generation": 2,
            "labels": {"app": "web"},
            "annotations": {"note": "x".repeat(300)},
        },
        "spec": {"fqdn": "www.7.corp.com"},
        "status": {
            "status": "Available",
            "conditions": [{
                "type": "Ready",
                "status": "True",
                "reason": "Issued",
                "message": "the certificate is issued",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }],
            "relatedResources": {
                "tls": {
                    "gvk": {"group": "core", "version": "v1", "kind": "Secret"},
                    "name": "0123456789ab-www",
                    "namespace": "team",
                },
            },
        },
    })
}

fn synthetic_offer() -> Offer {
    Offer {
        provider: "provider#bench".to_owned(),
        name: "default/certificates".to_owned(),
        filters: vec![json!({"key": "fqdn", "suffix": ".corp.com"}).to_string()].into(),
    }
}

async fn measure(opened: &Opened, given: &Given, duration: Duration) -> Result<Bench> {
    let plugin = &opened.plugin;
    let trial = opened.sandbox.trial(plugin);
    let mut rows = Vec::new();
    rows.push(row("an instance alone", None, duration, async || trial.instantiate().await).await?);
    if plugin.roles().contains(&Role::AcceptFilter) {
        for wanted in OFFERS {
            let offers = given.offers(wanted);
            let judge = async || trial.judge(given.object.clone(), offers.clone()).await;
            rows.push(row("accept-filter", Some(wanted), duration, judge).await?);
        }
    }
    if plugin.roles().contains(&Role::StatusTransformer) {
        let transform = async || transform(&trial, given).await;
        rows.push(row("status-transformer", None, duration, transform).await?);
    }
    Ok(Bench {
        name: plugin.description().name.clone(),
        size: plugin.size(),
        compile_milliseconds: plugin.compile_time().as_millis(),
        rows,
    })
}

async fn transform(trial: &Trial, given: &Given) -> Trialled<Option<String>> {
    let copy = serde_json::from_str(&given.object).unwrap_or_default();
    let context = CopyContext {
        names: cases::names(&copy, cases::PREFIX),
        consumer_namespace: "team".to_owned(),
        provider: "provider#bench".to_owned(),
    };
    trial.transform_status(given.object.clone(), None, context).await
}

/// Calls until the time is over, at least once. A call that fails ends it: there is nothing to measure.
async fn row<T>(
    what: &'static str,
    offers: Option<usize>,
    duration: Duration,
    call: impl AsyncFn() -> Trialled<T>,
) -> Result<Row> {
    let _progress = Progress::new(&format!("measuring {what}"));
    for _ in 0..WARM_UP {
        call().await.answer.map_err(|error| anyhow!("{what}: {error}"))?;
    }
    let (mut times, mut memory_bytes) = (Vec::new(), 0);
    let begun = Instant::now();
    loop {
        let trialled = call().await;
        trialled.answer.map_err(|error| anyhow!("{what}: {error}"))?;
        times.push(trialled.time);
        memory_bytes = memory_bytes.max(trialled.memory_bytes);
        if begun.elapsed() >= duration {
            break;
        }
    }
    Ok(Row::new(what, offers, times, memory_bytes))
}

/// What was measured.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Bench {
    name: String,
    size: usize,
    compile_milliseconds: u128,
    rows: Vec<Row>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    what: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    offers: Option<usize>,
    calls: usize,
    calls_per_second: u64,
    #[serde(rename = "p50Nanoseconds", serialize_with = "nanoseconds")]
    p50: Duration,
    #[serde(rename = "p99Nanoseconds", serialize_with = "nanoseconds")]
    p99: Duration,
    memory_bytes: usize,
}

fn nanoseconds<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u128(duration.as_nanos())
}

impl Row {
    fn new(what: &'static str, offers: Option<usize>, mut times: Vec<Duration>, memory_bytes: usize) -> Self {
        times.sort_unstable();
        let at = |percent: usize| times.get(times.len().saturating_sub(1) * percent / 100).copied().unwrap_or_default();
        let total: Duration = times.iter().sum();
        let calls_per_second = times.len() as u128 * 1_000_000_000 / total.as_nanos().max(1);
        Self {
            what,
            offers,
            calls: times.len(),
            calls_per_second: u64::try_from(calls_per_second).unwrap_or(u64::MAX),
            p50: at(50),
            p99: at(99),
            memory_bytes,
        }
    }
}

impl fmt::Display for Bench {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}, compiled in {} ms", self.name, size(self.size), self.compile_milliseconds)?;
        writeln!(f, "{:20} {:>7} {:>10} {:>10} {:>10} {:>11}", "", "OFFERS", "CALLS/S", "P50", "P99", "MEMORY")?;
        for row in &self.rows {
            let offers = row.offers.map_or_else(String::new, |offers| count(offers as u64));
            let (rate, memory) = (count(row.calls_per_second), size(row.memory_bytes));
            let (p50, p99) = (time(row.p50), time(row.p99));
            writeln!(f, "{:20} {offers:>7} {rate:>10} {p50:>10} {p99:>10} {memory:>11}", row.what)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_made_of_all_its_calls() {
        let times = (1..=100).rev().map(Duration::from_millis).collect();
        let row = Row::new("x", None, times, 5);
        assert_eq!((row.calls, row.p50, row.p99), (100, Duration::from_millis(50), Duration::from_millis(99)));
        assert_eq!(row.calls_per_second, 19, "100 calls in 5.05 s");
    }

    #[test]
    fn offers_are_repeated_under_other_providers() {
        let given = Given { object: String::new(), offers: vec![synthetic_offer(), synthetic_offer()] };
        let offers = given.offers(5);
        assert_eq!(offers.len(), 5);
        assert_eq!(offers[4].provider, "provider#bench-4");
    }
}
