"""Traces of requests: W3C Trace Context through the gate, and spans for an OpenTelemetry collector, read with
the published definitions."""

import json
import re
import subprocess

import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as otlp

from echo import Echo
from portcullis import BIN, Demo, until
from receivers import Http

CONFIG = """
issuer = "https://localhost:8443"
[listen]
public = "127.0.0.1:8443"
mesh = "127.0.0.1:8444"
operations = "127.0.0.1:9090"
[database]
url = "sqlite:portcullis.db"
[tracing]
otlp = "{collector}/base"
share = {share}
[[upstream]]
name = "echo"
servers = ["http://127.0.0.1:{port}"]
[[route]]
name = "open"
path = "/open/{{*rest}}"
upstream = "echo"
authenticate = ["none"]
[[route]]
name = "closed"
path = "/closed/{{*rest}}"
upstream = "echo"
authenticate = ["bearer"]
[[route]]
name = "inside"
path = "/inside/{{*rest}}"
upstream = "echo"
listen = "mesh"
authenticate = ["mtls"]
spiffe_ids = ["spiffe://portcullis.local/service/ledger"]
"""
GIVEN = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"


class Collector:
    def __init__(self):
        self.spans, self.receiver = [], Http(self.handle)

    def handle(self, path, headers, body):
        assert path == "/base/v1/traces" and headers["content-type"] == "application/x-protobuf"
        for resource in otlp.ExportTraceServiceRequest.FromString(body).resource_spans:
            names = {one.key: one.value.string_value for one in resource.resource.attributes}
            assert names["service.name"] == "portcullis"
            self.spans += [span for scope in resource.scope_spans for span in scope.spans]
        return 200, {"content-type": "application/x-protobuf"}, otlp.ExportTraceServiceResponse().SerializeToString()

    def of(self, trace):
        return [span for span in self.spans if span.trace_id.hex() == trace]


def attributes(span):
    return {one.key: one.value.string_value or one.value.int_value for one in span.attributes}


@pytest.fixture(scope="module")
def gate():
    collector, echo = Collector(), Echo()
    config = CONFIG.format(collector=collector.receiver.url, share=1, port=echo.port)
    with Demo(config, services=False, demo=False) as running:
        running.collector, running.echo = collector, echo
        yield running
        assert "panicked" not in running.log()


def seen(answer):
    version, trace, span, flags = answer.json()["headers"]["traceparent"].split("-")
    assert version == "00" and re.fullmatch("[0-9a-f]{32}", trace) and re.fullmatch("[0-9a-f]{16}", span)
    return trace, span, flags


def test_a_request_is_a_span_and_what_is_asked_for_it_another(gate):
    with gate.client() as client:
        answer = client.get("/open/a?b=c")
        trace, span, flags = seen(answer)
        assert flags == "01"
        inner, outer = until(lambda: len(found := gate.collector.of(trace)) == 2 and
                             sorted(found, key=lambda span: span.kind, reverse=True), "two spans")
        assert (outer.kind, inner.kind) == (2, 3) and not outer.parent_span_id
        assert inner.parent_span_id == outer.span_id and inner.span_id.hex() == span
        assert outer.name == inner.name == "GET /open/{*rest}", "few different names"
        assert outer.start_time_unix_nano <= inner.start_time_unix_nano < inner.end_time_unix_nano
        told = attributes(outer)
        assert told["http.route"] == "/open/{*rest}" and told["http.response.status_code"] == 200
        assert attributes(inner)["server.address"] == "echo" and outer.status.code == 0
        assert told["portcullis.request_id"] == answer.headers["x-request-id"]
        assert "127.0.0.1" not in str(outer) and "b=c" not in str(outer), "nothing personal leaves in a trace"
        # The log says which trace it was.
        [event] = gate.audit("--request", answer.headers["x-request-id"], "--kind", "gate_")
        assert (event["trace"]["uid"], event["trace"]["span"]["uid"]) == (trace, outer.span_id.hex())
        # What is refused is a span too.
        refused = client.get("/closed/a", headers={"traceparent": f"00-{GIVEN}-{PARENT}-00", "tracestate": "a=1"})
        assert refused.status_code == 401
        [span] = until(lambda: gate.collector.of(GIVEN), "the refusal")
        assert span.parent_span_id.hex() == PARENT and attributes(span)["portcullis.refused_at"] == "authenticate"


