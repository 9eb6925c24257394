//! A proxy that delays connections and cuts them at any byte, some after a silence.

use core::net::SocketAddr;
use core::time::Duration;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;

use crate::chance::Chance;
use crate::seed::chance;

/// An answer is cut after at most this many bytes.
const MAX_BYTES: u64 = 30_000;

#[derive(Debug)]
pub(crate) struct Proxy;

impl Proxy {
    /// Starts a proxy of the server at `target` that lives as long as the process. Returns its
    /// address.
    pub(crate) fn start(target: SocketAddr) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let chance = chance();
                thread::spawn(move || pass(client, target, chance));
            }
        });
        address
    }
}

/// Forwards bytes until the connection is due to be cut, or fails.
fn pass(mut client: TcpStream, target: SocketAddr, mut chance: Chance) {
    let Ok(mut server) = TcpStream::connect(target) else {
        return;
    };
    let (Ok(mut requests), Ok(mut upstream)) = (client.try_clone(), server.try_clone()) else {
        return;
    };

    thread::spawn(move || {
        // The request, and the client's end if it leaves first.
        let _ = std::io::copy(&mut requests, &mut upstream);
        let _ = upstream.shutdown(Shutdown::Both);
    });

    let mut left = 1 + chance.below(MAX_BYTES) as usize;
    let mut buffer = [0; 4 << 10];
    while left > 0 {
        let len = left.min(1 + chance.below(buffer.len() as u64) as usize);
        let Ok(read @ 1..) = server.read(&mut buffer[..len]) else {
            break;
        };
        if client.write_all(&buffer[..read]).is_err() {
            break;
        }
        left -= read;
        if chance.below(8) == 0 {
            thread::sleep(Duration::from_millis(chance.below(10)));
        }
    }

    if chance.below(10) == 0 {
        // Half open: nothing reaches the client, but the server still sends.
        thread::sleep(Duration::from_millis(300));
    }

    let _ = client.shutdown(Shutdown::Both);
    let _ = server.shutdown(Shutdown::Both);
}
