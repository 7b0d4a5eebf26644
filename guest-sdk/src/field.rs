//! Typed access to one place of a document.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::cidr::Cidr;
use crate::decimal::Decimal;
use crate::document::{escape_key, look_up};
use crate::duration::Duration;
use crate::error::Error;
use crate::quantity::Quantity;
use crate::read::{self, join};
use crate::time::Timestamp;
use crate::value::{self, describe, show};
use crate::version::Version;

/// One place of a [`Document`](crate::Document), which knows its path.
///
/// Each reading gives `None` where nothing (or null) is there, and an [`Error::InvalidInput`] that names the path and what
/// is there where it is something else. A number may be written as a text and a text as a number, as YAML makes it easy to
/// confuse them: `version: 15` and `version: "15"` are read alike.
///
/// ```
/// # use resource_broker_sdk::{Document, quantity::Quantity};
/// # fn main() -> Result<(), resource_broker_sdk::Error> {
/// let object = Document::from(serde_json::json!({"spec": {"size": "10Gi", "version": 15, "zones": ["a", "b"]}}));
///
/// assert_eq!(object.at("spec.size").quantity()?, Some("10240Mi".parse()?));
/// assert_eq!(object.at("spec.version").required().version()?.major(), 15);
/// assert_eq!(object.at("spec.replicas").integer()?, None);
///
/// let spec = object.at("spec");
/// for zone in spec.at("zones").each() {
///     assert!(zone.required().text()?.len() == 1, "{}", zone.path());
/// }
///
/// let error = object.at("spec.zones.1").integer().unwrap_err();
/// assert_eq!(error.to_string(), r#"invalid input: spec.zones.1: "b" is not a whole number"#);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Field<'a> {
    path: String,
    found: Found<'a>,
}

#[derive(Clone, Debug)]
enum Found<'a> {
    /// Nothing, or null.
    Nothing,
    Value(Cow<'a, Value>),
    /// What is there is no JSON that can be read.
    Unreadable(String),
}

impl<'a> Field<'a> {
    /// A value that is held elsewhere.
    pub(crate) fn borrowed(path: String, value: Option<&'a Value>) -> Self {
        let found = match value {
            None | Some(Value::Null) => Found::Nothing,
            Some(value) => Found::Value(Cow::Borrowed(value)),
        };
        Self { path, found }
    }

    /// The JSON text of a value.
    #[cfg_attr(not(target_family = "wasm"), allow(dead_code, reason = "natively only tests have JSON text"))]
    pub(crate) fn from_json(path: String, json: Option<&str>) -> Self {
        let found = match json.map(serde_json::from_str) {
            None | Some(Ok(Value::Null)) => Found::Nothing,
            Some(Ok(value)) => Found::Value(Cow::Owned(value)),
            Some(Err(error)) => Found::Unreadable(error.to_string()),
        };
        Self { path, found }
    }

    /// Where it is, from the document's root.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Whether something other than null is there.
    pub fn exists(&self) -> bool {
        !matches!(self.found, Found::Nothing)
    }

    /// What is there; `None` if nothing or null is.
    ///
    /// # Errors
    ///
    /// If the document cannot be read there, as it is nested too deep.
    pub fn value(&self) -> Result<Option<&Value>, Error> {
        match &self.found {
            Found::Nothing => Ok(None),
            Found::Value(value) => Ok(Some(value)),
            Found::Unreadable(error) => Err(Error::invalid(&self.path, error)),
        }
    }

