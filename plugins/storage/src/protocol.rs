//! How a file system is shared: a protocol and, as far as it is written, its version.

use resource_broker_sdk::version::Version;

/// A protocol as people write it: `nfs`, `nfs4.1`, `NFSv4.1`, `smb-3.1.1`, `cifs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protocol {
    /// Its name in lower case, by whatever name it was written.
    pub name: String,
    /// Its version; `None`: any.
    pub version: Option<Version>,
}

/// The one name of a protocol. Case does not count.
pub fn resolve(name: &str) -> String {
    match name.trim().to_ascii_lowercase().as_str() {
        "cifs" | "samba" => "smb".to_owned(),
        other => other.to_owned(),
    }
}

impl Protocol {
    /// Reads a protocol.
    ///
    /// # Errors
    ///
    /// A sentence, if what follows the name is no version.
    pub fn parse(text: &str) -> Result<Self, String> {
        let lower = text.trim().to_ascii_lowercase();
        let digits = lower.find(|character: char| character.is_ascii_digit()).unwrap_or(lower.len());
        let (name, version) = lower.split_at(digits);
        let name = name.trim_end_matches(['-', '_', '/', ' ', ':']);
        // The v of nfsv4.1 belongs to the version.
        let name = if version.is_empty() { name } else { name.strip_suffix('v').unwrap_or(name) };
        let name = resolve(name.trim_end_matches(['-', '_', '/', ' ', ':']));
        if name.is_empty() {
            return Err("names no protocol: write one as nfs, nfs4.1 or smb3".to_owned());
        }
        if version.is_empty() {
            return Ok(Self { name, version: None });
        }
        match version.parse() {
            Ok(version) => Ok(Self { name, version: Some(version) }),
            Err(_) => Err(format!("has no version after {name}: write it as {name}4.1, or {name} for any version")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocols_are_written_in_many_ways() {
        for (text, name, version) in [
            ("nfs", "nfs", None),
            ("nfs4.1", "nfs", Some("4.1")),
            ("NFSv4.1", "nfs", Some("4.1")),
            ("nfs-4", "nfs", Some("4")),
            ("NFS/v3", "nfs", Some("3")),
            ("smb3.1.1", "smb", Some("3.1.1")),
            ("CIFS", "smb", None),
            ("samba 3", "smb", Some("3")),
            ("cephfs", "cephfs", None),
            ("9p", "", None),
        ] {
            let version: Option<Version> = version.map(|version: &str| version.parse().unwrap());
            match Protocol::parse(text) {
                Ok(read) => assert_eq!(read, Protocol { name: name.to_owned(), version }, "{text}"),
                Err(message) => assert!(name.is_empty(), "{text}: {message}"),
            }
        }
        for text in ["", "4.1", "v4", "nfs4..1", "smb3 or 2"] {
            assert!(Protocol::parse(text).is_err(), "{text}");
        }
    }
}
