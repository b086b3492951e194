"""A server that is asked by https with signed questions (Standard Webhooks 1.0), one at a time or many: what the
providers of these examples have in common. Nothing but the standard library of Python."""

import base64
import hashlib
import hmac
import http.server
import json
import ssl
import sys
import time

# A question that is signed may be so old, and so far ahead.
TOLERANCE_SECONDS = 300
BODY_MAX_BYTES = 17 << 20


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


class SignedServer(http.server.ThreadingHTTPServer):
    """Whoever derives from it has `answer(question)`, which tells a status and a value, and raises `ValueError` where it
    cannot read what is asked."""

    daemon_threads = True

    def __init__(self, port, secret_file, certificate):
        super().__init__(("127.0.0.1", port), Handler)
        with open(secret_file, encoding="ascii") as file:
            self.secret = file.read().strip()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        # The handshake is the matter of the thread of a connection: one that is silent holds up nobody.
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def run(self):
        print(f"https://127.0.0.1:{self.server_address[1]}", flush=True)
        self.serve_forever()


def arguments(parser):
    """What each of them needs to be told."""
    parser.add_argument("--secret-file", required=True, help="whsec_…")
    parser.add_argument("--certificate", required=True, help="PEM, with the key")
    parser.add_argument("--port", type=int, default=8600)


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
            if question["id"] != self.headers["idempotency-key"]:
                raise ValueError
            status, value = self.server.answer(question)
        except (AttributeError, KeyError, TypeError, ValueError):
            return self.reply(400, {"error": "the question cannot be read"})
        return self.reply(status, value)

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
