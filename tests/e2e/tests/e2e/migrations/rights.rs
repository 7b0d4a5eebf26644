//! A compute cluster in which the broker may not do everything: what is missing is said, and taken up when it comes.

use std::time::Duration;

use anyhow::Result;
use k8s_openapi::api::authorization::v1::SelfSubjectAccessReview;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, PostParams};
use resource_broker_api::broker::StageState;
use resource_broker_api::conditions::reason;
use resource_broker_harness::{TestResult, eventually};
use serde_json::{Value, json};

use super::stand::{Stand, job, stage};
use super::voyage::Crew;
use crate::moves::world::World;
use crate::pair::{PATIENCE, condition as said_by, is};

/// What the broker does with what it may do everything with.
const ALL: &[&str] = &["get", "list", "watch", "create", "update", "patch", "delete"];
/// A kind that may not be seen is asked for again after a while.
const SEEN_AGAIN: Duration = Duration::from_mins(3);

/// A stand whose broker has in compute what a Role of the test's own gives it.
struct Restricted {
    stand: Stand,
    /// Who the broker is in compute.
    user: String,
}

impl Restricted {
    /// With these verbs for resources of a group.
    async fn new(name: &'static str, rules: &[(&str, &str, &[&str])]) -> Result<Self> {
        let world = World::new(name).await?;
        let user = format!("{name}-in-compute");
        grant(&world, &user, rules).await?;
        let kubeconfig = world.compute.kubeconfig_as(&user, &[])?;
        let broker = world.broker().await?.compute(&kubeconfig);
        Ok(Self { stand: Stand::with(world, broker).await?, user })
    }

    /// Replaces what the broker may do.
    async fn grant(&self, rules: &[(&str, &str, &[&str])]) -> Result<()> {
        grant(&self.stand.world, &self.user, rules).await
    }

    /// Waits until an object's migration says which right is missing where; the old provider serves on.
    async fn lacks(&self, object: &str, verb: &str, resource: &str) -> Result<()> {
        let stand = &self.stand;
        let told = stand.tells(object, reason::BLOCKED, &format!("cannot {verb} resource \"{resource}\"")).await;
        for part in ["compute#compute", &self.user, stand.world.pair.name] {
            assert!(told.contains(part), "no {part:?} in {told}");
        }
        let order = stand.world.order(object).await?;
        assert!(is(&order, "Ready", "True"), "the old provider serves: {}", said_by(&order, "Ready"));
        let record = stand.world.record(object).await?;
        assert_eq!(record.spec.provider.cluster, stand.world.first().id.to_string());
        assert_eq!(stand.world.served_by(object).await?.as_deref(), Some(stand.world.first().id.name.as_str()));
        Ok(())
    }
}

/// Gives a user these verbs in the test's namespace of compute, and no others; waits until that is so.
async fn grant(world: &World, user: &str, rules: &[(&str, &str, &[&str])]) -> Result<()> {
    let (api, name) = ("rbac.authorization.k8s.io", world.pair.name);
    let metadata = json!({"name": "broker", "namespace": name});
    let listed: Vec<Value> = rules
        .iter()
        .map(|(group, resource, verbs)| json!({"apiGroups": [group], "resources": [resource], "verbs": verbs}))
        .collect();
    for object in [
        json!({"apiVersion": format!("{api}/v1"), "kind": "Role", "metadata": metadata, "rules": listed}),
        json!({
            "apiVersion": format!("{api}/v1"), "kind": "RoleBinding", "metadata": metadata,
            "roleRef": {"apiGroup": api, "kind": "Role", "name": "broker"},
            "subjects": [{"apiGroup": api, "kind": "User", "name": user}],
        }),
    ] {
        world.compute.apply_yaml(&object.to_string()).await?;
    }
    let reviews = Api::<SelfSubjectAccessReview>::all(world.compute.client_as(user, &[]).await?);
    for (group, resource, verbs) in rules {
        for verb in *verbs {
            let asked = json!({"namespace": name, "verb": verb, "group": group, "resource": resource});
            let review = serde_json::from_value(json!({"metadata": {}, "spec": {"resourceAttributes": asked}}))?;
            eventually(&format!("{user} to be able to {verb} {resource}"), PATIENCE, || async {
                let answer = reviews.create(&PostParams::default(), &review).await?;
                anyhow::ensure!(answer.status.is_some_and(|status| status.allowed), "it is not");
                anyhow::Ok(())
            })
            .await;
        }
    }
    Ok(())
}

