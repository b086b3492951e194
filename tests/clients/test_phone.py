"""Whether somebody reads text messages at a number: codes through the provider of the examples, what numbers tell, and
whoever wants to have many of them sent."""

import json
import re
import subprocess
import sys

import pytest

from portcullis import DEMO, Demo, until
from receivers import Http, authority
from test_capture import Browser, graph, heading
from test_documents import HERE, LINES
from test_workflows import SESSIONS, begin, give, published, settled, show

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NUMBERS = iter(f"+4915123{number:06}" for number in range(100_000, 999_999))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    files = authority(tmp_path_factory.mktemp("texts"))
    (files / "secret").write_text(SECRET + "\n")
    (files / "both.pem").write_bytes((files / "server.pem").read_bytes() + (files / "server.key").read_bytes())
    return files


@pytest.fixture(scope="module")
def provider(files):
    """The provider of the examples, as its users start it."""
    command = [sys.executable, HERE / "examples/sms-provider.py", "--directory", files / "out", "--secret-file", files / "secret",
               "--certificate", files / "both.pem", "--port", "0"]
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    yield process.stdout.readline().strip()
    process.terminate()
    process.wait(10)


def configured(files, where, **more):
    terms = {"url": where, "secret_file": str(files / "secret"), "regions": ["DE", "GB", "US"], **more}
    return DEMO + f'\n[egress]\nallow = ["127.0.0.0/8", "::1/128"]\nca = "{files / "ca.pem"}"\n\n[verification.sms]\n' + "".join(
        f"{name} = {json.dumps(value)}\n" for name, value in terms.items()
    )


@pytest.fixture(scope="module")
def place(files, provider):
    with Demo(configured(files, provider)) as running:
        yield running
        assert "panicked" not in running.log()


@pytest.fixture(scope="module")
def client(place):
    return place.operator(scope="idv")


@pytest.fixture(scope="module")
def workflow(client):
    return published(client, graph("phone"))


def texts(files, number):
    found = [json.loads(path.read_text()) for path in sorted((files / "out").glob("*.json"), key=lambda path: path.stat().st_mtime_ns)]
    return [one["text"] for one in found if one["to"] == number]


def code_for(files, number, count=1):
    got = until(lambda: (lambda all_of_them: all_of_them if len(all_of_them) >= count else None)(texts(files, number)), "the message")
    return re.search(r"\b(\d{6})\b", got[-1])[1]


def other_than(code):
    return f"{(int(code) + 1) % 1_000_000:06}"


def sent(client, session, status=200, **phone):
    answer = client.post(f"{SESSIONS}/{session['id']}/inputs", json={"node": "step0", "phone": phone})
    assert answer.status_code == status, answer.text
    return answer.json()


def told(report):
    return {name: value for name, value in report["values"].items() if name not in ("status", "assurance", "codes")}


def report(client, session):
    return client.get(f"{SESSIONS}/{session['id']}/decision").json()["reports"][0]


def test_who_has_the_code_has_the_number(place, client, files, workflow):
    number = next(NUMBERS)
    session = begin(client, workflow)
    sent(client, session, number=f"+49 (0)151 {number[6:]}")
    code = code_for(files, number)
    [text] = texts(files, number)
    # Telephones offer the code to this site and to no other (the origin-bound one-time codes of WICG).
    assert text.splitlines() == [f"{code} is your code.", "", f"@localhost #{code}"]
    assert "5 times" not in sent(client, session, 422, code=other_than(code))["detail"]
    sent(client, session, code=code)
    settled(client, session, "approved")
    found = report(client, session)
    assert (found["status"], found["assurance"]) == ("passed", "heuristic")
    assert told(found) == {"country": "DE", "kind": "mobile"} and found["report"]["number"] == number
    # Neither the log nor what is kept has the number in the clear.
    assert number not in json.dumps(place.audit())
    assert number.encode() not in (place.data / "portcullis.db").read_bytes()


def test_a_person_does_it_on_the_page(place, client, files, workflow):
    number = next(NUMBERS)
    session = begin(client, workflow)
    browser = Browser(place)
    here = browser.begin(session)
    assert heading(browser.get(here)) == "Confirm your telephone number" and 'type="tel"' in browser.page.text
    assert "Nothing can be sent there" in browser.submit(here, status=422, address="0151 1")
    browser.get(here)
    assert heading(browser.submit(here, address=number)) == "Type the code"
    wrong = browser.submit(here, status=422, code=other_than(code_for(files, number)))
    assert "The code is not right" in wrong
    browser.get(here)
    browser.submit(here, code=code_for(files, number))
    settled(client, session, "approved")


