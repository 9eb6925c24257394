//! The runtime that hyper needs: sockets, timers, an executor.
//!
//! hyper polls for the end of the request at each event that it writes. Over `futures-io` each of
//! these polls is a system call. Here there is none until the reactor reports that the socket is
//! readable.

use std::fmt;
use std::io::{self, IoSlice, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use async_io::{Async, Timer};
use hyper::rt::{self, ReadBufCursor};
use saacms_realtime_core::route::http::Requests;
use saacms_realtime_core::route::limits::{
    HTTP_2_PREFACE, LINGER_BYTES, LINGER_TIME, speaks_http_2,
};

use crate::watch::WatchedSocket;

/// A socket for hyper.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: Async<TcpStream>,
    /// Bytes that were read to detect the protocol; hyper reads them first.
    begin: Vec<u8>,
    /// The last read has emptied the socket.
    is_empty: bool,
    requests: Arc<Requests>,
    /// Present once the server's side is closed while the client may still be sending.
    linger: Option<Linger>,
    /// `None` over HTTP/2, whose bodies are watched one by one.
    watch: Option<WatchedSocket>,
}

/// The bytes that such a client may still send, and the time that it has for them.
#[derive(Debug)]
struct Linger {
    left: usize,
    timer: Timer,
}

impl Socket {
    pub(crate) fn new(stream: Async<TcpStream>, requests: Arc<Requests>) -> Self {
        Self {
            stream,
            begin: Vec::new(),
            is_empty: false,
            requests,
            linger: None,
            watch: None,
        }
    }

    /// Reports to the hub while the socket is full.
    pub(crate) fn watch(&mut self, watch: WatchedSocket) {
        self.watch = Some(watch);
    }

    /// Whether the client begins with the HTTP/2 preface.
    ///
    /// # Errors
    ///
    /// The client disconnects before that is known.
    pub(crate) async fn begins_with_http_2(&mut self) -> io::Result<bool> {
        loop {
            if let Some(is_http_2) = speaks_http_2(&self.begin) {
                return Ok(is_http_2);
            }

            // Not empty: the whole preface would have been an answer. So a read of 0 is the end.
            let mut more = [0; HTTP_2_PREFACE.len()];
            let missing = &mut more[self.begin.len()..];
            let read = self
                .stream
                .read_with(|mut stream| stream.read(missing))
                .await?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.begin.extend_from_slice(&missing[..read]);
        }
    }
}

impl rt::Read for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.begin.is_empty() {
            let len = self.begin.len().min(buf.remaining());
            let rest = self.begin.split_off(len);
            buf.put_slice(&self.begin);
            self.begin = rest;
            self.requests.received();
            return Poll::Ready(Ok(()));
        }

        loop {
            if self.is_empty {
                ready!(self.stream.poll_readable(cx))?;
            }

            // hyper's buffer may be uninitialized, which takes unsafe code to read into.
            let mut bytes = [0; 8 << 10];
            let len = bytes.len().min(buf.remaining());
            match self.stream.get_ref().read(&mut bytes[..len]) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.is_empty = true,
                Err(error) => return Poll::Ready(Err(error)),
                Ok(read) => {
                    // A short read got all there was: the next one would be a call for nothing.
                    self.is_empty = read < len;
                    buf.put_slice(&bytes[..read]);
                    if read > 0 {
                        self.requests.received();
                    }
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}

impl rt::Write for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = poll_write(&this.stream, cx, bufs);
        match &mut this.watch {
            Some(watch) => watch.written(this.stream.get_ref(), written, cx),
            None => written,
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Nothing is buffered here.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.linger.is_none() {
            self.stream.get_ref().shutdown(Shutdown::Write)?;
            // Over HTTP/2 a client sends window updates for what it is still reading.
            let is_http_2 = self.watch.is_none();
            if !is_http_2 && !self.requests.may_have_unread() {
                return Poll::Ready(Ok(()));
            }
        }
        self.poll_linger(cx).map(Ok)
    }
}

impl Socket {
    /// Discards what arrives. Ready once the client has closed its side or reached a limit.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let linger = self.linger.get_or_insert_with(|| Linger {
            left: LINGER_BYTES,
            timer: Timer::after(LINGER_TIME),
        });

        let mut unread = [0; 16 << 10];
        while linger.left > 0 {
            match self.stream.get_ref().read(&mut unread) {
                Ok(len) if len > 0 => linger.left = linger.left.saturating_sub(len),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if Pin::new(&mut linger.timer).poll(cx).is_ready() {
                        return Poll::Ready(());
                    }
                    if ready!(self.stream.poll_readable(cx)).is_err() {
                        return Poll::Ready(());
                    }
                }
                // Closed, or broken.
                Ok(_) | Err(_) => return Poll::Ready(()),
            }
        }
        Poll::Ready(())
    }
}

fn poll_write(
    stream: &Async<TcpStream>,
    cx: &mut Context<'_>,
    bufs: &[IoSlice<'_>],
) -> Poll<io::Result<usize>> {
    loop {
        match stream.get_ref().write_vectored(bufs) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                ready!(stream.poll_writable(cx))?;
            }
            written => return Poll::Ready(written),
        }
    }
}

/// Timers for hyper.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timers;

impl rt::Timer for Timers {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn rt::Sleep>> {
        Box::pin(Sleep(Timer::after(duration)))
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn rt::Sleep>> {
        Box::pin(Sleep(Timer::at(deadline)))
    }
}

struct Sleep(Timer);

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(cx).map(drop)
    }
}

impl rt::Sleep for Sleep {}

/// Runs tasks on the executor of the application.
#[derive(Clone)]
pub(crate) struct Spawn(pub(crate) Arc<dyn Fn(Task) + Send + Sync>);

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

impl<F: Future<Output = ()> + Send + 'static> rt::Executor<F> for Spawn {
    fn execute(&self, task: F) {
        (self.0)(Box::pin(task));
    }
}

impl fmt::Debug for Spawn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Spawn")
    }
}
