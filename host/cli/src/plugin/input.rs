//! Objects from YAML or JSON files, and what is said about those that do not fit: file, document and field.

use std::fmt;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result, bail};
use resource_broker_plugin_cases::yaml;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::usage;

/// The name that stands for standard input.
const STDIN: &str = "-";
/// Larger than any component or object, and small enough to be held.
const MAX_BYTES: u64 = 512 << 20;

/// Where a document was found.
#[derive(Clone, Debug)]
pub(super) struct Place {
    file: PathBuf,
    /// From one; `None` if the file has a single one.
    document: Option<usize>,
    /// From zero, within a Kubernetes list.
    item: Option<usize>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&name(&self.file))?;
        if let Some(document) = self.document {
            write!(f, ", document {document}")?;
        }
        self.item.map_or(Ok(()), |item| write!(f, ", items.{item}"))
    }
}

/// One document of a file.
#[derive(Clone, Debug)]
pub(super) struct Document {
    pub(super) place: Place,
    pub(super) value: Value,
}

impl Document {
    /// What is below `field` (the whole document where that is empty) as a type.
    ///
    /// # Errors
    /// Names the place, and the field that does not fit.
    pub(super) fn read<T: DeserializeOwned>(&self, field: &str) -> Result<T> {
        let part = if field.is_empty() { Some(&self.value) } else { self.value.get(field) };
        let part = part.with_context(|| format!("{}: {field} is missing", self.place))?;
        serde_path_to_error::deserialize(part).map_err(|error| {
            let below = error.path().to_string();
            let path: Vec<&str> = [field, &below].into_iter().filter(|part| !part.is_empty() && *part != ".").collect();
            let inner = error.inner();
            match path.join(".") {
                path if path.is_empty() => anyhow::anyhow!("{}: {inner}", self.place),
                path => anyhow::anyhow!("{}: {path}: {inner}", self.place),
            }
        })
    }

    /// A text at a JSON pointer.
    pub(super) fn text(&self, pointer: &str) -> Option<&str> {
        self.value.pointer(pointer).and_then(Value::as_str)
    }

    /// Itself, if it is an object with apiVersion and kind.
    pub(super) fn into_kubernetes_object(self) -> Result<Self> {
        for field in ["apiVersion", "kind"] {
            if self.value.get(field).and_then(Value::as_str).is_none_or(str::is_empty) {
                bail!("{}: {field} is missing: this is no Kubernetes object", self.place);
            }
        }
        Ok(self)
    }
}

/// A file's name for people.
pub(super) fn name(path: &Path) -> String {
    if path == Path::new(STDIN) { "standard input".to_owned() } else { path.display().to_string() }
}

/// A file's bytes, or those of standard input.
pub(super) fn bytes(path: &Path) -> Result<Vec<u8>> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    let context = || format!("{} cannot be read", name(path));
    if path != Path::new(STDIN) {
        return read_all(fs::File::open(path).with_context(context)?, path).with_context(context);
    }
    if TAKEN.swap(true, Ordering::Relaxed) {
        return usage("standard input can be read once: give a file in place of the other -");
    }
    read_all(io::stdin().lock(), path).with_context(context)
}

fn read_all(from: impl io::Read, path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if from.take(MAX_BYTES + 1).read_to_end(&mut bytes)? as u64 > MAX_BYTES {
        bail!("{} has more than {MAX_BYTES} bytes", name(path));
    }
    Ok(bytes)
}

/// The documents of a YAML or JSON file that are not empty; the items of Kubernetes lists by themselves.
pub(super) fn documents(path: &Path) -> Result<Vec<Document>> {
    let text = String::from_utf8(bytes(path)?).with_context(|| format!("{} is not UTF-8 text", name(path)))?;
    // Some editors begin a file with a mark that belongs to no document.
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let mut values = Vec::new();
    for (index, value) in parse(text).into_iter().enumerate() {
        let value =
            value.with_context(|| format!("{}, document {} is neither YAML nor JSON", name(path), index + 1))?;
        if !value.is_null() {
            values.push((index + 1, value));
        }
    }
    let is_alone = values.len() == 1;
    let place = |number| Place { file: path.to_owned(), document: (!is_alone).then_some(number), item: None };
    Ok(values.into_iter().flat_map(|(number, value)| items(place(number), value)).collect())
}

