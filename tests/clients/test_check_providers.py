"""Checks that somebody else does: the provider of the examples over TLS, what it is told and what it is not, and what
becomes of a workflow when it is slow, down, or says what nobody can read."""

import json
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from portcullis import DEMO, Demo, until
from receivers import Http, authority
from test_capture import Browser, heading
from test_documents import HERE, LINES, PHOTO, b64
from test_workflows import SESSIONS, WORKFLOWS, begin, give, published, settled

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
PDF = b"%PDF-1.7\nhello"


def graph(provider, check="database", **more):
    first = {"type": "check", "check": "mrz", "next": "asked"}
    asked = {"type": "check", "check": check, "provider": provider, "next": "end", **more}
    return {"schema": "idv.workflow/1", "start": "zone", "nodes": {"zone": first, "asked": asked, "end": {"type": "decide", "rule": "fold"}}}


class Answering(Http):
    """A provider that says whatever a test wants."""

    def __init__(self, files):
        super().__init__(self.hear, files)
        self.asked, self.say, self.go_on = [], lambda question: (200, {"id": "c1", "status": "passed"}), threading.Event()

    def hear(self, path, headers, body):
        question = json.loads(body)
        self.asked.append((dict(headers), question))
        status, value = self.say(question)
        return status, {"content-type": "application/json"}, json.dumps(value).encode()

    def about(self, session):
        return [question for _, question in list(self.asked) if question["session"] == session["id"]]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return authority(tmp_path_factory.mktemp("providers"))


@pytest.fixture(scope="module")
def register(files):
    """The provider of the examples, as its users start it."""
    people = files / "people.csv"
    people.write_text("surname,given_names,date_of_birth\nMüstermann,Erika,1964-08-12\nMustermann,Erika,1964-08-12\n")
    (files / "secret").write_text(SECRET + "\n")
    pem = files / "both.pem"
    pem.write_bytes((files / "server.pem").read_bytes() + (files / "server.key").read_bytes())
    command = [sys.executable, HERE / "examples/check-provider.py", "--register", people, "--secret-file", files / "secret",
               "--certificate", pem, "--port", "0"]
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    yield process.stdout.readline().strip()
    process.terminate()
    process.wait(10)


@pytest.fixture(scope="module")
def free(files):
    answering = Answering(files)
    yield answering
    answering.server.shutdown()


@pytest.fixture(scope="module")
def place(files, register, free):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        nobody = closed.getsockname()[1]
    terms = [("register", register, ["surname", "given_names", "date_of_birth", "document"]), ("free", free.url, ["surname", "email", "document"]),
             ("nobody", f"https://127.0.0.1:{nobody}", [])]
    config = DEMO + f'\n[egress]\nallow = ["127.0.0.0/8", "::1/128"]\nca = "{files / "ca.pem"}"\n'
    for name, url, sends in terms:
        config += f'\n[[verification.provider]]\nname = "{name}"\nurl = "{url}"\nsecret_file = "{files / "secret"}"\nsends = {json.dumps(sends)}\ntimeout = "5s"\n'
    with Demo(config) as running:
        yield running
        assert "panicked" not in running.log()


@pytest.fixture(scope="module")
def client(place):
    return place.operator(scope="idv")


def decided(client, session, *statuses):
    settled(client, session, *statuses)
    return client.get(f"{SESSIONS}/{session['id']}/decision").json()


def report(decision):
    return next(report for report in decision["reports"] if report["node"] == "asked")


def test_a_register_says_who_is_known(client):
    workflow = published(client, graph("register"))
    session = begin(client, workflow)
    give(client, session, node="zone", mrz={"mrz": LINES})
    found = report(decided(client, session, "approved"))
    assert (found["status"], found["assurance"], found["values"]["score"]) == ("passed", "database", 1)
    provider = found["report"]["provider"]
    assert (provider["name"], provider["version"]) == ("register", "1.0") and provider["id"].startswith("chk_")
    assert found["report"]["id"] != provider["id"]


ALONE = "/idv/v1/checks/database"


