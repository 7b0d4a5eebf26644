//! An object's way from a provider that does not take it any more to one that does: where it goes, the copy there, when that one
//! takes over, and the ways back.
//!
//! Each step is one write of the record, so that a process that ends at any moment leaves nothing in between:
//!
//! ```text
//!   at A ── begin ──> at A, next B ── switch ──> at B, previous A ── (leave) ──> at B
//!    ^                    │   │
//!    │                    │   └── retarget ──> at A, next C, previous B
//!    └──── (leave) ──── abandon: at A, previous B
//! ```

use std::{sync::Arc, time::Duration};

use resource_broker_api::{
    broker::{AssignmentSpec, ProviderRef},
    conditions::reason,
    names::ClusterName,
    object::Object,
};
use serde_json::Value;

use crate::{
    migration::{
        migrate,
        progress::{self, Progress},
    },
    model::{
        declared::word,
        question::{Answers, Questions},
        snapshot::{Offer, Part, Placement, Record, RelatedView, Snapshot, UNREAD, View, Watched},
    },
    placement::{
        acceptance::{self, Acceptance, Refusal, Said},
        alternatives::{self, Answered, Choice},
        candidates, references,
    },
    plan::{
        About, Action, Budget, Event, Plan, State,
        findings::{self, Finding},
        text::{self, MAX_EVENT},
        writes,
    },
    sync::{
        claims, copy,
        leftovers::{self, left},
        marks, related,
        service::{Moving, Service, serve},
        status,
    },
};

/// How long the new provider has to declare what the old one declares, once it is ready.
const DECLARING: Duration = Duration::from_secs(10);
/// When a move that waits for something which no watch shows looks again.
const UNSEEN: Duration = Duration::from_secs(10);
/// When a move that waits for its turn looks again, should nobody call it.
const TURN: Duration = Duration::from_secs(30);

/// How many of the moves are named that others wait for.
const NAMED: usize = 3;

type Planned = Result<Plan, Box<Questions>>;

/// An object that a provider has, with what its pass is about.
#[derive(Clone, Copy)]
pub(crate) struct Held<'a> {
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) consumer: &'a Arc<Object>,
    pub(crate) record: &'a Arc<Record>,
    pub(crate) provider: &'a ClusterName,
    /// The offers of the first question.
    pub(crate) asked: &'a [usize],
    pub(crate) answers: &'a Answers,
}

impl Held<'_> {
    fn serve(&self, service: Service<'_>, plan: Plan) -> Plan {
        serve(self.snapshot, self.consumer, self.record, service, self.answers, plan)
    }

    /// The copy stays as it was.
    pub(crate) fn freeze(&self, accepted: Finding, plan: Plan) -> Plan {
        self.serve(Service { provider: self.provider, accepted, frozen: true, moving: None }, plan)
    }

    fn update(&self, spec: AssignmentSpec) -> Action {
        writes::update(self.record, spec, Vec::new())
    }

    /// An Event for people who look at the object or its record.
    fn tell(&self, reason: &str, message: &str) -> [Action; 2] {
        let object = About::Object(self.snapshot.key.target(), self.consumer.uid().into());
        let record = About::Record(self.record.name.clone(), self.record.uid.clone());
        [object, record].map(|about| {
            let (reason, message) = (reason.to_owned(), text::clip(message, MAX_EVENT));
            Action::Event(Event { about, warning: false, reason, message })
        })
    }

    fn version(&self) -> &str {
        &self.snapshot.key.gvk.version
    }
}

