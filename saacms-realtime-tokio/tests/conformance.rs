//! The conformance list against this adapter: the router in an application, the service on hyper,
//! and the server. Also tests the single handlers at other paths.

#[path = "../../saacms-realtime-core/tests/conformance/mod.rs"]
mod conformance;
mod served;

use core::any::Any;
use core::convert::Infallible;
use core::time::Duration;
use std::sync::Arc;
#[cfg(target_os = "linux")]
use std::{env::consts::ARCH, error::Error, io::ErrorKind};

use axum::Router;
use axum::extract::{FromRef, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn};
use axum::response::IntoResponse as _;
use axum::routing::{any, get};
#[cfg(target_os = "linux")]
use compio_driver::{DriverType, Proactor};
use conformance::Running;
use conformance::client::{Connection, Request};
use conformance::stream::Stream;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
#[cfg(target_os = "linux")]
use rustix::io::Errno;
use saacms_realtime_core::HubConfig;
use saacms_realtime_core::route::{Api, Cors};
#[cfg(feature = "disk")]
use saacms_realtime_tokio::engine::disk::DiskConfig;
use saacms_realtime_tokio::{Realtime, handlers, router};
#[cfg(target_os = "linux")]
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;

#[test]
fn the_router_in_an_application_keeps_the_contract() {
    conformance::run("axum router", start_router);
}

#[test]
fn the_service_on_hyper_keeps_the_contract() {
    let without = [(
        "a_reader_that_takes_nothing_is_cut_and_comes_back_where_it_was",
        "an application's own server writes the bodies",
    )];
    conformance::run_without("hyper service", start_service, &without);
}

#[test]
fn the_server_whose_streams_are_written_by_lanes_keeps_the_contract() {
    conformance::run("server", start_server);
}

#[cfg(feature = "disk")]
#[test]
fn the_server_with_a_history_on_disk_keeps_the_contract() {
    let not_forgotten = "what a hub forgets, its history on disk has still";
    let watched = "a record is watched for a minute after its last reader";
    let without = [
        (
            "a_position_before_a_forgotten_history_is_a_miss",
            not_forgotten,
        ),
        (
            "a_publish_that_is_answered_is_in_the_history",
            "a record that nobody reads has no topic",
        ),
        (
            "publishing_is_off_without_a_token_unless_it_is_opened",
            "the hub is not published to without its engine's clock",
        ),
        ("one_record_too_many_is_refused_with_a_retry_time", watched),
        (
            "an_event_that_nobody_reads_is_accepted_however_many_records_are_read",
            watched,
        ),
        ("a_client_that_leaves_is_forgotten", watched),
    ];
    conformance::run_without("server with a history on disk", start_on_disk, &without);
}

/// Runs the list as in a container, whose seccomp profile usually refuses io_uring.
#[cfg(target_os = "linux")]
#[test]
fn the_server_keeps_the_contract_without_io_uring() {
    refuse_io_uring().expect("a kernel with seccomp");
    let ring = Proactor::builder().driver_type(DriverType::IoUring).build();
    assert_eq!(
        ring.err().map(|error| error.kind()),
        Some(ErrorKind::PermissionDenied)
    );
    conformance::run("server without io_uring", start_server);
}

/// Refuses io_uring to this thread and the threads that it starts.
#[cfg(target_os = "linux")]
fn refuse_io_uring() -> Result<(), Box<dyn Error>> {
    // The number of this system call is the same on every architecture.
    const IO_URING_SETUP: i64 = 425;
    let refusal = SeccompAction::Errno(Errno::PERM.raw_os_error().cast_unsigned());
    let rules = [(IO_URING_SETUP, Vec::new())].into();
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refusal, ARCH.try_into()?)?;
    let program: BpfProgram = filter.try_into()?;
    Ok(apply_filter(&program)?)
}

#[test]
fn the_application_around_the_router_keeps_its_own_routes() {
    let running = start_router(HubConfig::default(), Api::default());
    let ask = |target| Connection::open(running.address).exchange(&Request::get(target));
    assert_eq!(
        (ask("/").status(), ask("/").text()),
        (200, "an application")
    );
    assert_eq!(ask("/posts/1/subscribe").status(), 404);
}

