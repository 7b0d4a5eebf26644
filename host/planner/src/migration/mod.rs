//! A relocation with stages.

pub mod found;
pub mod migrate;
pub mod mirror;
pub mod pods;
pub mod progress;
pub mod reference;
pub(crate) mod rendered;
pub mod retention;
pub mod stage;
pub mod status_writer;
pub mod under_way;
