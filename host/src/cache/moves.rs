//! How many objects move from and to each provider, and who waits for a place among them.
//!
//! A move that has been recorded counts by its record. One whose record is being written counts by a reservation, so that
//! passes at the same time do not all take the last place.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use resource_broker_api::names::ClusterName;

use super::{Cache, Dirty, Inner, WorkKey};
use crate::planner::{
    model::snapshot::{self, Key, Record},
    plan::Budget,
};

/// How many of those that wait are looked at for one place, where those before them cannot use it. All look again by
/// themselves, so this bounds the work and loses nothing.
const CALLS: u32 = 16;
/// How many moves are told to those that wait for them.
const NAMED: usize = 4;
/// How many of those that wait are passed over in one search since their own provider has no place.
const SEARCH: usize = 1000;

/// Moves under way, and those that wait for a place.
#[derive(Debug, Default)]
pub(super) struct Moves {
    /// The names of the records that name a next provider, by each of the two.
    recorded: HashMap<ClusterName, BTreeSet<String>>,
    /// Moves whose record is being written, by each of the two.
    reserved: HashMap<ClusterName, usize>,
    /// Those that wait, in the order in which they came.
    line: BTreeMap<u64, Waiting>,
    /// Where in the line a key stands.
    places: HashMap<Key, u64>,
    /// The last place in the line that was given.
    last: u64,
}

#[derive(Debug)]
struct Waiting {
    key: Key,
    /// It was called for a place that came free: how many more may be called for the same one. `None`: not called.
    calls: Option<u32>,
}

/// The clusters at whose moves a record counts.
pub(super) fn ends(record: &Record) -> Option<[ClusterName; 2]> {
    record.next().and_then(|next| Some([record.provider()?, next]))
}

impl Moves {
    fn take(counts: &mut HashMap<ClusterName, usize>, clusters: &[ClusterName; 2]) {
        for cluster in clusters {
            if let Some(count) = counts.get_mut(cluster) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    counts.remove(cluster);
                }
            }
        }
    }

    /// Moves from and to each provider, without that of the record `own`.
    pub(super) fn counts(&self, own: &str) -> BTreeMap<ClusterName, snapshot::Moves> {
        let clusters: BTreeSet<&ClusterName> = self.recorded.keys().chain(self.reserved.keys()).collect();
        let of = |cluster: &ClusterName| {
            let recorded = self.recorded.get(cluster);
            let others = recorded.into_iter().flatten().filter(|name| *name != own);
            let names = others.take(NAMED).cloned().collect();
            let is_among_them = usize::from(recorded.is_some_and(|names| names.contains(own)));
            snapshot::Moves { count: self.count(cluster) - is_among_them, names }
        };
        clusters.into_iter().map(|cluster| (cluster.clone(), of(cluster))).collect()
    }

    fn count(&self, provider: &ClusterName) -> usize {
        let recorded = self.recorded.get(provider).map_or(0, BTreeSet::len);
        recorded + self.reserved.get(provider).copied().unwrap_or_default()
    }

    fn reserve(&mut self, own: Option<&Record>, budget: &Budget) -> bool {
        let own = own.and_then(ends);
        let has_place = |provider: &ClusterName| {
            let of_its_own = own.iter().flatten().filter(|cluster| *cluster == provider).count();
            self.count(provider).saturating_sub(of_its_own) < budget.limit
        };
        let fits = budget.providers.iter().all(has_place);
        if fits {
            for provider in &budget.providers {
                *self.reserved.entry(provider.clone()).or_default() += 1;
            }
        }
        fits
    }

    fn forget(&mut self, record: &str, cluster: &ClusterName) {
        if let Some(names) = self.recorded.get_mut(cluster) {
            names.remove(record);
            if names.is_empty() {
                self.recorded.remove(cluster);
            }
        }
    }

    fn queue_up(&mut self, key: &Key) {
        if !self.places.contains_key(key) {
            self.last += 1;
            self.places.insert(key.clone(), self.last);
            self.line.insert(self.last, Waiting { key: key.clone(), calls: None });
        }
    }

    fn step_out(&mut self, key: &Key) -> Option<(u64, Waiting)> {
        let place = self.places.remove(key)?;
        Some((place, self.line.remove(&place)?))
    }

    /// Calls the first one behind `after` that has not been called and whose own provider has a place.
    fn call(&mut self, after: u64, calls: u32, has_place: impl Fn(&Self, &Key) -> bool) -> Option<Key> {
        let uncalled = self.line.range(after + 1..).filter(|(_, waiting)| waiting.calls.is_none()).take(SEARCH);
        let place = uncalled.into_iter().find(|(_, waiting)| has_place(self, &waiting.key)).map(|(place, _)| *place)?;
        let waiting = self.line.get_mut(&place)?;
        waiting.calls = Some(calls);
        Some(waiting.key.clone())
    }
}

