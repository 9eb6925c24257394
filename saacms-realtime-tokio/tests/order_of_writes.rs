//! The example `embed_in_axum` with many writers: its events have the order of its writes.

#[path = "../examples/embed_in_axum.rs"]
#[allow(dead_code, reason = "nothing is served here")]
mod embed_in_axum;

use std::future::poll_fn;
use std::pin::Pin;

use axum::extract::{Path, State};
use futures_core::Stream as _;
use saacms_realtime_core::sse::{Decoded, Decoder};
use saacms_realtime_tokio::{EventStream, HubConfig, Realtime, ResourceKey};
use tokio::task::JoinSet;

use embed_in_axum::{App, edit};

const WRITERS: usize = 8;
const EDITS: usize = 400;

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn events_are_published_in_the_order_of_the_writes() {
    let config = HubConfig {
        // The reader begins to read when all is written.
        max_lag: WRITERS * EDITS,
        ..HubConfig::default()
    };
    let realtime = Realtime::new(config, Default::default()).expect("valid settings");
    let key = ResourceKey::new("posts", "1").expect("a key");
    let stream = realtime.subscribe(&key, None).expect("within the limits");
    let app = App::new(realtime.clone());

    let mut writers = JoinSet::new();
    for _ in 0..WRITERS {
        let app = app.clone();
        writers.spawn(async move {
            for _ in 0..EDITS {
                let answer = edit(State(app.clone()), Path("1".to_owned()), "x".to_owned()).await;
                answer.expect("written and published");
            }
        });
    }
    writers.join_all().await;

    realtime.drain();
    let versions = (1..=WRITERS * EDITS).map(|version| format!("v{version}"));
    assert!(ids(stream).await.into_iter().eq(versions));
}

/// The IDs of all events until the stream ends.
async fn ids(mut stream: EventStream) -> Vec<String> {
    let mut decoder = Decoder::new(1 << 20);
    let mut ids = Vec::new();
    while let Some(bytes) = poll_fn(|cx| Pin::new(&mut stream).poll_next(cx)).await {
        decoder.feed(&bytes).expect("short events");
        while let Some(decoded) = decoder.next() {
            if let Decoded::Message(event) = decoded {
                ids.push(event.last_event_id);
            }
        }
    }
    ids
}
