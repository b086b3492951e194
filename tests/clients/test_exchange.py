"""Token exchange (RFC 8693): delegation, chains, and impersonation that is recorded."""

import base64
import json

import pytest

from portcullis import bearer, log_in, tokens, until

GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS = "urn:ietf:params:oauth:token-type:access_token"


def claims_of(token):
    body = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))


def register(demo, **more):
    made = demo.operator().post("/api/admin/v1/clients", json={
        "name": "Orders", "token_endpoint_auth_method": "client_secret_basic",
        "grant_types": [GRANT, "client_credentials"], "scopes": ["profile", "email"], **more,
    })
    assert made.status_code == 201, made.text
    made = made.json()
    return made["client"]["client_id"], made["client_secret"]


@pytest.fixture(scope="module")
def orders(demo):
    """The service that the web application calls: the audience of its tokens."""
    return register(demo, serves=[demo.issuer], audiences=["https://stock.example"])


def exchange(demo, auth, token, **more):
    form = {"grant_type": GRANT, "subject_token": token, "subject_token_type": ACCESS, **more}
    form = {name: value for name, value in form.items() if value is not None}
    return demo.client().post("/oauth2/token", data=form, auth=auth)


def error(answer):
    assert answer.status_code in (400, 401), answer.text
    return answer.json()["error"]


@pytest.fixture
def token(demo, source):
    return tokens(demo, demo.facts()["users"][0], "openid profile email", source)["access_token"]


def test_a_service_gets_a_token_for_the_next_one(demo, orders, token):
    answer = exchange(demo, orders, token).json()
    assert answer["issued_token_type"] == ACCESS and answer["token_type"] == "Bearer"
    assert "refresh_token" not in answer and "id_token" not in answer
    before, after = claims_of(token), claims_of(answer["access_token"])
    assert after["sub"] == before["sub"] and after["aud"] == "https://stock.example"
    assert after["act"] == {"sub": orders[0]} and after["client_id"] == orders[0]
    assert after["exp"] <= before["exp"] and after["scope"] == "email profile"
    assert (after["acr"], after["auth_time"]) == (before["acr"], before["auth_time"])


def test_the_chain_of_actors_grows(demo, orders, token):
    stock = register(demo, serves=["https://stock.example"], audiences=["https://depot.example"])
    first = exchange(demo, orders, token).json()["access_token"]
    second = exchange(demo, stock, first).json()["access_token"]
    assert claims_of(second)["act"] == {"sub": stock[0], "act": {"sub": orders[0]}}
    again = register(demo, serves=["https://loop.example"], audiences=["https://loop.example"])
    looped = token_for(demo, orders, token, again)
    for _ in range(9):
        answer = exchange(demo, again, looped)
        if answer.status_code != 200:
            break
        looped = answer.json()["access_token"]
    assert error(answer) == "invalid_request", "a chain has an end"


def token_for(demo, orders, token, own):
    """A token that `own` may exchange: issued to itself."""
    bridge = register(demo, serves=[demo.issuer], audiences=["https://loop.example"])
    return exchange(demo, bridge, token).json()["access_token"]


def test_an_actor_with_a_token_is_named(demo, orders, token):
    own = demo.client().post(
        "/oauth2/token", data={"grant_type": "client_credentials"}, auth=orders).json()
    answer = exchange(demo, orders, token, actor_token=own["access_token"], actor_token_type=ACCESS)
    assert claims_of(answer.json()["access_token"])["act"] == {"sub": orders[0]}


def test_what_is_not_for_the_client_is_not_exchanged(demo, orders, token):
    stranger = register(demo, audiences=["https://stock.example"])
    assert error(exchange(demo, stranger, token)) == "invalid_request"
    assert error(exchange(demo, orders, token + "x")) == "invalid_request"
    assert error(exchange(demo, orders, token, subject_token_type=None)) == "invalid_request"
    assert error(exchange(demo, orders, token, subject_token_type="urn:x")) == "invalid_request"
    saml = "urn:ietf:params:oauth:token-type:saml2"
    assert error(exchange(demo, orders, token, requested_token_type=saml)) == "invalid_request"
    assert error(exchange(demo, orders, token, scope="admin")) == "invalid_scope"
    assert error(exchange(demo, orders, token, resource="https://x.example")) == "invalid_target"
    assert error(exchange(demo, orders, token, actor_token="x")) == "invalid_request"


