"""Certificates for workloads: enrolment, renewal, revocation, and roots that follow each other while
connections come and go. OpenSSL, curl and Python check what the authority hands out."""

import asyncio
import base64
import datetime
import http.server
import itertools
import json
import socket
import ssl
import subprocess
import threading

import httpx
import pytest
import websockets
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from echo import Echo
from portcullis import BIN, Demo, bearer, until
from test_issuers import Elsewhere

DOMAIN = "spiffe://shop.example"
CONFIG = """
issuer = "https://localhost:8443"
[listen]
public = "127.0.0.1:8443"
mesh = "127.0.0.1:8444"
operations = "127.0.0.1:9090"
[database]
url = "sqlite:portcullis.db"
[egress]
allow = ["127.0.0.0/8"]
ca = "{ca}"
[certificates]
trust_domain = "shop.example"
lifetime = "{lifetime}"
publish_root_first = "5s"
[[token_issuer]]
name = "cluster"
issuer = "{issuer}"
audiences = ["https://api.example.org"]
[[workload]]
issuer = "cluster"
subject = "system:serviceaccount:shop:orders"
spiffe_id = "spiffe://shop.example/orders"
names = ["orders.shop.svc"]
[[upstream]]
name = "echo"
servers = ["http://127.0.0.1:{echo}"]
[[route]]
name = "workloads"
listen = "mesh"
path = "/{{*rest}}"
upstream = "echo"
authenticate = ["mtls"]
spiffe_ids = {known}
"""
names = (f"workload-{n}" for n in itertools.count())


@pytest.fixture(scope="module")
def cluster(files):
    return Elsewhere(files)


def config(cluster, files, lifetime="24h"):
    echo = Echo()
    known = [f"{DOMAIN}/orders", f"{DOMAIN}/out"] + [f"{DOMAIN}/workload-{n}" for n in range(40)]
    return CONFIG.format(echo=echo.port, ca=files[1], issuer=cluster.issuer, lifetime=lifetime, known=json.dumps(known))


@pytest.fixture(scope="module")
def gate(cluster, files):
    with Demo(config(cluster, files), services=False, demo=False) as running:
        yield running
        assert "panicked" not in running.log()


def ca(gate, *arguments, **options):
    return gate.cli("ca", arguments[0], "--config", gate.file, "--data", gate.data, *arguments[1:], **options)


def token(gate, name, *more):
    return ca(gate, "token", "--spiffe-id", f"{DOMAIN}/{name}", *more).stdout.strip()


def agent(gate, out, *more):
    return [BIN / "portcullis", "ca", "enrol", "--url", gate.issuer, "--ca", gate.data / "ca.pem", "--out", out, *more]


def enrolled(gate, tmp_path, name, *more):
    """A workload with its certificate, as the agent leaves it."""
    out, secret = tmp_path / name, tmp_path / f"{name}.token"
    secret.write_text(token(gate, name, *more))
    done = subprocess.run(agent(gate, out, "--token-file", secret), capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return out


def call(gate, out, roots=None):
    """A request over a connection of its own."""
    context = ssl.create_default_context(cafile=roots or out / "ca.pem")
    context.load_cert_chain(out / "cert.pem", out / "key.pem")
    return httpx.get(f"{gate.mesh}/x", verify=context, timeout=20)


def openssl(*arguments, **options):
    return subprocess.run(["openssl", *map(str, arguments)], capture_output=True, timeout=30, **options)


def request(tmp_path, *more, name="request"):
    key, csr = tmp_path / f"{name}.key", tmp_path / f"{name}.csr"
    made = openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                   "-subj", "/CN=ignored", "-keyout", key, "-out", csr, *more)
    assert made.returncode == 0, made.stderr
    return key, csr


def sign(gate, csr, secret, path="/pki/v1/certificates", **options):
    with gate.client() as client:
        return client.post(path, content=csr, headers=bearer(secret), **options)


def chain(text):
    return x509.load_pem_x509_certificates(text if isinstance(text, bytes) else text.encode())


