use std::convert::Infallible;
use std::error::Error;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, TcpListener, TcpStream};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

use async_io::{Async, Timer};
use futures_lite::future::or;
use http_body::Body as _;
use hyper::Request;
use hyper::body::Incoming;
use hyper::rt::Executor as _;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use saacms_realtime_core::route::http::{IdleWatch, KeepAlive, PeerAddress, Requests};
use saacms_realtime_core::route::limits::{
    BACKLOG, DEFAULT_DRAIN_TIMEOUT, DEFAULT_IDLE_TIMEOUT, DEFAULT_MAX_CONNECTIONS,
    DEFAULT_SOCKET_BUFFER, HEAD_TIMEOUT, HTTP_2_PING, LAST_ANSWERS, MAX_BUFFER_BYTES,
    MAX_HTTP_2_HEADERS, MAX_HTTP_2_RESETS, MAX_HTTP_2_STREAMS, reserved_connections,
};
use saacms_realtime_core::stall::ReaderKind;
use saacms_realtime_core::{Hub, Notice};

use crate::connections::{
    CLOSING, COUNT_INTERVAL, CUT, Connections, Cut, DRAINING, RUNNING, after,
};
use crate::hyper_io::{Socket, Spawn, Timers};
use crate::realtime::Realtime;
use crate::watch::{CuttingExecutor, Watch};

/// Settings of [`serve`]: its limits, and the executor that runs connections.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServeConfig {
    /// Connections open at once; further ones wait to be accepted. Default 110,000.
    pub max_connections: usize,
    /// Bytes of answers that the kernel buffers for a connection (Linux only). Default 256 KiB.
    pub socket_buffer: usize,
    /// How long a connection may stay open without a request in progress. Default 75 s.
    ///
    /// `Keep-Alive` announces it to clients over HTTP/1.1. The first head, and every head that has
    /// begun, has 10 s.
    pub idle_timeout: Duration,
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
            socket_buffer: DEFAULT_SOCKET_BUFFER,
            idle_timeout: DEFAULT_IDLE_TIMEOUT,
            drain_timeout: DEFAULT_DRAIN_TIMEOUT,
            spawn: Spawn(Arc::new(spawn)),
        }
    }
}

