"""Credentials that people show (OpenID for Verifiable Presentations 1.0, DCQL, SD-JWT VC): one installation issues them,
another one asks for them through its API and in a step of a workflow, and the wallet of the examples lies."""

import base64
import copy
import hashlib
import html
import json
import re
import ssl
import subprocess
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from portcullis import DEMO, Demo, fields, until
from test_documents import Passport, trust
from test_verified_claims import GRAPH
from test_wallet import CONFIG, PASSWORD, VCT, Person, status
from test_workflows import SESSIONS, begin, give, published, settled, show
from wallet import PRE_AUTHORIZED, Credential, Key, Refused, Wallet, Web, encode, parts

PATH = "/idv/v1/presentations"
AGE = {"credentials": [{
    "id": "adult", "format": "dc+sd-jwt", "meta": {"vct_values": [VCT]},
    "claims": [{"path": ["age_equal_or_over", "18"], "values": [True]}],
}]}
PERSON = {
    "schema": "idv.workflow/1", "start": "wallet",
    "nodes": {
        "wallet": {"type": "check", "check": "credential", "on_unsupported": {"set": "review"}, "next": "who"},
        "who": {"type": "branch", "cases": [
            {"id": "good", "when": {"cel": "wallet.trust_framework == 'eidas' && wallet.age >= 18"}, "goto": "end"},
        ], "else": "no"},
        "end": {"type": "decide", "rule": "fold"}, "no": {"type": "decide", "set": "declined", "reason": "NOT_GOOD"},
    },
}


@pytest.fixture(scope="module")
def place():
    """Who issues."""
    with Demo(CONFIG) as running:
        made = running.operator().post("/api/admin/v1/clients", json={
            "name": "Pocket", "token_endpoint_auth_method": "none", "redirect_uris": ["http://127.0.0.1/cb"],
            "scopes": ["openid", "verified_person"], "grant_types": ["authorization_code", "refresh_token", PRE_AUTHORIZED],
        })
        running.pocket = made.json()["client"]["client_id"]
        yield running
        assert "panicked" not in running.log()


def trusting(place):
    return DEMO + f"""
[egress]
allow = ["127.0.0.0/8", "::1/128"]
ca = "{place.data}/ca.pem"
[[verification.issuer]]
issuer = "{place.issuer}"
types = ["{VCT}"]
identity = ["{VCT}"]
"""


@pytest.fixture(scope="module")
def verifier(place):
    """Who asks, elsewhere."""
    with Demo(trusting(place)) as running:
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
def there(verifier):
    return verifier.operator(scope="idv")


@pytest.fixture(scope="module")
def workflow(idv):
    return published(idv, GRAPH)


@pytest.fixture
def erika(place, verifier, idv, workflow, german, tmp_path):
    person = Person(place).verified(idv, workflow, german)
    both = tmp_path / "both.pem"
    both.write_text((place.data / "ca.pem").read_text() + (verifier.data / "ca.pem").read_text())
    person.wallet.web = Web(both)
    person.receive()
    return person


@pytest.fixture(scope="module")
def trusted(place, verifier):
    return [one for at in (place, verifier) for one in x509.load_pem_x509_certificates((at.data / "ca.pem").read_bytes())]


def ask(client, query=AGE, status=201, **more):
    answer = client.post(PATH, json={"dcql_query": query, **more})
    assert answer.status_code == status, answer.text
    return answer.json()


def came(client, asked):
    return client.get(f"{PATH}/{asked['id']}").json()


def said(refusal):
    done, body = refusal
    return done, json.loads(body).get("error_description")


