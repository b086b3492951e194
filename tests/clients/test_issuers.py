"""Tokens of other issuers at the gate, as Keycloak, Auth0 and Entra make them: found by discovery,
checked strictly, told apart from ours; keys that change, keys that are pinned, and opaque tokens."""

import base64
import json
import time

import pytest
from joserfc import jwk, jwt

from dpop import Key as ProofKey
from echo import Echo
from listener import Listener
from portcullis import Demo, bearer, tokens, until

API = "https://api.example.org"
CONFIG = """
issuer = "https://localhost:8443"
[listen]
public = "127.0.0.1:8443"
operations = "127.0.0.1:9090"
[database]
url = "sqlite:portcullis.db"
[egress]
{allow}
ca = "{ca}"
[[token_issuer]]
name = "kc"
issuer = "{issuer}"
audiences = ["https://api.example.org"]
roles = "/realm_access/roles"
{more}
[[upstream]]
name = "profile"
servers = ["http://127.0.0.1:7001"]
[[upstream]]
name = "echo"
servers = ["http://127.0.0.1:{echo}"]
[[route]]
name = "theirs"
path = "/echo/{{*rest}}"
upstream = "echo"
authenticate = ["bearer"]
issuers = ["kc"]
scopes = ["read"]
limits = [{{ key = "subject", rate = "1000/s" }}]
[[route]]
name = "both"
path = "/profile/me"
upstream = "profile"
authenticate = ["bearer"]
issuers = ["portcullis", "kc"]
"""


def key(kid, alg="RS256"):
    if alg == "ES256":
        return jwk.ECKey.generate_key("P-256", {"kid": kid, "alg": alg, "use": "sig"})
    return jwk.RSAKey.generate_key(2048, {"kid": kid, "alg": alg, "use": "sig"})


class Elsewhere:
    """An issuer with its keys."""

    def __init__(self, files):
        self.listener = Listener(files[0])
        self.issuer = f"{self.listener.url}/realms/main"
        self.keys = [key("one")]
        self.publish()

    def publish(self):
        self.listener.documents = {
            "/realms/main/.well-known/openid-configuration": {
                "issuer": self.issuer, "jwks_uri": f"{self.issuer}/certs", "extra": True,
            },
            "/realms/main/certs": {"keys": [key.as_dict(private=False) for key in self.keys]},
        }

    def token(self, signed_by=None, typ="JWT", **claims):
        signed_by = signed_by or self.keys[0]
        now = int(time.time())
        body = {
            "iss": self.issuer, "aud": [API, "account"], "sub": "1234", "iat": now, "exp": now + 300,
            "jti": base64.b16encode(str(now).encode()).decode(), "azp": "web", "typ": "Bearer", "scope": "read write",
            "realm_access": {"roles": ["editor"]}, "preferred_username": "alice", **claims,
        }
        body = {name: value for name, value in body.items() if value is not None}
        header = {"alg": signed_by.get("alg"), "kid": signed_by.kid, "typ": typ}
        return jwt.encode({k: v for k, v in header.items() if v}, body, signed_by, algorithms=["RS256", "ES256", "RS512"])


def config(elsewhere, files, more="", allow='allow = ["127.0.0.0/8"]'):
    return CONFIG.format(echo=Echo().port, ca=files[1], issuer=elsewhere.issuer, more=more, allow=allow)


@pytest.fixture(scope="module")
def elsewhere(files):
    return Elsewhere(files)


@pytest.fixture(scope="module")
def gate(elsewhere, files):
    with Demo(config(elsewhere, files)) as running:
        yield running
        assert "panicked" not in running.log()


def ask(gate, token, path="/echo/x"):
    with gate.client() as client:
        return client.get(path, headers=bearer(token))


def claims(token):
    part = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def test_a_token_from_elsewhere_is_taken_for_what_it_is(gate, elsewhere):
    for typ in ("JWT", "at+jwt", None):
        answer = ask(gate, elsewhere.token(typ=typ))
        assert answer.status_code == 200, answer.text
    minted = claims(answer.json()["headers"]["authorization"].removeprefix("Bearer "))
    assert (minted["sub"], minted["client_id"], minted["scope"]) == ("kc:1234", "kc:web", "read write")
    assert minted["iss"] == gate.issuer and minted["aud"] == "echo" and minted["roles"] == ["editor"]
    assert "preferred_username" not in minted
    until(lambda: any("kc:1234" in json.dumps(event) for event in gate.audit()), "the event")


@pytest.mark.parametrize("change", [
    {"aud": "https://other.example.org"}, {"aud": None}, {"iss": "https://evil.example.org"}, {"exp": 1},
    {"exp": None}, {"exp": "never"}, {"nbf": 2**40}, {"typ": "ID"}, {"typ": "Refresh"}, {"nonce": "n"},
    {"at_hash": "x"}, {"sub": None}, {"sub": ""}, {"cnf": {"x": 1}},
], ids=str)
def test_a_token_that_is_not_for_us_is_refused(gate, elsewhere, change):
    answer = ask(gate, elsewhere.token(**change))
    assert answer.status_code == 401 and 'error="invalid_token"' in answer.headers["www-authenticate"]


def test_signatures_are_checked(gate, elsewhere):
    good = elsewhere.token()
    head, body, signature = good.split(".")
    none = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').rstrip(b"=").decode()
    other = key("one")
    for token in (
        f"{head}.{body}.{signature[:-4]}AAAA", f"{none}.{body}.", elsewhere.token(signed_by=other),
        f"{head}.{claims_with(body, sub='admin')}.{signature}",
    ):
        assert ask(gate, token).status_code == 401


