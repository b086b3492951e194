"""What a verification is bound to: the passkey that stands for the person, and the screening that goes on."""

import itertools
import json
import os
import re
import subprocess
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

import passport

from authenticator import Authenticator
from portcullis import DEMO, Demo, code_of, fields, log_in, until
from relying_party import CALLBACK, Party
from test_acr import acrs, sent_to_verify, sessions, take_step, verified
from test_capture import LINES, graph, heading
from test_console import key_of
from test_documents import EXPIRY
from test_screening_service import import_list, used_soon
from test_workflows import published

BOUND, WATCHED, UNWATCHED = "urn:example:bound", "urn:example:watched", "urn:example:unwatched"
PASSWORD = "plum rivet otter canvas"
CONFIG = DEMO + f"""
[[verification.acr]]
value = "{BOUND}"
workflow = "known"
passkey = true

[[verification.acr]]
value = "{WATCHED}"
workflow = "watched"
current_screening = true
retry_after = "1s"

[[verification.acr]]
value = "{UNWATCHED}"
workflow = "known"
current_screening = true
"""
SOMEBODY = {"id": "Q1", "schema": "Person", "properties": {"name": ["Robert Paulson"]}}
HOLDER = {"id": "Q2", "schema": "Person", "properties": {"name": ["Erika Mustermann"], "birthDate": ["1964-08-12"]}}
numbers = itertools.count(1)


@pytest.fixture(scope="module")
def place():
    with Demo(CONFIG) as running:
        import_list(running, [SOMEBODY])
        used_soon(running.operator(scope="aml"), None)
        yield running
        assert "panicked" not in running.log()


@pytest.fixture(scope="module")
def idv(place):
    return place.operator(scope="idv")


@pytest.fixture(scope="module", autouse=True)
def workflows(idv):
    once = graph("mrz", attempts=1)
    nodes = once["nodes"]
    watched = {**once, "nodes": {
        "step0": {**nodes["step0"], "next": "lists"},
        "lists": {"type": "check", "check": "aml", "monitor": True, "next": "end"}, "end": nodes["end"],
    }}
    published(idv, once, "known")
    published(idv, watched, "watched")


@pytest.fixture(scope="module")
def registered(place):
    return Party(place, "127.46.0.1", scopes=["openid"], grant_types=["authorization_code", "refresh_token"])


@pytest.fixture
def party(registered):
    """Somebody new at the same client."""
    number = next(numbers)
    return registered.for_new(f"bound{number}", f"127.46.1.{number}", PASSWORD)


def call(browser, path, **body):
    csrf = fields(browser.get("/login?return_to=/account/security").text)["csrf"]
    return browser.post(path, json={"csrf": csrf, **body})


def make_passkey(place, party):
    device = Authenticator(place.issuer)
    begun = call(party.browser, "/account/passkeys/begin").json()
    made = call(party.browser, "/account/passkeys", name="Phone", ceremony=begun["ceremony"], credential=device.make(begun))
    assert made.status_code == 201, made.text
    return device


def use_passkey(browser, device, **more):
    begun = call(browser, "/login/passkey/begin").json()
    used = call(browser, "/login/passkey", ceremony=begun["ceremony"], credential=device.sign(begun), **more)
    assert used.status_code == 200, used.text
    return used.json()["location"]


def asked_for_passkey(answer):
    """The page that asks for a passkey, and where it leads."""
    where = answer.headers["location"]
    assert answer.status_code == 303 and where.startswith("/verify/passkey?"), (answer.status_code, answer.headers)
    query = parse_qs(urlsplit(where).query)
    assert query["acr"] == [BOUND]
    return where, query["return_to"][0]


def gone_through(place, party, answer, lines=LINES):
    browser = sent_to_verify(place, party, answer)
    return browser, take_step(browser, lines)


def bound(place, party):
    """Verified with a new passkey."""
    device = make_passkey(place, party)
    _, back = asked_for_passkey(party.ask(acr_values=BOUND))
    assert use_passkey(party.browser, device, return_to=back) == back
    _, answer = gone_through(place, party, party.browser.get(back))
    return device, party.redeem(party.browser.get(answer.headers["location"]))


def changes(place, session):
    told = [e for e in place.audit("--kind", "idv_session") if e["entity"]["uid"] == session]
    return [e["unmapped"] for e in told]


