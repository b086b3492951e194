"""The console in an attack: what is going on, who is behind it, whom an answer hits, and that a cookie alone decides nothing
that cannot be taken back."""

import json
import os
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

import tlog
from portcullis import DEMO, Demo, log_in, officer, pkce, until
from test_console import OFTEN, OWN, PASSWORD, entered, session
from test_detection import attempt

MEASURES = "/api/admin/v1/measures"


@pytest.fixture(scope="module")
def place():
    with Demo(DEMO + OFTEN, watched=True) as running:
        yield running
        assert "panicked" not in running.log()


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return Path(os.environ.get("PORTCULLIS_PICTURES") or tmp_path_factory.mktemp("console"))


@pytest.fixture(scope="module")
def sprayed(place):
    """Somebody tries one password on many accounts, from an address that alice is logged in from."""
    alice = place.facts()["users"][0]
    with place.client("127.77.0.1") as browser:
        assert log_in(browser, alice["username"], alice["password"]).status_code == 303
    for name in [place.new_user(f"victim{n}")["username"] for n in range(8)]:
        with place.client("127.77.0.1") as browser:
            if attempt(browser, name, "Summer is coming 2026").status_code == 429:
                break
    operator = place.operator()
    found = lambda: [one for one in operator.get("/api/admin/v1/alerts").json()["items"] if one["rule"] == "password_spray"]
    return until(found, "the finding")[0]


def series(told, name):
    return next(one for one in told["series"] if one["name"] == name)


def test_what_happens_is_counted_over_time(place, sprayed):
    operator = place.operator()
    assert place.client().get("/profile/me").status_code == 401
    measures = lambda **asked: operator.get(MEASURES, params=asked)
    counted = until(lambda: (told := measures().json()) and series(told, "login_failures")["total"] >= 3 and series(told, "refused")["total"] and told, "the count")
    assert len(counted["at"]) <= 300 and all(len(one["values"]) == len(counted["at"]) for one in counted["series"])
    assert counted["step_seconds"] == 300 and counted["at"] == sorted(counted["at"])
    assert series(counted, "logins")["total"] >= 1 and series(counted, "alerts")["total"] >= 1
    assert series(counted, "requests")["total"] >= series(counted, "refused")["total"] > 0
    halves = [series(counted, f"latency_p{share}")["total"] for share in (50, 95, 99)]
    assert halves == sorted(halves) and halves[0] > 0
    # What is usual is not made up.
    assert counted["periods"] == 0 and all(one["usual"] == [] and one.get("usual_total") is None for one in counted["series"])
    # Before there was anything, nothing is told.
    empty = measures(**{"from": "2026-01-01T00:00:00Z", "until": "2026-01-02T00:00:00Z"}).json()
    assert all(one["total"] in (0, None) for one in empty["series"])
    for bad in ({"from": "x"}, {"from": "2026-01-02T00:00:00Z", "until": "2026-01-01T00:00:00Z"}, {"from": "2020-01-01T00:00:00Z"}):
        assert measures(**bad).status_code == 400, bad


def test_it_is_told_live_to_whoever_may_know(place):
    operator = place.operator()
    with operator.stream("GET", f"{MEASURES}/live") as stream:
        assert stream.headers["content-type"] == "text/event-stream" and stream.headers["cache-control"] == "no-store"
        lines = stream.iter_lines()
        heard = lambda: json.loads(next(line for line in lines if line.startswith("data: "))[6:])
        before = heard()
        with place.client("127.77.0.9") as browser:
            attempt(browser, "nobody-here", "x")
        failures = lambda told: series(told, "login_failures")["value"]
        # The value is a mean: it goes down while nothing happens, and up with this.
        higher = failures(before)
        for _ in range(20):
            now = failures(heard())
            if now > higher:
                break
            higher = now
        else:
            raise AssertionError("nothing was told")
    assert officer(place, "lena", scope="idv").get(f"{MEASURES}/live").status_code == 403
    assert place.client().get(f"{MEASURES}/live").status_code == 401


