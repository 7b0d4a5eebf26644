//! `spec` of a `MigrationConfiguration`: its stages, and everything that is wrong with their form.

use std::collections::HashSet;

use resource_broker_sdk::duration::Duration;
use resource_broker_sdk::{Document, Error, Problems, Stage, escape_key};
use serde_json::{Map, Value};

use crate::cluster::is_cluster_wide;
use crate::expression::{FROM, MIGRATION, RESERVED, TO};

/// The most stages, and the most templates of one.
const COUNT: usize = 64;
/// The longest DNS label.
const LABEL: usize = 63;
/// A timeout's grain: stages are timed in seconds.
const SECOND: i64 = 1_000_000_000;
const LABEL_IS: &str = "at most 63 lower-case letters, digits and dashes, with no dash at either end";
/// What the broker's own labels and annotations begin with.
const OWN: &str = "broker.platform-mesh.io/";
/// The fields of `spec`.
const FIELDS: [&str; 3] = ["from", "to", "stages"];
/// The fields of a stage.
const STAGE_FIELDS: [&str; 8] =
    ["name", "templates", "preconditions", "successConditions", "progress", "timeout", "retries", "approval"];

/// What is to be done.
#[derive(Debug, Default)]
pub(crate) struct Configuration {
    pub(crate) stages: Vec<StageSpec>,
}

/// One stage, as far as it could be read.
#[derive(Debug)]
pub(crate) struct StageSpec {
    /// Where it stands, as `stages.0`.
    pub(crate) path: String,
    pub(crate) name: String,
    pub(crate) preconditions: Vec<String>,
    pub(crate) success_conditions: Vec<String>,
    pub(crate) templates: Vec<Template>,
    progress: bool,
    timeout_seconds: Option<u32>,
    retries: u32,
    approval: bool,
}

/// What a stage deploys, with expressions in its strings.
#[derive(Debug)]
pub(crate) struct Template {
    pub(crate) name: String,
    pub(crate) body: Map<String, Value>,
}

impl Template {
    /// The variable by which success conditions see what was deployed.
    pub(crate) fn variable(&self) -> String {
        self.name.replace('-', "_")
    }
}

impl StageSpec {
    /// What the host is told of it.
    pub(crate) fn to_stage(&self) -> Stage {
        Stage {
            name: self.name.clone(),
            progress: self.progress,
            timeout_seconds: self.timeout_seconds,
            retries: self.retries,
            approval: self.approval,
        }
    }
}

impl Configuration {
    /// Reads it; what is wrong with it is left out of it, and among the problems.
    ///
    /// # Errors
    ///
    /// If it is no JSON that can be read.
    pub(crate) fn read(spec: &Document<'_>) -> Result<(Self, Problems), Error> {
        let mut problems = Problems::new();
        let spec = match spec.parse("")? {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(spec)) => spec,
            Some(other) => return Err(Error::invalid("", format!("it is {other}, and has to be an object"))),
        };
        for field in spec.keys().filter(|field| !FIELDS.contains(&field.as_str())) {
            problems.push(escape_key(field), unknown_field(field, &FIELDS));
        }
        let stages = match spec.get("stages") {
            None | Some(Value::Null) => &[][..],
            Some(Value::Array(stages)) => stages,
            Some(_) => {
                problems.push("stages", "it has to be a list of stages");
                &[]
            }
        };
        if stages.len() > COUNT {
            problems.push("stages", format!("there are {} stages, and {COUNT} is the most there may be", stages.len()));
        }
        let mut names = HashSet::new();
        let read = |(index, stage)| Reader::new(index, stage, &mut problems).stage(stage, &mut names);
        let stages = stages.iter().take(COUNT).enumerate().filter_map(read).collect();
        Ok((Self { stages }, problems))
    }

    /// Reads one that has nothing wrong with its form.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`] with everything that is wrong.
    pub(crate) fn valid(spec: &Document<'_>) -> Result<Self, Error> {
        let (configuration, problems) = Self::read(spec)?;
        problems.finish().map(|()| configuration)
    }
}

/// Says what is missing of the kinds that objects move from and to.
pub(crate) fn endpoints(spec: &Document<'_>, problems: &mut Problems) -> Result<(), Error> {
    let spec: Value = spec.parse("")?.unwrap_or_default();
    for side in ["from", "to"] {
        let Some(kind) = spec.get(side).filter(|kind| !kind.is_null()) else { continue };
        for field in ["version", "kind"] {
            if kind.get(field).and_then(Value::as_str).is_none_or(str::is_empty) {
                let message = format!("{side}.{field}: it is missing, and without it no kind is meant");
                problems.push(format!("{side}.{field}"), message);
            }
        }
    }
    Ok(())
}

/// Reads one stage.
struct Reader<'p> {
    path: String,
    /// How people know the stage.
    whose: String,
    problems: &'p mut Problems,
}

