//! Who may be at work: many keys at once, but only so many of one cluster, so that one that answers slowly does not take
//! the places of all others. Needs no client and no clock.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
};

/// Keys at work and in line, by the lanes that they are in. A key is in few: those of the clusters that it concerns.
#[derive(Debug)]
pub(super) struct Lanes<K, L> {
    /// How many may be at work.
    all: usize,
    /// How many may be at work in one lane.
    each: usize,
    at_work: usize,
    by_id: HashMap<L, Lane<K, L>>,
    /// Keys whose lanes had a place when they were looked at last, and that wait for one among all.
    next: VecDeque<(K, Vec<L>)>,
}

#[derive(Debug)]
struct Lane<K, L> {
    at_work: usize,
    in_line: VecDeque<(K, Vec<L>)>,
}

impl<K, L: Clone + Eq + Hash> Lanes<K, L> {
    /// Nobody at work.
    pub(super) fn new(all: usize, each: usize) -> Self {
        Self { all, each, at_work: 0, by_id: HashMap::new(), next: VecDeque::new() }
    }

    /// Whether another key may be brought: there is a place, and nobody waits for it already.
    pub(super) fn has_place(&self) -> bool {
        self.at_work < self.all && self.next.is_empty()
    }

    /// Keys that wait.
    pub(super) fn waiting(&self) -> usize {
        self.next.len() + self.by_id.values().map(|lane| lane.in_line.len()).sum::<usize>()
    }

    /// Brings a key. It is among those that [`start`](Self::start) gives, sooner or later.
    pub(super) fn enter(&mut self, key: K, lanes: Vec<L>) {
        match lanes.iter().find(|lane| self.is_full(lane)) {
            Some(full) => self.lane(&full.clone()).in_line.push_back((key, lanes)),
            None => self.next.push_back((key, lanes)),
        }
    }

    /// A key that may be at work from now on, with its lanes. [`leave`](Self::leave) must follow.
    pub(super) fn start(&mut self) -> Option<(K, Vec<L>)> {
        while self.at_work < self.all {
            let (key, lanes) = self.next.pop_front()?;
            if let Some(full) = lanes.iter().find(|lane| self.is_full(lane)).cloned() {
                // It leaves the place that it was called to in its other lanes to whoever is next there.
                for lane in lanes.iter().filter(|lane| !self.is_full(lane)).cloned().collect::<Vec<_>>() {
                    let next = self.lane(&lane).in_line.pop_front();
                    self.next.extend(next);
                }
                self.lane(&full).in_line.push_back((key, lanes));
                continue;
            }
            self.at_work += 1;
            for lane in &lanes {
                self.lane(lane).at_work += 1;
            }
            return Some((key, lanes));
        }
        None
    }

    /// A key with these lanes is no longer at work.
    pub(super) fn leave(&mut self, lanes: &[L]) {
        self.at_work = self.at_work.saturating_sub(1);
        for id in lanes {
            let lane = self.lane(id);
            lane.at_work = lane.at_work.saturating_sub(1);
            // One left, so one may come.
            let next = lane.in_line.pop_front();
            let is_idle = lane.at_work == 0 && lane.in_line.is_empty();
            self.next.extend(next);
            if is_idle {
                self.by_id.remove(id);
            }
        }
    }

    fn is_full(&self, lane: &L) -> bool {
        self.by_id.get(lane).is_some_and(|lane| lane.at_work >= self.each)
    }

