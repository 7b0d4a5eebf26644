//! One API server: its life and the ways in.

use std::fs;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use base64::prelude::{BASE64_STANDARD, Engine};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use rustix::process::Signal;
use serde_json::json;

use crate::audit::{AuditLog, POLICY};
use crate::certs::{Authority, Identity};
use crate::guard::Guard;
use crate::net::free_port;
use crate::process::Process;

/// How long a server may take to serve; two cores that start eight at once need most of it.
const START: Duration = Duration::from_secs(150);

/// Another program can take the port between our choice and the server's start.
const ATTEMPTS: u32 = 3;

/// An API server with its own authority, users and audit log.
pub struct Cluster {
    name: String,
    folder: PathBuf,
    program: PathBuf,
    etcd: String,
    authority: Authority,
    audit: AuditLog,
    guard: Arc<Guard>,
    port: Mutex<u16>,
    process: Mutex<Option<Process>>,
    kubeconfigs: AtomicU32,
}

impl Cluster {
    /// Starts a server called `name` with `program` (kube-apiserver) on the etcd at `etcd`; comes back when it serves.
    pub(crate) async fn start_new(guard: &Arc<Guard>, program: PathBuf, etcd: String, name: &str) -> Result<Self> {
        let folder = guard.folder().join(name);
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let cluster = Self {
            name: name.to_owned(),
            audit: AuditLog::new(folder.join("audit.log")),
            folder,
            program,
            etcd,
            authority: Authority::new(name)?,
            guard: Arc::clone(guard),
            port: Mutex::new(0),
            process: Mutex::new(None),
            kubeconfigs: AtomicU32::new(0),
        };
        cluster.write_files()?;
        for attempt in 1..=ATTEMPTS {
            *lock(&cluster.port) = free_port()?;
            match cluster.start().await {
                Ok(()) => break,
                Err(error) if attempt == ATTEMPTS || !error.to_string().contains("already in use") => {
                    return Err(error);
                }
                Err(_) => {}
            }
        }
        cluster.write_kubeconfig("admin", &["system:masters"], &cluster.kubeconfig())?;
        Ok(cluster)
    }

