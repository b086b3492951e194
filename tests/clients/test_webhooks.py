"""Webhooks about sessions of verification: real receivers over TLS, which are told in order, again after
failures and crashes, and by whom they can know."""

import base64
import threading
import uuid

import pytest
import standardwebhooks
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from portcullis import DEMO, Demo, until
from receivers import Http, authority

HOOKS = "/idv/v1/webhooks"
SESSIONS = "/idv/v1/sessions"
GRAPH = {
    "schema": "idv.workflow/1",
    "start": "tell",
    "nodes": {
        "tell": {"type": "webhook", "event": "hello", "next": "human"},
        "human": {"type": "review"},
    },
}


class Ear(Http):
    """A receiver that believes nobody who does not sign."""

    def __init__(self, files):
        super().__init__(self.hear, files)
        self.told, self.verify, self.public = [], None, None

    def hear(self, _, headers, body):
        message = self.verify.verify(body, dict(headers))
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        signatures = [one.split(",") for one in headers["webhook-signature"].split(" ")]
        ours = [base64.b64decode(value) for kind, value in signatures if kind == "v1a"]
        self.public.verify(ours[0], signed)
        self.told.append((headers["webhook-id"], message))
        return 204, {}, b""

    def trust(self, made):
        self.verify = standardwebhooks.Webhook(made["secret"])
        self.public = Ed25519PublicKey.from_public_bytes(base64.b64decode(made["public_key"].removeprefix("whpk_")))

    def about(self, session):
        return [message for _, message in list(self.told) if message["data"].get("session") == session]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return authority(tmp_path_factory.mktemp("receivers"))


@pytest.fixture(scope="module")
def place(files):
    config = DEMO + f'\n[egress]\nallow = ["127.0.0.0/8", "::1/128"]\nca = "{files / "ca.pem"}"\n'
    with Demo(config) as running:
        yield running
        assert "panicked" not in running.log()


@pytest.fixture
def client(place):
    return place.operator(scope="idv")


@pytest.fixture
def ear(files, client):
    ear = Ear(files)
    made = client.post(HOOKS, json={"url": f"{ear.url}/hooks?key=1", "description": "the test"})
    assert made.status_code == 201, made.text
    ear.trust(made.json())
    ear.id = made.json()["id"]
    yield ear
    client.delete(f"{HOOKS}/{ear.id}")


@pytest.fixture(scope="module")
def workflow(place):
    client = place.operator(scope="idv")
    made = client.post("/idv/v1/workflows", json={"name": "tells", "graph": GRAPH}).json()
    assert client.post(f"/idv/v1/workflows/{made['id']}/publish", json={"revision": 1, "note": ""}).status_code == 200
    return made


def begin(client):
    begun = client.post(SESSIONS, json={"workflow": "tells", "reference": "customer-7"})
    assert begun.status_code == 201, begun.text
    return begun.json()["id"]


def deliveries(client, ear, **query):
    return client.get(f"{HOOKS}/{ear.id}/deliveries", params=query).json()["items"]


def test_a_receiver_knows_what_happened_and_who_says_so(place, client, workflow, ear):
    session = begin(client)
    assert client.post(f"{SESSIONS}/{session}/cancel", json={"reason_code": "LEFT"}).status_code == 200
    told = until(lambda: len(ear.about(session)) == 3 and ear.about(session), "three messages")
    assert [message["data"]["sequence"] for message in told] == [1, 2, 3]
    assert [message["type"] for message in told] == ["idv.session.notified"] + ["idv.session.status_changed"] * 2
    assert (told[0]["data"]["event"], told[0]["data"]["node"]) == ("hello", "tell")
    assert (told[2]["data"]["previous_status"], told[2]["data"]["status"]) == ("in_review", "cancelled")
    assert {message["data"]["reference"] for message in told} == {"customer-7"}
    assert {path for path, _, _ in ear.requests} == {"/hooks?key=1"}
    log = until(lambda: len(done := deliveries(client, ear, status="delivered", session=session)) == 3 and done, "deliveries")
    one = client.get(f"{HOOKS}/{ear.id}/deliveries/{log[0]['id']}").json()
    assert [attempt["status"] for attempt in one["log"]] == [204] and one["body"] == told[2]
    # The secret was shown once, and the log of the house has neither it nor the path.
    shown = client.get(f"{HOOKS}/{ear.id}").json()
    assert "secret" not in shown and shown["pending"] == shown["failed"] == 0
    entries = place.audit("--kind", "admin_idv_webhook")
    assert entries and "whsec_" not in str(entries) and "/hooks" not in str(entries)


