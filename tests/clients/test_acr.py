"""Logins that need the person to be verified: a value of `acr` that starts a workflow inside the authorization request,
and what becomes of it when it is declined, waits for people, gets old or is taken back."""

import itertools
import json
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlencode

import pytest

from portcullis import DEMO, Demo, bearer, code_of, fields, officer
from relying_party import Party, claims_of
from test_capture import LINES, WRONG, Browser, code_in, graph, heading
from test_workflows import SESSIONS, WORKFLOWS, published, vote

KNOWN, STRICT, PATIENT, NOWHERE = "urn:example:known", "urn:example:strict", "urn:example:patient", "urn:example:nowhere"
SINGLE, MULTI = "urn:portcullis:acr:single-factor", "urn:portcullis:acr:multi-factor"
CONFIG = DEMO + f"""
[[verification.acr]]
value = "{KNOWN}"
workflow = "known"
current_version = true

[[verification.acr]]
value = "{STRICT}"
workflow = "known"
login = "{MULTI}"

[[verification.acr]]
value = "{PATIENT}"
workflow = "patient"
max_age = "30d"
retry_after = "1s"

[[verification.acr]]
value = "{NOWHERE}"
workflow = "nowhere"

[[route]]
name = "vault"
path = "/vault/{{*rest}}"
upstream = "profile"
authenticate = ["bearer"]
scopes = ["profile"]
acr = "{KNOWN}"
"""
numbers = itertools.count(1)


@pytest.fixture(scope="module")
def place():
    with Demo(CONFIG) as running:
        yield running
        assert "panicked" not in running.log()


@pytest.fixture(scope="module")
def idv(place):
    return place.operator(scope="idv")


@pytest.fixture(scope="module", autouse=True)
def workflows(idv):
    once = graph("mrz", attempts=1)
    review = {**once, "nodes": {
        "step0": {**once["nodes"]["step0"], "next": "human"},
        "human": {"type": "review", "queue": "logins", "approvers": 1},
    }}
    return {"known": published(idv, once, "known"), "patient": published(idv, review, "patient")}


@pytest.fixture(scope="module")
def registered(place):
    return Party(place, "127.45.0.1", scopes=["openid", "profile", "email"], grant_types=["authorization_code", "refresh_token"])


@pytest.fixture
def party(registered):
    """Somebody new at the same client."""
    number = next(numbers)
    return registered.for_new(f"owner{number}", f"127.45.1.{number}", "plum rivet otter canvas")


def sessions(idv, party):
    return idv.get(SESSIONS, params={"account": party.person["id"]}).json()["items"]


def sent_to_verify(place, party, answer):
    """The browser on the page that the login leads to."""
    assert answer.status_code == 303 and answer.headers["location"].startswith("/verify?"), (answer.status_code, answer.headers)
    browser = Browser(place)
    browser.client = party.browser
    assert heading(browser.get(answer.headers["location"])) == "Verify who you are"
    answer = party.browser.post("/verify", data=browser.hidden())
    browser.here = answer.headers["location"]
    browser.get(browser.here)
    return browser


def take_step(browser, lines):
    """Gives the lines, and follows as far as it stays with us."""
    parts = [(name, (None, value)) for name, value in {**browser.hidden(), "mrz": lines}.items() if name != "return"]
    answer = browser.client.post(browser.here, files=parts)
    assert answer.status_code == 303 and answer.headers["location"] == browser.here, answer.headers
    return browser.client.get(answer.headers["location"])


def verified(place, party, acr=KNOWN, **more):
    """Through the verification, and back at the client."""
    browser = sent_to_verify(place, party, party.ask(acr_values=acr, **more))
    answer = take_step(browser, LINES)
    assert answer.status_code == 303 and answer.headers["location"].startswith("/oauth2/authorize?"), answer.text
    return party.browser.get(answer.headers["location"])


def acrs(held):
    return claims_of(held["id_token"])["acr"], claims_of(held["access_token"])["acr"]


def test_a_login_returns_when_the_person_is_verified(place, idv, party):
    answer = verified(place, party)
    assert code_of(answer)["state"] == ["st"]
    held = party.redeem(answer).json()
    assert acrs(held) == (KNOWN, KNOWN)
    # Once is enough, and it stays so.
    assert acrs(party.tokens(acr_values=KNOWN)) == (KNOWN, KNOWN)
    assert acrs(party.refresh(held).json()) == (KNOWN, KNOWN)
    # Who does not ask is told how they logged in.
    assert acrs(party.tokens()) == (SINGLE, SINGLE)
    [session] = sessions(idv, party)
    assert (session["status"], session["account"], session["reference"]) == ("approved", party.person["id"], party.person["id"])
    began = next(e for e in place.audit("--kind", "idv_session") if e["entity"]["uid"] == session["id"] and e["unmapped"]["change"] == "began")
    assert began["actor"]["user"]["uid"] == party.person["id"]


