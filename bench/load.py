"""Load and clocks of the comparison: which core runs what, what a process used, and connections that
stay open."""

import asyncio
import json
import os
import re
import ssl
import statistics
import subprocess
import tempfile
import time
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

SERVER_CORES, LOAD_CORES = {0}, {1}
# What the hypervisor took away is missing in one of the two; more than this spoils a round.
MAX_STEAL = 0.02
# Rounds that may be tried beyond the wanted ones, so that a busy machine does not go on for ever.
SPARE_ROUNDS = 3
# Others may use this much of the server's core before it is mentioned.
MENTIONED = 0.05
ANSWER_SECONDS = 20
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@contextmanager
def on_cores(cores):
    """What is started in this block stays on these cores: a server counts them when it starts."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def cpu_seconds(pid):
    """The user and system time of all threads, those that ended included: what /proc/PID/stat has as
    utime and stime, in ns instead of ticks of 10 ms (clock_getcpuclockid(3))."""
    return time.clock_gettime(~pid << 3 | 2)


def memory_mib(pid, kind="VmRSS"):
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split(f"{kind}:")[1].split()[0]) / 1024


def machine_ticks():
    """All ticks of the machine since it started, those that were stolen, and those that anything
    ran on the server's core."""
    with open("/proc/stat") as file:
        lines = {name: list(map(int, ticks[:8])) for name, *ticks in map(str.split, file) if "cpu" in name}
    user, nice, system, _, _, irq, softirq, _ = lines["cpu0"]
    return sum(lines["cpu"]), lines["cpu"][7], user + nice + system + irq + softirq


def fdatasync_micros():
    """What it takes to make the next KiB of a file durable: median and 95th percentile."""
    taken = []
    with tempfile.TemporaryFile() as file:
        for _ in range(200):
            begun = time.perf_counter()
            file.write(bytes(1024))
            file.flush()
            os.fdatasync(file.fileno())
            taken.append((time.perf_counter() - begun) * 1e6)
    return statistics.quantiles(taken, n=20)[9::9]


@dataclass
class Sample:
    """What a server did in a stretch of time."""

    done: int = 0
    errors: int = 0
    cpu: float = 0
    seconds: float = 0
    steal: float = 0
    # What others used of the server's core: it does not count as steal, but makes everything wait.
    others: float = 0

    @property
    def micros(self):
        return self.cpu / max(self.done, 1) * 1e6


@contextmanager
def measured(pid, sample=None):
    """Fills in what the server used in this block."""
    sample = sample or Sample()
    before = machine_ticks()
    begun, used = time.perf_counter(), cpu_seconds(pid)
    yield sample
    sample.cpu, sample.seconds = cpu_seconds(pid) - used, time.perf_counter() - begun
    ticks, stolen, busy = (after - start for after, start in zip(machine_ticks(), before))
    sample.steal = stolen / max(ticks, 1)
    sample.others = max(0, busy / TICKS_PER_SECOND - sample.cpu) / sample.seconds


class Column:
    """One competitor's samples of one kind of work."""

    def __init__(self, samples):
        self.samples = samples
        self.micros = statistics.median(sample.micros for sample in samples)
        self.per_cpu_second = 1e6 / self.micros
        self.per_second = statistics.median(sample.done / sample.seconds for sample in samples)
        self.done = sum(sample.done for sample in samples)
        self.errors = sum(sample.errors for sample in samples)


def rounds(wanted, *works):
    """Does the works in turn, A B A B, and returns a column for each; a round with too much steal
    does not count. If none is left, all count, and it is said."""
    kept, spoilt = [], []
    while len(kept) < wanted and len(kept) + len(spoilt) < wanted + SPARE_ROUNDS:
        taken = [work() for work in works]
        good = all(sample.steal <= MAX_STEAL for sample in taken)
        (kept if good else spoilt).append(taken)
    notes = [f"{len(spoilt)} of {len(kept) + len(spoilt)} rounds dropped for steal"] if spoilt else []
    if not kept:
        kept, notes = spoilt, ["every round had too much steal, and all were counted"]
    others = max(sample.others for taken in kept for sample in taken)
    if others > MENTIONED:
        notes.append(f"others used up to {others:.0%} of the server's core")
    return [Column(column) for column in zip(*kept)], "; ".join(notes)


