//! What kinds of values there are, and on which of them each operator and function works.
//!
//! The tables say what the interpreter does, no more and no less: a test holds them against it, value by value.

use std::fmt;

use cel::common::ast::operators as op;
use cel::common::types::Kind;
use cel::common::value::Val;

/// The kinds that a value may be of, as far as that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kinds(u16);

impl Kinds {
    pub(super) const NONE: Self = Self(0);
    pub(super) const BOOL: Self = Self(1);
    pub(super) const INT: Self = Self(1 << 1);
    pub(super) const UINT: Self = Self(1 << 2);
    pub(super) const DOUBLE: Self = Self(1 << 3);
    pub(super) const STRING: Self = Self(1 << 4);
    pub(super) const BYTES: Self = Self(1 << 5);
    pub(super) const NULL: Self = Self(1 << 6);
    pub(super) const LIST: Self = Self(1 << 7);
    pub(super) const MAP: Self = Self(1 << 8);
    pub(super) const OPTIONAL: Self = Self(1 << 9);
    pub(super) const TYPE: Self = Self(1 << 10);
    /// Nothing is known.
    pub(super) const ANY: Self = Self(u16::MAX);

    /// What a manifest can hold.
    pub(super) const WRITTEN: Self = Self(!(Self::BYTES.0 | Self::OPTIONAL.0));

    const NUMBER: Self = Self::INT.or(Self::UINT).or(Self::DOUBLE);
    /// What may be a key of a map.
    pub(super) const KEY: Self = Self::NUMBER.or(Self::BOOL).or(Self::STRING);

    /// What they are called, for people.
    const NAMES: [(Self, &str); 11] = [
        (Self::BOOL, "a bool"),
        (Self::INT, "an int"),
        (Self::UINT, "a uint"),
        (Self::DOUBLE, "a double"),
        (Self::STRING, "a string"),
        (Self::BYTES, "bytes"),
        (Self::NULL, "null"),
        (Self::LIST, "a list"),
        (Self::MAP, "a map"),
        (Self::OPTIONAL, "an optional (which .orValue(…) makes a value)"),
        (Self::TYPE, "a type"),
    ];

    /// Any of both.
    pub(super) const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether a value may be of both.
    pub(super) const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether a value of one may be equal to one of the other. Numbers are, whatever their kind.
    pub(super) const fn may_equal(self, other: Self) -> bool {
        self.meets(other) || (self.meets(Self::NUMBER) && other.meets(Self::NUMBER))
    }

    /// What a value is.
    pub(super) fn of(value: &dyn Val) -> Self {
        match value.get_type().kind() {
            Kind::Boolean => Self::BOOL,
            Kind::Int => Self::INT,
            Kind::UInt => Self::UINT,
            Kind::Double => Self::DOUBLE,
            Kind::String => Self::STRING,
            Kind::Bytes => Self::BYTES,
            Kind::NullType => Self::NULL,
            Kind::List => Self::LIST,
            Kind::Map => Self::MAP,
            Kind::Opaque => Self::OPTIONAL,
            Kind::Type => Self::TYPE,
            _ => Self::ANY,
        }
    }
}

impl fmt::Display for Kinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::ANY {
            return f.write_str("any value");
        }
        let mut names = Self::NAMES.iter().filter(|(kind, _)| self.meets(*kind)).map(|(_, name)| *name).peekable();
        let mut before = "";
        while let Some(name) = names.next() {
            write!(f, "{before}{name}")?;
            let next_is_last = names.peek().is_some() && names.clone().count() == 1;
            before = if next_is_last { " or " } else { ", " };
        }
        Ok(())
    }
}

/// One way in which an operator or function may be used: on what, and what comes of it.
pub(super) struct Overload {
    pub(super) takes: &'static [Kinds],
    pub(super) gives: Kinds,
}

const fn on(takes: &'static [Kinds], gives: Kinds) -> Overload {
    Overload { takes, gives }
}

