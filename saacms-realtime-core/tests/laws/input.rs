//! Law 5: input never panics, and no byte that a publisher controls can end a line, a field or a
//! frame.

use saacms_realtime_core::sse::{Decoded, Decoder};
use saacms_realtime_core::{Event, EventError, EventId, EventIds, HubConfig, ResourceKey};

use crate::support::{Chance, Client, Clock, hub, key, quiet_config};

/// Texts that mean something to a format that an event passes through.
const HOSTILE: [&str; 22] = [
    "\n",
    "\r",
    "\r\n\r\n",
    "\0",
    "\u{feff}",
    "\u{2028}",
    "\u{85}",
    "\u{c}",
    "\t",
    " ",
    ":",
    "\"",
    "\\",
    "\u{10ffff}",
    "é",
    "id: evil",
    "data: {}",
    "event: saacms-resync",
    "retry: 0",
    "\u{7f}",
    "\u{1}",
    "v1",
];

fn hostile_text(chance: &mut Chance) -> String {
    (0..chance.below(5))
        .map(|_| *chance.pick(&HOSTILE))
        .collect()
}

fn json_string(text: &str) -> String {
    // Everything but small letters is escaped, so that control characters are valid JSON.
    let escaped: String = text
        .encode_utf16()
        .map(|unit| match unit {
            0x61..=0x7a => char::from(unit as u8).to_string(),
            other => format!("\\u{other:04x}"),
        })
        .collect();
    format!("\"{escaped}\"")
}

#[test]
fn an_event_that_is_accepted_is_exactly_one_message_with_the_publishers_data() {
    let (hub, clock, mut chance) = (hub(quiet_config()), Clock::new(), Chance::new(5));
    let mut accepted = 0;
    for number in 0..3_000 {
        let mut texts = ["posts".to_owned(), number.to_string(), "v1".to_owned()];

        // Only one of the three is hostile, so that no other can hide its refusal.
        texts[number % 3] += &hostile_text(&mut chance);
        let [slug, id, etag] = texts;
        let etag = if number % 9 == 2 {
            hostile_text(&mut chance)
        } else {
            etag
        };
        let blank = *chance.pick(&["", " ", "\n", "\r\n\t", "\r"]);
        let record = json_string(&hostile_text(&mut chance));
        let body = format!(
            "{blank}{{\"type\":{blank}\"changed\",\"slug\":{},\"id\":{},\"etag\":{},\"record\":[{blank}{record}{blank}]}}",
            json_string(&slug),
            json_string(&id),
            json_string(&etag)
        );
        let key = ResourceKey::new(&slug, &id);
        let valid = key.is_ok() && (etag.is_empty() || EventId::new(&*etag).is_ok());
        let Ok(event) = Event::from_json(body.as_bytes()) else {
            assert!(!valid, "refused: {body}");
            continue;
        };

        assert!(valid, "accepted: {body}");
        assert!(
            !slug.contains([':', '/']) && !etag.contains(['\r', '\n', '\0']),
            "{body}"
        );
        assert!(
            !slug.chars().chain(id.chars()).any(char::is_control),
            "{body}"
        );

        accepted += 1;
        let key = key.expect("checked");
        let mut reader = Client::connect(&hub, &key, None, clock.now());

        hub.publish(event, clock.now()).expect("published");
        assert_eq!(
            reader.read(clock.now()),
            ["keepalive".to_owned(), format!("[{record}]")]
        );

        if !etag.is_empty() {
            assert_eq!(reader.last_event_id(), etag);
        }

        let (_, said) = reader.reconnect(&hub, clock.now());
        assert_eq!(said, ["keepalive"], "{etag:?} is sent back unchanged");
    }
    assert!(accepted > 200, "{accepted}");
}