def test_a_workload_enrols_and_is_known_at_the_gate(gate, tmp_path):
    name = next(names)
    out = enrolled(gate, tmp_path, name, "--dns", "a.shop.svc")
    assert (out / "key.pem").stat().st_mode & 0o777 == 0o600
    own, issuing = chain((out / "cert.pem").read_bytes())
    assert own.not_valid_after_utc - own.not_valid_before_utc < datetime.timedelta(hours=24, minutes=6)
    san = own.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert san.get_values_for_type(x509.UniformResourceIdentifier) == [f"{DOMAIN}/{name}"]
    assert san.get_values_for_type(x509.DNSName) == ["a.shop.svc"]
    (tmp_path / "issuing.pem").write_bytes(issuing.public_bytes(serialization.Encoding.PEM))
    for purpose in ("sslclient", "sslserver"):
        seen = openssl("verify", "-x509_strict", "-purpose", purpose, "-CAfile", out / "ca.pem",
                       "-untrusted", tmp_path / "issuing.pem", out / "cert.pem")
        assert seen.returncode == 0, seen.stderr
    assert call(gate, out).status_code == 200
    listed = ca(gate, "list", "--spiffe-id", f"{DOMAIN}/{name}").stdout
    assert "enrolment" in listed and f"{own.serial_number:032x}" in listed and "a.shop.svc" in listed


def test_openssl_and_curl_are_enough(gate, tmp_path):
    for der in (False, True):
        name = next(names)
        key, csr = request(tmp_path, *(["-outform", "DER"] if der else []), name=name)
        out = tmp_path / f"{name}.pem"
        done = subprocess.run(
            ["curl", "-sS", "--cacert", gate.data / "ca.pem", "-H", f"Authorization: Bearer {token(gate, name)}",
             "-H", "Content-Type: application/pkcs10", "--data-binary", f"@{csr}", "-w", "%{http_code} %{content_type}",
             "-o", out, f"{gate.issuer}/pki/v1/certificates"], capture_output=True, text=True, timeout=30)
        assert done.stdout == "201 application/pem-certificate-chain", done
        _, renewal = request(tmp_path, name=f"{name}-2")
        base = ["curl", "-sS", "--cacert", gate.data / "ca.pem", "--cert", out, "--key", key]
        renewed = subprocess.run([*base, "--data-binary", f"@{renewal}", f"{gate.mesh}/pki/v1/certificates/renewal"],
                                 capture_output=True, timeout=30)
        before, after = chain(out.read_bytes())[0], chain(renewed.stdout)[0]
        assert after.serial_number != before.serial_number
        san = x509.SubjectAlternativeName
        assert after.extensions.get_extension_for_class(san) == before.extensions.get_extension_for_class(san)


@pytest.mark.parametrize("kind", [
    ["-newkey", "rsa:2048"], ["-newkey", "rsa:4096"], ["-newkey", "ed25519"],
    ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384"],
])
def test_every_kind_of_key_that_is_strong(gate, tmp_path, kind):
    key, csr = tmp_path / "key", tmp_path / "csr"
    assert openssl("req", "-new", *kind, "-nodes", "-subj", "/", "-keyout", key, "-out", csr).returncode == 0
    made = sign(gate, csr.read_bytes(), token(gate, next(names)))
    assert made.status_code == 201, made.text
    (tmp_path / "cert.pem").write_text(made.text)
    context = ssl.create_default_context(cafile=gate.data / "ca.pem")
    context.load_cert_chain(tmp_path / "cert.pem", key)
    assert httpx.get(f"{gate.mesh}/x", verify=context).status_code == 200


