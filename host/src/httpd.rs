//! A small HTTP server for probes and scrapers: GET only, few connections, short time limits, optionally over TLS.
//!
//! Nobody waits for a free place: where there is none, the connection that has been silent longest is closed.

use std::{
    collections::HashMap,
    convert::Infallible,
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use resource_broker_cli::bind::Bind;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    task::{AbortHandle, Id, JoinSet},
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, crypto::ring, pki_types::PrivateKeyDer},
};

/// Connections open at once. One more takes the place of the one that has been silent longest.
const CONNECTIONS: usize = 64;
/// A client that has not sent its request's head by then is sent away, and so is an idle connection.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// A client that has not read its answer by then is sent away.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);
/// No connection lasts longer.
const CONNECTION_TIMEOUT: Duration = Duration::from_mins(5);
/// The most that is kept of a request's head, in bytes.
const MAX_HEAD: usize = 16 << 10;
/// The pause after an accept that failed, which happens when the process has no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

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
    // Dropping it ends them all.
    let mut tasks = JoinSet::new();
    let mut open: HashMap<Id, (AbortHandle, Activity)> = HashMap::new();
    loop {
        let accepted = tokio::select! {
            Some(ended) = tasks.join_next_with_id() => {
                open.remove(&ended.map_or_else(|error| error.id(), |(id, ())| id));
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            // There are no file descriptors left: one of ours is given back.
            close_most_silent(&mut open);
            sleep(ACCEPT_PAUSE).await;
            continue;
        };
        if open.len() >= CONNECTIONS {
            close_most_silent(&mut open);
        }
        let activity = Activity::default();
        let (tls, pages, its) = (tls.clone(), pages.clone(), activity.clone());
        let task = tasks.spawn(async move {
            // A client that is too slow or goes away is its own business.
            let _ = timeout(CONNECTION_TIMEOUT, async {
                tokio::select! {
                    () = serve(stream, tls, pages, &its) => {}
                    () = its.ends() => {}
                }
            })
            .await;
        });
        open.insert(task.id(), (task, activity));
    }
}

fn close_most_silent(open: &mut HashMap<Id, (AbortHandle, Activity)>) {
    let most_silent = open.iter().min_by_key(|(_, (_, activity))| activity.last()).map(|(id, _)| *id);
    if let Some((task, _)) = most_silent.and_then(|id| open.remove(&id)) {
        task.abort();
    }
}

/// When a connection was made, or asked for something last.
#[derive(Clone)]
struct Activity(Arc<Mutex<Instant>>);

impl Default for Activity {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }
}

impl Activity {
    fn last(&self) -> Instant {
        *self.0.lock()
    }

    fn note(&self) {
        *self.0.lock() = Instant::now();
    }

    /// Comes back when nothing has been asked for too long: the last answer was not read.
    async fn ends(&self) {
        loop {
            let end = self.last() + ANSWER_TIMEOUT;
            if Instant::now() >= end {
                return;
            }
            sleep_until(end).await;
        }
    }
}

async fn serve(stream: TcpStream, tls: Option<TlsAcceptor>, pages: Pages, activity: &Activity) {
    let Some(tls) = tls else { return answer(stream, pages, activity).await };
    if let Ok(Ok(stream)) = timeout(HEAD_TIMEOUT, tls.accept(stream)).await {
        answer(stream, pages, activity).await;
    }
}

async fn answer(stream: impl AsyncRead + AsyncWrite + Unpin + Send, pages: Pages, activity: &Activity) {
    let service = service_fn(|request: Request<Incoming>| {
        activity.note();
        let response = respond(&request, &pages);
        async move { Ok::<_, Infallible>(response) }
    });
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(MAX_HEAD);
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
