//! A record's events on a device without an operating system and without an allocator.
//!
//! One cycle of subscribe, publish, replay and resync. The output of each connection is compared
//! with the expected bytes, so a run is a test. On a computer:
//!
//! ```sh
//! cargo run -p saacms-realtime-core --example no_alloc --no-default-features --features heapless
//! ```
//!
//! On an emulated Cortex-M4 (`qemu-system-arm`): the same command and
//! `--config saacms-realtime-core/examples/no_alloc/cortex-m4.toml --target thumbv7em-none-eabi`.
//! For WebAssembly that imports nothing: `--target wasm32-unknown-unknown`, `build` for `run`.

#![no_std]
#![cfg_attr(not(any(unix, windows)), no_main)]

// The entry points of targets where nothing calls `main`.
#[cfg(target_os = "none")]
#[path = "no_alloc/bare_metal.rs"]
mod bare_metal;
#[cfg(target_family = "wasm")]
#[path = "no_alloc/wasm.rs"]
mod wasm;

use core::fmt::{self, Write as _};
use core::time::Duration;

use heapless::{Deque, String};
use saacms_realtime_core::{
    Entry, Epoch, EventId, EventType, IdPolicy, IdText, Instant, Named, Now, Position, Retention,
    Step, Subscriber, Topic, sse,
};

// Without an allocator a limit is a type: four events, IDs of 40 bytes (the longest position has
// 37), frames of 96. Retention can ask for less than the storage holds, never for more.
type Id = String<40>;
type Frame = String<96>;
type Record = Topic<Id, Frame, Deque<Entry<Named<Id, Frame>>, 4>>;

// The whole memory of a record and of a reader: a reader has no queue.
const _: () = assert!(size_of::<Record>() <= 1_024 && size_of::<Subscriber>() <= 48);

const ETAGS: IdPolicy = IdPolicy::Etag { quiet_resume: true };
/// No two starts of a device may share an epoch: take it from a random number generator, or count
/// starts in flash.
const EPOCH: Epoch = Epoch::from_number(0xbeef);
const HEARTBEAT: Duration = Duration::from_secs(30);

/// Publishes an edit. The frame is encoded once for all readers, and before it is pushed, so that
/// an edit that is too long leaves the ring as it was.
fn publish(record: &mut Record, etag: &str, data: &str, now: Now) -> fmt::Result {
    let etag = EventId::new(etag).map_err(|_| fmt::Error)?;
    let id = record.next_id(Some(etag), now.wall).to_event_id::<Id>()?;
    let mut frame = Frame::new();
    sse::write_event(&mut frame, EventType::Changed, &id, data)?;
    let size = frame.len();
    record.publish(id, frame, size, now.instant);
    Ok(())
}

/// A connected client.
struct Connection {
    subscriber: Subscriber,
    /// The place that the first keep-alive names.
    greeting: Option<Position>,
    /// Bytes that wait for the radio.
    outbox: String<256>,
}

impl Connection {
    fn open(record: &mut Record, last_event_id: Option<&str>, now: Now) -> Self {
        let opening = record.resume(last_event_id.map(str::as_bytes), now.instant);
        Self {
            subscriber: Subscriber::new(opening.resume, HEARTBEAT),
            // A client that never got an event can resume, too.
            greeting: opening.greeting,
            outbox: String::new(),
        }
    }

    /// Writes everything that is due, and returns when the device must wake up if nothing is
    /// published.
    ///
    /// A full outbox ends the connection. Nothing is lost: the client reconnects with the last
    /// event ID that it got.
    fn drain(&mut self, record: &mut Record, now: Now) -> Result<Option<Instant>, fmt::Error> {
        loop {
            match record.poll(&mut self.subscriber, now.instant) {
                Step::Deliver(event) => self.outbox.write_str(event.item())?,
                Step::Resync { reason } => {
                    sse::write_resync(&mut self.outbox, record.resync_id(now), reason)?;
                }
                Step::KeepAlive => {
                    self.outbox.write_str(sse::KEEPALIVE)?;
                    // Only the first one has an ID: an event may have set another since.
                    if let Some(place) = self.greeting.take() {
                        sse::write_id(&mut self.outbox, IdText::Position(place))?;
                    }
                }
                Step::Idle { wake_at } => return Ok(wake_at),
            }
        }
    }
}

/// Shows the output of each step, and panics if it is not the expected one.
fn cycle(mut show: impl FnMut(&str, &str)) -> fmt::Result {
    let mut record = Record::new(Deque::new(), Retention::default(), ETAGS, EPOCH);
    live(&mut record, &mut show)?;
    reconnects(&mut record, &mut show)?;
    positions(&mut show)
}

/// This many milliseconds after the device was started, on both clocks.
fn at(millis: u32) -> Now {
    Now::from_millis(millis.into(), millis.into())
}

