use alloc::vec::Vec;

use super::{Problem, Reply};
use crate::event::Event;

/// How the body of a publish is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublishFormat {
    /// One event.
    Json,
    /// One event a line (`application/x-ndjson`); the answer has one result a line, in order.
    Ndjson,
}

impl PublishFormat {
    pub(super) fn of(content_type: Option<&[u8]>) -> Self {
        let media_type = content_type
            .unwrap_or_default()
            .split(|byte| *byte == b';')
            .next();
        match media_type {
            Some(media_type)
                if media_type
                    .trim_ascii()
                    .eq_ignore_ascii_case(b"application/x-ndjson") =>
            {
                Self::Ndjson
            }
            _ => Self::Json,
        }
    }

    /// Publishes what `body` holds and says how that went.
    ///
    /// JSON is all or nothing. Of NDJSON each line is on its own: the results are
    /// `{"status":204}` or a problem document; empty lines are passed over.
    pub fn run<E: Into<Problem>>(
        self,
        body: &[u8],
        mut publish: impl FnMut(Event) -> Result<(), E>,
    ) -> Reply {
        self.reply(self.events(body).map(|text| -> Result<(), Problem> {
            publish(Event::from_json(text)?).map_err(Into::into)
        }))
    }

    /// The events that `body` holds, each as it was written: for a router that sends them on.
    pub fn events(self, body: &[u8]) -> impl Iterator<Item = &[u8]> {
        let (whole, lines) = match self {
            Self::Json => (Some(body), None),
            Self::Ndjson => (
                None,
                Some(body.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii)),
            ),
        };
        whole
            .into_iter()
            .chain(lines.into_iter().flatten().filter(|line| !line.is_empty()))
    }

    /// The answer, from what became of each of the [`events`](Self::events).
    fn reply(self, results: impl IntoIterator<Item = Result<(), Problem>>) -> Reply {
        let mut results = results.into_iter();
        match self {
            Self::Json => match results.next() {
                Some(Err(problem)) => problem.into(),
                Some(Ok(())) | None => Reply::no_content(),
            },
            Self::Ndjson => {
                let mut lines = Vec::new();
                for result in results {
                    match result {
                        Ok(()) => lines.extend_from_slice(br#"{"status":204}"#),
                        Err(problem) => lines.extend_from_slice(problem.to_json().as_bytes()),
                    }
                    lines.push(b'\n');
                }
                Reply::ok("application/x-ndjson", lines)
            }
        }
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