impl Inner {
    /// A record changed: the moves that it stands for are counted anew. A move that ended has made a place.
    pub(super) fn moves_changed(&mut self, old: Option<&Record>, new: Option<&Record>, dirty: &mut Dirty) {
        let (before, after) = (old.and_then(ends), new.and_then(ends));
        if before == after {
            return;
        }
        for (record, cluster) in
            old.zip(before.as_ref()).into_iter().flat_map(|(old, ends)| ends.iter().map(move |at| (old, at)))
        {
            self.moves.forget(&record.name, cluster);
        }
        for (record, cluster) in
            new.zip(after.as_ref()).into_iter().flat_map(|(new, ends)| ends.iter().map(move |at| (new, at)))
        {
            self.moves.recorded.entry(cluster.clone()).or_default().insert(record.name.clone());
        }
        if before.is_some() {
            self.call_next(0, CALLS, dirty);
        }
    }

    fn call_next(&mut self, after: u64, calls: u32, dirty: &mut Dirty) {
        let limit = self.scope.limits.moves_per_provider;
        let records = &self.records;
        let has_place = |moves: &Moves, key: &Key| {
            let provider = records.get(&key.record_name()).and_then(|record| record.provider());
            provider.is_none_or(|provider| moves.count(&provider) < limit)
        };
        dirty.now.extend(self.moves.call(after, calls, has_place).map(WorkKey::Object));
    }
}

impl Cache {
    /// A place for a move of the record `name` while its write is under way; `None` where there is none.
    pub fn reserve(self: &Arc<Self>, name: &str, budget: &Budget) -> Option<Reservation> {
        let mut inner = self.lock();
        let own = inner.records.get(name).cloned();
        let taken = inner.moves.reserve(own.as_deref(), budget);
        drop(inner);
        taken.then(|| Reservation { cache: self.clone(), providers: budget.providers.clone() })
    }

    /// A pass over `key` ended: whether its move `wants` a place, and whether it has begun. What a place that it was called
    /// for can be used for now is in the answer.
    pub fn wants_place(&self, key: &Key, wants: bool, begun: bool) -> Dirty {
        let mut inner = self.lock();
        let mut dirty = Dirty::default();
        let calls = match inner.moves.places.get(key).copied() {
            None if wants => {
                inner.moves.queue_up(key);
                None
            }
            None => None,
            // It keeps its place in the line.
            Some(place) if wants && !begun => inner.moves.line.get_mut(&place).and_then(|waiting| waiting.calls.take()),
            Some(_) => inner.moves.step_out(key).and_then(|(_, waiting)| waiting.calls),
        };
        let place = inner.moves.places.get(key).copied().unwrap_or_default();
        if let Some(calls) = calls.filter(|calls| *calls > 0 && !begun) {
            inner.call_next(place, calls - 1, &mut dirty);
        }
        dirty
    }
}

/// A place for a move whose record is being written. It is free again when this is dropped: by then the record counts,
/// or was not written.
pub struct Reservation {
    cache: Arc<Cache>,
    providers: [ClusterName; 2],
}

impl Drop for Reservation {
    fn drop(&mut self) {
        Moves::take(&mut self.cache.lock().moves.reserved, &self.providers);
    }
}

#[cfg(test)]
mod tests {
    use resource_broker_api::names::{Gvk, Role};

    use super::*;
    use crate::testing::{assignment, key, records, scope};

    fn provider(name: &str) -> ClusterName {
        ClusterName::new(Role::Provider, name)
    }

    fn budget(from: &str, to: &str) -> Budget {
        Budget { providers: [provider(from), provider(to)], limit: 2 }
    }

    /// A cache that allows two moves for each provider, with the Assignments synced.
    fn cache() -> Arc<Cache> {
        let mut scope = scope(vec![Gvk::new("g.io", "v1", "Thing")], vec![]);
        scope.limits.moves_per_provider = 2;
        let cache = Arc::new(Cache::new(scope));
        cache.attach(&records().cluster);
        cache.open(&records());
        cache.listed(&records(), "1", vec![]);
        cache
    }

