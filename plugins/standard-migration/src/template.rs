//! Templates: objects with expressions in their strings.
//!
//! `${CEL}` stands for the expression's value, `$${` for `${` as it is. A string that is one expression and nothing else
//! becomes its value, whatever the type; in any other the value is put in as text.

use std::fmt;

use cel::Value;
use resource_broker_sdk::{Error, Manifest, escape_key};
use serde_json::{Map, Value as Json};

use crate::check::about;
use crate::configuration::{StageSpec, Template};
use crate::expression::{FROM, Language, MIGRATION, Scope, TO};
use crate::value;

/// The parts of `metadata` that a template may have; the rest is the broker's to set.
const METADATA: [&str; 2] = ["labels", "annotations"];
/// Where no expression may stand.
const PLAIN: [&str; 2] = ["apiVersion", "kind"];

/// A part of a string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece<'t> {
    /// To be taken as it is.
    Text(&'t str),
    /// To be replaced by its value; without the space around it.
    Expression(&'t str),
}

/// A `${` whose `}` is missing.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unclosed {
    /// Where the `${` is, in characters from 1.
    column: usize,
}

impl fmt::Display for Unclosed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let column = self.column;
        write!(f, "column {column}: the ${{ that begins here has no }}; where it is meant as it stands, write $${{")
    }
}

/// The parts of a string.
pub(crate) fn pieces(text: &str) -> Result<Vec<Piece<'_>>, Unclosed> {
    let mut pieces = Vec::new();
    // What of the text is no piece yet begins at `begin`, and is searched from `from`.
    let (mut begin, mut from) = (0, 0);
    while let Some(found) = text[from..].find("${") {
        let dollar = from + found;
        let escaped = text[begin..dollar].ends_with('$');
        if escaped {
            // One dollar less.
            pieces.push(Piece::Text(&text[begin..dollar - 1]));
            begin = dollar;
            from = dollar + 2;
            continue;
        }
        let inside = &text[dollar + 2..];
        let Some(length) = end_of_expression(inside) else {
            return Err(Unclosed { column: text[..dollar].chars().count() + 1 });
        };
        pieces.push(Piece::Text(&text[begin..dollar]));
        pieces.push(Piece::Expression(inside[..length].trim()));
        begin = dollar + 2 + length + 1;
        from = begin;
    }
    pieces.push(Piece::Text(&text[begin..]));
    pieces.retain(|piece| *piece != Piece::Text(""));
    Ok(pieces)
}

/// Where the `}` is that ends an expression, past braces, strings and comments of its own.
fn end_of_expression(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(next) = text[at..].chars().next() {
        match next {
            '}' if depth == 0 => return Some(at),
            '}' => depth -= 1,
            '{' => depth += 1,
            '"' | '\'' => {
                at = end_of_string(text, at)?;
                continue;
            }
            '/' if text[at..].starts_with("//") => {
                at += text[at..].find('\n')?;
                continue;
            }
            _ => {}
        }
        at += next.len_utf8();
    }
    None
}

/// Where the string that begins with the quote at `quote` is over.
fn end_of_string(text: &str, quote: usize) -> Option<usize> {
    let single = &text[quote..=quote];
    let triple = single.repeat(3);
    let delimiter = if text[quote..].starts_with(&triple) { triple.as_str() } else { single };
    let is_raw = is_raw(&text[..quote]);
    let mut at = quote + delimiter.len();
    loop {
        let rest = text.get(at..)?;
        if rest.starts_with(delimiter) {
            return Some(at + delimiter.len());
        }
        let mut characters = rest.chars();
        let is_escape = characters.next()? == '\\' && !is_raw;
        let escaped = if is_escape { characters.next()?.len_utf8() } else { 0 };
        at += rest.chars().next()?.len_utf8() + escaped;
    }
}

