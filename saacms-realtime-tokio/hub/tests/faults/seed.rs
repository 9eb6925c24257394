//! The seed of a run: random, or given by `FAULTS_SEED`.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::OnceLock;

use crate::chance::Chance;

/// Random choices, different for each caller but the same again for the same `FAULTS_SEED`.
pub(crate) fn chance() -> Chance {
    static SEED: OnceLock<u64> = OnceLock::new();
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let seed = SEED.get_or_init(|| {
        let seed = match std::env::var("FAULTS_SEED") {
            Ok(text) => text.parse().expect("FAULTS_SEED is a number"),
            Err(_) => RandomState::new().build_hasher().finish(),
        };
        println!("FAULTS_SEED={seed}");
        seed
    });
    Chance::new(seed.wrapping_add(NEXT.fetch_add(1, Relaxed) << 32))
}
