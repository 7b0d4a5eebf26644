//! What a person may decide about a cluster, whether it makes sense now, and the one write that it is.

use std::collections::BTreeSet;

use resource_broker_api::{
    broker::{Assignment, BrokerCluster, BrokerClusterSpec},
    names::{ClusterName, broker_cluster_name},
};
use serde_json::{Value, json};

use crate::fingerprint::is_own_text;

/// How many clusters are named where the one that is meant is not there.
const NAMED: usize = 10;

/// A decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// The cluster that is there now takes the recorded one's place; or it is one of its own, known by this text.
    Accept(Option<String>),
    /// Kubeconfigs call it this from now on.
    Rename(String),
    /// It is let go of.
    Remove { yes: bool },
}

/// What is in the coordination cluster.
pub(super) struct Known<'a> {
    pub(super) all: &'a [BrokerCluster],
    pub(super) records: &'a [Assignment],
    pub(super) namespace: &'a str,
}

/// The write.
pub(super) enum Step<'a> {
    /// All is as it should be.
    Nothing,
    /// There is no `BrokerCluster` of it yet.
    Create(Box<BrokerClusterSpec>),
    /// A merge patch of the spec.
    Change { known: &'a BrokerCluster, spec: Value },
}

type Decided<'a> = Result<(Step<'a>, String), String>;

impl Known<'_> {
    fn find(&self, name: &ClusterName) -> Option<&BrokerCluster> {
        self.all.iter().find(|known| known.spec.role == name.role && known.spec.name == name.name)
    }

    fn expect(&self, name: &ClusterName) -> Result<&BrokerCluster, String> {
        self.find(name).ok_or_else(|| {
            let mut names: Vec<String> =
                self.all.iter().take(NAMED).map(|it| format!("{}#{}", it.spec.role, it.spec.name)).collect();
            if self.all.len() > NAMED {
                names.push(format!("{} more", self.all.len() - NAMED));
            }
            let namespace = self.namespace;
            if names.is_empty() {
                format!("no cluster is known in namespace {namespace}; -n NAMESPACE names the broker's namespace")
            } else {
                format!("{name} is not known in namespace {namespace}, which has {}", names.join(", "))
            }
        })
    }

    /// How many Assignments name a cluster.
    fn count(&self, name: &ClusterName) -> usize {
        let name = name.to_string();
        let names = |record: &&Assignment| {
            let spec = &record.spec;
            let places = [Some(&spec.provider), spec.next.as_ref()];
            spec.consumer.cluster == name || places.into_iter().flatten().any(|place| place.cluster == name)
        };
        self.records.iter().filter(names).count()
    }

    /// The fingerprints with which Assignments name a cluster.
    fn fingerprints(&self, name: &ClusterName) -> BTreeSet<String> {
        let name = name.to_string();
        let of_record = |record: &Assignment| {
            let spec = &record.spec;
            let consumer = (&spec.consumer.cluster, &spec.consumer.fingerprint);
            let places = [Some(&spec.provider), spec.next.as_ref()].into_iter().flatten();
            let places = places.map(|place| (&place.cluster, &place.fingerprint));
            let left = spec.previous.iter().map(|place| (&place.cluster, &place.fingerprint));
            let all = std::iter::once(consumer).chain(places).chain(left);
            all.filter(|(cluster, _)| **cluster == name).filter_map(|(_, it)| it.clone()).collect::<Vec<_>>()
        };
        self.records.iter().flat_map(of_record).collect()
    }
}

impl Order {
    pub(super) const fn verb(&self) -> &'static str {
        match self {
            Self::Accept(_) => "accept",
            Self::Rename(_) => "rename",
            Self::Remove { .. } => "remove",
        }
    }

    /// The write that the decision about `name` is, and what to say of it; or why it makes no sense.
    pub(super) fn step<'a>(&self, name: &ClusterName, known: &'a Known<'_>) -> Decided<'a> {
        match self {
            Self::Accept(text) => accept(name, text.as_deref(), known),
            Self::Rename(new) => rename(name, new, known),
            Self::Remove { yes } => remove(name, *yes, known),
        }
    }
}

