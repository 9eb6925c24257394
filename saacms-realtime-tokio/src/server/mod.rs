//! What the binary does with its connections, for servers of one's own.
//!
//! [`Connections`] speaks HTTP/1.1 and h2c by hyper. A stream over HTTP/1.1 leaves hyper once the
//! head of its response is out: its socket goes to a *lane*, a thread that owns thousands of them,
//! is woken once by a publish, and keeps a cursor and a file for each instead of hyper's buffers.
//! Streams over HTTP/2 or HTTP/1.0 stay with hyper.
//!
//! The bytes are the same on either way. So an application that is served like this must not have
//! middleware that changes the body of a stream, such as compression.

mod handoff;
mod inbox;
mod lane;
#[cfg_attr(not(target_os = "linux"), path = "no_ring.rs")]
mod ring;
mod stream;
mod writer;

use core::convert::Infallible;
use core::error::Error;
use core::future::poll_fn;
use core::num::NonZero;
use core::pin::{Pin, pin};
use core::task::Poll;
use core::time::Duration;
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::{Service, service_fn};
use hyper::{Method, Request, Response, Version};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use saacms_realtime_core::hub::Subscription;
use saacms_realtime_core::route::limits::{
    HEAD_TIMEOUT, HTTP_2_PING, HTTP_2_PREFACE, MAX_BUFFER_BYTES, MAX_HTTP_2_STREAMS, speaks_http_2,
};
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{sleep, timeout};

use crate::realtime::Realtime;
use handoff::Socket;
use inbox::Inbox;
use lane::{Arrival, Thread};

pub(crate) use handoff::{Handoff, Left};

/// All connections of a server, and the lanes of its streams. Cheap to clone; when the last clone is
/// dropped the lanes end, with whatever streams are left.
#[derive(Clone, Debug)]
pub struct Connections {
    lanes: Arc<Lanes>,
    stopping: Arc<watch::Sender<bool>>,
}

type Failure = Box<dyn Error + Send + Sync>;

impl Connections {
    /// Starts the lanes: a thread for each core.
    ///
    /// # Errors
    ///
    /// A thread or what it polls could not be made: most likely no file is free.
    pub fn new(realtime: &Realtime) -> io::Result<Self> {
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        let lanes = Arc::new(Lanes::start(realtime, cores)?);
        Ok(Self {
            lanes,
            stopping: Arc::new(watch::Sender::new(false)),
        })
    }

    /// Answers the requests of one connection; `permit` is given back when it ends, its stream
    /// included.
    ///
    /// # Errors
    ///
    /// The connection broke, or its client kept neither to HTTP nor to the limits.
    pub async fn serve<S, B>(
        &self,
        stream: TcpStream,
        service: S,
        permit: OwnedSemaphorePermit,
    ) -> Result<(), Failure>
    where
        S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
        S::Future: Send + 'static,
        B: Body<Data: Send, Error: Into<Failure>> + Send + 'static,
    {
        // From the first byte on it is waited for at a shutdown.
        let stopping = self.stopping.subscribe();
        // An event is one write and waits for nothing.
        stream.set_nodelay(true)?;
        if timeout(HEAD_TIMEOUT, begins_with_http_2(&stream)).await?? {
            serve_http_2(stream, service, stopping).await
        } else {
            self.serve_http_1(stream, service, permit, stopping).await
        }
    }

    /// Lets answers in flight end and closes the connections that answer requests. To be called
    /// after [`Realtime::drain`], which ends the streams.
    pub async fn shutdown(&self) {
        self.stopping.send_replace(true);
        self.stopping.closed().await;
    }

    /// Returns when a lane has ended that should not have: a bug, or the system refused to poll.
    pub async fn broken(&self) {
        told(&mut self.lanes.broken.subscribe()).await;
    }

    async fn serve_http_1<S, B>(
        &self,
        stream: TcpStream,
        service: S,
        permit: OwnedSemaphorePermit,
        mut stopping: watch::Receiver<bool>,
    ) -> Result<(), Failure>
    where
        S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
        B: Body<Error: Into<Failure>> + 'static,
    {
        let handoff = Handoff::default();
        let offered = handoff.clone();
        let service = service_fn(move |mut request: Request<Incoming>| {
            // A stream of HTTP/1.0 has no chunks, and to publish there is nothing to hand off.
            if request.version() == Version::HTTP_11 && request.method() == Method::GET {
                request.extensions_mut().insert(offered.clone());
            }
            service.call(request)
        });
        let io = TokioIo::new(Socket {
            stream,
            handoff: handoff.clone(),
        });
        let mut connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(MAX_BUFFER_BYTES)
            .serve_connection(io, service);
        let left = tokio::select! {
            left = until_left(&mut connection, &handoff) => left?,
            () = told(&mut stopping) => {
                Pin::new(&mut connection).graceful_shutdown();
                until_left(&mut connection, &handoff).await?
            }
        };
        if let Some(subscription) = left {
            let socket = connection.into_parts().io.into_inner().stream;
            self.lanes.take_in(socket, subscription, permit)?;
        }
        Ok(())
    }
}

