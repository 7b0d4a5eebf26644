//! Points in time as Kubernetes writes them, by RFC 3339.

use std::fmt;
use std::str::FromStr;

use crate::duration::Duration;
use crate::value::{ParseError, serde_as_text};

const EXPECTED: &str = "a point in time by RFC 3339, such as 2026-07-01T12:00:00Z";
const DAY: i64 = 86_400;
const SECOND: u32 = 1_000_000_000;
/// Days of 400 years, after which the calendar repeats.
const ERA: i64 = 146_097;

/// A point in time, to the nanosecond. A plugin has no clock: it compares times of objects with each other.
///
/// ```
/// # use resource_broker_sdk::time::Timestamp;
/// # fn main() -> Result<(), resource_broker_sdk::Error> {
/// let created: Timestamp = "2026-07-01T12:00:00Z".parse()?;
/// let ready: Timestamp = "2026-07-01T14:01:30.5+02:00".parse()?;
/// assert!(created < ready);
/// assert_eq!(ready.since(created).map(|elapsed| elapsed.to_string()).as_deref(), Some("1m30.5s"));
/// assert_eq!(ready.to_string(), "2026-07-01T12:01:30.5Z");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    seconds: i64,
    nanos: u32,
}

impl Timestamp {
    /// Whole seconds since the beginning of 1970, UTC.
    pub fn unix_seconds(self) -> i64 {
        self.seconds
    }

    /// The time from `earlier` to this, negative if it is later; `None` beyond some 292 years.
    pub fn since(self, earlier: Self) -> Option<Duration> {
        let seconds = i128::from(self.seconds) - i128::from(earlier.seconds);
        let nanos = seconds * i128::from(SECOND) + i128::from(self.nanos) - i128::from(earlier.nanos);
        i64::try_from(nanos).ok().map(Duration::from_nanos)
    }

    /// So much later; `None` beyond the year 9999.
    #[must_use]
    pub fn checked_add(self, duration: Duration) -> Option<Self> {
        let nanos =
            i128::from(self.seconds) * i128::from(SECOND) + i128::from(self.nanos) + i128::from(duration.nanos());
        let seconds = i64::try_from(nanos.div_euclid(i128::from(SECOND))).ok()?;
        let nanos = u32::try_from(nanos.rem_euclid(i128::from(SECOND))).ok()?;
        Some(Self { seconds, nanos }).filter(|time| time.has_year())
    }

    /// Whether its year in UTC can be written: there are four digits.
    fn has_year(self) -> bool {
        (0..=9999).contains(&date(self.seconds.div_euclid(DAY)).0)
    }
}

impl FromStr for Timestamp {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        parse(text).ok_or_else(|| ParseError::new(text, EXPECTED))
    }
}

fn parse(text: &str) -> Option<Timestamp> {
    let mut reader = Reader(text.as_bytes());
    let year = reader.digits(4)?;
    reader.one_of(b"-")?;
    let month = reader.digits(2)?;
    reader.one_of(b"-")?;
    let day = reader.digits(2)?;
    reader.one_of(b"Tt ")?;
    let seconds = reader.time_of_day()?;
    let nanos = reader.fraction()?;
    let offset = reader.offset()?;
    let valid = (1..=12).contains(&month) && (1..=month_length(year, month)).contains(&day) && reader.0.is_empty();
    let time = Timestamp { seconds: days(year, month, day) * DAY + seconds - offset, nanos };
    (valid && time.has_year()).then_some(time)
}

/// What is still to be read.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn one_of(&mut self, expected: &[u8]) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        expected.contains(first).then(|| {
            self.0 = rest;
            *first
        })
    }

    fn digits(&mut self, count: usize) -> Option<i64> {
        let (digits, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        digits.iter().try_fold(0, |number, digit| digit.is_ascii_digit().then(|| number * 10 + i64::from(digit - b'0')))
    }

    fn time_of_day(&mut self) -> Option<i64> {
        let hour = self.digits(2).filter(|hour| *hour < 24)?;
        self.one_of(b":")?;
        let minute = self.digits(2).filter(|minute| *minute < 60)?;
        self.one_of(b":")?;
        // Leap seconds are no times, as in Kubernetes.
        let second = self.digits(2).filter(|second| *second < 60)?;
        Some(hour * 3600 + minute * 60 + second)
    }

    /// Nanoseconds; finer digits count for nothing.
    fn fraction(&mut self) -> Option<u32> {
        if self.one_of(b".").is_none() {
            return Some(0);
        }
        let count = self.0.iter().take_while(|c| c.is_ascii_digit()).count();
        let (digits, rest) = self.0.split_at(count);
        self.0 = rest;
        let padded = digits.iter().chain(std::iter::repeat(&b'0')).take(9);
        (count > 0).then(|| padded.fold(0, |nanos, digit| nanos * 10 + u32::from(digit - b'0')))
    }

    /// Seconds east of Greenwich.
    fn offset(&mut self) -> Option<i64> {
        let sign = match self.one_of(b"Zz+-")? {
            b'+' => 1,
            b'-' => -1,
            _ => return Some(0),
        };
        let hours = self.digits(2).filter(|hours| *hours < 24)?;
        self.one_of(b":")?;
        let minutes = self.digits(2).filter(|minutes| *minutes < 60)?;
        Some(sign * (hours * 3600 + minutes * 60))
    }
}

