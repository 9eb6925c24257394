//! Known deviations of parsers from the standard, which our decoder follows.

use core::iter;

use crate::parsers::Foreign;
use crate::streams::{BOM, Stream, decoded};

/// One deviation of one parser from WHATWG HTML, section 9.2.6.
#[derive(Debug)]
pub(crate) struct Deviation {
    pub(crate) parser: Foreign,
    /// What the parser does. Only messages are compared, not `retry`.
    #[expect(dead_code, reason = "for people, and for `Debug`")]
    pub(crate) what: &'static str,
    /// Whether it may change how a stream is read. Covers every such stream and few others.
    pub(crate) applies: fn(&Stream) -> bool,
    /// A stream, in pieces, that shows the deviation.
    pub(crate) sample: &'static [&'static [u8]],
}

pub(crate) const DEVIATIONS: &[Deviation] = &[
    Deviation {
        parser: Foreign::EventSource,
        what: "strips a second BOM: the parser does it again after `TextDecoder` has",
        applies: |stream| stream.bytes.starts_with(b"\xef\xbb\xbf\xef\xbb\xbf"),
        sample: &[b"\xef\xbb\xbf\xef\xbb\xbfdata: x\n\n"],
    },
    Deviation {
        parser: Foreign::EventSourceParser,
        what: "forgets the ID of a block without data, and tells its caller nothing of it",
        applies: |stream| {
            let mut forgotten = false;
            stream.blocks().any(|block| {
                let id = block
                    .iter()
                    .any(|(name, value)| name == "id" && !value.contains('\0'));
                let data = block.iter().any(|(name, _)| name == "data");
                forgotten = if id { !data } else { forgotten };
                forgotten && data
            })
        },
        sample: &[b"id: 1\n\ndata: x\n\n"],
    },
    Deviation {
        parser: Foreign::EventSourceParser,
        what: "takes a CR at the end of a piece for a line end only when another line ends",
        applies: |stream| {
            let line_end = stream
                .bytes
                .iter()
                .rposition(|byte| matches!(byte, b'\r' | b'\n'));
            line_end.is_some_and(|at| {
                stream.piece_ends().any(|end| end == at + 1) && ends_an_event(stream, at)
            })
        },
        sample: &[b"data: x\r\r", b"data"],
    },
    Deviation {
        parser: Foreign::Undici,
        what: "an empty `event` does not take back an earlier one of the block",
        applies: |stream| {
            stream.blocks().any(|block| {
                let mut types = block.iter().filter(|(name, _)| name == "event");
                types.any(|(_, value)| !value.is_empty())
                    && types.any(|(_, value)| value.is_empty())
            })
        },
        sample: &[b"event: x\nevent\ndata: y\n\n"],
    },
    Deviation {
        parser: Foreign::HttpxSse,
        what: "takes a BOM for part of the first field's name",
        applies: |stream| stream.bytes.starts_with(BOM),
        sample: &[b"\xef\xbb\xbfdata: x\n\n"],
    },
    Deviation {
        parser: Foreign::HttpxSse,
        what: "yields blocks without data as events, too; they look like those with empty data",
        applies: |stream| {
            stream
                .messages
                .iter()
                .any(|message| message.data.is_empty())
        },
        sample: &[b"data\n\n"],
    },
    Deviation {
        parser: Foreign::EventsourceStream,
        what: "panics at a BOM",
        applies: |stream| stream.bytes.starts_with(BOM),
        sample: &[b"\xef\xbb\xbfdata: x\n\n"],
    },
    Deviation {
        parser: Foreign::EventsourceStream,
        what: "yields nothing from an invalid byte on, and an error at the end",
        applies: |stream| core::str::from_utf8(&stream.bytes).is_err(),
        sample: &[b": \xff\n", b"data: x\n\n"],
    },
    Deviation {
        parser: Foreign::EventsourceStream,
        what: "takes a CR for a line end only when a byte follows",
        applies: |stream| {
            stream.bytes.ends_with(b"\r") && ends_an_event(stream, stream.bytes.len() - 1)
        },
        sample: &[b"data: x\r\r"],
    },
    Deviation {
        parser: Foreign::SseStream,
        what: "an invalid byte in a known field's value is an error, and the end",
        applies: |stream| core::str::from_utf8(&stream.bytes).is_err(),
        sample: &[b"data: \xff\n\n"],
    },
];

/// Whether the byte at `at` is a CR that ends an event: cut before it, the stream lacks a message.
fn ends_an_event(stream: &Stream, at: usize) -> bool {
    stream.bytes[at] == b'\r' && decoded(iter::once(&stream.bytes[..at])) != stream.messages
}
