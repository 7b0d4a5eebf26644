//! From the parts in config maps to the bytes of a component: joined, unpacked within a limit, and known by their digest.
//!

use std::{collections::BTreeMap, io::Read};

use flate2::read::MultiGzDecoder;
use k8s_openapi::api::core::v1::ConfigMap;
use resource_broker_api::{broker::ComponentPart, conditions::reason};
use sha2::{Digest as _, Sha256};

/// How gzip begins.
const GZIP: &[u8] = &[0x1f, 0x8b];
/// How zstd begins.
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
/// The largest window that a zstd stream may ask for, as a power of two: what its own tools take by default.
const ZSTD_WINDOW: u32 = 27;
/// How many of a config map's keys an error names.
const KEYS: usize = 10;

/// A component as it is handed to the sandbox.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Component {
    /// The bytes, unpacked.
    pub(super) bytes: Vec<u8>,
    /// Their SHA-256, in lower-case hex.
    pub(super) digest: String,
}

impl std::fmt::Debug for Component {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Component").field("size", &self.bytes.len()).field("digest", &self.digest).finish()
    }
}

/// Why there is no component. The text is fit for a condition.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum ComponentError {
    /// A config map is not there.
    #[error("ConfigMap {0} is not there: create it beside the Plugin, or correct spec.component")]
    ConfigMapMissing(String),
    /// A config map lacks the key.
    #[error("ConfigMap {config_map} has no key {key} under binaryData; it has {there}")]
    KeyMissing {
        /// The config map.
        config_map: String,
        /// The key that it lacks.
        key: String,
        /// What it has instead.
        there: String,
    },
    /// The key is among the texts.
    #[error(
        "ConfigMap {config_map} has the key {key} under data, where bytes are spoilt; put it under binaryData, as \
         kubectl create configmap --from-file does"
    )]
    KeyUnderData {
        /// The config map.
        config_map: String,
        /// The key.
        key: String,
    },
    /// The parts cannot be unpacked.
    #[error("the component looks like {format} and cannot be unpacked: {why}; are all parts there, in order?")]
    NotUnpackable {
        /// What it is packed with.
        format: &'static str,
        /// The decoder's words.
        why: String,
    },
    /// It is larger than any component may be.
    #[error("the component has more than the {limit} bytes that are allowed; build it with optimisation and stripped")]
    TooLarge {
        /// How many bytes it may have, unpacked.
        limit: usize,
    },
    /// It is another one than the Plugin says.
    #[error(
        "the component's SHA-256 is {found}, and spec.sha256 is {wanted}: another component is in the config map than \
         the Plugin means"
    )]
    Digest {
        /// What the Plugin says.
        wanted: String,
        /// What it is.
        found: String,
    },
}

impl ComponentError {
    /// The condition's reason.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::ConfigMapMissing(_) => reason::CONFIG_MAP_MISSING,
            Self::KeyMissing { .. } | Self::KeyUnderData { .. } => reason::KEY_MISSING,
            Self::NotUnpackable { .. } => reason::NOT_UNPACKABLE,
            Self::TooLarge { .. } => reason::TOO_LARGE,
            Self::Digest { .. } => reason::DIGEST_MISMATCH,
        }
    }
}

/// Joins `parts`, unpacks them to at most `limit` bytes, and checks the digest where one is `wanted`. `maps` has the
/// config maps by name.
pub(super) fn assemble(
    parts: &[ComponentPart],
    maps: &BTreeMap<String, ConfigMap>,
    wanted: Option<&str>,
    limit: usize,
) -> Result<Component, ComponentError> {
    let mut packed = Vec::new();
    for part in parts {
        let bytes = find(part, maps)?;
        if packed.len() + bytes.len() > limit {
            return Err(ComponentError::TooLarge { limit });
        }
        packed.extend_from_slice(bytes);
    }
    let bytes = unpack(packed, limit)?;
    let digest = digest(&bytes);
    match wanted {
        Some(wanted) if wanted != digest => Err(ComponentError::Digest { wanted: wanted.to_owned(), found: digest }),
        _ => Ok(Component { bytes, digest }),
    }
}

fn find<'a>(part: &ComponentPart, maps: &'a BTreeMap<String, ConfigMap>) -> Result<&'a [u8], ComponentError> {
    let ComponentPart { config_map, key } = part;
    let map = maps.get(config_map).ok_or_else(|| ComponentError::ConfigMapMissing(config_map.clone()))?;
    if let Some(bytes) = map.binary_data.as_ref().and_then(|data| data.get(key)) {
        return Ok(&bytes.0);
    }
    let (config_map, key) = (config_map.clone(), key.clone());
    if map.data.as_ref().is_some_and(|data| data.contains_key(&key)) {
        return Err(ComponentError::KeyUnderData { config_map, key });
    }
    let mut keys: Vec<&str> = map.binary_data.iter().flatten().map(|(key, _)| key.as_str()).collect();
    let more = keys.len().saturating_sub(KEYS);
    keys.truncate(KEYS);
    let there = match (keys.is_empty(), more) {
        (true, _) => "none there".to_owned(),
        (false, 0) => keys.join(", "),
        (false, more) => format!("{} and {more} more", keys.join(", ")),
    };
    Err(ComponentError::KeyMissing { config_map, key, there })
}

fn unpack(packed: Vec<u8>, limit: usize) -> Result<Vec<u8>, ComponentError> {
    if packed.starts_with(GZIP) {
        read("gzip", MultiGzDecoder::new(packed.as_slice()), limit)
    } else if packed.starts_with(ZSTD) {
        let why = |error: std::io::Error| ComponentError::NotUnpackable { format: "zstd", why: error.to_string() };
        let mut decoder = zstd::stream::read::Decoder::with_buffer(packed.as_slice()).map_err(why)?;
        decoder.window_log_max(ZSTD_WINDOW).map_err(why)?;
        read("zstd", decoder, limit)
    } else {
        Ok(packed)
    }
}

