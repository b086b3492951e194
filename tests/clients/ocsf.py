"""Whether the entries of an audit log are valid OCSF 1.8.0, whatever it was that happened in a test.

Reads the files of the log as they are, personal fields sealed. `crates/events` looks at more (types of
values, siblings); this looks at what only a whole product can show: that nothing else is ever written."""
import functools
import json
import re
from pathlib import Path

SCHEMA = Path(__file__).parents[2] / "crates/events/tests/data/ocsf-1.8.0.json"
# Entries that say the same with other values are looked at once.
MOST_BYTES = 8 * 1024 * 1024
FIT = {
    "boolean_t": lambda value: isinstance(value, bool),
    "integer_t": lambda value: type(value) is int and -2**31 <= value < 2**31,
    "long_t": lambda value: type(value) is int,
    "float_t": lambda value: isinstance(value, (int, float)),
    "string_t": lambda value: isinstance(value, str),
    "json_t": lambda value: True,
}


@functools.cache
def schema():
    return json.loads(SCHEMA.read_text())


def entries(directory):
    """The whole entries of a log: what a crash left half written ends it."""
    file = Path(directory) / "entries"
    if not file.exists():
        return
    with file.open("rb") as log:
        data = log.read(MOST_BYTES)
    at, minimum = 0, file.with_name("minimum")
    if minimum.exists():
        place = int(minimum.read_text().split()[0]) // 256 * 8
        at = int.from_bytes(file.with_name("offsets").read_bytes()[place:place + 8], "big") or len(data)
    while at + 2 <= len(data):
        end = at + 2 + int.from_bytes(data[at:at + 2], "big")
        if end > len(data):
            return
        try:
            yield json.loads(data[at + 2:end])
        except ValueError:
            # A log that goes on from another begins with the last checkpoint of that.
            if at > 0:
                return
        at = end


def form(value):
    """The shape of an entry: names, and the values of enumerations."""
    if isinstance(value, dict):
        return tuple((name, one if name.endswith("_id") else form(one))
                     for name, one in sorted(value.items()) if name != "unmapped")
    return tuple(sorted({form(one) for one in value})) if isinstance(value, list) else type(value).__name__


def check(event):
    shape = schema()["classes"].get(str(event.get("class_uid")))
    if not shape:
        return [f"class {event.get('class_uid')}"]
    profiles = set(event["metadata"].get("profiles", []))
    wrong = [] if event["type_uid"] == event["class_uid"] * 100 + event["activity_id"] else ["type_uid"]
    looked_at(event, shape, profiles, shape["name"], wrong)
    return wrong


def looked_at(value, shape, profiles, at, wrong):
    if not isinstance(value, dict):
        return wrong.append(f"{at} is no object")
    attributes = {name: one for name, one in shape["attributes"].items()
                  if not one.get("profiles") or profiles & set(one["profiles"])}
    wrong += [f"{at}.{name} is missing" for name, one in attributes.items()
              if one["requirement"] == "required" and name not in value]
    wrong += [f"{at} has none of {names}" for names in shape["constraints"].values()
              if not set(names) & value.keys()]
    for name, member in value.items():
        one, here = attributes.get(name), f"{at}.{name}"
        if not one:
            wrong.append(f"{here} is no attribute")
            continue
        for item in member if one.get("is_array") and isinstance(member, list) else [member]:
            if one.get("object_type") not in (None, "object"):
                looked_at(item, schema()["objects"][one["object_type"]], profiles, here, wrong)
            elif one["type"] != "object_t":
                about = schema()["types"][one["type"]]
                if not FIT[about.get("type", one["type"])](item) or not re.match(about.get("regex", ""), str(item)):
                    wrong.append(f"{here} is no {one['type']}: {item}")
            if "enum" in one and str(item) not in one["enum"]:
                wrong.append(f"{here} has the unknown value {item}")
            if item == 99 and one.get("sibling") and one["sibling"] not in value:
                wrong.append(f"{here} is 99 without {one['sibling']}")


def check_log(directory):
    seen = set()
    for event in entries(directory):
        kind = (event["metadata"]["event_code"], form(event))
        if kind not in seen:
            seen.add(kind)
            wrong = check(event)
            assert not wrong, f"not valid OCSF: {wrong} in {json.dumps(event)}"
    return seen
