//! Input that makes no sense or goes beyond measure: it is told where it stands, and harms nothing else.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::ResourceExt;
use kube::api::{Api, ListParams, PostParams};
use resource_broker_api::AcceptApi;
use resource_broker_harness::{AuditEvent, Planes, TestResult, broker_binary, eventually};
use serde_json::{Map, Value, json};
use tokio::process::Command;

use crate::operator::Operator;
use crate::pair::{PATIENCE, Pair, fails, is, is_well, message, until};

#[tokio::test]
async fn a_broken_kubeconfig_is_named_and_the_others_work() -> TestResult {
    const TOKEN: &str = "a-token-that-nobody-is-to-see";
    let pair = Pair::new("bad-kubeconfigs").await?;
    let folder = tempfile::tempdir()?;
    let admin = &["system:masters"];
    let put = |name: &str, text: &str| std::fs::write(folder.path().join(name), text);
    let good = std::fs::read_to_string(pair.provider.cluster.kubeconfig_as(pair.name, admin)?)?;
    put("good.kubeconfig", &good)?;
    put("garbage.kubeconfig", &format!("users: [{{name: a, user: {{token: {TOKEN}}}}}\n]:"))?;
    put("empty.kubeconfig.yaml", "")?;
    put("dangling.kubeconfig", "contexts: [{name: here, context: {cluster: nowhere, user: nobody}}]")?;
    put("notes.txt", "not a kubeconfig, and not called like one")?;
    let broker = pair.broker(&[]).await?.arg("provider-kubeconfig-dir", &folder.path().display().to_string());
    let broker = broker.start().await?;
    pair.provider.offer(pair.name, &json!([])).await?;
    // The same API server twice: as `provider`, and out of the folder. One of them takes it.
    pair.consumer.create("order", &json!({"size": 1})).await?;
    until(&pair.consumer.widgets(), "order", "to be accepted", |it| is(it, "Accepted", "True")).await;

    eventually("every broken file to be named, and no other", PATIENCE, || async {
        let page = broker.readyz_verbose().await?;
        for name in ["garbage.kubeconfig", "empty.kubeconfig.yaml", "dangling.kubeconfig"] {
            let line = format!("[-]provider kubeconfig {}: ", folder.path().join(name).display());
            ensure!(page.lines().any(|it| it.starts_with(&line)), "{name} is not named in\n{page}");
        }
        ensure!(!page.contains("notes.txt") && page.ends_with("\nready\n"), "{page}");
        let problems = broker.metric("resource_broker_kubeconfig_problems", &[]).await?;
        ensure!((2.5..3.5).contains(&problems), "{problems} problems are counted");
        Ok(())
    })
    .await;
    let other = pair.other_provider().await?;
    put("empty.kubeconfig.yaml", &std::fs::read_to_string(other.cluster.kubeconfig_as(pair.name, admin)?)?)?;
    eventually("the mended file to be a cluster", PATIENCE, || async {
        let page = broker.readyz_verbose().await?;
        ensure!(page.lines().any(|it| it.contains("empty.kubeconfig.yaml+") && it.starts_with("[+]cluster")), "{page}");
        Ok(())
    })
    .await;
    assert!(!broker.logs()?.contains(TOKEN), "the log quotes a token");
    assert!(!broker.readyz_verbose().await?.contains(TOKEN), "the page quotes a token");
    Ok(())
}

