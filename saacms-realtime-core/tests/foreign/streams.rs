//! The streams that the parsers read: golden ones, hostile input that our encoders wrote, and
//! hostile bytes.

use core::fmt;
use core::iter;
use core::task::{Context, Waker};
use std::collections::BTreeSet;

use saacms_realtime_core::sse::{self, Decoded, Decoder, Message};
use saacms_realtime_core::{
    Event, EventId, EventType, Hub, HubConfig, IdText, Now, Output, RESYNC, ResyncReason,
};
use serde_json::Value;

use crate::chance::Chance;

pub(crate) const BOM: &[u8] = "\u{feff}".as_bytes();

/// A stream, where it is cut into pieces, and its messages.
pub(crate) struct Stream {
    pub(crate) bytes: Vec<u8>,
    /// The offsets at which it is cut.
    cuts: Vec<usize>,
    pub(crate) messages: Vec<Message>,
}

impl Stream {
    /// A stream whose expected messages are those that our decoder finds.
    pub(crate) fn of_pieces(pieces: &[&[u8]]) -> Self {
        let ends = pieces.iter().scan(0, |end, piece| {
            *end += piece.len();
            Some(*end)
        });
        let cuts = ends.take(pieces.len() - 1).collect();
        let bytes = pieces.concat();
        Self {
            messages: decoded(iter::once(&*bytes)),
            bytes,
            cuts,
        }
    }

    pub(crate) fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        let starts = iter::once(0).chain(self.cuts.iter().copied());
        starts
            .zip(self.piece_ends())
            .map(|(start, end)| &self.bytes[start..end])
    }

    pub(crate) fn piece_ends(&self) -> impl Iterator<Item = usize> {
        self.cuts.iter().copied().chain([self.bytes.len()])
    }

    /// The fields, as name and value, of each block that ends with a blank line.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = Vec<(String, String)>> {
        let text = String::from_utf8_lossy(self.bytes.strip_prefix(BOM).unwrap_or(&self.bytes));
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        let mut blocks = vec![Vec::new()];
        for line in text.split('\n') {
            if line.is_empty() {
                blocks.push(Vec::new());
            } else if let Some(block) = blocks.last_mut() {
                let (name, value) = line.split_once(':').unwrap_or((line, ""));
                let value = value.strip_prefix(' ').unwrap_or(value);
                block.push((name.to_owned(), value.to_owned()));
            }
        }

        blocks.into_iter()
    }
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the stream in these pieces:")?;
        self.pieces()
            .try_for_each(|piece| write!(f, "\n    b\"{}\"", piece.escape_ascii()))
    }
}

/// The messages that our decoder finds in a stream.
pub(crate) fn decoded<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Vec<Message> {
    let mut decoder = Decoder::new(1 << 24);
    let mut messages = Vec::new();
    for piece in pieces {
        decoder.feed(piece).expect("no event is that long");
        messages.extend(
            iter::from_fn(|| decoder.next()).filter_map(|decoded| match decoded {
                Decoded::Message(message) => Some(message),
                Decoded::Comment(_) | Decoded::Retry(_) => None,
                other => panic!("a kind that this test does not know: {other:?}"),
            }),
        );
    }
    messages
}

/// The frame of every golden case, with the case's messages.
pub(crate) fn golden_frames(chance: &mut Chance) -> Vec<Stream> {
    let file = json(include_str!("../vectors/frames.json"));
    let cases = ["cases", "bytes"]
        .into_iter()
        .flat_map(|list| array(&file[list]));
    let streams = cases.flat_map(|case| {
        let messages = array(&case["messages"]).iter().map(|message| Message {
            event_type: text(&message["type"]).to_owned(),
            data: text(&message["data"]).to_owned(),
            last_event_id: text(&message["lastEventId"]).to_owned(),
        });
        whole_and_cut(chance, text(&case["frame"]).into(), messages.collect())
    });
    streams.collect()
}

/// The whole stream of every subscriber of every golden replay, without duplicates.
pub(crate) fn golden_streams(chance: &mut Chance) -> Vec<Stream> {
    let file = json(include_str!("../vectors/replay.json"));
    let cases = array(&file["cases"]).iter();
    let by_subscriber = cases.map(|case| case["bytes"].as_object().expect("an object"));
    let bytes: BTreeSet<_> = by_subscriber
        .flat_map(|bytes| bytes.values().map(text))
        .collect();
    let streams = bytes.into_iter().flat_map(|bytes| {
        whole_and_cut(chance, bytes.into(), decoded(iter::once(bytes.as_bytes())))
    });
    streams.collect()
}

