//! `observedGeneration` as the consumer sees it. A provider's operator writes the generation of its copy, which counts from one
//! at each provider and not in step with the object; who waits for an object compares with the object's own.

use resource_broker_api::{conditions::READY, object::Object};
use serde_json::Value;

use crate::{
    model::snapshot::Snapshot,
    plan::digest,
    sync::{
        copy::{self, At},
        owned,
    },
};

const FIELD: &str = "observedGeneration";

/// What the numbers of a provider's status mean for the consumer's object.
#[derive(Clone, Debug)]
pub(crate) struct Observed<'a> {
    /// The object's generation.
    pub(crate) order: Option<i64>,
    /// The generation of the copy that shows the object's generation; `None`: the copy shows an older one.
    pub(crate) shown_by: Option<Copy>,
    /// What the consumer was shown last.
    pub(crate) before: Option<&'a Value>,
}

/// A copy that shows the object as it is now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Copy {
    /// Its generation; `None` for kinds that have none.
    pub(crate) generation: Option<i64>,
}

impl Observed<'_> {
    /// The object's generation that a provider has observed which says `seen` of its copy. Less than one says nothing, and
    /// stays. `shown` is what the consumer was shown in this place: where the provider has not observed the object as it is
    /// now, that goes on, or else the generation before.
    fn of(&self, seen: i64, shown: Option<i64>) -> i64 {
        let Some(order) = self.order.filter(|_| seen > 0) else { return seen };
        match self.shown_by {
            Some(copy) if copy.generation.is_none_or(|copy| seen >= copy) => order,
            _ => older(order, shown),
        }
    }

    /// The status with the numbers of the consumer's object.
    #[must_use]
    pub(crate) fn translate(&self, mut status: Value) -> Value {
        let shown = self.before.and_then(|before| before.get(FIELD)).and_then(Value::as_i64);
        if let Some(seen) = status.get(FIELD).and_then(Value::as_i64) {
            status[FIELD] = self.of(seen, shown).into();
        }
        for condition in status.get_mut("conditions").and_then(Value::as_array_mut).into_iter().flatten() {
            let Some(seen) = condition.get(FIELD).and_then(Value::as_i64) else { continue };
            let shown = condition["type"].as_str().and_then(|type_| self.shown_in(type_));
            condition[FIELD] = self.of(seen, shown).into();
        }
        status
    }

    /// Of which generation the broker's own `Ready` speaks that follows from the provider's `status`. A provider that does not
    /// say what it has observed is believed once the copy shows the object, or is about to (`applied`).
    pub(crate) fn ready(&self, status: Option<&Value>, applied: bool) -> Option<i64> {
        let order = self.order?;
        let shown = self.shown_in(READY);
        let seen = status.and_then(|status| status.get(FIELD)).and_then(Value::as_i64).filter(|seen| *seen > 0);
        Some(match seen {
            Some(seen) => self.of(seen, shown),
            None if applied || self.shown_by.is_some() => order,
            None => older(order, shown),
        })
    }

    /// Of which generation a `Ready` speaks that goes on as it is shown.
    pub(crate) fn ready_as_shown(&self) -> Option<i64> {
        self.order.map(|order| older(order, self.shown_in(READY)))
    }

    fn shown_in(&self, type_: &str) -> Option<i64> {
        let conditions = self.before?.get("conditions")?.as_array()?;
        conditions.iter().find(|condition| condition["type"] == type_)?.get(FIELD)?.as_i64()
    }
}

/// The last generation that was observed, as far as what is `shown` can be believed, or else the one before.
fn older(order: i64, shown: Option<i64>) -> i64 {
    shown.filter(|shown| (0..=order).contains(shown)).unwrap_or((order - 1).max(0))
}

