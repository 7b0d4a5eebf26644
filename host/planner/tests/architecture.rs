//! Who may depend on whom, as cargo itself sees it: the picture in `docs/architecture.md` is kept by this test.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::Command,
};

use serde_json::Value;

const API: &str = "resource-broker-api";
const KUBE_IO: &str = "resource-broker-kube-io";
const PLANNER: &str = "resource-broker-planner";
const SANDBOX: &str = "resource-broker-sandbox";
const CLI: &str = "resource-broker-cli";
const HOST: &str = "resource-broker";
const SDK: &str = "resource-broker-sdk";
const CASES: &str = "resource-broker-plugin-cases";
const TYPES: &str = "resource-broker-plugin-types";

/// What each crate may use of the workspace's own. A new crate needs a line here; what is under `tests` may use any.
const MAY_USE: [(&str, &[&str]); 9] = [
    (API, &[]),
    (TYPES, &[]),
    (KUBE_IO, &[API]),
    (PLANNER, &[API, TYPES]),
    (SANDBOX, &[TYPES]),
    (CASES, &[TYPES]),
    (SDK, &[CASES, TYPES]),
    (CLI, &[API, KUBE_IO, PLANNER, SANDBOX, CASES, TYPES]),
    (HOST, &[API, CLI, KUBE_IO, PLANNER, SANDBOX, TYPES]),
];

/// What a crate must not use of others': it would let in what the crate is there to keep out.
const MUST_NOT_USE: [(&str, &[&str]); 4] = [
    (API, &["tokio", "futures", "hyper", "rand", "wasmtime", "tracing"]),
    (PLANNER, &["tokio", "futures", "hyper", "http", "kube", "rand", "wasmtime", "tracing", "clap"]),
    (KUBE_IO, &["wasmtime", "clap", "anyhow", "prometheus-client"]),
    (SANDBOX, &["kube", "k8s-openapi", "hyper", "clap"]),
];

/// Features of kube that bring a client.
const CLIENT_FEATURES: [&str; 4] = ["client", "config", "runtime", "ws"];

/// One dependency that ships: not one of tests alone.
struct Edge {
    from: String,
    to: String,
    features: Vec<String>,
    default_features: bool,
}

/// A workspace's crates, each with whether it is under `tests`, and what they use.
struct Workspace {
    crates: BTreeMap<String, bool>,
    edges: Vec<Edge>,
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn workspace(manifest: &Path) -> Workspace {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline", "--manifest-path"])
        .arg(manifest)
        .output()
        .expect("cargo runs this test, so it can be run");
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON");
    let tests = Path::new(metadata["workspace_root"].as_str().unwrap_or_default()).join("tests");
    let mut workspace = Workspace { crates: BTreeMap::new(), edges: Vec::new() };
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let name = text(&package["name"]);
        let is_test = Path::new(package["manifest_path"].as_str().unwrap_or_default()).starts_with(&tests);
        let shipped = package["dependencies"].as_array().into_iter().flatten().filter(|used| used["kind"] != "dev");
        workspace.edges.extend(shipped.map(|used| Edge {
            from: name.clone(),
            to: text(&used["name"]),
            features: used["features"].as_array().into_iter().flatten().map(text).collect(),
            default_features: used["uses_default_features"] == true,
        }));
        workspace.crates.insert(name, is_test);
    }
    workspace
}

/// The edges that the tables do not allow, each as a sentence.
fn wrong_edges(workspace: &Workspace) -> Vec<String> {
    let mut wrong = Vec::new();
    for Edge { from, to, features, default_features } in &workspace.edges {
        let is_own = workspace.crates.contains_key(to);
        let is_test = workspace.crates.get(from) == Some(&true);
        let row = |table: &[(&str, &'static [&'static str])]| {
            table.iter().find(|(name, _)| name == from).map(|(_, used)| *used)
        };
        if is_own && !is_test {
            match row(&MAY_USE) {
                Some(allowed) if allowed.contains(&to.as_str()) => {}
                Some(allowed) => wrong.push(format!("{from} uses {to}; of the workspace it may use {allowed:?} only")),
                None => wrong.push(format!("{from} uses {to}, and has no line in MAY_USE")),
            }
        }
        if row(&MUST_NOT_USE).is_some_and(|banned| banned.contains(&to.as_str())) {
            wrong.push(format!("{from} uses {to}, which it is there to keep out"));
        }
        let brings_client =
            *default_features || features.iter().any(|feature| CLIENT_FEATURES.contains(&feature.as_str()));
        if from == API && to == "kube" && brings_client {
            wrong.push(format!("{from} uses kube with {features:?}; it may use its derive only"));
        }
    }
    wrong
}

fn root() -> &'static Path {
    // host/planner/Cargo.toml is two folders below the workspace's.
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

#[test]
fn crates_use_what_the_architecture_lets_them_use() {
    let workspace = workspace(&root().join("Cargo.toml"));
    let known: BTreeSet<&str> = MAY_USE.iter().map(|(name, _)| *name).collect();
    let missing: Vec<&&str> = known.iter().filter(|name| !workspace.crates.contains_key(**name)).collect();
    assert!(missing.is_empty(), "the table speaks of crates that are not there: {missing:?}");
    let wrong = wrong_edges(&workspace);
    assert!(wrong.is_empty(), "the architecture does not allow:\n{}", wrong.join("\n"));
}

#[test]
fn plugins_use_the_sdk_and_nothing_of_the_host() {
    let plugins = workspace(&root().join("plugins/Cargo.toml"));
    assert!(!plugins.crates.is_empty(), "there is no plugin");
    let of_host = |edge: &&Edge| edge.to.starts_with(HOST) && edge.to != SDK && !plugins.crates.contains_key(&edge.to);
    let wrong: Vec<String> = plugins
        .edges
        .iter()
        .filter(of_host)
        .map(|edge| format!("{} uses {}; a plugin may use {SDK} only", edge.from, edge.to))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_wrong_edge_is_named() {
    let edge = |from: &str, to: &str, features: &[&str]| Edge {
        from: from.into(),
        to: to.into(),
        features: features.iter().map(|feature| (*feature).into()).collect(),
        default_features: false,
    };
    let crates = [API, PLANNER, SANDBOX, HOST].map(|name| (name.to_owned(), false)).into_iter();
    let crates: BTreeMap<String, bool> = crates.chain([("e2e".to_owned(), true), ("new".to_owned(), false)]).collect();
    let wrong = |edges: Vec<Edge>| wrong_edges(&Workspace { crates: crates.clone(), edges });
    assert!(wrong(vec![edge(HOST, PLANNER, &[]), edge("e2e", HOST, &[]), edge(API, "kube", &["derive"])]).is_empty());
    for (from, to, features) in [
        (PLANNER, SANDBOX, &[][..]),
        (SANDBOX, API, &[]),
        (API, PLANNER, &[]),
        (PLANNER, "tokio", &[]),
        (PLANNER, "kube", &["derive"]),
        (API, "kube", &["client"]),
        ("new", HOST, &[]),
    ] {
        let wrong = wrong(vec![edge(from, to, features)]);
        assert!(wrong.len() == 1 && wrong[0].contains(from) && wrong[0].contains(to), "{from} to {to}: {wrong:?}");
    }
}
