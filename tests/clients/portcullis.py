"""Portcullis as its users meet it: the real binary, real sockets, standard clients."""

import base64
import email
import email.policy
import hashlib
import html
import json
import os
import re
import secrets
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx

import ocsf

BIN = Path(os.environ.get("PORTCULLIS_BIN", Path(__file__).parents[2] / "target/debug"))
DEADLINE = 30
DEMO = (Path(__file__).parents[2] / "crates/server/src/demo.toml").read_text()


def free_port():
    """A port below those that the system gives to outgoing connections: one of these could take it
    before the server does, or even connect to itself. Tests that run beside these have ports of their own."""
    beside = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    own = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    while True:
        port = 10_000 + secrets.randbelow(20_000 // beside) * beside + own
        with socket.socket() as probe:
            if port not in taken and probe.connect_ex(("127.0.0.1", port)) != 0:
                taken.add(port)
                return port


taken = set()


def until(condition, what, seconds=DEADLINE):
    """Waits for something that happens by itself; fails if it does not."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"{what} did not happen within {seconds} s")


class Demo:
    """One installation in a directory of its own, on ports of its own."""

    def __init__(self, config=None, services=True, demo=True, watched=False):
        """Where many tests use one account from many addresses, that is an attack, and answered as
        one; so only an installation that is `watched` answers what it finds."""
        self.directory = tempfile.TemporaryDirectory(prefix="portcullis-")
        self.data = Path(self.directory.name) / "data"
        self.ports = {name: free_port() for name in ("PUBLIC", "MESH", "OPERATIONS", "PROFILE", "ADMIN")}
        self.config, self.services, self.demo, self.watched = config, services, demo, watched
        self.processes = []

    @property
    def env(self):
        ports = {f"PORTCULLIS_{name}_PORT": str(port) for name, port in self.ports.items()}
        return {**os.environ, **ports}

    @property
    def issuer(self):
        return f"https://localhost:{self.ports['PUBLIC']}"

    @property
    def mesh(self):
        return f"https://localhost:{self.ports['MESH']}"

    @property
    def ops(self):
        return f"http://127.0.0.1:{self.ports['OPERATIONS']}"

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, kind, *_):
        self.stop()
        # Whatever a test did, what was written about it is valid.
        if kind is None:
            for year in self.logs():
                ocsf.check_log(year)
        self.directory.cleanup()

    def start(self):
        # Services of a server that was killed would stay, on ports that are wanted again.
        self.stop()
        command = [BIN / "portcullis", "up", "--data", self.data]
        if self.demo:
            command.append("--demo")
        if self.config or not self.watched:
            self.configure(self.config or DEMO)
            command += ["--config", self.file]
        log = open(Path(self.directory.name) / "log", "ab")
        cwd = self.directory.name
        self.server = subprocess.Popen(command, env=self.env, stdout=log, stderr=log, cwd=cwd)
        self.processes = [self.server]
        until(lambda: self.ready() or self.server.poll() is not None, "the start")
        ended, free = self.server.poll(), shutil.disk_usage(self.directory.name).free >> 20
        assert ended is None, f"ended with {ended}, {free} MiB of the disk are free: {self.log()}"
        if self.services:
            for name, port in (("profile-service", "PROFILE"), ("admin-service", "ADMIN")):
                env = {
                    **os.environ,
                    "LISTEN": f"127.0.0.1:{self.ports[port]}",
                    "ISSUER": self.issuer,
                    "CA_FILE": str(self.data / "ca.pem"),
                }
                self.processes.append(subprocess.Popen([BIN / name], env=env, stdout=log, stderr=log))
            until(lambda: (self.data / "demo.json").exists(), "demo.json")
            until(self.services_answer, "the sample services")

    @property
    def file(self):
        return Path(self.directory.name) / "portcullis.toml"

    def configure(self, text):
        """Puts another configuration in the place of the file, as whoever deploys it does."""
        self.config = text
        if not self.watched and "[detect]" not in text:
            text += '\n[detect]\nmode = "observe"\n'
        text = text.replace("127.0.0.1:7001", f"127.0.0.1:{self.ports['PROFILE']}")
        new = self.file.with_suffix(".new")
        new.write_text(text.replace("127.0.0.1:7002", f"127.0.0.1:{self.ports['ADMIN']}"))
        new.rename(self.file)

    def services_answer(self):
        def up(port):
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", self.ports[port])) == 0

        return up("PROFILE") and up("ADMIN")

    def ready(self):
        try:
            return httpx.get(f"{self.ops}/readyz").status_code == 200
        except httpx.TransportError:
            return False

    def log(self):
        return (Path(self.directory.name) / "log").read_text()

    def stop(self):
        for process in reversed(self.processes):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in reversed(self.processes):
            process.wait(DEADLINE)
        self.processes = []

    def kill(self):
        """What a power cut does to the process."""
        self.server.kill()
        self.server.wait(DEADLINE)
        for process in self.processes[1:]:
            process.terminate()
            process.wait(DEADLINE)
        self.processes = []

    def logs(self):
        """The directories of the log, one for each year, the oldest first."""
        return sorted((self.data / "audit").glob("[0-9][0-9][0-9][0-9]"))

    def facts(self):
        return json.loads((self.data / "demo.json").read_text())

    def client(self, source="127.0.0.1", http2=False, cert=None, **options):
        """An HTTP client that comes from the address `source`."""
        context = ssl.create_default_context(cafile=self.data / "ca.pem")
        if cert:
            context.load_cert_chain(*cert)
        transport = httpx.HTTPTransport(verify=context, local_address=source, http2=http2)
        return httpx.Client(transport=transport, base_url=self.issuer, timeout=20, **options)

    def cli(self, *arguments, check=True, stdin=None):
        done = subprocess.run(
            [BIN / "portcullis", *map(str, arguments)], env=self.env, cwd=self.directory.name,
            capture_output=True, text=True, input=stdin, timeout=60,
        )
        assert not check or done.returncode == 0, done.stderr + done.stdout
        return done

    def audit(self, *arguments):
        lines = self.cli("audit", "export", "--data", self.data, *arguments).stdout.splitlines()
        return [json.loads(line) for line in lines]

    def mails(self, to):
        found = []
        for path in sorted((self.data / "mail").glob("*.eml")):
            mail = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
            if mail["to"] == to:
                found.append(mail)
        return found

    def link(self, to, count=1):
        """The link in the newest of at least `count` mails to this address."""
        mails = until(lambda: len(m := self.mails(to)) >= count and m, f"a mail to {to}")
        return re.search(r"https://\S+", mails[-1].get_content()).group(0)

    def operator(self, source="127.0.0.1", scope="admin"):
        """A client with a token of the scope."""
        made = self.facts()["clients"]["operator"]
        client = self.client(source)
        token = client.post(
            "/oauth2/token", data={"grant_type": "client_credentials", "scope": scope},
            auth=(made["client_id"], made["client_secret"]),
        )
        client.headers["authorization"] = f"Bearer {token.json()['access_token']}"
        return client

    def new_user(self, name, password="plum rivet otter canvas"):
        made = self.operator().post(
            "/api/admin/v1/users",
            json={"username": name, "email": f"{name}@example.org", "password": password},
        )
        assert made.status_code == 201, made.text
        return made.json()


def fields(page):
    """The inputs of a page's form with their values."""
    inputs = re.findall(r"<input[^>]*>", page)
    named = {}
    for tag in inputs:
        attributes = dict(re.findall(r'([a-z-]+)="([^"]*)"', tag))
        if "name" in attributes:
            named[attributes["name"]] = html.unescape(attributes.get("value", ""))
    return named


def submit(client, path, values, **options):
    """Opens a page as a browser does, fills in its form and sends it."""
    page = client.get(path)
    assert page.status_code == 200, page.text
    form = {**fields(page.text), **values}
    action = re.search(r'<form[^>]*action="([^"]*)"', page.text).group(1)
    return client.post(html.unescape(action), data=form, **options)


def log_in(client, username, password):
    return submit(client, "/login", {"username": username, "password": password})


def pkce():
    verifier = secrets.token_urlsafe(48)
    digest = hashlib.sha256(verifier.encode()).digest()
    return verifier, base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def authorize(demo, browser, challenge, scope="openid profile email account", **more):
    """Asks for a code in a browser that is logged in, and gives consent if it is asked for."""
    web = demo.facts()["clients"]["web"]
    query = {
        "response_type": "code", "client_id": web["client_id"], "redirect_uri": web["redirect_uri"],
        "scope": scope, "state": "st4te", "nonce": "n0nce", "code_challenge": challenge,
        "code_challenge_method": "S256", **more,
    }
    answer = browser.get(f"/oauth2/authorize?{urlencode(query)}")
    if answer.status_code == 200 and "consent-allow" in answer.text:
        answer = browser.post("/oauth2/consent", data={**fields(answer.text), "decision": "allow"})
    return answer


def code_of(answer):
    assert answer.status_code == 303, answer.text
    return parse_qs(urlsplit(answer.headers["location"]).query)


def tokens(demo, person, scope="openid profile email account", source="127.0.0.1"):
    """The whole way: login, authorization, consent, code, tokens."""
    browser = demo.client(source)
    assert log_in(browser, person["username"], person["password"]).status_code == 303
    return exchange(demo, browser, scope)


def exchange(demo, browser, scope="openid profile email account"):
    web = demo.facts()["clients"]["web"]
    verifier, challenge = pkce()
    code = code_of(authorize(demo, browser, challenge, scope))["code"][0]
    answer = browser.post("/oauth2/token", data={
        "grant_type": "authorization_code", "code": code, "redirect_uri": web["redirect_uri"],
        "client_id": web["client_id"], "code_verifier": verifier,
    })
    assert answer.status_code == 200, answer.text
    return answer.json()


def bearer(token):
    return {"authorization": f"Bearer {token}"}


def officer(demo, name, scope="aml"):
    """Somebody with the role compliance, and their token of the scope."""
    password = "plum rivet otter canvas"
    demo.new_user(name, password)
    operator = demo.operator()
    users = operator.get("/api/admin/v1/users", params={"limit": 200}).json()["items"]
    account = next(user for user in users if user["username"] == name)
    answer = operator.put(f"/api/admin/v1/users/{account['id']}/roles", json={"roles": ["compliance"]})
    assert answer.status_code in (200, 204), answer.text
    token = tokens(demo, {"username": name, "password": password}, f"openid profile {scope}")["access_token"]
    colleague = demo.client()
    colleague.headers.update(bearer(token))
    return colleague
