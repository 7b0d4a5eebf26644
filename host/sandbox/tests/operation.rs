//! What an operator and the command line see of plugins: limits, statistics, suspension, blocks, trials.

mod common;

use std::time::Duration;

use common::{accepting, assert_others_are_answered, guest, guests, judge, judge_nth, offer, serve, shared, source};
use resource_broker_plugin_types::{ApiName, Role, Verdict};
use resource_broker_sandbox::{CallError, Fault, LimitsRequest, LoadError, SandboxConfig, Source};

#[tokio::test]
async fn a_plugin_gets_the_limits_that_it_asks_for_up_to_the_maxima() {
    let sandbox = shared();
    let (defaults, maxima) = (SandboxConfig::default().limits, SandboxConfig::default().maxima);
    let deadline = Duration::from_millis(50);
    let limits = LimitsRequest { deadline: Some(deadline), ..LimitsRequest::default() };
    let plugin = sandbox.load(Source { limits, ..source(guest("endless-loop")) }).await.unwrap();
    assert_eq!((plugin.limits().deadline, plugin.limits().memory_bytes), (deadline, defaults.memory_bytes));
    sandbox.serve(&guests(), Role::AcceptFilter, plugin);
    assert_eq!(judge(&sandbox).await, Err(CallError::Deadline { plugin: "guest".to_owned(), limit: deadline }));

    let limits = LimitsRequest { memory_bytes: Some(maxima.memory_bytes + 1), ..LimitsRequest::default() };
    let error = sandbox.load(Source { limits, ..source(accepting()) }).await.unwrap_err();
    assert!(matches!(&error, LoadError::Limits { field: "memory", .. }), "{error}");
    assert!(error.to_string().contains("268435457 bytes"), "{error}");
}

#[tokio::test]
async fn a_plugin_that_always_crashes_is_suspended_and_tried_again() {
    let sandbox = shared();
    let plugin = serve(&sandbox, Role::AcceptFilter, guest("panic")).await;
    for nth in [0, 0, 0, 0, 0, 0, 1, 2, 3, 4] {
        let error = judge_nth(&sandbox, nth).await.unwrap_err();
        assert_eq!(error.category(), "trap", "one object that it crashes at says nothing about others");
    }
    let error = judge(&sandbox).await.unwrap_err();
    assert!(error.to_string().contains("is on fire"), "the last failure is told: {error}");
    let CallError::Suspended { retry_in, .. } = error else { panic!("{error}") };
    assert!(retry_in <= Duration::from_secs(1));
    let stats = plugin.stats();
    assert_eq!((stats.calls, stats.failures), (10, 10));
    assert!(stats.suspended_for.is_some() && stats.last_error.unwrap().contains("is on fire"));
    assert_others_are_answered(&sandbox).await;

    tokio::time::sleep(retry_in + Duration::from_millis(10)).await;
    assert_eq!(judge(&sandbox).await.unwrap_err().category(), "trap", "one trial");
    let error = judge(&sandbox).await.unwrap_err();
    let CallError::Suspended { retry_in, .. } = error else { panic!("{error}") };
    assert!(retry_in > Duration::from_secs(1), "it waits longer now: {retry_in:?}");

    // Another plugin in its place begins anew.
    serve(&sandbox, Role::AcceptFilter, accepting()).await;
    assert_eq!(judge(&sandbox).await, Ok(vec![Verdict::accepted()]));
}

