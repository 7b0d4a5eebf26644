//! Does what docs/plugins.md says, as its reader would, in the scene that `make demo KEEP=1` leaves running.

mod outcomes;
mod page;
mod session;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use page::Task;
use resource_broker_demo::scene::Scene;
use resource_broker_demo::stage::Stage;
use resource_broker_demo::{shell, story};
use resource_broker_harness::TestResult;
use session::Session;

/// How long one block may take: it may have to compile, on a machine that does much else.
const PATIENCE: Duration = Duration::from_mins(10);

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/plugins.md");

#[tokio::test]
async fn the_tutorial_does_what_it_says() -> TestResult {
    let text = fs::read_to_string(PAGE).context(PAGE)?;
    let steps = page::steps(&text).context(PAGE)?;
    let place = Place::make()?;
    let cache = tempfile::tempdir()?;
    let folder = cache.path().join("demo");
    let mut stage = Stage::new();
    let scene = Scene::set(&stage, &folder).await?;
    story::tell(&mut stage, &scene, &folder).await?;
    shell::prepare(&scene, &folder)?;

    let environment = [("RESOURCE_BROKER_CACHE", cache.path()), ("CARGO_TARGET_DIR", &place.target)];
    let mut session = Session::start(&place.work, &place.blocks, &environment, PATIENCE)?;
    follow(&steps, &mut session, &scene).await.context(PAGE)?;
    Ok(())
}

async fn follow(steps: &[page::Step], session: &mut Session, scene: &Scene) -> Result<()> {
    let mut output = String::new();
    let mut looked_at = Vec::new();
    for step in steps {
        let line = step.line;
        match &step.task {
            Task::Run(block) => output = session.run(line, block).await?,
            Task::Show(shown) => {
                if let Some(missing) = page::missing(shown, &output) {
                    bail!("line {line} shows what is not said:\n{missing}\nWhat is said:\n{output}");
                }
            }
            Task::Check(name) => {
                let looked = outcomes::look(scene, name).await;
                looked.with_context(|| format!("line {line}: not so: {name}; said last:\n{output}"))?;
                looked_at.push(name.as_str());
            }
        }
    }
    ensure!(looked_at == outcomes::ALL, "of {:?} the page has only {looked_at:?} checked", outcomes::ALL);
    Ok(())
}

/// Where the plugin is written and built: always the same, so that cargo need not build all of it each time.
struct Place {
    /// New each time, as are the blocks.
    work: PathBuf,
    blocks: PathBuf,
    target: PathBuf,
    /// Other runs of this test wait.
    _lock: File,
}

impl Place {
    fn make() -> Result<Self> {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("tutorial");
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let lock = File::create(folder.join("lock")).context("no lock")?;
        lock.lock().context("cannot wait for the lock")?;
        let [work, blocks, target] = ["work", "blocks", "target"].map(|name| folder.join(name));
        for folder in [&work, &blocks] {
            if folder.exists() {
                fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))?;
            }
            fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        }
        Ok(Self { work, blocks, target, _lock: lock })
    }
}
