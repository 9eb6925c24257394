//! `replay.json`: the streams of one record's subscribers.

use serde_json::Value;

use super::compare::{check_buffer, outs, resync_id, retimed};
use super::contract::{Fault, Wrong, read};
use super::quirks;
use super::reference::{Reference, greeting, key_faults};
use super::stage::{Stage, replayed};
use super::step::{KEEPALIVE, Key, Mode, Outs, Step, hub_config};
use super::{Checked, Notes, count, ensure, note, number, same, text};

pub(crate) fn check_case(case: &Value, notes: &mut Notes) -> Checked {
    match text(case, "class") {
        "core" => {
            let case = &with_short_etags(case, notes)?;
            check_golden(case, notes).map_err(|wrong| format!("as the plugin: {wrong}"))?;
            check_ours(case, notes).map_err(|wrong| format!("with our defaults: {wrong}"))?;
        }
        "quirk" => quirks::check_case(case, notes)?,
        other => return Err(format!("no such class: {other}")),
    }
    check_slow(case).map_err(|wrong| format!("slowed down: {wrong}"))
}

/// Runs the case a thousand times slower. A hub holds events longer than it replays them, at least
/// a minute, for readers that are behind. Only at this pace do events leave the ring by age.
fn check_slow(case: &Value) -> Checked {
    let mut case = case.clone();
    let slow = |time: &mut Value| *time = (time.as_i64().expect("milliseconds") * 1_000).into();
    slow(&mut case["config"]["max_age_ms"]);
    slow(&mut case["config"]["heartbeat_ms"]);
    let steps = case["steps"].as_array_mut().into_iter().flatten();
    steps
        .filter(|step| step["op"] == "advance")
        .for_each(|step| slow(&mut step["ms"]));
    check_reference(&case, Mode::Plugin)?;
    check_reference(&case, Mode::Ours)
}

/// Replaces ETags that are too long for the contract, after checking that they are refused.
fn with_short_etags(case: &Value, notes: &mut Notes) -> Checked<Value> {
    let mut json = case.to_string();
    let mut run = Run::new(case, Mode::Plugin);
    for (step, _) in run.steps(case) {
        run.step(&step)?;
        if let Some(body) = step.body()
            && let reading = read(body.as_bytes())
            && reading.faults == [Fault::Member("etag", Wrong::TooLong)]
            && let Some(etag) = reading.event.and_then(|event| event.etag)
        {
            note(notes, "core, an ETag refused for its length and shortened");
            json = json.replace(&etag, "a shorter one");
        }
    }

    serde_json::from_str(&json).map_err(|error| error.to_string())
}

/// As the plugin: checks for its bytes, except that heartbeats are the contract's.
fn check_golden(case: &Value, notes: &mut Notes) -> Checked {
    let mut run = Run::new(case, Mode::Plugin);
    run.stage = run.stage.sweeping();
    let (mut whole, mut left) = (Outs::new(), false);
    for (step, golden) in run.steps(case) {
        left |= run.leaves_golden(&step, golden);
        let actual = run.step(&step)?;
        match check_golden_step(&run, &step, golden, &actual) {
            Ok(out) => append(&mut whole, out),
            Err(_) if left => {
                note(
                    notes,
                    "core, by the reference alone after a step that leaves the plugin",
                );
                return check_reference(case, Mode::Plugin);
            }
            Err(wrong) => return Err(wrong),
        }
    }

    // The same again as whole streams, as a client sees them.
    let without_ticks = |outs: &Outs| -> Outs {
        let stream = |bytes: &String| format!("{KEEPALIVE}{}", bytes.replace(KEEPALIVE, ""));
        outs.iter()
            .map(|(name, bytes)| (name.clone(), stream(bytes)))
            .collect()
    };

    same(
        "bytes",
        without_ticks(&whole),
        without_ticks(&outs(&case["bytes"])),
    )
}