    /// What it was asked for as.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The folder with its certificates, kubeconfigs and audit log.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// `https://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", lock(&self.port))
    }

    /// The certificate that the server's own is signed with, PEM.
    pub fn authority_pem(&self) -> &str {
        self.authority.pem()
    }

    /// The kubeconfig of the administrator.
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.join("kubeconfig.yaml")
    }

    /// The `kubectl` to use: the one beside the API server's program, else the one on `PATH`.
    pub fn kubectl_program(&self) -> PathBuf {
        let beside = self.program.with_file_name("kubectl");
        if beside.is_file() { beside } else { PathBuf::from("kubectl") }
    }

    /// A new kubeconfig for `user` in `groups` (two at most), identified by a client certificate.
    ///
    /// The user may do nothing but what RBAC grants, and its requests can be told apart in the audit log.
    pub fn kubeconfig_as(&self, user: &str, groups: &[&str]) -> Result<PathBuf> {
        let number = self.kubeconfigs.fetch_add(1, Ordering::Relaxed);
        let path = self.folder.join(format!("user-{number}.kubeconfig"));
        self.write_kubeconfig(user, groups, &path)?;
        Ok(path)
    }

    /// A client of the administrator.
    ///
    /// It lives on the runtime of the test that asks; another test has another runtime, so nothing is shared.
    pub async fn client(&self) -> Result<Client> {
        self.client_as("admin", &["system:masters"]).await
    }

    /// A client for `user` in `groups`, as in [`kubeconfig_as`](Self::kubeconfig_as).
    pub async fn client_as(&self, user: &str, groups: &[&str]) -> Result<Client> {
        let text = self.kubeconfig_text(user, groups)?;
        let kubeconfig = Kubeconfig::from_yaml(&text).context("not a kubeconfig")?;
        let options = KubeConfigOptions::default();
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &options).await.context("not a kubeconfig")?;
        // Nobody waits for ever for a server that a test has paused.
        config.read_timeout = Some(Duration::from_mins(5));
        Client::try_from(config).with_context(|| format!("{}: no client", self.name))
    }

    /// Whether the server was started and not stopped (a paused one runs).
    pub fn is_running(&self) -> bool {
        lock(&self.process).is_some()
    }

    /// Starts a stopped server at its old address, with its old data; comes back when it serves.
    pub async fn start(&self) -> Result<()> {
        if self.is_running() {
            return Ok(());
        }
        let process = Process::spawn(&self.guard, &format!("{}-apiserver", self.name), self.command())?;
        *lock(&self.process) = Some(process);
        let outcome = self.wait_ready().await;
        if outcome.is_err() {
            self.stop()?;
        }
        outcome
    }

    /// Kills the server, as a crash would; its data stays.
    pub fn stop(&self) -> Result<()> {
        match lock(&self.process).take() {
            Some(mut process) => process.kill(),
            None => Ok(()),
        }
    }

    /// Freezes the server: connections stay open and nothing answers.
    pub fn pause(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// Ends a [`pause`](Self::pause).
    pub fn resume(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    /// The last lines of the server's own log.
    pub fn log_tail(&self, lines: usize) -> String {
        lock(&self.process).as_ref().map_or_else(String::new, |process| process.log_tail(lines))
    }

    pub(crate) fn audit_log(&self) -> &AuditLog {
        &self.audit
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        match lock(&self.process).as_ref() {
            Some(process) => process.signal(signal),
            None => bail!("{} is stopped", self.name),
        }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        let file = |name: &str| self.folder.join(name).display().to_string();
        let flags = [
            ("etcd-servers", self.etcd.clone()),
            ("etcd-prefix", format!("/{}", self.name)),
            ("bind-address", "127.0.0.1".to_owned()),
            ("external-hostname", "localhost".to_owned()),
            ("secure-port", lock(&self.port).to_string()),
            ("endpoint-reconciler-type", "none".to_owned()),
            ("tls-cert-file", file("server.crt")),
            ("tls-private-key-file", file("server.key")),
            ("client-ca-file", file("ca.crt")),
            ("authorization-mode", "RBAC".to_owned()),
            ("service-account-issuer", self.issuer()),
            ("service-account-key-file", file("service-account.pub")),
            ("service-account-signing-key-file", file("service-account.key")),
            ("service-cluster-ip-range", "10.0.0.0/24".to_owned()),
            // It would refuse Pods, since nothing here makes the default ServiceAccount.
            ("disable-admission-plugins", "ServiceAccount".to_owned()),
            ("audit-policy-file", file("audit-policy.yaml")),
            ("audit-log-path", self.audit.path().display().to_string()),
            // Megabytes; the reader does not follow a rotated file.
            ("audit-log-maxsize", "4000".to_owned()),
            ("profiling", "false".to_owned()),
        ];
        command.args(flags.map(|(flag, value)| format!("--{flag}={value}")));
        command
    }

    fn issuer(&self) -> String {
        format!("https://{}.harness.example.com", self.name)
    }

    /// Waits for the server's own word, and for the namespace that it makes a little later.
    async fn wait_ready(&self) -> Result<()> {
        let client = self.client().await?;
        let deadline = tokio::time::Instant::now() + START;
        loop {
            self.check_alive()?;
            let ready = tokio::time::timeout(Duration::from_secs(5), async {
                for path in ["/readyz", "/api/v1/namespaces/default"] {
                    client.request_text(http::Request::get(path).body(Vec::new())?).await?;
                }
                anyhow::Ok(())
            });
            let seen = match ready.await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => format!("{error:#}"),
                Err(_) => "no answer within 5 s".to_owned(),
            };
            if tokio::time::Instant::now() > deadline {
                bail!("{} does not serve after {START:?}: {seen}; its log ends:\n{}", self.name, self.log_tail(20));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn check_alive(&self) -> Result<()> {
        let mut process = lock(&self.process);
        let Some(process) = process.as_mut() else { bail!("{} was stopped while it started", self.name) };
        if let Some(status) = process.exited()? {
            bail!("the API server of {} ended with {status}; its log ends:\n{}", self.name, process.log_tail(20));
        }
        Ok(())
    }

    fn write_files(&self) -> Result<()> {
        let server = self.authority.server()?;
        let service_account = rcgen::KeyPair::generate().context("cannot make a key")?;
        for (name, text) in [
            ("ca.crt", self.authority.pem()),
            ("server.crt", &server.certificate),
            ("server.key", &server.key),
            ("service-account.key", &service_account.serialize_pem()),
            ("service-account.pub", &service_account.public_key_pem()),
            ("audit-policy.yaml", POLICY),
        ] {
            write(&self.folder.join(name), text)?;
        }
        Ok(())
    }

    fn write_kubeconfig(&self, user: &str, groups: &[&str], path: &Path) -> Result<()> {
        write(path, &self.kubeconfig_text(user, groups)?)
    }

    fn kubeconfig_text(&self, user: &str, groups: &[&str]) -> Result<String> {
        let Identity { certificate, key } = self.authority.client(user, groups)?;
        let encode = |pem: &str| BASE64_STANDARD.encode(pem);
        let name = &self.name;
        // Unique among the kubeconfigs of all clusters, so that they can be merged.
        let identity = format!("{user}@{name}");
        let kubeconfig = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": name,
            "clusters": [{"name": name, "cluster": {
                "server": self.url(),
                "certificate-authority-data": encode(self.authority.pem()),
            }}],
            "users": [{"name": identity, "user": {
                "client-certificate-data": encode(&certificate),
                "client-key-data": encode(&key),
            }}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": identity}}],
        });
        serde_yaml::to_string(&kubeconfig).context("cannot write a kubeconfig")
    }
}

/// Writes a file that holds a key, perhaps: for nobody else to read.
fn write(path: &Path, text: &str) -> Result<()> {
    use std::io::Write;
    let opened = fs::OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(path);
    opened
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("cannot write {}", path.display()))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
