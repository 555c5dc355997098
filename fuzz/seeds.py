#!/usr/bin/env python3
"""Writes the seeds in corpus/: a few real requests, bodies, frames and headers for each target, in its format.

What a fuzzer makes of them goes to target/corpus. Run this again where a target's format has changed.
"""
import pathlib
import socket
import struct
import zlib

CORPUS = pathlib.Path(__file__).parent / "corpus"
WHOLE = struct.pack("<H", 0)
CUT = struct.pack("<H", 4711)
KEY = b"\x37\xfa\x21\x3d"
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def write(target, **seeds):
    folder = CORPUS / target
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in seeds.items():
        (folder / f"seed-{name.replace('_', '-')}").write_bytes(data)


def lines(*each):
    return "".join(f"{line}\r\n" for line in (*each, "")).encode()


def deflated(message, level=6, end=zlib.Z_SYNC_FLUSH):
    stream = zlib.compressobj(level, zlib.DEFLATED, -15)
    data = stream.compress(message) + stream.flush(end)
    return data[:-4] if end == zlib.Z_SYNC_FLUSH else data


def frame(first, payload, key=KEY):
    length = len(payload)
    mask = 0x80 if key else 0
    if length < 126:
        header = bytes([first, mask | length])
    elif length < 65536:
        header = bytes([first, mask | 126]) + struct.pack(">H", length)
    else:
        header = bytes([first, mask | 127]) + struct.pack(">Q", length)
    if not key:
        return header + payload
    return header + key + bytes(byte ^ key[at % 4] for at, byte in enumerate(payload))


