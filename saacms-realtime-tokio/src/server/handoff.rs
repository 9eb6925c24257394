//! How a stream leaves HTTP: hyper writes the head of its response, a lane everything behind it.

use core::mem::replace;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use saacms_realtime_core::hub::Subscription;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// One per connection, known to its requests, to the body of their answers and to its socket.
#[derive(Clone, Debug, Default)]
pub(crate) struct Handoff {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Which of the connection's streams this is about: a body that is dropped late is of no account.
    number: u64,
    progress: Progress,
    subscription: Option<Subscription>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Progress {
    /// The body was not asked for yet.
    #[default]
    Waiting,
    /// The body was asked for, so the head is in hyper's buffer.
    Asked,
    /// The head is with the kernel.
    Sent,
}

impl Handoff {
    /// Leaves `subscription` to the lane; the body is for the response, and says nothing.
    pub(crate) fn leave(&self, subscription: Subscription) -> Left {
        let mut shared = self.shared();
        let number = shared.number + 1;
        let subscription = Some(subscription);
        let former = replace(
            &mut *shared,
            Shared {
                number,
                progress: Progress::Waiting,
                subscription,
            },
        );
        drop(shared);
        drop(former);
        Left {
            handoff: self.clone(),
            number,
        }
    }

    /// What was left, once the head of its response was sent.
    pub(super) fn take_if_sent(&self) -> Option<Subscription> {
        let mut shared = self.shared();
        (shared.progress == Progress::Sent)
            .then(|| shared.subscription.take())
            .flatten()
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The body of a response that a lane goes on with. It never has anything.
#[derive(Debug)]
pub(crate) struct Left {
    handoff: Handoff,
    number: u64,
}

impl Left {
    pub(crate) fn poll(&self) {
        let mut shared = self.handoff.shared();
        if shared.number == self.number && shared.progress == Progress::Waiting {
            shared.progress = Progress::Asked;
        }
    }
}

impl Drop for Left {
    fn drop(&mut self) {
        // The response was not sent, or its client is gone.
        let mut shared = self.handoff.shared();
        let left = (shared.number == self.number).then(|| shared.subscription.take());
        drop(shared);
        drop(left);
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
        let mut shared = self.handoff.shared();
        if shared.progress == Progress::Asked {
            shared.progress = Progress::Sent;
        }
        drop(shared);
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
