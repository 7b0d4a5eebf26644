//! How an API server addresses a kind: its plural, its scope, and the paths and requests that follow from them.

use http::Request;
use resource_broker_api::{keys, names::Gvk, object::Shape};
use serde_json::Value;

/// A kind as one cluster serves it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// The kind.
    pub gvk: Gvk,
    /// Its plural, as in paths.
    pub plural: String,
    /// Whether its objects are in namespaces.
    pub namespaced: bool,
    /// Its status subresource, and whether that has conditions.
    pub shape: Shape,
}

/// How a patch is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patch {
    /// JSON merge patch (RFC 7386).
    Merge,
    /// JSON patch (RFC 6902).
    Json,
    /// Server-side apply under the broker's field manager.
    Apply {
        /// Whether fields are taken from other managers.
        force: bool,
    },
}

/// Asks for metadata alone.
pub const METADATA_LIST: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
/// Asks for metadata alone, in a watch.
pub const METADATA_WATCH: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";

impl Resource {
    /// A namespaced kind whose plural is known beforehand.
    pub fn known(gvk: Gvk, plural: &str) -> Self {
        Self { gvk, plural: plural.into(), namespaced: true, shape: Shape::default() }
    }

    /// The kind of a typed object, in a namespace.
    pub fn of<K: kube::Resource<DynamicType = ()>>() -> Self {
        let gvk = Gvk::new(&K::group(&()), &K::version(&()), &K::kind(&()));
        Self::known(gvk, &K::plural(&()))
    }

    /// The path of the whole collection, in all namespaces.
    pub fn all(&self) -> String {
        format!("{}/{}", group_version_path(&self.gvk), self.plural)
    }

    /// The path of the collection in one namespace.
    pub fn collection(&self, namespace: Option<&str>) -> String {
        match namespace.filter(|_| self.namespaced) {
            Some(namespace) => {
                format!("{}/namespaces/{}/{}", group_version_path(&self.gvk), encode(namespace), self.plural)
            }
            None => self.all(),
        }
    }

    /// The path of one object.
    pub fn object(&self, namespace: Option<&str>, name: &str) -> String {
        format!("{}/{}", self.collection(namespace), encode(name))
    }

    /// The request that reads one object.
    pub fn get(&self, namespace: Option<&str>, name: &str) -> Result<Request<Vec<u8>>, http::Error> {
        Request::get(self.object(namespace, name)).header(http::header::ACCEPT, JSON).body(Vec::new())
    }

    /// The request that makes an object.
    pub fn create(&self, namespace: Option<&str>, body: &Value) -> Result<Request<Vec<u8>>, http::Error> {
        let (collection, strict) = (self.collection(namespace), self.strictness());
        let path = format!("{collection}?fieldManager={}{strict}", keys::FIELD_MANAGER);
        with_body(Request::post(path), JSON, body)
    }

    /// The request that only asks whether an object of this content could be made.
    pub fn try_create(&self, namespace: Option<&str>, body: &Value) -> Result<Request<Vec<u8>>, http::Error> {
        let path = format!("{}?fieldManager={}&dryRun=All", self.collection(namespace), keys::FIELD_MANAGER);
        with_body(Request::post(path), JSON, body)
    }

    /// The request that replaces an object.
    pub fn replace(&self, namespace: Option<&str>, name: &str, body: &Value) -> Result<Request<Vec<u8>>, http::Error> {
        let path = format!("{}?fieldManager={}", self.object(namespace, name), keys::FIELD_MANAGER);
        with_body(Request::put(path), JSON, body)
    }

    /// The request that patches an object, or its `status` where that is meant.
    pub fn patch(
        &self,
        namespace: Option<&str>,
        name: &str,
        subresource: &str,
        patch: Patch,
        body: &Value,
    ) -> Result<Request<Vec<u8>>, http::Error> {
        self.patch_as(keys::FIELD_MANAGER, namespace, name, subresource, patch, body)
    }

    /// The same under another field manager.
    pub fn patch_as(
        &self,
        manager: &str,
        namespace: Option<&str>,
        name: &str,
        subresource: &str,
        patch: Patch,
        body: &Value,
    ) -> Result<Request<Vec<u8>>, http::Error> {
        let mut place = self.object(namespace, name);
        if !subresource.is_empty() {
            place.push('/');
            place.push_str(subresource);
        }
        place.push_str("?fieldManager=");
        place.push_str(manager);
        place.push_str(self.strictness());
        if patch == (Patch::Apply { force: true }) {
            place.push_str("&force=true");
        }
        let content_type = match patch {
            Patch::Merge => "application/merge-patch+json",
            Patch::Json => "application/json-patch+json",
            Patch::Apply { .. } => "application/apply-patch+yaml",
        };
        let text = match patch {
            Patch::Apply { .. } => yaml(&body.to_string()),
            Patch::Merge | Patch::Json => body.to_string(),
        };
        with_text(Request::patch(place), content_type, text)
    }

