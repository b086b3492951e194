"""Groups and roles in tokens, invitations, and finding people among many."""

import base64
import json
import secrets
from concurrent.futures import ThreadPoolExecutor

import pytest

from portcullis import (bearer, code_of, authorize, exchange, fields, log_in, pkce, submit, tokens, until)

SCOPE = "openid profile groups roles"
PASSWORD = "plum rivet otter canvas"


def claims_of(token):
    return json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))


def name(prefix):
    return f"{prefix}{secrets.token_hex(4)}"


@pytest.fixture
def admin(demo, source):
    return demo.operator(source)


def make_group(admin, **more):
    made = admin.post("/api/admin/v1/groups", json={"name": name("Group "), **more})
    assert made.status_code == 201, made.text
    return made.json()


def refresh(demo, browser, got):
    web = demo.facts()["clients"]["web"]
    answer = browser.post("/oauth2/token", data={
        "grant_type": "refresh_token", "refresh_token": got["refresh_token"],
        "client_id": web["client_id"]})
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.fixture
def person(demo, source):
    """Somebody who is logged in, and their browser."""
    made = demo.new_user(name("member"))
    browser = demo.client(source)
    assert log_in(browser, made["username"], PASSWORD).status_code == 303
    return made, browser


def test_tokens_say_what_groups_and_roles_somebody_has(demo, admin, person):
    made, browser = person
    group = make_group(admin, roles=["editor", "reader"], description="Who writes")
    assert admin.put(f"/api/admin/v1/groups/{group['id']}/members/{made['id']}").status_code == 204
    assert admin.put(f"/api/admin/v1/users/{made['id']}/roles", json={"roles": ["auditor"]}).status_code == 200
    # Other roles end every session; the person comes back.
    assert log_in(browser, made["username"], PASSWORD).status_code == 303
    got = exchange(demo, browser, SCOPE)
    expected = {"groups": [group["name"]], "roles": ["auditor", "editor", "reader"]}
    info = browser.get("/oauth2/userinfo", headers=bearer(got["access_token"])).json()
    for claims in (claims_of(got["access_token"]), claims_of(got["id_token"]), info):
        assert {key: claims[key] for key in expected} == expected
    # The service behind the gate hears of them as well, in a token for itself.
    seen = browser.get("/profile/me", headers=bearer(got["access_token"]))
    assert seen.status_code == 200, seen.text


def test_without_the_scope_nobody_is_told(demo, admin, person):
    made, browser = person
    group = make_group(admin, roles=["editor"])
    admin.put(f"/api/admin/v1/groups/{group['id']}/members/{made['id']}")
    got = exchange(demo, browser, "openid profile")
    info = browser.get("/oauth2/userinfo", headers=bearer(got["access_token"])).json()
    for claims in (claims_of(got["access_token"]), claims_of(got["id_token"]), info):
        assert not {"groups", "roles"} & set(claims)


def test_claims_can_be_asked_for_by_name(demo, admin, person):
    made, browser = person
    group = make_group(admin)
    admin.put(f"/api/admin/v1/groups/{group['id']}/members/{made['id']}")
    verifier, challenge = pkce()
    answer = authorize(demo, browser, challenge, "openid",
                       claims=json.dumps({"id_token": {"groups": None}}))
    web = demo.facts()["clients"]["web"]
    got = browser.post("/oauth2/token", data={
        "grant_type": "authorization_code", "code": code_of(answer)["code"][0],
        "redirect_uri": web["redirect_uri"], "client_id": web["client_id"],
        "code_verifier": verifier}).json()
    claims = claims_of(got["id_token"])
    assert claims["groups"] == [group["name"]] and "roles" not in claims


def test_leaving_a_group_ends_the_tokens_that_tell_of_it_and_not_the_session(demo, admin, person):
    made, browser = person
    group = make_group(admin, roles=["editor"])
    member = f"/api/admin/v1/groups/{group['id']}/members/{made['id']}"
    admin.put(member)
    got = exchange(demo, browser, SCOPE)
    assert claims_of(got["access_token"])["roles"] == ["editor"]
    assert admin.delete(member).status_code == 204
    assert browser.get("/profile/me", headers=bearer(got["access_token"])).status_code == 401
    again = refresh(demo, browser, got)
    assert "roles" not in claims_of(again["access_token"])
    assert browser.get("/profile/me", headers=bearer(again["access_token"])).status_code == 200


