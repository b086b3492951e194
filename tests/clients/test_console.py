"""The console: what its users do, in a real browser against the real binary. Its pictures are kept beside the tests'
temporary files, or where PORTCULLIS_PICTURES says."""

import base64
import hashlib
import json
import os
import ssl
import subprocess
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

import tlog
from portcullis import DEMO, Demo, log_in, officer, until
from test_workflows import begin, published, show

HERE = Path(__file__).parent
PASSWORD = "plum rivet otter canvas"
# All of them log in from here.
OFTEN = '\n[protect.login]\nlimits = [{ key = "ip", rate = "1000/min" }]\n'
HUMAN = {
    "schema": "idv.workflow/1", "start": "human",
    "nodes": {"human": {"type": "review", "queue": "kyc", "sla": "P1D"}},
}
# What people and programs write into fields that somebody is shown.
HOSTILE = [
    "<img src=x onerror=window.pwned=1>", "\"><script>window.pwned=1</script>", "<svg onload=window.pwned=1>",
    "javascript:window.pwned=1", "{{constructor.constructor('window.pwned=1')()}}", "</textarea><script>window.pwned=1</script>",
]
MARK = "window.pwned=1"


@pytest.fixture(scope="module")
def place():
    with Demo(DEMO + OFTEN) as running:
        yield running
        assert "panicked" not in running.log()


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return Path(os.environ.get("PORTCULLIS_PICTURES") or tmp_path_factory.mktemp("console"))


def key_of(place):
    certificate = x509.load_pem_x509_certificate(
        ssl.get_server_certificate(("127.0.0.1", place.ports["PUBLIC"])).encode()
    )
    spki = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(spki).digest()).decode()


def entered(place, pictures, task, needs, who):
    arguments = [place.issuer, key_of(place), pictures, who["username"], who["password"], task, json.dumps(needs)]
    said = subprocess.run(
        ["node", "browser_console.mjs", *map(str, arguments)], cwd=HERE, capture_output=True, text=True, timeout=170,
    )
    assert said.returncode == 0, said.stderr
    found = json.loads(said.stdout)
    assert found["complaints"] == []
    for look in found["seen"]:
        assert look["violations"] == [] and look["overflow"] <= 0, look
    return found


@pytest.fixture
def does(place, pictures):
    def run(task, needs=None, who=None):
        return entered(place, pictures, task, needs or {}, who or place.facts()["admin"])

    return run


def test_every_page_in_every_light(does):
    names = ["attacks", "gateway", "log", "people", "groups", "invitations", "clients", "api-keys", "keys", "cases", "hits", "workflows", "compliance"]
    found = does("pages", {"pages": {"overview": "", **{name: f"/{name}" for name in names}}})
    assert len(found["seen"]) == 4 * (len(names) + 1)
    assert all(look["passes"] > 15 for look in found["seen"])


def test_an_entry_is_proven_in_the_browser_and_a_changed_one_is_not(place, does):
    found = does("log", {"kind": "authn_login"})["told"]
    assert found["kinds"] and all(kind.startswith("authn_login") for kind in found["kinds"])
    assert "kind=authn_login" in found["url"]
    assert not found["forged"], "what is shown as proven is what was proven"
    # It is the key of this log.
    operator = place.operator()
    events = operator.get("/api/admin/v1/events", params={"order": "newest", "limit": 3}).json()
    entry = operator.get(f"/api/admin/v1/events/{events['items'][0]['index']}").json()
    assert found["key"] == entry["log_key"]
    assert tlog.proven(entry["stored"].encode(), entry["proof"], entry["log_key"]) == entry["index"]
    assert operator.get("/api/admin/v1/events/99999999").status_code == 404
    assert operator.get("/api/admin/v1/events/x").status_code == 404


def test_the_newest_entries_come_first_page_by_page(place):
    operator = place.operator()
    params = {"order": "newest", "limit": 7, "kind": "admin_"}
    newest = []
    while True:
        page = operator.get("/api/admin/v1/events", params=params).json()
        newest += [item["index"] for item in page["items"]]
        if "next" not in page:
            break
        params["after"] = page["next"]
    assert newest == sorted(newest, reverse=True) and newest[-1] < newest[0]
    oldest = operator.get("/api/admin/v1/events", params={"kind": "admin_", "limit": 200}).json()
    assert [item["index"] for item in oldest["items"]][: len(newest)] == newest[::-1]
    for bad in ({"order": "down"}, {"order": "newest", "after": "-1"}, {"order": "newest", "after": "x"}):
        assert operator.get("/api/admin/v1/events", params=bad).status_code == 400, bad


