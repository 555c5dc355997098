"""What run.py says: rounds and medians on the terminal, docs/bench/peers.json, and the tables of docs/BENCHMARKS.md.

Nothing here measures. The tables are made from peers.json alone, which holds every round.
"""

import json
import platform
import re
import subprocess
from pathlib import Path
from statistics import median

from contestants import ALL, ROOT, Unavailable
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


def ratios(figures, name, key="us"):
    """Of one server's rounds to the floor's."""
    floor = figures.get("floor", [])
    return [own[key] / base[key] for own, base in zip(figures[name], floor) if base[key] > 0]


def print_round(number, shape, figures):
    key = main_figure(shape)
    told = [f"{name} {in_digits(rounds[-1][key])}" for name, rounds in figures.items() if len(rounds) >= number]
    print(f"  round {number}: " + "  ".join(told), flush=True)


def print_medians(shape, result, contestants):
    key = main_figure(shape)
    what = f"bytes a {shape.unit}" if key == "bytes" else f"us a {shape.unit}"
    print(f"  {'':20} {what:>16} {'x floor':>8} {'rounds':>14} {'a second':>12} {'load busy':>9}  latency us")
    for one in contestants:
        rounds = result["figures"].get(one.name)
        if rounds:
            print(f"  {one.title:20} {median_row(shape, result['figures'], one.name)}", flush=True)
    if shape.limit:
        print(f"  tidegate means to stay under {shape.limit:.2f} x floor")


def median_row(shape, figures, name):
    key, rounds = main_figure(shape), figures[name]
    middle = {column: median(one[column] for one in rounds) for column in rounds[0]}
    row = f"{in_digits(middle[key]):>16}"
    times = ratios(figures, name, key)
    if times and shape.kind != "idle":
        row += f" {median(times):8.3f} {min(times):6.3f}..{max(times):.3f}"
    if "rate" in middle:
        row += f" {middle['rate']:>12,.0f} {middle['busy']:>9.0%}"
    if "p50" in middle:
        row += "  p50 {p50:.0f} p99 {p99:.0f} p99.9 {p99_9:.0f}; load late by {late:.0f}".format(**middle)
    return row


def record(shape, result, contestants, load):
    pass


def write_documents():
    pass
