//! Reads what a hub wrote and says whether the reference allows it.

use crate::life::Place;
use crate::reference::Reference;
use saacms_realtime_core::{Now, ResyncReason, Timestamp};

/// One stream as the reference sees it.
#[derive(Debug)]
pub(crate) struct Expected {
    pub(crate) record: usize,
    pub(crate) places: Vec<Place>,
    /// With position IDs: where a client begins that named no last event ID.
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

#[derive(Default)]
struct Reading {
    blocks: Vec<Block>,
    /// Times of events that no stream had carried yet.
    learned: Vec<(u64, String)>,
    marker: Option<String>,
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
        for (number, id) in read.learned {
            reference.record_time(self.record, &id)?;
            if let Some(event) = reference.life(self.record).event_mut(number) {
                event.id = Some(id);
            }
        }
        if let Some(id) = read.marker
            && reference.record_marker(self.record, &id, wall)?
        {
            reference.record_time(self.record, &id)?;
        }
        self.greeting = None;
        self.has_ended = matches!(read.blocks.last(), Some(Block::Retry { .. }));
        let heartbeat = reference.config.heartbeat.as_millis() as u64;
        self.keep_alive_at = (heartbeat > 0).then_some(now + heartbeat);
        Ok(read.blocks)
    }

    pub(crate) fn idle(
        &mut self,
        reference: &mut Reference,
        wake_at: Option<u64>,
        shares_timers: bool,
        now: u64,
    ) -> Result<(), String> {
        let next = reference.life(self.record).next();
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

    pub(crate) fn end(&self) -> Result<(), String> {
        if self.has_ended {
            Ok(())
        } else {
            Err("a stream ended without a reason".into())
        }
    }

    fn read(
        &self,
        reference: &Reference,
        text: &str,
        from: Place,
        now: u64,
        wall: Timestamp,
    ) -> Result<(Place, Reading), String> {
        let config = reference.config;
        let is_draining = reference.is_draining;
        let life = reference.known(self.record);
        let (mut rest, mut place, mut reading) = (text, from, Reading::default());
        if self.keep_alive_at.is_some_and(|due| due <= now) {
            rest = strip(rest, ":keepalive\n\n")?;
            reading.blocks.push(Block::KeepAlive);
            if let Some(position) = &self.greeting {
                rest = strip(strip(rest, "id: ")?, position)?;
                rest = strip(rest, "\n\n")?;
                reading.blocks.push(Block::Greeting);
            }
        } else if rest.is_empty() {
            return Err("an empty piece was handed out".into());
        }
        while !rest.is_empty() {
            let is_resync = rest.starts_with("event: saacms-resync\n");
            let reason = match place {
                Place::Lost(reason) => Some(reason),
                Place::At(number) if life.is_gone(number) => Some(life.reason_for_resync(number)),
                Place::At(number) if is_resync && life.is_unsure(number) => {
                    Some(life.reason_for_resync(number))
                }
                Place::At(_) => None,
            };
            if let Some(reason) = reason {
                let (id, data) = block(rest, "saacms-resync")?;
                let allowed = life.resync_id(&config, now);
                let known = allowed.event.and_then(|number| life.event(number));
                let fits = match known.and_then(|event| event.id.as_deref()) {
                    Some(known) => known == id,
                    // The newest event may be one that no stream has carried yet; or it is the
                    // current time.
                    None if allowed.marker && id == wall.to_string() => false,
                    None if known.is_some() => {
                        reading
                            .learned
                            .extend(allowed.event.map(|number| (number, id.to_owned())));
                        true
                    }
                    None => allowed.position.as_deref() == Some(id),
                };
                if !fits {
                    if !allowed.marker {
                        return Err(format!("a resync is called {id}, not {allowed:?}"));
                    }
                    reading.marker = Some(id.to_owned());
                }
                rest = strip(data, &format!("{{\"reason\":\"{reason}\"}}\n\n"))?;
                let is_time = reading.marker.is_some();
                reading.blocks.push(Block::Resync { reason, is_time });
                place = Place::At(life.next());
                continue;
            }
            let Place::At(number) = place else { continue };
            if number == life.next() {
                if !is_draining {
                    return Err(format!("nothing was due: {rest:.200}"));
                }
                let digits = strip(rest, "retry: ")?
                    .strip_suffix("\n\n")
                    .ok_or("no retry")?;
                let millis: u64 = digits.parse().map_err(|_| format!("retry: {digits}"))?;
                let least = config.drain_retry.as_millis() as u64;
                if !(least..=4 * least).contains(&millis) {
                    return Err(format!(
                        "asked to wait {millis} ms, where {least} is configured"
                    ));
                }
                reading.blocks.push(Block::Retry { millis });
                break;
            }
            let event = life
                .event(number)
                .ok_or("an event of a gap was delivered")?;
            let (id, data) = block(rest, event.kind)?;
            match &event.id {
                Some(known) if known != id => {
                    return Err(format!("event {number} is called {id}, not {known}"));
                }
                Some(_) => {}
                None => reading.learned.push((number, id.to_owned())),
            }
            rest = strip(strip(data, &event.data)?, "\n\n")?;
            reading.blocks.push(Block::Event { number });
            place = Place::At(number + 1);
        }
        Ok((place, reading))
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
