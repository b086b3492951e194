"""RP-Initiated Logout as its OP plan of the OpenID Foundation's suite checks it. Each test is named
after the module it follows; the ones without its prefix are beyond the plan."""

import base64
import json
import secrets
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from assertions import Signer
from portcullis import code_of, fields, log_in
from relying_party import Party, claims_of, stays_here

LEFT = "https://rp.example/left"
# Longer than most clients', so that nothing cuts it short unnoticed.
STATE = secrets.token_hex(64)


@pytest.fixture
def party(demo, source):
    return Party(demo, source, post_logout_redirect_uris=[LEFT]).log_in()


def leave(party, **changes):
    """The request of the happy case; what is None in `changes` is left out."""
    wish = {"id_token_hint": None, "post_logout_redirect_uri": LEFT, "state": STATE, **changes}
    wish = {name: value for name, value in wish.items() if value is not None}
    return party.browser.get(f"/oauth2/logout?{urlencode(wish)}")


def is_logged_in(party):
    answer = code_of(party.ask(prompt="none"))
    assert ("code" in answer) != (answer.get("error") == ["login_required"]), answer
    return "code" in answer


def returned_with(answer):
    """The parameters with which the browser came back to the client."""
    assert answer.status_code == 303, answer.text
    url = urlsplit(answer.headers["location"])
    assert url._replace(query="").geturl() == LEFT
    return parse_qs(url.query)


def refuses(party, answer):
    """Nobody is sent to the client, and nobody is logged out."""
    assert stays_here(answer), answer.headers
    assert answer.headers["content-type"].startswith("text/html")
    return is_logged_in(party)


def agree(party, page):
    assert page.status_code == 200 and "Log out?" in page.text
    assert is_logged_in(party), "nobody is logged out by asking"
    return party.browser.post("/oauth2/logout", data=fields(page.text))


def says_so(party, answer):
    """The person ends on a page of ours, logged out."""
    assert answer.status_code == 303 and answer.headers["location"].startswith("/")
    assert STATE not in answer.headers["location"]
    assert party.browser.get(answer.headers["location"]).status_code == 200
    return not is_logged_in(party)


def test_oidcc_rp_initiated_logout_discovery_endpoint_verification(demo):
    known = demo.client().get("/.well-known/openid-configuration").json()
    assert known["end_session_endpoint"] == f"{demo.issuer}/oauth2/logout"


def test_oidcc_rp_initiated_logout(party):
    answer = leave(party, id_token_hint=party.tokens()["id_token"])
    assert returned_with(answer) == {"state": [STATE]}
    assert not is_logged_in(party)


def test_oidcc_rp_initiated_logout_no_state(party):
    answer = leave(party, id_token_hint=party.tokens()["id_token"], state=None)
    assert returned_with(answer) == {}
    assert not is_logged_in(party)


def test_oidcc_rp_initiated_logout_bad_post_logout_redirect_uri(party):
    held = party.tokens()["id_token"]
    for uri in ("https://rp.example/other", "https://evil.example/left", "https://rp.example/cb"):
        assert refuses(party, leave(party, id_token_hint=held, post_logout_redirect_uri=uri)), uri


def test_oidcc_rp_initiated_logout_query_added_to_post_logout_redirect_uri(party):
    held = party.tokens()["id_token"]
    answer = leave(party, id_token_hint=held, post_logout_redirect_uri=f"{LEFT}?foo=bar")
    assert refuses(party, answer)


def test_oidcc_rp_initiated_logout_modified_id_token_hint(party):
    _, body, signature = party.tokens()["id_token"].split(".")
    head = base64.urlsafe_b64encode(json.dumps({"alg": "none"}).encode()).rstrip(b"=").decode()
    for hint in (f"{head}.{body}.", f"{head}.{body}.{signature}"):
        assert refuses(party, leave(party, id_token_hint=hint))


def test_oidcc_rp_initiated_logout_bad_id_token_hint(party):
    """Signed by somebody else, with the same claims and the name of one of our keys."""
    held = claims_of(party.tokens()["id_token"])
    kids = [key["kid"] for key in party.browser.get("/oauth2/jwks").json()["keys"]]
    for kid in ("unknown", *kids):
        forged = Signer("RS256", kid=kid).assertion(party.id, party.id, **held)
        assert refuses(party, leave(party, id_token_hint=forged))


def test_oidcc_rp_initiated_logout_no_id_token_hint(party):
    assert refuses(party, leave(party))


def test_oidcc_rp_initiated_logout_no_params(party):
    page = party.browser.get("/oauth2/logout")
    assert says_so(party, agree(party, page))


def test_oidcc_rp_initiated_logout_no_post_logout_redirect_uri(party):
    held = party.tokens()["id_token"]
    assert says_so(party, leave(party, id_token_hint=held, post_logout_redirect_uri=None))


def test_oidcc_rp_initiated_logout_only_state(party):
    page = leave(party, post_logout_redirect_uri=None)
    assert says_so(party, agree(party, page))


def test_the_person_is_told_of_the_logout(party):
    """The modules without a way back want a page that says so, not one that asks to log in."""
    held = party.tokens()["id_token"]
    answer = leave(party, id_token_hint=held, post_logout_redirect_uri=None)
    page = party.browser.get(answer.headers["location"], follow_redirects=True)
    assert "logged out" in page.text.lower()


def test_a_client_that_only_names_itself_has_the_person_asked(party):
    """Section 2: without a hint anybody could have sent the browser here."""
    page = leave(party, client_id=party.id)
    assert returned_with(agree(party, page)) == {"state": [STATE]}
    assert not is_logged_in(party)


def test_a_hint_of_another_client_is_not_this_clients(party):
    other = Party(party.demo, party.source)
    held = party.tokens()["id_token"]
    assert refuses(party, leave(party, id_token_hint=held, client_id=other.id))
    other.browser = party.browser
    assert refuses(party, leave(party, id_token_hint=other.tokens()["id_token"]))


def test_the_hint_of_another_session_has_the_person_asked(party):
    held = party.tokens()["id_token"]
    bob = party.demo.facts()["users"][1]
    party.browser = party.demo.client(party.source)
    assert log_in(party.browser, bob["username"], bob["password"]).status_code == 303
    page = leave(party, id_token_hint=held)
    assert page.status_code == 200 and "Log out?" in page.text
    assert is_logged_in(party)


def test_a_form_logs_out_as_well(party):
    form = {"id_token_hint": party.tokens()["id_token"], "post_logout_redirect_uri": LEFT,
            "state": STATE}
    answer = party.browser.post("/oauth2/logout", data=form)
    # Cookies come with the link that the form is turned into.
    answer = party.browser.get(answer.headers["location"])
    assert returned_with(answer) == {"state": [STATE]}
    assert not is_logged_in(party)


def test_a_form_on_the_clients_page_logs_out_or_does_not_claim_it(party):
    """Browsers keep a cookie with SameSite=Lax back from another site's form. Its absence is no
    proof that nobody is logged in."""
    form = {"id_token_hint": party.tokens()["id_token"], "post_logout_redirect_uri": LEFT}
    answer = party.demo.client(party.source).post("/oauth2/logout", data=form)
    assert answer.status_code == 303 and answer.headers["location"].startswith("/oauth2/logout?")
    assert returned_with(party.browser.get(answer.headers["location"])) == {}
    assert not is_logged_in(party)
