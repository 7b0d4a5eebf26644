//! Read access to a Kubernetes object that the host holds, or natively to a JSON value.

use std::borrow::Cow;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::Error;
use crate::field::Field;
use crate::read;

/// A JSON document.
///
/// A path is a list of keys separated by dots, as in `spec.template.name`. In an array a key is an index from zero:
/// `spec.disks.0.size`. A dot that belongs to a key is written `\.` and a backslash `\\`, which [`escape_key`] does. The
/// empty path is the whole document.
///
/// In a running plugin the document stays with the host, which has parsed it, and a look-up costs about a microsecond.
/// From some thirty look-ups on, parsing [`to_json`](Self::to_json) once is cheaper.
///
/// A test makes a document from a [`Value`]:
///
/// ```
/// # use resource_broker_sdk::Document;
/// let object = Document::from(serde_json::json!({"spec": {"fqdn": "a.corp.com", "ports": [80, 443]}}));
/// assert_eq!(object.get("spec.fqdn").as_deref(), Some(r#""a.corp.com""#));
/// assert_eq!(object.text("spec.fqdn").as_deref(), Some("a.corp.com"));
/// assert_eq!(object.text("spec.ports.1").as_deref(), Some("443"));
/// assert_eq!(object.get("spec.missing"), None);
/// ```
#[derive(Clone, Debug)]
pub struct Document<'a>(Source<'a>);

#[derive(Clone, Debug)]
enum Source<'a> {
    /// Held by the host.
    #[cfg(target_family = "wasm")]
    Host(&'a crate::bindings::HostDocument),
    /// Held here.
    Value(Cow<'a, Value>),
}

#[cfg(target_family = "wasm")]
impl<'a> Document<'a> {
    /// A document that the host holds.
    pub(crate) fn held_by_host(handle: &'a crate::bindings::HostDocument) -> Self {
        Self(Source::Host(handle))
    }
}

impl Document<'_> {
    /// The JSON text of what is at `path`; `None` if nothing is there. In a running plugin it is what was written, down to
    /// the digits of a number.
    pub fn get(&self, path: &str) -> Option<String> {
        match &self.0 {
            #[cfg(target_family = "wasm")]
            Source::Host(handle) => handle.get(path),
            Source::Value(value) => look_up(value, path).map(Value::to_string),
        }
    }

    /// What is at `path` as plain text: a string without its quotes, a number or a boolean as it was written; `None` if
    /// nothing is there, or null, an object or an array.
    pub fn text(&self, path: &str) -> Option<String> {
        match &self.0 {
            #[cfg(target_family = "wasm")]
            Source::Host(handle) => handle.text(path),
            Source::Value(value) => match look_up(value, path)? {
                Value::String(text) => Some(text.clone()),
                scalar @ (Value::Number(_) | Value::Bool(_)) => Some(scalar.to_string()),
                Value::Null | Value::Array(_) | Value::Object(_) => None,
            },
        }
    }

    /// The whole document's JSON text.
    pub fn to_json(&self) -> String {
        match &self.0 {
            #[cfg(target_family = "wasm")]
            Source::Host(handle) => handle.to_json(),
            Source::Value(value) => value.to_string(),
        }
    }

    /// What is at `path` as a type of yours; `None` if nothing is there.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`] naming the place at or below `path` that is something else.
    pub fn parse<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, Error> {
        let Some(json) = self.get(path) else { return Ok(None) };
        Ok(Some(read::from_text(path, &json)?))
    }

    /// What is at `path`, to be read as one type or another. In a running plugin this is one look-up, and what is below the
    /// field is found in it without another.
    pub fn at(&self, path: &str) -> Field<'_> {
        match &self.0 {
            #[cfg(target_family = "wasm")]
            Source::Host(handle) => Field::from_json(path.to_owned(), handle.get(path).as_deref()),
            Source::Value(value) => Field::borrowed(path.to_owned(), look_up(value, path)),
        }
    }
}

impl From<Value> for Document<'static> {
    fn from(value: Value) -> Self {
        Self(Source::Value(Cow::Owned(value)))
    }
}

impl<'a> From<&'a Value> for Document<'a> {
    fn from(value: &'a Value) -> Self {
        Self(Source::Value(Cow::Borrowed(value)))
    }
}

/// A key as it is written within a path, its dots and backslashes escaped.
///
/// ```
/// # use resource_broker_sdk::escape_key;
/// assert_eq!(escape_key("broker.platform-mesh.io/name"), r"broker\.platform-mesh\.io/name");
/// ```
pub fn escape_key(key: &str) -> Cow<'_, str> {
    if key.contains(['.', '\\']) {
        Cow::Owned(key.replace('\\', r"\\").replace('.', r"\."))
    } else {
        Cow::Borrowed(key)
    }
}

/// What is at a path of a value.
pub(crate) fn look_up<'v>(value: &'v Value, path: &str) -> Option<&'v Value> {
    if path.is_empty() {
        return Some(value);
    }
    keys(path).iter().try_fold(value, |value, key| match value {
        Value::Object(fields) => fields.get(key),
        Value::Array(items) => items.get(key.parse::<usize>().ok()?),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    })
}

fn keys(path: &str) -> Vec<String> {
    let mut keys = vec![String::new()];
    let mut characters = path.chars();
    while let Some(character) = characters.next() {
        let literal = match character {
            '.' => {
                keys.push(String::new());
                continue;
            }
            '\\' => characters.next().unwrap_or('\\'),
            other => other,
        };
        if let Some(key) = keys.last_mut() {
            key.push(literal);
        }
    }
    keys
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_go_through_objects_arrays_and_escaped_keys() {
        let object = json!({
            "spec": {"disks": [{"size": 1}, {"size": 2.50}], "on": true, "none": null, "": 7},
            "metadata": {"annotations": {"a.b/c": "x", r"back\slash": "y"}},
        });
        let document = Document::from(&object);
        for (path, json, text) in [
            ("spec.disks.1.size", Some("2.5"), Some("2.5")),
            ("spec.disks.0", Some(r#"{"size":1}"#), None),
            ("spec.disks.2", None, None),
            ("spec.disks.first", None, None),
            ("spec.on", Some("true"), Some("true")),
            ("spec.none", Some("null"), None),
            ("spec.on.deeper", None, None),
            ("spec.", Some("7"), Some("7")),
            (r"metadata.annotations.a\.b/c", Some(r#""x""#), Some("x")),
            (r"metadata.annotations.back\\slash", Some(r#""y""#), Some("y")),
            ("metadata.annotations.a.b/c", None, None),
        ] {
            assert_eq!(document.get(path).as_deref(), json, "get {path}");
            assert_eq!(document.text(path).as_deref(), text, "text {path}");
        }
        assert_eq!(document.get(""), Some(object.to_string()));
        assert_eq!(document.to_json(), object.to_string());
    }

    #[test]
    fn escaped_keys_are_found_again() {
        for key in ["plain", "a.b", r"a\b", r"a\.b", "."] {
            let object = json!({key: 1});
            assert_eq!(Document::from(object).text(&escape_key(key)).as_deref(), Some("1"), "{key}");
        }
    }

    #[test]
    fn parse_names_the_path_of_what_does_not_fit() {
        let document = Document::from(json!({"spec": {"size": "big"}}));
        assert_eq!(document.parse::<String>("spec.size"), Ok(Some("big".to_owned())));
        assert_eq!(document.parse::<u32>("spec.other"), Ok(None));
        let error = document.parse::<u32>("spec.size").unwrap_err();
        assert!(error.to_string().contains("spec.size"), "{error}");
    }
}
