//! Serves connections as the program does.

use std::sync::Arc;

use hyper::service::service_fn;
use saacms_realtime_tokio::Realtime;
use saacms_realtime_tokio::server::Connections;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// Accepts connections for ever. Each holds a permit of `room` until it closes, even if a lane
/// closes it.
pub(crate) async fn accept(listener: TcpListener, realtime: Realtime, room: Arc<Semaphore>) {
    let connections = Connections::new(&realtime).expect("threads");
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        let permit = Arc::clone(&room)
            .acquire_owned()
            .await
            .expect("is never closed");
        let (connections, realtime) = (connections.clone(), realtime.clone());
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let realtime = realtime.clone();
                async move { Ok(realtime.respond(request).await) }
            });
            connections.serve(stream, service, permit).await
        });
    }
}
