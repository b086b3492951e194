"""OpenID Connect Core as the Basic OP plan of the OpenID Foundation's suite checks it. Each test is
named after the module it follows. The client relies on its nonce instead of PKCE, as that plan does;
where a module sends no nonce either, the test adds PKCE, because we do not do without both."""

import base64
import hashlib
import json
import time
from urllib.parse import parse_qs, urlsplit

import pytest

import registrant
from portcullis import bearer, code_of, fields, log_in, pkce, submit, until
from relying_party import CALLBACK, Party, claims_of, leads_to_login, signed_by, stays_here


def half_hash(token):
    half = hashlib.sha256(token.encode()).digest()[:16]
    return base64.urlsafe_b64encode(half).rstrip(b"=").decode()


def unsigned(claims):
    """A request object that nobody signed."""
    encode = lambda part: base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()
    return f"{encode({'alg': 'none'})}.{encode(claims)}."


def log_in_again(party, to_login):
    """Fills in the login page that a request led to, and follows the way back."""
    assert leads_to_login(to_login), to_login.headers
    form = {"username": party.alice["username"], "password": party.alice["password"]}
    back = submit(party.browser, to_login.headers["location"], form).headers["location"]
    answer = party.redeem(party.browser.get(back))
    return claims_of(answer.json()["id_token"])


def test_oidcc_server(demo, source):
    party = Party(demo, source, token_alg="RS256").log_in()
    asked = party.ask()
    told = code_of(asked)
    assert told["state"] == ["st"] and told["iss"] == [demo.issuer] and set(told) == {
        "code", "state", "iss"}
    answer = party.redeem(asked)
    assert answer.headers["content-type"].startswith("application/json")
    assert answer.headers["cache-control"] == "no-store"
    held = answer.json()
    assert held["token_type"] == "Bearer" and held["expires_in"] > 0
    claims = signed_by(demo, held["id_token"])
    assert claims["iss"] == demo.issuer and claims["aud"] == party.id and "azp" not in claims
    assert claims["nonce"] == "no" and 0 < len(claims["sub"]) <= 255
    assert claims["iat"] <= time.time() + 1 < claims["exp"]
    assert claims["at_hash"] == half_hash(held["access_token"])


def test_oidcc_idtoken_signature(op, browser):
    """RS256 is what no choice means for a client that registers itself."""
    made = registrant.register(op)
    assert made["id_token_signed_response_alg"] == "RS256"
    token = registrant.log_through(op, browser, made)["id_token"]
    assert signed_by(op, token)["aud"] == made["client_id"]


def test_oidcc_idtoken_unsigned(op):
    known = op.client().get("/.well-known/openid-configuration").json()
    assert "none" not in known["id_token_signing_alg_values_supported"]
    refused = registrant.register(op, 400, id_token_signed_response_alg="none")
    assert refused["error"] == "invalid_client_metadata"


def test_oidcc_response_type_missing(party):
    answer = code_of(party.ask(response_type=None))
    assert answer["error"] == ["invalid_request"] and answer["state"] == ["st"]
    assert answer["iss"] == [party.demo.issuer] and "code" not in answer


def test_oidcc_userinfo_get(party):
    held = party.tokens()
    answer = party.browser.get("/oauth2/userinfo", headers=bearer(held["access_token"]))
    assert answer.status_code == 200 and answer.headers["content-type"].startswith("application/json")
    assert answer.json() == {"sub": claims_of(held["id_token"])["sub"]}


def test_oidcc_userinfo_post_header(party):
    token = party.tokens()["access_token"]
    answer = party.browser.post("/oauth2/userinfo", headers=bearer(token))
    assert answer.json()["sub"] == claims_of(token)["sub"]


def test_oidcc_userinfo_post_body(party):
    token = party.tokens()["access_token"]
    answer = party.browser.post("/oauth2/userinfo", data={"access_token": token})
    assert answer.json()["sub"] == claims_of(token)["sub"]
    for body in ({"access_token": "x"}, {"token": token}):
        answer = party.browser.post("/oauth2/userinfo", data=body)
        assert answer.status_code == 401 and "www-authenticate" in answer.headers
    kind = {"content-type": "Application/X-WWW-Form-URLencoded;charset=UTF-8"}
    answer = party.browser.post("/oauth2/userinfo", content=f"access_token={token}", headers=kind)
    assert answer.status_code == 200, answer.text
    # Never in a URL (RFC 6750, section 2.3), and never in two places.
    answer = party.browser.post("/oauth2/userinfo", data={"access_token": token}, headers=bearer(token))
    assert answer.status_code == 400 and answer.json()["error"] == "invalid_request"
    assert party.browser.get(f"/oauth2/userinfo?access_token={token}").status_code == 401


