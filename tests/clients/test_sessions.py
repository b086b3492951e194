"""A browser in front of a service that knows nothing of OpenID Connect: the gate logs people in,
renews their tokens, keeps pages elsewhere out, and logs them out."""

import base64
import json
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qs, urlsplit

import pytest

from echo import Echo
from portcullis import Demo, bearer, log_in, tokens, until

CONFIG = """
issuer = "https://localhost:8443"
[listen]
public = "127.0.0.1:8443"
operations = "127.0.0.1:9090"
[database]
url = "sqlite:portcullis.db"
[tokens]
access_token_lifetime = "{lifetime}"
[[upstream]]
name = "echo"
servers = ["http://127.0.0.1:{port}"]
[[route]]
name = "app"
path = "/app/{{*rest}}"
upstream = "echo"
authenticate = ["session", "bearer"]
scopes = ["profile"]
[[route]]
name = "other"
hosts = ["app.example.org"]
path = "/{{*rest}}"
upstream = "echo"
authenticate = ["session"]
"""
PAGE = {"accept": "text/html,*/*", "sec-fetch-mode": "navigate"}


def running(echo, lifetime="5min"):
    return Demo(CONFIG.format(port=echo.port, lifetime=lifetime), services=False)


@pytest.fixture(scope="module")
def echo():
    return Echo()


@pytest.fixture(scope="module")
def gate(echo):
    with running(echo) as demo:
        until((demo.data / "demo.json").exists, "demo.json")
        demo.echo = echo
        yield demo
        assert "panicked" not in demo.log()


def person(gate, number=0):
    return gate.facts()["users"][number]


def enter(gate, path="/app/page?x=1", host=None, number=0, source="127.0.0.1"):
    """The whole way, as a browser goes it; returns the browser and the last answer."""
    browser = gate.client(source)
    there = {"host": host} if host else {}
    asked = browser.get(path, headers={**PAGE, **there})
    assert asked.status_code == 303, asked.text
    url = asked.headers["location"]
    assert url.startswith(f"{gate.issuer}/oauth2/authorize?")
    login = browser.get(url)
    if login.status_code == 303 and "/login" in login.headers["location"]:
        assert log_in(browser, person(gate, number)["username"], person(gate, number)["password"]).status_code == 303
        login = browser.get(url)
    assert login.status_code == 303, login.text
    back = urlsplit(login.headers["location"])
    assert back.path == "/.portcullis/callback"
    done = browser.get(f"{back.path}?{back.query}", headers={**PAGE, **there})
    return browser, done


def test_people_log_in_and_the_service_knows_them(gate, source):
    browser, done = enter(gate, source=source)
    assert done.status_code == 303 and done.headers["location"] == "/app/page?x=1"
    cookie = next(c for c in done.headers.get_list("set-cookie") if c.startswith("__Host-portcullis-gate="))
    for word in ("Secure", "HttpOnly", "SameSite=Lax", "Path=/"):
        assert word in cookie
    seen = browser.get("/app/page?x=1", headers=PAGE).json()
    token = seen["headers"]["authorization"].removeprefix("Bearer ")
    claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "==="))
    assert claims["preferred_username"] == person(gate)["username"] and claims["aud"] == "echo"
    assert "cookie" not in seen["headers"], "the session stays at the gate"
    # A program with a token of its own needs no session, and gets no redirect.
    own = tokens(gate, person(gate, 1))["access_token"]
    with gate.client() as client:
        assert client.get("/app/x", headers=bearer(own)).status_code == 200
        assert client.get("/app/x").status_code == 401
        assert client.get("/app/x", headers={**PAGE, "sec-fetch-mode": "cors"}).status_code == 401
        assert client.post("/app/x", headers=PAGE).status_code == 401


def test_a_host_has_a_session_of_its_own(gate, source):
    host = f"app.example.org:{gate.ports['PUBLIC']}"
    browser, done = enter(gate, "/deep/page", host, source=source)
    assert done.status_code == 303 and done.headers["location"] == "/deep/page"
    assert browser.get("/deep/page", headers={**PAGE, "host": host}).status_code == 200
    # Its cookie opens nothing at another host, though this client would send it there.
    assert browser.get("/app/x", headers=PAGE).status_code == 303
    # A host that nobody configured is no place to come back to.
    odd = gate.client()
    asked = odd.get("/app/x", headers={**PAGE, "host": f"evil.example.org:{gate.ports['PUBLIC']}"})
    refused = odd.get(asked.headers["location"])
    assert refused.status_code == 400 and "location" not in refused.headers


