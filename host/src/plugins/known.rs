//! What the controller remembers of one Plugin.

use std::{sync::Arc, time::Duration};

use resource_broker_api::{
    broker::{PluginSpec, PluginStatus},
    conditions::reason,
    object::Object,
};
use resource_broker_sandbox::Plugin;
use tokio::time::Instant;

use super::{
    loading::{Identity, Version},
    pulse::Pulse,
    serving::Claim,
    spec,
    status::{Problem, Progress},
};
use crate::cache::PluginsView;

/// The shortest and the longest pause before a load that failed through no fault of the plugin's is tried again.
const RETRY: (Duration, Duration) = (Duration::from_secs(2), Duration::from_mins(1));

/// A Plugin, and how far it has got.
pub(super) struct Known {
    /// As it was last seen.
    pub(super) object: Arc<Object>,
    /// What it asks for, or why that cannot be told.
    pub(super) spec: Result<PluginSpec, String>,
    /// The newest version; `None` while it is not known.
    pub(super) wanted: Option<Version>,
    /// The version that was loaded last, or was to be.
    tried: Option<Version>,
    /// How far the newest version has got.
    pub(super) progress: Progress,
    /// Since when the progress is what it is.
    pub(super) since: Instant,
    /// When to try again, and how often that was in vain.
    retry: Option<(Instant, u32)>,
    /// What serves.
    pub(super) good: Option<Good>,
    /// How its calls go.
    pub(super) pulse: Pulse,
    /// The status that was asked for last, and what the API server made of it, as digests.
    pub(super) written: Option<(String, String)>,
    /// When the status was written last.
    pub(super) written_at: Option<Instant>,
}

/// A loaded component.
#[derive(Clone)]
pub(super) struct Good {
    pub(super) plugin: Plugin,
    pub(super) identity: Identity,
    /// Tells one load from another.
    pub(super) serial: u64,
}

impl Known {
    /// A Plugin that is seen for the first time.
    pub(super) fn new(object: Arc<Object>) -> Self {
        Self {
            spec: spec::read(&object),
            object,
            wanted: None,
            tried: None,
            progress: Progress::Loading,
            since: Instant::now(),
            retry: None,
            good: None,
            pulse: Pulse::default(),
            written: None,
            written_at: None,
        }
    }

    /// Takes in how Plugin and config maps are now.
    pub(super) fn see(&mut self, object: &Arc<Object>, view: &PluginsView) {
        if self.object.resource_version() != object.resource_version() {
            self.spec = spec::read(object);
            self.object = object.clone();
        }
        match (&self.spec, &view.versions) {
            (Err(why), _) => {
                (self.wanted, self.tried) = (None, None);
                self.set(Progress::Failed(Problem { reason: reason::INVALID_PLUGIN, message: why.clone() }));
            }
            (Ok(spec), Ok(versions)) => {
                self.wanted = Some(Version::of(spec, versions));
                if self.wanted != self.tried {
                    self.set(Progress::Loading);
                }
            }
            // What was loaded of it stays loaded.
            (Ok(spec), Err(_)) if self.tried.as_ref().is_some_and(|tried| tried.is_of(spec)) => {}
            (Ok(_), Err(unread)) => {
                (self.wanted, self.tried) = (None, None);
                self.set(if unread.lasts {
                    let message = format!("config maps cannot be read: {}", unread.why);
                    Progress::Failed(Problem { reason: reason::CONFIG_MAP_UNREADABLE, message })
                } else {
                    Progress::Loading
                });
            }
        }
    }

    /// The version that is to be loaded now.
    pub(super) fn to_load(&self) -> Option<&Version> {
        let due = self.retry.is_some_and(|(at, _)| at <= Instant::now());
        self.wanted.as_ref().filter(|wanted| due || Some(*wanted) != self.tried.as_ref())
    }

    /// A load ended well.
    pub(super) fn succeeded(&mut self, version: Version) {
        self.tried = Some(version);
        self.retry = None;
        self.set(Progress::Loaded);
    }

    /// A load failed; whether that is news.
    pub(super) fn failed(&mut self, version: Version, problem: Problem, again: bool) -> bool {
        let times = self.retry.filter(|_| self.tried.as_ref() == Some(&version)).map_or(0, |(_, times)| times + 1);
        self.tried = Some(version);
        let pause = RETRY.0.saturating_mul(1 << times.min(10)).min(RETRY.1);
        self.retry = again.then(|| (Instant::now() + pause, times));
        self.set(Progress::Failed(problem))
    }

