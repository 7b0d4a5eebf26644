//! What stands in one kubeconfig file, or in several that are merged. Each entry stands for itself: one that is of no use
//! leaves the others.

use std::path::Path;

use kube::config::{AuthInfo, Cluster};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::document::{self, without_values};

/// An entry of a list, with its name; `Err`: why it cannot be used.
type Entry<T> = (String, Result<T, String>);

/// A kubeconfig's lists and what is current.
#[derive(Debug, Default)]
pub(super) struct File {
    pub(super) clusters: Vec<Entry<Cluster>>,
    pub(super) users: Vec<Entry<AuthInfo>>,
    pub(super) contexts: Vec<Entry<Names>>,
    pub(super) current: Option<String>,
    /// What people should know of it although it is used.
    pub(super) notes: Vec<String>,
}

/// What a context names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Names {
    pub(super) cluster: Option<String>,
    pub(super) user: Option<String>,
    pub(super) namespace: Option<String>,
}

impl File {
    /// Reads a text that stands in `directory`, to which its paths are relative. `None` where there is nothing in it.
    pub(super) fn parse(bytes: &[u8], directory: Option<&Path>) -> Result<Option<Self>, String> {
        let mut map = match document::parse(bytes)? {
            Value::Null => return Ok(None),
            Value::Object(map) => map,
            _ => return Err("it is not YAML that makes a kubeconfig: unfit value, expected a map".to_owned()),
        };
        let mut notes = Vec::new();
        let mut file = Self {
            clusters: entries(&mut map, "clusters", &mut notes, cluster)?,
            users: entries(&mut map, "users", &mut notes, user)?,
            contexts: entries(&mut map, "contexts", &mut notes, |map| context(&map))?,
            current: text(&map, "current-context"),
            notes: Vec::new(),
        };
        file.notes = notes;
        if let Some(directory) = directory {
            file.anchor(directory);
        }
        Ok(Some(file))
    }

    /// Adds what `next` has and this one lacks.
    pub(super) fn merge(&mut self, next: Self) {
        add_missing(&mut self.clusters, next.clusters);
        add_missing(&mut self.users, next.users);
        add_missing(&mut self.contexts, next.contexts);
        self.current = self.current.take().or(next.current);
        self.notes.extend(next.notes);
    }

    /// Whether it reads as a kubeconfig, and not as some other YAML.
    pub(super) fn is_likely(&self) -> bool {
        !self.contexts.is_empty() && !self.clusters.is_empty()
    }

    /// Paths in a kubeconfig are relative to its directory.
    fn anchor(&mut self, directory: &Path) {
        let anchor = |path: &mut Option<String>| {
            if let Some(relative) = path.as_deref().filter(|path| Path::new(path).is_relative()) {
                *path = Some(directory.join(relative).to_string_lossy().into_owned());
            }
        };
        for cluster in self.clusters.iter_mut().filter_map(|(_, cluster)| cluster.as_mut().ok()) {
            anchor(&mut cluster.certificate_authority);
        }
        for user in self.users.iter_mut().filter_map(|(_, user)| user.as_mut().ok()) {
            anchor(&mut user.client_certificate);
            anchor(&mut user.client_key);
            anchor(&mut user.token_file);
            // A command without a slash is looked up in PATH.
            if let Some(exec) = user.exec.as_mut().filter(|exec| exec.command.as_ref().is_some_and(|c| c.contains('/')))
            {
                anchor(&mut exec.command);
            }
        }
    }
}

/// The entry of this name.
pub(super) fn find<'a, T>(entries: &'a [Entry<T>], name: &str) -> Option<&'a Result<T, String>> {
    entries.iter().find(|(other, _)| other == name).map(|(_, entry)| entry)
}

fn add_missing<T>(entries: &mut Vec<Entry<T>>, more: Vec<Entry<T>>) {
    for (name, entry) in more {
        if find(entries, &name).is_none() {
            entries.push((name, entry));
        }
    }
}

