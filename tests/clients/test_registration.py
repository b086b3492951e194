"""Dynamic registration (RFC 7591, RFC 7592), pairwise subjects, fetched keys and back-channel logout.
Tests of modules of the OIDF plans for a dynamic provider and back-channel logout carry their names."""

import base64
import json
import secrets
import time
from pathlib import Path
from urllib.parse import urlencode

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from dpop import Key, b64
from listener import Listener, certificate
from portcullis import Demo, bearer, code_of, fields, log_in, pkce, submit, until

EXAMPLES = Path(__file__).parents[2] / "examples"
CALLBACK = "https://rp.example/cb"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return certificate(tmp_path_factory.mktemp("client"))


def config(files, mode="open"):
    text = (EXAMPLES / "portcullis.example.toml").read_text()
    text = text.replace("profile.openapi.yaml", str(EXAMPLES / "profile.openapi.yaml"))
    return text + f"""
[egress]
allow = ["127.0.0.1/32"]
ca = "{files[1]}"

[registration]
mode = "{mode}"
nonce_instead_of_pkce = true

[protect.register]
limits = [{{ key = "ip", rate = "1000/min" }}]
"""


@pytest.fixture(scope="module")
def op(files):
    with Demo(config(files)) as running:
        yield running
        assert "panicked" not in running.log()


@pytest.fixture
def there(files):
    return Listener(files[0])


@pytest.fixture
def browser(op, source):
    bob = op.facts()["users"][1]
    browser = op.client(source)
    assert log_in(browser, bob["username"], bob["password"]).status_code == 303
    return browser


def register(op, expect=201, **metadata):
    answer = op.client().post("/oauth2/register", json={
        "redirect_uris": [CALLBACK], "client_name": "Dynamic", **metadata,
    })
    assert answer.status_code == expect, answer.text
    return answer.json()


def consent(browser, query):
    page = browser.get(f"/oauth2/authorize?{urlencode(query)}")
    if page.status_code == 200 and "consent-allow" in page.text:
        page = browser.post("/oauth2/consent", data={**fields(page.text), "decision": "allow"})
    return page


def log_through(op, browser, made, uri=CALLBACK, scope="openid profile", **more):
    verifier, challenge = pkce()
    answer = consent(browser, {
        "response_type": "code", "client_id": made["client_id"], "redirect_uri": uri,
        "scope": scope, "code_challenge": challenge, "code_challenge_method": "S256", **more,
    })
    tokens = op.client().post("/oauth2/token", data={
        "grant_type": "authorization_code", "code": code_of(answer)["code"][0],
        "redirect_uri": uri, "code_verifier": verifier,
    }, auth=(made["client_id"], made["client_secret"]))
    assert tokens.status_code == 200, tokens.text
    return tokens.json()


def claims_of(token):
    body = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))


def test_oidcc_discovery_endpoint_verification(op):
    known = op.client().get("/.well-known/openid-configuration").json()
    assert known["registration_endpoint"] == f"{op.issuer}/oauth2/register"
    assert set(known["subject_types_supported"]) == {"public", "pairwise"}
    assert known["backchannel_logout_supported"] and known["backchannel_logout_session_supported"]
    for name in ("issuer", "authorization_endpoint", "token_endpoint", "jwks_uri",
                 "response_types_supported", "id_token_signing_alg_values_supported"):
        assert name in known
    assert "RS256" in known["id_token_signing_alg_values_supported"]


def test_oidcc_server_dynamic_registration_and_management(op, browser):
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


def test_oidcc_ensure_redirect_uri_is_registered_and_without_fragment(op):
    assert register(op, 400, redirect_uris=["https://rp.example/cb#x"])["error"] == "invalid_redirect_uri"
    assert register(op, 400, redirect_uris=[])["error"] == "invalid_redirect_uri"
    assert register(op, 400, redirect_uris=["http://rp.example/"])["error"] == "invalid_redirect_uri"


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


def test_oidcc_registration_policy_and_tos_uri(op, browser):
    made = register(op, policy_uri="https://rp.example/privacy", tos_uri="https://rp.example/terms")
    page = browser.get("/oauth2/authorize?" + urlencode({
        "response_type": "code", "client_id": made["client_id"], "redirect_uri": CALLBACK,
        "scope": "openid", "nonce": "n",
    })).text
    assert 'href="https://rp.example/privacy" rel="noreferrer noopener"' in page
    assert "https://rp.example/terms" in page


def test_oidcc_registration_sector_uri(op, there, browser):
    uris = ["https://a.example/cb", "https://b.example/cb"]
    there.documents["/sector"] = [*uris, "https://c.example/cb"]
    made = register(op, redirect_uris=uris, subject_type="pairwise",
                    sector_identifier_uri=f"{there.url}/sector")
    assert made["subject_type"] == "pairwise"
    assert there.asked == ["/sector"]