/// Checks a step against the golden one. Returns the bytes that both agree on.
fn check_golden_step(run: &Run, step: &Step, golden: &Value, actual: &Outs) -> Checked<Outs> {
    let expected = retimed(step, &outs(&golden["out"]), actual)?;
    ensure(run.reference.is_golden(actual, &expected), || {
        format!("out\n     actual: {actual:?}\n   expected: {expected:?}")
    })?;

    let state = &golden["state"];
    same(
        "now_ms",
        run.stage.now.wall.as_millis(),
        number(state, "now_ms"),
    )?;
    same(
        "subscribers",
        run.stage.hub.stats().subscribers,
        count(state, "subscribers"),
    )?;
    same(
        "heartbeat",
        run.stage.heartbeat_is_on(None),
        state["heartbeat"] == true,
    )?;

    if step.last_event_id().is_some() || step.body().is_some() {
        check_buffer(&run.stage, &run.reference, &run.key, count(state, "buffer"))?;
    }

    Ok(expected)
}

/// Checks every step against the reference alone.
pub(crate) fn check_reference(case: &Value, mode: Mode) -> Checked {
    let mut run = Run::new(case, mode);
    run.steps(case)
        .iter()
        .try_for_each(|(step, _)| run.step(step).map(drop))
}

/// With our defaults: checks that bytes differ from the plugin's only where a client that missed
/// nothing is spared a resync, in the ID of a resync when nothing is buffered, and by the greeting of
/// a client that names no last event ID.
fn check_ours(case: &Value, notes: &mut Notes) -> Checked {
    let mut run = Run::new(case, Mode::Ours);
    // The plugin's resync IDs. A client that names one that the hub never gave proves nothing here.
    let mut golden_resyncs = Vec::new();
    let mut left = false;
    for (step, golden) in run.steps(case) {
        if let Some(id) = step.last_event_id()
            && golden_resyncs.iter().any(|resync| resync == id)
            && !run.reference.has_given(&run.key, id)
        {
            note(
                notes,
                "quiet resume: by the reference alone after an ID only the plugin gave",
            );
            return check_reference(case, Mode::Ours);
        }

        // Read before the step, which may evict another event.
        let evicted_last = run.reference.evicted_last(&run.key).map(str::to_owned);
        left |= run.leaves_golden(&step, golden);
        let place = run.reference.place();
        let actual = without_greeting(&step, run.step(&step)?, &place)?;
        let golden_outs = outs(&golden["out"]);

        golden_resyncs.extend(golden_outs.values().filter_map(|out| resync_id(out)));
        let expected = retimed(&step, &golden_outs, &actual)?;
        if run.reference.is_golden(&actual, &expected) {
            continue;
        }

        let window = count(&golden["state"], "buffer");
        let newest = run
            .reference
            .ids(&run.key)
            .last()
            .map_or_else(|| run.reference.place(), |id| (*id).to_owned());

        match spared(&step, &actual, &expected, window, evicted_last, newest) {
            Ok(what) => note(notes, what),
            Err(_) if left => return check_reference(case, Mode::Ours),
            Err(wrong) => return Err(wrong),
        }
    }

    Ok(())
}

/// Removes the greeting of a client that names no last event ID, which must be there.
fn without_greeting(step: &Step, mut actual: Outs, place: &str) -> Checked<Outs> {
    if let Step::Subscribe {
        name,
        last_event_id: None,
        ..
    } = step
        && let Some(out) = actual.get_mut(name)
    {
        same(
            "greeting",
            &**out,
            &format!("{KEEPALIVE}{}", greeting(place)),
        )?;
        KEEPALIVE.clone_into(out);
    }
    Ok(actual)
}

