#!/usr/bin/env python3
"""`tidegate bench` from outside: against this gateway on every wire and inside TLS, against an echo by Python `websockets`
and one by Node `ws`; JSON whose figures add up; a page that needs nothing else; and a load that says when it was what
set the limit, when descriptors run out and when ports do.
"""

import asyncio
import json
import logging
import os
import resource
import subprocess
import sys
import tempfile
import threading
from html.parser import HTMLParser

from certificates import Authority
from harness import HERE, TIDEGATE, Server, answers, clean_environment, enter_venv, free_port, need, run, wait_until

NODE_ECHO = """
const { WebSocketServer } = require('ws');
new WebSocketServer({ host: '127.0.0.1', port: Number(process.argv[1]) }).on('connection', (socket) => {
  socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
});
"""
SHORT = ["--warm-up", "100ms", "--duration", "1s"]


def bench(*arguments, cpus=None, descriptors=None, seconds=60):
    """Exit code, JSON if there is some, and what was said on stderr."""
    def limits():
        if cpus:
            os.sched_setaffinity(0, cpus)
        if descriptors:
            resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))

    command = [TIDEGATE, "bench", *map(str, arguments), "--json", "--quiet"]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=seconds, env=clean_environment(), preexec_fn=limits
    )
    return done.returncode, json.loads(done.stdout) if done.stdout else None, done.stderr


def adds_up(figures):
    """What is wrong with the figures of a run in which all went well, or nothing."""
    done = sum(row["count"] for row in figures["series"])
    latency = figures["latency_us"]
    order = [latency[name] for name in ("min", "p50", "p90", "p99", "p99_9", "p99_99", "max")]
    faults = {
        "the rate is not the count over the seconds": abs(figures["rate"] * figures["seconds"] - done) > 1,
        "latencies are not in order": order != sorted(order) or order[0] <= 0,
        "the mean is outside": not latency["min"] <= latency["mean"] <= latency["max"],
        "there are errors": figures["errors"],
        "something is unanswered": figures["counts"].get("unanswered"),
        "the first count is not the unit": next(iter(figures["counts"])) != figures["unit"],
        "the load took no time": not 0 < figures["load"]["busy"] <= 1.01,
        "no rows": not figures["series"],
    }
    return [text for text, is_so in faults.items() if is_so]


def claim_good(proof, name, outcome):
    code, figures, told = outcome
    wrong = adds_up(figures) if code == 0 else [told.strip()]
    proof.claim(not wrong, f"{name}: {figures['rate']:.0f}/s" if not wrong else f"{name}: {wrong}")
    return figures


class Page(HTMLParser):
    """Counts charts, and whatever would reach out of the page."""

    def __init__(self, text):
        super().__init__()
        self.open, self.charts, self.outside = [], 0, []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.charts += tag == "svg"
        reaching = {"src", "href", "xlink:href", "action", "data", "poster", "srcset"}
        self.outside += [f"{tag} {name}" for name, _ in attributes if name in reaching]
        self.outside += [tag] if tag in ("script", "link", "iframe", "object", "embed") else []
        if tag not in ("meta", "br", "line", "polyline", "polygon"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}> closes something else"


def claim_wires(proof):
    with Server("ws", "tcp", "line", "raw") as server:
        for scheme, (_, port) in zip(("ws", "tcp", "line", "raw"), server.addresses):
            url = f"{scheme}://127.0.0.1:{port}"
            figures = claim_good(proof, f"echo {scheme}", bench("echo", url, *SHORT, "--server-pid", server.pid))
            if figures:
                costs = figures["server"]["cpu_us_per_message"]
                proof.claim(0.1 < costs < 500, f"the server's CPU a message is told ({scheme} {costs:.1f} us)")
        url = f"ws://127.0.0.1:{server.addresses[0][1]}"
        figures = claim_good(proof, "open loop", bench("echo", url, *SHORT, "--rate", 1000))
        proof.claim(figures and abs(figures["rate"] - 1000) < 20, "it keeps the rate that is asked for")
        claim_good(proof, "storm", bench("storm", url, "--connections", 500, "--warm-up", "0s"))
        claim_page(proof, url)
    with Server("ws", app="broadcast") as server:
        claim_good(proof, "broadcast", bench("fanout", server.url("ws"), *SHORT, "--depth", 4))
    with Server("auto", app="hub", insecure="true") as server:
        hub = server.url("ws", "/connection/websocket")
        figures = claim_good(proof, "hub", bench("fanout", hub, "--channel", "a", *SHORT))
        proof.claim(figures and figures["counts"]["lost"] == 0, "nothing is lost")
        code, figures, _ = bench("storm", hub, "--channel", "b", "--reconnect", "--connections", 300, "--missed", 40)
        counts = figures["counts"]
        whole = code == 0 and (counts["whole"], counts["recovered"], counts["doubled"]) == (300, 12000, 0)
        proof.claim(whole, "300 clients that are cut at once come back and recover 40 publications each")


