//! `databases.generic.platform-mesh.io/v1alpha1`: databases of several sorts.

use super::generic_kind;

generic_kind! {
    "A relational database.",
    #[kube(
        group = "databases.generic.platform-mesh.io",
        kind = "SQL",
        root = "Sql",
        plural = "sqls",
        singular = "sql",
        shortname = "gsql"
    )]
    pub struct SqlSpec {
        /// Which database engine: `postgres`, `mysql`, ….
        #[schemars(length(min = 1))]
        pub engine: String,
        /// The engine's version.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub version: Option<String>,
    }
}

generic_kind! {
    "A document or wide-column database.",
    #[kube(
        group = "databases.generic.platform-mesh.io",
        kind = "NoSQL",
        root = "NoSql",
        plural = "nosqls",
        singular = "nosql",
        shortname = "gnosql"
    )]
    pub struct NoSqlSpec {
        /// Which database engine: `mongodb`, `cassandra`, ….
        #[schemars(length(min = 1))]
        pub engine: String,
        /// The engine's version.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub version: Option<String>,
    }
}

generic_kind! {
    "A key-value store.",
    #[kube(
        group = "databases.generic.platform-mesh.io",
        kind = "KeyValue",
        plural = "keyvalues",
        singular = "keyvalue",
        shortname = "gkv"
    )]
    pub struct KeyValueSpec {
        /// Which store: `redis`, `valkey`, ….
        #[schemars(length(min = 1))]
        pub engine: String,
        /// The engine's version.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub version: Option<String>,
    }
}

generic_kind! {
    "A vector database.",
    #[kube(
        group = "databases.generic.platform-mesh.io",
        kind = "Vector",
        plural = "vectors",
        singular = "vector",
        shortname = "gvec"
    )]
    pub struct VectorSpec {
        /// Which database engine: `qdrant`, `milvus`, ….
        #[schemars(length(min = 1))]
        pub engine: String,
        /// The engine's version.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub version: Option<String>,
    }
}
