"""Receivers of events: Debian's rsyslog and syslog-ng as they are, and strict stand-ins for what cannot
be installed."""

import datetime
import gzip
import http.server
import ipaddress
import json
import os
import queue
import re
import signal
import ssl
import subprocess
import threading
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from portcullis import free_port, until

SYSLOG_NG = Path(os.environ.get("PORTCULLIS_SYSLOG_NG", "/usr"))


def authority(directory):
    """A CA, and a certificate with its key for a server on this machine and for a client."""
    now = datetime.datetime.now(datetime.UTC)
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Receivers")])

    def issue(name, key, authority):
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        build = (x509.CertificateBuilder().subject_name(ca_name if authority else subject)
                 .issuer_name(ca_name).public_key(key.public_key()).serial_number(x509.random_serial_number())
                 .not_valid_before(now - datetime.timedelta(hours=1))
                 .not_valid_after(now + datetime.timedelta(days=30))
                 .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True))
        if not authority:
            names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
            build = build.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return build.sign(ca_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    (directory / "ca.pem").write_bytes(issue("ca", ca_key, True))
    for name in ("server", "client"):
        key = ec.generate_private_key(ec.SECP256R1())
        (directory / f"{name}.pem").write_bytes(issue(name, key, False))
        (directory / f"{name}.key").write_bytes(key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return directory


class Syslog:
    """A syslog daemon that asks for a certificate and writes one JSON line for each message."""

    def __init__(self, directory, port=None):
        self.directory, self.port, self.process = directory, port or free_port(), None
        self.out = directory / f"{type(self).__name__}.out"

    def __enter__(self):
        log = open(self.directory / f"{type(self).__name__}.log", "ab")
        self.process = subprocess.Popen(self.command(), stdout=log, stderr=log, env=self.env())
        until(self.listens, "the syslog daemon")
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(10)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)

    def env(self):
        return None

    def listens(self):
        assert self.process.poll() is None, "it did not start"
        import socket
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def lines(self):
        """(PRI, time, host, app, message id, structured data, message) of each that arrived whole.

        The daemon may be in the middle of a line, or of a character."""
        text = self.out.read_bytes() if self.out.exists() else b""
        text = text[:text.rfind(b"\n") + 1].decode()
        return [tuple(line.split("\x1f")) for line in text.splitlines() if line.count("\x1f") == 6]

    def events(self):
        return [json.loads(line[6]) for line in self.lines()]


class Rsyslog(Syslog):
    def command(self):
        fields = "%pri%\x1f%timereported:::date-rfc3339%\x1f%hostname%\x1f%app-name%\x1f%msgid%\x1f" \
                 "%structured-data%\x1f%msg%"
        conf = self.directory / "rsyslog.conf"
        # As a receiver of long messages is set up: the default would cut them at 8 KiB.
        conf.write_text(f"""
global(workDirectory="{self.directory}" maxMessageSize="64k" defaultNetstreamDriver="gtls"
  defaultNetstreamDriverCAFile="{self.directory}/ca.pem"
  defaultNetstreamDriverCertFile="{self.directory}/server.pem"
  defaultNetstreamDriverKeyFile="{self.directory}/server.key")
module(load="imtcp" streamDriver.name="gtls" streamDriver.mode="1" streamDriver.authMode="x509/certvalid")
template(name="fields" type="string" string="{fields}\\n")
input(type="imtcp" port="{self.port}" address="127.0.0.1")
action(type="omfile" file="{self.out}" template="fields")
""")
        return ["/usr/sbin/rsyslogd", "-n", "-f", conf, "-i", self.directory / "rsyslog.pid"]


class SyslogNg(Syslog):
    def command(self):
        fields = "${PRI}\x1f${ISODATE}\x1f${HOST}\x1f${PROGRAM}\x1f${MSGID}\x1f${SDATA}\x1f${MSG}"
        conf = self.directory / "syslog-ng.conf"
        conf.write_text(f"""
@version: 3.38
options {{ keep-hostname(yes); log-msg-size(65536); flush-lines(1); }};
source receiver {{ syslog(ip("127.0.0.1") port({self.port}) transport("tls")
  tls(ca-file("{self.directory}/ca.pem") cert-file("{self.directory}/server.pem")
      key-file("{self.directory}/server.key") peer-verify(required-trusted))); }};
destination file {{ file("{self.out}" template("{fields}\\n")); }};
log {{ source(receiver); destination(file); }};
""")
        state = [f"--{name}={self.directory}/syslog-ng.{name}" for name in ("persist-file", "pidfile", "control")]
        return [SYSLOG_NG / "sbin/syslog-ng", "-F", "-f", conf, "--no-caps",
                f"--module-path={SYSLOG_NG}/lib/syslog-ng/3.38", *state]

    def env(self):
        libraries = [SYSLOG_NG / "lib/syslog-ng", *SYSLOG_NG.glob("lib/*-linux-gnu"),
                     *SYSLOG_NG.parent.glob("lib/*-linux-gnu")]
        return {**os.environ, "LD_LIBRARY_PATH": ":".join(map(str, libraries))}


class Http:
    """A receiver of posts. What is asked of it goes to `handle(path, headers, body)`, which returns a
    status, fields and a body."""

    def __init__(self, handle, files=None):
        outer = self
        self.handle, self.trouble, self.requests = handle, queue.Queue(), []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                assert "content-length" in self.headers
                self.hear(self.rfile.read(int(self.headers["content-length"])))

            def do_GET(self):
                self.hear(b"")

            def hear(self, body):
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                outer.requests.append((self.path, dict(self.headers), body))
                try:
                    status, fields, text = outer.trouble.get_nowait()
                except queue.Empty:
                    status, fields, text = outer.handle(self.path, self.headers, body)
                text = text if isinstance(text, bytes) else json.dumps(text).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(text)))
                for name, value in fields.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.scheme = "http"
        if files:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(files / "server.pem", files / "server.key")
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
            self.scheme = "https"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"{self.scheme}://localhost:{self.server.server_address[1]}"

    def says(self, status, text=b"", times=1, **fields):
        """What it answers to the next requests, whatever they are."""
        for _ in range(times):
            self.trouble.put((status, {name.replace("_", "-"): value for name, value in fields.items()}, text))


