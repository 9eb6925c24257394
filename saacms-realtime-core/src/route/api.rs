use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;

use super::accept::accepts_event_stream;
use super::hosts::{Hosts, InvalidHost};
use super::path::{self, InvalidBasePath, Target};
use super::websocket;
use super::{Action, AnswerHeaders, Cors, Decision, Problem, PublishFormat, Reply, Request};
use super::{DEFAULT_BASE_PATH, DEFAULT_MAX_BODY_BYTES};
use super::{StreamRefusal, Token, TrustedProxies};
use crate::name::ResourceKey;

/// The HTTP API of a server: where it is served, and who may use it.
///
/// The default is served at [`DEFAULT_BASE_PATH`], accepts bodies of 1 MiB and allows no other
/// origin. Publishing over HTTP is off until the API has a [token](Self::with_publish_token), or is
/// opened to [this machine](Self::with_local_publish) or to [everyone](Self::with_open_publish).
#[derive(Clone, Debug)]
pub struct Api {
    /// Empty, or `/` and whole segments without a `/` at the end.
    base_path: Cow<'static, str>,
    cors: Cors,
    /// `None` allows every host.
    allowed_hosts: Option<Hosts>,
    publish_token: Option<Token>,
    /// Who may publish if there is no token.
    open_to: OpenTo,
    max_body_bytes: usize,
    trusted_proxies: TrustedProxies,
    /// What the heads of streams tell clients; zero = nothing.
    pub(super) heartbeat: Duration,
    /// Whether a client that asks for a WebSocket gets one.
    has_websockets: bool,
}

/// The head of a stream, and how it is refused.
pub(super) struct StreamHead {
    pub(super) head: Reply,
    pub(super) is_websocket: bool,
    pub(super) refuse: StreamRefusal,
}

/// Who may publish without a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OpenTo {
    Nobody,
    /// Whoever reaches the server without a proxy.
    ThisMachine,
    Everyone,
}

impl Default for Api {
    fn default() -> Self {
        Self {
            base_path: DEFAULT_BASE_PATH.into(),
            cors: Cors::default(),
            allowed_hosts: None,
            publish_token: None,
            open_to: OpenTo::Nobody,
            max_body_bytes: DEFAULT_MAX_BODY_BYTES,
            trusted_proxies: TrustedProxies::default(),
            heartbeat: Duration::ZERO,
            has_websockets: false,
        }
    }
}

impl Api {
    /// The API at another base path: empty, or `/` and whole segments without a `/` at the end.
    ///
    /// # Errors
    ///
    /// `base_path` does not have this form.
    pub fn at(mut self, base_path: &str) -> Result<Self, InvalidBasePath> {
        path::check_base(base_path)?;
        self.base_path = Cow::Owned(base_path.trim_end_matches('/').into());
        Ok(self)
    }

    /// The API with these origins allowed.
    #[must_use]
    pub fn with_cors(mut self, cors: Cors) -> Self {
        self.cors = cors;
        self
    }

