#!/usr/bin/env bash
# Runs every long check of the laws except cargo-mutants, and writes the figures into GUARANTEES.md: a
# million seeds, 10 times the load, a minute for each fuzz target. Takes about half an hour.
set -euo pipefail
cd "$(dirname "$0")/../.."

page=saacms-realtime-core/GUARANTEES.md
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# figures PATTERN STEP [FLAG ...]: prints the lines of a step's output that match a pattern.
figures() {
    local output
    echo "./ci.sh ${*:2}"
    output=$(./ci.sh "${@:2}" 2>&1) || { echo "$output" >&2; echo "guarantees.sh: ${*:2} failed" >&2; exit 1; }
    grep -E "$1" <<<"$output" | sed -E 's/^test .* \.\.\. (.*: )/\1/; s/^ */  /'
}

{
    echo "Made by \`./ci.sh guarantees\` on $(date -u +%F) at commit $(git rev-parse --short HEAD)."
    echo
    echo '```'
    SEEDS=1000000 figures '^ +[0-9]+  |seeds in|traces|failure' simulate
    figures '^[0-9]+ caught' mutants
    figures '^test ' loom
    figures 'Running|^test result' miri
    figures 'Running|^test result' tsan
    FAULTS_TIMES=10 figures ' gaps, |at once|resident|^test result' faults
    figures 'inputs in' fuzz --minutes 1
    echo '```'
} >"$log"
sed -i.bak -e "/^<!-- figures -->$/,/^<!-- end of figures -->$/{/^<!--/!d}" -e "/^<!-- figures -->$/r $log" $page
rm $page.bak
