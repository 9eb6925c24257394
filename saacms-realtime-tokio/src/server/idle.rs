//! Ends a connection that is idle for too long.

use core::pin::Pin;
use core::task::{Context, Poll, ready};
use core::time::Duration;
use std::sync::Arc;

use saacms_realtime_core::Notice;
use saacms_realtime_core::route::http::{IdleWatch, Requests};
use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;
use tokio::time::{Sleep, sleep_until};

use crate::realtime::Realtime;

/// A timer for core's [`IdleWatch`].
#[derive(Debug)]
pub(super) struct IdleTimer<'a> {
    watch: IdleWatch,
    requests: Arc<Requests>,
    realtime: &'a Realtime,
    /// Never later than the watch wants to look again. It is not reset at each request: if it is
    /// early, the watch only looks once more.
    timer: Pin<Box<Sleep>>,
    /// Notified while the server has no room for another connection.
    crowded: Arc<Notify>,
    is_crowded: Pin<Box<OwnedNotified>>,
}

impl<'a> IdleTimer<'a> {
    pub(super) fn new(
        idle_timeout: Duration,
        requests: Arc<Requests>,
        realtime: &'a Realtime,
        crowded: &Arc<Notify>,
    ) -> Self {
        let clock = realtime.clock();
        let now = clock.now().instant;
        Self {
            watch: IdleWatch::new(idle_timeout, now),
            requests,
            realtime,
            timer: Box::pin(sleep_until(clock.deadline(now))),
            crowded: Arc::clone(crowded),
            is_crowded: Box::pin(Arc::clone(crowded).notified_owned()),
        }
    }

    /// Ready once the connection must end. Call it after each poll of the connection.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let clock = self.realtime.clock();
        while self.is_crowded.as_mut().poll(cx).is_ready() {
            self.is_crowded
                .set(Arc::clone(&self.crowded).notified_owned());
            if self.watch.makes_room(&self.requests, clock.now().instant) {
                self.realtime.hub().notice(Notice::ConnectionIdle);
                return Poll::Ready(());
            }
        }

        loop {
            let now = clock.now().instant;
            let Some(due) = self.watch.look(&self.requests, now) else {
                self.realtime.hub().notice(Notice::ConnectionIdle);
                return Poll::Ready(());
            };

            let due = clock.deadline(due);
            if self.timer.is_elapsed() || due < self.timer.deadline() {
                self.timer.as_mut().reset(due);
            }
            ready!(self.timer.as_mut().poll(cx));
        }
    }
}
