//! Reads the bytes of one connection, from the response head to the frames, with as little work per
//! delivery as it takes to check each.

use memchr::memmem;

/// How the body of the response is framed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Body {
    /// The head is not complete yet.
    #[default]
    Unknown,
    /// It lasts until the connection ends.
    Plain,
    /// In a chunk, or between chunks.
    Chunked { part: Part, left: u32 },
    /// The last chunk was read.
    Done,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Size,
    Data,
    End,
}

/// A response that is being read.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    body: Body,
    /// The beginning of a head or of a frame, until the rest arrives.
    rest: Vec<u8>,
}

/// One item of a stream.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Item<'a> {
    /// The response head: its status line.
    Head(&'a [u8]),
    /// The event with this number, published at this moment.
    Event {
        number: u64,
        at: u64,
    },
    /// Refetch: what came next is gone.
    Resync,
    KeepAlive,
    /// `retry:`, before the end of a stream.
    Retry,
    /// A block that only sets the last event ID.
    Place,
    /// None of these.
    Malformed(&'a [u8]),
}

impl Stream {
    pub(crate) fn has_head(&self) -> bool {
        self.body != Body::Unknown
    }

    pub(crate) fn is_done(&self) -> bool {
        self.body == Body::Done
    }

    /// Copies what was kept to the front of `buffer`; new bytes belong after it.
    pub(crate) fn put_rest(&self, buffer: &mut [u8]) -> usize {
        buffer[..self.rest.len()].copy_from_slice(&self.rest);
        self.rest.len()
    }

    /// Reads `buffer[..end]`, of which `buffer[new..]` has just arrived; returns the part that is
    /// body, for a second reader.
    pub(crate) fn read<'a>(
        &mut self,
        buffer: &'a mut [u8],
        new: usize,
        end: usize,
        mut on_item: impl FnMut(Item<'_>),
    ) -> &'a [u8] {
        let (mut start, mut new, mut end) = (0, new, end);
        if self.body == Body::Unknown {
            let Some(head) = memmem::find(&buffer[..end], b"\r\n\r\n") else {
                self.keep(&buffer[..end]);
                return &[];
            };

            // Servers differ in the case of header names.
            let is_chunked = memmem::find(&buffer[..head].to_ascii_lowercase(), b": chunked");
            self.body = match is_chunked {
                Some(_) => Body::Chunked {
                    part: Part::Size,
                    left: 0,
                },
                None => Body::Plain,
            };

            let line = memchr::memchr(b'\r', &buffer[..head]).unwrap_or(head);
            on_item(Item::Head(&buffer[..line]));
            start = head + 4;
            new = start;
        }

        // Before frames are searched for, as a chunk may end within a frame.
        if let Body::Chunked { part, left } = self.body {
            end = self.join_chunks(buffer, new, end, part, left);
        }

        let mut frames = &buffer[start..end];
        while let Some(len) = memmem::find(frames, b"\n\n") {
            on_item(frame(&frames[..len]));
            frames = &frames[len + 2..];
        }

        self.keep(frames);
        &buffer[new..end]
    }

    fn keep(&mut self, rest: &[u8]) {
        self.rest.clear();
        self.rest.extend_from_slice(rest);
        if rest.is_empty() && self.rest.capacity() > 0 {
            // An idle stream holds no memory.
            self.rest = Vec::new();
        }
    }

    /// Moves the data of chunks together; returns where it ends.
    fn join_chunks(
        &mut self,
        buffer: &mut [u8],
        new: usize,
        end: usize,
        mut part: Part,
        mut left: u32,
    ) -> usize {
        // `written` never overtakes `read`: the framing between chunks is left out.
        let (mut read, mut written) = (new, new);
        while read < end {
            if part == Part::Data {
                let len = (left as usize).min(end - read);
                buffer.copy_within(read..read + len, written);
                (read, written, left) = (read + len, written + len, left - len as u32);
                if left == 0 {
                    part = Part::End;
                }
                continue;
            }

            let byte = buffer[read];
            read += 1;
            match (part, byte) {
                (Part::End, b'\n') => part = Part::Size,
                (Part::Size, b'\n') if left == 0 => {
                    self.body = Body::Done;
                    return written;
                }
                (Part::Size, b'\n') => part = Part::Data,
                // The CR is not a digit.
                (Part::Size, _) => {
                    if let Some(digit) = (byte as char).to_digit(16) {
                        left = left << 4 | digit;
                    }
                }
                (Part::End | Part::Data, _) => {}
            }
        }

        self.body = Body::Chunked { part, left };
        written
    }
}

fn frame(frame: &[u8]) -> Item<'_> {
    // The form of the events that our publishers post: no JSON parser is needed to check it.
    if let Some(rest) = frame.strip_prefix(b"event: changed\nid: ")
        && let (number, rest) = digits(rest)
        && let Some(rest) = rest.strip_prefix(b"\ndata: {\"at\":")
        && let (at, rest) = digits(rest)
        && rest.ends_with(b"\"}")
        && memchr::memchr(b'\n', rest).is_none()
    {
        return Item::Event { number, at };
    }

    let begins = |start: &[u8]| frame.starts_with(start);
    if begins(b":") {
        Item::KeepAlive
    } else if begins(b"event: saacms-resync\n") {
        Item::Resync
    } else if begins(b"retry: ") {
        Item::Retry
    } else if begins(b"id: ") {
        Item::Place
    } else {
        Item::Malformed(frame)
    }
}

fn digits(text: &[u8]) -> (u64, &[u8]) {
    let len = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let number = text[..len].iter().fold(0, |number: u64, digit| {
        number.wrapping_mul(10).wrapping_add((digit - b'0').into())
    });
    (number, &text[len..])
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
    const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    const FRAMES: &str = ":keepalive\n\nevent: changed\nid: 7\ndata: {\"at\":12,\"pad\":\"x\"}\n\n\
                          event: saacms-resync\nid: 9\ndata: {}\n\nretry: 1000\n\n";
    const ITEMS: [&str; 5] = [
        "Head",
        "KeepAlive",
        "Event { number: 7, at: 12 }",
        "Resync",
        "Retry",
    ];

    /// The items when the bytes come in pieces of `size`.
    fn read(text: &str, size: usize) -> Vec<String> {
        let (mut stream, mut all) = (Stream::default(), Vec::new());
        let mut buffer = [0; 1_024];
        for piece in text.as_bytes().chunks(size) {
            let new = stream.put_rest(&mut buffer);
            buffer[new..new + piece.len()].copy_from_slice(piece);
            stream.read(&mut buffer, new, new + piece.len(), |item| {
                let text = format!("{item:?}");
                let is_head = matches!(item, Item::Head(_));
                all.push(if is_head { "Head".to_owned() } else { text });
            });
        }
        all
    }

    #[test]
    fn a_stream_may_arrive_in_pieces_of_any_size() {
        for size in 1..200 {
            assert_eq!(
                read(&format!("{PLAIN}{FRAMES}"), size),
                ITEMS,
                "pieces of {size}"
            );
        }
    }

    #[test]
    fn chunks_may_end_anywhere() {
        for chunk in 1..100 {
            let mut text = CHUNKED.to_owned();
            for piece in FRAMES.as_bytes().chunks(chunk) {
                let piece = str::from_utf8(piece).expect("ASCII");
                text += &format!("{:X}\r\n{piece}\r\n", piece.len());
            }
            text += "0\r\n\r\n";
            for size in 1..50 {
                assert_eq!(
                    read(&text, size),
                    ITEMS,
                    "chunks of {chunk} in pieces of {size}"
                );
            }
        }
    }
}
