//! Kubernetes quantities: numbers with a unit, such as `500m`, `2` or `10Gi`.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use crate::value::{ParseError, serde_as_text};

/// Nothing finer than this exists: a nano, as in Kubernetes.
const NANOS: i128 = 1_000_000_000;
const EXPECTED: &str = "a quantity, such as 500m, 2 or 10Gi";
/// Beyond these no exponent can lead to a quantity, whatever the digits.
const MAX_EXPONENT: i32 = 60;
const BINARY: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
/// By powers of a thousand, from nano on.
const DECIMAL: [&str; 10] = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"];

/// How a quantity is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Decimal,
    Binary,
    Exponent,
}

/// A Kubernetes quantity, exact: `1Gi`, `1024Mi` and `1073741824` are equal.
///
/// It reads the suffixes `n`, `u`, `m`, `k`, `M`, `G`, `T`, `P`, `E`, `Ki` to `Ei`, and exponents (`1e3`, `5E-2`). What is
/// finer than a nano is rounded away from zero, as Kubernetes does. Beyond ±1.7·10²⁹ a text is no quantity.
///
/// ```
/// # use resource_broker_sdk::quantity::Quantity;
/// # fn main() -> Result<(), resource_broker_sdk::Error> {
/// let size: Quantity = "1.5Gi".parse()?;
/// assert!(size > "1500M".parse()?);
/// assert_eq!(size, "1536Mi".parse()?);
/// assert_eq!(size.value(), 1_610_612_736);
/// assert_eq!(size.to_string(), "1536Mi");
/// assert_eq!("250m".parse::<Quantity>()?.value(), 1, "as in Kubernetes, rounded up");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Quantity {
    nanos: i128,
    form: Form,
}

impl Quantity {
    /// None of it.
    pub const ZERO: Self = Self { nanos: 0, form: Form::Decimal };

    /// So many whole units.
    ///
    /// ```
    /// # use resource_broker_sdk::quantity::Quantity;
    /// assert_eq!(Quantity::new(3).to_string(), "3");
    /// ```
    pub fn new(units: i64) -> Self {
        Self { nanos: i128::from(units) * NANOS, form: Form::Decimal }
    }

    /// In whole units, rounded away from zero as Kubernetes does.
    pub fn value(self) -> i128 {
        self.nanos / NANOS + (self.nanos % NANOS).signum()
    }

    /// In nanos, exactly.
    pub fn nanos(self) -> i128 {
        self.nanos
    }

    /// Whether it is below zero.
    pub fn is_negative(self) -> bool {
        self.nanos < 0
    }

    /// The sum, written as `self` is; `None` if it is too large.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        Some(Self { nanos: self.nanos.checked_add(other.nanos)?, ..self })
    }

    /// The difference, written as `self` is; `None` if it is too large.
    #[must_use]
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        Some(Self { nanos: self.nanos.checked_sub(other.nanos)?, ..self })
    }

    /// `factor` times as much; `None` if that is too much.
    ///
    /// ```
    /// # use resource_broker_sdk::quantity::Quantity;
    /// let disk: Quantity = "500Gi".parse().unwrap();
    /// assert_eq!(disk.checked_mul(3).unwrap().to_string(), "1500Gi");
    /// ```
    #[must_use]
    pub fn checked_mul(self, factor: i64) -> Option<Self> {
        Some(Self { nanos: self.nanos.checked_mul(i128::from(factor))?, ..self })
    }
}

impl FromStr for Quantity {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        parse(text).ok_or_else(|| ParseError::new(text, EXPECTED))
    }
}

fn parse(text: &str) -> Option<Quantity> {
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let end = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
    let (number, suffix) = unsigned.split_at(end);
    let (scale, form) = unit(suffix)?;
    let nanos = scaled(number, scale)?;
    Some(Quantity { nanos: if negative { -nanos } else { nanos }, form })
}

/// What one unit of a suffix is: a power of ten times a number.
#[derive(Clone, Copy)]
struct Scale {
    factor: i128,
    exponent: i32,
}

