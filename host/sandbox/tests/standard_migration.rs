//! The standard plugin for migrations as it is embedded, through the real sandbox.

mod common;

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use common::{accepting, api, guests, sandbox, serve, shared};
use resource_broker_plugin_types::{
    ApiName, Deployed, Endpoint, Manifest, MigrationContext, Role, Stage, StageOutcome,
};
use resource_broker_sandbox::{CallError, FieldError, Limits, Sandbox, SandboxConfig};
use serde_json::{Value, json};

fn endpoint(provider: &str) -> Endpoint {
    Endpoint {
        provider: provider.to_owned(),
        api_version: "databases.generic.platform-mesh.io/v1alpha1".to_owned(),
        kind: "SQL".to_owned(),
        namespace: "shop".to_owned(),
        name: "0123456789ab-orders".to_owned(),
        related: Vec::new(),
    }
}

/// A migration with a configuration of these stages.
fn context(stages: &Value) -> MigrationContext {
    MigrationContext {
        id: "m1".to_owned(),
        namespace: "compute".to_owned(),
        configuration: json!({"from": {"kind": "SQL"}, "to": {"kind": "SQL"}, "stages": stages}).to_string(),
        old: endpoint("provider#a"),
        new: endpoint("provider#b"),
    }
}

/// A copy with numbers to be busy with.
fn copy() -> String {
    json!({"spec": {"engine": "postgres", "size": 10}, "numbers": (0..1000).collect::<Vec<_>>()}).to_string()
}

async fn assess(
    sandbox: &Sandbox,
    api: &ApiName,
    stages: &Value,
    deployed: Vec<Deployed>,
) -> Result<StageOutcome, CallError> {
    sandbox.assess_stage(api, context(stages), copy(), copy(), "copy".to_owned(), deployed).await
}

/// Asks how a stage stands that has this one condition.
async fn condition(text: &str) -> Result<StageOutcome, CallError> {
    let stages = json!([{"name": "copy", "successConditions": [text]}]);
    // Each text is a matter of its own: what goes wrong with one suspends no other.
    assess(&shared(), &api(&format!("conditions-{}", text.len())), &stages, Vec::new()).await
}

fn job(status: &Value) -> Vec<Deployed> {
    let object = json!({"apiVersion": "batch/v1", "kind": "Job", "status": status}).to_string();
    vec![Deployed { name: "dump-job".to_owned(), object: Some(object) }]
}

fn stages() -> Value {
    json!([{
        "name": "copy",
        "timeout": "1h30m",
        "retries": 2,
        "approval": "required",
        "progress": true,
        "preconditions": ["to.spec.engine == from.spec.engine"],
        "templates": {"dump-job": {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": "ignored", "labels": {"size": "${from.spec.size}"}},
            "spec": {"backoffLimit": "${from.spec.size - 7}", "text": "$${HOME}/${migration.id}-${migration.namespace}"},
        }},
        "successConditions": ["dump_job.status.succeeded >= 1"],
    }])
}

#[tokio::test]
async fn it_serves_what_no_plugin_serves() {
    let sandbox = shared();
    assert!(sandbox.is_standard(&guests(), Role::MigrationTemplate));
    let serving = |role| sandbox.serving(&guests(), role).map(|plugin| plugin.name().to_owned());
    assert_eq!(serving(Role::MigrationTemplate).as_deref(), Some("standard-migration"));
    assert_eq!(serving(Role::AcceptFilter).as_deref(), Some("standard"));
    assert_eq!(sandbox.validate_migration(&guests(), "{}".to_owned()).await, Ok(()));

    sandbox.block(&guests(), Role::MigrationTemplate, "databases", "its ConfigMap is gone");
    assert!(!sandbox.is_standard(&guests(), Role::MigrationTemplate));
    let error = sandbox.validate_migration(&guests(), "{}".to_owned()).await.unwrap_err();
    assert_eq!(error.category(), "unavailable");

    serve(&sandbox, Role::MigrationTemplate, accepting()).await;
    assert!(!sandbox.is_standard(&guests(), Role::MigrationTemplate));
    assert!(sandbox.is_standard(&guests(), Role::AcceptFilter), "another role is not touched");
    sandbox.withdraw(&guests(), Role::MigrationTemplate);
    assert!(sandbox.is_standard(&guests(), Role::MigrationTemplate));
    assert_eq!(sandbox.validate_migration(&guests(), "{}".to_owned()).await, Ok(()));
}

