//! Patterns with stars, as people write them for names.

use std::fmt;

use serde::Deserialize;

/// How long a pattern may be, so that matching it stays cheap.
const LONGEST: usize = 256;

/// A pattern in which `*` stands for any characters, also none: `eu-*`. Case does not count.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Glob(String);

impl Glob {
    /// Whether the text as a whole is like the pattern.
    pub fn is_match(&self, text: &str) -> bool {
        is_match(&self.0, &text.to_lowercase())
    }
}

/// Whether a text as a whole is like a pattern, both in lower case.
pub fn is_match(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut at, mut seen) = (0, 0);
    // Where the last star stands, and up to where it has swallowed the text.
    let mut star = None;
    while seen < text.len() {
        match (pattern.get(at), star) {
            (Some(b'*'), _) => {
                star = Some((at, seen));
                at += 1;
            }
            (Some(byte), _) if *byte == text[seen] => {
                at += 1;
                seen += 1;
            }
            (_, Some((star_at, swallowed))) => {
                star = Some((star_at, swallowed + 1));
                at = star_at + 1;
                seen = swallowed + 1;
            }
            (_, None) => return false,
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

impl TryFrom<String> for Glob {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let length = text.len();
        if text.is_empty() || length > LONGEST {
            return Err(format!("a pattern has from 1 to {LONGEST} characters, not {length}; * stands for anything"));
        }
        Ok(Self(text.to_lowercase()))
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Patterns for a message, separated by commas.
pub fn list(patterns: &[Glob]) -> String {
    patterns.iter().map(|Glob(text)| text.as_str()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_match(pattern: &str, text: &str) -> bool {
        Glob::try_from(pattern.to_owned()).unwrap().is_match(text)
    }

    #[test]
    fn a_star_stands_for_anything() {
        for (pattern, text, expected) in [
            ("eu-*", "eu-west-1", true),
            ("EU-*", "eu-", true),
            ("eu-*", "EU-West-1", true),
            ("eu-*", "eu", false),
            ("eu-*", "us-eu-1", false),
            ("*-1", "eu-west-1", true),
            ("*-1", "eu-west-12", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("*", "", true),
            ("**", "x", true),
            ("x", "", false),
            ("x*", "x", true),
            ("straße", "STRASSE", false),
            ("é*", "Été", true),
        ] {
            assert_eq!(is_match(pattern, text), expected, "{pattern} and {text}");
        }
    }

    #[test]
    fn it_is_no_more_than_the_square() {
        let pattern = format!("{}b", "a*".repeat(100));
        assert!(!is_match(&pattern, &"a".repeat(100_000)));
    }

    #[test]
    fn what_is_no_pattern() {
        assert!(Glob::try_from(String::new()).is_err());
        assert!(Glob::try_from("a".repeat(257)).is_err());
    }
}
