//! A plugin whose behaviour is chosen by its settings: one component for all that tests want to see of the broker around
//! it. Without settings it accepts everything and passes the status on as it is.

use std::collections::BTreeMap;

use resource_broker_sdk::{
    AcceptFilter, CopyContext, Document, Error, FieldError, Offer, Plugin, StatusTransformer, Verdict, Violation,
    settings,
};
use serde::Deserialize;
use serde_json::Value;

struct Probe;

/// How the probe behaves.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Settings {
    /// The only provider that is accepted.
    accept: Option<String>,
    /// The score of each provider that has one.
    scores: BTreeMap<String, u8>,
    /// Put into each status, as its field `probe`.
    mark: Option<String>,
    /// How calls about objects fail.
    fail: Option<Failure>,
    /// Only objects fail that have something at this path.
    fail_if: Option<String>,
    /// What is wrong with any filter.
    bad_filters: Option<String>,
    /// What is wrong with these settings.
    bad_settings: Option<String>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Failure {
    /// By a panic.
    Trap,
    /// By never answering.
    Loop,
    /// In so many words.
    Error,
}

impl Settings {
    /// Fails as it is told to, if it is.
    fn fail(&self, object: &Document<'_>) -> Result<(), Error> {
        let is_meant = self.fail_if.as_ref().is_none_or(|path| object.get(path).is_some());
        match self.fail.filter(|_| is_meant) {
            None => Ok(()),
            Some(Failure::Trap) => panic!("told to trap"),
            Some(Failure::Loop) => loop {
                std::hint::black_box(());
            },
            Some(Failure::Error) => Err(Error::Internal("told to fail".to_owned())),
        }
    }
}

impl Plugin for Probe {
    fn validate_settings(settings: &str) -> Result<(), Error> {
        let wrong = |words: String| Error::InvalidSettings(vec![FieldError::new("", words)]);
        let settings: Settings = serde_json::from_str(settings).map_err(|error| wrong(error.to_string()))?;
        settings.bad_settings.map_or(Ok(()), |words| Err(wrong(words)))
    }
}

impl AcceptFilter for Probe {
    fn validate(filters: &[String]) -> Result<(), Error> {
        match settings::<Settings>()?.bad_filters {
            Some(words) if !filters.is_empty() => Err(Error::invalid("0", words)),
            _ => Ok(()),
        }
    }

    fn judge_offer(object: &Document<'_>, offer: &Offer) -> Result<Verdict, Error> {
        let settings: Settings = settings()?;
        settings.fail(object)?;
        let Some(accepted) = settings.accept.filter(|accepted| *accepted != offer.provider) else {
            return Ok(Verdict::Accepted { score: settings.scores.get(&offer.provider).copied() });
        };
        Ok(Verdict::Refused(vec![Violation {
            filter: "provider".to_owned(),
            rule: "accept".to_owned(),
            expected: accepted.clone(),
            found: Some(offer.provider.clone()),
            message: format!("the probe takes {accepted} alone"),
        }]))
    }
}

impl StatusTransformer for Probe {
    fn transform(copy: &Document<'_>, _: Option<&Document<'_>>, _: &CopyContext) -> Result<Option<String>, Error> {
        let settings: Settings = settings()?;
        settings.fail(copy)?;
        let Some(status) = copy.get("status") else { return Ok(None) };
        let mut status: Value = serde_json::from_str(&status)?;
        if let (Some(mark), Some(fields)) = (settings.mark, status.as_object_mut()) {
            fields.insert("probe".to_owned(), mark.into());
        }
        Ok(Some(status.to_string()))
    }
}

resource_broker_sdk::export!(Probe: AcceptFilter, StatusTransformer);
