"""Pushed authorization requests (RFC 9126) and tokens bound to a key (RFC 9449)."""

import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlencode

import pytest

from dpop import Key
from portcullis import bearer, code_of, fields, log_in, pkce, tokens

SCOPE = "openid profile email"


@pytest.fixture
def browser(demo, source):
    alice = demo.facts()["users"][0]
    browser = demo.client(source)
    assert log_in(browser, alice["username"], alice["password"]).status_code == 303
    return browser


def new_client(demo, **more):
    made = demo.operator().post("/api/admin/v1/clients", json={
        "name": "Pushing", "token_endpoint_auth_method": "client_secret_basic",
        "redirect_uris": ["https://rp.example/cb"], "scopes": SCOPE.split(), "first_party": True,
        "grant_types": ["authorization_code", "refresh_token"], **more,
    })
    assert made.status_code == 201, made.text
    made = made.json()
    return made["client"]["client_id"], made.get("client_secret")


def request(own_id, challenge, **more):
    return {
        "client_id": own_id, "response_type": "code", "redirect_uri": "https://rp.example/cb",
        "scope": SCOPE, "state": "st", "code_challenge": challenge, "code_challenge_method": "S256",
        **more,
    }


def push(demo, auth, challenge, **more):
    return demo.client().post("/oauth2/par", data=request(auth[0], challenge, **more), auth=auth)


def come(browser, client_id, uri, **more):
    query = urlencode({"client_id": client_id, "request_uri": uri, **more})
    return browser.get(f"/oauth2/authorize?{query}")


def redeem(demo, auth, code, verifier, **options):
    form = {"grant_type": "authorization_code", "code": code, "code_verifier": verifier,
            "redirect_uri": "https://rp.example/cb"}
    return demo.client().post("/oauth2/token", data=form, auth=auth, **options)


def test_a_pushed_request_is_granted_once(demo, browser):
    auth = new_client(demo)
    verifier, challenge = pkce()
    pushed = push(demo, auth, challenge)
    assert pushed.status_code == 201 and pushed.headers["cache-control"] == "no-store"
    uri = pushed.json()["request_uri"]
    assert uri.startswith("urn:ietf:params:oauth:request_uri:")
    assert 5 <= pushed.json()["expires_in"] <= 600
    # What the browser adds does not count.
    answer = code_of(come(browser, auth[0], uri, scope="admin", redirect_uri="https://evil.example"))
    assert answer["state"] == ["st"]
    token = redeem(demo, auth, answer["code"][0], verifier).json()
    assert token["scope"] == "email openid profile"
    again = come(browser, auth[0], uri)
    assert again.status_code == 400 and "invalid_request_uri" in again.text


def test_of_many_browsers_with_one_pushed_request_one_gets_a_code(demo, browser):
    auth = new_client(demo)
    uri = push(demo, auth, pkce()[1]).json()["request_uri"]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: come(browser, auth[0], uri), range(8)))
    codes = [a for a in answers if "code=" in a.headers.get("location", "")]
    assert len(codes) == 1
    assert all(a.status_code == 400 for a in answers if a not in codes)


def test_a_pushed_request_is_its_clients_own(demo, browser):
    auth, other = new_client(demo), new_client(demo)
    uri = push(demo, auth, pkce()[1]).json()["request_uri"]
    for client_id, name in [(other[0], uri), (auth[0], uri[:-1]), (auth[0], "https://rp.example/r")]:
        answer = come(browser, client_id, name)
        assert answer.status_code == 400 and "location" not in answer.headers
    assert "code" in code_of(come(browser, auth[0], uri))