const BOOL: Kinds = Kinds::BOOL;
const INT: Kinds = Kinds::INT;
const UINT: Kinds = Kinds::UINT;
const DOUBLE: Kinds = Kinds::DOUBLE;
const STRING: Kinds = Kinds::STRING;
const BYTES: Kinds = Kinds::BYTES;
const LIST: Kinds = Kinds::LIST;
const MAP: Kinds = Kinds::MAP;
const OPTIONAL: Kinds = Kinds::OPTIONAL;
const NUMBER: Kinds = Kinds::NUMBER;
const KEY: Kinds = Kinds::KEY;
const ANY: Kinds = Kinds::ANY;
/// What `int` and the like make a number of.
const READ: Kinds = NUMBER.or(STRING);
/// What `string` makes text of.
const SAID: Kinds = READ.or(BOOL).or(BYTES);
const BOOL_OR_STRING: Kinds = BOOL.or(STRING);
const BYTES_OR_STRING: Kinds = BYTES.or(STRING);
/// What may be added to a list: a map stands for its keys.
const LIST_OR_MAP: Kinds = LIST.or(MAP);
/// What has a size.
const SIZED: Kinds = STRING.or(BYTES).or(LIST).or(MAP);

/// How an operator may be used; nothing for one that is not here.
pub(super) fn operator(name: &str) -> &'static [Overload] {
    match name {
        op::ADD => {
            const {
                &[
                    on(&[INT, INT], INT),
                    on(&[UINT, UINT], UINT),
                    on(&[DOUBLE, DOUBLE], DOUBLE),
                    on(&[STRING, STRING], STRING),
                    on(&[BYTES, BYTES], BYTES),
                    on(&[LIST, LIST_OR_MAP], LIST),
                ]
            }
        }
        op::SUBSTRACT | op::MULTIPLY | op::DIVIDE => {
            const { &[on(&[INT, INT], INT), on(&[UINT, UINT], UINT), on(&[DOUBLE, DOUBLE], DOUBLE)] }
        }
        op::MODULO => const { &[on(&[INT, INT], INT), on(&[UINT, UINT], UINT)] },
        op::NEGATE => const { &[on(&[INT], INT), on(&[DOUBLE], DOUBLE)] },
        op::LOGICAL_NOT => const { &[on(&[BOOL], BOOL)] },
        op::LOGICAL_AND | op::LOGICAL_OR => const { &[on(&[BOOL, BOOL], BOOL)] },
        op::EQUALS | op::NOT_EQUALS => const { &[on(&[ANY, ANY], BOOL)] },
        op::LESS | op::LESS_EQUALS | op::GREATER | op::GREATER_EQUALS => {
            const {
                &[
                    on(&[NUMBER, NUMBER], BOOL),
                    on(&[STRING, STRING], BOOL),
                    on(&[BOOL, BOOL], BOOL),
                    on(&[BYTES, BYTES], BOOL),
                ]
            }
        }
        op::IN => const { &[on(&[ANY, LIST], BOOL), on(&[KEY, MAP], BOOL)] },
        op::INDEX => const { &[on(&[LIST, NUMBER], ANY), on(&[MAP, KEY], ANY), on(&[OPTIONAL, ANY], OPTIONAL)] },
        // What cannot be had is none.
        op::OPT_INDEX | op::OPT_SELECT => const { &[on(&[ANY, ANY], OPTIONAL)] },
        op::NOT_STRICTLY_FALSE => const { &[on(&[ANY], BOOL)] },
        _ => &[],
    }
}

