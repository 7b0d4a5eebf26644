//! What the controller remembers of one Plugin.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use resource_broker_api::{
    broker::{PluginSpec, PluginStatus},
    conditions::reason,
    object::Object,
};
use resource_broker_plugin_types::ApiName;
use resource_broker_sandbox::Plugin;
use tokio::time::Instant;

use super::{
    loading::{Again, Identity, Version},
    pulse::Pulse,
    serving::Claim,
    spec::{self, Claimed},
    status::{Problem, Progress},
};
use crate::cache::PluginsView;

/// The shortest and the longest pause before a load that failed through no fault of the plugin's is tried again.
const SOON: (Duration, Duration) = (Duration::from_secs(2), Duration::from_mins(1));
/// The same for one that took too long, and may take as long again.
const SELDOM: (Duration, Duration) = (Duration::from_secs(15), Duration::from_mins(10));

/// A Plugin, and how far it has got.
pub(super) struct Known {
    /// As it was last seen.
    pub(super) object: Arc<Object>,
    /// What it asks for, or why that cannot be told.
    spec: Result<PluginSpec, String>,
    /// What it wants to serve.
    claimed: Claimed,
    /// When it was last its turn to be loaded.
    begun: Option<Instant>,
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
    /// The APIs that it is for. What the Plugin claims since then, together with another component or other settings, is
    /// for the version that has these.
    pub(super) apis: Arc<BTreeSet<ApiName>>,
}

impl Known {
    /// A Plugin that is seen for the first time.
    pub(super) fn new(object: Arc<Object>) -> Self {
        Self {
            spec: spec::read(&object),
            claimed: spec::claimed(&object),
            begun: None,
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
            self.claimed = spec::claimed(object);
            self.object = object.clone();
        }
        self.see_version(view);
        if self.progress == Progress::Loaded
            && let Some(good) = &mut self.good
        {
            good.apis = self.claimed.apis.clone();
        }
    }

