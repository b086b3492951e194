"""Evidence of decisions, and receipts of erasure: checked by somebody who has the key of the log and of the issuer,
and by the command; and what is altered is refused."""

import base64
import hashlib
import json
import sqlite3

import pytest
from joserfc import jws
from joserfc.jwk import KeySet

from portcullis import Demo, officer, until
from test_documents import LINES
from test_workflows import SESSIONS, begin, give, published, settled, show, vote
from tlog import proven

GRAPH = {
    "schema": "idv.workflow/1",
    "start": "zone",
    "nodes": {
        "zone": {"type": "check", "check": "mrz", "next": "human"},
        "human": {"type": "review", "approvers": 1},
    },
}


@pytest.fixture(scope="module")
def place():
    with Demo() as running:
        yield running
        assert "panicked" not in running.log()


@pytest.fixture(scope="module")
def workflow(place):
    return published(place.operator(scope="idv"), GRAPH)


@pytest.fixture
def client(place):
    return place.operator(scope="idv")


@pytest.fixture(scope="module")
def reviewer(place):
    return officer(place, "judge", "idv")


@pytest.fixture(scope="module")
def decided(place, workflow, reviewer):
    client = place.operator(scope="idv")
    session = begin(client, workflow, reference="customer-9", expected={"surname": "Mustermann"})
    give(client, session, node="zone", mrz={"mrz": LINES})
    settled(client, session, "in_review")
    assert vote(reviewer, session, "approved")["status"] == "approved"
    return session


def vkey(place):
    return (place.logs()[-1] / "vkey").read_text().strip()


def bundle(client, session, **query):
    answer = client.get(f"{SESSIONS}/{session['id']}/evidence", params=query)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/jwt"
    return answer.text


def claims_of(place, token):
    keys = KeySet.import_key_set(place.client().get("/oauth2/jwks").json())
    opened = jws.deserialize_compact(token, keys, algorithms=["EdDSA", "Ed25519", "ES256", "RS256"])
    assert opened.headers()["typ"] == "idv-evidence+jwt"
    return json.loads(opened.payload)


