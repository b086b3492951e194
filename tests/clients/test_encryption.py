"""Encrypted ID tokens, userinfo and access tokens (RFC 7516), read by other implementations."""

import base64
import json
import subprocess
from pathlib import Path

import pytest
from joserfc import jwe, jwt
from joserfc.jwk import ECKey, RSAKey

from portcullis import bearer, code_of, log_in, pkce, tokens
from urllib.parse import urlencode

WAYS = [(alg, enc) for alg in ("RSA-OAEP-256", "ECDH-ES", "ECDH-ES+A256KW")
        for enc in ("A256GCM", "A128CBC-HS256")]


def new_key(alg):
    made = RSAKey.generate_key(2048) if alg.startswith("RSA") else ECKey.generate_key("P-256")
    public = {**made.as_dict(private=False), "use": "enc", "alg": alg, "kid": "reader"}
    public.pop("key_ops", None)
    return made, public


def opened(token, key, alg, enc):
    header = json.loads(base64.urlsafe_b64decode(token.split(".")[0] + "=="))
    assert (header["alg"], header["enc"], header["kid"]) == (alg, enc, "reader")
    registry = jwe.JWERegistry(algorithms=[alg, enc])
    return header, jwe.decrypt_compact(token, key, registry=registry).plaintext.decode()


def claims_of(token):
    body = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))


@pytest.fixture
def browser(demo, source):
    alice = demo.facts()["users"][0]
    browser = demo.client(source)
    assert log_in(browser, alice["username"], alice["password"]).status_code == 303
    return browser


def register(demo, expect=201, **more):
    made = demo.operator().post("/api/admin/v1/clients", json={
        "name": "Reader", "token_endpoint_auth_method": "client_secret_basic", "first_party": True,
        "redirect_uris": ["https://rp.example/cb"], "scopes": ["openid", "profile", "email"],
        "grant_types": ["authorization_code", "client_credentials"], **more,
    })
    assert made.status_code == expect, made.text
    return made.json()


def log_through(demo, browser, made, **more):
    auth = made["client"]["client_id"], made["client_secret"]
    verifier, challenge = pkce()
    query = {
        "response_type": "code", "client_id": auth[0], "redirect_uri": "https://rp.example/cb",
        "scope": "openid profile", "code_challenge": challenge, "code_challenge_method": "S256",
    }
    answer = browser.get(f"/oauth2/authorize?{urlencode({**query, **more}, doseq=True)}")
    form = {"grant_type": "authorization_code", "code": code_of(answer)["code"][0],
            "redirect_uri": "https://rp.example/cb", "code_verifier": verifier}
    return auth, demo.client().post("/oauth2/token", data=form, auth=auth)


@pytest.mark.parametrize("alg,enc", WAYS)
def test_id_tokens_and_userinfo_are_for_their_client_alone(demo, browser, alg, enc):
    key, public = new_key(alg)
    made = register(
        demo, jwks={"keys": [public]}, id_token_encrypted_response_alg=alg,
        id_token_encrypted_response_enc=enc, userinfo_encrypted_response_alg=alg,
        userinfo_encrypted_response_enc=enc, userinfo_signed_response_alg="ES256",
    )
    _, answer = log_through(demo, browser, made)
    answer = answer.json()
    header, inside = opened(answer["id_token"], key, alg, enc)
    assert header["cty"] == "JWT"
    keys = demo.client().get("/oauth2/jwks").json()
    assert claims_of(inside)["aud"] == made["client"]["client_id"]
    assert json.loads(base64.urlsafe_b64decode(inside.split(".")[0] + "=="))["kid"] in {
        k["kid"] for k in keys["keys"]}
    info = demo.client().get("/oauth2/userinfo", headers=bearer(answer["access_token"]))
    assert info.headers["content-type"] == "application/jwt"
    _, inside = opened(info.text, key, alg, enc)
    told = claims_of(inside)
    assert told["preferred_username"] == "alice" and told["aud"] == made["client"]["client_id"]


def test_userinfo_may_be_only_signed_or_only_encrypted(demo, browser):
    key, public = new_key("ECDH-ES")
    signed = register(demo, userinfo_signed_response_alg="RS256")
    _, answer = log_through(demo, browser, signed)
    info = demo.client().get("/oauth2/userinfo", headers=bearer(answer.json()["access_token"]))
    assert info.headers["content-type"] == "application/jwt" and info.text.count(".") == 2
    sealed = register(demo, jwks={"keys": [public]}, userinfo_encrypted_response_alg="ECDH-ES")
    _, answer = log_through(demo, browser, sealed)
    info = demo.client().get("/oauth2/userinfo", headers=bearer(answer.json()["access_token"]))
    _, inside = opened(info.text, key, "ECDH-ES", "A128CBC-HS256")
    assert json.loads(inside)["preferred_username"] == "alice"


