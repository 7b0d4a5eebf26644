//! Whole migrations: every state in its order, and everything that stages find and leave.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::ResourceExt as _;
use kube::api::{Api, DynamicObject};
use resource_broker_api::broker::{MigrationState, StageState};
use resource_broker_api::conditions::reason;
use resource_broker_api::keys;
use resource_broker_harness::{TestKind, TestResult};
use serde_json::{Value, json};

use super::stand::{
    Stand, condition, job, job_succeeded, not_available, stage, state_of, status_of, texts, went_through,
};
use super::voyage::Crew;
use crate::moves::witness::{COMPUTE, Chronicle, Sight};
use crate::moves::world::World;
use crate::operator::{Manner, secret_of};
use crate::pair::{gone, until};

/// Stages with everything that a template may be.
fn everything(kind: &TestKind) -> Value {
    json!([
        {
            "name": "dump",
            "preconditions": ["from.status.status == 'Available'", "to.status.status in ['Degraded', 'Available']"],
            "templates": {
                "dump-job": job(),
                "notes": {
                    "apiVersion": "v1", "kind": "ConfigMap",
                    "metadata": {
                        "name": "not-this-one", "namespace": "nor-there",
                        "labels": {"size": "s${from.spec.size}"}, "annotations": {"whose": "${from.spec.tenant}"},
                    },
                    "data": {
                        "lone": "${from.metadata.name}",
                        "braces": "${{'a': {'b': '}'}}.a.b}${\"{\"}",
                        "quotes": "it's ${'\"' + \"'\"}",
                        "map": "as JSON: ${{'k': [1, 2]}}",
                        "shell": "$${HOME} $HOME",
                        "mirror": "from-${from.status.relatedResources.credentials.name}",
                        "where": "${migration.namespace}/${migration.id}",
                    },
                },
                "plan": {
                    "apiVersion": kind.api_version(), "kind": "Widget",
                    "spec": {
                        "size": "${from.spec.size + 41}",
                        "tags": "${['a', to.spec.engine]}",
                        "nested": "${{'deep': {'yes': true, 'none': null, 'half': 0.5}}}",
                        "fqdn": "${from.spec.engine}.to.${to.spec.engine}",
                    },
                },
                "login": {
                    "apiVersion": "v1", "kind": "Secret",
                    "stringData": {"password": "made for ${to.metadata.name}"},
                },
            },
            "successConditions": [
                "dump_job.status.succeeded == 1",
                "plan.spec.size == 42 && plan.spec.nested.deep.half < 1.0",
                "has(login.data.password)",
                "notes.data.done == 'yes'",
                "from.spec.engine != to.spec.engine",
            ],
            "progress": true,
        },
        stage("restore", &json!({"progress": true})),
        stage("tidy", &json!({})),
    ])
}

