"""What is known of one address, e-mail or number, without a session; with maps and a DNS server of the test."""

import json

import dnslib
import dnslib.server
import pytest

import maps
from portcullis import DEMO, Demo, free_port
from test_addresses import country
from test_capture import graph
from test_upstreams import Zone
from test_workflows import SESSIONS, begin, published

IP, EMAIL, PHONE = (f"/idv/v1/checks/{name}" for name in ("ip", "email", "phone"))


class Failing(Zone):
    """One that answers some questions with SERVFAIL."""

    failing = frozenset()

    def resolve(self, request, handler):
        reply = super().resolve(request, handler)
        if (str(request.q.qname).rstrip("."), dnslib.QTYPE[request.q.qtype]) in self.failing:
            reply.header.rcode = dnslib.RCODE.SERVFAIL
        return reply


@pytest.fixture(scope="module")
def zone():
    zone, port = Failing(), free_port()
    zone.records[("mail.test", "MX")] = [dnslib.MX("mx.mail.test", 10)]
    zone.records[("plain.test", "A")] = [dnslib.A("192.0.2.1")]
    zone.records[("null.test", "MX")] = [dnslib.MX(".", 0)]
    zone.records[("null.test", "A")] = [dnslib.A("192.0.2.1")]
    server = dnslib.server.DNSServer(zone, port=port, address="127.0.0.1", logger=dnslib.server.DNSLogger("-request,-reply"))
    server.start_thread()
    zone.port, zone.failing = port, set()
    yield zone
    server.stop()


@pytest.fixture(scope="module")
def place(zone, tmp_path_factory):
    at = tmp_path_factory.mktemp("signals")
    maps.write(at / "city.mmdb", "GeoLite2-City", {"203.0.113.0/24": country("DE")})
    (at / "tor.txt").write_text("ExitNode 0011\nPublished 2026-11-29 10:00:00\nExitAddress 203.0.113.9 2026-11-29 10:00:00\n")
    (at / "throwaway.txt").write_text("ten-minutes.test\n")
    zone.records[("ten-minutes.test", "MX")] = [dnslib.MX("mx.mail.test", 10)]
    with Demo(DEMO + f"""
[detect]
mode = "observe"
maps = {{ city = "{at / 'city.mmdb'}", tor = "{at / 'tor.txt'}" }}
[verification]
disposable_domains = "{at / 'throwaway.txt'}"
mail_resolver = "127.0.0.1:{zone.port}"
""") as running:
        yield running
        assert "panicked" not in running.log()


@pytest.fixture(scope="module")
def client(place):
    return place.operator(scope="idv")


def asked(client, path, **body):
    answer = client.post(path, json=body)
    assert answer.status_code == 200, answer.text
    said = answer.json()
    assert said["assurance"] == "heuristic"
    return said["status"], {one["code"] for one in said["reasons"]}, said


def test_an_address_is_looked_up(place, client):
    status, codes, said = asked(client, IP, ip_address="203.0.113.7")
    assert (status, codes) == ("passed", set())
    assert said["values"]["country"] == "DE" and said["values"]["is_tor"] is False and "is_proxy" not in said["values"]
    assert said["detail"]["sources"] and said["detail"]["addresses"][0]["address"] == "203.0.113.7"
    status, codes, said = asked(client, IP, ip_address="::ffff:203.0.113.9")
    assert (status, codes) == ("review", {"address_hidden"})
    entry = next(e for e in place.audit() if said["id"] in json.dumps(e))
    assert said["inputs_hash"] in json.dumps(entry) and "203.0.113.9" not in json.dumps(entry["unmapped"])


@pytest.mark.parametrize("email, status, codes, values", [
    ("Anna@mail.test", "passed", set(), {"domain": "mail.test", "accepts_mail": True, "is_disposable": False, "is_role": False}),
    ("anna@plain.test", "passed", set(), {"accepts_mail": True}),
    ("support+eu@mail.test", "passed", {"address_of_role"}, {"is_role": True}),
    ("x@sub.ten-minutes.test", "failed", {"address_disposable", "domain_takes_no_mail"}, {"is_disposable": True}),
    ("x@ten-minutes.test", "review", {"address_disposable"}, {"is_disposable": True, "accepts_mail": True}),
    ("anna@null.test", "failed", {"domain_takes_no_mail"}, {"accepts_mail": False}),
    ("anna@nowhere.test", "failed", {"domain_takes_no_mail"}, {"accepts_mail": False}),
])
def test_an_address_of_mail_tells_of_its_domain(client, email, status, codes, values):
    found = asked(client, EMAIL, email=email)
    assert found[:2] == (status, codes)
    assert values.items() <= found[2]["values"].items()


