//! The way of a command to the coordination cluster's Migrations.

use std::{path::PathBuf, sync::Arc};

use anyhow::{Context as _, Result, anyhow, bail};
use http::Request;
use kube::{
    Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use resource_broker_api::{
    broker::Migration,
    names::{ClusterName, Role},
};
use serde::Deserialize;
use serde_json::json;

use super::order::{Order, state_of};
use crate::{
    cache::own,
    kubeconfig::Place,
    metrics::Metrics,
    resource::Patch,
    transport::{Cluster, Reply, RequestError},
};

/// How often an order is given anew where the Migration changes at the same time.
const TRIES: usize = 5;
/// How many Migrations are named where the one that is meant is not there.
const NAMED: usize = 10;

/// The Migrations of one namespace of the coordination cluster.
pub(super) struct Server {
    cluster: Arc<Cluster>,
    namespace: String,
}

#[derive(Deserialize)]
struct List {
    items: Vec<Migration>,
}

impl Server {
    /// The cluster of `context`, or of the current one, of a kubeconfig.
    pub(super) async fn connect(place: &Place, context: Option<&str>, namespace: Option<&str>) -> Result<Self> {
        let config = config(place, context).await?;
        let namespace = namespace.unwrap_or(&config.default_namespace).to_owned();
        let name = ClusterName::new(Role::Coordination, "coord");
        let cluster = Cluster::connect(name, config, Metrics::new())
            .await
            .with_context(|| format!("the kubeconfig of the coordination cluster ({place}) cannot be used"))?;
        Ok(Self { cluster, namespace })
    }

    /// A Migration as it is now; `None` where it is not there.
    pub(super) async fn find(&self, name: &str) -> Result<Option<Migration>> {
        let request = own::migrations().get(Some(&self.namespace), name)?;
        match self.request(request).await {
            Ok(reply) => parse(&reply).map(Some),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn read(&self, name: &str) -> Result<Migration> {
        match self.find(name).await? {
            Some(migration) => Ok(migration),
            None => Err(self.not_found(name).await),
        }
    }

    /// Gives an order, where it makes sense; the Migration and the order as it was given.
    pub(super) async fn order(&self, name: &str, order: &Order) -> Result<(Migration, Order)> {
        for _ in 0..TRIES {
            let migration = self.read(name).await?;
            let given = order.for_migration(&migration).map_err(|why| anyhow!("{name}: {why}"))?;
            let (annotation, value) = given.as_annotation();
            let change = json!({"metadata": {
                "uid": migration.metadata.uid, "resourceVersion": migration.metadata.resource_version,
                "annotations": {annotation: value},
            }});
            let request = own::migrations().patch(Some(&self.namespace), name, "", Patch::Merge, &change)?;
            match self.request(request).await {
                Ok(reply) => return Ok((parse(&reply)?, given)),
                // It has changed since: what makes sense is decided anew.
                Err(error) if error.is_conflict() => {}
                Err(error) => return Err(error.into()),
            }
        }
        bail!("{name} changes all the time; try again")
    }

    async fn request(&self, request: Request<Vec<u8>>) -> Result<Reply, RequestError> {
        self.cluster.request(request).await
    }

    /// Says which Migrations there are.
    async fn not_found(&self, name: &str) -> anyhow::Error {
        let namespace = &self.namespace;
        let list = async {
            let path = own::migrations().collection(Some(namespace));
            let request = Request::get(path).header(http::header::ACCEPT, "application/json").body(Vec::new())?;
            let list: List = parse(&self.request(request).await?)?;
            anyhow::Ok(list.items)
        };
        match list.await {
            Ok(all) if all.is_empty() => anyhow!(
                "there is no Migration {name} in namespace {namespace}, nor any other; -n NAMESPACE names the broker's namespace"
            ),
            Ok(all) => anyhow!("there is no Migration {name} in namespace {namespace}; there are {}", named(&all)),
            Err(error) if error.downcast_ref::<RequestError>().is_some_and(RequestError::is_not_found) => anyhow!(
                "this cluster has no Migrations: is it the coordination cluster? --kubeconfig and --context name another"
            ),
            Err(error) => error.context(format!("there is no Migration {name} in namespace {namespace}")),
        }
    }
}

/// The first few Migrations, with their states.
fn named(all: &[Migration]) -> String {
    let name = |migration: &Migration| {
        format!("{} ({})", migration.metadata.name.as_deref().unwrap_or_default(), state_of(migration))
    };
    let mut names: Vec<String> = all.iter().take(NAMED).map(name).collect();
    if all.len() > NAMED {
        names.push(format!("{} more", all.len() - NAMED));
    }
    names.join(", ")
}

fn parse<T: for<'de> Deserialize<'de>>(reply: &Reply) -> Result<T> {
    serde_json::from_slice(&reply.body).context("the API server's answer cannot be read")
}

async fn config(place: &Place, context: Option<&str>) -> Result<Config> {
    let Place::Named { paths, .. } = place else {
        return Config::incluster().context("the pod's service account cannot be used");
    };
    let options = KubeConfigOptions { context: context.map(str::to_owned), ..KubeConfigOptions::default() };
    let kubeconfig = merged(paths)?;
    Config::from_custom_kubeconfig(kubeconfig, &options)
        .await
        .with_context(|| format!("kubeconfig {place}: it cannot be used"))
}

/// Kubeconfigs merged as kubectl does it: the first one decides, and one that is not there is overlooked if there are more.
fn merged(paths: &[PathBuf]) -> Result<Kubeconfig> {
    let mut merged: Option<Kubeconfig> = None;
    for path in paths {
        if paths.len() > 1 && !path.exists() {
            continue;
        }
        let read = || format!("kubeconfig {}", path.display());
        let next = Kubeconfig::read_from(path).with_context(read)?;
        merged = Some(match merged {
            None => next,
            Some(before) => before.merge(next).with_context(read)?,
        });
    }
    merged.ok_or_else(|| anyhow!("none of the kubeconfigs that KUBECONFIG names is there"))
}
