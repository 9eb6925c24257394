//! The store of the disk engine alone, which has no server.

use std::process::{Command, Stdio};

use crate::figures::Figures;
use crate::options::Options;
use crate::posts::more;
use crate::server::{Kind, program};

/// Runs the program, and reads what it measured.
pub(crate) fn run(options: &Options) -> Result<Figures, String> {
    let programs = options.programs();
    let folder = programs
        .new_data_dir()?
        .ok_or("the store needs --data-dir")?;
    let program = program(Kind::Store, &programs)?;
    let keys = options.keys.unwrap_or(options.subscribers);
    let ran = Command::new(&program)
        .arg("--data-dir")
        .arg(folder.path())
        .arg(format!("--publishers={}", options.subscribers))
        .arg(format!("--keys={keys}"))
        .arg(format!("--seconds={}", options.seconds))
        .arg(format!("--frame-bytes={}", options.frame_bytes))
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("cannot start {}: {error}", program.display()))?;

    let mut figures = Figures {
        keys,
        ..Figures::new(Kind::Store, "publish")
    };
    let said = String::from_utf8_lossy(&ran.stdout);
    let mut numbers = said.split_whitespace().map(str::parse::<f64>);
    let (Some(Ok(seconds)), Some(Ok(events))) = (numbers.next(), numbers.next()) else {
        return Err(format!("{} failed", program.display()));
    };
    figures.seconds = seconds;
    figures.events = events as u64;
    for micros in numbers.flatten() {
        figures.tally.latency.saturating_record(micros as u64);
    }
    // Its publishers are a part of it, so its CPU time is not that of the store.
    figures.cpu_seconds = f64::NAN;
    figures.more = more(&figures, options.subscribers);
    Ok(figures)
}
