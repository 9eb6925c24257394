#!/usr/bin/env bash
# Every fault that cargo-mutants can make in core, each of which core's own tests must catch: an hour.
# .cargo/mutants.toml lists the faults that are not made, and why.
#
#     saacms-realtime-core/proof/cargo-mutants.sh [FLAG ...]     passes flags on to cargo-mutants:
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

# All of core's tests except the foreign parsers, which are programs in other languages.
tests=(--lib --test={joins,lanes,laws,messages,model,topic,vectors,wakers})
target_dir=$(realpath -m "${CARGO_TARGET_DIR:-target}")/cargo-mutants
export CARGO_PROFILE_DEV_DEBUG=0 CARGO_TARGET_DIR=$target_dir
mkdir -p "$target_dir"
out=$target_dir/mutants.out
mutants=(cargo mutants --package saacms-realtime-core --output "$target_dir" --timeout 120 --colors never "$@")
# A mutant that never ends may allocate without end.
ulimit -v 8000000

# Unit tests first, as they catch most mutants within a second. All tests run only for the rest.
# Exit codes: 2 = some mutants are missed; 3 = some hang, and others may be missed.
"${mutants[@]}" --cargo-arg=--lib || [[ $? = [23] ]] || fail "cargo-mutants failed"
caught=$(wc -l <"$out/caught.txt") unviable=$(wc -l <"$out/unviable.txt")
"${mutants[@]}" --iterate "${tests[@]/#/--cargo-arg=}" || [[ $? = [23] ]] || fail "cargo-mutants failed"
! [ -s "$out/missed.txt" ] || fail "survivors: $(cat "$out/missed.txt")"
caught=$((caught + $(wc -l <"$out/caught.txt")))
echo "$caught caught, $(wc -l <"$out/timeout.txt") hang, 0 survive; $unviable do not compile"
