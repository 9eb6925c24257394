//! The system's limits, checked before a run hits them.

use std::fs;

/// Open files of a process that are not connections.
const OTHER_FILES: u64 = 64;

/// Raises the limit of open files as far as it goes.
///
/// # Errors
///
/// If one process cannot connect so many subscribers. The text says what to do.
pub(crate) fn make_room(subscribers: usize) -> Result<(), String> {
    let wanted = subscribers as u64 + OTHER_FILES;
    let allowed = rlimit::increase_nofile_limit(wanted.max(4_096))
        .map_err(|error| format!("cannot read the limit of open files: {error}"))?;
    if allowed < wanted {
        let room = allowed.saturating_sub(OTHER_FILES);
        // Not even root may raise the limit over this one.
        let most = number("/proc/sys/fs/nr_open").unwrap_or(1 << 20);
        let mut advice = format!(
            "a process may have {allowed} files open here, which is {room} subscribers; for \
             {subscribers}, raise the limit to {wanted} for this command and the server: `ulimit \
             -n {wanted}` as root, LimitNOFILE= of a service"
        );

        if most < wanted {
            advice += &format!(", after `sysctl fs.nr_open={wanted}` (it is {most})");
        }
        return Err(advice);
    }

    // Both ends of each connection are files, one here and one in the server.
    if let Some([_, used, most]) = file_counts()
        && used + 2 * wanted > most
    {
        let needed = used + 2 * wanted;
        return Err(format!(
            "all processes together may have {most} files open; both ends of {subscribers} \
             connections need {needed}: `sysctl fs.file-max={needed}`"
        ));
    }
    Ok(())
}

/// Open files of the whole system: free, used, and the most that are allowed.
fn file_counts() -> Option<[u64; 3]> {
    let text = fs::read_to_string("/proc/sys/fs/file-nr").ok()?;
    let counts: Vec<u64> = text
        .split_whitespace()
        .filter_map(|it| it.parse().ok())
        .collect();
    let [used, free, most]: [u64; 3] = counts.try_into().ok()?;
    Some([free, used, most])
}

fn number(path: &str) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}
