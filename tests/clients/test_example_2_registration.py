"""Registration: what is hostile or weak is refused with a clear message, what is shown back is
encoded, and no answer tells whether an account exists."""

import html
import re

import pytest

from portcullis import fields, log_in, submit, until

GOOD = {"username": "dora", "email": "dora@example.org", "password": "plum rivet otter canvas"}


def register(client, **changes):
    return submit(client, "/register", {**GOOD, **changes})


@pytest.mark.parametrize("username", [
    "<script>alert(1)</script>", "a'b\"c", "dora\u202etxt", "dora\x07", "ad", "admin", "do ra", "ｄｏｒａ", "a" * 33,
])
def test_hostile_user_names_are_refused_and_encoded(demo, source, username):
    answer = register(demo.client(source), username=username)
    assert answer.status_code == 422
    assert 'class="error"' in answer.text and "User name" in answer.text
    assert "<script>" not in answer.text
    assert fields(answer.text)["username"] == username.replace("\x07", "\x07")


@pytest.mark.parametrize("email", [
    "nobody", "a@b", "a@@example.org", "a\r\nBcc: x@example.org", "<script>@example.org", "a b@example.org",
    '"><img src=x onerror=alert(1)>@example.org',
])
def test_bad_addresses_are_refused_and_encoded(demo, source, email):
    answer = register(demo.client(source), email=email)
    assert answer.status_code == 422
    assert "E-mail address must be an e-mail address" in html.unescape(answer.text)
    assert "<script>" not in answer.text and "<img" not in answer.text


@pytest.mark.parametrize("password, why", [
    ("short", "at least 15"), ("Password123456!", "commonly used"), ("dora.example.org", "built from"),
    ("abababababababab", "too easy"), ("x" * 257, "at most 256"),
])
def test_weak_passwords_are_refused_with_the_reason(demo, source, password, why):
    answer = register(demo.client(source), password=password)
    assert answer.status_code == 422 and why in html.unescape(answer.text)
    assert password not in answer.text


def test_a_registration_becomes_an_account_by_its_link(demo, source):
    client = demo.client(source)
    assert register(client).status_code == 200
    assert log_in(demo.client(source), "dora", GOOD["password"]).status_code == 401, "not yet"
    link = demo.link(GOOD["email"])
    assert link.startswith(f"{demo.issuer}/verify-email?token=")
    assert client.get(link).status_code == 200, "looking at the link does not use it"
    assert "Welcome" in submit(client, link, {}).text
    assert log_in(demo.client(source), "dora@EXAMPLE.org", GOOD["password"]).status_code == 303
    token = fields(client.get(link).text)["token"]
    again = submit(client, link, {"token": token})
    assert again.status_code == 410
    codes = [event["metadata"]["event_code"] for event in demo.audit("--subject", "dora")]
    assert "user_registered" in codes and "authn_login_success" in codes


def test_a_known_address_gets_the_same_answer_and_another_mail(demo, source):
    client = demo.client(source)
    unknown = register(client, username="elsa", email="elsa@example.org")
    known = register(client, username="elsb", email="alice@example.org")
    assert (unknown.status_code, unknown.text) == (known.status_code, known.text)
    mail = until(lambda: demo.mails("alice@example.org"), "the mail")[-1]
    assert "already" in mail["subject"]


def test_a_taken_name_is_told_only_to_whoever_proved_an_address(demo, source):
    client = demo.client(source)
    free = register(client, username="fred", email="fred@example.org")
    taken = register(client, username="alice", email="fred2@example.org")
    assert (free.status_code, free.text) == (taken.status_code, taken.text)
    link = demo.link("fred2@example.org")
    answer = submit(client, link, {})
    assert "is taken" in answer.text
    done = client.post("/verify-email", data={**fields(answer.text), "username": "fred2"})
    assert "Welcome" in done.text, done.text


