//! Which provider takes an object, and whether the present one still does.

pub mod candidates;
pub mod core_kinds;
pub mod elsewhere;
pub mod hold;
pub mod references;
pub mod route;
