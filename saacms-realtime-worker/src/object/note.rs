use saacms_realtime_core::{Instant, Position};

/// The unread bytes above which a WebSocket is sent nothing more, in bytes of messages.
///
/// Its client tells what it has read after each 256 KiB, so one that keeps up never has as many.
pub(super) const MAX_UNREAD_BYTES: u64 = 1 << 20;

/// What the platform keeps of a WebSocket while the object sleeps, as its attachment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Note {
    /// The client was sent everything up to here.
    pub(crate) place: Position,
    /// Bytes of the messages that it was sent.
    pub(crate) sent: u64,
    /// Bytes of these that it has told it has read.
    pub(crate) read: u64,
    /// When it was last heard of: at its opening, or by what it has read or pinged.
    pub(crate) heard_at: Instant,
    /// Since when bytes wait for it to read others.
    pub(crate) waits_since: Option<Instant>,
}

impl Note {
    /// The note of a WebSocket that was opened, and sent nothing yet.
    pub(super) fn new(place: Position, now: Instant) -> Self {
        Self {
            place,
            sent: 0,
            read: 0,
            heard_at: now,
            waits_since: None,
        }
    }

    /// Handles that the client has read `read` bytes so far.
    ///
    /// # Errors
    ///
    /// It told before that it had read more, or was not sent as much.
    pub(crate) fn handle_read(&mut self, read: u64, now: Instant) -> Result<(), Violation> {
        if !(self.read..=self.sent).contains(&read) {
            return Err(Violation::WrongCount);
        }
        self.read = read;
        self.heard_at = now;
        Ok(())
    }

    /// Whether there is no room for another message.
    pub(super) fn is_full(&self) -> bool {
        self.sent - self.read >= MAX_UNREAD_BYTES
    }

    /// The numbers of a note, for the platform to keep beside the place.
    pub(crate) fn numbers(&self) -> [f64; 4] {
        let waits_since = self.waits_since.map_or(-1.0, millis);
        [
            self.sent as f64,
            self.read as f64,
            millis(self.heard_at),
            waits_since,
        ]
    }

    /// Reads a note back; `None` for what this version would not have written.
    pub(crate) fn parse(place: &str, numbers: [f64; 4]) -> Option<Self> {
        // The largest whole number up to which JavaScript's are exact.
        const LARGEST: f64 = 9_007_199_254_740_991.0;
        let is_whole = |number: &f64| *number <= LARGEST && number.trunc() == *number;
        let [sent, read, heard_at, waits_since] = numbers;
        if !numbers.iter().all(is_whole) || read < 0.0 || read > sent || heard_at < 0.0 {
            return None;
        }
        Some(Self {
            place: Position::parse(place.as_bytes())?,
            sent: sent as u64,
            read: read as u64,
            heard_at: Instant::from_millis(heard_at as u64),
            waits_since: (waits_since >= 0.0).then(|| Instant::from_millis(waits_since as u64)),
        })
    }
}

fn millis(instant: Instant) -> f64 {
    instant.as_millis() as f64
}

/// The place that the notes of an earlier life agree on: it had no event after that, as every event goes
/// to every WebSocket before the object can sleep. Those that wait are behind, and tell nothing.
pub(crate) fn common_place<'a>(notes: impl IntoIterator<Item = &'a Note>) -> Option<Position> {
    let mut places = notes
        .into_iter()
        .filter(|note| note.waits_since.is_none())
        .map(|note| note.place);
    let first = places.next()?;
    places.all(|place| place == first).then_some(first)
}

/// A message of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClientMessage {
    /// The client wants a sign of life. The platform answers it, so it arrives only where that does not.
    Ping,
    /// It has read as many bytes so far.
    Read(u64),
}

impl ClientMessage {
    /// Reads a message; `None` stands for one that is not text.
    ///
    /// # Errors
    ///
    /// It is not one that a client may send.
    pub(crate) fn parse(text: Option<&str>) -> Result<Self, Violation> {
        let text = text.ok_or(Violation::UnknownMessage)?;
        if text == "ping" {
            return Ok(Self::Ping);
        }

        let digits = text.strip_prefix("read ");
        digits
            // `parse` would allow a sign.
            .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|digits| digits.parse().ok())
            .map(Self::Read)
            .ok_or(Violation::UnknownMessage)
    }
}

/// A client has sent what it must not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Violation {
    UnknownMessage,
    WrongCount,
}

/// Why an object closes a WebSocket: the code and the reason of its close frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Closing {
    /// It got its farewell.
    Drained,
    /// The client has sent what it must not.
    Violation(Violation),
    /// The object does not know what the client was sent.
    Restarted,
    /// The client lets others wait, and reads too slowly.
    Stalled,
    /// The client has been silent.
    Silent,
}

