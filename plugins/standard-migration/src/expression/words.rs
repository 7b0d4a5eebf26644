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
/// What its message on something that is no part of any expression begins with.
const UNREADABLE: &str = "token recognition error at: ";
/// What its message on something that is a part, but not here, may begin with.
const NO_ALTERNATIVE: &str = "no viable alternative at input ";

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
    let Some(place) = place else { return Flaw::without_place(in_words(error, false)) };
    if let Some((at, escape)) = bad_escape(&error.msg) {
        let place = Place { column: place.column + at, ..place };
        let message = format!("there is no escape {escape}; a backslash is written as \\\\, or as it is in r'…'");
        return Flaw::new(Some(place), message);
    }
    if let Some(word) = word_for_field(&error.msg) {
        return Flaw::new(Some(place), brackets(text, place, word));
    }
    Flaw::new(Some(place), in_words(error, place.is_end_of(text)))
}

/// The escape in a string that there is not, and how many characters into it.
fn bad_escape(message: &str) -> Option<(usize, &str)> {
    let found = message.strip_prefix(SYNTAX)?.strip_prefix(UNREADABLE)?.strip_prefix('\'')?.strip_suffix('\'')?;
    let string = found.trim_start_matches(['b', 'B']);
    // What goes on in the next line is a string that does not end.
    if !string.starts_with(['"', '\'']) || found.contains('\n') {
        return None;
    }
    let mut from = 0;
    while let Some(begin) = found[from..].find('\\').map(|at| from + at) {
        let after = &found[begin + 1..];
        let kind = after.chars().next()?;
        let digits = match kind {
            'x' | 'X' => (2, 16),
            'u' => (4, 16),
            'U' => (8, 16),
            '0'..='3' => (3, 8),
            'a' | 'b' | 'f' | 'n' | 'r' | 't' | 'v' | '\\' | '?' | '"' | '\'' | '`' => (0, 10),
            _ => return Some((found[..begin].chars().count(), &found[begin..=begin + kind.len_utf8()])),
        };
        let (count, radix) = digits;
        let skipped = usize::from(radix == 16);
        let digits = after.chars().skip(skipped).take(count).take_while(|digit| digit.is_digit(radix)).count();
        if digits < count {
            let length = after.chars().take(skipped + digits).map(char::len_utf8).sum::<usize>();
            return Some((found[..begin].chars().count(), &found[begin..=begin + length]));
        }
        from = begin + 1 + kind.len_utf8();
    }
    None
}

/// The word of the language that stands where a field's name should.
fn word_for_field(message: &str) -> Option<&str> {
    let found = message.strip_prefix(SYNTAX)?.strip_prefix(NO_ALTERNATIVE)?.strip_prefix("'.")?.strip_suffix('\'')?;
    Some(found.trim()).filter(|word| ["in", "true", "false", "null"].contains(word))
}

/// How a field of this name is taken.
fn brackets(text: &str, place: Place, word: &str) -> String {
    let line = text.split('\n').nth(place.line - 1).unwrap_or_default();
    let before: String = line.chars().take(place.column - 1).collect();
    let before = before.trim_end().trim_end_matches('.');
    let path = before.rfind(|c: char| !c.is_ascii_alphanumeric() && !"_.".contains(c));
    let path = path.and_then(|end| before.get(end + 1..)).unwrap_or(before);
    format!("{word} is a word of CEL: the field of that name is {path}[{word:?}]")
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
        return "it is nested too deeply: there may be 95 brackets, calls and ? : within one another".to_owned();
    }
    let message = error.msg.strip_prefix(SYNTAX).unwrap_or(&error.msg);
    let quoted = |prefix: &str| {
        let rest = message.strip_prefix(prefix)?.strip_prefix('\'')?;
        Some(rest.split_once("' expecting").map_or_else(|| rest.trim_end_matches('\''), |(found, _)| found))
    };
    if let Some(found) = quoted(UNREADABLE) {
        return unreadable(found);
    }
    for prefix in ["mismatched input ", "extraneous input ", NO_ALTERNATIVE] {
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
        "invalid int literal" => {
            format!("this is no int: they go from {} to {}", i64::MIN, i64::MAX)
        }
        "invalid uint literal" => format!("this is no uint: they go from 0 to {}", u64::MAX),
        "invalid double literal" => format!("this is no double: they go up to {:e}", f64::MAX),
        "unsupported syntax: '`'" => "a field whose name is no word is taken with brackets: [\"a-b\"]".to_owned(),
        bytes if bytes.starts_with("invalid bytes literal") => {
            "bytes are written with \\x and three octal digits; \\u and \\U are for text".to_owned()
        }
        string if string.starts_with("invalid string literal") => {
            "an escape in the string stands for no character".to_owned()
        }
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
        ExecutionError::Overflow("sub", Value::UInt(_), _) => {
            "it goes below zero, and a uint does not: take ints, as 1 - 2".to_owned()
        }
        ExecutionError::Overflow(..) => "a number gets too large".to_owned(),
        ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => "it divides by zero".to_owned(),
        ExecutionError::IndexOutOfBounds(Value::Int(index)) => format!("there is no element {index}"),
        ExecutionError::NoSuchKey(name) | ExecutionError::UndeclaredReference(name) => format!("there is no {name:?}"),
        ExecutionError::UnsupportedKeyType(key) => format!("{} cannot be a key of a map", describe(key)),
        ExecutionError::DuplicateKey(_) => "a map has the same key twice".to_owned(),
        ExecutionError::UnexpectedType { got, want } => format!("it has {got} where {want} is needed"),
        ExecutionError::FunctionError { function, message } => format!("{function}: {}", shorten(message)),
        other => shorten(&other.to_string()),
    }
}