def test_what_a_browser_may_not_ask_cannot_be_pushed(demo):
    auth = new_client(demo)
    challenge = pkce()[1]
    for change, error in [
        ({"redirect_uri": "https://rp.example/other"}, "invalid_request"),
        ({"scope": "openid admin"}, "invalid_scope"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"code_challenge": ""}, "invalid_request"),
        ({"request_uri": "urn:ietf:params:oauth:request_uri:x"}, "invalid_request"),
        ({"request": "e30.e30."}, "request_not_supported"),
        ({"client_id": "web"}, "invalid_request"),
        ({"dpop_jkt": "short"}, "invalid_request"),
        ({"x": "y" * 8000, "z": "y" * 500}, "invalid_request"),
    ]:
        answer = push(demo, auth, challenge, **change)
        assert (answer.status_code, answer.json()["error"]) == (400, error), change
    answer = push(demo, (auth[0], "wrong"), challenge)
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


def test_a_client_that_must_push_may_not_do_without(demo, browser):
    auth = new_client(demo, require_pushed_authorization_requests=True)
    challenge = pkce()[1]
    plain = browser.get(f"/oauth2/authorize?{urlencode(request(auth[0], challenge))}")
    assert code_of(plain)["error"] == ["invalid_request"]
    uri = push(demo, auth, challenge).json()["request_uri"]
    assert "code" in code_of(come(browser, auth[0], uri))


def test_a_pushed_wish_to_log_in_again_is_granted_once(demo, browser):
    auth = new_client(demo)
    alice = demo.facts()["users"][0]
    for wish in ({"prompt": "login"}, {"max_age": "0"}, {"prompt": "login consent"}):
        uri = push(demo, auth, pkce()[1], **wish).json()["request_uri"]
        to_login = come(browser, auth[0], uri)
        assert "/login?" in to_login.headers["location"], wish
        page = browser.get(to_login.headers["location"])
        form = {**fields(page.text), "username": alice["username"], "password": alice["password"]}
        back = browser.post("/login", data=form).headers["location"]
        answer = browser.get(back)
        if "consent" in wish.get("prompt", ""):
            assert "consent-allow" in answer.text
            form = {**fields(answer.text), "decision": "allow"}
            answer = browser.post("/oauth2/consent", data=form)
        assert "code" in code_of(answer), wish


def bound(demo, browser, key, **client):
    """Tokens bound to `key`, for a public client unless `client` says otherwise."""
    auth = new_client(demo, **{"token_endpoint_auth_method": "none", **client})
    verifier, challenge = pkce()
    asked = browser.get(f"/oauth2/authorize?{urlencode(request(auth[0], challenge))}")
    form = {"grant_type": "authorization_code", "code": code_of(asked)["code"][0],
            "client_id": auth[0], "code_verifier": verifier, "redirect_uri": "https://rp.example/cb"}
    answer = key.post(demo.client(), f"{demo.issuer}/oauth2/token", form)
    assert answer.status_code == 200 and answer.json()["token_type"] == "DPoP", answer.text
    return auth[0], answer.json()


def test_a_bound_token_passes_the_gate_with_its_key_only(demo, browser, source):
    key, thief = Key(), Key()
    _, held = bound(demo, browser, key)
    token, url = held["access_token"], f"{demo.issuer}/profile/me"
    client = demo.client()
    good = key.headers("GET", url, token)
    assert client.get(url, headers=good).json()["username"] == "alice"

    def refused(headers, word, target=url):
        answer = client.get(target, headers=headers)
        assert answer.status_code == 401, answer.text
        assert word in answer.headers["www-authenticate"], answer.headers

    refused(good, "used before")
    refused(bearer(token), "invalid_token")
    refused({"authorization": f"DPoP {token}"}, "invalid_dpop_proof")
    refused(thief.headers("GET", url, token), "another key")
    refused(key.headers("POST", url, token), "another request")
    refused(key.headers("GET", f"{demo.issuer}/profile/you", token), "another request")
    refused(key.headers("GET", url, token, ath=None), "another token")
    refused(key.headers("GET", url, token, iat=0), "not fresh")
    refused({**key.headers("GET", url, token), "dpop": "a.b.c"}, "malformed")
    twice = [("authorization", f"DPoP {token}"), ("dpop", key.proof("GET", url, token)),
             ("dpop", key.proof("GET", url, token))]
    refused(twice, "one DPoP proof")
    unbound = tokens(demo, demo.facts()["users"][1], source=source)["access_token"]
    refused(key.headers("GET", url, unbound), "bound to no key")
    # A proof for another server is none for this one, whatever the request says of its host.
    elsewhere = key.headers("GET", "https://else.example/profile/me", token)
    refused({**elsewhere, "host": "else.example"}, "another host")
    # Query and escapes of unreserved characters are the gate's own business.
    spelled = f"{demo.issuer}/profile/%6De?x=1"
    headers = key.headers("GET", f"{demo.issuer}/profile/%6De", token)
    assert client.get(spelled, headers=headers).status_code == 200


