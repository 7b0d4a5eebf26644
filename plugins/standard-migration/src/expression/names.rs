//! What an expression refers to, and whether there is such a thing.

use cel::Program;
use cel::common::ast::{CallExpr, EntryExpr, Expr, IdedExpr, SourceInfo};

use super::{Flaw, Place};

/// How deep an expression may be, counting every operator: what evaluates it goes as deep, and its stack is bounded.
const DEEPEST: usize = 250;

/// Functions that there are, called on a value or before it; those of a namespace with it.
pub(super) const FUNCTIONS: [&str; 33] = [
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
pub(super) fn unknown(program: &Program, variables: &[&str]) -> Vec<Flaw> {
    let mut search =
        Search { source: program.source_info(), variables, bound: Vec::new(), depth: 0, flaws: Vec::new() };
    search.visit(program.expression());
    search.flaws
}

/// The whole name of a call that is one of a function in a namespace, as `optional.of`.
pub(super) fn namespace(call: &CallExpr) -> Option<&'static str> {
    let Expr::Ident(namespace) = &call.target.as_deref()?.expr else { return None };
    let name = FUNCTIONS.iter().copied().filter_map(|name| Some((name, name.split_once('.')?)));
    name.into_iter().find(|(_, name)| *name == (namespace, &call.func_name)).map(|(name, _)| name)
}

struct Search<'p> {
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
            Expr::Call(call) => self.call(expr.id, call),
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
        if !self.is_variable(name) {
            let message = format!("there is no variable {name:?}; there are {}", self.variables.join(", "));
            self.flaw(id, name, message);
        }
    }

    fn is_variable(&self, name: &str) -> bool {
        name.starts_with('@') || self.bound.contains(&name) || self.variables.contains(&name) || TYPES.contains(&name)
    }

    fn call(&mut self, id: u64, call: &'p CallExpr) {
        let target = call.target.as_deref();
        let is_operator = !call.func_name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if is_operator || FUNCTIONS.contains(&call.func_name.as_str()) || namespace(call).is_some() {
            if let Some(target) = target.filter(|_| namespace(call).is_none()) {
                self.visit(target);
            }
            return call.args.iter().for_each(|arg| self.visit(arg));
        }
        let of_namespace = match target.map(|target| &target.expr) {
            Some(Expr::Ident(namespace)) if !self.is_variable(namespace) => Some(namespace),
            _ => None,
        };
        if let Some(namespace) = of_namespace {
            let name = format!("{namespace}.{}", call.func_name);
            self.flaw(id, &name, format!("there is no function {name:?}"));
        } else {
            self.no_function(id, &call.func_name);
            if let Some(target) = target {
                self.visit(target);
            }
        }
        // Other dialects have macros that bind a name: it would be one there.
        let outside = self.bound.len();
        self.bound.extend(call.args.first().and_then(|first| match &first.expr {
            Expr::Ident(name) => Some(name.as_str()),
            _ => None,
        }));
        call.args.iter().for_each(|arg| self.visit(arg));
        self.bound.truncate(outside);
    }

    fn no_function(&mut self, id: u64, name: &str) {
        let message = match (MACROS.iter().find(|(known, _)| *known == name), name) {
            (Some((_, usage)), _) => format!("{name} is called as {usage}"),
            (None, "duration" | "timestamp") => {
                format!("there is no function {name:?}: an expression knows no time; a stage may have a timeout")
            }
            (None, _) => format!("there is no function {name:?}"),
        };
        self.flaw(id, name, message);
    }

    fn flaw(&mut self, id: u64, name: &str, message: String) {
        let flaw = Flaw::new(Place::of_name(self.source, id, name), message);
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
            ("strings.nope('a') == ''", "column 1: there is no function \"strings.nope\""),
        ] {
            let flaws = flaws(text);
            assert!(flaws.iter().any(|flaw| flaw.starts_with(expected)), "{text}: {flaws:?}");
        }
        assert_eq!(flaws("a + b + a").len(), 3, "each is told");
        for text in ["cel.bind(x, 1, x == 1)", "from.list.any(x, x > 1)", "nope(x, x)", "from.a.exists(x)"] {
            assert_eq!(flaws(text).len(), 1, "one mistake in {text}: {:?}", flaws(text));
        }
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
}
