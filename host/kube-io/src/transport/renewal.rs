//! Gets new credentials where the kubeconfig names a plugin or a token file: before they end, and when the API server
//! refuses them, since they may have been replaced before their time.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use k8s_openapi::jiff::Timestamp;
use parking_lot::{Mutex, MutexGuard};
use tokio::{sync::Notify, task::AbortHandle, time::sleep};

use super::cluster::Cluster;

/// The shortest and the longest time between two looks for new credentials.
const PAUSE: (Duration, Duration) = (Duration::from_secs(10), Duration::from_mins(1));
/// How long before their end credentials are renewed, at most.
const MARGIN: Duration = Duration::from_mins(1);

/// What is known of one cluster's credentials.
#[derive(Default)]
pub(super) struct Renewal {
    /// Held by who gets credentials: a plugin runs once at a time.
    pub(super) one: tokio::sync::Mutex<()>,
    wake: Arc<Notify>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// When the credentials end, and how long they were good for when they came.
    expires: Option<(Timestamp, Duration)>,
    /// Why there are no new ones.
    trouble: Option<String>,
    task: Option<AbortHandle>,
}

impl Renewal {
    /// Credentials came.
    pub(super) fn came(&self, expires: Option<Timestamp>) {
        let mut state = self.lock();
        state.expires = expires.map(|at| (at, until(at)));
        state.trouble = None;
    }

    /// When they end, where that is known.
    pub(super) fn expires(&self) -> Option<Timestamp> {
        self.lock().expires.map(|(at, _)| at)
    }

    /// None came. True where that is news.
    pub(super) fn failed(&self, why: &str) -> bool {
        let before = self.lock().trouble.replace(why.to_owned());
        before.is_none_or(|before| before != why)
    }

    /// Why none came.
    pub(super) fn trouble(&self) -> Option<String> {
        self.lock().trouble.clone()
    }

    /// The API server refuses them.
    pub(super) fn refused(&self) {
        self.wake.notify_one();
    }

    /// Until they are to be renewed; `None` where nothing says when they end.
    fn due_in(&self) -> Option<Duration> {
        let (at, lifetime) = self.lock().expires?;
        Some(until(at).saturating_sub(MARGIN.min(lifetime / 5)))
    }

