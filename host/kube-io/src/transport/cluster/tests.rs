use std::sync::atomic::{AtomicUsize, Ordering};

use resource_broker_api::names::Role;
use tokio::time::advance;

use super::*;
use crate::{
    observe::Nobody,
    testing::{Observed, answer, cluster},
};

fn get(path: &str) -> Request<Vec<u8>> {
    Request::get(path).body(Vec::new()).unwrap()
}

/// What a stand-in does now; a test changes it under way.
#[derive(Clone, Default)]
struct Mode(Arc<Mutex<&'static str>>);

impl Mode {
    fn set(&self, mode: &'static str) {
        *self.0.lock() = mode;
    }

    async fn serve(self) -> crate::testing::Answer {
        let mode = *self.0.lock();
        match mode {
            "hang" => std::future::pending().await,
            "break" => Err(std::io::Error::other("connection reset by peer")),
            "busy" => http::Response::builder()
                .status(429)
                .header("retry-after", "5")
                .body(http_body_util::Full::default())
                .map_err(std::io::Error::other),
            "denied" => answer(401, r#"{"reason":"Unauthorized","message":"who are you?"}"#),
            _ => answer(200, "0123456789"),
        }
    }
}

fn served(mode: &Mode, observer: impl Observer) -> Arc<Cluster> {
    let mode = mode.clone();
    cluster("provider#a", observer, move |_| mode.clone().serve())
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_read_whole_and_counted() {
    let observed = Observed::default();
    let cluster = served(&Mode::default(), observed.clone());
    assert_eq!(*cluster.health().borrow(), Health::Unknown);
    let reply = cluster.request(get("/api/v1/namespaces")).await.unwrap();
    assert_eq!((reply.status, reply.body.as_ref()), (StatusCode::OK, b"0123456789".as_slice()));
    assert_eq!(*cluster.health().borrow(), Health::Up);
    assert_eq!(observed.requests(), ["provider#a list 2xx"]);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_too_large_is_not_read() {
    let cluster = served(&Mode::default(), Nobody);
    let limits = |max_body| Limits { max_body, ..Limits::OBJECT };
    assert!(cluster.request_within(get("/version"), limits(10)).await.is_ok());
    let error = cluster.request_within(get("/version"), limits(9)).await.unwrap_err();
    assert!(matches!(error, RequestError::TooLarge { limit: 9, .. }), "{error}");
    assert_eq!(*cluster.health().borrow(), Health::Up, "it did answer");
}

#[tokio::test(start_paused = true)]
async fn a_silent_cluster_is_given_up_on_and_found_again() {
    let (mode, observed) = (Mode::default(), Observed::default());
    let cluster = served(&mode, observed.clone());
    mode.set("hang");
    for _ in 0..3 {
        let started = Instant::now();
        let error = cluster.request(get("/version")).await.unwrap_err();
        assert!(matches!(error, RequestError::Timeout { .. }), "{error}");
        assert_eq!(started.elapsed().as_secs(), Limits::OBJECT.timeout.as_secs());
    }
    let started = Instant::now();
    let error = cluster.request(get("/version")).await.unwrap_err();
    assert_eq!(started.elapsed(), Duration::ZERO, "a worker is not held up");
    assert!(matches!(error, RequestError::Down { .. }), "{error}");
    assert!(error.to_string().starts_with("provider#a has not answered since "), "{error}");
    assert!(error.retry_in().is_some_and(|retry| retry <= Duration::from_secs(15)));
    assert!(matches!(*cluster.health().borrow(), Health::Down { .. }));
    assert_eq!(observed.is_up(cluster.name()), Some(false));

    mode.set("");
    let mut health = cluster.health();
    // Nobody asks but the probe.
    health.wait_for(|health| *health == Health::Up).await.unwrap();
    assert!(cluster.request(get("/version")).await.is_ok());
    assert_eq!(observed.is_up(cluster.name()), Some(true));
}

#[tokio::test(start_paused = true)]
async fn a_broken_connection_is_told_with_its_cause() {
    let mode = Mode::default();
    let cluster = served(&mode, Nobody);
    mode.set("break");
    let error = cluster.request(get("/api/v1/namespaces/a?x=secret")).await.unwrap_err();
    assert_eq!(error.to_string(), "provider#a: get /api/v1/namespaces/a: connection reset by peer");
    assert!(error.may_have_taken_effect());
}

#[tokio::test(start_paused = true)]
async fn a_detached_cluster_is_probed_no_more() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = asked.clone();
    let cluster = cluster("provider#a", Nobody, move |_| {
        counter.fetch_add(1, Ordering::Relaxed);
        async { Err(std::io::Error::other("refused")) }
    });
    for _ in 0..3 {
        assert!(cluster.request(get("/version")).await.is_err());
    }
    sleep(Duration::from_mins(1)).await;
    let probed = asked.load(Ordering::Relaxed);
    assert!((5..20).contains(&probed), "some probes, at growing pauses: {probed}");
    drop(cluster);
    sleep(Duration::from_mins(10)).await;
    assert_eq!(asked.load(Ordering::Relaxed), probed);
}

#[tokio::test(start_paused = true)]
async fn a_busy_cluster_is_left_alone_for_as_long_as_it_asks() {
    let mode = Mode::default();
    let cluster = served(&mode, Nobody);
    mode.set("busy");
    let error = cluster.request(get("/version")).await.unwrap_err();
    assert_eq!((error.category(), error.retry_in()), ("throttled", Some(Duration::from_secs(5))));
    mode.set("");
    let error = cluster.request(get("/version")).await.unwrap_err();
    assert!(matches!(error, RequestError::Throttled { .. }), "{error}");
    advance(Duration::from_secs(5)).await;
    assert!(cluster.request(get("/version")).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn refused_credentials_show_in_the_health() {
    let mode = Mode::default();
    let cluster = served(&mode, Nobody);
    mode.set("denied");
    assert!(cluster.request(get("/version")).await.unwrap_err().is_unauthorized());
    assert_eq!(*cluster.health().borrow(), Health::Refused);
}

#[tokio::test]
async fn an_address_where_nobody_listens_is_noticed_without_anybody_asking() {
    // A port that is taken, so that no other test listens there, and at which nobody listens.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let port = socket.local_addr().unwrap().port();
    let config = kube::Config::new(format!("http://127.0.0.1:{port}").parse().unwrap());
    let name = ClusterName::new(Role::Consumer, "gone");
    let cluster = Cluster::connect(name, config, Nobody).await.unwrap();
    let mut health = cluster.health();
    let down = timeout(Duration::from_secs(30), health.wait_for(|health| matches!(health, Health::Down { .. })));
    let down = down.await.unwrap().unwrap().clone();
    let Health::Down { cause, .. } = down else { panic!("{down:?}") };
    assert!(cause.contains("Connection refused"), "{cause}");
}
