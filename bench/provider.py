"""Portcullis as an OpenID provider beside oidc-provider for Node, in one run on one machine: CPU time
for tokens, introspection, refreshes and codes; then what only Portcullis does: password logins against
their hash, tokens while logins queue, and memory with many sessions. Prints Markdown.

Needs `wrk`, the Python packages of the clients' tests, and `npm ci` in bench/peer."""

import argparse
import asyncio
import os
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests/clients"))
target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
os.environ.setdefault("PORTCULLIS_BIN", str(target / "release"))

from competitors import CALLBACK, LEAST_HASH, Peer, Portcullis, cipher  # noqa: E402
from load import (  # noqa: E402
    LOAD_CORES, LOST, MAX_STEAL, SERVER_CORES, SPARE_ROUNDS, Pool, Sample, fdatasync_micros,
    measured, memory_mib, rounds, workers, wrk,
)

CONNECTIONS = 16
# More than the server hashes at once, so that it is never idle, and few enough that none is refused.
LOGIN_CONNECTIONS = 4
HASH = {"memory_kib": 19456, "passes": 2}
TOKENS_EVERY = 0.02
LOGINS_PER_SECOND = 50
CLIENTS = {"es256": "ES256", "eddsa": "EdDSA"}
# oidc-provider introspects no JWT, so it is asked about an opaque token.
OPAQUE = {"opaque": None}
GRANT = {"grant_type": "client_credentials", "scope": "api"}


class Sizes:
    """How much of everything, in a full run and in a quick one."""

    def __init__(self, quick):
        self.rounds, self.seconds, self.warm = (2, 1, 1) if quick else (5, 3, 2)
        self.chain, self.codes = (10, 80) if quick else (60, 400)
        self.queue_seconds = 4 if quick else 20
        self.sessions, self.people = (300, 100) if quick else (10_000, 1_000)


def say(text=""):
    print(text, flush=True)


def progress(text):
    print(f"… {text}", file=sys.stderr, flush=True)


def row(*cells):
    say("| " + " | ".join(cells) + " |")


def table(*titles):
    say()
    row(*titles)
    say("|" + "---|" * len(titles))


def beside(name, aim, sizes, ours, theirs):
    """A row of the comparison: both warm up, then take turns."""
    progress(name)
    for _ in range(sizes.warm):
        ours(), theirs()
    (us, them), note = rounds(sizes.rounds, ours, theirs)
    cells = [
        f"{c.micros:.0f} µs ({c.per_cpu_second:.0f}/CPU-s; {c.done}, {c.errors} errors)" for c in (us, them)
    ]
    row(name + (f" ({note})" if note else ""), *cells, f"{them.micros / us.micros:.2g}", aim)


def tokens(server, client, seconds):
    headers = server.basic(client)
    return lambda: wrk(server, server.token, GRANT, headers, CONNECTIONS, seconds)


def introspections(server, client, seconds):
    headers = server.basic(client)

    async def get():
        pool = Pool(server)
        made = (await pool.ask("POST", server.token, GRANT, **headers)).json()
        asked = await pool.ask("POST", server.introspection, {"token": made["access_token"]}, **headers)
        assert asked.json()["active"] is True, asked.body
        pool.close()
        return made["access_token"]

    # A token lives five minutes, so every round takes a new one.
    def work():
        form = {"token": asyncio.run(get())}
        return wrk(server, server.introspection, form, headers, CONNECTIONS, seconds)

    return work


def redemption(code, verifier):
    return {
        "grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK,
        "code_verifier": verifier,
    }


async def redeemed(server, client, pending, sample):
    """Redeems these codes and returns the refresh tokens."""
    headers = server.basic(client)

    async def work(connection, _):
        found = []
        while pending:
            answer = await answered(connection, redemption(*pending.pop()), headers, sample)
            if answer:
                found.append(answer["refresh_token"])
        return found

    found = await workers(server, CONNECTIONS, work, measured(server.pid, sample))
    return [token for some in found for token in some]