def test_what_is_not_granted_is_not_signed(gate, tmp_path):
    secret = token(gate, next(names), "--dns", "mine.svc")
    weak = tmp_path / "weak"
    assert openssl("req", "-new", "-newkey", "rsa:1024", "-nodes", "-subj", "/", "-keyout", weak, "-out", weak).returncode == 0
    def asks(*more):
        return request(tmp_path, *more)[1].read_bytes()
    for body, said in [
        (b"", "PKCS#10"), (b"\x30\x03abc", "PKCS#10"), (b"x" * 9000, "PKCS#10"), (weak.read_bytes(), "2048"),
        (asks("-addext", "subjectAltName=DNS:theirs.svc"), "theirs.svc"),
        (asks("-addext", f"subjectAltName=URI:{DOMAIN}/admin"), "/admin"),
        (asks("-addext", "subjectAltName=URI:javascript:alert(1)"), "javascript"),
        (asks("-addext", "subjectAltName=email:a@b.c"), "neither URI"),
        (asks("-addext", "basicConstraints=critical,CA:TRUE"), "authority"),
    ]:
        told = sign(gate, body, secret)
        assert told.status_code == 400, told.text
        assert told.headers["content-type"] == "application/problem+json"
        assert said in told.json()["detail"]
    assert sign(gate, b"x" * 40_000, secret).status_code == 413
    for wrong in ("-", "x", secret[:-1], secret[:-1] + ("a" if secret[-1] != "a" else "b"), secret.upper()):
        told = sign(gate, asks(), wrong)
        assert told.status_code in (400, 401), told.text
    with gate.client() as client:
        assert client.post("/pki/v1/certificates", content=asks()).status_code == 401
        assert client.get("/pki/v1/certificates").status_code == 405
        assert client.post("/pki/v1/certificates/renewal", content=asks()).status_code in (404, 405)
        assert client.get("/pki/v1/crl/../../etc/passwd").status_code in (400, 404)
        assert client.get("/pki/v1/crl/00.crl").status_code == 404
    # None of this used it up, and a name that is granted may be asked for.
    assert sign(gate, asks("-addext", "subjectAltName=DNS:mine.svc"), secret).status_code == 201
    again = sign(gate, asks(), secret)
    assert again.status_code == 401 and "Bearer" in again.headers["www-authenticate"]
    for bad in ("spiffe://other.example/x", "spiffe://shop.example", "https://shop.example/x"):
        assert ca(gate, "token", "--spiffe-id", bad, check=False).returncode != 0


def test_what_is_revoked_opens_nothing_from_then_on(gate, tmp_path):
    name = next(names)
    out, other = enrolled(gate, tmp_path, name), enrolled(gate, tmp_path, next(names))
    context = ssl.create_default_context(cafile=out / "ca.pem")
    context.load_cert_chain(out / "cert.pem", out / "key.pem")
    with httpx.Client(verify=context, base_url=gate.mesh, timeout=20) as open_one:
        assert open_one.get("/x").status_code == 200
        assert "1 certificates" in ca(gate, "revoke", "--spiffe-id", f"{DOMAIN}/{name}", "--compromised").stdout
        # The connection that is open: refused, and closed.
        told = until(lambda: (r := open_one.get("/x")).status_code == 401 and r, "the revocation", 5)
        assert told.headers["connection"] == "close"
    with pytest.raises(httpx.TransportError):
        call(gate, out)
    _, csr = request(tmp_path)
    with pytest.raises(httpx.TransportError):
        httpx.post(f"{gate.mesh}/pki/v1/certificates/renewal", content=csr.read_bytes(), verify=context)
    assert call(gate, other).status_code == 200
    assert ca(gate, "revoke", "--spiffe-id", f"{DOMAIN}/{name}", check=False).returncode != 0

    # Whoever does not ask us reads the list.
    own, issuing = chain((out / "cert.pem").read_bytes())
    points = own.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    url = points[0].full_name[0].value
    with gate.client() as client:
        got = client.get(url)
        assert got.headers["content-type"] == "application/pkix-crl"
    (tmp_path / "list").write_bytes(got.content)
    (tmp_path / "issuing.pem").write_bytes(issuing.public_bytes(serialization.Encoding.PEM))
    listed = openssl("crl", "-inform", "DER", "-in", tmp_path / "list", "-CAfile", tmp_path / "issuing.pem", "-out", tmp_path / "list.pem")
    assert b"verify OK" in listed.stderr, listed.stderr
    def check(held):
        return openssl("verify", "-crl_check", "-CAfile", held / "ca.pem", "-untrusted", tmp_path / "issuing.pem",
                       "-CRLfile", tmp_path / "list.pem", held / "cert.pem")
    assert b"certificate revoked" in check(out).stderr
    assert check(other).returncode == 0
    entry = x509.load_der_x509_crl(got.content).get_revoked_certificate_by_serial_number(own.serial_number)
    assert entry.extensions.get_extension_for_class(x509.CRLReason).value.reason == x509.ReasonFlags.key_compromise
    # By another process, from which the log takes it over.
    serial = f"{own.serial_number:032x}"
    until(lambda: any("revoke" in (text := json.dumps(event)) and serial in text for event in gate.audit()), "the entry")