/// Whether the copy at a provider shows the object as it is now, whoever decides whether it is brought in step.
pub(crate) fn shows(snapshot: &Snapshot, at: At<'_>, consumer: &Object, copy: &Object) -> bool {
    let Ok(body) = copy::body(snapshot, at, consumer) else { return false };
    let made_of_it = || {
        let applied = snapshot.memory.applied.get(&at.target.cluster);
        applied.is_some_and(|last| last.asked == digest::of(&body) && last.got == copy::content_digest(copy))
    };
    owned::in_step(&body, copy) || made_of_it()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// An object of generation `order`; a copy of generation `copy` that shows it, or does not.
    fn observed(order: i64, copy: Option<i64>, before: &Value) -> Observed<'_> {
        let shown_by = copy.map(|generation| Copy { generation: Some(generation) });
        Observed { order: Some(order), shown_by, before: Some(before) }
    }

    #[test]
    fn a_providers_number_becomes_the_objects() {
        // The object's generation, the copy's where it shows that, what the provider has seen, what is shown; what is to be shown.
        for (order, copy, seen, shown, expected, what) in [
            (1, Some(1), 1, None, 1, "a new one"),
            (7, Some(1), 1, None, 7, "after a move"),
            (7, Some(1), 1, Some(6), 7, "the same, shown before"),
            (3, Some(2), 2, Some(1), 3, "two quick edits are one of the copy"),
            (3, Some(2), 1, Some(1), 1, "the provider has not seen them yet"),
            (3, Some(2), 1, None, 2, "the same, and nothing was shown"),
            (2, Some(9), 9, Some(1), 2, "a provider that changes its copy's spec itself"),
            (2, Some(9), 8, Some(2), 2, "what was seen once stays seen"),
            (2, Some(9), 8, Some(9), 1, "the copy's number, as earlier releases showed it"),
            (2, Some(3), 4, Some(1), 2, "a number from the future"),
            (5, None, 4, Some(4), 4, "the copy does not show the object"),
            (5, None, 99, Some(3), 3, "the same, whatever the provider says"),
            (5, None, 4, None, 4, "the same, and nothing was shown"),
            (1, None, 1, None, 0, "no generation was observed"),
            (5, Some(1), 0, Some(3), 0, "nothing is said"),
            (5, None, -1, Some(3), -1, "nothing is said"),
        ] {
            let before = shown.map_or(json!({}), |shown| json!({FIELD: shown}));
            let status = observed(order, copy, &before).translate(json!({FIELD: seen, "status": "Available"}));
            assert_eq!(status, json!({FIELD: expected, "status": "Available"}), "{what}");
            // It is the same when it is looked at again.
            let again = observed(order, copy, &status).translate(json!({FIELD: seen, "status": "Available"}));
            assert_eq!(again, status, "{what}, the second time");
        }
    }

    #[test]
    fn each_condition_speaks_for_itself() {
        let before = json!({"conditions": [{"type": "A", FIELD: 3}, {"type": "B", FIELD: 4}]});
        let said = json!({"conditions": [
            {"type": "A", FIELD: 1}, {"type": "B", FIELD: 2}, {"type": "C", FIELD: 1}, {"type": "D"}, {FIELD: 1}, "odd",
        ]});
        let shown = observed(6, Some(2), &before).translate(said);
        let numbers: Vec<&Value> = shown["conditions"].as_array().unwrap().iter().map(|it| &it[FIELD]).collect();
        assert_eq!(numbers, [&json!(3), &json!(6), &json!(5), &Value::Null, &json!(5), &Value::Null]);
    }

    #[test]
    fn what_is_no_number_is_not_touched() {
        let nothing = json!({});
        for odd in [json!("2"), json!(null), json!(1.5), json!([1]), json!({"a": 1})] {
            let status = json!({FIELD: odd, "conditions": {"no": "list"}});
            assert_eq!(observed(6, Some(2), &nothing).translate(status.clone()), status);
        }
        let text = json!("no object at all");
        assert_eq!(observed(6, Some(2), &nothing).translate(text.clone()), text);
    }

    #[test]
    fn kinds_without_generations() {
        let before = json!({FIELD: 1});
        let said = || json!({FIELD: 4});
        let no_order = Observed { order: None, shown_by: Some(Copy { generation: Some(1) }), before: Some(&before) };
        assert_eq!(no_order.translate(said()), said(), "the object has none");
        assert_eq!(no_order.ready(Some(&said()), true), None);
        let no_copy = Observed { order: Some(6), shown_by: Some(Copy { generation: None }), before: Some(&before) };
        assert_eq!(no_copy.translate(said()), json!({FIELD: 6}), "the copy has none");
    }

    #[test]
    fn the_brokers_own_ready_speaks_of_what_the_provider_has_observed() {
        let before = json!({"conditions": [{"type": "Ready", FIELD: 2}]});
        let seen = |seen: i64| json!({FIELD: seen});
        for (copy, status, applied, expected, what) in [
            (Some(4), Some(seen(4)), false, 3, "the object as it is"),
            (Some(4), Some(seen(3)), false, 2, "an older one"),
            (None, Some(seen(3)), true, 2, "an older one, and the new one is on its way"),
            (Some(4), Some(json!({})), false, 3, "it does not say"),
            (None, Some(json!({})), true, 3, "it does not say, and the copy is being brought in step"),
            (None, Some(json!({})), false, 2, "it does not say, and the copy stays as it is"),
            (None, None, false, 2, "there is no status"),
        ] {
            assert_eq!(observed(3, copy, &before).ready(status.as_ref(), applied), Some(expected), "{what}");
        }
        assert_eq!(observed(3, Some(1), &before).ready_as_shown(), Some(2));
        assert_eq!(observed(3, Some(1), &json!({})).ready_as_shown(), Some(2));
    }
}
