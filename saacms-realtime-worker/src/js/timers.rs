use std::cell::{Cell, RefCell};

use saacms_realtime_core::Instant;
use wasm_bindgen::prelude::*;

use super::platform::{clear_timeout, set_timer};

/// The longest time that a timer of JavaScript can wait, in milliseconds.
const LONGEST_MILLIS: u64 = (1 << 31) - 1;

/// The two timers of an object.
#[derive(Default)]
pub(super) struct Timers {
    /// The armed timer of the earliest deadline, and when it fires.
    wake: RefCell<Option<(Instant, JsValue)>>,
    /// Whether the timer of the next turn is armed.
    is_turn_due: Cell<bool>,
    /// Whether no deadline is waited for.
    is_stopped: Cell<bool>,
}

impl Timers {
    /// Calls `turn` once the runtime has written what it was given: it fires timers after that.
    pub(super) fn set_turn(&self, turn: &JsValue) {
        if !self.is_turn_due.replace(true) {
            set_timer(turn, 0.0);
        }
    }

    pub(super) fn turn_has_fired(&self) {
        self.is_turn_due.set(false);
    }

    /// Calls `wake` at `wake_at`, or earlier; never if that is `None`.
    ///
    /// A write only postpones a deadline, so an armed timer is early at worst, and is not reset at each
    /// write.
    pub(super) fn set_wake(&self, wake_at: Option<Instant>, now: Instant, wake: &JsValue) {
        let mut armed = self.wake.borrow_mut();
        let Some(wake_at) = wake_at.filter(|_| !self.is_stopped.get()) else {
            if let Some((_, timer)) = armed.take() {
                clear_timeout(&timer);
            }
            return;
        };
        match &*armed {
            Some((fires_at, _)) if *fires_at <= wake_at => return,
            Some((_, timer)) => clear_timeout(timer),
            None => {}
        }

        // A timer that fires before a very late deadline is set again.
        let millis = wake_at.millis_since(now).clamp(1, LONGEST_MILLIS) as f64;
        *armed = Some((wake_at, set_timer(wake, millis)));
    }

    /// Whether a deadline is waited for.
    pub(super) fn is_wake_armed(&self) -> bool {
        self.wake.borrow().is_some()
    }

    /// Whether a timer is armed that is about to call the object.
    pub(super) fn is_any_armed(&self) -> bool {
        self.is_turn_due.get() || self.is_wake_armed()
    }

    /// Waits for no deadline until [`start`](Self::start).
    pub(super) fn stop(&self) {
        self.is_stopped.set(true);
        if let Some((_, timer)) = self.wake.take() {
            clear_timeout(&timer);
        }
    }

    pub(super) fn start(&self) {
        self.is_stopped.set(false);
    }

    pub(super) fn wake_has_fired(&self) {
        self.wake.take();
    }
}
