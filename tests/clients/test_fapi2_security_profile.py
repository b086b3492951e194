"""The FAPI 2.0 Security Profile up to the authorization code, one test for each module of the OIDF plan
that applies; test_fapi2_security_profile_tokens.py has those about the token endpoint and after. The
fixture `bank` runs a module for private_key_jwt with DPoP, and for certificates alone. Each test checks
what its module checks; those without the plan's prefix are beyond it."""

import json
import secrets
import time

import pytest

from bank import CALLBACK, OTHER, WAYS, Bank, error
from dpop import Key
from portcullis import code_of, fields
from relying_party import claims_of, leads_to_login, signed_by, stays_here


def test_fapi2_security_profile_final_discovery_end_point_verification(demo):
    answer = demo.client().get("/.well-known/openid-configuration")
    known = answer.json()
    assert answer.headers["content-type"].split(";")[0] == "application/json"
    assert known["authorization_response_iss_parameter_supported"] is True
    assert known["pushed_authorization_request_endpoint"].startswith(demo.issuer)
    assert type(known["require_pushed_authorization_requests"]) is bool
    assert {"private_key_jwt", "tls_client_auth"} <= set(known["token_endpoint_auth_methods_supported"])
    assert known["code_challenge_methods_supported"] == ["S256"]
    allowed = {"PS256", "ES256", "EdDSA"}
    for name in ("id_token", "userinfo", "token_endpoint_auth"):
        assert allowed & set(known[f"{name}_signing_alg_values_supported"]), name
    assert set(known["dpop_signing_alg_values_supported"]) <= {*allowed, "Ed25519"}
    assert known["tls_client_certificate_bound_access_tokens"] is True
    aliases = known["mtls_endpoint_aliases"]
    assert {"token_endpoint", "pushed_authorization_request_endpoint"} <= set(aliases)
    assert "code" in known["response_types_supported"] and "openid" in known["scopes_supported"]


@pytest.mark.parametrize("auth,binding", WAYS, ids=map("+".join, WAYS))
def test_fapi2_security_profile_final_happy_flow(demo, source, auth, binding):
    """Two clients, of whom the second has a query in its redirect URI."""
    first = Bank(demo, source, auth, binding)
    second = first.another(redirect_uris=[OTHER])
    second.browser = first.browser
    held = []
    for bank in (first, second):
        answer = code_of(bank.come(bank.push()))
        assert answer["state"] == ["st4te"] and answer["iss"] == [demo.issuer]
        got = bank.redeem(answer["code"][0]).json()
        assert got["token_type"] == bank.scheme and got["expires_in"] > 0
        claims = signed_by(demo, got["id_token"], "ES256")
        assert (claims["aud"], claims["nonce"]) == (bank.id, "n0nce")
        assert bank.resource(got["access_token"]).json()["sub"] == claims["sub"]
        held.append(got["access_token"])
    assert (answer["dummy1"], answer["dummy2"]) == (["lorem"], ["ipsum"])
    assert first.resource(held[1]).status_code == 401, "what is bound to the second is not the first's"


def test_fapi2_security_profile_final_user_rejects_authentication(demo, source):
    bank = Bank(demo, source, first_party=False, redirect_uris=[OTHER])
    state = secrets.token_hex(64)
    page = bank.come(bank.push(state=state))
    denied = bank.browser.post("/oauth2/consent", data={**fields(page.text), "decision": "deny"})
    answer = code_of(denied)
    assert answer["error"] == ["access_denied"] and answer["state"] == [state]
    assert answer["iss"] == [demo.issuer] and answer["dummy1"] == ["lorem"] and "code" not in answer


def test_fapi2_security_profile_final_ensure_authorization_request_without_state_success(bank):
    answer = code_of(bank.come(bank.push(state=None)))
    assert "state" not in answer and bank.redeem(answer["code"][0]).status_code == 200


def test_fapi2_security_profile_final_ensure_authorization_request_without_nonce_success(bank):
    assert "nonce" not in claims_of(bank.tokens(nonce=None)["id_token"])


def test_fapi2_security_profile_final_ensure_authorization_request_with_64_char_nonce_success(bank):
    nonce = secrets.token_hex(32)
    assert claims_of(bank.tokens(nonce=nonce)["id_token"])["nonce"] == nonce


def test_fapi2_security_profile_final_ensure_authorization_request_with_long_nonce(bank):
    nonce = secrets.token_hex(192)
    assert claims_of(bank.tokens(nonce=nonce)["id_token"])["nonce"] == nonce


def test_fapi2_security_profile_final_ensure_authorization_request_with_long_state(bank):
    state = secrets.token_hex(500)
    assert code_of(bank.come(bank.push(state=state)))["state"] == [state]


