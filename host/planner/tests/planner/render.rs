//! A plan as text: an action a line, with what it is about and what it holds.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use resource_broker_planner::{
    model::{
        question::{Questions, Template, TemplateAsk},
        snapshot::{Snapshot, Target},
    },
    plan::{About, Action, Budget, CopyRelated, Existing, Guard, Marks, Plan},
};
use resource_broker_plugin_types::{CopyContext, Deployed, Endpoint};
use serde_json::Value;

/// What is asked.
pub(crate) fn questions(snapshot: &Snapshot, questions: &Questions) -> String {
    let mut asked = Vec::new();
    if let Some(judge) = &questions.judge {
        let offers = judge.offers.iter().map(|index| &snapshot.offers[*index]);
        let names: Vec<String> =
            offers.map(|offer| format!("{} {}/{}", offer.provider, offer.namespace, offer.name)).collect();
        asked.push(format!("ask: which of {} accept it?\n", names.join(", ")));
    }
    if let Some(transform) = &questions.transform {
        let CopyContext { names, consumer_namespace, provider } = &transform.context;
        let place = if consumer_namespace.is_empty() { "the whole cluster" } else { consumer_namespace };
        let names: Vec<String> = names.iter().map(|pair| format!("{} as {}", pair.copy, pair.consumer)).collect();
        asked.push(format!("ask: what is shown in {place} of the copy at {provider}: {}?\n", names.join(", ")));
    }
    for judge in &questions.elsewhere {
        let view = judge.version.map(|index| &snapshot.versions[index]);
        let offers = view.map_or(&snapshot.offers, |view| &view.offers);
        let names = judge.offers.iter().map(|index| &offers[*index]);
        let names: Vec<String> =
            names.map(|offer| format!("{} {}/{}", offer.provider, offer.namespace, offer.name)).collect();
        let version = view.map(|view| format!(" as {}", view.version)).unwrap_or_default();
        asked.push(format!("ask: which of {} accept it{version}?\n", names.join(", ")));
    }
    asked.extend(questions.template.as_ref().map(template));
    if let Some(pods) = &questions.pods {
        asked.push(format!(
            "ask: which pods of {} in {} of {} live?\n",
            pods.jobs.join(", "),
            pods.namespace,
            pods.cluster
        ));
    }
    if !questions.places.is_empty() {
        let places: Vec<String> = questions.places.iter().map(ToString::to_string).collect();
        asked.push(format!("ask: what is {}?\n", places.join(", ")));
    }
    asked.concat()
}

fn template(template: &Template) -> String {
    let context = &template.context;
    let what = match &template.ask {
        TemplateAsk::Stages => "which stages are there?".into(),
        TemplateAsk::Render(stage) => format!("what does stage {stage} deploy?"),
        TemplateAsk::Assess(stage, deployed) => {
            let there = |Deployed { name, object }: &Deployed| {
                format!("{name} {}", if object.is_some() { "there" } else { "not there" })
            };
            let deployed: Vec<String> = deployed.iter().map(there).collect();
            format!("how does stage {stage} stand? [{}]", deployed.join(", "))
        }
    };
    let mirrors = |end: &Endpoint| {
        let mirrors: Vec<String> =
            end.related.iter().map(|mirror| format!(" {}={}", mirror.key, mirror.name)).collect();
        mirrors.concat()
    };
    format!(
        "ask migration {} in {} of {}: {what} from {}{} to {}{}\n",
        context.id,
        context.namespace,
        context.configuration,
        context.old.provider,
        mirrors(&context.old),
        context.new.provider,
        mirrors(&context.new)
    )
}

