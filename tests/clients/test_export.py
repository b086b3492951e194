"""The record reaches receivers outside: all of it, at least once, whatever breaks on the way. rsyslog and
syslog-ng are Debian's; the OTLP receiver is made of the published protobufs, webhooks are checked by the
library of the specification; Splunk, Elasticsearch and Slack are strict stand-ins."""

import datetime
import hashlib
import itertools
import json
import re
import shutil
import signal

import httpx
import pytest
import standardwebhooks
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as otlp

from portcullis import DEMO, Demo, log_in, until
from receivers import Bulk, Http, Rsyslog, SplunkCollector, SyslogNg, authority

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
LONG = 60
# Nobody is held up by limits that others used up.
SOURCES = itertools.cycle(range(1, 250))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return authority(tmp_path_factory.mktemp("receivers"))


def sink(name, kind, more="", **settings):
    """One [[sink]] of the configuration."""
    inner = ", ".join(f"{key} = {json.dumps(value)}" for key, value in settings.items())
    return f'\n[[sink]]\nname = "{name}"\n{more}\n{kind} = {{ {inner} }}\n'


def secret(demo, name, text):
    path = demo.file.parent / f"{name}.secret"
    path.write_text(text + "\n")
    return f'secret_file = "{path}"'


def tls(files):
    return f'ca = "{files}/ca.pem"\ncertificate = "{files}/client.pem"\nkey = "{files}/client.key"'


def entries(demo):
    """What the log has, opened, by index."""
    lines = demo.cli("audit", "search", "--data", demo.data, "--config", demo.file).stdout.splitlines()
    return {int(index): json.loads(entry) for index, entry in (line.split("\t", 1) for line in lines)}


def whole(letters):
    """Whether the file of dead letters is there, with whole lines."""
    return letters.exists() and letters.read_text().endswith("\n")


def marks(event):
    return event["unmapped"]["tlog_index"]


def plain(event):
    """An event as the log has it."""
    event = json.loads(json.dumps(event))
    assert event["unmapped"].pop("log_origin").startswith("localhost")
    event["unmapped"].pop("tlog_index")
    event.pop("@timestamp", None)
    return {name: value for name, value in event.items() if name != "unmapped" or value}


def complete(demo, events, upto=None):
    """Waits until `events()` has every entry that the log has now, as the log has it."""
    wanted = entries(demo)
    wanted = {index: entry for index, entry in wanted.items() if upto is None or index < upto}

    def all_there():
        got = {marks(event): event for event in events()}
        return wanted.keys() <= got.keys() and got
    got = until(all_there, "all events", LONG)
    for index, entry in wanted.items():
        event = plain(got[index])
        if "unmapped" in entry and not entry["unmapped"]:
            entry.pop("unmapped")
        assert event == entry, index
    return got


def metric(demo, name, sink):
    text = httpx.get(f"{demo.ops}/metrics").text
    found = re.search(rf'^portcullis_sink_{name}{{sink="{sink}"}} (\S+)$', text, re.M)
    return float(found[1]) if found else None


def codes(known, letter):
    """What a dead letter is about. It is not in it: there it would outlive an erasure."""
    assert letter.keys() == {"index", "at", "why"}
    return known[letter["index"]]["metadata"]["event_code"]


def caught_up(demo, name):
    """Everything that the log has now is done with."""
    end = max(entries(demo)) + 1
    until(lambda: (metric(demo, "position", name) or 0) >= end, f"{name} to catch up", LONG)


def happen(demo, count=3):
    """A few events of several kinds."""
    person = demo.facts()["users"][0]
    for _ in range(count):
        client = demo.client(f"127.0.8.{next(SOURCES)}")
        log_in(client, person["username"], "wrong")
        assert log_in(client, person["username"], person["password"]).status_code == 303
        client.get("/nothing", headers={"user-agent": 'a|b=c\\ [x y="z"] \t%n'})


