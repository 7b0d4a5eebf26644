//! Bounds of a measured value, and the units in which domains measure.

use std::fmt;
use std::str::FromStr;

use resource_broker_sdk::Problems;
use resource_broker_sdk::duration::Duration;
use resource_broker_sdk::quantity::Quantity;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::judging::Broken;

/// Something that can be compared and divided exactly.
pub trait Measure: fmt::Display {
    /// What the values are called, as in `a size`.
    const WHAT: &'static str;
    /// In the smallest unit.
    fn atoms(&self) -> i128;
}

impl Measure for Quantity {
    const WHAT: &'static str = "a quantity";

    fn atoms(&self) -> i128 {
        self.nanos()
    }
}

/// Bounds of a field's value, each of them included.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, bound = "M: Deserialize<'de>")]
pub struct Bounds<M> {
    /// The least value.
    pub min: Option<M>,
    /// The greatest value.
    pub max: Option<M>,
    /// What the value has to be a whole multiple of.
    pub multiple_of: Option<M>,
}

impl<M> Default for Bounds<M> {
    /// No bounds.
    fn default() -> Self {
        Self { min: None, max: None, multiple_of: None }
    }
}

impl<M: Measure> Bounds<M> {
    /// Whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        self.min.is_none() && self.max.is_none() && self.multiple_of.is_none()
    }

    /// What is wrong with the bounds themselves; paths begin with `base`, which is empty or ends in a dot.
    pub fn check(&self, base: &str, problems: &mut Problems) {
        let mut sensible = true;
        for (name, bound) in [("min", &self.min), ("max", &self.max)] {
            if let Some(bound) = bound.as_ref().filter(|bound| bound.atoms() < 0) {
                problems.push(format!("{base}{name}"), format!("{bound} is negative; write {} of at least 0", M::WHAT));
                sensible = false;
            }
        }
        if let Some(step) = self.multiple_of.as_ref().filter(|step| step.atoms() <= 0) {
            problems.push(
                format!("{base}multipleOf"),
                format!("{step} is not more than 0, which nothing is a multiple of"),
            );
            sensible = false;
        }
        let (Some(max), true) = (&self.max, sensible) else { return };
        let min = self.min.as_ref().map_or(0, Measure::atoms);
        if min > max.atoms() {
            let message =
                format!("max ({max}) is less than min ({}), so that nothing is accepted", shown(self.min.as_ref()));
            problems.push(format!("{base}max"), message);
        } else if let Some(step) = &self.multiple_of
            && max.atoms() - max.atoms() % step.atoms() < min
        {
            let message = format!("there is no multiple of {step} between {} and {max}", shown(self.min.as_ref()));
            problems.push(format!("{base}multipleOf"), message);
        }
    }

    /// Every bound that the value breaks.
    pub fn broken(&self, value: &M) -> Vec<Broken> {
        let mut broken = Vec::new();
        if let Some(min) = self.min.as_ref().filter(|min| value.atoms() < min.atoms()) {
            broken.push(Broken::new(
                "min",
                format!("at least {min}"),
                format!("is less than {min}: ask for {min} or more"),
            ));
        }
        // No bound is negative, and what is may mean no bound at all to the provider: -1 as a retention is for ever.
        if self.min.is_none() && !self.is_empty() && value.atoms() < 0 {
            broken.push(Broken::new("min", "at least 0", "is negative: ask for 0 or more"));
        }
        if let Some(max) = self.max.as_ref().filter(|max| value.atoms() > max.atoms()) {
            broken.push(Broken::new(
                "max",
                format!("at most {max}"),
                format!("is more than {max}: ask for {max} or less"),
            ));
        }
        if let Some(step) =
            self.multiple_of.as_ref().filter(|step| step.atoms() > 0 && value.atoms() % step.atoms() != 0)
        {
            let reason = format!("is not a multiple of {step}: round it to one");
            broken.push(Broken::new("multipleOf", format!("a multiple of {step}"), reason));
        }
        broken
    }
}

