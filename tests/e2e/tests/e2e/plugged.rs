//! Plugins for tests: a component whose behaviour is chosen by its settings, and what is said of it.

use std::sync::Arc;

use anyhow::Result;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Event};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use resource_broker_api::Plugin;
use resource_broker_harness::guest;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::pair::{Pair, event_about, gone, until};

/// The config map that holds the probe, and its key.
const MAP: &str = "probe";
const KEY: &str = "component.wasm";

/// The component of `tests/guests/probe`.
pub(crate) async fn probe() -> Result<Arc<Vec<u8>>> {
    static PROBE: OnceCell<Arc<Vec<u8>>> = OnceCell::const_new();
    let build = async || anyhow::Ok(Arc::new(tokio::task::spawn_blocking(|| guest("probe")).await??));
    PROBE.get_or_try_init(build).await.cloned()
}

/// The same component with other bytes: one more custom section, which nobody looks at.
pub(crate) fn variant(component: &[u8], mark: u8) -> Vec<u8> {
    let mut bytes = component.to_vec();
    bytes.extend([0, 3, 1, b'x', mark]);
    bytes
}

/// The Plugins of a test, in the broker's namespace.
pub(crate) struct Plugins<'a> {
    pair: &'a Pair,
    pub(crate) api: Api<Plugin>,
    pub(crate) maps: Api<ConfigMap>,
}

impl<'a> Plugins<'a> {
    /// None yet; the probe is in its config map.
    pub(crate) async fn new(pair: &'a Pair) -> Result<Self> {
        let client = pair.coordination.client().await?;
        let (api, maps) = (Api::namespaced(client.clone(), pair.name), Api::namespaced(client, pair.name));
        let plugins = Self { pair, api, maps };
        plugins.store(MAP, KEY, &probe().await?).await?;
        Ok(plugins)
    }

    /// Puts bytes into a config map of their own.
    pub(crate) async fn store(&self, map: &str, key: &str, bytes: &[u8]) -> Result<()> {
        self.store_all(map, &json!({"binaryData": {key: ByteString(bytes.to_vec())}})).await
    }

    /// Makes a config map as it is given.
    pub(crate) async fn store_all(&self, map: &str, data: &Value) -> Result<()> {
        let mut object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": map}});
        for (field, value) in data.as_object().into_iter().flatten() {
            object[field] = value.clone();
        }
        self.maps.patch(map, &PatchParams::apply("test").force(), &Patch::Apply(&object)).await?;
        Ok(())
    }

    /// Where the probe is.
    pub(crate) fn probe_parts() -> Value {
        json!([{"configMap": MAP, "key": KEY}])
    }

    /// The test's own API.
    pub(crate) fn api_ref(&self) -> Value {
        json!({"group": self.pair.kind.group(), "resource": "widgets"})
    }

    /// Makes or replaces a Plugin for the test's API, which is the probe where `spec` does not say otherwise.
    pub(crate) async fn apply(&self, name: &str, spec: &Value) -> Result<Plugin> {
        let mut whole = json!({"component": Self::probe_parts(), "apis": [self.api_ref()]});
        for (field, value) in spec.as_object().into_iter().flatten() {
            whole[field] = value.clone();
        }
        let object = json!({
            "apiVersion": "broker.platform-mesh.io/v1alpha1", "kind": "Plugin", "metadata": {"name": name}, "spec": whole,
        });
        Ok(self.api.patch(name, &PatchParams::apply("test").force(), &Patch::Apply(&object)).await?)
    }

    /// Makes or changes a Plugin that behaves as `settings` say, and waits until it does.
    pub(crate) async fn behave(&self, name: &str, settings: &Value) -> Result<Plugin> {
        self.settle(name, &json!({"configuration": settings})).await
    }

    /// Makes or changes a Plugin, and waits until it is loaded as it is now.
    pub(crate) async fn settle(&self, name: &str, spec: &Value) -> Result<Plugin> {
        let applied = self.apply(name, spec).await?;
        let generation = applied.metadata.generation;
        Ok(until(&self.api, name, "the new settings to be loaded", |plugin| {
            is(plugin, "Loaded", "True")
                && condition(plugin, "Loaded").and_then(|it| it.observed_generation) == generation
        })
        .await)
    }

    /// Waits until a condition has this status and reason; its message.
    pub(crate) async fn says(&self, name: &str, type_: &str, status: &str, reason: &str) -> String {
        let what = format!("{type_} to be {status} for {reason}");
        let plugin = until(&self.api, name, &what, |plugin| {
            condition(plugin, type_).is_some_and(|it| it.status == status && it.reason == reason)
        })
        .await;
        condition(&plugin, type_).map(|it| it.message.clone()).unwrap_or_default()
    }

    /// Takes a Plugin away.
    pub(crate) async fn remove(&self, name: &str) -> Result<()> {
        self.api.delete(name, &DeleteParams::default()).await?;
        gone(&self.api, name).await;
        Ok(())
    }

    /// Waits for an Event about a Plugin; its message.
    pub(crate) async fn event(&self, name: &str, reason: &str) -> Result<String> {
        let events: Api<Event> = Api::namespaced(self.pair.coordination.client().await?, self.pair.name);
        Ok(event_about(&events, name, reason).await)
    }
}

/// One condition of a Plugin.
pub(crate) fn condition<'p>(plugin: &'p Plugin, type_: &str) -> Option<&'p Condition> {
    plugin.status.as_ref()?.conditions.iter().find(|condition| condition.type_ == type_)
}

/// Whether a condition has this status.
pub(crate) fn is(plugin: &Plugin, type_: &str, status: &str) -> bool {
    condition(plugin, type_).is_some_and(|condition| condition.status == status)
}
