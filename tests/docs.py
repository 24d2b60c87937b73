#!/usr/bin/env python3
"""docs/operations.md says what the programs say: its tables of settings and metrics are rendered from them. And whatever page
links to a file or a heading of this repository, it is there.

tests/docs.py BIN          fails when the page differs or a link leads nowhere, and says where
tests/docs.py BIN --write  writes the page
"""
import difflib
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/operations.md"
PROGRAMS = ["qiao-scheduler", "qiao-node", "qiaoctl", "qiao-load", "qiao-probe"]

HEAD = """# Operations

This page is rendered from the programs by `tests/docs.py build/bin --write`; a test fails when they differ.

Every setting is a flag, a variable (`QIAO_` and the name in capitals with `_` for `-`) and a line of a file
(`--config FILE`: `name = value`, with `_` for `-`). A file gives way to variables, and variables to flags.
"""


def metrics():
    text = (ROOT / "scheduler/scheduler.metric.def").read_text()
    rows = re.findall(r'^METRIC\((\w+),\s*(\w+),\s*"([^"]*)",\s*"([^"]*)"\)', text, re.M)
    assert len(rows) == text.count("\nMETRIC("), "a row of scheduler.metric.def could not be read"
    lines = ["| metric | kind | labels | what |", "| --- | --- | --- | --- |"]
    lines += [f"| `qiao_{name}` | {kind} | {labels or '—'} | {what} |" for kind, name, labels, what in rows]
    return "\n".join(lines)


def render(programs):
    parts = [HEAD]
    for name in PROGRAMS:
        table = subprocess.run([programs / name, "--help-markdown"], check=True, capture_output=True, text=True).stdout
        parts.append(f"\n## {name}\n\n{table}")
    parts.append(f"\n## Metrics of qiao-scheduler\n\n`GET /metrics`, Prometheus text.\n\n{metrics()}\n")
    return "".join(parts)


SKIPPED = {"build", "node_modules", ".git", ".cache", "var"}


def headings(page):
    """The names that a heading is linked by: lower case, blanks as hyphens, other signs left out."""
    titles = re.findall(r"^#+ (.*)", page.read_text(), re.M)
    return {re.sub(r"[^\w -]", "", title.strip().lower()).replace(" ", "-") for title in titles}


def broken_links():
    for page in sorted(ROOT.rglob("*.md")):
        if SKIPPED & set(page.relative_to(ROOT).parts):
            continue
        for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
            if re.match(r"[a-z]+:", link):
                continue
            path, _, heading = link.partition("#")
            target = page.parent / path if path else page
            if not target.exists() or (heading and heading not in headings(target)):
                yield f"{page.relative_to(ROOT)}: ({link}) leads nowhere"


def main():
    broken = list(broken_links())
    if broken:
        print("\n".join(broken))
        return 1
    page = render(pathlib.Path(sys.argv[1]).resolve())
    if "--write" in sys.argv[2:]:
        PAGE.write_text(page)
        return 0
    written = PAGE.read_text() if PAGE.exists() else ""
    if page == written:
        return 0
    sys.stdout.writelines(difflib.unified_diff(written.splitlines(True), page.splitlines(True), str(PAGE), "the programs"))
    print("docs/operations.md differs from the programs: tests/docs.py build/bin --write")
    return 1


sys.exit(main())