/// `count` streams of hostile input that our encoders wrote, each twice, with the messages
/// intended. The last message has no ID of its own, so it shows the last event ID.
pub(crate) fn written(chance: &mut Chance, count: usize) -> Vec<Stream> {
    let mut streams = Vec::new();
    for number in 0..count {
        let mut stream = Written::default();
        if chance.below(2) == 0 {
            stream.bytes.push_str(sse::KEEPALIVE);
        }
        for _ in 0..=chance.below(5) {
            stream.write_something(chance);
        }
        if number % 500 == 0 {
            stream.write_lines(chance, &"hostile: \u{2028}".repeat(1 << 14));
        }
        stream.bytes.push_str("data: last\n\n");
        stream.expect("message", "last");
        streams.extend(whole_and_cut(chance, stream.bytes.into(), stream.messages));
    }

    streams
}

/// `count` streams of fields, values, line ends and bytes in random order, each twice.
pub(crate) fn hostile(chance: &mut Chance, count: usize) -> Vec<Stream> {
    let mut streams = Vec::new();
    for _ in 0..count {
        let mut bytes = match chance.below(40) {
            0..3 => BOM.to_vec(),
            3 => BOM.repeat(2),
            4 => BOM[..2].to_vec(),
            _ => Vec::new(),
        };
        for _ in 0..chance.below(12) {
            if chance.below(100) == 0 {
                const BYTES: &[u8] = b"ddaatta:: \n\n\n\r\r\0id\xef\xbb\xbf\xe2\x80\xa8\xc3\xff";
                bytes.extend((0..chance.below(30)).map(|_| *chance.pick(BYTES)));
                continue;
            }

            let name = match chance.below(6) {
                0..3 => "data",
                3 => "event",
                4 => "id",
                _ => *chance.pick(&["", "retry", "Data", "data ", " data", "dat", "\u{feff}data"]),
            };
            let colon = *chance.pick(&[": ", ": ", ":", ":  ", "::", ""]);
            let value = line(chance);
            let end = *chance.pick(&["\n", "\r", "\r\n", "\n\n", "\r\r", "\r\n\r\n", "\n\r"]);
            bytes.extend([name, colon, &value, end].concat().bytes());
        }

        if chance.below(2) == 0 {
            bytes.extend_from_slice(b"\n\ndata: last\n\n");
        }

        let messages = decoded(iter::once(&*bytes));
        streams.extend(whole_and_cut(chance, bytes, messages));
    }

    streams
}

/// A stream being written, with the messages intended.
#[derive(Default)]
struct Written {
    bytes: String,
    messages: Vec<Message>,
    last_event_id: String,
}

const NEVER_FULL: &str = "a String is never full";

