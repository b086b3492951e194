"""Metrics are what Prometheus reads, and every metric that a rule or the dashboard names is there."""

import json
import re
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families

from portcullis import DEMO, Demo, log_in, until

DEPLOY = Path(__file__).parents[2] / "deploy"


def families(demo):
    answer = httpx.get(f"{demo.ops}/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    return {family.name: family for family in text_string_to_metric_families(answer.text)}


def test_everything_that_is_watched_is_there():
    sink = '\n[[sink]]\nname = "none"\notlp = { url = "http://127.0.0.1:9/" }\n'
    with Demo(DEMO + sink) as demo:
        person = demo.facts()["users"][0]
        assert log_in(demo.client("127.0.7.1"), person["username"], person["password"]).status_code == 303
        refused = demo.client("127.0.7.1").get("/profile/me")
        assert refused.status_code == 401

        def counted():
            known = families(demo)
            found = {tuple(one.labels.get(name) for name in ("route", "stage")): one.value
                     for one in known["portcullis_requests_refused"].samples}
            return found.get(("profile", "authenticate")) and known
        known = until(counted, "the count")
        by = lambda name, **labels: sum(
            one.value for one in known[name].samples
            if not one.name.endswith("_created") and labels.items() <= one.labels.items())
        assert by("portcullis_events", code="authn_login_success") == 1
        assert by("portcullis_requests", route="profile", status="4xx") == 1
        times = [one for one in known["portcullis_request_duration_seconds"].samples
                 if one.labels["route"] == "profile"]
        assert [one.value for one in times if one.name.endswith("_count")] == [1]
        buckets = [one.value for one in times if one.name.endswith("_bucket")]
        assert buckets == sorted(buckets) and buckets[-1] == 1

        names = {one.name for family in known.values() for one in family.samples} | known.keys()
        board = json.loads((DEPLOY / "grafana/portcullis.json").read_text())
        asked = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
        asked += re.findall(r"expr: (.*?)\n        (?:for|labels)", (DEPLOY / "prometheus-alerts.yml").read_text(), re.S)
        assert len(asked) > 25
        for expression in asked:
            for name in re.findall(r"portcullis_\w+", expression):
                # There are no maps in the demo.
                assert name in names or name == "portcullis_map_built_timestamp_seconds", name
