//! The hub on async-std.
//!
//! ```sh
//! cargo run -p saacms-realtime-asyncstd --features async-std --example async_std_hub
//! curl -N http://127.0.0.1:8787/api/saacms/v1/posts/1/subscribe
//! curl http://127.0.0.1:8787/api/saacms/v1/publish \
//!     -d '{"type":"changed","slug":"posts","id":"1","etag":"v1","record":{"title":"x"}}'
//! ```
//!
//! async-std is discontinued (RUSTSEC-2025-0052); moving to smol changes one line.

mod command_line;

use std::error::Error;

use saacms_realtime_asyncstd::{ServeConfig, serve};

fn main() -> Result<(), Box<dyn Error>> {
    let Some((realtime, listener, stop)) = command_line::start()? else {
        return Ok(());
    };
    Ok(async_std::task::block_on(serve(
        listener,
        realtime,
        ServeConfig::async_std(),
        stop,
    ))?)
}
