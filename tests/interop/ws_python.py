"""Python's `websockets` and `aiohttp` say what there is to say in a WebSocket, and get it back, also through TLS."""

import asyncio
import os
import signal
import socket
import ssl
import struct
import time

from certificates import Authority
from harness import Server, enter_venv, run

enter_venv()

import aiohttp  # noqa: E402
import websockets  # noqa: E402
from websockets.asyncio.client import connect  # noqa: E402
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory  # noqa: E402

MIB = 1 << 20
LIMIT = {"max_message_bytes": "8MiB"}
TEXTS = ["hi", "", "\0", "naïve – 潮汐 🌊 \U0010ffff", "é" * (MIB // 2), *("x" * n for n in (125, 126, 65535, 65536))]
BINARIES = [b"hi", b"", b"\xff\xfe\0", os.urandom(MIB), *(bytes(n) for n in (125, 126, 65535, 65536))]
FRAGMENTS = [["one"], ["a", "", "ü", "🌊", ""], ["x" * 1000] * 100, [b"\xf0", b"\x9f", b"\x8c\x8a"], [b""] * 10]
CLOSES = [(1000, "done"), (1001, "leaving – 再见"), (3000, ""), (4999, "r" * 123)]


def open_peer(server, scheme="ws", **options):
    """A connection of `websockets`, without compression unless asked for."""
    options = {"compression": None, "proxy": None, "max_size": None, "open_timeout": 5, **options}
    return connect(server.url(scheme, host="localhost" if scheme == "wss" else "127.0.0.1"), **options)


async def echoes(peer):
    """How many messages came back as they went, text as text and binary as binary."""
    for message in TEXTS + BINARIES:
        await peer.send(message)
        assert await asyncio.wait_for(peer.recv(), 10) == message, f"not the same: {message[:20]!r}"
    for parts in FRAGMENTS:
        await peer.send(parts)
        whole = parts[0][:0].join(parts)
        assert await asyncio.wait_for(peer.recv(), 10) == whole, f"not the same: {whole[:20]!r} in parts"
    return len(TEXTS + BINARIES + FRAGMENTS)


async def with_websockets(proof, server):
    async with open_peer(server, subprotocols=["chat"]) as peer:
        count = await echoes(peer)
        chosen = peer.response.headers.get_all("Sec-WebSocket-Protocol")
        proof.claim(not chosen, f"websockets: {count} messages came back, no subprotocol chosen")

        for payload in (b"", b"\x00\xff", b"p" * 125):
            await asyncio.wait_for(await peer.ping(payload), 5)
        # A ping between the fragments of a message is answered before the message.
        async def parts():
            yield "first "
            await asyncio.wait_for(await peer.ping("between"), 5)
            yield "last"
        await peer.send(parts())
        proof.claim(await peer.recv() == "first last", "4 pings were answered, one inside a message")

    answers = []
    for code, reason in CLOSES:
        async with open_peer(server) as peer:
            await peer.close(code, reason)
            answers.append(peer.close_code)
    asked = [code for code, _ in CLOSES]
    proof.claim(answers == asked, f"its closes were answered by {answers}")


async def with_aiohttp(proof, server):
    url = server.url("ws", "/any/path?and=query")
    async with aiohttp.ClientSession() as session:
        async with session.ws_connect(url, max_msg_size=0, autoping=False, heartbeat=None) as peer:
            for message in TEXTS:
                await peer.send_str(message)
                assert await peer.receive_str(timeout=10) == message, f"not the same: {message[:20]!r}"
            for message in BINARIES:
                await peer.send_bytes(message)
                assert await peer.receive_bytes(timeout=10) == message, f"not the same: {message[:20]!r}"
            await peer.ping(b"tide")
            pong = await peer.receive(timeout=5)
            answered = (pong.type, pong.data) == (aiohttp.WSMsgType.PONG, b"tide")
        proof.claim(answered, f"aiohttp: {len(TEXTS + BINARIES)} messages and a ping came back")
        answers = []
        for code, reason in CLOSES:
            async with session.ws_connect(url) as peer:
                await peer.close(code=code, message=reason.encode())
                answers.append(peer.close_code)
        proof.claim(answers == [code for code, _ in CLOSES], f"its closes by {answers}")


async def what_is_wrong(proof, server):
    """The code that each kind of broken message ends a connection with."""
    async def too_large(peer):
        await peer.send(bytes(8 * MIB + 1))

    async def too_large_in_parts(peer):
        await peer.send([bytes(MIB)] * 8 + [b"x"])

    async def not_utf8(peer):
        await peer.send(b"\xed\xa0\x80", text=True)

    async def reserved_opcode(peer):
        peer.transport.write(b"\x83\x80mask")

    async def unmasked(peer):
        peer.transport.write(b"\x81\x02hi")

    cases = [(too_large, 1009), (too_large_in_parts, 1009), (not_utf8, 1007), (reserved_opcode, 1002), (unmasked, 1002)]
    answers = []
    for send, _ in cases:
        peer = await open_peer(server)
        try:
            await send(peer)
        except websockets.ConnectionClosed:
            pass
        await asyncio.wait_for(peer.wait_closed(), 10)
        answers.append(peer.close_code)
    told = ", ".join(f"{send.__name__} {code}" for (send, _), code in zip(cases, answers))
    proof.claim(answers == [code for _, code in cases], f"ended: {told}")


async def hundred(proof, server):
    async def one(n):
        async with open_peer(server) as peer:
            for turn in range(10):
                await peer.send(f"{n} {turn}")
                assert await asyncio.wait_for(peer.recv(), 20) == f"{n} {turn}"

    began = time.monotonic()
    await asyncio.gather(*(one(n) for n in range(100)))
    proof.claim(True, f"100 at once had 10 answers each in {(time.monotonic() - began) * 1000:.0f} ms")


def bytes_received(peer):
    """What the kernel counted on the connection so far (tcpi_bytes_received of TCP_INFO)."""
    info = peer.transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 136)
    return struct.unpack_from("Q", info, 128)[0]


async def cost(peer, message):
    before = bytes_received(peer)
    await peer.send(message)
    assert await asyncio.wait_for(peer.recv(), 10) == message
    return bytes_received(peer) - before


# What a client offers, and what the answer must hold and must not hold, for `on` and for `takeover`.
NEITHER = {"server_no_context_takeover", "client_no_context_takeover"}
OFFERS = [
    ({}, NEITHER, set()),
    ({"client_max_window_bits": True}, NEITHER, set()),
    ({"server_no_context_takeover": True}, NEITHER, {"server_no_context_takeover"}),
    ({"client_no_context_takeover": True}, NEITHER, {"client_no_context_takeover"}),
]


async def deflated(proof, server, mode):
    """Offers and answers; what compressed messages cost; whether one may lean on the message before."""
    wrong, costs = [], []
    for offer, on, takeover in OFFERS:
        async with open_peer(server, extensions=[ClientPerMessageDeflateFactory(**offer)]) as peer:
            header = peer.response.headers.get("Sec-WebSocket-Extensions", "")
            agreed = {part.strip() for part in header.split(";") if "client_max_window_bits" not in part}
            expected = {"off": {""}, "on": {"permessage-deflate"} | on, "takeover": {"permessage-deflate"} | takeover}
            await echoes(peer)
            once = await cost(peer, "the same again and again " * (MIB // 25))
            noise = os.urandom(2048).hex()
            first, second = await cost(peer, noise), await cost(peer, noise)
        leans, may_lean = second < first / 4, mode == "takeover" and "server_no_context_takeover" not in offer
        if agreed != expected[mode] or leans != may_lean or (once < MIB // 20) != (mode != "off"):
            wrong.append(f"{offer} was answered by {header!r}, {once}, {first}, {second} bytes")
        costs = costs or [once, first, second]
    told = f"deflate {mode}: {len(OFFERS)} offers; 1 MiB of text took {costs[0]} bytes, "
    proof.claim(not wrong, "; ".join(wrong) or told + f"4 KiB of noise {costs[1]}, again {costs[2]}")


async def small_windows(proof, server):
    """A server that keeps to a window of 512 bytes, or says that it can't; repeats are further apart than that."""
    parts, agreed = os.urandom(700).hex() * 30, []
    for bits in (9, 12, 15):
        offers = [ClientPerMessageDeflateFactory(server_max_window_bits=bits), ClientPerMessageDeflateFactory()]
        async with open_peer(server, extensions=offers) as peer:
            header = peer.response.headers.get("Sec-WebSocket-Extensions", "")
            assert "permessage-deflate" in header, f"both offers declined: {header!r}"
            agreed += [bits] if "server_max_window_bits" in header else []
            for _ in range(3):
                await cost(peer, parts)
    proof.claim(True, f"windows kept to, in bits: {agreed}")


async def over_tls(proof, server, authority):
    trusting = ssl.create_default_context(cafile=authority.certificate)
    async with open_peer(server, "wss", ssl=trusting) as peer:
        count = await echoes(peer)
        version = peer.transport.get_extra_info("ssl_object").version()
        await peer.close(3000, "done")
        proof.claim(peer.close_code == 3000, f"wss: {count} messages came back over {version}")
    async with aiohttp.ClientSession() as session:
        async with session.ws_connect(server.url("wss", host="localhost"), ssl=trusting) as peer:
            await peer.send_str("tide")
            assert await peer.receive_str(timeout=5) == "tide"
    try:
        async with open_peer(server, "wss", ssl=ssl.create_default_context()):
            told = "nothing"
    except ssl.SSLCertVerificationError as error:
        told = error.verify_message
    proof.claim("issuer" in told or "self" in told, f"without the authority: {told}")


async def heartbeat(proof, server):
    """A client that answers pings lives on; a silent one is asked, and then closed."""
    async with open_peer(server) as alive:
        with server.connect() as silent:
            silent.setblocking(False)
            loop, key = asyncio.get_running_loop(), "dGhlIHNhbXBsZSBub25jZQ=="
            await loop.sock_sendall(silent, (
                f"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
            ).encode())
            began, pings, end = time.monotonic(), 0, None
            assert b" 101 " in await asyncio.wait_for(loop.sock_recv(silent, 4096), 5)
            while not end and time.monotonic() < began + 5:
                try:
                    got = await asyncio.wait_for(loop.sock_recv(silent, 4096), 5)
                except ConnectionResetError:
                    got = b""
                pings += got[:1] == b"\x89"
                end = None if got[:1] == b"\x89" else time.monotonic() - began
        await asyncio.sleep(0.5)
        await alive.send("still here")
        assert await asyncio.wait_for(alive.recv(), 5) == "still here"
    timely = end and 2.3 <= end <= 2.9 and pings
    proof.claim(timely, f"a silent one was asked {pings} times and ended after {end or 0:.1f} s, another lives")


async def shut_down(proof, server):
    async with open_peer(server) as one, aiohttp.ClientSession() as session:
        async with session.ws_connect(server.url("ws")) as two:
            server.process.send_signal(signal.SIGTERM)
            await asyncio.wait_for(one.wait_closed(), 5)
            close = await two.receive(timeout=5)
            told = [(one.close_code, one.close_reason), (close.data, close.extra)]
    right = all(code == 3001 and "shutting down" in reason for code, reason in told)
    proof.claim(right, f"SIGTERM: {told[0][0]} {told[0][1]!r} to both")
    status = await asyncio.to_thread(server.process.wait, 10)
    proof.claim(status == 0, f"status {status}")


async def talk(proof):
    with Server("auto", deflate="off", **LIMIT) as server:
        await with_websockets(proof, server)
        await with_aiohttp(proof, server)
        await what_is_wrong(proof, server)
        await hundred(proof, server)
        await deflated(proof, server, "off")
    with Server("ws", **LIMIT) as server:
        await deflated(proof, server, "on")
        await small_windows(proof, server)
        async with aiohttp.ClientSession() as session:
            async with session.ws_connect(server.url("ws"), compress=15, max_msg_size=0) as peer:
                await peer.send_str("tide " * MIB)
                squeezed = peer.compress and await peer.receive_str(timeout=5) == "tide " * MIB
        proof.claim(squeezed, "aiohttp compresses too")
    with Server("auto", deflate="takeover", **LIMIT) as server:
        await deflated(proof, server, "takeover")
        await small_windows(proof, server)
    with Authority() as authority:
        certificate, key = authority.issue("server")
        with Server("wss", tls_certificate=certificate, tls_key=key, **LIMIT) as server:
            await over_tls(proof, server, authority)
    with Server("auto", heartbeat_interval="1s", drain_window="200ms") as server:
        await heartbeat(proof, server)
        await shut_down(proof, server)


run(lambda proof: asyncio.run(talk(proof)))
