//! Rules for versions of Kubernetes.

use resource_broker_plugin_kit::judging::Broken;
use resource_broker_sdk::version::{Range, Version};
use resource_broker_sdk::{Error, Filter, Problems};
use serde::Deserialize;

/// A patch number that no release has had, for asking whether a range has a minor version up to its end.
const LAST_PATCH: u64 = 9_999;

/// What an offer asks of a version. Everything that is given has to hold.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Rules {
    supported: Option<Range>,
    except: Option<Range>,
    skew: Option<Skew>,
    patch: Patch,
    required: bool,
}

/// How far a version may be from another, in minor versions.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Skew {
    /// The other, mostly the newest that is offered.
    of: Version,
    /// How many minor versions it may be older.
    max: u64,
    /// How many minor versions it may be newer.
    #[serde(default)]
    newer: u64,
}

/// Whether an object may choose its patch release.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Patch {
    #[default]
    Any,
    Required,
    Forbidden,
}

impl Rules {
    /// The filter's rules; `None` if it has none.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with them.
    pub fn read(filter: &Filter) -> Result<Option<Self>, Error> {
        let Some(rules) = filter.with::<Self>()? else { return Ok(None) };
        let mut problems = Problems::new();
        if let Some(skew) = rules.skew.as_ref().filter(|skew| skew.of.written() < 2) {
            let message = format!("{} has no minor version to count from: write it as 1.34", skew.of);
            problems.take(Err::<(), _>(filter.invalid("skew.of", message)));
        }
        if let (Some(supported), Some(skew)) = (&rules.supported, &rules.skew)
            && skew.of.written() > 1
            && !skew.window().any(|version| supported.meets(&version))
        {
            let message = "none of the versions within the skew is supported, so that nothing is accepted";
            problems.take(Err::<(), _>(filter.invalid("skew", message)));
        }
        problems.finish()?;
        Ok(Some(rules))
    }

    /// Whether an object without the field is refused.
    pub fn required(&self) -> bool {
        self.required
    }

    /// Every rule that a version breaks.
    pub fn broken(&self, text: &str) -> Vec<Broken> {
        let Ok(version) = text.parse::<Version>() else {
            let reason = "is no version of Kubernetes: write a minor version, with or without its patch release";
            return vec![Broken::new("syntax", "a version, such as 1.34 or 1.34.2", reason)];
        };
        if version.written() < 2 {
            let reason = "leaves the minor version open: write one, as 1.34";
            return vec![Broken::new("syntax", "a version, such as 1.34 or 1.34.2", reason)];
        }
        [self.unsupported(&version), self.excepted(&version), self.too_far(&version), self.wrong_patch(&version)]
            .into_iter()
            .flatten()
            .collect()
    }

    fn unsupported(&self, version: &Version) -> Option<Broken> {
        let range = self.supported.as_ref().filter(|range| !range.meets(version))?;
        let reason = format!("is none of the versions that are offered here: choose one within {range}");
        Some(Broken::new("supported", format!("a version within {range}"), reason))
    }

    /// A minor version alone leaves the patch release to the provider, so that it is excepted only as a whole.
    fn excepted(&self, version: &Version) -> Option<Broken> {
        let range = self.except.as_ref().filter(|range| range.contains(version))?;
        if version.written() == 2 {
            let last: Version = format!("{}.{}.{LAST_PATCH}", version.major(), version.minor()).parse().ok()?;
            if !range.contains(&last) {
                return None;
            }
        }
        let reason = format!("is ruled out here, as is all of {range}: choose another version");
        Some(Broken::new("except", format!("a version outside of {range}"), reason))
    }

    fn too_far(&self, version: &Version) -> Option<Broken> {
        let Skew { of, max, newer } = self.skew.as_ref()?;
        let expected = || match newer {
            0 => format!("at most {} older than {of}", minors(*max)),
            newer => format!("from {} older to {newer} newer than {of}", minors(*max)),
        };
        let (major, minor) = (of.major(), of.minor());
        if version.major() != major {
            let reason = format!("is of another major version than {of}: choose one of {major}");
            return Some(Broken::new("skew", expected(), reason));
        }
        let (older, ahead) = (minor.saturating_sub(version.minor()), version.minor().saturating_sub(minor));
        if older > *max {
            let oldest = minor.saturating_sub(*max);
            let reason =
                format!("is {} older than {of}, which is too far: choose {major}.{oldest} or newer", minors(older));
            return Some(Broken::new("skew", expected(), reason));
        }
        if ahead > *newer {
            let newest = minor.saturating_add(*newer);
            let reason = format!(
                "is {} newer than {of}, which is not there yet: choose {major}.{newest} or older",
                minors(ahead)
            );
            return Some(Broken::new("skew", expected(), reason));
        }
        None
    }

    fn wrong_patch(&self, version: &Version) -> Option<Broken> {
        let minor = format!("{}.{}", version.major(), version.minor());
        match (self.patch, version.written()) {
            (Patch::Required, ..3) => {
                let reason =
                    format!("leaves the patch release open, which is yours to choose here: write {minor}.0 or another");
                Some(Broken::new("patch", "a version with its patch release", reason))
            }
            (Patch::Forbidden, 3..) => {
                let reason =
                    format!("names a patch release, which the provider chooses and renews here: write {minor}");
                Some(Broken::new("patch", "a version without its patch release", reason))
            }
            (Patch::Any, _) | (Patch::Required, 3..) | (Patch::Forbidden, ..3) => None,
        }
    }
}

fn minors(count: u64) -> String {
    if count == 1 { "one minor version".to_owned() } else { format!("{count} minor versions") }
}

impl Skew {
    /// The minor versions that it allows; no more than anybody looks through.
    fn window(&self) -> impl Iterator<Item = Version> {
        let major = self.of.major();
        let oldest = self.of.minor().saturating_sub(self.max);
        let newest = self.of.minor().saturating_add(self.newer);
        (oldest..=newest).take(1_000).filter_map(move |minor| format!("{major}.{minor}").parse().ok())
    }
}
