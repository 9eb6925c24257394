//! The Durable Object: what the runtime calls, and what calls the runtime.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::{Rc, Weak};

use js_sys::{ArrayBuffer, Uint8Array};
use saacms_realtime_core::config::VARIABLE_PREFIX;
use saacms_realtime_core::feed::Store;
use saacms_realtime_core::name::ResourceKey;
use saacms_realtime_core::route::{Api, ObjectAction, Problem, PublishFormat, Reply};
use saacms_realtime_core::time::{Instant, Now};
use wasm_bindgen::prelude::*;
use web_sys::{ReadableStreamDefaultController, Request, Response};

use crate::object::Object;
use crate::platform::{self, Head, member};
use crate::settings::{Environment, Settings};
use crate::sql::SqlStore;
use crate::stream::{Callbacks, JsSink, Streams};

/// The Durable Object of one record, a drop-in for the class of this name of the JavaScript plugin.
///
/// `GET …/subscribe` is answered with the record's event stream, `POST …/publish` publishes an
/// event. Settings are the variables of [`settings`](crate::settings) in the Worker's environment.
#[wasm_bindgen]
pub struct SaacmsRealtimeDO {
    inner: Rc<Inner>,
}

struct Inner {
    settings: Settings,
    api: Api,
    key: Option<ResourceKey>,
    store: Option<SqlStore>,
    streams: Rc<Streams>,
    calls: Calls,
    /// `None` until the first request: the ring is read back when it is needed.
    object: RefCell<Option<Object<JsSink>>>,
    /// What streams said while something else was being done.
    said: RefCell<Vec<(u32, Said)>>,
    timer: RefCell<Option<(Instant, JsValue)>>,
    /// Whether a call of [`turn`](Self::turn) is on its way.
    is_turn_due: Cell<bool>,
    latest: Cell<u64>,
}

/// What the runtime says of a stream.
#[derive(Clone, Copy, Debug)]
enum Said {
    HasRoom,
    ClientLeft,
}

/// The functions that the runtime calls, one of each per object.
struct Calls {
    start: Closure<dyn Fn(u32, ReadableStreamDefaultController)>,
    pull: Closure<dyn Fn(u32) -> JsValue>,
    cancel: Closure<dyn Fn(u32)>,
    body: Closure<dyn Fn(u32, JsValue) -> Result<JsValue, JsValue>>,
    no_body: Closure<dyn Fn(JsValue) -> Result<JsValue, JsValue>>,
    timer: Closure<dyn Fn()>,
    turn: Closure<dyn Fn()>,
}

#[wasm_bindgen]
impl SaacmsRealtimeDO {
    /// What the runtime calls before the first request.
    ///
    /// # Errors
    ///
    /// A variable of the environment makes no sense.
    #[wasm_bindgen(constructor)]
    pub fn new(ctx: JsValue, env: JsValue) -> Result<Self, JsValue> {
        platform::report_panics();
        let settings = Settings::read(Environment(&|name| platform::variable(&env, name)))
            .map_err(|error| js_sys::Error::new(&error.to_string()))?;
        let store = settings.storage.then(|| SqlStore::of(&ctx)).flatten();
        if settings.storage && store.is_none() {
            let warning = format!(
                "saacms-realtime: this class has no SQLite storage (new_sqlite_classes), so its \
                 history ends when it is evicted; {VARIABLE_PREFIX}STORAGE=off says that this is meant"
            );
            web_sys::console::warn_1(&warning.into());
        }
        let name = member(&member(&ctx, "id"), "name").as_string();
        // `<slug>:<id>`; a slug has no colon.
        let key = name
            .as_deref()
            .and_then(|name| name.split_once(':'))
            .and_then(|(slug, id)| ResourceKey::new(slug, id).ok());
        let streams = Rc::new(Streams::new(&ctx));
        let inner = Rc::new_cyclic(|inner| Inner {
            settings,
            api: Api::default(),
            key,
            store,
            streams,
            calls: Calls::new(inner),
            object: RefCell::default(),
            said: RefCell::default(),
            timer: RefCell::default(),
            is_turn_due: Cell::default(),
            latest: Cell::new(0),
        });
        Ok(Self { inner })
    }