def test_oidcc_ensure_request_without_nonce_succeeds_for_code_flow(party):
    verifier, challenge = pkce()
    with_pkce = {"code_challenge": challenge, "code_challenge_method": "S256"}
    answer = party.redeem(party.ask(nonce=None, **with_pkce), code_verifier=verifier)
    assert "nonce" not in claims_of(answer.json()["id_token"])
    assert code_of(party.ask(nonce=None))["error"] == ["invalid_request"]


def test_oidcc_scope_profile(party):
    info = party.userinfo(scope="openid profile")
    assert info["preferred_username"] == "alice" and {"name", "updated_at"} <= set(info)
    assert type(info["updated_at"]) is int and 0 < info["updated_at"] <= time.time()
    assert "email" not in info


def test_oidcc_scope_email(party):
    info = party.userinfo(scope="openid email")
    assert info["email"] == party.alice["email"] and info["email_verified"] is True
    assert "name" not in info


def without(party, unknown):
    """OpenID Connect Core, section 3.1.2.1: scopes that are not understood are passed over."""
    known = party.browser.get("/.well-known/openid-configuration").json()["scopes_supported"]
    assert not set(unknown.split()) & set(known)
    held = party.tokens(scope=f"openid {unknown}")
    assert held["scope"] == "openid"
    return party.browser.get("/oauth2/userinfo", headers=bearer(held["access_token"])).json()


def test_oidcc_scope_address(party):
    assert "address" not in without(party, "address")


def test_oidcc_scope_phone(party):
    assert not {"phone_number", "phone_number_verified"} & set(without(party, "phone"))


def test_oidcc_scope_all(party):
    info = party.userinfo(scope="openid profile email address phone")
    assert {"sub", "name", "preferred_username", "updated_at", "email", "email_verified"} == set(info)


def test_oidcc_ensure_other_scope_order_succeeds(party):
    assert {"name", "email"} <= set(party.userinfo(scope="email profile openid"))


def test_oidcc_display_page(party):
    assert "id_token" in party.tokens(display="page")


def test_oidcc_display_popup(party):
    assert "id_token" in party.tokens(display="popup")


@pytest.mark.parametrize("display", ["touch", "wap"])
def test_other_kinds_of_display_are_no_error_either(party, display):
    assert "id_token" in party.tokens(display=display)


def test_oidcc_prompt_login(party):
    first = claims_of(party.tokens()["id_token"])
    until(lambda: time.time() >= first["auth_time"] + 1, "another second")
    second = log_in_again(party, party.ask(prompt="login"))
    assert second["sub"] == first["sub"] and second["auth_time"] > first["auth_time"]
    assert second["sid"] == first["sid"], "the same person in the same browser"


def test_oidcc_prompt_none_not_logged_in(demo, source):
    answer = code_of(Party(demo, source).ask(prompt="none"))
    assert answer["error"] == ["login_required"] and answer["state"] == ["st"]


def test_oidcc_prompt_none_logged_in(party):
    first = claims_of(party.tokens()["id_token"])
    second = claims_of(party.tokens(prompt="none")["id_token"])
    assert [first[name] for name in ("sub", "auth_time", "sid")] == \
        [second[name] for name in ("sub", "auth_time", "sid")]


def test_oidcc_max_age_1(party):
    first = claims_of(party.tokens()["id_token"])
    until(lambda: leads_to_login(party.ask(max_age=1)), "the session to be older than a second")
    assert code_of(party.ask(max_age=1, prompt="none"))["error"] == ["login_required"]
    second = log_in_again(party, party.ask(max_age=1))
    assert first["auth_time"] < second["auth_time"] <= time.time() + 1
    assert second["sub"] == first["sub"]


def test_oidcc_max_age_10000(party):
    first = claims_of(party.tokens(max_age=10000)["id_token"])
    second = claims_of(party.tokens(max_age=10000)["id_token"])
    assert first["auth_time"] == second["auth_time"], "nobody is asked again"


def test_oidcc_ensure_request_with_unknown_parameter_succeeds(party):
    assert "id_token" in party.tokens(extra="foobar")


