//! The bar that shows how far a run is.

use indicatif::{ProgressBar, ProgressStyle};

/// A progress bar on a terminal; nothing elsewhere.
pub(crate) fn progress(len: usize, what: &str) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg:24} [{bar:40}] {percent:>3} % {elapsed}")
        .expect("the template is right");
    ProgressBar::new(len as u64)
        .with_style(style)
        .with_message(what.to_owned())
}
