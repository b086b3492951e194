"""Logins at other providers: at a real one (oidc-provider), and at one that lies."""

import base64
import json
import os
import re
import secrets
import subprocess
import time
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import OKPKey

from listener import Listener, certificate
from portcullis import Demo, exchange, fields, free_port, log_in, submit, until

HERE = Path(__file__).parent
CONFIG = (HERE.parents[1] / "crates/server/src/demo.toml").read_text()
SECRET = "s3cret:with/strange&characters%"
PASSWORD = "plum rivet otter canvas"


def provider(name, issuer, trust):
    return (f'\n[[login_provider]]\nname = "{name}"\nlabel = "{name.title()} & Sons"\nissuer = "{issuer}"\n'
            f'client_id = "portcullis"\ntrust_email = {trust}\n')


class Liar(Listener):
    """Says whatever a test wants, signed with the right key unless told otherwise."""

    def __init__(self, pem):
        super().__init__(pem)
        self.key = OKPKey.generate_key("Ed25519", parameters={"kid": "k1", "alg": "EdDSA", "use": "sig"})
        outer = self

        def do_POST(handler):
            form = parse_qs(handler.rfile.read(int(handler.headers["content-length"])).decode())
            outer.posted.append((handler.path, {**form, "authorization": handler.headers["authorization"]}))
            body = json.dumps(outer.answer).encode()
            handler.send_response(outer.status.pop(0) if outer.status else 200)
            handler.send_header("content-type", "application/json")
            handler.send_header("content-length", str(len(body)))
            handler.end_headers()
            handler.wfile.write(body)

        self.server.RequestHandlerClass.do_POST = do_POST
        self.answer = {}
        self.documents["/.well-known/openid-configuration"] = {
            "issuer": self.url, "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token", "jwks_uri": f"{self.url}/jwks",
            "userinfo_endpoint": f"{self.url}/userinfo",
            "authorization_response_iss_parameter_supported": True,
        }
        self.documents["/jwks"] = {"keys": [self.key.as_dict(private=False)]}

    def say(self, nonce, header=None, key=None, **claims):
        said = {"iss": self.url, "aud": "portcullis", "sub": "1", "nonce": nonce,
                "iat": int(time.time()), "exp": int(time.time()) + 60, **claims}
        said = {name: value for name, value in said.items() if value is not None}
        head = {"alg": "EdDSA", "kid": "k1", **(header or {})}
        token = jwt.encode(head, said, key or self.key, algorithms=["EdDSA"])
        self.answer = {"id_token": token, "access_token": "opaque", "token_type": "Bearer"}


@pytest.fixture(scope="module")
def others(tmp_path_factory):
    """An installation with a real provider twice, trusted and not, and one that lies."""
    directory = tmp_path_factory.mktemp("others")
    pem, ca = certificate(directory)
    liar, port = Liar(pem), free_port()
    config = (CONFIG + f'\n[egress]\nallow = ["127.0.0.0/8"]\nca = "{ca}"\n'
              + provider("acme", f"https://127.0.0.1:{port}", "true").replace("acme", "acme")
              + provider("liar", liar.url, "false"))
    names = {"PORTCULLIS_LOGIN_SECRET_ACME": SECRET, "PORTCULLIS_LOGIN_SECRET_LIAR": "lie"}
    os.environ.update(names)
    with Demo(config) as demo:
        demo.new_user("taken")
        people = {
            "u1": {"email": "zoe@example.org", "email_verified": True, "preferred_username": "zoe"},
            "u2": {"email": "taken@example.org", "email_verified": True, "preferred_username": "taken"},
            "u3": {"email": "open@example.org", "email_verified": False, "preferred_username": "open"},
            "u4": {"email": "linker@example.org", "email_verified": True},
            "u5": {"email": "racer@example.org", "email_verified": True, "preferred_username": "racer"},
        }
        peer = {"port": port, "certificate": str(pem), "people": people, "secret": SECRET,
                "redirectUri": f"{demo.issuer}/login/upstream/callback/acme"}
        process = subprocess.Popen(["node", HERE / "upstream_provider.mjs"], stdout=subprocess.PIPE,
                                   env={**os.environ, "PEER": json.dumps(peer), "NODE_NO_WARNINGS": "1"})
        assert process.stdout.readline() == b"ready\n"
        demo.peer_ca, demo.liar = ca, liar
        yield demo
        process.terminate()
        process.wait()
    for name in names:
        del os.environ[name]


