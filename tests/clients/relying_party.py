"""A relying party of OpenID Connect Core with a browser of its own, and what it can read of tokens."""

import base64
import json
from urllib.parse import urlencode

from joserfc import jwt
from joserfc.jwk import KeySet

from portcullis import bearer, code_of, log_in

CALLBACK = "https://rp.example/cb"


class Party:
    def __init__(self, demo, source, method="client_secret_basic", first_party=True, **more):
        made = demo.operator().post("/api/admin/v1/clients", json={
            "name": "Basic", "token_endpoint_auth_method": method, "first_party": first_party,
            "redirect_uris": [CALLBACK], "scopes": ["openid", "profile", "email"],
            "grant_types": ["authorization_code", "refresh_token"], "nonce_instead_of_pkce": True,
            **more,
        })
        assert made.status_code == 201, made.text
        self.id, self.secret = made.json()["client"]["client_id"], made.json()["client_secret"]
        self.demo, self.source, self.method = demo, source, method
        self.alice = demo.facts()["users"][0]
        self.browser = demo.client(source)

    def for_new(self, name, source, password):
        """The same client, in the browser of somebody new, who is logged in."""
        made = Party.__new__(Party)
        made.__dict__ = {**self.__dict__, "source": source}
        made.person = self.demo.new_user(name)
        made.alice = {"username": made.person["username"], "password": password}
        made.browser = self.demo.client(source)
        return made.log_in()

    def log_in(self):
        assert log_in(self.browser, self.alice["username"], self.alice["password"]).status_code == 303
        return self

    def query(self, **more):
        query = {"client_id": self.id, "redirect_uri": CALLBACK, "response_type": "code",
                 "scope": "openid", "state": "st", "nonce": "no", **more}
        return {name: value for name, value in query.items() if value is not None}

    def ask(self, **more):
        return self.browser.get(f"/oauth2/authorize?{urlencode(self.query(**more))}")

    def redeem(self, answer, **more):
        form = {"grant_type": "authorization_code", "code": code_of(answer)["code"][0],
                "redirect_uri": CALLBACK, **more}
        return self.token(form)

    def refresh(self, held, **more):
        return self.token({"grant_type": "refresh_token", "refresh_token": held["refresh_token"], **more})

    def token(self, form):
        if self.method == "client_secret_post":
            form = {**form, "client_id": self.id, "client_secret": self.secret}
            return self.demo.client(self.source).post("/oauth2/token", data=form)
        return self.demo.client(self.source).post("/oauth2/token", data=form, auth=(self.id, self.secret))

    def tokens(self, **more):
        answer = self.redeem(self.ask(**more))
        assert answer.status_code == 200, answer.text
        return answer.json()

    def userinfo(self, **more):
        held = self.tokens(**more)
        return self.browser.get("/oauth2/userinfo", headers=bearer(held["access_token"])).json()


def part(token, number):
    return json.loads(base64.urlsafe_b64decode(token.split(".")[number] + "=="))


def header_of(token):
    return part(token, 0)


def claims_of(token):
    return part(token, 1)


def signed_by(demo, token, alg="RS256"):
    """The claims of a token that the provider's published key of that name has signed."""
    header, keys = header_of(token), demo.client().get("/oauth2/jwks").json()["keys"]
    own = [key for key in keys if key["kid"] == header["kid"]]
    assert len(own) == 1 and own[0]["alg"] == header["alg"] == alg, header
    return jwt.decode(token, KeySet.import_key_set({"keys": own}), algorithms=[alg]).claims


def leads_to_login(answer):
    return answer.status_code == 303 and answer.headers["location"].startswith("/login?")


def stays_here(answer):
    """An error that stays on our page, because nobody may be redirected."""
    return answer.status_code == 400 and "location" not in answer.headers
