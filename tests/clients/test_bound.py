"""What a verification is bound to: the passkey that stands for the person, and the screening that goes on."""

import itertools
import json
import os
import re
import subprocess
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from authenticator import Authenticator
from portcullis import DEMO, Demo, code_of, fields, log_in, until
from relying_party import CALLBACK, Party
from test_acr import acrs, sent_to_verify, sessions, take_step, verified
from test_capture import LINES, graph, heading
from test_console import key_of
from test_screening_service import import_list, used_soon
from test_workflows import SESSIONS, published

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
def party(place, registered):
    """Somebody new at the same client."""
    number = next(numbers)
    made = Party.__new__(Party)
    made.__dict__ = {**registered.__dict__, "source": f"127.46.1.{number}"}
    made.person = place.new_user(f"bound{number}")
    made.alice = {"username": made.person["username"], "password": PASSWORD}
    made.browser = place.client(made.source)
    return made.log_in()


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
    """The page on which a passkey is bound or asked for, and where it leads."""
    where = answer.headers["location"]
    assert answer.status_code == 303 and where.startswith("/verify/passkey?"), (answer.status_code, answer.headers)
    query = parse_qs(urlsplit(where).query)
    return where, query.get("binds", [None])[0], query["return_to"][0]


def bound(place, party):
    """Verified with a new passkey bound to it."""
    device = make_passkey(place, party)
    _, binds, back = asked_for_passkey(verified(place, party, BOUND))
    assert use_passkey(party.browser, device, binds=binds, return_to=back) == back
    return device, party.redeem(party.browser.get(back))


def test_a_passkey_is_bound_when_somebody_is_approved(place, idv, party):
    device, held = bound(place, party)
    assert acrs(held.json()) == (BOUND, BOUND)
    assert acrs(party.refresh(held.json()).json()) == (BOUND, BOUND)
    assert acrs(party.tokens(acr_values=BOUND)) == (BOUND, BOUND)
    [session] = sessions(idv, party)
    told = [e for e in place.audit("--kind", "idv_session") if e["entity"]["uid"] == session["id"]]
    [event] = [e for e in told if e["unmapped"]["change"] == "passkey_bound"]
    assert event["actor"]["user"]["uid"] == party.person["id"]
    # Whoever logs in some other way is asked for it, also by a request that says that nobody may be asked.
    other = place.client(party.source)
    assert log_in(other, party.person["username"], PASSWORD).status_code == 303
    party.browser = other
    assert code_of(party.ask(acr_values=BOUND, prompt="none"))["error"] == ["interaction_required"]
    where, binds, back = asked_for_passkey(party.ask(acr_values=BOUND))
    page = other.get(where)
    assert binds is None and page.status_code == 200 and "another passkey" not in page.text
    assert heading(page.text) == "A passkey for your verification"
    # Another passkey of theirs stands for nothing.
    second = make_passkey(place, party)
    assert use_passkey(other, second, return_to=back) == back
    where, _, back = asked_for_passkey(other.get(back))
    assert "That was another passkey" in other.get(where).text
    assert use_passkey(other, device, return_to=back) == back
    assert acrs(party.redeem(other.get(back)).json()) == (BOUND, BOUND)
    assert len(sessions(idv, party)) == 1


def test_a_second_passkey_is_not_bound(place, party):
    device, _ = bound(place, party)
    second = make_passkey(place, party)
    [session] = [e["entity"]["uid"] for e in place.audit("--kind", "idv_session")
                 if e["unmapped"]["change"] == "passkey_bound" and e["actor"]["user"]["uid"] == party.person["id"]]
    use_passkey(party.browser, second, binds=session, return_to="/account")
    asked_for_passkey(party.ask(acr_values=BOUND))
    use_passkey(party.browser, device)
    assert acrs(party.tokens(acr_values=BOUND)) == (BOUND, BOUND)


def test_whoever_has_only_the_password_binds_nothing(place, idv, party):
    """In another browser than the one in which the person was verified: it leads to a verification, and whatever a
    request names binds nothing."""
    _, session, _ = asked_for_passkey(verified(place, party, BOUND))
    owner = party.browser
    thief = place.client("127.46.9.9")
    assert log_in(thief, party.person["username"], PASSWORD).status_code == 303
    party.browser = thief
    assert party.ask(acr_values=BOUND).headers["location"].startswith("/verify?")
    own = make_passkey(place, party)
    for binds in (session, "ids_0", "", None):
        use_passkey(thief, own, binds=binds)
        assert party.ask(acr_values=BOUND).headers["location"].startswith("/verify?")
    party.browser = owner
    device = make_passkey(place, party)
    _, binds, back = asked_for_passkey(party.ask(acr_values=BOUND))
    assert use_passkey(owner, device, binds=binds, return_to=back) == back
    assert acrs(party.redeem(owner.get(back)).json()) == (BOUND, BOUND)
    # What the thief logs in with is not what was bound.
    party.browser = thief
    use_passkey(thief, own)
    asked_for_passkey(party.ask(acr_values=BOUND))


def test_a_passkey_of_somebody_else_is_not_bound(place, registered, party):
    _, session, back = asked_for_passkey(verified(place, party, BOUND))
    other = Party.__new__(Party)
    other.__dict__ = {**registered.__dict__, "source": "127.46.8.8"}
    other.person = place.new_user("bound-other")
    other.alice = {"username": "bound-other", "password": PASSWORD}
    other.browser = place.client("127.46.8.8")
    other.log_in()
    device = make_passkey(place, other)
    # It logs the other one in, in the browser in which the first one was verified.
    use_passkey(party.browser, device, binds=session, return_to=back)
    assert party.browser.get(back).headers["location"].startswith("/verify?")
    assert not [e for e in place.audit("--kind", "idv_session")
                if e["unmapped"]["change"] == "passkey_bound" and e["entity"]["uid"] == session]


def test_whoever_loses_the_passkey_is_verified_again(place, idv, party):
    device, held = bound(place, party)
    page = party.browser.get("/account/security").text
    passkey = re.search(r'name="passkey" value="([^"]+)"', page).group(1)
    removed = party.browser.post("/account/passkeys/remove", data={"csrf": fields(page)["csrf"], "passkey": passkey})
    assert removed.status_code == 200, removed.text
    assert acrs(party.refresh(held.json()).json())[0] != BOUND
    sent_to_verify(place, party, party.ask(acr_values=BOUND))
    assert len(sessions(idv, party)) == 2


def test_another_approval_is_bound_anew(place, idv, party):
    device, held = bound(place, party)
    again = idv.post(SESSIONS, json={"workflow": "known", "account": party.person["id"]}).json()
    done = idv.post(f"{SESSIONS}/{again['id']}/inputs", json={"node": "step0", "mrz": {"mrz": LINES}})
    assert done.status_code == 200, done.text
    assert acrs(party.refresh(held.json()).json())[0] != BOUND
    # It was not gone through in this browser.
    assert party.ask(acr_values=BOUND).headers["location"].startswith("/verify?")


def test_the_page_binds_only_after_a_fresh_login(place, party):
    where, _, _ = asked_for_passkey(verified(place, party, BOUND))
    page = party.browser.get(where)
    assert page.status_code == 200 and "data-binds" in page.text and "script-src 'self'" in page.headers["content-security-policy"]
    stranger = place.client(party.source).get(where)
    assert stranger.status_code == 303 and stranger.headers["location"].startswith("/login?return_to=%2Fverify%2Fpasskey%3F")
    for bad in ("", "?return_to=https://evil.example/", "?return_to=//evil.example", "?binds=x"):
        assert party.browser.get(f"/verify/passkey{bad}").status_code == 400


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
