//! One kind of one cluster, as its watch last showed it and as our own writes changed it since.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use resource_broker_api::object::Object;
use tokio::{sync::Notify, time::Instant};

use crate::{
    planner::model::snapshot::View,
    resource::Resource,
    watch::{State, is_version},
};

/// How long a cache may be unread before that is told on objects: start-up is no failure.
const PATIENCE: Duration = Duration::from_secs(10);

/// The answer to a write of ours is not older than this: its request waits for a turn and for the answer for ten seconds each,
/// and is sent after the first.
const LATE: Duration = Duration::from_secs(15);

/// Namespace (empty for cluster-wide kinds) and name.
pub(super) type Place = (String, String);

/// The place of an object.
pub(super) fn place(namespace: Option<&str>, name: &str) -> Place {
    (namespace.unwrap_or_default().to_owned(), name.to_owned())
}

/// A change of an object: what was there, what is there now.
pub(super) struct Change {
    /// Before; `None`: nothing.
    pub(super) old: Option<Arc<Object>>,
    /// Now; `None`: nothing.
    pub(super) new: Option<Arc<Object>>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Store {
    /// How the cluster serves the kind, once that is known.
    pub(super) resource: Option<Resource>,
    /// Asks a watch that waits for its next try to make it soon.
    pub(super) call: Arc<Notify>,
    /// Asks its watch to make sure that the cluster is still in the state that the store shows.
    pub(super) doubt: Arc<Notify>,
    state: State,
    since: Instant,
    /// Why a store that can be believed is not followed now, and since when.
    unfollowed: Option<(Instant, String)>,
    /// What it holds is of another cluster, or of a state that the cluster was set back from: the next list is all there is.
    distrusted: bool,
    objects: HashMap<Place, Held>,
    /// About how many bytes they take in memory.
    weight: usize,
    /// The newest version that lists, events and bookmarks showed; our own writes do not count.
    seen_to: u64,
    /// A version that was seen longer ago than [`LATE`], and one that will be: with when it was.
    long_seen: u64,
    soon_long_seen: (u64, Instant),
    /// UIDs whose end we caused ourselves: older events of theirs may still come.
    ended: HashSet<String>,
}

#[derive(Debug)]
struct Held {
    object: Arc<Object>,
    /// Written by us and not yet seen in the watch.
    unconfirmed: bool,
}

impl Store {
    /// An empty store whose first list is under way.
    pub(super) fn new() -> Self {
        Self {
            resource: None,
            call: Arc::default(),
            doubt: Arc::default(),
            state: State::Starting,
            since: Instant::now(),
            unfollowed: None,
            distrusted: false,
            objects: HashMap::new(),
            weight: 0,
            seen_to: 0,
            long_seen: 0,
            soon_long_seen: (0, Instant::now()),
            ended: HashSet::new(),
        }
    }

    /// Whether it can be believed.
    pub(super) fn state(&self) -> &State {
        &self.state
    }

    /// Asks its watch to try again soon, where it has failed.
    pub(super) fn call_if_unread(&self) {
        if !matches!(self.state, State::Synced | State::Starting) {
            self.call.notify_one();
        }
    }

    /// Whether the first list is done.
    pub(super) fn is_synced(&self) -> bool {
        self.state == State::Synced
    }

    /// About how many bytes its objects take in memory.
    pub(super) fn weight(&self) -> usize {
        self.weight
    }

    fn insert(&mut self, place: Place, object: Arc<Object>, unconfirmed: bool) -> Option<Arc<Object>> {
        self.weight += object.weight();
        let old = self.objects.insert(place, Held { object, unconfirmed }).map(|held| held.object);
        self.weight -= old.as_ref().map_or(0, |old| old.weight());
        old
    }

    fn remove(&mut self, place: &Place) -> Option<Arc<Object>> {
        let old = self.objects.remove(place).map(|held| held.object);
        self.weight -= old.as_ref().map_or(0, |old| old.weight());
        old
    }