def test_oidcc_id_token_hint(party):
    held = party.tokens()
    again = party.tokens(prompt="none", id_token_hint=held["id_token"])
    assert claims_of(again["id_token"])["sub"] == claims_of(held["id_token"])["sub"]
    # Somebody else is logged in by now: nobody is asked, or the right person is.
    bob = party.demo.facts()["users"][1]
    party.browser = party.demo.client(party.source)
    assert log_in(party.browser, bob["username"], bob["password"]).status_code == 303
    answer = code_of(party.ask(prompt="none", id_token_hint=held["id_token"]))
    assert answer["error"] == ["login_required"]
    assert leads_to_login(party.ask(id_token_hint=held["id_token"]))
    head, body, signature = held["id_token"].split(".")
    for token in ("x", held["access_token"], f"{head}.{body}.{signature[:-4]}AAAA"):
        assert code_of(party.ask(id_token_hint=token))["error"] == ["invalid_request"]
    other = Party(party.demo, party.source)
    other.browser = party.browser
    assert code_of(other.ask(id_token_hint=held["id_token"]))["error"] == ["invalid_request"]


def test_oidcc_login_hint(demo, source):
    party = Party(demo, source)
    hint = 'ada"><script>@example.org'
    page = party.browser.get(party.ask(login_hint=hint).headers["location"])
    assert fields(page.text)["username"] == hint and "<script>" not in page.text
    long = party.ask(login_hint="x" * 1025)
    assert code_of(long)["error"] == ["invalid_request"]


def test_oidcc_ui_locales(demo, source):
    party = Party(demo, source)
    page = party.browser.get(party.ask(ui_locales="se").headers["location"])
    assert page.status_code == 200 and "username" in fields(page.text)
    assert "id_token" in party.log_in().tokens(ui_locales="se")


def test_oidcc_claims_locales(party):
    assert "id_token" in party.tokens(claims_locales="se")


def test_oidcc_ensure_request_with_acr_values_succeeds(party):
    known = party.browser.get("/.well-known/openid-configuration").json()["acr_values_supported"]
    assert claims_of(party.tokens(acr_values=" ".join(known))["id_token"])["acr"] in known
    assert "id_token" in party.tokens(acr_values="1 2")


def test_oidcc_codereuse(party):
    answer = party.ask()
    held = party.redeem(answer).json()
    again = party.redeem(answer)
    assert again.status_code == 400 and again.json()["error"] == "invalid_grant"
    # What the first use brought is void as well.
    used = party.browser.get("/oauth2/userinfo", headers=bearer(held["access_token"]))
    assert used.status_code == 401
    assert party.refresh(held).json()["error"] == "invalid_grant"


def test_oidcc_ensure_registered_redirect_uri(party):
    for uri in (f"{CALLBACK}/x", f"{CALLBACK}?x=1", "https://rp.example/", "https://evil.example/cb"):
        assert stays_here(party.ask(redirect_uri=uri)), uri


def test_oidcc_ensure_post_request_succeeds(party):
    answer = party.browser.post("/oauth2/authorize", data=party.query())
    assert "id_token" in party.redeem(answer).json()


def test_oidcc_server_client_secret_post(demo, source):
    party = Party(demo, source, method="client_secret_post").log_in()
    assert "id_token" in party.tokens()


def test_oidcc_unsigned_request_object_supported_correctly_or_rejected_as_unsupported(party):
    wish = unsigned(party.query(iss=party.id, aud=party.demo.issuer))
    # With the parameters that OAuth asks for outside as well, but for the state.
    answer = code_of(party.ask(request=wish, state=None))
    assert answer["error"] == ["request_not_supported"] and "code" not in answer
    assert code_of(party.ask(request=wish))["state"] == ["st"]


def test_oidcc_ensure_request_object_with_redirect_uri(party):
    """No request object changes where the answer goes."""
    wish = unsigned(party.query(iss=party.id, aud=party.demo.issuer))
    assert stays_here(party.ask(request=wish, redirect_uri=f"{CALLBACK}/other"))
    elsewhere = unsigned(party.query(redirect_uri=f"{CALLBACK}/other"))
    answer = party.ask(request=elsewhere)
    assert code_of(answer)["error"] == ["request_not_supported"]
    assert answer.headers["location"].startswith(f"{CALLBACK}?")


def test_oidcc_request_uri_unsigned_supported_correctly_or_rejected_as_unsupported(party):
    known = party.browser.get("/.well-known/openid-configuration").json()
    assert known["request_uri_parameter_supported"] is False
    wish = "https://rp.example/request.jwt"
    # Client and redirect URI belong together, so the client is told (OpenID Connect Core, 3.1.2.6).
    answer = party.ask(request_uri=wish, state=None)
    assert answer.status_code == 303, answer.text
    assert code_of(answer)["error"] == ["request_uri_not_supported"]
    assert stays_here(party.ask(request_uri=wish, redirect_uri=f"{CALLBACK}/other"))


