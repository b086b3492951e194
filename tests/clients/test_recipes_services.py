"""What the recipes say works, for services: tokens that are checked, passed on and asked for."""

import base64
import json
import re
import socket
import subprocess
from pathlib import Path

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import OKPKey

from portcullis import Demo, bearer, free_port, tokens, until
from recipes import Person, Recipe, files

HERE = Path(__file__).parent
EXAMPLES = Path(__file__).parents[2] / "examples"
SHORT = """
issuer = "https://localhost:8443"
[listen]
public = "127.0.0.1:8443"
operations = "127.0.0.1:9090"
[database]
url = "sqlite:portcullis.db"
[tokens]
access_token_lifetime = "2s"
status_list_lifetime = "3s"
"""


@pytest.fixture(scope="module")
def short():
    """An installation whose tokens live two seconds."""
    with Demo(SHORT, services=False) as running:
        until(lambda: (running.data / "demo.json").exists(), "demo.json")
        yield running


def own_token(demo, **more):
    service = demo.facts()["clients"]["service"]
    answer = demo.client().post(
        "/oauth2/token", auth=(service["client_id"], service["client_secret"]),
        data={"grant_type": "client_credentials", "scope": "profile", **more})
    assert answer.status_code == 200, answer.text
    return answer.json()["access_token"]


def refused(recipe, program, token):
    """What the program says against a token."""
    runner = {"try.py": "python3", "try.mjs": "node"}[program]
    done = subprocess.run([runner, program, token], cwd=recipe.directory, env=recipe.env,
                          capture_output=True, text=True, timeout=60)
    return done.returncode != 0 and done.stderr


def part(token, n):
    return json.loads(base64.urlsafe_b64decode(token.split(".")[n] + "=="))


def test_the_block_in_rust_is_from_the_example_that_is_compiled():
    example = (EXAMPLES / "profile-service/src/main.rs").read_text()
    assert files("validate-tokens.md")["main.rs"] in example


@pytest.mark.parametrize("program", ["try.mjs", "try.py"])
def test_a_service_takes_good_tokens_and_no_others(demo, tmp_path, source, program):
    recipe = Recipe("validate-tokens.md", demo, tmp_path, AUDIENCE=demo.issuer)
    held = tokens(demo, demo.facts()["users"][2], source=source)
    token = held["access_token"]
    assert json.loads(recipe.run(program, token))["sub"] == part(token, 1)["sub"]
    both = own_token(demo)
    assert len(part(both, 1)["aud"]) == 2 and json.loads(recipe.run(program, both))["aud"]

    head, body, signature = token.split(".")
    foreign = OKPKey.generate_key("Ed25519")
    header, claims = part(token, 0), part(token, 1)
    none = base64.urlsafe_b64encode(b'{"alg":"none","typ":"at+jwt"}').rstrip(b"=").decode()
    more = base64.urlsafe_b64encode(json.dumps({**claims, "scope": "admin"}).encode()).rstrip(b"=").decode()
    for name, bad in {
        "an ID token": held["id_token"],
        "for somebody else": own_token(demo, resource="https://elsewhere.example"),
        "changed": f"{head}.{more}.{signature}",
        "unsigned": f"{none}.{body}.",
        "of another key": jwt.encode(header, claims, foreign, algorithms=["EdDSA"]),
        "nonsense": "x",
    }.items():
        assert refused(recipe, program, bad), name

    revoked = demo.client().post("/oauth2/revoke", data={"token": token, "client_id": "web"})
    assert revoked.status_code == 200
    until(lambda: "the token was revoked" in (refused(recipe, program, token) or ""), "the revocation")


@pytest.mark.parametrize("program, complaint", [("try.mjs", '"exp" claim'), ("try.py", "expired")])
def test_a_service_refuses_tokens_that_have_expired(short, tmp_path, program, complaint):
    recipe = Recipe("validate-tokens.md", short, tmp_path, AUDIENCE=short.issuer)
    token = own_token(short)
    assert recipe.run(program, token)
    until(lambda: complaint in (refused(recipe, program, token) or ""), "the end of the token")


