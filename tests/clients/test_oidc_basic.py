"""OpenID Connect Core as the Basic OP plan of the OpenID Foundation's suite checks it. Each test is
named after the module it follows. The client relies on its nonce instead of PKCE, as that plan does;
where a module sends no nonce either, the test adds PKCE, because we do not do without both."""

import base64
import json
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from portcullis import bearer, code_of, fields, log_in, pkce, submit, until

CALLBACK = "https://rp.example/cb"


class Party:
    """A relying party with a browser of its own."""

    def __init__(self, demo, source, method="client_secret_basic", first_party=True):
        made = demo.operator().post("/api/admin/v1/clients", json={
            "name": "Basic", "token_endpoint_auth_method": method, "first_party": first_party,
            "redirect_uris": [CALLBACK], "scopes": ["openid", "profile", "email"],
            "grant_types": ["authorization_code", "refresh_token"], "nonce_instead_of_pkce": True,
        })
        assert made.status_code == 201, made.text
        self.id, self.secret = made.json()["client"]["client_id"], made.json()["client_secret"]
        self.demo, self.source, self.method = demo, source, method
        self.alice = demo.facts()["users"][0]
        self.browser = demo.client(source)

    def log_in(self):
        assert log_in(self.browser, self.alice["username"], self.alice["password"]).status_code == 303
        return self

    def query(self, **more):
        query = {"client_id": self.id, "redirect_uri": CALLBACK, "response_type": "code",
                 "scope": "openid", "state": "st", "nonce": "no", **more}
        return {name: value for name, value in query.items() if value is not None}

    def ask(self, **more):
        return self.browser.get(f"/oauth2/authorize?{urlencode(self.query(**more))}")

    def redeem(self, answer, **more):
        form = {"grant_type": "authorization_code", "code": code_of(answer)["code"][0],
                "redirect_uri": CALLBACK, **more}
        return self.token(form)

    def token(self, form):
        if self.method == "client_secret_post":
            form = {**form, "client_id": self.id, "client_secret": self.secret}
            return self.demo.client(self.source).post("/oauth2/token", data=form)
        return self.demo.client(self.source).post("/oauth2/token", data=form, auth=(self.id, self.secret))

    def tokens(self, **more):
        answer = self.redeem(self.ask(**more))
        assert answer.status_code == 200, answer.text
        return answer.json()

    def userinfo(self, **more):
        held = self.tokens(**more)
        return self.browser.get("/oauth2/userinfo", headers=bearer(held["access_token"])).json()


@pytest.fixture
def party(demo, source):
    return Party(demo, source).log_in()


def claims_of(token):
    return json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))


def leads_to_login(answer):
    return answer.status_code == 303 and answer.headers["location"].startswith("/login?")


def test_oidcc_server(party):
    held = party.tokens()
    claims = claims_of(held["id_token"])
    assert claims["iss"] == party.demo.issuer and claims["aud"] == party.id
    assert claims["nonce"] == "no" and claims["sub"].startswith("usr_")
    assert claims["iat"] < claims["exp"] and held["token_type"] == "Bearer"


def test_oidcc_response_type_missing(party):
    answer = code_of(party.ask(response_type=None))
    assert answer["error"] == ["invalid_request"] and answer["state"] == ["st"]


def test_oidcc_userinfo_get(party):
    assert list(party.userinfo()) == ["sub"]


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
    assert "email" not in info


def test_oidcc_scope_email(party):
    info = party.userinfo(scope="openid email")
    assert info["email"] == party.alice["email"] and info["email_verified"] is True
    assert "name" not in info


def test_oidcc_ensure_other_scope_order_succeeds(party):
    assert {"name", "email"} <= set(party.userinfo(scope="email profile openid"))


@pytest.mark.parametrize("display", ["page", "popup", "touch", "wap"])
def test_oidcc_display(party, display):
    assert "id_token" in party.tokens(display=display)


def test_oidcc_prompt_login(party):
    first = claims_of(party.tokens()["id_token"])
    to_login = party.ask(prompt="login")
    assert leads_to_login(to_login)
    form = {"username": party.alice["username"], "password": party.alice["password"]}
    back = submit(party.browser, to_login.headers["location"], form).headers["location"]
    second = claims_of(party.redeem(party.browser.get(back)).json()["id_token"])
    assert second["sub"] == first["sub"] and second["auth_time"] >= first["auth_time"]
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
    until(lambda: leads_to_login(party.ask(max_age=1)), "the session to be older than a second")
    assert code_of(party.ask(max_age=1, prompt="none"))["error"] == ["login_required"]


def test_oidcc_max_age_10000(party):
    assert "auth_time" in claims_of(party.tokens(max_age=10000)["id_token"])


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


@pytest.mark.parametrize("name,value", [
    ("ui_locales", "se"), ("claims_locales", "se"), ("acr_values", "1 2"),
])
def test_oidcc_ensure_request_with_hints_succeeds(party, name, value):
    assert "id_token" in party.tokens(**{name: value})


def test_oidcc_codereuse(party):
    answer = party.ask()
    held = party.redeem(answer).json()
    assert party.redeem(answer).json()["error"] == "invalid_grant"
    # What the first use brought is void as well.
    used = party.browser.get("/oauth2/userinfo", headers=bearer(held["access_token"]))
    assert used.status_code == 401


def test_oidcc_ensure_registered_redirect_uri(party):
    for uri in (f"{CALLBACK}/x", f"{CALLBACK}?x=1", "https://rp.example/", "https://evil.example/cb"):
        answer = party.ask(redirect_uri=uri)
        assert answer.status_code == 400 and "location" not in answer.headers


def test_oidcc_ensure_post_request_succeeds(party):
    answer = party.browser.post("/oauth2/authorize", data=party.query())
    assert "id_token" in party.redeem(answer).json()


def test_oidcc_server_client_secret_post(demo, source):
    party = Party(demo, source, method="client_secret_post").log_in()
    assert "id_token" in party.tokens()


def test_oidcc_unsigned_request_object_supported_correctly_or_rejected_as_unsupported(party):
    answer = code_of(party.ask(request="eyJhbGciOiJub25lIn0.e30."))
    assert answer["error"] == ["request_not_supported"] and answer["state"] == ["st"]


def test_oidcc_request_uri_unsupported(party):
    answer = party.ask(request_uri="https://rp.example/request.jwt")
    assert answer.status_code == 400 and "request_uri_not_supported" in answer.text


def test_oidcc_claims_essential(party):
    wish = {"userinfo": {"name": {"essential": True}}, "id_token": {"email": None}}
    held = party.tokens(claims=json.dumps(wish))
    info = party.browser.get("/oauth2/userinfo", headers=bearer(held["access_token"])).json()
    assert set(info) == {"sub", "name"}
    assert claims_of(held["id_token"])["email"] == party.alice["email"]
    # They last as long as the grant.
    fresh = party.token({"grant_type": "refresh_token", "refresh_token": held["refresh_token"]}).json()
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
    held = party.tokens()
    fresh = party.token({"grant_type": "refresh_token", "refresh_token": held["refresh_token"]}).json()
    first, second = claims_of(held["id_token"]), claims_of(fresh["id_token"])
    assert [first[n] for n in ("iss", "sub", "aud", "auth_time")] == \
        [second[n] for n in ("iss", "sub", "aud", "auth_time")]


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
    gone = party.token({"grant_type": "refresh_token", "refresh_token": first["refresh_token"]})
    assert gone.json()["error"] == "invalid_grant", gone.text
    kept = party.token({"grant_type": "refresh_token", "refresh_token": second["refresh_token"]})
    assert kept.status_code == 200, kept.text
