//! The Durable Object: the calls between the runtime and [`Object`].

use std::cell::{Cell, RefCell, RefMut};
use std::fmt;
use std::rc::Rc;

use js_sys::{ArrayBuffer, Function, Uint8Array};
use saacms_realtime_core::feed::Store;
use saacms_realtime_core::route::{
    Api, ObjectAction, Problem, PublishFormat, Reply, StreamRefusal,
};
use saacms_realtime_core::settings::VARIABLE_PREFIX;
use saacms_realtime_core::{Epoch, Instant, Now, ResourceKey};
use wasm_bindgen::prelude::*;
use web_sys::{ReadableStreamDefaultController, Request, Response};

use super::alarm::Alarm;
use super::callbacks::{Callbacks, Handler, StreamNews};
use super::platform::{self, Head, member};
use super::sql::{SqlStore, Wanted};
use super::streams::{JsSink, Streams};
use super::timers::Timers;
use crate::object::Object;
use crate::settings::{self, Environment, Settings};

/// The Durable Object of one record: a drop-in replacement for the JavaScript plugin's class of this
/// name.
///
/// `GET …/subscribe` answers with the record's event stream, `HEAD …/subscribe` with its head and the
/// record's position, `POST …/publish` publishes an event. Settings are the variables of
/// [`settings`](crate::settings) in the Worker's environment.
#[wasm_bindgen]
pub struct SaacmsRealtimeDO {
    pub(super) inner: Rc<Inner>,
}

#[wasm_bindgen]
impl SaacmsRealtimeDO {
    /// Creates the object. The runtime calls this before the first request.
    ///
    /// # Errors
    ///
    /// A variable of the environment has an invalid value.
    #[wasm_bindgen(constructor)]
    pub fn new(ctx: JsValue, env: JsValue) -> Result<Self, JsValue> {
        platform::report_panics();
        let variable = |name: &str| platform::variable(&env, name);
        let settings = Settings::read(Environment(&variable))
            .map_err(|error| js_sys::Error::new(&error.to_string()))?;
        let cors = settings::cors(Environment(&variable))
            .map_err(|error| js_sys::Error::new(&error.to_string()))?;

        let mut store = SqlStore::of(&ctx);
        if !settings.storage
            && let Some(unused) = store.take()
        {
            unused.clear()?;
        }

        // An object without SQLite still works, so this is not an error.
        if settings.storage && store.is_none() {
            let warning = format!(
                "saacms-realtime: this class has no SQLite storage (new_sqlite_classes), so its \
                 history is lost when the object is evicted; set {VARIABLE_PREFIX}STORAGE=off if \
                 that is intended"
            );
            web_sys::console::warn_1(&warning.into());
        }

        let inner = Rc::new_cyclic(|inner| Inner {
            settings,
            // The router, or the host's own code, has decided who may publish.
            api: Api::default()
                .with_open_publish()
                .with_cors(cors)
                .with_heartbeat(settings.hub.heartbeat),
            key: key_of(&ctx),
            store,
            streams: Rc::new(Streams::new(&ctx)),
            callbacks: Callbacks::new(inner),
            object: RefCell::new(None),
            news: RefCell::new(Vec::new()),
            timers: Timers::default(),
            alarm: Alarm::default(),
            unused: RefCell::default(),
            clock: RefCell::default(),
            has_warned: Cell::new(false),
            serves_at_once: Cell::new(false),
            latest_millis: Cell::new(0),
        });
        Ok(Self { inner })
    }

    /// Answers a request.
    ///
    /// # Errors
    ///
    /// An exception of the runtime.
    pub fn fetch(&self, request: Request) -> Result<JsValue, JsValue> {
        self.inner.fetch(&request)
    }

    /// Forgets the stored events once the newest is too old. The runtime calls this at the time that
    /// the object has set.
    ///
    /// # Errors
    ///
    /// An exception of the storage. The runtime then calls again.
    pub fn alarm(&self) -> Result<(), JsValue> {
        self.inner.alarm()
    }
}

