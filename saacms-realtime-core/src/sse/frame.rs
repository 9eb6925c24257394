use alloc::vec::Vec;
use core::ops::Range;

use bytes::{Buf as _, Bytes};
use memchr::memchr;

use crate::name::{EventId, EventType};

const EVENT: &str = "event: ";
const ID: &str = "\nid: ";
const DATA: &[u8] = b"data: ";
const END: &[u8] = b"\n\n";

/// The frame of a record event, as every reader gets it.
///
/// It has three lines: event type, event ID and data. Clones share its bytes, and so do its
/// [`data`](Self::data).
///
/// ```
/// use saacms_realtime_core::sse::Frame;
/// let frame = Frame::parse("event: changed\nid: v1\ndata: {}\n\n".into()).unwrap();
/// assert_eq!((frame.event_type().as_str(), frame.id().as_str()), ("changed", "v1"));
/// assert_eq!(frame.data(), "{}");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame(Bytes);

impl Frame {
    /// Reads back the bytes of a frame; `None` for any other bytes.
    pub fn parse(bytes: Bytes) -> Option<Self> {
        let Parts { id, data, .. } = parts(&bytes)?;
        EventId::new(core::str::from_utf8(&bytes[id]).ok()?).ok()?;
        // A line break would begin another line of the frame.
        let data = core::str::from_utf8(&bytes[data]).ok()?;
        (!data.contains(['\r', '\n'])).then_some(Self(bytes))
    }

    /// The event type.
    pub fn event_type(&self) -> EventType {
        self.parts().event_type
    }

    /// The event ID.
    pub fn id(&self) -> EventId<&str> {
        let id = core::str::from_utf8(&self.0[self.parts().id]).expect("an ID is UTF-8");
        EventId::new(id).expect("an ID was checked before it was written")
    }

    /// The data: JSON in UTF-8, one line.
    pub fn data(&self) -> Bytes {
        self.0.slice(self.parts().data)
    }

    /// All bytes of the frame.
    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }

    /// All bytes of the frame.
    pub fn into_bytes(self) -> Bytes {
        self.0
    }

    fn parts(&self) -> Parts {
        parts(&self.0).expect("its parts were checked when it was made")
    }
}

/// Where the parts of a frame lie in its bytes.
struct Parts {
    event_type: EventType,
    id: Range<usize>,
    data: Range<usize>,
}

fn parts(frame: &[u8]) -> Option<Parts> {
    let text = frame.strip_prefix(EVENT.as_bytes())?;
    // No event type begins with another one, so the order does not matter.
    let event_type = EventType::ALL
        .into_iter()
        .find(|event_type| text.starts_with(event_type.as_str().as_bytes()))?;

    let rest = text[event_type.as_str().len()..].strip_prefix(ID.as_bytes())?;
    let id_start = frame.len() - rest.len();
    let id_len = memchr(b'\n', rest)?;

    let rest = rest[id_len + 1..].strip_prefix(DATA)?;
    let data = rest.strip_suffix(END)?;
    let data_start = frame.len() - rest.len();

    Some(Parts {
        event_type,
        id: id_start..id_start + id_len,
        data: data_start..data_start + data.len(),
    })
}

/// A frame whose data is written and whose ID is still missing.
///
/// An event gets its ID under the lock of its topic. The data, which may be large, is written
/// before that, after a gap. [`close`](Self::close) writes the header into the gap, right-aligned:
/// the lock is held for the length of an ID, and the data is never moved.
#[derive(Clone, Debug)]
pub(crate) struct OpenFrame {
    event_type: EventType,
    buffer: Vec<u8>,
    /// Length of the gap; the data line starts after it.
    gap: usize,
}

impl OpenFrame {
    /// Bytes of a header without its ID.
    const HEADER: usize = "event: snapshot\nid: \n".len();

    /// A frame with room for an ID of `max_id_len` bytes. `append_data` appends about `data_len`
    /// bytes, without a line break.
    pub(crate) fn new(
        event_type: EventType,
        max_id_len: usize,
        data_len: usize,
        append_data: impl FnOnce(&mut Vec<u8>),
    ) -> Self {
        let gap = Self::HEADER + max_id_len;
        let mut buffer = Vec::with_capacity(gap + DATA.len() + data_len + END.len());
        buffer.resize(gap, 0);
        buffer.extend_from_slice(DATA);
        append_data(&mut buffer);
        buffer.extend_from_slice(END);

        // The posted text may have been mostly whitespace, and a ring keeps the whole buffer. Up to
        // an eighth may stay unused, as shrinking can cost a copy.
        if buffer.capacity() - buffer.len() > buffer.len() / 8 {
            buffer.shrink_to_fit();
        }

        Self {
            event_type,
            buffer,
            gap,
        }
    }

