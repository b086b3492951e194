"""A login with the Rust crate openidconnect (tests/rust-client)."""

import json
import subprocess
from pathlib import Path

from portcullis import fields, log_in

ROOT = Path(__file__).parents[2]


def test_the_crate_logs_somebody_in(demo, source):
    build = ["cargo", "build", "--quiet", "--locked", "--manifest-path", ROOT / "tests/rust-client/Cargo.toml",
             "--target-dir", ROOT / "target"]
    subprocess.run(build, check=True, timeout=900)
    facts = demo.facts()
    alice, web = facts["users"][0], facts["clients"]["web"]
    browser = demo.client(source)
    log_in(browser, alice["username"], alice["password"])
    command = [ROOT / "target/debug/openidconnect-client", demo.issuer, web["client_id"], web["redirect_uri"],
               demo.data / "ca.pem"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True) as client:
        answer = browser.get(client.stdout.readline().strip())
        if answer.status_code == 200:
            answer = browser.post("/oauth2/consent", data={**fields(answer.text), "decision": "allow"})
        assert answer.status_code == 303, answer.text
        out, err = client.communicate(answer.headers["location"] + "\n", timeout=60)
        assert client.returncode == 0, err
    learned = json.loads(out)
    assert (learned["name"], learned["email"]) == (alice["username"], "alice@example.org")
    assert learned["subject"].startswith("usr_") and learned["refreshed"]
    assert learned["algorithm"] == "EdDsa"