    /// Looks after the credentials of a cluster in the background, for as long as it lives.
    pub(super) fn begin(&self, cluster: Weak<Cluster>) {
        let task = tokio::spawn(keep(cluster, self.wake.clone()));
        if let Some(before) = self.lock().task.replace(task.abort_handle()) {
            before.abort();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

impl Drop for Renewal {
    fn drop(&mut self) {
        if let Some(task) = self.lock().task.take() {
            task.abort();
        }
    }
}

fn until(at: Timestamp) -> Duration {
    let seconds = at.as_second().saturating_sub(Timestamp::now().as_second());
    Duration::from_secs(u64::try_from(seconds).unwrap_or_default())
}

async fn keep(cluster: Weak<Cluster>, wake: Arc<Notify>) {
    let mut pause = PAUSE.0;
    loop {
        let Some(due) = cluster.upgrade().map(|cluster| cluster.renewal().due_in()) else { return };
        let end = async {
            match due {
                Some(due) => sleep(due).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = end => {}
            () = wake.notified() => {}
        }
        let Some(held) = cluster.upgrade() else { return };
        let is_due = held.renewal().due_in() == Some(Duration::ZERO);
        // The refusal may be over by now.
        if !is_due && !held.is_refused() {
            continue;
        }
        let went_well = held.renew().await;
        drop(held);
        pause = if went_well { PAUSE.0 } else { pause.saturating_mul(2).min(PAUSE.1) };
        sleep(pause).await;
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        path::Path,
        sync::atomic::{AtomicU64, Ordering},
    };

    use http::Request;
    use resource_broker_api::names::ClusterName;
    use serde_json::json;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
        time::{Instant, timeout},
    };

    use super::*;
    use crate::{observe::Nobody, transport::Health};

    /// An API server that knows one token; how many requests it refused.
    async fn knows(token: Arc<Mutex<String>>) -> (u16, Arc<AtomicU64>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let refused = Arc::new(AtomicU64::new(0));
        let counter = refused.clone();
        tokio::spawn(async move {
            while let Ok((mut connection, _)) = listener.accept().await {
                let (token, counter) = (token.clone(), counter.clone());
                tokio::spawn(async move {
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        let Ok(byte) = connection.read_u8().await else { return };
                        head.push(byte);
                    }
                    let expected = format!("authorization: bearer {}\r\n", token.lock());
                    let is_known = String::from_utf8(head).unwrap().to_lowercase().contains(&expected);
                    counter.fetch_add(u64::from(!is_known), Ordering::Relaxed);
                    let status = if is_known { "200 OK" } else { "401 Unauthorized" };
                    let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{{}}");
                    let _ = connection.write_all(answer.as_bytes()).await;
                });
            }
        });
        (port, refused)
    }

    fn config(port: u16) -> kube::Config {
        kube::Config::new(format!("http://127.0.0.1:{port}").parse().unwrap())
    }

    /// A plugin that gives what is in a file, and leaves a line for each time that it runs.
    fn with_plugin(mut config: kube::Config, folder: &Path) -> kube::Config {
        let script = "echo >> runs; echo \"{status: {token: $(cat token)}}\"";
        let exec = json!({"command": "sh", "args": ["-c", format!("cd {}; {script}", folder.display())]});
        config.auth_info.exec = Some(serde_json::from_value(exec).unwrap());
        config
    }

    async fn connect(config: kube::Config) -> Arc<Cluster> {
        Cluster::connect(ClusterName::parse("provider#p").unwrap(), config, Nobody).await.unwrap()
    }

    async fn ask(cluster: &Cluster) -> Result<(), String> {
        let request = Request::get("/version").body(Vec::new()).unwrap();
        cluster.request(request).await.map(|_| ()).map_err(|error| error.to_string())
    }

    async fn comes_up(cluster: &Cluster) {
        let mut health = cluster.health();
        let up = timeout(Duration::from_secs(8), health.wait_for(|health| *health == Health::Up)).await;
        assert!(up.is_ok(), "{:?}", *cluster.health().borrow());
    }

    #[tokio::test]
    async fn a_token_that_was_replaced_before_its_time_is_asked_for_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let token = Arc::new(Mutex::new("first".to_owned()));
        let (port, _) = knows(token.clone()).await;
        fs::write(folder.path().join("token"), "first").unwrap();
        let cluster = connect(with_plugin(config(port), folder.path())).await;
        ask(&cluster).await.unwrap();
        let runs = || fs::read_to_string(folder.path().join("runs")).unwrap().lines().count();
        assert_eq!(runs(), 1, "once for both clients");

        fs::write(folder.path().join("token"), "second").unwrap();
        "second".clone_into(&mut token.lock());
        let mut watches = cluster.watch_client();
        watches.borrow_and_update();
        let error = ask(&cluster).await.unwrap_err();
        assert!(error.contains("what its credential plugin sh gives is not known there"), "{error}");
        let started = Instant::now();
        comes_up(&cluster).await;
        assert!(started.elapsed() < Duration::from_secs(5), "at once");
        ask(&cluster).await.unwrap();
        assert!(watches.has_changed().unwrap(), "watches go on with the new one");
        assert_eq!(runs(), 2);
    }

    #[tokio::test]
    async fn a_token_file_is_read_again_when_it_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        let token = Arc::new(Mutex::new("first".to_owned()));
        let (port, _) = knows(token.clone()).await;
        fs::write(&file, "first").unwrap();
        let mut config = config(port);
        config.auth_info.token_file = Some(file.display().to_string());
        let cluster = connect(config).await;
        ask(&cluster).await.unwrap();
        fs::write(&file, "second").unwrap();
        "second".clone_into(&mut token.lock());
        assert!(ask(&cluster).await.unwrap_err().contains("the file is read again by itself"));
        comes_up(&cluster).await;
        ask(&cluster).await.unwrap();
    }

    #[tokio::test]
    async fn a_plugin_that_gives_nothing_good_is_not_run_all_the_time() {
        let folder = tempfile::tempdir().unwrap();
        let (port, refused) = knows(Arc::new(Mutex::new("none".to_owned()))).await;
        fs::write(folder.path().join("token"), "bad").unwrap();
        let cluster = connect(with_plugin(config(port), folder.path())).await;
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(2) {
            assert!(ask(&cluster).await.is_err());
        }
        assert!(refused.load(Ordering::Relaxed) > 10);
        let runs = fs::read_to_string(folder.path().join("runs")).unwrap().lines().count();
        assert_eq!(runs, 2, "to connect, and once more");
        assert_eq!(*cluster.health().borrow(), Health::Refused);
    }

    #[tokio::test(start_paused = true)]
    async fn credentials_are_renewed_before_they_end() {
        let renewal = Renewal::default();
        assert_eq!(renewal.due_in(), None);
        for (lifetime, due) in [(3600, 3540), (100, 80), (0, 0)] {
            renewal.came(Some(Timestamp::from_second(Timestamp::now().as_second() + lifetime).unwrap()));
            let found = renewal.due_in().unwrap();
            assert!(found <= Duration::from_secs(due) && found + Duration::from_secs(2) >= Duration::from_secs(due));
        }
    }
}