#[tokio::test]
async fn what_is_wrong_with_a_configuration_is_told_with_its_place() {
    let stages = json!([{
        "name": "copy",
        "timeout": "soon",
        "templates": {"job": {"apiVersion": "batch/v1", "kind": "Job", "spec": {"parallelism": "${fron.spec.size}"}}},
        "successConditions": ["job.status.succeeded == 1", "jobb.status.succeeded == 1"],
    }]);
    let error = shared().validate_migration(&guests(), json!({"stages": stages}).to_string()).await.unwrap_err();
    let CallError::Refused { plugin, problems } = error else { panic!("{error}") };
    assert_eq!(plugin, "standard-migration");
    let problem = |path: &str, message: &str| FieldError { path: path.to_owned(), message: message.to_owned() };
    let expected = [
        problem("stages.0.timeout", r#"stage "copy", timeout: "soon" is not a duration, such as 90s or 1h30m"#),
        problem(
            "stages.0.successConditions.1",
            "stage \"copy\", successConditions.1, `jobb.status.succeeded == 1`, column 1: there is no variable \"jobb\"; there \
             are from, to, job",
        ),
        problem(
            "stages.0.templates.job.spec.parallelism",
            "stage \"copy\", templates.job.spec.parallelism, `fron.spec.size`, column 1: there is no variable \"fron\"; there \
             are from, to, migration; where ${ is meant as it stands, as in a shell's script, write $${",
        ),
    ];
    assert_eq!(problems, expected);
}

#[tokio::test]
async fn a_stage_goes_its_way() {
    let (sandbox, api, stages) = (shared(), guests(), stages());
    let told = sandbox.migration_stages(&api, context(&stages), copy(), copy()).await;
    let expected =
        Stage { name: "copy".to_owned(), progress: true, timeout_seconds: Some(5400), retries: 2, approval: true };
    assert_eq!(told, Ok(vec![expected]));
    assert_eq!(assess(&sandbox, &api, &stages, Vec::new()).await, Ok(StageOutcome::Ready));

    let rendered = sandbox.render_stage(&api, context(&stages), copy(), copy(), "copy".to_owned()).await.unwrap();
    let [Manifest { name, body }] = rendered.as_slice() else { panic!("{rendered:?}") };
    let body: Value = serde_json::from_str(body).unwrap();
    let expected = json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"labels": {"size": "10"}},
        "spec": {"backoffLimit": 3, "text": "${HOME}/m1-compute"},
    });
    assert_eq!((name.as_str(), body), ("dump-job", expected));

    let waiting = |reason: &str| Ok(StageOutcome::Waiting(reason.to_owned()));
    let gone = vec![Deployed { name: "dump-job".to_owned(), object: None }];
    assert_eq!(assess(&sandbox, &api, &stages, gone).await, waiting("dump-job is not there yet"));
    assert_eq!(
        assess(&sandbox, &api, &stages, job(&json!({}))).await,
        waiting("success condition `dump_job.status.succeeded >= 1` waits: dump_job.status.succeeded is not there yet")
    );
    assert_eq!(
        assess(&sandbox, &api, &stages, job(&json!({"succeeded": 0}))).await,
        waiting("success condition `dump_job.status.succeeded >= 1` is false")
    );
    assert_eq!(assess(&sandbox, &api, &stages, job(&json!({"succeeded": 1}))).await, Ok(StageOutcome::Succeeded));
}

#[tokio::test]
async fn a_stage_that_there_is_not_is_not_supported() {
    let called = shared().render_stage(&guests(), context(&stages()), copy(), copy(), "other".to_owned()).await;
    assert_eq!(called.unwrap_err().category(), "unsupported");
}

#[tokio::test]
async fn an_expression_that_never_ends_is_stopped_at_the_deadline() {
    for body in ["1", "'x' + string(a)", "[a, b, c]"] {
        let nested = format!("from.numbers.map(a, from.numbers.map(b, from.numbers.map(c, {body}))) == []");
        let begun = Instant::now();
        let error = condition(&nested).await.unwrap_err();
        assert!(["deadline", "memory"].contains(&error.category()), "{error}");
        assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    }
    common::assert_others_are_answered(&shared()).await;
}