/// The provider refuses the object, and nothing moves yet.
pub(crate) fn refused(held: Held<'_>, refusal: &Refusal) -> Planned {
    let Held { snapshot, consumer, record, provider, asked, answers } = held;
    let stays = "nothing is torn down, and the copy there stays as it was";
    let finding = |then: &str| refusal.finding(snapshot, provider, then);
    let mut plan = Plan::default();
    if matches!(refusal, Refusal::Detached | Refusal::Changed(_)) {
        return Ok(held.freeze(finding(stays), plan));
    }
    if migrate::is_rolled_back(snapshot, consumer, provider) {
        let then = format!(
            "{stays}, as was ordered with the rollback of its migration; it moves when it changes, or when an administrator has \
             the migration tried again (Migration {})",
            record.name
        );
        let accepted = Finding { reason: reason::MOVE_ROLLED_BACK.into(), ..finding(&then) };
        return Ok(held.freeze(accepted, plan));
    }
    if let Some(rest) = acceptance::rest(snapshot, consumer, provider) {
        plan.again_in(rest);
        let then = format!("{stays}; it moves if that lasts {} s", snapshot.limits.settle.as_secs());
        return Ok(held.freeze(finding(&then), plan));
    }
    if let Some(why) = references::held(snapshot) {
        let then = format!("{stays}; {why}");
        return Ok(held.freeze(Finding { reason: reason::HELD_BY_REFERENCE.into(), ..finding(&then) }, plan));
    }
    if let View::Unknown { why, .. } = &snapshot.migration.object {
        // One of them may say that it was ordered to stay.
        plan.again_in(UNREAD);
        return Ok(held.freeze(finding(&format!("{stays}; Migrations cannot be read: {why}")), plan));
    }
    let said = alternatives::answers(snapshot, consumer, asked, answers)?;
    match alternatives::choose(snapshot, record, &[provider], &said) {
        Choice::To(offer, version) if offer.provider == *provider => Ok(other_version(held, &offer, version)),
        Choice::To(offer, version) => Ok(match full(snapshot, provider, &offer.provider) {
            Some(why) => {
                plan.wants_place = true;
                plan.again_in(TURN);
                let refused = finding(&format!("{} takes it, but {}; {stays}", offer.provider, why.message));
                let inside = Some(why.movers.clone());
                held.freeze(Finding { reason: reason::WAITS_FOR_TURN.into(), inside, ..refused }, plan)
            }
            None => begin(held, &offer, version),
        }),
        Choice::Nowhere(why) => Ok(held.freeze(finding(&format!("{stays}; {why}")), plan)),
        Choice::Unknown(why) => {
            let message = format!(
                "{}; whether another provider takes it cannot be told: {}",
                finding(stays).message,
                why.message
            );
            Ok(held.freeze(Finding { message, ..why }, plan))
        }
    }
}

/// Why a move must wait for others to end.
struct Full {
    message: String,
    /// Who they are, which is not for other objects' owners to know.
    movers: String,
}

fn full(snapshot: &Snapshot, from: &ClusterName, to: &ClusterName) -> Option<Full> {
    let limit = snapshot.limits.moves_per_provider;
    let is_full = |provider: &&ClusterName| snapshot.moves.get(*provider).is_some_and(|moves| moves.count >= limit);
    let provider = [from, to].into_iter().find(is_full)?;
    let moves = snapshot.moves.get(provider)?;
    let objects = if limit == 1 { "1 object moves".to_owned() } else { format!("{limit} objects move") };
    let message =
        format!("{objects} from or to {provider} already (--max-moves-per-provider), and it waits for its turn");
    let named: Vec<&str> = moves.names.iter().take(NAMED).map(String::as_str).collect();
    let more = if moves.count > named.len() { ", …" } else { "" };
    Some(Full { message, movers: format!("Assignments of those: {}{more}", named.join(", ")) })
}

/// The same provider takes the object in another version of its kind: the copy is the same object.
fn other_version(held: Held<'_>, offer: &Offer, version: Option<String>) -> Plan {
    let mut spec = held.record.spec.clone();
    spec.provider = alternatives::stays(&spec.provider, offer, None);
    pin_previous(&mut spec);
    if let Some(version) = version {
        spec.consumer.version = version;
    }
    let mut plan = Plan { state: State::Placed, ..Plan::default() };
    plan.then([held.update(spec)]);
    plan
}

/// Entries without a version are of the object's: they say it themselves before that changes.
fn pin_previous(spec: &mut AssignmentSpec) {
    let version = spec.consumer.version.clone();
    for place in &mut spec.previous {
        place.version.get_or_insert_with(|| version.clone());
    }
}

