//! Who may be at work: many keys at once, but only so many of one cluster, so that one that answers slowly does not take
//! the places of all others. Needs no client and no clock.
//!
//! A key is in the lanes of the clusters that it concerns. Where one of them is slow, the key's pass mostly waits for that
//! one: it takes a place there, of which there are few, and none in the lanes of the others. Where several are slow, nobody
//! knows for which of them it waits: it takes a place of its own kind's alone. A cluster that has become slow is
//! known for it only after a while. Until then it is not to fill the lanes of the others either, so that the keys that concern
//! the same clusters have a lane of their own, too, with fewer places than a cluster's.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    hash::Hash,
};

/// Keys at work and in line, by the lanes that they are in. A key is in few: those of the clusters that it concerns.
#[derive(Debug)]
pub(super) struct Lanes<K, L> {
    /// How many may be at work.
    all: usize,
    /// How many may be at work in one lane.
    each: usize,
    /// How many may be at work that have the same lanes, where these are several.
    each_alike: usize,
    /// How many may be at work in one lane that is slow.
    each_slow: usize,
    slow: HashSet<L>,
    at_work: usize,
    by_id: HashMap<Line<L>, Lane<K, L>>,
    /// How many keys with these lanes are at work.
    running: HashMap<Vec<L>, usize>,
    /// Keys whose lanes had a place when they were looked at last, and that wait for one among all.
    next: VecDeque<(K, Vec<L>)>,
}

/// What a key needs a place in.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Line<L> {
    One(L),
    /// The keys that have exactly these lanes, or exactly these slow ones.
    Alike(Vec<L>),
    /// All keys that have a slow lane.
    Slow,
}

#[derive(Debug)]
struct Lane<K, L> {
    /// Keys that take a place here.
    at_work: usize,
    in_line: VecDeque<(K, Vec<L>)>,
}

impl<K, L: Clone + Eq + Hash> Lanes<K, L> {
    /// Nobody at work.
    pub(super) fn new(all: usize, each: usize, each_alike: usize, each_slow: usize) -> Self {
        Self {
            all,
            each,
            each_alike,
            each_slow,
            slow: HashSet::new(),
            at_work: 0,
            by_id: HashMap::new(),
            running: HashMap::new(),
            next: VecDeque::new(),
        }
    }

    /// Whether another key may be brought: there is a place, and nobody waits for it already.
    pub(super) fn has_place(&self) -> bool {
        self.at_work < self.all && self.next.is_empty()
    }

    /// Keys that wait.
    pub(super) fn waiting(&self) -> usize {
        self.next.len() + self.by_id.values().map(|lane| lane.in_line.len()).sum::<usize>()
    }

    /// These lanes are slow from now on, and no others.
    pub(super) fn mark_slow(&mut self, slow: HashSet<L>) {
        if slow == self.slow {
            return;
        }
        self.slow = slow;
        for lane in self.by_id.values_mut() {
            lane.at_work = 0;
        }
        for (lanes, count) in self.running.clone() {
            for lane in self.places(&lanes) {
                self.lane(&lane).at_work += count;
            }
        }
        let ids: Vec<Line<L>> = self.by_id.keys().cloned().collect();
        for id in ids {
            let limit = self.limit(&id);
            let lane = self.lane(&id);
            let free = limit.saturating_sub(lane.at_work).min(lane.in_line.len());
            let called: Vec<_> = lane.in_line.drain(..free).collect();
            self.next.extend(called);
            self.forget_if_idle(&id);
        }
    }

    /// Brings a key. It is among those that [`start`](Self::start) gives, sooner or later.
    pub(super) fn enter(&mut self, key: K, lanes: Vec<L>) {
        match self.full(&lanes) {
            Some(full) => self.lane(&full).in_line.push_back((key, lanes)),
            None => self.next.push_back((key, lanes)),
        }
    }

    /// A key that may be at work from now on, with its lanes. [`leave`](Self::leave) must follow.
    pub(super) fn start(&mut self) -> Option<(K, Vec<L>)> {
        while self.at_work < self.all {
            let (key, lanes) = self.next.pop_front()?;
            if let Some(full) = self.full(&lanes) {
                // It leaves the place that it was called to in its other lanes to whoever is next there.
                let called = self.places(&lanes).into_iter().chain(Self::lines(&lanes));
                for lane in called.filter(|lane| !self.is_full(lane)).collect::<Vec<_>>() {
                    let next = self.lane(&lane).in_line.pop_front();
                    self.next.extend(next);
                    self.forget_if_idle(&lane);
                }
                self.lane(&full).in_line.push_back((key, lanes));
                continue;
            }
            self.at_work += 1;
            *self.running.entry(lanes.clone()).or_default() += 1;
            for lane in self.places(&lanes) {
                self.lane(&lane).at_work += 1;
            }
            return Some((key, lanes));
        }
        None
    }