impl fmt::Debug for SaacmsRealtimeDO {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SaacmsRealtimeDO")
            .field("key", &self.inner.key)
            .finish_non_exhaustive()
    }
}

/// The record that an object is named after: `<slug>:<id>`, where a slug has no colon.
fn key_of(ctx: &JsValue) -> Option<ResourceKey> {
    let name = member(&member(ctx, "id"), "name").as_string()?;
    let (slug, id) = name.split_once(':')?;
    ResourceKey::new(slug, id).ok()
}

/// The query by which a host says that it passes last event IDs on.
pub(super) const PASSES_IDS_ON: &str = "passesIds";

/// Whether the host of a request says that it passes last event IDs on: the plugin does not.
fn passes_ids_on(request: &Request) -> bool {
    let url = request.url();
    let (_, _, query) = platform::parts(&url);
    query.is_some_and(|query| query.split('&').any(|part| part == PASSES_IDS_ON))
}

pub(super) struct Inner {
    settings: Settings,
    api: Api,
    key: Option<ResourceKey>,
    pub(super) store: Option<SqlStore>,
    streams: Rc<Streams>,
    callbacks: Callbacks<Self>,
    /// `None` until the first use, which reads the ring back.
    pub(super) object: RefCell<Option<Object<JsSink>>>,
    /// News of streams that the runtime reported while the object was in use.
    news: RefCell<Vec<(u32, StreamNews)>>,
    pub(super) timers: Timers,
    pub(super) alarm: Alarm,
    /// Called after the last stream has left.
    pub(super) unused: RefCell<Option<Function>>,
    /// The host's clock; `None` is the platform's.
    pub(super) clock: RefCell<Option<Function>>,
    /// Whether streams get no turns.
    pub(super) serves_at_once: Cell<bool>,
    /// Whether the log was told of an idle timeout that does not count.
    has_warned: Cell<bool>,
    /// The latest time that [`now`](Self::now) returned.
    latest_millis: Cell<u64>,
}

impl Inner {
    fn fetch(&self, request: &Request) -> Result<JsValue, JsValue> {
        let head = Head::of(request);
        match self.api.decide_object(&head.as_request()) {
            ObjectAction::Subscribe {
                last_event_id,
                head,
                refuse,
                ..
            } => self
                .subscribe(last_event_id.as_deref(), &head, refuse, request)
                .map(Into::into),
            ObjectAction::Head { head, .. } => {
                let position = self.lock()?.position();
                Ok(platform::response(&head.with_position(position), None)?.into())
            }
            ObjectAction::Publish { format, .. } => {
                let publish = self.callbacks.publish(format);
                let fail = self.callbacks.fail_body();
                platform::then(&request.array_buffer()?, &publish, fail)
            }
            ObjectAction::Reply(reply) => platform::answer(&reply),
        }
    }

    fn subscribe(
        &self,
        last_event_id: Option<&[u8]>,
        head: &Reply,
        refuse: StreamRefusal,
        request: &Request,
    ) -> Result<Response, JsValue> {
        let mut object = self.lock()?;
        // Reserved first, because the stream's callbacks are bound to the number.
        let number = match object.reserve() {
            Ok(number) => number,
            Err(refusal) => {
                let reply = refuse.reply(refusal.into(), platform::jitter());
                platform::report(&reply);
                return platform::response(&reply, None);
            }
        };

        self.timers.start();
        let callbacks = self.callbacks.of_stream(number);
        let (stream, sink) = self.streams.open(number, &callbacks)?;
        let now = object.now;
        let can_resume = last_event_id.is_some() || passes_ids_on(request);
        if !can_resume {
            self.warn_of_idle_timeout();
        }
        object.subscribe(number, sink, last_event_id, can_resume, now);
        // Sends the stream's first bytes, before the runtime gets its body.
        drop(object);

        // Both, because the runtime does not always cancel the stream of a client that is gone.
        let signal = request.signal();
        let _ = signal.add_event_listener_with_callback("abort", callbacks.cancel.unchecked_ref());
        platform::response(head, Some(&stream))
    }

