"""Commands that are wrong, on a connection each: every one gets the error or the close that it is due, never silence,
and a bystander on the same hub gets all that is published in the meantime, in order and without waiting.
"""

import json
import time

from bystander import UNMOVED, us
from frames import BINARY, CONTINUATION, TEXT, masked
from harness import frame, percentile, receive, receive_to_end, run
from hub import Hub, Raw, make_token

BAD, INVALID, TOO_MANY = 3501, 3500, 3509
DONE = 0
LAST_ID = (1 << 32) - 1
METHODS = [
    "connect", "subscribe", "unsubscribe", "publish", "presence", "presence_stats", "history", "ping", "rpc", "refresh",
    "sub_refresh",
]
# What a member of the wrong type is: it does not parse, or it does not make sense. Both are honest.
EITHER = {BAD, 107}

NOT_JSON = [
    "{", "}", "[", "]", '"', ":", ",", "x", "nul", "{'id':9}", '{"id":9', '{"id":9,', '{"id":9,}', '{"id":}', '{"id"}',
    '{id:9,"ping":{}}', '{"id":9 "ping":{}}', '{"id":9,"ping":{}}}', '{"id":9,"ping":{}}x', '{"id":9,"ping":{}}{}',
    '{"id":9,,"ping":{}}', '{,"id":9,"ping":{}}', '{"id":09,"ping":{}}', '{"id":+9,"ping":{}}', '{"id":0x9,"ping":{}}',
    '{"id":9.,"ping":{}}', '{"id":9e,"ping":{}}', '{"id":NaN,"ping":{}}', '{"id":Infinity,"ping":{}}',
    '{"id":9,"ping":{}//\n}', '\ufeff{"id":9,"ping":{}}', '{"id":9,"ping":{}}\0', '\0{"id":9,"ping":{}}',
    '{"id":9,"ping":True}', '{"id":9,"ping":{]}', '{"id":9,"ping":(}', "[" * 30_000, '{"id":' * 5_000,
    '{"id":9,"publish":{"channel":"open:m","data":}}', '{"id":9,"publish":{"channel":"open:m","data":tru}}',
    '{"id":9,"publish":{"channel":"open:m","data":01}}', '{"id":9,"publish":{"channel":"open:m","data":-}}',
    '{"id":9,"publish":{"channel":"open:m","data":.5}}', '{"id":9,"publish":{"channel":"open:m","data":"a\tb"}}',
    '{"id":9,"publish":{"channel":"open:m","data":"\\x41"}}', '{"id":9,"publish":{"channel":"open:m","data":"\\u12"}}',
    '{"id":9,"publish":{"channel":"open:m","data":[1,]}}', '{"id":9,"publish":{"channel":"open:m","data":{"a":1,}}}',
    '{"id":9,"publish":{"channel":"open:m","data":"a\nb"}}', '{"id":9,"publish":{"channel":"open:m\n","data":1}}',
]
NO_COMMAND = ["1", "-1.5", '"ping"', "null", "true", "false", "[]", "[{}]", '[{"id":9,"ping":{}}]', '""']
NO_ID = [
    '{"ping":{}}', '{"id":0,"ping":{}}', '{"id":-1,"ping":{}}', '{"id":4294967296,"ping":{}}', '{"id":1.5,"ping":{}}',
    '{"id":"9","ping":{}}', '{"id":null,"ping":{}}', '{"id":[9],"ping":{}}', '{"id":true,"ping":{}}',
    '{"id":18446744073709551617,"ping":{}}', '{"id":1e400,"ping":{}}',
]
EMPTY = [
    "", "\n", "\n\n", " ", "\r\n", '{"id":8,"ping":{}}\n\n', '\n{"id":8,"ping":{}}',
    '{"id":8,"ping":{}}\n\n{"id":8,"ping":{}}',
]
UNASKED = ["{}", "{}\n", '{"id":8,"ping":{}}\n{}']


def command(name, /, id=9, **request):
    return json.dumps({"id": id, name: request})


