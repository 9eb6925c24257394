//! Readers that do not take their bytes: connections report them to the hub, and drop what they
//! hold for the readers that the hub cuts.

use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::net::TcpStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body, Incoming};
use hyper::rt::Executor;
use hyper::service::{Service, service_fn};
use hyper::{Request, Response};
use saacms_realtime_core::Instant;
use saacms_realtime_core::stall::{CutSignal, ReaderKind, SocketWatch, Stalls, Watched};

use crate::clock::Clock;
use crate::hyper_io::Spawn;
use crate::realtime::Realtime;

/// The hub of a server, to which its connections report their readers.
#[derive(Clone, Debug)]
pub(crate) struct Watch {
    stalls: Stalls,
    clock: Clock,
}

impl Watch {
    pub(crate) fn new(realtime: &Realtime) -> Self {
        Self {
            stalls: realtime.hub().stalls().clone(),
            clock: realtime.clock(),
        }
    }

    /// Watches the socket of a connection over HTTP/1. Its service records in `kind` what is written.
    pub(crate) fn socket(&self, kind: ReaderKind) -> WatchedSocket {
        WatchedSocket {
            clock: self.clock,
            watch: SocketWatch::new(self.stalls.clone(), kind),
        }
    }

    /// Watches all bodies of a connection over HTTP/2. One that is cut is reset, and the others of
    /// the connection go on.
    ///
    /// The connection must be served with `executor`.
    pub(crate) fn bodies<S, B>(
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
        B: Body<Error: Into<Box<dyn Error + Send + Sync>>> + Send + Unpin + 'static,
    {
        let next = executor.next;
        service_fn(move |request| {
            // hyper executes the request's task right after this call, before any other's.
            let signal = Arc::new(CutSignal::default());
            *next.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&signal));

            // Boxed, so that a stream does not keep the room that its answer took to make.
            let answer = Box::pin(service.call(request));
            let watch = self.clone();
            async move {
                let answer = answer.await?;
                let now = move || watch.clock.now().instant;
                Ok(answer.map(|body| Watched::new(body, watch.stalls, signal, now)))
            }
        })
    }
}

/// Runs the tasks of an HTTP/2 connection where [`Spawn`] puts them, each up to where its reader is
/// cut.
///
/// A task that is dropped resets its stream, and h2 discards what it has buffered for it.
#[derive(Clone, Debug)]
pub(crate) struct CuttingExecutor {
    spawn: Spawn,
    /// The signal of the request whose task is executed next.
    next: Arc<Mutex<Option<Arc<CutSignal>>>>,
}

impl CuttingExecutor {
    pub(crate) fn new(spawn: Spawn) -> Self {
        Self {
            spawn,
            next: Arc::default(),
        }
    }
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for CuttingExecutor {
    fn execute(&self, task: F) {
        let signal = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            next.take()
        };
        match signal {
            Some(signal) => self.spawn.execute(async move {
                // The hub has counted a reader that it cuts.
                let _ = signal.run(task).await;
            }),
            None => self.spawn.execute(task),
        }
    }
}

/// The watch over one socket.
#[derive(Debug)]
pub(crate) struct WatchedSocket {
    clock: Clock,
    watch: SocketWatch,
}

impl WatchedSocket {
    /// Passes on the outcome of a write to `stream`, or the error of a reader that is cut.
    pub(crate) fn written(
        &mut self,
        stream: &TcpStream,
        written: Poll<io::Result<usize>>,
        cx: &Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let is_pending = written.is_pending();
        let clock = self.clock;
        let written = self.watch.written(written, cx, || clock.now().instant);
        if is_pending && written.is_ready() {
            // When it is closed, the kernel drops what it holds and sends the client a reset. This
            // fails only if the client has gone, and then the kernel holds nothing.
            let _ = rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO));
        }
        written
    }
}