    /// Answers a request.
    ///
    /// # Errors
    ///
    /// What the runtime throws.
    pub fn fetch(&self, request: Request) -> Result<JsValue, JsValue> {
        self.inner.fetch(&request)
    }
}

impl Inner {
    fn fetch(&self, request: &Request) -> Result<JsValue, JsValue> {
        let head = Head::of(request);
        match self.api.decide_object(&head.as_request()) {
            ObjectAction::Subscribe {
                last_event_id,
                head,
                ..
            } => self
                .subscribe(last_event_id.as_deref(), &head, request)
                .map(Into::into),
            ObjectAction::Publish { format, .. } => {
                let format = u32::from(format == PublishFormat::Ndjson);
                let body = self.calls.body.as_ref();
                let body = platform::bound(body, format);
                Ok(platform::then(
                    &request.array_buffer()?,
                    &body,
                    self.calls.no_body.as_ref(),
                )?)
            }
            ObjectAction::Reply(reply) => Ok(platform::response(&reply, None)?.into()),
        }
    }

    fn subscribe(
        &self,
        last_event_id: Option<&[u8]>,
        head: &Reply,
        request: &Request,
    ) -> Result<Response, JsValue> {
        let mut opened = None;
        let callbacks = Callbacks {
            start: self.calls.start.as_ref(),
            pull: self.calls.pull.as_ref(),
            cancel: self.calls.cancel.as_ref(),
        };
        let subscribed = self.run(|object, now| {
            object.subscribe(last_event_id, now, |number| {
                let (stream, sink) = self.streams.open(number, &callbacks)?;
                opened = Some(stream);
                Ok::<_, JsValue>(sink)
            })
        })?;
        let number = match subscribed {
            Ok(number) => number?,
            Err(problem) => return platform::response(&problem.into(), None),
        };
        // The runtime does not always cancel the stream of a client that is gone.
        let signal = request.signal();
        let gone = platform::bound(self.calls.cancel.as_ref(), number);
        let _ = signal.add_event_listener_with_callback("abort", gone.unchecked_ref());
        platform::response(head, opened.as_ref())
    }

    fn publish(&self, format: PublishFormat, body: &JsValue) -> Result<JsValue, JsValue> {
        let body: &ArrayBuffer = body.unchecked_ref();
        let max_body_bytes = self.api.max_body_bytes();
        if body.byte_length() as usize > max_body_bytes {
            return refuse(Problem::body_too_large(max_body_bytes));
        }
        let body = Uint8Array::new(body).to_vec();
        let reply = self.run(|object, now| {
            let store = self
                .store
                .as_ref()
                .map(|store| store as &dyn Store<Error = _>);
            format.run(&body, |event| object.publish(event, now, store))
        })?;
        Ok(platform::response(&reply, None)?.into())
    }

    /// Does something with the object, and what follows from it.
    fn run<R>(&self, act: impl FnOnce(&mut Object<JsSink>, Now) -> R) -> Result<R, JsValue> {
        let now = self.now();
        let mut place = self.object.borrow_mut();
        let object = match &mut *place {
            Some(object) => object,
            empty => empty.insert(self.load(now)?),
        };
        let result = act(object, now);
        loop {
            for number in self.streams.settle() {
                object.left(number);
            }
            let Some((number, said)) = self.said.borrow_mut().pop() else {
                break;
            };
            self.hear(object, number, said, now);
        }
        if object.wants_turn() {
            self.set_turn();
        } else {
            self.set_timer(object.wake_at(), now.instant);
        }
        Ok(result)
    }

    /// As [`run`](Self::run), for what the runtime calls and nobody hears the answer of.
    fn run_on(&self, act: impl FnOnce(&mut Object<JsSink>, Now)) {
        if let Err(error) = self.run(act) {
            web_sys::console::error_1(&error);
        }
    }

    fn load(&self, now: Now) -> Result<Object<JsSink>, JsValue> {
        let slots = Object::<JsSink>::slots(&self.settings);
        let kept = match &self.store {
            Some(store) => store.load(slots)?,
            None => None,
        };
        let random = || (js_sys::Math::random() * 4_294_967_296.0) as u64;
        let epoch = random() << 32 | random();
        Ok(Object::new(
            self.settings,
            self.key.clone(),
            kept,
            epoch,
            now,
        ))
    }

