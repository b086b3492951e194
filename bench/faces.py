"""An exact search for a face among a million, ours beside faiss (a flat scan over the same bytes), each on one core, in turns.

Needs numpy and faiss-cpu. A million faces of 512 numbers, of 900,000 people: each tenth is a second picture of somebody."""

import argparse
import json
import os
import subprocess
import tempfile
import time
from pathlib import Path

import faiss
import numpy as np

HERE = Path(__file__).parent
TARGET = HERE.parent / "target/bench-faces"
SIDE = 512


def made(count, seed=7):
    """Vectors as models make them: near each other for one person (a cosine of about 0.7), and not for two."""
    chance = np.random.default_rng(seed)
    for start in range(0, count, 100_000):
        some = chance.standard_normal((min(100_000, count - start), SIDE)).astype(np.float32)
        some[9::10] = 0.72 * some[8::10] + 0.69 * some[9::10]
        yield np.rint(some * (127 / np.abs(some).max(axis=1, keepdims=True))).astype(np.int8)


def theirs(path, count, searches, threshold):
    faiss.omp_set_num_threads(1)
    index = faiss.IndexScalarQuantizer(SIDE, faiss.ScalarQuantizer.QT_8bit_direct_signed, faiss.METRIC_INNER_PRODUCT)
    whole = np.memmap(path, dtype=np.int8, mode="r").reshape(-1, SIDE)
    for start in range(0, count, 100_000):
        index.add(whole[start:start + 100_000].astype(np.float32))
    times = []
    for one in range(searches):
        asked = whole[one * (count // searches)].astype(np.float32).reshape(1, -1)
        began = time.perf_counter()
        index.search(asked, 50)
        times.append((time.perf_counter() - began) * 1e3)
    times.sort()
    return {"median_ms": round(times[searches // 2], 2), "p99_ms": round(times[searches * 99 // 100], 2)}


def main():
    asked = argparse.ArgumentParser()
    asked.add_argument("--faces", type=int, default=1_000_000)
    asked.add_argument("--searches", type=int, default=200)
    asked.add_argument("--threshold", type=float, default=0.4)
    asked = asked.parse_args()
    subprocess.run(["cargo", "build", "-q", "--release", "--manifest-path", HERE / "faces/Cargo.toml", "--target-dir", TARGET], check=True)
    with tempfile.TemporaryDirectory(prefix="faces-") as directory:
        path = Path(directory) / "faces"
        with path.open("wb") as out:
            for some in made(asked.faces):
                out.write(some.tobytes())
        os.sched_setaffinity(0, {1})
        for _ in range(2):
            command = [TARGET / "release/bench-faces", path, str(asked.searches), str(asked.threshold)]
            ours = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            print("portcullis", json.dumps(ours))
            print("faiss", json.dumps(theirs(path, asked.faces, asked.searches, asked.threshold)))


main()