def test_whoever_is_declined_is_not_let_in_and_cannot_try_at_once(place, idv, party):
    browser = sent_to_verify(place, party, party.ask(acr_values=KNOWN))
    page = take_step(browser, WRONG)
    assert page.status_code == 200 and heading(page.text) == "You could not be verified" and 'href="/oauth2/authorize?' in page.text
    for _ in range(2):
        refused = code_of(party.ask(acr_values=KNOWN))
        assert refused["error"] == ["unmet_authentication_requirements"] and "code" not in refused
    assert len(sessions(idv, party)) == 1
    # Without it they may.
    assert acrs(party.tokens()) == (SINGLE, SINGLE)


def test_nobody_is_verified_silently(idv, party):
    assert code_of(party.ask(acr_values=KNOWN, prompt="none"))["error"] == ["interaction_required"]
    assert sessions(idv, party) == []


def test_a_login_that_was_left_goes_on(place, idv, party):
    first = sent_to_verify(place, party, party.ask(acr_values=KNOWN))
    again = sent_to_verify(place, party, party.ask(acr_values=KNOWN, state="other"))
    assert len(sessions(idv, party)) == 1
    answer = take_step(again, LINES)
    assert code_of(party.browser.get(answer.headers["location"]))["state"] == ["other"]
    # The page of the other one is told, and leads on as well.
    answer = first.client.get(first.here)
    assert code_of(party.browser.get(answer.headers["location"]))["state"] == ["st"]


def test_whoever_can_do_with_less_sends_nobody_through_it(place, party):
    both = f"{KNOWN} {SINGLE}"
    assert acrs(party.tokens(acr_values=both)) == (SINGLE, SINGLE)
    assert acrs(party.redeem(verified(place, party)).json()) == (KNOWN, KNOWN)
    assert acrs(party.tokens(acr_values=both)) == (KNOWN, KNOWN)


def test_it_can_be_asked_for_as_a_claim(place, party):
    essential = json.dumps({"id_token": {"acr": {"essential": True, "values": [KNOWN]}}})
    browser = sent_to_verify(place, party, party.ask(claims=essential))
    answer = take_step(browser, LINES)
    assert acrs(party.redeem(party.browser.get(answer.headers["location"])).json()) == (KNOWN, KNOWN)


def test_a_verification_needs_the_login_that_it_says(idv, party):
    assert code_of(party.ask(acr_values=STRICT))["error"] == ["unmet_authentication_requirements"]
    assert sessions(idv, party) == []


def test_no_request_gets_around_the_login(place, idv, party):
    """Whatever else is named beside it: a value that needs a second factor is for nobody without one."""
    verified(place, party)
    essential = json.dumps({"id_token": {"acr": {"essential": True, "values": [STRICT, SINGLE]}}})
    for more in ({"acr_values": f"{STRICT} {SINGLE}"}, {"acr_values": f"{STRICT} phr"}, {"claims": essential}):
        assert acrs(party.tokens(**more)) == (SINGLE, SINGLE), more


def test_many_at_once_are_one_try(place, idv, party):
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: party.ask(acr_values=KNOWN).headers["location"], range(8)))
    assert all(answer.startswith("/verify?") for answer in answers), answers
    assert len(sessions(idv, party)) == 1


def test_nobody_is_told_before_the_person_allows_it(place, idv, party):
    """Neither whether somebody is verified, nor that they were declined; and nobody is sent through it either."""
    stranger = Party(place, "127.45.0.2", first_party=False, scopes=["openid"], grant_types=["authorization_code"])
    stranger.browser = party.browser
    assert code_of(stranger.ask(acr_values=KNOWN, prompt="none"))["error"] == ["consent_required"]
    page = stranger.ask(acr_values=KNOWN)
    assert page.status_code == 200 and "know whether you were verified" in page.text and sessions(idv, party) == []
    form = {**fields(page.text), "decision": "allow"}
    browser = sent_to_verify(place, party, party.browser.post("/oauth2/consent", data=form))
    answer = take_step(browser, LINES)
    # They are asked once.
    answer = party.browser.get(answer.headers["location"])
    held = stranger.redeem(answer).json()
    assert claims_of(held["id_token"])["acr"] == KNOWN


def test_mail_is_that_of_the_account(place, idv, party):
    """Also in a session that somebody begins for them: a mailbox of somebody else proves nothing."""
    workflow = published(idv, graph("email"), f"mail-{party.person['id'][-8:]}")
    session = idv.post(SESSIONS, json={"workflow": workflow["id"], "account": party.person["id"]}).json()
    where = f"{SESSIONS}/{session['id']}/inputs"
    assert idv.post(where, json={"node": "step0", "email": {"address": "other@example.org"}}).status_code == 422
    assert idv.post(where, json={"node": "step0", "email": {}}).status_code == 200
    assert code_in(place, party.person["email"])


def test_the_page_says_whose_account_it_is(place, party):
    answer = party.ask(acr_values=KNOWN)
    page = place.client().get(answer.headers["location"])
    assert f"For the account {party.person['username']}" in page.text


