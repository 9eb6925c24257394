//! Readers that do not take their bytes: each kind of connection reports them to the hub, and drops
//! what it holds for the readers that the hub cuts.

use core::convert::Infallible;
use core::task::{Context, Poll};
use std::io;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, PoisonError};

use http_body::Body;
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::service::{Service, service_fn};
use hyper::{Request, Response};
use saacms_realtime_core::stall::{
    Cut, CutSignal, Reader, ReaderKind, SocketWatch, Stall, Watched,
};
use saacms_realtime_core::{Hub, Instant, Notice};
use tokio::net::TcpStream;

use super::http::BoxError;
use crate::clock::Clock;
use crate::realtime::Realtime;

/// The hub of a server, to which its connections report their readers. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Watch {
    hub: Hub,
    clock: Clock,
}

impl Watch {
    pub(super) fn new(realtime: &Realtime) -> Self {
        Self {
            hub: realtime.hub().clone(),
            clock: realtime.clock(),
        }
    }

    /// Counts a line for the log.
    pub(super) fn notice(&self, notice: Notice) {
        self.hub.notice(notice);
    }

    pub(super) fn now(&self) -> Instant {
        self.clock.now().instant
    }

    /// Records that a stream has bytes which its client has not taken.
    pub(super) fn begin(&self, cut: Arc<dyn Cut>) -> Stall {
        self.hub.stalls().begin(Reader::OfStream, cut, self.now())
    }

    /// Watches the socket of a connection over HTTP/1. Its service records in `kind` what is written.
    pub(super) fn socket(&self, kind: ReaderKind) -> WatchedSocket {
        WatchedSocket {
            clock: self.clock,
            watch: SocketWatch::new(self.hub.stalls().clone(), kind),
        }
    }

    /// Watches all bodies of a connection over HTTP/2. One that is cut is reset, and the others of
    /// the connection go on.
    ///
    /// The connection must be served with `executor`.
    pub(super) fn bodies<S, B>(
        self,
        service: S,
        executor: CuttingExecutor,
    ) -> impl Service<
        Request<Incoming>,
        Response = Response<Watched<B, impl Fn() -> Instant + Send + Unpin + 'static>>,
        Error = Infallible,
        Future: Send + 'static,
    >
    where
        S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + 'static,
        S::Future: Send + 'static,
        B: Body<Data: Send, Error: Into<BoxError>> + Send + Unpin + 'static,
    {
        let (next, watch) = (executor.next, self);
        service_fn(move |request| {
            // hyper executes the request's task right after this call, before any other's.
            let signal = Arc::new(CutSignal::default());
            *next.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&signal));

            // Boxed, so that a stream does not keep the room that its answer took to make.
            let answer = Box::pin(service.call(request));
            let (stalls, clock) = (watch.hub.stalls().clone(), watch.clock);
            async move {
                let answer = answer.await?;
                let now = move || clock.now().instant;
                Ok(answer.map(|body| Watched::new(body, stalls, signal, now)))
            }
        })
    }
}

/// Runs the tasks of an HTTP/2 connection on tokio, each up to where its reader is cut.
///
/// A task that is dropped resets its stream, and h2 discards what it has buffered for it.
#[derive(Clone, Debug, Default)]
pub(super) struct CuttingExecutor {
    /// The signal of the request whose task is executed next.
    next: Arc<Mutex<Option<Arc<CutSignal>>>>,
}

impl<F: Future<Output: Send> + Send + 'static> Executor<F> for CuttingExecutor {
    fn execute(&self, task: F) {
        let signal = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            next.take()
        };
        match signal {
            // The hub has counted a reader that it cuts.
            Some(signal) => drop(tokio::spawn(signal.run(task))),
            None => drop(tokio::spawn(task)),
        }
    }
}

/// The watch over one socket.
#[derive(Debug)]
pub(super) struct WatchedSocket {
    clock: Clock,
    watch: SocketWatch,
}

impl WatchedSocket {
    /// Passes on the outcome of a write to `stream`, or the error of a reader that is cut.
    pub(super) fn written(
        &mut self,
        stream: &TcpStream,
        written: Poll<io::Result<usize>>,
        cx: &Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let is_pending = written.is_pending();
        let clock = self.clock;
        let written = self.watch.written(written, cx, || clock.now().instant);
        if is_pending && written.is_ready() {
            abort_at_close(stream);
        }
        written
    }
}

/// Makes the kernel drop what it holds for this socket when it is closed: the client, which takes
/// nothing, is sent a reset.
pub(super) fn abort_at_close(socket: impl AsFd) {
    // Fails only if the client has gone, and then the kernel holds nothing.
    #[cfg(target_os = "linux")]
    let _ = rustix::net::sockopt::set_socket_linger(socket, Some(core::time::Duration::ZERO));
    #[cfg(not(target_os = "linux"))]
    let _ = socket;
}
