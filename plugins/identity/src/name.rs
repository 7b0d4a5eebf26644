//! The DNS names that a certificate can be for.

use std::fmt;

use idna::AsciiDenyList;
use idna::uts46::{DnsLength, Hyphens, Uts46};
use thiserror::Error;

/// How long a name may be as text, in bytes (RFC 1035, without the last dot).
const MAX_NAME: usize = 253;
/// How long one label may be, in bytes.
const MAX_LABEL: usize = 63;

/// A DNS name, read and in the form in which names are compared: ASCII, lower case, without a dot at its end. Labels with
/// other letters are in their `xn--` form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    wildcard: bool,
    /// From left to right, without the wildcard.
    labels: Vec<String>,
}

/// Why a text is no name for a certificate; a sentence's rest, after "the name".
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NameError {
    /// Nothing is there.
    #[error("is empty")]
    Empty,
    /// A URL, or a name with a port or a path.
    #[error("is more than a name: leave out the scheme, the port and the path")]
    NotJustAName,
    /// Digits where the top-level domain should be.
    #[error("looks like an IP address: a name ends in a domain, such as example.org")]
    Address,
    /// Too long as a whole.
    #[error("has {0} characters in its ASCII form; at most {MAX_NAME} are possible")]
    TooLong(usize),
    /// Two dots with nothing between them, or one at the beginning.
    #[error("has an empty label: two dots together, or one at its beginning")]
    EmptyLabel,
    /// One label is too long.
    #[error("has a label of {length} characters in its ASCII form ({label}); at most {MAX_LABEL} are possible")]
    LabelTooLong {
        /// The label as it was written.
        label: String,
        /// Its length as ASCII.
        length: usize,
    },
    /// A star that does not stand for the whole first label.
    #[error("has a * elsewhere than as its whole first label: a wildcard is written *.example.org")]
    Star,
    /// A character that no host's name has.
    #[error("has {character:?} in the label {label:?}; a label has letters, digits and hyphens")]
    Character {
        /// The label as it was written.
        label: String,
        /// The first such character.
        character: char,
    },
    /// A hyphen at an end of a label.
    #[error("has the label {0:?}, which begins or ends with a hyphen")]
    Hyphen(String),
    /// Hyphens where only an encoded label has them, or an encoding that says nothing.
    #[error("has the label {0:?}, which is no valid internationalised label")]
    Encoding(String),
}

impl Name {
    /// Reads a name as a person writes it: any case, other letters than ASCII's, a dot at its end.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong with it.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if text.is_empty() || text == "." {
            return Err(NameError::Empty);
        }
        if text.contains(['/', ':', '@']) {
            return Err(NameError::NotJustAName);
        }
        let text = text.strip_suffix(is_dot).unwrap_or(text);
        let (wildcard, rest) = match text.strip_prefix('*') {
            Some("") => return Err(NameError::Star),
            Some(rest) => (true, rest.strip_prefix(is_dot).ok_or(NameError::Star)?),
            None => (false, text),
        };
        let labels = rest.split(is_dot).map(read_label).collect::<Result<Vec<_>, _>>()?;
        if labels.last().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit())) {
            return Err(NameError::Address);
        }
        let name = Self { wildcard, labels };
        let length = name.to_string().len();
        if length > MAX_NAME { Err(NameError::TooLong(length)) } else { Ok(name) }
    }

    /// Whether it stands for every name with one label more than [`base`](Self::base).
    pub fn is_wildcard(&self) -> bool {
        self.wildcard
    }

    /// The labels from left to right, without a wildcard.
    pub fn base(&self) -> &[String] {
        &self.labels
    }

    /// How many labels it has, a wildcard included.
    pub fn count(&self) -> usize {
        self.labels.len() + usize::from(self.wildcard)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.wildcard {
            f.write_str("*.")?;
        }
        f.write_str(&self.labels.join("."))
    }
}

/// The characters that separate labels, as people with other keyboards type them (RFC 3490).
fn is_dot(character: char) -> bool {
    matches!(character, '.' | '\u{3002}' | '\u{ff0e}' | '\u{ff61}')
}

fn read_label(written: &str) -> Result<String, NameError> {
    if written.is_empty() {
        return Err(NameError::EmptyLabel);
    }
    // Nothing longer can fit, and a stranger's text is not worth more work.
    if written.chars().count() > MAX_NAME {
        return Err(NameError::LabelTooLong { label: written.to_owned(), length: written.len() });
    }
    if written.contains('*') {
        return Err(NameError::Star);
    }
    let allowed = |character: &char| character.is_ascii_alphanumeric() || *character == '-' || !character.is_ascii();
    if let Some(character) = written.chars().find(|character| !allowed(character)) {
        return Err(NameError::Character { label: written.to_owned(), character });
    }
    if written.starts_with('-') || written.ends_with('-') {
        return Err(NameError::Hyphen(written.to_owned()));
    }
    let label = to_ascii(written).ok_or_else(|| NameError::Encoding(written.to_owned()))?;
    if label.len() > MAX_LABEL {
        return Err(NameError::LabelTooLong { label: written.to_owned(), length: label.len() });
    }
    Ok(label)
}

