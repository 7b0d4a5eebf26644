//! What is left of a migration when it is over, and for how long.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use resource_broker_api::broker::MigrationState;
use resource_broker_api::conditions::reason;
use resource_broker_api::keys;
use resource_broker_harness::TestResult;
use serde_json::json;

use super::stand::{Stand, condition, stage};
use crate::moves::world::World;
use crate::pair::gone;

/// How long finished Migrations stay here.
const HISTORY: Duration = Duration::from_secs(6);

#[tokio::test]
async fn finished_migrations_go_when_their_time_has_come() -> TestResult {
    let world = World::new("history").await?;
    let mut stand = Stand::on(world, |broker| broker.arg("migration-history", "6s")).await?;
    let (first, second) = (stand.world.first(), stand.world.second());
    stand.configure(&json!([stage("copy", &json!({}))])).await?;
    for object in ["moved", "back", "rolled", "deleted"] {
        stand.world.place(object, first).await?;
        stand.world.send(object, second).await?;
        stand.reaches(object, MigrationState::InitialInProgress).await;
    }
    stand.order("rolled", keys::MIGRATION_ROLLBACK, "true").await?;
    stand.stays("rolled", reason::ROLLED_BACK).await;

    for (object, ended_by) in [("moved", "CutoverCompleted"), ("back", "Failed"), ("deleted", "Failed")] {
        match object {
            "moved" => stand.done("moved").await?,
            "back" => drop(stand.world.send("back", first).await?),
            _ => stand.world.pair.consumer.delete("deleted").await?,
        }
        let ended =
            stand.until(object, "to be over", |it| condition(it, ended_by).is_some_and(|it| it.status == "True")).await;
        let at = condition(&ended, ended_by).map(|it| it.last_transition_time.0.as_second()).unwrap_or_default();
        if object == "back" {
            // It is remembered over a restart.
            stand.broker.restart().await?;
        }
        gone(&stand.world.migrations(), &stand.name(object)).await;
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        let lasted = now.saturating_sub(Duration::from_secs(u64::try_from(at)?));
        assert!(lasted >= HISTORY, "that of {object} went after {lasted:?}");
    }
    stand.world.moved("moved", second).await;

    // One that holds its object where it is stays as long as it does that.
    stand.fails("rolled", reason::ROLLED_BACK).await;
    assert_eq!(stand.world.record("rolled").await?.spec.next, None);
    stand.world.send("rolled", first).await?;
    stand.world.arrived("rolled", first).await;
    stand.is_clean().await;
    stand.judge().await?;
    Ok(())
}
