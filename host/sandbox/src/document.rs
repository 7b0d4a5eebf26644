//! A JSON document that guests look things up in.
//!
//! It stays text: a look-up skips to its place without building anything, so that a document costs no more memory than its
//! text, however many small values it has, and a number keeps its digits.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// How deep a path may go; deeper than any object that people write.
const DEPTH: usize = 128;

/// A valid JSON document.
#[expect(unreachable_pub, reason = "the generated bindings re-export it within their own private module")]
#[derive(Debug)]
pub struct Document(Box<RawValue>);

impl Document {
    /// A document of `json`, unless that is something else.
    pub(crate) fn parse(json: String) -> Result<Self, serde_json::Error> {
        RawValue::from_string(json).map(Self)
    }

    /// The JSON text of the whole.
    pub(crate) fn json(&self) -> &str {
        self.0.get()
    }

    /// The JSON text of what is at `path`.
    pub(crate) fn get(&self, path: &str) -> Option<&str> {
        if path.is_empty() {
            return Some(self.json());
        }
        let keys = keys(path);
        if keys.len() > DEPTH {
            return None;
        }
        keys.iter().try_fold(self.json(), |json, key| child(json, key))
    }

    /// The plain text of the scalar at `path`.
    pub(crate) fn text(&self, path: &str) -> Option<String> {
        let json = self.get(path)?;
        match json.bytes().next()? {
            b'"' => serde_json::from_str(json).ok(),
            b'{' | b'[' | b'n' => None,
            _ => Some(json.to_owned()),
        }
    }
}

/// What an object given as JSON is known by, whatever else changes of it; as JSON.
pub(crate) fn uid(json: &str) -> Option<&str> {
    child(child(json, "metadata")?, "uid")
}

/// The parts of a path: separated by dots, with a backslash before what is to be taken literally.
fn keys(path: &str) -> Vec<String> {
    let mut keys = Vec::new();
    let mut key = String::new();
    let mut characters = path.chars();
    while let Some(character) = characters.next() {
        match character {
            '.' => keys.push(std::mem::take(&mut key)),
            '\\' => key.push(characters.next().unwrap_or('\\')),
            other => key.push(other),
        }
    }
    keys.push(key);
    keys
}

/// The JSON text below `key` of an object, or at that index of an array.
fn child<'j>(json: &'j str, key: &str) -> Option<&'j str> {
    let index = match json.bytes().next()? {
        b'{' => None,
        b'[' => Some(key.parse().ok()?),
        _ => return None,
    };
    let mut found = None;
    let search = Search { key, index, found: &mut found };
    // The search stops at what it finds by an error: the text is known to be valid, and the rest need not be read.
    let _ = serde_json::Deserializer::from_str(json).deserialize_any(search);
    found.map(RawValue::get)
}

struct Search<'s, 'j> {
    key: &'s str,
    index: Option<usize>,
    found: &'s mut Option<&'j RawValue>,
}

impl<'j> Visitor<'j> for Search<'_, 'j> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or an array")
    }

    fn visit_map<A: MapAccess<'j>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(found) = map.next_key_seed(IsKey(self.key))? {
            if found {
                *self.found = Some(map.next_value()?);
                return Err(A::Error::custom("found"));
            }
            map.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'j>>(self, mut items: A) -> Result<(), A::Error> {
        for _ in 0..self.index.unwrap_or_default() {
            if items.next_element::<IgnoredAny>()?.is_none() {
                return Ok(());
            }
        }
        *self.found = items.next_element()?;
        Err(A::Error::custom("found"))
    }
}

/// Whether a key is the one looked for, without keeping it.
struct IsKey<'s>(&'s str);

impl<'j> DeserializeSeed<'j> for IsKey<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'j>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for IsKey<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<bool, E> {
        Ok(key == self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_to_what_was_written() {
        let document = Document::parse(
            r#" {"spec": {"disks" : [ {"size": 1}, {"size": 2.50} ], "on": true, "none": null, "": 7, "big": 18446744073709551616},
               "a\u002eb": "x\n\u00fc", "back\\slash": "y", "last": [] } "#
                .to_owned(),
        )
        .unwrap();
        for (path, json, text) in [
            ("spec.disks.1.size", Some("2.50"), Some("2.50")),
            ("spec.disks.0", Some(r#"{"size": 1}"#), None),
            ("spec.disks.2", None, None),
            ("spec.disks.-1", None, None),
            ("spec.disks.first", None, None),
            ("spec.on", Some("true"), Some("true")),
            ("spec.none", Some("null"), None),
            ("spec.on.deeper", None, None),
            ("spec.", Some("7"), Some("7")),
            ("spec.big", Some("18446744073709551616"), Some("18446744073709551616")),
            (r"a\.b", Some(r#""x\n\u00fc""#), Some("x\nü")),
            (r"back\\slash", Some(r#""y""#), Some("y")),
            ("last", Some("[]"), None),
            ("last.0", None, None),
            ("missing", None, None),
            ("", Some(document.json()), None),
        ] {
            assert_eq!(document.get(path), json, "get {path}");
            assert_eq!(document.text(path).as_deref(), text, "text {path}");
        }
    }

    #[test]
    fn scalars_are_documents_and_garbage_is_none() {
        assert_eq!(Document::parse("7".to_owned()).unwrap().text("").as_deref(), Some("7"));
        assert_eq!(Document::parse(r#""x""#.to_owned()).unwrap().get("a"), None);
        for garbage in ["", "{", "{}x", "nil", "\"\u{1}\""] {
            assert!(Document::parse(garbage.to_owned()).is_err(), "{garbage:?}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        let document = Document::parse(deep).unwrap();
        assert!(document.get(&["0"; DEPTH].join(".")).is_some());
        assert_eq!(document.get(&vec!["0"; DEPTH + 1].join(".")), None);
    }
}