    /// Changes the state; `true` if it did.
    pub(super) fn set_state(&mut self, state: State) -> bool {
        // Another text for the same trouble is no change: it would wake every key at a stranger's will.
        let changed = std::mem::discriminant(&self.state) != std::mem::discriminant(&state);
        let was_waiting = !self.is_synced();
        self.state = state;
        if changed && (!was_waiting || self.is_synced()) {
            self.since = Instant::now();
        }
        changed
    }

    /// Why the store cannot be believed; `None` where it can.
    pub(super) fn why_unread(&self) -> Option<String> {
        match &self.state {
            State::Synced => None,
            State::Starting => Some("it has not been read yet".into()),
            State::NotServed(why) | State::Forbidden(why) | State::Failing(why) => Some(why.clone()),
        }
    }

    /// Says why the store is not followed now, although what it shows is believed; `None`: it is followed.
    pub(super) fn unfollowed(&mut self, why: Option<String>) {
        self.unfollowed = why.map(|why| match self.unfollowed.take() {
            Some((since, _)) => (since, why),
            None => (Instant::now(), why),
        });
    }

    /// What is wrong with it, for people: it cannot be believed, or has not been followed for a while.
    pub(super) fn complaint(&self) -> Option<String> {
        let lasts = |(since, _): &&(Instant, String)| since.elapsed() >= PATIENCE;
        let stale = || {
            let (_, why) = self.unfollowed.as_ref().filter(lasts)?;
            Some(format!("{why}; what it showed before is still believed"))
        };
        self.why_unread().or_else(stale)
    }

    /// What the store holds may not be what its cluster holds, whatever the versions say. Nothing is concluded from it until
    /// it has been listed again.
    pub(super) fn distrust(&mut self, why: String) -> bool {
        self.distrusted = true;
        self.set_state(State::Failing(why))
    }

    /// The newest version that the cluster has shown, where all that it has shown is of one history.
    pub(super) fn newest(&self) -> Option<u64> {
        (!self.distrusted).then_some(self.seen_to)
    }

    /// Whether an object that the cluster shows belies the store, which has seen everything up to `version`.
    pub(super) fn is_belied_by(&self, object: &Object, version: u64) -> bool {
        if object.revision() > version || self.ended.contains(object.uid()) {
            return false;
        }
        let held = self.get(&place(object.namespace(), object.name()));
        // Our own writes may be ahead.
        held.is_none_or(|held| held.uid() != object.uid() || held.revision() < object.revision())
    }

    /// Why the store cannot be believed, and whether that is to be told: a right that is missing does not come by itself, and
    /// anything else has to last.
    pub(super) fn unread(&self) -> Option<(String, bool)> {
        let lasts = match self.state {
            State::Starting => false,
            State::Forbidden(_) => true,
            State::Synced | State::NotServed(_) | State::Failing(_) => self.since.elapsed() >= PATIENCE,
        };
        self.why_unread().map(|why| (why, lasts))
    }

    /// What is known of one object.
    pub(super) fn view(&self, place: &Place) -> View<Arc<Object>> {
        match (self.unread(), self.objects.get(place)) {
            (None, Some(held)) => View::Present(held.object.clone()),
            (None, None) => View::Absent,
            (Some((why, failing)), _) => View::Unknown { why, failing },
        }
    }

    /// One object as it was last seen, synced or not.
    pub(super) fn get(&self, place: &Place) -> Option<&Arc<Object>> {
        self.objects.get(place).map(|held| &held.object)
    }

    /// All objects as they were last seen.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Place, &Arc<Object>)> {
        self.objects.iter().map(|(place, held)| (place, &held.object))
    }

