//! The places that an object has left: what is there is taken away, and once that is confirmed the record forgets them.

use resource_broker_api::broker::{AssignmentSpec, PreviousRef, ProviderRef};

use crate::{
    model::snapshot::{Placement, Record, Snapshot, View},
    plan::{Action, Plan, writes::update},
    sync::end::{End, confirm, end_at},
};

/// What is to be done about all places that were left. What cannot be done now is left for when it can: a cluster that is away
/// holds nothing up.
pub(crate) fn others(snapshot: &Snapshot, record: &Record, plan: &mut Plan) -> Vec<Action> {
    let mut actions = Vec::new();
    let mut guards = Vec::new();
    let mut stay = Vec::new();
    for place in &record.spec.previous {
        let Some(target) = record.target(&Placement::from(place)) else { continue };
        let uid = place.uid.as_deref();
        // The place that serves, under another name of its cluster.
        let there = snapshot.view(&Placement::from(place)).and_then(View::present).map(|there| there.uid());
        if record.serving().any(|serving| Some(serving) == uid.or(there)) {
            continue;
        }
        match end_at(snapshot, record, &target, uid, None) {
            End::Gone => {
                guards.extend(confirm(snapshot, record, target, uid));
                continue;
            }
            End::Act(action) => actions.push(*action),
            End::Wait(what) => plan.waits.push(what),
        }
        stay.push(place.clone());
    }
    let writes_record = plan.actions().any(|action| matches!(action, Action::UpdateRecord { .. }));
    if stay.len() < record.spec.previous.len() && !writes_record {
        let spec = AssignmentSpec { previous: stay, ..record.spec.clone() };
        actions.push(update(record, spec, guards));
    }
    actions
}

/// Whether a copy may be made somewhere new: what can be reached of the places that were left is gone. Else what is awaited.
pub(crate) fn blocks(snapshot: &Snapshot, record: &Record) -> Option<String> {
    record.spec.previous.iter().find_map(|place| {
        let placement = Placement::from(place);
        match snapshot.view(&placement) {
            // What cannot be reached holds nothing up, unless it is where the copy is to be.
            None | Some(View::Unknown { .. }) => {
                let is_target = record.spec.next.as_ref().is_some_and(|next| next.cluster == place.cluster);
                is_target.then(|| format!("the copy that {} had before cannot be reached", place.cluster))
            }
            Some(_) => Some(format!("the copy that {} had is still being taken down", place.cluster)),
        }
    })
}

/// The entry for a place that is left. `version` is the copy's.
pub(crate) fn left(place: &ProviderRef, version: &str, uid: Option<&str>) -> PreviousRef {
    PreviousRef {
        cluster: place.cluster.clone(),
        version: Some(version.to_owned()),
        namespace: place.namespace.clone(),
        name: place.name.clone(),
        uid: uid.map(str::to_owned),
        fingerprint: place.fingerprint.clone(),
    }
}
