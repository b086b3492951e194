"""OpenID Connect for Identity Assurance: whom an account belongs to, verified by a chip, told to clients that the
person allows it, as far as they ask, and until it is taken away."""

import json
import uuid

import pytest

from portcullis import DEMO, Demo, bearer, code_of, fields, officer, tokens, until
from relying_party import Party, claims_of, header_of, signed_by
from test_documents import Passport, trust
from test_workflows import SESSIONS, WORKFLOWS, begin, give, published, settled, show, vote

GRAPH = {
    "schema": "idv.workflow/1",
    "start": "chip",
    "verifies": {"trust_framework": "eidas", "assurance_level": "substantial", "from": "chip"},
    "nodes": {
        "chip": {"type": "check", "check": "emrtd", "require": ["passive"], "on_unsupported": {"set": "review"}, "next": "end"},
        "end": {"type": "decide", "rule": "fold"},
    },
}
EVIDENCE = [{
    "type": {"value": "document"},
    "check_details": [{"check_method": None}],
    "document_details": {"type": None, "document_number": None, "issuer": None, "date_of_expiry": {"max_age": 0}},
}]
ALL = {"given_name": None, "family_name": None, "birthdate": None, "nationalities": None}


@pytest.fixture(scope="module")
def place():
    with Demo(DEMO + '\n[verification]\ntrust_frameworks = ["eidas"]\n') as running:
        yield running
        assert "panicked" not in running.log()


@pytest.fixture(scope="module")
def german(place):
    made = Passport()
    trust(place, made.country.authority.der)
    return made


@pytest.fixture(scope="module")
def idv(place):
    return place.operator(scope="idv")


@pytest.fixture(scope="module")
def alice(place):
    users = place.operator().get("/api/admin/v1/users", params={"limit": 200}).json()["items"]
    return next(user["id"] for user in users if user["username"] == place.facts()["users"][0]["username"])


@pytest.fixture(scope="module")
def workflow(idv):
    return published(idv, GRAPH)


@pytest.fixture(scope="module")
def verified(idv, workflow, german, alice):
    session = begin(idv, workflow, account=alice)
    assert session["account"] == alice
    give(idv, session, node="chip", emrtd=german.read())
    settled(idv, session, "approved")
    return session


@pytest.fixture(scope="module")
def party(place, verified):
    return Party(place, "127.44.0.1", scopes=["openid", "profile", "email", "verified_claims"]).log_in()


def wish(claims=ALL, where="userinfo", **verification):
    return json.dumps({where: {"verified_claims": {"verification": {"trust_framework": None, **verification}, "claims": claims}}})


def test_the_client_is_told_what_it_asked_for_and_by_what_that_is_known(place, party, verified, workflow):
    told = party.userinfo(claims=wish(evidence=EVIDENCE, time=None, assurance_level=None, verification_process=None))["verified_claims"]
    assert told["claims"] == {"given_name": "ERIKA", "family_name": "MUSTERMANN", "birthdate": "1964-08-12", "nationalities": ["DE"]}
    verification = told["verification"]
    assert (verification["trust_framework"], verification["assurance_level"]) == ("eidas", "substantial")
    assert verification["verification_process"] == verified["id"] and verification["time"].endswith("Z")
    document = verification["evidence"][0]
    assert document["type"] == "document" and document["document_details"]["type"] in ("passport", "idcard")
    assert [check["check_method"] for check in document["check_details"]] == ["vcrypt"]
    assert document["document_details"]["issuer"] == {"country": "DE"}
    # In the ID token as well, if it is asked for there, and nowhere else.
    held = party.tokens(claims=wish({"birthdate": None}, "id_token"))
    claims = signed_by(place, held["id_token"], header_of(held["id_token"])["alg"])
    assert claims["verified_claims"] == {"verification": {"trust_framework": "eidas"}, "claims": {"birthdate": "1964-08-12"}}
    assert "verified_claims" not in party.browser.get("/oauth2/userinfo", headers=bearer(held["access_token"])).json()
    again = party.refresh(held)
    assert again.status_code == 200 and claims_of(again.json()["id_token"])["verified_claims"] == claims["verified_claims"]
    # Whoever has the scope and asks for nothing gets nothing.
    assert "verified_claims" not in party.userinfo(scope="openid verified_claims")


