"""A client under the FAPI 2.0 Security Profile with the person's browser: it proves itself with
private_key_jwt or a certificate, and its tokens are bound to a DPoP key or to that certificate."""

import functools
from urllib.parse import urlencode

from assertions import Signer
from dpop import Key
from portcullis import code_of, log_in, pkce

CALLBACK = "https://bank.example/callback"
# What a client has in its redirect URI must come back with the answer.
OTHER = f"{CALLBACK}/2?dummy1=lorem&dummy2=ipsum"
WAYS = [(auth, binding) for auth in ("private_key_jwt", "tls_client_auth") for binding in ("dpop", "mtls")]


def issued(demo, name):
    """A certificate of the built-in authority."""
    out = demo.data.parent / name
    if not out.exists():
        demo.cli("ca", "issue", "--data", demo.data, "--spiffe-id", called(name), "--out", out)
    return out / "cert.pem", out / "key.pem"


def called(name):
    return f"spiffe://portcullis.local/service/{name}"


def error(answer, *statuses):
    assert answer.status_code in (statuses or (400,)), answer.text
    assert answer.headers["content-type"].startswith("application/json")
    return answer.json()["error"]


class Bank:
    def __init__(self, demo, source, auth="private_key_jwt", binding="dpop", name="bank", **more):
        self.demo, self.source, self.auth, self.binding, self.name = demo, source, auth, binding, name
        self.signer, self.key = Signer("ES256", kid="own", use="sig", alg="ES256"), Key()
        certificates = "tls_client_auth" == auth or binding == "mtls"
        self.base = demo.mesh if certificates else demo.issuer
        self.http = demo.client(source, cert=issued(demo, name) if certificates else None)
        self.uri = more.get("redirect_uris", [CALLBACK])[0]
        self.register(self.signer, **more)

    @functools.cached_property
    def browser(self):
        alice = self.demo.facts()["users"][0]
        browser = self.demo.client(self.source)
        assert log_in(browser, alice["username"], alice["password"]).status_code == 303
        return browser

    def another(self, **more):
        """A second client, who is somebody else in every way."""
        return Bank(self.demo, self.source, self.auth, self.binding, "other-bank", **more)

    def register(self, signer, **more):
        self.signer = signer
        made = self.demo.operator().post("/api/admin/v1/clients", json=self.registration(**more))
        assert made.status_code == 201, made.text
        self.id = made.json()["client"]["client_id"]

    def registration(self, **more):
        by_key = {"jwks": self.signer.jwks}
        by_name = {"tls_client_auth_san_uri": called(self.name)}
        return {
            "name": "Bank", "token_endpoint_auth_method": self.auth, "first_party": True,
            "redirect_uris": [CALLBACK, OTHER], "scopes": ["openid", "profile", "email"],
            "grant_types": ["authorization_code", "refresh_token"], "token_alg": "ES256",
            "security_profile": "fapi_2_0",
            "tls_client_certificate_bound_access_tokens": self.binding == "mtls",
            **(by_key if self.auth == "private_key_jwt" else by_name), **more,
        }

    def own(self, **changes):
        if self.auth == "private_key_jwt":
            return self.signer.form(self.id, self.demo.issuer, **changes)
        return {"client_id": self.id}

    def push(self, own=None, headers=None, **more):
        self.verifier, challenge = pkce()
        form = {
            "response_type": "code", "redirect_uri": self.uri, "scope": "openid profile",
            "state": "st4te", "nonce": "n0nce", "code_challenge": challenge,
            "code_challenge_method": "S256", **(own or self.own()), **more,
        }
        form = {name: value for name, value in form.items() if value is not None}
        return self.http.post(f"{self.base}/oauth2/par", data=form, headers=headers)

    def push_with_proof(self, key=None, proof=None, **more):
        url = f"{self.base}/oauth2/par"
        proof = (key or self.key).proof("POST", url, nonce=self.nonce, **(proof or {}))
        return self.push(headers={"dpop": proof}, **more)

    @functools.cached_property
    def nonce(self):
        """The server's, which it tells whoever comes without."""
        url, form = f"{self.base}/oauth2/token", {"grant_type": "refresh_token", "refresh_token": "x"}
        proof = {"dpop": self.key.proof("POST", url)}
        return self.http.post(url, data={**form, **self.own()}, headers=proof).headers["dpop-nonce"]

    def come(self, pushed, client=None, **more):
        assert pushed.status_code == 201, pushed.text
        query = {"client_id": client or self.id, "request_uri": pushed.json()["request_uri"], **more}
        return self.browser.get(f"/oauth2/authorize?{urlencode(query)}")

    def code(self, **more):
        return code_of(self.come(self.push(**more)))["code"][0]

    def redeem(self, code, own=None, **more):
        given = {"key": more.pop("key", self.key), "proof": more.pop("proof", None)}
        return self.token({
            "grant_type": "authorization_code", "code": code, "redirect_uri": self.uri,
            "code_verifier": self.verifier, **(own or self.own()), **more,
        }, **given)

    def refresh(self, token, **given):
        form = {"grant_type": "refresh_token", "refresh_token": token, **self.own()}
        return self.token(form, **given)

    def token(self, form, key=True, proof=None):
        """With a proof, unless `key` is None or a certificate does instead."""
        url = f"{self.base}/oauth2/token"
        form = {name: value for name, value in form.items() if value is not None}
        headers = {}
        if key and self.binding == "dpop":
            key = self.key if key is True else key
            headers["dpop"] = key.proof("POST", url, nonce=self.nonce, **(proof or {}))
        return self.http.post(url, data=form, headers=headers)

    def tokens(self, **more):
        answer = self.redeem(self.code(**more))
        assert answer.status_code == 200, answer.text
        return answer.json()

    @property
    def scheme(self):
        return "DPoP" if self.binding == "dpop" else "Bearer"

    def resource(self, token, path="/oauth2/userinfo", key=True, scheme=None, proof=None):
        """What a resource server of ours says to the token."""
        headers, url = {"authorization": f"{scheme or self.scheme} {token}"}, f"{self.base}{path}"
        if key and self.binding == "dpop":
            key = self.key if key is True else key
            headers["dpop"] = key.proof("GET", url, token, **(proof or {}))
        return self.http.get(url, headers=headers)
