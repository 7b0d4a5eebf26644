//! `plugin run`: one question to a component, and everything that can be seen of the answer.

use std::fmt::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::Args;
use resource_broker_api::broker::AcceptApiSpec;
use resource_broker_plugin_cases as cases;
use resource_broker_plugin_types::{
    CopyContext, Deployed, Endpoint, HIGHEST_SCORE, Manifest, MigrationContext, Mirrored, Offer, Stage, StageOutcome,
    Verdict, Violation,
};
use resource_broker_sandbox::{CallError, FieldError, Trial, Trialled};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::component::{self, ComponentArgs, Opened};
use super::input::{self, Document};
use super::usage;
use crate::output::{self, Format, size, table, time};
use crate::yaml;

/// Asks a component one question, by the limits that it has in the broker, and prints the answer, its time, its memory
/// and what the component logged. Which question depends on the files given:
///
///   --accept-api and --object    which offers take the object
///   --accept-api                 whether the offers' filters make sense
///   --copy                       the status that the consumer sees
///   --migration-configuration    whether the configuration makes sense; with --from-copy and --to-copy the stages of
///                                the move; with --stage what the stage deploys; with --deployed how it stands
///
/// The exit code is 0 if the component answered, also if it refused; 1 if it failed; 2 for a command line that cannot be
/// followed.
#[derive(Args, Clone, Debug)]
#[command(
    verbatim_doc_comment,
    after_help = "Examples:\n  resource-broker plugin run my_plugin.wasm --object database.yaml --accept-api nestor.yaml\n  \
                  resource-broker plugin run my_plugin.wasm --copy copy.yaml -o json"
)]
pub(super) struct RunArgs {
    #[command(flatten)]
    component: ComponentArgs,
    #[command(flatten)]
    filter: FilterArgs,
    #[command(flatten)]
    status: StatusArgs,
    #[command(flatten)]
    migration: MigrationArgs,
    /// Print for scripts
    #[arg(short, long, value_name = "FORM")]
    output: Option<Format>,
}

#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "accept-filter")]
struct FilterArgs {
    /// The consumer's object
    #[arg(long, value_name = "FILE", requires = "accept_api")]
    object: Option<PathBuf>,
    /// Offers: AcceptAPIs, of one or several files. A file's name stands for the provider's: nestor.yaml is provider#nestor
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with_all = ["copy", "migration_configuration"])]
    accept_api: Vec<PathBuf>,
}

#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "status-transformer")]
struct StatusArgs {
    /// The provider's copy
    #[arg(long, value_name = "FILE", conflicts_with = "migration_configuration")]
    copy: Option<PathBuf>,
    /// The consumer's object with the status that it shows now
    #[arg(long, value_name = "FILE", requires = "copy")]
    previous: Option<PathBuf>,
    /// The namespace of the consumer's object [default: previous's, or default]
    #[arg(long, value_name = "NAMESPACE", requires = "copy")]
    consumer_namespace: Option<String>,
    /// What the names of the copy and its related resources begin with at the provider
    #[arg(long, value_name = "PREFIX", default_value = cases::PREFIX)]
    prefix: String,
}

#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "migration-template")]
struct MigrationArgs {
    /// The MigrationConfiguration
    #[arg(long, value_name = "FILE")]
    migration_configuration: Option<PathBuf>,
    /// The copy that the object moves away from. The file's name stands for the provider's
    #[arg(long, value_name = "FILE", requires_all = ["migration_configuration", "to_copy"])]
    from_copy: Option<PathBuf>,
    /// The copy that the object moves to. The file's name stands for the provider's
    #[arg(long, value_name = "FILE", requires = "from_copy")]
    to_copy: Option<PathBuf>,
    /// The migration's id
    #[arg(long, value_name = "ID", default_value = "migration")]
    migration_id: String,
    /// The compute cluster's namespace
    #[arg(long, value_name = "NAMESPACE", default_value = "default")]
    compute_namespace: String,
    /// The stage that is asked about
    #[arg(long, value_name = "NAME", requires = "from_copy")]
    stage: Option<String>,
    /// What the stage has deployed, as a list of {name, object}; [] before it has
    #[arg(long, value_name = "FILE", requires = "stage")]
    deployed: Option<PathBuf>,
}

