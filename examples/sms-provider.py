#!/usr/bin/env python3
"""A provider of text messages, by the contract `idv.sms/1` (docs/check-providers.md): writes each message into a directory
instead of sending it, for trying things out and as a pattern for one that talks to an operator of telephones. Nothing
but the standard library of Python.

    sms-provider.py --directory out --secret-file secret --certificate server.pem [--port 8600]
"""

import argparse
import hashlib
import json
import os
import time

from signed_server import SignedServer, arguments


class Provider(SignedServer):
    def __init__(self, args):
        super().__init__(args.port, args.secret_file, args.certificate)
        self.directory = args.directory
        os.makedirs(self.directory, exist_ok=True)

    def answer(self, message):
        if message["schema"] != "idv.sms/1" or not message["to"].startswith("+"):
            raise ValueError
        if time.time() > message["expires_at"]:
            # Nobody needs it any more: taken, and not sent.
            return 200, {"sent": False}
        # By its key, so that a message that comes twice is one.
        name = hashlib.sha256(message["id"].encode()).hexdigest()[:16]
        path = os.path.join(self.directory, f"{name}.json")
        with open(path + ".new", "w", encoding="utf-8") as file:
            json.dump({"to": message["to"], "text": message["text"]}, file)
        os.replace(path + ".new", path)
        return 200, {"sent": True}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--directory", required=True)
    arguments(parser)
    Provider(parser.parse_args()).run()


if __name__ == "__main__":
    main()
