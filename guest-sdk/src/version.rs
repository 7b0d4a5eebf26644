//! Versions and ranges of versions.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use semver::{BuildMetadata, Comparator, Op, Prerelease, VersionReq};

use crate::value::{ParseError, serde_as_text};

const EXPECTED: &str = "a version, such as 15, 15.4 or v1.30.2";
const EXPECTED_RANGE: &str = "a range of versions, such as \">=15, <18\", \"^8\", \"15.x\" or \"15 || 16\"";
/// What begins the name of a pre-release. Every other suffix is a vendor's build of the release.
const PRERELEASES: [&str; 10] = ["alpha", "beta", "rc", "pre", "preview", "dev", "snapshot", "nightly", "canary", "m"];

/// A version, read leniently: `15`, `15.4`, `v1.30`, `8.0.36-27`, `22.04` and `1.30.2+k3s1` are all versions.
///
/// Numbers that are not written are zero. A suffix is a pre-release, and older than its release, where it says so (`alpha`,
/// `beta`, `rc`, `pre`, `preview`, `dev`, `snapshot`, `nightly`, `canary`, `m1`). Any other (`-27`, `-gke.100`, `.5`) is a
/// vendor's build, newer than the release by itself and of no account to a [`Range`].
///
/// ```
/// # use resource_broker_sdk::version::Version;
/// # fn main() -> Result<(), resource_broker_sdk::Error> {
/// let version: Version = "v1.30".parse()?;
/// assert_eq!((version.major(), version.minor(), version.patch()), (1, 30, 0));
/// assert_eq!(version.written(), 2);
/// assert!(version < "1.30.1".parse()?);
/// assert!("17rc1".parse::<Version>()? < "17".parse()?);
/// assert!("8.0.36-27".parse::<Version>()? > "8.0.36".parse()?);
/// assert_eq!(version.to_string(), "v1.30", "as it was written");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Version {
    text: String,
    semver: semver::Version,
    written: u8,
}

impl Version {
    /// The first number.
    pub fn major(&self) -> u64 {
        self.semver.major
    }

    /// The second number; zero if it is not written.
    pub fn minor(&self) -> u64 {
        self.semver.minor
    }

    /// The third number; zero if it is not written.
    pub fn patch(&self) -> u64 {
        self.semver.patch
    }

    /// How many of the three numbers are written: 1 for `15`, 3 for `15.4.2`.
    pub fn written(&self) -> u8 {
        self.written
    }

    /// Whether it comes before a release, as `17rc1` does.
    pub fn is_prerelease(&self) -> bool {
        !self.semver.pre.is_empty()
    }

    /// The first version that begins with what is written, and the first after all of them.
    fn span(&self) -> (Triple, Triple) {
        let semver::Version { major, minor, patch, .. } = &self.semver;
        let (minor, patch) = ((self.written > 1).then_some(*minor), (self.written > 2).then_some(*patch));
        span(*major, minor, patch)
    }
}

impl FromStr for Version {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        parse(text).ok_or_else(|| ParseError::new(text, EXPECTED))
    }
}

fn parse(text: &str) -> Option<Version> {
    let mut rest = text.strip_prefix(['v', 'V']).unwrap_or(text);
    let mut numbers = [0; 3];
    let mut written = 0;
    for number in &mut numbers {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        *number = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        written += 1;
        let more = rest.strip_prefix('.').filter(|more| more.starts_with(|c: char| c.is_ascii_digit()));
        match more {
            Some(more) if written < 3 => rest = more,
            _ => break,
        }
    }
    let [major, minor, patch] = numbers;
    let (pre, build) = suffix(rest)?;
    Some(Version { text: text.to_owned(), semver: semver::Version { major, minor, patch, pre, build }, written })
}

