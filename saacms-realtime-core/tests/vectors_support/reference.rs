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
    now: Clocks,
}

#[derive(Clone, Copy)]
struct Rules {
    max_events: usize,
    max_age: u64,
    heartbeat: u64,
    quiet_resume: bool,
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
        };
        let now = Clocks {
            monotonic: START,
            wall: start_ms,
        };

        Self {
            rules,
            topics: BTreeMap::new(),
            readers: BTreeMap::new(),
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

    /// Whether any event or resync of this record ever had this ID.
    pub(crate) fn has_given(&self, key: &Key, id: &str) -> bool {
        self.topics.get(key).is_some_and(|topic| {
            topic.past.iter().any(|event| event.id == id)
                || topic.marks.iter().any(|mark| mark.id == id)
        })
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
            .unwrap_or_else(|| topic.unused_time(self.now.wall));
        let frame = event.frame(&id);

        topic.past.push(Past {
            id,
            frame: frame.clone(),
            at: self.now.monotonic,
        });

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
        let topic = self.topics.entry(key.clone()).or_default();
        let answer = last_event_id.map_or_else(String::new, |id| {
            topic.answer(without_blanks(id), &self.rules, self.now)
        });
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
    marks: Vec<Mark>,
    latest_time: Option<i64>,
    /// Time IDs that replaced a time already handed out, with the time that they replaced.
    moved_times: BTreeMap<String, String>,
}

struct Past {
    id: String,
    frame: String,
    at: u64,
}

/// A marker: the time ID of a resync, which names a place between two events.
struct Mark {
    id: String,
    place: usize,
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

    fn answer(&mut self, id: &str, rules: &Rules, now: Clocks) -> String {
        let window = self.window(rules, now);
        match self.first_unseen(id, window, rules.quiet_resume) {
            Some(from) if from >= window => self.past[from..]
                .iter()
                .map(|event| event.frame.as_str())
                .collect(),
            Some(_) | None => {
                let id = self.resync_id(window, rules.quiet_resume, now.wall);
                format!("event: saacms-resync\nid: {id}\ndata: {{\"reason\":\"buffer-miss\"}}\n\n")
            }
        }
    }

    fn first_unseen(&self, id: &str, window: usize, quiet_resume: bool) -> Option<usize> {
        if let Some(mark) = self.marks.iter().find(|mark| mark.id == id) {
            return Some(mark.place);
        }
        if let Some(oldest_copy) = self.past[window..].iter().position(|event| event.id == id) {
            return Some(window + oldest_copy + 1);
        }
        let evicted_last = window
            .checked_sub(1)
            .map(|last| self.past[last].id.as_str());
        (quiet_resume && evicted_last == Some(id)).then_some(window)
    }

    /// The newest ID, or the current time. A time that was handed out before keeps its meaning, so
    /// that too much may be replayed but never too little. Otherwise it names this place from now
    /// on.
    fn resync_id(&mut self, window: usize, quiet_resume: bool, wall: i64) -> String {
        if let Some(newest) = self.past.last()
            && (quiet_resume || window < self.past.len())
        {
            return newest.id.clone();
        }
        let id = time_id(wall);
        if self.latest_time.is_none_or(|latest| latest < wall) {
            self.latest_time = Some(wall);
            self.marks.push(Mark {
                id: id.clone(),
                place: self.past.len(),
            });
        }

        id
    }

    /// The current time, or the next millisecond that has not been handed out.
    fn unused_time(&mut self, wall: i64) -> String {
        let time = self.latest_time.map_or(wall, |latest| wall.max(latest + 1));
        self.latest_time = Some(time);
        if time != wall {
            self.moved_times.insert(time_id(time), time_id(wall));
        }
        time_id(time)
    }
}
