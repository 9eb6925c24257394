//! The decoder of core, beside our own.

use saacms_realtime_core::sse::{Decoded, Decoder};

use crate::tally::Faults;

/// Largest event that is decoded.
const MAX_EVENT: usize = 1 << 20;

/// Reads the first stream of each thread with core's decoder, too.
pub(super) struct Strict {
    decoder: Decoder,
    /// The number of the last event that the decoder found.
    decoded: u64,
    /// The number of the last event that our own reader found.
    read: u64,
}

impl Default for Strict {
    fn default() -> Self {
        Self {
            decoder: Decoder::new(MAX_EVENT),
            decoded: 0,
            read: 0,
        }
    }
}

impl Strict {
    /// Begins with another connection.
    pub(super) fn begin_stream(&mut self) {
        self.decoder = Decoder::new(MAX_EVENT);
    }

    /// Decodes the bytes that our own reader has read; their last event must be the one before
    /// `next`.
    pub(super) fn read(&mut self, body: &[u8], next: u64) {
        if self.decoder.feed(body).is_err() {
            self.read += 1;
        }

        while let Some(decoded) = self.decoder.next() {
            if let Decoded::Message(message) = decoded
                && message.event_type == "changed"
            {
                self.decoded = message.last_event_id.parse().unwrap_or(0);
            }
        }

        if next > 1 {
            self.read = next - 1;
        }
    }

    /// Compares what both found.
    pub(super) fn finish(&self, faults: &mut Faults) {
        let Self { decoded, read, .. } = self;
        if decoded != read {
            faults.malformed += 1;
            faults.note(|| format!("core decodes {decoded} events of {read}"));
        }
    }
}