fn unit(suffix: &str) -> Option<(Scale, Form)> {
    if let Some(power) = BINARY.iter().skip(1).position(|unit| *unit == suffix) {
        return Some((Scale { factor: 1024_i128.pow(u32::try_from(power).ok()? + 1), exponent: 0 }, Form::Binary));
    }
    if let Some(power) = DECIMAL.iter().position(|unit| *unit == suffix) {
        return Some((Scale { factor: 1, exponent: i32::try_from(power).ok()? * 3 - 9 }, Form::Decimal));
    }
    let exponent = suffix.strip_prefix(['e', 'E'])?;
    let digits = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let exponent: i32 = exponent.parse().ok()?;
    (-MAX_EXPONENT..=MAX_EXPONENT).contains(&exponent).then_some((Scale { factor: 1, exponent }, Form::Exponent))
}

/// `number` times `scale` in nanos, rounded up.
fn scaled(number: &str, scale: Scale) -> Option<i128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if fraction.contains('.') || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    let fraction = fraction.trim_end_matches('0');
    let mut digits: i128 = 0;
    let mut lost = false;
    let mut exponent = scale.exponent + 9;
    for (index, digit) in whole.bytes().chain(fraction.bytes()).enumerate() {
        let in_fraction = index >= whole.len();
        let next = digits.checked_mul(10).and_then(|digits| digits.checked_add(i128::from(digit - b'0')));
        // What is far behind the point decides at most how it is rounded.
        match next.filter(|next| !in_fraction || next.checked_mul(scale.factor).is_some()) {
            Some(next) => digits = next,
            None if in_fraction => {
                lost |= digit != b'0';
                continue;
            }
            None => return None,
        }
        if in_fraction {
            exponent -= 1;
        }
    }
    shift(digits.checked_mul(scale.factor)?, exponent, lost)
}

/// `number` times ten to the `exponent`, rounded up; `lost` if there was more behind it.
fn shift(number: i128, exponent: i32, lost: bool) -> Option<i128> {
    if number == 0 {
        return Some(i128::from(lost));
    }
    if exponent >= 0 {
        return number.checked_mul(10_i128.checked_pow(exponent.unsigned_abs())?)?.checked_add(i128::from(lost));
    }
    let Some(divisor) = 10_i128.checked_pow(exponent.unsigned_abs()) else { return Some(1) };
    Some(number / divisor + i128::from(number % divisor != 0 || lost))
}

impl fmt::Display for Quantity {
    /// As Kubernetes writes it: whole, with the largest suffix that allows it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let binary = self.form == Form::Binary && self.nanos % NANOS == 0 && (self.nanos / NANOS).abs() >= 1024;
        let (mut number, base, units) =
            if binary { (self.nanos / NANOS, 1024, BINARY.as_slice()) } else { (self.nanos, 1000, DECIMAL.as_slice()) };
        let mut unit = if number == 0 { 3 } else { 0 };
        while number != 0 && number % base == 0 && unit + 1 < units.len() {
            number /= base;
            unit += 1;
        }
        match self.form {
            Form::Exponent if unit != 3 => write!(f, "{number}e{}", (unit * 3).cast_signed() - 9),
            Form::Exponent | Form::Decimal | Form::Binary => write!(f, "{number}{}", units[unit]),
        }
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nanos == other.nanos
    }
}

impl Eq for Quantity {}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.nanos.cmp(&other.nanos)
    }
}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Hash for Quantity {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.nanos.hash(state);
    }
}

