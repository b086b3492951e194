"""How long the log keeps what: years follow each other, months become unreadable, entries are removed,
and everything that was ever proven stays so."""

import itertools
import json

import httpx
import pytest

from portcullis import DEMO, log_in, until
from receivers import Http
from test_durability import Faulty, faults  # noqa: F401
from test_export import SECRET, secret, sink
from test_log_tiles import Auditor, grown, root
from tlog import leaf

DAY = 86_400
KEPT = '\n[audit]\nkeep_entries = "400d"\nkeep_personal = "40d"\n'


def told(demo, *kinds):
    return {kind: demo.audit("--kind", f"sys_{kind}", "--sealed") for kind in kinds}


def lines(demo, *arguments):
    found = demo.cli("audit", "search", "--data", demo.data, *arguments).stdout.splitlines()
    return {int(index): json.loads(entry) for index, entry in (line.split("\t", 1) for line in found)}


def verified(demo, *arguments):
    done = demo.cli("audit", "verify", "--data", demo.data, *arguments, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_years_months_and_entries_pass(faults, tmp_path):  # noqa: F811
    written = lambda name, days: (tmp_path / name).write_text(str(int(days * DAY)))
    up = 0
    written("clock", 0)

    def leap(demo, days):
        """Sets the clock, and lets it be there for a day."""
        nonlocal up
        waits = lambda: demo.log().count("the clock is far off")
        before = waits()
        written("clock", days)
        until(lambda: waits() > before, "the clock to be doubted", 90)
        up += 1.1
        written("uptime", up)

    receiver = Http(lambda *_: (204, {}, b""))
    with Faulty(faults, tmp_path, config=DEMO + KEPT) as demo:
        demo.configure(DEMO + KEPT + sink("hook", "webhook", secret(demo, "hook", SECRET), url=receiver.url))
        auditor = Auditor(demo)
        ada = demo.new_user("ada")["id"]
        assert log_in(demo.client("127.81.0.1"), "ada", "plum rivet otter canvas").status_code == 303
        size, tree = grown(auditor, 600)
        about = lambda: [event for event in lines(demo, "--config", demo.file, "--subject", ada).values()
                         if event["metadata"]["event_code"] == "authn_login_success"]
        [login] = about()
        assert login["user"]["name"] == "ada" and login["src_endpoint"]["ip"] == "127.81.0.1"
        year = demo.logs()[0]
        kept = auditor.entries(600)

        # Not yet the time of anything but a new year, at the most; then that of the months.
        leap(demo, 100)
        until(lambda: told(demo, "month_erased")["month_erased"], "the erasure of a month", 90)
        [login] = about()
        assert "name" not in login["user"] and "sealed" in login["unmapped"]
        months = {event["unmapped"]["month"] for event in told(demo, "month_erased")["month_erased"]}
        assert login["unmapped"]["sealed"]["month"] in months
        assert "minimum" not in verified(demo, "--vkey", auditor.vkey)

        # Years later: a log for the new one, which goes on from the old one.
        leap(demo, 800)
        until(lambda: told(demo, "log_pruned")["log_pruned"], "the removal of entries", 90)
        until(lambda: len(demo.logs()) >= 2 and all((log / "checkpoint").exists() for log in demo.logs()), "a year")
        names = [(log / "vkey").read_text().split("+")[0] for log in demo.logs()]
        rotated = told(demo, "log_rotated")["log_rotated"]
        assert [event["unmapped"]["log"] for event in rotated] == names[:-1]
        for before, after in itertools.pairwise(demo.logs()):
            last = (before / "checkpoint").read_bytes()
            assert (after / "level-0").read_bytes()[:32] == leaf(last)
        report = verified(demo, "--vkey", auditor.vkey)
        assert "minimum" in report and report.count("log  ") == len(names)
        assert not any((year / "entries").read_bytes()[:1_000])
        assert demo.cli("audit", "verify", "--data", demo.data, "--vkey",
                        auditor.vkey.replace("localhost", "elsewhere"), check=False).returncode != 0

        # What reached a receiver was all of it, from every log, in order.
        def seen():
            records = [json.loads(body)["data"] for _, _, body in receiver.requests]
            return [(event["unmapped"]["log_origin"], event["unmapped"]["tlog_index"]) for event in records]

        until(lambda: seen() and seen()[-1][0] == names[-1], "the new log at the receiver", 90)
        order = [(names.index(origin), index) for origin, index in seen()]
        assert order == sorted(set(order)), "each once, in order"
        metrics = httpx.get(f"{demo.ops}/metrics").text
        assert 'portcullis_sink_missed_total{sink="hook"} 0' in metrics

        # After a restart it goes on in the newest log.
        demo.stop()
        demo.start()
        # Certificates are of a time that the client has not reached.
        demo.client = lambda *_, **__: httpx.Client(verify=False, base_url=demo.issuer, timeout=20)
        auditor.client = demo.client()
        assert [(log / "vkey").read_text().split("+")[0] for log in demo.logs()] == names
        operator = demo.operator()
        page = operator.get("/api/admin/v1/events?limit=5").json()
        first = page["items"][0]["index"]
        assert first >= 600
        assert operator.get(f"/api/admin/v1/events/{first}/proof").status_code == 200
        assert operator.get(f"/api/admin/v1/events?after={page['next']}&limit=5").json()["items"]
        # Hashes of what was removed are there, entries are not.
        assert auditor.get("tile/0/000").status_code == 200
        assert auditor.get("tile/entries/000", operator).status_code == 404
        now, final = auditor.checkpoint()
        hashes = auditor.tiles(0, now)
        assert root(hashes) == final and root(hashes[:size]) == tree
        assert [leaf(entry) for entry in kept] == hashes[:600], "whoever kept an entry can still prove it"
        node = auditor.prefix.rsplit("/", 1)[0]
        newest = demo.client().get(f"{node}/checkpoint").text
        assert newest.splitlines()[0] == names[-1]
        assert demo.client().get(f"{node}/1999/checkpoint").status_code == 404
        assert demo.client().get(f"{node}/..%2f/checkpoint").status_code in (400, 404)
        verified(demo, "--vkey", auditor.vkey)

        # Who takes a year out, or calls more removed than was, is found out.
        demo.stop()
        claimed = demo.logs()[-1] / "minimum"
        was = claimed.read_text() if claimed.exists() else None
        claimed.write_text("256 1\n")
        wrong = demo.cli("audit", "verify", "--data", demo.data, check=False)
        # The newest log has few entries: what it claims is held against what it has.
        assert wrong.returncode == 2 and "DAMAGED" in wrong.stdout, wrong.stdout + wrong.stderr
        refused = demo.cli("up", "--data", demo.data, "--config", demo.file, check=False)
        assert refused.returncode == 1 and "no entry allows it" in refused.stderr, refused.stderr
        claimed.unlink() if was is None else claimed.write_text(was)
        verified(demo)
        hidden = year.with_name("hidden")
        year.rename(hidden)
        refused = demo.cli("up", "--data", demo.data, "--config", demo.file, check=False)
        assert refused.returncode == 1 and "remembers" in refused.stderr, refused.stdout + refused.stderr
        hidden.rename(year)
        # Nor can both be taken away.
        name = demo.data / "audit-origin"
        (demo.data / "audit").rename(demo.data / "hidden")
        name.rename(demo.data / "name")
        refused = demo.cli("up", "--data", demo.data, "--config", demo.file, check=False)
        assert refused.returncode == 1 and "is called" in refused.stderr, refused.stdout + refused.stderr
        (demo.data / "name").rename(name)
        (demo.data / "hidden").rename(demo.data / "audit")
        demo.start()


@pytest.mark.parametrize("text, word", [
    ('keep_entries = "1h"', "keep_entries"), ('keep_personal = "5min"', "keep_personal"),
    ('keep_entries = "30d"\nkeep_personal = "60d"', "keep_personal"), ("keep = 3", "keep"),
])
def test_wrong_retention_is_refused_by_name(tmp_path, text, word):
    import subprocess

    from portcullis import BIN

    path = tmp_path / "portcullis.toml"
    path.write_text(f"{DEMO}\n[audit]\n{text}\n")
    done = subprocess.run([BIN / "portcullis", "check", "--config", path], capture_output=True, text=True)
    assert done.returncode == 1 and word in done.stderr, done.stderr
