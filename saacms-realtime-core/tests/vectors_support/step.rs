//! The steps of a case, and what subscribers get in each.

use std::collections::BTreeMap;

use saacms_realtime_core::HubConfig;
use saacms_realtime_core::sse::{Decoded, Decoder};
use serde_json::Value;

use super::contract::Fault;
use super::{count, number, text};

/// A collection slug and record ID.
pub(crate) type Key = (String, String);

/// What each subscriber got, by its name.
pub(crate) type Outs = BTreeMap<String, String>;

pub(crate) const KEEPALIVE: &str = ":keepalive\n\n";

pub(crate) enum Step {
    Publish(String),
    Subscribe {
        name: String,
        key: Key,
        last_event_id: Option<String>,
    },
    /// A response that is never read: an adapter drops its subscription at once (Q41).
    Abandon(Key),
    Cancel(String),
    Advance(u64),
    Jump(i64),
    /// Stops heartbeats, which the plugin and an object can do at any time. A hub cannot.
    Stop,
}

impl Step {
    /// Reads a step. `key` is given if the case is about one record.
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

    /// The posted body.
    pub(crate) fn body(&self) -> Option<&str> {
        if let Self::Publish(body) = self {
            Some(body)
        } else {
            None
        }
    }

    /// The last event ID of a new subscriber.
    pub(crate) fn last_event_id(&self) -> Option<&str> {
        if let Self::Subscribe { last_event_id, .. } = self {
            last_event_id.as_deref()
        } else {
            None
        }
    }
}

/// The result of a step.
#[derive(Default)]
pub(crate) struct Reaction {
    pub(crate) outs: Outs,
    /// Why it was refused; empty if it was not. The hub gives one reason, the reference all
    /// possible ones.
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

/// How a case runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// With exactly the plugin's answers.
    Plugin,
    /// With the defaults: quiet resume, and a greeting for a client that names no last event ID.
    Ours,
}

/// The configuration of a case.
pub(crate) fn hub_config(config: &Value, mode: Mode) -> HubConfig {
    let millis = |name| core::time::Duration::from_millis(count(config, name) as u64);
    let mut hub_config = HubConfig {
        max_events: count(config, "max_events"),
        max_age: millis("max_age_ms"),
        heartbeat: millis("heartbeat_ms"),
        quiet_resume: mode == Mode::Ours,
        greeting: mode == Mode::Ours,
        ..HubConfig::default()
    };

    // Some cases set heartbeats weeks apart to avoid them, beyond the hub's limit.
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

/// Decodes whole frames as a client does.
pub(crate) fn decode(stream: &str) -> Vec<Decoded> {
    let mut decoder = Decoder::new(stream.len());
    decoder
        .feed(stream.as_bytes())
        .expect("no event is longer than the whole stream");
    core::iter::from_fn(|| decoder.next()).collect()
}
