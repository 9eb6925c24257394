//! The HTTP contract without HTTP: a request in, what to do out.
//!
//! Every adapter answers through it, so that all of them give the same bytes. An adapter reads the
//! request line and headers into a [`Request`], asks [`Api::decide`] and sends what
//! [`Decision::run`] answers.

mod accept;
mod access;
#[cfg(feature = "http")]
pub mod http;
pub mod limits;
mod path;
mod problem;
mod publish;
mod reply;

use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;

pub use access::{Cors, InvalidOrigin, InvalidToken, Token};
pub use path::InvalidBasePath;
pub use problem::Problem;
pub use publish::PublishFormat;
pub use reply::{Header, Reply};

use crate::event::Event;
use crate::name::ResourceKey;
use path::Target;

/// Where the API is served unless configured.
pub const DEFAULT_BASE_PATH: &str = "/api/saacms/v1";

/// Largest body of a publish unless configured: 1 MiB.
pub const DEFAULT_MAX_BODY_BYTES: usize = 1 << 20;

/// What the API of a server is made of.
///
/// The default is served at [`DEFAULT_BASE_PATH`], takes bodies of 1 MiB, lets no other origin in,
/// and lets everybody publish who can reach it but pages of other origins.
#[derive(Clone, Debug)]
pub struct Api {
    base_path: Cow<'static, str>,
    cors: Cors,
    publish_token: Option<Token>,
    max_body_bytes: usize,
}

impl Default for Api {
    fn default() -> Self {
        Self {
            base_path: DEFAULT_BASE_PATH.into(),
            cors: Cors::default(),
            publish_token: None,
            max_body_bytes: DEFAULT_MAX_BODY_BYTES,
        }
    }
}

impl Api {
    /// The API at another base path: empty, or `/` and whole segments without a `/` at the end.
    ///
    /// # Errors
    ///
    /// Where `base_path` is not of this form.
    pub fn at(mut self, base_path: &str) -> Result<Self, InvalidBasePath> {
        path::check_base(base_path)?;
        self.base_path = Cow::Owned(base_path.trim_end_matches('/').into());
        Ok(self)
    }

    /// The API with these origins let in.
    #[must_use]
    pub fn with_cors(mut self, cors: Cors) -> Self {
        self.cors = cors;
        self
    }

    /// The API with a token that publishers must show.
    #[must_use]
    pub fn with_publish_token(mut self, token: Token) -> Self {
        self.publish_token = Some(token);
        self
    }

    /// The API with another limit for the body of a publish, in bytes.
    #[must_use]
    pub fn with_max_body_bytes(mut self, max_body_bytes: usize) -> Self {
        self.max_body_bytes = max_body_bytes;
        self
    }

    /// Where it is served.
    pub fn base_path(&self) -> &str {
        &self.base_path
    }

    /// Largest body of a publish, in bytes. A larger one is [`Problem::body_too_large`].
    pub fn max_body_bytes(&self) -> usize {
        self.max_body_bytes
    }

    /// Whether a server of it may listen at `address`: where other machines reach it, they could all
    /// publish unless that needs a token.
    ///
    /// ```
    /// use core::net::Ipv4Addr;
    /// use saacms_realtime_core::route::{Api, Token};
    ///
    /// let (here, everywhere) = (Ipv4Addr::LOCALHOST.into(), Ipv4Addr::UNSPECIFIED.into());
    /// let api = Api::default();
    /// assert!(api.may_be_served_at(here) && !api.may_be_served_at(everywhere));
    /// let api = api.with_publish_token(Token::new("0123456789abcdef")?);
    /// assert!(api.may_be_served_at(everywhere));
    /// # Ok::<(), saacms_realtime_core::route::InvalidToken>(())
    /// ```
    pub fn may_be_served_at(&self, address: IpAddr) -> bool {
        // Canonical, because ::ffff:127.0.0.1 is the IPv4 address.
        self.publish_token.is_some() || address.to_canonical().is_loopback()
    }

    /// What to do with a request.
    pub fn decide(&self, request: &Request<'_>) -> Decision {
        self.decide_under(&self.base_path, request)
    }

    /// What to do with a request, where a router that knows better says where the API is served.
    pub fn decide_under(&self, base_path: &str, request: &Request<'_>) -> Decision {
        match path::target(request.path, base_path) {
            Target::Publish => self.decide_publish(request),
            Target::Subscribe { slug, id } => self.decide_subscribe(request, path::key(&slug, &id)),
            Target::Unknown => self.decision(request, Err(Problem::not_found(base_path))),
        }
    }

    /// What to do with a request to subscribe to `key`, or to what could not be one, whatever its
    /// path.
    pub fn decide_subscribe(
        &self,
        request: &Request<'_>,
        key: Result<ResourceKey, impl Into<Problem>>,
    ) -> Decision {
        let key = key.map_err(Into::into);
        self.decision(request, key.and_then(|key| Self::subscribe(request, key)))
    }

    /// What to do with a request to publish, whatever its path.
    pub fn decide_publish(&self, request: &Request<'_>) -> Decision {
        self.decision(request, self.publish(request))
    }

    fn decision(&self, request: &Request<'_>, action: Result<Action, Problem>) -> Decision {
        Decision {
            action: action.unwrap_or_else(|problem| Action::Reply(problem.into())),
            max_body_bytes: self.max_body_bytes,
            cors: self
                .cors
                .headers(request.header("origin").as_deref(), request.method),
        }
    }

