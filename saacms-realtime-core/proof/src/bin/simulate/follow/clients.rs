//! The clients of the attack: how they come, what they get, and what they must not be told.

use saacms_realtime_core::Told;

use super::client::Id;
use super::engine::Event;
use super::world::{Check, World, say};
use crate::history::Stored;

impl World {
    /// Passes a live event on to the clients of a node.
    pub(super) fn pass_on(&mut self, node: usize, told: &Told<Event>) -> Check {
        let newest = self.nodes[node].newest().ok_or("nothing was pushed")?;
        let id = newest.id(self.settings.names_positions);
        let index = self.engine.history.index(told.event.id);

        for (number, client) in self.clients.iter_mut().enumerate() {
            if client.node == Some(node) && client.is_placed {
                client
                    .receive(index, id)
                    .map_err(|error| format!("client {number}: {error}"))?;
                self.counts.received += 1;
            }
        }
        Ok(())
    }

    pub(super) fn resync(&mut self, client: usize, node: usize) {
        let id = self.nodes[node].id(self.settings.names_positions);
        self.clients[client].refetch(self.engine.history.all.len(), id);
        self.counts.resyncs += 1;
        say!(self, "client {client} refetches");
    }

    /// Gives the clients that wait at a node a place, where it is known.
    pub(super) fn place_all(&mut self, node: usize) -> Check {
        for client in 0..self.clients.len() {
            let it = &self.clients[client];
            if it.node == Some(node) && !it.is_placed && self.nodes[node].has_begun {
                self.place(client, node)?;
            }
        }
        Ok(())
    }

    fn place(&mut self, client: usize, node: usize) -> Check {
        let at = &mut self.nodes[node];
        let it = &mut self.clients[client];
        let Some(named) = it.named else {
            it.place();
            let id = at.id(self.settings.names_positions);
            it.refetch(self.engine.history.all.len(), id);
            return Ok(());
        };

        let is_confirmed = at.confirmed > it.asks;
        if let Some(from) = at.find(named, self.engine.life, is_confirmed) {
            it.place();
            say!(self, "client {client} begins at {from} of the ring");
            for entry in at.replay(from) {
                let index = self.engine.history.index(entry.event.id);
                it.receive(index, entry.id(self.settings.names_positions))
                    .map_err(|error| format!("client {client}, replayed: {error}"))?;
                self.counts.replayed += 1;
            }
        } else if !at.is_complete {
            at.follower.look_back();
        } else if !is_confirmed {
            at.follower.make_sure();
        } else {
            self.check_unknown(client, named)?;
            self.clients[client].place();
            self.counts.unknown_ids += 1;
            self.resync(client, node);
        }
        Ok(())
    }

    /// Without a loss, an ID is known as long as the engine keeps its event, and whoever missed nothing
    /// is not told to refetch.
    fn check_unknown(&self, client: usize, named: Id) -> Check {
        let history = &self.engine.history;
        let is_named = |stored: &Stored| match named {
            Id::Event(id) => stored.id == id,
            Id::Position { sequence, .. } => stored.sequence == sequence,
        };
        let has_missed_nothing = match named {
            Id::Event(_) => false,
            Id::Position { sequence, .. } => {
                let newest = history.all.last();
                history.dropped <= sequence && newest.is_none_or(|it| it.sequence <= sequence)
            }
        };

        if !self.settings.is_wild && history.kept().iter().any(is_named) {
            return Err(format!("client {client}: {named:?} is kept, but not found"));
        }
        if !self.settings.is_wild && has_missed_nothing {
            return Err(format!(
                "client {client} missed nothing after {named:?}, and must refetch"
            ));
        }
        Ok(())
    }

    pub(super) fn join(&mut self) -> Check {
        let client = self.chance.index(self.clients.len());
        let node = self.chance.index(self.nodes.len());
        let it = &mut self.clients[client];
        if it.node.is_some() {
            return Ok(());
        }

        it.node = Some(node);
        it.is_placed = false;
        it.named = it.id;
        it.asks = self.nodes[node].asks;
        let (named, known) = (it.named, it.known);
        say!(
            self,
            "client {client} comes to node {node} naming {named:?}; it knows {known}"
        );
        self.place_all(node)
    }

    pub(super) fn leave(&mut self) {
        let client = self.chance.index(self.clients.len());
        if self.clients[client].node.take().is_some() {
            say!(self, "client {client} leaves");
        }
    }
}
