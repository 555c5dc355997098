"""When all clients come back in one moment, each gets what it missed, at once and from few reads of the history.

A program in Go (go/hubstorm) holds the clients, on all three wires. Needs go. For a figure to quote: --clients 10000.
"""

import argparse
import re
import tempfile

from harness import GO, Server, build_go, claim_lines, mib, run
from hub_settings import counter, hub_settings


def main(proof):
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--clients", type=int, default=2000)
    arguments.add_argument("--missed", type=int, default=50, help="publications while nobody is there")
    options = arguments.parse_args()

    build_go()
    with tempfile.TemporaryDirectory(prefix="tidegate-") as folder:
        with Server("auto", app="hub", **hub_settings(folder, history_size=1000)) as server:
            command = [GO / "bin/hubstorm", "-addr", f"127.0.0.1:{server.port}"]
            command += ["-clients", str(options.clients), "-missed", str(options.missed)]
            claim_lines(proof, command, seconds=120)
            reads, recovered = counter(server, "hub_history_reads"), counter(server, "hub_recovered")
            used = server.cpu_seconds()
            told = f"{reads} histories read for {recovered} recoveries, {used:.1f} s of CPU in all, {mib(server.rss_anon())}"
            # One read serves all who ask for the same within a turn of the loop.
            proof.claim(0 < reads <= recovered == options.clients, told)
            proof.claim(not re.search("panic", server.log()), "the server has nothing to complain of")


run(main, seconds=240)
