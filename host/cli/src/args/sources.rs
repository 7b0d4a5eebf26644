//! Where each role's clusters come from: the kubeconfig flags, and what stands in for those that are not given.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

use resource_broker_api::names::Role;

use super::{Environment, Result, flags::RawFlags, usage};
use crate::kubeconfig::{Access, Place, Reader, Source};

/// The name of the coordination cluster where its kubeconfig is given without one.
const COORDINATION: &str = "coord";
/// The name of the compute cluster where its kubeconfig is given without one.
const COMPUTE: &str = "compute";

pub(super) fn sources(raw: &RawFlags, environment: &Environment) -> Result<Vec<Source>> {
    let default = raw.kubeconfig.as_deref();
    let coordination = coordination(raw.coordination_kubeconfig.as_deref().or(default), environment)?;
    let compute = match raw.compute_kubeconfig.as_deref().or(default) {
        Some(given) => single("--compute-kubeconfig", given, COMPUTE)?,
        None => renamed(&coordination, COMPUTE),
    };
    let mut sources =
        vec![Source { role: Role::Coordination, place: coordination }, Source { role: Role::Compute, place: compute }];
    for (role, files, directories) in [
        (Role::Consumer, &raw.consumer_kubeconfig, &raw.consumer_kubeconfig_dir),
        (Role::Provider, &raw.provider_kubeconfig, &raw.provider_kubeconfig_dir),
    ] {
        let given = many(role, files, directories)?;
        sources.extend(given.into_iter().map(|place| Source { role, place }));
    }
    Ok(sources)
}

/// How a command reaches the coordination cluster: by the kubeconfig that is given, else by the one that kubectl would use; in
/// this context, else in the current one.
pub(super) fn access(given: Option<&str>, context: Option<&str>, environment: &Environment) -> Result<Access> {
    let place = match given {
        Some(given) => single("--kubeconfig", given, COORDINATION)?,
        None => inferred(environment)?,
    };
    if let Place::Named { paths, .. } = &place
        && let [path] = paths.as_slice()
    {
        check_file(Role::Coordination, path)?;
    }
    match Reader::new(environment.proxy.clone()).config(&place, context) {
        Ok(config) => Ok(Access { place, config }),
        Err(what) => usage(format!("coordination kubeconfig {place}: {what}")),
    }
}

/// Where the coordination cluster's kubeconfig is: where a flag says, else where kubectl would look.
fn coordination(given: Option<&str>, environment: &Environment) -> Result<Place> {
    match given {
        Some(given) => single("--coordination-kubeconfig", given, COORDINATION),
        None => inferred(environment),
    }
}

/// `PATH` or `NAME=PATH` for a role with one cluster.
fn single(flag: &str, given: &str, default_name: &str) -> Result<Place> {
    let (name, path) = match given.split_once('=') {
        Some((name, path)) => (name, path),
        None => (default_name, given),
    };
    named(flag, given, name, path)
}

fn named(flag: &str, given: &str, name: &str, path: &str) -> Result<Place> {
    if name.is_empty() || path.is_empty() {
        return usage(format!("{flag}={given}: write it PATH or NAME=PATH"));
    }
    Ok(Place::Named { name: name.to_owned(), paths: vec![PathBuf::from(path)] })
}

fn renamed(place: &Place, to: &str) -> Place {
    let name = to.to_owned();
    match place {
        Place::Named { paths, .. } => Place::Named { name, paths: paths.clone() },
        _ => Place::Pod { name },
    }
}

/// Where a kubeconfig comes from when no flag says so.
fn inferred(environment: &Environment) -> Result<Place> {
    let name = COORDINATION.to_owned();
    if let Some(list) = &environment.kubeconfig {
        let paths: Vec<PathBuf> = env::split_paths(list).filter(|path| !path.as_os_str().is_empty()).collect();
        if !paths.is_empty() {
            return Ok(Place::Named { name, paths });
        }
    }
    let own = environment.home.as_ref().map(|home| home.join(".kube/config")).filter(|path| path.is_file());
    match own {
        Some(path) => Ok(Place::Named { name, paths: vec![path] }),
        None if environment.in_pod => Ok(Place::Pod { name }),
        None => usage(
            "no kubeconfig for the coordination cluster: give one with --coordination-kubeconfig=PATH, --kubeconfig=PATH or \
             KUBECONFIG (there is no ~/.kube/config, and this is no pod)",
        ),
    }
}