def test_oidcc_claims_essential(party):
    wish = {"userinfo": {"name": {"essential": True}}, "id_token": {"email": None}}
    held = party.tokens(claims=json.dumps(wish))
    info = party.browser.get("/oauth2/userinfo", headers=bearer(held["access_token"])).json()
    assert set(info) == {"sub", "name"}
    claims = claims_of(held["id_token"])
    assert claims["email"] == party.alice["email"] and "name" not in claims
    # They last as long as the grant.
    fresh = party.refresh(held).json()
    info = party.browser.get("/oauth2/userinfo", headers=bearer(fresh["access_token"])).json()
    assert set(info) == {"sub", "name"}
    for wrong in ("x", "[]", '{"userinfo":{"name":1}}', '{"id_token":{"sub":{"value":1}}}'):
        assert code_of(party.ask(claims=wrong))["error"] == ["invalid_request"]
    named = json.dumps({"id_token": {"sub": {"value": "usr_somebodyelse"}}})
    assert code_of(party.ask(claims=named, prompt="none"))["error"] == ["login_required"]


def test_oidcc_claims_are_asked_of_the_person_like_scopes(demo, source):
    party = Party(demo, source, first_party=False).log_in()
    page = party.ask()
    assert "consent-allow" in page.text and "e-mail address" not in page.text
    agreed = party.browser.post("/oauth2/consent", data={**fields(page.text), "decision": "allow"})
    assert "id_token" in party.redeem(agreed).json()
    wish = json.dumps({"userinfo": {"email": None}})
    silent = parse_qs(urlsplit(party.ask(claims=wish, prompt="none").headers["location"]).query)
    assert silent["error"] == ["consent_required"]
    assert "e-mail address" in party.ask(claims=wish).text


def test_oidcc_refresh_token(party):
    known = party.browser.get("/.well-known/openid-configuration").json()
    assert "refresh_token" in known["grant_types_supported"]
    held = party.tokens()
    assert all(" " <= char <= "~" for char in held["refresh_token"]), "RFC 6749, appendix A.17"
    fresh = party.refresh(held).json()
    first, second = claims_of(held["id_token"]), claims_of(fresh["id_token"])
    assert [first[n] for n in ("iss", "sub", "aud", "auth_time")] == \
        [second[n] for n in ("iss", "sub", "aud", "auth_time")]
    assert first["iat"] <= second["iat"] and fresh["access_token"] != held["access_token"]
    used = party.browser.get("/oauth2/userinfo", headers=bearer(fresh["access_token"]))
    assert used.status_code == 200
    # The refresh token of one client is nothing to another.
    other = Party(party.demo, party.source)
    assert other.refresh(fresh).json()["error"] == "invalid_grant"


def test_oidcc_ensure_request_with_valid_pkce_succeeds(party):
    verifier, challenge = pkce()
    asked = party.ask(code_challenge=challenge, code_challenge_method="S256")
    assert "id_token" in party.redeem(asked, code_verifier=verifier).json()
    # What was announced must come, and what was not must not (RFC 9700, section 4.8.2).
    asked = party.ask(code_challenge=challenge, code_challenge_method="S256")
    assert party.redeem(asked).json()["error"] == "invalid_grant"
    assert party.redeem(party.ask(), code_verifier=verifier).json()["error"] == "invalid_grant"
    plain = party.ask(code_challenge=verifier, code_challenge_method="plain")
    assert code_of(plain)["error"] == ["invalid_request"]


def test_only_a_confidential_client_may_rely_on_its_nonce(demo):
    made = demo.operator().post("/api/admin/v1/clients", json={
        "name": "Public", "token_endpoint_auth_method": "none", "redirect_uris": [CALLBACK],
        "scopes": ["openid"], "grant_types": ["authorization_code"], "nonce_instead_of_pkce": True,
    })
    assert made.status_code == 422 and "nonce_instead_of_pkce" in made.text


def test_the_oldest_grant_makes_room(party):
    """However often somebody comes back, ending all of it stays a small thing."""
    first = party.tokens()
    second = party.tokens()
    for _ in range(99):
        party.tokens()
    gone = party.refresh(first)
    assert gone.json()["error"] == "invalid_grant", gone.text
    kept = party.refresh(second)
    assert kept.status_code == 200, kept.text