    /// The place at `path` below this one; the document is not asked again.
    pub fn at(&self, path: &str) -> Field<'_> {
        let full = join(&self.path, path);
        match &self.found {
            Found::Nothing => Field { path: full, found: Found::Nothing },
            Found::Value(value) => Field::borrowed(full, look_up(value, path)),
            Found::Unreadable(error) => Field { path: full, found: Found::Unreadable(error.clone()) },
        }
    }

    /// The same, where nothing there is an error.
    pub fn required(&self) -> Required<'_, 'a> {
        Required(self)
    }

    /// A text; a number or a boolean as it is written.
    pub fn text(&self) -> Result<Option<String>, Error> {
        self.read()
    }

    /// `true` or `false`.
    pub fn boolean(&self) -> Result<Option<bool>, Error> {
        self.read_as("true or false")
    }

    /// A whole number.
    pub fn integer(&self) -> Result<Option<i64>, Error> {
        self.read_as("a whole number")
    }

    /// A number, exact at any size.
    pub fn number(&self) -> Result<Option<Decimal>, Error> {
        self.read()
    }

    /// A Kubernetes quantity, such as `10Gi`.
    pub fn quantity(&self) -> Result<Option<Quantity>, Error> {
        self.read()
    }

    /// A duration, such as `1h30m`.
    pub fn duration(&self) -> Result<Option<Duration>, Error> {
        self.read()
    }

    /// A version, such as `15.4`.
    pub fn version(&self) -> Result<Option<Version>, Error> {
        self.read()
    }

    /// A range of addresses, such as `10.0.0.0/8`.
    pub fn cidr(&self) -> Result<Option<Cidr>, Error> {
        self.read()
    }

    /// A point in time by RFC 3339.
    pub fn timestamp(&self) -> Result<Option<Timestamp>, Error> {
        self.read()
    }

    /// Anything that is read from a scalar's text.
    ///
    /// ```
    /// # use std::net::IpAddr;
    /// # let object = resource_broker_sdk::Document::from(serde_json::json!({"spec": {"address": "10.0.0.1"}}));
    /// assert!(object.at("spec.address").read::<IpAddr>().unwrap().is_some());
    /// ```
    pub fn read<T>(&self) -> Result<Option<T>, Error>
    where
        T: FromStr,
        T::Err: fmt::Display,
    {
        self.value()?.map(|found| value::read(found).map_err(|message| Error::invalid(&self.path, message))).transpose()
    }

    /// As [`read`](Self::read), for types whose own errors do not say what was read.
    fn read_as<T: FromStr>(&self, expected: &str) -> Result<Option<T>, Error> {
        let Some(found) = self.value()? else { return Ok(None) };
        let read = value::scalar(found).and_then(|text| text.parse().ok());
        read.map(Some).ok_or_else(|| Error::invalid(&self.path, format!("{} is not {expected}", show(found))))
    }

    /// The elements of a list.
    pub fn list(&self) -> Result<Option<Vec<Field<'_>>>, Error> {
        match self.value()? {
            None => Ok(None),
            Some(Value::Array(items)) => Ok(Some(self.elements(items))),
            Some(other) => Err(self.is_not(other, "a list")),
        }
    }

    /// The entries of an object, by key.
    pub fn entries(&self) -> Result<Option<Vec<(&str, Field<'_>)>>, Error> {
        let entry = |(key, value)| {
            let key: &String = key;
            (key.as_str(), Field::borrowed(join(&self.path, &escape_key(key)), Some(value)))
        };
        match self.value()? {
            None => Ok(None),
            Some(Value::Object(fields)) => Ok(Some(fields.iter().map(entry).collect())),
            Some(other) => Err(self.is_not(other, "an object")),
        }
    }

    /// The elements of a list, or the value by itself where it is no list; nothing if nothing is there. As the standard
    /// rules do, a rule of a plugin's own is best asked of each.
    pub fn each(&self) -> Vec<Field<'_>> {
        match &self.found {
            Found::Nothing => Vec::new(),
            Found::Value(value) => match value.as_ref() {
                Value::Array(items) => self.elements(items),
                value => vec![Field::borrowed(self.path.clone(), Some(value))],
            },
            Found::Unreadable(_) => vec![self.clone()],
        }
    }

    /// A type of yours. Paths of errors lead to the field within it that does not fit.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<Option<T>, Error> {
        let Some(found) = self.value()? else { return Ok(None) };
        Ok(Some(read::from(&self.path, found)?))
    }

    fn elements<'v>(&self, items: &'v [Value]) -> Vec<Field<'v>> {
        let element = |(index, item)| Field::borrowed(join(&self.path, &format!("{index}")), Some(item));
        items.iter().enumerate().map(element).collect()
    }

    fn is_not(&self, found: &Value, expected: &str) -> Error {
        Error::invalid(&self.path, format!("{} is not {expected}", describe(found)))
    }
}

/// A [`Field`] that has to be there: nothing or null is an [`Error::InvalidInput`] as well.
#[derive(Clone, Copy, Debug)]
pub struct Required<'f, 'a>(&'f Field<'a>);

