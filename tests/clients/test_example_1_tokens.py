"""A user logs in with a standard OpenID client; the service behind the gate gets a validated token.
Tokens that are not good are refused with the right WWW-Authenticate."""

import base64
import json
import subprocess
import time
from pathlib import Path

import pytest
from authlib.integrations.requests_client import OAuth2Session
from authlib.jose import JsonWebKey, jwt
from cryptography.hazmat.primitives.asymmetric import ed25519

from portcullis import authorize, bearer, code_of, log_in, pkce, tokens, until


@pytest.fixture
def alice(demo):
    return demo.facts()["users"][0]


def refused(answer, status, word):
    assert answer.status_code == status, answer.text
    challenge = answer.headers["www-authenticate"]
    assert word in challenge, challenge
    assert answer.headers["content-type"] == "application/problem+json"


def test_the_profile_service_answers_a_user_of_authlib(demo, alice, source):
    web = demo.facts()["clients"]["web"]
    session = OAuth2Session(
        web["client_id"], redirect_uri=web["redirect_uri"], scope="openid profile",
        code_challenge_method="S256", token_endpoint_auth_method="none",
    )
    session.trust_env, session.verify = False, demo.facts()["ca_file"]
    verifier, challenge = pkce()
    browser = demo.client(source)
    assert log_in(browser, alice["username"], alice["password"]).status_code == 303
    location = authorize(demo, browser, challenge, "openid profile").headers["location"]
    assert f"iss=https%3A%2F%2Flocalhost%3A{demo.ports['PUBLIC']}" in location
    token = session.fetch_token(
        f"{demo.issuer}/oauth2/token", authorization_response=location, code_verifier=verifier,
    )
    answer = session.get(f"{demo.issuer}/profile/me")
    assert answer.status_code == 200, answer.text
    assert answer.json()["username"] == "alice"
    keys = JsonWebKey.import_key_set(session.get(f"{demo.issuer}/oauth2/jwks").json())
    claims = jwt.decode(token["id_token"], keys)
    claims.validate()
    assert (claims["aud"], claims["nonce"]) == (web["client_id"], "n0nce")


