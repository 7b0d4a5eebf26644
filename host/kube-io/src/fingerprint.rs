//! What tells one cluster from another, whatever it is called and wherever it is reached.

use http::{Request, StatusCode};
use serde_json::Value;

use crate::transport::{Cluster, RequestError};

/// Where a cluster says who it is, the most telling first: the path, what is believed of the answer, and the word that the
/// fingerprint begins with.
const SOURCES: [Source; 4] = [
    Source {
        word: "property",
        path: "/apis/about.k8s.io/v1alpha1/clusterproperties/cluster.clusterset.k8s.io",
        value: |object| object["spec"]["value"].as_str(),
    },
    Source {
        word: WORKSPACE,
        path: "/apis/core.kcp.io/v1alpha1/logicalclusters/cluster",
        value: |object| object["metadata"]["annotations"]["kcp.io/cluster"].as_str(),
    },
    Source {
        word: "kube-system",
        path: "/api/v1/namespaces/kube-system",
        value: |object| object["metadata"]["uid"].as_str(),
    },
    Source { word: "default", path: "/api/v1/namespaces/default", value: |object| object["metadata"]["uid"].as_str() },
];

const WORKSPACE: &str = "logicalcluster";

/// The longest fingerprint, in bytes: nobody's own text may fill a record.
const LONGEST: usize = 253;

struct Source {
    word: &'static str,
    path: &'static str,
    value: fn(&Value) -> Option<&str>,
}

/// What a cluster said of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// What it is known by, the most telling first; never empty. Not everything that it could say: what is asked for.
    Known(Vec<String>),
    /// Nothing of it may be read, or is there.
    Unreadable,
    /// It does not answer, or not sensibly: why.
    Silent(String),
}

impl Look {
    /// Whether the cluster is the one with this fingerprint; `None` where that cannot be told.
    pub fn is(&self, fingerprint: &str) -> Option<bool> {
        let Self::Known(all) = self else { return None };
        if all.iter().any(|one| one == fingerprint) {
            return Some(true);
        }
        // What it does not say at all proves nothing.
        let word = word_of(fingerprint)?;
        all.iter().any(|one| word_of(one) == Some(word)).then_some(false)
    }

    /// What it is known by first of all.
    pub fn main(&self) -> Option<&str> {
        match self {
            Self::Known(all) => all.first().map(String::as_str),
            Self::Unreadable | Self::Silent(_) => None,
        }
    }
}

/// Where a fingerprint is from; `None` for an administrator's own text.
fn word_of(fingerprint: &str) -> Option<&'static str> {
    let (word, value) = fingerprint.split_once(':')?;
    SOURCES.iter().map(|source| source.word).find(|it| *it == word && !value.is_empty())
}

/// Whether an administrator wrote this himself: it is believed, and never compared with what a cluster says.
pub fn is_own_text(fingerprint: &str) -> bool {
    word_of(fingerprint).is_none()
}

/// Asks a cluster who it is: the first source that it has, and those of the fingerprints that are `expected`. Not held up by
/// [`Cluster::suspect`].
pub async fn look(cluster: &Cluster, expected: &[String]) -> Look {
    let mut all = Vec::new();
    for Source { word, path, value } in SOURCES {
        let is_expected = expected.iter().any(|one| word_of(one) == Some(word));
        // Elsewhere nobody has it, and whoever may do little is denied the question.
        let is_elsewhere = word == WORKSPACE && !cluster.is_workspace();
        if !is_expected && (!all.is_empty() || is_elsewhere) {
            continue;
        }
        let Ok(request) = Request::get(path).body(Vec::new()) else { continue };
        match cluster.request_unproven(request).await {
            Ok(reply) => {
                let object: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
                let value = value(&object).filter(|value| !value.is_empty() && value.len() <= LONGEST);
                all.extend(value.map(|value| format!("{word}:{value}")));
            }
            Err(error) if says_nothing(&error) => {}
            Err(error) => return Look::Silent(error.to_string()),
        }
    }
    if all.is_empty() { Look::Unreadable } else { Look::Known(all) }
}

