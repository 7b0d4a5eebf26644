//! `networking.generic.platform-mesh.io/v1alpha1`: private networks, and connections between them.

use super::generic_kind;

generic_kind! {
    "A private network.",
    #[kube(
        group = "networking.generic.platform-mesh.io",
        kind = "VirtualNetwork",
        plural = "virtualnetworks",
        singular = "virtualnetwork",
        shortname = "vnet"
    )]
    pub struct VirtualNetworkSpec {
        /// Its addresses: `10.20.0.0/16`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub cidr: Option<String>,
        /// Where it is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub region: Option<String>,
    }
}

generic_kind! {
    "A connection between two private networks.",
    #[kube(
        group = "networking.generic.platform-mesh.io",
        kind = "Peering",
        plural = "peerings",
        singular = "peering",
        shortname = "vpeer"
    )]
    pub struct PeeringSpec {
        /// The network on this side.
        #[schemars(length(min = 1))]
        pub local_network_ref: String,
        /// The network on the other side.
        #[schemars(length(min = 1))]
        pub remote_network_ref: String,
        /// Whether traffic that was forwarded from elsewhere may pass.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub allow_forwarded_traffic: Option<bool>,
        /// Whether the other side may use this side's gateway.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub allow_gateway_transit: Option<bool>,
    }
}
