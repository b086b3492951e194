"""The FAPI 2.0 Security Profile, one test for each module of the OIDF plan that applies: private_key_jwt
with DPoP, and mutual TLS where the module is about certificates. Each checks what its module checks."""

import base64
import functools
import json
import secrets
import time
from urllib.parse import urlencode

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from dpop import Key, b64
from portcullis import code_of, log_in, pkce

ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
CALLBACK = "https://bank.example/callback"


class Bank:
    """A client under the profile, with the person's browser."""

    def __init__(self, demo, source, **more):
        self.demo, self.http = demo, demo.client(source)
        self.signer = Key()
        made = demo.operator().post("/api/admin/v1/clients", json=self.registration(**more))
        assert made.status_code == 201, made.text
        self.id = made.json()["client"]["client_id"]
        self.source = source

    @functools.cached_property
    def browser(self):
        alice = self.demo.facts()["users"][0]
        browser = self.demo.client(self.source)
        assert log_in(browser, alice["username"], alice["password"]).status_code == 303
        return browser

    def registration(self, **more):
        return {
            "name": "Bank", "token_endpoint_auth_method": "private_key_jwt", "first_party": True,
            "redirect_uris": [CALLBACK, CALLBACK + "/2"], "scopes": ["openid", "profile"],
            "grant_types": ["authorization_code", "refresh_token"], "token_alg": "ES256",
            "jwks": {"keys": [{**self.signer.jwk, "use": "sig", "alg": "ES256", "kid": "own"}]},
            "security_profile": "fapi_2_0", **more,
        }

    def assertion(self, **changes):
        now = int(time.time())
        claims = {"iss": self.id, "sub": self.id, "aud": self.demo.issuer, "exp": now + 60,
                  "iat": now, "jti": secrets.token_urlsafe(12), **changes}
        claims = {name: value for name, value in claims.items() if value is not None}
        head = {"alg": "ES256", "kid": "own", "typ": "JWT"}
        signed = f"{b64(json.dumps(head).encode())}.{b64(json.dumps(claims).encode())}"
        der = self.signer.private.sign(signed.encode(), ec.ECDSA(hashes.SHA256()))
        r, s = decode_dss_signature(der)
        return f"{signed}.{b64(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"

    def own(self, **changes):
        return {"client_id": self.id, "client_assertion_type": ASSERTION,
                "client_assertion": self.assertion(**changes)}

    def push(self, assertion=None, **more):
        self.verifier, challenge = pkce()
        form = {
            "response_type": "code", "redirect_uri": CALLBACK, "scope": "openid profile",
            "state": "st4te", "nonce": "n0nce", "code_challenge": challenge,
            "code_challenge_method": "S256", **(assertion or self.own()), **more,
        }
        form = {name: value for name, value in form.items() if value is not None}
        return self.http.post("/oauth2/par", data=form)

    def come(self, uri, client=None, **more):
        query = urlencode({"client_id": client or self.id, "request_uri": uri, **more})
        return self.browser.get(f"/oauth2/authorize?{query}")

    def code(self, **more):
        pushed = self.push(**more)
        assert pushed.status_code == 201, pushed.text
        return code_of(self.come(pushed.json()["request_uri"]))

    def redeem(self, code, key, assertion=None, **more):
        form = lambda: {
            "grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK,
            "code_verifier": self.verifier, **(assertion or self.own()), **more,
        }
        return self.prove(form, key)

    def refresh(self, token, key):
        form = lambda: {"grant_type": "refresh_token", "refresh_token": token, **self.own()}
        return self.prove(form, key)

    def prove(self, form, key, **changes):
        """A token request with a proof; the first answer brings the nonce."""
        url = f"{self.demo.issuer}/oauth2/token"
        if key is None:
            return self.http.post(url, data=form())
        if not getattr(self, "nonce", None):
            first = self.http.post(url, data=form(), headers={"dpop": key.proof("POST", url)})
            self.nonce = first.headers["dpop-nonce"]
        proof = key.proof("POST", url, nonce=self.nonce, **changes)
        return self.http.post(url, data=form(), headers={"dpop": proof})

    def tokens(self, key, **more):
        answer = self.redeem(self.code(**more)["code"][0], key)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def resource(self, token, key, scheme="DPoP", **changes):
        url = f"{self.demo.issuer}/profile/me"
        headers = {"authorization": f"{scheme} {token}"}
        if key:
            headers["dpop"] = key.proof("GET", url, token=token, **changes)
        return self.http.get(url, headers=headers)


