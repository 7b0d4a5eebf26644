//! What plugins are asked and what they answer: one vocabulary for the broker, its sandbox, case files and the SDK.
//!
//! ```text
//! planner ──── questions ────┐                          ┌──── WIT bindings of the component (SDK)
//!                            ├── these types ── sandbox ┤
//! case files ── questions ───┘                          └──── answers, checked and bounded
//! ```
//!
//! Kubernetes objects, settings, filters and configurations are JSON text here. This crate has no dependencies and knows
//! neither Kubernetes nor WebAssembly; `wit/` has the same shapes for components.

mod api;
mod migration;
mod offers;
mod status;

pub use api::{ApiName, Role};
pub use migration::{Deployed, Endpoint, Manifest, MigrationContext, Mirrored, MissingRelated, Stage, StageOutcome};
pub use offers::{HIGHEST_SCORE, Offer, Verdict, Violation};
pub use status::{CopyContext, NamePair};
