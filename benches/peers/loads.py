"""What makes the load, behind one interface: `measure(shape, wire, server)` plays a shape against a listening server.

There are two, which check each other: `tidegate bench`, which anybody has who has tidegate, and load.c of the floor,
which is the cheapest and speaks more wires.
"""

import functools
import json
import os
import re
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

from contestants import FLOOR, SCHEMES, compile_c

WARM_UP_SECONDS = 0.5


class LoadFailed(Exception):
    """The load saw something wrong, or did not get through; its words."""


class Server:
    """A running process, where it listens, and the CPU that it has."""

    def __init__(self, process, port, cpu):
        self.pid, self.port, self.cpu = process.pid, port, cpu

    def rss_anon(self):
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"RssAnon:\s+(\d+) kB", status)[1]) * 1024


class Clocks:
    """CPU time in seconds so far: the server's, the load's, and that of everybody on their CPUs."""

    def __init__(self, server, load, load_cpu):
        self.at = time.monotonic()
        self.server, self.load = cpu_seconds(server.pid), cpu_seconds(load.pid)
        self.on_server_cpu, self.on_load_cpu = busy_seconds(server.cpu), busy_seconds(load_cpu)

    def since(self, before):
        took = self.at - before.at
        server, load = self.server - before.server, self.load - before.load
        beside_server = self.on_server_cpu - before.on_server_cpu - server
        beside_load = self.on_load_cpu - before.on_load_cpu - load
        return {"server": server, "busy": load / took, "others": max(0, beside_server, beside_load) / took}


class LoadC:
    """benches/floor/load.c.

    It says when it is ready and nothing is in flight, and again when all is over and nothing is in flight; the server's
    clock is read at these two points, and is that of all its threads, to the nanosecond (clock_getcpuclockid(3)).
    """

    name = "load.c"

    def __init__(self, cpu, seconds):
        self.cpu, self.seconds = cpu, seconds

    def build(self):
        compile_c("load")

    def plays(self, shape, wires):
        return True

    def measure(self, shape, wire, server):
        """Figures of one run by name: `us` of the server's CPU a unit; `rate`, units a second; `busy`, the load's share
        of its CPU; `others`, the share that other programs had of that or of the server's CPU, whichever is more. With
        an open loop also `p50`, `p99`, `p99_9` and `late` (the load's own p99), in us. Of an idle shape only `bytes` a
        connection."""
        if shape.kind == "idle":
            return self.measure_idle(shape, wire, server)
        with self.started(self.options(shape, wire, server)) as load:
            before = Clocks(server, load, self.cpu)
            load.tell()
            count, rate = re.fullmatch(r"(\d+) \w+ in .* (\d+) \w+/s\n", load.hear()).groups()
            used = Clocks(server, load, self.cpu).since(before)
            figures = {"us": used.pop("server") * 1e6 / int(count), "rate": float(rate), **used}
            return {**figures, **(self.latencies(load.hear()) if shape.kind == "open" else {})}

    def options(self, shape, wire, server):
        common = [wire, server.port, "--gate", "--connections", shape.connections]
        if shape.kind == "handshake":
            wanted = ["--handshakes"]
        else:
            wanted = ["--payload", shape.payload, "--depth", shape.depth]
            wanted += {"broadcast": ["--broadcast"], "hub": ["--broadcast"], "open": ["--rate", shape.rate]}.get(
                shape.kind, []
            )
        wanted += ["--hub"] if wire == "ws" and shape.wire == "hub" else ["--text"] if shape.text else []
        return [*common, *wanted, "--seconds", self.seconds, "--warm-up-seconds", WARM_UP_SECONDS]

    def measure_idle(self, shape, wire, server):
        hub = ["--hub"] if wire == "ws" and shape.wire == "hub" else []
        alone = ["--broadcast"] if wire in ("redis", "nats") else []
        options = [wire, server.port, "--gate", "--payload", shape.payload, "--messages", 0, *hub, *alone]
        # What a server takes once, for its first connections, is none of theirs. Each gets a message before it is idle.
        with self.started([*options, "--connections", 64, "--warm-up", 64]):
            pass
        time.sleep(0.5)
        before = server.rss_anon()
        with self.started([*options, "--connections", shape.connections, "--warm-up", shape.connections]):
            time.sleep(1)
            return {"bytes": (server.rss_anon() - before) / shape.connections}

    @staticmethod
    def latencies(line):
        numbers = re.fullmatch(r"latency us: p50 (\S+) p99 (\S+) p99.9 (\S+) max \S+; .* by p50 \S+ p99 (\S+)\n", line)
        return dict(zip(("p50", "p99", "p99_9", "late"), map(float, numbers.groups())))

    @contextmanager
    def started(self, options):
        load = Load([FLOOR / "build/load", *options], self.cpu)
        try:
            if load.hear() != "ready\n":
                raise LoadFailed("the load did not get ready")
            yield load
        finally:
            load.end()


