"""Peers that mean harm on a WebSocket: memory stays within four times what they sent, and nobody else waits.

Each attacks a server of its own, from a process of its own, while another client's round trips are measured.
"""

import os
import select
import socket
import time
import zlib

from bystander import claim_calm, figures, in_child, watch
from frames import BINARY, CONTINUATION, PING, TEXT, close_code, echo, masked, receive_head, upgrade
from harness import Server, reset_on_close, run, wait_until

MIB = 1 << 20
# Memory that a server may take for the first use of anything, and that the kernel counts in pages.
SLACK = MIB
DRIPPING = 1000
HANDSHAKE_SECONDS = 5
SILENCE = 0.3


def push(peers, bursts, seconds, most, told):
    """Sends bursts round and round to whoever takes them, until `most` bytes have left or the server ended them all.

    Tells the bytes that left, and how many peers it ended.
    """
    sent, waiting, end = 0, {peer: b"" for peer in peers}, time.monotonic() + seconds
    for peer in peers:
        peer.setblocking(False)
    while waiting and sent < most and time.monotonic() < end:
        for peer in select.select([], list(waiting), [], 0.2)[1]:
            try:
                rest = waiting[peer] or next(bursts[peer])
                taken = peer.send(rest)
                sent, waiting[peer] = sent + taken, rest[taken:]
            except BlockingIOError:
                pass
            except (OSError, StopIteration):
                del waiting[peer]
    told[0], told[1] = sent, len(peers) - len(waiting)


def for_ever(burst):
    while True:
        yield burst


def open_peers(server, count):
    peers = [server.connect() for _ in range(count)]
    for peer in peers:
        upgrade(peer)
    return peers


def never_reads(server, told):
    """Messages whose echo nobody takes."""
    peers = open_peers(server, 8)
    burst = masked(BINARY, os.urandom(32_768)) * 4
    push(peers, {peer: for_ever(burst) for peer in peers}, 12, 1 << 40, told)
    os._exit(0 if told[1] == 8 else 1)


def pings_unread(server, told):
    """Pings whose pongs nobody takes: either they are stopped from coming, or all but the latest go unanswered."""
    peers = open_peers(server, 4)
    burst = masked(PING, b"p" * 125) * 500
    push(peers, {peer: for_ever(burst) for peer in peers}, 3, 256 * MIB, told)
    os._exit(0)


def empty_fragments(server, told):
    """A message of a million empty fragments, and many of nearly as many as are allowed, of one byte each."""
    peers = open_peers(server, 5)
    starts = [masked(TEXT, b"", fin=False)] + [masked(TEXT, b"x", fin=False)] * 4
    many = [masked(CONTINUATION, b"", fin=False) * 10_000] + [masked(CONTINUATION, b"x", fin=False) * 5_000] * 4
    counts = [100, 10, 10, 10, 10]

    def fragments(start, burst, count):
        yield start
        yield from (burst for _ in range(count))

    bursts = {peer: fragments(*each) for peer, *each in zip(peers, starts, many, counts)}
    first = peers[0]
    push(peers, bursts, 10, 1 << 40, told)
    time.sleep(SILENCE)
    first.settimeout(5)
    try:
        told[2] = close_code(first) or 0
    except ConnectionResetError:
        told[2] = -1
    os._exit(0 if told[2] else 1)


def endless_head(server, told):
    """20 MB of headers to each of three connections: one line, many lines, one name without an end."""
    peers = [server.connect() for _ in range(3)]
    for peer in peers:
        peer.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n")
    peers[0].sendall(b"X: ")
    lines = b"".join(b"x%d: y\r\n" % n for n in range(8000))
    bursts = dict(zip(peers, map(for_ever, (b"x" * 65_536, lines, b"X" * 65_536))))
    began = time.monotonic()
    push(peers, bursts, 10, 60_000_000, told)
    for peer in peers:
        peer.settimeout(5)
    told[1] = sum(" 431 " in receive_head(peer) for peer in peers)
    told[2] = time.monotonic() - began
    os._exit(0)


