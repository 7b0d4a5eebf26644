//! CEL as it is spoken in a `MigrationConfiguration`: expressions are compiled, evaluated, and their errors put in words.

mod blame;
mod judge;
mod kinds;
mod missing;
mod names;
mod usage;
mod words;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use cel::common::ast::{Expr, IdedExpr, SourceInfo};
use cel::extractors::This;
use cel::{Context, Env, ExecutionError, Program, Value, extensions};
use regex_lite::{Regex, RegexBuilder};
use resource_broker_sdk::Error;
use serde_json::Value as Json;

use crate::value;

pub(crate) use judge::Purpose;
pub(crate) use words::shorten;

/// The copy that is left.
pub(crate) const FROM: &str = "from";
/// The copy that will be.
pub(crate) const TO: &str = "to";
/// The migration itself.
pub(crate) const MIGRATION: &str = "migration";

/// What CEL keeps for itself, so that no variable may be called so.
pub(crate) const RESERVED: [&str; 20] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "false",
    "for",
    "function",
    "if",
    "import",
    "in",
    "let",
    "loop",
    "namespace",
    "null",
    "package",
    "return",
    "true",
    "var",
    "while",
];

/// The longest expression in bytes: one that is longer is better several, and what parses it goes deeper with its length.
const LONGEST: usize = 2048;

/// The most bytes that a pattern may take once it is read.
const LARGEST_PATTERN: usize = 1 << 20;

/// The language: types, functions and macros.
pub(crate) struct Language {
    env: Arc<Env>,
}

impl Language {
    /// CEL's own functions without those of time, `matches`, and the extension for strings.
    ///
    /// # Errors
    ///
    /// [`Error::Internal`] if functions are declared twice.
    pub(crate) fn new() -> Result<Self, Error> {
        let mut env = Env::stdlib();
        env.add_extension(extensions::strings).map_err(|error| Error::internal(error.to_string()))?;
        Ok(Self { env: Arc::new(env) })
    }

    /// A scope without variables.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub(crate) fn scope(&self) -> Result<Scope, Error> {
        let mut context = Context::with_env(Arc::clone(&self.env));
        context.add_function("matches", matches).map_err(|error| Error::internal(error.to_string()))?;
        Ok(Scope { context, values: HashMap::new() })
    }

    /// Compiles an expression that may refer to these variables.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it; of its syntax the first thing, since what follows mostly follows from that.
    pub(crate) fn compile(&self, text: &str, variables: &[&str]) -> Result<Expression, Vec<Flaw>> {
        if text.trim().is_empty() {
            return Err(vec![Flaw::without_place("the expression is empty")]);
        }
        if text.len() > LONGEST {
            let message = format!("it has {} bytes, more than {LONGEST}: make several expressions of it", text.len());
            return Err(vec![Flaw::without_place(message)]);
        }
        let program = self.env.compile(text).map_err(|errors| vec![words::syntax(text, &errors.errors)])?;
        let flaws = names::unknown(&program, variables);
        if flaws.is_empty() { Ok(Expression { program }) } else { Err(flaws) }
    }

    /// Everything that is wrong with an expression that may refer to these variables, whatever they are. `nothing` is a scope
    /// without any.
    pub(crate) fn check(&self, text: &str, variables: &[&str], purpose: Purpose, nothing: &Scope) -> Vec<Flaw> {
        match self.compile(text, variables) {
            Ok(expression) => judge::flaws(&expression.program, purpose, nothing),
            Err(flaws) => flaws,
        }
    }
}

/// `TEXT.matches(PATTERN)`: whether a part of the text is as the pattern says.
#[expect(clippy::needless_pass_by_value, reason = "CEL hands its arguments over")]
fn matches(This(text): This<Arc<String>>, text_of_pattern: Arc<String>) -> Result<bool, ExecutionError> {
    let pattern = pattern(&text_of_pattern).map_err(|why| ExecutionError::function_error("matches", why))?;
    Ok(pattern.is_match(&text))
}