@pytest.fixture
def bank(demo, source):
    return Bank(demo, source)


@pytest.fixture
def key():
    return Key()


def error(answer, status=400):
    assert answer.status_code == status, answer.text
    return answer.json()["error"]


def shown(answer):
    """An error that stays on our page, because nobody may be redirected."""
    return answer.status_code == 400 and "location" not in answer.headers


def test_fapi2_security_profile_final_discovery_end_point_verification(demo):
    known = demo.client().get("/.well-known/openid-configuration").json()
    assert known["authorization_response_iss_parameter_supported"] is True
    assert known["pushed_authorization_request_endpoint"].startswith(demo.issuer)
    assert "private_key_jwt" in known["token_endpoint_auth_methods_supported"]
    assert "S256" in known["code_challenge_methods_supported"]
    assert "plain" not in known["code_challenge_methods_supported"]
    assert "ES256" in known["dpop_signing_alg_values_supported"]
    assert known["tls_client_certificate_bound_access_tokens"] is True
    assert "code" in known["response_types_supported"]


def test_fapi2_security_profile_final_happy_flow(bank, key):
    answer = bank.code()
    assert answer["state"] == ["st4te"] and answer["iss"] == [bank.demo.issuer]
    tokens = bank.redeem(answer["code"][0], key).json()
    assert tokens["token_type"] == "DPoP"
    assert bank.resource(tokens["access_token"], key).status_code == 200


def test_fapi2_security_profile_final_user_rejects_authentication(demo, source):
    bank = Bank(demo, source, first_party=False)
    pushed = bank.push().json()["request_uri"]
    page = bank.come(pushed)
    from portcullis import fields

    denied = bank.browser.post("/oauth2/consent", data={**fields(page.text), "decision": "deny"})
    assert code_of(denied)["error"] == ["access_denied"] and code_of(denied)["iss"]


def test_fapi2_security_profile_final_ensure_authorization_request_without_state_success(bank):
    assert "state" not in bank.code(state=None)


def test_fapi2_security_profile_final_ensure_authorization_request_without_nonce_success(bank, key):
    tokens = bank.tokens(key, nonce=None)
    body = tokens["id_token"].split(".")[1]
    assert "nonce" not in json.loads(base64.urlsafe_b64decode(body + "=="))


def test_fapi2_security_profile_final_state_only_outside_request_object_not_used(bank):
    uri = bank.push(state=None).json()["request_uri"]
    assert "state" not in code_of(bank.come(uri, state="from-outside"))


def test_fapi2_security_profile_final_ensure_request_object_is_pushed(bank):
    _, challenge = pkce()
    loose = bank.browser.get("/oauth2/authorize?" + urlencode({
        "response_type": "code", "client_id": bank.id, "redirect_uri": CALLBACK, "scope": "openid",
        "code_challenge": challenge, "code_challenge_method": "S256",
    }))
    assert code_of(loose)["error"] == ["invalid_request"]


def test_fapi2_security_profile_final_ensure_registered_redirect_uri(bank):
    assert error(bank.push(redirect_uri="https://bank.example/other")) == "invalid_request"
    assert error(bank.push(redirect_uri=None)) == "invalid_request"


def test_fapi2_security_profile_final_ensure_unsigned_response_type_code_id_token_fails(bank):
    for other in ("token", "id_token", "code id_token", "code token"):
        assert error(bank.push(response_type=other)) == "unsupported_response_type"


def test_fapi2_security_profile_final_par_ensure_pkce_required(bank):
    assert error(bank.push(code_challenge=None, code_challenge_method=None)) == "invalid_request"


def test_fapi2_security_profile_final_par_ensure_plain_pkce_rejected(bank):
    verifier = secrets.token_urlsafe(48)
    refused = bank.push(code_challenge=verifier, code_challenge_method="plain")
    assert error(refused) == "invalid_request"


def test_fapi2_security_profile_final_ensure_pkce_code_verifier_required(bank, key):
    code = bank.code()["code"][0]
    bank.verifier = ""
    assert error(bank.redeem(code, key)) == "invalid_grant"


