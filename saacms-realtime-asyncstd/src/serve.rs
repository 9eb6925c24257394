use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::SeqCst};
use std::time::Duration;

use async_io::{Async, Timer};
use event_listener::Event;
use futures_lite::future::or;
use hyper::rt::Executor as _;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use saacms_realtime_core::Hub;
use saacms_realtime_core::route::limits::{
    BACKLOG, DEFAULT_DRAIN_TIMEOUT, DEFAULT_MAX_CONNECTIONS, HEAD_TIMEOUT, HTTP_2_PING,
    LAST_ANSWERS, MAX_BUFFER_BYTES, MAX_HTTP_2_STREAMS,
};

use crate::hyper_io::{Socket, Spawn, Timers};
use crate::realtime::Realtime;

/// Settings of [`serve`]: its limits, and the executor that runs connections.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServeConfig {
    /// Connections open at once; further ones wait to be accepted. Default 110,000.
    pub max_connections: usize,
    /// How long streams may take to end when the server stops. Default 10 s.
    pub drain_timeout: Duration,
    spawn: Spawn,
}

impl ServeConfig {
    /// Connections run on smol's global executor.
    #[cfg(feature = "smol")]
    pub fn smol() -> Self {
        Self::spawning(|task| smol::spawn(task).detach())
    }

    /// Connections run on async-std's executor.
    #[cfg(feature = "async-std")]
    pub fn async_std() -> Self {
        Self::spawning(|task| drop(async_std::task::spawn(task)))
    }

    /// Connections run where `spawn` puts them, such as on an executor of your own.
    ///
    /// ```
    /// # #[cfg(feature = "smol")] fn main() {
    /// use std::sync::Arc;
    /// use saacms_realtime_asyncstd::ServeConfig;
    ///
    /// let executor = Arc::new(smol::Executor::new());
    /// let config = ServeConfig::spawning(move |task| executor.spawn(task).detach());
    /// # }
    /// # #[cfg(not(feature = "smol"))] fn main() {}
    /// ```
    pub fn spawning(
        spawn: impl Fn(Pin<Box<dyn Future<Output = ()> + Send>>) + Send + Sync + 'static,
    ) -> Self {
        Self {
            max_connections: DEFAULT_MAX_CONNECTIONS,
            drain_timeout: DEFAULT_DRAIN_TIMEOUT,
            spawn: Spawn(Arc::new(spawn)),
        }
    }
}

/// Serves until `stop` is ready, then drains: streams get their remaining events and end, new
/// clients are told to come back, and answers in flight are sent.
///
/// Connections that are still open after that are cut. Dropping this future cuts all of them.
///
/// # Errors
///
/// The errors of `listener`; [`PermissionDenied`](io::ErrorKind::PermissionDenied) if other
/// machines can reach it, and so could publish, and the API has no publish token.
pub async fn serve(
    listener: TcpListener,
    realtime: Realtime,
    config: ServeConfig,
    stop: impl Future,
) -> io::Result<()> {
    if !realtime.api().may_be_served_at(listener.local_addr()?.ip()) {
        let reason = "on an address that other machines can reach, publishing needs a token";
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, reason));
    }

    // Called again, `listen` only changes the backlog.
    rustix::net::listen(&listener, BACKLOG as i32)?;
    let listener = Async::new(listener)?;

    // Cuts all connections where this future is dropped.
    let connections = Cut(Connections::default());
    {
        let mut accepting = pin!(accept(&listener, &realtime, &config, &connections.0));
        or(accepting.as_mut(), async { drop(stop.await) }).await;

        realtime.drain();
        // Connections are still accepted, so that new clients are told to come back.
        or(
            accepting,
            or(all_ended(realtime.hub()), after(config.drain_timeout, ())),
        )
        .await;
    }

    // From here on, new connections are refused by the kernel.
    drop(listener);
    connections.0.enter(CLOSING);
    or(connections.0.fewer_than(1), after(LAST_ANSWERS, ())).await;

    connections.0.enter(CUT);
    connections.0.fewer_than(1).await;
    Ok(())
}

async fn accept(
    listener: &Async<TcpListener>,
    realtime: &Realtime,
    config: &ServeConfig,
    connections: &Connections,
) {
    loop {
        // At least one, or nothing would ever be served.
        connections.fewer_than(config.max_connections.max(1)).await;

        match listener.accept().await {
            Ok((stream, _)) => {
                let (realtime, connections) = (realtime.clone(), connections.clone());
                let spawn = config.spawn.clone();
                config.spawn.execute(async move {
                    if let Err(error) = connection(stream, realtime, spawn, connections).await {
                        tracing::debug!(%error, "a connection broke");
                    }
                });
            }
            // The peer disconnected before it was accepted, which is no fault of the server.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                tracing::error!(%error, "cannot accept a connection");
                // Most likely no file is free, and will not be until another connection ends.
                after(Duration::from_millis(100), ()).await;
            }
        }
    }
}

