use core::time::Duration;

use saacms_realtime_core::{EventIds, HubConfig};

use crate::chance::Chance;

/// The settings and operations of one run, all drawn from one seed.
///
/// Each operation carries its own random choices, so a list without some of them is again a
/// scenario: that is how a failure is made smaller.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) seed: u64,
    pub(crate) settings: Settings,
    pub(crate) ops: Vec<Op>,
}

/// The hub, the network and the clients of one run.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) hub: HubConfig,
    pub(crate) records: usize,
    /// The record that each client watches.
    pub(crate) clients: Vec<usize>,
    /// Bytes of padding in the record of a big event, to fill memory.
    pub(crate) padding: usize,
    /// Bytes in one segment of the network.
    pub(crate) segment: usize,
    /// Bytes in flight and in the client's buffer before the server must wait.
    pub(crate) window: usize,
    /// Milliseconds that a segment is in flight.
    pub(crate) delay: u64,
    /// How far the clock of one thread may be behind that of another.
    pub(crate) skew: u64,
    /// How late the timer of the sweep fires.
    pub(crate) sweep_late: u64,
    /// Silence after which a client gives up a connection; 0 = never.
    pub(crate) patience: u64,
    /// The percentage of events with a record that have an ETag.
    pub(crate) tagged: u64,
}

/// One operation of a run. Numbers of records and clients are valid in its settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    Publish {
        record: usize,
        count: u64,
        big: bool,
        chance: u64,
    },
    Join {
        client: usize,
        naming: Naming,
    },
    Leave {
        client: usize,
    },
    Cut {
        client: usize,
        server_notices_after: u64,
        loses_all: bool,
    },
    HalfOpen {
        client: usize,
        server_notices_after: u64,
    },
    Stall {
        client: usize,
    },
    Unstall {
        client: usize,
    },
    Wait {
        millis: u64,
    },
    ToDeadline,
    SetWallClock {
        by: i64,
    },
    Sweep,
    PollAll,
    SourceLost {
        record: usize,
    },
    Kill {
        down: u64,
    },
    Drain,
}

/// Which last event ID a client names when it joins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Naming {
    /// The last event ID it received, as a browser does.
    True,
    /// The same with blanks around it, which HTTP allows.
    Blanks,
    /// An older one, with the record of that time.
    Old,
    /// None, as a page that is loaded again.
    Nothing,
    /// One that no hub has used.
    Invented(usize),
    /// The one it received, made larger.
    Ahead,
    /// The one that this client received, if it is a position: of the same record or of another.
    Foreign(usize),
    /// The position that the page's host took before it read its store. The stream opens later.
    Taken,
}

/// IDs that no hub of a simulation uses.
pub(crate) const INVENTED: [&str; 8] = [
    "zz",
    "",
    "0.0",
    "000000000000feed.999",
    "0000000000000001.18446744073709551615",
    "9999-01-01T00:00:00.000Z",
    "é",
    ".",
];

/// The numbers of a seed. Neighbouring seeds are spread apart first.
pub(crate) fn seeded(seed: u64) -> Chance {
    Chance::new(seed.wrapping_mul(0xd134_2543_de82_ef95) ^ 0x5851_f42d_4c95_7f2d)
}

impl Scenario {
    pub(crate) fn draw(seed: u64) -> Self {
        let mut chance = seeded(seed);
        let settings = Settings::draw(&mut chance);
        let count = 10 + chance.index(50);
        let ops = (0..count)
            .map(|_| Op::draw(&mut chance, &settings))
            .collect();
        Self {
            seed,
            settings,
            ops,
        }
    }
}