async fn serve_http_2<S, B>(
    stream: TcpStream,
    service: S,
    mut stopping: watch::Receiver<bool>,
) -> Result<(), Failure>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    S::Future: Send + 'static,
    B: Body<Data: Send, Error: Into<Failure>> + Send + 'static,
{
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_HTTP_2_STREAMS)
        .max_header_list_size(MAX_BUFFER_BYTES as u32)
        .keep_alive_interval(HTTP_2_PING)
        .keep_alive_timeout(HTTP_2_PING)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    tokio::select! {
        done = &mut connection => return Ok(done?),
        () = told(&mut stopping) => {}
    }
    connection.as_mut().graceful_shutdown();
    Ok(connection.await?)
}

/// Waits until the other end says it.
async fn told(news: &mut watch::Receiver<bool>) {
    // Its sender outlives all that wait.
    let _ = news.wait_for(|told| *told).await;
}

/// Drives a connection to its end, or to where a stream is to leave it.
async fn until_left<C: Future<Output = hyper::Result<()>> + Unpin>(
    connection: &mut C,
    handoff: &Handoff,
) -> hyper::Result<Option<Subscription>> {
    poll_fn(|cx| match Pin::new(&mut *connection).poll(cx) {
        Poll::Ready(done) => Poll::Ready(done.map(|()| None)),
        Poll::Pending => handoff
            .take_if_sent()
            .map_or(Poll::Pending, |subscription| {
                Poll::Ready(Ok(Some(subscription)))
            }),
    })
    .await
}

/// Streams of a record that are as well served by one lane: writing to them takes some milliseconds.
const MANY: usize = 1_024;

/// The threads that write streams.
#[derive(Debug)]
struct Lanes {
    inboxes: Vec<Arc<Inbox>>,
    threads: Vec<JoinHandle<()>>,
    hasher: RandomState,
    broken: watch::Sender<bool>,
}

impl Lanes {
    fn start(realtime: &Realtime, count: usize) -> io::Result<Self> {
        let (heartbeat, clock) = (realtime.hub().config().heartbeat, realtime.clock());
        let (hasher, broken) = (RandomState::new(), watch::Sender::new(false));
        let mut lanes = Self {
            inboxes: Vec::new(),
            threads: Vec::new(),
            hasher,
            broken,
        };
        for number in 0..count {
            let poll = mio::Poll::new()?;
            let inbox = Arc::new(Inbox::new(&poll)?);
            lanes.inboxes.push(Arc::clone(&inbox));
            let alarm = Alarm {
                broken: lanes.broken.clone(),
                inbox: Arc::clone(&inbox),
            };
            let thread = thread::Builder::new().name(format!("lane-{number}"));
            lanes.threads.push(thread.spawn(move || {
                let _alarm = alarm;
                // Made here: what it shares with its streams stays in the thread.
                let lane = Thread::new(poll, inbox, clock, heartbeat);
                if let Err(error) = lane.run() {
                    tracing::error!(%error, "cannot go on with the streams");
                }
            })?);
        }
        Ok(lanes)
    }

    /// Gives a stream to a lane. Those of a record go to one, as each lane that has some of them is
    /// woken by a publish, until it has many; then to the next.
    fn take_in(
        &self,
        stream: TcpStream,
        subscription: Subscription,
        permit: OwnedSemaphorePermit,
    ) -> io::Result<()> {
        let socket = mio::net::TcpStream::from_std(stream.into_std()?);
        let home = self.hasher.hash_one(subscription.key()) as usize;
        let first = home.wrapping_add(subscription.subscribers_of_topic() / MANY);
        let lanes = self.inboxes.iter().cycle().skip(first % self.inboxes.len());
        let lane = lanes
            .take(self.inboxes.len())
            .find(|inbox| !inbox.is_closed());
        let lane = lane.ok_or_else(|| io::Error::other("the lanes have ended"))?;
        lane.send(Arrival {
            socket,
            subscription,
            permit,
        });
        Ok(())
    }
}

impl Drop for Lanes {
    fn drop(&mut self) {
        self.inboxes.iter().for_each(|inbox| inbox.close());
        for thread in self.threads.drain(..) {
            // Whether it panicked was told by its alarm.
            let _ = thread.join();
        }
    }
}

/// Tells that a lane has ended although nobody closed its inbox.
struct Alarm {
    broken: watch::Sender<bool>,
    inbox: Arc<Inbox>,
}

impl Drop for Alarm {
    fn drop(&mut self) {
        if !self.inbox.is_closed() {
            self.inbox.close();
            self.broken.send_replace(true);
        }
    }
}

/// Longest time between two looks at a preface that is not whole.
const MAX_PAUSE: Duration = Duration::from_millis(500);

/// Whether the client begins with the HTTP/2 preface. Reads nothing off the stream.
async fn begins_with_http_2(stream: &TcpStream) -> io::Result<bool> {
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
        if ready.is_read_closed() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // A peek is ready as long as one byte is there, so more cannot be awaited. Whoever is slow
        // with these few bytes is asked ever more rarely.
        sleep(pause).await;
        pause = (pause * 2).min(MAX_PAUSE);
    }
}
