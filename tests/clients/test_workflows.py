"""Workflows and their sessions: drawn, tried, published, gone through, decided by people, and what a crash or a
hostile caller leaves of them."""

import base64
import copy
import json
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

import passport
from portcullis import Demo, officer, until
from test_documents import EXPIRY, LINES, Passport, trust
from test_screening_service import GADDAFI, import_list, used_soon

WORKFLOWS, SESSIONS = "/idv/v1/workflows", "/idv/v1/sessions"

GRAPH = {
    "schema": "idv.workflow/1",
    "start": "zone",
    "limits": {"ttl": "PT1H", "attempts": 3, "window": "P7D"},
    "nodes": {
        "zone": {"type": "check", "check": "mrz", "label": "The zone of the passport", "next": "both"},
        "both": {"type": "parallel", "branches": ["chip", "lists"], "join": {"mode": "all", "then": "route"}},
        "chip": {"type": "check", "check": "emrtd", "require": ["passive"], "from": "zone", "on_unsupported": {"set": "not_performed"}},
        "lists": {"type": "check", "check": "aml", "from": "zone", "timeout": "PT30S"},
        "route": {"type": "branch", "cases": [
            {"id": "forged", "goto": "no", "when": {"any": [{"field": "emrtd.passive", "op": "equals", "value": "failed"}]}},
            {"id": "soft", "goto": "human", "when": {"cel": "emrtd.status == 'not_performed' || aml.hits > 0"}},
        ], "else": "end"},
        "human": {"type": "review", "queue": "kyc", "approvers": 2, "sla": "P1D"},
        "end": {"type": "decide", "rule": "fold"},
        "no": {"type": "decide", "set": "declined", "reason": "DOC_FORGED"},
    },
}


@pytest.fixture(scope="module")
def place():
    with Demo() as running:
        import_list(running, [GADDAFI])
        used_soon(running.operator(scope="aml"), None)
        yield running
        assert "panicked" not in running.log()


@pytest.fixture
def client(place):
    return place.operator(scope="idv")


@pytest.fixture(scope="module")
def german(place):
    """A document whose authority is trusted."""
    made = Passport()
    trust(place, made.country.authority.der)
    return made


def published(client, graph=GRAPH, name=None):
    name = name or f"kyc-{uuid.uuid4().hex[:8]}"
    made = client.post(WORKFLOWS, json={"name": name, "graph": graph})
    assert made.status_code == 201, made.text
    done = client.post(f"{WORKFLOWS}/{made.json()['id']}/publish", json={"revision": 1, "note": "first"})
    assert done.status_code == 200, done.text
    return done.json()


@pytest.fixture
def workflow(client):
    return published(client)


def begin(client, workflow, status=201, headers=None, **more):
    answer = client.post(SESSIONS, json={"workflow": workflow["id"], **more}, headers=headers)
    assert answer.status_code == status, answer.text
    return answer.json()


def give(client, session, status=200, **given):
    answer = client.post(f"{SESSIONS}/{session['id']}/inputs", json=given)
    assert answer.status_code == status, answer.text
    return answer.json()


def show(client, session):
    return client.get(f"{SESSIONS}/{session['id']}").json()


def settled(client, session, *statuses):
    return until(lambda: (now := show(client, session))["status"] in statuses and now, f"one of {statuses}")


