"""Services that fail in every way a service can, behind the gate: what callers notice, what is tried
again and what is not, and how servers are found and told apart."""

import asyncio
import base64
import collections
import hashlib
import socket
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import dnslib
import dnslib.server
import grpc
import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from portcullis import Demo, free_port, until

HEAD = """
issuer = "https://localhost:8443"
[listen]
public = "127.0.0.1:8443"
mesh = "127.0.0.1:8444"
operations = "127.0.0.1:9090"
[database]
url = "sqlite:portcullis.db"
"""
GOOD = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfine"


def upstream(name, servers, **more):
    """An upstream and the route to it."""
    urls = ", ".join(f'"{server if isinstance(server, str) else f"http://127.0.0.1:{server}"}"' for server in servers)
    lines = [f'servers = [{urls}]'] if servers else []
    lines += [f"{key} = {value}" for key, value in more.items()]
    return "\n".join([
        "[[upstream]]", f'name = "{name}"', *lines,
        "[[route]]", f'name = "{name}"', f'path = "/{name}/{{*rest}}"', f'upstream = "{name}"',
        'authenticate = ["none"]', "max_body = 100000000", "",
    ])


class Service:
    """A server that does with each request whatever `act` says, and counts them."""

    def __init__(self, act=None, tls=None):
        self.act, self.seen, self.connections = act, collections.Counter(), 0
        self.loop = asyncio.new_event_loop()
        ready = threading.Event()

        async def serve():
            self.server = await asyncio.start_server(self.connection, "127.0.0.1", 0, ssl=tls)
            self.port = self.server.sockets[0].getsockname()[1]
            ready.set()
            await asyncio.get_running_loop().create_future()

        threading.Thread(target=lambda: self.loop.run_until_complete(serve()), daemon=True).start()
        assert ready.wait(10)

    async def connection(self, reader, writer):
        self.connections += 1
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin1")
                method, path, _ = head.split(" ", 2)
                self.seen[method] += 1
                fields = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
                if "content-length" in fields:
                    await reader.readexactly(int(fields["content-length"]))
                if fields.get("transfer-encoding") == "chunked":
                    await reader.readuntil(b"0\r\n\r\n")
                if self.act is None:
                    writer.write(GOOD)
                    await writer.drain()
                elif await self.act(self, path, reader, writer) is False:
                    writer.transport.abort()
                    return
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.LimitOverrunError):
            writer.transport.abort()

    @property
    def total(self):
        return sum(self.seen.values())


async def hang(service, path, reader, writer):
    await asyncio.sleep(30)


async def reset(service, path, reader, writer):
    return False


