//! What it means that an object is there already under the name that a stage deploys.

use resource_broker_api::{keys, object::Object};
use serde_json::Value;

/// Whose the object is, and with that what becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// What the stage deploys: the answer to an earlier request was lost.
    Deployed,
    /// An earlier attempt's, which is being deleted. It is made anew when that is gone.
    Deleting,
    /// Another stage's of this migration that nobody remembers, because its Migration was deleted by hand. It is deleted first.
    OtherStage,
    /// Not this migration's. It is left alone.
    Foreign,
}

/// Judges `there` by its labels against those of `body`, which the stage deploys.
pub fn judge(there: &Object, body: &Value) -> Found {
    let is_marked = |label: &str| {
        let meant = body["metadata"]["labels"][label].as_str();
        meant.is_some() && meant == there.label(label)
    };
    if !is_marked(keys::MIGRATION_ID) || there.label(keys::MIGRATION_STAGE).is_none() {
        Found::Foreign
    } else if !is_marked(keys::MIGRATION_STAGE) {
        Found::OtherStage
    } else if there.is_deleting() {
        Found::Deleting
    } else {
        Found::Deployed
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_its_labels_say_is_this_stages_is_taken_for_it() {
        let body = json!({"metadata": {"labels": {keys::MIGRATION_ID: "m1", keys::MIGRATION_STAGE: "copy"}}});
        let labels = |id: &str, stage: &str| json!({keys::MIGRATION_ID: id, keys::MIGRATION_STAGE: stage});
        let judged = |labels: Value, deleted: Option<&str>| {
            let there = json!({"metadata": {"name": "m1-run", "labels": labels, "deletionTimestamp": deleted}});
            judge(&serde_json::from_value(there).unwrap_or_default(), &body)
        };
        let deleted = Some("2020-01-01T00:00:00Z");
        assert_eq!(judged(labels("m1", "copy"), None), Found::Deployed);
        assert_eq!(judged(labels("m1", "copy"), deleted), Found::Deleting);
        assert_eq!(judged(labels("m1", "check"), None), Found::OtherStage);
        assert_eq!(judged(labels("m1", "check"), deleted), Found::OtherStage);
        for foreign in
            [labels("m2", "copy"), json!({}), json!({keys::MIGRATION_ID: "m1"}), json!({keys::MIGRATION_STAGE: "copy"})]
        {
            assert_eq!(judged(foreign.clone(), None), Found::Foreign, "{foreign}");
        }
        assert_eq!(judge(&Object::default(), &json!({})), Found::Foreign, "labels that nobody means match nothing");
    }
}