fn accept<'a>(name: &ClusterName, text: Option<&str>, known: &'a Known<'_>) -> Decided<'a> {
    if let Some(text) = text
        && (text.is_empty() || !is_own_text(text))
    {
        return Err(format!(
            "--fingerprint={text}: write a text of your own, as the cluster's name in your inventory; what begins with kube-system:, \
             default:, property: or logicalcluster: is found by the broker itself"
        ));
    }
    if let (Some(text), None) = (text, known.find(name)) {
        let spec = BrokerClusterSpec {
            role: name.role,
            name: name.name.clone(),
            fingerprint: Some(text.to_owned()),
            previous_fingerprints: known.fingerprints(name).into_iter().collect(),
            source: None,
            removed: false,
        };
        return Ok((Step::Create(Box::new(spec)), format!("accepted as a cluster of its own, known as {text:?}")));
    }
    let there = known.expect(name)?;
    let found = there.status.as_ref().and_then(|status| status.fingerprint.as_deref());
    let recorded = there.spec.fingerprint.as_deref();
    let Some(new) = text.or(found) else {
        return Err(format!(
            "{name} has not said yet which cluster it is; look at BrokerCluster {} again when it answers",
            there.metadata.name.as_deref().unwrap_or_default()
        ));
    };
    let mut previous: BTreeSet<String> = there.spec.previous_fingerprints.iter().cloned().collect();
    previous.extend(recorded.map(str::to_owned));
    previous.extend(known.fingerprints(name));
    previous.remove(new);
    let is_changed = there.status.iter().flat_map(|status| &status.conditions).any(|condition| {
        condition.type_ == resource_broker_api::conditions::CLUSTER_CHANGED && condition.status == "True"
    });
    let unfollowed =
        known.fingerprints(name).iter().any(|it| it != new && !there.spec.previous_fingerprints.contains(it));
    if recorded == Some(new) && !unfollowed {
        return Ok((Step::Nothing, format!("it is the recorded cluster ({new}); there is nothing to accept")));
    }
    // A cluster may say more of itself than when it was recorded, and is the same all the same.
    if text.is_none() && !is_changed && !unfollowed {
        return Ok((Step::Nothing, "it is the recorded cluster; there is nothing to accept".to_owned()));
    }
    let count = known.count(name);
    let what = if count == 1 { "1 Assignment names".to_owned() } else { format!("{count} Assignments name") };
    let spec = json!({"fingerprint": new, "previousFingerprints": previous});
    let was = recorded.unwrap_or("not known");
    let done = format!("accepted {new} (was {was}); {what} it, and go on with the cluster that is there now");
    Ok((Step::Change { known: there, spec }, done))
}

fn rename<'a>(name: &ClusterName, new: &str, known: &'a Known<'_>) -> Decided<'a> {
    let there = known.expect(name)?;
    let called = there.spec.source.as_deref().unwrap_or(&there.spec.name);
    if called == new {
        return Ok((Step::Nothing, format!("kubeconfigs call it {new} already")));
    }
    let is_other = |it: &&BrokerCluster| {
        let calls = it.spec.source.as_deref().unwrap_or(&it.spec.name);
        it.spec.role == name.role && it.spec.name != name.name && (calls == new || it.spec.name == new)
    };
    if let Some(other) = known.all.iter().find(is_other) {
        let other = ClusterName::new(other.spec.role, &other.spec.name);
        return Err(format!(
            "{new} is the name of another cluster that is known, {other}: have that one removed first (resource-broker cluster \
             remove {other}), or choose another name"
        ));
    }
    let source = if new == there.spec.name { Value::Null } else { json!(new) };
    let done = format!("kubeconfigs call it {new} from now on; records and copies keep the name {}", there.spec.name);
    Ok((Step::Change { known: there, spec: json!({"source": source}) }, done))
}

fn remove<'a>(name: &ClusterName, yes: bool, known: &'a Known<'_>) -> Decided<'a> {
    let there = known.expect(name)?;
    let object = there.metadata.name.clone().unwrap_or_else(|| broker_cluster_name(name));
    if there.spec.removed {
        return Ok((
            Step::Nothing,
            format!(
                "it is being removed; its BrokerCluster {object} goes when that is done, and its status says what is left"
            ),
        ));
    }
    let count = known.count(name);
    let what = if count == 1 { "1 Assignment names".to_owned() } else { format!("{count} Assignments name") };
    if !yes {
        return Err(format!(
            "{what} {name}. They are deleted, the broker's marks and finalizers are taken off orders, copies and offers of that \
             cluster, and copies stay where they are and are nobody's; orders whose provider it is are placed anew. Take it out of \
             the kubeconfigs as well. Say --yes to have it so"
        ));
    }
    let done = format!(
        "is being removed; {what} it. When all is done its BrokerCluster {object} goes; take {} out of the kubeconfigs",
        there.spec.source.as_deref().unwrap_or(&there.spec.name)
    );
    Ok((Step::Change { known: there, spec: json!({"removed": true}) }, done))
}

#[cfg(test)]
mod tests {
    use resource_broker_api::names::Role;

    use super::*;

    fn name(name: &str) -> ClusterName {
        ClusterName::new(Role::Provider, name)
    }

    fn known(called: &str, spec: &Value, status: &Value) -> BrokerCluster {
        let mut all = json!({"role": "provider", "name": called});
        all.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        serde_json::from_value(json!({
            "apiVersion": "broker.platform-mesh.io/v1alpha1", "kind": "BrokerCluster", "metadata": {"name": called},
            "spec": all, "status": status,
        }))
        .unwrap()
    }

