//! How clients connect and disconnect.

use core::task::Waker;
use std::sync::Arc;

use saacms_realtime_core::EventIds;
use saacms_realtime_core::sse::Decoder;

use crate::check::Expected;
use crate::client::{Client, Knowledge};
use crate::connection::{Connection, Flag};
use crate::life::Place;
use crate::scenario::{INVENTED, Naming};
use crate::sut::Sut;
use crate::world::World;

/// Largest event that a client accepts.
const MAX_EVENT: usize = 1 << 20;

impl<S: Sut> World<S> {
    /// Opens the page, or reloads it: its client names an ID of this kind.
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
            Naming::Foreign(other) => {
                // A page that was given a position of another record, and then read the store.
                let position = self.clients[other].knows.id.clone();
                if is_position(&position) {
                    named = Some(position.clone());
                    self.clients[client].knows = Knowledge {
                        id: position,
                        record: self.truth[self.clients[client].watches],
                        is_ahead: true,
                    };
                }
            }
            Naming::Taken => return self.open_later(client),
            Naming::Old => {
                // A page that a browser restores: it shows the record of that time.
                if let Some(memory) = page.earlier.first().cloned() {
                    page.knows = memory;
                    named = Some(page.knows.id.clone());
                }
            }
        }

        self.connect_naming(client, named)
    }

    /// The page's host takes a position, and then reads the store. The page connects with it a second
    /// later, whatever is published until then.
    fn open_later(&mut self, client: usize) -> Result<(), String> {
        let page = &mut self.clients[client];
        page.reconnect_at = Some(self.now + 1_000);
        // A host that cannot ask the hub leaves the page as it was.
        let Some(sut) = &self.sut else {
            return Ok(());
        };

        let position = sut.position(&self.keys[page.watches]).to_string();
        let right = self.reference.position();
        if position != right {
            return Err(format!("the position is {position}, not {right}"));
        }

        page.knows = Knowledge {
            id: position,
            record: self.truth[page.watches],
            is_ahead: true,
        };
        self.counts.taken += 1;
        Ok(())
    }

    /// Reconnects as a browser does by itself.
    pub(crate) fn connect(&mut self, client: usize) -> Result<(), String> {
        let named = Some(self.clients[client].knows.id.clone()).filter(|id| !id.is_empty());
        self.connect_naming(client, named)
    }

    fn connect_naming(&mut self, client: usize, named: Option<String>) -> Result<(), String> {
        let record = self.clients[client].watches;
        self.clients[client].reconnect_at = None;
        let Some(sut) = &self.sut else {
            // The hub is down: the client tries again.
            self.clients[client].reconnect_at = Some(self.now + 2_000);
            return Ok(());
        };

        let answer = sut.subscribe(
            &self.keys[record],
            named.as_deref().map(str::as_bytes),
            self.both(),
        );
        let right = self.reference.subscribe(record, named.as_deref(), self.now);
        self.log.push_line(
            self.now,
            format_args!("  client {client} names {named:?}: {right:?}"),
        );

        let (reader, places) = match (answer, right) {
            (Ok(reader), Ok(places)) => (reader, places),
            (Err(_), Err(_)) => {
                self.counts.refused += 1;
                // Spread out, so that refused clients do not return all at once.
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

        let life = self.reference.life(record);
        let is_greeted = self.settings.hub.greeting && named.is_none();
        let greeting = is_greeted.then(|| life.place());
        let is_exempt = self.is_exempt(client, named.as_deref());

        // Set at first, so that the stream is polled.
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
            has_received: false,
            received_at: self.now,
            is_exempt,
        });
        Ok(())
    }

    /// Whether this connection may leave the client behind: the one case is that it names an ETag of
    /// more than one event after it fetched the record (contract, section 3, Q21).
    fn is_exempt(&self, client: usize, named: Option<&str>) -> bool {
        let Client { watches, knows, .. } = &self.clients[client];
        let is_repeated =
            named.is_some_and(|id| self.uses.get(&(*watches, id.trim().into())) > Some(&1));
        self.settings.hub.event_ids != EventIds::Position && knows.is_ahead && is_repeated
    }

    fn count_resume(&mut self, record: usize, is_named: bool, places: &[Place]) {
        let next = self.reference.life(record).next();
        match places {
            [Place::At(number)] if is_named && *number < next => self.counts.replays += 1,
            [Place::At(_)] if is_named => self.counts.nothing_missed += 1,
            _ => {}
        }
    }

    /// Closes the client's end. The server notices after this many milliseconds, or not by itself.
    pub(crate) fn hang_up(
        &mut self,
        client: usize,
        server_notices_after: Option<u64>,
        loses_all: bool,
    ) -> Result<(), String> {
        let is_own =
            |connection: &Connection<S::Reader>| connection.client == client && connection.is_open;
        let Some(index) = self.connections.iter().position(is_own) else {
            return Ok(());
        };

        if !loses_all {
            // Bytes in flight arrive first.
            while let Some((_, bytes)) = self.connections[index].pipe.pop_front() {
                self.receive_bytes(index, &bytes)?;
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
        // A half-open connection has a time already, which stays if no other is known.
        let notices_at = server_notices_after.map(|after| self.now + after);
        connection.server_notices_at = notices_at.or(connection.server_notices_at);
        self.disconnected(client);
        Ok(())
    }

    /// Cuts the network without closing either end.
    pub(crate) fn half_open(&mut self, client: usize, server_notices_after: u64) {
        for connection in &mut self.connections {
            if connection.client == client && connection.is_open && !connection.is_half_open {
                self.counts.half_open += 1;
                connection.is_half_open = true;
                connection.pipe.clear();
                connection.server_notices_at = Some(self.now + server_notices_after);
            }
        }
    }

    /// The client's end is closed: a page that is still open reconnects.
    pub(crate) fn disconnected(&mut self, client: usize) {
        let page = &mut self.clients[client];
        if page.is_on {
            page.reconnect_at = Some(self.now + page.retry);
            // A reconnection time is used once; after that the default applies again.
            page.retry = 3_000;
        }
    }
}

/// Whether any hub of a simulation may have given this position.
fn is_position(id: &str) -> bool {
    id.split_once('.')
        .is_some_and(|(epoch, sequence)| epoch.len() == 16 && sequence.parse::<u64>().is_ok())
}
