"""Tools that other people attack servers with, and floods made by hand: the gate answers others
meanwhile, and closes what is not worth keeping."""

import json
import re
import socket
import ssl
import struct
import subprocess

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
[client_address]
trusted_proxies = ["127.0.0.2/32"]
proxy_protocol = true
[[upstream]]
name = "echo"
servers = ["http://127.0.0.1:{port}"]
[[route]]
name = "echo"
path = "/echo/{{*rest}}"
upstream = "echo"
authenticate = ["none"]
"""


@pytest.fixture(scope="module")
def gate():
    echo = Echo()
    with Demo(CONFIG.format(port=echo.port), services=False, demo=False) as running:
        running.url = f"https://localhost:{running.ports['PUBLIC']}"
        yield running
        assert "panicked" not in running.log()


def run(*command, timeout=120):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=timeout)
    return re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", done.stdout + done.stderr)


def fine(gate):
    for http2 in (False, True):
        with gate.client(http2=http2) as client:
            assert client.get("/echo/x").status_code == 200


def connect(gate, alpn=None, source="127.0.0.1", before=b""):
    context = ssl.create_default_context(cafile=gate.data / "ca.pem")
    if alpn:
        context.set_alpn_protocols([alpn])
    plain = socket.create_connection(("127.0.0.1", gate.ports["PUBLIC"]), 10, (source, 0))
    plain.sendall(before)
    stream = context.wrap_socket(plain, server_hostname="localhost")
    stream.settimeout(10)
    return stream


def test_independent_clients(gate):
    said = run("h2load", "-n", 3000, "-c", 10, "-m", 20, f"{gate.url}/echo/x")
    assert "3000 succeeded, 0 failed" in said, said
    said = run("h2load", "--h1", "-n", 1000, "-c", 5, f"{gate.url}/echo/x")
    assert "1000 succeeded, 0 failed" in said, said
    said = run("nghttp", "-nv", f"{gate.url}/echo/x")
    assert ":status: 200" in said, said
    for options in ([], ["--http1.1"], ["--http1.1", "-T", "/etc/hostname"], ["-F", "a=@/etc/hostname"], ["-H", "Expect: 100-continue", "-d", "x"]):
        said = run("curl", "-sS", "--cacert", gate.data / "ca.pem", "-w", "%{http_code}", *options, f"{gate.url}/echo/x")
        assert said.endswith("200"), (options, said)


def test_tls_is_what_it_should_be(gate):
    said = run("testssl", "--quiet", "--color", "0", "--warnings", "off", "-p", "-s", f"localhost:{gate.ports['PUBLIC']}", timeout=280)
    for protocol in ("SSLv2", "SSLv3", "TLS 1", "TLS 1.1"):
        assert re.search(rf"^ {protocol} +not offered", said, re.M), said
    for protocol in ("TLS 1.2", "TLS 1.3"):
        assert re.search(rf"{protocol}\s+offered \(OK\)", said), said
    for weak in ("NULL ciphers", "Anonymous NULL", "Export ciphers", "LOW", "Triple DES", "Obsolete CBC"):
        line = next(line for line in said.splitlines() if weak in line)
        assert "not offered" in line, said
    assert re.search(r"AEAD[^\n]*offered \(OK\)", said), said


@pytest.mark.parametrize("attack", [["-H"], ["-B", "-s", "8192"], ["-X", "-k", "3"]], ids=["headers", "body", "read"])
def test_slow_clients_keep_nobody_out(gate, attack):
    said = run("slowhttptest", "-c", 400, *attack, "-i", 2, "-r", 200, "-l", 12, "-p", 5, "-u", f"{gate.url}/echo/x")
    assert re.search(r"service available:\s+YES", said), said
    fine(gate)


def drain(stream):
    """Whether the gate closes a connection."""
    try:
        while stream.recv(65536):
            pass
        return True
    except TimeoutError:
        return False
    except (ConnectionError, ssl.SSLError):
        return True


def frames(stream, pieces):
    """Sends until the gate has had enough."""
    try:
        for piece in pieces:
            stream.sendall(piece)
    except (ConnectionError, ssl.SSLError, BrokenPipeError):
        pass


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def greeting():
    speaker = h2.connection.H2Connection()
    speaker.initiate_connection()
    return speaker, speaker.data_to_send()


def test_streams_that_are_opened_and_reset_end_the_connection(gate):
    """CVE-2023-44487."""
    stream = connect(gate, "h2")
    speaker, hello = greeting()
    stream.sendall(hello)
    fields = [(":method", "GET"), (":path", "/echo/x"), (":scheme", "https"), (":authority", "localhost")]

    def pieces():
        for number in range(1, 6001, 2):
            speaker.send_headers(number, fields, end_stream=True)
            speaker.reset_stream(number)
            yield speaker.data_to_send()

    frames(stream, pieces())
    assert drain(stream)
    fine(gate)


@pytest.mark.parametrize("flood", ["continuation", "settings", "ping", "empty-data", "priority", "window", "hpack-bomb"])
def test_floods_of_frames_stop_nobody(gate, flood):
    """CVE-2024-27316 and its kin; CVE-2019-9511 to 9518."""
    stream = connect(gate, "h2")
    speaker, hello = greeting()
    stream.sendall(hello)
    head = speaker.encoder.encode([(":method", "POST"), (":path", "/echo/x"), (":scheme", "https"), (":authority", "localhost")])
    if flood == "continuation":
        more = frame(9, 0, 1, b"\x00\x01a\x7f\x80\x00" + b"b" * 127) * 100
        pieces = [frame(1, 0, 1, head)] + [more] * 200
    elif flood == "settings":
        pieces = [frame(4, 0, 0, struct.pack(">HI", 4, 65535)) * 1000] * 50
    elif flood == "ping":
        pieces = [frame(6, 0, 0, b"12345678") * 1000] * 50
    elif flood == "empty-data":
        pieces = [frame(1, 4, 1, head)] + [frame(0, 0, 1) * 1000] * 50
    elif flood == "priority":
        pieces = [frame(2, 0, 3, b"\0\0\0\0\x10") * 1000] * 50
    elif flood == "window":
        pieces = [frame(8, 0, 0, b"\x7f\xff\xff\xff")] * 3
    else:
        big = b"\x40\x01a\x7f\x80\x1f" + b"b" * 4096
        pieces = [frame(1, 4, 1, head + big + b"\xbe" * 8000)]
    frames(stream, pieces)
    # Nobody reads the answers; either the connection is over, or it hangs alone.
    fine(gate)
    stream.close()
    fine(gate)


def test_a_proxy_says_whose_connection_it_is(gate):
    def ask(source, before, fields=""):
        try:
            with connect(gate, None, source, before) as stream:
                stream.sendall(f"GET /echo/x HTTP/1.1\r\nHost: localhost\r\n{fields}Connection: close\r\n\r\n".encode())
                answer = b""
                while piece := stream.recv(65536):
                    answer += piece
            return json.loads(answer.partition(b"\r\n\r\n")[2])["headers"]["x-forwarded-for"]
        except (ssl.SSLError, ConnectionError, TimeoutError):
            return "closed"

    one = b"PROXY TCP4 192.0.2.7 127.0.0.1 5555 443\r\n"
    two = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + bytes([192, 0, 2, 8, 127, 0, 0, 1, 1, 1, 1, 1])
    six = b"PROXY TCP6 2001:db8::7 ::1 5555 443\r\n"
    assert [ask("127.0.0.2", header) for header in (one, two, six)] == ["192.0.2.7", "192.0.2.8", "2001:db8::7"]
    assert ask("127.0.0.2", b"PROXY UNKNOWN\r\n") == "127.0.0.2"
    # The client behind the proxy is no proxy: what it says of itself does not count.
    assert ask("127.0.0.2", one, "X-Forwarded-For: 6.6.6.6\r\n") == "192.0.2.7"
    assert ask("127.0.0.1", b"") == "127.0.0.1"
    assert ask("127.0.0.1", one) == "closed", "whoever is no proxy cannot choose an address"
    for broken in (b"PROXY TCP4 x y 1 2\r\n", b"PROXY " + b"x" * 200, b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\x0c" + bytes(12)):
        assert ask("127.0.0.2", broken) == "closed"


def test_a_body_that_comes_after_its_refusal(gate):
    """A short one is awaited, and the next request gets its answer; the end of a connection that
    cannot go on is announced."""
    with connect(gate) as stream:
        stream.sendall(b"POST /nothing HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n")
        stream.settimeout(0.3)
        with pytest.raises(TimeoutError):
            stream.recv(1)
        stream.settimeout(10)
        stream.sendall(b"{}GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answers = b""
        while answers.count(b"HTTP/1.1 404") < 2:
            piece = stream.recv(65_536)
            assert piece, answers
            answers += piece
        assert b"connection: close" not in answers.lower()
    heads = {
        "never comes": b"Content-Length: 2\r\n",
        "too long": b"Content-Length: 100000\r\n",
        "nobody waits": b"Content-Length: 2\r\nExpect: 100-continue\r\n",
        "no end": b"Transfer-Encoding: chunked\r\n",
    }
    for what, head in heads.items():
        with connect(gate) as stream:
            stream.sendall(b"POST /nothing HTTP/1.1\r\nHost: localhost\r\n" + head + b"\r\n")
            answer = b""
            while piece := stream.recv(65_536):
                answer += piece
            assert b"404" in answer and b"connection: close" in answer.lower(), (what, answer)
            assert b"100 Continue" not in answer, what
