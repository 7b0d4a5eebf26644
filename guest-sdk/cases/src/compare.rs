//! How an answer differs from what was expected.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

use crate::answer::{Answer, Failure, Manifest, Problem};
use crate::case::{
    Case, Expect, ExpectedError, ExpectedManifest, ExpectedOutcome, ExpectedProblem, ExpectedStage, ExpectedVerdict,
    ExpectedViolation,
};
use resource_broker_plugin_types::{Stage, StageOutcome, Verdict, Violation};

/// One place where an answer is not what was expected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Where in the answer; empty: the answer as a whole.
    pub path: String,
    /// What was expected there.
    pub expected: String,
    /// What is there.
    pub found: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, expected, found } = self;
        if !path.is_empty() {
            write!(f, "{path}: ")?;
        }
        write!(f, "expected {expected}, found {found}")
    }
}

impl Case {
    /// Where an answer is not what the case expects; nothing: it is.
    pub fn compare(&self, answer: &Result<Answer, Failure>) -> Vec<Difference> {
        let mut differences = Differences::default();
        differences.answer(&self.expect, answer);
        differences.0
    }
}

#[derive(Default)]
struct Differences(Vec<Difference>);

impl Differences {
    fn add(&mut self, path: &str, expected: impl Into<String>, found: impl Into<String>) {
        self.0.push(Difference { path: path.to_owned(), expected: expected.into(), found: found.into() });
    }

    /// Two values that should be equal, if one is expected at all.
    fn same<T: PartialEq + fmt::Debug>(&mut self, path: &str, expected: Option<&T>, found: &T) {
        if let Some(expected) = expected.filter(|expected| *expected != found) {
            self.add(path, format!("{expected:?}"), format!("{found:?}"));
        }
    }

    /// A text that should contain another, if one is expected at all.
    fn part(&mut self, path: &str, expected: Option<&String>, found: &str) {
        if let Some(expected) = expected.filter(|expected| !found.contains(expected.as_str())) {
            self.add(path, format!("a text with {expected:?}"), format!("{found:?}"));
        }
    }

    fn answer(&mut self, expect: &Expect, answer: &Result<Answer, Failure>) {
        match (expect, answer) {
            (Expect::Valid, Ok(Answer::Valid)) => {}
            (Expect::Invalid(expected), Err(failure)) if !failure.problems.is_empty() => {
                self.list("invalid", expected, &failure.problems, Self::problem);
            }
            (Expect::Verdicts(expected), Ok(Answer::Verdicts(found))) => {
                self.list("verdicts", expected, found, Self::verdict);
            }
            (Expect::Status(expected), Ok(Answer::Status(found))) => {
                let null = Value::Null;
                self.value("status", expected.as_ref().unwrap_or(&null), found.as_ref().unwrap_or(&null));
            }
            (Expect::Stages(expected), Ok(Answer::Stages(found))) => self.list("stages", expected, found, Self::stage),
            (Expect::Manifests(expected), Ok(Answer::Manifests(found))) => {
                self.list("manifests", expected, found, Self::manifest);
            }
            (Expect::Outcome { outcome, reason }, Ok(Answer::Outcome(found))) => {
                self.outcome(*outcome, reason.as_ref(), found);
            }
            (Expect::Error(expected), Err(failure)) => self.error(expected, failure),
            (expect, found) => self.add("", expect.to_string(), shown(found)),
        }
    }

    /// Two lists that should have as many elements, which are compared one by one.
    fn list<E, F: fmt::Display>(
        &mut self,
        path: &str,
        expected: &[E],
        found: &[F],
        compare: impl Fn(&mut Self, &str, &E, &F),
    ) {
        for (index, (expected, found)) in expected.iter().zip(found).enumerate() {
            compare(self, &format!("{path}.{index}"), expected, found);
        }
        if expected.len() != found.len() {
            let shown: Vec<String> = found.iter().map(|found| format!("\n  - {found}")).collect();
            self.add(path, format!("{} of them", expected.len()), format!("{}:{}", found.len(), shown.concat()));
        }
    }

    fn problem(&mut self, path: &str, expected: &ExpectedProblem, found: &Problem) {
        self.same(&format!("{path}.path"), expected.path.as_ref(), &found.path);
        self.part(&format!("{path}.message"), expected.message.as_ref(), &found.message);
    }

