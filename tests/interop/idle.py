"""Thousands of idle connections cost little memory each, next to no CPU, and leave nothing behind.

All are opened first, each with a heartbeat, as the `auto` wire wants a first message within its handshake time. Then they
heartbeat at equal distances for a while, and then they leave. For a figure to quote: --seconds 60.

`--wire ws` measures WebSocket connections, `--wire tls` lines in TLS, `--wire wss` both. What is in TLS is held by a
program in Go (go/holdtls): it needs go, and openssl for a certificate. `--wire hub` measures clients of the hub on
WebSocket, each connected and subscribed to one of `--channels` channels with presence and history. `--kernel` tells
besides what the kernel takes for a connection, both ends of which are on this machine: it reads /proc/slabinfo, as root.
"""

import argparse
import subprocess
import tempfile
import time
from typing import NamedTuple

from frames import TEXT, masked
from harness import GO, Server, build_go, certificate, free_port, mib, receive, run, wait_until

HEARTBEAT_SECONDS = 25
TICK = 0.01
ADDRESSES = 4  # to listen on, as the ports of one client address are fewer than connections may be wanted

UPGRADE = (
    b"GET %s HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


class Limits(NamedTuple):
    connections: int  # unless told otherwise
    bytes_each: int  # of RssAnon
    # Share of a core while each sends a heartbeat in HEARTBEAT_SECONDS: finds a loop that spins, not a busy machine.
    core: float


LIMITS = {
    "auto": Limits(15000, 240, 0.05),
    "ws": Limits(15000, 256, 0.05),
    "tls": Limits(10000, 9216, 0.08),
    "wss": Limits(10000, 9216, 0.08),
    "hub": Limits(15000, 700, 0.08),
}
CHANNEL_BYTES = 600  # of RssAnon, for each channel of the hub
WAVES_DIFFER = 768 << 10  # of RssAnon: twice what was seen


class Peers:
    """Connections of this process: lines, or WebSocket."""

    def __init__(self, server, count, websocket, path=b"/"):
        self.question, self.answer = (b"\x89\x80\x12\x34\x56\x78", b"\x8a\0") if websocket else (b"ping\n", b"pong\n")
        self.peers = [server.connect(n % ADDRESSES) for n in range(count)]
        if websocket:
            self.upgrade(path)
        self.introduce()
        self.ask(self.peers)
        self.check(self.peers)

    def introduce(self):
        """Nobody wants to know who they are."""

    def upgrade(self, path):
        for peer in self.peers:
            peer.sendall(UPGRADE % path)
        for peer in self.peers:
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                part = peer.recv(1024)
                assert part, f"the upgrade was refused: {head!r}"
                head += part
            assert head.startswith(b"HTTP/1.1 101 ") and b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head, head

    def ask(self, peers):
        for peer in peers:
            peer.sendall(self.question)

    def check(self, peers):
        for peer in peers:
            got = receive(peer, len(self.answer))
            assert got == self.answer, f"a heartbeat was answered by {got!r}"

    def heartbeat(self, seconds):
        """Each pings once in HEARTBEAT_SECONDS, one after the other. Returns how many did."""
        began, sent, waiting = time.monotonic(), 0, []
        while (now := time.monotonic()) < began + seconds:
            due = int((now - began) / HEARTBEAT_SECONDS * len(self.peers))
            self.check(waiting)
            waiting = [self.peers[n % len(self.peers)] for n in range(sent, due)]
            self.ask(waiting)
            sent = due
            time.sleep(TICK)
        self.check(waiting)
        return sent

    def leave(self):
        for peer in self.peers:
            peer.close()


class HubPeers(Peers):
    """Clients of the hub, which ask it for a sign of life."""

    def __init__(self, server, count, channels):
        self.channels = channels
        super().__init__(server, count, True, b"/connection/websocket")

    def introduce(self):
        for n, peer in enumerate(self.peers):
            subscribe = b'{"id":2,"subscribe":{"channel":"room%d"}}' % (n % self.channels)
            peer.sendall(masked(TEXT, b'{"id":1,"connect":{"name":"js","version":"5.3.0"}}\n' + subscribe))
        for peer in self.peers:
            told = b""
            while b'{"id":2,"subscribe":' not in told or not told.endswith(b"}"):
                part = peer.recv(4096)
                assert part, f"not subscribed: {told!r}"
                told += part
        self.question = masked(TEXT, b'{"id":3,"ping":{}}')
        self.answer = b'\x81\x12{"id":3,"ping":{}}'


class TlsPeers:
    """The same, held by a program of its own."""

    def __init__(self, server, count, websocket, root):
        addresses = ",".join(f"{host}:{port}" for host, port in server.addresses)
        command = [GO / "bin/holdtls", "-addrs", addresses, "-root", root, "-connections", str(count)]
        command += ["-interval", f"{HEARTBEAT_SECONDS}s", f"-websocket={str(websocket).lower()}"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "open\n", "holdtls did not get all connections open"

    def heartbeat(self, seconds):
        self.process.stdin.write(f"beat {seconds}\n")
        self.process.stdin.flush()
        told = self.process.stdout.readline()
        assert told, "holdtls gave up"
        return int(told)

    def leave(self):
        self.process.stdin.close()
        self.process.wait(60)


class Kernel:
    """What the kernel holds, by the names of its caches."""

    def __init__(self):
        lines = open("/proc/slabinfo").read().splitlines()[2:]
        fields = [line.split() for line in lines]
        # Objects of a slab share its pages: active slabs times their pages is what they take.
        slabs = {each[0]: int(each[13]) * int(each[5]) * 4096 for each in fields}
        # What looking at /proc takes is ours.
        self.slabs = {name: taken for name, taken in slabs.items() if not name.startswith("proc_")}
        tcp = next(line for line in open("/proc/net/sockstat") if line.startswith("TCP:")).split()
        self.tcp_pages = int(tcp[tcp.index("mem") + 1])

    def tell_since(self, before, count):
        grown = {name: (now - before.slabs.get(name, 0)) / count for name, now in self.slabs.items()}
        all_slabs = sum(grown.values())
        for name, each in sorted(grown.items(), key=lambda item: -item[1]):
            if each >= 16:
                print(f"  {name:24} {each:7.0f} bytes a connection, both ends together")
        pages = self.tcp_pages - before.tcp_pages
        print(f"  all caches {all_slabs:.0f} bytes a connection, {all_slabs / 2:.0f} an end; {pages} pages in TCP queues")


def open_all(server, wire, count, root, channels):
    if wire == "hub":
        return HubPeers(server, count, channels)
    websocket = wire in ("ws", "wss")
    return TlsPeers(server, count, websocket, root) if wire in ("tls", "wss") else Peers(server, count, websocket)


def measure(proof, server, wire, options, root):
    limits, count = LIMITS[wire], options.connections or LIMITS[wire].connections
    empty = server.rss_anon()
    descriptors = server.descriptors()
    kernel = options.kernel and Kernel()
    peers = open_all(server, wire, count, root, options.channels)
    time.sleep(0.5)
    each = (server.rss_anon() - empty) / count
    if kernel:
        Kernel().tell_since(kernel, count)
    told = f"{count} idle connections on {wire} took {each:.0f} bytes of RssAnon each"
    most = limits.bytes_each + (CHANNEL_BYTES * options.channels // count if wire == "hub" else 0)
    proof.claim(each <= most, f"{told}, of {most}")

    began, used = time.monotonic(), server.cpu_seconds()
    pings = peers.heartbeat(options.seconds)
    share = (server.cpu_seconds() - used) / (time.monotonic() - began)
    proof.claim(share < limits.core, f"{share:.2%} of a core for {pings} heartbeats in {options.seconds:.0f} s")

    peers.leave()
    proof.claim(wait_until(lambda: server.descriptors() == descriptors, 10), "every descriptor is given back")
    time.sleep(1)
    left = server.rss_anon()
    told = f"RssAnon {mib(empty)} before, {mib(left)} after they left"
    # What was allocated in small pieces the C library keeps for the next connections, now a little more, now less. What
    # is forgotten adds up: as little as 20 bytes of each connection stand out after a few more waves of them.
    if wire == "hub":
        kept = [come_again(server, wire, count, root, options) for _ in range(8)]
        first, last = min(kept[:4]), min(kept[4:])
        again = f"at least {mib(first)} after each of four waves more, {mib(last)} after each of the next four"
        proof.claim(last <= first + WAVES_DIFFER, f"{told}, {again}")
    else:
        proof.claim(left <= empty * 1.1 + (2 << 20) or wire in ("tls", "wss"), told)


def come_again(server, wire, count, root, options):
    """Memory after as many were there once more."""
    descriptors = server.descriptors()
    peers = open_all(server, wire, count, root, options.channels)
    peers.leave()
    assert wait_until(lambda: server.descriptors() == descriptors, 10), "they do not leave"
    time.sleep(2)  # sessions of a second end
    return server.rss_anon()


def main(proof):
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--wire", choices=LIMITS, default="auto")
    arguments.add_argument("--connections", type=int)
    arguments.add_argument("--seconds", type=float, default=10)
    arguments.add_argument("--channels", type=int, default=1, help="of the hub")
    arguments.add_argument("--kernel", action="store_true", help="tell what the kernel takes, too")
    options = arguments.parse_args()

    port = free_port()
    is_hub = options.wire == "hub"
    urls = [f"{'ws' if is_hub else options.wire}://127.0.0.{n}:{port}" for n in range(1, ADDRESSES + 1)]
    # Within this interval every peer has sent its heartbeat: it is they who ask, and the server need not.
    settings, root = {"heartbeat_interval": "60s"}, None
    with tempfile.TemporaryDirectory(prefix="tidegate-") as folder:
        if options.wire in ("tls", "wss"):
            build_go()
            root, settings["tls_key"] = certificate(folder)
            settings["tls_certificate"] = root
        settings |= {"insecure": "true", "session_ttl": "1s"} if is_hub else {}
        with Server(*urls, app="hub" if is_hub else "echo", **settings) as server:
            measure(proof, server, options.wire, options, root)


run(main, seconds=600)
