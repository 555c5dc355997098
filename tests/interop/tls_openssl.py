"""openssl and Python's ssl: versions, ALPN, new certificates on SIGHUP, certificates of clients, bad peers, ends."""

import os
import random
import re
import signal
import socket
import ssl
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

from certificates import Authority
from harness import Server, frame, need, receive_to_end, round_trip, run, wait_until

MIB = 1 << 20
OPTIONS = {"TLSv1.2": "-tls1_2", "TLSv1.3": "-tls1_3"}
HALF_HELLO = bytes.fromhex("1603010200 010001fc 0303")
HEALTH = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"


class OpenSsl:
    """An `openssl s_client` that trusts `authority`; leave the `with` block to end it in order."""

    def __init__(self, server, authority, *options, listener=0):
        self.path = os.path.join(server.folder.name, f"s_client-{random.getrandbits(32)}")
        host, port = server.addresses[listener]
        command = ["openssl", "s_client", "-connect", f"{host}:{port}", "-servername", "localhost"]
        command += ["-CAfile", authority.certificate, "-verify_return_error", *options]
        with open(self.path, "wb") as output:
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

    def text(self):
        with open(self.path, encoding="utf-8", errors="replace") as output:
            return output.read()

    def shows(self, pattern, seconds=5):
        wait_until(lambda: re.search(pattern, self.text()), seconds)
        return re.search(pattern, self.text())

    def say(self, line):
        try:
            self.process.stdin.write(line)
            self.process.stdin.flush()
        except BrokenPipeError:
            pass

    def end(self):
        """Its status; it sends its close_notify when its input ends."""
        try:
            self.process.communicate(timeout=5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        return self.process.returncode


def context(authority, **settings):
    made = ssl.create_default_context(cafile=authority.certificate)
    for name, value in settings.items():
        setattr(made, name, value)
    return made


def wrap(server, authority, listener=0, **settings):
    """A TLS connection of Python's that takes no end without a close_notify for one."""
    peer = server.connect(listener)
    return context(authority, **settings).wrap_socket(peer, server_hostname="localhost", suppress_ragged_eofs=False)


def serial(server, authority):
    with wrap(server, authority) as peer:
        return int(peer.getpeercert()["serialNumber"], 16)


def versions(proof, server, authority):
    """Both versions with and without ALPN, on `auto` and on `tls`; then what is too old, and new keys on the way."""
    wrong, shown = [], 0
    for listener in (0, 1):
        for version in ("TLSv1.2", "TLSv1.3"):
            for offer in (None, "http/1.1", "h2,http/1.1"):
                options = [OPTIONS[version], *(["-alpn", offer] if offer else [])]
                with OpenSsl(server, authority, *options, listener=listener) as peer:
                    peer.say(b"tide and time\n")
                    echoed = peer.shows("tide and time")
                told, shown = peer.text(), shown + 1
                agreed = re.findall("ALPN protocol: (.*)", told)
                complaints = re.findall(".*error.*", told)
                if not echoed or version not in told or "Verify return code: 0" not in told:
                    wrong.append(f"{version} offering {offer} is not served: {told[-500:]}")
                elif agreed != (["http/1.1"] if offer else []):
                    wrong.append(f"{version} offering {offer} agreed on {agreed}")
                elif peer.process.returncode != 0 or complaints:
                    wrong.append(f"{version} offering {offer} ended with {peer.process.returncode} {complaints}")
    told = f"s_client had its line back in {shown} ways: 1.2, 1.3, with ALPN and without, on auto and tls"
    proof.claim(not wrong, "; ".join(wrong) or told)
    with OpenSsl(server, authority, "-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0") as peer:
        old = peer.shows("alert (protocol version|handshake failure)")
        peer.end()
    proof.claim(old and peer.process.returncode != 0, "1.1 is refused")
    with OpenSsl(server, authority, "-tls1_3") as peer:
        peer.say(b"tide in\n")
        before = peer.shows("tide in")
        peer.say(b"K\n")  # a command: new keys, and ask for the same
        time.sleep(0.2)
        peer.say(b"tide out\n")
        proof.claim(before and peer.shows("tide out"), "new keys in mid-stream")
    with OpenSsl(server, authority, "-alpn", "foreign") as peer:
        peer.say(b"far tide\n")
        told = peer.shows("no application protocol|far tide")
    proof.claim(told, f"an ALPN unknown to it: {'served' if told and told[0] == 'far tide' else 'refused'}")


def wires(proof, server, authority):
    """What runs inside TLS, and a handshake that comes byte by byte."""
    for listener in (0, 1):
        for message, answer in ((frame(b"tide"), None), (b"ping\n", b"pong\n"), (HEALTH, b"HTTP/1.1 200 OK\r\n")):
            with wrap(server, authority, listener) as peer:
                round_trip(peer, message, answer)
    with wrap(server, authority, 1) as peer:
        took = round_trip(peer, frame(os.urandom(MIB)))
    proof.claim(True, f"length prefix, line and HTTP inside; 1 MiB came back in {took * 1000:.0f} ms")

    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context(authority).wrap_bio(incoming, outgoing, server_hostname="localhost")
    with server.connect() as peer:
        drive(tls.do_handshake, peer, incoming, outgoing)
        tls.write(b"byte by byte\n")
        answer = drive(lambda: tls.read(100), peer, incoming, outgoing)
    proof.claim(answer == b"byte by byte\n", "a handshake byte by byte")


def drive(step, peer, incoming, outgoing):
    """Repeats `step` until it has what it needs; each byte leaves by itself."""
    for _ in range(50):
        try:
            return step()
        except ssl.SSLWantReadError:
            pass
        finally:
            for byte in outgoing.read():
                peer.sendall(bytes([byte]))
        incoming.write(peer.recv(65536))
    raise AssertionError("the handshake does not end")


def reload(proof, authority):
    certificate, key = authority.issue("server")
    with Server("auto", "wss", tls_certificate=certificate, tls_key=key, log_level="info") as server:
        first = serial(server, authority)
        with wrap(server, authority) as old:
            round_trip(old)
            authority.issue("server")
            server.process.send_signal(signal.SIGHUP)
            renewed = wait_until(lambda: serial(server, authority) == authority.serial, 3, step=0.05)
            with wrap(server, authority, 1) as other:
                everywhere = int(other.getpeercert()["serialNumber"], 16) == authority.serial
            round_trip(old)
            told = f"SIGHUP: serial {first}, then {serial(server, authority)}; an old connection goes on"
            proof.claim(renewed and everywhere and first != authority.serial, told)

            good = certificate.read_bytes(), key.read_bytes()
            other_certificate, _ = authority.issue("other")
            broken = {
                "no PEM": (b"not a certificate", good[1]),
                "half a key": (good[0], good[1][:80]),
                "another's key": (other_certificate.read_bytes(), good[1]),
                "no file": (None, good[1]),
            }
            kept = [stays(server, authority, certificate, key, files) for files in broken.values()]
            round_trip(old)
            proof.claim(all(kept), f"kept the old one, and named the file: {list(broken)} {kept}")

            certificate.write_bytes(good[0])
            key.write_bytes(good[1])
            authority.issue("server")
            server.process.send_signal(signal.SIGHUP)
            mended = wait_until(lambda: serial(server, authority) == authority.serial, 3, step=0.05)
            proof.claim(mended, "and took the next good one")


def stays(server, authority, certificate, key, files):
    """Whether broken files are named in the log, and change nothing."""
    before, logged = serial(server, authority), len(server.log())
    for path, content in zip((certificate, key), files):
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_bytes(content)
    server.process.send_signal(signal.SIGHUP)
    names = f"(WARN|ERROR).*({re.escape(certificate.name)}|{re.escape(key.name)})"
    named = wait_until(lambda: re.search(names, server.log()[logged:]), 2)
    return bool(named) and serial(server, authority) == before


def clients_certificates(proof, authority):
    certificate, key = authority.issue("server")
    tls = {"tls_certificate": certificate, "tls_key": key}
    with Authority("clients") as clients, Authority("foreign") as foreign:
        own, stranger = clients.issue("client", "clientAuth"), foreign.issue("client", "clientAuth")
        tls["tls_client_ca"] = clients.certificate

        def outcome(server, version, pair):
            options = ["-cert", pair[0], "-key", pair[1]] if pair else []
            with OpenSsl(server, authority, version, *options) as peer:
                peer.say(b"it is me\n")
                wait_until(lambda: peer.shows("it is me|alert|closed", 0) or peer.process.poll() is not None, 3)
                return "served" if peer.shows("it is me", 0) else "refused"

        with Server("auto", tls_require_client_certificate="true", **tls) as server:
            pairs = own, stranger, None
            strict = [outcome(server, version, pair) for version in OPTIONS.values() for pair in pairs]
        with Server("auto", **tls) as server:
            lenient = [outcome(server, "-tls1_3", pair) for pair in (own, stranger, None)]
    right = strict == ["served", "refused", "refused"] * 2
    proof.claim(right, f"certificates required: its own is {strict[0]}, a stranger's {strict[1]}, none {strict[2]}")
    right = lenient == ["served", "refused", "served"]
    proof.claim(right, f"asked for: {', '.join(lenient)}")


def ends_within(peer, seconds):
    """What still came, or None where the server did not hang up in time."""
    peer.settimeout(seconds)
    try:
        return receive_to_end(peer)
    except TimeoutError:
        return None


def bad_peers(proof, authority):
    certificate, key = authority.issue("server")
    tls = {"tls_certificate": certificate, "tls_key": key}
    with Server("wss", "tls", "auto", handshake_timeout="1s", **tls) as server, wrap(server, authority, 2) as friend:
        round_trip(friend)
        plain = []
        for listener, message in ((0, HEALTH), (1, b"a plain line\n"), (1, HEALTH)):
            with server.connect(listener) as peer:
                peer.sendall(message)
                plain.append(ends_within(peer, 0.8))
        right = all(got is not None and b"HTTP" not in got and b"plain" not in got for got in plain)
        proof.claim(right, f"who is plain on wss and tls is told {[got and got.hex() for got in plain]}")

        seeded, survived = random.Random(1), 0
        for n in range(60):
            with server.connect(n % 3) as peer:
                garbage = bytes([22, 3, 1]) + seeded.randbytes(seeded.choice([3, 100, 20_000]))
                peer.sendall(garbage)
                peer.shutdown(socket.SHUT_WR)
                survived += ends_within(peer, 3) is not None
        proof.claim(survived == 60, f"{survived} of 60 that sent garbage were ended")

        silent = [(server, listener, hello) for listener in (0, 1, 2) for hello in (b"", HALF_HELLO)]
        with ThreadPoolExecutor(len(silent)) as pool:
            late = list(pool.map(lambda each: handshake_end(*each), silent))
        timely = all(0.9 <= took <= 1.3 for took in late)
        proof.claim(timely, f"silent ones are gone after {min(late):.2f} to {max(late):.2f} s")
        with wrap(server, authority, 2) as peer:
            began = time.monotonic()
            ended = peer.recv(100) == b""  # an end without a close_notify would raise
            took = time.monotonic() - began
        proof.claim(ended and took <= 1.3, f"silent after its handshake: after {took:.2f} s")
        round_trip(friend)


def handshake_end(server, listener, hello):
    """Seconds until the server gave up on a peer that sends `hello`, and then a byte now and then."""
    with server.connect(listener) as peer:
        began = time.monotonic()
        peer.sendall(hello)
        peer.settimeout(0.2)
        while time.monotonic() < began + 3:
            try:
                if hello:
                    peer.sendall(b"\0")
                if not peer.recv(100):
                    break
            except TimeoutError:
                continue
            except OSError:
                break
        return time.monotonic() - began


def ends(proof, authority):
    """A close_notify is answered by one, and sent at the end: no truncation goes unnoticed."""
    certificate, key = authority.issue("server")
    tls = {"tls_certificate": certificate, "tls_key": key}
    with Server("auto", drain_window="100ms", **tls) as server:
        with wrap(server, authority) as peer:
            round_trip(peer)
            rest = peer.unwrap()  # raises where the other's close_notify does not come
            rest.settimeout(5)
            proof.claim(rest.recv(100) == b"", "close_notify is answered")
        with wrap(server, authority) as peer, OpenSsl(server, authority, "-ign_eof") as other:
            round_trip(peer)
            other.say(b"still tide\n")
            assert other.shows("still tide")
            server.process.send_signal(signal.SIGTERM)
            ended = peer.recv(100) == b""
            other.shows("closed")
            status = other.end()
        told = other.text()
        right = ended and status == 0 and "unexpected eof" not in told and "closed" in told
        proof.claim(right, "SIGTERM: both peers saw a close_notify")
        proof.claim(server.process.wait(10) == 0, "status 0")


def main(proof):
    need("openssl")
    with Authority() as authority:
        certificate, key = authority.issue("server")
        limits = {"max_message_bytes": "2MiB"}
        with Server("auto", "tls", tls_certificate=certificate, tls_key=key, **limits) as server:
            versions(proof, server, authority)
            wires(proof, server, authority)
        reload(proof, authority)
        clients_certificates(proof, authority)
        bad_peers(proof, authority)
        ends(proof, authority)


run(main)
