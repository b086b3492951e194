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


UN = """<?xml version="1.0" encoding="UTF-8"?>
<CONSOLIDATED_LIST dateGenerated="2026-01-0{day}T00:00:00Z"><INDIVIDUALS>{people}</INDIVIDUALS></CONSOLIDATED_LIST>
"""


def individual(reference, first, second, born="1970"):
    birth = f"<INDIVIDUAL_DATE_OF_BIRTH><TYPE_OF_DATE>EXACT</TYPE_OF_DATE><YEAR>{born}</YEAR></INDIVIDUAL_DATE_OF_BIRTH>"
    return f"<INDIVIDUAL><REFERENCE_NUMBER>{reference}</REFERENCE_NUMBER><FIRST_NAME>{first}</FIRST_NAME><SECOND_NAME>{second}</SECOND_NAME>{birth}</INDIVIDUAL>"


def aml(data, command, *arguments):
    return subprocess.run([BINARY, "aml", command, "--data", data, *map(str, arguments)], capture_output=True, text=True, timeout=120)


def import_un(tmp_path, day, people, *arguments):
    file = tmp_path / "un.xml"
    file.write_text(UN.format(day=day, people="".join(people)))
    return aml(tmp_path / "data", "import", "--list", "un", "--format", "un-xml", "--file", file, *arguments)


def lists(data):
    return [json.loads(line) for line in aml(data, "lists", "--json").stdout.splitlines()]


PEOPLE = [individual(f"QDi.{number:03}", name, "Zawahiri") for number, name in enumerate(["Ayman", "Omar", "Tariq", "Yusuf", "Samir", "Karim", "Hani", "Walid"])]


def test_a_list_becomes_a_version_beside_the_one_before(tmp_path):
    first = import_un(tmp_path, 1, PEOPLE)
    assert first.returncode == 0 and "8 entities (8 added, 0 changed, 0 removed" in first.stdout, first.stderr
    assert "is what it was" in import_un(tmp_path, 2, PEOPLE).stdout, "another date of the same entities is no new version"
    changed = [*PEOPLE[1:7], individual("QDi.007", "Walid", "Zawahiri", born="1971"), individual("QDi.100", "Boris", "Ivanov")]
    second = import_un(tmp_path, 3, changed)
    assert "8 entities (1 added, 1 changed, 1 removed" in second.stdout, second.stderr
    (info,) = lists(tmp_path / "data")
    assert info["published"] == "2026-01-03T00:00:00Z" and len(info["digest"]) == 64 and info["removed"] == 1


def test_a_list_that_shrinks_or_breaks_changes_nothing(tmp_path):
    import_un(tmp_path, 1, PEOPLE)
    before = lists(tmp_path / "data")
    shrunk = import_un(tmp_path, 2, PEOPLE[:3])
    assert shrunk.returncode == 1 and "5 of 8 entities would be gone" in shrunk.stderr
    file = tmp_path / "cut.xml"
    file.write_text(UN.format(day=1, people="".join(PEOPLE)).split("</INDIVIDUALS>")[0])
    cut = aml(tmp_path / "data", "import", "--list", "un", "--format", "un-xml", "--file", file)
    assert cut.returncode == 1 and "not whole" in cut.stderr
    wrong = aml(tmp_path / "data", "import", "--list", "un", "--format", "eu-xml", "--file", tmp_path / "un.xml")
    assert "the root is `CONSOLIDATED_LIST`, not `export`" in wrong.stderr
    assert lists(tmp_path / "data") == before
    assert not list((tmp_path / "data/screening/un").glob("new-*")), "nothing half done is left"
    assert import_un(tmp_path, 2, PEOPLE[:3], "--allow-removals").returncode == 0


