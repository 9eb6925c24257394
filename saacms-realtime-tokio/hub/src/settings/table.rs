//! The one table of settings. A row is a flag, an environment variable, a key of the file, a line
//! of the help and a line of `--print-config`. Its default is that of the field in [`Settings`].

use core::time::Duration;

use toml::Value;

use super::Settings;
use super::slot::Slot;

/// A row of the table.
#[derive(Debug)]
pub(super) struct Setting {
    /// The flag without its dashes, and the key in the file.
    pub(super) key: &'static str,
    /// The placeholder of the value in the help.
    pub(super) value_name: &'static str,
    /// The group in the help.
    pub(super) heading: &'static str,
    pub(super) help: &'static str,
    /// The value in the settings, by kind.
    pub(super) slot: fn(&mut Settings) -> Slot<'_>,
}

const NETWORK: &str = "Network";
const RETENTION: &str = "Retention";
const ENGINE: &str = "Engine";
const LIMITS: &str = "Limits";
const ACCESS: &str = "Access";
const LOGGING: &str = "Logging";

/// Every setting, in the order of the help.
#[rustfmt::skip] // one row, one shape
pub(super) const SETTINGS: &[Setting] = &[
    Setting { key: "listen", value_name: "HOST:PORT", heading: NETWORK,
        help: "Address to listen on, such as 0.0.0.0:8787, [::1]:8787 or localhost:8787; port 0 picks a free one, and a port alone means 127.0.0.1. An address that other machines can reach needs a publish token",
        slot: |s| Slot::Listen(&mut s.listen) },
    Setting { key: "base-path", value_name: "PATH", heading: NETWORK,
        help: "Base path of the API; / for none",
        slot: |s| Slot::BasePath(&mut s.api) },
    Setting { key: "heartbeat", value_name: "TIME", heading: NETWORK,
        help: "Silence after which a stream is sent a comment, so that proxies keep it open; 0 = off",
        slot: |s| Slot::Hub(&mut s.hub) },
    Setting { key: "idle-timeout", value_name: "TIME", heading: NETWORK,
        help: "How long a connection stays open without a request in progress, 1s to 1h; set it longer than proxies and publishers keep idle connections",
        slot: |s| Slot::Time(&mut s.idle_timeout, Duration::from_secs(1)..=Duration::from_secs(3_600)) },
    Setting { key: "drain-timeout", value_name: "TIME", heading: NETWORK,
        help: "How long streams may take to end at shutdown, at most 1h",
        slot: |s| Slot::Time(&mut s.drain_timeout, Duration::ZERO..=Duration::from_secs(3_600)) },

    Setting { key: "max-events", value_name: "COUNT", heading: RETENTION,
        help: "Events kept per record for clients that reconnect; 0 = live only",
        slot: |s| Slot::Hub(&mut s.hub) },
    Setting { key: "max-age", value_name: "TIME", heading: RETENTION,
        help: "Age after which an event is no longer replayed",
        slot: |s| Slot::Hub(&mut s.hub) },
    Setting { key: "max-history-bytes", value_name: "SIZE", heading: RETENTION,
        help: "History of all records in total; idle records lose theirs first",
        slot: |s| Slot::Hub(&mut s.hub) },
    Setting { key: "event-ids", value_name: "etag|position", heading: RETENTION,
        help: "What the ID of an event is: the record's ETag, or the event's position, which makes every resume exact",
        slot: |s| Slot::Hub(&mut s.hub) },
    Setting { key: "quiet-resume", value_name: "true|false", heading: RETENTION,
        help: "Do not tell a client to refetch if it has every event and only its last one has expired",
        slot: |s| Slot::Hub(&mut s.hub) },
    Setting { key: "greeting", value_name: "true|false", heading: RETENTION,
        help: "Tell a client that names no last event ID its place, so that it misses nothing if it is cut off before its first event",
        slot: |s| Slot::Hub(&mut s.hub) },

    Setting { key: "data-dir", value_name: "DIR", heading: ENGINE,
        help: "Folder that keeps the history over restarts; a publish is then answered once its event is on the disk. Without a folder, the history is in memory only. Created if it does not exist, readable by this user alone; not for network file systems",
        slot: |s| Slot::File(&mut s.engine.data_dir) },
    Setting { key: "engine-remember", value_name: "TIME", heading: ENGINE,
        help: "How long a record's newest events are kept on the disk after the last of them, so that its clients need not refetch; at least --max-age; 0 = --max-age. An event `deleted` removes the earlier events of its record at once",
        slot: |s| Slot::Time(&mut s.engine.remember, Duration::ZERO..=Duration::from_secs(365 * 86_400)) },
    Setting { key: "engine-max-bytes", value_name: "SIZE", heading: ENGINE,
        help: "Greatest size of the file in --data-dir, 1MiB to 32GiB; at this size, the records that have been idle longest are forgotten",
        slot: |s| Slot::Size(&mut s.engine.max_bytes, 1 << 20..=32 << 30) },
    Setting { key: "engine-timeout", value_name: "TIME", heading: ENGINE,
        help: "How long a publish may wait for the disk before it is refused with 503, 100ms to 5m",
        slot: |s| Slot::Time(&mut s.engine.timeout, Duration::from_millis(100)..=Duration::from_secs(300)) },

    Setting { key: "max-lag", value_name: "COUNT", heading: LIMITS,
        help: "Events that a connected reader may fall behind before it is told to refetch",
        slot: |s| Slot::Hub(&mut s.hub) },
    Setting { key: "max-lag-bytes", value_name: "SIZE", heading: LIMITS,
        help: "Bytes that a connected reader may fall behind before it is told to refetch",
        slot: |s| Slot::Hub(&mut s.hub) },
    Setting { key: "max-topics", value_name: "COUNT", heading: LIMITS,
        help: "Records that have history or subscribers at once",
        slot: |s| Slot::Hub(&mut s.hub) },
    Setting { key: "max-subscribers", value_name: "COUNT", heading: LIMITS,
        help: "Subscribers of all records in total",
        slot: |s| Slot::Hub(&mut s.hub) },
    Setting { key: "max-subscribers-per-topic", value_name: "COUNT", heading: LIMITS,
        help: "Subscribers of one record",
        slot: |s| Slot::Hub(&mut s.hub) },
    Setting { key: "max-unread-bytes", value_name: "SIZE", heading: LIMITS,
        help: "Bytes that are handed out to clients and not read, in total; above it, the clients that have waited longest are cut",
        slot: |s| Slot::Hub(&mut s.hub) },
    Setting { key: "stall-timeout", value_name: "TIME", heading: LIMITS,
        help: "Time after which a stream is cut if its client reads none of the bytes that wait for it; 0 = never",
        slot: |s| Slot::Hub(&mut s.hub) },
    Setting { key: "max-connections", value_name: "COUNT", heading: LIMITS,
        help: "TCP connections open at once",
        slot: |s| Slot::Count(&mut s.max_connections, 1..=10_000_000) },
    Setting { key: "max-streams-per-address", value_name: "COUNT", heading: LIMITS,
        help: "Streams of one client address, or of one /64 network over IPv6; 0 = any number. Behind a proxy, set --trusted-proxy too",
        slot: |s| Slot::Hub(&mut s.hub) },
    Setting { key: "socket-buffer", value_name: "SIZE", heading: LIMITS,
        help: "Bytes that the kernel buffers for a connection whose client does not read, 16KiB to 16MiB; a small buffer slows fast connections over long distances (Linux only)",
        slot: |s| Slot::Size(&mut s.socket_buffer, 16 << 10..=16 << 20) },
    Setting { key: "max-body-bytes", value_name: "SIZE", heading: LIMITS,
        help: "Largest body of a publish, 1KiB to 64MiB",
        slot: |s| Slot::MaxBodyBytes(&mut s.api) },

    Setting { key: "publish-token-file", value_name: "FILE", heading: ACCESS,
        help: "File with the token that publishers must send (Authorization: Bearer): 16 to 512 visible ASCII characters on one line. Or set SAACMS_REALTIME_PUBLISH_TOKEN to the token; there is no flag for it, because every user of a machine can read the flags",
        slot: |s| Slot::File(&mut s.publish_token_file) },
    Setting { key: "allowed-host", value_name: "HOST", heading: ACCESS,
        help: "Host name by which clients reach the hub, such as hub.example.org, beside localhost and other loopback names; repeat the flag, or separate names with commas. Requests to other hosts are refused if any is listed, or if there is no publish token: otherwise any web page could read a hub on its visitor's machine (DNS rebinding)",
        slot: |s| Slot::AllowedHosts(&mut s.api) },
    Setting { key: "trusted-proxy", value_name: "NETWORK", heading: ACCESS,
        help: "Address or network of proxies that are believed when they name the client of a request (Forwarded, X-Forwarded-For), such as 127.0.0.1 or 10.0.0.0/8; repeat the flag, or separate networks with commas",
        slot: |s| Slot::Networks(&mut s.api) },
    Setting { key: "cors-origin", value_name: "ORIGIN", heading: ACCESS,
        help: "Origin whose pages may use the API, such as https://www.example.org, or * for all; repeat the flag, or separate origins with commas",
        slot: |s| Slot::Origins(&mut s.api) },
    Setting { key: "cors-credentials", value_name: "true|false", heading: ACCESS,
        help: "Whether pages of the listed origins may send cookies (EventSource with withCredentials), for a proxy that checks them; not with --cors-origin *",
        slot: |s| Slot::Switch(&mut s.cors_credentials) },

    Setting { key: "log-format", value_name: "human|json", heading: LOGGING,
        help: "human: readable lines, coloured on a terminal unless NO_COLOR is set; json: one object per line. Always to standard error",
        slot: |s| Slot::LogFormat(&mut s.log_format) },
    Setting { key: "log-level", value_name: "FILTER", heading: LOGGING,
        help: "error, warn, info, debug, trace or off; or by module, such as info,hyper=warn",
        slot: |s| Slot::LogFilter(&mut s.log_level) },
];

