"""Requests that two readers could understand differently, through the gate to three servers of other
projects that report what they saw: gate and server must never disagree about method, host, path,
length or identity, and one request must never become two."""

import json
import socket
import ssl
import subprocess
import sys
import tempfile
from pathlib import Path

import h2.config
import h2.connection
import h2.events
import pytest

from portcullis import Demo, free_port, until

ROOT = Path(__file__).parents[2]
NGINX = """
daemon off; pid DIRECTORY/pid; error_log stderr;
events { }
http {
  client_body_temp_path DIRECTORY/b; proxy_temp_path DIRECTORY/p; fastcgi_temp_path DIRECTORY/f;
  uwsgi_temp_path DIRECTORY/u; scgi_temp_path DIRECTORY/s;
  log_format seen escape=json '{"method":"$request_method","path":"$request_uri","host":"$http_host","length":"$http_content_length","forwarded":"$http_x_forwarded_for","authorization":"$http_authorization","subject":"$http_x_portcullis_subject","mark":"$http_x_mark"}';
  access_log DIRECTORY/seen seen;
  underscores_in_headers on;
  server { listen 127.0.0.1:PORT; location / { client_body_buffer_size 1m; proxy_pass http://127.0.0.1:PORT/inner; } location /inner { access_log off; return 200 "fine"; } }
}
"""
NODE = """
const http = require('http'), fs = require('fs');
http.createServer((request, response) => {
  const pieces = [];
  request.on('data', piece => pieces.push(piece));
  request.on('end', () => {
    const h = request.headers;
    fs.appendFileSync(process.argv[2] + '/seen', JSON.stringify({method: request.method, path: request.url, host: h.host,
      length: Buffer.concat(pieces).length, forwarded: h['x-forwarded-for'] ?? null, authorization: h.authorization ?? null,
      subject: h['x-portcullis-subject'] ?? null, mark: h['x-mark'] ?? null, raw: request.rawHeaders}) + '\\n');
    response.end('fine');
  });
}).listen(Number(process.argv[3]), '127.0.0.1');
"""
PYTHON = """
import http.server, json, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def any(self):
        h = self.headers
        if h.get('transfer-encoding') == 'chunked':
            body = b''
            while size := int(self.rfile.readline().split(b';')[0], 16):
                body += self.rfile.read(size); self.rfile.readline()
            while self.rfile.readline().strip(): pass
        else:
            body = self.rfile.read(int(h.get('content-length') or 0))
        with open(sys.argv[1] + '/seen', 'a') as file:
            file.write(json.dumps({'method': self.command, 'path': self.path, 'host': h['host'], 'length': len(body),
                'forwarded': h['x-forwarded-for'], 'authorization': h['authorization'], 'subject': h['x-portcullis-subject'],
                'mark': h['x-mark'], 'raw': [x for pair in h.items() for x in pair]}) + '\\n')
        self.send_response(200); self.send_header('content-length', '4'); self.end_headers()
        if self.command != 'HEAD': self.wfile.write(b'fine')
    do_GET = do_POST = do_PUT = do_HEAD = do_DELETE = do_OPTIONS = do_PATCH = any
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(('127.0.0.1', int(sys.argv[2])), Handler).serve_forever()
"""
CONFIG = """
issuer = "https://localhost:8443"
[listen]
public = "127.0.0.1:8443"
operations = "127.0.0.1:9090"
[database]
url = "sqlite:portcullis.db"
"""


class Server:
    """A server of another project that writes down what it was asked."""

    def __init__(self, kind):
        self.kind, self.port = kind, free_port()
        self.directory = tempfile.TemporaryDirectory()
        there = Path(self.directory.name)
        there.chmod(0o755)
        if kind == "nginx":
            (there / "conf").write_text(NGINX.replace("DIRECTORY", str(there)).replace("PORT", str(self.port)))
            command = ["/usr/sbin/nginx", "-c", there / "conf"]
        elif kind == "node":
            (there / "server.js").write_text(NODE)
            command = [node(), there / "server.js", there, str(self.port)]
        else:
            (there / "server.py").write_text(PYTHON)
            command = [sys.executable, there / "server.py", there, str(self.port)]
        self.log = open(there / "log", "wb")
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log)
        until(self.answers, f"{kind} to answer")

    def answers(self):
        assert self.process.poll() is None, (Path(self.directory.name) / "log").read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def seen(self):
        path = Path(self.directory.name) / "seen"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def stop(self):
        self.process.terminate()
        self.process.wait(20)
        self.directory.cleanup()


