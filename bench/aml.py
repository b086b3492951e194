#!/usr/bin/env python3
"""Screening as a service, over TLS: single questions, batches of JSON lines with and without subjects that are
kept, and how long monitored subjects take to be compared with a new version of a list. Prints Markdown.

    cargo build --release -p portcullis-server
    python3 bench/aml.py                     # the lists of OFAC in crates/screening/tests/lists

Needs the Python packages of the clients' tests. Client and server share the machine."""

import argparse
import csv
import io
import json
import os
import random
import statistics
import sys
import tempfile
import threading
import time
import zlib
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests/clients"))
target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
os.environ.setdefault("PORTCULLIS_BIN", str(target / "release"))

from portcullis import Demo, until  # noqa: E402

LISTS = ROOT / "crates/screening/tests/lists"
SCREEN = "/idv/v1/aml/screen"
JSON_LINES = {"content-type": "application/x-ndjson"}
ASKERS = 4


def list_of_ofac(directory):
    """The files of the list, and the names of people on it."""
    for name in ("sdn", "alt", "add"):
        packed = LISTS / f"{name}.csv.zlib"
        if packed.exists():
            (directory / f"{name}.csv").write_bytes(zlib.decompress(packed.read_bytes()))
    text = (directory / "sdn.csv").read_text("latin-1")
    rows = [row for row in csv.reader(io.StringIO(text)) if len(row) > 2]
    return directory / "sdn.csv", [row[1] for row in rows if row[2] == "individual"]


def subjects(names, count, rng):
    """Names made of parts of listed ones, as customers have: some are near, most are nobody."""
    first = [name.split(", ")[1].split()[0] for name in names if ", " in name]
    last = [name.split(", ")[0].title() for name in names if ", " in name]
    for number in range(count):
        name = f"{rng.choice(first)} {rng.choice(last)}"
        year = str(rng.randrange(1940, 2005))
        properties = {"name": [name], "birthDate": [year]}
        yield {"subject": {"schema": "Person", "properties": properties}, "reference": f"c{number}"}


def without(subject):
    return {key: value for key, value in subject.items() if key != "reference"}


def singles(demo, asked, seconds):
    """Questions a second of some askers, and how long one takes."""
    times, lock, stop = [], threading.Lock(), time.monotonic() + seconds

    def ask(part):
        client, own = demo.operator(scope="aml"), []
        for subject in part:
            begin = time.perf_counter()
            assert client.post(SCREEN, json=subject).status_code == 200
            own.append(time.perf_counter() - begin)
            if time.monotonic() > stop:
                break
        with lock:
            times.extend(own)

    threads = [threading.Thread(target=ask, args=(asked[at::ASKERS],)) for at in range(ASKERS)]
    begin = time.perf_counter()
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    times.sort()
    return len(times) / (time.perf_counter() - begin), times


def batch(client, asked):
    body = "\n".join(map(json.dumps, asked))
    begin = time.perf_counter()
    answer = client.post(SCREEN, content=body, headers=JSON_LINES, timeout=600)
    taken = time.perf_counter() - begin
    lines = answer.text.splitlines()
    assert len(lines) == len(asked) and not any('"error"' in line for line in lines)
    return len(asked) / taken, sum(json.loads(line)["match"] for line in lines)


def monitoring(demo, client, count):
    """Seconds from the end of an import until the hit of a new entity is there."""
    listed = [{"id": f"N{n}", "schema": "Person", "properties": {"name": [f"Quoxx Zyrblat {n}"]}} for n in range(2_000)]
    file = demo.data / "watch.json"

    def put(entities):
        file.write_text("".join(json.dumps(one) + "\n" for one in entities))
        demo.cli("aml", "import", "--data", demo.data, "--list", "watch", "--format", "ftm", "--file", file)

    put(listed)
    version = lambda: {one["name"]: one["version"] for one in client.get("/idv/v1/aml/lists").json()["items"]}
    until(lambda: "watch" in version(), "the list")
    sought = {"schema": "Person", "properties": {"name": ["Wilhelmina Grasshoff"]}}
    client.post("/idv/v1/aml/monitors", json={"subject": sought, "reference": "sought"})
    time.sleep(20)
    put([*listed, {"id": "X1", "schema": "Person", "properties": {"name": ["Wilhelmina Grasshoff"]}}])
    begin = time.perf_counter()
    while not any(e["unmapped"]["cause"] == "list_change" for e in demo.audit("--kind", "aml_rescreened", "--text", "X1")):
        assert time.perf_counter() - begin < 300, f"{count} subjects take too long"
        time.sleep(0.1)
    return time.perf_counter() - begin


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--subjects", type=int, default=20_000)
    arguments.add_argument("--seconds", type=float, default=10)
    asked = arguments.parse_args()
    rng = random.Random(7)
    with tempfile.TemporaryDirectory() as directory, Demo(services=False) as demo:
        until(lambda: (demo.data / "demo.json").exists(), "demo.json")
        file, names = list_of_ofac(Path(directory))
        demo.cli("aml", "import", "--data", demo.data, "--list", "ofac", "--format", "ofac-csv", "--file", file,
                 "--skip-malformed")
        client = demo.operator(scope="aml")
        entities = until(lambda: client.get("/idv/v1/aml/lists").json()["items"], "the list")[0]["entities"]
        people = list(subjects(names, asked.subjects, rng))
        once = [without(one) for one in people]
        print(f"{entities} entities, {asked.subjects} subjects, {os.cpu_count()} cores shared with the client\n")
        print("| what | a second | |\n|---|---|---|")
        rate, times = singles(demo, once, asked.seconds)
        p99 = times[len(times) * 99 // 100]
        print(f"| single, {ASKERS} clients | {rate:.0f} | median {statistics.median(times) * 1e3:.1f} ms, "
              f"p99 {p99 * 1e3:.1f} ms |")
        rate, matches = batch(client, once)
        print(f"| batch | {rate:.0f} | {matches} matches |")
        rate, _ = batch(client, [{**one, "monitor": True} for one in people])
        print(f"| batch, kept and monitored | {rate:.0f} | |")
        taken = monitoring(demo, client, asked.subjects)
        print(f"| monitored subjects compared with one new entity | {asked.subjects / taken:.0f} "
              f"| {taken:.1f} s after the import, with up to 2 s until the list is noticed |")


if __name__ == "__main__":
    main()
