"""npm's `centrifuge`, unmodified, does with a hub all that it can do with one: see node/hub.mjs.

It is cut off in mid-stream while others publish, and finds the hub killed and started again.
"""

import json
import subprocess

from harness import HERE, claim_lines, need, run, wait_until
from hub import API_KEY, SECRET, Hub, told_by

PROGRAM = HERE / "node/hub.mjs"
TOGETHER = [
    "tokens", "made", "expired", "refresh", "subscribing", "publishing", "presence", "history", "trimmed", "batch",
    "loops", "rpc", "served", "disconnects",
]


def command(hub, *checks):
    at = {"ws": hub.websocket(), "api": hub.url("http", "/api"), "port": hub.port, "secret": SECRET, "key": API_KEY}
    if "made" in checks:
        asked = ["token", "--user", "from the program", "--secret", SECRET]
        at.update(made=told_by(*asked), madeForChannel=told_by(*asked, "--channel", "shut:made"))
    return ["node", PROGRAM, json.dumps(at), *checks]


def killed(proof, hub):
    """Runs the check that asks for the hub to be killed, and gives it another one."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command(hub, "restart"), text=True, **pipes) as peer:
        try:
            asked = peer.stdout.readline()
            assert asked == "kill\n", f"{asked}{peer.stderr.read()}"
            with hub.again():
                told, complaints = peer.communicate("done\n", timeout=30)
        finally:
            peer.kill()
    proof.claim(peer.returncode == 0, told.strip() or " ".join(complaints.split()))


def main(proof):
    need("node")
    with Hub() as hub:
        claim_lines(proof, command(hub, *TOGETHER), seconds=90)
        claim_lines(proof, command(hub, "recovery"), seconds=60)
        wait_until(lambda: hub.api("info")["nodes"][0].get("num_clients", 0) == 0, 5, step=0.1)
        (left,), channels = hub.api("info")["nodes"], hub.api("channels")["channels"]
        counts = [left.get(name, 0) for name in ("num_clients", "num_users", "num_channels", "num_subs")]
        proof.claim(counts == [0] * 4 and not channels, f"clients, users, channels, subscriptions left: {counts}")
        killed(proof, hub)


run(main, seconds=240)