def test_registrations_without_a_fitting_key_are_refused(demo):
    _, public = new_key("ECDH-ES")
    for jwks in (None, {"keys": []}, {"keys": [{**public, "use": "sig"}]},
                 {"keys": [{**public, "y": public["x"]}]}):
        register(demo, 422, jwks=jwks, id_token_encrypted_response_alg="ECDH-ES")
    register(demo, 422, jwks={"keys": [public]}, id_token_encrypted_response_alg="RSA-OAEP-256")
    register(demo, 422, jwks={"keys": [public]}, id_token_encrypted_response_alg="RSA1_5")
    register(demo, 422, userinfo_signed_response_alg="none")


@pytest.mark.parametrize("alg,enc", [WAYS[0], WAYS[5]])
def test_access_tokens_for_a_server_with_a_key_are_encrypted(demo, alg, enc):
    key, public = new_key(alg)
    audience = f"https://vault.example/{alg}"
    server = demo.operator().post("/api/admin/v1/resource-servers", json={
        "audience": audience, "name": "Vault", "jwks": {"keys": [public]},
        "access_token_encryption_alg": alg, "access_token_encryption_enc": enc,
    })
    assert server.status_code == 201, server.text
    made = register(demo, audiences=[audience, "https://plain.example"])
    auth = made["client"]["client_id"], made["client_secret"]
    ask = lambda **form: demo.client().post(
        "/oauth2/token", data={"grant_type": "client_credentials", **form}, auth=auth)
    sealed = ask(resource=audience).json()["access_token"]
    _, inside = opened(sealed, key, alg, enc)
    assert claims_of(inside)["aud"] == audience
    plain = ask(resource="https://plain.example").json()["access_token"]
    assert claims_of(plain)["aud"] == "https://plain.example"
    assert ask().json()["error"] == "invalid_target", "one token cannot be for both"

    known = demo.client().post("/oauth2/introspect", data={"token": inside}, auth=auth)
    assert known.json()["active"] is True, "its reader may ask about what is inside"
    revoked = demo.client().post("/oauth2/revoke", data={"token": sealed}, auth=auth)
    assert revoked.json()["error"] == "unsupported_token_type"
    assert demo.client().get("/profile/me", headers=bearer(sealed)).status_code == 401

    taken = demo.operator().post("/api/admin/v1/resource-servers", json={
        "audience": audience, "name": "Thief", "jwks": {"keys": [new_key(alg)[1]]},
        "access_token_encryption_alg": alg,
    })
    assert taken.status_code == 422
    assert demo.operator().delete(
        f"/api/admin/v1/resource-servers/{server.json()['id']}").status_code == 204
    assert ask(resource=audience).json()["access_token"].count(".") == 2


def test_resources_narrow_a_grant_and_a_token(demo, browser):
    """RFC 8707: several at the authorization endpoint, fewer at the token endpoint, never more."""
    a, b, c = (f"https://{name}.example" for name in "abc")
    made = register(demo, audiences=[a, b, c], grant_types=["authorization_code", "refresh_token"])
    auth, answer = log_through(demo, browser, made, resource=[a, b])
    first = answer.json()
    assert sorted(claims_of(first["access_token"])["aud"]) == [a, b]

    def refresh(token, *resources):
        body = urlencode([("grant_type", "refresh_token"), ("refresh_token", token),
                          *(("resource", r) for r in resources)])
        form = {"content-type": "application/x-www-form-urlencoded"}
        return demo.client().post("/oauth2/token", content=body, headers=form, auth=auth)

    assert refresh(first["refresh_token"], c).json()["error"] == "invalid_target"
    second = refresh(first["refresh_token"], a).json()
    assert claims_of(second["access_token"])["aud"] == a
    third = refresh(second["refresh_token"]).json()
    assert sorted(claims_of(third["access_token"])["aud"]) == [a, b]
    assert refresh(third["refresh_token"], "https://x.example").json()["error"] == "invalid_target"
    verifier, challenge = pkce()
    wrong = browser.get("/oauth2/authorize?" + urlencode({
        "response_type": "code", "client_id": auth[0], "redirect_uri": "https://rp.example/cb",
        "scope": "openid", "code_challenge": challenge, "code_challenge_method": "S256",
        "resource": "https://x.example",
    }))
    assert code_of(wrong)["error"] == ["invalid_target"]


def test_openid_client_for_node_decrypts(demo):
    script = Path(__file__).with_name("openid_client_encrypted.mjs")
    done = subprocess.run(
        ["node", script, demo.data / "demo.json"], capture_output=True, text=True, timeout=120,
        env={**demo.env, "NODE_EXTRA_CA_CERTS": str(demo.data / "ca.pem")},
    )
    assert done.returncode == 0, done.stdout + done.stderr