serde_as_text!(Quantity);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn quantity(text: &str) -> Quantity {
        text.parse().unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn every_suffix_has_its_size() {
        for (text, nanos) in [
            ("1n", 1),
            ("1u", 1_000),
            ("1m", 1_000_000),
            ("1", NANOS),
            ("1k", 1_000 * NANOS),
            ("1M", 1_000_000 * NANOS),
            ("1G", 1_000_000_000 * NANOS),
            ("1T", 1_000_000_000_000 * NANOS),
            ("1P", 1_000_000_000_000_000 * NANOS),
            ("1E", 1_000_000_000_000_000_000 * NANOS),
            ("1Ki", 1024 * NANOS),
            ("1Mi", 1024_i128.pow(2) * NANOS),
            ("1Gi", 1024_i128.pow(3) * NANOS),
            ("1Ti", 1024_i128.pow(4) * NANOS),
            ("1Pi", 1024_i128.pow(5) * NANOS),
            ("1Ei", 1024_i128.pow(6) * NANOS),
            ("1e3", 1_000 * NANOS),
            ("1E3", 1_000 * NANOS),
            ("15e-1", 1_500_000_000),
            ("-1.5", -1_500_000_000),
            ("+.5", 500_000_000),
            ("5.", 5 * NANOS),
            ("007", 7 * NANOS),
            ("0", 0),
            ("-0", 0),
            ("0.1Ki", 102_400_000_000),
        ] {
            assert_eq!(quantity(text).nanos(), nanos, "{text}");
        }
    }

    #[test]
    fn what_is_finer_than_a_nano_is_rounded_away_from_zero() {
        for (text, nanos) in [
            ("1.5n", 2),
            ("-1.5n", -2),
            ("0.0000000001", 1),
            ("1e-60", 1),
            ("0e-60", 0),
            ("1.0000000000000000000000000000000000000000000000000", NANOS),
            ("1.0000000000000000000000000000000000000000000000001", NANOS + 1),
            ("0.1000000000000000000000000000000000001Ei", 115_292_150_460_684_697_600_000_001),
        ] {
            assert_eq!(quantity(text).nanos(), nanos, "{text}");
        }
    }

    #[test]
    fn other_texts_are_no_quantities() {
        for text in [
            "",
            " 1",
            "1 ",
            "Gi",
            ".",
            "-",
            "--1",
            "1.2.3",
            "1GB",
            "1gi",
            "1K",
            "1ki",
            "1Gib",
            "1e",
            "1e+",
            "1e3Ki",
            "1e61",
            "1,5",
            "0x10",
            "NaN",
            "inf",
            "1E30",
            "999999999999999999999999999999999999999",
            "٣",
        ] {
            assert!(text.parse::<Quantity>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn quantities_are_written_as_kubernetes_does() {
        for (text, expected) in [
            ("1.5Gi", "1536Mi"),
            ("1024Ki", "1Mi"),
            ("1025Ki", "1025Ki"),
            ("0.5Ki", "512"),
            ("0.5", "500m"),
            ("2000", "2k"),
            ("1500", "1500"),
            ("1e3", "1e3"),
            ("1500e3", "1500e3"),
            ("0.25e0", "250e-3"),
            ("0", "0"),
            ("-1536Mi", "-1536Mi"),
            ("-2000m", "-2"),
        ] {
            assert_eq!(quantity(text).to_string(), expected, "{text}");
        }
    }

    #[test]
    fn whole_units_are_rounded_away_from_zero() {
        for (text, value) in [("1m", 1), ("-1m", -1), ("1", 1), ("1.0001k", 1001), ("0", 0)] {
            assert_eq!(quantity(text).value(), value, "{text}");
        }
    }

    #[test]
    fn sums_do_not_wrap() {
        let large = quantity("100000000000E");
        assert_eq!(large.checked_mul(1_000_000_000), None);
        assert_eq!(quantity("1Gi").checked_add(quantity("512Mi")), Some(quantity("1.5Gi")));
        assert_eq!(quantity("1").checked_sub(quantity("2")), Some(quantity("-1")));
    }

    #[test]
    fn serde_takes_texts_and_numbers() {
        let read: Vec<Quantity> = serde_json::from_value(json!(["1.5Gi", 2, 0.5, -3])).unwrap();
        assert_eq!(serde_json::to_value(read).unwrap(), json!(["1536Mi", "2", "500m", "-3"]));
        for wrong in [json!("big"), json!([1]), json!(null), json!({})] {
            assert!(serde_json::from_value::<Quantity>(wrong.clone()).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(number in any::<i64>(), suffix in 0..DECIMAL.len() + BINARY.len()) {
            let units: Vec<&str> = DECIMAL.into_iter().chain(BINARY).collect();
            // A tera of the largest numbers is too much.
            let number = if suffix > 6 { number >> 40 } else { number };
            let read = quantity(&format!("{number}{}", units[suffix]));
            prop_assert_eq!(quantity(&read.to_string()), read);
        }

        #[test]
        fn no_text_panics(text in "[-+0-9.eEkKMGTPinum]{0,50}") {
            let _ = text.parse::<Quantity>();
        }

        #[test]
        fn order_is_that_of_the_numbers(left in -10_000_i64..10_000, right in -10_000_i64..10_000) {
            let milli = |number: i64| quantity(&format!("{number}m"));
            prop_assert_eq!(milli(left).cmp(&milli(right)), left.cmp(&right));
            prop_assert_eq!(milli(left), quantity(&format!("{left}e-3")));
        }
    }
}