def test_a_number_that_is_known_is_hidden_and_the_only_one(place, client, files, workflow):
    number, other = next(NUMBERS), next(NUMBERS)
    session = begin(client, workflow, identifiers={"phone": [number]})
    sent(client, session, 422, number=other)
    browser = Browser(place)
    here = browser.begin(session)
    page = browser.get(here)
    assert number not in page and f"+49…{number[-2:]}" in page
    browser.submit(here, status=422, address=other)
    browser.get(here)
    browser.submit(here, address="0")
    browser.submit(here, code=code_for(files, number))
    settled(client, session, "approved")
    assert texts(files, other) == []


@pytest.mark.parametrize("number", [
    "0151 23456789",  # of which country?
    "+33 6 12 34 56 78",  # nobody sends there
    "+49 30 12345678",  # a line of a house
    "+44 909 012 3456", "+44 70 1234 5678", "+1 800 555 1234", "+49 1", "+999 123", "tel:+4915123456789", "", "+4915123456789\n@evil.example #1",
])
def test_where_nothing_goes_is_said(client, workflow, number):
    session = begin(client, workflow)
    assert "number" in json.dumps(sent(client, session, 422, number=number))


def test_nobody_is_flooded(client, files, workflow):
    number, session = next(NUMBERS), begin(client, workflow)
    for _ in range(3):
        sent(client, session, number=number)
    sent(client, session, 422, number=number)
    for _ in range(3):
        sent(client, begin(client, workflow), number=number)
    sent(client, begin(client, workflow), 422, number=number)
    # The owner of the number is not locked out by it.
    code_for(files, number, 6)
    known = begin(client, workflow, identifiers={"phone": [number]})
    sent(client, known)
    sent(client, known, code=code_for(files, number, 7))
    settled(client, known, "approved")


def test_erasing_gives_no_code_back(place, client, files, workflow):
    """Whoever erases sessions has no more sent by that, and what was to be sent about one goes with it."""
    number = next(NUMBERS)
    for _ in range(6):
        session = begin(client, workflow)
        sent(client, session, number=number)
        assert client.delete(f"{SESSIONS}/{session['id']}").status_code == 200
    sent(client, begin(client, workflow), 422, number=number)
    assert len(texts(files, number)) <= 6


def test_one_telephone_is_one_number(client, files, workflow):
    """However it is written by whoever begins sessions."""
    number = next(NUMBERS)
    for written in (number, f"+490{number[3:]}"):
        for _ in range(3):
            sent(client, begin(client, workflow, identifiers={"phone": [written]}))
    sent(client, begin(client, workflow, identifiers={"phone": [number]}), 422)
    sent(client, begin(client, workflow, identifiers={"phone": [f"+490{number[3:]}"]}), 422)


def test_one_line_has_so_many_sent_and_the_owner_is_not_kept_out(place, client, files, workflow):
    """Whoever types numbers on the page, one link after the other."""
    def page(session):
        browser = Browser(place)
        browser.client = place.client("127.53.1.7")
        browser.client.headers["accept"] = "text/html"
        return browser, browser.begin(session)

    for _ in range(20):
        browser, here = page(begin(client, workflow))
        browser.get(here)
        browser.submit(here, address=next(NUMBERS))
    browser, here = page(begin(client, workflow))
    browser.get(here)
    assert "Nothing can be sent there" in browser.submit(here, status=422, address=next(NUMBERS))
    browser, here = page(begin(client, workflow, identifiers={"phone": [next(NUMBERS)]}))
    browser.get(here)
    assert heading(browser.submit(here, address="0")) == "Type the code"


def test_a_code_is_found_by_way_and_country(place, client, workflow):
    session = begin(client, workflow)
    sent(client, session, number=next(NUMBERS))
    found = [e["unmapped"] for e in place.audit("--kind", "idv_session") if e["entity"]["uid"] == session["id"] and e["unmapped"]["change"] == "code_sent"]
    assert [one["reason"] for one in found] == ["phone_de"]


def test_five_wrong_codes_are_enough(client, files, workflow):
    number, session = next(NUMBERS), begin(client, workflow)
    sent(client, session, number=number)
    code = code_for(files, number)
    for _ in range(4):
        sent(client, session, 422, code=other_than(code))
    sent(client, session, 200, code=other_than(code))
    settled(client, session, "declined")
    assert report(client, session)["report"]["reasons"][0]["code"] == "code_wrong"


