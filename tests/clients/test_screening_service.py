"""Screening as a service: verdicts and what they depend on, reviews by two persons, monitoring, batches, and
clients of yente's API."""

import json
import shutil
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor

import pytest

from portcullis import Demo, bearer, officer, tokens, until

SCREEN, MONITORS = "/idv/v1/aml/screen", "/idv/v1/aml/monitors"
HITS, LISTS, SUBJECTS = "/idv/v1/aml/hits", "/idv/v1/aml/lists", "/idv/v1/aml/subjects"

GADDAFI = {"id": "Q1", "schema": "Person", "properties": {
    "name": ["Muammar Gaddafi"], "birthDate": ["1942-06-07"], "topics": ["sanction"], "country": ["ly"]}}
ROUSSEFF = {"id": "Q2", "schema": "Person", "properties": {
    "name": ["Dilma Rousseff"], "birthDate": ["1947-12-14"], "topics": ["role.pep"], "country": ["br"]}}
SHELL = {"id": "Q3", "schema": "Company", "properties": {
    "name": ["Golden Anchor Shipping LLC"], "topics": ["sanction"], "jurisdiction": ["ae"]}}


def import_list(demo, entities, name="watch", *options):
    file = demo.data / f"{name}.json"
    file.write_text("".join(json.dumps(entity) + "\n" for entity in entities))
    demo.cli("aml", "import", "--data", demo.data, "--list", name, "--format", "ftm", "--file", file, *options)


def version(client, name="watch"):
    lists = {one["name"]: one for one in client.get(LISTS).json()["items"]}
    return lists.get(name, {}).get("version")


def used_soon(client, before, name="watch"):
    return until(lambda: (now := version(client, name)) != before and now, "the new version")


@pytest.fixture(scope="module")
def place():
    """An installation with a list."""
    with Demo() as running:
        import_list(running, [GADDAFI, ROUSSEFF, SHELL])
        used_soon(running.operator(scope="aml"), None)
        yield running
        assert "panicked" not in running.log()


@pytest.fixture
def client(place):
    return place.operator(scope="aml")


def person(name, **more):
    properties = {"name": [name], **{key: [value] for key, value in more.items()}}
    return {"schema": "Person", "properties": properties}


def test_a_verdict_says_why_and_what_it_depends_on(place, client):
    answer = client.post(SCREEN, json={"subject": person("Moammar Gadhafi", birthDate="1942")})
    assert answer.status_code == 200, answer.text
    verdict = answer.json()
    hit = verdict["hits"][0]
    assert verdict["match"] and hit["entity"] == "Q1" and hit["score"] > 0.7
    assert "id" not in hit and "subject" not in verdict
    assert "Gaddafi" in hit["text"] and hit["reasons"]["names"]
    used = verdict["used"]
    assert used["policy"]["name"] == "balanced" and len(used["policy"]["hash"]) == 64
    assert used["lists"][0]["version"] == version(client)
    nobody = client.post(SCREEN, json={"subject": person("Wolfgang Schmidbauer", favouriteColour="blue")}).json()
    assert not nobody["match"] and nobody["hits"] == [] and nobody["ignored"] == ["favouriteColour"]

    entries = place.audit("--kind", "aml_screened")
    entry = next(e for e in entries if e["unmapped"]["hits"] == 1)
    assert entry["unmapped"]["lists"] == used["lists"]
    assert entry["unmapped"]["policy_hash"] == used["policy"]["hash"]
    assert "Gadhafi" not in json.dumps(entries) and "Schmidbauer" not in json.dumps(entries)


def test_the_same_question_has_the_same_answer_for_everybody_at_once(client):
    def ask(_):
        verdict = client.post(SCREEN, json={"subject": person("Mouammar Kadhafi")}).json()
        return json.dumps({**verdict, "screened_at": ""}, sort_keys=True)

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(ask, range(40)))) == 1


