use std::net::IpAddr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use async_io::Timer;
use futures_lite::future::{block_on, yield_now, zip};
use http::{Request, Response};
use http_body::Body;
use saacms_realtime_core::route::http::{
    BodyBudget, ResponseBody, close_connection, decide, read_body,
};
use saacms_realtime_core::route::limits::BODY_TIMEOUT;
use saacms_realtime_core::route::{Action, Api, Decision, PublishFormat, Reply};
use saacms_realtime_core::{
    ConfigError, Event, Hub, HubConfig, Notice, Position, Publishing, Refusal, ResourceKey, report,
    sweep,
};

use crate::clock::Clock;
use crate::stream::EventStream;

/// The hub with its clock and its API. Cheap to clone; every clone is the same hub.
///
/// It is all that an application keeps: publish with it, [`serve`](crate::serve) it, or let it
/// answer the requests of your own server.
#[derive(Clone, Debug)]
pub struct Realtime {
    hub: Arc<Hub>,
    api: Arc<Api>,
    bodies: Arc<BodyBudget>,
    clock: Clock,
}

impl Realtime {
    /// Creates a hub, and a thread that sweeps it for as long as the hub lives, and logs what it
    /// refuses and cuts as events of `tracing`.
    ///
    /// The thread sleeps nearly all the time. It is not a task, because no executor need be running
    /// yet: expired history is freed whether the hub is served or not.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if a setting is out of range.
    ///
    /// # Panics
    ///
    /// If the system cannot start a thread.
    pub fn new(config: HubConfig, api: Api) -> Result<Self, ConfigError> {
        let hub = Arc::new(Hub::with_random_seed(config)?);
        let clock = Clock::start();
        let sleep_until = move |due| Timer::at(clock.deadline(due));
        let sweep = sweep(Arc::downgrade(&hub), move || clock.now(), sleep_until);
        let report = report(Arc::downgrade(&hub), move || clock.now(), sleep_until, log);
        let sweeper = thread::Builder::new().name("saacms-realtime".to_owned());
        sweeper
            .spawn(|| block_on(zip(sweep, report)))
            .expect("the system can start a thread");

        let api = api.with_heartbeat(hub.config().heartbeat);
        Ok(Self {
            hub,
            bodies: Arc::new(BodyBudget::new(api.max_body_bytes())),
            api: Arc::new(api),
            clock,
        })
    }

    /// Publishes an event. Once this returns `Ok`, the event is in the record's history.
    ///
    /// # Errors
    ///
    /// [`Refusal::Draining`]; then nothing is published.
    pub fn publish(&self, event: Event) -> Result<(), Refusal> {
        self.hub.publish(event, self.clock.now())
    }

    /// Publishes an event, and waits until it is in the record's history.
    ///
    /// The publish begins with this call, whether the future is polled or not. It works whatever
    /// keeps the history; while that is memory, the future is ready at once.
    ///
    /// # Errors
    ///
    /// The future resolves to any [`Refusal`] of a publish. After [`Refusal::MaybePublished`] the
    /// event may have been published; after every other one it was not.
    pub fn submit(&self, event: Event) -> Publishing {
        self.hub.submit(event, self.clock.now())
    }

    /// Subscribes to a record, after `last_event_id` if one is named.
    ///
    /// # Errors
    ///
    /// Any [`Refusal`]; then nothing is registered.
    pub fn subscribe(
        &self,
        key: &ResourceKey,
        last_event_id: Option<&[u8]>,
    ) -> Result<EventStream, Refusal> {
        self.subscribe_from(None, key, last_event_id)
    }

    fn subscribe_from(
        &self,
        client: Option<IpAddr>,
        key: &ResourceKey,
        last_event_id: Option<&[u8]>,
    ) -> Result<EventStream, Refusal> {
        let now = self.clock.now();
        let subscription = self.hub.subscribe_from(client, key, last_event_id, now)?;
        Ok(EventStream::new(subscription, self.clock))
    }

    /// The place after every event of this record so far, for a page that reads the record from its
    /// store and then subscribes.
    ///
    /// Take it *before* the store is read, and let the page name it as its last event ID: then
    /// nothing is lost between the two. An event that the store already shows may come again.
    ///
    /// ```
    /// use saacms_realtime_asyncstd::{Event, Realtime, ResourceKey};
    ///
    /// struct Page { record: String, last_event_id: String }
    ///
    /// fn render(realtime: &Realtime, key: &ResourceKey, read: impl Fn() -> String) -> Page {
    ///     // In this order: what is published after the position reaches the page.
    ///     let position = realtime.position(key);
    ///     Page { record: read(), last_event_id: position.to_string() }
    /// }
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let realtime = Realtime::new(Default::default(), Default::default())?;
    /// let key = ResourceKey::new("posts", "1")?;
    /// let page = render(&realtime, &key, || "old".to_owned());
    /// realtime.publish(Event::changed(key.clone(), &"new", None)?)?;
    ///
    /// // Later the page subscribes from there, over HTTP as `?lastEventId=`.
    /// let stream = realtime.subscribe(&key, Some(page.last_event_id.as_bytes()))?;
    /// # drop((stream, page.record));
    /// # Ok(()) }
    /// ```
    pub fn position(&self, key: &ResourceKey) -> Position {
        self.hub.position(key)
    }

