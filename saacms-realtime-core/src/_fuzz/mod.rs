//! The bodies of the fuzz targets: any bytes in, a panic if something is wrong.
//!
//! They are part of the library so that every test build compiles them and replays the corpus; the
//! targets in `fuzz/` are one line each. Not part of the API.

mod follow;
mod operations;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::engine::{Packed, Stamp};
use crate::event::Event;
use crate::name::{EventId, EventType};
use crate::position::{Epoch, Position};
use crate::route::{Action, Api, Cors, Problem, Request};
use crate::sse::{Decoded, Decoder, Message, write_event};
use crate::time::Timestamp;

pub use follow::follow;
pub use operations::operations;

/// No body of a publish makes the parser panic, and an event it accepts is one whole message.
pub fn event_json(body: &[u8]) {
    let Ok(event) = Event::from_json(body) else {
        return;
    };

    // One line of JSON, or the frame would need several `data:` lines.
    let data = core::str::from_utf8(event.data()).expect("records are UTF-8");
    assert!(!data.contains(['\r', '\n']), "{data}");
    let value: serde::de::IgnoredAny = serde_json::from_str(data).expect("records are JSON");
    let _ = value;

    let key = event.key().clone();
    let etag = event.etag().map(|etag| String::from(etag.as_str()));
    let event_type = event.event_type();
    let (_, _, frame) = event.clone().into_parts();
    // Without an ETag the topic would give the ID; any valid one does here.
    let id = EventId::new(etag.as_deref().unwrap_or("0")).expect("checked");

    let messages =
        messages(frame.close(&id, |buffer, _| buffer.into()).as_bytes()).expect("short enough");
    let [message] = &messages[..] else {
        panic!("{messages:?}")
    };
    assert_eq!(
        (&*message.event_type, &*message.data),
        (event_type.as_str(), data)
    );
    assert_eq!(message.last_event_id, id.as_str());

    // An event that goes out can be posted again, and is the same then.
    let text = |text: &str| serde_json::to_string(text).expect("strings are JSON");
    let again = format!(
        r#"{{"type":"{event_type}","slug":{},"id":{},"record":{data}}}"#,
        text(key.slug()),
        text(key.id())
    );
    let again = Event::from_json(again.as_bytes()).expect("it was valid before");
    assert_eq!((again.key(), again.data()), (&key, event.data()));
}

/// A stream reads the same however it is cut into pieces.
pub fn sse_decode(bytes: &[u8]) {
    let [piece_len, limit, stream @ ..] = bytes else {
        return;
    };

    let limit = usize::from(*limit) + 1;
    let whole = decode(&[stream], limit);
    // Short pieces, so that even a short input is cut within lines, names and characters.
    let pieces: Vec<&[u8]> = stream.chunks(usize::from(*piece_len) % 16 + 1).collect();
    assert_eq!(decode(&pieces, limit), whole);
}

fn decode(pieces: &[&[u8]], limit: usize) -> (Vec<Decoded>, bool) {
    let mut decoder = Decoder::new(limit);
    let mut decoded = Vec::new();

    // An empty piece at the end must change nothing.
    for piece in pieces.iter().chain([&&b""[..]]) {
        if decoder.feed(piece).is_err() {
            return (decoded, true);
        }
        decoded.extend(core::iter::from_fn(|| decoder.next()));
    }

    (decoded, false)
}

/// A written event is read back unchanged, by this decoder and by `others`.
///
/// Another decoder returns type, data and ID of the messages that it reads.
pub fn sse_encode_decode(bytes: &[u8], others: &[impl Fn(&[u8]) -> Vec<[String; 3]>]) {
    let [choice, id_len, rest @ ..] = bytes else {
        return;
    };
    let (id, data) = rest.split_at(rest.len().min(usize::from(*id_len)));
    let (id, data) = (String::from_utf8_lossy(id), String::from_utf8_lossy(data));
    let Ok(id) = EventId::new(&*id) else { return };
    let event_type = EventType::ALL[usize::from(*choice) % EventType::ALL.len()];

    let mut frame = String::new();
    write_event(&mut frame, event_type, &id, &data).expect("a String is never full");
    let read = messages(frame.as_bytes()).expect("short enough");
    let [message] = &read[..] else {
        panic!("{frame:?} is {read:?}")
    };

    // Each line is a `data:` line of its own, and a decoder joins them by LF.
    let lines = data.replace("\r\n", "\n").replace('\r', "\n");
    let expected = [event_type.as_str(), &*lines, id.as_str()].map(String::from);
    assert_eq!(
        [&message.event_type, &message.data, &message.last_event_id],
        expected.each_ref()
    );

    for other in others {
        assert_eq!(
            other(frame.as_bytes()),
            core::slice::from_ref(&expected),
            "{frame:?}"
        );
    }
}

fn messages(bytes: &[u8]) -> Option<Vec<Message>> {
    // The limit cannot be reached: no event is longer than the stream.
    let mut decoder = Decoder::new(bytes.len());
    decoder.feed(bytes).ok()?;
    let decoded = core::iter::from_fn(|| decoder.next());

    Some(
        decoded
            .filter_map(|decoded| match decoded {
                Decoded::Message(message) => Some(message),
                Decoded::Comment(_) | Decoded::Retry(_) => None,
            })
            .collect(),
    )
}

