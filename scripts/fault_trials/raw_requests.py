"""Owns bytes that are no proper HTTP request, drawn from a random generator."""

from __future__ import annotations

import json
import random
from collections.abc import Callable

_CHAT = json.dumps({"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 2}).encode()
_PATHS = (b"/", b"/health", b"/models", b"/v1/chat/completions", b"/setModel", b"/cache")
_METHODS = (b"GET", b"POST", b"HEAD", b"PUT", b"DELETE", b"OPTIONS", b"TRACE", b"CONNECT", b"PRI")
_TARGETS = (
    *(b"http://evil.example/health", b"*", b"//health", b"/../../etc/passwd", b"/models/%00"),
    *(
        b"/models/%2e%2e%2fsecret.gguf",
        b"/models/%ff%fe",
        b"/health?%zz=%",
        b"/health#x",
        b"health",
    ),
    *(b"/models/\xff\xfe", b"/health;a=b", b"evil.example:443", b"/models/" + b"a" * 4000),
    *(b"/" + b"a" * 70_000, b"/health?" + b"a=b&" * 3000, b"/" + b"../" * 500, b"/models/a%0d%0ab"),
)
_BAD_LENGTHS = (b"-1", b"+5", b"0x10", b"5, 5", b"5 5", b"abc", b"", b"1e3", b"9" * 30, b" 5 ")
_BAD_CHUNKS = (
    *(b"zz\r\nabc\r\n0\r\n\r\n", b"-5\r\nabcde\r\n0\r\n\r\n", b"5\nabcde\n0\n\n", b"\r\n\r\n"),
    *(b"ffffffffffffffff\r\nabc", b"5\r\nab\r\n0\r\n\r\n", b"3\r\nabcde\r\n0\r\n\r\n"),
    *(b"5;" + b"x" * 5000 + b"\r\nabcde\r\n0\r\n\r\n", b"0\r\nA: b\r\n" * 100 + b"\r\n"),
    *(b"0" * 5000 + b"1\r\na\r\n0\r\n\r\n", b"1\r\na\r\n" * 50, b"5\r\nabcde0\r\n\r\n"),
)


def request(
    method: bytes, target: bytes, *headers: bytes, body: bytes = b"", version: bytes = b"HTTP/1.1"
) -> bytes:
    """Return the bytes of a request."""
    lines = [b" ".join((method, target, version)), b"Host: localhost", *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def post(body: bytes, *headers: bytes) -> bytes:
    """Return a chat request with other headers than it ought to have."""
    return request(b"POST", b"/v1/chat/completions", *headers, body=body)


def _noise(rng: random.Random) -> bytes:
    return rng.randbytes(rng.choice((1, 10, 100, 5000, 100_000)))


def _flipped(rng: random.Random) -> bytes:
    data = bytearray(post(_CHAT, b"Content-Length: %d" % len(_CHAT)))
    for _ in range(rng.randint(1, 6)):
        data[rng.randrange(len(data))] = rng.choice(
            (0, 10, 13, 32, 58, 127, 255, rng.randrange(256))
        )
    return bytes(data)


def _cut(rng: random.Random) -> bytes:
    data = post(_CHAT, b"Content-Length: %d" % len(_CHAT))
    return data[: rng.randrange(1, len(data))]


def _target(rng: random.Random) -> bytes:
    return request(rng.choice(_METHODS), rng.choice(_TARGETS))


def _method(rng: random.Random) -> bytes:
    odd = (b"get", b"G\x00T", b"X" * 1000, b"", b"GET GET", b"\x16\x03\x01\x02", *_METHODS)
    return request(rng.choice(odd), rng.choice(_PATHS))


def _version(rng: random.Random) -> bytes:
    odd = (
        b"HTTP/0.9",
        b"HTTP/1.0",
        b"HTTP/2.0",
        b"HTTP/9.9",
        b"HTTP/1.1.1",
        b"",
        b"ICY",
        b"http/1.1",
    )
    return request(b"GET", rng.choice(_PATHS), version=rng.choice(odd))


def _header(rng: random.Random) -> bytes:
    odd = (
        *(b"A: " + b"x" * 100_000, b"A" * 20_000 + b": b", b"No colon", b": no name", b"A : b"),
        *(b"A: \x00\x01\x02", b"A: b\nC: d", b" folded: x", b"A:\r\n folded", b"A: \xff\xfe"),
        *(b"Host: other", b"Expect: 100-continue", b"Expect: nonsense", b"Upgrade: h2c"),
        *(b"Connection: close, keep-alive", b"Connection: Upgrade\r\nUpgrade: websocket"),
        *(
            b"Accept-Encoding: " + b"gzip," * 2000,
            b"Cookie: " + b"a=b;" * 2000,
            b"Range: bytes=9-1",
        ),
        b"\r\n".join(b"H%d: v" % number for number in range(rng.choice((50, 500, 5000)))),
    )
    return request(b"GET", rng.choice(_PATHS), rng.choice(odd))


def _length(rng: random.Random) -> bytes:
    wrong = (*_BAD_LENGTHS, b"%d" % (len(_CHAT) - 1), b"%d" % (len(_CHAT) + 50))
    return post(_CHAT, b"Content-Length: " + rng.choice(wrong))


def _two_lengths(rng: random.Random) -> bytes:
    other = rng.choice((0, 1, len(_CHAT) - 1, len(_CHAT), len(_CHAT) + 1))
    return post(_CHAT, b"Content-Length: %d" % len(_CHAT), b"Content-Length: %d" % other)


def _both_framings(rng: random.Random) -> bytes:
    coding = rng.choice(
        (b"chunked", b"identity", b"xchunked", b"chunked, chunked", b"gzip, chunked")
    )
    smuggled = request(b"GET", b"/health")
    headers = [b"Content-Length: %d" % rng.choice((4, 30)), b"Transfer-Encoding: " + coding]
    rng.shuffle(headers)
    return post(b"0\r\n\r\n" + smuggled, *headers)


def _chunks(rng: random.Random) -> bytes:
    return post(rng.choice(_BAD_CHUNKS), b"Transfer-Encoding: chunked")


def _pipeline(rng: random.Random) -> bytes:
    parts = [
        rng.choice(
            (request(b"GET", rng.choice(_PATHS)), post(_CHAT, b"Content-Length: %d" % len(_CHAT)))
        )
        for _ in range(rng.randint(2, 12))
    ]
    return b"".join(parts) + rng.choice((b"", b"GET /", rng.randbytes(50)))


def _huge_body(rng: random.Random) -> bytes:
    claimed = rng.choice((2**31, 2**40, 10 * 1024**2))
    return post(b"x" * rng.choice((0, 100, 300_000)), b"Content-Length: %d" % claimed)


def _line_ends(rng: random.Random) -> bytes:
    data = request(b"GET", rng.choice(_PATHS))
    return data.replace(b"\r\n", rng.choice((b"\n", b"\r", b"\r\r\n", b"\n\r", b"\x00\r\n")))


def _blank_lines(rng: random.Random) -> bytes:
    return b"\r\n" * rng.choice((1, 2, 100, 30_000)) + request(b"GET", b"/health")


KINDS: dict[str, Callable[[random.Random], bytes]] = {
    "noise": _noise,
    "flipped bytes": _flipped,
    "cut off": _cut,
    "targets": _target,
    "methods": _method,
    "versions": _version,
    "headers": _header,
    "wrong Content-Length": _length,
    "two Content-Lengths": _two_lengths,
    "two framings": _both_framings,
    "chunks": _chunks,
    "pipelines": _pipeline,
    "huge bodies": _huge_body,
    "line ends": _line_ends,
    "blank lines": _blank_lines,
}
