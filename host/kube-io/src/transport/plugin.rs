//! Runs the credential plugin that a kubeconfig's user names (`exec`), in a process group of its own that is killed when
//! its time is up. The client library would run it itself: several times for one client, and without an end.

use std::{process::Stdio, time::Duration};

use k8s_openapi::{ByteString, jiff::Timestamp};
use kube::{
    Config,
    config::{AuthInfo, ExecConfig, ExecInteractiveMode},
};
use rustix::process::{Pid, Signal, kill_process_group};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{
    io::AsyncReadExt,
    process::{Child, Command},
    time::timeout,
};

use super::{clients::ClientError, error::tame};

/// How long a credential plugin may take.
pub(super) const PLUGIN_TIMEOUT: Duration = Duration::from_secs(30);
/// The most that a plugin may print, in bytes.
const MOST_OUTPUT: u64 = 1 << 20;
/// How long one that was killed is waited for. Only a process that hangs in the kernel takes longer.
const LAST_BREATH: Duration = Duration::from_secs(2);

/// A configuration that needs no plugin any more.
pub(super) struct Resolved {
    pub(super) config: Config,
    /// When what the plugin gave ends, where it says so.
    pub(super) expires: Option<Timestamp>,
}

/// The plugin that decides how the user logs in, where it is one: whatever else is given comes first.
pub(super) fn plugin_of(user: &AuthInfo) -> Option<&ExecConfig> {
    let has_password = user.username.is_some() && user.password.is_some();
    let other = user.auth_provider.is_some() || has_password || user.token.is_some() || user.token_file.is_some();
    user.exec.as_ref().filter(|_| !other)
}

/// Runs the plugin, where there is one, and puts what it answers in its place.
pub(super) async fn resolve(mut config: Config) -> Result<Resolved, ClientError> {
    let runs_a_command = |(name, _): (&String, &String)| name == "cmd-path";
    if config.auth_info.auth_provider.as_ref().is_some_and(|provider| provider.config.iter().any(runs_a_command)) {
        let what =
            "its user has an auth-provider that runs a command, which kubectl has dropped (1.26); use exec instead";
        return Err(ClientError::Unusable(what.to_owned()));
    }
    let Some(plugin) = plugin_of(&config.auth_info).cloned() else { return Ok(Resolved { config, expires: None }) };
    let command = name_of(&plugin);
    let given = run(&plugin, PLUGIN_TIMEOUT).await.map_err(|what| match what {
        Failed::Late => ClientError::PluginTimeout { command: command.clone() },
        Failed::Otherwise(what) => ClientError::Plugin { command: command.clone(), what },
    })?;
    let broken = |what: &str| ClientError::Plugin { command: command.clone(), what: what.to_owned() };
    let expires = match given.expiration_timestamp.as_deref() {
        Some(text) => Some(
            text.parse()
                .map_err(|_| broken("gave an expirationTimestamp that is no time such as 2030-01-31T00:00:00Z"))?,
        ),
        None => None,
    };
    let user = &mut config.auth_info;
    user.exec = None;
    let token = given.token.filter(|token| !token.trim().is_empty());
    let certificate = given.client_certificate_data.zip(given.client_key_data);
    if token.is_none() && certificate.is_none() {
        return Err(broken("gave neither a token nor a client certificate with its key"));
    }
    if let Some(token) = token {
        user.token = Some(token.trim().to_owned().into());
    }
    if let Some((certificate, key)) = certificate {
        user.client_certificate_data = Some(encoded(certificate));
        user.client_key_data = Some(encoded(key + "\n").into());
    }
    Ok(Resolved { config, expires })
}

fn encoded(text: String) -> String {
    // A byte string is written as base64 in JSON.
    match serde_json::to_value(ByteString(text.into_bytes())) {
        Ok(Value::String(text)) => text,
        _ => String::new(),
    }
}

/// What people know the plugin by. Its arguments may be secret.
pub(super) fn name_of(plugin: &ExecConfig) -> String {
    tame(plugin.command.as_deref().unwrap_or("(no command)"))
}

#[derive(Debug, PartialEq, Eq)]
enum Failed {
    Late,
    Otherwise(String),
}

