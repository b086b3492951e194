"""Authenticator apps, recovery codes, passkeys, mail, and what a login proves with them."""

import base64
import json
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from authenticator import Authenticator
from portcullis import (
    Demo, authorize, bearer, code_of, exchange, fields, log_in, pkce, submit, until,
)

PASSWORD = "plum rivet otter canvas"
MULTI = "urn:portcullis:acr:multi-factor"
SINGLE = "urn:portcullis:acr:single-factor"


@pytest.fixture
def person(demo, source):
    """Somebody new, logged in."""
    return Person(demo, source)


class Person:
    count = 0

    def __init__(self, demo, source):
        Person.count += 1
        self.demo, self.source = demo, source
        self.name = f"factor{Person.count}"
        self.mail = f"{self.name}@example.org"
        demo.new_user(self.name, PASSWORD)
        self.browser = demo.client(source)
        assert log_in(self.browser, self.name, PASSWORD).headers["location"] == "/account"

    def post(self, path, values=None, page="/account/security"):
        form = {"csrf": fields(self.browser.get(page).text)["csrf"], **(values or {})}
        return self.browser.post(path, data=form)

    def call(self, path, body=None, browser=None):
        browser = browser or self.browser
        csrf = fields(browser.get("/login?return_to=/account/security").text)["csrf"]
        return browser.post(path, json={"csrf": csrf, **(body or {})})

    def set_up_app(self):
        page = self.post("/account/totp/begin").text
        self.secret = re.search(r'class="code key">([A-Z2-7 ]+)<', page).group(1).replace(" ", "")
        self.step = 0
        done = self.post("/account/totp/confirm", {"code": self.code()})
        assert done.status_code == 200, done.text
        self.recovery = re.findall(r'<li class="code">([0-9a-z-]+)</li>', done.text)
        return done

    def code(self, step=None):
        """The code of the next time step, so that no test waits for a clock."""
        offset = {0: "-30 seconds", 1: "now", 2: "+30 seconds"}[self.step if step is None else step]
        if step is None:
            self.step += 1
        command = ["oathtool", "--totp", "--base32", "--now", offset, self.secret]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    def add_passkey(self, name="Phone", **how):
        device = Authenticator(self.demo.issuer)
        begun = self.call("/account/passkeys/begin").json()
        made = {"name": name, "ceremony": begun["ceremony"], "credential": device.make(begun, **how)}
        return device, self.call("/account/passkeys", made)

    def use_passkey(self, device, browser=None, begun=None, **how):
        browser = browser or self.demo.client(self.source)
        begun = begun or self.call("/login/passkey/begin", browser=browser).json()
        signed = {"ceremony": begun["ceremony"], "credential": device.sign(begun, **how)}
        return browser, self.call("/login/passkey", signed, browser=browser)


def id_claims(tokens):
    body = tokens["id_token"].split(".")[1]
    return json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))


def test_a_password_is_one_factor(demo, person):
    claims = id_claims(exchange(demo, person.browser))
    assert (claims["acr"], claims["amr"]) == (SINGLE, ["pwd"])


def test_an_app_makes_the_password_half_of_a_login(demo, person):
    done = person.set_up_app()
    assert len(person.recovery) == 10 and "no-store" in done.headers["cache-control"]
    assert "authenticator app was added" in person.mails_subject("authenticator")

    browser = demo.client(person.source)
    first = log_in(browser, person.name, PASSWORD)
    assert first.status_code == 303 and first.headers["location"].startswith("/login/second?")
    assert browser.get("/account").status_code == 303, "half a login is none"
    code = person.code()
    second = submit(browser, first.headers["location"], {"code": f"{code[:3]} {code[3:]}"})
    assert second.headers["location"] == "/account", second.text
    claims = id_claims(exchange(demo, browser))
    assert (claims["acr"], claims["amr"]) == (MULTI, ["mfa", "otp", "pwd"])
    told = demo.audit("--kind", "authn_login_success", "--subject", person.name)
    factors = [(one["auth_factors"][0]["factor_type"], one["is_mfa"]) for one in told]
    assert factors[-2:] == [("Password", False), ("OTP", True)], factors


