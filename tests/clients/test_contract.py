"""OpenAPI documents as contracts: schemathesis makes requests that fit and requests that do not, and
the gate must tell them apart; answers lose what the document does not declare."""

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest

from echo import Echo
from portcullis import Demo, until

DOCUMENT = """
openapi: 3.1.0
info: { title: Shop, version: "1" }
servers: [{ url: "/shop" }]
paths:
  /items:
    get:
      parameters:
        - { name: limit, in: query, schema: { type: integer, minimum: 1, maximum: 50 } }
        - { name: tag, in: query, schema: { type: array, items: { type: string, minLength: 1, maxLength: 5 } } }
        - { name: ids, in: query, explode: false, schema: { type: array, minItems: 1, items: { type: integer } } }
        - { name: since, in: query, schema: { type: string, format: date-time } }
        - { name: X-Trace, in: header, schema: { type: string, format: uuid } }
      responses: { "200": { $ref: "#/components/responses/Items" } }
    post:
      requestBody:
        required: true
        content:
          application/json: { schema: { $ref: "#/components/schemas/Item" } }
          application/x-www-form-urlencoded:
            schema: { type: object, additionalProperties: false, required: [name], properties: { name: { type: string, minLength: 1, maxLength: 9 }, count: { type: integer } } }
      responses: { "200": { $ref: "#/components/responses/Items" } }
  /items/{id}:
    delete:
      parameters: [{ name: id, in: path, required: true, schema: { type: string, format: uuid } }]
      responses: { "200": { $ref: "#/components/responses/Items" } }
components:
  responses:
    Items:
      description: Items
      content: { application/json: { schema: { type: object, properties: { items: { type: array, items: { $ref: "#/components/schemas/Item" } } } } } }
  schemas:
    Named: { type: object, required: [name], properties: { name: { type: string, minLength: 1, maxLength: 20 } } }
    Item:
      unevaluatedProperties: false
      allOf:
        - { $ref: "#/components/schemas/Named" }
        - type: object
          properties:
            id: { type: integer, readOnly: true }
            price: { type: number, exclusiveMinimum: 0, maximum: 1000 }
            mail: { type: string, format: email }
            kind: { enum: [a, b] }
            secret: { type: string, writeOnly: true }
"""
CONFIG = """
issuer = "https://localhost:8443"
[listen]
public = "127.0.0.1:8443"
operations = "127.0.0.1:9090"
[database]
url = "sqlite:portcullis.db"
[[upstream]]
name = "shop"
servers = ["http://127.0.0.1:{port}"]
[[route]]
name = "shop"
path = "/shop/{{*rest}}"
upstream = "shop"
authenticate = ["none"]
openapi = "shop.yaml"
{more}
"""
ITEM = {"name": "x", "id": 1, "secret": "s3cret", "password_hash": "$argon2id$", "price": 2.5}


@pytest.fixture(scope="module")
def shop():
    def reply(seen):
        body = {"items": [ITEM], "debug": "SELECT *"}
        if "broken" in seen["headers"].get("x-answer", ""):
            body = {"items": [{"name": 7}]}
        if "text" in seen["headers"].get("x-answer", ""):
            return 200, [("content-type", "text/plain")], b"anything"
        if "gzip" in seen["headers"].get("x-answer", ""):
            return 200, [("content-type", "application/json"), ("content-encoding", "gzip")], b"\x1f\x8b"
        return 200, [("content-type", "application/json"), ("etag", '"1"')], json.dumps(body).encode()

    return Echo(reply)


def running(shop, more=""):
    demo = Demo(CONFIG.format(port=shop.port, more=more), services=False, demo=False)
    (Path(demo.directory.name) / "shop.yaml").write_text(DOCUMENT)
    return demo


@pytest.fixture(scope="module")
def gate(shop):
    with running(shop) as demo:
        yield demo
        assert "panicked" not in demo.log()


