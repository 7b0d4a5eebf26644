//! Names that the broker derives: clusters, copies, assignments. Pure functions; the same input gives the same name
//! in every process, since objects that already exist carry them.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::keys;

/// The longest object name that an API server takes (a DNS subdomain, RFC 1123).
pub const MAX_NAME: usize = 253;
/// The longest name of a namespace (a DNS label, RFC 1123).
pub const MAX_NAMESPACE: usize = 63;
/// What names of copies that are to begin with a letter begin with, before the consumer's hash.
const LETTER: &str = "c-";

/// What a cluster is to the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Holds the broker's own records.
    Coordination,
    /// Runs what migration stages deploy.
    Compute,
    /// Holds the objects that people create.
    Consumer,
    /// Publishes offers and holds the copies.
    Provider,
}

impl Role {
    /// The word that begins a cluster's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Coordination => "coordination",
            Self::Compute => "compute",
            Self::Consumer => "consumer",
            Self::Provider => "provider",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A cluster's identity, written `ROLE#NAME`. Copies carry its hash: it must not change while objects exist.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClusterName {
    /// What the cluster is to the broker.
    pub role: Role,
    /// The operator's name for it, unique within the role.
    pub name: String,
}

impl ClusterName {
    /// A cluster of `role` called `name`.
    pub fn new(role: Role, name: impl Into<String>) -> Self {
        Self { role, name: name.into() }
    }

    /// Reads `ROLE#NAME`; `None` where the text has no such form.
    pub fn parse(text: &str) -> Option<Self> {
        let (role, name) = text.split_once('#')?;
        let role = [Role::Coordination, Role::Compute, Role::Consumer, Role::Provider]
            .into_iter()
            .find(|r| r.as_str() == role)?;
        (!name.is_empty()).then(|| Self::new(role, name))
    }

    /// What the names of this cluster's copies begin with, `HASH-`.
    pub fn copy_prefix(&self) -> String {
        let mut prefix = hex::encode(&Sha256::digest(self.to_string().as_bytes())[..6]);
        prefix.push('-');
        prefix
    }
}

impl fmt::Display for ClusterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.role, self.name)
    }
}

/// A kind in one version of its API group.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Gvk {
    /// The API group; empty for the core group.
    pub group: String,
    /// The version, as `v1alpha1`.
    pub version: String,
    /// The kind, as `Certificate`.
    pub kind: String,
}

impl Gvk {
    /// A kind; the group `core` is the core group, whose name is empty.
    pub fn new(group: &str, version: &str, kind: &str) -> Self {
        let group = if group == "core" { "" } else { group };
        Self { group: group.into(), version: version.into(), kind: kind.into() }
    }

    /// Reads `Kind.version.group`, as `--watch-kind` takes it; `None` where a part is missing.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, '.');
        let (kind, version, group) = (parts.next()?, parts.next()?, parts.next()?);
        (![kind, version, group].contains(&"")).then(|| Self::new(group, version, kind))
    }

    /// The `apiVersion` of objects of this kind.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }
}

impl fmt::Display for Gvk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let group = if self.group.is_empty() { "core" } else { &self.group };
        write!(f, "{}.{}.{group}", self.kind, self.version)
    }
}

/// The name of the copy of `consumer`'s object `name`: `HASH-NAME`. Where that is longer than an API server takes,
/// NAME is cut and a digest of the whole follows it, so that names stay unique.
pub fn copy_name(consumer: &ClusterName, name: &str) -> String {
    let whole = format!("{}{name}", consumer.copy_prefix());
    if whole.len() <= MAX_NAME {
        return whole;
    }
    let digest = hex::encode(&Sha256::digest(name.as_bytes())[..8]);
    let kept = cut(&whole, MAX_NAME - digest.len() - 1);
    format!("{kept}-{digest}")
}

/// The name of the copy of `consumer`'s object `name` where it has to begin with a letter: `c-HASH-NAME`, shortened where it
/// would be too long.
pub fn letter_copy_name(consumer: &ClusterName, name: &str) -> String {
    prefixed(&format!("{LETTER}{}", consumer.copy_prefix()), name, MAX_NAME)
}

/// The namespace that a provider keeps for one namespace of one consumer: `HASH-NAMESPACE`, shortened where it would be too
/// long.
pub fn copy_namespace(consumer: &ClusterName, namespace: &str) -> String {
    prefixed(&consumer.copy_prefix(), namespace, MAX_NAMESPACE)
}

/// What the name of a copy begins with before the object's own name: `HASH-` or `c-HASH-`.
pub fn prefix_of_copy(consumer: &ClusterName, copy: &str) -> String {
    let prefix = consumer.copy_prefix();
    let letter = format!("{LETTER}{prefix}");
    if copy.starts_with(&letter) { letter } else { prefix }
}

