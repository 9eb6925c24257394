#!/usr/bin/env bash
# Everything that must hold. `./ci.sh` installs what it needs and runs all of it; `./ci.sh STEP ...`
# runs single steps. A tool that is missing and cannot be installed is a failure.
set -euo pipefail
cd "$(dirname "$0")"

readonly NO_STD_TARGET=thumbv7em-none-eabi WASM_TARGET=wasm32-unknown-unknown
readonly CARGO_DENY=0.20.2 CARGO_MUTANTS=27.1.0
# All of core's tests but the foreign parsers, which are programs of other languages.
readonly CORE_TESTS=(--lib --test={joins,lanes,laws,messages,model,topic,vectors,wakers})
readonly FUZZ_TARGETS=(event_json sse_decode sse_encode_decode route position operations)
readonly FOREIGN=saacms-realtime-core/tests/foreign BROWSER=saacms-realtime-tokio/hub/tests/browser
MSRV=$(sed -n 's/^rust-version = "\(.*\)"/\1.0/p' Cargo.toml)
readonly MSRV

# For longer runs: `SEEDS=10000000 ./ci.sh simulate`, `./ci.sh fuzz --minutes 20`.
SEEDS=${SEEDS:-20000}

steps=(setup fmt clippy deny features no-alloc test simulate mutants loom fuzz doc msrv browser worker)
# Deeper than every change needs: they run when asked for.
readonly deep_steps=(advisories cargo-mutants miri tsan faults guarantees bench)

