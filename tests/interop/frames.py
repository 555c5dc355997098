"""WebSocket by hand, for what no library would send: an upgrade, frames as a client masks them, frames as they come."""

import struct

from harness import receive

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
MASK = b"tide"


def request(path="/", host="localhost", **headers):
    """The head of an upgrade; names of headers are written with `_` for `-`."""
    lines = [f"GET {path} HTTP/1.1", f"Host: {host}", "Upgrade: websocket", "Connection: Upgrade"]
    lines += ["Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode()


def receive_head(peer):
    """An answer's head, byte by byte so that nothing behind it is taken; empty where the server hangs up."""
    got = b""
    while not got.endswith(b"\r\n\r\n"):
        byte = peer.recv(1)
        if not byte:
            break
        got += byte
    return got.decode("latin-1")


def upgrade(peer, path="/", **headers):
    """Makes a WebSocket of `peer`, and returns the head of the answer."""
    peer.sendall(request(path, **headers))
    answer = receive_head(peer)
    assert answer.startswith("HTTP/1.1 101 "), f"not upgraded: {answer[:60]!r}"
    return answer


def masked(opcode, payload=b"", fin=True, rsv=0):
    """One frame of a client."""
    size = len(payload)
    first = fin << 7 | rsv << 4 | opcode
    if size < 126:
        head = struct.pack(">BB", first, 0x80 | size)
    elif size < 65536:
        head = struct.pack(">BBH", first, 0x80 | 126, size)
    else:
        head = struct.pack(">BBQ", first, 0x80 | 127, size)
    key = (MASK * (size // 4 + 1))[:size]
    hidden = int.from_bytes(payload, "little") ^ int.from_bytes(key, "little")
    return head + MASK + hidden.to_bytes(size, "little")


def receive_frame(peer):
    """The opcode and the payload of the next frame, or None where the server hangs up instead."""
    head = receive(peer, 2)
    if len(head) < 2:
        return None
    size = head[1]
    if size >= 126:
        size = int.from_bytes(receive(peer, 2 if size == 126 else 8), "big")
    return head[0] & 15, receive(peer, size)


def close_code(peer):
    """The code of the close that comes at the end of what still comes, or None."""
    while (frame := receive_frame(peer)) and frame[0] != CLOSE:
        pass
    return int.from_bytes(frame[1][:2], "big") if frame else None


def echo(peer, text=b"tide"):
    """Sends a text and expects it back."""
    peer.sendall(masked(TEXT, text))
    got = receive_frame(peer)
    assert got == (TEXT, text), f"{text[:40]!r} was answered by {got}"