/// Reads a pattern; or says what is wrong with it.
fn pattern(text: &str) -> Result<Regex, String> {
    RegexBuilder::new(text)
        .size_limit(LARGEST_PATTERN)
        .build()
        .map_err(|error| format!("{:?} is no pattern: {error}", shorten(text)))
}

/// What expressions see.
pub(crate) struct Scope {
    context: Context<'static, 'static>,
    /// The same variables, to find out what of them is not there.
    values: HashMap<String, Value>,
}

impl Scope {
    /// Sets a variable.
    pub(crate) fn set(&mut self, name: &str, json: &Json) {
        let value = value::from_json(json);
        self.context.add_variable_from_value(name, value.clone());
        self.values.insert(name.to_owned(), value);
    }
}

/// An expression that compiles.
#[derive(Debug)]
pub(crate) struct Expression {
    program: Program,
}

impl Expression {
    /// Evaluates it.
    ///
    /// # Errors
    ///
    /// If there is no value.
    pub(crate) fn evaluate(&self, scope: &Scope) -> Result<Value, Failure> {
        self.program.execute(&scope.context).map_err(|error| {
            match missing::of(&error, self.program.expression(), &scope.values) {
                Some(what) => Failure::Missing(what),
                None => Failure::Wrong(self.wrong(scope, &error)),
            }
        })
    }

    /// What is wrong, and where.
    fn wrong(&self, scope: &Scope, error: &ExecutionError) -> String {
        let culprit = blame::innermost(self.program.expression(), &scope.context, error);
        Flaw::new(Place::of(&self.program, culprit), words::execution(error)).to_string()
    }
}

/// Why an expression has no value.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// It asks for something that is not there, such as `job.status.succeeded`.
    Missing(String),
    /// It makes no sense: why.
    Wrong(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(what) => write!(f, "{what} is not there"),
            Self::Wrong(why) => f.write_str(why),
        }
    }
}

/// One thing that is wrong with an expression.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Flaw {
    place: Option<Place>,
    pub(crate) message: String,
}

impl Flaw {
    fn new(place: Option<Place>, message: impl Into<String>) -> Self {
        Self { place, message: message.into() }
    }

    /// One of the expression as a whole.
    pub(crate) fn without_place(message: impl Into<String>) -> Self {
        Self::new(None, message)
    }
}

impl fmt::Display for Flaw {
    /// `column 5: …`, after the expression's text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        f.write_str(&self.message)
    }
}

/// A place in an expression, in characters, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    line: usize,
    column: usize,
}

impl Place {
    /// Where the byte at `offset` of `text` is.
    fn at(text: &str, offset: usize) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line_begin = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self { line: before.matches('\n').count() + 1, column: before[line_begin..].chars().count() + 1 }
    }

    /// Where a part of a program is.
    fn of(program: &Program, part: &IdedExpr) -> Option<Self> {
        let name = match &part.expr {
            Expr::Call(call) => &call.func_name,
            _ => "",
        };
        Self::of_name(program.source_info(), part.id, name)
    }

    /// Where the part of this number is, or the function's name that it begins with.
    fn of_name(source: &SourceInfo, id: u64, name: &str) -> Option<Self> {
        let (start, _) = source.offset_for(id)?;
        let text = source.source.as_str();
        let start = usize::try_from(start).unwrap_or(usize::MAX);
        let (before, after) = text.split_at_checked(start).unwrap_or((text, ""));
        // A call's place is its bracket, and a field's is its dot.
        let start = before.trim_end().strip_suffix(name).filter(|_| !name.is_empty()).map_or(start, str::len);
        Some(Self::at(text, if name.is_empty() && after.starts_with('.') { start + 1 } else { start }))
    }

    /// Whether nothing of `text` follows.
    fn is_end_of(self, text: &str) -> bool {
        let mut lines = text.split('\n').skip(self.line - 1);
        let rest = lines.next().map(|line| line.chars().skip(self.column - 1).collect::<String>());
        rest.is_none_or(|rest| rest.trim().is_empty()) && lines.all(|line| line.trim().is_empty())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            1 => write!(f, "column {}", self.column),
            line => write!(f, "line {line}, column {}", self.column),
        }
    }
}