    fn lane(&mut self, id: &L) -> &mut Lane<K, L> {
        self.by_id.entry(id.clone()).or_insert_with(|| Lane { at_work: 0, in_line: VecDeque::new() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started(lanes: &mut Lanes<u32, char>) -> Vec<u32> {
        std::iter::from_fn(|| lanes.start()).map(|(key, _)| key).collect()
    }

    #[test]
    fn one_lane_does_not_take_all_places() {
        let mut lanes = Lanes::new(4, 2);
        for key in 1..=5 {
            lanes.enter(key, vec!['a']);
        }
        assert_eq!((started(&mut lanes), lanes.waiting()), (vec![1, 2], 3));
        lanes.enter(6, vec!['b']);
        assert_eq!(started(&mut lanes), [6], "another lane is not held up");
        lanes.leave(&['a']);
        assert_eq!(started(&mut lanes), [3], "in the order in which they came");
        lanes.leave(&['b']);
        assert_eq!((started(&mut lanes), lanes.waiting()), (vec![], 2), "a place in another lane is none in this one");
    }

    #[test]
    fn a_key_needs_a_place_in_each_of_its_lanes() {
        let mut lanes = Lanes::new(9, 1);
        lanes.enter(1, vec!['a', 'x']);
        lanes.enter(2, vec!['b', 'x']);
        lanes.enter(3, vec!['b']);
        assert_eq!(started(&mut lanes), [1, 3]);
        lanes.leave(&['a', 'x']);
        assert_eq!(started(&mut lanes), [0_u32; 0], "b is taken by now");
        lanes.leave(&['b']);
        assert_eq!(started(&mut lanes), [2]);
        lanes.leave(&['b', 'x']);
        assert!(lanes.by_id.is_empty() && lanes.at_work == 0, "idle lanes leave nothing");
    }

    #[test]
    fn who_cannot_take_a_place_leaves_it_to_the_next_in_line() {
        let mut lanes = Lanes::new(9, 1);
        for (key, of) in [(1, vec!['a']), (2, vec!['b']), (3, vec!['a', 'b']), (4, vec!['a'])] {
            lanes.enter(key, of);
        }
        assert_eq!(started(&mut lanes), [1, 2]);
        // Nobody is in line yet in the lanes' own queues: all came before anybody was at work.
        lanes.leave(&['a']);
        assert_eq!(started(&mut lanes), [4], "3 waits for b");
        lanes.leave(&['b']);
        lanes.leave(&['a']);
        assert_eq!(started(&mut lanes), [3]);
    }

    #[test]
    fn all_together_have_so_many_places_and_nobody_is_lost() {
        let mut lanes = Lanes::new(3, 2);
        let of = |key: u32| if key.is_multiple_of(2) { vec!['a'] } else { vec!['b'] };
        for key in 0..20 {
            lanes.enter(key, of(key));
        }
        let mut done = started(&mut lanes);
        let mut at_work = VecDeque::from(done.clone());
        assert_eq!((done.len(), lanes.has_place()), (3, false));
        while let Some(key) = at_work.pop_front() {
            lanes.leave(&of(key));
            let more = started(&mut lanes);
            assert!(lanes.at_work <= 3);
            at_work.extend(&more);
            done.extend(more);
        }
        done.sort_unstable();
        assert_eq!(done, (0..20).collect::<Vec<_>>());
    }

    #[test]
    fn whatever_lanes_keys_are_in_each_is_started_once_and_no_lane_has_more_than_its_places() {
        // The lanes of a key: one or two of four, so that many wait for two at a time.
        let of = |key: u32| {
            let (one, other) = (key * 7 % 4, key * 5 % 3);
            [Some(one), (one != other).then_some(other)].into_iter().flatten().collect::<Vec<_>>()
        };
        for seed in 0..50 {
            let mut lanes = Lanes::new(5, 2);
            let (mut brought, mut done, mut at_work) = (0_u32..200, Vec::new(), VecDeque::new());
            loop {
                while let Some((key, its)) = lanes.start() {
                    at_work.push_back((key, its));
                }
                for lane in 0..4 {
                    assert!(at_work.iter().filter(|(_, its): &&(u32, Vec<u32>)| its.contains(&lane)).count() <= 2);
                }
                if lanes.has_place()
                    && let Some(key) = brought.next()
                {
                    lanes.enter(key, of(key));
                    continue;
                }
                // They end in some other order than the one in which they began.
                at_work.rotate_left(seed % at_work.len().max(1));
                let Some((key, its)) = at_work.pop_front() else { break };
                lanes.leave(&its);
                done.push(key);
            }
            done.sort_unstable();
            assert_eq!(done, (0..200).collect::<Vec<_>>(), "seed {seed}");
            assert!(lanes.by_id.is_empty() && lanes.waiting() == 0, "seed {seed}");
        }
    }
}