def test_who_fails_is_told_again_and_nobody_else_waits_for_it(client, workflow, files, ear):
    slow = threading.Event()
    other = Ear(files)
    other.handle = lambda *_: (slow.wait(30), (204, {}, b""))[1]
    made = client.post(HOOKS, json={"url": other.url, "types": ["idv.session.status_changed"]}).json()
    ear.says(500, b"secret words of somebody else")
    session = begin(client)
    # The first message failed once, and the second came after it all the same, while the other one sleeps.
    told = until(lambda: len(ear.about(session)) == 2 and ear.about(session), "two messages", 60)
    slow.set()
    assert [message["data"]["sequence"] for message in told] == [1, 2]
    failed = next(one for one in deliveries(client, ear) if one["session"] == session and one["sequence"] == 1)
    shown = client.get(f"{HOOKS}/{ear.id}/deliveries/{failed['id']}")
    assert [attempt["status"] for attempt in shown.json()["log"]] == [500, 204]
    assert "secret words" not in shown.text
    until(lambda: len(other.requests) == 1, "the slow one")
    # And once more, if somebody asks for it, under the same id.
    before = len(ear.told)
    assert client.post(f"{HOOKS}/{ear.id}/deliveries/{failed['id']}/replay").status_code == 200
    until(lambda: len(ear.told) > before, "the message again")
    assert ear.told[-1][0] == failed["id"]
    assert client.delete(f"{HOOKS}/{made['id']}").status_code == 204


def test_many_who_are_slow_take_no_place_of_others(client, workflow, files):
    slow, held, others = threading.Event(), [], [Ear(files) for _ in range(9)]

    def hold(*_):
        held.append(1)
        slow.wait(30)
        return 204, {}, b""

    made = []
    for other in others:
        other.handle = hold
        made.append(client.post(HOOKS, json={"url": other.url, "types": ["idv.session.notified"]}).json()["id"])
    for _ in range(4):
        begin(client)
    until(lambda: len(held) >= 36, "all of them hold what they can")
    ear = Ear(files)
    ear.id = (mine := client.post(HOOKS, json={"url": ear.url}).json())["id"]
    ear.trust(mine)
    client.post(f"{HOOKS}/{ear.id}/ping")
    until(lambda: ear.told, "a ping")
    one = until(lambda: deliveries(client, ear, status="delivered"), "its delivery")[0]
    slow.set()
    log = client.get(f"{HOOKS}/{ear.id}/deliveries/{one['id']}").json()["log"]
    assert [attempt["status"] for attempt in log] == [204]
    for id in [ear.id, *made]:
        client.delete(f"{HOOKS}/{id}")