def test_somebody_is_looked_for_on_all_lists(tmp_path):
    import_un(tmp_path, 1, PEOPLE)
    data = tmp_path / "data"
    run = aml(data, "screen", "--name", "أيمن الظواهري", "--schema", "Person", "--birth-date", "1970", "--explain")
    answer = json.loads(run.stdout)
    assert answer["match"] and answer["hits"][0]["id"] == "QDi.000" and answer["policy"] == "balanced"
    assert answer["lists"] == [{"name": "un", "version": lists(data)[0]["version"]}]
    assert '"zawahiri" the same' in answer["hits"][0]["text"]
    assert not json.loads(aml(data, "screen", "--name", "Grace Hopper").stdout)["match"]
    assert json.loads(aml(data, "screen", "--name", "Zawahiri, Omar").stdout)["hits"][0]["id"] == "QDi.001", "a person or a company"
    subjects = tmp_path / "subjects.jsonl"
    subjects.write_text("".join(json.dumps(person(name)) + "\n" for name in ["Tariq Zawahiri", "Nobody Known"]))
    answers = [json.loads(line) for line in aml(data, "screen", "--file", subjects).stdout.splitlines()]
    assert [answer["match"] for answer in answers] == [True, False]
    assert "there is no list eu" in aml(data, "screen", "--name", "x", "--list", "eu").stderr
    assert "no list has been imported yet" in aml(tmp_path / "nothing", "screen", "--name", "x").stderr
    assert "is no schema" in aml(data, "screen", "--name", "x", "--schema", "Persona").stderr


def test_a_damaged_version_is_not_screened_against(tmp_path):
    import_un(tmp_path, 1, PEOPLE)
    (entities,) = (tmp_path / "data/screening/un").glob("*/entities.jsonl")
    entities.write_text(entities.read_text().replace("Ayman", "Aymam"))
    run = aml(tmp_path / "data", "screen", "--name", "Ayman Zawahiri")
    assert run.returncode == 1 and "is not what was imported" in run.stderr


def test_an_index_that_is_missing_or_damaged_is_made_again(tmp_path):
    import_un(tmp_path, 1, PEOPLE)
    (index,) = (tmp_path / "data/screening/un").glob("*/index")
    whole = index.read_bytes()
    screen = lambda: aml(tmp_path / "data", "screen", "--name", "Ayman Zawahiri").stdout
    answer = screen()
    assert json.loads(answer)["match"]
    for break_it in [index.unlink, lambda: index.write_bytes(whole[:-1]), lambda: index.write_bytes(whole[:70] + b"!" + whole[71:]), lambda: index.write_bytes(b"")]:
        break_it()
        assert screen() == answer
        assert index.read_bytes() == whole


def versions(directory):
    """Of each version of a list, the oldest first, its directory."""
    return sorted(path for path in directory.iterdir() if (path / "list.json").exists())


def test_a_new_version_gets_an_index_of_what_is_new_alone(tmp_path):
    data, names = tmp_path / "data", [f"{first} {last}" for first in ["Ann", "Boris", "Chen", "Dmitri", "Edith", "Farid", "Goran", "Hana"] for last in ["Lindqvist", "Kuznetsov", "Okonkwo", "Tanaka", "Ferreira", "Haddad"]]
    file = tmp_path / "entities.json"

    def imported(entities, *arguments):
        file.write_text("".join(json.dumps({"id": number, **person(name)}) + "\n" for number, name in entities.items()))
        run = aml(data, "import", "--list", "os", "--format", "ftm", "--file", file, *arguments)
        assert run.returncode == 0, run.stderr
        return versions(data / "screening/os")[-1]

    def screened(data=data):
        runs = [aml(data, "screen", "--name", name, "--threshold", "0.3").stdout for name in ["Ann Lindqvist", "Gil Soto", "Boris Haddad", "Maria Okonkwo"]]
        return [[(hit["id"], hit["score"]) for hit in json.loads(run)["hits"]] for run in runs]

    entities = {f"p{number}": name for number, name in enumerate(names)}
    first = imported(entities)
    assert not (first / "index-update").exists()
    # One is gone, one is another, one is new; the order is another in one place.
    del entities["p11"]
    entities = {"new": "Gil Soto", **entities, "p3": "Ann Tanakka", "p0": entities.pop("p0")}
    second = imported(entities)
    assert (second / "index").stat().st_ino == (first / "index").stat().st_ino
    assert 0 < (second / "index-update").stat().st_size < (first / "index").stat().st_size
    found = screened()
    assert found[0][0][0] == "p0" and found[1][0][0] == "new" and "p11" not in [id for id, _ in found[2]]

    # It is what an index of all of it finds.
    whole, update = (second / "index").read_bytes(), (second / "index-update").read_bytes()
    again = tmp_path / "again"
    aml(again, "import", "--list", "os", "--format", "ftm", "--file", file)
    assert screened(again) == found

    # The next one is told from the same whole index.
    entities["p5"] = "Ann Hadad"
    third = imported(entities)
    assert (third / "index").stat().st_ino == (first / "index").stat().st_ino
    assert screened()[0][0][0] == "p0"

    # What is missing, damaged or does not belong there is made again, of all of it, and nobody else's is touched.
    for number, break_it in enumerate([(third / "index-update").unlink, lambda: (third / "index-update").write_bytes(update), lambda: (third / "index-update").write_bytes(b"pcidx"), (third / "index").unlink]):
        if number > 0:
            (third / "index").write_bytes(whole)
        break_it()
        assert screened()[0][0][0] == "p0"
        assert not (third / "index-update").exists()
        own = (third / "index").read_bytes()
        assert own != whole and (first / "index").read_bytes() == whole and (second / "index-update").read_bytes() == update

    # After much has changed a whole one is made.
    changed = imported({id: name + "a" if number % 2 else name for number, (id, name) in enumerate(entities.items())})
    assert not (changed / "index-update").exists() and (changed / "index").read_bytes() not in (own, whole)
    assert screened()[1][0][0] == "new"


