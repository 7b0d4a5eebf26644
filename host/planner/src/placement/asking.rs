//! How offers are asked about: all in one call; where that fails, the offers of each provider in a call of their own. Whoever
//! carries the questions makes the calls that this names, and brings each answer back.
//!
//! What one provider publishes must not keep the others' offers from being judged. That holds for a plugin that is suspended,
//! too: were its trial calls always for all offers, the one that it fails at would keep it suspended for ever. So the providers
//! come in another order each time.

use std::{ops::Range, sync::Arc, time::Duration};

use resource_broker_plugin_types::Verdict;

use crate::model::{
    failure::{CallFailure, LONGEST_DELAY},
    question::Judgement,
    snapshot::Offer,
};

/// The filters of the offers in one call have at most this many bytes, unless a single one has more.
const IN_ONE_CALL: usize = 1 << 20;

/// Offers cut so that no call has too much to read.
pub fn calls(offers: &[Arc<Offer>]) -> Vec<&[Arc<Offer>]> {
    let mut calls = Vec::new();
    let (mut start, mut size) = (0, 0);
    for (at, offer) in offers.iter().enumerate() {
        if at > start && size + offer.filters.size() > IN_ONE_CALL {
            calls.push(&offers[start..at]);
            (start, size) = (at, 0);
        }
        size += offer.filters.size();
    }
    calls.push(&offers[start..]);
    calls
}

/// What came of asking about offers.
#[derive(Debug, PartialEq, Eq)]
pub struct Judged {
    /// One judgement for each offer, in the order of the offers.
    pub judgements: Vec<Judgement>,
    /// When to ask again about those that could not be judged.
    pub again: Option<Duration>,
}

/// Asking about one object and some offers.
#[derive(Debug)]
pub struct Asking {
    /// The judgements that are known without a call, by offer.
    known: Vec<Option<Judgement>>,
    /// The offers that have to be asked about, ordered by provider.
    unknown: Vec<Arc<Offer>>,
    /// Of `unknown`, the offers of each provider.
    providers: Vec<Range<usize>>,
    /// Which providers are still to be asked about, the next one last.
    order: Vec<usize>,
    /// The call that is being made.
    call: Call,
    /// Why there was no answer about all of them in one call.
    whole: Option<CallFailure>,
    judgements: Vec<Vec<Judgement>>,
    failures: Vec<CallFailure>,
    is_given_up: bool,
    /// Whether each provider is asked about by itself, as far as that is known.
    apart: bool,
}

/// A call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    /// About all offers.
    Whole,
    /// About those of one provider.
    Provider(usize),
    /// None is left.
    Done,
}

impl Asking {
    /// About `offers`, which are ordered by provider; `known` has the judgements that need no call. `apart`: the last time, one
    /// call for all of them failed. `shuffle` orders the providers.
    pub fn new(
        offers: &[Arc<Offer>],
        known: Vec<Option<Judgement>>,
        apart: bool,
        shuffle: impl FnOnce(&mut [usize]),
    ) -> Self {
        let is_open = |(offer, known): (&Arc<Offer>, &Option<Judgement>)| known.is_none().then(|| Arc::clone(offer));
        let unknown: Vec<Arc<Offer>> = offers.iter().zip(&known).filter_map(is_open).collect();
        let mut providers = Vec::new();
        for offers in unknown.chunk_by(|one, next| one.provider == next.provider) {
            let start = providers.last().map_or(0, |last: &Range<usize>| last.end);
            providers.push(start..start + offers.len());
        }
        let mut order: Vec<usize> = (0..providers.len()).collect();
        shuffle(&mut order);
        let judgements = vec![Vec::new(); providers.len()];
        let (call, whole, failures) = (Call::Whole, None, Vec::new());
        let mut asking =
            Self { known, unknown, providers, order, call, whole, judgements, failures, is_given_up: false, apart };
        if asking.unknown.is_empty() {
            asking.call = Call::Done;
        } else if asking.providers.len() > 1 && apart {
            asking.next_provider();
        }
        asking
    }

    /// The offers of the next call; `None`: all have been asked about.
    pub fn call(&self) -> Option<&[Arc<Offer>]> {
        match self.call {
            Call::Whole => Some(&self.unknown),
            Call::Provider(index) => Some(&self.unknown[self.providers[index].clone()]),
            Call::Done => None,
        }
    }

    /// What came of that call: one verdict for each of its offers, or else why there are none.
    pub fn answer(&mut self, answer: Result<Vec<Verdict>, CallFailure>) {
        match (self.call, answer) {
            (Call::Done, _) => {}
            (Call::Whole, Ok(verdicts)) => {
                self.judgements = vec![verdicts.into_iter().map(Ok).collect()];
                self.call = Call::Done;
            }
            (Call::Whole, Err(failure)) => {
                // Where the plugin was not called, it is not called for each provider either.
                self.is_given_up = self.providers.len() < 2 || failure.unasked;
                self.whole = Some(failure);
                if self.is_given_up {
                    self.call = Call::Done;
                } else {
                    self.next_provider();
                }
            }
            (Call::Provider(index), answer) => {
                self.judgements[index] = match answer {
                    Ok(verdicts) => verdicts.into_iter().map(Ok).collect(),
                    Err(failure) => {
                        let judgement = Err(failure.cause.clone().into());
                        self.failures.push(failure);
                        vec![judgement; self.providers[index].len()]
                    }
                };
                self.next_provider();
            }
        }
    }