/// An operator or function as it is written.
pub(super) fn sign(name: &str) -> &str {
    match name {
        "add" => "+",
        "sub" => "-",
        "mul" => "*",
        "div" => "/",
        "rem" => "%",
        "_._" => "selecting a field",
        "_[_]" => "[…]",
        "_?_:_" => "? :",
        "_[?_]" => "[?…]",
        "_?._" => ".?",
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
            ("job.spec.in", "column 10: in is a word of CEL: the field of that name is job.spec[\"in\"]"),
            ("1 == job. true", "column 11: true is a word of CEL: the field of that name is job[\"true\"]"),
            ("job.all(x, x).null", "column 15: null is a word of CEL: the field of that name is [\"null\"]"),
            (r"job.a == 'x\q'", r"column 12: there is no escape \q; a backslash is written as \\"),
            (r"job.a == 'ü\n\xz'", r"column 14: there is no escape \x; "),
            (r#"job.a == "\u12""#, r"column 11: there is no escape \u12; "),
            (r"job.a == '\8'", r"column 11: there is no escape \8; "),
            (r"job.a == 'x\", "column 10: the string that begins here does not end"),
            (r"b'\u00e9' == b'a'", r"column 1: bytes are written with \x"),
            ("job.`a-b`", "column 4: a field whose name is no word is taken with brackets"),
            ("job.a < 9223372036854775808", "column 9: this is no int: they go from -9223372036854775808 to "),
            ("job.a < 18446744073709551616u", "column 9: this is no uint: they go from 0 to 18446744073709551615"),
            ("job.a < 1e999", "column 9: this is no double: they go up to 1.7976931348623157e308"),
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
                let text = format!("{}true{}", open.repeat(96), close.repeat(96));
                assert!(flaw(&text).contains("it is nested too deeply"), "{}", flaw(&text));
                let text = format!("{}true{}", open.repeat(95), close.repeat(95));
                assert!(Language::new().unwrap().compile(&text, &[]).is_ok(), "{text}");
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
            ("job.n > job.s", "column 7: > does not work on int and string"),
            ("job.n + job.d == 1.0", "column 7: + does not work on an int and a double"),
            ("!job.s", "column 1: ! does not work on string"),
            ("job.s.x == 1", "column 7: selecting a field does not work on string and string"),
            ("job.n / 0 == 1", "column 7: it divides by zero"),
            ("9223372036854775807 + job.n == 1", "column 21: a number gets too large"),
            ("uint(job.n) - 2u == 1u", "column 13: it goes below zero"),
            ("{null: 1} == {}", "column 1: null cannot be a key of a map"),
            ("int(job.s) == 1", "column 1: int: "),
            ("job.s.matches('[')", "column 7: matches: \"[\" is no pattern: "),
            ("job.s.matches('(a{1000}){1000}')", "column 7: matches: \"(a{1000}){1000}\" is no pattern: "),
            ("size(job.n) == 1", "column 1: size does not work on int"),
            (
                "job.n == 1 && [1, 'a', job.n].all(x, x + job.n > 0)",
                "column 40: + does not work on a string and an int",
            ),
            ("{'a': 1}.map(k, k < job.n) == []", "column 19: < does not work on string and int"),
            ("job.s\n  < job.n", "line 2, column 3: < does not work on string and int"),
            ("{'a': [job.n < job.s]} == {}", "column 14: < does not work on int and string"),
        ] {
            let failure = language.compile(text, &["job"]).unwrap().evaluate(&scope).unwrap_err().to_string();
            assert!(failure.starts_with(expected), "{text}: {failure}");
        }
    }
}