impl Closing {
    /// The code (RFC 6455, 7.4.1, and IANA's registry).
    pub(crate) fn code(self) -> u16 {
        match self {
            Self::Drained => 1001,
            Self::Violation(_) => 1008,
            Self::Restarted => 1012,
            Self::Stalled | Self::Silent => 1013,
        }
    }

    /// The reason, of at most 123 bytes.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Drained => "the object ends its streams; come back",
            Self::Violation(Violation::UnknownMessage) => {
                "a client may send only the texts `ping` and `read <n>`"
            }
            Self::Violation(Violation::WrongCount) => {
                "the n of `read <n>` must be at least that of the last one, and at most what was sent"
            }
            Self::Restarted => "the object was restarted; come back",
            Self::Stalled => "1 MiB is unread, and no `read <n>` came for too long; come back",
            Self::Silent => "neither `ping` nor `read <n>` came for too long; come back",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use saacms_realtime_core::Epoch;

    fn note(sequence: u64) -> Note {
        let epoch = Epoch::from_number(7);
        Note::new(Position { epoch, sequence }, Instant::from_millis(5))
    }

    #[test]
    fn a_note_is_read_back_as_it_was_kept() {
        let at = Instant::from_millis(9);
        for waits_since in [None, Some(Instant::ZERO), Some(at)] {
            let note = Note {
                sent: (1 << 53) - 1,
                read: 3,
                waits_since,
                ..note(12)
            };
            let kept = (note.place.to_string(), note.numbers());
            assert_eq!(Note::parse(&kept.0, kept.1), Some(note));
        }
    }

    #[test]
    fn what_no_object_would_have_kept_is_not_read_back() {
        let place = "0000000000000007.12";
        let parse = |place, numbers| Note::parse(place, numbers);
        assert!(parse(place, [2.0, 1.0, 5.0, -1.0]).is_some());
        assert_eq!(parse("v1", [2.0, 1.0, 5.0, -1.0]), None);
        for numbers in [
            [1.0, 2.0, 5.0, -1.0],
            [2.0, -1.0, 5.0, -1.0],
            [2.0, 1.0, -5.0, -1.0],
            [2.5, 1.0, 5.0, -1.0],
            [f64::NAN, 1.0, 5.0, -1.0],
            [2.0, 1.0, 5.0, f64::NAN],
            [f64::INFINITY, 1.0, 5.0, -1.0],
            [1e300, 1.0, 5.0, -1.0],
        ] {
            assert_eq!(parse(place, numbers), None, "{numbers:?}");
        }
    }

    #[test]
    fn a_client_reads_no_more_than_it_was_sent_and_never_less_than_before() {
        let now = Instant::from_millis(6);
        let mut note = Note {
            sent: 10,
            ..note(1)
        };
        for read in [0, 4, 4, 10] {
            assert_eq!(note.handle_read(read, now), Ok(()));
        }
        assert_eq!((note.read, note.heard_at), (10, now));
        for read in [9, 11, u64::MAX] {
            let outcome = note.handle_read(read, now);
            assert_eq!(outcome, Err(Violation::WrongCount), "{read}");
        }
    }

    #[test]
    fn a_client_says_ping_or_what_it_has_read() {
        let parse = |text| ClientMessage::parse(Some(text));
        assert_eq!(parse("ping"), Ok(ClientMessage::Ping));
        assert_eq!(parse("read 0"), Ok(ClientMessage::Read(0)));
        assert_eq!(parse("read 262144"), Ok(ClientMessage::Read(262_144)));
        for text in [
            "",
            "Ping",
            "ping ",
            "pong",
            "read",
            "read ",
            "read -1",
            "read +1",
            "read 1.5",
            "read 1e3",
            "read  1",
            "read 1 ",
            "READ 1",
            "read 18446744073709551616",
            "read ١",
        ] {
            assert_eq!(parse(text), Err(Violation::UnknownMessage), "{text:?}");
        }
        assert_eq!(ClientMessage::parse(None), Err(Violation::UnknownMessage));
    }

    #[test]
    fn notes_tell_the_newest_place_unless_they_differ_or_wait() {
        let waiting = Note {
            waits_since: Some(Instant::ZERO),
            ..note(3)
        };
        let place = |sequence| Some(note(sequence).place);
        assert_eq!(common_place(&[]), None);
        assert_eq!(common_place(&[note(5), note(5)]), place(5));
        assert_eq!(common_place(&[waiting, note(5)]), place(5));
        assert_eq!(common_place(&[waiting]), None);
        assert_eq!(common_place(&[note(5), note(4)]), None);
    }

    #[test]
    fn the_reason_fits_in_a_close_frame() {
        for closing in [
            Closing::Drained,
            Closing::Violation(Violation::UnknownMessage),
            Closing::Violation(Violation::WrongCount),
            Closing::Restarted,
            Closing::Stalled,
            Closing::Silent,
        ] {
            assert!(closing.reason().len() <= 123, "{closing:?}");
        }
    }
}