impl<'p> Reader<'p> {
    fn new(index: usize, stage: &Value, problems: &'p mut Problems) -> Self {
        let path = format!("stages.{index}");
        let whose = match stage.get("name") {
            Some(Value::String(name)) => format!("stage {name:?}"),
            _ => path.clone(),
        };
        Self { path, whose, problems }
    }

    fn wrong(&mut self, field: &str, message: &str) {
        let message = format!("{}, {field}: {message}", self.whose);
        self.problems.push(format!("{}.{field}", self.path), message);
    }

    fn stage<'s>(mut self, stage: &'s Value, names: &mut HashSet<&'s str>) -> Option<StageSpec> {
        let Value::Object(fields) = stage else {
            self.problems.push(&self.path, "a stage has to be an object, with a name at least");
            return None;
        };
        for field in fields.keys().filter(|field| !STAGE_FIELDS.contains(&field.as_str())) {
            self.wrong(&escape_key(field), &unknown_field(field, &STAGE_FIELDS));
        }
        let field = |name: &str| fields.get(name).filter(|value| !value.is_null());
        Some(StageSpec {
            name: self.name(field("name"), names),
            preconditions: self.conditions("preconditions", field("preconditions")),
            success_conditions: self.conditions("successConditions", field("successConditions")),
            templates: self.templates(field("templates")),
            progress: self.progress(field("progress")),
            timeout_seconds: field("timeout").and_then(|timeout| self.timeout(timeout)),
            retries: self.retries(field("retries")),
            approval: self.approval(field("approval")),
            path: self.path,
        })
    }

    fn name<'s>(&mut self, name: Option<&'s Value>, names: &mut HashSet<&'s str>) -> String {
        let Some(Value::String(name)) = name else {
            self.wrong("name", &format!("a stage needs one, of {LABEL_IS}"));
            return String::new();
        };
        if !is_label(name) {
            self.wrong("name", &format!("it has to be {LABEL_IS}"));
        }
        if !names.insert(name) {
            self.wrong("name", "another stage has this name already, and each needs one of its own");
        }
        name.clone()
    }

    fn conditions(&mut self, field: &str, value: Option<&Value>) -> Vec<String> {
        let Some(value) = value else { return Vec::new() };
        let Value::Array(items) = value else {
            self.wrong(field, "it has to be a list of CEL expressions");
            return Vec::new();
        };
        let mut conditions = Vec::new();
        for (index, item) in items.iter().enumerate() {
            match item {
                Value::String(text) => conditions.push(text.clone()),
                other => {
                    self.wrong(&format!("{field}.{index}"), &format!("{other} is not a CEL expression as a string"));
                    // Keeps the others at their places.
                    conditions.push("true".to_owned());
                }
            }
        }
        conditions
    }

    fn progress(&mut self, value: Option<&Value>) -> bool {
        match value {
            None => false,
            Some(Value::Bool(progress)) => *progress,
            Some(other) => {
                self.wrong("progress", &format!("{other} is neither true nor false"));
                false
            }
        }
    }

    fn timeout(&mut self, value: &Value) -> Option<u32> {
        let Value::String(text) = value else {
            self.wrong("timeout", &format!("{value} is not a duration as a string, such as \"90s\" or \"1h30m\""));
            return None;
        };
        let wrong = match text.parse().map(Duration::nanos) {
            Err(_) if text.ends_with(['d', 'w']) => {
                format!("{text:?} is not a duration, such as 90s or 1h30m; write days as hours, such as 168h")
            }
            Err(_) => format!("{text:?} is not a duration, such as 90s or 1h30m"),
            Ok(..=0) => format!("{text} is no time at all; leave it out for a stage that may take any"),
            Ok(nanos) if nanos % SECOND != 0 => {
                format!("{text} cannot be kept: it is counted in whole seconds, and 1s is the least there is")
            }
            Ok(nanos) => match u32::try_from(nanos / SECOND) {
                Ok(seconds) => return Some(seconds),
                Err(_) => format!("{text} is more than a century; leave it out for a stage that may take any"),
            },
        };
        self.wrong("timeout", &wrong);
        None
    }

    fn retries(&mut self, value: Option<&Value>) -> u32 {
        let Some(value) = value else { return 0 };
        value.as_u64().and_then(|retries| u32::try_from(retries).ok()).unwrap_or_else(|| {
            self.wrong("retries", &format!("{value} is not a number of retries: 0, 1, 2 and so on"));
            0
        })
    }

    fn approval(&mut self, value: Option<&Value>) -> bool {
        match value {
            None => false,
            Some(Value::String(approval)) if approval == "required" => true,
            Some(other) => {
                self.wrong(
                    "approval",
                    &format!("{other} is not \"required\"; leave it out for a stage that needs none"),
                );
                false
            }
        }
    }

    fn templates(&mut self, value: Option<&Value>) -> Vec<Template> {
        let Some(value) = value else { return Vec::new() };
        let Value::Object(templates) = value else {
            self.wrong("templates", "it has to be an object, with a manifest under each template's name");
            return Vec::new();
        };
        if templates.len() > COUNT {
            let count = templates.len();
            self.wrong("templates", &format!("there are {count} templates, and {COUNT} is the most there may be"));
        }
        let mut read = Vec::new();
        for (name, body) in templates.iter().take(COUNT) {
            let field = format!("templates.{}", escape_key(name));
            self.template_name(&field, name);
            if let Value::Object(body) = body {
                self.manifest(&field, body);
                read.push(Template { name: name.clone(), body: body.clone() });
            } else {
                self.wrong(&field, "it has to be a manifest, with apiVersion and kind");
            }
        }
        read
    }

    fn template_name(&mut self, field: &str, name: &str) {
        if !is_label(name) {
            self.wrong(field, &format!("the name of a template has to be {LABEL_IS}"));
            return;
        }
        let variable = name.replace('-', "_");
        if name.starts_with(|first: char| first.is_ascii_digit()) {
            self.wrong(
                field,
                "expressions see a template by its name, and no variable begins with a digit: begin it with a letter",
            );
        } else if [FROM, TO, MIGRATION].contains(&variable.as_str()) {
            self.wrong(field, &format!("expressions see something else as {variable}: give the template another name"));
        } else if RESERVED.contains(&variable.as_str()) {
            self.wrong(field, &format!("{variable} means something in CEL: give the template another name"));
        }
    }

    fn manifest(&mut self, field: &str, body: &Map<String, Value>) {
        for (name, fits, example) in
            [("apiVersion", is_api_version as fn(&str) -> bool, "batch/v1"), ("kind", is_kind, "Job")]
        {
            let path = format!("{field}.{name}");
            match body.get(name) {
                Some(Value::String(text)) if fits(text) => {}
                Some(Value::String(text)) if text.contains("${") => {
                    self.wrong(&path, "it has to stand there: an expression may not decide what is deployed");
                }
                Some(found) => self.wrong(&path, &format!("{found} is none, such as {example}")),
                None => self.wrong(&path, &format!("a manifest needs one, such as {example}")),
            }
        }
        self.kind(field, body);
        match body.get("metadata") {
            None | Some(Value::Null) => {}
            Some(Value::Object(metadata)) => {
                self.metadata(&format!("{field}.metadata.labels"), metadata.get("labels"));
                self.metadata(&format!("{field}.metadata.annotations"), metadata.get("annotations"));
            }
            Some(_) => self.wrong(&format!("{field}.metadata"), "it has to be an object"),
        }
    }

    /// Refuses kinds of which it is known that a stage cannot deploy them.
    fn kind(&mut self, field: &str, body: &Map<String, Value>) {
        let (Some(api_version), Some(kind)) =
            (body.get("apiVersion").and_then(Value::as_str), body.get("kind").and_then(Value::as_str))
        else {
            return;
        };
        let path = format!("{field}.kind");
        if is_cluster_wide(api_version, kind) {
            let message =
                format!("a {kind} lives in no namespace, and stages deploy into one: make it yourself, beforehand");
            self.wrong(&path, &message);
        } else if kind == "List" || kind.ends_with("List") && body.contains_key("items") {
            self.wrong(&path, &format!("a {kind} is many objects: make a template of each"));
        }
    }

    fn metadata(&mut self, field: &str, value: Option<&Value>) {
        let entries = match value {
            None | Some(Value::Null) => return,
            Some(Value::Object(entries)) => entries,
            Some(_) => return self.wrong(field, "it has to be an object of strings"),
        };
        for (key, value) in entries {
            let path = format!("{field}.{}", escape_key(key));
            if key.starts_with(OWN) {
                self.wrong(&path, &format!("what begins with {OWN} is for the broker to set: remove it"));
            } else if !value.is_string() {
                self.wrong(&path, &format!("{value} is not a string: put it in quotes"));
            }
        }
    }
}

fn unknown_field(field: &str, known: &[&str]) -> String {
    format!("there is no field {field:?}; there are {}", known.join(", "))
}

fn is_label(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    name.len() <= LABEL
        && name.bytes().all(|byte| plain(byte) || byte == b'-')
        && name.bytes().next().is_some_and(plain)
        && name.bytes().last().is_some_and(plain)
}

fn is_api_version(text: &str) -> bool {
    match text.split_once('/') {
        Some((group, version)) => group.split('.').all(is_label) && is_label(version),
        None => is_label(text),
    }
}

fn is_kind(text: &str) -> bool {
    text.len() <= LABEL
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && text.bytes().next().is_some_and(|byte| byte.is_ascii_uppercase())
}
