//! Gives an order, and waits until the broker has carried it out.

use std::{fmt, time::Duration};

use anyhow::{Context as _, Result, anyhow, bail};
use resource_broker_api::broker::Migration;
use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::{
    Common,
    order::{Order, Progress, state_of},
};
use crate::coordination::Server;
use crate::output::print;

/// How often the Migration is looked at while an order is waited for.
const POLL: Duration = Duration::from_millis(500);

/// Gives `order`, as `common` says.
pub(super) async fn run(server: &Server, common: &Common, order: &Order) -> Result<()> {
    let (ordered, order) = server.order(&common.name, order).await?;
    let migration = if common.wait { wait(server, common, &order, ordered).await? } else { ordered };
    let report = Report {
        migration: &common.name,
        namespace: migration.metadata.namespace.as_deref(),
        order: order.verb(),
        stage: if let Order::Approve(stage) = &order { stage.as_deref() } else { None },
        state: migration.status.is_some().then(|| state_of(&migration)),
        carried_out: common.wait,
        done: order.done(),
    };
    print(&report, common.output)
}

/// Waits until an order that was given to `ordered` is carried out; the Migration as it is then.
async fn wait(server: &Server, common: &Common, order: &Order, ordered: Migration) -> Result<Migration> {
    let until = Instant::now() + common.timeout;
    loop {
        let there = match server.find(&common.name).await {
            Ok(there) => there,
            // The order is given; a cluster that does not answer for a moment says nothing about it.
            Err(_) if Instant::now() < until => {
                sleep(POLL).await;
                continue;
            }
            Err(error) => return Err(error).context("ordered, but whether it is carried out cannot be seen"),
        };
        let is_it = there.as_ref().is_some_and(|there| there.metadata.uid == ordered.metadata.uid);
        let Some(migration) = there.filter(|_| is_it) else {
            order.progress_of_gone(&ordered).map_err(|why| anyhow!("the broker has not carried it out: {why}"))?;
            return Ok(Migration { status: None, ..ordered });
        };
        match order.progress(&migration) {
            Progress::Done => return Ok(migration),
            Progress::Refused(why) => bail!("the broker has not carried it out: {why}"),
            Progress::Waiting(what) if Instant::now() >= until => {
                bail!("ordered, but not carried out within {:?}: {what}. Is the broker running?", common.timeout)
            }
            Progress::Waiting(_) => sleep(POLL).await,
        }
    }
}

/// What became of an order.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
    migration: &'a str,
    namespace: Option<&'a str>,
    order: &'static str,
    /// The stage that is approved.
    stage: Option<&'a str>,
    /// `None`: a new Migration takes its place.
    state: Option<String>,
    carried_out: bool,
    #[serde(skip)]
    done: &'static str,
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { migration, order, done, .. } = self;
        match &self.state {
            _ if !self.carried_out => writeln!(f, "{migration}: {order} is ordered; the broker carries it out"),
            Some(state) => writeln!(f, "{migration} {done}: now {state}"),
            None => writeln!(f, "{migration} {done}: the move begins anew, with a new Migration of that name"),
        }
    }
}
