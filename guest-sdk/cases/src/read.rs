//! From YAML documents to cases.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::{fs, io};

use resource_broker_plugin_types::{CopyContext, Endpoint, NamePair, Offer};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use serde_path_to_error::{Segment, deserialize as deserialize_with_path};

use crate::case::{
    Call, Case, Deployed, Expect, ExpectedError, ExpectedManifest, ExpectedOutcome, ExpectedProblem, ExpectedStage,
    ExpectedVerdict, Migration, completed, place,
};
use crate::names;
use crate::yaml;

/// Why there are no cases to be run.
#[derive(Debug, thiserror::Error)]
pub enum ParseError {
    /// A file or folder cannot be read.
    #[error("{}: it cannot be read: {error}", path.display())]
    Unreadable {
        /// Which one.
        path: PathBuf,
        /// Why. No source of this error: it is told already.
        error: io::Error,
    },
    /// A folder has no case files.
    #[error("{}: there are no case files: a file with cases ends in .yaml or .yml", .0.display())]
    Empty(PathBuf),
    /// A document is no case.
    #[error("{file}, document {document}{}: {message}", at(field))]
    Document {
        /// The file's name.
        file: String,
        /// Which of the file's documents, from 1.
        document: usize,
        /// Where in the document, as a dotted path; empty: the document as a whole.
        field: String,
        /// What is wrong.
        message: String,
    },
}

fn at(field: &str) -> String {
    if field.is_empty() { String::new() } else { format!(", field {field}") }
}

impl Case {
    /// Reads the cases of a file, or of all files in a folder that end in `.yaml` or `.yml`, by name; folders within it
    /// count as well.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong. No cases at all are an error too, lest a wrong path passes for success.
    pub fn parse_path(path: &Path) -> Result<Vec<Self>, ParseError> {
        if !path.is_dir() {
            return Self::parse_file(path);
        }
        let files = case_files(path)?;
        if files.is_empty() {
            return Err(ParseError::Empty(path.to_owned()));
        }
        let cases = files.iter().map(|file| Self::parse_file(file)).collect::<Result<Vec<_>, _>>()?;
        Ok(cases.into_iter().flatten().collect())
    }

    /// Reads the cases of a file.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong with it.
    pub fn parse_file(path: &Path) -> Result<Vec<Self>, ParseError> {
        let text = fs::read_to_string(path).map_err(|error| ParseError::Unreadable { path: path.to_owned(), error })?;
        Self::parse(&path.display().to_string(), &text)
    }

    /// Reads the cases of a text; `file` is what it is called.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong with it.
    pub fn parse(file: &str, text: &str) -> Result<Vec<Self>, ParseError> {
        // Some editors begin a file with a mark that belongs to no document.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut cases = Vec::new();
        for (index, document) in yaml::documents(text).into_iter().enumerate() {
            let number = index + 1;
            let wrong = |field: String, message: String| ParseError::Document {
                file: file.to_owned(),
                document: number,
                field,
                message,
            };
            let document = document.map_err(|error| wrong(String::new(), error.to_string()))?;
            let raw: Option<RawCase> = deserialize_with_path(document).map_err(|error| {
                let field = dotted(error.path());
                let message = without_path(&field, &error.into_inner().to_string());
                wrong(field, message)
            })?;
            let Some(raw) = raw else { continue };
            let case = raw.into_case(file, number).map_err(|Wrong { field, message }| wrong(field, message))?;
            cases.push(case);
        }
        if cases.is_empty() {
            return Err(ParseError::Document {
                file: file.to_owned(),
                document: 1,
                field: String::new(),
                message: "there is no case in this file".to_owned(),
            });
        }
        Ok(cases)
    }
}

fn case_files(folder: &Path) -> Result<Vec<PathBuf>, ParseError> {
    let unreadable = |error| ParseError::Unreadable { path: folder.to_owned(), error };
    let mut entries = fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>())
        .map_err(unreadable)?;
    entries.sort();
    let mut files = Vec::new();
    for entry in entries {
        if entry.is_dir() {
            files.extend(case_files(&entry)?);
        } else if matches!(entry.extension().and_then(OsStr::to_str), Some("yaml" | "yml")) {
            files.push(entry);
        }
    }
    Ok(files)
}

/// Some messages begin with the path, or that of the object around, as in `offers[0]: `.
fn without_path(field: &str, message: &str) -> String {
    let rest = message.split_once(": ").filter(|(path, _)| field.starts_with(&path.replace('[', ".").replace(']', "")));
    rest.map_or(message, |(_, rest)| rest).to_owned()
}

