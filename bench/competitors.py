"""The two providers of the comparison, set up for the same work: JWT access tokens for one audience,
client_secret_basic, PKCE, an ID token with every code and refresh, refresh tokens that rotate. Both
speak TLS."""

import asyncio
import base64
import datetime
import json
import os
import secrets
import select
import ssl
import subprocess
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from load import SERVER_CORES, Connection, on_cores, workers
from portcullis import Demo, fields, free_port, log_in, pkce, until

PEER = Path(__file__).parent / "peer"
CALLBACK = "https://client.example.org/callback"
AUDIENCE = "https://api.example.org"
# As many as argon2 takes at least; next to nothing is left but what surrounds the hash.
LEAST_HASH = {"memory_kib": 8, "passes": 1}
# Portcullis ends the oldest grant of a person to a client when there are more than 100.
GRANTS_PER_PERSON = 90
PREPARING = 8

CONFIG = """
issuer = "https://localhost:8443"

[listen]
public = "127.0.0.1:8443"
operations = "127.0.0.1:9090"

[database]
url = "sqlite:portcullis.db"
"""


class Competitor:
    """A running provider: `port`, `pid`, `tls`, and the secrets of its clients."""

    token, introspection, authorization = "/oauth2/token", "/oauth2/introspect", "/oauth2/authorize"

    @property
    def url(self):
        return f"https://localhost:{self.port}"

    def basic(self, client):
        pair = f"{client}:{self.secrets[client]}".encode()
        return {"authorization": "Basic " + base64.b64encode(pair).decode()}

    async def codes(self, client, count):
        """Codes and their verifiers, as browsers get them that are logged in."""
        cookies = self.browsers(count)
        pending = [(cookie, pkce()) for cookie in cookies]

        async def authorize(connection, _):
            found = []
            while pending:
                cookie, (verifier, challenge) = pending.pop()
                query = authorization_request(client, challenge)
                answer = await connection.ask("GET", f"{self.authorization}?{query}", cookie=cookie)
                assert answer.status == 303, (answer.status, answer.body)
                sent = parse_qs(urlsplit(answer.header("location")[0]).query)
                found.append((sent["code"][0], verifier))
            return found

        found = await workers(self, PREPARING, authorize)
        return [pair for some in found for pair in some]


def authorization_request(client, challenge):
    return urlencode({
        "response_type": "code", "client_id": client, "redirect_uri": CALLBACK, "scope": "openid api",
        "state": "st4te", "nonce": "n0nce", "code_challenge": challenge,
        "code_challenge_method": "S256",
    })


