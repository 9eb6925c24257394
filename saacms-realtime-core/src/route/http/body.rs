use alloc::vec::Vec;
use core::convert::Infallible;
use core::future::poll_fn;
use core::mem;
use core::pin::{Pin, pin};
use core::sync::atomic::AtomicUsize;
use core::sync::atomic::Ordering::Relaxed;
use core::task::{Context, Poll};

use bytes::{Buf as _, BufMut as _, Bytes};
use http_body::{Body, Frame, SizeHint};

use crate::route::Problem;
use crate::route::limits::{BODY_TIMEOUT, MAX_UNFINISHED_BODIES, PUBLISH_TURN_BYTES};

/// The bytes that bodies may hold together: one for all connections of a server.
///
/// Without it, publishers that never send their last byte would hold as much as they like, and so
/// would those whose events wait for an engine.
#[derive(Debug)]
pub struct BodyBudget {
    /// What is free for bodies that have not arrived whole.
    unfinished: AtomicUsize,
    /// What is free for those whose events are being published.
    published: AtomicUsize,
}

impl BodyBudget {
    /// [`MAX_UNFINISHED_BODIES`] bytes, but enough for four bodies of `max_body_bytes`, each for
    /// bodies that arrive and for those that are published.
    pub fn new(max_body_bytes: usize) -> Self {
        Self::of(MAX_UNFINISHED_BODIES.max(max_body_bytes.saturating_mul(4)))
    }

    fn of(bytes: usize) -> Self {
        Self {
            unfinished: AtomicUsize::new(bytes),
            published: AtomicUsize::new(bytes),
        }
    }

    /// Takes room for a body of `len` bytes while its events are published. Those that are published
    /// in one turn need none: they are bounded by the events that may wait for an engine.
    ///
    /// # Errors
    ///
    /// 503: there is no room.
    pub fn publish(&self, len: usize) -> Result<BodyShare<'_>, Problem> {
        let mut share = BodyShare::of(&self.published);
        if len <= PUBLISH_TURN_BYTES || share.grow_to(len) {
            Ok(share)
        } else {
            Err(Problem::too_many_bodies())
        }
    }
}

/// What one body holds of a [`BodyBudget`]. It is given back when this is dropped.
#[derive(Debug)]
#[must_use = "it is given back when this is dropped"]
pub struct BodyShare<'a> {
    free: &'a AtomicUsize,
    bytes: usize,
}

impl<'a> BodyShare<'a> {
    fn of(free: &'a AtomicUsize) -> Self {
        Self { free, bytes: 0 }
    }

    /// Grows to `bytes`, or returns false if the budget has not enough left.
    fn grow_to(&mut self, bytes: usize) -> bool {
        let more = bytes.saturating_sub(self.bytes);
        let taken = self
            .free
            .fetch_update(Relaxed, Relaxed, |free| free.checked_sub(more));

        if taken.is_ok() {
            self.bytes += more;
        }
        taken.is_ok()
    }
}

impl Drop for BodyShare<'_> {
    fn drop(&mut self) {
        self.free.fetch_add(self.bytes, Relaxed);
    }
}

