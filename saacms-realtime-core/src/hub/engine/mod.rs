//! A hub over an engine: requests go out, reports come in.

mod asks;
mod followed;
mod outbox;
mod publishes;
mod reports;
mod topic;
mod waiting;

use alloc::vec::Vec;
use core::fmt;
use core::task::Context;

use super::Hub;
use super::shared::Shared;
use super::sync::Arc;
use crate::config::{ConfigError, HubConfig};
use crate::engine::{EngineSpec, Request};
use crate::position::Epoch;
use crate::time::{Instant, Now};

pub use reports::Reporter;

pub(super) use followed::Followed;
pub(super) use outbox::Outbox;
pub(super) use publishes::Outcome;
pub(super) use waiting::Waiting;

/// What a hub knows about its engine, for logs and health checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EngineStats {
    /// Whether the engine can be reached, and answers: no publish has waited for longer than 5 s.
    pub is_up: bool,
    /// Since when it cannot be reached; `None` while it can, or before anything was asked of it.
    pub away_since: Option<Instant>,
    /// The life of its history; `None` until it was reached for the first time.
    pub life: Option<Epoch>,
    /// Publishes whose outcome is not known.
    pub in_flight: usize,
    /// Audits that found a missed event which nothing had announced. More than 0 means that live
    /// events get lost between engine and hub.
    pub repaired: u64,
    /// Records whose readers were told to refetch, because what they missed could not be read.
    pub refetched: u64,
    /// Losses of data that the engine reported.
    pub lost: u64,
}

impl Hub {
    /// An empty hub whose history an engine keeps, and the port to that engine.
    ///
    /// Nothing is delivered that the engine has not stored. [`submit`](Self::submit) resolves once the
    /// engine has the event; [`publish`](Self::publish) is refused. A reader of a record that the hub
    /// has not looked at yet gets nothing until the engine has answered. `seed` must be random, as for
    /// [`new`](Self::new); positions are those of the engine.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if a setting is out of its range.
    pub fn with_engine(
        config: HubConfig,
        seed: u64,
        spec: EngineSpec,
    ) -> Result<(Self, EnginePort), ConfigError> {
        config.check()?;
        let outbox = Arc::new(Outbox::new(spec));
        let hub = Self {
            shared: Arc::new(Shared::new(config, seed, Some(Arc::clone(&outbox)))),
        };
        let port = EnginePort {
            hub: hub.clone(),
            outbox,
        };
        Ok((hub, port))
    }
}

/// The side of a hub that its engine sees: it hands out requests, and takes reports.
///
/// An engine is one task or thread. It polls for requests, carries them out, and answers through a
/// [`Reporter`], beginning with [`Report::Up`](crate::engine::Report::Up). Dropping the port means that
/// the engine is gone for good: every publish that waits is refused, and so is every later one.
///
/// ```
/// use core::task::{Context, Waker};
/// use core::time::Duration;
/// use saacms_realtime_core::engine::{EngineSpec, Life, Report, Request};
/// use saacms_realtime_core::{Event, Hub, HubConfig, Now};
///
/// let spec = EngineSpec {
///     keep: 101,
///     stamps: true,
///     audit_every: None,
///     max_event_bytes: 1 << 20,
///     publish_timeout: Duration::from_secs(15),
/// };
/// let (hub, mut port) = Hub::with_engine(HubConfig::default(), 7, spec)?;
/// let now = Now::from_millis(0, 0);
/// let reporter = port.reporter();
/// reporter.report(Report::Up { life: Life { number: 1, lost: 0 }, last: 0 }, now);
///
/// let event = Event::from_json(br#"{"type":"deleted","slug":"posts","id":"1"}"#)?;
/// let publishing = hub.submit(event, now);
/// let mut requests = Vec::new();
/// port.poll_requests(&Context::from_waker(Waker::noop()), now, &mut requests);
/// let [Request::Publish { ticket, .. }] = requests[..] else { panic!() };
/// // The engine stores the event, and says so.
/// reporter.report(Report::Stored(ticket, Ok(1)), now);
/// # drop(publishing);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct EnginePort {
    hub: Hub,
    outbox: Arc<Outbox>,
}

impl EnginePort {
    /// Appends what the hub wants from its engine. Returns when to poll again, unless the waker is
    /// called earlier.
    ///
    /// While the engine is away, only the time limits of publishes run. Poll after every
    /// [`Report::Up`](crate::engine::Report::Up), too.
    ///
    /// # Deadlocks
    ///
    /// The waker is cloned, and an earlier one dropped, while a lock of the hub is held: its `clone`
    /// and its `drop` must not use the hub. Its `wake` may.
    pub fn poll_requests(
        &mut self,
        cx: &Context<'_>,
        now: Now,
        requests: &mut Vec<Request>,
    ) -> Option<Instant> {
        self.hub.shared.observe_time(now);
        self.hub.check_records(&self.outbox, now);

        let mut ended = Vec::new();
        let next = self.outbox.poll(cx, now.instant, requests, &mut ended);
        self.hub.end_publishes(ended);
        next
    }

    /// Returns a handle through which the engine reports.
    pub fn reporter(&self) -> Reporter {
        Reporter::new(self.hub.clone(), Arc::clone(&self.outbox))
    }

    /// The hub.
    pub fn hub(&self) -> &Hub {
        &self.hub
    }
}

impl Drop for EnginePort {
    fn drop(&mut self) {
        self.hub.end_publishes(self.outbox.close());
    }
}

impl fmt::Debug for EnginePort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnginePort")
            .field("engine", &self.hub.stats().engine)
            .finish_non_exhaustive()
    }
}