def test_a_workflow_that_is_not_there_is_told_to_the_client(party):
    assert code_of(party.ask(acr_values=NOWHERE))["error"] == ["temporarily_unavailable"]


def test_what_is_taken_back_is_said_by_no_new_token(place, idv, party):
    held = party.redeem(verified(place, party)).json()
    assert idv.delete(f"/idv/v1/accounts/{party.person['id']}/identities").status_code == 204
    refreshed = party.refresh(held).json()
    assert acrs(refreshed) == (SINGLE, SINGLE)
    sent_to_verify(place, party, party.ask(acr_values=KNOWN))


def test_what_is_erased_counts_no_more(place, idv, party):
    verified(place, party)
    [session] = sessions(idv, party)
    assert idv.delete(f"{SESSIONS}/{session['id']}").status_code == 200
    sent_to_verify(place, party, party.ask(acr_values=KNOWN))


def test_the_last_decision_counts(place, idv, party):
    verified(place, party)
    again = idv.post(SESSIONS, json={"workflow": "known", "account": party.person["id"]}).json()
    idv.post(f"{SESSIONS}/{again['id']}/inputs", json={"node": "step0", "mrz": {"mrz": WRONG}})
    assert code_of(party.ask(acr_values=KNOWN))["error"] == ["unmet_authentication_requirements"]


def test_people_who_look_are_waited_for(place, idv, party):
    browser = sent_to_verify(place, party, party.ask(acr_values=PATIENT))
    page = take_step(browser, LINES)
    assert heading(page.text) == "Somebody looks at it"
    # Coming back another time leads to the same page.
    assert heading(sent_again(place, party)) == "Somebody looks at it"
    [session] = sessions(idv, party)
    reviewer = officer(place, "looker", "idv")
    vote(reviewer, session, "approved")
    answer = party.browser.get(browser.here)
    assert acrs(party.redeem(party.browser.get(answer.headers["location"])).json()) == (PATIENT, PATIENT)


def sent_again(place, party):
    answer = party.ask(acr_values=PATIENT)
    browser = Browser(place)
    browser.client = party.browser
    browser.get(answer.headers["location"])
    answer = party.browser.post("/verify", data=browser.hidden())
    return party.browser.get(answer.headers["location"]).text


def test_a_pushed_request_waits_for_it(place, party):
    pushed = place.client(party.source).post("/oauth2/par", data=party.query(acr_values=KNOWN), auth=(party.id, party.secret)).json()
    asked = urlencode({"client_id": party.id, "request_uri": pushed["request_uri"]})
    browser = sent_to_verify(place, party, party.browser.get(f"/oauth2/authorize?{asked}"))
    answer = take_step(browser, LINES)
    assert acrs(party.redeem(party.browser.get(answer.headers["location"])).json()) == (KNOWN, KNOWN)


def test_the_gate_asks_for_it(place, party):
    held = party.tokens(scope="openid profile")
    refused = place.client().get("/vault/me", headers=bearer(held["access_token"]))
    assert refused.status_code == 401 and f'acr_values="{KNOWN}"' in refused.headers["www-authenticate"], refused.headers
    held = party.redeem(verified(place, party, scope="openid profile")).json()
    assert place.client().get("/vault/me", headers=bearer(held["access_token"])).status_code != 401


def test_the_way_back_leads_nowhere_else(place, party, idv):
    browser = sent_to_verify(place, party, party.ask(acr_values=KNOWN))
    take_step(browser, LINES)
    [session] = sessions(idv, party)
    for elsewhere in ("https://evil.example/", "//evil.example", "/oauth2/authorize", "/\\evil", "/logout"):
        answer = party.browser.get(f"/verify/{session['id']}?{urlencode({'return_to': elsewhere})}")
        assert answer.status_code == 200 and elsewhere not in answer.text.split("<footer>")[0], elsewhere


def test_it_is_published_what_can_be_asked_for(place):
    told = place.client().get("/.well-known/openid-configuration").json()
    assert told["acr_values_supported"][-4:] == [KNOWN, STRICT, PATIENT, NOWHERE]
    made = place.operator().post("/api/admin/v1/clients", json={
        "name": "Strict", "redirect_uris": ["https://rp.example/cb"], "scopes": ["openid"],
        "token_endpoint_auth_method": "client_secret_basic", "grant_types": ["authorization_code"], "default_acr_values": [KNOWN],
    })
    assert made.status_code == 201, made.text


def test_a_new_version_asks_everybody_again(place, idv, party, workflows):
    verified(place, party)
    shown = idv.get(f"{WORKFLOWS}/{workflows['known']['id']}").json()
    changed = graph("mrz", attempts=2)
    put = idv.put(f"{WORKFLOWS}/{shown['id']}/draft", json={"revision": shown["revision"], "graph": changed})
    assert put.status_code == 200, put.text
    done = idv.post(f"{WORKFLOWS}/{shown['id']}/publish", json={"revision": put.json()["revision"], "note": "stricter"})
    assert done.status_code == 200, done.text
    sent_to_verify(place, party, party.ask(acr_values=KNOWN))
