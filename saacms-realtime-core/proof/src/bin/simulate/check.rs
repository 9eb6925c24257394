//! Reads what a hub wrote and checks that the reference allows it.

use saacms_realtime_core::{HubConfig, Now, ResyncReason, Timestamp};

use crate::life::{Life, Place, ResyncId};
use crate::reference::Reference;

/// One stream as the reference sees it.
#[derive(Debug)]
pub(crate) struct Expected {
    pub(crate) record: usize,
    /// Where the stream may be. More than one place, if the hub may have freed events or not.
    pub(crate) places: Vec<Place>,
    /// Where a client begins that named no last event ID, if the hub tells it.
    pub(crate) greeting: Option<String>,
    keep_alive_at: Option<u64>,
    has_ended: bool,
}

/// One block of a stream. A hub may hand out several in one piece.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Block {
    KeepAlive,
    Greeting,
    Event { number: u64 },
    Resync { reason: ResyncReason, is_time: bool },
    Retry { millis: u64 },
}

/// The part of a piece that has been read.
#[derive(Default)]
struct Reading {
    blocks: Vec<Block>,
    is_named_by_time: bool,
}

impl Expected {
    pub(crate) fn new(record: usize, places: Vec<Place>, greeting: Option<String>) -> Self {
        Self {
            record,
            places,
            greeting,
            keep_alive_at: Some(0),
            has_ended: false,
        }
    }

    /// Checks a piece that the hub handed out; returns its blocks.
    pub(crate) fn frames(
        &mut self,
        reference: &mut Reference,
        bytes: &[u8],
        now: Now,
    ) -> Result<Vec<Block>, String> {
        if self.has_ended {
            return Err("a stream continued after its end".into());
        }
        let (now, wall) = (now.instant.as_millis(), now.wall);
        let text = str::from_utf8(bytes).map_err(|error| error.to_string())?;

        // The piece must be right for one of the places. It rules out the others.
        let mut read: Option<Reading> = None;
        let (mut places, mut wrong) = (Vec::new(), String::new());
        for place in &self.places {
            match self.read(reference, text, *place, now, wall) {
                Ok((place, reading)) => {
                    places.push(place);
                    read.get_or_insert(reading);
                }
                Err(error) => wrong = error,
            }
        }
        let Some(read) = read else { return Err(wrong) };
        places.dedup();
        self.places = places;

        // The plugin's name of a resync is the current time: no later event may have it.
        if read.is_named_by_time {
            let life = reference.life_mut(self.record);
            life.latest_time = life.latest_time.max(wall.as_millis());
        }

        // A reconnection time is the last block of a stream.
        self.greeting = None;
        self.has_ended = matches!(read.blocks.last(), Some(Block::Retry { .. }));
        let heartbeat = reference.config.heartbeat.as_millis() as u64;
        self.keep_alive_at = (heartbeat > 0).then_some(now + heartbeat);

        Ok(read.blocks)
    }

    /// Checks that the stream may be idle, and until when.
    pub(crate) fn idle(
        &mut self,
        reference: &mut Reference,
        wake_at: Option<u64>,
        shares_timers: bool,
        now: u64,
    ) -> Result<(), String> {
        let next = reference.life_mut(self.record).next();
        if self.has_ended || reference.is_draining {
            return Err("a stream is idle where it must end".into());
        }
        if !self.places.contains(&Place::At(next)) {
            return Err(format!(
                "a stream at {:?} is idle, and {next} is next",
                self.places
            ));
        }
        self.places = vec![Place::At(next)];

        let is_right = if shares_timers {
            // All streams of the lane share one timer: the earliest deadline, each rounded up to a
            // 128th of its interval.
            let beat = (reference.config.heartbeat.as_millis() as u64 / 128).max(1);
            let latest = self.keep_alive_at.map(|due| due.div_ceil(beat) * beat);
            wake_at.is_some() == latest.is_some() && wake_at <= latest
        } else {
            wake_at == self.keep_alive_at
        };

        if !is_right || wake_at.is_some_and(|due| due <= now) {
            return Err(format!(
                "its heartbeat is due at {wake_at:?}, not {:?}",
                self.keep_alive_at
            ));
        }
        Ok(())
    }

    /// Checks that the stream may end: it was given a reconnection time.
    pub(crate) fn end(&self) -> Result<(), String> {
        if self.has_ended {
            Ok(())
        } else {
            Err("a stream ended without a reason".into())
        }
    }