impl<'f> Required<'f, '_> {
    fn demand<T>(self, read: Result<Option<T>, Error>) -> Result<T, Error> {
        read?.ok_or_else(|| Error::invalid(&self.0.path, "it is missing"))
    }

    /// As [`Field::value`].
    pub fn value(self) -> Result<&'f Value, Error> {
        self.demand(self.0.value())
    }

    /// As [`Field::text`].
    pub fn text(self) -> Result<String, Error> {
        self.demand(self.0.text())
    }

    /// As [`Field::boolean`].
    pub fn boolean(self) -> Result<bool, Error> {
        self.demand(self.0.boolean())
    }

    /// As [`Field::integer`].
    pub fn integer(self) -> Result<i64, Error> {
        self.demand(self.0.integer())
    }

    /// As [`Field::number`].
    pub fn number(self) -> Result<Decimal, Error> {
        self.demand(self.0.number())
    }

    /// As [`Field::quantity`].
    pub fn quantity(self) -> Result<Quantity, Error> {
        self.demand(self.0.quantity())
    }

    /// As [`Field::duration`].
    pub fn duration(self) -> Result<Duration, Error> {
        self.demand(self.0.duration())
    }

    /// As [`Field::version`].
    pub fn version(self) -> Result<Version, Error> {
        self.demand(self.0.version())
    }

    /// As [`Field::cidr`].
    pub fn cidr(self) -> Result<Cidr, Error> {
        self.demand(self.0.cidr())
    }

    /// As [`Field::timestamp`].
    pub fn timestamp(self) -> Result<Timestamp, Error> {
        self.demand(self.0.timestamp())
    }

    /// As [`Field::read`].
    pub fn read<T>(self) -> Result<T, Error>
    where
        T: FromStr,
        T::Err: fmt::Display,
    {
        self.demand(self.0.read())
    }

    /// As [`Field::list`].
    pub fn list(self) -> Result<Vec<Field<'f>>, Error> {
        self.demand(self.0.list())
    }

    /// As [`Field::entries`].
    pub fn entries(self) -> Result<Vec<(&'f str, Field<'f>)>, Error> {
        self.demand(self.0.entries())
    }

    /// As [`Field::parse`].
    pub fn parse<T: DeserializeOwned>(self) -> Result<T, Error> {
        self.demand(self.0.parse())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::Document;

    fn message<T: fmt::Debug>(read: Result<T, Error>) -> String {
        read.unwrap_err().to_string()
    }

    #[test]
    fn every_reading_gives_the_value_or_nothing_or_says_what_is_there() {
        let object = Document::from(json!({
            "text": "a", "number": 15, "on": true, "off": "false", "null": null, "list": [1], "object": {"a.b": 1},
        }));
        assert_eq!(object.at("text").text(), Ok(Some("a".to_owned())));
        assert_eq!(object.at("number").text(), Ok(Some("15".to_owned())));
        assert_eq!(object.at("number").integer(), Ok(Some(15)));
        assert_eq!(object.at("on").boolean(), Ok(Some(true)));
        assert_eq!(object.at("off").boolean(), Ok(Some(false)));
        assert_eq!(object.at("number").version(), Ok(Some("15".parse().unwrap())));
        for nothing in ["null", "missing", "text.below", "list.1"] {
            let field = object.at(nothing);
            assert!(!field.exists());
            assert_eq!(field.text(), Ok(None), "{nothing}");
            assert_eq!(field.list().unwrap().map(|list| list.len()), None);
            assert!(field.each().is_empty());
            assert_eq!(message(field.required().text()), format!("invalid input: {nothing}: it is missing"));
        }
        for (read, expected) in [
            (message(object.at("text").integer()), r#"text: "a" is not a whole number"#),
            (message(object.at("text").boolean()), r#"text: "a" is not true or false"#),
            (message(object.at("text").number()), r#"text: "a" is not a number"#),
            (message(object.at("list").text()), "list: a list is not a single value"),
            (message(object.at("object").integer()), r#"object: {"a.b":1} is not a whole number"#),
            (message(object.at("text").list()), "text: a text is not a list"),
            (message(object.at("list").entries()), "list: a list is not an object"),
        ] {
            assert_eq!(read, format!("invalid input: {expected}"));
        }
    }

    #[test]
    fn what_is_below_a_field_knows_its_whole_path() {
        let object =
            Document::from(json!({"spec": {"disks": [{"size": "1Gi"}, {"size": "big"}], "labels": {"a.b": "x"}}}));
        let spec = object.at("spec");
        let paths: Vec<String> = spec.at("disks").each().iter().map(|disk| disk.at("size").path().to_owned()).collect();
        assert_eq!(paths, ["spec.disks.0.size", "spec.disks.1.size"]);
        let disks = spec.at("disks");
        let disks = disks.required().list().unwrap();
        assert!(message(disks[1].at("size").quantity()).contains("spec.disks.1.size: \"big\" is not a quantity"));
        let labels = spec.at("labels");
        let labels = labels.required().entries().unwrap();
        assert_eq!((labels[0].0, labels[0].1.path()), ("a.b", r"spec.labels.a\.b"));
        assert_eq!(object.at(labels[0].1.path()).text(), Ok(Some("x".to_owned())), "the path leads there again");
        assert_eq!(spec.at("labels").each().len(), 1, "what is no list is one value");
    }

    #[test]
    fn a_type_of_ones_own_is_read_with_the_path_of_what_does_not_fit() {
        let object = Document::from(json!({"spec": {"sizes": {"a": "1Gi", "b": ["2Gi"]}}}));
        let error = message(object.at("spec.sizes").parse::<BTreeMap<String, Quantity>>());
        assert!(error.starts_with("invalid input: spec.sizes.b: "), "{error}");
        assert_eq!(object.at("spec.sizes.a").parse(), Ok(Some("1Gi".parse::<Quantity>().unwrap())));
    }

    #[test]
    fn text_of_the_host_is_read_as_a_value_is() {
        let field = Field::from_json("spec".to_owned(), Some(r#"{"size": "1Gi", "none": null}"#));
        assert_eq!(field.at("size").quantity(), Ok(Some("1Gi".parse().unwrap())));
        assert!(!field.at("none").exists());
        assert!(!Field::from_json("spec".to_owned(), Some("null")).exists());
        assert!(!Field::from_json("spec".to_owned(), None).exists());
        let deep = "[".repeat(1000) + &"]".repeat(1000);
        let field = Field::from_json("spec".to_owned(), Some(&deep));
        assert!(field.exists(), "what cannot be read is there all the same");
        assert!(message(field.at("0").text()).starts_with("invalid input: spec.0: "));
        assert!(field.each()[0].text().is_err());
    }
}
