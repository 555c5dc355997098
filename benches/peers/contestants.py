"""The servers that are measured: how each is built, started, and asked for its version.

Each `build` either makes a server ready or raises `Unavailable` with the reason, which the tables then show beside its
name. Nothing here measures.
"""

import functools
import json
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
FLOOR = HERE.parent / "floor"
BUILD = HERE / "build"
TIDEGATE = os.environ.get("TIDEGATE", str(ROOT / "target/release/tidegate"))
# A Go program has one CPU here; without this it would start a thread for each that the machine has.
GO_ENVIRONMENT = {"GOMAXPROCS": "1"}
APPS = {"echo": "echo", "open": "echo", "idle": "echo", "handshake": "echo", "broadcast": "broadcast", "hub": "hub"}
SCHEMES = {"raw": "raw", "line": "line", "len": "tcp", "ws": "ws", "hub": "ws"}  # the floor's name of a wire, and ours


class Unavailable(Exception):
    """A server cannot be built or found here; the reason."""


def app_of(shape):
    return "hub" if shape.wire == "hub" else APPS[shape.kind]


def run(command, where=HERE, **environment):
    """A step of a build. Its last line of errors is the reason if it fails."""
    try:
        done = subprocess.run(
            list(map(str, command)), cwd=where, capture_output=True, text=True, env={**os.environ, **environment}
        )
    except OSError as error:
        raise Unavailable(f"{command[0]}: {error.strerror}") from error
    if done.returncode:
        words = (done.stderr or done.stdout).strip().splitlines() or ["no word"]
        raise Unavailable(f"{Path(str(command[0])).name} failed: {words[-1].strip()[:200]}")
    return done.stdout.strip()


class Contestant:
    """A server. `plays` says which shapes it has an answer to."""

    name = title = ""
    environment = {}

    def plays(self, shape):
        return shape.wire == "ws"

    def load_shape(self, shape):
        """What the load does with it, where that is not the shape itself."""
        return shape

    def wire(self, shape):
        """What the load speaks with it."""
        return "ws" if shape.wire == "hub" else shape.wire

    def build(self):
        """Makes it ready to start."""

    def version(self):
        raise NotImplementedError

    def command(self, shape, port, folder):
        """The server on 127.0.0.1:`port`; `folder` is there for files, and gone when it has ended."""
        raise NotImplementedError


class Floor(Contestant):
    name, title = "floor", "C floor"

    def plays(self, shape):
        return True

    def load_shape(self, shape):
        return shape.of_floor()

    def build(self):
        for program in ("echo", "ws_echo"):
            compile_c(program)

    def version(self):
        return run(["cc", "--version"]).splitlines()[0] + ", -O2"

    def command(self, shape, port, folder):
        shape = shape.of_floor()
        if shape.wire != "ws":
            return [FLOOR / "build/echo", shape.wire, port]
        return [FLOOR / "build/ws_echo", port, *(["--broadcast"] if shape.kind == "broadcast" else [])]


@functools.cache
def compile_c(program):
    (FLOOR / "build").mkdir(exist_ok=True)
    run(["cc", "-O2", "-Wall", "-Wextra", "-o", FLOOR / "build" / program, FLOOR / f"{program}.c"])


class Tidegate(Contestant):
    name, title = "tidegate", "tidegate"

    def __init__(self, name="tidegate", program=TIDEGATE):
        self.name = self.title = name
        self.program = program

    def plays(self, shape):
        return True

    def build(self):
        if self.program == str(ROOT / "target/release/tidegate"):
            run(["cargo", "build", "--locked", "--release", "--bin", "tidegate"], ROOT)
        if not os.access(self.program, os.X_OK):
            raise Unavailable(f"{self.program} is no program")

    def version(self):
        return run([self.program, "--version"]).removeprefix("tidegate ")

    def command(self, shape, port, folder):
        app = app_of(shape)
        hub = ["--config", HERE / "config/tidegate.toml"] if app == "hub" else []
        return [self.program, "serve", "--app", app, "--listen", f"{SCHEMES[shape.wire]}://127.0.0.1:{port}", *hub]


class Node(Contestant):
    """Of the packages in package-lock.json."""

    program, script, package = [], "", ""

    def build(self):
        npm_ci()
        run([*self.program, "--version"])

    def version(self):
        lock = json.loads((HERE / "package-lock.json").read_text())
        return lock["packages"][f"node_modules/{self.package}"]["version"]

    def command(self, shape, port, folder):
        return [*self.program, HERE / "servers" / self.script, app_of(shape), port]


@functools.cache
def npm_ci():
    lock, installed = HERE / "package-lock.json", HERE / "node_modules/package-lock.json"
    if not installed.exists() or installed.read_bytes() != lock.read_bytes():
        run(["npm", "ci", "--silent", "--no-audit", "--no-fund"])
        shutil.copy(lock, installed)


