//! The cost of core: each figure beside the same task written by hand.
//!
//! `cargo bench -p saacms-realtime-benches` runs all benches; `-- resume` runs those with `resume` in
//! their name.

mod frame;
mod hub;
mod material;
mod resume;
mod ring;
mod route;
mod sse;

use core::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    targets = frame::benches, ring::benches, resume::benches, hub::benches, sse::benches,
        route::benches
}
criterion_main!(benches);
