"""What RFC 9113 and RFC 7541 say of peers that do it wrong, case by case, as frames on a raw connection:
the gate names the error or hangs up, and no service sees anything of it."""

import socket
import ssl
import struct

import pytest
from hpack import Decoder, Encoder

from echo import Echo
from portcullis import Demo
from test_attacks import CONFIG, frame

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
END_STREAM, END_HEADERS, PADDED, ACK = 1, 4, 8, 1
NO_ERROR, PROTOCOL, INTERNAL, FLOW, TIMEOUT, CLOSED, SIZE, REFUSED, CANCEL, COMPRESSION = range(10)


@pytest.fixture(scope="module")
def gate():
    echo = Echo()
    config = CONFIG.format(port=echo.port).replace("proxy_protocol = true", "")
    with Demo(config, services=False, demo=False) as running:
        running.echo = echo
        yield running
        assert "panicked" not in running.log()


class Peer:
    """One connection, after the exchange of settings."""

    def __init__(self, gate, preface=PREFACE, settings=b"", greet=True):
        context = ssl.create_default_context(cafile=gate.data / "ca.pem")
        context.set_alpn_protocols(["h2"])
        self.host = f"localhost:{gate.ports['PUBLIC']}"
        plain = socket.create_connection(("127.0.0.1", gate.ports["PUBLIC"]), 10)
        self.stream = context.wrap_socket(plain, server_hostname="localhost")
        self.stream.settimeout(5)
        self.encoder, self.buffer = Encoder(), b""
        self.send(preface)
        if greet:
            self.send(frame(SETTINGS, 0, 0, settings))
            self.await_frame(lambda kind, flags, *_: kind == SETTINGS and not flags & ACK)
            self.send(frame(SETTINGS, ACK, 0))

    def send(self, data):
        try:
            self.stream.sendall(data)
        except OSError:
            pass

    def block(self, more=(), **changed):
        fields = {":method": "GET", ":scheme": "https", ":path": "/echo/x", ":authority": self.host, **changed}
        return self.encoder.encode([(n, v) for n, v in fields.items() if v is not None] + list(more))

    def frames(self):
        while True:
            while len(self.buffer) < 9 or len(self.buffer) < 9 + int.from_bytes(self.buffer[:3], "big"):
                piece = self.stream.recv(65536)
                if not piece:
                    return
                self.buffer += piece
            length = int.from_bytes(self.buffer[:3], "big")
            kind, flags, stream = self.buffer[3], self.buffer[4], int.from_bytes(self.buffer[5:9], "big")
            payload, self.buffer = self.buffer[9:9 + length], self.buffer[9 + length:]
            yield kind, flags, stream, payload

    def await_frame(self, wanted):
        for seen in self.frames():
            if wanted(*seen):
                return seen
        raise AssertionError("the connection is closed")

    def outcome(self):
        """What becomes of it: ("connection", code), ("stream", code), ("closed", None), or a status."""
        decoder = Decoder()
        try:
            for kind, _, _, payload in self.frames():
                if kind == GOAWAY:
                    return "connection", struct.unpack(">I", payload[4:8])[0]
                if kind == RST_STREAM:
                    return "stream", struct.unpack(">I", payload)[0]
                if kind == HEADERS:
                    return "status", int(dict(decoder.decode(payload))[":status"])
                if kind == PING:
                    return "pong", None
        except (OSError, ssl.SSLError):
            pass
        return "closed", None


def request(peer, stream=1, flags=END_STREAM | END_HEADERS, **changed):
    return frame(HEADERS, flags, stream, peer.block(**changed))


def setting(number, value):
    return struct.pack(">HI", number, value)