fn shown<M: fmt::Display>(bound: Option<&M>) -> String {
    bound.map_or_else(|| "0".to_owned(), ToString::to_string)
}

/// A size of storage: a quantity with a suffix, or a number of GiB, which is what a number by itself means in the generic
/// storage kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(Quantity);

impl Size {
    /// In bytes.
    pub fn quantity(self) -> Quantity {
        self.0
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bare = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        let written = if bare { format!("{text}Gi") } else { text.to_owned() };
        match written.parse::<Quantity>() {
            Ok(size) => Ok(Self(size)),
            Err(_) => Err(format!("{text:?} is not a size, such as 500Gi, or 500 for as many GiB")),
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Measure for Size {
    const WHAT: &'static str = "a size";

    fn atoms(&self) -> i128 {
        self.0.nanos()
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        scalar(deserializer)
    }
}

/// A span of time in whole seconds, written as a duration that may begin with days: `7d`, `1d12h`, `90m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    seconds: i64,
}

const DAY: i64 = 24 * 60 * 60;

impl Span {
    /// So many seconds.
    pub fn from_seconds(seconds: i64) -> Self {
        Self { seconds }
    }

    /// So many hours; `None` if they are too many.
    pub fn from_hours(hours: i64) -> Option<Self> {
        Some(Self { seconds: hours.checked_mul(60 * 60)? })
    }

    /// In seconds.
    pub fn seconds(self) -> i64 {
        self.seconds
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not a span of time in whole seconds, such as 7d, 1d12h or 90m");
        let (days, rest) = match text.split_once('d') {
            Some((days, rest)) if !days.is_empty() && days.bytes().all(|byte| byte.is_ascii_digit()) => {
                (days.parse::<i64>().map_err(|_| wrong())?, rest)
            }
            Some(_) => return Err(wrong()),
            None => (0, text),
        };
        let seconds = match rest {
            "" if text.is_empty() => return Err(wrong()),
            "" => 0,
            rest => {
                let duration: Duration = rest.parse().map_err(|_| wrong())?;
                let whole = Duration::from_seconds(duration.seconds()) == Some(duration);
                if duration.is_negative() || !whole {
                    return Err(wrong());
                }
                duration.seconds()
            }
        };
        let seconds = days.checked_mul(DAY).and_then(|days| days.checked_add(seconds)).ok_or_else(wrong)?;
        Ok(Self { seconds })
    }
}

impl fmt::Display for Span {
    /// As `1d12h`, without what is zero.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.seconds == 0 {
            return f.write_str("0s");
        }
        let mut left = self.seconds;
        for (unit, length) in [("d", DAY), ("h", 60 * 60), ("m", 60), ("s", 1)] {
            if left / length != 0 {
                write!(f, "{}{unit}", left / length)?;
            }
            left %= length;
        }
        Ok(())
    }
}

impl Measure for Span {
    const WHAT: &'static str = "a span of time";

    fn atoms(&self) -> i128 {
        i128::from(self.seconds)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        scalar(deserializer)
    }
}