def test_a_register_is_asked_alone(place, client):
    subject = {"surname": "Mustermann", "given_names": "Erika", "date_of_birth": "1964-08-12"}
    answer = client.post(ALONE, json={"provider": "register", "subject": subject})
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert (found["check"], found["status"], found["assurance"], found["values"]["score"]) == ("database", "passed", "database", 1)
    assert found["provider"]["name"] == "register" and found["provider"]["id"] != found["id"]
    other = client.post(ALONE, json={"provider": "register", "subject": {**subject, "date_of_birth": "1964-08-13"}}).json()
    assert other["status"] == "review" and other["inputs_hash"] != found["inputs_hash"]
    entry = next(e for e in place.audit() if e.get("entity", {}).get("uid") == found["id"])
    assert entry["unmapped"]["status"] == "passed" and "Mustermann" not in json.dumps(entry)
    gone = client.post(ALONE, json={"provider": "nobody", "subject": subject}).json()
    assert (gone["status"], gone["reasons"][0]["code"]) == ("error", "provider_unreachable")


def test_alone_it_is_told_no_more(place, client, free):
    free.say = lambda question: (422, {})
    subject = {"surname": "Mustermann", "date_of_birth": "1964-08-12"}
    asked = {"provider": "free", "subject": subject, "identifiers": {"email": ["Erika@Example.org"], "phone": ["+49 30 901820"]}, "locale": "de"}
    found = client.post(ALONE, json=asked).json()
    assert (found["status"], found["reasons"][0]["code"]) == ("not_performed", "provider_cannot")
    [question] = [question for _, question in free.asked if question["id"] == found["id"]]
    assert (question["session"], question["node"], question["check"], question["locale"]) == ("", "", "database", "de")
    assert question["subject"] == {"surname": "Mustermann"} and list(question["identifiers"]) == ["email"]
    for wrong, where in [({"provider": "none"}, "provider"), ({"subject": {}}, "subject"), ({"identifiers": {"email": ["x"]}}, "identifiers"),
                         ({"identifiers": {"wish": ["x"]}}, "identifiers"), ({"subject": {"date_of_birth": "x"}}, "date_of_birth"), ({"locale": "d e"}, "locale"), ({"locale": "a" * 36}, "locale")]:
        refused = client.post(ALONE, json={**asked, **wrong})
        assert refused.status_code == 422 and where in refused.text, refused.text
    assert place.operator(scope="aml").post(ALONE, json=asked).status_code == 403


def test_what_it_doubts_is_for_people(client):
    workflow = published(client, {**graph("register", **{"from": "expected"})})
    for expected, status in [({"surname": "Mustermann", "given_names": "Erika", "date_of_birth": "1964-08-12"}, "approved"),
                             ({"surname": "Mustermann", "given_names": "Erika", "date_of_birth": "1964-08-13"}, "declined")]:
        session = begin(client, workflow, expected=expected)
        give(client, session, node="zone", mrz={"mrz": LINES})
        settled(client, session, status)
    unknown = begin(client, workflow, expected={"surname": "Mustermann", "given_names": "Erika"})
    give(client, unknown, node="zone", mrz={"mrz": LINES})
    found = settled(client, unknown, "in_review")
    assert found, "without a date of birth the register cannot look"


def test_it_is_told_what_the_operator_says_and_no_more(client, free):
    workflow = published(client, graph("free"))
    free.say = lambda question: (200, {"id": "c1", "status": "passed"})
    session = begin(client, workflow, locale="de", reference="customer-7", metadata={"order": 7},
                    identifiers={"email": ["Erika@Example.org"], "phone": ["+49 30 901820"]})
    give(client, session, node="zone", mrz={"mrz": LINES})
    decided(client, session, "approved")
    [question] = free.about(session)
    assert question == {
        "schema": "idv.provider/1", "id": question["id"], "session": session["id"], "node": "asked", "check": "database",
        "locale": "de", "subject": {"surname": "MUSTERMANN"}, "identifiers": question["identifiers"],
    }
    assert list(question["identifiers"]) == ["email"] and "customer-7" not in json.dumps(question)
    headers = next(headers for headers, asked in free.asked if asked["session"] == session["id"])
    headers = {name.lower(): value for name, value in headers.items()}
    assert headers["idempotency-key"] == headers["webhook-id"] == question["id"]