def vote(client, session, decision, status=200, **more):
    version = show(client, session)["version"]
    body = {"version": version, "decision": decision, "reason_code": "LOOKED", **more}
    answer = client.post(f"{SESSIONS}/{session['id']}/review", json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


def test_a_passport_is_approved_by_its_evidence(place, client, workflow, german):
    session = begin(client, workflow, expected={"surname": "Mustermann"}, metadata={"order": 7}, locale="de")
    assert session["status"] == "created" and session["metadata"] == {"order": 7}
    assert session["awaiting"] == [{"node": "zone", "check": "mrz", "attempt": 1}]
    typo = give(client, session, node="zone", mrz={"mrz": LINES[:-1] + str((int(LINES[-1]) + 1) % 10)})
    assert typo["report"]["status"] == "failed"
    assert typo["session"]["awaiting"] == [{"node": "zone", "check": "mrz", "attempt": 2}]
    given = give(client, session, node="zone", mrz={"mrz": LINES})
    assert given["report"]["status"] == "passed" and given["session"]["status"] == "awaiting_input"
    given = give(client, session, node="chip", emrtd=german.read())
    assert given["report"]["assurance"] == "cryptographic"
    settled(client, session, "approved")

    decision = client.get(f"{SESSIONS}/{session['id']}/decision").json()
    assert decision["decision"]["verdict"] == "approved" and decision["decision"]["by"] == "rule"
    grades = {report["node"]: (report["status"], report["assurance"]) for report in decision["reports"]}
    assert grades == {"zone": ("passed", "self_asserted"), "chip": ("passed", "cryptographic"), "lists": ("passed", "database")}
    chip = next(report for report in decision["reports"] if report["node"] == "chip")
    assert chip["report"]["document"]["surname"] == "MUSTERMANN" and chip["values"]["passive"] == "passed"
    assert [step["way"] for step in decision["trace"] if step["node"] == "route"] == ["else"]
    # The log has the way and the reports, and no name.
    entries = place.audit("--kind", "idv_session")
    decided = next(e for e in entries if e["unmapped"]["change"] == "decided" and e["entity"]["uid"] == session["id"])
    assert decided["unmapped"]["workflow_digest"] == decision["workflow_digest"]
    assert {one["node"] for one in decided["unmapped"]["reports"]} == {"zone", "chip", "lists"}
    assert "MUSTERMANN" not in json.dumps(entries)
    # It is over.
    late = give(client, session, 409, node="chip", emrtd=german.read())
    assert late["type"].endswith("conflict")


def test_a_forged_chip_is_declined_and_a_foreign_zone_is_not_passed(client, workflow, german):
    session = begin(client, workflow)
    give(client, session, node="zone", mrz={"mrz": LINES})
    forged = german.read()
    forged["data_groups"] = {**forged["data_groups"], "2": passport.b64(passport.portrait_group() + b"x")}
    give(client, session, node="chip", emrtd=forged)
    settled(client, session, "declined")
    decision = client.get(f"{SESSIONS}/{session['id']}/decision").json()["decision"]
    assert (decision["by"], decision["reason"]) == ("graph", "DOC_FORGED")

    # The zone that was typed is of another document than the chip.
    session = begin(client, workflow)
    other = passport.zone("SCHMIDT<<EVA", number="L01X00T47", expiry=EXPIRY)
    give(client, session, node="zone", mrz={"mrz": f"{other[:44]}\n{other[44:]}"})
    answer = give(client, session, node="chip", emrtd=german.read())
    assert answer["report"]["status"] == "failed"
    assert "printed_differs" in {reason["code"] for reason in answer["report"]["reasons"]}


def test_two_people_decide_where_evidence_is_missing(place, client, workflow):
    session = begin(client, workflow, reference=f"person-{uuid.uuid4().hex}")
    give(client, session, node="zone", mrz={"mrz": LINES})
    give(client, session, node="chip", unsupported="no_nfc")
    settled(client, session, "in_review")
    queue = client.get(SESSIONS, params={"queue": "kyc", "status": "in_review", "limit": 200}).json()["items"]
    assert session["id"] in [one["id"] for one in queue]
    # A program is nobody.
    assert vote(client, session, "approved", 403)["status"] == 403
    ada, bob = (officer(place, f"{name}{uuid.uuid4().hex[:6]}", "idv") for name in ("ada", "bob"))
    vote(ada, session, "perhaps", 422)
    vote(ada, session, "approved", 409, version=1)
    once = vote(ada, session, "approved")
    assert once["status"] == "in_review" and len(once["votes"]) == 1
    assert "already" in vote(ada, session, "approved", 409)["detail"]
    # Something is to be seen again.
    body = {"version": show(client, session)["version"], "nodes": ["chip"], "reason_code": "TRY_AGAIN"}
    assert ada.post(f"{SESSIONS}/{session['id']}/resubmit", json={**body, "nodes": ["lists"]}).status_code == 409
    assert client.post(f"{SESSIONS}/{session['id']}/resubmit", json=body).status_code == 403
    assert ada.post(f"{SESSIONS}/{session['id']}/resubmit", json=body).json()["status"] == "awaiting_input"
    assert vote(bob, session, "approved", 409)["type"].endswith("conflict")
    give(client, session, node="chip", unsupported="no_nfc")
    assert vote(ada, session, "approved")["status"] == "in_review"
    assert vote(bob, session, "approved")["status"] == "approved"
    decision = client.get(f"{SESSIONS}/{session['id']}/decision").json()["decision"]
    assert decision["by"] == "reviewers" and len(decision["reviewers"]) == 2
    assert vote(bob, session, "declined", 409)["type"].endswith("conflict")


def test_whoever_is_listed_is_for_people(place, client, german):
    """The name of the document is looked for, not the one that somebody gave."""
    graph = copy.deepcopy(GRAPH)
    graph["nodes"]["lists"]["from"] = "expected"
    workflow = published(client, graph)
    refused = begin(client, workflow, 422)
    assert refused["violations"][0]["pointer"] == "/expected"
    expected = {"surname": "Gaddafi", "given_names": "Muammar", "date_of_birth": "1942-06-07"}
    session = begin(client, workflow, expected=expected)
    give(client, session, node="zone", unsupported="lost")
    give(client, session, node="chip", unsupported="no_nfc")
    settled(client, session, "in_review")
    reports = client.get(f"{SESSIONS}/{session['id']}/decision").json()["reports"]
    lists = next(report for report in reports if report["node"] == "lists")
    assert lists["status"] == "review" and lists["values"]["topics"] == ["sanction"]
    assert lists["report"]["hits"][0]["entity"] == "Q1" and lists["report"]["used"]["lists"]


def test_a_workflow_is_drawn_tried_and_published(place, client):
    broken = copy.deepcopy(GRAPH)
    del broken["nodes"]["route"]["else"]
    broken["nodes"]["route"]["cases"][1]["when"] = {"cel": "emrtd.status == 'nothing' && liveness.score > 1"}
    answer = client.post(f"{WORKFLOWS}/validate", json={"graph": broken}).json()
    assert not answer["valid"]
    assert {(p["code"], p["node"], p["at"]) for p in answer["problems"]} == {
        ("missing_else", "route", "/else"), ("condition", "route", "/cases/1/when"), ("unreachable", "end", "")}
    name = f"drawn-{uuid.uuid4().hex[:8]}"
    made = client.post(WORKFLOWS, json={"name": name, "graph": broken}).json()
    path = f"{WORKFLOWS}/{made['id']}"
    assert made["problems"] and client.post(WORKFLOWS, json={"name": name, "graph": broken}).status_code == 422
    refused = client.post(f"{path}/publish", json={"revision": 1})
    assert refused.status_code == 422 and refused.json()["problems"][0]["severity"] == "error"
    assert client.post(SESSIONS, json={"workflow": name}).status_code == 409
    assert client.put(f"{path}/draft", json={"revision": 9, "graph": GRAPH}).status_code == 409
    assert client.put(f"{path}/draft", json={"revision": 1, "graph": GRAPH}).json()["problems"] == []

    fields = client.post(f"{WORKFLOWS}/fields", json={"graph": GRAPH, "node": "route"}).json()["fields"]
    assert {"chip.passive", "zone.age", "lists.hits", "session.bucket"} <= {field["name"] for field in fields}
    report = lambda **values: {"report": {"id": "1", "status": "passed", "assurance": "self_asserted", "values": values}}
    fixture = {"outcomes": {"mrz": [report()], "chip": [report(passive="passed")], "lists": [{"unavailable": "down"}]}}
    played = client.post(f"{WORKFLOWS}/simulate", json={"graph": GRAPH, "fixture": fixture}).json()
    assert played["status"] == "in_review" and played["waits_at"] == ["end"], played
    fixture["outcomes"]["lists"] = [report(hits=0)]
    played = client.post(f"{WORKFLOWS}/simulate", json={"graph": GRAPH, "fixture": fixture}).json()
    assert played["status"] == "approved" and played["trace"][-1] == "end approved"

    first = client.post(f"{path}/publish", json={"revision": 2, "note": "go"}).json()
    assert (first["current_version"], first["revision"]) == (1, 3)
    old = begin(client, first)
    strict = copy.deepcopy(GRAPH)
    strict["nodes"]["chip"]["on_unsupported"] = "no"
    strict["layout"] = {"chip": {"x": 10, "y": 20}}
    client.put(f"{path}/draft", json={"revision": 3, "graph": strict})
    diff = client.post(f"{path}/diff", json={"from": 1}).json()
    assert [change["at"] for change in diff["nodes"]] == ["/nodes/chip"] and diff["frame"] == []
    client.post(f"{path}/publish", json={"revision": 4, "note": "strict"})
    new = begin(client, first)
    assert (old["workflow_version"], new["workflow_version"]) == (1, 2)
    for session in (old, new):
        give(client, session, node="zone", mrz={"mrz": LINES})
        give(client, session, node="chip", unsupported="no_nfc")
    settled(client, old, "in_review")
    settled(client, new, "declined")
    tested = client.post(f"{path}/backtest", json={"version": 1}).json()
    assert tested["sessions"] == 1 and tested["different"][0]["would_be"] == "in_review", tested
    versions = client.get(f"{path}/versions").json()["items"]
    assert [(one["version"], one["note"]) for one in versions] == [(2, "strict"), (1, "go")]
    assert client.get(f"{path}/versions/1").json()["graph"] == GRAPH
    assert client.get(f"{path}/versions/3").status_code == 404
    assert client.post(f"{path}/rollback", json={"revision": 5, "version": 1}).json()["current_version"] == 1
    assert begin(client, first)["workflow_version"] == 1
    entries = place.audit("--kind", "admin_idv_workflow")
    codes = {e["metadata"]["event_code"] for e in entries if e["entity"]["uid"] == made["id"]}
    assert codes == {f"admin_idv_workflow_{change}" for change in ("create", "draft", "publish", "rollback")}


def test_a_request_that_is_sent_twice_is_one(client, workflow):
    key = {"idempotency-key": uuid.uuid4().hex}
    one = begin(client, workflow, headers=key)
    assert begin(client, workflow, 200, headers=key)["id"] == one["id"]
    assert begin(client, workflow, 422, headers=key, locale="en")["type"].endswith("key_reused")
    assert begin(client, workflow, 400, headers={"idempotency-key": "a b"})["status"] == 400
    key = {"idempotency-key": uuid.uuid4().hex}
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: client.post(SESSIONS, json={"workflow": workflow["id"]}, headers=key), range(16)))
    assert {answer.status_code for answer in answers} <= {200, 201}
    assert len({answer.json()["id"] for answer in answers}) == 1