# Errors of the connection: GOAWAY with one of these codes, or it is closed. The library below says
# PROTOCOL_ERROR in many places where the RFC names a finer code.
CONNECTION = {
    "5.1 DATA on an idle stream": (lambda p: frame(DATA, END_STREAM, 1, b"x"), {PROTOCOL, CLOSED}),
    "5.1 RST_STREAM on an idle stream": (lambda p: frame(RST_STREAM, 0, 1, struct.pack(">I", CANCEL)), {PROTOCOL}),
    "5.1 WINDOW_UPDATE on an idle stream": (lambda p: frame(WINDOW, 0, 1, struct.pack(">I", 1)), {PROTOCOL}),
    "5.1 CONTINUATION on an idle stream": (lambda p: frame(CONTINUATION, END_HEADERS, 1, b""), {PROTOCOL}),
    "5.1.1 an even stream": (lambda p: request(p, 2), {PROTOCOL}),
    "5.1.1 a stream lower than one before": (lambda p: request(p, 5) + request(p, 3), {PROTOCOL, CLOSED}),
    "4.2 a frame larger than allowed": (lambda p: frame(DATA, 0, 0, b"x" * 17_000), {SIZE, PROTOCOL}),
    "4.3 a block that cannot be read": (lambda p: frame(HEADERS, END_STREAM | END_HEADERS, 1, b"\xff\xff\xff\xff\xff\xff"), {COMPRESSION}),
    "4.3 another frame inside a block": (lambda p: request(p, flags=END_STREAM) + frame(PRIORITY, 0, 1, b"\0" * 5), {PROTOCOL}),
    "4.3 a block of another stream inside": (lambda p: request(p, flags=END_STREAM) + frame(CONTINUATION, END_HEADERS, 3, b""), {PROTOCOL}),
    "6.1 DATA on stream 0": (lambda p: frame(DATA, 0, 0, b"x"), {PROTOCOL}),
    "6.1 more padding than there is": (lambda p: request(p, flags=END_HEADERS) + frame(DATA, PADDED, 1, b"\x20x"), {PROTOCOL}),
    "6.2 HEADERS on stream 0": (lambda p: request(p, 0), {PROTOCOL}),
    "6.2 HEADERS with more padding than there is": (lambda p: frame(HEADERS, PADDED | END_HEADERS, 1, b"\xff\x82"), {PROTOCOL}),
    "6.4 RST_STREAM on stream 0": (lambda p: frame(RST_STREAM, 0, 0, struct.pack(">I", CANCEL)), {PROTOCOL}),
    "6.4 RST_STREAM of another length": (lambda p: request(p, flags=END_HEADERS) + frame(RST_STREAM, 0, 1, b"\0\0\0"), {SIZE}),
    "6.5 SETTINGS with ACK and content": (lambda p: frame(SETTINGS, ACK, 0, setting(1, 4096)), {SIZE}),
    "6.5 SETTINGS on a stream": (lambda p: frame(SETTINGS, 0, 1), {PROTOCOL}),
    "6.5 SETTINGS of another length": (lambda p: frame(SETTINGS, 0, 0, b"\0\0\0"), {SIZE}),
    "6.5.2 ENABLE_PUSH of 2": (lambda p: frame(SETTINGS, 0, 0, setting(2, 2)), {PROTOCOL}),
    "6.5.2 a window beyond 2^31 - 1": (lambda p: frame(SETTINGS, 0, 0, setting(4, 1 << 31)), {FLOW}),
    "6.5.2 MAX_FRAME_SIZE below 16,384": (lambda p: frame(SETTINGS, 0, 0, setting(5, 16_383)), {PROTOCOL}),
    "6.5.2 MAX_FRAME_SIZE beyond 2^24 - 1": (lambda p: frame(SETTINGS, 0, 0, setting(5, 1 << 24)), {PROTOCOL}),
    "6.6 PUSH_PROMISE by a client": (lambda p: frame(PUSH, END_HEADERS, 1, struct.pack(">I", 2) + p.block()), {PROTOCOL}),
    "6.7 PING on a stream": (lambda p: frame(PING, 0, 1, b"x" * 8), {PROTOCOL}),
    "6.7 PING of another length": (lambda p: frame(PING, 0, 0, b"x" * 6), {SIZE}),
    "6.8 GOAWAY on a stream": (lambda p: frame(GOAWAY, 0, 1, struct.pack(">II", 0, 0)), {PROTOCOL}),
    "6.9 WINDOW_UPDATE of 0": (lambda p: frame(WINDOW, 0, 0, struct.pack(">I", 0)), {PROTOCOL}),
    "6.9 WINDOW_UPDATE of another length": (lambda p: frame(WINDOW, 0, 0, b"\0\0\1"), {SIZE}),
    "6.9.1 a window that overflows": (lambda p: frame(WINDOW, 0, 0, struct.pack(">I", 0x7FFFFFFF)) * 2, {FLOW}),
    "6.10 CONTINUATION on stream 0": (lambda p: frame(CONTINUATION, END_HEADERS, 0, p.block()), {PROTOCOL}),
    "6.10 CONTINUATION after the end of a block": (lambda p: request(p, flags=END_HEADERS) + frame(CONTINUATION, END_HEADERS, 1, b""), {PROTOCOL}),
    "6.10 CONTINUATION after DATA": (lambda p: request(p, flags=END_HEADERS) + frame(DATA, 0, 1, b"x") + frame(CONTINUATION, END_HEADERS, 1, b""), {PROTOCOL}),
    "HPACK 2.3.3 an index beyond the table": (lambda p: frame(HEADERS, END_STREAM | END_HEADERS, 1, b"\xff\x80\x01"), {COMPRESSION}),
    "HPACK 5.2 padding of a text longer than 7 bits": (lambda p: frame(HEADERS, END_STREAM | END_HEADERS, 1, p.block() + b"\x00\x85\xf2\xb2\x4a\x84\xff\x84\x49\x50\x9f\xff"), {COMPRESSION}),
    "HPACK 5.2 a text with EOS": (lambda p: frame(HEADERS, END_STREAM | END_HEADERS, 1, p.block() + b"\x00\x85\xf2\xb2\x4a\x87\xff\xff\xff\xfd\x25\x42\x7f"), {COMPRESSION}),
    "HPACK 6.1 index 0": (lambda p: frame(HEADERS, END_STREAM | END_HEADERS, 1, b"\x80"), {COMPRESSION}),
    "HPACK 6.3 a table larger than allowed": (lambda p: frame(HEADERS, END_STREAM | END_HEADERS, 1, b"\x3f\xe1\xff\x7f" + p.block()), {COMPRESSION}),
    "HPACK 4.2 a change of the table in the middle": (lambda p: frame(HEADERS, END_STREAM | END_HEADERS, 1, p.block() + b"\x20"), {COMPRESSION}),
}