usage() {
    cat <<EOF
usage: ./ci.sh [STEP ...]     without a step: all of them, in this order

  setup      install what the other steps need: Debian packages, Rust targets, npm and pip packages
  fmt        rustfmt
  clippy     lints, for every target and feature
  deny       licences and sources of all dependencies
  features   core with each set of features, for this machine, bare metal and WebAssembly
  no-alloc   core without an allocator: run here, on an emulated Cortex-M4 and as WebAssembly
  test       all Rust tests and doctests, among them the golden vectors and the foreign parsers
  doc        the documentation builds without a warning
  msrv       everything builds with Rust $MSRV, the oldest that is supported
  simulate   the deterministic simulation of hub, clients and network, \$SEEDS seeds ($SEEDS)
  mutants    small faults in core, each of which tests or simulation must catch
  loom       every order of the hub's threads
  fuzz       each fuzz target for 5 seconds, or \`./ci.sh fuzz --minutes N\`
  browser    the live page in Chromium, against the server and against the Worker
  worker     the Durable Object: lints for WebAssembly, then its tests in workerd

and, when asked for:

  advisories known vulnerabilities of the dependencies; fetches the RustSec database from GitHub
  cargo-mutants
             every fault that cargo-mutants thinks of in core, each of which core's tests must catch:
             an hour. \$MUTANTS_FLAGS go to it (--file 'saacms-realtime-core/src/ring/*')
  miri       core's tests in an interpreter that finds undefined behaviour, data races and leaks
  tsan       core's tests with real threads under ThreadSanitizer, which finds data races
  faults     real faults against the server's binary, with what happened; part of \`test\`, too
  guarantees runs all that checks the laws at length but for \`cargo-mutants\`, and writes its figures
             into GUARANTEES.md; each fuzz target runs for a minute
  bench      speed beside peers and the limit, as ratios: fails where one is 1.3 times as bad as in
             benches/baseline.json; writes benches/RESULTS.md. \$BENCH_FLAGS go to \`load results\`
             (--save-baseline)

       ./ci.sh worker serve [--port N]     builds the Worker and starts it in workerd
       ./ci.sh worker COMMAND ...          any command of saacms-realtime-worker/worker.sh
EOF
}

step_setup() {
    need_command cc gcc
    need_command make make
    need_command curl curl
    need_command node nodejs
    need_command npm npm
    need_command python3 python3
    need_command chromium chromium
    need_command faketime faketime
    need_command qemu-system-arm qemu-system-arm
    command -v cargo >/dev/null || fail "cargo is missing: install Rust by rustup"
    command -v rustup >/dev/null || fail "rustup is missing: it installs the targets and Rust $MSRV"
    rustup --quiet component add rustfmt clippy
    rustup --quiet target add $NO_STD_TARGET $WASM_TARGET
    rustup run "$MSRV" rustc --version >/dev/null 2>&1 ||
        rustup --quiet toolchain install "$MSRV" --profile minimal
    for folder in $FOREIGN $BROWSER; do
        (cd "$folder" && npm ci --no-audit --no-fund --loglevel=error)
    done
    if ! [ -x $FOREIGN/.venv/bin/python ]; then
        python3 -m venv $FOREIGN/.venv 2>/dev/null ||
            { rm -rf $FOREIGN/.venv; install_package python3-venv; python3 -m venv $FOREIGN/.venv; }
    fi
    $FOREIGN/.venv/bin/python -m pip install --quiet --disable-pip-version-check \
        -r $FOREIGN/requirements.txt
}

step_fmt() {
    cargo fmt --all -- --check
}

step_clippy() {
    cargo clippy --workspace --all-targets --all-features -- -D warnings
    cargo clippy -p saacms-realtime-tokio -- -D warnings
}

step_deny() {
    need_cargo_deny
    cargo deny check licenses bans sources
}

# Apart from `deny`: what it finds depends on the day, and it needs a database from the network.
step_advisories() {
    need_cargo_deny
    cargo deny check advisories
}

need_cargo_deny() {
    # Not optimised, which takes longer than all that it does here.
    command -v cargo-deny >/dev/null ||
        CARGO_PROFILE_DEV_DEBUG=0 cargo install --quiet --locked --debug cargo-deny@$CARGO_DENY
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
}

core_check() {
    echo "   core with features '$1' ${*:2}"
    cargo check --quiet -p saacms-realtime-core --no-default-features --features "$1" "${@:2}"
}

step_no_alloc() {
    local example=(-p saacms-realtime-core --example no_alloc --no-default-features --features heapless)
    local cortex_m4=(--config saacms-realtime-core/examples/no_alloc/cortex-m4.toml)
    local target_dir=${CARGO_TARGET_DIR:-target} profile
    mkdir -p "$target_dir"
    cargo run --quiet "${example[@]}" >"$target_dir/no_alloc.host"
    for profile in dev release; do
        # RUSTFLAGS would hide the linker script. A program that overflows its stack never ends.
        env -u RUSTFLAGS cargo "${cortex_m4[@]}" build "${example[@]}" --profile $profile \
            --target $NO_STD_TARGET
        env -u RUSTFLAGS timeout 60 cargo "${cortex_m4[@]}" run --quiet "${example[@]}" \
            --profile $profile --target $NO_STD_TARGET </dev/null >"$target_dir/no_alloc.cortex-m4"
        cmp "$target_dir/no_alloc.host" "$target_dir/no_alloc.cortex-m4"
    done
    cargo build "${example[@]}" --target $WASM_TARGET
    node -e 'const module = new WebAssembly.Module(require("fs").readFileSync(process.argv[1]));
        process.exit(new WebAssembly.Instance(module).exports.cycle() === 10 ? 0 : 1)' \
        "$target_dir/$WASM_TARGET/debug/examples/no_alloc.wasm"
    env -u RUSTFLAGS cargo "${cortex_m4[@]}" clippy "${example[@]}" --target $NO_STD_TARGET \
        -- -D warnings
    cargo clippy "${example[@]}" --target $WASM_TARGET -- -D warnings
}

step_test() {
    cargo test --workspace --all-features
    cargo test -p saacms-realtime-core --no-default-features --features heapless
    saacms-realtime-asyncstd/tests/same_bytes.sh
}

step_doc() {
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --all-features --no-deps
}

step_msrv() {
    CARGO_TARGET_DIR=target/msrv cargo "+$MSRV" check --workspace --all-targets --all-features
}

step_simulate() {
    cargo run --release -p saacms-realtime-proof --bin simulate -- --seeds "$SEEDS"
}

step_mutants() {
    cargo run --release -p saacms-realtime-proof --bin mutants
}

step_loom() {
    RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}/loom \
        cargo test --release -p saacms-realtime-core --test loom
}

# Unit tests first, as they catch most mutants within a second; what they miss meets all tests.
step_cargo_mutants() (
    cargo mutants --version 2>/dev/null | grep -qw $CARGO_MUTANTS ||
        cargo install --quiet --locked cargo-mutants@$CARGO_MUTANTS
    export CARGO_PROFILE_DEV_DEBUG=0 CARGO_TARGET_DIR
    CARGO_TARGET_DIR=$(realpath -m "${CARGO_TARGET_DIR:-target}")/cargo-mutants
    mkdir -p "$CARGO_TARGET_DIR"
    local out=$CARGO_TARGET_DIR/mutants.out caught unviable mutants
    # Several flags; patterns in them are not for the shell.
    read -ra mutants <<<"${MUTANTS_FLAGS:-}"
    mutants=(cargo mutants --package saacms-realtime-core --output "$CARGO_TARGET_DIR" --timeout 120
        --colors never "${mutants[@]}")
    # A mutant that never ends may never cease to ask for memory.
    ulimit -v 8000000
    # 2: some are missed, 3: some hang.
    "${mutants[@]}" --cargo-arg=--lib || [[ $? = [23] ]] || fail "cargo-mutants failed"
    caught=$(wc -l <"$out/caught.txt") unviable=$(wc -l <"$out/unviable.txt")
    # 3 says that some hang, whether others are missed or not.
    "${mutants[@]}" --iterate "${CORE_TESTS[@]/#/--cargo-arg=}" || [[ $? = [23] ]] ||
        fail "cargo-mutants failed"
    ! [ -s "$out/missed.txt" ] || fail "survivors: $(cat "$out/missed.txt")"
    caught=$((caught + $(wc -l <"$out/caught.txt")))
    echo "$caught caught, $(wc -l <"$out/timeout.txt") hang, 0 survive; $unviable do not compile"
)

step_miri() {
    need_nightly miri rust-src
    # An interpreter takes very long over the tests with many threads, which `tsan` runs, and over the
    # fuzz corpus.
    cargo +nightly miri test -p saacms-realtime-core --all-features \
        --lib --test messages --test topic --test wakers -- --skip _fuzz
}

step_tsan() {
    need_nightly rust-src
    local host
    host=$(rustc -vV | sed -n 's/^host: //p')
    # The standard library is built with it, too: its locks and counts would be unknown otherwise.
    RUSTFLAGS=-Zsanitizer=thread CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}/tsan \
        cargo +nightly test -Zbuild-std --target "$host" -p saacms-realtime-core \
        --test joins --test lanes --test laws --test wakers
}

need_nightly() {
    rustup run nightly rustc --version >/dev/null 2>&1 ||
        rustup --quiet toolchain install nightly --profile minimal
    [ $# = 0 ] || rustup --quiet component add --toolchain nightly "$@"
}

# As cargo-fuzz does it, without a sanitizer: that is for unsafe code and needs a nightly compiler.
step_fuzz() {
    local target seconds=5 flags= host target_dir=${CARGO_TARGET_DIR:-target}/fuzz found inputs
    local sancov=(level=4 inline-8bit-counters pc-table trace-compares)
    [ -z "${fuzz_minutes:-}" ] || seconds=$((60 * fuzz_minutes))
    need_command c++ g++
    host=$(rustc -vV | sed -n 's/^host: //p')
    printf -v flags ' -Cllvm-args=-sanitizer-coverage-%s' "${sancov[@]}"
    # --target: build scripts are made without these flags.
    RUSTFLAGS="--cfg fuzzing -Cdebug-assertions -Ccodegen-units=1 -Cpasses=sancov-module$flags" \
        CARGO_TARGET_DIR=$target_dir cargo build --release --target "$host" \
        --manifest-path saacms-realtime-core/fuzz/Cargo.toml
    found=$target_dir/found inputs=$target_dir/inputs
    rm -rf "$inputs"
    mkdir -p "$found" "$inputs"
    for target in "${FUZZ_TARGETS[@]}"; do
        cp -r "saacms-realtime-core/fuzz/corpus/$target" "$inputs/"
        echo "   $target for $seconds s"
        "$target_dir/$host/release/$target" "$inputs/$target" -artifact_prefix="$found/$target-" \
            -max_total_time="$seconds" -max_len=2000 -verbosity=0 -print_final_stats=1 \
            >"$found/$target.log" 2>&1 || {
            cat "$found/$target.log"
            fail "again: $target_dir/$host/release/$target FILE, with the file that is named above"
        }
        sed -n "s/^stat::number_of_executed_units: *\([0-9]*\)/$target: \1 inputs in $seconds s/p" \
            "$found/$target.log"
    done
}

step_bench() {
    local target_dir=${CARGO_TARGET_DIR:-target} round
    cargo build --release -p saacms-realtime
    cargo build --release -p saacms-realtime-benches --bin load --examples
    for round in 1 2 3 4 5; do
        cargo bench -p saacms-realtime-benches --bench cost -- --quick --quiet \
            --save-baseline "round-$round"
    done
    # shellcheck disable=SC2086 # several flags
    "$target_dir/release/load" results --criterion "$target_dir/criterion" ${BENCH_FLAGS:-}
}

step_faults() {
    cargo test -p saacms-realtime --test faults -- --nocapture --test-threads=1
}

# A million seeds, 10 times the load, a minute for each fuzz target: about half an hour.
step_guarantees() {
    local page=saacms-realtime-core/GUARANTEES.md log
    log=$(mktemp)
    {
        echo "Made by \`./ci.sh guarantees\` on $(date -u +%F) at commit $(git rev-parse --short HEAD)."
        echo
        echo '```'
        SEEDS=1000000 figures simulate '^ +[0-9]+  |seeds in|traces|failure'
        figures mutants '^[0-9]+ caught'
        figures loom '^test '
        figures miri 'Running|^test result'
        figures tsan 'Running|^test result'
        FAULTS_TIMES=10 figures faults ' gaps, |at once|resident|^test result'
        fuzz_minutes=1 figures fuzz '^(event_json|sse_|route|position|operations).*inputs'
        echo '```'
    } >"$log"
    sed -i.bak -e "/^<!-- figures -->$/,/^<!-- end of figures -->$/{/^<!--/!d}" \
        -e "/^<!-- figures -->$/r $log" $page
    rm "$log" $page.bak
}

