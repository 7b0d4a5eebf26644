//! What must hold at every change that a witness saw.
//!
//! The order of changes is exact, so that nothing is judged by windows of time: at the very change at which a rule does not
//! hold, it is broken.

use std::collections::{BTreeMap, BTreeSet};

use kube::ResourceExt as _;
use kube::api::DynamicObject;
use resource_broker_api::{AssignmentSpec, keys};
use serde_json::Value;

use super::witness::{COORDINATION, Chronicle, Place, Sight};
use crate::operator::TOKEN;

/// `"topsecr…` as base64 writes it: a JSON string that begins so, in a Secret's data.
const TOKEN_IN_BASE64: &str = "InRvcHNlY3Jl";
/// How many changes are shown of what led to a breach.
const SHOWN: usize = 40;

/// When an object may be handed over to its new provider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum HandOver {
    /// The new copy's `status.status` is `Available`.
    #[default]
    Available,
    /// The new copy is there.
    There,
    /// The new copy says `Ready` in its conditions.
    Ready,
}

/// What a test does that would break a rule otherwise.
#[derive(Clone, Debug, Default)]
pub(crate) struct Terms {
    pub(crate) hand_over: HandOver,
    /// Whether providers call their Secrets differently: then the old one goes when the new one is there.
    pub(crate) renames: bool,
    /// Whether operators make no Secrets that are declared from the beginning of a copy's life to its end.
    pub(crate) secrets_come_and_go: bool,
    /// Names of copies that the test deletes itself.
    pub(crate) deleted_by_hand: BTreeSet<String>,
}

impl Chronicle {
    /// Goes through all changes.
    ///
    /// # Panics
    ///
    /// Where a rule was broken.
    pub(crate) fn judge(&self, terms: &Terms) {
        if let Some((breach, revision)) = self.breach(terms) {
            panic!("{breach}\nat the last of these changes:\n{}", self.up_to(revision, SHOWN));
        }
    }

    /// The first breach of a rule, and at which change.
    pub(crate) fn breach(&self, terms: &Terms) -> Option<(String, u64)> {
        let mut court =
            Court { terms, state: BTreeMap::new(), data: Vec::new(), frozen: BTreeMap::new(), breach: None };
        self.sights.iter().find_map(|sight| {
            court.hear(sight);
            court.breach.take().map(|breach| (breach, sight.revision))
        })
    }
}

/// A copy's place as records name it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct At {
    cluster: String,
    name: String,
}

/// What is known up to one change.
struct Court<'a> {
    terms: &'a Terms,
    /// Each object that is there.
    state: BTreeMap<Place, &'a Sight>,
    /// The data of every Secret that any provider ever had.
    data: Vec<&'a Value>,
    /// The copies that must not change, with the spec that they had when that began, by the name of their record.
    frozen: BTreeMap<String, (At, Value)>,
    breach: Option<String>,
}

impl<'a> Court<'a> {
    fn hear(&mut self, sight: &'a Sight) {
        let place = sight.place();
        let before = self.state.get(&place).copied();
        if sight.gone {
            self.state.remove(&place);
        } else {
            self.state.insert(place, sight);
        }
        let at_provider = sight.cluster.starts_with("provider#");
        match sight.kind.as_str() {
            "Widget" if at_provider => self.copy_changed(sight, before),
            "Widget" => self.object_changed(sight),
            "Secret" if at_provider => self.data.push(&sight.object.data["data"]),
            "Secret" if sight.cluster.starts_with("consumer#") => self.secret_changed(sight, before),
            "Assignment" => self.record_changed(sight, before),
            _ => {}
        }
        if sight.kind != "Secret" {
            self.no_token_in(sight);
        }
    }

    /// Copies: never more than two live ones, none that is not recorded, none changed that is frozen, none deleted early.
    fn copy_changed(&mut self, sight: &Sight, before: Option<&Sight>) {
        let object = &sight.object;
        if !object.annotations().contains_key(keys::CONSUMER_CLUSTER) {
            return;
        }
        let at = At { cluster: sight.cluster.clone(), name: object.name_any() };
        let record = self.record_of(&at);
        if sight.lives() {
            match &record {
                None => self.say(format!("{} has a live copy {} that no record names", at.cluster, at.name)),
                Some((name, spec)) => {
                    let live = self.live_places(spec);
                    if live.len() > 2 {
                        self.say(format!("{name} has more than two live copies: {live:?}"));
                    }
                    self.still_frozen(name, &at, object);
                }
            }
        }
        let ends = before.is_some_and(Sight::lives) && !sight.lives();
        if let (true, Some((name, spec))) = (ends, &record) {
            let left = !names(spec).iter().take(serving(spec)).any(|place| *place == at);
            if !left && !self.is_ending(spec) && !self.terms.deleted_by_hand.contains(&at.name) {
                self.say(format!("the copy at {} was deleted while the record {name} still counts on it", at.cluster));
            }
        }
    }