/// Serves until `stop` is ready, then drains: streams get their remaining events and end, new
/// clients are told to come back, and answers in flight are sent.
///
/// At a loopback address and without a publish token, requests must name a loopback host or one of
/// [`Api::with_allowed_hosts`](crate::Api::with_allowed_hosts): any web page could otherwise read
/// the hub by DNS rebinding.
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
    let address = listener.local_addr()?.ip().to_canonical();
    if !realtime.api().may_be_served_at(address) {
        let reason = "on an address that other machines can reach, publishing needs a token";
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, reason));
    }
    let realtime = if address.is_loopback() {
        realtime.for_loopback()
    } else {
        realtime
    };

    let room = config.max_connections.max(1);
    // Over HTTP/2, streams share connections; they are counted as if each had its own.
    realtime
        .hub()
        .limit_subscribers(room - reserved_connections(room));
    let stall_timeout = realtime.hub().config().stall_timeout;
    bound_connections(&listener, config.socket_buffer, stall_timeout)?;
    // Called again, `listen` only changes the backlog.
    rustix::net::listen(&listener, BACKLOG as i32)?;
    let listener = Async::new(listener)?;

    // Cuts all connections where this future is dropped.
    let connections = Cut(Connections::default());
    {
        let mut accepting = pin!(accept(&listener, &realtime, &config, &connections.0));
        or(accepting.as_mut(), async { drop(stop.await) }).await;

        realtime.drain_within(config.drain_timeout);
        connections.0.enter(DRAINING);
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

/// Bounds what the kernel holds for the connections that `listener` accepts from now on: they
/// inherit its options.
#[cfg(target_os = "linux")]
fn bound_connections(
    listener: &TcpListener,
    socket_buffer: usize,
    stall_timeout: Duration,
) -> io::Result<()> {
    use rustix::net::sockopt;
    use saacms_realtime_core::route::limits::{KEEP_ALIVE, KEEP_ALIVE_PROBES, unconfirmed_timeout};

    sockopt::set_socket_send_buffer_size(listener, socket_buffer)?;
    sockopt::set_socket_keepalive(listener, true)?;
    sockopt::set_tcp_keepidle(listener, KEEP_ALIVE)?;
    sockopt::set_tcp_keepintvl(listener, KEEP_ALIVE)?;
    sockopt::set_tcp_keepcnt(listener, KEEP_ALIVE_PROBES)?;
    if let Some(timeout) = unconfirmed_timeout(stall_timeout) {
        let millis = u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX);
        sockopt::set_tcp_user_timeout(listener, millis)?;
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn bound_connections(_: &TcpListener, _: usize, _: Duration) -> io::Result<()> {
    Ok(())
}

async fn accept(
    listener: &Async<TcpListener>,
    realtime: &Realtime,
    config: &ServeConfig,
    connections: &Connections,
) {
    loop {
        if connections.count() >= config.max_connections.max(1) {
            realtime.hub().notice(Notice::TooManyConnections);
        }
        // At least one, or nothing would ever be served.
        connections.room_within(config.max_connections.max(1)).await;

        match listener.accept().await {
            Ok((stream, peer)) => {
                let (realtime, connections) = (realtime.clone(), connections.clone());
                let for_connection = config.clone();
                config.spawn.execute(async move {
                    let config = for_connection;
                    if let Err(error) =
                        connection(stream, peer.ip(), realtime, config, connections).await
                    {
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
    peer: IpAddr,
    realtime: Realtime,
    config: ServeConfig,
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
    let requests = Arc::new(Requests::default());
    let mut socket = Socket::new(stream, Arc::clone(&requests));
    let idle = until_idle(
        config.idle_timeout,
        Arc::clone(&requests),
        realtime.clone(),
        // A clone would count as a connection.
        &connections,
    );
    let mut idle = pin!(idle);
    let makes_room = async {
        idle.as_mut().await;
        given_up()
    };
    let is_http_2 = or(socket.begins_with_http_2(), or(too_slow, makes_room)).await?;

    let keep_alive = KeepAlive::new(config.idle_timeout);
    let counted = Arc::clone(&requests);
    let watch = Watch::new(&realtime);
    let kind = ReaderKind::default();
    let watched = watch.socket(kind.clone());
    let limits_addresses = realtime.hub().config().max_streams_per_address > 0;
    let service = service_fn(move |mut request: Request<Incoming>| {
        if limits_addresses {
            request.extensions_mut().insert(PeerAddress(peer));
        }
        let in_progress = counted.begin(!request.body().is_end_stream());
        let keep_alive = keep_alive.for_request(&request);
        let (realtime, kind) = (realtime.clone(), kind.clone());
        async move {
            let mut answer = Box::pin(realtime.respond(request)).await;
            kind.set_by(answer.body());
            if let Some(keep_alive) = keep_alive {
                keep_alive.add_to(&mut answer);
            }
            Ok::<_, Infallible>(in_progress.until_end_of(answer))
        }
    });

    if is_http_2 {
        let executor = CuttingExecutor::new(config.spawn);
        let service = watch.bodies(service, executor.clone());
        let connection = http2::Builder::new(executor)
            .timer(Timers)
            .max_concurrent_streams(MAX_HTTP_2_STREAMS)
            .max_header_list_size(MAX_HTTP_2_HEADERS)
            .max_send_buf_size(MAX_BUFFER_BYTES)
            .max_pending_accept_reset_streams(MAX_HTTP_2_RESETS)
            .max_local_error_reset_streams(MAX_HTTP_2_RESETS)
            .keep_alive_interval(HTTP_2_PING)
            .keep_alive_timeout(HTTP_2_PING)
            .serve_connection(socket, service);

        // By GOAWAY. Whoever connects during a drain gets an answer first: without one it would connect
        // again. An idle one is closed once its client has confirmed that, or does not answer pings.
        let goes_at = match connections.phase() {
            RUNNING => DRAINING,
            _ => CLOSING,
        };
        let stop = or(connections.entered(goes_at, ()), idle);
        connections
            .run(connection, stop, http2::Connection::graceful_shutdown)
            .await?;
    } else {
        socket.watch(watched);
        let connection = http1::Builder::new()
            .timer(Timers)
            // It would count the time between two requests as well; `idle` tells them apart.
            .header_read_timeout(None)
            .max_buf_size(MAX_BUFFER_BYTES)
            .serve_connection(socket, service);

        let stop = async {
            connections.entered(CLOSING, ()).await;
            requests.stop();
        };
        let run = connections.run(connection, stop, http1::Connection::graceful_shutdown);
        // An idle one may have a part of a head, for which hyper would wait.
        let idle = async {
            idle.await;
            Ok(())
        };
        or(run, idle).await?;
    }

    Ok(())
}

/// Returns once a connection must end because it is idle. Polled after each poll of the connection.
async fn until_idle(
    idle_timeout: Duration,
    requests: Arc<Requests>,
    realtime: Realtime,
    connections: &Connections,
) {
    let clock = realtime.clock();
    let mut watch = IdleWatch::new(idle_timeout, clock.now().instant);
    let mut timer = Timer::never();
    // The timer is never later than the watch wants to look again. It is not set at each request: if
    // it is early, the watch only looks once more.
    let mut timer_at = None;
    let mut is_crowded = connections.crowded();

    poll_fn(|cx| {
        while Pin::new(&mut is_crowded).poll(cx).is_ready() {
            is_crowded = connections.crowded();
            if watch.makes_room(&requests, clock.now().instant) {
                return Poll::Ready(());
            }
        }
        loop {
            let Some(due) = watch.look(&requests, clock.now().instant) else {
                return Poll::Ready(());
            };
            if timer_at.is_none_or(|timer_at| due < timer_at) {
                timer.set_at(clock.deadline(due));
                timer_at = Some(due);
            }
            ready!(Pin::new(&mut timer).poll(cx));
            timer_at = None;
        }
    })
    .await;
    realtime.hub().notice(Notice::ConnectionIdle);
}

/// Waits until the hub has no subscribers.
async fn all_ended(hub: &Hub) {
    while hub.stats().subscribers > 0 {
        after(COUNT_INTERVAL, ()).await;
    }
}