/// `prefix` and `name`; where that is longer than `max`, `name` is cut and a digest of it follows. A name that ends like one
/// that was cut gets the digest too, so that no two names give the same.
fn prefixed(prefix: &str, name: &str, max: usize) -> String {
    const HEX: usize = 16;
    let ends_like_a_digest = name.rsplit_once('-').is_some_and(|(_, end)| {
        end.len() == HEX && end.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f'))
    });
    let whole = format!("{prefix}{name}");
    if whole.len() <= max && !ends_like_a_digest {
        return whole;
    }
    let digest = hex::encode(&Sha256::digest(name.as_bytes())[..HEX / 2]);
    format!("{}-{digest}", cut(&whole, max - HEX - 1))
}

/// The name of the Assignment of one consumer object. It does not hold the version: an object is one object in every
/// version that its API serves.
pub fn assignment_name(consumer: &ClusterName, group: &str, kind: &str, namespace: Option<&str>, name: &str) -> String {
    let cluster = consumer.to_string();
    let mut hash = Sha256::new();
    // Each part goes with its length: crafted names cannot make two objects look like one.
    for part in [cluster.as_str(), group, kind, namespace.unwrap_or_default(), name] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    let digest = hex::encode(&hash.finalize()[..10]);
    let readable = format!("{}-{}", kind.to_lowercase(), name);
    format!("{}-{digest}", cut(&readable, 40))
}

/// The name of the `BrokerCluster` of a cluster: readable, and unique whatever the cluster is called.
pub fn broker_cluster_name(cluster: &ClusterName) -> String {
    let digest = hex::encode(&Sha256::digest(cluster.to_string().as_bytes())[..5]);
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let plain: String =
        cluster.name.to_lowercase().chars().map(|c| if is_plain(c) { c } else { '-' }).collect::<String>();
    // Of a path, its end says most.
    let parts: Vec<&str> = plain.split('-').filter(|part| !part.is_empty()).collect();
    let mut readable = String::new();
    for part in parts.iter().rev() {
        if !readable.is_empty() && readable.len() + part.len() >= 30 {
            break;
        }
        readable = if readable.is_empty() { cut(part, 30).to_owned() } else { format!("{part}-{readable}") };
    }
    let dash = if readable.is_empty() { "" } else { "-" };
    format!("{}-{readable}{dash}{digest}", cluster.role)
}

/// How many buckets copies are spread over.
const BUCKETS: u16 = 1024;

/// The bucket of a record's copies, for the label: a number from 0 to 1023 that is the same for ever.
pub fn bucket(assignment: &str) -> u16 {
    let digest = Sha256::digest(assignment.as_bytes());
    u16::from_be_bytes([digest[0], digest[1]]) % BUCKETS
}

/// The finalizer of the broker with this id on an object that is a copy itself: the copy's own broker holds it by the public name.
/// What is no part of a qualified name, or too long for one, is replaced by a digest.
pub fn own_finalizer(broker: &str) -> String {
    const LONGEST: usize = 63 - "generic-finalizer-".len();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.' || c == '_';
    let ends_well = broker.ends_with(|c: char| c.is_ascii_alphanumeric());
    if !broker.is_empty() && broker.len() <= LONGEST && broker.chars().all(is_plain) && ends_well {
        return format!("{}-{broker}", keys::GENERIC_FINALIZER);
    }
    format!("{}-{}", keys::GENERIC_FINALIZER, hex::encode(&Sha256::digest(broker.as_bytes())[..10]))
}

