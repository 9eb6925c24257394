//! One connection served by hyper, over HTTP/1 or HTTP/2, up to where a stream leaves it.

use core::convert::Infallible;
use core::error::Error;
use core::future::poll_fn;
use core::pin::{Pin, pin};
use core::task::Poll;
use core::time::Duration;
use std::io;
use std::sync::Arc;

use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::{Service, service_fn};
use hyper::{Method, Request, Response, Version};
use hyper_util::rt::{TokioIo, TokioTimer};
use saacms_realtime_core::Subscription;
use saacms_realtime_core::route::http::{Answering, InProgress, KeepAlive, PeerAddress, Requests};
use saacms_realtime_core::route::limits::{
    HTTP_2_PING, HTTP_2_PREFACE, LAST_ANSWERS, MAX_BUFFER_BYTES, MAX_HTTP_2_HEADERS,
    MAX_HTTP_2_RESETS, MAX_HTTP_2_STREAMS, speaks_http_2,
};
use saacms_realtime_core::stall::ReaderKind;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::Phase;
use super::handoff::{Handoff, HandoffIo};
use super::idle::IdleTimer;
use super::linger::LingeringIo;
use super::stalls::{CuttingExecutor, Watch};

/// Any error of a connection or of a response body.
pub(super) type BoxError = Box<dyn Error + Send + Sync>;

/// What all requests of a connection have in common.
#[derive(Debug)]
pub(super) struct Common {
    pub(super) requests: Arc<Requests>,
    pub(super) keep_alive: KeepAlive,
    pub(super) watch: Watch,
    /// Present if streams are counted by address.
    pub(super) peer: Option<PeerAddress>,
}

impl Common {
    /// Records that a request has arrived.
    fn begin(&self, request: &mut Request<Incoming>) -> Begun {
        if let Some(peer) = self.peer {
            request.extensions_mut().insert(peer);
        }
        Begun {
            in_progress: self.requests.begin(!request.body().is_end_stream()),
            keep_alive: self.keep_alive.for_request(request),
        }
    }
}

/// A request that is counted from here to the end of its answer.
struct Begun {
    in_progress: InProgress,
    /// Present over HTTP/1.1, unless the client has asked for the end of the connection.
    keep_alive: Option<KeepAlive>,
}

impl Begun {
    async fn answer<B>(
        self,
        // Boxed: each layer of futures around it would take twice its size.
        answer: Pin<Box<impl Future<Output = Result<Response<B>, Infallible>>>>,
    ) -> Result<Response<Answering<B>>, Infallible> {
        let mut answer = answer.await?;
        if let Some(keep_alive) = self.keep_alive {
            keep_alive.add_to(&mut answer);
        }
        Ok(self.in_progress.until_end_of(answer))
    }
}

/// Serves HTTP/1. If a stream leaves the connection, returns the socket and the subscription.
pub(super) async fn serve_http_1<S, B>(
    stream: TcpStream,
    service: S,
    common: Common,
    idle: &mut IdleTimer<'_>,
    phase: &mut watch::Receiver<Phase>,
) -> Result<Option<(TcpStream, Subscription)>, BoxError>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    B: Body<Error: Into<BoxError>> + Unpin + 'static,
{
    let handoff = Handoff::default();
    let offered = handoff.clone();
    let requests = Arc::clone(&common.requests);
    let kind = ReaderKind::default();
    let watch = common.watch.socket(kind.clone());
    let service = service_fn(move |mut request: Request<Incoming>| {
        // A stream over HTTP/1.0 has no chunks, and only a GET subscribes.
        if request.version() == Version::HTTP_11 && request.method() == Method::GET {
            request.extensions_mut().insert(offered.clone());
        }
        let begun = common.begin(&mut request);
        let answer = begun.answer(Box::pin(service.call(request)));
        let kind = kind.clone();
        async move {
            let answer = answer.await?;
            kind.set_by(answer.body());
            Ok::<_, Infallible>(answer)
        }
    });

    let io = HandoffIo::new(stream, handoff.clone(), Arc::clone(&requests), watch);
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // It would count the time between two requests as well; `idle` tells them apart.
        .header_read_timeout(None)
        .max_buf_size(MAX_BUFFER_BYTES)
        .serve_connection(TokioIo::new(io), service);

    let left = tokio::select! {
        left = until_handoff(&mut connection, &handoff, idle) => left?,
        () = reaches(phase, Phase::Stopping) => {
            requests.stop();
            // A request in progress is still answered, and its stream may still leave.
            Pin::new(&mut connection).graceful_shutdown();
            until_handoff(&mut connection, &handoff, idle).await?
        }
    };

    Ok(left.map(|subscription| {
        // What hyper has read beyond the request is dropped: nothing follows a stream.
        let socket = connection.into_parts().io.into_inner().stream;
        (socket, subscription)
    }))
}

