//! How many parameters a model has, as people write it: `70b`, `1.5B`, `350m`.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

/// A number of parameters, to the million.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Size {
    millions: u64,
}

impl Size {
    /// The largest that is read: a million billions.
    const LARGEST: u64 = 1_000_000_000_000;

    /// So many millions.
    pub const fn of_millions(millions: u64) -> Self {
        Self { millions }
    }

    /// In millions.
    pub const fn millions(self) -> u64 {
        self.millions
    }

    /// So many times as much; none if nobody could mean that.
    pub fn times(self, factor: u64) -> Option<Self> {
        let millions = self.millions.checked_mul(factor)?;
        (millions <= Self::LARGEST).then_some(Self { millions })
    }
}

impl FromStr for Size {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unit_at = text.len().checked_sub(1).filter(|at| text.is_char_boundary(*at)).ok_or(())?;
        let (number, unit) = text.split_at(unit_at);
        // In thousandths of a million, so that a fraction is not lost.
        let thousandths: u64 = match unit {
            "m" | "M" => 1_000,
            "b" | "B" => 1_000_000,
            "t" | "T" => 1_000_000_000,
            _ => return Err(()),
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(whole) || !digits(fraction) || whole.len() > 9 || fraction.len() > 6 {
            return Err(());
        }
        let scale = 10_u64.pow(u32::try_from(fraction.len()).map_err(|_| ())?);
        let whole: u64 = whole.parse().map_err(|_| ())?;
        let fraction: u64 = fraction.parse().map_err(|_| ())?;
        let millions = (whole * thousandths + fraction * thousandths / scale) / 1_000;
        if millions == 0 || millions > Self::LARGEST { Err(()) } else { Ok(Self { millions }) }
    }
}

impl TryFrom<String> for Size {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse().map_err(|()| format!("{text:?} is no number of parameters: write 70b, 1.5b or 350m"))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.millions {
            millions @ ..1_000 => write!(f, "{millions}m"),
            millions if millions % 1_000 == 0 => write!(f, "{}b", millions / 1_000),
            millions => {
                let fraction = format!("{:03}", millions % 1_000);
                write!(f, "{}.{}b", millions / 1_000, fraction.trim_end_matches('0'))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_shown() {
        for (text, millions, shown) in [
            ("70b", 70_000, "70b"),
            ("70B", 70_000, "70b"),
            ("1.5b", 1_500, "1.5b"),
            ("0.5B", 500, "500m"),
            ("46.7b", 46_700, "46.7b"),
            ("350M", 350, "350m"),
            ("22.5m", 22, "22m"),
            ("1t", 1_000_000, "1000b"),
        ] {
            let size: Size = text.parse().unwrap_or_else(|()| panic!("{text}"));
            assert_eq!((size.millions(), size.to_string()), (millions, shown.to_owned()), "{text}");
        }
        for text in
            ["", "b", "70", "70 b", "-1b", "1.b", ".5b", "0b", "0.0001m", "9999999999b", "999999999t", "7ü", "1e3b"]
        {
            assert_eq!(text.parse::<Size>(), Err(()), "{text}");
        }
    }

    #[test]
    fn sizes_are_ordered_and_multiplied() {
        let size = |text: &str| text.parse::<Size>().unwrap();
        assert!(size("999m") < size("1b") && size("1.5b") < size("70b"));
        assert_eq!(size("7b").times(8), Some(size("56b")));
        assert_eq!(size("999b").times(u64::MAX), None);
    }
}
