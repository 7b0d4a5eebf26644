//! What the broker does for every API that no plugin of its own serves; a plugin builds upon it.
//!
//! ```
//! use resource_broker_sdk::{
//!     AcceptFilter, CopyContext, Document, Error, Field, Filter, Offer, Plugin, StatusTransformer, Verdict, Violation,
//!     filter, standard, version::Range,
//! };
//! use serde::Deserialize;
//!
//! struct Databases;
//!
//! #[derive(Deserialize)]
//! #[serde(deny_unknown_fields)]
//! struct Rules {
//!     semver: Range,
//! }
//!
//! fn judge_with(filter: &Filter, field: &Field<'_>) -> Result<Vec<Violation>, Error> {
//!     let Some(Rules { semver }) = filter.with()? else { return Ok(Vec::new()) };
//!     let Some(version) = field.version()? else { return Ok(Vec::new()) };
//!     if semver.meets(&version) {
//!         return Ok(Vec::new());
//!     }
//!     let message = format!("{} is {version}, which this provider does not have ({semver})", field.path());
//!     Ok(vec![filter.violation("semver", message).expected(semver.to_string()).found(version.to_string())])
//! }
//!
//! impl Plugin for Databases {}
//!
//! impl AcceptFilter for Databases {
//!     fn validate(filters: &[String]) -> Result<(), Error> {
//!         filter::validate(filters, |filter| filter.with::<Rules>().map(drop))
//!     }
//!
//!     fn judge_offer(object: &Document<'_>, offer: &Offer) -> Result<Verdict, Error> {
//!         standard::Judge::new(object).offer_with(offer, judge_with)
//!     }
//!
//!     fn judge(object: &Document<'_>, offers: &[Offer]) -> Result<Vec<Verdict>, Error> {
//!         let mut judge = standard::Judge::new(object);
//!         offers.iter().map(|offer| judge.offer_with(offer, judge_with)).collect()
//!     }
//! }
//!
//! impl StatusTransformer for Databases {
//!     fn transform(
//!         copy: &Document<'_>,
//!         _previous: Option<&Document<'_>>,
//!         context: &CopyContext,
//!     ) -> Result<Option<String>, Error> {
//!         standard::transform_status(copy, context)
//!     }
//! }
//! ```

mod judge;
mod status;

pub use judge::{Judge, violations};
pub use status::transform as transform_status_json;

use crate::CopyContext;
use crate::document::Document;
use crate::error::Error;
use crate::filter::{self, Filter};

/// Judges the filters of an offer to which the standard rules alone apply.
///
/// # Errors
///
/// [`Error::InvalidInput`] with everything that is wrong, `with` included.
pub fn validate(filters: &[String]) -> Result<(), Error> {
    filter::validate(filters, refuse_with)
}

/// The standard filter has no rules of its own.
fn refuse_with(filter: &Filter) -> Result<(), Error> {
    if filter.has_with() {
        return Err(
            filter.invalid("", "the standard filter has no rule \"with\"; it needs a plugin that serves this API")
        );
    }
    Ok(())
}

/// Makes the consumer's status from the provider's copy: related resources get the names and the namespace that they have
/// at the consumer. `None` if the copy has no status yet.
///
/// ```
/// # use resource_broker_sdk::{CopyContext, Document, NamePair, standard};
/// let copy = Document::from(serde_json::json!({
///     "status": {"relatedResources": {"login": {"name": "0123456789ab-login", "namespace": "elsewhere"}}},
/// }));
/// let context = CopyContext {
///     names: vec![NamePair { consumer: "login".to_owned(), copy: "0123456789ab-login".to_owned() }],
///     consumer_namespace: "shop".to_owned(),
///     provider: "provider#nestor".to_owned(),
/// };
/// let status = standard::transform_status(&copy, &context).unwrap();
/// assert_eq!(status.as_deref(), Some(r#"{"relatedResources":{"login":{"name":"login","namespace":"shop"}}}"#));
/// ```
///
/// # Errors
///
/// [`Error::InvalidInput`] if the status is no object.
pub fn transform_status(copy: &Document<'_>, context: &CopyContext) -> Result<Option<String>, Error> {
    match copy.get("status") {
        Some(status) if status != "null" => transform_status_json(&status, context).map(Some),
        _ => Ok(None),
    }
}
