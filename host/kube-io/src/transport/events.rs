//! A watch's answer, event by event. A line is bounded: a server that never ends one would fill the memory.

use std::{pin::pin, sync::Arc};

use bytes::{Bytes, BytesMut};
use futures::{Stream, stream};
use http::Request;
use http_body_util::{BodyExt, Limited};
use hyper::body::Body as HttpBody;
use kube::{Client, client::Body, core::WatchEvent};
use resource_broker_api::names::ClusterName;
use serde::de::DeserializeOwned;

use super::{
    clients::describe,
    cluster::Limits,
    error::{RequestError, Target, not_understood},
};

/// The longest line in bytes after decompression: what one object may have when it is read by itself.
const LONGEST: usize = Limits::OBJECT.max_body;

/// Why the events of a watch end early.
#[derive(Debug, thiserror::Error)]
pub enum EventError {
    /// The connection broke.
    #[error("the watch broke: {0}")]
    Broken(String),
    /// More than an object may have.
    #[error("an event has more than {limit} bytes, and may be endless; it is not read")]
    TooLong {
        /// The limit in bytes.
        limit: usize,
    },
    /// Not an event.
    #[error("an event of the watch cannot be read: {0}")]
    Garbled(String),
}

/// Begins a watch at `cluster`; `request` is one for events. The stream ends when the server ends the watch, and after the
/// first error.
pub async fn events<T: DeserializeOwned>(
    cluster: &ClusterName,
    client: Client,
    request: Request<Vec<u8>>,
) -> Result<impl Stream<Item = Result<WatchEvent<T>, EventError>> + use<T>, RequestError> {
    let target = Target::of(cluster, &request);
    let broken = |target: &Arc<Target>, cause| RequestError::Network { target: target.clone(), cause };
    let answer = client.send(request.map(Body::from)).await.map_err(|error| broken(&target, describe(&error)))?;
    let (parts, body) = answer.into_parts();
    if parts.status.is_success() {
        return Ok(read(Lines::new(body, LONGEST)));
    }
    let body =
        Limited::new(body, LONGEST).collect().await.map_err(|error| broken(&target, describe(error.as_ref())))?;
    Err(RequestError::from_answer(target, parts.status, &parts.headers, &body.to_bytes()))
}

fn read<T, B>(lines: Lines<B>) -> impl Stream<Item = Result<WatchEvent<T>, EventError>> + use<T, B>
where
    T: DeserializeOwned,
    B: HttpBody<Data = Bytes, Error: std::error::Error + 'static> + Unpin,
{
    stream::unfold(Some(lines), async |lines| {
        let mut lines = lines?;
        let event = match lines.next().await? {
            Ok(line) => {
                serde_json::from_slice(&line).map_err(|error| EventError::Garbled(not_understood(&line, &error)))
            }
            Err(error) => Err(error),
        };
        let rest = event.is_ok().then_some(lines);
        Some((event, rest))
    })
}

/// A body, line by line.
struct Lines<B> {
    body: B,
    /// What came and is not yet a line.
    rest: BytesMut,
    /// How much of it is known to hold no line's end.
    searched: usize,
    longest: usize,
}

impl<B: HttpBody<Data = Bytes, Error: std::error::Error + 'static> + Unpin> Lines<B> {
    fn new(body: B, longest: usize) -> Self {
        Self { body, rest: BytesMut::new(), searched: 0, longest }
    }

    /// The next line that is not empty, without its end. What follows the last line's end is one, too.
    async fn next(&mut self) -> Option<Result<BytesMut, EventError>> {
        loop {
            if let Some(at) = self.rest[self.searched..].iter().position(|&byte| byte == b'\n') {
                let mut line = self.rest.split_to(self.searched + at + 1);
                self.searched = 0;
                line.truncate(line.trim_ascii_end().len());
                if line.is_empty() {
                    continue;
                }
                return Some(Ok(line));
            }
            self.searched = self.rest.len();
            if self.rest.len() > self.longest {
                return Some(Err(EventError::TooLong { limit: self.longest }));
            }
            match pin!(self.body.frame()).await {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.rest.extend_from_slice(&data);
                    }
                }
                Some(Err(error)) => return Some(Err(EventError::Broken(describe(&error)))),
                None if self.rest.trim_ascii().is_empty() => return None,
                None => {
                    self.searched = 0;
                    return Some(Ok(std::mem::take(&mut self.rest)));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt as _;
    use http_body_util::StreamBody;
    use hyper::body::Frame;
    use kube::core::DynamicObject;

    use super::*;

    /// A body that comes in these pieces.
    fn body(pieces: Vec<&'static str>) -> impl HttpBody<Data = Bytes, Error = std::io::Error> + Unpin {
        let frames = pieces.into_iter().map(|piece| Ok::<_, std::io::Error>(Frame::data(Bytes::from(piece))));
        StreamBody::new(stream::iter(frames))
    }

    async fn seen(pieces: Vec<&'static str>, longest: usize) -> Vec<Result<String, EventError>> {
        let events = read::<DynamicObject, _>(Lines::new(body(pieces), longest));
        let name = |event: Result<WatchEvent<DynamicObject>, EventError>| match event {
            Ok(WatchEvent::Added(object)) => Ok(object.metadata.name.unwrap_or_default()),
            Ok(other) => Ok(format!("{other:?}")),
            Err(error) => Err(error),
        };
        events.map(name).collect().await
    }

    const A: &str = r#"{"type":"ADDED","object":{"metadata":{"name":"a"}}}"#;

    #[tokio::test]
    async fn events_are_cut_at_lines_wherever_the_pieces_end() {
        let (head, tail) = A.split_at(20);
        let pieces = vec!["\n", head, tail, "\r\n", A, "\n", A];
        let seen: Vec<String> = seen(pieces, 100).await.into_iter().map(Result::unwrap).collect();
        assert_eq!(seen, ["a", "a", "a"]);
    }

    #[tokio::test]
    async fn an_endless_line_is_given_up_on() {
        let seen = seen(vec![A, "\n", A, A], 60).await;
        assert!(matches!(seen.last(), Some(Err(EventError::TooLong { limit: 60 }))), "{seen:?}");
        assert_eq!(seen.len(), 2, "{seen:?}");
    }

    #[tokio::test]
    async fn what_is_no_event_ends_the_watch() {
        let seen = seen(vec!["<html>\n", A, "\n"], 100).await;
        assert!(matches!(seen.as_slice(), [Err(EventError::Garbled(_))]), "{seen:?}");
    }
}
