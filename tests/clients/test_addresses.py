"""From where people go through verifications: the check `ip` by maps and lists of the operator."""

import json

import pytest

import maps
from portcullis import DEMO, Demo, fields, until
from test_documents import LINES
from test_workflows import SESSIONS, begin, give, published, settled, show

GRAPH = {
    "schema": "idv.workflow/1", "start": "zone",
    "nodes": {
        "zone": {"type": "check", "check": "mrz", "next": "where"},
        "where": {"type": "check", "check": "ip", "on_unsupported": {"set": "not_performed"}, "next": "route"},
        "route": {"type": "branch", "cases": [
            {"id": "tor", "when": {"cel": "where.is_tor"}, "goto": "no"},
            {"id": "fine", "when": {"cel": "where.status == 'passed' && !where.country_differs"}, "goto": "yes"},
        ], "else": "human"},
        "yes": {"type": "decide", "set": "approved"}, "no": {"type": "decide", "set": "declined", "reason": "HIDDEN"},
        "human": {"type": "review", "queue": "kyc", "approvers": 1},
    },
}
ONLY = {"schema": "idv.workflow/1", "start": "where", "nodes": {
    "where": {"type": "check", "check": "ip", "on_unsupported": {"set": "not_performed"}, "next": "end"}, "end": {"type": "decide", "rule": "fold"},
}}


def country(code):
    return {"country": {"iso_code": code, "geoname_id": 1}, "location": {"latitude": 50.0, "longitude": 8.0, "accuracy_radius": maps.U16(100)}}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    at = tmp_path_factory.mktemp("maps")
    maps.write(at / "city.mmdb", "GeoLite2-City", {
        "127.48.1.0/24": country("DE"), "127.48.2.0/24": country("FR"), "203.0.113.0/24": country("DE"), "2001:db8::/32": country("NL"),
    })
    maps.write(at / "asn.mmdb", "GeoLite2-ASN", {"127.48.1.0/24": {"autonomous_system_number": 64500, "autonomous_system_organization": "Example"}})
    maps.write(at / "anonymous.mmdb", "GeoIP2-Anonymous-IP", {"198.51.100.7/32": {"is_anonymous": True, "is_anonymous_vpn": True}})
    (at / "tor.txt").write_text("ExitNode 0011\nPublished 2026-11-29 10:00:00\nExitAddress 127.48.9.9 2026-11-29 10:00:00\n")
    (at / "hosting.txt").write_text("# data centres\n192.0.2.0/24\n")
    return at


@pytest.fixture(scope="module")
def place(files):
    all_of_them = ", ".join(f'{name} = "{files / file}"' for name, file in (
        ("city", "city.mmdb"), ("asn", "asn.mmdb"), ("anonymous", "anonymous.mmdb"), ("tor", "tor.txt"), ("hosting", "hosting.txt"),
    ))
    with Demo(DEMO + f'\n[detect]\nmode = "observe"\nmaps = {{ {all_of_them} }}\n') as running:
        yield running
        assert "panicked" not in running.log()


@pytest.fixture(scope="module")
def client(place):
    return place.operator(scope="idv")


@pytest.fixture(scope="module")
def workflow(client):
    return published(client, GRAPH)


@pytest.fixture(scope="module")
def only(client):
    return published(client, ONLY)


def begun(place, session, source):
    """Somebody opens the link from an address."""
    browser = place.client(source)
    page = browser.get(session["url"].removeprefix(place.issuer))
    answer = browser.post("/verify", data=fields(page.text))
    assert answer.status_code == 303, answer.text
    return browser, answer.headers["location"]


def typed(browser, where, text):
    page = browser.get(where)
    form = {name: fields(page.text)[name] for name in ("csrf", "node", "serial")}
    files = {name: (None, value) for name, value in {**form, "mrz": text}.items()}
    assert browser.post(where, files=files).status_code == 303


def report(client, session):
    until(lambda: [one for one in client.get(f"{SESSIONS}/{session['id']}/decision").json()["reports"] if one["node"] == "where"], "the report")
    return next(one for one in client.get(f"{SESSIONS}/{session['id']}/decision").json()["reports"] if one["node"] == "where")


