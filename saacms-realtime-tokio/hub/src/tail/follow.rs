//! The stream of one record, over as many connections as it takes.

use core::hash::{BuildHasher as _, Hasher as _};
use core::time::Duration;
use std::hash::RandomState;
use std::io::{ErrorKind, Read as _};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::thread;
use std::time::{Instant, SystemTime};

use saacms_realtime_core::sse::{Decoded, Decoder};
use saacms_realtime_core::{RESYNC, ResourceKey, Timestamp, UNAVAILABLE};
use ureq::Body;
use ureq::http::{Response, StatusCode, header};

use super::report::{News, Replayed, Report};
use super::request::StreamRequest;
use crate::client::{ErrorAnswer, Problem, transport_error};
use crate::terminal::printable;

/// The reconnection time until the stream names one.
const RECONNECTION_TIME: Duration = Duration::from_secs(3);

/// The shortest reconnection time: a hub that sends `retry: 0` and ends must not keep a core busy.
const MIN_RECONNECTION_TIME: Duration = Duration::from_millis(50);

/// The longest reconnection time that a hub can ask for: one that is never over would end the command
/// without a word.
const MAX_RECONNECTION_TIME: Duration = Duration::from_secs(24 * 60 * 60);

/// The longest wait between failed attempts, unless the reconnection time is longer.
const MAX_BACKOFF: Duration = Duration::from_secs(30);

/// The longest wait that a hub can ask for.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(600);

/// A replay comes in one go, so it is over after this much silence.
const REPLAY_GAP: Duration = Duration::from_secs(1);

/// Follows one record and sends reports.
#[derive(Debug)]
pub(super) struct Follower {
    request: StreamRequest,
    key: Arc<ResourceKey>,
    last_event_id: String,
    max_event_len: usize,
    silence: Option<Duration>,
    reports: SyncSender<Report>,
    reconnection_time: Duration,
    /// Attempts since the hub last sent a byte of the stream.
    failures: u32,
    connected_before: bool,
}

/// How a connection ended.
enum Outcome {
    /// Try again, but not before `retry_after`, which is zero if the hub named none.
    Lost {
        reason: String,
        retry_after: Duration,
    },
    Refused {
        reason: String,
    },
    Ended,
}

/// Nobody receives the reports any more.
struct NoReceiver;

impl Follower {
    pub(super) fn new(
        request: StreamRequest,
        key: Arc<ResourceKey>,
        last_event_id: String,
        max_event_len: usize,
        silence: Option<Duration>,
        reports: SyncSender<Report>,
    ) -> Self {
        Self {
            request,
            key,
            last_event_id,
            max_event_len,
            silence,
            reports,
            reconnection_time: RECONNECTION_TIME,
            failures: 0,
            connected_before: false,
        }
    }

    /// Follows until the hub ends the stream or nobody receives the reports.
    pub(super) fn run(mut self) {
        while let Ok(Some(wait)) = self.attempt() {
            thread::sleep(wait);
        }
    }

    /// Makes one connection and reports its end. Returns the wait before the next attempt; `None` if
    /// there is none.
    fn attempt(&mut self) -> Result<Option<Duration>, NoReceiver> {
        // Counted before the attempt. The first byte of a stream sets it back to 0.
        self.failures = self.failures.saturating_add(1);
        let (news, wait) = match self.connect()? {
            Outcome::Lost {
                reason,
                retry_after,
            } => {
                let wait = self.backoff(random()).max(retry_after.min(MAX_RETRY_AFTER));
                let is_outage = self.failures == 1;
                let news = News::Lost {
                    reason,
                    wait,
                    is_outage,
                };
                (news, Some(wait))
            }
            Outcome::Refused { reason } => (News::Refused { reason }, None),
            Outcome::Ended => (News::Ended, None),
        };

        self.report(news)?;
        Ok(wait)
    }

