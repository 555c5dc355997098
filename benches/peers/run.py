#!/usr/bin/env python3
"""tidegate beside the servers people know: the same echo, the same broadcast, the same load, in rounds that take turns.

    benches/peers/run.py                                     everything, about an hour
    benches/peers/run.py --shapes 'echo-*' --only bun        a part of it; the floor and tidegate are always among them
    benches/peers/run.py --shapes echo:ws:64x4096x4          a shape of one's own: KIND:WIRE:CONNECTIONSxPAYLOADxDEPTH
    benches/peers/run.py --tidegate old=/tmp/tidegate        another build as well
    benches/peers/run.py --vs 'mine=some-server {port}'      another server as well; also {url}, {wire}, {app}
    benches/peers/run.py --record                            the tables and plots of docs/BENCHMARKS.md too

Builds all of them first; one that cannot be built is named with the reason and left out. The server has one CPU to
itself and the load another. In each round every server plays the shape once, one right after the other, in an order of
that round's own, each with a fresh process; its ratio is to the C floor of the same round, so a slow minute of the
machine strikes all alike. The floor begins and ends a round: where it was not the same both times, the machine has
changed its pace in between, and the round is played again. Medians of the rounds are what is told. What is compared is
the server's CPU time a message: messages a second are bounded by the load too.
"""

import argparse
import random
import resource
import socket
import sys
import tempfile
import time
from datetime import date

import report
from contestants import ALL, TIDEGATE, Command, Tidegate, Unavailable
from loads import LoadBench, LoadC, LoadFailed, Server, start
from shapes import choose

SMOKE = ["echo-64", "open-1000", "fan-1k", "hub-1k", "handshake", "idle-ws", "len-64-16"]
ALWAYS = ("floor", "tidegate")
DISTURBED = 0.1  # of a CPU, by other programs: the measurement is taken again
DRIFTED = 0.04  # of the floor's figure, between both ends of a round: the round is played again


def main():
    options = read_options()
    contestants = chosen(options)
    loads = LoadBench(options.bench, options.load_cpu, options.seconds), LoadC(options.load_cpu, options.seconds)
    raise_descriptor_limit()
    absent = {} if options.no_build or options.tables else build(contestants, loads)
    if options.build:
        sys.exit(1 if any(name in absent for name in ALWAYS) else 0)
    if options.tables:
        return report.write_documents()
    failures = 0
    for shape in choose(options.shapes, options.text):
        players = [one for one in contestants if one.plays(shape)]
        load = choose_load(options, shape, players, *loads)
        result = play(options, shape, players, absent, load)
        failures += len(result["absent"])
        report.print_medians(shape, result, contestants)
        if options.record:
            report.record(shape, result, contestants, load.name)
    if options.record:
        report.write_documents()
    if options.smoke:
        stale = report.stale_documents()
        print(
            f"made anew, these would be others (--tables): {', '.join(stale)}"
            if stale
            else "\ntables and plots are up to date"
        )
        sys.exit(1 if failures or stale else 0)


def read_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--shapes", nargs="+", metavar="NAME", help="names, patterns, or written out; all of them without"
    )
    names = [one.name for one in ALL if one.name not in ALWAYS]
    parser.add_argument("--only", nargs="*", choices=names, metavar="SERVER", help="of " + ", ".join(names))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--seconds", type=float, default=2, help="of a measured run; before it there is half a second more"
    )
    parser.add_argument(
        "--tries", type=int, default=3, help="of a measurement or a round that is disturbed; the least so counts"
    )
    parser.add_argument("--text", action="store_true", help="text frames on WebSocket, instead of binary ones")
    parser.add_argument("--vs", action="append", default=[], metavar="NAME=CMD", help="another server as well")
    parser.add_argument("--tidegate", action="append", default=[], metavar="NAME=PROGRAM", help="another build as well")
    parser.add_argument("--load", choices=["bench", "c"], default="bench", help="bench: where it can; c: always load.c")
    parser.add_argument("--bench", default=TIDEGATE, metavar="PROGRAM", help="whose `bench` is the load")
    parser.add_argument("--server-cpu", type=int, default=0)
    parser.add_argument("--load-cpu", type=int, default=1)
    parser.add_argument("--build", action="store_true", help="build, and measure nothing")
    parser.add_argument("--no-build", action="store_true", help="take what was built before")
    parser.add_argument("--record", action="store_true", help="write docs/bench and the tables of docs/BENCHMARKS.md")
    parser.add_argument("--tables", action="store_true", help="only make these anew, from docs/bench/peers.json")
    parser.add_argument(
        "--smoke", action="store_true", help="a short run of floor and tidegate: does this script work?"
    )
    options = parser.parse_args()
    if options.smoke:
        options.only, options.rounds, options.tries, options.seconds = [], 1, 1, 0.3
        options.shapes = options.shapes or SMOKE
    return options


