//! The parsers: two crates, and programs that are driven over JSON lines.

use core::convert::Infallible;
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::panic;
use std::process::{Command, Stdio};
use std::thread;

use eventsource_stream::EventStream;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use saacms_realtime_core::sse::Message;
use serde_json::Value;
use sse_stream::{Sse, SseByteStream};

use crate::streams::Stream;

/// A parser, by the name of its package.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Foreign {
    /// npm `eventsource`
    EventSource,
    /// npm `eventsource-parser`
    EventSourceParser,
    /// npm `undici`
    Undici,
    /// PyPI `httpx-sse`
    HttpxSse,
    /// crate `eventsource-stream`
    EventsourceStream,
    /// crate `sse-stream`
    SseStream,
}

impl Foreign {
    pub(crate) const ALL: [Self; 6] = [
        Self::EventSource,
        Self::EventSourceParser,
        Self::Undici,
        Self::HttpxSse,
        Self::EventsourceStream,
        Self::SseStream,
    ];

    /// Parses each stream. Returns its messages, or the parser's failure.
    pub(crate) fn read(self, streams: &[&Stream]) -> Vec<Result<Vec<Message>, String>> {
        let python = format!("{FOLDER}/.venv/bin/python");
        // `undici` warns that its EventSource is experimental.
        let node = ["node", "--no-warnings"];
        match self {
            Self::EventSource => ask(&node, "eventsource.mjs", streams),
            Self::EventSourceParser => ask(&node, "eventsource_parser.mjs", streams),
            Self::Undici => ask(&node, "undici.mjs", streams),
            Self::HttpxSse => ask(&[&python], "httpx_sse_driver.py", streams),
            Self::EventsourceStream => streams.iter().copied().map(eventsource_stream).collect(),
            Self::SseStream => streams.iter().copied().map(sse_stream).collect(),
        }
    }
}

fn eventsource_stream(stream: &Stream) -> Result<Vec<Message>, String> {
    let read = || {
        let events = EventStream::new(stream::iter(stream.pieces().map(Ok::<_, Infallible>)));
        events
            .collect::<Vec<_>>()
            .now_or_never()
            .expect("all pieces are there")
    };
    let events = panic::catch_unwind(read).map_err(|_| "panicked".to_owned())?;
    let message = |event: eventsource_stream::Event| Message {
        event_type: event.event,
        data: event.data,
        last_event_id: event.id,
    };

    events
        .into_iter()
        .map(|event| event.map(message).map_err(|error| error.to_string()))
        .collect()
}

fn sse_stream(stream: &Stream) -> Result<Vec<Message>, String> {
    let blocks = SseByteStream::new(stream::iter(stream.pieces().map(Ok::<_, Infallible>)));
    let blocks = blocks
        .collect::<Vec<_>>()
        .now_or_never()
        .expect("all pieces are there");
    let mut last_event_id = String::new();
    let mut messages = Vec::new();
    for block in blocks {
        // It yields the fields of each block. Last event IDs and the default type are left to the
        // caller.
        let Sse {
            event, data, id, ..
        } = block.map_err(|error| error.to_string())?;

        last_event_id = id.unwrap_or(last_event_id);
        let event_type = event
            .filter(|event| !event.is_empty())
            .unwrap_or_else(|| "message".to_owned());

        if let Some(data) = data {
            messages.push(Message {
                event_type,
                data,
                last_event_id: last_event_id.clone(),
            });
        }
    }

    Ok(messages)
}

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/foreign");

/// Runs a program in [`FOLDER`] over all streams.
fn ask(
    interpreter: &[&str],
    driver: &str,
    streams: &[&Stream],
) -> Vec<Result<Vec<Message>, String>> {
    let mut child = Command::new(interpreter[0])
        .args(&interpreter[1..])
        .arg(format!("{FOLDER}/{driver}"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| {
            panic!(
                "{} does not start ({error}); `./ci.sh setup` installs it",
                interpreter[0]
            )
        });
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let answers: Vec<_> = thread::scope(|scope| {
        scope.spawn(|| {
            let mut stdin = BufWriter::new(stdin.expect("piped"));
            for (id, stream) in streams.iter().enumerate() {
                let chunks: Vec<_> = stream.pieces().map(hex).collect();
                // Fails if the program has ended; its exit status gives the reason.
                let _ = writeln!(
                    stdin,
                    r#"{{"id":{id},"chunks":["{}"]}}"#,
                    chunks.join(r#"",""#)
                );
            }
        });
        let lines = BufReader::new(stdout.expect("piped")).lines();
        lines.map(|line| answer(&line.expect("UTF-8"))).collect()
    });
    let status = child.wait().expect("it was started");

    assert!(
        status.success() && answers.len() == streams.len(),
        "{driver}: {status} after {} of {} answers; `./ci.sh setup` installs what it needs",
        answers.len(),
        streams.len()
    );

    let in_order = answers
        .iter()
        .map(|(id, _)| *id)
        .eq(0..streams.len() as u64);
    assert!(in_order, "{driver} answers in another order");
    answers.into_iter().map(|(_, answer)| answer).collect()
}

fn answer(line: &str) -> (u64, Result<Vec<Message>, String>) {
    let mut answer: Value = serde_json::from_str(line).expect("a driver writes JSON");
    let id = answer["id"].as_u64().expect("as it was asked");
    let Value::Array(messages) = answer["messages"].take() else {
        return (id, Err(answer["error"].to_string()));
    };
    let messages = messages.into_iter().map(|message| {
        let text = |member: &str| message[member].as_str().expect("a string").to_owned();
        Message {
            event_type: text("type"),
            data: text("data"),
            last_event_id: text("lastEventId"),
        }
    });
    (id, Ok(messages.collect()))
}

fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits
        .map(|digit| char::from(b"0123456789abcdef"[usize::from(digit)]))
        .collect()
}
