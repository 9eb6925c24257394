//! `frames.json`: an event in, a frame out.

use saacms_realtime_core::sse::{Decoded, Message, write_event};
use saacms_realtime_core::{EventId, EventType, HubConfig};
use serde_json::Value;

use super::contract::{Fault, Posted, Reading, Wrong, etag_faults, read, time_id};
use super::json::Document;
use super::reference;
use super::stage::{Stage, replayed};
use super::step::{KEEPALIVE, Key, Reaction, Step, decode};
use super::{Checked, Notes, count, ensure, note, number, quirks_of, same, text};

/// Quirks whose events are all refused.
const REFUSED_QUIRKS: [&str; 8] = ["Q02", "Q03", "Q04", "Q08", "Q09", "Q10", "Q11", "Q58"];

pub(crate) fn check_case(case: &Value, notes: &mut Notes) -> Checked {
    same(
        "frame_bytes",
        text(case, "frame").len(),
        count(case, "frame_bytes"),
    )?;

    let reading = read(text(case, "event").as_bytes());
    let class = text(case, "class");
    if !reading.faults.is_empty() {
        check_refused(
            text(case, "event").as_bytes(),
            &reading.faults,
            number(case, "now_ms"),
        )?;
    }

    match class {
        "core" if reading.faults.is_empty() => check_frame(case, &reading, |event, frame| {
            same("the golden frame", frame, text(case, "frame"))?;
            same(
                "the golden messages",
                vec![golden_message(case)?],
                messages(frame),
            )?;
            ensure(is_own_message(&messages(frame), event), || {
                "not its own message".to_owned()
            })
        }),
        "core" => {
            note(
                notes,
                "core, refused by the contract and checked through the encoder",
            );
            let (frame, golden) = encoded(case, &reading)?;
            same("encoded frame", frame, golden)
        }
        "js-json" if reading.faults.is_empty() => check_frame(case, &reading, |_, frame| {
            check_same_value(&messages(frame), &[golden_message(case)?])
        }),
        "js-json" if reading.faults == [Fault::TooDeep] => {
            note(notes, "js-json, refused as too deep");
            Ok(())
        }
        "js-json" => {
            note(
                notes,
                "js-json, refused by the contract and checked through the encoder",
            );
            let (frame, golden) = encoded(case, &reading)?;
            check_same_value(&messages(&frame), &messages(&golden))
        }
        "quirk" => check_quirk(case, &reading, notes),
        other => Err(format!("no such class: {other}")),
    }
}

/// Checks that an event that shows a quirk is refused or published as the contract says.
fn check_quirk(case: &Value, reading: &Reading, notes: &mut Notes) -> Checked {
    let must_be_refused = quirks_of(case).any(|quirk| REFUSED_QUIRKS.contains(&quirk));
    ensure(!must_be_refused || !reading.faults.is_empty(), || {
        "is not refused".to_owned()
    })?;

    if !reading.faults.is_empty() {
        note(notes, "quirk, refused");
        return Ok(());
    }

    note(notes, "quirk, published as the contract says");
    check_frame(case, reading, |event, frame| {
        let has_time = frame.contains(&format!("\nid: {}\n", time_id_of(case)));
        let is_empty = quirks_of(case).any(|quirk| quirk == "Q05");
        ensure(has_time || !is_empty, || "an empty etag is none".to_owned())?;
        ensure(is_own_message(&messages(frame), event), || {
            "not its own message".to_owned()
        })
    })
}

/// Checks that a body that is no event is refused, and neither kept nor sent, as by the plugin.
pub(crate) fn check_reject(case: &Value, _: &mut Notes) -> Checked {
    same(
        "golden buffer and frame",
        (count(case, "buffer"), text(case, "frame")),
        (0, ""),
    )?;
    let body = text(case, "body").as_bytes();
    check_refused(body, &read(body).faults, 0)
}

/// Checks that bytes that are not UTF-8 are refused, and that a byte order mark is skipped (Q16).
pub(crate) fn check_bytes(case: &Value, _: &mut Notes) -> Checked {
    let hex = text(case, "body_hex");
    let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).expect("two hexadecimal digits");
    let body: Vec<u8> = (0..hex.len()).step_by(2).map(byte).collect();
    let Reading { faults, event } = read(&body);
    let Some(event) = event.filter(|_| faults.is_empty()) else {
        return check_refused(&body, &faults, number(case, "now_ms"));
    };

    let mut stage = Stage::new(HubConfig::default(), number(case, "now_ms"));
    stage.apply(&subscribe("live", &event.key));
    let Reaction { outs, refusals } = stage.post(&body);
    same("refusals", refusals, Vec::new())?;
    same(
        "the golden frame",
        outs["live"].as_str(),
        text(case, "frame"),
    )
}

/// Checks that a body is refused for one of these faults, and neither kept nor sent.
fn check_refused(body: &[u8], faults: &[Fault], now_ms: i64) -> Checked {
    let mut stage = Stage::new(HubConfig::default(), now_ms);
    let greeting = stage.apply(&subscribe("live", &any_key()));
    let expected = format!(
        "{KEEPALIVE}{}",
        reference::greeting(&reference::position(0))
    );
    same("greeting", &greeting.outs["live"], &expected)?;

    let Reaction { outs, refusals } = stage.post(body);
    ensure(
        refusals.iter().any(|refusal| faults.contains(refusal)),
        || format!("refused for {refusals:?}, expected one of {faults:?}"),
    )?;
    ensure(outs.is_empty(), || format!("refused, yet sent: {outs:?}"))?;

    let stats = stage.hub.stats();
    same(
        "published and kept",
        (stats.published, stats.history_bytes),
        (0, 0),
    )
}

