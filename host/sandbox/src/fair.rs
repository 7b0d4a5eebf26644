//! Places for calls, shared out fairly between APIs.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::oneshot;

use resource_broker_plugin_types::ApiName;

/// A number of places. APIs that wait take turns, and where there are two places or more, no API has them all: one whose calls
/// take long delays its own calls before it delays others.
#[derive(Clone, Debug)]
pub(crate) struct Places(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    free: usize,
    /// How many places one API may have.
    most: usize,
    taken: HashMap<ApiName, usize>,
    waiting: HashMap<ApiName, VecDeque<oneshot::Sender<Place>>>,
    /// The APIs that wait, in the order of their turns.
    turns: VecDeque<ApiName>,
}

/// A place for one call, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Places,
    /// `None`: the place was handed back already.
    api: Option<ApiName>,
}

impl Places {
    /// `count` places, at least one.
    pub(crate) fn new(count: usize) -> Self {
        let free = count.max(1);
        let state = State {
            free,
            most: if free == 1 { 1 } else { free - 1 },
            taken: HashMap::new(),
            waiting: HashMap::new(),
            turns: VecDeque::new(),
        };
        Self(Arc::new(Mutex::new(state)))
    }

    /// A place for a call for `api`, as soon as it is its turn; `None`: the places are gone.
    pub(crate) async fn take(&self, api: &ApiName) -> Option<Place> {
        let turn = {
            let mut state = self.state();
            let (sender, turn) = oneshot::channel();
            state.enqueue(api, sender);
            self.hand_out(&mut state);
            turn
        };
        turn.await.ok()
    }

    /// Gives free places to whose turn it is.
    fn hand_out(&self, state: &mut State) {
        while state.free > 0
            && let Some((api, sender)) = state.next()
        {
            state.free -= 1;
            *state.taken.entry(api.clone()).or_default() += 1;
            let place = Place { places: self.clone(), api: Some(api) };
            if let Err(mut unwanted) = sender.send(place)
                && let Some(api) = unwanted.api.take()
            {
                state.give_back(&api);
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }
}

impl State {
    fn enqueue(&mut self, api: &ApiName, sender: oneshot::Sender<Place>) {
        if let Some(queue) = self.waiting.get_mut(api) {
            queue.push_back(sender);
        } else {
            self.waiting.insert(api.clone(), VecDeque::from([sender]));
            self.turns.push_back(api.clone());
        }
    }

    /// Who is next, among the APIs that may have one more place.
    fn next(&mut self) -> Option<(ApiName, oneshot::Sender<Place>)> {
        let may = |api: &ApiName| self.taken.get(api).is_none_or(|taken| *taken < self.most);
        let position = self.turns.iter().position(may)?;
        let api = self.turns.remove(position)?;
        let queue = self.waiting.get_mut(&api)?;
        let sender = queue.pop_front();
        if queue.is_empty() {
            self.waiting.remove(&api);
        } else {
            self.turns.push_back(api.clone());
        }
        Some((api, sender?))
    }

    fn give_back(&mut self, api: &ApiName) {
        self.free += 1;
        if let Some(taken) = self.taken.get_mut(api) {
            *taken -= 1;
            if *taken == 0 {
                self.taken.remove(api);
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(api) = self.api.take() {
            let mut state = self.places.state();
            state.give_back(&api);
            self.places.hand_out(&mut state);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::{Pin, pin};
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn api(name: &str) -> ApiName {
        ApiName { group: String::new(), resource: name.to_owned() }
    }

    fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    /// A place that is free at once.
    fn at_once(places: &Places, name: &str) -> Option<Place> {
        match poll(pin!(places.take(&api(name)))) {
            Poll::Ready(place) => place,
            Poll::Pending => None,
        }
    }

    #[test]
    fn no_api_has_all_places() {
        let places = Places::new(3);
        let _held = [at_once(&places, "greedy").unwrap(), at_once(&places, "greedy").unwrap()];
        assert!(at_once(&places, "greedy").is_none(), "it has all but one");
        assert!(at_once(&places, "modest").is_some());
        let alone = Places::new(1);
        assert!(at_once(&alone, "greedy").is_some(), "the only place is for everybody");
    }

    #[test]
    fn apis_take_turns_however_many_calls_they_have() {
        let places = Places::new(1);
        let first = at_once(&places, "busy").unwrap();
        let busy = api("busy");
        let mut queued: Vec<_> = (0..5).map(|_| Box::pin(places.take(&busy))).collect();
        assert!(queued.iter_mut().all(|turn| poll(turn.as_mut()).is_pending()));
        let other = api("other");
        let mut other = pin!(places.take(&other));
        assert!(poll(other.as_mut()).is_pending());
        drop(first);
        let Poll::Ready(second) = poll(queued[0].as_mut()) else { panic!("it waited longest") };
        assert!(poll(other.as_mut()).is_pending());
        drop(second);
        assert!(queued[1..].iter_mut().all(|turn| poll(turn.as_mut()).is_pending()));
        assert!(poll(other.as_mut()).is_ready(), "its turn comes before the rest of the other's calls");
    }

    #[test]
    fn a_turn_that_nobody_waits_for_is_passed_on() {
        let places = Places::new(1);
        let held = at_once(&places, "first").unwrap();
        let (gone, patient) = (api("gone"), api("patient"));
        let mut given_up = Box::pin(places.take(&gone));
        assert!(poll(given_up.as_mut()).is_pending());
        let mut patient = pin!(places.take(&patient));
        assert!(poll(patient.as_mut()).is_pending());
        drop(given_up);
        drop(held);
        let Poll::Ready(Some(place)) = poll(patient.as_mut()) else { panic!("its turn") };
        drop(place);
        let state = places.state();
        assert_eq!((state.free, state.taken.len(), state.waiting.len(), state.turns.len()), (1, 0, 0, 0));
    }

    #[test]
    fn a_place_that_arrives_too_late_is_given_back() {
        let places = Places::new(1);
        let held = at_once(&places, "first").unwrap();
        let late = api("late");
        let mut given_up = Box::pin(places.take(&late));
        assert!(poll(given_up.as_mut()).is_pending());
        drop(held);
        drop(given_up);
        assert!(at_once(&places, "first").is_some());
    }
}