def test_only_what_is_asked_for_is_shown(verifier, there, erika, trusted):
    asked = ask(there)
    assert asked["status"] == "pending" and asked["credentials"] == [] and asked["url"].startswith("openid4vp://?client_id=x509_hash")
    done, body = erika.wallet.show(asked["url"], trusted)
    assert (done, json.loads(body)) == (200, {})
    seen = came(there, asked)
    assert seen["status"] == "answered" and "url" not in seen
    assert seen["credentials"] == [{
        "query": "adult", "issuer": erika.place.issuer, "vct": VCT, "assurance": "cryptographic",
        "claims": {"age_equal_or_over": {"18": True}},
    }]
    # More than was asked for is not kept.
    asked = ask(there)
    request = erika.wallet.request(asked["url"], trusted)
    all_of_it = {text for text, _ in erika.wallet.credentials[0].disclosures.values()}
    token = {"adult": [erika.wallet.credentials[0].show(all_of_it, request["client_id"], request["nonce"])]}
    form = {"vp_token": json.dumps(token), "state": request["state"]}
    assert erika.wallet.web.ask(request["response_uri"], form=form)[0] == 200
    assert came(there, asked)["credentials"][0]["claims"] == {"age_equal_or_over": {"18": True}}
    # Once answered it is over, and it can be forgotten.
    assert erika.wallet.web.ask(request["response_uri"], form=form)[0] == 404
    with pytest.raises(Refused):
        erika.wallet.request(asked["url"], trusted)
    assert there.delete(f"{PATH}/{asked['id']}").status_code == 204
    assert there.get(f"{PATH}/{asked['id']}").status_code == 404
    entries = verifier.audit()
    mine = [entry for entry in entries if entry.get("unmapped", {}).get("check") == "credential"]
    assert {entry["unmapped"]["status"] for entry in mine} >= {"asked", "passed", "erased"}
    assert "ERIKA" not in json.dumps(entries) and asked["id"] in {entry["entity"]["uid"] for entry in mine}


ALONE = "/idv/v1/checks/sd-jwt"


def test_a_credential_is_verified_alone(verifier, there, erika):
    """One that somebody else asked for, with their nonce."""
    credential = erika.wallet.credentials[0]
    terms = {"audience": "https://shop.example", "nonce": "n-4711"}
    text = credential.show(Wallet.needed(credential, AGE["credentials"][0]["claims"][0]), **terms)
    answer = there.post(ALONE, json={"presentation": text, **terms})
    assert answer.status_code == 200, answer.text
    seen = answer.json()
    assert (seen["check"], seen["status"], seen["assurance"], seen["reasons"]) == ("sd-jwt", "passed", "cryptographic", [])
    assert (seen["issuer"], seen["vct"]) == (erika.place.issuer, VCT) and seen["holder"]
    assert seen["claims"]["age_equal_or_over"] == {"18": True} and "given_name" not in seen["claims"]
    entry = next(e for e in verifier.audit() if e.get("entity", {}).get("uid") == seen["id"])
    assert entry["unmapped"]["status"] == "passed" and seen["inputs_hash"] in json.dumps(entry)
    # For somebody else, with another nonce, or not as it was signed, it is nothing.
    head, rest = text.split("~", 1)
    for more, code in [
        ({"audience": "https://evil.example"}, "presented_elsewhere"), ({"nonce": "n-4712"}, ""),
        ({"presentation": head[:-6] + "AAAAAA~" + rest}, ""), ({"presentation": head}, ""),
        ({"presentation": text.rsplit("~", 1)[0] + "~"}, ""), ({"presentation": "x" * 200_000}, ""), ({"presentation": ""}, ""),
    ]:
        refused = there.post(ALONE, json={"presentation": text, **terms, **more})
        assert refused.status_code == 200, refused.text
        seen = refused.json()
        assert seen["status"] == "failed" and code in seen["reasons"][0]["code"], (more, seen)
        assert not {"issuer", "claims", "holder"} & set(seen)
    for more in ({"nonce": ""}, {"audience": "a" * 257}, {"more": 1}):
        assert there.post(ALONE, json={"presentation": text, **terms, **more}).status_code in (400, 422)
    assert verifier.operator(scope="aml").post(ALONE, json={"presentation": text, **terms}).status_code == 403


def test_who_trusts_nobody_verifies_nothing():
    with Demo() as running:
        body = {"presentation": "x", "audience": "a", "nonce": "n"}
        assert running.operator(scope="idv").post(ALONE, json=body).status_code == 409