def test_whoever_cannot_be_reached_is_asked_again_under_the_same_key(client, free):
    workflow = published(client, graph("free", retry={"max": 2, "backoff": "PT1S"}))
    tries = {}

    def say(question):
        tries[question["session"]] = tries.get(question["session"], 0) + 1
        return (503, {}) if tries[question["session"]] < 3 else (200, {"id": "c3", "status": "passed"})

    free.say = say
    session = begin(client, workflow)
    give(client, session, node="zone", mrz={"mrz": LINES})
    decided(client, session, "approved")
    assert len(free.about(session)) == 3
    assert len({question["id"] for question in free.about(session)}) == 1, "it is one question"


@pytest.mark.parametrize("status, value, ends, why", [
    (503, {}, "in_review", "provider_failed"), (429, {}, "in_review", "provider_busy"), (422, {}, "in_review", "provider_cannot"),
    (404, {}, "in_review", "provider_404"), (302, {}, "in_review", "provider_302"), (200, [], "in_review", "provider_answer"),
    (200, {"id": "c", "status": "approved"}, "in_review", "provider_answer"),
    (200, {"id": "c", "status": "passed", "reasons": [{"code": "x", "severity": "failure"}]}, "in_review", "provider_answer"),
    (200, {"id": "c", "status": "passed", "reasons": [{"code": "Erika Mustermann", "severity": "information"}]}, "in_review", "provider_answer"),
    (200, {"id": "c", "status": "failed", "reasons": [{"code": "dead", "severity": "failure"}]}, "declined", None),
])
def test_what_is_not_said_plainly_passes_nobody(place, client, free, status, value, ends, why):
    workflow = published(client, graph("free"))
    free.say = lambda question: (status, value)
    session = begin(client, workflow)
    give(client, session, node="zone", mrz={"mrz": LINES})
    settled(client, session, ends)
    events = client.get(f"{SESSIONS}/{session['id']}/events").json()["items"]
    performed = next(event for event in events if event["event"]["type"] == "performed")
    assert why is None or why in json.dumps(performed), performed


def test_nobody_there_goes_where_the_graph_says(client):
    workflow = published(client, graph("nobody", on_unavailable={"set": "failed"}))
    session = begin(client, workflow)
    give(client, session, node="zone", mrz={"mrz": LINES})
    decided(client, session, "declined")


def test_one_that_is_slow_holds_up_nobody_else(client, free):
    workflow = published(client, graph("free"))
    slow, waiting = threading.Event(), threading.Event()

    def say(question):
        if question["session"] == first["id"]:
            waiting.set()
            slow.wait(4)
        return 200, {"id": "c1", "status": "passed"}

    free.say = say
    first, second = begin(client, workflow), begin(client, workflow)
    give(client, first, node="zone", mrz={"mrz": LINES})
    assert waiting.wait(10)
    give(client, second, node="zone", mrz={"mrz": LINES})
    decided(client, second, "approved")
    assert client.get(f"{SESSIONS}/{first['id']}").json()["status"] == "processing"
    slow.set()
    decided(client, first, "approved")


def test_a_crash_asks_again_under_the_same_key(files, client, place, free):
    """What was being asked when the process died is asked again, as the same question."""
    workflow = published(client, graph("free"))
    asked = threading.Event()

    def say(question):
        if question["session"] == session["id"] and not asked.is_set():
            asked.set()
            time.sleep(3)
        return 200, {"id": "c1", "status": "passed"}

    free.say = say
    session = begin(client, workflow)
    give(client, session, node="zone", mrz={"mrz": LINES})
    assert asked.wait(10)
    place.kill()
    place.start()
    again = place.operator(scope="idv")
    until(lambda: again.get(f"{SESSIONS}/{session['id']}").json()["status"] == "approved", "the step to be taken", 90)
    keys = {question["id"] for question in free.about(session)}
    assert len(keys) == 1 and len(free.about(session)) == 2