def test_another_country_than_the_documents_is_said_and_weighs(client, files):
    made = graph("mrz", "phone")
    made["nodes"]["step1"]["next"] = "sum"
    made["nodes"]["sum"] = {"type": "check", "check": "risk", "on_unsupported": {"set": "not_performed"}, "next": "end"}
    session = begin(client, published(client, made))
    give(client, session, node="step0", mrz={"mrz": LINES})
    number = "+12125551234"
    answer = client.post(f"{SESSIONS}/{session['id']}/inputs", json={"node": "step1", "phone": {"number": number}})
    assert answer.status_code == 200, answer.text
    answer = client.post(f"{SESSIONS}/{session['id']}/inputs", json={"node": "step1", "phone": {"code": code_for(files, number)}})
    assert answer.status_code == 200, answer.text
    settled(client, session, "approved")
    reports = {one["node"]: one for one in client.get(f"{SESSIONS}/{session['id']}/decision").json()["reports"]}
    assert told(reports["step1"]) == {"country": "US", "kind": "fixed_line_or_mobile", "country_differs": True}
    assert [one["code"] for one in reports["step1"]["report"]["reasons"]] == ["country_differs"]
    assert {"signal": "phone.other_country", "weight": 10} in reports["sum"]["report"]["parts"]


def test_without_a_provider_it_is_not_performed():
    with Demo() as place:
        client = place.operator(scope="idv")
        made = graph("phone")
        made["nodes"]["step0"]["on_unsupported"] = {"set": "not_performed"}
        made["nodes"]["end"] = {"type": "decide", "set": "approved"}
        session = begin(client, published(client, made))
        sent(client, session, number="+4915123456789")
        settled(client, session, "approved")
        assert report(client, session)["status"] == "not_performed"


class Slow(Http):
    """One that says what a test wants."""

    def __init__(self, files):
        super().__init__(self.hear, files)
        self.heard, self.answers = [], []

    def hear(self, path, headers, body):
        message = json.loads(body)
        self.heard.append((dict(headers), message))
        status = self.answers.pop(0) if self.answers else 200
        return status, {"content-type": "application/json"}, b"{}"


def test_a_message_is_tried_again_and_is_the_same_one(files):
    receiver = Slow(files)
    with Demo(configured(files, receiver.url, hourly=5)) as place:
        client = place.operator(scope="idv")
        workflow = published(client, graph("phone"))
        receiver.answers = [503, 429, 200, 400, 200]
        first, second = next(NUMBERS), next(NUMBERS)
        sent(client, begin(client, workflow), number=first)
        until(lambda: len(receiver.heard) >= 3, "three tries", 30)
        keys = {message["id"] for _, message in receiver.heard}
        assert len(keys) == 1 and {message["to"] for _, message in receiver.heard} == {first}
        assert all({name.lower(): value for name, value in headers.items()}["idempotency-key"] in keys for headers, _ in receiver.heard)
        # What is refused is refused for good.
        sent(client, begin(client, workflow), number=second)
        until(lambda: "a text message was refused" in place.log(), "the refusal")
        sent(client, begin(client, workflow), number=next(NUMBERS))
        until(lambda: len(receiver.heard) == 5, "the next one")
        assert len([message for _, message in receiver.heard if message["to"] == second]) == 1
        # Of all together no more go out than may.
        sent(client, begin(client, workflow), number=next(NUMBERS))
        assert "there are many just now" in json.dumps(sent(client, begin(client, workflow), 422, number=next(NUMBERS)))
        assert first not in place.log() and second not in place.log()
    receiver.server.shutdown()


@pytest.mark.parametrize("terms, word", [
    ({"regions": []}, "regions"), ({"regions": ["Germany"]}, "regions"), ({"regions": ["ZZ"]}, "regions"), ({"hourly": 0}, "hourly"),
    ({"url": "http://127.0.0.1/"}, "https"), ({"more": 1}, "more"),
])
def test_a_configuration_that_makes_no_sense_is_refused(files, terms, word, tmp_path):
    path = tmp_path / "portcullis.toml"
    path.write_text(configured(files, "https://127.0.0.1:1/", **terms))
    with Demo() as place:
        checked = place.cli("check", "--config", path, check=False)
        assert checked.returncode != 0 and word in checked.stderr, checked.stderr
