"""What the detectors find is answered, told, and can be undone."""

import json
import secrets

import httpx
import pytest

from portcullis import DEMO, Demo, fields, log_in, tokens, until


SESSION = "__Host-portcullis_session"
PASSWORD = "plum rivet otter canvas"


def attempt(client, name, password):
    """With what the browser knows from before, but not logged in."""
    if SESSION in client.cookies:
        client.cookies.delete(SESSION)
    form = {**fields(client.get("/login").text), "username": name, "password": password}
    return client.post("/login", data=form)


def alerts(demo, rule):
    items = demo.operator().get("/api/admin/v1/alerts").json()["items"]
    return [alert for alert in items if alert["rule"] == rule]


def metric(demo, name):
    lines = httpx.get(f"{demo.ops}/metrics").text.splitlines()
    return float(dict(line.rsplit(" ", 1) for line in lines if line and line[0] != "#")[name])


def detect(text, rules=""):
    # The limit of the login door would answer before the detectors do.
    limits = '\n[protect.login]\nlimits = []\n' if "[protect.login]" not in text else ""
    # No test is about seconds that pass but the one that says so.
    delay = "" if "delay" in rules else 'delay = "1ms"'
    return f"{text}\n[detect]\n{delay}\n{rules}\n{limits}"


@pytest.fixture
def watched():
    with Demo(detect(DEMO), watched=True) as running:
        yield running
        assert "panicked" not in running.log()


def test_an_office_is_asked_for_more_and_not_shut_out(watched):
    """Six people log in from one address. An attack from there leaves it open, but whoever comes
    with a new browser gets a code by mail; whoever is known there does not notice."""
    demo, office = watched, "127.44.4.4"
    people = [demo.new_user(f"worker{n}") for n in range(6)]
    known = []
    for person in people:
        browser = demo.client(office)
        assert attempt(browser, person["username"], PASSWORD).status_code == 303
        known.append(browser)
    names = [demo.new_user(f"victim{n}")["username"] for n in range(8)]
    attacker = demo.client(office)
    for name in names:
        assert attempt(attacker, name, "Summer is coming 2026").status_code == 401
    alert = until(lambda: alerts(demo, "password_spray"), "the alert", 5)[0]
    assert (alert["answer"], alert["addr"], alert["severity"]) == ("step_up", office, 4)
    blocks = demo.operator().get("/api/admin/v1/blocks").json()["items"]
    assert [(block["scope"], block["id"]) for block in blocks if block["addr"] == office] == [
        ("step_up", alert["block_id"])
    ]
    # The password alone is not enough for a new browser.
    person = people[0]
    fresh = demo.client(office)
    answer = attempt(fresh, person["username"], PASSWORD)
    assert answer.status_code == 303 and answer.headers["location"].startswith("/login/mail/code")
    page = fresh.get(answer.headers["location"])
    assert page.status_code == 200 and "This login is unusual" in page.text
    mail = until(lambda: demo.mails(person["email"]), "the mail")[-1]
    code = mail.get_content().split("Your code is ")[1].split()[0]
    wrong = fresh.post("/login/mail/code", data={**fields(page.text), "code": "000000"})
    assert wrong.status_code == 401
    right = fresh.post("/login/mail/code", data={**fields(wrong.text), "code": code})
    assert right.status_code == 303 and fresh.get("/account").status_code == 200
    # A known browser goes on as before, and a wrong password learns nothing.
    assert attempt(known[1], people[1]["username"], PASSWORD).status_code == 303
    assert attempt(demo.client(office), people[2]["username"], "wrong").status_code == 401
    # Undone, the password is enough again.
    assert demo.operator().delete(f"/api/admin/v1/blocks/{alert['block_id']}").status_code == 204
    answer = attempt(demo.client(office), people[3]["username"], PASSWORD)
    assert answer.headers["location"] == "/account"


def test_many_addresses_against_one_account_do_not_lock_its_owner_out(watched):
    demo = watched
    owner = demo.new_user("owner")
    home = demo.client("127.50.0.1")
    assert attempt(home, "owner", PASSWORD).status_code == 303
    for n in range(14):
        assert attempt(demo.client(f"127.{60 + n}.1.1"), "owner", f"guess {n}").status_code == 401
    alert = until(lambda: alerts(demo, "distributed_brute_force"), "the alert", 5)[0]
    assert (alert["accounts"], alert["answer"]) == ([owner["id"]], "step_up")
    assert attempt(home, "owner", PASSWORD).status_code == 303, "a known device"
    # Strangers who have mails sent cannot use up those that a right password causes.
    stranger = demo.client("127.59.0.1")
    for _ in range(6):
        page = stranger.get("/login/mail")
        stranger.post("/login/mail", data={**fields(page.text), "username": "owner"})
    before = len(demo.mails("owner@example.org"))
    answer = attempt(demo.client("127.51.0.1"), "owner", PASSWORD)
    assert answer.headers["location"].startswith("/login/mail/code")
    until(lambda: len(demo.mails("owner@example.org")) > before, "the code")
    # Review by an administrator ends it.
    demo.operator().delete(f"/api/admin/v1/users/{owner['id']}/flag")
    answer = attempt(demo.client("127.51.0.2"), "owner", PASSWORD)
    assert answer.headers["location"] == "/account"