def test_whoever_is_verified_has_a_passkey_that_stands_for_them(place, idv, party):
    device, held = bound(place, party)
    assert acrs(held.json()) == (BOUND, BOUND)
    assert acrs(party.refresh(held.json()).json()) == (BOUND, BOUND)
    assert acrs(party.tokens(acr_values=BOUND)) == (BOUND, BOUND)
    [session] = sessions(idv, party)
    [told] = [one for one in changes(place, session["id"]) if one["change"] == "passkey_bound"]
    assert told["reason"].startswith("psk_") or told["reason"]
    # Whoever logs in some other way is asked for it, also by a request that says that nobody may be asked.
    other = place.client(party.source)
    assert log_in(other, party.person["username"], PASSWORD).status_code == 303
    party.browser = other
    assert code_of(party.ask(acr_values=BOUND, prompt="none"))["error"] == ["interaction_required"]
    where, back = asked_for_passkey(party.ask(acr_values=BOUND))
    page = other.get(where)
    assert page.status_code == 200 and "another passkey" not in page.text
    assert heading(page.text) == "A passkey for your verification"
    assert use_passkey(other, device, return_to=back) == back
    assert acrs(party.redeem(other.get(back)).json()) == (BOUND, BOUND)
    assert len(sessions(idv, party)) == 1


def test_whoever_has_only_the_password_becomes_nobody(place, idv, party):
    """They can have a passkey of their own; neither the owner's verification nor one of their own makes it the owner's."""
    mine = make_passkey(place, party)
    _, back = asked_for_passkey(party.ask(acr_values=BOUND))
    use_passkey(party.browser, mine, return_to=back)
    going = sent_to_verify(place, party, party.browser.get(back))
    owner = party.browser
    thief = place.client("127.46.9.9")
    assert log_in(thief, party.person["username"], PASSWORD).status_code == 303
    party.browser = thief
    theirs = make_passkey(place, party)
    use_passkey(thief, theirs)
    # While the owner is being verified, they are led to something of their own, and the page says for whom.
    answer = party.ask(acr_values=BOUND)
    page = thief.get(answer.headers["location"])
    assert "passkey “Phone”, added" in page.text
    joined = sent_to_verify(place, party, answer)
    assert joined.here != going.here and len(sessions(idv, party)) == 2
    party.browser = owner
    answer = take_step(going, LINES)
    assert acrs(party.redeem(owner.get(answer.headers["location"])).json()) == (BOUND, BOUND)
    # Afterwards as well: they are told that the owner has another one.
    party.browser = thief
    where, _ = asked_for_passkey(party.ask(acr_values=BOUND))
    assert "You were verified with another passkey" in thief.get(where).text
    assert code_of(party.ask(acr_values=BOUND, prompt="none"))["error"] == ["interaction_required"]
    # A document of their own is refused, and what they fail takes nothing away from the owner.
    answer = thief.post(where, data={**fields(thief.get(where).text)})
    assert answer.status_code == 303 and answer.headers["location"].startswith("/verify?return_to="), answer.headers
    other = passport.zone(name="HACKER<<MALLORY", number="L0000001", birth="900101", expiry=EXPIRY)
    gone_through(place, party, answer, f"{other[:44]}\n{other[44:]}")
    asked_for_passkey(party.ask(acr_values=BOUND))
    # They had their try.
    assert thief.post(where, data={**fields(thief.get(where).text)}).status_code == 429
    party.browser = owner
    use_passkey(owner, mine)
    assert acrs(party.tokens(acr_values=BOUND)) == (BOUND, BOUND)


def test_the_same_person_can_take_another_passkey(place, idv, party):
    device, held = bound(place, party)
    second = make_passkey(place, party)
    use_passkey(party.browser, second)
    where, back = asked_for_passkey(party.ask(acr_values=BOUND))
    answer = party.browser.post(where, data={**fields(party.browser.get(where).text)})
    _, answer = gone_through(place, party, answer)
    assert answer.headers["location"] == back
    assert acrs(party.redeem(party.browser.get(back)).json()) == (BOUND, BOUND)
    # The first one does not stand for them any more, nor does what was given for it.
    assert acrs(party.refresh(held.json()).json())[0] != BOUND
    use_passkey(party.browser, device)
    asked_for_passkey(party.ask(acr_values=BOUND))


