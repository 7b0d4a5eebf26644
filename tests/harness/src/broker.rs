//! One `resource-broker` process.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::Signal;

use crate::cluster::Cluster;
use crate::guard::Guard;
use crate::net::{free_port, get};
use crate::planes::Planes;
use crate::process::Process;

/// How long a broker may take to be ready; many start at once on few cores.
const START: Duration = Duration::from_secs(150);

/// How long a broker may take to end when told to: twice what it promises.
const END: Duration = Duration::from_secs(10);

/// The broker's program: `RESOURCE_BROKER_BIN`, else the one that cargo put beside the running program.
pub fn broker_binary() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("RESOURCE_BROKER_BIN") {
        return Ok(PathBuf::from(path));
    }
    let own = std::env::current_exe().context("cannot tell where this program is")?;
    // Tests are in target/PROFILE/deps, programs in target/PROFILE.
    let found =
        own.ancestors().skip(1).take(2).map(|folder| folder.join("resource-broker")).find(|path| path.is_file());
    found.with_context(|| {
        format!(
            "no resource-broker beside {}: build it (cargo build -p resource-broker) or set RESOURCE_BROKER_BIN",
            own.display()
        )
    })
}

/// What a broker is to be started with.
#[derive(Clone, Debug)]
pub struct BrokerBuilder {
    name: String,
    guard: Arc<Guard>,
    args: Vec<String>,
    environment: Vec<(String, String)>,
    program: Option<PathBuf>,
}

impl BrokerBuilder {
    /// The kubeconfig of the coordination cluster.
    #[must_use]
    pub fn coordination(self, kubeconfig: &Path) -> Self {
        self.arg("coordination-kubeconfig", &kubeconfig.display().to_string())
    }

    /// The kubeconfig of the compute cluster.
    #[must_use]
    pub fn compute(self, kubeconfig: &Path) -> Self {
        self.arg("compute-kubeconfig", &kubeconfig.display().to_string())
    }

    /// A consumer, which the broker calls `consumer#NAME`.
    #[must_use]
    pub fn consumer(self, name: &str, kubeconfig: &Path) -> Self {
        self.arg("consumer-kubeconfig", &format!("{name}={}", kubeconfig.display()))
    }

    /// A provider, which the broker calls `provider#NAME`.
    #[must_use]
    pub fn provider(self, name: &str, kubeconfig: &Path) -> Self {
        self.arg("provider-kubeconfig", &format!("{name}={}", kubeconfig.display()))
    }

    /// Where the broker keeps its records in the coordination cluster.
    #[must_use]
    pub fn namespace(self, namespace: &str) -> Self {
        self.arg("namespace", namespace)
    }

    /// A kind to broker, `Kind.version.group`.
    #[must_use]
    pub fn watch_kind(self, kind: &str) -> Self {
        self.arg("watch-kind", kind)
    }

    /// One more flag, without its dashes.
    #[must_use]
    pub fn arg(mut self, flag: &str, value: &str) -> Self {
        self.args.push(format!("--{flag}={value}"));
        self
    }

    /// One more environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Another program than [`broker_binary`]: that of an earlier release.
    #[must_use]
    pub fn program(mut self, program: &Path) -> Self {
        self.program = Some(program.to_owned());
        self
    }

    /// Starts it and waits until it is ready.
    pub async fn start(self) -> Result<Broker> {
        let mut broker = self.spawn()?;
        broker.ready().await?;
        Ok(broker)
    }

    /// Starts it without waiting.
    pub fn spawn(self) -> Result<Broker> {
        let (metrics_port, health_port) = (free_port()?, free_port()?);
        let binary = self.program.clone().map_or_else(broker_binary, Ok)?;
        let mut broker = Broker { process: None, binary, metrics_port, health_port, builder: self };
        broker.launch()?;
        Ok(broker)
    }
}

/// A broker process. Dropping it kills it; in a test that fails, the end of its log is printed.
#[derive(Debug)]
pub struct Broker {
    builder: BrokerBuilder,
    binary: PathBuf,
    metrics_port: u16,
    health_port: u16,
    process: Option<Process>,
}

impl Broker {
    /// A broker called `name` (which names its log file) whose processes end with `planes`.
    pub fn builder(planes: &Planes, name: &str) -> BrokerBuilder {
        let guard = Arc::clone(planes.guard());
        BrokerBuilder { name: name.to_owned(), guard, args: Vec::new(), environment: Vec::new(), program: None }
    }

    /// The usual test: one coordination cluster, consumers and providers under their own names, as administrator.
    pub fn between(
        planes: &Planes,
        name: &str,
        coordination: &Cluster,
        consumers: &[&Cluster],
        providers: &[&Cluster],
    ) -> BrokerBuilder {
        let builder = Self::builder(planes, name).coordination(&coordination.kubeconfig());
        let builder = consumers.iter().fold(builder, |builder, it| builder.consumer(it.name(), &it.kubeconfig()));
        providers.iter().fold(builder, |builder, it| builder.provider(it.name(), &it.kubeconfig()))
    }

