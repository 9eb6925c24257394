//! Connections: how clients come and go, and how bytes travel.

use core::task::{Context, Waker};
use std::sync::Arc;

use saacms_realtime_core::config::EventIds;
use saacms_realtime_core::hub::Output;
use saacms_realtime_core::name::ResyncReason;
use saacms_realtime_core::sse::{Decoded, Decoder};

use crate::check::{Expected, Said};
use crate::connection::{Connection, Flag, messages};
use crate::life::Place;
use crate::scenario::{INVENTED, Naming};
use crate::sut::Sut;
use crate::world::World;

/// Largest event that a client takes.
const MAX_EVENT: usize = 1 << 20;

impl<S: Sut> World<S> {
    pub(crate) fn join(&mut self, client: usize, naming: Naming) -> Result<(), String> {
        self.hang_up(client, Some(0), true)?;
        let page = &mut self.clients[client];
        page.is_on = true;
        page.reconnect_at = None;
        let mut named = Some(page.knows.id.clone()).filter(|id| !id.is_empty());
        match naming {
            Naming::True => {}
            Naming::Blanks => named = named.map(|id| format!(" {id}\t")),
            Naming::Nothing => named = None,
            Naming::Ahead => named = named.map(|id| format!("{id}999")),
            Naming::Invented(choice) => named = Some(INVENTED[choice].to_owned()),
            Naming::Old => {
                if let Some(memory) = page.memories.first().cloned() {
                    page.knows = memory;
                    named = Some(page.knows.id.clone());
                }
            }
        }
        self.connect_naming(client, named)
    }

    /// As a browser does it by itself.
    pub(crate) fn connect(&mut self, client: usize) -> Result<(), String> {
        let named = Some(self.clients[client].knows.id.clone()).filter(|id| !id.is_empty());
        self.connect_naming(client, named)
    }

    fn connect_naming(&mut self, client: usize, named: Option<String>) -> Result<(), String> {
        let record = self.clients[client].watches;
        self.clients[client].reconnect_at = None;
        let Some(sut) = &self.sut else {
            self.clients[client].reconnect_at = Some(self.now + 2_000);
            return Ok(());
        };
        let answer = sut.subscribe(
            &self.keys[record],
            named.as_deref().map(str::as_bytes),
            self.both(),
        );
        let right = self.reference.subscribe(record, named.as_deref(), self.now);
        self.log.line(
            self.now,
            format_args!("  client {client} names {named:?}: {right:?}"),
        );
        let (reader, places) = match (answer, right) {
            (Ok(reader), Ok(places)) => (reader, places),
            (Err(_), Err(_)) => {
                self.counts.refused += 1;
                self.clients[client].reconnect_at = Some(self.now + 12_000 + client as u64);
                return Ok(());
            }
            (answer, right) => {
                return Err(format!(
                    "a client was answered {:?}, not {right:?}",
                    answer.map(|_| "a stream")
                ));
            }
        };
        self.counts.opened += 1;
        self.count_resume(record, named.is_some(), &places);
        let life = self.reference.known(record);
        let is_positions = self.settings.hub.event_ids == EventIds::Position;
        let greeting = (is_positions && named.is_none()).then(|| life.position(life.next() - 1));
        let knows = &self.clients[client].knows;
        let is_repeated = named
            .as_ref()
            .is_some_and(|id| self.uses.get(&(record, id.trim().into())) > Some(&1));
        let is_exempt = !is_positions && knows.is_ahead && is_repeated;
        let woken = Arc::<Flag>::default();
        Waker::from(Arc::clone(&woken)).wake();
        let trimmed = named.as_ref().map(|id| id.trim().to_owned());
        self.connections.push(Connection {
            client,
            reader: Some(reader),
            expected: Expected::new(record, places, greeting),
            woken,
            wake_at: None,
            out: Default::default(),
            pipe: Default::default(),
            in_flight: 0,
            is_open: true,
            is_half_open: false,
            server_notices_at: None,
            decoder: Decoder::resuming(MAX_EVENT, trimmed.unwrap_or_default()),
            unread: Default::default(),
            named,
            has_heard: false,
            heard_at: self.now,
            is_exempt,
        });
        Ok(())
    }

    fn count_resume(&mut self, record: usize, is_named: bool, places: &[Place]) {
        let next = self.reference.known(record).next();
        match places {
            [Place::At(number)] if is_named && *number < next => self.counts.replays += 1,
            [Place::At(_)] if is_named => self.counts.nothing_missed += 1,
            _ => {}
        }
    }

