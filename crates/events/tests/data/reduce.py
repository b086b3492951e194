#!/usr/bin/env python3
"""Reduces the compiled schema of OCSF to what a validator looks at.

    reduce.py schema.json > ocsf-1.8.0.json

`schema.json` is what https://github.com/ocsf/ocsf-schema-compiler makes of release 1.8.0 of the schema.
Kept are the classes Portcullis emits, every object reachable from them, all types; captions of
enumerations, because a sibling must repeat them; and no text of description.
"""
import json
import sys

CLASSES = {2004, 3001, 3002, 3003, 3004, 3005, 3006, 6002, 6003}
KEPT = ("type", "object_type", "is_array", "requirement", "sibling", "profiles")

schema = json.load(open(sys.argv[1]))


def attribute(it):
    kept = {key: it[key] for key in KEPT if it.get(key)}
    if "enum" in it:
        kept["enum"] = {value: about["caption"] for value, about in it["enum"].items()}
    if "@deprecated" in it:
        kept["deprecated"] = it["@deprecated"].get("since", True)
    return kept


def shape(it):
    return {
        "attributes": {name: attribute(one) for name, one in sorted(it["attributes"].items())},
        "constraints": it.get("constraints") or {},
    }


classes, objects = {}, {}
for it in schema["classes"].values():
    if it.get("uid") in CLASSES:
        classes[it["uid"]] = shape(it) | {"name": it["name"], "caption": it["caption"],
                                          "category_uid": it["category_uid"],
                                          "profiles": it.get("profiles", [])}
todo = list(classes.values())
while todo:
    for one in todo.pop()["attributes"].values():
        name = one.get("object_type")
        if name and name not in objects:
            objects[name] = shape(schema["objects"][name])
            todo.append(objects[name])
types = {name: {key: it[key] for key in ("type", "regex", "max_len", "range", "values") if key in it}
         for name, it in schema["dictionary"]["types"]["attributes"].items()}
json.dump({"version": schema["version"], "classes": classes, "objects": objects, "types": types},
          sys.stdout, separators=(",", ":"), sort_keys=True)
print()
