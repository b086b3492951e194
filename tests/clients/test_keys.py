"""Signing keys: one for each use, rotated with overlap, retired at once, moved between algorithms;
and the key that seals them, in a file, in Vault's transit engine, and in a token behind PKCS#11."""

import base64
import http.server
import json
import os
import re
import ssl
import subprocess
import threading
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from joserfc import jws

from listener import certificate
from portcullis import Demo, bearer, tokens, until

CONFIG = (Path(__file__).parents[2] / "crates/server/src/demo.toml").read_text()


def kid(token):
    return jws.extract_compact(token.encode()).headers()["kid"]


def listed(demo):
    rows = [line.split() for line in demo.cli("keys", "list", "--data", demo.data).stdout.splitlines()]
    return {row[0]: {"use": row[1], "alg": row[2], "state": row[3]} for row in rows}


def published(demo):
    return {key["kid"] for key in demo.client().get("/oauth2/jwks").json()["keys"]}


def signs(demo, use, alg):
    of = [name for name, key in listed(demo).items()
          if (key["use"], key["alg"], key["state"]) == (use, alg, "signs")]
    assert len(of) == 1, of
    return of[0]


def test_each_use_has_keys_of_its_own(demo):
    got = tokens(demo, demo.facts()["users"][0])
    keys = listed(demo)
    assert keys[kid(got["access_token"])]["use"] == "access_token"
    assert keys[kid(got["id_token"])]["use"] == "id_token"
    slots = {(key["use"], key["alg"]) for key in keys.values()}
    algorithms = ("EdDSA", "ES256", "RS256")
    assert slots == {(use, alg) for use in ("access_token", "id_token") for alg in algorithms} | {
        ("upstream", "EdDSA")}
    assert published(demo) == set(keys)


def test_a_token_of_one_use_is_no_token_of_another(demo):
    """The header cannot choose: an ID token's key verifies no access token."""
    got = tokens(demo, demo.facts()["users"][0])
    seen = demo.client().get("/profile/me", headers=bearer(got["id_token"]))
    assert seen.status_code == 401


def test_rotation_announces_the_successor_before_it_signs(own_demo):
    demo = own_demo
    before = tokens(demo, demo.facts()["users"][0])
    old = kid(before["access_token"])
    demo.cli("keys", "rotate", "--data", demo.data, "--use", "access_token", "--alg", "EdDSA")
    new = [name for name, key in listed(demo).items() if key["state"] == "announced"]
    assert len(new) == 1
    until(lambda: new[0] in published(demo), "the successor's publication")
    again = tokens(demo, demo.facts()["users"][0])
    assert kid(again["access_token"]) == old
    # The operator's word is in the log, with what was made.
    until(lambda: [e for e in demo.audit("--kind", "admin_signing_key_create")
                   if new[0] in json.dumps(e)], "the event")


def test_rotation_at_once_keeps_what_was_signed(own_demo):
    demo = own_demo
    person = demo.facts()["users"][0]
    before = tokens(demo, person)
    demo.cli("keys", "rotate", "--now", "--data", demo.data)
    new = signs(demo, "access_token", "EdDSA")
    assert new != kid(before["access_token"])
    until(lambda: new in published(demo), "the new key")
    after = tokens(demo, person)
    assert kid(after["access_token"]) == new
    client = demo.client()
    for token in (before, after):
        assert client.get("/profile/me", headers=bearer(token["access_token"])).status_code == 200
    assert listed(demo)[kid(before["access_token"])]["state"] == "verifies"


def test_a_retired_key_is_worth_nothing_and_has_a_successor(own_demo):
    demo = own_demo
    person = demo.facts()["users"][0]
    before = tokens(demo, person)["access_token"]
    client = demo.client()
    assert client.get("/profile/me", headers=bearer(before)).status_code == 200
    demo.cli("keys", "retire", kid(before), "--data", demo.data)
    until(lambda: client.get("/profile/me", headers=bearer(before)).status_code == 401, "the end")
    assert kid(before) not in published(demo)
    after = tokens(demo, person)["access_token"]
    assert client.get("/profile/me", headers=bearer(after)).status_code == 200
    again = demo.cli("keys", "retire", kid(before), "--data", demo.data, check=False)
    assert again.returncode == 1 and "no key of that name is in use" in again.stderr


