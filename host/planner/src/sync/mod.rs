//! An object and its copy: what is written at the provider, and what comes back.

pub mod claims;
pub mod copy;
pub mod end;
pub mod fingerprints;
pub mod generation;
pub mod leftovers;
pub mod marks;
pub mod owned;
pub mod refusals;
pub mod related;
pub mod service;
pub mod status;
