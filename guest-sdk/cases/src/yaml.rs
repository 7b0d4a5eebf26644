//! YAML as kubectl reads it, which is what API servers are given: YAML 1.1 without its numbers to base 60. `on` and `no` are
//! booleans, `0644` is 420, `<<` merges, and a whole number is one however it is written.

use std::fmt;

use granit_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Number, Value};

/// How deep a document may be.
const DEEPEST: usize = 128;
/// How many values a document may have, with all aliases replaced.
const MOST: usize = 1_000_000;
const CORE: &str = "tag:yaml.org,2002:";

/// Why a document cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error(String);

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

/// The documents of a text, in their order. After one that cannot be read there is none.
pub fn documents(text: &str) -> Vec<Result<Value, Error>> {
    let mut reader = Reader { parser: Parser::new_from_str(text), anchors: Vec::new(), line: 1, values: 0 };
    let mut documents = Vec::new();
    loop {
        match reader.document() {
            Ok(Some(value)) => documents.push(Ok(value)),
            Ok(None) => return documents,
            Err(error) => {
                documents.push(Err(error));
                return documents;
            }
        }
    }
}

/// A value with what a mapping has to know of its keys.
#[derive(Clone, Debug)]
struct Node {
    value: Value,
    /// It is a plain `<<`.
    merges: bool,
}

struct Reader<'t> {
    parser: Parser<'t, granit_parser::StrInput<'t>>,
    /// What has a name, by the parser's number.
    anchors: Vec<(usize, Value)>,
    /// Where the last event was.
    line: usize,
    values: usize,
}

impl<'t> Reader<'t> {
    fn next(&mut self) -> Result<Event<'t>, Error> {
        loop {
            let (event, span) = match self.parser.next() {
                None => return Ok(Event::StreamEnd),
                Some(Err(error)) => return Err(Error(error.to_string())),
                Some(Ok(next)) => next,
            };
            self.line = span.start.line();
            match event {
                Event::StreamStart | Event::Comment(..) => {}
                event => return Ok(event),
            }
        }
    }

    fn wrong<T>(&self, what: impl fmt::Display) -> Result<T, Error> {
        Err(Error(format!("{what} at line {}", self.line)))
    }

    fn document(&mut self) -> Result<Option<Value>, Error> {
        loop {
            match self.next()? {
                Event::StreamEnd => return Ok(None),
                Event::DocumentStart(..) => {
                    (self.anchors, self.values) = (Vec::new(), 0);
                    let first = self.next()?;
                    return self.node(first, 0).map(|node| Some(node.value));
                }
                _ => {}
            }
        }
    }

    fn node(&mut self, event: Event<'t>, depth: usize) -> Result<Node, Error> {
        if depth > DEEPEST {
            return self.wrong(format!("more than {DEEPEST} levels"));
        }
        self.count(1)?;
        let (node, anchor) = match event {
            Event::Alias(anchor) => {
                let Some(value) = self.anchors.iter().rev().find(|(id, _)| *id == anchor).map(|(_, it)| it.clone())
                else {
                    return self.wrong("an alias within what it stands for");
                };
                self.count(size(&value))?;
                return Ok(Node { value, merges: false });
            }
            Event::Scalar(text, style, anchor, tag) => {
                let tag = tag.map(|tag| format!("{}{}", tag.handle(), tag.suffix()));
                let plain = style == ScalarStyle::Plain;
                let merges = plain && text == "<<" && tag.is_none();
                let value = match scalar(&text, plain, tag.as_deref()) {
                    Ok(value) => value,
                    Err(what) => return self.wrong(what),
                };
                (Node { value, merges }, anchor)
            }
            Event::SequenceStart(_, anchor, _) => {
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        Event::SequenceEnd => break,
                        event => items.push(self.node(event, depth + 1)?.value),
                    }
                }
                (Node { value: Value::Array(items), merges: false }, anchor)
            }
            Event::MappingStart(_, anchor, _) => {
                (Node { value: Value::Object(self.mapping(depth)?), merges: false }, anchor)
            }
            // The document is empty.
            _ => (Node { value: Value::Null, merges: false }, 0),
        };
        if anchor > 0 {
            self.anchors.push((anchor, node.value.clone()));
        }
        Ok(node)
    }

    fn mapping(&mut self, depth: usize) -> Result<Map<String, Value>, Error> {
        let (mut fields, mut own) = (Map::new(), std::collections::BTreeSet::new());
        loop {
            let event = match self.next()? {
                Event::MappingEnd => return Ok(fields),
                event => event,
            };
            let key = self.node(event, depth + 1)?;
            let event = self.next()?;
            let value = self.node(event, depth + 1)?.value;
            if key.merges {
                // In their order, as kubectl has it: what is merged stands against the fields before it.
                match value {
                    Value::Object(merged) => fields.extend(merged),
                    Value::Array(several) => {
                        for merged in several.into_iter().rev() {
                            let Value::Object(merged) = merged else {
                                return self.wrong("<< takes mappings");
                            };
                            fields.extend(merged);
                        }
                    }
                    _ => return self.wrong("<< takes a mapping, or a list of them"),
                }
                continue;
            }
            let name = match key.value {
                Value::String(name) => name,
                Value::Bool(is) => is.to_string(),
                Value::Number(number) => number.to_string(),
                Value::Null => return self.wrong("a key that is null"),
                Value::Array(_) | Value::Object(_) => return self.wrong("a key that is no text"),
            };
            if !own.insert(name.clone()) {
                return self.wrong(format!("key {name:?} for the second time"));
            }
            fields.insert(name, value);
        }
    }

    fn count(&mut self, more: usize) -> Result<(), Error> {
        self.values += more;
        if self.values > MOST {
            self.wrong("more values than a document may have, with its aliases replaced")
        } else {
            Ok(())
        }
    }
}

