//! One record's stream, over as many connections as it takes.

use core::hash::{BuildHasher as _, Hasher as _};
use core::time::Duration;
use std::hash::RandomState;
use std::io::{ErrorKind, Read as _};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::thread;
use std::time::{Instant, SystemTime};

use saacms_realtime_core::name::{RESYNC, ResourceKey};
use saacms_realtime_core::sse::{Decoded, Decoder, Message};
use saacms_realtime_core::time::Timestamp;
use ureq::Body;
use ureq::http::{HeaderValue, Response, StatusCode, header};

use crate::client::{Refusal, percent_encoded, transport_error};

/// The reconnection time of a stream that names none.
const RECONNECTION_TIME: Duration = Duration::from_secs(3);

/// The shortest one: a hub that says `retry: 0` and ends must not keep a processor busy.
const MIN_RECONNECTION_TIME: Duration = Duration::from_millis(50);

/// Up to where the time between failures grows.
const MAX_BACKOFF: Duration = Duration::from_secs(30);

/// The longest time that a hub can ask to wait.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(600);

/// A replay is written in one go: after this much silence it is over.
const QUIET: Duration = Duration::from_secs(1);

/// Something to tell about a record.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) at: Timestamp,
    pub(super) key: Arc<ResourceKey>,
    pub(super) what: What,
}

#[derive(Debug)]
pub(super) enum What {
    /// The stream began, with this last event ID.
    Connected { last_event_id: String },
    /// There is no stream; another is tried after `wait`.
    Lost { reason: String, wait: Duration },
    /// The hub wants no reconnect.
    Ended,
    /// There is no use in another try.
    Refused { reason: String },
    /// An event, or a resync.
    Message {
        message: Message,
        replayed: Option<Replayed>,
    },
}

/// Why an event may be one that the hub kept, as far as it can be known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Replayed {
    /// It came at once after a first connection that named a last event ID.
    AfterConnect,
    /// It came at once after a reconnect.
    AfterReconnect,
}

/// Follows one record and reports.
#[derive(Debug)]
pub(super) struct Follower {
    agent: ureq::Agent,
    url: String,
    key: Arc<ResourceKey>,
    last_event_id: String,
    max_event_len: usize,
    silence: Option<Duration>,
    reports: SyncSender<Item>,
    reconnection_time: Duration,
    /// Tries since something was heard of the hub.
    failures: u32,
    connected_before: bool,
}

/// Why a connection is over.
enum End {
    /// Try again; not before the hub's `Retry-After`, where it named one.
    Lost {
        reason: String,
        retry_after: Duration,
    },
    Refused {
        reason: String,
    },
    Ended,
    /// Nobody listens to the reports.
    Unheard,
}