/// Reads the files, asks, and prints.
pub(super) fn run(args: &RunArgs) -> Result<ExitCode> {
    let question = Question::read(args)?;
    let answered = super::block_on(async {
        let Opened { sandbox, plugin } = component::open(&args.component).await?;
        anyhow::Ok(question.ask(&sandbox.trial(&plugin)).await)
    })??;
    output::print(&answered, args.output)?;
    match answered.failure {
        None => Ok(ExitCode::SUCCESS),
        Some(error) => Err(anyhow::Error::new(error).context(input::name(&args.component.file))),
    }
}

/// What a component is asked.
enum Question {
    Judge { object: String, offers: Vec<Offer> },
    ValidateFilters { offers: Vec<Offer> },
    Transform { copy: String, previous: Option<String>, context: CopyContext },
    ValidateMigration { configuration: String },
    Migration { context: Box<MigrationContext>, old: String, new: String, about: About },
}

/// What is asked of a migration.
enum About {
    Stages,
    Manifests(String),
    Outcome(String, Vec<Deployed>),
}

impl Question {
    fn read(args: &RunArgs) -> Result<Self> {
        if !args.filter.accept_api.is_empty() {
            return Self::read_filter(&args.filter);
        }
        if let Some(copy) = &args.status.copy {
            return Self::read_status(&args.status, copy);
        }
        match &args.migration.migration_configuration {
            Some(configuration) => Self::read_migration(&args.migration, configuration),
            None => usage(
                "nothing is asked: give --object and --accept-api, or --copy, or --migration-configuration \
                 (`plugin check` says what the component is)",
            ),
        }
    }

    fn read_filter(args: &FilterArgs) -> Result<Self> {
        let mut offers = Vec::new();
        for file in &args.accept_api {
            offers.extend(self::offers(file)?);
        }
        let Some(object) = &args.object else { return Ok(Self::ValidateFilters { offers }) };
        let object = input::single(object)?.into_kubernetes_object()?;
        Ok(Self::Judge { object: object.value.to_string(), offers })
    }

    fn read_status(args: &StatusArgs, copy: &Path) -> Result<Self> {
        let provider = provider(copy);
        let copy = input::single(copy)?.into_kubernetes_object()?;
        let previous = args.previous.as_deref().map(input::single).transpose()?;
        let shown_in = previous.as_ref().and_then(|previous| previous.text("/metadata/namespace"));
        let consumer_namespace = args.consumer_namespace.as_deref().or(shown_in).unwrap_or("default").to_owned();
        let names = cases::names(&copy.value, &args.prefix);
        Ok(Self::Transform {
            copy: copy.value.to_string(),
            previous: previous.map(|previous| previous.value.to_string()),
            context: CopyContext { names, consumer_namespace, provider },
        })
    }

    fn read_migration(args: &MigrationArgs, configuration: &Path) -> Result<Self> {
        let configuration = input::single(configuration)?.into_kubernetes_object()?.read::<Value>("spec")?.to_string();
        let (Some(from), Some(to)) = (&args.from_copy, &args.to_copy) else {
            return Ok(Self::ValidateMigration { configuration });
        };
        let (old, new) = (input::single(from)?.into_kubernetes_object()?, input::single(to)?.into_kubernetes_object()?);
        let about = match (&args.stage, &args.deployed) {
            (None, _) => About::Stages,
            (Some(stage), None) => About::Manifests(stage.clone()),
            (Some(stage), Some(file)) => About::Outcome(stage.clone(), deployed(file)?),
        };
        let context = Box::new(MigrationContext {
            id: args.migration_id.clone(),
            namespace: args.compute_namespace.clone(),
            configuration,
            old: endpoint(&old, provider(from)),
            new: endpoint(&new, provider(to)),
        });
        Ok(Self::Migration { context, old: old.value.to_string(), new: new.value.to_string(), about })
    }

