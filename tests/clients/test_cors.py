"""Pages of other origins (CORS, Fetch standard section 3.2): at the provider, and at routes that say so."""

from pathlib import Path

import pytest

from portcullis import Demo, bearer, tokens

PAGE = "https://app.example"
CONFIG = (Path(__file__).parents[2] / "crates/server/src/demo.toml").read_text()


def preflight(client, path, method, origin=PAGE):
    return client.options(path, headers={
        "origin": origin, "access-control-request-method": method,
        "access-control-request-headers": "authorization"})


@pytest.mark.parametrize("path,method", [
    ("/oauth2/token", "POST"), ("/oauth2/userinfo", "GET"), ("/oauth2/revoke", "POST"), ("/oauth2/par", "POST"),
    ("/.well-known/openid-configuration", "GET"), ("/api/account/v1/me", "GET"),
])
def test_any_page_may_use_what_a_token_or_a_code_opens(demo, path, method):
    answer = preflight(demo.client(), path, method)
    assert answer.status_code == 204, answer.text
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["access-control-allow-methods"] == method
    allowed = answer.headers["access-control-allow-headers"].split(", ")
    assert {"authorization", "content-type", "dpop"} <= set(allowed)
    # Cookies never go along, so no page acts as whoever is logged in here.
    assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize("path,method", [
    ("/login", "POST"), ("/oauth2/authorize", "GET"), ("/oauth2/consent", "POST"), ("/account", "GET"),
    ("/api/admin/v1/users", "GET"), ("/oauth2/introspect", "POST"), ("/profile/me", "GET"),
])
def test_pages_and_administration_are_for_no_other_origin(demo, path, method):
    answer = preflight(demo.client(), path, method)
    assert answer.status_code == 405 and "access-control-allow-origin" not in answer.headers


def test_a_page_reads_why_it_was_refused(demo):
    answer = demo.client().post("/oauth2/token", data={"grant_type": "nonsense"}, headers={"origin": PAGE})
    assert answer.status_code in (400, 401)
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "dpop-nonce" in answer.headers["access-control-expose-headers"]
    unknown = demo.client().get("/oauth2/userinfo", headers={"origin": PAGE, **bearer("x")})
    assert unknown.status_code == 401 and unknown.headers["access-control-allow-origin"] == "*"


@pytest.fixture(scope="module")
def listed():
    """An installation whose profile service is for the pages of two origins."""
    route = 'name = "profile"\npath'
    assert route in CONFIG
    cors = f'name = "profile"\ncors = {{ origins = ["{PAGE}", "http://localhost:5173"] }}\npath'
    with Demo(CONFIG.replace(route, cors)) as running:
        yield running


def test_a_route_is_for_the_origins_that_it_lists(listed):
    client = listed.client()
    answer = preflight(client, "/profile/me", "GET")
    assert answer.status_code == 204 and answer.headers["access-control-allow-origin"] == PAGE
    assert "origin" in answer.headers["vary"]
    for other in ("https://evil.example", "https://app.example.evil.example", "http://app.example",
                  "https://app.example:8443", "null", "https://APP.example"):
        refused = preflight(client, "/profile/me", "GET", other)
        assert refused.status_code == 403 and "access-control-allow-origin" not in refused.headers, other
    # A method that the route does not have is not allowed by asking.
    assert preflight(client, "/profile/me", "DELETE").status_code == 405


def test_an_answer_and_a_refusal_say_who_may_read_them(listed):
    client = listed.client()
    got = tokens(listed, listed.facts()["users"][0])["access_token"]
    for headers, status in ((bearer(got), 200), ({}, 401)):
        answer = client.get("/profile/me", headers={"origin": PAGE, **headers})
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (status, PAGE)
        answer = client.get("/profile/me", headers={"origin": "https://evil.example", **headers})
        assert answer.status_code == status and "access-control-allow-origin" not in answer.headers
        assert "origin" in answer.headers["vary"]


@pytest.mark.parametrize("origin", ["app.example", "https://app.example/", "https://app.example/x", "*"])
def test_what_is_no_origin_is_a_mistake(demo, origin):
    path = demo.data / "cors.toml"
    path.write_text(CONFIG.replace('name = "profile"\npath', f'name = "profile"\ncors = {{ origins = ["{origin}"] }}\npath'))
    done = demo.cli("check", "--config", path, "--data", demo.data, check=False)
    assert done.returncode == 1 and "cors" in done.stderr
