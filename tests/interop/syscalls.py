"""How many system calls a message costs: one read, one write, and one wait for a whole batch. Needs strace.

The server is stopped while 64 connections send, so that it finds them all ready at once, and goes on to answer them:
each round is one batch. At depth 16 each connection sends 16 messages by one write, to be answered by one write.
"""

import os
import re
import shutil
import signal
import subprocess
import sys

from harness import Server, frame, receive, round_trip, run

PEERS = 64
ROUNDS = 50
MESSAGES = [("raw", b"m" * 64), ("line", b"m" * 63 + b"\n"), ("tcp", frame(b"m" * 64))]
KINDS = {
    "reads": ("read", "readv", "recvfrom", "recvmsg"),
    "writes": ("write", "writev", "sendto", "sendmsg"),
    "waits": ("epoll_wait", "epoll_pwait", "epoll_pwait2"),
}


def play(server, peers, burst):
    for _ in range(ROUNDS):
        os.kill(server.pid, signal.SIGSTOP)
        for peer in peers:
            peer.sendall(burst)
        os.kill(server.pid, signal.SIGCONT)
        for peer in peers:
            assert receive(peer, len(burst)) == burst


def counted(server, peers, burst):
    """Calls by kind, and all other calls by name, while `play` runs."""
    table = os.path.join(server.folder.name, "strace")
    strace = subprocess.Popen(
        ["strace", "-c", "-f", "-o", table, "-p", str(server.pid)], stderr=subprocess.PIPE, text=True
    )
    assert "attached" in strace.stderr.readline(), "strace may not attach"
    play(server, peers, burst)
    strace.send_signal(signal.SIGINT)
    strace.communicate(timeout=10)
    with open(table) as lines:
        rows = re.findall(r"^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)$", lines.read(), re.M)
    calls = {name: int(count) for count, name in rows if name != "total"}
    kinds = {kind: sum(calls.pop(name, 0) for name in names) for kind, names in KINDS.items()}
    return kinds, calls


def main(proof):
    if not shutil.which("strace"):
        sys.exit("syscalls: FAILED: strace is missing: apt-get install strace")
    with Server(*(wire for wire, _ in MESSAGES)) as server:
        for listener, (wire, message) in enumerate(MESSAGES):
            peers = [server.connect(listener) for _ in range(PEERS)]
            for peer in peers:
                round_trip(peer, message)
            for depth in (1, 16):
                kinds, others = counted(server, peers, message * depth)
                turns = PEERS * ROUNDS  # a turn is one connection's burst
                reads, writes = kinds["reads"] / turns, kinds["writes"] / turns
                waits = kinds["waits"] / ROUNDS
                holds = reads <= 1.02 and writes <= 1.02 and waits <= 3 and sum(others.values()) <= ROUNDS
                rest = ", ".join(f"{name} {count}" for name, count in others.items()) or "none"
                proof.claim(
                    holds,
                    f"{wire} depth {depth}: {reads / depth:.4f} reads, {writes / depth:.4f} writes a message, "
                    f"{waits:.2f} waits a batch of {PEERS * depth}; other calls: {rest}",
                )
            for peer in peers:
                peer.close()


run(main)
