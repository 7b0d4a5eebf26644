//! `storage.generic.platform-mesh.io/v1alpha1`: places to keep data.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::generic_kind;
use crate::schema;

generic_kind! {
    "An object store's bucket.",
    #[kube(
        group = "storage.generic.platform-mesh.io",
        kind = "Object",
        plural = "objects",
        singular = "object",
        shortname = "gobj"
    )]
    pub struct ObjectSpec {
        /// Where it is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub region: Option<String>,
        /// Whether former versions of an object are kept.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub versioning: Option<bool>,
    }
}

generic_kind! {
    "A block volume.",
    #[kube(
        group = "storage.generic.platform-mesh.io",
        kind = "Block",
        plural = "blocks",
        singular = "block",
        shortname = "gblock"
    )]
    pub struct BlockSpec {
        /// Its size: a number of GiB, or a quantity such as `500Gi`.
        #[schemars(schema_with = "schema::amount")]
        pub size: IntOrString,
        /// How fast it is, in the provider's terms.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub storage_class: Option<String>,
    }
}

generic_kind! {
    "A shared file system.",
    #[kube(
        group = "storage.generic.platform-mesh.io",
        kind = "File",
        plural = "files",
        singular = "file",
        shortname = "gfile"
    )]
    pub struct FileSpec {
        /// Its size: a number of GiB, or a quantity such as `500Gi`.
        #[schemars(schema_with = "schema::amount")]
        pub size: IntOrString,
        /// How it is shared: `nfs`, `smb`, ….
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub protocol: Option<String>,
    }
}
