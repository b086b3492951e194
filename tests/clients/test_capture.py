"""The page on which people go through a verification: with a phone and its camera, without scripts, with the link of
somebody else, and with what a hostile browser sends."""

import base64
import hashlib
import html
import json
import re
import ssl
import struct
import threading
import subprocess
import zlib
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from portcullis import Demo, until
from test_documents import HERE, LINES, PHOTO
from test_workflows import SESSIONS, begin, published, settled, show

CALLBACK = "https://shop.example/done?order=7"
WRONG = LINES[:-1] + str((int(LINES[-1]) + 1) % 10)


def graph(*checks, **limits):
    """Steps of the person after each other, and then what they came to."""
    names = [f"step{at}" for at in range(len(checks))]
    nodes = {
        name: {"type": "check", "check": check, "next": after}
        for name, check, after in zip(names, checks, [*names[1:], "end"])
    }
    return {
        "schema": "idv.workflow/1", "start": names[0], "limits": {"ttl": "PT1H", "attempts": 3, "window": "P7D", **limits},
        "nodes": {**nodes, "end": {"type": "decide", "rule": "fold"}},
    }


@pytest.fixture(scope="module")
def place():
    with Demo() as running:
        yield running
        assert "panicked" not in running.log()


@pytest.fixture
def client(place):
    return place.operator(scope="idv")


@pytest.fixture(scope="module")
def workflows(place):
    client = place.operator(scope="idv")
    both = published(client, {**graph("mrz", "barcode"), "nodes": {
        **graph("mrz", "barcode")["nodes"],
        # A licence is nothing that is signed: what it says is enough here.
        "end": {"type": "decide", "set": "approved"},
    }})
    return {"zone": published(client, graph("mrz")), "both": both, "chip": published(client, graph("mrz", "emrtd"))}


class Browser:
    """One without scripts."""

    def __init__(self, place):
        self.place = place
        self.client = place.client()
        self.client.headers["accept"] = "text/html"
        self.page = None

    def get(self, url, status=200):
        self.page = self.client.get(url)
        assert self.page.status_code == status, self.page.text
        return self.page.text

    def hidden(self):
        found = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', self.page.text)
        return {name: html.unescape(value) for name, value in found}

    def submit(self, path, status=303, multipart=True, file=None, **more):
        fields = {name: value for name, value in {**self.hidden(), **more}.items() if value is not None and name != "return"}
        if multipart:
            parts = [(name, (None, value)) for name, value in fields.items()]
            parts += [("image", ("picture.jpg", file, "image/jpeg"))] if file is not None else []
            answer = self.client.post(path, files=parts, timeout=60)
        else:
            answer = self.client.post(path, data=fields)
        assert answer.status_code == status, (answer.status_code, answer.text)
        return self.get(answer.headers["location"]) if status == 303 else answer.text

    def begin(self, session):
        self.get(session["url"])
        self.submit("/verify", multipart=False)
        return f"/verify/{session['id']}"


@pytest.fixture
def browser(place):
    return Browser(place)


