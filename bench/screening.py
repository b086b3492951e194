#!/usr/bin/env python3
"""How well names are matched: precision, recall, F1, AUC and calibration for each group of labelled pairs,
beside plain Levenshtein, Jaro-Winkler and a weighted ratio (rapidfuzz).

    cargo build --release -p portcullis-server
    pip install rapidfuzz
    python3 bench/screening.py                      # the labelled pairs of this folder
    python3 bench/screening.py --lists DIR          # and pairs made from lists of OFAC and the UN

DIR holds `ofac/sdn.csv`, `ofac/alt.csv` and `un_consolidated.xml`, as these publish them. Pairs from lists
are split by entity: what `--half tune` shows may be looked at, `--half report` is for figures.
"""
import argparse
import bisect
import csv
import json
import math
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import unicodedata
import xml.etree.ElementTree as ElementTree
from collections import defaultdict
from pathlib import Path

HERE = Path(__file__).resolve().parent
BINARY = Path(os.environ.get("PORTCULLIS_BIN", HERE.parent / "target/release")) / "portcullis"


def read(path):
    return [json.loads(line) for line in open(path, encoding="utf-8") if line.strip()]


def key(pair):
    """The two names, whichever comes first."""
    name = lambda side: " ".join(re.findall(r"\w+", " ".join(pair[side]["properties"]["name"]).casefold()))
    return tuple(sorted((name("left"), name("right"))))


def ours(pairs, policy):
    """Scores by the binary, as a user would ask for them."""
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl", encoding="utf-8") as file:
        for pair in pairs:
            file.write(json.dumps({"left": pair["left"], "right": pair["right"]}, ensure_ascii=False) + "\n")
        file.flush()
        run = subprocess.run([BINARY, "aml", "compare", "--file", file.name, "--policy", policy], capture_output=True, text=True, check=True)
    answers = [json.loads(line) for line in run.stdout.splitlines()]
    assert len(answers) == len(pairs), "an answer for each pair"
    return [answer["score"] for answer in answers]


def peers():
    """Name, scorer from 0 to 1, threshold. The weighted ratio is used with the threshold of 93 that a vendor
    documents for it."""
    from rapidfuzz import distance, fuzz, utils

    fold = lambda name: " ".join(unicodedata.normalize("NFKC", name).casefold().split())
    return {
        "Levenshtein": (lambda a, b: distance.Levenshtein.normalized_similarity(fold(a), fold(b)), 0.70),
        "Jaro-Winkler": (lambda a, b: distance.JaroWinkler.similarity(fold(a), fold(b)), 0.90),
        "weighted ratio": (lambda a, b: fuzz.WRatio(a, b, processor=utils.default_process) / 100, 0.93),
    }


def measure(rows, threshold):
    """(score, label) rows to figures."""
    same = sorted(score for score, label in rows if label)
    other = sorted(score for score, label in rows if not label)
    above = lambda scores, at: len(scores) - bisect.bisect_left(scores, at)
    hit, alarm = above(same, threshold), above(other, threshold)
    f1 = lambda at: 2 * above(same, at) / max(1, above(same, at) + above(other, at) + len(same))
    below = sum(bisect.bisect_left(other, s) + (bisect.bisect_right(other, s) - bisect.bisect_left(other, s)) / 2 for s in same)
    return {
        "precision": hit / max(1, hit + alarm),
        "recall": hit / max(1, len(same)),
        "f1": f1(threshold),
        "best": max(f1(step / 100) for step in range(1, 100)),
        "auc": below / max(1, len(same) * len(other)),
    }


def table(title, pairs, policy, threshold):
    scores = {"Portcullis": (ours(pairs, policy), threshold)}
    names = [(pair["left"]["properties"]["name"][0], pair["right"]["properties"]["name"][0]) for pair in pairs]
    for peer, (scorer, at) in peers().items():
        scores[peer] = ([scorer(*both) for both in names], at)
    print(f"\n### {title}\n")
    print("| group | same + different | scorer | precision | recall | F1 | best F1 | AUC |\n|---|---|---|---|---|---|---|---|")
    groups = sorted({pair["group"] for pair in pairs}) + ["all"]
    for group in groups:
        chosen = [at for at, pair in enumerate(pairs) if group in ("all", pair["group"])]
        same = sum(pairs[at]["label"] for at in chosen)
        for scorer, (values, at) in scores.items():
            m = measure([(values[i], pairs[i]["label"]) for i in chosen], at)
            size = f"{same} + {len(chosen) - same}" if scorer == "Portcullis" else ""
            name = group if scorer == "Portcullis" else ""
            print(f"| {name} | {size} | {scorer} @ {at} | {m['precision']:.3f} | {m['recall']:.3f} | {m['f1']:.3f} | {m['best']:.3f} | {m['auc']:.3f} |")
    calibration(scores["Portcullis"][0], [pair["label"] for pair in pairs])


