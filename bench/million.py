#!/usr/bin/env python3
"""Writes a made-up list of entities of any length, and queries for it, to measure an index.

    python3 bench/million.py 1000000 /tmp/million.jsonl --queries /tmp/queries.jsonl
    python3 bench/million.py 1000000 /tmp/names.jsonl --queries /tmp/queries.jsonl --names

Words are made letter by letter as those of the OFAC and UN lists follow each other (`crates/screening/tests/
lists`), and used as often as names of people are: a few by very many, most by hardly anybody. A third of the
entities has no alias, the others up to six; aliases differ as spellings do. Nobody in it exists.
"""
import argparse
import csv
import io
import json
import random
import re
import zlib
from bisect import bisect
from collections import Counter, defaultdict
from itertools import accumulate
from pathlib import Path

LISTS = Path(__file__).resolve().parent.parent / "crates/screening/tests/lists"
FORMS = ["Ltd", "LLC", "GmbH", "S.A.", "JSC", "Limited", "Co., Ltd.", "B.V.", "Inc.", "OOO"]
COUNTRIES = "ru ua by cn ir iq sy kp af pk lb ly ye so sd ve cu mx co br us gb de fr it es tr ae sa eg in id ph th vn jp kr ng za".split()


class Words:
    """Words like those it has seen, some far more often than others."""

    def __init__(self, seen, count, rng, steepness):
        follows = defaultdict(Counter)
        for word in seen:
            padded = f"^^{word}$"
            for at in range(len(padded) - 2):
                follows[padded[at : at + 2]][padded[at + 2]] += 1
        words = dict.fromkeys(seen)
        while len(words) < count:
            word = "^^"
            while not word.endswith("$") and len(word) < 18:
                letters = follows[word[-2:]]
                word += rng.choices(list(letters), list(letters.values()))[0]
            if word.endswith("$") and 5 <= len(word) - 3 <= 14:
                words[word[2:-1]] = None
        self.words = list(words)
        rng.shuffle(self.words)
        self.total = list(accumulate(1 / (rank + 8) ** steepness for rank in range(len(self.words))))
        self.rng = rng

    def pick(self):
        return self.words[bisect(self.total, self.rng.random() * self.total[-1])]


def names_of_lists():
    text = zlib.decompress((LISTS / "sdn.csv.zlib").read_bytes()).decode("latin-1")
    people, others = [], []
    for row in csv.reader(io.StringIO(text)):
        if len(row) > 2:
            words = re.findall(r"[a-z]{3,}", row[1].lower())
            (people if row[2] == "individual" else others).append((row[1], words))
    return people, others


def slip(word, rng):
    """Another spelling."""
    swaps = [("kh", "h"), ("y", "i"), ("ou", "u"), ("ee", "i"), ("k", "q"), ("z", "s"), ("v", "w"), ("ph", "f"), ("o", "u"), ("e", "i"), ("a", "e")]
    rng.shuffle(swaps)
    for a, b in swaps:
        if a in word[1:]:
            return word[0] + word[1:].replace(a, b, 1)
    at = rng.randrange(1, len(word))
    return word[:at] + word[at] + word[at:]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("count", type=int)
    parser.add_argument("out", type=Path)
    parser.add_argument("--queries", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--names", action="store_true", help="so many names, of fewer entities")
    options = parser.parse_args()
    rng = random.Random(options.seed)
    people, others = names_of_lists()
    given = Words([w[-1] for _, w in people if len(w) > 1], 30_000, rng, 1.0)
    family = Words([w[0] for _, w in people if w], 300_000, rng, 0.8)
    firm = Words([w for _, words in others for w in words], 100_000, rng, 0.9)
    queries, written = [], 0
    with options.out.open("w", encoding="utf-8") as out:
        for at in range(options.count):
            if options.names and written >= options.count:
                break
            properties = {}
            kind = rng.random()
            if kind < 0.7:
                schema = "Person"
                words = [given.pick()] + ([given.pick()] if rng.random() < 0.4 else []) + [family.pick()]
                if rng.random() < 0.6:
                    properties["birthDate"] = [f"{rng.randint(1930, 2004)}" + (f"-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}" if rng.random() < 0.8 else "")]
                if rng.random() < 0.5:
                    properties["gender"] = [rng.choice(["male", "male", "male", "female"])]
                properties["topics"] = [rng.choice(["role.pep", "role.pep", "sanction"])]
            elif kind < 0.96:
                schema = "Company"
                words = [firm.pick() for _ in range(rng.randint(1, 4))] + [rng.choice(FORMS)]
            else:
                schema = "Vessel"
                words = [firm.pick() for _ in range(rng.randint(1, 2))] + ([str(rng.randint(1, 20))] if rng.random() < 0.4 else [])
            names = [words]
            while len(names) < 7 and rng.random() < 0.6:
                alias = list(words)
                which = rng.randrange(len(alias))
                if len(alias[which]) > 3 and alias[which].isalpha():
                    alias[which] = slip(alias[which], rng)
                if schema == "Person" and rng.random() < 0.3:
                    alias = alias[-1:] + alias[:-1]
                names.append(alias)
            if rng.random() < 0.7:
                properties["country"] = [rng.choice(COUNTRIES)]
            text = [" ".join(word if word in FORMS else word.capitalize() for word in name) for name in names]
            properties["name"] = text[:1]
            if text[1:]:
                properties["alias"] = list(dict.fromkeys(text[1:]))
            written += 1 + len(properties.get("alias", []))
            out.write(json.dumps({"id": f"made-{at}", "schema": schema, "properties": properties}) + "\n")
            if rng.random() < (9_000 if options.names else 4_000) / options.count:
                queries.append({"schema": schema, "properties": properties | {"name": [rng.choice(text)]}, "made": at})
    if options.queries:
        with options.queries.open("w", encoding="utf-8") as out:
            for query in queries:
                properties = {"name": query["properties"]["name"]}
                kind = rng.random()
                if kind < 0.5:  # nobody of the list, as nearly all customers of a business
                    if query["schema"] == "Person":
                        properties["name"] = [f"{given.pick()} {family.pick()}".title()]
                    elif query["schema"] == "Company":
                        properties["name"] = [" ".join(firm.pick() for _ in range(rng.randint(1, 3))).title() + " " + rng.choice(FORMS)]
                for property in ["birthDate", "country", "gender"]:
                    if property in query["properties"] and rng.random() < 0.7:
                        properties[property] = query["properties"][property]
                out.write(json.dumps({"schema": query["schema"], "properties": properties}) + "\n")


if __name__ == "__main__":
    main()
