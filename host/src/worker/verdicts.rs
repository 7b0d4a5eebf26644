//! Verdicts of offers with long filters: reading such filters takes longer than everything else in a look, and the
//! standard component says the same to the same question. Bounded, and only of that component: what others look at is theirs
//! to know.

use std::collections::HashMap;

use parking_lot::{Mutex, MutexGuard};
use resource_broker_plugin_types::{ApiName, Verdict, Violation};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use crate::planner::model::snapshot::Offer;

/// Filters of fewer bytes are asked about every time.
pub(super) const WORTH_IT: usize = 4 << 10;
/// What is remembered takes no more than this, in bytes.
const MOST: usize = 16 << 20;
/// A verdict that takes more, in bytes, is not remembered.
const LONGEST: usize = 64 << 10;
/// What an entry takes beside its texts, and each violation in it.
const ENTRY: usize = 128;
const VIOLATION: usize = size_of::<Violation>();

/// One question: what is asked, and whom.
pub(super) type Question = [u8; 32];

/// See the module.
#[derive(Default)]
pub(super) struct Verdicts(Mutex<Generations>);

/// Two generations: when the younger one is full, it takes the place of the older one.
#[derive(Default)]
struct Generations {
    young: HashMap<Question, Verdict>,
    old: HashMap<Question, Verdict>,
    size: usize,
}

impl Verdicts {
    /// What was said.
    pub(super) fn get(&self, question: &Question) -> Option<Verdict> {
        let mut all = self.lock();
        if let Some(verdict) = all.young.get(question) {
            return Some(verdict.clone());
        }
        let verdict = all.old.remove(question)?;
        let size = size(&verdict);
        all.put(*question, verdict.clone(), size);
        Some(verdict)
    }

    /// This was said.
    pub(super) fn put(&self, question: Question, verdict: &Verdict) {
        let size = size(verdict);
        if size <= LONGEST {
            self.lock().put(question, verdict.clone(), size);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Generations> {
        self.0.lock()
    }
}

impl Generations {
    fn put(&mut self, question: Question, verdict: Verdict, size: usize) {
        if self.size + size > MOST / 2 {
            self.old = std::mem::take(&mut self.young);
            self.size = 0;
        }
        self.size += size;
        self.young.insert(question, verdict);
    }
}

/// What remembering a verdict takes, in bytes.
fn size(verdict: &Verdict) -> usize {
    let size = |violation: &Violation| {
        let Violation { filter, rule, expected, found, message } = violation;
        VIOLATION
            + [filter, rule, expected, message].map(String::len).iter().sum::<usize>()
            + found.as_ref().map_or(0, String::len)
    };
    ENTRY
        + match verdict {
            Verdict::Refused(violations) => violations.iter().map(size).sum(),
            Verdict::Accepted { .. } => 0,
        }
}

/// An object as a part of questions: its spec, which is all that the standard component looks at.
pub(super) struct Subject(Sha256);

impl Subject {
    /// Of an API's object, given as JSON. `None` where it cannot be read.
    pub(super) fn new(api: &ApiName, object: &str) -> Option<Self> {
        #[derive(serde::Deserialize)]
        struct Spec<'a> {
            #[serde(borrow)]
            spec: Option<&'a RawValue>,
        }
        let Spec { spec } = serde_json::from_str(object).ok()?;
        let mut hash = Sha256::new();
        for part in [api.group.as_str(), &api.resource, spec.map_or("", RawValue::get)] {
            add(&mut hash, part);
        }
        Some(Self(hash))
    }

    /// The question whether an offer takes the object; `None` where it is quickly asked.
    pub(super) fn and(&self, offer: &Offer) -> Option<Question> {
        if offer.filters.size() < WORTH_IT {
            return None;
        }
        let mut hash = self.0.clone();
        for part in [offer.provider.to_string().as_str(), &offer.namespace, &offer.name] {
            add(&mut hash, part);
        }
        hash.update(offer.filters.digest());
        Some(hash.finalize().into())
    }
}

fn add(hash: &mut Sha256, part: &str) {
    hash.update((part.len() as u64).to_be_bytes());
    hash.update(part.as_bytes());
}

#[cfg(test)]
mod tests {
    use resource_broker_api::{
        broker::Copies,
        names::{ClusterName, Role},
    };

    use super::*;

    fn offer(filter: &str, repeated: usize) -> Offer {
        Offer {
            provider: ClusterName::new(Role::Provider, "p"),
            namespace: "n".into(),
            name: "o".into(),
            filters: vec![filter.repeat(repeated)].into(),
            copies: Copies::default(),
            related_namespaces: vec![],
        }
    }

    #[test]
    fn a_question_is_the_spec_and_the_filters() {
        let api = ApiName { group: "g".into(), resource: "r".into() };
        let question = |object: &str, offer: &Offer| Subject::new(&api, object).unwrap().and(offer);
        let long = offer("a", WORTH_IT);
        let first = question(r#"{"metadata": {"resourceVersion": "1"}, "spec": {"a": 1}}"#, &long);
        assert!(first.is_some());
        assert_eq!(question(r#"{"metadata": {"resourceVersion": "2"}, "spec": {"a": 1}, "status": {}}"#, &long), first);
        assert_ne!(question(r#"{"spec": {"a": 2}}"#, &long), first);
        assert_ne!(question(r#"{"spec": {"a": 1}}"#, &offer("b", WORTH_IT)), first);
        assert_eq!(question(r#"{"spec": {"a": 1}}"#, &offer("a", 9)), None, "it costs nothing to ask");
    }

    #[test]
    fn what_is_remembered_is_bounded_and_what_is_used_stays() {
        let verdicts = Verdicts::default();
        let key = |number: usize| {
            let mut key = Question::default();
            key[..8].copy_from_slice(&number.to_be_bytes());
            key
        };
        let long = Verdict::Refused(vec![Violation::new("key", "rule", "x".repeat(10_000))]);
        for number in 0..10_000 {
            verdicts.put(key(number), &long);
            assert_eq!(verdicts.get(&key(0)), Some(long.clone()), "after {number} more");
        }
        let all = verdicts.lock();
        let size = (all.young.len() + all.old.len()) * 10_000;
        assert!(size <= MOST, "{size}");
        drop(all);
        let too_long = Verdict::Refused(vec![Violation::new("key", "rule", "x".repeat(LONGEST))]);
        verdicts.put(key(usize::MAX), &too_long);
        assert_eq!(verdicts.get(&key(usize::MAX)), None);
    }
}
