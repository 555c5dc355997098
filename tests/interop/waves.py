"""Connections that come and go in waves leave neither descriptors nor memory behind. To quote: --connections 200000.

Peers leave in four ways: a reset, a close after an echo, a close without a word, a half-close that reads to the end.
"""

import argparse
import socket
import time

from harness import Server, free_port, mib, receive, receive_to_end, reset_on_close, run, wait_until

WAVE = 2000
LISTENERS = 8  # the closes in order leave their ports in TIME_WAIT, so they are spread over several addresses


def wave(server, count):
    peers = [server.connect(n // 4 % LISTENERS) for n in range(count)]
    for n, peer in enumerate(peers):
        if n % 4 != 2:
            peer.sendall(b"hi\n")
    for n, peer in enumerate(peers):
        if n % 4 != 2:
            assert receive(peer, 3) == b"hi\n"
        if n % 4 == 0:
            reset_on_close(peer)
        if n % 4 == 3:
            peer.shutdown(socket.SHUT_WR)
            assert receive_to_end(peer) == b""
        peer.close()


def main(proof):
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--connections", type=int, default=20000)
    options = arguments.parse_args()

    port = free_port()
    with Server(*(f"auto://127.0.0.{n}:{port}" for n in range(1, LISTENERS + 1))) as server:
        descriptors, empty = server.descriptors(), server.rss_anon()
        wave(server, WAVE)
        wait_until(lambda: server.descriptors() == descriptors, 5)
        after_one = server.rss_anon()
        began, waves = time.monotonic(), options.connections // WAVE
        for _ in range(waves - 1):
            wave(server, WAVE)
        took = time.monotonic() - began
        wait_until(lambda: server.descriptors() == descriptors, 5)
        time.sleep(1)
        end, left = server.rss_anon(), server.descriptors()
    told = f"{waves * WAVE} connections in {took:.0f} s: descriptors {descriptors}, then {left}"
    proof.claim(left == descriptors, told)
    flat = end <= empty * 1.1 + (2 << 20) and end - after_one <= 512 << 10
    proof.claim(flat, f"RssAnon {mib(empty)} empty, {mib(after_one)} after one wave, {mib(end)} after all")


run(main, seconds=900)