def node():
    import shutil

    known = [ROOT / "tests/clients/node_modules/.bin/node", ROOT / "bench/peer/node_modules/.bin/node"]
    return next((path for path in known if path.exists()), None) or shutil.which("node")


@pytest.fixture(scope="module")
def gate():
    servers = {kind: Server(kind) for kind in ("nginx", "node", "python")}
    config = CONFIG
    for kind, server in servers.items():
        config += f'[[upstream]]\nname = "{kind}"\nservers = ["http://127.0.0.1:{server.port}"]\n'
        config += f'[[route]]\nname = "{kind}"\npath = "/{kind}/{{*rest}}"\nupstream = "{kind}"\nauthenticate = ["none"]\n'
    with Demo(config, services=False, demo=False) as running:
        running.servers = servers
        yield running
        assert "panicked" not in running.log()
    for server in servers.values():
        server.stop()


def raw(gate, request):
    """Sends bytes over HTTP/1.1 and returns all that comes back until the gate closes or is quiet."""
    context = ssl.create_default_context(cafile=gate.data / "ca.pem")
    with socket.create_connection(("127.0.0.1", gate.ports["PUBLIC"]), 10) as plain:
        with context.wrap_socket(plain, server_hostname="localhost") as stream:
            stream.settimeout(0.6)
            stream.sendall(request)
            answer = b""
            try:
                while piece := stream.recv(65536):
                    answer += piece
            except (TimeoutError, ConnectionError, ssl.SSLError):
                pass
            return answer


