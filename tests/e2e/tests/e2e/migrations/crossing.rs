//! Migrations that pass each other: of two tenants, under one name, in opposite directions, at the same time.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;
use resource_broker_api::broker::{MigrationState, StageState};
use resource_broker_api::names::assignment_name;
use resource_broker_api::{Migration, keys};
use resource_broker_harness::TestResult;
use serde_json::{Value, json};

use super::stand::{Stand, stage, stage_of, state_of, status_of, texts};
use super::voyage::Crew;
use crate::moves::witness::{COMPUTE, Chronicle};
use crate::moves::world::{World, served};
use crate::pair::{Side, until};

/// Two stages whose ConfigMap says whose it is, and between which providers.
fn stages() -> Value {
    let mut stages =
        json!([stage("copy", &json!({"progress": true, "approval": "required"})), stage("check", &json!({}))]);
    for stage in stages.as_array_mut().into_iter().flatten() {
        let data = &mut stage["templates"]["work"]["data"];
        data["tenants"] = "${from.spec.tenant} ${to.spec.tenant}".into();
        data["way"] = "${from.spec.engine} ${to.spec.engine}".into();
    }
    stages
}

#[tokio::test]
async fn of_two_tenants_with_one_name_in_opposite_directions() -> TestResult {
    let world = World::new("crossing-stages").await?;
    let stranger = world.pair.other_consumer().await?;
    let kubeconfig = stranger.cluster.kubeconfig_as(world.pair.name, &["system:masters"])?;
    let broker = world.broker().await?.consumer(&stranger.id.name, &kubeconfig);
    let stand = Stand::beside(world, broker, &[&stranger]).await?;
    let (first, second) = (stand.world.first(), stand.world.second());
    let group = stand.world.pair.kind.group();
    let theirs = assignment_name(&stranger.id, group, "Widget", Some(stand.world.pair.name), "order");
    stand.configure(&stages()).await?;
    stranger.create("order", &json!({"size": 2, "engine": second.id.name, "tenant": stranger.id.name})).await?;
    stand.world.place("order", first).await?;
    served(&stranger, "order", second).await;

    for (to, back) in [(second, first), (first, second)] {
        let change = json!({"spec": {"engine": back.id.name}});
        let (one, other) = tokio::join!(stand.world.send("order", to), stranger.edit("order", &change));
        one.and(other)?;
        // Both are in the middle of it before either goes on.
        for (name, side) in [(stand.name("order"), to), (theirs.clone(), back)] {
            let is_there = |it: &Migration| {
                it.spec.to.cluster_name == side.id.to_string()
                    && stage_of(it, "copy").is_some_and(|stage| stage.state == StageState::AwaitingApproval)
            };
            until(&stand.world.migrations(), &name, "to wait for approval", is_there).await;
        }
        let crew = Crew::of(&stand);
        stand.world.arrived("order", to).await;
        served(&stranger, "order", back).await;
        for name in [stand.name("order"), theirs.clone()] {
            let is_complete = |it: &Migration| state_of(it) == MigrationState::CutoverCompleted;
            until(&stand.world.migrations(), &name, "to be complete", is_complete).await;
        }
        drop(crew);
        stand.is_clean().await;
    }
    let chronicle = stand.judge().await?;
    let tenants = [(stand.name("order"), &stand.world.pair.consumer), (theirs, &stranger)];
    kept_apart(&chronicle, &tenants)?;
    Ok(())
}

/// Whatever was in compute was of the migration whose id it had, and of that one's tenant and providers.
fn kept_apart(chronicle: &Chronicle, tenants: &[(String, &Side)]) -> Result<()> {
    let mut ids = BTreeMap::new();
    for sight in chronicle.sights.iter().filter(|sight| sight.kind == "Migration") {
        let migration: Migration = serde_json::from_value(serde_json::to_value(&sight.object)?)?;
        let tenant = tenants.iter().find(|(name, _)| *name == migration.name_any()).context("a Migration of nobody")?.1;
        if let Some(id) = status_of(&migration).id {
            ids.insert(id, (tenant.id.name.clone(), migration.spec));
        }
    }
    ensure!(ids.len() == 4, "not four migrations, but {ids:?}");
    let (mut maps, mut mirrors) = (0, 0);
    for sight in chronicle.sights.iter().filter(|sight| sight.cluster == COMPUTE) {
        let id = sight.object.labels().get(keys::MIGRATION_ID).context("an object of nobody")?;
        let (tenant, spec) = ids.get(id).context("an object of another migration")?;
        let short = |place: &str| place.trim_start_matches("provider#").to_owned();
        let (from, to) = (short(&spec.from.cluster_name), short(&spec.to.cluster_name));
        if sight.kind == "ConfigMap" {
            let data = &sight.object.data["data"];
            ensure!(
                data["tenants"] == format!("{tenant} {tenant}") && data["way"] == format!("{from} {to}"),
                "{sight}"
            );
            maps += 1;
        } else {
            let secret: Secret = serde_json::from_value(serde_json::to_value(&sight.object)?)?;
            let of = if secret.name_any().starts_with("from-") { from } else { to };
            let said = texts(&secret);
            let says = |key: &str, what: &str| said.get(key).is_some_and(|said| *said == format!("{what:?}"));
            ensure!(says("tenant", tenant) && says("provider", &of), "{sight}");
            mirrors += 1;
        }
    }
    // Each stage's ConfigMap was made, finished and deleted, and each mirror made and deleted.
    ensure!(maps >= 4 * 2 * 3 && mirrors >= 4 * 2 * 2, "only {maps} ConfigMaps and {mirrors} Secrets were seen");
    Ok(())
}
