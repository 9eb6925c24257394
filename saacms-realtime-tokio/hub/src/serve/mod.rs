//! `serve`: the hub on sockets, from bind to drain.

mod engine;
mod health;
mod pages;

use core::error::Error;
use core::net::SocketAddr;
use core::time::Duration;
use std::io::{self, Write as _};
use std::sync::Arc;
use std::thread::available_parallelism;

use hyper::service::service_fn;
use saacms_realtime_core::route::Api;
use saacms_realtime_core::route::limits::{
    BACKLOG, CROWDED_IDLE_TIME, LAST_ANSWERS, reserved_connections,
};
use saacms_realtime_core::{Hub, Notice};
use saacms_realtime_tokio::Realtime;
use saacms_realtime_tokio::server::{Connections, bound_connections};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::settings::Settings;
pub(crate) use engine::open;
use pages::Site;

/// Serves a hub until SIGTERM or SIGINT, then drains it and closes its history.
///
/// # Errors
///
/// The server cannot listen on an address, or a lane has failed.
pub(crate) async fn run(realtime: Realtime, settings: Settings) -> Result<(), Box<dyn Error>> {
    // Before the address is announced: whoever reads it may send a signal at once.
    let mut stop = StopSignals::new()?;
    let site = Arc::new(Site::new(&realtime));
    // Before the lanes, which need open files, because it raises the limit.
    let room = file_room(settings.max_connections);
    // Over HTTP/2, streams share connections; they are counted as if each had its own.
    let reserved = reserved_connections(room);
    realtime.hub().limit_subscribers(room - reserved);
    let room = Arc::new(Semaphore::new(room));
    let connections = Connections::new(&realtime)
        .map_err(|error| format!("cannot start the threads that write streams: {error}"))?
        .with_idle_timeout(settings.idle_timeout);

    let stall_timeout = settings.hub.stall_timeout;
    let mut accepting = JoinSet::new();
    for address in settings.listen.addresses() {
        let listener = listen(*address, settings.socket_buffer, stall_timeout)
            .map_err(|error| format!("cannot listen on {address}: {error}"))?;
        announce(listener.local_addr()?, realtime.api());
        accepting.spawn(accept(
            listener,
            Arc::clone(&site),
            connections.clone(),
            Arc::clone(&room),
        ));
    }

    let is_broken = tokio::select! {
        () = stop.received() => false,
        // The other lanes still work, so their clients are told to reconnect. The supervisor starts
        // the program again.
        () = connections.broken() => true,
    };

    tracing::info!(subscribers = realtime.hub().stats().subscribers, "draining");
    realtime.drain_within(settings.drain_timeout);
    connections.drain();
    // Connections are still accepted, so that a client that connects now is told to reconnect later.
    let drained = async {
        tokio::select! {
            done = timeout(settings.drain_timeout, all_ended(realtime.hub())) => done.is_ok(),
            // A second signal: do not wait for the streams.
            () = stop.received() => false,
        }
    };
    if !drained.await {
        let (streams, publishes) = left(realtime.hub());
        tracing::warn!(
            streams,
            publishes,
            "stopping with streams that did not read their end, or publishes that are not stored"
        );
    }

    accepting.shutdown().await;
    if timeout(LAST_ANSWERS, connections.shutdown()).await.is_err() {
        tracing::debug!("stopping with answers that were not read");
    }
    engine::close(&realtime);

    tracing::info!(published = realtime.hub().stats().published, "stopped");
    if is_broken {
        Err("a thread that writes streams has ended".into())
    } else {
        Ok(())
    }
}

/// Raises the limit of open files as far as needed, and returns how many connections it allows.
///
/// Each connection is an open file, and most systems start programs with a limit of 1,024.
fn file_room(max_connections: usize) -> usize {
    /// Files that are not connections: listeners, the runtime's own, standard streams.
    const OTHER_FILES: u64 = 64;
    /// Files of the lane that each core has: its poll, its waker, and what io_uring needs.
    const FILES_PER_CORE: u64 = 4;

    let cores = available_parallelism().map_or(1, |cores| cores.get() as u64);
    let others = OTHER_FILES + FILES_PER_CORE * cores;
    let wanted = u64::try_from(max_connections)
        .unwrap_or(u64::MAX)
        .saturating_add(others);

    let limit = rlimit::increase_nofile_limit(wanted).unwrap_or_else(|error| {
        tracing::warn!(%error, "cannot read the limit of open files");
        wanted
    });
    let room = usize::try_from(limit.saturating_sub(others)).unwrap_or(usize::MAX);
    if room < max_connections {
        tracing::info!(
            connections = room,
            max_connections,
            "the limit of open files allows fewer connections; `ulimit -n` or LimitNOFILE= raises \
             it"
        );
    }
    room.min(max_connections).clamp(1, Semaphore::MAX_PERMITS)
}

fn listen(
    address: SocketAddr,
    socket_buffer: usize,
    stall_timeout: Duration,
) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    // Otherwise a restarted server could not bind while old connections are in TIME_WAIT.
    socket.set_reuseaddr(true)?;
    bound_connections(&socket, socket_buffer, stall_timeout)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn announce(address: SocketAddr, api: &Api) {
    tracing::info!(%address, base_path = api.base_path(), "listening");
    if !api.has_publish_token() {
        tracing::info!(
            "publishing needs no token: whoever reaches {address} can publish, also through a proxy \
             that sends no Via, Forwarded or X-Forwarded-For header"
        );
    }
    // For whoever started the hub. If standard output is closed, nobody reads it.
    let _ = writeln!(io::stdout(), "open http://{address}/ in a browser");
}

/// Accepts connections as long as there is room; the next one waits in the kernel, at most until
/// another one has been idle for a second.
async fn accept(
    listener: TcpListener,
    site: Arc<Site>,
    connections: Connections,
    room: Arc<Semaphore>,
) {
    loop {
        if room.available_permits() == 0 {
            site.notice(Notice::TooManyConnections);
        }
        let permit = loop {
            let permit = Arc::clone(&room).acquire_owned();
            match timeout(CROWDED_IDLE_TIME, permit).await {
                Ok(permit) => break permit.expect("the semaphore is never closed"),
                // Not sooner, because it wakes every connection.
                Err(_) => connections.make_room(),
            }
        };
        let stream = next_stream(&listener).await;

        tokio::spawn(connection(
            stream,
            Arc::clone(&site),
            connections.clone(),
            permit,
        ));
    }
}

async fn next_stream(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            // The client left before it was accepted, which is no error of the server.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                tracing::error!(%error, "cannot accept a connection");
                // Most likely no file is free. Another connection has to close first.
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn connection(
    stream: TcpStream,
    site: Arc<Site>,
    connections: Connections,
    permit: OwnedSemaphorePermit,
) {
    let service = service_fn(move |request| Arc::clone(&site).answer(request));
    if let Err(error) = connections.serve(stream, service, permit).await {
        tracing::debug!(%error, "a connection broke");
    }
}

/// Subscribers, and publishes that the engine has not stored yet.
fn left(hub: &Hub) -> (usize, usize) {
    let stats = hub.stats();
    let publishes = stats.engine.map_or(0, |engine| engine.in_flight);
    (stats.subscribers, publishes)
}

/// Returns when the hub has no subscriber and no publish.
async fn all_ended(hub: &Hub) {
    // Polled, because the hub does not announce that the last one has ended.
    while left(hub) != (0, 0) {
        sleep(Duration::from_millis(20)).await;
    }
}

/// The signals that end the program gracefully.
struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    /// Catches the signals from now on.
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Returns when one was sent since the last call.
    async fn received(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
