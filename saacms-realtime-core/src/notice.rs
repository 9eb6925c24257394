//! What a log tells the operator: limits that are reached, publishes that are refused, readers
//! that are cut.

use core::fmt;

/// Lists the notices, each with whether it is a warning and what its line says.
macro_rules! notices {
    ($($(#[doc = $doc:literal])+ $name:ident: $is_warning:literal, $text:literal;)+) => {
        /// Why a server refused or cut something: one kind of line in its log.
        ///
        /// A flood of refusals must not become a flood of lines, so an adapter
        /// [counts](crate::Hub::notice) each of them, and a line a minute says how many there were.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum Notice {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Notice {
            /// Every kind, in order.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// Whether the operator may have to act, because a limit of the server is reached. What
            /// only one client did wrong is information.
            pub fn is_warning(self) -> bool {
                match self {
                    $(Self::$name => $is_warning,)+
                }
            }

            /// What happened, and the setting that decides about it.
            pub fn text(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                }
            }
        }
    };
}

notices! {
    /// A subscription was refused while the hub drains.
    SubscribeDraining: false,
        "streams were refused, because the hub is shutting down";
    /// A subscription was refused at `max_topics`.
    SubscribeTooManyTopics: true,
        "streams were refused: every record that max_topics allows has a subscriber";
    /// A subscription was refused at `max_subscribers`.
    SubscribeTooMany: true,
        "streams were refused: the hub has as many as max_subscribers or the limit of open files allows";
    /// A subscription was refused at `max_subscribers_per_topic`.
    SubscribeTooManyOfTopic: true,
        "streams were refused: a record has max_subscribers_per_topic";
    /// A subscription was refused at the limit of streams of one address.
    SubscribeTooManyOfAddress: true,
        "streams were refused: an address has as many as max_streams_per_address allows";
    /// An event was refused while the hub drains.
    PublishDraining: false,
        "events were refused, because the hub is shutting down";
    /// An event was accepted but not kept, at `max_topics`.
    PublishNotKept: true,
        "events of records that nobody reads were not kept: every record that max_topics allows has \
         a subscriber";
    /// An event was refused because the engine cannot be reached.
    PublishEngineAway: true,
        "events were refused, because the engine is away (503)";
    /// An event was refused because too many wait for the engine.
    PublishEngineBusy: true,
        "events were refused: as many as are allowed wait for the engine (503)";
    /// An event was refused because the engine has no room left.
    PublishEngineFull: true,
        "events were refused, because the engine has no room left (507)";
    /// An event may have been published: the engine did not confirm it.
    PublishUnconfirmed: true,
        "events may or may not have been published, because the engine did not confirm them (503)";
    /// An event was refused because it is larger than the engine accepts.
    PublishEventTooLarge: true,
        "events were refused, because they are larger than the engine accepts (413)";
    /// A publish was refused for what is in it (400, 415).
    PublishInvalid: false,
        "publishes were refused, because their events are invalid (400) or compressed (415)";
    /// A publish was refused because it was sent without a token (401).
    PublishUnauthorized: false,
        "publishes were refused, because they were sent without a publish token (401)";
    /// A publish was refused for its token or its origin, or because publishing is off (403).
    PublishForbidden: false,
        "publishes were refused, because their token or origin is not allowed (403)";
    /// A request was refused because it names a host that is not allowed (403).
    ForeignHost: false,
        "requests were refused, because they name a host that is not allowed (403); allowed_host \
         lists the names by which clients or a proxy reach the hub";
    /// A publish was refused because its body did not arrive in time (408).
    PublishTooSlow: false,
        "publishes were refused, because their bodies did not arrive in time (408)";
    /// A publish was refused at `max_body_bytes` (413).
    PublishTooLarge: false,
        "publishes were refused: their bodies are larger than max_body_bytes (413)";
    /// A publish was refused because unfinished bodies take all the room there is for them (503).
    PublishTooMany: true,
        "publishes were refused: bodies that have not arrived whole, or are being published, take all \
         the room there is for them (503)";
    /// An event of the engine could not be read, and the readers of its record were told to refetch.
    EngineUnreadable: true,
        "events of the engine could not be read, because a later version wrote them: their readers \
         were told to refetch";
    /// Old history was dropped at `max_history_bytes`.
    HistoryReclaimed: true,
        "history was dropped to stay within max_history_bytes";
    /// Idle records were forgotten at `max_topics`.
    TopicsReclaimed: true,
        "idle records were forgotten to stay within max_topics";
    /// A reader was cut because it took no byte for `stall_timeout`.
    ReaderStalled: false,
        "readers were cut, because they took no byte for stall_timeout";
    /// A reader was cut at `max_unread_bytes`.
    ReaderUnread: true,
        "readers were cut, those that had waited longest first, to stay within max_unread_bytes";
    /// A reader was cut because it goes on sending.
    ReaderSends: false,
        "readers were cut, because they went on sending after their request";
    /// An answer was cut because its client does not read it.
    AnswerCut: false,
        "answers were cut, because their clients did not read them";
    /// The next connection waits at the limit of connections.
    TooManyConnections: true,
        "connections wait to be accepted: the server has as many as max_connections or the limit of \
         open files allows";
    /// A connection was closed after `idle_timeout` without a request, or because the head of its
    /// request did not arrive in time.
    ConnectionIdle: false,
        "connections were closed: no request for idle_timeout, or no whole head of one within 10 s";
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}
