"""What is measured: the shapes of load, each with what is counted and which column of the tables it fills.

Knows neither servers nor programs that make load.
"""

import re
import sys
from fnmatch import fnmatchcase
from typing import NamedTuple

# Around a publication's data, where the channel has a name of 8 bytes, the publisher a UUID and the offset 4 digits.
PUSH_BYTES = len('{"push":{"channel":"load:fan","pub":{"data":"","info":{"client":"","user":""},"offset":1234}}}') + 36


class Shape(NamedTuple):
    """One kind of load. `kind` says what is counted:

    echo       messages that came back, `depth` of them in flight on each connection
    open       the same, due at `rate` a second whatever has come back
    broadcast  deliveries of what one connection sends to all others, `depth` messages at once
    hub        deliveries of what one client publishes to all others, who have subscribed to its channel
    idle       bytes of the server's memory for a connection that does nothing; on `hub` one that has subscribed
    handshake  WebSocket connections that are opened and reset
    """

    name: str
    kind: str
    wire: str
    connections: int
    payload: int = 64
    depth: int = 1
    rate: int = 0
    text: bool = False  # frames on WebSocket, instead of binary ones
    limit: float = 0  # how many times the floor's figure tidegate means to stay under; 0 for none

    @property
    def title(self):
        size = f"{self.payload >> 10} KiB" if self.payload >= 1024 else f"{self.payload} B"
        at_once = f", {self.depth} at once" if self.depth > 1 else ""
        if self.kind in ("broadcast", "hub"):
            return f"to {self.connections - 1:,}{at_once}"
        if self.kind == "idle":
            return {"ws": "WebSocket", "len": "plain TCP", "hub": "WebSocket, subscribed"}[self.wire]
        if self.kind == "handshake":
            return "connect, handshake, reset"
        if self.kind == "open":
            return f"{self.connections:,} connections, {self.rate:,} messages/s"
        wire = "" if self.wire == "ws" else f"{self.wire}, "
        return f"{wire}{self.connections:,} connections, {size}" + (
            f", {self.depth} in flight" if self.depth > 1 else ""
        )

    @property
    def unit(self):
        return {"broadcast": "delivery", "hub": "delivery", "handshake": "handshake", "idle": "connection"}.get(
            self.kind, "message"
        )

    def of_floor(self):
        """The C floor knows no hub: it broadcasts as many bytes as tidegate's push has."""
        if self.kind == "hub":
            return self._replace(kind="broadcast", wire="ws", payload=self.payload + PUSH_BYTES)
        return self._replace(wire="ws") if self.wire == "hub" else self


def broadcasts(kind, wire, payload, limits):
    sizes = [(1000, 1), (10000, 1), (1000, 16), (10000, 16)]
    name = {"broadcast": "fan", "hub": "hub"}[kind]
    for (receivers, depth), limit in zip(sizes, limits):
        yield Shape(
            f"{name}-{receivers // 1000}k" + (f"-{depth}" if depth > 1 else ""),
            kind, wire, receivers + 1, payload, depth, limit=limit,
        )  # fmt: skip


SHAPES = [
    Shape("echo-64", "echo", "ws", 64, limit=1.02),
    Shape("echo-1000", "echo", "ws", 1000, limit=1.02),
    Shape("echo-64-16", "echo", "ws", 64, depth=16, limit=1.02),
    Shape("echo-64-16k", "echo", "ws", 64, payload=16384, limit=1.00),
    Shape("open-1000", "open", "ws", 1000, rate=20000, limit=1.05),
    *broadcasts("broadcast", "ws", 64, (1.00, 0.95, 1.05, 1.05)),
    *broadcasts("hub", "hub", 128, (1.10, 1.10, 1.10, 1.10)),
    Shape("handshake", "handshake", "ws", 64, payload=1, limit=1.10),
    Shape("idle-plain", "idle", "len", 10000),
    Shape("idle-ws", "idle", "ws", 10000),
    Shape("idle-hub", "idle", "hub", 10000),
    *(Shape(f"{wire}-64", "echo", wire, 64, limit=1.02) for wire in ("raw", "line", "len")),
    *(Shape(f"{wire}-64-16", "echo", wire, 64, depth=16, limit=1.05) for wire in ("raw", "line", "len")),
]


def choose(wanted, text=False):
    """Shapes by name, by pattern, or written as KIND:WIRE:CONNECTIONSxPAYLOADxDEPTH."""
    chosen = []
    for word in wanted or ["*"]:
        found = [shape for shape in SHAPES if fnmatchcase(shape.name, word)] or [written(word)]
        chosen += [shape for shape in found if shape not in chosen]
    return [shape._replace(text=True) if text and shape.wire == "ws" else shape for shape in chosen]


def written(word):
    parts = re.fullmatch(r"(echo|broadcast|hub):(ws|raw|line|len|hub):(\d+)x(\d+)x(\d+)", word)
    if not parts:
        names = ", ".join(shape.name for shape in SHAPES)
        sys.exit(f"no shape is called {word!r}; there are {names}, and forms like echo:ws:64x4096x4")
    kind, wire, *numbers = parts.groups()
    return Shape(word, kind, wire, *map(int, numbers))