async def unavailable(service, path, reader, writer):
    writer.write(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n")


@pytest.fixture(scope="module")
def services():
    return {
        "good": Service(), "hang": Service(hang), "reset": Service(reset), "too": Service(reset),
        "ill": Service(unavailable),
    }


@pytest.fixture(scope="module")
def gate(services):
    port = {name: service.port for name, service in services.items()}
    one = free_port()
    config = HEAD + "".join([
        upstream("dead", [one, port["good"]]),
        upstream("hangs", [port["hang"], port["good"]], timeout='"8s"', try_timeout='"300ms"',
                 outlier="{ failures = 0 }"),
        upstream("resets", [port["reset"], port["good"]], outlier="{ failures = 0 }"),
        upstream("ejects", [port["reset"], port["too"]], outlier='{ failures = 3, eject = "60s" }', retries=0),
        upstream("once", [port["reset"]], outlier="{ failures = 0 }"),
        upstream("alone", [port["reset"]], outlier='{ failures = 2, eject = "60s" }', retries=0),
        upstream("ill", [port["ill"]], retries=10, outlier="{ failures = 0 }"),
        upstream("full", [port["hang"]], max_requests=3, timeout='"1s"', retries=0),
    ])
    with Demo(config, services=False, demo=False) as running:
        yield running
        assert "panicked" not in running.log()


def test_a_server_that_is_not_there_is_not_noticed(gate):
    with gate.client() as client:
        for _ in range(20):
            assert client.post("/dead/x", content=b"body").text == "fine"


def test_a_server_that_hangs_is_left_for_another_in_time(gate, services):
    with gate.client() as client:
        for _ in range(6):
            assert client.get("/hangs/x").text == "fine"
        assert services["hang"].seen["GET"] > 0


def test_what_may_be_repeated_is_and_nothing_else(gate, services):
    with gate.client() as client:
        for _ in range(6):
            assert client.get("/resets/x").text == "fine" and client.put("/resets/x").text == "fine"
        for method, content, times in (("GET", None, 3), ("PUT", None, 3), ("PUT", b"x", 1), ("POST", b"x", 1),
                                       ("POST", None, 1), ("PATCH", b"x", 1)):
            before = services["reset"].total
            assert client.request(method, "/once/x", content=content).status_code == 502
            assert services["reset"].total - before == times, (method, content)


def test_a_server_that_fails_again_and_again_is_left_alone(gate, services):
    def total():
        return [services[name].total for name in ("reset", "too")]

    with gate.client() as client:
        before = total()
        assert [client.get("/ejects/x").status_code for _ in range(40)] == [502] * 40
        asked = sorted(now - then for now, then in zip(total(), before))
    assert asked == [3, 37], "one of them, and never both"
    assert "a server that fails is left alone" in gate.log()


def test_the_only_server_is_never_left_alone(gate, services):
    with gate.client() as client:
        before = services["reset"].total
        assert [client.get("/alone/x").status_code for _ in range(10)] == [502] * 10
        assert services["reset"].total - before == 10


def test_a_service_in_trouble_is_not_asked_many_times_as_often(gate, services):
    with gate.client() as client:
        answers = [client.get("/ill/x").status_code for _ in range(100)]
    assert set(answers) == {503}
    # Ten are saved up, and every request adds a fifth.
    assert 100 <= services["ill"].total <= 100 + 10 + 20 + 1


def test_more_than_an_upstream_may_have_is_refused_at_once(gate):
    def ask(_):
        with gate.client() as client:
            begun = time.monotonic()
            answer = client.get("/full/x")
            return answer.status_code, answer.headers.get("retry-after"), time.monotonic() - begun

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(8)))
    refused = [answer for answer in answers if answer[0] == 503]
    assert len(refused) == 5 and all(wait == "1" for _, wait, _ in refused)
    assert [answer[0] for answer in answers if answer not in refused] == [504] * 3


