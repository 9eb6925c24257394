//! A graceful end: what is answered is kept, and the folder is left whole and free.

use core::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::fs;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::client::{Connection, Request};
use crate::hub::{Hub, next_event};

#[test]
fn publishes_in_flight_at_a_drain_are_on_the_disk_if_they_are_answered_so() {
    let mut hub = Hub::start(&["--max-events", "100000"]);
    let place = hub.position("0");
    let is_over = Arc::new(AtomicBool::new(false));
    let publishers: Vec<_> = (0..8)
        .map(|publisher| {
            let (address, is_over) = (hub.address(), Arc::clone(&is_over));
            thread::spawn(move || {
                let mut connection = Connection::open(address);
                let mut answered = 0;
                for number in 0.. {
                    let event = format!(
                        r#"{{"type":"changed","slug":"posts","id":"{publisher}","record":{number}}}"#
                    );
                    let request = Request::post("/api/saacms/v1/publish", event);
                    if is_over.load(SeqCst) || connection.try_send(request.bytes()).is_err() {
                        break;
                    }
                    match connection.try_response("POST") {
                        Some(answer) if answer.status() == 204 => answered = number + 1,
                        Some(answer) => {
                            assert_eq!(answer.status(), 503);
                            break;
                        }
                        None => break,
                    }
                }
                answered
            })
        })
        .collect();

    thread::sleep(Duration::from_millis(300));
    hub.terminate();
    is_over.store(true, SeqCst);
    let answered: Vec<u64> = publishers
        .into_iter()
        .map(|publisher| publisher.join().expect("no panic"))
        .collect();
    assert!(answered.iter().all(|count| *count > 0), "{answered:?}");

    // The log was written back, and nobody has the folder.
    let log = fs::metadata(hub.dir.join("history-wal")).map_or(0, |log| log.len());
    assert_eq!(log, 0);
    hub.start_again();
    for (publisher, count) in answered.iter().enumerate() {
        let mut stream = hub.subscribe(&publisher.to_string(), &place);
        for number in 0..*count {
            assert_eq!(next_event(&mut stream).2, number.to_string());
        }
    }
}
