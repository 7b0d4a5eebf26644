//! Durations as Kubernetes and Go write them, such as `1h30m`.

use std::fmt;
use std::str::FromStr;

use crate::value::{ParseError, serde_as_text};

const EXPECTED: &str = "a duration, such as 90s, 1h30m or 250ms";
const SECOND: i64 = 1_000_000_000;
/// Longer units before those that they begin with.
const UNITS: [(&str, i64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", SECOND),
    ("m", 60 * SECOND),
    ("h", 3600 * SECOND),
];

/// A span of time in nanoseconds, up to some 292 years either way.
///
/// It reads what Go's `time.ParseDuration` reads: numbers with the units `ns`, `us`, `ms`, `s`, `m` and `h`, one after the
/// other, with a sign in front. There are no days: they do not all have 24 hours.
///
/// ```
/// # use resource_broker_sdk::duration::Duration;
/// # fn main() -> Result<(), resource_broker_sdk::Error> {
/// let retention: Duration = "1h30m".parse()?;
/// assert_eq!(retention.seconds(), 5400);
/// assert_eq!(retention, "90m".parse()?);
/// assert_eq!(retention.to_string(), "1h30m0s");
/// assert!("7d".parse::<Duration>().unwrap_err().to_string().contains("write days as hours"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration {
    nanos: i64,
}

impl Duration {
    /// No time at all.
    pub const ZERO: Self = Self { nanos: 0 };

    /// So many nanoseconds.
    pub const fn from_nanos(nanos: i64) -> Self {
        Self { nanos }
    }

    /// So many seconds; `None` beyond some 292 years.
    pub fn from_seconds(seconds: i64) -> Option<Self> {
        Some(Self { nanos: seconds.checked_mul(SECOND)? })
    }

    /// In nanoseconds.
    pub const fn nanos(self) -> i64 {
        self.nanos
    }

    /// In whole seconds; what is left over is dropped.
    pub const fn seconds(self) -> i64 {
        self.nanos / SECOND
    }

    /// Whether it is below zero.
    pub const fn is_negative(self) -> bool {
        self.nanos < 0
    }

    /// The sum; `None` if it is too long.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        Some(Self { nanos: self.nanos.checked_add(other.nanos)? })
    }

    /// `factor` times as long; `None` if that is too long.
    #[must_use]
    pub fn checked_mul(self, factor: i64) -> Option<Self> {
        Some(Self { nanos: self.nanos.checked_mul(factor)? })
    }
}

impl FromStr for Duration {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        parse(text).ok_or_else(|| {
            let days = text.strip_suffix(['d', 'w']).is_some_and(|rest| rest.ends_with(|c: char| c.is_ascii_digit()));
            let hint = if days { "; write days as hours, such as 168h" } else { "" };
            ParseError::new(text, &format!("{EXPECTED}{hint}"))
        })
    }
}

fn parse(text: &str) -> Option<Duration> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    if rest.is_empty() {
        return None;
    }
    let mut nanos: i128 = 0;
    while !rest.is_empty() {
        let (part, after) = parse_part(rest)?;
        nanos = nanos.checked_add(part)?;
        rest = after;
    }
    Some(Duration { nanos: i64::try_from(sign * nanos).ok()? })
}

/// A number and its unit at the beginning of a text: the nanoseconds, and what follows.
fn parse_part(text: &str) -> Option<(i128, &str)> {
    let (number, rest) = text.split_at(text.find(|c: char| !c.is_ascii_digit() && c != '.')?);
    let (unit, rest) = rest.split_at(rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len()));
    let unit = i128::from(UNITS.iter().find(|(name, _)| *name == unit)?.1);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if fraction.contains('.') || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    let mut nanos = if whole.is_empty() { 0 } else { whole.parse::<u64>().ok().map(i128::from)? * unit };
    let mut share = unit;
    // Finer than a nanosecond counts for nothing.
    let mut below: i128 = 0;
    for digit in fraction.bytes().take(18) {
        share *= 10;
        below = below * 10 + i128::from(digit - b'0');
    }
    nanos += below * unit / (share / unit);
    Some((nanos, rest))
}

impl fmt::Display for Duration {
    /// As Go writes it: `1h30m0s`, `1.5s`, `250ms`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.nanos.unsigned_abs();
        if self.nanos < 0 {
            f.write_str("-")?;
        }
        let second = SECOND.unsigned_abs();
        let (unit, name) = match nanos {
            0 => return f.write_str("0s"),
            1..1_000 => (1, "ns"),
            1_000..1_000_000 => (1_000, "µs"),
            _ if nanos < second => (1_000_000, "ms"),
            _ => (second, "s"),
        };
        let (mut whole, fraction) = (nanos / unit, nanos % unit);
        if unit == second {
            let (hours, minutes) = (whole / 3600, whole / 60 % 60);
            whole %= 60;
            if hours > 0 {
                write!(f, "{hours}h")?;
            }
            if hours > 0 || minutes > 0 {
                write!(f, "{minutes}m")?;
            }
        }
        write!(f, "{whole}")?;
        if fraction > 0 {
            let width = unit.ilog10() as usize;
            write!(f, ".{}", format!("{fraction:0width$}").trim_end_matches('0'))?;
        }
        f.write_str(name)
    }
}

serde_as_text!(Duration);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_are_read_as_go_does() {
        for (text, nanos) in [
            ("0", 0),
            ("+0", 0),
            ("1ns", 1),
            ("1us", 1_000),
            ("1µs", 1_000),
            ("1μs", 1_000),
            ("1ms", 1_000_000),
            ("1s", SECOND),
            ("1m", 60 * SECOND),
            ("1h", 3600 * SECOND),
            ("1h30m", 5400 * SECOND),
            ("-1.5h", -5400 * SECOND),
            (".5s", SECOND / 2),
            ("1.s", SECOND),
            ("1m0.000000001s", 60 * SECOND + 1),
            ("0.3333333333333333333h", 1_199_999_999_999),
            ("1.0000000001s", SECOND),
            ("9223372036854775807ns", i64::MAX),
            ("-9223372036854775808ns", i64::MIN),
        ] {
            let read: Duration = text.parse().unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(read.nanos(), nanos, "{text}");
        }
    }

    #[test]
    fn other_texts_are_no_durations() {
        for text in [
            "",
            "-",
            "1",
            "h",
            "1.2.3s",
            ".s",
            "1 h",
            "1h 30m",
            "1H",
            "1d",
            "PT1H",
            "1e3s",
            "9223372036854775808ns",
            "3000000h",
        ] {
            assert!(text.parse::<Duration>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn durations_are_written_as_go_does() {
        for (nanos, expected) in [
            (0, "0s"),
            (1, "1ns"),
            (1_500, "1.5µs"),
            (250_000_000, "250ms"),
            (SECOND, "1s"),
            (-90 * SECOND, "-1m30s"),
            (3600 * SECOND, "1h0m0s"),
            (3600 * SECOND + 1_000_000, "1h0m0.001s"),
            (i64::MIN, "-2562047h47m16.854775808s"),
        ] {
            assert_eq!(Duration::from_nanos(nanos).to_string(), expected);
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(nanos in any::<i64>()) {
            for nanos in [nanos, nanos >> 20, nanos >> 40] {
                let duration = Duration::from_nanos(nanos);
                prop_assert_eq!(duration.to_string().parse(), Ok(duration));
            }
        }

        #[test]
        fn no_text_panics(text in "[-+0-9.hmsnuµ]{0,40}") {
            let _ = text.parse::<Duration>();
        }
    }
}
