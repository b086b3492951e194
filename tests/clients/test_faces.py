"""Faces: compared, looked at and searched by models of the operator; pictures that are kept for a while; and the page on which people take them."""

import base64
import hashlib
import json
import shutil
import ssl
import subprocess
import uuid

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

import faces
import passport
from faces import BLUE, GOLD, GREEN, NIGHT, WHITE, b64, face
from portcullis import DEMO, Demo, officer, until
from test_capture import Browser, heading
from test_console import entered
from test_documents import EXPIRY, HERE, LINES, Passport, trust
from test_workflows import SESSIONS, begin, give, published, settled, show

MODELS = HERE / "crates/biometrics/tests/models"
CONFIG = DEMO + f'\n[verification]\nmodels = "{MODELS}"\nkeep_pictures = "24h"\ntrust_frameworks = ["eidas"]\n'


def graph(first, **search):
    """A document, a picture of the person, and everything that models say of it."""
    return {"schema": "idv.workflow/1", "start": "document", "nodes": {
        "document": {"type": "check", "check": first, "next": "me"},
        "me": {"type": "check", "check": "selfie", "next": "there"},
        "there": {"type": "check", "check": "liveness", "next": "old"},
        "old": {"type": "check", "check": "age_estimation", "next": "same"},
        "same": {"type": "check", "check": "face_match", "from": "document", "on_unsupported": {"set": "review"}, "next": "others"},
        "others": {"type": "check", "check": "face_search", "next": "end", **search},
        "end": {"type": "decide", "rule": "fold"},
    }}


ALONE = {"schema": "idv.workflow/1", "start": "me", "nodes": {
    "me": {"type": "check", "check": "selfie", "next": "there"},
    "there": {"type": "check", "check": "liveness", "next": "others"},
    "others": {"type": "check", "check": "face_search", "keep": "P30D", "next": "end"},
    "end": {"type": "decide", "rule": "fold"},
}}


@pytest.fixture(scope="module")
def place():
    with Demo(config=CONFIG) as running:
        yield running
        assert "panicked" not in running.log()


@pytest.fixture(scope="module")
def client(place):
    return place.operator(scope="idv")


@pytest.fixture
def workflow(client):
    return published(client, graph("image"))


def check(client, name, status=200, **body):
    answer = client.post(f"/idv/v1/checks/{name}", json=body, timeout=60)
    assert answer.status_code == status, answer.text
    return answer.json()


def codes(report):
    return [one["code"] for one in report["reasons"]]


def gone_through(client, flow, me, document=None, **more):
    """A session up to what came of it, with the reports by their nodes."""
    session = begin(client, flow, **more)
    if document is not None:
        give(client, session, node="document", image={"image": b64(document)})
    give(client, session, node="me", selfie={"consent": True, "image": b64(me)})
    now = settled(client, session, "approved", "declined", "in_review")
    decision = client.get(f"{SESSIONS}/{session['id']}/decision").json()
    return now, {one["node"]: one for one in decision["reports"]}


def test_two_pictures_are_of_one_person_or_not(client):
    same = check(client, "face-match", image=b64(face(BLUE, NIGHT)), portrait=b64(face(BLUE, NIGHT)))
    assert same["status"] == "passed" and same["assurance"] == "biometric" and same["score"] > 0.99
    assert [model["name"] for model in same["models"]] == ["red-squares", "colours-of-a-face"]
    embedding = same["models"][1]
    digest = hashlib.sha256((MODELS / "embedding.onnx").read_bytes()).hexdigest()
    assert embedding["sha256"] == digest and embedding["licence"] == "Apache-2.0" and same["threshold"] == 0.8
    other = check(client, "face-match", image=b64(face(BLUE, NIGHT)), portrait=b64(face(GOLD, GOLD)))
    assert other["status"] == "failed" and codes(other) == ["face_differs"] and other["score"] < 0
    assert codes(check(client, "face-match", image=b64(faces.nobody()), portrait=b64(face(BLUE, NIGHT)))) == ["face_not_found"]
    blank = check(client, "face-match", image=b64(face(BLUE, NIGHT)), portrait=b64(faces.nobody()))
    assert blank["status"] == "review" and codes(blank) == ["portrait_unusable"]
    chip = check(client, "face-match", image=b64(face(BLUE, NIGHT)), portrait=b64((HERE / "tests/clients/portrait.jp2").read_bytes()))
    assert chip["status"] == "passed", "as chips have it"


