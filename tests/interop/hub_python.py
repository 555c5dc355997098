"""PyPI's `centrifuge-python`, unmodified, does with a hub what it can do with one.

It is cut off in mid-stream while others publish, and finds the hub killed and started again.
"""

import asyncio
import threading
import time

from harness import enter_venv, run
from hub import Cutter, Hub, make_token

enter_venv()

import centrifuge  # noqa: E402
from centrifuge import ClientEventHandler, ReplyError, StreamPosition, SubscriptionEventHandler  # noqa: E402

TOTAL = 1500


class Log(ClientEventHandler, SubscriptionEventHandler):
    """Keeps what happens to a client or to a subscription: `events` with their contexts, `got` with publications."""

    def __init__(self):
        self.events, self.got = [], []

    def __getattribute__(self, name):
        if not name.startswith("on_"):
            return super().__getattribute__(name)

        async def keep(context):
            if name == "on_publication":
                self.got.append(context.pub)
            self.events.append((name[3:], context))

        return keep

    def all(self, kind):
        return [context for name, context in self.events if name == kind]

    async def nth(self, kind, number=1, seconds=10):
        await until(lambda: len(self.all(kind)) >= number, f"{kind} number {number}", seconds)
        return self.all(kind)[number - 1]

    def data(self):
        return [pub.data for pub in self.got]


async def until(predicate, what, seconds=10):
    end = time.monotonic() + seconds
    while not predicate():
        assert time.monotonic() < end, f"{what}: not within {seconds} s"
        await asyncio.sleep(0.005)


class Peers:
    """Clients of one hub, all of which are disconnected at the end."""

    def __init__(self, hub):
        self.hub, self.clients = hub, []

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        for client in self.clients:
            await client.disconnect()

    def client(self, user, url=None, **options):
        options = {"token": make_token(user), "proxy": None, "max_reconnect_delay": 0.2, **options}
        client = centrifuge.Client(url or self.hub.websocket(), events=Log(), min_reconnect_delay=0.01, **options)
        self.clients.append(client)
        return client

    async def connected(self, *arguments, **options):
        client = self.client(*arguments, **options)
        await client.connect()
        await client.ready()
        return client

    async def api(self, method, **request):
        return await asyncio.to_thread(lambda: self.hub.api(method, **request))

    async def publish(self, channel, data, **more):
        return await self.api("publish", channel=channel, data=data, **more)


def subscription(client, channel, **options):
    return client.new_subscription(channel, events=Log(), min_resubscribe_delay=0.01, **options)


async def subscribed(client, channel, **options):
    sub = subscription(client, channel, **options)
    await sub.subscribe()
    await sub.ready()
    return sub


async def refusal(call):
    """The code of the error that a call ends with."""
    try:
        await call
    except ReplyError as error:
        return error.code
    raise AssertionError("it was not refused")


async def tokens(peers):
    client = await peers.connected("", token=make_token("42", info={"name": "Ada"}))
    sub = await subscribed(client, "tokens")
    (info,) = (await sub.presence()).clients.values()
    assert (info.client, info.user, info.conn_info) == (client.client_id, "42", {"name": "Ada"}), info
    cases = [("", 101), ("junk", 3500), (make_token("42", secret="another"), 3500)]
    for token, code in cases:
        refused = peers.client("", token=token)
        await refused.connect()
        told = await refused.events.nth("disconnected")
        assert told.code == code, f"{token[:10]} got {told}"
    return f"a token names the user, {len(cases)} others are refused"


async def refresh(peers):
    asked = []

    async def get_token():
        asked.append("client")
        return make_token("fresh", ttl=2)

    async def get_channel_token(channel):
        asked.append(channel)
        return make_token("fresh", ttl=2, channel=channel)

    client = await peers.connected("", token=make_token("fresh", ttl=-10), get_token=get_token)
    assert [context.code for context in client.events.all("error")] == [13], client.events.events
    sub = await subscribed(client, "shut:fresh", get_token=get_channel_token)
    await asyncio.sleep(6)
    await peers.publish("shut:fresh", 1)
    await until(sub.events.data, "a publication after refreshing")
    counts = asked.count("client"), asked.count("shut:fresh")
    assert min(counts) >= 3 and len(client.events.all("connected")) == 1, f"{counts} {client.events.events}"
    return f"tokens of 2 s were asked for {counts[0]} and {counts[1]} times in 6 s, nothing was cut"


