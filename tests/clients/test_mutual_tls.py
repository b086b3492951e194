"""Clients with certificates, and tokens bound to them (RFC 8705)."""

import base64
import datetime
import hashlib
import subprocess
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from dpop import Key
from portcullis import Demo, bearer

EXAMPLES = Path(__file__).parents[2] / "examples"
SERVICE = "spiffe://portcullis.local/service/ledger"


@pytest.fixture(scope="module")
def mesh(tmp_path_factory):
    config = (EXAMPLES / "portcullis.example.toml").read_text()
    config = config.replace("profile.openapi.yaml", str(EXAMPLES / "profile.openapi.yaml"))
    config = config.replace('[tls]\n', '[tls]\nself_signed_clients = true\n')
    config = config.replace('[[route]]\nname = "admin"', BOTH + '[[route]]\nname = "admin"', 1)
    with Demo(config) as running:
        running.files = tmp_path_factory.mktemp("certificates")
        yield running
        assert "panicked" not in running.log()


BOTH = """
[[route]]
name = "ledger"
listen = "mesh"
path = "/ledger/{*rest}"
upstream = "profile"
authenticate = ["bearer"]
scopes = ["profile"]

"""


def of_the_authority(mesh, spiffe_id=SERVICE):
    out = mesh.files / spiffe_id.rsplit("/", 1)[1]
    if not out.exists():
        mesh.cli("ca", "issue", "--data", mesh.data, "--spiffe-id", spiffe_id, "--out", out)
    return out / "cert.pem", out / "key.pem"


def self_signed(mesh, name="alone", days=1):
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    built = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(subject)
        .public_key(key.public_key()).serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=2))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(SERVICE)]), False)
        .sign(key, hashes.SHA256())
    )
    certificate, secret = mesh.files / f"{name}.pem", mesh.files / f"{name}.key"
    certificate.write_bytes(built.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption(),
    ))
    return built, (certificate, secret)


def register(mesh, expect=201, **more):
    made = mesh.operator().post("/api/admin/v1/clients", json={
        "name": "Ledger", "grant_types": ["client_credentials"], "scopes": ["profile"],
        "token_endpoint_auth_method": "tls_client_auth", **more,
    })
    assert made.status_code == expect, made.text
    return made.json()["client"]["client_id"] if expect == 201 else made.json()


def ask(mesh, client, cert=None, base=None, **more):
    with mesh.client(cert=cert) as http:
        form = {"grant_type": "client_credentials", "client_id": client, "scope": "profile", **more}
        return http.post(f"{base or mesh.mesh}/oauth2/token", data=form)


def thumbprint(pem):
    der = x509.load_pem_x509_certificate(Path(pem).read_bytes()).public_bytes(serialization.Encoding.DER)
    return base64.urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode()


def test_metadata_tells_where_certificates_are_shown(mesh):
    known = mesh.client().get("/.well-known/openid-configuration").json()
    aliases = known["mtls_endpoint_aliases"]
    assert aliases["token_endpoint"] == f"{mesh.mesh}/oauth2/token"
    assert {"tls_client_auth", "self_signed_tls_client_auth"} <= set(
        known["token_endpoint_auth_methods_supported"])
    assert known["tls_client_certificate_bound_access_tokens"] is True


def test_a_name_that_the_authority_vouches_for_is_a_credential(mesh):
    client = register(mesh, tls_client_auth_san_uri=SERVICE)
    cert = of_the_authority(mesh)
    answer = ask(mesh, client, cert)
    assert answer.status_code == 200, answer.text
    other = of_the_authority(mesh, "spiffe://portcullis.local/service/other")
    _, alone = self_signed(mesh, "pretender")
    for wrong in (other, alone):
        refused = ask(mesh, client, wrong)
        assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client")
    refused = ask(mesh, client, base=mesh.issuer)
    assert refused.json()["error"] == "invalid_client", "the public listener asks for no certificate"
    both = ask(mesh, client, cert, client_secret="x")
    assert both.json()["error"] == "invalid_client", "not the registered method"


def test_a_certificate_is_checked_by_openssl_names(mesh):
    cert = of_the_authority(mesh, "spiffe://portcullis.local/service/named")
    subject = subprocess.run(
        ["openssl", "x509", "-in", cert[0], "-noout", "-subject", "-nameopt", "RFC2253"],
        capture_output=True, text=True, check=True,
    ).stdout.strip().removeprefix("subject=")
    client = register(mesh, tls_client_auth_subject_dn=subject)
    assert ask(mesh, client, cert).status_code == 200, subject
    client = register(mesh, tls_client_auth_subject_dn=subject + "x")
    assert ask(mesh, client, cert).json()["error"] == "invalid_client"


def test_a_registered_certificate_is_a_credential(mesh):
    certificate, cert = self_signed(mesh, "registered")
    numbers = certificate.public_key().public_numbers()
    encode = lambda n: base64.urlsafe_b64encode(n.to_bytes(32, "big")).rstrip(b"=").decode()
    der = certificate.public_bytes(serialization.Encoding.DER)
    key = {
        "kty": "EC", "crv": "P-256", "x": encode(numbers.x), "y": encode(numbers.y),
        "x5c": [base64.b64encode(der).decode()],
    }
    client = register(mesh, token_endpoint_auth_method="self_signed_tls_client_auth",
                      jwks={"keys": [key]})
    assert ask(mesh, client, cert).status_code == 200
    _, other = self_signed(mesh, "registered-not")
    assert ask(mesh, client, other).json()["error"] == "invalid_client"
    assert ask(mesh, client, of_the_authority(mesh)).json()["error"] == "invalid_client"
    del key["x5c"]
    refused = register(mesh, 422, token_endpoint_auth_method="self_signed_tls_client_auth",
                       jwks={"keys": [key]})
    assert refused["violations"][0]["pointer"] == "/jwks"