class Bun(Node):
    name, title, package, script = "bun", "uWebSockets (Bun)", "bun", "bun.js"
    program = [HERE / "node_modules/.bin/bun"]


class NodeWs(Node):
    name, title, package, script = "node-ws", "npm ws (Node)", "ws", "node_ws.mjs"
    program = ["node"]

    def version(self):
        return f"{super().version()}, Node {run(['node', '--version'])}"


class Rust(Contestant):
    """Of the crates in Cargo.lock."""

    binary, crate = "", ""

    def build(self):
        cargo_build()

    def version(self):
        lock = (HERE / "Cargo.lock").read_text()
        found = re.search(rf'name = "{self.crate}"\nversion = "(.*)"', lock)
        return found[1] if found else "unknown"

    def command(self, shape, port, folder):
        wire = [] if shape.wire == "ws" else [shape.wire]
        return [HERE / "target/release" / self.binary, *wire, app_of(shape), port]


@functools.cache
def cargo_build():
    run(["cargo", "build", "--locked", "--release"])


class TokioTungstenite(Rust):
    name, title, binary, crate = "tungstenite", "tokio-tungstenite", "tokio_tungstenite", "tokio-tungstenite"


class FastWebSockets(Rust):
    name, title, binary, crate = "fastwebsockets", "fastwebsockets", "fastwebsockets", "fastwebsockets"


class TokioPlain(Rust):
    name, title, binary, crate = "tokio", "tokio, tokio-util", "tokio_plain", "tokio"

    def plays(self, shape):
        return shape.wire in ("raw", "line", "len")


class Go(Contestant):
    """Of the modules in go/, each with a go.mod of its own. `package` is what is built, in `module`."""

    environment = GO_ENVIRONMENT
    folder = module = package = ""

    def build(self):
        BUILD.mkdir(exist_ok=True)
        run(["go", "build", "-o", BUILD / self.binary(), self.package], HERE / "go" / self.folder)

    def binary(self):
        return self.name

    def version(self):
        found = re.search(rf"{re.escape(self.module)} (\S+)", (HERE / "go" / self.folder / "go.mod").read_text())
        go = run(["go", "env", "GOVERSION"])
        return f"{found[1] if found else 'unknown'}, {go}, GOMAXPROCS=1"

    def command(self, shape, port, folder):
        return [BUILD / self.binary(), app_of(shape), port]


class Gorilla(Go):
    name, title, folder, package = "gorilla", "gorilla/websocket", "websocket", "./gorilla"
    module = "github.com/gorilla/websocket"


class Nbio(Go):
    name, title, folder, package = "nbio", "lesismal/nbio", "websocket", "./nbio"
    module = "github.com/lesismal/nbio"


class Centrifugo(Go):
    name, title, folder = "centrifugo", "Centrifugo", "centrifugo"
    module = package = "github.com/centrifugal/centrifugo/v6"

    def plays(self, shape):
        return shape.wire == "hub"

    def command(self, shape, port, folder):
        address = ["--http_server.address", "127.0.0.1", "--http_server.port", port]
        return [BUILD / "centrifugo", "-c", HERE / "config/centrifugo.json", *address]


class Nats(Go):
    name, title, folder = "nats", "nats-server", "nats"
    module = package = "github.com/nats-io/nats-server/v2"

    def plays(self, shape):
        return shape.wire == "hub"

    def wire(self, shape):
        return "nats"

    def command(self, shape, port, folder):
        return [BUILD / "nats", "-c", HERE / "config/nats.conf", "-p", port]


class Redis(Contestant):
    """Of the system's package."""

    name, title = "redis", "redis-server Pub/Sub"

    def plays(self, shape):
        return shape.wire == "hub"

    def wire(self, shape):
        return "redis"

    def build(self):
        if not shutil.which("redis-server"):
            raise Unavailable("redis-server is not installed (Debian: apt-get install redis-server)")

    def version(self):
        return re.search(r"v=(\S+)", run(["redis-server", "--version"]))[1]

    def command(self, shape, port, folder):
        return ["redis-server", HERE / "config/redis.conf", "--port", port, "--dir", folder]


class Command(Contestant):
    """Another server, by a command line with {port}, {url}, {wire} and {app} in it."""

    def __init__(self, name, command):
        self.name = self.title = name
        self.words = command

    def plays(self, shape):
        return True

    def version(self):
        return self.words

    def command(self, shape, port, folder):
        url = f"{SCHEMES[shape.wire]}://127.0.0.1:{port}"
        return shlex.split(self.words.format(port=port, url=url, wire=shape.wire, app=app_of(shape)))


ALL = [
    Floor(),
    Tidegate(),
    Bun(),
    FastWebSockets(),
    TokioTungstenite(),
    Gorilla(),
    Nbio(),
    NodeWs(),
    TokioPlain(),
    Centrifugo(),
    Redis(),
    Nats(),
]