def test_a_changed_group_changes_its_members(demo, admin, person):
    made, browser = person
    group = make_group(admin, roles=["editor"])
    admin.put(f"/api/admin/v1/groups/{group['id']}/members/{made['id']}")
    got = exchange(demo, browser, SCOPE)
    renamed = name("Renamed ")
    changed = admin.put(f"/api/admin/v1/groups/{group['id']}", json={"name": renamed, "roles": ["reader"]})
    assert changed.status_code == 200, changed.text
    assert browser.get("/profile/me", headers=bearer(got["access_token"])).status_code == 401
    again = claims_of(refresh(demo, browser, got)["access_token"])
    assert (again["groups"], again["roles"]) == ([renamed], ["reader"])
    assert admin.delete(f"/api/admin/v1/groups/{group['id']}").status_code == 204
    assert admin.get(f"/api/admin/v1/groups/{group['id']}").status_code == 404


def test_a_group_makes_nobody_an_administrator(admin):
    refused = admin.post("/api/admin/v1/groups", json={"name": name("Root "), "roles": ["admin"]})
    assert refused.status_code == 422
    assert refused.json()["violations"] == [{"pointer": "/roles", "message": "must not contain admin"}]


@pytest.mark.parametrize("input,pointer", [
    ({"name": ""}, "/name"), ({"name": " padded "}, "/name"), ({"name": "x" * 65}, "/name"),
    ({"name": "a\u202eb"}, "/name"), ({"name": "ok", "roles": ["Upper"]}, "/roles"),
    ({"name": "ok", "roles": ["r"] * 33}, "/roles"), ({"name": "ok", "description": "x" * 301}, "/description"),
])
def test_groups_that_cannot_be_made_are_refused(admin, input, pointer):
    refused = admin.post("/api/admin/v1/groups", json=input)
    assert refused.status_code == 422 and refused.json()["violations"][0]["pointer"] == pointer


def test_members_are_listed_page_by_page(demo, admin):
    group = make_group(admin)
    people = [demo.new_user(name("page")) for _ in range(5)]
    for one in people:
        admin.put(f"/api/admin/v1/groups/{group['id']}/members/{one['id']}")
    seen, after = [], ""
    while True:
        page = admin.get(f"/api/admin/v1/groups/{group['id']}/members", params={"limit": 2, "after": after}).json()
        seen += [row["username"] for row in page["items"]]
        after = page.get("next")
        if not after:
            break
    assert sorted(seen) == sorted(one["username"] for one in people)
    taken = admin.post("/api/admin/v1/groups", json={"name": group["name"]})
    assert taken.status_code == 422 and taken.json()["violations"][0]["message"] == "is taken"


def test_people_are_found_by_how_they_begin(demo, admin):
    start = name("find")
    for end in ("b", "a", "c"):
        demo.new_user(start + end)
    page = admin.get("/api/admin/v1/users", params={"username": start, "limit": 2}).json()
    assert [row["username"] for row in page["items"]] == [start + "a", start + "b"]
    rest = admin.get("/api/admin/v1/users", params={"username": start, "after": page["next"]}).json()
    assert [row["username"] for row in rest["items"]] == [start + "c"]
    by_mail = admin.get("/api/admin/v1/users", params={"email": f"{start}b@".upper()}).json()
    assert [row["username"] for row in by_mail["items"]] == [start + "b"]
    assert admin.get("/api/admin/v1/users", params={"username": "a", "email": "b"}).status_code == 400
    assert admin.get("/api/admin/v1/users", params={"username": "a\x00"}).status_code == 400


def test_whoever_is_invited_chooses_a_name_and_is_in(demo, admin, source):
    group = make_group(admin, roles=["editor"])
    address = f"{name('guest')}@example.org"
    made = admin.post("/api/admin/v1/invitations", json={
        "email": address, "roles": ["auditor"], "groups": [group["id"]]})
    assert made.status_code == 201, made.text
    link = demo.link(address)
    browser, guest = demo.client(source), name("guest")
    weak = submit(browser, link, {"username": guest, "password": "password"})
    assert weak.status_code == 422 and "role=\"alert\"" in weak.text
    accepted = submit(browser, link, {"username": guest, "password": "walnut ember tractor sky"})
    assert (accepted.status_code, accepted.headers["location"]) == (303, "/account")
    got = exchange(demo, browser, SCOPE)
    claims = claims_of(got["access_token"])
    assert (claims["groups"], claims["roles"]) == ([group["name"]], ["auditor", "editor"])
    # The link proved the address and nothing else.
    assert claims["acr"] == "urn:portcullis:acr:single-factor"
    assert browser.get(link).status_code == 410
    row = [row for row in admin.get("/api/admin/v1/invitations", params={"limit": 200}).json()["items"]
           if row["email"] == address]
    assert row[0]["accepted"]
    until(lambda: demo.audit("--kind", "user_invitation_accepted"), "the event")


