"""Rules that go through the whole product: what one artefact is worth at the doors of the others,
what a restart leaves standing, and what one answer tells of another."""

import re
import secrets
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from portcullis import authorize, bearer, code_of, exchange, fields, log_in, pkce, submit, tokens, until

PASSWORD = "plum rivet otter canvas"
OTHER = "walnut ember tractor sky"
ROOT = Path(__file__).parents[2]


def name():
    return f"rule{secrets.token_hex(4)}"


def token_in(link):
    return parse_qs(urlsplit(link).query)["token"][0]


@pytest.fixture(scope="module")
def artefacts(demo):
    """One of each single-use secret, unused."""
    source, web, person = "127.3.0.1", demo.facts()["clients"]["web"], name()
    browser, made = demo.client(source), {}
    demo.new_user(person)
    newcomer = name()
    submit(browser, "/register", {"username": newcomer, "email": f"{newcomer}@example.org", "password": PASSWORD})
    made["verification"] = token_in(demo.link(f"{newcomer}@example.org"))
    submit(browser, "/forgot-password", {"email": f"{person}@example.org"})
    made["reset"] = token_in(demo.link(f"{person}@example.org"))
    guest = f"{name()}@example.org"
    assert demo.operator().post("/api/admin/v1/invitations", json={"email": guest}).status_code == 201
    made["invitation"] = token_in(demo.link(guest))
    submit(browser, "/login/mail", {"username": person})
    made["login link"] = token_in(demo.link(f"{person}@example.org", 2))
    log_in(browser, person, PASSWORD)
    made["refresh token"] = exchange(demo, browser)["refresh_token"]
    made["code"] = code_of(authorize(demo, browser, pkce()[1], "openid"))["code"][0]
    begun = browser.post("/oauth2/device_authorization", data={
        "client_id": demo.facts()["clients"].get("device", web)["client_id"], "scope": "openid"})
    if begun.status_code == 200:
        made["device code"] = begun.json()["device_code"]
    made["session"] = browser.cookies["__Host-portcullis_session"]
    return made


DOORS = {
    "verification": lambda demo, browser, token: submit(browser, f"/verify-email?token={token}", {}),
    "reset": lambda demo, browser, token: browser.get("/reset-password", params={"token": token}),
    "invitation": lambda demo, browser, token: browser.get("/invitation", params={"token": token}),
    "login link": lambda demo, browser, token: browser.get("/login/link", params={"token": token}),
    "change of address": lambda demo, browser, token: submit(browser, f"/confirm-email?token={token}", {}),
    "code": lambda demo, browser, token: redeem(demo, browser, "authorization_code", code=token),
    "refresh token": lambda demo, browser, token: redeem(demo, browser, "refresh_token", refresh_token=token),
    "device code": lambda demo, browser, token: redeem(
        demo, browser, "urn:ietf:params:oauth:grant-type:device_code", device_code=token),
    "access token": lambda demo, browser, token: browser.get("/oauth2/userinfo", headers=bearer(token)),
    "registration": lambda demo, browser, token: browser.get("/oauth2/register/web", headers=bearer(token)),
    "pushed request": lambda demo, browser, token: browser.get("/oauth2/authorize", params={
        "client_id": demo.facts()["clients"]["web"]["client_id"],
        "request_uri": f"urn:ietf:params:oauth:request_uri:{token}"}),
    "session": lambda demo, browser, token: browser.get(
        "/account", headers={"cookie": f"__Host-portcullis_session={token}"}),
}


def redeem(demo, browser, kind, **form):
    web = demo.facts()["clients"]["web"]
    return browser.post("/oauth2/token", data={
        "grant_type": kind, "client_id": web["client_id"], "redirect_uri": web["redirect_uri"],
        "code_verifier": "x" * 43, **form})


@pytest.mark.parametrize("door", DOORS)
def test_r2_each_artefact_is_worth_nothing_at_the_doors_of_the_others(demo, artefacts, door, source):
    for kind, token in artefacts.items():
        if kind == door:
            continue
        answer = DOORS[door](demo, demo.client(source), token)
        refused = answer.status_code in (400, 401, 404, 410)
        to_login = answer.status_code == 303 and answer.headers["location"].startswith("/login")
        assert refused or (door == "session" and to_login), (kind, door, answer.status_code, answer.text)


def test_r2_at_its_own_door_each_is_still_worth_something(demo, artefacts, source):
    """So that the refusals above are about the kind. The code and the device code have their own."""
    for kind in ("verification", "reset", "invitation", "login link"):
        assert DOORS[kind](demo, demo.client(source), artefacts[kind]).status_code == 200, kind
    assert DOORS["session"](demo, demo.client(source), artefacts["session"]).status_code == 200


