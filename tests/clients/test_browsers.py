"""With what people go through verifications: the check `device`, by keys that browsers keep and what they say."""

import base64
import hashlib
import json
import re
import subprocess

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

import maps
from portcullis import DEMO, Demo, fields
from test_addresses import country
from test_documents import LINES
from test_faces import pinned
from test_lists import LISTS, put
from test_workflows import SESSIONS, begin, give, published, settled, show

CHROME = {
    "user-agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36",
    "sec-ch-ua": '"Chromium";v="156", "Not)A;Brand";v="8"', "sec-ch-ua-mobile": "?0", "sec-ch-ua-platform": '"Linux"',
    "accept-language": "de-DE,de;q=0.9",
}
SAID = {"user_agent": CHROME["user-agent"], "languages": ["de-DE", "de"], "time_zone": "Europe/Berlin", "is_automated": False}
GRAPH = {"schema": "idv.workflow/1", "start": "zone", "nodes": {
    "zone": {"type": "check", "check": "mrz", "next": "with"},
    "with": {"type": "check", "check": "device", "on_unsupported": {"set": "not_performed"}, "next": "often"},
    "often": {"type": "check", "check": "velocity", "on_unsupported": {"set": "not_performed"}, "next": "listed"},
    "listed": {"type": "check", "check": "lists", "on_unsupported": {"set": "not_performed"}, "next": "sum"},
    "sum": {"type": "check", "check": "risk", "on_unsupported": {"set": "not_performed"}, "next": "route"},
    "route": {"type": "branch", "cases": [
        {"id": "driven", "when": {"cel": "with.is_automated && with.keys < 1"}, "goto": "no"},
    ], "else": "yes"},
    "yes": {"type": "decide", "set": "approved"}, "no": {"type": "decide", "set": "declined", "reason": "DRIVEN"},
}}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    file = tmp_path_factory.mktemp("maps") / "city.mmdb"
    maps.write(file, "GeoLite2-City", {"127.52.1.0/24": country("DE"), "127.52.2.0/24": country("JP")})
    with Demo(DEMO + f'\n[detect]\nmode = "observe"\nmaps = {{ city = "{file}" }}\n') as running:
        yield running
        assert "panicked" not in running.log()


@pytest.fixture(scope="module")
def client(place):
    return place.operator(scope="idv")


@pytest.fixture(scope="module")
def workflow(client):
    return published(client, GRAPH)