def test_a_client_is_added_and_its_secret_is_shown_once(place, does):
    found = does("client", {"name": "Shop"})["told"]
    assert "redirect_uris" in found["refused"] and found["gone"]
    shown = place.operator().get(f"/api/admin/v1/clients/{found['id']}").json()
    assert shown["name"] == "Shop" and shown["disabled"]


def test_an_account_is_switched_off_and_on(place, does):
    person = place.new_user("wanda")
    admin = place.facts()["admin"]["username"]
    users = place.operator().get("/api/admin/v1/users", params={"username": admin}).json()["items"]
    found = does("person", {"name": "wanda", "self": users[0]["id"]})["told"]
    assert "admin_user_disable" in found["history"]
    assert not {"Disable", "Remove"} & set(found["self"]), "nobody locks themselves out here"
    assert not place.operator().get(f"/api/admin/v1/users/{person['id']}").json()["disabled"]


def test_groups_and_invitations_come_and_go(place, does):
    person = place.new_user("greta")
    found = does("groups", {"name": "greta"})["told"]
    assert "admin" in found["refused"] or "roles" in found["refused"]
    operator = place.operator()
    assert operator.get(f"/api/admin/v1/groups/{found['id']}").status_code == 404
    assert operator.get(f"/api/admin/v1/users/{person['id']}").json()["roles"] == []
    events = operator.get("/api/admin/v1/events", params={"kind": "admin_group", "limit": 200}).json()["items"]
    assert len(events) >= 4


def test_the_gate_says_why(place, does):
    found = does("gateway", {"curl": f"curl -H 'x-a: b' '{place.issuer}/admin-service/status?x=1'"})["told"]
    assert [name.split()[0] for name in found["routes"]] == ["profile", "admin", "admin-mesh"]
    assert "192.0.2.7 is not blocked" in found["stages"][1]
    assert found["stages"][-1].startswith("refuses authenticate 401 credentials_missing")
    operator = place.operator()
    explain = "/api/admin/v1/gateway/explain"
    token = operator.headers["authorization"]
    fields = [{"name": "authorization", "value": token}]
    stages = operator.post(explain, json={"method": "GET", "path": "/admin-service/status", "headers": fields}).json()["stages"]
    assert all("status" not in stage for stage in stages) and stages[-1]["stage"] == "forward", stages
    for bad in ({}, {"method": "GET"}, {"method": "GET", "path": "/", "address": "x"}, {"method": "GET", "path": "/", "more": 1}):
        assert operator.post(explain, json=bad).status_code in (400, 422), bad
    many = {"method": "GET", "path": "/", "headers": [{"name": "x", "value": "y"}] * 101}
    assert operator.post(explain, json=many).status_code == 422
    strange = operator.post(explain, json={"method": "G T", "path": "no", "host": "\n", "headers": [{"name": "\n", "value": "\n"}]})
    assert strange.status_code == 200 and strange.json()["stages"][-1]["status"] == 400, strange.text
    assert place.operator(scope="idv").get("/api/admin/v1/gateway").status_code == 403
    servers = operator.get("/api/admin/v1/gateway").json()["upstreams"]
    assert {one["name"]: one["servers"][0]["healthy"] for one in servers} == {"profile": True, "admin": True}


def test_a_workflow_is_drawn_tried_and_published(place, does):
    found = does("workflow", {"name": "Drawn"})["told"]
    assert found["walked"] == ["mrz", "sort", "human"]
    graph = found["graph"]
    assert graph["start"] == "mrz" and graph["nodes"]["mrz"]["next"] == "sort"
    assert graph["nodes"]["sort"]["cases"][0]["when"] == {"field": "mrz.status", "op": "not_equals", "value": "passed"}
    client = place.operator(scope="idv")
    version = client.get(f"/idv/v1/workflows/{found['id']}/versions/1").json()
    assert version["graph"] == graph and version["note"] == "First one"
    assert begin(client, found)["awaiting"][0]["node"] == "mrz"


