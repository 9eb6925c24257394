//! Answers in an application with a server of its own, which knows nothing of the hub.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body as AxumBody;
use bytes::Bytes;
use http::Response;
use http_body::{Body, Frame, SizeHint};
use saacms_realtime_core::route::http::ResponseBody;
use saacms_realtime_core::stall::{CutSignal, Slice, Watched};

use crate::body::StreamBody;
use crate::realtime::Realtime;

impl Realtime {
    /// Watches whether the client of an answer takes its bytes.
    ///
    /// One that is cut ends with an error when the server polls it again. Over HTTP/1 that is at
    /// once; a server over HTTP/2 does not poll it while its client opens no window at all, and then
    /// holds one slice.
    pub(crate) fn watch(&self, answer: Response<ResponseBody<StreamBody>>) -> Response<AxumBody> {
        answer.map(|body| {
            let (stalls, clock) = (self.hub().stalls().clone(), self.clock());
            let now = move || clock.now().instant;
            let signal = Arc::new(CutSignal::default());
            AxumBody::new(InBytes(Watched::new(body, stalls, signal, now)))
        })
    }
}

/// A watched body whose slices are `Bytes`, as axum demands.
struct InBytes<B>(B);

impl<B: Body<Data = Slice> + Unpin> Body for InBytes<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let frame = Pin::new(&mut self.get_mut().0).poll_frame(cx);
        frame.map(|frame| Some(frame?.map(|frame| frame.map_data(Slice::into_bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}