fn begin(held: Held<'_>, offer: &Offer, version: Option<String>) -> Plan {
    let Held { snapshot, consumer, record, provider, .. } = held;
    let next = candidates::place(snapshot, offer, version);
    let spec = AssignmentSpec { next: Some(next), ..record.spec.clone() };
    let mut plan = Plan { state: State::Moving, ..Plan::default() };
    plan.then([start(held, spec, &offer.provider)]);
    let token = record.spec.consumer.token.as_deref();
    plan.then(marks::mark(snapshot, consumer, token, provider, Some(&offer.provider)));
    let message = format!("{provider} does not take this object any more; it moves to {}", offer.provider);
    plan.then(held.tell(reason::MOVING, &message));
    plan
}

/// The write with which a move to `to` begins, which takes a place among those of its providers.
fn start(held: Held<'_>, spec: AssignmentSpec, to: &ClusterName) -> Action {
    let budget =
        Budget { providers: [held.provider.clone(), to.clone()], limit: held.snapshot.limits.moves_per_provider };
    Action::UpdateRecord {
        name: held.record.name.clone(),
        uid: held.record.uid.clone(),
        generation: held.record.generation,
        spec: Box::new(spec),
        obeyed: None,
        budget: Some(budget),
        guards: Vec::new(),
    }
}

/// The object is not going to `next` any more.
fn turn_away(held: Held<'_>, next: &ProviderRef, to: Option<ProviderRef>) -> AssignmentSpec {
    let mut spec = AssignmentSpec { next: to, ..held.record.spec.clone() };
    let known = held.snapshot.own_next_copy().map(|copy| copy.uid());
    let uid = known.or_else(|| held.record.next_uid());
    let version = next.version.as_deref().unwrap_or(held.version());
    spec.previous.push(left(next, version, uid));
    spec
}

/// The object stays where it is.
pub(crate) fn abandon(held: Held<'_>, next: &ProviderRef, why: &str) -> Plan {
    let mut plan = Plan { state: State::Placed, ..Plan::default() };
    plan.then(migrate::abandon(held.snapshot, why, None));
    plan.then([held.update(turn_away(held, next, None))]);
    let message = format!("it does not move to {}, and stays at {}: {why}", next.cluster, held.provider);
    plan.then(held.tell(reason::MOVE_ABANDONED, &message));
    plan
}

/// The object is on its way to `next`.
pub(crate) fn on_the_way(held: Held<'_>, next: &ProviderRef, acceptance: &Acceptance) -> Planned {
    let Held { snapshot, consumer, record, provider, asked, answers } = held;
    let Some(to) = record.next() else {
        return Ok(Plan::wait(State::Blocked, format!("Assignment {} names no next provider cluster", record.name)));
    };
    let is_back = matches!(acceptance, Acceptance::Accepted(_));
    let rest = acceptance::rest_of_return(snapshot, consumer, provider).filter(|_| is_back);
    if is_back && rest.is_none() {
        return Ok(abandon(held, next, "its provider takes it again"));
    }
    // A person's order is followed also where the next provider cannot be reached.
    match migrate::rollback(snapshot, consumer, record) {
        Some(Progress::RollBack(why)) => return Ok(abandon(held, next, &why)),
        Some(Progress::Wait { why, steps, .. }) => {
            return Ok(Plan { steps, waits: vec![why], state: State::Moving, ..Plan::default() });
        }
        Some(Progress::Switch) | None => {}
    }
    if let Some(lost) = migrate::lost_copy(snapshot, record) {
        let why = format!("the copy at {to} was replaced, and its migration begins anew");
        return Ok(Plan { steps: vec![lost], waits: vec![why], state: State::Moving, ..Plan::default() });
    }
    let mut plan = Plan::default();
    let answered;
    let said = if next.version.is_some() {
        answered = alternatives::answers(snapshot, consumer, asked, answers)?;
        in_other_version(snapshot, &answered, next, &to)
    } else {
        acceptance::said(snapshot, asked, answers, &to)
    };
    let at_next = acceptance::acceptance(snapshot, next, &to, &said);
    match &at_next {
        Acceptance::Accepted(_) => plan.judged.push((to.clone(), true)),
        Acceptance::Refused(_) => plan.judged.push((to.clone(), false)),
        Acceptance::Unknown(..) => {}
    }
    if let Some(rest) = rest {
        plan.again_in(rest);
        return Ok(hesitate(held, &to, plan));
    }
    match at_next {
        Acceptance::Accepted(other) => go_on(held, next, &to, other.as_deref(), plan),
        Acceptance::Unknown(doubt, why) => {
            let why = doubt.as_ref().map_or(why, |doubt| doubt.message.clone());
            Ok(stall(held, &to, &why, doubt.as_ref(), plan))
        }
        Acceptance::Refused(refusal) => turned_down(held, next, &to, &refusal, plan),
    }
}

