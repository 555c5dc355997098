"""`tidegate connect` survives a server that is killed and started again five times.

It is back each time, may wait longer from attempt to attempt while the server is away, and sends what was typed
meanwhile once. As a person has it, for a minute or two: --backoff-min 1 --backoff-max 30.
"""

import argparse
import re
import subprocess
import tempfile
import time
from contextlib import ExitStack

from harness import TIDEGATE, Server, clean_environment, descriptors, free_port, run, wait_until

KILLS = 5
UNITS = {"ms": 0.001, "s": 1, "m": 60}


class Client:
    """A `tidegate connect`, with what it printed so far."""

    def __init__(self, url, options, output):
        self.output = output
        command = [TIDEGATE, "connect", url]
        command += ["--backoff-min", f"{options.backoff_min * 1000:.0f}ms"]
        command += ["--backoff-max", f"{options.backoff_max * 1000:.0f}ms"]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=output, stderr=output, env=clean_environment()
        )

    def type(self, line):
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def text(self):
        with open(self.output.name, encoding="utf-8", errors="replace") as text:
            return text.read()

    def count(self, word):
        return len(re.findall(rf"(?<!\w){re.escape(word)}\b", self.text()))

    def wait_count(self, word, count, seconds):
        assert wait_until(lambda: self.count(word) >= count, seconds, 0.05), f"no {word!r} number {count}"

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()


def announced_waits(text):
    """The seconds of each "next attempt in", such as 850ms, 1.2s or 1s 200ms."""
    waits = []
    for told in re.findall(r"next attempt in ((?:[\d.]+ ?(?:ms|s|m)\b ?)+)", text):
        waits.append(sum(float(n) * UNITS[unit] for n, unit in re.findall(r"([\d.]+) ?(ms|s|m)\b", told)))
    return waits


def main(proof):
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--backoff-min", type=float, default=0.25, metavar="SECONDS")
    arguments.add_argument("--backoff-max", type=float, default=8, metavar="SECONDS")
    options = arguments.parse_args()

    url = f"line://127.0.0.1:{free_port()}"
    with ExitStack() as stack:
        server = stack.enter_context(Server(url))
        client = Client(url, options, stack.enter_context(tempfile.NamedTemporaryFile()))
        stack.callback(client.stop)
        client.wait_count("connected", 1, 5)
        client.type("at first")
        client.wait_count("< at first", 1, 5)
        held = descriptors(client.process.pid)
        for n in range(1, KILLS + 1):
            server.stop()
            client.wait_count("lost", n, 5)
            client.type(f"while away {n} one")
            client.type(f"while away {n} two")
            time.sleep(2)
            server = stack.enter_context(Server(url))
            client.wait_count("connected", n + 1, options.backoff_max + 10)
            client.wait_count(f"< while away {n} two", 1, 5)
        time.sleep(1)
        counts = [client.count(f"< while away {n} {which}") for n in range(1, KILLS + 1) for which in ("one", "two")]
        left, text = descriptors(client.process.pid), client.text()

    proof.claim(True, f"back after each of {KILLS} kills")
    proof.claim(counts == [1] * 2 * KILLS, f"what was typed while it was away arrived {counts} times")
    proof.claim(left == held, f"descriptors {held} before, {left} after")
    # No connection lived long enough to count from the start again. Full jitter: the bound doubles, the wait varies.
    waits = announced_waits(text)
    bounds = [min(options.backoff_max, options.backoff_min * 2**n) for n in range(len(waits))]
    within = all(wait <= bound * 1.01 + 0.01 for wait, bound in zip(waits, bounds))
    grows = len(waits) >= KILLS and max(waits[2:]) > max(waits[:2])
    proof.claim(within and grows, f"waits in seconds: {' '.join(f'{wait:.1f}' for wait in waits)}")


run(main, seconds=400)