/// How a function may be called before its arguments; nothing for one that may not.
pub(super) fn function(name: &str) -> &'static [Overload] {
    match name {
        "bool" => const { &[on(&[BOOL_OR_STRING], BOOL)] },
        "bytes" => const { &[on(&[BYTES_OR_STRING], BYTES)] },
        "double" => const { &[on(&[READ], DOUBLE)] },
        "int" => const { &[on(&[READ], INT)] },
        "uint" => const { &[on(&[READ], UINT)] },
        "string" => const { &[on(&[SAID], STRING)] },
        "dyn" => const { &[on(&[ANY], ANY)] },
        "type" => const { &[on(&[ANY], Kinds::TYPE)] },
        "size" => const { &[on(&[SIZED], INT)] },
        "matches" => const { &[on(&[STRING, STRING], BOOL)] },
        "optional.none" => const { &[on(&[], OPTIONAL)] },
        "optional.of" | "optional.ofNonZeroValue" => const { &[on(&[ANY], OPTIONAL)] },
        "strings.quote" => const { &[on(&[STRING], STRING)] },
        _ => &[],
    }
}

/// How a function may be called on a value, which is the first that it takes; nothing for one that may not.
pub(super) fn member(name: &str) -> &'static [Overload] {
    match name {
        "contains" | "startsWith" | "endsWith" | "matches" => const { &[on(&[STRING, STRING], BOOL)] },
        "size" => const { &[on(&[SIZED], INT)] },
        "lowerAscii" | "upperAscii" | "trim" | "reverse" => const { &[on(&[STRING], STRING)] },
        "charAt" => const { &[on(&[STRING, INT], STRING)] },
        "indexOf" | "lastIndexOf" => const { &[on(&[STRING, STRING], INT), on(&[STRING, STRING, INT], INT)] },
        "substring" => const { &[on(&[STRING, INT], STRING), on(&[STRING, INT, INT], STRING)] },
        "replace" => const { &[on(&[STRING, STRING, STRING], STRING), on(&[STRING, STRING, STRING, INT], STRING)] },
        "split" => const { &[on(&[STRING, STRING], LIST), on(&[STRING, STRING, INT], LIST)] },
        "join" => const { &[on(&[LIST], STRING), on(&[LIST, STRING], STRING)] },
        "format" => const { &[on(&[STRING, LIST], STRING)] },
        "hasValue" => const { &[on(&[OPTIONAL], BOOL)] },
        "value" => const { &[on(&[OPTIONAL], ANY)] },
        "or" | "orValue" => const { &[on(&[OPTIONAL, ANY], ANY)] },
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use cel::{Program, Value};

    use super::super::Language;
    use super::super::names::FUNCTIONS;
    use super::*;

    /// Some values of each kind; between them is one that any operator or function has use for.
    const SAMPLES: [(Kinds, &[&str]); 11] = [
        (BOOL, &["true", "false"]),
        (INT, &["0", "1"]),
        (UINT, &["0u", "1u"]),
        (DOUBLE, &["0.0", "1.0"]),
        (STRING, &["'a'", "'1'", "'true'", "''"]),
        (BYTES, &["b'a'"]),
        (Kinds::NULL, &["null"]),
        (LIST, &["[]", "['a', 'b']", "[1, 2]"]),
        (MAP, &["{}", "{'a': 1, '1': 1, 'true': 1, '': 1}", "{0: 1, 1: 1}", "{true: 1, false: 1}"]),
        (OPTIONAL, &["optional.none()", "optional.of(1)", "optional.of([1, 2])", "optional.of({'a': 1})"]),
        (Kinds::TYPE, &["int"]),
    ];

    fn program(language: &Language, text: &str) -> Program {
        language.env.compile(text).unwrap()
    }

    /// Every choice of so many of these.
    fn choices<T: Copy>(of: &[T], count: usize) -> Vec<Vec<T>> {
        (0..count).fold(vec![Vec::new()], |choices, _| {
            let longer = |choice: Vec<T>| of.iter().map(move |one| choice.iter().copied().chain([*one]).collect());
            choices.into_iter().flat_map(longer).collect()
        })
    }

    /// Holds a table against what the interpreter makes of samples, which the text sees as `a`, `b` and `c`.
    fn hold(text: &str, overloads: &[Overload], count: usize) {
        let language = Language::new().unwrap();
        let mut scope = language.scope().unwrap();
        let used = program(&language, text);
        // Of three, what comes first in each kind will do.
        let most = if count == 3 { 1 } else { usize::MAX };
        let samples = SAMPLES.iter().map(|(_, texts)| texts.iter().take(most).map(|text| program(&language, text)));
        let samples: Vec<Vec<Program>> = samples.map(Iterator::collect).collect();
        let kinds: Vec<usize> = (0..SAMPLES.len()).collect();
        for choice in choices(&kinds, count) {
            let fits = |overload: &&Overload| {
                overload.takes.len() == count
                    && choice.iter().zip(overload.takes).all(|(kind, takes)| SAMPLES[*kind].0.meets(*takes))
            };
            let gives = overloads.iter().filter(fits).fold(Kinds::NONE, |gives, overload| gives.or(overload.gives));
            let mut works = false;
            let most = choice.iter().map(|kind| samples[*kind].len()).max().unwrap_or(1);
            let nth: Vec<usize> = (0..most).collect();
            for nth in choices(&nth, count) {
                let chosen: Option<Vec<_>> =
                    choice.iter().zip(&nth).map(|(kind, nth)| samples[*kind].get(*nth)).collect();
                for (name, sample) in ["a", "b", "c"].into_iter().zip(chosen.unwrap_or_default()) {
                    let empty = language.scope().unwrap();
                    let value =
                        Value::resolve_val(sample.expression(), &empty.context).unwrap().as_ref().clone_as_boxed();
                    scope.context.add_variable_as_val(name, value);
                }
                if let Ok(value) = Value::resolve_val(used.expression(), &scope.context) {
                    let kind = Kinds::of(value.as_ref());
                    assert!(gives.meets(kind), "{text} has a value of {kind} for {:?}", names(&choice));
                    works = true;
                }
            }
            assert_eq!(works, gives != Kinds::NONE, "{text} for {:?}", names(&choice));
        }
    }

    fn names(choice: &[usize]) -> Vec<String> {
        choice.iter().map(|kind| SAMPLES[*kind].0.to_string()).collect()
    }

    #[test]
    fn operators_work_on_what_the_table_says() {
        for (name, sign) in [
            (op::ADD, "+"),
            (op::SUBSTRACT, "-"),
            (op::MULTIPLY, "*"),
            (op::DIVIDE, "/"),
            (op::MODULO, "%"),
            (op::EQUALS, "=="),
            (op::NOT_EQUALS, "!="),
            (op::LESS, "<"),
            (op::LESS_EQUALS, "<="),
            (op::GREATER, ">"),
            (op::GREATER_EQUALS, ">="),
            (op::IN, "in"),
        ] {
            hold(&format!("a {sign} b"), operator(name), 2);
        }
        hold("-a", operator(op::NEGATE), 1);
        hold("!a", operator(op::LOGICAL_NOT), 1);
        hold("a[b]", operator(op::INDEX), 2);
        hold("a[?b]", operator(op::OPT_INDEX), 2);
        // What stands beside the one that decides is not looked at.
        hold("true && a", &[on(&[BOOL], BOOL)], 1);
        hold("a || false", &[on(&[BOOL], BOOL)], 1);
    }

    #[test]
    fn functions_work_on_what_the_table_says() {
        // It does not look at what it is given beyond its two arguments.
        let two = |name: &str, count: usize| name == "matches" && count > 2;
        for name in FUNCTIONS {
            for (count, arguments) in ["", "a", "a, b", "a, b, c"].into_iter().enumerate() {
                if !two(name, count) {
                    hold(&format!("{name}({arguments})"), function(name), count);
                }
            }
            for (count, arguments) in ["", "b", "b, c"].into_iter().enumerate() {
                if !two(name, count + 1) {
                    hold(&format!("a.{name}({arguments})"), member(name), count + 1);
                }
            }
        }
    }

    #[test]
    fn kinds_are_put_in_words() {
        for (kinds, expected) in [
            (INT, "an int"),
            (LIST.or(MAP), "a list or a map"),
            (NUMBER, "an int, a uint or a double"),
            (ANY, "any value"),
        ] {
            assert_eq!(kinds.to_string(), expected);
        }
    }
}