/// Whether a string after this text is raw, so that a backslash in it is one.
fn is_raw(before: &str) -> bool {
    let begin = before
        .rfind(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .map_or(0, |other| other + before[other..].chars().next().map_or(0, char::len_utf8));
    matches!(before[begin..].to_ascii_lowercase().as_str(), "r" | "br" | "rb")
}

/// Shows every string of a template that may hold expressions, with its path within the stage.
pub(crate) fn each_string(template: &Template, mut show: impl FnMut(&str, &str)) {
    let base = format!("templates.{}", escape_key(&template.name));
    for (name, value) in &template.body {
        let path = format!("{base}.{}", escape_key(name));
        match value {
            _ if PLAIN.contains(&name.as_str()) => {}
            Json::Object(metadata) if name == "metadata" => {
                for (name, value) in metadata.iter().filter(|(name, _)| METADATA.contains(&name.as_str())) {
                    each_string_of(value, &format!("{path}.{name}"), &mut show);
                }
            }
            value => each_string_of(value, &path, &mut show),
        }
    }
}

fn each_string_of(value: &Json, path: &str, show: &mut impl FnMut(&str, &str)) {
    match value {
        Json::String(text) => show(path, text),
        Json::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                each_string_of(item, &format!("{path}.{index}"), show);
            }
        }
        Json::Object(fields) => {
            for (name, value) in fields {
                each_string_of(value, &format!("{path}.{}", escape_key(name)), show);
            }
        }
        Json::Null | Json::Bool(_) | Json::Number(_) => {}
    }
}

/// What a stage deploys.
///
/// # Errors
///
/// [`Error::InvalidInput`] that names the stage, the template, the field and the expression that has no value.
pub(crate) fn manifests(language: &Language, scope: &Scope, stage: &StageSpec) -> Result<Vec<Manifest>, Error> {
    let rendered = stage.templates.iter().map(|template| {
        let renderer = Renderer { language, scope, stage };
        let base = format!("templates.{}", escape_key(&template.name));
        Ok(Manifest::new(&template.name, Json::Object(renderer.body(&template.body, &base)?)))
    });
    rendered.collect()
}

/// Puts values in the place of expressions.
struct Renderer<'r> {
    language: &'r Language,
    scope: &'r Scope,
    stage: &'r StageSpec,
}

impl Renderer<'_> {
    fn body(&self, body: &Map<String, Json>, base: &str) -> Result<Map<String, Json>, Error> {
        let mut rendered = Map::new();
        for (name, value) in body {
            let path = format!("{base}.{}", escape_key(name));
            let value = match value {
                plain if PLAIN.contains(&name.as_str()) => plain.clone(),
                Json::Object(metadata) if name == "metadata" => {
                    let kept = metadata.iter().filter(|(name, _)| METADATA.contains(&name.as_str()));
                    let texts = kept.map(|(name, value)| {
                        Ok((name.clone(), self.value(value, &format!("{path}.{name}"), Renderer::text)?))
                    });
                    Json::Object(texts.collect::<Result<_, Error>>()?)
                }
                value => self.value(value, &path, Renderer::typed)?,
            };
            rendered.insert(name.clone(), value);
        }
        Ok(rendered)
    }

    /// A value with every string in it replaced.
    fn value(
        &self,
        value: &Json,
        path: &str,
        string: fn(&Self, &str, &str) -> Result<Json, Error>,
    ) -> Result<Json, Error> {
        match value {
            Json::String(text) => string(self, text, path),
            Json::Array(items) => {
                let items = items.iter().enumerate();
                let items = items.map(|(index, item)| self.value(item, &format!("{path}.{index}"), string));
                items.collect::<Result<_, _>>().map(Json::Array)
            }
            Json::Object(fields) => {
                let fields = fields.iter().map(|(name, value)| {
                    Ok((name.clone(), self.value(value, &format!("{path}.{}", escape_key(name)), string)?))
                });
                fields.collect::<Result<_, Error>>().map(Json::Object)
            }
            scalar @ (Json::Null | Json::Bool(_) | Json::Number(_)) => Ok(scalar.clone()),
        }
    }

    /// A string that may become anything.
    fn typed(&self, text: &str, path: &str) -> Result<Json, Error> {
        match pieces(text).as_deref() {
            Ok([Piece::Expression(expression)]) => {
                let value = self.evaluate(expression, path)?;
                value::to_json(&value).map_err(|what| self.wrong(path, expression, &no_place_for(what)))
            }
            _ => self.text(text, path),
        }
    }

    /// A string that stays one.
    fn text(&self, text: &str, path: &str) -> Result<Json, Error> {
        let mut rendered = String::new();
        for piece in pieces(text).map_err(|unclosed| self.wrong(path, text, &unclosed.to_string()))? {
            match piece {
                Piece::Text(text) => rendered.push_str(text),
                Piece::Expression(expression) => {
                    let value = self.evaluate(expression, path)?;
                    let value = value::to_text(&value);
                    rendered.push_str(&value.map_err(|what| self.wrong(path, expression, &no_place_for(what)))?);
                }
            }
        }
        Ok(Json::String(rendered))
    }

    fn evaluate(&self, expression: &str, path: &str) -> Result<Value, Error> {
        let compiled = self.language.compile(expression, &[FROM, TO, MIGRATION]);
        let compiled = compiled.map_err(|flaws| {
            let flaws = flaws.iter().map(ToString::to_string).collect::<Vec<_>>();
            self.wrong(path, expression, &flaws.join(", "))
        })?;
        compiled.evaluate(self.scope).map_err(|failure| self.wrong(path, expression, &failure.to_string()))
    }

    fn wrong(&self, path: &str, expression: &str, what: &str) -> Error {
        Error::invalid(format!("{}.{path}", self.stage.path), about(&self.stage.name, path, expression, what))
    }
}