async def faults(service, path, reader, writer):
    """Lies and accidents, by the path."""
    kind = path.rsplit("/", 1)[1]
    if kind == "short":
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf")
        await writer.drain()
        return False
    if kind == "long":
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfineHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil")
    elif kind == "both":
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n4\r\nfine\r\n0\r\n\r\n")
    elif kind == "two-lengths":
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\ncontent-length: 9\r\n\r\nfine")
    elif kind == "flood":
        writer.write(b"HTTP/1.1 200 OK\r\n" + b"".join(b"x-%d: y\r\n" % n for n in range(5000)) + b"\r\n")
    elif kind == "huge":
        writer.write(b"HTTP/1.1 200 OK\r\nx-a: " + b"y" * 100_000 + b"\r\n\r\n")
    elif kind == "garbage":
        writer.write(b"\x00\xff\xfe nonsense\r\n\r\n")
    elif kind == "chunk":
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nfine\r\n0\r\n\r\n")
    elif kind == "switch":
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
    elif kind == "early":
        writer.write(b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n" + GOOD)
    elif kind == "unasked":
        writer.write(GOOD + GOOD)
    elif kind == "events":
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        for number in range(3):
            writer.write(b"9\r\ndata: %d\n\n\r\n" % number)
            await writer.drain()
            await asyncio.to_thread(service.step.wait, 10)
            service.step.clear()
        writer.write(b"0\r\n\r\n")
    else:
        writer.write(GOOD)
    await writer.drain()
    return None if kind in ("early", "fine", "events") else False


@pytest.fixture(scope="module")
def faulty():
    service = Service(faults)
    service.step = threading.Event()
    with Demo(HEAD + upstream("f", [service.port], retries=0, timeout='"2s"'), services=False, demo=False) as running:
        running.service = service
        yield running
        assert "panicked" not in running.log()


@pytest.mark.parametrize("kind", ["two-lengths", "flood", "huge", "garbage", "switch"])
def test_an_answer_that_cannot_be_understood_is_not_passed_on(faulty, kind):
    with faulty.client() as client:
        assert client.get(f"/f/{kind}").status_code == 502
        assert client.get("/f/fine").text == "fine"


@pytest.mark.parametrize("kind", ["short", "chunk"])
def test_an_answer_that_breaks_off_is_not_passed_on_as_whole(faulty, kind):
    for http2 in (False, True):
        with faulty.client(http2=http2) as client:
            with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
                client.get(f"/f/{kind}")


@pytest.mark.parametrize("kind", ["long", "unasked", "both"])
def test_bytes_after_an_answer_are_nobodys(faulty, kind):
    """What a service says unasked must not become the answer to somebody else's request."""
    with faulty.client() as client:
        for _ in range(5):
            answer = client.get(f"/f/{kind}")
            assert answer.text == "fine" or answer.status_code == 502
            assert client.get("/f/fine").text == "fine"


def test_an_interim_answer_does_not_confuse(faulty):
    with faulty.client() as client:
        assert client.get("/f/early").text == "fine"


def test_events_come_one_by_one(faulty):
    with faulty.client() as client, client.stream("GET", "/f/events") as answer:
        lines = answer.iter_lines()
        for number in range(3):
            assert next(lines) == f"data: {number}" and next(lines) == ""
            faulty.service.step.set()


def test_a_slow_upload_is_not_a_slow_service(faulty):
    """The service has two seconds to answer; the body takes longer, and that is not its fault."""
    pause = threading.Event()

    def pieces():
        for _ in range(5):
            pause.wait(0.6)
            yield b"x" * 100

    with faulty.client() as client:
        assert client.post("/f/fine", content=pieces()).text == "fine"


class Zone(dnslib.server.BaseResolver):
    """A DNS server whose records can be changed; everything expires after a second."""

    def __init__(self):
        self.records = {}
        self.asked = collections.Counter()

    def resolve(self, request, handler):
        reply = request.reply()
        kind = dnslib.QTYPE[request.q.qtype]
        name = str(request.q.qname).rstrip(".")
        self.asked[name] += 1
        for record in self.records.get((name, kind), []):
            reply.add_answer(dnslib.RR(request.q.qname, request.q.qtype, rdata=record, ttl=1))
        return reply


def test_servers_are_found_in_the_dns_and_followed():
    zone = Zone()
    port = free_port()
    dns = dnslib.server.DNSServer(zone, port=port, address="127.0.0.1", logger=dnslib.server.DNSLogger("-request,-reply"))
    dns.start_thread()
    one, two = Service(), Service()
    zone.records[("svc.test", "A")] = [dnslib.A("127.0.0.1")]
    zone.records[("_http._tcp.svc.test", "SRV")] = [
        dnslib.SRV(1, 1, one.port, "svc.test"), dnslib.SRV(9, 1, free_port(), "svc.test"),
    ]
    resolver = f'resolver = "127.0.0.1:{port}"'
    config = HEAD + upstream("srv", [], discover=f'{{ srv = "_http._tcp.svc.test", {resolver} }}') + upstream(
        "host", [], discover=f'{{ host = "svc.test", port = {two.port}, {resolver} }}')
    try:
        with Demo(config, services=False, demo=False) as gate, gate.client() as client:
            until(lambda: client.get("/srv/x").text == "fine", "discovery")
            until(lambda: client.get("/host/x").text == "fine", "discovery")
            assert one.total > 0 and two.total > 0
            # Both answer once both are there, the first one stops being asked when it is gone.
            zone.records[("_http._tcp.svc.test", "SRV")].append(dnslib.SRV(1, 1, two.port, "svc.test"))
            before = two.total
            until(lambda: client.get("/srv/x").text == "fine" and two.total > before, "the second server")
            zone.records[("_http._tcp.svc.test", "SRV")] = [dnslib.SRV(1, 1, two.port, "svc.test")]
            until(lambda: gate.log().count("servers were found") >= 4, "the change")
            before = one.total
            assert all(client.get("/srv/x").text == "fine" for _ in range(10))
            assert one.total == before
            # No answer: what was known stays.
            del zone.records[("_http._tcp.svc.test", "SRV")]
            until(lambda: "servers were not found" in gate.log(), "the failure")
            assert client.get("/srv/x").text == "fine"
    finally:
        dns.stop()


def test_the_server_must_be_the_one_that_was_meant(tmp_path):
    with Demo(HEAD, services=False, demo=False) as gate:
        gate.cli("ca", "issue", "--data", gate.data, "--config", gate.file, "--spiffe-id",
                 "spiffe://portcullis.local/service/good", "--out", tmp_path)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
        service = Service(tls=context)
        certificate = x509.load_pem_x509_certificate((tmp_path / "cert.pem").read_bytes())
        spki = certificate.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        pin = base64.b64encode(hashlib.sha256(spki).digest()).decode()
        wrong = base64.b64encode(bytes(32)).decode()
        servers = [f"https://localhost:{service.port}"]
        good, evil = ("spiffe://portcullis.local/service/" + name for name in ("good", "evil"))
        gate.configure(HEAD + "".join([
            upstream("name", servers),
            upstream("id", servers, tls=f'{{ server_spiffe_id = "{good}" }}'),
            upstream("other", servers, tls=f'{{ server_spiffe_id = "{evil}" }}'),
            upstream("pinned", servers, tls=f'{{ server_spiffe_id = "{good}", pins = ["{wrong}", "{pin}"] }}'),
            upstream("unpinned", servers, tls=f'{{ server_spiffe_id = "{good}", pins = ["{wrong}"] }}'),
        ]))
        with gate.client() as client:
            until(lambda: client.get("/id/x").text == "fine", "the reload")
            assert client.get("/pinned/x").text == "fine"
            for path in ("name", "other", "unpinned"):
                assert client.get(f"/{path}/x").status_code == 502, path


def test_grpc_passes_with_trailers_and_streams():
    """Real gRPC on both sides: over TLS to the gate, in the clear to the service."""
    class Handler(grpc.GenericRpcHandler):
        def service(self, details):
            def unary(request, context):
                if request == b"fail":
                    context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not like this")
                context.set_trailing_metadata((("x-after", "yes"),))
                return request[::-1]

            def stream(requests, context):
                for request in requests:
                    yield request * 2

            if details.method.endswith("Unary"):
                return grpc.unary_unary_rpc_method_handler(unary)
            return grpc.stream_stream_rpc_method_handler(stream)

    from concurrent import futures
    server = grpc.server(futures.ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((Handler(),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    config = HEAD + upstream("grpc.Test", [port], protocol='"http2"').replace('name = "grpc.Test"', 'name = "grpc"').replace(
        'upstream = "grpc.Test"', 'upstream = "grpc"')
    with Demo(config, services=False, demo=False) as gate:
        credentials = grpc.ssl_channel_credentials((gate.data / "ca.pem").read_bytes())
        with grpc.secure_channel(f"localhost:{gate.ports['PUBLIC']}", credentials) as channel:
            unary = channel.unary_unary("/grpc.Test/Unary")
            answer, call = unary.with_call(b"abc", timeout=10)
            assert answer == b"cba" and ("x-after", "yes") in call.trailing_metadata()
            with pytest.raises(grpc.RpcError) as refused:
                unary(b"fail", timeout=10)
            assert refused.value.code() == grpc.StatusCode.FAILED_PRECONDITION
            assert refused.value.details() == "not like this"
            assert unary(b"x" * 1_000_000, timeout=20) == b"x" * 1_000_000
            stream = channel.stream_stream("/grpc.Test/Stream")
            assert list(stream(iter([b"a", b"b"]), timeout=10)) == [b"aa", b"bb"]
    server.stop(None)
