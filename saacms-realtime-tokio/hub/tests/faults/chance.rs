//! Random choices that a seed repeats.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::OnceLock;

/// SplitMix64 (Steele, Lea, Flood 2014).
pub(crate) struct Chance(u64);

impl Chance {
    /// Another sequence for each caller; the same ones where `FAULTS_SEED` says so.
    pub(crate) fn new() -> Self {
        static SEED: OnceLock<u64> = OnceLock::new();
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let seed = SEED.get_or_init(|| {
            let given = std::env::var("FAULTS_SEED").ok().map(|seed| seed.parse());
            let seed = given.map(|seed| seed.expect("FAULTS_SEED is a number"));
            let seed = seed.unwrap_or_else(|| RandomState::new().build_hasher().finish());
            println!("FAULTS_SEED={seed}");
            seed
        });
        Self(seed.wrapping_add(NEXT.fetch_add(1, Relaxed) << 32))
    }

    /// A number below `limit`.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }
}
