//! The conformance list of all adapters, over HTTP through the Worker in workerd.
//!
//! `worker.sh test` runs it, with the directory of the built Worker in `SAACMS_WORKER_PACKAGE`.
#![cfg(unix)]

#[path = "../../saacms-realtime-core/tests/conformance/mod.rs"]
#[allow(
    dead_code,
    reason = "scenarios that need the server's hub are left out"
)]
mod conformance;

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use conformance::Running;
use saacms_realtime_core::route::Api;
use saacms_realtime_core::{EventIds, Hub, HubConfig};

/// Scenarios that the platform does not allow, or that need to look into the hub.
const WITHOUT: &[(&str, &str)] = &[
    ("all_subscribers_get_the_same_bytes", HUB),
    ("an_unknown_id_is_answered_with_one_resync", HUB),
    (
        "a_resync_of_an_empty_history_names_a_place_to_resume_from",
        HUB,
    ),
    ("a_publish_that_is_answered_is_in_the_history", HUB),
    ("a_bad_line_fails_alone", HUB),
    ("a_body_of_exactly_the_limit_is_accepted", HUB),
    (
        "a_body_without_a_length_is_refused_once_it_exceeds_the_limit",
        WHOLE_BODY,
    ),
    ("a_client_that_leaves_is_forgotten", HUB),
    (
        "a_reader_that_takes_nothing_is_cut_and_comes_back_where_it_was",
        HUB,
    ),
    ("a_client_that_leaves_without_reading_is_forgotten", HUB),
    (
        "a_client_that_ends_its_connection_abruptly_is_forgotten",
        HUB,
    ),
    ("a_refused_client_is_not_counted", HUB),
    ("heartbeats_are_not_replayed", HUB),
    (
        "a_reader_that_is_too_slow_gets_one_resync_and_continues_live",
        HUB,
    ),
    (
        "head_answers_the_headers_of_the_stream_and_registers_nobody",
        HUB,
    ),
    (
        "one_subscriber_too_many_of_a_record_is_refused_with_a_retry_time",
        HUB,
    ),
    ("a_publisher_needs_the_token_if_one_is_set", API),
    ("a_listed_origin_is_allowed_by_name", API),
    (
        "an_unlisted_origin_is_not_allowed_and_the_answer_varies_by_origin",
        API,
    ),
    (
        "a_listed_origin_may_send_credentials_if_that_is_configured",
        API,
    ),
    ("any_origin_is_allowed_by_a_wildcard", API),
    ("publishing_is_off_without_a_token_unless_it_is_opened", API),
    ("a_publish_through_a_proxy_needs_a_token", API),
    ("a_request_to_a_host_that_is_not_allowed_is_refused", HOSTS),
    ("a_path_with_dot_segments_is_refused", URLS),
    ("a_refusal_can_be_read_by_a_page_of_an_allowed_origin", API),
    ("a_page_of_another_origin_cannot_publish_unless_listed", API),
    ("each_stream_gets_a_reconnection_time_and_ends", DRAIN),
    ("a_stream_gets_all_waiting_events_before_it_ends", DRAIN),
    ("a_drained_server_refuses_new_streams", DRAIN),
    (
        "a_drained_server_tells_an_event_source_to_come_back_when_the_drain_is_over",
        DRAIN,
    ),
    (
        "a_drained_server_refuses_publishes_and_closes_their_connections",
        DRAIN,
    ),
    (
        "every_answer_of_a_drained_server_closes_its_connection",
        DRAIN,
    ),
    ("streams_of_quiet_records_end_too", DRAIN),
    ("one_subscriber_too_many_is_refused_with_a_retry_time", MANY),
    ("one_record_too_many_is_refused_with_a_retry_time", MANY),
    (
        "an_event_that_nobody_reads_is_accepted_however_many_records_are_read",
        MANY,
    ),
    (
        "an_event_source_is_told_of_a_full_hub_within_its_stream",
        MANY,
    ),
    ("a_position_before_a_forgotten_history_is_a_miss", MANY),
    ("a_greeting_is_a_place_in_every_record", OWN_SEQUENCE),
    (
        "a_source_that_lost_data_resyncs_every_subscriber",
        IN_PROCESS,
    ),
    (
        "a_client_that_reconnects_during_a_burst_misses_nothing",
        IN_PROCESS,
    ),
    (
        "a_stream_has_the_headers_of_the_contract_and_no_others",
        RUNTIME,
    ),
    ("other_methods_are_refused_with_the_allowed_ones", RUNTIME),
    ("a_client_that_accepts_no_stream_is_refused", RUNTIME),
    ("a_publish_of_http_1_0_is_answered", RUNTIME),
    (
        "a_stream_of_http_1_0_has_no_connection_header_and_no_chunks",
        RUNTIME,
    ),
];