    /// What the broker has to remember must not be dropped silently by a CRD of an older version.
    fn strictness(&self) -> &'static str {
        let is_memory = self.gvk.group == keys::GROUP && ["Assignment", "Migration"].contains(&self.gvk.kind.as_str());
        if is_memory { "&fieldValidation=Strict" } else { "" }
    }

    /// The request that deletes an object with this UID, and no other of its name.
    pub fn delete(&self, namespace: Option<&str>, name: &str, uid: &str) -> Result<Request<Vec<u8>>, http::Error> {
        let options = serde_json::json!({
            "apiVersion": "v1", "kind": "DeleteOptions",
            "preconditions": {"uid": uid}, "propagationPolicy": "Background",
        });
        with_body(Request::delete(self.object(namespace, name)), JSON, &options)
    }
}

const JSON: &str = "application/json";

fn with_body(
    builder: http::request::Builder,
    content_type: &str,
    body: &Value,
) -> Result<Request<Vec<u8>>, http::Error> {
    with_text(builder, content_type, body.to_string())
}

fn with_text(
    builder: http::request::Builder,
    content_type: &str,
    text: String,
) -> Result<Request<Vec<u8>>, http::Error> {
    builder.header(http::header::CONTENT_TYPE, content_type).header(http::header::ACCEPT, JSON).body(text.into_bytes())
}

/// JSON that YAML parsers read as it is meant: they refuse some characters that JSON allows in a text, and take others for
/// line breaks. All of these can only be inside a text, where an escape means the same.
fn yaml(json: &str) -> String {
    use std::fmt::Write as _;
    let special =
        |c: char| matches!(c, '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}');
    if !json.contains(special) {
        return json.to_owned();
    }
    json.chars().fold(String::with_capacity(json.len()), |mut text, c| {
        if special(c) {
            // Writing to a String cannot fail.
            let _ = write!(text, "\\u{:04x}", u32::from(c));
        } else {
            text.push(c);
        }
        text
    })
}

/// The path below which a group and version is served.
pub fn group_version_path(gvk: &Gvk) -> String {
    if gvk.group.is_empty() { format!("/api/{}", gvk.version) } else { format!("/apis/{}/{}", gvk.group, gvk.version) }
}

/// Names come from clusters: whatever has a meaning in a path is escaped.
pub fn encode(name: &str) -> String {
    use std::fmt::Write;
    name.bytes().fold(String::with_capacity(name.len()), |mut text, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b':' => text.push(char::from(byte)),
            // Writing to a String cannot fail.
            _ => drop(write!(text, "%{byte:02X}")),
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_an_api_server() {
        let secrets = Resource::known(Gvk::new("core", "v1", "Secret"), "secrets");
        assert_eq!(secrets.object(Some("a"), "b"), "/api/v1/namespaces/a/secrets/b");
        assert_eq!(secrets.all(), "/api/v1/secrets");
        let things = Resource { namespaced: false, ..Resource::known(Gvk::new("g.io", "v2", "Thing"), "things") };
        assert_eq!(things.object(Some("ignored"), "x"), "/apis/g.io/v2/things/x");
    }

    #[test]
    fn what_the_broker_has_to_remember_is_written_strictly() {
        let body = serde_json::json!([]);
        for (kind, is_strict) in [("Assignment", true), ("Migration", true), ("AcceptAPI", false)] {
            let resource = Resource::known(Gvk::new(keys::GROUP, "v1alpha1", kind), "plural");
            let patch = resource.patch(Some("n"), "x", "status", Patch::Json, &body).unwrap();
            for request in [patch, resource.create(Some("n"), &body).unwrap()] {
                let query = request.uri().query().unwrap();
                assert_eq!(query.contains("fieldValidation=Strict"), is_strict, "{kind}: {query}");
            }
        }
    }

    #[test]
    fn what_yaml_reads_otherwise_is_escaped_in_an_apply() {
        let things = Resource::known(Gvk::new("g.io", "v2", "Thing"), "things");
        let body = serde_json::json!({"text": "a\u{7f}b\u{85}c\u{2028}d\u{feff}ü😀\n"});
        let request = things.patch(None, "x", "", Patch::Apply { force: false }, &body).unwrap();
        let text = String::from_utf8(request.into_body()).unwrap();
        assert_eq!(text, r#"{"text":"a\u007fb\u0085c\u2028d\ufeffü😀\n"}"#);
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), body);
    }

    #[test]
    fn a_name_cannot_leave_its_place_in_a_path() {
        let secrets = Resource::known(Gvk::new("core", "v1", "Secret"), "secrets");
        assert_eq!(secrets.object(Some("../x"), "a/b?c#d"), "/api/v1/namespaces/..%2Fx/secrets/a%2Fb%3Fc%23d");
    }
}
