"""Peers that never read, and peers that send garbage, cost bounded memory and nobody else's time."""

import os
import random
import select
import tempfile
import time

from bystander import UNMOVED, claim_calm, in_child, us, watch
from harness import Server, mib, percentile, receive, reset_on_close, round_trip, run, wait_until

GARBAGE_SECONDS = 1.5
SLOW_PEERS = 8
CHUNK = (b"x" * 1023 + b"\n") * 64


def write_without_end(server, count):
    """`count` peers that write as fast as they can and never read, until the server has ended all of them."""
    peers = [server.connect() for _ in range(count)]
    for peer in peers:
        peer.setblocking(False)
    end = time.monotonic() + 30
    while peers and time.monotonic() < end:
        for peer in select.select([], peers, [], 1)[1]:
            try:
                peer.send(CHUNK)
            except BlockingIOError:
                pass
            except OSError:
                peers.remove(peer)
    os._exit(len(peers))


def send_garbage(server, listener):
    """Random bytes for a while, on a new connection whenever the server ends one. What comes back is thrown away."""
    garbage = random.Random(listener).randbytes(1 << 20)
    end, opened = time.monotonic() + GARBAGE_SECONDS, 0
    while time.monotonic() < end and opened < 2000:
        opened += 1
        with server.connect(listener) as peer:
            reset_on_close(peer)
            peer.setblocking(False)
            at = random.randrange(len(garbage))
            while time.monotonic() < end:
                readable, writable, _ = select.select([peer], [peer], [], 1)
                try:
                    if readable and not peer.recv(1 << 18):
                        break
                    if writable:
                        at = (at + peer.send(garbage[at:at + 65536])) % len(garbage)
                except BlockingIOError:
                    pass
                except OSError:
                    break
    os._exit(0)


def never_reads(proof):
    with Server("line", write_timeout="3s") as server, server.connect() as peer:
        quiet = [round_trip(peer) for _ in range(500)]
        before = server.rss_anon()
        child = in_child(write_without_end, server, SLOW_PEERS)
        trips, peak = watch(server, lambda: round_trip(peer), child)
        named = server.wait_log("SlowConsumer|WriteTimeout")
    grown = peak - before
    ended = child.exitcode == 0 and named
    proof.claim(ended, f"{SLOW_PEERS} peers that never read were ended, by SlowConsumer or WriteTimeout")
    proof.claim(grown <= SLOW_PEERS * (1 << 20), f"they grew RssAnon by at most {mib(grown)}")
    unmoved = percentile(trips, 0.99) < UNMOVED
    proof.claim(unmoved, f"another's round trips, half and 99 of 100: {us(quiet)} before, {us(trips)} meanwhile")


def never_reads_a_broadcast(proof):
    """The one that reads gets everything that the one that does not is ended for."""
    with Server("line", app="broadcast") as server:
        talker, reader, slow = (server.connect(), server.connect(), server.connect(receive_buffer=4096))
        # A line from each, seen by the others, tells that all three are there.
        round_trip_between(slow, reader)
        receive(talker, 3)
        before, peak = server.rss_anon(), 0
        for _ in range(256):
            talker.sendall(CHUNK)
            assert receive(reader, len(CHUNK)) == CHUNK, "the reader missed something"
            peak = max(peak, server.rss_anon())
        named = server.wait_log("SlowConsumer")
        for peer in (talker, reader, slow):
            peer.close()
    proof.claim(named, "broadcast: the peer that never reads ended with SlowConsumer, the other got all 16 MiB")
    proof.claim(peak - before <= 4 << 20, f"RssAnon grew by at most {mib(peak - before)}")


def round_trip_between(sender, receiver):
    sender.sendall(b"hi\n")
    assert receive(receiver, 3) == b"hi\n"


def garbage(proof):
    wires = ["line", "auto", "tcp", "raw"]
    with tempfile.TemporaryDirectory(prefix="tidegate-") as folder:
        with Server(*wires, f"unix://{folder}/socket") as server, server.connect() as peer:
            round_trip(peer)
            before, descriptors = server.rss_anon(), server.descriptors()
            for listener, wire in enumerate([*wires, "unix"]):
                child = in_child(send_garbage, server, listener)
                trips, peak = watch(server, lambda: round_trip(peer), child)
                claim_calm(proof, f"garbage on {wire}", child, trips, peak - before, 4 << 20)
            left = wait_until(lambda: server.descriptors() == descriptors, 5)
            proof.claim(left, "no descriptor is left")


def main(proof):
    never_reads(proof)
    never_reads_a_broadcast(proof)
    garbage(proof)


run(main)