class Portcullis(Competitor):
    """An installation without routes, whose limits for one address are out of the way."""

    def __init__(self, cores=SERVER_CORES, **passwords):
        self.cores = cores
        self.demo = Demo(self.config(passwords), services=False)
        self.secrets, self.sessions, self.grants = {}, [], 0

    @staticmethod
    def config(passwords):
        limits = "".join(
            f'[protect.{door}]\nlimits = [{{ key = "ip", rate = "1000000/s" }}]\n'
            for door in ("login", "token", "authorize")
        )
        costs = "".join(f"{key} = {value}\n" for key, value in passwords.items())
        return f"{CONFIG}{limits}[passwords]\n{costs}"

    def __enter__(self):
        with on_cores(self.cores):
            self.demo.start()
        until((self.demo.data / "demo.json").exists, "demo.json")
        self.tls = ssl.create_default_context(cafile=self.demo.data / "ca.pem")
        return self

    def __exit__(self, *_):
        self.demo.stop()
        self.demo.directory.cleanup()

    def restart(self, **passwords):
        self.demo.stop()
        self.demo.config = self.config(passwords)
        self.__enter__()

    @property
    def port(self):
        return self.demo.ports["PUBLIC"]

    @property
    def pid(self):
        return self.demo.server.pid

    def register(self, client, alg):
        made = self.demo.operator().post("/api/admin/v1/clients", json={
            "client_id": client, "name": client, "first_party": True, "token_alg": alg,
            "token_endpoint_auth_method": "client_secret_basic", "scopes": ["openid", "api"],
            "grant_types": ["authorization_code", "refresh_token", "client_credentials"],
            "redirect_uris": [CALLBACK], "audiences": [AUDIENCE],
        })
        assert made.status_code == 201, made.text
        self.secrets[client] = made.json()["client_secret"]

    def people(self, count, prefix="person"):
        """New accounts with one password."""
        password = "plum rivet otter canvas"
        operator = self.demo.operator()
        names = [f"{prefix}{number}" for number in range(count)]
        for name in names:
            person = {"username": name, "email": f"{name}@example.org", "password": password}
            made = operator.post("/api/admin/v1/users", json=person)
            assert made.status_code == 201, made.text
        operator.close()
        return [{"username": name, "password": password} for name in names]

    def log_in_people(self, codes):
        """As many people as this many codes need."""
        for person in self.people(-(-codes // GRANTS_PER_PERSON)):
            with self.demo.client() as browser:
                assert log_in(browser, **person).status_code == 303
                self.sessions.append(cookie_header(browser.cookies))

    def browsers(self, count):
        taken = [self.sessions[n // GRANTS_PER_PERSON] for n in range(self.grants, self.grants + count)]
        self.grants += count
        return taken

    def login_page(self):
        """The form of the login page, and the cookie that belongs to it."""
        with self.demo.client() as browser:
            page = browser.get("/login")
            return fields(page.text), cookie_header(browser.cookies)


class Peer(Competitor):
    """oidc-provider on the Node that is pinned with it."""

    token, introspection, authorization = "/token", "/token/introspection", "/auth"
    version = json.loads((PEER / "package.json").read_text())["dependencies"]

    def __init__(self, directory, clients):
        self.port = free_port()
        self.secrets = {client: secrets.token_urlsafe(32) for client in clients}
        self.certificate, key = directory / "peer.pem", directory / "peer.key"
        write_certificate(self.certificate, key)
        known = [{"id": c, "secret": self.secrets[c], "alg": alg} for c, alg in clients.items()]
        self.settings = json.dumps({
            "port": self.port, "certificate": str(self.certificate), "key": str(key),
            "redirectUri": CALLBACK, "clients": known,
        })
        self.log = directory / "peer.log"
        self.cookie = None

    def __enter__(self):
        env = {**os.environ, "NODE_ENV": "production", "PEER": self.settings}
        command = [PEER / "node_modules/.bin/node", "server.js"]
        assert command[0].exists(), "run `npm ci` in bench/peer first"
        with on_cores(SERVER_CORES), open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                command, cwd=PEER, env=env, stdout=subprocess.PIPE, stderr=log
            )
        select.select([self.process.stdout], [], [], 30)
        said = os.read(self.process.stdout.fileno(), 100) if self.process.poll() is None else b""
        assert b"ready" in said, self.log.read_text()
        self.tls = ssl.create_default_context(cafile=self.certificate)
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(30)

    @property
    def pid(self):
        return self.process.pid

    def log_in_person(self, client):
        """Login and consent, which the program gives itself; codes come without asking after that."""
        with httpx.Client(verify=self.tls, base_url=self.url) as browser:
            url = f"{self.authorization}?{authorization_request(client, pkce()[1])}"
            for _ in range(8):
                if url.startswith(CALLBACK):
                    break
                url = browser.get(url).headers["location"]
            assert url.startswith(CALLBACK), url
            named = {c.name: c.value for c in browser.cookies.jar if c.name.startswith("_session")}
            self.cookie = cookie_header(named)

    def browsers(self, count):
        return [self.cookie] * count


def cookie_header(cookies):
    return "; ".join(f"{name}={value}" for name, value in cookies.items())


def write_certificate(path, key_path):
    """A certificate for localhost that vouches for itself, with a key like the one of Portcullis."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_path.touch(mode=0o600)
    key_path.write_bytes(key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ))


async def cipher(server):
    """TLS version and cipher of a connection."""
    connection = Connection(server)
    await connection.ask("GET", "/.well-known/openid-configuration")
    chosen = connection.writer.get_extra_info("cipher")
    connection.close()
    return f"{chosen[1]}, {chosen[0]}"