#[tokio::test]
async fn a_command_line_that_makes_no_sense_ends_with_one_line() -> TestResult {
    let cluster = Planes::shared().await.cluster("coordination").await;
    let folder = tempfile::tempdir()?;
    let (here, kubeconfig) = (folder.path().display().to_string(), cluster.kubeconfig().display().to_string());
    std::fs::write(folder.path().join("broken.yaml"), "contexts: 7")?;
    let clusters = [
        format!("--coordination-kubeconfig={kubeconfig}"),
        format!("--consumer-kubeconfig-dir={here}"),
        format!("--provider-kubeconfig-dir={here}"),
    ];
    let (kind, here) = ("--watch-kind=ConfigMap.v1.core", here.as_str());
    let broken = format!("--coordination-kubeconfig={here}/broken.yaml");
    for (flags, words) in [
        (vec!["--wach-kind=ConfigMap.v1.core"], vec!["--wach-kind", "--watch-kind"]),
        (vec!["-frobnicate"], vec!["--frobnicate", "--help"]),
        (vec!["frobnicate"], vec!["frobnicate"]),
        (vec!["--watch-kind=ConfigMap"], vec!["--watch-kind=ConfigMap", "Kind.version.group"]),
        (vec!["--watch-kind=ConfigMap.v1"], vec!["Kind.version.group"]),
        (vec!["--watch-kind=configmaps.v1.core"], vec!["configmaps", "capital"]),
        (vec!["--watch-kind=ConfigMap.one.core"], vec!["version"]),
        (vec!["--watch-kind=ConfigMap.v1.Core!"], vec!["Core!"]),
        (vec![kind, kind], vec!["given twice"]),
        (vec![], vec!["--watch-kind"]),
        (vec![kind, "--consumer-kubeconfig=/nowhere/to/be.yaml"], vec!["/nowhere/to/be.yaml", "no such file"]),
        (vec![kind, "--provider-kubeconfig-dir=/nowhere"], vec!["/nowhere", "no such directory"]),
        (vec![kind, "--provider-kubeconfig", here], vec![here, "--provider-kubeconfig-dir"]),
        (vec![kind, broken.as_str()], vec!["broken.yaml"]),
        (vec![kind, "--namespace=Not_One"], vec!["--namespace=Not_One"]),
        (vec![kind, "--leader-elect=perhaps"], vec!["--leader-elect=perhaps"]),
        (vec![kind, "--metrics-bind-address=8080"], vec!["--metrics-bind-address=8080", "HOST:PORT"]),
        (vec![kind, "--zap-log-level=loud"], vec!["loud", "debug"]),
        (vec![kind, "--related-kind=Secret"], vec!["--related-kind=Secret"]),
    ] {
        let flags: Vec<&str> = clusters.iter().map(String::as_str).chain(flags).collect();
        let said = refused(&flags, folder.path()).await.with_context(|| format!("{flags:?}"))?;
        for word in words {
            assert!(said.contains(word), "{flags:?}: {word:?} is not in {said:?}");
        }
    }
    Ok(())
}

/// What a broker says about flags that it cannot follow.
async fn refused(flags: &[&str], home: &Path) -> Result<String> {
    let mut command = Command::new(broker_binary()?);
    command.args(flags).env_remove("KUBECONFIG").env("HOME", home).stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, command.output()).await.context("it runs")??;
    let (said, shown) = (String::from_utf8(output.stderr)?, String::from_utf8(output.stdout)?);
    ensure!(output.status.code() == Some(2), "it ended with {}: {said}", output.status);
    ensure!(said.lines().count() == 1 && shown.is_empty(), "not one line: {said}{shown}");
    Ok(said)
}

#[tokio::test]
async fn a_kind_that_nobody_serves_holds_nothing_up() -> TestResult {
    let pair = Pair::new("bad-kind").await?;
    pair.provider.offer(pair.name, &json!([])).await?;
    let broker = pair.broker(&[]).await?.watch_kind("Unheard.v1.of.test.example.com").start().await?;
    pair.marker().await?;
    eventually("the kind to be told of", PATIENCE, || async {
        let page = broker.readyz_verbose().await?;
        for cluster in ["consumer#consumer", "provider#provider"] {
            let line = format!("[-]cache {cluster} Unheard.v1.of.test.example.com: ");
            let told = page.lines().find(|it| it.starts_with(&line)).with_context(|| page.clone())?;
            ensure!(told.contains("install its CRD"), "{told}");
        }
        Ok(())
    })
    .await;
    Ok(())
}

