"""PyPI's `cent`, unmodified, and curl ask of a hub's HTTP API what it offers to back ends; what must be refused is."""

import asyncio
import base64
import json
import re
import subprocess

from frames import receive_head, request
from harness import enter_venv, lines_of, need, receive_to_end, run
from hub import API_KEY, PATH, Hub, Raw, make_token, told_by

enter_venv()

import cent  # noqa: E402

# As it comes is how it goes on: white space, and numbers that no program of others would keep.
VERBATIM = '{"a" : 1.10, "n":12345678901234567890,"e":-0.0E+1,"é":"\\u00e9\\/", "deep":[[[{}]]]}'


class Back:
    """A back end: each of cent's requests by its name, `back.publish(channel=..., data=...)`."""

    def __init__(self, hub, key=API_KEY):
        self.client = cent.Client(hub.url("http", "/api"), key)

    def __getattr__(self, name):
        kind = getattr(cent, "".join(word.capitalize() for word in name.split("_")) + "Request")
        return lambda **request: getattr(self.client, name)(kind(**request))


def error_of(call):
    """What a call is refused by: the code of an error object, or a status."""
    try:
        call()
    except cent.CentApiResponseError as error:
        return error.code
    except cent.CentTransportError as error:
        return error.status_code
    except cent.CentUnauthorizedError:
        return 401
    raise AssertionError("it was not refused")


def publications(proof, hub, back):
    first = back.publish(channel="cent", data={"n": 1}, tags={"tide": "high"})
    second = back.publish(channel="cent", data=None, b64data=base64.b64encode(b'{"n": 2}').decode())
    assert (first.offset, second.offset, first.epoch) == (1, 2, second.epoch) and first.epoch, f"{first} {second}"
    once = [back.publish(channel="cent", data={"n": 3}, idempotency_key="k") for _ in range(3)]
    assert once == [once[0]] * 3 and once[0].offset == 3, once
    elsewhere = back.publish(channel="cent elsewhere", data=1, idempotency_key="k")
    assert elsewhere.offset == 1, "a key is of one channel"
    assert back.publish(channel="cent", data={"n": "unkept"}, skip_history=True).offset in (0, 3)
    assert back.publish(channel="bare:cent", data=1).offset == 0
    kept = back.history(channel="cent", limit=-1)
    assert [pub.data["n"] for pub in kept.publications] == [1, 2, 3] and kept.offset == 3, kept
    assert kept.publications[0].tags == {"tide": "high"} and kept.epoch == first.epoch

    told = back.broadcast(channels=["cent", "cent 2", "nowhere:1"], data={"n": 4}, idempotency_key="broad")
    offsets = [each.result and each.result.offset for each in told.responses]
    assert offsets == [4, 1, None] and told.responses[2].error.code == 102, told
    again = back.broadcast(channels=["cent", "cent 2"], data={"n": 4}, idempotency_key="broad")
    assert [each.result.offset for each in again.responses] == [4, 1], again
    proof.claim(True, "publish and broadcast, each once by its key, with tags, base64 and without history")

    def numbers(**more):
        return [pub.offset for pub in back.history(channel="cent", **more).publications]

    since = {"offset": 1, "epoch": kept.epoch}
    ways = [
        ({}, []), ({"limit": 2}, [1, 2]), ({"limit": 2, "reverse": True}, [4, 3]),
        ({"limit": -1, "since": since}, [2, 3, 4]),
        ({"limit": 1, "since": since}, [2]),
    ]
    for asked, due in ways:
        assert numbers(**asked) == due, f"history {asked} is {numbers(**asked)}, not {due}"
    assert error_of(lambda: numbers(limit=1, since={"offset": 1, "epoch": "another"})) == 112
    back.history_remove(channel="cent")
    removed = back.history(channel="cent", limit=-1)
    assert removed.publications == [], removed
    after = back.publish(channel="cent", data=5)
    goes_on = (removed.epoch, after.offset) == (kept.epoch, 5) or removed.epoch != kept.epoch
    assert goes_on, f"positions come twice: {kept.epoch} {kept.offset}, then {removed} and {after}"
    proof.claim(True, f"history in {len(ways)} ways, and removed")

    with Raw(hub) as peer:
        peer.ask("subscribe", channel="verbatim")
        status, text = hub.post("/api/publish", '{"channel":"verbatim","data":' + VERBATIM + "}")
        assert status == 200, f"{status} {text}"
        peer.push("pub")
        assert VERBATIM in peer.text, f"{VERBATIM} became {peer.text}"
        assert VERBATIM in hub.post("/api/history", {"channel": "verbatim", "limit": 1})[1]
        hub.post("/api/publish", '{"channel":"verbatim","data":{\n"a" :\r\n1}}')
        assert peer.push("pub")["pub"]["data"] == {"a": 1}
    proof.claim(True, "data passes as the text it came in")