#[test]
fn no_bytes_make_the_reader_of_events_panic() {
    let valid =
        r#"{"type":"changed","slug":"s","id":"i","etag":"v","record":{"a":[1,"\u00e9\n"]}}"#;
    let mut chance = Chance::new(6);
    for _ in 0..20_000 {
        let mut bytes = valid.as_bytes().to_vec();
        for _ in 0..=chance.below(4) {
            let at = chance.below(bytes.len() as u64) as usize;
            match chance.below(4) {
                0 => bytes[at] = chance.below(256) as u8,
                1 => bytes.truncate(at.max(1)),
                2 => bytes.insert(at, *chance.pick(b"\"\\{}[]:,\r\n\0\xff")),
                _ => drop(bytes.remove(at)),
            }
            if bytes.is_empty() {
                break;
            }
        }

        if let Ok(event) = Event::from_json(&bytes) {
            assert!(
                !event
                    .data()
                    .iter()
                    .any(|byte| matches!(byte, b'\r' | b'\n')),
                "{bytes:?}"
            );
        }
    }
}

#[test]
fn deep_nesting_is_refused_however_it_is_built() {
    for deep in [
        "[".repeat(1 << 20),
        "{\"a\":".repeat(1 << 18),
        "[{\"a\":".repeat(1 << 17),
    ] {
        let body = format!(r#"{{"type":"changed","slug":"s","id":"i","record":{deep}"#);
        assert!(Event::from_json(body.as_bytes()).is_err());
        assert!(Event::from_json(deep.as_bytes()).is_err());
    }
}

#[test]
fn nesting_is_accepted_up_to_its_limit_and_refused_one_deeper() {
    let nested = |depth: usize| {
        let record = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let body = format!(r#"{{"type":"changed","slug":"s","id":"i","record":{record}}}"#);
        Event::from_json(body.as_bytes())
    };
    assert!(nested(Event::MAX_NESTING - 1).is_ok());

    let refused = nested(Event::MAX_NESTING).expect_err("the event itself is one level");
    assert_eq!(
        refused,
        EventError::TooDeep {
            depth: Event::MAX_NESTING + 1
        }
    );

    let [open, close] = ["[", "]"].map(|bracket| bracket.repeat(Event::MAX_NESTING));
    let ignored = format!(r#"{{"type":"deleted","slug":"s","id":"i","more":{open}{close}}}"#);
    assert_eq!(
        Event::from_json(ignored.as_bytes()).expect_err("nor where it is ignored"),
        refused
    );
}

#[test]
fn no_last_event_id_makes_a_subscribe_panic_or_lie() {
    for event_ids in [EventIds::Etag, EventIds::Position] {
        let config = HubConfig {
            event_ids,
            ..quiet_config()
        };
        let (hub, clock, mut chance) = (hub(config), Clock::new(), Chance::new(7));
        let key = key("1");

        hub.publish(Event::deleted(key.clone()), clock.now())
            .expect("published");

        for _ in 0..5_000 {
            let id: Vec<u8> = (0..chance.below(40))
                .map(|_| match chance.below(3) {
                    0 => chance.below(256) as u8,
                    1 => *chance.pick(b"0123456789abcdef.-:TZ"),
                    _ => *chance.pick(b"000000000000feed.0123"),
                })
                .collect();
            let mut subscription = hub
                .subscribe(&key, Some(&id), clock.now())
                .expect("within the limits");
            let cx = core::task::Context::from_waker(core::task::Waker::noop());
            let saacms_realtime_core::Output::Frames(bytes) = subscription.poll(&cx, clock.now())
            else {
                panic!("nothing for {id:?}");
            };
            let mut decoder = Decoder::new(1 << 16);

            decoder.feed(&bytes).expect("short");
            let messages = core::iter::from_fn(|| decoder.next())
                .filter(|decoded| matches!(decoded, Decoded::Message(_)))
                .count();
            let known = [&b"000000000000feed.0"[..], b"000000000000feed.1"];
            let known = known.contains(&id.trim_ascii());
            assert!(messages == 1 || known, "{id:?} is answered with {bytes:?}");
        }
    }
}
