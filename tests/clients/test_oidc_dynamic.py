"""Clients that register themselves, as the Dynamic OP plan of the OpenID Foundation's suite checks
them: with private_key_jwt and RS256. Each test is named after the module it follows. The implicit flow
and request objects, which that plan asks for as well, are not offered: here the tests see to it that
nothing is promised, and that the errors are those of the standard."""

import time
from urllib.parse import urlencode

import pytest

from assertions import Signer
from portcullis import bearer, code_of, until
from registrant import CALLBACK, authorize, register
from relying_party import claims_of, header_of, signed_by, stays_here


class Registrant:
    """A client with a key of its own."""

    def __init__(self, op, browser, signer=None, **metadata):
        # As the suite does it: the key has no name unless it is published at an address.
        self.signer = signer or Signer("RS256", use="sig", alg="RS256")
        own = {} if "jwks_uri" in metadata else {"jwks": self.signer.jwks}
        self.made = register(op, token_endpoint_auth_method="private_key_jwt", **own, **metadata)
        self.op, self.browser, self.id = op, browser, self.made["client_id"]
        self.uri = self.made["redirect_uris"][0]

    def ask(self, **more):
        return authorize(self.browser, self.made, **{"uri": self.uri, "scope": "openid", **more})

    def token(self, signer=None, audience=None, **form):
        own = (signer or self.signer).form(self.id, audience or self.op.issuer)
        return self.op.client().post("/oauth2/token", data={**form, **own})

    def redeem(self, answer, **more):
        code = code_of(answer)["code"][0]
        return self.token(grant_type="authorization_code", code=code, redirect_uri=self.uri, **more)

    def refresh(self, held, **more):
        return self.token(grant_type="refresh_token", refresh_token=held["refresh_token"], **more)

    def tokens(self, **more):
        answer = self.redeem(self.ask(**more))
        assert answer.status_code == 200, answer.text
        return answer.json()

    def userinfo(self, held):
        return self.op.client().get("/oauth2/userinfo", headers=bearer(held["access_token"]))


@pytest.fixture
def known(op):
    return op.client().get("/.well-known/openid-configuration").json()


def test_oidcc_discovery_endpoint_verification(op, known):
    assert known["registration_endpoint"] == f"{op.issuer}/oauth2/register"
    assert set(known["subject_types_supported"]) == {"public", "pairwise"}
    assert {"authorization_code", "refresh_token"} <= set(known["grant_types_supported"])
    assert "private_key_jwt" in known["token_endpoint_auth_methods_supported"]
    assert "RS256" in known["token_endpoint_auth_signing_alg_values_supported"]


def test_oidcc_server(op, browser):
    answer = op.client().post("/oauth2/register", json={
        "redirect_uris": [CALLBACK], "client_name": "Suite", "contacts": ["ops@rp.example"],
        "grant_types": ["authorization_code"], "response_types": ["code"],
    })
    assert answer.status_code == 201 and answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-type"].startswith("application/json")
    made = answer.json()
    assert made["client_id"] and made["client_secret"] and made["client_secret_expires_at"] == 0
    assert made["registration_client_uri"].startswith(f"{op.issuer}/")
    client = Registrant(op, browser, grant_types=["authorization_code"], response_types=["code"])
    assert "client_secret" not in client.made and client.made["jwks"] == client.signer.jwks
    held = client.tokens()
    claims = signed_by(op, held["id_token"])
    assert claims["aud"] == client.id and claims["nonce"] == "no" and "refresh_token" not in held
    assert client.userinfo(held).json()["sub"] == claims["sub"]
    # The suite tidies up after itself.
    token = bearer(client.made["registration_access_token"])
    assert op.client().delete(client.made["registration_client_uri"], headers=token).status_code == 204
    assert client.userinfo(held).status_code == 401


def test_oidcc_idtoken_rs256(op, browser):
    client = Registrant(op, browser, id_token_signed_response_alg="RS256")
    token = client.tokens()["id_token"]
    assert header_of(token)["kid"] and signed_by(op, token, "RS256")["iss"] == op.issuer


@pytest.mark.parametrize("alg", ["ES256", "EdDSA"])
def test_the_client_chooses_among_the_algorithms_that_are_offered(op, browser, known, alg):
    assert alg in known["id_token_signing_alg_values_supported"]
    client = Registrant(op, browser, id_token_signed_response_alg=alg)
    assert signed_by(op, client.tokens()["id_token"], alg)["aud"] == client.id


def test_oidcc_idtoken_unsigned(op, known):
    assert "none" not in known["id_token_signing_alg_values_supported"]
    refused = register(op, 400, id_token_signed_response_alg="none")
    assert refused["error"] == "invalid_client_metadata"


