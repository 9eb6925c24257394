//! Parsers of other projects read this crate's output, and hostile bytes, as its decoder does.
//!
//! There are six parsers in three languages. Five are independent: npm `eventsource` is a client
//! around a later version of npm `eventsource-parser`. `./ci.sh setup` installs those that are not
//! crates.

#![cfg(feature = "std")]

#[path = "support/chance.rs"]
mod chance;
#[path = "foreign/deviations.rs"]
mod deviations;
#[path = "foreign/parsers.rs"]
mod parsers;
#[path = "foreign/streams.rs"]
mod streams;

use std::collections::BTreeMap;
use std::panic::resume_unwind;
use std::thread;

use chance::Chance;
use deviations::DEVIATIONS;
use parsers::Foreign;
use streams::Stream;

#[test]
fn foreign_parsers_read_every_golden_frame_as_our_decoder_does() {
    let streams = streams::golden_frames(&mut Chance::new(1));
    assert!(streams.len() > 2 * 280);
    let compared = compare_all(&streams);
    assert!(
        compared.values().all(|&count| count == streams.len()),
        "{compared:?}"
    );
}

#[test]
fn foreign_parsers_read_every_golden_stream_as_our_decoder_does() {
    let streams = streams::golden_streams(&mut Chance::new(2));
    assert!(streams.len() > 2 * 100);
    let compared = compare_all(&streams);
    assert!(
        compared.values().all(|&count| count == streams.len()),
        "{compared:?}"
    );
}

#[test]
fn foreign_parsers_read_what_we_write_of_hostile_input_as_our_decoder_does() {
    let streams = streams::written(&mut Chance::new(3), 2_000);
    let compared = compare_all(&streams);
    assert!(
        compared
            .values()
            .all(|&count| count > streams.len() / 10 * 8),
        "{compared:?}"
    );
}

#[test]
fn foreign_parsers_read_hostile_bytes_as_our_decoder_does() {
    let streams = streams::hostile(&mut Chance::new(4), 2_000);
    let compared = compare_all(&streams);
    assert!(
        compared
            .values()
            .all(|&count| count > streams.len() / 10 * 6),
        "{compared:?}"
    );
}

#[test]
fn each_known_deviation_is_still_there() {
    for deviation in DEVIATIONS {
        let stream = Stream::of_pieces(deviation.sample);
        assert!((deviation.applies)(&stream), "{deviation:?}");
        let answers = deviation.parser.read(&[&stream]);
        assert_ne!(
            answers,
            [Ok(stream.messages)],
            "strike it off the list: {deviation:?}"
        );
    }
}

/// Asserts that our decoder and all parsers read the streams as intended, except for
/// [`DEVIATIONS`]. Returns how many streams were compared for each parser.
fn compare_all(streams: &[Stream]) -> BTreeMap<Foreign, usize> {
    for stream in streams {
        assert_eq!(
            streams::decoded(stream.pieces()),
            stream.messages,
            "{stream}"
        );
    }
    thread::scope(|scope| {
        let compared =
            Foreign::ALL.map(|parser| scope.spawn(move || (parser, compare(parser, streams))));
        let joined =
            compared.map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)));
        joined.into_iter().collect()
    })
}

fn compare(parser: Foreign, streams: &[Stream]) -> usize {
    let deviates = |stream: &&Stream| {
        DEVIATIONS
            .iter()
            .any(|known| known.parser == parser && (known.applies)(stream))
    };
    let streams: Vec<_> = streams.iter().filter(|stream| !deviates(stream)).collect();
    for (stream, answer) in streams.iter().zip(parser.read(&streams)) {
        assert_eq!(
            answer.as_ref(),
            Ok(&stream.messages),
            "{parser:?} of {stream}"
        );
    }

    streams.len()
}
