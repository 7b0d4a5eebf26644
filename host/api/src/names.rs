//! Names that the broker derives: clusters, copies, assignments. Pure functions; the same input gives the same name
//! in every process, since objects that already exist carry them.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The longest object name that an API server takes (a DNS subdomain, RFC 1123).
pub const MAX_NAME: usize = 253;

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
        let mut prefix = hex(&Sha256::digest(self.to_string().as_bytes())[..6]);
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
    let digest = hex(&Sha256::digest(name.as_bytes())[..8]);
    let kept = cut(&whole, MAX_NAME - digest.len() - 1);
    format!("{kept}-{digest}")
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
    let digest = hex(&hash.finalize()[..10]);
    let readable = format!("{}-{}", kind.to_lowercase(), name);
    format!("{}-{digest}", cut(&readable, 40))
}

/// The name of the `BrokerCluster` of a cluster: readable, and unique whatever the cluster is called.
pub fn broker_cluster_name(cluster: &ClusterName) -> String {
    let digest = hex(&Sha256::digest(cluster.to_string().as_bytes())[..5]);
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

/// At most `max` bytes of `text` (ASCII, as object names are), without a separator at the end.
fn cut(text: &str, max: usize) -> &str {
    let mut end = text.len().min(max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].trim_end_matches(['-', '.'])
}

fn hex(bytes: &[u8]) -> String {
    use fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
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
