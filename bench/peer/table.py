"""Figures as rows, and rows as a table."""
import datetime
import json
import os
import pathlib
import statistics
import subprocess
import time

from peer import engine

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BUSY = 0.1  # share of the cores that others may take


def row(name, shape, kind, figures, settings, roofline, unit="tok/s", better="more"):
    """`figures`: side -> one number a round; the first side is ours."""
    sides = {side: {"median": statistics.median(values), "least": min(values), "most": max(values), "rounds": values}
             for side, values in figures.items()}
    ours, *peers = sides
    ratios = {peer: ratio(sides[ours], sides[peer]) for peer in peers}
    return {"row": name, "shape": shape, "type": kind, "unit": unit, "better": better, "sides": sides, "ratios": ratios,
            "settings": settings, "roofline": roofline}


def ratio(ours, theirs):
    """Of the medians, and the range of the rounds' own ratios."""
    each = [mine / other for mine, other in zip(ours["rounds"], theirs["rounds"]) if other]
    return {"median": ours["median"] / theirs["median"] if theirs["median"] else None,
            "least": min(each, default=None), "most": max(each, default=None)}


def busy(seconds=2):
    """The share of the cores' time that others take while we wait."""
    def times():
        with open("/proc/stat", encoding="utf-8") as file:
            spent = [int(text) for text in file.readline().split()[1:9]]
        return sum(spent), spent[3] + spent[4]  # all; idle and waiting for a disk
    before = times()
    time.sleep(seconds)
    after = times()
    return 1 - (after[1] - before[1]) / max(1, after[0] - before[0])


def machine(flags):
    """What the row's fractions are of, and what a reader must know."""
    cpu = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo", encoding="utf-8") if line.startswith("model name")),
               "unknown")
    features = next((line for line in open("/proc/cpuinfo", encoding="utf-8") if line.startswith("flags")), "").split()
    taken = busy()
    commit = subprocess.run(["git", "-C", ROOT, "describe", "--always", "--dirty"], capture_output=True, text=True, check=False)
    report = json.loads(engine.run([flags.bin / "qiao-probe", "machine", "--threads", flags.threads, "--json"]))
    return {"date": datetime.date.today().isoformat(), "cpu": cpu, "cores": os.cpu_count(), "threads": flags.threads,
            "amx": "amx_int8" in features, "busy": taken, "commit": commit.stdout.strip() or "unknown",
            "best_per_s": report[0]["best_per_s"], "ways": report[0]["ways"]}


def number(value):
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def side_text(side):
    return f"{number(side['median'])} ({number(side['least'])}–{number(side['most'])})"


def ratio_text(found):
    if found["median"] is None:
        return "—"
    spread = f" ({found['least']:.2f}–{found['most']:.2f})" if found["least"] is not None else ""
    return f"{found['median']:.2f}×{spread}"


def line(entry):
    sides = "  ".join(f"{name} {side_text(side)}" for name, side in entry["sides"].items())
    ratios = "  ".join(ratio_text(found) for found in entry["ratios"].values())
    return f"{entry['shape']} {entry['type']} {entry['row']}: {sides} {entry['unit']}  {ratios}"


def roofline_text(entry, facts):
    """Which limit holds depends on the row: show the one that is nearer."""
    found = entry["roofline"]
    if not found:
        return "—"
    speed = next(iter(entry["sides"].values()))["median"]
    best = facts["best_per_s"]
    read = speed * found["bytes_per_token"] / best["read"] if best["read"] else 0
    peak = speed * found["operations_per_token"] / best[found["peak"]] if best[found["peak"]] else 0
    return f"{read:.0%} of read, {peak:.0%} of {found['peak']}"


def render(facts, rows, flags):
    peers = list(dict.fromkeys(peer for entry in rows for peer in entry["ratios"]))
    head = ["shape", "type", "row", "qiao", *[text for peer in peers for text in (peer, "ratio")], "limit reached"]
    out = [f"## {facts['date']}, {facts['commit']}", "",
           f"{facts['cpu']}, {facts['cores']} cores{', AMX' if facts['amx'] else ''}; {facts['threads']} threads; "
           f"{flags.rounds} rounds ({flags.server_rounds} of the servers).", ""]
    if facts["busy"] > BUSY:
        out += [f"**Others took {facts['busy']:.0%} of the cores: no figures to quote.**", ""]
    ways = "; ".join(f"{way['kind']} {way['way']} {way['per_s'] / 1e9:.0f} {'GB/s' if way['kind'] == 'read' else 'GOP/s'}"
                     for way in facts["ways"])
    out += [f"Machine: {ways}.", "", "| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for entry in rows:
        cells = [entry["shape"], entry["type"], f"{entry['row']}, {entry['unit']}", side_text(next(iter(entry["sides"].values())))]
        for peer in peers:
            there = peer in entry["ratios"]
            cells += [side_text(entry["sides"][peer]), ratio_text(entry["ratios"][peer])] if there else ["—", "—"]
        out.append("| " + " | ".join([*cells, roofline_text(entry, facts)]) + " |")
    settings = {}
    for entry in rows:
        for peer, setting in entry["settings"].items():
            settings.setdefault((peer, setting), []).append(f"{entry['shape']} {entry['type']} {entry['row']}")
    out += ["", "Peers' settings:", ""]
    out += [f"- {peer} `{setting}`: {', '.join(where)}" for (peer, setting), where in settings.items()]
    return "\n".join(out) + "\n"