/// Tells a pre-release from a build.
fn suffix(text: &str) -> Option<(Prerelease, BuildMetadata)> {
    if text.is_empty() {
        return Some((Prerelease::EMPTY, BuildMetadata::EMPTY));
    }
    let (name, build) = text.split_once('+').unwrap_or((text, ""));
    let name = name.strip_prefix(['-', '.', '_']).unwrap_or(name);
    let word: String = name.chars().take_while(char::is_ascii_alphabetic).map(|c| c.to_ascii_lowercase()).collect();
    if PRERELEASES.contains(&word.as_str()) {
        // rc10 comes after rc9: its number is an identifier of its own.
        let number = name[word.len()..].trim_start_matches(['.', '-', '_']);
        let pre = if number.is_empty() { word } else { format!("{word}.{}", identifiers(number)?) };
        let build = if build.is_empty() { BuildMetadata::EMPTY } else { build_of(build)? };
        return Some((Prerelease::new(&pre).ok()?, build));
    }
    let separated = text.starts_with(['-', '.', '+', '_']);
    if !separated {
        return None;
    }
    Some((Prerelease::EMPTY, build_of(&text[1..])?))
}

fn build_of(text: &str) -> Option<BuildMetadata> {
    BuildMetadata::new(&identifiers(text)?).ok()
}

/// As semver writes them: separated by dots, numbers without leading zeros.
fn identifiers(text: &str) -> Option<String> {
    let identifiers: Vec<&str> = text
        .split(['.', '+', '_', '~'])
        .map(|part| {
            let number = !part.is_empty() && part.bytes().all(|c| c.is_ascii_digit());
            let trimmed = if number { part.trim_start_matches('0') } else { part };
            if number && trimmed.is_empty() { "0" } else { trimmed }
        })
        .collect();
    (!identifiers.iter().any(|part| part.is_empty())).then(|| identifiers.join("."))
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq for Version {
    /// `15`, `15.0` and `v15.0.0` are the same.
    fn eq(&self, other: &Self) -> bool {
        self.semver == other.semver
    }
}

impl Eq for Version {}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        self.semver.cmp(&other.semver)
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Hash for Version {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.semver.hash(state);
    }
}

serde_as_text!(Version);

type Triple = (u64, u64, u64);
const FIRST: Triple = (0, 0, 0);
const LAST: Triple = (u64::MAX, u64::MAX, u64::MAX);

/// From the first version that begins so to the first after all of them.
fn span(major: u64, minor: Option<u64>, patch: Option<u64>) -> (Triple, Triple) {
    let after = match (minor, patch) {
        (None, _) => (major.saturating_add(1), 0, 0),
        (Some(minor), None) => (major, minor.saturating_add(1), 0),
        (Some(minor), Some(patch)) => (major, minor, patch.saturating_add(1)),
    };
    ((major, minor.unwrap_or(0), patch.unwrap_or(0)), after)
}

/// A range of versions.
///
/// It reads what npm and cargo have in common, and most of npm's own grammar: comparisons (`>=15, <18`, with or without the
/// comma), `^8.1`, `~8.1`, `1.2 - 1.4`, `15.x` and `*` without an operator, and `||` between alternatives. A version by itself stands for all that
/// begin with it, as in npm: `15.4` is `15.4.x`.
///
/// A pre-release is within a range only if a bound of the range names a pre-release of the same version.
///
/// ```
/// # use resource_broker_sdk::version::Range;
/// # fn main() -> Result<(), resource_broker_sdk::Error> {
/// let supported: Range = ">=15, <17 || 18".parse()?;
/// assert!(supported.contains(&"16.4".parse()?));
/// assert!(!supported.contains(&"17".parse()?));
/// assert!(supported.contains(&"18.2-27".parse()?));
/// assert!(!supported.contains(&"18rc1".parse()?));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    text: String,
    alternatives: Vec<VersionReq>,
}

impl Range {
    /// Whether the version is within the range; numbers that are not written count as zero.
    pub fn contains(&self, version: &Version) -> bool {
        self.alternatives.iter().any(|alternative| alternative.matches(&version.semver))
    }