def test_whoever_triggers_suspicion_is_not_known_by_it():
    """A thief has the password. The login is unusual: it ends, and the cookie that it left in the
    browser does not make the next one usual; the owner's own browser goes on."""
    rules = "rules = { unusual_login = { history = 2, score = 12 } }"
    with Demo(detect(DEMO, rules), watched=True) as demo:
        owner = demo.new_user("owner")
        home = demo.client("127.50.0.1", headers={"user-agent": "Firefox"})
        for _ in range(3):
            assert attempt(home, "owner", PASSWORD).status_code == 303
        thief = demo.client("127.150.0.1", headers={"user-agent": "curl"})
        assert attempt(thief, "owner", PASSWORD).headers["location"] == "/account"
        alert = until(lambda: alerts(demo, "unusual_login"), "the alert", 5)[0]
        assert alert["accounts"] == [owner["id"]] and "addr" not in alert
        until(lambda: thief.get("/account").status_code == 303, "the end of the thief's session", 5)
        assert home.get("/account").status_code == 200
        assert attempt(thief, "owner", PASSWORD).headers["location"].startswith("/login/mail/code")
        assert attempt(home, "owner", PASSWORD).headers["location"] == "/account"


def test_whoever_gets_in_after_an_attack_is_out_again_and_not_known(watched):
    demo, thief_at = watched, "127.160.0.1"
    demo.new_user("owner")
    home = demo.client("127.50.0.1")
    assert attempt(home, "owner", PASSWORD).status_code == 303
    thief = demo.client(thief_at)
    for n in range(3):
        assert attempt(thief, f"nobody{n}", f"guess {n}").status_code == 401
    assert attempt(thief, "owner", PASSWORD).headers["location"] == "/account"
    for n in range(3, 6):
        attempt(thief, f"nobody{n}", f"guess {n}")
    alert = until(lambda: alerts(demo, "success_after_attack"), "the alert", 5)[0]
    assert alert["answer"] == "end_sessions" and "addr" not in alert
    # From elsewhere, with the cookie that the login left: it does not count.
    again = demo.client("127.161.0.1")
    again.cookies = thief.cookies
    assert again.get("/account").status_code == 303
    assert attempt(again, "owner", PASSWORD).headers["location"].startswith("/login/mail/code")
    assert attempt(home, "owner", PASSWORD).headers["location"] == "/account", "a known device"


def test_a_stolen_session_ends(watched):
    """The token of one browser is used from another network with another browser."""
    demo = watched
    alice = demo.facts()["users"][0]
    token = tokens(demo, alice, source="127.52.0.1")["access_token"]
    own = demo.client("127.52.0.1", headers={"user-agent": "Firefox"})
    thief = demo.client("127.99.0.1", headers={"user-agent": "curl"})
    bearer = {"authorization": f"Bearer {token}"}
    assert own.get("/profile/me", headers=bearer).status_code == 200
    assert thief.get("/profile/me", headers=bearer).status_code == 200
    alert = until(lambda: alerts(demo, "session_hijack"), "the alert", 5)[0]
    assert alert["answer"] == "end_sessions" and alert["technique"] == "T1539"
    until(lambda: own.get("/profile/me", headers=bearer).status_code == 401, "the end", 5)
    # The events that led to it are in the log.
    logged = {event["metadata"]["uid"] for event in demo.audit("--kind", "gate_allowed")}
    assert set(alert["evidence"]) <= logged


@pytest.mark.parametrize("setting", ['mode = "observe"', 'rules = { password_spray = { mode = "observe" } }',
                                     'allow = ["127.53.0.0/16"]', "max_answers_per_minute = 1"])
def test_answers_can_be_held_back(setting):
    with Demo(detect(DEMO, setting), watched=True) as demo:
        if "max" in setting:  # The one answer of this minute is for another.
            for n in range(5):
                attempt(demo.client("127.54.0.1"), f"nobody{n}", "Spring is coming")
            until(lambda: alerts(demo, "password_spray"), "the first alert", 5)
        client = demo.client("127.53.0.1")
        for n in range(6):
            assert attempt(client, f"somebody{n}", "Summer is coming 2026").status_code == 401
        seen = lambda: [a for a in alerts(demo, "password_spray") if a["addr"] == "127.53.0.1"]
        alert = until(seen, "the alert", 5)[0]
        assert alert["answer"] == "observed" and "block_id" not in alert
        assert client.get("/login").status_code == 200