    fn still_frozen(&mut self, record: &str, at: &At, copy: &DynamicObject) {
        let Some((frozen, spec)) = self.frozen.get(record) else { return };
        if frozen == at && copy.data["spec"] != *spec {
            self.say(format!("the old copy at {} changed during the move: it was {spec}", at.cluster));
        }
    }

    /// Records: every live copy stays named, and a hand-over goes to a copy that is ready.
    fn record_changed(&mut self, sight: &Sight, before: Option<&'a Sight>) {
        let name = sight.object.name_any();
        let was = before.and_then(|before| spec_of(&before.object));
        let is = spec_of(&sight.object).filter(|_| !sight.gone);
        if let Some(was) = &was {
            let now = is.as_ref().map(names).unwrap_or_default();
            let lost: Vec<At> = self.live_places(was).into_iter().filter(|at| !now.contains(at)).collect();
            if !lost.is_empty() {
                self.say(format!("the record {name} forgot live copies: {lost:?}"));
            }
        }
        let (Some(was), Some(is)) = (was, is) else {
            self.frozen.remove(&name);
            return;
        };
        if was.consumer.uid == is.consumer.uid && was.provider.cluster != is.provider.cluster {
            self.handed_over(&name, &was, &is);
        }
        self.freeze(&name, &was, &is);
    }

    fn handed_over(&mut self, name: &str, was: &AssignmentSpec, is: &AssignmentSpec) {
        let to = At { cluster: is.provider.cluster.clone(), name: is.provider.name.clone() };
        let from = At { cluster: was.provider.cluster.clone(), name: was.provider.name.clone() };
        if was.next.as_ref().is_none_or(|next| next.cluster != to.cluster) {
            // Without a copy there was nothing to move.
            if self.copy(&from).is_some() {
                self.say(format!("{name} was handed over to {} without a move to there", to.cluster));
            }
            return;
        }
        if self.copy(&from).is_some() && !is.previous.iter().any(|it| it.cluster == from.cluster) {
            self.say(format!("{name} was handed over, and its old copy at {} is not recorded", from.cluster));
        }
        let ready = self.copy(&to).filter(|copy| copy.lives()).is_some_and(|copy| {
            let status = &copy.object.data["status"];
            match self.terms.hand_over {
                HandOver::Available => status["status"] == "Available",
                HandOver::There => true,
                HandOver::Ready => conditions(status).any(|it| it["type"] == "Ready" && it["status"] == "True"),
            }
        });
        if !ready && !self.is_ending(is) {
            self.say(format!("{name} was handed over to {}, whose copy is not ready", to.cluster));
        }
    }

    /// From the beginning of a move its old copy keeps its spec: to its end, or until the move is given up.
    fn freeze(&mut self, name: &str, was: &AssignmentSpec, is: &AssignmentSpec) {
        if was.next.is_none() && is.next.is_some() {
            let at = At { cluster: is.provider.cluster.clone(), name: is.provider.name.clone() };
            if let Some(copy) = self.copy(&at) {
                let spec = copy.object.data["spec"].clone();
                self.frozen.insert(name.to_owned(), (at, spec));
            }
        }
        let over = is.next.is_none()
            && self.frozen.get(name).is_some_and(|(at, _)| {
                at.cluster == is.provider.cluster || !is.previous.iter().any(|it| it.cluster == at.cluster)
            });
        if over {
            self.frozen.remove(name);
        }
    }

    /// A consumer's Secret: there from the first moment to the object's end, always whole, and always its own.
    fn secret_changed(&mut self, sight: &Sight, before: Option<&Sight>) {
        let object = &sight.object;
        let Some(record) = object.labels().get(keys::RELATED_TO).cloned() else { return };
        let name = object.name_any();
        let Some(spec) = self.record_named(&record) else { return };
        let ending = self.is_ending(&spec);
        if sight.gone {
            let others = self.state.iter().any(|(place, it)| {
                place.kind == "Secret"
                    && place.cluster == sight.cluster
                    && it.object.labels().get(keys::RELATED_TO) == Some(&record)
            });
            let allowed = ending || self.terms.secrets_come_and_go || (self.terms.renames && others);
            if !allowed {
                self.say(format!("the Secret {name} was taken away from {}", sight.cluster));
            }
            return;
        }
        let data = &object.data["data"];
        if before.is_some_and(|before| before.object.data["data"] == *data) {
            return;
        }
        if !self.data.contains(&data) {
            self.say(format!("the Secret {name} holds what no provider's Secret ever held: {data}"));
        }
        let said = |key: &str| decoded(&data[key]);
        if said("tenant").is_some_and(|tenant| sight.cluster != format!("consumer#{tenant}")) {
            self.say(format!("the Secret {name} of {} is of another tenant: {data}", sight.cluster));
        }
        if said("copy").is_some_and(|copy| copy != spec.provider.name) {
            self.say(format!("the Secret {name} of {} is of another object: {data}", sight.cluster));
        }
        if let Some(provider) = said("provider").map(|name| format!("provider#{name}")) {
            let next = spec.next.as_ref().is_some_and(|next| next.cluster == provider) && self.is_past_initial(&record);
            if provider != spec.provider.cluster && !next && !ending {
                self.say(format!("the Secret {name} is of {provider}, which does not serve the object yet"));
            }
        }
    }

