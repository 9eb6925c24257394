use saacms_realtime_core::feed::{Feed, Output, Reader};
use saacms_realtime_core::{Instant, Now};

use super::Sink;
use super::backlog::Backlog;
use crate::settings::Settings;

/// One stream: where it is in the ring, where its bytes go, and whether its client reads them.
#[derive(Debug)]
pub(super) struct Stream<S> {
    reader: Reader,
    sink: S,
    backlog: Backlog,
    /// Whether its client resumes where it was, if the stream is ended.
    can_resume: bool,
    /// When the last event was sent.
    event_at: Instant,
    /// When it must be served again even if nothing is published and no room is freed.
    wake_at: Option<Instant>,
}

impl<S: Sink> Stream<S> {
    pub(super) fn new(reader: Reader, sink: S, can_resume: bool, now: Instant) -> Self {
        Self {
            reader,
            sink,
            can_resume,
            backlog: Backlog::new(now),
            event_at: now,
            wake_at: None,
        }
    }

    pub(super) fn wake_at(&self) -> Option<Instant> {
        self.wake_at
    }

    /// Bytes sent so far.
    pub(super) fn total_sent(&self) -> u64 {
        self.backlog.total_sent()
    }

    pub(super) fn cut(&self) {
        self.sink.cut();
    }

    /// Sends everything that waits or is due, as far as there is room. Returns whether the stream
    /// stays open.
    #[must_use]
    pub(super) fn send(&mut self, feed: &mut Feed, settings: &Settings, now: Now) -> bool {
        while !feed.is_idle(&self.reader, now.instant) {
            // Measuring the queue costs about half as much as a delivery, so it is skipped while there
            // is room even if nothing has left.
            let may_be_full = self.backlog.upper_bound() >= settings.max_backlog_bytes / 2;
            let cut_at = self.backlog.cut_at(settings.stall_timeout);
            if may_be_full || is_due(cut_at, now) {
                let Some(queued) = self.measure(settings, now) else {
                    return false;
                };
                if queued >= settings.max_backlog_bytes {
                    self.sink.want_room();
                    self.wake_at = self.backlog.cut_at(settings.stall_timeout);
                    return true;
                }
            }

            self.send_piece(feed, now);
        }

        self.rest(feed, settings, now)
    }

    /// Ends the stream gracefully, with a farewell if its client has got everything: any other would lose
    /// what waits.
    pub(super) fn end(
        &mut self,
        feed: &mut Feed,
        settings: &Settings,
        retry_millis: u64,
        now: Now,
    ) {
        if self.send(feed, settings, now) && feed.is_idle(&self.reader, now.instant) {
            self.sink.send(&feed.farewell(retry_millis, now));
        }
        self.sink.end();
    }

    fn send_piece(&mut self, feed: &mut Feed, now: Now) {
        let cursor = self.reader.cursor();
        let Output::Frames(bytes) = feed.poll(&mut self.reader, now) else {
            return;
        };

        self.sink.send(&bytes);
        self.backlog.add(bytes.len());
        // A heartbeat leaves the cursor where it is.
        if self.reader.cursor() != cursor {
            self.event_at = now.instant;
        }
    }

    /// Sets the next deadline once everything is sent, or ends an idle stream. Returns whether the
    /// stream stays open.
    fn rest(&mut self, feed: &mut Feed, settings: &Settings, now: Now) -> bool {
        let end_at = (self.can_resume && !settings.idle_timeout.is_zero())
            .then(|| self.event_at.saturating_add(settings.idle_timeout));
        if is_due(end_at, now) {
            // The farewell names the newest place, so that the client loses nothing when it reconnects.
            let retry_millis = u64::try_from(settings.retry.as_millis()).unwrap_or(u64::MAX);
            self.sink.send(&feed.farewell(retry_millis, now));
            self.sink.end();
            return false;
        }

        // Measures before it cuts: the client may have read everything since the last measurement.
        let is_stalled = is_due(self.backlog.cut_at(settings.stall_timeout), now);
        if is_stalled && self.measure(settings, now).is_none() {
            return false;
        }

        let deadlines = [
            self.reader.wake_at(),
            end_at,
            self.backlog.cut_at(settings.stall_timeout),
        ];
        self.wake_at = deadlines.into_iter().flatten().min();
        true
    }

    /// Measures the queue, and cuts the stream if nothing has left it for too long. `None` if the
    /// stream has ended.
    fn measure(&mut self, settings: &Settings, now: Now) -> Option<usize> {
        let queued = self.sink.queued()?;
        self.backlog.update(queued, now.instant);
        if is_due(self.backlog.cut_at(settings.stall_timeout), now) {
            self.sink.cut();
            return None;
        }
        Some(queued)
    }
}

fn is_due(deadline: Option<Instant>, now: Now) -> bool {
    deadline.is_some_and(|deadline| deadline <= now.instant)
}