CHROME = lines(
    "GET /chat HTTP/1.1",
    "Host: localhost:8000",
    "Connection: Upgrade",
    "Pragma: no-cache",
    "Cache-Control: no-cache",
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36",
    "Upgrade: websocket",
    "Origin: http://localhost:8000",
    "Sec-WebSocket-Version: 13",
    "Accept-Encoding: gzip, deflate, br, zstd",
    "Accept-Language: de-DE,de;q=0.9",
    "Cookie: session=8d6f1c",
    "Sec-WebSocket-Key: 4wVnHFwpUCHAmY7sVy+Bzw==",
    "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
)
FIREFOX = lines(
    "GET / HTTP/1.1",
    "Host: example.com",
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Accept: */*",
    "Sec-WebSocket-Version: 13",
    "Origin: https://example.com",
    "Sec-WebSocket-Protocol: chat, superchat",
    "Sec-WebSocket-Extensions: permessage-deflate",
    "Sec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw==",
    "Connection: keep-alive, Upgrade",
    "Upgrade: websocket",
)
CURL = lines("GET /health?a=b HTTP/1.1", "Host: 127.0.0.1:8000", "User-Agent: curl/8.10.1", "Accept: */*")
POST = lines(
    "POST /api HTTP/1.1",
    "Host: [::1]:8000",
    "Content-Type: application/json",
    "Content-Length: 16",
    "Expect: 100-continue",
    "Connection: close",
)
write(
    "http_head",
    chrome=WHOLE + CHROME,
    firefox=CUT + FIREFOX,
    curl=CUT + CURL,
    post=CUT + POST,
    chunked=CUT + lines("PUT http://example.com:80/a HTTP/1.1", "Host: example.com", "Transfer-Encoding: chunked"),
    old=CUT + lines("GET / HTTP/1.0", "Connection: Keep-Alive"),
    later=CUT + lines("", "OPTIONS * HTTP/1.2", "Host: example.com", "X: \t y "),
    smuggled=CUT + lines("POST / HTTP/1.1", "Host: h", "Content-Length: 5", "Transfer-Encoding: chunked"),
    bare=CUT + b"GET / HTTP/1.1\nHost: h\n\n",
)

CHUNKED, LENGTH = b"\x01", b"\x81"
MAX = struct.pack("<H", 1000)
write(
    "http_body",
    chunks=CHUNKED + MAX + CUT + b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\nGET / HTTP/1.1\r\n",
    extended=CHUNKED + MAX + CUT + b'a;name="v w"\r\n0123456789\r\n0 ;x\r\nExpires: 0\r\nA:\r\n\r\n',
    too_large=CHUNKED + MAX + CUT + b"1\r\nx\r\nffffffffffffffff\r\n",
    broken=CHUNKED + MAX + CUT + b"5\r\nhelloX\n0\r\n\r\n",
    length=LENGTH + MAX + CUT + b"hello, this is more than it says",
)

CLIENT, SERVER = 0 | 6 << 2 | 2 << 5, 1 | 6 << 2 | 2 << 5
COMPRESSES, SMALL = 2, 2 << 2 | 1 << 5
write(
    "frames",
    hello=bytes([CLIENT]) + CUT + frame(0x81, b"Hello") + frame(0x88, b"\x03\xe8bye"),
    fragments=bytes([CLIENT]) + CUT + frame(1, b"Hel") + frame(0x89, b"?") + frame(0, b"\xc3") + frame(0x80, b"\xa4"),
    long=bytes([CLIENT]) + CUT + frame(0x82, bytes(range(256))) + frame(0x8A, b""),
    server=bytes([SERVER]) + CUT + frame(0x81, "Grüße".encode(), None) + frame(0x82, b"x" * 126, None),
    deflated=bytes([CLIENT | COMPRESSES]) + CUT + frame(0xC1, deflated(b"Hello" * 9)) + frame(0xC2, b"\x00"),
    limits=bytes([SMALL]) + CUT + frame(2, b"x" * 40) + frame(0x80, b"x" * 21),
    huge=bytes([SERVER]) + CUT + b"\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00" + b"x" * 20,
    order=bytes([CLIENT]) + CUT + frame(1, b"a") + frame(0x81, b"b"),
)

write(
    "utf8",
    text=CUT + "Grüße, κόσμε, 世界, 😀\ufeff\U0010ffff".encode(),
    ascii=CUT + b"plain text, long enough for a vector of bytes and some more, and then a last one: \xc3\xa9",
    overlong=CUT + b"a\xc0\xaf\xe0\x80\xaf\xf0\x80\x80\xaf",
    surrogate=CUT + b"\xed\x9f\xbf\xed\xa0\x80",
    above=CUT + b"\xf4\x8f\xbf\xbf\xf4\x90\x80\x80",
    cut=CUT + "ended in 😀".encode()[:-1],
)


def messages(window, limit, *each):
    parts = [struct.pack("<BH", tag, len(data)) + data for tag, data in each]
    return struct.pack("<BH", window, limit) + b"".join(parts)


TEXT = b'{"type":"message","room":"lobby","text":"Hello"}'
HELLO, AGAIN = bytes.fromhex("f248cdc9c90700"), bytes.fromhex("f200110000")
READ, WRITE = 0, 0x80
write(
    "inflater",
    rfc=messages(6, 1000, (READ, HELLO), (READ, AGAIN), (READ, b"\x00"), (READ, b"\x02\x00")),
    final=messages(6, 1000, (READ, bytes.fromhex("f348cdc9c9070000")), (READ, HELLO)),
    dynamic=messages(6, 2000, (READ, deflated(bytes(range(97, 123)) * 9 + TEXT * 3, 9)), (READ, b"")),
    stored=messages(6, 2000, (READ, deflated(TEXT, 0)), (READ, deflated(TEXT, 6, zlib.Z_FINISH))),
    bomb=messages(6, 100, (READ, deflated(bytes(20000))), (READ, HELLO)),
    plain=messages(0, 1000, (WRITE | 40, TEXT), (WRITE, TEXT), (WRITE, b""), (WRITE | 3, bytes(range(256)))),
    in_header=messages(6, 1000, (READ, b"\x94\x3a"), (READ, HELLO)),
)

IPV4 = socket.inet_aton("192.0.2.1") + socket.inet_aton("198.51.100.2") + struct.pack(">HH", 56324, 443)
IPV6 = socket.inet_pton(socket.AF_INET6, "2001:db8::7") * 2 + struct.pack(">HH", 4124, 443)
TLVS = b"\x03\x00\x04\xa9\x87\x6b\x1f" + b"\xea\x00\x05\x01vpce"


def binary(command, family, body):
    return SIGNATURE + bytes([command, family]) + struct.pack(">H", len(body)) + body


write(
    "proxy",
    tcp4=b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\nGET /",
    tcp6=b"PROXY TCP6 2001:db8::1 ::ffff:1.2.3.4 4124 443\r\n",
    unknown=b"PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n",
    binary4=binary(0x21, 0x11, IPV4 + TLVS) + b"GET /",
    binary6=binary(0x21, 0x21, IPV6),
    local=binary(0x20, 0x00, b""),
    unix=binary(0x21, 0x31, bytes(216)),
)

DEFLATE, SERVER_ALONE, CLIENT_ALONE, SERVER_BITS, CLIENT_BITS = (bytes([word]) for word in range(0x80, 0x85))
write(
    "extension",
    browser=b"\0permessage-deflate; client_max_window_bits",
    words=b"\1" + DEFLATE + SERVER_ALONE + CLIENT_ALONE + CLIENT_BITS + b"\x88" + SERVER_BITS + b"\x87",
    twice=b"\1" + DEFLATE + SERVER_BITS + b"=9" + SERVER_BITS + b"=9, " + DEFLATE,
    several=b'\1permessage-deflate; server_max_window_bits=8, x; a="b, \\"c"; d,,' + DEFLATE + b"\n " + DEFLATE,
    answer=b"\0" + DEFLATE + SERVER_ALONE + CLIENT_ALONE + SERVER_BITS + b"=15",
    quoted=b'\0' + DEFLATE + b' ;\tserver_max_window_bits = "1\\0"',
    long=b"\xffa;b=c,",
)

FIXED, AUTO, PROXIED = 0, 4, 8
ON, TAKEOVER = 1 << 4, 1 | 1 << 4
NO_MASK, COMPRESSED, REPEATED, WITH_KEY, CUT_OFF = 1, 4, 8, 16, 32


def script(options, *parts, before=0, edits=()):
    changes = b"".join(struct.pack("<HBB", *edit) for edit in edits)
    return bytes([options]) + CUT + bytes([before << 2 | len(edits)]) + changes + b"".join(parts)


def said(first, payload, style=WITH_KEY):
    return bytes([first, style, len(payload)]) + payload


write(
    "upgrade",
    hello=script(FIXED, said(0x81, b"Hello"), said(0x89, b"?"), said(0x88, b"\x03\xe8bye")),
    going=script(FIXED, said(0x8A, b"!"), said(0x88, b"\x03\xe9going away")),
    own_code=script(AUTO, said(0x88, b"\x0f\xa0"), said(0x81, b"late")),
    fragments=script(AUTO | PROXIED, said(1, b"Hel"), said(0x8A, b""), said(0x80, b"lo"), said(0x82, b"\0" * 90)),
    deflated=script(ON, said(0xC1, TEXT, COMPRESSED | WITH_KEY), said(0xC2, TEXT, COMPRESSED | REPEATED)),
    takeover=script(TAKEOVER | 0x80, said(0xC1, HELLO), said(0xC1, AGAIN), said(0x81, TEXT, REPEATED)),
    narrow=script(1 | 2 << 4 | 1 << 6, said(0xC1, TEXT * 2, COMPRESSED | REPEATED), said(0x81, TEXT), said(0x81, TEXT)),
    unmasked=script(FIXED, said(0x82, b"x"), said(0x81, b"Hello", NO_MASK)),
    no_text=script(ON, said(1, b"\xc3"), said(0x80, b"\x28")),
    cut=script(AUTO, said(0x82, b"x" * 200), said(0x81, b"Hello", CUT_OFF)),
    second=script(AUTO, said(0x81, b"Hello"), before=1),
    behind_chunks=script(FIXED | 0x80, said(0x81, b"Hello"), before=3),
    behind_body=script(ON | PROXIED, said(0xC1, TEXT, COMPRESSED), before=4, edits=[(61, 0, ord("6"))]),
    third=script(AUTO, said(0x81, b"Hello"), before=5),
    edited=script(1 << 6, said(0x81, b"Hello"), edits=[(0, 0, ord("P")), (40, 1, 0), (70, 2, 10)]),
)
