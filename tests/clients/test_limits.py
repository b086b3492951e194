"""Limits by everything they can go by: rates, quotas that outlive a restart, how many at once, and
failures alone."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from echo import Echo, tell
from portcullis import Demo, bearer, tokens, until

HEAD = """
issuer = "https://localhost:8443"
[listen]
public = "127.0.0.1:8443"
operations = "127.0.0.1:9090"
[database]
url = "{database}"
[client_address]
trusted_proxies = ["127.0.0.9/32"]
[[upstream]]
name = "echo"
servers = ["http://127.0.0.1:{echo}"]
"""


def route(name, limits, authenticate='["none"]'):
    return f"""
[[route]]
name = "{name}"
path = "/{name}/{{*rest}}"
upstream = "echo"
authenticate = {authenticate}
limits = [{limits}]
"""


ROUTES = "".join([
    route("burst", '{ key = "ip", rate = "60/min", burst = 3 }'),
    route("cost", '{ key = "ip", rate = "10/min", cost = 4 }'),
    route("header", '{ key = ["header:X-Tenant", "ip"], rate = "2/min" }'),
    route("wide", '{ key = "ip-48", rate = "3/min" }, { key = "ip", rate = "2/min" }'),
    route("everyone", '{ key = "everyone", rate = "2/min", except = ["127.0.0.8/32"] }'),
    route("client", '{ key = "client", rate = "3/min" }', '["bearer"]'),
    route("shared-a", '{ key = "ip", name = "shared", rate = "3/min" }'),
    route("shared-b", '{ key = "ip", name = "shared", rate = "3/min" }'),
    route("failures", '{ key = "ip", rate = "3/min", count = "failures", block = "10min" }'),
    route("quota", '{ key = "ip", quota = "5/day" }'),
    route("monthly", '{ key = "ip", quota = "100/month", cost = 30 }'),
    route("few", '{ key = "ip", concurrency = 2, queue = 1, wait = "500ms" }'),
])


@pytest.fixture(scope="module")
def slow():
    gate = threading.Event()

    def reply(seen):
        if seen["path"].endswith("/wait"):
            gate.wait(10)
        if seen["path"].endswith("/fail"):
            return 422, [], b"no"
        return tell(seen)

    echo = Echo(reply)
    echo.gate = gate
    return echo


@pytest.fixture(scope="module")
def gate(slow):
    config = HEAD.format(echo=slow.port, database="sqlite:portcullis.db") + ROUTES
    with Demo(config, services=False) as running:
        until((running.data / "demo.json").exists, "demo.json")
        yield running
        assert "panicked" not in running.log()


def ask(gate, path, times, source="127.0.0.1", **headers):
    with gate.client(source) as client:
        return [client.get(path, headers=headers) for _ in range(times)]


def statuses(answers):
    return [answer.status_code for answer in answers]


def test_what_may_come_at_once_and_what_it_costs(gate, source):
    answers = ask(gate, "/burst/x", 4, source)
    assert statuses(answers) == [200, 200, 200, 429]
    assert answers[0].headers["ratelimit-policy"] == '"burst";q=60;w=60'
    assert answers[0].headers["ratelimit"].startswith('"burst";r=2;') and answers[3].headers["retry-after"] == "1"
    assert statuses(ask(gate, "/cost/x", 3, source)) == [200, 200, 429]


def test_keys_and_combinations(gate, source):
    for tenant in ("a", "b"):
        assert statuses(ask(gate, "/header/x", 3, source, **{"x-tenant": tenant})) == [200, 200, 429]
    # Through a proxy: addresses of one /48 count together, and one /64 alone.
    def from_v6(address, times=1):
        return statuses(ask(gate, "/wide/x", times, "127.0.0.9", **{"x-forwarded-for": address}))

    assert from_v6("2001:db8:1:1::1", 3) == [200, 200, 429]
    assert from_v6("2001:db8:1:2::1") == [429], "the /48 is used up, what was refused by the /64 counted too"
    assert from_v6("2001:db8:2:1::1") == [200]
    assert statuses(ask(gate, "/everyone/x", 1, source)) == [200]
    assert statuses(ask(gate, "/everyone/x", 2)) == [200, 429]
    assert statuses(ask(gate, "/everyone/x", 5, "127.0.0.8")) == [200] * 5
    assert statuses(ask(gate, "/shared-a/x", 2, source) + ask(gate, "/shared-b/x", 2, source)) == [200, 200, 200, 429]


def test_people_of_one_client_count_together(gate):
    people = [tokens(gate, person)["access_token"] for person in gate.facts()["users"][:2]]
    answers = [ask(gate, "/client/x", 1, **bearer(people[n % 2]))[0] for n in range(4)]
    assert statuses(answers) == [200, 200, 200, 429]


def test_only_failures_count_and_then_the_door_closes(gate, source):
    assert statuses(ask(gate, "/failures/ok", 20, source)) == [200] * 20
    assert statuses(ask(gate, "/failures/fail", 3, source)) == [422] * 3
    refused = ask(gate, "/failures/ok", 1, source)[0]
    assert refused.status_code == 429 and 590 < int(refused.headers["retry-after"]) <= 600
    listed = gate.operator().get("/api/admin/v1/blocks").json()
    assert any(block["scope"] == "failures" and block["addr"] == source for block in listed["items"]), listed


def test_no_more_than_a_few_at_once(gate, slow, source):
    def one(_):
        return ask(gate, "/few/wait", 1, source)[0]

    with ThreadPoolExecutor(4) as pool:
        slow.gate.clear()
        before = len(slow.seen)
        asked = [pool.submit(one, n) for n in range(4)]
        until(lambda: len(slow.seen) == before + 2, "two on their way")
        refused = until(lambda: [a for a in asked if a.done()] if sum(a.done() for a in asked) == 2 else None, "two refusals")
        slow.gate.set()
        assert sorted(statuses(a.result() for a in asked)) == [200, 200, 429, 429]
        assert all(a.result().headers["retry-after"] == "1" for a in refused)
    assert statuses(ask(gate, "/few/x", 5, source)) == [200] * 5


@pytest.mark.parametrize("database", ["sqlite:portcullis.db", "postgres"])
def test_a_quota_outlives_a_restart(slow, postgres_url, database):
    server, schema = postgres_url
    url = f"{server}?options[search_path]={schema}" if database == "postgres" else database
    config = HEAD.format(echo=slow.port, database=url) + ROUTES
    with Demo(config, services=False, demo=False) as gate:
        answers = ask(gate, "/quota/x", 3)
        assert statuses(answers) == [200] * 3 and answers[2].headers["ratelimit"].startswith('"quota";r=2;')
        assert answers[0].headers["ratelimit-policy"] == '"quota";q=5;w=86400'
        assert statuses(ask(gate, "/monthly/x", 4)) == [200, 200, 200, 429]
        gate.stop()
        gate.start()
        answers = ask(gate, "/quota/x", 3)
        assert statuses(answers) == [200, 200, 429]
        assert int(answers[2].headers["retry-after"]) <= 86_400
        assert statuses(ask(gate, "/monthly/x", 1)) == [429]


@pytest.mark.parametrize("limit, why", [
    ('{ key = "ip" }', "needs one of rate"), ('{ key = "ip", rate = "1/s", quota = "1/day" }', "needs one of rate"),
    ('{ key = "who", rate = "1/s" }', "is none of ip"), ('{ key = [], rate = "1/s" }', "is none of ip"),
    ('{ key = "ip", quota = "5/week" }', "expected a quota"), ('{ key = "ip", rate = "5/s", cost = 6 }', "costs more"),
    ('{ key = "ip", quota = "5/day", block = "1min" }', "belong to a rate"), ('{ key = "ip", concurrency = 0 }', "0 would"),
    ('{ key = "header:bad name", rate = "1/s" }', "is none of ip"),
])
def test_limits_that_make_no_sense_are_refused(gate, tmp_path, limit, why):
    path = tmp_path / "portcullis.toml"
    path.write_text(HEAD.format(echo=1, database="sqlite:x.db") + route("r", limit))
    told = gate.cli("check", "--config", path, check=False)
    assert told.returncode == 1 and why in told.stderr, told.stderr