/// Reads the whole body of a request, or fails once `timeout` is ready.
///
/// `timeout` must take [`BODY_TIMEOUT`], because the error names that time. What the body holds
/// while it is incomplete counts against `budget`.
///
/// # Errors
///
/// The body has more than `max_bytes`, breaks off, is too slow, or finds no room in `budget`.
pub async fn read_body<B: Body>(
    body: B,
    max_bytes: usize,
    budget: &BodyBudget,
    timeout: impl Future,
) -> Result<Bytes, Problem> {
    let (mut body, mut timeout) = (pin!(body), pin!(timeout));
    // Most bodies arrive in one piece, which is not copied. `pieces` begins with a copy of `first`.
    let (mut first, mut pieces) = (Bytes::new(), Vec::new());
    let mut share = BodyShare::of(&budget.unfinished);

    loop {
        let frame = poll_fn(|cx| match body.as_mut().poll_frame(cx) {
            Poll::Ready(frame) => Poll::Ready(Ok(frame)),
            // Only a body that has to be waited for needs a share, so that small publishes still
            // come through while large ones hold all of the budget.
            Poll::Pending if !share.grow_to(first.len().max(pieces.capacity())) => {
                Poll::Ready(Err(Problem::too_many_bodies()))
            }
            // The body is polled before the timeout: what has arrived is not too late.
            Poll::Pending => timeout
                .as_mut()
                .poll(cx)
                .map(|_| Err(Problem::body_too_slow(BODY_TIMEOUT.as_secs()))),
        });

        match frame.await? {
            Some(Ok(frame)) => {
                // Trailers mean nothing to the contract.
                let Ok(mut data) = frame.into_data() else {
                    continue;
                };

                let len = data.remaining();
                if first.len().max(pieces.len()) + len > max_bytes {
                    return Err(Problem::body_too_large(max_bytes));
                }

                if first.is_empty() && pieces.is_empty() {
                    first = data.copy_to_bytes(len);
                } else {
                    // The first piece is dropped: it is a part of a larger buffer of the server.
                    pieces.extend_from_slice(&mem::take(&mut first));
                    if pieces.capacity() < pieces.len() + len {
                        // Doubled, as a `Vec` does, but never beyond the largest body.
                        let room = (2 * pieces.capacity()).clamp(pieces.len() + len, max_bytes);
                        pieces.reserve_exact(room - pieces.len());
                    }
                    pieces.put(data);
                }
            }
            Some(Err(_)) => return Err(Problem::body_incomplete()),
            None if pieces.is_empty() => return Ok(first),
            None => return Ok(pieces.into()),
        }
    }
}

/// The body of an answer: a document, or the stream.
#[derive(Debug)]
pub struct ResponseBody<S>(Content<S>);

#[derive(Debug)]
enum Content<S> {
    Document(Bytes),
    Stream(S),
}

impl<S> ResponseBody<S> {
    pub(super) fn document(bytes: Bytes) -> Self {
        Self(Content::Document(bytes))
    }

    pub(super) fn stream(stream: S) -> Self {
        Self(Content::Stream(stream))
    }
}

