//! Asks a cluster who it is, whenever that may have changed.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    sync::mpsc,
    task::AbortHandle,
    time::{sleep, timeout},
};

use crate::{
    fingerprint::{Look, is_own_text, look},
    transport::{Cluster, Health},
};

/// The shortest and the longest pause before a cluster that does not say who it is, is asked again.
const PAUSE: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));
/// How often a cluster is asked that does not say what it said before: a server that begins refuses what it will allow.
const TRIES: u32 = 5;
/// The pause between those.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// A connected cluster, with the task that asks it who it is. Ends with the last of its users.
pub(super) struct Followed {
    pub(super) id: u64,
    pub(super) cluster: Arc<Cluster>,
    expected: Arc<Mutex<Vec<String>>>,
    task: AbortHandle,
}

/// What a cluster said.
pub(super) struct Report {
    pub(super) id: u64,
    /// Which look it was: [`Cluster::prove`] wants to know.
    pub(super) number: u64,
    pub(super) look: Look,
}

impl Followed {
    /// Nothing but looks is sent to the cluster before it is proven.
    pub(super) fn new(
        cluster: Arc<Cluster>,
        expected: Option<Vec<String>>,
        reports: mpsc::UnboundedSender<Report>,
    ) -> Arc<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        cluster.guard();
        let expected = Arc::new(Mutex::new(expected.unwrap_or_default()));
        let task = tokio::spawn(follow(id, cluster.clone(), expected.clone(), reports)).abort_handle();
        Arc::new(Self { id, cluster, expected, task })
    }

    /// The fingerprints by which the cluster is recorded.
    pub(super) fn expected(&self) -> Vec<String> {
        self.expected.lock().clone()
    }

    /// As [`Self::expected`], from now on; what `seen` does not say of them is asked.
    pub(super) fn expect(&self, fingerprints: Vec<String>, seen: Option<&Look>) {
        let mut expected = self.expected.lock();
        if *expected == fingerprints {
            return;
        }
        let is_said = |it: &String| is_own_text(it) || seen.is_some_and(|look| look.is(it).is_some());
        let is_news = !fingerprints.iter().all(is_said);
        *expected = fingerprints;
        drop(expected);
        if is_news {
            self.cluster.suspect();
        }
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn follow(
    id: u64,
    cluster: Arc<Cluster>,
    expected: Arc<Mutex<Vec<String>>>,
    reports: mpsc::UnboundedSender<Report>,
) {
    let (mut last, mut pause, mut tries) = (0, PAUSE.0, 0);
    loop {
        let number = cluster.asked_who_it_is(last).await;
        let mut wanted = expected.lock().clone();
        wanted.retain(|fingerprint| !is_own_text(fingerprint));
        let look = look(&cluster, &wanted).await;
        let silent = matches!(look, Look::Silent(_));
        if !silent && !wanted.is_empty() && wanted.iter().all(|it| look.is(it).is_none()) && tries < TRIES {
            tries += 1;
            sleep(TRY_AGAIN).await;
            continue;
        }
        if reports.send(Report { id, number, look }).is_err() {
            return;
        }
        if !silent {
            (last, pause, tries) = (number, PAUSE.0, 0);
            continue;
        }
        let mut health = cluster.health();
        let was_up = *health.borrow_and_update() == Health::Up;
        // The sender is with the cluster.
        let _ = timeout(pause, health.wait_for(|health| !was_up && *health == Health::Up)).await;
        pause = (pause * 2).min(PAUSE.1);
    }
}
