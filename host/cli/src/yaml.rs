//! YAML that every reader takes for the same thing.
//!
//! kubectl goes by YAML 1.1, to which `no` and `on` are booleans and `1_000` is a number, other readers by 1.2. So a text is
//! written without quotes only where nobody could take it for anything else.

use std::fmt::Write as _;

use serde::Serialize;
use serde_yaml::Value;

/// What YAML 1.1 reads as a boolean or as nothing, in small letters.
const WORDS: [&str; 9] = ["false", "n", "no", "null", "off", "on", "true", "y", "yes"];
/// Beside letters and digits, what may stand anywhere in a text without quotes.
const PLAIN: &str = "-_./+= ,()";
/// What is no control character, and yet a line break or a mark to readers of YAML.
const MARKS: [char; 5] = ['\u{2028}', '\u{2029}', '\u{feff}', '\u{fffe}', '\u{ffff}'];

/// Writes a value as one document.
///
/// # Errors
/// If it is nothing that YAML has.
pub(crate) fn to_string(value: &impl Serialize) -> Result<String, serde_yaml::Error> {
    let mut yaml = String::new();
    write_block(&serde_yaml::to_value(value)?, 0, &mut yaml);
    Ok(yaml)
}

/// Writes whole lines, which begin with so many spaces.
fn write_block(value: &Value, indent: usize, yaml: &mut String) {
    let padding = " ".repeat(indent);
    match value {
        Value::Mapping(fields) if !fields.is_empty() => {
            for (key, value) in fields {
                yaml.push_str(&padding);
                yaml.push_str(&scalar(key, 0));
                yaml.push(':');
                match value {
                    Value::Mapping(fields) if !fields.is_empty() => {
                        yaml.push('\n');
                        write_block(value, indent + 2, yaml);
                    }
                    Value::Sequence(items) if !items.is_empty() => {
                        yaml.push('\n');
                        write_block(value, indent, yaml);
                    }
                    value => {
                        yaml.push(' ');
                        yaml.push_str(&scalar(value, indent + 2));
                        yaml.push('\n');
                    }
                }
            }
        }
        Value::Sequence(items) if !items.is_empty() => {
            for item in items {
                let mut lines = String::new();
                write_block(item, indent + 2, &mut lines);
                // The dash stands in the first line's padding.
                yaml.push_str(&padding);
                yaml.push_str("- ");
                yaml.push_str(lines.trim_start_matches(' '));
            }
        }
        value => {
            yaml.push_str(&padding);
            yaml.push_str(&scalar(value, indent));
            yaml.push('\n');
        }
    }
}

/// What stands behind a key or a dash; lines below it begin with so many spaces, and there are none where it is 0.
fn scalar(value: &Value, indent: usize) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(on) => on.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) if is_plain(text) => text.clone(),
        Value::String(text) if indent > 0 && has_lines(text) => lines(text, indent),
        Value::String(text) => quoted(text),
        Value::Sequence(_) => "[]".to_owned(),
        Value::Mapping(_) => "{}".to_owned(),
        Value::Tagged(tagged) => scalar(&tagged.value, indent),
    }
}

fn is_plain(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && !text.ends_with(' ')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || PLAIN.contains(c))
        && !WORDS.contains(&text.to_ascii_lowercase().as_str())
}

/// Whether it is a text of several lines that can be written as they are.
fn has_lines(text: &str) -> bool {
    text.contains('\n')
        && !text.starts_with(char::is_whitespace)
        && !text.ends_with("\n\n")
        && text.lines().all(|line| line.trim_end() == line)
        && text.chars().all(|c| matches!(c, '\n' | '\t') || is_shown(c))
}

fn lines(text: &str, indent: usize) -> String {
    let mut yaml = if text.ends_with('\n') { "|" } else { "|-" }.to_owned();
    for line in text.lines() {
        yaml.push('\n');
        if !line.is_empty() {
            yaml.push_str(&" ".repeat(indent));
            yaml.push_str(line);
        }
    }
    yaml
}

fn quoted(text: &str) -> String {
    let mut yaml = "\"".to_owned();
    for character in text.chars() {
        match character {
            '"' | '\\' => yaml.extend(['\\', character]),
            '\n' => yaml.push_str("\\n"),
            '\t' => yaml.push_str("\\t"),
            shown if is_shown(shown) => yaml.push(shown),
            hidden => {
                // Writing to a String cannot fail.
                let _ = write!(yaml, "\\u{:04x}", u32::from(hidden));
            }
        }
    }
    yaml + "\""
}

fn is_shown(character: char) -> bool {
    !character.is_control() && !MARKS.contains(&character)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_text_that_old_readers_take_for_something_else_is_quoted() {
        for text in [
            "no",
            "No",
            "NO",
            "on",
            "off",
            "y",
            "N",
            "yes",
            "true",
            "Null",
            "~",
            "1_000",
            "1__2",
            "0b",
            "0o7",
            "0x1f",
            "0644",
            "1e3",
            "12:30:45",
            "2026-07-01",
            ".5",
            ".inf",
            "+1",
            "-",
            "=",
            "<<",
            "",
            " a",
            "a ",
            "a: b",
            "a #b",
            "*a",
            "&a",
            "!a",
            "%a",
            "@a",
            "[a",
            "{a",
            "'a'",
            "`a",
            "? a",
            "| a",
            "a\r\nb",
        ] {
            let yaml = to_string(&json!({ text: [text] })).unwrap();
            let text = text.replace('\r', "\\u000d").replace('\n', "\\n");
            assert_eq!(yaml, format!("\"{text}\":\n- \"{text}\"\n"));
        }
        for text in ["a", "nordics", "a/b-c_d.e", "KLUv/aCYxQUA+w==", "two words, (and) more"] {
            assert_eq!(to_string(&json!({ text: text })).unwrap(), format!("{text}: {text}\n"));
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let value = json!({
            "numbers": [0, -1, 1.5, 1e30, u64::MAX, i64::MIN],
            "empty": [{}, [], null, true, "", {"a": []}],
            "nested": [[["a"], {"b": [1, {"c": {"d": [[{}]]}}], "e": "f"}]],
            "lines": ["a\nb", "a\n\n  b\n", "a\n\n", "\na\n", " a\nb", "a \nb", "a\tb\n\tc\n", "#a\n---\n...\n", "a\r\nb\n"],
            "script": "set -e\necho \"$X\"\n",
            "hidden": ["\u{1}", "\u{7f}", "\u{85}x", "\u{2028}x", "\u{feff}x", "\u{ffff}", "\u{1f389}ü", "\"\\", "\u{a0}"],
            "on": {"1_000": {"no": "no", "a\nb": "c"}},
        });
        let yaml = to_string(&value).unwrap();
        assert_eq!(serde_yaml::from_str::<serde_json::Value>(&yaml).unwrap(), value, "{yaml}");
        let as_kubectl = resource_broker_plugin_cases::yaml::documents(&yaml).remove(0).unwrap();
        assert_eq!(as_kubectl["on"], value["on"], "{yaml}");
        assert_eq!(as_kubectl["hidden"], value["hidden"], "{yaml}");
        assert!(yaml.contains("script: |\n  set -e\n  echo \"$X\"\n"), "{yaml}");
        for value in [json!("a\nb"), json!([]), json!(null), json!(["a\nb"])] {
            let yaml = to_string(&value).unwrap();
            assert_eq!(serde_yaml::from_str::<serde_json::Value>(&yaml).unwrap(), value, "{yaml}");
        }
    }
}