#[tokio::test]
async fn an_object_goes_through_every_state_and_stage() -> TestResult {
    let world = World::new("whole").await?;
    world.pair.kind.install(&world.compute).await?;
    let stand = Stand::on(world, |broker| broker).await?;
    let world = &stand.world;
    let (first, second) = (world.first(), world.second());
    stand.configure(&everything(&world.pair.kind)).await?;
    world.place("order", first).await?;
    world.operators[1].behave(not_available());
    world.send("order", second).await?;

    // The first stage, with everything that it finds.
    stand.stage("order", "dump", StageState::Running).await;
    let id = stand.id("order").await;
    let copy = world.pair.copy_name("order");
    let notes: ConfigMap = stand.deployed("order", "notes").await;
    assert_eq!(notes.labels().get(keys::MIGRATION_STAGE).map(String::as_str), Some("dump"));
    assert_eq!(notes.labels().get(keys::MIGRATION_ID), Some(&id));
    assert_eq!(notes.labels().get("size").map(String::as_str), Some("s1"));
    assert_eq!(notes.annotations().get("whose"), Some(&world.pair.consumer.id.name));
    assert!(notes.annotations().contains_key(keys::BROKER), "{:?}", notes.annotations());
    let said = serde_json::to_value(&notes.data)?;
    let expected = json!({
        "lone": copy,
        "braces": "}{",
        "quotes": "it's \"'",
        "map": "as JSON: {\"k\":[1,2]}",
        "shell": "${HOME} $HOME",
        "mirror": format!("from-{}", secret_of(&copy)),
        "where": format!("{}/{id}", world.pair.name),
    });
    assert_eq!(said, expected);
    let plans: Api<DynamicObject> = world.pair.kind.api(stand.compute_client(), world.pair.name);
    let plan = until(&plans, &format!("{id}-plan"), "to be deployed", |_| true).await;
    let spec = json!({
        "size": 42, "replicas": 1, "tags": ["a", second.id.name], "fqdn": format!("{}.to.{}", first.id.name, second.id.name),
        "nested": {"deep": {"yes": true, "none": null, "half": 0.5}},
    });
    assert_eq!(plan.data["spec"], spec);
    let login: Secret = stand.deployed("order", "login").await;
    assert_eq!(texts(&login).get("password"), Some(&format!("made for {copy}")));
    stand.deployed::<Job>("order", "dump-job").await;
    for (prefix, side) in [("from", first), ("to", second)] {
        let mirror =
            until(&stand.compute::<Secret>(), &format!("{prefix}-{}", secret_of(&copy)), "to be there", |_| true).await;
        let at_provider = side.api::<Secret>().get(&secret_of(&copy)).await?;
        assert_eq!(texts(&mirror), texts(&at_provider));
        assert_eq!(mirror.labels().get(keys::MIGRATION_ID), Some(&id));
        assert!(!mirror.labels().contains_key(keys::MIGRATION_STAGE), "{:?}", mirror.labels());
        assert!(mirror.annotations().contains_key(keys::BROKER), "{:?}", mirror.annotations());
    }
    let resources = stand.stage("order", "dump", StageState::Running).await.resources;
    let templates: Vec<&str> = resources.iter().map(|it| it.template.as_str()).collect();
    assert_eq!(templates.into_iter().collect::<BTreeSet<_>>(), ["dump-job", "login", "notes", "plan"].into());
    assert!(resources.iter().all(|it| it.name == format!("{id}-{}", it.template)), "{resources:?}");
    let migration = stand.migration("order").await?;
    assert_eq!(status_of(&migration).configuration.as_deref(), Some("stages"));
    assert_eq!(state_of(&migration), MigrationState::InitialInProgress);
    stand.tells("order", reason::STAGE_RUNNING, "dump_job.status.succeeded").await;
    assert_eq!(world.served_by("order").await?.as_deref(), Some(first.id.name.as_str()));

    // It succeeds, and the consumer gets the new provider's Secret.
    stand.report("order", "dump-job", &job_succeeded()).await?;
    stand.tells("order", reason::STAGE_RUNNING, "notes.data.done").await;
    stand.finish(&notes).await?;
    stand.stage("order", "restore", StageState::Running).await;
    assert_eq!(state_of(&stand.migration("order").await?), MigrationState::InitialCompleted);
    gone(&plans, &format!("{id}-plan")).await;
    until(&world.pair.consumer.api::<Secret>(), &secret_of("order"), "the new provider's", |secret| {
        texts(secret).get("provider") == Some(&format!("\"{}\"", second.id.name))
    })
    .await;
    assert_eq!(world.record("order").await?.spec.provider.cluster, first.id.to_string(), "it is still the old one's");

    // The other stages; then the new copy's availability is all that is missing.
    let _crew = Crew::of(&stand);
    stand.stage("order", "tidy", StageState::Succeeded).await;
    let order = until(&world.pair.consumer.widgets(), "order", "what is awaited", |it| {
        crate::pair::message(it, "Synced").contains("Degraded")
    })
    .await;
    assert_eq!(order.data["status"]["made"]["engine"], first.id.name.as_str());
    assert_eq!(state_of(&stand.migration("order").await?), MigrationState::CutoverInProgress);
    world.operators[1].behave(Manner::signing());
    let migration = stand.migrated("order").await;
    stand.is_clean().await;

    // Everything that it reached is told, with its time and in its order.
    let states = ["Pending", "InitialInProgress", "InitialCompleted", "CutoverInProgress", "CutoverCompleted"];
    let mut times = Vec::new();
    for state in states {
        let reached = condition(&migration, state).with_context(|| format!("no condition {state}"))?;
        assert_eq!(reached.status, "True");
        times.push(reached.last_transition_time.clone());
        stand.event("order", state).await;
    }
    assert!(times.is_sorted(), "{times:?}");
    assert!(condition(&migration, "Failed").is_none(), "{:?}", migration.status);
    let done = status_of(&migration).stages;
    let names: Vec<&str> = done.iter().map(|stage| stage.name.as_str()).collect();
    assert_eq!(names, ["dump", "restore", "tidy"]);
    for stage in &done {
        assert_eq!((stage.state, stage.attempt), (StageState::Succeeded, 1), "{stage:?}");
        assert!(stage.started_at.is_some() && stage.completed_at >= stage.started_at, "{stage:?}");
    }
    let table = world.pair.coordination.kubectl(&["get", "migrations", "-n", world.pair.name]).await?;
    assert!(table.contains("CutoverCompleted") && table.contains(&second.id.to_string()), "{table}");

    stand.world.quiet("marker").await?;
    let chronicle = stand.judge().await?;
    let states: Vec<&str> = [""].into_iter().chain(states).collect();
    went_through(&chronicle, &stand.name("order"), &states)?;
    one_stage_at_a_time(&chronicle);
    Ok(())
}

/// Nothing of a stage is there any more when something of another one is deployed.
fn one_stage_at_a_time(chronicle: &Chronicle) {
    let mut there: Vec<&Sight> = Vec::new();
    for sight in chronicle.sights.iter().filter(|sight| sight.cluster == COMPUTE) {
        let Some(stage) = sight.object.labels().get(keys::MIGRATION_STAGE) else { continue };
        there.retain(|other| other.place() != sight.place());
        if sight.gone {
            continue;
        }
        let others: Vec<_> =
            there.iter().filter(|it| it.object.labels().get(keys::MIGRATION_STAGE) != Some(stage)).collect();
        assert!(others.is_empty(), "{sight} is there beside {others:?}");
        there.push(sight);
    }
}