    fn see_version(&mut self, view: &PluginsView) {
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

    /// Who is to be loaded next: whose turn is the longest ago, so that one that changes all the time keeps nobody waiting for
    /// ever, and of those the oldest.
    pub(super) fn next<'k>(all: impl Iterator<Item = &'k mut Self>) -> Option<&'k mut Self> {
        let age = |known: &Self| (known.object.meta.creation_timestamp.clone(), known.object.name().to_owned());
        all.filter(|known| known.to_load().is_some()).min_by_key(|known| (known.begun, age(known)))
    }

    /// Its load begins: in which version, and for which APIs.
    pub(super) fn begin(&mut self) -> Option<(Version, Arc<BTreeSet<ApiName>>)> {
        self.begun = Some(Instant::now());
        Some((self.to_load()?.clone(), self.claimed.apis.clone()))
    }

    /// The component that answers for `api`, if the Plugin holds that.
    pub(super) fn good_for(&self, api: &ApiName) -> Option<&Good> {
        self.good.as_ref().filter(|good| good.apis.contains(api))
    }

    /// A load ended well.
    pub(super) fn succeeded(&mut self, version: Version) {
        self.tried = Some(version);
        self.retry = None;
        self.set(Progress::Loaded);
    }

    /// A load failed; whether that is news.
    pub(super) fn failed(&mut self, version: Version, problem: Problem, again: Again) -> bool {
        let times = self.retry.filter(|_| self.tried.as_ref() == Some(&version)).map_or(0, |(_, times)| times + 1);
        self.tried = Some(version);
        let pauses = match again {
            Again::Never => None,
            Again::Soon => Some(SOON),
            Again::Seldom => Some(SELDOM),
        };
        self.retry = pauses.map(|(shortest, longest)| {
            let pause = shortest.saturating_mul(1 << times.min(10)).min(longest);
            (Instant::now() + pause, times)
        });
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

    /// What it claims.
    pub(super) fn claim(&self) -> Claim {
        let created = self.object.meta.creation_timestamp.as_ref().map(|time| time.0.to_string());
        Claim {
            name: self.object.name().to_owned(),
            created: created.unwrap_or_default(),
            apis: self.claimed.apis.iter().cloned().collect(),
            roles: self.claimed.roles.clone(),
            exports: self.good.as_ref().map(|good| good.plugin.roles().to_vec()),
        }
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

    use resource_broker_sandbox::{Sandbox, SandboxConfig};
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
                assert!(known.failed(version.clone(), problem(), Again::Never), "it is news");
                assert!(!known.failed(version, problem(), Again::Never), "it is none any more");
                assert!(known.to_load().is_none(), "the same would come of it");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_the_plugins_fault_is_tried_again_ever_more_seldom() {
        let mut known = loaded();
        known.see(&plugin(1, None), &maps("2"));
        let soon = [2, 4, 8, 16, 32, 60, 60].map(|pause| (Again::Soon, pause));
        let seldom = [600, 600].map(|pause| (Again::Seldom, pause));
        for (again, pause) in soon.into_iter().chain(seldom) {
            let version = known.to_load().cloned().unwrap();
            known.failed(version, problem(), again);
            tokio::time::advance(Duration::from_millis(pause * 1000 - 1)).await;
            assert!(known.to_load().is_none(), "before {pause} s");
            tokio::time::advance(Duration::from_millis(1)).await;
            assert!(known.to_load().is_some(), "after {pause} s");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_changes_all_the_time_keeps_nobody_waiting_for_ever() {
        let named = |name: &str, version: u64| {
            let text = serde_json::to_string(&json!({
                "metadata": {"name": name, "uid": name, "resourceVersion": version.to_string()},
                "spec": {"component": [{"configMap": "m", "key": "k"}], "apis": [], "configuration": {"n": version}},
            }));
            Arc::<Object>::new(serde_json::from_str(&text.unwrap()).unwrap())
        };
        let mut all = ["a", "b", "c"].map(|name| Known::new(named(name, 1)));
        let mut order = Vec::new();
        for version in 1..=5 {
            for known in &mut all {
                let object = if known.object.name() == "a" { named("a", version) } else { known.object.clone() };
                known.see(&object, &maps("1"));
            }
            let Some(known) = Known::next(all.iter_mut()) else { continue };
            let (version, _) = known.begin().unwrap();
            known.succeeded(version);
            order.push(known.object.name().to_owned());
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert_eq!(order, ["a", "b", "c", "a", "a"]);
    }

    /// The Plugin, for these APIs and with this sha256.
    fn plugin_for(version: u64, resources: &[&str], sha256: Option<&str>) -> Arc<Object> {
        let apis: Vec<_> = resources.iter().map(|resource| json!({"group": "g", "resource": resource})).collect();
        let object = json!({
            "metadata": {"name": "p", "uid": "u", "resourceVersion": version.to_string()},
            "spec": {"component": [{"configMap": "m", "key": "k"}], "apis": apis, "sha256": sha256},
        });
        Arc::new(serde_json::from_str(&object.to_string()).unwrap())
    }

    #[tokio::test]
    async fn an_api_that_comes_with_another_component_waits_for_that_one() {
        let sandbox = Sandbox::new(SandboxConfig::default()).unwrap();
        let api = |resource: &str| ApiName { group: "g".into(), resource: resource.into() };
        let first = plugin_for(1, &["vms"], None);
        let mut known = Known::new(first.clone());
        known.see(&first, &maps("1"));
        let (version, apis) = known.begin().unwrap();
        // Meanwhile, another API together with another component.
        known.see(&plugin_for(2, &["vms", "disks"], Some("other")), &maps("1"));
        known.succeeded(version);
        known.good = Some(Good { plugin: sandbox.standard().clone(), identity: Identity::default(), serial: 1, apis });
        known.see(&plugin_for(2, &["vms", "disks"], Some("other")), &maps("1"));
        let serves = |known: &Known, resource: &str| known.good_for(&api(resource)).is_some();
        assert_eq!((serves(&known, "vms"), serves(&known, "disks")), (true, false));
        let version = known.to_load().cloned().unwrap();
        known.failed(version, problem(), Again::Never);
        assert_eq!((serves(&known, "vms"), serves(&known, "disks")), (true, false), "nor where it cannot be loaded");

        // The component as it was, and the other API with it.
        known.see(&plugin_for(3, &["vms", "disks"], None), &maps("1"));
        let (version, _) = known.begin().unwrap();
        known.succeeded(version);
        known.see(&plugin_for(3, &["vms", "disks"], None), &maps("1"));
        assert!(serves(&known, "disks"));
        known.see(&plugin_for(4, &["buckets"], None), &maps("1"));
        assert!(serves(&known, "buckets") && !serves(&known, "vms"), "APIs alone need no load");
    }

    #[tokio::test]
    async fn a_plugin_that_cannot_be_read_keeps_what_it_claims() {
        let object = json!({
            "metadata": {"name": "p", "uid": "u", "resourceVersion": "9"},
            "spec": {"component": "of another time", "apis": [{"group": "g", "resource": "vms"}]},
        });
        let object: Arc<Object> = Arc::new(serde_json::from_str(&object.to_string()).unwrap());
        let mut known = loaded();
        known.see(&object, &maps("1"));
        let Progress::Failed(problem) = &known.progress else { panic!("{:?}", known.progress) };
        assert_eq!(problem.reason, reason::INVALID_PLUGIN);
        assert_eq!(known.claim().apis.len(), 1);
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