def leave(browser, name="acme", return_to="/account"):
    """Presses the button on the login page; where the browser is sent."""
    page = browser.get("/login?return_to=/account/security")
    csrf = fields(page.text)["csrf"]
    sent = browser.post(f"/login/upstream/{name}", data={"csrf": csrf, "return_to": return_to})
    assert sent.status_code == 303, sent.text
    return sent.headers["location"]


def answer_of(demo, url, who):
    """Logs in at the real provider, with its own forms; where it sends the browser back to."""
    with httpx.Client(verify=str(demo.peer_ca), follow_redirects=False) as there:
        answer = there.get(url)
        for _ in range(12):
            if answer.status_code in (302, 303):
                to = answer.headers["location"]
                if to.startswith(demo.issuer):
                    return to.removeprefix(demo.issuer)
                answer = there.get(httpx.URL(url).join(to))
                continue
            action = re.search(r'action="([^"]+)"', answer.text).group(1)
            prompt = re.search(r'name="prompt" value="([a-z]+)"', answer.text).group(1)
            form = {"prompt": prompt, **({"login": who, "password": "any"} if prompt == "login" else {})}
            answer = there.post(httpx.URL(url).join(action), data=form)
    raise AssertionError(answer.text)


def come_back(demo, browser, who):
    return browser.get(answer_of(demo, leave(browser), who))


def known_as(demo, browser):
    token = exchange(demo, browser, "openid profile")["access_token"]
    return browser.get("/oauth2/userinfo", headers={"authorization": f"Bearer {token}"}).json()["preferred_username"]


def test_somebody_new_with_a_proven_address_gets_an_account_and_comes_back_to_it(others, source):
    browser = others.client(source)
    unknown = come_back(others, browser, "u1")
    assert (unknown.status_code, unknown.headers["location"]) == (303, "/login/upstream/new")
    page = browser.get("/login/upstream/new")
    assert "Acme &#38; Sons" in page.text and fields(page.text)["username"] == "zoe"
    # A name that cannot be is corrected, and the proof still holds.
    bad = submit(browser, "/login/upstream/new", {"username": "!"})
    assert bad.status_code == 422
    made = submit(browser, "/login/upstream/new", {"username": "zoe"})
    assert (made.status_code, made.headers["location"]) == (303, "/account")
    assert known_as(others, browser) == "zoe"
    again = others.client(source)
    back = come_back(others, again, "u1")
    assert (back.status_code, back.headers["location"]) == (303, "/account")
    assert known_as(others, again) == "zoe"
    # It was one factor, looked at by somebody else.
    claims = exchange(others, again, "openid")["id_token"].split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(claims + "=="))
    assert (claims["amr"], claims["acr"]) == (["fed"], "urn:portcullis:acr:single-factor")


def test_an_account_is_linked_only_with_proof_of_both_sides(others, source):
    browser = others.client(source)
    come_back(others, browser, "u2")
    # The address has an account: the provider's word alone opens it not.
    taken = submit(browser, "/login/upstream/new", {"username": "somebody"})
    assert taken.status_code == 422 and "There is an account with your address" in taken.text
    assert browser.get("/account").status_code == 303
    # Without a login here there is nothing to link to.
    assert browser.get("/login/upstream/link").headers["location"].startswith("/login?")
    entered = submit(browser, "/login?return_to=/login/upstream/link", {"username": "taken", "password": PASSWORD})
    assert entered.headers["location"] == "/login/upstream/link"
    asked = browser.get("/login/upstream/link")
    assert "taken@example.org at Acme &#38; Sons logs in to the account taken" in asked.text
    linked = browser.post("/login/upstream/link", data=fields(asked.text))
    assert (linked.status_code, linked.headers["location"]) == (303, "/account/security")
    other = others.client(source)
    assert come_back(others, other, "u2").headers["location"] == "/account"
    assert known_as(others, other) == "taken"
    notices = [mail["subject"] for mail in until(lambda: others.mails("taken@example.org"), "the notice")]
    assert "A way to log in was added to your account" in notices
    event = until(lambda: others.audit("--kind", "user_identity_linked"), "the event")[-1]
    assert event["unmapped"]["login_provider"] == "acme"