def test_a_review_is_looked_after_and_written_about(place, client, workflow):
    session = begin(client, workflow)
    give(client, session, node="zone", mrz={"mrz": LINES})
    give(client, session, node="chip", unsupported="no_nfc")
    settled(client, session, "in_review")
    names = [f"judge{uuid.uuid4().hex[:6]}" for _ in range(2)]
    first, second = (officer(place, name, "idv") for name in names)
    users = place.operator().get("/api/admin/v1/users", params={"limit": 200}).json()["items"]
    one, two = (next(user["id"] for user in users if user["username"] == name) for name in names)
    plain = next(user["id"] for user in users if not user["roles"])
    path = f"{SESSIONS}/{session['id']}"
    assert first.put(f"{path}/assignee", json={"account": one}).json()["assignee"] == one
    taken = second.put(f"{path}/assignee", json={"account": two})
    assert taken.status_code == 409 and taken.json()["type"].endswith("stale")
    assert second.put(f"{path}/assignee", json={"account": two, "from": one}).status_code == 200
    assert [row["id"] for row in client.get(SESSIONS, params={"queue": "kyc", "assignee": two}).json()["items"]] == [session["id"]]
    assert client.put(f"{path}/assignee", json={"account": plain, "from": two}).status_code == 422
    assert client.put(f"{path}/assignee", json={"account": "x"}).status_code == 422
    assert client.put(f"{path}/assignee", json={"who": one}).status_code == 400
    # What people write is theirs: a key writes none.
    note = second.post(f"{path}/notes", json={"text": "No chip, and the zone looks fine."})
    assert note.status_code == 201 and note.json()["author"] == two
    assert client.post(f"{path}/notes", json={"text": "x"}).status_code == 403
    assert second.post(f"{path}/notes", json={"text": "x" * 4001}).status_code == 422
    second.post(f"{path}/notes", json={"text": "<script>alert(1)</script>"})
    page = first.get(f"{path}/notes", params={"limit": 1}).json()
    assert len(page["items"]) == 1 and page["next"]
    rest = first.get(f"{path}/notes", params={"after": page["next"]}).json()["items"]
    assert [one["text"] for one in rest] == ["<script>alert(1)</script>"]
    entries = [one for one in place.audit("--kind", "idv_session") if one["entity"]["uid"] == session["id"]]
    codes = [one["metadata"]["event_code"] for one in entries]
    assert codes.count("idv_session_assigned") == 2 and codes.count("idv_session_noted") == 2
    assert "looks fine" not in json.dumps(entries)
    assert second.put(f"{path}/assignee", json={"account": None, "from": two}).json().get("assignee") is None
    assert client.delete(path).status_code == 200
    assert first.get(f"{path}/notes").status_code == 410