    fn record(provider: &str, fingerprint: &str) -> Assignment {
        serde_json::from_value(json!({
            "apiVersion": "broker.platform-mesh.io/v1alpha1", "kind": "Assignment", "metadata": {"name": "r"},
            "spec": {
                "consumer": {"cluster": "consumer#c", "group": "g", "version": "v1", "kind": "K", "name": "n", "uid": "u"},
                "provider": {
                    "cluster": format!("provider#{provider}"), "name": "n", "fingerprint": fingerprint,
                    "acceptAPI": {"namespace": "n", "name": "o"},
                },
            },
        }))
        .unwrap()
    }

    fn changed(now: &str) -> Value {
        let condition = json!({
            "type": "ClusterChanged", "status": "True", "reason": "ClusterChanged", "message": "m",
            "lastTransitionTime": "2020-01-01T00:00:00Z",
        });
        json!({"fingerprint": now, "conditions": [condition]})
    }

    /// What is written to the spec, or what is said instead.
    fn given(order: &Order, called: &str, all: &[BrokerCluster], records: &[Assignment]) -> Result<Value, String> {
        let known = Known { all, records, namespace: "broker" };
        match order.step(&name(called), &known)? {
            (Step::Nothing, done) => Err(done),
            (Step::Create(spec), _) => Ok(serde_json::to_value(spec).unwrap()),
            (Step::Change { spec, .. }, _) => Ok(spec),
        }
    }

    #[test]
    fn who_is_accepted_takes_the_place_of_all_that_were_recorded() {
        let all = [known("a", &json!({"fingerprint": "kube-system:1"}), &changed("kube-system:2"))];
        let records = [record("a", "kube-system:0"), record("b", "kube-system:9")];
        assert_eq!(
            given(&Order::Accept(None), "a", &all, &records),
            Ok(json!({"fingerprint": "kube-system:2", "previousFingerprints": ["kube-system:0", "kube-system:1"]}))
        );
        // One that says more of itself is no other.
        let all = [known("a", &json!({"fingerprint": "kube-system:1"}), &json!({"fingerprint": "property:x"}))];
        assert!(given(&Order::Accept(None), "a", &all, &[]).unwrap_err().contains("nothing to accept"));
        // Records that were left behind follow, too.
        let all = [known("a", &json!({"fingerprint": "kube-system:1"}), &json!({"fingerprint": "kube-system:1"}))];
        assert_eq!(
            given(&Order::Accept(None), "a", &all, &records).unwrap()["previousFingerprints"],
            json!(["kube-system:0"])
        );
        let all = [known("a", &json!({"fingerprint": "kube-system:1"}), &json!({}))];
        assert!(given(&Order::Accept(None), "a", &all, &[]).unwrap_err().contains("has not said yet"));
    }

    #[test]
    fn a_cluster_of_its_own_is_declared_in_ones_own_words() {
        let order = Order::Accept(Some("berlin".into()));
        let made = given(&order, "b", &[], &[]).unwrap();
        assert_eq!((&made["name"], &made["fingerprint"]), (&json!("b"), &json!("berlin")));
        for text in ["", "kube-system:1", "property:x"] {
            let error = given(&Order::Accept(Some(text.into())), "b", &[], &[]).unwrap_err();
            assert!(error.contains("a text of your own"), "{error}");
        }
    }

    #[test]
    fn a_new_name_must_be_nobodys() {
        let all = [known("a", &json!({}), &json!({})), known("b", &json!({"source": "c"}), &json!({}))];
        assert_eq!(given(&Order::Rename("new".into()), "a", &all, &[]), Ok(json!({"source": "new"})));
        for taken in ["b", "c"] {
            let error = given(&Order::Rename(taken.into()), "a", &all, &[]).unwrap_err();
            assert!(error.contains("cluster remove provider#b"), "{error}");
        }
        assert_eq!(given(&Order::Rename("b".into()), "b", &all, &[]), Ok(json!({"source": null})));
        assert!(given(&Order::Rename("c".into()), "b", &all, &[]).unwrap_err().contains("already"));
        let error = given(&Order::Rename("new".into()), "x", &all, &[]).unwrap_err();
        assert!(error.contains("provider#x is not known") && error.contains("provider#a, provider#b"), "{error}");
    }

    #[test]
    fn nothing_is_removed_without_a_yes() {
        let all = [known("a", &json!({}), &json!({}))];
        let error = given(&Order::Remove { yes: false }, "a", &all, &[record("a", "x")]).unwrap_err();
        assert!(error.contains("1 Assignment names provider#a") && error.contains("--yes"), "{error}");
        assert_eq!(given(&Order::Remove { yes: true }, "a", &all, &[]), Ok(json!({"removed": true})));
    }
}
