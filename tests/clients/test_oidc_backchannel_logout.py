"""Back-Channel Logout as its OP plan of the OpenID Foundation's suite checks it. Tests that have the
suite's prefix are named after its modules; the others are beyond the plan."""

import secrets
import time
from urllib.parse import parse_qs, urlencode, urlsplit

from portcullis import code_of, fields, log_in, submit, until
from registrant import authorize, log_through, register
from relying_party import claims_of, header_of, signed_by

LEFT = "https://rp.example/left"
EVENT = "http://schemas.openid.net/event/backchannel-logout"


def logged_out(op, there, browser, made, leave):
    tokens = log_through(op, browser, made)
    leave(tokens)
    until(lambda: there.posted, "the logout token")
    path, form = there.posted[0]
    assert set(form) == {"logout_token"}
    return path, form["logout_token"][0], claims_of(tokens["id_token"])


def check_logout_token(op, token, made, told):
    claims = signed_by(op, token)
    assert header_of(token)["typ"] == "logout+jwt"
    assert (claims["iss"], claims["aud"]) == (op.issuer, made["client_id"])
    assert (claims["sub"], claims["sid"]) == (told["sub"], told["sid"])
    assert claims["events"] == {EVENT: {}}
    assert "nonce" not in claims and claims["jti"]
    assert claims["iat"] <= time.time() + 1 < claims["exp"] and claims["exp"] - claims["iat"] <= 120


def test_oidcc_backchannel_logout_discovery_endpoint_verification(op):
    known = op.client().get("/.well-known/openid-configuration").json()
    assert known["backchannel_logout_supported"] is True
    assert known["backchannel_logout_session_supported"] is True
    assert known["end_session_endpoint"] == f"{op.issuer}/oauth2/logout"


def test_oidcc_backchannel_rp_initiated_logout(op, there, browser):
    made = register(op, backchannel_logout_uri=f"{there.url}/logout",
                    backchannel_logout_session_required=True, post_logout_redirect_uris=[LEFT])
    state = secrets.token_hex(64)
    answers = []
    leave = lambda tokens: answers.append(browser.get("/oauth2/logout?" + urlencode({
        "id_token_hint": tokens["id_token"], "post_logout_redirect_uri": LEFT, "state": state})))
    path, token, told = logged_out(op, there, browser, made, leave)
    assert path == "/logout"
    check_logout_token(op, token, made, told)
    back = urlsplit(answers[0].headers["location"])
    assert back._replace(query="").geturl() == LEFT and parse_qs(back.query) == {"state": [state]}
    assert code_of(authorize(browser, made, prompt="none"))["error"] == ["login_required"]


def test_a_client_without_the_address_is_not_told(op, there, browser):
    told = register(op, backchannel_logout_uri=f"{there.url}/logout")
    silent = register(op)
    log_through(op, browser, told)
    hint = log_through(op, browser, silent)["id_token"]
    browser.get("/oauth2/logout?" + urlencode({"id_token_hint": hint}))
    until(lambda: there.posted, "the logout token")
    claims = claims_of(there.posted[0][1]["logout_token"][0])
    assert claims["aud"] == told["client_id"], "the logout of one client is told to the others"


def test_a_logout_is_told_again_until_the_client_takes_it(op, there, browser):
    made = register(op, backchannel_logout_uri=f"{there.url}/logout", subject_type="pairwise")
    there.status = [503]
    leave = lambda tokens: submit(browser, "/account", {}) and browser.post(
        "/logout", data={"csrf": fields(browser.get("/account").text)["csrf"]})
    _, token, told = logged_out(op, there, browser, made, leave)
    check_logout_token(op, token, made, told)
    until(lambda: len(there.posted) == 2, "the second attempt", 40)


def test_a_password_reset_tells_every_client(op, there, source):
    person = op.new_user("forgetful.one")
    browser = op.client(source)
    assert log_in(browser, "forgetful.one", "plum rivet otter canvas").status_code == 303
    made = register(op, backchannel_logout_uri=f"{there.url}/logout")
    log_through(op, browser, made)
    submit(op.client(source), "/forgot-password", {"email": "forgetful.one@example.org"})
    link = op.link("forgetful.one@example.org")
    reset = submit(op.client(source), link, {"password": "quiet lantern orbit maple"})
    assert reset.status_code in (200, 303), reset.text
    until(lambda: there.posted, "the logout token")
    assert claims_of(there.posted[0][1]["logout_token"][0])["sub"] == person["id"]