@pytest.mark.parametrize("daemon", [Rsyslog, SyslogNg])
def test_syslog_over_tls(daemon, files, tmp_path):
    for name in ("ca.pem", "server.pem", "server.key"):
        (tmp_path / name).write_bytes((files / name).read_bytes())
    receiver = daemon(tmp_path)
    address = f"localhost:{receiver.port}"
    config = DEMO + sink("siem", "syslog", tls(files), address=address)
    config += sink("arc", "syslog", tls(files) + '\nkinds = ["authn_", "gate_"]', address=address, format="cef")
    with receiver, Demo(config) as demo:
        happen(demo)
        events = lambda: [json.loads(line[6]) for line in receiver.lines() if line[6].lstrip().startswith("{")]
        complete(demo, events)
        version = re.search(r'swVersion="([^"]+)"', receiver.lines()[0][5])[1]
        seen = {}
        for pri, time, host, app, msgid, data, text in receiver.lines():
            assert (host, app) == ("localhost", "portcullis")
            assert 13 * 8 <= int(pri) < 14 * 8
            assert datetime.datetime.fromisoformat(time)
            if text.lstrip().startswith("{"):
                event = json.loads(text)
                # A receiver may write `[a][b]` with or without what it adds itself.
                assert f'sequenceId="{marks(event) + 1}"' in data
                assert event["metadata"]["event_code"][:32] == msgid
                seen[marks(event)] = event
            else:
                assert text.lstrip().startswith(f"CEF:0|Portcullis|Portcullis|{version}|"), text
        assert {event["metadata"]["event_code"] for event in seen.values()} >= {
            "authn_login_success", "authn_login_fail", "gate_denied", "sys_startup"}
        cef = [line[6].lstrip() for line in receiver.lines() if line[6].lstrip().startswith("CEF:")]
        agent = r"requestClientApplication=a|b\=c\\ [x y\="
        assert any(agent in line for line in cef), cef[-3:]
        assert not any("sys_startup" in line for line in cef)

        # Killed while events come; what was on its way comes again.
        receiver.kill()
        happen(demo)
        until(lambda: metric(demo, "failing", "siem") == 1, "trouble to be seen", LONG)
        assert metric(demo, "behind_entries", "siem") > 0
        again = daemon(tmp_path, receiver.port)
        with again:
            happen(demo, 1)
            complete(demo, events)
            until(lambda: metric(demo, "failing", "siem") == 0, "it to go on", LONG)


def test_a_receiver_without_our_authority_gets_nothing(files, tmp_path):
    for name in ("ca.pem", "server.pem", "server.key"):
        (tmp_path / name).write_bytes((files / name).read_bytes())
    (tmp_path / "other").mkdir()
    other = authority(tmp_path / "other")
    receiver = Rsyslog(tmp_path)
    config = DEMO + sink("siem", "syslog", f'ca = "{other}/ca.pem"', address=f"localhost:{receiver.port}")
    with receiver, Demo(config) as demo:
        until(lambda: metric(demo, "failures_total", "siem") >= 2, "the refusal", LONG)
        assert receiver.lines() == [] and metric(demo, "delivered_total", "siem") == 0
        assert "invalid peer certificate" in demo.log()


