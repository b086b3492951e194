"""Pages and mails in the language of whoever reads them, and the look of an installation."""

import re
import secrets
import struct
import zlib
from pathlib import Path
from urllib.parse import urlencode

import pytest

from portcullis import Demo, authorize, exchange, fields, log_in, pkce, submit, until

CONFIG = (Path(__file__).parents[2] / "crates/server/src/demo.toml").read_text()
PASSWORD = "plum rivet otter canvas"
LANGUAGES = ["de", "es", "fr"]
# Words that an English sentence hardly does without, and none of the others has.
ENGLISH = re.compile(r"\b(the|your|you|and|with|this|are|have|not|used|sign|choose)\b", re.I)


def name():
    return f"lang{secrets.token_hex(4)}"


def seen(page):
    """What a reader sees: without tags, names of languages, and what people and clients are called."""
    text = re.sub(r"<(select|style|script).*?</\1>", " ", page, flags=re.S)
    shown = " ".join(re.findall(r'(?:alt|aria-label|placeholder|data-failed)="([^"]*)"', text))
    return re.sub(r"<[^>]+>", " ", text) + " " + shown


def in_language(page, lang, what):
    assert f'<html lang="{lang}">' in page, what
    found = ENGLISH.findall(seen(page))
    assert not found, (what, found, seen(page))


def crawl(demo, source, lang):
    """Every page that can be reached, with a name for each."""
    browser = demo.client(source, headers={"accept-language": f"nl, {lang};q=0.8, en;q=0.5"})
    csrf = fields(browser.get("/login").text)["csrf"]
    post = lambda path, **form: browser.post(path, data={"csrf": csrf, **form})
    for path in ("/login", "/register", "/login/mail", "/forgot-password", "/logged-out"):
        yield path, browser.get(path)
    yield "dead link", browser.get("/verify-email?token=x")
    yield "foreign form", browser.post("/login", data={"csrf": "x"})
    yield "wrong password", post("/login", username="nobody", password="x")
    yield "bad registration", post("/register", username="!", email="x", password="short")
    yield "unknown client", browser.get("/oauth2/authorize?client_id=x")
    new = name()
    yield "registered", post("/register", username=new, email=f"{new}@example.org", password=PASSWORD)
    link = demo.link(f"{new}@example.org")
    yield "confirm", browser.get(link)
    yield "confirmed", submit(browser, link, {})
    yield "mail sent", post("/login/mail", username=new)
    code = re.search(r"\b\d{6}\b", demo_mail(demo, new, 2).get_content()).group(0)
    assert post("/login/mail/code", code=code, return_to="/account").status_code == 303
    for path in ("/account", "/account/security", "/account/delete", "/device"):
        yield path, browser.get(path)
    yield "totp", post("/account/totp/begin")
    yield "wrong totp", post("/account/totp/confirm", code="000000")
    yield "wrong name", post("/account/delete", username="other")
    yield "wrong device", post("/device", user_code="BCDFGHJK")
    yield "bad name", post("/account/profile", display_name="")
    verifier, challenge = pkce()
    web = demo.facts()["clients"]["web"]
    asked = {"response_type": "code", "client_id": web["client_id"], "redirect_uri": web["redirect_uri"],
             "scope": "openid profile email groups roles account", "code_challenge": challenge,
             "code_challenge_method": "S256", "prompt": "consent"}
    yield "consent", browser.get(f"/oauth2/authorize?{urlencode(asked)}")
    yield "log out?", browser.get("/oauth2/logout")


def demo_mail(demo, person, count):
    address = f"{person}@example.org"
    return until(lambda: len(m := demo.mails(address)) >= count and m, "the mails")[-1]


@pytest.mark.parametrize("lang", LANGUAGES)
def test_every_page_is_in_the_language_of_the_browser(demo, source, lang):
    pages = 0
    for what, answer in crawl(demo, source, lang):
        in_language(answer.text, lang, what)
        pages += 1
    assert pages >= 25


@pytest.mark.parametrize("lang,subject", [
    ("de", "E-Mail-Adresse bestätigen"), ("es", None), ("fr", None), ("en", "Confirm your e-mail address"),
])
def test_mails_are_too(demo, source, lang, subject):
    browser, new = demo.client(source, headers={"accept-language": lang}), name()
    submit(browser, "/register", {"username": new, "email": f"{new}@example.org", "password": PASSWORD})
    mail = demo_mail(demo, new, 1)
    if subject:
        assert mail["subject"] == subject
    assert bool(ENGLISH.search(mail.get_content())) == (lang == "en"), mail.get_content()
    # What is sent later is in the language of the account, whoever caused it.
    submit(browser, demo.link(f"{new}@example.org"), {})
    stranger = demo.client(source, headers={"accept-language": "en"})
    stranger.get("/login/mail")
    submit(stranger, "/login/mail", {"username": new})
    assert bool(ENGLISH.search(demo_mail(demo, new, 2).get_content())) == (lang == "en")


