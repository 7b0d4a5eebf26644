//! `example.platform-mesh.io/v1alpha1`: kinds to try the broker with.

use super::generic_kind;

generic_kind! {
    "A certificate, to try the broker with.",
    #[kube(
        group = "example.platform-mesh.io",
        kind = "Certificate",
        plural = "certificates",
        singular = "certificate",
        shortname = "excert"
    )]
    pub struct CertificateSpec {
        /// The fully qualified domain name that it is for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub fqdn: Option<String>,
    }
}

generic_kind! {
    "A virtual machine, to try the broker with.",
    #[kube(
        group = "example.platform-mesh.io",
        kind = "VM",
        root = "Vm",
        plural = "vms",
        singular = "vm",
        shortname = "exvm"
    )]
    pub struct VmSpec {
        /// The processor architecture: `x86_64`, `arm64`, ….
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub arch: Option<String>,
        /// Memory, in MiB.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(range(min = 1))]
        pub memory: Option<i64>,
    }
}
