#!/usr/bin/env python3
"""Compares the benches of this checkout with those of another commit, in one run.

    python3 benches/compare.py COMMIT [--rounds 9] [--filter hub/] [--bound 1.02]

Both are built first. Then each round runs the two in turn, so that a machine whose speed drifts
slows both down. Printed are the median of the rounds' ratios and their whole interval: 1.10 means
that this checkout takes 1.1 times as long. The bound counts as missed where the whole interval lies
beyond it; then the exit code is 1.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

PACKAGE = "saacms-realtime-benches"
ROOT = Path(__file__).resolve().parent.parent


def build(checkout, target):
    """The executable of the core's benches."""
    command = ["cargo", "bench", "-p", PACKAGE, "--benches", "--no-run", "--message-format=json"]
    built = subprocess.run(
        command,
        cwd=checkout,
        env={**os.environ, "CARGO_TARGET_DIR": str(target)},
        stdout=subprocess.PIPE,
        check=True,
    )
    messages = map(json.loads, built.stdout.splitlines())
    executables = [message["executable"] for message in messages if message.get("executable")]
    return [path for path in executables if Path(path).name.startswith(("cost-", "core-"))][-1]


def run(executable, home, number, arguments):
    """Runs all benches once; the median of each, in nanoseconds."""
    command = [executable, "--bench", "--noplot", "--save-baseline", f"round-{number}"]
    command += ["--warm-up-time", "0.2", "--measurement-time", "0.5", "--sample-size", "20"]
    command += [arguments.filter] if arguments.filter else []
    subprocess.run(
        command,
        env={**os.environ, "CRITERION_HOME": str(home)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    figures = {}
    for file in home.rglob(f"round-{number}/estimates.json"):
        bench = str(file.parent.parent.relative_to(home))
        figures[bench] = json.loads(file.read_text())["median"]["point_estimate"]
    return figures


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("commit", help="what to compare this checkout with")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--filter", default="", help="only benches with this in their name")
    parser.add_argument("--bound", type=float, default=1.02)
    arguments = parser.parse_args()

    scratch = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve() / "compare"
    other = scratch / "checkout"
    git = ["git", "-C", str(ROOT), "worktree"]
    subprocess.run([*git, "remove", "--force", str(other)], stderr=subprocess.DEVNULL)
    subprocess.run([*git, "add", "--quiet", "--detach", str(other), arguments.commit], check=True)
    try:
        executables = {
            "here": build(ROOT, scratch / "here"),
            "other": build(other, scratch / "other"),
        }
    finally:
        subprocess.run([*git, "remove", "--force", str(other)], check=True)

    # Criterion adds to what is there: figures of an earlier run would count as figures of this one.
    shutil.rmtree(scratch / "criterion", ignore_errors=True)

    ratios = {}
    for number in range(arguments.rounds):
        print(f"round {number + 1} of {arguments.rounds}", file=sys.stderr)
        figures = {
            name: run(executable, scratch / "criterion" / name, number, arguments)
            for name, executable in executables.items()
        }
        for bench in sorted(figures["here"].keys() & figures["other"].keys()):
            ratio = figures["here"][bench] / figures["other"][bench]
            ratios.setdefault(bench, []).append(ratio)

    missed = 0
    for bench, values in sorted(ratios.items()):
        low, median, high = min(values), statistics.median(values), max(values)
        is_missed = low > arguments.bound
        missed += is_missed
        print(f"{bench:<45} {median:.3f}  ({low:.3f} to {high:.3f}){'  MISSED' if is_missed else ''}")
    print(f"{len(ratios)} benches, {missed} of them slower than {arguments.bound} in every round")
    sys.exit(missed > 0)


if __name__ == "__main__":
    main()
