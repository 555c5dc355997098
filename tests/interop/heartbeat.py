"""With `--heartbeat-timeout 2s` a silent peer and a stopped one are gone in time, and one that trickles stays."""

import os
import signal
import subprocess
import sys
import time

from harness import Server, receive_to_end, round_trip, run, wait_until

# A peer as a process of its own, to be stopped: it says when it last sent.
CHATTERBOX = """
import socket, sys, time
peer = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
for _ in range(600):
    peer.sendall(b"still here\\n")
    print(time.monotonic(), flush=True)
    peer.recv(100)
    time.sleep(0.1)
"""


def silent(proof, server):
    for listener, wire in enumerate(("auto", "tcp", "line", "raw")):
        with server.connect(listener) as peer:
            round_trip(peer, b"\0\0\0\1x" if wire == "tcp" else b"hi\n")
            last_byte = time.monotonic()
            receive_to_end(peer)
            took = time.monotonic() - last_byte
        proof.claim(1.9 <= took <= 2.1, f"silent on {wire}: gone after {took:.3f} s")


def silent_from_the_start(proof, server):
    with server.connect(2) as peer:
        began = time.monotonic()
        receive_to_end(peer)
        took = time.monotonic() - began
    proof.claim(1.9 <= took <= 2.1, f"silent from the start: gone after {took:.3f} s")


def stopped(proof, server):
    """The kernel of a stopped process still acknowledges: only the heartbeat can tell. The server's table shows it."""
    before = server.descriptors()
    peer = subprocess.Popen(
        [sys.executable, "-c", CHATTERBOX, str(server.port)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert wait_until(lambda: server.descriptors() == before + 1, 5), "the peer never arrived"
        time.sleep(0.5)
        os.kill(peer.pid, signal.SIGSTOP)
        gone = wait_until(lambda: server.descriptors() == before, 5, step=0.002)
        gone_at = time.monotonic()
    finally:
        peer.kill()
        told = peer.communicate()[0].split()
    took = gone_at - float(told[-1])
    proof.claim(gone and 1.9 <= took <= 2.1, f"stopped: gone after {took:.3f} s")


def trickling(proof, server):
    with server.connect(2) as peer:
        for _ in range(6):
            peer.sendall(b"x")
            time.sleep(1)
        peer.sendall(b"\n")
        stays = peer.recv(100) == b"xxxxxx\n"
    proof.claim(stays, "a byte a second for 6 s: stays")


def main(proof):
    with Server("auto", "tcp", "line", "raw", heartbeat_timeout="2s") as server:
        silent(proof, server)
        silent_from_the_start(proof, server)
        stopped(proof, server)
        trickling(proof, server)
        named = server.wait_log("closed: HeartbeatTimeout")
        server.process.terminate()
        counted = server.wait_log(r"ended: .*HeartbeatTimeout 6\b")
    proof.claim(named, "HeartbeatTimeout is in the log")
    proof.claim(counted, "and counted 6 times at the end")


run(main)
