"""The FAPI 2.0 Security Profile at the token endpoint and after, one test for each module of the OIDF plan
that applies; test_fapi2_security_profile.py has the others and says how they run."""

import json
import re
import secrets
import socket
import ssl
import time

import httpx
import pytest

from assertions import Signer
from bank import CALLBACK, WAYS, Bank, error, issued
from dpop import Key, b64
from portcullis import code_of, until


def test_fapi2_security_profile_final_check_dpop_proof_nbf_exp(signing):
    times = {"nbf": int(time.time()), "exp": int(time.time()) + 300}
    answer = signing.redeem(signing.code(), proof=times)
    assert answer.status_code == 200, answer.text
    assert signing.resource(answer.json()["access_token"], proof=times).status_code == 200


def with_iat(bank, seconds):
    proof = {"iat": int(time.time()) + seconds}
    code = code_of(bank.come(bank.push_with_proof(proof=proof)))["code"][0]
    held = bank.redeem(code, proof=proof).json()
    return bank.resource(held["access_token"], proof=proof).status_code


def test_fapi2_security_profile_final_ensure_dpopproof_with_iat_10seconds_before_succeeds(signing):
    assert with_iat(signing, -10) == 200


def test_fapi2_security_profile_final_ensure_dpopproof_with_iat_10seconds_after_succeeds(signing):
    # The server's second may have begun a moment ago.
    assert with_iat(signing, 10) == 200


def test_fapi2_security_profile_final_ensure_mismatched_dpop_jkt_fails(signing):
    refused = signing.push_with_proof(dpop_jkt=Key().thumbprint())
    assert error(refused) in ("invalid_request", "invalid_dpop_proof")


def test_fapi2_security_profile_final_ensure_token_endpoint_fails_with_mismatched_dpop_proof_jkt(
        signing):
    code = code_of(signing.come(signing.push_with_proof()))["code"][0]
    refused = signing.redeem(code, key=Key())
    assert error(refused) in ("invalid_request", "invalid_grant", "invalid_dpop_proof")


def test_fapi2_security_profile_final_ensure_token_endpoint_fails_with_mismatched_dpop_jkt(signing):
    refused = signing.redeem(signing.code(dpop_jkt=Key().thumbprint()))
    assert error(refused) in ("invalid_request", "invalid_grant", "invalid_dpop_proof")


def test_fapi2_security_profile_final_ensure_dpopproof_at_par_endpoint_binding_success(signing):
    code = code_of(signing.come(signing.push_with_proof()))["code"][0]
    assert signing.redeem(code).json()["token_type"] == "DPoP"


def test_fapi2_security_profile_final_ensure_dpop_auth_code_binding_success(signing):
    pushed = signing.push_with_proof(dpop_jkt=signing.key.thumbprint())
    assert signing.redeem(code_of(signing.come(pushed))["code"][0]).json()["token_type"] == "DPoP"


def test_fapi2_security_profile_final_ensure_client_id_in_token_endpoint(bank):
    """The second client's name with the first one's proof of who it is."""
    code, other = bank.code(), bank.another()
    claimed = {"client_id": other.id}
    if bank.auth == "private_key_jwt":
        claimed = bank.signer.form(other.id, bank.demo.issuer)
    assert error(bank.redeem(code, claimed), 400, 401) in ("invalid_client", "invalid_grant")


@pytest.mark.parametrize("auth,binding", WAYS, ids=map("+".join, WAYS))
def test_fapi2_security_profile_final_ensure_holder_of_key_required(demo, source, auth, binding):
    bank = Bank(demo, source, auth, binding)
    code = bank.code()
    if binding == "mtls":
        # Where nobody is asked for a certificate, and where nobody comes in without.
        with pytest.raises(httpx.TransportError):
            demo.client(source).post(f"{demo.mesh}/oauth2/token")
        bank.http, bank.base = demo.client(source), demo.issuer
    refused = error(bank.redeem(code, key=None), 400, 401)
    wrong = "invalid_client" if (auth, binding) == WAYS[3] else "invalid_request"
    assert refused == wrong


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
@pytest.mark.parametrize("listener", ["PUBLIC", "MESH"])
def test_every_door_speaks_tls_1_2_or_newer(demo, listener):
    """The module about the holder of a key looks at the connections as well."""
    address, one_one = ("127.0.0.1", demo.ports[listener]), ssl.TLSVersion.TLSv1_1
    old = ssl.create_default_context(cafile=demo.data / "ca.pem")
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version = old.maximum_version = one_one
    # It is the server that says no, not our own library.
    with socket.create_connection(address) as plain, pytest.raises(ssl.SSLError, match="(?i)alert"):
        old.wrap_socket(plain, server_hostname="localhost")
    spoken = lambda context: context.wrap_socket(
        socket.create_connection(address), server_hostname="localhost")
    new = ssl.create_default_context(cafile=demo.data / "ca.pem")
    new.load_cert_chain(*issued(demo, "bank"))
    with spoken(new) as connection:
        assert connection.version() == "TLSv1.3"
    new.maximum_version = ssl.TLSVersion.TLSv1_2
    with spoken(new) as connection:
        assert re.fullmatch("ECDHE-(RSA|ECDSA)-(AES(128|256)-GCM-SHA(256|384)|CHACHA20-POLY1305)",
                            connection.cipher()[0])


