//! Real control planes and broker processes for the tests and the demo.
//!
//! ```text
//! Planes ── one etcd
//!   ├── Cluster "coordination" ── kube-apiserver, own authority, own audit log
//!   ├── Cluster "consumer-a"   ── …
//!   └── …                         each started when it is first asked for
//! Broker ── one `resource-broker` process between some of them
//! Proxy  ── stands between a broker and a cluster where requests are to go wrong
//! ```
//!
//! All tests of one test program share [`Planes::shared`], and so its API servers. What keeps them apart:
//! a custom resource with a group of its own ([`TestKind`]), a namespace of its own for the broker's records, and
//! a user of its own where requests are counted ([`Cluster::kubeconfig_as`]). A test that stops or pauses a
//! server asks for one under a name that no other test uses.
//!
//! All API servers keep their objects in one etcd: `metadata.resourceVersion` orders the writes of all clusters.
//!
//! There is no kube-controller-manager: namespaces stay `Terminating` once deleted, and owner references collect
//! nothing.
//!
//! No process outlives the program that started it, however that ended (see [`Guard`]); set `HARNESS_KEEP=1`
//! to keep the folder with all logs.

mod assets;
mod audit;
mod broker;
mod certs;
mod cluster;
mod guard;
mod guest;
mod net;
mod objects;
mod planes;
mod process;
mod proxy;
mod test_kind;
mod wait;

pub use audit::AuditEvent;
pub use broker::{Broker, BrokerBuilder, broker_binary};
pub use cluster::Cluster;
pub use guard::{Guard, Left, left_running};
pub use guest::guest;
pub use net::free_port;
pub use planes::Planes;
pub use process::Process;
pub use proxy::{Fault, Gate, Proxy, Write};
pub use test_kind::TestKind;
pub use wait::{Failed, Outcome, TestResult, eventually, poll};
