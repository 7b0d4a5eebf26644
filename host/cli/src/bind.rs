//! Where a server of the broker listens, as it is written in a flag.

use std::{net::Ipv6Addr, str::FromStr};

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bind {
    /// Nowhere.
    Off,
    /// At a port of one host's address, or of every interface.
    At {
        /// A name or an address; `None` for every interface.
        host: Option<String>,
        /// The port; 0 for any that is free.
        port: u16,
    },
}

impl FromStr for Bind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str = "write it HOST:PORT, or :PORT for every interface, or 0 to turn it off";
        if text == "0" || text.is_empty() {
            return Ok(Self::Off);
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(|| format!("the port is missing; {FORM}"))?;
        let port = port.parse().map_err(|_| format!("{port:?} is not a port; {FORM}"))?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host = match (host, bare) {
            ("", _) => None,
            (_, Some(address)) if address.parse::<Ipv6Addr>().is_ok() => Some(address.to_owned()),
            (name, None) if !name.contains([':', '[', ']', '/', ' ']) => Some(name.to_owned()),
            _ => return Err(format!("{host:?} is not a host; {FORM}")),
        };
        Ok(Self::At { host, port })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_go_writes_them() {
        let at = |host: Option<&str>, port| Ok(Bind::At { host: host.map(str::to_owned), port });
        for (text, expected) in [
            ("0", Ok(Bind::Off)),
            (":8443", at(None, 8443)),
            ("127.0.0.1:8081", at(Some("127.0.0.1"), 8081)),
            ("localhost:0", at(Some("localhost"), 0)),
            ("[::1]:8081", at(Some("::1"), 8081)),
        ] {
            assert_eq!(text.parse::<Bind>(), expected, "{text}");
        }
        for text in ["8081", "localhost", ":http", ":70000", "::1:8081", "http://a:80", "[a]:80"] {
            let error = text.parse::<Bind>().unwrap_err();
            assert!(error.contains("HOST:PORT"), "{text}: {error}");
        }
    }
}