#[tokio::test]
async fn an_object_that_changes_while_its_plugin_crashes_is_one_object() {
    let sandbox = shared();
    serve(&sandbox, Role::AcceptFilter, guest("panic")).await;
    for version in 0..10 {
        let object = format!(r#"{{"kind":"X","metadata":{{"resourceVersion":"{version}","uid":"u"}}}}"#);
        let error = sandbox.judge(&guests(), object, vec![offer(&["{}"])]).await.unwrap_err();
        assert_eq!(error.category(), "trap", "in version {version}");
    }
}

#[tokio::test]
async fn a_blocked_role_is_answered_by_nobody_until_something_serves() {
    let sandbox = shared();
    sandbox.block(&guests(), Role::AcceptFilter, "databases", "its ConfigMap is gone");
    let error = judge(&sandbox).await.unwrap_err();
    assert_eq!((error.category(), error.fault()), ("unavailable", Fault::Host));
    assert_eq!(error.to_string(), "plugin databases cannot serve: its ConfigMap is gone");
    assert!(sandbox.serving(&guests(), Role::AcceptFilter).is_none());
    assert_others_are_answered(&sandbox).await;

    let plugin = serve(&sandbox, Role::AcceptFilter, accepting()).await;
    assert_eq!(judge(&sandbox).await, Ok(vec![Verdict::accepted()]));
    assert_eq!(plugin.stats().calls, 1);

    sandbox.block(&guests(), Role::AcceptFilter, "databases", "again");
    sandbox.withdraw(&guests(), Role::AcceptFilter);
    assert!(judge(&sandbox).await.is_ok(), "the standard plugin answers");
}

#[tokio::test]
async fn a_trial_shows_what_a_call_costs_and_says() {
    let sandbox = shared();
    let plugin = sandbox.load(source(guest("log-flood"))).await.unwrap();
    let trial = sandbox.trial(&plugin);
    let judged = trial.judge("{}".to_owned(), vec![offer(&["{}"])]).await;
    assert_eq!(judged.answer, Ok(vec![Verdict::accepted()]));
    assert_eq!(judged.memory_bytes, 4 << 20);
    assert!(!judged.time.is_zero() && !judged.log.is_empty());
    assert_eq!(plugin.stats().calls, 0, "trials are not counted");

    assert_eq!(trial.instantiate().await.answer, Ok(()));
    let lacking = trial.validate_migration("{}".to_owned()).await.answer.unwrap_err();
    assert_eq!(lacking.category(), "unsupported");
    let broken = trial.judge("{".to_owned(), vec![offer(&["{}"])]).await.answer.unwrap_err();
    assert_eq!(broken.category(), "host");
}

#[tokio::test]
async fn a_trial_of_the_standard_plugin_answers_as_a_call_does() {
    let sandbox = shared();
    let trial = sandbox.trial(sandbox.standard()).with_settings(Some(r#"{"a":1}"#.to_owned()));
    let filters = vec![r#"{"key":"b","boundary":{"min":5,"max":1}}"#.to_owned()];
    let tried = trial.validate_filters(filters.clone()).await.answer;
    let called = sandbox.validate_filters(&guests(), filters).await;
    assert!(matches!(&tried, Err(CallError::Refused { .. })), "{tried:?}");
    assert_eq!(tried, called);
    assert_eq!(trial.validate_settings("{}".to_owned()).await.answer, Ok(()));
    let copy = r#"{"status":{"status":"Available"}}"#.to_owned();
    let status = trial.transform_status(copy, None, common::copy_context()).await.answer;
    assert_eq!(status.unwrap().as_deref(), Some(r#"{"status":"Available"}"#));
}

#[tokio::test]
async fn the_same_bytes_are_compiled_once_while_they_are_in_use() {
    let sandbox = shared();
    let component = guest("remembering");
    let load = |name: &str, settings: &str| {
        let source = Source { name: name.to_owned(), settings: Some(settings.to_owned()), ..source(component.clone()) };
        sandbox.load(source)
    };
    let first = load("first", "1").await.unwrap();
    let second = load("second", "2").await.unwrap();
    assert_eq!((first.name(), second.name()), ("first", "second"));
    assert_eq!(first.compile_time(), second.compile_time(), "the time of the one compilation");
    let imports = ["documents", "host", "types"].map(|name| format!("resource-broker:plugin/{name}@0.2.0"));
    assert!(imports.iter().all(|import| first.imports().contains(import)), "{:?}", first.imports());
    drop((first, second));
    assert!(load("third", "3").await.is_ok());
}

#[tokio::test]
async fn the_core_group_has_no_name() {
    let core = ApiName { group: String::new(), resource: "secrets".to_owned() };
    assert_eq!(core.to_string(), "secrets");
}
