"""Whoever subscribes with a history behind the channel gets every publication once, however often the network cuts it.

A program in Go (go/hubkill) holds subscribers on all three wires through a proxy of its own, which cuts each every few
seconds in the middle of a frame. Half come back by position alone, half by session as well. Needs go. For a figure to
quote: --seconds 60.
"""

import argparse
import tempfile

from harness import GO, Server, build_go, claim_lines, run
from hub_settings import hub_settings


def main(proof):
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--seconds", type=int, default=10)
    arguments.add_argument("--subscribers", type=int, default=200)
    arguments.add_argument("--rate", type=int, default=500, help="publications a second")
    arguments.add_argument("--seed", type=int, help="of the cuts, to play a run again as nearly as time allows")
    options = arguments.parse_args()

    build_go()
    with tempfile.TemporaryDirectory(prefix="tidegate-") as folder:
        settings = hub_settings(folder, history_size=100_000)
        with Server("auto", app="hub", recovery_limit=100_000, **settings) as server:
            command = [GO / "bin/hubkill", "-addr", f"127.0.0.1:{server.port}", "-time", f"{options.seconds}s"]
            command += ["-subscribers", str(options.subscribers), "-rate", str(options.rate)]
            command += ["-seed", str(options.seed)] if options.seed else []
            claim_lines(proof, command, seconds=options.seconds + 60)
            proof.claim("panic" not in server.log(), "the server has nothing to complain of")


run(main, seconds=300)
