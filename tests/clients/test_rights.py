"""What a person may ask for: everything that is kept about them, and to be forgotten."""

import json
import re
import secrets
import shutil
import subprocess
from pathlib import Path

import pytest

from portcullis import BIN, Demo, bearer, exchange, fields, log_in, submit, tokens, until
from test_api import walk

PASSWORD = "plum rivet otter canvas"


def name():
    return f"person{secrets.token_hex(4)}"


@pytest.fixture
def person(demo, source):
    made = demo.new_user(name())
    browser = demo.client(source, headers={"user-agent": "Browser/7"})
    assert log_in(browser, made["username"], PASSWORD).status_code == 303
    return made, browser


def export(browser):
    csrf = fields(browser.get("/account").text)["csrf"]
    return browser.post("/account/export", data={"csrf": csrf})


def delete(browser, typed):
    return submit(browser, "/account/delete", {"username": typed})


def entries(demo, *arguments, check=True):
    done = demo.cli("audit", "export", "--data", demo.data, *arguments, check=check)
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_the_export_has_everything_and_no_secret(demo, person):
    made, browser = person
    admin = demo.operator()
    group = admin.post("/api/admin/v1/groups", json={"name": f"Group {name()}"}).json()
    admin.put(f"/api/admin/v1/groups/{group['id']}/members/{made['id']}")
    exchange(demo, browser)
    answer = export(browser)
    assert answer.status_code == 200 and "attachment" in answer.headers["content-disposition"]
    got = answer.json()
    account = got["account"]
    assert (account["id"], account["username"], account["email"]) == (made["id"], made["username"], made["email"])
    assert account["groups"] == [group["name"]] and got["credentials"]["password"] is True
    assert got["sessions"][0]["user_agent"] == "Browser/7"
    assert [row["client"] for row in got["applications"]["in_use"]] == ["web"]
    codes = {entry["metadata"]["event_code"] for entry in got["audit_log"]}
    assert {"authn_login_success", "authn_token_issue", "gate_allowed"} <= codes
    own = [entry for entry in got["audit_log"] if entry["metadata"]["event_code"] == "authn_login_success"]
    assert own[0]["user"]["name"] == made["username"] and own[0]["src_endpoint"]["ip"].startswith("127.")
    assert "argon2" not in answer.text and browser.cookies["__Host-portcullis_session"] not in answer.text


def test_the_api_exports_the_same_to_its_owner(demo, person):
    made, browser = person
    token = exchange(demo, browser)["access_token"]
    got = browser.get("/api/account/v1/me/export", headers=bearer(token))
    assert got.status_code == 200 and got.json()["account"]["username"] == made["username"]


def test_what_an_administrator_did_shows_nothing_of_the_administrator(demo, source):
    ada = demo.facts()["admin"]
    browser = demo.client(source)
    log_in(browser, ada["username"], ada["password"])
    token = exchange(demo, browser, "openid profile email account admin")["access_token"]
    made = demo.new_user(name())
    browser.put(f"/api/admin/v1/users/{made['id']}/roles", json={"roles": ["editor"]}, headers=bearer(token))
    own = demo.client(source)
    log_in(own, made["username"], PASSWORD)
    got = export(own)
    about = [entry for entry in got.json()["audit_log"] if entry["metadata"]["event_code"] == "admin_user_update"]
    assert about and all("name" not in entry["actor"]["user"] for entry in about)
    assert all("ip" not in entry["src_endpoint"] for entry in about)


def test_only_after_a_fresh_login_and_with_the_name_typed(demo, person):
    made, browser = person
    assert demo.client().get("/account/delete").headers["location"].startswith("/login?")
    wrong = delete(browser, "somebody")
    assert wrong.status_code == 422 and "That is not your user name" in wrong.text
    assert browser.get("/account").status_code == 200


