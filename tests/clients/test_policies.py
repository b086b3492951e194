"""Cedar policies decide beside scopes, `portcullis explain` says why, and other proxies can ask."""

import json
import subprocess
import tempfile
from pathlib import Path

import httpx
import pytest

from echo import Echo
from portcullis import Demo, bearer, free_port, tokens, until

CONFIG = """
issuer = "https://localhost:8443"
[listen]
public = "127.0.0.1:8443"
mesh = "127.0.0.1:8444"
operations = "127.0.0.1:9090"
[database]
url = "sqlite:portcullis.db"
[client_address]
trusted_proxies = ["127.0.0.2/32"]
[policy]
files = ["gate.cedar"]
[[upstream]]
name = "echo"
servers = ["http://127.0.0.1:{echo}"]
[[route]]
name = "documents"
path = "/documents/{{*rest}}"
upstream = "echo"
authenticate = ["bearer", "none"]
limits = [{{ key = "ip", rate = "1000/min" }}, {{ key = "subject", rate = "500/min" }}]
[[route]]
name = "free"
path = "/free"
upstream = "echo"
authenticate = ["none"]
policy = false
[[route]]
name = "one"
hosts = ["one.example.org"]
path = "/who"
upstream = "echo"
authenticate = ["none"]
policy = false
[[route]]
name = "everyone"
path = "/who"
upstream = "echo"
authenticate = ["bearer"]
[[route]]
name = "behind"
listen = "forward-auth"
hosts = ["app.example.org"]
path = "/{{*rest}}"
authenticate = ["bearer"]
limits = [{{ key = "subject", rate = "20/min" }}]
audience = "app"
policy = false
"""
POLICIES = """
@id("people read")
permit (principal is User, action in Action::"read", resource == Route::"documents")
when { principal.scopes.contains("profile") };
@id("alice writes")
permit (principal is User, action in Action::"write", resource)
when { principal has username && principal.username == "alice" };
@id("not at night")
forbid (principal, action == Action::"DELETE", resource);
"""


@pytest.fixture(scope="module")
def gate():
    echo = Echo()
    demo = Demo(CONFIG.format(echo=echo.port), services=False)
    (Path(demo.directory.name) / "gate.cedar").write_text(POLICIES)
    with demo as running:
        until((running.data / "demo.json").exists, "demo.json")
        running.echo = echo
        running.people = [tokens(running, person)["access_token"] for person in running.facts()["users"][:2]]
        yield running
        assert "panicked" not in running.log()


def explain(gate, *arguments, check=True):
    done = gate.cli("explain", "--data", gate.data, "--json", *arguments, check=False)
    assert done.returncode in (0, 1) and done.stdout, done.stderr
    return json.loads(done.stdout), done.returncode


def test_nothing_passes_that_no_policy_permits(gate):
    alice, bob = gate.people
    with gate.client() as client:
        ask = lambda method, token=None: client.request(method, "/documents/1", headers=bearer(token) if token else {})  # noqa: E731
        assert [ask("GET", alice).status_code, ask("GET", bob).status_code, ask("GET").status_code] == [200, 200, 403]
        assert [ask("PUT", alice).status_code, ask("PUT", bob).status_code] == [200, 403]
        assert ask("DELETE", alice).status_code == 403
        told = ask("PUT", bob).json()
        assert told["type"].endswith("policy") and "alice" not in json.dumps(told)
        assert client.get("/free").status_code == 200
    events = until(lambda: (e := [e for e in gate.audit() if "cedar" in json.dumps(e)]) and len(e) >= 4 and e, "events")
    decided = {(a["decision"], a["policy"]["type"], a["policy"]["name"])
               for e in events for a in e["actor"].get("authorizations", [])}
    assert {("allow", "cedar", "people read"), ("allow", "cedar", "alice writes"), ("deny", "cedar", "not at night"),
            ("deny", "cedar", "no policy permits it")} <= decided


