"""What the interop scripts share: a server to start and look at, sockets to talk to it, and a verdict to give.

The program under test is named by the environment variable TIDEGATE, or is target/release/tidegate of this checkout.
Everything stays on loopback, every wait has an end, and a server is ended by its own process id.
"""

import os
import random
import re
import resource
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
VENV = ROOT / "target/interop/venv"
GO = HERE / "go"
TIDEGATE = os.environ.get("TIDEGATE", str(ROOT / "target/release/tidegate"))


class Server:
    """One `tidegate serve`, listening by the time the constructor returns; leave the `with` block to end it.

    Each of `listen` is a URL, or a wire such as "line" for a free port on 127.0.0.1, with what the URL asks for: "auto"
    and "auto?proxy". Keyword arguments are settings.
    """

    def __init__(self, *listen, app="echo", descriptors=None, **settings):
        urls = [each if "://" in each else on_free_port(each) for each in listen]
        self.addresses = [address_of(url) for url in urls]
        self.folder = tempfile.TemporaryDirectory(prefix="tidegate-")
        command = [TIDEGATE, "serve", "--app", app]
        for url in urls:
            command += ["--listen", url]
        for name, value in settings.items():
            command.append(f"--{name.replace('_', '-')}={value}")
        limit = descriptors and (lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors)))
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=clean_environment(), preexec_fn=limit
            )
        self.pid = self.process.pid
        for address in self.addresses:
            wait_until(lambda: self.process.poll() is not None or answers(address), 10)
        if self.process.poll() is not None:
            sys.exit(f"{' '.join(command)}\nended with {self.process.returncode}:\n{self.log()}")
        time.sleep(0.1)  # so that it has forgotten the connections that only asked whether it is there

    @property
    def log_path(self):
        return os.path.join(self.folder.name, "log")

    @property
    def port(self):
        return self.addresses[0][1]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
        self.folder.cleanup()

    def stop(self):
        """Ends the server at once, if it still runs."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as log:
            return log.read()

    def url(self, scheme, path="/", host="127.0.0.1"):
        """The first listener's, as a client of `scheme` writes it."""
        return f"{scheme}://{host}:{self.port}{path}"

    def wait_log(self, pattern, seconds=2):
        """Whether a line that matches `pattern` is in the log, or comes within `seconds`."""
        return wait_until(lambda: re.search(pattern, self.log()), seconds)

    def rss_anon(self):
        """Anonymous memory in bytes, as the kernel tells it."""
        with open(f"/proc/{self.pid}/status") as status:
            return int(re.search(r"RssAnon:\s+(\d+) kB", status.read())[1]) * 1024

    def descriptors(self):
        return descriptors(self.pid)

    def cpu_seconds(self):
        return cpu_ns(self.pid) * 1e-9

    def connect(self, listener=0, receive_buffer=None):
        """A new connection to the listener of that number, with a time-out of 5 s on each call."""
        address = self.addresses[listener]
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        peer = socket.socket(family, socket.SOCK_STREAM)
        peer.settimeout(5)
        if receive_buffer:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        peer.connect(address)
        if family == socket.AF_INET:
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return peer


class Proof:
    """What a script has shown so far. A claim that does not hold does not keep the others from being made."""

    def __init__(self, name):
        self.name = name
        self.shown = []
        self.failed = []

    def claim(self, holds, text):
        (self.shown if holds else self.failed).append(text)

    def conclude(self):
        """Prints the one line and ends the script."""
        if self.failed:
            sys.exit(f"{self.name}: FAILED, as these do not hold: {'; '.join(self.failed)}")
        print(f"{self.name}: ok: {'; '.join(self.shown)}")


def run(main, seconds=120):
    """Runs a script's `main(proof)`; one that hangs is interrupted after `seconds`, and its servers end with it."""
    def interrupted(*_):
        raise TimeoutError(f"not done after {seconds} s")

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    signal.signal(signal.SIGALRM, interrupted)
    signal.alarm(seconds)
    proof = Proof(Path(sys.argv[0]).stem)
    try:
        main(proof)
    except Exception as error:  # libraries that talk to the server have exceptions of their own
        proof.claim(False, f"{type(error).__name__}: {error} (lines {lines_of(error)})")
    proof.conclude()


def build_go():
    """Builds the programs in go/ that need no module of others into go/bin/."""
    if not shutil.which("go"):
        sys.exit(f"{Path(sys.argv[0]).stem}: FAILED: go is missing: apt-get install golang")
    offline = {**os.environ, "GOPROXY": "off", "GOFLAGS": "-mod=mod"}
    subprocess.run(["go", "build", "-o", "bin/", "./..."], cwd=GO, env=offline, check=True, timeout=240)


