"""What run.py says: rounds and medians on the terminal, docs/bench/peers.json, and the tables of docs/BENCHMARKS.md.

Nothing here measures. Tables and plots are made from peers.json alone, which holds every round.
"""

import json
import platform
import re
import subprocess
from pathlib import Path
from statistics import mean, median

import plot
from contestants import ALL, ROOT
from shapes import SHAPES

RESULTS = ROOT / "docs/bench/peers.json"
DOCUMENT = ROOT / "docs/BENCHMARKS.md"


def main_figure(shape):
    return "bytes" if shape.kind == "idle" else "us"


def in_digits(value):
    """Three significant digits, and no fraction of a large number."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 1 else f"{value:.3f}"


def medians(rounds):
    return {column: median(one[column] for one in rounds) for column in rounds[0]}


def means(rounds):
    return {column: mean(one[column] for one in rounds) for column in rounds[0]}


def ratios(figures, name, key="us"):
    """Of a server's rounds to the floor's of the same rounds."""
    return [own[key] / base[key] for own, base in zip(figures[name], figures.get("floor", [])) if base[key] > 0]


# The terminal.


def print_round(number, shape, figures):
    key = main_figure(shape)
    told = [f"{name} {in_digits(rounds[-1][key])}" for name, rounds in figures.items() if len(rounds) >= number]
    print(f"  round {number}: " + "  ".join(told), flush=True)


def print_medians(shape, result, contestants):
    what = f"{'bytes' if shape.kind == 'idle' else 'us'} a {shape.unit}"
    print(f"  {'':20} {what:>18} {'x floor':>8} {'rounds':>14} {'a second':>12} {'load busy':>9} {'others':>7}")
    for one in contestants:
        if result["figures"].get(one.name):
            print(f"  {one.title:20} {median_row(shape, result['figures'], one.name)}", flush=True)
    if shape.limit:
        print(f"  tidegate means to stay under {shape.limit:.2f} x floor")


def median_row(shape, figures, name):
    middle, times = medians(figures[name]), ratios(figures, name, main_figure(shape))
    row = f"{in_digits(middle[main_figure(shape)]):>18}"
    if times and shape.kind != "idle":
        row += f" {median(times):8.3f} {min(times):6.3f}..{max(times):.3f}"
    if "rate" in middle:
        row += f" {middle['rate']:>12,.0f} {middle['busy']:>9.0%} {middle['others']:>7.0%}"
    if "p50" in middle:
        row += "  latency us: p50 {p50:.0f} p99 {p99:.0f} p99.9 {p99_9:.0f}; load late by {late:.0f}".format(**middle)
    return row


# docs/bench/peers.json.


def read_results():
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else {"shapes": {}, "versions": {}}


def record(shape, result, contestants, load):
    """Puts a shape's rounds in the place of what was there before."""
    results = read_results()
    results["machine"] = machine()
    listed = {one.name for one in ALL}
    ran = [one for one in contestants if one.name in listed and one.name in result["figures"]]
    results["versions"].update({one.name: one.version() for one in ran})
    result["figures"] = {one.name: [rounded(figures) for figures in result["figures"][one.name]] for one in ran}
    results["shapes"][shape.name] = {**result, "load": load, "commit": commit()}
    known = {one.name: None for one in SHAPES}
    results["shapes"] = {name: results["shapes"][name] for name in known if name in results["shapes"]}
    RESULTS.parent.mkdir(exist_ok=True)
    # A round of a server is a line.
    text = re.sub(
        r"\{\s+(\"(?:us|bytes)\"[^{}]*?)\s+\}",
        lambda one: "{" + re.sub(r"\s+", " ", one[1]) + "}",
        json.dumps(results, indent=1),
    )
    RESULTS.write_text(text + "\n")


def rounded(figures):
    return {key: float(f"{value:.5g}") for key, value in figures.items()}


def machine():
    cpus = Path("/proc/cpuinfo").read_text()
    model = re.search(r"model name\s*: (.*)", cpus)
    virtual = ", virtual" if re.search(r"^flags.* hypervisor", cpus, re.MULTILINE) else ""
    cores = cpus.count("processor\t")
    name = model[1].strip() if model else platform.machine()
    return f"{name}, {cores} CPUs{virtual}, Linux {platform.release().split('-')[0]}"


def commit():
    """The last one that changed the product."""

    def git(*words):
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()

    product = ["--", "src", "Cargo.lock"]
    changed = git("status", "--porcelain", *product)
    return git("log", "-1", "--abbrev=8", "--format=%h", *product) + (" and changes" if changed else "")


# The tables.