def test_a_proof_of_address_is_handed_over(place, client, free, register):
    workflow = published(client, graph("free", "proof_of_address"))
    free.say = lambda question: (200, {"id": "c9", "status": "passed", "values": {"outcome": "utility_bill"}})
    session = begin(client, workflow)
    give(client, session, node="zone", mrz={"mrz": LINES})
    for bad in ("", "no base64!", b64(b"<svg/>")):
        give(client, session, 422, node="asked", proof_of_address={"document": bad})
    given = give(client, session, node="asked", proof_of_address={"document": b64(PDF)})
    assert given["report"]["status"] == "passed" and given["session"]["status"] == "approved"
    [question] = free.about(session)
    assert question["document"] == {"media_type": "application/pdf", "content": b64(PDF)} and question["subject"] == {"surname": "MUSTERMANN"}
    # Those who look at documents may not be able to read one: the person sends another.
    free.say = lambda question: (200, {"id": "c9", "status": "failed", "reasons": [{"code": "document_unreadable", "severity": "failure"}]})
    session = begin(client, workflow)
    browser = Browser(place)
    browser.client = place.client()
    here = browser.begin(session)
    page = browser.submit(here, mrz=LINES)
    assert heading(page) == "Show where you live" and "application/pdf" in page
    assert "The document cannot be read." in browser.submit(here, file=PHOTO)
    browser.submit(here, 422, file=b"GIF89a")
    browser.get(here)
    free.say = lambda question: (200, {"id": "c9", "status": "passed"})
    assert heading(browser.submit(here, file=PDF)) == "You are verified"
    # The one of the examples reads none, and says so.
    workflow = published(client, graph("register", "proof_of_address"))
    session = begin(client, workflow)
    give(client, session, node="zone", mrz={"mrz": LINES})
    given = give(client, session, node="asked", proof_of_address={"document": b64(PHOTO)})
    assert (given["report"]["status"], given["session"]["status"]) == ("review", "in_review")


def test_one_document_at_a_time_is_looked_at(place, client, free):
    """Whoever sends it ten times at once is asked about once, and takes nobody else's place."""
    workflow = published(client, graph("free", "proof_of_address"))
    other = published(client, graph("register"))
    going, looks = threading.Event(), threading.Event()

    def say(question):
        looks.set()
        going.wait(4)
        return 200, {"id": "c1", "status": "passed"}

    free.say = say
    session = begin(client, workflow)
    give(client, session, node="zone", mrz={"mrz": LINES})
    body = {"node": "asked", "proof_of_address": {"document": b64(PDF)}}
    where = f"{SESSIONS}/{session['id']}/inputs"
    with ThreadPoolExecutor(10) as pool:
        first = pool.submit(lambda: client.post(where, json=body, timeout=30))
        assert looks.wait(10)
        again = list(pool.map(lambda _: client.post(where, json=body, timeout=30).status_code, range(8)))
        assert set(again) == {503}
        aside = begin(client, other)
        give(client, aside, node="zone", mrz={"mrz": LINES})
        settled(client, aside, "approved")
        going.set()
        assert first.result().json()["session"]["status"] == "approved"
    assert len(free.about(session)) == 1


def test_a_slow_provider_leaves_room_at_others(client, free):
    slow, quick = published(client, graph("free", timeout="PT30S")), published(client, graph("register"))
    going = threading.Event()
    free.say = lambda question: (going.wait(4), (200, {"id": "c1", "status": "passed"}))[1]
    waiting = [begin(client, slow) for _ in range(20)]
    for session in waiting:
        give(client, session, node="zone", mrz={"mrz": LINES})
    session = begin(client, quick)
    give(client, session, node="zone", mrz={"mrz": LINES})
    settled(client, session, "approved")
    assert any(client.get(f"{SESSIONS}/{one['id']}").json()["status"] == "processing" for one in waiting)
    going.set()
    for one in waiting:
        settled(client, one, "approved")


def test_their_words_are_not_in_the_log(place, client, free):
    workflow = published(client, graph("free"))
    said = {"id": "Erika.Mustermann:1964", "status": "failed", "reasons": [{"code": "erika_mustermann", "severity": "failure"}]}
    free.say = lambda question: (200, said)
    session = begin(client, workflow)
    give(client, session, node="zone", mrz={"mrz": LINES})
    decision = decided(client, session, "declined")
    assert decision["decision"]["reason"] == "CHECK_FAILED" and report(decision)["report"]["provider"]["id"] == said["id"]
    entries = [entry for entry in place.audit("--kind", "idv_session") if entry["entity"]["uid"] == session["id"]]
    assert entries and "rika" not in json.dumps(entries)


