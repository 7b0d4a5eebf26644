//! Errors of the CEL library, in words for those who write expressions.

use cel::{ExecutionError, ParseError, Value};

use super::{Flaw, Place};
use crate::value::describe;

/// How many characters of an expression or a value are shown.
const SHOWN: usize = 160;
/// What messages of the grammar begin with.
const SYNTAX: &str = "Syntax error: ";
/// Part of the parser's message on what is nested deeper than it follows.
const TOO_DEEP: &str = "Recursion limit";

/// The beginning of a text that is too long to show, on one line.
pub(crate) fn shorten(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// The first of the parser's errors; those of what it made of a wrong syntax follow from that.
pub(super) fn syntax(text: &str, errors: &[ParseError]) -> Flaw {
    let of_syntax = errors.iter().find(|error| error.msg.starts_with(SYNTAX));
    let Some(error) = of_syntax.or(errors.first()) else { return Flaw::without_place("it is not a CEL expression") };
    // The columns of macros are in bytes, and only their errors are about no node of their own.
    let in_bytes = !error.msg.starts_with(SYNTAX) && error.expr_id == 0;
    let place = match error.pos {
        (line @ 1.., column @ 1..) => place(text, line.unsigned_abs(), column.unsigned_abs(), in_bytes),
        _ => None,
    };
    Flaw::new(place, in_words(error, place.is_some_and(|place| place.is_end_of(text))))
}

fn place(text: &str, line: usize, column: usize, in_bytes: bool) -> Option<Place> {
    if !in_bytes {
        return Some(Place { line, column });
    }
    let before: usize = text.split_inclusive('\n').take(line - 1).map(str::len).sum();
    text.is_char_boundary(before + column - 1).then(|| Place::at(text, before + column - 1))
}

fn in_words(error: &ParseError, at_end: bool) -> String {
    if error.msg.contains(TOO_DEEP) {
        return "it is nested too deeply".to_owned();
    }
    let message = error.msg.strip_prefix(SYNTAX).unwrap_or(&error.msg);
    let quoted = |prefix: &str| {
        let rest = message.strip_prefix(prefix)?.strip_prefix('\'')?;
        Some(rest.split_once("' expecting").map_or_else(|| rest.trim_end_matches('\''), |(found, _)| found))
    };
    if let Some(found) = quoted("token recognition error at: ") {
        return unreadable(found);
    }
    for prefix in ["mismatched input ", "extraneous input ", "no viable alternative at input "] {
        match quoted(prefix) {
            Some(found) if at_end || found.ends_with("<EOF>") => {
                return "the expression ends where something has to follow".to_owned();
            }
            Some(found) => return format!("{:?} does not belong here", shorten(found)),
            None => {}
        }
    }
    if let Some(missing) = quoted("missing ") {
        return format!(
            "{:?} is missing",
            shorten(missing.split_once("' at '").map_or(missing, |(missing, _)| missing))
        );
    }
    match message {
        "invalid argument to has() macro" => "has is called as has(OBJECT.FIELD)".to_owned(),
        "argument must be a simple name" => "a macro such as all or map takes a name of your own here".to_owned(),
        other => shorten(other),
    }
}

/// What is no part of any expression.
fn unreadable(found: &str) -> String {
    match found.chars().next() {
        Some('"' | '\'') => "the string that begins here does not end".to_owned(),
        Some('=') => "= is no operator: to compare, write ==".to_owned(),
        Some('&') => "& is no operator: for both, write &&".to_owned(),
        Some('|') => "| is no operator: for either, write ||".to_owned(),
        Some('$') => {
            "$ is no part of CEL: ${…} is for the strings of templates, and a condition is written without".to_owned()
        }
        _ => format!("{:?} does not belong here", shorten(found)),
    }
}

/// Why an expression has no value.
pub(super) fn execution(error: &ExecutionError) -> String {
    match error {
        ExecutionError::UnsupportedBinaryOperator(operator, left, right) => {
            format!("{} does not work on {} and {}", sign(operator), describe(left), describe(right))
        }
        ExecutionError::ValuesNotComparable(left, right) => {
            format!("{} and {} cannot be compared", describe(left), describe(right))
        }
        ExecutionError::NoSuchOverload(overload) => {
            format!("{} does not work on {}", sign(overload.function()), overload.argument_types().join(" and "))
        }
        ExecutionError::Overflow(..) => "a number gets too large".to_owned(),
        ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => "it divides by zero".to_owned(),
        ExecutionError::IndexOutOfBounds(Value::Int(index)) => format!("there is no element {index}"),
        ExecutionError::UndeclaredReference(name) => format!("there is no {name:?}"),
        ExecutionError::UnsupportedKeyType(key) => format!("{} cannot be a key of a map", describe(key)),
        ExecutionError::DuplicateKey(_) => "a map has the same key twice".to_owned(),
        ExecutionError::UnexpectedType { got, want } => format!("it has {got} where {want} is needed"),
        ExecutionError::FunctionError { function, message } => format!("{function}: {}", shorten(message)),
        other => shorten(&other.to_string()),
    }
}

/// An operator or function as it is written.
fn sign(name: &str) -> &str {
    match name {
        "add" => "+",
        "sub" => "-",
        "mul" => "*",
        "div" => "/",
        "rem" => "%",
        "_._" => "selecting a field",
        "_[_]" => "[…]",
        "_?_:_" => "? :",
        "@in" => "in",
        "@not_strictly_false" => "a condition",
        name if name.contains(|c: char| !c.is_alphanumeric() && c != '_') => name.trim_matches('_'),
        name => name,
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use serde_json::json;

    use super::super::Language;

    fn flaw(text: &str) -> String {
        let flaws = Language::new().unwrap().compile(text, &["job"]).expect_err(text);
        flaws[0].to_string()
    }

    #[test]
    fn syntax_is_told_with_its_place() {
        for (text, expected) in [
            ("job.a = 1", "column 7: = is no operator: to compare, write =="),
            ("job.", "column 5: the expression ends where something has to follow"),
            ("job.a == ", "column 10: the expression ends where something has to follow"),
            ("job.a == 1)", "column 11: \")\" does not belong here"),
            ("'ü' == 'ü' )", "column 12: \")\" does not belong here"),
            ("(job.a == 1", "column 12: \")\" is missing"),
            ("job.a == 'x", "column 10: the string that begins here does not end"),
            ("job.a == 1 & true", "column 12: & is no operator: for both, write &&"),
            ("${job.a == 1}", "column 1: $ is no part of CEL"),
            ("'ü' == if", "column 8: reserved identifier: if"),
            ("has(job)", "column 5: has is called as has(OBJECT.FIELD)"),
            ("'ü' == '' || has(job)", "column 18: has is called as has(OBJECT.FIELD)"),
            ("job.all(1, true)", "column 9: a macro such as all or map takes a name of your own here"),
            ("job.a\n  == == 1", "line 2, column 6: \"==\" does not belong here"),
            ("job ? job ? 1 : 2 : 3", "column 11: \"?\" does not belong here"),
            ("", "the expression is empty"),
            (" \n", "the expression is empty"),
        ] {
            let flaw = flaw(text);
            assert!(flaw.starts_with(expected), "{text}: {flaw}");
        }
    }

    #[test]
    fn what_is_too_long_or_too_deep_is_told() {
        // Unoptimised, the parser takes more stack than a test's thread has.
        let deep = thread::Builder::new().stack_size(256 << 20).spawn(|| {
            let long = "1".repeat(3000);
            assert!(flaw(&long).contains("more than 2048"), "{}", flaw(&long));
            for (open, close) in
                [("(", ")"), ("[", "]"), ("{1: ", "}"), ("size(", ")"), ("[1].all(x, ", ")"), ("true ? true : ", "")]
            {
                let text = format!("{}true{}", open.repeat(120), close.repeat(120));
                assert!(flaw(&text).ends_with("it is nested too deeply"), "{}", flaw(&text));
            }
        });
        deep.unwrap().join().unwrap();
    }

    #[test]
    fn why_there_is_no_value_is_told() {
        let language = Language::new().unwrap();
        let mut scope = language.scope().unwrap();
        scope.set("job", &json!({"n": 1, "s": "x", "d": 0.5}));
        for (text, expected) in [
            ("job.n > job.s", "> does not work on int and string"),
            ("job.n + job.d == 1.0", "+ does not work on an int and a double"),
            ("!job.s", "! does not work on string"),
            ("job.s.x == 1", "selecting a field does not work on string and string"),
            ("job.n / 0 == 1", "it divides by zero"),
            ("9223372036854775807 + job.n == 1", "a number gets too large"),
            ("{null: 1} == {}", "null cannot be a key of a map"),
            ("int(job.s) == 1", "int: "),
            ("job.s.matches('[')", "matches: "),
            ("size(job.n) == 1", "size does not work on int"),
        ] {
            let failure = language.compile(text, &["job"]).unwrap().evaluate(&scope).unwrap_err().to_string();
            assert!(failure.starts_with(expected), "{text}: {failure}");
        }
    }
}
