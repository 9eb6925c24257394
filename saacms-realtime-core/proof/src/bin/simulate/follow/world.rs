//! The operations of the attack, and what must hold after each.

use saacms_realtime_core::{Ask, Effect};

use super::client::Client;
use super::counts::Counts;
use super::engine::{Answer, Engine, Event};
use super::node::Node;
use super::{DEPTH, KEEP, Op, Settings};
use crate::chance::Chance;
use crate::history::Kind;
use crate::log::Log;

/// A line of the trace.
macro_rules! say {
    ($world:expr, $($text:tt)+) => {
        $world.log.push_line($world.step, format_args!($($text)+))
    };
}
pub(super) use say;

pub(super) type Check = Result<(), String>;

pub(crate) struct World {
    pub(super) settings: Settings,
    pub(super) chance: Chance,
    pub(super) engine: Engine,
    pub(super) nodes: Vec<Node>,
    pub(super) clients: Vec<Client>,
    pub(crate) counts: Counts,
    pub(crate) log: Log,
    /// How many operations were run.
    pub(super) step: u64,
}

impl World {
    pub(super) fn new(settings: &Settings, log: Log) -> Self {
        Self {
            settings: settings.clone(),
            chance: Chance::new(0),
            engine: Engine::new(settings.engine, settings.is_alone),
            nodes: (0..settings.nodes).map(|_| Node::new(true)).collect(),
            clients: (0..settings.clients).map(|_| Client::default()).collect(),
            counts: Counts::default(),
            log,
            step: 0,
        }
    }

    pub(super) fn run(&mut self, op: Op) -> Check {
        self.step += 1;
        self.chance = Chance::new(op.0);
        let node = self.chance.index(self.nodes.len());
        let is_wild = self.settings.is_wild;

        // Weights in thousandths.
        match self.chance.below(1_000) {
            0..120 => self.publish(),
            120 if self.chance.percent(5) => self.burst(),
            120..380 => self.deliver(node)?,
            380..510 => self.ask(node),
            510..640 => self.answer(node)?,
            640..750 => self.join()?,
            750..780 => self.leave(),
            780..830 => self.doubt(node),
            830..860 => self.engine.replicate(),
            860..870 if is_wild => self.lose(),
            870..890 if is_wild => self.disconnect(node),
            890..920 => self.reconnect(node),
            920..930 | 950..970 if self.settings.ages => self.age(),
            930..940 if is_wild => self.squeeze(),
            940..950 => self.forget(node),
            _ => self.engine.sequence += 1 + self.chance.below(5),
        }
        Ok(())
    }

    /// Whether something went wrong of which the engine's adapter would tell.
    pub(super) fn is_doubtful(&self) -> bool {
        self.settings.is_wild || self.counts.dropped > 0
    }

    fn publish(&mut self) {
        let others = self.chance.below(2) * self.chance.below(3);
        let told = self.engine.publish(others);
        self.counts.published += 1;
        say!(self, "publishes {told:?}");

        for node in &mut self.nodes {
            if !node.is_up || self.chance.percent(self.settings.dropped) {
                self.counts.dropped += 1;
                continue;
            }
            if self.chance.percent(5) {
                node.wire.push_back(told);
                self.counts.doubled += 1;
            }
            node.wire.push_back(told);
            if self.chance.percent(25) && node.wire.len() > 1 {
                let last = node.wire.len() - 1;
                node.wire.swap(last, last - 1);
                self.counts.swapped += 1;
            }
        }
    }

    /// More events at once than wait for an answer.
    fn burst(&mut self) {
        for _ in 0..230 {
            self.publish();
        }
    }

    pub(super) fn deliver(&mut self, node: usize) -> Check {
        let Some(told) = self.nodes[node].wire.pop_front() else {
            return Ok(());
        };
        say!(self, "node {node} hears {told:?}");
        let mut effects = Vec::new();
        self.nodes[node].follower.live(told, &mut effects);
        self.apply(node, effects)
    }

    /// Asks what the follower wants to know. The engine looks at once, and answers later.
    pub(super) fn ask(&mut self, node: usize) {
        let is_behind = self.chance.percent(30) && !self.engine.is_exact();
        let at = &mut self.nodes[node];
        if at.ask.is_none() {
            at.ask = at.follower.ask();
            at.asks += u64::from(at.ask.is_some());
            at.answer = None;
        }
        let Some(ask) = at.ask else { return };
        if at.answer.is_some() || !at.is_up {
            return;
        }

        let (Ask::Newest { sure } | Ask::Run { sure, .. }) = ask;
        let is_stale = is_behind && !sure;
        at.answer = Some(self.engine.answer(ask, is_stale));
        at.answer_life = self.engine.life;
        self.counts.asks += 1;
        self.counts.sure_asks += u64::from(sure);
        self.counts.stale += u64::from(is_stale);
        say!(self, "node {node} asks {ask:?}, stale: {is_stale}");
    }

    pub(super) fn answer(&mut self, node: usize) -> Check {
        let at = &mut self.nodes[node];
        if !at.is_up || at.answer.is_some() && self.chance.percent(10) {
            self.counts.failed += u64::from(at.ask.is_some());
            at.fail();
            return Ok(());
        }
        let Some(answer) = at.answer.take() else {
            return Ok(());
        };

        at.ask = None;
        say!(self, "node {node} gets {answer:?}");
        let (place, upto) = (at.follower.place(), answer.span().upto);
        let mut effects = Vec::new();
        match answer {
            Answer::Newest(newest, span) => at.follower.newest(newest, span, &mut effects),
            Answer::Run(run, span) => at.follower.run(run, span, &mut effects),
        }

        if !effects.is_empty() {
            at.heard_upto = at.heard_upto.max(upto);
        }
        if at.follower.place() != place {
            at.placed();
        }
        self.apply(node, effects)
    }

