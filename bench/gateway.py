"""The gate beside HAProxy and nginx, in one run on one machine: CPU time of a request, and its latency
at the same rate. Prints Markdown.

The job: TLS that stays open, a token checked (RS256, issuer, audience, time), a limit for each subject,
one structured event, 500 bytes of JSON from the service. Needs Debian's `haproxy`, `nginx`, `wrk` and
`nghttp2-client`, and the Python packages of the clients' tests."""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc import jwk, jwt

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests/clients"))
target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
os.environ.setdefault("PORTCULLIS_BIN", str(target / "release"))

from load import (  # noqa: E402
    LOAD_CORES, MAX_STEAL, SERVER_CORES, memory_mib, on_cores, proxied, rounds,
)
from competitors import write_certificate  # noqa: E402
from listener import Listener, certificate  # noqa: E402
from portcullis import Demo, free_port, until  # noqa: E402

PROXIES = Path(__file__).parent / "proxies"
AUDIENCE = "https://api.example.org"
TOKENS = 1_000
CONNECTIONS = 32
IDLE_CONNECTIONS = 10_000

CONFIG = """
issuer = "https://localhost:8443"
[listen]
public = "127.0.0.1:8443"
operations = "127.0.0.1:9090"
[database]
url = "sqlite:portcullis.db"
[egress]
allow = ["127.0.0.0/8"]
ca = "{ca}"
[tokens]
remembered = {remembered}
[[token_issuer]]
name = "bench"
issuer = "{issuer}"
audiences = ["{audience}"]
algorithms = ["RS256"]
[[upstream]]
name = "service"
servers = ["http://127.0.0.1:{upstream}"]
[[route]]
name = "plain"
path = "/plain"
upstream = "service"
authenticate = ["none"]
policy = false
[[route]]
name = "full"
path = "/full"
upstream = "service"
authenticate = ["bearer"]
issuers = ["bench"]
limits = [{{ key = "subject", rate = "1000000/s" }}]
policy = false
[policy]
files = ["{policies}"]
[[route]]
name = "pipeline"
path = "/pipeline"
methods = ["POST"]
upstream = "service"
authenticate = ["bearer"]
issuers = ["bench"]
limits = [{{ key = "subject", rate = "1000000/s" }}]
openapi = "{contract}"
"""
POLICIES = """
permit (principal is User, action in Action::"write", resource == Route::"pipeline")
when { principal.scopes.contains("write") && principal.issuer == "bench" };
forbid (principal, action, resource) when { context.ip.isInRange(ip("192.0.2.0/24")) };
"""
CONTRACT = """
openapi: 3.1.0
paths:
  /pipeline:
    post:
      parameters: [{ name: limit, in: query, schema: { type: integer, maximum: 100 } }]
      requestBody:
        required: true
        content:
          application/json:
            schema: { type: object, required: [name], properties: { name: { type: string, maxLength: 20 }, mail: { type: string, format: email }, tags: { type: array, items: { type: string } } } }
      responses:
        "200": { description: ok, content: { application/json: { schema: { type: object, properties: { filler: { type: string } } } } } }
"""


