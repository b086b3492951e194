"""The gate with real connections: both protocols, streams, WebSockets, limits, and requests that no
proxy should pass on."""

import asyncio
import http.server
import json
import socket
import ssl
import threading
import time

import h2.connection
import pytest
import websockets

from portcullis import Demo, free_port

CONFIG = """
issuer = "https://localhost:8443"
[listen]
public = "127.0.0.1:8443"
mesh = "127.0.0.1:8444"
operations = "127.0.0.1:9090"
[database]
url = "sqlite:portcullis.db"
[[upstream]]
name = "probe"
servers = ["http://127.0.0.1:{probe}"]
timeout = "1s"
[[upstream]]
name = "socket"
servers = ["http://127.0.0.1:{socket}"]
[[upstream]]
name = "nobody"
servers = ["http://127.0.0.1:{nobody}"]
[[route]]
name = "probe"
path = "/probe/{{*rest}}"
upstream = "probe"
authenticate = ["none"]
max_body = 1000000
[[route]]
name = "few"
path = "/few/{{*rest}}"
upstream = "probe"
authenticate = ["none"]
limits = [{{ key = "subject", rate = "3/min" }}]
[[route]]
name = "socket"
path = "/socket"
methods = ["GET"]
upstream = "socket"
authenticate = ["none"]
[[route]]
name = "nobody"
path = "/nobody"
upstream = "nobody"
authenticate = ["none"]
"""


class Probe(http.server.BaseHTTPRequestHandler):
    """An upstream that tells what it saw."""

    protocol_version = "HTTP/1.1"
    seen = []

    def answer(self):
        Probe.seen.append((self.command, self.path))
        if self.path.endswith("/hang"):
            time.sleep(3)
        if self.path.endswith("/break"):
            self.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf")
            self.close_connection = True
            return
        if self.path.endswith("/slow-stream"):
            self.send_response(200)
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            for number in range(3):
                self.wfile.write(b"7\r\npart %d\n\r\n" % number)
                self.wfile.flush()
                self.server.gate.wait(5)
            self.wfile.write(b"0\r\n\r\n")
            return
        length = int(self.headers.get("content-length") or 0)
        body = b""
        if self.headers.get("transfer-encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(length)
        text = json.dumps({
            "method": self.command, "path": self.path, "bytes": len(body),
            "headers": [[name.lower(), value] for name, value in self.headers.items()],
        }).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(text)))
        self.send_header("server", "leaky/1.0")
        self.send_header("x-powered-by", "leaks")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = answer

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def gate():
    probe = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Probe)
    probe.gate = threading.Event()
    threading.Thread(target=probe.serve_forever, daemon=True).start()
    ready, port = threading.Event(), []

    async def echo(connection):
        async for message in connection:
            await connection.send(message)

    async def sockets():
        async with websockets.serve(echo, "127.0.0.1", 0) as server:
            port.append(server.sockets[0].getsockname()[1])
            ready.set()
            await asyncio.get_running_loop().create_future()

    threading.Thread(target=lambda: asyncio.run(sockets()), daemon=True).start()
    ready.wait(10)
    config = CONFIG.format(probe=probe.server_address[1], socket=port[0], nobody=free_port())
    with Demo(config, services=False, demo=False) as running:
        running.probe = probe
        yield running
        assert "panicked" not in running.log()


def raw(gate, request, source="127.0.0.1"):
    """Sends bytes as they are and returns all that comes back."""
    context = ssl.create_default_context(cafile=gate.data / "ca.pem")
    with socket.create_connection(("127.0.0.1", gate.ports["PUBLIC"]), 10, (source, 0)) as plain:
        with context.wrap_socket(plain, server_hostname="localhost") as stream:
            stream.settimeout(10)
            stream.sendall(request)
            answer = b""
            try:
                while piece := stream.recv(65536):
                    answer += piece
            except (TimeoutError, ConnectionError, ssl.SSLError):
                pass
            return answer


def test_both_protocols_and_clean_headers(gate):
    for http2 in (False, True):
        with gate.client(http2=http2) as client:
            answer = client.post("/probe/a%20b?x=1&y=%2F", content=b"12345", headers={"te": "trailers"})
            assert answer.http_version == ("HTTP/2" if http2 else "HTTP/1.1")
            seen = answer.json()
            assert (seen["path"], seen["bytes"]) == ("/probe/a%20b?x=1&y=%2F", 5)
            names = [name for name, _ in seen["headers"]]
            assert names.count("host") == 1 and "authorization" not in names
            assert "server" not in answer.headers and "x-powered-by" not in answer.headers
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert client.head("/probe/x").status_code == 200