/// Drives a connection to its end, or to where a stream leaves it. Ends it when it is idle.
async fn until_handoff<C: Future<Output = hyper::Result<()>> + Unpin>(
    connection: &mut C,
    handoff: &Handoff,
    idle: &mut IdleTimer<'_>,
) -> hyper::Result<Option<Subscription>> {
    poll_fn(|cx| {
        if let Poll::Ready(result) = Pin::new(&mut *connection).poll(cx) {
            return Poll::Ready(result.map(|()| None));
        }
        // hyper flushes its socket within a poll, so this is the moment when it can have sent a head.
        match handoff.take_if_sent() {
            Some(subscription) => Poll::Ready(Ok(Some(subscription))),
            None => idle.poll(cx).map(|()| Ok(None)),
        }
    })
    .await
}

/// Serves HTTP/2 to the end of the connection. Its streams stay with hyper.
pub(super) async fn serve_http_2<S, B>(
    stream: TcpStream,
    service: S,
    common: Common,
    idle: &mut IdleTimer<'_>,
    phase: &mut watch::Receiver<Phase>,
) -> Result<(), BoxError>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + 'static,
    S::Future: Send + 'static,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + Unpin + 'static,
{
    let watch = common.watch.clone();
    let requests = Arc::clone(&common.requests);
    // Whoever connects during a drain gets an answer first: without one it would connect again.
    let goes_at = match *phase.borrow() {
        Phase::Running => Phase::Draining,
        Phase::Draining | Phase::Stopping => Phase::Stopping,
    };
    let service = service_fn(move |mut request| {
        let begun = common.begin(&mut request);
        begun.answer(Box::pin(service.call(request)))
    });
    let executor = CuttingExecutor::default();
    let service = watch.bodies(service, executor.clone());
    let connection = http2::Builder::new(executor)
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_HTTP_2_STREAMS)
        .max_header_list_size(MAX_HTTP_2_HEADERS)
        .max_send_buf_size(MAX_BUFFER_BYTES)
        .max_pending_accept_reset_streams(MAX_HTTP_2_RESETS)
        .max_local_error_reset_streams(MAX_HTTP_2_RESETS)
        .keep_alive_interval(HTTP_2_PING)
        .keep_alive_timeout(HTTP_2_PING)
        .serve_connection(TokioIo::new(LingeringIo::new(stream)), service);
    let mut connection = pin!(connection);

    let is_idle = tokio::select! {
        result = &mut connection => return Ok(result?),
        () = reaches(phase, goes_at) => false,
        () = poll_fn(|cx| idle.poll(cx)) => true,
    };
    // hyper closes the connection once its client has confirmed that, or does not answer pings.
    connection.as_mut().graceful_shutdown();
    if is_idle {
        // One that asks nothing and does not even confirm that is not waited for.
        match timeout(LAST_ANSWERS, &mut connection).await {
            Ok(result) => return Ok(result?),
            Err(_) if !requests.is_busy() => return Ok(()),
            Err(_) => {}
        }
    }
    Ok(connection.await?)
}

/// Waits until the server is in `phase` or a later one.
async fn reaches(current: &mut watch::Receiver<Phase>, phase: Phase) {
    // Fails only without a sender, which is in `Connections` and outlives its connections.
    let _ = current.wait_for(|current| *current >= phase).await;
}

/// The longest pause before an incomplete preface is peeked at again.
const MAX_PAUSE: Duration = Duration::from_millis(500);

/// Whether the client begins with the HTTP/2 preface. Leaves all bytes in the socket.
pub(super) async fn begins_with_http_2(stream: &TcpStream) -> io::Result<bool> {
    let mut begin = [0; HTTP_2_PREFACE.len()];
    let mut pause = Duration::from_millis(1);
    loop {
        let ready = stream.ready(Interest::READABLE).await?;
        let len = stream.peek(&mut begin).await?;
        if len == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(is_http_2) = speaks_http_2(&begin[..len]) {
            return Ok(is_http_2);
        }
        // The rest of the preface cannot follow any more.
        if ready.is_read_closed() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }

        // The socket stays ready while it holds one byte, so the next one cannot be awaited. The
        // longer a client takes for these few bytes, the less often they are peeked at.
        sleep(pause).await;
        pause = (pause * 2).min(MAX_PAUSE);
    }
}
