//! One list of HTTP scenarios that runs against every adapter, over real sockets, so that no
//! adapter can differ unnoticed.
//!
//! An adapter's test crate includes this file and passes a function that starts its server:
//!
//! ```ignore
//! #[path = "../../saacms-realtime-core/tests/conformance/mod.rs"]
//! mod conformance;
//!
//! #[test]
//! fn the_adapter_keeps_the_contract() {
//!     conformance::run("my adapter", start);
//! }
//!
//! fn start(config: HubConfig, api: Api) -> conformance::Running { .. }
//! ```
//!
//! Each scenario starts its own server with the configuration it needs. Scenarios wait for events
//! rather than sleep: to check that nothing was sent, they publish and expect that event next.

mod answers;
mod bursts;
pub(crate) mod client;
mod connections;
mod drain;
mod heartbeat;
mod hosts;
mod limits;
mod object;
mod origins;
mod positions;
mod publishing;
mod refusals;
mod replay;
pub(crate) mod stream;
mod streams;
mod vectors;
mod world;

use core::any::Any;
use core::net::SocketAddr;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};

use saacms_realtime_core::route::Api;
use saacms_realtime_core::{Hub, HubConfig};

/// A running server. Dropping it stops the server.
pub(crate) struct Running {
    /// The address on which it listens.
    pub(crate) address: SocketAddr,
    /// The server's hub, for its statistics.
    pub(crate) hub: Hub,
    drain: Box<dyn Fn()>,
    _server: Box<dyn Any>,
}

impl Running {
    /// `drain` does what a user of the adapter does to drain; dropping `server` stops the server.
    pub(crate) fn new(
        address: SocketAddr,
        hub: Hub,
        drain: impl Fn() + 'static,
        server: impl Any,
    ) -> Self {
        Self {
            address,
            hub,
            drain: Box::new(drain),
            _server: Box::new(server),
        }
    }
}

/// Starts a server with valid settings.
pub(crate) type Start = fn(HubConfig, Api) -> Running;

/// A scenario: its name, which is a sentence, and its function.
type Scenario = (&'static str, fn(Start));

/// Lists functions as scenarios, with their names as sentences.
macro_rules! scenarios {
    ($($scenario:ident),+ $(,)?) => {
        pub(super) const ALL: &[super::Scenario] = &[$((stringify!($scenario), $scenario)),+];
    };
}
use scenarios;

const LISTS: &[&[Scenario]] = &[
    answers::ALL,
    streams::ALL,
    replay::ALL,
    positions::ALL,
    publishing::ALL,
    refusals::ALL,
    origins::ALL,
    hosts::ALL,
    limits::ALL,
    connections::ALL,
    heartbeat::ALL,
    bursts::ALL,
    drain::ALL,
];

/// Runs every scenario, then fails if any of them failed.
#[allow(dead_code, reason = "an adapter may have to do without some")]
pub(crate) fn run(adapter: &str, start: Start) {
    run_without(adapter, start, &[]);
}

/// Runs every scenario except those in `without`, each listed with the reason.
pub(crate) fn run_without(adapter: &str, start: Start, without: &[(&str, &str)]) {
    let all: Vec<_> = LISTS.iter().copied().flatten().collect();
    for (name, _) in without {
        assert!(
            all.iter().any(|(known, _)| known == name),
            "there is no scenario {name}"
        );
    }

    let is_left_out = |name: &str| without.iter().any(|(left_out, _)| *left_out == name);
    let scenarios: Vec<_> = all
        .into_iter()
        .filter(|(name, _)| !is_left_out(name))
        .collect();
    let mut failures = Vec::new();
    for (name, scenario) in &scenarios {
        let sentence = name.replace('_', " ");
        match catch_unwind(AssertUnwindSafe(|| scenario(start))) {
            Ok(()) => println!("ok      {sentence}"),
            Err(panic) => {
                println!("FAILED  {sentence}");
                failures.push(format!("{sentence}:\n{}", message(&*panic)));
            }
        }
    }

    report(
        &format!("conformance: {adapter}: {} scenarios", scenarios.len()),
        &failures,
    );
}

/// Runs the cases of `http.json`, then fails if any of them failed.
pub(crate) fn run_vectors(adapter: &str, start: Start) {
    let (count, failures) = vectors::run(start);
    report(
        &format!("vectors: http.json: {adapter}: {count} cases"),
        &failures,
    );
}

fn report(what: &str, failures: &[String]) {
    // Not `eprintln!`, which the test harness captures.
    let line = format!("{what}, {} failed\n", failures.len());
    std::io::stderr()
        .write_all(line.as_bytes())
        .expect("standard error is open");
    assert!(failures.is_empty(), "{line}\n{}", failures.join("\n\n"));
}

/// The message of a panic.
fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without a text")
}
