"""What acts for a person, shown to that person, who can end it."""

import re
import secrets

from portcullis import authorize, bearer, code_of, exchange, fields, log_in, pkce, tokens


def client_of(page, name):
    row = re.search(rf"<strong>{name}</strong>.*?</li>", page, re.S)
    return fields(row.group(0)) if row else None


def test_a_device_outlives_the_logout_and_is_ended_by_its_owner(own_demo):
    demo = own_demo
    user = demo.new_user("dora")
    made = demo.operator().post("/api/admin/v1/clients", json={
        "name": "Television", "token_endpoint_auth_method": "none", "scopes": ["openid", "profile"],
        "grant_types": ["urn:ietf:params:oauth:grant-type:device_code", "refresh_token"],
    }).json()["client"]["client_id"]
    browser, tv = demo.client(), demo.client()
    assert log_in(browser, "dora", "plum rivet otter canvas").status_code == 303
    asked = tv.post("/oauth2/device_authorization", data={"client_id": made, "scope": "openid profile"}).json()
    page = browser.get("/device", params={"user_code": asked["user_code"]})
    page = browser.post("/device", data=fields(page.text))
    assert browser.post("/device", data={**fields(page.text), "decision": "allow"}).status_code == 200
    held = tv.post("/oauth2/token", data={
        "grant_type": "urn:ietf:params:oauth:grant-type:device_code", "client_id": made,
        "device_code": asked["device_code"],
    }).json()
    csrf = {"csrf": fields(browser.get("/account").text)["csrf"]}
    assert browser.post("/logout", data=csrf).status_code == 303
    known = {"authorization": f"Bearer {held['access_token']}"}
    assert tv.get("/oauth2/userinfo", headers=known).status_code == 200

    assert log_in(browser, "dora", "plum rivet otter canvas").status_code == 303
    page = browser.get("/account").text
    assert "Television" in page and "one login or device" in page
    row = client_of(page, "Television")
    assert row["client"] == made
    assert browser.post("/account/applications/end", data={"client": made}).status_code in (400, 403)
    ended = browser.post("/account/applications/end", data=row)
    assert ended.status_code == 200 and "Its access was ended" in ended.text
    assert client_of(ended.text, "Television") is None
    assert tv.get("/oauth2/userinfo", headers=known).status_code == 401
    assert demo.client().get("/profile/me", headers=known).status_code == 401
    refresh = tv.post("/oauth2/token", data={"grant_type": "refresh_token", "client_id": made,
                                             "refresh_token": held["refresh_token"]})
    assert refresh.json()["error"] == "invalid_grant"
    codes = [event["metadata"]["event_code"] for event in demo.audit()
             if event.get("user", {}).get("uid") == user["id"]]
    assert "authn_token_revoke" in codes, codes
    again = browser.post("/account/applications/end", data=row)
    assert "It had no access" in again.text


def test_consent_is_forgotten_and_asked_for_again(demo, source):
    browser, person = demo.client(source), demo.facts()["users"][0]
    assert log_in(browser, person["username"], person["password"]).status_code == 303
    held = exchange(demo, browser)
    own = bearer(held["access_token"])
    listed = browser.get("/api/account/v1/me/applications", headers=own).json()["items"]
    web = demo.facts()["clients"]["web"]["client_id"]
    mine = next(item for item in listed if item["client_id"] == web)
    assert mine["grants"] >= 1 and {"account", "email", "openid", "profile"} <= set(mine["scopes"])
    path = "/api/account/v1/me/applications/"
    assert browser.delete(path + "nobody", headers=own).status_code == 404
    assert browser.delete(path + web, headers=own).status_code == 204
    assert browser.get("/api/account/v1/me/applications", headers=own).status_code == 401


def test_nobody_ends_what_is_not_theirs(demo, source):
    alice = demo.facts()["users"][0]
    kept = tokens(demo, alice, source=source)
    name = f"eve{secrets.token_hex(4)}"
    demo.new_user(name)
    thief = demo.client(source)
    assert log_in(thief, name, "plum rivet otter canvas").status_code == 303
    web = demo.facts()["clients"]["web"]["client_id"]
    csrf = fields(thief.get("/account").text)["csrf"]
    answer = thief.post("/account/applications/end", data={"client": web, "csrf": csrf})
    assert "It had no access" in answer.text
    assert thief.get("/oauth2/userinfo", headers=bearer(kept["access_token"])).status_code == 200


def test_ending_one_application_leaves_the_login_at_another(demo, source):
    browser, person = demo.client(source), demo.facts()["users"][0]
    assert log_in(browser, person["username"], person["password"]).status_code == 303
    exchange(demo, browser)
    web = demo.facts()["clients"]["web"]
    verifier, challenge = pkce()
    code = code_of(authorize(demo, browser, challenge))["code"][0]
    csrf = fields(browser.get("/account").text)["csrf"]
    browser.post("/account/applications/end", data={"client": "another", "csrf": csrf})
    form = {"grant_type": "authorization_code", "code": code, "code_verifier": verifier,
            "client_id": web["client_id"], "redirect_uri": web["redirect_uri"]}
    assert browser.post("/oauth2/token", data=form).status_code == 200
    # A code of the application itself ends with it.
    verifier, challenge = pkce()
    code = code_of(authorize(demo, browser, challenge))["code"][0]
    browser.post("/account/applications/end", data={"client": web["client_id"], "csrf": csrf})
    late = browser.post("/oauth2/token", data={**form, "code": code, "code_verifier": verifier})
    assert late.json()["error"] == "invalid_grant"
