//! A model of an API server with one collection, which can be made to lie.

use std::{collections::BTreeMap, io, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::Frame;
use kube::{Client, client::Body};
use parking_lot::Mutex;
use resource_broker_api::names::ClusterName;
use serde_json::{Value, json};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout},
};

use crate::{metrics::Metrics, transport::Cluster};

/// What was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    List { limit: usize, next: Option<String>, metadata: bool },
    Watch { from: u64, seconds: u64 },
    Other(String),
}

/// What is done in place of a good answer.
pub(super) enum Fault {
    /// An HTTP status, with `Retry-After` in seconds.
    Status(u16, Option<u64>),
    /// This under 200.
    Body(Bytes),
    Hang,
    Break,
}

type Answer = UnsyncBoxBody<Bytes, io::Error>;
type Faults = Box<dyn FnMut(&Asked) -> Option<Fault> + Send>;

pub(super) struct Model {
    pub(super) version: u64,
    objects: BTreeMap<String, String>,
    history: Vec<(u64, String)>,
    /// What each began with, and where its lines go; none breaks its connection.
    watchers: Vec<(u64, mpsc::UnboundedSender<Option<String>>)>,
    pub(super) asked: Vec<Asked>,
    faults: Faults,
    /// Whether it sends bookmarks, as it should.
    pub(super) bookmarks: bool,
    /// What versions look like.
    pub(super) opaque: bool,
}

#[derive(Clone)]
pub(super) struct Server(Arc<Mutex<Model>>);

impl Server {
    pub(super) fn new(version: u64) -> Self {
        let model = Model {
            version,
            objects: BTreeMap::new(),
            history: Vec::new(),
            watchers: Vec::new(),
            asked: Vec::new(),
            faults: Box::new(|_| None),
            bookmarks: true,
            opaque: false,
        };
        Self(Arc::new(Mutex::new(model)))
    }

    pub(super) fn cluster(&self, name: &str) -> Arc<Cluster> {
        let name = ClusterName::parse(name).unwrap();
        Cluster::from_clients(name, self.client(), self.client(), Metrics::new())
    }

    pub(super) fn client(&self) -> Client {
        let server = self.clone();
        Client::new(tower::service_fn(move |request| server.clone().serve(request)), "default")
    }

    pub(super) fn with<T>(&self, change: impl FnOnce(&mut Model) -> T) -> T {
        change(&mut self.0.lock())
    }

    pub(super) fn fault(&self, faults: impl FnMut(&Asked) -> Option<Fault> + Send + 'static) {
        self.with(|model| model.faults = Box::new(faults));
    }

    pub(super) fn heal(&self) {
        self.fault(|_| None);
    }

    /// Lists of the whole collection begun, lists continued, lists of one object, watches.
    pub(super) fn counts(&self) -> (usize, usize, usize, usize) {
        let mut counts = (0, 0, 0, 0);
        for asked in self.with(|model| model.asked.clone()) {
            match asked {
                Asked::List { limit: 1, next: None, metadata: true } => counts.2 += 1,
                Asked::List { next: None, .. } => counts.0 += 1,
                Asked::List { .. } => counts.1 += 1,
                Asked::Watch { .. } => counts.3 += 1,
                Asked::Other(_) => {}
            }
        }
        counts
    }

    /// Makes or changes an object, in a new version.
    pub(super) fn put(&self, name: &str, uid: &str, content: &str) -> Value {
        self.with(|model| {
            model.version += 1;
            let kind = if model.objects.contains_key(name) { "MODIFIED" } else { "ADDED" };
            let object = model.write(name, uid, model.version, content);
            model.tell(kind, &object);
            serde_json::from_str(&object).unwrap()
        })
    }

    /// Ends all watches, as a connection that breaks.
    pub(super) fn hang_up(&self) {
        self.with(|model| {
            for (_, watcher) in model.watchers.drain(..) {
                let _ = watcher.send(None);
            }
        });
    }

    /// From now on it is as it was at another time, or another one. Watches go on, and show nothing of it.
    pub(super) fn restore(&self, version: u64, objects: &[(&str, &str, u64)]) {
        self.with(|model| {
            model.version = version;
            model.objects.clear();
            model.history.clear();
            for (name, uid, version) in objects {
                model.write(name, uid, *version, "");
            }
        });
    }

    async fn serve(self, request: Request<Body>) -> io::Result<Response<Answer>> {
        let asked = asked(&request);
        let fault = self.with(|model| {
            model.asked.push(asked.clone());
            (model.faults)(&asked)
        });
        match fault {
            Some(Fault::Hang) => std::future::pending().await,
            Some(Fault::Break) => Err(io::Error::other("connection reset by peer")),
            Some(Fault::Status(code, retry)) => {
                let mut answer = Response::builder().status(code);
                if let Some(seconds) = retry {
                    answer = answer.header("retry-after", seconds);
                }
                answer.body(whole(Bytes::new())).map_err(io::Error::other)
            }
            Some(Fault::Body(body)) => Ok(Response::new(whole(body))),
            None => Ok(Response::new(match asked {
                Asked::List { limit, next, metadata } => self.list(limit, next.as_deref(), metadata),
                Asked::Watch { from, seconds } => self.watch(from, seconds),
                Asked::Other(_) => whole("{}"),
            })),
        }
    }