    fn next_provider(&mut self) {
        self.call = self.order.pop().map_or(Call::Done, Call::Provider);
    }

    /// The judgements, or else why there are none at all; and whether the next time each provider is asked about by itself.
    pub fn finish(mut self) -> (Result<Judged, CallFailure>, bool) {
        let is_apart = self.providers.len() > 1 && (self.is_given_up || !self.failures.is_empty());
        let apart = if self.unknown.is_empty() { self.apart } else { is_apart };
        let judged = self.judged();
        let unknown = self.unknown.len();
        let judged = match judged {
            Err(failure) if unknown == self.known.len() => return (Err(failure), apart),
            Err(failure) => Judged { judgements: vec![Err(failure.cause.into()); unknown], again: failure.again },
            Ok(judged) => judged,
        };
        let mut judgements = judged.judgements.into_iter();
        for known in self.known.iter_mut().filter(|known| known.is_none()) {
            *known = judgements.next();
        }
        (Ok(Judged { judgements: self.known.into_iter().flatten().collect(), again: judged.again }), apart)
    }

    /// The same of the offers that had to be asked about.
    fn judged(&mut self) -> Result<Judged, CallFailure> {
        let (whole, mut failures) = (self.whole.take(), std::mem::take(&mut self.failures));
        if !self.is_given_up && (failures.is_empty() || failures.len() < self.providers.len()) {
            let again = |failure: &CallFailure| if failure.late { Some(LONGEST_DELAY) } else { failure.again };
            let judgements = std::mem::take(&mut self.judgements).concat();
            return Ok(Judged { judgements, again: failures.iter().filter_map(again).min() });
        }
        let again = whole.iter().chain(&failures).filter_map(|failure| failure.again).min();
        let late = whole.iter().chain(&failures).any(|failure| failure.late);
        // What the plugin answered says more than that it was not called.
        failures.sort_by_key(|failure| failure.unasked);
        match whole.into_iter().chain(failures).next() {
            Some(failure) => Err(CallFailure { again, late, ..failure }),
            None => Ok(Judged { judgements: Vec::new(), again: None }),
        }
    }
}

#[cfg(test)]
mod tests {
    use resource_broker_api::{
        broker::Copies,
        names::{ClusterName, Role},
    };

    use super::*;

    /// One offer of each of these providers.
    fn offers(providers: &[&str]) -> Vec<Arc<Offer>> {
        providers.iter().map(|name| Arc::new(offer(name, 0))).collect()
    }

    fn offer(provider: &str, size: usize) -> Offer {
        Offer {
            provider: ClusterName::new(Role::Provider, provider),
            namespace: "default".into(),
            name: "o".into(),
            filters: vec!["x".repeat(size)].into(),
            copies: Copies::default(),
            related_namespaces: vec![],
        }
    }

    fn crash() -> CallFailure {
        CallFailure::answered("boom".into())
    }

    fn suspended() -> CallFailure {
        CallFailure { unasked: true, again: Some(Duration::from_secs(1)), ..crash() }
    }

    fn late() -> CallFailure {
        CallFailure { late: true, again: Some(Duration::from_secs(5)), ..crash() }
    }

    const REFUSED: Judgement = Ok(Verdict::Refused(Vec::new()));

    /// Asks in the order of the providers; what came of it, whether they are asked about apart the next time, and the calls.
    fn ask(
        offers: &[Arc<Offer>],
        known: Vec<Option<Judgement>>,
        apart: bool,
        mut plugin: impl FnMut(&[&str]) -> Result<Vec<Verdict>, CallFailure>,
    ) -> (Result<Judged, CallFailure>, bool, Vec<String>) {
        let mut asking = Asking::new(offers, known, apart, <[usize]>::reverse);
        let mut calls = Vec::new();
        while let Some(call) = asking.call() {
            let providers: Vec<&str> = call.iter().map(|offer| offer.provider.name.as_str()).collect();
            calls.push(providers.join(" "));
            let answer = plugin(&providers);
            asking.answer(answer);
        }
        let (judged, apart) = asking.finish();
        (judged, apart, calls)
    }

    fn unknown(count: usize) -> Vec<Option<Judgement>> {
        vec![None; count]
    }

    /// A plugin that fails where `bad` offers something.
    fn fails_at(bad: &str, failure: CallFailure) -> impl FnMut(&[&str]) -> Result<Vec<Verdict>, CallFailure> {
        move |providers| {
            if providers.contains(&bad) { Err(failure.clone()) } else { Ok(vec![Verdict::accepted(); providers.len()]) }
        }
    }

