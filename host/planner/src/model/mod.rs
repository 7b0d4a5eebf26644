//! What a decision looks at, what is asked and answered, and whose an object is.

pub mod claimed;
pub mod copies;
pub mod declared;
pub mod failure;
pub mod filters;
pub mod identity;
pub mod key;
pub mod ownership;
pub mod placements;
pub mod question;
pub mod record;
pub mod referred;
pub mod snapshot;
pub mod view;
