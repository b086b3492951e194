"""The client's side of RFC 9449, by hand, so that every part of it can be wrong on purpose."""

import base64
import hashlib
import json
import secrets
import time

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Key:
    def __init__(self):
        self.private = ec.generate_private_key(ec.SECP256R1())
        numbers = self.private.public_key().public_numbers()
        self.jwk = {
            "crv": "P-256", "kty": "EC",
            "x": b64(numbers.x.to_bytes(32, "big")), "y": b64(numbers.y.to_bytes(32, "big")),
        }

    def thumbprint(self):
        return b64(hashlib.sha256(json.dumps(self.jwk, separators=(",", ":")).encode()).digest())

    def proof(self, method, url, token=None, nonce=None, header=None, **changes):
        claims = {"jti": secrets.token_urlsafe(12), "htm": method, "htu": url, "iat": int(time.time())}
        if token:
            claims["ath"] = b64(hashlib.sha256(token.encode()).digest())
        if nonce:
            claims["nonce"] = nonce
        header = {"typ": "dpop+jwt", "alg": "ES256", "jwk": self.jwk, **(header or {})}
        return self.sign(header, {**claims, **changes})

    def sign(self, *parts):
        """Header and claims; what is None in them is left out."""
        given = [{name: value for name, value in part.items() if value is not None} for part in parts]
        signed = ".".join(b64(json.dumps(part).encode()) for part in given)
        r, s = decode_dss_signature(self.private.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{signed}.{b64(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"

    def post(self, client, url, data, **options):
        """A request at the provider: the first one learns the nonce."""
        asked = client.post(url, data=data, headers={"dpop": self.proof("POST", url)}, **options)
        assert asked.status_code == 400 and asked.json()["error"] == "use_dpop_nonce", asked.text
        proof = self.proof("POST", url, nonce=asked.headers["dpop-nonce"])
        return client.post(url, data=data, headers={"dpop": proof}, **options)

    def headers(self, method, url, token, **changes):
        proof = self.proof(method, url, token, **changes)
        return {"authorization": f"DPoP {token}", "dpop": proof}