def test_so_many_may_listen_and_no_more(place):
    operator = place.operator()
    open_now = []
    try:
        refused = None
        for _ in range(40):
            stream = operator.stream("GET", f"{MEASURES}/live")
            answer = stream.__enter__()
            open_now.append(stream)
            if answer.status_code != 200:
                refused = answer
                break
        assert refused is not None and refused.status_code in (429, 503) and len(open_now) == 17
        # That is one of them, and nobody else is kept out.
        with session(place, place.facts()["admin"]).stream("GET", f"{MEASURES}/live", headers=OWN) as other:
            assert other.status_code == 200
    finally:
        for stream in open_now:
            stream.__exit__(None, None, None)
    # Whoever went away makes place.
    until(lambda: place.operator().stream("GET", f"{MEASURES}/live").__enter__().status_code == 200, "a place")


def test_whom_a_block_hits_is_told_before(place, sprayed):
    operator = place.operator("127.0.0.1")
    ask = lambda addr: operator.post("/api/admin/v1/blocks/preview", json={"addr": addr})
    hit = ask("127.77.0.0/24").json()
    alice = place.facts()["users"][0]["username"]
    known = operator.get("/api/admin/v1/users", params={"username": alice}).json()["items"][0]["id"]
    assert [one["id"] for one in hit["accounts"]] == [known] and (hit["logins"], hit["account_count"]) == (1, 1)
    assert not hit["contains_you"] and not hit["more"] and hit["alerts"] >= 1 and "127.77.0.1" in hit["overlaps"]
    assert ask("127.0.0.1").json()["contains_you"]
    assert ask("2001:db8::/32").json()["logins"] == 0
    # Nothing was done by asking.
    assert all(one["addr"] != "127.77.0.0/24" for one in operator.get("/api/admin/v1/blocks").json()["items"])
    for bad in ("x", "0.0.0.0/0", "127.77.0.1/24", "", "127.77.0.%"):
        assert ask(bad).status_code == 422, bad


def test_findings_of_a_time_and_those_that_were_only_observed(place, sprayed):
    operator = place.operator()
    ids = lambda **asked: [one["id"] for one in operator.get("/api/admin/v1/alerts", params=asked).json()["items"]]
    assert sprayed["id"] in ids(**{"from": sprayed["created_at"]}) and sprayed["id"] in ids(until=sprayed["created_at"])
    assert ids(until="2026-01-01T00:00:00Z") == [] and sprayed["id"] not in ids(answer="observed")
    assert sprayed["id"] in ids(answer=sprayed["answer"])
    for bad in ({"from": "x"}, {"answer": "x"}):
        assert operator.get("/api/admin/v1/alerts", params=bad).status_code == 400


def test_an_attack_is_understood_and_answered(place, pictures, sprayed):
    found = entered(place, pictures, "attack", {"id": sprayed["id"], "addr": "127.78.0.0/24"}, place.facts()["admin"])["told"]
    assert "attempts to log in" in found["story"] and "one address" in found["story"]
    assert found["pairs"] >= 4 and found["drawn"] == found["pairs"]
    assert found["empty"].startswith("Nobody is logged in")
    assert "127.78.0.0/24 is blocked until" in found["blocked"]
    assert all(one["addr"] != "127.78.0.0/24" for one in place.operator().get("/api/admin/v1/blocks").json()["items"])


def test_the_overview_is_of_a_time_and_live(place, pictures, sprayed):
    found = entered(place, pictures, "now", {}, place.facts()["admin"])["told"]
    assert found["live"] == "live" and found["charts"] == ["Logins", "Requests", "Latency", "Share of requests that failed", "Tokens", "Findings"]
    assert "range=7d" in found["links"]["Attacks"] and "range=7d" in found["links"]["Audit log"] and "range" not in found["links"]["People"]
    assert "from=" in found["zoomed"] and "until=" in found["zoomed"]
    assert found["rows"] > 10


def test_controls_say_how_it_is_and_evidence_proves_itself(place, pictures):
    operator = place.operator()
    controls = lambda: {one["id"]: one for one in operator.get("/api/admin/v1/compliance/controls").json()["controls"]}
    before = controls()
    assert len(before) == 13 and all(one["soc2"] and one["iso27001"] and one["said"] for one in before.values())
    assert before["monitoring.detection"]["status"] == before["authentication.passwords"]["status"] == "met"
    assert before["access.keys"]["status"] == "met" and before["authentication.staff"]["status"] == "attention"
    made = operator.post("/api/admin/v1/api-keys", json={"name": "for ever", "scopes": ["aml"]}).json()
    after = controls()["access.keys"]
    assert after["status"] == "attention" and {"name": "without an end", "value": "1"} in after["facts"]
    operator.delete(f"/api/admin/v1/api-keys/{made['api_key']['id']}")
    assert controls()["access.keys"]["status"] == "met"
    places = {one["place"]: one for one in operator.get("/api/admin/v1/compliance/data-map").json()["items"]}
    assert places["idv_session"]["is_sealed"] and not places["account"]["is_sealed"] and places["audit log"]["until"]
    for path in ("controls", "data-map"):
        assert officer(place, f"ruth-{path}", scope="idv").get(f"/api/admin/v1/compliance/{path}").status_code == 403
    found = entered(place, pictures, "compliance", {}, place.facts()["admin"])["told"]
    assert "A.8.15" in found["marks"] and "CC7.2" not in found["marks"]
    evidence = found["evidence"]
    assert evidence["control"]["id"] == "logging.record" and evidence["log"]
    for entry in evidence["log"]:
        assert tlog.proven(entry["stored"].encode(), entry["proof"], entry["log_key"]) == entry["index"]