    /// A key with these lanes is no longer at work.
    pub(super) fn leave(&mut self, lanes: &[L]) {
        self.at_work = self.at_work.saturating_sub(1);
        if let Some(count) = self.running.get_mut(lanes) {
            *count -= 1;
            if *count == 0 {
                self.running.remove(lanes);
            }
        }
        for id in self.places(lanes) {
            let limit = self.limit(&id);
            let lane = self.lane(&id);
            lane.at_work = lane.at_work.saturating_sub(1);
            // One left, so one may come.
            let next = if lane.at_work < limit { lane.in_line.pop_front() } else { None };
            self.next.extend(next);
            self.forget_if_idle(&id);
        }
    }

    /// Where a key with these lanes takes a place.
    fn places(&self, lanes: &[L]) -> Vec<Line<L>> {
        let mut slow: Vec<L> = lanes.iter().filter(|lane| self.slow.contains(lane)).cloned().collect();
        match slow.len() {
            0 => Self::lines(lanes),
            1 => vec![Line::One(slow.remove(0)), Line::Slow],
            _ => vec![Line::Alike(slow), Line::Slow],
        }
    }

    /// Where a key with these lanes takes a place while none of them is slow.
    fn lines(lanes: &[L]) -> Vec<Line<L>> {
        let alike = (lanes.len() > 1).then(|| Line::Alike(lanes.to_vec()));
        lanes.iter().cloned().map(Line::One).chain(alike).collect()
    }

    /// The first line in which a key would have to wait for its place.
    fn full(&self, lanes: &[L]) -> Option<Line<L>> {
        self.places(lanes).into_iter().find(|lane| self.is_full(lane))
    }

    fn is_full(&self, lane: &Line<L>) -> bool {
        self.by_id.get(lane).is_some_and(|found| found.at_work >= self.limit(lane))
    }

    /// How many may be at work in a line. Keys with slow lanes leave half of all places to the others.
    fn limit(&self, line: &Line<L>) -> usize {
        match line {
            Line::One(of) if self.slow.contains(of) => self.each_slow,
            Line::One(_) => self.each,
            Line::Alike(lanes) if lanes.iter().any(|lane| self.slow.contains(lane)) => self.each_slow,
            Line::Alike(_) => self.each_alike,
            Line::Slow => (self.all / 2).max(1),
        }
    }

    fn forget_if_idle(&mut self, id: &Line<L>) {
        if self.by_id.get(id).is_some_and(|lane| lane.at_work == 0 && lane.in_line.is_empty()) {
            self.by_id.remove(id);
        }
    }

