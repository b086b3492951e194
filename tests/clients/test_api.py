"""The JSON APIs: every endpoint denies whoever may not call it, secrets are shown once, and rotation
overlaps."""

import threading
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlencode

from portcullis import bearer, code_of, log_in, pkce, tokens, until


def walk(demo):
    document = demo.client().get("/api/openapi.json").json()
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def test_every_endpoint_denies(demo, source):
    """Rule R22, and invariant 10: without a token, with the wrong one, for a foreign object."""
    ordinary = tokens(demo, demo.facts()["users"][0], source=source)["access_token"]
    admin = demo.operator(source).headers["authorization"].split()[1]
    screening = demo.operator(source, "aml").headers["authorization"].split()[1]
    verifying = demo.operator(source, "idv").headers["authorization"].split()[1]
    rights = {"account": ordinary, "admin": admin, "aml": screening, "idv": verifying}
    # Doors that take a password close soon.
    others = {"account": ["admin"], "admin": ["account", "aml", "idv"], "aml": ["account", "admin", "idv"], "idv": ["account", "admin", "aml"]}
    client = demo.client(source)
    count = 0
    for method, path, operation in walk(demo):
        count += 1
        url = path.replace("{id}", "usr_00000000000000000000000000").replace("{version}", "1")
        scope = operation["security"][0]["oidc"][0]
        body = {"json": {}} if "requestBody" in operation else {}
        assert client.request(method, url, **body).status_code == 401, (method, path)
        for wrong in others[scope]:
            answer = client.request(method, url, headers=bearer(rights[wrong]), **body)
            assert answer.status_code == 403, (method, path, wrong)
        if "{id}" in path:
            answer = client.request(method, url, headers=bearer(rights[scope]), **body)
            # Decisions about hits and sessions are for people.
            for_people = "/hits/" in path or path.endswith(("/review", "/resubmit", "/notes"))
            refused = (403,) if for_people and method == "POST" else ()
            assert answer.status_code in (400, 404, 429, *refused), (method, path, answer.text)
    assert count >= 30


def test_the_session_of_somebody_else_is_not_found(demo, source):
    alice, bob = demo.facts()["users"][:2]
    first = tokens(demo, alice, source=source)["access_token"]
    second = tokens(demo, bob, source=source)["access_token"]
    client = demo.client(source)
    mine = client.get("/api/account/v1/me/sessions", headers=bearer(second)).json()["items"]
    path = f"/api/account/v1/me/sessions/{mine[0]['id']}"
    assert client.delete(path, headers=bearer(first)).status_code == 404
    assert client.delete(path, headers=bearer(second)).status_code == 204
    assert client.get("/api/account/v1/me", headers=bearer(second)).status_code == 401, "ended with its session"


def test_bodies_that_do_not_fit_are_refused(demo, source):
    operator = demo.operator(source)
    users = "/api/admin/v1/users"
    good = {"username": "judy", "email": "judy@example.org", "password": "plum rivet otter canvas"}
    json_type = {"content-type": "application/json"}
    for body in (b"", b"{", b"[]", b"null", b'{"username":1}', b'{"username":"a","username":"b"}',
                 b"[" * 200, b'{"a":' * 100 + b"1" + b"}" * 100, b"\xff\xfe"):
        answer = operator.post(users, content=body, headers=json_type)
        assert answer.status_code == 400, body
        assert answer.headers["content-type"] == "application/problem+json"
    assert operator.post(users, json={**good, "email_verified": True}).status_code == 400, "rule R7"
    assert operator.post(users, content=b"{}", headers={"content-type": "text/plain"}).status_code == 400
    assert operator.post(users, content=b"x" * 300_000, headers=json_type).status_code == 413
    bad = operator.post(users, json={**good, "username": "<b>", "password": "x"})
    pointers = {violation["pointer"] for violation in bad.json()["violations"]}
    assert bad.status_code == 422 and pointers == {"/username", "/password"} and "<b>" not in bad.text
    for query in ("after=x", "limit=0", "limit=9999", "limit=x", "after=a&after=b"):
        assert operator.get(f"{users}?{query}").status_code == 400, query


