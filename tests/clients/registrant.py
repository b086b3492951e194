"""A client that registers itself (RFC 7591) and then lets people log in."""

from pathlib import Path
from urllib.parse import urlencode

from portcullis import code_of, fields, pkce

EXAMPLES = Path(__file__).parents[2] / "examples"
CALLBACK = "https://rp.example/cb"


def config(files, mode="open"):
    text = (EXAMPLES / "portcullis.example.toml").read_text()
    text = text.replace("profile.openapi.yaml", str(EXAMPLES / "profile.openapi.yaml"))
    return text + f"""
[egress]
allow = ["127.0.0.1/32"]
ca = "{files[1]}"

[registration]
mode = "{mode}"
nonce_instead_of_pkce = true

[protect.register]
limits = [{{ key = "ip", rate = "1000/min" }}]
"""


def register(op, expect=201, **metadata):
    answer = op.client().post("/oauth2/register", json={
        "redirect_uris": [CALLBACK], "client_name": "Dynamic", **metadata,
    })
    assert answer.status_code == expect, answer.text
    return answer.json()


def authorize(browser, made, uri=CALLBACK, scope="openid profile", **more):
    """Asks as the module would: with a nonce and no PKCE, unless `more` says so."""
    query = {"response_type": "code", "client_id": made["client_id"], "redirect_uri": uri,
             "scope": scope, "state": "st", "nonce": "no", **more}
    query = {name: value for name, value in query.items() if value is not None}
    return consent(browser, query)


def consent(browser, query):
    page = browser.get(f"/oauth2/authorize?{urlencode(query)}")
    if page.status_code == 200 and "consent-allow" in page.text:
        page = browser.post("/oauth2/consent", data={**fields(page.text), "decision": "allow"})
    return page


def log_through(op, browser, made, uri=CALLBACK, scope="openid profile", **more):
    verifier, challenge = pkce()
    answer = authorize(browser, made, uri, scope, code_challenge=challenge,
                       code_challenge_method="S256", **more)
    tokens = op.client().post("/oauth2/token", data={
        "grant_type": "authorization_code", "code": code_of(answer)["code"][0],
        "redirect_uri": uri, "code_verifier": verifier,
    }, auth=(made["client_id"], made["client_secret"]))
    assert tokens.status_code == 200, tokens.text
    return tokens.json()