fn dotted(path: &serde_path_to_error::Path) -> String {
    let segments: Vec<String> = path
        .iter()
        .filter_map(|segment| match segment {
            Segment::Seq { index } => Some(index.to_string()),
            Segment::Map { key } => Some(key.clone()),
            Segment::Enum { .. } | Segment::Unknown => None,
        })
        .collect();
    segments.join(".")
}

/// What is wrong with a document whose fields can all be read.
struct Wrong {
    field: String,
    message: String,
}

fn wrong<T>(field: &str, message: impl Into<String>) -> Result<T, Wrong> {
    Err(Wrong { field: field.to_owned(), message: message.into() })
}

/// A document as it is written. Which call it is depends on the fields that it has.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCase {
    name: Option<String>,
    settings: Option<Value>,
    object: Option<Value>,
    offers: Option<Vec<Value>>,
    filters: Option<Vec<Value>>,
    copy: Option<Value>,
    previous: Option<Value>,
    context: Option<RawContext>,
    configuration: Option<Value>,
    migration: Option<RawMigration>,
    old: Option<Value>,
    new: Option<Value>,
    stage: Option<String>,
    deployed: Option<Vec<Deployed>>,
    expect: RawExpect,
}

/// Where a copy and its origin live. What they are called follows from a prefix, or is written out.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct RawContext {
    prefix: Option<String>,
    names: Option<Vec<NamePair>>,
    consumer_namespace: String,
    provider: String,
}

impl Default for RawContext {
    fn default() -> Self {
        Self { prefix: None, names: None, consumer_namespace: "shop".to_owned(), provider: "provider#a".to_owned() }
    }
}