def test_oidcc_userinfo_rs256(op, browser, known):
    assert "RS256" in known["userinfo_signing_alg_values_supported"]
    client = Registrant(op, browser, userinfo_signed_response_alg="RS256")
    held = client.tokens()
    answer = client.userinfo(held)
    assert answer.status_code == 200
    assert answer.headers["content-type"].split(";")[0] == "application/jwt"
    claims = signed_by(op, answer.text)
    assert claims["iss"] == op.issuer and claims["aud"] == client.id and "nonce" not in claims
    assert claims["sub"] == claims_of(held["id_token"])["sub"]


def test_oidcc_ensure_redirect_uri_in_authorization_request(op, browser):
    """OpenID Connect requires it, even of clients that have only one."""
    client = Registrant(op, browser)
    assert stays_here(client.ask(uri=None))


def test_oidcc_redirect_uri_query_OK(op, browser):
    client = Registrant(op, browser, redirect_uris=[f"{CALLBACK}?bar=foo"])
    asked = client.ask()
    assert code_of(asked)["bar"] == ["foo"] and code_of(asked)["state"] == ["st"]
    assert client.redeem(asked).status_code == 200


def test_oidcc_redirect_uri_query_mismatch(op, browser):
    client = Registrant(op, browser, redirect_uris=[f"{CALLBACK}?bar=foo"])
    for uri in (f"{CALLBACK}?bar=other", f"{CALLBACK}?bar=foo&x=1", CALLBACK, f"{CALLBACK}?"):
        assert stays_here(client.ask(uri=uri)), uri


def test_oidcc_redirect_uri_query_added(op, browser):
    client = Registrant(op, browser)
    for uri in (f"{CALLBACK}?bar=foo", f"{CALLBACK}?"):
        assert stays_here(client.ask(uri=uri)), uri


def test_oidcc_redirect_uri_regfrag(op):
    for uri in (f"{CALLBACK}#fragment", f"{CALLBACK}#"):
        assert register(op, 400, redirect_uris=[uri])["error"] == "invalid_redirect_uri", uri


def test_redirect_uris_are_named_and_safe(op):
    for uris in ([], ["http://rp.example/"], [CALLBACK, "http://rp.example/"]):
        assert register(op, 400, redirect_uris=uris)["error"] == "invalid_redirect_uri", uris


@pytest.mark.parametrize("name", ["id_token", "userinfo"])
def test_a_content_encryption_needs_its_key_management(op, name):
    """OpenID Connect Registration, section 2: otherwise the client waits for what never comes."""
    refused = register(op, 400, **{f"{name}_encrypted_response_enc": "A256GCM"})
    assert refused["error"] == "invalid_client_metadata"


def asked_page(op, browser, **metadata):
    made = register(op, **metadata)
    query = {"response_type": "code", "client_id": made["client_id"], "redirect_uri": CALLBACK,
             "scope": "openid", "nonce": "n"}
    return made, browser.get(f"/oauth2/authorize?{urlencode(query)}").text


def test_oidcc_registration_logo_uri(op, browser):
    """Pages of ours load nothing from elsewhere. What is not kept is not in the answer (RFC 7591,
    section 3.2.1), so that the client knows."""
    made, page = asked_page(op, browser, logo_uri="https://rp.example/logo.png")
    assert "logo_uri" not in made and "logo.png" not in page and "consent-allow" in page


def test_oidcc_registration_policy_uri(op, browser):
    made, page = asked_page(op, browser, policy_uri="https://rp.example/privacy")
    assert made["policy_uri"] == "https://rp.example/privacy"
    assert 'href="https://rp.example/privacy" rel="noreferrer noopener"' in page


def test_oidcc_registration_tos_uri(op, browser):
    made, page = asked_page(op, browser, tos_uri="https://rp.example/terms")
    assert made["tos_uri"] == "https://rp.example/terms"
    assert 'href="https://rp.example/terms" rel="noreferrer noopener"' in page


def test_oidcc_registration_jwks_uri(op, browser, there):
    signer = Signer("RS256", kid="first", use="sig", alg="RS256")
    there.documents["/keys"] = signer.jwks
    client = Registrant(op, browser, signer, jwks_uri=f"{there.url}/keys")
    assert client.made["jwks_uri"] == f"{there.url}/keys" and "jwks" not in client.made
    assert signed_by(op, client.tokens()["id_token"])["aud"] == client.id
    assert there.asked == ["/keys"]


def test_oidcc_registration_sector_uri(op, there):
    uris = ["https://a.example/cb", "https://b.example/cb"]
    there.documents["/sector"] = [*uris, "https://c.example/cb"]
    made = register(op, redirect_uris=uris, subject_type="pairwise",
                    sector_identifier_uri=f"{there.url}/sector")
    assert made["subject_type"] == "pairwise"
    assert made["sector_identifier_uri"] == f"{there.url}/sector"
    assert there.asked == ["/sector"]