@pytest.mark.parametrize("case", CONNECTION)
def test_errors_of_the_connection(gate, case):
    make, codes = CONNECTION[case]
    peer, before = Peer(gate), len(gate.echo.seen)
    peer.send(make(peer))
    kind, code = peer.outcome()
    while kind == "status":
        kind, code = peer.outcome()
    assert kind == "closed" or (kind in ("connection", "stream") and code in codes | {PROTOCOL}), (kind, code)
    assert len(gate.echo.seen) - before <= 1


# Errors of one stream: RST_STREAM, GOAWAY, closed, or an answer that says the request is wrong.
STREAM = {
    "5.1 DATA after the end": lambda p: request(p) + frame(DATA, END_STREAM, 1, b"x"),
    "5.1 HEADERS after the end": lambda p: request(p) + request(p),
    "5.3.1 a stream that depends on itself": lambda p: frame(PRIORITY, 0, 1, struct.pack(">IB", 1, 10)) + request(p, flags=END_HEADERS) + frame(DATA, END_STREAM, 1, b"{"),
    "8.2 an upper-case name": lambda p: request(p, more=[("X-Test", "a")]),
    "8.2 a name with a space": lambda p: request(p, more=[("x test", "a")]),
    "8.2 a name with a colon": lambda p: request(p, more=[("x:test", "a")]),
    "8.2 a value with CR and LF": lambda p: request(p, more=[("x-test", "a\r\nx-evil: b")]),
    "8.2 a value with NUL": lambda p: request(p, more=[("x-test", "a\0b")]),
    "8.2.2 connection": lambda p: request(p, more=[("connection", "keep-alive")]),
    "8.2.2 transfer-encoding": lambda p: request(p, more=[("transfer-encoding", "chunked")]),
    "8.2.2 upgrade": lambda p: request(p, more=[("upgrade", "h2c")]),
    "8.2.2 te other than trailers": lambda p: request(p, more=[("te", "gzip")]),
    "8.3 a pseudo-header nobody knows": lambda p: request(p, **{":test": "a"}),
    "8.3 one of answers": lambda p: request(p, **{":status": "200"}),
    "8.3 one after a field": lambda p: frame(HEADERS, END_STREAM | END_HEADERS, 1, p.encoder.encode(
        [(":method", "GET"), (":scheme", "https"), ("x-test", "a"), (":path", "/echo/x"), (":authority", p.host)])),
    "8.3.1 no method": lambda p: request(p, **{":method": None}),
    "8.3.1 no scheme": lambda p: request(p, **{":scheme": None}),
    "8.3.1 no path": lambda p: request(p, **{":path": None}),
    "8.3.1 an empty path": lambda p: request(p, **{":path": ""}),
    "8.3.1 a path without a slash": lambda p: request(p, **{":path": "echo/x"}),
    "8.3.1 two methods": lambda p: request(p, more=[(":method", "POST")]),
    "8.3.1 two paths": lambda p: request(p, more=[(":path", "/echo/y")]),
    "8.3.1 another host": lambda p: request(p, more=[("host", "other.example")]),
    "8.3.1 user information": lambda p: request(p, **{":authority": f"u@{p.host}"}),
    "8.1.1 less than content-length": lambda p: request(p, flags=END_HEADERS, **{":method": "POST"}, more=[("content-length", "5")]) + frame(DATA, END_STREAM, 1, b"x"),
    "8.1.1 more than content-length": lambda p: request(p, flags=END_HEADERS, **{":method": "POST"}, more=[("content-length", "1")]) + frame(DATA, END_STREAM, 1, b"xx"),
    "8.1.1 content-length without a body": lambda p: request(p, **{":method": "POST"}, more=[("content-length", "1")]),
    "8.1 fields after the body that begin with a pseudo-header": lambda p: request(p, flags=END_HEADERS, **{":method": "POST"})
        + frame(DATA, 0, 1, b"x") + frame(HEADERS, END_STREAM | END_HEADERS, 1, p.encoder.encode([(":method", "GET")])),
    "8.5 CONNECT": lambda p: frame(HEADERS, END_HEADERS, 1, p.encoder.encode([(":method", "CONNECT"), (":authority", p.host)])),
    "8441 extended CONNECT that was not offered": lambda p: request(p, flags=END_HEADERS, **{":method": "CONNECT", ":protocol": "websocket"}),
}
# The service may have been asked before the mistake came, and its answer does not count.
LATE = {"5.1 DATA after the end", "5.1 HEADERS after the end", "5.3.1 a stream that depends on itself",
        "8.1.1 less than content-length", "8.1.1 more than content-length",
        "8.1 fields after the body that begin with a pseudo-header"}