    /// Calls the host a little later, when no callback of a stream is about to come any more.
    fn report_unused(&self) {
        const LATER_MILLIS: f64 = 1_000.0;
        if let Some(unused) = &*self.unused.borrow() {
            platform::set_timer(unused, LATER_MILLIS);
        }
    }

    /// Says once that `IDLE_TIMEOUT` does not end a stream whose client could not resume.
    fn warn_of_idle_timeout(&self) {
        if !self.settings.idle_timeout.is_zero() && !self.has_warned.replace(true) {
            let text = format!(
                "saacms-realtime: {VARIABLE_PREFIX}IDLE_TIMEOUT does not end a stream whose request \
                 names no last event ID, unless its host says by `?{PASSES_IDS_ON}` that it passes \
                 them on: without one, its client would lose events"
            );
            web_sys::console::warn_1(&text.into());
        }
    }

    /// Locks the object for one use. The first use reads the ring back.
    pub(super) fn lock(&self) -> Result<ObjectGuard<'_>, JsValue> {
        let now = self.now();
        let mut object = self.object.borrow_mut();
        if object.is_none() {
            *object = Some(self.load(now)?);
        }

        let object = RefMut::map(object, |object| object.as_mut().expect("was just loaded"));
        Ok(ObjectGuard {
            inner: self,
            had_streams: object.streams() > 0,
            object,
            now,
        })
    }

    /// Locks the object for a call of the runtime that cannot fail, and logs an error.
    fn lock_or_report(&self) -> Option<ObjectGuard<'_>> {
        match self.lock() {
            Ok(object) => Some(object),
            Err(error) => {
                web_sys::console::error_1(&error);
                None
            }
        }
    }

    /// Publishes the events of a body.
    pub(super) fn publish_body(
        &self,
        format: PublishFormat,
        body: &ArrayBuffer,
    ) -> Result<Reply, JsValue> {
        let max_body_bytes = self.api.max_body_bytes();
        // Checked before the body is copied into the module's memory.
        if body.byte_length() as usize > max_body_bytes {
            return Ok(Problem::body_too_large(max_body_bytes).into());
        }

        let body = Uint8Array::new(body).to_vec();
        let store = self.store.as_ref();
        let store = store.map(|store| store as &dyn Store<Error = String>);
        let mut object = self.lock()?;
        let now = object.now;
        let reply = format.run(&body, |event| object.publish(event, now, store));
        // Sends the events, before the publisher gets its answer.
        drop(object);

        Ok(reply)
    }

    fn load(&self, now: Now) -> Result<Object<JsSink>, JsValue> {
        let max_age_millis = self.settings.hub.max_age.as_millis() as u64;
        let since = now.instant.as_millis().saturating_sub(max_age_millis);
        let wanted = Wanted {
            slots: Object::<JsSink>::slots(&self.settings),
            since: Instant::from_millis(since),
            max_bytes: self.settings.hub.max_history_bytes,
        };
        let stored = match &self.store {
            Some(store) => store.load(wanted)?,
            None => None,
        };

        if let Some(store) = self.store.as_ref().filter(|store| store.has_frames()) {
            self.alarm
                .ask(store.storage(), self.callbacks.alarm_is_at());
        }

        // Two halves, because `Math.random` has fewer than 64 bits.
        let random = || (js_sys::Math::random() * 4_294_967_296.0) as u64;
        let epoch = Epoch::from_number(random() << 32 | random());
        let key = self.key.clone();
        let mut object = Object::new(self.settings, key, stored, epoch, now);
        if self.serves_at_once.get() {
            object.serve_at_once();
        }
        Ok(object)
    }

    fn alarm(&self) -> Result<(), JsValue> {
        self.alarm.has_fired();
        let object = self.lock()?;
        // Dropping the object sets the next alarm if there are younger events.
        if let Some(store) = self.store.as_ref().filter(|store| store.has_frames())
            && object.forget_at() <= object.now.instant
            && let Some((key, newest)) = object.newest()
        {
            let slots = Object::<JsSink>::slots(&self.settings);
            store.forget(key, object.position().epoch, &newest, slots)?;
        }
        Ok(())
    }

    /// Reads both clocks from the platform's only one.
    ///
    /// Stored events must age across a restart, so the monotonic clock is the wall clock as well. It
    /// stands still while that one is set back, so that no event becomes younger.
    fn now(&self) -> Now {
        let clock = self.clock.borrow().clone();
        let told = clock.and_then(|now| now.call0(&JsValue::UNDEFINED).ok()?.as_f64());
        let wall_millis = told.unwrap_or_else(js_sys::Date::now);
        let millis = self.latest_millis.get().max(wall_millis.max(0.0) as u64);
        self.latest_millis.set(millis);
        Now::from_millis(millis, wall_millis as i64)
    }
}

