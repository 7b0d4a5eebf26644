//! What the sandbox costs: the standard filter against the same code without WebAssembly, and each plugin by itself.
//! `make bench` runs it: `measure NATIVE COMPONENT…`, where NATIVE is the program `native` of `plugins/standard`.

use std::error::Error;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use resource_broker_plugin_types::{ApiName, CopyContext, Deployed, Endpoint, MigrationContext, NamePair, Offer, Role};
use resource_broker_sandbox::{LimitsRequest, Sandbox, SandboxConfig, Source, Trialled};
use serde_json::json;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// How long each row is measured.
const ROW: Duration = Duration::from_secs(2);
/// What an object is judged against.
const OFFERS: [usize; 4] = [1, 10, 100, 1000];

#[tokio::main]
async fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let native = args.next().ok_or("usage: measure NATIVE COMPONENT…")?;
    let sandbox = Sandbox::new(SandboxConfig::default())?;
    filters(&sandbox, Path::new(&native)).await?;
    status(&sandbox).await?;
    migration(&sandbox).await?;
    plugins(&sandbox, args.collect()).await
}

/// The standard filter, on one thread: what a decision costs in the sandbox and without.
async fn filters(sandbox: &Sandbox, native: &Path) -> Result<()> {
    println!("The standard filter, one call after the other, an object of {} bytes", object().len());
    println!(
        "{:>7} {:>12} {:>12} {:>12} {:>14} {:>14} {:>14} {:>7}",
        "OFFERS", "CALL p50", "CALL p99", "CALL mean", "CALLS/S", "DECISIONS/S", "NATIVE mean", "RATIO"
    );
    let api = ApiName { group: "example.platform-mesh.io".to_owned(), resource: "certificates".to_owned() };
    for count in OFFERS {
        let offers: Vec<Offer> = (0..count).map(offer).collect();
        let mut times = Vec::new();
        let begun = Instant::now();
        while begun.elapsed() < ROW {
            let (object, offers) = (object(), offers.clone());
            let call = Instant::now();
            sandbox.judge(&api, object, offers).await?;
            times.push(call.elapsed());
        }
        let times = Times::of(times);
        let natively = judge_natively(native, &offers)?;
        println!(
            "{count:>7} {:>12} {:>12} {:>12} {:>14.0} {:>14.0} {:>14} {:>6.1}x",
            shown(times.p50),
            shown(times.p99),
            shown(times.mean),
            times.mean.as_secs_f64().recip(),
            times.mean.as_secs_f64().recip() * number(count),
            shown(natively),
            times.mean.as_secs_f64() / natively.as_secs_f64(),
        );
    }
    Ok(())
}

