"""Thousands of idle connections cost a few hundred bytes each, next to no CPU, and leave nothing behind.

All are opened first, each with a ping, as the `auto` wire wants a first message within its handshake time. Then they
heartbeat at equal distances for a while, and then they leave. For a figure to quote: --seconds 60.
"""

import argparse
import time

from harness import Server, free_port, mib, receive, run, wait_until

HEARTBEAT_SECONDS = 25
TICK = 0.01


def open_all(server, count):
    peers = []
    for n in range(count):
        peers.append(server.connect(n % len(server.addresses)))
        peers[-1].sendall(b"ping\n")
    for peer in peers:
        assert receive(peer, 5) == b"pong\n"
    return peers


def heartbeat(peers, seconds):
    """Each of `peers` pings once in HEARTBEAT_SECONDS, one after the other. Returns how many did."""
    began, sent, waiting = time.monotonic(), 0, []
    while (now := time.monotonic()) < began + seconds:
        due = int((now - began) / HEARTBEAT_SECONDS * len(peers))
        for peer in waiting:
            assert receive(peer, 5) == b"pong\n"
        waiting = [peers[n % len(peers)] for n in range(sent, due)]
        for peer in waiting:
            peer.sendall(b"ping\n")
        sent = due
        time.sleep(TICK)
    for peer in waiting:
        assert receive(peer, 5) == b"pong\n"
    return sent


def main(proof):
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--connections", type=int, default=15000)
    arguments.add_argument("--seconds", type=float, default=10)
    options = arguments.parse_args()

    port = free_port()
    with Server(*(f"auto://127.0.0.{n}:{port}" for n in range(1, 5))) as server:
        empty = server.rss_anon()
        descriptors = server.descriptors()
        peers = open_all(server, options.connections)
        time.sleep(0.5)
        each = (server.rss_anon() - empty) / len(peers)
        proof.claim(each <= 300, f"{len(peers)} idle connections took {each:.0f} bytes of RssAnon each")

        began, used = time.monotonic(), server.cpu_seconds()
        pings = heartbeat(peers, options.seconds)
        share = (server.cpu_seconds() - used) / (time.monotonic() - began)
        proof.claim(share < 0.01, f"{share:.2%} of a core for {pings} heartbeats in {options.seconds:.0f} s")

        for peer in peers:
            peer.close()
        proof.claim(wait_until(lambda: server.descriptors() == descriptors, 10), "every descriptor is given back")
        time.sleep(1)
        left = server.rss_anon()
        back = left <= empty * 1.1 + (2 << 20)
        proof.claim(back, f"RssAnon {mib(empty)} before, {mib(left)} after they left")


run(main, seconds=600)