/// Reads a text, or a number by its digits.
fn scalar<'de, T: FromStr<Err = String>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    let read = match Value::deserialize(deserializer)? {
        Value::String(text) => text.parse(),
        Value::Number(number) => number.to_string().parse(),
        other => Err(format!("{other} is neither a text nor a number")),
    };
    read.map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn bounds<M: for<'de> Deserialize<'de>>(json: Value) -> Bounds<M> {
        serde_json::from_value(json).unwrap()
    }

    fn rules<M: Measure + FromStr<Err = String>>(bounds: &Bounds<M>, value: &str) -> Vec<String> {
        bounds.broken(&value.parse().unwrap()).into_iter().map(|broken| broken.rule).collect()
    }

    #[test]
    fn a_number_by_itself_is_gibibytes() {
        for (left, right) in [("500", "500Gi"), ("0.5", "512Mi"), ("1Ti", "1024"), ("1G", "1000M")] {
            assert_eq!(left.parse::<Size>(), right.parse::<Size>(), "{left} and {right}");
        }
        for text in ["", "big", "1 Gi", "-", ".", "1.2.3", "Gi", "1e99"] {
            let error = text.parse::<Size>().unwrap_err();
            assert!(error.contains("is not a size"), "{text:?}: {error}");
        }
    }

    #[test]
    fn spans_have_days() {
        for (text, seconds, shown) in [
            ("7d", 7 * DAY, "7d"),
            ("1d12h", DAY + 43_200, "1d12h"),
            ("36h", DAY + 43_200, "1d12h"),
            ("90m", 5_400, "1h30m"),
            ("0s", 0, "0s"),
            ("0d", 0, "0s"),
            ("1d1s", DAY + 1, "1d1s"),
        ] {
            let span: Span = text.parse().unwrap();
            assert_eq!((span.seconds(), span.to_string().as_str()), (seconds, shown), "{text}");
        }
        for text in ["", "d", "7", "7D", "-1h", "-1d", "1.5s", "1.5d", "1h2d", "d7", "99999999999999999999d", "1w"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_shown_is_read_as_the_same() {
        for seconds in (0..200_000).step_by(997).chain([i64::MAX / DAY * DAY]) {
            let span = Span::from_seconds(seconds);
            assert_eq!(span.to_string().parse(), Ok(span), "{seconds}");
        }
    }

    #[test]
    fn bounds_are_included() {
        let sizes: Bounds<Size> = bounds(json!({"min": "1Gi", "max": 10, "multipleOf": "512Mi"}));
        for (value, broken) in [
            ("1Gi", vec![]),
            ("1024Mi", vec![]),
            ("10", vec![]),
            ("1.5", vec![]),
            ("512Mi", vec!["min"]),
            ("1023Mi", vec!["min", "multipleOf"]),
            ("10241Mi", vec!["max", "multipleOf"]),
            ("11", vec!["max"]),
        ] {
            assert_eq!(rules(&sizes, value), broken, "{value}");
        }
    }

    #[test]
    fn what_is_negative_is_within_no_bounds() {
        for (json, value, broken) in [
            (json!({"max": "10Gi"}), "-1", vec!["min"]),
            (json!({"multipleOf": "1Gi"}), "-1Gi", vec!["min"]),
            (json!({"min": "1Gi"}), "-1Gi", vec!["min"]),
            (json!({"max": "10Gi"}), "0", vec![]),
            (json!({}), "-1Gi", vec![]),
        ] {
            assert_eq!(rules(&bounds::<Size>(json.clone()), value), broken, "{json}: {value}");
        }
    }

    #[test]
    fn a_multiple_is_one_exactly_where_division_leaves_nothing() {
        let steps: Bounds<Span> = bounds(json!({"multipleOf": "7m"}));
        for minutes in 0..100 {
            let broken = steps.broken(&Span::from_seconds(minutes * 60));
            assert_eq!(broken.is_empty(), minutes % 7 == 0, "{minutes} minutes");
        }
    }

    #[test]
    fn bounds_that_nothing_can_keep_are_problems() {
        for (json, path) in [
            (json!({"min": 2, "max": 1}), "x.max"),
            (json!({"max": "-1Gi"}), "x.max"),
            (json!({"min": "-1Gi"}), "x.min"),
            (json!({"multipleOf": 0}), "x.multipleOf"),
            (json!({"min": 5, "max": 6, "multipleOf": 4}), "x.multipleOf"),
        ] {
            let mut problems = Problems::new();
            bounds::<Size>(json.clone()).check("x.", &mut problems);
            let error = problems.finish().unwrap_err().to_string();
            assert!(error.contains(&format!("{path}: ")), "{json}: {error}");
        }
        for json in [json!({}), json!({"max": 0}), json!({"min": 4, "max": 4, "multipleOf": 2}), json!({"min": 5})] {
            let mut problems = Problems::new();
            bounds::<Size>(json.clone()).check("", &mut problems);
            assert_eq!(problems.finish(), Ok(()), "{json}");
        }
    }
}
