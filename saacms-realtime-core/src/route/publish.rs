use alloc::collections::VecDeque;
use core::future::{self, poll_fn};
use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker, ready};

use super::limits::PUBLISH_TURN_BYTES;
#[cfg(doc)]
use super::limits::{MAX_FAILED_LINES, MAX_RESULTS_BYTES};
use super::ndjson::{NDJSON, Results, next_line};
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
    /// It does so in one go, and `publish` knows its outcome at once; [`turns`](Self::turns) lets
    /// other tasks run meanwhile, and waits for outcomes.
    pub fn run<E: Into<Problem>>(
        self,
        body: &[u8],
        mut publish: impl FnMut(Event) -> Result<(), E>,
    ) -> Reply {
        let mut turns = self.turns(body);
        let mut cx = Context::from_waker(Waker::noop());
        loop {
            let turn = pin!(turns.turn(|event| future::ready(publish(event))));
            // Never pending, because every outcome is ready.
            if let Poll::Ready(Some(reply)) = turn.poll(&mut cx) {
                return reply;
            }
        }
    }

    /// Starts to publish the events of `body`, a turn at a time.
    ///
    /// JSON is one event. Each line of NDJSON stands alone: its result is `{"status":204}` or a
    /// problem document. Empty lines are skipped. After [`MAX_FAILED_LINES`] or [`MAX_RESULTS_BYTES`]
    /// the rest is not tried, and one more result says how many lines that are.
    pub fn turns<F>(self, body: &[u8]) -> PublishTurns<'_, F> {
        PublishTurns {
            format: self,
            rest: body,
            submitted: VecDeque::new(),
            results: Results::default(),
        }
    }
}

/// A body whose events are published in turns.
///
/// Call [`turn`](Self::turn) until it returns the answer. If this is dropped earlier, nobody learns
/// what became of the events that were submitted.
#[derive(Debug)]
pub struct PublishTurns<'b, F> {
    format: PublishFormat,
    /// What has not been submitted yet.
    rest: &'b [u8],
    /// The lines of NDJSON whose results are not written yet, in order.
    submitted: VecDeque<Line<F>>,
    results: Results,
}

/// A line of NDJSON that waits for its result, or for that of an earlier line.
#[derive(Debug)]
enum Line<F> {
    /// Its event is being published.
    Submitted(F),
    /// It is no event.
    Failed(Problem),
}

impl<F, E> PublishTurns<'_, F>
where
    F: Future<Output = Result<(), E>> + Unpin,
    E: Into<Problem>,
{
    /// Passes the next events to `submit`: those of [`PUBLISH_TURN_BYTES`], at least one. Returns the
    /// answer once none is left; until then, let other tasks run before the next turn.
    ///
    /// `submit` begins to publish when it is called, and returns the outcome as a future. It is called
    /// in the order of the lines, and a line does not wait for the outcomes of earlier ones, so that an
    /// engine can store many at once. At most [`MAX_FAILED_LINES`] lines wait at a time: the next one
    /// is tried only once it is certain that no limit was reached before it.
    pub async fn turn(&mut self, mut submit: impl FnMut(Event) -> F) -> Option<Reply> {
        if self.format == PublishFormat::Json {
            let outcome = match Event::from_json(self.rest) {
                Ok(event) => submit(event).await.map_err(Into::into),
                Err(error) => Err(error.into()),
            };
            return Some(match outcome {
                Ok(()) => Reply::no_content(),
                Err(problem) => problem.into(),
            });
        }

        let last_of_turn = self.rest.len().saturating_sub(PUBLISH_TURN_BYTES);
        while let Some(line) = next_line(&mut self.rest) {
            poll_fn(|cx| self.poll_limits(cx)).await;
            if self.results.wants(line) {
                // A bad line fails alone: the lines after it are still published.
                self.submitted.push_back(match Event::from_json(line) {
                    Ok(event) => Line::Submitted(submit(event)),
                    Err(error) => Line::Failed(error.into()),
                });
                poll_fn(|cx| Poll::Ready(self.poll_results(cx).is_ready())).await;
            }

            if self.rest.len() <= last_of_turn && !self.rest.is_empty() {
                return None;
            }
        }

        poll_fn(|cx| self.poll_results(cx)).await;
        Some(core::mem::take(&mut self.results).into_reply())
    }

    /// Ready once it is certain whether the next line is to be tried.
    fn poll_limits(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while !self.submitted.is_empty() && self.results.may_be_full_after(self.submitted.len()) {
            ready!(self.poll_oldest(cx));
        }
        Poll::Ready(())
    }

    /// Writes the results that are known. Ready once every line has its result.
    fn poll_results(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while !self.submitted.is_empty() {
            ready!(self.poll_oldest(cx));
        }
        Poll::Ready(())
    }

    /// Ready once the result of the oldest line is written, if there is one.
    fn poll_oldest(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self.submitted.front_mut() {
            Some(Line::Submitted(outcome)) => match ready!(Pin::new(outcome).poll(cx)) {
                Ok(()) => self.results.push(br#"{"status":204}"#),
                Err(error) => self.results.push_failure(&error.into()),
            },
            Some(Line::Failed(problem)) => self.results.push_failure(problem),
            None => {}
        }
        self.submitted.pop_front();
        Poll::Ready(())
    }
}

#[cfg(test)]
mod tests;