H = b"Host: localhost\r\n"
EVIL = b"GET /KIND/evil HTTP/1.1\r\nHost: localhost\r\nX-Mark: evil\r\n\r\n"
# What may pass as one request, and what must not pass at all.
AMBIGUOUS = {
    "cl-te": b"POST /KIND/a HTTP/1.1\r\n" + H + b"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG" + EVIL,
    "te-cl": b"POST /KIND/a HTTP/1.1\r\n" + H + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n5c\r\n" + EVIL + b"\r\n0\r\n\r\n",
    "te-te": b"POST /KIND/a HTTP/1.1\r\n" + H + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: cow\r\n\r\n0\r\n\r\n" + EVIL,
    "te-list": b"POST /KIND/a HTTP/1.1\r\n" + H + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + EVIL,
    "te-tab": b"POST /KIND/a HTTP/1.1\r\n" + H + b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n" + EVIL,
    "te-space": b"POST /KIND/a HTTP/1.1\r\n" + H + b"Transfer-Encoding : chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" + EVIL,
    "te-case": b"POST /KIND/a HTTP/1.1\r\n" + H + b"Transfer-encoding: cHuNkEd\r\nContent-Length: 3\r\n\r\n0\r\n\r\n" + EVIL,
    "te-fold": b"POST /KIND/a HTTP/1.1\r\n" + H + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n" + EVIL,
    "te-quoted": b'POST /KIND/a HTTP/1.1\r\n' + H + b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n' + EVIL,
    "cl-twice": b"POST /KIND/a HTTP/1.1\r\n" + H + b"Content-Length: 0\r\nContent-Length: 60\r\n\r\n" + EVIL,
    "cl-list": b"POST /KIND/a HTTP/1.1\r\n" + H + b"Content-Length: 0, 60\r\n\r\n" + EVIL,
    "cl-plus": b"POST /KIND/a HTTP/1.1\r\n" + H + b"Content-Length: +0\r\n\r\n" + EVIL,
    "cl-minus": b"POST /KIND/a HTTP/1.1\r\n" + H + b"Content-Length: -1\r\n\r\n" + EVIL,
    "cl-hex": b"POST /KIND/a HTTP/1.1\r\n" + H + b"Content-Length: 0x3c\r\n\r\n" + EVIL,
    "cl-huge": b"POST /KIND/a HTTP/1.1\r\n" + H + b"Content-Length: 18446744073709551617\r\n\r\n" + EVIL,
    "cl-fold": b"POST /KIND/a HTTP/1.1\r\n" + H + b"X: y\r\n Content-Length: 60\r\n\r\n" + EVIL,
    "cl-underscore": b"POST /KIND/a HTTP/1.1\r\n" + H + b"Content_Length: 60\r\nTransfer_Encoding: chunked\r\n\r\n",
    "bare-lf": b"POST /KIND/a HTTP/1.1\n" + b"Host: localhost\nContent-Length: 0\n\n" + EVIL,
    "bare-lf-field": b"POST /KIND/a HTTP/1.1\r\n" + H + b"X-A: b\nContent-Length: 60\r\n\r\n" + EVIL,
    "bare-cr": b"POST /KIND/a HTTP/1.1\r\n" + H + b"X-A: b\rContent-Length: 60\r\n\r\n" + EVIL,
    "nul": b"POST /KIND/a HTTP/1.1\r\n" + H + b"X-A: b\0c\r\nContent-Length: 0\r\n\r\n" + EVIL,
    "no-colon": b"POST /KIND/a HTTP/1.1\r\n" + H + b"Content-Length\r\n\r\n" + EVIL,
    "empty-name": b"POST /KIND/a HTTP/1.1\r\n" + H + b": x\r\nContent-Length: 0\r\n\r\n" + EVIL,
    "chunk-negative": b"POST /KIND/a HTTP/1.1\r\n" + H + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n" + EVIL,
    "chunk-overflow": b"POST /KIND/a HTTP/1.1\r\n" + H + b"Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\n" + EVIL,
    "chunk-space": b"POST /KIND/a HTTP/1.1\r\n" + H + b"Transfer-Encoding: chunked\r\n\r\n0 x\r\n\r\n" + EVIL,
    "chunk-lf": b"POST /KIND/a HTTP/1.1\r\n" + H + b"Transfer-Encoding: chunked\r\n\r\n1\nZ\n0\n\n" + EVIL,
    "chunk-ext-lf": b"POST /KIND/a HTTP/1.1\r\n" + H + b"Transfer-Encoding: chunked\r\n\r\n1;a\nb\r\nZ\r\n0\r\n\r\n" + EVIL,
    "version": b"POST /KIND/a HTTP/1.2\r\n" + H + b"Content-Length: 0\r\n\r\n" + EVIL,
    "version-9": b"GET /KIND/a\r\n" + EVIL,
    "two-spaces": b"POST  /KIND/a HTTP/1.1\r\n" + H + b"Content-Length: 0\r\n\r\n" + EVIL,
    "host-twice": b"GET /KIND/a HTTP/1.1\r\n" + H + b"Host: evil\r\n\r\n",
    "host-differs": b"GET https://evil/KIND/a HTTP/1.1\r\n" + H + b"\r\n",
    "host-none": b"GET /KIND/a HTTP/1.1\r\n\r\n",
    "host-user": b"GET /KIND/a HTTP/1.1\r\nHost: a@localhost\r\n\r\n",
    "host-slash": b"GET /KIND/a HTTP/1.1\r\nHost: localhost/x\r\n\r\n",
    "connect": b"CONNECT /KIND/a HTTP/1.1\r\n" + H + b"\r\n" + EVIL,
    "asterisk": b"OPTIONS * HTTP/1.1\r\n" + H + b"\r\n",
    "expect": b"POST /KIND/a HTTP/1.1\r\n" + H + b"Expect: 100-continue, x\r\nContent-Length: 0\r\n\r\n" + EVIL,
}
PATHS = [
    b"/KIND/../evil", b"/KIND/%2e%2e/evil", b"/KIND/.%2e/evil", b"/KIND/a%2f..%2fevil", b"/KIND/a%5cevil", b"/KIND/a\\evil",
    b"/KIND//evil", b"//KIND/evil", b"/KIND/a;evil", b"/KIND/a%3bevil", b"/KIND/%c0%ae%c0%ae/evil", b"/KIND/a%00evil",
    b"/KIND/a%0d%0aX-Mark:%20evil", b"/KIND/%252e%252e/evil", b"/KIND/a#evil", b"/KIND/a%", b"/KIND/a%zz", b"/KIND/\xe2\x80\xae",
    b"/KIND/./evil", b"/KIND/a/.", b"KIND/evil", b"/KIND/a%ff", b"/KIND/a b",
]
SERVERS = ["nginx", "node", "python"]