def test_explain_says_why(gate):
    alice, bob = gate.people
    stages, code = explain(gate, "--path", "/documents/1?x=1", "--token", alice)
    assert code == 0 and [s["stage"] for s in stages] == [
        "guard", "block_list", "route", "limits", "authenticate", "authorise", "limits", "forward",
    ]
    assert "cedar people read" in stages[5]["said"] and "alice" not in stages[2]["said"]
    stages, code = explain(gate, "--method", "PUT", "--path", "/documents/1", "--token", bob)
    assert code == 1 and stages[-1]["refused"] == [403, "policy"] and "no policy permits it" in stages[-1]["said"]
    stages, _ = explain(gate, "--method", "DELETE", "--path", "/documents/1", "--token", alice)
    assert "cedar not at night" in stages[-1]["said"]
    for arguments, stage, status in [
        (["--path", "/a/../b"], "guard", 400), (["--path", "/nothing"], "route", 404),
        (["--path", "/who", "--token", "x.y.z"], "authenticate", 401), (["--path", "/who"], "authenticate", 401),
        (["--method", "TRACE", "--path", "/who"], "guard", 405),
    ]:
        stages, code = explain(gate, *arguments)
        assert (stages[-1]["stage"], stages[-1]["refused"][0], code) == (stage, status, 1), arguments
    assert explain(gate, "--path", "/who", "--host", "one.example.org:8443")[1] == 0
    # Nothing was counted: many explanations do not use a limit up.
    text = gate.cli("explain", "--data", gate.data, "--path", "/documents/1", "--token", alice).stdout
    assert text.splitlines()[0].startswith("pass    guard") and "REFUSE" not in text
    before = len(gate.echo.seen)
    assert len(gate.echo.seen) == before
    gone = gate.cli("explain", "--data", "/nonexistent", "--path", "/x", check=False)
    assert gone.returncode == 1 and "is Portcullis running there?" in gone.stderr


def test_a_broken_policy_is_refused_with_its_line(gate):
    path = Path(gate.directory.name) / "gate.cedar"
    for broken, where in [
        (POLICIES + "permit (principal is Nobody, action, resource);\n", "gate.cedar:"),
        (POLICIES.replace("username ==", "usernam =="), "gate.cedar:7"),
    ]:
        path.write_text(broken)
        told = gate.cli("reload", "--data", gate.data, check=False)
        assert told.returncode == 1 and where in told.stderr, told.stderr
        checked = gate.cli("check", "--config", gate.file, check=False)
        assert checked.returncode == 1 and where in checked.stderr
        with gate.client() as client:
            assert client.get("/documents/1", headers=bearer(gate.people[1])).status_code == 200
    path.write_text("forbid (principal, action, resource);")
    gate.cli("reload", "--data", gate.data)
    with gate.client() as client:
        assert client.get("/documents/1", headers=bearer(gate.people[0])).status_code == 403
    path.write_text(POLICIES)
    gate.cli("reload", "--data", gate.data)
    assert "entity User" in gate.cli("policy", "schema").stdout


def test_routes_of_a_host_come_first(gate):
    with gate.client() as client:
        assert client.get("/who", headers={"host": "one.example.org"}).status_code == 200
        assert client.get("/who", headers={"host": "ONE.example.org:8443"}).status_code == 200
        assert client.get("/who", headers={"host": "two.example.org"}).status_code == 401
        assert client.get("/who", headers={"host": "one.example.org."}).status_code == 400


def asked(gate, token=None, source="127.0.0.2", path="/authz", **fields):
    headers = {"x-forwarded-method": "GET", "x-forwarded-uri": "/a/b?c=d", "x-forwarded-host": "app.example.org",
               "x-forwarded-for": "192.0.2.7", **(bearer(token) if token else {}), **fields}
    with gate.client(source) as client:
        return client.get(path, headers={name: value for name, value in headers.items() if value is not None})


def test_another_proxy_is_told_whether_a_request_may_pass(gate):
    alice = gate.people[0]
    good = asked(gate, alice)
    assert good.status_code == 200 and good.headers["x-portcullis-username"] == "alice"
    assert good.headers["authorization"].startswith("Bearer ey") and good.headers["x-portcullis-subject"]
    assert asked(gate).status_code == 401 and "Bearer" in asked(gate).headers["www-authenticate"]
    assert asked(gate, alice, source="127.0.0.1").status_code == 403, "not a proxy that may ask"
    for change in ({"x-forwarded-uri": "/a/../b"}, {"x-forwarded-uri": None}, {"x-forwarded-method": None},
                   {"x-forwarded-host": None}, {"x-forwarded-uri": "/a%2fb"}, {"x-forwarded-host": "a b"},
                   {"x-forwarded-method": "A B"}):
        assert asked(gate, alice, **change).status_code == 400, change
    assert asked(gate, alice, **{"x-forwarded-host": "other.example.org"}).status_code == 404
    nginx = asked(gate, alice, path="/authz/nginx", **{"x-forwarded-host": "other.example.org"})
    assert nginx.status_code == 403 and nginx.headers["x-portcullis-status"] == "404"
    # Such routes are no door of the gate itself.
    with gate.client() as client:
        direct = client.get("/a/b", headers={**bearer(alice), "host": "app.example.org"})
        assert direct.status_code == 404