def test_fapi2_security_profile_final_ensure_other_scope_order_succeeds(bank):
    scopes = ["openid", "profile", "email"]
    for order in (scopes, scopes[::-1]):
        assert set(bank.tokens(scope=" ".join(order))["scope"].split()) == set(scopes)


def test_fapi2_security_profile_final_test_claims_parameter_identity_claims(bank):
    claims = ["sub", "name", "preferred_username", "email", "email_verified", "updated_at"]
    forms = [None, {"essential": True}, {"essential": False, "foo": "bar"}]
    asked = {name: forms[number % 3] for number, name in enumerate(claims)}
    wish = {"id_token": asked, "userinfo": asked, "xZ4elsewhere": {"random": None}}
    held = bank.tokens(scope="openid", claims=json.dumps(wish))
    told, info = claims_of(held["id_token"]), bank.resource(held["access_token"]).json()
    assert set(claims) <= set(told) and set(claims) == set(info)
    assert all(told[name] == info[name] for name in claims)


def test_fapi2_security_profile_final_access_token_type_header_case_sensitivity(bank):
    token = bank.tokens()["access_token"]
    for scheme in (bank.scheme.swapcase(), bank.scheme.upper(), bank.scheme.lower()):
        assert bank.resource(token, scheme=scheme).status_code == 200, scheme


def test_fapi2_security_profile_final_ensure_different_nonce_inside_and_outside_request_object(bank):
    answer = code_of(bank.come(bank.push(), nonce="from-outside"))
    assert claims_of(bank.redeem(answer["code"][0]).json()["id_token"])["nonce"] == "n0nce"


def test_fapi2_security_profile_final_ensure_different_state_inside_and_outside_request_object(bank):
    assert code_of(bank.come(bank.push(), state="from-outside"))["state"] == ["st4te"]


def test_fapi2_security_profile_final_state_only_outside_request_object_not_used(bank):
    answer = code_of(bank.come(bank.push(state=None), state="from-outside"))
    assert "state" not in answer and "code" in answer


def test_fapi2_security_profile_final_ensure_request_object_without_redirect_uri_fails(bank):
    assert error(bank.push(redirect_uri=None)) == "invalid_request"


def test_fapi2_security_profile_final_ensure_redirect_uri_in_authorization_request(demo, source):
    """Not even a client with one address may leave it out."""
    bank = Bank(demo, source, redirect_uris=[CALLBACK])
    assert error(bank.push(redirect_uri=None)) == "invalid_request"


def test_fapi2_security_profile_final_plain_fapi_tolerate_unregistered_redirect_uri(bank):
    """RFC 9126, section 2.4, would let us accept it; we do not."""
    for uri in (f"{CALLBACK}{secrets.token_hex(4)}", f"{CALLBACK}?x=1", "https://evil.example/"):
        assert error(bank.push(redirect_uri=uri)) == "invalid_request", uri


def test_fapi2_security_profile_final_ensure_unsigned_authorization_request_without_using_par_fails(
        bank):
    query = {"response_type": "code", "client_id": bank.id, "redirect_uri": CALLBACK, "state": "s",
             "scope": "openid", "code_challenge": Key().thumbprint(), "code_challenge_method": "S256"}
    answer = code_of(bank.browser.get("/oauth2/authorize", params=query))
    assert answer["error"] == ["invalid_request"] and answer["state"] == ["s"] and "code" not in answer


def test_fapi2_security_profile_final_ensure_response_type_code_idtoken_fails(bank):
    for other in ("code id_token", "id_token code", "id_token"):
        assert error(bank.push(response_type=other)) == "unsupported_response_type", other


def test_fapi2_security_profile_final_ensure_response_type_token_fails(bank):
    for other in ("token", "code token"):
        assert error(bank.push(response_type=other)) == "unsupported_response_type", other


def test_fapi2_security_profile_final_par_ensure_reused_request_uri_prior_to_auth_completion_succeeds(
        demo, source):
    """Whoever reloads the page before the login does not lose the request."""
    bank, stranger = Bank(demo, source), demo.client(source)
    pushed = bank.push()
    query = {"client_id": bank.id, "request_uri": pushed.json()["request_uri"]}
    for _ in range(2):
        assert leads_to_login(stranger.get("/oauth2/authorize", params=query))
    assert bank.redeem(code_of(bank.come(pushed))["code"][0]).status_code == 200


def test_fapi2_security_profile_final_par_attempt_reuse_request_uri(bank):
    pushed = bank.push()
    assert "code" in code_of(bank.come(pushed))
    again = bank.come(pushed)
    assert stays_here(again) and "invalid_request_uri" in again.text


def test_fapi2_security_profile_final_par_attempt_to_use_request_uri_for_different_client(bank):
    other, pushed = bank.another(), bank.push()
    stolen = bank.come(pushed, client=other.id)
    assert stays_here(stolen) and "invalid_request_uri" in stolen.text
    assert "code" in code_of(bank.come(pushed)), "the attempt does not use it up"


