#!/usr/bin/env python3
"""What a page of Rust looks like: how long files and functions are, and how much air and reason is in them.

    python3 benches/page.py saacms-realtime-core/src saacms-realtime-tokio/src

Test modules, `tests.rs` and folders named `tests` do not count. A function's body is what lies
between its outer braces; bodies of up to 12 lines are left out of the shares of blank lines and
comments, as a short body is one paragraph.
"""

import re
import statistics
import sys
from pathlib import Path

TOKEN = re.compile(
    r'//[^\n]*|/\*.*?\*/|b?r(#*)".*?"\1|b?"(?:\\.|[^"\\])*"|b?\'(?:\\.|[^\'\\])\'|[{}]|\bfn\s+\w+|;',
    re.S,
)
TESTS = re.compile(r"#\[cfg\((?:all\()?test\b[^\]]*\]\s*(?:#\[[^\]]*\]\s*)*(?:pub(?:\(\w+\))? )?mod \w+ \{")


def closing(source, opening):
    """Where the brace that opens at `opening` closes."""
    depth = 0
    for token in TOKEN.finditer(source, opening):
        if token[0] == "{":
            depth += 1
        elif token[0] == "}":
            depth -= 1
            if depth == 0:
                return token.start()
    return len(source)


def without_tests(source):
    while found := TESTS.search(source):
        source = source[: found.start()] + source[closing(source, found.end() - 1) + 1 :]
    return source


def bodies(source):
    """The name and the lines of each function's body, less those of functions inside it."""
    pending = None
    for token in TOKEN.finditer(source):
        if token[0].startswith("fn"):
            pending = token[0].split()[1]
        elif pending and token[0] == ";":
            pending = None  # A declaration in a trait.
        elif pending and token[0] == "{":
            yield pending, source[token.end() : closing(source, token.start())].strip("\n").splitlines()
            pending = None


def page(folder):
    files = [
        path
        for path in sorted(Path(folder).rglob("*.rs"))
        if path.name != "tests.rs" and "tests" not in path.relative_to(folder).parts
    ]
    lens, widths, over_88, functions = {}, [], 0, []
    body = blank = comment = 0
    for path in files:
        source = without_tests(path.read_text())
        lines = source.splitlines()
        lens[path] = len(lines)
        widths += [len(line) for line in lines if line.strip()]
        over_88 += sum(len(line) > 88 for line in lines)
        for name, lines in bodies(source):
            functions.append((len(lines), name, path))
            if len(lines) > 12:
                body += len(lines)
                blank += sum(not line.strip() for line in lines)
                comment += sum(line.lstrip().startswith("//") for line in lines)
    if not files:
        sys.exit(f"{folder}: no Rust files")
    share = lambda part, whole: f"{100 * part / max(whole, 1):.1f} %"
    print(f"{folder}: {len(files)} files, {sum(lens.values())} lines")
    print(f"  median file {statistics.median(lens.values()):.0f} lines; over 400: ", end="")
    print(", ".join(f"{path} {len}" for path, len in lens.items() if len > 400) or "none")
    print(f"  functions over 70 lines: ", end="")
    print(", ".join(f"{name} {len}" for len, name, _ in functions if len > 70) or "none")
    print(f"  bodies of more than 12 lines: {share(blank, body)} blank, {share(comment, body)} comments")
    print(f"  mean width {statistics.mean(widths):.1f}; over 88 columns {share(over_88, len(widths))}")


for argument in sys.argv[1:] or ["."]:
    page(argument)
