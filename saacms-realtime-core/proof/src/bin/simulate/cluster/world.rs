//! The operations of the attack.

use saacms_realtime_core::engine::{Failed, Report, Request};
use saacms_realtime_core::{Now, ResourceKey};

use super::adapter::Waiting;
use super::client::Client;
use super::counts::Counts;
use super::engine::Engine;
use super::host::Host;
use super::publishes::{Publish, number_of};
use super::{Op, PUBLISH_TIMEOUT, Settings};
use crate::chance::Chance;
use crate::log::Log;
use crate::sut::Sut;

/// A line of the trace.
macro_rules! say {
    ($world:expr, $($text:tt)+) => {
        $world.log.push_line($world.now, format_args!($($text)+))
    };
}
pub(super) use say;

pub(super) type Check = Result<(), String>;

pub(crate) struct World<S: Sut> {
    pub(super) settings: Settings,
    pub(super) chance: Chance,
    pub(super) keys: Vec<ResourceKey>,
    pub(super) engine: Engine,
    pub(super) hosts: Vec<Host<S>>,
    pub(super) clients: Vec<Client<S::Reader>>,
    pub(super) publishes: Vec<Publish>,
    /// Publishes before this one are settled.
    pub(super) settled: usize,
    pub(super) seed: u64,
    pub(super) now: u64,
    /// Nothing goes wrong any more.
    pub(super) is_calm: bool,
    pub(crate) counts: Counts,
    pub(crate) log: Log,
}

/// Most bytes that are joined for the readers of a record.
const JOINED: usize = 65_536;

/// The wall clock at the beginning of each run.
pub(super) const WALL: i64 = 1_700_000_000_000;

impl<S: Sut> World<S> {
    pub(super) fn new(settings: &Settings, seed: u64, log: Log) -> Self {
        let key = |id| ResourceKey::new("posts", &format!("{id}")).expect("valid");
        let mut world = Self {
            settings: settings.clone(),
            chance: Chance::new(seed),
            keys: (0..settings.records).map(key).collect(),
            engine: Engine::new(settings),
            hosts: Vec::new(),
            clients: settings.clients.iter().map(|it| Client::new(*it)).collect(),
            publishes: Vec::new(),
            settled: 0,
            seed: seed << 8,
            now: 0,
            is_calm: false,
            counts: Counts::default(),
            log,
        };
        for _ in 0..settings.hubs {
            let host = world.new_host();
            world.hosts.push(host);
        }
        world
    }

    /// A hub that has not heard of the engine.
    pub(super) fn new_host(&mut self) -> Host<S> {
        self.seed += 1;
        Host::new(self.settings.config, self.settings.spec, self.seed)
    }

    pub(super) fn at(&self) -> Now {
        Now::from_millis(self.now, WALL + self.now as i64)
    }

    pub(super) fn run(&mut self, op: Op) -> Check {
        self.chance = Chance::new(op.0);
        let host = self.chance.index(self.hosts.len());
        let is_rough = self.settings.is_rough;

        // Weights in thousandths.
        match self.chance.below(1_000) {
            0..150 => self.submit(host)?,
            150..260 => self.serve(host)?,
            260..350 => self.answer(host),
            350..450 => self.store(host)?,
            450..500 => self.confirm(host),
            500..620 => self.deliver(host),
            620..720 => self.join()?,
            720..750 => self.leave(),
            750..770 => self.doubt(host),
            770..800 => self.engine.replicate(),
            800..820 => self.take_position(host)?,
            820..870 => self.wait()?,
            870..910 => self.poll_some()?,
            910..970 => self.come_back(host)?,
            970..980 if is_rough => self.disconnect(host),
            _ => self.trouble(host)?,
        }

        if self.settings.is_eager || self.chance.percent(30) {
            self.pump()?;
        }
        self.settle_publishes()
    }

    /// No publisher waits longer than it must, and no hub holds more than it may.
    pub(super) fn check_limits(&self) -> Check {
        let config = &self.settings.config;
        for host in &self.hosts {
            let stats = host.hub.stats();
            // Frames that were joined for readers count, too, until the next event.
            let joined = stats.topics * JOINED;
            let is_full = stats.history_bytes > config.max_history_bytes + joined;
            if is_full || stats.topics > config.max_topics {
                return Err(format!("{stats:?} is over a limit"));
            }
        }
        let waits = |it: &Publish| it.publishing.is_some();
        let mut waiting = self.publishes[self.settled..].iter().filter(|it| waits(it));
        match waiting.find(|it| it.at + PUBLISH_TIMEOUT < self.now) {
            Some(late) => Err(format!("{late:?} is not answered at {}", self.now)),
            None => Ok(()),
        }
    }

    pub(super) fn record_of(key: &ResourceKey) -> usize {
        key.id().parse().expect("a number")
    }

