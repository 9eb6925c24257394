use std::thread;
use std::time::Duration;

use crate::chance::Chance;
use crate::victim::{self, KEEP};
use crate::world::{Acknowledged, TempDir, keep, missing, with_store};

#[test]
fn a_process_that_is_killed_20_times_under_load_loses_nothing_that_it_acknowledged() {
    let dir = TempDir::new("killed");
    let data = dir.path().join("data");
    let (mut acknowledged, mut count) = (Acknowledged::new(), 0);
    let mut chance = Chance::new(1);
    let mut life = None;
    for round in 0..20 {
        // The last line of a process that is killed may be cut short, so each has a file of its own.
        let acks = dir.path().join(format!("acks-{round}"));
        let mut victim = victim::start(&data, &acks, true);
        victim::wait_for_acks(&acks, &mut victim);
        thread::sleep(Duration::from_millis(chance.below(150)));
        victim.kill().expect("it is still there");
        victim.wait().expect("a child");

        count += victim::read_acks(&acks, &mut acknowledged);
        with_store(&data, keep(KEEP), |store| {
            let missing = missing(store, &acknowledged, KEEP).expect("is whole");
            assert_eq!(missing, [0; 0], "lost, of {count} that were acknowledged");
            assert_eq!(*life.get_or_insert(store.life()), store.life());
        });
    }

    println!("killed 20 times: {count} events acknowledged, 0 lost");
}
