"""What the hub's scripts share: a hub with namespaces of every kind, tokens, its HTTP API, a proxy that cuts, and a
client by hand. Tokens are made here from `hmac` alone, so that they prove more than that the hub agrees with itself.
"""

import base64
import hashlib
import hmac
import http.client
import json
import socket
import subprocess
import tempfile
import threading
import time

from frames import CLOSE, TEXT, masked, receive_frame, upgrade
from harness import TIDEGATE, Server, clean_environment

SECRET = "the tide is high"
API_KEY = "moon"
PATH = "/connection/websocket"

NAMESPACES = {
    "open": {"allow_publish": "clients"},
    "heard": {"allow_publish": "subscribers"},
    "shut": {"allow_subscribe": "nobody"},
    "long": {"history_size": 10_000},
    "small": {"history_size": 2},
    "short": {"history_ttl": "1s"},
    "bare": {"history_size": 0, "force_recovery": False, "presence": False, "allow_publish": "clients"},
    "door": {"join_leave": True},
    "anyone": {"allow_subscribe": "anyone"},
    "few": {"max_subscribers": 1},
}
# What a namespace has that does not say otherwise.
USUAL = {"history_size": 100, "history_ttl": "300s", "force_recovery": True, "presence": True}


class Hub(Server):
    """A `tidegate serve --app hub` with NAMESPACES, an HMAC secret and an API key; settings may say otherwise."""

    def __init__(self, listen="auto", **settings):
        settings = {"token_hmac_secret": SECRET, "api_key": API_KEY, **settings}
        self.arguments = listen, settings
        with_values = {name: value for name, value in settings.items() if value is not None}
        # The file is read before the hub listens.
        with tempfile.NamedTemporaryFile("w", prefix="tidegate-", suffix=".toml") as config:
            config.write(toml())
            config.flush()
            super().__init__(listen, app="hub", config=config.name, **with_values)

    def again(self):
        """Kills it without a word, and starts another one on the same port."""
        listen, settings = self.arguments
        port, wire = self.port, listen.partition("://")[0]
        self.stop()
        return Hub(f"{wire}://127.0.0.1:{port}", **settings)

    def websocket(self):
        return self.url("ws", PATH)

    def post(self, target, body, key=API_KEY, host="127.0.0.1", **headers):
        """Status and text of what `POST target` is answered by; `body` may be bytes, text or an object."""
        if not isinstance(body, bytes):
            body = (body if isinstance(body, str) else json.dumps(body)).encode()
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        if key is not None:
            headers["X-API-Key"] = key
        peer = http.client.HTTPConnection(host, self.port, timeout=10)
        try:
            peer.request("POST", target, body, {"Content-Type": "application/json", **headers})
            answer = peer.getresponse()
            return answer.status, answer.read().decode()
        finally:
            peer.close()

    def api(self, method, **request):
        """The result of an API method, which must have one."""
        status, text = self.post(f"/api/{method}", request)
        answer = json.loads(text) if status == 200 else {}
        assert "result" in answer, f"{method} {request} got {status} {text}"
        return answer["result"]

    def publish(self, channel, data, **more):
        return self.api("publish", channel=channel, data=data, **more)


