//! One stage of a migration after the other: approval, preconditions, what it deploys in the compute cluster, success, and the
//! end of what it deployed. What is deployed is written down first, so that it is found again, and carries a finalizer until its
//! end is written down: what somebody deletes while no broker looks has its status still.

use std::time::Duration;

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::SignedDuration};
use resource_broker_api::{
    GroupVersionKind,
    broker::{MigrationState, StageResource, StageState, StageStatus},
    conditions::reason,
    keys,
    object::Object,
};
use resource_broker_plugin_types::{Deployed, Stage, StageOutcome};
use serde_json::{Value, json};

use crate::{
    migration::{
        mirror::{self, held},
        pods,
        progress::Progress,
        rendered::Rendered,
        status_writer::{self, StatusWriter},
        under_way::{UnderWay, command, gvk, is_of, seen},
    },
    model::{
        question::{Questions, TemplateAsk},
        snapshot::{Target, View},
    },
    plan::{Action, findings::Finding},
};

type Step = Result<Progress, Box<Questions>>;

/// Takes the stages a step further.
pub(crate) fn advance(under_way: UnderWay<'_>, stages: &[Stage]) -> Step {
    let Some(current) = under_way.migration.status.stages.last() else {
        return Ok(enter(under_way, stages.first()));
    };
    let Some(index) = stages.iter().position(|stage| stage.name == current.name) else {
        let names: Vec<&str> = stages.iter().map(|stage| stage.name.as_str()).collect();
        return Ok(under_way.blocked(&format!(
            "stage {} is under way, and not among the stages any more ({}): put it back, or roll the migration back",
            current.name,
            names.join(", ")
        )));
    };
    let stage = &stages[index];
    match current.state {
        StageState::AwaitingApproval => Ok(approval(under_way, stage)),
        StageState::Waiting => match overdue(under_way, stage, current) {
            Some(why) => Ok(attempt_failed(under_way, stage, current, reason::STAGE_TIMED_OUT, &why)),
            None => remind(waiting(under_way, stage, current), under_way, stage, current),
        },
        StageState::Running => {
            if let Some(why) = lost(under_way, current) {
                return Ok(stopped(under_way, stage, current, reason::STAGE_RESOURCE_LOST, &why));
            }
            let step = running(under_way, stage, current)?;
            // What ended while nobody looked has succeeded or failed all the same.
            let ended = match &under_way.answers.outcome {
                Some(Ok(StageOutcome::Succeeded | StageOutcome::Failed(_))) => true,
                Some(Ok(StageOutcome::Ready)) => current.resources.is_empty(),
                Some(Ok(StageOutcome::Waiting(_)) | Err(_)) | None => false,
            };
            match overdue(under_way, stage, current).filter(|_| !ended) {
                Some(why) => Ok(attempt_failed(under_way, stage, current, reason::STAGE_TIMED_OUT, &why)),
                None => remind(Ok(step), under_way, stage, current),
            }
        }
        StageState::Retrying => retrying(under_way, current),
        StageState::Succeeded => Ok(match clean(under_way, current)? {
            Some(progress) => progress,
            None => enter(under_way, stages.get(index + 1)),
        }),
        // The migration's own state tells of it, and it is not looked at further.
        StageState::Failed => Ok(Progress::wait("its stage failed")),
    }
}

/// The next stage begins; after the last one the new copy takes over.
fn enter(under_way: UnderWay<'_>, stage: Option<&Stage>) -> Progress {
    let mut writer = under_way.writer();
    let Some(stage) = stage else {
        let message = "all stages are done; the new copy takes over when it is ready";
        writer.status().stage = None;
        writer.reach(MigrationState::CutoverInProgress, message).progressing(&Finding::yes(reason::CUTOVER, message));
        return Progress::act(message, writer.write());
    };
    if under_way.migration.status.state == Some(MigrationState::Pending) {
        writer.reach(MigrationState::InitialInProgress, "the stages begin");
    }
    let begun = StageStatus { name: stage.name.clone(), attempt: 1, ..StageStatus::default() };
    writer.enter(if stage.approval {
        StageStatus { state: StageState::AwaitingApproval, ..begun }
    } else {
        StageStatus { started_at: Some(under_way.snapshot.now.clone()), ..begun }
    });
    Progress::act(format!("stage {} begins", stage.name), writer.write())
}

