//! Compares what streams got with the golden bytes of `replay.json`.

use serde_json::Value;

use super::reference::Reference;
use super::stage::{Stage, replayed};
use super::step::{KEEPALIVE, Key, Outs, Step};
use super::{Checked, ensure, same, text};

/// The golden bytes of a step, with the contract's heartbeats (section 4) instead of the plugin's.
///
/// The plugin sends its heartbeats to all streams at once and no write postpones them, so they come
/// at other times, but only in steps that advance the clocks, where nothing else is sent. There
/// `actual` counts, which the reference has confirmed.
pub(crate) fn retimed(step: &Step, golden: &Outs, actual: &Outs) -> Checked<Outs> {
    let is_ticks = |outs: &Outs| {
        outs.values()
            .all(|out| out.replace(KEEPALIVE, "").is_empty())
    };
    if matches!(step, Step::Advance(_)) {
        ensure(is_ticks(golden), || {
            format!("not only heartbeats: {golden:?}")
        })?;
        ensure(is_ticks(actual), || {
            format!("not only heartbeats: {actual:?}")
        })?;
        return Ok(actual.clone());
    }

    Ok(golden.clone())
}

/// Checks how many events of a record can be replayed, without quiet resume.
///
/// A client that names the oldest of `len` events must get the others, and one that names the event
/// before it a resync. With an empty window no client may ask: a resync would use up a time ID and
/// change later IDs.
pub(crate) fn check_buffer(stage: &Stage, reference: &Reference, key: &Key, len: usize) -> Checked {
    let ids = reference.ids(key);
    ensure(len <= ids.len(), || {
        format!("{len} buffered of {} published", ids.len())
    })?;

    if len == 0 {
        return Ok(());
    }

    let (gone, buffered) = ids.split_at(ids.len() - len);
    let from_oldest = replayed(&stage.probe(key, buffered[0]));
    same(
        "buffer: replayed after the oldest",
        from_oldest,
        Some(len - 1),
    )?;

    match gone.last() {
        // An event that is called by its position is known exactly, quiet resume or not.
        Some(evicted_last)
            if !buffered.contains(evicted_last) && !reference.has_moved(key, evicted_last) =>
        {
            let from_gone = replayed(&stage.probe(key, evicted_last));
            same(
                "buffer: replayed after the one evicted last",
                from_gone,
                None,
            )
        }
        Some(_) | None => Ok(()),
    }
}

/// The ID of the resync in a stream.
pub(crate) fn resync_id(stream: &str) -> Option<String> {
    let (_, resync) = stream.split_once("event: saacms-resync\nid: ")?;
    Some(resync.split_once('\n')?.0.to_owned())
}

pub(crate) fn outs(value: &Value) -> Outs {
    let outs = value.as_object().expect("an object of subscribers");
    outs.iter()
        .map(|(name, _)| (name.clone(), text(value, name).to_owned()))
        .collect()
}
