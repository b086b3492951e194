"""OpenID Connect Discovery as the Config OP plan of the OpenID Foundation's suite checks it: one module,
here one test for each thing that it looks at, and one for the module as a whole."""

import re
from urllib.parse import urlsplit

import pytest
from joserfc.jwk import KeySet

PRIVATE = {"d", "p", "q", "dp", "dq", "qi", "oth", "k"}
STANDARD = {"sub", "name", "preferred_username", "updated_at", "email", "email_verified"}


@pytest.fixture(scope="module")
def known(demo):
    return demo.client().get("/.well-known/openid-configuration").json()


@pytest.fixture(scope="module")
def keys(demo, known):
    answer = demo.client().get(known["jwks_uri"])
    assert answer.status_code == 200
    return answer.json()["keys"]


def test_oidcc_discovery_endpoint_verification(demo, known, keys):
    answer = demo.client().get("/.well-known/openid-configuration")
    assert answer.status_code == 200
    assert answer.headers["content-type"].split(";")[0] == "application/json"
    required = {
        "issuer", "authorization_endpoint", "token_endpoint", "jwks_uri", "response_types_supported",
        "subject_types_supported", "id_token_signing_alg_values_supported",
    }
    recommended = {"userinfo_endpoint", "scopes_supported", "claims_supported"}
    assert required | recommended <= set(known)
    KeySet.import_key_set({"keys": keys})


def test_the_issuer_is_the_address_of_the_document(demo, known):
    issuer = urlsplit(known["issuer"])
    assert known["issuer"] == demo.issuer
    assert (issuer.scheme, issuer.query, issuer.fragment) == ("https", "", "")


def test_every_endpoint_is_https_and_the_issuers_own(demo, known):
    """Also those for clients with certificates, which are on a port of their own."""
    named = {name: url for name, url in known.items() if name.endswith(("_endpoint", "_uri"))}
    assert len(named) >= 9
    for name, url in named.items():
        assert url.startswith(f"{demo.issuer}/") and not urlsplit(url).fragment, name
    for name, url in known["mtls_endpoint_aliases"].items():
        assert url.startswith("https://") and name in named, name


def test_endpoints_that_are_named_are_there(demo, known):
    for name, url in known.items():
        if name.endswith("_endpoint"):
            answer = demo.client().post(url, data={})
            assert answer.status_code not in (404, 405, 500), f"{name}: {answer.status_code}"


def test_lists_are_lists_of_different_texts(known):
    lists = {name: value for name, value in known.items() if name.endswith("_supported")}
    for name, value in lists.items():
        assert isinstance(value, (bool, list)), name
        if isinstance(value, list):
            assert value and all(isinstance(item, str) for item in value), name
            assert len(value) == len(set(value)), name


def test_what_is_offered_is_what_the_plan_asks_for(known):
    assert known["response_types_supported"] == ["code"], "no tokens through the browser"
    assert "public" in known["subject_types_supported"]
    assert "authorization_code" in known["grant_types_supported"]
    assert "implicit" not in known["grant_types_supported"]
    assert "RS256" in known["id_token_signing_alg_values_supported"]
    assert "S256" in known["code_challenge_methods_supported"]
    for name in ("id_token_signing_alg_values_supported", "userinfo_signing_alg_values_supported",
                 "token_endpoint_auth_signing_alg_values_supported"):
        assert not {"none", "HS256", "RS1"} & set(known[name]), name


def test_methods_and_their_algorithms_go_together(known):
    """RFC 8414, section 2: whoever offers assertions says how they may be signed."""
    for endpoint in ("token", "introspection", "revocation"):
        methods = known[f"{endpoint}_endpoint_auth_methods_supported"]
        assert "private_key_jwt" in methods
        assert known[f"{endpoint}_endpoint_auth_signing_alg_values_supported"]
    assert {"client_secret_basic", "client_secret_post"} <= set(
        known["token_endpoint_auth_methods_supported"])


def test_scopes_and_claims_are_named(known):
    scopes = known["scopes_supported"]
    assert "openid" in scopes
    assert all(re.fullmatch(r"[\x21\x23-\x5b\x5d-\x7e]+", scope) for scope in scopes), "RFC 6749, 3.3"
    assert STANDARD <= set(known["claims_supported"])
    assert known["claims_parameter_supported"] is True


def test_request_objects_are_not_promised(known):
    """`request_uri_parameter_supported` is true if it is left out."""
    assert known["request_uri_parameter_supported"] is False
    assert known["request_parameter_supported"] is False
    assert "request_object_signing_alg_values_supported" not in known


def test_keys_are_public_and_each_has_a_name(keys):
    assert len({key["kid"] for key in keys}) == len(keys)
    for key in keys:
        assert not PRIVATE & set(key) and key["kty"] in ("RSA", "EC", "OKP"), key["kid"]
        assert key["use"] == "sig", key["kid"]


def test_every_algorithm_has_a_key_and_every_key_its_algorithm(known, keys):
    kinds = {"RS256": ("RSA", None), "ES256": ("EC", "P-256"), "EdDSA": ("OKP", "Ed25519")}
    offered = set(known["id_token_signing_alg_values_supported"])
    assert offered == {key["alg"] for key in keys}
    for key in keys:
        assert (key["kty"], key.get("crv")) == kinds[key["alg"]], key["kid"]


def test_rsa_keys_are_long_enough(keys):
    """RFC 7518, section 3.3. The numbers have no leading zeros, nor padding (section 2)."""
    rsa = [key for key in keys if key["kty"] == "RSA"]
    assert rsa
    for key in rsa:
        modulus = KeySet.import_key_set({"keys": [key]}).keys[0].raw_value.public_numbers().n
        assert modulus.bit_length() >= 2048
        assert "=" not in key["n"] + key["e"] and not key["n"].startswith("AA")


def test_the_document_of_oauth_says_the_same(demo, known):
    """RFC 8414: clients of either standard meet one provider."""
    answer = demo.client().get("/.well-known/oauth-authorization-server")
    assert answer.status_code == 200 and answer.json() == known
