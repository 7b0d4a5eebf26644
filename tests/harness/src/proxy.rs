//! Stands between a broker and an API server, and breaks requests where a test wants them broken.
//!
//! ```text
//! broker ── http ── Proxy "coordination" ── https, as the broker's user ── API server
//!        ── http ── Proxy "provider"     ── …
//!                        └── all ask one Gate
//! ```
//!
//! The [`Gate`] counts the writes of all proxies together, and does at most one thing to one of them. Whatever is not
//! meddled with is passed through as it comes, watches included.

use std::collections::HashSet;
use std::fmt::{self, Display};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures::StreamExt as _;
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, BodyStream, StreamBody};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use kube::Client;
use kube::client::Body;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::cluster::Cluster;
use crate::net::free_port;

/// Resources whose writes are not counted: they are told beside the work, and their number varies.
const UNCOUNTED: [&str; 2] = ["events", "leases"];

/// What happens to one write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The process of this number is killed before the API server gets the write.
    KillBefore(u32),
    /// The process of this number is killed when the API server has answered, and never sees the answer.
    KillAfter(u32),
    /// The API server never gets the write; this status comes back.
    Answer(u16),
    /// The API server carries it out; this status comes back all the same.
    AnswerAfter(u16),
    /// The connection ends before the API server gets the write.
    CutBefore,
    /// The API server carries it out; the connection ends without an answer.
    CutAfter,
}

impl Fault {
    /// Whether it ends a process.
    pub fn kills(self) -> bool {
        matches!(self, Self::KillBefore(_) | Self::KillAfter(_))
    }

    fn is_after(self) -> bool {
        matches!(self, Self::KillAfter(_) | Self::AnswerAfter(_) | Self::CutAfter)
    }
}

/// A write that came through a proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// The cluster that it was for.
    pub cluster: String,
    /// `POST`, `PUT`, `PATCH` or `DELETE`.
    pub method: String,
    /// The path without its query.
    pub path: String,
}

impl Display for Write {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.cluster, self.method, self.path)
    }
}

/// Counts the writes of some proxies, and meddles with one of them.
#[derive(Debug, Default)]
pub struct Gate {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    counting: bool,
    writes: Vec<Write>,
    /// Which write, from one, and what happens to it.
    armed: Option<(usize, Fault)>,
    /// The write that it happened to.
    struck: Option<Write>,
    /// Nothing passes: whoever asks has been killed, and may not know it yet.
    shut: bool,
    /// Parts of paths whose writes are not counted, besides [`UNCOUNTED`].
    ignored: HashSet<&'static str>,
}

