"""Start, memory, login and proxying of the release build, each against what it is compared with, in
one run. Prints medians; needs `wrk` and the Python packages of the clients' tests."""

import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import urlencode

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests/clients"))
BIN = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"
os.environ["PORTCULLIS_BIN"] = str(BIN)


def rss_mib(pid):
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def wrk(url, token=None, form=None):
    """The median latency in µs of one connection that sends one request after another. A `form` is
    a body and a cookie; refusals are what some of those are for."""
    options = ["-H", f"authorization: Bearer {token}"] if token else []
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        if form:
            body, cookie = (json.dumps(text) for text in form)
            script.write(f"""wrk.method = "POST"
wrk.body = {body}
wrk.headers["content-type"] = "application/x-www-form-urlencoded"
wrk.headers["cookie"] = {cookie}
""")
            script.flush()
            options += ["-s", script.name]
        run = ["wrk", "-t1", "-c1", "-d3s", "--latency", *options, url]
        said = subprocess.run(run, check=True, capture_output=True, text=True).stdout
    assert "Socket errors" not in said and (form or "Non-2xx" not in said), said
    count, unit = re.search(r"50%\s+([\d.]+)(us|ms)", said).groups()
    return float(count) * {"us": 1, "ms": 1000}[unit]


def main():
    names = ["portcullis-server", "profile-service", "admin-service"]
    build = ["cargo", "build", "--release", "-q"] + [a for n in names for a in ("-p", n)]
    if "--built" not in sys.argv:
        subprocess.run(build, cwd=ROOT, check=True)
    from portcullis import Demo, fields, tokens

    with open("/proc/cpuinfo") as info:
        model = next(line.split(":")[1].strip() for line in info if line.startswith("model name"))
    print(f"{model}, {os.cpu_count()} cores, {platform.release()}; medians, SQLite, argon2id 19 MiB × 2")

    config = (ROOT / "crates/server/src/demo.toml").read_text()
    config = config.replace('rate = "120/min"', 'rate = "1000000/s"')
    # The same request both ways: the service answers it without looking at the token.
    config += '\n[[route]]\nname = "bench"\npath = "/healthz"\nupstream = "profile"\nauthenticate = ["bearer"]\nscopes = ["profile"]\nlimits = [{ key = "subject", rate = "1000000/s" }]\n'
    config += '\n[protect.login]\nlimits = [{ key = "ip", rate = "1000000/s" }]\n'
    with Demo(config) as demo:
        alice = demo.facts()["users"][0]
        token = tokens(demo, alice)["access_token"]
        time.sleep(3)
        print(f"idle memory: {rss_mib(demo.server.pid):.1f} MiB")

        service = f"http://127.0.0.1:{demo.ports['PROFILE']}/healthz"
        gated_service = f"https://localhost:{demo.ports['PUBLIC']}/healthz"
        whole_way = f"https://localhost:{demo.ports['PUBLIC']}/profile/me"
        samples = [(wrk(service), wrk(gated_service, token), wrk(whole_way, token)) for _ in range(5)]
        base, gated, whole = (statistics.median(column) for column in zip(*samples))
        print(f"a request to the service directly, plain HTTP: {base:.0f} µs; through the gate with TLS, token,")
        print(f"  limit, upstream's token and event: {gated:.0f} µs, so the gate adds {gated - base:.0f} µs (client's TLS included);")
        print(f"  with the service checking its token as well: {whole:.0f} µs")

        page = demo.client().get("/login")
        cookie = page.headers["set-cookie"].split(";")[0]
        login_url = f"https://localhost:{demo.ports['PUBLIC']}/login"

        def login(password):
            form = {**fields(page.text), "username": alice["username"], "password": password}
            return wrk(login_url, form=(urlencode(form), cookie))

        # A password that is too long is refused without hashing: the difference is the hash.
        rounds = [(login(alice["password"]), login("x"), login("x" * 2000)) for _ in range(5)]
        good, bad, unhashed = (statistics.median(column) for column in zip(*rounds))
        hashing = bad - unhashed
        print(f"login over TLS: {good / 1000:.2f} ms, of which argon2id {hashing / 1000:.2f} ms; beyond the hash "
              f"{(good - hashing) / 1000:.2f} ms")
        print(f"  (one transaction, one durable event; a refusal beyond the hash: {unhashed / 1000:.2f} ms)")

        demo.stop()
        starts = []
        for _ in range(7):
            demo.services = False
            begun = time.perf_counter()
            demo.start()
            starts.append(time.perf_counter() - begun)
            demo.stop()
        print(f"start to ready with an existing data directory: {statistics.median(starts) * 1000:.0f} ms")


if __name__ == "__main__":
    main()