@pytest.mark.parametrize("body, status, pointer", [
    ({}, 400, None),
    ({"subject": {"schema": "Person"}}, 400, None),
    ({"subject": person("A"), "unknown": 1}, 400, None),
    ({"subject": {"schema": "Persona", "properties": {"name": ["A"]}}}, 422, "/subject/schema"),
    ({"subject": {"schema": "Person", "properties": {}}}, 422, "/subject/properties"),
    ({"subject": {"schema": "Person", "properties": {"name": [7]}}}, 422, "/subject/properties"),
    ({"subject": {"schema": "Person", "properties": {"name": ["x" * 5000]}}}, 422, "/subject/properties"),
    ({"subject": {"schema": "Person", "properties": {"colour": ["x"]}}}, 422, "/subject/properties"),
    ({"subject": person("A"), "threshold": 1.5}, 422, "/threshold"),
    ({"subject": person("A"), "policy": "lax"}, 422, "/policy"),
    ({"subject": person("A"), "lists": ["nothing"]}, 422, "/lists"),
    ({"subject": person("A"), "limit": 501}, 422, "/limit"),
    ({"subject": person("A"), "reference": ""}, 422, "/reference"),
    ({"subject": person("A"), "monitor": True}, 422, "/reference"),
])
def test_what_cannot_be_screened_is_refused(client, body, status, pointer):
    answer = client.post(SCREEN, json=body)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    if pointer:
        assert answer.json()["violations"][0]["pointer"] == pointer


def test_without_lists_nobody_is_cleared(own_demo):
    client = own_demo.operator(scope="aml")
    answer = client.post(SCREEN, json={"subject": person("Anybody")})
    assert answer.status_code == 503 and answer.json()["type"].endswith("no_lists")
    # A list that has lost its files is not passed over.
    import_list(own_demo, [GADDAFI])
    used_soon(client, None)
    import_list(own_demo, [ROUSSEFF], "broken")
    used_soon(client, None, "broken")
    own_demo.stop()
    for file in (own_demo.data / "screening" / "broken").glob("*/entities.jsonl"):
        file.write_text("")
    for file in (own_demo.data / "screening" / "broken").glob("*/index"):
        file.unlink()
    own_demo.start()
    client = own_demo.operator(scope="aml")
    answer = client.post(SCREEN, json={"subject": person("Anybody")})
    assert answer.status_code == 503 and answer.json()["type"].endswith("problem:list"), answer.text
    assert client.post(SCREEN, json={"subject": person("Muammar Gaddafi"), "lists": ["watch"]}).json()["match"]
    usable = {one["name"]: one["usable"] for one in client.get(LISTS).json()["items"]}
    assert usable == {"broken": False, "watch": True}


def test_a_list_that_vanishes_is_missed_until_it_is_retired(own_demo):
    client = own_demo.operator(scope="aml")
    import_list(own_demo, [GADDAFI])
    import_list(own_demo, [ROUSSEFF], "second")
    used_soon(client, None)
    used_soon(client, None, "second")
    kept = {"subject": person("Dilma Rousseff"), "reference": "c1", "monitor": True}
    assert client.post(SCREEN, json=kept).json()["match"]
    until(lambda: own_demo.audit("--kind", "aml_screened"), "the verdict")
    place = own_demo.data / "screening" / "second"
    place.rename(own_demo.data / "elsewhere")
    usable = lambda: {one["name"]: one["usable"] for one in client.get(LISTS).json()["items"]}
    until(lambda: usable().get("second") is False, "somebody to notice")
    assert client.post(SCREEN, json=kept).status_code == 503
    own_demo.stop()
    own_demo.start()
    client = own_demo.operator(scope="aml")
    assert usable().get("second") is False and client.post(SCREEN, json=kept).status_code == 503
    (own_demo.data / "elsewhere").rename(place)
    until(lambda: usable().get("second") is True, "the list")
    # A file without a time says nothing, and takes nothing out of use.
    (place / "retired").write_text("")
    own_demo.stop()
    own_demo.start()
    client = own_demo.operator(scope="aml")
    assert usable() == {"second": True, "watch": True}
    own_demo.cli("aml", "retire", "--data", own_demo.data, "--list", "second")
    until(lambda: "second" not in usable(), "the list to be gone")
    again = client.post(SCREEN, json=kept).json()
    assert again["match"] and again["hits"] == [] and len(again["standing"]) == 1, "nobody was cleared by that"
    assert own_demo.audit("--kind", "admin_aml_list_retire")
    import_list(own_demo, [ROUSSEFF], "second")
    until(lambda: usable().get("second"), "the same list to be back")
    own_demo.cli("aml", "retire", "--data", own_demo.data, "--list", "second")
    until(lambda: "second" not in usable(), "the list to be gone")
    named = {"subject": person("Gaddafi"), "reference": "c2", "lists": ["watch"]}
    assert client.post(SCREEN, json=named).status_code == 200
    # One that is lost for good can be retired too.
    shutil.rmtree(own_demo.data / "screening" / "watch")
    until(lambda: usable().get("watch") is False, "somebody to notice")
    lost = ("aml", "retire", "--data", own_demo.data, "--list", "watch")
    assert own_demo.cli(*lost, check=False).returncode != 0
    own_demo.cli(*lost, "--lost")
    until(lambda: "watch" not in usable(), "the list to be gone")