    /// Takes a whole list of `version` in. Our own writes that are newer stay: the watch that follows brings them. A list
    /// that is older than what was seen before is of a restored cluster, and all is as it says.
    pub(super) fn replace(&mut self, version: u64, objects: Vec<Object>) -> Vec<Change> {
        let rewound = std::mem::take(&mut self.distrusted) || version < self.seen_to;
        let mut before = std::mem::take(&mut self.objects);
        self.weight = 0;
        let mut changes = Vec::new();
        self.ended.clear();
        self.seen_to = version;
        if rewound {
            self.long_seen = 0;
            self.soon_long_seen = (version, Instant::now());
        }
        for object in objects {
            let place = place(object.namespace(), object.name());
            let old = before.remove(&place).map(|held| held.object);
            let is_newer =
                |old: &&Arc<Object>| !rewound && old.uid() == object.uid() && old.revision() >= object.revision();
            if let Some(old) = old.as_ref().filter(is_newer) {
                self.insert(place, old.clone(), false);
                continue;
            }
            let object = Arc::new(object);
            changes.push(Change { old, new: Some(object.clone()) });
            self.insert(place, object, false);
        }
        for (place, held) in before {
            if !rewound && held.unconfirmed && held.object.revision() > version {
                self.insert(place, held.object, true);
            } else {
                changes.push(Change { old: Some(held.object), new: None });
            }
        }
        changes
    }

    /// The watch has shown everything up to this version.
    pub(super) fn seen_to(&mut self, version: u64) {
        self.seen_to = self.seen_to.max(version);
        self.long_seen();
    }

    /// A version that was seen before any write was sent whose answer may still come.
    fn long_seen(&mut self) -> u64 {
        if self.soon_long_seen.1.elapsed() >= LATE {
            self.long_seen = self.soon_long_seen.0;
            self.soon_long_seen = (self.seen_to, Instant::now());
        }
        self.long_seen
    }

    /// Takes in an object that the watch shows.
    pub(super) fn seen(&mut self, object: Object) -> Option<Change> {
        self.seen_to(object.revision());
        if self.ended.contains(object.uid()) {
            return None;
        }
        self.put(object, false)
    }

    /// Takes in what the API server answered to our own write. Where that cannot be of the state that the store shows, the
    /// watch is asked to look: versions that go back are those of a cluster that was restored, or of another one.
    pub(super) fn wrote(&mut self, object: Object) -> Option<Change> {
        let long_seen = self.long_seen();
        let held = self.objects.get(&place(object.namespace(), object.name()));
        let is_held = held.is_some_and(|held| held.object.uid() == object.uid());
        let went_back = match held.filter(|_| is_held).map(|held| held.object.revision()) {
            Some(held) => object.revision() < held && held <= long_seen,
            None => self.is_synced() && object.revision() <= long_seen,
        };
        if went_back || !is_version(object.resource_version()) {
            self.doubt.notify_one();
        }
        // The watch has been there already, and showed its end.
        if !is_held && object.revision() <= self.seen_to {
            return None;
        }
        self.put(object, true)
    }

    fn put(&mut self, object: Object, unconfirmed: bool) -> Option<Change> {
        let place = place(object.namespace(), object.name());
        if let Some(held) = self.objects.get_mut(&place)
            && held.object.revision() >= object.revision()
        {
            held.unconfirmed &= unconfirmed;
            return None;
        }
        let new = Arc::new(object);
        let old = self.insert(place, new.clone(), unconfirmed);
        Some(Change { old, new: Some(new) })
    }

    /// The watch says that an object ended.
    pub(super) fn deleted(&mut self, object: &Object) -> Option<Change> {
        self.seen_to(object.revision());
        self.ended.remove(object.uid());
        let place = place(object.namespace(), object.name());
        let is_it = self.objects.get(&place).is_some_and(|held| held.object.uid() == object.uid());
        is_it.then(|| self.remove(&place)).flatten().map(|old| Change { old: Some(old), new: None })
    }