    fn subscribe(request: &Request<'_>, key: ResourceKey) -> Result<Action, Problem> {
        const ALLOWED: &str = "GET, HEAD, OPTIONS";
        match request.method {
            "OPTIONS" => return Ok(Action::Reply(Reply::no_content().with("allow", ALLOWED))),
            "GET" | "HEAD" => {}
            _ => return Err(Problem::method_not_allowed(ALLOWED)),
        }
        if !accept::takes_event_stream(request.header("accept").as_deref()) {
            return Err(Problem::not_acceptable());
        }
        let head = Reply::stream(request.is_http_1_1);
        if request.method == "HEAD" {
            return Ok(Action::Reply(head));
        }
        let last_event_id = match request.header("last-event-id") {
            Some(value) => Some(value.into_owned()),
            None => request.query.and_then(path::last_event_id),
        };
        Ok(Action::Subscribe {
            key,
            last_event_id,
            head,
        })
    }

    fn publish(&self, request: &Request<'_>) -> Result<Action, Problem> {
        const ALLOWED: &str = "POST, OPTIONS";
        match request.method {
            "OPTIONS" => return Ok(Action::Reply(Reply::no_content().with("allow", ALLOWED))),
            "POST" => {}
            _ => return Err(Problem::method_not_allowed(ALLOWED)),
        }
        match &self.publish_token {
            Some(token) => token.check(request.header("authorization").as_deref())?,
            None => {
                let host = request.header("host");
                let host = host.as_deref().or(request.authority.map(str::as_bytes));
                self.cors
                    .check_publisher(request.header("origin").as_deref(), host)?;
            }
        }
        if request
            .content_length()
            .is_some_and(|length| length > self.max_body_bytes as u64)
        {
            return Err(Problem::body_too_large(self.max_body_bytes));
        }
        Ok(Action::Publish(PublishFormat::of(
            request.header("content-type").as_deref(),
        )))
    }
}

/// A request as far as the contract looks at it.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// The method.
    pub method: &'a str,
    /// The path as it stands in the request line, percent-encoded.
    pub path: &'a str,
    /// The query as it stands in the request line, without its `?`.
    pub query: Option<&'a str>,
    /// Host and port of the target, where they are not in a `Host` header (HTTP/2).
    pub authority: Option<&'a str>,
    /// Whether it came by HTTP/1.1.
    pub is_http_1_1: bool,
    /// The value of the header with this lower-case name; several are joined by `, ` (RFC 9110,
    /// 5.3).
    pub header: &'a dyn Fn(&str) -> Option<Cow<'a, [u8]>>,
}

impl<'a> Request<'a> {
    fn header(&self, name: &str) -> Option<Cow<'a, [u8]>> {
        (self.header)(name)
    }

    fn content_length(&self) -> Option<u64> {
        core::str::from_utf8(&self.header("content-length")?)
            .ok()?
            .trim()
            .parse()
            .ok()
    }
}

impl fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// What to do, and what every answer to this request carries.
#[derive(Clone, Debug)]
pub struct Decision {
    /// What to do.
    pub action: Action,
    max_body_bytes: usize,
    cors: Vec<Header>,
}

impl Decision {
    /// Most bytes that a body may have which it asks for.
    pub fn max_body_bytes(&self) -> usize {
        self.max_body_bytes
    }

    /// Does what it says, and answers with the reply and, where that is the head of a stream, the
    /// stream.
    ///
    /// `subscribe` and `publish` are the hub's. `body` gives the whole body of the request; it is
    /// asked for only where there is something to publish.
    pub async fn run<S, B: AsRef<[u8]>, E: Into<Problem>>(
        self,
        body: impl Future<Output = Result<B, Problem>>,
        subscribe: impl FnOnce(&ResourceKey, Option<&[u8]>) -> Result<S, E>,
        publish: impl FnMut(Event) -> Result<(), E>,
    ) -> (Reply, Option<S>) {
        let (reply, stream) = match &self.action {
            Action::Reply(reply) => (reply.clone(), None),
            Action::Subscribe {
                key,
                last_event_id,
                head,
            } => match subscribe(key, last_event_id.as_deref()) {
                Ok(stream) => (head.clone(), Some(stream)),
                Err(refusal) => (Reply::from(refusal.into()), None),
            },
            Action::Publish(format) => match body.await {
                Ok(body) => (format.run(body.as_ref(), publish), None),
                Err(problem) => (problem.into(), None),
            },
        };
        (self.finish(reply), stream)
    }

    /// The reply with the headers that every answer to this request carries.
    #[must_use]
    pub fn finish(&self, mut reply: Reply) -> Reply {
        reply.headers.extend(self.cors.iter().cloned());
        reply
    }
}

/// What to do with a request.
#[derive(Clone, Debug)]
#[must_use]
pub enum Action {
    /// Subscribe and send `head`, then the stream. Where the hub refuses, send
    /// [`Problem::from`] its refusal.
    Subscribe {
        /// Which record.
        key: ResourceKey,
        /// What the client named as its last event ID.
        last_event_id: Option<Vec<u8>>,
        /// Status and headers of the stream.
        head: Reply,
    },
    /// Read the body, at most [`Api::max_body_bytes`], and send what [`PublishFormat::run`] says.
    Publish(PublishFormat),
    /// Send this.
    Reply(Reply),
}

#[cfg(test)]
mod tests;
