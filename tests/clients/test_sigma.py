"""Sigma rules of the operator's own: loaded from files, at work on events as they happen, told of as
alerts, exchanged while the service runs; and the engine beside another one on random rules."""

import re
import subprocess
from pathlib import Path

import pytest

from portcullis import DEMO, Demo, log_in, until

ROOT = Path(__file__).parents[2]
RULES = """\
title: Failed
name: failed
logsource: { product: portcullis, service: authentication }
level: informational
detection:
  failed: { metadata.event_code: authn_login_fail }
  condition: failed
---
title: Three failures of one account
name: three
description: Somebody cannot get in.
tags: [attack.t1110.001]
level: medium
correlation:
  type: event_count
  rules: [failed]
  group-by: [user.uid]
  timespan: 10m
  condition: { gte: 3 }
"""
CURL = """\
title: A tool, not a browser
name: tool
logsource: { product: portcullis, category: webserver }
level: low
detection:
  tool: { cs-user-agent|startswith: curl/ }
  condition: tool
"""


@pytest.fixture
def watched(tmp_path):
    demo = Demo(watched=True)
    rules = tmp_path / "rules"
    rules.mkdir()
    demo.rules = rules
    demo.config = DEMO + f'\n[detect]\nmode = "observe"\nsigma = ["{rules}"]\n'
    (rules / "failures.yml").write_text(RULES)
    with demo:
        yield demo
        assert "panicked" not in demo.log()


def alerts(operator, rule):
    found = operator.get("/api/admin/v1/alerts?limit=100").json()["items"]
    return [alert for alert in found if alert["rule"] == rule]


def test_rules_are_at_work_and_exchanged_while_the_service_runs(watched):
    operator, bob = watched.operator(), watched.facts()["users"][1]
    client = watched.client("127.0.6.2")
    for _ in range(4):
        log_in(client, bob["username"], "wrong")
    # The rest waits for the detectors, not for a clock.
    [alert] = until(lambda: alerts(operator, "sigma_three"), "the alert")
    assert alert["title"] == "Three failures of one account" and alert["technique"] == "T1110.001"
    assert alert["description"].startswith("Somebody cannot get in. Counted: 3, user.uid usr_")
    assert len(alert["evidence"]) == 3 and len(alert["accounts"]) == 1
    assert "127.0.6.2" not in str(alert) and bob["username"] not in str(alert)
    [event] = [entry for entry in watched.audit() if entry["metadata"]["event_code"] == "alert_sigma_three"]
    assert event["finding_info"]["attacks"] == [{"technique": {"uid": "T1110.001"}}]

    # A file more is a rule more.
    client.get("/login", headers={"user-agent": "curl/8"})
    assert not alerts(operator, "sigma_tool")
    (watched.rules / "tools.yaml").write_text(CURL)
    reloads = lambda: watched.log().count("the configuration was loaded again")
    until(lambda: reloads() == 1, "the reload")
    client.get("/login", headers={"user-agent": "curl/8"})
    [alert] = until(lambda: alerts(operator, "sigma_tool"), "the second alert")
    assert "127.0.6.2" in alert["title"], "it is about nobody who has an account"

    # What cannot be used changes nothing, and says which rule it is.
    (watched.rules / "tools.yaml").write_text(CURL.replace("startswith", "sounds"))
    until(lambda: "is not known" in watched.log(), "the refusal")
    assert re.search(r"tools\.yaml: A tool, not a browser: .*sounds", watched.log())
    assert reloads() == 1
    check = watched.cli("check", "--config", watched.file, check=False)
    assert check.returncode != 0 and "A tool, not a browser" in check.stderr


def test_the_rules_that_are_shipped_see_a_spray():
    config = DEMO + f'\n[detect]\nmode = "observe"\nsigma = ["{ROOT}/deploy/sigma"]\n'
    config += '[protect.login]\nlimits = [{ key = "ip", rate = "100/min" }]\n'
    with Demo(config, watched=True) as demo:
        operator, client = demo.operator(), demo.client("127.0.6.3")
        for number in range(12):
            page = log_in(client, f"nobody{number}", "plum rivet otter canvas")
            assert page.status_code in (200, 401, 403, 422, 429), page.status_code
        [alert] = until(lambda: alerts(operator, "sigma_spray"), "the alert")
        assert alert["title"].endswith("from 127.0.6.3") and alert["accounts"] == []


def test_beside_another_engine_nothing_differs():
    build = ["cargo", "run", "--quiet", "--locked", "--manifest-path", ROOT / "tests/sigma-oracle/Cargo.toml",
             "--target-dir", ROOT / "target"]
    done = subprocess.run(build, capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stderr
    assert re.match(r"1\d{5} events, \d+ matches, no difference", done.stdout)