fn approval(under_way: UnderWay<'_>, stage: &Stage) -> Progress {
    let given = under_way.migration.orders.get(keys::MIGRATION_APPROVE);
    // Who takes the demand out of the configuration has approved it, too.
    if given == Some(&stage.name) || !stage.approval {
        let mut writer = under_way.writer();
        begin_attempt(&mut writer, &under_way.snapshot.now, 1);
        return Progress::act(format!("stage {} is approved", stage.name), writer.write());
    }
    let other = given.map(|given| format!(" (what was approved is {given:?})")).unwrap_or_default();
    under_way.waits(
        reason::AWAITING_APPROVAL,
        format!(
            "a person has to approve it{other}: {}, or annotate the Migration {} with {}={}",
            command("approve", under_way.migration),
            under_way.migration.name,
            keys::MIGRATION_APPROVE,
            stage.name,
        ),
    )
}

fn begin_attempt(writer: &mut StatusWriter<'_>, now: &Time, attempt: u32) {
    writer.stage(|stage| {
        stage.state = StageState::Waiting;
        stage.attempt = attempt;
        stage.started_at = Some(now.clone());
        stage.resources.clear();
    });
}

/// The time since an attempt began.
fn lasted(under_way: UnderWay<'_>, current: &StageStatus) -> Option<SignedDuration> {
    Some(under_way.snapshot.now.0.duration_since(current.started_at.as_ref()?.0))
}

/// After how long an attempt has failed; `None`: never.
fn timeout_of(stage: &Stage) -> Option<Duration> {
    stage.timeout_seconds.map(|seconds| Duration::from_secs(seconds.into()))
}

/// Why an attempt has taken too long.
fn overdue(under_way: UnderWay<'_>, stage: &Stage, current: &StageStatus) -> Option<String> {
    let timeout = timeout_of(stage)?;
    let limit = SignedDuration::try_from(timeout).ok()?;
    (lasted(under_way, current)? >= limit).then(|| {
        let last = status_writer::last_told(&under_way.migration.status, &stage.name);
        let last = last.map(|last| format!("; {last}")).unwrap_or_default();
        format!("it took longer than its timeout of {} s{last}", timeout.as_secs())
    })
}

/// Looks again when the stage's timeout is over.
fn remind(step: Step, under_way: UnderWay<'_>, stage: &Stage, current: &StageStatus) -> Step {
    let rest = timeout_of(stage).map(|timeout| {
        let lasted = lasted(under_way, current).and_then(|lasted| Duration::try_from(lasted).ok()).unwrap_or_default();
        // Times are written in whole seconds: a moment late is better than too early.
        timeout.saturating_sub(lasted) + Duration::from_millis(50)
    });
    Ok(step?.again_in(rest))
}

fn waiting(under_way: UnderWay<'_>, stage: &Stage, current: &StageStatus) -> Step {
    let Some(outcome) = &under_way.answers.outcome else {
        return Err(under_way.ask(TemplateAsk::Assess(stage.name.clone(), Vec::new())));
    };
    let outcome = match under_way.answered(outcome) {
        Ok(outcome) => outcome,
        Err(progress) => return Ok(progress),
    };
    match outcome {
        StageOutcome::Waiting(why) => Ok(under_way.waits(reason::STAGE_WAITING, why.clone())),
        StageOutcome::Failed(why) => Ok(attempt_failed(under_way, stage, current, reason::STAGE_FAILED, why)),
        StageOutcome::Succeeded => Ok(succeed(under_way, stage)),
        StageOutcome::Ready => {
            let manifests = match manifests(under_way, stage)? {
                Ok(manifests) => manifests,
                Err(progress) => return Ok(progress),
            };
            let mut writer = under_way.writer();
            writer.stage(|status| {
                status.state = StageState::Running;
                status.retained = true;
                status.resources = manifests.iter().map(|template| resource(under_way.id(), template)).collect();
            });
            Ok(Progress::act(format!("stage {} begins", stage.name), writer.write()))
        }
    }
}

