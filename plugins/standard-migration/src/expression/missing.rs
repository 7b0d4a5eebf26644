//! What an expression asked for that is not there.
//!
//! CEL says the name of a field that is missing, and not whose it is. So the expression's paths (`job.status.succeeded`) are
//! followed through the variables, until one leads to nothing of that name.

use std::collections::HashMap;
use std::fmt::Write as _;

use cel::common::ast::{EntryExpr, Expr, IdedExpr, LiteralValue, operators};
use cel::objects::Key;
use cel::{ExecutionError, Value};

/// What the error says is missing, with the whole path to it where that is known; `None` if it says anything else.
pub(super) fn of(error: &ExecutionError, expr: &IdedExpr, variables: &HashMap<String, Value>) -> Option<String> {
    let (wanted, name) = match error {
        ExecutionError::NoSuchKey(name) => (Wanted::Step(Step::Name(name)), format!("{name:?}")),
        ExecutionError::IndexOutOfBounds(Value::Int(index)) => {
            (Wanted::Step(Step::Index(*index)), format!("element {index}"))
        }
        // Null is as good as nothing.
        ExecutionError::NoSuchOverload(overload)
            if ["_._", operators::INDEX].contains(&overload.function())
                && overload.argument_types().first().is_some_and(|of| of == "null_type") =>
        {
            (Wanted::OfNull, "a field of null".to_owned())
        }
        _ => return None,
    };
    Some(Search { wanted, variables }.expression(expr).unwrap_or(name))
}

/// What a path has to lead to that is the one that is looked for.
enum Wanted<'e> {
    /// Something of this name or at this place.
    Step(Step<'e>),
    /// Anything within null.
    OfNull,
}

/// Looks for the path that leads nowhere.
struct Search<'s> {
    wanted: Wanted<'s>,
    variables: &'s HashMap<String, Value>,
}

impl Search<'_> {
    /// The first such path in an expression.
    fn expression(&self, expr: &IdedExpr) -> Option<String> {
        if let Some(path) = path(expr) {
            return self.dead_end(&path);
        }
        match &expr.expr {
            // What is asked is whether the field is there.
            Expr::Select(select) => self.expression(&select.operand),
            Expr::Call(call) => {
                call.target.as_deref().into_iter().chain(&call.args).find_map(|part| self.expression(part))
            }
            Expr::List(list) => list.elements.iter().find_map(|element| self.expression(element)),
            Expr::Map(map) => map.entries.iter().find_map(|entry| match &entry.expr {
                EntryExpr::StructField(field) => self.expression(&field.value),
                EntryExpr::MapEntry(entry) => self.expression(&entry.key).or_else(|| self.expression(&entry.value)),
            }),
            Expr::Comprehension(macro_call) => [&macro_call.iter_range, &macro_call.loop_step, &macro_call.result]
                .into_iter()
                .find_map(|part| self.expression(part)),
            Expr::Unspecified | Expr::Literal(_) | Expr::Ident(_) | Expr::Struct(_) => None,
        }
    }

    /// The path as far as the first part that is not there; `None` if that is not what is looked for.
    fn dead_end(&self, path: &[Step<'_>]) -> Option<String> {
        let (Step::Name(variable), steps) = path.split_first()? else { return None };
        let mut value = self.variables.get(*variable)?;
        let mut shown = (*variable).to_owned();
        for step in steps {
            match step {
                Step::Name(name) if is_identifier(name) => write!(shown, ".{name}"),
                Step::Name(name) => write!(shown, "[{name:?}]"),
                Step::Index(index) => write!(shown, "[{index}]"),
            }
            .ok()?;
            let next = match (value, step) {
                (Value::Map(map), Step::Name(name)) => map.map.get(&Key::from(*name)),
                (Value::List(items), Step::Index(at)) => usize::try_from(*at).ok().and_then(|at| items.get(at)),
                (Value::Null, _) => return matches!(self.wanted, Wanted::OfNull).then_some(shown),
                // Not a matter of what is there.
                _ => return None,
            };
            let Some(next) = next else {
                return matches!(&self.wanted, Wanted::Step(wanted) if wanted == step).then_some(shown);
            };
            value = next;
        }
        None
    }
}

/// One part of a path.
#[derive(PartialEq, Eq)]
enum Step<'e> {
    Name(&'e str),
    Index(i64),
}

/// A variable, and fields and elements of it that are named in the expression.
fn path(expr: &IdedExpr) -> Option<Vec<Step<'_>>> {
    match &expr.expr {
        Expr::Ident(name) => Some(vec![Step::Name(name.strip_prefix('.').unwrap_or(name))]),
        Expr::Select(select) if !select.test => {
            let mut steps = path(&select.operand)?;
            steps.push(Step::Name(&select.field));
            Some(steps)
        }
        Expr::Call(call) if call.func_name == operators::INDEX => {
            let [of, index] = call.args.as_slice() else { return None };
            let mut steps = path(of)?;
            steps.push(match &index.expr {
                Expr::Literal(LiteralValue::String(name)) => Step::Name(name.inner()),
                Expr::Literal(LiteralValue::Int(index)) => Step::Index(*index.inner()),
                _ => return None,
            });
            Some(steps)
        }
        _ => None,
    }
}

fn is_identifier(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !name.starts_with(|first: char| first.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{Failure, Language};

    #[test]
    fn what_is_missing_is_told_with_its_path() {
        let language = Language::new().unwrap();
        let mut scope = language.scope().unwrap();
        scope.set(
            "job",
            &json!({"status": {"conditions": [{"a": 1}], "none": null, "x": 1}, "metadata": {"annotations": {}}}),
        );
        for (text, expected) in [
            ("job.status.succeeded == 1", "job.status.succeeded"),
            ("job.status.x == 1 && job.state.x == 1", "job.state"),
            ("job.status.conditions[1].a == 1", "job.status.conditions[1]"),
            ("job['status']['y'] == 1", "job.status.y"),
            ("job.metadata.annotations['a/b'] == ''", "job.metadata.annotations[\"a/b\"]"),
            ("job.status.none.deeper == 1", "job.status.none.deeper"),
            ("size(job.status.list) == 1", "job.status.list"),
            ("[job.status.y] == [1]", "job.status.y"),
            ("{'a': job.status.z}.a == 1", "job.status.z"),
            ("job.status.conditions.all(c, c.b == 1)", "\"b\""),
            ("job.status.conditions.all(c, job.status.y == 1)", "job.status.y"),
            ("has(job.state.x)", "job.state"),
            ("has(job.status.y) || job.status.z == 1", "job.status.z"),
            ("(job.status.x == 0 ? job.status.y : 0) == job.status.z", "job.status.z"),
            ("job.status.conditions[job.status.x].a == 1", "element 1"),
        ] {
            let expression = language.compile(text, &["job"]).unwrap();
            assert_eq!(expression.evaluate(&scope), Err(Failure::Missing(expected.to_owned())), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_otherwise_is_not_missing() {
        let language = Language::new().unwrap();
        let mut scope = language.scope().unwrap();
        scope.set("job", &json!({"a": 1}));
        for text in ["job.a.b == 1", "job.a > 'x'", "1 / 0 == 1", "'a'.matches('[')"] {
            let expression = language.compile(text, &["job"]).unwrap();
            assert!(matches!(expression.evaluate(&scope), Err(Failure::Wrong(_))), "{text}");
        }
    }
}
