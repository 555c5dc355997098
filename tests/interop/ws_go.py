"""A program in Go, on gorilla/websocket, says what there is to say in a WebSocket, and gets it back.

It is built by setup.sh from go/gorilla.
"""

import sys

from certificates import Authority
from harness import HERE, Server, claim_drained, claim_lines, run

PROGRAM = HERE / "go/bin/gorilla"
LIMIT = {"max_message_bytes": "4MiB"}


def gorilla(proof, url, *checks):
    claim_lines(proof, [PROGRAM, "-url", url, *checks])


def main(proof):
    if not PROGRAM.exists():
        sys.exit("ws_go: FAILED: run tests/interop/setup.sh first")
    with Server("auto", deflate="off", **LIMIT) as server:
        gorilla(proof, server.url("ws"), "messages", "pings", "closes", "hundred", "deflate:off")
    with Server("ws", **LIMIT) as server:
        gorilla(proof, server.url("ws"), "deflate:on")
    with Server("auto", deflate="takeover", **LIMIT) as server:
        gorilla(proof, server.url("ws"), "deflate:takeover")
    with Authority() as authority:
        certificate, key = authority.issue("server")
        with Server("wss", tls_certificate=certificate, tls_key=key, **LIMIT) as server:
            gorilla(proof, server.url("wss", host="localhost"), f"trust:{authority.certificate}")
    with Server("auto", drain_window="200ms") as server:
        claim_drained(proof, server, [PROGRAM, "-url", server.url("ws"), "drain"])


run(main)