@pytest.mark.parametrize("verification, claims, expected", [
    ({"assurance_level": {"value": "high"}}, ALL, None),
    ({"assurance_level": {"values": ["high", "substantial"]}}, {"birthdate": None}, {"birthdate": "1964-08-12"}),
    ({"time": {"max_age": 0}}, ALL, None),
    ({"time": {"max_age": 100000}}, {"birthdate": None}, {"birthdate": "1964-08-12"}),
    ({"evidence": [{"type": {"value": "document"}, "check_details": [{"check_method": {"value": "bvr"}}]}]}, ALL, None),
    ({}, {"family_name": {"value": "SOMEBODY"}, "birthdate": None}, {"birthdate": "1964-08-12"}),
    ({}, {"family_name": {"value": "SOMEBODY"}}, None),
    ({}, {"address": None}, None),
])
def test_what_is_not_as_it_was_asked_for_is_left_out(party, verification, claims, expected):
    if verification.get("time", {}).get("max_age") == 0:
        # A second must have gone by since the decision.
        until(lambda: "verified_claims" not in party.userinfo(claims=wish(**verification)), "a second")
        return
    told = party.userinfo(claims=wish(claims, **verification)).get("verified_claims")
    assert (told and told["claims"]) == expected


def test_other_frameworks_and_several_at_once(party):
    other = json.dumps({"userinfo": {"verified_claims": {"verification": {"trust_framework": {"value": "de_aml"}}, "claims": ALL}}})
    assert "verified_claims" not in party.userinfo(claims=other)
    both = json.dumps({"userinfo": {"verified_claims": [
        {"verification": {"trust_framework": {"value": "de_aml"}}, "claims": ALL},
        {"verification": {"trust_framework": {"value": "eidas"}}, "claims": {"birthdate": None}},
    ]}})
    told = party.userinfo(claims=both)["verified_claims"]
    assert told == [{"verification": {"trust_framework": "eidas"}, "claims": {"birthdate": "1964-08-12"}}]


@pytest.mark.parametrize("asked", [
    {}, [], "x", 7, {"claims": ALL}, {"verification": {}, "claims": ALL}, {"verification": {"trust_framework": None}},
    {"verification": {"trust_framework": "eidas"}, "claims": ALL},
    {"verification": {"trust_framework": None}, "claims": {"x": 1}}, {"verification": {"trust_framework": None}, "claims": {}},
    {"verification": {"trust_framework": None}, "claims": {"x" * 5000: None}},
    [{"verification": {"trust_framework": None}, "claims": {"x": None}}] * 9,
])
def test_what_cannot_be_read_is_refused(party, asked):
    answer = party.ask(claims=json.dumps({"userinfo": {"verified_claims": asked}}))
    assert code_of(answer)["error"] == ["invalid_request"]


def test_the_person_is_asked_and_the_client_must_be_allowed(place, verified):
    strange = Party(place, "127.44.0.2", first_party=False, scopes=["openid", "verified_claims"]).log_in()
    page = strange.ask(claims=wish({"birthdate": None}))
    assert page.status_code == 200 and "by your documents" in page.text
    page = strange.browser.get(str(page.url), headers={"accept-language": "de"})
    assert "Staatsangehörigkeit" in page.text
    answer = strange.browser.post("/oauth2/consent", data={**fields(page.text), "decision": "allow"})
    held = strange.redeem(answer).json()
    told = strange.browser.get("/oauth2/userinfo", headers=bearer(held["access_token"])).json()
    assert told["verified_claims"]["claims"] == {"birthdate": "1964-08-12"}
    # Who may not ask is not told, whatever it asks.
    narrow = Party(place, "127.44.0.3", scopes=["openid", "profile"]).log_in()
    assert "verified_claims" not in narrow.userinfo(claims=wish())