def test_a_version_from_the_future_does_not_stop_what_follows(own_demo):
    client = own_demo.operator(scope="aml")
    import_list(own_demo, [GADDAFI])
    place = own_demo.data / "screening" / "watch"
    current = (place / "current").read_text()
    ahead = "20990101000000" + current[14:]
    (place / current).rename(place / ahead)
    info = json.loads((place / ahead / "list.json").read_text())
    (place / ahead / "list.json").write_text(json.dumps({**info, "version": ahead}))
    (place / "current").write_text(ahead)
    until(lambda: version(client) == ahead, "the version from the future")
    assert client.post(MONITORS, json={"subject": person("Dilma Rousseff"), "reference": "c1"}).status_code == 201
    until(lambda: client.get(f"{MONITORS}").json()["items"], "the subject")
    import_list(own_demo, [GADDAFI, ROUSSEFF])
    until(lambda: client.get(HITS).json()["items"], "the hit")
    assert version(client) > ahead


def test_clearing_takes_two_persons(place, client):
    screened = client.post(SCREEN, json={"subject": person("Dilma Rousseff"), "reference": "customer-1"}).json()
    hit = f"{HITS}/{screened['hits'][0]['id']}"
    ann, ben = officer(place, "ann"), officer(place, "ben")
    seen = ann.get(hit).json()
    assert seen["state"] == "Unreviewed" and seen["reference"] == "customer-1" and seen["text"]
    decision = {"version": seen["version"], "state": "False Positive", "note": "born in another year"}
    assert client.post(f"{hit}/resolve", json=decision).status_code == 403, "a machine does not decide"
    proposed = ann.post(f"{hit}/resolve", json=decision).json()
    assert proposed["state"] == "Unreviewed" and proposed["proposal"]["state"] == "False Positive"
    assert [one["id"] for one in ben.get(HITS, params={"proposed": "true"}).json()["items"]] == [seen["id"]]
    second = {"version": proposed["version"]}
    refused = ann.post(f"{hit}/approve", json=second)
    assert refused.status_code == 409 and refused.json()["type"].endswith("four_eyes")
    assert ben.post(f"{hit}/approve", json={"version": 1}).status_code == 409
    cleared = ben.post(f"{hit}/approve", json=second).json()
    assert cleared["state"] == "False Positive" and len(cleared["decided_by"]) == 2
    again = client.post(SCREEN, json={"subject": person("Dilma Rousseff"), "reference": "customer-1"}).json()
    assert not again["match"] and again["hits"][0]["state"] == "False Positive"
    actions = [e["metadata"]["event_code"] for e in place.audit("--kind", "admin_aml_hit")]
    assert actions[-2:] == ["admin_aml_hit_propose", "admin_aml_hit_approve"]
    assert "another year" not in json.dumps(place.audit("--kind", "admin_aml_hit"))
    assert ann.get(HITS, params={"state": "Nothing"}).status_code == 400
    assert ann.get("/api/admin/v1/users").status_code == 403, "screening is no administration"


