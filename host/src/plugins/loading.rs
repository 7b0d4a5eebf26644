//! One load: the config maps are read, the component is assembled, and the sandbox takes it.

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::api::core::v1::ConfigMap;
use resource_broker_api::{
    broker::{ComponentPart, PluginLimits, PluginSpec},
    conditions::reason,
};
use resource_broker_sandbox::{CallError, LimitsRequest, LoadError, Plugin, Sandbox, Source};
use serde_json::{Map, Value};
use tokio::task::JoinError;

use super::{
    component::{self, Component, ComponentError},
    spec,
    status::Problem,
};
use crate::{cache::own, transport::Cluster};

/// What a load depends on. As long as this is the same there is nothing to do.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Version {
    parts: Vec<ComponentPart>,
    sha256: Option<String>,
    configuration: Option<Map<String, Value>>,
    limits: Option<PluginLimits>,
    /// The config maps' resourceVersions; `None` where one is not there.
    maps: BTreeMap<String, Option<String>>,
}

impl Version {
    /// Whether `spec` is what this was made of, whatever became of the config maps.
    pub(super) fn is_of(&self, spec: &PluginSpec) -> bool {
        let Self { parts, sha256, configuration, limits, maps: _ } = self;
        *parts == spec.component
            && *sha256 == spec.sha256
            && *configuration == spec.configuration
            && *limits == spec.limits
    }

    /// What `spec` depends on, where config maps have these `versions`.
    pub(super) fn of(spec: &PluginSpec, versions: &BTreeMap<String, String>) -> Self {
        let names = spec.component.iter().map(|part| &part.config_map);
        Self {
            parts: spec.component.clone(),
            sha256: spec.sha256.clone(),
            configuration: spec.configuration.clone(),
            limits: spec.limits.clone(),
            maps: names.map(|name| (name.clone(), versions.get(name).cloned())).collect(),
        }
    }
}

/// What makes a loaded plugin what it is. The same bytes in another config map, say, are the same plugin.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Identity {
    digest: String,
    settings: Option<String>,
    limits: LimitsRequest,
}

/// What came of a load.
pub(super) enum Outcome {
    /// It is the same as what is loaded already.
    Same,
    /// It can serve.
    Loaded(Plugin, Identity),
    /// It cannot.
    Failed {
        /// What is wrong.
        problem: Problem,
        /// Whether to try again although nothing changes.
        again: Again,
    },
}

/// Whether a load that failed is tried again although nothing changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Again {
    /// The same would come of it.
    Never,
    /// It was not the plugin's fault.
    Soon,
    /// Time ran out: the plugin may be slow, or the machine was busy.
    Seldom,
}

impl Outcome {
    /// Of a load that ended in a way that it should not.
    pub(super) fn panicked(error: &JoinError) -> Self {
        let message = format!("loading it did not end well, which is a bug of the broker's: {error}");
        Self::Failed { problem: Problem { reason: reason::LOAD_FAILED, message }, again: Again::Soon }
    }
}

/// What loads need.
#[derive(Clone)]
pub(super) struct Loader {
    /// Where the config maps are.
    pub(super) cluster: Arc<Cluster>,
    /// The broker's namespace there.
    pub(super) namespace: String,
    /// Takes the components.
    pub(super) sandbox: Sandbox,
    /// The largest component, in bytes.
    pub(super) limit: usize,
}

/// Why a load failed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Component(#[from] ComponentError),
    #[error("{0}")]
    Limits(String),
    #[error("ConfigMap {name} cannot be read: {why}")]
    Unreadable { name: String, why: String },
    #[error("unpacking the component did not end well; this is a bug")]
    Unpacking,
    #[error(transparent)]
    Load(#[from] LoadError),
}

impl Loader {
    /// Loads the component of the Plugin `name`, unless it is what is loaded `already`.
    pub(super) async fn load(&self, name: &str, version: &Version, already: Option<&Identity>) -> Outcome {
        match self.try_load(name, version, already).await {
            Ok(None) => Outcome::Same,
            Ok(Some((plugin, identity))) => Outcome::Loaded(plugin, identity),
            Err(failure) => {
                let again = failure.again();
                let problem = Problem { reason: failure.reason(), message: failure.to_string() };
                Outcome::Failed { problem, again }
            }
        }
    }

