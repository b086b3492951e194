"""A check that asks in words: through the API, on the page in the language of the person, and what is none."""

import base64
import hashlib
import json
import re
import ssl
import subprocess

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from portcullis import Demo, fields
from test_workflows import SESSIONS, WORKFLOWS, begin, give, published, settled, show

QUESTIONS = [
    {"id": "pep", "kind": "yes_no", "text": {"en": "Do you hold a public office?", "de": "Haben Sie ein öffentliches Amt?"}},
    {"id": "source", "kind": "choice", "text": {"en": "Where does the money come from?"}, "options": [
        {"id": "salary", "text": {"en": "Salary", "de": "Gehalt"}}, {"id": "gift", "text": {"en": "A gift <b>"}},
    ]},
    {"id": "since", "kind": "date", "text": {"en": "Since when do you live there?"}},
    {"id": "income", "kind": "number", "text": {"en": "How much a year?"}, "optional": True},
    {"id": "more", "kind": "text", "text": {"en": "Anything else?"}, "optional": True},
]
GRAPH = {"schema": "idv.workflow/1", "start": "ask", "nodes": {
    "ask": {"type": "check", "check": "questionnaire", "questions": QUESTIONS, "next": "route"},
    "route": {"type": "branch", "cases": [{"id": "pep", "when": {"cel": "'pep=yes' in ask.answers"}, "goto": "human"}], "else": "yes"},
    "human": {"type": "review", "queue": "kyc", "approvers": 1}, "yes": {"type": "decide", "set": "approved"},
}}
SAID = {"pep": "no", "source": "salary", "since": "2020-02-29"}


@pytest.fixture(scope="module")
def place():
    with Demo() as running:
        yield running
        assert "panicked" not in running.log()


@pytest.fixture(scope="module")
def client(place):
    return place.operator(scope="idv")


@pytest.fixture(scope="module")
def workflow(client):
    return published(client, GRAPH)


def answers(client, session):
    reports = client.get(f"{SESSIONS}/{session['id']}/decision").json()["reports"]
    return next(one for one in reports if one["node"] == "ask")


def test_answers_are_taken_and_looked_at(place, client, workflow):
    session = begin(client, workflow)
    given = give(client, session, node="ask", questionnaire={**SAID, "income": "52000.50", "more": " Nothing\nat all "})
    assert given["report"]["answers"] == {**SAID, "income": "52000.50", "more": "Nothing\nat all"}
    assert settled(client, session, "approved", "in_review")["status"] == "approved"
    report = answers(client, session)
    assert (report["status"], report["assurance"]) == ("passed", "self_asserted")
    assert "52000" not in json.dumps(place.audit())
    session = begin(client, workflow)
    give(client, session, node="ask", questionnaire={**SAID, "pep": "yes"})
    settled(client, session, "in_review")


@pytest.mark.parametrize("change, must", [
    ({"pep": "maybe"}, "pep must be an answer"),
    ({"pep": ""}, "pep needs an answer"),
    ({"pep": None}, "pep needs an answer"),
    ({"source": "lottery"}, "source must be an answer"),
    ({"since": "2021-02-29"}, "since must be an answer"),
    ({"income": "much"}, "income must be an answer"),
    ({"more": "x" * 1001}, "more must be an answer"),
    ({"more": "a\0b"}, "more must be an answer"),
    ({"other": "x"}, "other is no question"),
])
def test_what_is_no_answer_uses_up_no_try(client, workflow, change, must):
    session = begin(client, workflow)
    said = {name: value for name, value in {**SAID, **change}.items() if value is not None}
    refused = give(client, session, 422, node="ask", questionnaire=said)
    assert refused["violations"][0]["pointer"] == "/questionnaire" and must in refused["violations"][0]["message"]
    assert show(client, session)["awaiting"] == [{"node": "ask", "check": "questionnaire", "attempt": 1}]


@pytest.mark.parametrize("questions, at", [
    ([], "/questions"),
    ([QUESTIONS[0]] * 2, "/questions/1/id"),
    ([{**QUESTIONS[0], "id": "a b"}], "/questions/0/id"),
    ([{**QUESTIONS[0], "text": {}}], "/questions/0/text"),
    ([{**QUESTIONS[1], "options": QUESTIONS[1]["options"][:1]}], "/questions/0/options"),
    ([{**QUESTIONS[0], "options": QUESTIONS[1]["options"]}], "/questions/0/options"),
])
def test_questions_that_make_no_sense_are_named(client, questions, at):
    graph = {**GRAPH, "nodes": {**GRAPH["nodes"], "ask": {**GRAPH["nodes"]["ask"], "questions": questions}}}
    problems = client.post(f"{WORKFLOWS}/validate", json={"graph": graph}).json()["problems"]
    assert (problems[0]["node"], problems[0]["at"]) == ("ask", at)
    other = {**GRAPH, "nodes": {**GRAPH["nodes"], "ask": {"type": "check", "check": "mrz", "questions": QUESTIONS, "next": "yes"}}}
    assert "/questions" in [one["at"] for one in client.post(f"{WORKFLOWS}/validate", json={"graph": other}).json()["problems"]]


def test_the_page_asks_in_the_language_of_the_person(place, client, workflow):
    session = begin(client, workflow, locale="de")
    browser = place.client("127.49.0.1")
    page = browser.get(session["url"].removeprefix(place.issuer))
    answer = browser.post("/verify", data=fields(page.text))
    where = answer.headers["location"]
    page = browser.get(where, headers={"accept-language": "de"})
    assert "Haben Sie ein öffentliches Amt?" in page.text and "Gehalt" in page.text and "Einige Fragen" in page.text
    assert "A gift &#60;b&#62;" in page.text and "<b>" not in page.text
    form = {name: fields(page.text)[name] for name in ("csrf", "node", "serial")}

    def send(**said):
        return browser.post(where, files={name: (None, value) for name, value in {**form, **said}.items()})

    assert send(q0="no", q1="salary").status_code == 422
    assert "Etwas fehlt" in send(q0="no", q1="lottery", q2="2020-02-29").text
    assert send(q99="x").status_code == 400
    assert send(q0="no", q1="salary", q2="2020-02-29", q3="", q4="Grüße").status_code == 303
    settled(client, session, "approved")
    assert answers(client, session)["report"]["answers"] == {**SAID, "more": "Grüße"}
    assert re.search("Grüße", browser.get(where).text) is None, "what was said is not shown again"


def test_a_browser_shows_it_to_everybody(place, client, workflow, tmp_path):
    session = begin(client, workflow)
    served = ssl.get_server_certificate(("127.0.0.1", place.ports["PUBLIC"]))
    key = x509.load_pem_x509_certificate(served.encode()).public_key()
    pinned = base64.b64encode(hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest())
    command = ["node", "browser_open.mjs", pinned.decode(), str(tmp_path / "pictures"), session["url"]]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    told = json.loads(run.stdout)
    assert told["complaints"] == [] and len(told["seen"]) == 4
    for page in told["seen"]:
        assert page["title"] == "A few questions" and page["violations"] == [] and page["overflow"] <= 0, page
