use std::cell::Cell;

use saacms_realtime_core::Instant;
use wasm_bindgen::prelude::*;

use super::platform::{self, Storage};

/// The alarm of an object, at which its stored events are forgotten. The platform keeps it while the
/// object sleeps.
///
/// Setting it costs as much as a row. A publish only postpones what it is for, so an alarm that is
/// set stays: it is early at worst, and then set again.
#[derive(Debug, Default)]
pub(super) struct Alarm {
    /// When it fires; `None` if it is not set.
    at: Cell<Option<Instant>>,
    /// Whether the storage can set none, which was logged.
    is_missing: Cell<bool>,
}

impl Alarm {
    /// Asks when the alarm is due that an earlier life of the object has set. Until `answer` is called
    /// with that, it counts as set.
    pub(super) fn ask(&self, storage: &Storage, answer: &JsValue) {
        self.at.set(Some(Instant::ZERO));
        let asked = storage
            .get_alarm()
            .and_then(|alarm| platform::then(&alarm, answer, &JsValue::UNDEFINED));
        if asked.is_err() {
            self.at.set(None);
        }
    }

    /// Whether the storage has yet to answer.
    pub(super) fn is_asked(&self) -> bool {
        self.at.get() == Some(Instant::ZERO)
    }

    /// The alarm is at this time, in milliseconds since 1970, or not set.
    pub(super) fn is_at(&self, at_millis: &JsValue, now: Instant) {
        let at = at_millis.as_f64().map(|at_millis| {
            let rest = (at_millis - js_sys::Date::now()).max(0.0) as u64;
            now.saturating_add(core::time::Duration::from_millis(rest))
        });
        self.at.set(at);
    }

    pub(super) fn has_fired(&self) {
        self.at.set(None);
    }

    /// Sets the alarm to `at`, unless it is set already to that time or earlier.
    pub(super) fn set(&self, storage: &Storage, at: Instant, now: Instant) {
        if self.is_missing.get() || self.at.get().is_some_and(|set| set <= at) {
            return;
        }

        // The platform's clock, which may not be the host's.
        let at_millis = js_sys::Date::now() + at.millis_since(now) as f64;
        match storage.set_alarm(at_millis) {
            Ok(_) => self.at.set(Some(at)),
            Err(error) => {
                self.is_missing.set(true);
                let text = "saacms-realtime: stored events stay until others replace them, as the \
                            object has no alarm:";
                web_sys::console::warn_2(&text.into(), &error);
            }
        }
    }
}
