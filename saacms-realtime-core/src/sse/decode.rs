use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use memchr::memchr2;

/// One item of a decoded stream.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Decoded {
    /// An event that a browser would dispatch.
    Message(Message),
    /// A comment, without its colon. Browsers ignore it; it shows that the peer is alive.
    Comment(String),
    /// The reconnection time, in milliseconds.
    Retry(u64),
}

/// An event as a browser would dispatch it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The event type; `message` if the stream named none.
    pub event_type: String,
    /// The data lines, joined by LF.
    pub data: String,
    /// The last event ID at the time of the event; empty if there never was one.
    pub last_event_id: String,
}

/// Decodes a stream as WHATWG HTML, section 9.2.6, specifies, from pieces of any size.
///
/// ```
/// use saacms_realtime_core::sse::{Decoded, Decoder};
/// let mut decoder = Decoder::new(1 << 20);
/// decoder.feed(b"id: 7\nda").unwrap();
/// assert_eq!(decoder.next(), None);
/// decoder.feed(b"ta: hello\n\n").unwrap();
/// let Some(Decoded::Message(message)) = decoder.next() else { panic!() };
/// assert_eq!((&*message.data, &*message.last_event_id), ("hello", "7"));
/// ```
#[derive(Clone, Debug)]
pub struct Decoder {
    /// Received bytes; those before `read` have been decoded.
    buffer: Vec<u8>,
    /// At most `scanned`.
    read: usize,
    /// There is no line end in `buffer[read..scanned]`.
    scanned: usize,
    max_event_len: usize,
    /// A line or an event was too long. It stays set: nothing is decoded any more.
    too_long: bool,
    /// A byte order mark may still come.
    at_start: bool,
    /// The last line ended with CR: an LF that follows belongs to it.
    after_cr: bool,
    event_type: String,
    data: String,
    /// The last `id:`; it becomes `last_event_id` at the next empty line.
    id: String,
    last_event_id: String,
}

/// The byte order mark that a stream may begin with. It is ignored.
const BOM: &[u8] = "\u{feff}".as_bytes();

impl Decoder {
    /// A decoder for one connection, and for events of at most `max_event_len` bytes.
    pub fn new(max_event_len: usize) -> Self {
        Self::resuming(max_event_len, String::new())
    }

    /// A decoder for a connection that was opened with this last event ID.
    pub fn resuming(max_event_len: usize, last_event_id: String) -> Self {
        Self {
            buffer: Vec::new(),
            read: 0,
            scanned: 0,
            max_event_len,
            too_long: false,
            at_start: true,
            after_cr: false,
            event_type: String::new(),
            data: String::new(),
            id: last_event_id.clone(),
            last_event_id,
        }
    }

    /// The last event ID to reconnect with; empty if there is none.
    pub fn last_event_id(&self) -> &str {
        &self.last_event_id
    }

    /// Adds the next bytes of the stream. Call [`next`](Self::next) until it returns `None` before
    /// feeding more.
    ///
    /// # Errors
    ///
    /// A line fed before, or the data of an event, has more than `max_event_len` bytes. Neither
    /// that event nor anything after it is decoded, so close the connection.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), EventTooLong> {
        self.buffer.drain(..self.read);
        self.scanned -= self.read;
        self.read = 0;

        // All whole lines have been decoded, so what is left begins a line. Only at the start it
        // may begin a byte order mark, which belongs to no line.
        let is_mark = self.at_start && self.buffer.len() < BOM.len();
        if self.too_long || (self.buffer.len() > self.max_event_len && !is_mark) {
            self.too_long = true;
            return Err(EventTooLong {
                max_event_len: self.max_event_len,
            });
        }

        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    /// Decodes the next item of the bytes fed so far.
    #[expect(clippy::should_implement_trait, reason = "more may come after `None`")]
    pub fn next(&mut self) -> Option<Decoded> {
        while !self.too_long {
            let (start, end) = self.next_line()?;
            self.too_long = end - start > self.max_event_len;

            // Moved out, because `line` borrows from it and changes the rest of the decoder.
            let buffer = core::mem::take(&mut self.buffer);
            let decoded = self.line(&String::from_utf8_lossy(&buffer[start..end]));
            self.buffer = buffer;

            // The line may have made the event too long.
            if let Some(decoded) = decoded.filter(|_| !self.too_long) {
                return Some(decoded);
            }
        }
        None
    }

    /// Finds the next whole line, without its line end.
    fn next_line(&mut self) -> Option<(usize, usize)> {
        if self.at_start {
            let head = &self.buffer[..self.buffer.len().min(BOM.len())];
            if head == BOM {
                self.read = BOM.len();
                self.scanned = BOM.len();
            } else if BOM.starts_with(head) {
                // A piece may end within the mark.
                return None;
            }
            self.at_start = false;
        }

        // The LF of a CR LF may arrive in the next piece.
        if self.after_cr && self.read < self.buffer.len() {
            if self.buffer[self.read] == b'\n' {
                self.read += 1;
                self.scanned = self.scanned.max(self.read);
            }
            self.after_cr = false;
        }

        // Only new bytes are searched, or a long line in many pieces would cost its square.
        let Some(len) = memchr2(b'\r', b'\n', &self.buffer[self.scanned..]) else {
            self.scanned = self.buffer.len();
            return None;
        };

        let (start, end) = (self.read, self.scanned + len);
        self.after_cr = self.buffer[end] == b'\r';
        self.read = end + 1;
        self.scanned = self.read;
        Some((start, end))
    }

    fn line(&mut self, line: &str) -> Option<Decoded> {
        if line.is_empty() {
            return self.dispatch().map(Decoded::Message);
        }

        // One space after the colon is not part of the value.
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);

        match field {
            "" => return Some(Decoded::Comment(line[1..].to_owned())),
            "event" => value.clone_into(&mut self.event_type),
            "data" => {
                self.too_long |= self.data.len() + value.len() > self.max_event_len;
                // With its line end: data of one line, the usual case, is one allocation.
                self.data.reserve(value.len() + 1);
                self.data.push_str(value);
                self.data.push('\n');
            }
            "id" if !value.contains('\0') => value.clone_into(&mut self.id),
            "retry" if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) => {
                // Digits fail to parse only where the number is too large.
                return Some(Decoded::Retry(value.parse().unwrap_or(u64::MAX)));
            }
            _ => {}
        }
        None
    }

    fn dispatch(&mut self) -> Option<Message> {
        // The ID counts even where there is no data, and so no event.
        self.id.clone_into(&mut self.last_event_id);
        let event_type = core::mem::take(&mut self.event_type);
        let mut data = core::mem::take(&mut self.data);
        // The standard dispatches nothing for an empty buffer; one empty `data:` line has its LF.
        data.pop()?;

        let event_type = if event_type.is_empty() {
            "message".to_owned()
        } else {
            event_type
        };

        Some(Message {
            event_type,
            data,
            last_event_id: self.last_event_id.clone(),
        })
    }
}

/// An event has more bytes than the decoder allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EventTooLong {
    /// The limit of the decoder, in bytes.
    pub max_event_len: usize,
}

impl fmt::Display for EventTooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the stream has an event of more than {} bytes",
            self.max_event_len
        )
    }
}

impl core::error::Error for EventTooLong {}

#[cfg(test)]
mod tests;