# The lines of a step's output that match a pattern.
figures() {
    local output
    echo "./ci.sh $1"
    output=$("step_${1//-/_}" 2>&1) || { echo "$output" >&2; fail "$1 failed"; }
    grep -E "$2" <<<"$output" | sed -E 's/^test .* \.\.\. (.*: )/\1/; s/^ */  /'
}

step_browser() {
    cargo build -p saacms-realtime
    saacms-realtime-worker/worker.sh build
    local target_dir=${CARGO_TARGET_DIR:-$PWD/target}
    SAACMS_REALTIME_BIN=$target_dir/debug/saacms-realtime SAACMS_WORKER_PACKAGE=$target_dir/worker \
        npm --prefix $BROWSER test
}

step_worker() {
    saacms-realtime-worker/worker.sh clippy
    saacms-realtime-worker/worker.sh test
}

need_command() {
    command -v "$1" >/dev/null || install_package "$2"
    command -v "$1" >/dev/null || fail "$1 is missing, and the package $2 did not bring it"
}

install_package() {
    local sudo=""
    [ "$(id -u)" = 0 ] || sudo=sudo
    command -v apt-get >/dev/null || fail "$1 is missing, and there is no apt-get to install it"
    if [ -z "${apt_updated:-}" ]; then
        $sudo apt-get update -qq
        apt_updated=1
    fi
    DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends "$1" >/dev/null
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

if [ "${1:-}" = worker ] && [ $# -gt 1 ]; then
    exec saacms-realtime-worker/worker.sh "${@:2}"
fi
if [ "${1:-} ${2:-}" = "fuzz --minutes" ]; then
    [[ $# = 3 && $3 =~ ^[1-9][0-9]{0,4}$ ]] || fail "--minutes takes a number of 1 to 99999"
    fuzz_minutes=$3
    set -- fuzz
fi
if [ $# -gt 0 ]; then
    for step in "$@"; do
        case " ${steps[*]} ${deep_steps[*]} help --help -h " in
        *" $step "*) ;;
        *) usage >&2; fail "there is no step '$step'" ;;
        esac
        case $step in help | --help | -h) usage; exit ;; esac
        steps_given+=("$step")
    done
    steps=("${steps_given[@]}")
fi
for step in "${steps[@]}"; do
    run "$step"
done
echo "== all ok ($SECONDS s)"