def test_a_new_version_of_a_list_raises_hits_of_whom_it_concerns(own_demo):
    client = own_demo.operator(scope="aml")
    import_list(own_demo, [GADDAFI, SHELL])
    first = used_soon(client, None)
    for name, reference in (("Dilma Roussef", "c1"), ("Ann Example", "c2")):
        made = client.post(MONITORS, json={"subject": person(name), "reference": reference})
        assert made.status_code == 201 and not made.json()["match"], made.text
    once = {"subject": person("Dilma Rousseff"), "reference": "c3"}
    assert not client.post(SCREEN, json=once).json()["match"]
    import_list(own_demo, [GADDAFI, ROUSSEFF, SHELL])
    found = until(lambda: client.get(HITS).json()["items"], "the hit")
    assert [(one["reference"], one["entity"], one["state"]) for one in found] == [("c1", "Q2", "Unreviewed")]
    events = own_demo.audit("--kind", "aml_rescreened")
    assert len(events) == 1 and events[0]["unmapped"]["cause"] == "list_change"
    assert events[0]["unmapped"]["lists"][0]["version"] != first
    monitored = client.get(MONITORS).json()["items"]
    assert {one["reference"] for one in monitored} == {"c1", "c2"}
    one = next(one for one in monitored if one["reference"] == "c1")
    refused = client.delete(f"{SUBJECTS}/{one['id']}")
    assert refused.status_code == 409 and refused.json()["type"].endswith("open_hits")
    known = client.get(f"{SUBJECTS}/{one['id']}").json()
    assert known["subject"]["properties"]["name"] == ["Dilma Roussef"]
    assert client.delete(f"{MONITORS}/{one['id']}").status_code == 204
    assert client.get(f"{MONITORS}/{one['id']}").status_code == 404
    assert client.get(f"{SUBJECTS}/{one['id']}").status_code == 200
    client.post(SCREEN, json={"subject": person("Bea Example"), "reference": "c1"})
    assert client.get(HITS).json()["items"] == []
    assert client.delete(f"{SUBJECTS}/{one['id']}").status_code == 204
    assert client.get(f"{SUBJECTS}/{one['id']}").status_code == 404
    # Nothing that was known of anybody is readable in the files.
    for file in own_demo.data.glob("portcullis.db*"):
        assert b"Roussef\"" not in file.read_bytes()


def test_monitoring_goes_on_after_a_kill(own_demo):
    client = own_demo.operator(scope="aml")
    import_list(own_demo, [GADDAFI])
    used_soon(client, None)
    lines = [json.dumps({"subject": person("Dilma Rousseff"), "reference": f"c{n}", "monitor": True})
             for n in range(600)]
    answer = client.post(SCREEN, content="\n".join(lines), headers={"content-type": "application/x-ndjson"})
    assert len(answer.text.splitlines()) == 600
    import_list(own_demo, [GADDAFI, ROUSSEFF])
    until(lambda: client.get(HITS, params={"limit": 1}).json()["items"], "the first hit")
    own_demo.kill()
    own_demo.start()
    client = own_demo.operator(scope="aml")

    def hits():
        found, after = [], ""
        while True:
            page = client.get(HITS, params={"limit": 200, "after": after}).json()
            found += page["items"]
            after = page.get("next")
            if not after:
                return found

    found = until(lambda: len(all_hits := hits()) >= 600 and all_hits, "all hits")
    assert len({one["subject"] for one in found}) == len(found) == 600
    # A hit can be seen a moment before the log has its entry.
    events = until(lambda: len(told := own_demo.audit("--kind", "aml_rescreened")) >= 600 and told, "all entries")
    assert len({event["entity"]["uid"] for event in events}) == len(events) == 600


def test_a_batch_is_answered_line_by_line(client):
    lines = [
        json.dumps({"subject": person("Moammar Gadhafi")}),
        "",
        "{broken",
        json.dumps({"subject": person("Nobody Atall"), "policy": "lax"}),
        json.dumps({"subject": person("x" * 300_000)}),
        json.dumps({"subject": {"schema": "Company", "properties": {"name": "Golden Anchor Shipping"}}}),
    ]
    answer = client.post(SCREEN, content="\n".join(lines), headers={"content-type": "application/x-ndjson"})
    assert answer.headers["content-type"] == "application/x-ndjson"
    told = {one["line"]: one for one in map(json.loads, answer.text.splitlines())}
    assert list(told) == [1, 3, 4, 5, 6]
    assert told[1]["match"] and told[6]["hits"][0]["entity"] == "Q3"
    assert told[3]["error"]["status"] == 400 and told[5]["error"]["status"] == 400
    assert told[4]["error"]["violations"][0]["pointer"] == "/policy"