def test_changes_of_a_list_are_applied(tmp_path):
    data, full, delta = tmp_path / "data", tmp_path / "entities.json", tmp_path / "delta.json"
    entity = lambda name, number: {"id": f"p{number}", **person(name)}
    full.write_text("".join(json.dumps(entity(name, number)) + "\n" for number, name in enumerate(["Ann Lee", "Bo Diaz", "Cy Young", "Di Novak", "Ed Moss", "Flo Kerr"])))
    changes = [{"op": "MOD", "entity": entity("Ann Leigh", 0)}, {"op": "DEL", "entity": {"id": "p1"}}, {"op": "ADD", "entity": entity("Gil Soto", 9)}]
    delta.write_text("".join(json.dumps(change) + "\n" for change in changes))
    arguments = ("import", "--list", "os", "--format", "ftm", "--file")
    assert "import all of it first" in aml(data, *arguments, delta, "--delta").stderr
    assert aml(data, *arguments, full).returncode == 0
    assert "6 entities (1 added, 1 changed, 1 removed" in aml(data, *arguments, delta, "--delta").stdout


def test_a_table_of_ones_own(tmp_path):
    table, columns = tmp_path / "vip.csv", tmp_path / "columns.json"
    table.write_text("No;Family name;Given name;Born;Other names\n1;Curie;Marie;1867-11-07;Sklodowska|Skłodowska-Curie\n2;;;;\n")
    columns.write_text(json.dumps({"delimiter": ";", "id": "No", "schema": "Person", "values": "|", "properties": {"lastName": ["Family name"], "firstName": ["Given name"], "birthDate": ["Born"], "alias": ["Other names"]}}))
    data = tmp_path / "data"
    arguments = ("import", "--list", "vip", "--format", "csv", "--file", table, "--columns", columns)
    assert "line 4: it has neither a name nor a number" in aml(data, *arguments).stderr.replace("the record that ends on ", "")
    assert aml(data, *arguments, "--skip-malformed").returncode == 0
    assert json.loads(aml(data, "screen", "--name", "Marie Curie", "--schema", "Person").stdout)["match"]
    columns.write_text(json.dumps({"properties": {"name": ["Nom"]}}))
    assert "does not name the columns Nom" in aml(data, "import", "--list", "vip", "--format", "csv", "--file", table, "--columns", columns).stderr


