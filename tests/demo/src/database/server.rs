//! A place for the databases of one provider: a PostgreSQL server of its own, or a folder.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use resource_broker_harness::{Guard, Process, free_port, poll};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use super::engine::{self, Engine, program};

/// How long a server may take to answer; it needs less than a second.
const START: Duration = Duration::from_mins(1);

/// How long it may take to let go of what it has; then it is killed.
const END: Duration = Duration::from_secs(5);

/// The users whom a server can run as that will not be root's, the first that there is.
const UNPRIVILEGED: [&str; 2] = ["postgres", "nobody"];

/// A file in a guard's folder that names the folders of servers outside of it, one a line.
const ELSEWHERE: &str = "folders-elsewhere";

/// How a server is reached by its administrator. Kept in a file that nobody else can read.
#[derive(Clone, Serialize, Deserialize)]
pub struct Access {
    /// What it holds.
    pub engine: Engine,
    /// A URI without a database, `postgresql://USER:PASSWORD@HOST:PORT`, or a folder.
    pub admin: String,
    /// `127.0.0.1:PORT`, or the folder: what tells it from another one in a database's URI.
    pub address: String,
}

impl Access {
    /// Reads what [`Server::start`] wrote.
    pub fn read(file: &Path) -> Result<Self> {
        let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{} does not describe a server", file.display()))
    }
}

/// A server that runs, or a folder that is there. Dropping it ends it.
pub struct Server {
    access: Access,
    file: PathBuf,
    // In the order in which they end.
    process: Option<Process>,
    elsewhere: Option<TempDir>,
    guard: Arc<Guard>,
}

impl Server {
    /// Starts what `engine` needs as `name`, with its data in the guard's folder where the server's user may go there.
    pub async fn start(guard: &Arc<Guard>, name: &str, engine: Engine) -> Result<Self> {
        let file = guard.folder().join(format!("{name}.json"));
        let server = match engine {
            Engine::Postgres => postgres(guard, name, file).await?,
            Engine::Sqlite | Engine::Files => {
                let access = folder(guard, name, engine)?;
                Self { access, file, process: None, elsewhere: None, guard: Arc::clone(guard) }
            }
        };
        let access = serde_json::to_vec(&server.access).context("cannot describe a server")?;
        write_private(&server.file, &access)?;
        Ok(server)
    }

    /// How it is reached.
    pub fn access(&self) -> &Access {
        &self.access
    }

    /// The file with the same.
    pub fn access_file(&self) -> &Path {
        &self.file
    }

    /// What it is and where, for people.
    pub async fn title(&self) -> Result<String> {
        let Access { engine, admin, address } = &self.access;
        let version = match engine {
            Engine::Postgres => {
                let show =
                    r#"psql --no-psqlrc --no-align --tuples-only "$ADMIN/postgres" --command "show server_version""#;
                engine::run(show, &[("ADMIN", admin)]).await?
            }
            Engine::Sqlite | Engine::Files => String::new(),
        };
        // Debian's has its package behind it.
        let version = version.split_whitespace().next().map(|number| format!(" {number}")).unwrap_or_default();
        Ok(format!("{}{version} at {address}", engine.title()))
    }
}

