use std::sync::Arc;

use resource_broker_api::broker::{BrokerClusterSpec, BrokerClusterStatus};

use super::*;
use crate::cache::Use;

fn provider(name: &str) -> ClusterName {
    ClusterName::new(Role::Provider, name)
}

/// What records say, and what kubeconfigs name.
#[derive(Default)]
struct House {
    directory: Directory,
    all: BTreeMap<ClusterName, Named>,
}

impl House {
    /// A record of a provider.
    fn known(mut self, name: &str, fingerprint: Option<&str>) -> Self {
        let spec = BrokerClusterSpec {
            role: Role::Provider,
            name: name.into(),
            fingerprint: fingerprint.map(str::to_owned),
            previous_fingerprints: Vec::new(),
            source: None,
            removed: false,
        };
        self.directory.clusters.insert(provider(name), Arc::new(BrokerCluster::new(name, spec)));
        self
    }

    fn change(mut self, name: &str, change: impl FnOnce(&mut BrokerCluster)) -> Self {
        let known = self.directory.clusters.get_mut(&provider(name)).unwrap();
        change(Arc::make_mut(known));
        self
    }

    /// So many Assignments name a provider, with this fingerprint.
    fn used(mut self, name: &str, objects: i64, fingerprint: Option<&str>) -> Self {
        let fingerprints = fingerprint.map(|it| (it.to_owned(), objects)).into_iter().collect();
        self.directory.uses.insert(provider(name), Use { objects, fingerprints });
        self
    }

    /// A kubeconfig names a provider that says this of itself.
    fn named(mut self, name: &str, look: Look) -> Self {
        let order = self.all.len() as u64;
        self.all.insert(provider(name), Named { look: Some(look), order, had_time: true, ..Named::default() });
        self
    }

    /// A kubeconfig names a provider that was not asked yet.
    fn unasked(mut self, name: &str) -> Self {
        self.all.insert(provider(name), Named { order: u64::MAX, ..Named::default() });
        self
    }

    fn with(mut self, name: &str, change: impl FnOnce(&mut Named)) -> Self {
        change(self.all.get_mut(&provider(name)).unwrap());
        self
    }

    fn serving(self, name: &str, as_name: &str) -> Self {
        self.with(name, |named| named.serves = Some(provider(as_name)))
    }

    /// What becomes of each, in a word: the name under which it is attached, with a question mark where that is not certain, or why
    /// not.
    fn outcome(&self) -> String {
        let verdicts = decide(&self.directory, &self.all);
        let words = verdicts.iter().map(|(name, verdict)| match verdict {
            Verdict::Serve { name: of, proven, warning, .. } => {
                let doubt = if *proven { "" } else { "?" };
                let warning = if warning.is_some() { "!" } else { "" };
                format!("{}={}{doubt}{warning}", name.name, of.name)
            }
            Verdict::Wait => format!("{} waits", name.name),
            Verdict::Refuse(refusal) => format!("{} {:?}", name.name, refusal.kind),
        });
        words.collect::<Vec<_>>().join(", ")
    }

    fn why(&self, name: &str) -> String {
        match decide(&self.directory, &self.all).remove(&provider(name)) {
            Some(Verdict::Refuse(refusal)) => refusal.why,
            other => panic!("{name} is not refused: {other:?}"),
        }
    }
}

fn is(uid: &str) -> Look {
    Look::Known(vec![format!("kube-system:{uid}")])
}

fn silent() -> Look {
    Look::Silent("no answer".into())
}

const ONE: Option<&str> = Some("kube-system:1");

#[test]
fn without_records_the_first_that_answers_serves() {
    let house = House::default().named("b", is("1")).named("a", is("1")).named("c", is("2"));
    assert_eq!(house.outcome(), "a Duplicate, b=b, c=c");
    let why = house.why("a");
    assert!(why.contains("provider#b") && why.contains("accept provider#a --fingerprint"), "{why}");
    // And goes on, whoever comes later.
    let house = House::default().named("a", is("1")).named("b", is("1")).serving("b", "b");
    assert_eq!(house.outcome(), "a Duplicate, b=b");
}