def test_splunk_with_acknowledgement(files):
    collector = SplunkCollector("t0ken", files, unfit=["gate_allowed"])
    collector.says(503, {"text": "Server is busy", "code": 9})
    demo = Demo()
    demo.config = DEMO + sink("splunk", "splunk", f'ca = "{files}/ca.pem"\n' + secret(demo, "s", "t0ken"),
                              url=collector.url, index="audit")
    with demo:
        happen(demo)
        wanted = {index for index, entry in entries(demo).items()
                  if entry["metadata"]["event_code"] not in collector.unfit}
        until(lambda: wanted <= {marks(event["event"]) for event in collector.events}, "all events", LONG)
        caught_up(demo, "splunk")
        for event in collector.events:
            assert event["sourcetype"] == "ocsf:json" and event["index"] == "audit"
            assert event["time"] == event["event"]["time"] / 1000
        assert any(value > 1 for acks in collector.channels.values() for value in acks.values())
        letters = [json.loads(line) for line in (demo.data / "sinks/splunk/dead-letters.jsonl").open()]
        known = entries(demo)
        assert letters and all(codes(known, letter) == "gate_allowed" for letter in letters)
        assert all("Invalid data format" in letter["why"] for letter in letters)
        assert metric(demo, "refused_total", "splunk") == len({letter["index"] for letter in letters})
        assert "t0ken" not in demo.log()

        # A new token takes effect without a restart; the old one is not tried again.
        collector.token = "other"
        happen(demo, 1)
        until(lambda: metric(demo, "failing", "splunk") == 1, "the refusal", LONG)
        (demo.file.parent / "s.secret").write_text("other")
        caught_up(demo, "splunk")


def test_elastic_takes_nothing_twice(files):
    bulk = Bulk("ApiKey abc", files, unfit=["sys_reload"])
    bulk.says(429, {"error": {"type": "es_rejected_execution_exception"}}, retry_after="1")
    demo = Demo()
    more = f'ca = "{files}/ca.pem"\n' + secret(demo, "e", "ApiKey abc")
    demo.config = DEMO + sink("elastic", "elastic", more, url=bulk.url, index="audit-events")
    with demo:
        events = lambda: list(bulk.documents.values())
        complete(demo, events)
        for _ in range(4):
            happen(demo, 2)
            # In the middle of it.
            demo.kill()
            demo.start()
            complete(demo, events)
        # Where it stopped is remembered: not everything came again.
        assert bulk.again < len(bulk.documents)
        # A place that is older than what was sent, as after a crash between the two.
        demo.stop()
        cursor = demo.data / "sinks/elastic/cursor"
        kept = json.loads(cursor.read_text())
        cursor.write_text(json.dumps({**kept, "marks": [{"next": 0, "hash": ""}]}))
        before, again = len(bulk.documents), bulk.again
        demo.start()
        complete(demo, events)
        assert bulk.again >= again + before - 1
        # A document that does not fit is a dead letter, and the rest goes on.
        demo.server.send_signal(signal.SIGHUP)
        letters = demo.data / "sinks/elastic/dead-letters.jsonl"
        until(lambda: whole(letters), "a dead letter", LONG)
        assert "document_parsing_exception" in letters.read_text()
        assert letters.stat().st_mode & 0o077 == 0
        happen(demo, 1)
        wanted = {index for index, entry in entries(demo).items()
                  if entry["metadata"]["event_code"] != "sys_reload"}
        until(lambda: wanted <= {marks(event) for event in events()}, "the rest", LONG)


def test_opentelemetry_logs():
    records, refusing = [], set()

    def handle(path, headers, body):
        assert path == "/v1/logs" and headers["content-type"] == "application/x-protobuf"
        request = otlp.ExportLogsServiceRequest.FromString(body)
        assert request.SerializeToString(), "it is what the published definition says"
        answer = otlp.ExportLogsServiceResponse()
        for resource in request.resource_logs:
            names = {one.key: one.value.string_value for one in resource.resource.attributes}
            assert names["service.name"] == "portcullis" and names["service.instance.id"].startswith("localhost")
            for scope in resource.scope_logs:
                for record in scope.log_records:
                    if record.event_name in refusing:
                        answer.partial_success.rejected_log_records += 1
                        answer.partial_success.error_message = "no"
                    else:
                        records.append(record)
        return 200, {"content-type": "application/x-protobuf"}, answer.SerializeToString()

    receiver = Http(handle)
    with Demo(DEMO + sink("otel", "otlp", url=receiver.url)) as demo:
        events = lambda: [json.loads(record.body.string_value) for record in records]
        happen(demo)
        complete(demo, events)
        for record in records:
            event = json.loads(record.body.string_value)
            assert record.time_unix_nano == event["time"] * 1_000_000 == record.observed_time_unix_nano
            assert record.event_name == event["metadata"]["event_code"]
            attributes = {one.key: one.value for one in record.attributes}
            assert attributes["log.record.uid"].string_value == event["metadata"]["uid"]
            assert attributes["portcullis.tlog.index"].int_value == marks(event)
            assert record.severity_number in {9: [1], 10: [2], 13: [3], 17: [4]}.keys()
        refusing.add("sys_reload")
        demo.server.send_signal(signal.SIGHUP)
        letters = demo.data / "sinks/otel/dead-letters.jsonl"
        until(lambda: whole(letters), "a dead letter", LONG)
        [letter] = [json.loads(line) for line in letters.open()]
        assert letter["why"] == "no" and codes(entries(demo), letter) == "sys_reload"