@pytest.fixture(scope="module")
def inventory():
    """The installation of service-to-service.md. Its service listens where the harness says."""
    with Demo(files("service-to-service.md")["portcullis.toml"], services=False) as running:
        with socket.create_server(("127.0.0.1", running.ports["PROFILE"])):
            until(lambda: (running.data / "demo.json").exists(), "demo.json")
        yield running


@pytest.mark.parametrize("way", ["secret", "key"])
def test_a_service_calls_another_one_through_the_gate(inventory, tmp_path, way):
    port = str(inventory.ports["PROFILE"])
    (tmp_path / "check.py").write_text(files("validate-tokens.md")["check.py"])
    with Recipe("service-to-service.md", inventory, tmp_path, AUDIENCE="inventory", PORT=port) as recipe:
        recipe.start("inventory.py", f"http://127.0.0.1:{port}")
        recipe.register(f"register-{way}.sh")
        answer = json.loads(recipe.run(f"call_with_{way}.py"))
        assert answer == {"item": "teapot", "asked_by": recipe.env["CLIENT_ID"]}
        around = httpx.get(f"http://127.0.0.1:{port}/inventory/teapot", headers=bearer(own_token(inventory)))
        assert around.status_code == 401, "a token for the gate is not one for the service"
        assert inventory.client().get("/inventory/teapot").status_code == 401
        lacking = inventory.client().get("/inventory/teapot", headers=bearer(own_token(inventory)))
        assert lacking.status_code == 403, "the scope is another"


TOOLS_PORT = free_port()


@pytest.fixture(scope="module")
def open_to_clients():
    """The installation of mcp-server.md."""
    config = files("mcp-server.md")["portcullis.toml"].replace(":7010/", f":{TOOLS_PORT}/")
    with Demo(config, services=False) as running:
        until(lambda: (running.data / "demo.json").exists(), "demo.json")
        yield running


@pytest.fixture
def tools(open_to_clients, tmp_path):
    """The server of mcp-server.md."""
    resource = f"http://127.0.0.1:{TOOLS_PORT}/mcp"
    (tmp_path / "check.mjs").write_text(files("validate-tokens.md")["check.mjs"])
    with Recipe("mcp-server.md", open_to_clients, tmp_path, RESOURCE=resource, AUDIENCE=resource) as recipe:
        recipe.start("server.mjs", resource)
        yield recipe


def call_tools(recipe, *client):
    """What the official SDK gets as a client, with carol at the browser."""
    command = ["node", HERE / "recipe_mcp_client.mjs", recipe.env["RESOURCE"], recipe.demo.data / "demo.json", *client]
    done = subprocess.run(command, env=recipe.env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr + recipe.log("server.mjs")
    return json.loads(done.stdout)


def test_a_stranger_is_told_where_people_log_in(tools):
    resource = tools.env["RESOURCE"]
    refused = httpx.post(resource, json={})
    assert refused.status_code == 401
    where = re.search('resource_metadata="([^"]+)"', refused.headers["www-authenticate"]).group(1)
    assert where == resource.replace("/mcp", "/.well-known/oauth-protected-resource/mcp")
    told = httpx.get(where).json()
    assert (told["resource"], told["authorization_servers"]) == (resource, [tools.env["ISSUER"]])
    elsewhere = own_token(tools.demo, resource=tools.demo.issuer)
    assert httpx.post(resource, json={}, headers=bearer(elsewhere)).status_code == 401


def test_a_known_client_calls_a_tool_for_somebody(tools):
    tools.register()
    got = call_tools(tools, tools.env["CLIENT_ID"])
    assert (got["tools"], got["text"]) == (["whoami"], "carol")
    assert part(got["token"], 1)["aud"] == tools.env["RESOURCE"]
    gate = tools.demo.client().get("/oauth2/userinfo", headers=bearer(got["token"]))
    assert gate.status_code == 401, "the token is for this server only"


def test_a_client_that_registers_itself_calls_a_tool_for_somebody(tools):
    got = call_tools(tools)
    assert (got["tools"], got["text"]) == (["whoami"], "carol")
    assert part(got["token"], 1)["aud"] == tools.env["RESOURCE"]