def test_what_is_erased_is_gone(place, client, workflow):
    session = begin(client, workflow, reference="somebody", metadata={"order": "secret-order"})
    give(client, session, node="zone", mrz={"mrz": LINES})
    receipt = client.delete(f"{SESSIONS}/{session['id']}")
    assert receipt.status_code == 200 and receipt.json()["keys_destroyed"] == 1
    recorded = {entry["metadata"]["uid"] for entry in place.audit("--kind", "idv_session_erased")}
    assert receipt.json()["log_proof"]["event"] in recorded
    left = show(client, session)
    assert left["erased_at"] and left["reference"] == "" and "metadata" not in left
    for path in ("decision", "events"):
        assert client.get(f"{SESSIONS}/{session['id']}/{path}").status_code == 410
    assert client.delete(f"{SESSIONS}/{session['id']}").status_code == 410
    assert give(client, session, 410, node="chip", unsupported="no_nfc")["status"] == 410


@pytest.mark.parametrize("body, status", [
    ({}, 400), ({"workflow": "nothing"}, 422), ({"workflow": 7}, 400), ({"workflow": "x", "more": 1}, 400),
    ({"workflow": "W", "version": 9}, 422), ({"workflow": "W", "metadata": []}, 422),
    ({"workflow": "W", "metadata": {"a": "x" * 5000}}, 422), ({"workflow": "W", "reference": ""}, 422),
    ({"workflow": "W", "reference": "x" * 200}, 422), ({"workflow": "W", "locale": "e n"}, 422),
    ({"workflow": "W", "expected": {"date_of_birth": "x"}}, 422), ({"workflow": "W", "expected": {"a": "x"}}, 400),
])
def test_what_is_no_session_is_refused(client, workflow, body, status):
    if body.get("workflow") == "W":
        body = {**body, "workflow": workflow["id"]}
    answer = client.post(SESSIONS, json=body)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("given, status", [
    ({"node": "zone"}, 422), ({"node": "nothing", "mrz": {"mrz": LINES}}, 409), ({"mrz": {"mrz": LINES}}, 400),
    ({"node": "chip", "unsupported": "lost"}, 409), ({"node": "zone", "image": {"image": "AA=="}}, 422),
    ({"node": "zone", "mrz": {"mrz": LINES}, "image": {"image": "AA=="}}, 422),
    ({"node": "zone", "mrz": {"mrz": LINES, "expected": {"surname": "X"}}}, 422),
    ({"node": "zone", "unsupported": "Max_Mustermann"}, 422), ({"node": "zone", "mrz": {"mrz": LINES}, "unsupported": "lost"}, 422),
    ({"node": "zone", "mrz": {}}, 422), ({"node": "lists", "mrz": {"mrz": LINES}}, 409),
])
def test_what_is_no_input_is_refused(client, workflow, given, status):
    session = begin(client, workflow)
    give(client, session, status, **given)
    assert show(client, session)["version"] == 1, "nothing happened"