    fn verdict(&mut self, path: &str, expected: &ExpectedVerdict, found: &Verdict) {
        match (expected, found) {
            (ExpectedVerdict::Accepted(None), Verdict::Accepted { .. })
            | (ExpectedVerdict::Refused(None), Verdict::Refused(_)) => {}
            (ExpectedVerdict::Accepted(Some(expected)), Verdict::Accepted { score }) if *score == Some(*expected) => {}
            (ExpectedVerdict::Refused(Some(expected)), Verdict::Refused(found)) => {
                self.list(&format!("{path}.refused"), expected, found, Self::violation);
            }
            (ExpectedVerdict::Accepted(None), found) => self.add(path, "accepted", found.to_string()),
            (ExpectedVerdict::Accepted(Some(score)), found) => {
                self.add(path, Verdict::scored(*score).to_string(), found.to_string());
            }
            (ExpectedVerdict::Refused(_), found) => self.add(path, "refused", found.to_string()),
        }
    }

    fn violation(&mut self, path: &str, expected: &ExpectedViolation, found: &Violation) {
        self.same(&format!("{path}.filter"), expected.filter.as_ref(), &found.filter);
        self.same(&format!("{path}.rule"), expected.rule.as_ref(), &found.rule);
        self.same(&format!("{path}.expected"), expected.expected.as_ref(), &found.expected);
        if expected.found.is_some() && expected.found != found.found {
            let shown =
                |text: &Option<String>| text.as_ref().map_or_else(|| "nothing".to_owned(), |text| format!("{text:?}"));
            self.add(&format!("{path}.found"), shown(&expected.found), shown(&found.found));
        }
        self.part(&format!("{path}.message"), expected.message.as_ref(), &found.message);
    }

    fn stage(&mut self, path: &str, expected: &ExpectedStage, found: &Stage) {
        self.same(&format!("{path}.name"), Some(&expected.name), &found.name);
        self.same(&format!("{path}.progress"), expected.progress.as_ref(), &found.progress);
        let timeout = expected.timeout_seconds.map(Some);
        self.same(&format!("{path}.timeoutSeconds"), timeout.as_ref(), &found.timeout_seconds);
        self.same(&format!("{path}.retries"), expected.retries.as_ref(), &found.retries);
        self.same(&format!("{path}.approval"), expected.approval.as_ref(), &found.approval);
    }

    fn manifest(&mut self, path: &str, expected: &ExpectedManifest, found: &Manifest) {
        self.same(&format!("{path}.name"), Some(&expected.name), &found.name);
        if let Some(body) = &expected.body {
            self.value(&format!("{path}.body"), body, &found.body);
        }
    }

    fn outcome(&mut self, expected: ExpectedOutcome, reason: Option<&String>, found: &StageOutcome) {
        let (kind, found_reason) = match found {
            StageOutcome::Waiting(reason) => (ExpectedOutcome::Waiting, reason.as_str()),
            StageOutcome::Ready => (ExpectedOutcome::Ready, ""),
            StageOutcome::Succeeded => (ExpectedOutcome::Succeeded, ""),
            StageOutcome::Failed(reason) => (ExpectedOutcome::Failed, reason.as_str()),
        };
        if expected == kind {
            self.part("reason", reason, found_reason);
        } else {
            self.add("outcome", format!("{expected:?}").to_lowercase(), found.to_string());
        }
    }

    fn error(&mut self, expected: &ExpectedError, found: &Failure) {
        if let Some(kind) = expected.kind.map(Into::into).filter(|kind| !found.kind.meets(*kind)) {
            let kind: crate::FailureKind = kind;
            self.add("error.kind", kind.name(), found.to_string());
        }
        self.part("error.message", expected.message.as_ref(), &found.text());
    }

    /// Two JSON values, told apart as deep within them as they differ.
    fn value(&mut self, path: &str, expected: &Value, found: &Value) {
        match (expected, found) {
            (Value::Object(expected), Value::Object(found)) => {
                for (key, value) in expected {
                    match found.get(key) {
                        Some(found) => self.value(&format!("{path}.{key}"), value, found),
                        None => self.add(&format!("{path}.{key}"), value.to_string(), "nothing"),
                    }
                }
                for (key, value) in found.iter().filter(|(key, _)| !expected.contains_key(*key)) {
                    self.add(&format!("{path}.{key}"), "nothing", value.to_string());
                }
            }
            (Value::Array(expected), Value::Array(found)) if expected.len() == found.len() => {
                for (index, (expected, found)) in expected.iter().zip(found).enumerate() {
                    self.value(&format!("{path}.{index}"), expected, found);
                }
            }
            (Value::Number(expected), Value::Number(found)) if same_number(expected, found) => {}
            (expected, found) if expected == found => {}
            (expected, found) => self.add(path, expected.to_string(), found.to_string()),
        }
    }
}