def test_a_self_signed_certificate_opens_no_route_and_an_old_one_no_connection(mesh):
    _, cert = self_signed(mesh, "stranger")
    with mesh.client(cert=cert) as http:
        refused = http.get(f"{mesh.mesh}/admin-service/status")
        assert refused.status_code == 401, "its names mean nothing"
    _, expired = self_signed(mesh, "expired", days=-1)
    with pytest.raises(httpx.TransportError), mesh.client(cert=expired) as http:
        http.get(f"{mesh.mesh}/oauth2/userinfo")
    with pytest.raises(httpx.TransportError), mesh.client() as http:
        http.get(f"{mesh.mesh}/oauth2/userinfo")


def test_without_the_setting_only_the_authority_counts(demo):
    demo.files = Path(demo.directory.name)
    _, cert = self_signed(demo, "refused")
    with pytest.raises(httpx.TransportError), demo.client(cert=cert) as http:
        http.get(f"{demo.mesh}/oauth2/userinfo")
    refused = register(demo, 422, token_endpoint_auth_method="self_signed_tls_client_auth")
    assert "/token_endpoint_auth_method" in {v["pointer"] for v in refused["violations"]}
    known = demo.client().get("/.well-known/openid-configuration").json()
    assert "self_signed_tls_client_auth" not in known["token_endpoint_auth_methods_supported"]


@pytest.mark.parametrize("settings", [
    {}, {"tls_client_auth_san_dns": "a", "tls_client_auth_san_uri": "b"},
    {"token_endpoint_auth_method": "client_secret_basic", "tls_client_auth_san_dns": "a"},
    {"token_endpoint_auth_method": "none", "grant_types": ["authorization_code"],
     "redirect_uris": ["https://a.example/"], "tls_client_certificate_bound_access_tokens": True},
], ids=["no name", "two names", "a name for a secret", "public and bound"])
def test_registrations_that_contradict_themselves(mesh, settings):
    register(mesh, 422, **settings)


def test_a_bound_token_needs_its_certificate(mesh):
    client = register(mesh, tls_client_auth_san_uri=SERVICE,
                      tls_client_certificate_bound_access_tokens=True)
    cert = of_the_authority(mesh)
    answer = ask(mesh, client, cert).json()
    assert answer["token_type"] == "Bearer"
    token = answer["access_token"]
    with mesh.client(cert=cert) as http:
        known = http.post(f"{mesh.mesh}/oauth2/introspect", data={"client_id": client, "token": token})
        assert known.json()["cnf"] == {"x5t#S256": thumbprint(cert[0])}
        passed = http.get(f"{mesh.mesh}/ledger/me", headers=bearer(token))
        assert passed.status_code != 401, passed.text
    stolen = mesh.client().get("/profile/me", headers=bearer(token))
    assert stolen.status_code == 401 and "certificate" in stolen.headers["www-authenticate"]
    other = of_the_authority(mesh, "spiffe://portcullis.local/service/other")
    with mesh.client(cert=other) as http:
        assert http.get(f"{mesh.mesh}/ledger/me", headers=bearer(token)).status_code == 401
        refused = http.get(f"{mesh.mesh}/oauth2/userinfo", headers=bearer(token))
        assert refused.status_code == 401
    with mesh.client(cert=cert) as http:
        scoped = http.get(f"{mesh.mesh}/oauth2/userinfo", headers=bearer(token))
        assert scoped.status_code == 403, "the token is good, the scope is not openid"


def test_a_client_that_must_be_bound_gets_no_loose_token(mesh):
    made = mesh.operator().post("/api/admin/v1/clients", json={
        "name": "Strict", "grant_types": ["client_credentials"], "scopes": ["profile"],
        "token_endpoint_auth_method": "client_secret_post",
        "tls_client_certificate_bound_access_tokens": True,
    }).json()
    client, secret = made["client"]["client_id"], made["client_secret"]
    loose = ask(mesh, client, base=mesh.issuer, client_secret=secret)
    assert (loose.status_code, loose.json()["error"]) == (400, "invalid_request")
    bound = ask(mesh, client, of_the_authority(mesh), client_secret=secret)
    assert bound.status_code == 200


def test_a_proof_of_possession_names_the_endpoint_that_was_called(mesh):
    client = register(mesh, tls_client_auth_san_uri=SERVICE)
    key, cert = Key(), of_the_authority(mesh)
    form = {"grant_type": "client_credentials", "client_id": client, "scope": "profile"}
    url = f"{mesh.mesh}/oauth2/token"
    with mesh.client(cert=cert) as http:
        first = http.post(url, data=form, headers={"dpop": key.proof("POST", url)})
        assert first.json()["error"] == "use_dpop_nonce", first.text
        nonce = first.headers["dpop-nonce"]
        answer = http.post(url, data=form, headers={"dpop": key.proof("POST", url, nonce=nonce)})
        assert answer.json()["token_type"] == "DPoP", answer.text


def test_openid_client_for_node_shows_its_certificate(mesh):
    client = register(mesh, tls_client_auth_san_uri=SERVICE,
                      tls_client_certificate_bound_access_tokens=True)
    directory = of_the_authority(mesh)[0].parent
    script = Path(__file__).with_name("openid_client_mtls.mjs")
    done = subprocess.run(
        ["node", script, mesh.data / "demo.json", client, directory], capture_output=True, text=True,
        timeout=120, env={**mesh.env, "NODE_EXTRA_CA_CERTS": str(mesh.data / "ca.pem")},
    )
    assert done.returncode == 0, done.stdout + done.stderr