const HUB: &str = "asks the server's hub for its statistics, and an object has no hub";
const API: &str = "has a token or origins, which an `Api` does not tell; see object.test.mjs";
const HOSTS: &str = "the platform routes by host, so no other host reaches a Worker";
const URLS: &str = "the runtime resolves dot segments before the Worker sees the URL";
const DRAIN: &str = "a Worker does not drain: the platform ends it";
const MANY: &str = "a limit over many records, which an object knows nothing of";
const OWN_SEQUENCE: &str = "each object counts its own events";
const IN_PROCESS: &str = "publishes or interrupts in the process of the server";
const WHOLE_BODY: &str = "the runtime reads a body to its end before the Worker measures it";
const RUNTIME: &str = "the runtime answers by itself: no Connection header, no HTTP/1.0, no unknown \
                       methods, no empty header";

#[test]
fn the_worker_keeps_the_contract() {
    let package = std::env::var_os("SAACMS_WORKER_PACKAGE");
    assert!(
        package.is_some(),
        "SAACMS_WORKER_PACKAGE must name the built Worker: worker.sh test"
    );
    conformance::run_without("worker", start, WITHOUT);
}

fn start(config: HubConfig, api: Api) -> Running {
    let millis = |time: std::time::Duration| format!("{}ms", time.as_millis());
    let mut node = Command::new("node");
    node.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/serve.mjs"))
        .args(["--port", "0", "--until-eof"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .stdin(Stdio::piped());

    for (name, value) in [
        ("MAX_EVENTS", config.max_events.to_string()),
        ("MAX_AGE", millis(config.max_age)),
        ("MAX_LAG", config.max_lag.to_string()),
        ("MAX_LAG_BYTES", config.max_lag_bytes.to_string()),
        ("MAX_HISTORY_BYTES", config.max_history_bytes.to_string()),
        (
            "MAX_SUBSCRIBERS_PER_TOPIC",
            config.max_subscribers_per_topic.to_string(),
        ),
        ("HEARTBEAT", millis(config.heartbeat)),
        ("QUIET_RESUME", config.quiet_resume.to_string()),
        ("GREETING", config.greeting.to_string()),
        ("MAX_BODY_BYTES", api.max_body_bytes().to_string()),
        ("BASE_PATH", api.base_path().to_owned()),
        (
            "EVENT_IDS",
            match config.event_ids {
                EventIds::Etag => "etag".to_owned(),
                EventIds::Position => "position".to_owned(),
            },
        ),
    ] {
        node.env(format!("SAACMS_REALTIME_{name}"), value);
    }

    let mut server = Server(node.spawn().expect("node runs"));
    let lines = BufReader::new(server.0.stdout.take().expect("a pipe")).lines();
    let address = lines
        .map_while(Result::ok)
        .find_map(|line| line.strip_prefix("Worker on http://")?.parse().ok())
        .expect("the Worker is served");

    // No test can look into the objects. This hub is a placeholder.
    let hub = Hub::new(config, 0).expect("valid settings");
    Running::new(address, hub, || panic!("a Worker does not drain"), server)
}

/// The process, which ends when its standard input is closed.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        // If it does not end, nothing more can be done here.
        let _ = self.0.wait();
    }
}