#[tokio::test]
async fn an_expression_that_grows_is_stopped_at_the_limit() {
    let mut text = "'xxxxxxxxxxxxxxxx'".to_owned();
    for level in 0..12 {
        text = format!("[{text}].map(x{level}, x{level} + x{level} + x{level} + x{level} + x{level})[0]");
    }
    let error = condition(&format!("{text} == ''")).await.unwrap_err();
    assert!(["deadline", "memory"].contains(&error.category()), "{error}");
    common::assert_others_are_answered(&shared()).await;
}

/// What is as long or as deep as it may be has an answer, and what goes beyond that is refused; neither breaks the plugin.
#[tokio::test]
async fn however_deep_an_expression_is_there_is_an_answer() {
    for depth in [10, 90, 240, 400, 1000, 10_000, 100_000] {
        for (open, inner, close) in [
            ("(", "true", ")"),
            ("[", "true", "]"),
            ("{'a': ", "true", "}"),
            ("size(", "true", ")"),
            ("[1].all(x, ", "true", ")"),
            ("true ? true : ", "true", ""),
            ("!", "true", ""),
            ("-", "1", ""),
            ("1 + ", "1", ""),
            ("true && ", "true", ""),
            ("false || ", "true", ""),
            ("", "from", ".a"),
            ("", "from", "[0]"),
            ("", "''", ".trim()"),
            ("", "(", "("),
            ("", "'", "\\'"),
            ("", "'a'.matches('", "(a*)*"),
        ] {
            let text = format!("{}{inner}{}", open.repeat(depth), close.repeat(depth));
            let configuration = json!({"stages": [{"name": "copy", "successConditions": [&text]}]}).to_string();
            let judged = shared().validate_migration(&api("deep"), configuration).await;
            for error in [condition(&text).await.err(), judged.err()].into_iter().flatten() {
                assert_eq!(error.category(), "refused", "{depth} of {open}{close}: {error}");
            }
        }
    }
}

/// What has no variables is evaluated when a configuration is judged, within the same limits.
#[tokio::test]
async fn what_grows_without_variables_is_stopped_when_a_configuration_is_judged() {
    let text = format!("'x'{} == 'x'", ".replace('x', 'xxxxxxxxxx')".repeat(12));
    let configuration = json!({"stages": [{"name": "copy", "successConditions": [text]}]}).to_string();
    let error = shared().validate_migration(&api("grows"), configuration).await.unwrap_err();
    assert!(["deadline", "memory"].contains(&error.category()), "{error}");
    common::assert_others_are_answered(&shared()).await;
}

#[tokio::test]
async fn a_pattern_that_is_too_large_is_told() {
    let stages = json!([{"name": "copy", "preconditions": ["from.spec.x.matches('(a{1000}){1000}')"]}]);
    let error = shared().validate_migration(&guests(), json!({"stages": stages}).to_string()).await.unwrap_err();
    let CallError::Refused { problems, .. } = error else { panic!("{error}") };
    let expected = "column 21: \"(a{1000}){1000}\" is no pattern: compiled regex exceeded size limit";
    assert!(problems.len() == 1 && problems[0].message.contains(expected), "{problems:?}");
}

#[tokio::test]
async fn a_large_configuration_is_judged_in_time() {
    let stages: Vec<Value> = (0..64)
        .map(|number| {
            let mut script = String::new();
            for line in 0..8 {
                writeln!(script, "echo ${{from.spec.engine + string(from.spec.size + {line})}} $${{HOME}}").unwrap();
            }
            json!({
                "name": format!("stage-{number}"),
                "preconditions": ["has(to.status) && to.status.status == 'Available'"],
                "templates": {"job": {"apiVersion": "batch/v1", "kind": "Job", "spec": {"args": ["-c", script]}}},
                "successConditions": ["job.status.conditions.exists(c, c.type == 'Complete' && c.status == 'True')"],
            })
        })
        .collect();
    // Not the default of 1 s: other tests share the processors.
    let limits = Limits { deadline: Duration::from_secs(10), ..Limits::default() };
    let patient = sandbox(SandboxConfig { limits, ..SandboxConfig::default() });
    let configuration = json!({"stages": stages}).to_string();
    assert_eq!(patient.validate_migration(&guests(), configuration).await, Ok(()));
}
