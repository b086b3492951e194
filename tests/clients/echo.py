"""A service that tells what it was sent."""

import http.server
import json
import threading


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        if self.headers.get("transfer-encoding") == "chunked":
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
        seen = {
            "method": self.command, "path": self.path, "body": body.decode("latin1"),
            "headers": {name.lower(): value for name, value in self.headers.items()},
        }
        self.server.seen.append(seen)
        status, headers, body = self.server.reply(seen)
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = answer

    def log_message(self, *_):
        pass


def tell(seen):
    return 200, [("content-type", "application/json")], json.dumps(seen).encode()


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 1024

    def handle_error(self, request, address):
        """Whoever hangs up is nothing to report."""


class Echo:
    def __init__(self, reply=tell):
        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.seen, self.server.reply, self.server.daemon_threads = [], reply, True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def port(self):
        return self.server.server_address[1]

    @property
    def seen(self):
        return self.server.seen