fn manifests(under_way: UnderWay<'_>, stage: &Stage) -> Result<Result<Vec<Rendered>, Progress>, Box<Questions>> {
    match &under_way.answers.manifests {
        Some(manifests) => Ok(under_way.answered(manifests).and_then(|manifests| {
            let templates = manifests.iter().map(Rendered::read).collect::<Result<Vec<_>, _>>().and_then(|templates| {
                let strange = templates.iter().find_map(|template| mirror::strange_reference(under_way, template));
                strange.map_or(Ok(templates), Err)
            });
            templates.map_err(|why| under_way.blocked(&format!("stage {}: {why}", stage.name)))
        })),
        None => Err(under_way.ask(TemplateAsk::Render(stage.name.clone()))),
    }
}

fn resource(id: &str, template: &Rendered) -> StageResource {
    let text = |field: &str| template.body[field].as_str().unwrap_or_default();
    let (group, version) = text("apiVersion").split_once('/').unwrap_or(("", text("apiVersion")));
    StageResource {
        template: template.name.clone(),
        gvk: GroupVersionKind { group: group.into(), version: version.into(), kind: text("kind").into() },
        name: format!("{id}-{}", template.name),
        uid: None,
    }
}

/// Why it cannot be known whether what a stage deployed did its work: it is gone, and its end is not written down.
fn lost(under_way: UnderWay<'_>, current: &StageStatus) -> Option<String> {
    let compute = &under_way.snapshot.migration.compute;
    let (cluster, namespace) = (&compute.cluster, &compute.namespace);
    current.resources.iter().find_map(|resource| {
        let what = format!("{} {} in namespace {namespace} of {cluster}", resource.gvk.kind, resource.name);
        match (shown(under_way, resource), &resource.uid) {
            (Shown::There(there), Some(uid)) if there.uid() != uid => {
                Some(format!("{what} is another object (UID {}) than the one that was deployed (UID {uid})", there.uid()))
            }
            (Shown::Absent, Some(uid)) => Some(format!(
                "{what} (UID {uid}) is gone although the broker's finalizer was on it, and its end was not seen"
            )),
            (Shown::Absent, None) if !current.retained => Some(format!(
                "{what}, which an earlier release of the broker deployed or was about to, is not there, and its end was not seen"
            )),
            _ => None,
        }
    })
}

fn is_retained(object: &Object) -> bool {
    object.finalizers().iter().any(|held| held == keys::STAGE_FINALIZER)
}

/// Takes an object away whose end is written down, or does not matter any more: the finalizer first, then the object. The steps
/// are carried out one after the other.
pub(crate) fn take_away(target: &Target, object: &Object, steps: &mut [Vec<Action>; 2]) {
    let uid = object.uid().to_owned();
    if is_retained(object) {
        let others = object.finalizers().iter().filter(|held| *held != keys::STAGE_FINALIZER);
        steps[0].push(Action::ReleaseFinalizer {
            target: target.clone(),
            uid: uid.clone(),
            resource_version: object.resource_version().to_owned(),
            keep: others.cloned().collect(),
            guards: Vec::new(),
        });
    }
    if !object.is_deleting() {
        steps[1].push(Action::Delete { target: target.clone(), uid, guards: Vec::new() });
    }
}

/// Puts the finalizer on what an earlier release deployed.
fn retain(target: Target, object: &Object) -> Action {
    let finalizers = object.finalizers().iter().cloned().chain([keys::STAGE_FINALIZER.to_owned()]);
    Action::Retain {
        target,
        uid: object.uid().to_owned(),
        resource_version: object.resource_version().to_owned(),
        finalizers: finalizers.collect(),
    }
}

/// Whether a Job that somebody deleted never ends: its controller makes no pods for it any more, and counts on none.
fn stands_still(resource: &StageResource, job: &Object) -> bool {
    if !pods::is_job(resource) {
        return false;
    }
    let status = job.field("status").unwrap_or_default();
    let is_ending = |condition: &Value| {
        let type_ = condition["type"].as_str().unwrap_or_default();
        condition["status"] == "True" && ["Complete", "Failed", "SuccessCriteriaMet", "FailureTarget"].contains(&type_)
    };
    let count = |value: &Value| value.as_i64().unwrap_or_default();
    let uncounted = |of: &str| status["uncountedTerminatedPods"][of].as_array().is_some_and(|pods| !pods.is_empty());
    let completions = job.field("spec").map_or(1, |spec| spec["completions"].as_i64().unwrap_or(1));
    !status["conditions"].as_array().is_some_and(|all| all.iter().any(is_ending))
        && count(&status["active"]) == 0
        && count(&status["succeeded"]) < completions
        && !uncounted("succeeded")
        && !uncounted("failed")
}

