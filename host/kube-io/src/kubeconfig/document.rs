//! A kubeconfig's text as a tree, read as client-go does: the first document counts, of a key that is there twice the last
//! value, merge keys and anchors are resolved, and UTF-16 with a byte order mark is text as well.

use std::fmt;

use serde::{
    Deserialize,
    de::{self, EnumAccess, MapAccess, SeqAccess, VariantAccess},
};
use serde_json::{Map, Value};

/// What a merge key is called.
const MERGE: &str = "<<";

/// The first document of a text; `Null` where it is empty. An error quotes nothing of the text.
pub(super) fn parse(bytes: &[u8]) -> Result<Value, String> {
    let text = decode(bytes)?;
    if text.trim_start().starts_with('{')
        && let Ok(value) = serde_json::from_str(&text)
    {
        // JSON with tabs, which YAML does not allow everywhere.
        return Ok(value);
    }
    let Some(first) = serde_yaml::Deserializer::from_str(&text).next() else { return Ok(Value::Null) };
    Tree::deserialize(first).map(|Tree(value)| value).map_err(|error| without_values(&error.to_string()))
}

fn decode(bytes: &[u8]) -> Result<String, String> {
    let wide = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = bytes.chunks_exact(2).map(|pair| unit([pair[0], pair[1]])).collect();
        String::from_utf16(&units).map_err(|_| "it is not UTF-16 text, as it says".to_owned())
    };
    match bytes {
        [0xFF, 0xFE, rest @ ..] => wide(rest, u16::from_le_bytes),
        [0xFE, 0xFF, rest @ ..] => wide(rest, u16::from_be_bytes),
        [0xEF, 0xBB, 0xBF, rest @ ..] | rest => {
            std::str::from_utf8(rest).map(str::to_owned).map_err(|_| "it is not UTF-8 text".to_owned())
        }
    }
}

/// A parser's message without the value that it may quote: that could be a token.
pub(super) fn without_values(message: &str) -> String {
    let Some((before, rest)) = ["invalid type", "invalid value"].iter().find_map(|word| message.split_once(word))
    else {
        return format!("it is not YAML that makes a kubeconfig: {message}");
    };
    let after = rest.rfind(", expected ").map_or("", |at| &rest[at..]);
    format!("it is not YAML that makes a kubeconfig: {before}unfit value{after}")
}

struct Tree(Value);

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Visitor).map(Self)
    }
}

struct Visitor;

impl<'de> de::Visitor<'de> for Visitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("YAML")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: de::Deserializer<'de>>(self, value: D) -> Result<Value, D::Error> {
        value.deserialize_any(Self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Tree(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        let mut merged = Vec::new();
        while let Some((Tree(key), Tree(value))) = entries.next_entry()? {
            let key = match key {
                Value::String(key) => key,
                Value::Bool(_) | Value::Number(_) | Value::Null => key.to_string(),
                Value::Array(_) | Value::Object(_) => return Err(de::Error::custom("a key is no text")),
            };
            match (key.as_str(), value) {
                (MERGE, Value::Object(more)) => merged.push(more),
                (MERGE, Value::Array(list)) if list.iter().all(Value::is_object) => {
                    merged.extend(list.into_iter().filter_map(|one| match one {
                        Value::Object(more) => Some(more),
                        _ => None,
                    }));
                }
                (MERGE, _) => return Err(de::Error::custom("a merge key (<<) needs a map, or a list of maps")),
                (_, value) => {
                    map.insert(key, value);
                }
            }
        }
        // What is given counts more than what is merged, and of that the first.
        for (key, value) in merged.into_iter().flatten() {
            map.entry(key).or_insert(value);
        }
        Ok(map.into())
    }

    fn visit_enum<A: EnumAccess<'de>>(self, tagged: A) -> Result<Value, A::Error> {
        // A tag says nothing that a kubeconfig has use for.
        let (_, content) = tagged.variant::<String>()?;
        content.newtype_variant::<Tree>().map(|Tree(value)| value)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn texts_are_read_as_client_go_reads_them() {
        let wide = |text: &str, mark: [u8; 2], unit: fn(u16) -> [u8; 2]| {
            mark.into_iter().chain(text.encode_utf16().flat_map(unit)).collect::<Vec<u8>>()
        };
        for (text, expected) in [
            (b"a: 1\n---\na: 2\n".to_vec(), json!({"a": 1})),
            (b"---\na: 1\n---\n".to_vec(), json!({"a": 1})),
            (b"a: 1\n...\n".to_vec(), json!({"a": 1})),
            (b"a: 1\r\nb: x\r\n".to_vec(), json!({"a": 1, "b": "x"})),
            (b"\xEF\xBB\xBFa: 1\n".to_vec(), json!({"a": 1})),
            (wide("a: 1\n", [0xFF, 0xFE], u16::to_le_bytes), json!({"a": 1})),
            (wide("a: 1\n", [0xFE, 0xFF], u16::to_be_bytes), json!({"a": 1})),
            (b"a: 1\na: 2\n".to_vec(), json!({"a": 2})),
            (
                b"x: &x {a: 1, b: 1}\ny: {<<: *x, b: 2}\n".to_vec(),
                json!({"x": {"a": 1, "b": 1}, "y": {"a": 1, "b": 2}}),
            ),
            (b"y: {<<: [{a: 1}, {a: 2, b: 2}]}\n".to_vec(), json!({"y": {"a": 1, "b": 2}})),
            (b"a: !odd {b: !!str 1}\n".to_vec(), json!({"a": {"b": "1"}})),
            (b"{\n\t\"a\": 1\n}\n".to_vec(), json!({"a": 1})),
            (b"# nothing\n".to_vec(), json!(null)),
            (b"".to_vec(), json!(null)),
        ] {
            assert_eq!(parse(&text), Ok(expected), "{:?}", String::from_utf8_lossy(&text));
        }
        for text in [&b"a: [hunter2"[..], b"\xFFhunter2", b"<<: hunter2", b"? {hunter2: 1}\n: 2", b"a: *hunter2"] {
            let error = parse(text).unwrap_err();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
