"""Import of people from another system, with the hashes that other libraries made."""

import base64
import csv
import hashlib
import json
import os
import secrets
import signal
import sqlite3
import subprocess
from concurrent.futures import ThreadPoolExecutor

import argon2
import bcrypt
import pytest

from portcullis import BIN, log_in, tokens, until

PASSWORD = "Tr0ub4dor&3"


def b64(data):
    return base64.b64encode(data).decode().rstrip("=")


def pbkdf2(digest, iterations=1000):
    salt = os.urandom(16)
    return salt, hashlib.pbkdf2_hmac(digest, PASSWORD.encode(), salt, iterations)


def phc_pbkdf2(digest):
    salt, tag = pbkdf2(digest)
    return f"$pbkdf2-{digest}$i=1000${b64(salt)}${b64(tag)}"


def passlib_pbkdf2():
    salt, tag = pbkdf2("sha256")
    dotted = [part.replace("+", ".") for part in (b64(salt), b64(tag))]
    return f"$pbkdf2-sha256$1000${dotted[0]}${dotted[1]}"


def django():
    salt = secrets.token_hex(8)
    tag = hashlib.pbkdf2_hmac("sha256", PASSWORD.encode(), salt.encode(), 1000)
    return f"pbkdf2_sha256$1000${salt}${base64.b64encode(tag).decode()}"


def scrypt():
    salt = os.urandom(16)
    tag = hashlib.scrypt(PASSWORD.encode(), salt=salt, n=1024, r=8, p=1, dklen=32)
    return f"$scrypt$ln=10,r=8,p=1${b64(salt)}${b64(tag)}"


def argon(kind):
    return argon2.PasswordHasher(time_cost=1, memory_cost=64, parallelism=2, type=kind).hash(PASSWORD)


HASHES = {
    "bcrypt": lambda: bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode(),
    "bcrypt-2a": lambda: bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4, prefix=b"2a")).decode(),
    "scrypt": scrypt,
    "pbkdf2-sha1": lambda: phc_pbkdf2("sha1"),
    "pbkdf2-sha256": lambda: phc_pbkdf2("sha256"),
    "pbkdf2-sha512": lambda: phc_pbkdf2("sha512"),
    "passlib": passlib_pbkdf2,
    "django": django,
    "argon2id": lambda: argon(argon2.Type.ID),
    "argon2i": lambda: argon(argon2.Type.I),
}


def name():
    return f"imp{secrets.token_hex(4)}"


def imported(demo, rows, **options):
    """Imports JSON lines."""
    path = demo.data / f"{name()}.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return demo.cli("users", "import", path, "--data", demo.data, **options), path


