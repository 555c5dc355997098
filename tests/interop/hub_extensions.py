"""What a hub has beyond the protocol's first clients: sessions that return, gaps that are named, publications that are
made once, and heartbeats. And how it ends connections by itself: late, silent, expired, replaced, shut down.
"""

import signal
import subprocess
import tempfile
import time
from pathlib import Path

from harness import lines_of, need, reset_on_close, run
from hub import Hub, Raw, make_token, told_by

TIMES = {
    "heartbeat_interval": "1s", "handshake_timeout": "1s", "session_ttl": "2s", "refresh_grace": "1s",
    "close_timeout": "1s",
}
GIVEN = make_token("talker", channels=["long:b"])


def data(publications):
    return [each["data"] for each in publications]


def pushes(raw, count):
    """Data of the next publications, whichever channel they are of."""
    return data(raw.push("pub")["pub"] for _ in range(count))


def talker(hub):
    """A client that has heard three publications on two channels, one of which its token gives it."""
    raw = Raw(hub, token=GIVEN)
    raw.ask("subscribe", channel="long:a")
    hub.publish("long:a", 1), hub.publish("long:b", 2), hub.publish("long:a", 3)
    assert pushes(raw, 3) == [1, 2, 3]
    return raw


def cut(raw):
    reset_on_close(raw.peer)
    raw.peer.close()


def sessions(hub):
    first = talker(hub)
    secret = first.connected["session"]
    cut(first)
    for n in 4, 5, 6:
        hub.publish("long:a" if n % 2 else "long:b", n)
    second = Raw(hub, token=GIVEN, session=secret)
    subs = second.connected["subs"]
    assert second.connected["resumed"] is True and set(subs) == {"long:a", "long:b"}, second.connected
    assert all(each["recovered"] for each in subs.values()), subs
    missed = data(subs["long:a"]["publications"]), data(subs["long:b"]["publications"])
    assert missed == ([5], [4, 6]), missed
    hub.publish("long:b", 7)
    assert pushes(second, 1) == [7]

    # The old connection is still there, and has more than the client remembers.
    secret, position = second.connected["session"], subs["long:b"]["epoch"]
    third = Raw(hub, token=GIVEN, session=secret, subs={"long:b": {"recover": True, "epoch": position, "offset": 2}})
    assert second.ended() == 4500 and second.reason, second.code
    assert data(third.connected["subs"]["long:b"]["publications"]) == [6, 7], third.connected
    hub.publish("long:a", 8)
    assert pushes(third, 1) == [8]

    secret = third.connected["session"]
    stranger = Raw(hub, user="stranger", session=secret)
    assert "resumed" not in stranger.connected and not stranger.connected.get("subs"), stranger.connected
    cut(third)
    time.sleep(2.5)
    for old in secret, "no such session", "":
        late = Raw(hub, user="talker", session=old)
        assert "resumed" not in late.connected and not late.connected.get("subs"), late.connected
        assert late.connected["session"] not in ("", old)
    return "a session returns to its channels with what it missed, replaces the old connection (4500), and ends in time"


def gaps(hub):
    with Raw(hub) as raw:
        made = raw.ask("subscribe", channel="small:gap")["subscribe"]
        raw.ask("unsubscribe", channel="small:gap")
        for n in range(1, 6):
            hub.publish("small:gap", n)
        told = raw.ask("subscribe", channel="small:gap", recover=True, epoch=made["epoch"], offset=1)["subscribe"]
        assert not told.get("recovered") and told["offset"] == 5 and told["was_recovering"], told
        assert told["gap"] == {"from": 2, "to": 5, "reason": "history_trimmed"}, told
        raw.ask("unsubscribe", channel="small:gap")
        told = raw.ask("subscribe", channel="small:gap", recover=True, epoch="another", offset=4)["subscribe"]
        assert not told.get("recovered") and told["gap"]["reason"] == "epoch_changed", told
        raw.ask("unsubscribe", channel="small:gap")
        told = raw.ask("subscribe", channel="small:gap", recover=True, epoch=made["epoch"], offset=3)["subscribe"]
        assert told["recovered"] and "gap" not in told and told["offset"] == 3, told
        assert data(told["publications"]) == [4, 5], told
    return "a gap has its first and last offset, and a reason"


def once(hub):
    with Raw(hub) as raw:
        raw.ask("subscribe", channel="open:once")
        raw.send(*({"id": n, "publish": {"channel": "open:once", "data": n, "idempotency_key": "k"}} for n in (2, 3)))
        raw.send({"id": 4, "publish": {"channel": "open:once", "data": "other"}})
        documents = [raw.next() for _ in range(5)]
        replies = [each["publish"] for each in documents if "publish" in each]
        heard = [each["push"]["pub"]["data"] for each in documents if "push" in each]
        assert replies[0] == replies[1] and replies[0]["offset"] == 1 and replies[0]["epoch"], replies
        assert replies[2] == {} and heard == [2, "other"], documents
    return "two publications with one key are one"


