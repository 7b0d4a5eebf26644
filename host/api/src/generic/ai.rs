//! `ai.generic.platform-mesh.io/v1alpha1`: models served for inference.

use super::generic_kind;

generic_kind! {
    "A model served for inference.",
    #[kube(
        group = "ai.generic.platform-mesh.io",
        kind = "HostedModel",
        plural = "hostedmodels",
        singular = "hostedmodel",
        shortname = "hmodel"
    )]
    pub struct HostedModelSpec {
        /// Which model, as its publisher calls it.
        #[serde(rename = "modelID")]
        #[schemars(length(min = 1))]
        pub model_id: String,
        /// What serves it: `vllm`, `triton`, `ollama`, ….
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub runtime: Option<String>,
    }
}
