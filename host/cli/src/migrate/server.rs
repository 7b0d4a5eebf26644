//! Reads and writes Migrations, and names those that may have been meant.

use std::{cmp::Reverse, collections::BTreeSet};

use anyhow::{Result, anyhow, bail};
use resource_broker_api::broker::{Assignment, Migration};
use serde_json::json;

use super::order::{Order, state_of};
use crate::{
    coordination::{Server, parse},
    resource::{Patch, Resource},
    transport::RequestError,
};

/// How often an order is given anew where the Migration changes at the same time.
const TRIES: usize = 5;
/// How many Migrations are named where the one that is meant is not there.
const NAMED: usize = 10;

impl Server {
    /// A Migration as it is now; `None` where it is not there.
    pub(super) async fn find(&self, name: &str) -> Result<Option<Migration>> {
        match self.send(Resource::of::<Migration>().get(Some(self.namespace()), name)?).await {
            Ok(reply) => parse(&reply).map(Some),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(self.explain(&error)),
        }
    }

    /// The Migrations of the namespace, or of all.
    pub(super) async fn migrations(&self, everywhere: bool) -> Result<Vec<Migration>> {
        self.list(&Resource::of::<Migration>(), everywhere).await.map_err(|error| {
            match error.downcast_ref::<RequestError>() {
                Some(error) if error.is_not_found() => anyhow!(
                    "{} has no Migrations: is it the coordination cluster? --kubeconfig and --context name another",
                    self.at()
                ),
                Some(error) => self.explain(error),
                None => error,
            }
        })
    }

    /// The Assignments of the namespace, or of all; none where they cannot be read, since they only add to what is shown.
    pub(super) async fn assignments(&self, everywhere: bool) -> Vec<Assignment> {
        self.list(&Resource::of::<Assignment>(), everywhere).await.unwrap_or_default()
    }

    /// Gives an order, where it makes sense; the Migration and the order as it was given.
    pub(super) async fn order(&self, name: &str, order: &Order) -> Result<(Migration, Order)> {
        for _ in 0..TRIES {
            let Some(migration) = self.find(name).await? else { return Err(self.not_found(name).await) };
            let given = order.for_migration(&migration).map_err(|why| anyhow!("{name}: {why}"))?;
            let (annotation, value) = given.as_annotation();
            let change = json!({"metadata": {
                "uid": migration.metadata.uid, "resourceVersion": migration.metadata.resource_version,
                "annotations": {annotation: value},
            }});
            let request = Resource::of::<Migration>().patch(Some(self.namespace()), name, "", Patch::Merge, &change)?;
            match self.send(request).await {
                Ok(reply) => return Ok((parse(&reply)?, given)),
                // It has changed since: what makes sense is decided anew.
                Err(error) if error.is_conflict() => {}
                Err(error) if error.is_not_found() => return Err(self.not_found(name).await),
                Err(error) => return Err(self.explain(&error)),
            }
        }
        bail!("{name} changes all the time; try again")
    }

    /// Says which Migrations there are, those with a name like this one first.
    async fn not_found(&self, name: &str) -> anyhow::Error {
        let missing = format!("there is no Migration {name} in namespace {}", self.namespace());
        let here = match self.migrations(false).await {
            Ok(here) => here,
            Err(error) => return error,
        };
        // Whoever may not look there does not learn of them.
        let everywhere = self.migrations(true).await.unwrap_or_default();
        let namespace = |migration: &Migration| migration.metadata.namespace.clone().unwrap_or_default();
        if let Some(other) = everywhere.iter().find(|it| it.metadata.name.as_deref() == Some(name)) {
            let other = namespace(other);
            return anyhow!("{missing}, but in {other}: give -n {other}");
        }
        if !here.is_empty() {
            return anyhow!("{missing}, which has {}", named(&here, name));
        }
        let others: BTreeSet<String> = everywhere.iter().map(namespace).collect();
        if others.is_empty() {
            return anyhow!("{missing}, nor any other; -n NAMESPACE names the broker's namespace");
        }
        let others: Vec<String> = others.into_iter().collect();
        anyhow!("{missing}, nor any other; there are some in {}: give -n NAMESPACE", others.join(", "))
    }
}

/// The first few Migrations with their states, those with a name like `meant` first.
fn named(all: &[Migration], meant: &str) -> String {
    let name = |migration: &Migration| migration.metadata.name.clone().unwrap_or_default();
    let mut all: Vec<&Migration> = all.iter().collect();
    all.sort_by_cached_key(|migration| (Reverse(likeness(&name(migration), meant)), name(migration)));
    let mut names: Vec<String> =
        all.iter().take(NAMED).map(|migration| format!("{} ({})", name(migration), state_of(migration))).collect();
    if all.len() > NAMED {
        names.push(format!("{} more", all.len() - NAMED));
    }
    names.join(", ")
}

/// How much of one name is in the other: whether it is in there as a whole, as the object's name is in its Migration's, and how
/// many characters they begin and end with alike.
fn likeness(one: &str, other: &str) -> (bool, usize) {
    let alike = |pairs: &mut dyn Iterator<Item = (char, char)>| pairs.take_while(|(a, b)| a == b).count();
    let begin = alike(&mut one.chars().zip(other.chars()));
    let end = alike(&mut one.chars().rev().zip(other.chars().rev()));
    (one.contains(other) || other.contains(one), begin + end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn migration(name: &str) -> Migration {
        let end =
            json!({"gvk": {"group": "g", "version": "v1", "kind": "K"}, "name": "n", "clusterName": "provider#p"});
        serde_json::from_value(json!({
            "apiVersion": "broker.platform-mesh.io/v1alpha1", "kind": "Migration", "metadata": {"name": name},
            "spec": {"from": end, "to": end},
        }))
        .unwrap()
    }

    #[test]
    fn names_like_the_one_that_was_meant_come_first() {
        let all: Vec<Migration> =
            (0..12).map(|n| format!("vm-{n:02}")).chain(["sql-orders-6f".into()]).map(|it| migration(&it)).collect();
        for meant in ["orders", "sql-orders-6e", "sqI-orders-6f", "sql-orders-6f-old"] {
            let named = named(&all, meant);
            assert!(named.starts_with("sql-orders-6f (New), vm-00 (New), "), "{meant}: {named}");
            assert!(named.ends_with(", 3 more"), "{named}");
        }
    }
}