    /// Whether some version that begins with what is written is within the range: `15` meets `>=15.4`, although it does not
    /// contain 15.0.0.
    ///
    /// ```
    /// # use resource_broker_sdk::version::{Range, Version};
    /// let range: Range = ">=15.4, <16".parse().unwrap();
    /// let asked: Version = "15".parse().unwrap();
    /// assert!(range.meets(&asked));
    /// assert!(!range.contains(&asked));
    /// assert!(!range.meets(&"15.3".parse().unwrap()));
    /// ```
    pub fn meets(&self, version: &Version) -> bool {
        if version.is_prerelease() || version.written() == 3 {
            return self.contains(version);
        }
        let asked = version.span();
        self.alternatives.iter().any(|alternative| {
            let (from, to) = alternative
                .comparators
                .iter()
                .map(bounds)
                .fold(asked, |(from, to), (low, high)| (from.max(low), to.min(high)));
            from < to
        })
    }
}

/// From the first version that keeps to the comparison to the first after all of them.
fn bounds(comparator: &Comparator) -> (Triple, Triple) {
    let Comparator { major, minor, patch, .. } = *comparator;
    let (from, after) = span(major, minor, patch);
    match comparator.op {
        Op::Greater if comparator.pre.is_empty() => (after, LAST),
        Op::Greater | Op::GreaterEq => (from, LAST),
        Op::Less => (FIRST, from),
        Op::LessEq => (FIRST, after),
        Op::Tilde => (from, span(major, minor, None).1),
        Op::Caret => (from, caret_end(major, minor, patch)),
        Op::Wildcard | Op::Exact => (from, after),
        // A comparison that semver may learn some day: it is not known to exclude anything.
        _ => (FIRST, LAST),
    }
}

/// `^` keeps the first number that is not zero.
fn caret_end(major: u64, minor: Option<u64>, patch: Option<u64>) -> Triple {
    match (major, minor, patch) {
        (0, Some(0), _) => span(0, Some(0), patch).1,
        (0, Some(minor), _) => span(0, Some(minor), None).1,
        (major, _, _) => span(major, None, None).1,
    }
}

impl FromStr for Range {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let alternatives: Option<Vec<VersionReq>> = text.split("||").map(alternative).collect();
        match alternatives {
            Some(alternatives) => Ok(Self { text: text.to_owned(), alternatives }),
            None => Err(ParseError::new(text, EXPECTED_RANGE)),
        }
    }
}

/// Comparisons that all have to hold, in the one grammar that semver reads.
fn alternative(text: &str) -> Option<VersionReq> {
    let text = text.trim();
    if let Some((from, to)) = text.split_once(" - ") {
        let (from, to) = (bare(from.trim())?, bare(to.trim())?);
        return VersionReq::parse(&format!(">={from}, <={to}")).ok();
    }
    let mut comparisons: Vec<String> = Vec::new();
    // One that stands apart from its version, as in `>= 15`.
    let mut operator = "";
    for word in text.split([',', ' ', '\t']).filter(|word| !word.is_empty()) {
        let version = word.trim_start_matches(['<', '>', '=', '^', '~']);
        let written = &word[..word.len() - version.len()];
        match (operator, written, version) {
            ("", written, "") => operator = written,
            ("", written, version) => comparisons.push(comparison(written, version)?),
            (_, "", version) => comparisons.push(comparison(std::mem::take(&mut operator), version)?),
            _ => return None,
        }
    }
    if !operator.is_empty() || comparisons.is_empty() {
        return None;
    }
    VersionReq::parse(&comparisons.join(", ")).ok()
}