def mails_subject(self, word):
    found = lambda: [m["subject"].lower() for m in self.demo.mails(self.mail)]
    return until(lambda: [s for s in found() if word in s], f"a mail about {word}")[0].replace(
        "an authenticator", "authenticator"
    )


Person.mails_subject = mails_subject


def second_step(person, code):
    browser = person.demo.client(person.source)
    first = log_in(browser, person.name, PASSWORD)
    return browser, submit(browser, first.headers["location"], {"code": code})


def test_r29_a_code_works_once_and_so_does_every_earlier_one(person):
    person.set_up_app()
    used = person.code()
    assert second_step(person, used)[1].status_code == 303
    assert second_step(person, used)[1].status_code == 401
    assert second_step(person, person.code(step=0))[1].status_code == 401


def test_r4_many_at_once_get_one_session_out_of_a_code(person):
    person.set_up_app()
    browser = person.demo.client(person.source)
    place = log_in(browser, person.name, PASSWORD).headers["location"]
    form = {**fields(browser.get(place).text), "code": person.code()}
    cookies = dict(browser.cookies)

    def attempt(_):
        with person.demo.client(person.source, cookies=cookies) as other:
            return other.post("/login/second", data=form).headers.get("location")

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(attempt, range(8)))
    assert answers.count("/account") == 1, answers


def test_a_recovery_code_stands_for_the_app_once(person):
    person.set_up_app()
    code = person.recovery[0]
    browser, answer = second_step(person, code.upper())
    assert answer.status_code == 303
    assert "9 recovery codes are left" in browser.get("/account/security").text
    assert second_step(person, code)[1].status_code == 401

    form = {"csrf": fields(browser.get("/account/security").text)["csrf"]}
    renewed = browser.post("/account/recovery-codes", data=form)
    assert renewed.status_code == 200
    assert second_step(person, person.recovery[1])[1].status_code == 401, "the old ones are void"


def test_a_wrong_code_confirms_nothing(person):
    page = person.post("/account/totp/begin")
    assert person.post("/account/totp/confirm", {"code": "000000"}).status_code == 422
    assert log_in(person.demo.client(person.source), person.name, PASSWORD).headers[
        "location"] == "/account", "an app that was never confirmed asks for nothing"
    assert "otpauth" not in page.text, "the secret is a picture and a key, not a link to leak"


def test_wrong_codes_are_slowed_and_do_not_touch_the_password(person):
    person.set_up_app()
    browser = person.demo.client(person.source)
    place = log_in(browser, person.name, PASSWORD).headers["location"]
    answers = [submit(browser, place, {"code": "123456"}) for _ in range(12)]
    assert [a.status_code for a in answers[:10]] == [401] * 10
    assert answers[-1].status_code == 429 and int(answers[-1].headers["retry-after"]) > 0
    late = submit(browser, place, {"code": person.code()})
    assert late.status_code == 429, "not even the right one, for now"
    other = person.demo.client("127.9.9.9")
    assert log_in(other, person.name, PASSWORD).status_code == 303, "the password has its own counter"


def test_a_changed_password_ends_logins_that_wait(demo, person):
    person.set_up_app()
    browser = demo.client(person.source)
    place = log_in(browser, person.name, PASSWORD).headers["location"]
    csrf = fields(person.browser.get("/account").text)["csrf"]
    changed = person.browser.post("/account/password", data={
        "csrf": csrf, "current_password": PASSWORD, "password": "quiet lantern orbit maple",
    })
    assert changed.status_code == 200
    answer = submit(browser, place, {"code": person.code()})
    assert answer.status_code == 303 and answer.headers["location"].startswith("/login?")


def test_a_passkey_logs_in_without_a_name(demo, person):
    device, added = person.add_passkey("Telephone <1>")
    assert added.status_code == 201, added.text
    assert "Telephone &#60;1&#62;" in person.browser.get("/account/security").text
    browser, answer = person.use_passkey(device)
    assert answer.json() == {"location": "/account"}, answer.text
    claims = id_claims(exchange(demo, browser))
    assert (claims["acr"], claims["amr"]) == ("phr", ["mfa", "pop", "user"])
    assert "last used" in browser.get("/account/security").text


