//! `replay.json`, class `quirk`: where the contract corrects the plugin.
//!
//! The hub must send the reference's bytes. Each quirk's own property is checked apart from that,
//! in what the hub sends to a witness: a subscriber that is there from the start.

use core::time::Duration;

use saacms_realtime_core::sse::Decoded;
use serde_json::Value;

use super::compare::{outs, resync_id, retimed};
use super::contract::{Fault, Wrong, read, without_blanks};
use super::replay::Run;
use super::stage::replayed;
use super::step::{Mode, Outs, Step, decode, hub_config};
use super::{Checked, Notes, ensure, note, quirks_of, same};

pub(crate) fn check_case(case: &Value, notes: &mut Notes) -> Checked {
    for mode in [Mode::Plugin, Mode::Ours] {
        let in_mode = |wrong| format!("{mode:?}: {wrong}");
        let differs = check_bytes(case, mode).map_err(in_mode)?;
        check_witnessed(case, mode).map_err(in_mode)?;

        if mode == Mode::Plugin {
            note(
                notes,
                if differs {
                    "quirk, other bytes"
                } else {
                    "quirk, the plugin's bytes"
                },
            );
            let may_differ = quirks_of(case).any(may_differ);
            ensure(may_differ || !differs, || {
                "other bytes, for no quirk".to_owned()
            })?;
        }
    }
    check_shown(case)
}

/// Runs all steps in the hub and in the reference. Returns whether the plugin sent other bytes.
fn check_bytes(case: &Value, mode: Mode) -> Checked<bool> {
    let mut run = Run::new(case, mode);
    let mut differs = false;
    for (step, golden) in run.steps(case) {
        let actual = run.step(&step)?;
        differs |= actual != retimed(&step, &outs(&golden["out"]), &actual)?;
    }
    Ok(differs)
}

/// Whether the verdict on a quirk allows bytes other than the plugin's.
fn may_differ(quirk: &str) -> bool {
    const VERDICTS: &str = include_str!("../vectors/quirks.json");
    let verdicts: Value = serde_json::from_str(VERDICTS).expect("JSON");
    matches!(verdicts[quirk][0].as_str(), Some("fix" | "choose"))
}

/// Checks that the case really shows each quirk that it names, so that its bytes prove something.
fn check_shown(case: &Value) -> Checked {
    let run = Run::new(case, Mode::Plugin);
    let steps = run.steps(case);
    let posted = || {
        steps
            .iter()
            .filter_map(|(step, _)| Some(read(step.body()?.as_bytes())))
    };
    let named = || steps.iter().filter_map(|(step, _)| step.last_event_id());
    let refused =
        |fault: fn(&Fault) -> bool| posted().any(|posted| posted.faults.iter().any(fault));

    for quirk in quirks_of(case) {
        let shown = match quirk {
            "Q02" | "Q03" | "Q04" => refused(|f| *f == Fault::Member("etag", Wrong::Control)),
            "Q06" => {
                refused(|f| *f == Fault::Member("etag", Wrong::OuterBlank))
                    || named().any(|id| id != without_blanks(id))
            }
            "Q07" => {
                let etags = posted().filter_map(|posted| posted.event?.etag);
                etags
                    .chain(named().map(str::to_owned))
                    .any(|id| !id.is_ascii())
            }
            "Q08" => refused(|f| *f == Fault::Member("etag", Wrong::NotAString)),
            "Q09" => refused(|f| matches!(f, Fault::UnknownType | Fault::Member("type", _))),
            "Q27" => steps.iter().any(|(step, _)| matches!(step, Step::Jump(_))),
            _ => true,
        };
        ensure(shown, || format!("{quirk} does not come up"))?;
    }

    Ok(())
}

/// Runs all steps with a witness, and checks what the hub sends against what the witness got.
fn check_witnessed(case: &Value, mode: Mode) -> Checked {
    const WITNESS: &str = "the witness";

    let mut run = Run::new(case, mode);
    let config = hub_config(&case["config"], mode);
    let mut seen = Seen {
        sent: Vec::new(),
        resyncs: Vec::new(),
        quiet_resume: mode == Mode::Ours,
    };
    let (name, key) = (WITNESS.to_owned(), run.key.clone());

    run.step(&Step::Subscribe {
        name,
        key,
        last_event_id: None,
    })?;

    for (step, _) in run.steps(case) {
        let mut outs = run.step(&step)?;
        let witnessed = outs.remove(WITNESS).unwrap_or_default();
        let at = run.stage.now.instant.as_millis();
        if let Some(body) = step.body() {
            seen.publish(body, &witnessed, at)?;
        } else if let Some(id) = step.last_event_id() {
            let in_window = seen.window(config.max_events, config.max_age, at);
            let answer = outs.values().next().map_or("", String::as_str);
            seen.subscribe(without_blanks(id), answer, in_window)?;
        }
        seen.resyncs(&outs);
    }

    Ok(())
}