def connected():
    """What comes on an open connection, each with what it is due."""
    for text in NOT_JSON + EMPTY + UNASKED + NO_COMMAND + NO_ID:
        yield text, {BAD}
    yield '{"id":9}', {BAD, 104}
    yield '{"id":9,"nonsense":{}}', {BAD, 104}
    yield '{"id":9,"Ping":{}}', {BAD, 104}
    yield '{"id":9,"ping":{},"rpc":{"method":"m"}}', {BAD, 107}
    yield '{"id":9,"subscribe":{"channel":"a"},"unsubscribe":{"channel":"a"}}', {BAD, 107}
    yield '{"id":9,"connect":{}}', {BAD}
    yield command("connect", token=make_token("again")), {BAD}
    yield command("ping", id=8) + "\n" + command("connect"), {BAD}
    for method in METHODS[1:]:
        for wrong in "[]", '"x"', "7", "true":
            yield f'{{"id":9,"{method}":{wrong}}}', EITHER

    for method in "subscribe", "publish", "presence", "presence_stats", "history", "sub_refresh":
        more = {"publish": {"data": 1}, "sub_refresh": {"token": make_token("raw", channel="")}}.get(method, {})
        senseless = {107, 103} if method == "sub_refresh" else {107}
        for channel in {}, {"channel": ""}, {"channel": "x" * 256}:
            yield command(method, **channel, **more), senseless
        yield command(method, channel=7, **more), EITHER
        yield command(method, channel=["a"], **more), EITHER
    for channel in "a\0", "a\n", "\x7f", "a\tb", "\x1f", "é" * 128:
        yield command("subscribe", channel=channel), {107}
    yield command("subscribe", channel="nowhere:1"), {102}
    yield command("subscribe", channel=":"), {102, 107}
    yield command("subscribe", channel="shut:1"), {103}
    yield command("subscribe", channel="room#nobody"), {103}
    yield command("subscribe", channel="shut:1", token="junk"), {103, INVALID}
    yield command("subscribe", channel="shut:1", token=7), {*EITHER, 103}
    yield command("subscribe", channel="shut:1", token=make_token("raw", channel="shut:2")), {103}
    yield command("subscribe", channel="shut:1", token=make_token("raw")), {103}
    yield command("subscribe", channel="shut:1", token=make_token("raw", ttl=-10, channel="shut:1")), {109}
    yield command("subscribe", channel="a", recover="yes"), EITHER
    yield command("subscribe", channel="a", recover=True, offset="1", epoch="e"), EITHER
    yield command("subscribe", channel="a", recover=True, offset=-1, epoch="e"), EITHER
    yield command("subscribe", channel="a", recover=True, offset=1 << 64, epoch="e"), EITHER
    yield command("subscribe", channel="a", recover=True, offset=1, epoch=7), EITHER
    yield command("subscribe", channel="a", recover=True, offset=5, epoch="another life", flag=2), {112}
    yield command("subscribe", id=8, channel="a") + "\n" + command("subscribe", channel="a"), {105}
    many = "\n".join(command("subscribe", id=n, channel=f"c{n}") for n in range(10, 138))
    yield many + "\n" + command("subscribe", channel="c"), {106}
    yield command("publish", channel="open:m"), {107}
    yield command("publish", channel="a", data=1), {103}
    yield command("publish", channel="heard:m", data=1), {103}
    yield command("publish", channel="nowhere:1", data=1), {102}
    yield command("publish", channel="open:m", data=1, idempotency_key=7), EITHER
    yield command("presence", channel="bare:m"), {103, 108}
    yield command("presence", channel="nowhere:m"), {102, 103}
    yield command("history", channel="bare:m"), {103, 108}
    yield command("history", channel="a", limit="all"), EITHER
    yield command("history", channel="a", limit=1 << 40), {BAD, 107, 103, DONE}
    yield command("history", channel="a", since=7), EITHER
    yield command("history", channel="a", limit=1, since={"offset": -1, "epoch": ""}), EITHER
    yield command("rpc", method="m", data={}), {108}
    yield command("rpc"), {107, 108}
    yield command("rpc", method=7), {BAD, 107, 108}
    yield command("refresh"), {107, INVALID}
    yield command("refresh", token="junk"), {INVALID}
    yield command("refresh", token=make_token("raw", secret="another")), {INVALID}
    yield command("refresh", token=make_token("raw", ttl=-10)), {109}
    yield command("sub_refresh", channel="a", token=make_token("raw", channel="a")), {103, 107}
    yield command("unsubscribe"), {DONE}
    for channel in "", "nowhere:1", "x" * 300, "never subscribed":
        yield command("unsubscribe", channel=channel), {DONE}
    yield "\n".join(command("rpc", id=n, method="m") for n in range(10, 200)), {TOO_MANY}

    # Strange, and right.
    yield '{"id":9,"ping":{},"unknown":[1,{"deep":[]}]}', {DONE}
    yield ' { "ping" : { } , "id" : 9 } ', {DONE}
    yield '{"id":9,"ping":{}}\n', {DONE}
    yield f'{{"id":{LAST_ID},"ping":{{}}}}', {DONE}
    yield '{"id":9,"\\u0070ing":{}}', {DONE, BAD, 104}
    yield command("publish", channel="open:m", data="x" * 60_000), {DONE}
    yield '{"id":9,"publish":{"channel":"open:m","data":"\\ud800"}}', {DONE, BAD, 107}
    yield '{"id":9,"publish":{"channel":"open:m","data":' + "[" * 30_000 + "]" * 30_000 + "}}", {DONE, BAD, 107}
    yield '{"id":9,"publish":{"channel":"open:m","data":' + '{"a":' * 9_000 + "1" + "}" * 9_000 + "}}", {DONE, BAD, 107}
    yield '{"send":{"data":1}}\n' + command("ping"), {DONE}
    yield "ping\n" + command("ping"), {BAD}