#[test]
fn the_name_that_records_use_serves() {
    let house = House::default().named("a", is("1")).named("b", is("1")).used("b", 3, None);
    assert_eq!(house.outcome(), "a Duplicate, b=b");
    assert!(house.why("a").contains("3 Assignments"), "{}", house.why("a"));
    // Also where the other one is attached already.
    let house = House::default().known("a", ONE).named("a", is("1")).named("b", is("1")).used("b", 1, None);
    assert_eq!(house.serving("a", "a").outcome(), "a Duplicate, b=b");
}

#[test]
fn nobody_is_attached_in_the_place_of_one_that_may_be_the_same_and_was_not_asked_yet() {
    let house = House::default().named("a", is("1")).unasked("b").used("b", 1, None);
    assert_eq!(house.outcome(), "a waits, b=b?");
    assert_eq!(house.with("b", |named| named.had_time = true).outcome(), "a=a, b=b?");
    // One with a recorded fingerprint is known well enough.
    let house = House::default().named("a", is("2")).unasked("b").known("b", ONE);
    assert_eq!(house.outcome(), "a=a, b=b?");
}

#[test]
fn two_names_that_records_of_an_earlier_release_use_both_go_on() {
    let house = House::default().named("a", is("1")).named("b", is("1")).used("a", 1, None).used("b", 1, ONE);
    assert_eq!(house.outcome(), "a=a, b=b");
}

#[test]
fn a_second_name_of_an_attached_cluster_is_refused() {
    let house = House::default().known("a", ONE).named("a", is("1")).serving("a", "a").named("b", is("1"));
    assert_eq!(house.outcome(), "a=a, b Duplicate");
}

#[test]
fn a_known_cluster_goes_on_under_its_name_whatever_kubeconfigs_call_it() {
    // Both are there for a moment, then the old one goes.
    let house = House::default().known("a", ONE).named("a", is("1")).serving("a", "a").named("b", is("1"));
    assert_eq!(house.with("a", |named| named.gone = true).outcome(), "a waits, b=a");
    // The old one went first.
    let house = House::default().known("a", ONE).used("a", 1, ONE).named("b", is("1"));
    assert_eq!(house.outcome(), "b=a");
    // No BrokerClusters can be kept: the Assignments say it.
    assert_eq!(House::default().used("a", 1, ONE).named("b", is("1")).outcome(), "b=a");
    // Not asked yet: the old one goes on.
    let house = House::default().known("a", ONE).named("a", is("1")).serving("a", "a").unasked("b");
    assert_eq!(house.with("a", |named| named.gone = true).outcome(), "a=a, b waits");
    // The old name comes back.
    let house = House::default().known("a", ONE).unasked("a").named("b", is("1")).serving("b", "a");
    assert_eq!(house.outcome(), "a waits, b=a");
    let house = House::default().known("a", ONE).named("a", is("1")).named("b", is("1")).serving("b", "a");
    assert_eq!(house.outcome(), "a=a, b Duplicate");
}

#[test]
fn a_rename_is_one_write() {
    let house = || House::default().known("a", ONE).change("a", |known| known.spec.source = Some("b".into()));
    assert_eq!(house().named("b", is("1")).outcome(), "b=a");
    assert_eq!(house().unasked("b").outcome(), "b=a?");
    assert_eq!(house().named("b", is("2")).outcome(), "b Changed");
    // The old name is a second one of the same cluster, or another cluster's, which cannot have it.
    assert_eq!(house().named("b", is("1")).named("a", is("1")).outcome(), "a Duplicate, b=a");
    assert_eq!(house().named("b", is("1")).named("a", is("2")).outcome(), "a Changed, b=a");
    assert_eq!(house().named("a", is("1")).outcome(), "a=a");
}