def test_the_request_is_signed_by_who_it_says(verifier, there, trusted, erika, place):
    asked = ask(there)
    request = erika.wallet.request(asked["url"], trusted)
    assert request["aud"] == "https://self-issued.me/v2" and request["response_mode"] == "direct_post"
    assert request["dcql_query"] == AGE and request["exp"] - request["iat"] == 600
    assert request["response_uri"].startswith(verifier.issuer)
    only_issuer = x509.load_pem_x509_certificates((place.data / "ca.pem").read_bytes())
    with pytest.raises(Refused):
        erika.wallet.request(asked["url"], only_issuer)
    with pytest.raises(Refused):
        erika.wallet.request(asked["url"].replace("x509_hash%3A", "x509_hash%3AA"), trusted)


@pytest.fixture
def forge(there, erika, trusted):
    """Answers a request with what `make` makes of its terms and the credential."""

    def answer(make, query=AGE, asked=None):
        asked = asked or ask(there, query)
        request = erika.wallet.request(asked["url"], trusted)
        token = make(request, erika.wallet.credentials[0])
        form = {"vp_token": token if isinstance(token, str) else json.dumps(token), "state": request["state"]}
        return said(erika.wallet.web.ask(request["response_uri"], form=form)), asked

    return answer


def honest(request, credential, **more):
    needed = Wallet.needed(credential, AGE["credentials"][0]["claims"][0])
    terms = {"audience": request["client_id"], "nonce": request["nonce"], **more}
    return credential.show(needed, **terms)


def forged_age(request, credential):
    """Somebody else's disclosure in the place of one."""
    text = honest(request, credential).rsplit("~", 1)[0]
    lie = encode(json.dumps(["c2FsdA", "18", True]).encode())
    shown = text + "~" + lie + "~"
    return Credential(shown, credential.key).show({lie}, request["client_id"], request["nonce"])


def resigned(request, credential):
    """Signed by somebody who says to be the issuer."""
    other = Key()
    jwt = other.sign(credential.header, {**credential.payload, "cnf": {"jwk": credential.key.jwk()}})
    return honest(request, Credential("~".join([jwt, *credential.text.split("~")[1:]]), credential.key))


@pytest.mark.parametrize("make, code", [
    (lambda request, held: {"adult": [held.text]}, "holder_not_proven"),
    (lambda request, held: {"adult": [honest(request, Credential(held.text, Key()))]}, "holder_not_proven"),
    (lambda request, held: {"adult": [honest(request, held, audience="https://other.example")]}, "presented_elsewhere"),
    (lambda request, held: {"adult": [honest(request, held, nonce="other")]}, "presented_elsewhere"),
    (lambda request, held: {"adult": [honest(request, held, now=time.time() - 400)]}, "presentation_stale"),
    (lambda request, held: {"adult": [forged_age(request, held)]}, "disclosure_invalid"),
    (lambda request, held: {"adult": [resigned(request, held)]}, "signature_invalid"),
    (lambda request, held: {"adult": [held.show(set(), request["client_id"], request["nonce"])]}, "claim_missing"),
    (lambda request, held: {"adult": [honest(request, held)] * 2}, "credential_repeated"),
    (lambda request, held: {"other": [honest(request, held)]}, "credential_missing"),
    (lambda request, held: {}, "credential_missing"),
    (lambda request, held: {"adult": honest(request, held)}, "response_malformed"),
    (lambda request, held: "not json", "response_malformed"),
    (lambda request, held: {"adult": ["x"]}, "credential_malformed"),
    (lambda request, held: {"adult": ["~" * 100]}, "holder_not_proven"),
])
def test_lies_are_refused(there, forge, make, code):
    came_of, asked = forge(make)
    assert came_of == (400, code)
    seen = came(there, asked)
    assert (seen["status"], seen["refused"], seen["credentials"]) == ("pending", code, [])
    # Whoever does it right afterwards is heard.
    (done, _), _ = forge(lambda request, held: {"adult": [honest(request, held)]}, asked=asked)
    assert done == 200 and came(there, asked)["status"] == "answered"