def test_r4_an_answer_to_a_challenge_counts_once(person):
    device, _ = person.add_passkey()
    browser = person.demo.client(person.source)
    begun = person.call("/login/passkey/begin", browser=browser).json()
    signed = {"ceremony": begun["ceremony"], "credential": device.sign(begun)}
    assert person.call("/login/passkey", signed, browser=browser).status_code == 200
    assert person.call("/login/passkey", signed, browser=browser).status_code == 401


@pytest.mark.parametrize("how", [
    {"verified": False}, {"origin": "https://localhost.evil.example"}, {"user": "AAAA"},
    {"relying_party": "evil.example"}, {"user": "A" * 22},
], ids=["without verification", "another site", "no user", "another party", "somebody else"])
def test_a_passkey_must_hold_in_every_part(person, how):
    device, _ = person.add_passkey()
    _, answer = person.use_passkey(device, **how)
    assert answer.status_code == 401, answer.text


def test_another_key_with_the_same_name_is_refused(person):
    device, _ = person.add_passkey()
    thief = Authenticator(person.demo.issuer)
    thief.id, thief.user, thief.count = device.id, device.user, 100
    assert person.use_passkey(thief)[1].status_code == 401


def test_a_copied_authenticator_is_noticed(person):
    device, _ = person.add_passkey()
    assert person.use_passkey(device)[1].status_code == 200
    device.count = 0
    assert person.use_passkey(device)[1].status_code == 401


def test_a_challenge_is_for_one_purpose_and_one_account(demo, person, source):
    device, added = person.add_passkey(verified=False)
    assert added.status_code == 422, "its device must check who uses it"
    login = person.call("/login/passkey/begin").json()
    register = person.call("/account/passkeys/begin").json()
    body = {"name": "x", "ceremony": login["ceremony"], "credential": device.make(register)}
    assert person.call("/account/passkeys", body).status_code == 422
    other = Person(demo, f"127.8.{Person.count}.1")
    body["ceremony"] = register["ceremony"]
    assert other.call("/account/passkeys", body).status_code == 422
    twice = {**body, "name": ""}
    assert person.call("/account/passkeys", twice).status_code == 422
    for broken in ("", "AAAA", "*", "A" * 20000):
        body["ceremony"] = broken
        assert person.call("/account/passkeys", body).status_code == 422


def test_json_from_another_site_goes_nowhere(person):
    begun = person.browser.post("/login/passkey/begin", json={})
    assert begun.status_code == 403
    csrf = fields(person.browser.get("/login?return_to=/account/security").text)["csrf"]
    foreign = person.browser.post(
        "/login/passkey/begin", json={"csrf": csrf}, headers={"origin": "https://evil.example"},
    )
    assert foreign.status_code == 403


def test_passkeys_are_named_and_removed(person):
    device, _ = person.add_passkey()
    page = person.browser.get("/account/security").text
    key = re.search(r'name="passkey" value="(pky_[0-9a-z]+)"', page).group(1)
    assert person.post("/account/passkeys/rename", {"passkey": key, "name": "Key"}).status_code == 200
    long = person.post("/account/passkeys/rename", {"passkey": key, "name": "x" * 61})
    assert long.status_code == 422
    assert person.post("/account/passkeys/remove", {"passkey": key}).status_code == 200
    assert person.use_passkey(device)[1].status_code == 401
    assert person.mails_subject("passkey was removed")


def test_an_account_can_do_without_a_password(demo, person):
    refused = person.post("/account/password/remove")
    assert refused.status_code == 422, "not without a passkey"
    device, _ = person.add_passkey()
    assert person.post("/account/password/remove").status_code == 200
    for attempt in ("", PASSWORD, "x"):
        assert log_in(demo.client("127.7.7.7"), person.name, attempt).status_code == 401
    page = person.browser.get("/account/security").text
    key = re.search(r'name="passkey" value="(pky_[0-9a-z]+)"', page).group(1)
    assert person.post("/account/passkeys/remove", {"passkey": key}).status_code == 422, "the last"
    assert person.use_passkey(device)[1].status_code == 200


