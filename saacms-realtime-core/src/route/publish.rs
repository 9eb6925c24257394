use alloc::vec::Vec;
use core::iter;

use memchr::memchr;

use super::limits::{MAX_FAILED_LINES, MAX_RESULTS_BYTES, PUBLISH_TURN_BYTES};
use super::{Problem, Reply};
use crate::event::Event;
use crate::notice::Notice;

/// How the body of a publish is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublishFormat {
    /// One event.
    Json,
    /// One event per line (`application/x-ndjson`). The answer has one result per line, in order.
    Ndjson,
}

impl PublishFormat {
    /// The format of a body with this `Content-Type`. Everything but NDJSON is read as JSON.
    pub(super) fn of(content_type: Option<&[u8]>) -> Self {
        // Parameters such as `charset` do not count: both formats are UTF-8.
        let media_type = content_type
            .unwrap_or_default()
            .split(|byte| *byte == b';')
            .next()
            .unwrap_or_default();

        if media_type
            .trim_ascii()
            .eq_ignore_ascii_case(NDJSON.as_bytes())
        {
            Self::Ndjson
        } else {
            Self::Json
        }
    }

    /// The media type of a body in this format.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Ndjson => NDJSON,
        }
    }

    /// Passes the events of `body` to `publish`, and returns the answer.
    ///
    /// It does so in one go; [`turns`](Self::turns) lets other tasks run meanwhile.
    pub fn run<E: Into<Problem>>(
        self,
        body: &[u8],
        mut publish: impl FnMut(Event) -> Result<(), E>,
    ) -> Reply {
        let mut turns = self.turns(body);
        loop {
            if let Some(reply) = turns.turn(&mut publish) {
                return reply;
            }
        }
    }

    /// Starts to publish the events of `body`, a turn at a time.
    ///
    /// JSON is one event. Each line of NDJSON stands alone: its result is `{"status":204}` or a
    /// problem document. Empty lines are skipped. After [`MAX_FAILED_LINES`] or [`MAX_RESULTS_BYTES`]
    /// the rest is not tried, and one more result says how many lines that are.
    pub fn turns(self, body: &[u8]) -> PublishTurns<'_> {
        PublishTurns {
            format: self,
            rest: body,
            results: Results::default(),
        }
    }
}

const NDJSON: &str = "application/x-ndjson";

/// A body whose events are published in turns.
#[derive(Debug)]
pub struct PublishTurns<'b> {
    format: PublishFormat,
    /// What has not been published yet.
    rest: &'b [u8],
    results: Results,
}

impl PublishTurns<'_> {
    /// Passes the next events to `publish`: those of [`PUBLISH_TURN_BYTES`], at least one. Returns
    /// the answer once none is left; until then, let other tasks run before the next turn.
    pub fn turn<E: Into<Problem>>(
        &mut self,
        mut publish: impl FnMut(Event) -> Result<(), E>,
    ) -> Option<Reply> {
        let mut publish_text = |text: &[u8]| -> Result<(), Problem> {
            publish(Event::from_json(text)?).map_err(Into::into)
        };

        if self.format == PublishFormat::Json {
            return Some(match publish_text(self.rest) {
                Ok(()) => Reply::no_content(),
                Err(problem) => problem.into(),
            });
        }

        let last_of_turn = self.rest.len().saturating_sub(PUBLISH_TURN_BYTES);
        // A bad line fails alone: the lines after it are still published.
        while let Some(line) = next_line(&mut self.rest) {
            if self.results.wants(line) {
                match publish_text(line) {
                    Ok(()) => self.results.push(br#"{"status":204}"#),
                    Err(problem) => self.results.push_failure(&problem),
                }
            }
            if self.rest.len() <= last_of_turn && !self.rest.is_empty() {
                return None;
            }
        }
        Some(core::mem::take(&mut self.results).into_reply())
    }
}

