"""The audit log over HTTP (C2SP tlog-tiles), read and checked by somebody who trusts nobody: with
nothing but the key that was noted down."""

import hashlib
import json

import pytest

from portcullis import log_in, until
from tlog import leaf, opened, proven


def root(hashes):
    """RFC 6962, section 2.1, as it is written there."""
    if len(hashes) == 1:
        return hashes[0]
    split = 1 << (len(hashes) - 1).bit_length() - 1
    return hashlib.sha256(b"\x01" + root(hashes[:split]) + root(hashes[split:])).digest()


def name(index):
    groups = [f"{index % 1000:03}"]
    while index := index // 1000:
        groups.insert(0, f"x{index % 1000:03}")
    return "/".join(groups)


class Auditor:
    def __init__(self, demo):
        self.vkey = (demo.logs()[-1] / "vkey").read_text().strip()
        self.origin = self.vkey.split("+", 2)[0]
        assert self.origin.split("/")[0] == demo.issuer.removeprefix("https://")
        self.prefix = "/" + self.origin.split("/", 1)[1]
        self.client = demo.client("127.71.0.1")
        self.operator = demo.operator()

    def get(self, path, client=None):
        return (client or self.client).get(f"{self.prefix}/{path}")

    def checkpoint(self):
        answer = self.get("checkpoint")
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        return opened(answer.text, self.vkey)

    def tiles(self, level, size):
        """All hashes of a level of a log of this size, from its full and its partial tile."""
        width = size >> (8 * level)
        whole = b""
        for index in range(width // 256):
            whole += self.get(f"tile/{level}/{name(index)}").content
        if width % 256:
            whole += self.get(f"tile/{level}/{name(width // 256)}.p/{width % 256}").content
        assert len(whole) == 32 * width
        return [whole[at : at + 32] for at in range(0, len(whole), 32)]

    def entries(self, size):
        found = []
        for index in range(-(-size // 256)):
            width = min(256, size - 256 * index)
            part = f".p/{width}" if width < 256 else ""
            answer = self.get(f"tile/entries/{name(index)}{part}", self.operator)
            assert answer.status_code == 200 and "private" in answer.headers["cache-control"]
            bundle = answer.content
            while bundle:
                length = int.from_bytes(bundle[:2], "big")
                found.append(bundle[2 : 2 + length])
                bundle = bundle[2 + length :]
        return found


def grown(auditor, size):
    """Until the log has so many entries and all of them are signed."""

    def enough():
        auditor.client.get("/login")
        return auditor.checkpoint()[0] >= size

    until(enough, f"{size} entries", 60)
    return auditor.checkpoint()


def test_a_stranger_can_check_everything(demo):
    auditor = Auditor(demo)
    size, tree = grown(auditor, 600)
    hashes = auditor.tiles(0, size)
    assert root(hashes) == tree
    # Only full tiles are hashed upwards.
    above = auditor.tiles(1, size)
    assert above == [root(hashes[at : at + 256]) for at in range(0, size - size % 256, 256)]
    entries = auditor.entries(size)
    assert [leaf(entry) for entry in entries] == hashes
    assert all(json.loads(entry)["metadata"]["version"] == "1.8.0" for entry in entries)
    # Later the log has grown, and is the same as far as it was.
    later, again = grown(auditor, size + 300)
    hashes_later = auditor.tiles(0, later)
    assert hashes_later[:size] == hashes and root(hashes_later) == again


@pytest.mark.parametrize("path", [
    "tile/0/999", "tile/0/000.p/0", "tile/0/0", "tile/0/x000/000", "tile/9/000", "tile/64/000", "tile/a/000",
    "tile/entries", "tile/0/000.p/256", "tile/0/x999/x999/x999/x999/x999/x999/999", "tile/0", "nothing",
])
def test_there_is_nothing_else(demo, path):
    auditor = Auditor(demo)
    assert auditor.get(path, auditor.operator).status_code == 404


def test_entries_are_for_auditors(demo, source):
    auditor = Auditor(demo)
    grown(auditor, 1)
    assert auditor.get("tile/entries/000.p/1").status_code == 401
    assert auditor.get("tile/entries/000.p/1", auditor.operator).status_code == 200
    browser = demo.client(source)
    alice = demo.facts()["users"][0]
    assert log_in(browser, alice["username"], alice["password"]).status_code == 303
    assert auditor.get("tile/entries/000.p/1", browser).status_code == 401


def test_what_is_not_signed_yet_is_not_served(demo):
    auditor = Auditor(demo)
    size, _ = grown(auditor, 1)
    beyond = size + 5_000
    width = beyond % 256 or 1
    assert auditor.get(f"tile/0/{name(beyond // 256)}.p/{width}").status_code == 404


def search(demo, **asked):
    answer = demo.operator().get("/api/admin/v1/events", params=asked)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_events_are_found_and_proven(demo, source):
    alice = demo.facts()["users"][0]
    browser = demo.client(source)
    assert log_in(browser, alice["username"], "wrong").status_code == 401
    wrong = until(lambda: search(demo, subject="alice", addr=source, kind="authn_login_fail")["items"], "the event")
    [found] = wrong
    event = found["event"]
    # Sealed in the log, readable for administrators.
    assert (event["user"]["name"], event["src_endpoint"]["ip"]) == ("alice", source)
    request = event["metadata"]["correlation_uid"]
    same = search(demo, request_id=request)["items"]
    assert found["index"] in [one["index"] for one in same] and len(same) == 2, "the attempt and the request"
    entered = search(demo, subject="alice", addr=source, kind="authn_", outcome="success")["items"]
    assert entered == []
    assert search(demo, text=event["metadata"]["uid"])["items"][0]["index"] == found["index"]
    # That somebody searched is an event.
    asked = search(demo, kind="admin_audit_log_search")["items"]
    told = [one["event"]["entity_result"]["data"] for one in asked]
    assert any(one["request_id"] == request for one in told)
    whose = demo.facts()["users"][0]["username"]
    assert whose not in json.dumps(told) and source not in json.dumps(told), "by ids and tags only"
    assert any(one["subject"] == event["user"]["uid"] for one in told)
    # A proof holds without us: the path leads from the entry to the signed root.
    auditor = Auditor(demo)
    until(lambda: auditor.checkpoint()[0] > found["index"], "the signature")
    text = demo.operator().get(f"/api/admin/v1/events/{found['index']}/proof").text
    size, _ = opened(text.partition("\n\n")[2], auditor.vkey)
    entry = auditor.entries(size)[found["index"]]
    assert event["metadata"]["uid"].encode() in entry and b"alice" not in entry
    assert proven(entry, text, auditor.vkey) == found["index"]


def test_pages_of_events_join(demo):
    # Only what is there already: each question is an event as well.
    kinds = {"kind": "authn_", "until": "2100-01-01T00:00:00Z"}
    whole = search(demo, limit=200, **kinds)["items"]
    wanted = [one["index"] for one in whole[:9]]
    seen, after = [], None
    while len(seen) < len(wanted):
        page = search(demo, limit=4, **kinds, **({"after": after} if after else {}))
        seen += [one["index"] for one in page["items"]]
        after = page.get("next")
        if not after:
            break
    assert seen[: len(wanted)] == wanted


@pytest.mark.parametrize("asked", [
    {"from": "yesterday"}, {"addr": "10.0.0.1/8"}, {"addr": "x"}, {"outcome": "maybe"},
    {"text": "x" * 300}, {"after": "-1"}, {"after": "x"}, {"limit": "0"}, {"limit": "9999"},
])
def test_questions_that_make_no_sense_are_refused(demo, asked):
    answer = demo.operator().get("/api/admin/v1/events", params=asked)
    assert answer.status_code == 400, answer.text


def test_there_is_no_proof_of_what_is_not_there(demo):
    operator = demo.operator()
    for index in ("999999999", "-1", "x", "18446744073709551616"):
        assert operator.get(f"/api/admin/v1/events/{index}/proof").status_code == 404