def test_credentials_change_only_after_a_fresh_login(demo):
    with Demo() as own:
        person = Person(own, "127.0.0.1")
        assert person.browser.get("/account/security").status_code == 200
        age = "UPDATE login_session SET authenticated_at = authenticated_at - 700000000"
        own.stop()
        subprocess.run(["python3", "-c", SQLITE, str(own.data / "portcullis.db"), age], check=True)
        own.start()
        answer = person.browser.get("/account/security")
        assert answer.headers["location"] == "/login?return_to=%2Faccount%2Fsecurity"
        again = submit(person.browser, answer.headers["location"], {
            "username": person.name, "password": PASSWORD,
        })
        assert again.headers["location"] == "/account/security"
        assert person.browser.get("/account/security").status_code == 200


SQLITE = "import sqlite3,sys; c=sqlite3.connect(sys.argv[1]); c.execute(sys.argv[2]); c.commit()"


def test_mail_logs_in_by_code_where_it_was_asked_for(demo, person):
    browser = demo.client(person.source)
    page = submit(browser, "/login/mail", {"username": person.mail})
    assert "Check your mail" in page.text
    mail = newest(demo, person, "log in")
    code = re.search(r"code is (\d{6})", mail).group(1)
    form = {**fields(page.text), "code": code}
    thief = demo.client("127.6.6.6")
    stolen = {**form, "csrf": fields(thief.get("/login").text)["csrf"]}
    assert thief.post("/login/mail/code", data=stolen).status_code == 410, "not in another browser"
    wrong = browser.post("/login/mail/code", data={**form, "code": "x"})
    assert wrong.status_code == 401
    assert browser.post("/login/mail/code", data=form).headers["location"] == "/account"
    assert browser.post("/login/mail/code", data=form).status_code in (403, 410)
    claims = id_claims(exchange(demo, browser))
    assert (claims["acr"], claims["amr"]) == (SINGLE, ["otp"])


def newest(demo, person, subject):
    def found():
        mails = [m for m in demo.mails(person.mail) if m["subject"].lower() == subject]
        return mails and mails[-1].get_content()

    return until(found, f"a mail called {subject}")


def test_a_code_of_six_digits_can_be_guessed_five_times(demo, person):
    browser = demo.client(person.source)
    page = submit(browser, "/login/mail", {"username": person.name})
    code = re.search(r"code is (\d{6})", newest(demo, person, "log in")).group(1)
    form = fields(page.text)
    wrong = [browser.post("/login/mail/code", data={**form, "code": "nope"}) for _ in range(5)]
    assert [w.status_code for w in wrong] == [401] * 5
    assert browser.post("/login/mail/code", data={**form, "code": code}).status_code == 410


def test_mail_logs_in_by_link_once_and_scanners_do_not_use_it_up(demo, person):
    submit(demo.client(person.source), "/login/mail", {"username": person.name})
    link = re.search(r"https://\S+", newest(demo, person, "log in")).group(0)
    browser = demo.client(person.source)
    for _ in range(2):
        assert browser.get(link).status_code == 200
    assert submit(browser, link, {}).headers["location"] == "/account"
    assert browser.get("/account").status_code == 200
    assert demo.client(person.source).get(link).status_code == 410


def test_mail_is_the_first_factor_only(demo, person):
    person.set_up_app()
    submit(demo.client(person.source), "/login/mail", {"username": person.name})
    link = re.search(r"https://\S+", newest(demo, person, "log in")).group(0)
    browser = demo.client(person.source)
    answer = submit(browser, link, {})
    assert answer.headers["location"].startswith("/login/second?")
    done = submit(browser, answer.headers["location"], {"code": person.code()})
    assert done.headers["location"] == "/account"


def test_mail_for_nobody_looks_the_same(demo, person):
    known = submit(demo.client(person.source), "/login/mail", {"username": person.name})
    unknown = submit(demo.client(person.source), "/login/mail", {"username": "no.such.person"})
    plain = lambda page: re.sub(r'value="[^"]*"', "", page.text)
    assert (known.status_code, plain(known)) == (unknown.status_code, plain(unknown))


