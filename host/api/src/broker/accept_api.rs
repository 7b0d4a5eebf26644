//! `AcceptAPI`: a provider's offer to take the objects of one API that pass its filters.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};

use crate::{
    names::{ClusterName, copy_name, copy_namespace, letter_copy_name},
    schema,
};

/// What a provider offers.
#[derive(CustomResource, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "broker.platform-mesh.io",
    version = "v1alpha1",
    kind = "AcceptAPI",
    root = "AcceptApi",
    plural = "acceptapis",
    singular = "acceptapi",
    shortname = "aapi",
    category = "broker",
    namespaced,
    status = "AcceptApiStatus",
    derive = "PartialEq",
    doc = "A provider's offer to take the objects of one API that pass its filters.",
    printcolumn(name = "Resource", type_ = "string", json_path = ".spec.gvr.resource"),
    printcolumn(name = "Valid", type_ = "string", json_path = r#".status.conditions[?(@.type=="Valid")].status"#),
    printcolumn(name = "Objects", type_ = "integer", json_path = ".status.objects"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Group", type_ = "string", json_path = ".spec.gvr.group", priority = "1"),
    printcolumn(name = "Version", type_ = "string", json_path = ".spec.gvr.version", priority = "1"),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Valid")].reason"#,
        priority = "1"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct AcceptApiSpec {
    /// The API whose objects are offered a place.
    pub gvr: GroupVersionResource,
    /// What an object must satisfy to be taken: every rule of every filter. None: all objects are taken.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<Filter>,
    /// How copies that are made under this offer are called, and where they are put. Changing it moves nothing that is placed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copies: Option<Copies>,
    /// Where related resources of copies may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub related_resources: Option<RelatedResources>,
}

/// How copies are called, and where they are put.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Copies {
    /// The namespace of a copy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<CopyNamespace>,
    /// The name of a copy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub names: Option<CopyNames>,
}

impl Copies {
    /// Every way in which a copy may be called and placed, the default first.
    pub const ALL: [Self; 4] = {
        const fn of(namespace: CopyNamespace, names: CopyNames) -> Copies {
            Copies { namespace: Some(namespace), names: Some(names) }
        }
        [
            of(CopyNamespace::Same, CopyNames::Hash),
            of(CopyNamespace::Same, CopyNames::Letter),
            of(CopyNamespace::PerConsumer, CopyNames::Hash),
            of(CopyNamespace::PerConsumer, CopyNames::Letter),
        ]
    };

    /// The name of the copy of `consumer`'s object `name`.
    pub fn name(self, consumer: &ClusterName, name: &str) -> String {
        match self.names.unwrap_or_default() {
            CopyNames::Hash => copy_name(consumer, name),
            CopyNames::Letter => letter_copy_name(consumer, name),
        }
    }

    /// The namespace of the copy of an object in `consumer`'s namespace `namespace`.
    pub fn namespace(self, consumer: &ClusterName, namespace: &str) -> String {
        match self.namespace.unwrap_or_default() {
            CopyNamespace::Same => namespace.to_owned(),
            CopyNamespace::PerConsumer => copy_namespace(consumer, namespace),
        }
    }
}

/// The namespace of a copy. HASH stands for the first 12 hex digits of the SHA-256 of the consumer cluster's name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum CopyNamespace {
    /// The consumer object's. The default.
    #[default]
    Same,
    /// `HASH-NAMESPACE`: one for each namespace of each consumer.
    PerConsumer,
}

/// The name of a copy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum CopyNames {
    /// `HASH-NAME`. The default.
    #[default]
    Hash,
    /// `c-HASH-NAME`, which begins with a letter: for operators that name a Service after an object.
    Letter,
}

/// Where related resources of copies may be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RelatedResources {
    /// Namespaces besides the copy's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub namespaces: Vec<String>,
}

/// One API, as an API server serves it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct GroupVersionResource {
    /// The API group; empty for the core group.
    pub group: String,
    /// The version within the group.
    #[schemars(length(min = 1))]
    pub version: String,
    /// The plural, lower-case name, as in the API server's paths.
    #[schemars(length(min = 1))]
    pub resource: String,
}

/// Rules over one field of an object's spec. A field that the object lacks breaks none of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Filter {
    /// The field, as a dotted path below spec: `fqdn`, `network.cidr`.
    #[schemars(
        length(min = 1),
        extend("x-kubernetes-validations" = [{
            "rule": "!self.startsWith('spec.')",
            "message": "a filter key is a path below spec already: drop the leading 'spec.'"
        }])
    )]
    pub key: String,
    /// The field's value, as text, is one of these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_in: Option<Vec<String>>,
    /// The field's value is a number within these bounds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boundary: Option<Boundary>,
    /// The field's value, as text, ends so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suffix: Option<String>,
    /// Rules that the API's own filter component defines. The standard one knows none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::free_object")]
    pub with: Option<Map<String, Value>>,
}

/// Bounds of a number, each of them included; a bound that is absent does not limit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Boundary {
    /// The least value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<Number>,
    /// The greatest value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<Number>,
}

/// What the broker makes of the offer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AcceptApiStatus {
    /// `Valid`: the API is served and watched, and the filters make sense to its filter component.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
    /// How many consumer objects this offer holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub objects: Option<i64>,
    /// The metadata.generation that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// What each broker that reads the offer makes of it. `Valid` is what the one with the smallest id says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::brokers")]
    pub brokers: Vec<OfferBroker>,
}

/// What one broker makes of an offer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OfferBroker {
    /// The broker's id.
    pub id: String,
    /// How many of its consumers' objects the offer holds.
    #[serde(default)]
    pub objects: i64,
    /// Whether the offer makes sense to it: `True`, `False` or `Unknown`.
    #[serde(default)]
    pub valid: String,
    /// Why, as a sentence for people.
    #[serde(default)]
    pub message: String,
}
