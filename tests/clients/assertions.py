"""Clients that prove themselves with a signed assertion (RFC 7523)."""

import secrets
import time

from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class Signer:
    """A key pair with the header and claims of a client; `changes` of None leave a claim out."""

    def __init__(self, alg, /, **names):
        kind = ECKey.generate_key("P-256") if alg.startswith("ES") else RSAKey.generate_key(2048)
        self.key, self.alg, self.names = kind, alg, names
        self.public = {**kind.as_dict(private=False), **names}

    @property
    def jwks(self):
        return {"keys": [self.public]}

    def assertion(self, client, audience, alg=None, **changes):
        now = int(time.time())
        claims = {"iss": client, "sub": client, "aud": audience, "exp": now + 60, "iat": now,
                  "jti": secrets.token_urlsafe(12), **changes}
        claims = {name: value for name, value in claims.items() if value is not None}
        header = {"alg": alg or self.alg, "typ": "JWT"}
        if "kid" in self.names:
            header["kid"] = self.names["kid"]
        return jwt.encode(header, claims, self.key, algorithms=[header["alg"]])

    def form(self, client, audience, **changes):
        return {"client_id": client, "client_assertion_type": TYPE,
                "client_assertion": self.assertion(client, audience, **changes)}