    /// Makes one connection and reads it to its end.
    fn connect(&mut self) -> Result<Outcome, NoReceiver> {
        let response = match self.request.send(&self.last_event_id) {
            Ok(response) => response,
            Err(error) => {
                let reason = transport_error(&error, self.silence);
                return Ok(lost(format!(
                    "no answer from {}: {reason}; is the hub running?",
                    self.request.url
                )));
            }
        };

        match response.status() {
            // A page of some other server must not be followed as a stream without events.
            StatusCode::OK if is_event_stream(&response) => self.read(response),
            StatusCode::OK => Ok(Outcome::Refused {
                reason: format!("{} is no event stream; is --url right?", self.request.url),
            }),
            StatusCode::NO_CONTENT => Ok(Outcome::Ended),
            _ => Ok(self.error_outcome(&ErrorAnswer::read(response))),
        }
    }

    fn error_outcome(&self, answer: &ErrorAnswer) -> Outcome {
        let reason = format!("{} answered {answer}", self.request.url);
        if answer.is_temporary() {
            Outcome::Lost {
                reason,
                retry_after: answer.retry_after.unwrap_or_default(),
            }
        } else {
            Outcome::Refused { reason }
        }
    }

    /// Reads a stream to its end.
    fn read(&mut self, response: Response<Body>) -> Result<Outcome, NoReceiver> {
        let mut replayed = match (self.last_event_id.is_empty(), self.connected_before) {
            (true, _) => None,
            (false, false) => Some(Replayed::AfterConnect),
            (false, true) => Some(Replayed::AfterReconnect),
        };
        self.report(News::Connected {
            last_event_id: self.last_event_id.clone(),
            again: self.connected_before,
        })?;
        self.connected_before = true;

        let mut stream = response.into_body().into_reader();
        let mut decoder = Decoder::resuming(self.max_event_len, self.last_event_id.clone());
        let mut piece = vec![0; 16 * 1024];
        let mut has_begun = false;
        let before = (self.reconnection_time, self.failures);
        loop {
            let asked_at = Instant::now();
            let read = stream.read(&mut piece);
            // The pause before the first byte does not end a replay: it has not begun.
            if has_begun && asked_at.elapsed() >= REPLAY_GAP {
                replayed = None;
            }

            let len = match read {
                Ok(0) => return Ok(lost("connection lost: the hub ended it".to_owned())),
                Ok(len) => len,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => {
                    let reason = transport_error(&ureq::Error::Io(error), self.silence);
                    return Ok(lost(format!("connection lost: {reason}")));
                }
            };

            has_begun = true;
            self.failures = 0;
            // On an error, the events before it are still reported.
            let fed = decoder.feed(&piece[..len]);
            while let Some(decoded) = decoder.next() {
                if let Decoded::Message(message) = &decoded
                    && message.event_type == UNAVAILABLE
                {
                    let retry_after = self.reconnection_time;
                    // It was no stream: what was so before holds again.
                    (self.reconnection_time, self.failures) = before;
                    return Ok(self.unavailable(&message.data, retry_after));
                }
                self.handle(decoded, &mut replayed)?;
            }
            decoder.last_event_id().clone_into(&mut self.last_event_id);
            if let Err(error) = fed {
                // The hub would replay the same event to the next connection.
                return Ok(Outcome::Refused {
                    reason: format!("{error}; --max-event-bytes can allow more"),
                });
            }
        }
    }

    /// A refusal within a stream, as a hub sends it to a client that accepts nothing else.
    fn unavailable(&self, document: &str, retry_after: Duration) -> Outcome {
        let reason = Problem::parse(document.as_bytes()).reason();
        let reason = reason.unwrap_or_else(|| "it gave no reason".to_owned());
        Outcome::Lost {
            reason: format!(
                "{} is unavailable: {}",
                self.request.url,
                printable(&reason)
            ),
            retry_after,
        }
    }

    fn handle(
        &mut self,
        decoded: Decoded,
        replayed: &mut Option<Replayed>,
    ) -> Result<(), NoReceiver> {
        match decoded {
            Decoded::Comment(_) => Ok(()),
            Decoded::Retry(millis) => {
                self.reconnection_time = Duration::from_millis(millis).min(MAX_RECONNECTION_TIME);
                Ok(())
            }
            Decoded::Message(message) => {
                if message.event_type == RESYNC {
                    // The hub does not know the last event ID, so it replays nothing.
                    *replayed = None;
                }

                self.report(News::Message {
                    message,
                    replayed: *replayed,
                })
            }
            // Nothing else of a stream is reported.
            _ => Ok(()),
        }
    }

