//! The golden vectors of `tests/vectors/`, run through the real hub.
//!
//! `SAACMS_VECTORS=DIR cargo test --workspace vectors` reads the same file names from another
//! directory. Expected answers follow from the wire contract, never from the name of a case; where
//! the contract differs from the plugin, the contract's answer is expected. The adapters' tests
//! check `http.json` over real HTTP.

#![cfg(feature = "std")]

mod vectors_support;

use vectors_support::{File, Tally, frames, registry, replay};

#[test]
fn frames_vectors_have_the_bytes_of_the_contract() {
    let file = File::open("frames.json", "saacms-realtime/frames@1");
    let mut tally = Tally::new(&file);
    tally.run_all("cases", frames::check_case);
    tally.run_all("rejects", frames::check_reject);
    tally.run_all("bytes", frames::check_bytes);
    tally.finish();
}

#[test]
fn replay_vectors_are_answered_as_the_contract_says() {
    let file = File::open("replay.json", "saacms-realtime/replay@1");
    let mut tally = Tally::new(&file);
    tally.run_all("cases", replay::check_case);
    tally.finish();
}

#[test]
fn registry_vectors_reach_the_readers_that_the_contract_says() {
    let file = File::open("registry.json", "saacms-realtime/registry@1");
    let mut tally = Tally::new(&file);
    tally.run_all("cases", registry::check_case);
    tally.finish();
}