def test_an_address_that_nobody_has_proven_makes_no_account(others, source):
    browser = others.client(source)
    come_back(others, browser, "u3")
    page = browser.get("/login/upstream/new")
    assert "username" not in fields(page.text)
    csrf = fields(browser.get("/login").text)["csrf"]
    forced = browser.post("/login/upstream/new", data={"csrf": csrf, "username": "opened"})
    assert forced.status_code == 503 or forced.status_code == 404
    assert browser.get("/account").status_code == 303


def test_whoever_is_logged_in_links_and_unlinks(others, source):
    others.new_user("linker2")
    browser = others.client(source)
    log_in(browser, "linker2", PASSWORD)
    page = browser.get("/account/security")
    sent = browser.post("/account/upstream/acme", data={"csrf": fields(page.text)["csrf"]})
    back = browser.get(answer_of(others, sent.headers["location"], "u4"))
    assert back.headers["location"] == "/account/security"
    page = browser.get("/account/security")
    assert "linker@example.org" in page.text
    other = others.client(source)
    assert come_back(others, other, "u4").headers["location"] == "/account"
    form = {"csrf": fields(page.text)["csrf"], "provider": "acme", "subject": "u4"}
    assert browser.post("/account/upstream/remove", data=form).status_code == 303
    assert "linker@example.org" not in browser.get("/account/security").text
    third = others.client(source)
    assert come_back(others, third, "u4").headers["location"] == "/login/upstream/new"


def test_what_was_begun_by_one_person_is_not_linked_to_another(others, source):
    for name in ("first9", "second9"):
        others.new_user(name)
    browser = others.client(source)
    log_in(browser, "first9", PASSWORD)
    page = browser.get("/account/security")
    sent = browser.post("/account/upstream/acme", data={"csrf": fields(page.text)["csrf"]})
    back = answer_of(others, sent.headers["location"], "u5")
    browser.post("/logout", data={"csrf": fields(page.text)["csrf"]})
    log_in(browser, "second9", PASSWORD)
    assert browser.get(back).status_code == 410


def test_the_second_factor_is_asked_for_after_a_login_elsewhere(others, source):
    browser = others.client(source)
    if come_back(others, browser, "u5").headers["location"] == "/login/upstream/new":
        submit(browser, "/login/upstream/new", {"username": "racer"})
    page = browser.get("/account/security")
    setup = browser.post("/account/totp/begin", data={"csrf": fields(page.text)["csrf"]})
    secret = re.search(r'class="code key">([A-Z2-7 ]+)<', setup.text).group(1).replace(" ", "")
    code = subprocess.run(["oathtool", "--totp", "-b", secret], capture_output=True, text=True).stdout.strip()
    browser.post("/account/totp/confirm", data={"csrf": fields(page.text)["csrf"], "code": code})
    again = others.client(source)
    assert come_back(others, again, "u5").headers["location"].startswith("/login/second")


def test_r6_an_answer_is_used_once_and_by_the_browser_that_asked(others, source):
    browser = others.client(source)
    back = answer_of(others, leave(browser), "u1")
    assert others.client(source).get(back).status_code == 410
    held = dict(browser.cookies)
    assert browser.get(back).status_code == 303
    replayed = others.client(source, cookies=held)
    # The provider has seen the code before us; were it to give tokens again, the answer is used up.
    assert replayed.get(back).status_code in (403, 410)


class Lied:
    """One login at the liar, up to the point where it may lie."""

    def __init__(self, demo, source, browser=None):
        self.browser, self.liar, self.to = browser or demo.client(source), demo.liar, "liar"
        asked = parse_qs(urlsplit(leave(self.browser, "liar")).query)
        self.state, self.nonce, self.asked = asked["state"][0], asked["nonce"][0], asked

    def back(self, **changes):
        params = {"code": "c", "state": self.state, "iss": self.liar.url, **changes}
        params = {name: value for name, value in params.items() if value is not None}
        return self.browser.get(f"/login/upstream/callback/{self.to}?{urlencode(params)}")


