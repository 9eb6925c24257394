//! The events of all benches: frames of 300 bytes.

use saacms_realtime_core::feed::{Feed, NoStore};
use saacms_realtime_core::sse::write_event;
use saacms_realtime_core::{
    Epoch, Event, EventId, EventIds, EventType, HubConfig, Now, ResourceKey,
};

pub(crate) const FRAME_LEN: usize = 300;
pub(crate) const NOW: Now = Now::from_millis(1_000, 1_700_000_000_000);

pub(crate) fn etag(number: usize) -> String {
    format!("v{number:09}")
}

pub(crate) fn frame(number: usize) -> String {
    let mut frame = String::new();
    let id = EventId::new(etag(number)).expect("valid");
    write_event(&mut frame, EventType::Changed, &id, &data()).expect("a String is never full");
    assert_eq!(frame.len(), FRAME_LEN);
    frame
}

/// A record that makes a frame of [`FRAME_LEN`] bytes.
pub(crate) fn data() -> String {
    const AROUND: usize = "event: changed\nid: v000000000\ndata: \n\n".len();
    let start = r#"{"id":"1","title":"Hello","body":""#;
    format!(
        "{start}{}\"}}",
        "x".repeat(FRAME_LEN - AROUND - start.len() - 2)
    )
}

/// An event as it is posted.
pub(crate) fn body(id: &str, number: usize) -> String {
    let (etag, record) = (etag(number), data());
    format!(r#"{{"type":"changed","slug":"posts","id":"{id}","etag":"{etag}","record":{record}}}"#)
}

pub(crate) fn event(id: &str, number: usize) -> Event {
    Event::from_json(body(id, number).as_bytes()).expect("valid")
}

pub(crate) fn key(id: &str) -> ResourceKey {
    ResourceKey::new("posts", id).expect("valid")
}

/// A feed that retains `len` events and can replay all of them.
pub(crate) fn feed(len: usize) -> Feed {
    feed_of(len, EventIds::Etag)
}

/// The same with this kind of event IDs.
pub(crate) fn feed_of(len: usize, event_ids: EventIds) -> Feed {
    let config = HubConfig {
        max_events: len,
        max_lag: len,
        event_ids,
        ..HubConfig::default()
    };
    let mut feed = Feed::new(&config, Epoch::from_number(0));
    for number in 0..len {
        let event = event("1", number);
        feed.publish(event, NOW, &NoStore).expect("cannot fail");
    }
    feed
}