#[test]
fn handlers_answer_at_other_paths() {
    let page = "https://a.example";
    let cors = Cors::new([page]).expect("an origin");
    let api = Api::default().with_open_publish().with_cors(cors);
    let running = start_handlers(HubConfig::default(), api);
    let ask = |request: &Request| {
        let answer =
            Connection::open(running.address).exchange(&request.clone().header("Origin", page));
        assert_eq!(
            answer.header("access-control-allow-origin"),
            Some(page),
            "{request:?}"
        );
        answer
    };
    let (live, changes) = ("/live/posts/a%2Fb%20%25", "/internal/changes");
    let event = |etag: &str| {
        format!(r#"{{"type":"changed","slug":"posts","id":"a/b %","record":1,"etag":"{etag}"}}"#)
    };

    let mut stream = Stream::open(running.address, &Request::get(live));
    stream.greeting();
    assert_eq!(ask(&Request::post(changes, event("v1"))).status(), 204);
    assert_eq!(ask(&Request::post(changes, event("v2"))).status(), 204);
    stream.expect("event: changed\nid: v1\ndata: 1\n\nevent: changed\nid: v2\ndata: 1\n\n");

    let again = Request::get(live).header("Last-Event-ID", "v1");
    let mut again = Stream::open(running.address, &again);
    again.expect(":keepalive\n\nevent: changed\nid: v2\ndata: 1\n\n");

    let head = ask(&Request::new("HEAD", live));
    assert_eq!(head.status(), 200);
    let position = head.header("saacms-last-event-id").expect("a position");
    assert!(position.ends_with(".2"), "{position}");
    assert_eq!(running.hub.stats().subscribers, 2);

    for (target, allowed) in [(live, "GET, HEAD, OPTIONS"), (changes, "POST, OPTIONS")] {
        let answer = ask(&Request::new("OPTIONS", target));
        assert_eq!(
            (answer.status(), answer.header("allow")),
            (204, Some(allowed))
        );
        let answer = ask(&Request::new("DELETE", target));
        assert_eq!(
            (answer.status(), answer.header("allow")),
            (405, Some(allowed))
        );
    }

    assert_eq!(
        ask(&Request::get(live).header("Accept", "text/html")).status(),
        406
    );
    assert_eq!(ask(&Request::post(changes, "nope")).status(), 400);
    assert_eq!(
        ask(&Request::post(changes, "x".repeat((1 << 20) + 1))).status(),
        413
    );

    for hostile in [
        "/live/a:b/1",
        "/live/posts/%00",
        "/live/posts/%FF",
        "/live/posts/..",
        "/live/%2e%2E/1",
        "/live/posts/*",
    ] {
        let answer = ask(&Request::get(hostile));
        assert_eq!(answer.status(), 400, "{hostile}");
        assert_eq!(
            answer.header("content-type"),
            Some("application/problem+json"),
            "{hostile}"
        );
    }
}

#[test]
fn a_layer_on_the_routes_sees_every_request_that_can_be_served() {
    let api = Api::default().with_open_publish();
    let running = start(HubConfig::default(), api, async |listener, realtime| {
        let refuse =
            async |_: axum::extract::Request, _: Next| StatusCode::UNAUTHORIZED.into_response();
        let guarded: Router = router(&realtime).route_layer(from_fn(refuse));
        let app = Router::new().nest("/api", guarded.clone()).merge(guarded);
        axum::serve(listener, app)
            .await
            .expect("never ends by itself");
    });

    for base in ["/api", ""] {
        for rest in [
            "/posts/1/subscribe",
            "/posts/1/subscribe?x=1",
            "/posts/a%2Fb/subscribe",
            "//posts/1/subscribe",
            "/publish",
            "//publish",
            "/./publish",
            "/publish/",
            "/",
            "",
        ] {
            for method in ["GET", "HEAD", "POST", "OPTIONS"] {
                let target = if base.is_empty() && rest.is_empty() {
                    "/"
                } else {
                    &*[base, rest].concat()
                };
                let request = Request::new(method, target).header("Content-Length", "0");
                let status = Connection::open(running.address)
                    .exchange(&request)
                    .status();
                assert!(matches!(status, 401 | 404), "{method} {target}: {status}");
            }
        }
    }
    assert_eq!(running.hub.stats().topics, 0);
}

#[test]
fn the_router_in_an_application_answers_the_http_vectors_as_the_contract_says() {
    conformance::run_vectors("axum router", start_router);
}

#[test]
fn the_service_on_hyper_answers_the_http_vectors_as_the_contract_says() {
    conformance::run_vectors("hyper service", start_service);
}

#[test]
fn the_server_answers_the_http_vectors_as_the_contract_says() {
    conformance::run_vectors("server", start_server);
}

/// The state of an application that contains the hub.
#[derive(Clone)]
struct App {
    title: &'static str,
    realtime: Realtime,
}

impl FromRef<App> for Realtime {
    fn from_ref(app: &App) -> Self {
        app.realtime.clone()
    }
}

fn start_router(config: HubConfig, api: Api) -> Running {
    start(config, api, async |listener, realtime| {
        let app = Router::new()
            .route("/", get(async |State(app): State<App>| app.title))
            .nest(realtime.api().base_path(), router(&realtime))
            .with_state(App {
                title: "an application",
                realtime,
            });
        axum::serve(listener, app)
            .await
            .expect("never ends by itself");
    })
}

fn start_handlers(config: HubConfig, api: Api) -> Running {
    start(config, api, async |listener, realtime| {
        let app = Router::new()
            .route("/live/{collection}/{id}", any(handlers::subscribe))
            .route("/internal/changes", any(handlers::publish))
            .with_state(App {
                title: "an application",
                realtime,
            });
        axum::serve(listener, app)
            .await
            .expect("never ends by itself");
    })
}

fn start_service(config: HubConfig, api: Api) -> Running {
    start(config, api, async |listener, realtime| {
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            tokio::spawn(serve_connection(stream, realtime.clone()));
        }
    })
}