def connections(proof, hub, back):
    known = make_token("u1", info={"i": 1})
    with Raw(hub, token=known) as one, Raw(hub, user="u1") as two, Raw(hub, user="u2") as three:
        ids = [peer.connected["client"] for peer in (one, two, three)]
        for peer in (one, two, three):
            assert "subscribe" in peer.ask("subscribe", channel="crowd")
        present = back.presence(channel="crowd").presence
        assert {name: info.user for name, info in present.items()} == dict(zip(ids, ["u1", "u1", "u2"])), present
        assert present[ids[0]].conn_info == {"i": 1}
        stats = back.presence_stats(channel="crowd")
        assert (stats.num_clients, stats.num_users) == (3, 2), stats
        assert back.channels().channels["crowd"].num_clients == 3
        assert list(back.channels(pattern="cro*").channels) == ["crowd"]
        (node,) = back.info().nodes
        assert node.num_clients >= 3 and node.num_users >= 2 and node.num_channels >= 1, node
        here = back.connections(user="u1", expression="").connections
        assert set(here) == set(ids[:2]) and {each.transport for each in here.values()} == {"websocket"}, here
        details = hub.api("connection", client=ids[2])
        assert (details["user"], details["channels"]) == ("u2", ["crowd"]), details
        for target in {"user": "u1"}, {"client": ids[0]}, {"session": one.connected["session"]}:
            hub.api("send", data={"to": target}, **target)
            assert one.push("message")["message"]["data"] == {"to": target}
        proof.claim(True, "presence, presence_stats, channels, info, connections, connection, send")

        back.subscribe(user="u1", channel="given", client=ids[0])
        assert one.push("subscribe")["channel"] == "given"
        back.publish(channel="given", data="for one")
        assert one.push("pub")["pub"]["data"] == "for one"
        back.unsubscribe(user="u1", channel="given")
        assert one.push("unsubscribe")["unsubscribe"]["code"] == 2000
        assert back.channels(pattern="given").channels == {}
        back.refresh(user="u2", expired=True)
        assert three.ended() == 3005, three.code
        back.disconnect(user="u1", whitelist=[ids[0]], disconnect={"code": 4100, "reason": "come back"})
        assert (two.ended(), two.reason) == (4100, "come back"), f"{two.code} {two.reason}"
        back.disconnect(user="u1", client=ids[0])
        assert one.ended() == 3503 and one.reason, one.code
    proof.claim(True, "subscribe, unsubscribe, refresh, disconnect reach whom they name")


def batches(proof, hub, back):
    parts = [cent.PublishRequest(channel="batch", data=n) for n in range(50)] + [cent.InfoRequest()]
    for parallel in False, True:
        told = back.batch(requests=parts, parallel=parallel).replies
        assert [each.offset for each in told[:-1]] == list(range(1, 51)) or parallel, told
    commands = [{"publish": {"channel": "nowhere:1", "data": 1}}, {"publish": {"channel": "batch", "data": 1}}]
    replies = json.loads(hub.post("/api/batch", {"commands": commands})[1])["replies"]
    assert replies[0]["error"]["code"] == 102 and replies[1]["publish"]["offset"] == 101, replies

    async def at_once():
        async with cent.AsyncClient(hub.url("http", "/api"), API_KEY) as client:
            requests = (cent.PublishRequest(channel="at once", data=n) for n in range(200))
            return await asyncio.gather(*map(client.publish, requests))

    offsets = sorted(each.offset for each in asyncio.run(at_once()))
    assert offsets == list(range(1, 201)), offsets
    proof.claim(True, "batches, and 200 at once by the asynchronous client")


def refusals(proof, hub, back):
    wrong = {
        401: lambda: Back(hub, "wrong").info(),
        102: lambda: back.publish(channel="nowhere:1", data=1),
        107: lambda: back.publish(channel="", data=1),
        108: lambda: back.presence(channel="bare:1"),
        404: lambda: back.client.get_user_status(cent.GetUserStatusRequest(users=["u"])),
        413: lambda: back.publish(channel="a", data="x" * (32 << 20)),
    }
    told = {code: error_of(call) for code, call in wrong.items()}
    assert told == {code: code for code in wrong}, told
    statuses = [
        ("/api/info", "{}", None, 401), ("/api/info", "{}", "", 401), ("/api/info", "{}", API_KEY + "x", 401),
        ("/api/info", "not JSON", API_KEY, 400), ("/api/info", "", API_KEY, 400),
        ("/api/publish", b"\xff\xfe", API_KEY, 400), ("/api/publish", '{"channel":"a","data":1}}', API_KEY, 400),
        ("/api/nonsense", "{}", API_KEY, 404), ("/api/", "{}", API_KEY, 404), ("/api/nonsense", "{}", None, 401),
    ]
    got = [(*case[:3], hub.post(*case[:2], key=case[2])[0]) for case in statuses]
    wrong = [f"{was} was not answered by {due[3]}" for was, due in zip(got, statuses) if was != due]
    assert not wrong, wrong
    objects = [
        ("publish", {"data": 1}), ("publish", {"channel": "a"}), ("publish", {"channel": "a\n", "data": 1}),
        ("publish", {"channel": "x" * 256, "data": 1}), ("publish", {"channel": 7, "data": 1}),
        ("publish", {"channel": "a", "b64data": "!"}), ("broadcast", {"data": 1}), ("history", {}),
        ("history", {"channel": "a", "limit": "all"}), ("subscribe", {"user": "u"}), ("disconnect", {"disconnect": []}),
        ("publish", [1]), ("info", 7),
    ]
    for method, body in objects:
        status, text = hub.post(f"/api/{method}", body)
        code = json.loads(text).get("error", {}).get("code") if status == 200 else status
        assert code in (107, 400), f"{method} {body} got {status} {text}"
    counted = f"{len(statuses)} bodies and keys, {len(objects)} bad requests"
    proof.claim(True, f"refused by {', '.join(map(str, told))}; {counted}")