fn month_length(year: i64, month: i64) -> i64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since the beginning of 1970. Years are counted from March, so that a leap day is a year's last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let era = year.div_euclid(400);
    let year = year.rem_euclid(400);
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    era * ERA + year * 365 + year / 4 - year / 100 + day_of_year - 719_468
}

/// Year, month and day; the inverse of [`days`].
fn date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(ERA), days.rem_euclid(ERA));
    let year = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (year, month) = if month < 10 { (year, month + 3) } else { (year + 1, month - 9) };
    (era * 400 + year, month, day)
}

impl fmt::Display for Timestamp {
    /// In UTC.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = date(self.seconds.div_euclid(DAY));
        let second = self.seconds.rem_euclid(DAY);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        if self.nanos > 0 {
            write!(f, ".{}", format!("{:09}", self.nanos).trim_end_matches('0'))?;
        }
        f.write_str("Z")
    }
}

serde_as_text!(Timestamp);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_are_read_by_rfc_3339() {
        for (text, seconds, nanos) in [
            ("1970-01-01T00:00:00Z", 0, 0),
            ("1969-12-31T23:59:59.5Z", -1, 500_000_000),
            ("2000-02-29T00:00:00Z", 951_782_400, 0),
            ("2024-02-29t12:00:00.000000001z", 1_709_208_000, 1),
            ("2026-07-01T14:00:00+02:00", 1_782_907_200, 0),
            ("2026-07-01T06:30:00-05:30", 1_782_907_200, 0),
            ("2026-07-01 12:00:00Z", 1_782_907_200, 0),
            ("0000-01-01T00:00:00Z", -62_167_219_200, 0),
            ("9999-12-31T23:59:59.999999999999Z", 253_402_300_799, 999_999_999),
        ] {
            assert_eq!(text.parse(), Ok(Timestamp { seconds, nanos }), "{text}");
        }
    }

    #[test]
    fn other_texts_are_no_times() {
        for text in [
            "",
            "2026-07-01",
            "2026-07-01T12:00:00",
            "2026-07-01T12:00Z",
            "2026-7-1T12:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-02-29T00:00:00Z",
            "1900-02-29T00:00:00Z",
            "2026-04-31T00:00:00Z",
            "2026-07-01T24:00:00Z",
            "2026-07-01T12:60:00Z",
            "2026-06-30T23:59:60Z",
            "2026-07-01T12:00:00.Z",
            "2026-07-01T12:00:00+0200",
            "2026-07-01T12:00:00+24:00",
            "2026-07-01T12:00:00Z ",
            "+026-07-01T12:00:00Z",
            "0000-01-01T00:00:00+01:00",
            "9999-12-31T23:59:59-01:00",
            "20২6-07-01T12:00:00Z",
        ] {
            assert!(text.parse::<Timestamp>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn time_is_added_and_taken_away() {
        let start: Timestamp = "2026-12-31T23:59:59.5Z".parse().unwrap();
        let later = start.checked_add("750ms".parse().unwrap()).unwrap();
        assert_eq!(later.to_string(), "2027-01-01T00:00:00.25Z");
        assert_eq!(later.since(start), Some("750ms".parse().unwrap()));
        assert_eq!(start.since(later), Some("-750ms".parse().unwrap()));
        let last: Timestamp = "9999-12-31T23:59:59Z".parse().unwrap();
        assert_eq!(last.checked_add("1s".parse().unwrap()), None);
        assert_eq!(last.since("0000-01-01T00:00:00Z".parse().unwrap()), None);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(seconds in -62_167_219_200_i64..253_402_300_800, nanos in 0..SECOND) {
            let time = Timestamp { seconds, nanos };
            prop_assert_eq!(time.to_string().parse(), Ok(time));
        }

        #[test]
        fn no_text_panics(text in "[-+0-9TZ:.]{0,40}") {
            let _ = text.parse::<Timestamp>();
        }
    }
}
