"""The sixth login attempt from one address within a minute gets 429, and the address stays out, on
the page and on every API that accepts a password, however it varies what it sends."""

from portcullis import bearer, fields, log_in, tokens, until

WRONG = "wrong wrong wrong wrong"


def attempts(client, count, name="alice"):
    return [log_in(client, name, WRONG).status_code for _ in range(count)]


def test_the_sixth_attempt_gets_429(demo, source):
    client = demo.client(source)
    page = fields(client.get("/login").text)
    assert attempts(client, 5) == [401] * 5
    sixth = client.post("/login", data={**page, "username": "alice", "password": WRONG})
    assert sixth.status_code == 429
    assert 890 <= int(sixth.headers["retry-after"]) <= 900
    assert sixth.headers["ratelimit-policy"] == '"login";q=5;w=60'
    assert sixth.headers["ratelimit"].startswith('"login";r=0;t=')


def test_the_block_holds_however_the_request_varies(demo, source):
    alice = demo.facts()["users"][0]
    browser = demo.client(source)
    page = fields(browser.get("/login").text)
    assert attempts(browser, 5) == [401] * 5
    right = {**page, "username": alice["username"], "password": alice["password"]}
    for path in ("/login", "/%6cogin", "/%6C%6f%67in", "/login?x=1"):
        assert browser.post(path, data=right).status_code == 429, path
    for path in ("/login%2f", "/%2e/login", "/login;a=b"):
        assert browser.post(path, data=right).status_code == 400, path
    for path in ("/LOGIN", "/login/"):
        assert browser.post(path, data=right).status_code == 404, path
    for header in ("x-forwarded-for", "x-real-ip", "forwarded", "true-client-ip", "x-client-ip", "cf-connecting-ip"):
        varied = browser.post("/login", data=right, headers={header: "198.51.100.7"})
        assert varied.status_code == 429, header
    assert browser.post("/login", data={**right, "username": "ALICE"}).status_code == 429
    with demo.client(source, http2=True) as second:
        assert second.post("/login", data=right).status_code == 429
    for path in ("/register", "/reset-password", "/account/password", "/account/email"):
        assert browser.post(path, data=right).status_code == 429, path


def test_apis_that_accept_a_password_close_as_well(demo, source):
    token = tokens(demo, demo.facts()["users"][2], source=source)["access_token"]
    client = demo.client(source)
    attempts(client, 5)
    change = {"current_password": WRONG, "password": "basil anchor velvet north"}
    answer = client.post("/api/account/v1/me/password", json=change, headers=bearer(token))
    assert answer.status_code == 429, answer.text
    assert client.get("/api/account/v1/me", headers=bearer(token)).status_code == 200


def test_guessing_through_the_account_api_counts_as_well(demo, source):
    token = tokens(demo, demo.facts()["users"][2], source=source)["access_token"]
    client = demo.client(source)
    change = {"current_password": WRONG, "password": "basil anchor velvet north"}
    seen = [client.post("/api/account/v1/me/password", json=change, headers=bearer(token)).status_code
            for _ in range(6)]
    assert seen == [422] * 4 + [429] * 2, "the login itself was the first attempt"


def test_other_addresses_are_not_concerned(demo, source):
    attempts(demo.client(source), 6)
    assert log_in(demo.client("127.9.9.9"), "alice", WRONG).status_code == 401


def test_the_block_survives_a_restart_and_is_lifted_by_api_and_cli(own_demo):
    demo = own_demo
    alice = demo.facts()["users"][0]
    for source, lift in (("127.3.0.1", "api"), ("127.3.0.2", "cli")):
        attempts(demo.client(source), 6)
        until(lambda: source in demo.operator().get("/api/admin/v1/blocks").text, "the block")
        demo.kill()
        demo.start()
        page = fields(demo.client(source).get("/login").text)
        assert demo.client(source).post("/login", data=page).status_code == 429
        operator = demo.operator()
        blocks = operator.get("/api/admin/v1/blocks").json()["items"]
        mine = [block for block in blocks if block["addr"] == source]
        assert [block["scope"] for block in mine] == ["login"]
        if lift == "api":
            assert operator.delete(f"/api/admin/v1/blocks/{mine[0]['id']}").status_code == 204
        else:
            assert source in demo.cli("blocks", "list", "--data", demo.data).stdout
            demo.cli("blocks", "lift", "--data", demo.data, mine[0]["id"])
        def enters():
            return log_in(demo.client(source), alice["username"], alice["password"]).status_code == 303

        until(enters, "the end of the block", 5)
    until(lambda: demo.audit("--kind", "block_lifted")[1:], "both events")
