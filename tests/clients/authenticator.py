"""A passkey in software, so that tests can also sign what no honest device would."""

import base64
import hashlib
import json
import secrets

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec


def encode(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Authenticator:
    def __init__(self, origin):
        self.origin = origin
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.id = secrets.token_bytes(32)
        self.user = None
        self.count = 0

    def client_data(self, kind, challenge, origin=None):
        return json.dumps({
            "type": kind, "challenge": challenge, "origin": origin or self.origin,
            "crossOrigin": False,
        }).encode()

    def data(self, relying_party, verified, attested=b""):
        self.count += 1
        flags = 0x01 | (0x04 if verified else 0) | (0x40 if attested else 0)
        head = hashlib.sha256(relying_party.encode()).digest() + bytes([flags])
        return head + self.count.to_bytes(4, "big") + attested

    def make(self, options, verified=True, origin=None):
        """Answers `navigator.credentials.create`."""
        options = options["publicKey"]
        self.user = options["user"]["id"]
        numbers = self.key.public_key().public_numbers()
        key = cbor2.dumps({
            1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big"),
        })
        attested = bytes(16) + len(self.id).to_bytes(2, "big") + self.id + key
        made = self.data(options["rp"]["id"], verified, attested)
        return {
            "id": encode(self.id), "rawId": encode(self.id), "type": "public-key", "extensions": {},
            "response": {
                "attestationObject": encode(cbor2.dumps({
                    "fmt": "none", "attStmt": {}, "authData": made,
                })),
                "clientDataJSON": encode(
                    self.client_data("webauthn.create", options["challenge"], origin)
                ),
            },
        }

    def sign(self, options, verified=True, origin=None, user=None, relying_party=None):
        """Answers `navigator.credentials.get`."""
        options = options["publicKey"]
        signed = self.data(relying_party or options["rpId"], verified)
        client_data = self.client_data("webauthn.get", options["challenge"], origin)
        message = signed + hashlib.sha256(client_data).digest()
        return {
            "id": encode(self.id), "rawId": encode(self.id), "type": "public-key", "extensions": {},
            "response": {
                "authenticatorData": encode(signed),
                "clientDataJSON": encode(client_data),
                "signature": encode(self.key.sign(message, ec.ECDSA(hashes.SHA256()))),
                "userHandle": user or self.user,
            },
        }
