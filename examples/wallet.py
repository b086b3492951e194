#!/usr/bin/env python3
"""A small wallet for tests and demonstrations: takes credentials that it is offered (OpenID for Verifiable Credential
Issuance 1.0), keeps them in a file, and shows as much of them as it is asked for (OpenID for Verifiable Presentations
1.0). Needs `cryptography`. Keys are in the file as well: it is no place for real credentials.

    wallet.py --file wallet.json --ca ca.pem receive 'openid-credential-offer://?…' --client wallet --tx-code 123456
    wallet.py --file wallet.json list
    wallet.py --file wallet.json --ca ca.pem show 'openid4vp://?…'
"""

import argparse
import base64
import hashlib
import json
import ssl
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils

PRE_AUTHORIZED = "urn:ietf:params:oauth:grant-type:pre-authorized_code"


class Refused(Exception):
    """Somebody said no, or is not to be trusted."""


def encode(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def parts(jws):
    header, payload, signature = jws.split(".")
    return json.loads(decode(header)), json.loads(decode(payload)), decode(signature)


class Key:
    """A key on P-256."""

    def __init__(self, private=None):
        self.private = private or ec.generate_private_key(ec.SECP256R1())

    @classmethod
    def read(cls, pem):
        return cls(serialization.load_pem_private_key(pem.encode(), None))

    def pem(self):
        kind, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        return self.private.private_bytes(kind, form, serialization.NoEncryption()).decode()

    def jwk(self):
        numbers = self.private.public_key().public_numbers()
        return {"kty": "EC", "crv": "P-256", "x": encode(numbers.x.to_bytes(32, "big")), "y": encode(numbers.y.to_bytes(32, "big"))}

    def sign(self, header, payload):
        signed = ".".join(encode(json.dumps(part).encode()) for part in ({"alg": "ES256", **header}, payload))
        r, s = utils.decode_dss_signature(self.private.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{signed}.{encode(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


def holds(jws, public):
    """Whether a key on P-256 signed it."""
    signed, signature = jws.rsplit(".", 1)
    signature = decode(signature)
    r, s = (int.from_bytes(half, "big") for half in (signature[:32], signature[32:]))
    try:
        public.verify(utils.encode_dss_signature(r, s), signed.encode(), ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True


def of_jwk(jwk):
    x, y = (int.from_bytes(decode(jwk[name]), "big") for name in ("x", "y"))
    return ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()


class Web:
    """What the wallet asks others."""

    def __init__(self, ca=None):
        self.context = ssl.create_default_context(cafile=ca)

    def ask(self, url, form=None, body=None, headers=None, method=None):
        if not url.startswith("https://"):
            raise Refused(f"{url} is not https")
        headers, data = dict(headers or {}), None
        if form is not None:
            data, headers["Content-Type"] = urllib.parse.urlencode(form).encode(), "application/x-www-form-urlencoded"
        if body is not None:
            data, headers["Content-Type"] = json.dumps(body).encode(), "application/json"
        if method == "POST" and data is None:
            data = b""
        request = urllib.request.Request(url, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=20, context=self.context) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def json(self, url, **more):
        status, body = self.ask(url, **more)
        if status not in (200, 201):
            raise Refused(f"{url}: {status} {body.decode(errors='replace')}")
        return json.loads(body)


class Credential:
    """An SD-JWT VC and the key that it is bound to."""

    def __init__(self, text, key):
        self.text, self.key = text, key
        self.jwt, *disclosures = text.rstrip("~").split("~")
        self.header, self.payload, _ = parts(self.jwt)
        self.disclosures = {encode(hashlib.sha256(one.encode()).digest()): (one, json.loads(decode(one))) for one in disclosures}

    def tree(self):
        """All that it says, with the disclosures that each place needs."""
        return self._object(self.payload, ())

    def _value(self, value, needs):
        if isinstance(value, dict):
            return self._object(value, needs), needs
        if isinstance(value, list):
            return self._array(value, needs), needs
        return value, needs

    def _object(self, members, needs):
        told = {name: self._value(value, needs) for name, value in members.items() if name not in ("_sd", "_sd_alg")}
        for digest in members.get("_sd", []):
            if digest in self.disclosures:
                text, (_, name, value) = self.disclosures[digest]
                told[name] = self._value(value, needs + (text,))
        return told

    def _array(self, elements, needs):
        told = []
        for element in elements:
            if isinstance(element, dict) and set(element) == {"..."}:
                if element["..."] in self.disclosures:
                    text, (_, value) = self.disclosures[element["..."]]
                    told.append(self._value(value, needs + (text,)))
            else:
                told.append(self._value(element, needs))
        return told

    def at(self, path):
        """What is in a place (OpenID4VP 1.0, section 7): pairs of value and the disclosures for it."""
        found = [(self.tree(), ())]
        for step in path:
            below = []
            for value, _ in found:
                if isinstance(step, str) and isinstance(value, dict) and step in value:
                    below.append(value[step])
                elif step is None and isinstance(value, list):
                    below += value
            found = below
        return found

    def show(self, needed, audience, nonce, now=None):
        """The credential with these disclosures, bound to whoever asked."""
        chosen = [text for text, _ in self.disclosures.values() if text in needed]
        shown = "~".join([self.jwt, *chosen]) + "~"
        digest = encode(hashlib.sha256(shown.encode()).digest())
        said = {"iat": int(now or time.time()), "aud": audience, "nonce": nonce, "sd_hash": digest}
        return shown + self.key.sign({"typ": "kb+jwt"}, said)


def all_below(value):
    """The disclosures of everything within a value."""
    value, needs = value
    found = set(needs)
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    for child in children:
        found |= all_below(child)
    return found


def plain(value):
    value, _ = value
    if isinstance(value, dict):
        return {name: plain(child) for name, child in value.items()}
    return [plain(child) for child in value] if isinstance(value, list) else value


class Wallet:
    def __init__(self, web, credentials=()):
        self.web, self.credentials = web, list(credentials)

    # Receiving.

    def receive(self, offer, client, tx_code=None, how_many=1, dpop=False):
        offer = self.read_offer(offer)
        grant = offer["grants"][PRE_AUTHORIZED]
        form = {"grant_type": PRE_AUTHORIZED, "client_id": client, "pre-authorized_code": grant["pre-authorized_code"]}
        if "tx_code" in grant:
            form["tx_code"] = tx_code or ""
        issuer, metadata = self.issuer(offer["credential_issuer"])
        token = self.token(metadata, form, Key() if dpop else None)
        return [self.issue(issuer, token, name, how_many, client) for name in offer["credential_configuration_ids"]]

    def read_offer(self, offer):
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(offer).query)
        if "credential_offer_uri" in query:
            return self.web.json(query["credential_offer_uri"][0])
        return json.loads(query["credential_offer"][0])

    def issuer(self, name):
        base = urllib.parse.urlsplit(name)
        at = lambda kind: f"{base.scheme}://{base.netloc}/.well-known/{kind}{base.path.rstrip('/')}"
        issuer = self.web.json(at("openid-credential-issuer"))
        server = issuer.get("authorization_servers", [name])[0]
        metadata = self.web.json(at("oauth-authorization-server"))
        if issuer["credential_issuer"] != name or metadata["issuer"] != server:
            raise Refused("the issuer is another one than it says")
        return issuer, metadata

    def token(self, metadata, form, key=None):
        url, headers, nonce = metadata["token_endpoint"], {}, None
        for _ in range(2):
            if key:
                headers["DPoP"] = self.proof(key, "POST", url, nonce)
            request = urllib.request.Request(url, urllib.parse.urlencode(form).encode(), headers)
            try:
                with urllib.request.urlopen(request, timeout=20, context=self.web.context) as answer:
                    return {**json.loads(answer.read()), "key": key}
            except urllib.error.HTTPError as error:
                body, nonce = error.read().decode(errors="replace"), error.headers.get("DPoP-Nonce")
                if "use_dpop_nonce" not in body:
                    raise Refused(f"token: {error.code} {body}") from None
        raise Refused("token: no nonce helped")

    def proof(self, key, method, url, nonce=None, token=None):
        said = {"jti": encode(Key().private.private_numbers().private_value.to_bytes(32, "big"))[:20], "htm": method, "htu": url, "iat": int(time.time())}
        if nonce:
            said["nonce"] = nonce
        if token:
            said["ath"] = encode(hashlib.sha256(token.encode()).digest())
        return key.sign({"typ": "dpop+jwt", "jwk": key.jwk()}, said)

    def issue(self, issuer, token, name, how_many, client):
        nonce = self.web.json(issuer["nonce_endpoint"], method="POST")["c_nonce"]
        keys = [Key() for _ in range(how_many)]
        said = {"iss": client, "aud": issuer["credential_issuer"], "iat": int(time.time()), "nonce": nonce}
        proofs = [key.sign({"typ": "openid4vci-proof+jwt", "jwk": key.jwk()}, said) for key in keys]
        url, access = issuer["credential_endpoint"], token["access_token"]
        headers = {"Authorization": f"{token['token_type']} {access}"}
        if token["key"]:
            headers["DPoP"] = self.proof(token["key"], "POST", url, token=access)
        body = {"credential_configuration_id": name, "proofs": {"jwt": proofs}}
        answer = self.web.json(url, body=body, headers=headers)
        made = [Credential(one["credential"], key) for one, key in zip(answer["credentials"], keys, strict=True)]
        for credential in made:
            self.check(credential)
        self.credentials += made
        return made

    def check(self, credential):
        """Whether its issuer signed it, and for the key that was sent."""
        base = urllib.parse.urlsplit(credential.payload["iss"])
        url = f"{base.scheme}://{base.netloc}/.well-known/jwt-vc-issuer{base.path.rstrip('/')}"
        keys = self.web.json(url)["jwks"]["keys"]
        key = next((key for key in keys if key["kid"] == credential.header["kid"]), None)
        if key is None or not holds(credential.jwt, of_jwk(key)) or credential.payload["cnf"]["jwk"] != credential.key.jwk():
            raise Refused("the credential is not what was asked for")

    # Showing.

    def request(self, link, trusted):
        """What somebody asks for; `trusted` are the authorities whose certificates they may have."""
        query = {name: values[0] for name, values in urllib.parse.parse_qs(urllib.parse.urlsplit(link).query).items()}
        status, body = self.web.ask(query["request_uri"], headers={"Accept": "application/oauth-authz-req+jwt"})
        if status != 200:
            raise Refused(f"the request: {status}")
        jws = body.decode()
        header, said, _ = parts(jws)
        if header["typ"] != "oauth-authz-req+jwt" or said["client_id"] != query["client_id"]:
            raise Refused("the request is another one than was scanned")
        chain = [x509.load_der_x509_certificate(base64.b64decode(one)) for one in header["x5c"]]
        prefix, name = said["client_id"].split(":", 1)
        digest = encode(chain[0].fingerprint(hashes.SHA256()))
        if prefix != "x509_hash" or name != digest or not holds(jws, chain[0].public_key()):
            raise Refused("the request is not signed by who it says")
        for lower, upper in zip(chain, chain[1:] + [None]):
            issuers = [upper] if upper else trusted
            if not any(issued(lower, issuer) for issuer in issuers):
                raise Refused("nobody vouches for who asks")
        return said

    def choose(self, said):
        """For each credential that is asked for: one of ours, and what of it is shown."""
        chosen = {}
        for query in said["dcql_query"]["credentials"]:
            for credential in self.credentials:
                if credential.payload["vct"] not in query["meta"]["vct_values"]:
                    continue
                needed = self.first_set(credential, query)
                if needed is not None:
                    chosen[query["id"]] = (credential, needed)
                    break
        return chosen

    def first_set(self, credential, query):
        """The disclosures for the first set of claims that is there as a whole."""
        claims = query.get("claims", [])
        named = {claim.get("id"): claim for claim in claims}
        sets = [[named[one] for one in each] for each in query.get("claim_sets", [])] or [claims]
        for each in sets:
            needed = [self.needed(credential, claim) for claim in each]
            if all(one is not None for one in needed):
                return set().union(*needed)
        return None

    @staticmethod
    def needed(credential, claim):
        found = credential.at(claim["path"])
        if "values" in claim:
            found = [one for one in found if plain(one) in claim["values"]]
        return set().union(*(all_below(one) for one in found)) if found else None

    def show(self, link, trusted):
        said = self.request(link, trusted)
        if said["response_type"] != "vp_token" or said["response_mode"] != "direct_post":
            raise Refused("the request wants another kind of answer")
        chosen = self.choose(said)
        asked = (said["client_id"], said["nonce"])
        token = {name: [credential.show(needed, *asked)] for name, (credential, needed) in chosen.items()}
        form = {"vp_token": json.dumps(token)} if token else {"error": "access_denied"}
        if "state" in said:
            form["state"] = said["state"]
        return self.web.ask(said["response_uri"], form=form)


def issued(lower, upper):
    try:
        lower.verify_directly_issued_by(upper)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--file", default="wallet.json")
    parser.add_argument("--ca", help="authorities that are trusted, PEM; those of the system if left out")
    commands = parser.add_subparsers(dest="command", required=True)
    receive = commands.add_parser("receive")
    receive.add_argument("offer")
    receive.add_argument("--client", required=True, help="the client_id of the wallet at the issuer")
    receive.add_argument("--tx-code")
    receive.add_argument("--copies", type=int, default=1)
    commands.add_parser("list")
    show = commands.add_parser("show")
    show.add_argument("link")
    asked = parser.parse_args()
    try:
        with open(asked.file, encoding="utf-8") as file:
            held = [Credential(one["credential"], Key.read(one["key"])) for one in json.load(file)]
    except FileNotFoundError:
        held = []
    wallet = Wallet(Web(asked.ca), held)
    try:
        if asked.command == "receive":
            wallet.receive(asked.offer, asked.client, asked.tx_code, asked.copies)
        elif asked.command == "show":
            with open(asked.ca or ssl.get_default_verify_paths().cafile, "rb") as file:
                trusted = x509.load_pem_x509_certificates(file.read())
            status, body = wallet.show(asked.link, trusted)
            print(status, body.decode(errors="replace"))
    except Refused as refused:
        sys.exit(str(refused))
    for credential in wallet.credentials:
        print(json.dumps(plain((credential.tree(), ())), indent=2, ensure_ascii=False))
    with open(asked.file, "w", encoding="utf-8") as file:
        json.dump([{"credential": one.text, "key": one.key.pem()} for one in wallet.credentials], file)


if __name__ == "__main__":
    main()
