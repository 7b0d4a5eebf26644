//! What can be told of an expression before there are objects: parts that never have a value, and conditions that are never
//! true.
//!
//! Each part is of certain kinds, as far as they can be told without its variables, and an operator or function that works on
//! none of them is wrong. A part without variables is evaluated. What remains may be right, and is taken for it.

use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, operators as op};
use cel::{Program, Value};

use super::kinds::{self, Kinds};
use super::names::namespace;
use super::usage::{Style, Usage};
use super::{Flaw, Place, Scope, blame, pattern, words};
use crate::value;

/// What depends on no variable at all.
const NOTHING: usize = usize::MAX;

/// What an expression has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// True or false, and true one day.
    Condition,
    /// Something that a manifest may hold.
    Value,
}

/// Everything that is wrong with a program, whatever its variables are.
pub(super) fn flaws(program: &Program, purpose: Purpose, nothing: &Scope) -> Vec<Flaw> {
    let mut judge = Judge { program, nothing, bound: Vec::new(), depth: 0, flaws: Vec::new() };
    match purpose {
        Purpose::Condition => judge.condition(program.expression()),
        Purpose::Value => judge.value(program.expression()),
    }
    judge.flaws
}

/// What is known of a part.
#[derive(Clone, Copy)]
struct Known {
    kinds: Kinds,
    /// The outermost variable that it depends on: 0 for one of the expression's own, else how deep the macro is that binds it.
    depends: usize,
    /// Whether nothing is wrong with it.
    sound: bool,
    /// The two sides of a comparison that are of kinds which are never equal.
    unequal: Option<(Kinds, Kinds)>,
}

impl Known {
    const fn of(kinds: Kinds, depends: usize) -> Self {
        Self { kinds, depends, sound: true, unequal: None }
    }
}

struct Judge<'p> {
    program: &'p Program,
    nothing: &'p Scope,
    /// Names that macros around the present place have bound, what they may be, and how deep the macro is.
    bound: Vec<(&'p str, Kinds, usize)>,
    /// How many macros are around the present place.
    depth: usize,
    flaws: Vec<Flaw>,
}

impl<'p> Judge<'p> {
    /// Judges a condition: each of what `&&` connects has to be true one day.
    fn condition(&mut self, expr: &'p IdedExpr) {
        if let Expr::Call(call) = &expr.expr
            && call.func_name == op::LOGICAL_AND
        {
            return call.args.iter().for_each(|part| self.condition(part));
        }
        let known = self.judge(expr);
        if !known.sound {
            return;
        }
        let (kinds, value) = self.evaluated(expr, known);
        if let Some((left, right)) = known.unequal {
            self.flaw(expr, format!("it is never true: {left} is never equal to {right}"));
        } else if value == Some(Value::Bool(false)) {
            self.flaw(expr, "it is never true, and its stage would wait for ever: change it, or leave it out");
        } else if !kinds.meets(Kinds::BOOL) {
            self.flaw(expr, format!("a condition has to be true or false, and this is {kinds}"));
        }
    }

    /// Judges what goes into a manifest.
    fn value(&mut self, expr: &'p IdedExpr) {
        let known = self.judge(expr);
        if !known.sound {
            return;
        }
        let (kinds, value) = self.evaluated(expr, known);
        let missing = match value.map(|value| value::to_json(&value)) {
            Some(Err(what)) => Some(what.to_owned()),
            None if !kinds.meets(Kinds::WRITTEN) => Some(kinds.to_string()),
            _ => None,
        };
        if let Some(what) = missing {
            self.flaw(expr, format!("its value has no place in a manifest: {what}"));
        }
    }