def claim_tls(proof):
    with Authority() as authority:
        certificate, key = authority.issue("server")
        trusting = ["--tls-ca", authority.certificate]
        with Server("tls", tls_certificate=certificate, tls_key=key) as server:
            for scheme in ("wss", "tls"):
                url = server.url(scheme, "", "localhost")
                claim_good(proof, scheme, bench("echo", url, *SHORT, *trusting, "--depth", 8, "--size", "4KiB"))
            code, _, told = bench("echo", server.url("wss", "", "localhost"), *SHORT)
            proof.claim(code == 1 and "TLS failed" in told, "a certificate that nobody vouches for is told as such")


def claim_page(proof, url):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "report.html")
        bench("echo", url, "--warm-up", "0s", "--duration", "2200ms", "--report", path)
        with open(path, encoding="utf-8") as file:
            text = file.read()
        page = Page(text)
        outside = page.outside + [part for part in ("http:", "https:", "@import", "url(") if part in text]
        proof.claim(not page.open and page.charts == 3 and not outside, f"the page has 3 charts and is whole {outside}")


def claim_foreign_servers(proof):
    import websockets

    # A load ends its connections by resets.
    logging.getLogger("websockets").setLevel(logging.CRITICAL)
    port, ready = free_port(), threading.Event()

    async def serve():
        async def echo(socket):
            async for message in socket:
                await socket.send(message)

        async with websockets.serve(echo, "127.0.0.1", port, ping_interval=0.3):
            ready.set()
            await asyncio.Future()

    threading.Thread(target=lambda: asyncio.run(serve()), daemon=True).start()
    ready.wait(10)
    for depth in (1, 8):
        outcome = bench("echo", f"ws://127.0.0.1:{port}", *SHORT, "--depth", depth, "--text", "--connections", 8)
        claim_good(proof, f"Python websockets, depth {depth}", outcome)
    code, figures, _ = bench("idle", f"ws://127.0.0.1:{port}", "--connections", 20, "--duration", "1s")
    answered = figures["counts"]["pings_answered"]
    proof.claim(code == 0 and answered > 20 and figures["counts"]["lost"] == 0, f"{answered} of its pings are answered")

    port = free_port()
    with subprocess.Popen(["node", "-e", NODE_ECHO, str(port)], cwd=HERE) as node:
        try:
            wait_until(lambda: answers(("127.0.0.1", port)), 10)
            outcome = bench("echo", f"ws://127.0.0.1:{port}", *SHORT, "--depth", 4, "--size", "20KiB", "--connections", 8)
            claim_good(proof, "Node ws, 20 KiB", outcome)
        finally:
            node.kill()


def claim_honesty(proof):
    """A load that shares its CPU with a loop that never sleeps has to say that it was the bottleneck."""
    cpus = sorted(os.sched_getaffinity(0))
    with Server("ws") as server:
        os.sched_setaffinity(server.pid, cpus[:1])
        hogs = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2)]
        try:
            for hog in hogs:
                os.sched_setaffinity(hog.pid, cpus[-1:])
            code, figures, _ = bench("echo", server.url("ws", ""), *SHORT, cpus=cpus[-1:])
        finally:
            for hog in hogs:
                hog.kill()
                hog.wait()
        verdict = figures["verdict"]
        said = code == 0 and verdict["bottleneck"] == "load" and "waited for a CPU" in " ".join(verdict["words"])
        proof.claim(said, f"a load without a CPU of its own says so ({figures['load']['waiting']:.0%} waiting)")

        code, _, told = bench("echo", server.url("ws", ""), "--connections", 2000, descriptors=500)
        said = code == 2 and "descriptors run out at" in told and "ulimit" in told
        proof.claim(said, "descriptors that would run out are told before it starts")
        with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as file:
            first, last = map(int, file.read().split())
        count = last - first + 2
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        code, _, told = bench("idle", server.url("ws", ""), "--connections", count, seconds=120)
        expected = "--sources" if hard > count else "descriptors"
        proof.claim(code == 2 and expected in told, f"so is what {count} connections from one address lack")


def main(proof):
    need("node", "openssl")
    claim_wires(proof)
    claim_tls(proof)
    claim_foreign_servers(proof)
    claim_honesty(proof)


if __name__ == "__main__":
    enter_venv()
    run(main, 240)
