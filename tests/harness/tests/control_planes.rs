//! The harness keeps what it promises to the tests that stand on it.

use std::process::Command;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::ResourceExt;
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use resource_broker_harness::{Guard, Planes, Process, TestKind, TestResult, eventually};
use serde_json::json;

const SOON: Duration = Duration::from_secs(20);

#[tokio::test]
async fn four_servers_start_together_and_share_nothing() -> TestResult {
    let planes = Planes::shared().await;
    let start = Instant::now();
    let [a, b, c, d] = planes.clusters(["together-a", "together-b", "together-c", "together-d"]).await;
    println!("four API servers started in {:?}", start.elapsed());

    a.apply_yaml("{apiVersion: v1, kind: ConfigMap, metadata: {name: only-in-a}}").await?;
    for (cluster, expected) in [(&a, 1), (&b, 0), (&c, 0), (&d, 0)] {
        let found = Api::<ConfigMap>::all(cluster.client().await?)
            .list(&ListParams::default().fields("metadata.name=only-in-a"))
            .await?;
        assert_eq!(found.items.len(), expected, "in {}", cluster.name());
    }
    let same = planes.cluster("together-a").await;
    assert_eq!(same.url(), a.url(), "asked for twice, started once");
    Ok(())
}

#[tokio::test]
async fn a_restricted_user_may_do_what_rbac_grants_and_is_named_in_the_audit_log() -> TestResult {
    let cluster = Planes::shared().await.cluster("consumer-a").await;
    let namespace = "restricted";
    cluster.create_namespace(namespace).await?;
    cluster
        .apply_yaml(
            "
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reader, namespace: restricted}
rules: [{apiGroups: [''], resources: [configmaps], verbs: [list]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: reader, namespace: restricted}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: Group, name: readers}]
",
        )
        .await?;
    let position = cluster.audit_position().await?;
    let client = cluster.client_as("rita", &["staff", "readers"]).await?;
    let config_maps = Api::<ConfigMap>::namespaced(client.clone(), namespace);
    // The server takes a new binding in a moment later.
    eventually("the right to list", SOON, async || config_maps.list(&ListParams::default()).await).await;
    let refused = Api::<Secret>::namespaced(client, namespace).list(&ListParams::default()).await;
    assert!(matches!(&refused, Err(kube::Error::Api(status)) if status.code == 403), "{refused:?}");

    let events = cluster.audit_since(position, |event| event.user == "rita").await?;
    let seen: Vec<_> = events.iter().map(|event| (event.verb.as_str(), event.resource.as_str(), event.code)).collect();
    assert!(seen.contains(&("list", "configmaps", 200)), "{seen:?}");
    assert_eq!(seen.last(), Some(&("list", "secrets", 403)));
    assert!(events.iter().all(|event| event.namespace == namespace && event.stage == "ResponseComplete"), "{events:?}");
    assert!(!events.iter().any(resource_broker_harness::AuditEvent::is_write), "{events:?}");
    Ok(())
}

#[tokio::test]
async fn a_server_keeps_its_data_and_address_over_a_crash() -> TestResult {
    let cluster = Planes::shared().await.cluster("crashing").await;
    let config_maps = Api::<ConfigMap>::default_namespaced(cluster.client().await?);
    let object: ConfigMap = serde_json::from_value(json!({"metadata": {"name": "kept"}}))?;
    let made = config_maps.create(&PostParams::default(), &object).await?;
    let url = cluster.url();

    cluster.stop()?;
    assert!(!cluster.is_running());
    let gone = tokio::time::timeout(Duration::from_secs(1), config_maps.get("kept")).await;
    assert!(!matches!(gone, Ok(Ok(_))), "a stopped server answered");

    cluster.start().await?;
    assert_eq!(cluster.url(), url);
    let found = eventually("the object after the crash", SOON, async || config_maps.get("kept").await).await;
    assert_eq!(found.uid(), made.uid());
    let reads = cluster.audit(|event| event.verb == "create" && event.name == "kept").await?;
    assert_eq!(reads.len(), 1, "the record goes on after a crash: {reads:?}");
    Ok(())
}

