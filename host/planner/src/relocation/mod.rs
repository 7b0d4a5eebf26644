//! A provider that does not accept an object any more: it goes to another one.

pub mod relocate;
pub mod reroute;
