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

/// How [`serve`] serves: where connections run, and its limits.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServeConfig {
    /// Connections at one time; the next one waits to be accepted. Default 110,000.
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

    /// Connections run where `spawn` sees to it, such as on an executor of your own.
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

/// Serves until `stop` is ready, then drains: streams get what they have not yet had and their end,
/// who comes now is told to come again, answers in flight are sent.
///
/// What is left after that is cut, and so is everything where this future is dropped.
///
/// # Errors
///
/// Where `listener` cannot be listened on; [`PermissionDenied`](io::ErrorKind::PermissionDenied)
/// where other machines reach it, and so could publish, as the API has no publish token.
pub async fn serve(
    listener: TcpListener,
    realtime: Realtime,
    config: ServeConfig,
    stop: impl Future,
) -> io::Result<()> {
    if !realtime.api().may_be_served_at(listener.local_addr()?.ip()) {
        let reason = "on an address that other machines reach, publishing needs a token";
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, reason));
    }
    // Asked once more, a listener takes the new limit.
    rustix::net::listen(&listener, BACKLOG as i32)?;
    let listener = Async::new(listener)?;
    let connections = Cut(Connections::default());
    {
        let mut accepting = pin!(accept(&listener, &realtime, &config, &connections.0));
        or(accepting.as_mut(), async { drop(stop.await) }).await;
        realtime.drain();
        // New requests are still answered, so that a client which comes now is told to come again.
        or(
            accepting,
            or(all_ended(realtime.hub()), after(config.drain_timeout, ())),
        )
        .await;
    }
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
            // The peer was gone before it was accepted: nothing of ours is wrong.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                tracing::error!(%error, "cannot accept a connection");
                // Most likely no file is free; it takes an end of another connection to get one.
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
    // An event is one write and waits for nothing.
    stream.get_ref().set_nodelay(true)?;
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

/// The connections of a server, each of which holds a clone, and how far their end has come.
#[derive(Clone, Default)]
struct Connections(Arc<Ending>);

#[derive(Default)]
struct Ending {
    phase: AtomicU8,
    changed: Event,
}

/// The phase in which answers in flight end.
const CLOSING: u8 = 1;
/// The phase in which nothing goes on.
const CUT: u8 = 2;

impl Connections {
    /// Drives a connection to its end; when the server closes, to that of its answers in flight.
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

    /// `then`, once this phase was entered.
    async fn entered<T>(&self, phase: u8, then: T) -> T {
        loop {
            let changed = self.0.changed.listen();
            if self.0.phase.load(SeqCst) >= phase {
                return then;
            }
            changed.await;
        }
    }

    async fn fewer_than(&self, limit: usize) {
        // One clone is the server's own.
        while Arc::strong_count(&self.0) > limit {
            after(GLANCE, ()).await;
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

async fn all_ended(hub: &Hub) {
    while hub.stats().subscribers > 0 {
        after(GLANCE, ()).await;
    }
}

/// Time between two looks at what tells nobody of its change.
const GLANCE: Duration = Duration::from_millis(20);

/// `then`, once this time has passed.
async fn after<T>(duration: Duration, then: T) -> T {
    Timer::after(duration).await;
    then
}
