#!/usr/bin/env python3
"""What tidegate costs beside the floor: server CPU time a message, in rounds that take turns.

Builds the programs in C with `cc -O2` into build/ and plays 64 connections x 64 bytes at depth 1 and 16 on each wire;
on ws also 1,000 connections, messages of 16 KiB, and handshakes. `--hub` plays publications to 1,000 and 10,000
subscribers of the hub beside a broadcast of as many bytes by the floor. The server is pinned to one CPU and the load to
another. CPU time is read from the server's own clock (see clock_getcpuclockid(3)), to the nanosecond and over all its
threads, while nothing is in flight. Each round runs the contestants one right after the other, and its ratio is of that
round alone, so a slow minute of the machine strikes both; the verdict is the median of the rounds' ratios. The same
holds for messages/s at depth 16 beside depth 1.
"""

import argparse
import os
import random
import re
import resource
import shlex
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
BUILD = HERE / "build"
TIDEGATE = os.environ.get("TIDEGATE", str(HERE.parents[1] / "target/release/tidegate"))
WIRES = {"raw": "raw", "line": "line", "len": "tcp", "ws": "ws"}  # the floor's name of a wire, and its URL's scheme
LIMITS = {"raw": 1.05, "line": 1.05, "len": 1.10, "ws": 1.05}


class Shape(NamedTuple):
    """What the load does: connections, payload bytes, messages under way on each of them or in each round; and what
    is counted: echoes, deliveries of a broadcast, or handshakes."""

    connections: int
    payload: int
    depth: int
    what: str = "echoes"

    def __str__(self):
        if self.what == "handshakes":
            return self.what
        depth = f" x {self.depth}" if self.depth > 1 else ""
        return f"{self.connections} x {self.payload} B{depth}"

    @property
    def is_fan_out(self):
        return self.what in ("deliveries", "publications")

    def count(self):
        """Of a run."""
        return 50_000 if self.what == "handshakes" else 3_000_000 if self.depth > 1 else 300_000

    def app(self):
        return {"deliveries": "broadcast", "publications": "hub"}.get(self.what, "echo")


SHAPES = [Shape(64, 64, 1), Shape(64, 64, 16)]
HANDSHAKES = Shape(64, 0, 1, "handshakes")
WS_SHAPES = [*SHAPES, Shape(1000, 64, 1), Shape(64, 16384, 1), HANDSHAKES]
BROADCASTS = [Shape(1 + receivers, 64, depth, "deliveries") for receivers in (1000, 10000) for depth in (1, 16)]
PUBLICATIONS = [Shape(1 + receivers, 128, depth, "publications") for receivers in (1000, 10000) for depth in (1, 16)]
# Around a publication's data, where the channel has a name of 8 bytes, the publisher a UUID and the offset 4 digits.
PUSH_BYTES = len('{"push":{"channel":"load:fan","pub":{"data":"","info":{"client":"","user":""},"offset":1234}}}') + 36
HUB_LIMIT = 1.10


def main():
    options = read_options()
    build()
    _, descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))
    print(f"connections x payload (x messages in flight); server CPU us a message, floor and {options.rival}")
    for wire in options.wire:
        shapes = shapes_of(options, wire)
        print(f"\n{wire}\n  round             shape    floor    rival    ratio   floor messages/s   rival messages/s")
        rounds = [play_round(options, wire, shapes, n) for n in range(1, options.rounds + 1)]
        conclude(wire, shapes, rounds)


def read_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--wire", nargs="+", choices=WIRES, default=list(WIRES))
    parser.add_argument("--depth", nargs="+", type=int, help="with this or the next two, these shapes alone")
    parser.add_argument("--connections", type=int)
    parser.add_argument("--payload", type=int)
    parser.add_argument("--handshakes", action="store_true", help="only these, and only on ws")
    parser.add_argument("--broadcast", action="store_true", help="one sends to 1,000 and 10,000 others; only on ws")
    parser.add_argument("--hub", action="store_true", help="publications to 1,000 and 10,000 subscribers; only on ws")
    parser.add_argument("--text", action="store_true", help="text frames on ws, instead of binary ones")
    parser.add_argument(
        "--messages", type=int, help="a run, instead of 300,000 at depth 1, 3,000,000 deeper, and 50,000 handshakes"
    )
    parser.add_argument("--server-cpu", type=int, default=0)
    parser.add_argument("--load-cpu", type=int, default=1)
    parser.add_argument(
        "--vs",
        metavar="CMD",
        help="another rival than tidegate; {port}, {wire} (raw, line, len, ws), {url} and {app} are filled in",
    )
    options = parser.parse_args()
    options.rival = options.vs or "tidegate"
    if options.handshakes or options.broadcast or options.hub:
        options.wire = ["ws"]
    return options


def shapes_of(options, wire):
    if options.handshakes or options.broadcast or options.hub:
        return BROADCASTS * options.broadcast + PUBLICATIONS * options.hub + [HANDSHAKES] * options.handshakes
    if options.depth or options.connections or options.payload:
        return [Shape(options.connections or 64, options.payload or 64, depth) for depth in options.depth or [1, 16]]
    return WS_SHAPES if wire == "ws" else SHAPES


