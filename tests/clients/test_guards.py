"""What the gate looks into although no contract tells it to: JSON, packed bodies, cookies of services."""

import gzip
import json
import socket
import ssl
import subprocess
import threading
import zlib

import h2.connection
import pytest

from echo import Echo
from portcullis import Demo

CONFIG = """
issuer = "https://localhost:8443"
[listen]
public = "127.0.0.1:8443"
operations = "127.0.0.1:9090"
[database]
url = "sqlite:portcullis.db"
[[upstream]]
name = "echo"
servers = ["http://127.0.0.1:{port}"]
[[route]]
name = "strict"
path = "/strict/{{*rest}}"
upstream = "echo"
authenticate = ["none"]
max_body = 100000
cookies = "strict"
[[route]]
name = "usual"
path = "/usual/{{*rest}}"
upstream = "echo"
authenticate = ["none"]
[[route]]
name = "pass"
path = "/pass/{{*rest}}"
upstream = "echo"
authenticate = ["none"]
json = "pass"
cookies = "pass"
"""


def reply(seen):
    cookies = [("set-cookie", value) for value in json.loads(seen["headers"].get("x-set", "[]"))]
    return 200, [("content-type", "application/json"), *cookies], json.dumps(seen).encode()


@pytest.fixture(scope="module")
def echo():
    return Echo(reply)


@pytest.fixture(scope="module")
def gate(echo):
    with Demo(CONFIG.format(port=echo.port), services=False, demo=False) as running:
        yield running
        assert "panicked" not in running.log()


@pytest.fixture(params=[False, True], ids=["http1", "http2"])
def client(gate, request):
    with gate.client(http2=request.param) as client:
        yield client


def post(client, body, kind="application/json", path="/usual/x", **headers):
    return client.post(path, content=body, headers={"content-type": kind, **headers})


DISPUTED = [
    b'{"role":"user","role":"admin"}', b'{"role":"user","r\\u006fle":"admin"}', b'{"a":[{"b":1,"b":2}]}',
    b"[" * 65 + b"]" * 65, b"[" * 200_000, b"[1e400]", b"[NaN]", b'{"a":1,}', b"{'a':1}", b'{"a":1} {"b":2}', b"\xef\xbb\xbf{}",
    b'["\xff"]', b'["\\ud800"]', b"", b"{", b'{"a":"\x00"}', "[1]".encode("utf-16"),
]


@pytest.mark.parametrize("body", DISPUTED, ids=range(len(DISPUTED)))
def test_json_that_two_readers_read_differently_does_not_go_on(client, echo, body):
    before = len(echo.seen)
    for kind in ("application/json", "Application/JSON; charset=UTF-8", "application/merge-patch+json"):
        told = post(client, body, kind)
        if body:
            assert told.status_code == 400 and told.json()["type"].endswith(":json"), told.text
    assert len(echo.seen) == (before if body else before + 3)
    assert post(client, body, path="/pass/x").status_code == 200
    assert post(client, body, "text/plain").status_code == 200


UTF7 = b'{"role":"user","x":"+ACI-,+ACI-role+ACI-:+ACI-admin"}'
ODD_TYPES = [
    b"application/json; charset=utf-7", b"application/json; Charset=UTF-7", b"application/json; charset =utf-7",
    b'application/json; x="; charset=utf-8; "; charset=utf-7', b'application/json; charset=utf-7; x="\xe9"',
    b'application/json; a="b\\"; charset=utf-8; c=\\""; charset=utf-7', b"application/json; charset=utf-8; charset=utf-7",
    b"application/json; charset*=utf-8''utf-7", b"application/json x", b"application/json, text/plain", b"text/plain, application/json",
    b"application/json\xa0", b"application/json,", b"json",
]


@pytest.mark.parametrize("kind", ODD_TYPES, ids=range(len(ODD_TYPES)))
def test_a_type_that_two_readers_read_differently_does_not_go_on(client, echo, kind):
    before = len(echo.seen)
    assert client.post("/usual/x", content=UTF7, headers=[(b"content-type", kind)]).status_code == 415
    assert len(echo.seen) == before


def test_a_type_goes_on_as_everybody_reads_it(client, echo):
    for kind in ("Application/JSON;Charset=\"utf-8\"", "text/x-json", "application/vnd.api+json; a=\"b;c\""):
        assert post(client, b'{"a":1,"a":2}', kind).status_code == 400
        assert post(client, b"{}", kind).status_code == 200
    assert echo.seen[-1]["headers"]["content-type"] == 'application/vnd.api+json; a="b;c"'
    assert post(client, b'{"a":1}\n{"a":2}\n', "application/x-ndjson").status_code == 200


def test_who_only_says_that_something_will_come_takes_no_room(gate):
    """Heads of 400 requests whose bodies never come, and a body of somebody else."""
    peers = []
    for _ in range(4):
        context = ssl.create_default_context(cafile=gate.data / "ca.pem")
        context.set_alpn_protocols(["h2"])
        stream = context.wrap_socket(socket.create_connection(("127.0.0.1", gate.ports["PUBLIC"])), server_hostname="localhost")
        connection = h2.connection.H2Connection()
        connection.initiate_connection()
        host = f"localhost:{gate.ports['PUBLIC']}"
        for number in range(100):
            connection.send_headers(1 + 2 * number, [
                (":method", "POST"), (":scheme", "https"), (":authority", host), (":path", "/usual/x"),
                ("content-type", "application/json")])
        stream.sendall(connection.data_to_send())
        peers.append(stream)
    with gate.client() as client:
        assert post(client, b'{"a":1}').status_code == 200
        assert post(client, gzip.compress(b'{"a":1}'), **{"content-encoding": "gzip"}).status_code == 200
    for stream in peers:
        stream.close()