    fn judge(&mut self, expr: &'p IdedExpr) -> Known {
        match &expr.expr {
            Expr::Literal(literal) => Known::of(literal_kind(literal), NOTHING),
            Expr::Ident(name) => self.name(name),
            Expr::Select(select) => {
                let operand = self.judge(&select.operand);
                let gives = if select.test { Kinds::BOOL } else { Kinds::ANY };
                self.part(expr, &[(&select.operand, operand)], |_, kinds| match kinds {
                    [of] if of.meets(Kinds::MAP) => Ok(gives),
                    [of] if of.meets(Kinds::OPTIONAL) => Ok(if select.test { gives } else { Kinds::OPTIONAL }),
                    [of, ..] => Err(Some(format!("{of} has no fields"))),
                    [] => Ok(gives),
                })
            }
            Expr::Call(call) => self.call(expr, call),
            Expr::List(list) => {
                let parts = list.elements.iter().map(|part| (part, self.judge(part))).collect::<Vec<_>>();
                self.part(expr, &parts, |_, _| Ok(Kinds::LIST))
            }
            Expr::Map(map) => {
                let entries = map.entries.iter().filter_map(|entry| match &entry.expr {
                    EntryExpr::StructField(_) => None,
                    EntryExpr::MapEntry(entry) => Some([&entry.key, &entry.value]),
                });
                let parts = entries.flatten().map(|part| (part, self.judge(part))).collect::<Vec<_>>();
                self.part(expr, &parts, |judge, kinds| {
                    let keys = kinds.iter().zip(&parts).step_by(2);
                    let Some((kinds, (key, _))) = keys.into_iter().find(|(kinds, _)| !kinds.meets(Kinds::KEY)) else {
                        return Ok(Kinds::MAP);
                    };
                    judge.flaw(key, format!("the key of a map cannot be {kinds}"));
                    Err(None)
                })
            }
            Expr::Comprehension(repeated) => self.repeated(expr, repeated),
            // There are none, which their names have told.
            Expr::Unspecified | Expr::Struct(_) => Known::of(Kinds::ANY, 0),
        }
    }

    fn name(&self, name: &str) -> Known {
        match self.bound.iter().rev().find(|(bound, ..)| *bound == name) {
            Some((_, kinds, depth)) => Known::of(*kinds, *depth),
            // Whether a name is a type's or a variable's is not looked into: both may be anything.
            None => Known::of(Kinds::ANY, 0),
        }
    }

    fn call(&mut self, expr: &'p IdedExpr, call: &'p CallExpr) -> Known {
        let name = call.func_name.as_str();
        let qualified = namespace(call);
        let target = call.target.as_deref().filter(|_| qualified.is_none());
        let parts = target.into_iter().chain(&call.args).map(|part| (part, self.judge(part))).collect::<Vec<_>>();
        let usage = match (kinds::operator(name), &qualified, target) {
            (overloads @ [_, ..], ..) => Usage { name: words::sign(name), overloads, style: Style::Operator },
            (_, Some(name), _) => Usage { name, overloads: kinds::function(name), style: Style::Function },
            (_, _, Some(_)) => Usage { name, overloads: kinds::member(name), style: Style::Member },
            (_, _, None) => Usage { name, overloads: kinds::function(name), style: Style::Function },
        };
        let mut known = self.part(expr, &parts, |judge, kinds| {
            let asked = kinds.iter().zip(&parts).take(questions(name));
            if let Some((kinds, (part, _))) = asked.into_iter().find(|(kinds, _)| !kinds.meets(Kinds::BOOL)) {
                judge.flaw(part, format!("this has to be true or false, and is {kinds}"));
                return Err(None);
            }
            match kinds {
                [_, one, other] if name == op::CONDITIONAL => Ok(one.or(*other)),
                kinds => usage.gives(kinds).map_err(Some),
            }
        });
        if known.sound {
            self.operands(expr, name, &parts, &mut known);
        }
        known
    }