    /// An API server's answer to us says that an object ended.
    pub(super) fn ended(&mut self, place: &Place, uid: &str) -> Option<Change> {
        let is_it = self.objects.get(place).is_some_and(|held| held.object.uid() == uid);
        if !is_it {
            return None;
        }
        self.ended.insert(uid.to_owned());
        self.remove(place).map(|old| Change { old: Some(old), new: None })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(name: &str, uid: &str, version: u64) -> Object {
        let object = json!({"metadata": {"name": name, "uid": uid, "resourceVersion": version.to_string()}});
        serde_json::from_str(&object.to_string()).unwrap()
    }

    fn versions(store: &Store) -> Vec<(String, u64)> {
        let mut all: Vec<_> = store.iter().map(|(place, object)| (place.1.clone(), object.revision())).collect();
        all.sort();
        all
    }

    #[tokio::test]
    async fn only_a_missing_right_is_told_at_once() {
        let mut store = Store::new();
        assert_eq!(store.unread().map(|(_, is_told)| is_told), Some(false));
        for (state, is_told) in [
            (State::Failing("no answer".into()), false),
            (State::NotServed("no such kind".into()), false),
            (State::Forbidden("no list".into()), true),
        ] {
            let why = match &state {
                State::Failing(why) | State::NotServed(why) | State::Forbidden(why) => why.clone(),
                State::Starting | State::Synced => String::new(),
            };
            store.set_state(state);
            assert_eq!(store.unread(), Some((why, is_told)));
        }
        store.set_state(State::Synced);
        assert_eq!(store.unread(), None);
    }

    #[tokio::test]
    async fn an_echo_of_our_own_write_is_no_change_and_an_older_event_is_not_believed() {
        let mut store = Store::new();
        store.replace(5, vec![object("a", "1", 5)]);
        assert!(store.wrote(object("a", "1", 9)).is_some());
        assert!(store.seen(object("a", "1", 7)).is_none(), "an event from before our write");
        assert!(store.seen(object("a", "1", 9)).is_none(), "the echo");
        assert!(store.seen(object("a", "1", 10)).is_some());
    }

    #[tokio::test]
    async fn what_we_ended_is_not_brought_back_by_an_old_event() {
        let mut store = Store::new();
        store.replace(5, vec![object("a", "1", 5)]);
        assert!(store.ended(&place(None, "a"), "other").is_none());
        assert!(store.ended(&place(None, "a"), "1").is_some());
        assert!(store.seen(object("a", "1", 6)).is_none());
        assert!(store.seen(object("a", "2", 8)).is_some(), "another object under the name");
        assert!(store.deleted(&object("a", "1", 7)).is_none(), "the end of the first is not the end of the second");
        assert_eq!(versions(&store), [("a".into(), 8)]);
    }

    #[tokio::test]
    async fn a_list_from_before_our_write_does_not_undo_it() {
        let mut store = Store::new();
        store.replace(5, vec![object("a", "1", 5), object("old", "2", 4)]);
        store.wrote(object("b", "3", 9));
        store.wrote(object("a", "1", 8));
        let changes = store.replace(6, vec![object("a", "1", 5)]);
        assert_eq!(versions(&store), [("a".into(), 8), ("b".into(), 9)]);
        assert_eq!(changes.len(), 1, "only the end of `old`");
        let changes = store.replace(12, vec![object("a", "1", 10)]);
        assert_eq!(versions(&store), [("a".into(), 10)], "b is older than the list, and not in it");
        assert_eq!(changes.len(), 2);
    }

    #[tokio::test]
    async fn a_late_answer_does_not_bring_back_what_the_watch_showed_the_end_of() {
        let mut store = Store::new();
        store.replace(5, vec![]);
        store.seen(object("a", "1", 6));
        store.deleted(&object("a", "1", 8));
        assert!(store.wrote(object("a", "1", 7)).is_none());
        assert!(store.wrote(object("a", "2", 9)).is_some());
    }

    #[tokio::test]
    async fn a_restored_cluster_is_believed_although_its_versions_are_lower() {
        let mut store = Store::new();
        store.replace(900, vec![object("a", "1", 900), object("b", "2", 800)]);
        let changes = store.replace(400, vec![object("a", "1", 300)]);
        assert_eq!((versions(&store), changes.len()), (vec![("a".into(), 300)], 2));
        assert!(store.seen(object("a", "1", 401)).is_some());
    }
}