def test_what_goes_on_is_what_was_sent(client, echo):
    for body in (b'{"a":[1,2.50,{"b":null}], "c":"\xc3\xa9\\u00e9"}', b" [] ", b"18446744073709551615", b"[" * 64 + b"]" * 64):
        answer = post(client, body)
        assert answer.status_code == 200 and answer.json()["body"].encode("latin1") == body
    assert post(client, b'["\xe9"]', "application/json; charset=latin1").status_code == 415
    assert post(client, b"[" + b"1," * 60_000 + b"1]", path="/strict/x").status_code == 413


@pytest.mark.parametrize("pack, name", [(gzip.compress, "gzip"), (gzip.compress, "X-Gzip"), (zlib.compress, "deflate")])
def test_what_is_packed_is_unpacked_and_looked_into(client, echo, pack, name):
    answer = post(client, pack(b'{"a":1}'), **{"content-encoding": name})
    seen = answer.json()
    assert seen["body"] == '{"a":1}' and seen["headers"]["content-length"] == "7" and "content-encoding" not in seen["headers"]
    before = len(echo.seen)
    assert post(client, pack(b'{"a":1,"a":2}'), **{"content-encoding": name}).status_code == 400
    assert post(client, pack(b'{"a":1}')[:-3], **{"content-encoding": name}).status_code == 400
    assert post(client, pack(b'{"a":1}') + b"x", **{"content-encoding": name}).status_code == 400
    # A bomb: some hundred kilobytes that would be a hundred megabytes.
    bomb = pack(b"[" + b" " * (100 << 20) + b"]")
    assert len(bomb) < 200_000
    assert post(client, bomb, **{"content-encoding": name}).status_code == 413
    assert len(echo.seen) == before
    # What nobody looks into stays as it is.
    # Once: gzip writes the time, to the second, into what it packs.
    packed = pack(b"text")
    raw = post(client, packed, "text/plain", **{"content-encoding": name}).json()
    assert raw["body"].encode("latin1") == packed and raw["headers"]["content-encoding"] == name


def test_unknown_ways_of_packing_are_refused(client, echo):
    before = len(echo.seen)
    for name in ("br", "zstd", "gzip, gzip", "compress", "x"):
        told = post(client, b"{}", **{"content-encoding": name})
        assert told.status_code == 415 and told.headers["accept-encoding"] == "gzip, deflate"
    assert len(echo.seen) == before


def test_cookies_of_services_are_hardened(client):
    def set_by(path, *cookies):
        answer = client.get(f"{path}/x", headers={"x-set": json.dumps(cookies)})
        return answer.headers.get_list("set-cookie")

    given = ("a=1; Path=/", "b=2; Domain=localhost; SameSite=None; Secure", "__Host-portcullis_session=evil; Path=/; Secure")
    assert set_by("/usual", *given) == ["a=1; Path=/; Secure; SameSite=Lax", "b=2; Domain=localhost; Secure; SameSite=None"]
    assert set_by("/strict", *given) == ["a=1; Path=/; Secure; SameSite=Lax; HttpOnly", "b=2; Secure; SameSite=None; HttpOnly"]
    assert set_by("/pass", *given) == list(given[:2])


class Trailing(threading.Thread):
    """A service that ends its answers with fields after the body."""

    def __init__(self):
        super().__init__(daemon=True)
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.asked = []
        self.start()

    def run(self):
        while True:
            connection, _ = self.socket.accept()
            with connection:
                head = b""
                while b"\r\n\r\n" not in head:
                    piece = connection.recv(65536)
                    if not piece:
                        break
                    head += piece
                else:
                    self.asked.append(head.decode().lower())
                    connection.sendall(
                        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum, set-cookie, x-portcullis-user\r\n"
                        b"connection: close\r\n\r\n5\r\nhello\r\n0\r\nx-sum: 42\r\nset-cookie: a=1\r\nx-portcullis-user: root\r\n"
                        b"x-unannounced: 1\r\n\r\n")


@pytest.mark.parametrize("asks", [True, False])
def test_fields_after_the_body_reach_whoever_asks_for_them(asks):
    service = Trailing()
    config = CONFIG.format(port=service.socket.getsockname()[1])
    with Demo(config, services=False, demo=False) as gate:
        context = ssl.create_default_context(cafile=gate.data / "ca.pem")
        with socket.create_connection(("127.0.0.1", gate.ports["PUBLIC"])) as plain:
            with context.wrap_socket(plain, server_hostname="localhost") as stream:
                te = "TE: trailers\r\nConnection: TE, close\r\n" if asks else "Connection: close\r\n"
                stream.sendall(f"GET /usual/x HTTP/1.1\r\nHost: localhost:{gate.ports['PUBLIC']}\r\n{te}\r\n".encode())
                answer = b""
                while piece := stream.recv(65536):
                    answer += piece
        head, _, body = answer.partition(b"\r\n\r\n")
        assert b"200" in head and b"5\r\nhello\r\n" in body
        assert (b"x-sum: 42" in body) == asks and (b"trailer: x-sum\r\n" in head.lower() + b"\r\n") == asks
        assert b"set-cookie" not in answer and b"root" not in answer and b"x-unannounced" not in answer
        assert ("te: trailers" in service.asked[-1]) == asks


def test_fields_after_the_body_under_http2():
    service = Trailing()
    config = CONFIG.format(port=service.socket.getsockname()[1])
    with Demo(config, services=False, demo=False) as gate:
        done = subprocess.run(["nghttp", "-v", "--no-dep", "-H", "te: trailers", f"{gate.issuer}/usual/x"],
                              capture_output=True, text=True, timeout=30)
        assert "hello" in done.stdout and "x-sum: 42" in done.stdout, done.stdout
        assert "root" not in done.stdout and "set-cookie" not in done.stdout