/// Reads to the end, but never much more than `limit`: a few kilobytes can unpack to gigabytes.
fn read(format: &'static str, from: impl Read, limit: usize) -> Result<Vec<u8>, ComponentError> {
    let mut bytes = Vec::new();
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    from.take(most)
        .read_to_end(&mut bytes)
        .map_err(|error| ComponentError::NotUnpackable { format, why: error.to_string() })?;
    if bytes.len() > limit { Err(ComponentError::TooLarge { limit }) } else { Ok(bytes) }
}

/// The SHA-256 in lower-case hex.
pub(super) fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use k8s_openapi::ByteString;

    use super::*;

    const LIMIT: usize = 1 << 20;

    fn map(binary: &[(&str, &[u8])], texts: &[&str]) -> ConfigMap {
        let binary = binary.iter().map(|(key, bytes)| ((*key).to_owned(), ByteString(bytes.to_vec())));
        let texts = texts.iter().map(|key| ((*key).to_owned(), String::new()));
        ConfigMap { binary_data: Some(binary.collect()), data: Some(texts.collect()), ..ConfigMap::default() }
    }

    fn part(config_map: &str, key: &str) -> ComponentPart {
        ComponentPart { config_map: config_map.into(), key: key.into() }
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn one(bytes: &[u8]) -> Result<Component, ComponentError> {
        let maps = BTreeMap::from([("m".to_owned(), map(&[("k", bytes)], &[]))]);
        assemble(&[part("m", "k")], &maps, None, LIMIT)
    }

    #[test]
    fn plain_gzip_and_zstd_are_the_same_component() {
        let bytes = b"\0asm and so on".repeat(1000);
        let digest = digest(&bytes);
        for packed in [bytes.clone(), gzip(&bytes), zstd::encode_all(bytes.as_slice(), 19).unwrap()] {
            assert_eq!(one(&packed).unwrap(), Component { bytes: bytes.clone(), digest: digest.clone() });
        }
    }

    #[test]
    fn parts_are_joined_in_their_order_and_then_unpacked() {
        let bytes: Vec<u8> = (0..50_000_u32).flat_map(u32::to_le_bytes).collect();
        let packed = gzip(&bytes);
        let (head, tail) = packed.split_at(packed.len() / 3);
        let maps = BTreeMap::from([
            ("first".to_owned(), map(&[("a", head)], &[])),
            ("second".to_owned(), map(&[("b", tail)], &[])),
        ]);
        let [a, b] = [part("first", "a"), part("second", "b")];
        assert_eq!(assemble(&[a.clone(), b.clone()], &maps, None, LIMIT).unwrap().bytes, bytes);
        let swapped = assemble(&[b, a.clone()], &maps, None, LIMIT).map(|component| component.bytes);
        assert_ne!(swapped, Ok(bytes), "the order counts");
        let half = assemble(&[a], &maps, None, LIMIT).unwrap_err();
        assert_eq!(half.reason(), reason::NOT_UNPACKABLE, "{half}");
    }

    #[test]
    fn what_is_missing_is_named() {
        let maps = BTreeMap::from([("m".to_owned(), map(&[("x.wasm", b""), ("y.wasm", b"")], &["text.wasm"]))]);
        for (config_map, key, reason, message) in [
            ("other", "x.wasm", reason::CONFIG_MAP_MISSING, "ConfigMap other is not there"),
            ("m", "z.wasm", reason::KEY_MISSING, "has no key z.wasm under binaryData; it has x.wasm, y.wasm"),
            ("m", "text.wasm", reason::KEY_MISSING, "has the key text.wasm under data"),
        ] {
            let error = assemble(&[part(config_map, key)], &maps, None, LIMIT).unwrap_err();
            assert_eq!(error.reason(), reason);
            assert!(error.to_string().contains(message), "{error}");
        }
    }

    #[test]
    fn another_component_than_the_plugin_means_is_refused_with_both_digests() {
        let maps = BTreeMap::from([("m".to_owned(), map(&[("k", b"bytes")], &[]))]);
        let right = digest(b"bytes");
        assert!(assemble(&[part("m", "k")], &maps, Some(&right), LIMIT).is_ok());
        let wrong = digest(b"other");
        let error = assemble(&[part("m", "k")], &maps, Some(&wrong), LIMIT).unwrap_err();
        assert!(error.to_string().contains(&right) && error.to_string().contains(&wrong), "{error}");
    }

    #[test]
    fn what_unpacks_without_end_is_stopped_at_the_limit() {
        let zeros = vec![0_u8; 256 << 20];
        for packed in [gzip(&zeros), zstd::encode_all(zeros.as_slice(), 3).unwrap()] {
            assert!(packed.len() < LIMIT, "{}", packed.len());
            assert_eq!(one(&packed), Err(ComponentError::TooLarge { limit: LIMIT }));
        }
        assert_eq!(one(&vec![1; LIMIT + 1]), Err(ComponentError::TooLarge { limit: LIMIT }));
        assert_eq!(one(&vec![1; LIMIT]).unwrap().bytes.len(), LIMIT);
    }

    #[test]
    fn broken_bytes_are_an_error_that_says_so() {
        let mut broken = gzip(&b"text".repeat(100));
        let middle = broken.len() / 2;
        broken[middle] ^= 0xff;
        for packed in [broken.as_slice(), ZSTD, &[0x1f, 0x8b, 0xff]] {
            let error = one(packed).unwrap_err();
            assert_eq!(error.reason(), reason::NOT_UNPACKABLE, "{error}");
        }
    }
}