def test_a_picture_of_a_picture_is_told(client):
    there = check(client, "liveness", image=b64(face(BLUE, NIGHT)))
    assert there["status"] == "passed" and there["score"] > there["threshold"] == 0.5
    pad = next(model for model in there["models"] if model["kind"] == "pad")
    assert pad["pad_certificate"] is None, "no laboratory says so"
    assert codes(check(client, "liveness", image=b64(face(GREEN, GREEN)))) == ["not_live"]
    # One third is neither here nor there, and below what a person would look at.
    assert check(client, "liveness", image=b64(face(WHITE, WHITE)))["status"] == "failed"


def test_an_age_is_held_against_the_day_of_birth(client):
    old = check(client, "age", image=b64(face(BLUE, NIGHT)))
    assert old["status"] == "passed" and 25 < old["years"] < 45 and "difference" not in old
    assert check(client, "age", image=b64(face(BLUE, NIGHT)), date_of_birth="1990-01-01")["status"] == "passed"
    young = check(client, "age", image=b64(face(BLUE, NIGHT)), date_of_birth="2015-01-01")
    assert codes(young) == ["age_differs"] and young["difference"] > 10
    assert check(client, "age", 422, image=b64(face(BLUE, NIGHT)), date_of_birth="yesterday")["type"].endswith("invalid")


def test_what_is_no_picture_is_refused(client):
    assert check(client, "liveness", 422, image="###")
    assert check(client, "liveness", 400, picture="")
    assert codes(check(client, "liveness", image=b64(b"GIF89a"))) == ["picture_unusable"]
    assert check(client, "liveness", 422, image=b64(bytes((12 << 20) + 1)))["violations"][0]["pointer"] == "/image"


def test_whoever_is_on_their_document_is_approved(place, client, workflow):
    now, reports = gone_through(client, workflow, face(BLUE, NIGHT), face(BLUE, NIGHT))
    assert now["status"] == "approved", reports
    assert {node: one["assurance"] for node, one in reports.items()} == {
        "document": "heuristic", "me": "biometric", "there": "biometric", "old": "biometric", "same": "biometric", "others": "biometric"}
    assert reports["same"]["values"]["score"] > 0.99 and reports["others"]["values"]["people"] == 0
    assert reports["same"]["report"]["models"][1]["licence"] == "Apache-2.0"
    recorded = [e for e in place.audit("--kind", "idv_check")][-1]["unmapped"]
    assert recorded["check"] == "face_search" and recorded["assurance"] == "biometric"
    now, reports = gone_through(client, workflow, face(BLUE, NIGHT), face(GOLD, GOLD))
    assert now["status"] == "declined" and reports["same"]["status"] == "failed"


def test_a_picture_of_the_wrong_thing_is_taken_again(client, workflow):
    session = begin(client, workflow)
    give(client, session, node="document", image={"image": b64(face(BLUE, NIGHT))})
    for wrong, code in ((faces.nobody(), "face_not_found"), (faces.two(), "several_faces")):
        given = give(client, session, node="me", selfie={"consent": True, "image": b64(wrong)})
        assert codes(given["report"]) == [code] and given["session"]["awaiting"][0]["node"] == "me"
    given = give(client, session, node="me", selfie={"consent": True, "image": b64(face(BLUE, NIGHT))})
    assert given["report"]["faces"] == 1 and given["session"]["awaiting"] == []
    give(client, session, 409, node="me", selfie={"consent": True, "image": b64(face(BLUE, NIGHT))})
    settled(client, session, "approved")


def test_the_face_of_a_chip_is_compared(place, client):
    made = Passport()
    made.groups[2] = faces.group((HERE / "tests/clients/portrait.jp2").read_bytes())
    made.sod = made.country.sod(made.groups)
    trust(place, made.country.authority.der)
    flow = published(client, graph("emrtd"))
    for me, verdict in ((face(BLUE, NIGHT), "passed"), (face(GOLD, GOLD), "failed")):
        session = begin(client, flow)
        chip = give(client, session, node="document", emrtd=made.read())
        assert chip["report"]["assurance"] == "cryptographic"
        give(client, session, node="me", selfie={"consent": True, "image": b64(me)})
        settled(client, session, "approved", "declined", "in_review")
        decision = client.get(f"{SESSIONS}/{session['id']}/decision").json()
        same = next(one for one in decision["reports"] if one["node"] == "same")
        assert same["status"] == verdict, same
        kinds = [one["kind"] for one in client.get(f"{SESSIONS}/{session['id']}/pictures").json()["items"]]
        assert kinds == ["portrait", "selfie"]