    /// Waits until `/readyz` says that it is ready; an error with its log if it ends instead.
    pub async fn ready(&mut self) -> Result<()> {
        let deadline = tokio::time::Instant::now() + START;
        loop {
            if let Some(status) = self.exited()? {
                bail!(
                    "{} ended with {status} before it was ready; its log ends:\n{}",
                    self.builder.name,
                    self.tail(20)
                );
            }
            let seen = match get(self.health_port, "/readyz").await {
                Ok((200, _)) => return Ok(()),
                Ok((code, body)) => format!("{code} {body}"),
                Err(error) => format!("{error:#}"),
            };
            if tokio::time::Instant::now() > deadline {
                bail!("{} is not ready after {START:?}: {seen}", self.builder.name);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Kills it, as a crash would.
    pub fn kill9(&mut self) -> Result<()> {
        self.process.as_mut().map_or(Ok(()), Process::kill)
    }

    /// Tells it to end, and returns how it did.
    pub async fn terminate(&mut self) -> Result<ExitStatus> {
        let process = self.running()?;
        process.signal(Signal::TERM)?;
        process.wait(END).await
    }

    /// Freezes it.
    pub fn pause(&mut self) -> Result<()> {
        self.running()?.signal(Signal::STOP)
    }

    /// Ends a [`pause`](Self::pause).
    pub fn resume(&mut self) -> Result<()> {
        self.running()?.signal(Signal::CONT)
    }

    /// How it ended, if it has.
    pub fn exited(&mut self) -> Result<Option<ExitStatus>> {
        self.process.as_mut().map_or(Ok(None), Process::exited)
    }

    /// Starts it again with the same flags (killed first, if it runs) and waits until it is ready.
    pub async fn restart(&mut self) -> Result<()> {
        self.kill9()?;
        self.launch()?;
        self.ready().await
    }

    /// Starts it again (killed first, if it runs) as the release that is tested, whichever it was before, and waits until it is
    /// ready.
    pub async fn upgrade(&mut self) -> Result<()> {
        self.binary = broker_binary()?;
        self.restart().await
    }

    /// The number of its process, for looking at its memory and time.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::pid)
    }

    /// Its metrics, as Prometheus reads them.
    pub async fn metrics(&self) -> Result<String> {
        let (code, body) = get(self.metrics_port, "/metrics").await?;
        if code != 200 {
            bail!("{}: GET /metrics: {code} {body}", self.builder.name);
        }
        Ok(body)
    }

    /// The sum of all samples of the metric `name` that have all these labels; 0 where there is none.
    pub async fn metric(&self, name: &str, labels: &[(&str, &str)]) -> Result<f64> {
        Ok(sum_samples(&self.metrics().await?, name, labels))
    }

    /// `/readyz?verbose`, whether it is ready or not.
    pub async fn readyz_verbose(&self) -> Result<String> {
        Ok(get(self.health_port, "/readyz?verbose").await?.1)
    }

    /// The status code and body of any path of the health server, as `/healthz`.
    pub async fn health(&self, path: &str) -> Result<(u16, String)> {
        get(self.health_port, path).await
    }

    /// Everything that it and its predecessors wrote to their log.
    pub fn logs(&self) -> Result<String> {
        let Some(process) = &self.process else { return Ok(String::new()) };
        let bytes = std::fs::read(process.log()).with_context(|| format!("cannot read {}", process.log().display()))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn launch(&mut self) -> Result<()> {
        let mut command = Command::new(&self.binary);
        command
            .args(&self.builder.args)
            .arg(format!("--metrics-bind-address=127.0.0.1:{}", self.metrics_port))
            .arg("--metrics-secure=false")
            .arg(format!("--health-probe-bind-address=127.0.0.1:{}", self.health_port))
            // Whatever cluster the person at the keyboard works with is none of a test's business.
            .env_remove("KUBECONFIG")
            .env("HOME", self.builder.guard.folder())
            .envs(self.builder.environment.iter().map(|(name, value)| (name, value)));
        self.process = Some(Process::spawn(&self.builder.guard, &self.builder.name, command)?);
        Ok(())
    }

    fn running(&mut self) -> Result<&mut Process> {
        self.process.as_mut().with_context(|| format!("{} was never started", self.builder.name))
    }

    fn tail(&self, lines: usize) -> String {
        self.process.as_ref().map_or_else(String::new, |process| process.log_tail(lines))
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the log of {} ends:\n{}\n---", self.builder.name, self.tail(60));
        }
    }
}

fn sum_samples(text: &str, name: &str, labels: &[(&str, &str)]) -> f64 {
    let samples = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.rsplit_once(' '));
    let wanted = samples.filter(|(series, _)| {
        let (metric, set) = series.split_once('{').unwrap_or((series, ""));
        metric == name && labels.iter().all(|(label, value)| has_label(set, label, value))
    });
    wanted.filter_map(|(_, value)| value.parse::<f64>().ok()).sum()
}

/// Whether `set`, as `a="1",b="2"}`, has this label.
fn has_label(set: &str, label: &str, value: &str) -> bool {
    let wanted = format!("{label}=\"{value}\"");
    set.starts_with(&wanted) || set.contains(&format!(",{wanted}"))
}

#[cfg(test)]
mod tests {
    use super::sum_samples;

    const TEXT: &str = "# TYPE passes counter\n\
        passes_total{cluster=\"a\",outcome=\"ok\"} 3\n\
        passes_total{cluster=\"b\",outcome=\"ok\"} 4\n\
        passes_total{cluster=\"b\",outcome=\"failed\"} 5\n\
        up 1\n";

    #[test]
    fn samples_are_summed_over_the_labels_that_are_not_named() {
        for (name, labels, sum) in [
            ("passes_total", &[][..], 12.0),
            ("passes_total", &[("outcome", "ok")], 7.0),
            ("passes_total", &[("outcome", "ok"), ("cluster", "b")], 4.0),
            ("passes_total", &[("cluster", "c")], 0.0),
            ("passes", &[], 0.0),
            ("up", &[], 1.0),
        ] {
            let found = sum_samples(TEXT, name, labels);
            assert!((found - sum).abs() < f64::EPSILON, "{name} {labels:?}: {found}, not {sum}");
        }
    }
}