fn size(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(size).sum::<usize>(),
        Value::Object(fields) => 1 + fields.values().map(size).sum::<usize>(),
        _ => 1,
    }
}

/// What a scalar is.
fn scalar(text: &str, plain: bool, tag: Option<&str>) -> Result<Value, String> {
    let tag = tag.map(|tag| tag.strip_prefix(CORE).unwrap_or(tag));
    match tag {
        None if plain => resolve(text),
        Some("bool" | "int" | "float" | "null") => {
            let value = resolve(text)?;
            let fits = match tag {
                Some("bool") => value.is_boolean(),
                Some("null") => value.is_null(),
                Some("int") => value.is_i64() || value.is_u64(),
                _ => value.is_number(),
            };
            if fits { Ok(value) } else { Err(format!("{text:?} is no {}", tag.unwrap_or_default())) }
        }
        Some("binary") => Err("binary data".into()),
        None | Some(_) => Ok(text.into()),
    }
}

/// What a text without quotes stands for.
fn resolve(text: &str) -> Result<Value, String> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Ok(Value::Null),
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => return Ok(true.into()),
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Ok(false.into());
        }
        _ => {}
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return Err(format!("{text} is no number that JSON has"));
    }
    if !text.starts_with(|first: char| first.is_ascii_digit() || "+-.".contains(first)) {
        return Ok(text.into());
    }
    let digits = if text.starts_with('.') { text.to_owned() } else { text.replace('_', "") };
    Ok(integer(&digits).or_else(|| float(&digits)).map_or_else(|| text.into(), Value::Number))
}

/// A whole number in any base: `0x`, `0o` or a mere `0`, `0b`.
fn integer(digits: &str) -> Option<Number> {
    let (sign, digits) = match digits.as_bytes().first()? {
        b'-' => (-1, &digits[1..]),
        b'+' => (1, &digits[1..]),
        _ => (1, digits),
    };
    let lower = digits.to_ascii_lowercase();
    let (base, rest) = match lower.as_bytes() {
        [b'0', b'x', ..] => (16, &lower[2..]),
        [b'0', b'o', ..] => (8, &lower[2..]),
        [b'0', b'b', ..] => (2, &lower[2..]),
        [b'0', _, ..] => (8, &lower[1..]),
        _ => (10, lower.as_str()),
    };
    if !rest.starts_with(|first: char| first.is_ascii_hexdigit()) {
        return None;
    }
    let number = i128::from_str_radix(rest, base).ok()? * sign;
    i64::try_from(number).map(Number::from).or_else(|_| u64::try_from(number).map(Number::from)).ok()
}