def test_pictures_are_for_whoever_may_see_them_and_the_log_says_who_did(place, client, workflow):
    now, _ = gone_through(client, workflow, face(BLUE, NIGHT), face(BLUE, NIGHT))
    here = f"{SESSIONS}/{now['id']}/pictures"
    kept = client.get(here).json()["items"]
    assert [(one["node"], one["kind"]) for one in kept] == [("document", "document"), ("me", "selfie")]
    image = base64.b64decode(client.get(f"{here}/me").json()["image"])
    assert image.startswith(b"\xff\xd8") and b"Exif" not in image
    shown = [e for e in place.audit("--kind", "idv_session") if e["unmapped"]["change"] == "picture_shown"]
    assert shown[-1]["entity"]["uid"] == now["id"] and shown[-1]["unmapped"]["node"] == "me"
    assert client.get(f"{here}/there").status_code == client.get(f"{here}/../x").status_code == 404
    assert place.operator(scope="aml").get(f"{here}/me").status_code == 403
    # Nothing of it is readable where it is stored.
    assert b"\xff\xd8\xff\xe0" not in b"".join(path.read_bytes() for path in place.data.glob("*.db*"))
    assert client.delete(f"{SESSIONS}/{now['id']}").status_code == 200
    assert client.get(f"{here}/me").status_code in (404, 410)


def test_two_pictures_are_compared_in_the_console(place, client, workflow, tmp_path):
    now, _ = gone_through(client, workflow, face(BLUE, NIGHT), face(BLUE, NIGHT))
    told = entered(place, tmp_path, "compare", {"id": now["id"]}, place.facts()["admin"])["told"]
    assert told["masked"] == 0 and told["compared"] == ["document", "me"]


def test_whoever_a_chip_proved_is_known_again_and_nobody_else(place, client):
    made = Passport()
    made.groups[2] = faces.group((HERE / "tests/clients/portrait.jp2").read_bytes())
    made.sod = made.country.sod(made.groups)
    trust(place, made.country.authority.der)
    nodes = {**graph("emrtd", keep="P30D")["nodes"]}
    nodes["document"]["require"] = ["passive"]
    # Whoever it is looks much younger than the document says.
    nodes["there"]["next"] = nodes.pop("old")["next"]
    flow = published(client, {**graph("emrtd"), "nodes": nodes})
    step_up = published(client, {"schema": "idv.workflow/1", "start": "me", "nodes": {
        "me": {"type": "check", "check": "selfie", "next": "same"},
        "same": {"type": "check", "check": "face_match", "from": "enrolled", "on_unsupported": {"set": "failed"}, "next": "end"},
        "end": {"type": "decide", "rule": "fold"},
    }})
    who, me = uuid.uuid4().hex, face(BLUE, NIGHT)

    def again(reference, picture):
        return gone_through(client, step_up, picture, reference=reference)[0]["status"]

    assert again(who, me) == "declined", "nobody is known yet"
    # Somebody else is approved under the same name, by a workflow that asks for no chip: they are not known by it.
    weak, _ = gone_through(client, published(client, ALONE), face(BLUE, WHITE), reference=who)
    assert weak["status"] == "approved"
    session = begin(client, flow, reference=who)
    give(client, session, node="document", emrtd=made.read())
    give(client, session, node="me", selfie={"consent": True, "image": b64(me)})
    assert settled(client, session, "approved", "declined", "in_review")["status"] == "approved"
    assert again(who, me) == "approved"
    assert again(who, face(GOLD, GOLD)) == again(who, face(BLUE, WHITE)) == again("another", me) == "declined"
    for one in (session, weak):
        assert client.delete(f"{SESSIONS}/{one['id']}").status_code == 200
    assert again(who, me) == "declined"