class LoadBench:
    """`tidegate bench`, which reads the server's clock by itself over exactly what it measures."""

    name = "tidegate bench"
    COMMANDS = {"echo": "echo", "open": "echo", "broadcast": "fanout", "hub": "fanout", "handshake": "storm"}
    PATHS = {"hub": "/connection/websocket"}

    def __init__(self, program, cpu, seconds):
        self.program, self.cpu, self.seconds = program, cpu, seconds

    @functools.cached_property
    def commands(self):
        """What this build of tidegate has."""
        try:
            told = subprocess.run([self.program, "bench", "--help"], capture_output=True, text=True, check=True).stdout
        except (OSError, subprocess.CalledProcessError):
            return set()
        return set(re.findall(r"^  ([a-z]+) ", told, re.MULTILINE))

    def plays(self, shape, wires):
        return set(wires) <= set(SCHEMES) and self.COMMANDS.get(shape.kind) in self.commands

    def measure(self, shape, wire, server):
        """As LoadC's."""
        words = [self.program, "bench", self.COMMANDS[shape.kind], self.url(shape, wire, server), *self.options(shape)]
        words += ["--warm-up", milliseconds(WARM_UP_SECONDS), "--duration", milliseconds(self.seconds)]
        words += ["--server-pid", server.pid, "--json", "--quiet"]
        with tempfile.TemporaryFile() as complaints:
            load = start(words, self.cpu, stdout=subprocess.PIPE, stderr=complaints)
            before = Clocks(server, load, self.cpu)
            told = load.stdout.read()
            # Its clock can be read until somebody has waited for it.
            os.waitid(os.P_PID, load.pid, os.WEXITED | os.WNOWAIT)
            used = Clocks(server, load, self.cpu).since(before)
            if load.wait():
                complaints.seek(0)
                raise LoadFailed(complaints.read().decode().strip() or f"bench ended with {load.returncode}")
        return self.figures(shape, json.loads(told), used)

    def url(self, shape, wire, server):
        return f"{SCHEMES[wire]}://127.0.0.1:{server.port}{self.PATHS.get(shape.wire, '/') if wire == 'ws' else ''}"

    def options(self, shape):
        if shape.kind == "handshake":
            return ["--concurrency", shape.connections]
        fanout = shape.kind in ("broadcast", "hub")
        channel = ["--channel", "load:fan"] if shape.kind == "hub" else []
        text = ["--text"] if shape.text else []
        pace = ["--rate", shape.rate] if shape.rate else ["--depth", shape.depth]
        return ["--connections", shape.connections - fanout, "--size", shape.payload, *pace, *channel, *text]

    def figures(self, shape, told, used):
        figures = {"us": told["server"]["cpu_us_per_message"], "rate": told["rate"], "busy": told["load"]["busy"]}
        figures["others"] = used["others"]
        if shape.kind == "open":
            latencies, late = told["latency_us"], told["load"]["late_us"]
            figures |= {key: latencies[key] for key in ("p50", "p99", "p99_9")} | {"late": late["p99"]}
        return figures


def milliseconds(seconds):
    return f"{round(seconds * 1000)}ms"


class Load:
    """A running load, spoken with by lines."""

    def __init__(self, command, cpu):
        self.process = start(command, cpu, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.pid = self.process.pid

    def tell(self):
        self.process.stdin.write(b"go\n")
        self.process.stdin.flush()

    def hear(self):
        line = self.process.stdout.readline().decode()
        if not line:
            raise LoadFailed(self.process.stderr.read().decode().strip() or "the load gave up without a word")
        return line

    def end(self):
        self.process.stdin.close()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def start(command, cpu, environment=None, **streams):
    words = list(map(str, command))
    environment = {**os.environ, **(environment or {})}
    return subprocess.Popen(words, preexec_fn=lambda: os.sched_setaffinity(0, {cpu}), env=environment, **streams)


def cpu_seconds(pid):
    """CPU time of all threads of a process, to the nanosecond."""
    return time.clock_gettime_ns(~pid << 3 | 2) / 1e9


def busy_seconds(cpu):
    """What a CPU has worked for anybody, in steps of the kernel's tick."""
    line = re.search(rf"^cpu{cpu} (.*)", Path("/proc/stat").read_text(), re.MULTILINE)[1]
    user, nice, system, _idle, _waiting, interrupts, soft_interrupts, stolen, *_ = map(int, line.split())
    return (user + nice + system + interrupts + soft_interrupts + stolen) / os.sysconf("SC_CLK_TCK")
