#!/usr/bin/env bash
# Everything that must hold. `./ci.sh` installs what it needs and runs all of it; `./ci.sh STEP ...`
# runs single steps. A tool that is missing and cannot be installed is a failure.
set -euo pipefail
cd "$(dirname "$0")"

readonly NO_STD_TARGET=thumbv7em-none-eabi WASM_TARGET=wasm32-unknown-unknown
readonly CORE=saacms-realtime-core TOKIO=saacms-realtime-tokio WORKER=saacms-realtime-worker
readonly LIBRARIES=($CORE $TOKIO saacms-realtime-asyncstd $WORKER)
readonly FOREIGN=$CORE/tests/foreign BROWSER=$TOKIO/hub/tests/browser CLIENTS=$TOKIO/hub/tests/foreign_clients
readonly CARGO_DENY=0.20.2
TARGET_DIR=$(realpath -m "${CARGO_TARGET_DIR:-target}")
MSRV=$(sed -n 's/^rust-version = "\(.*\)"/\1.0/p' Cargo.toml)
readonly TARGET_DIR MSRV
. .ci/install.sh

# Required before a change is merged. `test` builds the dependencies that later steps reuse.
readonly all_steps=(setup fmt arrows clippy deny features no-alloc test simulate mutants loom fuzz doc msrv
    clients browser worker)
# Required for every commit: under three minutes if the last commit was built.
readonly quick_steps=(fmt arrows clippy places core conformance simulate)
# Deeper than every change needs: these run only when named.
readonly deep_steps=(advisories public-items cargo-mutants miri tsan faults engines guarantees bench)