impl<S: Body<Data = Bytes, Error = Infallible> + Unpin> Body for ResponseBody<S> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut self.get_mut().0 {
            Content::Document(bytes) => {
                let bytes = mem::take(bytes);
                Poll::Ready((!bytes.is_empty()).then_some(Ok(Frame::data(bytes))))
            }
            Content::Stream(stream) => Pin::new(stream).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Content::Document(bytes) => bytes.is_empty(),
            Content::Stream(stream) => stream.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            // An empty document is a 204 or the answer to a HEAD. Some servers would announce a
            // length of 0, which is wrong for the stream that a GET would get.
            Content::Document(bytes) if bytes.is_empty() => SizeHint::default(),
            Content::Document(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Content::Stream(stream) => stream.size_hint(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::future::{pending, ready};
    use core::task::Waker;
    use std::boxed::Box;
    use std::collections::VecDeque;

    use http::HeaderMap;

    /// A body of these pieces, after which it ends, breaks off, or stays silent.
    struct Pieces(VecDeque<&'static str>, Then);

    #[derive(Clone, Copy)]
    enum Then {
        End,
        Break,
        Silence,
    }

    impl Body for Pieces {
        type Data = Bytes;
        type Error = ();

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, ()>>> {
            match (self.0.pop_front(), self.1) {
                (Some(""), _) => Poll::Ready(Some(Ok(Frame::trailers(HeaderMap::new())))),
                (Some(piece), _) => Poll::Ready(Some(Ok(Frame::data(piece.into())))),
                (None, Then::End) => Poll::Ready(None),
                (None, Then::Break) => Poll::Ready(Some(Err(()))),
                (None, Then::Silence) => Poll::Pending,
            }
        }
    }

    fn outcome(
        pieces: &[&'static str],
        then: Then,
        timeout: impl Future,
    ) -> Poll<Result<Bytes, u16>> {
        let body = Pieces(pieces.iter().copied().collect(), then);
        let budget = BodyBudget::new(4);
        let read = pin!(read_body(body, 4, &budget, timeout));
        let outcome = read.poll(&mut Context::from_waker(Waker::noop()));
        outcome.map(|body| body.map_err(|problem| problem.status()))
    }

    #[test]
    fn a_body_is_read_whole_or_refused() {
        let in_time = |pieces, then| outcome(pieces, then, pending::<()>());
        assert_eq!(
            in_time(&["ab", "", "cd"], Then::End),
            Poll::Ready(Ok("abcd".into()))
        );
        assert_eq!(in_time(&[], Then::End), Poll::Ready(Ok(Bytes::new())));
        assert_eq!(
            in_time(&["abc", "de"], Then::Silence),
            Poll::Ready(Err(413))
        );
        assert_eq!(in_time(&["abcde"], Then::Silence), Poll::Ready(Err(413)));
        assert_eq!(in_time(&["ab"], Then::Break), Poll::Ready(Err(400)));
        assert_eq!(in_time(&["ab"], Then::Silence), Poll::Pending);
    }

    #[test]
    fn unfinished_bodies_share_a_budget_and_give_it_back() {
        let budget = BodyBudget::of(10);
        let read = |pieces: &[&'static str], then| {
            let body = Pieces(pieces.iter().copied().collect(), then);
            let read = async {
                let read = read_body(body, 8, &budget, pending::<()>()).await;
                read.map_err(|problem| problem.status())
            };
            Box::pin(read) as Pin<Box<dyn Future<Output = Result<Bytes, u16>> + '_>>
        };
        let mut cx = Context::from_waker(Waker::noop());
        let mut outcome = |read: &mut Pin<Box<dyn Future<Output = _> + '_>>| {
            let outcome: Poll<Result<Bytes, u16>> = read.as_mut().poll(&mut cx);
            outcome.map(|body| body.map(|body| body.len()))
        };

        let mut waiting = [(); 2].map(|()| read(&["abcde"], Then::Silence));
        for read in &mut waiting {
            assert_eq!(outcome(read), Poll::Pending);
        }
        assert_eq!(
            outcome(&mut read(&["a"], Then::Silence)),
            Poll::Ready(Err(503))
        );
        // What is there at once is read whatever the others hold.
        assert_eq!(outcome(&mut read(&["abc"], Then::End)), Poll::Ready(Ok(3)));

        drop(waiting);
        // The room that is reserved counts, not only what has arrived.
        let mut pieces = read(&["abcde", "f"], Then::Silence);
        assert_eq!(outcome(&mut pieces), Poll::Pending);
        assert_eq!(budget.unfinished.load(Relaxed), 10 - 8);
        drop(pieces);
        assert_eq!(budget.unfinished.load(Relaxed), 10);
    }

    #[test]
    fn large_bodies_that_are_published_share_a_budget_of_their_own() {
        let budget = BodyBudget::of(3 * PUBLISH_TURN_BYTES);
        let large = PUBLISH_TURN_BYTES + 1;
        let status = |len| budget.publish(len).map_err(|problem| problem.status());

        let held = [large, large].map(|len| budget.publish(len).expect("room"));
        assert_eq!(status(large).err(), Some(503));
        assert!(
            status(PUBLISH_TURN_BYTES).is_ok(),
            "small ones need no room"
        );
        assert_eq!(budget.unfinished.load(Relaxed), 3 * PUBLISH_TURN_BYTES);

        drop(held);
        assert_eq!(budget.published.load(Relaxed), 3 * PUBLISH_TURN_BYTES);
        assert!(status(large).is_ok());
    }

    #[test]
    fn a_body_that_has_arrived_is_not_too_late() {
        assert_eq!(
            outcome(&["ab"], Then::Silence, ready(())),
            Poll::Ready(Err(408))
        );
        assert_eq!(
            outcome(&["ab"], Then::End, ready(())),
            Poll::Ready(Ok("ab".into()))
        );
    }

    #[test]
    fn a_document_is_one_frame_of_the_body() {
        type Stream = Box<dyn Body<Data = Bytes, Error = Infallible> + Unpin>;
        let mut body = ResponseBody::<Stream>(Content::Document("x".into()));
        assert_eq!(
            (body.size_hint().exact(), body.is_end_stream()),
            (Some(1), false)
        );
        let none = ResponseBody::<Stream>(Content::Document(Bytes::new()));
        assert_eq!(
            (none.size_hint().exact(), none.is_end_stream()),
            (None, true)
        );
        let mut cx = Context::from_waker(Waker::noop());
        let Poll::Ready(Some(Ok(frame))) = Pin::new(&mut body).poll_frame(&mut cx) else {
            panic!("a piece");
        };
        assert_eq!(frame.into_data().ok(), Some(Bytes::from_static(b"x")));
        assert!(body.is_end_stream());
        assert!(matches!(
            Pin::new(&mut body).poll_frame(&mut cx),
            Poll::Ready(None)
        ));
    }
}
