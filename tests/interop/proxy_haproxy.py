"""Behind haproxy the gateway knows who really connects: PROXY 1 and 2, before TLS too, and X-Forwarded-For."""

import contextlib
import os
import re
import socket
import ssl
import struct
import subprocess
import tempfile
import time

from certificates import Authority
from frames import echo, receive_head, request, upgrade
from harness import Server, answers, free_port, need, receive_to_end, round_trip, run, wait_until

CLIENT, OTHER = "127.0.0.5", "127.0.0.6"
FORGED = "203.0.113.9"

CONFIGURATION = """
global
    stats socket {folder}/stats level admin
defaults
    timeout connect 2s
    timeout client 20s
    timeout server 20s
    timeout tunnel 20s
listen v1
    mode tcp
    bind 127.0.0.1:{v1}
    server s 127.0.0.1:{proxied} send-proxy
listen v2
    mode tcp
    bind 127.0.0.1:{v2}
    server s 127.0.0.1:{proxied} send-proxy-v2 check check-send-proxy inter 200ms
listen limited
    mode tcp
    bind 127.0.0.1:{v2_limited}
    server s 127.0.0.1:{limited} send-proxy-v2
listen http
    mode http
    bind 127.0.0.1:{http}
    option forwardfor
    option httpchk GET /health
    server s 127.0.0.1:{forwarded} check inter 200ms
listen http_limited
    mode http
    bind 127.0.0.1:{http_limited}
    option forwardfor
    server s 127.0.0.1:{forwarded_limited}
"""