/// A plan.
pub(crate) fn plan(plan: &Plan, now: &Time) -> String {
    let mut lines = vec![format!("state: {}", plan.state.as_str())];
    lines.extend(plan.waits.iter().map(|wait| format!("wait: {wait}")));
    lines.extend(plan.again.map(|again| format!("again: in {again:?}")));
    lines.extend(plan.wants_place.then(|| "wants a place among the moves".into()));
    lines.extend(plan.fit.then(|| "the next copy is fit".into()));
    for (number, step) in plan.steps.iter().enumerate() {
        lines.extend(step.iter().map(|action| format!("{} {}", number + 1, self::action(action, now))));
    }
    if plan.steps.is_empty() {
        lines.push("nothing to write".into());
    }
    lines.join("\n")
}

fn action(action: &Action, now: &Time) -> String {
    match action {
        Action::CreateRecord { name, spec } => format!("create record {name}{}", spec_of(spec)),
        Action::UpdateRecord { name, uid, generation, spec, obeyed, budget, guards } => {
            let generation = generation.map(|is| format!(" at generation {is}")).unwrap_or_default();
            let uid = obeyed.map_or_else(|| uid.clone(), |annotation| format!("{uid} without {annotation}"));
            let budget = budget.as_ref().map(place).unwrap_or_default();
            format!("update record {name} ({uid}{generation}){budget}{}{}", spec_of(spec), conditional(guards))
        }
        Action::RecordStatus { name, uid, status } => {
            let copy = status.copy.as_ref().map_or("none", |copy| &copy.uid);
            let generation = status.observed_generation.map_or("none".into(), |generation| generation.to_string());
            let conditions = conditions(&status.conditions, now);
            let next = status.next.as_ref().map(|next| format!(", next {}", next.uid)).unwrap_or_default();
            format!("report on record {name} ({uid}): copy {copy}{next}, generation {generation}{conditions}")
        }
        Action::ReleaseMigration { name, uid, resource_version, keep } => {
            let keep = if keep.is_empty() { "nothing".into() } else { keep.join(", ") };
            format!("release migration {name} ({uid} at {resource_version}), keeping {keep}")
        }
        Action::CreateMigration { name, spec } => {
            format!("create migration {name}\n    {}", sorted(&serde_json::json!(spec)))
        }
        Action::MigrationStatus { name, uid, status, guards, .. } => {
            let mut rest = serde_json::json!(status);
            rest.as_object_mut().map(|rest| rest.remove("conditions"));
            let conditions = conditions(&status.conditions, now);
            let guards = conditional(guards);
            format!("report on migration {name} ({uid})\n    {}{conditions}{guards}", sorted(&rest))
        }
        Action::TakeOrders { name, uid, annotations } => {
            format!("take orders off migration {name} ({uid}): {}", annotations.join(", "))
        }
        Action::DeleteMigration { name, uid, guards } => {
            format!("delete migration {name} ({uid}){}", conditional(guards))
        }
        Action::Retain { target, uid, resource_version, finalizers } => {
            format!("retain {target} ({uid} at {resource_version}): {}", finalizers.join(", "))
        }
        Action::Deploy { target, body } => format!("deploy {target}\n    {}", sorted(body)),
        Action::DeleteRecord { name, uid, guards } => format!("delete record {name} ({uid}){}", conditional(guards)),
        Action::Decorate { target, uid, resource_version, finalizer, annotations, hand_over } => {
            let version = resource_version.as_ref().map(|version| format!(" at {version}")).unwrap_or_default();
            let marks = sorted(&serde_json::json!(annotations));
            let more = if *hand_over { ", and nothing more under the content's manager" } else { "" };
            format!("mark {target} ({uid}{version}): {finalizer} {marks}{more}")
        }
        Action::Unmark { target, uid, annotation } => format!("take a mark off {target} ({uid}): {annotation}"),
        Action::ReleaseFinalizer { target, uid, resource_version, keep, guards } => {
            let keep = if keep.is_empty() { "nothing".into() } else { keep.join(", ") };
            format!("release {target} ({uid} at {resource_version}), keeping {keep}{}", conditional(guards))
        }
        Action::ApplyCopy { target, uid, body, .. } => {
            format!("apply {target} ({})\n    {}", uid.as_deref().unwrap_or("new"), sorted(body))
        }
        Action::PutStatus { target, uid, status, .. } | Action::OfferStatus { target, uid, status, .. } => {
            status_of(target, uid, status, now)
        }
        Action::CopyRelated(request) => related(request),
        Action::Delete { target, uid, guards } => format!("delete {target} ({uid}){}", conditional(guards)),
        Action::Event(event) => {
            let about = match &event.about {
                About::Object(target, uid) => format!("{target} ({uid})"),
                About::Record(name, uid) => format!("record {name} ({uid})"),
                About::Migration(name, uid) => format!("migration {name} ({uid})"),
            };
            let kind = if event.warning { "warn" } else { "tell" };
            format!("{kind} {about}: {}: {}", event.reason, event.message)
        }
    }
}

