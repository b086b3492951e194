"""Credentials in wallets (OpenID for Verifiable Credential Issuance 1.0, SD-JWT VC): offered by a page, taken by the
wallet of the examples, checked by the implementation of the authors of SD-JWT, revoked in every way there is."""

import base64
import html
import json
import re
import sys
import time
import uuid
import zlib
from pathlib import Path

import pytest
from jwcrypto.jwk import JWK
from sd_jwt.verifier import SDJWTVerifier

from portcullis import DEMO, Demo, bearer, code_of, fields, log_in, pkce, tokens, until
from test_documents import Passport, trust
from test_verified_claims import GRAPH
from test_workflows import begin, give, published, settled

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))
from wallet import PRE_AUTHORIZED, Credential, Key, Refused, Wallet, Web  # noqa: E402

CONFIG = DEMO + '\n[verification]\ntrust_frameworks = ["eidas"]\n[verification.credentials]\nlifetime = "30d"\n'
VCT = "urn:portcullis:verified-person:1"
PASSWORD = "plum rivet otter canvas"


@pytest.fixture(scope="module")
def place():
    with Demo(CONFIG) as running:
        made = running.operator().post("/api/admin/v1/clients", json={
            "name": "Pocket", "token_endpoint_auth_method": "none", "redirect_uris": ["http://127.0.0.1/cb"],
            "scopes": ["openid", "verified_person"], "client_id": "pocket",
            "grant_types": ["authorization_code", "refresh_token", PRE_AUTHORIZED],
        })
        assert made.status_code == 201, made.text
        running.pocket = made.json()["client"]["client_id"]
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
def workflow(idv):
    return published(idv, GRAPH)


class Person:
    """Somebody with an account, a browser and a wallet."""

    number = 1

    def __init__(self, place):
        Person.number += 1
        self.place, self.name = place, f"erika{uuid.uuid4().hex[:8]}"
        self.email = f"{self.name}@example.org"
        place.new_user(self.name, PASSWORD)
        users = place.operator().get("/api/admin/v1/users", params={"limit": 200}).json()["items"]
        self.id = next(user["id"] for user in users if user["username"] == self.name)
        self.browser = place.client(f"127.45.0.{Person.number}")
        assert log_in(self.browser, self.name, PASSWORD).status_code == 303
        self.wallet = Wallet(Web(place.data / "ca.pem"))

    def verified(self, idv, workflow, german):
        session = begin(idv, workflow, account=self.id)
        give(idv, session, node="chip", emrtd=german.read())
        settled(idv, session, "approved")
        self.session = session
        return self

    def ask(self):
        page = self.browser.get("/account/wallet")
        assert page.status_code == 200, page.text
        return self.browser.post("/account/wallet", data={"csrf": fields(page.text)["csrf"]})

    def offer(self):
        """An offer, and the code that comes by mail."""
        before = len(self.codes())
        page = self.ask()
        assert page.status_code == 200, page.text
        return html.unescape(re.search(r'id="offer" href="([^"]+)"', page.text).group(1)), self.code_by_mail(before)

    def codes(self):
        return [mail for mail in self.place.mails(self.email) if mail["subject"] == "The code for your wallet"]

    def code_by_mail(self, before=0):
        mails = until(lambda: len(found := self.codes()) > before and found, "the mail with the code")
        return re.search(r"\b\d{6}\b", mails[-1].get_content()).group(0)

    def receive(self, **more):
        offer, code = self.offer()
        return self.wallet.receive(offer, self.place.pocket, code, **more)[0]

    def token(self):
        offer, code = self.offer()
        grant = self.wallet.read_offer(offer)["grants"][PRE_AUTHORIZED]
        answer = self.redeem(grant["pre-authorized_code"], code)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def redeem(self, code, tx_code, **more):
        form = {"grant_type": PRE_AUTHORIZED, "client_id": self.place.pocket, "pre-authorized_code": code, "tx_code": tx_code, **more}
        return self.browser.post("/oauth2/token", data={name: value for name, value in form.items() if value is not None})

    def own(self):
        client = self.place.client()
        client.headers.update(bearer(tokens(self.place, {"username": self.name, "password": PASSWORD})["access_token"]))
        return client


