"""curl and a bare socket ask for what HTTP/1.1 has to offer; forms that smuggle requests are refused. Needs curl."""

import base64
import hashlib
import re
import subprocess
import time

from certificates import Authority
from harness import Server, need, receive_to_end, run

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = base64.b64encode(hashlib.sha1(f"{KEY}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()).decode()
UPGRADE = {"Host": "h", "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
UPGRADE["Sec-WebSocket-Key"] = KEY


def curl(*arguments):
    """What curl printed, with `-w` asking for a status and a count of new connections for each URL; and its status."""
    command = ["curl", "-sS", "-m5", "--noproxy", "*", "-o", "/dev/null", "-w", "%{http_code}/%{num_connects} "]
    done = subprocess.run([*command, *map(str, arguments)], capture_output=True, text=True, timeout=10)
    return done.stdout.strip(), done.stderr, done.returncode


def head(method="GET", target="/health", version="HTTP/1.1", **headers):
    """A request's head; names of headers are written with `_` for `-`."""
    headers = {"Host": "h", **{name.replace("_", "-"): value for name, value in headers.items()}}
    lines = [f"{method} {target} {version}", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def exchange(server, request):
    """Everything that comes back for `request` until the server hangs up, which it must within a second."""
    with server.connect() as peer:
        peer.settimeout(1)
        peer.sendall(request)
        return receive_to_end(peer)


def statuses(answers):
    return [int(code) for code in re.findall(rb"HTTP/1\.[01] (\d{3})", answers)]


def requests(proof, server):
    health, nowhere = server.url("http", "/health"), server.url("http", "/nowhere")
    shown = subprocess.run(["curl", "-sS", "-m5", "-i", health], capture_output=True, timeout=10).stdout
    right = shown.startswith(b"HTTP/1.1 200 ") and shown.endswith(b"\r\n\r\nok\n")
    proof.claim(right, f"GET /health: {shown.split(bytes([13]))[0].decode()} and {shown[-3:]!r}")

    cases = [
        (["-I", health], "200/1"),
        ([health, "-o", "/dev/null", health, "-o", "/dev/null", nowhere, "-o", "/dev/null", health],
         "200/1 200/0 404/0 200/0"),
        (["-d", "x" * 5000, nowhere, "--next", "-s", "-w", "%{http_code}/%{num_connects}", "-o", "/dev/null", health],
         "404/1 200/0"),
        (["-d", "x" * 5000, "-H", "Transfer-Encoding: chunked", nowhere,
          "--next", "-s", "-w", "%{http_code}/%{num_connects}", "-o", "/dev/null", health], "404/1 200/0"),
        (["-0", health, "-o", "/dev/null", health], "200/1 200/1"),
        (["-X", "DELETE", health], "405/1"),
        (["-d", "x", health], "405/1"),
        (["-H", "Upgrade: h2c", "-H", "Connection: Upgrade", health], "200/1"),
    ]
    wrong = []
    for arguments, expected in cases:
        told, errors, _ = curl(*arguments)
        if told != expected:
            wrong.append(f"{arguments} got {told}, not {expected} {errors}")
    proof.claim(not wrong, "; ".join(wrong) or f"{len(cases)} runs of curl: HEAD, kept alive, bodies, 1.0, 404, 405")

    began = time.monotonic()
    told, noted, _ = curl("-v", "-H", "Expect: 100-continue", "-d", "x" * 5000, nowhere)
    took = time.monotonic() - began  # without an answer curl would wait for a second
    invited = "invited by 100" if "HTTP/1.1 100" in noted else "at once"
    proof.claim(told == "404/1" and took < 0.9, f"Expect: 100-continue: {invited}")
    told, noted, status = curl("-H", "X-Long: " + "x" * 65_536, health)
    proof.claim(told.startswith("431/"), f"64 KiB of head: {told}{noted}")


def raw_requests(proof, server):
    answers = exchange(server, head() + head("HEAD") + head(target="/nowhere") + head(Connection="close") + head())
    codes, bodies = statuses(answers), answers.count(b"\r\n\r\nok\n")
    proof.claim((codes, bodies) == ([200, 200, 404, 200], 2), f"pipelined, and none after the close: {codes}")

    answers = exchange(server, b"GET /health HTTP/1.0\r\n\r\n" + head())
    proof.claim(statuses(answers) == [200], f"1.0 without a host: {statuses(answers)}, closed")

    with server.connect() as peer:
        for byte in head("POST", "/nowhere", Content_Length="3") + b"abc" + head(Connection="close"):
            peer.sendall(bytes([byte]))
        codes = statuses(receive_to_end(peer))
    proof.claim(codes == [404, 200], f"byte by byte: {codes}")

    chunks = b"3\r\nabc\r\n1a;name=value\r\n" + b"x" * 26 + b"\r\n0\r\nTrailer: x\r\n\r\n"
    post = head("POST", "/nowhere", Transfer_Encoding="chunked")
    codes = statuses(exchange(server, post + chunks + head(Connection="close")))
    proof.claim(codes == [404, 200], f"in chunks: {codes}")

    many = "\r\n".join(["GET /health HTTP/1.1", "Host: h", *(f"a{n}: b" for n in range(2000)), "", ""])
    answers = exchange(server, many.encode())
    proof.claim(statuses(answers) in ([431], [400]), f"2,000 headers: {statuses(answers)}, closed")


def complaint(server, request, allowed):
    """What is wrong with the answer to a bad request: it is one of `allowed`, alone, and the last that is said."""
    try:
        answers = exchange(server, request + head())
    except TimeoutError:
        return "not closed"
    codes = statuses(answers)
    if len(codes) != 1 or codes[0] not in allowed:
        return f"got {answers[:80]!r}, not {allowed}"
    if codes == [426] and b"sec-websocket-version: 13" not in answers.lower():
        return f"426 without the version: {answers!r}"
    return None


def handshakes(proof, server):
    told = subprocess.run(
        ["curl", "-sS", "-i", "-m0.5", "--http1.1", server.url("http", "/any"),
         *(f"-H{name}: {value}" for name, value in UPGRADE.items())],
        capture_output=True, text=True, timeout=10,
    ).stdout
    right = told.startswith("HTTP/1.1 101 ") and f"sec-websocket-accept: {ACCEPT}".lower() in told.lower()
    proof.claim(right, f"an upgrade by hand: {told.splitlines()[:1]}")

    def ask(method="GET", version="HTTP/1.1", leave=None, **changes):
        headers = {**UPGRADE, **{name.replace("_", "-"): value for name, value in changes.items()}}
        headers.pop(leave, None)
        return head(method, "/", version, **headers)

    cases = [
        (ask(Sec_WebSocket_Version="8"), [426]),
        (ask(leave="Sec-WebSocket-Version"), [426, 400]),
        (ask(leave="Sec-WebSocket-Key"), [400]),
        (ask(Sec_WebSocket_Key="dGVu"), [400]),
        (ask(Sec_WebSocket_Key="not base64 at all!!!!!!!"), [400]),
        (ask("POST"), [400, 405]),
        (ask(version="HTTP/1.0"), [400, 426, 505]),
        (ask(Origin="https://foreign.example"), [403]),
        (ask(Origin="null"), [403]),
        (ask(Origin="https://h.foreign.example"), [403]),
        (ask(Origin="https://notb.example"), [403]),
        (ask(Content_Length="5") + b"hello", [400]),
        (ask(Transfer_Encoding="chunked") + b"0\r\n\r\n", [400]),
    ]
    told = [complaint(server, request, allowed) for request, allowed in cases]
    wrong = [f"{request[:60]!r}: {each}" for (request, _), each in zip(cases, told) if each]
    proof.claim(not wrong, "; ".join(wrong) or f"{len(cases)} bad upgrades are refused, closed")
    for origin in ("https://a.example", "https://deep.b.example"):
        with server.connect() as peer:
            peer.sendall(ask(Origin=origin))
            proof.claim(statuses(peer.recv(4096)) == [101], f"{origin} may")


def framed(*lines, body=b"hello", target="/nowhere", version="HTTP/1.1", host="h"):
    """A POST whose head holds `lines` as they stand."""
    first = [f"POST {target} {version}", *([f"Host: {host}"] if host else [])]
    return "\r\n".join([*first, *lines, "", ""]).encode("latin-1") + body


def chunked(body):
    return framed("Transfer-Encoding: chunked", body=body)


BAD, BAD_OR_UNKNOWN, BAD_OR_LARGE = [400], [400, 501], [400, 413]
SMUGGLED = [
    ("length and chunked", framed("Content-Length: 5", "Transfer-Encoding: chunked", body=b"0\r\n\r\n"), BAD),
    ("chunked and length", framed("Transfer-Encoding: chunked", "Content-Length: 5", body=b"0\r\n\r\n"), BAD),
    ("two lengths", framed("Content-Length: 5", "Content-Length: 6"), BAD),
    ("one length twice", framed("Content-Length: 5", "content-length: 5"), BAD),
    ("a list of lengths", framed("Content-Length: 5, 5"), BAD),
    ("a signed length", framed("Content-Length: +5"), BAD),
    ("a negative length", framed("Content-Length: -5"), BAD),
    ("a hexadecimal length", framed("Content-Length: 0x5"), BAD),
    ("a length and more", framed("Content-Length: 5 5"), BAD),
    ("an empty length", framed("Content-Length:"), BAD),
    ("a length beyond 64 bits", framed("Content-Length: 18446744073709551621"), BAD_OR_LARGE),
    ("a space before the colon", framed("Transfer-Encoding : chunked", body=b"0\r\n\r\n"), BAD),
    ("a tab before the colon", framed("Content-Length\t: 5"), BAD),
    ("a vertical tab in a coding", framed("Transfer-Encoding: chunked\x0b", body=b"0\r\n\r\n"), BAD_OR_UNKNOWN),
    ("an unknown coding", framed("Transfer-Encoding: xchunked", body=b"0\r\n\r\n"), BAD_OR_UNKNOWN),
    ("a coding after chunked", framed("Transfer-Encoding: chunked, identity", body=b"0\r\n\r\n"), BAD_OR_UNKNOWN),
    ("a coding before chunked", framed("Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n"), BAD_OR_UNKNOWN),
    ("two codings", framed("Transfer-Encoding: chunked", "Transfer-Encoding: x", body=b"0\r\n\r\n"), BAD_OR_UNKNOWN),
    ("chunked twice", framed("Transfer-Encoding: chunked, chunked", body=b"0\r\n\r\n"), BAD_OR_UNKNOWN),
    ("chunked in 1.0", framed("Transfer-Encoding: chunked", version="HTTP/1.0", body=b"0\r\n\r\n"), BAD_OR_UNKNOWN),
    ("a folded header", framed("X: a", " b", "Content-Length: 5"), BAD),
    ("a folded coding", framed("Transfer-Encoding:", " chunked", body=b"0\r\n\r\n"), BAD),
    ("a space before the first header", framed(" Content-Length: 5", host=None), BAD),
    ("a bare line feed in the head", framed("X: y\nContent-Length: 5"), BAD),
    ("bare line feeds alone", b"POST /nowhere HTTP/1.1\nHost: h\nContent-Length: 0\n\n", BAD),
    ("a bare carriage return in a value", framed("X: a\rContent-Length: 5"), BAD),
    ("a zero byte in a value", framed("X: a\0b", "Content-Length: 5"), BAD),
    ("a space in a name", framed("Content Length: 5"), BAD),
    ("a header without a name", framed(": 5"), BAD),
    ("a header without a colon", framed("Content-Length 5"), BAD),
    ("no host", framed("Content-Length: 5", host=None), BAD),
    ("two hosts", framed("Host: other", "Content-Length: 5"), BAD),
    ("a host that is none", framed("Content-Length: 5", host="h, other"), BAD),
    ("a chunk beyond 64 bits", chunked(b"10000000000000005\r\nhello\r\n0\r\n\r\n"), BAD_OR_LARGE),
    ("a chunk size with a prefix", chunked(b"0x5\r\nhello\r\n0\r\n\r\n"), BAD),
    ("a signed chunk size", chunked(b"+5\r\nhello\r\n0\r\n\r\n"), BAD),
    ("a chunk without a size", chunked(b"\r\nhello\r\n0\r\n\r\n"), BAD),
    ("a line feed in a chunk's extension", chunked(b"5;a\nhello\r\n0\r\n\r\n"), BAD),
    ("chunks with line feeds alone", chunked(b"5\nhello\n0\n\n"), BAD),
    ("a chunk longer than it says", chunked(b"5\r\nhello!\r\n0\r\n\r\n"), BAD),
    ("two spaces in the request line", framed("Content-Length: 5", target=" /nowhere"), BAD),
    ("a word after the version", framed("Content-Length: 5", version="HTTP/1.1 x"), BAD),
    ("no version", b"GET /health\r\nHost: h\r\n\r\n", BAD),
    ("another protocol's version", framed("Content-Length: 5", version="HTTP/2.0"), [400, 505]),
    ("a control character in the target", framed("Content-Length: 5", target="/a\x7fb"), BAD),
]


def smuggling(proof, server):
    """Behind each stands a request for /health, which must not be read as one."""
    began = time.monotonic()
    told = [(name, complaint(server, request, allowed)) for name, request, allowed in SMUGGLED]
    wrong = [f"{name}: {each}" for name, each in told if each]
    took = f"all within {time.monotonic() - began:.1f} s"
    proof.claim(not wrong, "; ".join(wrong) or f"{len(SMUGGLED)} forms of smuggling are refused and closed, {took}")


def over_tls(proof):
    with Authority() as authority:
        certificate, key = authority.issue("server")
        with Server("auto", tls_certificate=certificate, tls_key=key) as server:
            health = server.url("https", "/health", host="localhost")
            trusted = curl("--http2", "--cacert", authority.certificate, health, "-o", "/dev/null", health)
            told, _, status = curl(health)
    proof.claim(trusted[0] == "200/1 200/0", f"https: {trusted[0]} {trusted[1]}")
    proof.claim(status == 60, f"without the authority curl ends with {status}")


def main(proof):
    need("curl")
    with Server("auto", allowed_origins="https://a.example,https://*.b.example") as server:
        requests(proof, server)
        raw_requests(proof, server)
        handshakes(proof, server)
        smuggling(proof, server)
    over_tls(proof)


run(main)
