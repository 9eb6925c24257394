//! The contract as the simplest possible program: a list of everything ever published.

use std::collections::BTreeMap;

use saacms_realtime_core::HubConfig;

use super::contract::{Fault, Wrong};
use super::contract::{Posted, key_part_faults, read, time_id, without_blanks};
use super::stage::START;
use super::step::{KEEPALIVE, Key, Outs, Reaction, Step};

/// All records and their readers.
pub(crate) struct Reference {
    rules: Rules,
    topics: BTreeMap<Key, Topic>,
    readers: BTreeMap<String, Reader>,
    /// The sequence of the next event of any record.
    next_sequence: u64,
    now: Clocks,
}

#[derive(Clone, Copy)]
struct Rules {
    max_events: usize,
    max_age: u64,
    heartbeat: u64,
    quiet_resume: bool,
    greeting: bool,
}

#[derive(Clone, Copy)]
struct Clocks {
    monotonic: u64,
    wall: i64,
}

struct Reader {
    key: Key,
    written_at: u64,
}

impl Reference {
    pub(crate) fn new(config: &HubConfig, start_ms: i64) -> Self {
        let rules = Rules {
            max_events: config.max_events,
            max_age: config.max_age.as_millis() as u64,
            heartbeat: config.heartbeat.as_millis() as u64,
            quiet_resume: config.quiet_resume,
            greeting: config.greeting,
        };
        let now = Clocks {
            monotonic: START,
            wall: start_ms,
        };

        Self {
            rules,
            topics: BTreeMap::new(),
            readers: BTreeMap::new(),
            next_sequence: 1,
            now,
        }
    }

    pub(crate) fn apply(&mut self, step: &Step) -> Reaction {
        let outs = match step {
            Step::Publish(body) => match read(body.as_bytes()) {
                reading if !reading.faults.is_empty() => return Reaction::refused(reading.faults),
                reading => self.publish(&reading.event.expect("an event without faults")),
            },
            Step::Subscribe {
                name,
                key,
                last_event_id,
            } => {
                let faults = key_faults(key);
                if !faults.is_empty() {
                    return Reaction::refused(faults);
                }
                self.subscribe(name, key, last_event_id.as_deref())
            }
            Step::Abandon(_) | Step::Stop => Outs::new(),
            Step::Cancel(name) => {
                self.readers.remove(name);
                Outs::new()
            }
            Step::Advance(millis) => self.advance(*millis),
            Step::Jump(millis) => {
                self.now.wall += millis;
                Outs::new()
            }
        };
        Reaction {
            outs,
            refusals: Vec::new(),
        }
    }

    pub(crate) fn subscribers(&self) -> usize {
        self.readers.len()
    }

    pub(crate) fn heartbeat_is_on(&self) -> bool {
        self.rules.heartbeat > 0 && !self.readers.is_empty()
    }

    /// The IDs of all events of a record, evicted or not.
    pub(crate) fn ids(&self, key: &Key) -> Vec<&str> {
        let topic = self.topics.get(key);
        topic
            .into_iter()
            .flat_map(|topic| &topic.past)
            .map(|event| event.id.as_str())
            .collect()
    }

    /// The ID of the last event that was evicted.
    pub(crate) fn evicted_last(&self, key: &Key) -> Option<&str> {
        let topic = self.topics.get(key)?;
        let before_window = topic.window(&self.rules, self.now).checked_sub(1)?;
        Some(&topic.past[before_window].id)
    }

    /// The place after all events.
    pub(crate) fn place(&self) -> String {
        position(self.next_sequence - 1)
    }

    /// Whether any event of this record ever had this ID.
    pub(crate) fn has_given(&self, key: &Key, id: &str) -> bool {
        self.topics
            .get(key)
            .is_some_and(|topic| topic.past.iter().any(|event| event.id == id))
    }

    /// Whether this time is the ID of an event to which the plugin gave an earlier time.
    pub(crate) fn has_moved(&self, key: &Key, id: &str) -> bool {
        self.topics
            .get(key)
            .is_some_and(|topic| topic.moved_times.contains_key(id))
    }

    /// Whether the output is the golden one, except for the time IDs of events: the plugin gives
    /// the same one to all events of a millisecond (Q01).
    pub(crate) fn is_golden(&self, actual: &Outs, golden: &Outs) -> bool {
        let same_line = |topic: &Topic, actual: &str, golden: &str| {
            let of_plugin = |id| topic.moved_times.get(id).map(String::as_str);
            let ids = actual.strip_prefix("id: ").zip(golden.strip_prefix("id: "));
            actual == golden || ids.is_some_and(|(ours, golden)| of_plugin(ours) == Some(golden))
        };
        let same_out = |name: &String, actual: &str, golden: &str| {
            let topic = &self.topics[&self.readers[name].key];
            let mut lines = actual.split('\n').zip(golden.split('\n'));
            actual.matches('\n').count() == golden.matches('\n').count()
                && lines.all(|(actual, golden)| same_line(topic, actual, golden))
        };

        actual.keys().eq(golden.keys())
            && actual
                .iter()
                .all(|(name, out)| same_out(name, out, &golden[name]))
    }

    fn publish(&mut self, event: &Posted) -> Outs {
        let topic = self.topics.entry(event.key.clone()).or_default();
        let id = event
            .etag
            .clone()
            .unwrap_or_else(|| topic.time_or_position(self.now.wall, self.next_sequence));
        let frame = event.frame(&id);

        topic.past.push(Past {
            id,
            sequence: self.next_sequence,
            frame: frame.clone(),
            at: self.now.monotonic,
        });

        self.next_sequence += 1;
        let mut outs = Outs::new();
        for (name, reader) in &mut self.readers {
            if reader.key == event.key {
                reader.written_at = self.now.monotonic;
                outs.insert(name.clone(), frame.clone());
            }
        }

        outs
    }

