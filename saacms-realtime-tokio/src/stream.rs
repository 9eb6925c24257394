use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::Stream;
use http_body::{Body, Frame};
use saacms_realtime_core::{Instant, Output, Subscription};
use tokio::time::Sleep;

use crate::clock::Clock;

/// The bytes of one stream, heartbeats included: a [`Stream`] and an HTTP [`Body`].
///
/// Each item holds whole frames that were ready together: up to 64 KiB, or one longer frame. The
/// stream ends when the hub drains.
#[derive(Debug)]
pub struct EventStream {
    subscription: Subscription,
    clock: Clock,
    /// Created when the stream first waits for a deadline. Boxed, so that the stream is `Unpin`.
    timer: Option<Pin<Box<Sleep>>>,
}

impl EventStream {
    pub(crate) fn new(subscription: Subscription, clock: Clock) -> Self {
        Self {
            subscription,
            clock,
            timer: None,
        }
    }

    /// Ready once the clock has reached `wake_at`.
    fn poll_timer(&mut self, cx: &mut Context<'_>, wake_at: Instant) -> Poll<()> {
        let deadline = self.clock.deadline(wake_at);
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));

        // A write only postpones the heartbeat, so an armed timer is early at worst. It is reset when
        // it fires, not at every write.
        while timer.as_mut().poll(cx).is_ready() {
            if timer.deadline() >= deadline {
                return Poll::Ready(());
            }
            timer.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}

impl Stream for EventStream {
    type Item = Bytes;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        loop {
            let now = self.clock.now();
            match self.subscription.poll(cx, now) {
                Output::Frames(frames) => return Poll::Ready(Some(frames)),
                Output::End => return Poll::Ready(None),
                Output::Idle { wake_at: None } => return Poll::Pending,
                Output::Idle {
                    wake_at: Some(wake_at),
                } => ready!(self.poll_timer(cx, wake_at)),
            }
        }
    }
}

impl Body for EventStream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.poll_next(cx)
            .map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }
}
