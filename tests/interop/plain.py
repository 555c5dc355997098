"""Every plain wire answers as a person or a tutorial's program expects, and what is not served is refused politely.

Needs curl and nc in the OpenBSD flavour (on Debian: apt-get install curl netcat-openbsd).
"""

import shutil
import ssl
import subprocess
import sys
import tempfile
import time

from harness import Server, frame, receive, receive_to_end, round_trip, run

MIB = 1 << 20


def netcat(proof):
    if not shutil.which("nc"):
        sys.exit("plain: FAILED: nc is missing: apt-get install netcat-openbsd")
    with Server("auto") as server:
        line = r"""printf 'hi\nping\n{"type":"ping"}\n' | nc -q1 127.0.0.1 """ + str(server.port)
        got = subprocess.run(line, shell=True, capture_output=True, timeout=10).stdout
    proof.claim(got == b'hi\npong\n{"type":"pong"}\n', f"nc printed {got!r}")


def length_frames(proof):
    with Server("auto", max_message_bytes="2MiB") as server:
        with server.connect() as peer:
            for byte in frame(b"byte by byte") + frame(b""):
                peer.sendall(bytes([byte]))
                time.sleep(0.002)
            got = receive(peer, 20)
            proof.claim(got == frame(b"byte by byte") + frame(b""), "frames sent byte by byte came back")

            ten = b"".join(frame(b"message %d" % n) for n in range(10))
            proof.claim(round_trip(peer, ten) < 5, "ten frames in one write came back")

            big = frame(bytes(range(256)) * (MIB // 256))
            took = round_trip(peer, big)
            proof.claim(True, f"1 MiB came back in {took * 1000:.0f} ms")


def lengths_over_the_limit(proof):
    """0xFFFFFFFF on a fixed wire; on `auto`, where 0xFF begins a line, the most that a first 0 can announce."""
    with Server("tcp", "auto") as server:
        slowest, before = 0, server.rss_anon()
        for n in range(100):
            for listener, header in ((0, b"\xff\xff\xff\xff"), (1, b"\x00\xff\xff\xff")):
                with server.connect(listener) as peer:
                    began = time.monotonic()
                    peer.sendall(header)
                    assert receive_to_end(peer) == b""
                    slowest = max(slowest, time.monotonic() - began)
        grown = server.rss_anon() - before
        named = server.wait_log("MessageTooLarge")
    proof.claim(slowest < 0.5, f"0xFFFFFFFF was refused within {slowest * 1000:.1f} ms")
    proof.claim(grown < MIB, f"200 such lengths grew RssAnon by {grown >> 10} KiB")
    proof.claim(named, "MessageTooLarge is in the log")


def one_mib_by_default(proof):
    with Server("tcp") as server, server.connect() as peer:
        peer.sendall(frame(b"x" * MIB)[:4])
        proof.claim(receive_to_end(peer) == b"", "1 MiB is refused at the default limit")


def foreign_protocols(proof):
    with Server("auto") as server:
        url = f"http://127.0.0.1:{server.port}/"
        shown = ["curl", "-s", "-m5", "-o", "/dev/null", "-w", "%{http_code}", url]
        curl = subprocess.run(shown, capture_output=True, text=True, timeout=10)
        polite = curl.returncode == 0 and curl.stdout == "404"
        proof.claim(polite, f"curl got HTTP {curl.stdout} (exit {curl.returncode}) where nothing is served")
        with server.connect() as peer:
            try:
                ssl.create_default_context().wrap_socket(peer, server_hostname="localhost")
                told = "nothing"
            except OSError as error:
                told = getattr(error, "reason", None) or repr(error)
        proof.claim("ALERT" in told, f"a TLS client was told {told}")
        proof.claim(server.wait_log("TlsNotServed"), "TlsNotServed is in the log")


def listeners(proof):
    """Several at once. A fixed wire takes every first byte for its own; a Unix socket tells wires apart like `auto`."""
    with tempfile.TemporaryDirectory(prefix="tidegate-") as folder:
        with Server("auto", "tcp", "line", "raw", f"unix://{folder}/socket") as server:
            cases = [
                (0, b"a line\r\n", b"a line\n"),
                (0, frame(b"a frame"), None),
                (1, frame(b"a frame"), None),
                (2, b"GET / HTTP/1.1\n", None),
                (2, b"\0\0\0\1x\n", None),
                (3, b"ping", b"pong"),
                (3, b"\0\0\0\1x", None),
                (4, b"a line\n", None),
                (4, frame(b"a frame"), None),
            ]
            for listener, message, answer in cases:
                with server.connect(listener) as peer:
                    round_trip(peer, message, answer)
    proof.claim(True, "auto, tcp, line, raw and unix listeners answered side by side")


def main(proof):
    netcat(proof)
    length_frames(proof)
    lengths_over_the_limit(proof)
    one_mib_by_default(proof)
    foreign_protocols(proof)
    listeners(proof)


run(main)