class Proxy:
    """A real proxy in front of the echo service, that asks the gate."""

    def __init__(self, command, config, port):
        self.directory = tempfile.TemporaryDirectory()
        path = Path(self.directory.name) / "config"
        path.write_text(config.replace("DIRECTORY", self.directory.name))
        self.log = open(Path(self.directory.name) / "log", "wb")
        env = {"HOME": self.directory.name, "PATH": "/usr/sbin:/usr/bin:/bin"}
        self.process = subprocess.Popen([*command, path], stdout=self.log, stderr=self.log, env=env)
        self.url = f"http://127.0.0.1:{port}"
        until(self.answers, "the proxy")

    def answers(self):
        try:
            httpx.get(self.url, timeout=2)
            return True
        except httpx.TransportError:
            assert self.process.poll() is None, (Path(self.directory.name) / "log").read_text()
            return False

    def stop(self):
        self.process.terminate()
        self.process.wait(20)
        self.directory.cleanup()


NGINX = """
daemon off; pid DIRECTORY/pid; error_log stderr;
events {{ }}
http {{
  access_log off; client_body_temp_path DIRECTORY/b; proxy_temp_path DIRECTORY/p; fastcgi_temp_path DIRECTORY/f;
  uwsgi_temp_path DIRECTORY/u; scgi_temp_path DIRECTORY/s;
  server {{
    listen 127.0.0.1:{port};
    location / {{
      auth_request /_authz;
      auth_request_set $token $upstream_http_authorization;
      auth_request_set $subject $upstream_http_x_portcullis_subject;
      proxy_set_header Authorization $token;
      proxy_set_header X-Subject $subject;
      proxy_pass http://127.0.0.1:{echo};
    }}
    location = /_authz {{
      internal;
      proxy_pass https://127.0.0.1:{gate}/authz/nginx;
      proxy_bind 127.0.0.2;
      proxy_ssl_trusted_certificate {ca}; proxy_ssl_verify on; proxy_ssl_name localhost; proxy_ssl_server_name on;
      proxy_pass_request_body off;
      proxy_set_header Content-Length "";
      proxy_set_header Host localhost:{gate};
      proxy_set_header X-Forwarded-Method $request_method;
      proxy_set_header X-Forwarded-Uri $request_uri;
      proxy_set_header X-Forwarded-Host $http_host;
      proxy_set_header X-Forwarded-For $remote_addr;
    }}
  }}
}}
"""
CADDY = """
{{
  admin off
  auto_https off
}}
http://:{port} {{
  bind 127.0.0.1
  forward_auth https://localhost:{gate} {{
    uri /authz
    header_up Host localhost:{gate}
    copy_headers Authorization X-Portcullis-Subject>X-Subject
    transport http {{
      tls_trusted_ca_certs {ca}
      tls_server_name localhost
    }}
  }}
  reverse_proxy 127.0.0.1:{echo}
}}
"""


@pytest.fixture(params=["nginx", "caddy"])
def proxy(request, gate):
    port = free_port()
    values = {"port": port, "echo": gate.echo.port, "gate": gate.ports["PUBLIC"], "ca": gate.data / "ca.pem"}
    if request.param == "nginx":
        running = Proxy(["/usr/sbin/nginx", "-c"], NGINX.format(**values), port)
    else:
        # Caddy asks from any local address.
        gate.configure(gate.config.replace('"127.0.0.2/32"', '"127.0.0.0/8"'))
        gate.cli("reload", "--data", gate.data)
        running = Proxy(["/usr/bin/caddy", "run", "--adapter", "caddyfile", "--config"], CADDY.format(**values), port)
    running.kind = request.param
    yield running
    running.stop()


def test_the_proxy_that_people_have_asks_the_gate(gate, proxy):
    alice = gate.people[0]
    host = {"host": "app.example.org"}
    with httpx.Client(base_url=proxy.url) as client:
        good = client.post("/some/path?x=1", content=b"body", headers={**host, **bearer(alice), "x-subject": "forged"})
        assert good.status_code == 200, good.text
        seen = good.json()
        assert (seen["method"], seen["path"], seen["body"]) == ("POST", "/some/path?x=1", "body")
        assert seen["headers"]["x-subject"] not in ("", "forged")
        assert seen["headers"]["authorization"] not in ("", f"Bearer {alice}"), "a token of its own"
        before = len(gate.echo.seen)
        refused = client.get("/some/path", headers=host)
        assert refused.status_code == 401 and "Bearer" in refused.headers["www-authenticate"]
        assert client.get("/some/path", headers={**host, **bearer(alice[:-4] + "AAAA")}).status_code == 401
        assert client.get("/some/path", headers={"host": "x.example.org", **bearer(alice)}).status_code in (403, 404)
        assert client.get("/a%2fb", headers={**host, **bearer(alice)}).status_code in (400, 403)
        assert len(gate.echo.seen) == before
        statuses = [client.get("/again", headers={**host, **bearer(gate.people[1])}).status_code for _ in range(24)]
        # Twenty a minute; the other proxy may have used some up.
        assert statuses[-1] == (403 if proxy.kind == "nginx" else 429)