def test_no_session_goes_on_after_a_revocation(gate, tmp_path):
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        name = next(names)
        out = enrolled(gate, tmp_path, name)
        context = ssl.create_default_context(cafile=out / "ca.pem")
        context.minimum_version = context.maximum_version = version
        context.load_cert_chain(out / "cert.pem", out / "key.pem")

        def ask(session=None):
            with socket.create_connection(("127.0.0.1", gate.ports["MESH"])) as plain:
                with context.wrap_socket(plain, server_hostname="localhost", session=session) as stream:
                    stream.sendall(f"GET /x HTTP/1.1\r\nHost: localhost:{gate.ports['MESH']}\r\n\r\n".encode())
                    assert b" 200 " in stream.recv(65536)
                    return stream.session, stream.session_reused

        session, _ = ask()
        assert ask(session)[1] is False
        ca(gate, "revoke", "--spiffe-id", f"{DOMAIN}/{name}")

        def refused():
            try:
                ask(session)
            except (ssl.SSLError, ConnectionError, AssertionError):
                return True

        until(refused, "the refusal", 5)


def test_a_websocket_ends_with_the_certificate_that_opened_it(cluster, files, tmp_path):
    async def mirror(connection):
        async for message in connection:
            await connection.send(message)

    async def scenario(config):
        async with websockets.serve(mirror, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            config = config.replace('[[route]]', f"""[[upstream]]
name = "mirror"
servers = ["http://127.0.0.1:{port}"]
[[route]]
name = "mirror"
listen = "mesh"
path = "/mirror"
upstream = "mirror"
authenticate = ["mtls"]
spiffe_ids = ["spiffe://shop.example/orders"]
[[route]]""", 1)
            gate = Demo(config, services=False, demo=False)
            await asyncio.to_thread(gate.start)
            try:
                out = await asyncio.to_thread(enrolled, gate, tmp_path, "orders")
                context = ssl.create_default_context(cafile=out / "ca.pem")
                context.load_cert_chain(out / "cert.pem", out / "key.pem")
                async with websockets.connect(f"wss://localhost:{gate.ports['MESH']}/mirror", ssl=context) as client:
                    await client.send("a")
                    assert await client.recv() == "a"
                    await asyncio.to_thread(ca, gate, "revoke", "--spiffe-id", f"{DOMAIN}/orders")
                    with pytest.raises(websockets.ConnectionClosed):
                        await asyncio.wait_for(client.recv(), 10)
            finally:
                await asyncio.to_thread(gate.stop)

    asyncio.run(scenario(config(cluster, files)))


def test_a_service_whose_certificate_was_revoked_is_not_spoken_to_any_more(cluster, files, tmp_path):
    """Neither over the connection that is open, nor over a session that goes on, nor anew."""
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            self.send_response(200)
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    text = config(cluster, files).replace("[[route]]", f"""[[upstream]]
name = "service"
servers = ["https://localhost:{server.server_port}"]
tls = {{ spiffe_id = "spiffe://shop.example/gate", server_spiffe_id = "spiffe://shop.example/orders" }}
[[route]]
name = "service"
path = "/service"
upstream = "service"
authenticate = ["none"]
[[route]]""", 1)
    with Demo(text, services=False, demo=False) as gate:
        out = enrolled(gate, tmp_path, "orders", "--dns", "localhost")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(out / "cert.pem", out / "key.pem")
        context.load_verify_locations(out / "ca.pem")
        context.verify_mode = ssl.CERT_REQUIRED
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with gate.client() as client:
            assert client.get("/service").text == "ok"
            ca(gate, "revoke", "--spiffe-id", f"{DOMAIN}/orders")
            until(lambda: client.get("/service").status_code == 502, "the refusal", 5)
            assert client.get("/service").status_code == 502
    server.shutdown()


def test_the_agent_keeps_to_its_directory_and_to_its_server(gate, tmp_path):
    # A link that leads out of the directory.
    victim = tmp_path / "victim"
    out = victim / "out"
    out.mkdir(parents=True)
    (victim / "precious").write_text("x")
    (out / "..current").symlink_to("..")
    (out / "..0123456789abcdef").mkdir()
    enrolled(gate, victim, "out")
    assert (victim / "precious").exists() and not (out / "..0123456789abcdef").exists()
    # Files of somebody else.
    other = tmp_path / "other"
    other.mkdir()
    (other / "key.pem").write_text("theirs")
    name = next(names)
    secret = tmp_path / "secret"
    secret.write_text(token(gate, name))
    done = subprocess.run(agent(gate, other, "--token-file", secret), capture_output=True, text=True, timeout=30)
    assert done.returncode != 0 and "somebody else" in done.stderr and (other / "key.pem").read_text() == "theirs"
    # The token is still good; and a certificate that is revoked can be replaced with another token.
    mine = tmp_path / "mine"
    for extra in ([], ["--force"]):
        done = subprocess.run(agent(gate, mine, "--token-file", secret, *extra), capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, done.stderr
        first = (mine / "cert.pem").read_bytes()
        ca(gate, "revoke", "--spiffe-id", f"{DOMAIN}/{name}")
        secret.write_text(token(gate, name))
    assert (mine / "cert.pem").read_bytes() == first
    # A key that somebody else can read, in the place of the one that waits for its answer.
    planted, theirs = tmp_path / "planted", tmp_path / "theirs.key"
    planted.mkdir()
    assert openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", theirs).returncode == 0
    pkcs8 = openssl("pkcs8", "-topk8", "-nocrypt", "-in", theirs).stdout
    (planted / "..pending.pem").write_bytes(pkcs8)
    (planted / "..pending.pem").chmod(0o644)
    done = subprocess.run(agent(gate, planted, "--token-file", secret), capture_output=True, text=True, timeout=30)
    assert done.returncode == 0 and (planted / "key.pem").read_bytes() != pkcs8
    secret.write_text(token(gate, name))
    # A workload that may call itself localhost is not the gate, though the authority vouches for it.
    imposter = enrolled(gate, tmp_path, next(names), "--dns", "localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(imposter / "cert.pem", imposter / "key.pem")
    seen = []
    listener = socket.create_server(("127.0.0.1", 0))

    def listen():
        while True:
            plain, _ = listener.accept()
            try:
                with context.wrap_socket(plain, server_side=True) as stream:
                    seen.append(stream.recv(65536))
            except OSError:
                pass

    threading.Thread(target=listen, daemon=True).start()
    command = agent(gate, tmp_path / "fooled", "--token-file", secret)
    command[command.index("--url") + 1] = f"https://localhost:{listener.getsockname()[1]}"
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode != 0 and not any(seen)


def test_an_issuer_vouches_for_a_workload(gate, cluster, tmp_path):
    path, who = "/pki/v1/certificates/workload", "system:serviceaccount:shop:orders"
    _, csr = request(tmp_path)
    csr = csr.read_bytes()
    made = sign(gate, csr, cluster.token(sub=who), path)
    assert made.status_code == 201, made.text
    san = chain(made.text)[0].extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert san.get_values_for_type(x509.UniformResourceIdentifier) == [f"{DOMAIN}/orders"]
    assert sign(gate, csr, cluster.token(sub="system:serviceaccount:shop:other"), path).status_code == 403
    assert sign(gate, csr, cluster.token(sub=f"cluster:{who}"), path).status_code == 403
    assert sign(gate, csr, cluster.token(sub=who, aud="https://other.example"), path).status_code == 401
    assert sign(gate, csr, cluster.token(sub=who, exp=1), path).status_code == 401
    assert sign(gate, csr, "pce_nothing", path).status_code == 401
    file = tmp_path / "jwt"
    file.write_text(cluster.token(sub=who))
    out = tmp_path / "orders"
    for _ in range(2):
        done = subprocess.run(agent(gate, out, "--workload-token-file", file), capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, done.stderr
    assert call(gate, out).status_code == 200


def test_the_bundle_is_what_spiffe_says(gate):
    with gate.client() as client:
        index, bundle, pem = (client.get(f"/pki/v1{path}") for path in ("", "/bundle", "/ca.pem"))
    assert index.json()["trust_domain"] == "shop.example" and index.json()["renewal"].startswith(gate.mesh)
    assert bundle.headers["content-type"] == "application/json"
    said = bundle.json()
    assert said["spiffe_sequence"] >= 1 and said["spiffe_refresh_hint"] > 0
    roots = x509.load_pem_x509_certificates(pem.content)
    assert len(said["keys"]) == len(roots)
    for key, root in zip(said["keys"], roots):
        assert key["use"] == "x509-svid" and len(key["x5c"]) == 1
        assert x509.load_der_x509_certificate(base64.b64decode(key["x5c"][0])) == root
        numbers = root.public_key().public_numbers()
        for part, value in (("x", numbers.x), ("y", numbers.y)):
            assert int.from_bytes(base64.urlsafe_b64decode(key[part] + "==")) == value
    shown = ca(gate, "show").stdout
    assert x509.load_pem_x509_certificates(shown.encode()) == roots


def test_a_new_root_while_connections_come_and_go(cluster, files, tmp_path):
    with Demo(config(cluster, files), services=False, demo=False) as gate:
        out = enrolled(gate, tmp_path, next(names))
        old = tmp_path / "old"
        old.mkdir()
        for name in ("cert.pem", "key.pem", "ca.pem"):
            (old / name).write_bytes((out / name).read_bytes())
        failed, count, done = [], [0], threading.Event()
        timer = threading.Timer(90, done.set)
        timer.daemon = True
        timer.start()

        def load():
            while not done.is_set():
                try:
                    # With what it had before: its certificate is of the old root, and still good.
                    held = ssl.create_default_context(cafile=gate.data / "ca.pem")
                    held.load_cert_chain(old / "cert.pem", old / "key.pem")
                    answer = httpx.get(f"{gate.mesh}/x", verify=held, timeout=20)
                    if answer.status_code != 200:
                        failed.append(answer.text)
                    count[0] += 1
                except Exception as error:
                    failed.append(repr(error))

        threads = [threading.Thread(target=load, daemon=True) for _ in range(2)]
        for thread in threads:
            thread.start()
        said = ca(gate, "rotate", "--root").stdout
        new = said.split()[0]
        until(lambda: len(chain((gate.data / "ca.pem").read_bytes())) == 2, "both roots in the file", 15)
        until(lambda: f"{new}  root          signing" in ca(gate, "status").stdout, "the new root to sign", 15)

        def shown():
            context = ssl.create_default_context(cafile=gate.data / "ca.pem")
            context.load_cert_chain(old / "cert.pem", old / "key.pem")
            with socket.create_connection(("127.0.0.1", gate.ports["MESH"])) as plain:
                with context.wrap_socket(plain, server_hostname="localhost") as stream:
                    return x509.load_der_x509_certificate(stream.getpeercert(True)).issuer

        first = chain((old / "cert.pem").read_bytes())[0].issuer
        until(lambda: shown() != first or None, "the gate to show a certificate of the new root", 15)
        before = count[0]
        until(lambda: count[0] > before + 20, "more requests")
        done.set()
        for thread in threads:
            thread.join()
        assert not failed, failed[:3]
        assert count[0] > 50

        # A workload that renews follows, with the roots it had.
        key, csr = request(tmp_path)
        context = ssl.create_default_context(cafile=gate.data / "ca.pem")
        context.load_cert_chain(old / "cert.pem", old / "key.pem")
        renewed = httpx.post(f"{gate.mesh}/pki/v1/certificates/renewal", content=csr.read_bytes(), verify=context)
        assert renewed.status_code == 201

        # Nothing is forgotten when the process dies, and the old certificate is still good.
        gate.kill()
        gate.start()
        assert len(chain((gate.data / "ca.pem").read_bytes())) == 2
        assert call(gate, old, gate.data / "ca.pem").status_code == 200

        # The key of the intermediate is in other hands.
        ca(gate, "rotate", "--compromised")
        (tmp_path / "renewed.pem").write_text(renewed.text)

        def refused():
            held = ssl.create_default_context(cafile=gate.data / "ca.pem")
            held.load_cert_chain(tmp_path / "renewed.pem", key)
            try:
                return httpx.get(f"{gate.mesh}/x", verify=held, timeout=20).status_code != 200
            except httpx.TransportError:
                return True

        until(refused, "the end of what it signed", 10)


def test_they_renew_themselves(cluster, files, tmp_path):
    """In a minute what takes a day otherwise: the workload's certificate and the gate's own."""
    with Demo(config(cluster, files, lifetime="60s"), services=False, demo=False) as gate:
        name = next(names)
        out, secret, marks = tmp_path / "own", tmp_path / "token", tmp_path / "marks"
        secret.write_text(token(gate, name))
        watching = subprocess.Popen(
            agent(gate, out, "--token-file", secret, "--watch", "--then", f"echo renewed >> {marks}"),
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            until((out / "cert.pem").exists, "the first certificate")
            serial = lambda: chain((out / "cert.pem").read_bytes())[0].serial_number
            first = serial()

            def gates():
                with socket.create_connection(("127.0.0.1", gate.ports["MESH"])) as plain:
                    held = ssl.create_default_context(cafile=out / "ca.pem")
                    held.load_cert_chain(out / "cert.pem", out / "key.pem")
                    with held.wrap_socket(plain, server_hostname="localhost") as stream:
                        return x509.load_der_x509_certificate(stream.getpeercert(True)).serial_number

            of_gate = gates()
            assert serial() == first
            until(lambda: serial() != first, "the renewal", 58)
            until(lambda: gates() != of_gate, "the renewal of the gate's own", 58)
            assert call(gate, out).status_code == 200
            assert len(list(out.glob("..????????????????"))) == 1, "the old files are gone"
            until(lambda: marks.read_text().count("renewed") == 2, "the command")
            assert "renewal" in ca(gate, "list", "--spiffe-id", f"{DOMAIN}/{name}").stdout
        finally:
            watching.terminate()
            watching.wait(10)


def test_a_mistake_in_the_file_is_named(gate, cluster, files, tmp_path):
    good = config(cluster, files)
    for change, said in [
        (("shop.example\"\nlifetime", "Shop.Example\"\nlifetime"), "trust_domain"),
        (('lifetime = "24h"', 'lifetime = "1s"'), "lifetime"),
        (('issuer = "cluster"', 'issuer = "nobody"'), "nobody"),
        (("spiffe://shop.example/orders", "spiffe://other.example/orders"), "spiffe://shop.example/"),
        (('"orders.shop.svc"', '"*.svc"'), "DNS name"),
    ]:
        file = tmp_path / "broken.toml"
        assert change[0] in good
        file.write_text(good.replace(*change))
        told = gate.cli("check", "--config", file, check=False)
        assert told.returncode != 0 and said in told.stderr, told.stderr
