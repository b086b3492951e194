"""Token Status List (draft-ietf-oauth-status-list): read here by hand, with the libraries of Python,
and by a service that checks its tokens itself."""

import base64
import json
import sqlite3
import time
import zlib
from pathlib import Path

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from portcullis import Demo, bearer, exchange, fields, log_in, until
from test_exchange import exchange as token_exchange
from test_exchange import register

PLACES = 1 << 24
SHORT = (Path(__file__).parents[2] / "crates/server/src/demo.toml").read_text() + (
    '\n[tokens]\nstatus_list_lifetime = "3s"\n'
)


@pytest.fixture(scope="module")
def short():
    """An installation whose list lives three seconds."""
    with Demo(SHORT) as demo:
        yield demo


def claims_of(token):
    return json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))


class Reader:
    """A resource server that knows nothing of Portcullis but the standards."""

    def __init__(self, demo):
        self.demo, self.http = demo, demo.client()

    def fetch(self):
        answer = self.http.get("/oauth2/status-list", headers={"accept": "application/statuslist+jwt"})
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "application/statuslist+jwt"
        token = answer.text
        keys = KeySet.import_key_set(self.http.get("/oauth2/jwks").json())
        opened = jwt.decode(token, keys, algorithms=["EdDSA", "Ed25519"])
        assert opened.header["typ"] == "statuslist+jwt"
        claims = opened.claims
        assert claims["sub"] == f"{self.demo.issuer}/oauth2/status-list"
        packed = claims["status_list"]
        assert packed["bits"] == 1
        lst = packed["lst"]
        self.bits = zlib.decompress(base64.urlsafe_b64decode(lst + "=" * (-len(lst) % 4)))
        assert len(self.bits) == PLACES // 8
        return claims

    def status(self, token):
        place = claims_of(token)["status"]["status_list"]
        assert place["uri"] == f"{self.demo.issuer}/oauth2/status-list"
        return self.bits[place["idx"] // 8] >> (place["idx"] % 8) & 1

    def sees(self, token, status):
        """The list is made anew every second."""

        def look():
            self.fetch()
            return self.status(token) == status

        until(look, f"status {status}", 5)


def own_token(demo, service, **more):
    answer = demo.client().post("/oauth2/token", data={
        "grant_type": "client_credentials", "scope": "profile", **more,
    }, auth=service)
    assert answer.status_code == 200, answer.text
    return answer.json()["access_token"]


def new_service(demo, **more):
    made = demo.operator().post("/api/admin/v1/clients", json={
        "name": "Worker", "token_endpoint_auth_method": "client_secret_basic",
        "grant_types": ["client_credentials"], "scopes": ["profile"], **more,
    })
    assert made.status_code == 201, made.text
    return made.json()["client"]["client_id"], made.json()["client_secret"]


def test_the_list_says_how_long_it_lives(demo):
    claims = Reader(demo).fetch()
    assert claims["exp"] - claims["iat"] == 15 and claims["ttl"] == 5
    assert abs(claims["iat"] - time.time()) < 10


def test_a_logout_is_seen_in_the_list_and_the_next_login_is_not(demo, source):
    reader, browser, person = Reader(demo), demo.client(source), demo.facts()["users"][0]
    assert log_in(browser, person["username"], person["password"]).status_code == 303
    held = exchange(demo, browser)["access_token"]
    reader.fetch()
    assert reader.status(held) == 0
    me = demo.client(source).get("/oauth2/userinfo", headers=bearer(held))
    assert me.status_code == 200
    csrf = fields(browser.get("/account").text)["csrf"]
    assert browser.post("/logout", data={"csrf": csrf}).status_code == 303
    reader.sees(held, 1)
    assert log_in(browser, person["username"], person["password"]).status_code == 303
    assert reader.status(exchange(demo, browser)["access_token"]) == 0


def test_of_a_grant_only_what_was_issued_before_is_revoked(demo, source):
    """One access token is revoked; the person stays logged in and the refreshed one is good."""
    reader, browser, person = Reader(demo), demo.client(source), demo.facts()["users"][0]
    assert log_in(browser, person["username"], person["password"]).status_code == 303
    held = exchange(demo, browser)
    web = {"client_id": demo.facts()["clients"]["web"]["client_id"]}
    revoked = browser.post("/oauth2/revoke", data={"token": held["access_token"], **web})
    assert revoked.status_code == 200
    fresh = browser.post("/oauth2/token", data={
        "grant_type": "refresh_token", "refresh_token": held["refresh_token"], **web,
    })
    assert fresh.status_code == 200, fresh.text
    fresh = fresh.json()["access_token"]
    reader.sees(held["access_token"], 1)
    assert reader.status(fresh) == 0
    client = demo.client(source)
    assert client.get("/profile/me", headers=bearer(fresh)).status_code == 200
    assert client.get("/profile/me", headers=bearer(held["access_token"])).status_code == 401


def test_a_clients_own_tokens_are_revoked_one_by_one_or_all(demo):
    reader, service = Reader(demo), new_service(demo)
    many = [own_token(demo, service) for _ in range(8)]
    places = {claims_of(token)["status"]["status_list"]["idx"] for token in many}
    assert len({place // 256 for place in places}) == 1 and len(places) > 1
    first = many[0]
    others = [token for token in many
              if claims_of(token)["status"] != claims_of(first)["status"]]
    demo.client().post("/oauth2/revoke", data={"token": first}, auth=service)
    reader.sees(first, 1)
    assert [reader.status(token) for token in others] == [0] * len(others)
    # Nobody is given a place that is taken.
    assert all(reader.status(own_token(demo, service)) == 0 for _ in range(40))
    path = f"/api/admin/v1/clients/{service[0]}"
    assert demo.operator().post(f"{path}/disable").status_code in (200, 204)
    reader.sees(others[0], 1)
    assert all(reader.status(token) == 1 for token in many)
    assert demo.operator().post(f"{path}/enable").status_code in (200, 204)
    assert reader.status(own_token(demo, service)) == 0


def test_a_service_refuses_what_was_revoked(short):
    """The service is asked directly, behind the gate's back, and never asks about this token."""
    service = new_service(short, audiences=["profile"])
    token, other = own_token(short, service), own_token(short, service)
    url = f"http://127.0.0.1:{short.ports['PROFILE']}/profile/me"
    def at_service(token):
        return httpx.get(url, headers=bearer(token))

    assert at_service(token).status_code == 200
    short.client().post("/oauth2/revoke", data={"token": token}, auth=service)
    refused = until(
        lambda: (a := at_service(token)).status_code != 200 and a, "the end of the token", 8)
    assert refused.status_code == 401
    assert "the token was revoked" in refused.headers["www-authenticate"]
    if claims_of(other)["status"] != claims_of(token)["status"]:
        assert at_service(other).status_code == 200


def test_a_service_without_a_list_lets_nobody_in():
    """What cannot be checked is not believed; the keys that it has do not help."""
    with Demo(SHORT) as demo:
        service = new_service(demo, audiences=["profile"])
        token = own_token(demo, service)
        # Signed with a key that the service has never heard of.
        head = json.loads(base64.urlsafe_b64decode(token.split(".")[0] + "=="))
        head = base64.urlsafe_b64encode(json.dumps({**head, "kid": "new"}).encode()).decode()
        rotated = ".".join([head.rstrip("="), *token.split(".")[1:]])
        url = f"http://127.0.0.1:{demo.ports['PROFILE']}/profile/me"
        assert httpx.get(url, headers=bearer(token)).status_code == 200
        assert httpx.get(url, headers=bearer(rotated)).status_code == 401
        demo.server.kill()
        demo.server.wait(30)
        gone = until(
            lambda: (a := httpx.get(url, headers=bearer(token), timeout=20)).status_code != 200 and a,
            "the end of the list", 15)
        assert gone.status_code == 503
        # Nor is it called wrong when nobody can be asked about the key; it was, a moment ago.
        until(lambda: httpx.get(url, headers=bearer(rotated), timeout=20).status_code == 503,
              "the wish for newer keys", 20)


def test_marks_outlive_the_process():
    with Demo(SHORT, services=False) as demo:
        until(lambda: (demo.data / "demo.json").exists(), "demo.json")
        service = new_service(demo)
        token = own_token(demo, service)
        demo.client().post("/oauth2/revoke", data={"token": token}, auth=service)
        demo.kill()
        demo.start()
        reader = Reader(demo)
        reader.fetch()
        assert reader.status(token) == 1


def taken_by_somebody_else(demo, kind, value):
    """What another node of the installation would write."""
    end = (time.time_ns() // 1000) + 3600 * 10**6
    with sqlite3.connect(demo.data / "portcullis.db", timeout=20) as db:
        tenant, = db.execute("SELECT tenant FROM account LIMIT 1").fetchone()
        db.execute("INSERT INTO revocation (tenant, kind, value, issued_until, expires_at) "
                   "VALUES (?, ?, ?, ?, ?)", (tenant, kind, str(value), end, end))


def place(token):
    return claims_of(token)["status"]["status_list"]["idx"]


def test_who_meets_another_at_a_place_moves_on_for_good(short):
    """Places meet by chance. The next token is elsewhere, and what is revoked then is that place."""
    reader, client, person = Reader(short), short.client("127.0.0.7"), short.facts()["users"][1]
    assert log_in(client, person["username"], person["password"]).status_code == 303
    held = exchange(short, client)
    first = held["access_token"]
    taken_by_somebody_else(short, "status", place(first))
    reader.sees(first, 1)
    assert client.get("/profile/me", headers=bearer(first)).status_code == 401
    web = {"client_id": short.facts()["clients"]["web"]["client_id"]}
    fresh = client.post("/oauth2/token", data={
        "grant_type": "refresh_token", "refresh_token": held["refresh_token"], **web}).json()
    token = fresh["access_token"]
    assert place(token) != place(first)
    assert client.get("/profile/me", headers=bearer(token)).status_code == 200
    client.post("/oauth2/revoke", data={"token": fresh["refresh_token"], **web})
    reader.sees(token, 1)


def test_a_client_that_meets_another_gets_another_block(short):
    reader, service = Reader(short), new_service(short)
    first = own_token(short, service)
    taken_by_somebody_else(short, "status_block", place(first) // 256)
    reader.sees(first, 1)
    second = own_token(short, service)
    assert place(second) // 256 != place(first) // 256 and reader.status(second) == 0
    assert short.operator().post(f"/api/admin/v1/clients/{service[0]}/disable").is_success
    reader.sees(second, 1)


def test_what_was_exchanged_ends_with_its_subject_and_not_the_other_way_round(short):
    """A service down the line must not end the token that it was called with."""
    reader, upstream = Reader(short), new_service(short)
    downstream = register(short, serves=[short.issuer], audiences=["https://stock.example"])
    subject = own_token(short, upstream)
    exchanged = token_exchange(short, downstream, subject).json()["access_token"]
    assert place(exchanged) == place(subject)
    short.client().post("/oauth2/revoke", data={"token": exchanged}, auth=downstream)
    reader.fetch()
    assert reader.status(subject) == 0
    short.client().post("/oauth2/revoke", data={"token": subject}, auth=upstream)
    reader.sees(exchanged, 1)
