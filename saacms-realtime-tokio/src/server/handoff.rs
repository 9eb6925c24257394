//! How a stream leaves hyper: hyper writes the head of its response, a lane everything after it.

use core::mem::replace;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use saacms_realtime_core::Subscription;
use saacms_realtime_core::route::http::Requests;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::linger::Linger;
use super::stalls::WatchedSocket;

/// A stream on its way from hyper to a lane.
///
/// There is one per connection. Its requests, the bodies of their responses and its socket share
/// it: the request [leaves](Self::leave) a subscription, the body reports that hyper has buffered
/// the head, the socket that hyper has sent it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Handoff {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Counts the connection's streams, so that a late drop of an earlier body is ignored.
    number: u64,
    head: Head,
    /// Present from [`Handoff::leave`] until the lane takes it or the body is dropped.
    subscription: Option<Subscription>,
}

/// Where the head of the response is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Head {
    /// hyper has not yet polled the body.
    #[default]
    Pending,
    /// hyper has polled the body, so the head is in its buffer.
    Buffered,
    /// The kernel has the head.
    Sent,
}

impl Handoff {
    /// Leaves `subscription` for a lane, and returns the body of its response.
    pub(crate) fn leave(&self, subscription: Subscription) -> LaneBody {
        let mut shared = self.shared();
        let number = shared.number + 1;
        let earlier = replace(
            &mut *shared,
            Shared {
                number,
                head: Head::Pending,
                subscription: Some(subscription),
            },
        );
        // Unlocked first: dropping a subscription locks its topic.
        drop(shared);
        drop(earlier);

        LaneBody {
            handoff: self.clone(),
            number,
        }
    }

    /// Takes the subscription if the head of its response is sent.
    pub(super) fn take_if_sent(&self) -> Option<Subscription> {
        let mut shared = self.shared();
        if shared.head == Head::Sent {
            shared.subscription.take()
        } else {
            None
        }
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The body of a response that a lane continues. It never has any data.
#[derive(Debug)]
pub(crate) struct LaneBody {
    handoff: Handoff,
    number: u64,
}

impl LaneBody {
    /// Records that hyper asks for the body, which it does after it has buffered the head.
    pub(crate) fn poll(&self) {
        let mut shared = self.handoff.shared();
        if shared.number == self.number && shared.head == Head::Pending {
            shared.head = Head::Buffered;
        }
    }
}

impl Drop for LaneBody {
    fn drop(&mut self) {
        let mut shared = self.handoff.shared();
        // Still there if the response was not sent or its client has gone.
        let abandoned = if shared.number == self.number {
            shared.subscription.take()
        } else {
            None
        };
        // Unlocked first, as in `leave`.
        drop(shared);
        drop(abandoned);
    }
}

/// A connection's socket, which reports when the head of a stream's response has left hyper, and
/// when bytes arrive.
#[derive(Debug)]
pub(super) struct HandoffIo {
    pub(super) stream: TcpStream,
    handoff: Handoff,
    requests: Arc<Requests>,
    /// Tells the hub of a client that does not take its answer.
    watch: WatchedSocket,
    /// Present once the server's side is closed while the client may still be sending.
    linger: Option<Linger>,
}

impl HandoffIo {
    pub(super) fn new(
        stream: TcpStream,
        handoff: Handoff,
        requests: Arc<Requests>,
        watch: WatchedSocket,
    ) -> Self {
        Self {
            stream,
            handoff,
            requests,
            watch,
            linger: None,
        }
    }
}

impl AsyncRead for HandoffIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        if buffer.filled().len() > before {
            self.requests.received();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for HandoffIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let written = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.watch.written(&this.stream, written, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let written = Pin::new(&mut this.stream).poll_write_vectored(cx, slices);
        this.watch.written(&this.stream, written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // hyper flushes its socket only when its own buffer is empty.
        let mut shared = self.handoff.shared();
        if shared.head == Head::Buffered {
            shared.head = Head::Sent;
        }
        drop(shared);
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self {
            stream,
            requests,
            linger,
            ..
        } = self.get_mut();

        if linger.is_none() {
            ready!(Pin::new(&mut *stream).poll_shutdown(cx))?;
            if !requests.may_have_unread() {
                return Poll::Ready(Ok(()));
            }
        }
        linger
            .get_or_insert_with(Linger::new)
            .poll(stream, cx)
            .map(Ok)
    }
}