@pytest.fixture
def lied(others, source):
    return Lied(others, source)


def test_the_request_is_as_the_standards_say(lied):
    lied.liar.say(lied.nonce)
    assert lied.back().headers["location"] == "/login/upstream/new"
    assert lied.asked["code_challenge_method"] == ["S256"] and lied.asked["response_type"] == ["code"]
    path, form = lied.liar.posted[-1]
    assert path == "/token" and "client_secret" not in form and len(form["code_verifier"][0]) >= 43
    assert form["authorization"].startswith("Basic ")


@pytest.mark.parametrize("changes", [
    {"nonce": "other"}, {"nonce": None}, {"iss": "https://evil.example"}, {"aud": "somebody"},
    {"aud": ["portcullis", "other"]}, {"aud": ["portcullis", "other"], "azp": "other"},
    {"exp": 1}, {"exp": "soon"}, {"sub": ""}, {"sub": None}, {"sub": 7}, {"sub": "x" * 256},
    {"iat": int(time.time()) + 4000, "nbf": int(time.time()) + 4000},
], ids=" ".join)
def test_an_id_token_that_does_not_hold_opens_nothing(lied, changes):
    lied.liar.say(**{"nonce": lied.nonce, **changes})
    assert lied.back().status_code == 400


def test_a_key_of_somebody_else_signs_nothing(lied):
    other = OKPKey.generate_key("Ed25519", parameters={"kid": "k1"})
    lied.liar.say(lied.nonce, key=other)
    assert lied.back().status_code == 400


@pytest.mark.parametrize("alg", ["none", "HS256"])
def test_unsigned_and_symmetric_tokens_are_refused(lied, alg):
    part = lambda value: base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()
    claims = {"iss": lied.liar.url, "aud": "portcullis", "sub": "1", "nonce": lied.nonce,
              "exp": int(time.time()) + 60, "iat": int(time.time())}
    lied.liar.answer = {"id_token": f"{part({'alg': alg})}.{part(claims)}."}
    assert lied.back().status_code == 400


@pytest.mark.parametrize("changes,status", [
    ({"state": "other"}, 400), ({"state": None}, 400), ({"iss": "https://127.0.0.1:1"}, 400), ({"iss": None}, 400),
    ({"error": "access_denied", "code": None}, 403), ({"code": None}, 403), ({"code": "x" * 3000}, 403),
])
def test_an_answer_of_somebody_else_is_not_redeemed(lied, changes, status):
    lied.liar.say(lied.nonce)
    asked = len(lied.liar.posted)
    assert lied.back(**changes).status_code == status
    assert len(lied.liar.posted) == asked, "the code went to the provider"


def test_a_code_of_one_provider_is_not_taken_to_another(others, source, lied):
    # The liar sends the browser to where answers of acme go, and the other way round.
    lied.liar.say(lied.nonce)
    asked = len(lied.liar.posted)
    lied.to = "acme"
    assert lied.back().status_code == 410
    browser = others.client(source)
    elsewhere = answer_of(others, leave(browser), "u1").replace("/callback/acme", "/callback/liar")
    assert browser.get(elsewhere).status_code == 410
    assert len(lied.liar.posted) == asked


def test_another_page_cannot_use_an_attempt_up(lied):
    """It can send the browser to the callback, but it does not know the state."""
    lied.liar.say(lied.nonce)
    for state in ("guessed", None):
        assert lied.back(state=state).status_code == 400
    assert lied.back().headers["location"] == "/login/upstream/new"


def test_an_answer_is_spent_before_its_code_is_redeemed(lied):
    lied.liar.status.append(500)
    assert lied.back().status_code == 502
    lied.liar.say(lied.nonce)
    lied.browser.cookies.clear()
    asked = len(lied.liar.posted)
    assert lied.back().status_code == 410 and len(lied.liar.posted) == asked