class Proxy:
    """A program of another project, with a file made for this run."""

    def __init__(self, stack, command, template, cores, port, **values):
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        self.file = directory / template
        values = {"directory": directory, **values}
        self.file.write_text((PROXIES / template).read_text().format(**values))
        self.log = open(directory / "out", "wb")
        with on_cores(cores):
            self.process = subprocess.Popen(
                [*command, self.file], stdout=self.log, stderr=self.log
            )
        stack.callback(self.stop)
        until(lambda: answers(port) or self.process.poll() is not None, f"{command[0]} to start")
        assert self.process.poll() is None, (directory / "out").read_text()

    def stop(self):
        self.process.terminate()
        self.process.wait(30)

    @property
    def pid(self):
        """The process that works: nginx has one more, which only watches."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return int(children[0]) if children else self.process.pid


def answers(port):
    import socket

    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


# A small body of JSON, with its head, as Lua writes it.
BODY = (r"Content-Type: application/json\r\nContent-Length: 56\r\n\r\n"
        r"{\"name\":\"ada\",\"mail\":\"ada@example.org\",\"tags\":[\"a\",\"b\"]}")


class Tokens:
    """An issuer of its own and its tokens."""

    def __init__(self, directory):
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.key = jwk.RSAKey.import_key(key)
        pem, self.ca = certificate(directory)
        self.listener = Listener(pem)
        self.issuer = self.listener.url
        public = self.key.as_dict(private=False)
        self.listener.documents = {
            "/.well-known/openid-configuration": {"issuer": self.issuer, "jwks_uri": f"{self.issuer}/keys"},
            "/keys": {"keys": [{**public, "kid": "one", "use": "sig", "alg": "RS256"}]},
        }
        self.public_pem = directory / "public.pem"
        self.public_pem.write_bytes(key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo))
        self.directory = directory

    def script(self, count):
        """A script for wrk whose requests show one token after the other."""
        now = int(time.time())
        path = self.directory / f"tokens-{count}"
        with open(path, "w") as file:
            for number in range(count):
                claims = {
                    "iss": self.issuer, "aud": AUDIENCE, "sub": f"user-{number % 500}", "exp": now + 3600,
                    "iat": now, "jti": f"t-{number}", "client_id": "bench", "scope": "read write",
                    "filler": "x" * 120,
                }
                headers = {"alg": "RS256", "kid": "one", "typ": "at+jwt"}
                file.write(jwt.encode(headers, claims, self.key) + "\n")
        made = {}
        for name, method, more in (("full", "GET /full", ""), ("pipeline", "POST /pipeline?limit=5", BODY)):
            made[name] = self.directory / f"{name}-{count}.lua"
            made[name].write_text(self.lua(path, method, more))
        return made

    @staticmethod
    def lua(path, method, more):
        return f"""