/// The provider that is being left takes the object again, which may not last: until that is known, neither this provider nor
/// the next one loses anything.
fn hesitate(held: Held<'_>, to: &ClusterName, plan: Plan) -> Plan {
    let provider = held.provider;
    let settle = held.snapshot.limits.settle.as_secs();
    let why = format!("{provider} takes it again; the move is abandoned if that lasts {settle} s");
    let accepted = Finding::yes(
        reason::ACCEPTED,
        format!("{provider} takes this object again, which is on its way to {to}; it stays if that lasts {settle} s"),
    );
    stand_still(held, to, &why, accepted, plan)
}

/// The next provider does not take the object any more.
fn turned_down(held: Held<'_>, next: &ProviderRef, to: &ClusterName, refusal: &Refusal, mut plan: Plan) -> Planned {
    let Held { snapshot, consumer, record, provider, asked, answers } = held;
    if let Refusal::Changed(_) = refusal {
        let doubt = refusal.finding(snapshot, to, "");
        return Ok(stall(held, to, &doubt.message, Some(&doubt), plan));
    }
    let why = format!("{to} does not take it any more: {}", refusal.words());
    if let Some(rest) = acceptance::rest(snapshot, consumer, to) {
        plan.again_in(rest);
        return Ok(stall(held, to, &why, None, plan));
    }
    let said = alternatives::answers(snapshot, consumer, asked, answers)?;
    // What the next provider refuses is the object in the version in which it goes there.
    let both = [provider, to];
    let refuse = if next.version.is_some() { &both[..1] } else { &both[..] };
    match alternatives::choose(snapshot, record, refuse, &said) {
        Choice::To(offer, version) if offer.provider != *provider && offer.provider != *to => {
            if let Some(full) = full(snapshot, provider, &offer.provider) {
                let why = format!("{why}; {} takes it, but {}", offer.provider, full.message);
                plan.wants_place = true;
                plan.again_in(TURN);
                let turn = Finding { inside: Some(full.movers), ..Finding::no(reason::WAITS_FOR_TURN, "") };
                return Ok(stall(held, to, &why, Some(&turn), plan));
            }
            let place = candidates::place(snapshot, &offer, version);
            let spec = turn_away(held, next, Some(place));
            let mut plan = Plan { state: State::Moving, judged: plan.judged, ..Plan::default() };
            plan.then(migrate::abandon(snapshot, &why, None));
            plan.then([start(held, spec, &offer.provider)]);
            plan.then(held.tell(reason::MOVING, &format!("{why}; it moves to {} instead", offer.provider)));
            Ok(plan)
        }
        // The provider that serves takes it in another version of its kind.
        Choice::To(offer, _) if offer.provider == *provider => Ok(abandon(held, next, &why)),
        // The copy that is being made is the same object in another version.
        Choice::To(offer, version) => {
            let next = Some(alternatives::stays(next, &offer, version));
            let spec = AssignmentSpec { next, ..record.spec.clone() };
            plan.state = State::Moving;
            plan.then(migrate::abandon(snapshot, &why, None));
            plan.then([held.update(spec)]);
            Ok(plan)
        }
        Choice::Nowhere(others) => Ok(stall(held, to, &format!("{why}; {others}"), None, plan)),
        Choice::Unknown(doubt) => Ok(stall(held, to, &format!("{why}; {}", doubt.message), Some(&doubt), plan)),
    }
}