fn judge_natively(program: &Path, offers: &[Offer]) -> Result<Duration> {
    let offers: Vec<_> = offers
        .iter()
        .map(|Offer { provider, name, filters }| json!({"provider": provider, "name": name, "filters": filters}))
        .collect();
    let question = json!({"object": object(), "offers": offers, "seconds": ROW.as_secs_f64()});
    let mut child = Command::new(program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    child.stdin.take().ok_or("no standard input")?.write_all(question.to_string().as_bytes())?;
    let output = child.wait_with_output()?;
    if !output.status.success() {
        return Err(format!("{}: {}", program.display(), output.status).into());
    }
    Ok(Duration::from_nanos(String::from_utf8(output.stdout)?.trim().parse()?))
}

async fn status(sandbox: &Sandbox) -> Result<()> {
    let trial = sandbox.trial(sandbox.standard());
    let context = CopyContext {
        names: vec![NamePair { consumer: "web".to_owned(), copy: "0123456789ab-web".to_owned() }],
        consumer_namespace: "team".to_owned(),
        provider: "provider#nestor".to_owned(),
    };
    let (times, _) = repeat(async || trial.transform_status(object(), None, context.clone()).await).await?;
    println!("\nA status: p50 {}, p99 {}, {:.0} a second", shown(times.p50), shown(times.p99), times.per_second());
    Ok(())
}

/// The standard plugin for migrations: what it costs to be ready, and then.
async fn migration(sandbox: &Sandbox) -> Result<()> {
    let api = ApiName { group: "example.platform-mesh.io".to_owned(), resource: "certificates".to_owned() };
    let (before, begun) = (resident()?, Instant::now());
    let plugin = sandbox.serving(&api, Role::MigrationTemplate).ok_or("no plugin serves migrations")?;
    println!(
        "\nA migration: {} bytes, ready after {}, which added {} KiB",
        plugin.size(),
        shown(begun.elapsed()),
        resident()?.saturating_sub(before) >> 10
    );
    let trial = sandbox.trial(&plugin);
    let (context, stage) = (migration_context(), "copy".to_owned());
    let deployed = Deployed { name: "copy".to_owned(), object: Some(json!({"status": {"succeeded": 1}}).to_string()) };
    let validate = repeat(async || trial.validate_migration(context.configuration.clone()).await).await?;
    let render = repeat(async || trial.render_stage(context.clone(), object(), object(), stage.clone()).await).await?;
    let assess = repeat(async || {
        trial.assess_stage(context.clone(), object(), object(), stage.clone(), vec![deployed.clone()]).await
    })
    .await?;
    for (call, (times, memory)) in [("validate", validate), ("render", render), ("assess", assess)] {
        println!("{call:>9}: p50 {}, p99 {}, {} KiB", shown(times.p50), shown(times.p99), memory >> 10);
    }
    Ok(())
}

/// A migration with one stage of some expressions.
fn migration_context() -> MigrationContext {
    let stage = json!({
        "name": "copy",
        "preconditions": ["to.status.status == 'Available'", "has(from.status.relatedResources.tls)"],
        "templates": {"copy": {"apiVersion": "batch/v1", "kind": "Job", "spec": {"template": {"spec": {"containers": [{
            "image": "copy:${to.spec.fqdn}",
            "args": ["from-${from.status.relatedResources.tls.name}", "to-${to.status.relatedResources.tls.name}"],
        }]}}}}},
        "successConditions": ["copy.status.succeeded == 1", "from.spec.fqdn == to.spec.fqdn"],
    });
    let endpoint = Endpoint {
        provider: "provider#nestor".to_owned(),
        api_version: "example.platform-mesh.io/v1alpha1".to_owned(),
        kind: "Certificate".to_owned(),
        namespace: "team".to_owned(),
        name: "0123456789ab-www".to_owned(),
        related: Vec::new(),
    };
    MigrationContext {
        id: "m0123456789".to_owned(),
        namespace: "compute".to_owned(),
        configuration: json!({"stages": [stage]}).to_string(),
        old: endpoint.clone(),
        new: endpoint,
    }
}

/// What each plugin costs by itself.
async fn plugins(sandbox: &Sandbox, files: Vec<String>) -> Result<()> {
    println!("\nEach plugin");
    println!(
        "{:<18} {:>9} {:>10} {:>12} {:>12} {:>12} {:>12} {:>14}  ROLES",
        "PLUGIN", "BYTES", "COMPILE", "INSTANCE p50", "JUDGE p50", "JUDGE p99", "CALL memory", "LOADED memory"
    );
    for file in files {
        let path = Path::new(&file);
        let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let name = stem.trim_start_matches("resource_broker_plugin_").to_owned();
        let component = std::fs::read(path)?;
        let before = resident()?;
        let source = Source { name: name.clone(), component, settings: None, limits: LimitsRequest::default() };
        let plugin = sandbox.load(source).await?;
        let loaded = resident()?.saturating_sub(before);
        let trial = sandbox.trial(&plugin);
        let (instance, empty) = repeat(async || trial.instantiate().await).await?;
        let (judge, memory) = if plugin.roles().contains(&Role::AcceptFilter) {
            let offers: Vec<Offer> = (0..10).map(offer).collect();
            repeat(async || trial.judge(object(), offers.clone()).await).await?
        } else {
            (Times::default(), empty)
        };
        let roles: Vec<&str> = plugin.roles().iter().map(|role| role.name()).collect();
        println!(
            "{name:<18} {:>9} {:>10} {:>12} {:>12} {:>12} {:>9} KiB {:>11} KiB  {}",
            plugin.size(),
            shown(plugin.compile_time()),
            shown(instance.p50),
            shown(judge.p50),
            shown(judge.p99),
            memory >> 10,
            loaded >> 10,
            roles.join(" "),
        );
    }
    println!("(JUDGE: 10 offers with one standard filter each. LOADED: resident memory that loading added.)");
    Ok(())
}

/// Times of the same call again and again, and the memory of the last instance in bytes.
async fn repeat<T>(call: impl AsyncFn() -> Trialled<T>) -> Result<(Times, usize)> {
    let (mut times, mut memory) = (Vec::new(), 0);
    let begun = Instant::now();
    while begun.elapsed() < ROW / 4 {
        let made = call().await;
        made.answer?;
        times.push(made.time);
        memory = made.memory_bytes;
    }
    Ok((Times::of(times), memory))
}

#[derive(Default)]
struct Times {
    p50: Duration,
    p99: Duration,
    mean: Duration,
}

impl Times {
    fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let at = |percent: usize| times.get(times.len().saturating_sub(1) * percent / 100).copied().unwrap_or_default();
        let mean = times.iter().sum::<Duration>() / u32::try_from(times.len().max(1)).unwrap_or(u32::MAX);
        Self { p50: at(50), p99: at(99), mean }
    }

    fn per_second(&self) -> f64 {
        self.mean.as_secs_f64().recip()
    }
}

fn number(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

fn shown(time: Duration) -> String {
    let micros = time.as_secs_f64() * 1e6;
    if micros < 10_000.0 { format!("{micros:.1} us") } else { format!("{:.1} ms", micros / 1e3) }
}

/// This process's resident memory in bytes.
fn resident() -> Result<usize> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS; this needs Linux")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<usize>()? << 10)
}

fn offer(number: usize) -> Offer {
    Offer {
        provider: format!("provider#{number}"),
        name: "default/certificates".to_owned(),
        filters: vec![format!(r#"{{"key":"fqdn","suffix":"{number}.corp.com"}}"#)].into(),
    }
}

/// About a kilobyte, as an object of a small API is.
fn object() -> String {
    json!({
        "apiVersion": "example.platform-mesh.io/v1alpha1",
        "kind": "Certificate",
        "metadata": {
            "name": "www", "namespace": "team", "uid": "0b0c1f5e-6f0e-4d3c-9a55-6d0d9f1a2b3c",
            "resourceVersion": "4711", "generation": 2, "labels": {"app": "web"},
            "annotations": {"note": "x".repeat(300)},
        },
        "spec": {"fqdn": "www.7.corp.com"},
        "status": {
            "status": "Available",
            "conditions": [{
                "type": "Ready", "status": "True", "reason": "Issued", "message": "the certificate is issued",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }],
            "relatedResources": {
                "tls": {"gvk": {"group": "core", "version": "v1", "kind": "Secret"}, "name": "0123456789ab-www", "namespace": "team"},
            },
        },
    })
    .to_string()
}