    async fn ask(self, trial: &Trial) -> Answered {
        match self {
            Self::Judge { object, offers } => {
                let trialled = trial.judge(object, offers.clone()).await;
                Answered::new("verdicts", trialled, |verdicts| show_verdicts(&offers, &verdicts))
            }
            Self::ValidateFilters { offers } => validate_filters(trial, offers).await,
            Self::Transform { copy, previous, context } => {
                let trialled = trial.transform_status(copy, previous, context).await;
                Answered::new("status", trialled, |status| show_status(status.as_deref()))
            }
            Self::ValidateMigration { configuration } => {
                let trialled = accept_refusal(trial.validate_migration(configuration).await);
                Answered::new("validity", trialled, |problems| show_validity("the configuration", &problems))
            }
            Self::Migration { context, old, new, about: About::Stages } => {
                let trialled = trial.migration_stages(*context, old, new).await;
                Answered::new("stages", trialled, |stages| show_stages(&stages))
            }
            Self::Migration { context, old, new, about: About::Manifests(stage) } => {
                let trialled = trial.render_stage(*context, old, new, stage).await;
                Answered::new("manifests", trialled, |manifests| show_manifests(&manifests))
            }
            Self::Migration { context, old, new, about: About::Outcome(stage, deployed) } => {
                let trialled = trial.assess_stage(*context, old, new, stage, deployed).await;
                Answered::new("outcome", trialled, |outcome| show_outcome(&outcome))
            }
        }
    }
}

/// One call an offer, as in the broker; the costs are those of all.
async fn validate_filters(trial: &Trial, offers: Vec<Offer>) -> Answered {
    let mut all = Trialled { answer: Ok(Vec::new()), time: Duration::ZERO, memory_bytes: 0, log: Vec::new() };
    for Offer { provider, name, filters } in offers {
        let one = accept_refusal(trial.validate_filters(filters.to_vec()).await);
        all.time += one.time;
        all.memory_bytes = all.memory_bytes.max(one.memory_bytes);
        all.log.extend(one.log);
        all.answer = all.answer.and_then(|mut validities| {
            validities.push((format!("{provider} {name}"), one.answer?));
            Ok(validities)
        });
    }
    Answered::new("validity", all, |validities| {
        let shown = validities.iter().map(|(offer, problems)| {
            let Shown { text, json } = show_validity(offer, problems);
            (text, json!({"offer": offer, "valid": json["valid"], "problems": json["problems"]}))
        });
        let (texts, json): (Vec<String>, Vec<Value>) = shown.unzip();
        Shown { text: texts.concat(), json: Value::Array(json) }
    })
}

/// A validation that says no is an answer.
fn accept_refusal(trialled: Trialled<()>) -> Trialled<Vec<FieldError>> {
    let Trialled { answer, time, memory_bytes, log } = trialled;
    let answer = match answer {
        Ok(()) => Ok(Vec::new()),
        Err(CallError::Refused { problems, .. }) => Ok(problems),
        Err(error) => Err(error),
    };
    Trialled { answer, time, memory_bytes, log }
}

fn provider(file: &Path) -> String {
    format!("provider#{}", component::stem(file))
}

/// The AcceptAPIs of a file, as the broker hands them to a plugin.
pub(super) fn offers(file: &Path) -> Result<Vec<Offer>> {
    let documents = input::documents(file)?;
    if documents.is_empty() {
        bail!("{} is empty: AcceptAPIs are wanted", input::name(file));
    }
    documents.iter().map(|document| offer(document, file)).collect()
}