/// Two stages of which the first deploys a Job as well.
fn stages() -> Value {
    let mut first = stage("copy", &json!({"progress": true}));
    first["templates"]["task"] = job();
    json!([first, stage("check", &json!({}))])
}

#[tokio::test]
async fn what_may_not_be_made_or_deleted_holds_the_migration_until_it_may() -> TestResult {
    let (secrets, maps) = (("", "secrets", ALL), ("", "configmaps", ALL));
    let may = |verbs| [secrets, maps, ("batch", "jobs", verbs)];
    let restricted = Restricted::new("rights-compute", &may(&["get", "list", "watch"])).await?;
    let stand = &restricted.stand;
    stand.configure(&stages()).await?;
    stand.world.place("order", stand.world.first()).await?;
    stand.world.send("order", stand.world.second()).await?;

    restricted.lacks("order", "create", "jobs").await?;
    stand.event("order", reason::BLOCKED).await;
    // What may be deployed is there by now, and stays.
    let map: ConfigMap = stand.deployed("order", "work").await;
    restricted.grant(&may(&["get", "list", "watch", "create"])).await?;
    stand.deployed::<Job>("order", "task").await;
    stand.tells("order", reason::STAGE_RUNNING, "work.data.done").await;
    assert_eq!(stand.deployed::<ConfigMap>("order", "work").await.metadata.uid, map.metadata.uid);

    stand.finish(&map).await?;
    // The finalizer that held it goes first, then the Job.
    stand.tells("order", reason::BLOCKED, "cannot patch resource \"jobs\"").await;
    restricted.grant(&may(&["get", "list", "watch", "create", "patch"])).await?;
    let told = stand.tells("order", reason::BLOCKED, "cannot delete resource \"jobs\"").await;
    assert!(told.contains("compute#compute") && told.contains(&restricted.user), "{told}");
    assert_eq!(stand.stage("order", "copy", StageState::Succeeded).await.resources.len(), 2);
    restricted.grant(&may(ALL)).await?;
    stand.stage("order", "check", StageState::Running).await;
    let _crew = Crew::of(stand);
    stand.migrated("order").await;
    stand.is_clean().await;
    stand.judge().await?;
    Ok(())
}

#[tokio::test]
async fn what_may_not_be_seen_holds_the_migration_until_it_may() -> TestResult {
    let maps = ("", "configmaps", ALL);
    let restricted = Restricted::new("rights-unseen", &[maps]).await?;
    let stand = &restricted.stand;
    stand.configure(&stages()).await?;
    stand.world.place("order", stand.world.first()).await?;
    stand.world.send("order", stand.world.second()).await?;

    // First what stages find there, then what they deploy.
    restricted.lacks("order", "list", "secrets").await?;
    restricted.grant(&[maps, ("", "secrets", &["get", "list", "watch"])]).await?;
    seen(stand, "cannot create resource \"secrets\"").await;
    restricted.lacks("order", "create", "secrets").await?;
    restricted.grant(&[maps, ("", "secrets", ALL)]).await?;
    restricted.lacks("order", "list", "jobs").await?;
    restricted.grant(&[maps, ("", "secrets", ALL), ("batch", "jobs", ALL)]).await?;
    seen(stand, "work.data.done").await;
    let _crew = Crew::of(stand);
    stand.migrated("order").await;
    stand.is_clean().await;
    stand.judge().await?;
    Ok(())
}

/// Waits until the migration says this, which takes until a kind that could not be seen is asked for again.
async fn seen(stand: &Stand, part: &str) {
    eventually(&format!("the Migration to say {part:?}"), SEEN_AGAIN, || async {
        let migration = stand.migration("order").await?;
        let told = super::stand::condition(&migration, "Progressing").map(|it| it.message.clone()).unwrap_or_default();
        anyhow::ensure!(told.contains(part), "{told}");
        anyhow::Ok(())
    })
    .await;
}
