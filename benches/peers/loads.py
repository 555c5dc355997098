"""What makes the load, behind one interface: `measure(shape, server)` plays a shape against a server that listens.

A load says when it is ready and nothing is in flight, and again when all is over and nothing is in flight; the server's
clock is read at these two points, and is that of all its threads, to the nanosecond (clock_getcpuclockid(3)).
"""

import os
import re
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

from contestants import FLOOR, compile_c

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
    """benches/floor/load.c."""

    name = "load.c"

    def __init__(self, cpu, seconds):
        self.cpu, self.seconds = cpu, seconds

    def build(self):
        compile_c("load")

    def measure(self, shape, wire, server):
        """Figures of one run by name: `us` of the server's CPU a unit; `rate`, units a second; `busy`, the load's share of
        its CPU; `others`, the share that other programs had of that or of the server's CPU, whichever is more. With an
        open loop also `p50`, `p99`, `p99_9` and `late` (the load's own p99), in us. Of an idle shape only `bytes` a
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