    /// The API that answers only requests to a loopback name (`localhost`, `*.localhost`,
    /// 127.0.0.0/8, `[::1]`) or to one of `hosts`, at any port; others get 403.
    ///
    /// A server that is meant for its own machine needs this against DNS rebinding: otherwise any
    /// web page can read it. By default every host is allowed.
    ///
    /// # Errors
    ///
    /// The first text that is not the name of a host.
    pub fn with_allowed_hosts<'h>(
        mut self,
        hosts: impl IntoIterator<Item = &'h str>,
    ) -> Result<Self, InvalidHost> {
        self.allowed_hosts = Some(Hosts::new(hosts)?);
        Ok(self)
    }

    /// The API with a token that publishers must show.
    #[must_use]
    pub fn with_publish_token(mut self, token: Token) -> Self {
        self.publish_token = Some(token);
        self
    }

    /// The API to which programs of this machine publish without a token: for a server that
    /// [may be served](Self::may_be_served_at) at a loopback address only.
    ///
    /// A publish that has come through a proxy is refused, because its client may be anywhere. So is
    /// one from a web page, unless it is the server's own or of an origin that is listed.
    #[must_use]
    pub fn with_local_publish(mut self) -> Self {
        self.open_to = OpenTo::ThisMachine;
        self
    }

    /// The API to which everyone who reaches it publishes without a token, except pages of origins
    /// that are not listed: for a server that checks its publishers itself.
    #[must_use]
    pub fn with_open_publish(mut self) -> Self {
        self.open_to = OpenTo::Everyone;
        self
    }

    /// The API with another limit for the body of a publish, in bytes.
    #[must_use]
    pub fn with_max_body_bytes(mut self, max_body_bytes: usize) -> Self {
        self.max_body_bytes = max_body_bytes;
        self
    }

    /// The API that believes these proxies when they name the client of a request.
    #[must_use]
    pub fn with_trusted_proxies(mut self, trusted_proxies: TrustedProxies) -> Self {
        self.trusted_proxies = trusted_proxies;
        self
    }

    /// The API whose streams tell clients their heartbeat; zero tells nothing.
    ///
    /// A client detects a dead connection by it. Each adapter sets that of its hub.
    #[must_use]
    pub fn with_heartbeat(mut self, heartbeat: Duration) -> Self {
        self.heartbeat = heartbeat;
        self
    }

    /// The API that serves streams over WebSockets, too, to clients that ask for it: for an adapter
    /// that can. Others ignore `Upgrade`, and answer with an event stream.
    #[must_use]
    pub fn with_websockets(mut self) -> Self {
        self.has_websockets = true;
        self
    }

    /// The base path: empty, or without a `/` at the end.
    pub fn base_path(&self) -> &str {
        &self.base_path
    }

    /// The allowed origins.
    pub fn cors(&self) -> &Cors {
        &self.cors
    }

    /// The hosts beside loopback names to which requests are answered; `None` if all are.
    pub fn allowed_hosts(&self) -> Option<impl Iterator<Item = &str>> {
        self.allowed_hosts.as_ref().map(Hosts::names)
    }

    /// The proxies that are believed.
    pub fn trusted_proxies(&self) -> &TrustedProxies {
        &self.trusted_proxies
    }

    /// Whether publishers must show a token.
    pub fn has_publish_token(&self) -> bool {
        self.publish_token.is_some()
    }

    /// Largest body of a publish, in bytes. A larger one is refused with
    /// [`Problem::body_too_large`].
    pub fn max_body_bytes(&self) -> usize {
        self.max_body_bytes
    }

    /// Whether a server of this API may listen at `address`.
    ///
    /// Everyone who reaches a network address could publish, so there publishing needs a token, or
    /// is off.
    ///
    /// ```
    /// use core::net::Ipv4Addr;
    /// use saacms_realtime_core::route::{Api, Token};
    ///
    /// let (here, everywhere) = (Ipv4Addr::LOCALHOST.into(), Ipv4Addr::UNSPECIFIED.into());
    /// let api = Api::default().with_local_publish();
    /// assert!(api.may_be_served_at(here) && !api.may_be_served_at(everywhere));
    /// let api = api.with_publish_token(Token::new("0123456789abcdef")?);
    /// assert!(api.may_be_served_at(everywhere));
    /// # Ok::<(), saacms_realtime_core::route::InvalidToken>(())
    /// ```
    pub fn may_be_served_at(&self, address: IpAddr) -> bool {
        let is_guarded = self.publish_token.is_some() || self.open_to == OpenTo::Nobody;
        // Canonical first: ::ffff:127.0.0.1 is the loopback address of IPv4.
        is_guarded || address.to_canonical().is_loopback()
    }

    /// Decides what to do with a request.
    pub fn decide(&self, request: &Request<'_>) -> Decision {
        self.decide_under(&self.base_path, request)
    }

    /// Decides what to do with a request, for a router that serves the API at `base_path`.
    pub fn decide_under(&self, base_path: &str, request: &Request<'_>) -> Decision {
        match path::target(request.path, base_path) {
            Target::Publish => self.decide_publish(request),
            Target::Subscribe { slug, id } => self.decide_subscribe(request, path::key(slug, id)),
            Target::Unknown => self.decision(request, Err(Problem::not_found(base_path))),
        }
    }

    /// Decides what to do with a request to subscribe to `key`, at any path.
    ///
    /// An `Err` is what is wrong with the parts of the key; it becomes the answer.
    pub fn decide_subscribe(
        &self,
        request: &Request<'_>,
        key: Result<ResourceKey, Problem>,
    ) -> Decision {
        self.decision(request, key.and_then(|key| self.subscribe(request, key)))
    }

    /// Decides what to do with a request to publish, at any path.
    pub fn decide_publish(&self, request: &Request<'_>) -> Decision {
        self.decision(request, self.publish(request))
    }

    /// Refuses a request whose head is not to be trusted, at whatever path. The decisions do it
    /// themselves; a server's own routes beside the API need it too.
    ///
    /// # Errors
    ///
    /// 400 without exactly one `Host` over HTTP/1.1; 501 for a transfer coding other than `chunked`;
    /// 403 for a host that is not [allowed](Self::with_allowed_hosts).
    pub fn check_head(&self, request: &Request<'_>) -> Result<(), Problem> {
        request.check_head()?;
        match &self.allowed_hosts {
            Some(hosts) => hosts.check(request),
            None => Ok(()),
        }
    }

    fn decision(&self, request: &Request<'_>, action: Result<Action, Problem>) -> Decision {
        // First what makes the whole request doubtful, whatever it asks for.
        let checked = self.check_head(request).and_then(|()| {
            if path::has_dot_segment(request.path) {
                return Err(Problem::dot_segment());
            }
            action
        });

        let origin = request.header("origin");
        Decision {
            action: checked.unwrap_or_else(|problem| Action::Reply(problem.into())),
            answer: AnswerHeaders::new(self.cors.headers(origin.as_deref(), request.method)),
        }
    }

    fn subscribe(&self, request: &Request<'_>, key: ResourceKey) -> Result<Action, Problem> {
        const ALLOWED: &str = "GET, HEAD, OPTIONS";
        match request.method {
            "OPTIONS" => return Ok(Action::Reply(Reply::no_content().with("allow", ALLOWED))),
            "GET" | "HEAD" => {}
            _ => return Err(Problem::method_not_allowed(ALLOWED)),
        }
        if !accepts_event_stream(request.header("accept").as_deref()) {
            return Err(Problem::not_acceptable());
        }

        let StreamHead {
            head,
            is_websocket,
            refuse,
        } = self.stream_head(request)?;
        // The headers that a GET would get, and the position; nothing is subscribed.
        if request.method == "HEAD" {
            return Ok(Action::Head { key, head });
        }

        Ok(Action::Subscribe {
            key,
            last_event_id: last_event_id(request),
            client: self.trusted_proxies.client_of(request),
            head,
            is_websocket,
            refuse,
        })
    }

    /// How a stream begins: as an event stream, or as a WebSocket if the client asks for one and the
    /// adapter has them.
    pub(super) fn stream_head(&self, request: &Request<'_>) -> Result<StreamHead, Problem> {
        let is_websocket = self.has_websockets && websocket::is_upgrade(request);
        if !is_websocket {
            return Ok(StreamHead {
                head: Reply::stream(request.is_http_1_1, self.heartbeat),
                is_websocket,
                refuse: StreamRefusal::of(request.header("accept").as_deref()),
            });
        }

        self.cors.check_websocket(request)?;
        Ok(StreamHead {
            head: Reply::switching_protocols(),
            is_websocket,
            refuse: StreamRefusal::BY_STATUS,
        })
    }

    fn publish(&self, request: &Request<'_>) -> Result<Action, Problem> {
        const ALLOWED: &str = "POST, OPTIONS";
        match request.method {
            "OPTIONS" => return Ok(Action::Reply(Reply::no_content().with("allow", ALLOWED))),
            "POST" => {}
            _ => return Err(Problem::method_not_allowed(ALLOWED)),
        }

        Ok(Action::Publish {
            format: self.check_publish(request)?,
            max_body_bytes: self.max_body_bytes,
        })
    }

    /// Checks the head of a publish: its token or origin, and the length of its body.
    pub(super) fn check_publish(&self, request: &Request<'_>) -> Result<PublishFormat, Problem> {
        match (&self.publish_token, self.open_to) {
            (Some(token), _) => token.check(request.header("authorization").as_deref())?,
            (None, OpenTo::Nobody) => return Err(Problem::publishing_is_off()),
            (None, OpenTo::ThisMachine) if is_proxied(request) => {
                return Err(Problem::proxied_without_token());
            }
            (None, OpenTo::ThisMachine | OpenTo::Everyone) => {
                let host = request.host();
                self.cors
                    .check_publisher(request.header("origin").as_deref(), host.as_deref())?;
            }
        }

        let coding = request.header("content-encoding");
        if coding.is_some_and(|coding| !coding.eq_ignore_ascii_case(b"identity")) {
            return Err(Problem::unknown_content_coding());
        }

        // A body whose length is not announced is measured while it is read.
        let is_too_large = request
            .content_length()
            .is_some_and(|length| length > self.max_body_bytes as u64);
        if is_too_large {
            return Err(Problem::body_too_large(self.max_body_bytes));
        }

        let content_type = request.header("content-type");
        Ok(PublishFormat::of(content_type.as_deref()))
    }
}

/// Whether a proxy has passed the request on. Some add none of these headers.
fn is_proxied(request: &Request<'_>) -> bool {
    ["via", "forwarded", "x-forwarded-for"]
        .iter()
        .any(|name| request.header(name).is_some())
}

/// The last event ID that the client sent. Even an empty header overrides the query.
pub(super) fn last_event_id(request: &Request<'_>) -> Option<Vec<u8>> {
    match request.header("last-event-id") {
        Some(value) => Some(value.into_owned()),
        None => request.query.and_then(path::last_event_id),
    }
}