def test_fapi2_security_profile_final_incorrect_pkce_code_verifier_rejected(bank, key):
    code = bank.code()["code"][0]
    bank.verifier = secrets.token_urlsafe(48)
    assert error(bank.redeem(code, key)) == "invalid_grant"


def test_fapi2_security_profile_final_par_attempt_reuse_request_uri(bank):
    uri = bank.push().json()["request_uri"]
    assert "code" in code_of(bank.come(uri))
    again = bank.come(uri)
    assert shown(again) or "error" in code_of(again)


def test_fapi2_security_profile_final_par_ensure_reused_request_uri_prior_to_auth_completion_succeeds(
        demo, source):
    bank = Bank(demo, source, first_party=False)
    uri = bank.push().json()["request_uri"]
    for _ in range(2):
        assert "consent-allow" in bank.come(uri).text


def test_fapi2_security_profile_final_par_attempt_to_use_request_uri_for_different_client(
        demo, bank):
    other = Bank(demo, "127.0.0.1")
    uri = bank.push().json()["request_uri"]
    assert shown(bank.come(uri, client=other.id))


def test_fapi2_security_profile_final_par_authorization_request_containing_request_uri_form_param(
        bank):
    uri = bank.push().json()["request_uri"]
    assert error(bank.push(request_uri=uri)) == "invalid_request"


@pytest.mark.parametrize("changes", [
    {"exp": int(time.time()) - 300}, {"aud": "https://other.example"}, {"sub": None},
    {"iss": None}, {"exp": None}, {"jti": None}, {"sub": "somebody"}, {"iss": "somebody"},
    {"exp": "soon"}, {"nbf": int(time.time()) + 3600},
], ids=["exp 5 minutes in the past", "wrong aud", "no sub", "no iss", "no exp", "no jti",
        "another sub", "another iss", "exp as text", "nbf in an hour"])
def test_fapi2_security_profile_final_ensure_client_assertion_with_wrong_claims_fails(bank, changes):
    assert error(bank.push(bank.own(**changes)), 401) == "invalid_client"


def test_r10_fapi2_security_profile_final_ensure_client_assertion_aud_is_the_issuer_alone(bank):
    """Stuttgart 2024: endpoint URLs and lists let one server's assertion be used at another."""
    for aud in (f"{bank.demo.issuer}/oauth2/token", f"{bank.demo.issuer}/oauth2/par",
                [bank.demo.issuer], [bank.demo.issuer, "https://evil.example"]):
        assert error(bank.push(bank.own(aud=aud)), 401) == "invalid_client"
    assert bank.push(bank.own(aud=bank.demo.issuer)).status_code == 201


def test_r11_fapi2_security_profile_final_ensure_client_assertion_is_used_once(bank):
    own = bank.own()
    assert bank.push(own).status_code == 201
    assert error(bank.push(own), 401) == "invalid_client"


def test_fapi2_security_profile_final_ensure_signed_client_assertion_with_other_key_fails(bank):
    bank.signer = Key()
    assert error(bank.push(), 401) == "invalid_client"


def test_fapi2_security_profile_final_ensure_client_id_in_token_endpoint(bank, key):
    code = bank.code()["code"][0]
    refused = bank.redeem(code, key, {**bank.own(), "client_id": "somebody-else"})
    assert refused.status_code in (400, 401)


def test_fapi2_security_profile_final_ensure_authorization_code_is_bound_to_client(demo, bank, key):
    other = Bank(demo, "127.0.0.1")
    code = bank.code()["code"][0]
    other.verifier = bank.verifier
    assert error(other.redeem(code, key)) == "invalid_grant"


def test_fapi2_security_profile_final_attempt_reuse_authorization_code(bank, key):
    code = bank.code()["code"][0]
    tokens = bank.redeem(code, key).json()
    assert error(bank.redeem(code, key)) == "invalid_grant"
    assert bank.resource(tokens["access_token"], key).status_code == 401, "what came of it is void"


def test_fapi2_security_profile_final_ensure_holder_of_key_required(bank, key):
    code = bank.code()["code"][0]
    assert error(bank.redeem(code, None)) == "invalid_request"
    tokens = bank.redeem(code, key).json()
    token = tokens["access_token"]
    assert bank.resource(token, None).status_code == 401
    assert bank.resource(token, key, scheme="Bearer").status_code == 401
    assert bank.resource(token, Key()).status_code == 401