def marked(server, before):
    return [seen for seen in server.seen()[before:] if seen["mark"] == "evil" or "evil" in seen["path"]]


@pytest.mark.parametrize("kind", SERVERS)
@pytest.mark.parametrize("name", AMBIGUOUS)
def test_one_request_is_never_two(gate, kind, name):
    server = gate.servers[kind]
    before = len(server.seen())
    answer = raw(gate, AMBIGUOUS[name].replace(b"KIND", kind.encode()))
    if answer.startswith(b"HTTP/1.1 200"):
        # Servers write down what they have answered a moment later.
        until(lambda: len(server.seen()) > before, "a line of the server")
    new = server.seen()[before:]
    assert not marked(server, before), (name, new, answer[:200])
    assert len(new) <= 1, (name, new)
    if new:
        # What passes has the length that the gate understood, and nothing else frames it.
        assert new[0]["length"] in ("", "0", 0, "1", 1), new
    else:
        assert not answer or answer.split(b" ", 2)[1] in (b"400", b"404", b"405", b"413", b"417", b"421", b"505"), answer[:99]


@pytest.mark.parametrize("kind", SERVERS)
def test_pipelined_requests_stay_two(gate, kind):
    server = gate.servers[kind]
    before = len(server.seen())
    one = f"POST /{kind}/one HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc".encode()
    two = f"POST /{kind}/two HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1;x=\"y\"\r\nZ\r\n0\r\nX-Mark: evil\r\nContent-Length: 9\r\n\r\n".encode()
    three = f"GET /{kind}/three HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
    answer = raw(gate, one + two + three)
    assert answer.count(b"HTTP/1.1 200") == 3, answer
    seen = until(lambda: (s := server.seen()[before:]) and len(s) == 3 and s, "three requests")
    assert [s["path"] for s in seen] == [f"/{kind}/one", f"/{kind}/two", f"/{kind}/three"]
    assert not marked(server, before), "a field after a body is not a field"
    if kind != "nginx":
        assert [s["length"] for s in seen] == [3, 1, 0]


@pytest.mark.parametrize("kind", SERVERS)
@pytest.mark.parametrize("path", PATHS, ids=repr)
def test_a_path_is_one_path(gate, kind, path):
    server = gate.servers[kind]
    before = len(server.seen())
    raw(gate, b"GET " + path.replace(b"KIND", kind.encode()) + b" HTTP/1.1\r\n" + H + b"Connection: close\r\n\r\n")
    assert server.seen()[before:] == [], path


IDENTITY = [
    b"X-Forwarded-For: 6.6.6.6", b"X-Portcullis-Subject: evil", b"Authorization: Bearer evil", b"X_Forwarded_For: 6.6.6.6",
    b"X_Portcullis_Subject: evil", b"Forwarded: for=6.6.6.6", b"X-Real-IP: 6.6.6.6", b"X-User: evil", b"Remote-User: evil",
    b"X-Original-URL: /evil", b"X-Rewrite-URL: /evil", b"X-HTTP-Method-Override: DELETE", b"Connection: x-forwarded-for, authorization, host",
    b"Keep-Alive: x\r\nConnection: keep-alive, X-Request-Id", b"Proxy: http://evil", b"Via: evil", b"TE: evil",
]


@pytest.mark.parametrize("kind", SERVERS)
@pytest.mark.parametrize("field", IDENTITY, ids=repr)
def test_nobody_says_who_they_are_by_themselves(gate, kind, field):
    server = gate.servers[kind]
    before = len(server.seen())
    raw(gate, f"GET /{kind}/who HTTP/1.1\r\n".encode() + H + field + b"\r\n\r\n")
    seen = until(lambda: server.seen()[before:], "the request")[0]
    assert seen["forwarded"] == "127.0.0.1" and seen["host"] and seen["method"] == "GET"
    assert not seen["authorization"] and not seen["subject"]
    if kind != "nginx":
        fields = json.dumps(seen["raw"]).lower()
        for word in ("evil", "6.6.6.6", "delete"):
            assert word not in fields or field.startswith(b"Via"), seen["raw"]


