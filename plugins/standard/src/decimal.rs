//! Decimal numbers of any size, compared exactly.

use std::cmp::Ordering;

/// How many digits an exponent may have; larger ones are no number that anybody means.
const EXPONENT_DIGITS: usize = 9;

/// A decimal number: `0.DIGITS * 10^exponent`, without leading or trailing zeros among the digits. Zero has no digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decimal {
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