fn place(budget: &Budget) -> String {
    let [from, to] = &budget.providers;
    format!(", if {from} and {to} have fewer than {} moves", budget.limit)
}

fn spec_of(spec: &resource_broker_api::AssignmentSpec) -> String {
    format!("\n    {}", sorted(&serde_json::json!(spec)))
}

fn status_of(target: &Target, uid: &str, status: &Value, now: &Time) -> String {
    let mut rest = status.clone();
    let listed = rest.as_object_mut().and_then(|rest| rest.remove("conditions"));
    let listed: Vec<Condition> = listed.and_then(|listed| serde_json::from_value(listed).ok()).unwrap_or_default();
    format!("put status of {target} ({uid}): {}{}", sorted(&rest), conditions(&listed, now))
}

fn conditions(conditions: &[Condition], now: &Time) -> String {
    let line = |condition: &Condition| {
        // Fractions of a second do not survive on an object.
        let is_new = condition.last_transition_time.0.as_second() == now.0.as_second();
        let since = if is_new { "since now" } else { "as before" };
        let generation = condition.observed_generation.map(|generation| format!(" of generation {generation}"));
        format!(
            "\n    {} {} {} ({since}{}): {}",
            condition.type_,
            condition.status,
            condition.reason,
            generation.unwrap_or_default(),
            condition.message
        )
    };
    conditions.iter().map(line).collect()
}

fn related(request: &CopyRelated) -> String {
    let existing = match &request.existing {
        Existing::NoneOfOurs => "where none of ours is".into(),
        Existing::Ours(there) => format!("over {}", there.uid()),
        Existing::Unknown => "over whatever is there".into(),
    };
    let (source, target) = (&request.source, &request.target);
    let keeps = if request.keep { ", and stays without its source" } else { "" };
    let marks = match &request.marks {
        Marks::Consumer { owner, record } => format!("owned by {} ({}), labelled {record}", owner.name, owner.uid),
        Marks::Mirror { id, .. } => format!("of migration {id}"),
    };
    format!("copy {source} to {target}, {existing}\n    {marks}{keeps}")
}

fn conditional(guards: &[Guard]) -> String {
    let guard = |guard: &Guard| match guard {
        Guard::Gone(target) => format!("\n    if {target} is gone"),
        Guard::NotThatOne(target, uid) => format!("\n    if {target} is not {uid}"),
        Guard::NoRecord(name) => format!("\n    if there is no record {name}"),
        Guard::NotNamed(name, copy) => format!("\n    if record {name} does not name {copy}"),
        Guard::Lives(target, uid) => format!("\n    if {target} is {uid}, and lives"),
    };
    guards.iter().map(guard).collect()
}

/// JSON with its keys in order, whatever the map that holds them.
fn sorted(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let mut names: Vec<&String> = map.keys().collect();
            names.sort_unstable();
            let fields: Vec<String> = names
                .into_iter()
                .map(|name| format!("{}: {}", Value::from(name.as_str()), sorted(&map[name.as_str()])))
                .collect();
            format!("{{{}}}", fields.join(", "))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(sorted).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}