async def channels(peers):
    client = await peers.connected("42")
    for channel in ("room", "room#42", "anyone:1"):
        await subscribed(client, channel)
    await subscribed(client, "shut:1", token=make_token("42", channel="shut:1"))
    refused = {"shut:2": 103, "room#43": 103, "nowhere:1": 102, "x" * 256: 107}
    for channel, code in refused.items():
        sub = subscription(client, channel)
        await sub.subscribe()
        told = await sub.events.nth("unsubscribed")
        assert told.code == code, f"{channel} got {told}"

    sub = await subscribed(client, "heard:1")
    await sub.publish({"é": [1, None]})
    await peers.publish("heard:1", "by API", tags={"tide": "high"})
    await until(lambda: len(sub.events.got) == 2, "two publications")
    own, other = sub.events.got
    assert (own.data, own.offset, own.info.user) == ({"é": [1, None]}, 1, "42"), own
    assert (other.data, other.offset, other.info, other.tags) == ("by API", 2, None, {"tide": "high"}), other
    assert await refusal(client.publish("room", 1)) == 103
    assert await refusal(client.rpc("anything", {})) == 108

    assert (await sub.presence_stats()).num_clients == 1
    for n in range(3, 11):
        await peers.publish("heard:1", n)
    newest = await sub.history(limit=3, reverse=True)
    assert [pub.data for pub in newest.publications] == [10, 9, 8] and newest.offset == 10
    since = await sub.history(limit=2, since=StreamPosition(5, newest.epoch))
    assert [pub.offset for pub in since.publications] == [6, 7], since
    assert (await sub.history()).publications == []
    assert await refusal(sub.history(limit=1, since=StreamPosition(5, "another"))) == 112
    return f"subscribe, publish, presence, history; {len(refused)} channels are refused by 103, 102, 107; rpc by 108"


async def recovery(peers):
    cutter = Cutter(peers.hub)
    clients = [await peers.connected(f"cut {n}", url=cutter.url()) for n in range(3)]
    subs = [await subscribed(client, "long:cut") for client in clients]
    own = await peers.connected("served", url=cutter.url(), token=make_token("served", channels=["long:cut"]))
    ended = threading.Event()

    def publisher():
        try:
            for n in range(1, TOTAL + 1):
                peers.hub.publish("long:cut", n)
        finally:
            ended.set()

    publishing = asyncio.create_task(asyncio.to_thread(publisher))
    while not ended.is_set():
        await asyncio.sleep(0.2)
        await asyncio.to_thread(cutter.cut)
    await publishing
    expected = list(range(1, TOTAL + 1))
    for events in [*(sub.events for sub in subs), own.events]:
        await until(lambda: expected[-1] in events.data()[-1:], f"the last of {TOTAL}")
        wrong = [(got, due) for got, due in zip(events.data(), expected) if got != due][:1]
        assert events.data() == expected, f"{len(events.got)} of {TOTAL} came, first wrong {wrong}"
    later = [context for sub in subs for context in sub.events.all("subscribed")[1:]]
    assert len(later) >= 6 and all(context.was_recovering and context.recovered for context in later), later
    cutter.close()
    return f"{TOTAL} publications to 4 clients through {cutter.cuts} cuts, {len(later)} recoveries: each once, in order"


