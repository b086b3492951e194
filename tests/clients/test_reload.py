"""The configuration changes while requests pass: by the file, by SIGHUP and by the API. What is broken
changes nothing and says why; nobody notices a reload but by what it changes."""

import http.server
import signal
import ssl
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from portcullis import Demo, until

CONFIG = """
issuer = "https://localhost:8443"
[listen]
public = "127.0.0.1:8443"
operations = "127.0.0.1:9090"
[database]
url = "sqlite:portcullis.db"
[[upstream]]
name = "one"
servers = ["http://127.0.0.1:{one}"]
[[upstream]]
name = "two"
servers = ["http://127.0.0.1:{two}"]
[[route]]
name = "thing"
path = "/thing/{{*rest}}"
upstream = "{upstream}"
authenticate = ["none"]
"""


class Service(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path.endswith("/slow"):
            self.server.reached.set()
            self.server.gate.wait(20)
        body = self.server.name.encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def service(name):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Service)
    server.name, server.gate, server.reached = name, threading.Event(), threading.Event()
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


@pytest.fixture(scope="module")
def services():
    return service("one"), service("two")


@pytest.fixture
def gate(services):
    with Demo(config(services, "one"), services=False) as running:
        until((running.data / "demo.json").exists, "demo.json")
        yield running
        assert "panicked" not in running.log()


def config(services, upstream):
    one, two = (server.server_address[1] for server in services)
    return CONFIG.format(one=one, two=two, upstream=upstream)


def answer(gate):
    with gate.client() as client:
        return client.get("/thing/x").text


def status(gate):
    return gate.operator().get("/api/admin/v1/configuration").json()


def test_the_file_hangup_and_the_api_reload(gate, services):
    assert answer(gate) == "one"
    first = status(gate)
    gate.configure(config(services, "two"))
    until(lambda: answer(gate) == "two", "the reload by file")
    assert status(gate)["digest"] != first["digest"]
    # Written over the old one in place, and asked for before anybody looks at files.
    gate.file.write_text(config(services, "one"))
    gate.server.send_signal(signal.SIGHUP)
    until(lambda: answer(gate) == "one", "the reload by SIGHUP")
    gate.file.write_text(config(services, "two"))
    told = gate.operator().post("/api/admin/v1/configuration/reload")
    assert told.status_code == 200 and told.json()["digest"] == status(gate)["digest"]
    assert answer(gate) == "two"
    assert status(gate)["digest"] != first["digest"]
    events = gate.audit("--kind", "sys_reload")
    assert len(events) >= 3 and all(event["status_id"] == 1 for event in events)


@pytest.mark.parametrize("broken, why", [
    (lambda text: text + "[[route]]\n", "missing field"),
    (lambda text: text.replace("[[route]]", "[[rout]]"), "unknown field `rout`"),
    (lambda text: text.replace('upstream = "one"', 'upstream = "three"'), "no upstream called three"),
    (lambda text: text.replace("sqlite:portcullis.db", "sqlite:other.db"), "only a restart can change database"),
    (lambda text: text + 'openapi = "missing.yaml"\n', "missing.yaml"),
    (lambda text: text.replace("/thing/{*rest}", "/thing/{*rest}/x"), "route thing"),
    (lambda text: text + 'limits = [{ key = "ip", rate = "0/s" }]\n', "line"),
], ids=range(7))
def test_what_is_broken_changes_nothing(gate, services, broken, why):
    before = status(gate)
    gate.file.write_text(broken(config(services, "one")))
    told = gate.operator().post("/api/admin/v1/configuration/reload")
    assert told.status_code == 422
    assert why in told.json()["violations"][0]["message"], told.text
    now = status(gate)
    assert now["digest"] == before["digest"] and why in now["error"] and now["failed_at"]
    assert answer(gate) == "one"
    assert gate.audit("--kind", "sys_reload")[-1]["status_id"] == 2
    # The next good one clears it.
    gate.file.write_text(config(services, "two"))
    assert gate.operator().post("/api/admin/v1/configuration/reload").status_code == 200
    assert "error" not in status(gate) and answer(gate) == "two"


def test_a_request_on_its_way_finishes_where_it_began(gate, services):
    with ThreadPoolExecutor(1) as pool:
        with gate.client() as client:
            services[0].reached.clear()
            slow = pool.submit(client.get, "/thing/slow")
            assert services[0].reached.wait(10)
            gate.configure(config(services, "two"))
            until(lambda: answer(gate) == "two", "the reload")
            services[0].gate.set()
            assert slow.result(10).text == "one"
    services[0].gate.clear()


def test_nobody_fails_while_it_reloads_again_and_again(gate, services):
    stop = threading.Event()

    def ask(http2):
        counted = {}
        with gate.client(http2=http2) as client:
            while not stop.is_set():
                answer = client.get("/thing/x")
                counted[answer.status_code] = counted.get(answer.status_code, 0) + 1
                assert answer.text in ("one", "two")
        return counted

    with ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(ask, number % 2 == 0) for number in range(4)]
        operator = gate.operator()
        for number in range(40):
            gate.file.write_text(config(services, ("one", "two")[number % 2]))
            assert operator.post("/api/admin/v1/configuration/reload").status_code == 200
        stop.set()
        for done in asking:
            assert set(done.result(20)) == {200}, done.result()


def test_a_new_certificate_is_shown_to_new_connections(services, tmp_path):
    def certificate(name):
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
             "-days", "2", "-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:localhost",
             "-keyout", tmp_path / "new.key", "-out", tmp_path / "new.pem"],
            check=True, capture_output=True,
        )
        (tmp_path / "new.key").rename(tmp_path / "tls.key")
        (tmp_path / "new.pem").rename(tmp_path / "tls.pem")

    def shown(gate):
        pem = ssl.get_server_certificate(("127.0.0.1", gate.ports["PUBLIC"]))
        return ssl.PEM_cert_to_DER_cert(pem)

    certificate("first")
    files = f'[tls]\nmode = "files"\ncertificate = "{tmp_path}/tls.pem"\nkey = "{tmp_path}/tls.key"\n'
    with Demo(config(services, "one").replace("[database]", files + "[database]"), services=False, demo=False) as gate:
        first = shown(gate)
        assert b"first" in first
        certificate("second")
        until(lambda: b"second" in shown(gate), "the new certificate")
        # One that does not fit its key is not shown.
        (tmp_path / "tls.pem").write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
        until(lambda: "was not loaded" in gate.log(), "the refusal")
        assert b"second" in shown(gate)