    /// What the values of operands tell, and not their kinds alone.
    fn operands(&mut self, expr: &'p IdedExpr, name: &str, parts: &[(&'p IdedExpr, Known)], known: &mut Known) {
        let [(_, left), (part, right)] = parts else { return };
        if name == op::EQUALS && !left.kinds.may_equal(right.kinds) {
            known.unequal = Some((left.kinds, right.kinds));
        }
        // Where the left side is known as well, all of it is evaluated.
        if left.depends == NOTHING || right.depends != NOTHING {
            return;
        }
        let value = Value::resolve(part, &self.nothing.context).ok();
        match (name, value) {
            (op::DIVIDE | op::MODULO, Some(Value::Int(0) | Value::UInt(0))) => {
                known.sound = false;
                self.flaw(expr, "it divides by zero");
            }
            ("matches", Some(Value::String(text))) => {
                if let Err(why) = pattern(&text) {
                    known.sound = false;
                    self.flaw(part, why);
                }
            }
            _ => {}
        }
    }

    fn repeated(&mut self, expr: &'p IdedExpr, repeated: &'p ComprehensionExpr) -> Known {
        let range = (&repeated.iter_range, self.judge(&repeated.iter_range));
        let begin = (&repeated.accu_init, self.judge(&repeated.accu_init));
        let outside = self.bound.len();
        self.depth += 1;
        self.bound.push((&repeated.accu_var, begin.1.kinds, self.depth));
        let names = [Some(repeated.iter_var.as_str()), repeated.iter_var2.as_deref()];
        self.bound.extend(names.into_iter().flatten().map(|name| (name, Kinds::ANY, self.depth)));
        let condition = (&repeated.loop_cond, self.judge(&repeated.loop_cond));
        let step = (&repeated.loop_step, self.judge(&repeated.loop_step));
        // What is gathered is what it was at first, or what a step has made of it.
        self.bound[outside].1 = begin.1.kinds.or(step.1.kinds);
        let result = (&repeated.result, self.judge(&repeated.result));
        let own = self.depth;
        self.depth -= 1;
        self.bound.truncate(outside);
        let parts = [range, begin, condition, step, result];
        let mut known = self.part(expr, &parts, |judge, kinds| match kinds {
            [range, ..] if !range.meets(Kinds::LIST.or(Kinds::MAP)) => {
                judge.flaw(&repeated.iter_range, format!("a macro goes through a list or a map, not {range}"));
                Err(None)
            }
            _ => Ok(result.1.kinds),
        });
        // What the macro binds itself is known as soon as its range is.
        let others = parts.iter().map(|(_, known)| known.depends).filter(|depends| *depends != own);
        known.depends = others.min().unwrap_or(NOTHING);
        known
    }

    /// What is known of a part by its own parts: `gives` tells its kinds, or what is wrong.
    fn part(
        &mut self,
        expr: &'p IdedExpr,
        parts: &[(&'p IdedExpr, Known)],
        gives: impl FnOnce(&mut Self, &[Kinds]) -> Result<Kinds, Option<String>>,
    ) -> Known {
        let depends = parts.iter().map(|(_, known)| known.depends).min().unwrap_or(NOTHING);
        let mut sound = parts.iter().all(|(_, known)| known.sound);
        let mut kinds = Vec::with_capacity(parts.len());
        for (part, known) in parts {
            // Where all of them depend on nothing, what they are part of is evaluated instead.
            let is_whole = depends != NOTHING && known.sound;
            let before = self.flaws.len();
            kinds.push(if is_whole { self.evaluated(part, *known).0 } else { known.kinds });
            sound &= self.flaws.len() == before;
        }
        if !sound {
            return Known { sound, ..Known::of(Kinds::ANY, depends) };
        }
        match gives(self, &kinds) {
            Ok(kinds) => Known::of(kinds, depends),
            Err(wrong) => {
                if let Some(wrong) = wrong {
                    self.flaw(expr, wrong);
                }
                Known { sound: false, ..Known::of(Kinds::ANY, depends) }
            }
        }
    }

    /// The kinds of a part, and its value where no variable is needed for it.
    fn evaluated(&mut self, expr: &'p IdedExpr, known: Known) -> (Kinds, Option<Value>) {
        if known.depends != NOTHING {
            return (known.kinds, None);
        }
        let context = &self.nothing.context;
        match Value::resolve_val(expr, context) {
            Ok(value) => (Kinds::of(value.as_ref()), Value::try_from(value.as_ref()).ok()),
            Err(error) => {
                let culprit = blame::innermost(expr, context, &error);
                self.flaw(culprit, words::execution(&error));
                (Kinds::ANY, None)
            }
        }
    }

    fn flaw(&mut self, expr: &IdedExpr, message: impl Into<String>) {
        let flaw = Flaw::new(Place::of(self.program, expr), message);
        // A macro may repeat what it was given.
        if !self.flaws.contains(&flaw) {
            self.flaws.push(flaw);
        }
    }
}

/// How many of an operator's operands, from the first, have to be true or false.
fn questions(name: &str) -> usize {
    match name {
        op::LOGICAL_AND | op::LOGICAL_OR => 2,
        op::LOGICAL_NOT | op::CONDITIONAL => 1,
        _ => 0,
    }
}

fn literal_kind(literal: &LiteralValue) -> Kinds {
    match literal {
        LiteralValue::Boolean(_) => Kinds::BOOL,
        LiteralValue::Bytes(_) => Kinds::BYTES,
        LiteralValue::Double(_) => Kinds::DOUBLE,
        LiteralValue::Int(_) => Kinds::INT,
        LiteralValue::Null => Kinds::NULL,
        LiteralValue::String(_) => Kinds::STRING,
        LiteralValue::UInt(_) => Kinds::UINT,
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::super::Language;
    use super::*;

    fn flaws(text: &str, purpose: Purpose) -> Vec<String> {
        let language = Language::new().unwrap();
        let nothing = language.scope().unwrap();
        let flaws = language.check(text, &["from", "to", "job"], purpose, &nothing);
        flaws.iter().map(ToString::to_string).collect()
    }

    /// Holds the only flaw of each expression against how it should begin.
    fn hold(purpose: Purpose, expected: &[(&str, &str)]) {
        for (text, expected) in expected {
            let flaws = flaws(text, purpose);
            assert!(flaws.len() == 1 && flaws[0].starts_with(expected), "{text}: {flaws:?}");
        }
    }

    #[test]
    fn what_never_has_a_value_is_told_with_its_place() {
        hold(
            Purpose::Condition,
            &[
                ("size(1,2) == 1", "column 1: size takes 1 argument, not 2"),
                ("int('abc') == 1", "column 1: int: "),
                ("to.a == int('abc')", "column 9: int: "),
                ("'x'.substring(5) == ''", "column 5: substring: "),
                ("'%d'.format(['x']) == ''", "column 6: format: "),
                ("1/0 == 1", "column 2: it divides by zero"),
                ("to.a / 0 == 1", "column 6: it divides by zero"),
                ("to.a % 0u == 1u", "column 6: it divides by zero"),
                ("!1", "column 2: this has to be true or false, and is an int"),
                ("to in 5", "column 4: in takes on its right a list or a map, not an int"),
                ("[1,2,3][5] == 1", "column 8: there is no element 5"),
                ("{'a': 1}.b == to.x", "column 10: there is no \"b\""),
                ("to.a == -'a'", "column 9: - works on an int or a double, not a string"),
                ("1 < 'a'", "column 3: < does not work on an int and a string"),
                ("to.a < null", "column 6: < takes on its right "),
                ("1u - 2u == to.x", "column 4: it goes below zero, and a uint does not"),
                ("from.spec.x.matches('(a+')", "column 21: \"(a+\" is no pattern: "),
                ("matches(from.x, '(a{1000}){1000}')", "column 17: \"(a{1000}){1000}\" is no pattern: "),
                ("'a'.matches('[')", "column 5: matches: \"[\" is no pattern: "),
                ("to.list.exists(x, x.name.matches('['))", "column 34: \"[\" is no pattern: "),
                ("to.list.all(x, x + 'a' > 1)", "column 24: > does not work on a string and an int"),
                ("to.list.all(x, x + 1)", "column 18: this has to be true or false, and is an int"),
                ("to.list.filter(x, 'a') == []", "column 19: this has to be true or false, and is a string"),
                ("'abc'.all(x, x == 'a')", "column 1: a macro goes through a list or a map, not a string"),
                ("size(to.x).all(x, x == 1)", "column 1: a macro goes through a list or a map, not an int"),
                ("to.?a.orValue() == 1", "column 7: orValue takes 1 argument, not 0"),
                ("size(to.x).hasValue()", "column 12: hasValue is called on an optional"),
                ("contains(to.x, 'a')", "column 1: contains is called on a value, as VALUE.contains(…)"),
                ("to.x.int() == 1", "column 6: int is called before its arguments, as int(…)"),
                ("to.x.substring('a') == ''", "column 6: substring takes an int, not a string"),
                ("to.x.replace('a', 1) == ''", "column 6: replace takes as argument 2 a string, not an int"),
                ("string(to.x) + 1 == ''", "column 14: + does not work on a string and an int"),
                ("string(to.x).y == 1", "column 14: a string has no fields"),
                ("has('a'.b)", "column 4: a string has no fields"),
                ("size(to.x)[0] == 1", "column 11: […] takes on its left a list, a map or an optional"),
                ("to.x ? 1/0 == 1 : true", "column 9: it divides by zero"),
                ("'a' ? true : to.x", "column 1: this has to be true or false, and is a string"),
                ("{null: to.x} == {}", "column 2: the key of a map cannot be null"),
                ("'ü' == to.x && 'ü' < 1", "column 20: < does not work on a string and an int"),
                ("to.x == 1 &&\n  1 < 'a'", "line 2, column 5: < does not work on an int and a string"),
            ],
        );
    }

    #[test]
    fn conditions_that_are_never_true_are_told() {
        hold(
            Purpose::Condition,
            &[
                ("true && 1", "column 9: a condition has to be true or false, and this is an int"),
                ("to.x && (to.y || 'a')", "column 18: this has to be true or false, and is a string"),
                ("1 == '1'", "column 3: it is never true: an int is never equal to a string"),
                ("null == 1", "column 6: it is never true: null is never equal to an int"),
                ("b'a' == 'a'", "column 6: it is never true: bytes is never equal to a string"),
                ("1 == 2", "column 3: it is never true, and its stage would wait for ever"),
                ("false", "column 1: it is never true"),
                ("to.x == 1 && false", "column 14: it is never true"),
                ("size(to.x) == '1'", "column 12: it is never true: an int is never equal to a string"),
                ("to.?x == 1", "column 7: it is never true: an optional (which .orValue(…) makes a value) is never"),
                ("type(to.x) == 'int'", "column 12: it is never true: a type is never equal to a string"),
                ("to.spec.a ? 1 : 2", "column 11: a condition has to be true or false, and this is an int"),
                ("to.a ? 1 : 'a'", "column 6: a condition has to be true or false, and this is an int or a string"),
                ("[1]", "column 1: a condition has to be true or false, and this is a list"),
                ("'x'", "column 1: a condition has to be true or false, and this is a string"),
                ("size(to.spec.list)", "column 1: a condition has to be true or false, and this is an int"),
                ("to.spec.a + 'x'", "column 11: a condition has to be true or false, and this is a string"),
                ("to.list.map(x, x)", "column 12: a condition has to be true or false, and this is a list"),
                ("to.list.filter(x, true)", "column 15: a condition has to be true or false, and this is a list"),
            ],
        );
    }

    #[test]
    fn values_that_no_manifest_holds_are_told() {
        hold(
            Purpose::Value,
            &[
                ("bytes('x')", "column 1: its value has no place in a manifest: bytes"),
                ("bytes(to.x)", "column 1: its value has no place in a manifest: bytes"),
                ("to.?a", "column 3: its value has no place in a manifest: an optional"),
                ("1.0 / 0.0", "column 5: its value has no place in a manifest: a number that is not finite"),
                ("[b'a']", "column 1: its value has no place in a manifest: bytes"),
                ("to.x + size(1)", "column 8: size takes a string, bytes, a list or a map, not an int"),
            ],
        );
    }

    #[test]
    fn what_may_be_right_is_taken_for_it() {
        for text in [
            "true",
            "1 == 1",
            "to.ready",
            "to.a == 1 || 1 == 2",
            "to.a == 1 || size(to.b) == '1'",
            "to.a != '1' && size(to.b) != '1'",
            "to.a ? 1 == to.b : false",
            "to.a == null && null != to.b",
            "1 == 1.0 && 1u == 1 && size(to.x) == 1.0",
            "has(to.a) && to.a / 2 == 1 && to.b / 0.0 > 1.0",
            "to.list.all(x, x in [1, 'a', to.b])",
            "to.list.exists_one(x, to.list.exists(y, x == y))",
            "to.list.map(x, x + 1) == [2] && to.list.filter(x, x > 1) == []",
            "[1, 2].map(x, x * 2) == [2, 4] && {'a': 1}.all(k, k == 'a')",
            "[[1]].all(x, x.all(y, y + x[0] == 2))",
            "{'a': 1}.a == 1 && {'a': 1}[to.x] == 1 && !has({}.a)",
            "to.?a.orValue('') == 'x' && to.?a.?b.hasValue() && to.list[?0].orValue(false)",
            "optional.of(1) == to.?a && optional.none().or(to.?b).value() == 1",
            "type(to.x) == int && type(1) == type(to.x) && int(to.x) == 1",
            "to.x.matches('^a$') && to.x.matches(to.y) && matches(to.x, 'a' + 'b')",
            "to.x + to.y == 'a' && to.x + 'a' == 'aa' && [1] + to.list == [1]",
            "dyn(1) == '1' || dyn(to.x)",
            "'%s'.format([to.x]) == '' && to.x.split(',').exists(x, x == 'a')",
            "int == 1",
        ] {
            assert_eq!(flaws(text, Purpose::Condition), Vec::<String>::new(), "{text}");
        }
        for text in ["to", "1", "'a'", "null", "[1, to.x]", "{'a': to.?b.orValue(1)}", "to.x ? b'a' : 'a'", "type(1)"] {
            assert_eq!(flaws(text, Purpose::Value), Vec::<String>::new(), "{text}");
        }
    }

    /// An expression that has been seen to have a value, and so has each of its parts.
    struct Seen {
        text: String,
        /// Whether that was true or false.
        is_question: bool,
        /// Whether it was true.
        holds: bool,
        /// Whether a manifest could hold it.
        is_written: bool,
    }

    /// Evaluates an expression with values of all kinds in its variables; `None` if it has no value with any.
    fn seen(language: &Language, scopes: &[Scope], text: String) -> Option<Seen> {
        let program = language.env.compile(&text).ok()?;
        let values = scopes.iter().filter_map(|scope| program.execute(&scope.context).ok()).collect::<Vec<_>>();
        let seen = Seen {
            is_question: values.iter().any(|value| matches!(value, Value::Bool(_))),
            holds: values.contains(&Value::Bool(true)),
            is_written: values.iter().any(|value| value::to_json(value).is_ok()),
            text,
        };
        (!values.is_empty()).then_some(seen)
    }

    /// Numbers that look as if there were no order in them, and are the same each time.
    struct Dice(u64);

    impl Dice {
        fn below(&mut self, end: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            usize::try_from(self.0 % u64::try_from(end).unwrap()).unwrap()
        }
    }

    const FORMS: [&str; 45] = [
        "(A + B)",
        "(A - B)",
        "(A * B)",
        "(A / B)",
        "(A % B)",
        "(A == B)",
        "(A != B)",
        "(A < B)",
        "(A <= B)",
        "(A in B)",
        "(P && Q)",
        "(P || Q)",
        "!P",
        "(P ? A : B)",
        "-(A)",
        "A[B]",
        "A[?B]",
        "A.a",
        "A.?a",
        "has((A).a)",
        "[A, B]",
        "{A: B}",
        "{'a': A}",
        "size(A)",
        "A.size()",
        "int(A)",
        "string(A)",
        "double(A)",
        "type(A)",
        "dyn(A)",
        "(A).startsWith(B)",
        "A.matches(B)",
        "A.split(B)",
        "A.join(B)",
        "A.indexOf(B)",
        "A.substring(B)",
        "'%s'.format([A])",
        "optional.of(A)",
        "(A).orValue(B)",
        "A.or(B)",
        "A.hasValue()",
        "A.all(v, v == B)",
        "A.exists(v, v == B)",
        "A.map(v, [v, B])",
        "A.filter(v, v == B)",
    ];

    #[test]
    fn what_has_a_value_with_some_variables_is_taken() {
        // Unoptimised, the parser takes more stack than a test's thread has.
        let compare = thread::Builder::new().stack_size(256 << 20).spawn(compare_with_interpreter);
        compare.unwrap().join().unwrap();
    }

    fn compare_with_interpreter() {
        let language = Language::new().unwrap();
        let samples =
            serde_json::json!([true, 1, -2, 0.5, "a", "1", ["a", "b"], [1, {"a": 1}], {"a": {"a": 1}}, {"1": 2}, null]);
        let samples = samples.as_array().unwrap();
        let pairs = samples.iter().flat_map(|x| samples.iter().map(move |y| serde_json::json!({"x": x, "y": y})));
        let with = |to| {
            let mut scope = language.scope().unwrap();
            scope.set("to", &to);
            scope
        };
        let scopes = pairs.map(with).collect::<Vec<_>>();
        let begin = [
            "to.x", "to.y", "1", "1u", "1.0", "2.5", "'a'", "'1'", "b'a'", "null", "true", "[]", "['a']", "{'a': 1}",
            "to.?z",
        ];
        let mut pool =
            begin.into_iter().map(|text| seen(&language, &scopes, text.to_owned()).unwrap()).collect::<Vec<_>>();
        let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
        for _ in 0..4000 {
            let (mut any, mut question) = (String::new(), String::new());
            let mut text = FORMS[dice.below(FORMS.len())].to_owned();
            for place in ["A", "B", "P", "Q"] {
                let filled = if place < "P" { &mut any } else { &mut question };
                loop {
                    // Half of the parts are of the first ones, else the pairs that tell much would hardly meet.
                    let end = if dice.below(2) == 0 { pool.len().min(60) } else { pool.len() };
                    let one = &pool[dice.below(end)];
                    if place < "P" || one.is_question {
                        one.text.clone_into(filled);
                        break;
                    }
                }
                // Letters of forms stand alone, and no expression has a capital letter.
                text = text.replace(place, filled);
            }
            if text.len() > 120 {
                continue;
            }
            let Some(seen) = seen(&language, &scopes, text) else { continue };
            if seen.holds {
                assert_eq!(flaws(&seen.text, Purpose::Condition), Vec::<String>::new(), "{}", seen.text);
            }
            if seen.is_written {
                assert_eq!(flaws(&seen.text, Purpose::Value), Vec::<String>::new(), "{}", seen.text);
            }
            pool.push(seen);
        }
        assert!(pool.len() > 500, "{} expressions have a value", pool.len());
    }
}