    /// A stream says something. False where that has to wait for what is being done.
    fn say(&self, number: u32, said: Said) -> bool {
        let is_free = self.object.try_borrow_mut().is_ok();
        if is_free {
            self.run_on(|object, now| self.hear(object, number, said, now));
        } else {
            self.said.borrow_mut().push((number, said));
        }
        is_free
    }

    fn hear(&self, object: &mut Object<JsSink>, number: u32, said: Said, now: Now) {
        match said {
            Said::HasRoom => {
                self.streams.has_room(number);
                object.drained(number, now);
            }
            Said::ClientLeft => object.left(number),
        }
    }

    fn tick(&self) {
        self.timer.borrow_mut().take();
        self.run_on(|object, now| object.tick(now));
    }

    /// Has [`turn`](Self::turn) called once the runtime has written what it was given: it fires
    /// timers behind that.
    fn set_turn(&self) {
        if !self.is_turn_due.replace(true) {
            platform::set_timeout(self.calls.turn.as_ref(), 0.0);
        }
    }

    fn turn(&self) {
        self.is_turn_due.set(false);
        self.run_on(Object::turn);
    }

    /// Has the timer fire at `wake_at`, or before: a write only ever postpones what is due, so an
    /// armed timer is early at worst, and is not set anew at each write.
    fn set_timer(&self, wake_at: Option<Instant>, now: Instant) {
        let mut timer = self.timer.borrow_mut();
        let Some(wake_at) = wake_at else {
            if let Some((_, armed)) = timer.take() {
                platform::clear_timeout(&armed);
            }
            return;
        };
        match &*timer {
            Some((at, _)) if *at <= wake_at => return,
            Some((_, armed)) => platform::clear_timeout(armed),
            None => {}
        }
        // The longest time that a timer of JavaScript can wait for.
        let millis = wake_at.millis_since(now).clamp(1, (1 << 31) - 1) as f64;
        *timer = Some((
            wake_at,
            platform::set_timeout(self.calls.timer.as_ref(), millis),
        ));
    }

    /// Both clocks. The platform has one; what is stored must be aged by a clock that goes on over
    /// a restart, and one that is set back makes nothing younger.
    fn now(&self) -> Now {
        let wall = js_sys::Date::now();
        let instant = self.latest.get().max(wall.max(0.0) as u64);
        self.latest.set(instant);
        Now::from_millis(instant, wall as i64)
    }
}

impl Calls {
    fn new(inner: &Weak<Inner>) -> Self {
        let [start, pull, cancel, body, timer, turn] = [(); 6].map(|()| inner.clone());
        Self {
            start: Closure::new(move |number, controller| {
                if let Some(inner) = start.upgrade() {
                    inner.streams.take(number, controller);
                }
            }),
            pull: Closure::new(move |number| {
                pull.upgrade().map_or(JsValue::UNDEFINED, |inner| {
                    let was_heard = inner.say(number, Said::HasRoom);
                    inner.streams.pulled(number, !was_heard)
                })
            }),
            cancel: Closure::new(move |number| {
                if let Some(inner) = cancel.upgrade() {
                    inner.say(number, Said::ClientLeft);
                }
            }),
            body: Closure::new(move |format, bytes: JsValue| {
                let inner = body.upgrade().ok_or("the object is gone")?;
                let format = if format == 0 {
                    PublishFormat::Json
                } else {
                    PublishFormat::Ndjson
                };
                inner.publish(format, &bytes)
            }),
            no_body: Closure::new(|_| refuse(Problem::body_incomplete())),
            timer: Closure::new(move || {
                if let Some(inner) = timer.upgrade() {
                    inner.tick();
                }
            }),
            turn: Closure::new(move || {
                if let Some(inner) = turn.upgrade() {
                    inner.turn();
                }
            }),
        }
    }
}

fn refuse(problem: Problem) -> Result<JsValue, JsValue> {
    Ok(platform::response(&problem.into(), None)?.into())
}

impl fmt::Debug for SaacmsRealtimeDO {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SaacmsRealtimeDO")
            .field("key", &self.inner.key)
            .finish_non_exhaustive()
    }
}
