//! A relocation with stages.

pub mod chronicle;
pub mod history;
pub mod migrate;
pub mod mirror;
pub mod pods;
pub mod progress;
pub mod reference;
pub mod stage;
pub mod under_way;
