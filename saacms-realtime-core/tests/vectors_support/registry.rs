//! `registry.json`: subscribers of many records on one hub.
//!
//! The plugin has separate state for each isolate, binding and object; here one hub stands for all
//! of them. The result is the same: a subscriber of a record gets all its events, through whichever
//! isolate. A hub has neither a timer for each isolate nor its `stop`.
//!
//! Targets `isolate` and `binding` ignore `Last-Event-ID` (Q54). The hub never does, as the
//! contract requires, so the answer to one is the reference's, and all else is golden. A hub keeps
//! a history where an isolate has none, but that shows nowhere else, so all targets run with the
//! history of their case.

use std::collections::{BTreeMap, BTreeSet};

use saacms_realtime_core::sse::Decoded;
use serde_json::Value;

use super::compare::check_buffer;
use super::contract::read;
use super::replay::Run;
use super::step::{Key, Mode, Outs, Step, decode};
use super::{Checked, Notes, count, ensure, note, number, same, text};

pub(crate) fn check_case(case: &Value, notes: &mut Notes) -> Checked {
    let (class, target) = (text(case, "class"), text(case, "target"));
    ensure(["core", "timing", "quirk"].contains(&class), || {
        format!("no such class: {class}")
    })?;

    let known = ["target do", "target isolate", "target binding"];
    match known.into_iter().find(|known| known.ends_with(target)) {
        Some(target) => note(notes, target),
        None => return Err(format!("no such target: {target}")),
    }

    let steps = case["steps"].as_array().expect("steps");
    let steps: Vec<_> = steps
        .iter()
        .map(|step| (Step::read(step, None), step))
        .collect();
    let mut run = Run::new(case, Mode::Plugin);
    let (mut left, mut stopped) = (false, false);
    for (step, golden) in &steps {
        if !left && run.leaves_golden(step, golden) {
            // The plugin mixes up two records with the same joined name (Q57). The contract refuses
            // one of them, so readers of the other get less than from the plugin.
            note(
                notes,
                "by the reference alone after a step that leaves the plugin",
            );
            left = true;
        }

        let actual = run.step(step)?;
        check_apart(&run, step, &actual)?;
        stopped |= matches!(step, Step::Stop);

        if !left {
            check_received(&run, target, step, golden, &actual)?;
            check_state(&run, target, stopped, step, golden)?;
        }
    }

    // Once more with our defaults, by the reference alone.
    let mut run = Run::new(case, Mode::Ours);
    for (step, _) in &steps {
        let actual = run.step(step)?;
        check_apart(&run, step, &actual)?;
    }

    Ok(())
}

/// Checks that no reader gets an event of another record.
fn check_apart(run: &Run, step: &Step, actual: &Outs) -> Checked {
    let published = published(step);
    for name in actual.keys().filter(|_| step.body().is_some()) {
        same(
            "record of the reader",
            run.stage.key_of(name),
            published.clone(),
        )?;
    }
    Ok(())
}

/// The record that a step publishes to.
fn published(step: &Step) -> Option<Key> {
    let reading = read(step.body()?.as_bytes());
    reading
        .event
        .filter(|_| reading.faults.is_empty())
        .map(|event| event.key)
}

/// Checks what readers got against the golden list, except for heartbeats (see `retimed`) and the
/// answer to a last event ID that the plugin ignores.
fn check_received(run: &Run, target: &str, step: &Step, golden: &Value, actual: &Outs) -> Checked {
    let golden = golden["received"].as_object().expect("lists of strings");
    let list = |list: &Value| -> Vec<_> {
        list.as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(item)
            .collect()
    };
    let golden: BTreeMap<_, _> = golden
        .iter()
        .map(|(name, items)| (name.clone(), list(items)))
        .collect();
    let actual: BTreeMap<_, _> = actual
        .iter()
        .map(|(name, out)| (name.clone(), received(out)))
        .collect();

    if matches!(step, Step::Advance(_)) {
        let mut all = actual.values().chain(golden.values()).flatten();
        return ensure(all.all(|item| item == "keepalive\n"), || {
            "not only heartbeats".to_owned()
        });
    }

    if step.last_event_id().is_some() && target != "do" {
        let first = |lists: &BTreeMap<String, Vec<String>>| -> Vec<_> {
            lists
                .iter()
                .map(|(name, list)| (name.clone(), list.first().cloned()))
                .collect()
        };
        return same("greeting", first(&actual), first(&golden));
    }

    let lines = |lists: &BTreeMap<String, Vec<String>>| -> Outs {
        lists
            .iter()
            .map(|(name, list)| (name.clone(), list.concat()))
            .collect()
    };

    ensure(
        run.reference.is_golden(&lines(&actual), &lines(&golden)),
        || format!("received\n     actual: {actual:?}\n   expected: {golden:?}"),
    )
}

/// Checks the counts and heartbeats of all records.
fn check_state(run: &Run, target: &str, stopped: bool, step: &Step, golden: &Value) -> Checked {
    let state = &golden["state"];
    let keys = state["keys"].as_array().expect("keys");
    same(
        "now_ms",
        run.stage.now.wall.as_millis(),
        number(state, "now_ms"),
    )?;

    let subscribers: usize = keys.iter().map(|key| count(key, "subscribers")).sum();
    same(
        "subscribers",
        run.stage.hub.stats().subscribers,
        subscribers,
    )?;

    let topics = run.stage.hub.stats().topics;
    ensure(topics <= keys.len(), || {
        format!("{topics} topics for {} keys", keys.len())
    })?;

    let published = published(step);
    let mut on = BTreeSet::new();
    for golden_key in keys {
        let key = (
            text(golden_key, "slug").to_owned(),
            text(golden_key, "id").to_owned(),
        );
        same(
            "subscribers of a key",
            run.stage.readers_of(&key),
            count(golden_key, "subscribers"),
        )?;

        if run.stage.heartbeat_is_on(Some(&key)) {
            on.insert(key.clone());
        }

        // An isolate has one heartbeat for all records, and no buffer.
        if let Some(heartbeat) = golden_key["heartbeat"].as_bool()
            && (!stopped || target != "do")
        {
            same("heartbeat of a key", on.contains(&key), heartbeat)?;
        }

        // The plugin's count is exact only for the record just published to.
        if golden_key["buffer"].is_u64() && published.as_ref() == Some(&key) {
            check_buffer(
                &run.stage,
                &run.reference,
                &key,
                count(golden_key, "buffer"),
            )?;
        }
    }

    if target == "do" && !stopped {
        same("heartbeats", on.len(), count(state, "timers"))?;
    }

    Ok(())
}

/// The items that a reader got.
fn received(stream: &str) -> Vec<String> {
    let said = |decoded| match decoded {
        Decoded::Message(message) => format!("{} {}", message.event_type, message.last_event_id),
        Decoded::Comment(comment) => comment,
        Decoded::Retry(millis) => format!("retry {millis}"),
        other => panic!("not in a stream: {other:?}"),
    };
    decode(stream)
        .into_iter()
        .map(|decoded| item(&said(decoded)))
        .collect()
}

/// An item of `received`, `<type> <id>` or a comment, as lines with its ID.
fn item(item: &str) -> String {
    match item.split_once(' ') {
        Some((event_type, id)) => format!("{event_type}\nid: {id}\n"),
        None => format!("{item}\n"),
    }
}
