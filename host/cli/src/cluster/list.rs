//! Shows the clusters that the broker knows.

use std::{
    fmt,
    io::{self, Write as _},
};

use anyhow::Result;
use clap::ValueEnum;
use k8s_openapi::jiff::Timestamp;
use resource_broker_api::{broker::BrokerCluster, conditions::ATTACHED};
use serde::Serialize;

use super::ListArgs;
use crate::output::{Format, age, clipped, columns, print};

/// The form of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Form {
    /// A table with more columns, and nothing cut short
    Wide,
    /// JSON, indented
    Json,
    /// YAML
    Yaml,
}

/// Lists as `args` say.
pub(super) fn run(clusters: &[BrokerCluster], args: &ListArgs) -> Result<()> {
    let mut rows: Vec<Row> = clusters.iter().map(Row::of).collect();
    rows.sort_by(|one, other| (&one.role, &one.name).cmp(&(&other.role, &other.name)));
    let format = match args.output {
        None | Some(Form::Wide) => None,
        Some(Form::Json) => Some(Format::Json),
        Some(Form::Yaml) => Some(Format::Yaml),
    };
    if rows.is_empty() && format.is_none() {
        // Whoever closed standard error does not want to know.
        let _ = writeln!(io::stderr(), "no cluster is known there; -n NAMESPACE names the broker's namespace");
        return Ok(());
    }
    print(&Table { rows, wide: args.output == Some(Form::Wide), now: Timestamp::now() }, format)
}

/// One cluster.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    role: String,
    name: String,
    /// What kubeconfigs call it, where that is something else.
    called: Option<String>,
    attached: String,
    reason: String,
    objects: i64,
    fingerprint: Option<String>,
    /// What the cluster that is there now is known by.
    found: Option<String>,
    source: Option<String>,
    removed: bool,
    created: Option<Timestamp>,
    message: String,
}

impl Row {
    fn of(known: &BrokerCluster) -> Self {
        let status = known.status.clone().unwrap_or_default();
        let attached = status.conditions.iter().find(|condition| condition.type_ == ATTACHED);
        Self {
            role: known.spec.role.to_string(),
            name: known.spec.name.clone(),
            called: known.spec.source.clone(),
            attached: attached.map_or_else(|| "Unknown".to_owned(), |it| it.status.clone()),
            reason: attached.map(|it| it.reason.clone()).unwrap_or_default(),
            objects: status.objects.unwrap_or_default(),
            fingerprint: known.spec.fingerprint.clone(),
            found: status.fingerprint,
            source: status.source,
            removed: known.spec.removed,
            created: known.metadata.creation_timestamp.as_ref().map(|it| it.0),
            message: attached.map(|it| it.message.clone()).unwrap_or_default(),
        }
    }
}

/// All of them, as of a time.
struct Table {
    rows: Vec<Row>,
    wide: bool,
    now: Timestamp,
}

impl Serialize for Table {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.rows.serialize(serializer)
    }
}

impl Table {
    fn cells(&self, row: &Row) -> Vec<String> {
        let mut cells = vec![
            row.role.clone(),
            row.name.clone(),
            row.attached.clone(),
            row.reason.clone(),
            row.objects.to_string(),
            row.created.map(|created| age(self.now, created)).unwrap_or_default(),
        ];
        if self.wide {
            let optional = |text: &Option<String>| text.clone().unwrap_or_default();
            cells.extend([&row.called, &row.fingerprint, &row.found, &row.source].map(optional));
        }
        // The last one may be of any length.
        cells.push(if self.wide { row.message.clone() } else { clipped(&row.message) });
        cells
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut heads = vec!["ROLE", "NAME", "ATTACHED", "REASON", "OBJECTS", "AGE"];
        if self.wide {
            heads.extend(["CALLED", "FINGERPRINT", "FOUND", "SOURCE"]);
        }
        heads.push("MESSAGE");
        let heads = heads.into_iter().map(str::to_owned).collect();
        let lines: Vec<Vec<String>> =
            std::iter::once(heads).chain(self.rows.iter().map(|row| self.cells(row))).collect();
        columns(f, &lines)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_table_has_a_line_for_each_cluster() {
        let known = serde_json::from_value(json!({
            "apiVersion": "broker.platform-mesh.io/v1alpha1", "kind": "BrokerCluster",
            "metadata": {"name": "provider-a", "creationTimestamp": "2020-01-01T00:00:00Z"},
            "spec": {"role": "provider", "name": "a", "fingerprint": "kube-system:1"},
            "status": {"objects": 3, "conditions": [{
                "type": "Attached", "status": "False", "reason": "ClusterChanged", "message": "another one",
                "lastTransitionTime": "2020-01-01T00:00:00Z",
            }]},
        }))
        .unwrap();
        let now = "2020-01-03T00:00:00Z".parse().unwrap();
        let table = Table { rows: vec![Row::of(&known)], wide: false, now };
        let expected = "ROLE       NAME   ATTACHED   REASON           OBJECTS   AGE   MESSAGE\n\
                        provider   a      False      ClusterChanged   3         2d    another one\n";
        assert_eq!(table.to_string(), expected);
        assert!(Table { wide: true, ..table }.to_string().contains("kube-system:1"));
    }
}