impl RawContext {
    fn completed(self, copy: &Value) -> Result<CopyContext, Wrong> {
        let Self { prefix, names, consumer_namespace, provider } = self;
        let names = match (prefix, names) {
            (Some(_), Some(_)) => {
                return wrong("context.prefix", "the names follow from it: give one of prefix and names");
            }
            (None, Some(names)) => names,
            (prefix, None) => names::names(copy, prefix.as_deref().unwrap_or(names::PREFIX)),
        };
        Ok(CopyContext { names, consumer_namespace, provider })
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawMigration {
    id: String,
    namespace: String,
    configuration: Value,
    old: Endpoint,
    new: Endpoint,
}

impl Default for RawMigration {
    fn default() -> Self {
        Self {
            id: "m1".to_owned(),
            namespace: "compute".to_owned(),
            configuration: json!({}),
            old: Endpoint::default(),
            new: Endpoint::default(),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawExpect {
    verdicts: Option<Vec<ExpectedVerdict>>,
    valid: Option<bool>,
    invalid: Option<Vec<ExpectedProblem>>,
    settings: Option<RawSettings>,
    /// Null is an expectation of its own.
    #[serde(default, deserialize_with = "some_value")]
    status: Option<Value>,
    stages: Option<Vec<ExpectedStage>>,
    manifests: Option<Vec<ExpectedManifest>>,
    outcome: Option<ExpectedOutcome>,
    reason: Option<String>,
    error: Option<ExpectedError>,
}

fn some_value<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

#[derive(Debug)]
enum RawSettings {
    Valid,
    Invalid(Vec<ExpectedProblem>),
}

// By hand, since YAML would have an enum with a value written as a tag.
impl<'de> Deserialize<'de> for RawSettings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Invalid {
            invalid: Vec<ExpectedProblem>,
        }
        match Value::deserialize(deserializer)? {
            Value::String(text) if text == "valid" => Ok(Self::Valid),
            fields @ Value::Object(_) => match Invalid::deserialize(fields) {
                Ok(Invalid { invalid }) => Ok(Self::Invalid(invalid)),
                Err(error) => Err(D::Error::custom(error)),
            },
            other => Err(D::Error::custom(format!("settings are \"valid\" or {{invalid: [problems]}}, not {other}"))),
        }
    }
}

/// The calls, by the field that makes a document one of them, and the other fields that it may have.
const CALLS: [(&str, &[&str]); 5] = [
    ("object", &["offers"]),
    ("filters", &[]),
    ("copy", &["previous", "context"]),
    ("configuration", &[]),
    ("migration", &["old", "new", "stage", "deployed"]),
];

impl RawCase {
    fn into_case(self, file: &str, document: usize) -> Result<Case, Wrong> {
        self.check_fields()?;
        let name = self.name.clone().unwrap_or_else(|| place(file, document));
        let settings = self.settings.clone();
        let of_settings = self.expect.settings.is_some();
        let (call, expect) = self.into_call(of_settings)?;
        if !expect.fits(&call) {
            return wrong("expect", format!("this is not what comes of a case that asks to {}", call.what()));
        }
        Ok(Case { name, file: file.to_owned(), document, settings, call, expect })
    }

    /// Which fields there are, besides those that any case has.
    fn fields(&self) -> Vec<&'static str> {
        [
            ("object", self.object.is_some()),
            ("offers", self.offers.is_some()),
            ("filters", self.filters.is_some()),
            ("copy", self.copy.is_some()),
            ("previous", self.previous.is_some()),
            ("context", self.context.is_some()),
            ("configuration", self.configuration.is_some()),
            ("migration", self.migration.is_some()),
            ("old", self.old.is_some()),
            ("new", self.new.is_some()),
            ("stage", self.stage.is_some()),
            ("deployed", self.deployed.is_some()),
        ]
        .into_iter()
        .filter_map(|(name, is_there)| is_there.then_some(name))
        .collect()
    }

    /// Refuses fields of two calls in one document, which would leave one of them unasked.
    fn check_fields(&self) -> Result<(), Wrong> {
        let fields = self.fields();
        let Some((call, others)) = CALLS.iter().find(|(call, _)| fields.contains(call)) else {
            return match fields.first() {
                None => Ok(()),
                Some(lost) => {
                    let calls = CALLS.map(|(call, _)| call).join(", ");
                    wrong(lost, format!("it belongs to a call that is not there; a call has one of {calls}"))
                }
            };
        };
        match fields.iter().find(|field| *field != call && !others.contains(field)) {
            Some(stray) => wrong(stray, format!("it does not go together with {call}: make a document of each")),
            None => Ok(()),
        }
    }

    fn into_call(self, of_settings: bool) -> Result<(Call, Expect), Wrong> {
        let expect = self.expect.into_expect()?;
        let call = if let Some(object) = self.object {
            let Some(offers) = self.offers else { return wrong("offers", "an object is judged against offers") };
            let offers =
                offers.into_iter().enumerate().map(|(index, raw)| offer(index, raw)).collect::<Result<_, _>>()?;
            Call::Judge { object, offers }
        } else if let Some(filters) = self.filters {
            Call::ValidateFilters(filters.iter().map(Value::to_string).collect())
        } else if let Some(copy) = self.copy {
            let context = self.context.unwrap_or_default().completed(&copy)?;
            Call::TransformStatus { copy, previous: self.previous, context }
        } else if let Some(configuration) = self.configuration {
            Call::ValidateMigration(configuration)
        } else if let Some(migration) = self.migration {
            let (Some(old), Some(new)) = (self.old, self.new) else {
                return wrong("migration", "a migration has two copies: old and new");
            };
            migration.into_call(old, new, self.stage, self.deployed)?
        } else if of_settings || matches!(expect, Expect::Error(_)) {
            Call::ValidateSettings
        } else {
            return wrong("", format!("it asks nothing: a call has one of {}", CALLS.map(|(call, _)| call).join(", ")));
        };
        if of_settings && call != Call::ValidateSettings {
            return wrong("expect.settings", format!("this case asks to {}", call.what()));
        }
        Ok((call, expect))
    }
}

impl RawMigration {
    fn into_call(
        self,
        old_copy: Value,
        new_copy: Value,
        stage: Option<String>,
        deployed: Option<Vec<Deployed>>,
    ) -> Result<Call, Wrong> {
        let Self { id, namespace, configuration, old, new } = self;
        let old = completed(old, &old_copy, "provider#a");
        let new = completed(new, &new_copy, "provider#b");
        let migration = Box::new(Migration { id, namespace, configuration, old, new, old_copy, new_copy });
        match (stage, deployed) {
            (None, None) => Ok(Call::Stages(migration)),
            (Some(stage), None) => Ok(Call::Render { migration, stage }),
            (Some(stage), Some(deployed)) => Ok(Call::Assess { migration, stage, deployed }),
            (None, Some(_)) => wrong("deployed", "something is deployed by a stage: which one?"),
        }
    }
}

impl RawExpect {
    fn into_expect(self) -> Result<Expect, Wrong> {
        if self.reason.is_some() && self.outcome.is_none() {
            return wrong("expect.reason", "a reason belongs to an outcome");
        }
        if self.valid == Some(false) {
            return wrong("expect.valid", "what is not valid has problems: write `invalid` and list them");
        }
        let settings = self.settings.map(|settings| match settings {
            RawSettings::Valid => Expect::Valid,
            RawSettings::Invalid(problems) => Expect::Invalid(problems),
        });
        let reason = self.reason;
        let given: Vec<Expect> = [
            self.verdicts.map(Expect::Verdicts),
            self.valid.map(|_| Expect::Valid),
            self.invalid.map(Expect::Invalid),
            settings,
            self.status.map(|status| Expect::Status(Some(status).filter(|status| !status.is_null()))),
            self.stages.map(Expect::Stages),
            self.manifests.map(Expect::Manifests),
            self.outcome.map(|outcome| Expect::Outcome { outcome, reason }),
            self.error.map(Expect::Error),
        ]
        .into_iter()
        .flatten()
        .collect();
        let count = given.len();
        match <[Expect; 1]>::try_from(given) {
            Ok([expect]) => Ok(expect),
            Err(_) => wrong("expect", format!("exactly one answer is expected, here are {count}")),
        }
    }
}

impl Expect {
    /// Whether a call can have such an answer.
    fn fits(&self, call: &Call) -> bool {
        matches!(
            (self, call),
            (Self::Error(_), _)
                | (Self::Verdicts(_), Call::Judge { .. })
                | (
                    Self::Valid | Self::Invalid(_),
                    Call::ValidateFilters(_) | Call::ValidateSettings | Call::ValidateMigration(_),
                )
                | (Self::Status(_), Call::TransformStatus { .. })
                | (Self::Stages(_), Call::Stages(_))
                | (Self::Manifests(_), Call::Render { .. })
                | (Self::Outcome { .. }, Call::Assess { .. })
        )
    }
}

/// An AcceptAPI in its short form.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ShortOffer {
    provider: Option<String>,
    name: Option<String>,
    #[serde(default)]
    filters: Vec<Value>,
}

fn offer(index: usize, raw: Value) -> Result<Offer, Wrong> {
    let field = format!("offers.{index}");
    let short = if raw.get("kind").is_some() { accept_api(&field, &raw)? } else { short_offer(&field, raw)? };
    Ok(Offer {
        provider: short.provider.unwrap_or_else(|| "provider#a".to_owned()),
        name: short.name.unwrap_or_else(|| format!("default/offer-{}", index + 1)),
        filters: short.filters.iter().map(Value::to_string).collect(),
    })
}

fn short_offer(field: &str, raw: Value) -> Result<ShortOffer, Wrong> {
    deserialize_with_path(raw).map_err(|error| {
        let path = dotted(error.path());
        let field = if path.is_empty() { field.to_owned() } else { format!("{field}.{path}") };
        Wrong { field, message: error.into_inner().to_string() }
    })
}

/// An AcceptAPI as it is applied to a cluster: what it has besides name and filters is not the plugin's business.
fn accept_api(field: &str, raw: &Value) -> Result<ShortOffer, Wrong> {
    if raw["kind"] != "AcceptAPI" {
        return wrong(&format!("{field}.kind"), format!("an offer is an AcceptAPI, not {}", raw["kind"]));
    }
    let Some(name) = raw.pointer("/metadata/name").and_then(Value::as_str) else {
        return wrong(&format!("{field}.metadata.name"), "an AcceptAPI has a name");
    };
    let namespace = raw.pointer("/metadata/namespace").and_then(Value::as_str).unwrap_or("default");
    let filters = match raw.pointer("/spec/filters") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(filters)) => filters.clone(),
        Some(other) => return wrong(&format!("{field}.spec.filters"), format!("filters are a list, not {other}")),
    };
    Ok(ShortOffer { provider: None, name: Some(format!("{namespace}/{name}")), filters })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        match Case::parse("case.yaml", text) {
            Ok(cases) => panic!("{cases:?}"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn what_is_wrong_with_a_document_is_told_with_its_place() {
        for (text, expected) in [
            ("", "case.yaml, document 1: there is no case in this file"),
            ("copy: [", "case.yaml, document 1: "),
            ("copy: {a: 1, a: 2}", "case.yaml, document 1: key \"a\" for the second time"),
            ("filters: []", "case.yaml, document 1: missing field `expect`"),
            (
                "filters: []\nexpect: {valid: true}\n---\nfilter: []\nexpect: {valid: true}",
                "document 2, field filter: unknown field `filter`",
            ),
            ("copy: {}\nexpect: {statuses: {}}", "document 1, field expect.statuses: unknown field `statuses`"),
            (
                "object: {}\noffers: [{filter: []}]\nexpect: {verdicts: []}",
                "field offers.0.filter: unknown field `filter`",
            ),
            (
                "object: {}\noffers: [{kind: Secret}]\nexpect: {verdicts: []}",
                "field offers.0.kind: an offer is an AcceptAPI",
            ),
            ("object: {}\noffers: [{kind: AcceptAPI}]\nexpect: {verdicts: []}", "field offers.0.metadata.name: "),
            ("object: {}\nexpect: {verdicts: []}", "field offers: an object is judged against offers"),
            (
                "object: {}\noffers: []\nexpect: {verdicts: [{refused: [{rul: x}]}]}",
                "field expect.verdicts.0: unknown field `rul`",
            ),
            ("object: {}\noffers: []\nexpect: {verdicts: [maybe]}", "field expect.verdicts.0: a verdict is"),
            (
                "object: {}\noffers: []\ncopy: {}\nexpect: {status: null}",
                "field copy: it does not go together with object",
            ),
            ("previous: {}\nexpect: {status: null}", "field previous: it belongs to a call that is not there"),
            ("context: {prefixes: x}\ncopy: {}\nexpect: {status: null}", "field context.prefixes: unknown field"),
            (
                "context: {prefix: x, names: []}\ncopy: {}\nexpect: {status: null}",
                "field context.prefix: the names follow from it",
            ),
            ("copy: {}\nexpect: {}", "field expect: exactly one answer is expected, here are 0"),
            (
                "copy: {}\nexpect: {status: null, valid: true}",
                "field expect: exactly one answer is expected, here are 2",
            ),
            (
                "copy: {}\nexpect: {valid: true}",
                "field expect: this is not what comes of a case that asks to transform a status",
            ),
            ("filters: []\nexpect: {valid: false}", "field expect.valid: "),
            ("filters: []\nexpect: {settings: valid}", "field expect.settings: this case asks to judge filters"),
            ("settings: {}\nexpect: {settings: sound}", "field expect.settings: settings are"),
            ("settings: {}\nexpect: {valid: true}", "it asks nothing"),
            ("migration: {}\nexpect: {stages: []}", "field migration: a migration has two copies"),
            ("migration: {}\nold: {}\nnew: {}\ndeployed: []\nexpect: {outcome: ready}", "field deployed: "),
            (
                "migration: {old: {providers: x}}\nold: {}\nnew: {}\nexpect: {stages: []}",
                "field migration.old.providers: ",
            ),
            ("copy: {}\nexpect: {status: null, reason: x}", "field expect.reason: "),
            ("copy: {}\nexpect: {error: {kind: other}}", "field expect.error.kind: unknown variant `other`"),
        ] {
            let error = error(text);
            assert!(error.contains(expected), "{text}\n  is refused with {error}\n  instead of     {expected}");
        }
    }

    #[test]
    fn what_a_case_does_not_say_has_a_default() {
        let text = "\u{feff}copy: {}\nexpect: {status: null}\n---\n---\nobject: {}\noffers: [{}, {kind: AcceptAPI, metadata: {name: a}}]\nexpect: {verdicts: []}";
        let cases = Case::parse("case.yaml", text).unwrap();
        let names: Vec<&str> = cases.iter().map(|case| case.name.as_str()).collect();
        assert_eq!(names, ["case.yaml, document 1", "case.yaml, document 3"]);
        assert_eq!(cases[0].settings_json(), "null");
        let Call::Judge { offers, .. } = &cases[1].call else { panic!("{:?}", cases[1].call) };
        let offers: Vec<_> = offers.iter().map(|offer| (offer.provider.as_str(), offer.name.as_str())).collect();
        assert_eq!(offers, [("provider#a", "default/offer-1"), ("provider#a", "default/a")]);
    }

    #[test]
    fn folders_are_read_in_order_and_have_to_have_cases() {
        let folder = tempfile::tempdir().unwrap();
        let empty = Case::parse_path(folder.path()).unwrap_err();
        assert!(matches!(empty, ParseError::Empty(_)), "{empty}");
        let case = "copy: {}\nexpect: {status: null}";
        fs::create_dir(folder.path().join("b")).unwrap();
        for name in ["b/x.yml", "c.yaml", "a.yaml", "README.md"] {
            fs::write(folder.path().join(name), case).unwrap();
        }
        let cases = Case::parse_path(folder.path()).unwrap();
        let files: Vec<_> =
            cases.iter().map(|case| Path::new(&case.file).strip_prefix(folder.path()).unwrap()).collect();
        assert_eq!(files, ["a.yaml", "b/x.yml", "c.yaml"].map(Path::new));
        let missing = Case::parse_path(&folder.path().join("none")).unwrap_err();
        assert!(matches!(missing, ParseError::Unreadable { .. }), "{missing}");
        assert!(std::error::Error::source(&missing).is_none(), "whoever prints the sources would print it twice");
    }
}
