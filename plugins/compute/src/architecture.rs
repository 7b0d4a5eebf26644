//! Processor architectures, by all the names that people have for them.

use std::collections::BTreeMap;
use std::fmt;

/// Names as Kubernetes and container images write them, with what else they are called.
const KNOWN: &[(&str, &[&str])] = &[
    ("386", &["i386", "i486", "i586", "i686", "x86", "ia32"]),
    ("amd64", &["x86_64", "x86-64", "x64", "em64t", "intel64"]),
    ("arm", &["armhf", "armv7", "armv7l", "arm32"]),
    ("arm64", &["aarch64", "armv8", "arm64e", "armv9"]),
    ("loong64", &["loongarch64"]),
    ("mips64le", &["mips64el"]),
    ("ppc64le", &["ppc64el", "powerpc64le", "power"]),
    ("riscv64", &["riscv", "rv64", "rv64gc"]),
    ("s390x", &["s390", "zarch", "systemz"]),
];

/// An architecture with the level of its instruction set, where one was asked for: `amd64/v3` has AVX2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Architecture {
    /// The one name for it; an unknown one as it was written, in lower case.
    pub name: String,
    /// What is written behind `/v`; 1 is what every processor of the architecture has.
    pub level: Option<u8>,
}

/// The known architectures and an operator's additions to them.
#[derive(Clone, Debug)]
pub struct Architectures<'a> {
    /// More names, each with the architecture that it stands for.
    pub aliases: &'a BTreeMap<String, String>,
}

impl Architectures<'_> {
    /// Reads `x86_64`, `linux/arm64`, `amd64/v3` and `x86-64-v3` in any case; `None` if the text cannot be a name.
    pub fn read(&self, text: &str) -> Option<Architecture> {
        let lower = text.to_ascii_lowercase();
        let lower = lower.strip_prefix("linux/").unwrap_or(&lower);
        let (name, level) = split_level(lower);
        let possible = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if name.is_empty() || name.len() > 63 || !name.chars().all(possible) {
            return None;
        }
        Some(Architecture { name: self.resolve(name), level })
    }

    /// Whether there is such an architecture, by its one name.
    pub fn knows(&self, architecture: &Architecture) -> bool {
        let name = &architecture.name;
        KNOWN.iter().any(|(known, _)| known == name) || self.aliases.values().any(|added| added == name)
    }

    /// All of them, for a message.
    pub fn list(&self) -> String {
        let mut names: Vec<&str> = KNOWN.iter().map(|(name, _)| *name).collect();
        names.extend(
            self.aliases.values().map(String::as_str).filter(|name| !KNOWN.iter().any(|(known, _)| known == name)),
        );
        names.sort_unstable();
        names.dedup();
        names.join(", ")
    }

    fn resolve(&self, name: &str) -> String {
        if let Some(target) = self.aliases.get(name) {
            return target.clone();
        }
        KNOWN
            .iter()
            .find(|(known, others)| *known == name || others.contains(&name))
            .map_or_else(|| name.to_owned(), |(known, _)| (*known).to_owned())
    }
}

/// The name and the level behind it: `amd64/v3`, `x86-64-v3`, `x86_64_v3`. The `v8` of `arm64/v8` is a version of the
/// architecture that all of them have.
fn split_level(text: &str) -> (&str, Option<u8>) {
    let split = text.rfind(['/', '-', '_']).and_then(|at| {
        let level = text[at + 1..].strip_prefix('v')?;
        Some((&text[..at], level.parse::<u8>().ok()?))
    });
    match split {
        Some(("arm64" | "aarch64", 8)) => ("arm64", None),
        Some((name, level)) => (name, Some(level)),
        None => (text, None),
    }
}

impl Architecture {
    /// Whether a machine of this architecture runs what asks for `wanted`: the same architecture, and a level that is no
    /// lower. An offer that names no level vouches for the first one alone.
    pub fn runs(&self, wanted: &Self) -> bool {
        self.name == wanted.name && self.level.unwrap_or(1) >= wanted.level.unwrap_or(1)
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.level {
            Some(level) => write!(f, "{}/v{level}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<String> {
        let aliases =
            BTreeMap::from([("graviton".to_owned(), "arm64".to_owned()), ("dsp".to_owned(), "hexagon".to_owned())]);
        Architectures { aliases: &aliases }.read(text).map(|architecture| architecture.to_string())
    }

    #[test]
    fn every_name_leads_to_the_same_one() {
        for (text, expected) in [
            ("x86_64", "amd64"),
            ("X86-64", "amd64"),
            ("AMD64", "amd64"),
            ("aarch64", "arm64"),
            ("linux/arm64", "arm64"),
            ("linux/arm64/v8", "arm64"),
            ("amd64/v3", "amd64/v3"),
            ("x86-64-v3", "amd64/v3"),
            ("x86_64_v2", "amd64/v2"),
            ("ppc64el", "ppc64le"),
            ("graviton", "arm64"),
            ("dsp", "hexagon"),
            ("quantum", "quantum"),
        ] {
            assert_eq!(read(text).as_deref(), Some(expected), "{text}");
        }
        for text in ["", "/v3", "x86 64", "amd64/v300", "a/b", "ü"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn names_are_known_once() {
        let mut names: Vec<&str> =
            KNOWN.iter().flat_map(|(name, others)| others.iter().chain([name])).copied().collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn a_machine_runs_what_asks_for_no_more_than_it_has() {
        let none = BTreeMap::new();
        let all = Architectures { aliases: &none };
        for (machine, wanted, runs) in [
            ("amd64", "x86_64", true),
            ("amd64", "amd64/v1", true),
            ("amd64", "amd64/v3", false),
            ("amd64/v3", "amd64", true),
            ("amd64/v3", "amd64/v2", true),
            ("amd64/v2", "amd64/v3", false),
            ("arm64", "amd64", false),
        ] {
            let (machine, wanted) = (all.read(machine).unwrap(), all.read(wanted).unwrap());
            assert_eq!(machine.runs(&wanted), runs, "{machine} {wanted}");
        }
        assert!(all.knows(&all.read("x64").unwrap()) && !all.knows(&all.read("quantum").unwrap()));
    }
}