/// Every request is answered, with headers that cannot be cut in two.
///
/// One line each: method, path, query, authority, then headers as `name: value`.
pub fn route(bytes: &[u8]) {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let mut line = || {
        lines
            .next()
            .and_then(|line| core::str::from_utf8(line).ok())
    };
    let (Some(method), Some(path)) = (line(), line()) else {
        return;
    };

    let (query, authority) = (line(), line());

    let headers: Vec<(&[u8], &[u8])> = lines
        .filter_map(|line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            Some((&line[..colon], line[colon + 1..].trim_ascii()))
        })
        .collect();
    // Both versions, chosen by the length of the input.
    let is_http_1_1 = bytes.len().is_multiple_of(2);
    let request = Request {
        method,
        path,
        query,
        authority,
        is_http_1_1,
        peer: None,
        headers: &&headers[..],
    };

    let cors = Cors::new(["https://a.example"]).expect("an origin");
    for api in [
        Api::default(),
        Api::default().with_cors(cors),
        Api::default().at("").expect("").with_websockets(),
    ] {
        let decision = api.decide(&request);
        // The decision is carried out as an adapter would; the body of a publish is not an event.
        let reply = match decision.action {
            Action::Subscribe { key, head, .. } => {
                assert!(!key.slug().contains([':', '/']) && !key.id().is_empty());
                head
            }
            Action::Head { head, .. } => head.with_position(Position {
                epoch: Epoch::from_number(0),
                sequence: 0,
            }),
            Action::Publish { format, .. } => format.run(b"{}", |_| Ok::<(), Problem>(())),
            Action::Reply(reply) => reply,
        };
        let reply = decision.answer.add_to(reply);

        assert!(reply.status == 101 || (200..600).contains(&reply.status));
        for (name, value) in &reply.headers {
            assert!(
                !value.contains(|c: char| c.is_control()),
                "{name}: {value:?}"
            );
        }

        let is_problem = reply
            .headers
            .iter()
            .any(|(_, value)| value.contains("problem+json"));
        if is_problem {
            let _: serde::de::IgnoredAny =
                serde_json::from_slice(&reply.body).expect("a problem is JSON");
        }
    }
}

/// A position survives being written and read, whether it comes from text or from numbers.
pub fn position(bytes: &[u8]) {
    if let Some(position) = Position::parse(bytes) {
        assert_eq!(
            Position::parse(format!("{position}").as_bytes()),
            Some(position)
        );
        // No signs, no blanks, no upper-case digits.
        assert!(
            bytes
                .iter()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'.'))
        );
    }

    if let [bytes @ .., _] = bytes
        && let Some((epoch, rest)) = bytes.split_first_chunk::<8>()
        && let Some((sequence, _)) = rest.split_first_chunk::<8>()
    {
        let (epoch, sequence) = (u64::from_le_bytes(*epoch), u64::from_le_bytes(*sequence));
        let position = Position {
            epoch: Epoch::from_number(epoch),
            sequence,
        };
        let text = format!("{position}");
        // 16 hexadecimal digits, the dot, 20 decimal digits.
        assert!(text.len() <= 37 && EventId::new(&*text).is_ok());
        assert_eq!(Position::parse(text.as_bytes()), Some(position));
    }
}

/// Bytes of an engine make no panic, and what is read of them makes one message.
pub fn packed(bytes: &[u8]) {
    let mut packed = Packed::from_bytes(bytes.to_vec().into());
    let Ok(unpacked) = packed.parse() else {
        return;
    };

    let id = unpacked
        .etag
        .unwrap_or(EventId::new("0").expect("a valid ID"));
    let mut frame = String::new();
    write_event(&mut frame, unpacked.event_type, &id, unpacked.data).expect("a String");
    let messages = messages(frame.as_bytes()).expect("short enough");
    assert!(
        matches!(&messages[..], [message] if message.data == unpacked.data),
        "{messages:?}"
    );

    // A stamp changes nothing but the stamp.
    let before = packed.clone();
    let stamp = Stamp {
        at: Timestamp::from_millis(bytes.len() as i64),
        is_id: bytes.len().is_multiple_of(2),
    };
    packed.stamp(stamp);
    let stamped = packed.parse().expect("it was valid before");
    let mut expected = before.parse().expect("it was valid before");
    expected.stamp = Some(stamp);
    assert_eq!(stamped, expected);
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    /// Runs every input of the corpus, and each of its prefixes of up to 300 bytes.
    fn replay(target: &str, body: impl Fn(&[u8])) {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("fuzz/corpus")
            .join(target);
        let mut inputs = 0;

        for entry in fs::read_dir(&corpus).expect("a corpus") {
            let input = fs::read(entry.expect("an entry").path()).expect("a file");
            (0..=input.len().min(300)).for_each(|len| body(&input[..len]));
            body(&input);
            inputs += 1;
        }

        assert!(inputs > 0, "{target} has no corpus");
    }

    #[test]
    fn the_corpus_of_every_target_passes() {
        replay("event_json", event_json);
        replay("sse_decode", sse_decode);
        let others = [|_: &[u8]| Vec::new()];
        replay("sse_encode_decode", |bytes| {
            sse_encode_decode(bytes, &others[..0])
        });
        replay("route", route);
        replay("position", position);
        replay("packed", packed);
        replay("operations", operations);
        replay("follow", follow);
    }
}
