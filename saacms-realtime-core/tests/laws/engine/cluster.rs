//! Hubs over one engine in memory, which does what it is told at once.

use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use saacms_realtime_core::engine::{
    EngineSpec, Failed, Life, NotStored, Packed, Report, Request, Stamp,
};
use saacms_realtime_core::{
    EnginePort, Hub, HubConfig, Instant, Link, Mark, Now, Publishing, Refusal, Reporter,
    ResourceKey, Span, Told,
};

use crate::support::Clock;

/// The engine, the hubs over it, and their clock.
pub(crate) struct Cluster {
    pub(crate) clock: Clock,
    pub(crate) life: Life,
    /// The sequence of the newest event of any record.
    pub(crate) sequence: u64,
    /// Of what came after it, only the oldest events of full records were dropped.
    pub(crate) since: u64,
    pub(crate) records: BTreeMap<ResourceKey, VecDeque<Told<Packed>>>,
    pub(crate) nodes: Vec<Node>,
    /// What publishes are answered with instead of being stored.
    pub(crate) refuses: Option<NotStored>,
    /// Whether the engine gives times as IDs.
    pub(crate) stamps_ids: bool,
    print: u64,
}

/// A hub with its port, and what becomes of what it asks.
pub(crate) struct Node {
    pub(crate) hub: Hub,
    pub(crate) port: Option<EnginePort>,
    pub(crate) reporter: Reporter,
    pub(crate) watched: BTreeSet<ResourceKey>,
    /// Requests that are not carried out yet.
    pub(crate) waiting: VecDeque<Request>,
    /// Requests that were carried out, in words: `newest`, `sure newest`, `run 3`, `watch` ..
    pub(crate) log: Vec<String>,
    /// Requests wait until this is false again.
    pub(crate) is_held: bool,
    /// Live events do not arrive.
    pub(crate) drops_live: bool,
    /// Asks fail.
    pub(crate) fails: bool,
    /// An answer that need not be sure does not have the newest events of a record: so many.
    pub(crate) is_behind_by: usize,
    /// When the port is to be polled again.
    pub(crate) wake_at: Option<Instant>,
}

impl Node {
    fn new(config: HubConfig, seed: u64, spec: EngineSpec) -> Self {
        let (hub, port) = Hub::with_engine(config, seed, spec).expect("a valid configuration");
        Self {
            hub,
            reporter: port.reporter(),
            port: Some(port),
            watched: BTreeSet::new(),
            waiting: VecDeque::new(),
            log: Vec::new(),
            is_held: false,
            drops_live: false,
            fails: false,
            is_behind_by: 0,
            wake_at: None,
        }
    }
}

pub(crate) const KEEP: usize = 101;

impl Cluster {
    pub(crate) fn new() -> Self {
        Self {
            clock: Clock::new(),
            life: Life {
                number: 0xfeed,
                lost: 0,
            },
            sequence: 0,
            since: 0,
            records: BTreeMap::new(),
            nodes: Vec::new(),
            refuses: None,
            stamps_ids: false,
            print: 0,
        }
    }

    /// A cluster of hubs with this configuration, all of them up.
    pub(crate) fn of(nodes: usize, config: HubConfig) -> Self {
        let mut cluster = Self::new();
        for _ in 0..nodes {
            let node = cluster.add(config);
            cluster.up(node);
        }
        cluster
    }

    /// Adds a hub, which the engine has not reported to.
    pub(crate) fn add(&mut self, config: HubConfig) -> usize {
        self.add_with(config, |_| {})
    }

    pub(crate) fn add_with(
        &mut self,
        config: HubConfig,
        change: impl FnOnce(&mut EngineSpec),
    ) -> usize {
        let mut spec = EngineSpec {
            keep: KEEP,
            stamps: true,
            audit_every: None,
            max_event_bytes: 1 << 20,
            publish_timeout: Duration::from_secs(15),
        };
        change(&mut spec);
        self.nodes.push(Node::new(config, 0x1000, spec));
        self.nodes.len() - 1
    }

    /// Ends a hub, and starts another one in its place.
    pub(crate) fn restart(&mut self, node: usize, config: HubConfig) {
        let last = self.add(config);
        self.nodes.swap_remove(node);
        assert_eq!(self.nodes.len(), last, "the new one took its place");
        self.up(node);
    }

    pub(crate) fn now(&self) -> Now {
        self.clock.now()
    }

    pub(crate) fn hub(&self, node: usize) -> &Hub {
        &self.nodes[node].hub
    }

    pub(crate) fn report(&self, node: usize, report: Report) {
        self.nodes[node].reporter.report(report, self.now());
    }

    /// The engine can be reached by this hub. It has forgotten what it was asked.
    pub(crate) fn up(&mut self, node: usize) {
        self.nodes[node].watched.clear();
        self.nodes[node].waiting.clear();
        let (life, last) = (self.life, self.sequence);
        self.report(node, Report::Up { life, last });
        self.run();
    }

    /// Lets time pass, with everything that becomes due on the way.
    pub(crate) fn advance(&mut self, millis: u64) {
        let end = self.now().instant.as_millis() + millis;
        loop {
            let due = self.nodes.iter().filter_map(|node| node.wake_at).min();
            let next = due.map_or(end, |due| due.as_millis().min(end));
            let now = self.now().instant.as_millis();
            // At least a millisecond, or a port that is due at once would stop the clock.
            let step = next.saturating_sub(now).max(1).min(end - now);
            self.clock.advance(step);
            self.run();
            if self.now().instant.as_millis() == end {
                return;
            }
        }
    }

