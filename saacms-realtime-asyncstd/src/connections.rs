//! The connections of a server, and the phases in which it ends them.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::SeqCst};
use std::time::Duration;

use async_io::Timer;
use event_listener::{Event, EventListener};
use futures_lite::future::or;
use saacms_realtime_core::route::limits::CROWDED_IDLE_TIME;

/// The connections of a server, each of which holds a clone, and the phase that they are in.
#[derive(Clone, Default)]
pub(crate) struct Connections(Arc<Ending>);

#[derive(Default)]
struct Ending {
    /// [`RUNNING`], then [`DRAINING`], [`CLOSING`] and [`CUT`].
    phase: AtomicU8,
    changed: Event,
    /// Notified while there is no room for another connection.
    crowded: Event,
}

/// The server answers.
pub(crate) const RUNNING: u8 = 0;
/// Streams end. Connections over HTTP/2 that were open before are told to go.
pub(crate) const DRAINING: u8 = 1;
/// Connections end once their answers in flight are sent.
pub(crate) const CLOSING: u8 = 2;
/// Connections end at once.
pub(crate) const CUT: u8 = 3;

impl Connections {
    /// Drives a connection to its end. Once `stop` is ready, it only sends its answers in flight.
    pub(crate) async fn run<C: Future<Output = hyper::Result<()>>>(
        &self,
        connection: C,
        stop: impl Future<Output = ()>,
        shut_down: fn(Pin<&mut C>),
    ) -> hyper::Result<()> {
        let mut connection = pin!(connection);
        let end = async { Some(connection.as_mut().await) };
        let stop = async {
            stop.await;
            None
        };
        if let Some(end) = or(end, stop).await {
            return end;
        }
        shut_down(connection.as_mut());
        or(connection, self.entered(CUT, Ok(()))).await
    }

    pub(crate) fn phase(&self) -> u8 {
        self.0.phase.load(SeqCst)
    }

    pub(crate) fn enter(&self, phase: u8) {
        self.0.phase.store(phase, SeqCst);
        self.0.changed.notify(usize::MAX);
    }

    /// Returns `then` once this phase is entered.
    pub(crate) async fn entered<T>(&self, phase: u8, then: T) -> T {
        loop {
            // Before the phase is read: a change in between must not be missed.
            let changed = self.0.changed.listen();
            if self.phase() >= phase {
                return then;
            }
            changed.await;
        }
    }

    pub(crate) fn count(&self) -> usize {
        // One clone is the server's own.
        Arc::strong_count(&self.0) - 1
    }

    /// Notified, about once a second, while there is no room for another connection.
    pub(crate) fn crowded(&self) -> EventListener {
        self.0.crowded.listen()
    }

    /// Waits until there are fewer than `limit` connections. Meanwhile those are closed that have
    /// been without a request for a second.
    pub(crate) async fn room_within(&self, limit: usize) {
        loop {
            or(self.fewer_than(limit), after(CROWDED_IDLE_TIME, ())).await;
            if self.count() < limit {
                return;
            }
            // Not sooner, because it wakes every connection.
            self.0.crowded.notify(usize::MAX);
        }
    }

    /// Waits until there are fewer than `limit` connections.
    pub(crate) async fn fewer_than(&self, limit: usize) {
        // One clone is the server's own, so a count of `limit` means one connection less.
        while Arc::strong_count(&self.0) > limit {
            after(COUNT_INTERVAL, ()).await;
        }
    }
}

/// Cuts all connections when it is dropped.
pub(crate) struct Cut(pub(crate) Connections);

impl Drop for Cut {
    fn drop(&mut self) {
        self.0.enter(CUT);
    }
}

/// How often a count is read that notifies nobody when it changes.
pub(crate) const COUNT_INTERVAL: Duration = Duration::from_millis(20);

/// Returns `then` once this time has passed.
pub(crate) async fn after<T>(duration: Duration, then: T) -> T {
    Timer::after(duration).await;
    then
}