def test_an_account_is_known_again_by_the_face_of_its_owner_alone(place, client):
    def document(picture, **zone):
        made = Passport()
        made.groups[1] = passport.zone_group(passport.zone(expiry=EXPIRY, **zone))
        made.groups[2] = faces.group(picture)
        made.sod = made.country.sod(made.groups)
        trust(place, made.country.authority.der)
        return made

    nodes = graph("emrtd", keep="P30D")["nodes"]
    nodes["document"]["require"] = ["passive"]
    nodes["there"]["next"] = nodes.pop("old")["next"]
    plain = {**graph("emrtd"), "nodes": nodes}
    verifying = published(client, {**plain, "verifies": {"trust_framework": "eidas", "from": "document"}})
    step_up = published(client, {"schema": "idv.workflow/1", "start": "me", "nodes": {
        "me": {"type": "check", "check": "selfie", "next": "same"},
        "same": {"type": "check", "check": "face_match", "from": "enrolled", "on_unsupported": {"set": "failed"}, "next": "end"},
        "end": {"type": "decide", "rule": "fold"},
    }})
    name = f"vera{uuid.uuid4().hex[:6]}"
    place.new_user(name)
    users = place.operator().get("/api/admin/v1/users", params={"limit": 200}).json()["items"]
    vera = next(user["id"] for user in users if user["username"] == name)
    own, foreign = face((60, 90, 240), NIGHT), face(WHITE, (60, 60, 241))
    hers, theirs = document(own), document(foreign, birth="700101", name="MALLORY<<MAX")

    def goes(flow, made, picture, **whose):
        session = begin(client, flow, **whose)
        give(client, session, node="document", emrtd=made.read())
        give(client, session, node="me", selfie={"consent": True, "image": b64(picture)})
        return settled(client, session, "approved", "declined", "in_review")

    def again(picture):
        return gone_through(client, step_up, picture, account=vera, reference=vera)[0]["status"]

    assert goes(verifying, hers, own, account=vera, reference=vera)["status"] == "approved"
    assert again(own) == "approved"
    # Somebody else with a document of their own: for the same account, by a workflow that verifies nobody, and as if the account were a name.
    for flow, whose in ((verifying, {"account": vera, "reference": vera}), (published(client, plain), {"account": vera, "reference": vera}), (verifying, {"reference": vera})):
        assert goes(flow, theirs, foreign, **whose)["status"] in ("approved", "in_review")
        assert again(foreign) == "declined" and again(own) == "approved"
    assert client.delete(f"/idv/v1/accounts/{vera}/identities").status_code == 204
    assert again(own) == "declined", "what is taken back is taken back with its face"


def test_a_chip_without_its_face_is_not_compared_with_the_one_before(place, client):
    forged, real = Passport(), Passport()
    forged.groups[2] = faces.group((HERE / "tests/clients/portrait.jp2").read_bytes())
    forged.sod = forged.country.sod(forged.groups)
    trust(place, real.country.authority.der)
    nodes = graph("emrtd")["nodes"]
    nodes["document"]["next"] = "known"
    nodes["known"] = {"type": "branch", "cases": [{"id": "no", "when": {"cel": "document.chain != 'verified'"}, "goto": "document"}], "else": "me"}
    nodes["document"]["visits"] = {"max": 3, "over": "end"}
    looped = {**graph("emrtd"), "nodes": nodes}
    session = begin(client, published(client, looped))
    give(client, session, node="document", emrtd=forged.read())
    alone = real.read()
    alone["data_groups"].pop("2")
    give(client, session, node="document", emrtd=alone)
    assert client.get(f"{SESSIONS}/{session['id']}/pictures").json()["items"] == []
    give(client, session, node="me", selfie={"consent": True, "image": b64(face(BLUE, NIGHT))})
    assert settled(client, session, "approved", "declined", "in_review")["status"] != "approved"


def test_an_age_is_looked_at_again_with_another_document(place, client):
    flow = published(client, {"schema": "idv.workflow/1", "start": "document", "nodes": {
        "document": {"type": "check", "check": "mrz", "on_unsupported": {"set": "review"}, "next": "me"},
        "me": {"type": "check", "check": "selfie", "next": "old"},
        "old": {"type": "check", "check": "age_estimation", "next": "end"},
        "end": {"type": "decide", "rule": "fold"},
    }})
    session = begin(client, flow)
    give(client, session, node="document", mrz={"mrz": LINES})
    give(client, session, node="me", selfie={"consent": True, "image": b64(face(BLUE, NIGHT))})
    settled(client, session, "in_review")
    staff = officer(place, f"olga{uuid.uuid4().hex[:6]}", "idv")

    def difference():
        reports = client.get(f"{SESSIONS}/{session['id']}/decision").json()["reports"]
        return next(one for one in reports if one["node"] == "old")["values"].get("difference")

    assert difference() < -10
    asked = staff.post(f"{SESSIONS}/{session['id']}/resubmit", json={"version": show(client, session)["version"], "nodes": ["document"], "reason_code": "AGAIN"})
    assert asked.status_code == 200, asked.text
    give(client, session, node="document", unsupported="lost")
    settled(client, session, "in_review")
    assert difference() is None, "nothing says any more how old they are"


