//! The state of the Durable Object, and what it does with requests.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use js_sys::{ArrayBuffer, Function, Uint8Array};
use saacms_realtime_core::feed::Store;
use saacms_realtime_core::route::{
    Api, ObjectAction, Problem, PublishFormat, Reply, StreamRefusal,
};
use saacms_realtime_core::settings::VARIABLE_PREFIX;
use saacms_realtime_core::{Instant, Now, Refusal, ResourceKey};
use wasm_bindgen::prelude::*;
use web_sys::{Request, Response};

use super::alarm::Alarm;
use super::callbacks::{Callbacks, StreamNews};
use super::options::{self, Options};
use super::platform::{self, Head, member};
use super::sockets::{JsSocket, Sockets};
use super::sql::SqlStore;
use super::streams::{JsSink, Streams};
use super::timers::Timers;
use crate::object::Object;
use crate::settings::{self, Environment, Settings};

/// How long after a stream has left the runtime may still call its callbacks.
const LATER_MILLIS: u64 = 1_000;

/// An object of this platform.
pub(super) type JsObject = Object<JsSink, JsSocket>;

pub(super) struct Inner {
    pub(super) settings: Settings,
    api: Api,
    pub(super) key: Option<ResourceKey>,
    pub(super) store: Option<SqlStore>,
    pub(super) streams: Rc<Streams>,
    /// `None` if the platform keeps no WebSockets.
    pub(super) sockets: Option<Rc<Sockets>>,
    pub(super) callbacks: Callbacks<Self>,
    /// `None` until the first use, which reads the ring back.
    pub(super) object: RefCell<Option<JsObject>>,
    /// News of streams that the runtime reported while the object was in use.
    pub(super) news: RefCell<Vec<(u32, StreamNews)>>,
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
    /// When the last stream left; 0 if there was none.
    left_at_millis: Cell<u64>,
    /// The options that the object runs with.
    pub(super) options: Options,
    /// Whether the whole ring was read back, and not only its newest event.
    pub(super) is_whole: Cell<bool>,
    /// The latest time that [`now`](Self::now) returned.
    latest_millis: Cell<u64>,
}

impl Inner {
    /// The state of the object whose state at the platform is `ctx`.
    ///
    /// # Errors
    ///
    /// A variable of the environment has an invalid value.
    pub(super) fn new(
        ctx: &JsValue,
        env: &JsValue,
        options: Option<String>,
    ) -> Result<Rc<Self>, JsValue> {
        let mut store = SqlStore::of(ctx);
        let options = options::decide(options, store.as_ref())?;
        let variable = |name: &str| options.get(name).or_else(|| platform::variable(env, name));
        let settings = Settings::read(Environment(&variable))
            .map_err(|error| js_sys::Error::new(&error.to_string()))?;
        let cors = settings::cors(Environment(&variable))
            .map_err(|error| js_sys::Error::new(&error.to_string()))?;

        if !settings.storage
            && let Some(unused) = store.take()
        {
            unused.clear()?;
        }

        if let Some(store) = &store {
            store.keep_options(options.as_str())?;
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

        // The router, or the host's own code, has decided who may publish.
        let mut api = Api::default()
            .with_open_publish()
            .with_cors(cors)
            .with_heartbeat(settings.hub.heartbeat);
        let sockets = Sockets::of(ctx);
        if sockets.is_some() {
            api = api.with_websockets();
        }

        Ok(Rc::new_cyclic(|inner| Self {
            settings,
            api,
            key: key_of(ctx),
            store,
            streams: Rc::new(Streams::new(ctx)),
            sockets,
            callbacks: Callbacks::new(inner),
            object: RefCell::new(None),
            news: RefCell::new(Vec::new()),
            timers: Timers::default(),
            alarm: Alarm::default(),
            unused: RefCell::default(),
            clock: RefCell::default(),
            has_warned: Cell::new(false),
            serves_at_once: Cell::new(false),
            left_at_millis: Cell::new(0),
            options,
            is_whole: Cell::new(false),
            latest_millis: Cell::new(0),
        }))
    }

    pub(super) fn fetch(&self, request: &Request) -> Result<JsValue, JsValue> {
        let head = Head::of(request);
        match self.api.decide_object(&head.as_request()) {
            ObjectAction::Subscribe {
                last_event_id,
                head,
                is_websocket,
                refuse,
                ..
            } => {
                let id = last_event_id.as_deref();
                let response = if is_websocket {
                    self.open_socket(id, &head, refuse)?
                } else {
                    self.subscribe(id, &head, refuse, request)?
                };
                Ok(response.into())
            }
            ObjectAction::Head { head, .. } => {
                let position = self.lock_newest()?.position();
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
        let mut object = self.lock_for(last_event_id)?;
        // Reserved first, because the stream's callbacks are bound to the number.
        let number = match object.reserve() {
            Ok(number) => number,
            Err(refusal) => return refuse_stream(refuse, refusal),
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

    /// Notes that the last stream has left.
    pub(super) fn last_has_left(&self, now: Instant) {
        self.left_at_millis.set(now.as_millis());
        self.report_unused();
    }

    /// Calls the host a little later, when no callback of a stream is about to come any more.
    pub(super) fn report_unused(&self) {
        if let Some(unused) = &*self.unused.borrow() {
            platform::set_timer(unused, LATER_MILLIS as f64);
        }
    }

    /// Whether a callback of a stream may still come, such as the signal of its request.
    pub(super) fn may_be_called(&self) -> bool {
        // A timer may be a little early.
        self.now().instant.as_millis() + 100 < self.left_at_millis.get() + LATER_MILLIS
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

    pub(super) fn alarm(&self) -> Result<(), JsValue> {
        self.alarm.has_fired();
        let object = self.lock_newest()?;
        // Dropping the object sets the next alarm if there are younger events.
        if let Some(store) = self.store.as_ref().filter(|store| store.has_frames())
            && object.forget_at() <= object.now.instant
            && let Some((key, newest)) = object.newest()
        {
            let slots = JsObject::slots(&self.settings);
            store.forget(key, object.position().epoch, &newest, slots)?;
        }
        Ok(())
    }

    /// When clients come back after a drain: 1 to 4 times `RETRY`, so that not all do at once.
    pub(super) fn drain_millis(&self) -> u64 {
        let retry_millis = u64::try_from(self.settings.retry.as_millis()).unwrap_or(u64::MAX);
        let spread = retry_millis.saturating_mul(3).saturating_add(1);
        retry_millis.saturating_add(platform::jitter() % spread)
    }

    /// Reads both clocks from the platform's only one.
    ///
    /// Stored events must age across a restart, so the monotonic clock is the wall clock as well. It
    /// stands still while that one is set back, so that no event becomes younger.
    pub(super) fn now(&self) -> Now {
        let clock = self.clock.borrow().clone();
        let told = clock.and_then(|now| now.call0(&JsValue::UNDEFINED).ok()?.as_f64());
        let wall_millis = told.unwrap_or_else(js_sys::Date::now);
        let millis = self.latest_millis.get().max(wall_millis.max(0.0) as u64);
        self.latest_millis.set(millis);
        Now::from_millis(millis, wall_millis as i64)
    }
}

/// The answer to a client that gets no stream.
pub(super) fn refuse_stream(refuse: StreamRefusal, refusal: Refusal) -> Result<Response, JsValue> {
    let reply = refuse.reply(refusal.into(), platform::jitter());
    platform::report(&reply);
    platform::response(&reply, None)
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
