//! Server-Sent Events: the format of WHATWG HTML, section 9.2.
//!
//! The writers are safe for any input: event types are an enum, event IDs cannot hold a line break,
//! and data with line breaks becomes several `data:` lines, as in the standard.

#[cfg(feature = "alloc")]
mod decode;
#[cfg(feature = "alloc")]
mod frame;

use core::fmt::{self, Write};

use memchr::memchr2;

use crate::name::{EventId, EventType, IdText, RESYNC, ResyncReason};

#[cfg(feature = "alloc")]
pub use decode::{Decoded, Decoder, EventTooLong, Message};
#[cfg(feature = "alloc")]
pub use frame::Frame;
#[cfg(feature = "alloc")]
pub(crate) use frame::OpenFrame;

/// The comment that keeps a silent stream alive. Every stream begins with it.
pub const KEEPALIVE: &str = ":keepalive\n\n";

/// Writes the frame of a record event.
///
/// # Errors
///
/// The error of the sink, if it is full.
///
/// ```
/// use saacms_realtime_core::{EventId, EventType};
/// let mut frame = String::new();
/// let id = EventId::new("v1").unwrap();
/// saacms_realtime_core::sse::write_event(&mut frame, EventType::Changed, &id, "{}").unwrap();
/// assert_eq!(frame, "event: changed\nid: v1\ndata: {}\n\n");
/// ```
pub fn write_event<S: AsRef<str>>(
    out: &mut impl Write,
    event_type: EventType,
    id: &EventId<S>,
    data: &str,
) -> fmt::Result {
    // The compiler knows the length of a constant, and writes it with a few stores. Text that is
    // looked up costs a call to `memcpy`, and formatting costs several times as much.
    match event_type {
        EventType::Snapshot => out.write_str("event: snapshot\nid: ")?,
        EventType::Changed => out.write_str("event: changed\nid: ")?,
        EventType::Deleted => out.write_str("event: deleted\nid: ")?,
    }
    out.write_str(id.as_str())?;

    let mut rest = data;
    loop {
        // Even for empty data: without a `data:` line, a client dispatches nothing.
        out.write_str("\ndata: ")?;
        let line_len = memchr2(b'\r', b'\n', rest.as_bytes()).unwrap_or(rest.len());
        let (line, line_break) = rest.split_at(line_len);
        out.write_str(line)?;

        // A client ends a line at each CR LF, CR or LF.
        rest = match line_break.strip_prefix("\r\n") {
            Some(after) => after,
            None if line_break.is_empty() => return out.write_str("\n\n"),
            None => &line_break[1..],
        };
    }
}

/// Writes the frame that tells a client to refetch. Its next reconnect resumes after `id`.
///
/// # Errors
///
/// The error of the sink, if it is full.
pub fn write_resync(out: &mut impl Write, id: IdText<'_>, reason: ResyncReason) -> fmt::Result {
    write!(
        out,
        "event: {RESYNC}\nid: {id}\ndata: {{\"reason\":\"{reason}\"}}\n\n"
    )
}

/// Writes a block that sets the client's last event ID and dispatches nothing.
///
/// # Errors
///
/// The error of the sink, if it is full.
pub fn write_id(out: &mut impl Write, id: IdText<'_>) -> fmt::Result {
    write!(out, "id: {id}\n\n")
}

/// Writes a block that sets the client's reconnection time.
///
/// # Errors
///
/// The error of the sink, if it is full.
pub fn write_retry(out: &mut impl Write, millis: u64) -> fmt::Result {
    write!(out, "retry: {millis}\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;
    use std::string::String;

    #[test]
    fn a_line_break_is_found_wherever_it_is() {
        let id = EventId::new("1").expect("valid");
        let written = |data: &str| {
            let mut frame = String::new();
            write_event(&mut frame, EventType::Changed, &id, data).expect("a String is never full");
            frame
        };
        let tail = "y".repeat(40);
        for len in 0..100 {
            let line = "x".repeat(len);
            let head = format!("event: changed\nid: 1\ndata: {line}\n");
            assert_eq!(written(&line), format!("{head}\n"));
            for line_break in ["\n", "\r", "\r\n"] {
                let data = format!("{line}{line_break}tail\n{tail}");
                assert_eq!(
                    written(&data),
                    format!("{head}data: tail\ndata: {tail}\n\n")
                );
            }
        }
    }

    #[test]
    fn no_line_break_in_data_can_start_a_field() {
        let id = EventId::new("1").expect("valid");
        let mut frame = String::new();
        write_event(
            &mut frame,
            EventType::Changed,
            &id,
            "a\nid: x\r\revent: y\r\n",
        )
        .expect("a String is never full");
        assert_eq!(
            frame,
            "event: changed\nid: 1\ndata: a\ndata: id: x\ndata: \ndata: event: y\ndata: \n\n"
        );
    }
}
