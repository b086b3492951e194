"""The console for whoever runs the place: who uses limits up, what a configuration has wrong, certificates, requests of
data subjects, exporters, and clients that are changed."""

import datetime
import json
import os
import subprocess
import threading
from pathlib import Path

import pytest

from portcullis import BIN, DEMO, Demo, bearer, log_in, officer, tokens, until
from receivers import Http
from test_console import HOSTILE, MARK, OFTEN, OWN, PASSWORD, entered, session
from test_detection import attempt
from test_export import SECRET, secret, sink

ADMIN = "/api/admin/v1"
DAY = datetime.timedelta(days=1)
BUSY = """
[[route]]
name = "tight"
path = "/tight/{*rest}"
upstream = "profile"
authenticate = ["bearer"]
limits = [{ key = "subject", rate = "3/h" }]
[[route]]
name = "both"
path = "/both/{*rest}"
upstream = "profile"
authenticate = ["bearer"]
limits = [{ name = "flood", key = "ip", rate = "2/h" }, { key = "subject", rate = "100/h" }]
"""


LEARNED = """
[[route]]
name = "learned"
path = "/learned/{*rest}"
upstream = "profile"
authenticate = ["none"]
openapi = "learn.yaml"
openapi_mode = "learn"
"""
DOCUMENT = """
openapi: 3.1.0
info: { title: Learned, version: "1" }
servers: [{ url: "/learned" }]
paths:
  /me: { get: { responses: { "200": { description: Me } } } }
"""


class Hook:
    """A receiver of webhooks that does what it is told."""

    def __init__(self):
        self.seen, self.status, self.says = [], 204, b"not today"
        self.http = Http(self.take)

    def take(self, _, headers, body):
        if self.status != 204:
            return self.status, {}, self.says
        self.seen.append((headers["webhook-id"], json.loads(body)))
        return 204, {}, b""


@pytest.fixture(scope="module")
def hook():
    return Hook()


@pytest.fixture(scope="module")
def place(hook):
    demo = Demo(None, watched=True)
    more = secret(demo, "hook", SECRET) + '\nkinds = ["alert_"]'
    (demo.file.parent / "learn.yaml").write_text(DOCUMENT)
    demo.config = DEMO + OFTEN + BUSY + LEARNED + sink("siem", "webhook", more, url=f"{hook.http.url}/in?token=letmein")
    with demo:
        yield demo
        assert "panicked" not in demo.log()


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return Path(os.environ.get("PORTCULLIS_PICTURES") or tmp_path_factory.mktemp("console"))


@pytest.fixture
def does(place, pictures):
    def run(task, needs=None, who=None):
        return entered(place, pictures, task, needs or {}, who or place.facts()["admin"])

    return run


