"""Lists of one's own: what is on them, in whatever writing, and what workflows make of it."""

import json

import pytest

from portcullis import Demo, until
from test_documents import LINES
from test_workflows import SESSIONS, begin, give, published, settled, show

LISTS = "/idv/v1/lists"
GRAPH = {
    "schema": "idv.workflow/1",
    "start": "own",
    "nodes": {
        "own": {"type": "check", "check": "lists", "next": "zone"},
        "zone": {"type": "check", "check": "mrz", "next": "again"},
        "again": {"type": "check", "check": "lists", "lists": ["fraud"], "next": "end"},
        "end": {"type": "decide", "rule": "fold"},
    },
}


@pytest.fixture(scope="module")
def place():
    with Demo() as running:
        yield running
        assert "panicked" not in running.log()


@pytest.fixture(scope="module")
def client(place):
    return place.operator(scope="idv")


@pytest.fixture(scope="module")
def fraud(client):
    made = client.post(LISTS, json={"name": "fraud", "purpose": "block", "description": "Seen before"})
    assert made.status_code == 201, made.text
    return made.json()


@pytest.fixture(scope="module")
def workflow(client, fraud):
    return published(client, GRAPH)


def put(client, made, *entries, status=200):
    answer = client.post(f"{LISTS}/{made['id']}/entries", json={"entries": list(entries)})
    assert answer.status_code == status, answer.text
    return answer.json()


def hand_in(client, session):
    until(lambda: show(client, session)["awaiting"], "the question")
    give(client, session, node="zone", mrz={"mrz": LINES})


def test_who_is_on_a_list_is_declined(client, fraud, workflow):
    added = put(client, fraud, {"kind": "email", "value": "Mallory@Example.org", "note": "chargebacks"},
                {"kind": "ip_address", "value": "198.51.100.0/24"})
    assert added == {"added": 2, "known": 0}
    for identifiers in ({"email": ["mallory@example.ORG"]}, {"ip_address": ["198.51.100.200"]}):
        session = begin(client, workflow, identifiers=identifiers)
        hand_in(client, session)
        settled(client, session, "declined")
        decision = client.get(f"{SESSIONS}/{session['id']}/decision").json()
        assert decision["decision"]["reason"] == "BLOCK_LISTED"
        found = decision["reports"][0]["report"]["found"]
        assert [(one["list"], one["kind"]) for one in found] == [("fraud", next(iter(identifiers)))]
    # The document is looked for once it is known.
    number = LINES.splitlines()[1][:9]
    session = begin(client, workflow, identifiers={"email": ["honest@example.org"]})
    put(client, fraud, {"kind": "document", "value": f"DEU:{number}"})
    hand_in(client, session)
    settled(client, session, "declined")
    # Off again, and the next one passes.
    listed = client.get(f"{LISTS}/{fraud['id']}/entries").json()["items"]
    own = next(one for one in listed if one["kind"] == "document")
    assert client.delete(f"{LISTS}/{fraud['id']}/entries/{own['id']}").status_code == 204
    session = begin(client, workflow, identifiers={"email": ["honest@example.org"]})
    hand_in(client, session)
    settled(client, session, "approved")


def test_what_is_no_entry_is_refused(client, fraud, workflow):
    size = client.get(f"{LISTS}/{fraud['id']}").json()["size"]
    good = {"kind": "phone", "value": "+49 30 1234567"}
    for bad, status in [
        ({"kind": "face", "value": "x"}, 422), ({"kind": "phone", "value": "030"}, 422), ({"kind": "email", "value": "x"}, 422),
        ({"kind": "ip_address", "value": "0.0.0.0/0"}, 422), ({"kind": "key", "value": ""}, 422),
        ({"kind": "key", "value": "x" * 300}, 422), ({"kind": "key"}, 400), ({**good, "more": 1}, 400),
        ({**good, "expires_at": "yesterday"}, 422), ({**good, "expires_at": "2020-01-01T00:00:00Z"}, 422),
        ({**good, "note": "x" * 600}, 422),
    ]:
        put(client, fraud, good, bad, status=status)
    put(client, fraud, *[{"kind": "key", "value": f"k{n}"} for n in range(1001)], status=422)
    put(client, fraud, status=422)
    assert client.get(f"{LISTS}/{fraud['id']}").json()["size"] == size, "all or none"
    for identifiers, status in [
        ({"face": ["x"]}, 422), ({"email": ["x"]}, 422), ({"email": "x"}, 400), ({"key": [f"k{n}" for n in range(9)]}, 422),
    ]:
        begin(client, workflow, status, identifiers=identifiers)
    for body, status in [({"name": "fraud", "purpose": "allow"}, 422), ({"name": "a b", "purpose": "allow"}, 422),
                         ({"name": "x", "purpose": "deny"}, 422), ({"name": "x"}, 400)]:
        assert client.post(LISTS, json=body).status_code == status, body


def test_a_thousand_entries_and_pages(client):
    made = client.post(LISTS, json={"name": "many", "purpose": "custom"}).json()
    entries = [{"kind": "key", "value": f"key-{n}"} for n in range(1000)]
    assert put(client, made, *entries) == {"added": 1000, "known": 0}
    assert put(client, made, *entries[:10]) == {"added": 0, "known": 10}
    assert client.get(f"{LISTS}/{made['id']}").json()["size"] == 1000
    seen, after = [], ""
    while True:
        page = client.get(f"{LISTS}/{made['id']}/entries", params={"limit": 200, **({"after": after} if after else {})}).json()
        seen += [one["value"] for one in page["items"]]
        after = page.get("next")
        if not after:
            break
    assert sorted(seen) == sorted(entry["value"] for entry in entries)
    assert client.delete(f"{LISTS}/{made['id']}").status_code == 204
    assert client.get(f"{LISTS}/{made['id']}").status_code == 404


def test_a_list_that_is_gone_sends_people_to_a_review(client, workflow, place):
    graph = {**GRAPH, "nodes": {**GRAPH["nodes"], "again": {**GRAPH["nodes"]["again"], "lists": ["nowhere"]}}}
    lost = published(client, graph)
    session = begin(client, lost, identifiers={"key": ["nothing"]})
    hand_in(client, session)
    settled(client, session, "in_review")
    problems = client.post("/idv/v1/workflows/validate", json={"graph": {**GRAPH, "nodes": {
        **GRAPH["nodes"], "zone": {**GRAPH["nodes"]["zone"], "lists": ["fraud"]}, "own": {**GRAPH["nodes"]["own"], "lists": ["a b"]}}}}).json()
    assert {(one["node"], one["at"]) for one in problems["problems"] if one["severity"] == "error"} == {("zone", "/lists"), ("own", "/lists")}
    entries = place.audit("--kind", "admin_idv_list")
    assert entries and "allory" not in json.dumps(entries) and "chargebacks" not in json.dumps(entries)
