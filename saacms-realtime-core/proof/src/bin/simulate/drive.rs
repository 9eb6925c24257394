//! How bytes travel from a hub to its clients.

use core::task::{Context, Waker};
use std::sync::Arc;

use saacms_realtime_core::sse::Decoded;
use saacms_realtime_core::{Output, ResyncReason};

use crate::check::Block;
use crate::connection::{Connection, messages};
use crate::life::Place;
use crate::sut::Sut;
use crate::world::World;

impl<S: Sut> World<S> {
    /// Counts the bytes that a connection loses when the hub is killed.
    pub(crate) fn count_end(&mut self, connection: &Connection<S::Reader>) {
        self.counts.bytes_lost += connection
            .pipe
            .iter()
            .map(|(_, bytes)| bytes.len() as u64)
            .sum::<u64>();
    }

    /// When this connection next has something to do.
    pub(crate) fn due(&self, connection: &Connection<S::Reader>) -> Option<u64> {
        // A stalled client reads nothing, and a blocked stream is not polled: nothing is due then.
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

    /// When the client loses patience.
    fn gives_up_at(&self, connection: &Connection<S::Reader>) -> Option<u64> {
        let is_waiting = self.settings.patience > 0
            && connection.is_open
            && !self.clients[connection.client].is_stalled;
        is_waiting.then(|| connection.received_at + self.settings.patience)
    }

    /// Does what one connection can do now; returns whether that was anything.
    pub(crate) fn drive(&mut self, index: usize) -> Result<bool, String> {
        let mut has_moved = false;

        if self.connections[index]
            .server_notices_at
            .is_some_and(|due| due <= self.now)
        {
            self.server_leaves(index)?;
            has_moved = true;
        }

        // Until the stream is idle or its socket is full, as an adapter polls it.
        while self.connections[index].wants_poll(self.now) {
            has_moved = true;
            self.poll(index)?;
        }

        let (now, settings) = (self.now, &self.settings);
        let connection = &mut self.connections[index];
        if connection.is_blocked() {
            has_moved |= connection.write(now, settings.delay, settings.segment, settings.window);
            let wrote_all = !connection.is_blocked();
            // A lane is told of a socket that is full, and when it has room again.
            if let Some(reader) = &connection.reader {
                S::wrote(reader, wrote_all);
            }
            if wrote_all {
                Waker::from(Arc::clone(&connection.woken)).wake();
            }
        }

        if !self.clients[self.connections[index].client].is_stalled {
            while let Some(bytes) = self.connections[index].receive(now) {
                has_moved = true;
                self.receive_bytes(index, &bytes)?;
            }
            // The client sees the end of the stream only after the last byte, and only if the network
            // brings it.
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
            // If nothing else tells the server, it notices after a while.
            let connection = &mut self.connections[index];
            connection.server_notices_at.get_or_insert(now + 70_000);
        }

        Ok(has_moved)
    }

    /// The server drops a stream whose client is gone.
    ///
    /// It sweeps first, so that hub and reference agree on the time.
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

    /// A reader was dropped: the reference must know.
    fn left(&mut self, index: usize) {
        if self.sut.is_some() {
            let record = self.connections[index].expected.record;
            self.reference.leave(record, self.now);
        }
    }

    fn poll(&mut self, index: usize) -> Result<(), String> {
        let (now, both) = (self.now, self.both());
        self.counts.polls += 1;
        let connection = &mut self.connections[index];
        let Some(reader) = &mut connection.reader else {
            return Ok(());
        };

        // Before the poll: a wake-up during it must not be forgotten.
        connection.woken.take();
        let waker = Waker::from(Arc::clone(&connection.woken));
        let output = S::poll(reader, &Context::from_waker(&waker), both);

        let (client, expected) = (connection.client, &mut connection.expected);
        match output {
            Output::Frames(bytes) => {
                // More may wait, and only an idle poll registers the waker.
                waker.wake();
                self.log.hash_number(index as u64);
                self.log.hash_bytes(&bytes);
                let text = String::from_utf8_lossy(&bytes);
                self.log.push_line(
                    now,
                    format_args!("  to client {client}: {:?}", short(&text)),
                );
                let blocks = expected.frames(&mut self.reference, &bytes, both)?;
                connection.out.extend(&bytes);
                connection.unread.extend(messages(&text));
                self.count_blocks(&blocks);
            }
            Output::Idle { wake_at } => {
                let wake_at = wake_at.map(|due| due.as_millis());
                expected.idle(&mut self.reference, wake_at, S::SHARES_TIMERS, now)?;
                connection.wake_at = wake_at;
            }
            Output::End => {
                expected.end()?;
                self.counts.drained += 1;
                // An adapter drops the stream, and closes the connection once all is written.
                self.sweep()?;
                self.connections[index].reader = None;
                self.left(index);
            }
        }

        Ok(())
    }

    fn count_blocks(&mut self, blocks: &[Block]) {
        // A keep-alive that is alone in its piece counts as a heartbeat, any other as a greeting.
        let is_greeting = matches!(blocks.first(), Some(Block::KeepAlive));
        for block in blocks {
            let counts = &mut self.counts;
            match block {
                Block::KeepAlive => {
                    counts.heartbeats += u64::from(is_greeting && blocks.len() == 1)
                }
                Block::Greeting => counts.greetings += 1,
                Block::Event { .. } => counts.delivered += 1,
                Block::Resync { reason, is_time } => {
                    counts.markers += u64::from(*is_time);
                    match reason {
                        ResyncReason::Lagged => counts.lagged += 1,
                        ResyncReason::Restarted => counts.restarted += 1,
                        ResyncReason::SourceLost => counts.source_lost += 1,
                        ResyncReason::BufferMiss | _ => counts.buffer_miss += 1,
                    }
                    // The hub chose it, so the clock may not be set back before it at a restart.
                    if *is_time {
                        self.count_time_id();
                    }
                }
                Block::Retry { .. } => {}
            }
        }
    }

    /// Bytes arrive at the client.
    pub(crate) fn receive_bytes(&mut self, index: usize, bytes: &[u8]) -> Result<(), String> {
        let connection = &mut self.connections[index];
        let page = &mut self.clients[connection.client];
        connection.received_at = self.now;

        if !connection.has_received {
            connection.has_received = true;
            if connection.named.is_none() {
                // The stream is open: a client that named no ID fetches the record now.
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
                    // What the decoder reads must be what the hub wrote.
                    let written = connection.unread.pop_front();
                    if written.as_ref() != Some(&message) {
                        return Err(format!("{written:.200?} was read as {message:.200?}"));
                    }
                    page.apply(&message, self.truth[page.watches])?;
                    // From here on, what the client knows is what its stream carried.
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

    /// Checks that no wake-up was lost: nothing more happens at this time, so every stream that can
    /// write has delivered everything.
    pub(crate) fn check_wake_ups(&mut self) -> Result<(), String> {
        for connection in &self.connections {
            if connection.reader.is_none() {
                continue;
            }
            // This one waits for its client, and not for a wake-up.
            if connection.is_blocked() {
                self.counts.blocked += 1;
                continue;
            }

            let next = self.reference.life(connection.expected.record).next();
            if connection.expected.places != [Place::At(next)] || self.reference.is_draining {
                let client = connection.client;
                return Err(format!(
                    "the stream of client {client} is idle, but something waits for it"
                ));
            }
        }
        Ok(())
    }
}

/// The start of a piece, for a trace.
fn short(text: &str) -> &str {
    let end = text
        .char_indices()
        .nth(300)
        .map_or(text.len(), |(at, _)| at);
    &text[..end]
}
