//! The figures of a run: for people, and as JSON.

use std::fmt::Write as _;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use crate::server::{Kind, Usage};
use crate::tally::Tally;

/// The figures of one run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures {
    pub(crate) server: &'static str,
    pub(crate) scenario: &'static str,
    pub(crate) subscribers: usize,
    pub(crate) keys: usize,
    pub(crate) events: u64,
    pub(crate) seconds: f64,
    pub(crate) cpu_seconds: f64,
    pub(crate) connect_seconds: f64,
    pub(crate) tally: Tally,
    /// Before the first connection, with all connected, and at the end.
    pub(crate) usage: [Usage; 3],
    /// Figures of this scenario only: name, value, unit.
    pub(crate) more: Vec<(&'static str, f64, &'static str)>,
}

impl Figures {
    pub(crate) fn new(kind: Kind, scenario: &'static str) -> Self {
        Self {
            server: kind.name(),
            scenario,
            ..Self::default()
        }
    }

    pub(crate) fn is_faultless(&self) -> bool {
        self.tally.faults.count() == 0
    }

    pub(crate) fn per_second(&self) -> f64 {
        self.tally.deliveries as f64 / self.seconds.max(f64::MIN_POSITIVE)
    }

    /// CPU seconds of the server per million deliveries; NaN if there were too few, as the system
    /// counts CPU in hundredths of a second.
    pub(crate) fn cpu_per_million(&self) -> f64 {
        match self.tally.deliveries {
            10_000.. => self.cpu_seconds * 1e6 / self.tally.deliveries as f64,
            0..10_000 => f64::NAN,
        }
    }

    pub(crate) fn rss_per_stream(&self) -> f64 {
        let [before, connected, _] = self.usage;
        grown(before.rss_bytes, connected.rss_bytes) / self.subscribers.max(1) as f64
    }

    /// The server's memory in user space, per stream.
    pub(crate) fn anonymous_per_stream(&self) -> f64 {
        let [before, connected, _] = self.usage;
        grown(before.anonymous_bytes, connected.anonymous_bytes) / self.subscribers.max(1) as f64
    }

    pub(crate) fn more(&self, name: &str) -> f64 {
        self.more
            .iter()
            .find(|figure| figure.0 == name)
            .map_or(f64::NAN, |figure| figure.1)
    }

    pub(crate) fn latency_ms(&self, quantile: f64) -> f64 {
        milliseconds(&self.tally.latency, quantile)
    }

    pub(crate) fn to_json(&self) -> Value {
        let faults = &self.tally.faults;
        let more: serde_json::Map<_, _> = self
            .more
            .iter()
            .map(|(name, value, _)| (name.replace(' ', "_"), json!(value)))
            .collect();
        json!({
            "server": self.server,
            "scenario": self.scenario,
            "subscribers": self.subscribers,
            "keys": self.keys,
            "events": self.events,
            "seconds": self.seconds,
            "connect_seconds": self.connect_seconds,
            "deliveries": self.tally.deliveries,
            "deliveries_per_second": self.per_second(),
            "bytes": self.tally.bytes,
            "keep_alives": self.tally.keep_alives,
            "resyncs": self.tally.resyncs,
            "latency_ms": {
                "p50": self.latency_ms(0.5),
                "p99": self.latency_ms(0.99),
                "p99_9": self.latency_ms(0.999),
                "max": self.latency_ms(1.0),
            },
            "server_cpu_seconds": self.cpu_seconds,
            // null if there is none
            "server_cpu_seconds_per_million": self.cpu_per_million(),
            "rss_bytes_per_stream": self.rss_per_stream(),
            "anonymous_bytes_per_stream": self.anonymous_per_stream(),
            "rss_bytes": self.usage.map(|usage| usage.rss_bytes),
            "lost": faults.lost,
            "duplicated": faults.duplicated,
            "reordered": faults.reordered,
            "malformed": faults.malformed,
            "failed": faults.failed,
            "first_fault": faults.first,
            "more": more,
        })
    }

    /// A few lines for people.
    pub(crate) fn to_text(&self) -> String {
        // Writing to a String cannot fail, so each result is dropped.
        let mut out = String::new();
        let Self {
            server,
            scenario,
            subscribers,
            keys,
            events,
            seconds,
            ..
        } = self;
        let _ = writeln!(
            out,
            "{server}: {scenario}, {subscribers} subscribers of {keys} keys, {events} events in \
             {seconds:.1} s"
        );

        let mut line = |name: &str, text: String| {
            let _ = writeln!(out, "  {name:<24} {text}");
        };

        if self.tally.deliveries > 0 {
            line("deliveries", format!("{:.0} /s", self.per_second()));
            line(
                "publish to receive",
                format!(
                    "p50 {:.2} ms, p99 {:.2} ms, p99.9 {:.2} ms",
                    self.latency_ms(0.5),
                    self.latency_ms(0.99),
                    self.latency_ms(0.999)
                ),
            );
        }

        // Too few deliveries for a figure leave it NaN.
        let cpu = self.cpu_per_million();
        if cpu.is_finite() {
            line("server CPU", format!("{cpu:.2} s per million deliveries"));
        }

        // `publish` has connections, but no subscribers.
        if self.subscribers > 0 {
            let each = self.connect_seconds * 1e6 / *subscribers as f64;
            line(
                "connecting",
                format!("{:.2} s, {each:.0} us each", self.connect_seconds),
            );

            line(
                "server memory per stream",
                format!(
                    "{:.0} bytes resident, {:.0} of them its own",
                    self.rss_per_stream(),
                    self.anonymous_per_stream()
                ),
            );
        }

        for (name, value, unit) in &self.more {
            let digits = if value.abs() < 100.0 { 2 } else { 0 };
            line(name, format!("{value:.digits$} {unit}"));
        }

        line("faults", self.faults());
        out
    }

    fn faults(&self) -> String {
        let faults = &self.tally.faults;
        let mut text = format!(
            "{} lost, {} duplicated, {} reordered, {} malformed, {} failed; {} resyncs",
            faults.lost,
            faults.duplicated,
            faults.reordered,
            faults.malformed,
            faults.failed,
            self.tally.resyncs
        );

        if let Some(first) = &faults.first {
            let _ = write!(text, "\n  FAULT: {first}");
        }
        text
    }
}

pub(crate) fn milliseconds(latency: &Histogram<u64>, quantile: f64) -> f64 {
    latency.value_at_quantile(quantile) as f64 / 1_000.0
}

fn grown(before: u64, after: u64) -> f64 {
    after as f64 - before as f64
}

/// The median, which noise moves least.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        len if len % 2 == 1 => values[len / 2],
        len => (values[len / 2 - 1] + values[len / 2]) / 2.0,
    }
}
