//! Stand-ins for API servers, for the tests of this crate.

use std::time::Duration;

use resource_broker_api::{
    names::{ClusterName, Gvk, Role},
    object::Object,
};
use serde_json::{Value, json};

pub(crate) use resource_broker_kube_io::testing::{answer, cluster, kubeconfig};

use crate::{
    cache::{Compute, Scope, StoreId, What},
    planner::model::snapshot::{Key, Limits},
};

/// A scope of these kinds, with what the flags' defaults say of the rest.
pub(crate) fn scope(kinds: Vec<Gvk>, related: Vec<Gvk>) -> Scope {
    Scope {
        kinds,
        related,
        namespace: "broker".into(),
        compute: Compute { cluster: ClusterName::new(Role::Compute, "compute"), namespace: "compute".into() },
        limits: Limits { settle: Duration::from_secs(10), moves_per_provider: 10 },
        most_of_a_kind: 512 << 20,
    }
}

/// An object as JSON writes it.
pub(crate) fn object(json: &Value) -> Object {
    serde_json::from_str(&json.to_string()).unwrap_or_else(|error| panic!("{json} is no object: {error}"))
}

/// The Thing of this name of consumer `c`.
pub(crate) fn key(name: &str) -> Key {
    Key {
        consumer: ClusterName::new(Role::Consumer, "c"),
        gvk: Gvk::new("g.io", "v1", "Thing"),
        namespace: Some("n".into()),
        name: name.into(),
    }
}

/// Where the Assignments are.
pub(crate) fn records() -> StoreId {
    StoreId { cluster: ClusterName::new(Role::Coordination, "coord"), what: What::Records }
}

/// The Assignment of an object that provider `from` has and that is on its way to `next`.
pub(crate) fn assignment(key: &Key, version: u64, from: &str, next: Option<&str>) -> Object {
    let at = |provider: &str| {
        json!({
            "cluster": format!("provider#{provider}"), "name": key.copy_name(), "namespace": key.namespace,
            "acceptAPI": {"namespace": "n", "name": "o"},
        })
    };
    object(&json!({
        "metadata": {"name": key.record_name(), "uid": key.name, "resourceVersion": version.to_string()},
        "spec": {
            "consumer": {
                "cluster": key.consumer.to_string(), "group": key.gvk.group, "version": key.gvk.version,
                "kind": key.gvk.kind, "namespace": key.namespace, "name": key.name, "uid": key.name,
            },
            "provider": at(from), "next": next.map(at),
        },
    }))
}