def test_a_malformed_record_ends_the_import_unless_it_may_be_skipped(tmp_path):
    file = tmp_path / "entities.json"
    file.write_text(json.dumps({"id": "a", **person("Ann Lee")}) + "\n{broken\n")
    arguments = ("import", "--list", "os", "--format", "ftm", "--file", file)
    run = aml(tmp_path / "data", *arguments)
    assert run.returncode == 1 and "line 2: key must be a string" in run.stderr
    run = aml(tmp_path / "data", *arguments, "--skip-malformed")
    assert run.returncode == 0 and "1 records skipped" in run.stdout and "skipped line 2" in run.stderr


def test_a_broken_version_is_replaced_and_said_so(tmp_path):
    import_un(tmp_path, 1, PEOPLE)
    (entities,) = (tmp_path / "data/screening/un").glob("*/entities.jsonl")
    entities.write_text("")
    shrunk = import_un(tmp_path, 2, PEOPLE[:3])
    assert shrunk.returncode == 1 and "--allow-removals" in shrunk.stderr, "damage is no way to shrink a list"
    run = import_un(tmp_path, 2, PEOPLE)
    assert run.returncode == 0 and "cannot be compared" in run.stderr, run.stderr
    assert json.loads(aml(tmp_path / "data", "screen", "--name", "Ayman Zawahiri").stdout)["match"]


def test_values_that_are_gone_are_seen(tmp_path):
    file = tmp_path / "entities.json"
    line = lambda number, **more: json.dumps({"id": f"p{number}", **person(f"Name{number} Family{number}", **more)}) + "\n"
    file.write_text("".join(line(n, birthDate="1970", country="fr") for n in range(10)))
    arguments = ("import", "--list", "os", "--format", "ftm", "--file", file)
    assert aml(tmp_path / "data", *arguments).returncode == 0
    file.write_text("".join(line(n) for n in range(10)))
    run = aml(tmp_path / "data", *arguments)
    assert run.returncode == 1 and "20 of 30 values" in run.stderr
    assert aml(tmp_path / "data", *arguments, "--allow-removals").returncode == 0


def test_changes_keep_what_others_say_of_an_entity(tmp_path):
    data, full, delta = tmp_path / "data", tmp_path / "entities.json", tmp_path / "delta.json"
    passport = {"id": "x1", "schema": "Passport", "properties": {"holder": ["p1"], "number": ["AA1234567"]}}
    full.write_text("".join(json.dumps(line) + "\n" for line in [passport, {"id": "p1", **person("Ann Lee")}, {"id": "t", "schema": "Trust", "properties": {"name": ["T"]}}]))
    run = aml(data, "import", "--list", "os", "--format", "ftm", "--file", full)
    assert "schema Trust (1)" in run.stderr
    delta.write_text(json.dumps({"op": "MOD", "entity": {"id": "p1", **person("Ann Leigh")}}) + "\n")
    assert aml(data, "import", "--list", "os", "--format", "ftm", "--file", delta, "--delta").returncode == 0
    answer = json.loads(aml(data, "screen", "--name", "Ann Leigh", "--schema", "Person", "--explain").stdout)
    assert answer["hits"][0]["properties"]["passportNumber"] == ["AA1234567"]


def test_one_import_of_a_list_at_a_time(tmp_path):
    import fcntl

    import_un(tmp_path, 1, PEOPLE)
    half = tmp_path / "data/screening/un/new-0000"
    half.mkdir()
    with open(tmp_path / "data/screening/un/lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "another import of the list un is running" in import_un(tmp_path, 2, PEOPLE).stderr
    assert half.exists()
    assert import_un(tmp_path, 2, PEOPLE).returncode == 0 and not half.exists()


def test_a_list_that_was_renamed_is_not_trusted(tmp_path):
    import_un(tmp_path, 1, PEOPLE)
    lists_of = tmp_path / "data/screening"
    (lists_of / "un").rename(lists_of / "eu")
    assert "it was copied or renamed" in aml(tmp_path / "data", "screen", "--name", "x").stderr
    (lists_of / "eu").rename(lists_of / "un")
    (lists_of / "un/current").unlink()
    assert "there is no list un" in aml(tmp_path / "data", "screen", "--name", "x").stderr
