#!/usr/bin/env bash
# As many live streams as this machine holds, both ends here. One process may not have enough open
# files for all of them, so it runs several servers, each with a `load idle` of its own, and prints
# every ten seconds what there is. At the end each stream must have had its events, a reconnection
# time and its end.
set -euo pipefail
cd "$(dirname "$0")/.."

servers=${1:-51} streams=${2:-19800} hold=${3:-150}
case $servers$streams$hold in
*[!0-9]*) echo "usage: benches/many.sh [SERVERS [STREAMS_OF_EACH [SECONDS]]]   default: 51 19800 150" >&2; exit 2 ;;
esac
bin=${CARGO_TARGET_DIR:-target}/release
[ -x "$bin/load" ] && [ -x "$bin/saacms-realtime" ] || {
    echo "many.sh: build first: cargo build --release -p saacms-realtime" \
        "&& cargo build --release -p saacms-realtime-benches --bin load" >&2
    exit 1
}
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

report() {
    local ends memory cpu
    ends=$(ss -s | awk '/^TCP:/ { gsub(",", "", $4); print $4 }')
    memory=$(ps -C saacms-realtime -o rss= | awk '{ sum += $1 } END { print int(sum / 1024) }')
    cpu=$(ps -C saacms-realtime -o time= | awk -F: '{ sum += $1 * 3600 + $2 * 60 + $3 } END { print sum + 0 }')
    awk -v seconds="$SECONDS" -v ends="$ends" -v memory="$memory" -v cpu="$cpu" '
        /^(Slab|MemAvailable):/ { kib[$1] = $2 }
        END { printf "%4d s: %d ends of connections, servers %d MiB and %d s of CPU, kernel slab %d MiB, available %d MiB\n",
            seconds, ends, memory, cpu, kib["Slab:"] / 1024, kib["MemAvailable:"] / 1024 }' /proc/meminfo
}

for number in $(seq "$servers"); do
    "$bin/load" idle --subscribers "$streams" --heartbeat 30 --hold "$hold" \
        --first-source "$number" >"$out/$number" 2>&1 &
    # Connecting is bound by the processors: one after the other.
    sleep 1.2
done
while [ -n "$(jobs -r)" ]; do
    sleep 10
    report
done
# One line for each kind of figure, with how many servers it was the same at.
grep -hE 'faults|streams with a retry' "$out"/* | sort | uniq -c
[ "$(grep -l ' 0 lost, 0 duplicated, 0 reordered, 0 malformed, 0 failed' "$out"/* | wc -l)" = "$servers" ]