def test_fapi2_security_profile_final_par_authorization_request_containing_request_uri_form_param(
        bank):
    known = bank.push().json()["request_uri"]
    for uri in (known, f"urn:ietf:params:oauth:request_uri:{secrets.token_hex(16)}"):
        refused = error(bank.push(request_uri=uri))
        assert refused in ("invalid_request", "request_uri_not_supported")


def test_fapi2_security_profile_final_par_attempt_invalid_http_method(bank):
    for method in ("PUT", "GET"):
        answer = bank.http.request(method, f"{bank.base}/oauth2/par")
        assert answer.status_code == 405 and "POST" in answer.headers["allow"], method


def test_fapi2_security_profile_final_par_without_duplicate_parameters(bank):
    """Client and reference are enough, and what is repeated beside them does no harm."""
    assert "code" in code_of(bank.come(bank.push()))
    repeated = {"response_type": "code", "scope": "openid profile", "redirect_uri": CALLBACK}
    assert "code" in code_of(bank.come(bank.push(), **repeated))


def test_fapi2_security_profile_final_par_ensure_jwt_client_assertions_nbf_8_seconds_in_the_future_is_accepted(
        signing):
    soon = int(time.time()) + 8
    assert signing.push(signing.own(nbf=soon, iat=soon)).status_code == 201


def test_fapi2_security_profile_final_par_ensure_jwt_client_assertions_nbf_over_60_seconds_in_the_future_fails(
        signing):
    late = int(time.time()) + 65
    for changes in ({"nbf": late, "iat": late}, {"nbf": late}, {"iat": late}):
        own = signing.own(exp=late + 60, **changes)
        assert error(signing.push(own), 400, 401) == "invalid_client", changes


def audience_refused(bank, aud):
    """Section 5.3.2.1: our name alone, as one text. Otherwise what was made for one server could be
    used at another."""
    assert bank.push(bank.own()).status_code == 201
    return error(bank.push(bank.own(aud=aud)), 400, 401) == "invalid_client"


def test_r10_fapi2_security_profile_final_par_test_array_as_audience_fails(signing):
    assert audience_refused(signing, [signing.demo.issuer, "https://evil.example"])
    assert audience_refused(signing, [signing.demo.issuer])


def test_r10_fapi2_security_profile_final_par_test_par_endpoint_url_as_audience_fails(signing):
    assert audience_refused(signing, f"{signing.demo.issuer}/oauth2/par")


def test_r10_fapi2_security_profile_final_par_test_token_endpoint_url_as_audience_fails(signing):
    assert audience_refused(signing, f"{signing.demo.issuer}/oauth2/token")


def test_fapi2_security_profile_final_par_ensure_pkce_required(bank):
    assert error(bank.push(code_challenge=None, code_challenge_method=None)) == "invalid_request"


def test_fapi2_security_profile_final_par_plain_pkce_rejected(bank):
    verifier = secrets.token_urlsafe(32)
    for method in ("plain", None):
        refused = bank.push(code_challenge=verifier, code_challenge_method=method)
        assert error(refused) == "invalid_request", method


def test_fapi2_security_profile_final_ensure_pkce_code_verifier_required(bank):
    assert error(bank.redeem(bank.code(), code_verifier=None)) == "invalid_grant"


def test_fapi2_security_profile_final_incorrect_pkce_code_verifier_rejected(bank):
    wrong = secrets.token_urlsafe(48)
    assert error(bank.redeem(bank.code(), code_verifier=wrong)) == "invalid_grant"


def test_redirects_are_303(bank):
    """Section 5.3.2.2: no 307, which would send the person's password on."""
    assert bank.come(bank.push()).status_code == 303


def test_request_uris_live_less_than_ten_minutes(bank):
    assert 5 <= bank.push().json()["expires_in"] < 600


@pytest.mark.parametrize("settings,field", [
    ({"token_endpoint_auth_method": "client_secret_basic"}, "/token_endpoint_auth_method"),
    ({"token_endpoint_auth_method": "none"}, "/token_endpoint_auth_method"),
    ({"token_alg": "RS256"}, "/token_alg"),
    ({"redirect_uris": ["http://127.0.0.1/cb"]}, "/redirect_uris"),
    ({"nonce_instead_of_pkce": True}, "/nonce_instead_of_pkce"),
    ({"security_profile": "fapi_1"}, "/security_profile"),
], ids=str)
def test_a_client_that_cannot_keep_the_profile_is_not_registered(demo, signing, settings, field):
    refused = demo.operator().post("/api/admin/v1/clients", json=signing.registration(**settings))
    assert refused.status_code == 422, refused.text
    assert field in {v["pointer"] for v in refused.json()["violations"]}
