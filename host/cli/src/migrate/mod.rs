//! `resource-broker migrate`: what a person looks at and orders of migrations.
//!
//! An order is an annotation on the Migration; the broker carries it out. Whether it makes sense is decided in [`order`]
//! before anything is written, [`give`] gives it and waits for it, [`list`] shows what there is. [`server`] reads and
//! writes Migrations.

mod give;
mod list;
mod order;
mod server;

use std::{
    io::{self, Write as _},
    process::ExitCode,
    time::Duration,
};

use anyhow::Context as _;
use clap::{Args, Subcommand};

use self::order::Order;
use crate::{
    coordination::{Server, Where},
    kubeconfig::Access,
    output::Format,
    values::is_name,
};

/// Everything below `resource-broker migrate`.
#[derive(Args, Clone, Debug)]
pub struct MigrateArgs {
    #[command(subcommand)]
    command: MigrateCommand,
}

// The doc comments below are what `--help` prints.
#[derive(Clone, Debug, Subcommand)]
enum MigrateCommand {
    /// Show the migrations that there are, and what each of them waits for
    List(ListArgs),
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
struct ListArgs {
    #[command(flatten)]
    place: Where,
    /// Those of all namespaces
    #[arg(long, short = 'A', conflicts_with = "namespace")]
    all_namespaces: bool,
    /// More columns, or the same for scripts
    #[arg(long, short, value_enum, value_name = "FORM")]
    output: Option<list::Form>,
}

#[derive(Args, Clone, Debug)]
struct Common {
    /// The Migration, as `resource-broker migrate list` shows it
    #[arg(value_name = "NAME", value_parser = migration)]
    name: String,
    #[command(flatten)]
    place: Where,
    /// Print what was done for scripts
    #[arg(long, short, value_enum, value_name = "FORM")]
    output: Option<Format>,
    /// Wait until the broker has carried the order out
    #[arg(long)]
    wait: bool,
    /// How long to wait at most, as 90s or 5m
    #[arg(long, default_value = "1m", value_name = "DURATION", value_parser = crate::values::duration)]
    #[arg(requires = "wait")]
    timeout: Duration,
}

/// What is given as a Migration's name, which may be written as `kubectl get --output=name` writes it.
fn migration(given: &str) -> Result<String, String> {
    let name = match given.split_once('/') {
        Some((kind, name)) if kind.split('.').next().is_some_and(is_migration) => name,
        _ => given,
    };
    is_name(name).then(|| name.to_owned()).ok_or_else(|| {
        "it is not a Migration's name, which has small letters, digits and dashes; resource-broker migrate list shows them"
            .into()
    })
}

fn is_migration(kind: &str) -> bool {
    ["migration", "migrations", "mig"].iter().any(|it| kind.eq_ignore_ascii_case(it))
}

impl MigrateArgs {
    /// Where the coordination cluster is.
    pub fn place(&self) -> &Where {
        match &self.command {
            MigrateCommand::List(args) => &args.place,
            MigrateCommand::Approve { common, .. }
            | MigrateCommand::Retry { common }
            | MigrateCommand::Rollback { common } => &common.place,
        }
    }

    fn name(&self) -> &'static str {
        match &self.command {
            MigrateCommand::List(_) => "list",
            MigrateCommand::Approve { .. } => "approve",
            MigrateCommand::Retry { .. } => "retry",
            MigrateCommand::Rollback { .. } => "rollback",
        }
    }
}

/// Does what `args` say in the coordination cluster that is reached by `access`. The exit code is 1 for what that cluster
/// refuses or does not answer, for an order that makes no sense now, and for one that was waited for in vain.
pub fn run(args: &MigrateArgs, access: &Access) -> ExitCode {
    let work = async {
        let server = Server::connect(access, args.place().namespace.as_deref()).await?;
        match &args.command {
            MigrateCommand::List(args) => list::run(&server, args).await,
            MigrateCommand::Approve { common, stage } => {
                give::run(&server, common, &Order::Approve(stage.clone())).await
            }
            MigrateCommand::Retry { common } => give::run(&server, common, &Order::Retry).await,
            MigrateCommand::Rollback { common } => give::run(&server, common, &Order::Rollback).await,
        }
    };
    let outcome = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the runtime cannot be made")
        .and_then(|runtime| runtime.block_on(work));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Whoever closed standard error does not want to know.
            let _ = writeln!(io::stderr(), "resource-broker migrate {}: {error:#}", args.name());
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_migration_may_be_named_as_kubectl_does() {
        for given in ["sql-a-1", "migration/sql-a-1", "migration.broker.platform-mesh.io/sql-a-1", "mig/sql-a-1"] {
            assert_eq!(migration(given).as_deref(), Ok("sql-a-1"), "{given}");
        }
        for given in ["", "a/b", "../x", "assignment/sql-a-1", "Sql", "a b", "migration/", "migration/a/b"] {
            assert!(migration(given).is_err(), "{given}");
        }
    }
}