/// What the offers of the next provider say where the object goes there in another version.
fn in_other_version<'a>(
    snapshot: &'a Snapshot,
    judged: &[Answered<'a>],
    next: &ProviderRef,
    to: &ClusterName,
) -> Said<'a> {
    let is_its = |index: &usize| snapshot.versions.get(*index).map(|view| &view.version) == next.version.as_ref();
    let found = judged.iter().find_map(|(question, said)| {
        Some((question, question.version.filter(is_its).and_then(|index| snapshot.versions.get(index))?, *said))
    });
    let Some((question, view, said)) = found else { return Said { verdicts: Some(Ok(Vec::new())) } };
    let verdicts = said.as_ref().map(|verdicts| {
        let all = question.offers.iter().zip(verdicts);
        let all = all.filter_map(|(index, verdict)| Some((view.offers.get(*index)?, verdict)));
        all.filter(|(offer, _)| offer.provider == *to).collect()
    });
    Said { verdicts: Some(verdicts) }
}

/// The next provider does not take the object, or cannot be asked, and nothing goes on for now. A `doubt` says how it
/// stands instead: it cannot be told whether anybody takes it, say.
fn stall(held: Held<'_>, to: &ClusterName, why: &str, doubt: Option<&Finding>, plan: Plan) -> Plan {
    let provider = held.provider;
    let accepted = if let Some(doubt) = doubt {
        Finding { message: format!("{provider}, which holds this object, is to be left; {why}"), ..doubt.clone() }
    } else {
        Finding::no(reason::NO_MATCHING_OFFER, format!("{provider} does not take this object any more; {why}"))
    };
    stand_still(held, to, why, accepted, plan)
}

/// The old provider serves, and the move waits. Places that were left are cleared all the same: one of them may be where the
/// object can go.
fn stand_still(held: Held<'_>, to: &ClusterName, why: &str, accepted: Finding, mut plan: Plan) -> Plan {
    plan.waits.push(why.to_owned());
    plan.then(leftovers::others(held.snapshot, held.record, &mut Plan::default()));
    let synced =
        Finding::no(reason::MOVING, format!("it is to move from {} to {to}, which waits: {why}", held.provider));
    let hands_over = migrate::hands_over(held.snapshot);
    let moving = Some(Moving { next: to, synced, hands_over });
    held.serve(Service { provider: held.provider, accepted, frozen: true, moving }, plan)
}

/// A write of the record that failed last time: what serves goes on serving, and people are told, before it is tried again.
pub(crate) fn told(held: Held<'_>, mut plan: Plan) -> Plan {
    let failed = held.snapshot.memory.failure.as_ref().is_some_and(|failure| failure.part == Part::Record);
    let tells = |action: &Action| matches!(action, Action::PutStatus { .. } | Action::RecordStatus { .. });
    let writes = plan.actions().any(|action| matches!(action, Action::UpdateRecord { .. }));
    if !failed || !writes || plan.actions().any(tells) {
        return plan;
    }
    let accepted = Finding::yes(reason::ACCEPTED, format!("{} has this object", held.provider));
    let next = held.record.next();
    let moving = next.as_ref().map(|next| {
        let synced = Finding::no(reason::MOVING, format!("it moves from {} to {next}", held.provider));
        Moving { next, synced, hands_over: migrate::hands_over(held.snapshot) }
    });
    let service = Service { provider: held.provider, accepted, frozen: true, moving };
    let mut served = held.serve(service, Plan::default());
    // Nothing that was left is cleared beside another write of the record.
    served.steps.retain(|step| !step.iter().any(|action| matches!(action, Action::UpdateRecord { .. })));
    plan.steps.splice(0..0, served.steps);
    plan.state = State::Blocked;
    plan
}