/// What the compute cluster shows of a stage's resource.
enum Shown<'a> {
    There(&'a Object),
    Absent,
    /// It can never be there.
    Impossible(Progress),
    Wait(Progress),
}

fn shown<'a>(under_way: UnderWay<'a>, resource: &StageResource) -> Shown<'a> {
    let compute = &under_way.snapshot.migration.compute;
    let gvk = gvk(&resource.gvk);
    let wait = |why: String| Shown::Wait(under_way.waits(reason::STAGE_RUNNING, why));
    let Some(kind) = compute.kinds.get(&gvk) else {
        return wait(format!("{gvk} is looked for in {}", compute.cluster));
    };
    if kind.namespaced == Some(false) {
        return Shown::Impossible(under_way.blocked(&format!(
            "template {} is a {gvk}, which does not live in a namespace: stages deploy into {} {} alone",
            resource.template, compute.cluster, compute.namespace
        )));
    }
    if let View::Unknown { why, failing } = &kind.read {
        let text = format!("{gvk} in {} {} cannot be seen: {why}", compute.cluster, compute.namespace);
        return if *failing { Shown::Wait(under_way.blocked(&text)) } else { wait(text) };
    }
    seen(under_way, resource).map_or(Shown::Absent, Shown::There)
}

fn running(under_way: UnderWay<'_>, stage: &Stage, current: &StageStatus) -> Step {
    let mut deployed = Vec::new();
    let mut missing = Vec::new();
    let mut impossible = None;
    let mut going = Vec::new();
    let mut retained = Vec::new();
    let mut strange = (Vec::new(), <[Vec<Action>; 2]>::default());
    for resource in &current.resources {
        match shown(under_way, resource) {
            Shown::Wait(progress) => return Ok(progress),
            Shown::Absent => missing.push(resource),
            Shown::Impossible(progress) => {
                missing.push(resource);
                impossible = Some(progress);
            }
            Shown::There(object) if !is_of(object, &current.name) => {
                strange.0.push(held(&resource.gvk.kind, object));
                take_away(&target(under_way, resource), object, &mut strange.1);
            }
            Shown::There(object) => {
                if object.is_deleting() {
                    going.push((resource, object));
                } else if !is_retained(object) {
                    retained.push(retain(target(under_way, resource), object));
                }
                let gvk = gvk(&resource.gvk);
                let object = Some(object.to_json(&gvk.api_version(), &gvk.kind));
                deployed.push(Deployed { name: resource.template.clone(), object });
            }
        }
    }
    if !strange.0.is_empty() {
        let message = format!("{}, which another stage has left, goes first", strange.0.join(", "));
        let [released, deleted] = strange.1;
        return Ok(under_way.waits(reason::STAGE_RUNNING, message).then(released).then(deleted));
    }
    if !missing.is_empty() {
        return deploy(under_way, stage, current, &missing, impossible);
    }
    let nothing_deployed = deployed.is_empty();
    let Some(outcome) = &under_way.answers.outcome else {
        return Err(under_way.ask(TemplateAsk::Assess(stage.name.clone(), deployed)));
    };
    let why = match under_way.answered(outcome) {
        Err(progress) => return Ok(progress.then(retained)),
        Ok(StageOutcome::Failed(why)) => {
            return Ok(attempt_failed(under_way, stage, current, reason::STAGE_FAILED, why));
        }
        Ok(StageOutcome::Succeeded) => return Ok(succeed(under_way, stage)),
        // A stage that deploys nothing is done when it may be deployed.
        Ok(StageOutcome::Ready) if nothing_deployed => return Ok(succeed(under_way, stage)),
        Ok(StageOutcome::Ready) => "its success is waited for",
        Ok(StageOutcome::Waiting(why)) => why.as_str(),
    };
    if going.is_empty() {
        return Ok(under_way.waits(reason::STAGE_RUNNING, why.to_owned()).then(retained));
    }
    let still: Vec<&StageResource> =
        going.iter().filter(|(resource, job)| stands_still(resource, job)).map(|(resource, _)| *resource).collect();
    if let Some(first) = still.first() {
        if let Some(progress) = pods::ending(under_way, still.iter().copied(), reason::STAGE_RUNNING)? {
            return Ok(progress.then(retained));
        }
        let why = format!("Job {} was deleted before it had ended, and no pod of it runs any more", first.name);
        return Ok(attempt_failed(under_way, stage, current, reason::STAGE_FAILED, &why));
    }
    let names: Vec<String> = going.iter().map(|(resource, object)| held(&resource.gvk.kind, object)).collect();
    let message = format!(
        "{why}; somebody deleted {}, which goes on as far as it can, and goes away when its end is seen",
        names.join(", ")
    );
    Ok(under_way.waits(reason::STAGE_RUNNING, message).then(retained))
}