def test_a_trace_goes_on_and_what_is_not_understood_does_not(gate):
    with gate.client() as client:
        ask = lambda *values: client.get("/open/a", headers=[*[("traceparent", value) for value in values],
                                                             ("tracestate", "a=1")])
        passed = ask(f"00-{GIVEN}-{PARENT}-01")
        assert seen(passed)[0] == GIVEN and passed.json()["headers"]["tracestate"] == "a=1"
        for wrong in (f"00-{GIVEN.upper()}-{PARENT}-01", f"00-{GIVEN}-{PARENT}", f"ff-{GIVEN}-{PARENT}-01",
                      f"00-{'0' * 32}-{PARENT}-01", "x", "", "00-" + "a" * 5_000):
            passed = ask(wrong)
            assert seen(passed)[0] != GIVEN and "tracestate" not in passed.json()["headers"], wrong
        assert seen(ask(f"00-{GIVEN}-{PARENT}-01", f"00-{GIVEN}-{PARENT}-01"))[0] != GIVEN


def test_a_collector_that_is_away_holds_up_nothing(gate):
    collector = gate.collector
    with gate.client() as client:
        for trouble in ((503, {}, b""), (400, {}, b"no"), (200, {}, b"\xff\xff")):
            collector.receiver.trouble.put(trouble)
        trace = seen(client.get("/open/later"))[0]
        told = lambda: {line.split()[0]: float(line.split()[1]) for line in metrics(gate).splitlines()
                        if line.startswith("portcullis_spans")}
        until(lambda: told()["portcullis_spans_dropped_total"] > 0, "spans to be given up")
        assert not collector.of(trace)
        trace = seen(client.get("/open/later"))[0]
        until(lambda: collector.of(trace), "spans again", 30)
        assert told()["portcullis_spans_sent_total"] > 0


def metrics(gate):
    import httpx

    return httpx.get(f"{gate.ops}/metrics").text


def test_strangers_do_not_choose_what_is_collected_and_services_do():
    collector, echo = Collector(), Echo()
    config = CONFIG.format(collector=collector.receiver.url, share=0, port=echo.port)
    with Demo(config, services=False, demo=False) as gate:
        out = gate.data.parent / "ledger"
        gate.cli("ca", "issue", "--data", gate.data, "--config", gate.file,
                 "--spiffe-id", "spiffe://portcullis.local/service/ledger", "--out", out)
        headers = {"traceparent": f"00-{GIVEN}-{PARENT}-01"}
        with gate.client() as client:
            answer = client.get("/open/a", headers=headers)
            assert seen(answer)[0] == GIVEN and seen(answer)[2] == "00"
        [certificate], [key] = list(out.glob("*cert*")), list(out.glob("*key*"))
        with gate.client(cert=(certificate, key)) as client:
            assert seen(client.get(f"{gate.mesh}/inside/a", headers=headers))[2] == "01"
        spans = until(lambda: len(collector.spans) >= 2 and collector.spans, "the spans of the service")
        assert {span.name for span in spans} == {"GET /inside/{*rest}"}
        events = gate.audit("--kind", "gate_allowed")
        assert [("trace" in event) for event in events if event["api"]["operation"] == "GET open"] == [False]


@pytest.mark.parametrize("text, word", [
    ('otlp = "http://example.org"', "https"), ('otlp = "https://example.org"\nshare = 2', "share"),
    ('share = 1', "otlp"), ('otlp = "https://example.org"\nx = 1', "unknown field"),
])
def test_wrong_tracing_is_refused_by_name(tmp_path, text, word):
    path = tmp_path / "portcullis.toml"
    before, after = CONFIG.split("[tracing]")
    path.write_text(before + f"[tracing]\n{text}\n")
    done = subprocess.run([BIN / "portcullis", "check", "--config", path], capture_output=True, text=True)
    assert done.returncode == 1 and word in done.stderr, done.stderr