def test_whoever_loses_the_passkey_is_verified_again(place, idv, party):
    device, held = bound(place, party)
    page = party.browser.get("/account/security").text
    passkey = re.search(r'name="passkey" value="([^"]+)"', page).group(1)
    removed = party.browser.post("/account/passkeys/remove", data={"csrf": fields(page)["csrf"], "passkey": passkey})
    assert removed.status_code == 200, removed.text
    assert acrs(party.refresh(held.json()).json())[0] != BOUND
    second = make_passkey(place, party)
    use_passkey(party.browser, second)
    _, answer = gone_through(place, party, party.ask(acr_values=BOUND))
    assert acrs(party.redeem(party.browser.get(answer.headers["location"])).json()) == (BOUND, BOUND)
    assert len(sessions(idv, party)) == 2


def test_the_page_leads_nowhere_else(place, party):
    where, back = asked_for_passkey(party.ask(acr_values=BOUND))
    page = party.browser.get(where)
    assert page.status_code == 200 and "script-src 'self'" in page.headers["content-security-policy"]
    stranger = place.client(party.source).get(where)
    assert stranger.status_code == 303 and stranger.headers["location"].startswith("/login?return_to=%2Fverify%2Fpasskey%3F")
    for bad in ("", "?return_to=https://evil.example/", "?return_to=//evil.example", f"?acr={BOUND}"):
        assert party.browser.get(f"/verify/passkey{bad}").status_code == 400
    csrf = fields(page.text)["csrf"]
    for form in ({"acr": BOUND, "return_to": "https://evil.example/"}, {"acr": WATCHED, "return_to": back},
                 {"acr": "urn:portcullis:acr:multi-factor", "return_to": back}, {"acr": "", "return_to": back}):
        assert party.browser.post("/verify/passkey", data={"csrf": csrf, **form}).status_code == 400
    # Nobody is verified who is not logged in by a passkey.
    answer = party.browser.post("/verify/passkey", data={"csrf": csrf, "acr": BOUND, "return_to": back})
    assert answer.status_code == 303 and answer.headers["location"] == back
    assert party.browser.post("/verify/passkey", data={"acr": BOUND, "return_to": back}).status_code == 403


def test_an_approval_ends_when_a_list_names_the_person(place, idv, party):
    browser = sent_to_verify(place, party, party.ask(acr_values=WATCHED))
    take_step(browser, LINES)
    # The screening is done by whoever does what is due.
    back = until(lambda: party.browser.get(browser.here).headers.get("location"), "the decision")
    held = party.redeem(party.browser.get(back)).json()
    assert acrs(held) == (WATCHED, WATCHED)
    [session] = sessions(idv, party)
    assert "code" in code_of(party.ask(acr_values=WATCHED, prompt="none"))
    import_list(place, [SOMEBODY, HOLDER])
    refused = until(lambda: code_of(party.ask(acr_values=WATCHED, prompt="none")).get("error"), "the end of the approval")
    assert refused == ["interaction_required"]
    assert acrs(party.refresh(held).json())[0] != WATCHED
    sent_to_verify(place, party, party.ask(acr_values=WATCHED))
    assert len(sessions(idv, party)) == 2 and session["status"] == "approved"


def test_an_approval_that_nobody_watches_is_none(place, idv, party):
    """And nobody goes round and round."""
    browser = sent_to_verify(place, party, party.ask(acr_values=UNWATCHED))
    answer = take_step(browser, LINES)
    assert code_of(party.browser.get(answer.headers["location"]))["error"] == ["unmet_authentication_requirements"]
    assert code_of(party.ask(acr_values=UNWATCHED))["error"] == ["unmet_authentication_requirements"]
    assert len(sessions(idv, party)) == 1
    assert "nobody monitors" in place.log()


def test_a_real_browser_makes_a_passkey_and_binds_it(place, party, tmp_path):
    pictures = Path(os.environ.get("PORTCULLIS_PICTURES", tmp_path)) / "bound"
    asked = f"{place.issuer}/oauth2/authorize?{urlencode(party.query(acr_values=BOUND))}"
    command = ["node", "browser_bound.mjs", asked, party.person["username"], PASSWORD, key_of(place), LINES, pictures]
    run = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    seen = json.loads(run.stdout)
    assert len(seen["seen"]) == 8 and {one["width"] for one in seen["seen"]} == {390, 1280}
    for one in seen["seen"]:
        assert one["title"] == "A passkey for your verification" and one["passes"] > 10, one
        assert one["violations"] == [] and one["overflow"] <= 0, one
    assert seen["complaints"] == []
    code = parse_qs(urlsplit(seen["landed"]).query)["code"][0]
    held = party.token({"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK})
    assert acrs(held.json()) == (BOUND, BOUND)
