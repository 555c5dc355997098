"""Chromium, headless, from pages that may and pages that may not: messages, closes, compression, TLS, the shutdown."""

import json
import os
import signal
import subprocess
import tempfile

from certificates import Authority
from harness import HERE, Server, free_port, need, run

LIMIT = {"max_message_bytes": "4MiB"}
CHROMIUM = "/usr/bin/chromium"


def browse(proof, gateway, settings):
    """Runs the browser; ends `gateway` by SIGTERM when it says that it waits for that."""
    with tempfile.TemporaryDirectory(prefix="tidegate-", ignore_cleanup_errors=True) as home:
        command = ["node", HERE / "node/browser.mjs", json.dumps({**settings, "profile": f"{home}/profile"})]
        environment = {**os.environ, "HOME": home, "TMPDIR": home}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        with subprocess.Popen(command, env=environment, **pipes) as peer:
            try:
                for line in peer.stdout:
                    if line == "open\n":
                        gateway.process.send_signal(signal.SIGTERM)
                    else:
                        proof.claim(not line.startswith("FAILED"), line.strip())
                peer.wait(10)
            finally:
                end(peer)
    proof.claim(peer.returncode == 0, "the browser ended in order")


def end(peer):
    """Ends a browser's driver that is stuck, and by it the browser."""
    peer.terminate()
    try:
        peer.wait(10)
    except subprocess.TimeoutExpired:
        peer.kill()


def main(proof):
    need("node", CHROMIUM)
    page_port = free_port()
    origins = f"http://localhost:{page_port},https://*.tidegate.example"
    with Authority() as authority:
        certificate, key = authority.issue("server")
        tls = {"tls_certificate": certificate, "tls_key": key}
        with (
            Server("auto", allowed_origins=origins, drain_window="200ms", **LIMIT) as allowing,
            Server("auto", **LIMIT) as own,
            Server("auto", **tls, **LIMIT) as secure,
        ):
            ports = {"pagePort": page_port, "allowing": allowing.port, "own": own.port, "tls": secure.port}
            browse(proof, allowing, {"chromium": CHROMIUM, **ports})


run(main)
