//! Decimal numbers of any size, compared exactly.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use crate::value::{ParseError, serde_as_text};

/// How many digits an exponent may have; larger ones are no number that anybody means.
const EXPONENT_DIGITS: usize = 9;
/// How many zeros are written before a number gets an exponent.
const ZEROS: usize = 20;

/// A decimal number of any size, compared exactly.
///
/// ```
/// # use resource_broker_sdk::decimal::Decimal;
/// # fn main() -> Result<(), resource_broker_sdk::Error> {
/// let large: Decimal = "9007199254740993".parse()?;
/// assert!(large > "9007199254740992".parse()?);
/// assert_eq!("1.50".parse::<Decimal>()?, "15e-1".parse()?);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decimal {
    // The number is 0.DIGITS times ten to the exponent, without leading or trailing zeros; zero has no digits.
    negative: bool,
    digits: Vec<u8>,
    exponent: i64,
}

impl Decimal {
    /// Reads a number such as `16`, `-0.5`, `+3` or `1.5e3`; `None` if the text is anything else, as are `16Gi`, `NaN`, an
    /// empty text and a text with spaces.
    pub fn parse(text: &str) -> Option<Self> {
        let (negative, unsigned) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, parse_exponent(exponent)?),
            None => (unsigned, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        Self::normalised(negative, &digits, exponent.checked_add(i64::try_from(whole.len()).ok()?)?)
    }

    fn normalised(negative: bool, digits: &[u8], exponent: i64) -> Option<Self> {
        let Some(first) = digits.iter().position(|digit| *digit != b'0') else {
            return Some(Self { negative: false, digits: Vec::new(), exponent: 0 });
        };
        let last = digits.iter().rposition(|digit| *digit != b'0').unwrap_or(first);
        Some(Self {
            negative,
            digits: digits[first..=last].to_vec(),
            exponent: exponent.checked_sub(i64::try_from(first).ok()?)?,
        })
    }

    fn sign(&self) -> i8 {
        match (self.digits.is_empty(), self.negative) {
            (true, _) => 0,
            (false, true) => -1,
            (false, false) => 1,
        }
    }
}

fn parse_exponent(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || digits.len() > EXPONENT_DIGITS || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

impl FromStr for Decimal {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::parse(text).ok_or_else(|| ParseError::new(text, "a number"))
    }
}

impl fmt::Display for Decimal {
    /// Without an exponent as long as that is readable.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits: String = self.digits.iter().copied().map(char::from).collect();
        let sign = if self.negative { "-" } else { "" };
        let (before, zeros) = match usize::try_from(self.exponent) {
            Ok(before) => (before, before.saturating_sub(digits.len())),
            Err(_) => (0, usize::try_from(self.exponent.unsigned_abs()).unwrap_or(usize::MAX)),
        };
        if digits.is_empty() {
            f.write_str("0")
        } else if zeros > ZEROS {
            write!(f, "{sign}0.{digits}e{}", self.exponent)
        } else if before >= digits.len() {
            write!(f, "{sign}{digits}{}", "0".repeat(zeros))
        } else if before > 0 {
            write!(f, "{sign}{}.{}", &digits[..before], &digits[before..])
        } else {
            write!(f, "{sign}0.{}{digits}", "0".repeat(zeros))
        }
    }
}

serde_as_text!(Decimal);

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        self.sign().cmp(&other.sign()).then_with(|| {
            let magnitude = self.exponent.cmp(&other.exponent).then_with(|| self.digits.cmp(&other.digits));
            if self.negative { magnitude.reverse() } else { magnitude }
        })
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(text: &str) -> Decimal {
        Decimal::parse(text).unwrap_or_else(|| panic!("{text} is a number"))
    }

    #[test]
    fn numbers_are_ordered_by_value() {
        let ordered = [
            "-1e999999999",
            "-100",
            "-99.5",
            "-1.1",
            "-1",
            "-0.05",
            "0",
            "1e-999999999",
            "0.001",
            "0.01",
            "0.5",
            "1",
            "1.000000000000000000000001",
            "9.99",
            "10",
            "15",
            "150",
            "9007199254740992",
            "9007199254740993",
            "18446744073709551616",
            "1e100",
        ];
        for (left_index, left) in ordered.iter().enumerate() {
            for (right_index, right) in ordered.iter().enumerate() {
                let (left_value, right_value) = (decimal(left), decimal(right));
                assert_eq!(left_value.cmp(&right_value), left_index.cmp(&right_index), "{left} against {right}");
            }
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        for (text, expected) in [
            ("0", "0"),
            ("-0.0", "0"),
            ("16", "16"),
            ("-1600", "-1600"),
            ("1.50", "1.5"),
            ("0.05", "0.05"),
            ("-.5", "-0.5"),
            ("12.5e1", "125"),
            ("1e30", "0.1e31"),
            ("1e-30", "0.1e-29"),
            ("18446744073709551617", "18446744073709551617"),
        ] {
            let written = decimal(text).to_string();
            assert_eq!(written, expected);
            assert_eq!(decimal(&written), decimal(text));
        }
    }

    #[test]
    fn one_value_has_many_spellings() {
        for (left, right) in [
            ("0", "-0"),
            ("0", "0.00e5"),
            ("1", "1.0"),
            ("1", "+1"),
            ("007", "7"),
            ("1500", "1.5e3"),
            ("0.015", "15E-3"),
            ("100", "1e+2"),
            (".5", "0.5"),
            ("5.", "5"),
        ] {
            assert_eq!(decimal(left), decimal(right), "{left} and {right}");
        }
    }

    #[test]
    fn other_texts_are_no_numbers() {
        for text in [
            "",
            " 1",
            "1 ",
            "16Gi",
            "0x10",
            "1_000",
            "1,5",
            "1.2.3",
            "--1",
            "+-1",
            "-",
            ".",
            "e5",
            "1e",
            "1e+",
            "1e1.5",
            "1e9999999999",
            "NaN",
            "inf",
            "true",
            "٣",
        ] {
            assert_eq!(Decimal::parse(text), None, "{text:?}");
        }
    }
}
