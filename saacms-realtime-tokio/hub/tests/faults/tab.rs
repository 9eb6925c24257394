//! A client that follows a record as a browser tab does, whatever happens to its connection.

use core::time::Duration;
use std::collections::BTreeMap;
use std::io::{self, Read as _, Write as _};
use std::thread;
use std::time::Instant;

use saacms_realtime_core::sse::{Decoded, Decoder};

use crate::chance::Chance;
use crate::history::{History, Seen};
use crate::wire::{self, Chunks};
use crate::world::Shared;

/// How long a connection may be silent before it is closed. Heartbeats are far more frequent.
const SILENCE: Duration = Duration::from_secs(3);

/// Larger than any frame here.
const MAX_EVENT_LEN: usize = 1 << 20;

/// What happened to one client.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) record: usize,
    pub(crate) seen: Vec<Seen>,
    pub(crate) connects: usize,
    /// The number of resyncs, by reason.
    pub(crate) resyncs: BTreeMap<String, usize>,
    /// Whether the newest event never arrived.
    pub(crate) is_behind: bool,
}

/// Follows a record until the world ends and the newest event has arrived.
pub(crate) fn follow(shared: &Shared, record: usize, mut chance: Chance) -> Report {
    let mut tab = Tab {
        history: &shared.histories[record],
        last_event_id: String::new(),
        at: 0,
        report: Report::default(),
    };
    tab.report.record = record;

    while !shared.is_over(|| tab.at >= tab.history.newest()) {
        if shared.has_lost_patience() {
            tab.report.is_behind = true;
            break;
        }
        // However a connection ends, a tab reconnects.
        let _ = tab.connection(shared);
        thread::sleep(Duration::from_millis(5 + chance.below(40)));
    }

    tab.report
}

struct Tab<'a> {
    history: &'a History,
    last_event_id: String,
    /// The newest number that the tab knows, fetched or streamed.
    at: u64,
    report: Report,
}

impl Tab<'_> {
    fn connection(&mut self, shared: &Shared) -> io::Result<()> {
        let mut stream = wire::connect(shared.address())?;
        let request = wire::subscribe_request(self.report.record, &self.last_event_id);
        stream.write_all(request.as_bytes())?;

        if !wire::head(&mut stream)?.starts_with("HTTP/1.1 200 ") {
            return Ok(());
        }

        self.report.connects += 1;
        // Without an ID there is no replay. Fetching after the subscribe leaves no gap: the ID that the
        // greeting brings is older than what is fetched.
        if self.last_event_id.is_empty() {
            self.fetch();
        }

        // Short, so that the end of the run is noticed while the stream is silent.
        stream.set_read_timeout(Some(Duration::from_millis(100)))?;
        let mut decoder = Decoder::resuming(MAX_EVENT_LEN, self.last_event_id.clone());
        let (mut chunks, mut buffer, mut body) = (Chunks::default(), [0; 16 << 10], Vec::new());
        let mut received_at = Instant::now();
        while !shared.is_over(|| self.at >= self.history.newest())
            && received_at.elapsed() < SILENCE
        {
            let len = match stream.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(len) => len,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(error) => return Err(error),
            };

            received_at = Instant::now();
            body.clear();
            let has_more = chunks.take(&buffer[..len], &mut body);
            decoder.feed(&body).expect("no event is too long");

            while let Some(decoded) = decoder.next() {
                if let Decoded::Message(message) = decoded {
                    self.apply(&message.event_type, &message.data);
                }
            }
            // The greeting sets it, too, and dispatches nothing.
            decoder.last_event_id().clone_into(&mut self.last_event_id);

            if !has_more {
                return Ok(());
            }
        }
        Ok(())
    }

    fn apply(&mut self, event_type: &str, data: &str) {
        let data: serde_json::Value = serde_json::from_str(data).expect("JSON");
        match event_type {
            "saacms-resync" => {
                let reason = data["reason"].as_str().expect("a reason").to_owned();
                *self.report.resyncs.entry(reason).or_default() += 1;
                self.fetch();
            }
            "changed" => {
                let number = data["n"].as_u64().expect("the number of the event");
                self.at = self.at.max(number);
                self.report.seen.push(Seen::Event(number));
            }
            other => panic!("an event of type {other:?} was never published"),
        }
    }

    fn fetch(&mut self) {
        let number = self.history.fetch();
        self.at = self.at.max(number);
        self.report.seen.push(Seen::Fetched(number));
    }
}