def test_a_client_says_what_its_people_read(demo, source):
    browser = demo.client(source, headers={"accept-language": "en"})
    answer = authorize(demo, browser, pkce()[1], ui_locales="nl fr-CA de")
    login = browser.get(answer.headers["location"])
    in_language(login.text, "fr", "login")
    # And on the pages that follow, a refused login among them.
    refused = submit(browser, answer.headers["location"], {"username": "alice", "password": "wrong"})
    in_language(refused.text, "fr", "refused")
    in_language(browser.get("/register").text, "fr", "register")
    metadata = demo.client().get("/.well-known/openid-configuration").json()
    assert metadata["ui_locales_supported"] == ["en", "de", "es", "fr"]


def test_a_choice_holds_and_leads_back(demo, source):
    browser = demo.client(source)
    page = browser.get("/login?return_to=/account/security")
    back = fields(page.text)["return"]
    assert back == "/login?return_to=/account/security"
    chosen = browser.get("/language", params={"to": "de", "return": back})
    assert (chosen.status_code, chosen.headers["location"]) == (303, back)
    in_language(browser.get("/login").text, "de", "login")
    for elsewhere in ("//evil.example", "https://evil.example", "/\\evil.example", "/a\r\nb"):
        sent = browser.get("/language", params={"to": "de", "return": elsewhere})
        assert sent.headers["location"] == "/account", elsewhere
    assert browser.get("/language", params={"to": "xx"}).status_code == 400


def test_the_account_keeps_its_language_and_tells_clients(demo, source):
    made = demo.new_user(name())
    browser = demo.client(source, headers={"accept-language": "en"})
    log_in(browser, made["username"], PASSWORD)
    page = browser.get("/account")
    saved = browser.post("/account/profile", data={**fields(page.text), "display_name": "X", "locale": "es"})
    assert saved.status_code == 303
    in_language(browser.get("/account").text, "es", "account")
    token = exchange(demo, browser)["access_token"]
    info = browser.get("/oauth2/userinfo", headers={"authorization": f"Bearer {token}"}).json()
    assert info["locale"] == "es"


@pytest.mark.parametrize("field", ["de;q=9", "x" * 5000, "de" * 4000, ",;=,", "*", "\x7f"])
def test_a_strange_wish_is_english(demo, field):
    answer = demo.client().get("/login", headers={"accept-language": field})
    assert answer.status_code in (200, 400, 431)
    assert answer.status_code != 200 or '<html lang="en">' in answer.text


def png():
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    header = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0\0\0\0"))
            + chunk(b"IEND", b""))


def test_an_installation_has_a_look_of_its_own(tmp_path):
    logo = tmp_path / "logo.png"
    logo.write_bytes(png())
    theme = f'\n[theme]\nname = "Acme & <b>Sons</b>"\naccent = "#7a1fa2"\naccent_dark = "#ce93d8"\nlogo = "{logo}"\n'
    with Demo(CONFIG + theme, services=False) as demo:
        browser = demo.client()
        page = browser.get("/login").text
        assert "Acme &#38; &#60;b&#62;Sons" in page and "<b>Sons" not in page
        assert '<img src="/assets/logo"' in page
        picture = browser.get("/assets/logo")
        assert (picture.headers["content-type"], picture.content) == ("image/png", png())
        css = browser.get("/assets/theme.css").text
        assert "--accent: #7a1fa2" in css and "--accent: #ce93d8" in css


@pytest.mark.parametrize("theme,complaint", [
    ('accent = "#ffee00"', "contrast"), ('accent = "red"', "must be a colour"), ('name = ""', "the name must be"),
    ('logo = "missing.png"', "missing.png"), ('logo = "evil.svg"', "PNG, JPEG or WebP"), ('script = "x"', "unknown field"),
])
def test_r26_a_look_that_cannot_be_is_refused(tmp_path, demo, theme, complaint):
    (tmp_path / "evil.svg").write_text("<svg onload='alert(1)'/>")
    path = tmp_path / "portcullis.toml"
    path.write_text(f"{CONFIG}\n[theme]\n{theme}\n")
    done = demo.cli("check", "--config", path, check=False)
    assert done.returncode == 1 and complaint in done.stderr, done.stderr