def encoded(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Device:
    """A browser with a key."""

    def __init__(self):
        self.key = ec.generate_private_key(ec.SECP256R1())
        point = self.key.public_key().public_numbers()
        self.jwk = {"kty": "EC", "crv": "P-256", "x": encoded(point.x.to_bytes(32, "big")), "y": encoded(point.y.to_bytes(32, "big"))}
        text = json.dumps({name: self.jwk[name] for name in ("crv", "kty", "x", "y")}, separators=(",", ":"))
        self.thumbprint = encoded(hashlib.sha256(text.encode()).digest())

    def prove(self, challenge):
        signed = self.key.sign(f"portcullis-device-key\n{challenge}".encode(), ec.ECDSA(hashes.SHA256()))
        r, s = decode_dss_signature(signed)
        return {"jwk": self.jwk, "signature": encoded(r.to_bytes(32, "big") + s.to_bytes(32, "big"))}


class Visit:
    """Somebody who opened the link of a session."""

    def __init__(self, place, session, source="127.52.1.5", **head):
        self.browser = place.client(source)
        self.browser.headers.update({name.replace("_", "-"): value for name, value in {**CHROME, **head}.items()})
        page = self.browser.get(session["url"].removeprefix(place.issuer))
        self.welcome = page.text
        begun = self.browser.post("/verify", data=fields(page.text))
        assert begun.status_code == 303, begun.text
        self.where = begun.headers["location"]
        self.page = self.browser.get(self.where).text
        challenge = re.search(r'data-challenge="([^"]+)"', self.page)
        self.challenge = challenge and challenge[1]

    def tell(self, device=None, challenge=None, status=200, **more):
        told = {**SAID, **more, **({"key": device.prove(self.challenge if challenge is None else challenge)} if device else {})}
        answer = self.browser.post(f"{self.where}/device", json={"csrf": fields(self.page)["csrf"], "device": told})
        assert answer.status_code == status, (answer.status_code, answer.text)

    def give(self):
        form = {name: fields(self.page)[name] for name in ("csrf", "node", "serial")}
        sent = self.browser.post(self.where, files={name: (None, value) for name, value in {**form, "mrz": LINES}.items()})
        assert sent.status_code == 303, sent.text


def report(client, session, node="with"):
    settled(client, session, "approved", "declined", "in_review")
    reports = client.get(f"{SESSIONS}/{session['id']}/decision").json()["reports"]
    return next(one for one in reports if one["node"] == node)


def codes(report):
    return {one["code"] for one in report["report"]["reasons"]}


def scripted(report):
    """What was told with a script."""
    [telling] = [one for one in report["report"]["tellings"] if one["script"]]
    return telling


def gone_through(place, client, workflow, device=None, source="127.52.1.5", head=None, reference=None, **more):
    session = begin(client, workflow, **({"reference": reference} if reference else {}))
    visit = Visit(place, session, source, **(head or {}))
    visit.tell(device, **more)
    visit.give()
    return session


def test_an_honest_browser_with_its_key_passes(place, client, workflow):
    device = Device()
    session = gone_through(place, client, workflow, device)
    found = report(client, session)
    assert found["status"] == "passed" and found["assurance"] == "heuristic"
    # Python speaks TLS like no browser, and that is seen.
    assert codes(found) <= {"tls_differs"} and found["values"]["keys"] == 1
    seen = scripted(found)
    assert seen["script"]["key"] == device.thumbprint and seen["script"]["time_zone"] == "Europe/Berlin" and seen["contradictions"] == []
    assert found["values"]["time_zone_differs"] is False and found["values"]["languages_differ"] is False
    assert re.fullmatch(r"t1[23][di]\d{4}\w\w_[0-9a-f]{12}_[0-9a-f]{12}", seen["browser"]["ja4"])
    assert show(client, session)["status"] == "approved"
    # What it is known by is nobody's business but the session's.
    assert device.thumbprint not in json.dumps(place.audit())


@pytest.mark.parametrize("head, told, code, word", [
    ({"sec_ch_ua_platform": '"Windows"'}, {}, "browser_contradicts", "other_platform"),
    ({"sec_ch_ua": '"Chromium";v="120"'}, {}, "browser_contradicts", "other_version"),
    ({}, {"user_agent": "Mozilla/5.0 (Windows NT 10.0) Chrome/156.0.0.0"}, "browser_contradicts", "other_user_agent"),
    ({}, {"languages": ["ru-RU"]}, "browser_contradicts", "other_languages"),
    ({}, {"is_automated": True}, "automated", None),
    ({"user_agent": "python-httpx/1"}, {"user_agent": "python-httpx/1"}, "automated", None),
    ({}, {"time_zone": "Asia/Tokyo"}, "time_zone_differs", None),
    ({"accept_language": "pt-BR"}, {"languages": ["pt-BR"]}, "languages_differ", None),
])
def test_what_does_not_fit_is_said(place, client, workflow, head, told, code, word):
    found = report(client, gone_through(place, client, workflow, Device(), head=head, **told))
    assert code in codes(found)
    if word:
        assert scripted(found)["contradictions"] == [word]
    doubt = code in ("browser_contradicts", "automated")
    assert found["status"] == ("review" if doubt else "passed")


def test_the_clock_is_held_against_each_place(place, client, workflow):
    def told(source, zone):
        found = report(client, gone_through(place, client, workflow, Device(), source=source, time_zone=zone))["values"]
        return found.get("time_zone_differs"), found.get("time_zone_of_others")

    # The document is of Germany.
    assert told("127.52.2.5", "Asia/Tokyo") == (False, True)
    assert told("127.52.2.5", "Europe/Berlin") == (True, False)
    assert told("127.52.1.5", "Europe/Berlin") == (False, False)
    # Of the address nothing is known, or the zone is nowhere.
    assert told("127.52.9.5", "Asia/Tokyo") == (None, True)
    assert told("127.52.1.5", "Etc/UTC") == (None, None)


def test_what_was_found_weighs(place, client, workflow):
    session = gone_through(place, client, workflow, Device(), is_automated=True, time_zone="Asia/Tokyo")
    parts = {one["signal"]: one["weight"] for one in report(client, session, "sum")["report"]["parts"]}
    assert parts["device.automated"] == 45 and parts["device.other_time_zone"] == 20


def test_one_browser_with_two_people_is_seen(place, client, workflow):
    device = Device()
    gone_through(place, client, workflow, device, reference="one")
    session = gone_through(place, client, workflow, device, reference="two")
    found = report(client, session, "often")
    # The document is the same as well, in all of these.
    assert found["values"]["people_by_device"] == 1 and "device_shared" in codes(found)
    assert next(one for one in found["report"]["common"] if one["kind"] == "device_key")["people"] == 1
    again = report(client, gone_through(place, client, workflow, Device(), reference="three"), "often")
    assert again["values"]["people_by_device"] == 0


def test_no_line_hides_a_key(place, client, workflow):
    """Whoever comes from many addresses is known by their browser all the same."""
    device = Device()
    gone_through(place, client, workflow, device, reference="near")
    session = begin(client, workflow, reference="far")
    for number in range(60):
        Visit(place, session, f"127.52.3.{number + 1}")
    visit = Visit(place, session)
    visit.tell(device)
    visit.give()
    found = report(client, session, "often")
    assert found["values"]["people_by_device"] == 1 and "not_all_compared" in codes(found)


def test_a_browser_on_a_list_is_found(place, client, workflow):
    device = Device()
    made = client.post(LISTS, json={"name": "browsers", "purpose": "block"})
    assert made.status_code == 201, made.text
    put(client, made.json(), {"kind": "device_fingerprint", "value": device.thumbprint})
    found = report(client, gone_through(place, client, workflow, device), "listed")
    assert found["status"] == "failed" and "browsers" in json.dumps(found["report"])
    assert report(client, gone_through(place, client, workflow, Device()), "listed")["status"] == "passed"


def test_a_key_counts_only_where_it_signed(place, client, workflow):
    first, second = begin(client, workflow), begin(client, workflow)
    one, two = Visit(place, first), Visit(place, second)
    device = Device()
    two.tell(device, challenge=one.challenge, status=400)
    two.tell(device, challenge="", status=400)
    # Another browser with the same link has another challenge.
    other = Visit(place, second)
    assert other.challenge != two.challenge
    other.tell(device, challenge=two.challenge, status=400)
    proof = device.prove(two.challenge)
    for key in (
        {**proof, "jwk": Device().jwk},
        {**proof, "jwk": {**device.jwk, "x": "AA"}},
        {**proof, "jwk": {"kty": "oct", "k": "AA"}},
        {**proof, "signature": proof["signature"][:-4]},
        {**proof, "signature": "§"},
        {"jwk": device.jwk},
    ):
        answer = two.browser.post(f"{two.where}/device", json={"csrf": fields(two.page)["csrf"], "device": {**SAID, "key": key}})
        assert answer.status_code == 400, (key, answer.text)
    # Nothing of it counts.
    two.give()
    found = report(client, second)
    assert "no_device_key" in codes(found) and all(one["script"] is None for one in found["report"]["tellings"])


@pytest.mark.parametrize("body, status", [
    ({"device": {**SAID, "more": 1}}, 400), ({"device": {**SAID, "languages": "de"}}, 400), ({"device": []}, 400), ({}, 400),
    ({"csrf": "another", "device": SAID}, 403), ({"device": {**SAID, "time_zone": "x" * 70_000}}, (400, 413)),
])
def test_what_is_no_device_is_refused(place, client, workflow, body, status):
    visit = Visit(place, begin(client, workflow))
    answer = visit.browser.post(f"{visit.where}/device", json={"csrf": fields(visit.page)["csrf"], **body})
    assert answer.status_code in (status if isinstance(status, tuple) else (status,)), answer.text


def test_others_tell_nothing(place, client, workflow):
    visit = Visit(place, begin(client, workflow))
    stranger = place.client("127.52.1.9")
    answer = stranger.post(f"{visit.where}/device", json={"csrf": fields(visit.page)["csrf"], "device": SAID})
    assert answer.status_code == 403


def test_many_devices_push_no_address_away(place, client, workflow):
    """Whoever tells of many devices is doubtful for it, and hides no address by them."""
    session = begin(client, workflow)
    visit = Visit(place, session)
    for _ in range(40):
        visit.tell(Device())
    visit.give()
    found = report(client, session)
    assert "many_devices" in codes(found) and found["status"] == "review"
    # One more for what is found in those that came too late: how Python speaks TLS.
    assert len(found["report"]["tellings"]) == 33
    often = report(client, session, "often")
    assert any(one["kind"] == "ip_address" for one in often["report"]["common"])


def test_what_was_said_is_not_said_away(place, client, workflow):
    """One key that says one thing and then another, in either order, and heads that follow a bad one."""
    device = Device()
    for first, second in (({}, {"is_automated": True}), ({"is_automated": True}, {})):
        session = begin(client, workflow)
        visit = Visit(place, session)
        visit.tell(device, **first)
        visit.tell(device, **second)
        visit.give()
        found = report(client, session)
        assert found["status"] == "review" and "automated" in codes(found), (first, second)
    session = begin(client, workflow)
    Visit(place, session, sec_ch_ua_platform='"Windows"')
    for number in range(40):
        visit = Visit(place, session, accept_language=f"de-DE,de;q=0.9,x{number:02};q=0.1")
    visit.give()
    assert {"browser_contradicts", "many_devices"} <= codes(report(client, session))
    # Languages are those of each telling.
    session = begin(client, workflow)
    visit = Visit(place, session, accept_language="ru-RU")
    visit.tell(languages=["ru-RU"])
    visit = Visit(place, session, accept_language="ru-RU,ru;q=0.9,de-DE;q=0.1")
    visit.give()
    assert report(client, session)["values"]["languages_differ"] is True


def test_nobody_talks_until_nobody_listens(place, client, workflow):
    """Many harmless tellings first, and then the one that counts."""
    session = begin(client, workflow)
    visit = Visit(place, session)
    for number in range(40):
        visit.tell(languages=["de-DE", f"x{number:02}"])
    visit.tell(is_automated=True)
    visit.tell(user_agent="Mozilla/5.0 (Windows NT 10.0) Chrome/156.0.0.0")
    visit.give()
    found = report(client, session)
    assert found["values"]["is_many"] and found["values"]["is_automated"] and found["values"]["contradicts"]
    # 32, and of three kinds of findings one each.
    assert len(found["report"]["tellings"]) == 35
    parts = {one["signal"] for one in report(client, session, "sum")["report"]["parts"]}
    assert {"device.many", "device.automated", "device.contradicts"} <= parts


def test_private_windows_are_no_crowd(place, client, workflow):
    session = begin(client, workflow)
    for _ in range(4):
        visit = Visit(place, session)
        visit.tell(Device())
    visit.give()
    found = report(client, session)
    assert found["status"] == "passed" and found["values"]["keys"] == 4
    session = begin(client, workflow)
    for number in range(4):
        visit = Visit(place, session, user_agent=f"Mozilla/5.0 (X11; Linux x86_64; rv:14{number}.0) Gecko/20100101 Firefox/14{number}.0",
                      sec_ch_ua="", sec_ch_ua_platform="", sec_ch_ua_mobile="")
    visit.give()
    assert "many_devices" in codes(report(client, session))


def test_a_fresh_key_is_nothing_that_is_known_of_somebody(place, client):
    """With it alone no list was looked at in vain."""
    made = {"schema": "idv.workflow/1", "start": "ask", "nodes": {
        "ask": {"type": "check", "check": "questionnaire", "next": "listed", "questions": [{"id": "one", "kind": "yes_no", "text": {"en": "Well?"}}]},
        "listed": {"type": "check", "check": "lists", "on_unsupported": {"set": "not_performed"}, "next": "with"},
        "with": {"type": "check", "check": "device", "on_unsupported": {"set": "not_performed"}, "next": "end"},
        "end": {"type": "decide", "set": "approved"},
    }}
    session = begin(client, published(client, made))
    visit = Visit(place, session)
    visit.tell(Device())
    form = {name: fields(visit.page)[name] for name in ("csrf", "node", "serial")}
    sent = visit.browser.post(visit.where, files={name: (None, value) for name, value in {**form, "q0": "yes"}.items()})
    assert sent.status_code == 303, sent.text
    assert report(client, session, "listed")["status"] == "not_performed"


def test_it_stands_behind_somebody_who_is_asked(client):
    made = {**GRAPH, "start": "with", "nodes": {**GRAPH["nodes"], "with": {**GRAPH["nodes"]["with"], "next": "zone"},
                                                 "zone": {**GRAPH["nodes"]["zone"], "next": "often"}}}
    found = client.post("/idv/v1/workflows/validate", json={"graph": made}).json()
    assert ("input_missing", "with") in {(one["code"], one.get("node")) for one in found["problems"]}


def test_a_workflow_without_it_asks_for_no_key(place, client):
    graph = {"schema": "idv.workflow/1", "start": "zone", "nodes": {"zone": {"type": "check", "check": "mrz", "next": "end"}, "end": {"type": "decide", "rule": "fold"}}}
    session = begin(client, published(client, graph))
    visit = Visit(place, session)
    told = "erzeugt für diese Website einen Schlüssel"
    assert visit.challenge is None and told not in visit.welcome
    assert told in Visit(place, begin(client, published(client, GRAPH))).welcome


def test_without_our_page_nothing_is_known(client, workflow):
    session = begin(client, workflow)
    give(client, session, node="zone", mrz={"mrz": LINES})
    assert report(client, session)["status"] == "not_performed"


def test_a_real_browser_keeps_its_key(place, client, workflow, tmp_path):
    """Chromium twice with one profile, and once with another."""
    sessions = [begin(client, workflow, reference=f"real-{at}") for at in range(3)]
    command = ["node", "browser_device.mjs", pinned(place), tmp_path, LINES, *(session["url"] for session in sessions)]
    run = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=240)
    assert run.returncode == 0, run.stderr
    seen = json.loads(run.stdout)
    reports = [report(client, session) for session in sessions]
    keys = [scripted(one)["script"]["key"] for one in reports]
    assert keys[0] == keys[1] != keys[2]
    for one in reports:
        device = scripted(one)
        # It is driven by a program and says so; but for that it fits together.
        assert codes(one) & {"automated", "no_device_key", "browser_contradicts", "tls_differs", "client_hints_missing"} == {"automated"}
        assert device["script"]["time_zone"] == "Asia/Tokyo" and device["contradictions"] == []
        assert re.fullmatch(r"t13[di]\d{4}h2_[0-9a-f]{12}_[0-9a-f]{12}", device["browser"]["ja4"])
    assert scripted(reports[0])["browser"]["ja4"][:10] == scripted(reports[2])["browser"]["ja4"][:10]
    assert report(client, sessions[1], "often")["values"]["people_by_device"] == 1
    assert seen["complaints"] == [] and seen["extractable"] is False


@pytest.mark.parametrize("broken", ["clone", "store", "silent", "none"])
def test_a_browser_that_keeps_nothing_goes_on(place, client, workflow, tmp_path, broken):
    session = begin(client, workflow)
    command = ["node", "browser_device.mjs", pinned(place), tmp_path, LINES, session["url"], f"--broken={broken}"]
    run = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=240)
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout)["complaints"] == []
    found = report(client, session)
    assert scripted(found)["script"]["key"] is None and "no_device_key" in codes(found)
