//! Objects that move from one provider to another: nothing of them is lost, doubled, mixed up or missing meanwhile.
//!
//! - [`world`]: a consumer, two or more providers with their operators, and compute.
//! - [`witness`]: sees every change of every object, in the order in which they were made over all clusters.
//! - [`law`]: what must hold at each of those changes.
//!
//! The other files are the tests.

pub(crate) mod law;
pub(crate) mod witness;
pub(crate) mod world;

mod breaches;
mod churn;
mod crash;
mod crossing;
mod detached;
mod ending;
mod lost;
mod outage;
mod pace;
mod policies;
mod staying;
mod stopped;
mod versions;
