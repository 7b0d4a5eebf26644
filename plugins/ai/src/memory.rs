//! How much accelerator memory a model needs, estimated from what its name says.
//!
//! ```text
//! weights = parameters × bits a weight / 8
//! cache   = bytes a token × context × sequences
//! memory  = weights × (100 + overhead) / 100 + cache
//! ```
//!
//! Bytes a token are those of the key-value cache of a transformer with grouped-query attention and 16-bit entries, which
//! the name does not tell: they are read off a table by the number of parameters. That errs on the safe side for mixtures
//! of experts and for compressed caches, and is too low for old models with full multi-head attention.

use crate::quantisation::Quantisation;
use crate::size::Size;

/// Up to how many million parameters a model has how many KiB of cache for each token.
const CACHE_KIB: &[(u64, u64)] = &[
    (1_500, 32),
    (5_000, 112),
    (11_000, 128),
    (24_000, 192),
    (45_000, 256),
    (90_000, 320),
    (180_000, 384),
    (u64::MAX, 512),
];

/// How a model is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of one sequence, its answer included.
    pub context: u64,
    /// Sequences at the same time.
    pub sequences: u64,
    /// What the runtime takes beside the weights, in percent of them.
    pub overhead_percent: u64,
}

/// The bytes that the model needs; as large as it gets where the true number is larger still.
pub fn estimate(size: Size, quantisation: Quantisation, usage: Usage) -> u128 {
    let weights = u128::from(size.millions()) * 1_000_000 * u128::from(quantisation.centibits) / 800;
    let with_overhead = weights.saturating_mul(100 + u128::from(usage.overhead_percent)) / 100;
    with_overhead.saturating_add(cache_of_a_token(size) * u128::from(usage.context) * u128::from(usage.sequences))
}

fn cache_of_a_token(size: Size) -> u128 {
    let kib = CACHE_KIB.iter().find(|(largest, _)| size.millions() <= *largest).map_or(0, |(_, kib)| *kib);
    u128::from(kib) * 1_024
}

/// Bytes for people, rounded up to a tenth of a GiB.
pub fn in_gib(bytes: u128) -> String {
    let tenths = bytes.saturating_mul(10).div_ceil(1 << 30);
    if tenths.is_multiple_of(10) { format!("{}Gi", tenths / 10) } else { format!("{}.{}Gi", tenths / 10, tenths % 10) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quantisation::NONE;

    const LONE: Usage = Usage { context: 8_192, sequences: 1, overhead_percent: 10 };

    fn gib(size: &str, scheme: &str, usage: Usage) -> String {
        in_gib(estimate(size.parse().unwrap(), Quantisation::named(scheme).unwrap(), usage))
    }

    #[test]
    fn estimates_are_near_what_is_known() {
        // 140 GB of weights are 130.4 GiB; a tenth more, and 2.5 GiB of cache.
        assert_eq!(gib("70b", "none", LONE), "146Gi");
        assert_eq!(gib("70b", "awq", LONE), "40.6Gi");
        assert_eq!(gib("8b", "fp8", LONE), "9.2Gi");
        assert_eq!(gib("8b", "q4_k_m", Usage { overhead_percent: 0, ..LONE }), "5.6Gi");
        assert_eq!(gib("8b", "none", Usage { context: 131_072, sequences: 4, overhead_percent: 0 }), "79Gi");
    }

    #[test]
    fn more_of_anything_needs_no_less() {
        let sizes: Vec<Size> = (0..400).map(|step| Size::of_millions(1 + step * 977)).collect();
        assert!(sizes.is_sorted_by_key(|size| estimate(*size, NONE, LONE)));
        let smaller = estimate(sizes[9], NONE, LONE);
        for usage in
            [Usage { context: 8_193, ..LONE }, Usage { sequences: 2, ..LONE }, Usage { overhead_percent: 11, ..LONE }]
        {
            assert!(estimate(sizes[9], NONE, usage) > smaller, "{usage:?}");
        }
    }

    #[test]
    fn nothing_overflows() {
        let usage = Usage { context: u64::MAX, sequences: 1, overhead_percent: u64::MAX };
        assert!(estimate(Size::of_millions(u64::MAX), NONE, usage) > 1 << 100);
    }
}
