"""One address tries one password on twenty accounts: alert, block and flags within a second, and the
audit log proves what happened."""

from portcullis import fields, log_in, tokens, until

ATTACKER = "127.66.6.6"


def spray(demo, names):
    client = demo.client(ATTACKER)
    page = fields(client.get("/login").text)
    seen = []
    for name in names:
        form = {**page, "username": name, "password": "Summer is coming 2026"}
        seen.append(client.post("/login", data=form).status_code)
    return seen


def test_alert_block_and_flags_within_a_second_and_the_log_proves_it(own_demo):
    demo = own_demo
    names = [f"victim{n}" for n in range(20)]
    ids = {demo.new_user(name)["id"]: name for name in names}
    alice = demo.facts()["users"][0]
    operator = demo.operator()
    good = tokens(demo, alice, source=ATTACKER)["access_token"]
    seen = spray(demo, names)
    assert 401 in seen and seen[-1] == 429 and seen.count(401) <= 5

    alert = until(lambda: operator.get("/api/admin/v1/alerts").json()["items"], "the alert", 5)[0]
    assert alert["rule"] == "password_spray" and alert["addr"] == ATTACKER
    blocks = operator.get("/api/admin/v1/blocks").json()["items"]
    everywhere = [b for b in blocks if b["addr"] == ATTACKER and b["scope"] == "all"]
    assert [block["id"] for block in everywhere] == [alert["block_id"]]
    flagged = operator.get("/api/admin/v1/users?flagged=true&limit=200").json()["items"]
    assert {user["id"] for user in flagged} == set(alert["accounts"]) <= set(ids)
    assert len(flagged) >= 4

    attacker = demo.client(ATTACKER)
    for path in ("/", "/login", "/oauth2/jwks"):
        answer = attacker.get(path)
        assert answer.status_code == 429 and "retry-after" in answer.headers, path
    held = attacker.get("/profile/me", headers={"authorization": f"Bearer {good}"})
    assert held.status_code == 200, "whoever shares the address and has a good token is not shut out"
    assert attacker.get("/profile/me", headers={"authorization": "Bearer x"}).status_code == 429
    assert log_in(demo.client("127.0.0.9"), alice["username"], alice["password"]).status_code == 303

    failed = demo.audit("--kind", "authn_login_fail", "--addr", ATTACKER)
    assert len(failed) >= 4
    assert {event["metadata"]["uid"] for event in failed} >= set(alert["evidence"])
    raised = demo.audit("--kind", "alert_password_spray")
    assert raised[0]["finding_info"]["attacks"][0]["technique"]["uid"] == "T1110.003"
    assert len(demo.audit("--kind", "user_flagged")) == len(flagged)
    assert not any("Summer" in str(event) for event in demo.audit())

    assert operator.post(f"/api/admin/v1/alerts/{alert['id']}/acknowledge").status_code == 204
    for block in [b for b in blocks if b["addr"] == ATTACKER]:
        assert operator.delete(f"/api/admin/v1/blocks/{block['id']}").status_code == 204
    assert demo.client(ATTACKER).get("/login").status_code == 200, "the block is lifted"
    assert operator.delete(f"/api/admin/v1/users/{flagged[0]['id']}/flag").json()["flagged"] is False

    index = int(demo.cli("audit", "search", "--data", demo.data, "--kind", "alert_password_spray").stdout.split("\t")[0])

    def proven():
        return demo.cli("audit", "prove", "--data", demo.data, index, check=False)

    until(lambda: proven().returncode == 0, "a checkpoint over the alert")
    assert proven().stdout.startswith(f"c2sp.org/tlog-proof@v1\nindex {index}\n")
    assert "every entry is the one that was written" in demo.cli("audit", "verify", "--data", demo.data).stdout
    demo.stop()
    entries = demo.logs()[-1] / "entries"
    whole = entries.read_bytes()
    at = whole.index(b"alert_password_spray")
    entries.write_bytes(whole[:at] + b"A" + whole[at + 1:])
    broken = demo.cli("audit", "verify", "--data", demo.data, check=False)
    assert broken.returncode == 2 and f"entry {index} is not the one that was signed" in broken.stdout
    entries.write_bytes(whole)
    assert demo.cli("audit", "verify", "--data", demo.data).returncode == 0
    demo.start()


def test_unknown_names_are_not_logged_but_counted(demo, source):
    client = demo.client(source)
    log_in(client, "my secret password", "x")
    log_in(client, "My Secret Password", "x")
    events = demo.audit("--kind", "authn_login_fail", "--addr", source)
    assert len(events) == 2
    names = {event["user"]["uid"] for event in events}
    assert len(names) == 1 and names.pop().startswith("unknown:")
    assert "secret" not in str(events).lower()
