//! An object goes, and what is left of one that nobody records any more.

pub mod delete;
pub mod disappearance;
pub mod orphans;
pub mod recreated;
