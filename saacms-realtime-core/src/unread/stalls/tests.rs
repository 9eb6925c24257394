use core::sync::atomic::AtomicUsize;
use core::sync::atomic::Ordering::Relaxed;
use std::task::Wake;
use std::vec;

use bytes::Bytes;

use super::*;
use crate::unread::CutSignal;

const LIMIT: usize = 1_000;
const TIMEOUT: Duration = Duration::from_secs(120);

/// A reader: what it holds until it is cut, and why it was.
#[derive(Default)]
struct Client {
    held: Mutex<Option<Bytes>>,
    stall: Mutex<Option<Stall>>,
    reason: Mutex<Option<CutReason>>,
}

impl Cut for Client {
    fn cut(&self, reason: CutReason) {
        *self.reason.lock().expect("not poisoned") = Some(reason);
        self.held.lock().expect("not poisoned").take();
        // As a server does: it ends the reader, and with it its stall.
        let stall = self.stall.lock().expect("not poisoned").take();
        drop(stall);
    }
}

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Relaxed);
    }
}

struct World {
    ledger: Ledger,
    stalls: Stalls,
    woken: Arc<Count>,
}

impl World {
    fn new() -> Self {
        let ledger = Ledger::counting();
        Self {
            stalls: Stalls::new(ledger.clone(), LIMIT, TIMEOUT),
            ledger,
            woken: Arc::default(),
        }
    }

    fn begin(&self, reader: Reader, held: usize, millis: u64) -> Arc<Client> {
        let client = Arc::new(Client::default());
        *client.held.lock().expect("not poisoned") = Some(self.ledger.share(vec![0; held]));
        let stall = self
            .stalls
            .begin(reader, Arc::clone(&client) as _, at(millis));
        *client.stall.lock().expect("not poisoned") = Some(stall);
        client
    }

    /// Returns when the sweeper comes back.
    fn sweep(&self, millis: u64) -> Option<Instant> {
        let waker = Waker::from(Arc::clone(&self.woken));
        self.stalls.poll(&Context::from_waker(&waker), at(millis)).1
    }

    fn woken(&self) -> usize {
        self.woken.0.swap(0, Relaxed)
    }
}

impl Client {
    fn reason(&self) -> Option<CutReason> {
        *self.reason.lock().expect("not poisoned")
    }

    fn progress(&self, millis: u64) {
        let mut stall = self.stall.lock().expect("not poisoned");
        stall.as_mut().expect("it waits").progress(at(millis));
    }

    fn end(&self) {
        let stall = self.stall.lock().expect("not poisoned").take();
        drop(stall);
    }
}

fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

#[test]
fn a_reader_that_takes_nothing_is_cut_at_its_deadline() {
    let world = World::new();
    let stream = world.begin(Reader::OfStream, 1, 1_000);
    let answer = world.begin(Reader::OfAnswer, 1, 1_000);
    assert_eq!(world.sweep(30_999), Some(at(31_000)));
    assert_eq!(answer.reason(), None);

    assert_eq!(world.sweep(31_000), Some(at(121_000)));
    assert_eq!(answer.reason(), Some(CutReason::Stalled));
    assert_eq!(stream.reason(), None);

    assert_eq!(world.sweep(121_000), None);
    assert_eq!(stream.reason(), Some(CutReason::Stalled));
    assert_eq!(world.ledger.unread(), 0, "everything is given back");
}

#[test]
fn progress_begins_the_time_anew_and_whoever_took_everything_is_not_cut() {
    let world = World::new();
    let slow = world.begin(Reader::OfStream, 1, 0);
    let done = world.begin(Reader::OfStream, 1, 0);
    slow.progress(100_000);
    done.end();
    assert_eq!(world.sweep(120_000), Some(at(220_000)));
    assert_eq!((slow.reason(), done.reason()), (None, None));
    assert_eq!(world.sweep(220_000), None);
    assert_eq!(slow.reason(), Some(CutReason::Stalled));
}

#[test]
fn a_timeout_of_0_is_never_for_streams_and_answers_keep_theirs() {
    let ledger = Ledger::counting();
    let world = World {
        stalls: Stalls::new(ledger.clone(), LIMIT, Duration::ZERO),
        ledger,
        woken: Arc::default(),
    };
    let stream = world.begin(Reader::OfStream, 1, 0);
    let answer = world.begin(Reader::OfAnswer, 1, 0);
    assert_eq!(world.sweep(u64::MAX / 2), None);
    assert_eq!(stream.reason(), None);
    assert_eq!(answer.reason(), Some(CutReason::Stalled));
}