def test_guessing_is_slowed_before_it_is_an_attack():
    with Demo(detect(DEMO, 'delay = "10min"'), watched=True) as demo:
        demo.new_user("owner", PASSWORD)
        client, home = demo.client("127.64.0.1"), demo.client("127.64.0.1")
        assert attempt(home, "owner", PASSWORD).status_code == 303
        for n in range(3):
            assert attempt(client, f"nobody{n}", f"guess {n}").status_code == 401
        [alert] = until(lambda: alerts(demo, "failed_logins"), "the alert", 5)
        assert (alert["answer"], alert["addr"], alert["severity"]) == ("delay", "127.64.0.1", 2)
        assert attempt(client, "nobody0", "guess again").status_code == 401
        assert attempt(home, "owner", "mistyped").status_code == 401
        waited = [one["unmapped"].get("delayed_ms") for one in demo.audit("--kind", "authn_login_fail")
                  if one.get("unmapped")]
        assert waited == [2000], "the guess, and not the browser that the owner uses"
        # It is a block like others, and can be lifted.
        operator = demo.operator()
        [block] = operator.get("/api/admin/v1/blocks").json()["items"]
        assert block["scope"] == "delay"
        assert operator.delete(f"/api/admin/v1/blocks/{block['id']}").status_code == 204
        assert attempt(client, "nobody0", "guess once more").status_code == 401
        last = demo.audit("--kind", "authn_login_fail")[-1]
        assert "delayed_ms" not in last.get("unmapped", {})


def test_flagged_accounts_wait_for_review(watched):
    demo, operator = watched, watched.operator()
    owner = demo.new_user("owner", PASSWORD)
    thief = demo.client("127.65.0.1")
    for n in range(3):
        attempt(thief, f"nobody{n}", f"guess {n}")
    assert attempt(thief, "owner", PASSWORD).status_code == 303
    for n in range(3, 6):
        attempt(thief, f"nobody{n}", f"guess {n}")
    cases = lambda state="open": operator.get(f"/api/admin/v1/cases?state={state}").json()["items"]
    [case] = until(cases, "the case", 5)
    alert = alerts(demo, "success_after_attack")[0]
    assert (case["account"], case["username"], case["severity"]) == (owner["id"], "owner", 5)
    assert alert["id"] in case["alerts"] and case["reason"] == "success_after_attack"

    here = f"/api/admin/v1/cases/{case['id']}"
    change = lambda **what: operator.patch(here, json=what)
    taken = change(version=case["version"], state="in_review", assignee="ada", note="asked by telephone")
    assert taken.status_code == 200, taken.text
    assert (cases(), cases("in_review")[0]["assignee"]) == ([], "ada")
    late = change(version=case["version"], note="mine")
    assert late.status_code == 409 and "stale" in late.json()["type"]
    version = taken.json()["version"]
    for wrong in ({"state": "closed"}, {"resolution": "whatever"}, {"assignee": "a\u202eb"}, {"note": "a\0b"}, {"note": "x" * 4001}):
        assert change(version=version, **wrong).status_code == 422, wrong
    assert change(note="no version").status_code == 400
    assert change(version=version, note="x", more=1).status_code == 400
    closed = change(version=version, resolution="confirmed").json()
    assert closed["state"] == "closed" and closed["closed_by"] and closed["note"] == "asked by telephone"
    assert change(version=closed["version"], note="more").status_code == 422
    flagged = operator.get("/api/admin/v1/users?flagged=true").json()["items"]
    assert flagged == [] and cases("closed")[0]["id"] == case["id"]
    assert operator.get("/api/admin/v1/cases?state=lost").status_code == 400
    told = demo.audit("--kind", "admin_case_update")
    assert [one["entity_result"]["data"]["state"] for one in told] == ["in_review", "closed"]
    assert "telephone" not in json.dumps(told) and '"ada"' not in json.dumps(told), "a note may say more of somebody than the record should"


def test_who_is_on_duty_gets_a_mail():
    config = detect(DEMO, 'mail = { to = ["duty@example.org"] }')
    with Demo(config, watched=True) as demo:
        client = demo.client("127.66.0.1")
        for n in range(6):
            attempt(client, f"somebody{n}", "Summer is coming 2026")
        [mail] = until(lambda: demo.mails("duty@example.org"), "the mail", 10)
        assert mail["subject"] == "[high] Password spraying from 127.66.0.1"
        text = mail.get_content()
        assert "T1110.003" in text and "The network is blocked for a while." in text
        assert alerts(demo, "password_spray")[0]["id"] in text
        # That of the mildest rule is below what was asked for.
        assert alerts(demo, "failed_logins") and len(demo.mails("duty@example.org")) == 1


