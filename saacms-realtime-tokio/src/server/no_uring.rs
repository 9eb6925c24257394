//! Stands in for [`uring`](super::uring) on systems without io_uring. No [`Uring`] can exist.

use std::io;
use std::rc::Rc;

use bytes::Bytes;
use mio::net::TcpStream;

pub(super) const BATCH: usize = 1;

#[derive(Debug)]
pub(super) enum Uring {}

impl Uring {
    pub(super) fn new() -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn push(&mut self, _: usize, _: &Rc<TcpStream>, _: Bytes) {
        match *self {}
    }

    pub(super) fn send(
        &mut self,
        _: impl FnMut(usize, &Bytes, io::Result<usize>),
    ) -> io::Result<()> {
        match *self {}
    }
}
