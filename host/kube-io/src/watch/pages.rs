//! A list, page by page: how large a page may be, and what counts as one.

use resource_broker_api::{names::Gvk, object::Object};
use serde::Deserialize;

use crate::transport::{not_understood, tame};

/// The most objects in one page.
pub(super) const MOST: usize = 500;
/// How many objects are asked for before it is known how large they are.
const FIRST: usize = 100;
/// How large a page is to be, in bytes.
const GOAL: usize = 8 << 20;
/// So many pages in a row of the largest size that works, and a larger one is tried.
const WENT_WELL: usize = 16;

/// Whether a resourceVersion is a number, so that it can be compared.
pub fn is_version(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u64>().is_ok()
}

/// How many objects to ask for at once. It is remembered from one list of a store to the next.
#[derive(Debug)]
pub(super) struct PageSize {
    /// What has turned out to be too many is not asked for again soon.
    ceiling: usize,
    /// Pages of the ceiling's size that went well.
    went_well: usize,
    /// Bytes of an object, as the last pages had them; 0 where there was none yet.
    bytes: usize,
}

impl Default for PageSize {
    fn default() -> Self {
        Self { ceiling: MOST, went_well: 0, bytes: 0 }
    }
}

impl PageSize {
    /// How many objects to ask for now.
    pub(super) fn limit(&self) -> usize {
        let fitting = GOAL.checked_div(self.bytes).unwrap_or(FIRST);
        fitting.clamp(1, self.ceiling)
    }

    /// A page of `limit` was too large. False where it cannot be smaller.
    pub(super) fn shrink(&mut self) -> bool {
        let limit = self.limit();
        self.ceiling = (limit / 2).max(1);
        self.went_well = 0;
        limit > 1
    }

    /// A page came.
    pub(super) fn came(&mut self, objects: usize, bytes: usize) {
        let is_full = objects >= self.ceiling;
        if let Some(of_these) = bytes.checked_div(objects) {
            // Large ones are remembered for a while: they come in groups.
            self.bytes = of_these.max(self.bytes - self.bytes / 4).max(1);
        }
        self.went_well = if is_full { self.went_well + 1 } else { 0 };
        if self.went_well >= WENT_WELL {
            self.went_well = 0;
            self.ceiling = (self.ceiling * 2).min(MOST);
        }
    }
}

/// A part of a list.
#[derive(Debug)]
pub(super) struct Page {
    /// The version of the whole list.
    pub(super) version: u64,
    /// What to ask for the next part with.
    pub(super) next: Option<String>,
    /// The objects.
    pub(super) items: Vec<Object>,
}

