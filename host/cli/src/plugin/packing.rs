//! Packs a component into ConfigMaps that plain `kubectl apply` can bring to a cluster.

use std::io::Write as _;

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;
use flate2::{Compression, write::GzEncoder};

/// How many bytes one ConfigMap carries. `kubectl apply` keeps what it applied in an annotation, as JSON, and all
/// annotations of an object together have at most 256 KiB: base64 makes 4 bytes of 3, and the rest is for names.
pub(super) const PART_BYTES: usize = 180_000;
/// How many parts a Plugin may name.
const MAX_PARTS: usize = 64;
/// Small rather than quick; the levels above want much memory to unpack.
const ZSTD_LEVEL: i32 = 19;

/// How the component is compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Compress {
    /// The smallest
    #[default]
    Auto,
    /// As it is
    None,
    /// gzip
    Gzip,
    /// zstd
    Zstd,
}

/// A component as it lies in ConfigMaps.
pub(super) struct Packed {
    /// What is told to people: `gzip`, `zstd` or `uncompressed`.
    pub(super) encoding: &'static str,
    /// The key in a ConfigMap's binaryData.
    pub(super) key: &'static str,
    bytes: Vec<u8>,
}

impl Packed {
    /// The size in bytes.
    pub(super) fn size(&self) -> usize {
        self.bytes.len()
    }

    /// The pieces for one ConfigMap each, in their order; at least one.
    pub(super) fn parts(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.bytes.chunks(PART_BYTES)
    }
}

/// Compresses a component as asked.
///
/// # Errors
/// If it needs more parts than a Plugin may name.
pub(super) fn pack(component: &[u8], how: Compress) -> Result<Packed> {
    let packed = match how {
        Compress::None => Packed { encoding: "uncompressed", key: "component.wasm", bytes: component.to_vec() },
        Compress::Gzip => gzip(component)?,
        Compress::Zstd => zstd(component)?,
        Compress::Auto => {
            let (gzip, zstd) = (gzip(component)?, zstd(component)?);
            if zstd.size() < gzip.size() { zstd } else { gzip }
        }
    };
    let parts = packed.parts().len();
    if parts > MAX_PARTS {
        bail!(
            "the component has {} bytes {}, which are {parts} ConfigMaps, and a Plugin may name {MAX_PARTS}: make it \
             smaller, or compress it",
            packed.size(),
            packed.encoding
        );
    }
    Ok(packed)
}

fn gzip(component: &[u8]) -> Result<Packed> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(component).context("gzip failed")?;
    let bytes = encoder.finish().context("gzip failed")?;
    Ok(Packed { encoding: "gzip", key: "component.wasm.gz", bytes })
}

fn zstd(component: &[u8]) -> Result<Packed> {
    let bytes = zstd::bulk::compress(component, ZSTD_LEVEL).context("zstd failed")?;
    Ok(Packed { encoding: "zstd", key: "component.wasm.zst", bytes })
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    /// Bytes that compress somewhat, the same in each run.
    fn sample(size: usize) -> Vec<u8> {
        (0..size).map(|index| ((index * index) >> 7).to_le_bytes()[0] & 0x3f).collect()
    }

    #[test]
    fn what_is_packed_unpacks_to_the_same() {
        let component = sample(700_000);
        let joined = |how| pack(&component, how).unwrap().parts().collect::<Vec<_>>().concat();
        assert_eq!(joined(Compress::None), component);
        let mut unpacked = Vec::new();
        flate2::read::GzDecoder::new(joined(Compress::Gzip).as_slice()).read_to_end(&mut unpacked).unwrap();
        assert_eq!(unpacked, component);
        let zstd = joined(Compress::Zstd);
        assert_eq!(zstd::decode_all(zstd.as_slice()).unwrap(), component);
        let auto = joined(Compress::Auto).len();
        assert_eq!(auto, zstd.len().min(joined(Compress::Gzip).len()));
    }

    #[test]
    fn parts_are_as_few_as_they_can_be() {
        for (size, parts) in [(1, 1), (PART_BYTES, 1), (PART_BYTES + 1, 2), (PART_BYTES * MAX_PARTS, MAX_PARTS)] {
            assert_eq!(pack(&vec![1; size], Compress::None).unwrap().parts().len(), parts, "{size} bytes");
        }
        let error = pack(&vec![1; PART_BYTES * MAX_PARTS + 1], Compress::None).err().unwrap().to_string();
        assert!(error.contains("65 ConfigMaps"), "{error}");
    }
}
