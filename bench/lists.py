#!/usr/bin/env python3
"""Lists of the administration API with a million rows each: how long a page takes, at the beginning and deep inside.
Prints Markdown.

    cargo build --release -p portcullis-server
    python3 bench/lists.py                   # a million of each, in SQLite
    python3 bench/lists.py --rows 100000

Needs the Python packages of the clients' tests and two gigabytes of disk. Client and server share the machine."""

import argparse
import os
import sqlite3
import statistics
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests/clients"))
target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
os.environ.setdefault("PORTCULLIS_BIN", str(target / "release"))

from portcullis import Demo, until  # noqa: E402

API = "/api/admin/v1"


def copies(db, table, count, change):
    """Rows like the one that is there, each changed."""
    cursor = db.execute(f"SELECT * FROM {table} LIMIT 1")
    names = [column[0] for column in cursor.description]
    first = dict(zip(names, cursor.fetchone()))
    rows = (tuple({**first, **change(first, at)}.values()) for at in range(count))
    db.executemany(f"INSERT INTO {table} ({','.join(names)}) VALUES ({','.join('?' * len(names))})", rows)
    db.commit()


def fill(path, count):
    db = sqlite3.connect(path)
    copies(db, "account", count, lambda _, at: {
        "id": f"usr_{at:026d}", "username": f"person{at:07d}", "email": f"person{at:07d}@example.org",
        "roles": "" if at % 10_000 else "auditor",
    })
    copies(db, "issued_certificate", count, lambda row, at: {
        "serial": f"{at + 10**9:032x}", "created_at": row["created_at"] - at, "expires_at": row["expires_at"] + 10**12,
        "spiffe_id": f"spiffe://portcullis.local/service/{at % 1000}", "how": "enrolment",
    })
    copies(db, "subject_request", count, lambda row, at: {"id": f"dsr_{at:026d}", "due_at": row["due_at"] + at * 1000})
    db.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--times", type=int, default=50)
    asked = parser.parse_args()
    with Demo(services=False) as demo:
        known = lambda: until((demo.data / "demo.json").exists, "the demo")
        known()
        demo.operator().post(f"{API}/subject-requests", json={"kind": "access", "requester": "somebody"})
        demo.stop()
        fill(demo.data / "portcullis.db", asked.rows)
        demo.start()
        known()
        operator = demo.operator()
        deep = asked.rows * 9 // 10
        last = lambda path: operator.get(f"{API}/{path}", params={"limit": 100}).json()["next"].split(".")
        certificate, request = int(last("certificates")[0]), int(last("subject-requests")[0])
        pages = [
            ("accounts, the first", "users", {}),
            ("accounts, deep inside", "users", {"after": f"usr_{deep:026d}"}),
            ("accounts by how they begin", "users", {"username": "person0999"}),
            ("roles", "roles", {}),
            ("certificates, the newest", "certificates", {}),
            ("certificates, deep inside", "certificates", {"after": f"{certificate - deep}.0"}),
            ("certificates of one workload", "certificates", {"spiffe_id": "spiffe://portcullis.local/service/7"}),
            ("requests, those that are due first", "subject-requests", {}),
            ("requests, deep inside", "subject-requests", {"after": f"{request + deep * 1000}.dsr"}),
        ]
        print(f"| A page of 100 of {asked.rows:,} rows, {asked.times} times | median | slowest |\n|---|---|---|")
        for name, path, more in pages:
            took = []
            for _ in range(asked.times):
                began = time.perf_counter()
                answer = operator.get(f"{API}/{path}", params={"limit": 100, **more})
                took.append((time.perf_counter() - began) * 1000)
                assert answer.status_code == 200 and answer.json()["items"], answer.text
            print(f"| {name} | {statistics.median(took):.1f} ms | {max(took):.1f} ms |", flush=True)


main()