def certificate(folder):
    """Makes a self-signed certificate for localhost and 127.0.0.1. Returns the paths of it and of its key, both PEM."""
    if not shutil.which("openssl"):
        sys.exit(f"{Path(sys.argv[0]).stem}: FAILED: openssl is missing: apt-get install openssl")
    paths = os.path.join(folder, "certificate.pem"), os.path.join(folder, "key.pem")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    command += ["-out", paths[0], "-keyout", paths[1]]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return paths


def lines_of(error):
    """Where in the script itself an exception passed, outermost first."""
    frames = traceback.extract_tb(error.__traceback__)
    return ", ".join(str(frame.lineno) for frame in frames if Path(frame.filename).name == Path(sys.argv[0]).name)


def claim_lines(proof, command, seconds=60, **options):
    """Runs a peer's program: each line it prints is shown, and it must end with 0."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, **options)
    for line in done.stdout.splitlines():
        proof.claim(True, line)
    if done.returncode != 0:
        proof.claim(False, f"{Path(command[0]).name} ended with {done.returncode}: {' '.join(done.stderr.split())}")


def claim_drained(proof, server, command):
    """Runs a peer's program that says "open", is then sent away by SIGTERM, and says what it was told."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as peer:
        try:
            assert peer.stdout.readline() == "open\n"
            server.process.send_signal(signal.SIGTERM)
            told = peer.communicate(timeout=15)[0].strip()
        finally:
            peer.kill()
    proof.claim(peer.returncode == 0, told)


def enter_venv():
    """Goes on in the Python that setup.sh made, which has the libraries of requirements.txt."""
    python = VENV / "bin/python"
    if Path(sys.prefix).resolve() == VENV.resolve():
        return
    if not python.exists():
        sys.exit(f"{Path(sys.argv[0]).stem}: FAILED: run tests/interop/setup.sh first")
    os.execv(python, [python, *sys.argv])


def need(*programs):
    """Ends the script where a program is missing that setup.sh installs."""
    for program in programs:
        if not shutil.which(program):
            sys.exit(f"{Path(sys.argv[0]).stem}: FAILED: {program} is missing: run tests/interop/setup.sh first")


def clean_environment():
    """Settings of whoever runs the scripts must not reach the program under test."""
    return {name: value for name, value in os.environ.items() if not name.startswith("TIDEGATE_")}


def free_port():
    """A port below the ephemeral ones that nobody listens on."""
    for _ in range(100):
        port = random.randrange(20000, 32000)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("", port))
                return port
            except OSError:
                continue
    sys.exit("no free port found")


def on_free_port(wire):
    wire, _, query = wire.partition("?")
    return f"{wire}://127.0.0.1:{free_port()}" + (query and f"?{query}")


def address_of(url):
    scheme, rest = url.partition("?")[0].split("://")
    if scheme == "unix":
        return rest
    host, port = rest.rsplit(":", 1)
    return host, int(port)


def answers(address):
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        return probe.connect_ex(address) == 0


def wait_until(predicate, seconds, step=0.01):
    """Whether `predicate` comes true within `seconds`."""
    end = time.monotonic() + seconds
    while not predicate():
        if time.monotonic() >= end:
            return False
        time.sleep(step)
    return True


def receive(peer, count):
    """Exactly `count` bytes, or fewer if the server hangs up before."""
    got = bytearray()
    while len(got) < count:
        part = peer.recv(min(count - len(got), 1 << 20))
        if not part:
            break
        got += part
    return bytes(got)


def receive_to_end(peer):
    """What still comes until the server hangs up, in order or not."""
    got = bytearray()
    try:
        while part := peer.recv(1 << 16):
            got += part
    except ConnectionResetError:
        pass
    return bytes(got)


def reset_on_close(peer):
    """Makes the close of `peer` a reset, which leaves no port behind in TIME_WAIT."""
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def round_trip(peer, message=b"hi\n", answer=None):
    """Seconds until the answer to `message` was there."""
    answer = message if answer is None else answer
    began = time.monotonic()
    peer.sendall(message)
    got = receive(peer, len(answer))
    assert got == answer, f"{message[:40]!r} was answered by {got[:40]!r}"
    return time.monotonic() - began


def frame(body):
    """A message in a frame of a 4-byte big-endian length."""
    return struct.pack(">I", len(body)) + body


def descriptors(pid):
    """How many a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def cpu_ns(pid):
    """CPU time of all threads of a process, from its own clock (see clock_getcpuclockid(3))."""
    return time.clock_gettime_ns(~pid << 3 | 2)


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def mib(count):
    return f"{count / (1 << 20):.1f} MiB"