fn comparison(operator: &str, version: &str) -> Option<String> {
    let version = bare(version)?;
    let wild = is_wild(&version);
    match operator {
        "" if wild => Some(version),
        // semver would read a version by itself as `^`.
        "" | "=" | "==" => Some(if wild { version } else { format!("={version}") }),
        ">" | ">=" | "<" | "<=" | "^" | "~" if !wild => Some(format!("{operator}{version}")),
        _ => None,
    }
}

/// Whether a part of it stands for any number.
fn is_wild(version: &str) -> bool {
    version.split('.').any(|part| matches!(part, "*" | "x" | "X"))
}

/// A version without the `v` that many write in front, and without leading zeros.
fn bare(version: &str) -> Option<String> {
    let version = version.strip_prefix(['v', 'V']).unwrap_or(version);
    if is_wild(version) {
        return Some(version.to_owned());
    }
    let Version { semver, written, .. } = parse(version)?;
    let numbers = [semver.major, semver.minor, semver.patch].map(|number| number.to_string());
    let pre = if semver.pre.is_empty() { String::new() } else { format!("-{}", semver.pre) };
    // semver wants all three numbers where there is a pre-release.
    let written = if pre.is_empty() { usize::from(written) } else { numbers.len() };
    Some(format!("{}{pre}", numbers[..written].join(".")))
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

serde_as_text!(Range);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn version(text: &str) -> Version {
        text.parse().unwrap_or_else(|error| panic!("{error}"))
    }

    fn range(text: &str) -> Range {
        text.parse().unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn versions_are_read_leniently() {
        for (text, expected, written) in [
            ("15", "15.0.0", 1),
            ("15.4", "15.4.0", 2),
            ("v1.30", "1.30.0", 2),
            ("V1.30.2", "1.30.2", 3),
            ("22.04", "22.4.0", 2),
            ("8.0.36-27", "8.0.36+27", 3),
            ("15.0.2000.5", "15.0.2000+5", 3),
            ("1.30.2+k3s1", "1.30.2+k3s1", 3),
            ("1.30.4-gke.1348000", "1.30.4+gke.1348000", 3),
            ("15-alpine", "15.0.0+alpine", 1),
            ("15.4-1.pgdg120+1", "15.4.0+1.pgdg120.1", 2),
            ("17rc1", "17.0.0-rc.1", 1),
            ("17-RC.2", "17.0.0-rc.2", 1),
            ("1.0.0-alpha", "1.0.0-alpha", 3),
            ("1.0.0-beta.2+build.5", "1.0.0-beta.2+build.5", 3),
            ("8.0.0-m10", "8.0.0-m.10", 3),
            ("9.0.0-preview.1", "9.0.0-preview.1", 3),
        ] {
            let read = version(text);
            assert_eq!(read.semver.to_string(), expected, "{text}");
            assert_eq!((read.written(), read.to_string().as_str()), (written, text));
        }
    }

    #[test]
    fn other_texts_are_no_versions() {
        for text in
            ["", "v", "latest", "15.", "15..4", ".15", "15,4", "-1", "15x", "1.2.3-", "1 2", "99999999999999999999"]
        {
            assert!(text.parse::<Version>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn versions_are_ordered() {
        let ordered =
            ["9", "10-alpha", "10beta2", "10beta10", "10rc1", "10", "10.0.0-9", "10.0.0-27", "10.0.1", "10.1", "11"];
        for pair in ordered.windows(2) {
            assert!(version(pair[0]) < version(pair[1]), "{pair:?}");
        }
        assert_eq!(version("v15"), version("15.0.0"));
    }

    #[test]
    fn ranges_contain_versions() {
        for (text, within, without) in [
            (">=15, <18", vec!["15", "17.9"], vec!["14.9", "18", "18rc1", "15rc1"]),
            (">=15 <18", vec!["15", "17.9"], vec!["14.9", "18"]),
            (">= v15 , < 18", vec!["15"], vec!["18"]),
            ("15", vec!["15", "15.9.1"], vec!["14", "16"]),
            ("15.4", vec!["15.4", "15.4.9", "15.4.1-27"], vec!["15.5", "15.3"]),
            ("15.4.2", vec!["15.4.2", "15.4.2-27"], vec!["15.4.3"]),
            ("=15", vec!["15.2"], vec!["16"]),
            ("15.x", vec!["15", "15.9"], vec!["16"]),
            ("15.x.x", vec!["15.9"], vec!["16"]),
            ("15.*", vec!["15.9"], vec!["16"]),
            ("*", vec!["0.1", "99"], vec!["99rc1"]),
            ("^8", vec!["8", "8.9"], vec!["9", "7.9"]),
            ("^0.2.3", vec!["0.2.3", "0.2.9"], vec!["0.3", "0.2.2"]),
            ("~8.1", vec!["8.1", "8.1.9"], vec!["8.2"]),
            (">8", vec!["9"], vec!["8", "8.9"]),
            ("<=8", vec!["8.9"], vec!["9"]),
            ("1.2 - 1.4", vec!["1.2", "1.4.9"], vec!["1.5", "1.1"]),
            ("15 || 16", vec!["15", "16.2"], vec!["17"]),
            (">=22.04", vec!["22.04", "22.10"], vec!["20.04"]),
            (">=17rc1", vec!["17rc1", "17rc2", "17"], vec!["17beta1", "18rc1"]),
        ] {
            for inside in within {
                assert!(range(text).contains(&version(inside)), "{inside} is within {text}");
            }
            for outside in without {
                assert!(!range(text).contains(&version(outside)), "{outside} is not within {text}");
            }
        }
    }

    #[test]
    fn other_texts_are_no_ranges() {
        for text in [
            "", " ", "||", "15 ||", "nonsense", ">=", ">= <15", "15 - ", "=>15", ">=15,, x", "<>15", ">15.x", "15 16 y",
        ] {
            assert!(text.parse::<Range>().is_err(), "{text:?}");
        }
    }

    /// Every version of small numbers that begins with the numbers of `asked`.
    fn beginning_with(asked: &[u64]) -> impl Iterator<Item = Version> {
        let asked = asked.to_vec();
        (0..6_u64.pow(3))
            .map(|n| [n / 36, n / 6 % 6, n % 6])
            .filter(move |n| n.starts_with(&asked))
            .map(|[a, b, c]| version(&format!("{a}.{b}.{c}")))
    }

    proptest! {
        /// Asks the same question of every version there is.
        #[test]
        fn a_range_meets_what_is_written_if_it_contains_a_version_that_begins_so(
            bounds in prop::collection::vec((0..8_usize, prop::collection::vec(0..4_u64, 1..=3)), 1..=2),
            asked in prop::collection::vec(0..4_u64, 1..=3),
        ) {
            let dotted = |numbers: &[u64]| numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(".");
            let operators = ["", "=", ">", ">=", "<", "<=", "^", "~"];
            let text = bounds.iter().map(|(operator, numbers)| format!("{}{}", operators[*operator], dotted(numbers)));
            let range = range(&text.collect::<Vec<_>>().join(", "));
            let expected = beginning_with(&asked).any(|version| range.contains(&version));
            prop_assert_eq!(range.meets(&version(&dotted(&asked))), expected, "{} and {:?}", range, asked);
        }

        #[test]
        fn no_text_panics(text in "[-v0-9.<>=^~|, xrc*]{0,30}") {
            let _ = (text.parse::<Version>(), text.parse::<Range>());
        }
    }

    #[test]
    fn serde_takes_texts_and_numbers() {
        let read: Vec<Version> = serde_json::from_value(json!(["v15.4", 15, 15.5])).unwrap();
        assert_eq!(read, [version("15.4"), version("15"), version("15.5")]);
        let read: Range = serde_json::from_value(json!(15)).unwrap();
        assert_eq!(serde_json::to_value(read).unwrap(), json!("15"));
    }
}