def wrk(server, path, form, headers, connections, seconds):
    """Sends one form again and again over some connections, each without waiting for the others."""
    script = 'wrk.method = "POST"\n' + f"wrk.body = {json.dumps(urlencode(form))}\n"
    named = {"content-type": "application/x-www-form-urlencoded", **headers}
    script += "".join(f"wrk.headers[{json.dumps(k)}] = {json.dumps(v)}\n" for k, v in named.items())
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write(script)
        file.flush()
        run = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", f"{ANSWER_SECONDS}s"]
        with measured(server.pid) as sample:
            said = subprocess.run(
                [*run, "-s", file.name, server.url + path], check=True, capture_output=True, text=True
            ).stdout
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    lost = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", said)
    refused = int(refused.group(1)) if refused else 0
    sample.errors = refused + sum(map(int, lost.groups()) if lost else [])
    sample.done = int(re.search(r"(\d+) requests in", said).group(1)) - refused
    return sample


def proxied(pid, url, connections, seconds, script=None):
    """One request after another over each of the connections; what the proxy used for them."""
    run = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "--timeout", f"{ANSWER_SECONDS}s"]
    run += ["-s", str(script)] if script else []
    with on_cores(LOAD_CORES), measured(pid) as sample:
        said = subprocess.run([*run, url], check=True, capture_output=True, text=True).stdout
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    lost = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", said)
    refused = int(refused.group(1)) if refused else 0
    sample.errors = refused + sum(map(int, lost.groups()) if lost else [])
    sample.done = int(re.search(r"(\d+) requests in", said).group(1)) - refused
    return sample


@dataclass
class Answer:
    status: int
    head: str
    body: bytes

    def header(self, name):
        return re.findall(rf"(?mi)^{name}: *(.*?)\r?$", self.head)

    def json(self):
        return json.loads(self.body)


class Connection:
    """HTTP/1.1 over one TLS connection that stays open, one request after another."""

    def __init__(self, server):
        self.server = server
        self.reader = self.writer = None

    async def open(self):
        self.reader, self.writer = await asyncio.open_connection(
            "127.0.0.1", self.server.port, ssl=self.server.tls, server_hostname="localhost"
        )

    async def ask(self, method, path, form=None, **headers):
        body = urlencode(form).encode() if form is not None else b""
        named = {"host": f"localhost:{self.server.port}", "content-length": len(body), **headers}
        if form is not None:
            named["content-type"] = "application/x-www-form-urlencoded"
        lines = "".join(f"{name}: {value}\r\n" for name, value in named.items())
        request = f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode() + body
        async with asyncio.timeout(ANSWER_SECONDS):
            if self.writer is None:
                await self.open()
            self.writer.write(request)
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
            length = re.search(r"(?mi)^content-length: *(\d+)", head)
            body = await self.reader.readexactly(int(length.group(1))) if length else b""
            assert "chunked" not in head.lower(), head
        return Answer(int(head[9:12]), head, body)

    def close(self):
        if self.writer is not None:
            self.writer.transport.abort()
            self.reader = self.writer = None


class Pool:
    """Connections for requests that do not wait for each other: a free one, or else a new one."""

    def __init__(self, server):
        self.server, self.free = server, []

    async def ask(self, *request, **headers):
        connection = self.free.pop() if self.free else Connection(self.server)
        try:
            answer = await connection.ask(*request, **headers)
        except BaseException:
            connection.close()
            raise
        self.free.append(connection)
        return answer

    def close(self):
        for connection in self.free:
            connection.close()


LOST = (OSError, asyncio.IncompleteReadError, TimeoutError, ssl.SSLError)


async def workers(server, count, work, clock=None):
    """Runs `work(connection, number)` on this many connections at once. The clock starts when they
    are open."""
    connections = [Connection(server) for _ in range(count)]
    try:
        await asyncio.gather(*(connection.open() for connection in connections))
        with clock or nullcontext():
            return await asyncio.gather(*(work(c, n) for n, c in enumerate(connections)))
    finally:
        for connection in connections:
            connection.close()
