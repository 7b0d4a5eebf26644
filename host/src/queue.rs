//! The work queue: keys, each at most once in it and at most once at work. It coalesces and never drops.
//!
//! A key that is added while it is at work runs again afterwards. A delayed key comes due by itself; adding it in the
//! meantime brings it forward. Bounded by the number of keys, which is bounded by the objects in the caches.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    hash::Hash,
    time::Duration,
};

use parking_lot::{Mutex, MutexGuard};
use tokio::{sync::Notify, time::Instant};

/// See the module.
#[derive(Debug)]
pub struct Queue<K> {
    state: Mutex<State<K>>,
    changed: Notify,
}

#[derive(Debug)]
struct State<K> {
    ready: VecDeque<K>,
    entries: HashMap<K, Entry>,
    later: BTreeSet<(Instant, K)>,
}

#[derive(Debug, Default)]
struct Entry {
    /// In `ready`, since then.
    ready: Option<Instant>,
    running: bool,
    /// Added while running.
    again: bool,
    /// In `later`, for then.
    due: Option<Instant>,
}

impl Entry {
    fn is_idle(&self) -> bool {
        self.ready.is_none() && !self.running && self.due.is_none()
    }
}

impl<K: Clone + Eq + Hash + Ord> Default for Queue<K> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: Clone + Eq + Hash + Ord> Queue<K> {
    /// An empty queue.
    pub fn new() -> Self {
        let state = State { ready: VecDeque::new(), entries: HashMap::new(), later: BTreeSet::new() };
        Self { state: Mutex::new(state), changed: Notify::new() }
    }

    /// The key is to be looked at now.
    pub fn add(&self, key: K) {
        self.add_all([key]);
    }

    /// All these keys are to be looked at now.
    pub fn add_all(&self, keys: impl IntoIterator<Item = K>) {
        let mut state = self.lock();
        let now = Instant::now();
        let mut any = false;
        for key in keys {
            state.make_ready(key, now);
            any = true;
        }
        drop(state);
        if any {
            self.changed.notify_one();
        }
    }

    /// The key is to be looked at after `delay`, if nothing brings it forward.
    pub fn add_after(&self, key: K, delay: Duration) {
        let mut state = self.lock();
        let due = Instant::now() + delay;
        let entry = state.entries.entry(key.clone()).or_default();
        if entry.ready.is_some() || entry.due.is_some_and(|earlier| earlier <= due) {
            return;
        }
        let old = entry.due.replace(due);
        if let Some(old) = old {
            state.later.remove(&(old, key.clone()));
        }
        state.later.insert((due, key));
        drop(state);
        self.changed.notify_one();
    }

    /// The key's work failed: it is looked at again after `delay` and, but for what is added after [`Queue::done`], not
    /// before. What was added while it ran waits with it, since that is mostly the echo of its own writes.
    pub fn defer(&self, key: &K, delay: Duration) {
        let mut state = self.lock();
        if let Some(entry) = state.entries.get_mut(key) {
            entry.again = false;
        }
        drop(state);
        self.add_after(key.clone(), delay);
    }

    /// Waits for a key and takes it, with the time that it was due for. [`Queue::done`] must follow.
    pub async fn next(&self) -> (K, Duration) {
        loop {
            let (taken, wake) = self.take();
            if let Some(taken) = taken {
                // There may be more for another waiter.
                self.changed.notify_one();
                return taken;
            }
            let changed = self.changed.notified();
            match wake {
                Some(at) => {
                    tokio::select! {
                        () = changed => {}
                        () = tokio::time::sleep_until(at) => {}
                    }
                }
                None => changed.await,
            }
        }
    }

    fn take(&self) -> (Option<(K, Duration)>, Option<Instant>) {
        let mut state = self.lock();
        let now = Instant::now();
        state.bring_forward(now);
        let Some(key) = state.ready.pop_front() else {
            let wake = state.later.first().map(|(at, _)| *at);
            return (None, wake);
        };
        let mut waited = Duration::ZERO;
        if let Some(entry) = state.entries.get_mut(&key) {
            waited = entry.ready.take().map_or(Duration::ZERO, |since| now - since);
            entry.running = true;
        }
        (Some((key, waited)), None)
    }

