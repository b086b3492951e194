#!/usr/bin/env python3
"""A provider of checks, by the contract `idv.provider/1` (docs/check-providers.md): asks a register of people, and looks
at proofs of address. Nothing but the standard library of Python.

    check-provider.py --register people.csv --secret-file secret --certificate server.pem [--port 8600]

The register is a CSV file with the columns surname, given_names and date_of_birth. Looking at a document needs a model
that is not here: one that is handed over is for a person to look at.
"""

import argparse
import base64
import csv
import hashlib
import hmac
import http.server
import json
import ssl
import sys
import threading
import time
import unicodedata

# A question that is signed may be so old, and so far ahead.
TOLERANCE_SECONDS = 300
BODY_MAX_BYTES = 17 << 20
REMEMBERED = 10_000


def usual(text):
    """Letters as zones have them: capitals, without accents."""
    plain = unicodedata.normalize("NFKD", text or "").upper()
    return "".join(letter for letter in plain if letter.isalpha())


class Register:
    def __init__(self, path):
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        self.people = {}
        for row in rows:
            self.people.setdefault((usual(row["surname"]), usual(row["given_names"])), set()).add(row["date_of_birth"])

    def answer(self, subject):
        born = self.people.get((usual(subject.get("surname")), usual(subject.get("given_names"))))
        if not subject.get("surname") or not subject.get("date_of_birth"):
            return None
        if born is None:
            return {"status": "failed", "reasons": [reason("person_unknown", "failure")], "values": {"score": 0, "outcome": "none"}}
        if subject["date_of_birth"] not in born:
            return {"status": "review", "reasons": [reason("birth_differs", "doubt")], "values": {"score": 0.5, "outcome": "partial"}}
        return {"status": "passed", "values": {"score": 1, "outcome": "full"}}


def reason(code, severity):
    return {"code": code, "severity": severity}


def signed(secret, headers, body):
    """Standard Webhooks 1.0: who asks, and that it is not an old question."""
    try:
        age = time.time() - int(headers["webhook-timestamp"])
        key = base64.b64decode(secret.removeprefix("whsec_"))
        over = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        own = b"v1," + base64.b64encode(hmac.new(key, over, hashlib.sha256).digest())
        said = headers["webhook-signature"].encode("utf-8", "replace").split(b" ")
    except (AttributeError, KeyError, TypeError, ValueError):
        return False
    return abs(age) < TOLERANCE_SECONDS and any(hmac.compare_digest(own, one) for one in said)


class Provider(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, port, register, secret, certificate):
        super().__init__(("127.0.0.1", port), Handler)
        self.register, self.secret = register, secret
        # What was answered before: whoever asks again with the same key gets the same.
        self.answered, self.lock = {}, threading.Lock()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        # The handshake is the matter of the thread of a connection: one that is silent holds up nobody.
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def look(self, question):
        with self.lock:
            key = question["id"]
            if key not in self.answered:
                if question["check"] == "proof_of_address":
                    found = {"status": "review", "reasons": [reason("not_read", "doubt")]}
                else:
                    found = self.register.answer(question["subject"])
                if len(self.answered) >= REMEMBERED:
                    # The oldest one: dictionaries keep their order.
                    self.answered.pop(next(iter(self.answered)))
                name = hashlib.sha256(key.encode()).hexdigest()[:16]
                self.answered[key] = found and {"id": f"chk_{name}", "version": "1.0", **found}
            return self.answered[key]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30

    def do_POST(self):
        length = self.headers.get("content-length", "")
        if not length.isdigit() or int(length) > BODY_MAX_BYTES:
            return self.reply(413, {})
        body = self.rfile.read(int(length))
        if not signed(self.server.secret, self.headers, body):
            return self.reply(401, {"error": "the signature does not hold"})
        try:
            question = json.loads(body)
            if question["schema"] != "idv.provider/1" or question["id"] != self.headers["idempotency-key"]:
                raise ValueError
            found = self.server.look(question)
        except (AttributeError, KeyError, TypeError, ValueError):
            return self.reply(400, {"error": "the question cannot be read"})
        # 422: it is understood, and cannot be done for this person.
        return self.reply(200, found) if found else self.reply(422, {"error": "nothing to look for"})

    def reply(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, form, *values):
        """Statuses, and nothing of anybody."""
        print(form % values, file=sys.stderr)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--register", required=True)
    parser.add_argument("--secret-file", required=True, help="whsec_…")
    parser.add_argument("--certificate", required=True, help="PEM, with the key")
    parser.add_argument("--port", type=int, default=8600)
    args = parser.parse_args()
    with open(args.secret_file, encoding="ascii") as file:
        secret = file.read().strip()
    server = Provider(args.port, Register(args.register), secret, args.certificate)
    print(f"https://127.0.0.1:{server.server_address[1]}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
