//! Values that people write in flags: durations as Go writes them (`10s`, `1h30m`, `1.5h`, `300ms`, `0`), and names.

use std::time::Duration;

/// The longest name of an object, in bytes.
const MAX_NAME: usize = 253;

/// The longest that may be given: years, so that sums with the clock cannot overflow.
const LONGEST: f64 = 100.0 * 365.0 * 24.0 * 3600.0;

/// Reads a duration, and says what is wrong with one that cannot be read.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
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

/// Whether an object can have this name.
pub(crate) fn is_name(text: &str) -> bool {
    let is_part = |part: &str| {
        let is_inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        !part.is_empty() && part.chars().all(is_inner) && !part.starts_with('-') && !part.ends_with('-')
    };
    text.len() <= MAX_NAME && text.split('.').all(is_part)
}

/// Whether a namespace can have this name.
pub(crate) fn is_namespace(text: &str) -> bool {
    is_dns_label(text)
}

/// Whether an API group can have this name.
pub(crate) fn is_dns_name(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_dns_label)
}

/// Whether a text is a DNS label.
pub(crate) fn is_dns_label(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !text.is_empty() && text.len() <= 63 && text.chars().all(fits) && !text.starts_with('-') && !text.ends_with('-')
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
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
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
            let error = duration(text).unwrap_err();
            assert!(error.contains(what), "{text}: {error}");
        }
    }
}