@pytest.mark.parametrize("number, country, status, codes, values", [
    ("+49 1512 3456789", None, "passed", set(), {"number": "+4915123456789", "country": "DE", "kind": "mobile", "takes_texts": True}),
    ("0151 23456789", "DE", "passed", set(), {"number": "+4915123456789"}),
    ("+1 800 555 1234", None, "review", {"number_of_nobody"}, {"kind": "toll_free", "takes_texts": False}),
    ("+878 10 1111111111", None, "passed", {"number_voip"}, {"kind": "voip"}),
])
def test_a_number_tells_what_it_was_given_out_for(client, number, country, status, codes, values):
    found = asked(client, PHONE, number=number, **({"country": country} if country else {}))
    assert found[:2] == (status, codes)
    assert values.items() <= found[2]["values"].items()


@pytest.mark.parametrize("path, body, status", [
    (IP, {"ip_address": "203.0.113.0/24"}, 422), (IP, {"ip_address": ""}, 422), (IP, {}, 400), (IP, {"ip_address": "203.0.113.7", "more": 1}, 400),
    (EMAIL, {"email": "anna"}, 422), (EMAIL, {"email": "a b@mail.test"}, 422), (EMAIL, {"email": ["a@mail.test"]}, 400),
    (PHONE, {"number": "0151 23456789"}, 422), (PHONE, {"number": "+49 1"}, 422), (PHONE, {"number": "+4915123456789", "country": "Germany"}, 422),
])
def test_what_is_none_is_refused(client, path, body, status):
    answer = client.post(path, json=body)
    assert answer.status_code == status, answer.text


def test_nobody_asks_without_the_right(place):
    assert place.client().post(IP, json={"ip_address": "203.0.113.7"}).status_code == 401
    assert place.operator(scope="aml").post(IP, json={"ip_address": "203.0.113.7"}).status_code == 403


def test_no_code_goes_where_nobody_gets_mail(place, client, zone):
    session = begin(client, published(client, graph("email")))
    where = f"{SESSIONS}/{session['id']}/inputs"
    refused = client.post(where, json={"node": "step0", "email": {"address": "anna@null.test"}})
    assert refused.status_code == 422 and "takes mail" in refused.text
    assert client.post(where, json={"node": "step0", "email": {"address": "anna@mail.test"}}).status_code == 200


def test_asking_uses_up_room(place, client, zone):
    """Nobody has the DNS asked as often as they like."""
    session = begin(client, published(client, graph("email")))
    where = f"{SESSIONS}/{session['id']}/inputs"
    for _ in range(6):
        refused = client.post(where, json={"node": "step0", "email": {"address": "bert@gone.test"}})
        assert "takes mail" in refused.text
    before = zone.asked["gone.test"]
    for tag in ("", "+1", "+2"):
        refused = client.post(where, json={"node": "step0", "email": {"address": f"bert{tag}@gone.test"}})
        assert refused.status_code == 422 and "often enough" in refused.text
    assert zone.asked["gone.test"] == before


def test_a_dns_that_answers_in_part_keeps_nobody_out(client, zone):
    zone.failing.add(("half.test", "A"))
    status, codes, said = asked(client, EMAIL, email="anna@half.test")
    assert (status, codes) == ("passed", set()) and "accepts_mail" not in said["values"]


def test_a_dns_that_does_not_answer_keeps_nobody_out(tmp_path):
    with Demo(DEMO + f'\n[verification]\nmail_resolver = "127.0.0.1:{free_port()}"\n') as place:
        client = place.operator(scope="idv")
        status, codes, said = asked(client, EMAIL, email="anna@mail.test")
        assert (status, codes) == ("passed", set()) and "accepts_mail" not in said["values"] and "is_disposable" not in said["values"]
        session = begin(client, published(client, graph("email")))
        where = f"{SESSIONS}/{session['id']}/inputs"
        assert client.post(where, json={"node": "step0", "email": {"address": "anna@mail.test"}}).status_code == 200
        # Without maps nothing is claimed of an address either.
        assert asked(client, IP, ip_address="203.0.113.7")[:2] == ("not_performed", {"no_maps"})
    path = tmp_path / "portcullis.toml"
    path.write_text(DEMO + '\n[verification]\nmail_resolver = "dns.example"\n')
    with Demo() as place:
        checked = place.cli("check", "--config", path, check=False)
        assert checked.returncode != 0 and "system" in checked.stderr