def digest_of(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def stored_hash(demo, username):
    with sqlite3.connect(f"file:{demo.data / 'portcullis.db'}?mode=ro", uri=True) as db:
        return db.execute("SELECT password_hash FROM account WHERE username = ?", [username]).fetchone()[0]


@pytest.mark.parametrize("kind", HASHES)
def test_whoever_is_imported_logs_in_and_is_hashed_anew(demo, source, kind):
    username, made = name(), HASHES[kind]()
    done, _ = imported(demo, [{"username": username, "email": f"{username}@example.org", "password_hash": made}])
    assert done.returncode == 0 and "1 accounts imported, 0 records refused" in done.stdout
    assert stored_hash(demo, username) == made
    assert log_in(demo.client(source), username, PASSWORD + "x").status_code == 401
    assert stored_hash(demo, username) == made
    assert log_in(demo.client(source), username, PASSWORD).status_code == 303
    until(lambda: stored_hash(demo, username).startswith("$argon2id$v=19$m=19456,t=2,p=1$"), "the new hash")
    assert log_in(demo.client(source), username, PASSWORD).status_code == 303


def test_roles_groups_and_the_rest_come_along(demo, source):
    username, group = name(), f"Team {name()}"
    row = {"username": username, "email": f"{username}@example.org", "email_verified": True,
           "display_name": "Zoë Ünal", "password_hash": HASHES["bcrypt"](), "roles": ["editor"],
           "groups": [group], "locale": "de"}
    imported(demo, [row, {**row, "username": username + "2", "email": f"{username}2@example.org", "disabled": True}])
    admin = demo.operator(source)
    one, two = admin.get("/api/admin/v1/users", params={"username": username}).json()["items"]
    assert (one["display_name"], one["roles"], one["disabled"]) == ("Zoë Ünal", ["editor"], False)
    assert two["disabled"] and log_in(demo.client(source), username + "2", PASSWORD).status_code == 401
    groups = admin.get("/api/admin/v1/groups", params={"limit": 200}).json()["items"]
    made = [row for row in groups if row["name"] == group]
    assert len(made) == 1
    members = admin.get(f"/api/admin/v1/groups/{made[0]['id']}/members").json()["items"]
    assert {row["username"] for row in members} == {username, username + "2"}


def test_csv_says_the_same(demo, source):
    username, path = name(), demo.data / f"{name()}.csv"
    with path.open("w", newline="") as out:
        table = csv.writer(out)
        table.writerow(["email", "username", "password_hash", "display_name", "roles", "disabled"])
        table.writerow([f"{username}@example.org", username, HASHES["django"](), "A, \"B\"\nC", "x;y", ""])
        table.writerow([f"{username}2@example.org", username + "2", "", "Plain", "", "false"])
    done = demo.cli("users", "import", path, "--data", demo.data, check=False)
    # A name with a line break is none.
    assert done.returncode == 2 and "line 2: display_name must be 1 to 100 characters" in done.stderr
    rows = demo.operator(source).get("/api/admin/v1/users", params={"username": username}).json()["items"]
    assert [(row["username"], row["display_name"]) for row in rows] == [(username + "2", "Plain")]


def test_every_mistake_has_its_line_and_the_rest_goes_on(demo, source):
    good, taken = name(), demo.facts()["users"][0]
    rows = [
        {"username": "x!", "email": "nobody", "password_hash": "secret"},
        {"username": taken["username"], "email": taken["email"]},
        {"username": name(), "email": f"{name()}@example.org", "email_verified": False},
        {"username": name(), "email": f"{name()}@example.org", "password_hash": "$2b$20$" + "C" * 53},
        {"username": good, "email": f"{good}@example.org"},
        {"username": good, "email": f"{good}2@example.org"},
    ]
    path = demo.data / f"{name()}.jsonl"
    lines = [json.dumps(row) for row in rows]
    lines += ['{"username": "a", "username": "b"}', '{"verified": true}', '"text"', "\xff", "{" + "x" * 70_000 + "}"]
    path.write_bytes("\n".join(lines).encode("latin-1"))
    done = demo.cli("users", "import", path, "--data", demo.data, check=False)
    assert done.returncode == 2 and "1 accounts imported, 10 records refused" in done.stdout
    found = [json.loads(line) for line in (path.parent / (path.name + ".errors.jsonl")).open()]
    of = {}
    for row in found:
        of.setdefault(row["line"], {})[row["field"]] = row["message"]
    assert set(of[1]) == {"username", "email", "password_hash"}
    assert of[2] == {"username": "is taken", "email": "is taken"}
    assert set(of[3]) == {"email_verified"}
    assert of[4] == {"password_hash": "would cost more to check than a login may"}
    assert of[6] == {"username": "is taken"}
    assert all(set(of[line]) == {"record"} for line in range(7, 12)) and set(of) == set(range(1, 12)) - {5}
    # What was in the file is not in the report.
    assert "secret" not in json.dumps(found) and taken["email"] not in json.dumps(found)


@pytest.mark.parametrize("header,complaint", [
    ("username,mail", "the column 1 is none of"), ("username,roles", "there is no column email"),
    ("username,email,email", "email is there twice"),
])
def test_a_header_that_cannot_be_right_is_refused_before_anything_happens(demo, header, complaint):
    path = demo.data / f"{name()}.csv"
    path.write_text(f"{header}\na,b,c\n")
    done = demo.cli("users", "import", path, "--data", demo.data, check=False)
    assert done.returncode == 1 and complaint in done.stderr


def test_a_killed_import_goes_on_where_it_was(demo, source):
    start, count = name(), 3000
    path = demo.data / f"{start}.jsonl"
    with path.open("w") as out:
        for n in range(count):
            # Every hundredth cannot be imported.
            mail = "none" if n % 100 == 99 else f"{start}{n}@example.org"
            out.write(json.dumps({"username": f"{start}{n}", "email": mail}) + "\n")
    command = [BIN / "portcullis", "users", "import", path, "--data", demo.data]

    def begun():
        with sqlite3.connect(f"file:{demo.data / 'portcullis.db'}?mode=ro", uri=True) as db:
            row = db.execute("SELECT lines FROM user_import WHERE digest = ?", [digest_of(path)]).fetchone()
        return row[0] if row else 0

    kills, seen = 0, 0
    while kills < 3:
        process = subprocess.Popen(command, env=demo.env, cwd=demo.directory.name,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(lambda: begun() > seen or process.poll() is not None, "a batch")
        process.send_signal(signal.SIGKILL)
        process.wait()
        kills, seen = kills + 1, begun()
    assert 0 < seen < count
    done = demo.cli("users", "import", path, "--data", demo.data, check=False)
    assert f"going on after {seen} records" in done.stdout
    assert f"{count - 30} accounts imported, 30 records refused" in done.stdout
    with sqlite3.connect(f"file:{demo.data / 'portcullis.db'}?mode=ro", uri=True) as db:
        rows = db.execute("SELECT COUNT(*), COUNT(DISTINCT username) FROM account WHERE username LIKE ?",
                          [start + "%"]).fetchone()
    assert rows == (count - 30, count - 30)
    # Every account is in the record, once.
    def recorded():
        events = demo.audit("--kind", "admin_users_import")
        of_file = [event for event in events if event["entity"]["uid"] == digest_of(path)]
        return [one["id"] for event in of_file for one in event["entity_result"]["data"]["accounts"]]

    until(lambda: len(recorded()) >= count - 30, "the events")
    assert len(set(recorded())) == len(recorded()) == count - 30


def test_a_quote_that_is_never_closed_is_not_the_rest_of_the_file(demo, tmp_path):
    path, good = tmp_path / "open.csv", name()
    rows = "".join(f"x{n}@example.org,x{n}\n" for n in range(100_000))
    path.write_text(f'email,username\n{good}@example.org,{good}\n"open@example.org,open\n{rows}')
    done = demo.cli("users", "import", path, "--data", demo.data, check=False)
    assert done.returncode == 1 and "is a quote never closed?" in done.stderr, done.stderr


def test_imported_people_are_people(demo, source):
    username = name()
    imported(demo, [{"username": username, "email": f"{username}@example.org", "password_hash": HASHES["bcrypt"]()}])
    got = tokens(demo, {"username": username, "password": PASSWORD}, source=source)
    assert got["id_token"]


def test_logins_at_once_are_all_right_while_the_hash_is_made_anew(demo):
    """The first of them replaces the hash that the others were checked against."""
    username = name()
    imported(demo, [{"username": username, "email": f"{username}@example.org", "password_hash": HASHES["bcrypt"]()}])
    browsers = [demo.client(f"127.9.0.{n}") for n in range(1, 13)]
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda browser: log_in(browser, username, PASSWORD).status_code, browsers))
    assert answers == [303] * 12
