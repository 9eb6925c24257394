//! Publishing and subscribing without HTTP: the hub inside a program.
//!
//! ```sh
//! cargo run -p saacms-realtime-tokio --example publish_from_code
//! ```

use std::error::Error;
use std::future::poll_fn;
use std::pin::Pin;

use futures_core::Stream as _;
use saacms_realtime_tokio::realtime_core::sse::{Decoded, Decoder};
use saacms_realtime_tokio::{Event, EventStream, Realtime, ResourceKey};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let realtime = Realtime::new(Default::default(), Default::default())?;
    let key = ResourceKey::new("posts", "1")?;

    let live = realtime.subscribe(&key, None)?;
    for (version, title) in [("v1", "Draft"), ("v2", "Better"), ("v3", "Done")] {
        let record = std::collections::BTreeMap::from([("title", title)]);
        realtime.publish(Event::changed(key.clone(), &record, Some(version))?)?;
    }
    realtime.publish(Event::deleted(key.clone()))?;

    print_stream("a subscriber from the start", live).await?;
    print_stream(
        "a subscriber that saw v2 last",
        realtime.subscribe(&key, Some(b"v2"))?,
    )
    .await?;
    print_stream(
        "a subscriber with an unknown ID",
        realtime.subscribe(&key, Some(b"v0"))?,
    )
    .await?;
    Ok(())
}

/// Prints what is ready on a stream.
async fn print_stream(title: &str, mut stream: EventStream) -> Result<(), Box<dyn Error>> {
    println!("{title}:");
    let waiting = poll_fn(|cx| Pin::new(&mut stream).poll_next(cx))
        .await
        .unwrap_or_default();
    let mut decoder = Decoder::new(1 << 20);
    decoder.feed(&waiting)?;
    while let Some(decoded) = decoder.next() {
        match decoded {
            Decoded::Message(event) => {
                println!(
                    "  {} {} {}",
                    event.event_type, event.last_event_id, event.data
                );
            }
            Decoded::Comment(text) => println!("  ({text})"),
            Decoded::Retry(millis) => println!("  (reconnect after {millis} ms)"),
            _ => {}
        }
    }
    Ok(())
}