    /// The client's end is gone; the server's end knows later, or never by itself.
    pub(crate) fn hang_up(
        &mut self,
        client: usize,
        server_notices_after: Option<u64>,
        loses_all: bool,
    ) -> Result<(), String> {
        let is_his =
            |connection: &Connection<S::Reader>| connection.client == client && connection.is_open;
        let Some(index) = self.connections.iter().position(is_his) else {
            return Ok(());
        };
        if !loses_all {
            // What is on its way arrives first.
            while let Some((_, bytes)) = self.connections[index].pipe.pop_front() {
                self.hear(index, &bytes)?;
            }
        }
        let connection = &mut self.connections[index];
        self.counts.cuts += 1;
        self.counts.bytes_lost += connection
            .pipe
            .iter()
            .map(|(_, bytes)| bytes.len() as u64)
            .sum::<u64>();
        connection.pipe.clear();
        connection.is_open = false;
        let notices_at = server_notices_after.map(|after| self.now + after);
        connection.server_notices_at = notices_at.or(connection.server_notices_at);
        self.disconnected(client);
        Ok(())
    }

    pub(crate) fn break_silently(&mut self, client: usize, server_notices_after: u64) {
        for connection in &mut self.connections {
            if connection.client == client && connection.is_open && !connection.is_half_open {
                self.counts.half_open += 1;
                connection.is_half_open = true;
                connection.pipe.clear();
                connection.server_notices_at = Some(self.now + server_notices_after);
            }
        }
    }

    pub(crate) fn disconnected(&mut self, client: usize) {
        let page = &mut self.clients[client];
        if page.is_on {
            page.reconnect_at = Some(self.now + page.retry);
            page.retry = 3_000;
        }
    }

    pub(crate) fn count_end(&mut self, connection: &Connection<S::Reader>) {
        self.counts.bytes_lost += connection
            .pipe
            .iter()
            .map(|(_, bytes)| bytes.len() as u64)
            .sum::<u64>();
    }

    /// When something happens at this connection by itself.
    pub(crate) fn due(&self, connection: &Connection<S::Reader>) -> Option<u64> {
        let is_read = connection.is_open && !self.clients[connection.client].is_stalled;
        let arrival = connection
            .pipe
            .front()
            .map(|(at, _)| *at)
            .filter(|_| is_read);
        let is_polled = connection.reader.is_some() && !connection.is_blocked();
        let heartbeat = connection.wake_at.filter(|_| is_polled);
        let patience = self.gives_up_at(connection);
        [arrival, heartbeat, patience, connection.server_notices_at]
            .into_iter()
            .flatten()
            .min()
    }

    fn gives_up_at(&self, connection: &Connection<S::Reader>) -> Option<u64> {
        let is_waiting = self.settings.patience > 0
            && connection.is_open
            && !self.clients[connection.client].is_stalled;
        is_waiting.then(|| connection.heard_at + self.settings.patience)
    }

    /// Lets one connection do what it can; answers whether that was anything.
    pub(crate) fn drive(&mut self, index: usize) -> Result<bool, String> {
        let mut has_moved = false;
        if self.connections[index]
            .server_notices_at
            .is_some_and(|due| due <= self.now)
        {
            self.server_leaves(index)?;
            has_moved = true;
        }
        while self.connections[index].wants_poll(self.now) {
            has_moved = true;
            self.poll(index)?;
        }
        let (now, settings) = (self.now, &self.settings);
        let connection = &mut self.connections[index];
        if connection.is_blocked() {
            has_moved |= connection.write(now, settings.delay, settings.segment, settings.window);
            let has_taken_all = !connection.is_blocked();
            if let Some(reader) = &connection.reader {
                S::has_taken(reader, has_taken_all);
            }
            if has_taken_all {
                Waker::from(Arc::clone(&connection.woken)).wake();
            }
        }
        if !self.clients[self.connections[index].client].is_stalled {
            while let Some(bytes) = self.connections[index].receive(now) {
                has_moved = true;
                self.hear(index, &bytes)?;
            }
            let connection = &self.connections[index];
            let is_closed = connection.reader.is_none()
                && connection.out.is_empty()
                && connection.pipe.is_empty()
                && !connection.is_half_open;
            if connection.is_open && is_closed {
                has_moved = true;
                self.connections[index].is_open = false;
                self.disconnected(self.connections[index].client);
            }
        }
        if self
            .gives_up_at(&self.connections[index])
            .is_some_and(|due| due <= now)
        {
            has_moved = true;
            self.counts.impatient += 1;
            self.hang_up(self.connections[index].client, None, true)?;
            let connection = &mut self.connections[index];
            connection.server_notices_at.get_or_insert(now + 70_000);
        }
        Ok(has_moved)
    }

    /// The server knows that its client is gone. The hub is told the time before.
    fn server_leaves(&mut self, index: usize) -> Result<(), String> {
        self.connections[index].server_notices_at = None;
        if self.connections[index].reader.is_some() {
            self.sweep()?;
            let connection = &mut self.connections[index];
            connection.reader = None;
            connection.out.clear();
            self.left(index);
        }
        Ok(())
    }

