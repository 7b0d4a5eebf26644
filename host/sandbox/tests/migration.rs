//! The role `migration-template` through the sandbox, and what of its answers is not taken.

mod common;

use common::{guest, guests, serve, shared};
use resource_broker_plugin_types::{
    Deployed, Endpoint, Manifest, MigrationContext, Mirrored, Role, Stage, StageOutcome,
};
use resource_broker_sandbox::{CallError, Sandbox};

fn endpoint(provider: &str) -> Endpoint {
    Endpoint {
        provider: provider.to_owned(),
        api_version: "databases.generic.platform-mesh.io/v1alpha1".to_owned(),
        kind: "SQL".to_owned(),
        namespace: "shop".to_owned(),
        name: "0123456789ab-orders".to_owned(),
        related: vec![Mirrored {
            key: "login".to_owned(),
            api_version: "v1".to_owned(),
            kind: "Secret".to_owned(),
            name: "from-login".to_owned(),
        }],
    }
}

fn context(configuration: &str) -> MigrationContext {
    MigrationContext {
        id: "m1".to_owned(),
        namespace: "compute".to_owned(),
        configuration: configuration.to_owned(),
        old: endpoint("provider#a"),
        new: endpoint("provider#b"),
    }
}

const COPY: &str = r#"{"spec":{}}"#;

async fn stages(sandbox: &Sandbox, name: &str) -> Result<Vec<Stage>, CallError> {
    sandbox.migration_stages(&guests(), context(name), COPY.to_owned(), COPY.to_owned()).await
}

async fn render(sandbox: &Sandbox, name: &str, body: &str) -> Result<Vec<Manifest>, CallError> {
    sandbox.render_stage(&guests(), context(body), COPY.to_owned(), COPY.to_owned(), name.to_owned()).await
}

#[tokio::test]
async fn stages_come_with_everything_that_was_said_about_them() {
    let sandbox = shared();
    serve(&sandbox, Role::MigrationTemplate, guest("parrot-stages")).await;
    let stages = stages(&sandbox, "dump").await.unwrap();
    let dump =
        Stage { name: "dump".to_owned(), progress: true, timeout_seconds: Some(90), retries: 3, approval: false };
    let second =
        Stage { name: "compute".to_owned(), progress: false, timeout_seconds: None, retries: 0, approval: true };
    assert_eq!(stages, [dump, second]);
    assert_eq!(sandbox.validate_migration(&guests(), "{}".to_owned()).await, Ok(()));
}

#[tokio::test]
async fn stages_have_names_of_their_own() {
    let sandbox = shared();
    serve(&sandbox, Role::MigrationTemplate, guest("parrot-stages")).await;
    for name in ["compute", "../../secrets", "Dump", ""] {
        assert_eq!(stages(&sandbox, name).await.unwrap_err().category(), "malformed", "{name}");
    }
}

#[tokio::test]
async fn a_manifest_goes_through_as_written() {
    let sandbox = shared();
    serve(&sandbox, Role::MigrationTemplate, guest("parrot-manifest")).await;
    let body = r#"{ "apiVersion": "batch/v1", "kind": "Job", "spec": {"n": 1.10} }"#;
    let expected = Manifest { name: "dump".to_owned(), body: body.to_owned() };
    assert_eq!(render(&sandbox, "dump", body).await, Ok(vec![expected]));
}

#[tokio::test]
async fn a_manifest_cannot_reach_for_other_places() {
    let sandbox = shared();
    let deep = format!(r#"{{"apiVersion":"v1","kind":"X","a":{}{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
    for (name, body, category) in [
        ("dump", r#"{"apiVersion":"v1","kind":"Secret","metadata":{"namespace":"kube-system"}}"#, "malformed"),
        ("dump", r#"{"apiVersion":"v1","kind":"Secret","metadata":{"name":"root"}}"#, "malformed"),
        ("dump", r#"{"apiVersion":"../../v1","kind":"Secret"}"#, "malformed"),
        (
            "dump",
            r#"{"apiVersion":"v1","kind":"Secret","metadata":{"annotations":{"broker.platform-mesh.io/consumer-cluster":"consumer#other"}}}"#,
            "malformed",
        ),
        ("../../kube-system/secrets/x", r#"{"apiVersion":"v1","kind":"Secret"}"#, "malformed"),
        ("dump", r#"{"apiVersion":"v1","kind":"Secret","data":NaN}"#, "malformed"),
        ("dump", deep.as_str(), "malformed"),
        ("dump", &" ".repeat(2_000_000), "oversized"),
    ] {
        // A fresh plugin for each, since a row of failures would suspend it.
        serve(&sandbox, Role::MigrationTemplate, guest("parrot-manifest")).await;
        let error = render(&sandbox, name, body).await.unwrap_err();
        assert_eq!(error.category(), category, "{error}");
    }
}

#[tokio::test]
async fn an_outcome_is_cleaned() {
    let sandbox = shared();
    serve(&sandbox, Role::MigrationTemplate, guest("parrot-outcome")).await;
    let assess = |deployed: Vec<Deployed>| {
        let reason = "the job\n\u{1b}[31mruns".to_owned();
        let sandbox = sandbox.clone();
        async move {
            sandbox.assess_stage(&guests(), context("{}"), COPY.to_owned(), COPY.to_owned(), reason, deployed).await
        }
    };
    let cleaned = "the job \u{fffd}[31mruns".to_owned();
    assert_eq!(assess(Vec::new()).await, Ok(StageOutcome::Waiting(cleaned.clone())));
    let deployed = Deployed { name: "job".to_owned(), object: Some("{}".to_owned()) };
    assert_eq!(assess(vec![deployed]).await, Ok(StageOutcome::Failed(cleaned)));
}

#[tokio::test]
async fn a_plugin_without_the_role_is_asked_in_vain() {
    let sandbox = shared();
    serve(&sandbox, Role::MigrationTemplate, common::accepting()).await;
    for _ in 0..10 {
        let error = sandbox.validate_migration(&guests(), "{}".to_owned()).await.unwrap_err();
        let message = error.to_string();
        assert!(
            message.starts_with("plugin guest does not support this: it has no migration-template; guests-"),
            "{message}"
        );
        assert!(message.ends_with("needs a Plugin whose component exports it"), "{message}");
    }
    common::assert_others_are_answered(&sandbox).await;
}