def test_userinfo_and_introspection_know_what_is_bound(demo, browser):
    key = Key()
    _, held = bound(demo, browser, key)
    token, url = held["access_token"], f"{demo.issuer}/oauth2/userinfo"
    client = demo.client()
    good = key.headers("GET", url, token)
    assert client.get(url, headers=good).json()["preferred_username"] == "alice"
    for headers, error in [
        (good, "invalid_dpop_proof"),
        (bearer(token), "invalid_token"),
        (Key().headers("GET", url, token), "invalid_dpop_proof"),
        ({"authorization": f"DPoP {token}"}, "invalid_dpop_proof"),
    ]:
        answer = client.get(url, headers=headers)
        assert answer.status_code == 401 and error in answer.headers["www-authenticate"]
    service = demo.facts()["clients"]["service"]
    known = client.post("/oauth2/introspect", data={"token": token},
                        auth=(service["client_id"], service["client_secret"])).json()
    assert known["token_type"] == "DPoP" and known["cnf"] == {"jkt": key.thumbprint()}


def test_every_challenge_names_the_scheme_that_was_used(demo, browser):
    key = Key()
    _, held = bound(demo, browser, key)
    client, token = demo.client(), held["access_token"]
    url = f"{demo.issuer}/admin-service/reports"
    answer = client.get(url, headers=key.headers("GET", url, token))
    assert answer.status_code == 403
    assert answer.headers["www-authenticate"].startswith("DPoP "), answer.headers
    url = f"{demo.issuer}/oauth2/userinfo"
    answer = client.get(url, headers={"authorization": "DPoP nonsense"})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("DPoP "), answer.headers


def test_head_asks_for_nothing(demo, browser):
    """A GET that grants is no reading, so HEAD does not stand for it (RFC 9110, section 9.3.2)."""
    auth = new_client(demo)
    verifier, challenge = pkce()
    uri = push(demo, auth, challenge).json()["request_uri"]
    query = urlencode({"client_id": auth[0], "request_uri": uri})
    assert browser.head(f"/oauth2/authorize?{query}").status_code == 405
    assert browser.head("/oauth2/logout").status_code == 405
    assert browser.head("/oauth2/jwks").status_code == 200
    code = code_of(come(browser, auth[0], uri))["code"][0]
    assert redeem(demo, auth, code, verifier).status_code == 200


def test_a_public_clients_refresh_token_needs_its_key(demo, browser):
    key = Key()
    client_id, held = bound(demo, browser, key)
    client, url = demo.client(), f"{demo.issuer}/oauth2/token"
    form = {"grant_type": "refresh_token", "refresh_token": held["refresh_token"], "client_id": client_id}
    assert client.post(url, data=form).json()["error"] == "invalid_grant"
    assert Key().post(client, url, form).json()["error"] == "invalid_grant"
    # Neither attempt used it up or ended the family.
    fresh = key.post(client, url, form)
    assert fresh.status_code == 200 and fresh.json()["token_type"] == "DPoP", fresh.text


