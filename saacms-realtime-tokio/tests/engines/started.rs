//! A hub whose history is on disk, with its thread.

use std::fs;
use std::future::poll_fn;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use futures_core::Stream as _;
use saacms_realtime_core::route::Api;
use saacms_realtime_core::{Event, EventIds, HubConfig, Refusal};
use saacms_realtime_tokio::engine::disk::DiskConfig;
use saacms_realtime_tokio::{EventStream, Realtime};
use tokio::time::{sleep, timeout};

use crate::mounted::{self, Mounted};
use crate::world::{TempDir, keep, key, with_store};

const PATIENCE: Duration = Duration::from_secs(20);

fn start(path: &Path, config: HubConfig) -> Realtime {
    Realtime::with_disk(config, Api::default(), DiskConfig::new(path)).expect("can be started")
}

fn positions() -> HubConfig {
    HubConfig {
        event_ids: EventIds::Position,
        ..HubConfig::default()
    }
}

fn changed(record: u64, text: &str, etag: Option<&str>) -> Event {
    Event::changed(key(record), &text, etag).expect("valid")
}

/// Reads a stream until it has sent some text, and returns all that it has sent.
async fn read_until(stream: &mut EventStream, text: &str) -> String {
    let mut read = String::new();
    while !read.contains(text) {
        let next = poll_fn(|cx| Pin::new(&mut *stream).poll_next(cx));
        let next = timeout(PATIENCE, next).await;
        let bytes = next.unwrap_or_else(|_| panic!("no {text:?} after {read:?}"));
        let bytes = bytes.unwrap_or_else(|| panic!("ended after {read:?}"));
        read.push_str(str::from_utf8(&bytes).expect("text"));
    }
    read
}

