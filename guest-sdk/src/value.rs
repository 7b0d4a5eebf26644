//! What the value types have in common: how they fail to be read, and how they come out of JSON.

use std::borrow::Cow;
use std::fmt;

use serde_json::Value;

/// How many characters of a value are shown to people.
const SHOWN: usize = 200;

/// A text that is not the value that was asked for: what it is and what would be right.
///
/// ```
/// # use resource_broker_sdk::quantity::Quantity;
/// let error = "big".parse::<Quantity>().unwrap_err();
/// assert_eq!(error.to_string(), r#""big" is not a quantity, such as 500m, 2 or 10Gi"#);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError(String);

impl ParseError {
    /// An error about `text`, which is not `expected`.
    pub(crate) fn new(text: &str, expected: &str) -> Self {
        Self(format!("{:?} is not {expected}", shorten(text)))
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ParseError {}

/// A JSON value's kind, for people.
pub(crate) fn describe(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// A scalar's text; `None` for null, lists and objects.
pub(crate) fn scalar(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Number(number) => Some(Cow::Owned(number.to_string())),
        Value::Bool(on) => Some(Cow::Borrowed(if *on { "true" } else { "false" })),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The beginning of a text that is too long to show.
pub(crate) fn shorten(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// A value as it is shown to people: a text in quotes, anything else as JSON.
pub(crate) fn show(value: &Value) -> String {
    match value {
        Value::String(text) => format!("{:?}", shorten(text)),
        other => shorten(&other.to_string()),
    }
}

/// Lets a type with `FromStr` and `Display` stand in a type that serde reads: as a text, or as a number where its text
/// would do.
macro_rules! serde_as_text {
    ($type:ty) => {
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                // Not deserialize_any: where serde_json keeps numbers as text, a number would come as a map.
                let value = <serde_json::Value as serde::Deserialize>::deserialize(deserializer)?;
                $crate::value::read(&value).map_err(serde::de::Error::custom)
            }
        }

        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    };
}
pub(crate) use serde_as_text;

/// Reads a scalar by its text; the error is a sentence.
pub(crate) fn read<T>(value: &Value) -> Result<T, String>
where
    T: std::str::FromStr,
    T::Err: fmt::Display,
{
    let Some(text) = scalar(value) else {
        return Err(format!("{} is not a single value", describe(value)));
    };
    text.parse().map_err(|error: T::Err| error.to_string())
}
