//! The environment of a container, put together as a kubelet would.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use k8s_openapi::api::core::v1::{ConfigMap, Container, EnvFromSource, EnvVar, EnvVarSource, Secret};
use kube::Client;
use kube::api::Api;

/// Variables, and what of them nobody may read in a log.
#[derive(Default)]
pub(super) struct Environment {
    /// By name; later ones have replaced earlier ones.
    pub(super) variables: BTreeMap<String, OsString>,
    secrets: Vec<String>,
}

/// Why there is no environment.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unresolved {
    /// It may still come.
    #[error("{0} is not there")]
    Missing(String),
    /// The API server does not answer, or not well.
    #[error("{0}")]
    Request(#[from] kube::Error),
    /// It is not known here.
    #[error("{0}")]
    Unsupported(String),
}

/// Reads everything that the container's environment refers to.
pub(super) async fn resolve(
    client: &Client,
    namespace: &str,
    container: &Container,
) -> Result<Environment, Unresolved> {
    let mut environment = Environment::default();
    let sources = Sources {
        secrets: Api::namespaced(client.clone(), namespace),
        config_maps: Api::namespaced(client.clone(), namespace),
    };
    for from in container.env_from.iter().flatten() {
        environment.add_all(from, &sources).await?;
    }
    for variable in container.env.iter().flatten() {
        environment.add(variable, &sources).await?;
    }
    Ok(environment)
}

impl Environment {
    /// A line of output with the values of Secrets blotted out.
    pub(super) fn blotted(&self, line: &str) -> String {
        self.secrets.iter().fold(line.to_owned(), |line, secret| line.replace(secret, "***"))
    }

    async fn add_all(&mut self, from: &EnvFromSource, sources: &Sources) -> Result<(), Unresolved> {
        let prefix = from.prefix.as_deref().unwrap_or_default();
        if let Some(reference) = &from.secret_ref {
            let found = sources.secret(&reference.name, reference.optional).await?;
            for (key, bytes) in found.into_iter().flatten() {
                self.insert_secret(&format!("{prefix}{key}"), bytes);
            }
        }
        if let Some(reference) = &from.config_map_ref {
            let found = sources.config_map(&reference.name, reference.optional).await?;
            let texts = found.into_iter().flatten().map(|(key, text)| (format!("{prefix}{key}"), text.into()));
            self.variables.extend(texts);
        }
        Ok(())
    }

    async fn add(&mut self, variable: &EnvVar, sources: &Sources) -> Result<(), Unresolved> {
        let name = &variable.name;
        match &variable.value_from {
            None => {
                self.variables.insert(name.clone(), variable.value.clone().unwrap_or_default().into());
            }
            Some(EnvVarSource { secret_key_ref: Some(reference), .. }) => {
                let found = sources.secret(&reference.name, reference.optional).await?;
                let value = found.and_then(|mut data| data.remove(&reference.key));
                match value {
                    Some(bytes) => self.insert_secret(name, bytes),
                    None => optional(reference.optional, "Secret", &reference.name, Some(&reference.key))?,
                }
            }
            Some(EnvVarSource { config_map_key_ref: Some(reference), .. }) => {
                let found = sources.config_map(&reference.name, reference.optional).await?;
                let value = found.and_then(|mut data| data.remove(&reference.key));
                match value {
                    Some(text) => drop(self.variables.insert(name.clone(), text.into())),
                    None => optional(reference.optional, "ConfigMap", &reference.name, Some(&reference.key))?,
                }
            }
            Some(_) => {
                let what = format!("the variable {name} is from what only a Pod has; use a value, Secret or ConfigMap");
                return Err(Unresolved::Unsupported(what));
            }
        }
        Ok(())
    }

    fn insert_secret(&mut self, name: &str, bytes: Vec<u8>) {
        let text = String::from_utf8_lossy(&bytes).trim().to_owned();
        if !text.is_empty() {
            self.secrets.push(text);
            // A value that is part of another must not leave the rest of that one behind.
            self.secrets.sort_by_key(|text| std::cmp::Reverse(text.len()));
        }
        self.variables.insert(name.to_owned(), OsString::from_vec(bytes));
    }
}

struct Sources {
    secrets: Api<Secret>,
    config_maps: Api<ConfigMap>,
}

impl Sources {
    /// What is in a Secret; none where there is no such Secret and need not be.
    async fn secret(
        &self,
        name: &str,
        is_optional: Option<bool>,
    ) -> Result<Option<BTreeMap<String, Vec<u8>>>, Unresolved> {
        let Some(secret) = self.secrets.get_opt(name).await? else {
            return optional(is_optional, "Secret", name, None).map(|()| None);
        };
        Ok(Some(secret.data.into_iter().flatten().map(|(key, bytes)| (key, bytes.0)).collect()))
    }

    /// The same of a config map; its binary data does not count.
    async fn config_map(
        &self,
        name: &str,
        is_optional: Option<bool>,
    ) -> Result<Option<BTreeMap<String, String>>, Unresolved> {
        match self.config_maps.get_opt(name).await? {
            Some(map) => Ok(Some(map.data.unwrap_or_default())),
            None => optional(is_optional, "ConfigMap", name, None).map(|()| None),
        }
    }
}

/// An error unless what is missing need not be there.
fn optional(is_optional: Option<bool>, kind: &str, name: &str, key: Option<&str>) -> Result<(), Unresolved> {
    if is_optional.unwrap_or_default() {
        return Ok(());
    }
    let key = key.map(|key| format!(" with the key {key}")).unwrap_or_default();
    Err(Unresolved::Missing(format!("{kind} {name}{key}")))
}

#[test]
fn secrets_are_blotted_out_the_longest_first() {
    let mut environment = Environment::default();
    environment.insert_secret("PASSWORD", b"s3cret\n".to_vec());
    environment.insert_secret("URI", b"db://me:s3cret@here".to_vec());
    environment.insert_secret("EMPTY", Vec::new());
    assert_eq!(environment.blotted("to db://me:s3cret@here with s3cret"), "to *** with ***");
    assert_eq!(environment.variables["PASSWORD"], "s3cret\n", "the variable has the bytes as they are");
}
