"""Nothing that was acknowledged is lost: not by kill -9, a full disk or a lost database."""

import itertools
import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import httpx
import pytest

from portcullis import DEMO, Demo, log_in, tokens, until

# No limit at the door, so that detection has something to see.
QUIET = DEMO + "\n[protect.login]\nlimits = []\n[detect]\ndelay = \"1ms\"\n"


def hammer(demo, acknowledged, stop, number):
    """Makes accounts as fast as it can and notes each one that was answered with 201."""
    operator = demo.operator(f"127.7.0.{number + 1}")
    for count in itertools.count():
        if stop.is_set():
            return
        name = f"u{number}-{count}-{time.monotonic_ns()}"[:32].rstrip("-")
        try:
            answer = operator.post("/api/admin/v1/users", json={
                "username": name, "email": f"{name}@example.org", "password": "plum rivet otter canvas"})
        except httpx.TransportError:
            return
        if answer.status_code == 201:
            acknowledged.append((answer.json()["id"], answer.headers["x-request-id"]))


def test_kill_at_any_moment_loses_nothing_acknowledged(own_demo):
    demo = own_demo
    acknowledged = []
    for round in range(4):
        stop = threading.Event()
        threads = [threading.Thread(target=hammer, args=(demo, acknowledged, stop, n)) for n in range(3)]
        before = len(acknowledged)
        for thread in threads:
            thread.start()
        until(lambda: len(acknowledged) >= before + 3 + round, "some work")
        demo.kill()
        stop.set()
        for thread in threads:
            thread.join()
        verified = demo.cli("audit", "verify", "--data", demo.data, check=False)
        assert verified.returncode == 0, verified.stdout + verified.stderr
        demo.start()
    operator = demo.operator("127.7.1.1")
    logged = {event["entity"]["uid"] for event in demo.audit("--kind", "admin_user_create")}
    events = [event["metadata"]["uid"] for event in demo.audit()]
    assert len(events) == len(set(events)), "no event is recorded twice"
    for user, _ in acknowledged:
        assert operator.get(f"/api/admin/v1/users/{user}").status_code == 200, user
        assert user in logged, user


def test_a_log_that_cannot_grow_stops_answers_but_loses_nothing(own_demo):
    """A full disk, made with a limit on the size of files that the process itself is under."""
    demo = own_demo
    alice = demo.facts()["users"][0]
    assert log_in(demo.client("127.8.0.1"), alice["username"], alice["password"]).status_code == 303
    until(lambda: demo.logs() and (demo.logs()[-1] / "checkpoint").exists(), "a checkpoint")
    pid = demo.server.pid
    size = (demo.logs()[-1] / "entries").stat().st_size
    done = subprocess.run(["prlimit", f"--fsize={size}:unlimited", "--pid", str(pid)], capture_output=True)
    assert done.returncode == 0, done.stderr
    refused = log_in(demo.client("127.8.0.2"), alice["username"], alice["password"])
    assert refused.status_code == 503 and "retry-after" in refused.headers
    assert httpx.get(f"{demo.ops}/readyz").status_code == 503
    subprocess.run(["prlimit", "--fsize=unlimited:unlimited", "--pid", str(pid)], check=True)
    until(lambda: httpx.get(f"{demo.ops}/readyz").status_code == 200, "recovery")
    assert log_in(demo.client("127.8.0.3"), alice["username"], alice["password"]).status_code == 303
    demo.stop()
    assert demo.cli("audit", "verify", "--data", demo.data).returncode == 0
    events = [event["metadata"]["uid"] for event in demo.audit()]
    assert len(events) == len(set(events))
    demo.start()


@pytest.fixture(scope="session")
def faults(tmp_path_factory):
    """A library that makes a disk or a clock of a process fail, when a file says so."""
    made = tmp_path_factory.mktemp("faults") / "faults.so"
    source = Path(__file__).parent / "faults.c"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", made, source], check=True)
    return made


class Faulty(Demo):
    def __init__(self, library, directory, **how):
        super().__init__(**how)
        self.library, self.faults = library, directory

    @property
    def env(self):
        return {**super().env, "LD_PRELOAD": str(self.library), "FAULTS": str(self.faults)}


def test_after_a_flush_that_failed_nothing_is_acknowledged_any_more(faults, tmp_path):
    """Nobody knows what is on disk then, and a flush that works later proves nothing of it."""
    with Faulty(faults, tmp_path) as demo:
        operator = demo.operator()
        new = lambda name: operator.post("/api/admin/v1/users", json={
            "username": name, "email": f"{name}@example.org", "password": "plum rivet otter canvas"})
        made = [new("before").json()["id"]]
        (tmp_path / "flush").touch()
        assert new("meanwhile").status_code == 503
        (tmp_path / "flush").unlink()
        # The disk works again; the process has seen it lie.
        for n in range(3):
            assert new(f"after{n}").status_code == 503
        assert httpx.get(f"{demo.ops}/readyz").status_code == 503
        assert log_in(demo.client(), "alice", "whatever it is").status_code == 503
        demo.stop()
        verified = demo.cli("audit", "verify", "--data", demo.data, check=False)
        assert verified.returncode == 0, verified.stdout + verified.stderr
        demo.start()
        operator = demo.operator()
        made.append(new("later").json()["id"])
        logged = [event["entity"]["uid"] for event in demo.audit("--kind", "admin_user_create")]
        assert [user for user in logged if user in made] == made and len(logged) == len(set(logged))
        # Of what was answered with 503 each is there with its event, or not at all.
        users = {user["id"] for user in operator.get("/api/admin/v1/users?limit=200").json()["items"]}
        assert set(logged) <= users