impl Handler for Inner {
    fn register(&self, number: u32, controller: ReadableStreamDefaultController) {
        self.streams.register(number, controller);
    }

    fn pulled(&self, number: u32) -> JsValue {
        let was_handled = self.notify(number, StreamNews::Writable);
        self.streams.pulled(number, was_handled)
    }

    fn publish(&self, format: PublishFormat, body: &ArrayBuffer) -> Result<JsValue, JsValue> {
        let reply = self.publish_body(format, body)?;
        Ok(platform::response(&reply, None)?.into())
    }

    fn notify(&self, number: u32, news: StreamNews) -> bool {
        // Called back by a send. The guard that made it handles the news when it is dropped.
        if self.object.try_borrow_mut().is_err() {
            self.news.borrow_mut().push((number, news));
            return false;
        }
        if let Some(mut object) = self.lock_or_report() {
            object.handle(number, news);
        }
        true
    }

    fn wake(&self) {
        self.timers.wake_has_fired();
        if let Some(mut object) = self.lock_or_report() {
            let now = object.now;
            object.handle_timeout(now);
        }
    }

    fn alarm_is_at(&self, at_millis: &JsValue) {
        let now = self.now().instant;
        self.alarm.is_at(at_millis, now);
        // Dropping the object sets the alarm if there is none.
        drop(self.lock_or_report());
        self.report_unused();
    }

    fn turn(&self) {
        self.timers.turn_has_fired();
        if let Some(mut object) = self.lock_or_report() {
            let now = object.now;
            object.turn(now);
        }
    }
}

/// The object in use. Dropping the guard sends what is in the outbox, handles what the runtime
/// reported in the meantime, and sets the timers.
pub(super) struct ObjectGuard<'a> {
    inner: &'a Inner,
    had_streams: bool,
    object: RefMut<'a, Object<JsSink>>,
    pub(super) now: Now,
}

impl ObjectGuard<'_> {
    fn handle(&mut self, number: u32, news: StreamNews) {
        match news {
            StreamNews::Writable => {
                self.inner.streams.has_room(number);
                self.object.writable(number, self.now);
            }
            StreamNews::ClientGone => self.object.remove(number),
        }
    }
}

impl Drop for ObjectGuard<'_> {
    fn drop(&mut self) {
        loop {
            // Sending may call back into `notify`, so the news is checked after it.
            for number in self.inner.streams.flush_and_take_ended() {
                self.object.remove(number);
            }
            let Some((number, news)) = self.inner.news.borrow_mut().pop() else {
                break;
            };
            self.handle(number, news);
        }

        let Inner {
            timers,
            callbacks,
            store,
            alarm,
            ..
        } = self.inner;
        if self.had_streams && self.object.streams() == 0 {
            self.inner.report_unused();
        }
        if let Some(store) = store.as_ref().filter(|store| store.has_frames()) {
            alarm.set(store.storage(), self.object.forget_at(), self.now.instant);
        }

        // The last turn of a round ends here too, and sets the deadline.
        if self.object.wants_turn() {
            timers.set_turn(callbacks.turn());
        } else {
            timers.set_wake(self.object.wake_at(), self.now.instant, callbacks.wake());
        }
    }
}

impl core::ops::Deref for ObjectGuard<'_> {
    type Target = Object<JsSink>;

    fn deref(&self) -> &Self::Target {
        &self.object
    }
}

impl core::ops::DerefMut for ObjectGuard<'_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.object
    }
}