def test_lists_of_tor_exits_and_data_centres_are_followed():
    with Demo(detect(DEMO), watched=True) as demo:
        reloads = lambda: sum(one["status_id"] == 1 for one in demo.audit("--kind", "sys_reload"))
        exits = demo.data.parent / "exits.txt"

        def publish(text):
            (new := exits.with_suffix(".new")).write_text(text)
            new.rename(exits)

        publish("# none yet\n")
        demo.configure(detect(DEMO, f'maps = {{ tor = "{exits}" }}'))
        until(lambda: reloads() == 1, "the reload")
        demo.new_user("dora", PASSWORD)
        for _ in range(4):
            assert attempt(demo.client("127.60.0.1"), "dora", PASSWORD).status_code == 303
        assert attempt(demo.client("127.61.0.1"), "dora", PASSWORD).status_code == 303
        before = metric(demo, 'portcullis_map_built_timestamp_seconds{map="tor"}')
        assert before > 0 and not alerts(demo, "unusual_login")

        # A list that is none changes nothing, and says where it is wrong.
        publish("ExitAddress 127.62.0.1 2026-01-01 00:00:00\n<html>\n")
        until(lambda: "line 2: neither an address nor a network" in demo.log(), "the refusal")
        publish("ExitAddress 127.62.0.1 2026-01-01 00:00:00\n")
        until(lambda: reloads() == 2, "the reload")
        assert attempt(demo.client("127.62.0.1"), "dora", PASSWORD).status_code == 303
        [alert] = until(lambda: alerts(demo, "unusual_login"), "the alert", 5)
        assert "a new way through Tor" in alert["description"] and alert["answer"] == "step_up"


def test_what_is_usual_outlives_the_process():
    with Demo(watched=True) as demo:
        log_in(demo.client("127.63.0.1"), "nobody", "x")
        demo.stop()
        kept = demo.data / "watch/baselines.json"
        names = lambda: {(one["subject"], one["name"]) for one in json.loads(kept.read_text())}
        assert ("tenant", "main") in names() and ("route", "portcullis/login") in names()
        kept.write_text("{")
        demo.start()
        until(lambda: "what is usual is learned anew" in demo.log(), "the warning")
        assert demo.client().get("/login").status_code == 200


@pytest.mark.parametrize("off", ['rules = { password_spray = { mode = "off" } }', 'mode = "off"'])
def test_rules_follow_the_configuration_while_it_runs(off):
    with Demo(detect(DEMO, off), watched=True) as demo:
        client = demo.client("127.55.0.1")
        for n in range(6):
            attempt(client, f"somebody{n}", "Summer is coming 2026")
        demo.configure(detect(DEMO, "rules = { password_spray = { same_password_accounts = 2 } }"))
        until(lambda: demo.audit("--kind", "sys_reload"), "the reload")
        client = demo.client("127.56.0.1")
        for n in range(2):
            attempt(client, f"somebody{n}", "Winter is coming 2026")
        alert = until(lambda: alerts(demo, "password_spray"), "the alert", 5)
        assert [one["addr"] for one in alert] == ["127.56.0.1"]


@pytest.mark.parametrize("wrong, why", [
    ('rules = { password_spray = { slow_accounts = 25 } }', "more than the 24 that are remembered"),
    ('rules = { password_spray = { slow_accounts = 0 } }', "at least 1"),
    ('rules = { sprays = {} }', "unknown field"),
    ('allow = ["127.0.0.1/8"]', "is not a network"),
    ('maps = { city = "nowhere.mmdb" }', "nowhere.mmdb"),
    ('mail = { to = ["nobody"] }', "nobody is no mail address"),
])
def test_what_cannot_be_meant_is_refused(own_demo, wrong, why):
    file = own_demo.data.parent / "wrong.toml"
    file.write_text(detect(DEMO, wrong))
    done = own_demo.cli("check", "--config", file, "--data", own_demo.data, check=False)
    assert done.returncode == 1 and why in done.stderr, done.stderr


def test_what_was_seen_is_in_the_metrics(watched):
    demo = watched
    log_in(demo.client("127.57.0.1"), secrets.token_hex(4), "x")
    until(lambda: metric(demo, "portcullis_watch_events_total") > 0, "the count")
    assert metric(demo, "portcullis_watch_dropped_total") == 0