def test_fapi2_security_profile_final_dpop_negative_tests(bank, key):
    token = bank.tokens(key)["access_token"]
    now = int(time.time())
    for changes in ({"htm": "POST"}, {"htu": "https://other.example/"}, {"ath": "x"}, {"jti": None},
                    {"iat": now - 300}, {"iat": now + 300}, {"iat": None}):
        assert bank.resource(token, key, **changes).status_code == 401, changes
    assert bank.resource(token, key).status_code == 200


def test_fapi2_security_profile_final_ensure_dpop_proof_with_iat_10seconds_before_and_after_succeeds(
        bank, key):
    token = bank.tokens(key)["access_token"]
    for seconds in (-10, 10):
        assert bank.resource(token, key, iat=int(time.time()) + seconds).status_code == 200


def test_fapi2_security_profile_final_ensure_dpop_auth_code_binding_success(bank, key):
    tokens = bank.tokens(key, dpop_jkt=key.thumbprint())
    assert tokens["token_type"] == "DPoP"


def test_fapi2_security_profile_final_ensure_mismatched_dpop_jkt_fails(bank, key):
    code = bank.code(dpop_jkt=Key().thumbprint())["code"][0]
    assert error(bank.redeem(code, key)) == "invalid_grant"


def test_fapi2_security_profile_final_refresh_token(bank, key):
    """Section 5.3.2.1: refresh tokens are not rotated, and are of no use without the client."""
    first = bank.tokens(key)
    for _ in range(2):
        again = bank.refresh(first["refresh_token"], key)
        assert again.status_code == 200, again.text
        assert "refresh_token" not in again.json()
        assert bank.resource(again.json()["access_token"], key).status_code == 200
    assert error(bank.refresh(first["refresh_token"], None)) == "invalid_request"
    other = Bank(bank.demo, "127.0.0.1")
    assert error(other.refresh(first["refresh_token"], key)) == "invalid_grant"
    revoke = {"token": first["refresh_token"], **bank.own()}
    assert bank.http.post("/oauth2/revoke", data=revoke).status_code == 200
    assert error(bank.refresh(first["refresh_token"], key)) == "invalid_grant"


def test_fapi2_security_profile_final_ensure_bearer_is_not_case_sensitive(bank, key):
    token = bank.tokens(key)["access_token"]
    for scheme in ("dpop", "DPOP", "DPoP"):
        assert bank.resource(token, key, scheme=scheme).status_code == 200


def test_fapi2_security_profile_final_redirects_are_303(bank):
    """Section 5.3.2.2: no 307, which would send the person's password on."""
    assert bank.come(bank.push().json()["request_uri"]).status_code == 303


def test_fapi2_security_profile_final_request_uris_live_less_than_ten_minutes(bank):
    assert 5 <= bank.push().json()["expires_in"] < 600


@pytest.mark.parametrize("settings,field", [
    ({"token_endpoint_auth_method": "client_secret_basic"}, "/token_endpoint_auth_method"),
    ({"token_endpoint_auth_method": "none"}, "/token_endpoint_auth_method"),
    ({"token_alg": "RS256"}, "/token_alg"),
    ({"redirect_uris": ["http://127.0.0.1/cb"]}, "/redirect_uris"),
    ({"nonce_instead_of_pkce": True}, "/nonce_instead_of_pkce"),
    ({"security_profile": "fapi_1"}, "/security_profile"),
])
def test_a_client_that_cannot_keep_the_profile_is_not_registered(demo, bank, settings, field):
    refused = demo.operator().post("/api/admin/v1/clients", json=bank.registration(**settings))
    assert refused.status_code == 422, refused.text
    assert field in {v["pointer"] for v in refused.json()["violations"]}


def test_an_assertion_survives_the_question_for_a_nonce(demo, source):
    """It is good once; a client that has to come again with our nonce must not lose it."""
    bank = Bank(demo, source)
    own, key = bank.own(), Key()
    code = bank.code()["code"][0]
    # Key.post sends the same form twice: without our nonce, then with it.
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK,
            "code_verifier": bank.verifier, **own}
    answer = key.post(bank.http, f"{demo.issuer}/oauth2/token", form)
    assert answer.status_code == 200, answer.text
    answer = key.post(bank.http, f"{demo.issuer}/oauth2/token", form)
    assert answer.json()["error"] == "invalid_client"