/// What a plugin prints.
#[derive(Deserialize)]
struct ExecCredential {
    status: Option<Given>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Given {
    expiration_timestamp: Option<String>,
    token: Option<String>,
    client_certificate_data: Option<String>,
    client_key_data: Option<String>,
}

/// A plugin's process and all that it has started, which end with this.
struct Running {
    child: Child,
    /// The group, as long as its leader has not been waited for: its id is nobody else's until then.
    group: Option<Pid>,
}

impl Running {
    fn kill(&mut self) {
        if let Some(group) = self.group.take() {
            // It may have ended by itself.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

async fn run(plugin: &ExecConfig, patience: Duration) -> Result<Given, Failed> {
    let failed = |what: &str| Failed::Otherwise(what.to_owned());
    if plugin.interactive_mode == Some(ExecInteractiveMode::Always) {
        return Err(failed("wants to ask a person (interactiveMode Always), and there is none"));
    }
    let mut command = prepare(plugin)?;
    let child = command.spawn().map_err(|error| {
        let hint = plugin.install_hint.as_deref().map(|hint| format!("; {}", tame(hint))).unwrap_or_default();
        Failed::Otherwise(format!("could not be started: {error}{hint}"))
    })?;
    let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    let mut running = Running { child, group };
    let mut output = Vec::new();
    let Some(stdout) = running.child.stdout.take() else { return Err(failed("has output that cannot be read")) };
    let read = timeout(patience, stdout.take(MOST_OUTPUT + 1).read_to_end(&mut output)).await;
    let status = match read {
        // What it printed is all there: it has to end.
        Ok(Ok(_)) if output.len() as u64 <= MOST_OUTPUT => timeout(LAST_BREATH, running.child.wait()).await,
        other => {
            running.kill();
            // Else it would stay as a zombie until the runtime looks.
            let _ = timeout(LAST_BREATH, running.child.wait()).await;
            return Err(match other {
                Err(_) => Failed::Late,
                Ok(Err(error)) => Failed::Otherwise(format!("has output that cannot be read: {error}")),
                Ok(Ok(_)) => Failed::Otherwise(format!("printed more than {MOST_OUTPUT} bytes")),
            });
        }
    };
    match status {
        Ok(Ok(status)) => {
            running.group = None;
            if !status.success() {
                return Err(Failed::Otherwise(format!("failed ({status})")));
            }
        }
        Ok(Err(error)) => return Err(Failed::Otherwise(format!("was not seen to end: {error}"))),
        // It closed its output and goes on: `running` ends it.
        Err(_) => {}
    }
    let no_credential = || failed("printed something that is no ExecCredential");
    let printed: ExecCredential = serde_yaml::from_slice(&output).map_err(|_| no_credential())?;
    printed.status.ok_or_else(no_credential)
}

fn prepare(plugin: &ExecConfig) -> Result<Command, Failed> {
    let failed = |what: &str| Failed::Otherwise(what.to_owned());
    let program = plugin.command.as_deref().filter(|command| !command.is_empty());
    let mut command = Command::new(program.ok_or_else(|| failed("has no command"))?);
    command.args(plugin.args.iter().flatten());
    for variable in plugin.env.iter().flatten() {
        if let (Some(name), Some(value)) = (variable.get("name"), variable.get("value")) {
            command.env(name, value);
        }
    }
    let mut spec = json!({"interactive": false});
    if plugin.provide_cluster_info {
        let cluster = plugin.cluster.as_ref().and_then(|cluster| serde_json::to_value(cluster).ok());
        spec["cluster"] =
            cluster.ok_or_else(|| failed("wants the cluster's data (provideClusterInfo), and there are none"))?;
    }
    let info = json!({"apiVersion": plugin.api_version, "kind": "ExecCredential", "spec": spec});
    command.env("KUBERNETES_EXEC_INFO", info.to_string());
    for name in plugin.drop_env.iter().flatten() {
        command.env_remove(name);
    }
    // What it prints for people may hold secrets.
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0).kill_on_drop(true);
    Ok(command)
}

#[cfg(test)]
mod tests {
    use std::{fs, time::Instant};

    use super::*;

    fn plugin(script: &str) -> ExecConfig {
        let text = json!({"command": "sh", "args": ["-c", script], "apiVersion": "client.authentication.k8s.io/v1",
            "env": [{"name": "WHO", "value": "me"}]});
        serde_json::from_value(text).unwrap()
    }

    fn config(plugin: ExecConfig) -> Config {
        let mut config = Config::new("https://127.0.0.1:1".parse().unwrap());
        config.auth_info.exec = Some(plugin);
        config
    }

    fn user(config: &Config) -> Value {
        serde_json::to_value(&config.auth_info).unwrap()
    }

    #[tokio::test]
    async fn a_token_takes_the_plugins_place_with_its_end() {
        let script = r#"echo "{status: {token: \"$WHO\", expirationTimestamp: '2030-01-01T00:00:00Z'}}""#;
        let resolved = resolve(config(plugin(script))).await.unwrap();
        assert_eq!(user(&resolved.config)["token"], "me");
        assert!(resolved.config.auth_info.exec.is_none());
        assert_eq!(resolved.expires, Some("2030-01-01T00:00:00Z".parse().unwrap()));
    }

    #[tokio::test]
    async fn a_client_certificate_takes_the_plugins_place() {
        let script = r#"echo '{"status": {"clientCertificateData": "C", "clientKeyData": "K"}}'"#;
        let resolved = resolve(config(plugin(script))).await.unwrap();
        assert_eq!(user(&resolved.config)["client-certificate-data"], "Qw==");
        assert_eq!(user(&resolved.config)["client-key-data"], "Swo=");
        assert_eq!(resolved.expires, None);
    }

    #[tokio::test]
    async fn what_it_is_asked_is_in_its_environment() {
        let script = r#"case "$KUBERNETES_EXEC_INFO" in *'"kind":"ExecCredential"'*) echo '{status: {token: yes-it-is}}';; esac"#;
        assert_eq!(user(&resolve(config(plugin(script))).await.unwrap().config)["token"], "yes-it-is");
    }

    #[tokio::test]
    async fn a_failure_names_the_command_and_nothing_that_was_printed() {
        for (script, what) in [
            ("echo hunter2; echo hunter2 >&2; exit 3", "exit status: 3"),
            ("echo hunter2", "no ExecCredential"),
            ("echo '{status: {}}'", "neither a token nor"),
            ("echo '{status: {token: \"\"}}'", "neither a token nor"),
            ("echo '{status: {token: hunter2, expirationTimestamp: hunter2}}'", "no time such as"),
            ("head -c 2000000 /dev/zero", "more than 1048576 bytes"),
        ] {
            let error = resolve(config(plugin(script))).await.err().unwrap().to_string();
            assert!(
                error.contains(what) && error.contains("plugin sh") && !error.contains("hunter2"),
                "{script}: {error}"
            );
        }
        let mut gone = plugin("");
        gone.command = Some("/nowhere/aws".into());
        let error = resolve(config(gone)).await.err().unwrap().to_string();
        assert!(error.contains("/nowhere/aws") && error.contains("No such file"), "{error}");
    }

    #[tokio::test]
    async fn one_that_hangs_ends_with_everything_that_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let pids = folder.path().join("pids");
        // A child that holds the output open, and is not the leader.
        let script = format!("sleep 1000 & echo $$ $! > {}; wait", pids.display());
        let started = Instant::now();
        assert_eq!(run(&plugin(&script), Duration::from_millis(500)).await.err(), Some(Failed::Late));
        assert!(started.elapsed() < Duration::from_secs(10));
        for pid in fs::read_to_string(&pids).unwrap().split_whitespace() {
            let stat = format!("/proc/{pid}/stat");
            // The child becomes a zombie of whoever takes orphans in, for a moment or for ever in a container without init.
            let is_over = || fs::read_to_string(&stat).map_or(true, |stat| stat.contains(") Z "));
            while !is_over() {
                assert!(started.elapsed() < Duration::from_secs(20), "{pid} lives");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }

    #[tokio::test]
    async fn one_that_nobody_waits_for_any_more_ends_too() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        let script = format!("echo $$ > {}.new; mv {0}.new {0}; sleep 1000", file.display());
        let hanging = tokio::spawn(async move { run(&plugin(&script), PLUGIN_TIMEOUT).await.is_ok() });
        let started = Instant::now();
        while !file.exists() {
            assert!(started.elapsed() < Duration::from_secs(20));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        hanging.abort();
        let stat = format!("/proc/{}/stat", fs::read_to_string(&file).unwrap().trim());
        while fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z ")) {
            assert!(started.elapsed() < Duration::from_secs(20), "it lives");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}