@pytest.fixture(scope="module")
def bank(demo):
    """A confidential client that cares who is there."""
    made = demo.operator().post("/api/admin/v1/clients", json={
        "name": "Bank", "token_endpoint_auth_method": "client_secret_basic", "first_party": True,
        "redirect_uris": ["https://bank.example/cb"], "scopes": ["openid", "profile"],
        "grant_types": ["authorization_code"],
    })
    assert made.status_code == 201, made.text
    return made.json()


def ask(bank, browser, **more):
    verifier, challenge = pkce()
    query = {
        "response_type": "code", "client_id": bank["client"]["client_id"], "scope": "openid",
        "redirect_uri": "https://bank.example/cb", "code_challenge": challenge,
        "code_challenge_method": "S256", **more,
    }
    return verifier, browser.get(f"/oauth2/authorize?{urlencode(query)}")


def redeem(demo, bank, verifier, answer):
    tokens = demo.client().post("/oauth2/token", data={
        "grant_type": "authorization_code", "code": code_of(answer)["code"][0],
        "redirect_uri": "https://bank.example/cb", "code_verifier": verifier,
    }, auth=(bank["client"]["client_id"], bank["client_secret"]))
    assert tokens.status_code == 200, tokens.text
    return tokens.json()


def test_step_up_keeps_the_session_and_its_tokens(demo, person, bank):
    before = exchange(demo, person.browser)
    person.set_up_app()
    verifier, answer = ask(bank, person.browser, acr_values=f"urn:unknown {MULTI}")
    place = answer.headers["location"]
    assert place.startswith("/login/second?"), place
    old = dict(person.browser.cookies)
    done = submit(person.browser, place, {"code": person.code()})
    tokens = redeem(demo, bank, verifier, person.browser.get(done.headers["location"]))
    assert id_claims(tokens)["acr"] == MULTI
    again = id_claims(before)
    assert id_claims(tokens)["sid"] == again["sid"], "the same session"
    assert id_claims(tokens)["auth_time"] == again["auth_time"], "the password is no fresher"
    assert demo.client().get("/oauth2/userinfo", headers=bearer(before["access_token"])).status_code == 200
    thief = demo.client(cookies=old)
    assert thief.get("/account").status_code == 303, "the old cookie is void"


def test_what_cannot_be_proven_is_an_error_only_if_it_is_essential(demo, person, bank):
    verifier, answer = ask(bank, person.browser, acr_values="phr")
    assert id_claims(redeem(demo, bank, verifier, answer))["acr"] == SINGLE
    essential = json.dumps({"id_token": {"acr": {"essential": True, "values": ["phr"]}}})
    _, answer = ask(bank, person.browser, claims=essential)
    assert code_of(answer)["error"] == ["unmet_authentication_requirements"]
    unknown = json.dumps({"id_token": {"acr": {"essential": True, "value": "urn:x:gold"}}})
    _, answer = ask(bank, person.browser, claims=unknown)
    assert code_of(answer)["error"] == ["unmet_authentication_requirements"]
    for bad in ({"essential": "yes"}, {"value": 7}, {"values": "phr"}, {"value": "a", "values": []}):
        _, answer = ask(bank, person.browser, claims=json.dumps({"id_token": {"acr": bad}}))
        assert code_of(answer)["error"] == ["invalid_request"]


def test_a_route_asks_for_the_login_it_needs():
    examples = Path(__file__).parents[2] / "examples"
    config = (examples / "portcullis.example.toml").read_text()
    config = config.replace("profile.openapi.yaml", str(examples / "profile.openapi.yaml"))
    strict = 'scopes = ["profile"]\nacr = "urn:portcullis:acr:multi-factor"\nmax_age = "5min"'
    with Demo(config.replace('scopes = ["profile"]', strict)) as own:
        person = Person(own, "127.0.0.1")
        weak = exchange(own, person.browser)["access_token"]
        answer = own.client().get("/profile/me", headers=bearer(weak))
        assert answer.status_code == 401, answer.text
        challenge = answer.headers["www-authenticate"]
        for part in ('error="insufficient_user_authentication"', f'acr_values="{MULTI}"', 'max_age="300"'):
            assert part in challenge, challenge
        person.set_up_app()
        browser, _ = second_step(person, person.code())
        strong = exchange(own, browser)["access_token"]
        assert own.client().get("/profile/me", headers=bearer(strong)).status_code == 200
        device, _ = person.add_passkey()
        browser, _ = person.use_passkey(device)
        strongest = exchange(own, browser)["access_token"]
        assert own.client().get("/profile/me", headers=bearer(strongest)).status_code == 200


