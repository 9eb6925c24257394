use saacms_realtime_core::engine::Packed;
use saacms_realtime_core::{Ask, Effect, Follower, Told};
use saacms_realtime_tokio::engine::disk::Store;

use crate::chance::Chance;
use crate::world::{
    ALL, LONG, TempDir, at, batch, deletion, event, keep, key, publish, with_store,
};

const KEEP: usize = 5;

/// One record as a hub follows it.
struct Followed {
    record: u64,
    follower: Follower<Packed>,
    /// The newest sequence that readers have.
    known: u64,
    interrupts: u64,
}

impl Followed {
    fn begin(store: &mut Store<'_>, record: u64) -> Self {
        store.watch(&key(record));
        let mut followed = Self {
            record,
            follower: Follower::new(KEEP),
            known: 0,
            interrupts: 0,
        };
        followed.settle(store);
        followed
    }

    /// Asks the store until nothing is open.
    fn settle(&mut self, store: &mut Store<'_>) {
        while let Some(ask) = self.follower.ask() {
            let mut effects = Vec::new();
            match ask {
                Ask::Newest { .. } => {
                    let (newest, span) = store.newest(&key(self.record)).expect("whole");
                    self.follower.newest(newest, span, &mut effects);
                }
                Ask::Run { from, .. } => {
                    let (run, span) = store.run(&key(self.record), from).expect("whole");
                    self.follower.run(run, span, &mut effects);
                }
            }
            self.apply(effects);
        }
    }

    fn live(&mut self, store: &mut Store<'_>, told: Told<Packed>) {
        let mut effects = Vec::new();
        self.follower.live(told, &mut effects);
        self.apply(effects);
        self.settle(store);
    }

    fn apply(&mut self, effects: Vec<Effect<Packed>>) {
        for effect in effects {
            match effect {
                Effect::Begin(newest, _) => {
                    self.known = newest.map_or(0, |told| told.mark.sequence);
                }
                Effect::Interrupt(newest, _) => {
                    self.known = newest.map_or(0, |told| told.mark.sequence);
                    self.interrupts += 1;
                }
                Effect::Push(told) => self.known = told.mark.sequence,
                Effect::History(..) | Effect::Confirmed { .. } => {}
            }
        }
    }
}

#[test]
fn a_follower_of_a_quiet_record_is_not_interrupted_by_what_is_forgotten_elsewhere() {
    let dir = TempDir::new("quiet");
    with_store(dir.path(), keep(KEEP), |store| {
        publish(store, 1, "quiet", at(0));
        let mut quiet = Followed::begin(store, 1);
        let mut empty = Followed::begin(store, 2);
        // One that nobody asks about again until its first event.
        let mut unasked = Followed::begin(store, 4);
        // Others come and go, so that the floor rises beyond all that these two know.
        let mut now = 0;
        for record in 10..40 {
            publish(store, record, "other", at(now));
            now += LONG.as_millis() as i64;
            for _ in 0..40 {
                store.tend(at(now), ALL).expect("can be tended");
            }
            for followed in [&mut quiet, &mut empty] {
                followed.follower.doubt();
                followed.settle(store);
            }
        }
        assert!(store.run(&key(3), 0).expect("whole").1.since > 20);

        for followed in [&mut quiet, &mut empty, &mut unasked] {
            let told = publish(store, followed.record, "next", at(now));
            let sequence = told.mark.sequence;
            followed.live(store, told);
            assert_eq!((followed.known, followed.interrupts), (sequence, 0));
        }
    });
}

#[test]
fn followers_are_never_interrupted_and_know_all_unless_more_went_by_than_is_kept() {
    for seed in 0..30 {
        let dir = TempDir::new("followers");
        with_store(dir.path(), keep(KEEP), |store| {
            follow(store, &mut Chance::new(seed))
        });
    }
}

/// Publishes, forgets, deletes and drops live copies at random, and checks each follower at each step.
fn follow(store: &mut Store<'_>, chance: &mut Chance) {
    let mut followed: Vec<Followed> = Vec::new();
    let mut now = 0;
    for _ in 0..400 {
        let record = chance.below(8);
        let index = followed
            .iter()
            .position(|followed| followed.record == record);
        match chance.below(100) {
            0..60 => {
                let packed = match chance.percent(5) {
                    true => deletion(record),
                    false => event(record, "text"),
                };
                let mut batch = batch([(key(record), packed)]);
                let mut told = store.publish(&mut batch, at(now)).expect("there is room");
                // A follower must bear that a live event is dropped, although this engine drops none.
                if let (Some(index), true) = (index, chance.percent(80)) {
                    let told = told.pop().expect("one event");
                    followed[index].live(store, told);
                }
            }
            60..75 if index.is_none() => followed.push(Followed::begin(store, record)),
            75..85 => {
                if let Some(index) = index {
                    let gone = followed.swap_remove(index);
                    store.unwatch(&key(gone.record));
                }
            }
            85..90 => now += LONG.as_millis() as i64,
            _ => {
                for _ in 0..chance.below(30) {
                    store.tend(at(now), ALL).expect("can be tended");
                }
            }
        }

        for followed in &mut followed {
            followed.follower.doubt();
            followed.settle(store);
            let (newest, _) = store.newest(&key(followed.record)).expect("whole");
            let newest = newest.map_or(0, |told| told.mark.sequence);
            assert_eq!(followed.known, newest);
        }
    }
    assert_eq!(
        followed
            .iter()
            .map(|followed| followed.interrupts)
            .sum::<u64>(),
        0
    );
}