def test_a_graph_is_hostile_input(client):
    deep = {"field": "mrz.age", "op": "equals", "value": 1}
    for _ in range(100):
        deep = {"not": deep}
    graphs = [
        [], {"schema": "idv.workflow/1"}, {**GRAPH, "start": None}, {**GRAPH, "nodes": {}},
        {**GRAPH, "nodes": {f"n{at}": {"type": "wait", "for": "PT1S", "next": f"n{at + 1}"} for at in range(501)}},
        {**GRAPH, "nodes": {**GRAPH["nodes"], "route": {"type": "branch", "else": "end", "cases": [{"id": "a", "when": deep, "goto": "no"}]}}},
        {**GRAPH, "nodes": {**GRAPH["nodes"], "route": {"type": "branch", "else": "end", "cases": [{"id": "a", "when": {"cel": "(" * 900}, "goto": "no"}]}}},
        {**GRAPH, "nodes": {**GRAPH["nodes"], "x y": {"type": "decide", "rule": "fold"}}},
    ]
    for graph in graphs:
        answer = client.post(f"{WORKFLOWS}/validate", json={"graph": graph})
        # JSON of a hundred levels is none that anybody reads.
        assert answer.status_code in (200, 400, 422), answer.text
        assert answer.status_code != 200 or not answer.json()["valid"], graph
    huge = {**GRAPH, "layout": "x" * 300_000}
    assert client.post(WORKFLOWS, json={"name": "huge", "graph": huge}).status_code == 422
    for name in ("", "a b", "x" * 65, "ä"):
        assert client.post(WORKFLOWS, json={"name": name, "graph": GRAPH}).status_code == 422