def test_a_receiver_is_tried_changed_and_given_new_keys(client, workflow, ear):
    assert client.post(f"{HOOKS}/{ear.id}/ping").status_code == 201
    until(lambda: ear.told and ear.told[-1][1]["type"] == "idv.ping", "a ping")
    # Whoever has the old keys still knows who it is; whoever has the new ones too.
    made = client.post(f"{HOOKS}/{ear.id}/rotate").json()
    client.post(f"{HOOKS}/{ear.id}/ping")
    until(lambda: len(ear.requests) == 2, "another ping")
    _, headers, body = ear.requests[-1]
    headers = {name.lower(): value for name, value in headers.items()}
    standardwebhooks.Webhook(made["secret"]).verify(body, headers)
    ear.verify.verify(body, headers)
    kinds = [one.split(",")[0] for one in headers["webhook-signature"].split(" ")]
    assert kinds == ["v1", "v1", "v1a", "v1a"]
    ear.trust(made)
    # Who is not enabled hears nothing.
    url = f"{HOOKS}/{ear.id}"
    assert client.patch(url, json={"revision": 1, "enabled": False}).status_code == 409
    changed = client.patch(url, json={"revision": made["revision"], "enabled": False})
    assert (changed.status_code, changed.json()["status"]) == (200, "disabled")
    session = begin(client)
    enabled = client.patch(url, json={"revision": changed.json()["revision"], "enabled": True, "types": ["idv.session.erased"]})
    assert enabled.json()["types"] == ["idv.session.erased"]
    assert client.delete(f"{SESSIONS}/{session}").status_code == 200
    told = until(lambda: ear.about(session), "the erasure")
    assert [message["type"] for message in told] == ["idv.session.erased"] and told[0]["data"]["reference"] == ""
    assert client.post(f"{url}/replay", json={"since": "2026-01-01T00:00:00Z"}).json() == {"messages": 0}


@pytest.mark.parametrize("body, status", [
    ({}, 400), ({"url": 7}, 400), ({"url": "https://a.example", "more": 1}, 400), ({"url": "http://a.example"}, 422),
    ({"url": "https://10.1.2.3/"}, 422), ({"url": "https://[fd00::1]/"}, 422), ({"url": "https://169.254.169.254/"}, 422),
    ({"url": "https://u:p@a.example/"}, 422), ({"url": "https://a.example/" + "x" * 3000}, 422), ({"url": "file:///etc/passwd"}, 422),
    ({"url": "https://a.example", "types": ["idv.nothing"]}, 422), ({"url": "https://a.example", "description": "x" * 201}, 422),
])
def test_what_is_no_receiver_is_refused(client, body, status):
    answer = client.post(HOOKS, json=body)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


def test_what_is_not_there_is_not_found(client, ear):
    other = f"{HOOKS}/whk_{uuid.uuid4().hex[:26]}"
    assert client.get(other).status_code == client.delete(f"{HOOKS}/x").status_code == 404
    assert client.get(f"{HOOKS}/{ear.id}/deliveries/msg_x").status_code == 404
    assert client.get(f"{HOOKS}/{ear.id}/deliveries?status=lost").status_code == 400
    assert client.get(f"{HOOKS}/{ear.id}/deliveries?after=x").status_code == 400
    assert client.post(f"{HOOKS}/{ear.id}/replay", json={"since": "yesterday"}).status_code == 422


def test_whoever_may_not_verify_may_not_listen(place):
    answer = place.operator(scope="aml").post(HOOKS, json={"url": "https://a.example"})
    assert answer.status_code == 403, answer.text


def test_nothing_is_lost_where_the_house_falls_down(files):
    config = DEMO + f'\n[egress]\nallow = ["127.0.0.0/8", "::1/128"]\nca = "{files / "ca.pem"}"\n'
    with Demo(config) as place:
        client = place.operator(scope="idv")
        ear = Ear(files)
        made = client.post(HOOKS, json={"url": ear.url}).json()
        ear.trust(made)
        flow = client.post("/idv/v1/workflows", json={"name": "tells", "graph": GRAPH}).json()
        client.post(f"/idv/v1/workflows/{flow['id']}/publish", json={"revision": 1, "note": ""})
        sessions = [begin(client) for _ in range(25)]
        place.kill()
        place.start()
        until(lambda: all(len({m["data"]["sequence"] for m in ear.about(one)}) == 2 for one in sessions), "all messages", 120)
        for session in sessions:
            order = [message["data"]["sequence"] for message in ear.about(session)]
            # At least once, and never one before the one that it follows.
            assert order == sorted(order) and set(order) == {1, 2}, order