impl Drop for Server {
    /// PostgreSQL is told to end at once and in order: one that is killed leaves shared memory behind.
    fn drop(&mut self) {
        if self.guard.is_released() {
            self.elsewhere.take().map(TempDir::keep);
            return;
        }
        let Some(process) = &mut self.process else { return };
        let _ = Command::new("kill").args(["-QUIT", &process.pid().to_string()]).status();
        let deadline = Instant::now() + END;
        while matches!(process.exited(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Removes what servers have outside of `folder` that were left running, or whose program was killed.
pub fn clear_elsewhere(folder: &Path) -> Result<()> {
    let list = fs::read_to_string(folder.join(ELSEWHERE)).unwrap_or_default();
    for path in list.lines() {
        match fs::remove_dir_all(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            outcome => outcome.with_context(|| format!("cannot remove {path}"))?,
        }
    }
    Ok(())
}

fn folder(guard: &Guard, name: &str, engine: Engine) -> Result<Access> {
    let folder = guard.folder().join(name);
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let path = folder.display().to_string();
    Ok(Access { engine, admin: path.clone(), address: path })
}

async fn postgres(guard: &Arc<Guard>, name: &str, file: PathBuf) -> Result<Server> {
    let user = unprivileged()?;
    let elsewhere = user.map(|user| folder_elsewhere(guard, user)).transpose()?;
    let data = elsewhere.as_ref().map_or(guard.folder(), TempDir::path).join(format!("{name}-data"));
    fs::create_dir_all(&data).with_context(|| format!("cannot make {}", data.display()))?;
    give(&data, user)?;
    let password = super::new_password();
    init(&data, user, &password).await?;
    let port = free_port()?;
    let mut command = postgres_command("postgres", user)?;
    command.arg("-D").arg(&data).args(["-h", "127.0.0.1", "-p", &port.to_string()]).args(settings(guard));
    command.current_dir(&data);
    let mut process = Process::spawn(guard, name, command)?;
    let address = format!("127.0.0.1:{port}");
    let access =
        Access { engine: Engine::Postgres, admin: format!("postgresql://postgres:{password}@{address}"), address };
    wait_for_answer(&mut process, &format!("{}/postgres", access.admin)).await?;
    Ok(Server { access, file, process: Some(process), elsewhere, guard: Arc::clone(guard) })
}

async fn wait_for_answer(process: &mut Process, admin: &str) -> Result<()> {
    let ended = poll("an answer of the server", START, || {
        let exited = process.exited();
        async move {
            if let Some(status) = exited? {
                return Ok(Some(status));
            }
            let ask = r#"psql --no-psqlrc "$ADMIN" --command "select 1""#;
            engine::run(ask, &[("ADMIN", admin)]).await.map(|_| None)
        }
    });
    if let Some(status) = ended.await? {
        bail!("the server ended with {status}; its log ends:\n{}", process.log_tail(20));
    }
    Ok(())
}

/// What a server for a moment needs not, and needs.
fn settings(guard: &Guard) -> impl Iterator<Item = String> {
    let settings = [
        "unix_socket_directories=".to_owned(),
        "fsync=off".to_owned(),
        "full_page_writes=off".to_owned(),
        "shared_buffers=16MB".to_owned(),
        "max_connections=20".to_owned(),
        "autovacuum=off".to_owned(),
        "max_wal_senders=0".to_owned(),
        "wal_level=minimal".to_owned(),
        // Of no meaning to the server: whoever ends what was left running looks for the folder in the command line.
        format!("demo.folder={}", guard.folder().display()),
    ];
    settings.into_iter().flat_map(|setting| ["-c".to_owned(), setting])
}

async fn init(data: &Path, user: Option<(u32, u32)>, password: &str) -> Result<()> {
    let file = data.with_extension("password");
    write_private(&file, password.as_bytes())?;
    give(&file, user)?;
    let mut command = postgres_command("initdb", user)?;
    command.arg("-D").arg(data).arg("--pwfile").arg(&file);
    command.args(["-U", "postgres", "--auth=scram-sha-256", "--no-sync", "--encoding=UTF8", "--locale=C"]);
    command.current_dir(data);
    let output =
        tokio::process::Command::from(command).kill_on_drop(true).output().await.context("cannot run initdb")?;
    fs::remove_file(&file).with_context(|| format!("cannot remove {}", file.display()))?;
    if !output.status.success() {
        bail!("initdb: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

/// A folder of a user's own outside of the guard's, which root keeps closed. The guard's has a note of it.
fn folder_elsewhere(guard: &Guard, user: (u32, u32)) -> Result<TempDir> {
    let folder = tempfile::Builder::new().prefix("resource-broker-demo-").tempdir().context("no temporary folder")?;
    let list = guard.folder().join(ELSEWHERE);
    let opened = fs::OpenOptions::new().create(true).append(true).open(&list);
    let noted = opened.and_then(|mut file| writeln!(file, "{}", folder.path().display()));
    noted.with_context(|| format!("cannot write {}", list.display()))?;
    give(folder.path(), Some(user))?;
    Ok(folder)
}

fn give(path: &Path, user: Option<(u32, u32)>) -> Result<()> {
    let Some((user, group)) = user else { return Ok(()) };
    chown(path, Some(user), Some(group)).with_context(|| format!("cannot give away {}", path.display()))
}

fn postgres_command(name: &str, user: Option<(u32, u32)>) -> Result<Command> {
    let mut command = Command::new(program(name).with_context(|| format!("no program {name}"))?);
    if let Some((user, group)) = user {
        command.uid(user).gid(group);
    }
    Ok(command)
}

/// User and group to run PostgreSQL as, which refuses to be root; none where this program is not root either.
fn unprivileged() -> Result<Option<(u32, u32)>> {
    let id = |args: &[&str]| -> Option<u32> {
        let output = Command::new("id").args(args).output().ok().filter(|output| output.status.success())?;
        String::from_utf8_lossy(&output.stdout).trim().parse().ok()
    };
    if id(&["-u"]).context("cannot run id")? != 0 {
        return Ok(None);
    }
    let found = UNPRIVILEGED.iter().find_map(|user| Some((id(&["-u", user])?, id(&["-g", user])?)));
    found
        .map(Some)
        .with_context(|| format!("it refuses to run as root, and there is no user {}", UNPRIVILEGED.join(" or ")))
}

fn write_private(file: &Path, bytes: &[u8]) -> Result<()> {
    let opened = fs::OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(file);
    opened.and_then(|mut opened| opened.write_all(bytes)).with_context(|| format!("cannot write {}", file.display()))
}