/// Drains a connection, and returns when it is due next.
fn expect(
    show: &mut impl FnMut(&str, &str),
    step: &str,
    connection: &mut Connection,
    record: &mut Record,
    now: Now,
    bytes: &str,
) -> Result<Instant, fmt::Error> {
    let wake_at = connection.drain(record, now)?;
    show(step, &connection.outbox);
    assert_eq!(connection.outbox, bytes, "{step}");
    connection.outbox.clear();
    wake_at.ok_or(fmt::Error)
}

/// A connected client gets a greeting, an edit and a heartbeat.
fn live(record: &mut Record, show: &mut impl FnMut(&str, &str)) -> fmt::Result {
    let mut client = Connection::open(record, None, at(0));
    expect(
        show,
        "a greeting comes first",
        &mut client,
        record,
        at(0),
        ":keepalive\n\nid: 000000000000beef.0\n\n",
    )?;

    publish(record, "v1", "{\"on\":true}", at(1_000))?;
    let v1 = "event: changed\nid: v1\ndata: {\"on\":true}\n\n";
    let wake_at = expect(
        show,
        "an edit is delivered",
        &mut client,
        record,
        at(1_000),
        v1,
    )?;
    assert_eq!(
        wake_at,
        Instant::from_millis(31_000),
        "a heartbeat after the last write"
    );
    expect(
        show,
        "nothing is due before",
        &mut client,
        record,
        at(30_999),
        "",
    )?;
    expect(
        show,
        "then a heartbeat is",
        &mut client,
        record,
        at(31_000),
        ":keepalive\n\n",
    )?;
    Ok(())
}

/// A client that reconnects gets what it missed, or is told to refetch.
fn reconnects(record: &mut Record, show: &mut impl FnMut(&str, &str)) -> fmt::Result {
    // The client is gone. Nothing is cleaned up: it was only a cursor.
    publish(record, "v2", "{\"on\":false}", at(40_000))?;
    publish(record, "v3", "{\"on\":true}", at(41_000))?;
    let missed = ":keepalive\n\nevent: changed\nid: v2\ndata: {\"on\":false}\n\n\
        event: changed\nid: v3\ndata: {\"on\":true}\n\n";
    let mut client = Connection::open(record, Some("v1"), at(42_000));
    expect(
        show,
        "what was missed is replayed",
        &mut client,
        record,
        at(42_000),
        missed,
    )?;

    for etag in ["v4", "v5", "v6", "v7", "v8"] {
        publish(record, etag, "{\"on\":false}", at(50_000))?;
    }
    let resync = ":keepalive\n\n\
        event: saacms-resync\nid: v8\ndata: {\"reason\":\"buffer-miss\"}\n\n";
    let mut client = Connection::open(record, Some("v3"), at(51_000));
    expect(
        show,
        "five missed, four held: refetch",
        &mut client,
        record,
        at(51_000),
        resync,
    )?;

    publish(record, "v9", "{\"on\":true}", at(60_000))?;
    let v9 = ":keepalive\n\nevent: changed\nid: v9\ndata: {\"on\":true}\n\n";
    let mut client = Connection::open(record, Some("v8"), at(61_000));
    expect(
        show,
        "from its ID nothing is lost",
        &mut client,
        record,
        at(61_000),
        v9,
    )?;
    Ok(())
}

/// With positions, a client can resume before the first event, and a restart is noticed.
fn positions(show: &mut impl FnMut(&str, &str)) -> fmt::Result {
    // Positions name a place, not a version.
    let with_epoch = |epoch| {
        Record::new(
            Deque::new(),
            Retention::default(),
            IdPolicy::Position,
            epoch,
        )
    };
    let mut record = with_epoch(EPOCH);
    let mut client = Connection::open(&mut record, None, at(70_000));
    let greeting = ":keepalive\n\nid: 000000000000beef.0\n\n";
    expect(
        show,
        "a position greets",
        &mut client,
        &mut record,
        at(70_000),
        greeting,
    )?;

    publish(&mut record, "v1", "{}", at(71_000))?;
    let first = ":keepalive\n\nevent: changed\nid: 000000000000beef.1\ndata: {}\n\n";
    let mut client = Connection::open(&mut record, Some("000000000000beef.0"), at(72_000));
    expect(
        show,
        "it resumes before any event",
        &mut client,
        &mut record,
        at(72_000),
        first,
    )?;

    let mut record = with_epoch(Epoch::from_number(0xbef0));
    let resync = ":keepalive\n\n\
        event: saacms-resync\nid: 000000000000bef0.0\ndata: {\"reason\":\"restarted\"}\n\n";
    let mut client = Connection::open(&mut record, Some("000000000000beef.1"), at(0));
    expect(
        show,
        "a restart is noticed",
        &mut client,
        &mut record,
        at(0),
        resync,
    )
    .map(drop)
}

#[cfg(any(unix, windows))]
extern crate std;

#[cfg(any(unix, windows))]
fn main() -> fmt::Result {
    cycle(|step, sent| std::print!("--- {step}\n{sent}"))
}
