//! How much storage messages fill: what comes in, times how long it is kept, times how many copies there are.
//!
//! - A stream: partitions × bytes a second into each × retention × replicas.
//! - A queue: the lesser of messages at most × bytes a message, and bytes a second × retention, times replicas.
//!
//! It is an upper bound for the steady state; indexes, compaction and compression are not in it. What the object leaves open
//! cannot be estimated, except that a stream without a number of partitions counts as having one.

use resource_broker_plugin_kit::bounds::Measure as _;
use resource_broker_sdk::quantity::Quantity;
use resource_broker_sdk::{Document, Error};
use serde::Deserialize;

/// Nanos of a byte, in which quantities are exact.
const NANOS: i128 = 1_000_000_000;

/// What comes in, as an operator or an offer assumes it.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Workload {
    /// Bytes a second into one partition, or into a queue.
    pub bytes_per_second: Option<Quantity>,
    /// Bytes of a message.
    pub message_bytes: Option<Quantity>,
    /// How many copies of each message are kept. Default: 1.
    pub replicas: Option<u32>,
}

impl Workload {
    /// This one, and `other` where it says nothing.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            bytes_per_second: self.bytes_per_second.or(other.bytes_per_second),
            message_bytes: self.message_bytes.or(other.message_bytes),
            replicas: self.replicas.or(other.replicas),
        }
    }

    /// Whether anything can be estimated.
    pub fn is_known(&self) -> bool {
        self.bytes_per_second.is_some() || self.message_bytes.is_some()
    }

    fn replicas(&self) -> i128 {
        i128::from(self.replicas.unwrap_or(1))
    }
}

/// How many bytes an object's messages fill, rounded up; `None` if the object or the workload leaves it open. What is too
/// much to be counted is the largest number.
///
/// # Errors
///
/// [`Error::InvalidInput`] if a field of the object is no number.
pub fn bytes(object: &Document<'_>, workload: &Workload) -> Result<Option<i128>, Error> {
    let spec = object.at("spec");
    let hours = spec.at("retentionHours").integer()?;
    let seconds = match hours {
        Some(hours) => Some(i128::from(hours) * 3600),
        None => spec.at("retentionSeconds").integer()?.map(i128::from),
    };
    let partitions = i128::from(spec.at("partitions").integer()?.unwrap_or(1));
    let by_time = match (workload.bytes_per_second, seconds) {
        (Some(rate), Some(seconds)) => Some(product(&[rate.atoms(), seconds, partitions, workload.replicas()])),
        _ => None,
    };
    let by_number = match (workload.message_bytes, spec.at("maxSize").integer()?) {
        (Some(size), Some(messages)) => Some(product(&[size.atoms(), i128::from(messages), workload.replicas()])),
        _ => None,
    };
    let nanos = match (by_time, by_number) {
        (Some(by_time), Some(by_number)) => Some(by_time.min(by_number)),
        (by_time, by_number) => by_time.or(by_number),
    };
    Ok(nanos.map(|nanos| nanos / NANOS + i128::from(nanos % NANOS > 0)))
}

/// Negative factors, which no API server lets through, count as none.
fn product(factors: &[i128]) -> i128 {
    factors.iter().try_fold(1_i128, |product, factor| product.checked_mul((*factor).max(0))).unwrap_or(i128::MAX)
}

/// A number of bytes for people: `12.3Gi`, rounded up.
pub fn shown(bytes: i128) -> String {
    const UNITS: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    let mut unit = 1_i128;
    for (index, suffix) in UNITS.iter().enumerate() {
        if bytes < unit * 1024 || index + 1 == UNITS.len() {
            let tenths = bytes.saturating_mul(10).saturating_add(unit - 1) / unit;
            let (whole, tenth) = (tenths / 10, tenths % 10);
            return if tenth == 0 { format!("{whole}{suffix}") } else { format!("{whole}.{tenth}{suffix}") };
        }
        unit *= 1024;
    }
    bytes.to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn estimated(spec: &serde_json::Value, workload: &serde_json::Value) -> Option<i128> {
        bytes(&Document::from(json!({ "spec": spec })), &serde_json::from_value(workload.clone()).unwrap()).unwrap()
    }

    #[test]
    fn rate_times_retention_times_partitions_times_replicas() {
        let rate = json!({"bytesPerSecond": "1Mi", "replicas": 3});
        for (spec, expected) in [
            (json!({"retentionHours": 1}), Some(3600 * 3 * 1024 * 1024)),
            (json!({"retentionHours": 1, "partitions": 12}), Some(12 * 3600 * 3 * 1024 * 1024)),
            (json!({"retentionSeconds": 10}), Some(30 * 1024 * 1024)),
            (json!({"retentionHours": 0}), Some(0)),
            (json!({"retentionSeconds": -5}), Some(0)),
            (json!({"partitions": 12}), None),
            (json!({"maxSize": 5}), None),
            (json!({}), None),
        ] {
            assert_eq!(estimated(&spec, &rate), expected, "{spec}");
        }
    }

    #[test]
    fn a_queue_holds_the_lesser_of_number_and_time() {
        let workload = json!({"bytesPerSecond": 100, "messageBytes": "1k"});
        assert_eq!(estimated(&json!({"maxSize": 7}), &workload), Some(7_000));
        assert_eq!(estimated(&json!({"maxSize": 7, "retentionSeconds": 60}), &workload), Some(6_000));
        assert_eq!(estimated(&json!({"maxSize": 5, "retentionSeconds": 60}), &workload), Some(5_000));
        assert_eq!(estimated(&json!({"maxSize": 5, "retentionSeconds": 60}), &json!({})), None);
    }

    #[test]
    fn parts_of_a_byte_are_rounded_up_and_too_much_is_the_most() {
        assert_eq!(estimated(&json!({"retentionSeconds": 1}), &json!({"bytesPerSecond": "1500m"})), Some(2));
        let spec = json!({"retentionHours": i64::MAX, "partitions": i64::MAX});
        assert!(estimated(&spec, &json!({"bytesPerSecond": "8Ei"})).unwrap() > i128::from(u64::MAX));
    }

    #[test]
    fn estimates_are_monotonic() {
        let rate = json!({"bytesPerSecond": 3, "replicas": 2});
        let of = |hours: u64, partitions: u64| {
            estimated(&json!({"retentionHours": hours, "partitions": partitions}), &rate).unwrap()
        };
        for hours in 0..30 {
            for partitions in 1..10 {
                assert!(of(hours, partitions) <= of(hours + 1, partitions));
                assert!(of(hours, partitions) <= of(hours, partitions + 1));
                assert_eq!(of(hours, partitions), of(hours, 1) * i128::from(partitions));
            }
        }
    }

    #[test]
    fn bytes_for_people() {
        for (bytes, text) in [
            (0, "0"),
            (1023, "1023"),
            (1024, "1Ki"),
            (1025, "1.1Ki"),
            (1536 * 1024 * 1024, "1.5Gi"),
            (i128::from(u64::MAX) * 4096, "65536Ei"),
        ] {
            assert_eq!(shown(bytes), text);
        }
        assert!(shown(i128::MAX).ends_with("Ei"));
    }
}