def test_proofs_at_the_provider_are_fresh_and_used_once(demo):
    service = demo.facts()["clients"]["service"]
    auth = (service["client_id"], service["client_secret"])
    client, url, key = demo.client(), f"{demo.issuer}/oauth2/token", Key()
    form = {"grant_type": "client_credentials", "scope": "profile"}

    def send(*proofs):
        answer = client.post(url, data=form, auth=auth, headers=[("dpop", proof) for proof in proofs])
        return answer.status_code, answer.json().get("error"), answer.headers.get("dpop-nonce")

    _, error, nonce = send(key.proof("POST", url))
    assert error == "use_dpop_nonce"
    good = key.proof("POST", url, nonce=nonce)
    assert send(good)[0] == 200
    for wrong in [
        (good,),
        (key.proof("POST", url, nonce=nonce), key.proof("POST", url, nonce=nonce)),
        (key.proof("GET", url, nonce=nonce),),
        (key.proof("POST", f"{demo.issuer}/oauth2/par", nonce=nonce),),
        (key.proof("POST", url, nonce=nonce, iat=0),),
        ("x",),
    ]:
        assert send(*wrong)[:2] == (400, "invalid_dpop_proof")
    for nonce in ("made-up", nonce[:-4] + "AAAA"):
        assert send(key.proof("POST", url, nonce=nonce))[:2] == (400, "use_dpop_nonce")


def test_a_code_is_bound_to_the_key_that_was_announced(demo, browser):
    auth = new_client(demo)
    key, thief = Key(), Key()
    url = f"{demo.issuer}/oauth2/token"

    def code(verifier_challenge):
        data = request(auth[0], verifier_challenge[1])
        pushed = key.post(demo.client(), f"{demo.issuer}/oauth2/par", data, auth=auth)
        assert pushed.status_code == 201, pushed.text
        return code_of(come(browser, auth[0], pushed.json()["request_uri"]))["code"][0]

    pair = pkce()
    form = {"grant_type": "authorization_code", "code": code(pair), "code_verifier": pair[0],
            "redirect_uri": "https://rp.example/cb"}
    assert demo.client().post(url, data=form, auth=auth).json()["error"] == "invalid_grant"
    assert thief.post(demo.client(), url, form, auth=auth).json()["error"] == "invalid_grant"
    assert key.post(demo.client(), url, form, auth=auth).status_code == 200
    # The announced key and the proof of the push must be one.
    other = key.post(demo.client(), f"{demo.issuer}/oauth2/par",
                     request(auth[0], pair[1], dpop_jkt=thief.thumbprint()), auth=auth)
    assert other.json()["error"] == "invalid_dpop_proof"


def test_a_client_registered_for_bound_tokens_gets_no_others(demo, browser):
    auth = new_client(demo, dpop_bound_access_tokens=True)
    verifier, challenge = pkce()
    asked = browser.get(f"/oauth2/authorize?{urlencode(request(auth[0], challenge))}")
    code = code_of(asked)["code"][0]
    assert redeem(demo, auth, code, verifier).json()["error"] == "invalid_dpop_proof"
    form = {"grant_type": "authorization_code", "code": code, "code_verifier": verifier,
            "redirect_uri": "https://rp.example/cb"}
    key = Key()
    assert key.post(demo.client(), f"{demo.issuer}/oauth2/token", form, auth=auth).status_code == 200


def test_openid_client_for_node_pushes_and_proves(own_demo):
    script = Path(__file__).with_name("openid_client_bound.mjs")
    variants = ["par", "dpop+ES256", "dpop+Ed25519", "dpop+PS256", "par+dpop+ES256"]
    done = subprocess.run(
        ["node", script, own_demo.data / "demo.json", *variants], capture_output=True, text=True,
        env={**own_demo.env, "NODE_EXTRA_CA_CERTS": str(own_demo.data / "ca.pem")}, timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("every step passed") == len(variants)