/// The label in lower case and ASCII by UTS 46; `None` if it has none, as a bad `xn--` label and one with a character that
/// no domain has.
fn to_ascii(label: &str) -> Option<String> {
    let reserved = label.get(2..4) == Some("--") && !label.get(..2)?.eq_ignore_ascii_case("xn");
    if reserved {
        return None;
    }
    let ascii = Uts46::new()
        .to_ascii(label.as_bytes(), AsciiDenyList::STD3, Hyphens::CheckFirstLast, DnsLength::Ignore)
        .ok()?;
    // Some characters stand for several, among them dots.
    (!ascii.is_empty() && !ascii.contains('.')).then(|| ascii.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(text: &str) -> String {
        Name::parse(text).map_or_else(|error| format!("! {error}"), |name| name.to_string())
    }

    #[test]
    fn names_are_compared_in_one_form() {
        for (text, expected) in [
            ("WWW.Corp.COM", "www.corp.com"),
            ("www.corp.com.", "www.corp.com"),
            ("*.Corp.com", "*.corp.com"),
            ("Bücher.example", "xn--bcher-kva.example"),
            ("BÜCHER。example", "xn--bcher-kva.example"),
            ("bu\u{308}cher.example", "xn--bcher-kva.example"),
            ("ｗｗｗ.example", "www.example"),
            ("xn--bcher-kva.EXAMPLE", "xn--bcher-kva.example"),
            ("XN--BCHER-KVA.example", "xn--bcher-kva.example"),
            ("a-1.b--c.example", "a-1.b--c.example"),
            ("localhost", "localhost"),
            ("1.example", "1.example"),
        ] {
            assert_eq!(canonical(text), expected, "{text}");
        }
        assert_eq!(Name::parse("*.corp.com").map(|name| name.count()), Ok(3));
        assert_eq!(Name::parse("corp.com").map(|name| name.count()), Ok(2));
    }

    #[test]
    fn what_is_no_name_is_refused_for_what_it_is() {
        let long_label = "a".repeat(64);
        let long_name = format!("{}com", "a.".repeat(126));
        for (text, expected) in [
            ("", NameError::Empty),
            (".", NameError::Empty),
            ("https://corp.com", NameError::NotJustAName),
            ("corp.com:443", NameError::NotJustAName),
            ("10.0.0.1", NameError::Address),
            ("::1", NameError::NotJustAName),
            ("a..b", NameError::EmptyLabel),
            (".corp.com", NameError::EmptyLabel),
            ("corp.com..", NameError::EmptyLabel),
            ("*", NameError::Star),
            ("*corp.com", NameError::Star),
            ("f*.corp.com", NameError::Star),
            ("a.*.corp.com", NameError::Star),
            ("*.*.corp.com", NameError::Star),
            ("**.corp.com", NameError::Star),
            ("a_b.corp.com", NameError::Character { label: "a_b".to_owned(), character: '_' }),
            ("a b.corp.com", NameError::Character { label: "a b".to_owned(), character: ' ' }),
            ("ü b.corp.com", NameError::Character { label: "ü b".to_owned(), character: ' ' }),
            ("a℀b.corp.com", NameError::Encoding("a℀b".to_owned())),
            ("a💩.corp\u{fffd}.com", NameError::Encoding("corp\u{fffd}".to_owned())),
            ("-a.corp.com", NameError::Hyphen("-a".to_owned())),
            ("a-.corp.com", NameError::Hyphen("a-".to_owned())),
            ("ab--c.corp.com", NameError::Encoding("ab--c".to_owned())),
            ("xn--a.corp.com", NameError::Encoding("xn--a".to_owned())),
            ("xn--99999999.corp.com", NameError::Encoding("xn--99999999".to_owned())),
            (&long_label, NameError::LabelTooLong { label: long_label.clone(), length: 64 }),
            (&long_name, NameError::TooLong(255)),
        ] {
            assert_eq!(Name::parse(text), Err(expected), "{text}");
        }
    }

    #[test]
    fn the_longest_names_are_names() {
        assert!(Name::parse(&format!("{}.com", "a".repeat(63))).is_ok());
        assert!(Name::parse(&format!("{}a", "a.".repeat(126))).is_ok());
        assert!(matches!(Name::parse(&"ü".repeat(1_000_000)), Err(NameError::LabelTooLong { .. })));
    }
}