async def answered(connection, form, headers, sample):
    """The tokens, or nothing; counted either way."""
    try:
        answer = await connection.ask("POST", connection.server.token, form, **headers)
    except LOST:
        connection.close()
        sample.errors += 1
        return None
    if answer.status != 200:
        sample.errors += 1
        return None
    sample.done += 1
    return answer.json()


def codes(server, client, count):
    def work():
        sample = Sample()
        pending = asyncio.run(server.codes(client, count))
        asyncio.run(redeemed(server, client, pending, sample))
        return sample

    return work


def refreshes(server, client, length):
    """Chains of refreshes, one beside the other; a round goes on where the last one ended."""
    headers = server.basic(client)
    latest = []

    async def begin():
        pending = await server.codes(client, CONNECTIONS)
        latest.extend(await redeemed(server, client, pending, Sample()))
        assert len(latest) == CONNECTIONS, "not every code was good"

    async def go_on(sample):
        async def chain(connection, number):
            for _ in range(length):
                form = {"grant_type": "refresh_token", "refresh_token": latest[number]}
                answer = await answered(connection, form, headers, sample)
                if not answer:
                    return
                latest[number] = answer["refresh_token"]

        await workers(server, len(latest), chain, measured(server.pid, sample))

    def work():
        if not latest:
            asyncio.run(begin())
        sample = Sample()
        asyncio.run(go_on(sample))
        return sample

    return work


def compare(us, them, sizes):
    tries = sizes.rounds + SPARE_ROUNDS + sizes.warm
    us.log_in_people(tries * sizes.codes + CONNECTIONS)
    them.log_in_person("es256")
    table("what", "Portcullis", f"oidc-provider {Peer.version['oidc-provider']}", "ratio", "aim")
    for client, alg in CLIENTS.items():
        name, aim = f"client credentials, JWT, {alg}", "≥ 10" if alg == "ES256" else "–"
        beside(name, aim, sizes, *(tokens(server, client, sizes.seconds) for server in (us, them)))
    ours, theirs = introspections(us, "es256", sizes.seconds), introspections(them, "opaque", sizes.seconds)
    beside("introspection: JWT, ES256, against an opaque token", "–", sizes, ours, theirs)
    works = (refreshes(server, "es256", sizes.chain) for server in (us, them))
    beside(f"refresh, rotating, {CONNECTIONS} chains, ES256", "–", sizes, *works)
    beside("authorization code, PKCE, ES256", "–", sizes,
           *(codes(server, "es256", sizes.codes) for server in (us, them)))


def logins(server, seconds):
    """The form with the right password, again and again."""
    person = server.people(1, "login")[0]
    form, cookie = server.login_page()
    filled = {**form, **person}
    return lambda: wrk(server, "/login", filled, {"cookie": cookie}, LOGIN_CONNECTIONS, seconds)


def compare_logins(full, sizes):
    """The hash alone is not to be had from outside. Without it, next to nothing else changes: the rest
    is what a login costs with the smallest hash. And two passes more cost about one hash more, and
    leave the rest as it is, cold caches included."""
    progress("password logins")
    costs = [LEAST_HASH, {**HASH, "passes": 2 * HASH["passes"]}]
    with Portcullis(**costs[0]) as least, Portcullis(**costs[1]) as double:
        works = [logins(server, sizes.seconds) for server in (full, least, double)]
        for work in works:
            work()
        (full, least, double), note = rounds(sizes.rounds, *works)
    table("password logins, CPU time of one", "µs", "logins/CPU-s", "logins", "errors")
    names = ["19 MiB, 2 passes", "8 KiB, 1 pass", "19 MiB, 4 passes"]
    for name, column in zip(names, (full, least, double)):
        row(name, f"{column.micros:.0f}", f"{column.per_cpu_second:.1f}", str(column.done), str(column.errors))
    say()
    # Differences of the same round: what others do to the caches changes from one to the next.
    for way, more, less in (
        ("login without the smallest one", full, least), ("two passes more", double, full),
    ):
        pairs = zip(more.samples, less.samples)
        hashing = statistics.median(one.micros - other.micros for one, other in pairs)
        say(f"- hash from {way}: {hashing:.0f} µs, which alone allows {1e6 / hashing:.1f} logins/CPU-s; "
            f"measured {full.per_cpu_second:.1f}, {1 - hashing / full.micros:.1%} fewer (aim: 5 %)")
    if note:
        say(f"- {note}")