async def trimmed(peers):
    client = await peers.connected("trimmed")
    sub = await subscribed(client, "small:trimmed")
    for missed, recovered in (2, True), (3, False), (0, True):
        times = len(sub.events.all("subscribed"))
        await client.disconnect()
        for n in range(missed):
            await peers.publish("small:trimmed", n)
        await client.connect()
        told = await sub.events.nth("subscribed", times + 1)
        assert (told.was_recovering, told.recovered) == (True, recovered), f"{missed} missed: {told}"
    assert sub.events.data() == [0, 1], sub.events.data()
    return "2 missed of a history of 2 came back, of 3 missed it was told that they are gone"


async def many(peers):
    client = peers.client("many")
    subs = [subscription(client, f"many {n}") for n in range(100)]
    for sub in subs:
        await sub.subscribe()
    await client.connect()
    await asyncio.gather(*(sub.ready() for sub in subs))
    for _ in range(200):
        await subs[0].unsubscribe()
        await subs[0].subscribe()
        await subs[0].ready()
    await peers.publish("many 0", 1)
    await until(subs[0].events.data, "a publication")
    await asyncio.sleep(0.1)
    assert subs[0].events.data() == [1]
    assert (await subs[0].presence_stats()).num_clients == 1
    assert len(client.events.all("connecting")) == 1, client.events.events[:5]
    return "100 subscriptions at once, one of them 200 times anew"


async def served(peers):
    client = await peers.connected("served user", token=make_token("served user", channels=["mine"]))
    await client.events.nth("subscribed")
    await peers.api("subscribe", user="served user", channel="also mine")
    assert (await client.events.nth("subscribed", 2)).channel == "also mine"
    await peers.publish("mine", 1)
    await peers.publish("also mine", 2)
    await until(lambda: client.events.data() == [1, 2], "both publications")
    await peers.api("unsubscribe", user="served user", channel="mine")
    assert (await client.events.nth("unsubscribed")).channel == "mine"
    sub = await subscribed(client, "own")
    await peers.api("unsubscribe", user="served user", channel="own")
    assert (await sub.events.nth("unsubscribed")).code == 2000
    return "server-side subscriptions by token and by API"


async def disconnects(peers):
    for code, returns in (3200, True), (3700, False), (4200, True), (4700, False):
        user = f"sent away {code}"
        client = await peers.connected(user)
        await peers.api("disconnect", user=user, disconnect={"code": code, "reason": "off you go"})
        kind, number = ("connecting", 2) if returns else ("disconnected", 1)
        told = await client.events.nth(kind, number)
        assert (told.code, told.reason) == (code, "off you go"), told
        if returns:
            await client.events.nth("connected", 2)
        else:
            await asyncio.sleep(0.2)
            assert len(client.events.all("connecting")) == 1, client.events.events
    return "sent away: 3200 and 4200 return, 3700 and 4700 stay away"


async def restart(hub):
    async with Peers(hub) as peers:
        client = await peers.connected("restarted")
        sub = await subscribed(client, "restart")
        await peers.publish("restart", 1)
        await until(sub.events.data, "a publication")
        first = sub.events.all("subscribed")[0]
        with await asyncio.to_thread(hub.again) as peers.hub:
            told = await sub.events.nth("subscribed", 2, 20)
            assert (told.was_recovering, told.recovered) == (True, False), told
            assert told.stream_position.epoch != first.stream_position.epoch, told
            await peers.publish("restart", 2)
            await until(lambda: sub.events.data() == [1, 2], "the first of the new life")
            assert sub.events.got[1].offset == 1
            await client.disconnect()
    return "SIGKILL and a new start: a new epoch, told as not recovered"


async def all_of(proof, hub):
    async def shown(check, *arguments):
        try:
            proof.claim(True, await check(*arguments))
        except Exception as error:  # one that fails does not keep the others from being made
            proof.claim(False, f"{check.__name__}: {type(error).__name__} {error}")

    async with Peers(hub) as peers:
        together = [tokens, refresh, channels, trimmed, many, served, disconnects]
        await asyncio.gather(*(shown(check, peers) for check in together))
        await shown(recovery, peers)
    await shown(restart, hub)


def main(proof):
    with Hub() as hub:
        asyncio.run(all_of(proof, hub))


run(main, seconds=150)