def test_whoever_is_logged_in_here_is_not_locked_out_by_a_block():
    with Demo(DEMO) as place:
        browser = session(place, place.facts()["admin"])
        own = browser.post("/api/admin/v1/blocks", json={"addr": "127.0.0.1", "reason": "x", "seconds": 600}, headers=OWN)
        assert own.status_code == 201
        # Whoever has nothing to show is out, and so is whoever shows what is none.
        for cookies in ({}, {"__Host-portcullis-console": "x" * 300}):
            with place.client(cookies=cookies) as stranger:
                assert stranger.get("/login").status_code == 429
        page = browser.get("/console", headers={"accept": "text/html"})
        assert page.status_code == 200
        asset = page.text.split('src="')[1].split('"')[0]
        assert browser.get(asset).status_code == 200
        assert browser.delete(f"/api/admin/v1/blocks/{own.json()['id']}", headers=OWN).status_code == 204
        until(lambda: place.client().get("/login").status_code == 200, "the way back")


def test_what_cannot_be_taken_back_needs_more_than_a_cookie(pictures):
    with Demo(DEMO + OFTEN + '\n[console]\nreauthenticate = "6s"\n') as place:
        admin = place.facts()["admin"]
        browser = session(place, admin)
        keys = "/api/admin/v1/api-keys"
        make = lambda: browser.post(keys, json={"name": "x", "scopes": ["admin"]}, headers=OWN)
        assert make().status_code == 201, "whoever has just logged in is not asked"
        nobody = lambda: browser.post("/api/admin/v1/clients/none/rotate-secret", headers=OWN)
        refused = until(lambda: (answer := nobody()).status_code == 401 and answer, "an old login")
        assert 'error="insufficient_user_authentication"' in refused.headers["www-authenticate"] and 'max_age="6"' in refused.headers["www-authenticate"]
        # Reading and closing doors at once go on.
        assert browser.get(keys, headers=OWN).status_code == 200
        block = {"addr": "203.0.113.9", "reason": "x", "seconds": 60}
        assert browser.post("/api/admin/v1/blocks", json=block, headers=OWN).status_code == 201
        # A token says for itself what it may; it is no cookie that a page can use.
        assert place.operator().post(keys, json={"name": "y", "scopes": ["admin"]}).status_code == 201
        # The window asks for the password although the provider knows who it is.
        answer = browser.get("/.portcullis/console/again", headers={"accept": "text/html"})
        assert answer.status_code == 303 and "prompt=login" in answer.headers["location"]
        assert browser.get(answer.headers["location"], headers={"accept": "text/html"}).headers["location"].startswith("/login")
        # Whoever was only logged out of the console is let in without.
        answer = browser.get("/.portcullis/console/again?login", headers={"accept": "text/html"})
        assert "prompt" not in answer.headers["location"]
        answer = browser.get(answer.headers["location"])
        back = browser.get(answer.headers["location"])
        assert back.status_code == 303 and back.headers["location"] == "/console/confirmed"
        assert make().status_code == 401, "that was no proof"
        # Services have no such window.
        assert browser.get("/.portcullis/again").status_code == 404
        found = entered(place, pictures, "confirm", {}, admin)["told"]
        assert found["made"]
        second = place.new_user("second", PASSWORD)
        place.operator().put(f"/api/admin/v1/users/{second['id']}/roles", json={"roles": ["admin"]})
        other = {"username": "second", "password": PASSWORD}
        assert entered(place, pictures, "other", other, admin)["told"]["posts"] == 0