#[test]
fn another_cluster_under_a_known_name_is_refused() {
    let house = House::default().known("a", ONE).used("a", 1, ONE).named("a", is("2")).serving("a", "a");
    assert_eq!(house.outcome(), "a Changed");
    let why = house.why("a");
    assert!(
        why.contains("kube-system:1") && why.contains("kube-system:2") && why.contains("cluster accept provider#a"),
        "{why}"
    );
    // Also where the record of the cluster was lost.
    assert_eq!(House::default().used("a", 1, ONE).named("a", is("2")).outcome(), "a Changed");
    // And where it is the cluster of another record: kubeconfigs were swapped.
    let house = House::default().known("a", ONE).known("b", Some("kube-system:2"));
    let house = house.named("a", is("2")).named("b", is("1"));
    assert_eq!(house.outcome(), "a Changed, b Changed");
    assert!(house.why("a").contains("which is provider#b"), "{}", house.why("a"));
    let identities = identities(&house.directory, &decide(&house.directory, &house.all));
    assert!(identities[&provider("a")].changed && identities[&provider("a")].fingerprint.is_none());
}

#[test]
fn what_an_administrator_wrote_is_believed() {
    let own = Some("the one in Berlin");
    let house = House::default().known("a", ONE).known("b", own).named("a", is("1")).named("b", is("1"));
    assert_eq!(house.outcome(), "a=a, b=b");
    assert_eq!(House::default().known("b", own).named("b", is("7")).outcome(), "b=b");
}

#[test]
fn what_a_cluster_says_of_itself_later_does_not_make_it_another_one() {
    let both = |property: &str| Look::Known(vec![format!("property:{property}"), "kube-system:1".into()]);
    let alone = |property: &str| Look::Known(vec![format!("property:{property}")]);
    assert_eq!(House::default().known("a", ONE).named("a", both("x")).outcome(), "a=a");
    // Two made from one copy, which say that they are two.
    let house = || {
        House::default().known("a", ONE).change("a", |known| {
            known.status = Some(BrokerClusterStatus { fingerprint: Some("property:x".into()), ..Default::default() });
        })
    };
    assert_eq!(house().named("a", both("x")).named("b", alone("y")).outcome(), "a=a, b=b");
    assert_eq!(house().named("b", alone("x")).outcome(), "b=a");
}

#[test]
fn a_cluster_that_cannot_be_told_is_attached_with_a_warning() {
    assert_eq!(House::default().named("a", Look::Unreadable).outcome(), "a=a!");
    assert_eq!(House::default().known("a", ONE).named("a", Look::Unreadable).outcome(), "a=a!");
    let default = Look::Known(vec!["default:1".into()]);
    assert_eq!(House::default().known("a", ONE).named("a", default).outcome(), "a=a!");
}

#[test]
fn a_cluster_that_does_not_answer_is_attached_only_where_it_is_known() {
    let house = House::default().named("a", silent()).known("b", ONE).named("b", silent()).used("c", 1, None);
    assert_eq!(house.named("c", silent()).outcome(), "a waits, b=b?, c=c?");
    let compute = ClusterName::new(Role::Compute, "compute");
    let all = BTreeMap::from([(compute.clone(), Named { look: Some(silent()), ..Named::default() })]);
    let verdicts = decide(&Directory::default(), &all);
    assert!(matches!(&verdicts[&compute], Verdict::Serve { proven: false, .. }), "{verdicts:?}");
}

#[test]
fn one_cluster_may_have_several_roles() {
    let consumer = ClusterName::new(Role::Consumer, "a");
    let house = House::default().known("a", ONE).named("a", is("1"));
    let mut all = house.all.clone();
    all.insert(consumer.clone(), Named { look: Some(is("1")), ..Named::default() });
    let verdicts = decide(&house.directory, &all);
    assert!(verdicts.values().all(|verdict| matches!(verdict, Verdict::Serve { warning: None, .. })), "{verdicts:?}");
}

#[test]
fn what_was_removed_is_not_attached_again() {
    let house = || House::default().known("a", ONE).change("a", |known| known.spec.removed = true);
    assert_eq!(house().named("a", is("1")).outcome(), "a Removed");
    assert_eq!(house().named("b", is("1")).outcome(), "b Removed", "nor under another name");
    assert_eq!(house().named("a", silent()).outcome(), "a Removed");
}
