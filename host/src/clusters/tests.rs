use std::{collections::HashMap, fs, io, path::Path};

use kube::Client;
use tempfile::TempDir;
use tokio::{sync::watch, time::timeout};

use super::*;
use crate::{
    cache::Use,
    kubeconfig::Place,
    testing::{answer, cluster, kubeconfig},
};

const PATIENCE: Duration = Duration::from_secs(20);

/// The servers that there are, by host: the UID of `kube-system`, or nothing while one does not answer.
type Servers = Arc<Mutex<HashMap<String, Option<String>>>>;

struct House {
    folder: TempDir,
    servers: Servers,
    set: ClusterSet,
    events: mpsc::Receiver<ClusterEvent>,
    identities: BTreeMap<ClusterName, Identity>,
}

impl House {
    /// Coordination, and a directory of providers that holds `files`.
    async fn new(files: &[(&str, &str)]) -> Self {
        let house = Self::uninformed(files).await;
        house.set.inform(Directory::default());
        house
    }

    async fn uninformed(files: &[(&str, &str)]) -> Self {
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
        let servers = Servers::default();
        let metrics = Metrics::new();
        let connect = fakes(servers.clone(), metrics.clone());
        let settings = Settings { poll: Duration::from_millis(10), proxy: Proxy::default(), connect };
        let (set, events) = ClusterSet::start(sources, settings, metrics).await.unwrap();
        Self { folder, servers, set, events, identities: BTreeMap::new() }
    }