class Raw:
    """A client by hand: what is sent is what is given, and what comes is kept in the order it came."""

    def __init__(self, server, token=None, user="raw", connect=True, answers=True, **request):
        self.peer, self.answers = server.connect(), answers
        upgrade(self.peer, PATH)
        self.waiting, self.code, self.reason = [], None, None
        if connect:
            answer = self.ask("connect", id=1, token=token or make_token(user), **request)
            assert answer and "connect" in answer, f"not connected: {answer} {self.code} {self.reason}"
            self.connected = answer["connect"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.peer.close()

    def send(self, *units):
        """Sends each of `units` in a frame of its own: text as it is, an object as JSON."""
        texts = [unit if isinstance(unit, (bytes, str)) else json.dumps(unit) for unit in units]
        self.peer.sendall(b"".join(masked(TEXT, t.encode() if isinstance(t, str) else t) for t in texts))

    def next_text(self):
        """The text of the next document; pings are answered, and None means that the hub has hung up."""
        while True:
            while not self.waiting:
                frame = receive_frame(self.peer)
                if frame is None:
                    return None
                opcode, payload = frame
                if opcode == CLOSE:
                    self.code, self.reason = int.from_bytes(payload[:2], "big"), payload[2:].decode()
                    return None
                if opcode == TEXT:
                    self.waiting = payload.decode().strip("\n").split("\n")
            self.text = self.waiting.pop(0)
            if self.text != "{}":
                return self.text
            if self.answers:
                self.send("{}")

    def next(self):
        """The next document; its text is kept in `text`."""
        text = self.next_text()
        return None if text is None else json.loads(text)

    def reply(self, number):
        """The reply to command `number`; pushes before it are passed over."""
        while (document := self.next()) is not None:
            if document.get("id") == number:
                return document
        return None

    def push(self, kind):
        """The next push of `kind`."""
        while (document := self.next()) is not None:
            if kind in document.get("push", {}):
                return document["push"]
        return None

    def ask(self, method, id=2, **request):
        self.send({"id": id, method: request})
        return self.reply(id)

    def ended(self):
        """The code it is closed with at the end of what still comes."""
        while self.next() is not None:
            pass
        return self.code


class Cutter:
    """A proxy before a server, whose connections are cut on demand, in the middle of a frame if there is one."""

    def __init__(self, server):
        self.target, self.cuts, self.pairs = server.addresses[0], 0, []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.cutting = threading.Event()
        threading.Thread(target=self.accept, daemon=True).start()

    def url(self):
        return f"ws://127.0.0.1:{self.port}{PATH}"

    def accept(self):
        while True:
            try:
                client = self.listener.accept()[0]
            except OSError:
                return
            try:
                server = socket.create_connection(self.target, 5)
            except OSError:
                client.close()
                continue
            self.pairs.append((client, server))
            threading.Thread(target=self.pump, args=(client, server, False), daemon=True).start()
            threading.Thread(target=self.pump, args=(server, client, True), daemon=True).start()

    def pump(self, source, sink, down):
        try:
            while part := source.recv(65536):
                if down and self.cutting.is_set():
                    sink.sendall(part[:len(part) // 2])
                    break
                sink.sendall(part)
        except OSError:
            pass
        for peer in (source, sink):
            try:
                peer.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def cut(self):
        """Cuts what flows now, at half of whatever comes next, or in silence after 20 ms."""
        pairs, self.pairs = self.pairs, []
        self.cutting.set()
        time.sleep(0.02)
        self.cutting.clear()
        self.cuts += bool(pairs)
        for pair in pairs:
            for peer in pair:
                try:
                    peer.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
                peer.close()

    def close(self):
        self.listener.close()
        self.cut()


def toml():
    """The configuration of NAMESPACES."""
    lines = []
    for name, keys in NAMESPACES.items():
        lines.append(f"[namespace.{name}]")
        lines += [f"{key} = {json.dumps(value)}" for key, value in {**USUAL, **keys}.items()]
    return "\n".join(lines) + "\n"


def told_by(*arguments):
    """What `tidegate` prints for these arguments."""
    done = subprocess.run([TIDEGATE, *arguments], capture_output=True, text=True, timeout=10, env=clean_environment())
    assert done.returncode == 0, f"tidegate {' '.join(map(str, arguments))} ended with {done.returncode}: {done.stderr}"
    return done.stdout.strip()


def base64url(part):
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


def make_token(user, ttl=3600, secret=SECRET, header=None, **claims):
    """A JWT by HS256 that lives for `ttl` seconds, or for ever if that is None."""
    claims = {"sub": user, **claims}
    if ttl is not None:
        claims["exp"] = int(time.time()) + ttl
    parts = [header or {"alg": "HS256", "typ": "JWT"}, claims]
    head = ".".join(base64url(json.dumps(part, separators=(",", ":")).encode()) for part in parts)
    return f"{head}.{base64url(hmac.new(secret.encode(), head.encode(), hashlib.sha256).digest())}"
