//! Ranges of IP addresses.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use crate::value::{ParseError, serde_as_text};

const EXPECTED: &str = "a range of addresses, such as 10.0.0.0/8 or fd00::/48";

/// A range of IPv4 or IPv6 addresses, as in `10.0.0.0/8`.
///
/// Two ranges are equal if they hold the same addresses: `10.1.2.3/8` is `10.0.0.0/8`, and [`is_canonical`] tells them
/// apart.
///
/// ```
/// # use resource_broker_sdk::cidr::Cidr;
/// # fn main() -> Result<(), resource_broker_sdk::Error> {
/// let ours: Cidr = "10.0.0.0/8".parse()?;
/// let asked: Cidr = "10.20.0.0/16".parse()?;
/// assert!(ours.contains(&asked));
/// assert!(asked.overlaps(&ours));
/// assert!(!ours.contains(&"fd00::/8".parse()?));
/// assert_eq!(asked.addresses(), Some(65_536));
/// # Ok(())
/// # }
/// ```
///
/// [`is_canonical`]: Self::is_canonical
#[derive(Clone, Copy, Debug)]
pub struct Cidr {
    /// As it was written.
    address: IpAddr,
    prefix: u8,
}

impl Cidr {
    /// The range of `prefix` bits around `address`; `None` if an address has fewer bits.
    pub fn new(address: IpAddr, prefix: u8) -> Option<Self> {
        (prefix <= bits(address)).then_some(Self { address, prefix })
    }

    /// The first address.
    pub fn network(&self) -> IpAddr {
        from_number(number(self.address) & self.mask(), self.address)
    }

    /// The last address, which IPv4 networks use for broadcasts.
    pub fn last(&self) -> IpAddr {
        from_number(number(self.address) | self.host_mask(), self.address)
    }

    /// The address as it was written.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// How many bits the addresses have in common.
    pub fn prefix(&self) -> u8 {
        self.prefix
    }

    /// Whether it was written with its first address, as routers and most operators want it.
    pub fn is_canonical(&self) -> bool {
        self.address == self.network()
    }

    /// Whether it is a range of IPv4 addresses.
    pub fn is_ipv4(&self) -> bool {
        self.address.is_ipv4()
    }

    /// How many addresses it has; `None` for all of IPv6, one more than a number can say.
    pub fn addresses(&self) -> Option<u128> {
        1_u128.checked_shl(u32::from(bits(self.address) - self.prefix))
    }

    /// Whether every address of `other` is in this range as well.
    pub fn contains(&self, other: &Self) -> bool {
        self.prefix <= other.prefix && self.contains_address(other.address)
    }

    /// Whether an address is in this range.
    pub fn contains_address(&self, address: IpAddr) -> bool {
        self.address.is_ipv4() == address.is_ipv4()
            && number(self.address) & self.mask() == number(address) & self.mask()
    }

    /// Whether the two have an address in common.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.contains(other) || other.contains(self)
    }

    /// The bits of an address that say where in the range it is.
    fn host_mask(&self) -> u128 {
        let host_bits = u32::from(bits(self.address) - self.prefix);
        1_u128.checked_shl(host_bits).map_or(u128::MAX, |size| size - 1)
    }

    fn mask(&self) -> u128 {
        !self.host_mask()
    }

    /// What tells ranges apart, in their order: IPv4 first, then by first address, the larger one first.
    fn identity(&self) -> (bool, u128, u8) {
        (!self.is_ipv4(), number(self.network()), self.prefix)
    }
}

fn bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// The address of that number, of the same kind as `like`.
fn from_number(number: u128, like: IpAddr) -> IpAddr {
    match (like, u32::try_from(number)) {
        (IpAddr::V4(_), Ok(number)) => Ipv4Addr::from_bits(number).into(),
        (IpAddr::V4(_), Err(_)) | (IpAddr::V6(_), _) => Ipv6Addr::from_bits(number).into(),
    }
}

impl From<IpAddr> for Cidr {
    /// The range of this address alone.
    fn from(address: IpAddr) -> Self {
        Self { address, prefix: bits(address) }
    }
}

impl FromStr for Cidr {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        parse(text).ok_or_else(|| {
            let hint = match text.parse::<IpAddr>() {
                Ok(address) => format!("; for this address alone write {text}/{}", bits(address)),
                Err(_) if text.starts_with("::ffff:") => "; write addresses of IPv4 without ::ffff:".to_owned(),
                Err(_) => String::new(),
            };
            ParseError::new(text, &format!("{EXPECTED}{hint}"))
        })
    }
}

fn parse(text: &str) -> Option<Cidr> {
    let (address, prefix) = text.split_once('/')?;
    let plain = prefix.bytes().all(|c| c.is_ascii_digit()) && (prefix == "0" || !prefix.starts_with('0'));
    let address: IpAddr = address.parse().ok()?;
    // As IPv6 they would overlap no range of IPv4, although they are the same addresses.
    let mapped = matches!(address, IpAddr::V6(address) if address.to_ipv4_mapped().is_some());
    Cidr::new(address, prefix.parse().ok().filter(|_| plain && !mapped)?)
}

