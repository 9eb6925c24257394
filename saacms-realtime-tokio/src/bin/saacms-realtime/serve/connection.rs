//! One connection: HTTP/1.1 or h2c, within limits.

use core::error::Error;
use core::time::Duration;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use saacms_realtime_core::route::limits::{
    HEAD_TIMEOUT, HTTP_2_PING, HTTP_2_PREFACE, MAX_BUFFER_BYTES, MAX_HTTP_2_STREAMS, speaks_http_2,
};
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// All connections, so that they can be asked to end.
#[derive(Clone)]
pub(super) struct Connections {
    watch: Arc<Mutex<Option<GracefulShutdown>>>,
}

impl Connections {
    pub(super) fn new() -> Self {
        Self { watch: Arc::new(Mutex::new(Some(GracefulShutdown::new()))) }
    }

    /// Lets answers in flight end and closes all connections.
    pub(super) async fn shutdown(&self) {
        let watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(watch) = watch {
            watch.shutdown().await;
        }
    }

    pub(super) async fn serve(
        &self,
        stream: TcpStream,
        app: Router,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        // An event is one write and waits for nothing.
        stream.set_nodelay(true)?;
        let is_http_2 = timeout(HEAD_TIMEOUT, begins_with_http_2(&stream)).await??;
        let service = TowerToHyperService::new(app);
        let io = TokioIo::new(stream);
        if is_http_2 {
            let connection = http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .max_concurrent_streams(MAX_HTTP_2_STREAMS)
                .max_header_list_size(MAX_BUFFER_BYTES as u32)
                .keep_alive_interval(HTTP_2_PING)
                .keep_alive_timeout(HTTP_2_PING)
                .serve_connection(io, service);
            Ok(self.watched(|watch| watch.watch(connection))?.await?)
        } else {
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIMEOUT)
                .max_buf_size(MAX_BUFFER_BYTES)
                .serve_connection(io, service);
            Ok(self.watched(|watch| watch.watch(connection))?.await?)
        }
    }

    fn watched<C>(&self, watch: impl FnOnce(&GracefulShutdown) -> C) -> io::Result<C> {
        let guard = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        guard.as_ref().map(watch).ok_or_else(|| io::Error::other("the server is stopping"))
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