    fn left(&mut self, index: usize) {
        if let Some(sut) = &self.sut {
            let record = self.connections[index].expected.record;
            self.reference.leave(record, self.now, &sut.stats());
        }
    }

    fn poll(&mut self, index: usize) -> Result<(), String> {
        let (now, both) = (self.now, self.both());
        self.counts.polls += 1;
        let connection = &mut self.connections[index];
        let Some(reader) = &mut connection.reader else {
            return Ok(());
        };
        connection.woken.take();
        let waker = Waker::from(Arc::clone(&connection.woken));
        let output = S::poll(reader, &Context::from_waker(&waker), both);
        let (client, expected) = (connection.client, &mut connection.expected);
        match output {
            Output::Frames(bytes) => {
                waker.wake();
                self.log.number(index as u64);
                self.log.bytes(&bytes);
                let text = String::from_utf8_lossy(&bytes);
                self.log.line(
                    now,
                    format_args!("  to client {client}: {:?}", short(&text)),
                );
                let said = expected.frames(&mut self.reference, &bytes, both)?;
                connection.out.extend(&bytes);
                connection.unread.extend(messages(&text));
                self.count_said(&said);
            }
            Output::Idle { wake_at } => {
                let wake_at = wake_at.map(|due| due.as_millis());
                expected.idle(&mut self.reference, wake_at, S::SHARES_TIMERS, now)?;
                connection.wake_at = wake_at;
            }
            Output::End => {
                expected.end()?;
                self.counts.drained += 1;
                // The adapter drops the stream and closes once all is written.
                self.sweep()?;
                self.connections[index].reader = None;
                self.left(index);
            }
        }
        Ok(())
    }

    fn count_said(&mut self, said: &[Said]) {
        let is_greeting = matches!(said.first(), Some(Said::KeepAlive));
        for word in said {
            let counts = &mut self.counts;
            match word {
                Said::KeepAlive => counts.heartbeats += u64::from(is_greeting && said.len() == 1),
                Said::Greeting => counts.greetings += 1,
                Said::Event { .. } => counts.delivered += 1,
                Said::Resync { reason, is_time } => {
                    counts.markers += u64::from(*is_time);
                    match reason {
                        ResyncReason::Lagged => counts.lagged += 1,
                        ResyncReason::Restarted => counts.restarted += 1,
                        ResyncReason::SourceLost => counts.source_lost += 1,
                        ResyncReason::BufferMiss | _ => counts.buffer_miss += 1,
                    }
                    if *is_time {
                        self.a_time_was_given();
                    }
                }
                Said::Retry { .. } => {}
            }
        }
    }

    /// Bytes reach the client.
    fn hear(&mut self, index: usize, bytes: &[u8]) -> Result<(), String> {
        let connection = &mut self.connections[index];
        let page = &mut self.clients[connection.client];
        connection.heard_at = self.now;
        if !connection.has_heard {
            connection.has_heard = true;
            if connection.named.is_none() {
                // It is open: a client that names nothing fetches the record.
                page.knows.record = self.truth[page.watches];
                page.knows.is_ahead = true;
            }
        }
        connection
            .decoder
            .feed(bytes)
            .map_err(|error| error.to_string())?;
        while let Some(decoded) = connection.decoder.next() {
            match decoded {
                Decoded::Comment(_) => {}
                Decoded::Retry(millis) => page.retry = millis,
                Decoded::Message(message) => {
                    let written = connection.unread.pop_front();
                    if written.as_ref() != Some(&message) {
                        return Err(format!("{written:.200?} was read as {message:.200?}"));
                    }
                    page.apply(&message, self.truth[page.watches])?;
                    connection.is_exempt = false;
                }
                other => return Err(format!("not in a stream: {other:?}")),
            }
        }
        connection
            .decoder
            .last_event_id()
            .clone_into(&mut page.knows.id);
        Ok(())
    }

    /// No lost wake-up: whoever sleeps has been told everything.
    pub(crate) fn nobody_sleeps_on_something(&mut self) -> Result<(), String> {
        for connection in &self.connections {
            if connection.reader.is_none() {
                continue;
            }
            if connection.is_blocked() {
                self.counts.blocked += 1;
                continue;
            }
            let next = self.reference.known(connection.expected.record).next();
            if connection.expected.places != [Place::At(next)] || self.reference.is_draining {
                let client = connection.client;
                return Err(format!(
                    "client {client} sleeps, and something waits for it"
                ));
            }
        }
        Ok(())
    }
}

/// The start of what was written, for a trace.
fn short(text: &str) -> &str {
    let end = text
        .char_indices()
        .nth(300)
        .map_or(text.len(), |(at, _)| at);
    &text[..end]
}
