//! Event IDs that are positions: which life of a hub, and a place in its one sequence of events.

use core::fmt;

/// One life of a hub, or of a topic that stands alone. A process that starts again has another epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Epoch(u64);

impl Epoch {
    /// The epoch with this number. No two lives may share one, not even in different processes: draw
    /// it at random.
    pub const fn from_number(number: u64) -> Self {
        Self(number)
    }

    /// The number of this epoch.
    pub const fn as_number(self) -> u64 {
        self.0
    }
}

/// The place after an event: `<epoch>.<sequence>` on the wire, 16 hexadecimal digits and a decimal
/// number. It is good for every record that is counted in the same sequence.
///
/// The alphabet is within `[A-Za-z0-9._~-]` and the length at most 37 bytes, so that a cross-origin
/// request with it as `Last-Event-ID` stays a simple one (Fetch, "CORS-safelisted request-header"
/// limits values to 128 bytes).
///
/// ```
/// use saacms_realtime_core::{Epoch, Position};
/// let position = Position { epoch: Epoch::from_number(0xbeef), sequence: 12 };
/// assert_eq!(position.to_string(), "000000000000beef.12");
/// assert_eq!(Position::parse(b"000000000000beef.12"), Some(position));
/// assert_eq!(Position::parse(b"beef.12"), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    /// The life of the sequence.
    pub epoch: Epoch,
    /// The number of the last event before this place; 0 = before the first.
    pub sequence: u64,
}

impl Position {
    /// Reads a position; `None` for any other text.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (epoch, rest) = text.split_at_checked(EPOCH_DIGITS)?;
        let sequence = rest.strip_prefix(b".")?;
        Some(Self {
            epoch: Epoch(number(epoch, 16)?),
            sequence: number(sequence, 10)?,
        })
    }
}

/// Digits of an epoch. Fixed, so that few other texts are taken for positions.
const EPOCH_DIGITS: usize = 16;

fn number(digits: &[u8], radix: u32) -> Option<u64> {
    // `from_str_radix` accepts a sign and upper case, which are never written.
    let written_here = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if !digits.iter().all(written_here) {
        return None;
    }
    u64::from_str_radix(core::str::from_utf8(digits).ok()?, radix).ok()
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}.{}", self.epoch.0, self.sequence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;
    use std::string::ToString as _;

    #[test]
    fn a_position_is_parsed_back_as_it_was_displayed() {
        for (epoch, sequence) in [(0, 0), (1, u64::MAX), (u64::MAX, 7)] {
            let position = Position {
                epoch: Epoch(epoch),
                sequence,
            };
            assert_eq!(
                Position::parse(position.to_string().as_bytes()),
                Some(position)
            );
        }
        let longest = Position {
            epoch: Epoch(u64::MAX),
            sequence: u64::MAX,
        };
        assert_eq!(longest.to_string().len(), 37);
    }

    #[test]
    fn text_that_is_no_position_is_none() {
        let epoch = "00000000000000fe";
        assert!(Position::parse(format!("{epoch}.1").as_bytes()).is_some());
        for sequence in ["", "+1", "-1", "a", "1.1", " 1", "18446744073709551616"] {
            let text = format!("{epoch}.{sequence}");
            assert_eq!(Position::parse(text.as_bytes()), None, "{text}");
        }
        for epoch in [
            "",
            "fe",
            "00000000000000FE",
            "+0000000000000fe",
            "000000000000000fe",
            "é0000000000000fe",
        ] {
            let text = format!("{epoch}.1");
            assert_eq!(Position::parse(text.as_bytes()), None, "{text}");
        }
        assert_eq!(Position::parse(b"00000000000000fe"), None);
        assert_eq!(Position::parse(b"00000000000000f\xff.1"), None);
    }
}