/// Checks that an answer differs from the plugin's for one of the two reasons. Returns which.
fn spared(
    step: &Step,
    actual: &Outs,
    expected: &Outs,
    window: usize,
    evicted_last: Option<String>,
    newest: String,
) -> Checked<&'static str> {
    let Step::Subscribe {
        name,
        last_event_id,
        ..
    } = step
    else {
        return Err(format!(
            "only a subscribe may differ: {actual:?} for {expected:?}"
        ));
    };

    ensure(resync_id(&expected[name]).is_some(), || {
        format!(
            "{:?} instead of {:?}, which is no resync",
            actual[name], expected[name]
        )
    })?;

    if let Some(id) = resync_id(&actual[name]) {
        same(
            "buffer, and the newest ID ever",
            (window, Some(id)),
            (0, Some(newest)),
        )?;
        return Ok("quiet resume: resyncs with the newest ID ever");
    }

    same("spared a resync", last_event_id, &evicted_last)?;
    same("the whole window", replayed(&actual[name]), Some(window))?;
    Ok("quiet resume: resyncs spared")
}

/// A case that runs in the hub and in the reference side by side.
pub(crate) struct Run {
    pub(crate) key: Key,
    pub(crate) stage: Stage,
    pub(crate) reference: Reference,
}

impl Run {
    pub(crate) fn new(case: &Value, mode: Mode) -> Self {
        let config = hub_config(&case["config"], mode);
        let start_ms = number(case, "start_ms");
        Self {
            key: key_of(case),
            stage: Stage::new(config, start_ms),
            reference: Reference::new(&config, start_ms),
        }
    }

    pub(crate) fn steps<'a>(&self, case: &'a Value) -> Vec<(Step, &'a Value)> {
        let steps = case["steps"].as_array().expect("steps");
        steps
            .iter()
            .map(|step| (Step::read(step, Some(&self.key)), step))
            .collect()
    }

    /// Whether the plugin's answers may be wrong from this step on, because of a quirk that the
    /// case need not name: ages after the wall clock was set (Q27), events and keys that the
    /// contract refuses, a response that nobody reads (Q41), or a time ID that names another event
    /// in the hub (Q01).
    pub(crate) fn leaves_golden(&self, step: &Step, golden: &Value) -> bool {
        match step {
            Step::Jump(_) | Step::Abandon(_) => true,
            Step::Publish(body) => {
                golden["error"].is_null() && !read(body.as_bytes()).faults.is_empty()
            }
            Step::Subscribe {
                key, last_event_id, ..
            } => {
                let has_moved = |id: &String| self.reference.has_moved(key, id);
                !key_faults(key).is_empty() || last_event_id.as_ref().is_some_and(has_moved)
            }
            Step::Cancel(_) | Step::Advance(_) | Step::Stop => false,
        }
    }

    /// Runs a step in both. Bytes, refusals and counts must agree.
    pub(crate) fn step(&mut self, step: &Step) -> Checked<Outs> {
        let actual = self.stage.apply(step);
        let expected = self.reference.apply(step);
        same(
            "refused",
            !actual.refusals.is_empty(),
            !expected.refusals.is_empty(),
        )?;
        ensure(
            actual
                .refusals
                .iter()
                .all(|fault| expected.refusals.contains(fault)),
            || {
                format!(
                    "refused for {:?}, not for one of {:?}",
                    actual.refusals, expected.refusals
                )
            },
        )?;
        same("out, by the reference", &actual.outs, &expected.outs)?;

        let stats = self.stage.hub.stats();
        same(
            "subscribers, by the reference",
            stats.subscribers,
            self.reference.subscribers(),
        )?;

        let heartbeat = self.stage.heartbeat_is_on(None);
        same(
            "heartbeat, by the reference",
            heartbeat,
            self.reference.heartbeat_is_on(),
        )?;
        Ok(actual.outs)
    }
}

/// The record of a case, which its first event names.
fn key_of(case: &Value) -> Key {
    let steps = case["steps"].as_array().into_iter().flatten();
    let events = steps.filter_map(|step| read(step["event"].as_str()?.as_bytes()).event);
    events
        .map(|event| event.key)
        .next()
        .unwrap_or_else(|| ("posts".to_owned(), "p1".to_owned()))
}

fn append(whole: &mut Outs, outs: Outs) {
    for (name, out) in outs {
        *whole.entry(name).or_default() += &out;
    }
}
