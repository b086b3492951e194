"""Dynamic registration (RFC 7591, RFC 7592), pairwise subjects, fetched keys and back-channel logout,
beyond what the plans for a dynamic provider and for back-channel logout check."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlencode

import pytest

from assertions import Signer
from portcullis import Demo, bearer, code_of
from registrant import CALLBACK, config, consent, log_through, register
from relying_party import claims_of


def test_a_client_registers_and_looks_after_its_registration(op, browser):
    made = register(op, client_uri="https://rp.example/", scope="openid profile", unknown="ignored")
    assert made["client_secret_expires_at"] == 0 and made["client_id_issued_at"] <= time.time()
    assert made["token_endpoint_auth_method"] == "client_secret_basic"
    assert made["response_types"] == ["code"] and "unknown" not in made
    claims = claims_of(log_through(op, browser, made)["id_token"])
    assert claims["aud"] == made["client_id"]

    manage = op.client()
    manage.headers.update(bearer(made["registration_access_token"]))
    url = made["registration_client_uri"]
    seen = manage.get(url)
    assert seen.status_code == 200 and seen.json()["redirect_uris"] == [CALLBACK]
    assert "client_secret" not in seen.json()
    changed = manage.put(url, json={**seen.json(), "client_name": "Renamed",
                                    "redirect_uris": ["https://rp.example/other"]})
    assert changed.status_code == 200 and changed.json()["client_name"] == "Renamed"
    refused = browser.get("/oauth2/authorize?" + urlencode({
        "response_type": "code", "client_id": made["client_id"], "redirect_uri": CALLBACK,
    }))
    assert refused.status_code == 400, "the old redirect URI is gone"
    for wrong in ("x", "x" * 100):
        assert op.client().get(url, headers=bearer(wrong)).status_code == 401
    other = register(op)
    stolen = op.client().get(url, headers=bearer(other["registration_access_token"]))
    assert stolen.status_code == 401
    assert manage.delete(url).status_code == 204
    assert manage.get(url).status_code == 401
    gone = op.client().post("/oauth2/token", data={"grant_type": "authorization_code"},
                            auth=(made["client_id"], made["client_secret"]))
    assert gone.status_code == 401


@pytest.mark.parametrize("metadata", [
    {"token_endpoint_auth_method": "magic"}, {"grant_types": ["password"]},
    {"grant_types": ["client_credentials"]}, {"response_types": ["token"]}, {"scope": "admin"},
    {"id_token_signed_response_alg": "none"}, {"jwks": {"keys": []}, "jwks_uri": "https://a.example"},
    {"redirect_uris": "https://a.example"}, {"jwks_uri": "http://a.example"},
    {"subject_type": "pairwise", "redirect_uris": ["https://a.example/", "https://b.example/"]},
    {"token_endpoint_auth_method": "private_key_jwt"}, {"client_uri": "javascript:alert(1)"},
    {"client_name": "x" * 101}, {"backchannel_logout_uri": "https://u:p@a.example/"},
], ids=str)
def test_metadata_that_cannot_be_accepted(op, metadata):
    assert register(op, 400, **metadata)["error"] == "invalid_client_metadata"


def test_what_only_administrators_give_cannot_be_taken(op, browser):
    made = register(op, may_impersonate=True, serves=[op.issuer], first_party=True,
                    audiences=["https://x.example"], sector_identifier="x")
    assert not made.get("may_impersonate") and "serves" not in made
    page = browser.get("/oauth2/authorize?" + urlencode({
        "response_type": "code", "client_id": made["client_id"], "redirect_uri": CALLBACK,
        "scope": "openid", "nonce": "n",
    }))
    assert "consent-allow" in page.text, "people are asked"


@pytest.mark.parametrize("uri", [
    "https://10.0.0.1/keys", "https://169.254.169.254/latest", "https://localhost:1/", "https://[::1]/",
])
def test_r9_hostile_metadata_addresses_are_not_called(op, uri):
    refused = register(op, 400, subject_type="pairwise", sector_identifier_uri=uri)
    assert refused["error"] == "invalid_client_metadata"


def test_pairwise_subjects_differ_by_sector_and_nowhere_else(op, browser):
    public = claims_of(log_through(op, browser, register(op))["id_token"])["sub"]
    assert public.startswith("usr_")
    a, b = "https://a.example/cb", "https://b.example/cb"
    subjects = []
    for uri in (a, a, b):
        made = register(op, redirect_uris=[uri], subject_type="pairwise")
        tokens = log_through(op, browser, made, uri)
        subject = claims_of(tokens["id_token"])["sub"]
        assert claims_of(tokens["access_token"])["sub"] == subject
        info = op.client().get("/oauth2/userinfo", headers=bearer(tokens["access_token"])).json()
        assert info["sub"] == subject and info["preferred_username"] == "bob"
        known = op.client().post("/oauth2/introspect", data={"token": tokens["access_token"]},
                                 auth=(made["client_id"], made["client_secret"])).json()
        assert known["sub"] == subject
        hinted = consent(browser, {
            "response_type": "code", "client_id": made["client_id"], "redirect_uri": uri,
            "scope": "openid", "nonce": "n", "id_token_hint": tokens["id_token"], "prompt": "none",
        })
        assert "code" in code_of(hinted), "the hint names the person who is logged in"
        subjects.append(subject)
    assert subjects[0] == subjects[1] != subjects[2]
    assert public not in subjects


def test_keys_that_a_client_publishes_are_kept_for_a_while(op, there):
    old = Signer("ES256", kid="old", use="sig", alg="ES256")
    there.documents["/keys"] = old.jwks
    made = register(op, token_endpoint_auth_method="private_key_jwt", jwks_uri=f"{there.url}/keys")
    assert "client_secret" not in made

    def attempt(signer):
        return op.client().post("/oauth2/token", data={
            "grant_type": "authorization_code", "code": "x", "redirect_uri": CALLBACK,
            **signer.form(made["client_id"], op.issuer),
        }).json()["error"]

    assert attempt(old) == "invalid_grant", "the client is known, the code is not"
    assert there.asked == ["/keys"]
    assert attempt(old) == "invalid_grant"
    assert there.asked == ["/keys"], "keys are kept for a while"
    assert attempt(Signer("ES256", kid="other")) == "invalid_client"
    assert len(there.asked) <= 2, "a stranger's signature does not make us fetch at will"


def test_a_client_that_is_disabled_while_it_changes_itself_stays_so(op, there):
    there.documents["/sector"] = [CALLBACK]
    made = register(op, subject_type="pairwise", sector_identifier_uri=f"{there.url}/sector")
    asked, go_on = threading.Event(), threading.Event()
    answer = there.server.RequestHandlerClass.do_GET

    def slow(handler):
        asked.set()
        go_on.wait(20)
        answer(handler)

    there.server.RequestHandlerClass.do_GET = slow
    kept = ("registration_client_uri", "registration_access_token", "client_secret",
            "client_id_issued_at", "client_secret_expires_at")
    wish = {name: value for name, value in made.items() if name not in kept}
    change = lambda: op.client().put(made["registration_client_uri"], json=wish,
                                     headers=bearer(made["registration_access_token"]))
    with ThreadPoolExecutor(1) as pool:
        changing = pool.submit(change)
        assert asked.wait(20)
        client = f"/api/admin/v1/clients/{made['client_id']}"
        assert op.operator().post(f"{client}/disable").json()["disabled"]
        go_on.set()
        assert changing.result().status_code == 401
    there.server.RequestHandlerClass.do_GET = answer
    assert op.operator().get(client).json()["disabled"]


def test_a_token_is_needed_where_the_policy_says_so(files):
    with Demo(config(files, "token")) as op:
        assert op.client().post("/oauth2/register", json={}).status_code == 401
        made = op.operator().post("/api/admin/v1/clients", json={
            "name": "Portal", "token_endpoint_auth_method": "client_secret_basic",
            "grant_types": ["client_credentials"], "scopes": ["client_registration", "profile"],
        }).json()
        auth = made["client"]["client_id"], made["client_secret"]
        ask = lambda scope: op.client().post(
            "/oauth2/token", data={"grant_type": "client_credentials", "scope": scope}, auth=auth)
        body = {"redirect_uris": [CALLBACK], "grant_types": ["client_credentials"]}
        weak = ask("profile").json()["access_token"]
        assert op.client().post("/oauth2/register", json=body, headers=bearer(weak)).status_code == 401
        good = ask("client_registration").json()["access_token"]
        answer = op.client().post("/oauth2/register", json=body, headers=bearer(good))
        assert answer.status_code == 201, answer.text


def test_registration_is_off_unless_it_is_switched_on(demo):
    assert demo.client().post("/oauth2/register", json={}).status_code == 404
    known = demo.client().get("/.well-known/openid-configuration").json()
    assert "registration_endpoint" not in known