#[tokio::test]
async fn an_offer_that_makes_no_sense_says_so_and_takes_nothing() -> TestResult {
    let pair = Pair::new("bad-offers").await?;
    let _broker = pair.broker(&[]).await?.start().await?;
    for (name, filters, words) in [
        ("bad-offers-bounds", json!([{"key": "size", "boundary": {"min": 9, "max": 1}}]), "larger than max"),
        ("bad-offers-with", json!([{"key": "engine", "with": {"semver": ">=15"}}]), "\"with\""),
        ("bad-offers-path", json!([{"key": "nested..deep", "suffix": "x"}]), "nested..deep"),
    ] {
        pair.provider.offer(name, &filters).await?;
        // A broker of another test, which does not watch this kind, may have been the first to say something.
        let said =
            until(&pair.provider.offers(), name, "the condition", |it| validity(it) == ("False", "InvalidFilters"))
                .await;
        let conditions = said.status.map(|status| status.conditions).unwrap_or_default();
        assert!(conditions.iter().any(|it| it.message.contains(words)), "{name}: {words:?} is not in {conditions:?}");
    }
    pair.consumer.create("order", &json!({"size": 5, "engine": "x", "nested": {"deep": "x"}})).await?;
    let order =
        until(&pair.consumer.widgets(), "order", "the refusal", |it| fails(it, "Accepted", "NoMatchingOffer")).await;
    let refusal = message(&order, "Accepted");
    for words in ["bad-offers-bounds", "bad-offers-with", "bad-offers-path", "larger than max", "filter is wrong"] {
        assert!(refusal.contains(words), "{words:?} is not in {refusal}");
    }
    pair.provider.offer("bad-offers-bounds", &json!([{"key": "size", "boundary": {"min": 1, "max": 9}}])).await?;
    until(&pair.consumer.widgets(), "order", "to be accepted", |it| is(it, "Accepted", "True")).await;
    Ok(())
}

#[tokio::test]
async fn an_offer_that_its_schema_forbids_is_refused_by_the_api_server() -> TestResult {
    let pair = Pair::new("bad-schema").await?;
    let filter = |filter: Value| json!([filter]);
    for (filters, words) in [
        (filter(json!({"key": "spec.size", "suffix": "x"})), "below spec already"),
        (filter(json!({"key": ""})), "spec.filters[0].key"),
        (filter(json!({"suffix": "x"})), "spec.filters[0].key"),
        (filter(json!({"key": "size", "boundary": {"min": true}})), "boundary.min"),
        (filter(json!({"key": "size", "valueIn": "x"})), "valueIn"),
        (filter(json!({"key": "size", "regex": "x.*"})), "regex"),
    ] {
        let offer = json!({
            "apiVersion": "broker.platform-mesh.io/v1alpha1", "kind": "AcceptAPI",
            "metadata": {"name": "bad-schema"}, "spec": {"gvr": pair.kind.gvr(), "filters": filters},
        });
        let said = apply_strictly(&pair, &offer).await.expect_err("an offer that makes no sense was taken");
        assert!(format!("{said:#}").contains(words), "{filters}: {words:?} is not in {said:#}");
    }
    Ok(())
}

async fn apply_strictly(pair: &Pair, object: &Value) -> Result<String> {
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), object.to_string())?;
    let path = file.path().display().to_string();
    pair.provider.cluster.kubectl(&["create", "--validate=strict", "-n", "default", "-f", &path]).await
}

