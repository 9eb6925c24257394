//! The requests of one connection: when it has been idle for too long, and whether its client may
//! still be sending.

use alloc::format;
use alloc::sync::Arc;
use core::pin::Pin;
use core::sync::atomic::Ordering::Relaxed;
use core::sync::atomic::{AtomicBool, AtomicUsize};
use core::task::{Context, Poll};
use core::time::Duration;

use http::{HeaderName, HeaderValue, Request, Response, Version, header};
use http_body::{Body, Frame, SizeHint};

use crate::route::limits::{CROWDED_IDLE_TIME, HEAD_TIMEOUT};
use crate::time::Instant;

/// The requests of one connection. Its service, the bodies of its answers and its socket share it.
#[derive(Debug, Default)]
pub struct Requests {
    in_progress: AtomicUsize,
    /// All requests so far.
    begun: AtomicUsize,
    /// Bytes have arrived that no request has come of.
    has_begin_of_head: AtomicBool,
    /// The last request has a body, which may not have been read to its end.
    has_body: AtomicBool,
}

impl Requests {
    /// Records that bytes arrived on the connection. For HTTP/1 only.
    pub fn received(&self) {
        // While a request is in progress, they are its body.
        if self.in_progress.load(Relaxed) == 0 {
            self.has_begin_of_head.store(true, Relaxed);
        }
    }

    /// Records that a request has arrived. It is in progress until the value is dropped.
    #[must_use]
    pub fn begin(self: &Arc<Self>, has_body: bool) -> InProgress {
        self.has_begin_of_head.store(false, Relaxed);
        self.has_body.store(has_body, Relaxed);
        self.begun.fetch_add(1, Relaxed);
        self.in_progress.fetch_add(1, Relaxed);
        InProgress(Arc::clone(self))
    }

    /// Whether a request is in progress.
    pub fn is_busy(&self) -> bool {
        self.in_progress.load(Relaxed) > 0
    }

    /// Whether the client may still be sending what will not be read, now that the connection
    /// closes: the rest of a body that was refused, or of a head that is none.
    ///
    /// Such a connection must be read on for [`LINGER_TIME`](crate::route::limits::LINGER_TIME): if
    /// it is closed with unread bytes, the client gets a reset in place of the refusal.
    pub fn may_have_unread(&self) -> bool {
        self.has_body.load(Relaxed) || self.has_begin_of_head.load(Relaxed)
    }

    /// Records that the server stops. A connection without a request in progress has nothing unread,
    /// so that its end waits for nothing.
    pub fn stop(&self) {
        if !self.is_busy() {
            self.has_body.store(false, Relaxed);
        }
    }

    fn state(&self) -> State {
        State {
            is_busy: self.is_busy(),
            begun: self.begun.load(Relaxed),
            has_begin_of_head: self.has_begin_of_head.load(Relaxed),
        }
    }
}

/// A request in progress: from its head to the end of the body of its answer.
#[derive(Debug)]
pub struct InProgress(Arc<Requests>);

impl InProgress {
    /// Attaches this to the body of the answer.
    pub fn until_end_of<B>(self, answer: Response<B>) -> Response<Answering<B>> {
        answer.map(|body| Answering {
            body,
            _in_progress: self,
        })
    }
}

impl Drop for InProgress {
    fn drop(&mut self) {
        self.0.in_progress.fetch_sub(1, Relaxed);
    }
}

/// The body of the answer to a request in progress.
#[derive(Debug)]
pub struct Answering<B> {
    body: B,
    _in_progress: InProgress,
}

impl<B: Body + Unpin> Body for Answering<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Tells clients over HTTP/1.1 how long a connection stays open between two requests.
///
/// A client that knows it does not send a request at the moment when the server closes.
#[derive(Clone, Debug)]
pub struct KeepAlive(HeaderValue);

impl KeepAlive {
    /// Tells `idle_timeout`, in whole seconds.
    pub fn new(idle_timeout: Duration) -> Self {
        let value = format!("timeout={}", idle_timeout.as_secs());
        Self(HeaderValue::try_from(value).expect("visible ASCII"))
    }

    /// What to tell the client of this request; `None` if it does not speak HTTP/1.1, or has asked
    /// for the end of the connection.
    pub fn for_request<B>(&self, request: &Request<B>) -> Option<Self> {
        let options = request.headers().get_all(header::CONNECTION).into_iter();
        let mut options = options.flat_map(|value| value.as_bytes().split(|&byte| byte == b','));
        let closes = options.any(|option| option.trim_ascii().eq_ignore_ascii_case(b"close"));
        (request.version() == Version::HTTP_11 && !closes).then(|| self.clone())
    }

    /// Adds the header to an answer, unless that already says something about its connection: a
    /// stream keeps it, and a server that stops closes it.
    pub fn add_to<B>(self, answer: &mut Response<B>) {
        let headers = answer.headers_mut();
        if !headers.contains_key(header::CONNECTION) {
            headers.insert(HeaderName::from_static("keep-alive"), self.0);
        }
    }
}

/// What a connection is doing. It has done something if this has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    is_busy: bool,
    begun: usize,
    has_begin_of_head: bool,
}

/// Decides when a connection has been idle for too long.
///
/// The first head, and every head that has begun, has [`HEAD_TIMEOUT`]; a connection between two
/// requests has `idle_timeout`. While a request is in progress there is no limit here.
#[derive(Debug)]
pub struct IdleWatch {
    idle_timeout: Duration,
    state: State,
    /// When `state` was first seen.
    since: Instant,
}

impl IdleWatch {
    /// Watches a connection that has just been accepted.
    pub fn new(idle_timeout: Duration, now: Instant) -> Self {
        Self {
            idle_timeout,
            state: Requests::default().state(),
            since: now,
        }
    }