def test_who_is_where_their_document_says_passes(place, client, workflow):
    session = begin(client, workflow)
    browser, where = begun(place, session, "127.48.1.5")
    typed(browser, where, LINES)
    settled(client, session, "approved", "declined", "in_review")
    found = report(client, session)
    assert found["status"] == "passed" and found["assurance"] == "heuristic" and found["report"]["reasons"] == []
    view = found["report"]
    assert "127.48.1.5" in json.dumps(view) and "64500" in json.dumps(view) and "1790000000" in json.dumps(view)
    assert show(client, session)["status"] == "approved"
    # Where somebody was is nobody's business but the session's.
    assert "127.48.1.5" not in json.dumps([entry.get("unmapped") for entry in place.audit()])


def test_another_country_is_for_people_to_look_at(place, client, workflow):
    session = begin(client, workflow)
    browser, where = begun(place, session, "127.48.2.5")
    typed(browser, where, LINES)
    settled(client, session, "in_review")
    assert [one["code"] for one in report(client, session)["report"]["reasons"]] == ["country_differs"]


def test_each_address_of_the_session_counts(place, client, workflow):
    session = begin(client, workflow)
    begun(place, session, "127.48.9.9")
    browser, where = begun(place, session, "127.48.1.6")
    typed(browser, where, LINES)
    settled(client, session, "declined")
    assert "address_hidden" in [one["code"] for one in report(client, session)["report"]["reasons"]]


@pytest.mark.parametrize("addresses, status, codes", [
    (["203.0.113.9"], "passed", []),
    (["2001:db8::1", "203.0.113.9"], "passed", ["several_countries"]),
    (["192.0.2.77"], "review", ["address_of_data_centre"]),
    (["198.51.100.7"], "review", ["address_hidden"]),
    (["8.8.8.8"], "passed", []),
    (["203.0.113.0/24"], "not_performed", None),
    ([], "not_performed", None),
])
def test_the_caller_may_say_where_somebody_is(client, only, addresses, status, codes):
    session = begin(client, only, identifiers={"ip_address": addresses} if addresses else {})
    settled(client, session, "approved", "in_review", "declined")
    found = report(client, session)
    assert found["status"] == status
    if codes is not None:
        assert sorted(one["code"] for one in found["report"]["reasons"]) == sorted(codes)


def test_without_maps_nobody_is_anywhere():
    with Demo() as plain:
        client = plain.operator(scope="idv")
        session = begin(client, published(client, ONLY), identifiers={"ip_address": ["203.0.113.9"]})
        settled(client, session, "approved", "in_review", "declined")
        assert report(client, session)["status"] == "not_performed"


def test_nobody_hides_behind_many_addresses(place, client, workflow):
    session = begin(client, workflow)
    for at in range(70):
        begun(place, session, f"127.48.1.{at + 10}")
    begun(place, session, "127.48.9.9")
    browser, where = begun(place, session, "127.48.1.200")
    typed(browser, where, LINES)
    settled(client, session, "declined")
    codes = [one["code"] for one in report(client, session)["report"]["reasons"]]
    assert "address_hidden" in codes and "many_addresses" in codes


def test_what_no_source_tells_is_not_said(client, files):
    with Demo(DEMO + f'\n[detect]\nmode = "observe"\nmaps = {{ hosting = "{files / "hosting.txt"}" }}\n') as partial:
        there = partial.operator(scope="idv")
        graph = {"schema": "idv.workflow/1", "start": "where", "nodes": {
            "where": {"type": "check", "check": "ip", "next": "route"},
            "route": {"type": "branch", "cases": [
                {"id": "tor", "when": {"cel": "where.is_tor"}, "goto": "no"}, {"id": "clean", "when": {"cel": "!where.is_tor"}, "goto": "yes"},
            ], "else": "human"},
            "yes": {"type": "decide", "set": "approved"}, "no": {"type": "decide", "set": "declined", "reason": "TOR"},
            "human": {"type": "review", "queue": "kyc", "approvers": 1},
        }}
        session = begin(there, published(there, graph), identifiers={"ip_address": ["8.8.8.8"]})
        settled(there, session, "approved", "in_review", "declined")
        found = report(there, session)["report"]["addresses"][0]
        assert (found["is_hosting"], found["is_tor"], found["is_proxy"]) == (False, None, None)
        assert show(there, session)["status"] == "in_review", "nobody knows whether it is one"


def test_what_was_seen_goes_with_the_session(place, client, workflow):
    session = begin(client, workflow)
    browser, _ = begun(place, session, "127.48.1.7")
    for at in range(70):
        begun(place, session, f"127.48.3.{at + 1}")
    assert client.delete(f"{SESSIONS}/{session['id']}").status_code == 200
    page = browser.get(f"/verify/{session['id']}")
    assert page.status_code in (403, 410)