#[tokio::test]
async fn a_megabyte_arrives_whole() -> TestResult {
    let pair = Pair::new("bad-size").await?;
    let _broker = pair.start().await?;
    let wide: Map<String, Value> = (0..2_000).map(|number| (format!("field{number}"), number.into())).collect();
    let spec = json!({"size": 1, "nested": {"text": "ü".repeat(450_000), "wide": wide}});
    let copy = pair.placed("large", &spec).await?;
    assert!(copy.data["spec"]["nested"] == spec["nested"], "the copy differs from the object");
    let name = copy.name_any();

    // As much as fits beside the object itself, and as much as a ConfigMap holds.
    let data = json!({"metadata": {"name": name}, "data": {"text": "x".repeat(1_000_000)}});
    let source: ConfigMap = serde_json::from_value(data)?;
    pair.provider.api::<ConfigMap>().create(&PostParams::default(), &source).await?;
    let status = json!({
        "status": "Available", "text": "y".repeat(150_000),
        "relatedResources": {"config": related("core", "ConfigMap", &name, pair.name)},
    });
    pair.provider.report(&name, &status).await?;
    let large = until(&pair.consumer.widgets(), "large", "all to be well", is_well).await;
    assert!(large.data["status"]["text"] == status["text"], "the status differs from the provider's");
    let copied = until(&pair.consumer.api::<ConfigMap>(), "large", "the ConfigMap", |_| true).await;
    assert!(copied.data == source.data, "the ConfigMap differs from the provider's");
    pair.marker().await?;
    Ok(())
}

#[tokio::test]
async fn a_status_beyond_all_measure_is_told_and_the_object_goes_on() -> TestResult {
    let pair = Pair::new("bad-status").await?;
    let _broker = pair.start().await?;
    let copy = pair.placed("order", &json!({"size": 1})).await?.name_any();
    let large = "y".repeat(900_000);
    pair.provider.report(&copy, &json!({"status": "Available", "text": large})).await?;
    let order = until(&pair.consumer.widgets(), "order", "all to be well", is_well).await;
    assert!(order.data["status"]["text"] == large.as_str(), "the status differs from the provider's");

    // More than a plugin may answer with.
    pair.provider.report(&copy, &json!({"status": "Failed", "text": "z".repeat(1_200_000)})).await?;
    until(&pair.consumer.widgets(), "order", "the excess", |it| fails(it, "Synced", "PluginFailed")).await;
    pair.marker().await?;
    let order = pair.consumer.widgets().get("order").await?;
    assert!(order.data["status"]["text"] == large.as_str(), "the last good status does not stand");

    pair.provider.report(&copy, &json!({"status": "Available"})).await?;
    until(&pair.consumer.widgets(), "order", "all to be well", |it| is_well(it) && it.data["status"]["text"].is_null())
        .await;
    Ok(())
}

#[tokio::test]
async fn what_nests_too_deep_is_never_cut_short_in_silence() -> TestResult {
    const DEPTH: usize = 300;
    let pair = Pair::new("bad-depth").await?;
    let _broker = pair.start().await?;
    let deep = "{\"a\":".repeat(DEPTH) + "1" + &"}".repeat(DEPTH);
    let head = format!(
        "\"apiVersion\":\"{}\",\"kind\":\"Widget\",\"metadata\":{{\"name\":\"deep\",\"namespace\":\"{}\"}}",
        pair.kind.api_version(),
        pair.name
    );
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), format!("{{{head},\"spec\":{{\"size\":1,\"nested\":{deep}}}}}"))?;
    let path = file.path().display().to_string();
    pair.consumer.cluster.kubectl(&["create", "--validate=false", "-f", &path]).await?;
    let copied = eventually("the deep object to be copied whole, or to say why not", PATIENCE, || async {
        let path = ["nested"].into_iter().chain(["a"; DEPTH]).collect::<Vec<_>>().join(".");
        let copy = read(&pair, true, "deep", &format!("{{.spec.{path}}}")).await.unwrap_or_default();
        let synced = "{.status.conditions[?(@.type==\"Synced\")].status}";
        let synced = read(&pair, false, "deep", synced).await?;
        match (copy.as_str(), synced.as_str()) {
            ("1", _) => Ok(true),
            (_, "False") => Ok(false),
            (copy, synced) => anyhow::bail!("the copy holds {copy:?}, Synced is {synced:?}"),
        }
    })
    .await;
    println!("an object {DEPTH} deep is copied: {copied}");
    if !copied {
        let there = read(&pair, true, "deep", "{.metadata.name}").await;
        assert!(there.is_err(), "the copy is there without what is too deep");
    }

    // The same from the other side.
    let order = pair.placed("order", &json!({"size": 1})).await?.name_any();
    let status = format!("{{\"status\":{{\"status\":\"Available\",\"made\":{deep}}}}}");
    let patched = pair
        .provider
        .cluster
        .kubectl(&[
            "patch",
            &pair.kind.crd_name(),
            &order,
            "-n",
            pair.name,
            "--subresource=status",
            "--type=merge",
            "-p",
            &status,
        ])
        .await;
    patched.context("a deep status")?;
    eventually("the deep status to be shown whole, or told of", PATIENCE, || async {
        let path = ["made"].into_iter().chain(["a"; DEPTH]).collect::<Vec<_>>().join(".");
        let shown = read(&pair, false, "order", &format!("{{.status.{path}}}")).await.unwrap_or_default();
        let synced = read(&pair, false, "order", "{.status.conditions[?(@.type==\"Synced\")].status}").await?;
        ensure!(shown == "1" || synced == "False", "it shows {shown:?}, and Synced is {synced:?}");
        Ok(())
    })
    .await;
    Ok(())
}

