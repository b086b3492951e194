"""Administrators on devices that their maker vouches for; everybody else on any."""

from pathlib import Path

import pytest

from authenticator import Authenticator, Maker
from portcullis import Demo, fields, log_in

CONFIG = (Path(__file__).parents[2] / "crates/server/src/demo.toml").read_text()
PASSWORD = "plum rivet otter canvas"


@pytest.fixture(scope="module")
def maker():
    return Maker()


@pytest.fixture(scope="module")
def strict(tmp_path_factory, maker):
    authorities = tmp_path_factory.mktemp("makers") / "makers.pem"
    authorities.write_text(maker.pem + Maker().pem)
    policy = f'\n[passkeys]\nstaff_attestation_ca = "{authorities}"\nstaff_models = ["{maker.model}"]\n'
    with Demo(CONFIG + policy) as demo:
        yield demo


class Person:
    def __init__(self, demo, source, name):
        self.demo, self.source, self.name = demo, source, name
        self.id = demo.new_user(name)["id"]
        self.browser = demo.client(source)
        assert log_in(self.browser, name, PASSWORD).headers["location"] == "/account"

    def becomes(self, *roles):
        path = f"/api/admin/v1/users/{self.id}/roles"
        assert self.demo.operator().put(path, json={"roles": roles}).status_code == 200
        # A change of roles ends sessions.
        self.browser = self.demo.client(self.source)
        log_in(self.browser, self.name, PASSWORD)
        return self

    def call(self, path, body=None, browser=None):
        browser = browser or self.browser
        csrf = fields(browser.get("/login?return_to=/account/security").text)["csrf"]
        return browser.post(path, json={"csrf": csrf, **(body or {})})

    def add(self, device):
        begun = self.call("/account/passkeys/begin").json()
        body = {"name": "Key", "ceremony": begun["ceremony"], "credential": device.make(begun)}
        return begun["publicKey"], self.call("/account/passkeys", body)

    def use(self, device):
        browser = self.demo.client(self.source)
        begun = self.call("/login/passkey/begin", browser=browser).json()
        body = {"ceremony": begun["ceremony"], "credential": device.sign(begun)}
        return self.call("/login/passkey", body, browser=browser)


def test_an_administrator_has_passkeys_only_on_devices_that_are_vouched_for(strict, source, maker):
    boss = Person(strict, source, "boss").becomes("admin")
    # No word of a maker, the word of another one, and that of an allowed one about another model.
    impostor = Maker(maker.model)
    batch = Maker()
    other_model = Authenticator(strict.issuer, maker)
    other_model.maker = type("Liar", (), {"model": batch.model, "vouch": maker.vouch})
    devices = [Authenticator(strict.issuer), Authenticator(strict.issuer, impostor), other_model]
    for device in devices:
        asked, refused = boss.add(device)
        assert asked["attestation"] == "direct"
        assert refused.status_code == 422, (refused.status_code, refused.text)
        assert boss.use(device).status_code == 401
    good = Authenticator(strict.issuer, maker)
    answer = boss.add(good)[1]
    assert answer.status_code == 201, strict.log()
    assert boss.use(good).status_code == 200


def test_a_passkey_from_before_its_owner_was_staff_logs_nobody_in(strict, source):
    person = Person(strict, source, "promoted")
    device = Authenticator(strict.issuer)
    asked, added = person.add(device)
    # Whoever is not staff is not asked what the device is.
    assert asked["attestation"] == "none" and added.status_code == 201
    assert person.use(device).status_code == 200
    person.becomes("admin")
    assert person.use(device).status_code == 401
    person.becomes()
    assert person.use(device).status_code == 200


@pytest.mark.parametrize("policy,complaint", [
    ('staff_models = ["2fc0579f-8113-47ea-b116-bb5a8db9202a"]', "needs staff_attestation_ca"),
    ('staff_attestation_ca = "ca.pem"\nstaff_models = []', "must both be given"),
    ('staff_attestation_ca = "ca.pem"\nstaff_models = ["YubiKey"]', "an AAGUID such as"),
    ('staff_attestation_ca = "none.pem"\nstaff_models = ["2fc0579f-8113-47ea-b116-bb5a8db9202a"]',
     "not certificates"),
])
def test_r26_a_policy_that_cannot_be_is_refused(tmp_path, demo, maker, policy, complaint):
    (tmp_path / "ca.pem").write_text(maker.pem)
    (tmp_path / "none.pem").write_text(
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    path = tmp_path / "portcullis.toml"
    path.write_text(f"{CONFIG}\n[passkeys]\n{policy}\n")
    done = demo.cli("check", "--config", path, check=False)
    assert done.returncode == 1 and complaint in done.stderr, done.stderr
