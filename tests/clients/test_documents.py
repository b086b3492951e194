"""Checks of documents: chips made by OpenSSL up to the authorities that the operator imported, challenges, zones,
and what a hostile caller sends."""

import base64
import datetime
import hashlib
import json
from pathlib import Path

import pytest

import passport
from passport import Certificate, Country, EcKey, RsaKey, b64
from portcullis import Demo, bearer, tokens, until

EMRTD, MRZ, TRUST = "/idv/v1/checks/emrtd", "/idv/v1/checks/mrz", "/idv/v1/trust"
BARCODE, IMAGE = "/idv/v1/checks/barcode", "/idv/v1/checks/image"
EXPIRY = (datetime.date.today() + datetime.timedelta(days=5 * 365)).strftime("%y%m%d")
ZONE = passport.zone(expiry=EXPIRY)
LINES = f"{ZONE[:44]}\n{ZONE[44:]}"


class Passport:
    """A document of a country, with a chip that answers."""

    def __init__(self, chip=None, **country):
        self.country = Country(**country)
        self.chip = chip or EcKey("brainpoolP256r1")
        self.groups = {1: passport.zone_group(ZONE), 2: passport.portrait_group(), 14: passport.info_group(), 15: passport.key_group(self.chip)}
        self.sod = self.country.sod(self.groups)

    def read(self, **more):
        groups = {str(number): b64(file) for number, file in self.groups.items()}
        return {"sod": b64(self.sod), "data_groups": groups, **more}


@pytest.fixture(scope="module")
def place():
    with Demo() as running:
        yield running
        assert "panicked" not in running.log()


@pytest.fixture
def client(place):
    return place.operator(scope="idv")


@pytest.fixture(scope="module")
def german(place):
    """A document whose authority is trusted."""
    made = Passport(authority=EcKey("brainpoolP384r1"), signer=EcKey("brainpoolP256r1"))
    trust(place, made.country.authority.der)
    return made


def trust(place, *files, check=True):
    paths = []
    for at, file in enumerate(files):
        path = place.data / f"import-{at}.der"
        path.write_bytes(file)
        paths.append(path)
    return place.cli("idv", "trust", "import", "--data", place.data, *paths, check=check)


def codes(report):
    return {reason["code"] for reason in report["reasons"]}