class SplunkCollector(Http):
    """As the documentation of the collector has it, acknowledgement switched on."""

    def __init__(self, token, files=None, unfit=()):
        self.token, self.unfit = token, set(unfit)
        self.events, self.channels, self.indexed = [], {}, {}
        super().__init__(self.collect, files)

    def collect(self, path, headers, body):
        if headers.get("authorization") != f"Splunk {self.token}":
            return 403, {}, {"text": "Invalid token", "code": 4}
        where, _, query = path.partition("?")
        channel = headers.get("x-splunk-request-channel")
        if not channel or not re.fullmatch(r"[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}", channel):
            return 400, {}, {"text": "Data channel is missing", "code": 10}
        if where == "/services/collector/ack":
            assert query == f"channel={channel}"
            asked = json.loads(body)["acks"]
            acks = self.channels.get(channel, {})
            answer = {str(ack): acks.get(ack, 0) > 0 for ack in asked}
            for ack in asked:
                # Indexed by the second time that somebody asks.
                acks[ack] = acks.get(ack, 0) + 1
            return 200, {}, {"acks": answer}
        assert where == "/services/collector/event", path
        decoder, text, events = json.JSONDecoder(), body.decode().strip(), []
        while text:
            event, end = decoder.raw_decode(text)
            events.append(event)
            text = text[end:].lstrip()
        for number, event in enumerate(events):
            assert set(event) <= {"time", "host", "source", "sourcetype", "index", "event"}
            if event["event"]["metadata"]["event_code"] in self.unfit:
                self.events += events[:number]
                return 400, {}, {"text": "Invalid data format", "code": 6, "invalid-event-number": number}
        self.events += events
        acks = self.channels.setdefault(channel, {})
        acks[len(acks)] = 0
        return 200, {}, {"text": "Success", "code": 0, "ackId": len(acks) - 1}


class Bulk(Http):
    """The bulk API: an id is created once, and a document that does not fit gets 400."""

    def __init__(self, authorization, files=None, unfit=()):
        self.authorization, self.unfit, self.documents, self.again = authorization, set(unfit), {}, 0
        super().__init__(self.bulk, files)

    def bulk(self, path, headers, body):
        if headers.get("authorization") != self.authorization:
            return 401, {}, {"error": {"type": "security_exception"}, "status": 401}
        assert path == "/audit-events/_bulk?filter_path=items.*.status,items.*.error", path
        assert headers["content-type"] == "application/x-ndjson" and body.endswith(b"\n")
        lines = [json.loads(line) for line in body.decode().splitlines()]
        items = []
        for action, document in zip(lines[::2], lines[1::2], strict=True):
            assert list(action) == ["create"] and "@timestamp" in document
            id = action["create"]["_id"]
            if document["metadata"]["event_code"] in self.unfit:
                error = {"type": "document_parsing_exception", "reason": "no"}
                items.append({"create": {"status": 400, "error": error}})
            elif id in self.documents:
                self.again += 1
                items.append({"create": {"status": 409, "error": {"type": "version_conflict_engine_exception"}}})
            else:
                self.documents[id] = document
                items.append({"create": {"status": 201}})
        return 200, {"content-type": "application/json"}, {"items": items}