#[tokio::test]
async fn few_stages_or_none_and_stages_without_templates() -> TestResult {
    let stand = Stand::new("whole-few").await?;
    let (first, second) = (stand.world.first(), stand.world.second());
    let completed = ["InitialCompleted", "CutoverInProgress", "CutoverCompleted"];
    let cases: [(&str, Value, Vec<&str>); 4] = [
        ("none", json!([]), vec!["", "Pending", "CutoverInProgress", "CutoverCompleted"]),
        (
            "silent",
            json!([stage("only", &json!({}))]),
            vec!["", "Pending", "InitialInProgress", "CutoverInProgress", "CutoverCompleted"],
        ),
        (
            "progress",
            json!([stage("only", &json!({"progress": true}))]),
            ["", "Pending", "InitialInProgress"].into_iter().chain(completed).collect(),
        ),
        (
            "bare",
            json!([
                {"name": "waits", "preconditions": ["to.status.status == 'Available'"], "progress": true},
                {"name": "looks", "successConditions": ["to.spec.engine != from.spec.engine"]},
            ]),
            ["", "Pending", "InitialInProgress"].into_iter().chain(completed).collect(),
        ),
    ];
    let _crew = Crew::of(&stand);
    for (object, stages, _) in &cases {
        stand.configure(stages).await?;
        stand.world.place(object, first).await?;
        stand.world.send(object, second).await?;
        stand.migrated(object).await;
    }
    stand.is_clean().await;
    let chronicle = stand.judge().await?;
    for (object, _, states) in &cases {
        went_through(&chronicle, &stand.name(object), states)?;
    }
    Ok(())
}

#[tokio::test]
async fn a_move_without_a_configuration_has_no_migration() -> TestResult {
    let stand = Stand::new("whole-without").await?;
    stand.world.place("order", stand.world.first()).await?;
    stand.world.send("order", stand.world.second()).await?;
    stand.world.arrived("order", stand.world.second()).await;
    let chronicle = stand.judge().await?;
    let migrations = chronicle.sights.iter().filter(|sight| sight.kind == "Migration").count();
    assert_eq!(migrations, 0);
    Ok(())
}

#[tokio::test]
async fn from_one_version_of_a_kind_to_another_and_back_again() -> TestResult {
    let world = World::among("whole-versions", TestKind::in_two_versions(), &["provider-b"]).await?;
    let (older, newer) = (world.pair.kind.clone(), world.pair.kind.other_version());
    let offer = json!([{"key": "engine", "valueIn": [world.second().id.name]}]);
    world.second().offer_of(world.pair.name, &newer.gvr(), &offer).await?;
    let stand = Stand::on(world, |broker| broker.watch_kind(&newer.watch_kind())).await?;
    let (first, second) = (stand.world.first(), stand.world.second());
    configure(&stand, "up", &older, &newer).await?;
    configure(&stand, "down", &newer, &older).await?;
    let _crew = Crew::of(&stand);
    stand.world.place("order", first).await?;
    for (side, configuration, from, to) in [(second, "up", &older, &newer), (first, "down", &newer, &older)] {
        stand.world.send("order", side).await?;
        stand.world.arrived("order", side).await;
        let migration = stand
            .until("order", &format!("to be complete by {configuration}"), |it| {
                state_of(it) == MigrationState::CutoverCompleted
                    && status_of(it).configuration.as_deref() == Some(configuration)
            })
            .await;
        let versions = (migration.spec.from.gvk.version.as_str(), migration.spec.to.gvk.version.as_str());
        assert_eq!(versions, (from.version(), to.version()));
    }
    stand.is_clean().await;
    let chronicle = stand.judge().await?;
    let said: BTreeSet<String> = chronicle
        .sights
        .iter()
        .filter(|sight| sight.cluster == COMPUTE && sight.kind == "ConfigMap")
        .filter_map(|sight| sight.object.data["data"]["versions"].as_str().map(str::to_owned))
        .collect();
    let both =
        [(&older, &newer), (&newer, &older)].map(|(from, to)| format!("{} {}", from.api_version(), to.api_version()));
    assert_eq!(said, both.into());
    Ok(())
}

/// Sets the stages of moves from one version to another: one that says what it saw.
async fn configure(stand: &Stand, name: &str, from: &TestKind, to: &TestKind) -> Result<()> {
    let mut stages = json!([stage("copy", &json!({"progress": true}))]);
    stages[0]["templates"]["work"]["data"]["versions"] = "${from.apiVersion} ${to.apiVersion}".into();
    stand.world.configure_between(name, from, to, &stages).await?;
    stand.judged(name, "True", reason::VALID).await;
    Ok(())
}