impl Follower {
    pub(super) fn new(
        agent: ureq::Agent,
        url: String,
        key: Arc<ResourceKey>,
        last_event_id: String,
        max_event_len: usize,
        silence: Option<Duration>,
        reports: SyncSender<Item>,
    ) -> Self {
        Self {
            agent,
            url,
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

    /// Follows until the hub ends it or nobody listens any more.
    pub(super) fn run(mut self) {
        loop {
            self.failures = self.failures.saturating_add(1);
            let what = match self.connect() {
                End::Lost {
                    reason,
                    retry_after,
                } => {
                    let wait = self.backoff(random()).max(retry_after.min(MAX_RETRY_AFTER));
                    What::Lost { reason, wait }
                }
                End::Refused { reason } => What::Refused { reason },
                End::Ended => What::Ended,
                End::Unheard => return,
            };
            let wait = if let What::Lost { wait, .. } = what {
                Some(wait)
            } else {
                None
            };
            if self.report(what).is_err() {
                return;
            }
            match wait {
                Some(wait) => thread::sleep(wait),
                None => return,
            }
        }
    }

    /// One connection, from its request to its end.
    fn connect(&mut self) -> End {
        let response = match self.request() {
            Ok(response) => response,
            Err(error) => {
                let reason = transport_error(&error, self.silence);
                return lost(format!(
                    "no answer from {}: {reason}; is the hub running?",
                    self.url
                ));
            }
        };
        match response.status() {
            StatusCode::OK if is_event_stream(&response) => match self.read(response) {
                Ok(end) | Err(end) => end,
            },
            StatusCode::OK => End::Refused {
                reason: format!("{} is no event stream; is --url right?", self.url),
            },
            StatusCode::NO_CONTENT => End::Ended,
            _ => {
                let refusal = Refusal::read(response);
                let reason = format!("{} answered {refusal}", self.url);
                if refusal.is_temporary() {
                    let retry_after = refusal.retry_after.unwrap_or_default();
                    End::Lost {
                        reason,
                        retry_after,
                    }
                } else {
                    End::Refused { reason }
                }
            }
        }
    }

    fn request(&self) -> Result<Response<Body>, ureq::Error> {
        let mut url = self.url.clone();
        let mut last_event_id = None;
        if !self.last_event_id.is_empty() {
            // An ID with a control character cannot be a header's value.
            match HeaderValue::from_bytes(self.last_event_id.as_bytes()) {
                Ok(value) => last_event_id = Some(value),
                Err(_) => {
                    url.push_str("?lastEventId=");
                    url.push_str(&percent_encoded(&self.last_event_id));
                }
            }
        }
        let mut request = self
            .agent
            .get(url)
            .header(header::ACCEPT, "text/event-stream")
            .header(header::CACHE_CONTROL, "no-cache");
        if let Some(id) = last_event_id {
            request = request.header("Last-Event-ID", id);
        }
        request.call()
    }

    /// Reads a stream to its end.
    fn read(&mut self, response: Response<Body>) -> Result<End, End> {
        let mut replayed = match (self.last_event_id.is_empty(), self.connected_before) {
            (true, _) => None,
            (false, false) => Some(Replayed::AfterConnect),
            (false, true) => Some(Replayed::AfterReconnect),
        };
        self.connected_before = true;
        self.report(What::Connected {
            last_event_id: self.last_event_id.clone(),
        })?;

        let mut stream = response.into_body().into_reader();
        let mut decoder = Decoder::resuming(self.max_event_len, self.last_event_id.clone());
        let mut piece = vec![0; 16 * 1024];
        let mut any = false;
        loop {
            let asked = Instant::now();
            let read = stream.read(&mut piece);
            if any && asked.elapsed() >= QUIET {
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
            any = true;
            self.failures = 0;
            let fed = decoder.feed(&piece[..len]);
            while let Some(decoded) = decoder.next() {
                self.take(decoded, &mut replayed)?;
            }
            decoder.last_event_id().clone_into(&mut self.last_event_id);
            if let Err(error) = fed {
                // The hub keeps the event, so the next connection would end here too.
                return Ok(End::Refused {
                    reason: format!("{error}; --max-event-bytes can allow more"),
                });
            }
        }
    }

    fn take(&mut self, decoded: Decoded, replayed: &mut Option<Replayed>) -> Result<(), End> {
        match decoded {
            Decoded::Comment(_) => Ok(()),
            Decoded::Retry(millis) => {
                self.reconnection_time = Duration::from_millis(millis);
                Ok(())
            }
            Decoded::Message(message) => {
                if message.event_type == RESYNC {
                    // The hub did not find the last event ID, so there is nothing to replay.
                    *replayed = None;
                }
                self.report(What::Message {
                    message,
                    replayed: *replayed,
                })
            }
            // Fields that a later decoder reads are of no use here.
            _ => Ok(()),
        }
    }

    fn report(&self, what: What) -> Result<(), End> {
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let millis = since_1970.map_or(0, |time| {
            i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
        });
        let at = Timestamp::from_millis(millis);
        let key = Arc::clone(&self.key);
        self.reports
            .send(Item { at, key, what })
            .map_err(|_| End::Unheard)
    }

    /// How long to wait for the next connection: the reconnection time after a stream, up to twice
    /// as much after each failure. `random` keeps many clients from coming back in step.
    fn backoff(&self, random: u32) -> Duration {
        let shortest = self.reconnection_time.max(MIN_RECONNECTION_TIME);
        if self.failures == 0 {
            return shortest;
        }
        let longest = shortest
            .saturating_mul(1 << self.failures.min(16))
            .min(MAX_BACKOFF.max(shortest));
        let shortest = shortest.max(longest / 2);
        let part = f64::from(random) / f64::from(u32::MAX);
        shortest.saturating_add((longest - shortest).mul_f64(part))
    }
}

fn lost(reason: String) -> End {
    End::Lost {
        reason,
        retry_after: Duration::ZERO,
    }
}

/// Anything: it only spreads clients that were cut at the same moment.
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
        let agent = ureq::Agent::new_with_defaults();
        let url = String::new();
        let follower = Follower::new(agent, url, Arc::new(key), String::new(), 100, None, reports);
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
    fn a_reconnection_time_over_the_limit_is_the_hubs_wish() {
        let hour = Duration::from_secs(3_600);
        assert_eq!(follower(hour, 3).backoff(u32::MAX), hour);
        let forever = Duration::from_millis(u64::MAX);
        assert_eq!(follower(forever, 9).backoff(u32::MAX), forever);
    }
}