    fn list(&self, limit: usize, next: Option<&str>, metadata: bool) -> Answer {
        self.with(|model| {
            let rest: Vec<(&String, &String)> =
                model.objects.iter().filter(|(name, _)| next.is_none_or(|next| name.as_str() > next)).collect();
            let page: Vec<String> = rest
                .iter()
                .take(limit)
                .map(|(_, text)| if metadata { slim(text) } else { (*text).clone() })
                .collect();
            let token = if rest.len() > limit { rest[limit - 1].0.as_str() } else { "" };
            let version = model.shown(model.version);
            let text = format!(
                r#"{{"kind":"AssignmentList","apiVersion":"broker.platform-mesh.io/v1alpha1","metadata":{{"resourceVersion":"{version}","continue":"{token}"}},"items":[{}]}}"#,
                page.join(",")
            );
            whole(text)
        })
    }

    fn watch(&self, from: u64, seconds: u64) -> Answer {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.with(|model| {
            for (_, line) in model.history.iter().filter(|(version, _)| *version > from) {
                let _ = sender.send(Some(line.clone()));
            }
            model.watchers.push((from, sender));
        });
        let (server, end) = (self.clone(), Instant::now() + Duration::from_secs(seconds));
        let lines = stream::unfold(receiver, move |mut receiver| {
            let server = server.clone();
            async move {
                loop {
                    let left = end.saturating_duration_since(Instant::now());
                    let line = timeout(left.min(Duration::from_mins(1)), receiver.recv()).await;
                    if Instant::now() >= end {
                        return None;
                    }
                    let bookmark = server.with(|model| {
                        let version = model.shown(model.version);
                        model.bookmarks.then(|| {
                            let object = json!({"kind": "Assignment", "apiVersion": "v1", "metadata": {"resourceVersion": version}});
                            json!({"type": "BOOKMARK", "object": object}).to_string() + "\n"
                        })
                    });
                    match line {
                        Ok(Some(Some(line))) => return Some((Ok(line), receiver)),
                        Ok(_) => return Some((Err(io::Error::other("connection reset by peer")), receiver)),
                        Err(_) => {
                            if let Some(bookmark) = bookmark {
                                return Some((Ok(bookmark), receiver));
                            }
                        }
                    }
                }
            }
        });
        let frames = lines.map(|line| line.map(|line| Frame::data(Bytes::from(line))));
        StreamBody::new(frames).boxed_unsync()
    }
}

impl Model {
    fn shown(&self, version: u64) -> String {
        if self.opaque { format!("v{version:x}z") } else { version.to_string() }
    }

    fn write(&mut self, name: &str, uid: &str, version: u64, content: &str) -> String {
        let version = self.shown(version);
        let text = format!(
            r#"{{"kind":"Assignment","apiVersion":"broker.platform-mesh.io/v1alpha1","metadata":{{"name":"{name}","namespace":"broker","uid":"{uid}","resourceVersion":"{version}"}},"content":"{content}"}}"#
        );
        self.objects.insert(name.into(), text.clone());
        text
    }

    pub(super) fn remove(&mut self, name: &str) {
        self.version += 1;
        let gone = self.objects.remove(name).unwrap();
        let mut object: Value = serde_json::from_str(&gone).unwrap();
        object["metadata"]["resourceVersion"] = self.shown(self.version).into();
        self.tell("DELETED", &object.to_string());
    }

    fn tell(&mut self, kind: &str, object: &str) {
        let line = format!("{{\"type\":\"{kind}\",\"object\":{object}}}\n");
        self.history.push((self.version, line.clone()));
        let version = self.version;
        // An API server keeps back what is not later than what a watch began with.
        self.watchers.retain(|(from, watcher)| version <= *from || watcher.send(Some(line.clone())).is_ok());
    }
}

fn whole(body: impl Into<Bytes>) -> Answer {
    Full::new(body.into()).map_err(|never| match never {}).boxed_unsync()
}

/// An object without what is not metadata.
fn slim(text: &str) -> String {
    let at = text.find(",\"content\"").unwrap();
    format!("{}}}", &text[..at])
}

fn asked(request: &Request<Body>) -> Asked {
    let query = request.uri().query().unwrap_or_default();
    let parameter =
        |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')).map(str::to_owned);
    if !request.uri().path().ends_with("/assignments") {
        return Asked::Other(request.uri().path().to_owned());
    }
    if parameter("watch").is_some() {
        let number = |name| parameter(name).unwrap().parse().unwrap();
        return Asked::Watch { from: number("resourceVersion"), seconds: number("timeoutSeconds") };
    }
    let accept = request.headers().get("accept").and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    Asked::List {
        limit: parameter("limit").unwrap().parse().unwrap(),
        next: parameter("continue"),
        metadata: accept.contains("PartialObjectMetadata"),
    }
}