/// JSON where it is, which has escapes that YAML lacks; else YAML, whose words on what is wrong are the better ones.
/// What kubectl makes of it is what a cluster's objects are judged by.
fn parse(text: &str) -> Vec<Result<Value, yaml::Error>> {
    match serde_json::Deserializer::from_str(text).into_iter().collect::<Result<Vec<Value>, _>>() {
        Ok(values) => values.into_iter().map(Ok).collect(),
        Err(_) => yaml::documents(text),
    }
}

/// The one document of a file.
pub(super) fn single(path: &Path) -> Result<Document> {
    let mut documents = documents(path)?;
    match (documents.pop(), documents.len()) {
        (Some(document), 0) => Ok(document),
        (None, _) => bail!("{} is empty: one document is wanted", name(path)),
        (Some(_), others) => bail!("{} has {} documents: one is wanted", name(path), others + 1),
    }
}

fn items(place: Place, mut value: Value) -> Vec<Document> {
    let is_list = value["kind"].as_str().is_some_and(|kind| kind.ends_with("List"));
    match value.get_mut("items").map(Value::take) {
        Some(Value::Array(items)) if is_list => {
            let document = |(index, value)| Document { place: Place { item: Some(index), ..place.clone() }, value };
            items.into_iter().enumerate().map(document).collect()
        }
        Some(other) => {
            value["items"] = other;
            vec![Document { place, value }]
        }
        None => vec![Document { place, value }],
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        file
    }

    fn places(text: &str) -> Vec<String> {
        let file = file(text);
        let prefix = file.path().display().to_string();
        documents(file.path())
            .unwrap()
            .iter()
            .map(|document| document.place.to_string().replace(&prefix, "F"))
            .collect()
    }

    #[test]
    fn documents_and_items_are_told_apart() {
        assert_eq!(places("a: 1"), ["F"]);
        assert_eq!(places("---\na: 1\n---\n---\nb: 1\n"), ["F, document 1", "F, document 3"]);
        assert_eq!(places("kind: AcceptAPIList\nitems: [{a: 1}, {b: 1}]"), ["F, items.0", "F, items.1"]);
        assert_eq!(places("kind: Shop\nitems: [{a: 1}, {b: 1}]"), ["F"]);
        assert_eq!(places(r#"{"items": 1}"#), ["F"]);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let file = file("spec: {filters: {a: [1, x]}}\n---\nspec: 1\n");
        let documents = documents(file.path()).unwrap();
        let error = documents[0].read::<BTreeMap<String, BTreeMap<String, Vec<u8>>>>("spec").unwrap_err().to_string();
        assert!(error.contains("document 1: spec.filters.a[1]: "), "{error}");
        let error = documents[1].read::<u8>("status").unwrap_err().to_string();
        assert!(error.contains("document 2: status is missing"), "{error}");
        let error = single(file.path()).unwrap_err().to_string();
        assert!(error.contains("has 2 documents"), "{error}");
    }

    #[test]
    fn json_and_marks_of_editors_are_read() {
        let value = |text: &str| single(file(text).path()).unwrap().value;
        assert_eq!(value(r#"{"a": "\ud83c\udf89"}"#), serde_json::json!({"a": "🎉"}));
        assert_eq!(value("\u{feff}a: 1\r\nb: 2\r\n"), serde_json::json!({"a": 1, "b": 2}));
        assert_eq!(value("{a: 1}"), serde_json::json!({"a": 1}));
        assert_eq!(places("{\"a\": 1}\n{\"a\": 2}"), ["F, document 1", "F, document 2"]);
    }

    #[test]
    fn an_object_is_read_as_kubectl_reads_it() {
        let value = |text: &str| single(file(text).path()).unwrap().value;
        let text = "a: &a {on: off}\nspec:\n  <<: *a\n  encrypted: yes\n  mode: 0644\n  size: 1_000\n  share: 1e3\n  word: \"no\"\n";
        let spec = serde_json::json!({"true": false, "encrypted": true, "mode": 420, "size": 1000, "share": 1000, "word": "no"});
        assert_eq!(value(text)["spec"], spec);
        let error = format!("{:#}", documents(file("a: 1\nb: 2\na: 3\n").path()).unwrap_err());
        assert!(error.contains("key \"a\" for the second time at line 3"), "{error}");
    }

    #[test]
    fn broken_yaml_is_told_with_its_document() {
        let file = file("a: 1\n---\nb: [\n");
        let error = format!("{:#}", documents(file.path()).unwrap_err());
        assert!(error.contains("document 2 is neither"), "{error}");
    }
}
