//! The hub on smol.
//!
//! ```sh
//! cargo run -p saacms-realtime-asyncstd --example smol_hub
//! curl -N http://127.0.0.1:8787/api/saacms/v1/posts/1/subscribe
//! curl http://127.0.0.1:8787/api/saacms/v1/publish \
//!     -d '{"type":"changed","slug":"posts","id":"1","etag":"v1","record":{"title":"x"}}'
//! ```
//!
//! smol's global executor has one thread; `SMOL_THREADS=4` gives it four.

mod command_line;

use std::error::Error;

use saacms_realtime_asyncstd::{ServeConfig, serve};

fn main() -> Result<(), Box<dyn Error>> {
    let Some((realtime, listener, stop)) = command_line::start()? else {
        return Ok(());
    };
    Ok(smol::block_on(serve(
        listener,
        realtime,
        ServeConfig::smol(),
        stop,
    ))?)
}