def test_issuers_that_nobody_trusts_are_none(there, forge, erika):
    def stranger(request, held, **more):
        issuer, key = Key(), Key()
        payload = {**held.payload, "iss": "https://127.0.0.1:9", "cnf": {"jwk": key.jwk()}, **more}
        jwt = issuer.sign(held.header, payload)
        return {"adult": [honest(request, Credential("~".join([jwt, *held.text.split("~")[1:]]), key))]}

    assert forge(stranger)[0] == (400, "issuer_not_trusted")
    other_type = lambda request, held: stranger(request, held, iss=erika.place.issuer, vct="urn:other")  # noqa: E731
    assert forge(other_type)[0] == (400, "issuer_not_trusted")
    hidden = lambda request, held: stranger(request, held, iss=["x"])  # noqa: E731
    assert forge(hidden)[0] == (400, "issuer_not_trusted")


def test_what_was_revoked_does_not_count(place, erika):
    held = erika.own().get("/api/account/v1/me/credentials").json()["items"][0]
    assert erika.own().delete(f"/api/account/v1/me/credentials/{held['id']}").status_code == 204
    until(lambda: status(place, erika.wallet.credentials[0]) == 1, "the list")
    # Lists are kept for as long as they say: this one knows none from before.
    with Demo(trusting(place)) as fresh:
        client = fresh.operator(scope="idv")
        both = [*x509.load_pem_x509_certificates((fresh.data / "ca.pem").read_bytes())]
        (fresh.data / "both.pem").write_text((place.data / "ca.pem").read_text() + (fresh.data / "ca.pem").read_text())
        erika.wallet.web = Web(fresh.data / "both.pem")
        asked = ask(client)
        assert said(erika.wallet.show(asked["url"], both)) == (400, "credential_revoked")
        assert came(client, asked)["status"] == "pending"


def test_who_cannot_be_asked_vouches_for_nobody(place, erika):
    """The issuer trusts itself; somebody else cannot reach it."""
    config = "\n".join(line for line in trusting(place).splitlines() if not line.startswith("ca ="))
    with Demo(config) as blind:
        client = blind.operator(scope="idv")
        (blind.data / "both.pem").write_text((place.data / "ca.pem").read_text() + (blind.data / "ca.pem").read_text())
        erika.wallet.web = Web(blind.data / "both.pem")
        both = [*x509.load_pem_x509_certificates((blind.data / "ca.pem").read_bytes())]
        assert said(erika.wallet.show(ask(client)["url"], both)) == (400, "issuer_unavailable")


def test_guessing_ends_and_times_run_out(there, forge, erika, trusted):
    asked = ask(there)
    for _ in range(5):
        assert forge(lambda request, held: {"adult": ["x"]}, asked=asked)[0] == (400, "credential_malformed")
        if came(there, asked)["status"] == "expired":
            break
    assert came(there, asked)["status"] == "expired"
    with pytest.raises(Refused):
        erika.wallet.request(asked["url"], trusted)
    # The holder says no.
    asked = ask(there)
    request = erika.wallet.request(asked["url"], trusted)
    assert said(erika.wallet.web.ask(request["response_uri"], form={"error": "access_denied", "state": "x"})) == (400, "state_wrong")
    assert said(erika.wallet.web.ask(request["response_uri"], form={"error": "access_denied", "state": request["state"]})) == (400, "access_denied")
    # Nothing proves that it was them: they may think better of it.
    assert (came(there, asked)["status"], came(there, asked)["refused"]) == ("pending", "access_denied")
    assert erika.wallet.show(asked["url"], trusted)[0] == 200
    other = ask(there)
    request = erika.wallet.request(other["url"], trusted)
    web = erika.wallet.web
    for form in ({"state": request["state"]}, {"state": request["state"], "vp_token": "{}", "error": "x"}):
        assert said(web.ask(request["response_uri"], form=form)) == (400, "response_malformed")
    assert said(web.ask(request["response_uri"], body={"vp_token": "{}"})) == (400, "response_malformed")
    assert web.ask(request["response_uri"].replace(other["id"], "prs_nobody"), form={})[0] == 404
    assert web.ask(request["response_uri"].replace(other["id"], asked["id"][:-1] + "0"), form={})[0] == 404


def test_of_two_at_once_one_is_heard(there, erika, trusted):
    asked = ask(there)
    request = erika.wallet.request(asked["url"], trusted)
    token = json.dumps({"adult": [honest(request, erika.wallet.credentials[0])]})
    form = {"vp_token": token, "state": request["state"]}
    with ThreadPoolExecutor(8) as pool:
        came_of = list(pool.map(lambda _: erika.wallet.web.ask(request["response_uri"], form=form)[0], range(8)))
    assert sorted(came_of) == [200] + [404] * 7