def unconnected():
    """What comes in place of a connect, each with what it is due."""
    for text in ["{", "x", "null", "[]", *EMPTY[:5], "{}", '{"send":{}}', '{"connect":{}}', '{"id":0,"connect":{}}']:
        yield text, {BAD}
    yield '{"id":9}', {BAD, 104}
    for method in METHODS[1:]:
        yield command(method, channel="a", data=1, method="m", token=make_token("raw")), {BAD}
    yield '{"id":9,"connect":[]}', EITHER
    yield command("connect", token=7), {*EITHER, INVALID}
    yield command("connect"), {101}
    yield command("connect", token=""), {101}
    yield command("connect", token=make_token("raw", ttl=-10)), {109}
    good = make_token("raw")
    head, claims, signature = good.split(".")
    for token in (
        "junk", ".", "..", "...", f"{head}.{claims}", f"{head}.{claims}.", f"{good}.", f"{good}x", f"{good}=",
        f" {good}", f"{head}.{signature}.{claims}", f"{claims}.{claims}.{signature}", f"{head}..{signature}", "é.é.é",
        "A" * 60_000, make_token("raw", header={"alg": "none"}), make_token("raw", header={"alg": "HS512"}),
        make_token("raw", header={"typ": "JWT"}), make_token("raw", header={"alg": "ES256"}),
        make_token("raw", secret=""), make_token("raw", nbf=int(time.time()) + 99),
        make_token("raw", ttl=None, exp="never"), make_token(7), make_token("raw", channels="a"),
    ):
        yield command("connect", token=token), {INVALID}
    yield command("connect", token=good, subs=7), EITHER
    yield command("connect", token=good) + "\n" + command("connect", token=good), {BAD}
    yield command("connect", token=good) + "\n{", {BAD}


def outcome(raw):
    """The code of the error that command 9 is answered by, DONE where it has a result, or the code of the close."""
    while (document := raw.next()) is not None:
        if document.get("id") in (9, LAST_ID) and "connect" not in document:
            return document.get("error", {}).get("code", DONE)
    if raw.code is not None:
        assert raw.reason and len(raw.reason.encode()) <= 123, f"a close by {raw.code} for {raw.reason!r}"
        assert not is_json(raw.reason), raw.reason
    return raw.code


def is_json(text):
    try:
        json.loads(text)
        return True
    except ValueError:
        return False


class Bystander:
    """A subscriber, to whom a number is published after each case."""

    def __init__(self, hub):
        self.hub, self.raw, self.count, self.trips = hub, Raw(hub, user="bystander"), 0, []
        assert "subscribe" in self.raw.ask("subscribe", channel="long:calm")

    def look(self):
        self.count += 1
        began = time.monotonic()
        self.hub.publish("long:calm", self.count)
        got = self.raw.push("pub")
        self.trips.append(time.monotonic() - began)
        assert got and got["pub"]["data"] == self.count, f"the bystander got {got}, not {self.count}, {self.raw.code}"


def attempt(hub, text, connect):
    with Raw(hub, connect=connect) as raw:
        raw.send(text)
        return outcome(raw)


def shown(text):
    return f"{text[:70]!r}{'' if len(text) <= 70 else f' and {len(text) - 70} more'}"


def table(hub, bystander):
    """How many cases there were, and what is wrong with them."""
    cases = [(text, due, True) for text, due in connected()] + [(text, due, False) for text, due in unconnected()]
    wrong = []
    for text, due, connect in cases:
        try:
            got = attempt(hub, text, connect)
        except (AssertionError, OSError, ValueError) as error:
            got = f"{type(error).__name__} {error}"
        if got not in due:
            place = "" if connect else "in place of a connect "
            wrong.append(f"{place}{shown(text)} got {got}, not {' or '.join(map(str, sorted(due)))}")
        bystander.look()
    return len(cases), wrong