@pytest.mark.parametrize("token", [None, "", "x", "A" * 43, "verification", "login link"])
def test_r1_no_password_is_set_without_the_proof_by_mail(demo, artefacts, source, token):
    browser = demo.client(source)
    browser.get("/forgot-password")
    csrf = fields(browser.get("/forgot-password").text)["csrf"]
    form = {"csrf": csrf, "password": OTHER, "username": "alice", "email": "alice@example.org"}
    if token is not None:
        form["token"] = artefacts.get(token, token)
    answer = browser.post("/reset-password", data=form)
    assert answer.status_code in (400, 410), answer.text
    alice = demo.facts()["users"][0]
    assert log_in(demo.client(source), alice["username"], alice["password"]).status_code == 303


def test_r24_a_reset_is_bound_to_the_account_it_was_sent_for(demo, source):
    mine, other = name(), name()
    for who in (mine, other):
        demo.new_user(who)
    browser = demo.client(source)
    submit(browser, "/forgot-password", {"email": f"{mine}@example.org"})
    victim = demo.operator().get("/api/admin/v1/users", params={"search": other}).json()["items"][0]
    done = submit(browser, demo.link(f"{mine}@example.org"), {
        "password": OTHER, "username": other, "user": victim["id"], "account_id": victim["id"],
        "email": f"{other}@example.org"})
    assert done.status_code in (200, 303, 400)
    assert log_in(demo.client(source), other, PASSWORD).status_code == 303
    assert log_in(demo.client(source), other, OTHER).status_code == 401


def test_r5_what_was_revoked_stays_so_after_a_restart(own_demo):
    demo = own_demo
    facts = demo.facts()
    got = tokens(demo, facts["users"][0])
    kept = tokens(demo, facts["users"][1])
    web = facts["clients"]["web"]["client_id"]
    client = demo.client()
    assert client.post("/oauth2/revoke", data={
        "token": got["refresh_token"], "client_id": web}).status_code == 200
    operator = facts["clients"]["operator"]
    auth = (operator["client_id"], operator["client_secret"])

    def states():
        client = demo.client()
        return [(client.post("/oauth2/introspect", data={"token": one["access_token"]}, auth=auth).json()["active"],
                 client.get("/profile/me", headers=bearer(one["access_token"])).status_code,
                 client.get("/oauth2/userinfo", headers=bearer(one["access_token"])).status_code)
                for one in (got, kept)]

    before = states()
    demo.kill()
    demo.start()
    assert states() == before
    assert before[0] == (False, 401, 401) and before[1][1:] == (200, 200)


def test_r13_cursors_that_were_made_up_are_refused(demo):
    admin = demo.operator()
    for path in ("users", "clients", "groups", "invitations"):
        for cursor in ("x", "usr_1", "../..", "' OR 1=1 --", "usr_" + "z" * 26, "\u0000", "A" * 9000):
            # A client's id is whatever somebody chose, so those that could be one are positions.
            if path == "clients" and re.fullmatch(r"[\w.~-]{1,64}", cursor):
                continue
            answer = admin.get(f"/api/admin/v1/{path}", params={"after": cursor})
            assert answer.status_code in (400, 414, 422, 431), (path, cursor, answer.status_code)


def test_r20_r21_no_script_engine_and_no_saml_is_built_in():
    lock = (ROOT / "Cargo.lock").read_text()
    crates = set(re.findall(r'^name = "([^"]+)"$', lock, re.M))
    engines = {"boa_engine", "deno_core", "mlua", "pyo3", "rhai", "rquickjs", "rustpython-vm", "starlark", "v8", "wasmtime"}
    assert len(crates) > 200 and not crates & engines
    assert not [one for one in crates if "saml" in one]


def test_r23_no_answer_tells_of_another(demo):
    """Errors are made for each request: what one of many at once says is never in another's."""
    def ask(mark):
        client = demo.client(f"127.3.1.{mark % 50 + 1}")
        at = client.post("/oauth2/token", data={
            "grant_type": "authorization_code", "code": f"mark{mark}x", "client_id": f"mark{mark}x"})
        on = client.get("/oauth2/authorize", params={"client_id": f"mark{mark}x", "redirect_uri": f"https://mark{mark}x"})
        api = client.get(f"/api/admin/v1/users/mark{mark}x", headers=bearer(f"mark{mark}x"))
        return mark, at.text + on.text + api.text, api.headers["x-request-id"]

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(100, 200)))
    for mark, text, _ in answers:
        assert set(re.findall(r"mark(\d+)x", text)) <= {str(mark)}
    assert len({request for _, _, request in answers}) == len(answers)