def test_a_drawing_loses_nothing_by_itself(place, does):
    idv = place.operator(scope="idv")
    check = {"type": "check", "check": "mrz"}
    graph = {
        "schema": "idv.workflow/1", "start": "both", "nodes": {
            "both": {"type": "parallel", "branches": ["a", "b", "c"], "join": {"mode": "all", "then": "end"}},
            "a": check, "b": check, "c": check, "end": {"type": "decide", "rule": "fold"},
        },
    }
    made = idv.post("/idv/v1/workflows", json={"name": "three", "graph": graph}).json()
    assert does("drawing", {"id": made["id"]})["told"]["branches"] == ["c"]
    assert idv.get(f"/idv/v1/workflows/{made['id']}").json()["draft"]["nodes"]["c"]["label"] == "Third"
    # A name that every object has breaks no page.
    graph = {"schema": "idv.workflow/1", "start": "constructor", "nodes": {"constructor": {"type": "decide", "rule": "fold", "label": "constructor"}}}
    made = idv.post("/idv/v1/workflows", json={"name": "names", "graph": graph})
    assert made.status_code == 201, made.text
    does("hostile", {"paths": [f"/workflows/{made.json()['id']}"], "mark": "constructor"})


def test_cases_are_decided_by_keyboard_by_whoever_is_here_for_that(place, does):
    colleague = officer(place, "olga", scope="idv")
    client = place.operator(scope="idv")
    workflow = published(client, HUMAN, name="people")
    sessions = {begin(client, workflow, reference=f"customer-{at}")["id"] for at in range(2)}
    found = does("cases", {"note": "Looked <b>closely</b>"}, {"username": "olga", "password": PASSWORD})
    assert found["told"]["sections"] == ["Overview", "Cases", "Screening hits", "Workflows", "Settings"]
    stands = {session: show(client, {"id": session})["status"] for session in sessions}
    assert sorted(stands.values()) == ["approved", "in_review"]
    left = next(session for session, status in stands.items() if status == "in_review")
    assert found["told"]["next"] == f"/console/cases/{left}"
    # Nothing was asked of the server that they may not have.
    assert colleague.get("/api/admin/v1/users").status_code == 403


def test_whoever_may_nothing_is_told_nothing(place, does):
    place.new_user("nora")
    who = {"username": "nora", "password": PASSWORD}
    found = does("nobody", {"answers": True}, who)
    assert "Nothing here is for you" in found["told"]["text"]
    asked = {answer["url"].split("?")[0] for answer in found["answers"]}
    assert asked == {"/api/account/v1/me", "/api/account/v1/me/access"}
    browser = session(place, who)
    for path in ("/api/admin/v1/users", "/api/admin/v1/events", "/idv/v1/sessions", "/idv/v1/aml/hits"):
        assert browser.get(path, headers=OWN).status_code == 403, path


def test_what_strangers_write_is_text(place, does):
    operator, idv = place.operator(), place.operator(scope="idv")
    for at, text in enumerate(HOSTILE):
        added = operator.post("/api/admin/v1/clients", json={
            "name": text[:100], "token_endpoint_auth_method": "client_secret_basic", "grant_types": ["client_credentials"],
        })
        assert added.status_code == 201, added.text
        # In the log: who says so, and where to.
        with place.client() as stranger:
            stranger.get(f"/none/{at}", headers={"user-agent": text})
            stranger.post("/login", data={"username": text, "password": text})
    workflow = published(idv, HUMAN, name="hostile")
    made = [begin(idv, workflow, reference=text[:128])["id"] for text in HOSTILE]
    for session_id, text in zip(made, HOSTILE):
        assert idv.get(f"/idv/v1/sessions/{session_id}").json()["reference"] == text
    operator.post("/api/admin/v1/blocks", json={"addr": "203.0.113.9", "reason": HOSTILE[0], "seconds": 600})
    drawn = idv.post("/idv/v1/workflows", json={"name": "labels", "graph": {
        "schema": "idv.workflow/1", "start": "end", "nodes": {"end": {"type": "decide", "rule": "fold", "label": HOSTILE[0]}},
    }})
    assert drawn.status_code == 201, drawn.text
    events = operator.get("/api/admin/v1/events", params={"order": "newest", "limit": 1, "text": "pwned"}).json()["items"]
    log = f"/log?range=24h&entry={events[0]['index']}" if events else "/log"
    paths = ["/clients", "/attacks", "/cases?status=all", f"/cases/{made[0]}", f"/workflows/{drawn.json()['id']}", log]
    told = does("hostile", {"paths": paths, "mark": MARK})["told"]
    assert all(page["alive"] for page in told.values()), told
    assert [path for path, page in told.items() if not page["shown"]] in ([], [log]), told