impl Settings {
    fn draw(chance: &mut Chance) -> Self {
        // A hub that is short of memory, with a simple network and a single clock.
        let is_tight = chance.percent(12);
        let (max_age, heartbeat) = Self::draw_times(chance);

        // Zeros and ones are frequent: limits are where faults are.
        let records = 1 + chance.index(4);
        let hub = HubConfig {
            max_events: *chance.pick(&[0, 1, 2, 3, 5, 10, 10, 30]),
            max_age: Duration::from_millis(max_age),
            max_lag: *chance.pick(&[1, 2, 5, 20, 50]),
            max_lag_bytes: *chance.pick(&[1_024, 2_048, 4_096, 4 << 20]),
            heartbeat: Duration::from_millis(heartbeat),
            event_ids: *chance.pick(&[EventIds::Etag, EventIds::Etag, EventIds::Position]),
            quiet_resume: chance.percent(70),
            greeting: chance.percent(80),
            max_topics: *chance.pick(&[1, 2, 3, 100, 100, 100, 100, 100, 100]),
            max_subscribers: *chance.pick(&[2, 100, 100, 100, 100, 100]),
            max_subscribers_per_topic: *chance.pick(&[1, 100, 100, 100, 100, 100]),
            max_streams_per_address: 0,
            max_history_bytes: if is_tight { 65_536 } else { 256 << 20 },
            drain_retry: Duration::from_millis(*chance.pick(&[1, 1_000])),
            // The sockets here are simulated, and report to nobody.
            ..HubConfig::default()
        };

        let clients = 1 + chance.index(5);
        Self {
            hub,
            records,
            clients: (0..clients).map(|_| chance.index(records)).collect(),
            padding: if is_tight {
                *chance.pick(&[1_000, 4_000, 30_000])
            } else {
                100
            },
            segment: if is_tight {
                65_536
            } else {
                *chance.pick(&[40, 300, 1_460, 65_536])
            },
            window: if is_tight {
                65_536
            } else {
                *chance.pick(&[200, 2_000, 65_536])
            },
            delay: *chance.pick(&[0, 0, 1, 40, 2_000]),
            skew: if is_tight {
                0
            } else {
                *chance.pick(&[0, 0, 0, 3])
            },
            sweep_late: *chance.pick(&[0, 7_000, 300_000]),
            patience: if heartbeat == 0 {
                0
            } else {
                *chance.pick(&[0, heartbeat * 3 / 2])
            },
            tagged: *chance.pick(&[0, 50, 70, 100]),
        }
    }

    /// `max_age` and the heartbeat, in milliseconds.
    fn draw_times(chance: &mut Chance) -> (u64, u64) {
        let max_age = match chance.below(100) {
            0..10 => 0,
            10..30 => 1_000,
            30..60 => 50_000,
            60..96 => 100_000,
            _ => 3_600_000,
        };
        let heartbeat = *chance.pick(&[0, 5_000, 30_000, 1_200_000]);

        // Hours of short heartbeats would take long to simulate.
        if max_age > 100_000 && heartbeat > 0 {
            (max_age, 1_200_000)
        } else {
            (max_age, heartbeat)
        }
    }
}

impl Op {
    fn draw(chance: &mut Chance, settings: &Settings) -> Self {
        let client = chance.index(settings.clients.len());
        let record = chance.index(settings.records);
        let server_notices_after = *chance.pick(&[0, 0, 100, 70_000]);

        // Weights in thousandths: most operations publish or connect, and few end the life of a hub.
        match chance.below(1_000) {
            0..330 => {
                let count = match chance.below(40) {
                    0 => 25,
                    1 | 2 => 8,
                    _ => 1 + chance.below(3),
                };
                let big = chance.percent(30);

                Self::Publish {
                    record,
                    count,
                    big,
                    chance: chance.next(),
                }
            }
            330..520 => Self::Join {
                client,
                naming: Naming::draw(chance, settings.clients.len()),
            },
            520..560 => Self::Leave { client },
            560..620 => Self::Cut {
                client,
                server_notices_after,
                loses_all: chance.percent(50),
            },
            620..640 => Self::HalfOpen {
                client,
                server_notices_after: 70_000,
            },
            640..690 => Self::Stall { client },
            690..740 => Self::Unstall { client },
            740..880 => Self::Wait {
                millis: Self::wait(chance, settings),
            },
            880..920 => Self::ToDeadline,
            920..945 => Self::SetWallClock {
                by: *chance.pick(&[-1, -5_000, 5_000, -86_400_000, 86_400_000, -50]),
            },
            945..960 => Self::Sweep,
            960..972 => Self::PollAll,
            972..977 => Self::SourceLost { record },
            977..983 => Self::Kill {
                down: *chance.pick(&[0, 10, 3_000]),
            },
            983..986 => Self::Drain,
            _ => Self::Cut {
                client,
                server_notices_after: 0,
                loses_all: true,
            },
        }
    }

    fn wait(chance: &mut Chance, settings: &Settings) -> u64 {
        // Short waits for the network; and exactly `max_age`, a minute, and one more: the edges of
        // retention.
        let max_age = settings.hub.max_age.as_millis() as u64;
        match chance.below(10) {
            0..4 => 1 + chance.below(50),
            4..6 => chance.below(3_000),
            6 => max_age.min(200_000),
            7 => max_age.min(200_000) + 1,
            8 => 60_000 + chance.below(2),
            _ if max_age > 200_000 => chance.below(2 * max_age),
            _ => chance.below(150_000),
        }
    }
}

impl Naming {
    fn draw(chance: &mut Chance, clients: usize) -> Self {
        match chance.below(24) {
            22.. => Self::Taken,
            20.. => Self::Foreign(chance.index(clients)),
            0..12 => Self::True,
            12 => Self::Blanks,
            13..16 => Self::Old,
            16 => Self::Nothing,
            17 => Self::Ahead,
            _ => Self::Invented(chance.index(INVENTED.len())),
        }
    }
}