def test_whoever_is_erased_is_nowhere_and_the_log_still_holds(own_demo):
    demo = own_demo
    made = demo.new_user(name())
    username = made["username"]
    browser = demo.client("127.0.0.77", headers={"user-agent": "Browser/7"})
    log_in(browser, username, PASSWORD)
    token = exchange(demo, browser)["access_token"]
    assert browser.get("/profile/me", headers=bearer(token)).status_code == 200
    until(lambda: username in json.dumps(entries(demo, "--subject", username)), "the entries")
    by_addr = entries(demo, "--addr", "127.0.0.77")
    assert {"authn_login_success", "gate_allowed"} <= {e["metadata"]["event_code"] for e in by_addr}
    # As the log has it, the entries say an id and nothing of who it is.
    raw = json.dumps(entries(demo, "--sealed", "--subject", made["id"]))
    for personal in (username, "127.0.0.77", "Browser/"):
        assert personal not in raw
    before = demo.cli("audit", "verify", "--data", demo.data).stdout
    gone = delete(browser, username)
    assert gone.status_code == 200 and "Your account is deleted" in gone.text
    # Everything ends at once.
    assert demo.client().get("/profile/me", headers=bearer(token)).status_code == 401
    assert browser.get("/account").status_code == 303
    assert log_in(demo.client("127.0.0.78"), username, PASSWORD).status_code == 401
    assert until(lambda: demo.mails(made["email"]), "the mail")[-1]["subject"] == "Your account is deleted"
    # Nobody reads who it was any more, neither here nor with a copy of the log.
    until(lambda: entries(demo, "--kind", "user_erased"), "the receipt")
    log = entries(demo, "--subject", made["id"])
    assert len(log) > 5
    for personal in (username, "127.0.0.77", "Browser/"):
        assert personal not in json.dumps(log), personal
    assert username.encode() not in (demo.logs()[-1] / "entries").read_bytes()
    # Nor does another entry of the same request tell where they were.
    own = [entry for entry in log if entry["metadata"]["event_code"] != "admin_user_create"]
    requests = {entry["metadata"].get("correlation_uid") for entry in own} - {None}
    siblings = [e for e in entries(demo) if e["metadata"].get("correlation_uid") in requests]
    assert len(siblings) >= len(own) > 4 and "127.0.0.77" not in json.dumps(siblings)
    # And every proof over what is there holds as before.
    after = demo.cli("audit", "verify", "--data", demo.data).stdout
    assert "verified" in before and "verified" in after
    receipt = entries(demo, "--kind", "user_erased")[0]
    assert receipt["user"] == {"uid": made["id"], "type_id": 1}
    # The name is free again, and nothing of the old account comes with it.
    again = demo.new_user(username)
    assert again["id"] != made["id"]


def test_the_last_administrator_stays(own_demo):
    demo = own_demo
    ada = demo.facts()["admin"]
    browser = demo.client()
    log_in(browser, ada["username"], ada["password"])
    kept = delete(browser, ada["username"])
    assert kept.status_code == 422 and "last administrator" in kept.text
    assert browser.get("/account").status_code == 200


def test_a_copy_of_the_log_is_verified_without_any_key(demo, person, tmp_path):
    made, browser = person
    until(lambda: entries(demo, "--subject", made["id"], "--kind", "authn_login_success"), "the entry")
    shutil.copytree(demo.data / "audit", tmp_path / "audit")
    run = lambda *arguments: subprocess.run([BIN / "portcullis", "audit", *arguments, "--data", tmp_path],
                                            capture_output=True, text=True, cwd=tmp_path)
    assert "verified" in run("verify").stdout
    seen = run("export", "--subject", made["id"])
    assert seen.returncode == 0 and made["id"] in seen.stdout and made["username"] not in seen.stdout
    # Looking made nothing.
    assert {path.name for path in tmp_path.iterdir()} == {"audit"}


def test_nobody_exports_anybody_else(demo):
    paths = [path for _, path, _ in walk(demo) if path.endswith("/export")]
    # The other is for administrators, who answer for those that cannot log in.
    assert paths == ["/api/account/v1/me/export", "/api/admin/v1/users/{id}/export"]
    assert demo.client().get(paths[0]).status_code == 401
    alice = demo.facts()["users"][0]
    own = bearer(tokens(demo, alice)["access_token"])
    known = demo.operator().get("/api/admin/v1/users", params={"username": alice["username"]}).json()["items"][0]["id"]
    assert demo.client().post(paths[1].replace("{id}", known), headers=own).status_code == 403
    assert demo.operator().post(paths[1].replace("{id}", known)).json()["account"]["username"] == alice["username"]
    assert until(lambda: entries(demo, "--subject", known, "--kind", "admin_user_export"), "who did it")
    csrf = fields(demo.client().get("/login").text)["csrf"]
    assert demo.client().post("/account/export", data={"csrf": csrf}).status_code == 403