impl Gate {
    /// A gate that lets everything pass and counts nothing yet. Writes are not counted whose path has one of `ignored` as a
    /// segment, as `acceptapis`.
    pub fn new(ignored: &[&'static str]) -> Arc<Self> {
        let ignored = UNCOUNTED.iter().chain(ignored).copied().collect();
        Arc::new(Self { state: Mutex::new(State { ignored, ..State::default() }) })
    }

    /// Counts from here.
    pub fn count(&self) {
        *self.lock() = State { counting: true, ignored: self.ignored(), ..State::default() };
    }

    /// Counts from here, and does `fault` to the `nth` write (from one).
    pub fn arm(&self, nth: usize, fault: Fault) {
        let armed = Some((nth, fault));
        *self.lock() = State { counting: true, armed, ignored: self.ignored(), ..State::default() };
    }

    /// The writes since counting began, in the order in which they came.
    pub fn writes(&self) -> Vec<Write> {
        self.lock().writes.clone()
    }

    /// The write that the fault happened to, if it has come by.
    pub fn struck(&self) -> Option<Write> {
        self.lock().struck.clone()
    }

    /// Lets everything pass again, and counts no more. To be called when a killed process is known to be gone.
    pub fn open(&self) {
        let mut state = self.lock();
        (state.shut, state.armed, state.counting) = (false, None, false);
    }

    /// Takes note of a request; what is to happen to it.
    fn admit(&self, cluster: &str, method: &Method, path: &str) -> Admission {
        let mut state = self.lock();
        if state.shut {
            return Admission::Refused;
        }
        let is_write = matches!(*method, Method::POST | Method::PUT | Method::PATCH | Method::DELETE);
        let ignored = || path.split('/').any(|part| state.ignored.contains(part));
        if !state.counting || !is_write || ignored() {
            return Admission::Passed;
        }
        let write = Write { cluster: cluster.to_owned(), method: method.to_string(), path: path.to_owned() };
        state.writes.push(write.clone());
        let Some((nth, fault)) = state.armed else { return Admission::Passed };
        if state.writes.len() != nth {
            return Admission::Passed;
        }
        state.armed = None;
        // A killing blow falls when the write's time has come, which is now or after the answer.
        state.struck = Some(write);
        Admission::Meddled(fault)
    }

    /// Kills the process, and lets nothing through that it may have sent meanwhile.
    fn kill(&self, pid: u32) {
        let mut state = self.lock();
        state.shut = true;
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
        // It can only have ended by itself, which the test sees.
        let _ = pid.map(|pid| kill_process(pid, Signal::KILL));
    }

    fn ignored(&self) -> HashSet<&'static str> {
        self.lock().ignored.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What becomes of a request.
enum Admission {
    Passed,
    Refused,
    Meddled(Fault),
}

/// How a proxy is, as a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Health {
    /// Serves.
    Well,
    /// Passes each request on only after this time.
    Slow(Duration),
    /// Takes requests and answers none.
    Hanging,
    /// Refuses connections.
    Stopped,
}

/// An API server as a broker reaches it. Lives on the runtime of the test that made it, until it is dropped.
pub struct Proxy {
    port: u16,
    kubeconfig: PathBuf,
    health: watch::Sender<Health>,
    serving: JoinHandle<()>,
}

impl Proxy {
    /// Stands before `cluster`, to which it speaks as `user` in `groups`.
    pub async fn start(cluster: &Cluster, user: &str, groups: &[&str], gate: &Arc<Gate>) -> Result<Self> {
        let upstream = cluster.client_as(user, groups).await?;
        let port = free_port()?;
        let kubeconfig = cluster.folder().join(format!("proxied-{}.kubeconfig", next_number()));
        std::fs::write(&kubeconfig, kubeconfig_text(cluster.name(), port))
            .with_context(|| format!("cannot write {}", kubeconfig.display()))?;
        let listener = bind(port).await?;
        let (health, seen) = watch::channel(Health::Well);
        let server =
            Server { cluster: cluster.name().to_owned(), upstream, gate: Arc::clone(gate), health: seen, port };
        let serving = tokio::spawn(server.run(listener));
        Ok(Self { port, kubeconfig, health, serving })
    }

    /// A kubeconfig whose server is this proxy. It needs no credentials.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Ends all connections, and refuses new ones.
    pub async fn stop(&self) -> Result<()> {
        self.health.send_replace(Health::Stopped);
        // The port is not ours alone: wait until it really refuses.
        for _ in 0..1000 {
            if TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).await.is_err() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        bail!("the proxy on port {} still takes connections", self.port)
    }

    /// From now on no request is answered, and what is under way does not come to its end; connections stay open.
    pub fn hang(&self) {
        self.health.send_replace(Health::Hanging);
    }

    /// From now on each request waits for this time before the API server gets it.
    pub fn slow(&self, by: Duration) {
        self.health.send_replace(Health::Slow(by));
    }

    /// Serves again.
    pub fn resume(&self) {
        self.health.send_replace(Health::Well);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn next_number() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

fn kubeconfig_text(name: &str, port: u16) -> String {
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "clusters": [{"name": name, "cluster": {"server": format!("http://127.0.0.1:{port}")}}],
        "users": [{"name": name, "user": {}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
    })
    .to_string()
}

async fn bind(port: u16) -> Result<TcpListener> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    TcpListener::bind(address).await.with_context(|| format!("a proxy cannot listen on {address}"))
}

/// One proxy's side of all its connections.
#[derive(Clone)]
struct Server {
    cluster: String,
    upstream: Client,
    gate: Arc<Gate>,
    health: watch::Receiver<Health>,
    port: u16,
}

/// What a proxy answers.
type Answer = Response<UnsyncBoxBody<Bytes, kube::Error>>;

/// Why a connection ends without an answer.
#[derive(Debug, thiserror::Error)]
#[error("cut")]
struct Cut;

impl Server {
    async fn run(self, first: TcpListener) {
        let mut health = self.health.clone();
        let mut listener = Some(first);
        loop {
            let Some(open) = listener.take() else {
                if health.wait_for(|health| *health != Health::Stopped).await.is_err() {
                    return;
                }
                // Another program may have the port for a moment.
                match bind(self.port).await {
                    Ok(again) => listener = Some(again),
                    Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                }
                continue;
            };
            // Dropping the set ends its connections.
            let mut connections = JoinSet::new();
            loop {
                tokio::select! {
                    stopped = health.wait_for(|health| *health == Health::Stopped) => match stopped {
                        Ok(_) => break,
                        Err(_) => return,
                    },
                    accepted = open.accept() => {
                        if let Ok((stream, _)) = accepted {
                            connections.spawn(self.clone().serve(stream));
                        }
                    }
                    Some(_) = connections.join_next() => {}
                }
            }
        }
    }