/// Whether two numbers are equal, however they are written: YAML and JSON write `1.50` and `1e3` in ways of their own.
fn same_number(left: &serde_json::Number, right: &serde_json::Number) -> bool {
    let whole = |number: &serde_json::Number| number.as_i64().map(i128::from).or(number.as_u64().map(i128::from));
    match (whole(left), whole(right)) {
        (Some(left), Some(right)) => left == right,
        _ => left == right || left.as_f64().is_some_and(|left| Some(left) == right.as_f64()),
    }
}

fn shown(answer: &Result<Answer, Failure>) -> String {
    match answer {
        Ok(answer) => answer.to_string(),
        Err(failure) => format!("the error {failure}"),
    }
}

impl fmt::Display for Expect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Valid => "that it is valid",
            Self::Invalid(_) => "that it is invalid, with the problems",
            Self::Verdicts(_) => "verdicts",
            Self::Status(_) => "a status",
            Self::Stages(_) => "stages",
            Self::Manifests(_) => "manifests",
            Self::Outcome { .. } => "an outcome",
            Self::Error(_) => "an error",
        })
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Valid => f.write_str("that it is valid"),
            Self::Verdicts(verdicts) => write!(f, "verdicts: {}", joined(verdicts)),
            Self::Status(None) => f.write_str("no status"),
            Self::Status(Some(status)) => write!(f, "the status {status}"),
            Self::Stages(stages) => write!(f, "stages: {}", joined(stages)),
            Self::Manifests(manifests) => write!(f, "manifests: {}", joined(manifests)),
            Self::Outcome(outcome) => write!(f, "the outcome {outcome}"),
        }
    }
}

fn joined<T: fmt::Display>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

