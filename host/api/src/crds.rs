//! Every kind's `CustomResourceDefinition`, and where its file belongs.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

use crate::broker::{AcceptApi, Assignment, BrokerCluster, Migration, MigrationConfiguration, Plugin};
use crate::generic::{ai, compute, databases, example, identity, messaging, networking, storage};
use crate::operator::Broker;

/// A `CustomResourceDefinition` and its place below the folder of generated manifests.
#[derive(Clone, Debug)]
pub struct CrdFile {
    /// `GROUP/PLURAL.yaml`.
    pub path: String,
    /// What the file holds.
    pub crd: CustomResourceDefinition,
}

/// All kinds, ordered by path.
pub fn all_crds() -> Vec<CrdFile> {
    let mut files: Vec<CrdFile> = vec![
        AcceptApi::crd(),
        Assignment::crd(),
        BrokerCluster::crd(),
        Migration::crd(),
        MigrationConfiguration::crd(),
        Plugin::crd(),
        Broker::crd(),
        ai::HostedModel::crd(),
        compute::KubernetesCluster::crd(),
        compute::VirtualMachine::crd(),
        databases::KeyValue::crd(),
        databases::NoSql::crd(),
        databases::Sql::crd(),
        databases::Vector::crd(),
        identity::Certificate::crd(),
        messaging::EventStreaming::crd(),
        messaging::MessageBroker::crd(),
        messaging::PubSub::crd(),
        networking::Peering::crd(),
        networking::VirtualNetwork::crd(),
        storage::Block::crd(),
        storage::File::crd(),
        storage::Object::crd(),
        example::Certificate::crd(),
        example::Vm::crd(),
    ]
    .into_iter()
    .map(|crd| CrdFile { path: format!("{}/{}.yaml", crd.spec.group, crd.spec.names.plural), crd })
    .collect();
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}