    fn put(&self, name: &str, text: &str) {
        put(self.folder.path(), name, text);
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.folder.path().join("providers").join(name)).unwrap();
    }

    fn rename(&self, old: &str, new: &str) {
        let folder = self.folder.path().join("providers");
        fs::rename(folder.join(old), folder.join(new)).unwrap();
    }

    fn name(&self, file: &str) -> ClusterName {
        let path = self.folder.path().join("providers").join(file);
        ClusterName::new(Role::Provider, format!("{}+a", path.display()))
    }

    /// From now on the server at `host` is this one, or does not answer.
    fn serve(&self, host: &str, uid: Option<&str>) {
        self.servers.lock().insert(host.to_owned(), uid.map(str::to_owned));
    }

    async fn event(&mut self) -> ClusterEvent {
        loop {
            match timeout(PATIENCE, self.events.recv()).await.expect("no event").expect("the keeper is gone") {
                ClusterEvent::Identified(identities) => self.identities = identities,
                ClusterEvent::Settled => {}
                event => return event,
            }
        }
    }

    /// What happened, besides news of who is who.
    fn happened(&mut self) -> Vec<ClusterEvent> {
        let mut all = Vec::new();
        while let Ok(event) = self.events.try_recv() {
            match event {
                ClusterEvent::Identified(identities) => self.identities = identities,
                ClusterEvent::Settled => {}
                event => all.push(event),
            }
        }
        all
    }

    async fn attached(&mut self) -> Arc<Cluster> {
        match self.event().await {
            ClusterEvent::Attached(cluster) => cluster,
            other => panic!("{other:?}"),
        }
    }

    async fn detached(&mut self) -> ClusterName {
        match self.event().await {
            ClusterEvent::Detached(name) => name,
            other => panic!("{other:?}"),
        }
    }

    async fn until<T>(&self, what: impl Fn(&ClusterSet) -> Option<T>) -> T {
        let waiting = async {
            loop {
                if let Some(found) = what(&self.set) {
                    return found;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let found = timeout(PATIENCE, waiting).await;
        found.unwrap_or_else(|_| panic!("{:?} {:?}", self.set.standings(), self.set.problems()))
    }

    async fn problems(&self, wanted: impl Fn(&[Problem]) -> bool) -> Vec<Problem> {
        self.until(|set| Some(set.problems()).filter(|problems| wanted(problems))).await
    }

    /// Waits until a cluster is refused; the reason, and why.
    async fn refused(&self, name: &ClusterName) -> (&'static str, String) {
        self.until(|set| set.standings().into_iter().find(|it| it.named == *name)?.refused).await
    }

    /// Waits until a kubeconfig is attached under this name.
    async fn serves(&self, named: &ClusterName, name: &ClusterName) {
        self.until(|set| set.standings().into_iter().find(|it| it.named == *named && it.name == *name && it.attached))
            .await;
    }
}

/// A kubeconfig for the server at `host`.
fn at(host: &str) -> String {
    kubeconfig(&["a"], "t").replace("127.0.0.1:1", host)
}

/// Clusters that stand for the servers which kubeconfigs name; a server that nobody spoke of is itself.
fn fakes(servers: Servers, metrics: Metrics) -> Connect {
    Arc::new(move |name, config| {
        let (servers, metrics) = (servers.clone(), metrics.clone());
        Box::pin(async move {
            // What makes no client makes none here either.
            Cluster::connect(name.clone(), config.clone(), metrics.clone()).await?;
            let host = config.cluster_url.authority().unwrap().to_string();
            let server = move |request: http::Request<kube::client::Body>| {
                let uid = servers.lock().get(&host).cloned().unwrap_or(Some(host.clone()));
                async move {
                    match uid {
                        None => Err(io::ErrorKind::ConnectionRefused.into()),
                        Some(uid) if request.uri().path().ends_with("/kube-system") => {
                            answer(200, format!(r#"{{"metadata": {{"uid": "{uid}"}}}}"#))
                        }
                        Some(_) => answer(404, "{}"),
                    }
                }
            };
            Ok(cluster(&name.to_string(), metrics.clone(), server))
        })
    })
}

/// Writes a provider's file as a whole, as careful people do.
fn put(folder: &Path, name: &str, text: &str) {
    let new = folder.join("new");
    fs::write(&new, text).unwrap();
    fs::rename(new, folder.join("providers").join(name)).unwrap();
}

/// What records say of one cluster with this UID of `kube-system`, which one Assignment names.
fn known(name: &ClusterName, uid: &str) -> Directory {
    let fingerprints = BTreeMap::from([(format!("kube-system:{uid}"), 1)]);
    Directory { uses: BTreeMap::from([(name.clone(), Use { objects: 1, fingerprints })]), ..Directory::default() }
}

async fn rotated(client: &mut watch::Receiver<Client>) {
    timeout(PATIENCE, client.changed()).await.expect("not rotated").unwrap();
}

#[tokio::test]
async fn clusters_come_and_go_with_their_files() {
    let mut house = House::new(&[]).await;
    assert_eq!(house.set.coordination().name().to_string(), "coordination#coord");
    house.put("one.kubeconfig", &at("one"));
    let cluster = house.attached().await;
    assert_eq!(*cluster.name(), house.name("one.kubeconfig"));
    house.put("two.kubeconfig", &at("two"));
    assert_eq!(*house.attached().await.name(), house.name("two.kubeconfig"));
    house.remove("one.kubeconfig");
    assert_eq!(house.detached().await, *cluster.name());
    assert!(house.set.get(cluster.name()).is_none());
    house.put("one.kubeconfig", &at("one"));
    assert_eq!(house.attached().await.name(), cluster.name());
}

#[tokio::test]
async fn nothing_is_attached_before_it_is_known_what_records_say() {
    let mut house = House::uninformed(&[("one.kubeconfig", &at("one"))]).await;
    let one = house.name("one.kubeconfig");
    house.until(|set| set.standings().into_iter().find(|it| it.found.is_some())).await;
    assert!(house.happened().is_empty() && house.set.get(&one).is_none());
    house.set.inform(Directory::default());
    assert_eq!(*house.attached().await.name(), one);
    assert_eq!(house.identities[&one].fingerprint.as_deref(), Some("kube-system:one"));
}

#[tokio::test]
async fn new_credentials_are_the_same_cluster() {
    let mut house = House::new(&[("one.kubeconfig", &at("one"))]).await;
    let cluster = house.attached().await;
    let mut client = cluster.watch_client();
    house.put("one.kubeconfig", &at("one").replace("token: t", "token: new"));
    rotated(&mut client).await;
    let now = house.set.get(cluster.name()).unwrap();
    assert!(Arc::ptr_eq(&cluster, &now));
    timeout(PATIENCE, cluster.proven()).await.unwrap();
    assert!(house.happened().is_empty(), "a rotation is no event");
}

#[tokio::test]
async fn a_file_that_is_renamed_is_no_event_at_all() {
    let mut house = House::new(&[("one.kubeconfig", &at("one"))]).await;
    let cluster = house.attached().await;
    let (old, new) = (house.name("one.kubeconfig"), house.name("new.kubeconfig"));
    house.set.inform(known(&old, "one"));
    house.rename("one.kubeconfig", "new.kubeconfig");
    house.serves(&new, &old).await;
    // The other way round: the new one is there before the old one goes.
    let newer = house.name("newer.kubeconfig");
    house.put("newer.kubeconfig", &at("one"));
    assert_eq!(house.refused(&newer).await.0, "Duplicate");
    house.remove("new.kubeconfig");
    house.serves(&newer, &old).await;
    assert!(house.happened().is_empty());
    assert!(Arc::ptr_eq(&cluster, &house.set.get(&old).unwrap()) && house.set.get(&newer).is_none());
    timeout(PATIENCE, cluster.proven()).await.unwrap();
    let checks = house.set.checks();
    let told = checks.iter().find(|check| check.name.ends_with(&newer.to_string())).unwrap();
    assert!(told.detail.contains(&format!("cluster rename {old}")), "{told:?}");
}

#[tokio::test]
async fn a_known_cluster_that_comes_under_a_new_name_is_attached_under_the_old_one() {
    let mut house = House::uninformed(&[("new.kubeconfig", &at("one"))]).await;
    let old = ClusterName::new(Role::Provider, "old");
    house.set.inform(known(&old, "one"));
    let cluster = house.attached().await;
    assert_eq!(*cluster.name(), old);
    timeout(PATIENCE, cluster.proven()).await.unwrap();
    assert_eq!(house.identities[&old].fingerprint.as_deref(), Some("kube-system:one"));
}

#[tokio::test]
async fn a_second_name_is_not_attached_and_the_first_goes_on() {
    let mut house = House::new(&[("one.kubeconfig", &at("one"))]).await;
    let one = house.attached().await;
    let two = house.name("two.kubeconfig");
    house.put("two.kubeconfig", &at("one"));
    let (reason, why) = house.refused(&two).await;
    assert_eq!(reason, "Duplicate");
    assert!(why.contains(&one.name().to_string()), "{why}");
    assert!(house.happened().is_empty());
    let line = house.set.checks().into_iter().find(|check| check.name.ends_with(&two.to_string())).unwrap();
    assert!(!line.ok && !line.required && line.detail.contains("not attached"), "{line:?}");
}

#[tokio::test]
async fn another_cluster_behind_the_same_name_is_detached_and_refused() {
    let mut house = House::new(&[("one.kubeconfig", &at("one"))]).await;
    let cluster = house.attached().await;
    let one = cluster.name().clone();
    house.set.inform(known(&one, "one"));
    // The kubeconfig points to another place.
    house.put("one.kubeconfig", &at("two"));
    assert_eq!(house.detached().await, one);
    assert!(house.identities[&one].changed, "known before it is detached");
    assert_eq!(house.refused(&one).await.0, "ClusterChanged");
    house.put("one.kubeconfig", &at("one"));
    let cluster = house.attached().await;
    timeout(PATIENCE, cluster.proven()).await.unwrap();
    // Another one stands at the same place, after an outage or a silence.
    house.serve("one", Some("three"));
    cluster.suspect();
    assert_eq!(house.detached().await, one);
    let request = http::Request::get("/version").body(Vec::new()).unwrap();
    let refused = cluster.request(request).await;
    assert!(matches!(refused, Err(crate::transport::RequestError::Unproven { .. })), "{refused:?}");
    // An administrator says that it is right.
    house.set.inform(known(&one, "three"));
    assert_eq!(*house.attached().await.name(), one);
}

#[tokio::test]
async fn a_known_cluster_that_does_not_answer_is_attached_and_nothing_is_sent_to_it_before_it_is_proven() {
    let mut house = House::uninformed(&[("one.kubeconfig", &at("one")), ("two.kubeconfig", &at("two"))]).await;
    let one = house.name("one.kubeconfig");
    for host in ["one", "two"] {
        house.serve(host, None);
    }
    house.set.inform(known(&one, "one"));
    let cluster = house.attached().await;
    assert_eq!(*cluster.name(), one);
    assert!(!cluster.is_proven());
    house.serve("one", Some("one"));
    timeout(PATIENCE, cluster.proven()).await.unwrap();
    assert!(house.happened().is_empty(), "nobody knows the other one");
    house.serve("two", Some("two"));
    assert_eq!(*house.attached().await.name(), house.name("two.kubeconfig"));
}

#[tokio::test]
async fn new_credentials_for_another_cluster_are_not_used_for_the_old_one() {
    let mut house = House::new(&[("one.kubeconfig", &at("one"))]).await;
    let cluster = house.attached().await;
    house.set.inform(known(cluster.name(), "one"));
    house.serve("two", None);
    let mut client = cluster.watch_client();
    client.borrow_and_update();
    house.put("one.kubeconfig", &at("two"));
    // Others are looked after meanwhile.
    house.put("more.kubeconfig", &at("more"));
    assert_eq!(*house.attached().await.name(), house.name("more.kubeconfig"));
    assert!(!client.has_changed().unwrap(), "it goes on with what it has");
    house.serve("two", Some("one"));
    rotated(&mut client).await;
    assert!(house.happened().is_empty());
}

#[tokio::test]
async fn a_file_that_breaks_keeps_its_clusters_and_tells() {
    let mut house = House::new(&[("one.kubeconfig", &at("one"))]).await;
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
        house.put("two.kubeconfig", &at("two"));
        assert_eq!(*house.attached().await.name(), house.name("two.kubeconfig"));
        house.remove("two.kubeconfig");
        assert_eq!(house.detached().await, house.name("two.kubeconfig"));
        assert!(house.set.get(cluster.name()).is_some(), "{broken:?}");
        house.put("one.kubeconfig", &at("one"));
        house.problems(<[Problem]>::is_empty).await;
    }
    assert!(house.set.get(cluster.name()).is_some_and(|now| Arc::ptr_eq(&cluster, &now)));
}

#[tokio::test]
async fn a_context_that_goes_takes_only_its_cluster() {
    let two = "clusters:\n- {name: d, cluster: {server: 'http://two'}}";
    let both = kubeconfig(&["a", "b"], "t").replace("{name: b, context: {cluster: c", "{name: b, context: {cluster: d");
    let mut house = House::new(&[("one.kubeconfig", &both.replace("clusters:", two))]).await;
    let first = house.attached().await;
    let second = house.attached().await;
    assert_ne!(first.name(), second.name());
    house.put("one.kubeconfig", &kubeconfig(&["a"], "t"));
    assert!(house.detached().await.name.ends_with("+b"));
}

#[tokio::test]
async fn a_kubeconfig_that_makes_no_client_is_a_problem_of_its_own() {
    let plugin = at("bad").replace("token: t", "exec: {command: /no/such/plugin, apiVersion: x}");
    let mut house = House::new(&[("bad.kubeconfig", &plugin), ("one.kubeconfig", &at("one"))]).await;
    assert_eq!(*house.attached().await.name(), house.name("one.kubeconfig"));
    let problems = house.problems(|problems| !problems.is_empty()).await;
    assert!(problems[0].what.contains("its credential plugin /no/such/plugin could not be started"), "{problems:?}");
    house.put("bad.kubeconfig", &at("bad"));
    assert_eq!(*house.attached().await.name(), house.name("bad.kubeconfig"));
}

#[tokio::test]
async fn without_coordination_there_is_no_start() {
    let sources = vec![Source {
        role: Role::Coordination,
        place: Place::Named { name: "coord".to_owned(), paths: vec!["/no/such/file".into()] },
    }];
    let metrics = Metrics::new();
    let settings = Settings { poll: POLL, proxy: Proxy::default(), connect: connect(&metrics) };
    let error = ClusterSet::start(sources, settings, metrics).await.unwrap_err().to_string();
    assert!(error.contains("/no/such/file: the file is not there"), "{error}");
}
