//! Whether operands fit what they are given to, and what to say if they do not.

use super::kinds::{Kinds, Overload};

/// An operator or function where it is used.
pub(super) struct Usage<'u> {
    /// As it is written.
    pub(super) name: &'u str,
    pub(super) overloads: &'static [Overload],
    pub(super) style: Style,
}

/// How operands are written.
pub(super) enum Style {
    /// Around the operator.
    Operator,
    /// In brackets.
    Function,
    /// One before the dot, and the others in brackets.
    Member,
}

impl Usage<'_> {
    /// What comes of operands of these kinds; or else what is wrong with them.
    pub(super) fn gives(&self, operands: &[Kinds]) -> Result<Kinds, String> {
        let name = self.name;
        let fitting =
            self.overloads.iter().filter(|overload| overload.takes.len() == operands.len()).collect::<Vec<_>>();
        if self.overloads.is_empty() {
            return match self.style {
                Style::Member => Err(format!("{name} is called before its arguments, as {name}(…)")),
                Style::Operator | Style::Function => Err(format!("{name} is called on a value, as VALUE.{name}(…)")),
            };
        }
        if fitting.is_empty() {
            return Err(self.count(operands.len()));
        }
        for (at, operand) in operands.iter().enumerate() {
            let takes = fitting.iter().fold(Kinds::NONE, |takes, overload| takes.or(overload.takes[at]));
            if !operand.meets(takes) {
                let place = self.place(at, operands.len());
                return Err(format!("{name} {place} {takes}, not {operand}"));
            }
        }
        let meets = |overload: &&&Overload| operands.iter().zip(overload.takes).all(|(is, takes)| is.meets(*takes));
        let gives = fitting.iter().filter(meets).fold(Kinds::NONE, |gives, overload| gives.or(overload.gives));
        if gives == Kinds::NONE {
            let operands = operands.iter().map(ToString::to_string).collect::<Vec<_>>();
            return Err(format!("{name} does not work on {}", operands.join(" and ")));
        }
        Ok(gives)
    }

    /// How many operands there should be.
    fn count(&self, found: usize) -> String {
        let before = usize::from(matches!(self.style, Style::Member));
        let mut counts = self.overloads.iter().map(|overload| overload.takes.len() - before).collect::<Vec<_>>();
        counts.dedup();
        let counts = counts.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ");
        let plural = if counts == "1" { "" } else { "s" };
        format!("{} takes {counts} argument{plural}, not {}", self.name, found - before)
    }

    /// Where an operand stands, as the beginning of what it should be.
    fn place(&self, at: usize, count: usize) -> String {
        match (&self.style, at) {
            (Style::Operator, _) if count == 1 => "works on".to_owned(),
            (Style::Operator, 0) => "takes on its left".to_owned(),
            (Style::Operator, _) => "takes on its right".to_owned(),
            (Style::Member, 0) => "is called on".to_owned(),
            (Style::Member, at) if count > 2 => format!("takes as argument {at}"),
            (Style::Function, at) if count > 1 => format!("takes as argument {}", at + 1),
            (Style::Member | Style::Function, _) => "takes".to_owned(),
        }
    }
}