/// Takes the next line off `rest`, without blanks around it.
fn next_line<'b>(rest: &mut &'b [u8]) -> Option<&'b [u8]> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::borrow::ToOwned as _;
    use alloc::format;
    use alloc::string::String;
    use alloc::vec;

    #[test]
    fn a_bad_line_fails_alone() {
        let body = b"{\"type\":\"deleted\",\"slug\":\"s\",\"id\":\"1\"}\r\n\nnope\n \n{\"type\":\"deleted\",\"slug\":\"s\",\"id\":\"2\"}";
        let mut published = Vec::new();
        let reply = PublishFormat::Ndjson.run(body, |event| {
            published.push(event.key().id().parse::<u32>().expect("a number"));
            Ok::<(), Problem>(())
        });
        assert_eq!(published, [1, 2]);
        let lines: Vec<_> = reply.body.split(|byte| *byte == b'\n').collect();
        assert_eq!(
            (lines.len(), lines[0], lines[2]),
            (4, &br#"{"status":204}"#[..], lines[0])
        );
        assert!(lines[1].starts_with(br#"{"type":"urn:saacms-realtime:invalid-event""#));
    }

    fn deleted(id: usize) -> String {
        format!("{{\"type\":\"deleted\",\"slug\":\"s\",\"id\":\"{id}\"}}\n")
    }

    /// Runs a body of NDJSON. Returns the IDs published, the turns it took, and the results.
    fn run(body: &str) -> (Vec<usize>, usize, Vec<String>) {
        let mut published = Vec::new();
        let mut turns = PublishFormat::Ndjson.turns(body.as_bytes());
        for count in 1.. {
            let reply = turns.turn(|event| {
                published.push(event.key().id().parse().expect("a number"));
                Ok::<(), Problem>(())
            });
            if let Some(reply) = reply {
                let text = String::from_utf8(reply.body).expect("UTF-8");
                return (published, count, text.lines().map(String::from).collect());
            }
        }
        unreachable!("turns end")
    }

    #[test]
    fn lines_are_published_in_turns_of_a_few_kilobytes() {
        let body: String = (0..2_000).map(deleted).collect();
        let (published, turns, results) = run(&body);
        assert!(published.into_iter().eq(0..2_000));
        assert_eq!(
            (turns, results.len()),
            (body.len().div_ceil(PUBLISH_TURN_BYTES), 2_000)
        );
        let empty_lines = "\n".repeat(4 * PUBLISH_TURN_BYTES);
        assert_eq!(run(&empty_lines), (Vec::new(), 4, Vec::new()));
        assert_eq!(run(""), (Vec::new(), 1, Vec::new()));
    }

    #[test]
    fn after_a_thousand_failures_the_rest_is_not_tried() {
        let bad = "x\n".repeat(MAX_FAILED_LINES);
        let (published, _, results) = run(&(bad.clone() + "\n \n"));
        assert_eq!(
            (published.len(), results.len()),
            (0, MAX_FAILED_LINES),
            "nothing is left"
        );

        let (published, _, results) =
            run(&(deleted(1) + &bad + &deleted(2) + "\nx\n" + &deleted(3)));
        assert_eq!((published, results.len()), (vec![1], MAX_FAILED_LINES + 2));
        let closing = results.last().expect("a result");
        assert!(
            closing.contains("lines-not-tried") && closing.contains("last 3 lines"),
            "{closing}"
        );
    }

    #[test]
    fn after_a_megabyte_of_results_the_rest_is_not_tried() {
        let per_line = "{\"status\":204}\n".len();
        let tried = MAX_RESULTS_BYTES.div_ceil(per_line);
        let body: String = (0..tried + 7).map(deleted).collect();
        let (published, _, results) = run(&body);
        assert_eq!((published.len(), results.len()), (tried, tried + 1));
        assert!(
            results[tried].contains("last 7 lines"),
            "{}",
            results[tried]
        );
    }

    #[test]
    fn a_byte_order_mark_is_skipped() {
        let (published, _, results) = run(&format!("\u{feff}{}\u{feff}\n", deleted(1)));
        assert_eq!((published, results.len()), (vec![1], 1));
        let body = "\u{feff}".to_owned() + &deleted(1);
        let reply = PublishFormat::Json.run(body.as_bytes(), |_| Ok::<(), Problem>(()));
        assert_eq!(reply.status, 204);
    }

    #[test]
    fn the_media_type_decides_and_its_parameters_do_not() {
        let format = |content_type: &str| PublishFormat::of(Some(content_type.as_bytes()));
        assert_eq!(
            format("Application/X-NDJSON; charset=utf-8"),
            PublishFormat::Ndjson
        );
        assert_eq!(format("text/plain"), PublishFormat::Json);
        assert_eq!(PublishFormat::of(None), PublishFormat::Json);
    }
}