def refused_connect(hub):
    """After an error reply to connect nothing more is read."""
    with Raw(hub, connect=False) as raw:
        raw.send(command("connect"), command("connect", token=make_token("raw")), command("ping"))
        assert outcome(raw) == 101
        raw.peer.settimeout(0.5)
        try:
            later = raw.next()
        except TimeoutError:
            later = None
        assert later is None, f"it went on after 101: {later}"


def frames(hub):
    """What is wrong below the commands, each with its close."""
    ping = command("ping").encode()
    cases = {
        "binary that is no text": (masked(BINARY, b"\x07\x0aping"), {BAD, 1003}),
        "not UTF-8": (masked(TEXT, b'{"id":9,"ping":{"\xff":1}}'), {1007}),
        "too large": (masked(TEXT, b" " * 70_000), {1009}),
        "a fragment of nothing": (masked(CONTINUATION, ping), {1002}),
        "two beginnings": (masked(TEXT, ping, fin=False) + masked(TEXT, ping), {1002}),
        "a reserved bit": (masked(TEXT, ping, rsv=2), {1002}),
        "a reserved opcode": (masked(3, ping), {1002}),
        "no mask": (b"\x81\x02{}", {1002}),
    }
    for name, (sent, due) in cases.items():
        with Raw(hub) as raw:
            raw.peer.sendall(sent)
            code = raw.ended()
            assert code in due, f"{name} was closed with {code}, not {due}"
    with Raw(hub, connect=False) as raw:
        greeting = command("connect", token=make_token("drip"))
        drops = [bytes([byte]) for byte in f'{greeting}\n{command("ping")}'.encode()]
        kinds = [TEXT] + [CONTINUATION] * (len(drops) - 1)
        for kind, drop in zip(kinds, drops):
            raw.peer.sendall(masked(kind, drop, fin=False))
        raw.peer.sendall(masked(CONTINUATION))
        assert "connect" in raw.reply(9) and "ping" in raw.reply(9), "two commands in a fragment for each byte"
    return len(cases)


def plain_wires(hub):
    """The same on lines and on frames of a length: the last that comes is a disconnect with its code."""
    token = make_token("plain")
    greeting = command("connect", token=token)
    cases = [
        ("{", BAD), ("[]", BAD), ("{}", BAD), ('{"id":0,"ping":{}}', BAD), (greeting, BAD), ("", BAD), ("é", BAD),
        (command("refresh", token="junk"), INVALID),
    ]
    line, prefix = (lambda text: text.encode() + b"\n"), (lambda text: frame(text.encode()))
    for name, encode in ("line", line), ("length prefix", prefix):
        for text, due in cases:
            with hub.connect() as peer:
                peer.sendall(encode(greeting) + encode(text))
                got = receive_to_end(peer)
            last = json.loads(got[got.rindex(b'{"push"'):].strip()) if b'{"push"' in got else None
            code = last and last["push"].get("disconnect", {}).get("code")
            assert code == due, f"{text!r} on {name} was ended by {got[-80:]!r}, not {due}"
    with hub.connect() as peer:
        peer.sendall(line("ping") + line(greeting) + line('{"type":"ping"}') + line(command("ping")))
        got = b""
        while b'"id":9,"ping"' not in got:
            part = receive(peer, 1)
            assert part, got
            got += part
        assert got.startswith(b"pong\n") and b'\n{"type":"pong"}\n' in got, got
    return 2 * len(cases)


def main(proof):
    with Hub() as hub:
        bystander = Bystander(hub)
        count, wrong = table(hub, bystander)
        told = f"{len(wrong)} of {count} commands: {'; '.join(wrong)}" if wrong else f"{count} commands"
        proof.claim(not wrong, told)
        for part in refused_connect, frames, plain_wires:
            told = part(hub)
            bystander.look()
            proof.claim(True, f"{part.__name__.replace('_', ' ')}{f': {told}' if told else ''}")
        # Each round trip is of a request that opens a connection of its own.
        calm = percentile(bystander.trips, 0.99) < UNMOVED
        proof.claim(calm, f"a bystander got all of {bystander.count} publications in {us(bystander.trips)}")
        proof.claim(hub.process.poll() is None and "panicked" not in hub.log(), "no panic")


run(main, seconds=180)
