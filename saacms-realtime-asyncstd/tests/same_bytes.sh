#!/usr/bin/env bash
# Checks that the tokio server and both hubs of this crate answer curl with the same heads and bodies,
# over HTTP/1.1, HTTP/1.0 and HTTP/2. Brackets replace what must differ: dates, time IDs, and the
# reconnection time at the end of each stream.
#
#     saacms-realtime-asyncstd/tests/same_bytes.sh [PROFILE]     builds all three first; default: dev
#     saacms-realtime-asyncstd/tests/same_bytes.sh --built       uses what `cargo test` has built
set -euo pipefail
cd "$(dirname "$0")/../.."

profile=${1:-dev}
if [ "$profile" = --built ]; then
    profile=dev
else
    cargo build --quiet --profile "$profile" -p saacms-realtime
    cargo build --quiet --profile "$profile" -p saacms-realtime-asyncstd --examples --features async-std
fi
built=${CARGO_TARGET_DIR:-target}/${profile/#dev/debug}
servers=("$built/saacms-realtime" "$built/examples/smol_hub" "$built/examples/async_std_hub")

work=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$work"' EXIT

# Starts a server with the given flags. Sets `server` and `base`.
start() {
    : >"$work/stdout"
    "$@" --listen 127.0.0.1:0 >"$work/stdout" 2>"$work/stderr" &
    server=$!
    local address=
    for _ in {1..500}; do
        address=$(grep -om1 '127\.0\.0\.1:[0-9]*' "$work/stdout" || true)
        [ -n "$address" ] && break
        sleep 0.02
    done
    [ -n "$address" ] || { cat "$work/stderr" >&2; exit 1; }
    base=http://$address/api/saacms/v1
}

# Sends a request whose answer ends.
ask() {
    echo "--- $*"
    curl --silent --show-error --include --max-time 30 "${@:2}" "$base/$1"
    echo
}

publish() {
    ask publish --data-binary "$1" "${@:2}"
}

# Opens a stream in the background, into its own file. Returns after the greeting.
streams=0
subscribe() {
    streams=$((streams + 1))
    local file=$work/stream.$streams
    { echo "--- $*"; } >"$file"
    curl --silent --include --no-buffer --max-time 60 "${@:2}" "$base/$1/subscribe" >>"$file" &
    curls+=($!)
    await_text "$file" ":keepalive"
}

await_text() {
    for _ in {1..500}; do
        grep -qF "$2" "$1" && return
        sleep 0.02
    done
    echo "'$2' did not arrive:" >&2
    cat "$1" >&2
    exit 1
}

event() {
    echo "{\"type\":\"$1\",\"slug\":\"posts\",\"id\":\"$2\",\"etag\":\"$3\",\"record\":$4}"
}

# All requests to one server.
dialogue() {
    curls=() streams=0
    subscribe posts/1
    subscribe posts/1 --http2-prior-knowledge
    subscribe posts/1 --http1.0
    subscribe posts/caf%C3%A9%20%2F -H 'Accept: text/*'

    publish "$(event snapshot 1 v1 '{ "title" : "x", "n": [1.0, -0, 1E5, "\u00e9é"] }')"
    publish "$(event changed 1 'W/\"v 2\"' null)" --http2-prior-knowledge
    publish "$(event changed 1 v3 "\"$(printf 'x%.0s' {1..70000})\"")"
    publish '{"type":"deleted","slug":"posts","id":"1"}'
    publish "$(event changed 'café /' v1 true)"
    publish "$(event changed 1 v4 4; echo nope; event changed 1 v5 5)" \
        -H 'Content-Type: application/x-ndjson'

    # Reconnects: with known IDs, with unknown ones, and to a record without events.
    subscribe posts/1 -H 'Last-Event-ID: v4'
    subscribe posts/1 -H 'Last-Event-ID: v4' --http2-prior-knowledge
    subscribe 'posts/1' -H 'Last-Event-ID: v1'
    subscribe posts/1 -H 'Last-Event-ID: unknown'
    subscribe posts/1 -H 'Last-Event-ID;'
    subscribe posts/2 -H 'Last-Event-ID: v1'

    for protocol in --http1.1 --http2-prior-knowledge --http1.0; do
        ask posts/1/subscribe $protocol -H 'Accept: application/json'
        ask posts/1/subscribe $protocol -X DELETE
        ask posts/1/subscribe $protocol -X OPTIONS
        ask posts/1/subscribe $protocol --head
        ask posts/a%2Fb%FF/subscribe $protocol
        ask posts/1/other $protocol
        ask publish $protocol
        publish '{"type":"changed"}' $protocol
    done
    # Not over HTTP/2: the body is refused before it is read, which curl may report as an error.
    publish '{}' -H 'Origin: https://evil.example'
    head -c 1048577 /dev/zero | ask publish --data-binary @- -H 'Expect:'

    publish "$(event changed 1 last 0)"
    for number in 1 2 3 5 6 7 8 9; do
        await_text "$work/stream.$number" "id: last"
    done
    kill -TERM "$server"
    wait "$server" || { echo "the server did not exit cleanly"; cat "$work/stderr"; } >&2
    server=
    wait "${curls[@]}"
    for ((number = 1; number <= streams; number++)); do
        cat "$work/stream.$number"
    done
}

# Replaces what differs in each run, and sorts each head, as the order of headers means nothing.
same() {
    awk '/^HTTP\// { head = 1; print; fflush(); next }
        head && /^\r?$/ { head = 0; close(sort) }
        head { print | sort; next }
        { print }' sort='LC_ALL=C sort' | sed -E -e 's/^(date: ).*/\1[date]\r/I' -e 's/^(retry: )[0-9]+$/\1[time]/' \
        -e 's/^((saacms-last-event-)?id: )[0-9a-f]{16}\./\1[epoch]./I' \
        -e 's/[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{12}Z/[time]/g' -e 's/127\.0\.0\.1:[0-9]+/[address]/g'
}

failed=0
for flags in "" "--max-events 2 --quiet-resume false --greeting false" "--max-events 0"; do
    for binary in "${servers[@]}"; do
        name=$(basename "$binary")
        # shellcheck disable=SC2086 # flags are words
        start "$binary" $flags
        dialogue 2>&1 >"$work/dialogue"
        same <"$work/dialogue" >"$work/$name.txt"
        if ! cmp "$work/saacms-realtime.txt" "$work/$name.txt"; then
            diff -a "$work/saacms-realtime.txt" "$work/$name.txt" | cut -c -200 | head -40 || true
            failed=1
        fi
    done
    bytes=$(wc -c <"$work/saacms-realtime.txt")
    [ "$failed" = 1 ] || echo "same bytes with '$flags': $bytes, from ${#servers[@]} servers"
done
exit "$failed"