def check(client, body, status=200):
    answer = client.post(EMRTD, json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


def test_a_chip_is_verified_up_to_who_is_trusted(place, client, german):
    report = check(client, german.read())
    assert (report["status"], report["assurance"], report["check"]) == ("passed", "cryptographic", "emrtd")
    assert report["passive"]["status"] == "passed" and report["passive"]["chain"] == "verified"
    assert report["passive"]["data_groups"] == {"1": "matches", "2": "matches", "14": "matches", "15": "matches"}
    assert report["passive"]["signer"]["key"] == "EC brainpoolP256r1"
    assert report["passive"]["authority"]["key"] == "EC brainpoolP384r1"
    assert report["active"]["status"] == "not_performed" and "copy_not_excluded" in codes(report)
    document = report["document"]
    assert (document["surname"], document["given_names"], document["issuing_state"]) == ("MUSTERMANN", "ERIKA", "D")
    assert document["date_of_birth"] == "1964-08-12" and all(document["check_digits"].values())
    # The same in the log, without a name.
    entries = [entry for entry in place.audit() if report["id"] in json.dumps(entry)]
    assert len(entries) == 1 and "MUSTERMANN" not in json.dumps(entries)
    assert report["inputs_hash"] in json.dumps(entries)
    assert report["list_versions"][0] == {"name": "trust", **{k: v for k, v in client.get(TRUST).json().items() if k != "name"}}


def test_who_is_not_trusted_is_not_believed(client):
    stranger = Passport(authority=EcKey(), signer=EcKey())
    report = check(client, stranger.read())
    assert (report["status"], report["assurance"]) == ("review", "self_asserted")
    assert report["passive"]["chain"] == "unverified" and "authority_unknown" in codes(report)


def test_forgeries_fail(client, german):
    forged = german.read()
    forged["data_groups"]["1"] = b64(passport.zone_group(passport.zone("MUSTERMANN<<ERICA", expiry=EXPIRY)))
    report = check(client, forged)
    assert report["status"] == "failed" and "group_differs" in codes(report) and report["document"] is None
    other = german.read()
    other["sod"] = b64(german.country.sod(german.groups, by=EcKey("brainpoolP256r1")))
    report = check(client, other)
    assert report["status"] == "failed" and "sod_signature_wrong" in codes(report) and report["document"] is None
    cut = german.read()
    cut["sod"] = b64(german.sod[:200])
    assert codes(check(client, cut)) >= {"sod_unreadable"}


def test_a_chip_answers_a_challenge_once(client, german):
    made = client.post(f"{EMRTD}/challenges")
    assert made.status_code == 201
    challenge = base64.b64decode(made.json()["challenge"])
    answer = {"challenge": b64(challenge), "response": b64(german.chip.answer(challenge))}
    report = check(client, german.read(active_authentication=answer))
    assert (report["status"], report["active"]["status"]) == ("passed", "passed"), report
    again = check(client, german.read(active_authentication=answer))
    assert again["status"] == "failed" and "challenge_spent" in codes(again)
    assert again["active"]["status"] == "failed"
    own = bytes(range(8))
    answer = {"challenge": b64(own), "response": b64(german.chip.answer(own))}
    report = check(client, german.read(active_authentication=answer))
    # One of their own may have been answered at any time.
    assert report["status"] == "review" and report["active"]["status"] == "review"
    assert "challenge_foreign" in codes(report)
    report = check(client, german.read(active_authentication=answer))
    assert report["status"] == "failed" and "challenge_spent" in codes(report)


def test_an_rsa_chip_answers(place, client):
    made = Passport(chip=RsaKey(1536), authority=RsaKey(3072, pss=32), signer=RsaKey(2048, pss=32))
    trust(place, made.country.authority.der)
    challenge = base64.b64decode(client.post(f"{EMRTD}/challenges").json()["challenge"])
    answer = {"challenge": b64(challenge), "response": b64(made.chip.answer(challenge, "sha256"))}
    report = check(client, made.read(active_authentication=answer))
    assert report["status"] == "passed" and report["active"] == {"status": "passed", "key": "RSA 1536", "hash": "SHA-256"}


def test_the_chip_is_held_against_what_else_is_known(client, german):
    assert check(client, german.read(mrz=LINES, expected={"surname": "Mustermann", "date_of_birth": "1964-08-12", "nationality": "DEU"}))["status"] == "passed"
    report = check(client, german.read(mrz=LINES.replace("ERIKA", "ERICA"), expected={"surname": "Musterfrau"}))
    assert codes(report) >= {"printed_differs", "field_differs"} and report["status"] == "failed"


def test_who_is_revoked_or_removed_is_trusted_no_longer(place, client):
    made = Passport(authority=EcKey(), signer=EcKey())
    trust(place, made.country.authority.der)
    assert check(client, made.read())["status"] == "passed"
    now = datetime.datetime.now(datetime.timezone.utc)
    trust(place, passport.crl(made.country.authority, [made.country.signer.serial], this=now))
    assert "signer_revoked" in codes(check(client, made.read()))
    listed = [json.loads(line) for line in place.cli("idv", "trust", "list", "--json", "--data", place.data).stdout.splitlines()]
    crl = next(one for one in listed if one["kind"] == "crl")
    place.cli("idv", "trust", "remove", "--data", place.data, crl["fingerprint"])
    assert check(client, made.read())["status"] == "passed"
    assert place.cli("idv", "trust", "remove", "--data", place.data, crl["fingerprint"], check=False).returncode == 1
    # The service takes up what a command has left for it.
    changes = lambda: {entry["activity_name"] for entry in place.audit() if "idv_trust" in json.dumps(entry)}
    until(lambda: {"import", "remove"} <= changes(), "both changes in the log")


def test_master_lists_and_what_is_none(place, client):
    countries = [Country(code, EcKey(), EcKey()) for code in ("FR", "SE", "NL")]
    signer = Certificate(EcKey(), passport.name_of("FR", "Master List Signer"), countries[0].authority, purposes=["2.23.136.1.1.3"])
    before = client.get(TRUST).json()["authorities"]
    file = place.data / "list.ml"
    file.write_bytes(passport.master_list(signer, [one.authority for one in countries], []))
    fingerprint = hashlib.sha256(signer.der).hexdigest()
    looked = place.cli("idv", "trust", "import", "--dry-run", "--data", place.data, file)
    assert fingerprint in looked.stdout and client.get(TRUST).json()["authorities"] == before
    other = place.cli("idv", "trust", "import", "--signer", "00" * 32, "--data", place.data, file, check=False)
    assert other.returncode == 1 and client.get(TRUST).json()["authorities"] == before
    done = place.cli("idv", "trust", "import", "--signer", fingerprint, "--data", place.data, file)
    assert "3 authorities" in done.stdout and "Master List Signer" in done.stdout
    assert client.get(TRUST).json()["authorities"] == before + 3
    # Who signs documents is no authority, and what is no certificate is nothing.
    refused = trust(place, countries[0].signer.der, check=False)
    assert refused.returncode == 2 and "may not sign certificates" in refused.stdout
    assert trust(place, b"hello", check=False).returncode == 1
    assert client.get(TRUST).json()["authorities"] == before + 3


def test_zones_are_read(client):
    answer = client.post(MRZ, json={"mrz": LINES, "expected": {"surname": "Mustermann"}}).json()
    assert (answer["status"], answer["assurance"]) == ("passed", "self_asserted")
    assert answer["document"]["format"] == "TD3" and answer["list_versions"] == []
    answer = client.post(MRZ, json={"ocr_text": f"BUNDESREPUBLIK\n{LINES}\n.."}).json()
    assert answer["status"] == "passed"
    answer = client.post(MRZ, json={"mrz": LINES.replace("640812", "640813")}).json()
    assert answer["status"] == "failed" and "check_digit_wrong" in codes(answer)
    assert client.post(MRZ, json={"mrz": "hello"}).json()["document"] is None


def test_hostile_callers_get_a_clear_answer(place, client, german):
    good = german.read()
    for body, pointer in [
        ({**good, "sod": "!"}, "/sod"),
        ({**good, "data_groups": {"17": ""}}, "/data_groups"),
        ({**good, "data_groups": {"01": ""}}, "/data_groups"),
        ({**good, "data_groups": {"1": "a"}}, "/data_groups"),
        ({**good, "sod": b64(bytes(70_000))}, "/sod"),
        ({**good, "data_groups": {"3": b64(bytes(1_100_000))}}, "/data_groups"),
        ({**good, "expected": {"date_of_birth": "12.8.1964"}}, "/expected/date_of_birth"),
        ({**good, "expected": {"date_of_birth": "1964-13-45"}}, "/expected/date_of_birth"),
        ({**good, "mrz": "<" * 5000}, "/mrz"),
    ]:
        answer = check(client, body, 422)
        assert answer["violations"][0]["pointer"] == pointer, answer
    assert client.post(MRZ, json={}).status_code == 422
    assert client.post(MRZ, json={"mrz": LINES, "ocr_text": LINES}).status_code == 422
    assert client.post(EMRTD, json={**good, "trust": "me"}).status_code == 400
    assert client.post(EMRTD, content=b"{", headers={"content-type": "application/json"}).status_code == 400
    assert client.post(EMRTD, content=b"0" * 5_000_000, headers={"content-type": "application/json"}).status_code in (400, 413)
    # Nobody else may ask, whatever the scope of their token.
    person = tokens(place, place.facts()["users"][0])["access_token"]
    assert client.post(EMRTD, json=good, headers=bearer(person)).status_code == 403
    assert client.post(EMRTD, json=good, headers={"authorization": ""}).status_code == 401


HERE = Path(__file__).resolve().parent.parent.parent
LICENCE = (HERE / "crates/documents/tests/licence.txt").read_bytes()
PHOTO = (HERE / "crates/capture/tests/photo.jpg").read_bytes()


def test_licences_are_read(client):
    answer = client.post(BARCODE, json={"payload": b64(LICENCE), "expected": {"surname": "Lovelace"}}).json()
    assert (answer["status"], answer["assurance"]) == ("passed", "self_asserted"), answer
    assert (answer["licence"]["jurisdiction"], answer["licence"]["date_of_birth"]) == ("CA", "1985-12-10")
    seen = client.post(BARCODE, json={"image": b64(PHOTO)}, timeout=60).json()
    assert seen["licence"] == answer["licence"] and seen["quality"]["sharpness"] > 100
    answer = client.post(BARCODE, json={"payload": b64(LICENCE), "expected": {"surname": "Love"}}).json()
    assert answer["status"] == "failed" and codes(answer) == {"field_differs"}
    assert client.post(BARCODE, json={"payload": b64(b"hello")}).json()["licence"] is None
    assert client.post(BARCODE, json={}).status_code == 422
    assert client.post(BARCODE, json={"payload": "", "image": ""}).status_code == 422


def test_pictures_are_measured(client):
    answer = client.post(IMAGE, json={"image": b64(PHOTO)}).json()
    assert (answer["status"], answer["assurance"]) == ("passed", "heuristic"), answer
    # A header that promises more pixels than there is memory.
    bomb = bytearray((HERE / "crates/capture/tests/licence.png").read_bytes())
    bomb[16:24] = bytes([0, 0, 0xB0, 0, 0, 0, 0xB0, 0])
    answer = client.post(IMAGE, json={"image": b64(bytes(bomb))}).json()
    assert answer["status"] == "failed" and codes(answer) == {"picture_unusable"} and answer["quality"] is None
    assert client.post(IMAGE, json={"image": b64(bytes(12_600_000))}).status_code == 422
    assert client.post(IMAGE, content=b"0" * 18_000_000, headers={"content-type": "application/json"}).status_code in (400, 413)
