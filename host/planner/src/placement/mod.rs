//! Which provider takes an object, and whether the present one still does.

pub mod acceptance;
pub mod alternatives;
pub mod asking;
pub mod candidates;
pub mod core_kinds;
pub mod references;
pub mod route;
pub(crate) mod verdict;
