//! What an expression refers to, and whether there is such a thing.

use cel::Program;
use cel::common::ast::{EntryExpr, Expr, IdedExpr, LiteralValue, SourceInfo, operators};

use super::{Flaw, Place};

/// How deep an expression may be, counting every operator: what evaluates it goes as deep, and its stack is bounded.
const DEEPEST: usize = 250;

/// Functions that there are, called on a value or before it; those of a namespace with it.
const FUNCTIONS: [&str; 33] = [
    // CEL's own.
    "bool",
    "bytes",
    "contains",
    "double",
    "dyn",
    "endsWith",
    "int",
    "matches",
    "size",
    "startsWith",
    "string",
    "type",
    "uint",
    // Of optionals.
    "optional.of",
    "optional.none",
    "optional.ofNonZeroValue",
    "hasValue",
    "or",
    "orValue",
    "value",
    // Of strings.
    "charAt",
    "format",
    "indexOf",
    "join",
    "lastIndexOf",
    "lowerAscii",
    "replace",
    "reverse",
    "split",
    "strings.quote",
    "substring",
    "trim",
    "upperAscii",
];

/// How the macros are called that are no functions.
const MACROS: [(&str, &str); 6] = [
    ("has", "has(OBJECT.FIELD)"),
    ("all", "LIST.all(NAME, CONDITION)"),
    ("exists", "LIST.exists(NAME, CONDITION)"),
    ("exists_one", "LIST.exists_one(NAME, CONDITION)"),
    ("filter", "LIST.filter(NAME, CONDITION)"),
    ("map", "LIST.map(NAME, VALUE)"),
];

/// Types that are values as well.
const TYPES: [&str; 11] =
    ["bool", "bytes", "double", "int", "list", "map", "null_type", "optional_type", "string", "type", "uint"];

/// Every name in a program that stands for nothing.
pub(super) fn unknown(program: &Program, text: &str, variables: &[&str]) -> Vec<Flaw> {
    let mut search =
        Search { text, source: program.source_info(), variables, bound: Vec::new(), depth: 0, flaws: Vec::new() };
    search.visit(program.expression());
    search.flaws
}

/// Whether an expression's value is neither true nor false, whatever its variables are.
pub(super) fn is_never_boolean(expr: &Expr) -> bool {
    match expr {
        Expr::Literal(literal) => !matches!(literal, LiteralValue::Boolean(_)),
        Expr::List(_) | Expr::Map(_) => true,
        Expr::Call(call) => [
            operators::ADD,
            operators::SUBSTRACT,
            operators::MULTIPLY,
            operators::DIVIDE,
            operators::MODULO,
            operators::NEGATE,
            "size",
            "string",
            "int",
        ]
        .contains(&call.func_name.as_str()),
        _ => false,
    }
}

struct Search<'p> {
    text: &'p str,
    source: &'p SourceInfo,
    variables: &'p [&'p str],
    /// Names that macros around the present place have bound.
    bound: Vec<&'p str>,
    depth: usize,
    flaws: Vec<Flaw>,
}

impl<'p> Search<'p> {
    fn visit(&mut self, expr: &'p IdedExpr) {
        if self.depth == DEEPEST {
            let message =
                "it goes too deep from here: make several expressions of it, or a list for `in`, `all` or `exists`";
            return self.flaw(expr.id, "", message.to_owned());
        }
        self.depth += 1;
        self.visit_parts(expr);
        self.depth -= 1;
    }

    fn visit_parts(&mut self, expr: &'p IdedExpr) {
        match &expr.expr {
            Expr::Unspecified | Expr::Literal(_) => {}
            Expr::Ident(name) => self.variable(expr.id, name),
            Expr::Select(select) => self.visit(&select.operand),
            Expr::Call(call) => {
                if !self.function(expr.id, &call.func_name, call.target.as_deref())
                    && let Some(target) = &call.target
                {
                    self.visit(target);
                }
                call.args.iter().for_each(|arg| self.visit(arg));
            }
            Expr::List(list) => list.elements.iter().for_each(|element| self.visit(element)),
            Expr::Map(map) => map.entries.iter().for_each(|entry| self.entry(&entry.expr)),
            Expr::Struct(message) => {
                let name = &message.type_name;
                self.flaw(
                    expr.id,
                    name,
                    format!("there is no message type {name:?}; a map is written as {{\"key\": 1}}"),
                );
                message.entries.iter().for_each(|entry| self.entry(&entry.expr));
            }
            Expr::Comprehension(macro_call) => {
                self.visit(&macro_call.iter_range);
                self.visit(&macro_call.accu_init);
                let outside = self.bound.len();
                self.bound.push(&macro_call.accu_var);
                self.bound.push(&macro_call.iter_var);
                self.bound.extend(macro_call.iter_var2.as_deref());
                self.visit(&macro_call.loop_cond);
                self.visit(&macro_call.loop_step);
                self.visit(&macro_call.result);
                self.bound.truncate(outside);
            }
        }
    }

    fn entry(&mut self, entry: &'p EntryExpr) {
        match entry {
            EntryExpr::StructField(field) => self.visit(&field.value),
            EntryExpr::MapEntry(entry) => {
                self.visit(&entry.key);
                self.visit(&entry.value);
            }
        }
    }

    fn variable(&mut self, id: u64, name: &str) {
        let name = name.strip_prefix('.').unwrap_or(name);
        let known = name.starts_with('@')
            || self.bound.contains(&name)
            || self.variables.contains(&name)
            || TYPES.contains(&name);
        if !known {
            let message = format!("there is no variable {name:?}; there are {}", self.variables.join(", "));
            self.flaw(id, name, message);
        }
    }

