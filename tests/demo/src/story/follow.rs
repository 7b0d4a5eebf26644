//! Sees every version of an object from a moment on, so that nothing is missed that is there for an instant only.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures::{StreamExt, TryStreamExt};
use kube::ResourceExt;
use kube::api::{Api, DynamicObject, ListParams, WatchEvent, WatchParams};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// What an API server told of an object.
pub(super) enum Version {
    /// It was made, or changed to this.
    Is(DynamicObject),
    /// It is gone; this was its last version.
    Gone(DynamicObject),
}

/// What an API server tells of the objects of an [`Api`]. Dropping it ends it.
pub(super) struct Follower {
    what: String,
    versions: mpsc::UnboundedReceiver<Result<Version>>,
    task: JoinHandle<()>,
}

impl Follower {
    /// Begins to follow all objects, or the one called `name`: what is there now is not told.
    pub(super) async fn start(api: Api<DynamicObject>, name: Option<&str>) -> Result<Self> {
        let what = format!("{}{}", api.resource_url(), name.map(|name| format!("/{name}")).unwrap_or_default());
        let fields = name.map(|name| format!("metadata.name={name}"));
        let list = ListParams { field_selector: fields.clone(), ..ListParams::default() };
        let listed = api.list(&list).await.with_context(|| format!("cannot list {what}"))?;
        let since = listed.metadata.resource_version.unwrap_or_default();
        let (sender, versions) = mpsc::unbounded_channel();
        let task = tokio::spawn(async move {
            if let Err(error) = follow(&api, fields, since, &sender).await {
                // The last that is heard; perhaps nobody listens any more.
                let _ = sender.send(Err(error));
            }
        });
        Ok(Self { what, versions, task })
    }

    /// The next version; an error if there is none within `patience`.
    pub(super) async fn next(&mut self, patience: Duration) -> Result<Version> {
        let next = timeout(patience, self.versions.recv()).await;
        let next = next.with_context(|| format!("waited {patience:?} for a change of {}", self.what))?;
        next.with_context(|| format!("{} cannot be followed any more", self.what))?
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Hands on what is told, in one watch after the other, until nobody listens.
async fn follow(
    api: &Api<DynamicObject>,
    fields: Option<String>,
    mut since: String,
    sender: &mpsc::UnboundedSender<Result<Version>>,
) -> Result<()> {
    let watch = WatchParams { field_selector: fields, ..WatchParams::default() };
    loop {
        let mut events = api.watch(&watch, &since).await.context("cannot watch")?.boxed();
        while let Some(event) = events.try_next().await.context("a watch broke")? {
            let version = match event {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => Version::Is(object),
                WatchEvent::Deleted(object) => Version::Gone(object),
                WatchEvent::Bookmark(mark) => {
                    since = mark.metadata.resource_version;
                    continue;
                }
                WatchEvent::Error(status) => bail!("a watch ended: {}", status.message),
            };
            let (Version::Is(object) | Version::Gone(object)) = &version;
            since = object.resource_version().unwrap_or(since);
            if sender.send(Ok(version)).is_err() {
                return Ok(());
            }
        }
    }
}
