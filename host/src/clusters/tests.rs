use std::{fs, path::Path};

use kube::Client;
use tempfile::TempDir;
use tokio::{sync::watch, time::timeout};

use super::*;
use crate::kubeconfig::{Place, tests::kubeconfig};

const PATIENCE: Duration = Duration::from_secs(20);

struct House {
    folder: TempDir,
    set: ClusterSet,
    events: mpsc::Receiver<ClusterEvent>,
}

impl House {
    /// Coordination, and a directory of providers that holds `files`.
    async fn new(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("providers")).unwrap();
        fs::write(folder.path().join("coordination"), kubeconfig(&["c"], "t")).unwrap();
        for (name, text) in files {
            put(folder.path(), name, text);
        }
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let coordination = Place::Named { name: "coord".to_owned(), paths: vec![path("coordination").into()] };
        let sources = vec![
            Source { role: Role::Coordination, place: coordination },
            Source { role: Role::Provider, place: Place::Directory(path("providers")) },
        ];
        let settings = Settings { poll: Duration::from_millis(10), proxy: Proxy::default() };
        let (set, events) = ClusterSet::start(sources, settings, Metrics::new()).await.unwrap();
        Self { folder, set, events }
    }

    fn put(&self, name: &str, text: &str) {
        put(self.folder.path(), name, text);
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.folder.path().join("providers").join(name)).unwrap();
    }

    fn name(&self, file: &str) -> ClusterName {
        let path = self.folder.path().join("providers").join(file);
        ClusterName::new(Role::Provider, format!("{}+a", path.display()))
    }

    async fn event(&mut self) -> ClusterEvent {
        timeout(PATIENCE, self.events.recv()).await.expect("no event").expect("the keeper is gone")
    }

    async fn attached(&mut self) -> Arc<Cluster> {
        match self.event().await {
            ClusterEvent::Attached(cluster) => cluster,
            ClusterEvent::Detached(name) => panic!("{name} was detached"),
        }
    }

    async fn detached(&mut self) -> ClusterName {
        match self.event().await {
            ClusterEvent::Detached(name) => name,
            ClusterEvent::Attached(cluster) => panic!("{cluster:?} was attached"),
        }
    }

    async fn problems(&self, wanted: impl Fn(&[Problem]) -> bool) -> Vec<Problem> {
        let waiting = async {
            while !wanted(&self.set.problems()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let outcome = timeout(PATIENCE, waiting).await;
        let problems = self.set.problems();
        assert!(outcome.is_ok(), "{problems:?}");
        problems
    }
}

/// Writes a provider's file as a whole, as careful people do.
fn put(folder: &Path, name: &str, text: &str) {
    let new = folder.join("new");
    fs::write(&new, text).unwrap();
    fs::rename(new, folder.join("providers").join(name)).unwrap();
}

async fn rotated(client: &mut watch::Receiver<Client>) {
    timeout(PATIENCE, client.changed()).await.expect("not rotated").unwrap();
}

#[tokio::test]
async fn clusters_come_and_go_with_their_files() {
    let mut house = House::new(&[]).await;
    assert_eq!(house.set.coordination().name().to_string(), "coordination#coord");
    house.put("one.kubeconfig", &kubeconfig(&["a"], "t"));
    let cluster = house.attached().await;
    assert_eq!(*cluster.name(), house.name("one.kubeconfig"));
    house.put("two.kubeconfig", &kubeconfig(&["a"], "t"));
    assert_eq!(*house.attached().await.name(), house.name("two.kubeconfig"));
    house.remove("one.kubeconfig");
    assert_eq!(house.detached().await, *cluster.name());
    assert!(house.set.get(cluster.name()).is_none());
    house.put("one.kubeconfig", &kubeconfig(&["a"], "t"));
    assert_eq!(house.attached().await.name(), cluster.name());
}

#[tokio::test]
async fn new_credentials_are_the_same_cluster() {
    let mut house = House::new(&[("one.kubeconfig", &kubeconfig(&["a"], "old"))]).await;
    let cluster = house.attached().await;
    let mut client = cluster.watch_client();
    house.put("one.kubeconfig", &kubeconfig(&["a"], "new"));
    rotated(&mut client).await;
    let now = house.set.get(cluster.name()).unwrap();
    assert!(Arc::ptr_eq(&cluster, &now));
    assert!(house.events.try_recv().is_err(), "a rotation is no event");
}

#[tokio::test]
async fn a_file_that_breaks_keeps_its_clusters_and_tells() {
    let mut house = House::new(&[("one.kubeconfig", &kubeconfig(&["a"], "old"))]).await;
    let cluster = house.attached().await;
    for broken in ["", "{", "contexts: []"] {
        house.put("one.kubeconfig", broken);
        let problems = house.problems(|problems| !problems.is_empty()).await;
        assert!(problems[0].place.ends_with("one.kubeconfig"), "{problems:?}");
        let checks = house.set.checks();
        assert!(
            checks.iter().any(|check| !check.ok && !check.required && check.name.contains("kubeconfig")),
            "{checks:?}"
        );
        // Others are looked after meanwhile; two rounds later the broken one would be gone if it was to go.
        house.put("two.kubeconfig", &kubeconfig(&["a"], "t"));
        assert_eq!(*house.attached().await.name(), house.name("two.kubeconfig"));
        house.remove("two.kubeconfig");
        assert_eq!(house.detached().await, house.name("two.kubeconfig"));
        assert!(house.set.get(cluster.name()).is_some(), "{broken:?}");
        house.put("one.kubeconfig", &kubeconfig(&["a"], "old"));
        house.problems(<[Problem]>::is_empty).await;
    }
    assert!(house.set.get(cluster.name()).is_some_and(|now| Arc::ptr_eq(&cluster, &now)));
}

#[tokio::test]
async fn a_context_that_goes_takes_only_its_cluster() {
    let mut house = House::new(&[("one.kubeconfig", &kubeconfig(&["a", "b"], "t"))]).await;
    let first = house.attached().await;
    let second = house.attached().await;
    assert_ne!(first.name(), second.name());
    house.put("one.kubeconfig", &kubeconfig(&["a"], "t"));
    assert!(house.detached().await.name.ends_with("+b"));
}

#[tokio::test]
async fn a_kubeconfig_that_makes_no_client_is_a_problem_of_its_own() {
    let plugin = kubeconfig(&["a"], "t").replace("token: t", "exec: {command: /no/such/plugin, apiVersion: x}");
    let mut house = House::new(&[("bad.kubeconfig", &plugin), ("one.kubeconfig", &kubeconfig(&["a"], "t"))]).await;
    assert_eq!(*house.attached().await.name(), house.name("one.kubeconfig"));
    let problems = house.problems(|problems| !problems.is_empty()).await;
    assert!(problems[0].what.contains("its credential plugin could not be started"), "{problems:?}");
    house.put("bad.kubeconfig", &kubeconfig(&["a"], "t"));
    assert_eq!(*house.attached().await.name(), house.name("bad.kubeconfig"));
}

#[tokio::test]
async fn without_coordination_there_is_no_start() {
    let sources = vec![Source {
        role: Role::Coordination,
        place: Place::Named { name: "coord".to_owned(), paths: vec!["/no/such/file".into()] },
    }];
    let settings = Settings { poll: POLL, proxy: Proxy::default() };
    let error = ClusterSet::start(sources, settings, Metrics::new()).await.unwrap_err().to_string();
    assert!(error.contains("/no/such/file: the file is not there"), "{error}");
}
