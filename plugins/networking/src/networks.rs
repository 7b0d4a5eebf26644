//! The networks that offers speak of: ranges of addresses, and names for several of them.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use resource_broker_sdk::cidr::Cidr;
use serde::Deserialize;

/// Names that are known from the start, after the registries of special-purpose addresses.
const KNOWN: &[(&str, &[&str])] = &[
    ("benchmark", &["198.18.0.0/15", "2001:2::/48"]),
    ("carrier", &["100.64.0.0/10"]),
    ("documentation", &["192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", "3fff::/20"]),
    ("linkLocal", &["169.254.0.0/16", "fe80::/10"]),
    ("loopback", &["127.0.0.0/8", "::1/128"]),
    ("multicast", &["224.0.0.0/4", "ff00::/8"]),
    ("private", &["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"]),
    ("reserved", &["0.0.0.0/8", "192.0.0.0/24", "240.0.0.0/4", "::/128"]),
];

/// One entry of a list of networks.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Network {
    /// A range, as `10.0.0.0/8`.
    Range(Cidr),
    /// A name for ranges, as `private`.
    Name(String),
}

impl TryFrom<String> for Network {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text.contains('/') || text.parse::<IpAddr>().is_ok() {
            let range: Cidr = text.parse().map_err(|error| format!("{error}"))?;
            return if range.is_canonical() {
                Ok(Self::Range(range))
            } else {
                Err(format!("{text:?} has bits behind its prefix: write {range}"))
            };
        }
        let possible = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if text.is_empty() || !text.chars().all(possible) {
            return Err(format!("{text:?} is neither a range such as 10.0.0.0/8 nor a name for networks"));
        }
        Ok(Self::Name(text))
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Range(range) => range.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// The names of networks: those that are known and the operator's own.
#[derive(Clone, Copy, Debug)]
pub struct Names<'a> {
    /// The operator's, before the known ones.
    pub own: &'a BTreeMap<String, Vec<Cidr>>,
}

impl Names<'_> {
    /// All ranges of a list of networks.
    ///
    /// # Errors
    ///
    /// The place in the list of the first name that there is not, and what to do about it.
    pub fn resolve(self, networks: &[Network]) -> Result<Vec<Cidr>, (usize, String)> {
        let mut ranges = Vec::with_capacity(networks.len());
        for (index, network) in networks.iter().enumerate() {
            match network {
                Network::Range(range) => ranges.push(*range),
                Network::Name(name) => ranges.extend(self.find(name).ok_or_else(|| (index, self.unknown(name)))?),
            }
        }
        Ok(ranges)
    }

    fn find(self, name: &str) -> Option<Vec<Cidr>> {
        if let Some(own) = self.own.get(name) {
            return Some(own.clone());
        }
        let (_, ranges) = KNOWN.iter().find(|(known, _)| *known == name)?;
        Some(ranges.iter().filter_map(|range| range.parse().ok()).collect())
    }

    fn unknown(self, name: &str) -> String {
        let mut names: Vec<&str> =
            KNOWN.iter().map(|(name, _)| *name).chain(self.own.keys().map(String::as_str)).collect();
        names.sort_unstable();
        names.dedup();
        format!(
            "there are no networks called {name:?}; there are {}, and the plugin's settings may name more",
            names.join(", ")
        )
    }
}

/// Ranges for a message, separated by commas.
pub fn list(ranges: &[Cidr]) -> String {
    ranges.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_range_is_one() {
        for (name, ranges) in KNOWN {
            for range in *ranges {
                assert!(matches!(range.parse::<Cidr>(), Ok(range) if range.is_canonical()), "{name}: {range}");
            }
        }
        assert!(KNOWN.is_sorted());
    }

    #[test]
    fn names_stand_for_their_ranges() {
        let own = BTreeMap::from([
            ("office".to_owned(), vec!["192.0.2.0/24".parse().unwrap()]),
            ("carrier".to_owned(), Vec::new()),
        ]);
        let names = Names { own: &own };
        let resolve = |list: &[&str]| {
            let networks: Vec<Network> =
                list.iter().map(|text| Network::try_from((*text).to_owned()).unwrap()).collect();
            names.resolve(&networks).map(|ranges| super::list(&ranges))
        };
        assert_eq!(resolve(&["office", "10.0.0.0/8"]), Ok("192.0.2.0/24, 10.0.0.0/8".to_owned()));
        assert_eq!(resolve(&["carrier"]), Ok(String::new()), "the operator's own counts");
        assert_eq!(resolve(&["loopback"]), Ok("127.0.0.0/8, ::1/128".to_owned()));
        let (index, message) = resolve(&["office", "home"]).unwrap_err();
        assert!(index == 1 && message.contains("\"home\"") && message.contains("office, private"), "{message}");
    }

    #[test]
    fn what_is_no_network() {
        for text in ["", "10.0.0.1/8", "10.0.0.0/33", "10.0.0.0", "a b", "10.0.0.0/8/8"] {
            assert!(Network::try_from(text.to_owned()).is_err(), "{text}");
        }
    }
}