    fn apply(&mut self, node: usize, effects: Vec<Effect<Event>>) -> Check {
        for effect in effects {
            say!(self, "node {node}: {effect:?}");
            let at = &mut self.nodes[node];
            match effect {
                Effect::Begin(newest, span) => {
                    at.is_fresh = true;
                    at.begin(newest.as_ref(), span);
                }
                Effect::Push(told) => {
                    at.push(&told);
                    self.pass_on(node, &told)?;
                }
                Effect::History(history, floor) => {
                    at.look_back(&history, floor);
                    self.counts.histories += 1;
                }
                Effect::Interrupt(newest, span) => {
                    self.check_interrupt(node)?;
                    self.nodes[node].begin(newest.as_ref(), span);
                    self.counts.interrupts += 1;
                    for client in 0..self.clients.len() {
                        let it = &self.clients[client];
                        if it.node == Some(node) && it.is_placed {
                            self.resync(client, node);
                        }
                    }
                }
                Effect::Confirmed { sure } => {
                    if sure || self.engine.is_exact() {
                        at.confirmed = at.asks;
                        at.is_fresh = false;
                    }
                }
            }
            self.log.hash_number(self.nodes[node].follower.place());
        }
        self.place_all(node)
    }

    /// An interrupt needs a loss if the newest event that was passed on is kept, or if there were too
    /// few events for any to be dropped.
    fn check_interrupt(&self, node: usize) -> Check {
        let newest = self.nodes[node].newest();
        let is_kept = newest.is_some_and(|newest| {
            let mut kept = self.engine.history.kept().iter();
            kept.any(|stored| stored.id == newest.event.id)
        });
        let is_calm = self.engine.ids <= KEEP as u64 / 2;
        if !self.settings.is_wild && (is_kept || is_calm) {
            return Err(format!("node {node}: a needless interrupt at {newest:?}"));
        }
        Ok(())
    }

    pub(super) fn doubt(&mut self, node: usize) {
        self.nodes[node].follower.doubt();
        self.counts.doubts += 1;
        say!(self, "node {node} doubts");
    }

    /// The engine loses its newest events.
    fn lose(&mut self) {
        let count = self.chance.index(4).min(self.engine.losable(DEPTH));
        if count == 0 {
            return;
        }
        self.engine.lose(count);
        self.counts.losses += 1;
        self.counts.lost += count as u64;
        let left = self.engine.history.all.len();
        say!(self, "the engine loses all but {left}");
        for client in &mut self.clients {
            client.lose(left);
        }

        // Where links name more than a number, nobody need say it.
        if self.settings.engine == Kind::Prints && self.chance.percent(50) {
            return;
        }
        // Such a loss takes the connections with it: every node hears of that before anything new. A
        // node that knows of something that is no more, be it of another record, says that it is a
        // loss; or another node has said so.
        let is_told = self.settings.engine == Kind::Life || self.chance.percent(30);
        for node in &mut self.nodes {
            node.wire.clear();
            node.fail();
            let is_ahead = node.follower.place() > self.engine.sequence;
            if is_told || is_ahead && self.chance.percent(50) {
                node.follower.lost();
            } else {
                node.follower.doubt();
            }
        }
    }

    fn disconnect(&mut self, node: usize) {
        say!(self, "node {node} is cut off");
        let node = &mut self.nodes[node];
        node.is_up = false;
        node.wire.clear();
        node.fail();
    }

    pub(super) fn reconnect(&mut self, node: usize) {
        if !self.nodes[node].is_up {
            say!(self, "node {node} is back");
            self.nodes[node].is_up = true;
            self.doubt(node);
        }
    }

    /// All events are old. That takes so long that each node has heard of all of them; one that is cut
    /// off for that long is told of a loss.
    fn age(&mut self) {
        let newest = self.engine.history.all.last().map(|stored| stored.id);
        for node in &self.nodes {
            let has_all = node.newest().map(|newest| newest.event.id) == newest
                && node.heard_upto == self.engine.sequence;
            let is_quiet = node.is_up && node.follower.is_live() && node.wire.is_empty();
            if !is_quiet || node.has_begun && !has_all {
                return;
            }
        }

        self.engine.drop_all();
        self.counts.aged += 1;
        say!(self, "all events are dropped by age");
    }

    /// The engine has no room and drops all events, however new; but not what it wrote in place of lost
    /// events before anybody could ask for it.
    fn squeeze(&mut self) {
        if self.engine.life == 0 {
            self.engine.drop_all();
            self.counts.squeezed += 1;
            say!(self, "all events are dropped for room");
        }
    }

    /// A node without clients forgets the record.
    fn forget(&mut self, node: usize) {
        if self.clients.iter().all(|client| client.node != Some(node)) {
            self.nodes[node] = Node::new(self.nodes[node].is_up);
            self.counts.forgotten += 1;
            say!(self, "node {node} forgets");
        }
    }

    pub(super) fn stop_dropping(&mut self) {
        self.settings.dropped = 0;
    }
}