def http2(gate, fields, body=b""):
    """One HTTP/2 request made by hand; what the gate said, or nothing if it ended the stream."""
    context = ssl.create_default_context(cafile=gate.data / "ca.pem")
    context.set_alpn_protocols(["h2"])
    plain = socket.create_connection(("127.0.0.1", gate.ports["PUBLIC"]), 10)
    with context.wrap_socket(plain, server_hostname="localhost") as stream:
        stream.settimeout(1)
        settings = h2.config.H2Configuration(validate_outbound_headers=False, normalize_outbound_headers=False)
        speaker = h2.connection.H2Connection(settings)
        speaker.initiate_connection()
        speaker.send_headers(1, fields, end_stream=not body)
        if body:
            speaker.send_data(1, body, end_stream=True)
        stream.sendall(speaker.data_to_send())
        try:
            while data := stream.recv(65536):
                for event in speaker.receive_data(data):
                    if isinstance(event, h2.events.ResponseReceived):
                        return dict(event.headers)[b":status"].decode()
                    if isinstance(event, (h2.events.StreamReset, h2.events.ConnectionTerminated)):
                        return "reset"
                stream.sendall(speaker.data_to_send())
        except (TimeoutError, ConnectionError, ssl.SSLError):
            pass
        return "closed"


DOWNGRADES = {
    "crlf-value": [("x-a", "b\r\nX-Mark: evil")], "lf-value": [("x-a", "b\nx-mark: evil")], "nul-value": [("x-a", "b\0c")],
    "crlf-name": [("x-a: b\r\nx-mark", "evil")], "colon-name": [("x-mark: evil\r\nx", "y")], "upper-name": [("X-Mark", "evil")],
    "te": [("transfer-encoding", "chunked")], "connection": [("connection", "x-forwarded-for")], "upgrade": [("upgrade", "h2c")],
    "cl-long": [("content-length", "99")], "cl-short": [("content-length", "1")], "cl-twice": [("content-length", "4"), ("content-length", "5")],
    "host-differs": [("host", "evil")], "late-pseudo": [("x-a", "b"), (":path", "/KIND/evil")], "unknown-pseudo": [(":evil", "x")],
}


@pytest.mark.parametrize("kind", SERVERS)
@pytest.mark.parametrize("name", DOWNGRADES)
def test_http2_becomes_one_plain_request_or_none(gate, kind, name):
    server = gate.servers[kind]
    before = len(server.seen())
    base = [(":method", "POST"), (":path", f"/{kind}/a"), (":scheme", "https"), (":authority", "localhost")]
    more = [(a.replace("KIND", kind), b.replace("KIND", kind)) for a, b in DOWNGRADES[name]]
    told = http2(gate, base + more, b"evil")
    assert told in ("400", "reset", "closed", "413"), told
    assert [s for s in server.seen()[before:] if s["mark"] == "evil" or "evil" in s["path"] or s["host"] == "evil"] == []


@pytest.mark.parametrize("kind", SERVERS)
@pytest.mark.parametrize("pseudo", [
    {":path": "/KIND/a HTTP/1.1\r\nX-Mark: evil\r\n\r\n"}, {":path": "*"}, {":path": ""}, {":path": "KIND/evil"}, {":method": "GET /KIND/evil HTTP/1.1\r\n"},
    {":authority": "evil\r\nX-Mark: evil"}, {":authority": ""}, {":scheme": "https\r\nx: y"}, {":method": "CONNECT"}, {":path": "/KIND/../evil"},
], ids=repr)
def test_odd_pseudo_fields_pass_nowhere(gate, kind, pseudo):
    server = gate.servers[kind]
    before = len(server.seen())
    fields = {":method": "GET", ":path": f"/{kind}/a", ":scheme": "https", ":authority": "localhost", **pseudo}
    told = http2(gate, [(name, value.replace("KIND", kind)) for name, value in fields.items()])
    assert told in ("400", "404", "405", "reset", "closed"), told
    assert server.seen()[before:] == []