    /// Returns when to look again at the latest; `None` if the connection must end.
    ///
    /// Call it whenever the connection may have done something.
    pub fn look(&mut self, requests: &Requests, now: Instant) -> Option<Instant> {
        let state = self.observe(requests, now);
        if state.is_busy {
            // The end of a stream over HTTP/2 does not wake whoever looks.
            return Some(now.saturating_add(self.idle_timeout.min(HEAD_TIMEOUT)));
        }
        let is_between_requests = state.begun > 0 && !state.has_begin_of_head;
        let limit = if is_between_requests {
            self.idle_timeout
        } else {
            HEAD_TIMEOUT
        };
        let due = self.since.saturating_add(limit);
        (due > now).then_some(due)
    }

    /// Whether the connection must end so that another one can be accepted: it has been without a
    /// request for [`CROWDED_IDLE_TIME`].
    pub fn makes_room(&mut self, requests: &Requests, now: Instant) -> bool {
        let state = self.observe(requests, now);
        !state.is_busy && self.since.saturating_add(CROWDED_IDLE_TIME) <= now
    }

    fn observe(&mut self, requests: &Requests, now: Instant) -> State {
        let state = requests.state();
        if state != self.state {
            self.state = state;
            self.since = now;
        }
        state
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Duration = Duration::from_secs(75);

    fn at(seconds: u64) -> Instant {
        Instant::from_millis(seconds * 1_000)
    }

    #[test]
    fn a_connection_between_two_requests_has_the_idle_timeout() {
        let requests = Arc::new(Requests::default());
        let mut watch = IdleWatch::new(IDLE, at(0));
        for request in [5, 70, 71] {
            drop(requests.begin(false));
            assert_eq!(watch.look(&requests, at(request)), Some(at(request + 75)));
        }
        assert_eq!(watch.look(&requests, at(100)), Some(at(146)));
        assert_eq!(watch.look(&requests, at(146)), None);
    }

    #[test]
    fn a_head_has_ten_seconds_from_its_first_byte_on_however_many_follow() {
        let requests = Arc::new(Requests::default());
        let mut watch = IdleWatch::new(IDLE, at(0));
        assert_eq!(watch.look(&requests, at(0)), Some(at(10)), "the first head");

        drop(requests.begin(false));
        assert_eq!(watch.look(&requests, at(1)), Some(at(76)));
        for second in 50..60 {
            requests.received();
            assert_eq!(watch.look(&requests, at(second)), Some(at(60)));
        }
        assert_eq!(watch.look(&requests, at(60)), None);
    }

    #[test]
    fn a_request_in_progress_has_all_the_time_it_takes() {
        let requests = Arc::new(Requests::default());
        let mut watch = IdleWatch::new(IDLE, at(0));
        let first = requests.begin(true);
        let second = requests.begin(false);

        requests.received();
        assert_eq!(watch.look(&requests, at(1_000)), Some(at(1_010)));
        drop(first);
        assert_eq!(watch.look(&requests, at(2_000)), Some(at(2_010)));
        // What arrived meanwhile was its body.
        drop(second);
        assert_eq!(watch.look(&requests, at(3_000)), Some(at(3_075)));
        assert_eq!(watch.look(&requests, at(3_075)), None);
    }

    #[test]
    fn a_connection_makes_room_once_it_has_asked_nothing_for_a_second() {
        let requests = Arc::new(Requests::default());
        let mut watch = IdleWatch::new(IDLE, at(0));
        let millis = Instant::from_millis;
        assert!(!watch.makes_room(&requests, millis(999)));
        assert!(watch.makes_room(&requests, millis(1_000)), "no head");

        let request = requests.begin(false);
        assert!(!watch.makes_room(&requests, at(100)));
        drop(request);
        // Nobody has seen when it ended.
        assert!(!watch.makes_room(&requests, at(200)));
        assert!(!watch.makes_room(&requests, millis(200_999)));
        assert!(watch.makes_room(&requests, at(201)));
    }

    #[test]
    fn a_client_that_closes_its_connection_is_not_told_how_long_it_stays_open() {
        let keep_alive = KeepAlive::new(IDLE);
        let request = |version, connection: &[&str]| {
            let request = Request::builder().version(version);
            let add = |request: http::request::Builder, value: &&str| {
                request.header("connection", *value)
            };
            let request = connection.iter().fold(request, add);
            request.body(()).expect("a request")
        };
        for connection in [&[][..], &["keep-alive"], &["closed, x"]] {
            let request = request(Version::HTTP_11, connection);
            assert!(keep_alive.for_request(&request).is_some(), "{connection:?}");
        }
        for connection in [&["close"][..], &["te ,\tClose"], &["te", "close"]] {
            let request = request(Version::HTTP_11, connection);
            assert!(keep_alive.for_request(&request).is_none(), "{connection:?}");
        }
        assert!(
            keep_alive
                .for_request(&request(Version::HTTP_10, &[]))
                .is_none()
        );
        assert!(
            keep_alive
                .for_request(&request(Version::HTTP_2, &[]))
                .is_none()
        );
    }

    #[test]
    fn an_answer_is_in_progress_up_to_the_end_of_its_body() {
        let requests = Arc::new(Requests::default());
        let answer = requests.begin(false).until_end_of(Response::new(()));
        assert!(requests.is_busy());
        drop(answer);
        assert!(!requests.is_busy());
    }

    #[test]
    fn a_client_may_still_be_sending_a_body_or_the_rest_of_a_head() {
        let requests = Arc::new(Requests::default());
        assert!(!requests.may_have_unread());
        requests.received();
        assert!(requests.may_have_unread());
        drop(requests.begin(false));
        assert!(!requests.may_have_unread());
        drop(requests.begin(true));
        assert!(requests.may_have_unread());
    }
}
