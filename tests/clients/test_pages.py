"""The pages in a real browser: readable by everybody, on a phone, in the dark, without a mouse."""

import base64
import hashlib
import json
import ssl
import subprocess
from urllib.parse import urlencode

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from portcullis import pkce


def test_every_page_is_accessible_on_every_screen(demo, tmp_path):
    person = demo.new_user("reader")
    served = ssl.get_server_certificate(("127.0.0.1", demo.ports["PUBLIC"]))
    key = x509.load_pem_x509_certificate(served.encode()).public_key()
    spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    pinned = base64.b64encode(hashlib.sha256(spki).digest()).decode()
    web = demo.facts()["clients"]["web"]
    asked = {"response_type": "code", "client_id": web["client_id"], "redirect_uri": web["redirect_uri"],
             "scope": "openid profile email", "code_challenge": pkce()[1], "code_challenge_method": "S256",
             "prompt": "consent"}
    command = ["node", "browser_pages.mjs", demo.issuer, person["username"], "plum rivet otter canvas", pinned,
               tmp_path, f"{demo.issuer}/oauth2/authorize?{urlencode(asked)}"]
    run = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=240)
    assert run.returncode == 0, run.stderr
    said = json.loads(run.stdout)
    assert len(said["seen"]) == 4 * 14
    for page in said["seen"]:
        where = (page["what"], page["scheme"], page["width"])
        assert page["violations"] == [], where
        assert page["passes"] >= 10, where
        assert page["overflow"] <= 0, where
    # The keyboard comes by every control, in their order, and shows where it is.
    places = [stop["place"] for stop in said["stops"]]
    assert places == sorted(places) and len(places) >= 5, places
    assert all(stop["visible"] for stop in said["stops"]), said["stops"]
