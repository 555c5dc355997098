"""What an attack costs everybody else: it runs in a process of its own, while another client plays ping-pong."""

import multiprocessing
import time

from harness import mib, percentile

# Seconds that 99 of 100 round trips stay under. The attacker takes a core of its own, so a small machine shows some of
# it; who has to wait for others' work to be done waits for ten times as long.
UNMOVED = 0.05


def in_child(function, *arguments):
    child = multiprocessing.get_context("fork").Process(target=function, args=arguments, daemon=True)
    child.start()
    return child


def figures(count):
    """Numbers that a child fills in."""
    return multiprocessing.get_context("fork").Array("d", count)


def watch(server, trip, child, seconds=40):
    """Calls `trip`, which says how long it took, while `child` runs. Returns all it said, and the most memory seen."""
    trips, peak, end = [], 0, time.monotonic() + seconds
    while child.is_alive() and time.monotonic() < end:
        trips.append(trip())
        peak = max(peak, server.rss_anon())
        time.sleep(0.002)
    child.join(1)
    return trips, max(peak, server.rss_anon())


def us(trips):
    return f"{percentile(trips, 0.5) * 1e6:.0f}/{percentile(trips, 0.99) * 1e6:.0f} us"


def claim_calm(proof, what, child, trips, grown, most, quiet=None):
    """Nobody else waited, and memory stayed within `most` bytes. `quiet` are the round trips of before."""
    calm = child.exitcode == 0 and grown <= most and percentile(trips, 0.99) < UNMOVED
    told = "" if child.exitcode == 0 else f"the attack itself ended with {child.exitcode}; "
    before = f" ({us(quiet)} before)" if quiet else ""
    proof.claim(calm, f"{what}: {told}RssAnon up by {mib(grown)}, another's round trips {us(trips)}{before}")