def test_nobody_has_the_consoles_tokens_but_the_gate(place):
    """A code of the console's client is of no use to whoever reads it off the address bar."""
    browser = session(place, place.facts()["admin"])
    verifier, challenge = pkce()
    back = f"{place.issuer}/.portcullis/console/callback"
    query = {
        "response_type": "code", "client_id": "portcullis-console", "redirect_uri": back, "scope": "openid account admin",
        "state": "mine", "code_challenge": challenge, "code_challenge_method": "S256",
    }
    answer = browser.get("/oauth2/authorize", params=query)
    code = parse_qs(urlsplit(answer.headers["location"]).query)["code"][0]
    assert browser.get(answer.headers["location"]).status_code == 400, "the gate has not begun this login"
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": back, "client_id": "portcullis-console", "code_verifier": verifier}
    refused = browser.post("/oauth2/token", data=form)
    assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client"), refused.text


def test_what_a_page_asks_is_not_done_for_somebody_else(place):
    """A browser has one session at a time; a page that was made for another is told nothing and changes nothing."""
    admin, alice = place.facts()["admin"], place.facts()["users"][0]
    browser = session(place, admin)
    me = browser.get("/api/account/v1/me", headers=OWN).json()["id"]
    other = place.operator().get("/api/admin/v1/users", params={"username": alice["username"]}).json()["items"][0]["id"]
    block = {"addr": "203.0.113.77", "reason": "x", "seconds": 60}
    ask = lambda who: browser.post("/api/admin/v1/blocks", json=block, headers={**OWN, "portcullis-account": who})
    for wrong in (other, "", "x" * 300):
        refused = ask(wrong)
        assert refused.status_code == 412 and refused.json()["type"].endswith("other_account"), refused.text
    assert all(one["addr"] != block["addr"] for one in browser.get("/api/admin/v1/blocks", headers=OWN).json()["items"])
    assert browser.get("/api/admin/v1/users", headers={**OWN, "portcullis-account": other}).status_code == 412
    assert browser.get(f"{MEASURES}/live", params={"account": other}, headers=OWN).status_code == 412
    assert ask(me).status_code == 201


def test_a_new_login_ends_the_one_before_and_files_carry_no_cookies():
    with Demo(DEMO + OFTEN + '\n[tokens]\naccess_token_lifetime = "1s"\n') as place:
        browser = session(place, place.facts()["admin"])
        users, kept = "/api/admin/v1/users", "__Host-portcullis-console"
        first = browser.cookies.get(kept)
        asset = browser.get("/console", headers={"accept": "text/html"}).text.split('src="')[1].split('"')[0]

        def older(cookie):
            with place.client(cookies={kept: cookie}) as other:
                return other.get(asset), other.get(users, headers=OWN)

        # Whatever has become of it, a file that anybody may keep tells nobody.
        for cookie in (first, "x" * 300):
            file = place.client(cookies={kept: cookie}).get(asset)
            assert file.status_code == 200 and "set-cookie" not in file.headers
        answer = browser.get("/.portcullis/console/again?login", headers={"accept": "text/html"})
        while answer.status_code == 303 and "/console/confirmed" not in answer.headers["location"]:
            answer = browser.get(answer.headers["location"])
        second = browser.cookies.get(kept)
        assert second not in (None, first)
        file, asked = until(lambda: (told := older(first)) and told[1].status_code == 401 and told, "the end of the first")
        assert file.status_code == 200 and "set-cookie" not in file.headers
        assert browser.get(users, headers=OWN).status_code == 200


def test_a_stop_ends_what_is_told_live_and_keeps_what_was_counted():
    with Demo(DEMO + OFTEN) as place:
        operator = place.operator()
        requests = lambda: series(place.operator().get(MEASURES).json(), "requests")["total"]
        with operator.stream("GET", f"{MEASURES}/live") as stream:
            lines = stream.iter_lines()
            assert next(lines) == "event: now"
            for _ in range(50):
                place.client().get("/login")
            place.server.terminate()
            # It ends as an answer ends, not as one that was cut off.
            assert list(lines)[-1] == ""
        assert place.server.wait(20) == 0
        place.stop()
        place.start()
        assert requests() >= 50


def test_a_session_that_ends_loses_nothing(pictures):
    with Demo(DEMO + OFTEN) as place:
        found = entered(place, pictures, "ended", {}, place.facts()["admin"])["told"]
        assert found["asked"] == "You are logged out" and found["made"]