/// Deploys what is not there. What the stage makes by now is written down first, where that is something else than before; where
/// it is not, what is `impossible` stays so.
fn deploy(
    under_way: UnderWay<'_>,
    stage: &Stage,
    current: &StageStatus,
    missing: &[&StageResource],
    impossible: Option<Progress>,
) -> Step {
    let manifests = match manifests(under_way, stage)? {
        Ok(manifests) => manifests,
        Err(progress) => return Ok(progress),
    };
    let id = under_way.id();
    let made: Vec<StageResource> = manifests.iter().map(|template| resource(id, template)).collect();
    let there = current.resources.iter().filter(|resource| !missing.contains(resource));
    let is_made = |there: &StageResource| made.iter().any(|made| made.is_same(there));
    let mut wanted: Vec<StageResource> = there.filter(|there| !is_made(there)).cloned().collect();
    wanted.extend(made.iter().map(|made| {
        let known = current.resources.iter().find(|known| known.is_same(made));
        known.unwrap_or(made).clone()
    }));
    let (mut before, mut after) = (current.resources.clone(), wanted.clone());
    before.sort();
    after.sort();
    if before != after {
        let mut writer = under_way.writer();
        writer.stage(|status| status.resources = wanted);
        return Ok(Progress::act("what the stage deploys is written down", writer.write()));
    }
    if let Some(progress) = impossible {
        return Ok(progress);
    }
    let due: Vec<_> =
        manifests.iter().zip(&made).filter(|(_, made)| missing.iter().any(|it| it.is_same(made))).collect();
    // A Job that somebody deleted by hand may have left some.
    if let Some(progress) = pods::ending(under_way, due.iter().map(|(_, made)| *made), reason::STAGE_RUNNING)? {
        return Ok(progress);
    }
    let actions = due.into_iter().map(|(template, made)| deployment(under_way, stage, template, made)).collect();
    Ok(under_way.waits(reason::STAGE_RUNNING, "it is being deployed".into()).then(actions))
}

fn deployment(under_way: UnderWay<'_>, stage: &Stage, template: &Rendered, made: &StageResource) -> Action {
    let compute = &under_way.snapshot.migration.compute;
    let mut body = template.body.clone();
    let given = |field: &str| body["metadata"].get(field).filter(|value| value.is_object()).cloned();
    let (mut labels, mut annotations) =
        (given("labels").unwrap_or_else(|| json!({})), given("annotations").unwrap_or_else(|| json!({})));
    labels[keys::MIGRATION_STAGE] = stage.name.as_str().into();
    labels[keys::MIGRATION_ID] = under_way.id().into();
    if let Some(broker) = &under_way.snapshot.broker {
        annotations[keys::BROKER] = broker.as_ref().into();
    }
    let mut metadata = json!({
        "name": made.name, "namespace": compute.namespace, "labels": labels, "finalizers": [keys::STAGE_FINALIZER],
    });
    if annotations.as_object().is_some_and(|annotations| !annotations.is_empty()) {
        metadata["annotations"] = annotations;
    }
    body["metadata"] = metadata;
    Action::Deploy { target: target(under_way, made), body }
}

fn target(under_way: UnderWay<'_>, resource: &StageResource) -> Target {
    let compute = &under_way.snapshot.migration.compute;
    Target::new(compute.cluster.clone(), gvk(&resource.gvk), Some(compute.namespace.clone()), resource.name.clone())
}

