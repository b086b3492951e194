"""Names are compared from the command line, as a bank's own scripts would do it."""

import json
import subprocess

from portcullis import BIN

BINARY = BIN / "portcullis"


def compare(lines, *arguments):
    text = "".join((line if isinstance(line, str) else json.dumps(line, ensure_ascii=False)) + "\n" for line in lines)
    return subprocess.run([BINARY, "aml", "compare", "--file", "-", *arguments], input=text, capture_output=True, text=True, timeout=60)


def person(name, **properties):
    return {"schema": "Person", "properties": {"name": [name], **{key: [value] for key, value in properties.items()}}}


def pair(left, right):
    return {"left": left, "right": right}


def scores(lines, *arguments):
    run = compare(lines, *arguments)
    assert run.returncode == 0, run.stderr
    return [json.loads(line) for line in run.stdout.splitlines()]


def test_each_line_is_answered_in_order():
    answers = scores(
        [
            pair(person("Muammar al-Qadhafi"), person("Moammar Gaddafi")),
            pair(person("Ali Hassan"), person("Ahmed Hassan")),
            pair({"schema": "Company", "properties": {"name": ["ООО Ромашка"]}}, {"schema": "Company", "properties": {"name": "Romashka LLC"}}),
            pair(person("Ada"), {"schema": "Company", "properties": {"name": ["Ada"]}}),
        ]
    )
    assert [answer["match"] for answer in answers] == [True, False, True, False]
    assert all(set(answer) == {"score", "match"} and 0 <= answer["score"] <= 1 for answer in answers)


def test_reasons_are_data_and_text():
    (answer,) = scores([pair(person("Vladimir Putin", birthDate="1952-10-07"), person("Путин Владимир", birthDate="1952-07-10"))], "--explain")
    assert answer["match"]
    assert answer["reasons"]["qualifiers"][0]["kind"] == "birth_swapped"
    assert {part["left"] for part in answer["reasons"]["names"]["parts"]} == {"vladimir", "putin"}
    assert "day and month swapped" in answer["text"]


def test_policies_are_named_or_ones_own(tmp_path):
    near = [pair(person("Maria Lopez", birthDate="1980-01-01"), person("Maria Lopes", birthDate="1990-05-05"))]
    balanced, strict = scores(near)[0]["score"], scores(near, "--policy", "strict")[0]["score"]
    assert strict > balanced, "what speaks against counts half"
    own = tmp_path / "own.json"
    own.write_text(json.dumps({"name": "own", "threshold": 0.99, "qualifiers": {"birth_different": 0}}))
    (answer,) = scores(near, "--policy", own)
    assert answer["score"] > strict and not answer["match"]
    assert scores(near, "--threshold", "0.1")[0]["match"]


def test_what_is_wrong_is_said_with_its_place(tmp_path):
    good = pair(person("a b"), person("a b"))
    run = compare([good, '{"left": {"schema": "Person"}}'])
    assert run.returncode == 1 and len(run.stdout.splitlines()) == 1
    assert "line 2" in run.stderr and "`properties` is missing" in run.stderr
    assert "not JSON" in compare(["{"]).stderr
    assert "longer than" in compare([json.dumps(pair(person("x" * 2_000_000), person("y")))]).stderr
    assert "balanced and strict" in compare([good], "--policy", "nothing").stderr
    assert "threshold must be between 0 and 1" in compare([good], "--threshold", "7").stderr
    own = tmp_path / "own.json"
    own.write_text('{"treshold": 0.5}')
    assert "unknown field" in compare([good], "--policy", own).stderr
    assert "is not UTF-8" in subprocess.run([BINARY, "aml", "compare", "--file", "-"], input=b"\xff\xfe\n", capture_output=True, timeout=60).stderr.decode()