/// Publishes the event in a new hub. Checks that its frame is the contract's, that it is known by
/// its ID, and that `check` holds.
fn check_frame(
    case: &Value,
    reading: &Reading,
    check: impl FnOnce(&Posted, &str) -> Checked,
) -> Checked {
    let event = reading.event.as_ref().expect("an event without faults");
    let mut stage = Stage::new(HubConfig::default(), number(case, "now_ms"));
    stage.apply(&subscribe("live", &event.key));
    let Reaction { outs, refusals } = stage.apply(&Step::Publish(text(case, "event").to_owned()));
    same("refusals", refusals, Vec::new())?;

    let frame = outs.get("live").map_or("", String::as_str);
    let id = event.etag.clone().unwrap_or_else(|| time_id_of(case));
    same("frame", frame, &event.frame(&id))?;

    let filed_as = if text(case, "class") == "quirk" {
        &id
    } else {
        text(case, "buffer_id")
    };

    // HTTP strips blanks around a header value, but not around a query parameter (Q06).
    for named in [filed_as.to_owned(), format!(" {filed_as}\t")] {
        same(
            "replayed after its ID",
            replayed(&stage.probe(&event.key, &named)),
            Some(0),
        )?;
    }

    let resync = stage.probe(&event.key, &format!("{filed_as}?"));
    ensure(
        resync.contains(&format!("event: saacms-resync\nid: {filed_as}\n")),
        || format!("not kept as {filed_as:?}: {resync:?}"),
    )?;
    check(event, frame)
}

/// The frame that the encoder writes for an event refused for its key or ETag, and the golden one.
/// In both, an ETag that is not a valid `EventId` is replaced.
fn encoded(case: &Value, reading: &Reading) -> Checked<(String, String)> {
    let by_key_or_etag = |fault: &Fault| {
        matches!(fault, Fault::Member("slug" | "id" | "etag", wrong)
            if !matches!(wrong, Wrong::Missing | Wrong::NotAString | Wrong::LoneSurrogate))
    };
    let event = reading
        .event
        .as_ref()
        .filter(|_| reading.faults.iter().all(by_key_or_etag))
        .ok_or_else(|| format!("refused for {:?}", reading.faults))?;
    let id = event.etag.clone().unwrap_or_else(|| time_id_of(case));
    let id_sent = if etag_faults(&id).is_empty() {
        id.as_str()
    } else {
        "stand-in"
    };
    let event_type = EventType::parse(&event.event_type).expect("no unknown type");
    let event_id = EventId::new(id_sent).map_err(|error| error.to_string())?;
    let mut frame = String::new();

    write_event(&mut frame, event_type, &event_id, &event.data).expect("a String is never full");
    ensure(is_own_message(&messages(&frame), event), || {
        "not its own message".to_owned()
    })?;

    let id_line = |id: &str| format!("\nid: {id}\n");
    Ok((
        frame,
        text(case, "frame").replacen(&id_line(&id), &id_line(id_sent), 1),
    ))
}

/// Checks that both are one message of the same type and ID, with data that is the same value to
/// JavaScript.
fn check_same_value(actual: &[Message], golden: &[Message]) -> Checked {
    let ([actual], [golden]) = (actual, golden) else {
        return Err("not one message".to_owned());
    };
    same("type", &actual.event_type, &golden.event_type)?;
    same(
        "last event ID",
        &actual.last_event_id,
        &golden.last_event_id,
    )?;

    let read = |message: &Message| {
        let document = Document::read(&message.data, 128);
        document.map_err(|wrong| format!("{wrong:?}: {}", message.data))
    };
    let is_same = read(actual)?
        .root
        .is_same_in_javascript(&read(golden)?.root);

    ensure(is_same, || {
        format!("{} is not {}", actual.data, golden.data)
    })
}

/// Whether the messages are exactly one, with the event's type and data.
fn is_own_message(messages: &[Message], event: &Posted) -> bool {
    matches!(messages, [message]
        if (&message.event_type, &message.data) == (&event.event_type, &event.data))
}

/// The messages that a client reads from this frame, after the greeting.
fn messages(frame: &str) -> Vec<Message> {
    let message = |decoded| match decoded {
        Decoded::Message(message) => Some(message),
        Decoded::Comment(_) | Decoded::Retry(_) => None,
        other => panic!("a kind that this test does not know: {other:?}"),
    };
    decode(&format!("{KEEPALIVE}{frame}"))
        .into_iter()
        .filter_map(message)
        .collect()
}

fn golden_message(case: &Value) -> Checked<Message> {
    match case["messages"].as_array().map(Vec::as_slice) {
        Some([message]) => Ok(Message {
            event_type: text(message, "type").to_owned(),
            data: text(message, "data").to_owned(),
            last_event_id: text(message, "lastEventId").to_owned(),
        }),
        _ => Err("the plugin's frame is not one message".to_owned()),
    }
}

fn time_id_of(case: &Value) -> String {
    time_id(number(case, "now_ms"))
}

fn subscribe(name: &str, key: &Key) -> Step {
    Step::Subscribe {
        name: name.to_owned(),
        key: key.clone(),
        last_event_id: None,
    }
}

fn any_key() -> Key {
    ("posts".to_owned(), "p1".to_owned())
}