impl Written {
    fn write_something(&mut self, chance: &mut Chance) {
        match chance.below(12) {
            0..5 => self.write_record(chance),
            5..8 => {
                let lines = hostile_text(chance);
                self.write_lines(chance, &lines);
            }
            8 => {
                let (id, reason) = (event_id(chance), *chance.pick(&ResyncReason::ALL));
                sse::write_resync(&mut self.bytes, IdText::Etag(id.borrowed()), reason)
                    .expect(NEVER_FULL);
                self.last_event_id = id.as_str().to_owned();
                self.expect(RESYNC, &format!(r#"{{"reason":"{reason}"}}"#));
            }
            9 => sse::write_retry(&mut self.bytes, chance.next() >> chance.below(64))
                .expect(NEVER_FULL),
            10 if chance.below(3) == 0 => {
                let id = event_id(chance);
                sse::write_id(&mut self.bytes, IdText::Etag(id.borrowed())).expect(NEVER_FULL);
                self.last_event_id = id.as_str().to_owned();
            }
            _ => {
                for _ in 0..chance.below(40) {
                    self.bytes.extend([":", &line(chance), "\n"]);
                }
                let comments = *chance.pick(&[":\n:\n", ":\n\n\n", sse::KEEPALIVE]);
                self.bytes.push_str(comments);
            }
        }
    }

    /// The greeting of a new subscriber and the frame of an event.
    fn write_record(&mut self, chance: &mut Chance) {
        let (event_type, record) = (*chance.pick(&EventType::ALL), record(chance, 3));
        let etag = if chance.below(3) == 0 {
            String::new()
        } else {
            event_id(chance).as_str().into()
        };
        let body = format!(
            r#"{{"type":"{event_type}","slug":"s","id":"i","record":{record},"etag":{}}}"#,
            json_string(&etag)
        );
        let event = Event::from_json(body.as_bytes()).expect("valid");
        let data = String::from_utf8(event.data().to_vec()).expect("a record of UTF-8");
        let now = Now::from_millis(0, chance.below(1 << 42) as i64);

        self.last_event_id = match event.etag() {
            Some(etag) => etag.as_str().to_owned(),
            None => now.wall.to_string(),
        };

        let hub = Hub::new(HubConfig::default(), 0).expect("the default is valid");
        let mut subscription = hub
            .subscribe(event.key(), None, now)
            .expect("the first one");

        hub.publish(event, now).expect("the first topic");
        let cx = Context::from_waker(Waker::noop());
        while let Output::Frames(frames) = subscription.poll(&cx, now) {
            self.bytes
                .push_str(core::str::from_utf8(&frames).expect("frames of UTF-8"));
        }
        self.expect(event_type.as_str(), &data);
    }

    /// A frame whose data has line breaks.
    fn write_lines(&mut self, chance: &mut Chance, lines: &str) {
        let (event_type, id) = (*chance.pick(&EventType::ALL), event_id(chance));
        sse::write_event(&mut self.bytes, event_type, &id, lines).expect(NEVER_FULL);
        self.last_event_id = id.as_str().to_owned();
        self.expect(
            event_type.as_str(),
            &lines.replace("\r\n", "\n").replace('\r', "\n"),
        );
    }

    fn expect(&mut self, event_type: &str, data: &str) {
        let (event_type, data) = (event_type.to_owned(), data.to_owned());
        let last_event_id = self.last_event_id.clone();
        self.messages.push(Message {
            event_type,
            data,
            last_event_id,
        });
    }
}

fn record(chance: &mut Chance, depth: usize) -> String {
    let blank = *chance.pick(&["", "", " ", "\n", "\r\n", "\t"]);
    let members = 1 + chance.below(3);
    match chance.below(if depth == 0 { 3 } else { 5 }) {
        0 => (*chance.pick(&["null", "-0", "1.50", "1e400", "true"])).to_owned(),
        1 | 2 => json_string(&hostile_text(chance)),
        3 => {
            let items: Vec<_> = (0..members).map(|_| record(chance, depth - 1)).collect();
            format!("[{blank}{}{blank}]", items.join(&format!("{blank},")))
        }
        _ => {
            let name = json_string(&hostile_text(chance));
            format!(
                "{{{blank}{name}{blank}:{blank}{}{blank}}}",
                record(chance, depth - 1)
            )
        }
    }
}

fn event_id(chance: &mut Chance) -> EventId<Box<str>> {
    let text = if chance.below(20) == 0 {
        "é".repeat(256)
    } else {
        line(chance)
    };
    EventId::new(text.trim_matches([' ', '\t']).into())
        .unwrap_or_else(|_| EventId::new("W/\"5f1\"".into()).expect("valid"))
}

fn json_string(text: &str) -> String {
    Value::from(text).to_string()
}

/// A hostile text without line breaks.
fn line(chance: &mut Chance) -> String {
    hostile_text(chance).replace(['\r', '\n'], "")
}

fn hostile_text(chance: &mut Chance) -> String {
    // Line ends to Unicode, Python or an older parser; what a line may begin with; and characters
    // of each length in UTF-8.
    #[rustfmt::skip]
    const PARTS: [&str; 38] = [
        "\r", "\n", "\r\n", "\n\n", "\u{2028}", "\u{2029}", "\u{85}", "\u{b}", "\u{c}", "\u{1c}",
        "\u{1e}", "\0", "\u{1}", "\u{7f}", "\u{feff}", "\u{fffd}", "\u{a0}", "\u{10ffff}", "data: ",
        "data", "id: 9", "id", "event: x", "retry: 1", ":", ": ", " ", "  ", "\t", "\"", "\\", "\\n",
        "{}", "é", "€", "😀", "x", "12",
    ];
    (0..chance.below(8)).map(|_| *chance.pick(&PARTS)).collect()
}

fn whole_and_cut(chance: &mut Chance, bytes: Vec<u8>, messages: Vec<Message>) -> [Stream; 2] {
    let mut cuts: Vec<_> = if bytes.len() < 100 && chance.below(4) == 0 {
        (1..bytes.len()).collect()
    } else {
        (0..=chance.below(8))
            .map(|_| chance.index(bytes.len().max(1)))
            .collect()
    };

    cuts.sort_unstable();
    cuts.dedup();
    cuts.retain(|&cut| cut > 0);
    let whole = Stream {
        bytes: bytes.clone(),
        cuts: Vec::new(),
        messages: messages.clone(),
    };

    [
        whole,
        Stream {
            bytes,
            cuts,
            messages,
        },
    ]
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("a golden file is JSON")
}

fn array(value: &Value) -> &[Value] {
    value.as_array().expect("a list")
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a string")
}