def test_scopes_only_shrink(demo, orders, token):
    narrow = exchange(demo, orders, token, scope="profile").json()["access_token"]
    assert claims_of(narrow)["scope"] == "profile"
    other = register(demo, serves=["https://stock.example"], audiences=["https://y.example"])
    assert error(exchange(demo, other, narrow, scope="email")) == "invalid_scope"


def test_an_exchanged_token_ends_with_its_session(demo, orders, source):
    alice = demo.facts()["users"][0]
    gate = register(demo, serves=[demo.issuer], audiences=[demo.issuer])
    token = tokens(demo, alice, "openid profile", source)["access_token"]
    made = exchange(demo, gate, token).json()["access_token"]
    client = demo.client(source)
    assert client.get("/profile/me", headers=bearer(made)).status_code == 200
    introspect = lambda t: client.post("/oauth2/introspect", data={"token": t}, auth=gate).json()
    assert introspect(made)["act"] == {"sub": gate[0]}
    web = demo.facts()["clients"]["web"]
    revoked = client.post("/oauth2/revoke", data={"token": token, "client_id": web["client_id"]})
    assert revoked.status_code == 200
    assert error(exchange(demo, gate, token)) == "invalid_request", "a revoked token"


def test_impersonation_is_for_administrators_and_is_recorded(demo, source):
    facts = demo.facts()
    support = register(demo, serves=[demo.issuer], audiences=[demo.issuer], may_impersonate=True)
    plain = register(demo, serves=[demo.issuer], audiences=[demo.issuer])
    alice = facts["users"][0]
    person = demo.new_user("impersonated.one")
    staff = tokens(demo, facts["admin"], "openid profile", source)["access_token"]
    answer = exchange(demo, support, staff, requested_subject=person["id"])
    assert answer.status_code == 200, answer.text
    made = claims_of(answer.json()["access_token"])
    assert made["sub"] == person["id"] and made["preferred_username"] == "impersonated.one"
    assert made["act"] == {"sub": claims_of(staff)["sub"], "act": {"sub": support[0]}}
    seen = until(lambda: demo.audit("--kind", "user_impersonated"), "the event")
    assert seen[-1]["actor"]["user"]["name"] == facts["admin"]["username"]

    assert error(exchange(demo, plain, staff, requested_subject=person["id"])) == "unauthorized_client"
    own = tokens(demo, alice, "openid profile", source)["access_token"]
    assert error(exchange(demo, support, own, requested_subject=person["id"])) == "unauthorized_client"
    admin = claims_of(staff)["sub"]
    for whom in (admin, "usr_nobody", "x"):
        assert error(exchange(demo, support, staff, requested_subject=whom)) == "invalid_request"


@pytest.mark.parametrize("change", ["disable", "roles", "group"])
def test_what_is_held_as_somebody_ends_when_they_change(demo, source, change):
    support = register(demo, serves=[demo.issuer], audiences=[demo.issuer], may_impersonate=True)
    person, operator = demo.new_user(f"held.{change}"), demo.operator(source)
    staff = tokens(demo, demo.facts()["admin"], "openid profile", source)["access_token"]
    held = exchange(demo, support, staff, requested_subject=person["id"]).json()["access_token"]
    client = demo.client(source)
    assert client.get("/profile/me", headers=bearer(held)).status_code == 200
    users = f"/api/admin/v1/users/{person['id']}"
    if change == "group":
        group = operator.post("/api/admin/v1/groups", json={"name": "Held", "roles": ["editor"]}).json()
        changed = operator.put(f"/api/admin/v1/groups/{group['id']}/members/{person['id']}")
    elif change == "roles":
        changed = operator.put(f"{users}/roles", json={"roles": ["auditor"]})
    else:
        changed = operator.post(f"{users}/disable")
    assert changed.status_code in (200, 204), changed.text
    assert client.get("/profile/me", headers=bearer(held)).status_code == 401
    known = client.post("/oauth2/introspect", data={"token": held}, auth=support).json()
    assert known == {"active": False}
    # The administrator's own token is another matter.
    assert client.get("/profile/me", headers=bearer(staff)).status_code == 200


def test_public_clients_cannot_exchange(demo):
    made = demo.operator().post("/api/admin/v1/clients", json={
        "name": "Public", "token_endpoint_auth_method": "none", "grant_types": [GRANT],
    })
    assert made.status_code == 422