async fn serve_connection(stream: TcpStream, realtime: Realtime) {
    stream.set_nodelay(true).expect("a connection");
    let service = service_fn(async |request| Ok::<_, Infallible>(realtime.respond(request).await));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(10))
        .max_buf_size(64 << 10)
        .serve_connection(TokioIo::new(stream), service);
    // Errors are expected: some scenarios break their connections.
    let _ = connection.await;
}

/// Starts the server as the program does.
fn start_server(config: HubConfig, api: Api) -> Running {
    start(config, api, async |listener, realtime| {
        served::accept(listener, realtime, Arc::new(Semaphore::new(10_000))).await;
    })
}

/// Starts the server with a history in a new folder.
#[cfg(feature = "disk")]
fn start_on_disk(config: HubConfig, api: Api) -> Running {
    let dir = tempfile::tempdir().expect("a folder");
    let history = DiskConfig::new(dir.path());
    let open = || Realtime::with_disk(config, api, history).expect("valid settings");
    start_with(open, dir, async |listener, realtime| {
        served::accept(listener, realtime, Arc::new(Semaphore::new(10_000))).await;
    })
}

fn start<F: Future<Output = ()> + Send + 'static>(
    config: HubConfig,
    api: Api,
    serve: impl FnOnce(TcpListener, Realtime) -> F,
) -> Running {
    let open = || Realtime::new(config, api).expect("valid settings");
    start_with(open, (), serve)
}

/// Starts a server. `files` are deleted once it has ended.
fn start_with<F: Future<Output = ()> + Send + 'static>(
    open: impl FnOnce() -> Realtime,
    files: impl Any,
    serve: impl FnOnce(TcpListener, Realtime) -> F,
) -> Running {
    let runtime = Runtime::new().expect("a runtime");
    let _entered = runtime.enter();
    let realtime = open();
    let listener = runtime
        .block_on(TcpListener::bind("127.0.0.1:0"))
        .expect("a free port");
    let address = listener.local_addr().expect("bound");
    runtime.spawn(serve(listener, realtime.clone()));
    let hub = realtime.hub().clone();
    Running::new(address, hub, move || realtime.drain(), (runtime, files))
}