def test_fapi2_security_profile_final_ensure_authorization_code_is_bound_to_client(bank):
    code, other = bank.code(), bank.another()
    other.verifier = bank.verifier
    assert error(other.redeem(code)) == "invalid_grant"


def test_fapi2_security_profile_final_attempt_reuse_authorization_code_after_one_second(bank):
    code = bank.code()
    held, used = bank.redeem(code).json(), time.monotonic()
    until(lambda: time.monotonic() - used > 1, "a second")
    assert error(bank.redeem(code)) == "invalid_grant"
    assert bank.resource(held["access_token"]).status_code == 401, "what came of it is void"


@pytest.mark.parametrize("alg", ["PS256", None], ids=["a key for PS256", "a key for anything"])
def test_fapi2_security_profile_final_ensure_signed_client_assertion_with_RS256_fails(signing, alg):
    names = {"use": "sig", "kid": "own", "alg": alg}
    signing.register(Signer("PS256", **{name: value for name, value in names.items() if value}))
    code = signing.code()
    assert error(signing.redeem(code, signing.own(alg="RS256")), 401) == "invalid_client"
    assert signing.redeem(code).status_code == 200, "PS256 is one of the profile's"


def test_a_key_for_rs256_proves_nothing(demo, signing):
    """Section 5.4.1. It may be refused when it is registered, or when it is used."""
    signing.signer = Signer("RS256", use="sig", kid="own", alg="RS256")
    made = demo.operator().post("/api/admin/v1/clients", json=signing.registration())
    if made.status_code == 201:
        signing.id = made.json()["client"]["client_id"]
        assert error(signing.push(), 401) == "invalid_client"
    else:
        assert made.status_code == 422 and "/jwks" in {v["pointer"] for v in made.json()["violations"]}


def test_fapi2_security_profile_final_ensure_client_assertion_in_token_endpoint(signing):
    refused = signing.redeem(signing.code(), {"client_id": signing.id})
    assert error(refused, 400, 401) in ("invalid_client", "invalid_request")


def refused_at_the_token_endpoint(bank, **changes):
    return error(bank.redeem(bank.code(), bank.own(**changes)), 400, 401)


def test_fapi2_security_profile_final_ensure_client_assertion_with_exp_is_5_minutes_in_past_fails(
        signing):
    past = int(time.time()) - 300
    assert refused_at_the_token_endpoint(signing, exp=past) == "invalid_client"


def test_fapi2_security_profile_final_ensure_client_assertion_with_wrong_aud_fails(signing):
    wrong = "https://other.example"
    assert refused_at_the_token_endpoint(signing, aud=wrong) == "invalid_client"


def test_fapi2_security_profile_final_ensure_client_assertion_with_no_sub_fails(signing):
    assert refused_at_the_token_endpoint(signing, sub=None) == "invalid_client"


@pytest.mark.parametrize("changes", [
    {"iss": None}, {"exp": None}, {"jti": None}, {"aud": None}, {"sub": "somebody"},
    {"iss": "somebody"}, {"exp": "soon"}, {"exp": str(int(time.time()) + 60)}, {"jti": ""},
    {"exp": int(time.time()) + 7200},
], ids=" ".join)
def test_other_assertions_that_prove_nothing(signing, changes):
    assert error(signing.push(signing.own(**changes)), 401) == "invalid_client"


def test_r11_an_assertion_is_used_once(signing):
    own = signing.own()
    assert signing.push(own).status_code == 201
    assert error(signing.push(own), 401) == "invalid_client"


def test_an_assertion_of_another_key_or_without_a_signature_fails(signing):
    head, body, _ = signing.own()["client_assertion"].split(".")
    unsigned = f"{b64(json.dumps({'alg': 'none'}).encode())}.{body}."
    for forged in (unsigned, f"{head}.{body}."):
        own = {**signing.own(), "client_assertion": forged}
        assert error(signing.push(own), 400, 401) in ("invalid_client", "invalid_request")
    signing.signer = Signer("ES256", kid="own")
    assert error(signing.push(), 401) == "invalid_client"


def test_an_assertion_survives_the_question_for_a_nonce(signing):
    """It is good once; a client that has to come again with our nonce must not lose it."""
    code, own = signing.code(), signing.own()
    # Key.post sends the same form twice: without our nonce, then with it.
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK,
            "code_verifier": signing.verifier, **own}
    url = f"{signing.base}/oauth2/token"
    answer = signing.key.post(signing.http, url, form)
    assert answer.status_code == 200, answer.text
    assert error(signing.key.post(signing.http, url, form), 401) == "invalid_client"