def test_no_graph_keeps_the_server_from_answering(client):
    wait = {"type": "wait", "for": "PT1S"}
    shapes = [
        {"p": {"type": "parallel", "branches": ["a", "b"], "join": {"mode": "all"}}, "a": {**wait, "next": "p"}, "b": wait},
        {"p": {"type": "webhook", "event": "x", "next": "p", "visits": {"max": 1, "over": "p"}}},
        {"p": {**wait, "next": "p", "visits": {"max": 1, "over": "a"}}, "a": {**wait, "next": "p"}},
        {f"{name}": {"type": "webhook", "event": "x", "next": following, "visits": {"max": 50, "over": "end"}}
         for name, following in (("p", "q"), ("q", "p"))} | {"end": {"type": "decide", "rule": "fold"}},
    ]
    for nodes in shapes:
        graph = {"schema": "idv.workflow/1", "start": "p", "nodes": nodes}
        assert client.post(f"{WORKFLOWS}/validate", json={"graph": graph}).json()["valid"] is False, nodes
        made = client.post(WORKFLOWS, json={"name": uuid.uuid4().hex, "graph": graph})
        assert made.status_code == 201 and client.get(f"{WORKFLOWS}/{made.json()['id']}").status_code == 200
        assert client.post(f"{WORKFLOWS}/simulate", json={"graph": graph, "fixture": {}}).status_code == 422
        assert client.post(f"{WORKFLOWS}/fields", json={"graph": graph, "node": "p"}).status_code in (200, 422)
    large = {"report": {"id": "x", "status": "passed", "assurance": "heuristic", "reasons": [], "values": {}, "detail": [0] * 5000}}
    answer = client.post(f"{WORKFLOWS}/simulate", json={"graph": GRAPH, "fixture": {"outcomes": {"zone": [large]}}})
    assert answer.status_code == 422, answer.text