#[test]
fn over_the_limit_the_oldest_are_cut_until_a_quarter_is_free() {
    let world = World::new();
    let clients: Vec<_> = (0..16)
        .map(|n| world.begin(Reader::OfStream, 60, n))
        .collect();
    let cut = || {
        clients
            .iter()
            .filter(|client| client.reason().is_some())
            .count()
    };
    world.sweep(100);
    assert_eq!(cut(), 0, "960 bytes are within the limit");

    let more = world.ledger.share(vec![0; 41]);
    // An eighth, rounded up; the next round follows once they have ended.
    world.sweep(100);
    assert_eq!(cut(), 2);
    assert_eq!(world.ledger.unread(), 14 * 60 + 41);
    world.sweep(100);
    assert_eq!((cut(), world.ledger.unread()), (4, 761));
    world.sweep(100);
    assert_eq!((cut(), world.ledger.unread()), (6, 641));
    world.sweep(1_000);
    assert_eq!(cut(), 6, "that is below three quarters");
    assert!(
        clients[..6]
            .iter()
            .all(|client| { client.reason() == Some(CutReason::TooManyUnreadBytes) })
    );
    drop(more);
}

#[test]
fn answers_and_streams_are_cut_in_the_order_of_their_age() {
    let world = World::new();
    let old = world.begin(Reader::OfAnswer, 400, 5);
    let young = world.begin(Reader::OfStream, 400, 6);
    let oldest = world.begin(Reader::OfStream, 400, 4);
    world.sweep(10);
    let reasons = [&oldest, &old, &young].map(|client| client.reason().is_some());
    assert_eq!(reasons, [true, false, false]);
    world.sweep(110);
    let reasons = [&oldest, &old, &young].map(|client| client.reason().is_some());
    assert_eq!(reasons, [true, true, false]);
}

#[test]
fn bytes_that_many_readers_share_count_once() {
    let world = World::new();
    let shared = world.ledger.share(vec![0; 900]);
    let clients: Vec<_> = (0..100)
        .map(|n| {
            let client = world.begin(Reader::OfStream, 0, n);
            *client.held.lock().expect("not poisoned") = Some(shared.clone());
            client
        })
        .collect();
    world.sweep(100);
    assert!(clients.iter().all(|client| client.reason().is_none()));
}

#[test]
fn readers_that_do_not_end_delay_the_next_cut_by_a_tenth_of_a_second() {
    let world = World::new();
    let stubborn: Vec<_> = (0..3)
        .map(|n| {
            let client = Arc::new(CutSignal::default());
            let stall = world
                .stalls
                .begin(Reader::OfStream, Arc::clone(&client) as _, at(n));
            (client, stall)
        })
        .collect();
    let _held = world.ledger.share(vec![0; LIMIT + 1]);
    let cx = Context::from_waker(Waker::noop());
    let cut = || {
        stubborn
            .iter()
            .filter(|(client, _)| client.poll(&cx).is_ready())
            .count()
    };

    assert_eq!(world.sweep(50), Some(at(150)));
    world.sweep(149);
    assert_eq!(cut(), 1);
    world.sweep(150);
    assert_eq!(cut(), 2);
}

#[test]
fn the_sweeper_is_woken_only_by_what_is_due_earlier_or_over_the_limit() {
    let world = World::new();
    assert_eq!(world.sweep(0), None);
    let _first = world.begin(Reader::OfStream, 1, 0);
    assert_eq!((world.woken(), world.sweep(0)), (1, Some(at(120_000))));
    let _later = world.begin(Reader::OfStream, 1, 1);
    assert_eq!(world.woken(), 0);
    let _earlier = world.begin(Reader::OfAnswer, 1, 1);
    assert_eq!((world.woken(), world.sweep(1)), (1, Some(at(30_001))));
    let _large = world.begin(Reader::OfStream, LIMIT, 2);
    assert_eq!(world.woken(), 1);

    world.sweep(2);
    let _held = world.ledger.share(vec![0; LIMIT + 1]);
    world.stalls.check_limit();
    assert_eq!(world.woken(), 1, "a publish asks, too");
}
