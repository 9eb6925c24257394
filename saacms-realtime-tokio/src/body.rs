use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Extensions;
use http_body::{Body, Frame};
use saacms_realtime_core::Subscription;

use crate::clock::Clock;
#[cfg(feature = "server")]
use crate::server::handoff::{Handoff, LaneBody};
use crate::stream::EventStream;

/// The body of a stream's response.
///
/// On a connection of [`server`](crate::server) it is a placeholder, because a lane writes the
/// stream itself. Everywhere else it is the [`EventStream`].
#[derive(Debug)]
pub struct StreamBody(WrittenBy);

/// The writer of the stream.
#[derive(Debug)]
enum WrittenBy {
    Hyper(EventStream),
    #[cfg(feature = "server")]
    Lane(LaneBody),
}

impl StreamBody {
    /// Hands the stream to a lane if the request's `extensions` carry a handoff.
    pub(crate) fn new(subscription: Subscription, clock: Clock, extensions: &Extensions) -> Self {
        #[cfg(feature = "server")]
        if let Some(handoff) = extensions.get::<Handoff>() {
            return Self(WrittenBy::Lane(handoff.leave(subscription)));
        }
        // Unused without the feature `server`: only that puts a handoff into them.
        let _ = extensions;

        Self(WrittenBy::Hyper(EventStream::new(subscription, clock)))
    }
}

impl Body for StreamBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut self.get_mut().0 {
            WrittenBy::Hyper(stream) => Pin::new(stream).poll_frame(cx),
            // The connection leaves hyper right after this poll, so no waker is registered.
            #[cfg(feature = "server")]
            WrittenBy::Lane(body) => {
                body.poll();
                Poll::Pending
            }
        }
    }
}