fn offer(document: &Document, file: &Path) -> Result<Offer> {
    if document.text("/kind") != Some("AcceptAPI") {
        bail!("{}: kind is not AcceptAPI", document.place);
    }
    // What an API server would refuse is refused here; the plugin gets the filters as they are written.
    document.read::<AcceptApiSpec>("spec")?;
    let filters = document.value.pointer("/spec/filters").and_then(Value::as_array);
    let at = |pointer, default: &'static str| document.text(pointer).unwrap_or(default).to_owned();
    Ok(Offer {
        provider: provider(file),
        name: format!("{}/{}", at("/metadata/namespace", "default"), at("/metadata/name", "unnamed")),
        filters: filters.into_iter().flatten().map(Value::to_string).collect(),
    })
}

/// One item of the file that says what a stage has deployed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DeployedItem {
    name: String,
    #[serde(default)]
    object: Value,
}

fn deployed(file: &Path) -> Result<Vec<Deployed>> {
    let items: Vec<DeployedItem> = input::single(file)?.read("")?;
    let deployed =
        |DeployedItem { name, object }| Deployed { name, object: (!object.is_null()).then(|| object.to_string()) };
    Ok(items.into_iter().map(deployed).collect())
}

/// A copy as one end of a migration. Its related resources are mirrored under the names that they have.
fn endpoint(copy: &Document, provider: String) -> Endpoint {
    let at = |pointer: &str| copy.text(pointer).unwrap_or_default().to_owned();
    let mirrored = |(key, related): (&String, &Value)| {
        let part = |pointer: &str| related.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let api_version = match part("/gvk/group").as_str() {
            "" | "core" => part("/gvk/version"),
            group => format!("{group}/{}", part("/gvk/version")),
        };
        Mirrored { key: key.clone(), api_version, kind: part("/gvk/kind"), name: part("/name") }
    };
    let related = copy.value.pointer("/status/relatedResources").and_then(Value::as_object);
    Endpoint {
        provider,
        api_version: at("/apiVersion"),
        kind: at("/kind"),
        namespace: at("/metadata/namespace"),
        name: at("/metadata/name"),
        related: related.into_iter().flatten().map(mirrored).collect(),
    }
}

/// An answer for people and for scripts.
struct Shown {
    text: String,
    json: Value,
}

/// What came of a question.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answered {
    question: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Value>,
    time_microseconds: u128,
    memory_bytes: usize,
    log: Vec<Line>,
    #[serde(skip)]
    text: String,
    #[serde(skip)]
    shown_time: String,
    #[serde(skip)]
    failure: Option<CallError>,
}

#[derive(Serialize)]
struct Line {
    level: &'static str,
    message: String,
}

impl Answered {
    fn new<T>(question: &'static str, trialled: Trialled<T>, show: impl FnOnce(T) -> Shown) -> Self {
        let Trialled { answer, time: taken, memory_bytes, log } = trialled;
        let (shown, failure) = match answer {
            Ok(answer) => (Some(show(answer)), None),
            Err(error) => (None, Some(error)),
        };
        let (text, answer) = shown.map_or((String::new(), None), |shown| (shown.text, Some(shown.json)));
        Self {
            question,
            answer,
            error: failure.as_ref().map(|error| json!({"category": error.category(), "message": error.to_string()})),
            time_microseconds: taken.as_micros(),
            memory_bytes,
            log: log.into_iter().map(|line| Line { level: line.level.as_str(), message: line.message }).collect(),
            text,
            shown_time: time(taken),
            failure,
        }
    }
}

impl fmt::Display for Answered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.text.is_empty() {
            writeln!(f, "{}", self.text)?;
        }
        let log: Vec<String> = self.log.iter().map(|line| format!("{:5} {}", line.level, line.message)).collect();
        let log = if log.is_empty() { "nothing".to_owned() } else { log.join("\n") };
        table(f, &[("time", self.shown_time.clone()), ("memory", size(self.memory_bytes)), ("log", log)])
    }
}