def calibration(scores, labels):
    """The score is the square root of a probability at even shares: what came out of each band."""
    same, other = sum(labels), len(labels) - sum(labels)
    print("\n| score | promised share of the same | found | pairs |\n|---|---|---|---|")
    error, weight = 0.0, 0
    for low, high in [(0, 0.3), (0.3, 0.5), (0.5, 0.7), (0.7, 0.8), (0.8, 0.9), (0.9, 0.95), (0.95, 0.98), (0.98, 1.01)]:
        band = [(score, label) for score, label in zip(scores, labels) if low <= score < high]
        if not band:
            continue
        hits = sum(label for _, label in band) / same
        misses = sum(not label for _, label in band) / other
        found = hits / (hits + misses)
        promised = statistics.mean(score * score for score, _ in band)
        error, weight = error + abs(found - promised) * len(band), weight + len(band)
        print(f"| {low:.2f} to {min(high, 1):.2f} | {promised:.2f} | {found:.2f} | {len(band)} |")
    print(f"\nExpected calibration error: {error / weight:.3f}")


# Pairs from lists


def entities(lists):
    """Names of each entity: {key: (schema, names, names in original script)}."""
    found = {}
    for row in csv.reader(open(lists / "ofac/sdn.csv", encoding="cp1252")):
        if len(row) >= 12:
            schema = {"individual": "Person", "vessel": "Vessel", "aircraft": "Airplane"}.get(row[2].strip(), "Company")
            found["o" + row[0]] = (schema, [row[1].strip()], [])
    for row in csv.reader(open(lists / "ofac/alt.csv", encoding="cp1252")):
        if len(row) >= 4 and "o" + row[0].strip() in found:
            found["o" + row[0].strip()][1].append(row[3].strip())
    root = ElementTree.parse(lists / "un_consolidated.xml").getroot()
    for tag, schema in (("INDIVIDUAL", "Person"), ("ENTITY", "Company")):
        for entry in root.iter(tag):
            text = lambda name, of=entry: (of.findtext(name) or "").strip()
            names = [" ".join(filter(None, map(text, ("FIRST_NAME", "SECOND_NAME", "THIRD_NAME", "FOURTH_NAME"))))]
            for alias in entry.iter(tag + "_ALIAS"):
                if text("ALIAS_NAME", alias) and text("QUALITY", alias) in ("Good", "a.k.a."):
                    names.append(text("ALIAS_NAME", alias))
            original = [text("NAME_ORIGINAL_SCRIPT")]
            found["u" + text("DATAID")] = (schema, names, [name for name in original if name and not name.isascii()])
    return merged(found)


def words(name):
    plain = "".join(c for c in unicodedata.normalize("NFKD", name.lower()) if not unicodedata.combining(c))
    return set(re.findall(r"[a-z0-9]+", re.sub(r"\([^)]*\)|['’‘`]", "", plain)))


LEGAL = set("co company ltd limited llc inc corp corporation sa de cv ltda gmbh ag plc jsc ojsc pjsc ooo zao oao sal group holding the".split())


def merged(found):
    """The same name in any order, legal forms aside, is the same entity on two lists."""
    parent = {key: key for key in found}

    def root(key):
        while parent[key] != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key

    by_name = {}
    for key, (schema, names, _) in found.items():
        for name in names:
            telling = "".join(sorted(words(name) - LEGAL))
            if len(telling) > 5:
                other = by_name.setdefault((schema, telling), key)
                parent[root(key)] = root(other)
    out = {}
    for key, (schema, names, original) in found.items():
        entry = out.setdefault(root(key), (schema, [], []))
        entry[1].extend(name for name in names if name not in entry[1])
        entry[2].extend(original)
    return out


def trigrams(name):
    plain = "".join(sorted(words(name)))
    letters = re.sub("[^a-z0-9]", "", name.lower())
    return {letters[at : at + 3] for at in range(len(letters) - 2)} or {plain}


def variant(rng, schema, name):
    """What forms and typing make of a name; never the name itself."""
    while True:
        other = changed(rng, schema, name)
        if other.split() != name.replace(",", " ").split():
            return other


