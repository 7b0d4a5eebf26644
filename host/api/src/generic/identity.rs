//! `identity.generic.platform-mesh.io/v1alpha1`: proofs of who somebody is.

use super::generic_kind;

generic_kind! {
    "An X.509 certificate for one name.",
    #[kube(
        group = "identity.generic.platform-mesh.io",
        kind = "Certificate",
        plural = "certificates",
        singular = "certificate",
        shortname = "gcert"
    )]
    pub struct CertificateSpec {
        /// The fully qualified domain name that it is for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub fqdn: Option<String>,
    }
}
