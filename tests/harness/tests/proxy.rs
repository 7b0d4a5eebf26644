//! The proxy, as a client sees it: what passes, what is counted, and how requests go wrong.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use futures::{StreamExt as _, TryStreamExt as _, pin_mut};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, DeleteParams, ListParams, PostParams, WatchEvent, WatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config, ResourceExt};
use resource_broker_harness::{Cluster, Fault, Gate, Planes, Proxy, TestResult, eventually};

const PATIENCE: Duration = Duration::from_secs(30);

/// A proxy, and ConfigMaps through it.
struct Through {
    cluster: Arc<Cluster>,
    gate: Arc<Gate>,
    proxy: Proxy,
    maps: Api<ConfigMap>,
}

impl Through {
    async fn new(namespace: &str) -> Result<Self> {
        let cluster = Planes::shared().await.cluster("proxied").await;
        cluster.create_namespace(namespace).await?;
        let gate = Gate::new(&["secrets"]);
        let proxy = Proxy::start(&cluster, "through", &["system:masters"], &gate).await?;
        let kubeconfig = Kubeconfig::read_from(proxy.kubeconfig()).context("the proxy's kubeconfig")?;
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        config.default_retry = false;
        let maps = Api::namespaced(Client::try_from(config)?, namespace);
        Ok(Self { cluster, gate, proxy, maps })
    }

    async fn create(&self, name: &str) -> Result<(), u16> {
        let mut map = ConfigMap::default();
        map.metadata.name = Some(name.to_owned());
        match self.maps.create(&PostParams::default(), &map).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) => Err(status.code),
            Err(_) => Err(0),
        }
    }

    /// What is there, past the proxy.
    async fn names(&self) -> Result<Vec<String>> {
        let namespace = self.maps.namespace().unwrap_or_default();
        let direct: Api<ConfigMap> = Api::namespaced(self.cluster.client().await?, namespace);
        Ok(direct.list(&ListParams::default()).await?.iter().map(ResourceExt::name_any).collect())
    }
}

#[tokio::test]
async fn faults_happen_to_the_write_that_they_are_for_and_to_no_other() -> TestResult {
    let through = Through::new("proxy-faults").await?;
    let cases = [
        (Fault::Answer(409), Err(409), false),
        (Fault::Answer(429), Err(429), false),
        (Fault::AnswerAfter(503), Err(503), true),
        (Fault::CutBefore, Err(0), false),
        (Fault::CutAfter, Err(0), true),
    ];
    for (index, (fault, answer, applied)) in cases.into_iter().enumerate() {
        through.gate.arm(2, fault);
        let names = [1, 2, 3].map(|number| format!("case-{index}-{number}"));
        assert_eq!(through.create(&names[0]).await, Ok(()), "{fault:?}");
        assert_eq!(through.gate.struck(), None, "{fault:?}");
        assert_eq!(through.create(&names[1]).await, answer, "{fault:?}");
        assert_eq!(through.create(&names[2]).await, Ok(()), "{fault:?}");
        let struck = through.gate.struck().context("nothing was struck")?;
        assert_eq!(struck.to_string(), "proxied POST /api/v1/namespaces/proxy-faults/configmaps", "{fault:?}");
        let there = through.names().await?;
        assert_eq!(names.map(|name| there.contains(&name)), [true, applied, true], "{fault:?}");
        assert_eq!(through.gate.writes().len(), 3, "{fault:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_killed_process_has_its_last_write_carried_out_or_not() -> TestResult {
    let through = Through::new("proxy-kills").await?;
    for (name, applied) in [("before", false), ("after", true)] {
        let mut sleeper = Command::new("sleep").arg("600").stdin(Stdio::null()).spawn()?;
        let pid = sleeper.id();
        through.gate.arm(1, if applied { Fault::KillAfter(pid) } else { Fault::KillBefore(pid) });
        assert_eq!(through.create(name).await, Err(0), "{name}");
        assert!(!sleeper.wait()?.success(), "{name}");
        assert_eq!(through.create("late").await, Err(0), "what comes after the kill does not pass");
        assert_eq!(through.names().await?.contains(&name.to_owned()), applied, "{name}");
        through.gate.open();
        assert_eq!(through.create(&format!("{name}-next")).await, Ok(()));
    }
    Ok(())
}

#[tokio::test]
async fn watches_stream_and_a_server_that_is_down_can_come_back() -> TestResult {
    let through = Through::new("proxy-outage").await?;
    through.gate.count();
    let version = through.maps.list(&ListParams::default()).await?.metadata.resource_version.unwrap_or_default();
    {
        let events = through.maps.watch(&WatchParams::default(), &version).await?;
        pin_mut!(events);
        assert_eq!(through.create("seen").await, Ok(()));
        let first = events.try_next().await?.context("an event")?;
        assert!(matches!(&first, WatchEvent::Added(map) if map.name_any() == "seen"), "{first:?}");

        through.proxy.hang();
        let hanging = through.create("hanging");
        let hanging = tokio::time::timeout(Duration::from_millis(300), hanging).await;
        assert!(hanging.is_err(), "it answered: {hanging:?}");
        through.proxy.resume();
        assert_eq!(through.create("awake").await, Ok(()));
        through.proxy.stop().await?;
        while let Some(Ok(_)) = events.next().await {}
    }
    assert_eq!(through.create("refused").await, Err(0));
    through.proxy.resume();
    eventually("the proxy to serve again", PATIENCE, || async {
        match through.create("back").await {
            Ok(()) => Ok(()),
            Err(code) => bail!("{code}"),
        }
    })
    .await;
    through.maps.delete("back", &DeleteParams::default()).await?;
    let writes: Vec<String> = through.gate.writes().iter().map(|write| write.method.clone()).collect();
    ensure_ends(&writes)?;
    Ok(())
}

fn ensure_ends(writes: &[String]) -> Result<()> {
    ensure!(writes.len() >= 4 && writes.last().is_some_and(|last| last == "DELETE"), "{writes:?}");
    Ok(())
}
