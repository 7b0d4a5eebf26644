//! The databases that the story can be told with, the best one first that this machine has the programs for.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use tokio::process::Command;

/// Where Debian keeps the programs of PostgreSQL's server, a folder for each version.
const DEBIAN: &str = "/usr/lib/postgresql";

/// What sort of database a server holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// PostgreSQL, a server for each provider.
    Postgres,
    /// An SQLite file for each database.
    Sqlite,
    /// A text file for each database, where there is nothing better.
    Files,
}

/// How one sort of database is used: scripts for bash, which get what they need as variables.
#[derive(Debug)]
pub struct Scripts {
    /// Makes `$DATABASE` for a user of the same name with `$PASSWORD`, or gives that user this password. `$ADMIN` says how the
    /// server's administrator reaches it: a URI, or a folder.
    pub create: &'static str,
    /// Removes `$DATABASE` and its user.
    pub remove: &'static str,
    /// Adds the row `$ROW` to the database at `$URI`.
    pub write: &'static str,
    /// Prints all rows of the database at `$URI`.
    pub read: &'static str,
    /// Makes the database at `$TO_URI` the same as the one at `$FROM_URI`, however often it is run.
    pub copy: &'static str,
}

const POSTGRES: Scripts = Scripts {
    create: r#"
psql --quiet --no-psqlrc --set ON_ERROR_STOP=1 --set name="$DATABASE" --set password="$PASSWORD" "$ADMIN" <<'SQL'
select format('create role %I login', :'name') where not exists (select from pg_roles where rolname = :'name') \gexec
alter role :"name" password :'password';
select format('create database %I owner %I', :'name', :'name')
  where not exists (select from pg_database where datname = :'name') \gexec
revoke connect on database :"name" from public;
SQL"#,
    remove: r#"
psql --quiet --no-psqlrc --set ON_ERROR_STOP=1 --set name="$DATABASE" "$ADMIN" 2>&1 <<'SQL'
drop database if exists :"name" with (force);
drop role if exists :"name";
SQL"#,
    write: r#"psql --quiet "$URI" --set row="$ROW" <<< "create table if not exists orders (item text); insert into orders values (:'row')""#,
    read: r#"psql --no-align --tuples-only "$URI" --command "select item from orders""#,
    copy: r#"pg_dump --clean --if-exists --no-owner --no-privileges "$FROM_URI" |
psql --quiet --single-transaction --set ON_ERROR_STOP=1 "$TO_URI" > /dev/null"#,
};

const SQLITE: Scripts = Scripts {
    create: r#"sqlite3 "$ADMIN/$DATABASE.sqlite" "pragma user_version = 1""#,
    remove: r#"rm -f "$ADMIN/$DATABASE.sqlite""#,
    write: r#"sqlite3 "$URI" "create table if not exists orders (item text); insert into orders values ('$ROW')""#,
    read: r#"sqlite3 "$URI" "select item from orders""#,
    copy: r#"sqlite3 "$FROM_URI" ".backup '$TO_URI'""#,
};

const FILES: Scripts = Scripts {
    create: r#"touch "$ADMIN/$DATABASE.txt""#,
    remove: r#"rm -f "$ADMIN/$DATABASE.txt""#,
    write: r#"printf '%s\n' "$ROW" >> "$URI""#,
    read: r#"cat "$URI""#,
    copy: r#"cp "$FROM_URI" "$TO_URI""#,
};

impl Engine {
    /// Those that there are programs for, the best one first. Text files need none.
    pub fn available() -> Vec<Self> {
        let has = |names: &[&str]| names.iter().all(|name| program(name).is_some());
        let postgres = has(&["initdb", "postgres", "psql", "pg_dump"]).then_some(Self::Postgres);
        let sqlite = has(&["sqlite3"]).then_some(Self::Sqlite);
        [postgres, sqlite, Some(Self::Files)].into_iter().flatten().collect()
    }

    /// What it is called.
    pub fn title(self) -> &'static str {
        match self {
            Self::Postgres => "PostgreSQL",
            Self::Sqlite => "SQLite",
            Self::Files => "text files",
        }
    }

    /// What is missing for a better one, and how to get it; none where this is the best.
    pub fn missing(self) -> Option<&'static str> {
        let advice = "There is no PostgreSQL server that runs here (on Debian and Ubuntu: apt-get install postgresql; on macOS: brew \
                      install postgresql)";
        (self != Self::Postgres).then_some(advice)
    }

    /// How it is used.
    pub fn scripts(self) -> &'static Scripts {
        match self {
            Self::Postgres => &POSTGRES,
            Self::Sqlite => &SQLITE,
            Self::Files => &FILES,
        }
    }

    /// What a database's file name ends with; none where a server keeps them.
    pub(super) fn extension(self) -> Option<&'static str> {
        match self {
            Self::Postgres => None,
            Self::Sqlite => Some("sqlite"),
            Self::Files => Some("txt"),
        }
    }
}

/// Runs a script of [`Scripts`] and returns what it prints.
pub async fn run(script: &str, variables: &[(&str, &str)]) -> Result<String> {
    let mut bash = Command::new("bash");
    bash.args(["-euo", "pipefail", "-c", script]).env("PATH", path()).envs(variables.iter().copied());
    let output = bash.stdin(Stdio::null()).kill_on_drop(true).output().await.context("cannot run bash")?;
    if !output.status.success() {
        bail!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// `PATH` with the folders behind it in which programs of a database may be.
pub fn path() -> OsString {
    let set = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<_> = std::env::split_paths(&set).collect();
    let all = folders.iter().cloned().chain(debian().into_iter().filter(|folder| !folders.contains(folder)));
    // A folder that was there can be joined again; one that cannot is no loss.
    std::env::join_paths(all).unwrap_or(set)
}

/// A program in one of these folders.
pub(super) fn program(name: &str) -> Option<PathBuf> {
    let path = path();
    std::env::split_paths(OsStr::new(&path)).map(|folder| folder.join(name)).find(|file| is_executable(file))
}

/// The newest first.
fn debian() -> Vec<PathBuf> {
    let versions = std::fs::read_dir(DEBIAN).into_iter().flatten().flatten();
    let numbered = versions.filter_map(|entry| {
        let number: u32 = entry.file_name().to_str()?.parse().ok()?;
        Some((std::cmp::Reverse(number), entry.path().join("bin")))
    });
    numbered.collect::<BTreeSet<_>>().into_iter().map(|(_, folder)| folder).collect()
}

fn is_executable(file: &Path) -> bool {
    file.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}
