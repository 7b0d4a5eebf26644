//! Sizes as Kubernetes writes them.

use std::str::FromStr;

/// A quantity in bytes, rounded up; `None` if it is none, or zero.
pub fn bytes(quantity: &str) -> Option<usize> {
    let digits = quantity.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(quantity.len());
    let (number, suffix) = quantity.split_at(digits);
    let factor: u64 = match suffix {
        "" => 1,
        "k" | "K" => 1000,
        "M" => 1_000_000,
        "G" => 1_000_000_000,
        "T" => 1_000_000_000_000,
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        "Ti" => 1 << 40,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let whole = u64::from_str(whole).ok()?.checked_mul(factor)?;
    // Nine digits after the point are more than anybody writes.
    let fraction = fraction.get(..fraction.len().min(9))?;
    let scale = 10_u64.pow(u32::try_from(fraction.len()).ok()?);
    let part = u128::from(u64::from_str(fraction).ok()?) * u128::from(factor);
    let part = u64::try_from(part.div_ceil(u128::from(scale))).ok()?;
    usize::try_from(whole.checked_add(part)?).ok().filter(|bytes| *bytes > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_as_kubernetes_writes_them() {
        for (text, expected) in [
            ("1", Some(1)),
            ("64Mi", Some(64 << 20)),
            ("1.5Ki", Some(1536)),
            ("0.0001k", Some(1)),
            ("2M", Some(2_000_000)),
            ("0", None),
            ("", None),
            ("Mi", None),
            ("-1", None),
            ("1e3", None),
            ("64MB", None),
            ("99999999999999999999Ti", None),
        ] {
            assert_eq!(bytes(text), expected, "{text}");
        }
    }
}