    async fn serve(self, stream: TcpStream) {
        // Small requests and answers must not wait for each other.
        let _ = stream.set_nodelay(true);
        let service = service_fn(|request| self.answer(request));
        // A connection that ends in an error is the broker's business.
        let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Answer, Cut> {
        self.well().await?;
        let health = *self.health.borrow();
        if let Health::Slow(by) = health {
            tokio::time::sleep(by).await;
        }
        let fault = match self.gate.admit(&self.cluster, request.method(), request.uri().path()) {
            Admission::Refused => return Err(Cut),
            Admission::Passed => None,
            Admission::Meddled(fault) => Some(fault),
        };
        if let Some(fault) = fault.filter(|fault| !fault.is_after()) {
            return self.strike(fault);
        }
        let answer = self.pass(request).await?;
        match fault {
            None => Ok(answer),
            Some(fault) => {
                // The whole answer: what it was asked has been carried out.
                answer.into_body().collect().await.map_err(|_| Cut)?;
                self.strike(fault)
            }
        }
    }

    fn strike(&self, fault: Fault) -> Result<Answer, Cut> {
        match fault {
            Fault::KillBefore(pid) | Fault::KillAfter(pid) => {
                self.gate.kill(pid);
                Err(Cut)
            }
            Fault::Answer(code) | Fault::AnswerAfter(code) => Ok(refusal(code)),
            Fault::CutBefore | Fault::CutAfter => Err(Cut),
        }
    }

    async fn pass(&self, request: Request<Incoming>) -> Result<Answer, Cut> {
        let (mut parts, body) = request.into_parts();
        let body = body.collect().await.map_err(|_| Cut)?.to_bytes();
        // Between two hops; the next one has its own.
        for header in [http::header::HOST, http::header::CONNECTION, http::header::TRANSFER_ENCODING] {
            parts.headers.remove(header);
        }
        // The client upstream asks for what it can unpack.
        parts.headers.remove(http::header::ACCEPT_ENCODING);
        let answer = self.upstream.send(Request::from_parts(parts, Body::from(body))).await.map_err(|_| Cut)?;
        let (mut parts, body) = answer.into_parts();
        for header in [http::header::CONNECTION, http::header::TRANSFER_ENCODING] {
            parts.headers.remove(header);
        }
        parts.version = http::Version::HTTP_11;
        Ok(Response::from_parts(parts, self.held(body)))
    }

    /// The same body, of which nothing comes while the server hangs.
    fn held(&self, body: Body) -> UnsyncBoxBody<Bytes, kube::Error> {
        let server = self.clone();
        let frames = BodyStream::new(body).then(move |frame| {
            let server = server.clone();
            async move {
                // It only fails when the proxy is dropped, and its connections with it.
                let _ = server.well().await;
                frame
            }
        });
        StreamBody::new(frames).boxed_unsync()
    }

    /// Waits until the server is not hanging.
    async fn well(&self) -> Result<(), Cut> {
        self.health.clone().wait_for(|health| *health != Health::Hanging).await.map(drop).map_err(|_| Cut)
    }
}

/// An answer as API servers give it.
fn refusal(code: u16) -> Answer {
    let reason = match code {
        409 => "Conflict",
        429 => "TooManyRequests",
        503 => "ServiceUnavailable",
        _ => "InternalError",
    };
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": "refused by a test", "code": code,
        "reason": reason,
    });
    let mut answer = Response::new(Body::from(Bytes::from(status.to_string())).boxed_unsync());
    *answer.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    answer.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    answer
}