def heartbeats(hub):
    with Raw(hub, connect=False) as raw:
        raw.send("ping", '{"type":"ping"}', {"id": 1, "connect": {"token": make_token("beating")}}, "ping", "PING")
        told = []
        while len(told) < 5:
            frame = raw.next_text()
            told.append("connected" if "connect" in frame else frame)
        assert told == ["pong", '{"type":"pong"}', "connected", "pong", "PONG"], told
    silent = Raw(hub, user="silent", answers=False)
    began = time.monotonic()
    code, took = silent.ended(), time.monotonic() - began
    # Who answers nothing is taken for dead, and need not be told.
    assert code in (3012, None) and 1.5 <= took <= 3.5, f"{code} after {took:.1f} s"
    assert hub.wait_log("closed: HeartbeatTimeout"), hub.log()[-300:]
    answering = Raw(hub, user="answering")
    assert answering.connected["ping"] == 1 and answering.connected["pong"] is True, answering.connected
    for _ in range(7):
        time.sleep(0.5)
        assert answering.ask("ping"), answering.code
    # Now it says nothing by itself, and answers pings for longer than silence is suffered.
    answering.peer.settimeout(0.1)
    end = time.monotonic() + 4
    while time.monotonic() < end:
        try:
            assert answering.next() is not None, "who answers pings was cut off"
        except TimeoutError:
            pass
    return f"plain heartbeats are answered; who answers no ping is gone after {took:.1f} s"


def late(hub):
    with Raw(hub, connect=False) as raw:
        began = time.monotonic()
        assert raw.ended() == 3502 and raw.reason, raw.code
        took = time.monotonic() - began
    assert 0.9 <= took <= 1.6, took
    expiring = Raw(hub, token=make_token("expiring", ttl=1))
    assert expiring.connected["expires"] is True and expiring.connected["ttl"] in (0, 1), expiring.connected
    holder = Raw(hub, user="holder")
    made = holder.ask("subscribe", channel="shut:e", token=make_token("holder", ttl=1, channel="shut:e"))["subscribe"]
    assert made["expires"] is True, made
    ended = holder.push("unsubscribe")
    assert ended["channel"] == "shut:e" and ended["unsubscribe"]["code"] == 2501, ended
    assert expiring.ended() == 3005 and expiring.reason, expiring.code
    return f"without a connect: 3502 after {took:.1f} s; expired tokens: 3005, of subscriptions 2501"


def keys():
    """Tokens by each kind of key, made by the program; none by a secret, even if that is the public key itself."""
    kinds = {"RSA": ["rsa_keygen_bits:2048"], "EC": ["ec_paramgen_curve:P-256"], "ED25519": []}
    with tempfile.TemporaryDirectory(prefix="tidegate-") as folder:
        for kind, options in kinds.items():
            private, public = f"{folder}/{kind}.key", f"{folder}/{kind}.pem"
            options = [word for option in options for word in ("-pkeyopt", option)]
            openssl("genpkey", "-algorithm", kind, *options, "-out", private)
            openssl("pkey", "-in", private, "-pubout", "-out", public)
        files = [f"{folder}/{kind}.pem" for kind in kinds]
        with Hub(token_hmac_secret=None, token_public_key=",".join(files)) as hub:
            for kind, file in zip(kinds, files):
                token = told_by("token", "--user", kind, "--private-key", f"{folder}/{kind}.key")
                with Raw(hub, token=token) as raw:
                    assert raw.connected["client"], kind
                secret = Path(file).read_text()
                forged = [make_token(kind, secret=key) for key in (secret, "", "any")]
                for token in [token[:-9] + "AAAAAAAAA", *forged]:
                    with Raw(hub, connect=False) as raw:
                        raw.send({"id": 1, "connect": {"token": token}})
                        assert raw.ended() == 3500, f"{kind} {token} {raw.code}"
    return f"tokens by {', '.join(kinds)} are taken, forged ones are not"


def openssl(*arguments):
    subprocess.run(["openssl", *arguments], capture_output=True, timeout=30, check=True)


def shut_down(hub):
    peers = [Raw(hub, user=f"last {n}") for n in range(20)]
    hub.process.send_signal(signal.SIGTERM)
    codes = set()
    for peer in peers:
        codes.add(peer.ended())
        peer.peer.close()
    assert codes == {3001} and all(peer.reason for peer in peers), codes
    assert hub.process.wait(5) == 0, hub.process.returncode
    return "SIGTERM: 3001 to everybody"


def main(proof):
    need("openssl")
    proof.claim(True, keys())
    with Hub(drain_window="300ms", **TIMES) as hub:
        for check in sessions, gaps, once, heartbeats, late, shut_down:
            try:
                proof.claim(True, check(hub))
            except Exception as error:  # one that fails does not keep the others from being made
                proof.claim(False, f"{check.__name__}: {type(error).__name__}: {error} (lines {lines_of(error)})")


run(main)