/// The list under `key`. Of two entries of one name the first counts.
fn entries<T>(
    map: &mut Map<String, Value>,
    key: &str,
    notes: &mut Vec<String>,
    read: impl Fn(Map<String, Value>) -> Result<T, String>,
) -> Result<Vec<Entry<T>>, String> {
    let list = match map.remove(key) {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(list)) => list,
        Some(_) => {
            return Err(format!("it is not YAML that makes a kubeconfig: {key}: unfit value, expected a sequence"));
        }
    };
    // `clusters` holds a `cluster` each.
    let inner = key.trim_end_matches('s');
    let mut entries = Vec::new();
    for entry in list {
        let Value::Object(mut entry) = entry else {
            notes.push(format!("one of its {key} is no map with a name, and is passed over"));
            continue;
        };
        let Some(name) = text(&entry, "name") else {
            notes.push(format!("one of its {key} has no name, and is passed over"));
            continue;
        };
        if find(&entries, &name).is_some() {
            notes.push(format!("{key} has {name:?} twice; the first one counts"));
            continue;
        }
        let content = match entry.remove(inner) {
            Some(Value::Object(content)) => read(content).map_err(|what| format!("{inner} {name:?}: {what}")),
            None | Some(Value::Null) => read(Map::new()).map_err(|what| format!("{inner} {name:?}: {what}")),
            Some(_) => Err(format!("{inner} {name:?}: unfit value, expected a map")),
        };
        entries.push((name, content));
    }
    Ok(entries)
}

fn cluster(mut map: Map<String, Value>) -> Result<Cluster, String> {
    for key in ["insecure-skip-tls-verify", "disable-compression"] {
        as_switch(&mut map, key);
    }
    // Of use to credential plugins alone.
    let is_named = |one: &Value| one["name"].is_string() && one.get("extension").is_some();
    if let Some(Value::Array(extensions)) = map.get_mut("extensions") {
        extensions.retain(is_named);
    } else {
        map.remove("extensions");
    }
    typed(map)
}

fn user(mut map: Map<String, Value>) -> Result<AuthInfo, String> {
    map.remove("extensions");
    for key in ["exec", "auth-provider"] {
        if let Some(Value::Object(inner)) = map.get_mut(key) {
            inner.retain(|_, value| !value.is_null());
        }
    }
    if let Some(Value::Object(exec)) = map.get_mut("exec") {
        as_switch(exec, "provideClusterInfo");
    }
    typed(map)
}

fn context(map: &Map<String, Value>) -> Result<Names, String> {
    for key in ["cluster", "user", "namespace"] {
        if !map.get(key).is_none_or(|value| value.is_null() || value.is_string()) {
            return Err(format!("{key}: unfit value, expected a string"));
        }
    }
    Ok(Names { cluster: text(map, "cluster"), user: text(map, "user"), namespace: text(map, "namespace") })
}

/// What is null or empty is not given.
fn typed<T: DeserializeOwned>(mut map: Map<String, Value>) -> Result<T, String> {
    map.retain(|_, value| !value.is_null() && value.as_str().is_none_or(|text| !text.trim().is_empty()));
    serde_path_to_error::deserialize(Value::Object(map)).map_err(|error| {
        let field = error.path().to_string();
        let what = without_values(&error.inner().to_string());
        let what = what.rsplit_once(": ").map_or(what.as_str(), |(_, what)| what);
        format!("{field}: {what}")
    })
}

/// YAML 1.1, which client-go reads, knows these words as well.
fn as_switch(map: &mut Map<String, Value>, key: &str) {
    let Some(value) = map.get_mut(key) else { return };
    match value.as_str().map(str::to_ascii_lowercase).as_deref() {
        Some("true" | "yes" | "y" | "on") => *value = true.into(),
        Some("false" | "no" | "n" | "off") => *value = false.into(),
        _ => {}
    }
}

fn text(map: &Map<String, Value>, key: &str) -> Option<String> {
    map.get(key).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
}