async def every(interval, seconds, work):
    """Begins `work` at fixed times, whether or not the last one is done."""
    begun, tasks = time.perf_counter(), []
    for number in range(int(seconds / interval)):
        await asyncio.sleep(begun + number * interval - time.perf_counter())
        tasks.append(asyncio.create_task(work(number)))
    await asyncio.gather(*tasks)


async def queue(server, people, per_second, seconds):
    """Tokens at fixed times, beside logins at fixed times: latencies in ms and what became of both."""
    form, cookie = server.login_page()
    headers, outcomes, latencies = server.basic("es256"), {}, []
    pools = [Pool(server), Pool(server)]

    def count(kind, what):
        outcomes[kind, what] = outcomes.get((kind, what), 0) + 1

    async def token(_):
        begun = time.perf_counter()
        try:
            answer = await pools[0].ask("POST", server.token, GRANT, **headers)
        except LOST as error:
            return count("token", type(error).__name__)
        latencies.append((time.perf_counter() - begun) * 1000)
        count("token", answer.status)

    async def login(number):
        filled = {**form, **people[number % len(people)]}
        try:
            answer = await pools[1].ask("POST", "/login", filled, cookie=cookie)
        except LOST as error:
            return count("login", type(error).__name__)
        count("login", answer.status)

    # Connections are there before the clock runs: clients of a provider keep theirs.
    for pool in pools:
        await asyncio.gather(*(pool.ask("GET", "/.well-known/openid-configuration") for _ in range(16)))
    streams = [every(TOKENS_EVERY, seconds, token)]
    if per_second:
        streams.append(every(1 / per_second, seconds, login))
    with measured(server.pid) as sample:
        await asyncio.gather(*streams)
    for pool in pools:
        pool.close()
    return latencies, outcomes, sample


def measure_queue(pinned, sizes):
    progress("tokens while logins queue")
    table("tokens, one every 20 ms", "p50", "p95", "p99", "worst", "tokens", "logins", "server's cores",
          "steal", "others on core 0")
    with Portcullis(cores=SERVER_CORES | LOAD_CORES, **HASH) as wide:
        wide.register("es256", "ES256")
        for server, cores in ((pinned, "one core"), (wide, "both cores, shared with the load")):
            people = server.people(20, "queued")
            for per_second in (0, LOGINS_PER_SECOND):
                seconds = sizes.queue_seconds if per_second else sizes.queue_seconds / 4
                result = asyncio.run(queue(server, people, per_second, seconds))
                queue_row(f"{cores}, {per_second} logins/s", *result)
    say()
    say("Aim: p95 below 5 ms. 303 is a login, 503 one that was turned away because too many wait.")


def queue_row(name, latencies, outcomes, sample):
    found = statistics.quantiles(latencies, n=100, method="inclusive")
    times = [f"{ms:.1f} ms" for ms in (found[49], found[94], found[98], max(latencies))]
    became = [
        ", ".join(f"{n} × {what}" for (kind, what), n in sorted(outcomes.items(), key=str) if kind == wanted)
        for wanted in ("token", "login")
    ]
    cores = f"{sample.cpu / sample.seconds:.2f}"
    row(name, *times, became[0], became[1] or "–", cores, f"{sample.steal:.1%}", f"{sample.others:.0%}")