    /// Starts to drain: new streams and publishes are refused; open streams get their remaining events
    /// and a reconnection time, and end.
    ///
    /// [`serve`](crate::serve) drains when it stops. Call this before the graceful shutdown of a
    /// server of your own, which waits for streams to end. During the drain, 10 s at most, new
    /// clients are told to come back later.
    pub fn drain(&self) {
        self.hub.drain();
    }

    /// [`drain`](Self::drain) that may take this long.
    pub fn drain_within(&self, timeout: Duration) {
        self.hub.drain_within(timeout);
    }

    /// The hub, for its statistics and for [`Hub::source_lost`].
    pub fn hub(&self) -> &Hub {
        &self.hub
    }

    pub(crate) fn clock(&self) -> Clock {
        self.clock
    }

    /// The API that requests are answered by.
    pub fn api(&self) -> &Api {
        &self.api
    }

    /// Answers a request to the API at its base path, for a server of your own.
    ///
    /// ```
    /// use std::convert::Infallible;
    /// use hyper::{Request, body::Incoming, service::service_fn};
    /// use saacms_realtime_asyncstd::Realtime;
    ///
    /// let realtime = Realtime::new(Default::default(), Default::default())?;
    /// let service = service_fn(|request: Request<Incoming>| async {
    ///     // Your own routes, and for the rest:
    ///     Ok::<_, Infallible>(realtime.respond(request).await)
    /// });
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn respond<B: Body>(
        &self,
        request: Request<B>,
    ) -> Response<ResponseBody<EventStream>> {
        let version = request.version();
        let (decision, _, body) = decide(request, |request| self.api.decide(request));
        let Decision { action, answer, .. } = decision;
        let reply = match action {
            Action::Subscribe {
                key,
                last_event_id,
                client,
                head,
                refuse,
                ..
            } => match self.subscribe_from(client, &key, last_event_id.as_deref()) {
                Ok(stream) => return answer.add_to(head).into_stream(stream),
                Err(refusal) => refuse.reply(refusal.into(), self.hub.jitter()),
            },
            Action::Head { key, head, .. } => head.with_position(self.position(&key)),
            Action::Publish {
                format,
                max_body_bytes,
                ..
            } => {
                let timeout = Timer::after(BODY_TIMEOUT);
                match read_body(body, max_body_bytes, &self.bodies, timeout).await {
                    Ok(body) => self.publish_in_turns(format, &body).await,
                    Err(problem) => problem.into(),
                }
            }
            Action::Reply(reply) => reply,
        };

        if let Some(notice) = reply.notice {
            self.hub.notice(notice);
        }
        let closes = reply.closes_connection;
        let mut response = answer
            .add_to(reply)
            .into_shared_response(|document| self.hub.share(document));
        // Otherwise a client would go on with a connection that is about to close.
        if closes || self.hub.is_draining() {
            close_connection(&mut response, version);
        }
        response
    }

    /// Publishes the events of a body. Lets other tasks run between the lines of a long one.
    async fn publish_in_turns(&self, format: PublishFormat, body: &[u8]) -> Reply {
        let _share = match self.bodies.publish(body.len()) {
            Ok(share) => share,
            Err(problem) => return problem.into(),
        };
        let mut turns = format.turns(body);
        loop {
            if let Some(reply) = turns.turn(|event| self.submit(event)).await {
                return reply;
            }
            yield_now().await;
        }
    }

    /// The same hub, which answers only requests to a loopback name unless its API says otherwise.
    pub(crate) fn for_loopback(mut self) -> Self {
        if !self.api.has_publish_token() && self.api.allowed_hosts().is_none() {
            let api = Api::clone(&self.api).with_allowed_hosts([]);
            self.api = Arc::new(api.expect("there is no name to be invalid"));
        }
        self
    }
}

/// Writes one line for `count` notices of a kind.
fn log(notice: Notice, count: u64) {
    if notice.is_warning() {
        tracing::warn!(count, "{notice}");
    } else {
        tracing::info!(count, "{notice}");
    }
}