def chosen(options):
    wanted = [one for one in ALL if options.only is None or one.name in ALWAYS or one.name in options.only]
    others = [Tidegate(*pair(word)) for word in options.tidegate] + [Command(*pair(word)) for word in options.vs]
    return wanted + others


def pair(word):
    name, equals, value = word.partition("=")
    return (name, value) if equals else sys.exit(f"{word!r} is no NAME=VALUE")


def choose_load(options, shape, players, bench, cheapest):
    """One load for all servers of a shape: the product's where it can, unless another was asked for."""
    wires = {one.wire(one.load_shape(shape)) for one in players}
    return bench if options.load != "c" and bench.plays(shape, wires) else cheapest


def raise_descriptor_limit():
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def build(contestants, loads):
    """Why those that cannot play cannot."""
    loads[-1].build()
    absent = {}
    for one in contestants:
        try:
            one.build()
        except Unavailable as reason:
            absent[one.name] = str(reason)
            print(f"{one.title} is left out: {reason}", flush=True)
    return absent


def play(options, shape, contestants, absent, load):
    """All rounds of a shape: figures of each server a round, and why some have none."""
    absent = {one.name: absent[one.name] for one in contestants if one.name in absent}
    figures = {one.name: [] for one in contestants if one.name not in absent}
    print(f"\n{shape.name}: {shape.kind}, {shape.title}; the load is {load.name}", flush=True)
    for number in range(1, options.rounds + 1):
        tries = []
        while len(tries) < options.tries and not (tries and tries[-1][0] <= DRIFTED):
            order = [one for one in contestants if one.name not in absent]
            random.Random(f"{shape.name} {number}").shuffle(order)
            tries.append(play_round(options, shape, order, absent, load))
        _, taken = min(tries, key=lambda one: one[0])
        figures = {name: [*rounds, taken[name]] for name, rounds in figures.items() if name not in absent}
        report.print_round(number, shape, figures)
    return {"date": str(date.today()), "rounds": options.rounds, "figures": figures, "absent": absent}


def play_round(options, shape, order, absent, load):
    """Each server once, the floor at both ends: how far the floor's figures are apart, and all figures."""
    floor = [one for one in order if one.name == "floor"]
    again = floor if options.tries > 1 else []
    taken = {}
    for one in [*floor, *(one for one in order if one.name != "floor"), *again]:
        try:
            taken.setdefault(one.name, []).append(measure_undisturbed(options, one, shape, load))
        except (LoadFailed, OSError, Unavailable) as reason:
            absent[one.name] = str(reason)
            print(f"  {one.title} is left out: {reason}", flush=True)
    base = [figures[report.main_figure(shape)] for figures in taken.get("floor", [])] or [0]
    # Memory of idle connections may be none at all.
    return (max(base) - min(base)) / (max(base) or 1), {name: report.means(figures) for name, figures in taken.items()}


def measure_undisturbed(options, contestant, shape, load):
    """The first measurement that others left alone, or the one they disturbed the least."""
    taken = []
    for _ in range(options.tries):
        taken.append(measure(options, contestant, shape, load))
        if taken[-1].get("others", 0) <= DISTURBED:
            break
    return min(taken, key=lambda figures: figures.get("others", 0))


def measure(options, contestant, shape, load):
    """One server and one load from start to end."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="peers-") as folder, tempfile.TemporaryFile() as log:
        command = contestant.command(shape, port, folder)
        process = start(command, options.server_cpu, contestant.environment, stdout=log, stderr=log)
        try:
            wait_for(port, process, log)
            played = contestant.load_shape(shape)
            return load.measure(played, contestant.wire(played), Server(process, port, options.server_cpu))
        finally:
            process.kill()
            process.wait()


def wait_for(port, process, log):
    for _ in range(1000):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        if process.poll() is not None:
            break
        time.sleep(0.01)
    log.seek(0)
    words = log.read().decode(errors="replace").strip().splitlines() or ["no word"]
    raise Unavailable(f"it does not listen: {words[-1][:200]}")


def free_port():
    for _ in range(100):
        port = random.randrange(20000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    sys.exit("no free port found")


if __name__ == "__main__":
    main()
