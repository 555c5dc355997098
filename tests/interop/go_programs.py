"""Programs in Go as people write them from tutorials get their heartbeats answered before their deadlines fire.

They are built from go/ and run side by side with short heartbeats. Needs go.
"""

import subprocess

from harness import GO, Server, build_go, run

WIRES = ["auto", "tcp", "line", "raw"]
# Program, arguments of its own, and the wires it is meant for.
PROGRAMS = [
    ("lenjson", [], ["auto", "tcp"]),
    ("linechat", [], ["auto", "line"]),
    ("rawping", [], ["raw"]),
    ("bytebeat", [], ["raw"]),
    ("bytebeat", ["-framed"], ["auto", "tcp"]),
]


def main(proof):
    build_go()
    # The server gives up on a silent peer after less than the programs run for: their heartbeats keep them alive.
    with Server(*WIRES, heartbeat_timeout="1s") as server:
        running = []
        for program, extra, wires in PROGRAMS:
            for wire in wires:
                address = f"127.0.0.1:{server.addresses[WIRES.index(wire)][1]}"
                command = [GO / "bin" / program, "-addr", address, "-interval", "300ms", "-rounds", "10", *extra]
                process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
                running.append((wire, process))
        for wire, process in running:
            try:
                told = process.communicate(timeout=30)[0].strip()
            except subprocess.TimeoutExpired:
                process.kill()
                told = f"{process.args[0].name} hangs: {process.communicate()[0]}"
            proof.claim(process.returncode == 0, f"{told} on {wire}")


run(main, seconds=300)
