//! Rules for references from a peering to its networks.

use resource_broker_plugin_kit::glob::{Glob, list};
use resource_broker_plugin_kit::judging::Broken;
use resource_broker_sdk::Document;
use serde::Deserialize;

/// The two ends of a generic peering.
const ENDS: [&str; 2] = ["localNetworkRef", "remoteNetworkRef"];

/// What an offer asks of a reference: `NAME`, or `NAMESPACE/NAME`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Rules {
    /// The name, without its namespace, is as one of these patterns; empty: any.
    one_of: Vec<Glob>,
    /// It is as none of these.
    none_of: Vec<Glob>,
    /// Whether the network may be in another namespace than the object.
    namespace: Namespace,
    /// Whether the two ends may be one network.
    itself: Permission,
    /// Whether an object without the field is refused.
    pub required: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Namespace {
    #[default]
    Any,
    Same,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Permission {
    Allow,
    #[default]
    Deny,
}

/// A network's namespace and name.
type Target<'a> = (&'a str, &'a str);

impl Rules {
    /// Every rule that a reference breaks.
    pub fn broken(&self, text: &str, key: &str, object: &Document<'_>) -> Vec<Broken> {
        let here = object.text("metadata.namespace").unwrap_or_default();
        let Some(target) = read(text, &here) else {
            let reason = "is no reference: write NAME or NAMESPACE/NAME";
            return vec![Broken::new("syntax", "the name of a network", reason)];
        };
        [self.wrong_name(target.1), self.wrong_namespace(target.0, &here), self.reflexive(target, key, object, &here)]
            .into_iter()
            .flatten()
            .collect()
    }

    fn wrong_name(&self, name: &str) -> Option<Broken> {
        if let Some(excluded) = self.none_of.iter().find(|pattern| pattern.is_match(name)) {
            let reason = format!("is ruled out here, as is all of {excluded}: name another network");
            return Some(Broken::new("noneOf", format!("a network that is none of {}", list(&self.none_of)), reason));
        }
        if self.one_of.is_empty() || self.one_of.iter().any(|pattern| pattern.is_match(name)) {
            return None;
        }
        let names = list(&self.one_of);
        Some(Broken::new(
            "oneOf",
            format!("one of {names}"),
            format!("is none of the networks that can be joined here: {names}"),
        ))
    }

    fn wrong_namespace(&self, namespace: &str, here: &str) -> Option<Broken> {
        (self.namespace == Namespace::Same && namespace != here).then(|| {
            let reason = "is in another namespace, which this provider does not join: name a network beside the object";
            Broken::new("namespace", format!("a network in the namespace {here}"), reason)
        })
    }

    /// Whether the other end is the same network.
    fn reflexive(&self, target: Target<'_>, key: &str, object: &Document<'_>, here: &str) -> Option<Broken> {
        let other_key = ENDS.iter().find(|end| **end != key).filter(|_| ENDS.contains(&key))?;
        let other = object.text(&format!("spec.{other_key}"))?;
        if self.itself == Permission::Allow || read(&other, here) != Some(target) {
            return None;
        }
        let reason =
            format!("is the network of spec.{other_key} as well, and nothing is joined with itself: name two networks");
        Some(Broken::new("itself", format!("another network than spec.{other_key}"), reason))
    }
}

fn read<'a>(text: &'a str, here: &'a str) -> Option<Target<'a>> {
    let (namespace, name) = text.trim().rsplit_once('/').unwrap_or((here, text.trim()));
    let is_name = |text: &str| !text.is_empty() && !text.contains(['/', ' ']);
    (is_name(name) && (namespace == here || is_name(namespace))).then_some((namespace, name))
}
