//! One list of HTTP scenarios that every adapter is run against, over real sockets, so that none
//! can differ silently.
//!
//! An adapter's test crate includes this file and says how its server is started:
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
//! Each scenario starts a server of its own with the configuration it needs. Nothing sleeps where
//! something can be waited for: that nothing was sent shows when the next thing comes directly.

mod answers;
mod bursts;
pub(crate) mod client;
mod connections;
mod drain;
mod heartbeat;
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

/// A server that runs. It stops when it is dropped.
pub(crate) struct Running {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// The hub behind it, for its figures.
    pub(crate) hub: Hub,
    drain: Box<dyn Fn()>,
    _server: Box<dyn Any>,
}

impl Running {
    /// `drain` is what the adapter's user calls; `server` stops it all when it is dropped.
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

/// Starts a server with these settings, which are valid.
pub(crate) type Start = fn(HubConfig, Api) -> Running;

/// A scenario: its name, which is a sentence, and what must hold.
type Scenario = (&'static str, fn(Start));

/// Lists functions as scenarios; the name of each is the sentence.
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
    limits::ALL,
    connections::ALL,
    heartbeat::ALL,
    bursts::ALL,
    drain::ALL,
];

/// Runs every scenario and fails where one did, after the last.
#[allow(dead_code, reason = "an adapter may have to do without some")]
pub(crate) fn run(adapter: &str, start: Start) {
    run_without(adapter, start, &[]);
}

/// Runs every scenario but those that a platform does not allow, each named with the reason.
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

/// Runs the cases of `http.json`, and fails where one did, after the last.
pub(crate) fn run_vectors(adapter: &str, start: Start) {
    let (count, failures) = vectors::run(start);
    report(
        &format!("vectors: http.json: {adapter}: {count} cases"),
        &failures,
    );
}

fn report(what: &str, failures: &[String]) {
    // Not `eprintln!`, which the test harness keeps to itself.
    let line = format!("{what}, {} failed\n", failures.len());
    std::io::stderr()
        .write_all(line.as_bytes())
        .expect("standard error is open");
    assert!(failures.is_empty(), "{line}\n{}", failures.join("\n\n"));
}

/// What a panic said.
fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without a text")
}