def claims_with(body, **changed):
    known = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return base64.urlsafe_b64encode(json.dumps({**known, **changed}).encode()).rstrip(b"=").decode()


def test_whose_token_opens_which_route(gate, elsewhere):
    ours = tokens(gate, gate.facts()["users"][0])["access_token"]
    theirs = elsewhere.token()
    for _ in range(2):
        assert ask(gate, theirs).status_code == 200
        assert ask(gate, ours).status_code == 401, "ours is not accepted there"
        assert ask(gate, ours, "/profile/me").status_code == 200
        # The sample service knows people of ours only; the gate let it through.
        assert ask(gate, theirs, "/profile/me").status_code in (200, 404)
        # Our own APIs take nobody else's.
        assert ask(gate, elsewhere.token(scope="admin account"), "/api/admin/v1/users").status_code == 401
        assert ask(gate, elsewhere.token(scope="admin account"), "/api/account/v1/me").status_code == 401
    lacking = ask(gate, elsewhere.token(scope="write"))
    assert lacking.status_code == 403 and 'scope="read"' in lacking.headers["www-authenticate"]
    for name in ("scp",):
        assert ask(gate, elsewhere.token(scope=None, **{name: ["read"]})).status_code == 200


def test_a_bound_token_needs_its_key(gate, elsewhere):
    proof = ProofKey()
    token = elsewhere.token(cnf={"jkt": proof.thumbprint()})
    assert ask(gate, token).status_code == 401
    url = f"{gate.issuer}/echo/x"
    with gate.client() as client:
        headers = {"authorization": f"DPoP {token}", "dpop": proof.proof("GET", url, token=token)}
        assert client.get("/echo/x", headers=headers).status_code == 200


def test_new_keys_are_found_when_they_are_used(gate, elsewhere):
    old = elsewhere.token()
    assert ask(gate, old).status_code == 200
    elsewhere.keys.insert(0, key("two", "ES256"))
    elsewhere.publish()
    until(lambda: ask(gate, elsewhere.token()).status_code == 200, "the new key")
    assert ask(gate, old).status_code == 200
    # The old one is taken back: what it signed is void, though it was seen before.
    gone = elsewhere.keys.pop()
    elsewhere.publish()
    asked = len(elsewhere.listener.asked)
    until(lambda: ask(gate, elsewhere.token(signed_by=key("three"))) and len(elsewhere.listener.asked) > asked, "a look")
    until(lambda: ask(gate, old).status_code == 401, "the end of the old key")
    assert ask(gate, elsewhere.token(signed_by=gone)).status_code == 401
    assert ask(gate, elsewhere.token()).status_code == 200


def test_only_pinned_keys_open(elsewhere, files):
    pinned, other = key("p"), key("q")
    elsewhere = Elsewhere(files)
    elsewhere.keys = [pinned, other]
    elsewhere.publish()
    with Demo(config(elsewhere, files, f'pins = ["{pinned.thumbprint()}"]')) as gate:
        until(lambda: ask(gate, elsewhere.token()).status_code == 200, "the keys")
        assert ask(gate, elsewhere.token(signed_by=other)).status_code == 401


def test_an_issuer_that_cannot_be_reached_is_no_fault_of_the_caller(files):
    elsewhere = Elsewhere(files)
    # Not a public address, and nobody allowed it: it is never called.
    with Demo(config(elsewhere, files, allow="")) as gate:
        answer = ask(gate, elsewhere.token())
        assert answer.status_code == 503 and answer.headers["retry-after"] == "2"
        assert not elsewhere.listener.asked
        assert "keys could not be fetched" in gate.log()


def test_opaque_tokens_are_asked_about_and_remembered(files, tmp_path):
    elsewhere = Elsewhere(files)
    good = {"active": True, "sub": "77", "client_id": "svc", "scope": "read", "exp": int(time.time()) + 60}
    known = {
        "good": good, "late": {**good, "exp": 1}, "other": {**good, "aud": "https://other.example.org"},
        "inactive": {"active": False}, "odd": {"active": "yes", **{k: v for k, v in good.items() if k != "active"}},
    }

    def answer(form, headers):
        assert headers["authorization"] == "Basic " + base64.b64encode(b"gate:s%2Fecret").decode()
        return known.get(form["token"][0], {"active": False})

    elsewhere.listener.answers["/introspect"] = answer
    (tmp_path / "secret").write_text("s/ecret\n")
    more = (f'introspection = {{ endpoint = "{elsewhere.listener.url}/introspect", client_id = "gate", '
            f'client_secret_file = "{tmp_path}/secret" }}')
    with Demo(config(elsewhere, files, more)) as gate:
        for _ in range(3):
            assert ask(gate, "good").status_code == 200
        assert len(elsewhere.listener.posted) == 1, "asked once"
        for token in ("late", "other", "inactive", "odd", "unheard"):
            assert ask(gate, token).status_code == 401, token
        elsewhere.listener.status = [500]
        assert ask(gate, "again").status_code == 503
        assert ask(gate, elsewhere.token()).status_code == 200, "JWTs are checked here"
        before = len(elsewhere.listener.posted)
        assert ask(gate, "x" * 3000).status_code == 401 and ask(gate, "a'b").status_code == 401
        assert len(elsewhere.listener.posted) == before, "nothing that is no token is sent there"