fn show_verdicts(offers: &[Offer], verdicts: &[Verdict]) -> Shown {
    let mut text = String::new();
    let mut json = Vec::new();
    for (Offer { provider, name, .. }, verdict) in offers.iter().zip(verdicts) {
        let (word, score, violations): (&str, Option<u8>, &[Violation]) = match verdict {
            Verdict::Accepted { score } => ("accepted", *score, &[]),
            Verdict::Refused(violations) => ("refused", None, violations),
        };
        let scored = score.map(|score| format!(", score {score} of {HIGHEST_SCORE}")).unwrap_or_default();
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(text, "{provider} {name}: {word}{scored}");
        for Violation { filter, rule, expected, found, message } in violations {
            let found = found.as_deref().unwrap_or("nothing");
            let _ = writeln!(text, "  {filter}, {rule}: {message}\n    expected {expected}, found {found}");
        }
        let violations: Vec<Value> = violations.iter().map(violation).collect();
        let mut answer = json!({"provider": provider, "name": name, "verdict": word, "violations": violations});
        if let Some(score) = score {
            answer["score"] = score.into();
        }
        json.push(answer);
    }
    Shown { text, json: Value::Array(json) }
}

fn violation(Violation { filter, rule, expected, found, message }: &Violation) -> Value {
    json!({"filter": filter, "rule": rule, "expected": expected, "found": found, "message": message})
}

fn show_status(status: Option<&str>) -> Shown {
    // The sandbox has parsed it already.
    let json = status.and_then(|status| serde_json::from_str(status).ok()).unwrap_or(Value::Null);
    let text = if json.is_null() { "no status yet\n".to_owned() } else { shown_as_yaml(&json) };
    Shown { text, json }
}

fn show_validity(what: &str, problems: &[FieldError]) -> Shown {
    let mut text = format!("{what}: {}\n", if problems.is_empty() { "valid" } else { "invalid" });
    for problem in problems {
        let _ = writeln!(text, "  {problem}");
    }
    let list: Vec<Value> =
        problems.iter().map(|problem| json!({"path": problem.path, "message": problem.message})).collect();
    Shown { text, json: json!({"valid": problems.is_empty(), "problems": list}) }
}

fn show_stages(stages: &[Stage]) -> Shown {
    let mut text = String::new();
    let mut json = Vec::new();
    for Stage { name, progress, timeout_seconds, retries, approval } in stages {
        let timeout = timeout_seconds.map_or("no timeout".to_owned(), |seconds| format!("timeout {seconds} s"));
        let progress_note = if *progress { ", progress" } else { "" };
        let approval_note = if *approval { ", needs approval" } else { "" };
        let _ = writeln!(text, "{name}: {timeout}, {retries} retries{progress_note}{approval_note}");
        json.push(json!({
            "name": name,
            "progress": progress,
            "timeoutSeconds": timeout_seconds,
            "retries": retries,
            "approval": approval,
        }));
    }
    if stages.is_empty() {
        text.push_str("no stages\n");
    }
    Shown { text, json: Value::Array(json) }
}

fn show_manifests(manifests: &[Manifest]) -> Shown {
    let mut text = String::new();
    let mut json = Vec::new();
    for Manifest { name, body } in manifests {
        let body: Value = serde_json::from_str(body).unwrap_or_else(|_| Value::String(body.clone()));
        let _ = write!(text, "--- # {name}\n{}", shown_as_yaml(&body));
        json.push(json!({"name": name, "body": body}));
    }
    if manifests.is_empty() {
        text.push_str("nothing to deploy\n");
    }
    Shown { text, json: Value::Array(json) }
}

fn show_outcome(outcome: &StageOutcome) -> Shown {
    let (word, reason) = match outcome {
        StageOutcome::Waiting(reason) => ("waiting", Some(reason)),
        StageOutcome::Ready => ("ready", None),
        StageOutcome::Succeeded => ("succeeded", None),
        StageOutcome::Failed(reason) => ("failed", Some(reason)),
    };
    let text = reason.map_or(format!("{word}\n"), |reason| format!("{word}: {reason}\n"));
    Shown { text, json: json!({"outcome": word, "reason": reason}) }
}

/// What cannot be YAML is shown as JSON.
fn shown_as_yaml(value: &Value) -> String {
    yaml::to_string(value).unwrap_or_else(|_| format!("{value}\n"))
}
