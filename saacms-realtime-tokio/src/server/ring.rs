//! Many sends in one system call: io_uring.

use core::fmt;
use core::time::Duration;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;

use bytes::Bytes;
use compio_buf::{BufResult, IntoInner as _};
use compio_driver::op::Send;
use compio_driver::{DriverType, Key, Proactor, PushEntry};
use mio::net::TcpStream;
use rustix::net::SendFlags;

/// Sends that are under way at one time. The completions have twice the room, so none is lost.
pub(super) const BATCH: usize = 1_024;

/// Longest time for a send that waits for nothing, when that is tried out.
const PATIENCE: Duration = Duration::from_secs(1);

type Op<S> = Send<Bytes, Rc<S>>;
type Entry<S> = PushEntry<Key<Op<S>>, BufResult<usize, Op<S>>>;

/// Sends that are collected, made at once, and have their results collected at once.
///
/// A send owns its bytes and a share of its socket: neither is gone before the kernel is done.
pub(super) struct Ring {
    proactor: Proactor,
    sends: Vec<(usize, Entry<TcpStream>)>,
}

impl Ring {
    /// # Errors
    ///
    /// The kernel has no io_uring, does not allow it, or has one that is too old.
    pub(super) fn new() -> io::Result<Self> {
        let mut proactor = Proactor::builder()
            .capacity(BATCH as u32)
            .driver_type(DriverType::IoUring)
            .build()?;
        try_out(&mut proactor)?;
        Ok(Self {
            proactor,
            sends: Vec::new(),
        })
    }

    /// Adds a send to `socket`; at most [`BATCH`], and one to each socket.
    pub(super) fn push(&mut self, member: usize, socket: &Rc<TcpStream>, chunk: Bytes) {
        self.sends
            .push((member, push(&mut self.proactor, socket, chunk)));
    }

    /// Makes the sends and tells what came of each, as a write would have.
    ///
    /// # Errors
    ///
    /// The kernel did not take all of them: what came of the others cannot be known.
    pub(super) fn send(
        &mut self,
        mut sent: impl FnMut(usize, &Bytes, io::Result<usize>),
    ) -> io::Result<()> {
        for (member, entry) in self.sends.drain(..) {
            let BufResult(written, op) = finish(&mut self.proactor, entry, None)?;
            sent(member, &op.into_inner(), written);
        }
        Ok(())
    }
}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ring").finish_non_exhaustive()
    }
}

fn push<S: AsFd + 'static>(proactor: &mut Proactor, socket: &Rc<S>, chunk: Bytes) -> Entry<S> {
    // What a full socket does not take is not waited for, whatever the kernel makes of O_NONBLOCK.
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    proactor.push(Send::new(
        Rc::clone(socket),
        chunk,
        flags.bits().cast_signed(),
    ))
}

fn finish<S>(
    proactor: &mut Proactor,
    mut entry: Entry<S>,
    patience: Option<Duration>,
) -> io::Result<BufResult<usize, Op<S>>> {
    loop {
        entry = match entry {
            PushEntry::Ready(result) => return Ok(result),
            PushEntry::Pending(key) => proactor.pop(key),
        };
        if !entry.is_ready()
            && let Err(error) = proactor.poll(patience)
            && error.kind() != io::ErrorKind::Interrupted
        {
            return Err(error);
        }
    }
}

/// Fills a socket, to see that a send to it comes back at once: one that waits for room would stop
/// the lane.
fn try_out(proactor: &mut Proactor) -> io::Result<()> {
    let (socket, _unread) = UnixStream::pair()?;
    let socket = Rc::new(socket);
    for _ in 0..1_024 {
        let entry = push(proactor, &socket, Bytes::from_static(&[0; 65_536]));
        match finish(proactor, entry, Some(PATIENCE))?.0 {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::Unsupported.into())
}