/// The next provider takes the object.
fn go_on(held: Held<'_>, next: &ProviderRef, to: &ClusterName, offer: Option<&Offer>, mut plan: Plan) -> Planned {
    let Held { snapshot, consumer, record, provider, answers, .. } = held;
    if let Some(offer) = offer {
        let next = alternatives::stays(next, offer, next.version.clone());
        plan.state = State::Moving;
        plan.then([held.update(AssignmentSpec { next: Some(next), ..record.spec.clone() })]);
        return Ok(plan);
    }
    plan.then(leftovers::others(snapshot, record, &mut Plan::default()));
    let mut wait = leftovers::blocks(snapshot, record);
    if wait.is_none() {
        wait = copy_to(held, next, to, &mut plan);
    }
    let hands_over = migrate::hands_over(snapshot);
    // What people see on the object where that is less than what the log has.
    let mut shown = None;
    let fresh = wait.is_none().then(|| snapshot.own_next_copy()).flatten();
    if let Some(new) = fresh {
        match migrate::advance(snapshot, consumer, record, snapshot.own_copy(), new, answers)? {
            Progress::RollBack(why) => return Ok(abandon(held, next, &why)),
            Progress::Wait { why, stand, steps, again } => {
                let migration = snapshot.migration.object.present().map(AsRef::as_ref);
                shown = Some(progress::told(migration, answers, stand));
                wait = Some(why);
                for step in steps {
                    plan.then(step);
                }
                again.map(|again| plan.again_in(again));
            }
            Progress::Switch => {
                wait = fit(held, new, to, &mut plan)?;
                if wait.is_none() {
                    return Ok(switch(held, next, to, new, plan));
                }
            }
        }
    }
    let why = wait.unwrap_or_else(|| format!("the copy at {to} is not there yet"));
    plan.waits.push(why.clone());
    let accepted = Finding::yes(reason::ACCEPTED, format!("{to} takes this object; it moves there from {provider}"));
    let why = shown.unwrap_or(why);
    let synced = Finding::no(reason::MOVING, format!("it moves from {provider} to {to}: {why}"));
    let moving = Some(Moving { next: to, synced, hands_over });
    Ok(held.serve(Service { provider, accepted, frozen: true, moving }, plan))
}

/// Brings the copy at the next provider in step; what is in the way.
fn copy_to(held: Held<'_>, next: &ProviderRef, to: &ClusterName, plan: &mut Plan) -> Option<String> {
    let Held { snapshot, record, .. } = held;
    let placement = Placement::from(next);
    let Some(consumer) = snapshot.consumer_in(next.version.as_deref()) else {
        return Some(format!("the object cannot be read as {}", next.version.as_deref().unwrap_or_default()));
    };
    let key = snapshot.key_at(&placement);
    let Some(target) = snapshot.record.present().and_then(|record| record.target(&placement)) else {
        return Some(format!("the place at {to} cannot be read"));
    };
    let uid = record.next_uid();
    let there = snapshot.view(&placement).and_then(View::present);
    let step = copy::copy(snapshot, copy::At { key: &key, target: &target, uid }, consumer, there.map(AsRef::as_ref));
    let is_due = step.action.is_some();
    plan.then(step.action);
    if let Some(gone) = there.filter(|there| snapshot.is_ours(there, &key, to, uid) && there.is_deleting())
        && gone.finalizers() == [resource_broker_api::keys::GENERIC_FINALIZER]
    {
        plan.then([crate::plan::writes::release(target, gone, Vec::new())]);
    }
    step.again.map(|again| plan.again_in(again));
    let wait = if is_due { format!("the copy is brought to {to}") } else { step.synced.message };
    (!step.stands).then_some(wait)
}

/// What is still missing before the next provider's copy can take over.
fn fit(held: Held<'_>, new: &Object, to: &ClusterName, plan: &mut Plan) -> Result<Option<String>, Box<Questions>> {
    let Held { snapshot, consumer, answers, .. } = held;
    let copy = snapshot.own_copy();
    let old = copy.map_or_else(|| consumer.field("status"), |copy| copy.field("status"));
    let status = new.field("status");
    if let Some(wait) = unready(old.as_ref(), copy.is_some(), status.as_ref(), to) {
        return Ok(Some(wait));
    }
    if let Some(wait) = snapshot.related_next.iter().find_map(|view| absent(view, to)) {
        return Ok(Some(wait));
    }
    if let Some(wait) = snapshot.related_next.iter().find_map(|view| withheld(held, new, to, view)) {
        return Ok(Some(wait));
    }
    if let Some(wait) = related::taken(snapshot, consumer, to, answers)? {
        plan.again_in(UNSEEN);
        return Ok(Some(wait));
    }
    plan.fit = true;
    let waited = snapshot.memory.fit.unwrap_or_default();
    let missing = undeclared(old.as_ref(), status.as_ref());
    if missing.is_empty() || waited >= DECLARING {
        return Ok(None);
    }
    plan.again_in(DECLARING.saturating_sub(waited));
    Ok(Some(format!("{to} is ready, but does not declare what the old provider does: {}", missing.join(", "))))
}