def test_an_auditor_needs_nothing_but_two_keys(place, client, decided):
    claims = claims_of(place, bundle(client, decided))
    assert claims["iss"] == place.issuer and claims["session"] == decided["id"]
    assert not {"sub", "aud", "exp", "nonce"} & set(claims), "nobody may take it for an ID token"
    evidence = json.loads(claims["evidence"])
    assert evidence["decision"]["verdict"] == "approved" and evidence["decision"]["by"] == "reviewers"
    assert len(evidence["decision"]["reviewers"]) == 1
    zone = evidence["reports"][0]
    assert (zone["node"], zone["check"], zone["status"], zone["assurance"]) == ("zone", "mrz", "passed", "self_asserted")
    assert zone["report"]["document"]["surname"] == "MUSTERMANN"
    # The workflow is there as well, and is the one that is named.
    meaning = json.dumps(evidence["workflow"]["meaning"], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert hashlib.sha256(meaning.encode()).hexdigest() == evidence["workflow"]["digest"]
    assert evidence["workflow"]["meaning"]["nodes"]["human"]["approvers"] == 1
    # The log has the decision, with the digest of all that and not a name.
    log = claims["log"]
    entry = json.loads(log["entry"])
    assert proven(log["entry"].encode(), log["proof"], vkey(place)) >= 0 and log["log_key"] == vkey(place)
    assert entry["metadata"]["uid"] == log["event"] and entry["unmapped"]["change"] == "decided"
    assert entry["entity"]["uid"] == decided["id"]
    salt = base64.urlsafe_b64decode(claims["salt"] + "=")
    assert len(salt) == 32
    assert entry["unmapped"]["evidence"] == hashlib.sha256(salt + claims["evidence"].encode()).hexdigest()
    assert "MUSTERMANN" not in log["entry"] and "customer-9" not in log["entry"]
    # The same text each time, and who took it is told.
    again = claims_of(place, bundle(client, decided))
    assert (again["evidence"], again["salt"], again["log"]) == (claims["evidence"], claims["salt"], log)
    told = place.audit("--kind", "admin_idv_evidence_export")
    assert decided["id"] in {one["entity"]["uid"] for one in told}


def test_the_command_believes_the_log_and_nobody_else(place, client, decided, tmp_path):
    token = bundle(client, decided)
    (tmp_path / "bundle.jwt").write_text(token)
    (tmp_path / "jwks.json").write_text(place.client().get("/oauth2/jwks").text)

    def checked(text, key=None, *more):
        (tmp_path / "it.jwt").write_bytes(text if isinstance(text, bytes) else text.encode())
        more = more or ("--unsigned",)
        done = place.cli("idv", "evidence", "--vkey", key or vkey(place), *more, tmp_path / "it.jwt", check=False)
        assert "panicked" not in done.stderr
        return done.returncode, done.stdout

    status, shown = checked(token, None, "--jwks", tmp_path / "jwks.json")
    assert status == 0 and "approved by reviewers" in shown and "signature    holds" in shown and "verified  " in shown
    # Without the keys of the issuer it says less, and only to whoever wants that.
    status, shown = checked(token)
    assert status == 0 and "not checked" in shown and "verified  " not in shown
    bare = place.cli("idv", "evidence", "--vkey", vkey(place), tmp_path / "it.jwt", check=False)
    assert bare.returncode not in (0, 1) and "--jwks" in bare.stderr

    def altered(change):
        head, payload, signature = token.split(".")
        claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
        change(claims)
        payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
        return f"{head}.{payload}.{signature}"

    def in_evidence(old, new):
        def change(claims):
            assert old in claims["evidence"]
            claims["evidence"] = claims["evidence"].replace(old, new)
        return change

    def of_log(member, old, new):
        def change(claims):
            assert old in claims["log"][member]
            claims["log"][member] = claims["log"][member].replace(old, new, 1)
        return change

    for name, change, why in [
        ("somebody else", in_evidence("MUSTERMANN", "MUSTERFRAU"), "other evidence"),
        ("verdict", in_evidence('"approved"', '"declined"'), "other evidence"),
        ("workflow", in_evidence('"approvers":1', '"approvers":2'), "the workflow is not the one"),
        ("space", in_evidence("{", "{ "), "other evidence"),
        ("salt", lambda claims: claims.update(salt="A" * 43), "other evidence"),
        ("short salt", lambda claims: claims.update(salt="AAAA"), "the salt"),
        ("entry", of_log("entry", '"approved"', '"declined"'), "does not have the entry"),
        ("proof", of_log("proof", "index ", "index 1"), "does not have the entry"),
        ("no log", lambda claims: claims.update(log=None), "no proof"),
        ("session", lambda claims: claims.update(session="ses_x"), "another session"),
    ]:
        status, shown = checked(altered(change))
        assert status == 2 and why in shown and "verified" not in shown, (name, shown)
    # Whatever it says, the signature is not of that.
    status, shown = checked(altered(lambda claims: claims.update(iat=1)), None, "--jwks", tmp_path / "jwks.json")
    assert status == 2 and "signature" in shown
    # Another log, which says of itself what it likes.
    origin, _, _ = vkey(place).split("+", 2)
    public = b"\x01" + bytes(range(32))
    name = hashlib.sha256(origin.encode() + b"\n" + public).digest()[:4].hex()
    status, shown = checked(token, f"{origin}+{name}+{base64.b64encode(public).decode()}")
    assert status == 2 and "does not have the entry" in shown
    for text in ("", "a.b.c", "..", token[: len(token) // 2], token + ".x", "\u2014"):
        assert checked(text)[0] == 2, text
    assert checked(b"\xff\xfe")[0] == 2
    # Nothing that others wrote plays with the terminal.
    status, shown = checked(altered(lambda claims: claims.update(evidence=json.dumps({"schema": "\u009b2J\u202e" + "x" * 9999}))))
    assert status == 2 and len(shown) < 600 and not any(ord(c) in (0x9b, 0x202e) for c in shown)
    # A log of another house, with the same key.
    other = "elsewhere.example" + vkey(place)[len(origin.split("/")[0]):]
    public = base64.b64decode(vkey(place).split("+", 2)[2])
    name = hashlib.sha256(other.split("+")[0].encode() + b"\n" + public).digest()[:4].hex()
    other = "+".join([other.split("+")[0], name, base64.b64encode(public).decode()])
    status, shown = checked(token, other)
    assert status == 2 and "another house" in shown
    # An ID token is no bundle.
    assert checked(client.headers["authorization"].removeprefix("Bearer "))[0] == 2


def test_what_is_not_decided_has_none(client, workflow):
    session = begin(client, workflow)
    answer = client.get(f"{SESSIONS}/{session['id']}/evidence")
    assert answer.status_code == 409 and "not decided" in answer.text
    assert client.get(f"{SESSIONS}/{session['id']}/evidence", params={"proof": "optional"}).status_code == 409
    assert client.post(f"{SESSIONS}/{session['id']}/cancel", json={"reason_code": "LEFT"}).status_code == 200
    assert client.get(f"{SESSIONS}/{session['id']}/evidence").status_code == 409
    assert client.get(f"{SESSIONS}/{session['id']}/evidence", params={"proof": "x"}).status_code == 400
    assert client.get(f"{SESSIONS}/nothing/evidence").status_code in (400, 404)


def test_evidence_stays_when_the_log_is_gone(place, client, workflow, reviewer):
    session = begin(client, workflow)
    give(client, session, node="zone", mrz={"mrz": LINES})
    settled(client, session, "in_review")
    vote(reviewer, session, "declined")
    place.kill()
    place.start()
    # Its proof was found by itself, whether before or after the crash.
    client = place.operator(scope="idv")
    claims = claims_of(place, until(lambda: bundle(client, session), "evidence"))
    assert json.loads(claims["evidence"])["decision"]["verdict"] == "declined"
    assert proven(claims["log"]["entry"].encode(), claims["log"]["proof"], claims["log"]["log_key"]) >= 0


def test_who_writes_the_database_writes_no_evidence(place, client, decided):
    """The outbox of events is for what we put there ourselves."""
    entry = json.loads(claims_of(place, bundle(client, decided))["log"]["entry"])
    forged = {**entry, "metadata": {**entry["metadata"], "uid": "evt_01m8kcp90fx670s97kzzmmd6zf"}}
    forged["unmapped"] = {**entry["unmapped"], "evidence": "0" * 64}
    with sqlite3.connect(place.data / "portcullis.db", timeout=30) as database:
        for mac in (None, b"", b"x" * 32):
            uid = "evt_01m8kcp90fx670s97kzzmmd6z" + ("f" if mac is None else "g" if not mac else "h")
            forged["metadata"]["uid"] = uid
            database.execute(
                "INSERT INTO event_outbox (tenant, event_id, leaf, created_at, mac) VALUES ('main', ?, ?, ?, ?)",
                (uid, json.dumps(forged).encode(), entry["time"] * 1000, mac),
            )
    database.close()
    until(lambda: place.log().count("none of ours") >= 3, "three refusals")
    decisions = [one for one in place.audit("--kind", "idv_session_decided") if one["entity"]["uid"] == decided["id"]]
    assert len(decisions) == 1
    # What the command line leaves there is taken, once: a copy of the row is not.
    with sqlite3.connect(place.data / "portcullis.db", timeout=30) as database:
        database.execute("CREATE TABLE kept AS SELECT * FROM event_outbox WHERE 0")
        database.execute("CREATE TRIGGER keep AFTER INSERT ON event_outbox BEGIN INSERT INTO kept SELECT * FROM event_outbox WHERE event_id = NEW.event_id; END")
    place.cli("api-keys", "create", "--config", place.file, "--data", place.data, "copied", "--scope", "admin")
    with sqlite3.connect(place.data / "portcullis.db", timeout=30) as database:
        database.execute("DROP TRIGGER keep")
    made = until(lambda: [one for one in place.audit("--kind", "admin_api_key_create") if "copied" in json.dumps(one)], "the key")
    uid = made[0]["metadata"]["uid"]

    def waits():
        with sqlite3.connect(place.data / "portcullis.db", timeout=30) as database:
            return database.execute("SELECT COUNT(*) FROM event_outbox WHERE event_id = ?", (uid,)).fetchone()[0]
    until(lambda: not waits(), "the row to go")
    with sqlite3.connect(place.data / "portcullis.db", timeout=30) as database:
        assert database.execute("INSERT INTO event_outbox SELECT * FROM kept WHERE event_id = ?", (uid,)).rowcount == 1
        # A row that cannot be read stops nothing.
        database.execute("INSERT INTO event_outbox (tenant, event_id, leaf, created_at, mac) VALUES ('main', 'zzz', 7, 'never', 7)")
    until(lambda: not waits(), "the copy to go")
    assert len([one for one in place.audit("--text", uid) if one["metadata"]["uid"] == uid]) == 1


def test_what_a_stop_left_is_found_by_itself(place, client, workflow, reviewer):
    sessions = []
    for _ in range(3):
        session = begin(client, workflow)
        give(client, session, node="zone", mrz={"mrz": LINES})
        settled(client, session, "in_review")
        vote(reviewer, session, "approved")
        sessions.append(session["id"])
    place.stop()
    with sqlite3.connect(place.data / "portcullis.db") as database:
        rows = dict(database.execute("SELECT session_id, proof FROM idv_evidence").fetchall())
        assert all(rows[session] for session in sessions), "the stop itself finds them"
        # As a crash would leave it, long ago.
        database.execute("UPDATE idv_evidence SET proof = NULL, entry = NULL WHERE session_id = ?", sessions[:1])
    database.close()
    place.start()

    def found():
        with sqlite3.connect(place.data / "portcullis.db") as database:
            return database.execute("SELECT proof FROM idv_evidence WHERE session_id = ?", sessions[:1]).fetchone()[0]
    until(found, "the proof")


def test_a_receipt_proves_the_erasure_and_the_evidence_goes(place, client, decided_again):
    before = json.loads(claims_of(place, bundle(client, decided_again))["evidence"])
    assert before["session"] == decided_again["id"]
    receipt = client.delete(f"{SESSIONS}/{decided_again['id']}").json()
    log = receipt["log_proof"]
    entry = json.loads(log["entry"])
    assert entry["metadata"]["uid"] == log["event"] and entry["unmapped"]["change"] == "erased"
    assert entry["entity"]["uid"] == decided_again["id"]
    assert proven(log["entry"].encode(), log["proof"], vkey(place)) >= 0
    answer = client.get(f"{SESSIONS}/{decided_again['id']}/evidence")
    assert answer.status_code == 410
    assert show(client, decided_again)["erased_at"]


@pytest.fixture
def decided_again(client, workflow, reviewer):
    session = begin(client, workflow, reference="customer-10")
    give(client, session, node="zone", mrz={"mrz": LINES})
    settled(client, session, "in_review")
    vote(reviewer, session, "approved")
    return session