@pytest.mark.parametrize("change, pointer", [
    (lambda asked: asked["dcql_query"].update(credentials=[]), "/dcql_query/credentials"),
    (lambda asked: asked["dcql_query"].update(more=1), "/dcql_query"),
    (lambda asked: asked["dcql_query"]["credentials"][0].update(format="mso_mdoc"), "/dcql_query/credentials/0/format"),
    (lambda asked: asked["dcql_query"]["credentials"][0]["meta"].update(vct_values=[]), "/dcql_query/credentials/0/meta/vct_values"),
    (lambda asked: asked["dcql_query"]["credentials"][0]["claims"][0].update(path=[None]), "/dcql_query/credentials/0/claims/0/path"),
    (lambda asked: asked.update(ttl_seconds=59), "/ttl_seconds"),
    (lambda asked: asked.update(ttl_seconds=3601), "/ttl_seconds"),
    (lambda asked: asked.update(dcql_query="x"), "/dcql_query"),
])
def test_other_queries_are_refused_where_they_are_wrong(there, change, pointer):
    asked = {"dcql_query": copy.deepcopy(AGE)}
    change(asked)
    answer = there.post(PATH, json=asked)
    assert answer.status_code == 422 and answer.json()["violations"][0]["pointer"] == pointer, answer.text


def test_who_trusts_nobody_asks_nobody():
    with Demo() as plain:
        answer = plain.operator(scope="idv").post(PATH, json={"dcql_query": AGE})
        assert answer.status_code == 409 and "no_issuers" in answer.json()["type"]


def test_our_own_are_known_without_asking_anybody(place, idv, erika, trusted):
    asked = ask(idv)
    assert erika.wallet.show(asked["url"], trusted)[0] == 200
    assert came(idv, asked)["credentials"][0]["issuer"] == place.issuer
    assert idv.delete(f"/idv/v1/accounts/{erika.id}/identities").status_code == 204
    asked = ask(idv)
    assert said(erika.wallet.show(asked["url"], trusted)) == (400, "credential_revoked")


def test_a_workflow_takes_a_proof_for_a_document(verifier, there, erika, trusted):
    flow = published(there, PERSON)
    session = begin(there, flow, expected={"surname": "Mustermann", "nationality": "DEU"})
    browser = verifier.client(f"127.46.0.{uuid.uuid4().int % 200 + 1}")
    page = browser.get(session["url"].removeprefix(verifier.issuer))
    assert "a wallet with a proof of who you are" in page.text
    page = browser.post("/verify", data=fields(page.text))
    page = browser.get(page.headers["location"])
    assert "Show a proof of who you are" in page.text and "openid4vp" not in page.text
    given = {name: fields(page.text)[name] for name in ("csrf", "node", "serial", "wallet")}
    where = f"/verify/{session['id']}"
    assert browser.post(where, files={name: (None, value) for name, value in given.items()}).status_code == 303
    page = browser.get(where)
    link = html.unescape(re.search(r'id="request" href="([^"]+)"', page.text).group(1))
    assert 'alt="What is asked for' in page.text
    # Asking again is the same request.
    browser.post(where, files={name: (None, value) for name, value in given.items()})
    assert html.escape(link) in browser.get(where).text.replace("&#38;", "&amp;")
    state = browser.get(f"{where}/state").json()
    assert erika.wallet.show(link, trusted)[0] == 200
    settled(there, session, "approved")
    assert browser.get(f"{where}/state").json() != state
    reports = there.get(f"{SESSIONS}/{session['id']}/decision").json()
    report = next(one for one in reports["reports"] if one["node"] == "wallet")
    assert (report["status"], report["assurance"]) == ("passed", "cryptographic")
    assert "ERIKA" not in json.dumps(verifier.audit())


