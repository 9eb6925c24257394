#!/usr/bin/env bash
# Builds the Worker, tests it in workerd, serves it locally. Installs missing tools, and names those
# that it cannot install.
set -euo pipefail
cd "$(dirname "$0")"

readonly TARGET=wasm32-unknown-unknown TOOLS=tests
CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/../target}
export CARGO_TARGET_DIR
readonly OUT=$CARGO_TARGET_DIR/worker

usage() {
    cat <<EOF
usage: ./worker.sh COMMAND

  setup            install what is missing: the Rust target, wasm-bindgen, and workerd and binaryen
                   from npm
  build            the npm package, in $OUT
  test [ARG ...]   native tests, the conformance list, and tests in three releases of workerd;
                   arguments go to node --test
  serve [--port N] build the Worker and start it on 127.0.0.1; anyone on this machine may publish
  clippy           lints for WebAssembly
  bench            speed compared with the plain JavaScript object of tests/bench, as a table
EOF
}

setup() {
    command -v cargo >/dev/null || fail "cargo is missing: install Rust by rustup"
    command -v node >/dev/null || fail "node is missing: install Node.js 20 or newer"
    command -v npm >/dev/null || fail "npm is missing: it comes with Node.js"
    if ! [ -d "$(rustc --print target-libdir --target $TARGET 2>/dev/null)" ]; then
        command -v rustup >/dev/null ||
            fail "the Rust target $TARGET is missing, and there is no rustup to add it"
        rustup target add $TARGET || fail "rustup could not add the Rust target $TARGET"
    fi
    find_wasm_bindgen || install_wasm_bindgen
    if ! [ -f $TOOLS/node_modules/.package-lock.json ] ||
        [ $TOOLS/package-lock.json -nt $TOOLS/node_modules/.package-lock.json ]; then
        (cd $TOOLS && npm install --no-save --ignore-scripts --no-audit --no-fund --loglevel=error) ||
            fail "npm could not install what $TOOLS/package.json names"
        touch $TOOLS/node_modules/.package-lock.json
    fi
}

# The tool and the library must have the same version, which Cargo.lock has.
wasm_bindgen_version() {
    sed -n '/^name = "wasm-bindgen"$/{n;s/^version = "\(.*\)"$/\1/p}' ../Cargo.lock
}

find_wasm_bindgen() {
    local wanted candidate
    wanted="wasm-bindgen $(wasm_bindgen_version)"
    for candidate in "${WASM_BINDGEN_BIN:-}" wasm-bindgen "$CARGO_TARGET_DIR/tools/bin/wasm-bindgen"; do
        if [ -n "$candidate" ] && [ "$("$candidate" --version 2>/dev/null)" = "$wanted" ]; then
            wasm_bindgen=$candidate
            return
        fi
    done
    return 1
}

install_wasm_bindgen() {
    local version
    version=$(wasm_bindgen_version)
    echo "installing wasm-bindgen $version; this takes a minute, once"
    # Neither npm nor PyPI has the program. Without --locked: its lock file names a crate that not every
    # registry has. Not optimised: an optimised build takes longer than it saves.
    env -u CARGO_TARGET_DIR CARGO_PROFILE_DEV_DEBUG=0 \
        cargo install --quiet --debug wasm-bindgen-cli --version "$version" \
        --root "$CARGO_TARGET_DIR/tools" || fail "wasm-bindgen $version could not be installed"
    find_wasm_bindgen || fail "wasm-bindgen $version was installed but does not run"
}

build() {
    setup
    local profile=(--profile worker)
    cargo build --quiet --lib -p saacms-realtime-worker --features entry --target $TARGET "${profile[@]}"
    local work=$OUT.new
    rm -rf "$work"
    mkdir -p "$work"
    "$wasm_bindgen" --target module --no-typescript --out-dir "$work" --out-name module \
        --experimental-reset-state-function \
        "$CARGO_TARGET_DIR/$TARGET/worker/saacms_realtime_worker.wasm"
    # workerd imports a compiled module with a plain import.
    sed -i.bak -e 's/^import source /import /' -e 's/module_bg\.wasm/module.wasm/g' "$work/module.js"
    # The package is flat: the one function in JavaScript moves beside the module.
    sed -i.bak '/^import /s|"\./snippets/[^"]*"|"./enqueue.js"|' "$work/module.js"
    mv "$work"/snippets/*/inline0.js "$work/enqueue.js"
    rm -r "$work/module.js.bak" "$work/snippets"
    # Features are named one by one, so that wasm-opt uses no encoding that workerd does not know.
    node $TOOLS/node_modules/binaryen/bin/wasm-opt -Oz --strip-debug --strip-producers \
        --enable-mutable-globals --enable-sign-ext --enable-nontrapping-float-to-int \
        --enable-bulk-memory --enable-bulk-memory-opt --enable-multivalue --enable-reference-types \
        --enable-exception-handling "$work/module_bg.wasm" -o "$work/module.wasm"
    rm "$work/module_bg.wasm"
    cp npm/index.js npm/index.d.ts npm/README.md ../LICENSE-APACHE ../LICENSE-MIT "$work"
    sed "s/\"version\": \"0.0.0\"/\"version\": \"$(package_version)\"/" npm/package.json \
        >"$work/package.json"
    rm -rf "$OUT"
    mv "$work" "$OUT"
    local bytes gzipped
    bytes=$(wc -c <"$OUT/module.wasm")
    gzipped=$(gzip -9 -c "$OUT/module.wasm" | wc -c)
    echo "built $OUT: module.wasm has $((bytes / 1024)) KiB, $((gzipped / 1024)) KiB gzipped"
    [ "$gzipped" -lt $((250 * 1024)) ] || fail "the module is larger than 250 KiB gzipped"
}

package_version() {
    sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"$/\1/p' ../Cargo.toml
}

run_tests() {
    build
    export SAACMS_WORKER_PACKAGE=$OUT
    cargo test --quiet -p saacms-realtime-worker
    # Only where it is named, as it needs the built Worker.
    cargo test --quiet -p saacms-realtime-worker --test conformance
    node --test --test-concurrency=3 "$@" $TOOLS/*.test.mjs
}

serve() {
    build
    SAACMS_WORKER_PACKAGE=$OUT exec node $TOOLS/serve.mjs "$@"
}

clippy() {
    setup
    cargo clippy --quiet -p saacms-realtime-worker --all-features --target $TARGET -- -D warnings
}

bench() {
    build
    SAACMS_WORKER_PACKAGE=$OUT node $TOOLS/bench/bench.mjs "$@"
}

fail() {
    echo "worker.sh: $1" >&2
    exit 1
}

command=${1:-help}
[ $# = 0 ] || shift
case $command in
setup | build | serve | clippy | bench) "$command" "$@" ;;
test) run_tests "$@" ;;
help | --help | -h) usage ;;
*) usage >&2; fail "there is no command '$command'" ;;
esac
