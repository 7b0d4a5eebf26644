//! Makes kube's clients with our settings, and puts their errors into words that hold no secret.

use std::{error::Error, time::Duration};

use http::{HeaderName, HeaderValue};
use k8s_openapi::jiff::Timestamp;
use kube::{Client, Config, client::AuthError};

use super::{
    error::tame,
    plugin::{self, PLUGIN_TIMEOUT, Resolved},
};

/// How long making a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest silence in a watch. API servers send a bookmark about once a minute.
const WATCH_SILENCE: Duration = Duration::from_secs(65);
/// How long reading the files that a kubeconfig names may take: one may be on a disk that does not answer.
const FILES_TIMEOUT: Duration = Duration::from_secs(20);
/// How we introduce ourselves in API servers' audit logs.
const USER_AGENT: &str = concat!("resource-broker/", env!("CARGO_PKG_VERSION"));

/// Why no client could be made from a kubeconfig.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// Certificates, keys or proxy are not usable.
    #[error("{0}")]
    Unusable(String),
    /// The files that it names could not be read in time.
    #[error("the files that it names could not be read within {} s", FILES_TIMEOUT.as_secs())]
    FilesTimeout,
    /// The credential plugin did not come back, and was killed.
    #[error(
        "its credential plugin {command} did not answer within {} s and was killed; run it by hand to see what it waits for",
        PLUGIN_TIMEOUT.as_secs()
    )]
    PluginTimeout {
        /// The program.
        command: String,
    },
    /// The credential plugin gave no credentials.
    #[error("its credential plugin {command} {what}; run it by hand to see more")]
    Plugin {
        /// The program.
        command: String,
        /// What is wrong.
        what: String,
    },
}

/// The two clients of a cluster.
pub(super) struct Clients {
    pub(super) watch: Client,
    pub(super) requests: Client,
    /// What they are made from: what a credential plugin gave is in it.
    pub(super) resolved: Option<Config>,
    /// When the credentials end, where a plugin said so.
    pub(super) expires: Option<Timestamp>,
}

/// Makes both clients. Nothing is sent, but a credential plugin named in the kubeconfig runs once.
pub(super) async fn make(config: Config) -> Result<Clients, ClientError> {
    let Resolved { config, expires } = plugin::resolve(config).await?;
    let (watch, requests) = again(config.clone()).await?;
    Ok(Clients { watch, requests, resolved: Some(config), expires })
}

/// Makes both clients, for watches and for requests, from a configuration that needs no plugin.
pub(super) async fn again(config: Config) -> Result<(Client, Client), ClientError> {
    // Certificates and token files are read with blocking calls.
    let made = tokio::task::spawn_blocking(move || {
        let watch = Client::try_from(settings(config.clone(), Some(WATCH_SILENCE)))?;
        let requests = Client::try_from(settings(config, None))?;
        Ok((watch, requests))
    });
    match tokio::time::timeout(FILES_TIMEOUT, made).await {
        Err(_) => Err(ClientError::FilesTimeout),
        Ok(Err(_)) => Err(ClientError::Unusable("making its client was interrupted".to_owned())),
        Ok(Ok(made)) => made.map_err(|error: kube::Error| ClientError::Unusable(describe(&error))),
    }
}

fn settings(mut config: Config, silence: Option<Duration>) -> Config {
    // kube's own retries repeat writes, and believe any Retry-After.
    config.default_retry = false;
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    config.read_timeout = silence;
    // Else the time a pooled connection was idle counts as silence.
    config.reset_reader_on_write = true;
    config.headers.push((HeaderName::from_static("user-agent"), HeaderValue::from_static(USER_AGENT)));
    config
}