def test_a_password_is_reset_by_mail_and_everything_else_ends(demo, source):
    demo.new_user("gina")
    old = demo.client(source)
    assert log_in(old, "gina", GOOD["password"]).status_code == 303
    client = demo.client(source)
    known = submit(client, "/forgot-password", {"email": "gina@example.org"})
    unknown = submit(client, "/forgot-password", {"email": "nobody@example.org"})
    assert (known.status_code, known.text) == (unknown.status_code, unknown.text)
    link = demo.link("gina@example.org")
    assert submit(client, link, {"password": "short"}).status_code == 422
    done = submit(client, link, {"password": "basil anchor velvet north"})
    assert done.status_code == 200, done.text
    assert client.get(link).status_code == 410
    assert old.get("/account").status_code == 303, "the old session has ended"
    assert log_in(demo.client(source), "gina", "basil anchor velvet north").status_code == 303


def test_password_and_address_change_on_the_account_page(demo, source):
    demo.new_user("hugo")
    client, other = demo.client(source), demo.client(source)
    log_in(client, "hugo", GOOD["password"])
    log_in(other, "hugo", GOOD["password"])
    page = client.get("/account").text
    assert page.count('action="/account/sessions/end"') == 2
    csrf = fields(page)["csrf"]

    def post(path, **values):
        return client.post(path, data={"csrf": csrf, **values})

    wrong = post("/account/password", current_password="no", password="basil anchor velvet north")
    assert wrong.status_code == 422 and "current password" in wrong.text
    right = post("/account/password", current_password=GOOD["password"], password="basil anchor velvet north")
    assert right.status_code == 200
    assert other.get("/account").status_code == 303, "other sessions end"
    asked = post("/account/email", current_password="basil anchor velvet north", email="Hugo2@Example.org")
    assert asked.status_code == 200, asked.text
    assert submit(client, demo.link("hugo2@example.org"), {}).status_code == 200
    assert "hugo2@example.org" in client.get("/account").text
    assert "changed" in demo.mails("hugo@example.org")[-1]["subject"]
    renamed = post("/account/profile", display_name="<b>Hugo</b>")
    assert "<b>Hugo" not in renamed.text and "Hugo" in renamed.text


def test_forms_from_elsewhere_are_not_accepted(demo, source):
    client = demo.client(source)
    page = fields(client.get("/register").text)
    foreign = client.post("/register", data={**page, **GOOD}, headers={"origin": "https://evil.example"})
    assert foreign.status_code == 403
    for origin in ("null", f"{demo.issuer}.evil.example", demo.issuer.replace("https", "http")):
        assert client.post("/register", data={**page, **GOOD}, headers={"origin": origin}).status_code == 403
    own = client.post("/register", data={**page, "username": "x"}, headers={"origin": demo.issuer})
    assert own.status_code == 422, "a browser's own form is read"
    bare = demo.client(source).post("/register", data={**page, **GOOD})
    assert bare.status_code == 403, "the token without its cookie"


def test_a_login_leads_only_to_places_of_our_own(demo, source):
    demo.new_user("ivan")
    for evil in ("https://evil.example", "//evil.example", "/\\evil.example", "/oauth2/authorize.evil", "javascript:x"):
        client = demo.client(source)
        page = fields(client.get("/login", params={"return_to": evil}).text)
        assert page["return_to"] == "/account"
    answer = client.post("/login", data={**page, "username": "ivan", "password": GOOD["password"], "return_to": evil})
    assert answer.headers["location"] == "/account"


def test_pages_carry_a_strict_policy(demo):
    answer = demo.client().get("/register")
    policy = answer.headers["content-security-policy"]
    assert answer.headers["referrer-policy"] == "same-origin", "no-referrer would send Origin: null"
    assert "default-src 'none'" in policy and "script" not in policy
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("__Host-") and "HttpOnly" in cookie and "Secure" in cookie
    assert not re.search(r"<script|style=", answer.text)
