#!/usr/bin/env python3
"""Sessions of verification over TLS: how many are begun in a second with SQLite, each in the database and in the
log before it is answered, and what those cost that wait. Prints Markdown.

    cargo build --release -p portcullis-server
    python3 bench/sessions.py                # 20,000 sessions
    python3 bench/sessions.py --sessions 100000

Needs Debian's `h2load` (nghttp2-client) and the Python packages of the clients' tests. Client and server share
the machine."""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests/clients"))
target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
os.environ.setdefault("PORTCULLIS_BIN", str(target / "release"))

from load import fdatasync_micros, measured, memory_mib  # noqa: E402
from portcullis import Demo  # noqa: E402

GRAPH = {
    "schema": "idv.workflow/1",
    "start": "zone",
    "nodes": {
        "zone": {"type": "check", "check": "mrz", "next": "chip"},
        "chip": {"type": "check", "check": "emrtd", "from": "zone", "next": "end"},
        "end": {"type": "decide", "rule": "fold"},
    },
}
SESSION = {
    "workflow": "kyc", "reference": "customer-7", "locale": "de", "metadata": {"order": 7},
    "expected": {"surname": "Mustermann", "given_names": "Erika", "date_of_birth": "1964-08-12"},
}


def begin(place, token, count, clients, body):
    """Begins so many sessions; how many a second, how many were not, and what the server used for one."""
    command = [
        "h2load", "--h1", "-t", "1", "-c", str(clients), "-n", str(count), "-d", body,
        "-H", f"authorization: Bearer {token}", "-H", "content-type: application/json", f"{place.issuer}/idv/v1/sessions",
    ]
    with measured(place.server.pid) as sample:
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    rate = float(re.search(r"([\d.]+) req/s", said).group(1))
    done = int(re.search(r"(\d+) 2xx", said).group(1))
    sample.done = done
    return rate, count - done, sample.micros


def main():
    parse = argparse.ArgumentParser()
    parse.add_argument("--sessions", type=int, default=20_000)
    parse.add_argument("--clients", type=int, nargs="*", default=[1, 8, 64])
    asked = parse.parse_args()
    median, slow = fdatasync_micros()
    print(f"A KiB is durable after {median:.0f} µs, 95 of 100 after {slow:.0f} µs.\n")
    with Demo() as place, tempfile.NamedTemporaryFile("w", suffix=".json") as body:
        json.dump(SESSION, body)
        body.flush()
        client = place.operator(scope="idv")
        token = client.headers["authorization"].removeprefix("Bearer ")
        made = client.post("/idv/v1/workflows", json={"name": "kyc", "graph": GRAPH}).json()
        client.post(f"/idv/v1/workflows/{made['id']}/publish", json={"revision": 1, "note": ""}).raise_for_status()
        begin(place, token, 500, 8, body.name)
        files = [place.data / "portcullis.db", place.data / "portcullis.db-wal"]
        size = lambda: sum(file.stat().st_size for file in files if file.exists())  # noqa: E731
        before, memory = size(), memory_mib(place.server.pid)
        print("| clients | begun a second | not begun | CPU of one |\n|---|---|---|---|")
        count = 0
        for clients in asked.clients:
            number = asked.sessions if clients == max(asked.clients) else min(2_000, asked.sessions)
            rate, lost, micros = begin(place, token, number, clients, body.name)
            count += number - lost
            print(f"| {clients} | {rate:,.0f} | {lost} | {micros:,.0f} µs |", flush=True)
        rows, grown = (size() - before) / count, memory_mib(place.server.pid) - memory
        print(f"\n{count:,} sessions wait: {rows:,.0f} bytes of the database each; the server has {grown:+,.0f} MiB.")


if __name__ == "__main__":
    main()
