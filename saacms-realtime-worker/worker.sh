#!/usr/bin/env bash
# Builds the Worker, tests it in workerd, serves it locally. Installs missing tools, and names those
# that it cannot install.
set -euo pipefail
# From here, where a relative path is meant.
[ -z "${SAACMS_SEED:-}" ] || SAACMS_SEED=$(realpath "$SAACMS_SEED")
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
  pack             the npm package as an archive, which npm installs
  test [ARG ...]   native tests, the conformance list, and tests in three releases of workerd, and of the
                   package in Node, Bun and Deno; arguments go to node --test. With SAACMS_SEED=DIR, what
                   hosts see of the plugin is also tested of the plugin's own index.js in DIR
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
    node npm/glue.mjs "$work/module.js"
    mv "$work"/snippets/*/inline0.js "$work/enqueue.js"
    rm -r "$work/snippets"
    # Features are named one by one, so that wasm-opt uses no encoding that workerd does not know.
    node $TOOLS/node_modules/binaryen/bin/wasm-opt -Oz --strip-debug --strip-producers \
        --enable-mutable-globals --enable-sign-ext --enable-nontrapping-float-to-int \
        --enable-bulk-memory --enable-bulk-memory-opt --enable-multivalue --enable-reference-types \
        --enable-exception-handling "$work/module_bg.wasm" -o "$work/module.wasm"
    rm "$work/module_bg.wasm"
    cp npm/*.js npm/index.d.ts npm/README.md ../LICENSE-APACHE ../LICENSE-MIT "$work"
    # The browser's client has one source, which the program serves too.
    cp ../saacms-realtime-tokio/hub/client/*.{js,d.ts} "$work"
    local file
    for file in package.json plugin.js; do
        sed "s/\(version\"*: \)\"0\.0\.0\"/\1\"$(package_version)\"/" "npm/$file" >"$work/$file"
    done
    rm -rf "$OUT"
    mv "$work" "$OUT"
    local bytes gzipped
    bytes=$(wc -c <"$OUT/module.wasm")
    gzipped=$(gzip -9 -c "$OUT/module.wasm" | wc -c)
    echo "built $OUT: module.wasm has $((bytes / 1024)) KiB, $((gzipped / 1024)) KiB gzipped"
    [ "$gzipped" -lt $((150 * 1024)) ] || fail "the module is larger than 150 KiB gzipped"
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

pack() {
    build
    local archive
    archive=$(cd "$OUT" && npm pack --silent --pack-destination "$CARGO_TARGET_DIR")
    echo "packed $(realpath "$CARGO_TARGET_DIR")/$archive"
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
setup | build | pack | serve | clippy | bench) "$command" "$@" ;;
test) run_tests "$@" ;;
help | --help | -h) usage ;;
*) usage >&2; fail "there is no command '$command'" ;;
esac