def camera(width=1280, height=720):
    """What a camera sees that is held over the back of a licence: a film of one picture."""
    png = (HERE / "crates/capture/tests/licence.png").read_bytes()
    wide, high, rows = grey(png)
    luma = bytearray([150]) * (width * height)
    left, top = (width - wide) // 2, (height - high) // 2
    for at, row in enumerate(rows):
        begins = (top + at) * width + left
        luma[begins:begins + wide] = row
    return b"YUV4MPEG2 W%d H%d F10:1 Ip A1:1 C420jpeg\n" % (width, height) + (b"FRAME\n" + bytes(luma) + bytes([128]) * (width * height // 2)) * 2


def grey(png):
    """The rows of a PNG of eight bits of grey."""
    at, data, size = 8, b"", None
    while at < len(png):
        length, kind = struct.unpack_from(">I4s", png, at)
        body = png[at + 8:at + 8 + length]
        size = struct.unpack_from(">II", body) if kind == b"IHDR" else size
        data += body if kind == b"IDAT" else b""
        at += length + 12
    (wide, high), plain, above, rows = size, zlib.decompress(data), bytes(size[0]), []
    for number in range(high):
        begins = number * (wide + 1)
        rule, line = plain[begins], bytearray(plain[begins + 1:begins + 1 + wide])
        for x in range(wide):
            left, corner = (line[x - 1], above[x - 1]) if x else (0, 0)
            line[x] = (line[x] + [0, left, above[x], (left + above[x]) // 2, paeth(left, above[x], corner)][rule]) & 255
        rows.append(bytes(line))
        above = line
    return wide, high, rows


def paeth(left, above, corner):
    near = left + above - corner
    return min((left, above, corner), key=lambda value: abs(near - value))


def heading(text):
    return re.search(r"<h1>(.*?)</h1>", text)[1]


def test_a_person_goes_through_it_with_a_phone(place, client, workflows, tmp_path):
    session = begin(client, workflows["both"], callback=CALLBACK)
    served = ssl.get_server_certificate(("127.0.0.1", place.ports["PUBLIC"]))
    key = x509.load_pem_x509_certificate(served.encode()).public_key()
    pinned = base64.b64encode(hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest())
    sight = tmp_path / "sight.y4m"
    sight.write_bytes(camera())
    todo = json.dumps({"url": session["url"], "wrong": WRONG.lower(), "lines": LINES})
    command = ["node", "browser_verify.mjs", pinned.decode(), sight, tmp_path / "pictures", todo]
    run = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=240)
    assert run.returncode == 0, run.stderr
    said = json.loads(run.stdout)
    assert said["complaints"] == []
    assert said["address"] == f"{place.issuer}/verify/{session['id']}", "the address says nothing that opens it"
    assert "A digit is not right" in said["alert"] and said["hint"] == "Good"
    assert said["kept"] == WRONG.lower() and said["left"] == 0
    assert said["back"] == f"{CALLBACK}&session={session['id']}"
    assert len(said["seen"]) == 2 * 9
    for page in said["seen"]:
        where = (page["what"], page["scheme"])
        assert page["violations"] == [], where
        assert page["passes"] >= 10 and page["overflow"] <= 0, where
    assert show(client, session)["status"] == "approved"
    decision = client.get(f"{SESSIONS}/{session['id']}/decision").json()
    assert {report["node"]: report["assurance"] for report in decision["reports"]} == {"step0": "self_asserted", "step1": "self_asserted"}


def test_it_works_without_scripts_and_says_nothing_of_what_was_given(client, workflows, browser):
    session = begin(client, workflows["both"], callback=CALLBACK)
    here = browser.begin(session)
    typed = browser.submit(here, mrz=LINES.replace("\n", " ").lower())
    assert heading(typed) == "Photograph the back of your licence" and "Step 2 of at most 2" in typed
    blurred = browser.submit(here, file=(HERE / "crates/capture/tests/blurred.jpg").read_bytes())
    assert "There is no barcode in the picture." in blurred and "The picture is blurred." in blurred
    done = browser.submit(here, file=PHOTO)
    assert heading(done) == "You are verified" and "shop.example" in done
    for page in (typed, blurred, done):
        assert "MUSTERMANN" not in page.upper() and LINES[:20] not in page
    # The link opens what became of it, and nothing else.
    assert heading(browser.get(session["url"])) == "You are verified"


def test_the_link_is_in_the_language_of_the_person(client, workflows, browser):
    session = begin(client, workflows["zone"], locale="de-AT")
    assert urlsplit(session["url"]).path == "/verify"
    assert parse_qs(urlsplit(session["url"]).query) == {"token": [session["client_token"]], "ui_locales": ["de-AT"]}
    assert "Nachweisen, wer Sie sind" in browser.get(session["url"])
    here = browser.begin(session)
    assert "Tippen Sie die Zeilen" in browser.get(here)
    assert browser.page.headers["permissions-policy"].startswith("camera=(self)")


def test_the_same_request_gives_the_same_link(place, client, workflows):
    first = begin(client, workflows["zone"], headers={"idempotency-key": "link-1"})
    again = begin(client, workflows["zone"], status=200, headers={"idempotency-key": "link-1"})
    linked = client.post(f"{SESSIONS}/{first['id']}/link").json()
    assert again["url"] == first["url"] == linked["url"]
    assert first["client_token"] not in json.dumps([client.get(SESSIONS).json(), show(client, first)])
    entries = [e["unmapped"]["change"] for e in place.audit("--kind", "idv_session") if e["entity"]["uid"] == first["id"]]
    assert entries == ["began", "linked"]
    client.post(f"{SESSIONS}/{first['id']}/cancel", json={"reason_code": "OVER"})
    assert client.post(f"{SESSIONS}/{first['id']}/link").status_code == 409


def test_a_link_opens_one_session_and_no_other(place, client, workflows, browser):
    one, other = begin(client, workflows["zone"]), begin(client, workflows["zone"])
    browser.begin(one)
    assert heading(browser.get(f"/verify/{other['id']}", 403)) == "Open the link again"
    browser.get(f"/verify/{other['id']}/state", 403)
    Browser(place).get(f"/verify/{one['id']}", 403)
    mac = one["client_token"].split(".")[1]
    for forged in ("", "x", ".", f"{other['id']}.{mac}", one["client_token"][:-1], one["client_token"] + "A", f"{one['id']}.", "é." + mac):
        browser.get(httpx.URL("/verify", params={"token": forged}), 410)
    assert show(client, other)["status"] == "created"


def test_links_that_are_looked_at_change_nothing(client, workflows, browser):
    session = begin(client, workflows["zone"])
    browser.get(session["url"])
    browser.get(session["url"])
    assert show(client, session)["version"] == session["version"]


def test_forms_of_other_sites_go_nowhere(place, client, workflows, browser):
    session = begin(client, workflows["zone"])
    here = browser.begin(session)
    browser.submit(here, 403, mrz=LINES, csrf="x")
    browser.submit(here, 403, mrz=LINES, csrf=None)
    browser.client.headers["origin"] = "https://evil.example"
    browser.submit(here, 403, mrz=LINES)
    browser.client.headers["origin"] = "null"
    browser.submit(here, 403, mrz=LINES)
    assert show(client, session)["status"] == "created"
    browser.client.headers["origin"] = place.issuer
    assert heading(browser.submit(here, mrz=LINES))
    settled(client, session, "approved", "in_review")


def test_hostile_forms_are_refused_and_use_up_no_try(client, workflows, browser):
    session = begin(client, workflows["zone"])
    here = browser.begin(session)
    for status, more in [
        (303, {"mrz": ""}), (303, {}), (303, {"mrz": LINES, "serial": "77"}), (303, {"mrz": LINES, "node": "end"}),
        (400, {"mrz": LINES, "serial": "x"}), (400, {"mrz": LINES, "more": "1"}), (413, {"mrz": "A" * 3000}),
        (413, {"file": bytes(12_600_000)}), (400, {"unsupported": "because"}),
    ]:
        browser.get(here)
        browser.submit(here, status, **more)
    # A picture where lines are asked for.
    browser.get(here)
    browser.submit(here, file=PHOTO)
    for body, kind in [(b"", ""), (b"--x\r\n", "multipart/form-data; boundary=x"), (b"mrz=1", "application/x-www-form-urlencoded"),
                       (b"--x\r\n\r\n" * 50_000, "multipart/form-data; boundary=x"), (b"{}", "application/json")]:
        assert browser.client.post(here, content=body, headers={"content-type": kind}).status_code in (400, 403, 413), (body[:20], kind)
    assert show(client, session)["awaiting"] == [{"node": "step0", "check": "mrz", "attempt": 1}]


def test_a_form_that_is_sent_twice_counts_once(client, workflows, browser):
    session = begin(client, workflows["zone"])
    here = browser.begin(session)
    page = browser.page
    browser.submit(here, mrz=WRONG)
    browser.page = page
    assert "A digit is not right" in browser.submit(here, mrz=WRONG)
    assert show(client, session)["awaiting"][0]["attempt"] == 2


def test_forms_at_once_count_once(place, client, workflows, browser):
    session = begin(client, workflows["zone"])
    here = browser.begin(session)
    parts = [(name, (None, value)) for name, value in {**browser.hidden(), "mrz": WRONG}.items() if name != "return"]
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: browser.client.post(here, files=parts).status_code, range(12)))
    assert set(answers) <= {303, 503} and 303 in answers, answers
    assert show(client, session)["awaiting"][0]["attempt"] == 2


def test_a_link_has_room_for_one_form(place, client, workflows, browser):
    """What is sent slowly holds the place of its link, and of no other."""
    session, other = begin(client, workflows["zone"]), begin(client, workflows["zone"])
    here = browser.begin(session)
    goes_on = threading.Event()
    fields = {name: value for name, value in browser.hidden().items() if name != "return"}

    def slowly():
        yield b'--x\r\nContent-Disposition: form-data; name="image"; filename="a.jpg"\r\n\r\n' + bytes(40_000)
        goes_on.wait(20)
        yield b"\r\n--x--\r\n"

    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(lambda: browser.client.post(here, content=slowly(), headers={"content-type": "multipart/form-data; boundary=x"}))
        parts = [(name, (None, value)) for name, value in {**fields, "mrz": LINES}.items()]
        large = [*parts, ("csrf", (None, "x")), ("image", ("a.jpg", bytes(50_000), "image/jpeg"))]
        until(lambda: browser.client.post(here, files=large).status_code == 503, "the place to be taken")
        another = Browser(place)
        there = another.begin(other)
        another.submit(there, file=bytes(50_000))
        # Words need no place.
        assert heading(browser.submit(here, mrz=LINES)) != "Type the lines of your document"
        goes_on.set()
        assert slow.result(30).status_code == 403, "it had no token"


def test_who_cannot_says_so_and_a_chip_is_read_elsewhere(client, workflows, browser):
    session = begin(client, workflows["chip"])
    here = browser.begin(session)
    page = browser.submit(here, mrz=LINES)
    assert heading(page) == "Read the chip of your document" and 'type="file"' not in page
    assert 'value="no_nfc"' in page and 'value="no_camera"' not in page
    waits = browser.submit(here, unsupported="no_nfc")
    assert heading(waits) == "Somebody looks at it" and "http-equiv" in waits
    assert show(client, session)["status"] == "in_review"


def test_what_is_over_says_so_and_what_is_secret_does_not(client, browser):
    workflow = published(client, graph("mrz", attempts=1))
    declined = begin(client, workflow, expected={"surname": "Somebody"})
    here = browser.begin(declined)
    page = browser.submit(here, mrz=LINES)
    assert heading(page) == "You could not be verified" and "field" not in page and "Somebody" not in page
    failed = begin(client, workflow)
    here = browser.begin(failed)
    assert "A digit is not right" in browser.submit(here, mrz=WRONG)

    ended = begin(client, workflow)
    here = browser.begin(ended)
    client.post(f"{SESSIONS}/{ended['id']}/cancel", json={"reason_code": "WRONG_PERSON"})
    assert heading(browser.get(here)) == "This was ended"
    client.delete(f"{SESSIONS}/{ended['id']}")
    assert heading(browser.get(here, 410)) == "This link does not work"
    browser.get(ended["url"], 410)


def test_nobody_is_sent_to_scripts_or_elsewhere(client, workflows):
    for callback in ("javascript:alert(1)", "http://shop.example/", "//shop.example", "https://a@shop.example/", "https://shop.example/#x", "https://shop.example/?session=1", "a" * 3000):
        answer = client.post(SESSIONS, json={"workflow": workflows["zone"]["id"], "callback": callback})
        assert answer.status_code == 422 and answer.json()["violations"][0]["pointer"] == "/callback", answer.text


def test_the_log_knows_the_session_and_not_the_link(place, client, workflows, browser):
    session = begin(client, workflows["zone"])
    here = browser.begin(session)
    browser.submit(here, mrz=LINES)
    given = until(lambda: [
        entry for entry in place.audit("--kind", "idv_session")
        if entry["entity"]["uid"] == session["id"] and entry["unmapped"]["change"] == "given"
    ], "the step in the log")
    assert given[0]["src_endpoint"]["ip"]
    assert session["client_token"].split(".")[1] not in json.dumps(place.audit())
    assert session["client_token"].split(".")[1] not in place.log()


def code_in(place, address, count=1):
    """The code in the newest of so many mails to an address."""
    mails = until(lambda: len(found := place.mails(address)) >= count and found, f"a code for {address}")
    return re.search(r"\b(\d{6}) ", mails[-1].get_content())[1]


def other_than(code):
    return f"{(int(code) + 1) % 1_000_000:06}"


def test_an_address_is_confirmed_by_a_code(place, client, browser):
    workflow = published(client, graph("email"))
    session = begin(client, workflow, locale="de")
    page = browser.get(browser.begin(session))
    here = f"/verify/{session['id']}"
    assert heading(page) == "E-Mail-Adresse bestätigen"
    address = f"erika-{session['id'][-8:]}@example.org"
    page = browser.submit(here, address=address.upper())
    assert heading(page) == "Geben Sie den Code ein" and address not in page
    code = code_in(place, address)
    assert "Der Code stimmt nicht" in browser.submit(here, 422, code=other_than(code))
    browser.get(here)
    assert heading(browser.submit(here, code=f"{code[:3]} {code[3:]}")) != "Geben Sie den Code ein"
    settled(client, session, "approved")
    report = client.get(f"{SESSIONS}/{session['id']}/decision").json()["reports"][0]
    assert (report["status"], report["assurance"], report["values"]["domain"]) == ("passed", "heuristic", "example.org")
    assert report["report"]["address"] == address
    # The log has that one was sent, and neither code nor address.
    entries = [entry for entry in place.audit("--kind", "idv_session") if entry["entity"]["uid"] == session["id"]]
    assert [entry["unmapped"]["change"] for entry in entries] == ["began", "code_sent", "given", "decided"]
    assert address not in json.dumps(entries) and code not in json.dumps(entries)


def test_a_code_cannot_be_guessed(place, client):
    workflow = published(client, graph("email"))
    session = begin(client, workflow)
    where = f"{SESSIONS}/{session['id']}/inputs"
    address = f"guess-{session['id'][-8:]}@example.org"
    assert client.post(where, json={"node": "step0", "email": {"code": "123456"}}).status_code == 422
    assert client.post(where, json={"node": "step0", "email": {"address": address}}).status_code == 200
    code = code_in(place, address)
    for tried in range(4):
        refused = client.post(where, json={"node": "step0", "email": {"code": other_than(code)}})
        assert refused.status_code == 422 and f"{4 - tried} times more" in refused.text
    # Another code gives no more tries.
    assert client.post(where, json={"node": "step0", "email": {"address": address}}).status_code == 200
    last = client.post(where, json={"node": "step0", "email": {"code": other_than(code_in(place, address, 2))}})
    if last.status_code == 422:  # It was the new one, by chance.
        pytest.skip("one in a million")
    assert last.json()["report"]["status"] == "failed" and last.json()["session"]["status"] == "declined"


def test_nobody_is_flooded_with_codes(place, client):
    workflow = published(client, graph("email"))
    address, sent = f"flood-{workflow['id'][-8:]}@example.org", 0
    for _ in range(3):
        session = begin(client, workflow)
        for _ in range(4):
            answer = client.post(f"{SESSIONS}/{session['id']}/inputs", json={"node": "step0", "email": {"address": address}})
            sent += answer.status_code == 200
            assert answer.status_code in (200, 422), answer.text
    assert sent == 6
    # Nor by sending the last one elsewhere, so that the first ones were not there.
    address, sent = f"around-{workflow['id'][-8:]}@example.org", 0
    for number in range(4):
        session = begin(client, workflow)
        for to in (address, address, f"aside{number}-{workflow['id'][-8:]}@example.org"):
            answer = client.post(f"{SESSIONS}/{session['id']}/inputs", json={"node": "step0", "email": {"address": to}})
            sent += answer.status_code == 200 and to == address
    assert sent == 6
    for bad in ("", "erika", "a@b@c", "erika@localhost", "x" * 300 + "@example.org", "erika@example.org\r\nbcc: x@example.org"):
        session = begin(client, workflow)
        assert client.post(f"{SESSIONS}/{session['id']}/inputs", json={"node": "step0", "email": {"address": bad}}).status_code == 422, bad


def test_a_known_address_is_not_told_and_not_changed(place, client, browser):
    workflow = published(client, graph("email"))
    address = f"known-{workflow['id'][-8:]}@example.org"
    session = begin(client, workflow, identifiers={"email": [address]})
    here = browser.begin(session)
    page = browser.get(here)
    assert "k…@example.org" in page and address not in page
    # Not even whoever knows it is told that it is the one.
    for typed in ("somebody.else@example.org", address):
        browser.submit(here, 422, address=typed)
        browser.get(here)
    browser.get(here)
    assert heading(browser.submit(here, address="0")) == "Type the code"
    code = code_in(place, address)
    # It is of this session and no other.
    other = begin(client, workflow, identifiers={"email": [address]})
    client.post(f"{SESSIONS}/{other['id']}/inputs", json={"node": "step0", "email": {}})
    own = code_in(place, address, 2)
    if own != code:
        assert client.post(f"{SESSIONS}/{other['id']}/inputs", json={"node": "step0", "email": {"code": code}}).status_code == 422
    browser.submit(here, code=code)
    settled(client, session, "approved")