def test_algorithms_are_left_behind_in_order():
    """RS256 is left out only when nobody is registered with it any more."""
    config = CONFIG + '\n[keys]\nalgorithms = ["ES256", "EdDSA"]\n'
    with Demo(CONFIG) as demo:
        made = demo.operator().post("/api/admin/v1/clients", json={
            "name": "Old", "token_endpoint_auth_method": "client_secret_basic",
            "grant_types": ["client_credentials"], "scopes": ["profile"], "token_alg": "RS256",
            "redirect_uris": [],
        })
        assert made.status_code == 201, made.text
        old = {**made.json(), "client_id": made.json()["client"]["client_id"]}
        ask = lambda: demo.client().post("/oauth2/token", data={"grant_type": "client_credentials"},
                                         auth=(old["client_id"], old["client_secret"]))
        header = lambda token: jws.extract_compact(token.encode()).headers()
        assert header(ask().json()["access_token"])["alg"] == "RS256"
        demo.stop()
        path = Path(demo.directory.name) / "portcullis.toml"
        demo.config = config
        with pytest.raises(AssertionError, match="1 clients are registered with RS256"):
            demo.start()
        demo.processes = []
        done = demo.cli("keys", "migrate", "--from", "RS256", "--to", "ES256", "--config", path,
                        "--data", demo.data)
        assert "1 clients get ES256 instead of RS256" in done.stdout
        demo.start()
        assert header(ask().json()["access_token"])["alg"] == "ES256"
        discovery = demo.client().get("/.well-known/openid-configuration").json()
        assert discovery["id_token_signing_alg_values_supported"] == ["ES256", "EdDSA"]
        # What was signed before is still good for as long as it lives, so its key stays.
        assert "RS256" in {key["alg"] for key in demo.client().get("/oauth2/jwks").json()["keys"]}
        refused = demo.operator().post("/api/admin/v1/clients", json={
            "name": "Late", "token_endpoint_auth_method": "client_secret_basic",
            "grant_types": ["client_credentials"], "scopes": ["profile"], "token_alg": "RS256",
            "redirect_uris": [],
        })
        assert refused.status_code == 422, refused.text


class Transit:
    """Stands in for the transit engine: strict about path, token, and what it is sent."""

    def __init__(self, pem):
        self.key, self.token, self.calls = AESGCM.generate_key(256), "hvs.s3cret", []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                outer.calls.append(self.path)
                status, answer = outer.answer(self.path, self.headers, body)
                text = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, path, headers, body):
        if headers["x-vault-token"] != self.token:
            return 403, {"errors": ["permission denied"]}
        aad = base64.b64decode(body["associated_data"], validate=True)
        if path == "/v1/kms/transit/encrypt/portcullis" and set(body) == {"plaintext", "associated_data"}:
            nonce = os.urandom(12)
            plain = base64.b64decode(body["plaintext"], validate=True)
            sealed = nonce + AESGCM(self.key).encrypt(nonce, plain, aad)
            text = f"vault:v1:{base64.b64encode(sealed).decode()}"
            return 200, {"request_id": "1", "data": {"ciphertext": text, "key_version": 1}}
        if path == "/v1/kms/transit/decrypt/portcullis" and set(body) == {"ciphertext", "associated_data"}:
            sealed = base64.b64decode(body["ciphertext"].removeprefix("vault:v1:"))
            try:
                plain = AESGCM(self.key).decrypt(sealed[:12], sealed[12:], aad)
            except Exception:
                return 400, {"errors": ["cipher: message authentication failed"]}
            return 200, {"data": {"plaintext": base64.b64encode(plain).decode()}}
        return 404, {"errors": []}

    @property
    def url(self):
        return f"https://127.0.0.1:{self.server.server_address[1]}"


@pytest.fixture
def softhsm(tmp_path, monkeypatch):
    (tmp_path / "tokens").mkdir()
    conf = tmp_path / "softhsm2.conf"
    conf.write_text(f"directories.tokendir = {tmp_path / 'tokens'}\nobjectstore.backend = file\n")
    monkeypatch.setenv("SOFTHSM2_CONF", str(conf))
    subprocess.run(["softhsm2-util", "--init-token", "--free", "--label", "portcullis", "--pin", "4711",
                    "--so-pin", "0815"], check=True, capture_output=True)
    module = next(Path("/usr/lib").glob("**/libsofthsm2.so"))
    pin = tmp_path / "pin"
    pin.write_text("4711\n")
    return ('\n[key_encryption]\nprovider = "pkcs11"\n'
            f'module = "{module}"\ntoken_label = "portcullis"\npin_file = "{pin}"\n')


