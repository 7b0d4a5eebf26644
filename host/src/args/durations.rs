//! Durations as Go writes them: `10s`, `1h30m`, `1.5h`, `300ms`, `0`.

use std::time::Duration;

use super::{Result, UsageError};

/// The longest that may be given: years, so that sums with the clock cannot overflow.
const LONGEST: f64 = 100.0 * 365.0 * 24.0 * 3600.0;

/// Reads the duration of a flag.
pub(super) fn duration(flag: &str, text: &str) -> Result<Duration> {
    parse(text).map_err(|what| UsageError(format!("{flag}={text}: {what}")))
}

/// Reads a duration, and says what is wrong with one that cannot be read.
pub(crate) fn parse(text: &str) -> std::result::Result<Duration, String> {
    const FORM: &str = "write it as 10s, 1m30s or 24h";
    if text.starts_with('-') {
        return Err(format!("a time cannot be negative; {FORM}"));
    }
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.is_empty() {
        return Err(format!("no time is given; {FORM}"));
    }
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, tail) = rest.split_at(digits);
        let unit_ends = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_ends);
        let number: f64 = number.parse().map_err(|_| format!("not a time; {FORM}"))?;
        let unit = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            "" => return Err(format!("the unit is missing; {FORM}")),
            other => return Err(format!("{other:?} is not a unit of time (h, m, s, ms); {FORM}")),
        };
        seconds += number * unit;
        rest = tail;
    }
    if seconds > LONGEST {
        return Err("longer than a hundred years".to_owned());
    }
    Duration::try_from_secs_f64(seconds).map_err(|_| format!("not a time; {FORM}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_reads_them() {
        for (text, millis) in [
            ("10s", 10_000),
            ("1m30s", 90_000),
            ("1.5h", 5_400_000),
            ("300ms", 300),
            ("0", 0),
            ("+2s", 2000),
            (".5s", 500),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, what) in [
            ("10", "the unit is missing"),
            ("", "no time is given"),
            ("-1s", "cannot be negative"),
            ("1d", "\"d\" is not a unit"),
            ("soon", "not a time"),
            ("1.2.3s", "not a time"),
            ("10000000h", "hundred years"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(what), "{text}: {error}");
        }
    }
}
