"""Writes small files in the MaxMind DB format (version 2.0), such as GeoLite2-City and GeoIP2-Anonymous-IP."""

import ipaddress
import struct

MARKER = b"\xab\xcd\xefMaxMind.com"


class U16(int):
    """An unsigned number of 16 bits; others have 32."""

    kind = 5


class U64(int):
    kind = 9


def encode(value):
    """A value of the data section."""
    def control(kind, size):
        assert size < 285
        first, more = (size, b"") if size < 29 else (29, bytes([size - 29]))
        return (bytes([kind << 5 | first]) if kind < 8 else bytes([first, kind - 7])) + more

    if isinstance(value, bool):
        return control(14, int(value))
    if isinstance(value, dict):
        return control(7, len(value)) + b"".join(encode(name) + encode(one) for name, one in value.items())
    if isinstance(value, list):
        return control(11, len(value)) + b"".join(map(encode, value))
    if isinstance(value, str):
        return control(2, len(value.encode())) + value.encode()
    if isinstance(value, float):
        return control(3, 8) + struct.pack(">d", value)
    digits = value.to_bytes((value.bit_length() + 7) // 8, "big")
    return control(getattr(value, "kind", 6), len(digits)) + digits


def write(path, kind, networks, built=1_790_000_000):
    """A file with what is known of networks, none of which is within another one."""
    nodes, data, places = [[None, None]], bytearray(), {}
    for network, known in networks.items():
        network = ipaddress.ip_network(network)
        length = network.prefixlen + (96 if network.version == 4 else 0)
        bits = int(network.network_address)
        at = 0
        for place in range(length):
            bit = bits >> (127 - place) & 1
            if place == length - 1:
                places[(at, bit)] = len(data)
                break
            if nodes[at][bit] is None:
                nodes.append([None, None])
                nodes[at][bit] = len(nodes) - 1
            at = nodes[at][bit]
        data += encode(known)
    count = len(nodes)
    for (at, bit), offset in places.items():
        nodes[at][bit] = count + 16 + offset
    tree = b"".join(struct.pack(">II", *(count if side is None else side for side in node)) for node in nodes)
    about = {
        "node_count": count, "record_size": U16(32), "ip_version": U16(6), "database_type": kind, "languages": ["en"],
        "binary_format_major_version": U16(2), "binary_format_minor_version": U16(0), "build_epoch": U64(built),
        "description": {"en": "made for a test"},
    }
    path.write_bytes(tree + b"\0" * 16 + bytes(data) + MARKER + encode(about))
