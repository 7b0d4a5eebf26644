//! A call of a plugin that gave no answer: what people read of it, and when it makes sense to call again.

use std::time::Duration;

use crate::model::question::PluginFailure;

/// The longest delay before a plugin is called again that did not answer in time. Its failures come from a busy machine or from
/// one object, and neither is over soon.
pub const LONGEST_DELAY: Duration = Duration::from_mins(5);

/// A call without an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallFailure {
    /// What people read.
    pub failure: PluginFailure,
    /// The same without what is only so for a while.
    pub cause: String,
    /// When to call again; `None`: the same question gets the same answer.
    pub again: Option<Duration>,
    /// The plugin was not called at all.
    pub unasked: bool,
    /// It did not answer in time.
    pub late: bool,
}

impl CallFailure {
    /// A plugin answered, with this message, that there is no answer. It answers the same to the same question.
    pub fn answered(message: String) -> Self {
        let failure = PluginFailure { message: message.clone() };
        Self { failure, cause: message, again: None, unasked: false, late: false }
    }

    /// The same with what the plugin was asked about.
    #[must_use]
    pub fn about(mut self, what: &str) -> Self {
        for text in [&mut self.failure.message, &mut self.cause] {
            *text = format!("{what}: {text}");
        }
        self
    }
}

/// A failure as it was reported last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reported {
    message: String,
    /// How often in a row there was no answer in time.
    late: u32,
}

/// What is reported of an answer that is there or not, and when to call again. The last message stays while the same goes on, so
/// that nothing is written anew for a number, nor for somebody else's failure that suspended the plugin.
pub fn report<T>(
    answer: Result<T, CallFailure>,
    last: &mut Option<Reported>,
) -> (Result<T, PluginFailure>, Option<Duration>) {
    let CallFailure { failure, again, unasked, late: is_late, cause: _ } = match answer {
        Ok(answer) => {
            *last = None;
            return (Ok(answer), None);
        }
        Err(failure) => failure,
    };
    let is_suspended = unasked && again.is_some();
    let before = last.take();
    let late = match &before {
        before if is_late => before.as_ref().map_or(0, |before| before.late).saturating_add(1),
        Some(before) if is_suspended => before.late,
        _ => 0,
    };
    let message = match before {
        Some(before) if is_suspended || is_same(&before.message, &failure.message) => before.message,
        _ => failure.message,
    };
    let doubled = 1 << late.saturating_sub(1).min(10);
    let again = again.map(|again| if is_late { again.saturating_mul(doubled).min(LONGEST_DELAY) } else { again });
    *last = Some(Reported { message: message.clone(), late });
    (Err(PluginFailure { message }), again)
}

/// Whether two messages differ in their numbers alone: a port, a request's id, an address.
pub fn is_same(one: &str, other: &str) -> bool {
    constant_part(one) == constant_part(other)
}

/// A message without what may differ although it is about the same.
pub fn constant_part(text: &str) -> String {
    text.chars().filter(|c| !c.is_ascii_hexdigit()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(message: &str, again: Option<u64>) -> CallFailure {
        CallFailure { again: again.map(Duration::from_secs), ..CallFailure::answered(message.into()) }
    }

    fn late() -> CallFailure {
        CallFailure { late: true, ..failure("it did not answer within 1000 ms", Some(5)) }
    }

    fn suspended() -> CallFailure {
        CallFailure { unasked: true, ..failure("boom; it is suspended", Some(1)) }
    }

    fn reported(failure: CallFailure, last: &mut Option<Reported>) -> (String, Option<u64>) {
        let (answer, again) = report(Err::<(), _>(failure), last);
        (answer.unwrap_err().message, again.map(|again| again.as_secs()))
    }

    #[test]
    fn a_message_stays_while_the_same_goes_on() {
        let mut last = None;
        let first = reported(failure("object 17 is odd", None), &mut last).0;
        assert_eq!(reported(failure("object 18 is odd", None), &mut last).0, first, "another number is nothing new");
        assert_eq!(reported(suspended(), &mut last).0, first, "nor is somebody else's failure");
        assert_ne!(reported(failure("out of patience", None), &mut last).0, first);
        assert_eq!(report(Ok(()), &mut last), (Ok(()), None));
        assert_eq!(last, None, "a success ends it");
    }

    #[test]
    fn a_plugin_that_does_not_answer_in_time_is_called_again_soon_and_then_ever_later() {
        let mut last = None;
        for delay in [5, 10, 20, 40, 80, 160, 300, 300] {
            assert_eq!(reported(late(), &mut last).1, Some(delay));
            // That it was spared in between changes nothing.
            reported(suspended(), &mut last);
        }
        assert_eq!(report(Ok(()), &mut last).0, Ok(()));
        assert_eq!(reported(late(), &mut last).1, Some(5), "an answer ends it");
    }

    #[test]
    fn what_is_asked_about_stands_before_the_message_and_stays_there() {
        let mut last = None;
        let (message, _) = reported(late().about("stage \"copy\", conditions"), &mut last);
        assert_eq!(message, "stage \"copy\", conditions: it did not answer within 1000 ms");
        assert_eq!(reported(suspended(), &mut last).0, message, "it stands while the plugin is not called");
    }
}