def test_languages_are_kept(does):
    told = does("languages")["told"]
    assert told["de"][0] == "Übersicht" and told["es"][0] == "Resumen" and told["fr"][0] == "Vue d’ensemble"
    assert told["kept"] == "fr"


OWN = {"sec-fetch-site": "same-origin"}


def arrive(place, who):
    """A browser that enters the console, and what it is shown."""
    browser = place.client()
    assert log_in(browser, who["username"], who["password"]).status_code == 303
    answer = browser.get("/console", headers={"accept": "text/html"})
    for _ in range(5):
        if answer.status_code != 303:
            break
        answer = browser.get(answer.headers["location"], headers={"accept": "text/html"})
    return browser, answer


def session(place, who):
    browser, answer = arrive(place, who)
    assert answer.status_code == 200, answer.text
    return browser


def test_whoever_leaves_is_out(does):
    told = does("leave")["told"]
    assert told.pop("account").endswith("/account")
    assert told == {"after": "/logged-out", "kept": [], "login": "/login"}


def test_the_session_speaks_for_the_console_alone(place):
    admin = place.facts()["admin"]
    browser = session(place, admin)
    users = "/api/admin/v1/users"
    assert browser.get(users, headers=OWN).status_code == 200
    # Pages elsewhere, those of other ports and subdomains, and what says nothing of where it is from.
    for fields in ({}, {"sec-fetch-site": "same-site"}, {"sec-fetch-site": "cross-site"}, {"origin": "https://localhost"}):
        assert browser.get(users, headers=fields).status_code == 403, fields
    body = {"addr": "203.0.113.77", "reason": "x", "seconds": 60}
    assert browser.post("/api/admin/v1/blocks", json=body, headers={"sec-fetch-site": "same-site"}).status_code == 403
    assert browser.post("/api/admin/v1/blocks", json=body, headers={"origin": place.issuer}).status_code == 201
    # No other site is told anything with this cookie, and nothing of one's own account can be changed.
    answer = browser.get("/api/account/v1/me", headers={**OWN, "origin": "https://evil.example"})
    assert answer.status_code == 403
    assert browser.patch("/api/account/v1/me", json={"display_name": "x"}, headers=OWN).status_code == 401
    # Services behind the gate do not get it.
    assert browser.get("/profile/me", headers=OWN).status_code == 401
    # A credential that is shown counts, and not the cookie.
    assert browser.get(users, headers={**OWN, "authorization": "Bearer x"}).status_code == 401
    assert browser.get(users, headers={**OWN, "x-api-key": "x"}).status_code == 401
    # A page never is without its policy, and no two have the same nonce.
    pages = [browser.get("/console/log", headers={"accept": "text/html"}) for _ in range(2)]
    policies = {page.headers["content-security-policy"] for page in pages}
    assert len(policies) == 2 and all("unsafe" not in policy for policy in policies)
    cookie = next(one for one in browser.cookies.jar if one.name == "__Host-portcullis-console")
    assert cookie.secure and cookie.has_nonstandard_attr("HttpOnly")
    assert all(part.count(".") != 2 for part in [cookie.value]), "sealed, and no token"
    # Whose roles end is out, at once.
    who = officer(place, "viktor", scope="idv")
    assert who.get("/idv/v1/sessions").status_code == 200
    browser = session(place, {"username": "viktor", "password": PASSWORD})
    assert browser.get("/idv/v1/sessions", headers=OWN).status_code == 200
    users = place.operator().get("/api/admin/v1/users", params={"username": "viktor"}).json()["items"]
    place.operator().put(f"/api/admin/v1/users/{users[0]['id']}/roles", json={"roles": []})
    assert until(lambda: browser.get("/idv/v1/sessions", headers=OWN).status_code in (401, 403), "out")


