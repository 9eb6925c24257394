//! The client side of a publish.

use core::fmt;
use core::time::Duration;
use std::thread;

use indicatif::ProgressBar;
use ureq::http::{StatusCode, header};

use crate::client::{BaseUrl, ErrorAnswer, transport_error};
use crate::terminal::{print_error, print_status, seconds};

/// How long the hub may be silent during a request.
const SILENCE: Duration = Duration::from_secs(60);

/// How often a request is repeated if the hub is busy.
const MAX_RETRIES: u32 = 5;

/// The longest wait before such a request is repeated.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(60);

/// The smallest body that is sent only after the hub has accepted the head. A hub that refuses a
/// head and closes the connection could otherwise reset it before its answer is read.
const MIN_EXPECT_LEN: usize = 64 * 1024;

/// The longest answer to a batch.
const MAX_ANSWER_LEN: u64 = 8 << 20;

/// Posts events to a hub and reports on standard error.
pub(super) struct HubClient {
    agent: ureq::Agent,
    base: BaseUrl,
    token: Option<String>,
    pub(super) quiet: bool,
    /// Hidden unless many events are published. Suspended while anything else is written.
    pub(super) progress: ProgressBar,
}

impl HubClient {
    pub(super) fn new(base: BaseUrl, token: Option<String>, quiet: bool) -> Self {
        // Follows no redirect: a redirected POST arrives as a GET, or not at all.
        let agent = base.agent(Some(SILENCE), 0);
        Self {
            agent,
            base,
            token,
            quiet,
            progress: ProgressBar::hidden(),
        }
    }

    /// Posts `body` and reads the answer. Tries again if the hub is busy and names a time.
    pub(super) fn post(&self, content_type: &str, body: &[u8]) -> Result<Vec<u8>, PostError> {
        let mut retries = 0;
        loop {
            let answer = match self.post_once(content_type, body) {
                Err(PostError::Refused(answer)) => answer,
                result => return result,
            };
            // A refused request has published nothing, so it can be repeated.
            let wait = answer
                .retry_after
                .filter(|wait| is_busy(answer.status) && *wait <= MAX_RETRY_AFTER);
            let Some(wait) = wait.filter(|_| retries < MAX_RETRIES) else {
                return Err(PostError::Refused(answer));
            };

            retries += 1;
            if !self.quiet {
                self.status(format_args!(
                    "{answer}; trying again in {} ({retries} of {MAX_RETRIES})",
                    seconds(wait),
                ));
            }
            thread::sleep(wait);
        }
    }

    fn post_once(&self, content_type: &str, body: &[u8]) -> Result<Vec<u8>, PostError> {
        let mut request = self
            .agent
            .post(self.base.publish())
            .header(header::CONTENT_TYPE, content_type);
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        if body.len() >= MIN_EXPECT_LEN {
            request = request.header(header::EXPECT, "100-continue");
        }

        let mut response = request.send(body).map_err(PostError::NoAnswer)?;
        if !response.status().is_success() {
            return Err(PostError::Refused(ErrorAnswer::read(response)));
        }
        // The status alone proves nothing: the results of a batch are in the body.
        let body = response.body_mut().with_config().limit(MAX_ANSWER_LEN);
        body.read_to_vec().map_err(PostError::NoAnswer)
    }

    /// Reports why a request failed and what to do about it. The message begins with `what`.
    pub(super) fn report_failure(&self, what: &str, failure: &PostError) {
        let url = self.base.publish();
        // Suspended, because the bar would be drawn over the message.
        self.progress.suspend(|| match failure {
            PostError::NoAnswer(error) => print_error(format_args!(
                "{what}no answer from {url}: {}\n  \
                 is the hub running? start it with `saacms-realtime serve`",
                transport_error(error, Some(SILENCE)),
            )),
            PostError::Refused(answer) => {
                let hint = hint(answer.status);
                let separator = if hint.is_empty() { "" } else { "\n  " };
                print_error(format_args!(
                    "{what}{url} answered {answer}{separator}{hint}"
                ));
            }
        });
    }

    /// Reports a message that is not an error.
    pub(super) fn status(&self, message: impl fmt::Display) {
        self.progress.suspend(|| print_status(message));
    }
}

/// Why a request failed.
pub(super) enum PostError {
    /// There is no answer, so the events may or may not have been published.
    NoAnswer(ureq::Error),
    /// The hub refused it and published nothing.
    Refused(ErrorAnswer),
}

/// Whether the hub is at one of its limits.
pub(super) fn is_busy(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
    )
}

/// Advice on an error answer; empty if its text needs none.
pub(super) fn hint(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED => {
            "name the hub's token with --token-file, or in SAACMS_REALTIME_PUBLISH_TOKEN"
        }
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => {
            "does --url end with the hub's base path?"
        }
        _ if is_busy(status) => "the hub is at one of its limits; publish again later",
        _ if status.is_redirection() => "name that address with --url",
        _ => "",
    }
}
