//! The standard plugin as it is embedded, through the real sandbox.

mod common;

use common::{api, offer};
use resource_broker_plugin_types::{CopyContext, NamePair, Verdict, Violation};
use resource_broker_sandbox::{CallError, Sandbox};

fn standard() -> Sandbox {
    common::shared()
}

fn context() -> CopyContext {
    CopyContext {
        names: vec![NamePair { consumer: "tls".to_owned(), copy: "0123456789ab-tls".to_owned() }],
        consumer_namespace: "team".to_owned(),
        provider: "provider#nestor".to_owned(),
    }
}

#[tokio::test]
async fn offers_are_judged_in_order_with_every_reason() {
    let object = r#"{"spec":{"fqdn":"a.example.org","nodes":"9","nested":{"arch":["amd64","arm64"]}}}"#;
    let offers = vec![
        offer(&[]),
        offer(&[r#"{"key":"fqdn","suffix":"corp.com","valueIn":["b"]}"#, r#"{"key":"nodes","boundary":{"max":5}}"#]),
        offer(&[r#"{"key":"nested.arch","valueIn":["amd64","arm64"]}"#, r#"{"key":"missing","boundary":{"min":1}}"#]),
        offer(&[r#"{"key":"fqdn","with":{"semver":">=1"}}"#]),
    ];
    let verdicts = standard().judge(&api("certificates"), object.to_owned(), offers).await.unwrap();
    let [Verdict::Accepted { .. }, Verdict::Refused(second), Verdict::Accepted { .. }, Verdict::Refused(fourth)] =
        verdicts.as_slice()
    else {
        panic!("{verdicts:?}");
    };
    let rules: Vec<(&str, &str)> = second.iter().map(|v| (v.filter.as_str(), v.rule.as_str())).collect();
    assert_eq!(rules, [("fqdn", "valueIn"), ("fqdn", "suffix"), ("nodes", "boundary")]);
    assert_eq!(
        second[2],
        Violation {
            filter: "nodes".to_owned(),
            rule: "boundary".to_owned(),
            expected: "value <= 5".to_owned(),
            found: Some("9".to_owned()),
            message: r#"spec.nodes is "9", which is more than 5"#.to_owned(),
        }
    );
    assert!(fourth[0].rule == "with" && fourth[0].message.contains("plugin"), "{fourth:?}");
}

#[tokio::test]
async fn numbers_reach_the_filter_with_every_digit() {
    let object = r#"{"spec":{"n":9007199254740993}}"#.to_owned();
    let offers = vec![offer(&[r#"{"key":"n","boundary":{"max":9007199254740992}}"#])];
    let verdicts = standard().judge(&api("numbers"), object, offers).await.unwrap();
    assert!(matches!(verdicts.as_slice(), [Verdict::Refused(_)]), "{verdicts:?}");
}

#[tokio::test]
async fn no_offers_no_verdicts() {
    assert_eq!(standard().judge(&api("certificates"), "{}".to_owned(), Vec::new()).await, Ok(Vec::new()));
}

#[tokio::test]
async fn a_thousand_offers_are_judged_in_one_call() {
    let offers = (0..1000).map(|n| offer(&[&format!(r#"{{"key":"fqdn","suffix":"{n}.corp.com"}}"#)])).collect();
    let object = r#"{"spec":{"fqdn":"a.7.corp.com"}}"#.to_owned();
    let verdicts = standard().judge(&api("certificates"), object, offers).await.unwrap();
    let accepted: Vec<usize> =
        verdicts.iter().enumerate().filter(|(_, verdict)| **verdict == Verdict::accepted()).map(|(n, _)| n).collect();
    assert_eq!(accepted, [7]);
}

#[tokio::test]
async fn filters_are_validated_with_a_path_for_each_problem() {
    let sandbox = standard();
    let filters = |filters: &[&str]| filters.iter().map(|filter| (*filter).to_owned()).collect::<Vec<_>>();
    let good = filters(&[r#"{"key":"fqdn","suffix":"corp.com"}"#, r#"{"key":"n","boundary":{"min":"1","max":5}}"#]);
    assert_eq!(sandbox.validate_filters(&api("certificates"), good).await, Ok(()));

    let bad = filters(&[r#"{"key":"a","valueIn":["x"]}"#, r#"{"key":"b","boundary":{"min":5,"max":1},"sufix":"x"}"#]);
    let error = sandbox.validate_filters(&api("certificates"), bad).await.unwrap_err();
    let CallError::Refused { problems, .. } = &error else { panic!("{error}") };
    let paths: Vec<&str> = problems.iter().map(|problem| problem.path.as_str()).collect();
    assert_eq!(paths, ["1.boundary", "1.sufix"]);
    assert_eq!(error.category(), "refused");
}

#[tokio::test]
async fn a_status_becomes_the_consumers() {
    let copy = r#"{"metadata":{"name":"0123456789ab-cert"},"status":{"status":"Available","weight":1.10,"serial":18446744073709551616,
        "relatedResources":{"tls":{"gvk":{"group":"core","version":"v1","kind":"Secret"},"name":"0123456789ab-tls","namespace":"elsewhere"}}}}"#;
    let status =
        standard().transform_status(&api("certificates"), copy.to_owned(), Some("{}".to_owned()), context()).await;
    let expected = concat!(
        r#"{"relatedResources":{"tls":{"gvk":{"group":"core","version":"v1","kind":"Secret"},"name":"tls","namespace":"team"}},"#,
        r#""serial":18446744073709551616,"status":"Available","weight":1.10}"#
    );
    assert_eq!(status.unwrap().as_deref(), Some(expected));
}

#[tokio::test]
async fn a_copy_without_a_status_has_none() {
    let sandbox = standard();
    for copy in ["{}", r#"{"status":null}"#] {
        let status = sandbox.transform_status(&api("certificates"), copy.to_owned(), None, context()).await;
        assert_eq!(status, Ok(None), "{copy}");
    }
    let status = sandbox.transform_status(&api("certificates"), r#"{"status":[]}"#.to_owned(), None, context()).await;
    assert_eq!(status.unwrap_err().category(), "refused");
}

#[tokio::test]
async fn an_object_that_is_no_json_is_the_hosts_fault() {
    let error = standard().judge(&api("certificates"), "{".to_owned(), vec![offer(&[])]).await.unwrap_err();
    assert_eq!(error.category(), "host");
}