def test_documents_go_to_nobody_who_is_not_to_have_them(client):
    made = client.post(WORKFLOWS, json={"name": "curious", "graph": graph("nobody", "proof_of_address")}).json()
    refused = client.post(f"{WORKFLOWS}/{made['id']}/publish", json={"revision": 1, "note": ""})
    assert refused.status_code == 422 and "unknown_provider" in refused.text


def test_where_the_graph_says_who_tells_nobody_else_does(client, free):
    wanted = graph("free", **{"from": "zone"})
    wanted["nodes"]["zone"]["on_unsupported"] = {"set": "not_performed"}
    workflow = published(client, wanted)
    session = begin(client, workflow, expected={"surname": "Mustermann"})
    give(client, session, node="zone", unsupported="no_document")
    settled(client, session, "in_review")
    assert free.about(session) == []


def test_the_provider_of_the_examples_stands_up_to_strangers(register, files):
    import ssl
    from urllib.parse import urlsplit

    place = urlsplit(register)
    with socket.create_connection((place.hostname, place.port)):
        # Somebody is silent, and nobody else waits for that.
        context = ssl.create_default_context(cafile=files / "ca.pem")
        for signature in ("v1,x", "v1,\u00e9", ""):
            with httpx.Client(verify=context, timeout=10) as stranger:
                answer = stranger.post(register, json={}, headers={"webhook-id": "a", "webhook-timestamp": str(int(time.time())), "webhook-signature": signature.encode()})
            assert answer.status_code == 401, signature


def test_a_provider_that_is_gone_is_an_error_and_keeps_nobody_waiting(files, free):
    """Its sessions go on where the graph says, also those in which the person is to send something."""
    config = DEMO + f'\n[egress]\nallow = ["127.0.0.0/8", "::1/128"]\nca = "{files / "ca.pem"}"\n'
    terms = f'\n[[verification.provider]]\nname = "free"\nurl = "{free.url}"\nsecret_file = "{files / "secret"}"\nsends = ["surname", "document"]\n'
    with Demo(config + terms) as place:
        client = place.operator(scope="idv")
        begun = [begin(client, published(client, graph("free", check))) for check in ("database", "proof_of_address")]
        place.stop()
        place.config = config
        place.start()
        client = place.operator(scope="idv")
        for session in begun:
            give(client, session, node="zone", mrz={"mrz": LINES})
        given = give(client, begun[1], node="asked", proof_of_address={"document": b64(PDF)})
        assert given["report"] is None
        for session in begun:
            settled(client, session, "in_review")
            assert free.about(session) == []


def test_graphs_name_providers_that_there_are(client):
    for node, code in [({"check": "database"}, "form"), ({"check": "mrz", "provider": "free"}, "form"), ({"check": "database", "provider": "a b"}, "form")]:
        wrong = graph("free")
        wrong["nodes"]["asked"] = {"type": "check", "next": "end", **node}
        problems = client.post(f"{WORKFLOWS}/validate", json={"graph": wrong}).json()["problems"]
        assert [(problem["code"], problem["at"]) for problem in problems if problem["node"] == "asked"] == [(code, "/provider")], problems
    made = client.post(WORKFLOWS, json={"name": "stranger", "graph": graph("stranger")}).json()
    refused = client.post(f"{WORKFLOWS}/{made['id']}/publish", json={"revision": 1, "note": ""})
    assert refused.status_code == 422 and "unknown_provider" in refused.text, refused.text


@pytest.mark.parametrize("line", [
    'url = "http://checks.example/"', 'sends = ["password"]', 'assurance = "cryptographic"', 'timeout = "46s"', 'name = "a b"',
])
def test_terms_that_make_no_sense_do_not_start(files, line):
    terms = {"name": '"x"', "url": '"https://checks.example/"', "secret_file": f'"{files / "secret"}"'}
    name, value = line.split(" = ", 1)
    text = "\n".join(f"{name} = {value}" for name, value in {**terms, name: value}.items())
    with pytest.raises(Exception, match="provider"):
        with Demo(DEMO + f"\n[[verification.provider]]\n{text}\n"):
            pass
