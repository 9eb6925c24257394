use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::Path;

use saacms_realtime_core::Timestamp;

use super::folder::open_private;
use super::meta::Meta;
use super::row::Sum;

/// Bytes of a witness: life, sequence, latest time, sum.
const LEN: usize = 32;

/// A second place that records how far the history went.
///
/// The write-ahead log is read up to the first part that is damaged or missing, and what comes after is
/// silently gone. So the sequence of the last commit is also written here, *after* it is on the disk,
/// and without waiting for the disk once more: the witness may lag behind the history, but is never ahead
/// of it. A history that ends before its witness does has lost events.
#[derive(Debug)]
pub(super) struct Witness {
    file: File,
}

/// What a witness saw last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) life: u64,
    pub(super) sequence: u64,
    pub(super) latest_time: i64,
}

impl Witness {
    /// Opens the witness at a path, and reads what it saw. One that cannot be read has seen nothing.
    pub(super) fn open(path: &Path) -> io::Result<(Self, Option<Seen>)> {
        let mut file = open_private(path)?;
        let mut bytes = [0; LEN];
        let seen = match file.read_exact(&mut bytes) {
            Ok(()) => Seen::read(bytes),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => None,
            Err(error) => return Err(error),
        };
        Ok((Self { file }, seen))
    }

    /// Notes what is on the disk now. If that fails, the witness lags behind.
    pub(super) fn note(&mut self, meta: &Meta) {
        let seen = Seen {
            life: meta.life,
            sequence: meta.sequence,
            latest_time: meta.latest_time,
        };
        // One write: a process that is killed leaves the old bytes or the new ones.
        let _ = self
            .file
            .rewind()
            .and_then(|()| self.file.write_all(&seen.written()));
    }
}

impl Seen {
    /// The latest time that was an ID.
    pub(super) fn time(self) -> Timestamp {
        Timestamp::from_millis(self.latest_time)
    }

    fn read(bytes: [u8; LEN]) -> Option<Self> {
        let (words, _) = bytes.as_chunks::<8>();
        let seen = Self {
            life: u64::from_le_bytes(words[0]),
            sequence: u64::from_le_bytes(words[1]),
            latest_time: i64::from_le_bytes(words[2]),
        };
        (seen.written() == bytes).then_some(seen)
    }

    fn written(self) -> [u8; LEN] {
        let time = self.latest_time.cast_unsigned();
        let sum = Sum::new().add(self.life).add(self.sequence).add(time).get();
        let mut bytes = [0; LEN];
        let (words, _) = bytes.as_chunks_mut::<8>();
        words[0] = self.life.to_le_bytes();
        words[1] = self.sequence.to_le_bytes();
        words[2] = time.to_le_bytes();
        words[3] = sum.to_le_bytes();
        bytes
    }
}