def at(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


def test_every_page_in_every_light(place, does):
    request = place.operator().post(f"{ADMIN}/subject-requests", json={"kind": "access", "requester": "Somebody"}).json()
    pages = {"certificates": "/certificates", "roles": "/roles", "requests": "/requests", "request": f"/requests/{request['id']}", "settings": "/settings"}
    found = does("pages", {"pages": pages})
    assert len(found["seen"]) == 4 * len(pages) and all(look["passes"] > 15 for look in found["seen"])


def test_who_uses_a_limit_up_and_where_requests_are_refused(place, does):
    person = place.facts()["users"][1]
    token = tokens(place, person)["access_token"]
    operator = place.operator()
    with place.client() as client:
        statuses = [client.get("/tight/me", headers=bearer(token)).status_code for _ in range(5)]
        assert statuses.count(429) == 2, statuses
        assert client.get("/tight/me").status_code == 401

    def seen():
        told = operator.get(f"{ADMIN}/gateway/activity").json()
        route = next((one for one in told["routes"] if one["route"] == "tight"), None)
        return told if route and route["requests"] == 6 else None

    told = until(seen, "the counts")
    route = next(one for one in told["routes"] if one["route"] == "tight")
    assert {one["stage"]: one["count"] for one in route["refused"]} == {"limits": 2, "authenticate": 1}
    limit = next(one for one in told["limits"] if one["limit"] == "tight")
    assert (limit["routes"], limit["allows"], limit["told_apart"]) == (["tight"], "3 in 3600 s", True)
    account = operator.get(f"{ADMIN}/users", params={"username": person["username"]}).json()["items"][0]["id"]
    consumer = limit["consumers"][0]
    assert consumer["who"] == [{"by": "subject", "value": account}] and consumer["requests"] == 5
    assert consumer["left"] == 0 and 0 < consumer["wait_seconds"] <= 1200 and not consumer["blocked"]
    # Whoever is stopped before was counted by nobody.
    with place.client("127.82.0.1") as stranger:
        assert [stranger.get("/both/me", headers=bearer("junk")).status_code for _ in range(6)].count(429) == 4
    both = lambda: {one["limit"]: one["consumers"] for one in operator.get(f"{ADMIN}/gateway/activity").json()["limits"]}
    counted = until(lambda: (told := both()) and told["flood"] and told["flood"][0]["requests"] == 6 and told, "the flood")
    assert counted["flood"][0]["who"] == [{"by": "ip", "value": "127.82.0.1"}] and counted["both-1"] == []
    # To look is not to count.
    again = operator.get(f"{ADMIN}/gateway/activity").json()
    assert next(one for one in again["limits"] if one["limit"] == "tight")["consumers"][0]["requests"] == 5
    assert officer(place, "otto", scope="idv").get(f"{ADMIN}/gateway/activity").status_code == 403
    found = does("limits", {"account": account})["told"]
    assert found["consumer"].startswith(account) and "waits" in found["consumer"] and found["refused"] == "2 refused"


def test_what_a_contract_would_refuse_is_seen_before_it_does(place, does):
    with place.client() as client:
        for _ in range(3):
            client.get("/learned/me?debug=1")
        client.get("/learned/nothing")
    learned = lambda: {one["violation"]: one["count"] for one in place.operator().get(f"{ADMIN}/gateway/activity").json()["learned"]}
    until(lambda: learned() == {"/query/debug unknown": 3, "/path unknown": 1}, "what was learned")
    assert does("learned")["told"]["rows"] == [["learned", "/query/debug unknown", "3"], ["learned", "/path unknown", "1"]]


def test_what_a_configuration_has_wrong_is_told_at_its_line(place, does):
    operator = place.operator()
    check = lambda text: operator.post(f"{ADMIN}/configuration/check", json={"text": text}).json()
    digest = operator.get(f"{ADMIN}/configuration").json()["digest"]
    text = place.file.read_text()
    good = check(text)
    assert good["sound"] and good["mistakes"] == good["unread"] == [] and good["routes"] > 50
    # Several at once, each at its place.
    wrong = text.replace('rate = "3/h"', 'rate = "3/h", burst = 0').replace('upstream = "profile"\nauthenticate = ["bearer"]\nlimits', 'upstream = "gone"\nauthenticate = ["bearer"]\nlimits')
    wrong += '\n[tokens]\naccess_token_lifetime = "2h"\n'
    told = check(wrong)
    lines = {one["line"]: one["message"] for one in told["mistakes"]}
    numbered = dict(enumerate(wrong.splitlines(), 1))
    assert not told["sound"] and all(line in numbered for line in lines)
    assert any("gone" in numbered[line] and "no upstream" in message for line, message in lines.items()), lines
    assert any("access_token_lifetime" in numbered[line] for line in lines), lines
    broken = check(text.replace("[listen]", "[listne]"))
    assert len(broken["mistakes"]) == 1 and numbered[broken["mistakes"][0]["line"]] == "[listen]"
    assert check("é = [")["mistakes"][0]["line"] == 1
    # What the machine has is not for whoever may look at the gate.
    for path in ("/etc/passwd", "../../../../etc/shadow", str(place.file)):
        told = check(text.replace('authenticate = ["bearer"]\nlimits = [{ key = "subject", rate = "3/h"', f'authenticate = ["bearer"]\nopenapi = {json.dumps(path)}\nlimits = [{{ key = "subject", rate = "3/h"'))
        assert told["sound"] and "routes" not in told and len(told["unread"]) == 1, told
        assert "root" not in json.dumps(told)
    assert check(text + '\n[detect]\nsigma = ["/etc"]\n')["mistakes"] == []
    # A secret that is in force for something else is no rule, which would be quoted.
    hidden = place.file.parent / "hook.secret"
    told = check(text + f'\n[detect]\nsigma = ["{hidden}", "{hidden.parent}"]\n')
    assert sorted(told["unread"]) == sorted(f"detect.sigma: {one}" for one in (hidden, hidden.parent)) and SECRET not in json.dumps(told)
    # Many mistakes are no more work than a few.
    many = check(text + "".join(f'[[upstream]]\nname = "u{at}"\nservers = []\n' for at in range(5000)))
    assert len(many["mistakes"]) == 50
    told = check(text + f'\n[tls]\nmode = "files"\ncertificate = "{hidden}"\nkey = "{hidden}"\n')
    assert told["unread"] == [f"tls.certificate: {hidden}", f"tls.key: {hidden}"]
    assert check(text + '\n[egress]\nca = "/dev/zero"\n')["unread"] == ["egress.ca: /dev/zero"]
    assert check(text.replace("url = \"sqlite:", "url = \"sqlite:other-"))["needs_restart"] == ["database"]
    assert operator.post(f"{ADMIN}/configuration/check", json={"text": "#" * (1 << 20) + "#"}).status_code == 422
    assert operator.post(f"{ADMIN}/configuration/check", json={"text": 5}).status_code == 400
    # Nothing changed, and a session alone is enough for it.
    assert operator.get(f"{ADMIN}/configuration").json()["digest"] == digest
    # The command line says the same, with the line.
    bad = place.file.with_name("bad.toml")
    bad.write_text(wrong)
    told = subprocess.run([BIN / "portcullis", "check", "--config", bad], capture_output=True, text=True)
    assert told.returncode == 1 and all(f"line {line}," in told.stderr for line in lines), told.stderr
    bad.unlink()
    found = does("check", {"text": wrong, "line": next(line for line in lines if "gone" in numbered[line])})["told"]
    assert "gone" in found["selected"] and found["count"] == len(lines)


def test_certificates_are_seen_given_and_taken_back(place, does, tmp_path):
    operator = place.operator()
    seen = operator.get(f"{ADMIN}/certificates/authorities").json()
    assert [one["listener"] for one in seen["listeners"]] == ["public", "mesh"] and all(one["renewed"] for one in seen["listeners"])
    assert "localhost" in seen["listeners"][0]["names"] and at(seen["listeners"][0]["expires_at"]) > datetime.datetime.now(datetime.UTC)
    assert sorted("root" in one for one in seen["authorities"]) == [False, True]
    found = does("certificate", {"workload": f"spiffe://{seen['trust_domain']}/service/orders"})["told"]
    token = found["token"]
    enrolled = subprocess.run(
        [BIN / "portcullis", "ca", "enrol", "--url", place.issuer, "--ca", place.data / "ca.pem", "--out", tmp_path / "own"],
        input=token, capture_output=True, text=True, env={**os.environ, "PORTCULLIS_ENROLMENT_TOKEN": token},
    )
    own = f"spiffe://{seen['trust_domain']}/service/orders"
    mine = lambda: operator.get(f"{ADMIN}/certificates", params={"spiffe_id": own}).json()["items"]
    assert len(mine()) == 1, enrolled.stderr
    one = mine()[0]
    assert (one["how"], one["spiffe_id"], one["compromised"]) == ("enrolment", own, False) and "revoked_at" not in one
    # Page by page, the newest first.
    everything, after = [], None
    while True:
        page = operator.get(f"{ADMIN}/certificates", params={"limit": 1, **({"after": after} if after else {})}).json()
        everything += page["items"]
        if not (after := page.get("next")):
            break
    assert everything[0]["serial"] == one["serial"] and len({each["serial"] for each in everything}) == len(everything) >= 2
    revoke = lambda **which: operator.post(f"{ADMIN}/certificates/revoke", json=which)
    assert revoke().status_code == revoke(serial="1", spiffe_id=own).status_code == 422
    assert revoke(serial="00").status_code == 404 and revoke(spiffe_id="x").status_code == 422
    enrol = lambda **what: operator.post(f"{ADMIN}/certificates/enrolments", json=what)
    assert enrol(spiffe_id="spiffe://elsewhere.example/x").status_code == 422
    assert enrol(spiffe_id=own, names=["no name"]).status_code == 422
    assert enrol(spiffe_id=own, lifetime_seconds=1).status_code == 422
    assert operator.get(f"{ADMIN}/certificates", params={"after": "x"}).status_code == 400
    assert "compromised" in does("revoke", {"workload": own, "serial": one["serial"]})["told"]["state"]
    assert mine()[0]["compromised"] and revoke(serial=one["serial"]).status_code == 404
    # Who did it is in the log, as with the command line.
    codes = [item["event"]["metadata"]["event_code"] for item in operator.get(f"{ADMIN}/events", params={"order": "newest", "kind": "admin_"}).json()["items"]]
    assert {"admin_enrolment_create", "admin_certificate_revoke"} <= set(codes)
    assert officer(place, "nora", scope="idv").get(f"{ADMIN}/certificates").status_code == 403


def test_requests_of_data_subjects_have_deadlines(place, does):
    operator = place.operator()
    requests = f"{ADMIN}/subject-requests"
    now = datetime.datetime.now(datetime.UTC)
    ask = lambda **what: operator.post(requests, json={"kind": "access", "requester": "Jo", **what})
    month_end = datetime.datetime(now.year - (now.month < 3), 1, 31, 10, tzinfo=datetime.UTC)
    if now - month_end < 364 * DAY:
        made = ask(received_at=month_end.isoformat()).json()
        assert (at(made["due_at"]).month, at(made["due_at"]).day in (28, 29)) == (2, True)
    late = ask(received_at=(now - 40 * DAY).isoformat(), requester="Late").json()
    assert late["overdue"] and late["state"] == "open"
    for bad in ({"kind": "x"}, {"requester": ""}, {"requester": " x"}, {"requester": "x\n"}, {"account": "usr_x"},
                {"account": "usr_00000000000000000000000000"}, {"received_at": (now + DAY).isoformat()},
                {"received_at": (now - 500 * DAY).isoformat()}, {"received_at": "x"}, {"note": "x" * 4001}):
        assert ask(**bad).status_code == 422, bad
    # The one that is due first comes first.
    listed = operator.get(requests, params={"limit": 200}).json()["items"]
    assert [one["due_at"] for one in listed] == sorted(one["due_at"] for one in listed)
    page = operator.get(requests, params={"limit": 1}).json()
    assert operator.get(requests, params={"limit": 1, "after": page["next"]}).json()["items"][0]["id"] == listed[1]["id"]
    for params in ({"state": "x"}, {"after": "x"}, {"after": "1"}):
        assert operator.get(requests, params=params).status_code == 400
    # Whose deadline is over cannot move it, and the control says so.
    change = lambda one, **what: operator.patch(f"{requests}/{one['id']}", json={"version": one["version"], **what})
    assert change(late, extend_because="many letters").status_code == 422
    control = lambda: next(one for one in operator.get(f"{ADMIN}/compliance/controls").json()["controls"] if one["id"] == "privacy.requests")
    facts = {one["name"]: one["value"] for one in control()["facts"]}
    assert control()["status"] == "attention" and int(facts["overdue"]) >= 1
    person = place.new_user("subject", PASSWORD)
    found = does("request", {"account": person["id"]})["told"]
    assert found["export"]["account"]["username"] == "subject" and "prolonged" in found["state"].lower()
    own = operator.get(f"{requests}/{found['id']}").json()
    assert (own["state"], own["outcome"], own["account"]) == ("closed", "fulfilled", person["id"])
    assert at(own["due_at"]) - at(own["received_at"]) > 85 * DAY
    assert change(own, note="x").status_code == 422 and change({**own, "version": 1}, note="x").status_code == 409
    # What changes nothing is no change.
    assert change(late).json() == late and change(late, note=late["note"]).json() == late
    # It is part of what is kept about somebody, and goes with the account but for what must be shown.
    browser = place.client()
    assert log_in(browser, "subject", PASSWORD).status_code == 303
    mine = operator.post(f"{ADMIN}/users/{person['id']}/export").json()
    assert mine["requests"][0]["kind"] == "access" and mine["requests"][0]["outcome"] == "fulfilled"
    assert operator.post(f"{ADMIN}/users/usr_00000000000000000000000000/export").status_code == 404
    erasure = ask(kind="erasure", account=person["id"], requester="").json()
    objection = ask(kind="objection", account=person["id"], requester="Subject, by mail").json()
    assert operator.delete(f"{ADMIN}/users/{person['id']}").status_code == 204
    erased = operator.get(f"{requests}/{erasure['id']}").json()
    assert (erased["state"], erased["outcome"], erased["closed_by"]) == ("closed", "fulfilled", "system")
    waits = operator.get(f"{requests}/{objection['id']}").json()
    assert (waits["state"], waits["requester"]) == ("open", "Subject, by mail") and "account" not in waits
    after = operator.get(f"{requests}/{found['id']}").json()
    assert "account" not in after and (after["requester"], after["note"], after["outcome"]) == ("", "", "fulfilled")
    # Nothing that was written about somebody is in the log.
    log = json.dumps([item["event"] for item in operator.get(f"{ADMIN}/events", params={"order": "newest", "kind": "admin_subject_request", "limit": 100}).json()["items"]])
    assert "admin_subject_request_create" in log and "asked by letter" not in log and "Late" not in log
    assert officer(place, "pia", scope="idv").get(requests).status_code == 403


def test_who_has_which_role_and_through_what(place, does):
    operator = place.operator()
    roles = lambda **asked: operator.get(f"{ADMIN}/roles", params=asked).json()
    person = place.new_user("roland", PASSWORD)
    operator.put(f"{ADMIN}/users/{person['id']}/roles", json={"roles": ["auditor"]})
    group = operator.post(f"{ADMIN}/groups", json={"name": "desk", "description": "", "roles": ["compliance", "audit"]}).json()
    operator.put(f"{ADMIN}/groups/{group['id']}/members/{person['id']}")
    own = [one for one in roles(limit=200)["items"] if one["account"] == person["id"]]
    assert [(sorted(one["roles"]), one.get("group_name")) for one in own] == [(["auditor"], None), (["audit", "compliance"], "desk")]
    # The whole word, and no pattern.
    assert {one["username"] for one in roles(role="auditor")["items"]} == {"roland"}
    assert {one.get("group_name") for one in roles(role="audit")["items"]} == {"desk"}
    assert "admin" in {one["username"] for one in roles(role="admin")["items"]}
    assert roles(role="audi_or")["items"] == roles(role="Auditor")["items"] == []
    for bad in ("%", "a b", "x" * 65):
        assert operator.get(f"{ADMIN}/roles", params={"role": bad}).status_code == 400, bad
    everybody, after = [], None
    while True:
        page = roles(limit=1, **({"after": after} if after else {}))
        everybody += page["items"]
        if not (after := page.get("next")):
            break
    assert everybody == roles(limit=200)["items"]
    operator.post(f"{ADMIN}/users/{person['id']}/disable")
    assert all(one["disabled"] for one in roles(limit=200)["items"] if one["account"] == person["id"])
    assert officer(place, "vera", scope="idv").get(f"{ADMIN}/roles").status_code == 403


def test_what_can_be_begun_has_an_address_and_a_key(does):
    told = does("actions")["told"]
    assert told["opened"] == "/console/clients?do=add" and told["closed"] == "/console/clients"
    assert told["straight"] == "Block an address"


def test_an_exporter_is_tried_out(place, hook, does):
    operator = place.operator()
    listed = operator.get(f"{ADMIN}/sinks").json()["items"]
    assert [(one["name"], one["kind"], one["kinds"], one["personal"]) for one in listed] == [("siem", "webhook", ["alert_"], "open")]
    # Neither path nor query: they may be the secret.
    assert listed[0]["to"] == hook.http.url.removeprefix("http://") and "letmein" not in json.dumps(listed)
    test = lambda name="siem": operator.post(f"{ADMIN}/sinks/{name}/test")
    told = test().json()
    assert told["delivered"] and told["confirmed"] and "said" not in told
    sent = next(body for _, body in hook.seen if body["type"] == "admin_sink_test")
    assert sent["data"]["unmapped"]["tlog_index"] > 0
    hook.status = 500
    told = test().json()
    assert not told["delivered"] and "500" in told["said"]
    hook.status = 204
    assert test("none").status_code == 404
    assert officer(place, "rosa", scope="idv").post(f"{ADMIN}/sinks/siem/test").status_code == 403
    # A session is enough: it tells the receiver nothing that it would not get.
    browser = session(place, place.facts()["admin"])
    assert browser.post(f"{ADMIN}/sinks/siem/test", headers=OWN).json()["delivered"]
    assert "It arrived" in does("exporter")["told"]["said"]


def test_what_strangers_write_is_text(place, hook, does):
    operator = place.operator()
    made = [operator.post(f"{ADMIN}/subject-requests", json={"kind": "objection", "requester": text, "note": f"{text}\n{text}"}).json() for text in HOSTILE]
    hook.status, hook.says = 500, HOSTILE[0].encode()
    assert HOSTILE[0] in operator.post(f"{ADMIN}/sinks/siem/test").json()["said"]
    # What goes there by itself fails as well, and is told.
    with place.client("127.81.0.1") as browser:
        for number in range(8):
            if attempt(browser, place.new_user(f"seen{number}")["username"], "Autumn 2026").status_code == 429:
                break
    failure = lambda: operator.get(f"{ADMIN}/sinks").json()["items"][0].get("last_failure")
    until(lambda: MARK in (failure() or {"said": ""})["said"], "the failure")
    told = does("hostile", {"paths": ["/requests", f"/requests/{made[0]['id']}", "/settings"], "mark": MARK})["told"]
    hook.status, hook.says = 204, b"not today"
    assert all(page["alive"] and page["shown"] for page in told.values()), told
    wrong = does("check", {"text": f'issuer = "{HOSTILE[0]}"\n["{HOSTILE[2]}"]\n', "line": 2})["told"]
    assert wrong["count"] == 1


def test_a_client_is_changed_and_nobody_is_overwritten(place, does):
    operator = place.operator()
    made = operator.post(f"{ADMIN}/clients", json={
        "name": "Before", "token_endpoint_auth_method": "private_key_jwt", "grant_types": ["client_credentials"],
        "scopes": ["aml", "idv"], "jwks": {"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "kid": "a", "alg": "EdDSA"}]},
        "default_max_age": 60,
    }).json()["client"]
    path = f"{ADMIN}/clients/{made['client_id']}"
    found = does("change", {"id": made["client_id"], "name": "After"})["told"]
    assert "idv" in found["warning"] and found["other"] == 200
    after = operator.get(path).json()
    # Both are there.
    assert (after["name"], after["scopes"], after["default_max_age"], after["dpop_bound_access_tokens"]) == ("After", ["aml"], 77, True)
    assert after["jwks"] == made["jwks"] and after["token_endpoint_auth_method"] == "private_key_jwt"
    # As it was seen before somebody changed it.
    body = {name: value for name, value in made.items() if name not in ("disabled", "created_at")}
    assert operator.put(path, json=body).status_code == 409
    assert operator.get(path).json() == after
    assert operator.put(path, json={**body, "updated_at": "x"}).status_code == 422
    assert operator.put(path, json={**body, "updated_at": after["updated_at"]}).status_code == 200


def test_a_finding_is_told_wherever_somebody_is(place, pictures):
    for number in range(6):
        place.new_user(f"prey{number}")
    found = {}
    waits = threading.Thread(target=lambda: found.update(entered(place, pictures, "notice", {}, place.facts()["admin"])))
    waits.start()
    # One after another, until the browser has heard of one.
    for source in range(2, 250):
        if not waits.is_alive():
            break
        with place.client(f"127.79.0.{source}") as browser:
            for number in range(6):
                if attempt(browser, f"prey{number}", f"Winter {source}").status_code == 429:
                    break
    waits.join()
    assert found["told"]["title"] and found["told"]["path"].startswith("/console/attacks/alr_")


def test_a_long_list_is_not_all_drawn(place, does):
    with place.client() as client:
        for _ in range(420):
            client.get("/profile/me")
    found = does("long")["told"]
    assert found["loaded"] >= 350 and found["drawn"] < found["loaded"] - 90, found
    assert found["top"] and found["same"]
