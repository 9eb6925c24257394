use core::fmt;
use core::time::Duration;
use std::io::Read as _;

use ureq::http::{Response, StatusCode, header};

use crate::terminal::printable;

/// The longest body of an error that is read.
const MAX_PROBLEM_LEN: u64 = 64 * 1024;

/// An answer of the hub that is not a success.
#[derive(Debug)]
pub(crate) struct ErrorAnswer {
    pub(crate) status: StatusCode,
    /// How long the hub asks to wait.
    pub(crate) retry_after: Option<Duration>,
    reason: Option<String>,
}

impl ErrorAnswer {
    /// Reads the headers and the body of an answer.
    pub(crate) fn read(response: Response<ureq::Body>) -> Self {
        let status = response.status();
        let header = |name| {
            response
                .headers()
                .get(name)
                .and_then(|value| value.to_str().ok())
        };
        // Only seconds, which is what a hub sends; a date counts as no header.
        let retry_after = header(header::RETRY_AFTER)
            .and_then(|seconds| seconds.trim().parse().ok())
            .map(Duration::from_secs);
        // The address of a redirect is more useful than its body.
        let mut reason = header(header::LOCATION).map(|to| format!("the hub is at {to}"));

        let mut body = Vec::new();
        let mut reader = response.into_body().into_reader().take(MAX_PROBLEM_LEN);
        // The status is known, so whatever can be read of the body is enough.
        if reader.read_to_end(&mut body).is_ok() || !body.is_empty() {
            reason = reason.or_else(|| Problem::parse(&body).reason());
        }

        Self {
            status,
            retry_after,
            reason,
        }
    }

    /// Whether the same request can succeed later.
    pub(crate) fn is_temporary(&self) -> bool {
        self.status == StatusCode::TOO_MANY_REQUESTS || self.status.is_server_error()
    }
}

impl fmt::Display for ErrorAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reason {
            Some(reason) => write!(f, "{}: {}", self.status, printable(reason)),
            None => self.status.fmt(f),
        }
    }
}

/// A problem document (RFC 9457), or the text that a proxy sent in its place.
#[derive(Debug, Default, serde::Deserialize)]
pub(crate) struct Problem {
    #[serde(default, rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    pub(crate) status: Option<u16>,
    #[serde(default)]
    title: Option<String>,
    #[serde(default)]
    detail: Option<String>,
}

impl Problem {
    /// Reads a document. The first line of any other text becomes the detail.
    pub(crate) fn parse(body: &[u8]) -> Self {
        const MAX_CHARS: usize = 200;
        serde_json::from_slice(body).unwrap_or_else(|_| {
            let text = String::from_utf8_lossy(body);
            let line = text.lines().map(str::trim).find(|line| !line.is_empty());
            Self {
                detail: line.map(|line| line.chars().take(MAX_CHARS).collect()),
                ..Self::default()
            }
        })
    }

    /// Whether it is the last result of lines that a hub did not try.
    pub(crate) fn is_lines_not_tried(&self) -> bool {
        self.kind.as_deref() == Some("urn:saacms-realtime:lines-not-tried")
    }

    /// The detail, otherwise the title.
    pub(crate) fn reason(self) -> Option<String> {
        self.detail.or(self.title).filter(|text| !text.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_of_a_problem_is_its_detail_else_its_title_else_the_first_line() {
        let reason = |body: &str| Problem::parse(body.as_bytes()).reason();
        assert_eq!(
            reason(r#"{"title":"t","detail":"d"}"#).as_deref(),
            Some("d")
        );
        assert_eq!(reason(r#"{"title":"t"}"#).as_deref(), Some("t"));
        assert_eq!(
            reason("\n Bad Gateway \nmore").as_deref(),
            Some("Bad Gateway")
        );
        assert_eq!(reason(""), None);
    }
}
