#!/usr/bin/env bash
# Builds the fuzz targets as cargo-fuzz does, and runs each from its corpus. No sanitizer: it would find
# only faults of unsafe code, and needs a nightly compiler.
#
#     saacms-realtime-core/fuzz/fuzz.sh [--minutes N]     default: 5 seconds for each target
set -euo pipefail
cd "$(dirname "$0")/../.."

seconds=5
case "$#:${1:-}" in
0:) ;;
2:--minutes)
    [[ $2 =~ ^[1-9][0-9]{0,4}$ ]] || { echo "fuzz.sh: --minutes takes a number from 1 to 99999" >&2; exit 2; }
    seconds=$((60 * $2))
    ;;
*) echo "usage: fuzz.sh [--minutes N]" >&2; exit 2 ;;
esac

folder=saacms-realtime-core/fuzz
target_dir=$(realpath -m "${CARGO_TARGET_DIR:-target}")/fuzz
host=$(rustc -vV | sed -n 's/^host: //p')
# The instrumentation that libFuzzer needs.
coverage=(level=4 inline-8bit-counters pc-table trace-compares)
printf -v coverage ' -Cllvm-args=-sanitizer-coverage-%s' "${coverage[@]}"
# With --target, these flags do not apply to build scripts.
RUSTFLAGS="--cfg fuzzing -Cdebug-assertions -Ccodegen-units=1 -Cpasses=sancov-module$coverage" \
    CARGO_TARGET_DIR=$target_dir cargo build --release --target "$host" --manifest-path $folder/Cargo.toml

programs=$target_dir/$host/release found=$target_dir/found inputs=$target_dir/inputs
rm -rf "$inputs"
mkdir -p "$found" "$inputs"

# New inputs go into a copy of the corpus.
run() {
    echo "   $1 for $seconds s"
    cp -r "$folder/corpus/$1" "$inputs/"
    rm -f "$found/$1.failed"
    "$programs/$1" "$inputs/$1" -artifact_prefix="$found/$1-" -max_total_time="$seconds" -max_len=2000 \
        -verbosity=0 -print_final_stats=1 >"$found/$1.log" 2>&1 || touch "$found/$1.failed"
}

targets=(event_json sse_decode sse_encode_decode route position packed operations follow)
for index in "${!targets[@]}"; do
    run "${targets[index]}" &
    # One per processor at a time.
    [ $(((index + 1) % $(nproc))) != 0 ] || wait
done
wait

failed=0
for target in "${targets[@]}"; do
    if [ -e "$found/$target.failed" ]; then
        cat "$found/$target.log"
        echo "fuzz.sh: to reproduce: $programs/$target FILE, with the file that is named above" >&2
        failed=1
    else
        sed -n "s/^stat::number_of_executed_units: *\([0-9]*\)/$target: \1 inputs in $seconds s/p" "$found/$target.log"
    fi
done
exit $failed
