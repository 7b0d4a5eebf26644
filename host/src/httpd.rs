//! A small HTTP server for probes and scrapers: GET only, few connections, short time limits, optionally over TLS.

use std::{
    convert::Infallible,
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::AbortHandle,
    time::{sleep, timeout},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, crypto::ring, pki_types::PrivateKeyDer},
};

/// Connections served at once; more wait.
const CONNECTIONS: usize = 32;
/// A client that has not sent its request's head by then is sent away, and so is an idle connection.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// No connection lasts longer.
const CONNECTION_TIMEOUT: Duration = Duration::from_mins(5);
/// The pause after an accept that failed, which happens when the process has no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bind {
    /// Nowhere.
    Off,
    /// At a port of one host's address, or of every interface.
    At {
        /// A name or an address; `None` for every interface.
        host: Option<String>,
        /// The port; 0 for any that is free.
        port: u16,
    },
}

impl FromStr for Bind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str = "write it HOST:PORT, or :PORT for every interface, or 0 to turn it off";
        if text == "0" || text.is_empty() {
            return Ok(Self::Off);
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(|| format!("the port is missing; {FORM}"))?;
        let port = port.parse().map_err(|_| format!("{port:?} is not a port; {FORM}"))?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host = match (host, bare) {
            ("", _) => None,
            (_, Some(address)) if address.parse::<Ipv6Addr>().is_ok() => Some(address.to_owned()),
            (name, None) if !name.contains([':', '[', ']', '/', ' ']) => Some(name.to_owned()),
            _ => return Err(format!("{host:?} is not a host; {FORM}")),
        };
        Ok(Self::At { host, port })
    }
}

/// Why a server could not be started.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address is taken, not ours, or unknown.
    #[error("cannot listen on {address}: {source}; choose another address, or 0 to turn this server off")]
    Listen {
        /// The address asked for.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// The certificate for TLS could not be made.
    #[error("cannot make a certificate: {0}")]
    Certificate(String),
}

/// What a server answers: a function from a path and its query to a page.
pub type Pages = Arc<dyn Fn(&str, Option<&str>) -> Page + Send + Sync>;

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The HTTP status.
    pub status: StatusCode,
    /// The media type of the text.
    pub content_type: &'static str,
    /// The body.
    pub text: String,
}

impl Page {
    /// Plain text.
    pub fn plain(status: StatusCode, text: impl Into<String>) -> Self {
        Self { status, content_type: "text/plain; charset=utf-8", text: text.into() }
    }

    /// There is no such page.
    pub fn missing() -> Self {
        Self::plain(StatusCode::NOT_FOUND, "not found\n")
    }
}

/// A server that runs until it is dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    task: AbortHandle,
}

impl Server {
    /// Where it really listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Starts a server for `pages`; none where `bind` is off.
    pub async fn start(bind: &Bind, tls: bool, pages: Pages) -> Result<Option<Self>, ServeError> {
        let Bind::At { host, port } = bind else { return Ok(None) };
        let failed =
            |source| ServeError::Listen { address: format!("{}:{port}", host.as_deref().unwrap_or_default()), source };
        let listener = listen(host.as_deref(), *port).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let acceptor = if tls { Some(acceptor()?) } else { None };
        let task = tokio::spawn(accept(listener, acceptor, pages)).abort_handle();
        Ok(Some(Self { address, task }))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn listen(host: Option<&str>, port: u16) -> io::Result<TcpListener> {
    match host {
        Some(host) => TcpListener::bind((host, port)).await,
        // The IPv6 one takes IPv4 too, where there is IPv6 at all.
        None => match TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).await {
            Ok(listener) => Ok(listener),
            Err(_) => TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await,
        },
    }
}

/// TLS with a certificate that nobody signed, for those who want the line encrypted and know the server otherwise.
fn acceptor() -> Result<TlsAcceptor, ServeError> {
    let failed = |error: &dyn std::error::Error| ServeError::Certificate(error.to_string());
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).map_err(|error| failed(&error))?;
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der())
        .map_err(|error| ServeError::Certificate(error.to_owned()))?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key))
        .map_err(|error| failed(&error))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, pages: Pages) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    // The semaphore is never closed.
    while let Ok(slot) = slots.clone().acquire_owned().await {
        let Ok((stream, _)) = listener.accept().await else {
            sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let (tls, pages) = (tls.clone(), pages.clone());
        tokio::spawn(async move {
            // A client that is too slow or goes away is its own business.
            let _ = timeout(CONNECTION_TIMEOUT, serve(stream, tls, pages)).await;
            drop(slot);
        });
    }
}

async fn serve(stream: TcpStream, tls: Option<TlsAcceptor>, pages: Pages) {
    let Some(tls) = tls else { return answer(stream, pages).await };
    if let Ok(Ok(stream)) = timeout(HEAD_TIMEOUT, tls.accept(stream)).await {
        answer(stream, pages).await;
    }
}

async fn answer(stream: impl AsyncRead + AsyncWrite + Unpin + Send, pages: Pages) {
    let service = service_fn(|request: Request<Incoming>| {
        let response = respond(&request, &pages);
        async move { Ok::<_, Infallible>(response) }
    });
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    // See above.
    let _ = server.serve_connection(TokioIo::new(stream), service).await;
}

fn respond(request: &Request<Incoming>, pages: &Pages) -> Response<Full<Bytes>> {
    let page = match *request.method() {
        Method::GET | Method::HEAD => pages(request.uri().path(), request.uri().query()),
        _ => Page::plain(StatusCode::METHOD_NOT_ALLOWED, "only GET is answered\n"),
    };
    let mut response = Response::new(Full::from(page.text));
    *response.status_mut() = page.status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(page.content_type));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_go_writes_them() {
        let at = |host: Option<&str>, port| Ok(Bind::At { host: host.map(str::to_owned), port });
        for (text, expected) in [
            ("0", Ok(Bind::Off)),
            (":8443", at(None, 8443)),
            ("127.0.0.1:8081", at(Some("127.0.0.1"), 8081)),
            ("localhost:0", at(Some("localhost"), 0)),
            ("[::1]:8081", at(Some("::1"), 8081)),
        ] {
            assert_eq!(text.parse::<Bind>(), expected, "{text}");
        }
        for text in ["8081", "localhost", ":http", ":70000", "::1:8081", "http://a:80", "[a]:80"] {
            let error = text.parse::<Bind>().unwrap_err();
            assert!(error.contains("HOST:PORT"), "{text}: {error}");
        }
    }
}