def test_pages_elsewhere_cannot_use_the_session(gate, source):
    browser, _ = enter(gate, source=source)
    before = len(gate.echo.seen)
    own = {"origin": gate.issuer}
    for headers in ({}, {"origin": "https://evil.example.org"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"},
                    {"sec-fetch-site": "same-site"}):
        assert browser.post("/app/x", headers=headers).status_code == 403, headers
    assert len(gate.echo.seen) == before
    assert browser.post("/app/x", headers=own).status_code == 200
    assert browser.delete("/app/x", headers={"sec-fetch-site": "same-origin"}).status_code == 200


def test_an_answer_that_belongs_to_nobody_is_refused(gate, source):
    browser = gate.client(source)
    asked = browser.get("/app/x", headers=PAGE)
    state = parse_qs(urlsplit(asked.headers["location"]).query)["state"][0]
    iss = f"iss={gate.issuer}"
    for query in ("", f"code=x&state=other&{iss}", f"code=x&state={state}", f"code=x&state={state}&iss=https://evil.example"):
        assert browser.get(f"/.portcullis/callback?{query}").status_code == 400
    # The login that was begun can still be finished by its own answer, once.
    assert browser.get(f"/.portcullis/callback?code=forged&state={state}&{iss}").status_code == 400
    assert gate.client().get(f"/.portcullis/callback?code=x&state={state}&{iss}").status_code == 400
    forged = gate.client(cookies={"__Host-portcullis-gate": "AAAA" * 20})
    assert forged.get("/app/x", headers=PAGE).status_code == 303


def test_a_logout_ends_it_everywhere(gate, source):
    browser, _ = enter(gate, source=source)
    kept = dict(browser.cookies)
    assert browser.post("/.portcullis/logout", headers={"origin": "https://evil.example.org"}).status_code == 403
    # Nor does a link or an image on a page elsewhere.
    browser.get("/.portcullis/logout", headers={**PAGE, "sec-fetch-site": "cross-site"})
    assert browser.get("/app/x").status_code == 200
    out = browser.post("/.portcullis/logout", headers={"origin": gate.issuer})
    assert out.status_code == 303 and out.headers["location"].startswith(f"{gate.issuer}/oauth2/logout")
    assert any(c.startswith("__Host-portcullis-gate=;") for c in out.headers.get_list("set-cookie"))
    # Whoever kept a copy of the cookie has nothing.
    stolen = gate.client(source, cookies={"__Host-portcullis-gate": kept["__Host-portcullis-gate"]})
    assert stolen.get("/app/x").status_code == 401


def test_tokens_are_renewed_behind_the_browsers_back(echo):
    with running(echo, "1s") as gate:
        until((gate.data / "demo.json").exists, "demo.json")
        browser, _ = enter(gate)
        until(lambda: "set-cookie" in browser.get("/app/x").headers, "a renewal")
        for _ in range(3):
            # Many requests at once with the same old tokens: one exchange, and all are served.
            until(lambda: browser.get("/app/x").headers.get("set-cookie"), "a renewal")
            cookies = dict(browser.cookies)

            def ask(_):
                with gate.client(cookies=cookies) as tab:
                    return tab.get("/app/x").status_code

            with ThreadPoolExecutor(8) as pool:
                assert set(pool.map(ask, range(24))) == {200}
        # An administrator ends it: the browser has to log in again.
        operator = gate.operator()
        users = operator.get("/api/admin/v1/users").json()["items"]
        who = next(user for user in users if user["username"] == person(gate)["username"])
        # A token lives for a second here.
        until(lambda: gate.operator().post(f"/api/admin/v1/users/{who['id']}/disable").status_code in (200, 204), "the end of the account")
        assert browser.get("/app/x").status_code == 401


def test_what_comes_back_is_limited_like_every_door(echo):
    with running(echo) as gate:
        until((gate.data / "demo.json").exists, "demo.json")
        gate.configure(gate.config + '[protect.token]\nlimits = [{ key = "ip", rate = "3/min" }]\n')
        gate.cli("reload", "--data", gate.data)
        with gate.client("127.7.7.7") as client:
            asked = [client.get("/.portcullis/callback?code=x&state=y").status_code for _ in range(5)]
        assert asked == [400, 400, 400, 429, 429]
        gate.file.write_text(gate.file.read_text().replace('scopes = ["profile"]', 'issuers = []\nscopes = ["profile"]'))
        told = gate.cli("reload", "--data", gate.data, check=False)
        assert told.returncode == 1 and "where people log in" in told.stderr
