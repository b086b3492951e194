"""Devices without a browser (RFC 8628)."""

import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from portcullis import bearer, fields, log_in, submit

GRANT = "urn:ietf:params:oauth:grant-type:device_code"


@pytest.fixture
def browser(demo, source):
    alice = demo.facts()["users"][0]
    browser = demo.client(source)
    assert log_in(browser, alice["username"], alice["password"]).status_code == 303
    return browser


@pytest.fixture
def device(demo):
    return Device(demo)


class Device:
    def __init__(self, demo, scopes=("openid", "profile", "email"), grants=(GRANT, "refresh_token")):
        made = demo.operator().post("/api/admin/v1/clients", json={
            "name": "Living room <TV>", "token_endpoint_auth_method": "none", "scopes": list(scopes),
            "grant_types": list(grants), "first_party": True,
        })
        assert made.status_code == 201, made.text
        self.demo, self.id = demo, made.json()["client"]["client_id"]

    def begin(self, **more):
        form = {"client_id": self.id, "scope": "openid profile", **more}
        return self.demo.client().post("/oauth2/device_authorization", data=form)

    def poll(self, code, **more):
        form = {"grant_type": GRANT, "client_id": self.id, "device_code": code, **more}
        return self.demo.client().post("/oauth2/token", data=form)

    def error(self, code, **more):
        answer = self.poll(code, **more)
        assert answer.status_code == 400, answer.text
        return answer.json()["error"]


def decide(browser, user_code, decision="allow"):
    page = submit(browser, "/device", {"user_code": user_code})
    assert "consent-allow" in page.text, page.text
    return browser.post("/device", data={**fields(page.text), "decision": decision}), page


def test_a_device_gets_its_tokens_when_the_person_allows_it(demo, device, browser):
    begun = device.begin()
    assert begun.status_code == 200 and begun.headers["cache-control"] == "no-store"
    begun = begun.json()
    assert begun["verification_uri"] == f"{demo.issuer}/device" and begun["interval"] == 5
    assert device.error(begun["device_code"]) == "authorization_pending"
    assert device.error(begun["device_code"]) == "slow_down"
    done, page = decide(browser, begun["user_code"].lower().replace("-", " "))
    assert begun["user_code"] in page.text and "&#60;TV&#62;" in page.text
    assert "is connected" in done.text
    held = device.poll(begun["device_code"])
    assert held.status_code == 200, held.text
    held = held.json()
    assert held["scope"] == "openid profile" and "id_token" in held
    info = demo.client().get("/oauth2/userinfo", headers=bearer(held["access_token"])).json()
    assert info["preferred_username"] == "alice"
    assert demo.client().get("/profile/me", headers=bearer(held["access_token"])).status_code == 200


def test_the_device_outlives_the_browsers_session_but_not_the_password(demo, device, source):
    name = "dora" + source.split(".")[-1]
    password = "plum rivet otter canvas"
    demo.new_user(name, password)
    browser = demo.client(source)
    assert log_in(browser, name, password).status_code == 303
    begun = device.begin().json()
    decide(browser, begun["user_code"])
    held = device.poll(begun["device_code"]).json()
    page = browser.get("/account")
    assert browser.post("/logout", data={"csrf": fields(page.text)["csrf"]}).status_code == 303
    form = {"grant_type": "refresh_token", "client_id": device.id}
    fresh = demo.client().post("/oauth2/token", data={**form, "refresh_token": held["refresh_token"]})
    assert fresh.status_code == 200, fresh.text
    assert log_in(browser, name, password).status_code == 303
    changed = submit(browser, "/forgot-password", {"email": f"{name}@example.org"})
    assert changed.status_code == 200
    link = demo.link(f"{name}@example.org")
    path = link.removeprefix(demo.issuer)
    assert submit(browser, path, {"password": "violet anchor maple drum"}).status_code < 400
    again = demo.client().post(
        "/oauth2/token", data={**form, "refresh_token": fresh.json()["refresh_token"]})
    assert again.json()["error"] == "invalid_grant"


def test_a_denied_device_is_told_so(device, browser):
    begun = device.begin().json()
    done, _ = decide(browser, begun["user_code"], "deny")
    assert "gets no access" in done.text
    assert device.error(begun["device_code"]) == "access_denied"


