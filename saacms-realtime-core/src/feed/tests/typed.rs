use super::*;
use crate::name::{IdText, ResyncReason};

/// Polls a reader until it is idle, and returns what it got.
fn typed(feed: &mut Feed, reader: &mut Reader, now: Now) -> Vec<TypedOutput> {
    core::iter::from_fn(|| match feed.poll_typed(reader, now) {
        TypedOutput::Idle { .. } => None,
        output @ (TypedOutput::Event(_)
        | TypedOutput::Resync { .. }
        | TypedOutput::KeepAlive { .. }) => Some(output),
    })
    .collect()
}

/// The same output as bytes of an event stream.
fn written(output: &TypedOutput) -> String {
    let mut text = String::new();
    match output {
        TypedOutput::Event(frame) => {
            let data = frame.data();
            let data = core::str::from_utf8(&data).expect("UTF-8");
            sse::write_event(&mut text, frame.event_type(), &frame.id(), data)
        }
        TypedOutput::Resync { reason, id } => {
            sse::write_resync(&mut text, IdText::Etag(id.borrowed()), *reason)
        }
        TypedOutput::KeepAlive { id } => {
            text.push_str(KEEPALIVE);
            match id {
                Some(id) => sse::write_id(&mut text, IdText::Etag(id.borrowed())),
                None => Ok(()),
            }
        }
        TypedOutput::Idle { .. } => Ok(()),
    }
    .expect("a String is never full");
    text
}

#[test]
fn a_typed_poll_agrees_with_the_bytes() {
    let now = Now::from_millis(0, 0);
    for event_ids in [EventIds::Etag, EventIds::Position] {
        for last_event_id in [
            None,
            Some("v3"),
            Some("000000000000000e.3"),
            Some("v1"),
            Some("000000000000000f.1"),
        ] {
            // Two equal feeds: a resync may use up an ID, so one cannot serve both polls.
            let (mut bytes, mut types) = (feed(event_ids), feed(event_ids));
            publish(&mut bytes, "v", 5, now);
            publish(&mut types, "v", 5, now);
            let id = last_event_id.map(str::as_bytes);
            let mut reader = types.subscribe(id, Duration::ZERO, now);
            let outputs = typed(&mut types, &mut reader, now);
            let text: String = outputs.iter().map(written).collect();
            assert_eq!(
                text,
                all(&mut bytes, last_event_id, now),
                "{last_event_id:?}"
            );
            assert_eq!(types.resyncs(), bytes.resyncs());
        }
    }
}

#[test]
fn the_data_of_a_typed_event_is_the_memory_of_its_frame() {
    let now = Now::from_millis(0, 0);
    let mut feed = feed(ETAGS);
    let stored = publish(&mut feed, "v", 1, now);
    let mut reader = feed.subscribe(Some(b"lost"), Duration::ZERO, now);
    let outputs = typed(&mut feed, &mut reader, now);
    let resync = TypedOutput::Resync {
        reason: ResyncReason::BufferMiss,
        id: stored[0].id.clone(),
    };
    assert_eq!(outputs, [TypedOutput::KeepAlive { id: None }, resync]);

    publish(&mut feed, "w", 1, now);
    let TypedOutput::Event(frame) = feed.poll_typed(&mut reader, now) else {
        panic!("an event")
    };
    let (frame, data) = (frame.as_bytes().as_ptr_range(), frame.data().as_ptr_range());
    assert!(frame.start < data.start && data.end < frame.end);
}
