"""The gate beside HAProxy and nginx, in one run on one machine: CPU time of a request, and its latency
at the same rate. Prints Markdown.

The job: TLS that stays open, a token checked (RS256, issuer, audience, time), a limit for each subject,
one structured event, 500 bytes of JSON from the service. Needs Debian's `haproxy`, `nginx`, `wrk` and
`nghttp2-client`, and the Python packages of the clients' tests."""

import argparse
import json
import os
import platform
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
    LOAD_CORES, MAX_STEAL, SERVER_CORES, cpu_seconds, memory_mib, on_cores, proxied, rounds,
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
[[route]]
name = "full"
path = "/full"
upstream = "service"
authenticate = ["bearer"]
issuers = ["bench"]
limits = [{{ key = "subject", rate = "1000000/s" }}]
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
        script = self.directory / f"tokens-{count}.lua"
        script.write_text(f"""
local made, next_one = {{}}, 0
for token in io.lines({json.dumps(str(path))}) do
  made[#made + 1] = "GET /full HTTP/1.1\\r\\nHost: localhost\\r\\nAuthorization: Bearer " .. token .. "\\r\\n\\r\\n"
end
request = function()
  next_one = next_one % #made + 1
  return made[next_one]
end
""")
        return script


class Gate:
    """The gate, with or without its memory of verified tokens."""

    def __init__(self, stack, tokens, upstream, remembered):
        config = CONFIG.format(
            ca=tokens.ca, issuer=tokens.issuer, audience=AUDIENCE, upstream=upstream, remembered=remembered)
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
    parser.add_argument("--only", choices=["plain", "cached", "uncached", "latency", "idle"])
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

        def run(pid, port, path, script=None, rate=None, connections=CONNECTIONS):
            return proxied(pid, f"https://localhost:{port}{path}", connections, seconds, script, rate)

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
                    count, lambda: run(server.pid, server.port, "/full", script),
                    lambda: run(haproxy.pid, ports["full"], "/full", script),
                )
                row(f"the whole job, {part}", note, us, ha, None, f"{us.micros / ha.micros:.2f}", f"{aim:.2f}")


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