/// One connection: HTTP/1.1 or h2c, within limits.
async fn connection(
    stream: Async<TcpStream>,
    realtime: Realtime,
    spawn: Spawn,
    connections: Connections,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    // An event is one write, which must not wait for more.
    stream.get_ref().set_nodelay(true)?;

    // A client that has not asked for anything yet does not hold up the end of the server.
    let given_up = || Err(io::ErrorKind::TimedOut.into());
    let too_slow = or(
        after(HEAD_TIMEOUT, given_up()),
        connections.entered(CLOSING, given_up()),
    );
    let mut socket = Socket::new(stream);
    let is_http_2 = or(socket.begins_with_http_2(), too_slow).await?;

    let service = service_fn(move |request| {
        let realtime = realtime.clone();
        async move { Ok::<_, Infallible>(realtime.respond(request).await) }
    });

    if is_http_2 {
        let connection = http2::Builder::new(spawn)
            .timer(Timers)
            .max_concurrent_streams(MAX_HTTP_2_STREAMS)
            .max_header_list_size(MAX_BUFFER_BYTES as u32)
            .keep_alive_interval(HTTP_2_PING)
            .keep_alive_timeout(HTTP_2_PING)
            .serve_connection(socket, service);

        connections
            .run(connection, http2::Connection::graceful_shutdown)
            .await?;
    } else {
        let connection = http1::Builder::new()
            .timer(Timers)
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(MAX_BUFFER_BYTES)
            .serve_connection(socket, service);

        connections
            .run(connection, http1::Connection::graceful_shutdown)
            .await?;
    }

    Ok(())
}

/// The connections of a server, each of which holds a clone, and the phase that they are in.
#[derive(Clone, Default)]
struct Connections(Arc<Ending>);

#[derive(Default)]
struct Ending {
    /// 0 while the server runs; then [`CLOSING`], then [`CUT`].
    phase: AtomicU8,
    changed: Event,
}

/// Connections end once their answers in flight are sent.
const CLOSING: u8 = 1;
/// Connections end at once.
const CUT: u8 = 2;

impl Connections {
    /// Drives a connection to its end. Once the server closes, it only sends its answers in flight.
    async fn run<C: Future<Output = hyper::Result<()>>>(
        &self,
        connection: C,
        shut_down: fn(Pin<&mut C>),
    ) -> hyper::Result<()> {
        let mut connection = pin!(connection);
        let end = async { Some(connection.as_mut().await) };
        if let Some(end) = or(end, self.entered(CLOSING, None)).await {
            return end;
        }
        shut_down(connection.as_mut());
        or(connection, self.entered(CUT, Ok(()))).await
    }

    fn enter(&self, phase: u8) {
        self.0.phase.store(phase, SeqCst);
        self.0.changed.notify(usize::MAX);
    }

    /// Returns `then` once this phase is entered.
    async fn entered<T>(&self, phase: u8, then: T) -> T {
        loop {
            // Before the phase is read: a change in between must not be missed.
            let changed = self.0.changed.listen();
            if self.0.phase.load(SeqCst) >= phase {
                return then;
            }
            changed.await;
        }
    }

    /// Waits until there are fewer than `limit` connections.
    async fn fewer_than(&self, limit: usize) {
        // One clone is the server's own, so a count of `limit` means one connection less.
        while Arc::strong_count(&self.0) > limit {
            after(COUNT_INTERVAL, ()).await;
        }
    }
}

/// Cuts all connections when it is dropped.
struct Cut(Connections);

impl Drop for Cut {
    fn drop(&mut self) {
        self.0.enter(CUT);
    }
}

/// Waits until the hub has no subscribers.
async fn all_ended(hub: &Hub) {
    while hub.stats().subscribers > 0 {
        after(COUNT_INTERVAL, ()).await;
    }
}

/// How often a count is read that notifies nobody when it changes.
const COUNT_INTERVAL: Duration = Duration::from_millis(20);

/// Returns `then` once this time has passed.
async fn after<T>(duration: Duration, then: T) -> T {
    Timer::after(duration).await;
    then
}