def test_a_proof_of_somebody_else_is_none(there, erika, trusted):
    flow = published(there, PERSON)
    for expected in ({"surname": "Somebody"}, {"nationality": "FRA"}, {"date_of_birth": "1964-08-13"}, {"given_names": "Eva"}):
        session = begin(there, flow, expected=expected)
        asked = give(there, session, node="wallet", credential={})["report"]
        # Whoever saw the code of somebody else cannot have them declined by their own.
        assert said(erika.wallet.show(asked["url"], trusted)) == (400, "field_differs")
        assert show(there, session)["awaiting"][0]["node"] == "wallet"
    # What is expected of a document no credential says: people look at it.
    session = begin(there, flow, expected={"surname": "mustermann", "document_number": "C01X00T47"})
    asked = give(there, session, node="wallet", credential={})["report"]
    assert erika.wallet.show(asked["url"], trusted)[0] == 200
    decided = settled(there, session, "in_review", "approved", "declined")
    reports = there.get(f"{SESSIONS}/{session['id']}/decision").json()["reports"]
    assert (reports[0]["status"], decided["status"]) == ("review", "in_review")
    session = begin(there, flow)
    give(there, session, 422, node="wallet", credential={}, unsupported="refused")
    give(there, session, 400, node="wallet", credential={"more": 1})
    give(there, session, 409, node="other", credential={})
    asked = give(there, session, node="wallet", credential={})["report"]
    # Whoever saw the code of somebody else cannot have them declined.
    request = erika.wallet.request(asked["url"], trusted)
    for _ in range(5):
        assert said(erika.wallet.web.ask(request["response_uri"], form={"vp_token": "{}", "state": request["state"]}))[0] == 400
    assert erika.wallet.web.ask(request["response_uri"], form={"vp_token": "{}", "state": request["state"]})[0] == 404
    assert show(there, session)["awaiting"][0]["node"] == "wallet"
    again = give(there, session, node="wallet", credential={})["report"]
    assert again["url"] != asked["url"]
    give(there, session, node="wallet", unsupported="no_wallet")
    assert erika.wallet.web.ask(request["response_uri"], form={"vp_token": "{}", "state": request["state"]})[0] == 404
    late = erika.wallet.show(again["url"], trusted)
    assert late[0] == 404 and settled(there, session, "declined")


def test_a_person_with_a_browser_and_a_wallet(place, idv, workflow, german, tmp_path):
    """Both ends in one installation: a proof from the page of the account, shown instead of a document."""
    person = Person(place).verified(idv, workflow, german)
    session = begin(idv, published(idv, PERSON))
    served = ssl.get_server_certificate(("127.0.0.1", place.ports["PUBLIC"]))
    key = x509.load_pem_x509_certificate(served.encode()).public_key()
    pinned = base64.b64encode(hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest())
    todo = {"issuer": place.issuer, "username": person.name, "password": PASSWORD, "session": session["url"]}
    command = ["node", "browser_wallet.mjs", pinned.decode(), str(tmp_path / "pictures"), json.dumps(todo)]
    browser = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    ours = x509.load_pem_x509_certificates((place.data / "ca.pem").read_bytes())
    try:
        line = browser.stdout.readline()
        assert line, browser.stderr.read()
        person.wallet.receive(json.loads(line)["link"], place.pocket, person.code_by_mail())
        print("there", file=browser.stdin, flush=True)
        line = browser.stdout.readline()
        assert line, browser.stderr.read()
        assert person.wallet.show(json.loads(line)["link"], ours)[0] == 200
        print("shown", file=browser.stdin, flush=True)
        rest, errors = browser.communicate(timeout=120)
        assert browser.returncode == 0, errors
    finally:
        browser.kill()
        browser.wait()
    told = json.loads(rest)
    assert told["complaints"] == [] and len(told["seen"]) == 2 * 7
    for page in told["seen"]:
        where = (page["what"], page["scheme"])
        assert page["violations"] == [], where
        assert page["passes"] >= 10 and page["overflow"] <= 0, where
    settled(idv, session, "approved")


def test_a_request_outlives_its_server(verifier, there, erika, trusted):
    asked = ask(there)
    verifier.server.kill()
    verifier.server.wait()
    verifier.start()
    assert erika.wallet.show(asked["url"], trusted)[0] == 200
    assert came(verifier.operator(scope="idv"), asked)["status"] == "answered"
