//! What the plugins of several domains have in common.
//!
//! - [`judging`]: from a broken rule to a violation that a person understands;
//! - [`values`]: each value of a field, and what is missing;
//! - [`bounds`]: least, greatest and multiple of a quantity, a size, a span of time;
//! - [`engines`]: names, families, versions and their ends of life;
//! - [`glob`]: patterns with stars;
//! - [`phases`]: `status.status` from what a provider's operator reports;
//! - [`steps`] and [`pods`]: the stages of a migration, the Jobs that they deploy and what an operator changes about them;
//! - [`configuration`]: what a `MigrationConfiguration` changes about them.
//!
//! The feature `testing` adds `scene`, in which stages' scripts are tried out natively, and `readme`, which holds a plugin's
//! README against the plugin.
//!
//! It holds no state and knows no domain; a domain's plugin says what it means.

pub mod bounds;
pub mod configuration;
pub mod engines;
pub mod glob;
pub mod judging;
pub mod phases;
pub mod pods;
#[cfg(feature = "testing")]
pub mod readme;
#[cfg(feature = "testing")]
pub mod scene;
pub mod steps;
pub mod values;