    /// Writes the Assignment of `name`, at provider `from` and on its way to `next`.
    fn record(cache: &Cache, name: &str, version: u64, from: &str, next: Option<&str>) -> Dirty {
        cache.seen(&records(), assignment(&key(name), version, from, next))
    }

    fn called(dirty: &Dirty) -> Vec<String> {
        let mut names: Vec<String> = dirty
            .now
            .iter()
            .filter_map(|key| match key {
                WorkKey::Object(key) => Some(key.name.clone()),
                _ => None,
            })
            .collect();
        names.dedup();
        names
    }

    #[test]
    fn passes_at_the_same_time_do_not_take_more_places_than_there_are() {
        let cache = cache();
        record(&cache, "a", 2, "p", Some("q"));
        let place = cache.reserve("some", &budget("p", "q"));
        assert!(place.is_some(), "one moves, one is about to");
        assert!(cache.reserve("other", &budget("p", "r")).is_none(), "p is full");
        assert!(cache.reserve("other", &budget("r", "q")).is_none(), "q is full");
        assert!(cache.reserve("other", &budget("r", "s")).is_some());
        drop(place);
        assert!(cache.reserve("other", &budget("p", "r")).is_some(), "the write has failed");
    }

    #[test]
    fn an_objects_own_move_does_not_keep_it_from_going_elsewhere() {
        let cache = cache();
        record(&cache, "a", 2, "p", Some("q"));
        record(&cache, "b", 3, "p", Some("q"));
        assert!(cache.reserve(&key("a").record_name(), &budget("p", "q")).is_some());
        assert!(cache.reserve(&key("c").record_name(), &budget("p", "q")).is_none());
    }

    #[test]
    fn who_holds_the_places_is_named_and_oneself_is_not_among_them() {
        let cache = cache();
        record(&cache, "a", 2, "p", Some("q"));
        record(&cache, "b", 3, "p", Some("r"));
        let held = |own: &str, at: &str| cache.lock().moves.counts(&key(own).record_name())[&provider(at)].clone();
        let b = snapshot::Moves { count: 1, names: vec![key("b").record_name()] };
        assert_eq!((held("a", "p"), held("a", "q")), (b, snapshot::Moves::default()));
        assert_eq!(held("c", "p").count, 2);
        record(&cache, "b", 4, "r", None);
        assert_eq!(held("a", "p"), snapshot::Moves::default());
    }

    #[test]
    fn who_waited_longest_is_called_first_and_one_for_each_place() {
        let cache = cache();
        record(&cache, "a", 2, "p", Some("q"));
        record(&cache, "b", 3, "p", Some("q"));
        for (version, name) in [(4, "x"), (5, "y"), (6, "z")] {
            record(&cache, name, version, "p", None);
            assert!(cache.wants_place(&key(name), true, false).now.is_empty());
        }
        assert_eq!(called(&record(&cache, "a", 7, "q", None)), ["a", "x"]);
        assert_eq!(called(&record(&cache, "b", 8, "q", None)), ["b", "y"]);
        // x moves: the place is used. y does not want it any more: it goes to the next.
        record(&cache, "x", 9, "p", Some("q"));
        assert!(cache.wants_place(&key("x"), false, true).now.is_empty());
        assert_eq!(called(&cache.wants_place(&key("y"), false, false)), ["z"]);
    }

    #[test]
    fn who_cannot_use_a_place_keeps_its_own_in_the_line() {
        let cache = cache();
        record(&cache, "a", 2, "p", Some("q"));
        for (version, name) in [(4, "x"), (5, "y")] {
            record(&cache, name, version, "r", None);
            cache.wants_place(&key(name), true, false);
        }
        assert_eq!(called(&record(&cache, "a", 7, "q", None)), ["a", "x"]);
        // Its target has no place: the one that came free is offered to the next.
        assert_eq!(called(&cache.wants_place(&key("x"), true, false)), ["y"]);
        assert!(cache.wants_place(&key("y"), true, false).now.is_empty());
        record(&cache, "b", 8, "p", Some("q"));
        assert_eq!(called(&record(&cache, "b", 9, "q", None)), ["b", "x"]);
    }
}
