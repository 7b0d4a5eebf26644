//! Values on their way from JSON to CEL and back.

use std::collections::HashMap;
use std::sync::Arc;

use cel::Value;
use cel::objects::Key;
use serde_json::{Map, Number, Value as Json};

/// A JSON value as CEL sees it. A whole number is an `int`, or a `uint` where only that is large enough, whoever wrote it; any
/// other is a `double`.
pub(crate) fn from_json(json: &Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(on) => Value::Bool(*on),
        Json::Number(number) => from_number(number),
        Json::String(text) => Value::String(Arc::new(text.clone())),
        Json::Array(items) => Value::List(Arc::new(items.iter().map(from_json).collect())),
        Json::Object(fields) => {
            let fields: HashMap<String, Value> =
                fields.iter().map(|(name, value)| (name.clone(), from_json(value))).collect();
            Value::Map(fields.into())
        }
    }
}

fn from_number(number: &Number) -> Value {
    if let Some(int) = number.as_i64() {
        return Value::Int(int);
    }
    if let Some(uint) = number.as_u64() {
        return Value::UInt(uint);
    }
    // What no double can hold is infinite, which compares as it should.
    Value::Float(number.to_string().parse().unwrap_or(f64::NAN))
}

/// A CEL value as JSON; or else what it is that JSON does not have.
pub(crate) fn to_json(value: &Value) -> Result<Json, &'static str> {
    Ok(match value {
        Value::Null => Json::Null,
        Value::Bool(on) => Json::Bool(*on),
        Value::Int(int) => Json::from(*int),
        Value::UInt(uint) => Json::from(*uint),
        Value::Float(double) => Number::from_f64(*double).map(Json::Number).ok_or("a number that is not finite")?,
        Value::String(text) => Json::String(text.to_string()),
        Value::List(items) => Json::Array(items.iter().map(to_json).collect::<Result<_, _>>()?),
        Value::Map(map) => {
            let fields = map.map.iter().map(|(key, value)| Ok((key_text(key), to_json(value)?)));
            Json::Object(fields.collect::<Result<Map<_, _>, &'static str>>()?)
        }
        other => return Err(describe(other)),
    })
}

/// A CEL value as a part of a text: a string as it is, a number or boolean as CEL's `string()` writes it, anything else as
/// JSON; or else what it is that has no text.
pub(crate) fn to_text(value: &Value) -> Result<String, &'static str> {
    match value {
        Value::String(text) => Ok(text.to_string()),
        Value::Float(double) if double.is_finite() => Ok(double.to_string()),
        other => to_json(other).map(|json| json.to_string()),
    }
}

fn key_text(key: &Key) -> String {
    match key {
        Key::Int(int) => int.to_string(),
        Key::Uint(uint) => uint.to_string(),
        Key::Bool(on) => on.to_string(),
        Key::String(text) => text.to_string(),
    }
}

/// What a value is, for people.
pub(crate) fn describe(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Int(_) => "an int",
        Value::UInt(_) => "a uint",
        Value::Float(_) => "a double",
        Value::String(_) => "a string",
        Value::Bytes(_) => "bytes",
        Value::List(_) => "a list",
        Value::Map(_) | Value::Struct(_) => "a map",
        Value::Function(..) => "a function",
        Value::Opaque(_) => "an optional, which .orValue(…) makes a value",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Value {
        from_json(&serde_json::from_str(json).unwrap())
    }

    #[test]
    fn whole_numbers_are_ints_and_others_doubles() {
        for (json, expected) in [
            ("1", Value::Int(1)),
            ("-0", Value::Int(0)),
            ("9223372036854775807", Value::Int(i64::MAX)),
            ("9223372036854775808", Value::UInt(1 << 63)),
            ("18446744073709551616", Value::Float(18_446_744_073_709_551_616.0)),
            ("1.0", Value::Float(1.0)),
            ("1e3", Value::Float(1000.0)),
            ("-1e400", Value::Float(f64::NEG_INFINITY)),
        ] {
            assert_eq!(read(json), expected, "{json}");
        }
    }

    #[test]
    fn json_comes_back_as_it_went() {
        let json = r#"{"a":[1,-2,2.5,"x",true,null,{}],"b":{"c":18446744073709551615}}"#;
        assert_eq!(to_json(&read(json)).unwrap().to_string(), json);
    }

    #[test]
    fn texts_are_as_cel_writes_them() {
        for (json, expected) in [
            (r#""a\"b""#, "a\"b"),
            ("1", "1"),
            ("1.0", "1"),
            ("0.1", "0.1"),
            ("true", "true"),
            ("null", "null"),
            ("[1, \"a\"]", "[1,\"a\"]"),
            (r#"{"b": 1, "a": 2.0}"#, r#"{"a":2.0,"b":1}"#),
        ] {
            assert_eq!(to_text(&read(json)).as_deref(), Ok(expected), "{json}");
        }
    }

    #[test]
    fn what_json_does_not_have_is_named() {
        for (value, expected) in [
            (Value::Float(f64::NAN), "not finite"),
            (Value::Bytes(Arc::new(vec![1])), "bytes"),
            (Value::List(Arc::new(vec![Value::Float(f64::INFINITY)])), "not finite"),
        ] {
            assert!(to_json(&value).unwrap_err().contains(expected), "{value:?}");
            assert!(to_text(&value).unwrap_err().contains(expected), "{value:?}");
        }
    }
}