async def log_in_all(server, people, count):
    """The session cookies of this many logins."""
    form, cookie = server.login_page()
    numbers = list(range(count))

    async def work(connection, _):
        found = []
        while numbers:
            filled = {**form, **people[numbers.pop() % len(people)]}
            answer = await connection.ask("POST", "/login", filled, cookie=cookie)
            assert answer.status == 303, answer
            cookies = [text.split(";")[0] for text in answer.header("set-cookie")]
            found += [pair for pair in cookies if "session=" in pair]
        return found

    found = await workers(server, CONNECTIONS, work)
    return [cookie for some in found for cookie in some]


async def use_all(server, cookies):
    """Opens the account page in every session; returns how many still were sessions."""
    pending = list(cookies)

    async def work(connection, _):
        live = 0
        while pending:
            live += (await connection.ask("GET", "/account", cookie=pending.pop())).status == 200
        return live

    return sum(await workers(server, CONNECTIONS, work))


def measure_memory(sizes):
    progress("memory with sessions")
    table("memory (RSS)", "MiB", "most so far")

    def memory(name):
        figures = [f"{memory_mib(server.pid, kind):.1f}" for kind in ("VmRSS", "VmHWM")]
        row(name, *figures)

    with Portcullis(**LEAST_HASH) as server:
        memory("after the start")
        people = server.people(sizes.people)
        memory(f"{sizes.people} accounts, made through the API")
        cookies = asyncio.run(log_in_all(server, people, sizes.sessions))
        memory(f"{len(cookies)} sessions by password logins (8 KiB, 1 pass)")
        live = asyncio.run(use_all(server, cookies))
        memory(f"every session used: {live} live")
        server.restart(**HASH)
        live = asyncio.run(use_all(server, cookies))
        memory(f"after a restart with 19 MiB, 2 passes, every session used: {live} live")
        asyncio.run(log_in_all(server, people, 50))
        memory("and 50 logins")
        time.sleep(3)
        memory("three seconds later")
    say()
    say("Aim: below 128 MiB with 10,000 live sessions.")


def describe(servers):
    with open("/proc/cpuinfo") as info:
        model = next(line.split(":")[1].strip() for line in info if line.startswith("model name"))
    say(f"{model}, {os.cpu_count()} cores, {platform.release()}; medians of rounds A B A B; a round with "
        f"more than {MAX_STEAL:.0%} steal is dropped.")
    used = {name: asyncio.run(cipher(server)) for name, server in servers.items()}
    say(f"Server on core 0, load on core 1, {CONNECTIONS} connections that stay open. "
        + "; ".join(f"{name}: {text}" for name, text in used.items()) + ".")
    sync = "{:.0f} µs (p95 {:.0f})".format(*fdatasync_micros())
    say(f"Portcullis: SQLite, an fdatasync for every commit ({sync} alone), and an audit log that is on "
        f"disk before the answer; argon2id {HASH['memory_kib']} KiB, {HASH['passes']} passes. "
        f"oidc-provider: everything in memory, no log; Node {Peer.version['node']}, NODE_ENV=production.")


PARTS = ["compare", "logins", "queue", "memory"]


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--quick", action="store_true", help="small counts, to see that it works")
    options.add_argument("--only", choices=PARTS, action="append", help="these parts; all if left out")
    asked = options.parse_args()
    sizes, parts = Sizes(asked.quick), asked.only or PARTS
    begun = time.perf_counter()
    os.sched_setaffinity(0, LOAD_CORES)
    with tempfile.TemporaryDirectory(prefix="provider-") as directory, Portcullis(**HASH) as us:
        for client, alg in CLIENTS.items():
            us.register(client, alg)
        with Peer(Path(directory), CLIENTS | OPAQUE) as them:
            describe({"Portcullis": us, "oidc-provider": them})
            if "compare" in parts:
                compare(us, them, sizes)
        if "logins" in parts:
            compare_logins(us, sizes)
        if "queue" in parts:
            measure_queue(us, sizes)
    if "memory" in parts:
        measure_memory(sizes)
    progress(f"{time.perf_counter() - begun:.0f} s")


if __name__ == "__main__":
    main()