def test_a_stranger_logs_in_first_and_comes_back(demo, device, source):
    begun = device.begin().json()
    browser = demo.client(source)
    link = begun["verification_uri_complete"].removeprefix(demo.issuer)
    to_login = browser.get(link).headers["location"]
    bob = demo.facts()["users"][1]
    form = {"username": bob["username"], "password": bob["password"]}
    back = submit(browser, to_login, form).headers["location"]
    assert urlsplit(back).path == "/device"
    # The code from the address is filled in, but nothing is decided by opening a link.
    page = browser.get(back)
    assert fields(page.text)["user_code"] == begun["user_code"] and "consent-allow" not in page.text
    assert device.error(begun["device_code"]) == "authorization_pending"
    done, _ = decide(browser, begun["user_code"])
    assert "is connected" in done.text


def test_a_code_is_decided_once_and_redeemed_once(demo, device, browser):
    begun = device.begin().json()
    page = submit(browser, "/device", {"user_code": begun["user_code"]})
    form = {**fields(page.text), "decision": "allow"}
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: browser.post("/device", data=form), range(6)))
    assert sum("is connected" in answer.text for answer in answers) == 1
    with ThreadPoolExecutor(6) as pool:
        polls = list(pool.map(lambda _: device.poll(begun["device_code"]), range(6)))
    held = [answer for answer in polls if answer.status_code == 200]
    assert len(held) == 1
    assert all(answer.json()["error"] == "invalid_grant" for answer in polls if answer not in held)
    # Whoever redeemed it twice gets nothing to keep.
    token = held[0].json()["access_token"]
    assert demo.client().get("/profile/me", headers=bearer(token)).status_code == 401


def test_wrong_codes_and_clients_are_refused(demo, device, browser):
    begun = device.begin().json()
    other = Device(demo)
    assert other.error(begun["device_code"]) == "invalid_grant"
    assert device.error("x") == "invalid_grant" and device.error("") == "invalid_request"
    assert device.error(begun["user_code"]) == "invalid_grant"
    assert device.begin(scope="openid admin").json()["error"] == "invalid_scope"
    web = demo.client().post("/oauth2/device_authorization", data={"client_id": "web"})
    assert web.json()["error"] == "unauthorized_client"
    nobody = demo.client().post("/oauth2/device_authorization", data={"client_id": "nobody"})
    assert nobody.status_code == 401 and nobody.json()["error"] == "invalid_client"
    for wrong in ("BCDF-GHJK", "", "x" * 100, begun["device_code"], "<script>"):
        answer = browser.post("/device", data={
            **fields(browser.get("/device").text), "user_code": wrong})
        assert answer.status_code == 400 and "<script>" not in answer.text
    foreign = browser.post("/device", data={"user_code": begun["user_code"], "decision": "allow"})
    assert foreign.status_code == 403
    assert device.error(begun["device_code"]) == "authorization_pending"


def test_guessing_codes_is_slowed_down(demo, source):
    alice = demo.facts()["users"][0]
    browser = demo.client(source)
    assert log_in(browser, alice["username"], alice["password"]).status_code == 303
    form = fields(browser.get("/device").text)
    answers = [browser.post("/device", data={**form, "user_code": "BCDF-GHJK"}) for _ in range(11)]
    assert [answer.status_code for answer in answers].count(429) == 1
    assert "retry-after" in answers[-1].headers


def test_openid_client_for_node_connects_a_device(own_demo):
    device = Device(own_demo)
    script = Path(__file__).with_name("openid_client_device.mjs")
    done = subprocess.run(
        ["node", script, own_demo.data / "demo.json", device.id], capture_output=True, text=True,
        env={**own_demo.env, "NODE_EXTRA_CA_CERTS": str(own_demo.data / "ca.pem")}, timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "every step passed" in done.stdout


def test_discovery_names_the_endpoint(demo):
    document = demo.client().get("/.well-known/openid-configuration").json()
    assert document["device_authorization_endpoint"] == f"{demo.issuer}/oauth2/device_authorization"
    assert GRANT in document["grant_types_supported"]