/// A number with a point or an exponent. One that is whole becomes a whole number on its way to the API server.
fn float(digits: &str) -> Option<Number> {
    let unsigned = digits.strip_prefix(['+', '-']).unwrap_or(digits);
    let is_one = unsigned.starts_with(|first: char| first.is_ascii_digit() || first == '.')
        && unsigned.chars().all(|c| c.is_ascii_digit() || ".eE+-".contains(c));
    let number: f64 = digits.parse().ok().filter(|number: &f64| is_one && number.is_finite())?;
    // Up to there Go writes all digits.
    if number.fract() == 0.0 && number.abs() < 1e21 {
        #[allow(clippy::cast_possible_truncation, reason = "it is whole, and small enough")]
        let whole = number as i128;
        let small = i64::try_from(whole).map(Number::from).or_else(|_| u64::try_from(whole).map(Number::from));
        if let Ok(whole) = small {
            return Some(whole);
        }
    }
    Number::from_f64(number)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(text: &str) -> Value {
        let mut all = documents(text);
        assert_eq!(all.len(), 1, "{text}: {all:?}");
        all.remove(0).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn words_and_numbers_are_what_kubectl_takes_them_for() {
        for (text, value) in [
            ("on", json!(true)),
            ("Off", json!(false)),
            ("y", json!(true)),
            ("NO", json!(false)),
            ("yEs", json!("yEs")),
            ("\"on\"", json!("on")),
            ("'no'", json!("no")),
            ("|-\n  yes", json!("yes")),
            ("~", json!(null)),
            ("0644", json!(420)),
            ("-0644", json!(-420)),
            ("0o17", json!(15)),
            ("0x1F", json!(31)),
            ("0b11", json!(3)),
            ("1_000", json!(1000)),
            ("0_17", json!(15)),
            ("_1", json!("_1")),
            ("08", json!(8)),
            ("1e3", json!(1000)),
            ("1.0", json!(1)),
            (".5", json!(0.5)),
            ("-.5", json!(-0.5)),
            ("+12", json!(12)),
            ("1.5e-7", json!(1.5e-7)),
            ("1e400", json!("1e400")),
            ("18446744073709551615", json!(u64::MAX)),
            ("12:30:45", json!("12:30:45")),
            ("2026-07-01", json!("2026-07-01")),
            ("1.2.3", json!("1.2.3")),
            ("-", json!([null])),
            ("+", json!("+")),
            (".", json!(".")),
            ("0x", json!("0x")),
            ("0xg", json!("0xg")),
            ("5Gi", json!("5Gi")),
            ("!!str 12", json!("12")),
            ("!!int \"12\"", json!(12)),
            ("!own 12", json!("12")),
        ] {
            assert_eq!(read(text), value, "{text}");
        }
        assert_eq!(read("{on: 1, 0x10: 2, null_: 3}"), json!({"true": 1, "16": 2, "null_": 3}));
    }

    #[test]
    fn merge_keys_and_aliases_are_carried_out() {
        let text = "base: &base {a: 1, b: [x]}\none: {<<: *base, b: 2}\ntwo: {<<: [{a: 0}, *base], c: 3}\nthree: *base\nfour: {\"<<\": 1}\n";
        let base = json!({"a": 1, "b": ["x"]});
        let expected = json!({
            "base": base, "one": {"a": 1, "b": 2}, "two": {"a": 0, "b": ["x"], "c": 3}, "three": base, "four": {"<<": 1},
        });
        assert_eq!(read(text), expected);
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_its_line() {
        for (text, expected) in [
            ("a: 1\nb: 2\na: 3", "key \"a\" for the second time at line 3"),
            ("a: .inf", "no number"),
            ("~: 1", "a key that is null"),
            ("[a]: 1", "a key that is no text"),
            ("<<: 1", "<< takes a mapping"),
            ("!!int x", "is no int"),
            ("a: *b", "unknown anchor"),
        ] {
            let error = documents(text).pop().unwrap_or_else(|| panic!("{text} is nothing")).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
        let deep = "[".repeat(200) + &"]".repeat(200);
        assert!(documents(&deep)[0].is_err());
        let mut bomb = "a: &a [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for (name, of) in ["b", "c", "d", "e", "f", "g"].iter().zip(["a", "b", "c", "d", "e", "f"]) {
            let line = format!("{name}: &{name} [{}]\n", vec![format!("*{of}"); 10].join(", "));
            bomb.push_str(&line);
        }
        let error = documents(&bomb)[0].clone().unwrap_err().to_string();
        assert!(error.contains("more values"), "{error}");
    }

    #[test]
    fn documents_come_one_after_the_other() {
        let all: Vec<Value> =
            documents("# a\n---\na: 1\n---\n---\nb: 1\n...\n").into_iter().map(Result::unwrap).collect();
        assert_eq!(all, [json!({"a": 1}), json!(null), json!({"b": 1})]);
        let broken = documents("a: 1\n---\nb: [\n");
        assert!(broken.len() == 2 && broken[0].is_ok() && broken[1].is_err(), "{broken:?}");
        assert!(documents("").is_empty());
    }
}