def test_fapi2_security_profile_final_refresh_token(bank):
    """Section 5.3.2.1: refresh tokens are not rotated, and are of no use without the client."""
    first = bank.tokens()
    token = first["refresh_token"]
    assert all(" " <= char <= "~" for char in token), "RFC 6749, appendix A.17"
    for _ in range(2):
        again = bank.refresh(token)
        assert again.status_code == 200, again.text
        assert "refresh_token" not in again.json()
        assert again.json()["access_token"] != first["access_token"]
        assert bank.resource(again.json()["access_token"]).status_code == 200
    assert error(bank.another().refresh(token)) == "invalid_grant"
    if bank.binding == "dpop":
        assert error(bank.refresh(token, key=None)) == "invalid_request"
    else:
        loose = {"grant_type": "refresh_token", "refresh_token": token, **bank.own()}
        answer = bank.demo.client(bank.source).post("/oauth2/token", data=loose)
        assert error(answer, 401) == "invalid_client"
    revoked = bank.http.post(f"{bank.base}/oauth2/revoke", data={"token": token, **bank.own()})
    assert revoked.status_code == 200 and error(bank.refresh(token)) == "invalid_grant"


def test_a_bound_token_is_worthless_to_whoever_found_it(bank):
    token = bank.tokens()["access_token"]
    assert bank.resource(token).status_code == 200
    assert bank.another().resource(token).status_code == 401
    assert bank.resource(token, scheme="Basic").status_code == 401
    found = bank.demo.client(bank.source).get(
        "/oauth2/userinfo", headers={"authorization": f"Bearer {token}"})
    assert found.status_code == 401


# The places where a token is shown: the provider itself, and a service behind the gate.
@pytest.fixture(params=["/oauth2/userinfo", "/profile/me"])
def shown(request, signing):
    """Shows a token with a proof that is changed in one way, and gives the status."""
    token = signing.tokens()["access_token"]
    show = lambda **how: signing.resource(token, request.param, **how)
    show.url, show.token, show.bank = f"{signing.base}{request.param}", token, signing
    yield show
    assert show().status_code == 200, "the token itself was good all the time"


PRIVATE = {"d": b64(bytes(32))}
NEGATIVE = {
    "no typ": {"header": {"typ": None}}, "wrong typ": {"header": {"typ": "JWT"}},
    "no alg": {"header": {"alg": None}}, "alg none": {"header": {"alg": "none"}},
    "alg RS256": {"header": {"alg": "RS256"}}, "alg HS256": {"header": {"alg": "HS256"}},
    "no jwk": {"header": {"jwk": None}}, "another key's jwk": {"header": {"jwk": Key().jwk}},
    "no jti": {"jti": None}, "no htm": {"htm": None}, "no htu": {"htu": None},
    "no iat": {"iat": None}, "no ath": {"ath": None}, "htm PUT": {"htm": "PUT"},
    "htm in lower case": {"htm": "get"}, "another htu": {"htu": "https://other.example/resource"},
    "another token's ath": {"ath": b64(bytes(32))}, "iat as text": {"iat": "now"},
    "iat an hour ago": {"iat": int(time.time()) - 3600},
    "iat in an hour": {"iat": int(time.time()) + 3600},
}


def test_fapi2_security_profile_final_dpop_negative_tests(shown):
    for name, proof in NEGATIVE.items():
        assert shown(proof=proof).status_code in (400, 401), name
    known = {"jti": secrets.token_urlsafe(12)}
    assert [shown(proof=known).status_code for _ in range(2)] == [200, 401], "a proof is used once"


def test_requests_that_do_not_fit_their_proofs(shown):
    """What the same module changes about the request rather than the proof."""
    bank, headers = shown.bank, shown.bank.key.headers("GET", shown.url, shown.token)
    good = headers["dpop"]
    private = {"jwk": {**bank.key.jwk, **PRIVATE}}
    bad = {
        "twice": [("dpop", good), ("dpop", bank.key.proof("GET", shown.url, shown.token))],
        "no JWT": [("dpop", "not.a.proof")], "cut": [("dpop", good.rsplit(".", 1)[0] + ".")],
        "private": [("dpop", bank.key.proof("GET", shown.url, shown.token, header=private))],
        "none": [],
    }
    for name, fields in bad.items():
        sent = [("authorization", headers["authorization"]), *fields]
        assert bank.http.get(shown.url, headers=sent).status_code in (400, 401), name
    assert shown(key=None, scheme="Bearer").status_code in (400, 401)
    assert shown(scheme="Bearer").status_code in (400, 401), "a proof makes it no bearer token"
    assert shown(key=Key()).status_code in (400, 401)


def test_proofs_that_only_look_odd(shown):
    """What the same module wants to have taken."""
    host, path = shown.url.removeprefix("https://").split("/", 1)
    for changes in ({"htu": f"{shown.url}?query=1#fragment"}, {"extra": {"a": 1}},
                    {"header": {"extra": "x"}}, {"htu": f"HTTPS://{host.upper()}/{path}"}):
        answer = shown(proof=changes)
        assert answer.status_code == 200, (changes, answer.text)
    headers = shown.bank.key.headers("GET", f"{shown.url}?query=1", shown.token)
    loud = {name.upper(): value for name, value in headers.items()}
    assert shown.bank.http.get(f"{shown.url}?query=1", headers=loud).status_code == 200
