//! The command line of the demo.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Parser;
use resource_broker_demo::database::clear_elsewhere;
use resource_broker_demo::scene::Scene;
use resource_broker_demo::stage::Stage;
use resource_broker_demo::{shell, story};
use resource_broker_harness::left_running;

/// Acts the story of a brokered certificate and a brokered database on real API servers.
#[derive(Parser)]
struct Args {
    /// Leave everything running at the end.
    #[arg(long)]
    keep: bool,
    /// End what an earlier run left running.
    #[arg(long, conflicts_with = "keep")]
    stop: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: &Args) -> Result<()> {
    let folder = folder()?;
    if args.stop { stop(&folder) } else { play(&folder, args.keep).await }
}

/// Where everything of the demo is, so that a later run finds it.
fn folder() -> Result<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = set("RESOURCE_BROKER_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").map(|cache| cache.join("resource-broker")))
        .or_else(|| set("HOME").map(|home| home.join(".cache/resource-broker")))
        .context("HOME is not set: set RESOURCE_BROKER_CACHE to a folder for the demo's data")?;
    Ok(cache.join("demo"))
}

fn stop(folder: &Path) -> Result<()> {
    let left = left_running(folder)?;
    for process in &left {
        process.kill()?;
    }
    clear(folder)?;
    println!("{}", if left.is_empty() { "No demo was running." } else { "The demo is stopped." });
    Ok(())
}

async fn play(folder: &Path, keep: bool) -> Result<()> {
    if !left_running(folder)?.is_empty() {
        bail!("a demo is still running in {}: end it with make demo-stop", folder.display());
    }
    clear(folder)?;
    let mut stage = Stage::new();
    stage.heading("A certificate and a database, brokered");
    let outcome = async {
        let scene = Scene::set(&stage, folder).await?;
        story::tell(&mut stage, &scene, folder).await?;
        anyhow::Ok(scene)
    };
    let scene = outcome.await.with_context(|| {
        format!(
            "the demo did not get to its end; the logs of the broker and of all others are {}/*.log",
            folder.display()
        )
    })?;
    if keep {
        let env = shell::prepare(&scene, folder)?;
        scene.leave_running()?;
        keep_hints(&stage, folder, &env)
    } else {
        drop(scene);
        clear(folder)?;
        stage.heading(&format!("That was it, in {} s. What to try next", stage.seconds()));
        stage.say("  make demo KEEP=1     leaves all of this running for you to play with");
        stage.say("  docs/migrations.md   tells how things move, and what can be done about it");
        stage.say("  docs/plugins.md      puts a rule of your own into it, in a quarter of an hour");
        stage.say("  make test            proves much more on API servers like these");
        stage.say("  README.md            goes on from here");
        Ok(())
    }
}

fn keep_hints(stage: &Stage, folder: &Path, env: &Path) -> Result<()> {
    let example = folder.join("certificate.yaml");
    std::fs::write(&example, story::certificate("mine", "mine.corp.com"))
        .with_context(|| format!("cannot write {}", example.display()))?;
    stage.heading(&format!("That was it, in {} s. Everything is left running; what to try next", stage.seconds()));
    stage.say(&format!("  . {}   # for kubectl and resource-broker", env.display()));
    for line in [
        &format!("kubectl --context homer apply -f {}", example.display()),
        "kubectl --context homer get certificates -n shop -w",
        "kubectl --context coordination get assignments -A",
        "kubectl --context homer patch certificate mine -n shop --type=merge -p '{\"spec\":{\"fqdn\":\"mine.internal.corp\"}}'   # it moves",
        "kubectl --context coordination get migrations -n resource-broker -o wide",
    ] {
        stage.say(&format!("  {line}"));
    }
    stage.say(&format!("  tail -f {}/broker.log", folder.display()));
    stage.say("  make demo-stop   # ends it all");
    stage.say("docs/plugins.md puts a rule of your own into it, in a quarter of an hour.");
    Ok(())
}

fn clear(folder: &Path) -> Result<()> {
    clear_elsewhere(folder)?;
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        outcome => outcome.with_context(|| format!("cannot remove {}", folder.display())),
    }
}