local made, next_one = {{}}, 0
for token in io.lines({json.dumps(str(path))}) do
  made[#made + 1] = "{method} HTTP/1.1\\r\\nHost: localhost\\r\\nAuthorization: Bearer " .. token .. "\\r\\n{more or chr(92) + "r" + chr(92) + "n"}"
end
request = function()
  next_one = next_one % #made + 1
  return made[next_one]
end
"""


class Gate:
    """The gate, with or without its memory of verified tokens."""

    def __init__(self, stack, tokens, upstream, remembered):
        there = tokens.directory
        (there / "bench.cedar").write_text(POLICIES)
        (there / "bench.yaml").write_text(CONTRACT)
        config = CONFIG.format(
            policies=there / "bench.cedar", contract=there / "bench.yaml", ca=tokens.ca, issuer=tokens.issuer, audience=AUDIENCE, upstream=upstream, remembered=remembered)
        self.demo = Demo(config, services=False, demo=False)
        with on_cores(SERVER_CORES):
            stack.enter_context(self.demo)

    @property
    def pid(self):
        return self.demo.server.pid

    @property
    def port(self):
        return self.demo.ports["PUBLIC"]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", choices=["plain", "cached", "uncached", "pipeline", "latency", "idle"])
    options = parser.parse_args()
    wanted = lambda part: options.only in (None, part)  # noqa: E731
    count, seconds = (2, 2) if options.quick else (5, 5)
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        write_certificate(directory / "certificate", directory / "key")
        pem = directory / "proxy.pem"
        pem.write_bytes((directory / "certificate").read_bytes() + (directory / "key").read_bytes())
        tokens = Tokens(directory)
        ports = {name: free_port() for name in ("upstream", "plain", "full", "nginx")}
        Proxy(stack, ["nginx", "-c"], "service.conf", LOAD_CORES, ports["upstream"], **ports, filler="x" * 487)
        haproxy = Proxy(stack, ["haproxy", "-db", "-f"], "haproxy.cfg", SERVER_CORES, ports["full"], **ports,
                        pem=pem, issuer=tokens.issuer, audience=AUDIENCE, public_key=tokens.public_pem)
        nginx = Proxy(stack, ["nginx", "-c"], "nginx.conf", SERVER_CORES, ports["nginx"], pem=pem,
                      upstream=ports["upstream"], plain=ports["nginx"])
        gate = Gate(stack, tokens, ports["upstream"], 8192)
        forgetful = Gate(stack, tokens, ports["upstream"], 0)

        def run(pid, port, path, script=None):
            return proxied(pid, f"https://localhost:{port}{path}", CONNECTIONS, seconds, script)

        machine()
        print("\n| job | Portcullis | HAProxy | nginx | ours / theirs | aim |\n|---|---|---|---|---|---|", flush=True)
        if wanted("plain"):
            (us, ha, ng), note = rounds(
                count, lambda: run(gate.pid, gate.port, "/plain"),
                lambda: run(haproxy.pid, ports["plain"], "/plain"),
                lambda: run(nginx.pid, ports["nginx"], "/plain"),
            )
            row("plain proxying", note, us, ha, ng, f"{us.micros / ng.micros:.2f} of nginx", "1.00 of nginx")
        script = tokens.script(TOKENS)
        for part, server, aim in (("cached", gate, 1 / 4), ("uncached", forgetful, 1 / 1.8)):
            if wanted(part):
                (us, ha), note = rounds(
                    count, lambda: run(server.pid, server.port, "/full", script["full"]),
                    lambda: run(haproxy.pid, ports["full"], "/full", script["full"]),
                )
                row(f"the whole job, token {part}", note, us, ha, None, f"{us.micros / ha.micros:.2f}", f"{aim:.2f}")
        if wanted("pipeline"):
            (us, plain), note = rounds(
                count, lambda: run(gate.pid, gate.port, "/pipeline", script["pipeline"]),
                lambda: run(gate.pid, gate.port, "/plain"),
            )
            row("the whole job, a contract both ways and two policies (POST)", note, us, None, None,
                f"{us.micros / plain.micros:.2f} of our plain proxying", "1.60")
        if wanted("latency"):
            for rate in (2_000, 5_000):
                taken = [
                    (paced(gate.port, "/full", tokens, rate, seconds), paced(ports["full"], "/full", tokens, rate, seconds))
                    for _ in range(count)
                ]
                ours, theirs = (statistics.median(column) for column in zip(*taken))
                print(f"| p99 at {rate} requests/s, one token, HTTP/1.1 over TLS | {ours:.2f} ms | {theirs:.2f} ms | – | {ours / theirs:.2f} | 1.00 |", flush=True)
        if wanted("idle"):
            idle = Gate(stack, tokens, ports["upstream"], 8192)
            before = memory_mib(idle.pid)
            held = hold(idle.port, IDLE_CONNECTIONS)
            print(f"| memory with {len(held)} idle TLS connections | {memory_mib(idle.pid):.0f} MiB (before: {before:.0f}) | – | – | – | 400 MiB |", flush=True)
            for connection in held:
                connection.close()


def paced(port, path, tokens, rate, seconds):
    """The 99th percentile, in ms, of requests that begin at a fixed rate, whatever became of those
    before."""
    token = (tokens.directory / f"tokens-{TOKENS}").read_text().split("\n", 1)[0]
    log = tokens.directory / "latency"
    log.unlink(missing_ok=True)
    with on_cores(LOAD_CORES):
        subprocess.run(
            ["h2load", "--h1", "-c", "20", "-t", "1", f"--rps={rate // 20}", f"--duration={seconds}", f"--log-file={log}",
             "-H", f"authorization: Bearer {token}", f"https://localhost:{port}{path}"],
            check=True, capture_output=True,
        )
    lines = [line.split("\t") for line in log.read_text().splitlines()]
    assert len(lines) > rate * seconds * 0.8 and all(status == "200" for _, status, _ in lines), len(lines)
    return statistics.quantiles((int(micros) for _, _, micros in lines), n=100)[98] / 1000


def hold(port, count):
    """Connections that are open, shook hands, and ask nothing."""
    import socket
    import ssl

    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    held = []
    with on_cores(LOAD_CORES):
        for number in range(count):
            plain = socket.create_connection(("127.0.0.1", port), 10, (f"127.9.{number // 500}.1", 0))
            held.append(context.wrap_socket(plain, server_hostname="localhost"))
    return held


def row(name, note, us, ha, ng, ratio, aim):
    cell = lambda c: f"{c.micros:.1f} µs ({c.done}, {c.errors} errors)" if c else "–"  # noqa: E731
    name = f"{name} ({note})" if note else name
    print(f"| {name} | {cell(us)} | {cell(ha)} | {cell(ng)} | {ratio} | {aim} |", flush=True)


def machine():
    with open("/proc/cpuinfo") as info:
        model = next(line.split(":")[1].strip() for line in info if line.startswith("model name"))
    versions = [
        subprocess.run(command, capture_output=True, text=True).stdout.splitlines()
        or subprocess.run(command, capture_output=True, text=True).stderr.splitlines()
        for command in (["haproxy", "-v"], ["nginx", "-v"])
    ]
    print(f"{model}, {os.cpu_count()} cores, Linux {platform.release()}; {'; '.join(v[0] for v in versions)}; "
          f"{CONNECTIONS} connections; steal up to {MAX_STEAL:.0%} a round")


if __name__ == "__main__":
    main()