def test_oidcc_registration_sector_bad(op, there):
    there.documents["/sector"] = ["https://somebody.example/cb"]
    for document in ("/sector", "/missing"):
        refused = register(op, 400, subject_type="pairwise",
                           sector_identifier_uri=f"{there.url}{document}")
        assert refused["error"] == "invalid_client_metadata"


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


def signed(key, claims, kid):
    head = {"alg": "ES256", "kid": kid}
    text = f"{b64(json.dumps(head).encode())}.{b64(json.dumps(claims).encode())}"
    r, s = decode_dss_signature(key.private.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
    return f"{text}.{b64(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


def test_oidcc_server_rotate_keys_of_the_client(op, there):
    """private_key_jwt with keys at jwks_uri, which may change."""
    old = Key()
    there.documents["/keys"] = {"keys": [{**old.jwk, "kid": "old", "use": "sig", "alg": "ES256"}]}
    made = register(op, token_endpoint_auth_method="private_key_jwt", jwks_uri=f"{there.url}/keys")
    assert "client_secret" not in made

    def attempt(key, kid):
        now = int(time.time())
        claims = {"iss": made["client_id"], "sub": made["client_id"], "aud": op.issuer,
                  "exp": now + 60, "iat": now, "jti": secrets.token_urlsafe(12)}
        return op.client().post("/oauth2/token", data={
            "grant_type": "authorization_code", "code": "x", "redirect_uri": CALLBACK,
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": signed(key, claims, kid),
        }).json()["error"]

    assert attempt(old, "old") == "invalid_grant", "the client is known, the code is not"
    assert there.asked == ["/keys"]
    assert attempt(old, "old") == "invalid_grant"
    assert there.asked == ["/keys"], "keys are kept for a while"
    assert attempt(Key(), "other") == "invalid_client"
    assert len(there.asked) <= 2, "a stranger's signature does not make us fetch at will"


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


def logged_out(op, there, browser, made, leave):
    tokens = log_through(op, browser, made)
    leave(tokens)
    until(lambda: there.posted, "the logout token")
    path, form = there.posted[0]
    return path, form["logout_token"][0], claims_of(tokens["id_token"])


def check_logout_token(op, token, made, told):
    head = json.loads(base64.urlsafe_b64decode(token.split(".")[0] + "=="))
    claims = claims_of(token)
    assert head["typ"] == "logout+jwt" and head["alg"] == "RS256"
    assert (claims["iss"], claims["aud"]) == (op.issuer, made["client_id"])
    assert (claims["sub"], claims["sid"]) == (told["sub"], told["sid"])
    assert claims["events"] == {"http://schemas.openid.net/event/backchannel-logout": {}}
    assert "nonce" not in claims and claims["jti"] and claims["exp"] - claims["iat"] <= 120
    keys = KeySet.import_key_set(op.client().get("/oauth2/jwks").json())
    jwt.decode(token, keys, algorithms=["RS256"])


def test_oidcc_backchannel_rp_initiated_logout(op, there, browser):
    made = register(op, backchannel_logout_uri=f"{there.url}/logout",
                    backchannel_logout_session_required=True)
    leave = lambda tokens: browser.get("/oauth2/logout?" + urlencode(
        {"id_token_hint": tokens["id_token"]}))
    path, token, told = logged_out(op, there, browser, made, leave)
    assert path == "/logout"
    check_logout_token(op, token, made, told)


def test_a_logout_is_told_again_until_the_client_takes_it(op, there, browser):
    made = register(op, backchannel_logout_uri=f"{there.url}/logout", subject_type="pairwise")
    there.status = [503]
    leave = lambda tokens: submit(browser, "/account", {}) and browser.post(
        "/logout", data={"csrf": fields(browser.get("/account").text)["csrf"]})
    _, token, told = logged_out(op, there, browser, made, leave)
    check_logout_token(op, token, made, told)
    until(lambda: len(there.posted) == 2, "the second attempt", 40)


def test_a_password_reset_tells_every_client(op, there, source):
    person = op.new_user("forgetful.one")
    browser = op.client(source)
    assert log_in(browser, "forgetful.one", "plum rivet otter canvas").status_code == 303
    made = register(op, backchannel_logout_uri=f"{there.url}/logout")
    log_through(op, browser, made)
    submit(op.client(source), "/forgot-password", {"email": "forgetful.one@example.org"})
    link = op.link("forgetful.one@example.org")
    reset = submit(op.client(source), link, {"password": "quiet lantern orbit maple"})
    assert reset.status_code in (200, 303), reset.text
    until(lambda: there.posted, "the logout token")
    assert claims_of(there.posted[0][1]["logout_token"][0])["sub"] == person["id"]
