//! Shows the migrations that there are: what moves from where to where, how far each is, and what it waits for.

use std::{
    collections::HashMap,
    fmt,
    io::{self, Write as _},
};

use anyhow::Result;
use clap::ValueEnum;
use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time},
    jiff::Timestamp,
};
use resource_broker_api::broker::{ConsumerRef, Migration};
use serde::Serialize;

use super::{
    ListArgs,
    order::{said_of, state_of},
};
use crate::coordination::Server;
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
pub(super) async fn run(server: &Server, args: &ListArgs) -> Result<()> {
    let everywhere = args.all_namespaces;
    let migrations = server.migrations(everywhere).await?;
    let objects: HashMap<Place, ConsumerRef> =
        server.assignments(everywhere).await.into_iter().map(|it| (place_of(&it.metadata), it.spec.consumer)).collect();
    let mut rows: Vec<Row> = migrations.iter().map(|it| Row::of(it, objects.get(&place_of(&it.metadata)))).collect();
    rows.sort_by(|one, other| (&one.namespace, &one.name).cmp(&(&other.namespace, &other.name)));
    let format = match args.output {
        None | Some(Form::Wide) => None,
        Some(Form::Json) => Some(Format::Json),
        Some(Form::Yaml) => Some(Format::Yaml),
    };
    if rows.is_empty() && format.is_none() {
        let place = if everywhere { "any namespace".to_owned() } else { format!("namespace {}", server.namespace()) };
        // Whoever closed standard error does not want to know.
        let _ = writeln!(io::stderr(), "no Migrations in {place}");
        return Ok(());
    }
    let wide = args.output == Some(Form::Wide);
    print(&Table { rows, everywhere, wide, now: Timestamp::now() }, format)
}

/// Namespace and name.
type Place = (Option<String>, Option<String>);

fn place_of(metadata: &ObjectMeta) -> Place {
    (metadata.namespace.clone(), metadata.name.clone())
}

/// One migration.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    namespace: String,
    name: String,
    /// The object that moves, where its Assignment says which that is.
    object: Option<ConsumerRef>,
    /// The kind of its old copy.
    kind: String,
    from: String,
    to: String,
    state: String,
    stage: Option<String>,
    configuration: Option<String>,
    id: Option<String>,
    created: Option<Time>,
    /// What it waits for, or why it failed.
    message: String,
}

impl Row {
    fn of(migration: &Migration, object: Option<&ConsumerRef>) -> Self {
        let status = migration.status.clone().unwrap_or_default();
        Self {
            namespace: migration.metadata.namespace.clone().unwrap_or_default(),
            name: migration.metadata.name.clone().unwrap_or_default(),
            object: object.cloned(),
            kind: migration.spec.from.gvk.kind.clone(),
            from: migration.spec.from.cluster_name.clone(),
            to: migration.spec.to.cluster_name.clone(),
            state: state_of(migration),
            stage: status.stage,
            configuration: status.configuration,
            id: status.id,
            created: migration.metadata.creation_timestamp.clone(),
            message: said_of(migration),
        }
    }

    /// Kind, namespace and name of the object; without an Assignment, its kind alone.
    fn object(&self) -> String {
        match &self.object {
            None => self.kind.clone(),
            Some(ConsumerRef { kind, namespace: Some(namespace), name, .. }) => format!("{kind} {namespace}/{name}"),
            Some(ConsumerRef { kind, namespace: None, name, .. }) => format!("{kind} {name}"),
        }
    }
}

/// All of them, as of a time.
struct Table {
    rows: Vec<Row>,
    everywhere: bool,
    wide: bool,
    now: Timestamp,
}

impl Serialize for Table {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.rows.serialize(serializer)
    }
}

