"""The recipes of docs/recipes, taken out of their Markdown and run as they stand."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from urllib.parse import urljoin

import httpx

from portcullis import DEADLINE, fields, submit, until

DOCS = Path(__file__).parents[2] / "docs/recipes"
NODE_MODULES = Path(__file__).with_name("node_modules")
BLOCK = re.compile(r"^( *)```(\w+) title=(\S+)\n(.*?)^\1```$", re.M | re.S)
RUNNERS = {".sh": ["bash", "-euo", "pipefail"], ".py": [sys.executable], ".mjs": ["node"]}


def files(name):
    """The files that a recipe tells its readers to make."""
    text = (DOCS / name).read_text()
    return {title: textwrap.dedent(body) if indent else body for indent, _, title, body in BLOCK.findall(text)}


class Recipe:
    """One recipe in a directory of its own, followed by somebody with this environment."""

    def __init__(self, name, demo, directory, **env):
        self.demo, self.directory, self.running = demo, directory, []
        for title, body in {**files("README.md"), **files(name)}.items():
            path = directory / title
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(body)
        (directory / "node_modules").symlink_to(NODE_MODULES)
        operator = demo.facts()["clients"]["operator"]
        self.env = {
            **os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONUNBUFFERED": "1", "ISSUER": demo.issuer, "CA": str(demo.data / "ca.pem"),
            "OPERATOR": f"{operator['client_id']}:{operator['client_secret']}", **env,
        }
        loaded = self.sh(". ./environment.sh; env -0")
        self.env.update(line.split("=", 1) for line in loaded.split("\0") if line)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.running:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self.running:
            process.wait(DEADLINE)

    def sh(self, command):
        return self._run([*RUNNERS[".sh"], "-c", command])

    def run(self, title, *arguments, **env):
        """Runs one of its files to the end."""
        return self._run([*RUNNERS[Path(title).suffix], title, *arguments], **env)

    def _run(self, command, **env):
        done = subprocess.run(command, cwd=self.directory, env={**self.env, **env},
                              capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def start(self, title, answers=None, **env):
        """Starts one of its files and waits until something answers at `answers`."""
        command = [*RUNNERS[Path(title).suffix], title]
        log = open(self.directory / f"{title}.log", "wb")
        process = subprocess.Popen(command, cwd=self.directory, env={**self.env, **env},
                                   stdout=log, stderr=log)
        self.running.append(process)
        if answers:
            until(lambda: process.poll() is not None or is_up(answers), f"the start of {title}")
        assert process.poll() is None, self.log(title)
        return process

    def says(self, title, pattern):
        """What a program that was started prints, once it does."""
        found = until(lambda: re.search(pattern, self.log(title)), f"{pattern} from {title}")
        return found.group(1)

    def log(self, title):
        return (self.directory / f"{title}.log").read_text()

    def register(self, title="register.sh"):
        """Makes the client and follows the sentence about CLIENT_ID and CLIENT_SECRET."""
        made = json.loads(self.run(title))
        assert "client" in made, made
        self.env["CLIENT_ID"] = made["client"]["client_id"]
        self.env["CLIENT_SECRET"] = made.get("client_secret") or ""
        return made


def is_up(url):
    try:
        return httpx.get(url) is not None
    except httpx.TransportError:
        return False


def installed(name):
    """The packages that a recipe has its readers install."""
    lines = re.findall(r"(?:npm|pip) install ([^`\n]+)", (DOCS / name).read_text())
    return [package for line in lines for package in shlex.split(line)]


class Person:
    """Somebody with a browser, at the provider and at an application on loopback."""

    def __init__(self, demo, source, user=2):
        self.demo, self.source, self.user = demo, source, demo.facts()["users"][user]
        self.at_provider = demo.client(source)
        self.at_app = httpx.Client(timeout=20)

    @property
    def credentials(self):
        return {name: self.user[name] for name in ("username", "password")}

    def get(self, url):
        """Opens a page, follows every redirect, and logs in and consents where it is asked to."""
        client = self.at_provider if url.startswith(self.demo.issuer) else self.at_app
        return self.follow(client.get(url))

    def follow(self, answer):
        while True:
            if answer.has_redirect_location:
                answer = self.get(urljoin(str(answer.url), answer.headers["location"]))
            elif "login-submit" in answer.text:
                page = str(answer.url).removeprefix(self.demo.issuer)
                answer = submit(self.at_provider, page, self.credentials)
            elif "consent-allow" in answer.text:
                form = {**fields(answer.text), "decision": "allow"}
                answer = self.at_provider.post("/oauth2/consent", data=form)
            else:
                return answer