@pytest.mark.parametrize("case", STREAM)
def test_errors_of_a_stream(gate, case):
    peer, before = Peer(gate), len(gate.echo.seen)
    peer.send(STREAM[case](peer))
    # Somebody else's pong says that the connection is alive, and that all before it was looked at.
    outcome = peer.outcome()
    if case in LATE:
        assert outcome[0] in ("stream", "connection", "closed", "status"), outcome
        # Whatever the service saw, it did not see a whole body that the head does not describe.
        assert all(seen["body"] != "xx" for seen in gate.echo.seen[before:])
    else:
        wrong = outcome[0] == "status" and 400 <= outcome[1] < 500 or outcome[1] == 501
        assert wrong or outcome[0] in ("stream", "connection", "closed"), outcome
        assert len(gate.echo.seen) == before


def test_a_preface_of_something_else(gate):
    peer = Peer(gate, preface=b"INVALID CONNECTION PREFACE\r\n\r\n", greet=False)
    kind, code = peer.outcome()
    assert kind == "closed" or (kind == "connection" and code == PROTOCOL)


def test_what_is_right_is_answered(gate):
    peer = Peer(gate, settings=setting(99, 1) + setting(2, 0))
    # Unknown frames and settings, padding, priorities, a ping, a block in pieces.
    peer.send(frame(0x77, 0xFF, 0, b"whatever") + frame(PRIORITY, 0, 3, struct.pack(">IB", 0, 10)))
    peer.send(frame(PING, 0, 0, b"12345678"))
    assert peer.await_frame(lambda kind, *_: kind == PING)[1] & ACK
    block = peer.block()
    peer.send(frame(HEADERS, END_STREAM | PADDED, 1, b"\x03" + block[:5] + b"\0" * 3))
    peer.send(frame(CONTINUATION, 0, 1, block[5:9]) + frame(CONTINUATION, END_HEADERS, 1, block[9:]))
    assert peer.outcome() == ("status", 200)
    peer.send(request(peer, 3, flags=END_HEADERS, **{":method": "POST"}, more=[("content-length", "2")]))
    peer.send(frame(DATA, PADDED, 3, b"\x01h\0") + frame(DATA, END_STREAM, 3, b"i"))
    seen = peer.await_frame(lambda kind, flags, stream, payload: kind == DATA and stream == 3)
    assert b'"body": "hi"' in seen[3]
