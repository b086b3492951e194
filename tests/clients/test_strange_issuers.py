"""Issuers that are trusted and say strange things: names that are none, nationalities that are kept quiet, types that
prove nothing, status lists that are elsewhere, and keys that nobody knows."""

import base64
import hashlib
import json
import secrets
import time
import zlib

import pytest
from cryptography import x509

from portcullis import DEMO, Demo
from receivers import Http, authority
from test_presentations import PATH, PERSON, said
from test_wallet import VCT
from test_workflows import begin, give, published, settled, show
from wallet import Credential, Key, Wallet, Web, encode

CLUB = "urn:example:club-card"


class Issuer(Http):
    """Somebody who issues credentials, over TLS."""

    def __init__(self, files):
        self.key, self.asked, self.lists = Key(), [], {}
        super().__init__(self.hear, files)

    def hear(self, path, headers, body):
        self.asked.append(path)
        if path == "/.well-known/jwt-vc-issuer":
            jwk = {**self.key.jwk(), "kid": "one", "alg": "ES256"}
            return 200, {"content-type": "application/json"}, json.dumps({"issuer": self.url, "jwks": {"keys": [jwk]}}).encode()
        if path in self.lists:
            return 200, {"content-type": "application/statuslist+jwt"}, self.lists[path].encode()
        return 404, {}, b""

    def put_list(self, path, *revoked, **more):
        bits = bytearray(8)
        for place in revoked:
            bits[place // 8] |= 1 << place % 8
        now = int(time.time())
        packed = encode(zlib.compress(bytes(bits)))
        said = {"iss": self.url, "sub": self.url + path, "iat": now, "exp": now + 300, "ttl": 1, "status_list": {"bits": 1, "lst": packed}, **more}
        self.lists[path] = self.key.sign({"typ": "statuslist+jwt", "kid": "one"}, said)

    def issue(self, claims=None, elements=None, kid="one", key=None, **plain):
        """A credential with its claims hidden, each for itself."""
        holder, disclosures = Key(), []

        def hide(*contents):
            disclosure = encode(json.dumps([secrets.token_urlsafe(16), *contents]).encode())
            disclosures.append(disclosure)
            return encode(hashlib.sha256(disclosure.encode()).digest())

        claims = {"given_name": "ERIKA", "family_name": "MUSTERMANN", "birthdate": "1964-08-12", "nationalities": ["DE"], **(claims or {})}
        if elements:
            claims["nationalities"] = [{"...": hide(one)} for one in elements]
        now = int(time.time())
        said = {
            "iss": self.url, "vct": VCT, "iat": now, "exp": now + 3600, "cnf": {"jwk": holder.jwk()},
            "verification": {"trust_framework": "eidas"}, **plain,
            "_sd": [hide(name, value) for name, value in claims.items() if value != "absent"],
        }
        return Credential("~".join([(key or self.key).sign({"typ": "dc+sd-jwt", "kid": kid}, said), *disclosures]) + "~", holder)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return authority(tmp_path_factory.mktemp("issuer"))


@pytest.fixture(scope="module")
def issuer(files):
    running = Issuer(files)
    yield running
    running.server.shutdown()


@pytest.fixture(scope="module")
def place(files, issuer):
    config = DEMO + f"""
[egress]
allow = ["127.0.0.0/8", "::1/128"]
ca = "{files}/ca.pem"
[[verification.issuer]]
issuer = "{issuer.url}"
types = ["{VCT}", "{CLUB}"]
identity = ["{VCT}"]
"""
    with Demo(config) as running:
        yield running
        assert "panicked" not in running.log()


@pytest.fixture(scope="module")
def client(place):
    return place.operator(scope="idv")


@pytest.fixture(scope="module")
def workflow(client):
    return published(client, PERSON)


@pytest.fixture(scope="module")
def trusted(place):
    return x509.load_pem_x509_certificates((place.data / "ca.pem").read_bytes())


@pytest.fixture
def step(place, client, workflow, trusted):
    """Shows a credential in a step, and tells what came of it."""

    def shown(credential, forget=()):
        session = begin(client, workflow)
        asked = give(client, session, node="wallet", credential={})["report"]
        wallet = Wallet(Web(place.data / "ca.pem"), [credential])
        request = wallet.request(asked["url"], trusted)
        keep = {text for text, (_, *contents) in credential.disclosures.values() if contents[0] not in forget}
        token = {"person": [credential.show(keep, request["client_id"], request["nonce"])]}
        form = {"vp_token": json.dumps(token), "state": request["state"]}
        return said(wallet.web.ask(request["response_uri"], form=form)), session

    return shown


def test_what_is_as_it_should_be_is_taken(issuer, step, client):
    answer, session = step(issuer.issue(elements=["DE", "FR"]))
    assert answer == (200, None)
    settled(client, session, "approved")
    # Names as people write them, and the longest that there may be.
    for claims in ({"family_name": "Müller-Lüdenscheidt"}, {"given_name": "Ж" * 200}, {"nationalities": ["DEU", "XXA"]}):
        assert step(issuer.issue(claims))[0] == (200, None), claims


@pytest.mark.parametrize("claims, code", [
    ({"family_name": 5}, "claims_malformed"),
    ({"family_name": None}, "claims_malformed"),
    ({"family_name": "  "}, "claims_malformed"),
    ({"family_name": {"a": 1}}, "claims_malformed"),
    ({"family_name": "A\0B"}, "claims_malformed"),
    ({"given_name": "A\nB"}, "claims_malformed"),
    ({"given_name": "\u202eAKIRE"}, "claims_malformed"),
    ({"given_name": "x" * 201}, "claims_malformed"),
    ({"birthdate": "1964"}, "claims_malformed"),
    ({"birthdate": "2990-01-01"}, "claims_malformed"),
    ({"birthdate": ["1964-08-12"]}, "claims_malformed"),
    ({"birthdate": "1964-02-30"}, "claims_malformed"),
    ({"nationalities": ["de"]}, "claims_malformed"),
    ({"nationalities": [1]}, "claims_malformed"),
    ({"nationalities": ["DE"] * 17}, "claims_malformed"),
    ({"nationalities": "DE"}, "claim_missing"),
    ({"nationalities": []}, "claim_missing"),
    ({"nationalities": "absent"}, "claim_missing"),
    ({"birthdate": "absent"}, "claim_missing"),
])
def test_what_is_none_is_not_taken(issuer, step, client, claims, code):
    answer, session = step(issuer.issue(claims))
    assert answer == (400, code)
    assert show(client, session)["awaiting"][0]["node"] == "wallet"


def test_nobody_keeps_quiet_about_where_they_are_from(issuer, step):
    assert step(issuer.issue(elements=["DE", "IR"]), forget=["IR"])[0] == (400, "claim_withheld")
    assert step(issuer.issue(), forget=["nationalities"])[0] == (400, "claim_missing")


def test_each_nationality_is_looked_for_on_lists(issuer, client, place, trusted):
    made = client.post("/idv/v1/lists", json={"name": "no-go", "purpose": "block", "description": "x"})
    assert made.status_code == 201, made.text
    entry = client.post(f"/idv/v1/lists/{made.json()['id']}/entries", json={"entries": [{"kind": "country", "value": "IRN"}]})
    assert entry.status_code == 200, entry.text
    flow = published(client, {"schema": "idv.workflow/1", "start": "wallet", "nodes": {
        "wallet": {"type": "check", "check": "credential", "next": "listed"},
        "listed": {"type": "check", "check": "lists", "next": "end"}, "end": {"type": "decide", "rule": "fold"},
    }})
    for nations, status in ((["DE", "FR"], "approved"), (["DE", "IR"], "declined"), (["IR"], "declined")):
        session = begin(client, flow)
        asked = give(client, session, node="wallet", credential={})["report"]
        wallet = Wallet(Web(place.data / "ca.pem"), [issuer.issue({"nationalities": nations})])
        assert wallet.show(asked["url"], trusted)[0] == 200
        assert settled(client, session, "approved", "declined", "in_review")["status"] == status, nations


def test_a_card_of_a_club_proves_nobody(issuer, step, client, place, trusted):
    card = issuer.issue(vct=CLUB)
    assert step(card)[0] == (400, "credential_type_unknown")
    # It is a credential all the same, for whoever asks for one.
    query = {"credentials": [{"id": "card", "format": "dc+sd-jwt", "meta": {"vct_values": [CLUB]}, "claims": [{"path": ["given_name"]}]}]}
    asked = client.post(PATH, json={"dcql_query": query}).json()
    assert Wallet(Web(place.data / "ca.pem"), [card]).show(asked["url"], trusted)[0] == 200
    assert client.get(f"{PATH}/{asked['id']}").json()["credentials"][0]["claims"] == {"given_name": "ERIKA"}


def status_at(uri, place=5):
    return {"status": {"status_list": {"idx": place, "uri": uri}}}


def test_status_lists_are_asked_and_believed(issuer, step):
    issuer.put_list("/good", 6)
    assert step(issuer.issue(**status_at(issuer.url + "/good")))[0] == (200, None)
    assert step(issuer.issue(**status_at(issuer.url + "/good", 6)))[0] == (400, "credential_revoked")
    assert step(issuer.issue(**status_at(issuer.url + "/good", 64)))[0] == (400, "credential_revoked"), "beyond its end"
    now = int(time.time())
    issuer.put_list("/old", exp=now - 60)
    issuer.put_list("/other", sub=issuer.url + "/good")
    for path in ("/old", "/other", "/nothing"):
        assert step(issuer.issue(**status_at(issuer.url + path)))[0] == (400, "issuer_unavailable"), path
    before = len(issuer.asked)
    # Where the issuer is not, nobody asks.
    for uri in ("https://127.0.0.2/list", "https://localhost.example/list", "x"):
        assert step(issuer.issue(**status_at(uri)))[0] == (400, "issuer_unavailable"), uri
    assert issuer.asked[before:] == []


def test_junk_asks_the_issuer_for_nothing(issuer, step):
    assert step(issuer.issue())[0] == (200, None)
    before = issuer.asked.count("/.well-known/jwt-vc-issuer")
    for _ in range(8):
        assert step(issuer.issue(kid="two", key=Key()))[0] == (400, "issuer_key_unknown")
    assert issuer.asked.count("/.well-known/jwt-vc-issuer") == before
    assert step(issuer.issue())[0] == (200, None)


def test_large_credentials_have_room(issuer, step):
    assert step(issuer.issue({"portrait": base64.b64encode(secrets.token_bytes(20_000)).decode()}))[0] == (200, None)
    assert step(issuer.issue({"portrait": "x" * 70_000}))[0] == (400, "credential_malformed")