    /// A consumer's object: never with another tenant's status.
    fn object_changed(&mut self, sight: &Sight) {
        let data = &sight.object.data;
        let told = &data["status"]["made"]["tenant"];
        if told.is_string() && *told != data["spec"]["tenant"] {
            self.say(format!("{} of {} has the status of another tenant", sight.object.name_any(), sight.cluster));
        }
    }

    fn no_token_in(&mut self, sight: &Sight) {
        let text = serde_json::to_string(&sight.object).unwrap_or_default();
        // What stands in a ConfigMap of compute is what its template says.
        let told = sight.kind != "ConfigMap" && (text.contains(TOKEN) || text.contains(TOKEN_IN_BASE64));
        if told {
            self.say(format!("{} {} in {} shows a token", sight.kind, sight.object.name_any(), sight.cluster));
        }
    }

    /// Whether the consumer's object is being deleted, or gone, or another one.
    fn is_ending(&self, spec: &AssignmentSpec) -> bool {
        let consumer = &spec.consumer;
        let place =
            Place { cluster: consumer.cluster.clone(), kind: consumer.kind.clone(), name: consumer.name.clone() };
        let there = self.state.get(&place);
        !there.is_some_and(|it| it.lives() && it.object.uid().as_ref() == Some(&consumer.uid))
    }

    /// Whether a move's data is over, so that the consumer gets what the new provider made.
    fn is_past_initial(&self, record: &str) -> bool {
        let place = Place { cluster: COORDINATION.into(), kind: "Migration".into(), name: record.into() };
        self.state.get(&place).is_some_and(|it| {
            conditions(&it.object.data["status"]).any(|it| it["type"] == "InitialCompleted" && it["status"] == "True")
        })
    }

    fn copy(&self, at: &At) -> Option<&'a Sight> {
        let place = Place { cluster: at.cluster.clone(), kind: "Widget".into(), name: at.name.clone() };
        self.state.get(&place).copied()
    }

    fn live_places(&self, spec: &AssignmentSpec) -> Vec<At> {
        names(spec).into_iter().filter(|at| self.copy(at).is_some_and(Sight::lives)).collect()
    }

    fn records(&self) -> impl Iterator<Item = (String, AssignmentSpec)> {
        let records = self.state.iter().filter(|(place, _)| place.kind == "Assignment");
        records.filter_map(|(place, it)| Some((place.name.clone(), spec_of(&it.object)?)))
    }

    fn record_of(&self, at: &At) -> Option<(String, AssignmentSpec)> {
        self.records().find(|(_, spec)| names(spec).contains(at))
    }

    fn record_named(&self, name: &str) -> Option<AssignmentSpec> {
        self.records().find(|(it, _)| it == name).map(|(_, spec)| spec)
    }

    fn say(&mut self, breach: String) {
        self.breach.get_or_insert(breach);
    }
}

/// The places that a record names: where the object is, where it goes (if anywhere), and where it was.
fn names(spec: &AssignmentSpec) -> Vec<At> {
    let now = [Some(&spec.provider), spec.next.as_ref()];
    let now = now.into_iter().flatten().map(|it| At { cluster: it.cluster.clone(), name: it.name.clone() });
    let was = spec.previous.iter().map(|it| At { cluster: it.cluster.clone(), name: it.name.clone() });
    now.chain(was).collect()
}

/// How many of the [`names`] of a record are in use.
fn serving(spec: &AssignmentSpec) -> usize {
    1 + usize::from(spec.next.is_some())
}

fn spec_of(record: &DynamicObject) -> Option<AssignmentSpec> {
    serde_json::from_value(record.data["spec"].clone()).ok()
}

fn conditions(status: &Value) -> impl Iterator<Item = &Value> {
    status["conditions"].as_array().into_iter().flatten()
}

/// The text that a Secret's data holds as JSON.
fn decoded(value: &Value) -> Option<String> {
    let bytes: k8s_openapi::ByteString = serde_json::from_value(value.clone()).ok()?;
    serde_json::from_slice(&bytes.0).ok()
}
