#!/usr/bin/env python3
"""What tidegate costs beside the floor: server CPU time a message, in rounds that take turns.

Builds echo.c and load.c with `cc -O2` into build/ and plays 64 connections x 64 bytes at depth 1 and 16 on each wire.
The server is pinned to one CPU and the load to another. CPU time is read from the server's own clock (see
clock_getcpuclockid(3)), to the nanosecond and over all its threads, while nothing is in flight. Each round runs the
contestants one right after the other, and its ratio is of that round alone, so a slow minute of the machine strikes
both; the verdict is the median of the rounds' ratios. The same holds for messages/s at depth 16 beside depth 1.
"""

import argparse
import os
import random
import re
import shlex
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

HERE = Path(__file__).resolve().parent
BUILD = HERE / "build"
TIDEGATE = os.environ.get("TIDEGATE", str(HERE.parents[1] / "target/release/tidegate"))
WIRES = {"raw": "raw", "line": "line", "len": "tcp"}  # the floor's name for a wire, and the scheme of its URL
LIMITS = {"raw": 1.05, "line": 1.05, "len": 1.10}
MESSAGES = {1: 300_000, 16: 3_000_000}


def main():
    options = read_options()
    build()
    shape = f"{options.connections} connections x {options.payload} bytes"
    print(f"{shape}; server CPU us a message, floor and {options.rival}")
    for wire in options.wire:
        print(f"\n{wire}\n  round depth    floor    rival    ratio   floor messages/s   rival messages/s")
        rounds = [play_round(options, wire, n) for n in range(1, options.rounds + 1)]
        conclude(options, wire, rounds)


def read_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--wire", nargs="+", choices=WIRES, default=list(WIRES))
    parser.add_argument("--depth", nargs="+", type=int, default=[1, 16])
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--payload", type=int, default=64)
    parser.add_argument("--messages", type=int, help="a run, instead of 300,000 at depth 1 and 3,000,000 deeper")
    parser.add_argument("--server-cpu", type=int, default=0)
    parser.add_argument("--load-cpu", type=int, default=1)
    parser.add_argument(
        "--vs",
        metavar="CMD",
        help="another rival than tidegate; {port}, {wire} (raw, line, len) and {url} are filled in",
    )
    options = parser.parse_args()
    options.rival = options.vs or "tidegate"
    return options


def build():
    BUILD.mkdir(exist_ok=True)
    for program in ("echo", "load"):
        source = HERE / f"{program}.c"
        subprocess.run(["cc", "-O2", "-Wall", "-Wextra", "-o", BUILD / program, source], check=True)


def play_round(options, wire, n):
    """Both contestants at every depth, printed. Returns a row of figures for each depth."""
    # Who goes first changes from round to round, so that neither always follows the other.
    order = ("floor", "rival") if n % 2 else ("rival", "floor")
    rows = {}
    for depth in options.depth:
        figures = {who: measure(options, who, wire, depth) for who in order}
        (floor, floor_rate), (rival, rival_rate) = figures["floor"], figures["rival"]
        rows[depth] = (floor, rival, rival / floor, floor_rate, rival_rate)
        print_row(n, depth, rows[depth])
    return rows


def conclude(options, wire, rounds):
    for depth in options.depth:
        limit = f"   limit {LIMITS[wire]:.2f}" if depth == 1 else ""
        print_row("median", depth, [median(column) for column in zip(*(rows[depth] for rows in rounds))], limit)
    if {1, 16} <= set(options.depth):
        floor, rival = (median(rows[16][n] / rows[1][n] for rows in rounds) for n in (3, 4))
        print(f"  messages/s at depth 16, times those at depth 1: floor {floor:.1f}, rival {rival:.1f}")


def print_row(n, depth, row, note=""):
    floor, rival, ratio, *rates = row
    figures = f"{floor:8.4f} {rival:8.4f} {ratio:8.3f} {rates[0]:>18,.0f} {rates[1]:>18,.0f}"
    print(f"  {n:>6} {depth:>4} {figures}{note}", flush=True)


def measure(options, who, wire, depth):
    """One server and one load from start to end: CPU us a message and messages/s."""
    port = free_port()
    count = options.messages or MESSAGES[16 if depth > 1 else 1]
    with tempfile.TemporaryFile() as log:
        server = start(command(options, who, wire, port), options.server_cpu, stdout=log, stderr=log)
        try:
            wait_for(port, server, log)
            return play(options, server.pid, wire, depth, port, count)
        finally:
            server.kill()
            server.wait()


def command(options, who, wire, port):
    if who == "floor":
        return [BUILD / "echo", wire, str(port)]
    url = f"{WIRES[wire]}://127.0.0.1:{port}"
    if options.vs:
        return shlex.split(options.vs.format(port=port, wire=wire, url=url))
    return [TIDEGATE, "serve", "--app", "echo", "--listen", url]


def play(options, server_pid, wire, depth, port, count):
    arguments = {"connections": options.connections, "payload": options.payload, "depth": depth, "messages": count}
    load_command = [BUILD / "load", wire, str(port), "--gate", "--warm-up", str(count // 10)]
    for name, value in arguments.items():
        load_command += [f"--{name}", str(value)]
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
    return used / 1000 / count, float(re.search(r"(\d+) messages/s", result)[1])


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
