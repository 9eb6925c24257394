use alloc::vec::Vec;

use bytes::Bytes;

use crate::name::{EventId, EventType};

/// A frame whose data is written and whose ID is still open.
///
/// Which ID an event gets is known only under its topic's lock. The data, which may be large, is
/// therefore written before, behind a gap that the header is later written into, right-aligned; so
/// that the lock is held for the length of an ID and the frame's bytes are never moved.
#[derive(Clone, Debug)]
pub struct OpenFrame {
    event_type: EventType,
    buffer: Vec<u8>,
    gap: usize,
}

const DATA: &[u8] = b"data: ";
const END: &[u8] = b"\n\n";

impl OpenFrame {
    /// Bytes of a header without its ID.
    const HEADER: usize = "event: snapshot\nid: \n".len();

    /// A frame for an ID of at most `max_id_len` bytes; `append_data` appends one line without a
    /// line break, of about `data_len` bytes.
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
        // What was posted may have been mostly whitespace, and a ring keeps the whole buffer.
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
    pub fn event_type(&self) -> EventType {
        self.event_type
    }

    /// The event's data.
    pub fn data(&self) -> &[u8] {
        &self.buffer[self.gap + DATA.len()..self.buffer.len() - END.len()]
    }

    /// Writes the header; the bytes are those of [`write_event`](super::write_event).
    ///
    /// An ID that is longer than the gap costs a copy of the data.
    pub fn close<S: AsRef<str>>(mut self, id: &EventId<S>) -> Bytes {
        let parts = [
            "event: ",
            self.event_type.as_str(),
            "\nid: ",
            id.as_str(),
            "\n",
        ];
        let len = parts.iter().map(|part| part.len()).sum::<usize>();
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
        Bytes::from(self.buffer).slice(start..)
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
                assert_eq!(open.close(&id), expected.as_bytes());
            }
        }
    }
}