def test_failures_are_recorded(others, lied):
    lied.liar.say("another nonce")
    assert lied.back().status_code == 400

    def recorded():
        events = others.audit()
        return [e for e in events if "wrong_answer" in json.dumps(e) and "upstream" in json.dumps(e)]

    assert until(recorded, "the event")


def linked_to_the_liar(others, source, name, subject):
    """Somebody whom the liar may log in; a browser that is logged in as them."""
    others.new_user(name)
    browser = others.client(source)
    log_in(browser, name, PASSWORD)
    csrf = fields(browser.get("/account/security").text)["csrf"]
    sent = browser.post("/account/upstream/liar", data={"csrf": csrf}).headers["location"]
    asked = parse_qs(urlsplit(sent).query)
    assert (asked["max_age"], asked["prompt"]) == (["0"], ["login"])
    others.liar.say(asked["nonce"][0], sub=subject, auth_time=int(time.time()))
    params = {"code": "c", "state": asked["state"][0], "iss": others.liar.url}
    linked = browser.get(f"/login/upstream/callback/liar?{urlencode(params)}")
    assert linked.headers["location"] == "/account/security", linked.text
    return browser


def test_a_login_elsewhere_is_as_old_as_the_provider_says(others, source):
    linked_to_the_liar(others, source, "aged", "aged")
    for old, status in [({}, 303), ({"auth_time": int(time.time()) - 3600}, 303), ({"auth_time": int(time.time())}, 200)]:
        login = Lied(others, source)
        assert "prompt" not in login.asked and int(login.asked["max_age"][0]) > 3600
        others.liar.say(login.nonce, sub="aged", **old)
        assert login.back().headers["location"] == "/account"
        # Only a fresh proof changes credentials.
        csrf = fields(login.browser.get("/account").text)["csrf"]
        assert login.browser.post("/account/totp/begin", data={"csrf": csrf}).status_code == status, old


def test_whoever_is_logged_in_has_to_prove_it_anew_there(others, source):
    browser = linked_to_the_liar(others, source, "anew", "anew")
    for claims in ({}, {"auth_time": int(time.time()) - 600}):
        again = Lied(others, source, browser)
        assert again.asked["prompt"] == ["login"]
        others.liar.say(again.nonce, sub="anew", **claims)
        assert again.back().status_code == 403
    again = Lied(others, source, browser)
    others.liar.say(again.nonce, sub="anew", auth_time=int(time.time()))
    assert again.back().status_code == 303


def test_a_long_way_back_is_refused_before_it_is_lost(others, source):
    browser = others.client(source)
    csrf = fields(browser.get("/login").text)["csrf"]
    back = "/oauth2/authorize?" + "x" * 3000
    assert browser.post("/login/upstream/acme", data={"csrf": csrf, "return_to": back}).status_code == 400


def test_userinfo_of_another_subject_is_nobodys(lied):
    lied.liar.documents["/userinfo"] = {"sub": "2", "email": "victim@example.org", "email_verified": True}
    lied.liar.say(lied.nonce)
    assert lied.back().status_code == 400
    del lied.liar.documents["/userinfo"]


def test_whoever_is_not_trusted_proves_no_address(lied):
    lied.liar.say(lied.nonce, sub="new", email="alice@example.org", email_verified=True)
    lied.back()
    assert "username" not in fields(lied.browser.get("/login/upstream/new").text)


def test_a_provider_that_fails_costs_nothing_but_the_login(others, source, lied):
    lied.liar.status.append(500)
    assert lied.back().status_code == 502
    lied = Lied(others, source)
    lied.liar.answer = ["not", "an", "object"]
    assert lied.back().status_code == 502
    assert lied.browser.get("/login").status_code == 200


def test_nobody_is_sent_anywhere_by_a_foreign_form(others, source):
    browser = others.client(source)
    assert browser.post("/login/upstream/acme", data={"csrf": "x"}).status_code == 403
    page = browser.get("/login")
    sent = browser.post("/login/upstream/nobody", data={"csrf": fields(page.text)["csrf"]})
    assert sent.status_code == 400
