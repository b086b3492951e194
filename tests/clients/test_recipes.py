"""What the recipes say works, for people: pages, web applications and programs that log somebody in."""

import base64
import hashlib
import json
import re
import ssl
import subprocess
import tempfile
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from portcullis import fields, free_port, submit
from recipes import DOCS, Person, Recipe, installed

HERE = Path(__file__).parent


@pytest.fixture
def follow(demo, tmp_path):
    """Follows a recipe up to its registration: the application has an address of its own."""
    opened = []

    def follow(name, **env):
        recipe = Recipe(name, demo, tmp_path, APP=f"http://127.0.0.1:{free_port()}", **env)
        opened.append(recipe)
        return recipe

    yield follow
    for recipe in opened:
        recipe.__exit__()


@pytest.fixture
def person(demo, source):
    return Person(demo, source)


def pinned(demo):
    """The fingerprint of the provider's key, for a browser that does not know its authority."""
    served = ssl.get_server_certificate(("127.0.0.1", demo.ports["PUBLIC"]))
    key = x509.load_pem_x509_certificate(served.encode()).public_key()
    spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(spki).digest()).decode()


def test_a_single_page_application_logs_somebody_in_and_out(demo, follow, person):
    recipe = follow("spa.md")
    recipe.register()
    recipe.run("build.sh")
    recipe.start("serve.sh", recipe.env["APP"])
    user = person.user
    command = ["node", HERE / "recipe_spa.mjs", recipe.env["APP"], *person.credentials.values(), pinned(demo)]
    run = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    seen = json.loads(run.stdout)
    assert seen.pop("complaints") == [], seen
    known = f"{user['username']}, {user['email']}"
    assert seen == {
        "before": "nobody", "after": known, "url": f"{recipe.env['APP']}/", "reloaded": known,
        "left": "nobody", "again": "/login",
    }


@pytest.mark.parametrize("program", ["server.mjs", "app.py"])
def test_a_web_application_keeps_a_session_until_its_logout_ends_both(demo, follow, person, program):
    recipe = follow("web-app.md", SESSION_SECRET="plum rivet otter canvas")
    recipe.register()
    app = recipe.env["APP"]
    recipe.start(program, app)
    assert person.get(f"{app}/").text == "nobody"
    back = person.get(f"{app}/login")
    assert (str(back.url), back.text) == (f"{app}/", person.user["username"]), back.text
    other = Person(demo, person.source)
    assert other.get(f"{app}/").text == "nobody"
    left = person.follow(person.at_app.post(f"{app}/logout"))
    assert (str(left.url), left.text) == (f"{app}/", "nobody")
    assert person.at_provider.get("/account").status_code == 303, "the provider's session ended too"


def test_a_web_application_refuses_the_answer_to_somebody_elses_login(demo, follow, person):
    recipe = follow("web-app.md", SESSION_SECRET="plum rivet otter canvas")
    recipe.register()
    app = recipe.env["APP"]
    recipe.start("server.mjs", app)
    person.at_app.get(f"{app}/login")
    for query in ("code=x", "code=x&state=y", "error=access_denied"):
        assert person.at_app.get(f"{app}/callback?{query}").status_code >= 400, query
    assert person.get(f"{app}/").text == "nobody"


def test_a_program_listens_on_a_free_port_and_logs_somebody_in(follow, person):
    recipe = follow("native-app.md", BROWSER="true")
    recipe.register()
    program = recipe.start("login.py")
    url = recipe.says("login.py", r"Log in at (\S+)")
    assert person.get(url).text == "You can close this window.\n"
    assert program.wait(30) == 0, recipe.log("login.py")
    assert recipe.says("login.py", "Logged in as (.+)") == person.user["username"]


def test_a_program_without_a_browser_shows_a_code(demo, follow, person):
    recipe = follow("native-app.md")
    recipe.register()
    program = recipe.start("device.py")
    code = recipe.says("device.py", r"enter (\S+)")
    assert recipe.says("device.py", r"Open (\S+)") == f"{demo.issuer}/device"
    person.get(f"{demo.issuer}/account")
    question = submit(person.at_provider, "/device", {"user_code": code})
    done = person.at_provider.post("/device", data={**fields(question.text), "decision": "allow"})
    assert "is connected" in done.text
    assert program.wait(30) == 0, recipe.log("device.py")
    assert recipe.says("device.py", "Logged in as (.+)") == person.user["username"]


@pytest.fixture
def readable():
    """A directory that servers with another user's rights can read."""
    with tempfile.TemporaryDirectory(prefix="portcullis-recipe-") as directory:
        path = Path(directory)
        path.chmod(0o755)
        yield path


def test_apache_knows_who_somebody_is(demo, person, readable):
    ca = readable / "ca.pem"
    ca.write_bytes((demo.data / "ca.pem").read_bytes())
    app = f"http://127.0.0.1:{free_port()}"
    secret = {"SESSION_SECRET": "plum rivet otter canvas"}
    with Recipe("known-product.md", demo, readable, APP=app, CA=str(ca), **secret) as recipe:
        recipe.register()
        recipe.start("serve.sh", app)
        user = person.user
        hello = person.get(f"{app}/")
        assert f"Hello {user['username']}, whose mail is {user['email']}." in hello.text, hello.text
        spoofed = httpx.get(f"{app}/", headers={"oidc_claim_email": "x", "remote_user": "admin"})
        assert spoofed.status_code == 302, "the headers of a stranger count for nothing"
        left = person.get(f"{app}/oidc?logout=")
        assert (str(left.url), "Goodbye" in left.text) == (f"{app}/bye.html", True)
        assert person.at_app.get(f"{app}/").status_code == 302, "Apache's session ended"
        assert person.at_provider.get("/account").status_code == 303, "and the provider's"


def test_whatever_a_recipe_installs_is_what_the_suite_runs_it_with():
    node = json.loads((HERE / "package.json").read_text())["dependencies"]
    python = re.findall(r"^[a-z-]+", (HERE / "requirements.txt").read_text(), re.M)
    for recipe in DOCS.glob("*.md"):
        assert set(installed(recipe.name)) <= {*node, *python}, recipe.name


def test_the_index_names_every_recipe():
    index = (DOCS / "README.md").read_text()
    for recipe in DOCS.glob("*.md"):
        assert recipe.name == "README.md" or f"]({recipe.name})" in index