@pytest.fixture
def erika(place, idv, workflow, german):
    return Person(place).verified(idv, workflow, german)


def nonce(place):
    return place.client().post("/credentials/nonce").json()["c_nonce"]


def proof(place, key=None, **more):
    key = key or Key()
    said = {"iss": place.pocket, "aud": place.issuer, "iat": int(time.time()), "nonce": nonce(place), **more}
    header = {"typ": said.pop("typ", "openid4vci-proof+jwt"), "jwk": said.pop("jwk", key.jwk()), **said.pop("header", {})}
    return key.sign(header, {name: value for name, value in said.items() if value is not None})


def ask(place, token, body):
    return place.client().post("/credentials/issue", json=body, headers=bearer(token["access_token"]))


def wish(*proofs, **more):
    return {"credential_configuration_id": "verified_person", "proofs": {"jwt": list(proofs)}, **more}


def status(place, credential):
    """The bit of a credential in its list, read here and not by the product."""
    entry = credential.payload["status"]["status_list"]
    # From anywhere: who asks again and again from one address is told to wait.
    source = uuid.uuid4().bytes
    answer = place.client(f"127.47.{source[0]}.{source[1] % 254 + 1}").get(entry["uri"].removeprefix(place.issuer))
    assert answer.headers["content-type"] == "application/statuslist+jwt"
    _, payload, _ = answer.text.split(".")
    said = json.loads(base64.urlsafe_b64decode(payload + "=="))
    assert said["sub"] == entry["uri"] and said["iss"] == place.issuer and said["status_list"]["bits"] == 1
    packed = said["status_list"]["lst"]
    bits = zlib.decompress(base64.urlsafe_b64decode(packed + "=" * (-len(packed) % 4)))
    return bits[entry["idx"] // 8] >> (entry["idx"] % 8) & 1


def test_the_metadata_says_what_there_is(place):
    client = place.client()
    said = client.get("/.well-known/openid-credential-issuer").json()
    offered = said["credential_configurations_supported"]["verified_person"]
    assert said["credential_issuer"] == place.issuer and offered["vct"] == VCT and offered["format"] == "dc+sd-jwt"
    assert said["nonce_endpoint"] == f"{place.issuer}/credentials/nonce"
    keys = client.get("/.well-known/jwt-vc-issuer").json()
    assert keys["issuer"] == place.issuer and [key["alg"] for key in keys["jwks"]["keys"]] == ["ES256"]
    # Nobody takes a credential for a token: the keys are not those of tokens.
    kid = keys["jwks"]["keys"][0]["kid"]
    assert kid not in [key["kid"] for key in client.get("/oauth2/jwks").json()["keys"]]
    assert PRE_AUTHORIZED in client.get("/.well-known/openid-configuration").json()["grant_types_supported"]
    with Demo() as plain:
        other = plain.client()
        for path in ("/.well-known/openid-credential-issuer", "/.well-known/jwt-vc-issuer"):
            assert other.get(path).status_code == 404
        assert other.post("/credentials/nonce").status_code == 404


@pytest.mark.parametrize("dpop", [False, True])
def test_a_wallet_takes_what_it_is_offered(place, erika, dpop):
    first, second = erika.receive(how_many=2, dpop=dpop)
    for credential in (first, second):
        said = credential.payload
        assert said["vct"] == VCT and said["iss"] == place.issuer and "sub" not in said
        assert said["verification"] == {"trust_framework": "eidas", "assurance_level": "substantial"}
        assert said["exp"] - said["iat"] == 30 * 24 * 3600 and said["iat"] % 3600 == 0
        assert "given_name" not in said and len(said["_sd"]) == 8 and status(place, credential) == 0
    # Two that nobody can tell to be of one person.
    assert first.payload["cnf"] != second.payload["cnf"] and not set(first.payload["_sd"]) & set(second.payload["_sd"])
    assert first.payload["status"] != second.payload["status"]
    # As the authors of SD-JWT read it.
    keys = place.client().get("/.well-known/jwt-vc-issuer").json()["jwks"]["keys"]
    shown = first.show({text for text, _ in first.disclosures.values()}, "https://rp.example", "n0nce")
    read = SDJWTVerifier(shown, lambda issuer, header: JWK(**keys[0]), "https://rp.example", "n0nce").get_verified_payload()
    assert (read["given_name"], read["family_name"], read["birthdate"]) == ("ERIKA", "MUSTERMANN", "1964-08-12")
    assert read["nationalities"] == ["DE"] and read["age_equal_or_over"]["18"] is True and read["age_equal_or_over"]["65"] is False
    assert read["check_methods"] == ["vcrypt"] and read["document"]["type"] in ("passport", "idcard")
    assert erika.session["id"] not in json.dumps(read), "nothing tells one verification from another"
    less = first.show(set(), "https://rp.example", "n0nce")
    read = SDJWTVerifier(less, lambda issuer, header: JWK(**keys[0]), "https://rp.example", "n0nce").get_verified_payload()
    assert not set(read) & {"given_name", "birthdate", "nationalities", "age_equal_or_over", "document", "check_methods"}


def test_a_wallet_can_ask_by_itself(place, erika):
    verifier, challenge = pkce()
    query = {"response_type": "code", "client_id": place.pocket, "redirect_uri": "http://127.0.0.1/cb", "scope": "verified_person",
             "state": "s", "code_challenge": challenge, "code_challenge_method": "S256"}
    page = erika.browser.get("/oauth2/authorize", params=query)
    assert page.status_code == 200 and "keep a proof of who you are" in page.text
    answer = erika.browser.post("/oauth2/consent", data={**fields(page.text), "decision": "allow"})
    token = erika.browser.post("/oauth2/token", data={
        "grant_type": "authorization_code", "code": code_of(answer)["code"][0], "redirect_uri": "http://127.0.0.1/cb",
        "client_id": place.pocket, "code_verifier": verifier,
    }).json()
    assert token["scope"] == "verified_person"
    key = Key()
    made = ask(place, token, wish(proof(place, key)))
    assert made.status_code == 200 and made.headers["cache-control"] == "no-store"
    assert Credential(made.json()["credentials"][0]["credential"], key).payload["cnf"]["jwk"] == key.jwk()
    told = [mail["subject"] for mail in place.mails(erika.email)]
    until(lambda: "A proof of who you are was put into a wallet" in [mail["subject"] for mail in place.mails(erika.email)], f"a mail beside {told}")
    # Whoever finds the browser open is asked all the same, for a client of the house as well.
    assert "keep a proof of who you are" in erika.browser.get("/oauth2/authorize", params=query).text
    # It renews them as long as it is let.
    again = erika.browser.post("/oauth2/token", data={"grant_type": "refresh_token", "client_id": place.pocket, "refresh_token": token["refresh_token"]})
    assert ask(place, again.json(), wish(proof(place))).status_code == 200


def test_an_offer_is_for_one_wallet_and_one_code(place, erika):
    offer, code = erika.offer()
    grant = erika.wallet.read_offer(offer)["grants"][PRE_AUTHORIZED]
    assert grant["tx_code"] == {"input_mode": "numeric", "length": 6}
    secret = grant["pre-authorized_code"]
    assert erika.redeem(secret, None).json()["error"] == "invalid_request"
    assert erika.redeem(None, code).json()["error"] == "invalid_request"
    assert erika.redeem("x" * 43, code).json()["error"] == "invalid_grant"
    assert erika.redeem(secret, "nope").json()["error"] == "invalid_grant"
    token = erika.redeem(secret, code)
    assert token.status_code == 200 and "id_token" not in token.json()
    made = wish(proof(place))
    assert ask(place, token.json(), made).status_code == 200
    # Whoever only saw the offer can do nothing about it.
    assert erika.redeem(secret, "zzz").json()["error"] == "invalid_grant"
    key = Key()
    made = ask(place, token.json(), wish(proof(place, key)))
    held = Credential(made.json()["credentials"][0]["credential"], key)
    # Used twice: one of both is a thief, and what either of them got counts no longer.
    assert erika.redeem(secret, code).json()["error"] == "invalid_grant"
    assert ask(place, token.json(), wish(proof(place))).status_code == 401
    until(lambda: status(place, held) == 1, "the list")
    # The one before works no longer, and guessing ends soon.
    old, old_code = erika.offer()
    new, new_code = erika.offer()
    old = erika.wallet.read_offer(old)["grants"][PRE_AUTHORIZED]["pre-authorized_code"]
    new = erika.wallet.read_offer(new)["grants"][PRE_AUTHORIZED]["pre-authorized_code"]
    assert erika.redeem(old, old_code).json()["error"] == "invalid_grant"
    for guess in range(5):
        assert erika.redeem(new, f"{guess}").json()["error"] == "invalid_grant"
    assert erika.redeem(new, new_code).json()["error"] == "invalid_grant"
    entries = until(lambda: len(found := [
        entry for entry in place.audit() if entry.get("status_detail") == "tx_code_wrong"
    ]) >= 6 and found, "the guesses in the log")
    assert entries[-1]["metadata"]["event_code"] == "authn_token_issue"


def test_an_offer_ends_with_its_login(place, erika):
    offer, code = erika.offer()
    secret = erika.wallet.read_offer(offer)["grants"][PRE_AUTHORIZED]["pre-authorized_code"]
    page = erika.browser.get("/account")
    assert erika.browser.post("/logout", data={"csrf": fields(page.text)["csrf"]}).status_code == 303
    assert erika.redeem(secret, code).json()["error"] == "invalid_grant"


def test_a_wallet_holds_so_many_and_all_of_them_can_be_ended(place, erika):
    token = erika.token()
    for _ in range(10):
        keys = [Key() for _ in range(10)]
        one = nonce(place)
        assert ask(place, token, wish(*[proof(place, key, nonce=one) for key in keys])).status_code == 200
    full = ask(place, token, wish(proof(place)))
    assert full.json()["error"] == "credential_request_denied" and "as many as it may" in full.text
    own = erika.own()
    held = own.get("/api/account/v1/me/credentials").json()["items"]
    assert len(held) == 100 and not any(one["revoked"] for one in held)
    export = own.get("/api/account/v1/me/export").json()["credentials_in_wallets"]
    assert {one["id"] for one in export} == {one["id"] for one in held}
    assert own.delete(f"/api/account/v1/me/applications/{place.pocket}").status_code == 204
    held = own.get("/api/account/v1/me/credentials").json()["items"]
    assert len(held) == 100 and all(one["revoked"] for one in held)
    # The next one comes first.
    erika.receive()
    held = own.get("/api/account/v1/me/credentials").json()["items"]
    assert len(held) == 101 and not held[0]["revoked"]


def test_devices_without_a_browser_are_no_wallets(place):
    made = place.operator().post("/api/admin/v1/clients", json={
        "name": "Box", "token_endpoint_auth_method": "none", "redirect_uris": [], "scopes": ["openid", "verified_person"],
        "grant_types": ["urn:ietf:params:oauth:grant-type:device_code"],
    }).json()["client"]["client_id"]
    answer = place.client().post("/oauth2/device_authorization", data={"client_id": made, "scope": "openid verified_person"})
    assert answer.status_code == 400 and answer.json()["error"] == "invalid_scope"


def test_lists_have_one_address(place, erika):
    credential = erika.receive()[0]
    path = credential.payload["status"]["status_list"]["uri"].removeprefix(place.issuer)
    number = path.rsplit("/", 1)[1]
    client = place.client()
    assert client.get(path).status_code == 200
    for other in (f"0{number}", f"+{number}", "0", "-1", "x", "9" * 30, "7777"):
        answer = client.get(f"/credentials/status/{other}")
        assert answer.status_code == 404 and not answer.content, other


def test_clients_need_the_grant_and_the_scope(place, erika):
    offer, code = erika.offer()
    secret = erika.wallet.read_offer(offer)["grants"][PRE_AUTHORIZED]["pre-authorized_code"]
    web = place.facts()["clients"]["web"]["client_id"]
    assert erika.redeem(secret, code, client_id=web).json()["error"] == "unauthorized_client"
    made = place.operator().post("/api/admin/v1/clients", json={
        "name": "Narrow", "token_endpoint_auth_method": "none", "redirect_uris": ["http://127.0.0.1/cb"],
        "scopes": ["openid"], "grant_types": ["authorization_code", PRE_AUTHORIZED],
    }).json()["client"]["client_id"]
    assert erika.redeem(secret, code, client_id=made).json()["error"] == "invalid_scope"
    assert erika.redeem(secret, code).status_code == 200


@pytest.fixture(scope="module")
def token(place, idv, workflow, german):
    return Person(place).verified(idv, workflow, german).token()


OTHER = Key()


@pytest.mark.parametrize("change, error", [
    (lambda place: {"proofs": None}, "invalid_proof"),
    (lambda place: {"proofs": {"jwt": []}}, "invalid_proof"),
    (lambda place: {"proofs": {"jwt": ["x"]}}, "invalid_proof"),
    (lambda place: wish(proof(place, typ="dpop+jwt")), "invalid_proof"),
    (lambda place: wish(proof(place, aud="https://other.example")), "invalid_proof"),
    (lambda place: wish(proof(place, iss="other")), "invalid_proof"),
    (lambda place: wish(proof(place, iat=int(time.time()) - 400)), "invalid_proof"),
    (lambda place: wish(proof(place, iat=int(time.time()) + 400)), "invalid_proof"),
    (lambda place: wish(proof(place, jwk=OTHER.jwk())), "invalid_proof"),
    (lambda place: wish(proof(place, OTHER), proof(place, OTHER)), "invalid_proof"),
    (lambda place: wish(*[proof(place, nonce="x") for _ in range(11)]), "invalid_proof"),
    (lambda place: wish(proof(place, header={"kid": "x"})), "invalid_proof"),
    (lambda place: wish(proof(place, header={"x5c": ["x"]})), "invalid_proof"),
    (lambda place: wish(proof(place, nonce=None)), "invalid_nonce"),
    (lambda place: wish(proof(place, nonce="x")), "invalid_nonce"),
    (lambda place: wish(proof(place), proof(place)), "invalid_nonce"),
    (lambda place: wish(proof(place), credential_configuration_id="other"), "unknown_credential_configuration"),
    (lambda place: wish(proof(place), credential_configuration_id=None), "invalid_credential_request"),
    (lambda place: wish(proof(place), credential_identifier="x"), "unknown_credential_identifier"),
    (lambda place: wish(proof(place), credential_response_encryption={"alg": "x"}), "invalid_encryption_parameters"),
    (lambda place: {"proofs": {"jwt": ["x"], "cwt": []}}, "invalid_credential_request"),
    (lambda place: [], "invalid_credential_request"),
    (lambda place: ["verified_person", None, {"jwt": ["x"]}, None], "invalid_credential_request"),
])
def test_other_requests_are_refused(place, token, change, error):
    body = change(place)
    if isinstance(body, dict):
        body = {name: value for name, value in {**wish(), **body}.items() if value is not None}
    answer = ask(place, token, body)
    assert answer.status_code == 400 and answer.json()["error"] == error, answer.text
    assert "panicked" not in place.log()


def test_a_nonce_works_once_and_tokens_need_the_scope(place, token, erika):
    made = proof(place)
    assert ask(place, token, wish(made)).status_code == 200
    assert ask(place, token, wish(made)).json()["error"] == "invalid_nonce"
    client = place.client()
    assert client.post("/credentials/issue", json=wish(made)).status_code == 401
    plain = tokens(place, {"username": erika.name, "password": PASSWORD})
    answer = ask(place, plain, wish(made))
    assert answer.status_code == 403 and "verified_person" in answer.headers["www-authenticate"]
    broken = client.post("/credentials/issue", content=b'{"proofs":{"jwt":["a"]},"proofs":1}', headers={**bearer(token["access_token"]), "content-type": "application/json"})
    assert broken.status_code == 400 and broken.json()["error"] == "invalid_credential_request"


def test_who_was_not_verified_gets_none(place):
    person = Person(place)
    page = person.ask()
    assert page.status_code == 422 and "Nobody has verified" in page.text
    page = person.browser.get("/account/wallet", headers={"accept-language": "de"})
    assert "Nachweise in Wallets" in page.text
    assert person.place.client().get("/account/wallet").status_code == 303


def test_each_way_of_taking_it_back_is_seen_in_the_list(place, idv, workflow, german):
    person = Person(place).verified(idv, workflow, german)
    first, second = person.receive(how_many=2)
    # By its owner, through the API and on the page.
    own = person.own()
    held = own.get("/api/account/v1/me/credentials").json()["items"]
    assert [one["revoked"] for one in held] == [False, False] and held[0]["client_id"] == place.pocket
    gone = held[0]["id"]
    assert own.delete(f"/api/account/v1/me/credentials/{gone}").status_code == 204
    assert own.delete(f"/api/account/v1/me/credentials/{gone}").status_code == 404
    until(lambda: sorted((status(place, first), status(place, second))) == [0, 1], "the list")
    page = person.browser.get("/account/wallet")
    form = {"csrf": fields(page.text)["csrf"], "credential": held[1]["id"]}
    assert "counts no longer" in page.text
    assert "learns that within minutes" in person.browser.post("/account/wallet/revoke", data=form).text
    until(lambda: status(place, first) == status(place, second) == 1, "the list")
    # Somebody else's is nobody's.
    assert Person(place).own().delete(f"/api/account/v1/me/credentials/{held[1]['id']}").status_code == 404
    # By an officer, and by another verification.
    third = person.receive()[0]
    assert status(place, third) == 0
    assert idv.delete(f"/idv/v1/accounts/{person.id}/identities").status_code == 204
    until(lambda: status(place, third) == 1, "the list")
    person.verified(idv, workflow, german)
    fourth = person.receive()[0]
    person.verified(idv, workflow, german)
    until(lambda: status(place, fourth) == 1, "the list")
    # With the session that found it, and with the account.
    fifth = person.receive()[0]
    assert idv.delete(f"/idv/v1/sessions/{person.session['id']}").status_code == 200
    until(lambda: status(place, fifth) == 1, "the list")
    person.verified(idv, workflow, german)
    sixth = person.receive()[0]
    until(lambda: status(place, sixth) == 0, "the list")
    operator = place.operator()
    assert operator.delete(f"/api/admin/v1/users/{person.id}").status_code == 204
    until(lambda: status(place, sixth) == 1, "the list")
    assert all(status(place, one) == 1 for one in (first, second, third, fourth, fifth))
    entries = place.audit("--subject", person.id)
    issued = [entry for entry in entries if entry["metadata"]["event_code"] == "authn_token_issue"]
    assert len(issued) >= 6 and "ERIKA" not in json.dumps(entries)


def test_a_forged_offer_is_not_followed(place, erika):
    offer = {"credential_issuer": "http://127.0.0.1:9", "credential_configuration_ids": ["x"], "grants": {PRE_AUTHORIZED: {"pre-authorized_code": "x"}}}
    with pytest.raises(Refused):
        erika.wallet.receive("openid-credential-offer://?credential_offer=" + json.dumps(offer), place.pocket)


def test_nobody_is_flooded_with_codes(place, idv, workflow, german):
    person = Person(place).verified(idv, workflow, german)
    answers = [person.ask() for _ in range(7)]
    assert [answer.status_code for answer in answers] == [200] * 6 + [422]
    assert "in an hour" in answers[-1].text