    fn subscribe(&mut self, name: &str, key: &Key, last_event_id: Option<&str>) -> Outs {
        let place = self.place();
        let topic = self.topics.entry(key.clone()).or_default();
        let answer = match last_event_id {
            Some(id) => topic.answer(
                without_blanks(id),
                &self.rules,
                self.now,
                self.next_sequence,
            ),
            None if self.rules.greeting => greeting(&place),
            None => String::new(),
        };
        let reader = Reader {
            key: key.clone(),
            written_at: self.now.monotonic,
        };
        self.readers.insert(name.to_owned(), reader);
        Outs::from([(name.to_owned(), format!("{KEEPALIVE}{answer}"))])
    }

    /// Advances both clocks. A stream that was silent for a heartbeat gets a keep-alive.
    fn advance(&mut self, millis: u64) -> Outs {
        self.now.monotonic += millis;
        self.now.wall += millis as i64;
        let mut outs = Outs::new();
        for (name, reader) in &mut self.readers {
            let silent = self.now.monotonic - reader.written_at;
            let ticks = silent.checked_div(self.rules.heartbeat).unwrap_or(0);
            reader.written_at += ticks * self.rules.heartbeat;
            if ticks > 0 {
                outs.insert(name.clone(), KEEPALIVE.repeat(ticks as usize));
            }
        }
        outs
    }
}

/// Why a key is not valid.
pub(crate) fn key_faults((slug, id): &Key) -> Vec<Fault> {
    let mut faults = key_part_faults("slug", slug, 128);
    faults.extend(key_part_faults("id", id, 512));
    faults.extend(
        slug.contains([':', '/'])
            .then_some(Fault::Member("slug", Wrong::Separator)),
    );
    faults
}

#[derive(Default)]
struct Topic {
    past: Vec<Past>,
    latest_time: Option<i64>,
    /// Positions that stand for a time already handed out, with that time.
    moved_times: BTreeMap<String, String>,
}

struct Past {
    id: String,
    sequence: u64,
    frame: String,
    at: u64,
}

/// What follows the first keep-alive of a client that names no last event ID.
pub(crate) fn greeting(place: &str) -> String {
    format!("id: {place}\n\n")
}

/// A position of the hub of these tests, whose seed is 42.
pub(crate) fn position(sequence: u64) -> String {
    format!("{:016x}.{sequence}", 42)
}

impl Topic {
    /// The index at which the replay window begins.
    fn window(&self, rules: &Rules, now: Clocks) -> usize {
        let fresh = |event: &&Past| now.monotonic - event.at <= rules.max_age;
        let fresh = self
            .past
            .iter()
            .rev()
            .take(rules.max_events)
            .take_while(fresh)
            .count();
        self.past.len() - fresh
    }

    fn answer(&mut self, id: &str, rules: &Rules, now: Clocks, next_sequence: u64) -> String {
        let window = self.window(rules, now);
        let by_text = self.first_unseen(id, window, rules.quiet_resume);
        match by_text.or_else(|| self.first_after(id, window, next_sequence)) {
            Some(from) => self.past[from..]
                .iter()
                .map(|event| event.frame.as_str())
                .collect(),
            None => {
                let id = self.resync_id(window, rules.quiet_resume, now.wall, next_sequence);
                format!("event: saacms-resync\nid: {id}\ndata: {{\"reason\":\"buffer-miss\"}}\n\n")
            }
        }
    }

    fn first_unseen(&self, id: &str, window: usize, quiet_resume: bool) -> Option<usize> {
        if let Some(oldest_copy) = self.past[window..].iter().position(|event| event.id == id) {
            return Some(window + oldest_copy + 1);
        }
        let evicted_last = window
            .checked_sub(1)
            .map(|last| self.past[last].id.as_str());
        (quiet_resume && evicted_last == Some(id)).then_some(window)
    }

    /// The index of the first event after a position, if none of those has left the window.
    fn first_after(&self, id: &str, window: usize, next_sequence: u64) -> Option<usize> {
        let sequence = (0..next_sequence).find(|sequence| position(*sequence) == id)?;
        let from = self
            .past
            .iter()
            .take_while(|event| event.sequence <= sequence);
        let from = from.count();
        (from >= window).then_some(from)
    }

    /// The newest ID, or the place after all events. Without quiet resume the newest one that can be
    /// replayed, or the current time, which no event gets later.
    fn resync_id(
        &mut self,
        window: usize,
        quiet_resume: bool,
        wall: i64,
        next_sequence: u64,
    ) -> String {
        if !quiet_resume && window == self.past.len() {
            self.latest_time = self.latest_time.max(Some(wall));
            return time_id(wall);
        }
        let newest = self.past.last().map(|event| event.id.clone());
        newest.unwrap_or_else(|| position(next_sequence - 1))
    }

    /// The current time, if that and all later ones were never handed out; otherwise a position.
    fn time_or_position(&mut self, wall: i64, sequence: u64) -> String {
        if self.latest_time.is_none_or(|latest| latest < wall) {
            self.latest_time = Some(wall);
            return time_id(wall);
        }
        self.moved_times.insert(position(sequence), time_id(wall));
        position(sequence)
    }
}
