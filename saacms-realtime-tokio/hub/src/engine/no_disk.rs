//! The commands in a build without the disk engine.

use std::path::Path;
use std::process::ExitCode;

use crate::settings::{HOW_TO_GET_IT, NO_DISK_ENGINE};
use crate::terminal::print_error;

pub(super) fn check(_: &Path) -> Result<ExitCode, String> {
    print_error(format_args!("{NO_DISK_ENGINE}\nhint: {HOW_TO_GET_IT}"));
    Ok(ExitCode::from(2))
}

pub(super) fn declare_lost(folder: &Path) -> Result<ExitCode, String> {
    check(folder)
}
