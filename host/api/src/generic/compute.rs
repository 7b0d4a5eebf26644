//! `compute.generic.platform-mesh.io/v1alpha1`: machines, and clusters of them.

use super::generic_kind;

generic_kind! {
    "A Kubernetes cluster.",
    #[kube(
        group = "compute.generic.platform-mesh.io",
        kind = "KubernetesCluster",
        plural = "kubernetesclusters",
        singular = "kubernetescluster",
        shortname = "kcluster"
    )]
    pub struct KubernetesClusterSpec {
        /// The Kubernetes version: `1.34`, `1.34.2`.
        #[schemars(length(min = 1))]
        pub version: String,
        /// How many worker nodes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(range(min = 0))]
        pub node_count: Option<i64>,
    }
}

generic_kind! {
    "A virtual machine.",
    #[kube(
        group = "compute.generic.platform-mesh.io",
        kind = "VirtualMachine",
        plural = "virtualmachines",
        singular = "virtualmachine",
        shortname = "vmachine"
    )]
    pub struct VirtualMachineSpec {
        /// The processor architecture: `x86_64`, `arm64`, ….
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub arch: Option<String>,
        /// Memory, in MiB.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(range(min = 1))]
        pub memory: Option<i64>,
    }
}
