//! The steps of a case, and what subscribers got for one.

use std::collections::BTreeMap;

use saacms_realtime_core::HubConfig;
use saacms_realtime_core::sse::{Decoded, Decoder};
use serde_json::Value;

use super::contract::Fault;
use super::{count, number, text};

/// Collection slug and record ID.
pub(crate) type Key = (String, String);

/// Subscriber to what it got.
pub(crate) type Outs = BTreeMap<String, String>;

pub(crate) const KEEPALIVE: &str = ":keepalive\n\n";

pub(crate) enum Step {
    Publish(String),
    Subscribe {
        name: String,
        key: Key,
        last_event_id: Option<String>,
    },
    /// A response that nobody reads: an adapter drops its subscription at once (Q41).
    Abandon(Key),
    Cancel(String),
    Advance(u64),
    Jump(i64),
    /// Heartbeats off: a plugin and an object can do that, a hub is told by its configuration.
    Stop,
}

impl Step {
    /// Reads a step; `key` is that of a case about one record.
    pub(crate) fn read(step: &Value, key: Option<&Key>) -> Self {
        let key = || match key {
            Some(key) => key.clone(),
            None => (text(step, "slug").to_owned(), text(step, "id").to_owned()),
        };
        match text(step, "op") {
            "publish" => Self::Publish(text(step, "event").to_owned()),
            "subscribe" => Self::Subscribe {
                name: text(step, "sub").to_owned(),
                key: key(),
                last_event_id: step["last_event_id"].as_str().map(str::to_owned),
            },
            "abandon" => Self::Abandon(key()),
            "cancel" => Self::Cancel(text(step, "sub").to_owned()),
            "advance" => Self::Advance(count(step, "ms") as u64),
            "jump" => Self::Jump(number(step, "ms")),
            "stop" => Self::Stop,
            other => panic!("no such step: {other}"),
        }
    }

    /// The body that is posted.
    pub(crate) fn body(&self) -> Option<&str> {
        if let Self::Publish(body) = self {
            Some(body)
        } else {
            None
        }
    }

    /// The ID that a new subscriber names.
    pub(crate) fn last_event_id(&self) -> Option<&str> {
        if let Self::Subscribe { last_event_id, .. } = self {
            last_event_id.as_deref()
        } else {
            None
        }
    }
}

/// What a step led to.
#[derive(Default)]
pub(crate) struct Reaction {
    pub(crate) outs: Outs,
    /// Why it was refused; empty where it was not. One, from the hub; all that would do, from the
    /// reference.
    pub(crate) refusals: Vec<Fault>,
}

impl Reaction {
    pub(crate) fn refused(refusals: Vec<Fault>) -> Self {
        Self {
            refusals,
            ..Self::default()
        }
    }
}

/// The configuration that a case asks for.
pub(crate) fn hub_config(config: &Value, quiet_resume: bool) -> HubConfig {
    let millis = |name| core::time::Duration::from_millis(count(config, name) as u64);
    let mut hub_config = HubConfig {
        max_events: count(config, "max_events"),
        max_age: millis("max_age_ms"),
        heartbeat: millis("heartbeat_ms"),
        quiet_resume,
        ..HubConfig::default()
    };
    // Some cases keep heartbeats out of the way by weeks; the hub takes no more than its limit.
    if let Err(error) = hub_config.check()
        && error.setting == "heartbeat"
    {
        let allowed = error
            .value
            .clamp(*error.allowed.start(), *error.allowed.end());
        hub_config.heartbeat = core::time::Duration::from_millis(allowed);
    }
    hub_config
}

/// What a client makes of whole frames.
pub(crate) fn decode(stream: &str) -> Vec<Decoded> {
    let mut decoder = Decoder::new(stream.len());
    decoder
        .feed(stream.as_bytes())
        .expect("no event is longer than the whole stream");
    core::iter::from_fn(|| decoder.next()).collect()
}