def test_lines_are_answered_as_they_come(place, client):
    """Whoever waits for each answer gets it before they ask the next."""
    context = ssl.create_default_context(cafile=place.data / "ca.pem")
    port = place.ports["PUBLIC"]
    with context.wrap_socket(socket.create_connection(("127.0.0.1", port), timeout=20),
                             server_hostname="localhost") as peer:
        peer.sendall((f"POST {SCREEN} HTTP/1.1\r\nhost: localhost:{port}\r\ntransfer-encoding: chunked\r\n"
                      f"authorization: {client.headers['authorization']}\r\n"
                      "content-type: application/x-ndjson\r\n\r\n").encode())
        line = json.dumps({"subject": person("Moammar Gadhafi")}).encode() + b"\n"
        seen = b""
        for number in range(1, 4):
            peer.sendall(f"{len(line):x}\r\n".encode() + line + b"\r\n")
            while f'"line":{number}'.encode() not in seen:
                piece = peer.recv(65_536)
                assert piece, seen
                seen += piece


def test_a_batch_is_streamed_and_ends_with_its_client(place, client):
    """More than any other body may have, and answers before the end of the question."""
    line = json.dumps({"subject": person("Moammar Gadhafi", notes="x" * 3_000)}).encode() + b"\n"
    sent = []

    def lines():
        for number in range(1_000):
            sent.append(number)
            yield line

    first = None
    with client.stream("POST", SCREEN, content=lines(), headers={"content-type": "application/x-ndjson"},
                       timeout=60) as answer:
        assert answer.status_code == 200
        count = 0
        for one in answer.iter_lines():
            first = first or len(sent)
            assert json.loads(one)["match"]
            count += 1
    assert count == 1_000


def test_one_entity_on_two_lists_is_one_for_yente_clients(own_demo):
    client = own_demo.operator(scope="aml")
    assert own_demo.client().get("/readyz").status_code == 503
    entity = {**GADDAFI, "datasets": ["un_sc"], "referents": ["un-1"]}
    import_list(own_demo, [entity], "first")
    used_soon(client, None, "first")
    import_list(own_demo, [entity, *({**ROUSSEFF, "id": f"R{n}"} for n in range(600))], "second")
    used_soon(client, None, "second")

    def match(name, **parameters):
        query = {"schema": "Person", "properties": {"name": name, "birthDate": [1942 if name[0] == "M" else 1947]}}
        return client.post("/match/default", params=parameters, json={"queries": {"q": query}}).json()["responses"]["q"]

    found = match("Moammar Gadhafi")
    assert found["total"] == {"value": 1, "relation": "eq"} and len(found["results"]) == 1
    assert set(found["results"][0]["datasets"]) >= {"first", "second"}
    assert "datasets" not in found["results"][0]["properties"]
    many = match("Dilma Rousseff", limit=500)
    assert many["total"] == {"value": 500, "relation": "gte"}
    # Whoever is left out takes nobody's place.
    left = match("Dilma Rousseff", limit=500, exclude_entity_ids=[f"R{n}" for n in range(50)])
    assert len(left["results"]) == 500


