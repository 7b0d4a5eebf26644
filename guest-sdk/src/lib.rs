//! What the author of a plugin writes against.
//!
//! A plugin is a WebAssembly component that decides for one API what the broker cannot know by itself. It takes one role
//! or more:
//!
//! - [`AcceptFilter`]: which provider's offer takes an object, and why the others do not;
//! - [`StatusTransformer`]: how the provider's status is shown to the consumer;
//! - [`MigrationTemplate`]: in which stages an object moves from one provider to another.
//!
//! Implement [`Plugin`] and the roles' traits for a type of your own, and name them to [`export!`]:
//!
//! ```
//! use resource_broker_sdk::{
//!     AcceptFilter, Document, Error, Field, Filter, Offer, Plugin, Verdict, Violation, filter, quantity::Quantity, standard,
//! };
//! use serde::Deserialize;
//!
//! /// Takes databases up to the size that an offer names: `{"key": "size", "with": {"most": "100Gi"}}`.
//! pub struct Sizes;
//!
//! #[derive(Deserialize)]
//! #[serde(deny_unknown_fields)]
//! struct Rules {
//!     most: Quantity,
//! }
//!
//! fn judge(filter: &Filter, size: &Field<'_>) -> Result<Vec<Violation>, Error> {
//!     let (Some(Rules { most }), Some(size)) = (filter.with()?, size.quantity()?) else { return Ok(Vec::new()) };
//!     if size <= most {
//!         return Ok(Vec::new());
//!     }
//!     let message = format!("a database of {size} is larger than this provider takes ({most})");
//!     Ok(vec![filter.violation("most", message).expected(format!("at most {most}")).found(size.to_string())])
//! }
//!
//! impl Plugin for Sizes {}
//!
//! impl AcceptFilter for Sizes {
//!     fn validate(filters: &[String]) -> Result<(), Error> {
//!         filter::validate(filters, |filter| filter.with::<Rules>().map(drop))
//!     }
//!
//!     fn judge_offer(object: &Document<'_>, offer: &Offer) -> Result<Verdict, Error> {
//!         standard::Judge::new(object).offer_with(offer, judge)
//!     }
//! }
//!
//! resource_broker_sdk::export!(Sizes: AcceptFilter);
//!
//! // Without WebAssembly, as a test would:
//! let object = Document::from(serde_json::json!({"spec": {"size": "500Gi"}}));
//! let offer = Offer {
//!     provider: "provider#nestor".to_owned(),
//!     name: "default/small".to_owned(),
//!     filters: [r#"{"key": "size", "with": {"most": "100Gi"}}"#.to_owned()].into(),
//! };
//! let Ok(Verdict::Refused(violations)) = Sizes::judge_offer(&object, &offer) else { unreachable!() };
//! assert_eq!(violations[0].message, "a database of 500Gi is larger than this provider takes (100Gi)");
//! ```
//!
//! # The roles
//!
//! **Accept filter.** [`Filter`] reads an offer's filters; [`filter::validate`] judges them when the offer is made, and
//! [`standard::Judge`] applies the rules that every API has (`valueIn`, `boundary`, `suffix`) next to your own. A filter that
//! makes no sense refuses its own offer and fails no other; all rules that an object breaks are told, not just the first.
//!
//! **Status transformer.** [`standard::transform_status`] does what the broker does by default; add to its answer, or
//! write your own.
//!
//! **Migration template.** Answer with [`Stage`]s and with the [`Manifest`]s that each one deploys. Where these are Jobs,
//! nothing else is needed: [`assess_jobs`] is the default of [`MigrationTemplate::assess`].
//!
//! # Reading objects
//!
//! [`Document::at`] gives a [`Field`], which reads what is there as one type or another and names its path where it is
//! something else. Kubernetes' own types have modules: [`quantity`], [`duration`], [`version`], [`cidr`], [`time`] and, for
//! numbers of any size, [`decimal`]. All of them compare exactly, and all can be fields of types that serde reads: of a
//! filter's `with`, of settings, of a migration's configuration.
//!
//! # Settings and log
//!
//! [`settings_as`] reads the settings that the operator gave to the plugin, and [`validate_settings_as`] judges them before
//! they are used: for [`Plugin::validate_settings`]. [`info!`] and its like write to the plugin's log.
//!
//! # Errors
//!
//! An [`Error`] says whose fault it is, and where. Readings fail with [`Error::InvalidInput`], so that `?` is enough;
//! [`Problems`] collects several. What serde_json fails with by itself becomes [`Error::Internal`]. People see these texts:
//! say what is wrong and how to mend it.
//!
//! # How a plugin runs
//!
//! Every call runs in a fresh instance with a bounded memory and a deadline, so the traits have functions and no `self`:
//! nothing lives on from one call to the next. There are no files, no network, no environment and no arguments; clocks
//! stand still and random numbers repeat. What a plugin prints goes to its log, as does [`log`]; a panic ends the call,
//! and its message goes to the log first.
//!
//! Unless the operator says otherwise a call has 64 MiB of memory; its answer, its log and its time are bounded as well.
//!
//! # Testing
//!
//! No generated binding is public: the types here are plain Rust, so that a plugin's logic is tested natively. The feature
//! `testing` adds the module `testing`, which runs case files in `cargo test`, the same that
//! `resource-broker plugin test` runs through the sandbox:
//!
//! ```toml
//! [dev-dependencies]
//! resource-broker-sdk = { version = "0.1", features = ["testing"] }
//! ```
//!
//! # Building
//!
//! A plugin is a `cdylib` for `wasm32-wasip2`. With `opt-level = "s"`, `lto = true`, `codegen-units = 1`,
//! `panic = "abort"` and `strip = true` in its release profile it is small enough for a `ConfigMap`.
//!
//! Where serde_json is built with its feature `arbitrary_precision`, numbers keep the digits that they were written with;
//! otherwise they are read as 64-bit integers and floating point, before this crate sees them.

#[cfg(target_family = "wasm")]
#[doc(hidden)]
pub mod bindings;
pub mod cidr;
pub mod decimal;
mod document;
pub mod duration;
mod error;
mod export;
mod field;
pub mod filter;
mod host;
mod migration;
pub mod quantity;
mod read;
mod roles;
pub mod standard;
#[cfg(all(feature = "testing", not(target_family = "wasm")))]
pub mod testing;
pub mod time;
mod value;
pub mod version;

#[doc(hidden)]
pub use export::__private;

pub use document::{Document, escape_key};
pub use error::{Error, FieldError, Problems};
pub use field::{Field, Required};
pub use filter::Filter;
pub use host::{Level, log, parse_settings, settings, settings_as, validate_settings_as};
pub use migration::{Deployed, Manifest, MigrationContext, MigrationTemplate, assess_jobs, unknown_stage};
pub use resource_broker_plugin_types::{
    CopyContext, Endpoint, HIGHEST_SCORE, Mirrored, MissingRelated, NamePair, Offer, Stage, StageOutcome, Verdict,
    Violation,
};
pub use roles::{AcceptFilter, Plugin, StatusTransformer};
pub use value::ParseError;
