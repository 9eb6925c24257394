use alloc::vec::Vec;

use super::{Problem, Reply};
use crate::event::Event;

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
    /// JSON is one event. Each line of NDJSON stands alone: its result is `{"status":204}` or a
    /// problem document. Empty lines are skipped.
    pub fn run<E: Into<Problem>>(
        self,
        body: &[u8],
        mut publish: impl FnMut(Event) -> Result<(), E>,
    ) -> Reply {
        let mut publish_text = |text: &[u8]| -> Result<(), Problem> {
            publish(Event::from_json(text)?).map_err(Into::into)
        };

        match self {
            Self::Json => match publish_text(body) {
                Ok(()) => Reply::no_content(),
                Err(problem) => problem.into(),
            },
            Self::Ndjson => {
                let mut results = Results::default();
                let mut notice = None;
                // A bad line fails alone: the lines after it are still published.
                for line in lines(body) {
                    match publish_text(line) {
                        Ok(()) => results.push(br#"{"status":204}"#),
                        Err(problem) => {
                            notice = notice.or(problem.notice());
                            results.push(problem.to_json().as_bytes());
                        }
                    }
                }

                let mut reply = results.into_reply();
                reply.notice = notice;
                reply
            }
        }
    }
}

const NDJSON: &str = "application/x-ndjson";

/// The lines of NDJSON, without the empty ones.
pub(super) fn lines(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    body.split(|byte| *byte == b'\n')
        .map(<[u8]>::trim_ascii)
        .filter(|line| !line.is_empty())
}

/// The answer to NDJSON: one result per line, in the order of the events.
#[derive(Debug, Default)]
pub(super) struct Results(Vec<u8>);

impl Results {
    pub(super) fn push(&mut self, result: &[u8]) {
        self.0.extend_from_slice(result);
        self.0.push(b'\n');
    }

    pub(super) fn into_reply(self) -> Reply {
        Reply::ok(NDJSON, self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