def test_a_clock_that_is_set_is_told_of_and_turns_nothing_around(faults, tmp_path):
    set_clock = lambda seconds: (tmp_path / "clock").write_text(str(seconds))
    set_clock(0)
    with Faulty(faults, tmp_path, watched=True, config=QUIET) as demo:
        steps = lambda: [event["unmapped"]["step_ms"] for event in demo.audit("--kind", "sys_clock_step")]
        made = [demo.new_user("first")["id"]]
        set_clock(7200)
        [forward] = until(steps, "the event of the step")
        assert abs(forward - 7_200_000) < 1_500
        made.append(demo.new_user("second")["id"])
        set_clock(-86_400)
        until(lambda: len(steps()) == 2, "the event of the step back")
        made.append(demo.new_user("third")["id"])
        # Detection goes by a clock that nobody sets.
        client = demo.client("127.8.0.1")
        for n in range(4):
            assert log_in(client, f"nobody{n}", "Winter is coming").status_code == 401
        told = lambda: demo.operator().get("/api/admin/v1/alerts").json()["items"]
        until(lambda: any(alert["rule"] == "password_spray" for alert in told()), "the alert")
        logged = [event["entity"]["uid"] for event in demo.audit("--kind", "admin_user_create")]
        assert [user for user in logged if user in made] == made, "the order is that of the log"
        errors = [line for line in demo.log().splitlines() if " ERROR " in line]
        assert not errors, errors
        demo.stop()
        verified = demo.cli("audit", "verify", "--data", demo.data, check=False)
        assert verified.returncode == 0, verified.stdout + verified.stderr
        set_clock(0)
        demo.start()
        assert demo.operator().get("/api/admin/v1/users").status_code == 200


def test_postgresql_and_a_lost_connection(postgres_url):
    from pathlib import Path

    server, schema = postgres_url
    config = (Path(__file__).parents[2] / "crates/server/src/demo.toml").read_text()
    url = f"{server}?options[search_path]={schema}&application_name={schema}"
    with Demo(config.replace("sqlite:portcullis.db", url)) as demo:
        alice = demo.facts()["users"][0]
        good = tokens(demo, alice)
        cut = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '{schema}'"
        for _ in range(3):
            subprocess.run(["psql", server, "-qtc", cut], check=True, capture_output=True)
            client = demo.client("127.8.1.1")
            path = "/profile/me"
            answer = client.get(path, headers={"authorization": f"Bearer {good['access_token']}"})
            assert answer.status_code == 200, "tokens are checked without a database"
            until(lambda: demo.ready(), "the database")
        assert log_in(demo.client("127.8.1.2"), alice["username"], alice["password"]).status_code == 303
        assert demo.cli("audit", "verify", "--data", demo.data).returncode == 0
        assert "panicked" not in demo.log()


def test_wrong_configurations_are_refused_by_name(tmp_path):
    from portcullis import BIN

    def check(text):
        path = tmp_path / "portcullis.toml"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        done = subprocess.run([BIN / "portcullis", "check", "--config", path], capture_output=True, text=True)
        assert "panicked" not in done.stderr
        return done

    from pathlib import Path

    good = (Path(__file__).parents[2] / "crates/server/src/demo.toml").read_text()
    assert check(good).returncode == 0
    for change, word in [
        (("issuer =", "isuer ="), "isuer"), (("8443\"\n\n", "x\"\n\n"), "issuer"),
        (("120/min", "120/minute"), "rate"), (("5s", "5 seconds"), "time"),
        (("127.0.0.1:7001", "127.0.0.1:7001/path"), "profile"), (('upstream = "admin"', 'upstream = "x"'), "x"),
        (("spiffe://portcullis.local/service/back-office", "spiffe://BAD"), "SPIFFE"),
        (("{*rest}", "{*rest}/more"), "route"), (("/profile/{*rest}", "/login"), "login"),
    ]:
        done = check(good.replace(*change))
        assert done.returncode == 1 and word in done.stderr, (change, done.stderr)
    assert check(b"\xff\xfe").returncode == 1
    assert check("x" * 2_000_000).returncode == 1
    missing = subprocess.run([BIN / "portcullis", "check", "--config", tmp_path / "none"], capture_output=True)
    assert missing.returncode == 1


def test_stop_by_signal_is_clean(own_demo):
    own_demo.server.send_signal(signal.SIGINT)
    assert own_demo.server.wait(20) == 0
    codes = [event["metadata"]["event_code"] for event in own_demo.audit("--kind", "sys_")]
    assert codes == ["sys_startup", "sys_shutdown"]


def test_two_nodes_on_one_database_keep_logs_of_their_own(postgres_url):
    from pathlib import Path
    import shutil

    server, schema = postgres_url
    config = (Path(__file__).parents[2] / "crates/server/src/demo.toml").read_text()
    config = config.replace("sqlite:portcullis.db", f"{server}?options[search_path]={schema}")
    with Demo(config, services=False, demo=False) as first:
        second = Demo(config, services=False, demo=False)
        second.data.mkdir(parents=True)
        shutil.copy(first.data / "kek", second.data / "kek")
        with second:
            for _ in range(2):
                for node in (first, second):
                    log_in(node.client(), "nobody", "wrong wrong wrong wrong")
                    node.stop()
                    node.start()
            names = {(node.data / "audit-origin").read_text() for node in (first, second)}
            assert len(names) == 2, "one key must not sign two logs under one name"
            for node in (first, second):
                assert node.cli("audit", "verify", "--data", node.data).returncode == 0
            first.stop()
            shutil.rmtree(first.data / "audit")
            refused = first.cli("up", "--data", first.data, "--config",
                                Path(first.directory.name) / "portcullis.toml", check=False)
            assert refused.returncode == 1 and "remembers" in refused.stderr, refused.stderr
