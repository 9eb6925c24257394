//! A server under test.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use event_listener::Event;
use futures_lite::future::or;
use saacms_realtime_asyncstd::{Api, HubConfig, Realtime, ServeConfig, serve};

use crate::client::{Connection, PATIENCE, Request};
use crate::stream::Stream;
use crate::{EVENT, PUBLISH, SUBSCRIBE};

/// A server on its own thread.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) realtime: Realtime,
    pub(crate) stop: Event,
    pub(crate) cut: Event,
    pub(crate) ended: mpsc::Receiver<io::Result<()>>,
}

impl Server {
    pub(crate) fn start(config: ServeConfig) -> Self {
        Self::with_api(config, Api::default().with_local_publish())
    }

    pub(crate) fn with_api(config: ServeConfig, api: Api) -> Self {
        let hub = HubConfig {
            heartbeat: Duration::ZERO,
            max_lag_bytes: 1 << 30,
            ..HubConfig::default()
        };
        Self::start_with(config, hub, api)
    }

    pub(crate) fn start_with(config: ServeConfig, hub: HubConfig, api: Api) -> Self {
        let realtime = Realtime::new(hub, api).expect("valid settings");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (stop, cut) = (Event::new(), Event::new());
        let (stopped, was_cut) = (stop.listen(), cut.listen());
        let (end, ended) = mpsc::channel();
        let served = realtime.clone();

        thread::spawn(move || {
            let server = serve(listener, served, config, stopped);
            let cut = async {
                was_cut.await;
                Ok(())
            };
            // The receiver is gone if the test is over.
            let _ = end.send(smol::block_on(or(server, cut)));
        });

        Self {
            address,
            realtime,
            stop,
            cut,
            ended,
        }
    }

    pub(crate) fn connect(&self) -> Connection {
        Connection::open(self.address)
    }

    pub(crate) fn subscribe(&self) -> Stream {
        let mut stream = Stream::open(self.address, &Request::get(SUBSCRIBE));
        stream.greeting();
        stream
    }

    /// Publishes more bytes than socket buffers hold.
    pub(crate) fn publish_much(&self) {
        let record = "x".repeat(900_000);
        let event = EVENT.replace("\"record\":1", &format!("\"record\":\"{record}\""));
        for _ in 0..20 {
            let answer = self.connect().exchange(&Request::post(PUBLISH, &event));
            assert_eq!(answer.status(), 204);
        }
    }

    pub(crate) fn stop(&self) {
        self.stop.notify(1);
    }

    pub(crate) fn cut(&self) {
        self.cut.notify(1);
    }

    /// Waits for the server to end.
    pub(crate) fn wait(&self) {
        let ended = self.ended.recv_timeout(PATIENCE);
        assert!(matches!(ended, Ok(Ok(()))), "{ended:?}");
    }

    pub(crate) fn wait_until(&self, holds: impl Fn(&Self) -> bool) {
        let started = Instant::now();
        while !holds(self) {
            assert!(started.elapsed() < PATIENCE);
            thread::sleep(Duration::from_millis(1));
        }
    }
}
