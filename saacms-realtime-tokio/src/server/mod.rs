//! The connections of the program `saacms-realtime`, for servers of your own.
//!
//! [`Connections`] speaks HTTP/1.1 and h2c through hyper. A stream over HTTP/1.1 leaves hyper once
//! the head of its response is sent. Its socket goes to a *lane*: a thread that owns thousands of
//! sockets, wakes once per publish, and keeps a cursor and a file for each stream instead of hyper's
//! buffers. Streams over HTTP/2 or HTTP/1.0 stay with hyper.
//!
//! Both ways write the same bytes. An application that is served like this must therefore not have
//! middleware that changes the body of a stream, such as compression.

pub(crate) mod handoff;
mod http;
mod idle;
mod inbox;
mod lanes;
mod linger;
mod options;
mod socket;
mod sockets;
mod stalls;
mod thread;
#[cfg_attr(not(target_os = "linux"), path = "no_uring.rs")]
mod uring;
mod writer;

use core::convert::Infallible;
use core::future::poll_fn;
use core::num::NonZero;
use core::time::Duration;
use std::io;
use std::sync::Arc;
use std::thread::available_parallelism;

use http_body::Body;
use hyper::body::Incoming;
use hyper::service::Service;
use hyper::{Request, Response};
use saacms_realtime_core::route::http::{KeepAlive, PeerAddress, Requests};
use saacms_realtime_core::route::limits::DEFAULT_IDLE_TIMEOUT;
use tokio::net::TcpStream;
use tokio::sync::{Notify, OwnedSemaphorePermit, watch};

use crate::realtime::Realtime;
pub use options::bound_connections;

use http::{BoxError, Common};
use idle::IdleTimer;
use lanes::Lanes;
use stalls::Watch;

/// All connections of a server, and the lanes of its streams.
///
/// Cheap to clone. The lanes end when the last clone is dropped, and cut off the streams that are
/// left.
#[derive(Clone, Debug)]
pub struct Connections {
    lanes: Arc<Lanes>,
    realtime: Realtime,
    idle_timeout: Duration,
    /// Every connection that hyper serves has a receiver.
    phase: Arc<watch::Sender<Phase>>,
    /// Wakes every connection that hyper serves.
    crowded: Arc<Notify>,
}

/// How far the server is on its way to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Running,
    /// Streams end. Connections over HTTP/2 that were open before are told to go.
    Draining,
    /// Connections end once their answers in progress are sent.
    Stopping,
}

impl Connections {
    /// Starts the lanes: one thread per core.
    ///
    /// # Errors
    ///
    /// A thread or its poll could not be created: most likely no file is free.
    pub fn new(realtime: &Realtime) -> io::Result<Self> {
        let cores = available_parallelism().map_or(1, NonZero::get);
        let lanes = Arc::new(Lanes::start(realtime, cores)?);
        Ok(Self {
            lanes,
            realtime: realtime.clone(),
            idle_timeout: DEFAULT_IDLE_TIMEOUT,
            phase: Arc::new(watch::Sender::new(Phase::Running)),
            crowded: Arc::default(),
        })
    }

    /// Sets how long a connection may be idle. Default 75 s.
    ///
    /// A connection without a request in progress is closed after this time, which `Keep-Alive`
    /// announces to clients over HTTP/1.1. The first head, and every head that has begun, has 10 s.
    #[must_use]
    pub fn with_idle_timeout(mut self, idle_timeout: Duration) -> Self {
        self.idle_timeout = idle_timeout;
        self
    }

    /// Answers the requests of one connection. `permit` is released when the connection closes,
    /// even if a lane closes it.
    ///
    /// # Errors
    ///
    /// The connection broke, or its client broke the rules of HTTP or one of the limits.
    pub async fn serve<S, B>(
        &self,
        stream: TcpStream,
        service: S,
        permit: OwnedSemaphorePermit,
    ) -> Result<(), BoxError>
    where
        S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + 'static,
        S::Future: Send + 'static,
        B: Body<Data: Send, Error: Into<BoxError>> + Send + Unpin + 'static,
    {
        // Before the first byte, and until a lane has the stream: a shutdown waits for both.
        let mut phase = self.phase.subscribe();
        // An event is one write, so there is nothing to wait for.
        stream.set_nodelay(true)?;

        // A system call, so only where it is needed.
        let limits_addresses = self.realtime.hub().config().max_streams_per_address > 0;
        let peer = if limits_addresses {
            Some(PeerAddress(stream.peer_addr()?.ip()))
        } else {
            None
        };

        let requests = Arc::new(Requests::default());
        let idle = &mut IdleTimer::new(
            self.idle_timeout,
            Arc::clone(&requests),
            &self.realtime,
            &self.crowded,
        );
        let is_http_2 = tokio::select! {
            is_http_2 = http::begins_with_http_2(&stream) => is_http_2?,
            () = poll_fn(|cx| idle.poll(cx)) => return Ok(()),
        };

        let common = Common {
            requests,
            keep_alive: KeepAlive::new(self.idle_timeout),
            watch: Watch::new(&self.realtime),
            peer,
        };
        if is_http_2 {
            return http::serve_http_2(stream, service, common, idle, &mut phase).await;
        }
        if let Some((socket, subscription)) =
            http::serve_http_1(stream, service, common, idle, &mut phase).await?
        {
            self.lanes.send(socket, subscription, permit)?;
        }
        Ok(())
    }

    /// Closes the connections that have been without a request for a second.
    ///
    /// Call it once a second while there is no room for another connection: a client that waits for
    /// an answer would otherwise wait for the idle timeout of others. It wakes every connection that
    /// is not a stream of a lane.
    pub fn make_room(&self) {
        self.crowded.notify_waiters();
    }

    /// Tells the clients that are connected over HTTP/2 to send new requests elsewhere, by GOAWAY.
    ///
    /// Call it with [`Realtime::drain`], and go on accepting connections until the streams have ended:
    /// over HTTP/1 each answer closes its connection, and new clients are told to come back later.
    pub fn drain(&self) {
        self.phase.send_if_modified(|phase| {
            let is_new = *phase < Phase::Draining;
            *phase = Phase::Draining.max(*phase);
            is_new
        });
    }

    /// Waits until the requests in progress are answered, and closes their connections.
    ///
    /// Call [`Realtime::drain`] first: it ends the streams.
    pub async fn shutdown(&self) {
        self.phase.send_replace(Phase::Stopping);
        self.phase.closed().await;
    }

    /// Returns when a lane has failed: because of a bug, or because the system refused to poll.
    pub async fn broken(&self) {
        self.lanes.broken().await;
    }
}