    /// Reads a piece for a stream that is at `from`; returns where the stream is after it.
    fn read(
        &self,
        reference: &Reference,
        text: &str,
        from: Place,
        now: u64,
        wall: Timestamp,
    ) -> Result<(Place, Reading), String> {
        let config = &reference.config;
        let life = reference.life(self.record);
        let (mut rest, mut place, mut reading) = (text, from, Reading::default());

        // A keep-alive that is due goes before everything else.
        if self.keep_alive_at.is_some_and(|due| due <= now) {
            rest = reading.keep_alive(rest, self.greeting.as_deref())?;
        } else if rest.is_empty() {
            return Err("an empty piece was handed out".into());
        }

        while !rest.is_empty() {
            if let Some(reason) = reason_for_resync(life, place, rest) {
                let allowed = life.resync_id(config, now);
                rest = reading.resync(rest, reason, &allowed, wall)?;
                place = Place::At(life.next());
                continue;
            }

            // A lost place always has a reason.
            let Place::At(number) = place else { continue };
            if number == life.next() {
                // Nothing waits, so the stream may only be at its end.
                if !reference.is_draining {
                    return Err(format!("nothing was due: {rest:.200}"));
                }
                reading.retry(rest, config)?;
                break;
            }

            rest = reading.event(rest, number, life)?;
            place = Place::At(number + 1);
        }

        Ok((place, reading))
    }
}

/// Each method reads one block and returns the text after it.
impl Reading {
    fn keep_alive<'a>(&mut self, text: &'a str, greeting: Option<&str>) -> Result<&'a str, String> {
        let rest = strip(text, ":keepalive\n\n")?;
        self.blocks.push(Block::KeepAlive);
        let Some(position) = greeting else {
            return Ok(rest);
        };

        let rest = strip(strip(rest, "id: ")?, position)?;
        let rest = strip(rest, "\n\n")?;
        self.blocks.push(Block::Greeting);
        Ok(rest)
    }

    fn resync<'a>(
        &mut self,
        text: &'a str,
        reason: ResyncReason,
        allowed: &ResyncId,
        wall: Timestamp,
    ) -> Result<&'a str, String> {
        let (id, data) = block(text, "saacms-resync")?;
        let is_time = allowed.id.as_deref() != Some(id);
        if is_time && !(allowed.is_time && id == wall.to_string()) {
            return Err(format!("a resync is called {id}, not {allowed:?}"));
        }
        self.is_named_by_time |= is_time;

        let rest = strip(data, &format!("{{\"reason\":\"{reason}\"}}\n\n"))?;
        self.blocks.push(Block::Resync { reason, is_time });
        Ok(rest)
    }

    fn event<'a>(&mut self, text: &'a str, number: u64, life: &Life) -> Result<&'a str, String> {
        let event = life
            .event(number)
            .ok_or("an event of a gap was delivered")?;
        let (id, data) = block(text, event.kind)?;
        if event.id != id {
            return Err(format!("event {number} is called {id}, not {}", event.id));
        }

        let rest = strip(strip(data, &event.data)?, "\n\n")?;
        self.blocks.push(Block::Event { number });
        Ok(rest)
    }

    /// Reads the last block of a stream.
    fn retry(&mut self, text: &str, config: &HubConfig) -> Result<(), String> {
        let digits = strip(text, "retry: ")?
            .strip_suffix("\n\n")
            .ok_or("no retry")?;
        let millis: u64 = digits.parse().map_err(|_| format!("retry: {digits}"))?;

        // Jittered: 1 to 4 times what is configured.
        let least = config.drain_retry.as_millis() as u64;
        if !(least..=4 * least).contains(&millis) {
            return Err(format!(
                "asked to wait {millis} ms, where {least} is configured"
            ));
        }
        self.blocks.push(Block::Retry { millis });
        Ok(())
    }
}

/// Why the next block of a stream at this place must be a resync; `None` if it must not.
fn reason_for_resync(life: &Life, place: Place, text: &str) -> Option<ResyncReason> {
    let is_resync = text.starts_with("event: saacms-resync\n");
    match place {
        Place::Lost(reason) => Some(reason),
        Place::At(number) if life.is_gone(number) => Some(life.reason_for_resync(number)),
        // The hub may have freed this event to save memory: the stream shows whether it did.
        Place::At(number) if is_resync && life.is_unsure(number) => {
            Some(life.reason_for_resync(number))
        }
        Place::At(_) => None,
    }
}

/// The ID of a frame of this type, and the text from its data on.
fn block<'a>(text: &'a str, kind: &str) -> Result<(&'a str, &'a str), String> {
    let rest = strip(strip(strip(text, "event: ")?, kind)?, "\nid: ")?;
    let (id, rest) = rest.split_once('\n').ok_or("an ID without an end")?;
    Ok((id, strip(rest, "data: ")?))
}

fn strip<'a>(text: &'a str, start: &str) -> Result<&'a str, String> {
    text.strip_prefix(start)
        .ok_or_else(|| format!("expected {start:.80}, found {text:.200}"))
}
