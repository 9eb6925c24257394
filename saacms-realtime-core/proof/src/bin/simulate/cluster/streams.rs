//! How clients come, go, and are served.

use core::task::{Context, Waker};
use std::sync::Arc;

use saacms_realtime_core::{Output, Position};

use super::client::Stream;
use super::engine::Meaning;
use super::host::set_flag;
use super::world::{Check, World, say};
use crate::sut::Sut;

/// A client that is refused, or whose stream has ended, comes back after this time. A hub that found
/// no room for a topic does not search again within a second.
const BACK_AFTER: u64 = 1_001;

/// Polls of a stream until it must be idle.
const POLLS: usize = 10_000;

impl<S: Sut> World<S> {
    /// A client comes to one of the hubs, with what it has.
    pub(super) fn join(&mut self) -> Check {
        let client = self.chance.index(self.clients.len());
        let host = self.chance.index(self.hosts.len());
        let it = &self.clients[client];
        if it.stream.is_some() || it.back_at > self.now {
            return Ok(());
        }

        match self.chance.below(20) {
            0 | 1 => self.clients[client].id.clear(),
            2 => self.name_foreign(client)?,
            _ => {}
        }
        self.connect(client, host)
    }

    /// A page that was given a position of another record, and then read the store.
    fn name_foreign(&mut self, client: usize) -> Check {
        let other = self.chance.index(self.clients.len());
        let id = self.clients[other].id.clone();
        if Position::parse(id.as_bytes()).is_some() {
            self.counts.foreign += 1;
            self.refetch(client, &id)?;
        }
        Ok(())
    }

    /// A host takes a position from its hub and then reads its store. Its page connects later.
    pub(super) fn take_position(&mut self, host: usize) -> Check {
        let client = self.chance.index(self.clients.len());
        if self.clients[client].stream.is_some() {
            return Ok(());
        }
        let key = &self.keys[self.clients[client].record];
        let id = self.hosts[host].sut.position(key).to_string();
        self.counts.taken += 1;
        say!(self, "client {client} is given {id} by hub {host}");
        self.refetch(client, &id)
    }

    /// A client fetches its record, and has this ID from then on.
    pub(super) fn refetch(&mut self, client: usize, id: &str) -> Check {
        let it = &mut self.clients[client];
        let meaning = self.engine.meaning(it.record, id)?;
        it.is_ambiguous = false;
        it.known = self.engine.records[it.record].history.all.len();
        it.name(id, meaning);
        if meaning.next.is_some_and(|next| next > it.known) {
            return Err(format!(
                "client {client} is told {id}, and does not know it"
            ));
        }
        Ok(())
    }

    pub(super) fn connect(&mut self, client: usize, host: usize) -> Check {
        let now = self.at();
        let it = &mut self.clients[client];
        let at = &self.hosts[host];
        let key = &self.keys[it.record];
        let named = Some(it.id.as_bytes()).filter(|id| !id.is_empty());
        let place = at.sut.position(key).to_string();
        say!(
            self,
            "client {client} comes to hub {host} naming {:?}; it knows {}",
            it.id,
            it.known
        );
        let Ok(reader) = at.sut.subscribe(key, named, now) else {
            self.counts.refused_streams += 1;
            it.back_at = self.now + BACK_AFTER;
            return Ok(());
        };

        self.counts.opened += 1;
        let asked = if it.id.is_empty() { &place } else { &it.id };
        let meaning = self.engine.meaning(it.record, asked)?;
        if it.id.is_empty() {
            // The client fetches its record now that its stream is open.
            it.known = self.engine.records[it.record].history.all.len();
            it.is_ambiguous = false;
            it.is_marker = false;
            it.has = Meaning {
                life: at.life,
                ..Meaning::default()
            };
        }
        // A time that a hub named may be the ID of an event by now, or soon (contract, section 3).
        let is_now = it.id == now.wall.to_string();
        let is_event = it.is_marker && (is_now || meaning != Meaning::default());
        let was_ambiguous = it.is_ambiguous;
        it.is_ambiguous |= meaning.is_ambiguous || is_event;
        self.counts.ambiguous += u64::from(it.is_ambiguous && !was_ambiguous);

        it.stream = Some(Stream {
            hub: host,
            reader,
            woken: set_flag(),
            wake_at: None,
            named: it.id.clone(),
            place: at.life.map(|_| place),
            opened_at: self.now,
            has_output: false,
            has_begun: false,
            has_event: false,
            has_resync: false,
        });
        Ok(())
    }

    pub(super) fn leave(&mut self) {
        let client = self.chance.index(self.clients.len());
        if self.clients[client].stream.take().is_some() {
            say!(self, "client {client} leaves");
        }
    }

    /// Polls one stream, if it was woken or is due, until it is idle. Returns whether it was.
    pub(super) fn poll_stream(&mut self, client: usize) -> Result<bool, String> {
        for polls in 0..POLLS {
            let now = self.at();
            let Some(stream) = &mut self.clients[client].stream else {
                return Ok(polls > 0);
            };
            let is_due = stream.wake_at.is_some_and(|due| due <= self.now);
            if !stream.woken.take() && !is_due {
                return Ok(polls > 0);
            }

            let waker = Waker::from(Arc::clone(&stream.woken));
            match S::poll(&mut stream.reader, &Context::from_waker(&waker), now) {
                Output::Frames(bytes) => {
                    // All is written at once, and more may wait.
                    S::wrote(&stream.reader, true);
                    waker.wake();
                    self.log.hash_number(client as u64);
                    self.log.hash_bytes(&bytes);
                    self.frames(client, &String::from_utf8_lossy(&bytes))?;
                    if let Some(stream) = &mut self.clients[client].stream {
                        stream.has_output = true;
                    }
                }
                Output::Idle { wake_at } => {
                    stream.wake_at = wake_at.map(|due| due.as_millis());
                    self.check_patience(client)?;
                }
                Output::End => {
                    say!(self, "the stream of client {client} ends");
                    self.clients[client].stream = None;
                    self.clients[client].back_at = self.now + BACK_AFTER;
                }
            }
        }
        Err(format!("the stream of client {client} is never idle"))
    }
}
