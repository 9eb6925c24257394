use super::*;
use std::format;
use std::vec;

fn decode(pieces: &[&[u8]]) -> Vec<Decoded> {
    let mut decoder = Decoder::new(1 << 16);
    let mut decoded = Vec::new();
    for piece in pieces {
        decoder.feed(piece).expect("short");
        decoded.extend(core::iter::from_fn(|| decoder.next()));
    }
    decoded
}

fn message(event_type: &str, data: &str, last_event_id: &str) -> Decoded {
    let [event_type, data, last_event_id] =
        [event_type, data, last_event_id].map(ToOwned::to_owned);
    Decoded::Message(Message {
        event_type,
        data,
        last_event_id,
    })
}

#[test]
fn the_examples_of_the_standard_are_decoded_as_it_specifies() {
    assert_eq!(
        decode(&[b"data: YHOO\ndata: +2\ndata: 10\n\n"]),
        [message("message", "YHOO\n+2\n10", "")]
    );
    assert_eq!(
        decode(&[b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n"]),
        [
            Decoded::Comment(" test stream".into()),
            message("message", "first event", "1"),
            message("message", "second event", ""),
        ]
    );
    assert_eq!(
        decode(&[b"data\n\ndata\ndata\n\ndata:"]),
        [message("message", "", ""), message("message", "\n", "")]
    );
    assert_eq!(
        decode(&[b"data:test\n\ndata: test\n\n"]),
        [
            message("message", "test", ""),
            message("message", "test", "")
        ]
    );
}

#[test]
fn a_stream_is_decoded_the_same_however_it_is_cut() {
    let stream = "\u{feff}event: a\r\nid: 1\rdata: x\r\n\r\n:c\n\nretry: 5\r\rdata: é\n\n";
    let whole = decode(&[stream.as_bytes()]);
    assert_eq!(whole.len(), 4);
    assert_eq!(whole[0], message("a", "x", "1"), "CR LF is one line end");
    for first in 0..stream.len() {
        // An interpreter takes long over all of them.
        let last = if cfg!(miri) { first + 1 } else { stream.len() };
        for second in first..last {
            let bytes = stream.as_bytes();
            let pieces = [&bytes[..first], &bytes[first..second], &bytes[second..]];
            assert_eq!(decode(&pieces), whole, "cut at {first} and {second}");
        }
    }
}

#[test]
fn a_byte_order_mark_in_pieces_is_no_part_of_the_first_line() {
    let mut decoder = Decoder::new(1);
    for byte in "\u{feff}e\n".bytes() {
        decoder.feed(&[byte]).expect("the line has one byte");
        assert_eq!(decoder.next(), None);
    }
}

#[test]
fn data_of_one_line_is_written_to_memory_of_its_length() {
    let data = "x".repeat(100);
    let decoded = decode(&[format!("data: {data}\n\n").as_bytes()]);
    let [Decoded::Message(message)] = &decoded[..] else {
        panic!("{decoded:?}")
    };
    assert_eq!(
        (&message.data, message.data.capacity()),
        (&data, 101),
        "its line end, too"
    );
}

#[test]
fn an_id_without_data_is_kept_and_dispatches_nothing() {
    let mut decoder = Decoder::new(100);
    decoder.feed(b"id: e.4\n\n").expect("short");
    assert_eq!(decoder.next(), None);
    assert_eq!(decoder.last_event_id(), "e.4");
    decoder.feed(b"id: a\0b\ndata: x\n\n").expect("short");
    assert_eq!(decoder.next(), Some(message("message", "x", "e.4")));
}

#[test]
fn odd_retries_and_unknown_fields_are_ignored() {
    assert_eq!(
        decode(&[b"retry: 1x\nretry:\nretry: -1\nretri: 5\n:\n"]),
        vec![Decoded::Comment(String::new())]
    );
}

#[test]
fn an_event_over_the_limit_is_an_error_and_never_a_growing_buffer() {
    let mut decoder = Decoder::new(8);
    decoder.feed(b"data: 123").expect("nothing is too long yet");
    assert!(decoder.feed(b"4").is_err());
    let mut decoder = Decoder::new(8);
    let fed = (0..).find(|_| {
        let failed = decoder.feed(b"data: 1\n").is_err();
        while decoder.next().is_some() {}
        failed
    });
    assert!(fed.is_some_and(|count| count < 8), "{}", format!("{fed:?}"));
}

#[test]
fn the_limit_is_the_same_however_the_stream_is_cut() {
    let stream = b"data: 12345678\n\ndata: 123456789\n\n";
    for piece_len in 1..=stream.len() {
        let mut decoder = Decoder::new(14);
        let mut decoded = Vec::new();
        let fed = stream.chunks(piece_len).try_for_each(|piece| {
            decoder.feed(piece)?;
            decoded.extend(core::iter::from_fn(|| decoder.next()));
            Ok::<_, EventTooLong>(())
        });
        assert_eq!(
            decoded,
            [message("message", "12345678", "")],
            "pieces of {piece_len}"
        );
        assert!(
            fed.and_then(|()| decoder.feed(b":\n")).is_err(),
            "pieces of {piece_len}"
        );
    }
}

#[test]
fn the_limit_applies_to_a_line_and_an_event_but_not_to_a_piece() {
    let mut decoder = Decoder::new(8);
    decoder.feed(b"data: 1\n\ndata: 2\n\n").expect("short");
    assert_eq!(decoder.next(), Some(message("message", "1", "")));
    assert_eq!(decoder.next(), Some(message("message", "2", "")));
    for (last, fits) in [("data:6789", true), ("data:67890", false)] {
        let mut decoder = Decoder::new(10);
        decoder.feed(b"data:12345\n").expect("short");
        assert_eq!(decoder.next(), None);
        decoder
            .feed(last.as_bytes())
            .expect("a line of at most 10 bytes");
        decoder.feed(b"\n\n").expect("a line of at most 10 bytes");
        let event = decoder.next();
        assert_eq!(
            event,
            fits.then(|| message("message", "12345\n6789", "")),
            "{last}"
        );
        assert_eq!(decoder.feed(b"\n").is_ok(), fits, "{last}");
    }
}

#[test]
fn feeding_without_reading_stops_at_the_limit() {
    let mut decoder = Decoder::new(2);
    decoder.feed(b"abc").expect("nothing is too long yet");
    assert_eq!(decoder.feed(b"d"), Err(EventTooLong { max_event_len: 2 }));
    let mut decoder = Decoder::new(1);
    for piece in [&b"a\n"[..], b"bc"] {
        decoder.feed(piece).expect("nothing is too long yet");
        assert_eq!(decoder.next(), None);
    }
    assert!(
        decoder.feed(b"d").is_err(),
        "two bytes are a mark only at the start"
    );
}
