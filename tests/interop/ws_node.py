"""Node's `ws`, strict about what it is answered, says what there is to say in a WebSocket, and gets it back."""

import os

from certificates import Authority
from harness import HERE, Server, claim_drained, claim_lines, need, run

PROGRAM = HERE / "node/ws.mjs"
LIMIT = {"max_message_bytes": "4MiB"}


def node(proof, server, *checks, scheme="ws", host="127.0.0.1", authority=None):
    environment = {**os.environ, "AUTHORITY": str(authority.certificate)} if authority else os.environ
    claim_lines(proof, ["node", PROGRAM, server.url(scheme, host=host), *checks], env=environment)


def main(proof):
    need("node")
    with Server("auto", deflate="off", **LIMIT) as server:
        node(proof, server, "messages", "pings", "closes", "hundred", "deflate:off")
    with Server("ws", **LIMIT) as server:
        node(proof, server, "deflate:on")
    with Server("auto", deflate="takeover", **LIMIT) as server:
        node(proof, server, "deflate:takeover")
    with Authority() as authority:
        certificate, key = authority.issue("server")
        with Server("auto", tls_certificate=certificate, tls_key=key, **LIMIT) as server:
            node(proof, server, "trust", scheme="wss", host="localhost", authority=authority)
    with Server("auto", drain_window="200ms") as server:
        claim_drained(proof, server, ["node", PROGRAM, server.url("ws"), "drain"])


run(main)