    /// Judges a function's name; whether `target` is the namespace that is a part of it.
    fn function(&mut self, id: u64, name: &str, target: Option<&IdedExpr>) -> bool {
        if let Some(Expr::Ident(namespace)) = target.map(|target| &target.expr)
            && FUNCTIONS.contains(&format!("{namespace}.{name}").as_str())
        {
            return true;
        }
        let is_operator = !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if is_operator || FUNCTIONS.contains(&name) {
            return false;
        }
        let message = match (MACROS.iter().find(|(known, _)| *known == name), name) {
            (Some((_, usage)), _) => format!("{name} is called as {usage}"),
            (None, "duration" | "timestamp") => {
                format!("there is no function {name:?}: an expression knows no time; a stage may have a timeout")
            }
            (None, _) => format!("there is no function {name:?}"),
        };
        self.flaw(id, name, message);
        false
    }

    fn flaw(&mut self, id: u64, name: &str, message: String) {
        let place = self.source.offset_for(id).map(|(start, _)| {
            let start = usize::try_from(start).unwrap_or(usize::MAX);
            // A call's place is its bracket, and a name's own is found before that.
            let before = self.text.get(..start).unwrap_or_default().trim_end();
            let start = before.strip_suffix(name).map_or(start, str::len);
            Place::at(self.text, start)
        });
        let flaw = Flaw::new(place, message);
        // A macro may repeat what it was given.
        if !self.flaws.contains(&flaw) {
            self.flaws.push(flaw);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::super::{Failure, Language};
    use super::*;

    fn flaws(text: &str) -> Vec<String> {
        let compiled = Language::new().unwrap().compile(text, &["from", "job"]);
        compiled.err().unwrap_or_default().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn names_that_stand_for_something_are_found() {
        for text in [
            "from.a == job.b",
            ".from.a == 1",
            "[1].map(x, [2].map(y, x + y + job.z)) == [3]",
            "[1].all(job, job > 0)",
            "type(from) == map && type(1) == int",
            "optional.of(1).hasValue() && optional.none().orValue(true)",
            "from.?a.orValue(1) == 1",
            "size(from) == from.size()",
            "{'a': from.b}.a == 1",
        ] {
            assert_eq!(flaws(text), Vec::<String>::new(), "{text}");
        }
    }

    #[test]
    fn names_that_stand_for_nothing_are_told_with_their_place() {
        for (text, expected) in [
            ("jobb.status == 1", "column 1: there is no variable \"jobb\"; there are from, job"),
            ("from.a == 1 && 'ü' == too.b", "column 23: there is no variable \"too\"; there are from, job"),
            ("from.a == 1 &&\n  too.b", "line 2, column 3: there is no variable \"too\"; there are from, job"),
            ("[1].all(x, x > y)", "column 16: there is no variable \"y\"; there are from, job"),
            ("[1].all(x, x > 0) && x > 1", "column 22: there is no variable \"x\"; there are from, job"),
            ("from.matchez('a')", "column 6: there is no function \"matchez\""),
            ("  sizes (from) > 1", "column 3: there is no function \"sizes\""),
            ("from.a > duration('1h')", "column 10: there is no function \"duration\": an expression knows no time"),
            ("from.exists(1)", "column 6: exists is called as LIST.exists(NAME, CONDITION)"),
            ("Job{a: 1}.a == 1", "column 1: there is no message type \"Job\""),
            ("strings.nope('a') == ''", "column 1: there is no variable \"strings\""),
        ] {
            let flaws = flaws(text);
            assert!(flaws.iter().any(|flaw| flaw.starts_with(expected)), "{text}: {flaws:?}");
        }
        assert_eq!(flaws("a + b + a").len(), 3, "each is told");
    }

    #[test]
    fn what_goes_too_deep_is_told_where() {
        let deep = |terms: usize| {
            // Unoptimised, the parser takes more stack than a test's thread has.
            let judge = move || flaws(&vec!["from"; terms].join("+"));
            thread::Builder::new().stack_size(256 << 20).spawn(judge).unwrap().join().unwrap()
        };
        assert_eq!(deep(DEEPEST), Vec::<String>::new());
        let flaws = deep(DEEPEST + 1);
        assert!(flaws[0].starts_with("column 1: it goes too deep from here"), "{flaws:?}");
    }

    #[test]
    fn every_function_and_type_is_there() {
        let language = Language::new().unwrap();
        let scope = language.scope().unwrap();
        let there = |text: &str| {
            let program = language.env.compile(text).unwrap();
            match (super::super::Expression { program }).evaluate(&scope) {
                Err(Failure::Wrong(why)) => !why.contains("there is no"),
                _ => true,
            }
        };
        for name in FUNCTIONS {
            assert!(there(&format!("{name}('1')")) || there(&format!("'1'.{name}()")), "{name}");
        }
        for name in TYPES {
            assert!(there(name), "{name}");
        }
        assert!(!there("nope('1')") && !there("'1'.nope()") && !there("nope"));
    }

    #[test]
    fn what_is_never_a_condition_is_known() {
        let language = Language::new().unwrap();
        for (text, expected) in [
            ("1", true),
            ("'true'", true),
            ("[true]", true),
            ("1 + 1", true),
            ("size([])", true),
            ("true", false),
            ("from", false),
            ("from.ready", false),
            ("from.a ? 1 : 2", false),
            ("[1].all(x, x > 0)", false),
        ] {
            assert_eq!(language.compile(text, &["from"]).unwrap().is_never_boolean(), expected, "{text}");
        }
    }
}
