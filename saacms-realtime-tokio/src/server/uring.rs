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

/// The most sends in flight at once. The completion queue has twice the room, so none is lost.
pub(super) const BATCH: usize = 1_024;

/// How long [`try_out`] waits for a send that should return at once.
const TRY_OUT_TIMEOUT: Duration = Duration::from_secs(1);

type Op<S> = Send<Bytes, Rc<S>>;
type Entry<S> = PushEntry<Key<Op<S>>, BufResult<usize, Op<S>>>;

/// A batch of sends that go to the kernel together.
///
/// A send owns its bytes and a share of its socket, so neither goes away before the kernel is done.
pub(super) struct Uring {
    proactor: Proactor,
    /// The sends of this batch, each with the index of its member.
    sends: Vec<(usize, Entry<TcpStream>)>,
}

impl Uring {
    /// # Errors
    ///
    /// The kernel has no io_uring, forbids it, or has a version that is too old.
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

    /// Adds a send to the batch, which holds at most [`BATCH`] and at most one for each socket.
    pub(super) fn push(&mut self, member: usize, socket: &Rc<TcpStream>, chunk: Bytes) {
        self.sends
            .push((member, push(&mut self.proactor, socket, chunk)));
    }

    /// Makes all sends and passes the result of each to `sent`, as a write would have returned it.
    ///
    /// # Errors
    ///
    /// The kernel did not take all of them, so the fate of the others is unknown.
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

impl fmt::Debug for Uring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Uring").finish_non_exhaustive()
    }
}

fn push<S: AsFd + 'static>(proactor: &mut Proactor, socket: &Rc<S>, chunk: Bytes) -> Entry<S> {
    // A full socket must return at once, however io_uring treats its O_NONBLOCK.
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    proactor.push(Send::new(
        Rc::clone(socket),
        chunk,
        flags.bits().cast_signed(),
    ))
}

/// Waits for the result of a send. Each wait for a completion lasts at most `timeout`.
fn finish<S>(
    proactor: &mut Proactor,
    mut entry: Entry<S>,
    timeout: Option<Duration>,
) -> io::Result<BufResult<usize, Op<S>>> {
    loop {
        entry = match entry {
            PushEntry::Ready(result) => return Ok(result),
            PushEntry::Pending(key) => proactor.pop(key),
        };

        // Any completion ends the wait, perhaps that of another send, so the loop asks again.
        if !entry.is_ready()
            && let Err(error) = proactor.poll(timeout)
            && error.kind() != io::ErrorKind::Interrupted
        {
            return Err(error);
        }
    }
}

/// Checks that a send to a full socket returns at once: if it waited, it would stop the lane.
fn try_out(proactor: &mut Proactor) -> io::Result<()> {
    let (socket, _unread) = UnixStream::pair()?;
    let socket = Rc::new(socket);

    // 64 MiB in all: far more than any socket buffers.
    for _ in 0..1_024 {
        let entry = push(proactor, &socket, Bytes::from_static(&[0; 65_536]));
        match finish(proactor, entry, Some(TRY_OUT_TIMEOUT))?.0 {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::Unsupported.into())
}