@contextlib.contextmanager
def haproxy(**ports):
    """haproxy in front of the ports that are given, listening on fresh ones; yields all of them."""
    ports |= {name: free_port() for name in ("v1", "v2", "v2_limited", "http", "http_limited")}
    with tempfile.TemporaryDirectory(prefix="tidegate-") as folder:
        path = os.path.join(folder, "haproxy.cfg")
        with open(path, "w") as file:
            file.write(CONFIGURATION.format(folder=folder, **ports))
        process = subprocess.Popen(["haproxy", "-db", "-f", path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        try:
            up = wait_until(lambda: answers(("127.0.0.1", ports["http_limited"])), 5)
            assert up, process.poll() and process.stdout.read().decode()
            yield {**ports, "stats": f"{folder}/stats"}
        finally:
            process.kill()
            process.communicate()


def connect(port, source=CLIENT):
    peer = socket.create_connection(("127.0.0.1", port), timeout=5, source_address=(source, 0))
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return peer


def answer_to(port, message):
    """All that comes back for a peer's only words."""
    with connect(port) as peer:
        peer.sendall(message)
        with contextlib.suppress(OSError):  # where the server has hung up already
            peer.shutdown(socket.SHUT_WR)
        return receive_to_end(peer)


def named(server, address):
    """Whether the log tells a peer by its own address."""
    host, port = address
    return bool(server.wait_log(rf"from {re.escape(host)}:{port}\b"))


def talk_websocket(peer):
    upgrade(peer)
    echo(peer)


def talk_tls(peer, trusting):
    with trusting.wrap_socket(peer, server_hostname="localhost") as secret:
        upgrade(secret)
        echo(secret, b"x" * 50_000)


def through_proxy(proof, server, ports, authority):
    trusting = ssl.create_default_context(cafile=authority.certificate)
    shown = []
    for version in ("v1", "v2"):
        for what, talk in (("line", round_trip), ("WebSocket", talk_websocket), ("TLS", talk_tls)):
            with connect(ports[version]) as peer:
                address = peer.getsockname()
                talk(peer, trusting) if what == "TLS" else talk(peer)
            shown.append((what, version, named(server, address)))
    told = ", ".join(f"{what} {version}" for what, version, _ in shown)
    proof.claim(all(right for *_, right in shown), f"its own address is in the log: {told}")

    def checks():
        with socket.socket(socket.AF_UNIX) as stats:
            stats.connect(ports["stats"])
            stats.sendall(b"show stat\n")
            rows = [row.split(",") for row in receive_to_end(stats).decode().splitlines()]
        return {row[0]: row[17] for row in rows if row[1:2] == ["s"]}

    up = wait_until(lambda: checks()["v2"] == checks()["http"] == "UP", 3, step=0.1)
    proof.claim(up, "haproxy's own checks find it up, by PROXY and by GET /health")


def version_2(source, port=4000, command=1, rest=b""):
    """The header of version 2 for TCP over IPv4, with TLVs in `rest`."""
    addresses = socket.inet_aton(source) + socket.inet_aton("127.0.0.1") + struct.pack(">HH", port, 80) + rest
    return b"\r\n\r\n\0\r\nQUIT\n" + struct.pack(">BBH", 0x20 | command, 0x11, len(addresses)) + addresses


def by_hand(proof, server):
    """Headers that haproxy does not send: served with the address they tell, or refused."""
    served = {
        f"PROXY TCP4 {FORGED} 127.0.0.1 4001 80\r\n".encode(): rf"from {FORGED}:4001\b",
        b"PROXY TCP6 2001:db8::9 ::1 4002 80\r\n": r"from \[?2001:db8::9\]?:4002\b",
        b"PROXY UNKNOWN\r\n": r"from 127\.0\.0\.5:",
        b"PROXY UNKNOWN ffff:f...f whatever this is\r\n": r"from 127\.0\.0\.5:",
        version_2(FORGED, 4003): rf"from {FORGED}:4003\b",
        version_2(FORGED, 4004, rest=b"\x04\0\x05noop!" + b"\xe0\0\x01x"): rf"from {FORGED}:4004\b",
        version_2(FORGED, 4005, command=0): r"from 127\.0\.0\.5:",
    }
    wrong = []
    for header, pattern in served.items():
        with connect(server.port) as peer:
            for byte in header:
                peer.sendall(bytes([byte]))
            round_trip(peer)
        if not server.wait_log(pattern):
            wrong.append(f"{header!r} is not told by {pattern}")
    with connect(server.port) as peer:
        round_trip(peer, version_2(FORGED, 4006) + b"hi\n", b"hi\n")
    proof.claim(not wrong, "; ".join(wrong) or f"{len(served)} headers byte by byte, one with its first message")

    refused = [
        b"hi\n",
        request(),
        b"PROXY TCP4 1.2.3.4\r\nhi\n",
        b"PROXY TCP4 1.2.3.400 127.0.0.1 1 2\r\nhi\n",
        b"PROXY TCP4 1.2.3.4 127.0.0.1 1 65536\r\nhi\n",
        b"PROXY TCP4 1.2.3.4 127.0.0.1 1 2\nhi\n",
        b"PROXY TCP9 1.2.3.4 127.0.0.1 1 2\r\nhi\n",
        b"PROXY " + b"x" * 200,
        b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\x0c" + bytes(12) + b"hi\n",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x04" + bytes(4) + b"hi\n",
        b"\r\n\r\n\0\r\nQUIX\n" + bytes(16) + b"hi\n",
    ]
    answered = []
    for header in refused:
        got = answer_to(server.port, header)
        if b"hi\n" in got or b" 101 " in got:
            answered.append(header)
    told = f"served: {answered}" if answered else f"{len(refused)} broken headers, or none, are refused"
    proof.claim(not answered, told)


def untrusted(proof):
    """A PROXY header from an address that nobody trusts, and one X-Forwarded-For too many."""
    with Server("auto?proxy", trusted_proxies="10.0.0.0/8,192.168.0.0/16", log_level="debug") as server:
        for header in (b"PROXY TCP4 203.0.113.9 127.0.0.1 1 2\r\n", version_2(FORGED)):
            assert answer_to(server.port, header + b"hi\n") == b"", "an untrusted proxy was served"
        time.sleep(0.1)
        proof.claim(FORGED not in server.log(), "PROXY from an untrusted address is refused")

    cases = [{}, {"forwarded_hops": 1, "trusted_proxies": "10.0.0.0/8"}]
    for settings in cases:
        with Server("auto", log_level="debug", **settings) as server, connect(server.port) as peer:
            upgrade(peer, X_Forwarded_For=FORGED, X_Real_IP=FORGED, Forwarded=f"for={FORGED}")
            echo(peer)
            peer.shutdown(socket.SHUT_WR)
            receive_to_end(peer)
            own = named(server, peer.getsockname()) and FORGED not in server.log()
            assert own, f"{settings}: a forged address is in the log"
    proof.claim(True, "a forged X-Forwarded-For is ignored without trust")


def forwarded(proof, server, ports):
    """haproxy appends the address it sees to what a client may have forged."""
    for headers in ({}, {"X_Forwarded_For": FORGED}, {"X_Forwarded_For": f"{FORGED}, 203.0.113.10"}):
        with connect(ports["http"], OTHER) as peer:
            upgrade(peer, **headers)
            echo(peer)
    told = server.wait_log(rf"from {re.escape(OTHER)}\b")
    proof.claim(told and FORGED not in server.log(), f"X-Forwarded-For: {OTHER} is in the log, what it forged is not")


def limits(proof, proxied, forwarded_ports):
    """Two connections of each address, though all of them come from the proxy's."""
    with contextlib.ExitStack() as stack:
        for source in (CLIENT, OTHER):
            for _ in range(2):
                round_trip(stack.enter_context(connect(proxied, source)))
        with connect(proxied) as third:
            third.sendall(b"hi\n")
            refused = receive_to_end(third) == b""
    with contextlib.ExitStack() as stack:
        for source in (CLIENT, OTHER):
            for _ in range(2):
                peer = stack.enter_context(connect(forwarded_ports, source))
                upgrade(peer)
                echo(peer)
        with connect(forwarded_ports) as third:
            third.sendall(request())
            status = receive_head(third).partition("\r\n")[0]
    proof.claim(refused, "PROXY: 2 of each address are served, the third is not")
    proof.claim(" 429 " in status or " 503 " in status, f"X-Forwarded-For: the third gets {status!r}")


def main(proof):
    need("haproxy", "openssl")
    debug = {"log_level": "debug", "deflate": "off"}
    with Authority() as authority:
        certificate, key = authority.issue("server")
        tls = {"tls_certificate": certificate, "tls_key": key}
        with (
            Server("auto?proxy", **tls, **debug) as proxied,
            Server("auto", forwarded_hops=1, **debug) as by_header,
            Server("auto?proxy", max_connections_per_ip=2) as limited,
            Server("auto", forwarded_hops=1, max_connections_per_ip=2) as by_header_limited,
            haproxy(
                proxied=proxied.port, limited=limited.port, forwarded=by_header.port,
                forwarded_limited=by_header_limited.port,
            ) as ports,
        ):
            through_proxy(proof, proxied, ports, authority)
            by_hand(proof, proxied)
            forwarded(proof, by_header, ports)
            limits(proof, ports["v2_limited"], ports["http_limited"])
    untrusted(proof)


run(main)
