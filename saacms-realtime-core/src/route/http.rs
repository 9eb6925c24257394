//! Between this module's types and those of the `http` crate, for every adapter that uses it.

use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::convert::Infallible;
use core::future::poll_fn;
use core::pin::{Pin, pin};
use core::task::{Context, Poll};

use bytes::{Buf as _, BufMut as _, Bytes};
use http::{HeaderMap, HeaderValue, Response, StatusCode, Version, request};
use http_body::{Body, Frame, SizeHint};

use super::limits::BODY_TIMEOUT;
use super::{Decision, Problem, Reply, Request};
use crate::event::Event;
use crate::name::ResourceKey;

/// Shows the head of a request to the contract.
pub fn with_parts<R>(parts: &request::Parts, decide: impl FnOnce(&Request<'_>) -> R) -> R {
    decide(&Request {
        method: parts.method.as_str(),
        path: parts.uri.path(),
        query: parts.uri.query(),
        authority: parts.uri.authority().map(http::uri::Authority::as_str),
        is_http_1_1: parts.version == Version::HTTP_11,
        header: &|name| joined(&parts.headers, name),
    })
}

/// All values of a header, joined as RFC 9110, 5.3 says.
fn joined<'h>(headers: &'h HeaderMap, name: &str) -> Option<Cow<'h, [u8]>> {
    let mut values = headers.get_all(name).iter().map(HeaderValue::as_bytes);
    let first = Cow::Borrowed(values.next()?);
    Some(values.fold(first, |joined, value| {
        [&*joined, value].join(&b", "[..]).into()
    }))
}

impl Reply {
    /// The reply with another body, made from its own.
    ///
    /// # Panics
    ///
    /// Where its status is none of HTTP. Those of the contract are.
    pub fn into_http<B>(self, body: impl FnOnce(Vec<u8>) -> B) -> Response<B> {
        let mut response = Response::new(body(self.body));
        *response.status_mut() = StatusCode::from_u16(self.status).expect("a status of HTTP");
        for (name, value) in self.headers {
            // Every value is a constant, or an origin that came as a header.
            if let Ok(value) = HeaderValue::from_maybe_shared(Bytes::from(value.into_owned())) {
                response.headers_mut().append(name, value);
            }
        }
        response
    }
}

impl Decision {
    /// [`run`](Self::run) over a request's `body`, which must have arrived when `timeout` is over:
    /// that is to take [`BODY_TIMEOUT`].
    pub async fn respond<B: Body, S, E: Into<Problem>>(
        self,
        body: B,
        timeout: impl Future,
        subscribe: impl FnOnce(&ResourceKey, Option<&[u8]>) -> Result<S, E>,
        publish: impl FnMut(Event) -> Result<(), E>,
    ) -> Response<ResponseBody<S>> {
        let body = read(body, self.max_body_bytes(), timeout);
        let (reply, stream) = self.run(body, subscribe, publish).await;
        reply.into_http(|body| {
            ResponseBody(match stream {
                Some(stream) => Content::Stream(stream),
                None => Content::Document(body.into()),
            })
        })
    }
}

/// The whole of a body. Most come in one piece, which is not copied.
async fn read<B: Body>(body: B, max_bytes: usize, timeout: impl Future) -> Result<Bytes, Problem> {
    let (mut body, mut timeout) = (pin!(body), pin!(timeout));
    let (mut first, mut pieces) = (Bytes::new(), Vec::new());
    loop {
        let frame = poll_fn(|cx| match body.as_mut().poll_frame(cx) {
            Poll::Ready(frame) => Poll::Ready(Ok(frame)),
            Poll::Pending => timeout.as_mut().poll(cx).map(Err),
        });
        match frame.await {
            Ok(Some(Ok(frame))) => {
                let Ok(mut data) = frame.into_data() else {
                    continue;
                };
                let len = data.remaining();
                if first.len().max(pieces.len()) + len > max_bytes {
                    return Err(Problem::body_too_large(max_bytes));
                }
                if first.is_empty() {
                    first = data.copy_to_bytes(len);
                } else {
                    if pieces.is_empty() {
                        pieces.extend_from_slice(&first);
                    }
                    pieces.put(data);
                }
            }
            Ok(Some(Err(_))) => return Err(Problem::body_incomplete()),
            Ok(None) if pieces.is_empty() => return Ok(first),
            Ok(None) => return Ok(pieces.into()),
            Err(_) => return Err(Problem::body_too_slow(BODY_TIMEOUT.as_secs())),
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

impl<S: Body<Data = Bytes, Error = Infallible> + Unpin> Body for ResponseBody<S> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut self.get_mut().0 {
            Content::Document(bytes) => {
                let bytes = core::mem::take(bytes);
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
            // Nothing at all is a 204, or a HEAD: of the stream's length nothing is known, and some
            // servers would tell that of this.
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

    /// A body that comes in these pieces; then it ends, breaks off, or stays silent.
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
        let read = pin!(read(body, 4, timeout));
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
    fn a_body_that_is_there_is_not_too_late() {
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
    fn a_request_is_shown_as_it_came() {
        let (parts, ()) = http::Request::put("http://hub.example:80/a/%20?x=1&y")
            .header("accept", "a")
            .header("accept", "b;q=1")
            .body(())
            .expect("a request")
            .into_parts();
        with_parts(&parts, |request| {
            assert_eq!((request.method, request.path), ("PUT", "/a/%20"));
            assert_eq!(
                (request.query, request.authority),
                (Some("x=1&y"), Some("hub.example:80"))
            );
            assert_eq!(
                (request.header)("accept").as_deref(),
                Some(&b"a, b;q=1"[..])
            );
            assert_eq!((request.header)("origin"), None);
            assert!(request.is_http_1_1);
        });
        let (parts, ()) = http::Request::get("/")
            .version(Version::HTTP_2)
            .body(())
            .expect("valid")
            .into_parts();
        with_parts(&parts, |request| {
            assert_eq!((request.query, request.authority), (None, None));
            assert!(!request.is_http_1_1);
        });
    }

    #[test]
    fn a_document_comes_in_one_piece() {
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
