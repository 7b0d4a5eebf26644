//! Which part of an expression it is that has no value.

use cel::common::ast::{ComprehensionExpr, EntryExpr, Expr, IdedExpr};
use cel::objects::Key;
use cel::{Context, ExecutionError, Value};

/// The innermost part that fails as the whole does. The parts are evaluated anew for that.
pub(super) fn innermost<'e>(expr: &'e IdedExpr, context: &Context<'_, '_>, error: &ExecutionError) -> &'e IdedExpr {
    let of = |part: &'e IdedExpr| fails(part, context, error).then(|| innermost(part, context, error));
    let within = match &expr.expr {
        Expr::Unspecified | Expr::Literal(_) | Expr::Ident(_) | Expr::Struct(_) => None,
        Expr::Select(select) => of(&select.operand),
        Expr::Call(call) => call.target.as_deref().into_iter().chain(&call.args).find_map(of),
        Expr::List(list) => list.elements.iter().find_map(of),
        Expr::Map(map) => map.entries.iter().find_map(|entry| match &entry.expr {
            EntryExpr::StructField(field) => of(&field.value),
            EntryExpr::MapEntry(entry) => of(&entry.key).or_else(|| of(&entry.value)),
        }),
        Expr::Comprehension(repeated) => of(&repeated.iter_range).or_else(|| step(repeated, context, error)),
    };
    within.unwrap_or(expr)
}

fn fails(expr: &IdedExpr, context: &Context<'_, '_>, error: &ExecutionError) -> bool {
    Value::resolve_val(expr, context).is_err_and(|other| other == *error)
}

/// What a macro does with each element, if it is that. No macro's own part of it depends on the elements before.
fn step<'e>(
    repeated: &'e ComprehensionExpr,
    context: &Context<'_, '_>,
    error: &ExecutionError,
) -> Option<&'e IdedExpr> {
    let mut inner = context.new_inner_scope();
    inner.add_variable_from_value(&repeated.accu_var, Value::resolve(&repeated.accu_init, context).ok()?);
    for element in elements(Value::resolve(&repeated.iter_range, context).ok()?) {
        inner.add_variable_from_value(&repeated.iter_var, element);
        if fails(&repeated.loop_step, &inner, error) {
            return Some(innermost(&repeated.loop_step, &inner, error));
        }
    }
    None
}

/// What a macro goes through.
fn elements(range: Value) -> Vec<Value> {
    match range {
        Value::List(items) => items.to_vec(),
        Value::Map(map) => map.map.keys().map(key).collect(),
        _ => Vec::new(),
    }
}

fn key(key: &Key) -> Value {
    match key {
        Key::Int(int) => Value::Int(*int),
        Key::Uint(uint) => Value::UInt(*uint),
        Key::Bool(on) => Value::Bool(*on),
        Key::String(text) => Value::String(text.clone()),
    }
}