def test_the_gates_own_clients_are_changed_by_the_configuration_alone(place):
    operator = place.operator()
    own = "/api/admin/v1/clients/portcullis-console"
    new = {"name": "Mine", "token_endpoint_auth_method": "client_secret_basic", "grant_types": ["client_credentials"]}
    assert operator.delete(own).status_code == 422
    assert operator.put(own, json=new).status_code == 422
    for action in ("disable", "enable", "rotate-secret"):
        assert operator.post(f"{own}/{action}").status_code == 422, action
    for name in ("portcullis-gate", "portcullis-console"):
        assert operator.post("/api/admin/v1/clients", json={**new, "client_id": name}).status_code == 422
    assert not operator.get(own).json()["disabled"]


def test_whoever_leaves_ends_what_was_renewed_meanwhile():
    with Demo(DEMO + '\n[tokens]\naccess_token_lifetime = "1s"\n') as place:
        browser = session(place, place.facts()["admin"])
        users = "/api/admin/v1/users"
        first = browser.cookies.get("__Host-portcullis-console")

        def renewed():
            assert browser.get(users, headers=OWN).status_code == 200
            return browser.cookies.get("__Host-portcullis-console") != first

        until(renewed, "new tokens")
        second = browser.cookies.get("__Host-portcullis-console")
        with place.client() as other:
            other.cookies.set("__Host-portcullis-console", first)
            out = other.post("/.portcullis/console/logout", headers={"origin": place.issuer})
            assert out.status_code == 303, out.text
        for kept in (first, second):
            with place.client() as other:
                other.cookies.set("__Host-portcullis-console", kept)
                assert other.get(users, headers=OWN).status_code == 401


HOSTS = DEMO.replace('\npath = "/', '\nhosts = ["localhost"]\npath = "/')


def test_where_the_console_has_its_own_name_it_is_nowhere_else(pictures):
    with Demo(HOSTS + '\n[console]\nhost = "console.localhost"\n') as place, place.client() as client:
        assert client.get("/console", headers={"accept": "text/html"}).status_code == 404
        port = place.ports["PUBLIC"]
        there = client.get("/console", headers={"accept": "text/html", "host": f"console.localhost:{port}"})
        assert there.status_code == 303
        assert f"console.localhost%3A{port}%2F.portcullis%2Fconsole%2Fcallback" in there.headers["location"]
        # No service is of its origin.
        assert client.get("/profile/me", headers={"host": f"console.localhost:{port}"}).status_code == 404
        who = place.facts()["admin"]
        told = entered(place, pictures, "leave", {"home": f"https://console.localhost:{port}"}, who)["told"]
        assert told["login"] == "/login" and told["kept"] == [] and told["account"] == f"{place.issuer}/account"
        # Whoever forgets that is told so, and what runs goes on.
        place.configure(DEMO + '\n[console]\nhost = "console.localhost"\n')
        until(lambda: "name the hosts of the route" in place.log(), "the refusal")


def test_where_there_is_none_its_doors_are_closed():
    """Also where it was open before, and a service takes all that nobody else does."""
    with Demo(DEMO + OFTEN) as place:
        admin = place.facts()["admin"]
        browser, operator = session(place, admin), place.operator()
        own = "/api/admin/v1/clients/portcullis-console"
        anything = '\n[[route]]\nname = "anything"\npath = "/{*rest}"\nupstream = "profile"\nauthenticate = ["none"]\n'
        place.stop()
        place.config = DEMO + OFTEN + anything + "\n[console]\nenabled = false\n"
        place.start()
        assert operator.get(own).json()["disabled"]
        assert browser.get("/api/admin/v1/users", headers=OWN).status_code == 401
        asked = browser.get("/oauth2/authorize", params={
            "client_id": "portcullis-console", "response_type": "code", "scope": "openid admin", "state": "s",
            "redirect_uri": f"{place.issuer}/.portcullis/console/callback", "code_challenge": "x" * 43, "code_challenge_method": "S256",
        })
        assert asked.status_code == 400 and "location" not in asked.headers
        refused = browser.get("/.portcullis/console/callback?code=x")
        assert refused.status_code == 404 and refused.headers["content-type"].startswith("application/problem+json"), "not by the service"
        place.stop()
        place.config = DEMO + OFTEN
        place.start()
        assert not operator.get(own).json()["disabled"]
        # Tokens of the second in which it was disabled are refused.
        until(lambda: arrive(place, admin)[1].status_code == 200, "the console")