/// The last event ID of what a stream has sent.
fn last_id(read: &str) -> String {
    let lines = read.lines().rev();
    let id = lines.filter_map(|line| line.strip_prefix("id: ")).next();
    id.expect("an ID").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_comes_back_after_a_restart_gets_what_it_missed_and_nothing_else() {
    for config in [HubConfig::default(), positions()] {
        let dir = TempDir::new("restart");
        let realtime = start(dir.path(), config);
        let mut stream = realtime.subscribe(&key(1), None).expect("has room");
        read_until(&mut stream, "id: ").await;
        let mut ids = Vec::new();
        for (text, etag) in [("a", Some("v1")), ("b", None), ("c", Some("v3"))] {
            realtime
                .submit(changed(1, text, etag))
                .await
                .expect("stored");
            ids.push(last_id(&read_until(&mut stream, "\n\n").await));
        }
        drop(stream);
        realtime.close_history();
        drop(realtime);

        let realtime = start(dir.path(), config);
        realtime
            .submit(changed(1, "d", None))
            .await
            .expect("stored");
        for (index, id) in ids.iter().enumerate() {
            let stream = realtime.subscribe(&key(1), Some(id.as_bytes()));
            let mut stream = stream.expect("has room");
            let read = read_until(&mut stream, "\"d\"").await;
            let texts = ["\"a\"", "\"b\"", "\"c\""].map(|text| read.contains(text));
            let expected = [false, index < 1, index < 2];
            assert_eq!(
                (texts, read.contains("resync")),
                (expected, false),
                "{read}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_quiet_streams_come_back_after_a_restart_without_a_resync() {
    const STREAMS: u64 = 10_000;
    let dir = TempDir::new("quiet-streams");
    let realtime = start(dir.path(), HubConfig::default());
    // A third each of the records has an event with an ETag, one without, and none.
    let publish = |realtime: &Realtime, text| {
        let events = (0..STREAMS).filter_map(move |record| match record % 3 {
            0 => Some(changed(record, text, Some("v1"))),
            1 => Some(changed(record, text, None)),
            _ => None,
        });
        events
            .map(|event| realtime.submit(event))
            .collect::<Vec<_>>()
    };
    for stored in publish(&realtime, "before") {
        stored.await.expect("stored");
    }
    let mut ids = Vec::new();
    for record in 0..STREAMS {
        let mut stream = realtime.subscribe(&key(record), None).expect("has room");
        ids.push(last_id(&read_until(&mut stream, "id: ").await));
    }
    realtime.close_history();
    drop(realtime);

    let realtime = start(dir.path(), HubConfig::default());
    let mut streams = Vec::new();
    for (record, id) in (0..).zip(&ids) {
        let stream = realtime.subscribe(&key(record), Some(id.as_bytes()));
        streams.push(stream.expect("has room"));
    }
    let events = (0..STREAMS).map(|record| realtime.submit(changed(record, "after", None)));
    for stored in events.collect::<Vec<_>>() {
        stored.await.expect("stored");
    }
    for stream in &mut streams {
        let read = read_until(stream, "\"after\"").await;
        assert!(
            !read.contains("before") && !read.contains("resync"),
            "{read}"
        );
    }
    assert_eq!(realtime.hub().stats().resyncs, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_published_before_the_end_is_stored() {
    let dir = TempDir::new("end");
    let realtime = start(dir.path(), HubConfig::default());
    let published: Vec<_> = (0..2_000)
        .map(|number| realtime.submit(changed(number % 100, "text", None)))
        .collect();
    realtime.close_history();
    for stored in published {
        assert_eq!(stored.await, Ok(()));
    }
    // Whoever publishes later is told.
    let late = realtime.submit(changed(1, "late", None)).await;
    assert_eq!(late, Err(Refusal::EngineAway));
    drop(realtime);
    with_store(dir.path(), keep(101), |store| {
        assert_eq!(store.last(), 2_000)
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn publishers_are_refused_while_the_disk_is_full_and_heard_again_without_a_restart() {
    if mounted::is_left_out() {
        return;
    }
    let dir = TempDir::new("full-disk");
    let mount = dir.path().join("a");
    let _mounted = Mounted::create(&dir.path().join("a.img"), 96, &mount);
    let realtime = start(&mount.join("data"), HubConfig::default());
    let mut stream = realtime.subscribe(&key(0), None).expect("has room");
    read_until(&mut stream, "id: ").await;

    crate::full::fill(&mount.join("other"));
    let text = "x".repeat(20_000);
    let mut number = 0;
    let refusal = loop {
        number += 1;
        assert!(number < 20_000, "the disk is not full");
        if let Err(refusal) = realtime.submit(changed(number % 500, &text, None)).await {
            break refusal;
        }
    };
    assert_eq!(refusal, Refusal::EngineFull);
    assert!(realtime.is_disk_full());

    // It tries by itself: a hub that is not ready may get no event.
    sleep(Duration::from_millis(2_500)).await;
    assert!(realtime.is_disk_full());
    fs::remove_file(mount.join("other")).expect("it was there");
    let freed = Instant::now();
    while realtime.is_disk_full() {
        assert!(freed.elapsed() < Duration::from_secs(10), "still full");
        sleep(Duration::from_millis(100)).await;
    }
    let again = realtime.submit(changed(0, "again", None)).await;
    assert_eq!(again, Ok(()));
    let read = read_until(&mut stream, "\"again\"").await;
    assert!(!read.contains("resync"), "{read}");
    drop((stream, realtime));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_damaged_while_it_is_in_use_is_replaced_and_all_clients_refetch() {
    let dir = TempDir::new("damaged-in-use");
    let realtime = start(dir.path(), HubConfig::default());
    let published: Vec<_> = (0..5_000)
        .map(|record| realtime.submit(changed(record, &"x".repeat(300), None)))
        .collect();
    for stored in published {
        stored.await.expect("stored");
    }
    realtime.close_history();
    drop(realtime);

    let realtime = start(dir.path(), HubConfig::default());
    let mut stream = realtime.subscribe(&key(1), None).expect("has room");
    let place = last_id(&read_until(&mut stream, "id: ").await);
    let history = dir.path().join("history");
    let mut bytes = fs::read(&history).expect("can be read");
    bytes[10_000..].fill(0);
    fs::write(&history, bytes).expect("can be written");

    // The first that has to be read shows it.
    let _other = realtime.subscribe(&key(4_000), None).expect("has room");
    let read = read_until(&mut stream, "saacms-resync").await;
    assert!(read.contains("source-lost"), "{read}");
    realtime
        .submit(changed(1, "after", None))
        .await
        .expect("stored");
    read_until(&mut stream, "\"after\"").await;

    let stream = realtime.subscribe(&key(1), Some(place.as_bytes()));
    let read = read_until(&mut stream.expect("has room"), "saacms-resync").await;
    assert!(!read.contains("after"), "{read}");
    let names = fs::read_dir(dir.path()).expect("can be read");
    let mut names = names.map(|entry| entry.expect("can be read").file_name());
    assert!(names.any(|name| name.to_string_lossy().starts_with("history.damaged-")));
}

/// Drops a hub when it is woken.
struct DropsHub(Mutex<Option<Realtime>>);

impl Wake for DropsHub {
    fn wake(self: Arc<Self>) {
        drop(self.0.lock().expect("no panic").take());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_thread_of_a_history_may_drop_the_last_handle_of_its_hub() {
    let dir = TempDir::new("last-handle");
    let mut realtime = start(dir.path(), HubConfig::default());
    let second = loop {
        let mut first = realtime.submit(changed(1, "first", None));
        let second = realtime.submit(changed(1, "second", None));
        let drops = Arc::new(DropsHub(Mutex::new(Some(realtime))));
        let waker = Waker::from(Arc::clone(&drops));
        let outcome = Pin::new(&mut first).poll(&mut Context::from_waker(&waker));
        match outcome {
            Poll::Pending => break second,
            // The disk was faster.
            Poll::Ready(_) => {
                let taken = drops.0.lock().expect("no panic").take();
                realtime = taken.expect("nobody was woken");
            }
        }
    };
    let second = timeout(PATIENCE, second).await.expect("has an outcome");
    assert_eq!(second, Ok(()), "what was published before is stored");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_file_is_found_to_have_room_once_nobody_reads_one_of_its_records() {
    let dir = TempDir::new("room");
    let config = HubConfig {
        max_topics: 8,
        ..HubConfig::default()
    };
    let disk = DiskConfig {
        max_bytes: 1 << 20,
        ..DiskConfig::new(dir.path())
    };
    let realtime = Realtime::with_disk(config, Api::default(), disk).expect("can be started");
    let subscribe = |record| realtime.subscribe(&key(record), None).expect("room");
    let streams: Vec<_> = (0..8).map(subscribe).collect();
    let text = "x".repeat(40_000);
    let refused = loop {
        for record in 0..8 {
            let stored = realtime.submit(changed(record, &text, None)).await;
            if stored.is_err() {
                break;
            }
        }
        let stored = realtime.submit(changed(0, &text, None)).await;
        if stored.is_err() {
            break stored;
        }
    };
    assert_eq!(refused, Err(Refusal::EngineFull));
    assert!(realtime.is_disk_full());

    // The hub forgets one of those records for the one of this reader.
    drop(streams);
    let _other = subscribe(100);
    let deadline = Instant::now() + PATIENCE;
    while realtime.is_disk_full() {
        assert!(Instant::now() < deadline, "it stays full");
        sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(realtime.submit(changed(0, &text, None)).await, Ok(()));
}