def test_a_picture_in_jpeg_2000_cannot_harm(client):
    good = (HERE / "tests/clients/portrait.jp2").read_bytes()
    at = good.index(b"\xff\x4f\xff\x51")
    bombs = []
    for offset, value in ((8, b"\xff" * 8), (24, b"\0\0\0\1" * 2), (40, b"\xff\xff"), (43, b"\xff\xff")):
        bombs.append(good[:at + offset] + value + good[at + offset + len(value):])
    for bomb in bombs:
        report = check(client, "face-match", image=b64(face(BLUE, NIGHT)), portrait=b64(bomb))
        assert codes(report) == ["portrait_unusable"]
        # Nor is it taken where a picture of a person is asked for.
        assert codes(check(client, "liveness", image=b64(bomb))) == ["picture_unusable"]
    assert codes(check(client, "liveness", image=b64(good))) == ["picture_unusable"]


def test_nobody_is_measured_who_did_not_agree(client, workflow):
    session = begin(client, workflow)
    give(client, session, node="document", image={"image": b64(face(BLUE, NIGHT))})
    give(client, session, 422, node="me", selfie={"consent": False, "image": b64(face(BLUE, NIGHT))})
    give(client, session, 400, node="me", selfie={"image": b64(face(BLUE, NIGHT))})
    given = give(client, session, node="me", selfie={"consent": True, "image": b64(face(BLUE, NIGHT))})
    assert given["report"]["consent"] == "by_caller"


def test_faces_that_are_kept_are_found_by_others_until_they_are_erased(client):
    flow = published(client, ALONE)
    me = face(BLUE, (20, 80, 201))
    who = uuid.uuid4().hex
    first, reports = gone_through(client, flow, me, reference=who)
    assert first["status"] == "approved" and reports["others"]["values"]["people"] == 0
    again, reports = gone_through(client, flow, me, reference=who)
    assert reports["others"]["values"]["people"] == 0, "they are themselves"
    other, reports = gone_through(client, flow, me, reference="another")
    assert other["status"] == "in_review" and reports["others"]["values"]["people"] == 1
    found = client.post("/idv/v1/faces/search", json={"image": b64(me), "limit": 50}).json()
    assert {first["id"], again["id"], other["id"]} == {one["session"] for one in found["matches"]}
    for session in (again, other):
        assert client.delete(f"{SESSIONS}/{session['id']}").status_code == 200
    found = client.post("/idv/v1/faces/search", json={"image": b64(me)}).json()
    assert [one["session"] for one in found["matches"]] == [first["id"]]
    assert found["matches"][0]["reference"] == who
    assert client.post("/idv/v1/faces/search", json={"image": b64(me), "limit": 51}).status_code == 422
    client.delete(f"{SESSIONS}/{first['id']}")


def test_a_face_on_a_list_is_blocked(client, workflow):
    named = client.post("/idv/v1/lists", json={"name": f"banned-{uuid.uuid4().hex[:6]}", "purpose": "block"}).json()
    me = face(NIGHT, BLUE)
    added = client.post(f"/idv/v1/lists/{named['id']}/faces", json={"image": b64(me), "note": "hired a double"})
    assert added.status_code == 201, added.text
    entries = client.get(f"/idv/v1/lists/{named['id']}/entries").json()["items"]
    assert [(one["id"], one["kind"], one["note"]) for one in entries] == [(added.json()["id"], "face", "hired a double")]
    now, reports = gone_through(client, workflow, me, me)
    assert now["status"] == "declined" and codes(reports["others"]["report"]) == ["face_blocked"]
    assert reports["others"]["report"]["found"]["lists"] == [named["name"]]
    assert client.delete(f"/idv/v1/lists/{named['id']}").status_code == 204
    assert gone_through(client, workflow, me, me)[0]["status"] == "approved"
    assert client.post(f"/idv/v1/lists/{named['id']}/faces", json={"image": b64(me)}).status_code == 404


