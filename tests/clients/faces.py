"""Pictures of faces for models whose answers follow by hand (crates/biometrics/tests/models): a face is where a bright red square is, two are as near as their colours, and whoever is bluer than green was there."""

import base64
import functools
import struct
import zlib

from passport import integer, tlv

BLUE, GREEN, NIGHT, GOLD, WHITE = (60, 60, 240), (60, 230, 60), (20, 80, 200), (240, 220, 10), (255, 255, 255)
SIDE = 640


def rows(faces):
    """320 rows of 320 pixels, each of which is four in the picture."""
    for y in range(SIDE // 2):
        row = []
        for x in range(SIDE // 2):
            pixel = ((30,) * 3, (150,) * 3)[(x // 4 + y // 4) % 2]
            for (column, line), left, right in faces:
                nose = column * 8 + 4, line * 8 + 4
                if 0 <= x + 56 - nose[0] < 112 and 0 <= y + 72 - nose[1] < 112:
                    pixel = left if x < nose[0] else right
                if (x // 8, y // 8) == (column, line):
                    pixel = (255, 0, 0)
            row.append(pixel)
        yield row


def png(faces):
    """The picture as PNG."""
    lines = []
    for row in rows(faces):
        line = b"\0" + b"".join(bytes(pixel) * 2 for pixel in row)
        lines += [line, line]

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", SIDE, SIDE, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"".join(lines))) + chunk(b"IEND", b"")


def film(left, right):
    """What a camera sees in front of which somebody sits: a film of one picture (Y4M)."""
    luma, blue, red = bytearray(), bytearray(), bytearray()
    for row in rows([((17, 20), left, right)]):
        line = bytearray()
        for r, g, b in row:
            y = 0.299 * r + 0.587 * g + 0.114 * b
            line += bytes([round(y)]) * 2
            blue.append(round(min(max(128 + 0.564 * (b - y), 0), 255)))
            red.append(round(min(max(128 + 0.713 * (r - y), 0), 255)))
        luma += line + line
    frame = b"FRAME\n" + bytes(luma + blue + red)
    return b"YUV4MPEG2 W%d H%d F10:1 Ip A1:1 C420jpeg\n" % (SIDE, SIDE) + frame * 2


@functools.cache
def face(left, right):
    return png([((17, 20), left, right)])


def b64(picture):
    return base64.b64encode(picture).decode()


def nobody():
    return png([])


def two():
    return png([((9, 12), BLUE, NIGHT), ((28, 26), GOLD, GOLD)])


def group(image):
    """Data group 2 with a portrait (ISO/IEC 19794-5)."""
    one = struct.pack(">I", 32 + len(image)) + bytes(28) + image
    record = b"FAC\x00010\x00" + struct.pack(">IH", 14 + len(one), 1) + one
    return tlv(0x75, tlv(0x7F61, integer(1), tlv(0x7F60, tlv(0xA1, b""), tlv(0x5F2E, record))))