    fn set(&mut self, progress: Progress) -> bool {
        let changes = self.progress != progress;
        if changes {
            self.progress = progress;
            self.since = Instant::now();
        }
        changes
    }

    /// What it claims; `None` where that cannot be told.
    pub(super) fn claim(&self) -> Option<Claim> {
        let spec = self.spec.as_ref().ok()?;
        let created = self.object.meta.creation_timestamp.as_ref().map(|time| time.0.to_string());
        Some(Claim {
            name: self.object.name().to_owned(),
            created: created.unwrap_or_default(),
            apis: spec.apis.iter().map(spec::api_name).collect(),
            roles: spec.roles.iter().copied().map(spec::to_sandbox).collect(),
            exports: self.good.as_ref().map(|good| good.plugin.roles().to_vec()),
        })
    }

    /// The status that is there.
    pub(super) fn status(&self) -> PluginStatus {
        let status = self.object.fields.get("status").and_then(|status| serde_json::from_str(status.get()).ok());
        status.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::cache::Unread;

    fn plugin(version: u64, sha256: Option<&str>) -> Arc<Object> {
        let object = json!({
            "metadata": {"name": "p", "uid": "u", "resourceVersion": version.to_string()},
            "spec": {
                "component": [{"configMap": "m", "key": "k"}], "apis": [{"group": "g", "resource": "r"}], "sha256": sha256,
            },
        });
        Arc::new(serde_json::from_str(&object.to_string()).unwrap())
    }

    fn maps(version: &str) -> PluginsView {
        PluginsView { plugins: Ok(vec![]), versions: Ok(BTreeMap::from([("m".to_owned(), version.to_owned())])) }
    }

    fn unread(lasts: bool) -> PluginsView {
        PluginsView { plugins: Ok(vec![]), versions: Err(Unread { why: "forbidden".into(), lasts }) }
    }

    fn problem() -> Problem {
        Problem { reason: reason::KEY_MISSING, message: "no key".into() }
    }

    /// One whose version, with its config map at 1, was loaded.
    fn loaded() -> Known {
        let mut known = Known::new(plugin(1, None));
        known.see(&plugin(1, None), &maps("1"));
        let version = known.to_load().cloned().unwrap();
        known.succeeded(version);
        known
    }

    #[tokio::test(start_paused = true)]
    async fn a_version_is_tried_once_and_again_when_plugin_or_config_map_changes() {
        let mut known = loaded();
        for (object, view, is_due) in [
            (plugin(1, None), maps("1"), false),
            (plugin(2, None), maps("1"), false),
            (plugin(2, None), maps("2"), true),
            (plugin(3, Some("digest")), maps("2"), true),
        ] {
            known.see(&object, &view);
            assert_eq!(known.to_load().is_some(), is_due);
            let expected = if is_due { Progress::Loading } else { Progress::Loaded };
            assert_eq!(known.progress, expected);
            if let Some(version) = known.to_load().cloned() {
                assert!(known.failed(version.clone(), problem(), false), "it is news");
                assert!(!known.failed(version, problem(), false), "it is none any more");
                assert!(known.to_load().is_none(), "the same would come of it");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_the_plugins_fault_is_tried_again_ever_more_seldom() {
        let mut known = loaded();
        known.see(&plugin(1, None), &maps("2"));
        for pause in [2, 4, 8, 16, 32, 60, 60] {
            let version = known.to_load().cloned().unwrap();
            known.failed(version, problem(), true);
            tokio::time::advance(Duration::from_millis(pause * 1000 - 1)).await;
            assert!(known.to_load().is_none(), "before {pause} s");
            tokio::time::advance(Duration::from_millis(1)).await;
            assert!(known.to_load().is_some(), "after {pause} s");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn config_maps_that_cannot_be_read_are_told_where_they_are_needed() {
        let mut known = loaded();
        known.see(&plugin(1, None), &unread(true));
        assert_eq!(known.progress, Progress::Loaded, "what was loaded of it stays loaded");
        known.see(&plugin(2, Some("digest")), &unread(false));
        assert_eq!(known.progress, Progress::Loading);
        known.see(&plugin(2, Some("digest")), &unread(true));
        let Progress::Failed(problem) = &known.progress else { panic!("{:?}", known.progress) };
        assert_eq!(problem.reason, reason::CONFIG_MAP_UNREADABLE);
        known.see(&plugin(2, Some("digest")), &maps("1"));
        assert!(known.to_load().is_some() && known.progress == Progress::Loading);
    }
}