    #[test]
    fn no_call_has_too_much_to_read() {
        let sized = |sizes: &[usize]| {
            let offers: Vec<_> = sizes.iter().map(|size| Arc::new(offer("p", *size))).collect();
            calls(&offers).iter().map(|call| call.len()).collect::<Vec<_>>()
        };
        assert_eq!(sized(&[1; 100]), [100]);
        assert_eq!(sized(&[600 << 10; 3]), [1, 1, 1]);
        assert_eq!(sized(&[1, IN_ONE_CALL, IN_ONE_CALL / 2, 1, IN_ONE_CALL / 2]), [1, 1, 2, 1]);
        assert_eq!(sized(&[9 << 20]), [1], "one that has more goes alone");
    }

    #[test]
    fn what_one_provider_publishes_does_not_keep_the_others_from_being_judged() {
        let offers = offers(&["a", "b", "c"]);
        let (judged, apart, calls) = ask(&offers, unknown(3), false, fails_at("b", crash()));
        let accepted = || Ok(Verdict::accepted());
        let judgements = vec![accepted(), Err(crash().cause.into()), accepted()];
        assert_eq!(judged, Ok(Judged { judgements, again: None }), "in the order of the offers");
        assert_eq!(calls, ["a b c", "a", "b", "c"]);
        assert!(apart, "the next time does not begin with what fails");
        let (judged, apart, calls) = ask(&offers, unknown(3), apart, fails_at("nobody", crash()));
        assert_eq!(judged, Ok(Judged { judgements: vec![accepted(), accepted(), accepted()], again: None }));
        assert_eq!(calls, ["a", "b", "c"]);
        assert!(!apart, "all were judged");
    }

    #[test]
    fn what_is_known_is_not_asked_and_stands_beside_a_failure() {
        let offers = offers(&["a", "b", "c"]);
        let too_long = || Err("too long".to_owned().into());
        let known = || vec![Some(Ok(Verdict::accepted())), None, Some(too_long())];
        let (judged, _, calls) = ask(&offers, known(), false, |_| Ok(vec![Verdict::Refused(Vec::new())]));
        let expected =
            |second| Ok(Judged { judgements: vec![Ok(Verdict::accepted()), second, too_long()], again: None });
        assert_eq!((judged, calls), (expected(REFUSED), vec!["b".to_owned()]));
        let (judged, ..) = ask(&offers, known(), false, fails_at("b", crash()));
        assert_eq!(judged, expected(Err(crash().cause.into())), "the others' judgements stand");
        assert!(ask(&offers, unknown(3), false, |_| Err(crash())).0.is_err());
        let (judged, _, calls) = ask(&offers, vec![Some(REFUSED); 3], true, |_| panic!("nothing is to be asked"));
        assert!(judged.is_ok_and(|judged| judged.judgements.len() == 3) && calls.is_empty());
        assert_eq!(ask(&[], vec![], false, |_| Err(crash())).0, Ok(Judged { judgements: vec![], again: None }));
    }

    #[test]
    fn a_suspension_by_one_providers_offer_does_not_keep_the_others_from_being_judged() {
        let offers = offers(&["good", "poison"]);
        let (mut apart, mut accepted, mut is_open) = (false, false, true);
        for turn in 0..8 {
            // Each time the plugin is suspended, but for one trial call, which is the first.
            let mut trial = true;
            let mut asking = Asking::new(&offers, unknown(2), apart, |order| order.rotate_left(turn % 2));
            while let Some(call) = asking.call() {
                let answer = if is_open && !std::mem::take(&mut trial) {
                    Err(suspended())
                } else if call.iter().any(|offer| offer.provider.name == "poison") {
                    Err(crash())
                } else {
                    Ok(vec![Verdict::accepted()])
                };
                is_open = answer.is_err();
                asking.answer(answer);
            }
            let (judged, next) = asking.finish();
            apart = next;
            match judged {
                Ok(judged) => accepted |= judged.judgements[0] == Ok(Verdict::accepted()),
                Err(failure) => assert!(failure.again.is_some(), "it is asked again"),
            }
        }
        assert!(accepted);
    }

    #[test]
    fn where_the_plugin_was_not_called_it_is_not_called_for_each_provider() {
        let (judged, apart, calls) = ask(&offers(&["a", "b"]), unknown(2), false, |_| Err(suspended()));
        assert_eq!((judged, calls.len()), (Err(suspended()), 1));
        assert!(apart, "its trial calls are for one provider at a time");
    }

    #[test]
    fn what_could_not_be_judged_in_time_is_asked_again() {
        let (judged, ..) = ask(&offers(&["a", "b"]), unknown(2), false, fails_at("b", late()));
        assert!(judged.is_ok_and(|judged| judged.again == Some(LONGEST_DELAY)));
        let (judged, ..) = ask(&offers(&["a", "b"]), unknown(2), false, |_| Err(late()));
        assert_eq!(judged, Err(late()));
    }
}