def test_oidcc_registration_sector_bad(op, there):
    there.documents["/sector"] = ["https://somebody.example/cb"]
    for document in ("/sector", "/missing"):
        refused = register(op, 400, subject_type="pairwise",
                           sector_identifier_uri=f"{there.url}{document}")
        assert refused["error"] == "invalid_client_metadata"
    # OpenID Connect Registration, section 5: not only for pairwise subjects.
    refused = register(op, 400, sector_identifier_uri=f"{there.url}/sector")
    assert refused["error"] == "invalid_client_metadata"


def test_oidcc_server_rotate_keys(op, browser):
    kids = lambda: {key["kid"] for key in op.client().get("/oauth2/jwks").json()["keys"]}
    client, before = Registrant(op, browser), kids()
    old = client.tokens()["id_token"]
    op.cli("keys", "rotate", "--data", op.data, "--use", "id_token", "--alg", "RS256", "--now")
    until(lambda: kids() - before, "the new key")
    assert before < kids(), "the old ones are published as well"
    new = until(lambda: fresh(client, before), "an ID token under the new key")
    assert signed_by(op, old)["sub"] == signed_by(op, new)["sub"]


def fresh(client, before):
    token = client.tokens()["id_token"]
    return header_of(token)["kid"] not in before and token


def test_oidcc_refresh_token_rp_key_rotation(op, browser, there):
    first, second = (Signer("RS256", kid=kid, use="sig", alg="RS256") for kid in ("one", "two"))
    there.documents["/keys"] = first.jwks
    client = Registrant(op, browser, first, jwks_uri=f"{there.url}/keys",
                        grant_types=["authorization_code", "refresh_token"])
    held, fetched = client.tokens(), time.monotonic()
    there.documents["/keys"] = second.jwks
    # Keys are fetched again after a pause only, or strangers could make us call; the suite waits too.
    until(lambda: time.monotonic() - fetched > 15, "the end of the pause")
    again = client.refresh(held, signer=second)
    assert again.status_code == 200, again.text
    assert claims_of(again.json()["id_token"])["sub"] == claims_of(held["id_token"])["sub"]
    assert client.userinfo(again.json()).status_code == 200
    stale = client.refresh(again.json(), signer=first)
    assert (stale.status_code, stale.json()["error"]) == (401, "invalid_client")


def test_oidcc_refresh_token(op, browser):
    grants = ["authorization_code", "refresh_token"]
    client, other = (Registrant(op, browser, grant_types=grants) for _ in range(2))
    held = client.tokens()
    again = client.refresh(held).json()
    first, second = claims_of(held["id_token"]), claims_of(again["id_token"])
    assert [first[name] for name in ("iss", "sub", "aud", "auth_time")] == \
        [second[name] for name in ("iss", "sub", "aud", "auth_time")]
    assert client.userinfo(again).status_code == 200
    assert other.refresh(again).json()["error"] == "invalid_grant"


def request_at(op, browser, there, request_object):
    """The error that comes of a request object at the client's own address."""
    client = Registrant(op, browser, request_uris=[f"{there.url}/request.jwt"])
    there.documents["/request.jwt"] = request_object(client)
    answer = client.ask(request_uri=f"{there.url}/request.jwt")
    assert there.asked == [], "nobody is called for it"
    assert answer.status_code == 303, answer.text
    return code_of(answer)["error"]


def test_oidcc_request_uri_unsigned(op, browser, there, known):
    assert known["request_uri_parameter_supported"] is False
    unsigned = lambda client: "eyJhbGciOiJub25lIn0.e30."
    assert request_at(op, browser, there, unsigned) == ["request_uri_not_supported"]


def test_oidcc_request_uri_signed_rs256(op, browser, there, known):
    assert "request_object_signing_alg_values_supported" not in known
    signed = lambda client: client.signer.assertion(client.id, op.issuer, response_type="code")
    assert request_at(op, browser, there, signed) == ["request_uri_not_supported"]


def test_oidcc_ensure_request_object_with_redirect_uri(op, browser, known):
    """A request object is not followed anywhere, and its redirect URI is not either."""
    assert known["request_parameter_supported"] is False
    client = Registrant(op, browser)
    wish = client.signer.assertion(client.id, op.issuer, redirect_uri="https://evil.example/cb")
    answer = client.ask(request=wish)
    assert answer.headers["location"].startswith(f"{CALLBACK}?")
    assert code_of(answer)["error"] == ["request_not_supported"]
    assert stays_here(client.ask(request=wish, uri="https://evil.example/cb"))


def test_oidcc_ensure_client_assertion_with_iss_aud_succeeds(op, browser):
    client = Registrant(op, browser)
    assert client.redeem(client.ask(), audience=op.issuer).status_code == 200


def test_r10_an_assertion_for_the_token_endpoint_is_not_for_us(op, browser):
    """The suite sends this one by default; whoever accepts it accepts what was meant for others."""
    client = Registrant(op, browser)
    refused = client.redeem(client.ask(), audience=f"{op.issuer}/oauth2/token")
    assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client")