def test_streams_pass_piece_by_piece(gate):
    gate.probe.gate.clear()
    with gate.client() as client, client.stream("GET", "/probe/slow-stream") as answer:
        parts = answer.iter_bytes()
        first = next(parts)
        assert first == b"part 0\n", "the first part comes before the last is written"
        gate.probe.gate.set()
        assert b"".join(parts) == b"part 1\npart 2\n"

    def pieces():
        for _ in range(10):
            yield b"x" * 50_000

    with gate.client() as client:
        assert client.post("/probe/up", content=pieces()).json()["bytes"] == 500_000


def test_bodies_beyond_the_limit_are_refused(gate):
    def endless():
        for _ in range(100):
            yield b"x" * 50_000

    with gate.client() as client:
        told = client.post("/probe/x", content=b"x" * 1_000_001)
        assert told.status_code == 413 and told.json()["type"].endswith("body_too_large")
        assert client.post("/probe/x", content=endless()).status_code == 413
        assert client.get("/probe/x").status_code == 200


def test_upstreams_that_fail_are_told_apart(gate):
    with gate.client() as client:
        assert client.get("/nobody").status_code == 502
        assert client.get("/probe/hang").status_code == 504
        with pytest.raises(Exception):
            client.get("/probe/break")
        assert client.get("/probe/x").status_code == 200


def test_a_websocket_passes(gate):
    async def talk():
        context = ssl.create_default_context(cafile=gate.data / "ca.pem")
        url = f"wss://localhost:{gate.ports['PUBLIC']}/socket"
        async with websockets.connect(url, ssl=context) as connection:
            for text in ("one", "x" * 100_000):
                await connection.send(text)
                assert await connection.recv() == text

    asyncio.run(talk())


