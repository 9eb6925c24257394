//! NDJSON, one event per line: its lines, and the answer with their results.

use alloc::vec::Vec;
use core::iter;

use memchr::memchr;

use super::limits::{MAX_FAILED_LINES, MAX_RESULTS_BYTES};
use super::{Problem, Reply};
use crate::notice::Notice;

/// The media type.
pub(super) const NDJSON: &str = "application/x-ndjson";

/// No result of a line is longer, in bytes: a problem document has an excerpt of its input at most.
const LONGEST_RESULT: usize = 512;

/// Takes the next line off `rest`, without blanks around it.
pub(super) fn next_line<'b>(rest: &mut &'b [u8]) -> Option<&'b [u8]> {
    if rest.is_empty() {
        return None;
    }
    let end = memchr(b'\n', rest).unwrap_or(rest.len());
    let (line, after) = rest.split_at(end);
    *rest = after.get(1..).unwrap_or_default();
    Some(line.trim_ascii())
}

/// The lines of NDJSON, without the empty ones.
pub(super) fn lines(mut body: &[u8]) -> impl Iterator<Item = &[u8]> {
    iter::from_fn(move || next_line(&mut body)).filter(|line| !is_empty(line))
}

/// Whether a line has no event. An editor may have put a byte order mark on an empty line.
fn is_empty(line: &[u8]) -> bool {
    line.is_empty() || line == "\u{feff}".as_bytes()
}

/// The answer to NDJSON: one result per line, in the order of the events.
#[derive(Debug, Default)]
pub(super) struct Results {
    text: Vec<u8>,
    failed: usize,
    /// Lines after the limits were reached.
    not_tried: usize,
    /// The notice of the first line that failed with one.
    notice: Option<Notice>,
}

impl Results {
    /// Whether `line` has an event that is to be tried. Counts those that are not.
    pub(super) fn wants(&mut self, line: &[u8]) -> bool {
        if is_empty(line) {
            return false;
        }
        let is_full = self.failed >= MAX_FAILED_LINES || self.text.len() >= MAX_RESULTS_BYTES;
        self.not_tried += usize::from(is_full);
        !is_full
    }

    /// Whether the next line may be one that is not to be tried, once `unknown` lines before it have
    /// their results.
    pub(super) fn may_be_full_after(&self, unknown: usize) -> bool {
        self.failed + unknown >= MAX_FAILED_LINES
            || self.text.len() + unknown * LONGEST_RESULT >= MAX_RESULTS_BYTES
    }

    pub(super) fn push(&mut self, result: &[u8]) {
        self.text.extend_from_slice(result);
        self.text.push(b'\n');
    }

    pub(super) fn push_failure(&mut self, problem: &Problem) {
        self.failed += 1;
        self.notice = self.notice.or(problem.notice());
        self.push(problem.to_json().as_bytes());
    }

    /// Forgets the results, and keeps how many lines are not tried.
    pub(super) fn emptied(self) -> Self {
        Self {
            not_tried: self.not_tried,
            notice: self.notice,
            ..Self::default()
        }
    }

    pub(super) fn into_reply(mut self) -> Reply {
        if self.not_tried > 0 {
            let problem = Problem::lines_not_tried(self.not_tried).to_json();
            self.push(problem.as_bytes());
        }
        let mut reply = Reply::ok(NDJSON, self.text);
        reply.notice = self.notice;
        reply
    }
}
