"""One subscriber that stops reading costs the hub next to nothing and the others no time; it ends with everything.

The same load is played twice: with nobody who stops, which shows what the history and the load themselves take, and with
one. With a history that is too short for it, the one that stopped is told what it misses. A program in Go (go/hubslow) holds the
subscribers, on all three wires. Needs go. For a figure to quote: --seconds 20 --subscribers 1000 --rate 1000.
"""

import argparse
import subprocess
import tempfile
import time

from harness import GO, Server, build_go, mib, run
from hub_settings import counter, hub_settings

MOST_GROWN = 2 << 20
# Published while one reads nothing: more than the kernel takes in for it, which on loopback is some 3 MB.
PUBLISHED_BYTES = 8 << 20
# Published at a time: below the limit of a message.
BATCH_BYTES = 32 << 10


class Watched:
    """One run of the load: how far memory went while one had stopped, and what was said in the end."""

    def __init__(self, options, history, *flags):
        with tempfile.TemporaryDirectory(prefix="tidegate-") as folder:
            settings = hub_settings(folder, history_size=history)
            # Who takes nothing for so long is cut; here it is to be served when it goes on.
            with Server("auto", app="hub", write_timeout="5m", **settings) as server:
                self.play(server, options, flags)
                self.lagged = counter(server, "hub_lagged")

    def play(self, server, options, flags):
        command = [GO / "bin/hubslow", "-addr", f"127.0.0.1:{server.port}", "-stop", f"{options.seconds}s"]
        command += ["-subscribers", str(options.subscribers), "-rate", str(options.rate)]
        padding = PUBLISHED_BYTES // (options.rate * options.seconds)
        command += ["-padding", str(padding), "-batch", str(max(1, min(20, BATCH_BYTES // padding)))]
        with subprocess.Popen(
            [*command, *flags], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as load:
            try:
                before = self.expect(load, "ready", server)
                self.peak = self.expect(load, "stopped", server) - before
                self.left = self.expect(load, "caught up", server) - before
                self.said = load.stdout.read().strip()
                self.passed = load.wait(60) == 0
            finally:
                load.kill()

    def expect(self, load, word, server):
        told = load.stdout.readline().strip()
        assert told == word, f"{word} was expected: {told} {load.stdout.read()}"
        # What was under way when it was said has left or been given back after a trim or two.
        time.sleep(2.2)
        memory = server.rss_anon()
        load.stdin.write("go on\n")
        load.stdin.flush()
        return memory


def main(proof):
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--seconds", type=int, default=5, help="one reads nothing")
    arguments.add_argument("--subscribers", type=int, default=100)
    arguments.add_argument("--rate", type=int, default=200, help="publications a second")
    options = arguments.parse_args()

    build_go()
    for history, flags in (50_000, []), (100, ["-gap"]):
        alone, slow = Watched(options, history, "-nobody-stops"), Watched(options, history, *flags)
        told = f"history {history}, one stopped for {options.seconds} s: {slow.said}"
        proof.claim(slow.passed and slow.lagged >= 1, f"{told}; it lagged {slow.lagged} times")
        figures = f"RssAnon up by {mib(slow.peak)} with it and {mib(alone.peak)} without it, {mib(slow.left)} in the end"
        proof.claim(slow.peak - alone.peak < MOST_GROWN, figures)
        proof.claim(alone.passed, f"nobody stopped: {alone.said}")


run(main, seconds=400)
