//! How a stream leaves HTTP: hyper writes the head of its response, a lane everything behind it.

use core::pin::Pin;
use core::task::{Context, Poll};
use std::io::{self, IoSlice};
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use saacms_realtime_core::hub::Subscription;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// One per connection, known to its requests, to the body of their answer and to its socket.
#[derive(Clone, Debug, Default)]
pub(crate) struct Handoff {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    subscription: Mutex<Option<Subscription>>,
    progress: AtomicU8,
}

/// Nothing of a stream's response was asked for yet.
const WAITING: u8 = 0;
/// The body was asked for, so the head is in hyper's buffer.
const ASKED: u8 = 1;
/// The head is with the kernel.
const SENT: u8 = 2;

impl Handoff {
    /// Leaves `subscription` to the lane; the body is for the response, and says nothing.
    pub(crate) fn leave(&self, subscription: Subscription) -> Left {
        *self.subscription() = Some(subscription);
        self.shared.progress.store(WAITING, Relaxed);
        Left(self.clone())
    }

    /// What was left, once the head of its response was sent.
    pub(super) fn take_if_sent(&self) -> Option<Subscription> {
        (self.shared.progress.load(Relaxed) == SENT).then(|| self.subscription().take()).flatten()
    }

    fn subscription(&self) -> MutexGuard<'_, Option<Subscription>> {
        self.shared.subscription.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn go_on(&self, from: u8, to: u8) {
        let _ = self.shared.progress.compare_exchange(from, to, Relaxed, Relaxed);
    }
}

/// The body of a response that a lane goes on with. It never has anything.
#[derive(Debug)]
pub(crate) struct Left(Handoff);

impl Left {
    pub(crate) fn poll(&self) {
        self.0.go_on(WAITING, ASKED);
    }
}

impl Drop for Left {
    fn drop(&mut self) {
        // The response was not sent, or its client is gone.
        drop(self.0.subscription().take());
    }
}

/// A connection that tells when the head of a stream's response has left hyper.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) stream: TcpStream,
    pub(super) handoff: Handoff,
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// hyper flushes its socket once it has written all that it has.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.handoff.go_on(ASKED, SENT);
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
