//! Random walks over a hub, checked against a reference that is too simple to be wrong.
//!
//! `SAACMS_SEEDS=17` repeats one seed; `SAACMS_SEEDS=0..100000` runs many.
#![cfg(feature = "std")]

#[path = "../support/mod.rs"]
mod support;

mod reference;
mod world;

use core::ops::Range;
use core::panic::AssertUnwindSafe;
use std::panic::{catch_unwind, resume_unwind};

use world::World;

#[test]
fn every_client_has_a_contiguous_run_or_one_resync_between() {
    for seed in seeds() {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| World::new(seed).walk())) {
            eprintln!("failed with SAACMS_SEEDS={seed}");
            resume_unwind(panic);
        }
    }
}

fn seeds() -> Range<u64> {
    let Ok(text) = std::env::var("SAACMS_SEEDS") else {
        return 0..5_000;
    };
    let number = |text: &str| text.parse().expect("SAACMS_SEEDS is a number or a range");
    match text.split_once("..") {
        Some((start, end)) => number(start)..number(end),
        None => number(&text)..number(&text) + 1,
    }
}