def test_the_sealing_key_moves_from_file_to_transit_to_a_token(tmp_path, monkeypatch, softhsm):
    pem, ca = certificate(tmp_path)
    transit = Transit(pem)
    monkeypatch.setenv("VAULT_TOKEN", transit.token)
    in_transit = CONFIG + ('\n[key_encryption]\nprovider = "transit"\n'
                           f'address = "{transit.url}"\nmount = "kms/transit"\nkey = "portcullis"\n'
                           f'ca = "{ca}"\n')
    in_token = CONFIG + softhsm
    with Demo(CONFIG) as demo:
        person = demo.facts()["users"][0]
        before = tokens(demo, person)["access_token"]
        path = Path(demo.directory.name) / "portcullis.toml"

        def move(to):
            other = Path(demo.directory.name) / "next.toml"
            other.write_text(to)
            demo.cli("keys", "rewrap", "--config", path, "--data", demo.data, "--to-config", other)
            demo.stop()
            demo.config = to
            demo.start()
            # The same keys and accounts as before: what was signed is still good.
            seen = demo.client().get("/profile/me", headers=bearer(before))
            assert seen.status_code == 200, seen.text
            assert tokens(demo, person)

        move(in_transit)
        assert "/v1/kms/transit/decrypt/portcullis" in transit.calls
        # The local key opens nothing any more.
        (demo.data / "kek").unlink()
        move(in_token)
        asked = len(transit.calls)
        demo.stop()
        demo.start()
        assert len(transit.calls) == asked
        moves = demo.audit("--kind", "admin_key_encryption_key_rotate")
        assert len(moves) == 2 and "4711" not in json.dumps(moves)
        # The way back, and a wrong provider is told apart.
        demo.stop()
        path.write_text(in_transit)
        refused = demo.cli("keys", "rotate", "--config", path, "--data", demo.data, check=False)
        assert refused.returncode == 1
        assert "sealed by a key of the provider pkcs11" in refused.stderr


def test_what_vault_refuses_is_said_and_nothing_starts(tmp_path, monkeypatch):
    pem, ca = certificate(tmp_path)
    transit = Transit(pem)
    monkeypatch.setenv("VAULT_TOKEN", "hvs.wrong")
    config = CONFIG + ('\n[key_encryption]\nprovider = "transit"\n'
                       f'address = "{transit.url}"\nmount = "kms/transit"\nkey = "portcullis"\n'
                       f'ca = "{ca}"\n')
    demo = Demo(config)
    with pytest.raises(AssertionError, match="Vault answered 403: permission denied"):
        demo.start()
    # Nothing of the secret is in what was said.
    assert "hvs.wrong" not in demo.log()
    # An authority that we do not trust is not talked to.
    plain = re.sub(r"\nca = .*\n", "\n", config)
    demo.config = plain
    asked = len(transit.calls)
    with pytest.raises(AssertionError, match="Vault could not be reached"):
        demo.start()
    assert len(transit.calls) == asked
    demo.directory.cleanup()


def test_a_wrong_pin_opens_nothing(softhsm, tmp_path):
    (tmp_path / "pin").write_text("0000")
    demo = Demo(CONFIG + softhsm)
    with pytest.raises(AssertionError, match="PKCS#11 module failed to log in"):
        demo.start()
    demo.directory.cleanup()


def test_no_more_keys_are_published_than_clients_read(own_demo):
    demo = own_demo
    rotate = lambda: demo.operator().post("/api/admin/v1/keys/rotate", json={})
    answers = [rotate() for _ in range(8)]
    assert {answer.status_code for answer in answers[:5]} == {200}
    assert answers[-1].status_code == 422 and "too many keys" in answers[-1].text
    until(lambda: 30 < len(published(demo)) <= 48, "the publication")
    assert tokens(demo, demo.facts()["users"][0])["access_token"]


def test_an_announced_key_that_is_retired_gets_a_successor(own_demo):
    demo = own_demo
    which = ("--use", "access_token", "--alg", "EdDSA")
    demo.cli("keys", "rotate", "--data", demo.data, *which)
    announced = lambda: [name for name, key in listed(demo).items() if key["state"] == "announced"]
    first = announced()
    assert len(first) == 1
    demo.cli("keys", "retire", first[0], "--data", demo.data)
    # What signs now ends soon: there has to be something to follow it.
    until(lambda: announced() and announced() != first, "another successor")
    assert signs(demo, "access_token", "EdDSA")


def test_administrators_rotate_and_retire(own_demo):
    demo = own_demo
    admin, keys = demo.operator(), "/api/admin/v1/keys"
    before = tokens(demo, demo.facts()["users"][0])["id_token"]
    refused = admin.post(f"{keys}/rotate", json={"use": "cookies"})
    assert refused.status_code == 422 and refused.json()["violations"][0]["pointer"] == "/use"
    made = admin.post(f"{keys}/rotate", json={"use": "id_token", "alg": "EdDSA", "at_once": True})
    assert made.status_code == 200 and len(made.json()["kids"]) == 1
    until(lambda: made.json()["kids"][0] in published(demo), "the new key")
    assert kid(tokens(demo, demo.facts()["users"][0])["id_token"]) == made.json()["kids"][0]
    assert admin.post(f"{keys}/{kid(before)}/retire").status_code == 204
    assert admin.post(f"{keys}/{kid(before)}/retire").status_code == 404
    rows = {row["kid"]: row for row in admin.get(keys).json()["items"]}
    assert rows[kid(before)]["retired"] and not rows[made.json()["kids"][0]]["retired"]
    until(lambda: [e for e in demo.audit("--kind", "admin_signing_key_retire")
                   if kid(before) in json.dumps(e)], "the event")