impl Table {
    fn cells(&self, row: &Row) -> Vec<(&'static str, String)> {
        let optional = |text: &Option<String>| text.clone().unwrap_or_default();
        let mut cells = vec![
            ("NAME", row.name.clone()),
            ("OBJECT", row.object()),
            ("FROM", row.from.clone()),
            ("TO", row.to.clone()),
            ("STATE", row.state.clone()),
            ("STAGE", optional(&row.stage)),
            ("AGE", row.created.as_ref().map(|created| age(self.now, created.0)).unwrap_or_default()),
        ];
        if self.everywhere {
            cells.insert(0, ("NAMESPACE", row.namespace.clone()));
        }
        if self.wide {
            let consumer = row.object.as_ref().map(|object| object.cluster.clone());
            cells.extend([
                ("CONSUMER", consumer.unwrap_or_default()),
                ("CONFIGURATION", optional(&row.configuration)),
                ("ID", optional(&row.id)),
            ]);
        }
        // The last one may be of any length.
        cells.push(("MESSAGE", if self.wide { row.message.clone() } else { clipped(&row.message) }));
        cells
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows: Vec<_> = self.rows.iter().map(|row| self.cells(row)).collect();
        let Some(first) = rows.first() else { return Ok(()) };
        let heads: Vec<String> = first.iter().map(|(head, _)| (*head).to_owned()).collect();
        let lines: Vec<Vec<String>> = std::iter::once(heads)
            .chain(rows.into_iter().map(|cells| cells.into_iter().map(|(_, text)| text).collect()))
            .collect();
        columns(f, &lines)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn row(name: &str, object: bool) -> Row {
        let at = |cluster: &str| json!({"gvk": {"group": "g", "version": "v1", "kind": "SQL"}, "name": "n", "clusterName": cluster});
        let condition = |type_: &str| {
            json!({
                "type": type_, "status": "True", "reason": "StageRunning", "message": "a long word ".repeat(20).trim(),
                "lastTransitionTime": "2020-01-01T00:00:00Z",
            })
        };
        let migration = serde_json::from_value(json!({
            "apiVersion": "broker.platform-mesh.io/v1alpha1", "kind": "Migration",
            "metadata": {"name": name, "namespace": "broker", "creationTimestamp": "2020-01-01T00:00:00Z"},
            "spec": {"from": at("provider#a"), "to": at("provider#b")},
            "status": {
                "state": "InitialInProgress", "stage": "copy", "id": "m1", "configuration": "databases",
                "conditions": [condition("Progressing")],
            },
        }));
        let consumer = serde_json::from_value(json!({
            "cluster": "consumer#c", "group": "g", "version": "v1", "kind": "SQL", "namespace": "team", "name": "orders",
            "uid": "1",
        }));
        Row::of(&migration.unwrap(), object.then(|| consumer.unwrap()).as_ref())
    }

    fn table(everywhere: bool, wide: bool) -> Vec<String> {
        let now = "2020-01-01T03:00:00Z".parse().unwrap();
        let rows = vec![row("sql-orders-1", true), row("sql-2", false)];
        Table { rows, everywhere, wide, now }.to_string().lines().map(str::to_owned).collect()
    }

    #[test]
    fn columns_stand_below_each_other_and_long_texts_are_cut_short() {
        let lines = table(false, false);
        assert_eq!(
            lines[0],
            "NAME           OBJECT            FROM         TO           STATE               STAGE   AGE   MESSAGE"
        );
        let ends = "a long word a long word a long word a long word a long word…";
        assert_eq!(
            lines[1],
            format!(
                "sql-orders-1   SQL team/orders   provider#a   provider#b   InitialInProgress   copy    3h    {ends}"
            )
        );
        assert!(lines[2].starts_with("sql-2          SQL               provider#a"), "{}", lines[2]);
    }

    #[test]
    fn there_are_more_columns_for_all_namespaces_and_in_a_wide_table() {
        let lines = table(true, true);
        assert!(lines[0].starts_with("NAMESPACE   NAME  "), "{}", lines[0]);
        for part in ["consumer#c", "databases", "m1", "a long word a long word"] {
            assert!(lines[1].contains(part) && !lines[1].contains('…'), "{}", lines[1]);
        }
    }

    #[test]
    fn ages_are_told_in_their_largest_unit() {
        let at = |seconds: i64| age(Timestamp::from_second(seconds).unwrap(), Timestamp::from_second(0).unwrap());
        assert_eq!(
            [-5, 0, 119, 120, 7_199, 7_200, 172_799, 172_800].map(at),
            ["0s", "0s", "119s", "2m", "119m", "2h", "47h", "2d"]
        );
    }
}