def test_prompt_none_never_asks_for_a_factor(person, bank):
    person.set_up_app()
    _, answer = ask(bank, person.browser, acr_values=MULTI, prompt="none")
    assert code_of(answer)["error"] == ["login_required"]


def test_a_passkey_raises_a_session_above_a_code(demo, person, bank):
    device, _ = person.add_passkey()
    person.set_up_app()
    verifier, answer = ask(bank, person.browser, acr_values="phr")
    page = person.browser.get(answer.headers["location"]).text
    assert 'name="code"' not in page and "data-passkey" in page
    assert person.use_passkey(device, browser=person.browser)[1].status_code == 200
    back = parse_qs(urlsplit(answer.headers["location"]).query)["return_to"][0]
    assert id_claims(redeem(demo, bank, verifier, person.browser.get(back)))["acr"] == "phr"


def test_an_administrator_helps_whoever_lost_everything(demo, person):
    person.set_up_app()
    device, _ = person.add_passkey()
    users = demo.operator().get("/api/admin/v1/users?limit=200").json()["items"]
    user = next(u for u in users if u["username"] == person.name)["id"]
    assert demo.operator().post(f"/api/admin/v1/users/{user}/reset-factors").status_code == 204
    assert person.browser.get("/account").status_code == 303, "its sessions ended"
    assert log_in(demo.client(person.source), person.name, PASSWORD).headers["location"] == "/account"
    assert person.use_passkey(device)[1].status_code == 401
    assert demo.audit("--kind", "user_factors_reset")


def test_a_real_browser_makes_a_passkey_and_logs_in_with_it(demo, person, tmp_path):
    import hashlib
    import ssl

    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    served = ssl.get_server_certificate(("127.0.0.1", demo.ports["PUBLIC"]))
    key = x509.load_pem_x509_certificate(served.encode()).public_key()
    spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    pinned = base64.b64encode(hashlib.sha256(spki).digest()).decode()
    command = ["node", "browser_passkey.mjs", demo.issuer, person.name, PASSWORD, pinned, tmp_path]
    run = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    seen = json.loads(run.stdout)
    assert seen["url"].endswith("/account") and person.name in seen["text"], seen
    assert seen["complaints"] == [], seen


def test_r17_r18_strangers_are_slowed_and_the_owner_is_not(demo, person):
    device = person.browser.cookies["__Host-portcullis_device"]
    known = demo.client("127.5.0.1")
    known.cookies.set("__Host-portcullis_device", device)
    spellings = [person.name, person.name.upper(), person.mail, f" {person.name} "]
    answers = []
    for n in range(56):
        stranger = demo.client(f"127.5.{1 + n // 4}.1")
        wrong = f"wrong guess number {n}"
        answers.append(log_in(stranger, spellings[n % 4], wrong).status_code)
    assert answers[:50] == [401] * 50 and set(answers[52:]) == {429}, answers
    stranger = demo.client("127.5.99.1")
    assert log_in(stranger, person.name, PASSWORD).status_code == 429, "even with the right one"
    assert log_in(known, person.name, PASSWORD).status_code == 303, "the owner's browser is known"
    forged = demo.client("127.5.98.1")
    token = device.rsplit(".", 1)[0] + "." + "A" * 43
    forged.cookies.set("__Host-portcullis_device", token)
    assert log_in(forged, person.name, PASSWORD).status_code == 429
    unknown = [
        log_in(demo.client(f"127.4.{1 + n // 4}.1"), "nobody.at.all", f"guess {n} of some").status_code
        for n in range(56)
    ]
    assert unknown == answers, "nobody learns whether there is an account"