    /// The key's work ended.
    pub fn done(&self, key: &K) {
        let mut state = self.lock();
        let Some(entry) = state.entries.get_mut(key) else { return };
        entry.running = false;
        if std::mem::take(&mut entry.again) {
            state.make_ready(key.clone(), Instant::now());
            drop(state);
            self.changed.notify_one();
        } else if entry.is_idle() {
            state.entries.remove(key);
        }
    }

    /// Keys that are ready and wait for a worker.
    pub fn depth(&self) -> usize {
        self.lock().ready.len()
    }

    fn lock(&self) -> MutexGuard<'_, State<K>> {
        self.state.lock()
    }
}

impl<K: Clone + Eq + Hash + Ord> State<K> {
    fn make_ready(&mut self, key: K, now: Instant) {
        let entry = self.entries.entry(key.clone()).or_default();
        if let Some(due) = entry.due.take() {
            self.later.remove(&(due, key.clone()));
        }
        if entry.running {
            entry.again = true;
        } else if entry.ready.is_none() {
            entry.ready = Some(now);
            self.ready.push_back(key);
        }
    }

    fn bring_forward(&mut self, now: Instant) {
        while let Some((due, key)) = self.later.first().cloned().filter(|(due, _)| *due <= now) {
            self.later.remove(&(due, key.clone()));
            if let Some(entry) = self.entries.get_mut(&key) {
                entry.due = None;
            }
            self.make_ready(key, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drained(queue: &Queue<u32>) -> Vec<u32> {
        std::iter::from_fn(|| queue.take().0.map(|(key, _)| key)).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_is_in_it_once_and_at_work_once() {
        let queue = Queue::new();
        queue.add_all([1, 2, 1]);
        assert_eq!(queue.next().await.0, 1);
        queue.add(1);
        queue.add(1);
        assert_eq!(drained(&queue), [2]);
        queue.done(&1);
        assert_eq!(drained(&queue), [1], "what was added while it ran is not lost");
        queue.done(&1);
        assert_eq!(drained(&queue), [0_u32; 0]);
        assert!(
            queue.lock().entries.contains_key(&2) && !queue.lock().entries.contains_key(&1),
            "idle keys leave nothing"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_delayed_key_comes_due_and_can_be_brought_forward() {
        let queue = Queue::new();
        let start = Instant::now();
        queue.add_after(1, Duration::from_secs(5));
        queue.add_after(1, Duration::from_secs(9));
        queue.add_after(2, Duration::from_secs(3));
        assert_eq!((queue.next().await.0, start.elapsed().as_secs()), (2, 3));
        assert_eq!((queue.next().await.0, start.elapsed().as_secs()), (1, 5));
        queue.done(&1);
        queue.add_after(1, Duration::from_mins(1));
        queue.add(1);
        assert_eq!((queue.next().await.0, start.elapsed().as_secs()), (1, 5));
        queue.done(&1);
        assert!(queue.lock().later.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_deferred_key_is_not_brought_forward_by_its_own_echoes() {
        let queue = Queue::new();
        queue.add(1);
        queue.next().await;
        queue.add(1);
        queue.defer(&1, Duration::from_secs(7));
        queue.done(&1);
        let start = Instant::now();
        assert_eq!((queue.next().await.0, start.elapsed().as_secs()), (1, 7));
    }

    #[tokio::test(start_paused = true)]
    async fn a_delay_given_at_work_holds_afterwards() {
        let queue = Queue::new();
        queue.add(1);
        queue.next().await;
        queue.add_after(1, Duration::from_secs(2));
        queue.done(&1);
        let start = Instant::now();
        assert_eq!((queue.next().await.0, start.elapsed().as_secs()), (1, 2));
    }
}