    fn report(&self, news: News) -> Result<(), NoReceiver> {
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let millis = since_1970.map_or(0, |time| {
            i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
        });
        let at = Timestamp::from_millis(millis);
        let key = Arc::clone(&self.key);
        self.reports
            .send(Report { at, key, news })
            .map_err(|_| NoReceiver)
    }

    /// The wait before the next connection: the reconnection time after a stream, and up to twice as
    /// long after each failure. `random` keeps many clients from returning in step.
    fn backoff(&self, random: u32) -> Duration {
        let shortest = self.reconnection_time.max(MIN_RECONNECTION_TIME);
        if self.failures == 0 {
            return shortest;
        }

        // 16 doublings of even the shortest time exceed `MAX_BACKOFF`; 32 would overflow.
        let longest = shortest
            .saturating_mul(1 << self.failures.min(16))
            .min(MAX_BACKOFF.max(shortest));
        let shortest = shortest.max(longest / 2);
        let part = f64::from(random) / f64::from(u32::MAX);
        shortest.saturating_add((longest - shortest).mul_f64(part))
    }
}

fn lost(reason: String) -> Outcome {
    Outcome::Lost {
        reason,
        retry_after: Duration::ZERO,
    }
}

/// A random number that spreads clients which were cut off at the same moment; no secret.
fn random() -> u32 {
    let [a, b, c, d, ..] = RandomState::new().build_hasher().finish().to_ne_bytes();
    u32::from_ne_bytes([a, b, c, d])
}

fn is_event_stream(response: &Response<Body>) -> bool {
    let content_type = response.headers().get(header::CONTENT_TYPE);
    let essence = content_type
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.split(';').next())
        .unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("text/event-stream")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    fn follower(reconnection_time: Duration, failures: u32) -> Follower {
        let key = ResourceKey::new("posts", "1").expect("a key");
        let (reports, _) = mpsc::sync_channel(1);
        let request = StreamRequest {
            agent: ureq::Agent::new_with_defaults(),
            url: String::new(),
            headers: Arc::default(),
        };
        let follower = Follower::new(request, Arc::new(key), String::new(), 100, None, reports);
        Follower {
            reconnection_time,
            failures,
            ..follower
        }
    }

    #[test]
    fn a_stream_that_ended_is_opened_again_after_exactly_the_reconnection_time() {
        for random in [0, u32::MAX] {
            assert_eq!(
                follower(RECONNECTION_TIME, 0).backoff(random),
                RECONNECTION_TIME
            );
        }
        assert_eq!(
            follower(Duration::ZERO, 0).backoff(0),
            MIN_RECONNECTION_TIME
        );
    }

    #[test]
    fn failures_double_the_time_up_to_half_a_minute() {
        let range = |failures| {
            let follower = follower(RECONNECTION_TIME, failures);
            (
                follower.backoff(0).as_millis(),
                follower.backoff(u32::MAX).as_millis(),
            )
        };
        assert_eq!(range(1), (3_000, 6_000));
        assert_eq!(range(2), (6_000, 12_000));
        assert_eq!(range(4), (15_000, 30_000));
        assert_eq!(range(u32::MAX), (15_000, 30_000));
    }

    #[test]
    fn a_reconnection_time_over_the_longest_backoff_is_kept() {
        let hour = Duration::from_secs(3_600);
        assert_eq!(follower(hour, 3).backoff(u32::MAX), hour);
    }

    #[test]
    fn a_hub_cannot_ask_for_more_than_a_day() {
        let day = 24 * 60 * 60 * 1_000;
        for (millis, wait) in [(day - 1, day - 1), (day + 1, day), (u64::MAX, day)] {
            let mut follower = follower(RECONNECTION_TIME, 0);
            let handled = follower.handle(Decoded::Retry(millis), &mut None);
            assert!(handled.is_ok());
            assert_eq!(follower.backoff(u32::MAX), Duration::from_millis(wait));
        }
    }
}
