use core::fmt;

/// What happened in a run: always hashed, and kept as text if a trace is asked for.
///
/// Equal hashes show that two runs of a seed were the same.
#[derive(Debug)]
pub(crate) struct Log {
    hash: u64,
    lines: Option<Vec<String>>,
}

impl Log {
    pub(crate) fn new(is_kept: bool) -> Self {
        Self {
            hash: 0xcbf2_9ce4_8422_2325,
            lines: is_kept.then(Vec::new),
        }
    }

    pub(crate) fn number(&mut self, number: u64) {
        self.hash = (self.hash ^ number)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .rotate_left(29);
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        let mut words = bytes.chunks_exact(8);
        for word in &mut words {
            self.number(u64::from_le_bytes(word.try_into().expect("8 bytes")));
        }
        words
            .remainder()
            .iter()
            .for_each(|byte| self.number(u64::from(*byte)));
        self.number(bytes.len() as u64);
    }

    pub(crate) fn line(&mut self, at: u64, line: fmt::Arguments<'_>) {
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