    async fn try_load(
        &self,
        name: &str,
        version: &Version,
        already: Option<&Identity>,
    ) -> Result<Option<(Plugin, Identity)>, Failure> {
        let limits = spec::limits(version.limits.as_ref()).map_err(Failure::Limits)?;
        let settings = version.configuration.clone().map(|settings| Value::Object(settings).to_string());
        let component = self.component(version).await?;
        let identity = Identity { digest: component.digest, settings: settings.clone(), limits };
        if already == Some(&identity) {
            return Ok(None);
        }
        let source = Source { name: name.to_owned(), component: component.bytes, settings, limits };
        Ok(Some((self.sandbox.load(source).await?, identity)))
    }

    async fn component(&self, version: &Version) -> Result<Component, Failure> {
        let mut maps = BTreeMap::new();
        // Also those that the watch has not shown yet: a Plugin and its config map are mostly made in one go.
        for name in version.maps.keys() {
            if let Some(map) = self.config_map(name).await? {
                maps.insert(name.clone(), map);
            }
        }
        let (parts, sha256, limit) = (version.parts.clone(), version.sha256.clone(), self.limit);
        let work = move || component::assemble(&parts, &maps, sha256.as_deref(), limit);
        Ok(tokio::task::spawn_blocking(work).await.map_err(|_| Failure::Unpacking)??)
    }

    /// A config map; `None` where it is not there.
    async fn config_map(&self, name: &str) -> Result<Option<ConfigMap>, Failure> {
        let unreadable = |why: &dyn ToString| Failure::Unreadable { name: name.to_owned(), why: why.to_string() };
        let request = own::config_maps().get(Some(&self.namespace), name).map_err(|error| unreadable(&error))?;
        match self.cluster.request(request).await {
            Ok(reply) => serde_json::from_slice(&reply.body).map(Some).map_err(|error| unreadable(&error)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(unreadable(&error)),
        }
    }
}

impl Failure {
    fn again(&self) -> Again {
        match self {
            Self::Unreadable { .. } | Self::Load(LoadError::Host { .. }) => Again::Soon,
            Self::Load(LoadError::CompileTime { .. } | LoadError::Call(CallError::Deadline { .. })) => Again::Seldom,
            _ => Again::Never,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Component(error) => error.reason(),
            Self::Limits(_) => reason::INVALID_LIMITS,
            Self::Unreadable { .. } => reason::CONFIG_MAP_UNREADABLE,
            Self::Unpacking => reason::LOAD_FAILED,
            Self::Load(error) => match error {
                LoadError::TooLarge { .. } => reason::TOO_LARGE,
                LoadError::CoreModule | LoadError::NotAComponent | LoadError::Invalid { .. } => reason::NOT_A_COMPONENT,
                LoadError::CompileTime { .. } => reason::COMPILE_TIME,
                LoadError::Limits { .. } => reason::INVALID_LIMITS,
                LoadError::UnknownImport { .. } => reason::UNKNOWN_IMPORT,
                LoadError::Imports { .. }
                | LoadError::Version { .. }
                | LoadError::MissingInterface { .. }
                | LoadError::NoRole
                | LoadError::Exports { .. } => reason::WRONG_INTERFACE,
                LoadError::Settings { .. }
                | LoadError::Call(CallError::Refused { .. } | CallError::Settings { .. }) => {
                    reason::INVALID_CONFIGURATION
                }
                LoadError::Call(_) => reason::FAILED_TO_START,
                LoadError::Host { .. } => reason::LOAD_FAILED,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use resource_broker_sandbox::SandboxConfig;
    use serde_json::json;

    use super::*;
    use crate::{metrics::Metrics, testing};

    #[tokio::test]
    async fn a_config_map_that_the_watch_has_not_shown_yet_is_read_all_the_same() {
        let map = json!({"metadata": {"name": "m"}, "binaryData": {"k": "AAAA"}}).to_string();
        let cluster = testing::cluster("coordination#c", Metrics::new(), move |request| {
            let found = request.uri().path().ends_with("/configmaps/m");
            let map = map.clone();
            async move { if found { testing::answer(200, map) } else { testing::answer(404, "{}") } }
        });
        let sandbox = Sandbox::new(SandboxConfig::default()).unwrap();
        let loader = Loader { cluster, namespace: "broker".into(), sandbox, limit: 1 << 20 };
        for (config_map, reason) in [("m", reason::NOT_A_COMPONENT), ("other", reason::CONFIG_MAP_MISSING)] {
            let spec = json!({"component": [{"configMap": config_map, "key": "k"}], "apis": []});
            let version = Version::of(&serde_json::from_value(spec).unwrap(), &BTreeMap::new());
            let Outcome::Failed { problem, again } = loader.load("p", &version, None).await else { panic!("garbage") };
            assert_eq!((problem.reason, again), (reason, Again::Never), "{}", problem.message);
        }
    }
}
