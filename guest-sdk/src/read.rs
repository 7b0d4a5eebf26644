//! From JSON to an author's own type, with the path of what does not fit.

use serde::de::{DeserializeOwned, Deserializer};
use serde_path_to_error::{Path, Segment};

use crate::document::escape_key;
use crate::error::FieldError;

/// Reads a type from JSON text; the path of the error begins with `base`.
pub(crate) fn from_text<T: DeserializeOwned>(base: &str, json: &str) -> Result<T, FieldError> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let read = from(base, &mut deserializer)?;
    deserializer.end().map_err(|error| FieldError::new(base, error.to_string()))?;
    Ok(read)
}

/// Reads a type; the path of the error begins with `base`.
pub(crate) fn from<'de, T, D>(base: &str, deserializer: D) -> Result<T, FieldError>
where
    T: DeserializeOwned,
    D: Deserializer<'de>,
    D::Error: std::fmt::Display,
{
    serde_path_to_error::deserialize(deserializer).map_err(|error| {
        let path = join(base, &dotted(error.path()));
        FieldError::new(path, error.into_inner().to_string())
    })
}

/// Two parts of a path as one.
pub(crate) fn join(base: &str, rest: &str) -> String {
    match (base, rest) {
        (base, "") => base.to_owned(),
        ("", rest) => rest.to_owned(),
        (base, rest) => format!("{base}.{rest}"),
    }
}

fn dotted(path: &Path) -> String {
    let segments: Vec<String> = path
        .iter()
        .filter_map(|segment| match segment {
            Segment::Seq { index } => Some(index.to_string()),
            Segment::Map { key } => Some(escape_key(key).into_owned()),
            Segment::Enum { .. } | Segment::Unknown => None,
        })
        .collect();
    segments.join(".")
}
