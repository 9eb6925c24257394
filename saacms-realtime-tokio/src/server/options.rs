//! Socket options that bound how much a client that does not read can hold, and for how long.

use core::time::Duration;
use std::io;

#[cfg(target_os = "linux")]
use std::os::fd::AsFd;

/// Bounds what the kernel holds for the connections that a listening socket accepts from now on:
/// they inherit its options. Call it before the socket listens.
///
/// The kernel buffers `socket_buffer` bytes of answers for each, and ends a connection whose peer
/// gives no sign of life for two minutes. The hub's `stall_timeout` says how long a peer may take
/// nothing of what waits for it. Only Linux has all of these options; elsewhere this does nothing.
///
/// # Errors
///
/// The system refuses an option.
#[cfg(target_os = "linux")]
pub fn bound_connections(
    listener: &impl AsFd,
    socket_buffer: usize,
    stall_timeout: Duration,
) -> io::Result<()> {
    use rustix::net::sockopt;
    use saacms_realtime_core::route::limits::{KEEP_ALIVE, KEEP_ALIVE_PROBES, unconfirmed_timeout};

    sockopt::set_socket_send_buffer_size(listener, socket_buffer)?;
    sockopt::set_socket_keepalive(listener, true)?;
    sockopt::set_tcp_keepidle(listener, KEEP_ALIVE)?;
    sockopt::set_tcp_keepintvl(listener, KEEP_ALIVE)?;
    sockopt::set_tcp_keepcnt(listener, KEEP_ALIVE_PROBES)?;
    if let Some(timeout) = unconfirmed_timeout(stall_timeout) {
        let millis = u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX);
        sockopt::set_tcp_user_timeout(listener, millis)?;
    }
    Ok(())
}

/// Bounds what the kernel holds for the connections of a listening socket, which only Linux can.
///
/// # Errors
///
/// None here.
#[cfg(not(target_os = "linux"))]
pub fn bound_connections<L>(_: &L, _: usize, _: Duration) -> io::Result<()> {
    Ok(())
}