def build():
    BUILD.mkdir(exist_ok=True)
    for program in ("echo", "ws_echo", "load"):
        source = HERE / f"{program}.c"
        subprocess.run(["cc", "-O2", "-Wall", "-Wextra", "-o", BUILD / program, source], check=True)


def play_round(options, wire, shapes, n):
    """Both contestants in every shape, printed. Returns a row of figures for each shape."""
    # Who goes first changes from round to round, so that neither always follows the other.
    order = ("floor", "rival") if n % 2 else ("rival", "floor")
    rows = {}
    for shape in shapes:
        figures = {who: measure(options, who, wire, shape) for who in order}
        (floor, floor_rate), (rival, rival_rate) = figures["floor"], figures["rival"]
        rows[shape] = (floor, rival, rival / floor, floor_rate, rival_rate)
        print_row(n, shape, rows[shape])
    return rows


def conclude(wire, shapes, rounds):
    for shape in shapes:
        most = HUB_LIMIT if shape.what == "publications" else LIMITS[wire]
        limit = f"   limit {most:.2f}" if shape.depth == 1 or wire == "ws" else ""
        print_row("median", shape, [median(column) for column in zip(*(rows[shape] for rows in rounds))], limit)
    if set(SHAPES) <= set(shapes):
        floor, rival = (median(rows[SHAPES[1]][n] / rows[SHAPES[0]][n] for rows in rounds) for n in (3, 4))
        print(f"  messages/s at depth 16, times those at depth 1: floor {floor:.1f}, rival {rival:.1f}")


def print_row(n, shape, row, note=""):
    floor, rival, ratio, *rates = row
    figures = f"{floor:8.4f} {rival:8.4f} {ratio:8.3f} {rates[0]:>18,.0f} {rates[1]:>18,.0f}"
    print(f"  {n:>6} {str(shape):>16} {figures}{note}", flush=True)


def measure(options, who, wire, shape):
    """One server and one load from start to end: CPU us of each, and how many a second."""
    port = free_port()
    with tempfile.TemporaryFile() as log:
        server = start(command(options, who, wire, shape, port), options.server_cpu, stdout=log, stderr=log)
        try:
            wait_for(port, server, log)
            return play(options, who, server.pid, wire, shape, port)
        finally:
            server.kill()
            server.wait()


def command(options, who, wire, shape, port):
    if who == "floor":
        broadcast = ["--broadcast"] if shape.is_fan_out else []
        return [BUILD / "ws_echo", str(port), *broadcast] if wire == "ws" else [BUILD / "echo", wire, str(port)]
    url = f"{WIRES[wire]}://127.0.0.1:{port}"
    if options.vs:
        return shlex.split(options.vs.format(port=port, wire=wire, url=url, app=shape.app()))
    hub = ["--config", HERE / "hub.toml"] if shape.app() == "hub" else []
    return [TIDEGATE, "serve", "--app", shape.app(), "--listen", url, *hub]


def play(options, who, server_pid, wire, shape, port):
    wanted = options.messages or shape.count()
    load_command = [BUILD / "load", wire, str(port), "--gate", *load_options(options, who, wire, shape)]
    load_command += ["--messages", str(wanted), "--warm-up", str(wanted // 10)]
    load = start(load_command, options.load_cpu, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        if load.stdout.readline() != "ready\n":
            sys.exit("the load did not get ready")
        before = cpu_ns(server_pid)
        load.stdin.write("go\n")
        load.stdin.flush()
        result = load.stdout.readline()
        used = cpu_ns(server_pid) - before
    finally:
        load.stdin.close()
        if load.wait(60) != 0:
            sys.exit("the load failed")
    count, rate = re.fullmatch(r"(\d+) \w+ in .* (\d+) \w+/s\n", result).groups()
    return used / 1000 / int(count), float(rate)


def load_options(options, who, wire, shape):
    connections = ["--connections", str(shape.connections)]
    if shape.what == "publications":
        depth = ["--depth", str(shape.depth)]
        # The floor sends as many bytes as a push has.
        alike = ["--payload", str(shape.payload + PUSH_BYTES), "--broadcast", "--text"]
        return [*connections, *depth, *(alike if who == "floor" else ["--payload", str(shape.payload), "--hub"])]
    if shape == HANDSHAKES:
        return [*connections, "--handshakes"]
    broadcast = ["--broadcast"] if shape.what == "deliveries" else []
    text = ["--text"] if options.text and wire == "ws" else []
    return [*connections, "--payload", str(shape.payload), "--depth", str(shape.depth), *broadcast, *text]


def start(command, cpu, **streams):
    return subprocess.Popen(command, preexec_fn=lambda: os.sched_setaffinity(0, {cpu}), **streams)


def wait_for(port, server, log):
    for _ in range(500):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        if server.poll() is not None:
            break
        time.sleep(0.01)
    log.seek(0)
    sys.exit(f"the server does not listen:\n{log.read().decode()}")


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


def cpu_ns(pid):
    """CPU time of all threads of a process."""
    return time.clock_gettime_ns(~pid << 3 | 2)


if __name__ == "__main__":
    main()
