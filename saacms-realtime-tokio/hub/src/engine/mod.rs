//! `engine`: looks at a history on the disk, or declares it lost, without a hub.

#[cfg(feature = "disk")]
mod disk;
#[cfg(not(feature = "disk"))]
#[path = "no_disk.rs"]
mod disk;

use std::path::PathBuf;
use std::process::ExitCode;

use crate::terminal::print_error;

/// Look at a history on the disk, or declare it lost
///
/// A history is what `serve --data-dir` keeps over restarts.
///
/// Exit codes: 0 done; 1 there is no history, it is damaged or it is in use; 2 invalid usage.
#[derive(Debug, clap::Args)]
pub(crate) struct EngineArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Print what is in a history, and read all of it to find damage
    ///
    /// It changes nothing, and works while a hub runs. The history is copied to the folder for
    /// temporary files first (TMPDIR), which needs room for it.
    Check(FolderArgs),
    /// Declare that events were lost, so that every client refetches once
    ///
    /// Run it after a backup of the folder was restored, before the hub starts: the restored history
    /// does not have the events that came after the backup, and would give their numbers to new
    /// events.
    Lost(FolderArgs),
}

#[derive(Debug, clap::Args)]
struct FolderArgs {
    /// Folder of the history
    #[arg(long, value_name = "DIR", env = "SAACMS_REALTIME_DATA_DIR")]
    data_dir: PathBuf,
}

/// Runs one of the commands.
pub(crate) fn run(args: EngineArgs) -> ExitCode {
    let done = match args.command {
        Command::Check(FolderArgs { data_dir }) => disk::check(&data_dir),
        Command::Lost(FolderArgs { data_dir }) => disk::declare_lost(&data_dir),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            print_error(error);
            ExitCode::FAILURE
        }
    }
}