def test_openid_client_for_node_agrees(demo):
    script = Path(__file__).with_name("openid_client.mjs")
    done = subprocess.run(
        ["node", script, demo.data / "demo.json"], capture_output=True, text=True, timeout=120,
        env={**demo.env, "NODE_EXTRA_CA_CERTS": str(demo.data / "ca.pem")},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "every step passed" in done.stdout


def test_tokens_that_do_not_hold_are_refused(demo, alice, source):
    client = demo.client(source)
    good = tokens(demo, alice, source=source)
    token = good["access_token"]
    assert client.get("/profile/me", headers=bearer(token)).status_code == 200
    refused(client.get("/profile/me"), 401, 'Bearer realm="portcullis"')

    head, body, signature = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    assert claims["exp"] - claims["iat"] == 300 and claims["aud"] == demo.issuer

    def rewritten(**changes):
        text = json.dumps({**claims, **changes}).encode()
        return base64.urlsafe_b64encode(text).rstrip(b"=").decode()

    tampered = f"{head}.{rewritten(scope='openid profile admin')}.{signature}"
    refused(client.get("/profile/me", headers=bearer(tampered)), 401, 'error="invalid_token"')

    key = JsonWebKey.import_key(ed25519.Ed25519PrivateKey.generate(), {"kty": "OKP"})
    header = json.loads(base64.urlsafe_b64decode(head + "=="))
    foreign = jwt.encode(header, {**claims, "iss": "https://evil.example"}, key).decode()
    refused(client.get("/profile/me", headers=bearer(foreign)), 401, 'error="invalid_token"')

    none = base64.urlsafe_b64encode(b'{"alg":"none","typ":"at+jwt"}').rstrip(b"=").decode()
    for bad in (f"{none}.{body}.", f"{none}.{body}.{signature}", good["id_token"], "x", "a.b.c", token + "A"):
        refused(client.get("/profile/me", headers=bearer(bad)), 401, 'error="invalid_token"')
    answer = client.get("/profile/me", headers={"authorization": "Bearer"})
    refused(answer, 400, 'error="invalid_request"')
    for other in ("Basic YTpi", token):
        answer = client.get("/profile/me", headers={"authorization": other})
        refused(answer, 401, 'Bearer realm="portcullis"')
        assert "error" not in answer.headers["www-authenticate"], "RFC 6750, section 3.1"


def test_a_wrong_audience_is_refused(demo, source):
    service = demo.facts()["clients"]["service"]
    client = demo.client(source)

    def token(**more):
        answer = client.post(
            "/oauth2/token", auth=(service["client_id"], service["client_secret"]),
            data={"grant_type": "client_credentials", "scope": "profile", **more},
        )
        return answer.json()

    assert client.get("/profile/me", headers=bearer(token()["access_token"])).status_code == 200
    elsewhere = token(resource="https://elsewhere.example")["access_token"]
    answer = client.get("/profile/me", headers=bearer(elsewhere))
    refused(answer, 401, "another audience")
    assert token(resource="https://unknown.example")["error"] == "invalid_target"


def test_an_expired_token_is_refused(source):
    from portcullis import Demo

    config = (Path(__file__).parents[2] / "crates/server/src/demo.toml").read_text()
    with Demo(config + '\n[tokens]\naccess_token_lifetime = "1s"\n') as demo:
        secret = demo.facts()["clients"]["operator"]["client_secret"]
        client = demo.client(source)
        token = client.post("/oauth2/token", auth=("operator", secret), data={
            "grant_type": "client_credentials", "scope": "admin"}).json()["access_token"]
        path = "/api/admin/v1/blocks"
        last = until(
            lambda: (a := client.get(path, headers=bearer(token))).status_code != 200 and a,
            "the end of the token", 5,
        )
        refused(last, 401, "the token has expired")


def test_a_revoked_token_stops_at_once_and_stays_revoked(own_demo):
    demo = own_demo
    alice = demo.facts()["users"][0]
    good = tokens(demo, alice)
    client = demo.client()
    answer = client.get("/profile/me", headers=bearer(good["access_token"]))
    assert answer.status_code == 200, answer.text + demo.log()
    revoke = {"client_id": "web", "token": good["access_token"]}
    assert client.post("/oauth2/revoke", data=revoke).status_code == 200
    refused(client.get("/profile/me", headers=bearer(good["access_token"])), 401, "revoked")
    demo.stop()
    demo.start()
    client = demo.client()
    refused(client.get("/profile/me", headers=bearer(good["access_token"])), 401, "revoked")


def test_the_admin_service_needs_the_scope_admin(demo, alice, source):
    client = demo.client(source)
    ordinary = tokens(demo, alice, "openid profile admin", source)
    assert "admin" not in ordinary["scope"]
    answer = client.get("/admin-service/status", headers=bearer(ordinary["access_token"]))
    refused(answer, 403, 'error="insufficient_scope", scope="admin"')
    admin = tokens(demo, demo.facts()["admin"], "openid admin", source)
    answer = client.get("/admin-service/status", headers=bearer(admin["access_token"]))
    assert answer.status_code == 200, answer.text


def test_or_the_mesh_connection(demo, tmp_path):
    def issue(spiffe_id, name):
        demo.cli("ca", "issue", "--data", demo.data, "--spiffe-id", spiffe_id, "--out", tmp_path / name)
        return (tmp_path / name / "cert.pem", tmp_path / name / "key.pem")

    good = issue("spiffe://portcullis.local/service/back-office", "good")
    other = issue("spiffe://portcullis.local/service/other", "other")
    answer = demo.client(cert=good).get(f"{demo.mesh}/admin-service/status")
    assert answer.status_code == 200, answer.text
    assert answer.json()["caller"] == "spiffe://portcullis.local/service/back-office"
    assert demo.client(cert=other).get(f"{demo.mesh}/admin-service/status").status_code == 403
    with pytest.raises(Exception):
        demo.client().get(f"{demo.mesh}/admin-service/status")


def test_identity_headers_from_outside_do_not_arrive(demo, alice, source):
    token = tokens(demo, alice, source=source)["access_token"]
    spoofed = {
        **bearer(token), "x-forwarded-for": "1.2.3.4", "x-forwarded-user": "admin",
        "x-user-id": "1", "x_forwarded_for": "1.2.3.4", "forwarded": "for=1.2.3.4",
        "x-request-id": "spoofed", "x-portcullis-subject": "admin", "remote-user": "admin",
        "connection": "x-secret", "x-secret": "1", "cookie": "__Host-portcullis_session=a; own=1",
    }
    seen = demo.client(source).get("/profile/echo/x", headers=spoofed).json()["headers"]
    assert seen["x-forwarded-for"] == source
    assert seen["cookie"] == "own=1"
    for name in ("x-forwarded-user", "x-user-id", "x_forwarded_for", "forwarded", "x-secret",
                 "x-portcullis-subject", "remote-user"):
        assert name not in seen, name
    assert seen["x-request-id"].startswith("req_")


def test_refresh_tokens_rotate_and_reuse_ends_the_family(demo, alice, source):
    client = demo.client(source)

    def refresh(token):
        return client.post("/oauth2/token", data={
            "grant_type": "refresh_token", "refresh_token": token, "client_id": "web"})

    first = tokens(demo, alice, source=source)
    second = refresh(first["refresh_token"]).json()
    assert second["refresh_token"] != first["refresh_token"]
    assert client.get("/profile/me", headers=bearer(second["access_token"])).status_code == 200
    stolen = refresh(first["refresh_token"])
    assert (stolen.status_code, stolen.json()["error"]) == (400, "invalid_grant")
    assert refresh(second["refresh_token"]).json()["error"] == "invalid_grant"
    refused(client.get("/profile/me", headers=bearer(second["access_token"])), 401, "revoked")


def test_a_refresh_token_that_was_used_still_ends_its_grant(demo, source):
    """Whoever lost the answer with the new one can log out all the same (RFC 7009)."""
    person = demo.new_user("loser")
    client = demo.client(source)
    refresh = lambda token: client.post("/oauth2/token", data={"grant_type": "refresh_token", "refresh_token": token, "client_id": "web"})
    first = tokens(demo, {**person, "password": "plum rivet otter canvas"}, source=source)
    second = refresh(first["refresh_token"]).json()
    assert client.post("/oauth2/revoke", data={"client_id": "web", "token": first["refresh_token"]}).status_code == 200
    refused(client.get("/profile/me", headers=bearer(second["access_token"])), 401, "revoked")
    assert refresh(second["refresh_token"]).json()["error"] == "invalid_grant"


def test_a_code_is_bound_and_used_once(demo, alice, source):
    """Rule R3: one negative test for each field that a code is bound to."""
    browser = demo.client(source)
    log_in(browser, alice["username"], alice["password"])
    web = demo.facts()["clients"]["web"]
    verifier, challenge = pkce()
    code = code_of(authorize(demo, browser, challenge))["code"][0]
    good = {
        "grant_type": "authorization_code", "code": code, "redirect_uri": web["redirect_uri"],
        "client_id": "web", "code_verifier": verifier,
    }
    for change in ({"redirect_uri": "http://127.0.0.1/callback"}, {"code_verifier": pkce()[0]},
                   {"code_verifier": ""}, {"code": code[:-1]}):
        answer = browser.post("/oauth2/token", data={**good, **change})
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant"), change
    first = browser.post("/oauth2/token", data=good)
    assert first.status_code == 200, first.text
    assert browser.post("/oauth2/token", data=good).json()["error"] == "invalid_grant"
    token = first.json()["access_token"]
    refused(browser.get("/profile/me", headers=bearer(token)), 401, "revoked")


def test_the_discovery_documents_agree_and_lead_to_the_keys(demo):
    client = demo.client()
    oidc = client.get("/.well-known/openid-configuration").json()
    assert oidc == client.get("/.well-known/oauth-authorization-server").json()
    assert oidc["issuer"] == demo.issuer
    algs = {key["alg"] for key in client.get(oidc["jwks_uri"]).json()["keys"]}
    assert algs == {"EdDSA", "ES256", "RS256"}
    assert all("d" not in key for key in client.get(oidc["jwks_uri"]).json()["keys"])


def test_token_endpoint_errors_have_the_code_of_their_rfc(demo, source):
    """Rule R27."""
    client = demo.client(source)
    service = demo.facts()["clients"]["service"]
    auth = (service["client_id"], service["client_secret"])
    credentials = {"grant_type": "client_credentials"}
    for data, auth, status, error in [
        ({}, auth, 400, "invalid_request"),
        ({"grant_type": "password"}, auth, 400, "unsupported_grant_type"),
        ({"grant_type": "authorization_code", "code": "x"}, auth, 400, "unauthorized_client"),
        ({**credentials, "scope": "admin"}, auth, 400, "invalid_scope"),
        (credentials, ("service", "wrong"), 401, "invalid_client"),
        (credentials, ("nobody", "wrong"), 401, "invalid_client"),
        ({**credentials, "client_id": "service", "client_secret": auth[1]}, None, 401, "invalid_client"),
        ({**credentials, "client_secret": auth[1]}, auth, 400, "invalid_request"),
    ]:
        answer = client.post("/oauth2/token", data=data, auth=auth)
        assert (answer.status_code, answer.json()["error"]) == (status, error), data
        assert answer.headers["cache-control"] == "no-store"
    repeated = client.post(
        "/oauth2/token", content="grant_type=client_credentials&grant_type=x", auth=auth,
        headers={"content-type": "application/x-www-form-urlencoded"},
    )
    assert repeated.json()["error"] == "invalid_request"


def test_private_key_jwt_authenticates_once(demo, source):
    """Rules R10 and R11: our issuer as the one audience, and every assertion only once."""
    key = JsonWebKey.generate_key("EC", "P-256", is_private=True)
    public = key.as_dict(is_private=False)
    # The library drops leading zeros, which RFC 7518, section 6.2.1.2, forbids and we refuse.
    for name in "xy":
        coordinate = base64.urlsafe_b64decode(public[name] + "==").rjust(32, b"\0")
        public[name] = base64.urlsafe_b64encode(coordinate).rstrip(b"=").decode()
    made = demo.operator(source).post("/api/admin/v1/clients", json={
        "client_id": "robot", "name": "Robot", "token_endpoint_auth_method": "private_key_jwt",
        "grant_types": ["client_credentials"], "scopes": ["profile"], "jwks": {"keys": [public]},
    })
    assert made.status_code == 201, made.text
    client = demo.client(source)
    now = int(time.time())
    good = {"iss": "robot", "sub": "robot", "aud": demo.issuer, "exp": now + 60, "jti": "one"}

    def ask(claims):
        return client.post("/oauth2/token", data={
            "grant_type": "client_credentials",
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": jwt.encode({"alg": "ES256"}, claims, key).decode(),
        })

    assert ask(good).status_code == 200
    assert ask(good).json()["error"] == "invalid_client", "replayed"
    for change in ({"aud": [demo.issuer]}, {"aud": f"{demo.issuer}/oauth2/token"}, {"exp": now - 1},
                   {"exp": now + 4000}, {"exp": str(now + 60)}, {"iss": "web"}, {"sub": "web"}):
        answer = ask({**good, "jti": str(change), **change})
        assert answer.json()["error"] == "invalid_client", change


def test_introspection_and_userinfo(demo, alice, source):
    client = demo.client(source)
    service = demo.facts()["clients"]["service"]
    token = tokens(demo, alice, source=source)
    info = client.get("/oauth2/userinfo", headers=bearer(token["access_token"])).json()
    assert (info["preferred_username"], info["email_verified"]) == ("alice", True)
    auth = (service["client_id"], service["client_secret"])
    answer = client.post("/oauth2/introspect", data={"token": token["access_token"]}, auth=auth)
    assert answer.json()["active"] and answer.json()["sub"] == info["sub"]
    assert client.post("/oauth2/introspect", data={"token": "x"}, auth=auth).json() == {"active": False}
    public = client.post("/oauth2/introspect", data={"token": "x", "client_id": "web"})
    assert public.status_code == 401
    asked = lambda: demo.audit("--kind", "authn_token_introspect", "--subject", service["client_id"])
    told = lambda: [(event["unmapped"]["token_id"], event.get("status_detail")) for event in asked()]
    until(lambda: told()[-2:] == [(answer.json()["jti"], None), (None, "not_active")], "the record of both")
    refused_answer = client.get("/oauth2/userinfo", headers=bearer("x"))
    assert "invalid_token" in refused_answer.headers["www-authenticate"]
    asked = client.get("/oauth2/userinfo", headers=bearer(token["id_token"]))
    assert asked.status_code == 401, "an ID token is not an access token"