def fingerprint(event):
    """RFC 8785, for names in ASCII and numbers without fractions."""
    event = json.loads(json.dumps(event))
    told = event["attestation_list"][0].pop("fingerprint")
    text = json.dumps(event, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert told["value"] == hashlib.sha256(text.encode()).hexdigest()
    assert (told["algorithm_id"], told["serialization"]) == (3, "JCS")
    return told


def test_events_point_to_the_one_before():
    """The profile record_integrity of OCSF 1.9: whoever stores them sees what was changed or left out, also
    when the way out breaks in between."""
    got = []

    def handle(path, headers, body):
        got.append(json.loads(body)["data"])
        return 204, {}, b""

    receiver, demo = Http(handle), Demo()
    more = secret(demo, "w", SECRET) + '\nkinds = ["authn_"]\nocsf_version = "1.9"'
    demo.config = DEMO + sink("hook", "webhook", more, url=receiver.url)
    logged = lambda: [entry["metadata"]["uid"] for entry in entries(demo).values()
                      if entry["metadata"]["event_code"].startswith("authn_")]
    with demo:
        for stop in (demo.stop, demo.kill, None):
            happen(demo)
            receiver.trouble.put((503, {}, b""))
            until(lambda: list(dict.fromkeys(event["metadata"]["uid"] for event in got)) == logged(), "all", LONG)
            if stop:
                stop()
                demo.start()
    # One that came twice came the same.
    chain = {event["metadata"]["uid"]: event for event in got}
    assert all(chain[event["metadata"]["uid"]] == event for event in got) and len(chain) > 5
    before = None
    for event in chain.values():
        assert event["metadata"]["version"] == "1.9.0-dev" and "record_integrity" in event["metadata"]["profiles"]
        [own] = event["attestation_list"]
        assert own["chain_uid"].endswith("/hook") and event["unmapped"]["log_origin"].startswith(own["chain_uid"][:-4])
        assert own.get("prev_event") == (before and {
            "uid": before["metadata"]["uid"], "type_uid": before["type_uid"], "fingerprint": fingerprint(before)})
        before = event


def test_webhooks_are_signed():
    got, failing, everything, one = {}, [500], [], []

    def handle(path, headers, body):
        assert path == "/hooks/a?b=c"
        if failing:
            return failing.pop(), {}, b"not now"
        id = headers["webhook-id"]
        if one == [None]:
            one[0] = id
        if everything or one == [id]:
            return 400, {}, b"not this"
        data = standardwebhooks.Webhook(SECRET).verify(body, dict(headers))
        got.setdefault(id, []).append(data)
        return 204, {}, b""

    receiver = Http(handle)
    demo = Demo()
    new = "whsec_" + "A" * 32
    more = secret(demo, "w", f"{new}\n{SECRET}") + '\nkinds = ["authn_login", "alert_"]'
    demo.config = DEMO + sink("hook", "webhook", more, url=f"{receiver.url}/hooks/a?b=c")
    letters = demo.data / "sinks/hook/dead-letters.jsonl"

    def logins():
        return {entry["metadata"]["uid"] for entry in entries(demo).values()
                if entry["metadata"]["event_code"].startswith("authn_login")}
    with demo:
        happen(demo)
        until(lambda: logins() == got.keys(), "all", LONG)
        assert all(len(times) == 1 for times in got.values())
        for id, [message] in got.items():
            assert message["data"]["metadata"]["uid"] == id
            assert message["type"] == message["data"]["metadata"]["event_code"]
        header = receiver.requests[-1][1]["webhook-signature"]
        assert len(header.split(" ")) == 2, "signed with the old and the new"

        # A receiver that refuses everything has a trouble of its own: nothing is given up.
        everything.append(True)
        happen(demo)
        until(lambda: metric(demo, "failing", "hook") == 1, "the trouble to be seen", LONG)
        everything.clear()
        until(lambda: logins() == got.keys(), "all of them", LONG)
        assert not letters.exists()

        # What is refused while others are taken is given up.
        one.append(None)
        happen(demo)
        until(lambda: whole(letters), "the dead letter", LONG)
        until(lambda: logins() - got.keys() == set(one), "the others", LONG)
        [letter] = [json.loads(line) for line in letters.open()]
        known = entries(demo)
        assert codes(known, letter).startswith("authn_login") and "not this" in letter["why"]
        assert known[letter["index"]]["metadata"]["uid"] == one[0]


def test_alerts_reach_a_channel():
    said = []

    def handle(path, headers, body):
        assert path == "/services/T/B/secretpart"
        said.append(json.loads(body)["text"])
        return 200, {}, b"ok"

    channel = Http(handle)
    # As a web server says it, with the secret in it.
    channel.says(404, b"/services/T/B/secretpart was not found")
    demo = Demo(None, watched=True)
    more = secret(demo, "c", f"{channel.url}/services/T/B/secretpart") + '\nkinds = ["alert_"]\nbegin = "newest"'
    demo.config = DEMO + sink("people", "slack", more)
    with demo:
        attacker = demo.client("127.0.9.9")
        for number in range(30):
            if attacker.get("/login").status_code == 429:
                break
            log_in(attacker, f"nobody{number}", "plum rivet otter canvas")
        until(lambda: said, "the alert", LONG)
        assert "127.0.9.9" in said[0] and "alert_" in said[0] and "log index" in said[0]
        assert "was not found" in demo.log() and "secretpart" not in demo.log()


def test_sinks_follow_the_configuration():
    first, second = [], []
    take = lambda into: lambda path, headers, body: (into.append(json.loads(body)["data"]), (204, {}, b""))[1]
    one, two = Http(take(first)), Http(take(second))
    demo = Demo()
    more = secret(demo, "w", SECRET)
    hook = lambda name, receiver, extra="": sink(name, "webhook", f"{more}\n{extra}", url=receiver.url)
    demo.config = DEMO + hook("one", one)
    with demo:
        happen(demo, 1)
        complete(demo, lambda: first)

        def reload(text, works=True):
            outcome = 1 if works else 2
            reloads = lambda: [entry for entry in entries(demo).values()
                               if entry["metadata"]["event_code"] == "sys_reload"]
            count = len(reloads())
            demo.configure(text)
            demo.server.send_signal(signal.SIGHUP)
            until(lambda: len(reloads()) > count and reloads()[-1]["status_id"] == outcome, "the reload", LONG)

        # A second one begins where it is told to; what is personal stays in the log.
        reload(DEMO + hook("one", one) + hook("two", two, 'begin = "newest"\npersonal = "sealed"'))
        until(lambda: metric(demo, "behind_entries", "two") == 0, "the second sink", LONG)
        happen(demo, 1)
        caught_up(demo, "two")
        caught_up(demo, "one")
        begun = min(marks(event) for event in second)
        assert begun > 3 and {marks(event) for event in second} <= {marks(event) for event in first}
        of = lambda events: [event for event in events if event["metadata"]["event_code"] == "authn_login_success"]
        name = demo.facts()["users"][0]["username"]
        assert of(first)[-1]["user"]["name"] == name and "ip" in of(first)[-1]["src_endpoint"]
        assert "name" not in of(second)[-1]["user"] and "ip" not in of(second)[-1]["src_endpoint"]
        assert name not in json.dumps(of(second))

        # What cannot be used changes nothing.
        reload(DEMO + hook("one", one) + sink("bad", "webhook", more, url="http://192.0.2.1/"), works=False)
        assert metric(demo, "behind_entries", "two") is not None
        # Without it, nothing more comes; when it is back, it goes on where it stopped.
        reload(DEMO + hook("one", one))
        assert metric(demo, "behind_entries", "two") is None
        count = len(second)
        happen(demo, 1)
        caught_up(demo, "one")
        assert len(second) == count
        reload(DEMO + hook("one", one) + hook("two", two))
        caught_up(demo, "two")
        seen = [marks(event) for event in second]
        assert set(range(begun, max(seen) + 1)) == set(seen)


def test_a_log_that_was_put_back_loses_nothing(files):
    bulk = Bulk("ApiKey abc", files)
    demo = Demo()
    more = f'ca = "{files}/ca.pem"\n' + secret(demo, "e", "ApiKey abc")
    demo.config = DEMO + sink("elastic", "elastic", more, url=bulk.url, index="audit-events")
    events = lambda: list(bulk.documents.values())
    with demo:
        happen(demo)
        complete(demo, events)
        demo.stop()
        copy = demo.data.with_name("copy")
        shutil.copytree(demo.data, copy, ignore=shutil.ignore_patterns("control.sock"))
        demo.start()
        happen(demo)
        complete(demo, events)
        demo.stop()
        # All of it as it was, but for what the sink remembers: it is further than the log.
        shutil.copytree(demo.data / "sinks", copy / "sinks", dirs_exist_ok=True)
        shutil.rmtree(demo.data)
        copy.rename(demo.data)
        demo.start()
        happen(demo, 5)
        wanted = {entry["metadata"]["uid"] for entry in entries(demo).values()}
        have = lambda: {event["metadata"]["uid"] for event in events()}
        until(lambda: wanted <= have(), "the events of the other history", LONG)
        assert "put back to an earlier state" in demo.log()


@pytest.mark.parametrize("bad, word", [
    (sink("a", "otlp", url="http://example.org/"), "https, or http on this machine"),
    (sink("a", "otlp", url="https://user:x@example.org/"), "no user"),
    (sink("a", "webhook", url="https://example.org/"), "PORTCULLIS_SINK_A_SECRET"),
    (sink("a", "syslog", 'ocsf_version = "1.9"', address="localhost", format="cef"), "ocsf_version"),
    (sink("a", "otlp", 'ocsf_version = "2"', url="https://example.org/"), "1.9"),
    (sink("a", "syslog", address="example.org", max_message=100), "at least 2048"),
    (sink("a", "syslog", 'certificate = "x.pem"', address="example.org"), "belong together"),
    (sink("a", "syslog", 'kinds = ["authn_*"]', address="example.org"), "not the code of an event"),
    (sink("a", "elastic", url="https://example.org/", index="Upper"), "lower-case"),
    ('\n[[sink]]\nname = "a"\n', "exactly one of"),
    (sink("a", "otlp", url="https://example.org/") * 2, "defined twice"),
    (sink("a", "otlp", url="https://example.org/", token="x"), "unknown field"),
])
def test_what_cannot_be_meant_is_refused(tmp_path, bad, word):
    (tmp_path / "portcullis.toml").write_text(DEMO + bad)
    demo = Demo(services=False)
    answer = demo.cli("check", "--config", tmp_path / "portcullis.toml", check=False)
    assert answer.returncode != 0 and word in answer.stderr, answer.stderr
    demo.directory.cleanup()
