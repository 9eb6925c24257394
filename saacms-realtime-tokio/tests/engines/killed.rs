use std::thread;
use std::time::Duration;

use crate::chance::Chance;
use crate::victim::{self, KEEP};
use crate::world::{TempDir, keep, missing, with_store};

#[test]
fn a_process_that_is_killed_20_times_under_load_loses_nothing_that_it_acknowledged() {
    let dir = TempDir::new("killed");
    let (data, acks) = (dir.path().join("data"), dir.path().join("acks"));
    let mut chance = Chance::new(1);
    let mut life = None;
    for _ in 0..20 {
        let mut victim = victim::start(&data, &acks, true);
        victim::wait_for_acks(&acks, &mut victim);
        thread::sleep(Duration::from_millis(chance.below(150)));
        victim.kill().expect("it is still there");
        victim.wait().expect("a child");

        let (acknowledged, count) = victim::read_acks(&acks);
        with_store(&data, keep(KEEP), |store| {
            let missing = missing(store, &acknowledged, KEEP).expect("is whole");
            assert_eq!(missing, [0; 0], "lost, of {count} that were acknowledged");
            assert_eq!(*life.get_or_insert(store.life()), store.life());
        });
    }

    let (_, count) = victim::read_acks(&acks);
    println!("killed 20 times: {count} events acknowledged, 0 lost");
}