def curl(*arguments):
    command = ["curl", "-sS", "-m5", "--noproxy", "*", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, timeout=10)
    assert done.returncode == 0, f"curl {arguments} ended with {done.returncode}: {done.stderr}"
    return done.stdout.decode()


def one_liners(proof, hub, _):
    api, key = hub.url("http", "/api"), f"X-API-Key: {API_KEY}"
    body = '{"channel":"curl","data":"hi"}'
    headers = "Transfer-Encoding: chunked", "Expect: 100-continue", "Content-Type: application/json"
    ways = [[], ["-0"], *(["-H", header] for header in headers)]
    for n, way in enumerate(ways, 1):
        told = json.loads(curl("-H", key, *way, "-d", body, f"{api}/publish"))
        assert told["result"]["offset"] == n, told
    twice = curl("-H", key, "-d", "{}", "-w", "%{num_connects}", f"{api}/info", f"{api}/info")
    assert re.findall(r"(?<=})\d", twice) == ["1", "0"], twice
    printed = told_by("publish", hub.url("http", ""), "curl", '"by the program"', "--api-key", API_KEY)
    newest = hub.api("history", channel="curl", limit=1, reverse=True)["publications"]
    assert printed and newest[0]["data"] == "by the program", f"{printed} {newest}"
    assert curl("-o", "/dev/null", "-w", "%{http_code}", "-H", key, f"{api}/info") in ("404", "405")
    assert curl(hub.url("http", "/health")).startswith("ok")
    proof.claim(True, f"curl in {len(ways)} ways, kept alive, /health")


def head_of(hub, **headers):
    with hub.connect() as peer:
        peer.sendall(request(PATH, host=f"127.0.0.1:{hub.port}", **headers))
        return receive_head(peer).split("\r\n")


def origins(proof, hub, _):
    own = f"http://127.0.0.1:{hub.port}"
    cases = [({}, 101), ({"Origin": own}, 101), ({"Origin": "https://foreign.example"}, 403), ({"Origin": "null"}, 403)]
    for headers, status in cases:
        line = head_of(hub, **headers)[0]
        assert f" {status} " in line, f"{headers} got {line}"
    lines = head_of(hub, Sec_WebSocket_Protocol="centrifuge-json")
    chosen = [line for line in lines if line.lower().startswith("sec-websocket-protocol:")]
    assert len(chosen) == 1 and chosen[0].endswith("centrifuge-json"), chosen
    line = head_of(hub, Sec_WebSocket_Protocol="centrifuge-protobuf")[0]
    assert " 101 " not in line, line
    proof.claim(True, "foreign origins and protobuf are refused at the handshake")


def without_key(proof):
    with Hub("auto", api_key=None) as hub:
        mine = hub.post("/api/publish", {"channel": "a", "data": 1}, key=None)
        assert mine[0] == 200 and json.loads(mine[1])["result"]["offset"] == 1, mine
        for origin in "https://foreign.example", f"http://127.0.0.1:{hub.port}", "null":
            status, text = hub.post("/api/publish", {"channel": "a", "data": 1}, key=None, Origin=origin)
            assert status in (401, 403), f"{origin} got {status} {text}"
    with Hub("auto?proxy", api_key=None) as hub:
        asked = b'POST /api/info HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}'
        answers = []
        for source in b"127.0.0.1", b"203.0.113.7":
            with hub.connect() as peer:
                peer.sendall(b"PROXY TCP4 " + source + b" 127.0.0.1 4000 80\r\n" + asked)
                answers.append(receive_to_end(peer)[9:12])
        assert answers[1] in (b"401", b"403"), answers
    proof.claim(True, "without a key only this machine is answered, and no page of a browser")


def main(proof):
    need("curl")
    with Hub() as hub:
        back = Back(hub)
        for part in publications, connections, batches, refusals, one_liners, origins:
            try:
                part(proof, hub, back)
            except Exception as error:  # a part that fails does not keep the others from being made
                proof.claim(False, f"{part.__name__}: {type(error).__name__}: {error} (lines {lines_of(error)})")
    without_key(proof)


run(main)