fn succeed(under_way: UnderWay<'_>, stage: &Stage) -> Progress {
    let mut writer = under_way.writer();
    let now = under_way.snapshot.now.clone();
    writer.stage(|status| {
        status.state = StageState::Succeeded;
        status.completed_at = Some(now);
        status.message = None;
    });
    let next = match under_way.migration.status.state {
        Some(MigrationState::InitialInProgress) => Some((
            MigrationState::InitialCompleted,
            "the consumer gets the new provider's related resources from now on",
        )),
        Some(MigrationState::InitialCompleted) => Some((
            MigrationState::CutoverInProgress,
            "the new copy takes over when all stages are done and it is ready",
        )),
        _ => None,
    };
    if let Some((state, message)) = next.filter(|_| stage.progress) {
        writer.reach(state, message);
    }
    Progress::act(format!("stage {} is done", stage.name), writer.write())
}

fn attempt_failed(under_way: UnderWay<'_>, stage: &Stage, current: &StageStatus, why: &str, message: &str) -> Progress {
    if current.attempt > stage.retries {
        return stopped(under_way, stage, current, why, message);
    }
    let mut writer = under_way.writer();
    writer.stage(|status| {
        status.message = Some(message.to_owned());
        status.state = StageState::Retrying;
        status.completed_at = None;
    });
    Progress::act(format!("stage {} failed: {message}", stage.name), writer.write())
}

/// The stage has failed, and nothing goes on until a person orders something.
fn stopped(under_way: UnderWay<'_>, stage: &Stage, current: &StageStatus, why: &str, message: &str) -> Progress {
    let mut writer = under_way.writer();
    let now = under_way.snapshot.now.clone();
    writer.stage(|status| {
        status.message = Some(message.to_owned());
        status.state = StageState::Failed;
        status.completed_at = Some(now);
    });
    let migration = under_way.migration;
    let (from, to) = (&migration.spec.from.cluster_name, &migration.spec.to.cluster_name);
    let (retry, rollback) = (command("retry", migration), command("rollback", migration));
    let next = if why == reason::STAGE_RESOURCE_LOST {
        format!(
            "whether it did its work cannot be known, so it is not run a second time by itself: look at the data at {to}; \
             {retry} runs the stage again, {rollback} gives the migration up"
        )
    } else {
        format!("what the stage deployed stays to be looked at: {retry} tries again, {rollback} gives it up")
    };
    let told =
        format!("stage {} failed at attempt {}: {message}; {from} serves on, and {next}", stage.name, current.attempt);
    writer.fail(why, &told);
    Progress::act(format!("stage {} failed: {message}", stage.name), writer.write())
}

fn retrying(under_way: UnderWay<'_>, current: &StageStatus) -> Step {
    if let Some(progress) = clean(under_way, current)? {
        return Ok(progress);
    }
    let mut writer = under_way.writer();
    begin_attempt(&mut writer, &under_way.snapshot.now, current.attempt.saturating_add(1));
    Ok(Progress::act(format!("stage {} is tried again", current.name), writer.write()))
}

/// A failed migration's stage is tried again from its first attempt.
pub(crate) fn retry(mut writer: StatusWriter<'_>) -> Vec<Action> {
    writer.take_back_failure();
    writer.stage(|stage| {
        stage.state = StageState::Retrying;
        stage.attempt = 0;
        stage.completed_at = None;
    });
    writer.write()
}

/// Takes away what a stage deployed; `None` once that is gone, and the pods of its Jobs have ended: they must not meet what
/// comes next.
fn clean(under_way: UnderWay<'_>, current: &StageStatus) -> Result<Option<Progress>, Box<Questions>> {
    let mut steps = <[Vec<Action>; 2]>::default();
    let mut left = Vec::new();
    for resource in &current.resources {
        match shown(under_way, resource) {
            Shown::Absent | Shown::Impossible(_) => {}
            Shown::Wait(progress) => return Ok(Some(progress)),
            Shown::There(object) => {
                left.push(held(&resource.gvk.kind, object));
                take_away(&target(under_way, resource), object, &mut steps);
            }
        }
    }
    if left.is_empty() {
        return pods::ending(under_way, &current.resources, reason::CLEANING);
    }
    let compute = &under_way.snapshot.migration.compute;
    let message = format!(
        "what it deployed is taken away from namespace {} of {}: {}",
        compute.namespace,
        compute.cluster,
        left.join(", ")
    );
    let [released, deleted] = steps;
    Ok(Some(under_way.waits(reason::CLEANING, message).then(released).then(deleted)))
}
