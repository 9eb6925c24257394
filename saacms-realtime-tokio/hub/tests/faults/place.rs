//! A client that is cut off before its first event, as `EventSource` has it: with the last event ID
//! that its decoder knows, and no memory beside that.

use core::net::SocketAddr;
use core::time::Duration;
use std::io::{Read as _, Write as _};
use std::thread;

use saacms_realtime_core::sse::{Decoded, Decoder, Message};

use crate::real_server::Server;
use crate::wire::{self, Chunks};

/// Opens a stream, reads until `is_enough`, and leaves.
fn connect(
    address: SocketAddr,
    last_event_id: &str,
    is_enough: impl Fn(&Decoder, Option<&Message>) -> bool,
) -> (String, Option<Message>) {
    let mut stream = wire::connect(address).expect("it listens");
    let request = wire::subscribe_request(0, last_event_id);
    stream.write_all(request.as_bytes()).expect("it reads");
    let head = wire::head(&mut stream).expect("an answer");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");

    let mut decoder = Decoder::resuming(1 << 20, last_event_id.to_owned());
    let (mut chunks, mut buffer, mut body) = (Chunks::default(), [0; 4_096], Vec::new());
    let mut message = None;
    while !is_enough(&decoder, message.as_ref()) {
        let len = stream.read(&mut buffer).expect("more of the stream");
        assert!(len > 0, "the stream ends");
        body.clear();
        chunks.take(&buffer[..len], &mut body);
        decoder.feed(&body).expect("no event is too long");
        while let Some(decoded) = decoder.next() {
            if let Decoded::Message(first) = decoded {
                message.get_or_insert(first);
            }
        }
    }

    (decoder.last_event_id().to_owned(), message)
}

/// Opens a stream without a last event ID; returns the one that the client has before any event.
fn place(address: SocketAddr) -> String {
    let (id, message) = connect(address, "", |decoder, _| {
        !decoder.last_event_id().is_empty()
    });
    assert_eq!(message, None, "nothing was dispatched");
    id
}

/// The first message for a client that comes back with this ID.
fn first_message(address: SocketAddr, last_event_id: &str) -> Message {
    let (_, message) = connect(address, last_event_id, |_, message| message.is_some());
    message.expect("was read")
}

fn publish(address: SocketAddr, number: u64) {
    let mut stream = wire::connect(address).expect("it listens");
    let request = wire::publish_request(0, number, Some(number), 0);
    let status = wire::exchange(&mut stream, &request).expect("an answer");
    assert_eq!(status, 204);
}

/// A cut before the first event loses nothing, and a restart is told.
pub(crate) fn run(event_ids: &str) {
    let flags = ["--event-ids", event_ids];
    let mut server = Server::start(&flags);
    let address = server.address;

    let before_any = place(address);
    publish(address, 1);
    let missed = first_message(address, &before_any);
    assert_eq!(missed.event_type, "changed", "{missed:?}");
    assert!(missed.data.contains("\"n\":1"), "{missed:?}");

    let quiet = place(address);
    server.signal("KILL");
    server.wait();
    thread::sleep(Duration::from_millis(50));
    let server = Server::start_at(&address.to_string(), "", &flags);
    publish(server.address, 2);
    for last_event_id in [before_any, quiet] {
        let told = first_message(server.address, &last_event_id);
        assert_eq!(told.event_type, "saacms-resync", "{told:?}");
        assert_eq!(told.data, r#"{"reason":"restarted"}"#);
    }
}
