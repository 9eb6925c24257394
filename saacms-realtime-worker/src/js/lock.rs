//! How the object is locked for one use, and read back at the first.

use std::cell::RefMut;

use saacms_realtime_core::feed::StoredRing;
use saacms_realtime_core::{Instant, Now};
use wasm_bindgen::prelude::*;

use super::guard::ObjectGuard;
use super::inner::{Inner, JsObject};
use super::platform;
use super::sockets::KeptSocket;
use super::sql::{SqlStore, Wanted};
use crate::object::{Begin, Object, common_place};

impl Inner {
    /// Locks the object for one use. The first use reads the ring back.
    pub(super) fn lock(&self) -> Result<ObjectGuard<'_>, JsValue> {
        let now = self.now();
        if !self.is_whole.replace(true) {
            self.load(now).inspect_err(|_| self.is_whole.set(false))?;
        }
        self.lock_newest()
    }

    /// Locks the object for a subscription.
    pub(super) fn lock_for(
        &self,
        last_event_id: Option<&[u8]>,
    ) -> Result<ObjectGuard<'_>, JsValue> {
        // Without quiet resume an idle stream is told a time, which no later event may get.
        if last_event_id.is_some() || !self.settings.hub.quiet_resume {
            self.lock()
        } else {
            self.lock_newest()
        }
    }

    /// Locks the object for one use that neither publishes nor looks a last event ID up. The first use
    /// reads only the newest event back.
    pub(super) fn lock_newest(&self) -> Result<ObjectGuard<'_>, JsValue> {
        let now = self.now();
        let mut object = self.object.borrow_mut();
        if object.is_none() {
            let stored = self.read(now, SqlStore::load_newest)?;
            let kept = self.kept_sockets();
            let mut created = self.create(stored, &kept, now);
            // A WebSocket that lacks events needs them.
            if kept
                .iter()
                .any(|socket| socket.is_behind(created.position()))
            {
                if let Some(stored) = self.read(now, SqlStore::load)? {
                    created.complete(stored, now);
                }
                self.is_whole.set(true);
            }
            self.restore_sockets(&mut created, kept, now);
            *object = Some(created);
        }

        let object = RefMut::map(object, |object| object.as_mut().expect("was just loaded"));
        Ok(ObjectGuard::new(self, object, now))
    }

    /// Locks the object for a call of the runtime that cannot fail, and logs an error.
    pub(super) fn lock_or_report(&self) -> Option<ObjectGuard<'_>> {
        match self.lock_newest() {
            Ok(object) => Some(object),
            Err(error) => {
                web_sys::console::error_1(&error);
                None
            }
        }
    }

    /// Reads the ring back, whatever of it is known already.
    fn load(&self, now: Now) -> Result<(), JsValue> {
        let stored = self.read(now, SqlStore::load)?;
        match &mut *self.object.borrow_mut() {
            Some(object) => {
                if let Some(stored) = stored {
                    object.complete(stored, now);
                }
            }
            none => {
                let kept = self.kept_sockets();
                let mut created = self.create(stored, &kept, now);
                self.restore_sockets(&mut created, kept, now);
                *none = Some(created);
            }
        }
        Ok(())
    }

    /// Reads from the storage, if there is one.
    fn read(
        &self,
        now: Now,
        read: impl FnOnce(&SqlStore, Wanted) -> Result<Option<StoredRing>, JsValue>,
    ) -> Result<Option<StoredRing>, JsValue> {
        let Some(store) = &self.store else {
            return Ok(None);
        };
        let max_age_millis = self.settings.hub.max_age.as_millis() as u64;
        let since = now.instant.as_millis().saturating_sub(max_age_millis);
        let wanted = Wanted {
            slots: JsObject::slots(&self.settings),
            since: Instant::from_millis(since),
            max_bytes: self.settings.hub.max_history_bytes,
        };
        read(store, wanted)
    }

    /// Creates the object, which continues where `stored` ends, or after what `kept` WebSockets know.
    fn create(&self, stored: Option<StoredRing>, kept: &[KeptSocket], now: Now) -> JsObject {
        if let Some(store) = self.store.as_ref().filter(|store| store.has_frames()) {
            self.alarm
                .ask(store.storage(), self.callbacks.alarm_is_at());
        }

        let notes = kept.iter().filter_map(|socket| socket.note.as_ref());
        let begin = match (stored, common_place(notes)) {
            (Some(stored), _) => Begin::Stored(stored),
            (None, Some(place)) => Begin::After(place),
            (None, None) => Begin::New(platform::random_epoch()),
        };

        let mut object = Object::new(self.settings, self.key.clone(), begin, now);
        if self.serves_at_once.get() {
            object.serve_at_once();
        }
        object
    }
}
