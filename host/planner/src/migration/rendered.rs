//! What a stage's component renders, as an object that can be deployed.

use resource_broker_plugin_types::Manifest;
use serde_json::Value;

/// A rendered manifest, read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Rendered {
    /// The template's name, a DNS label.
    pub(crate) name: String,
    /// The object: `apiVersion`, `kind`, and in `metadata` labels and annotations at most.
    pub(crate) body: Value,
}

impl Rendered {
    /// Reads a manifest; or else what is wrong with it.
    pub(crate) fn read(manifest: &Manifest) -> Result<Self, String> {
        let body = serde_json::from_str(&manifest.body)
            .map_err(|error| format!("the migration plugin's template {} is no JSON: {error}", manifest.name))?;
        Ok(Self { name: manifest.name.clone(), body })
    }
}
