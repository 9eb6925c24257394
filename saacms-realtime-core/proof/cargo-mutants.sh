#!/usr/bin/env bash
# Every fault that cargo-mutants thinks of in core, each of which core's own tests must catch: an hour.
# Which faults are not made, and why, says .cargo/mutants.toml.
#
#     saacms-realtime-core/proof/cargo-mutants.sh [FLAG ...]     flags go to cargo-mutants:
#                                                                --file 'saacms-realtime-core/src/ring/*'
set -euo pipefail
cd "$(dirname "$0")/../.."

version=27.1.0
cargo mutants --version 2>/dev/null | grep -qw $version ||
    cargo install --quiet --locked cargo-mutants@$version

fail() {
    echo "cargo-mutants.sh: $1" >&2
    exit 1
}

# All of core's tests but the foreign parsers, which are programs of other languages.
tests=(--lib --test={joins,lanes,laws,messages,model,topic,vectors,wakers})
target_dir=$(realpath -m "${CARGO_TARGET_DIR:-target}")/cargo-mutants
export CARGO_PROFILE_DEV_DEBUG=0 CARGO_TARGET_DIR=$target_dir
mkdir -p "$target_dir"
out=$target_dir/mutants.out
mutants=(cargo mutants --package saacms-realtime-core --output "$target_dir" --timeout 120 --colors never "$@")
# A mutant that never ends may never cease to ask for memory.
ulimit -v 8000000

# Unit tests first, as they catch most mutants within a second; what they miss meets all tests.
# 2: some are missed, 3: some hang, whether others are missed or not.
"${mutants[@]}" --cargo-arg=--lib || [[ $? = [23] ]] || fail "cargo-mutants failed"
caught=$(wc -l <"$out/caught.txt") unviable=$(wc -l <"$out/unviable.txt")
"${mutants[@]}" --iterate "${tests[@]/#/--cargo-arg=}" || [[ $? = [23] ]] || fail "cargo-mutants failed"
! [ -s "$out/missed.txt" ] || fail "survivors: $(cat "$out/missed.txt")"
caught=$((caught + $(wc -l <"$out/caught.txt")))
echo "$caught caught, $(wc -l <"$out/timeout.txt") hang, 0 survive; $unviable do not compile"
