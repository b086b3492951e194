"""What sessions have in common: how often somebody comes, and who else has the same document or number."""

import re
import uuid

import pytest

from portcullis import DEMO, Demo, until
from test_documents import LINES
from test_workflows import SESSIONS, begin, give, published, settled, show

GRAPH = {"schema": "idv.workflow/1", "start": "often", "nodes": {
    "often": {"type": "check", "check": "velocity", "on_unsupported": {"set": "not_performed"}, "next": "end"},
    "end": {"type": "decide", "rule": "fold"},
}}
ZONE = {"schema": "idv.workflow/1", "start": "zone", "nodes": {
    "zone": {"type": "check", "check": "mrz", "next": "often"},
    "often": {"type": "check", "check": "velocity", "next": "route"},
    "route": {"type": "branch", "cases": [{"id": "much", "when": {"cel": "often.sessions_day > 1 || often.people > 0"}, "goto": "no"}], "else": "yes"},
    "yes": {"type": "decide", "set": "approved"}, "no": {"type": "decide", "set": "declined", "reason": "OFTEN"},
}}


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


def name():
    return uuid.uuid4().hex[:10]


def found(client, session):
    settled(client, session, "approved", "declined", "in_review")
    reports = client.get(f"{SESSIONS}/{session['id']}/decision").json()["reports"]
    return next(one for one in reports if one["node"] == "often")


def common(report, kind):
    return next(one for one in report["report"]["common"] if one["kind"] == kind)


def test_who_comes_again_is_counted_and_is_nobody_else(client, workflow):
    mail, who = f"{name()}@example.org", name()
    for before in range(3):
        report = found(client, begin(client, workflow, reference=who, identifiers={"email": [mail]}))
        assert report["status"] == "passed"
        assert common(report, "email") == {"kind": "email", "sessions_day": before, "sessions_month": before, "declined": 0, "people": 0}


def test_what_is_ones_own_is_not_shared(client, workflow):
    mail, phone = f"{name()}@example.org", f"+4930{uuid.uuid4().int % 10**8:08}"
    for who in (name(), name()):
        report = found(client, begin(client, workflow, reference=who, identifiers={"email": [mail], "ip_address": ["203.0.113.77"]}))
    assert report["status"] == "review" and [one["code"] for one in report["report"]["reasons"]] == ["shared_with_others"]
    assert common(report, "email")["people"] == 1
    # However it is written.
    report = found(client, begin(client, workflow, reference=name(), identifiers={"email": [mail.upper()], "phone": [phone]}))
    assert common(report, "email")["people"] == 2 and common(report, "phone")["people"] == 0
    # A line is shared by whoever lives there.
    report = found(client, begin(client, workflow, reference=name(), identifiers={"ip_address": ["203.0.113.77"]}))
    assert report["status"] == "passed" and common(report, "ip_address")["sessions_day"] == 2
    # Whoever is not said to be anybody may be the same person.
    report = found(client, begin(client, workflow, identifiers={"email": [mail]}))
    assert report["status"] == "passed" and common(report, "email") ["sessions_day"] == 3


def test_a_document_is_known_again(client):
    flow = published(client, ZONE)
    seen = []
    for _ in range(2):
        session = begin(client, flow, reference=name())
        give(client, session, node="zone", mrz={"mrz": LINES})
        seen.append(settled(client, session, "approved", "declined")["status"])
    assert seen == ["approved", "declined"]
    third = begin(client, flow, reference=name())
    give(client, third, node="zone", mrz={"mrz": LINES})
    report = found(client, third)
    assert common(report, "document")["declined"] == 1 and common(report, "document")["people"] == 2
    # What was erased is nobody's any more.
    assert client.delete(f"{SESSIONS}/{third['id']}").status_code == 200
    fourth = begin(client, flow, reference=name())
    give(client, fourth, node="zone", mrz={"mrz": LINES})
    assert common(found(client, fourth), "document")["people"] == 2