def test_api_keys_are_shown_once_and_rotate_with_an_overlap(demo, source):
    operator = demo.operator(source)
    keys = "/api/admin/v1/api-keys"
    made = operator.post(keys, json={"name": "ci", "scopes": ["admin"]}).json()
    assert made["key"].startswith("pck_")
    assert made["key"] not in operator.get(keys).text
    client = demo.client(source)

    def works(key):
        return client.get("/api/admin/v1/alerts", headers={"x-api-key": key}).status_code

    assert works(made["key"]) == 200
    assert works(made["key"][:-1] + ("a" if made["key"][-1] != "a" else "b")) == 401
    successor = operator.post(f"{keys}/{made['api_key']['id']}/rotate").json()
    assert (works(made["key"]), works(successor["key"])) == (200, 200), "both work for a day"
    assert operator.delete(f"{keys}/{successor['api_key']['id']}").status_code == 204
    assert works(successor["key"]) == 401, "revoked at once"
    assert not any(made["key"] in str(event) for event in demo.audit())


def test_client_secrets_rotate_and_a_disabled_client_stops(demo, source):
    operator = demo.operator(source)
    clients = "/api/admin/v1/clients"
    made = operator.post(clients, json={
        "client_id": "batch", "name": "Batch", "token_endpoint_auth_method": "client_secret_post",
        "grant_types": ["client_credentials"], "scopes": ["profile"],
    })
    assert made.status_code == 201, made.text
    old = made.json()["client_secret"]
    assert old.startswith("pcs_") and old not in operator.get(clients).text
    client = demo.client(source)

    def token(secret):
        return client.post("/oauth2/token", data={
            "grant_type": "client_credentials", "client_id": "batch", "client_secret": secret})

    new = operator.post(f"{clients}/batch/rotate-secret").json()["client_secret"]
    assert (token(old).status_code, token(new).status_code) == (200, 200)
    access = token(new).json()["access_token"]
    assert operator.post(f"{clients}/batch/disable").json()["disabled"] is True
    assert token(new).json()["error"] == "invalid_client"
    assert client.get("/profile/me", headers=bearer(access)).status_code == 401, "its tokens are void"
    assert operator.delete(f"{clients}/batch").status_code == 204
    assert operator.get(f"{clients}/batch").status_code == 404


def test_a_disabled_account_is_out_at_once_and_the_last_admin_stays(demo, source):
    operator = demo.operator(source)
    made = demo.new_user("kate")
    person = {"username": "kate", "password": "plum rivet otter canvas"}
    access = tokens(demo, person, source=source)["access_token"]
    client = demo.client(source)
    assert client.get("/profile/me", headers=bearer(access)).status_code == 200
    operator.post(f"/api/admin/v1/users/{made['id']}/disable")
    assert client.get("/profile/me", headers=bearer(access)).status_code == 401
    users = operator.get("/api/admin/v1/users?limit=200").json()["items"]
    admin = next(user for user in users if "admin" in user["roles"])
    assert operator.post(f"/api/admin/v1/users/{admin['id']}/disable").status_code == 409
    assert operator.delete(f"/api/admin/v1/users/{admin['id']}").status_code == 409
    changes = demo.audit("--kind", "admin_user_", "--subject", made["id"])
    assert [event["metadata"]["event_code"] for event in changes] == ["admin_user_create", "admin_user_disable"]
    assert changes[1]["entity"]["data"]["disabled"] is False


def test_a_client_is_disabled_and_its_secret_replaced_at_once(demo, source):
    """However often it was looked at a moment ago."""
    operator, clients = demo.operator(source), "/api/admin/v1/clients"
    made = operator.post(clients, json={
        "name": "Busy", "token_endpoint_auth_method": "client_secret_basic",
        "grant_types": ["client_credentials"], "scopes": ["profile"]}).json()
    client, secret = made["client"]["client_id"], made["client_secret"]
    busy = demo.client("127.4.0.1")
    ask = lambda secret: busy.post(
        "/oauth2/token", data={"grant_type": "client_credentials"}, auth=(client, secret)).status_code
    stop, seen = threading.Event(), []

    def hammer():
        while not stop.is_set():
            seen.append(ask(secret))

    with ThreadPoolExecutor(4) as pool:
        try:
            for _ in range(4):
                pool.submit(hammer)
            until(lambda: len(seen) > 20, "the load")
            for _ in range(10):
                assert operator.post(f"{clients}/{client}/disable").status_code == 200
                assert ask(secret) == 401
                assert operator.post(f"{clients}/{client}/enable").status_code == 200
                assert ask(secret) == 200
            fresh = operator.post(f"{clients}/{client}/rotate-secret").json()["client_secret"]
            assert ask(fresh) == 200
        finally:
            stop.set()
    assert set(seen) == {200, 401}


def test_an_array_is_no_object(demo, source):
    operator = demo.operator(source)
    for body in ('["Stock"]', "[]", "null", '"x"', "", "{"):
        answer = operator.post("/api/admin/v1/groups", content=body, headers={"content-type": "application/json"})
        assert answer.status_code == 400, (body, answer.text)