def bombs(server, told):
    """64 KiB that inflate to 64 MiB, on twenty connections at once."""
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = squeeze.compress(bytes(64 * MIB)) + squeeze.flush(zlib.Z_SYNC_FLUSH)
    frame = masked(BINARY, bomb[:-4], rsv=4)
    peers = [server.connect() for _ in range(20)]
    for peer in peers:
        answer = upgrade(peer, Sec_WebSocket_Extensions="permessage-deflate")
        assert "permessage-deflate" in answer, "no compression was agreed on"
    for peer in peers:
        peer.sendall(frame)
    codes = [close_code(peer) for peer in peers]
    told[0], told[1] = len(frame) * len(peers), codes.count(1009)
    os._exit(0 if codes == [1009] * len(peers) else 1)


def dripping_heads(server, told):
    """A thousand heads, a byte a second each: however they drip, the handshake's time is over when it is."""
    began, ended, poll, by_fd = {}, [], select.poll(), {}
    for n in range(DRIPPING):
        peer = server.connect()
        began[peer.fileno()], by_fd[peer.fileno()] = time.monotonic(), peer
        poll.register(peer, select.POLLIN)
    sent, due, end = 0, time.monotonic(), time.monotonic() + HANDSHAKE_SECONDS + 4
    head = b"GET / HTTP/1.1\r\nX: y"
    while by_fd and time.monotonic() < end:
        if time.monotonic() >= due:
            due += 1
            for peer in by_fd.values():
                try:
                    peer.send(head[sent:sent + 1])
                except OSError:
                    pass
            sent += 1
        for fd, _ in poll.poll(20):
            ended.append(time.monotonic() - began[fd])
            poll.unregister(fd)
            reset_on_close(by_fd[fd])
            by_fd.pop(fd).close()
    told[0], told[1], told[2], told[3] = sent * DRIPPING, len(ended), min(ended, default=0), max(ended, default=0)
    os._exit(0)


def attack(proof, name, function, most=None, **settings):
    """Runs one attack and claims that all stayed calm; memory within `most` bytes, or four times what was sent."""
    told = figures(4)
    with Server("auto", **settings) as server, server.connect() as peer:
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        upgrade(peer)

        def trip():
            began = time.monotonic()
            echo(peer)
            return time.monotonic() - began

        quiet = [trip() for _ in range(500)]
        before, descriptors = server.rss_anon(), server.descriptors()
        child = in_child(function, server, told)
        trips, peak = watch(server, trip, child)
        sent = int(told[0])
        bound = min(4 * sent + SLACK, most or 1 << 62)
        claim_calm(proof, f"{name}, {sent:,} bytes", child, trips, peak - before, bound, quiet)
        left = wait_until(lambda: server.descriptors() == descriptors, 8)
        assert left, f"{name}: {server.descriptors() - descriptors} descriptors are left"
        return told


def main(proof):
    # What waits for one peer is at most the hard limit of 1 MiB.
    attack(proof, "8 that never read", never_reads, most=8 * MIB, write_timeout="2s", deflate="off")
    attack(proof, "4 that ping and never read", pings_unread, most=4 * MIB, write_timeout="2s")

    told = attack(proof, "a million empty fragments", empty_fragments, most=4 * MIB, heartbeat_interval="1s")
    proof.claim(told[2], f"ended by {told[2]:.0f}")

    told = attack(proof, "heads without an end", endless_head, most=2 * MIB, close_timeout="2s")
    proof.claim(told[1] == 3, f"{told[1]:.0f} of 3 were refused by 431, all within {told[2]:.1f} s")

    told = attack(proof, "20 bombs of 64 MiB", bombs, max_message_bytes="1MiB")
    proof.claim(told[1] == 20, f"{told[1]:.0f} of 20 were refused by 1009")

    timeout = {"handshake_timeout": f"{HANDSHAKE_SECONDS}s"}
    told = attack(proof, f"{DRIPPING} dripping heads", dripping_heads, most=2 * MIB, **timeout)
    timely = told[1] == DRIPPING and HANDSHAKE_SECONDS - 0.1 <= told[2] and told[3] <= HANDSHAKE_SECONDS + 0.5
    proof.claim(timely, f"{told[1]:.0f} were ended after {told[2]:.2f} to {told[3]:.2f} s")


run(main)