def test_nobody_can_say_what_is_somebody_elses(place, client):
    """Wrong codes for the address of a stranger say nothing of that stranger."""
    graph = {"schema": "idv.workflow/1", "start": "mail", "nodes": {
        "mail": {"type": "check", "check": "email", "next": "often"}, "often": {"type": "check", "check": "velocity", "next": "end"},
        "end": {"type": "decide", "rule": "fold"},
    }}
    flow, mail = published(client, graph), f"{name()}@example.org"
    session = begin(client, flow, reference=name())
    give(client, session, node="mail", email={"address": mail})
    until(lambda: place.mails(mail), "the code")
    for _ in range(5):
        client.post(f"{SESSIONS}/{session['id']}/inputs", json={"node": "mail", "email": {"code": "1"}})
    settled(client, session, "declined")
    report = found(client, begin(client, published(client, GRAPH), reference=name(), identifiers={"email": [mail]}))
    assert report["status"] == "passed" and common(report, "email")["sessions_day"] == 0
    # Each line is one, whatever its end.
    for end in (1, 2):
        report = found(client, begin(client, published(client, GRAPH), reference=name(), identifiers={"ip_address": [f"2001:db8:5:5::{end}"]}))
    assert common(report, "ip_address")["sessions_day"] == 1


def test_without_anything_there_is_nothing_to_compare(client, workflow):
    assert found(client, begin(client, workflow, reference=name()))["status"] == "not_performed"


def test_one_number_for_what_is_doubtful(tmp_path):
    (tmp_path / "tor.txt").write_text("198.51.100.9\n")
    (tmp_path / "domains.txt").write_text("# for ten minutes\nmailinator.example\n*.trash.example\n")
    config = DEMO + f"""
[detect]
mode = "observe"
maps = {{ tor = "{tmp_path}/tor.txt" }}
[verification]
disposable_domains = "{tmp_path}/domains.txt"
"""
    graph = {"schema": "idv.workflow/1", "start": "where", "nodes": {
        "where": {"type": "check", "check": "ip", "on_unsupported": {"set": "not_performed"}, "next": "often"},
        "often": {"type": "check", "check": "velocity", "on_unsupported": {"set": "not_performed"}, "next": "mail"},
        "mail": {"type": "check", "check": "email", "on_unsupported": {"set": "not_performed"}, "next": "risk"},
        "risk": {"type": "check", "check": "risk", "on_unsupported": {"set": "not_performed"}, "next": "route"},
        "route": {"type": "branch", "cases": [{"id": "high", "when": {"cel": "risk.level == 'high'"}, "goto": "no"}], "else": "yes"},
        "yes": {"type": "decide", "set": "approved"}, "no": {"type": "decide", "set": "declined", "reason": "RISK"},
    }}
    with Demo(config) as place:
        client = place.operator(scope="idv")
        flow = published(client, graph)

        def weighed(address, **more):
            mail = f"{name()}@{address}"
            session = begin(client, flow, reference=name(), **more)
            until(lambda: show(client, session)["awaiting"], "the step")
            give(client, session, node="mail", email={"address": mail})
            code = re.search(r"\d{6}", until(lambda: place.mails(mail), "the code")[-1].get_content()).group(0)
            give(client, session, node="mail", email={"code": code})
            status = settled(client, session, "approved", "declined")["status"]
            reports = client.get(f"{SESSIONS}/{session['id']}/decision").json()["reports"]
            return status, next(one for one in reports if one["node"] == "risk")["report"]

        status, risk = weighed("example.org")
        assert (status, risk["score"], risk["level"], risk["parts"]) == ("approved", 0, "low", [])
        status, risk = weighed("sub.mailinator.example")
        assert (status, risk["score"], risk["level"]) == ("approved", 35, "medium")
        assert risk["parts"] == [{"signal": "email.disposable", "weight": 35}]
        status, risk = weighed("trash.example", identifiers={"ip_address": ["198.51.100.9"]})
        assert (status, risk["score"], risk["level"]) == ("declined", 64, "high")
        assert {one["signal"] for one in risk["parts"]} == {"ip.tor", "email.disposable"}
        assert "panicked" not in place.log()


def test_a_list_of_domains_that_is_none_is_refused_at_the_start(tmp_path):
    (tmp_path / "domains.txt").write_text("good.example\nnot a domain\n")
    config = DEMO + f'\n[verification]\ndisposable_domains = "{tmp_path}/domains.txt"\n'
    with pytest.raises(AssertionError, match="is no domain"):
        with Demo(config):
            pass