    fn lane(&mut self, id: &Line<L>) -> &mut Lane<K, L> {
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
        let mut lanes = Lanes::new(4, 2, 2, 1);
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
        let mut lanes = Lanes::new(9, 1, 1, 1);
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
        let mut lanes = Lanes::new(9, 1, 1, 1);
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
        let mut lanes = Lanes::new(3, 2, 2, 1);
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
    fn keys_of_a_slow_lane_take_no_place_in_the_others() {
        let mut lanes = Lanes::new(100, 4, 4, 2);
        for key in 0..10 {
            lanes.enter(key, vec!['c', 's']);
        }
        for key in 10..14 {
            lanes.enter(key, vec!['c', 'h']);
        }
        assert_eq!(started(&mut lanes), [0, 1, 2, 3], "nobody knows yet that s is slow");
        lanes.mark_slow(['s'].into());
        assert_eq!(started(&mut lanes), [10, 11, 12, 13], "c has all its places for the others");
        for _ in 0..2 {
            lanes.leave(&['c', 's']);
            assert_eq!(started(&mut lanes), [0_u32; 0], "s had more than it may have");
        }
        lanes.leave(&['c', 's']);
        assert_eq!(started(&mut lanes).len(), 1);
        lanes.leave(&['c', 'h']);
        lanes.enter(20, vec!['c', 'h']);
        assert_eq!(started(&mut lanes), [20]);
        lanes.mark_slow([].into());
        assert_eq!(started(&mut lanes), [0_u32; 0], "c is full now that s counts again");
    }

    /// How long keys of a healthy cluster take from when they come to when they are done, in milliseconds and in order, beside
    /// so many of a cluster that takes 5 s; all are of one consumer. Nobody knows at first that it is slow.
    async fn times_beside(slow_ones: u32) -> Vec<u128> {
        use std::time::Duration;
        use tokio::{
            task::JoinSet,
            time::{Instant, interval, sleep},
        };
        const SLOW: Duration = Duration::from_secs(5);
        const QUICK: Duration = Duration::from_millis(10);
        let mut lanes = Lanes::new(2048, 512, 128, 64);
        let came = Instant::now();
        for _ in 0..slow_ones {
            lanes.enter((came, SLOW), vec!['c', 's']);
        }
        let (mut tasks, mut times) = (JoinSet::new(), Vec::new());
        let mut arrivals = interval(Duration::from_millis(20));
        let mut looks = interval(Duration::from_millis(250));
        while times.len() < 500 {
            while let Some(((came, takes), its)) = lanes.start() {
                tasks.spawn(async move {
                    sleep(takes).await;
                    (its, came, takes)
                });
            }
            tokio::select! {
                Some(done) = tasks.join_next() => {
                    let (its, since, takes) = done.unwrap();
                    lanes.leave(&its);
                    if takes == QUICK {
                        times.push(since.elapsed().as_millis());
                    }
                }
                _ = arrivals.tick() => lanes.enter((Instant::now(), QUICK), vec!['c', 'h']),
                // What takes a second is slow, also before it has ended.
                _ = looks.tick(), if slow_ones > 0 && came.elapsed() >= Duration::from_secs(1) => {
                    lanes.mark_slow(['s'].into());
                }
            }
        }
        times.sort_unstable();
        times
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_for_a_slow_cluster_does_not_delay_the_others_of_its_consumer() {
        let (alone, beside) = (times_beside(0).await, times_beside(1500).await);
        let p99 = |times: &[u128]| times[times.len() * 99 / 100];
        assert!(alone.len() > 300 && beside.len() > 300);
        assert!(p99(&beside) * 10 <= p99(&alone) * 12, "{} ms instead of {} ms", p99(&beside), p99(&alone));
    }

    #[test]
    fn keys_of_two_slow_lanes_take_the_places_of_neither() {
        let mut lanes = Lanes::new(100, 8, 8, 2);
        lanes.mark_slow(['c', 's'].into());
        for key in 0..4 {
            lanes.enter(key, vec!['c', 's']);
        }
        assert_eq!(started(&mut lanes), [0, 1]);
        for (key, of) in [(10, vec!['c', 'h']), (11, vec!['s']), (12, vec!['s', 'c'])] {
            lanes.enter(key, of);
        }
        assert_eq!(started(&mut lanes), [10, 11, 12]);
        lanes.mark_slow(['s'].into());
        assert_eq!(started(&mut lanes), [0_u32; 0], "s alone has all of them now, which are more than it may have");
        for of in [['c', 's'], ['c', 's'], ['s', 'c']] {
            lanes.leave(&of);
        }
        assert_eq!(started(&mut lanes), [2]);
    }

    #[test]
    fn slow_lanes_leave_half_of_all_places() {
        let mut lanes = Lanes::new(20, 16, 16, 8);
        lanes.mark_slow((0..5).collect());
        for key in 0..100 {
            lanes.enter(key, vec![key % 5]);
        }
        assert_eq!(std::iter::from_fn(|| lanes.start()).count(), 10);
    }

    #[test]
    fn whatever_lanes_keys_are_in_each_is_started_once_and_no_lane_has_more_than_its_places() {
        // The lanes of a key: one or two of four, so that many wait for two at a time.
        let of = |key: u32| {
            let (one, other) = (key * 7 % 4, key * 5 % 3);
            [Some(one), (one != other).then_some(other)].into_iter().flatten().collect::<Vec<_>>()
        };
        for seed in 0..50 {
            let mut lanes = Lanes::new(5, 2, 2, 1);
            let (mut brought, mut done, mut at_work) = (0_u32..200, Vec::new(), VecDeque::new());
            for turn in 0_usize.. {
                // Every third seed has lanes that become slow, and quick again.
                if seed % 3 == 0 {
                    lanes.mark_slow((0..4).filter(|lane| (turn * 7 + seed) / 5 % (*lane as usize + 2) == 1).collect());
                }
                while let Some((key, its)) = lanes.start() {
                    at_work.push_back((key, its));
                }
                for lane in (0..4).filter(|_| seed % 3 != 0) {
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
