//! The story that `make demo` acts on real API servers, and what stands in for the operators of its providers.
//!
//! - [`scene`]: who plays: control planes, CRDs, issuers, the broker.
//! - [`story`]: the acts, each of which shows what it does and fails if the broker does not do its part.
//! - [`stage`]: what the audience sees: headings, commands, their output.
//! - [`shell`]: what a person's shell needs to go on by itself.
//! - [`issuer`]: issues X.509 certificates for the `Certificate` objects of one cluster.
//! - [`verify`]: reads an issued certificate and checks it against its authority.

pub mod issuer;
pub mod scene;
pub mod shell;
pub mod stage;
pub mod story;
pub mod verify;