class Table:
    """A block of the document: servers are rows, shapes are columns."""

    def __init__(self, name, shapes, results):
        found = {one.name: one for one in SHAPES}
        self.name = name
        self.shapes = [found[one] for one in shapes if one in results["shapes"]]
        self.missing = [found[one].title for one in shapes if one not in results["shapes"]]
        self.results = results["shapes"]

    def rows(self):
        plays = [
            one
            for one in ALL
            if any(one.name in self.figures(shape) or self.absence(shape, one) for shape in self.shapes)
        ]
        return [(one, [self.cell(shape, one) for shape in self.shapes]) for one in plays]

    def figures(self, shape):
        return self.results[shape.name]["figures"]

    def absence(self, shape, one):
        return self.results[shape.name]["absent"].get(one.name)

    def middle(self, shape, one):
        rounds = self.figures(shape).get(one.name)
        return medians(rounds) if rounds else None

    def cell(self, shape, one):
        middle = self.middle(shape, one)
        if not middle:
            return "none" if self.absence(shape, one) else ""
        text, times = in_digits(middle[main_figure(shape)]), ratios(self.figures(shape), one.name, main_figure(shape))
        return text if one.name == "floor" or shape.kind == "idle" or not times else f"{text} ({median(times):.2f})"

    def caption(self):
        ran = [self.results[shape.name] for shape in self.shapes]
        dates = sorted({one["date"] for one in ran})
        commits = sorted({one["commit"] for one in ran})
        rounds = sorted({one["rounds"] for one in ran})
        day = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
        others = [
            one["others"] for shape in ran for rounds in shape["figures"].values() for one in rounds if "others" in one
        ]
        load = " and ".join(sorted({one["load"] for one in ran}))
        words = (
            f"Medians of {' to '.join(map(str, rounds))} rounds, {day}; tidegate at {', '.join(commits)}, load {load}."
        )
        if others:
            words += f" Other programs took {median(others):.0%} of a CPU meanwhile, at most {max(others):.0%}."
        if self.missing:
            words += f" Not measured yet: {'; '.join(self.missing)}."
        return " ".join([words, *self.reasons()])

    def reasons(self):
        for one in ALL:
            reasons = {self.absence(shape, one) for shape in self.shapes} - {None}
            for reason in sorted(reasons):
                yield f"{one.title}, none: {reason}."

    def markdown(self):
        unit = self.shapes[0].unit
        what = "bytes" if self.name == "idle" else f"us a {unit} (times the floor's)"
        head = [what, *(shape.title for shape in self.shapes)]
        lines = [head, ["---"] * len(head), *([one.title, *cells] for one, cells in self.rows())]
        return table(lines)

    def plotted(self):
        panels = []
        for shape in self.shapes:
            values = [(one.title, one.name, self.middle(shape, one)) for one in ALL]
            bars = [(title, name, middle[main_figure(shape)]) for title, name, middle in values if middle]
            panels.append((shape.title, [(title, name, value, in_digits(value)) for title, name, value in bars]))
        return panels


class LatencyTable(Table):
    """Of one shape: figures are columns."""

    COLUMNS = {"p50": "p50 us", "p99": "p99 us", "p99_9": "p99.9 us"}

    def markdown(self):
        shape = self.shapes[0]
        lines = [[shape.title, "server CPU us a message", *self.COLUMNS.values()]]
        lines.append(["---"] * len(lines[0]))
        for one, (cell,) in self.rows():
            middle = self.middle(shape, one)
            lines.append([one.title, cell, *(in_digits(middle[key]) if middle else "none" for key in self.COLUMNS)])
        return table(lines)

    def plotted(self):
        shape, panels = self.shapes[0], super().plotted()
        for key, title in self.COLUMNS.items():
            values = [(one, self.middle(shape, one)) for one in ALL]
            panels.append((title, [(one.title, one.name, m[key], in_digits(m[key])) for one, m in values if m]))
        return [("server CPU us", panels[0][1]), *panels[1:]]


def table(lines):
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


TABLES = {
    "echo": (
        Table,
        "WebSocket echo, server CPU in us a message",
        ["echo-64", "echo-1000", "echo-64-16", "echo-64-16k"],
    ),
    "open": (LatencyTable, "20,000 messages a second, 1,000 connections", ["open-1000"]),
    "broadcast": (Table, "Broadcast, server CPU in us a delivery", ["fan-1k", "fan-10k", "fan-1k-16", "fan-10k-16"]),
    "hub": (
        Table,
        "A channel's publications, server CPU in us a delivery",
        ["hub-1k", "hub-10k", "hub-1k-16", "hub-10k-16"],
    ),
    "handshake": (Table, "WebSocket handshakes, server CPU in us", ["handshake"]),
    "idle": (Table, "Memory of an idle connection, bytes", ["idle-plain", "idle-ws", "idle-hub"]),
    "plain": (
        Table,
        "Plain wires, server CPU in us a message",
        ["raw-64", "line-64", "len-64", "raw-64-16", "line-64-16", "len-64-16"],
    ),
}


def documents():
    """The blocks of docs/BENCHMARKS.md between their markers, and a plot of each beside it: texts by path."""
    results, text, files = read_results(), DOCUMENT.read_text(), {}
    for name, (kind, title, shapes) in TABLES.items():
        block = kind(name, shapes, results)
        if not block.shapes:
            continue
        files[RESULTS.parent / f"{name}.svg"] = plot.svg(title, block.plotted())
        text = put(text, name, f"{block.markdown()}\n\n{block.caption()}\n\n![{title}](bench/{name}.svg)")
    return {**files, DOCUMENT: put(text, "versions", versions(results))}


def write_documents():
    for path, text in documents().items():
        path.write_text(text)


def stale_documents():
    """What does not say what docs/bench/peers.json does."""
    return [path.name for path, text in documents().items() if not path.exists() or path.read_text() != text]


def versions(results):
    lines = [["server", "version"], ["---", "---"]]
    lines += [[one.title, results["versions"][one.name]] for one in ALL if one.name in results["versions"]]
    return f"Machine: {results['machine']}.\n\n{table(lines)}"


def put(text, name, block):
    begin, end = f"<!-- {name}: made by benches/peers/run.py -->", f"<!-- end of {name} -->"
    found = re.compile(rf"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if not found.search(text):
        raise SystemExit(f"docs/BENCHMARKS.md has no place for {name}: {begin} {end}")
    return found.sub(lambda _: f"{begin}\n{block}\n{end}", text)
