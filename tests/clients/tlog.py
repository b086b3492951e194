"""What an auditor computes alone: notes (C2SP signed-note) and proofs (C2SP tlog-proof, RFC 9162)."""

import base64
import hashlib

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def leaf(entry):
    return hashlib.sha256(b"\x00" + entry).digest()


def opened(note, vkey):
    """The lines of a note that the key signed."""
    origin, _, key = vkey.split("+", 2)
    text, signatures = note.split("\n\n")
    text += "\n"
    dash, who, signature = signatures.strip().split(" ")
    assert (dash, who) == ("\u2014", origin)
    raw, public = base64.b64decode(signature), base64.b64decode(key)
    assert raw[:4] == hashlib.sha256(origin.encode() + b"\n" + public).digest()[:4]
    Ed25519PublicKey.from_public_bytes(public[1:]).verify(raw[4:], text.encode())
    told, size, tree = text.splitlines()
    assert told == origin
    return int(size), base64.b64decode(tree)


def proven(entry, text, vkey):
    """The index of the entry, if the proof leads from it to the signed root (RFC 9162, section 2.1.3.2)."""
    head, _, checkpoint = text.partition("\n\n")
    kind, index, *path = head.split("\n")
    assert kind == "c2sp.org/tlog-proof@v1"
    index = int(index.removeprefix("index "))
    size, tree = opened(checkpoint, vkey)
    assert index < size
    seen, at, last = leaf(entry), index, size - 1
    for sibling in map(base64.b64decode, path):
        assert last, "the path is too long"
        if at % 2 or at == last:
            seen = hashlib.sha256(b"\x01" + sibling + seen).digest()
            while not at % 2 and at:
                at, last = at // 2, last // 2
        else:
            seen = hashlib.sha256(b"\x01" + seen + sibling).digest()
        at, last = at // 2, last // 2
    assert last == 0 and seen == tree
    return index
