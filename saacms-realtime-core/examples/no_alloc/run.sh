#!/usr/bin/env bash
# Runs core without an allocator: on this machine, on an emulated Cortex-M4 and as WebAssembly. All of
# them must print the same.
set -euo pipefail
cd "$(dirname "$0")/../../.."

bare_metal=thumbv7em-none-eabi wasm=wasm32-unknown-unknown
example=(-p saacms-realtime-core --example no_alloc --no-default-features --features heapless)
cortex_m4=(--config saacms-realtime-core/examples/no_alloc/cortex-m4.toml)
target_dir=${CARGO_TARGET_DIR:-target}
# RUSTFLAGS would override the flags that name the linker script.
unset RUSTFLAGS

mkdir -p "$target_dir"
cargo run --quiet "${example[@]}" >"$target_dir/no_alloc.host"
for profile in dev release; do
    cargo "${cortex_m4[@]}" build "${example[@]}" --profile $profile --target $bare_metal
    # With a timeout, because a program that overflows its stack never ends.
    timeout 60 cargo "${cortex_m4[@]}" run --quiet "${example[@]}" --profile $profile --target $bare_metal \
        </dev/null >"$target_dir/no_alloc.cortex-m4"
    cmp "$target_dir/no_alloc.host" "$target_dir/no_alloc.cortex-m4"
done

cargo build "${example[@]}" --target $wasm
node -e 'const module = new WebAssembly.Module(require("fs").readFileSync(process.argv[1]));
    process.exit(new WebAssembly.Instance(module).exports.cycle() === 10 ? 0 : 1)' \
    "$target_dir/$wasm/debug/examples/no_alloc.wasm"

# Core is linted for both here: nothing else is built without an operating system.
cargo "${cortex_m4[@]}" clippy "${example[@]}" --target $bare_metal -- -D warnings
cargo clippy "${example[@]}" --target $wasm -- -D warnings