def test_limits_are_announced_and_kept(gate):
    with gate.client("127.4.4.4") as client:
        answers = [client.get("/few/x") for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        assert answers[0].headers["ratelimit-policy"] == '"few";q=3;w=60'
        assert 1 <= int(answers[3].headers["retry-after"]) <= 20
        page = client.get("/few/x", headers={"accept": "text/html"})
        assert page.headers["content-type"].startswith("text/html") and "Too Many" in page.text


def test_unknown_paths_and_methods(gate):
    with gate.client() as client:
        assert client.get("/nothing").status_code == 404
        answer = client.post("/socket")
        assert answer.status_code == 405 and answer.headers["allow"] == "GET"
        for method in ("TRACE", "CONNECT"):
            assert client.request(method, "/probe/x").status_code in (400, 405)


HEAD = b"POST /probe/x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"


@pytest.mark.parametrize("request_bytes", [
    HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    HEAD + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    HEAD + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n123456",
    HEAD + b"Content-Length: +5\r\n\r\n12345",
    HEAD + b"Content-Length: 0x5\r\n\r\n12345",
    HEAD + b"Content-Length: 5\r\n folded\r\n\r\n12345",
    HEAD + b"X-A: b\r\n\tfolded\r\nContent-Length: 0\r\n\r\n",
    HEAD + b"X-A: b\rX-B: c\r\nContent-Length: 0\r\n\r\n",
    HEAD + b"X-A: a\0b\r\nContent-Length: 0\r\n\r\n",
    HEAD + b"Host: other\r\nContent-Length: 0\r\n\r\n",
    HEAD + b"Expect: 200-ok\r\nContent-Length: 0\r\n\r\n",
    b"POST https://evil.example/probe/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    b"GET /probe/x\r\n\r\n",
    b"GET /probe/x HTTP/1.0\r\nConnection: close\r\n\r\n",
    b"GET /probe/../probe/x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    b"GET //probe/x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    b"GET /probe/%2e%2e/x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    b"GET /probe/a%2fb HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    b"GET /probe/a;b HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    b"GET /probe/\xff HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    b"GET /probe/x HTTP/1.1\r\nHost: localhost\r\n" + b"X-A: b\r\n" * 101 + b"\r\n",
    b"GET /probe/x HTTP/1.1\r\nHost: localhost\r\nX-A: " + b"b" * 70_000 + b"\r\n\r\n",
    b"GET /probe/" + b"b" * 9_000 + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
], ids=range(24))
def test_what_can_be_read_in_two_ways_is_refused(gate, request_bytes):
    before = len(Probe.seen)
    answer = raw(gate, request_bytes)
    status = answer.split(b" ", 2)[1] if answer else b"closed"
    assert status in (b"400", b"413", b"414", b"417", b"431", b"closed", b"421"), answer[:200]
    assert answer.count(b"HTTP/1.1 ") <= 1
    assert len(Probe.seen) == before, "nothing of it reached the upstream"


@pytest.mark.parametrize("size", [b"-1", b"ffffffffffffffffff", b"xyz", b"1\r\nabc"])
def test_malformed_chunks_are_the_clients_fault(gate, size):
    answer = raw(gate, HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + size + b"\r\n\r\n")
    assert answer.split(b" ", 2)[1] == b"400", answer[:200]


def test_a_message_with_two_lengths_is_read_in_one_way_and_sent_on_in_one(gate):
    """RFC 9112, section 6.1: chunked counts, and the length does not go on."""
    head = HEAD.replace(b"/probe/x", b"/probe/two-lengths")
    request = head + b"Content-Length: 30\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nz\r\n0\r\n\r\nGET /probe/smuggled HTTP/1.1\r\n"
    answer = raw(gate, request)
    seen = json.loads(answer.split(b"\r\n\r\n", 1)[1])
    names = [name for name, _ in seen["headers"]]
    assert seen["bytes"] == 1 and "content-length" not in names
    paths = [path for _, path in Probe.seen]
    assert paths.count("/probe/two-lengths") == 1 and "/probe/smuggled" not in paths


def test_requests_are_recorded_with_their_outcome(gate):
    with gate.client("127.5.5.5") as client:
        client.get("/probe/recorded")
        client.get("/nothing-here\u202e")
    from portcullis import until

    seen = until(lambda: len(e := gate.audit("--addr", "127.5.5.5")) >= 2 and e, "the events")
    assert [event["metadata"]["event_code"] for event in seen] == ["gate_allowed", "gate_denied"]
    assert seen[0]["http_request"]["url"]["path"] == "/probe/recorded"
    assert seen[0]["http_response"]["code"] == 200 and seen[0]["api"]["service"]["name"] == "probe"
    assert seen[1]["status_detail"] == "no_route"


def test_the_example_configuration_loads_and_its_contract_is_kept():
    from pathlib import Path

    from portcullis import bearer, tokens

    examples = Path(__file__).parents[2] / "examples"
    config = (examples / "portcullis.example.toml").read_text()
    config = config.replace("profile.openapi.yaml", str(examples / "profile.openapi.yaml"))
    with Demo(config) as demo:
        token = tokens(demo, demo.facts()["users"][0])["access_token"]
        client = demo.client()

        client.headers.update(bearer(token))

        def patch(**options):
            return client.patch("/profile/me", **options)

        assert client.get("/profile/me", headers=bearer(token)).status_code == 200
        assert patch(json={"nickname": "ally", "language": "de"}).json()["nickname"] == "ally"
        refused = patch(json={"nickname": "", "language": "xx", "admin": True})
        assert refused.status_code == 400
        codes = {(v["pointer"], v["code"]) for v in refused.json()["violations"]}
        assert codes == {("/body/nickname", "minLength"), ("/body/language", "enum"), ("/body", "additionalProperties")}
        json_type = {"content-type": "application/json"}
        assert patch(content=b'{"nickname":"a","nickname":"b"}', headers=json_type).status_code == 400
        assert client.get("/profile/me?debug=1").status_code == 400
        assert client.get("/profile/echo/x").status_code == 404
        assert patch(content=b"x" * 2_000_000).status_code == 413


def test_connections_that_ask_nothing_are_closed(gate):
    """Neither a client that is silent after the handshake nor one that says half a preface stays."""
    context = ssl.create_default_context(cafile=gate.data / "ca.pem")
    context.set_alpn_protocols(["h2"])
    held = []
    for greeting in (b"", b"PRI * HTTP/2.0\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"):
        plain = socket.create_connection(("127.0.0.1", gate.ports["PUBLIC"]), 10)
        stream = context.wrap_socket(plain, server_hostname="localhost")
        assert stream.selected_alpn_protocol() == "h2"
        stream.sendall(greeting)
        stream.settimeout(60)
        held.append(stream)
    # One request, reset at once, must not keep a connection alive for ever.
    plain = socket.create_connection(("127.0.0.1", gate.ports["PUBLIC"]), 10)
    stream = context.wrap_socket(plain, server_hostname="localhost")
    stream.settimeout(90)
    speaker = h2.connection.H2Connection()
    speaker.initiate_connection()
    fields = [(":method", "GET"), (":path", "/probe/hang"), (":scheme", "https"), (":authority", "localhost")]
    speaker.send_headers(1, fields, end_stream=True)
    stream.sendall(speaker.data_to_send())
    stream.recv(65536)
    speaker.reset_stream(1)
    stream.sendall(speaker.data_to_send())
    held.append(stream)
    for stream in held:
        try:
            while stream.recv(65536):
                pass
        except ConnectionError:
            pass
        except TimeoutError:
            raise AssertionError("the connection is still open")