def test_graphs_that_look_at_no_picture_are_refused(client):
    def problems(change):
        made = json.loads(json.dumps(graph("image")))
        change(made["nodes"])
        found = client.post("/idv/v1/workflows/validate", json={"graph": made}).json()
        return {(one["code"], one.get("node")) for one in found["problems"]}

    assert problems(lambda nodes: None) == set()
    assert ("input_missing", "there") in problems(lambda nodes: nodes["document"].update(next="there") or nodes.pop("me"))
    assert problems(lambda nodes: nodes["same"].pop("from")) == {("input_missing", "same")}
    assert problems(lambda nodes: nodes["same"].update({"from": "me"})) == {("input_missing", "same")}
    assert problems(lambda nodes: nodes["there"].update(keep="P1D")) == {("form", "there")}
    assert problems(lambda nodes: nodes["others"].update(keep="PT1H")) == {("limit", "others")}


def pinned(place):
    served = ssl.get_server_certificate(("127.0.0.1", place.ports["PUBLIC"]))
    key = x509.load_pem_x509_certificate(served.encode()).public_key()
    return base64.b64encode(hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()).decode()


def test_a_person_takes_a_picture_of_themselves(place, client, tmp_path):
    session = begin(client, published(client, ALONE), reference=uuid.uuid4().hex)
    sight = tmp_path / "sight.y4m"
    sight.write_bytes(faces.film(BLUE, NIGHT))
    command = ["node", "browser_selfie.mjs", pinned(place), sight, tmp_path / "pictures", session["url"]]
    run = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=240)
    assert run.returncode == 0, run.stderr
    said = json.loads(run.stdout)
    assert said["complaints"] == [] and said["hint"] == "Good" and said["unsent"]
    assert "kept encrypted for 24 hours at most" in said["told"] and "not kept" not in said["told"]
    assert len(said["seen"]) == 2 * 5
    for page in said["seen"]:
        assert page["violations"] == [] and page["passes"] >= 10 and page["overflow"] <= 0, page
    assert show(client, session)["status"] == "approved"
    client.delete(f"{SESSIONS}/{session['id']}")


def test_without_scripts_nothing_is_taken_before_they_agree(place, client):
    session = begin(client, published(client, ALONE), reference=uuid.uuid4().hex)
    browser = Browser(place)
    here = browser.begin(session)
    assert "I agree that my face is measured to verify me" in browser.page.text and "for 30 days" in browser.page.text
    assert heading(browser.submit(here, file=face(BLUE, NIGHT))) == "Take a picture of yourself"
    assert "somebody else in the picture" in browser.submit(here, file=faces.two(), agree="yes")
    done = browser.submit(here, file=face(WHITE, BLUE), agree="yes")
    until(lambda: heading(browser.get(here)) == "You are verified", "verified")
    assert "several_faces" not in done
    client.delete(f"{SESSIONS}/{session['id']}")


def test_without_models_nothing_is_claimed():
    with Demo() as place:
        client = place.operator(scope="idv")
        for name, body in (("face-match", {"portrait": b64(face(BLUE, NIGHT))}), ("liveness", {}), ("age", {})):
            report = check(client, name, image=b64(face(BLUE, NIGHT)), **body)
            assert report["status"] == "not_performed" and codes(report) == ["no_model"] and report["models"] == []
        now, reports = gone_through(client, published(client, graph("image")), face(BLUE, NIGHT), face(BLUE, NIGHT))
        assert now["status"] == "in_review"
        assert {one["status"] for node, one in reports.items() if node != "document"} == {"not_performed"}


def test_models_that_are_not_what_was_described_stop_the_start(tmp_path):
    models = tmp_path / "models"
    shutil.copytree(MODELS, models)
    (models / "embedding.onnx").write_bytes((MODELS / "embedding.onnx").read_bytes() + b"\0")
    config = DEMO + f'\n[verification]\nmodels = "{models}"\n'
    with pytest.raises(Exception, match="embedding.onnx|SHA-256|exited|started") as stopped:
        with Demo(config=config):
            pass
    assert stopped