usage() {
    cat <<EOF
usage: ./ci.sh [STEP ...]     without a step: all of the first list, in this order
       ./ci.sh quick          for every commit: ${quick_steps[*]}

  setup      install what the other steps need: Debian packages, Rust targets, npm and pip packages
  fmt        rustfmt
  arrows     no module imports one that it must not know
  clippy     lints, for every target and feature
  deny       licences and sources of all dependencies
  features   core with each set of features, for this machine, bare metal and WebAssembly
  no-alloc   core without an allocator: run here, on an emulated Cortex-M4 and as WebAssembly
  test       all Rust tests and doctests, among them the golden vectors and the foreign parsers; the
             browser client's tests without a browser
  simulate   the deterministic simulations: \$SEEDS seeds (20000; quick: 500) of hub, clients and network;
             ten times as many of followers of an engine; a third as many of hubs over an engine
  mutants    small faults in core, each of which tests or simulation must catch
  loom       every interleaving of the hub's threads
  fuzz       each fuzz target for 5 seconds, or \`./ci.sh fuzz --minutes N\`
  doc        the documentation builds without a warning, and the public items are those of the lists
  msrv       everything builds with Rust $MSRV, the oldest supported version
  clients    clients of other projects over a drain, a crash, a cut and refusals of the server
  browser    the live page in Chromium, against the server and against the Worker; the browser
             client in Chromium and in Firefox, by event stream and by WebSocket
  worker     the Durable Object: lints for WebAssembly, then its tests in workerd, and those of its npm
             package in Node, Bun and Deno; \$SAACMS_SEED is the folder of the plugin that the package is
             compared with

parts of these, for \`quick\`:

  places      of \`mutants\`: each fault of the list still has its place in the source
  core        of \`test\`: core's unit tests and its laws
  conformance of \`test\`: the conformance list, over tokio, smol and async-std

only when named:

  advisories known vulnerabilities of the dependencies; fetches the RustSec database from GitHub
  public-items
             writes each library's public-items.txt again
  cargo-mutants
             every fault that cargo-mutants can make in core, each of which core's tests must catch:
             an hour. \$MUTANTS_FLAGS are passed on (--file '$CORE/src/ring/*')
  miri       core's tests in an interpreter that finds undefined behaviour, data races and leaks
  tsan       core's tests with real threads under ThreadSanitizer, which finds data races
  faults     real faults against the server's binary, with their results; also part of \`test\`
  engines    the history on disk: processes that are killed, power cuts, full and damaged disks, with
             their results; also part of \`test\`. Then the server is killed and terminated under 10,000
             idle streams, and none may be told to refetch. Mounts file systems, which needs root and
             loop devices; \$SAACMS_TEST_NO_MOUNT=1 leaves those tests out
  guarantees every long check of the laws except \`cargo-mutants\`; writes the figures into
             GUARANTEES.md: half an hour
  bench      speed as ratios to peers and to the limit: fails if one is 1.3 times as bad as in
             benches/baseline.json; writes benches/RESULTS.md. \$BENCH_FLAGS are passed on to
             \`load results\` (--save-baseline)

       ./ci.sh worker serve [--port N]     builds the Worker and starts it in workerd
       ./ci.sh worker COMMAND ...          any command of $WORKER/worker.sh
EOF
}

step_setup() {
    need_command cc gcc
    need_command make make
    need_command curl curl
    need_command node nodejs
    need_command npm npm
    need_command python3 python3
    need_command faketime faketime
    need_command mkfs.ext4 e2fsprogs
    need_command mount mount
    need_command qemu-system-arm qemu-system-arm
    command -v cargo >/dev/null || fail "cargo is missing: install Rust by rustup"
    command -v rustup >/dev/null || fail "rustup is missing: it installs the targets and Rust $MSRV"
    rustup --quiet component add rustfmt clippy
    rustup --quiet target add $NO_STD_TARGET $WASM_TARGET
    rustup run "$MSRV" rustc --version >/dev/null 2>&1 ||
        rustup --quiet toolchain install "$MSRV" --profile minimal
    for folder in $FOREIGN $CLIENTS; do
        need_npm_packages "$folder"
        need_pip_packages "$folder"
    done
    need_browsers
}

step_fmt() {
    cargo fmt --all -- --check
}

# ARCHITECTURE.md draws the arrows between modules.
step_arrows() {
    local here='(crate|super)' core=saacms_realtime_core
    local runtimes='tokio|tokio_\w+|async_std|async_io|async_net|smol|mio|hyper|hyper_util|axum|socket2|rustix|worker|web_sys|js_sys|wasm_bindgen\w*'
    forbid $CORE/src/route $here 'hub|sse|feed'
    forbid $CORE/src/sse $here 'ring|subscriber|topic|feed|hub'
    forbid $CORE/src/ring $here 'sse|event|feed|hub'
    # A pure machine: no clock, no I/O, and events are opaque to it.
    forbid $CORE/src/follow crate '\w+'
    forbid $CORE/src std 'net|process|thread'
    forbid $CORE/src '(?<!::)' "$runtimes"
    # By its room: the root of the crate hands on what is in all of them.
    forbid $CORE/src crate '[A-Z]\w*'
    forbid $WORKER/src $core 'Hub|Lane|Subscription'
    forbid $TOKIO/src/realtime.rs $here server
    forbid $TOKIO/src/stream.rs $here server
    # A response's body holds a handoff, so the handoff must know neither body nor stream.
    forbid $TOKIO/src/server/handoff.rs $here 'body|stream|realtime'
    ! grep -nE "^(${runtimes//_/[-_]})\b" $CORE/Cargo.toml || fail "core must not depend on a runtime"
}

# Fails if a file in a folder names one of some modules: `crate::hub`, `use crate::{event, hub::Hub}`.
# Comments and tests may name them.
forbid() {
    local file path="$2::(\\{[^;]*?\\b)?($3)\\b" found=0
    [ "$2" != '(?<!::)' ] || path="$2\\b($3)::"
    while read -r file; do
        ! sed -e '/^mod tests {/,$d' -e 's|//.*||' "$file" | grep -Pzo "$path" | tr '\0\n' '\n ' ||
            { echo "   in $file"; found=1; }
    done < <(find "$1" -name '*.rs' ! -name tests.rs ! -path '*/_fuzz/*')
    [ $found = 0 ] || fail "$1 must not know $3"
}

step_clippy() {
    cargo clippy --workspace --all-targets --all-features -- -D warnings
    cargo clippy -p saacms-realtime-tokio -- -D warnings
}

step_deny() {
    need_cargo_deny
    cargo deny check licenses bans sources
}

# Not part of `deny`: its result changes from day to day, and it needs a database from the network.
step_advisories() {
    need_cargo_deny
    cargo deny check advisories
}

step_features() {
    local features
    for features in "" heapless alloc alloc,heapless; do
        core_check "$features"
        core_check "$features" --target $NO_STD_TARGET
        core_check "$features" --target $WASM_TARGET
    done
    core_check std
    core_check http
    echo "   the program without the disk engine"
    cargo clippy --quiet -p saacms-realtime --no-default-features -- -D warnings
    cargo test --quiet -p saacms-realtime --no-default-features --test settings without
}

core_check() {
    echo "   core with features '$1' ${*:2}"
    cargo check --quiet -p saacms-realtime-core --no-default-features --features "$1" "${@:2}"
}

step_no_alloc() {
    $CORE/examples/no_alloc/run.sh
}

step_test() {
    cargo test --workspace --all-features
    cargo test -p saacms-realtime-core --no-default-features --features heapless
    # Each example is its own test. `cargo test` has built them.
    "$TARGET_DIR/debug/examples/lines"
    "$TARGET_DIR/debug/examples/websocket"
    "$TARGET_DIR/debug/examples/only_some_users"
    build saacms-realtime
    saacms-realtime-asyncstd/tests/same_bytes.sh --built
    node --test $TOKIO/hub/tests/client
}

step_core() {
    cargo test --quiet --workspace --all-features --test laws --test model --test topic
    cargo test --quiet -p saacms-realtime-core --all-features --lib
}

step_conformance() {
    # Not the Worker's, which needs workerd: the step `worker` runs it.
    cargo test --quiet --workspace --exclude saacms-realtime-worker --all-features --test conformance
}

# Builds programs of the workspace, with the features of dependencies that its tests use, so that each
# dependency is built once. Cargo chooses those features only if a test is built too.
build() {
    cargo build --quiet --workspace --all-features --test laws "${@/#/--bin=}"
}

step_doc() {
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --all-features --no-deps
    local crate
    for crate in "${LIBRARIES[@]}"; do
        public_items "$crate" | diff -u "$crate/public-items.txt" - ||
            fail "the public items of $crate changed; if that is meant, ./ci.sh public-items"
    done
}

# The lists are committed, so that a change to the public items shows in review.
step_public_items() {
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --all-features --no-deps
    local crate
    for crate in "${LIBRARIES[@]}"; do
        public_items "$crate" >"$crate/public-items.txt"
    done
}

# One line for each item that a crate defines and exports, from rustdoc's page of all items.
public_items() {
    local kinds='struct|enum|union|trait|fn|constant|static|type|macro'
    grep -oE "href=\"[a-z_0-9/]*($kinds)\.\w+\.html\"" "$TARGET_DIR/doc/${1//-/_}/all.html" |
        sed -E 's/href="([a-z_0-9/]*)\b([a-z]+)\.(\w+)\.html"/\2 \1\3/; s|/|::|g' | LC_ALL=C sort
}

step_msrv() {
    CARGO_TARGET_DIR=$TARGET_DIR/msrv cargo "+$MSRV" check --workspace --all-targets --all-features
}

# Not optimised for few seeds: the optimised build would take longer than the run.
step_simulate() {
    local program=$TARGET_DIR/debug/simulate
    if [ "$SEEDS" -gt 100000 ]; then
        cargo build --release -p saacms-realtime-proof --bin simulate
        program=$TARGET_DIR/release/simulate
    else
        build simulate
    fi
    "$program" --seeds "$SEEDS"
    # A seed of these takes a tenth of the time.
    "$program" --of follower --seeds $((10 * SEEDS))
    "$program" --of cluster --seeds $((SEEDS / 3))
}

step_mutants() {
    build mutants
    "$TARGET_DIR/debug/mutants"
}

step_places() {
    build mutants
    "$TARGET_DIR/debug/mutants" --check
}

step_loom() {
    RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=$TARGET_DIR/loom \
        cargo test --release -p saacms-realtime-core --test loom
}

step_cargo_mutants() {
    # Split into flags here, so that the shell does not expand patterns in them.
    local flags
    read -ra flags <<<"${MUTANTS_FLAGS:-}"
    $CORE/proof/cargo-mutants.sh "${flags[@]}"
}

step_miri() {
    need_nightly miri rust-src
    # Without the tests with many threads, which `tsan` runs, and without the fuzz corpus: both would
    # take too long in an interpreter.
    cargo +nightly miri test -p saacms-realtime-core --all-features \
        --lib --test messages --test topic --test wakers -- --skip _fuzz
    cargo +nightly miri test -p saacms-realtime-proof --bin simulate -- follow
}

step_tsan() {
    need_nightly rust-src
    local host
    host=$(rustc -vV | sed -n 's/^host: //p')
    # The standard library is instrumented too: otherwise its locks and reference counts are unknown.
    RUSTFLAGS=-Zsanitizer=thread CARGO_TARGET_DIR=$TARGET_DIR/tsan \
        cargo +nightly test -Zbuild-std --target "$host" -p saacms-realtime-core \
        --test joins --test lanes --test laws --test wakers
}

step_fuzz() {
    need_command c++ g++
    $CORE/fuzz/fuzz.sh
}

step_bench() {
    local round
    cargo build --release -p saacms-realtime
    cargo build --release -p saacms-realtime-benches --bin load --examples
    for round in 1 2 3 4 5; do
        cargo bench -p saacms-realtime-benches --bench cost -- --quick --quiet \
            --save-baseline "round-$round"
    done
    # shellcheck disable=SC2086 # several flags
    "$TARGET_DIR/release/load" results --criterion "$TARGET_DIR/criterion" ${BENCH_FLAGS:-}
}

step_faults() {
    cargo test -p saacms-realtime --test faults -- --nocapture --test-threads=1
}

step_engines() {
    cargo test -p saacms-realtime-tokio --all-features --test engines -- --nocapture
    cargo test -p saacms-realtime --test disk
    cargo test -p saacms-realtime --test faults folder -- --nocapture
    build saacms-realtime load
    "$TARGET_DIR/debug/load" restart --subscribers 10000
}

step_guarantees() {
    $CORE/proof/guarantees.sh
}

step_clients() {
    need_npm_packages $CLIENTS
    need_pip_packages $CLIENTS
    build saacms-realtime
    SAACMS_REALTIME_BIN=$TARGET_DIR/debug/saacms-realtime npm --prefix $CLIENTS test
}

step_browser() {
    need_browsers
    build saacms-realtime
    $WORKER/worker.sh build
    SAACMS_REALTIME_BIN=$TARGET_DIR/debug/saacms-realtime SAACMS_WORKER_PACKAGE=$TARGET_DIR/worker \
        npm --prefix $BROWSER test
}

step_worker() {
    $WORKER/worker.sh clippy
    $WORKER/worker.sh test
}

fail() {
    echo "ci.sh: $1" >&2
    exit 1
}

run() {
    local started=$SECONDS
    echo "== $1"
    "step_${1//-/_}"
    echo "== $1: ok ($((SECONDS - started)) s)"
}

# Steps with arguments of their own.
if [ $# -gt 1 ]; then
    case $1 in
    worker) exec $WORKER/worker.sh "${@:2}" ;;
    fuzz) [[ $2 != --* ]] || exec $CORE/fuzz/fuzz.sh "${@:2}" ;;
    esac
fi
case "$#:${1:-}" in
0:) steps=("${all_steps[@]}") ;;
1:quick) steps=("${quick_steps[@]}") SEEDS=${SEEDS:-500} ;;
1:help | 1:--help | 1:-h) usage; exit ;;
*) steps=("$@") ;;
esac
SEEDS=${SEEDS:-20000}
for step in "${steps[@]}"; do
    case " ${all_steps[*]} ${quick_steps[*]} ${deep_steps[*]} " in
    *" $step "*) ;;
    *) usage >&2; fail "there is no step '$step'" ;;
    esac
done
for step in "${steps[@]}"; do
    run "$step"
done
[ $# != 0 ] || echo "== not run, as they must be named: ${deep_steps[*]}"
echo "== all ok ($SECONDS s)"