#[tokio::test]
async fn a_paused_server_answers_nothing_until_it_resumes() -> TestResult {
    let cluster = Planes::shared().await.cluster("paused").await;
    let config_maps = Api::<ConfigMap>::default_namespaced(cluster.client().await?);
    config_maps.list(&ListParams::default()).await?;
    cluster.pause()?;
    let answer = tokio::time::timeout(Duration::from_millis(300), config_maps.list(&ListParams::default())).await;
    assert!(answer.is_err(), "a paused server answered");
    cluster.resume()?;
    eventually("an answer", SOON, async || config_maps.list(&ListParams::default()).await).await;
    Ok(())
}

#[tokio::test]
async fn a_test_kind_is_served_at_once_with_its_status_and_defaults() -> TestResult {
    let cluster = Planes::shared().await.cluster("consumer-a").await;
    let [first, second] = [TestKind::installed(&[&cluster]).await?, TestKind::new()];
    assert_ne!(first.group(), second.group());

    let widgets = first.api(cluster.client().await?, "default");
    let object = first.object("default", "one", &json!({"size": 3, "nested": {"deep": ["x"]}, "other": true}));
    let made = widgets.patch("one", &PatchParams::apply("test"), &Patch::Apply(&object)).await?;
    assert_eq!(made.data["spec"], json!({"size": 3, "replicas": 1, "nested": {"deep": ["x"]}, "other": true}));

    let status = json!({"status": {"status": "Available", "relatedResources": {"secret": {"name": "one-tls"}}}});
    let patched = widgets.patch_status("one", &PatchParams::default(), &Patch::Merge(&status)).await?;
    assert_eq!(patched.data["status"], status["status"]);
    assert_eq!(patched.data["spec"], made.data["spec"]);

    let listed = cluster.kubectl(&["get", &first.crd_name(), "-o", "name"]).await?;
    assert_eq!(listed.trim(), format!("widget.{}/one", first.group()));
    let error = cluster.kubectl(&["get", &second.crd_name()]).await.expect_err("a kind that no cluster knows");
    assert!(error.to_string().starts_with("consumer-a: kubectl get widgets.t"), "{error}");
    Ok(())
}

#[tokio::test]
#[should_panic(expected = "for the end of the world; last seen: attempt 3 of none")]
async fn a_wait_that_times_out_says_what_it_last_saw() {
    let mut attempt = 0;
    eventually::<_, std::future::Ready<Result<(), String>>>("the end of the world", Duration::from_millis(160), || {
        attempt += 1;
        std::future::ready(Err(format!("attempt {} of none", attempt.min(3))))
    })
    .await;
}

#[tokio::test]
async fn processes_end_with_their_guard_and_live_on_when_released() -> TestResult {
    let folder = tempfile::tempdir()?;
    let sleeper = |guard: &std::sync::Arc<Guard>| {
        let mut command = Command::new("sleep");
        command.arg("300");
        Process::spawn(guard, "sleeper", command)
    };

    // As after SIGKILL: nothing is dropped properly, only the pipe to the watchman closes.
    let guard = std::sync::Arc::new(Guard::in_folder(folder.path())?);
    let mut left = sleeper(&guard)?;
    let pid = left.pid();
    guard.abandon();
    let status = left.wait(SOON).await?;
    assert!(!status.success(), "the watchman did not kill it");
    assert!(!folder.path().join("pids").join(pid.to_string()).exists(), "an ended process is still listed");

    let guard = std::sync::Arc::new(Guard::in_folder(folder.path())?);
    let kept = sleeper(&guard)?;
    let pid = kept.pid();
    guard.release()?;
    drop(kept);
    drop(guard);
    let alive = Command::new("kill").args(["-0", &pid.to_string()]).status()?;
    assert!(alive.success(), "a released process was killed");
    Command::new("kill").args(["-9", &pid.to_string()]).status()?;
    Ok(())
}