/// What the hub has sent so far.
struct Seen {
    sent: Vec<Sent>,
    /// IDs of resyncs that name no event, each with the number of events before it.
    resyncs: Vec<(String, usize)>,
    quiet_resume: bool,
}

struct Sent {
    id: String,
    has_etag: bool,
    at: u64,
}

impl Seen {
    /// Checks the ID of an event: its ETag unchanged or, without an ETag or with an empty one
    /// (Q05), a time that no event (Q01) and no resync (Q24) had before, or a position.
    fn publish(&mut self, body: &str, witnessed: &str, at: u64) -> Checked {
        let reading = read(body.as_bytes());
        if !reading.faults.is_empty() {
            return same("sent of a refused event", witnessed, "");
        }

        let [Decoded::Message(message)] = &decode(witnessed)[..] else {
            return Err(format!("the witness got no event, but {witnessed:?}"));
        };
        let id = message.last_event_id.clone();
        let etag = reading.event.and_then(|event| event.etag);
        if let Some(etag) = &etag {
            same("the ETag as ID", &id, etag)?;
        } else {
            let is_time_or_position = is_time(&id) || is_position(&id);
            ensure(is_time_or_position, || format!("{id:?} is no time"))?;
            let is_new = self.given().all(|given| *given != id);
            ensure(is_new, || format!("{id} was handed out twice"))?;
        }

        self.sent.push(Sent {
            id,
            has_etag: etag.is_some(),
            at,
        });
        Ok(())
    }

    /// How many of the newest events are in the replay window, by count and by the monotonic clock
    /// (Q27).
    fn window(&self, max_events: usize, max_age: Duration, now: u64) -> usize {
        let is_fresh = |sent: &&Sent| u128::from(now - sent.at) <= max_age.as_millis();
        self.sent
            .iter()
            .rev()
            .take(max_events)
            .take_while(is_fresh)
            .count()
    }

    /// Checks a replay. A client that names an event in the window, in any script (Q07), or a
    /// position after which every event is in the window (Q24), gets exactly what followed. Any
    /// other client gets a resync.
    fn subscribe(&self, id: &str, out: &str, in_window: usize) -> Checked {
        let len = self.sent.len();
        let is_it = |(resync, _): &&(String, usize)| resync == id && is_position(id);
        let place = self.resyncs.iter().find(is_it);
        let by_place = place.map(|(_, place)| len - place);
        let by_event = || {
            let oldest = len - in_window;
            let copy = self.sent[oldest..].iter().position(|sent| sent.id == id);
            let is_neighbour = self.quiet_resume && oldest > 0 && self.sent[oldest - 1].id == id;
            copy.map(|copy| in_window - copy - 1)
                .or(is_neighbour.then_some(in_window))
        };
        let missed = by_place
            .or_else(by_event)
            .filter(|missed| *missed <= in_window);
        same("replayed, by the witness", replayed(out), missed)
    }

    /// Records the IDs of resyncs that name no event.
    fn resyncs(&mut self, outs: &Outs) {
        for id in outs.values().filter_map(|out| resync_id(out)) {
            let names_event = self.sent.iter().any(|sent| sent.id == id);
            if !names_event {
                self.resyncs.push((id, self.sent.len()));
            }
        }
    }

    /// All times and positions handed out so far.
    fn given(&self) -> impl Iterator<Item = &String> {
        let of_events = self
            .sent
            .iter()
            .filter(|sent| !sent.has_etag)
            .map(|sent| &sent.id);
        of_events.chain(self.resyncs.iter().map(|(id, _)| id))
    }
}

fn is_time(id: &str) -> bool {
    id.len() >= 24 && id.ends_with('Z')
}

fn is_position(id: &str) -> bool {
    id.split_once('.')
        .is_some_and(|(epoch, _)| epoch.len() == 16)
        && !is_time(id)
}