/// Whether a cluster answers that there is nothing to read for us.
fn says_nothing(error: &RequestError) -> bool {
    matches!(
        error.code(),
        Some(
            StatusCode::FORBIDDEN
                | StatusCode::NOT_FOUND
                | StatusCode::METHOD_NOT_ALLOWED
                | StatusCode::GONE
                | StatusCode::NOT_ACCEPTABLE
        )
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;
    use crate::{
        observe::Nobody,
        testing::{answer, cluster},
    };

    /// What is found of a cluster that answers these paths so, and everything else with 403; and what it was asked.
    async fn found(answers: &'static [(&'static str, u16, &'static str)], expected: &[&str]) -> (Look, Vec<String>) {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = asked.clone();
        let cluster = cluster("provider#p", Nobody, move |request| {
            let path = request.uri().path().to_owned();
            seen.lock().push(path.rsplit('/').next().unwrap_or_default().to_owned());
            let found = answers.iter().find(|(end, ..)| path.ends_with(end)).copied();
            async move { found.map_or_else(|| answer(403, "{}"), |(_, code, body)| answer(code, body)) }
        });
        let expected: Vec<String> = expected.iter().map(|it| (*it).to_owned()).collect();
        let look = look(&cluster, &expected).await;
        let asked = asked.lock().clone();
        (look, asked)
    }

    fn known(all: &[&str]) -> Look {
        Look::Known(all.iter().map(|it| (*it).to_owned()).collect())
    }

    const SYSTEM: (&str, u16, &str) = ("/kube-system", 200, r#"{"metadata": {"uid": "s"}}"#);
    const DEFAULT: (&str, u16, &str) = ("/default", 200, r#"{"metadata": {"uid": "d"}}"#);
    const PROPERTY: (&str, u16, &str) = ("/cluster.clusterset.k8s.io", 200, r#"{"spec": {"value": "one"}}"#);
    const LOGICAL: (&str, u16, &str) =
        ("/cluster", 200, r#"{"metadata": {"uid": "x", "annotations": {"kcp.io/cluster": "w1"}}}"#);

    #[tokio::test]
    async fn the_first_that_can_be_read_counts() {
        assert_eq!(found(&[PROPERTY, LOGICAL, SYSTEM], &[]).await.0, known(&["property:one"]));
        let (look, asked) = found(&[SYSTEM, DEFAULT], &[]).await;
        assert_eq!((look, asked.len()), (known(&["kube-system:s"]), 2), "and no more is asked");
        assert_eq!(found(&[DEFAULT], &[]).await.0, known(&["default:d"]));
        assert_eq!(found(&[("/kube-system", 404, "{}")], &[]).await.0, Look::Unreadable);
        assert_eq!(found(&[("/kube-system", 200, "nonsense"), DEFAULT], &[]).await.0, known(&["default:d"]));
    }

    #[tokio::test]
    async fn a_server_that_is_in_trouble_says_nothing_of_who_it_is() {
        for code in [401, 429, 500, 503] {
            let answers: &'static [_] = Box::leak(Box::new([("/cluster.clusterset.k8s.io", code, "{}"), SYSTEM]));
            assert!(matches!(found(answers, &[]).await.0, Look::Silent(_)), "{code}");
        }
    }

    #[tokio::test]
    async fn what_is_recorded_is_asked_for_although_something_better_came_since() {
        let (look, _) = found(&[PROPERTY, SYSTEM, DEFAULT], &["kube-system:s"]).await;
        assert_eq!(look, known(&["property:one", "kube-system:s"]));
        assert_eq!((look.is("kube-system:s"), look.main()), (Some(true), Some("property:one")));
        assert_eq!(look.is("kube-system:t"), Some(false));
        let (look, _) = found(&[LOGICAL, SYSTEM], &["logicalcluster:w1"]).await;
        assert_eq!(look, known(&["logicalcluster:w1"]));
        // The right to read it was taken away.
        let (look, _) = found(&[DEFAULT], &["kube-system:s"]).await;
        assert_eq!(look.is("kube-system:s"), None);
    }

    #[test]
    fn a_text_of_ones_own_is_known_by_its_beginning() {
        for own in ["", "prod-eu", "prod:eu", "kube-system", "kube-system:", "uid:1"] {
            assert!(is_own_text(own), "{own}");
        }
        for found in ["kube-system:1", "default:1", "property:a:b", "logicalcluster:w"] {
            assert!(!is_own_text(found), "{found}");
        }
    }
}