def test_yente_clients_need_another_url_only(place, client):
    query = {"schema": "Person", "properties": {"name": ["Moammar Gadhafi"], "birthDate": "1942-06-07"}}
    answer = client.post("/match/default", json={"queries": {"q": query}, "weights": {}, "config": {}})
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-batch-size"] == "1"
    body = answer.json()
    response = body["responses"]["q"]
    best = response["results"][0]
    assert response["status"] == 200 and response["total"] == {"value": 1, "relation": "eq"}
    assert best["id"] == "Q1" and best["match"] is True and best["score"] > 0.9
    assert best["datasets"] == ["watch"] and best["caption"] == "Muammar Gaddafi" and best["features"]
    assert response["query"]["properties"]["name"] == ["Moammar Gadhafi"] and body["limit"] == 5

    def match(scope="watch", **parameters):
        answer = client.post(f"/match/{scope}", params=parameters, json={"queries": {"q": query}})
        return answer.json()["responses"]["q"]["results"] if answer.status_code == 200 else answer

    assert match(threshold=1)[0]["match"] is False, "the cutoff stays at 0.7"
    assert match(threshold=1, cutoff=1) == []
    assert match(exclude_schema="Nonsense").status_code == 400 and match(exclude_schema="Position")
    assert match(exclude_schema="Person") == [] and match(exclude_entity_ids=["Q1", "Q9"]) == []
    assert match(topics=["role.pep"]) == [] and match(topics=["role.pep", "sanction"])
    missing = match("nothing")
    assert missing.status_code == 404 and missing.json() == {"detail": "No such dataset."}
    assert match(include_dataset="elsewhere").status_code == 404
    assert match(algorithm="logic-v2") and match(algorithm="nonsense").status_code == 400
    assert match(exclude_entity_ids=["x"] * 51).status_code == 422
    told = place.audit("--kind", "aml_screened")
    assert any("Q9" in (entry["unmapped"]["filter"] or "") for entry in told), "what was left out is told"
    assert match(changed_since="2099-01-01").status_code == 400, "rather than an answer to something else"
    for bad in ({"queries": {"q": {"schema": "Position", "properties": {"name": ["Minister"]}}}},
                {"queries": {"q": query}, "weights": {"name": 1}},
                {}, {"queries": {}}, {"queries": {str(n): query for n in range(101)}},
                {"queries": {"q": {"schema": "Nonsense", "properties": {}}}}, []):
        refused = client.post("/match/default", json=bad)
        assert refused.status_code == 400 and isinstance(refused.json()["detail"], str), bad

    found = client.get("/search/default", params={"q": "gaddafi"}).json()
    assert found["results"][0]["id"] == "Q1" and found["total"]["relation"] == "eq"
    assert found["facets"]["topics"]["values"][0]["name"] == "sanction"
    nobody = {"queries": {"a": query, "b": {"schema": "Person", "properties": {"name": [""], "birthDate": None}}}}
    mixed = client.post("/match/default", json=nobody).json()["responses"]
    assert mixed["a"]["results"] and mixed["b"]["status"] == 400 and mixed["b"]["results"] == []
    assert client.get("/search/default", params={"q": "gaddafi", "filter": "country:ly"}).json()["results"]
    assert client.get("/search/default", params={"q": "gaddafi", "filter": "country:fr"}).json()["results"] == []
    assert client.get("/search/default", params={"q": "gaddafi", "schema": "Company"}).json()["results"] == []
    assert client.get("/search/default", params={"q": "gaddafi AND libya"}).status_code == 400
    assert client.get("/entities/Q1").json()["caption"] == "Muammar Gaddafi"
    assert client.get("/entities/Q404").status_code == 404
    assert client.get("/search/default", params={"q": "gaddafi", "countries": "br"}).json()["results"] == []
    assert client.get("/search/default").status_code == 400
    datasets = {one["name"]: one for one in client.get("/catalog").json()["datasets"]}
    assert datasets["default"]["children"] == ["watch"]
    assert client.get("/algorithms").json()["default"] == "balanced"

    anybody = place.client()
    assert anybody.get("/healthz").json() == anybody.get("/readyz").json() == {"status": "ok"}
    assert anybody.get("/entities/Q1").status_code == 401
    assert anybody.post("/match/default", json={"queries": {"q": query}}).status_code == 401
    made = place.operator().post("/api/admin/v1/api-keys", json={"name": "yente", "scopes": ["aml"]}).json()
    key = {"authorization": f"ApiKey {made['key']}"}
    keyed = anybody.post("/match/default", json={"queries": {"q": query}}, headers=key)
    assert keyed.status_code == 200
    wrong = anybody.post("/match/default", json={"queries": {"q": query}}, headers={"authorization": "ApiKey pck_x"})
    assert wrong.status_code == 401
    both = anybody.post("/match/default", json={}, headers={**key, "x-api-key": made["key"]})
    assert both.status_code == 401, "of two credentials it is not known which was meant"
    other = place.operator().post("/api/admin/v1/api-keys", json={"name": "no", "scopes": ["profile"]}).json()
    header = {"authorization": f"ApiKey {other['key']}"}
    assert anybody.get("/search/default?q=x", headers=header).status_code == 403