    /// Carries out what the hubs want until they want nothing more.
    pub(crate) fn run(&mut self) {
        loop {
            let mut is_idle = true;
            for node in 0..self.nodes.len() {
                self.collect(node);
                while !self.nodes[node].is_held
                    && let Some(request) = self.nodes[node].waiting.pop_front()
                {
                    is_idle = false;
                    self.carry_out(node, request);
                }
            }
            if is_idle {
                return;
            }
        }
    }

    /// Takes the requests of a hub.
    pub(crate) fn collect(&mut self, node: usize) {
        let now = self.now();
        let Some(port) = &mut self.nodes[node].port else {
            return;
        };
        let mut requests = Vec::new();
        let wake_at = port.poll_requests(&Context::from_waker(Waker::noop()), now, &mut requests);
        self.nodes[node].wake_at = wake_at;
        self.nodes[node].waiting.extend(requests);
    }

    pub(crate) fn carry_out(&mut self, node: usize, request: Request) {
        match request {
            Request::Watch(key) => {
                self.log(node, "watch".to_owned());
                assert!(self.nodes[node].watched.insert(key), "watched once");
            }
            Request::Unwatch(key) => {
                self.log(node, "unwatch".to_owned());
                assert!(self.nodes[node].watched.remove(&key), "it was watched");
            }
            Request::Newest { of, sure } => {
                self.log(node, if sure { "sure newest" } else { "newest" }.to_owned());
                for (key, number) in of {
                    let answer = self.run_of(node, &key, 0, sure).map(|(run, span)| {
                        let newest = run.last().cloned();
                        (newest, span)
                    });
                    self.report(node, Report::Newest(key, number, answer));
                }
            }
            Request::Run {
                key,
                number,
                from,
                sure,
            } => {
                self.log(node, format!("run {from}"));
                let answer = self.run_of(node, &key, from, sure);
                self.report(node, Report::Run(key, number, answer));
            }
            Request::Publish {
                ticket,
                key,
                packed,
            } => {
                let result = match self.refuses {
                    Some(refusal) => Err(refusal),
                    None => Ok(self.store(key, packed)),
                };
                self.report(node, Report::Stored(ticket, result));
            }
            Request::DeclareLost => {
                self.log(node, "declare lost".to_owned());
                self.lose(0);
            }
        }
    }

    fn log(&mut self, node: usize, line: String) {
        self.nodes[node].log.push(line);
    }

    /// The requests of a hub since the last call, in words.
    pub(crate) fn take_log(&mut self, node: usize) -> Vec<String> {
        std::mem::take(&mut self.nodes[node].log)
    }

    /// Stores an event and tells the hubs that watch its record.
    pub(crate) fn store(&mut self, key: ResourceKey, mut packed: Packed) -> u64 {
        self.sequence += 1;
        packed.stamp(Stamp {
            at: self.now().wall,
            is_id: self.stamps_ids,
        });
        let events = self.records.entry(key.clone()).or_default();
        let link = events.back().map_or(Link::First, |last| Link::After {
            sequence: last.mark.sequence,
            print: Some(last.mark.print),
        });
        let told = Told {
            mark: Mark {
                sequence: self.sequence,
                print: self.print,
            },
            link,
            event: packed,
        };
        events.push_back(told.clone());
        if events.len() > KEEP {
            events.pop_front();
        }
        for node in &self.nodes {
            if node.watched.contains(&key) && !node.drops_live {
                let live = Report::Live(key.clone(), told.clone());
                node.reporter.report(live, self.now());
            }
        }
        self.sequence
    }

    /// Loses the newest events, and begins another life.
    pub(crate) fn lose(&mut self, events: u64) {
        self.lose_silently(events);
        self.life = Life {
            number: self.life.number + 1,
            lost: self.sequence,
        };
        for node in 0..self.nodes.len() {
            self.nodes[node].waiting.clear();
            self.report(node, Report::Lost(self.life));
        }
        self.run();
    }

    /// Loses the newest events, and gives their numbers again.
    pub(crate) fn lose_silently(&mut self, events: u64) {
        self.sequence -= events;
        self.print += 1;
        for kept in self.records.values_mut() {
            kept.retain(|told| told.mark.sequence <= self.sequence);
        }
    }

    fn run_of(
        &self,
        node: usize,
        key: &ResourceKey,
        from: u64,
        sure: bool,
    ) -> Result<(Vec<Told<Packed>>, Span), Failed> {
        let node = &self.nodes[node];
        if node.fails {
            return Err(Failed);
        }
        let behind = if sure { 0 } else { node.is_behind_by };
        let kept = self.records.get(key).into_iter().flatten();
        let mut run: Vec<_> = kept
            .filter(|told| told.mark.sequence >= from)
            .cloned()
            .collect();
        run.truncate(run.len().saturating_sub(behind));
        let upto = match behind {
            0 => self.sequence,
            _ => run.last().map_or(0, |told| told.mark.sequence),
        };
        let since = self.since.min(upto);
        Ok((run, Span { since, upto }))
    }
}

/// The outcome of a publish; `None` if it is not known.
pub(crate) fn outcome(publishing: &mut Publishing) -> Option<Result<(), Refusal>> {
    match Pin::new(publishing).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => Some(result),
        Poll::Pending => None,
    }
}

/// An event that a later version wrote.
pub(crate) fn unreadable() -> Packed {
    Packed::from_bytes(Bytes::from_static(b"\xff of a later version"))
}