/// Why an answer is no page.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoPage {
    /// It is no list at all.
    #[error("the list cannot be read: {0}")]
    Garbled(String),
    /// It is a Status, as of a failure, under a good HTTP status.
    #[error("in place of a list the API server sends a Status: {code} {reason} {message}")]
    Status {
        /// Its code.
        code: u16,
        /// Its reason.
        reason: String,
        /// Its message.
        message: String,
    },
    /// It is a list of something else.
    #[error("{0} was asked for, and the API server sends a list of {1}")]
    Other(String, String),
    /// Its versions are no numbers.
    #[error(
        "its resourceVersions are no numbers ({0:?}), and this broker has to compare them: put no proxy before the API server \
         that changes them"
    )]
    Opaque(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct Wire {
    api_version: String,
    kind: String,
    metadata: Meta,
    /// API servers send null for none, and not all are careful about what is in it.
    items: Option<Vec<Option<Object>>>,
    code: u16,
    reason: String,
    message: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Meta {
    resource_version: String,
    #[serde(rename = "continue")]
    next: Option<String>,
}

/// What is needed of objects to see of which kind they are.
#[derive(Deserialize)]
struct Kinds {
    items: Option<Vec<Option<Kind>>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Kind {
    kind: Option<String>,
}

/// Reads a page of a list of `gvk`.
pub(super) fn read(body: &[u8], gvk: &Gvk) -> Result<Page, NoPage> {
    let wire: Wire = serde_json::from_slice(body).map_err(|error| NoPage::Garbled(not_understood(body, &error)))?;
    if wire.kind == "Status" {
        let Wire { code, reason, message, .. } = wire;
        return Err(NoPage::Status { code, reason: tame(&reason), message: tame(&message) });
    }
    if wire.items.is_none() && !wire.kind.ends_with("List") {
        return Err(NoPage::Garbled("the answer is no list".into()));
    }
    let is_metadata = wire.kind == "PartialObjectMetadataList" && wire.api_version.starts_with("meta.k8s.io/");
    let is_it = wire.kind == format!("{}List", gvk.kind) || is_metadata || wire.kind.is_empty();
    let is_in_group = is_metadata || wire.api_version.is_empty() || wire.api_version == gvk.api_version();
    // A CRD may call its lists as it likes; then its objects say what they are.
    if !is_in_group || !(is_it || holds(body, &gvk.kind)) {
        return Err(NoPage::Other(gvk.to_string(), tame(&format!("{} in {}", wire.kind, wire.api_version))));
    }
    let items: Vec<Object> =
        wire.items.into_iter().flatten().flatten().filter(|item| !item.name().is_empty()).collect();
    let version = number(&wire.metadata.resource_version)?;
    for item in &items {
        number(item.resource_version())?;
    }
    Ok(Page { version, next: wire.metadata.next.filter(|token| !token.is_empty()), items })
}

/// Whether the objects of a list, if there are any, say that they are of a kind.
fn holds(body: &[u8], kind: &str) -> bool {
    let Ok(Kinds { items }) = serde_json::from_slice::<Kinds>(body) else { return false };
    items.into_iter().flatten().flatten().all(|item| item.kind.is_some_and(|found| found == kind))
}

/// A resourceVersion that can be compared.
pub(super) fn number(version: &str) -> Result<u64, NoPage> {
    let opaque = || {
        let cut: String = version.chars().take(40).collect();
        NoPage::Opaque(tame(&cut))
    };
    Some(version).filter(|version| is_version(version)).and_then(|version| version.parse().ok()).ok_or_else(opaque)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn thing() -> Gvk {
        Gvk::new("g.io", "v1", "Thing")
    }

    fn parse(value: &Value) -> Result<Page, NoPage> {
        read(value.to_string().as_bytes(), &thing())
    }

    fn list(kind: &str, api_version: &str, items: &Value) -> Value {
        json!({"kind": kind, "apiVersion": api_version, "metadata": {"resourceVersion": "7"}, "items": items})
    }

    fn item(name: &str, kind: &str) -> Value {
        json!({"kind": kind, "metadata": {"name": name, "uid": name, "resourceVersion": "5"}})
    }

    #[test]
    fn pages_follow_the_size_of_objects_and_what_has_failed() {
        let mut size = PageSize::default();
        assert_eq!(size.limit(), FIRST);
        size.came(100, 100 * 2_400);
        assert_eq!(size.limit(), MOST, "small objects");
        size.came(500, 500 * 290_000);
        assert_eq!(size.limit(), 28, "large ones: as many as make {GOAL} bytes");
        let mut size = PageSize::default();
        let mut limits = vec![size.limit()];
        while size.shrink() {
            limits.push(size.limit());
        }
        assert_eq!(limits, [100, 50, 25, 12, 6, 3, 1]);
        for _ in 0..WENT_WELL {
            assert_eq!(size.limit(), 1, "what has failed is not tried again at once");
            size.came(1, 100);
        }
        assert_eq!(size.limit(), 2, "and not never");
    }

    #[test]
    fn null_is_no_object_and_no_list() {
        let page = parse(&list("ThingList", "g.io/v1", &json!([null, item("a", "Thing"), {}]))).unwrap();
        assert_eq!(page.items.iter().map(Object::name).collect::<Vec<_>>(), ["a"]);
        assert!(parse(&list("ThingList", "g.io/v1", &Value::Null)).unwrap().items.is_empty());
    }

    #[test]
    fn a_list_of_something_else_is_not_believed() {
        let own = json!([item("a", "Thing")]);
        for (kind, api_version, items, is_good) in [
            ("ThingList", "g.io/v1", &own, true),
            ("PartialObjectMetadataList", "meta.k8s.io/v1", &json!([item("a", "PartialObjectMetadata")]), true),
            // A CRD's own name for its lists.
            ("Things", "g.io/v1", &own, true),
            ("OtherList", "g.io/v1", &json!([item("a", "Other")]), false),
            ("SecretList", "v1", &json!([{"metadata": {"name": "s", "resourceVersion": "5"}}]), false),
            ("ThingList", "g.io/v2", &own, false),
        ] {
            let page = parse(&list(kind, api_version, items));
            assert_eq!(page.is_ok(), is_good, "{kind} {api_version}: {page:?}");
        }
    }

    #[test]
    fn what_is_no_list_is_described_and_not_quoted() {
        for (body, what) in [
            ("<html><body>hunter2: please log in</body></html>", "a web page"),
            ("", "is empty"),
            (r#"{"kind": "ThingList", "items": [{"metadata": {"name": "hunter2"#, "ends in the middle"),
            (r#"{"kind": "ThingList", "items": "hunter2"}"#, "not what a Kubernetes API server sends"),
            (r#"{"items": hunter2}"#, "no JSON"),
            (r#"{"hunter2": 1}"#, "no list"),
            ("[]", "no list"),
        ] {
            let error = read(body.as_bytes(), &thing()).unwrap_err().to_string();
            assert!(error.contains(what) && !error.contains("hunter2"), "{body}: {error}");
        }
        let status = json!({"kind": "Status", "code": 410, "reason": "Expired", "message": "too\nold"});
        assert!(matches!(parse(&status), Err(NoPage::Status { code: 410, message, .. }) if message == "too old"));
    }

    #[test]
    fn versions_that_are_no_numbers_are_refused() {
        for version in ["", "abc", "-1", "1.5", "0x10", "18446744073709551616", "+7"] {
            let mut page = list("ThingList", "g.io/v1", &json!([]));
            page["metadata"]["resourceVersion"] = version.into();
            assert!(matches!(parse(&page), Err(NoPage::Opaque(_))), "{version}");
            let mut item = item("a", "Thing");
            item["metadata"]["resourceVersion"] = version.into();
            let page = parse(&list("ThingList", "g.io/v1", &json!([item])));
            assert!(matches!(page, Err(NoPage::Opaque(_))), "{version}");
        }
    }
}