impl fmt::Display for Cidr {
    /// With its first address.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network(), self.prefix)
    }
}

impl PartialEq for Cidr {
    fn eq(&self, other: &Self) -> bool {
        self.identity() == other.identity()
    }
}

impl Eq for Cidr {}

impl Ord for Cidr {
    fn cmp(&self, other: &Self) -> Ordering {
        self.identity().cmp(&other.identity())
    }
}

impl PartialOrd for Cidr {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Hash for Cidr {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.identity().hash(state);
    }
}

serde_as_text!(Cidr);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cidr(text: &str) -> Cidr {
        text.parse().unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn ranges_have_a_first_and_a_last_address() {
        for (text, written, last, addresses) in [
            ("10.1.2.3/8", "10.0.0.0/8", "10.255.255.255", Some(1 << 24)),
            ("0.0.0.0/0", "0.0.0.0/0", "255.255.255.255", Some(1 << 32)),
            ("10.0.0.1/32", "10.0.0.1/32", "10.0.0.1", Some(1)),
            ("fd00::1/48", "fd00::/48", "fd00::ffff:ffff:ffff:ffff:ffff", Some(1 << 80)),
            ("::/0", "::/0", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", None),
            ("::1/128", "::1/128", "::1", Some(1)),
        ] {
            let range = cidr(text);
            assert_eq!(range.to_string(), written);
            assert_eq!(range.last().to_string(), last, "{text}");
            assert_eq!(range.addresses(), addresses, "{text}");
            assert_eq!(range.is_canonical(), text == written, "{text}");
            assert_eq!(range, cidr(written));
        }
    }

    #[test]
    fn ranges_contain_and_overlap() {
        for (left, right, contains, overlaps) in [
            ("10.0.0.0/8", "10.0.0.0/8", true, true),
            ("10.0.0.0/8", "10.200.0.0/16", true, true),
            ("10.200.0.0/16", "10.0.0.0/8", false, true),
            ("10.0.0.0/9", "10.128.0.0/9", false, false),
            ("0.0.0.0/0", "255.255.255.255/32", true, true),
            ("0.0.0.0/0", "::/0", false, false),
            ("::/0", "::a00:0/104", true, true),
            ("2001:db8::/32", "2001:db8:1::/48", true, true),
            ("2001:db8::/32", "2001:db9::/32", false, false),
        ] {
            assert_eq!(cidr(left).contains(&cidr(right)), contains, "{left} and {right}");
            assert_eq!(cidr(left).overlaps(&cidr(right)), overlaps, "{left} and {right}");
            assert_eq!(cidr(right).overlaps(&cidr(left)), overlaps, "{right} and {left}");
        }
    }

    #[test]
    fn other_texts_are_no_ranges() {
        for text in [
            "",
            "/8",
            "10.0.0.0",
            "10.0.0.0/",
            "10.0.0.0/33",
            "::/129",
            "10.0.0/8",
            "10.0.0.0/08",
            "10.0.0.0/+8",
            "10.0.0.0/-1",
            "010.0.0.0/8",
            "10.0.0.0/8/8",
            " 10.0.0.0/8",
            "fe80::1%eth0/64",
            "::ffff:10.0.0.0/104",
            "::FFFF:a00:1/128",
            "10.0.0.0/255.0.0.0",
        ] {
            assert!(text.parse::<Cidr>().is_err(), "{text:?}");
        }
        let error = "10.0.0.1".parse::<Cidr>().unwrap_err();
        assert!(error.to_string().ends_with("for this address alone write 10.0.0.1/32"), "{error}");
    }

    proptest! {
        #[test]
        fn a_range_contains_its_ends_and_nothing_beyond(number in any::<u32>(), prefix in 1..=32_u8) {
            let range = Cidr::new(Ipv4Addr::from_bits(number).into(), prefix).unwrap();
            prop_assert!(range.contains_address(range.network()) && range.contains_address(range.last()));
            let (IpAddr::V4(first), IpAddr::V4(last)) = (range.network(), range.last()) else { unreachable!() };
            prop_assert_eq!(u128::from(last.to_bits() - first.to_bits()) + 1, range.addresses().unwrap());
            for beyond in [first.to_bits().checked_sub(1), last.to_bits().checked_add(1)].into_iter().flatten() {
                prop_assert!(!range.contains_address(Ipv4Addr::from_bits(beyond).into()));
            }
        }

        #[test]
        fn what_is_written_is_read_again(number in any::<u128>(), prefix in 0..=128_u8) {
            let range = Cidr::new(Ipv6Addr::from_bits(number).into(), prefix).unwrap();
            prop_assert_eq!(cidr(&range.to_string()), range);
            prop_assert!(cidr(&range.to_string()).is_canonical());
        }
    }
}