    /// Takes what a hub wants.
    pub(super) fn collect(&mut self, host: usize) -> Result<bool, String> {
        let now = self.at();
        let Some(requests) = self.hosts[host].poll_port(now) else {
            return Ok(false);
        };
        for request in requests {
            if !self.hosts[host].adapter.is_up {
                return Err(format!("{request:?} of hub {host}, whose engine is away"));
            }
            self.take(host, request)?;
        }
        Ok(true)
    }

    fn take(&mut self, host: usize, request: Request) -> Check {
        say!(self, "hub {host} wants {request:?}");
        let adapter = &mut self.hosts[host].adapter;
        match request {
            Request::Publish {
                ticket,
                key,
                packed,
            } => {
                let data = packed.parse().map_err(|error| error.to_string())?.data;
                let number = number_of(data).ok_or("it is no event of this world")?;
                if adapter.newest.replace(number) >= Some(number) {
                    return Err(format!("publish {number} is sent after a later one"));
                }
                adapter.publishes.push_back(Waiting {
                    ticket,
                    record: Self::record_of(&key),
                    number,
                    packed,
                });
            }
            Request::DeclareLost => self.declare_lost()?,
            Request::Watch(_)
            | Request::Unwatch(_)
            | Request::Newest { .. }
            | Request::Run { .. } => adapter.asks.push_back(request),
        }
        Ok(())
    }

    /// Carries out one request that is no publish.
    pub(super) fn serve(&mut self, host: usize) -> Check {
        if self.chance.percent(50) {
            self.collect(host)?;
        }
        let Some(request) = self.hosts[host].adapter.asks.pop_front() else {
            return Ok(());
        };

        let is_behind = !self.settings.kind.is_exact() && self.chance.percent(30) && !self.is_calm;
        let adapter = &mut self.hosts[host].adapter;
        match request {
            Request::Watch(key) => {
                self.counts.watches += 1;
                if !adapter.watched.insert(Self::record_of(&key)) {
                    return Err(format!("hub {host} watches {key:?} twice"));
                }
            }
            Request::Unwatch(key) => {
                self.counts.unwatches += 1;
                if !adapter.watched.remove(&Self::record_of(&key)) {
                    return Err(format!("hub {host} never watched {key:?}"));
                }
            }
            Request::Newest { of, sure } => {
                for (key, number) in of {
                    let record = self.asked(host, &key, sure, is_behind)?;
                    let (run, span) = self.engine.newest(record, is_behind && !sure);
                    let answer = Report::Newest(key, number, Ok((run.into_iter().next(), span)));
                    self.hosts[host].adapter.answers.push(answer);
                }
            }
            Request::Run {
                key,
                number,
                from,
                sure,
            } => {
                let record = self.asked(host, &key, sure, is_behind)?;
                let answer = Ok(self.engine.run(record, from, is_behind && !sure));
                let answer = Report::Run(key, number, answer);
                self.hosts[host].adapter.answers.push(answer);
            }
            Request::Publish { .. } | Request::DeclareLost => unreachable!("taken at once"),
        }
        Ok(())
    }

    fn asked(
        &mut self,
        host: usize,
        key: &ResourceKey,
        sure: bool,
        is_behind: bool,
    ) -> Result<usize, String> {
        let record = Self::record_of(key);
        if !self.hosts[host].adapter.watched.contains(&record) {
            return Err(format!(
                "hub {host} asks for {key:?}, which it does not watch"
            ));
        }
        self.counts.asks += 1;
        self.counts.sure_asks += u64::from(sure);
        self.counts.stale += u64::from(is_behind && !sure);
        Ok(record)
    }

    /// One of the answers arrives, or fails. They may overtake each other.
    pub(super) fn answer(&mut self, host: usize) {
        let adapter = &mut self.hosts[host].adapter;
        if !adapter.is_up || adapter.answers.is_empty() {
            return;
        }
        let index = self.chance.index(adapter.answers.len());
        let mut answer = adapter.answers.remove(index);
        if !self.is_calm && self.chance.percent(self.settings.fails) {
            self.counts.failed += 1;
            if let Report::Newest(_, _, result) = &mut answer {
                *result = Err(Failed);
            }
            if let Report::Run(_, _, result) = &mut answer {
                *result = Err(Failed);
            }
        }
        self.report(host, answer);
    }

    pub(super) fn report(&mut self, host: usize, report: Report) {
        say!(self, "hub {host} is told {report:?}");
        let now = self.at();
        self.hosts[host].reporter.report(report, now);
    }

    /// A live copy arrives.
    pub(super) fn deliver(&mut self, host: usize) {
        if let Some(live) = self.hosts[host].adapter.wire.pop_front() {
            self.report(host, live);
        }
    }
}