fn many(role: Role, files: &[String], directories: &[String]) -> Result<Vec<Place>> {
    if files.iter().chain(directories).all(String::is_empty) {
        return usage(format!(
            "no {role} clusters: give kubeconfigs with --{role}-kubeconfig=[NAME=]PATH, or a directory of them (which may be \
             empty for now) with --{role}-kubeconfig-dir=DIR"
        ));
    }
    let flag = format!("--{role}-kubeconfig");
    let mut places = Vec::new();
    let mut names: Vec<(String, &String)> = Vec::new();
    for given in files.iter().filter(|given| !given.is_empty()) {
        let place = match given.split_once('=') {
            Some((name, path)) => named(&flag, given, name, path)?,
            None => Place::Contexts(given.clone()),
        };
        // A plain path's names all begin with it, so the path stands for them.
        let name = if let Place::Named { name, .. } = &place { name.clone() } else { given.clone() };
        if let Some((_, other)) = names.iter().find(|(taken, _)| *taken == name) {
            return usage(format!(
                "{flag}: {other} and {given} are both called {name}; give one another name, as NAME=PATH"
            ));
        }
        names.push((name, given));
        places.push(place);
    }
    let directories: Vec<&String> = directories.iter().filter(|given| !given.is_empty()).collect();
    for (at, given) in directories.iter().enumerate() {
        if directories[..at].contains(given) {
            return usage(format!("{flag}-dir={given}: given twice; leave one out"));
        }
        places.push(Place::Directory((*given).clone()));
    }
    Ok(places)
}

/// Files and directories that were given must be there, and the coordination cluster's must be of use. What is in the
/// others is looked at while the broker runs, so that one of them holds nothing up.
pub(super) fn check_sources(sources: &[Source], reader: &mut Reader) -> Result<()> {
    for Source { role, place } in sources {
        match place {
            Place::Contexts(path) => check_file(*role, Path::new(path))?,
            Place::Named { paths, .. } if paths.len() == 1 => {
                paths.iter().try_for_each(|path| check_file(*role, path))?;
            }
            Place::Directory(path) if !Path::new(path).is_dir() => {
                let what = if Path::new(path).exists() { "not a directory" } else { "no such directory" };
                return usage(format!(
                    "--{role}-kubeconfig-dir={path}: {what}; make it (it may be empty), or give files with --{role}-kubeconfig"
                ));
            }
            // kubectl, too, overlooks files of a list that are not there.
            Place::Directory(_) | Place::Named { .. } | Place::Pod { .. } => {}
        }
    }
    let coordination: Vec<Source> = sources.iter().filter(|s| s.role == Role::Coordination).cloned().collect();
    match reader.read(&coordination).problems.first() {
        Some(problem) => usage(problem.to_string()),
        None => Ok(()),
    }
}

fn check_file(role: Role, path: &Path) -> Result<()> {
    let shown = path.display();
    let open = || {
        let is_directory = fs::metadata(path)?.is_dir();
        if is_directory { Err(io::ErrorKind::IsADirectory.into()) } else { fs::File::open(path) }
    };
    let Err(error) = open() else { return Ok(()) };
    let mend = match (error.kind(), role) {
        (io::ErrorKind::IsADirectory, Role::Consumer | Role::Provider) => {
            format!("it is a directory; give it with --{role}-kubeconfig-dir")
        }
        (io::ErrorKind::NotFound, _) => "no such file; check the path".to_owned(),
        _ => format!("{error}; it must be a file that can be read"),
    };
    usage(format!("{role} kubeconfig {shown}: {mend}"))
}