/// An error and what lies behind it in one line, without repetition and without what a plugin printed.
pub(super) fn describe(error: &(dyn Error + 'static)) -> String {
    let mut texts: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(text) = without_secrets(error) {
            texts.push(text);
            break;
        }
        // These wrappers say nothing that their sources do not.
        let wraps = error.is::<kube::Error>() || error.is::<hyper_util::client::legacy::Error>();
        if !wraps || error.source().is_none() {
            texts.push(error.to_string());
        }
        next = error.source();
    }
    let mut said: Vec<String> = Vec::new();
    for (at, text) in texts.iter().enumerate() {
        let repeated = texts.get(at + 1).is_some_and(|inner| text.contains(inner.as_str()));
        if !repeated && said.last() != Some(text) {
            said.push(text.clone());
        }
    }
    let said = said.join(": ");
    if said.contains(CA_AS_SERVER) {
        return "its server certificate is that of a CA (CA:TRUE), which does not count as a server's: have the API server use one \
                without, signed by that CA, or self-signed with basicConstraints=critical,CA:FALSE (openssl req -x509 writes \
                CA:TRUE unless -addext says that)"
            .to_owned();
    }
    tame(&said)
}

/// What the TLS library says of a server whose certificate is a CA's own. It has no type to know it by at this place.
const CA_AS_SERVER: &str = "CaUsedAsEndEntity";

/// The text for errors whose own would print a plugin's output, its environment or a proxy's password.
fn without_secrets(error: &(dyn Error + 'static)) -> Option<String> {
    if let Some(kube::Error::ProxyProtocolUnsupported { .. } | kube::Error::ProxyProtocolDisabled { .. }) =
        error.downcast_ref::<kube::Error>()
    {
        return Some("its proxy-url has a scheme that is not supported; use http, https or socks5".to_owned());
    }
    let text = match error.downcast_ref::<AuthError>()? {
        AuthError::AuthExecRun { out, .. } => format!("its credential plugin failed ({})", out.status),
        AuthError::AuthExecStart(cause) => format!("its credential plugin could not be started: {cause}"),
        AuthError::AuthExecParse(_) => "its credential plugin printed something that is no ExecCredential".to_owned(),
        AuthError::ReadTokenFile(cause, path) => {
            format!("its token file {} could not be read: {cause}", path.display())
        }
        AuthError::MissingCommand => "its credential plugin has no command".to_owned(),
        AuthError::InvalidBasicAuth(_) | AuthError::InvalidBearerToken(_) => {
            "its credentials hold characters that a header cannot".to_owned()
        }
        _ => "its credentials could not be prepared; see how the kubeconfig's user logs in".to_owned(),
    };
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Layer {
        text: &'static str,
        source: Option<Box<Layer>>,
    }

    #[test]
    fn causes_are_told_once() {
        let inner = Layer { text: "refused", source: None };
        let repeats = Layer { text: "tcp: refused", source: Some(Box::new(inner)) };
        let outer = Layer { text: "client error", source: Some(Box::new(repeats)) };
        assert_eq!(describe(&outer), "client error: refused");
    }

    #[test]
    fn a_servers_certificate_that_is_a_cas_is_told_with_the_way_out() {
        let inner = "invalid peer certificate: Other(OtherError(CaUsedAsEndEntity))";
        let text = describe(&Layer { text: "connect", source: Some(Box::new(Layer { text: inner, source: None })) });
        assert!(text.contains("CA:TRUE") && text.contains("CA:FALSE") && !text.contains("OtherError"), "{text}");
    }

    #[test]
    fn what_a_plugin_printed_is_not_told() {
        use std::os::unix::process::ExitStatusExt;
        let out = std::process::Output {
            status: std::process::ExitStatus::from_raw(256),
            stdout: b"hunter2".to_vec(),
            stderr: b"hunter2".to_vec(),
        };
        let error = kube::Error::Auth(AuthError::AuthExecRun { cmd: "TOKEN=hunter2 p".to_owned(), out: Box::new(out) });
        let text = describe(&error);
        assert!(text.contains("exit status: 1") && !text.contains("hunter2"), "{text}");
    }
}