/// Whether the new copy is as ready as the old one ever said that it was. What the consumer was shown last stands for an old
/// copy that cannot be seen (`is_seen`); a `Ready` that is not true may be the broker's own there.
pub(crate) fn unready(old: Option<&Value>, is_seen: bool, new: Option<&Value>, to: &ClusterName) -> Option<String> {
    if word(old).is_some() {
        return match word(new) {
            Some("Available") => None,
            Some(other) => Some(format!("{to} reports status {other}; Available is waited for")),
            None => Some(format!("{to} has not reported status Available yet")),
        };
    }
    let old_ready = status::reported_ready(old)?;
    let ready = status::reported_ready(new).filter(|ready| ready.holds == findings::Holds::Yes);
    ((is_seen || old_ready.holds == findings::Holds::Yes) && ready.is_none())
        .then(|| format!("{to} has not reported that it is ready yet"))
}

/// A related resource that is declared, and not there.
fn absent(view: &RelatedView, to: &ClusterName) -> Option<String> {
    let declared = &view.declared;
    let name = format!("{} {}/{}", declared.gvk.kind, declared.namespace, declared.name);
    match &view.source {
        _ if !view.allowed => None,
        Watched::View(View::Absent) => Some(format!("{to} declares {name}, which is not there yet")),
        Watched::View(View::Unknown { why, .. }) => Some(format!("{name} at {to} cannot be read: {why}")),
        Watched::View(View::Present(_)) | Watched::Unwatchable => None,
    }
}

/// A related resource that is declared, and that the consumer may not have.
fn withheld(held: Held<'_>, new: &Object, to: &ClusterName, view: &RelatedView) -> Option<String> {
    let place = held.record.spec.next.as_ref().filter(|_| view.allowed)?;
    let by = claims::Declarer { provider: to, place, copy: new };
    let source = match &view.source {
        Watched::View(source) => source.present().map(AsRef::as_ref),
        Watched::Unwatchable => None,
    };
    Some(match claims::withheld(held.snapshot, by, &view.declared, &view.claims, source)? {
        claims::Withheld::Unknown(why, _) => why,
        claims::Withheld::Refused(finding) => finding.message,
    })
}

/// The keys of related resources that the old status has and the new one has not.
fn undeclared(old: Option<&Value>, new: Option<&Value>) -> Vec<String> {
    let keys = |status: Option<&Value>| -> Vec<String> {
        let related = status.and_then(|status| status.get("relatedResources")).and_then(Value::as_object);
        related.into_iter().flat_map(|related| related.keys().cloned()).collect()
    };
    let new = keys(new);
    keys(old).into_iter().filter(|key| !new.contains(key)).collect()
}

/// From now on the object is at the next provider.
fn switch(held: Held<'_>, next: &ProviderRef, to: &ClusterName, new: &Object, mut plan: Plan) -> Plan {
    let Held { snapshot, record, provider, .. } = held;
    let mut spec = record.spec.clone();
    pin_previous(&mut spec);
    let known = snapshot.own_copy().map(|copy| copy.uid());
    let uid = known.or_else(|| record.copy_uid());
    let version = spec.provider.version.as_deref().unwrap_or(held.version()).to_owned();
    spec.previous.push(left(&spec.provider, &version, uid));
    if let Some(version) = &next.version {
        spec.consumer.version.clone_from(version);
    }
    spec.provider = ProviderRef { version: None, ..next.clone() };
    spec.next = None;
    plan.state = State::Moving;
    plan.then([held.update(spec)]);
    let message = format!("it moved from {provider} to {to}, where its copy {} is ready", new.name());
    plan.then(held.tell(reason::MOVED, &message));
    plan
}