def test_nobody_says_themselves_against_what_their_chip_is_held(client, workflow, german):
    # Who types somebody else's zone cannot give the zone of the own passport along with its chip.
    other = passport.zone("SCHMIDT<<EVA", number="L01X00T47", expiry=EXPIRY)
    session = begin(client, workflow)
    give(client, session, node="zone", mrz={"mrz": f"{other[:44]}\n{other[44:]}"})
    chip = german.read()
    refused = give(client, session, 422, node="chip", emrtd={**chip, "mrz": LINES})
    assert refused["violations"][0]["pointer"] == "/mrz", refused
    assert give(client, session, node="chip", emrtd=chip)["report"]["status"] != "passed"


def test_sessions_go_on_after_a_crash():
    with Demo() as own:
        client = own.operator(scope="idv")
        import_list(own, [GADDAFI])
        used_soon(own.operator(scope="aml"), None)
        graph = copy.deepcopy(GRAPH)
        graph["nodes"]["zone"]["next"] = "pause"
        graph["nodes"]["pause"] = {"type": "wait", "for": "PT1S", "next": "both"}
        graph["nodes"]["route"]["cases"] = [{"id": "hit", "goto": "human", "when": {"cel": "lists.hits > 0"}}]
        graph["nodes"]["end"] = {"type": "decide", "set": "approved"}
        del graph["nodes"]["no"]
        workflow = published(client, graph)
        sessions = [begin(client, workflow) for _ in range(30)]
        acknowledged = []
        with ThreadPoolExecutor(6) as pool:
            def go(session):
                try:
                    give(client, session, node="zone", mrz={"mrz": LINES})
                    acknowledged.append(session["id"])
                except Exception:  # the connection was cut
                    pass
            tasks = [pool.submit(go, session) for session in sessions]
            until(lambda: len(acknowledged) > 8, "some answers")
            own.kill()
            [task.result() for task in tasks]
        own.start()
        client = own.operator(scope="idv")
        for session in sessions:
            now = show(client, session)
            if now["status"] == "created":
                assert session["id"] not in acknowledged, "what was acknowledged is lost"
                give(client, session, node="zone", mrz={"mrz": LINES})
        for session in sessions:
            until(lambda: [step["node"] for step in show(client, session)["awaiting"]] == ["chip"], "the chip")
            give(client, session, node="chip", unsupported="no_nfc")
        for session in sessions:
            settled(client, session, "approved")
            events = client.get(f"{SESSIONS}/{session['id']}/events").json()["items"]
            kinds = [event["event"]["type"] for event in events]
            assert sorted(kinds) == ["began", "due", "given", "given", "performed"], kinds
            assert [event["number"] for event in events] == [1, 2, 3, 4, 5]
        assert own.cli("audit", "verify", "--data", own.data).returncode == 0
