use core::fmt;

/// Everything that happened in a run: always hashed, and kept as text if a trace is wanted.
///
/// Two runs of a seed were the same if their hashes are equal.
#[derive(Debug)]
pub(crate) struct Log {
    hash: u64,
    lines: Option<Vec<String>>,
}

impl Log {
    pub(crate) fn new(is_kept: bool) -> Self {
        Self {
            // The offset basis of FNV-1a; any constant would do.
            hash: 0xcbf2_9ce4_8422_2325,
            lines: is_kept.then(Vec::new),
        }
    }

    pub(crate) fn hash_number(&mut self, number: u64) {
        // Multiplied by 2^64 over the golden ratio, then rotated, so that the order of numbers
        // counts.
        self.hash = (self.hash ^ number)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .rotate_left(29);
    }

    pub(crate) fn hash_bytes(&mut self, bytes: &[u8]) {
        let mut words = bytes.chunks_exact(8);
        for word in &mut words {
            self.hash_number(u64::from_le_bytes(word.try_into().expect("8 bytes")));
        }
        words
            .remainder()
            .iter()
            .for_each(|byte| self.hash_number(u64::from(*byte)));
        // The length marks where one value ends and the next begins.
        self.hash_number(bytes.len() as u64);
    }

    pub(crate) fn push_line(&mut self, at: u64, line: fmt::Arguments<'_>) {
        if let Some(lines) = &mut self.lines {
            lines.push(format!("{at:>8} {line}"));
        }
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    pub(crate) fn into_lines(self) -> Vec<String> {
        self.lines.unwrap_or_default()
    }
}
