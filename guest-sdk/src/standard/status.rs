//! A provider's status as its consumer sees it.
//!
//! Related resources get the names that they have at the consumer, and the namespace of the consumer's object. Everything else goes through as it was written, to the last digit of a number.

use std::collections::BTreeMap;

use serde_json::value::{RawValue, to_raw_value};

use crate::CopyContext;
use crate::error::Error;

type Fields<'a> = BTreeMap<String, &'a RawValue>;

/// Makes the consumer's status from the provider's, both JSON objects.
///
/// A `relatedResources` that is no object, and an entry of it that is none, go through as they are: to judge them is the
/// host's business.
///
/// # Errors
///
/// [`Error::InvalidInput`] if the status is no object.
pub fn transform(status: &str, context: &CopyContext) -> Result<String, Error> {
    let mut fields: Fields<'_> = serde_json::from_str(status)
        .map_err(|error| Error::invalid("status", format!("the provider's status is not an object: {error}")))?;
    let Some(related) = fields.get("relatedResources") else { return Ok(status.to_owned()) };
    let Ok(entries) = serde_json::from_str::<BTreeMap<String, Box<RawValue>>>(related.get()) else {
        return Ok(status.to_owned());
    };
    let moved = entries
        .into_iter()
        .map(|(key, entry)| Ok((key, move_to_consumer(entry, context)?)))
        .collect::<Result<BTreeMap<String, Box<RawValue>>, Error>>()?;
    let moved = to_raw_value(&moved)?;
    fields.insert("relatedResources".to_owned(), &moved);
    Ok(serde_json::to_string(&fields)?)
}

fn move_to_consumer(entry: Box<RawValue>, context: &CopyContext) -> Result<Box<RawValue>, Error> {
    let Ok(mut fields) = serde_json::from_str::<Fields<'_>>(entry.get()) else { return Ok(entry) };
    let name = match fields.get("name").map(|name| serde_json::from_str::<String>(name.get())) {
        Some(Ok(name)) => Some(to_raw_value(context.consumer_name(&name).unwrap_or(&name))?),
        Some(Err(_)) | None => None,
    };
    if let Some(name) = &name {
        fields.insert("name".to_owned(), name);
    }
    let namespace = to_raw_value(&context.consumer_namespace)?;
    fields.insert("namespace".to_owned(), &namespace);
    Ok(to_raw_value(&fields)?)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::NamePair;

    fn context() -> CopyContext {
        CopyContext {
            names: ["cert", "0123456789ab-x", "ü\""]
                .map(|name| NamePair { consumer: name.to_owned(), copy: format!("0123456789ab-{name}") })
                .into(),
            consumer_namespace: "team".to_owned(),
            provider: "provider#nestor".to_owned(),
        }
    }

    fn transformed(status: &Value) -> Value {
        serde_json::from_str(&transform(&status.to_string(), &context()).unwrap()).unwrap()
    }

    #[test]
    fn related_resources_move_to_the_consumer() {
        let gvk = json!({"group": "core", "version": "v1", "kind": "Secret"});
        let status = json!({
            "status": "Available",
            "relatedResources": {
                "tls": {"gvk": gvk, "name": "0123456789ab-cert", "namespace": "elsewhere"},
                "foreign": {"gvk": gvk, "name": "plain"},
                "twice": {"gvk": gvk, "name": "0123456789ab-0123456789ab-x", "namespace": "team", "extra": [1]},
            },
        });
        let expected = json!({
            "status": "Available",
            "relatedResources": {
                "tls": {"gvk": gvk, "name": "cert", "namespace": "team"},
                "foreign": {"gvk": gvk, "name": "plain", "namespace": "team"},
                "twice": {"gvk": gvk, "name": "0123456789ab-x", "namespace": "team", "extra": [1]},
            },
        });
        assert_eq!(transformed(&status), expected);
    }

    #[test]
    fn what_is_no_related_resource_goes_through() {
        for related in [json!(null), json!([1]), json!("text"), json!({}), json!({"a": null, "b": 1, "c": "x"})] {
            let status = json!({"relatedResources": related});
            assert_eq!(transformed(&status), status);
        }
        let status = json!({"relatedResources": {"a": {"name": 7}}});
        assert_eq!(transformed(&status), json!({"relatedResources": {"a": {"name": 7, "namespace": "team"}}}));
    }

    #[test]
    fn numbers_keep_every_digit() {
        for status in [
            r#"{"a":18446744073709551616,"b":1.10,"c":1e400}"#,
            r#"{"a":18446744073709551616,"b":1.10,"c":1e400,"relatedResources":{"x":{"n":0.10000000000000000001,"namespace":"team"}}}"#,
        ] {
            assert_eq!(transform(status, &context()).unwrap(), status);
        }
    }

    #[test]
    fn text_keeps_its_meaning() {
        let status =
            json!({"message": "line\nbreak \u{1} ü \"quoted\"", "relatedResources": {"k\"ey": {"name": "ü\""}}});
        let expected = json!({
            "message": "line\nbreak \u{1} ü \"quoted\"",
            "relatedResources": {"k\"ey": {"name": "ü\"", "namespace": "team"}},
        });
        assert_eq!(transformed(&status), expected);
    }

    #[test]
    fn a_status_that_is_no_object_is_refused() {
        for status in ["[]", "1", r#""Available""#, "{"] {
            assert!(matches!(transform(status, &context()), Err(Error::InvalidInput(_))), "{status}");
        }
    }
}