impl Setting {
    /// The row with this key.
    pub(super) fn find(key: &str) -> Option<&'static Self> {
        SETTINGS.iter().find(|setting| setting.key == key)
    }

    /// Whether it takes several values.
    pub(super) fn is_list(&self) -> bool {
        matches!(
            (self.slot)(&mut Settings::default()),
            Slot::Origins(_) | Slot::AllowedHosts(_) | Slot::Networks(_)
        )
    }

    /// Reads the texts of a layer into `settings`.
    ///
    /// # Errors
    ///
    /// The reason why the texts are refused.
    pub(super) fn read(&self, texts: &[String], settings: &mut Settings) -> Result<(), String> {
        (self.slot)(settings).read(self.key, texts)
    }

    /// The value in `settings`, as it is written in a file.
    pub(super) fn show(&self, settings: &Settings) -> Value {
        (self.slot)(&mut settings.clone()).show(self.key)
    }

    /// The default, as the help shows it.
    pub(super) fn default_text(&self) -> String {
        match self.show(&Settings::default()) {
            Value::String(text) if text.is_empty() => "none".to_owned(),
            Value::Array(items) if items.is_empty() => "none".to_owned(),
            Value::String(text) => text,
            value @ (Value::Integer(_)
            | Value::Float(_)
            | Value::Boolean(_)
            | Value::Datetime(_)
            | Value::Array(_)
            | Value::Table(_)) => value.to_string(),
        }
    }

    /// Explains the setting, after a value of it was refused.
    pub(super) fn hint(&self) -> String {
        format!(
            "{}: {} [default: {}]",
            self.key,
            self.help,
            self.default_text()
        )
    }
}
