//! The conformance list against `serve`, on smol and on async-std.
#![cfg(any(feature = "smol", feature = "async-std"))]

#[path = "../../saacms-realtime-core/tests/conformance/mod.rs"]
mod conformance;

use std::future::pending;
use std::net::TcpListener;
use std::pin::Pin;
use std::thread::{self, JoinHandle};

use conformance::Running;
use event_listener::Event;
use futures_lite::future::or;
use saacms_realtime_asyncstd::{Api, HubConfig, Realtime, ServeConfig, serve};

#[cfg(feature = "smol")]
#[test]
fn smol_keeps_the_contract() {
    conformance::run("smol", start_on_smol);
}

#[cfg(feature = "smol")]
#[test]
fn smol_answers_the_http_vectors_as_the_contract_says() {
    conformance::run_vectors("smol", start_on_smol);
}

#[cfg(feature = "async-std")]
#[test]
fn async_std_keeps_the_contract() {
    conformance::run("async-std", start_on_async_std);
}

#[cfg(feature = "async-std")]
#[test]
fn async_std_answers_the_http_vectors_as_the_contract_says() {
    conformance::run_vectors("async-std", start_on_async_std);
}

#[cfg(feature = "smol")]
fn start_on_smol(config: HubConfig, api: Api) -> Running {
    start(config, api, ServeConfig::smol(), smol::block_on)
}

#[cfg(feature = "async-std")]
fn start_on_async_std(config: HubConfig, api: Api) -> Running {
    start(
        config,
        api,
        ServeConfig::async_std(),
        async_std::task::block_on,
    )
}

fn start(
    config: HubConfig,
    api: Api,
    serve_config: ServeConfig,
    block_on: fn(Pin<Box<dyn Future<Output = ()>>>),
) -> Running {
    let realtime = Realtime::new(config, api).expect("valid settings");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    let (hub, served) = (realtime.hub().clone(), realtime.clone());
    let stop = Event::new();
    let stopped = stop.listen();
    let server = thread::spawn(move || {
        let server = serve(listener, served, serve_config, pending::<()>());
        let server = async { server.await.expect("the listener listens") };
        block_on(Box::pin(or(server, stopped)));
    });
    let server = Server {
        stop,
        thread: Some(server),
    };
    Running::new(address, hub, move || realtime.drain(), server)
}

struct Server {
    stop: Event,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.notify(1);
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(matches!(ended, Some(Ok(()))), "the server ends gracefully");
    }
}