def changed(rng, schema, name):
    parts = name.replace(",", " ").split()
    for _ in range(rng.choice([1, 1, 2])):
        kind, at = rng.randrange(6), rng.randrange(len(parts))
        if kind == 0 and len(parts[at]) > 3:
            word, place = parts[at], rng.randrange(1, len(parts[at]) - 1)
            parts[at] = rng.choice([word[:place] + word[place + 1 :], word[:place] + word[place + 1] + word[place] + word[place + 2 :], word[:place] + word[place] + word[place:]])
        elif kind == 1 and schema == "Person":
            rng.shuffle(parts)
        elif kind == 2 and schema == "Person" and len(parts) > 2:
            parts.pop(at)
        elif kind == 3 and schema == "Person" and len(parts) > 2:
            parts[max(at, 1)] = parts[max(at, 1)][0] + "."
        elif kind == 4 and len(parts) > 1:
            at = rng.randrange(len(parts) - 1)
            parts[at : at + 2] = [parts[at] + parts[at + 1]]
        elif kind == 5:
            parts[at] = parts[at].replace("O", "0", 1) if len(parts[at]) > 4 else parts[at].title()
    return " ".join(parts)


def from_lists(lists, half):
    rng = random.Random(20261128)
    found = entities(lists)
    index = defaultdict(set)

    def near(key, schema, name):
        own, shared = words(name), defaultdict(int)
        for word in sorted(own):
            for candidate in index[schema, word] if len(index[schema, word]) < 400 else ():
                if candidate[0] != key:
                    shared[candidate] += 1
        # Who has all the words of the other may well be the same by name.
        telling = own - LEGAL
        different = [c for c in shared if words(c[1]) - LEGAL - telling and telling - words(c[1])]
        return sorted(different, key=lambda c: (-shared[c] / len(own | words(c[1])), c))

    # Pairs are made within one half: nothing of the other is seen.
    keys = sorted(found)
    rng.shuffle(keys)
    keys = keys[half == "report" :: 2]
    for key in keys:
        schema, names, _ = found[key]
        for name in names:
            for word in words(name):
                index[schema, word].add((key, name))
    pairs = []

    def add(group, label, schema, left, right):
        side = lambda name: {"schema": schema, "properties": {"name": [name]}}
        pairs.append({"group": group, "label": label, "left": side(left), "right": side(right)})

    for key in keys:
        schema, names, original = found[key]
        group = {"Person": "people", "Company": "companies"}.get(schema, "objects")
        strong = [name for name in names if schema != "Person" or len(words(name)) > 1]
        if len(strong) > 1:
            a, b = rng.sample(strong, 2)
            grams = trigrams(a), trigrams(b)
            if a != b and len(grams[0] & grams[1]) / len(grams[0] | grams[1]) > 0.3:
                add(group, True, schema, a, b)
                for candidate in near(key, schema, a)[:1]:
                    add(group, False, schema, a, candidate[1])
        for candidate in near(key, schema, names[0])[:1]:
            add("hard negatives", False, schema, names[0], candidate[1])
            if rng.random() < 0.4:
                add("hard negatives", True, schema, names[0], variant(rng, schema, names[0]))
            add("synthetic variations", True, schema, names[0], variant(rng, schema, names[0]))
            add("synthetic variations", False, schema, names[0], variant(rng, schema, candidate[1]))
        for name in original:
            part = re.split("[;؛،\n]", name)[0].strip()
            other = found[rng.choice([k for k in keys if k != key and found[k][0] == schema])]
            add("cross-script", True, schema, names[0], part)
            add("cross-script", False, schema, other[1][0], part)
    return pairs


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lists", type=Path)
    parser.add_argument("--half", choices=["tune", "report"], default="report")
    parser.add_argument("--policy", default="balanced")
    parser.add_argument("--threshold", type=float, default=0.70)
    parser.add_argument("--write", type=Path, help="write the pairs from lists instead of measuring")
    arguments = parser.parse_args()
    if arguments.write:
        with open(arguments.write, "w", encoding="utf-8") as file:
            file.writelines(json.dumps(pair, ensure_ascii=False) + "\n" for pair in from_lists(arguments.lists, arguments.half))
        return
    held_out, looked_at = [{key(pair) for name in names for pair in read(HERE / f"screening/{name}.jsonl")} for names in [("report", "report-2"), ("tuning", "tuning-2", "tuning-3")]]
    assert not held_out & looked_at, "a pair that is held out was looked at"
    for title, file in [
        ("Held out: written and chosen by others than the matcher", "report"),
        ("Held out, second set: written by somebody who saw neither the matcher nor other pairs", "report-2"),
        ("Looked at while tuning", "tuning"),
        ("Looked at while tuning, second set", "tuning-2"),
        ("Looked at while tuning, third set", "tuning-3"),
    ]:
        table(title, read(HERE / f"screening/{file}.jsonl"), arguments.policy, arguments.threshold)
    if arguments.lists:
        table(f"From lists, {arguments.half} half", from_lists(arguments.lists, arguments.half), arguments.policy, arguments.threshold)


if __name__ == "__main__":
    sys.exit(main())