/// Reads one field with kubectl, which takes any depth: of the copy, or of the object itself.
async fn read(pair: &Pair, copy: bool, name: &str, path: &str) -> Result<String> {
    let (side, name) = if copy { (&pair.provider, pair.copy_name(name)) } else { (&pair.consumer, name.to_owned()) };
    let output = format!("jsonpath={path}");
    side.cluster.kubectl(&["get", &pair.kind.crd_name(), &name, "-n", pair.name, "-o", &output]).await
}

#[tokio::test]
async fn odd_keys_and_characters_are_copied_once_and_as_they_are() -> TestResult {
    let pair = Pair::new("bad-keys").await?;
    let mark = pair.provider.cluster.audit_position().await?;
    let _operator = Operator::quick(&pair.provider);
    let _broker = pair.start().await?;
    let nested = json!({
        "": "empty", ".": {"": 1}, "..": {"a.b": {"/": "~1"}}, "f:x": {"f:y": 1}, "k:{\"a\":1}": [], "v:1": {},
        "spec": {"metadata": {"name": "not one"}}, "😀": "\u{0}\u{1}\u{7f}\u{2028}", "ü\"\\": ["\"", "\\", "\n"],
        "numbers": [0, -1, 1.5, 1e30, 9_223_372_036_854_775_807_i64, 0.1],
        "null": null, "empty": {}, "none": [], "lists": [[], [[]], [{}]],
    });
    pair.consumer.create("order", &json!({"size": 1, "nested": nested})).await?;
    let order = until(&pair.consumer.widgets(), "order", "all to be well", is_well).await;
    let copy = pair.copy("order").await;
    assert_eq!(copy.data["spec"], order.data["spec"]);
    pair.marker().await?;
    let name = copy.name_any();
    let applies = |event: &AuditEvent| event.name == name && event.subresource.is_empty() && event.code < 300;
    let applies = pair.writes(&pair.provider.cluster, mark, applies).await?;
    assert_eq!(applies.len(), 1, "it was applied again and again: {applies:?}");
    Ok(())
}

