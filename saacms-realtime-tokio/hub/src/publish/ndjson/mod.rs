//! `publish --ndjson`: posts lines in batches and reports errors by line number.

mod lines;

use core::fmt;
use core::time::Duration;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Instant;

use indicatif::{HumanCount, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use ureq::http::StatusCode;

use self::lines::{Input, Line, MAX_LINE_LEN, read_lines};
use super::hub_client::{HubClient, PostError, hint, is_busy};
use crate::client::Problem;
use crate::terminal::{print_error, printable};

/// Well below the 1 MiB that a hub accepts by default.
const MAX_BATCH_LEN: usize = 512 * 1024;
const MAX_BATCH_LINES: usize = 1_000;

/// The longest wait for a batch's next line. Short, so that a slow producer's lines are not delayed.
const BATCH_WAIT: Duration = Duration::from_millis(20);

/// The number of lines read ahead. Small, because each may have [`MAX_LINE_LEN`] bytes.
const READ_AHEAD: usize = 16;

/// Publishes the events in `file`, and returns whether all of them are published.
pub(super) fn publish(mut hub: HubClient, file: &str) -> Result<bool, String> {
    let (input, len): (Box<dyn BufRead + Send>, _) = if file == "-" {
        (Box::new(BufReader::new(io::stdin())), None)
    } else {
        let cannot_open = |error| format!("cannot open {file}: {error}");
        let input = File::open(file).map_err(cannot_open)?;
        let metadata = input.metadata().map_err(cannot_open)?;
        // A pipe or a device has no length to count towards.
        (
            Box::new(BufReader::new(input)),
            metadata.is_file().then_some(metadata.len()),
        )
    };

    // Read by a thread of its own: a batch waits for its next line with a timeout, and a read has none.
    let (sender, lines) = mpsc::sync_channel(READ_AHEAD);
    thread::Builder::new()
        .spawn(move || read_lines(input, &sender))
        .map_err(|error| format!("cannot start a thread that reads {file}: {error}"))?;

    if !hub.quiet {
        hub.progress = progress_bar(len);
    }

    let started = Instant::now();
    let mut publisher = Publisher {
        hub,
        published: 0,
        failed: 0,
    };
    let stopped = publisher.run(&lines, len.is_some());
    let Publisher {
        hub,
        published,
        failed,
    } = publisher;
    // Cleared first, so that the summary takes the place of the bar.
    hub.progress.finish_and_clear();

    let took = started.elapsed().as_secs_f64();
    if !hub.quiet {
        let events = published + failed;
        let (published, events) = (HumanCount(published), HumanCount(events));
        let rest = if stopped {
            "; the rest was not sent"
        } else {
            ""
        };
        hub.status(format_args!(
            "published {published} of {events} events in {took:.1} s{rest}"
        ));
    }
    Ok(failed == 0 && !stopped)
}

/// Shows bytes if their number is known, lines otherwise.
fn progress_bar(len: Option<u64>) -> ProgressBar {
    let (bar, template) = match len {
        Some(len) => (
            ProgressBar::new(len),
            "{bar:30} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left",
        ),
        None => (
            ProgressBar::new_spinner(),
            "{spinner} {human_pos} lines, {rate} a second",
        ),
    };

    // Draws nothing unless standard error is a terminal.
    bar.set_draw_target(ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(
            style.with_key("rate", |state: &ProgressState, out: &mut dyn fmt::Write| {
                // A terminal that cannot be written to is no reason to fail.
                let _ = write!(out, "{:.0}", state.per_sec());
            }),
        );
    }

    // Redraws without progress too, so that the rate falls while the input or the hub is silent.
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// Publishes batches and counts.
struct Publisher {
    hub: HubClient,
    published: u64,
    failed: u64,
}

/// Nothing more can be published. The reason has been reported.
struct Stop;

impl Publisher {
    /// Publishes all lines. Returns whether it stopped before the end of the input.
    fn run(&mut self, lines: &Receiver<Input>, count_bytes: bool) -> bool {
        let mut batch: Vec<Line> = Vec::new();
        let mut batch_len = 0;

        loop {
            // Only a batch that has begun must not wait long for more.
            let next = if batch.is_empty() {
                lines.recv().map_err(|_| RecvTimeoutError::Disconnected)
            } else {
                lines.recv_timeout(BATCH_WAIT)
            };

            // One more for the line's LF.
            let line_len = match &next {
                Ok(Input::Line(line)) => line.text.len() + 1,
                Ok(_) | Err(_) => 0,
            };
            // The next line may not fit, so the batch is sent before the line is added.
            let full = batch_len + line_len > MAX_BATCH_LEN || batch.len() == MAX_BATCH_LINES;
            if !batch.is_empty() && (full || next.is_err()) {
                if self.publish_batch(&batch).is_err() {
                    return true;
                }
                self.hub
                    .progress
                    .inc(if count_bytes { batch_len } else { batch.len() } as u64);
                batch.clear();
                batch_len = 0;
            }

            match next {
                Ok(Input::Line(line)) => {
                    batch.push(line);
                    batch_len += line_len;
                }
                Ok(Input::Blank) | Err(RecvTimeoutError::Timeout) => {}
                Ok(Input::TooLong { number }) => self.fail(
                    number,
                    format_args!("not sent: it has more than {MAX_LINE_LEN} bytes"),
                ),
                Ok(Input::Failed(error)) => {
                    self.hub.progress.suspend(|| {
                        print_error(format_args!("cannot read the input any further: {error}"));
                    });
                    // It reports its own failure, and publishing ends here in any case.
                    let _ = self.publish_batch(&batch);
                    return true;
                }
                Err(RecvTimeoutError::Disconnected) => return false,
            }
        }
    }

    /// Publishes `batch`, in halves if the hub refuses it as too large.
    fn publish_batch(&mut self, batch: &[Line]) -> Result<(), Stop> {
        let (Some(first), Some(last)) = (batch.first(), batch.last()) else {
            return Ok(());
        };
        let body = batch
            .iter()
            .map(|line| &*line.text)
            .collect::<Vec<_>>()
            .join(&b'\n');

        match self.hub.post("application/x-ndjson", &body) {
            Ok(answer) => {
                let tried = self.read_results(batch, &answer);
                // A hub that stops at too many failures has published nothing of the rest.
                self.publish_batch(&batch[tried..])
            }
            Err(PostError::Refused(answer)) if answer.status == StatusCode::PAYLOAD_TOO_LARGE => {
                // One line cannot be halved. It fails alone, because the others may still fit.
                if batch.len() == 1 {
                    self.fail(first.number, format_args!("{answer}"));
                    return Ok(());
                }

                let (front, back) = batch.split_at(batch.len() / 2);
                self.publish_batch(front)?;
                self.publish_batch(back)
            }
            // The next batch would most likely fail in the same way, so the rest is not sent.
            Err(failure) => {
                let outcome = match &failure {
                    PostError::NoAnswer(_) => "may or may not have been published",
                    PostError::Refused(_) => "were not published",
                };
                self.failed += batch.len() as u64;
                let lines = format!("lines {} to {} {outcome}: ", first.number, last.number);
                self.hub.report_failure(&lines, &failure);
                Err(Stop)
            }
        }
    }

    /// Reads the answer to a batch: one result per line, in the order of the batch. Returns how many
    /// lines were tried.
    fn read_results(&mut self, batch: &[Line], answer: &[u8]) -> usize {
        let mut results = answer
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.trim_ascii().is_empty());
        for (index, line) in batch.iter().enumerate() {
            let Some(result) = results.next() else {
                self.fail(
                    line.number,
                    format_args!("the hub's answer has no result for it"),
                );
                continue;
            };

            // The result of a published line has only a `status`, so one type reads both kinds.
            let problem = Problem::parse(result);
            // Not as the first result: a hub that tries no line will not try the next batch either.
            if problem.is_lines_not_tried() && index > 0 {
                return index;
            }
            let status = problem
                .status
                .and_then(|status| StatusCode::from_u16(status).ok());
            let reason = problem.reason().unwrap_or_default();
            match status {
                Some(status) if status.is_success() => self.published += 1,
                Some(status) => {
                    // The other hints are about a whole request, and this is one of its lines.
                    let hint = if is_busy(status) { hint(status) } else { "" };
                    let separator = if hint.is_empty() { "" } else { "; " };
                    let reason = printable(&reason);
                    self.fail(
                        line.number,
                        format_args!("{status}: {reason}{separator}{hint}"),
                    );
                }
                None => {
                    let reason = printable(&reason);
                    self.fail(
                        line.number,
                        format_args!("the hub's answer is not understood: {reason}"),
                    );
                }
            }
        }
        batch.len()
    }

    fn fail(&mut self, line: u64, why: fmt::Arguments<'_>) {
        self.failed += 1;
        self.hub
            .progress
            .suspend(|| print_error(format_args!("line {line}: {why}")));
    }
}