def test_the_metadata_says_so(place, party):
    metadata = place.client().get("/.well-known/openid-configuration").json()
    assert metadata["verified_claims_supported"] is True
    assert metadata["trust_frameworks_supported"] == ["eidas"]
    assert set(metadata["claims_in_verified_claims_supported"]) == set(ALL)
    assert metadata["evidence_supported"] == ["document"] and "passport" in metadata["documents_supported"]
    assert "verified_claims" in metadata["scopes_supported"] and "verified_claims" in metadata["claims_supported"]
    with Demo() as plain:
        assert "verified_claims_supported" not in plain.client().get("/.well-known/openid-configuration").json()
        idv = plain.operator(scope="idv")
        problems = idv.post(f"{WORKFLOWS}/validate", json={"graph": GRAPH}).json()
        assert [one["code"] for one in problems["problems"]] == ["unknown_trust_framework"] and not problems["valid"]
        made = idv.post(WORKFLOWS, json={"name": "kyc", "graph": GRAPH}).json()
        refused = idv.post(f"{WORKFLOWS}/{made['id']}/publish", json={"revision": 1, "note": ""})
        assert refused.status_code == 422 and "trust_framework" in refused.text


def test_who_cannot_prove_it_is_not_verified(place, idv, workflow):
    name = f"bob{uuid.uuid4().hex[:6]}"
    place.new_user(name, "plum rivet otter canvas")
    users = place.operator().get("/api/admin/v1/users", params={"limit": 200}).json()["items"]
    bob = next(user["id"] for user in users if user["username"] == name)
    session = begin(idv, workflow, account=bob)
    give(idv, session, node="chip", emrtd=Passport().read())
    settled(idv, session, "in_review")
    judge = officer(place, f"judge{uuid.uuid4().hex[:6]}", "idv")
    vote(judge, session, "approved")
    assert idv.get(f"/idv/v1/accounts/{bob}/identities").json()["items"] == []
    listed = idv.get(SESSIONS, params={"account": bob}).json()["items"]
    assert [one["id"] for one in listed] == [session["id"]]
    begin(idv, workflow, 422, account="usr_nobody")
    begin(idv, workflow, 422, account=workflow["id"])
    place.operator().delete(f"/api/admin/v1/users/{bob}")
    assert "account" not in show(idv, session) and idv.get(SESSIONS, params={"account": bob}).json()["items"] == []
    assert idv.get(f"/idv/v1/accounts/{bob}/identities").status_code == 404
    begin(idv, workflow, 422, account=bob)


def test_the_person_sees_it_and_it_can_be_taken_away(place, idv, party, alice, workflow, german):
    kept = idv.get(f"/idv/v1/accounts/{alice}/identities").json()["items"]
    assert [(one["trust_framework"], one["verified_claims"]["claims"]["family_name"]) for one in kept] == [("eidas", "MUSTERMANN")]
    person = place.client()
    person.headers.update(bearer(tokens(place, place.facts()["users"][0])["access_token"]))
    export = person.get("/api/account/v1/me/export").json()
    assert export["verified_claims"][0]["claims"]["birthdate"] == "1964-08-12"
    assert person.get(f"/idv/v1/accounts/{alice}/identities").status_code == 403
    held = party.tokens(claims=wish({"birthdate": None}))
    mine = person.get("/api/account/v1/me/applications").json()["items"]
    assert "verified_claims" in next(one["scopes"] for one in mine if one["client_id"] == party.id)
    info = lambda: party.browser.get("/oauth2/userinfo", headers=bearer(held["access_token"])).json()  # noqa: E731
    assert "verified_claims" in info()
    assert idv.delete(f"/idv/v1/accounts/{alice}/identities").status_code == 204
    assert "verified_claims" not in info(), "the same token tells it no more"
    assert idv.delete(f"/idv/v1/accounts/{alice}/identities").status_code == 404
    # Once more, and it goes with its session.
    session = begin(idv, workflow, account=alice)
    give(idv, session, node="chip", emrtd=german.read())
    settled(idv, session, "approved")
    assert "verified_claims" in info()
    assert idv.delete(f"{SESSIONS}/{session['id']}").status_code == 200
    assert "verified_claims" not in info() and "account" not in show(idv, session)
    entries = place.audit("--subject", alice)
    codes = [entry["metadata"]["event_code"] for entry in entries]
    assert "admin_verified_identity_revoke" in codes
    decided = [entry for entry in entries if entry.get("unmapped", {}).get("change") == "decided"]
    assert "kept" in [entry["unmapped"]["verified"] for entry in decided]
    assert "MUSTERMANN" not in json.dumps(entries)