#[tokio::test]
async fn strange_related_resources_harm_nothing() -> TestResult {
    let pair = Pair::new("bad-related").await?;
    let _broker = pair.start().await?;
    let copy = pair.placed("order", &json!({"size": 1})).await?.name_any();
    let secret: Secret = serde_json::from_value(json!({"metadata": {"name": "good"}, "stringData": {"key": "value"}}))?;
    pair.provider.api::<Secret>().create(&PostParams::default(), &secret).await?;
    let elsewhere = "bad-related-elsewhere";
    pair.provider.cluster.create_namespace(elsewhere).await?;
    let mut moved = secret.clone();
    moved.metadata.name = Some("moved".into());
    Api::<Secret>::namespaced(pair.provider.client.clone(), elsewhere).create(&PostParams::default(), &moved).await?;

    let mut entries = json!({
        "good": related("core", "Secret", "good", pair.name),
        "moved": related("", "Secret", "moved", elsewhere),
        "up": related("core", "Secret", "../../../kube-system/secrets/x", pair.name),
        "up-there": related("core", "Secret", "x", "../../kube-system"),
        "shouting": related("core", "Secret", "UPPER_CASE", pair.name),
        "long": related("core", "Secret", &"x".repeat(300), pair.name),
        "prefix-alone": related("core", "Secret", copy.trim_end_matches("order"), pair.name),
        "not-allowed": related("rbac.authorization.k8s.io", "ClusterRole", "admin", pair.name),
        "own-kind": related(pair.kind.group(), "Widget", &copy, pair.name),
        "nothing": null, "number": 7, "list": [], "empty": {},
        "nameless": {"gvk": {"group": "core", "version": "v1", "kind": "Secret"}, "namespace": pair.name},
        "named-by-a-number": {"gvk": {"group": "core", "version": "v1", "kind": "Secret"}, "name": 7},
        "kindless": {"name": "good", "namespace": pair.name},
    });
    // The schema of the kind asks for objects.
    for key in ["nothing", "number", "list"] {
        entries.as_object_mut().context("entries")?.remove(key);
    }
    pair.provider.report(&copy, &json!({"status": "Available", "relatedResources": entries})).await?;
    let order = until(&pair.consumer.widgets(), "order", "what is wrong to be told", |it| {
        is(it, "Ready", "True") && is(it, "Synced", "False")
    })
    .await;
    assert!(message(&order, "Synced").contains("provider#provider"), "{}", message(&order, "Synced"));
    let copied = pair.consumer.api::<Secret>();
    until(&copied, "good", "to be copied", |_| true).await;
    pair.marker().await?;
    assert_eq!(names(&copied).await?, ["good"], "no offer allows another namespace than the copy's own");

    // Beyond number: as many as are allowed, and told.
    let many: Map<String, Value> =
        (0..1000).map(|number| (format!("entry-{number:04}"), related("core", "Secret", "good", pair.name))).collect();
    pair.provider.report(&copy, &json!({"status": "Available", "relatedResources": many})).await?;
    until(&pair.consumer.widgets(), "order", "the conflict", |it| fails(it, "Synced", "RelatedResourceConflict")).await;
    let many: Map<String, Value> = (0..1000)
        .map(|number| (format!("entry-{number:04}"), related("core", "Secret", &format!("none-{number}"), pair.name)))
        .chain([("aaa".to_owned(), related("core", "Secret", "good", pair.name))])
        .collect();
    pair.provider.report(&copy, &json!({"status": "Available", "relatedResources": many})).await?;
    until(&pair.consumer.widgets(), "order", "the status to be shown", |it| {
        it.data["status"]["relatedResources"].as_object().is_some_and(|shown| shown.len() == 1001)
    })
    .await;
    pair.marker().await?;
    assert_eq!(names(&copied).await?, ["good"]);

    pair.provider.report(&copy, &json!({"status": "Available"})).await?;
    until(&pair.consumer.widgets(), "order", "all to be well", is_well).await;
    Ok(())
}

fn related(group: &str, kind: &str, name: &str, namespace: &str) -> Value {
    json!({"gvk": {"group": group, "version": "v1", "kind": kind}, "name": name, "namespace": namespace})
}

async fn names(api: &Api<Secret>) -> Result<Vec<String>> {
    let mut names: Vec<String> = api.list(&ListParams::default()).await?.iter().map(ResourceExt::name_any).collect();
    names.sort();
    Ok(names)
}

/// Status and reason of an offer's condition.
fn validity(offer: &AcceptApi) -> (&str, &str) {
    let conditions = offer.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    let valid = conditions.iter().find(|condition| condition.type_ == "Valid");
    valid.map_or(("", ""), |it| (&it.status, &it.reason))
}
