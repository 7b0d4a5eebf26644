//! `resource-broker migrate`: orders that a person gives a migration.
//!
//! An order is an annotation on the Migration; the broker carries it out. Whether it makes sense is decided in [`order`]
//! before anything is written, [`server`] is the way to the coordination cluster.

mod order;
mod server;

use std::{
    io::{self, Write as _},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, bail};
use clap::{Args, Subcommand, ValueEnum, builder::NonEmptyStringValueParser};
use resource_broker_api::broker::Migration;
use serde_json::json;
use tokio::time::{Instant, sleep};

use self::{
    order::{Order, Progress},
    server::Server,
};
use crate::kubeconfig::Place;

/// How often the Migration is looked at while an order is waited for.
const POLL: Duration = Duration::from_millis(500);

/// Everything below `resource-broker migrate`.
#[derive(Args, Clone, Debug)]
pub struct MigrateArgs {
    #[command(subcommand)]
    command: MigrateCommand,
}

// The doc comments below are what `--help` prints.
#[derive(Clone, Debug, Subcommand)]
enum MigrateCommand {
    /// Let the stage begin that waits for approval
    Approve {
        #[command(flatten)]
        common: Common,
        /// The stage that is meant [default: the one that waits]
        #[arg(long, value_name = "STAGE")]
        stage: Option<String>,
    },
    /// Try again what failed, or was rolled back
    Retry {
        #[command(flatten)]
        common: Common,
    },
    /// Call the move off: the object stays at its old provider
    Rollback {
        #[command(flatten)]
        common: Common,
    },
}

#[derive(Args, Clone, Debug)]
struct Common {
    /// The Migration, as `kubectl get migrations` shows it
    #[arg(value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    name: String,
    /// The broker's namespace in the coordination cluster [default: the context's]
    #[arg(long, short, value_name = "NAMESPACE", value_parser = NonEmptyStringValueParser::new())]
    namespace: Option<String>,
    /// The coordination cluster's kubeconfig [default: KUBECONFIG, then ~/.kube/config, then the pod's service account]
    #[arg(long, visible_alias = "coordination-kubeconfig", value_name = "PATH")]
    kubeconfig: Option<String>,
    /// The kubeconfig's context [default: the current one]
    #[arg(long, value_name = "CONTEXT")]
    context: Option<String>,
    /// The form of what is printed
    #[arg(long, short, value_enum, default_value = "text", value_name = "FORM")]
    output: Output,
    /// Wait until the broker has carried the order out
    #[arg(long)]
    wait: bool,
    /// How long to wait at most, as 90s or 5m
    #[arg(long, default_value = "1m", value_name = "DURATION", value_parser = crate::args::parse_duration)]
    #[arg(requires = "wait")]
    timeout: Duration,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Output {
    Text,
    Json,
}

impl MigrateArgs {
    /// The coordination cluster's kubeconfig, where a flag gives one.
    pub fn kubeconfig(&self) -> Option<&str> {
        self.common().kubeconfig.as_deref()
    }

    fn common(&self) -> &Common {
        match &self.command {
            MigrateCommand::Approve { common, .. }
            | MigrateCommand::Retry { common }
            | MigrateCommand::Rollback { common } => common,
        }
    }

    fn order(&self) -> Order {
        match &self.command {
            MigrateCommand::Approve { stage, .. } => Order::Approve(stage.clone()),
            MigrateCommand::Retry { .. } => Order::Retry,
            MigrateCommand::Rollback { .. } => Order::Rollback,
        }
    }
}

/// Does what `args` say in the coordination cluster at `place`. The exit code is 1 for an order that makes no sense now,
/// that could not be written, or that was waited for in vain.
pub fn run(args: &MigrateArgs, place: &Place) -> ExitCode {
    let order = args.order();
    let outcome = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the runtime cannot be made")
        .and_then(|runtime| runtime.block_on(give(args.common(), &order, place)));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Whoever closed standard error does not want to know.
            let _ = writeln!(io::stderr(), "resource-broker migrate {}: {error:#}", order.verb());
            ExitCode::FAILURE
        }
    }
}

async fn give(common: &Common, order: &Order, place: &Place) -> Result<()> {
    let server = Server::connect(place, common.context.as_deref(), common.namespace.as_deref()).await?;
    let (migration, order) = server.order(&common.name, order).await?;
    if !common.wait {
        return report(common, &order, &migration, false);
    }
    let migration = wait(&server, common, &order, migration).await?;
    report(common, &order, &migration, true)
}

/// Waits until an order that was given to `ordered` is carried out; the Migration as it is then.
async fn wait(server: &Server, common: &Common, order: &Order, ordered: Migration) -> Result<Migration> {
    let until = Instant::now() + common.timeout;
    loop {
        let there = server.find(&common.name).await?;
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

fn report(common: &Common, order: &Order, migration: &Migration, carried_out: bool) -> Result<()> {
    let state = order::state_of(migration);
    let text = match common.output {
        Output::Text if carried_out => format!("{} {}: now {state}", common.name, order.done()),
        Output::Text => format!("{}: {} is ordered; the broker carries it out", common.name, order.verb()),
        Output::Json => {
            let namespace = &migration.metadata.namespace;
            let approved = if let Order::Approve(stage) = order { stage.as_deref() } else { None };
            json!({
                "migration": common.name, "namespace": namespace, "order": order.verb(), "stage": approved,
                "state": state, "carriedOut": carried_out,
            })
            .to_string()
        }
    };
    writeln!(io::stdout(), "{text}").context("the answer cannot be written")
}
