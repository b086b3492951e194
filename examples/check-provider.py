#!/usr/bin/env python3
"""A provider of checks, by the contract `idv.provider/1` (docs/check-providers.md): asks a register of people, and looks
at proofs of address. Nothing but the standard library of Python.

    check-provider.py --register people.csv --secret-file secret --certificate server.pem [--port 8600]

The register is a CSV file with the columns surname, given_names and date_of_birth. Looking at a document needs a model
that is not here: one that is handed over is for a person to look at.
"""

import argparse
import csv
import hashlib
import threading
import unicodedata

from signed_server import SignedServer, arguments

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


class Provider(SignedServer):
    def __init__(self, args):
        super().__init__(args.port, args.secret_file, args.certificate)
        self.register = Register(args.register)
        # What was answered before: whoever asks again with the same key gets the same.
        self.answered, self.lock = {}, threading.Lock()

    def answer(self, question):
        if question["schema"] != "idv.provider/1":
            raise ValueError
        found = self.look(question)
        # 422: it is understood, and cannot be done for this person.
        return (200, found) if found else (422, {"error": "nothing to look for"})

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


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--register", required=True)
    arguments(parser)
    Provider(parser.parse_args()).run()


if __name__ == "__main__":
    main()