    /// The event's type.
    pub(crate) fn event_type(&self) -> EventType {
        self.event_type
    }

    /// The event's data.
    pub(crate) fn data(&self) -> &[u8] {
        &self.buffer[self.gap + DATA.len()..self.buffer.len() - END.len()]
    }

    /// Writes the header; the bytes are those of [`write_event`](super::write_event).
    ///
    /// An ID that is longer than the gap costs a copy of the data. `share` makes the buffer a
    /// `Bytes`; the frame is what it holds from the number on that it is given.
    pub(crate) fn close<S: AsRef<str>>(
        mut self,
        id: &EventId<S>,
        share: impl FnOnce(Vec<u8>, usize) -> Bytes,
    ) -> Frame {
        let parts = [EVENT, self.event_type.as_str(), ID, id.as_str(), "\n"];
        let len = parts.iter().map(|part| part.len()).sum::<usize>();

        // Never for an `Event`: its gap fits its ETag, and every ID that a topic generates.
        let missing = len.saturating_sub(self.gap);
        if missing != 0 {
            self.buffer.splice(0..0, core::iter::repeat_n(0, missing));
            self.gap = len;
        }

        let start = self.gap - len;
        let mut at = start;
        for part in parts {
            self.buffer[at..at + part.len()].copy_from_slice(part.as_bytes());
            at += part.len();
        }

        // The rest of the gap stays in the buffer, so nothing moves.
        let mut frame = share(self.buffer, start);
        frame.advance(start);
        Frame(frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::String;

    #[test]
    fn a_frame_keeps_no_room_for_whitespace_that_was_dropped() {
        let open = OpenFrame::new(EventType::Changed, 8, 1 << 20, |out| out.push(b'1'));
        assert!(open.buffer.capacity() < 100);
    }

    #[test]
    fn a_frame_that_is_as_long_as_announced_is_written_in_one_piece_of_memory() {
        let mut room = 0;
        let open = OpenFrame::new(EventType::Snapshot, 8, 9, |out| {
            room = out.capacity();
            out.extend_from_slice(b"123456789");
        });
        assert_eq!(
            (room, open.buffer.len(), open.buffer.capacity()),
            (46, 46, 46)
        );
    }

    #[test]
    fn up_to_an_eighth_of_a_frame_may_be_room_that_it_does_not_use() {
        let memory = |announced| {
            let open = OpenFrame::new(EventType::Changed, 8, announced, |out| {
                out.extend_from_slice(b"1234");
            });
            (open.buffer.len(), open.buffer.capacity())
        };
        assert_eq!(memory(9), (41, 46));
        assert_eq!(memory(10), (41, 41));
    }

    #[test]
    fn a_frame_closed_late_has_the_bytes_of_one_written_in_order() {
        for event_type in EventType::ALL {
            for id_len in [1, 8, 9, 30] {
                let id = EventId::new("x".repeat(id_len)).expect("valid");
                let open = OpenFrame::new(event_type, 8, 2, |out| out.extend_from_slice(b"{}"));
                assert_eq!(open.data(), b"{}");
                let mut expected = String::new();
                crate::sse::write_event(&mut expected, event_type, &id, "{}").expect("a String");

                let frame = open.close(&id, |buffer, _| Bytes::from(buffer));
                assert_eq!(frame.as_bytes(), expected.as_bytes());
                assert_eq!(
                    (frame.event_type(), frame.id()),
                    (event_type, id.borrowed())
                );
                assert_eq!(frame.data(), "{}");
                assert_eq!(Frame::parse(frame.as_bytes().clone()), Some(frame));
            }
        }
    }

    #[test]
    fn bytes_that_are_not_one_frame_are_not_read_back() {
        let parse = |text: &'static str| Frame::parse(Bytes::from_static(text.as_bytes()));
        assert!(parse("event: deleted\nid: 1\ndata: \n\n").is_some());
        for text in [
            "",
            "event: deleted\nid: 1\ndata: \n",
            "event: deleted\nid: 1\n\n",
            "event: deleted\nid: \ndata: \n\n",
            "event: deleted\nid: 1\ndata: \ndata: \n\n",
            "event: deleted\nid: 1\ndata: a\rdata: b\n\n",
            "event: saacms-resync\nid: 1\ndata: {}\n\n",
            ":keepalive\n\n",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
        assert_eq!(
            Frame::parse(Bytes::from_static(b"event: deleted\nid: 1\ndata: \xff\n\n")),
            None
        );
    }
}