@pytest.mark.parametrize("mode, check", [("positive", "positive_data_acceptance"), ("negative", "negative_data_rejection")])
def test_schemathesis_finds_no_difference(gate, shop, mode, check):
    before = len(shop.seen)
    done = subprocess.run(
        [Path(sys.executable).parent / "schemathesis", "run", Path(gate.directory.name) / "shop.yaml",
         "--url", f"{gate.issuer}/shop", "--tls-verify", gate.data / "ca.pem", "--mode", mode, "--checks", check,
         "--phases", "fuzzing", "--max-examples", "80", "--seed", "1", "--generation-database", "none"],
        capture_output=True, text=True, timeout=300, cwd=gate.directory.name,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr
    assert "cases" in done.stdout
    if mode == "positive":
        assert len(shop.seen) > before + 50


def test_what_was_not_declared_does_not_leave(gate):
    with gate.client() as client:
        answer = client.get("/shop/items")
        assert answer.json() == {"items": [{"name": "x", "id": 1, "price": 2.5}]}
        assert "etag" not in answer.headers and int(answer.headers["content-length"]) == len(answer.content)
        broken = client.get("/shop/items", headers={"x-answer": "broken"})
        assert broken.status_code == 502 and broken.json()["type"].endswith("response_contract")
        assert client.get("/shop/items", headers={"x-answer": "gzip"}).status_code == 502
        assert client.get("/shop/items", headers={"x-answer": "text"}).text == "anything"
        assert client.head("/shop/items").status_code == 200
    told = until(lambda: [e for e in gate.audit() if "password_hash" in json.dumps(e)], "the event")
    assert "s3cret" not in json.dumps(told) and "response /items/0/password_hash" in told[-1]["unmapped"]["violations"]


def test_refusals_list_what_is_wrong_and_repeat_nothing(gate, shop):
    with gate.client() as client:
        before = len(shop.seen)
        told = client.post("/shop/items?evil=<script>", json={"name": "", "id": 3, "mail": "<b>", "admin": True})
        assert told.status_code == 400 and [v["pointer"] for v in told.json()["violations"]] == ["/query/evil"]
        told = client.post("/shop/items", json={"name": "", "id": 3, "mail": "<b>", "admin": True})
        codes = {(v["pointer"], v["code"]) for v in told.json()["violations"]}
        assert {("/body/name", "minLength"), ("/body/id", "not"), ("/body/mail", "format")} <= codes
        assert "<b>" not in told.text and "<script>" not in told.text
        for content, headers in [
            (b'{"name":"a","name":"b"}', {}), (b'{"name":"a","price":1e999}', {}), (b"[" * 5000, {}), (b'{"name":"\xff"}', {}),
            (b'{"name":"a"}', {"content-type": "application/json; charset=latin1"}),
            (b"<x/>", {"content-type": "text/xml"}), (b'{"name":"a"}', {"content-type": "application/json; Charset=utf-7"}),
            (b'{"name":"a"}', {"content-type": "application/json; charset =utf-7"}),
            (b'{"name":"a"}', {"content-type": 'application/json; x="; charset=utf-8; "; charset=utf-7'}),
        ]:
            headers = {"content-type": "application/json", **headers}
            assert client.post("/shop/items", content=content, headers=headers).status_code == 400, content[:40]
        assert client.post("/shop/items", content=gzip.compress(b'{"name":"a","evil":1}'), headers=PACKED).status_code == 400
        assert client.post("/shop/items", content=b'{"name":"a"}', headers={**PACKED, "content-encoding": "br"}).status_code == 415
        assert len(shop.seen) == before
        assert client.post("/shop/items", content=gzip.compress(b'{"name":"a"}'), headers=PACKED).status_code == 200
        assert shop.seen[-1]["body"] == '{"name":"a"}' and "content-encoding" not in shop.seen[-1]["headers"]


PACKED = {"content-type": "application/json", "content-encoding": "gzip"}


def test_learning_reports_and_refuses_nothing(shop):
    with running(shop, 'openapi_mode = "learn"') as gate, gate.client() as client:
        assert client.get("/shop/items?debug=1").json()["debug"] == "SELECT *"
        assert client.post("/shop/items", json={"name": ""}).status_code == 200
        assert client.get("/shop/nothing").status_code == 200
        events = until(lambda: (e := [e for e in gate.audit() if "violations" in json.dumps(e)]) and len(e) == 3 and e, "events")
        told = {v for e in events for v in e["unmapped"]["violations"]}
        assert {"/query/debug unknown", "/body/name minLength", "/path unknown", "response /debug"} <= told
        # The same, counted, for whoever wants to know whether it can be enforced.
        key = gate.cli("api-keys", "create", "--config", gate.file, "--data", gate.data, "look", "--scope", "admin").stdout.strip()
        asked = lambda: client.get("/api/admin/v1/gateway/activity", headers={"x-api-key": key})
        learned = until(lambda: (answer := asked()).status_code == 200 and answer, "the key").json()["learned"]
        assert {(one["route"], one["violation"], one["count"]) for one in learned} >= {("shop", "/query/debug unknown", 1), ("shop", "/body/name minLength", 1)}


def test_a_document_that_cannot_be_enforced_is_refused(gate, shop):
    path = Path(gate.directory.name) / "shop.yaml"
    try:
        for broken, why in [
            (DOCUMENT.replace("format: uuid", "pattern: '(?<=a)b'"), "parameter"),
            (DOCUMENT.replace("application/x-www-form-urlencoded", "application/xml"), "cannot be checked"),
            (DOCUMENT.replace("#/components/schemas/Item", "https://evil.example/x"), "evil.example"),
            (DOCUMENT + "\n  - x", "not a YAML"), (DOCUMENT.replace("3.1.0", "2.0"), "OpenAPI 3.0"),
        ]:
            path.write_text(broken)
            told = gate.cli("reload", "--data", gate.data, check=False)
            assert told.returncode == 1 and "shop.yaml" in told.stderr and why in told.stderr, told.stderr
            with gate.client() as client:
                assert client.get("/shop/items?evil=1").status_code == 400, "the last good one stays"
    finally:
        path.write_text(DOCUMENT)