fn no_place_for(what: &str) -> String {
    format!("its value has no place in a manifest: {what}")
}

#[cfg(test)]
mod tests {
    use super::Piece::{Expression, Text};
    use super::*;

    #[test]
    fn strings_are_taken_apart() {
        for (text, expected) in [
            ("", vec![]),
            ("plain", vec![Text("plain")]),
            ("${a}", vec![Expression("a")]),
            ("${ a }", vec![Expression("a")]),
            ("${}", vec![Expression("")]),
            ("x${a}y${b}z", vec![Text("x"), Expression("a"), Text("y"), Expression("b"), Text("z")]),
            ("${a}${b}", vec![Expression("a"), Expression("b")]),
            ("$a $ {a} $(a) a}", vec![Text("$a $ {a} $(a) a}")]),
            ("${{'a': {'b': 1}}}", vec![Expression("{'a': {'b': 1}}")]),
            ("${a}}", vec![Expression("a"), Text("}")]),
            ("${'}'}", vec![Expression("'}'")]),
            (r#"${"}" + '{'}"#, vec![Expression(r#""}" + '{'"#)]),
            (r"${'\'}'}x", vec![Expression(r"'\'}'"), Text("x")]),
            (r"${'\\'}x", vec![Expression(r"'\\'"), Text("x")]),
            (r"${r'\'}x", vec![Expression(r"r'\'"), Text("x")]),
            (r"${bR'\'}x", vec![Expression(r"bR'\'"), Text("x")]),
            (r"${ü+r'\'}x", vec![Expression(r"ü+r'\'"), Text("x")]),
            (r"${for'\'}'}x", vec![Expression(r"for'\'}'"), Text("x")]),
            ("${'''it's }'''}x", vec![Expression("'''it's }'''"), Text("x")]),
            (r#"${"""a""}"""}x"#, vec![Expression(r#""""a""}""""#), Text("x")]),
            (r#"${r"""\"""}x"#, vec![Expression(r#"r"""\""""#), Text("x")]),
            ("${''}x", vec![Expression("''"), Text("x")]),
            ("${1 // }\n}x", vec![Expression("1 // }"), Text("x")]),
            ("${6 / 2}", vec![Expression("6 / 2")]),
            ("ü${'ü'}ü", vec![Text("ü"), Expression("'ü'"), Text("ü")]),
        ] {
            assert_eq!(pieces(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn two_dollars_are_one() {
        for (text, expected) in [
            ("$${a}", "${a}"),
            ("a $${HOME}/$${b", "a ${HOME}/${b"),
            ("$$${a}", "$${a}"),
            ("$$ $$x", "$$ $$x"),
            ("$${", "${"),
        ] {
            let pieces = pieces(text).unwrap();
            let texts = pieces.iter().map(|piece| match piece {
                Text(text) => *text,
                Expression(_) => "EXPRESSION",
            });
            assert_eq!(texts.collect::<String>(), expected, "{text}");
        }
        assert_eq!(pieces("$${a}${b}"), Ok(vec![Text("${a}"), Expression("b")]));
        assert_eq!(pieces("${a}${b}"), Ok(vec![Expression("a"), Expression("b")]));
    }

    #[test]
    fn what_does_not_end_is_told_with_its_place() {
        for (text, column) in [
            ("${", 1),
            ("ü${a", 2),
            ("${a} ${'}", 6),
            ("${{}", 1),
            ("${'''}'}", 1),
            (r"${'\'}", 1),
            ("${a // }", 1),
            ("${\"", 1),
            ("${'\\", 1),
        ] {
            assert_eq!(pieces(text), Err(Unclosed { column }), "{text}");
        }
    }
}