def test_an_account_without_a_password_begins_with_an_invitation(demo, admin, source):
    address = f"{name('guest')}@example.org"
    admin.post("/api/admin/v1/invitations", json={"email": address})
    browser, guest = demo.client(source), name("guest")
    accepted = submit(browser, demo.link(address), {"username": guest, "password": ""})
    assert (accepted.status_code, accepted.headers["location"]) == (303, "/account/security")
    assert "You have no password" in browser.get("/account/security").text
    # Nothing that could be typed is its password.
    stranger = demo.client(source)
    assert log_in(stranger, guest, "").status_code == 401
    assert log_in(stranger, guest, "walnut ember tractor sky").status_code == 401


def test_only_the_newest_invitation_works_until_it_is_withdrawn(demo, admin):
    address = f"{name('guest')}@example.org"
    admin.post("/api/admin/v1/invitations", json={"email": address})
    first = demo.link(address)
    made = admin.post("/api/admin/v1/invitations", json={"email": address}).json()
    second = demo.link(address, 2)
    browser = demo.client()
    assert browser.get(first).status_code == 410
    assert browser.get(second).status_code == 200
    assert admin.delete(f"/api/admin/v1/invitations/{made['id']}").status_code == 204
    assert browser.get(second).status_code == 410
    assert admin.delete(f"/api/admin/v1/invitations/{made['id']}").status_code == 404


def test_what_an_administrator_promised_goes_with_them(demo, admin, source):
    boss = demo.new_user(name("boss"))
    roles = f"/api/admin/v1/users/{boss['id']}/roles"
    admin.put(roles, json={"roles": ["admin"]})
    person = {"username": boss["username"], "password": PASSWORD}
    own = demo.client(source)
    own.headers.update(bearer(tokens(demo, person, "openid admin", source)["access_token"]))
    address = f"{name('guest')}@example.org"
    sent = own.post("/api/admin/v1/invitations", json={"email": address, "roles": ["admin"]})
    assert sent.status_code == 201, sent.text
    link = demo.link(address)
    assert demo.client(source).get(link).status_code == 200
    assert admin.put(roles, json={"roles": ["auditor"]}).status_code == 200
    assert demo.client(source).get(link).status_code == 410
    assert until(lambda: [e for e in demo.audit("--kind", "admin_invitation_revoke")
                          if e["entity"]["uid"] == sent.json()["id"]], "the event")


def test_r4_an_invitation_is_accepted_once_by_however_many(demo, admin, source):
    address = f"{name('guest')}@example.org"
    admin.post("/api/admin/v1/invitations", json={"email": address})
    link = demo.link(address)
    browsers = [demo.client(source) for _ in range(8)]
    forms = [{**fields(browser.get(link).text), "username": name("many")} for browser in browsers]

    def accept(browser, form):
        return browser.post("/invitation", data=form).status_code

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(accept, browsers, forms))
    assert answers.count(303) == 1 and set(answers) == {303, 410}, answers


@pytest.mark.parametrize("input,pointer", [
    ({"email": "nobody"}, "/email"), ({"email": "a@example.org", "groups": ["grp_1"]}, "/groups"),
    ({"email": "a@example.org", "groups": ["grp_00000000000000000000000000"]}, "/groups"),
    ({"email": "alice@example.org"}, "/email"), ({"email": "a@example.org", "roles": ["A"]}, "/roles"),
])
def test_invitations_that_make_no_sense_are_refused(demo, admin, input, pointer):
    if input["email"].startswith("alice"):
        input = {"email": demo.facts()["users"][0]["email"]}
    refused = admin.post("/api/admin/v1/invitations", json=input)
    assert refused.status_code == 422 and refused.json()["violations"][0]["pointer"] == pointer


def test_whoever_registers_may_do_without_a_password(demo, source):
    browser, new = demo.client(source), name("light")
    sent = submit(browser, "/register", {"username": new, "email": f"{new}@example.org", "password": ""})
    assert sent.status_code == 200, sent.text
    done = submit(browser, demo.link(f"{new}@example.org"), {})
    assert "Welcome" in done.text
    assert log_in(browser, new, "").status_code == 401