def test_what_was_granted_by_default_is_not_more_later(demo, source):
    """A client that named no resource when the person was asked names none beyond the usual ones."""
    made = demo.operator(source).post("/api/admin/v1/clients", json={
        "name": "Wide", "token_endpoint_auth_method": "none", "first_party": True,
        "grant_types": ["authorization_code", "refresh_token"], "redirect_uris": ["https://wide.example/cb"],
        "scopes": ["openid"], "audiences": ["https://one.example", "https://two.example"],
        "optional_audiences": ["https://three.example"]}).json()["client"]
    browser = demo.client(source)
    log_in(browser, "alice", demo.facts()["users"][0]["password"])

    def ask(resource, *granted):
        verifier, challenge = pkce()
        query = [("response_type", "code"), ("client_id", made["client_id"]), ("scope", "openid"),
                 ("redirect_uri", "https://wide.example/cb"), ("code_challenge", challenge),
                 ("code_challenge_method", "S256"), *(("resource", one) for one in granted)]
        code = code_of(browser.get(f"/oauth2/authorize?{urlencode(query)}"))["code"][0]
        return browser.post("/oauth2/token", data={
            "grant_type": "authorization_code", "code": code, "code_verifier": verifier,
            "client_id": made["client_id"], "redirect_uri": "https://wide.example/cb", "resource": resource})

    assert ask("https://one.example").status_code == 200
    assert ask("https://three.example").json()["error"] == "invalid_target"
    got = ask("https://three.example", "https://three.example", "https://one.example")
    assert got.status_code == 200
    for resource, status in (("https://one.example", 200), ("https://two.example", 400)):
        refreshed = browser.post("/oauth2/token", data={
            "grant_type": "refresh_token", "refresh_token": got.json()["refresh_token"],
            "client_id": made["client_id"], "resource": resource})
        assert refreshed.status_code == status, refreshed.text
        got = refreshed if status == 200 else got


def test_a_client_is_changed_as_a_whole(demo, source):
    operator, clients = demo.operator(source), "/api/admin/v1/clients"
    wish = {"name": "Stock", "token_endpoint_auth_method": "client_secret_basic",
            "grant_types": ["client_credentials"], "scopes": ["profile", "email"],
            "audiences": ["https://one.example", "https://two.example"]}
    made = operator.post(clients, json=wish).json()
    client = made["client"]["client_id"]
    ask = lambda **more: demo.client(source).post("/oauth2/token", data={"grant_type": "client_credentials", **more},
                                                  auth=(client, made["client_secret"]))
    before = ask().json()["access_token"]
    # More of something ends nothing.
    more = {**wish, "name": "Stocks", "optional_audiences": ["https://three.example"]}
    changed = operator.put(f"{clients}/{client}", json=more)
    assert changed.status_code == 200 and changed.json()["name"] == "Stocks", changed.text
    active = lambda token: demo.client(source).post("/oauth2/introspect", data={"token": token},
                                                    auth=(client, made["client_secret"])).json()["active"]
    assert active(before)
    third = ask(resource="https://three.example")
    assert third.status_code == 200
    # What it loses, its tokens lose.
    less = operator.put(f"{clients}/{client}", json={**wish, "scopes": ["profile"]})
    assert less.status_code == 200 and not active(before)
    assert ask(resource="https://three.example").json()["error"] == "invalid_target"
    for fixed, value in (("token_endpoint_auth_method", "client_secret_post"), ("client_id", "other")):
        refused = operator.put(f"{clients}/{client}", json={**wish, fixed: value})
        assert refused.status_code == 422 and refused.json()["violations"][0]["pointer"] == f"/{fixed}"
    assert operator.put(f"{clients}/nobody", json=wish).status_code == 404


def test_the_first_key_comes_from_the_command_line(demo, source):
    key = demo.cli("api-keys", "create", "setup", "--scope", "admin", "--data", demo.data).stdout.strip()
    admin = demo.client(source, headers={"x-api-key": key})
    until(lambda: admin.get("/api/admin/v1/users").status_code == 200, "the key's work")
    listed = [line.split() for line in demo.cli("api-keys", "list", "--data", demo.data).stdout.splitlines()]
    own = [row for row in listed if row[-1] == "setup"]
    assert len(own) == 1 and key not in str(listed)
    demo.cli("api-keys", "revoke", own[0][0], "--data", demo.data)
    until(lambda: admin.get("/api/admin/v1/users").status_code == 401, "the key's end")
    again = demo.cli("api-keys", "revoke", own[0][0], "--data", demo.data, check=False)
    assert again.returncode == 1
