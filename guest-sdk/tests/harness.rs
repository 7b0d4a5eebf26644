//! A plugin with every role, run natively against case files.

#![cfg(feature = "testing")]

use std::fs;

use resource_broker_sdk::testing::{self, Harness};
use resource_broker_sdk::{
    AcceptFilter, CopyContext, Deployed, Document, Error, Field, Filter, Manifest, MigrationContext, MigrationTemplate,
    Offer, Plugin, Stage, StageOutcome, StatusTransformer, Verdict, Violation, assess_jobs, filter, info, settings_as,
    standard, unknown_stage, validate_settings_as, version::Range,
};
use serde::Deserialize;
use serde_json::json;

#[derive(Debug)]
struct Databases;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    #[serde(default)]
    strict: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rules {
    semver: Range,
}

impl Plugin for Databases {
    fn validate_settings(settings: &str) -> Result<(), Error> {
        validate_settings_as::<Settings>(settings)
    }
}

fn judge(filter: &Filter, field: &Field<'_>) -> Result<Vec<Violation>, Error> {
    let Some(Rules { semver }) = filter.with()? else { return Ok(Vec::new()) };
    let Some(version) = field.version()? else { return Ok(Vec::new()) };
    let settings: Settings = settings_as()?;
    info!("strict: {}", settings.strict);
    let held = if settings.strict { semver.contains(&version) } else { semver.meets(&version) };
    let violation = || filter.violation("semver", format!("there is no {version} here")).found(version.to_string());
    Ok(if held { Vec::new() } else { vec![violation().expected(semver.to_string())] })
}

impl AcceptFilter for Databases {
    fn validate(filters: &[String]) -> Result<(), Error> {
        filter::validate(filters, |filter| filter.with::<Rules>().map(drop))
    }

    fn judge_offer(object: &Document<'_>, offer: &Offer) -> Result<Verdict, Error> {
        assert!(object.at("spec.panics").exists().eq(&false), "asked to panic");
        standard::Judge::new(object).offer_with(offer, judge)
    }
}

impl StatusTransformer for Databases {
    fn transform(
        copy: &Document<'_>,
        previous: Option<&Document<'_>>,
        context: &CopyContext,
    ) -> Result<Option<String>, Error> {
        if previous.is_some_and(|previous| previous.at("status.final").exists()) {
            return Err(Error::unsupported("a final status does not change"));
        }
        standard::transform_status(copy, context)
    }
}

impl MigrationTemplate for Databases {
    fn validate(configuration: &Document<'_>) -> Result<(), Error> {
        configuration.at("image").required().text().map(drop)
    }

    fn stages(_: &MigrationContext, old: &Document<'_>, _: &Document<'_>) -> Result<Vec<Stage>, Error> {
        let copy = Stage::new("copy").timeout(600).retries(2).progress();
        Ok(if old.at("spec.large").exists() { vec![copy.approval()] } else { vec![copy] })
    }

    fn render(
        context: &MigrationContext,
        _: &Document<'_>,
        _: &Document<'_>,
        stage: &str,
    ) -> Result<Vec<Manifest>, Error> {
        if stage != "copy" {
            return Err(unknown_stage(stage));
        }
        let login = &context.old.required("login")?.name;
        let image = context.configuration.at("image").required().text()?;
        let from = format!("{}/{}", context.old.kind, context.old.name);
        Ok(vec![Manifest::new("job", json!({"kind": "Job", "image": image, "login": login, "from": from}))])
    }

    fn assess(
        _: &MigrationContext,
        _: &Document<'_>,
        _: &Document<'_>,
        _: &str,
        deployed: &[Deployed],
    ) -> Result<StageOutcome, Error> {
        assess_jobs(deployed)
    }
}

resource_broker_sdk::export!(Databases: AcceptFilter, StatusTransformer, MigrationTemplate);

fn harness() -> Harness<Databases> {
    Harness::new().accept_filter().status_transformer().migration_template()
}

#[test]
fn every_kind_of_case_passes() {
    harness().run("tests/cases");
}

#[test]
fn a_wrong_expectation_is_told_where_it_differs() {
    let folder = tempfile::tempdir().unwrap();
    let cases = r#"
name: too strict
settings: {strict: true}
object: {spec: {version: 15}}
offers: [{filters: [{key: version, with: {semver: ">=15.4"}}]}]
expect: {verdicts: [{refused: [{rule: semver, found: "16", message: no such}]}]}
---
copy: {status: {a: {b: 1}, c: 1}}
expect: {status: {a: {b: 2}, d: 1}}
"#;
    fs::write(folder.path().join("wrong.yaml"), cases).unwrap();
    let report = harness().report(folder.path()).unwrap().to_string();
    for line in [
        "FAILED too strict\n",
        "wrong.yaml, document 1\n",
        "  verdicts.0.refused.0.found: expected \"16\", found \"15\"\n",
        "  verdicts.0.refused.0.message: expected a text with \"no such\", found \"there is no 15 here\"\n",
        "  log: Info: strict: true\n",
        "  status.a.b: expected 2, found 1\n",
        "  status.c: expected nothing, found 1\n",
        "  status.d: expected 1, found nothing\n",
        "0 of 2 cases passed",
    ] {
        assert!(report.contains(line), "{line} in {report}");
    }
}

#[test]
fn a_role_that_was_not_named_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("case.yaml");
    fs::write(&file, "copy: {}\nexpect: {status: null}").unwrap();
    let report = Harness::<Databases>::new().accept_filter().report(&file).unwrap();
    assert!(!report.passed());
    assert!(report.to_string().contains("call .status_transformer() on its harness"), "{report}");
}

#[test]
fn settings_are_those_of_before_even_after_a_panic() {
    let panicked = std::panic::catch_unwind(|| testing::with_settings(r#"{"strict": true}"#, || panic!("on purpose")));
    assert!(panicked.is_err());
    assert!(!settings_as::<Settings>().unwrap().strict);
}