/// At most `max` bytes of `text` (ASCII, as object names are), without a separator at the end.
fn cut(text: &str, max: usize) -> &str {
    let mut end = text.len().min(max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].trim_end_matches(['-', '.'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn consumer(name: &str) -> ClusterName {
        ClusterName::new(Role::Consumer, name)
    }

    #[test]
    fn the_prefix_is_the_first_six_bytes_of_the_clusters_sha256() {
        // printf 'consumer#beta' | sha256sum
        assert_eq!(consumer("beta").copy_prefix(), PREFIX_OF_BETA);
    }
    const PREFIX_OF_BETA: &str = "19026cc739aa-";

    #[test]
    fn a_cluster_name_reads_back() {
        let name = consumer("a#b");
        assert_eq!(ClusterName::parse(&name.to_string()), Some(name));
        assert_eq!(ClusterName::parse("elsewhere#x"), None);
        assert_eq!(ClusterName::parse("consumer#"), None);
        assert_eq!(ClusterName::parse("consumer"), None);
    }

    #[test]
    fn buckets_and_finalizers_stay_what_they_are() {
        // printf 'certificate-www-b79ca3d33b9f2efd9c62' | sha256sum
        assert_eq!(bucket("certificate-www-b79ca3d33b9f2efd9c62"), BUCKET_OF_WWW);
        let uid = "0b1d2c3e-4f50-6172-8394-a5b6c7d8e9f0";
        assert_eq!(own_finalizer(uid), format!("broker.platform-mesh.io/generic-finalizer-{uid}"));
        for odd in ["", "a/b", "-", "ends-", &"x".repeat(46)] {
            let name = own_finalizer(odd);
            let (_, name) = name.split_once('/').unwrap();
            assert!(name.len() <= 63 && name.ends_with(|c: char| c.is_ascii_hexdigit()), "{name}");
        }
        assert_ne!(own_finalizer("a/b"), own_finalizer("a/c"));
    }
    const BUCKET_OF_WWW: u16 = 833;

    #[test]
    fn long_copy_names_are_cut_and_stay_apart() {
        let (one, two) = ("a".repeat(253), format!("{}b", "a".repeat(252)));
        let (one, two) = (copy_name(&consumer("c"), &one), copy_name(&consumer("c"), &two));
        assert_eq!((one.len(), two.len()), (MAX_NAME, MAX_NAME));
        assert_ne!(one, two);
        let dotted = copy_name(&consumer("c"), &format!("{}.{}", "a".repeat(222), "b".repeat(30)));
        assert!(!dotted.contains(".-"), "{dotted}");
    }

    #[test]
    fn names_of_broker_clusters_are_readable_and_unique() {
        let of = |name: &str| broker_cluster_name(&ClusterName::new(Role::Provider, name));
        assert!(of("nestor").starts_with("provider-nestor-"), "{}", of("nestor"));
        assert!(of("/etc/providers/one.kubeconfig+Admin@One").contains("one-kubeconfig-admin-one-"));
        assert_ne!(of("a.b"), of("a-b"));
        for name in ["", "+", "Ä", "/a/very/long/path/that/nobody/would/type/by/hand/kubeconfig.yaml+kind-kind"] {
            let name = of(name);
            assert!(name.len() <= 63 && !name.contains("--"), "{name}");
        }
    }

    #[test]
    fn copies_may_begin_with_a_letter_and_have_a_namespace_for_each_consumer() {
        let beta = consumer("beta");
        assert_eq!(copy_name(&beta, "web"), "19026cc739aa-web");
        assert_eq!(letter_copy_name(&beta, "web"), "c-19026cc739aa-web");
        assert_eq!(copy_namespace(&beta, "team"), "19026cc739aa-team");
        for (copy, prefix) in [("19026cc739aa-web", "19026cc739aa-"), ("c-19026cc739aa-web", "c-19026cc739aa-")] {
            assert_eq!(prefix_of_copy(&beta, copy), prefix);
        }
        // An object's name may look like the letter form of another's.
        assert_eq!(prefix_of_copy(&beta, &copy_name(&beta, "c-web")), "19026cc739aa-");
    }

    #[test]
    fn long_namespaces_and_letter_names_are_shortened_and_stay_apart() {
        let beta = consumer("beta");
        let longest = "n".repeat(50);
        assert_eq!(copy_namespace(&beta, &longest), format!("19026cc739aa-{longest}"), "63 fit");
        let long = "n".repeat(51);
        let short = copy_namespace(&beta, &long);
        // printf 'nnn…' (51) | sha256sum
        let digest = hex::encode(&Sha256::digest(long.as_bytes())[..8]);
        assert_eq!(short, format!("19026cc739aa-{}-{digest}", "n".repeat(33)));
        assert_eq!(short.len(), MAX_NAMESPACE);
        assert_ne!(short, copy_namespace(&beta, &"n".repeat(52)));
        // A namespace that is named like the shortened one of another.
        let crafted = short.strip_prefix("19026cc739aa-").unwrap();
        assert_ne!(copy_namespace(&beta, crafted), short);
        let dashed = copy_namespace(&beta, &format!("{}-{}", "n".repeat(32), "m".repeat(30)));
        assert!(!dashed.contains("--") && dashed.len() <= MAX_NAMESPACE, "{dashed}");
        let name = letter_copy_name(&beta, &"a".repeat(253));
        assert!(name.len() == MAX_NAME && name.starts_with("c-19026cc739aa-aaa"), "{name}");
        assert_ne!(name, letter_copy_name(&beta, &format!("{}b", "a".repeat(252))));
    }

    #[test]
    fn assignment_names_are_unique_and_short() {
        let of = |cluster: &str, kind: &str, namespace: &str, name: &str| {
            assignment_name(&consumer(cluster), "g", kind, Some(namespace), name)
        };
        assert_ne!(of("a", "K", "ns", "x"), of("b", "K", "ns", "x"));
        // Parts that read the same when joined.
        assert_ne!(of("a", "K", "n", "sx"), of("a", "K", "ns", "x"));
        assert!(of("a", "K", "ns", &"x".repeat(253)).len() <= 63, "fits a label value");
    }
}