impl fmt::Display for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.body)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::answer::FailureKind;

    /// The differences between an answer and what a document expects.
    fn differences(document: &str, answer: &Result<Answer, Failure>) -> Vec<String> {
        let cases = Case::parse("case.yaml", document).unwrap_or_else(|error| panic!("{error}"));
        cases[0].compare(answer).iter().map(ToString::to_string).collect()
    }

    fn refusal(problems: &[(&str, &str)]) -> Failure {
        let problem = |&(path, message): &(&str, &str)| Problem { path: path.to_owned(), message: message.to_owned() };
        Failure::refused(FailureKind::Refused, problems.iter().map(problem).collect())
    }

    #[test]
    fn numbers_are_equal_however_they_are_written() {
        for (expected, found, same) in [
            ("1.50", r#"{"m": 1.5}"#, true),
            ("1.0", r#"{"m": 1}"#, true),
            ("1e3", r#"{"m": 1000}"#, true),
            ("18446744073709551615", r#"{"m": 18446744073709551615}"#, true),
            ("9007199254740993", r#"{"m": 9007199254740992}"#, false),
            ("1", r#"{"m": "1"}"#, false),
        ] {
            let status = serde_json::from_str(found).unwrap();
            let case = format!("copy: {{}}\nexpect: {{status: {{m: {expected}}}}}");
            assert_eq!(
                differences(&case, &Ok(Answer::Status(Some(status)))).is_empty(),
                same,
                "{expected} and {found}"
            );
        }
    }

    #[test]
    fn another_kind_of_answer_is_told() {
        let valid = "filters: []\nexpect: {valid: true}";
        assert_eq!(
            differences(valid, &Err(refusal(&[("0.key", "it is missing")]))),
            ["expected that it is valid, found the error refused: 0.key: it is missing"]
        );
        let invalid = "filters: []\nexpect: {invalid: [{path: 0.key}]}";
        assert_eq!(
            differences(invalid, &Ok(Answer::Valid)),
            ["expected that it is invalid, with the problems, found that it is valid"]
        );
        let crash = Failure::new(FailureKind::Crashed, "out of memory");
        assert_eq!(
            differences(invalid, &Err(crash)),
            ["expected that it is invalid, with the problems, found the error crashed: out of memory"]
        );
        let none = "copy: {}\nexpect: {status: null}";
        assert_eq!(differences(none, &Ok(Answer::Status(Some(json!({}))))), ["status: expected null, found {}"]);
    }

    #[test]
    fn lists_are_compared_in_order_and_number() {
        let invalid = "filters: []\nexpect: {invalid: [{path: 0.key, message: missing}, {}]}";
        assert!(differences(invalid, &Err(refusal(&[("0.key", "it is missing"), ("1", "x")]))).is_empty());
        assert_eq!(
            differences(invalid, &Err(refusal(&[("0.min", "it is too small")]))),
            [
                r#"invalid.0.path: expected "0.key", found "0.min""#,
                r#"invalid.0.message: expected a text with "missing", found "it is too small""#,
                "invalid: expected 2 of them, found 1:\n  - 0.min: it is too small",
            ]
        );
    }

    #[test]
    fn what_a_violation_expects_and_finds_may_be_written_as_numbers() {
        let violation = Violation {
            filter: "version".to_owned(),
            rule: "atLeast".to_owned(),
            expected: "15".to_owned(),
            found: Some("14".to_owned()),
            message: "it is too old".to_owned(),
        };
        let answer = Ok(Answer::Verdicts(vec![Verdict::Refused(vec![violation])]));
        for (expected, differing) in [("expected: 15, found: 14", 0), ("expected: 16, found: 13", 2)] {
            let case = format!("object: {{}}\noffers: [{{}}]\nexpect: {{verdicts: [{{refused: [{{{expected}}}]}}]}}");
            let found = differences(&case, &answer);
            assert_eq!(found.len(), differing, "{found:?}");
        }
    }

    #[test]
    fn a_score_counts_where_one_is_expected() {
        let scored = |score| Ok(Answer::Verdicts(vec![Verdict::Accepted { score }]));
        let case = |expected: &str| format!("object: {{}}\noffers: [{{}}]\nexpect: {{verdicts: [{expected}]}}");
        for score in [None, Some(0), Some(70)] {
            assert!(differences(&case("accepted"), &scored(score)).is_empty(), "{score:?}");
        }
        let expected = case("{accepted: {score: 70}}");
        assert!(differences(&expected, &scored(Some(70))).is_empty());
        assert_eq!(
            differences(&expected, &scored(None)),
            ["verdicts.0: expected accepted with score 70, found accepted"]
        );
        assert_eq!(differences(&expected, &scored(Some(7))).len(), 1);
        assert_eq!(differences(&expected, &Ok(Answer::Verdicts(vec![Verdict::Refused(Vec::new())]))).len(), 1);
    }

    #[test]
    fn only_the_fields_of_a_stage_that_are_given_count() {
        let stage =
            Stage { name: "a".to_owned(), progress: true, timeout_seconds: Some(5), retries: 1, approval: false };
        let case = |stage: &str| format!("migration: {{}}\nold: {{}}\nnew: {{}}\nexpect: {{stages: [{stage}]}}");
        for (expected, differing) in [
            ("{name: a}", 0),
            ("{name: a, progress: true, timeoutSeconds: 5, retries: 1, approval: false}", 0),
            ("{name: b, progress: false, timeoutSeconds: 6, retries: 2, approval: true}", 5),
        ] {
            let found = differences(&case(expected), &Ok(Answer::Stages(vec![stage.clone()])));
            assert_eq!(found.len(), differing, "{found:?}");
        }
    }

    #[test]
    fn outcomes_and_their_reasons_are_told_apart() {
        let case = "migration: {}\nold: {}\nnew: {}\nstage: a\ndeployed: []\nexpect: {outcome: waiting, reason: job}";
        assert!(differences(case, &Ok(Answer::Outcome(StageOutcome::Waiting("the job runs".to_owned())))).is_empty());
        assert_eq!(
            differences(case, &Ok(Answer::Outcome(StageOutcome::Waiting("the copy".to_owned())))),
            [r#"reason: expected a text with "job", found "the copy""#]
        );
        assert_eq!(
            differences(case, &Ok(Answer::Outcome(StageOutcome::Failed("the job".to_owned())))),
            ["outcome: expected waiting, found failed (the job)"]
        );
    }

    #[test]
    fn a_refusal_meets_both_kinds_of_invalid_input_and_no_other() {
        for (kind, met) in
            [("invalid-settings", true), ("invalid-input", true), ("unsupported", false), ("crashed", false)]
        {
            let case = format!("filters: []\nexpect: {{error: {{kind: {kind}, message: missing}}}}");
            let found = differences(&case, &Err(refusal(&[("0", "it is missing")])));
            assert_eq!(found.is_empty(), met, "{kind}: {found:?}");
        }
    }
}
