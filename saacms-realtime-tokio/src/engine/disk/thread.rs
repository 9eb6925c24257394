use core::time::Duration;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Wake, Waker};
use std::thread::{self, JoinHandle, Thread};

use saacms_realtime_core::EnginePort;
use saacms_realtime_core::engine::Report;

use super::driver::{Damaged, Driver};
use super::{Damage, File, Folder, Keep, Store, StoreError};
use crate::clock::Clock;

/// How long the thread waits before it tries again to begin another history.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The thread `saacms-disk`, which carries out what a hub wants from its history on disk.
///
/// It ends when the value is dropped, after it has stored what was published before.
#[derive(Debug)]
pub(crate) struct DiskThread {
    state: Arc<State>,
    unpark: Thread,
    joined: Mutex<Option<JoinHandle<()>>>,
}

/// What the thread and its owner share.
#[derive(Debug, Default)]
pub(super) struct State {
    is_stopping: AtomicBool,
    is_full: AtomicBool,
}

impl DiskThread {
    /// Starts the thread. When this returns, the hub has its engine.
    pub(crate) fn start(
        port: EnginePort,
        folder: Folder,
        file: File,
        keep: Keep,
        clock: Clock,
    ) -> io::Result<Self> {
        if let Some(damage) = file.damage() {
            log_damage(damage);
        }
        let state = Arc::new(State::default());
        let driver = Driver::new(port, folder, keep, clock, Arc::clone(&state));
        driver.report(Report::Up {
            life: file.life(),
            last: file.last(),
        });

        let thread = thread::Builder::new()
            .name("saacms-disk".to_owned())
            .spawn(move || run(driver, file))?;
        Ok(Self {
            state,
            unpark: thread.thread().clone(),
            joined: Mutex::new(Some(thread)),
        })
    }

    /// Whether events are refused because there is no room for them.
    pub(crate) fn is_full(&self) -> bool {
        self.state.is_full.load(Ordering::Relaxed)
    }

    /// Stores what was published so far, and ends the thread. Blocks until then.
    pub(crate) fn stop(&self) {
        self.state.is_stopping.store(true, Ordering::Relaxed);
        self.unpark.unpark();
        let mut joined = self.joined.lock().unwrap_or_else(PoisonError::into_inner);
        // The thread calls wakers, and one of those may drop the last handle of the hub.
        if thread::current().id() == self.unpark.id() {
            return;
        }
        if let Some(thread) = joined.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of the history has panicked");
        }
    }
}

impl Drop for DiskThread {
    fn drop(&mut self) {
        self.stop();
    }
}

impl State {
    pub(super) fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Relaxed)
    }

    pub(super) fn set_full(&self, is_full: bool) {
        self.is_full.store(is_full, Ordering::Relaxed);
    }
}

/// Serves the hub from a file, and from another one whenever it turns out to be damaged.
fn run(mut driver: Driver, mut file: File) {
    while let Err(Damaged(why)) = serve(&mut driver, &mut file) {
        // A file must be closed before it is moved.
        drop(file);
        match recover(&mut driver, &why) {
            Some(recovered) => file = recovered,
            None => return,
        }
    }
}

/// Serves the hub until the thread is stopped.
fn serve(driver: &mut Driver, file: &mut File) -> Result<(), Damaged> {
    let mut store = loop {
        match Store::new(&mut *file) {
            Ok(store) => break store,
            Err(StoreError::Damaged(why)) => return Err(Damaged(why)),
            Err(error) => tracing::error!("{error}"),
        }
        if driver.state().is_stopping() {
            return Ok(());
        }
        thread::park_timeout(RETRY_AFTER);
    };
    driver.watch_again(&mut store);

    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    loop {
        // Read first, so that what was published before it was set is stored.
        let is_stopping = driver.state().is_stopping();
        let next = driver.poll(&mut store, &waker);
        driver.work(&mut store)?;

        if driver.is_idle(&store) {
            if is_stopping {
                return Ok(());
            }
            driver.park(&store, next);
        }
    }
}

/// Begins another history in place of a damaged one. `None` if the thread is stopped before that is
/// possible.
fn recover(driver: &mut Driver, why: &str) -> Option<File> {
    driver.fail_asks();
    // A disk that damages every file must not keep a core busy.
    if driver.has_recovered_within(RETRY_AFTER) {
        thread::park_timeout(RETRY_AFTER);
    }

    let mut is_down = false;
    loop {
        match driver.recover(why) {
            Ok(file) => {
                if let Some(damage) = file.damage() {
                    log_damage(damage);
                }
                driver.report(Report::Lost(file.life()));
                if is_down {
                    driver.come_up(&file);
                }
                return Some(file);
            }
            Err(error) if !is_down => {
                is_down = true;
                tracing::error!("another history cannot begin: {error}");
                driver.report(Report::Down);
            }
            Err(_) => {}
        }

        if driver.state().is_stopping() {
            return None;
        }
        thread::park_timeout(RETRY_AFTER);
        driver.end_overdue_publishes();
    }
}

fn log_damage(damage: &Damage) {
    let Damage { why, moved_to } = damage;
    match moved_to {
        Some(path) => tracing::error!(
            moved_to = %path.display(),
            "the history was damaged: {why}; another one begins, and all clients refetch"
        ),
        None => tracing::error!("{why}; another history begins, and all clients refetch"),
    }
}

/// Wakes a parked thread.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}
