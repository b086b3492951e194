"""A passkey in software, so that tests can also sign what no honest device would."""

import base64
import datetime
import hashlib
import json
import secrets
import uuid

import cbor2
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


def encode(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Maker:
    """Makes authenticators of one model, and vouches for them (Level 3, section 8.2)."""

    def __init__(self, model=None):
        self.model = model or uuid.uuid4()
        root_key, self.key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        root = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"Root {secrets.token_hex(4)}")])
        self.root = self.certificate(root, root, root_key, root_key, True)
        names = {"COUNTRY_NAME": "NL", "ORGANIZATION_NAME": "Maker", "COMMON_NAME": "Batch 1",
                 "ORGANIZATIONAL_UNIT_NAME": "Authenticator Attestation"}
        subject = x509.Name([x509.NameAttribute(getattr(x509.NameOID, n), v) for n, v in names.items()])
        self.batch = self.certificate(subject, root, self.key, root_key, False)
        self.pem = self.root.public_bytes(serialization.Encoding.PEM).decode()

    def certificate(self, subject, issuer, key, signer, authority):
        now = datetime.datetime.now(datetime.timezone.utc)
        builder = (
            x509.CertificateBuilder().subject_name(subject).issuer_name(issuer)
            .public_key(key.public_key()).serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=3650))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        )
        if authority:
            usage = dict.fromkeys(
                ["digital_signature", "content_commitment", "key_encipherment", "data_encipherment",
                 "key_agreement", "encipher_only", "decipher_only"], False)
            usage = x509.KeyUsage(key_cert_sign=True, crl_sign=True, **usage)
            builder = builder.add_extension(usage, critical=True)
        else:
            model = x509.UnrecognizedExtension(
                x509.ObjectIdentifier("1.3.6.1.4.1.45724.1.1.4"), b"\x04\x10" + self.model.bytes)
            builder = builder.add_extension(model, critical=False)
        return builder.sign(signer, hashes.SHA256())

    def vouch(self, message):
        return {
            "alg": -7, "sig": self.key.sign(message, ec.ECDSA(hashes.SHA256())),
            "x5c": [self.batch.public_bytes(serialization.Encoding.DER)],
        }


class Authenticator:
    def __init__(self, origin, maker=None):
        self.origin = origin
        self.maker = maker
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
        model = self.maker.model.bytes if self.maker else bytes(16)
        attested = model + len(self.id).to_bytes(2, "big") + self.id + key
        made = self.data(options["rp"]["id"], verified, attested)
        client_data = self.client_data("webauthn.create", options["challenge"], origin)
        kind, statement = "none", {}
        if self.maker:
            kind, statement = "packed", self.maker.vouch(made + hashlib.sha256(client_data).digest())
        return {
            "id": encode(self.id), "rawId": encode(self.id), "type": "public-key", "extensions": {},
            "response": {
                "attestationObject": encode(cbor2.dumps({
                    "fmt": kind, "attStmt": statement, "authData": made,
                })),
                "clientDataJSON": encode(client_data),
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
