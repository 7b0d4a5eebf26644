//! What the author of a plugin writes against.
//!
//! A plugin is a WebAssembly component that decides for one API what the broker cannot know by itself. It takes one role
//! or more:
//!
//! - [`AcceptFilter`]: which provider's offer takes an object, and why the others do not;
//! - [`StatusTransformer`]: how the provider's status is shown to the consumer.
//!
//! Implement [`Plugin`] and the roles' traits for a type of your own, and name them to [`export!`]:
//!
//! ```
//! use resource_broker_sdk::{AcceptFilter, Document, Error, Offer, Plugin, Verdict, Violation};
//!
//! /// Takes databases up to the size that an offer names in its filter, as in `{"key": "size", "with": 100}`.
//! pub struct Sizes;
//!
//! impl Plugin for Sizes {}
//!
//! impl AcceptFilter for Sizes {
//!     fn judge_offer(object: &Document<'_>, offer: &Offer) -> Result<Verdict, Error> {
//!         let size: u64 = object.parse("spec.size")?.unwrap_or(0);
//!         let mut violations = Vec::new();
//!         for filter in &offer.filters {
//!             let filter: serde_json::Value = serde_json::from_str(filter)?;
//!             let limit = filter["with"].as_u64().unwrap_or(u64::MAX);
//!             if size > limit {
//!                 violations.push(Violation {
//!                     filter: "size".to_owned(),
//!                     rule: "with".to_owned(),
//!                     expected: format!("at most {limit}"),
//!                     found: Some(size.to_string()),
//!                     message: format!("a database of {size} is larger than this provider takes ({limit})"),
//!                 });
//!             }
//!         }
//!         Ok(Verdict::from(violations))
//!     }
//! }
//!
//! resource_broker_sdk::export!(Sizes: AcceptFilter);
//!
//! // Without WebAssembly, as a test would:
//! let object = Document::from(serde_json::json!({"spec": {"size": 500}}));
//! let offer = Offer {
//!     provider: "provider#nestor".to_owned(),
//!     name: "default/small".to_owned(),
//!     filters: vec![r#"{"key": "size", "with": 100}"#.to_owned()],
//! };
//! assert!(matches!(Sizes::judge_offer(&object, &offer), Ok(Verdict::Refused(v)) if v.len() == 1));
//! ```
//!
//! # How a plugin runs
//!
//! Every call runs in a fresh instance with a bounded memory and a deadline, so the traits have functions and no `self`:
//! nothing lives on from one call to the next. There are no files, no network, no environment and no arguments; clocks
//! stand still and random numbers repeat. What a plugin prints goes to its log, as does [`log`]; a panic ends the call,
//! and its message goes to the log first.
//!
//! # Building
//!
//! A plugin is a `cdylib` for `wasm32-wasip2`. With `opt-level = "s"`, `lto = true`, `codegen-units = 1`,
//! `panic = "abort"` and `strip = true` in its release profile it is small enough for a `ConfigMap`.
//!
//! # What this crate does not have
//!
//! No generated binding is public: the types here are plain Rust, so that a plugin's logic is tested natively.

#[cfg(target_family = "wasm")]
#[doc(hidden)]
pub mod bindings;
mod document;
mod error;
mod export;
mod host;
mod roles;

#[doc(hidden)]
pub use export::__private;

pub use document::{Document, escape_key};
pub use error::{Error, FieldError};
pub use host::{Level, log, settings};
pub use roles::{AcceptFilter, CopyContext, Offer, Plugin, StatusTransformer, Verdict, Violation};
