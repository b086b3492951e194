#!/usr/bin/env python3
"""Makes chips of travel documents (ICAO 9303-10 to -12): authorities, signers, data groups, and what forgers make.

    python3 tests/clients/passport.py crates/documents/tests/chips.json.zlib

writes the cases that the tests of the crate read: each chip with what must be found out about it. Certificates are
put together by hand, byte by byte, so that they can be wrong in any way; keys and signatures are of `cryptography`
(OpenSSL) and of `ecdsa`, which know nothing of the code under test.
"""
import base64
import datetime
import hashlib
import json
import sys
import zlib

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature

NOW = datetime.datetime(2026, 11, 1, tzinfo=datetime.timezone.utc)
YEAR = datetime.timedelta(days=365)
HASHES = {"sha1": hashes.SHA1(), "sha224": hashes.SHA224(), "sha256": hashes.SHA256(), "sha384": hashes.SHA384(), "sha512": hashes.SHA512()}
HASH_OIDS = {"sha1": "1.3.14.3.2.26", "sha224": "2.16.840.1.101.3.4.2.4", "sha256": "2.16.840.1.101.3.4.2.1", "sha384": "2.16.840.1.101.3.4.2.2", "sha512": "2.16.840.1.101.3.4.2.3"}
CURVES = {"P-192": ec.SECP192R1(), "P-224": ec.SECP224R1(), "P-256": ec.SECP256R1(), "P-384": ec.SECP384R1(), "P-521": ec.SECP521R1(), "brainpoolP256r1": ec.BrainpoolP256R1(), "brainpoolP384r1": ec.BrainpoolP384R1(), "brainpoolP512r1": ec.BrainpoolP512R1()}
CURVE_OIDS = {"P-192": "1.2.840.10045.3.1.1", "P-224": "1.3.132.0.33", "P-256": "1.2.840.10045.3.1.7", "P-384": "1.3.132.0.34", "P-521": "1.3.132.0.35", "brainpoolP192r1": "1.3.36.3.3.2.8.1.1.3", "brainpoolP224r1": "1.3.36.3.3.2.8.1.1.5", "brainpoolP224t1": "1.3.36.3.3.2.8.1.1.6", "brainpoolP256r1": "1.3.36.3.3.2.8.1.1.7", "brainpoolP256t1": "1.3.36.3.3.2.8.1.1.8", "brainpoolP320r1": "1.3.36.3.3.2.8.1.1.9", "brainpoolP320t1": "1.3.36.3.3.2.8.1.1.10", "brainpoolP384r1": "1.3.36.3.3.2.8.1.1.11", "brainpoolP384t1": "1.3.36.3.3.2.8.1.1.12", "brainpoolP512r1": "1.3.36.3.3.2.8.1.1.13", "brainpoolP512t1": "1.3.36.3.3.2.8.1.1.14"}


def digit(text):
    """The check digit of ICAO 9303-3, 4.9."""
    value = lambda letter: 0 if letter == "<" else int(letter, 36)
    return str(sum(value(letter) * (7, 3, 1)[at % 3] for at, letter in enumerate(text)) % 10)


def zone(name="MUSTERMANN<<ERIKA", state="D", number="C01X00T47", birth="640812", sex="F", expiry="310228", kind="P<"):
    """Both lines of a passport, one behind the other."""
    number, birth, expiry = (part + digit(part) for part in (number.ljust(9, "<"), birth, expiry))
    personal = "<" * 15
    line = number + state.ljust(3, "<") + birth + sex + expiry + personal
    return (kind + state.ljust(3, "<") + name).ljust(44, "<") + line + digit(number + birth + expiry + personal)


ZONE = zone()


# DER

def tlv(tag, *pieces):
    value = b"".join(pieces)
    length = len(value)
    if length < 0x80:
        size = bytes([length])
    else:
        digits = length.to_bytes((length.bit_length() + 7) // 8, "big")
        size = bytes([0x80 | len(digits)]) + digits
    return tag.to_bytes(2 if tag > 0xFF else 1, "big") + size + value


def seq(*pieces):
    return tlv(0x30, *pieces)


def set_of(*pieces):
    return tlv(0x31, *sorted(pieces))


def integer(number):
    return tlv(2, number.to_bytes(number.bit_length() // 8 + 1, "big"))


def oid(text):
    first, second, *rest = (int(part) for part in text.split("."))
    out = []
    for part in [first * 40 + second, *rest]:
        septets = [part & 0x7F]
        while part := part >> 7:
            septets.insert(0, part & 0x7F | 0x80)
        out += septets
    return tlv(6, bytes(out))


def octets(value):
    return tlv(4, value)


def bits(value, unused=0):
    return tlv(3, bytes([unused]) + value)


def printable(text):
    return tlv(0x13, text.encode())


NULL = b"\x05\x00"


def when(time):
    if time.year < 2050:
        return tlv(0x17, time.strftime("%y%m%d%H%M%SZ").encode())
    return tlv(0x18, time.strftime("%Y%m%d%H%M%SZ").encode())


# Keys

class RsaKey:
    def __init__(self, size=2048, pss=None):
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=size)
        self.pss = pss  # salt length, or None for PKCS #1 v1.5

    def spki(self):
        return self.key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)

    def algorithm(self, name):
        if self.pss is None:
            number = {"sha1": 5, "sha224": 14, "sha256": 11, "sha384": 12, "sha512": 13}[name]
            return seq(oid(f"1.2.840.113549.1.1.{number}"), NULL)
        hash_ = seq(oid(HASH_OIDS[name]), NULL)
        mask = seq(oid("1.2.840.113549.1.1.8"), hash_)
        return seq(oid("1.2.840.113549.1.1.10"), seq(tlv(0xA0, hash_), tlv(0xA1, mask), tlv(0xA2, integer(self.pss))))

    def sign(self, message, name):
        if self.pss is None:
            return self.key.sign(message, padding.PKCS1v15(), HASHES[name])
        return self.key.sign(message, padding.PSS(padding.MGF1(HASHES[name]), self.pss), HASHES[name])

    def answer(self, challenge, name="sha1"):
        """ISO/IEC 9796-2 scheme 1 with part of the message in the signature."""
        numbers = self.key.private_numbers()
        modulus = numbers.public_numbers.n
        size = (modulus.bit_length() + 7) // 8
        trailer = {"sha1": b"\xbc", "sha224": b"\x38\xcc", "sha256": b"\x34\xcc", "sha384": b"\x36\xcc", "sha512": b"\x35\xcc"}[name]
        length = hashlib.new(name).digest_size
        message = hashlib.sha512(challenge).digest() * 8
        message = message[: size - 1 - length - len(trailer)]
        block = b"\x6a" + message + hashlib.new(name, message + challenge).digest() + trailer
        return pow(int.from_bytes(block, "big"), numbers.d, modulus).to_bytes(size, "big")


class EcKey:
    def __init__(self, curve="P-256", explicit=True):
        self.curve, self.explicit = curve, explicit
        if curve in CURVES:
            self.key = ec.generate_private_key(CURVES[curve])
            point = self.key.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
        else:
            import ecdsa
            name = curve.replace("brainpool", "BRAINPOOL").upper()
            self.key = ecdsa.SigningKey.generate(curve=next(c for c in ecdsa.curves.curves if c.name.upper() == name))
            point = self.key.verifying_key.to_string("uncompressed")
        self.point = point

    def parameters(self):
        if not self.explicit:
            return oid(CURVE_OIDS[self.curve])
        import ecdsa
        names = {"P-192": "NIST192p", "P-224": "NIST224p", "P-256": "NIST256p", "P-384": "NIST384p", "P-521": "NIST521p"}
        name = names.get(self.curve, self.curve).upper()
        curve = next(c for c in ecdsa.curves.curves if c.name.upper() == name)
        size = (curve.curve.p().bit_length() + 7) // 8
        number = lambda value: octets((value % curve.curve.p()).to_bytes(size, "big"))
        base = b"\x04" + b"".join(int(c).to_bytes(size, "big") for c in (curve.generator.x(), curve.generator.y()))
        if self.explicit == "evil":
            # A base of the forger's own: the key of somebody else divided by a number that the forger chose.
            base = self.point
        field = seq(oid("1.2.840.10045.1.1"), integer(int(curve.curve.p())))
        return seq(integer(1), field, seq(number(int(curve.curve.a())), number(int(curve.curve.b()))), octets(base), integer(int(curve.order)), integer(1))

    def spki(self):
        return seq(seq(oid("1.2.840.10045.2.1"), self.parameters()), bits(self.point))

    def algorithm(self, name):
        if name == "sha1":
            return seq(oid("1.2.840.10045.4.1"))
        return seq(oid(f"1.2.840.10045.4.3.{ {'sha224': 1, 'sha256': 2, 'sha384': 3, 'sha512': 4}[name] }"))

    def sign(self, message, name):
        digest = hashlib.new(name, message).digest()
        if self.curve in CURVES:
            return self.key.sign(digest, ec.ECDSA(Prehashed(HASHES[name])))
        import ecdsa
        return self.key.sign_digest(digest, sigencode=ecdsa.util.sigencode_der, allow_truncate=True)

    def answer(self, challenge, name="sha256"):
        r, s = decode_dss_signature(self.sign(challenge, name))
        size = (len(self.point) - 1) // 2
        return r.to_bytes(size, "big") + s.to_bytes(size, "big")


# Certificates

def name_of(country, common):
    return seq(set_of(seq(oid("2.5.4.6"), printable(country))), set_of(seq(oid("2.5.4.3"), tlv(0x0C, common.encode()))))


def extension(number, value, critical=False):
    return seq(oid(number), b"\x01\x01\xff" if critical else b"", octets(value))


class Certificate:
    """A certificate with its key."""

    def __init__(self, key, subject, issuer=None, ca=False, usage=None, serial=None, start=None, end=None, digest="sha256", extra=(), purposes=(), forged=False, by=None):
        self.key, self.subject = key, subject
        signer = by or (issuer.key if issuer else key)
        self.issuer = issuer.subject if issuer else subject
        self.serial = serial or int.from_bytes(hashlib.sha256(key.spki()).digest()[:8], "big") >> 1
        usage = usage if usage is not None else ({5, 6} if ca else {0})
        value = sum(0x80 >> bit for bit in usage)
        extensions = [extension("2.5.29.14", octets(hashlib.sha1(key.spki()).digest()))]
        extensions.append(extension("2.5.29.35", seq(tlv(0x80, hashlib.sha1(signer.spki()).digest()))))
        if usage:
            extensions.append(extension("2.5.29.15", bits(bytes([value]), max(0, 7 - max(usage))), critical=True))
        if ca:
            extensions.append(extension("2.5.29.19", seq(b"\x01\x01\xff", integer(0)), critical=True))
        if purposes:
            extensions.append(extension("2.5.29.37", seq(*map(oid, purposes)), critical=True))
        extensions += extra
        start, end = start or NOW - 2 * YEAR, end or NOW + 11 * YEAR
        algorithm = signer.algorithm(digest)
        tbs = seq(tlv(0xA0, integer(2)), integer(self.serial), algorithm, self.issuer, seq(when(start), when(end)), subject, key.spki(), tlv(0xA3, seq(*extensions)))
        signature = signer.sign(tbs, digest)
        if forged:
            tbs = tbs.replace(when(end), when(end + YEAR))
        self.der = seq(tbs, algorithm, bits(signature))


def crl(issuer, serials, digest="sha256", this=None, following=None, by=None, critical=(), subject=None):
    signer = by or issuer.key
    algorithm = signer.algorithm(digest)
    this = this or NOW - datetime.timedelta(days=10)
    revoked = [seq(integer(serial), when(this)) for serial in serials]
    extensions = [extension("2.5.29.20", integer(7)), *critical]
    tbs = seq(integer(1), algorithm, subject or issuer.subject, when(this), when(following or NOW + datetime.timedelta(days=80)), seq(*revoked) if revoked else b"", tlv(0xA0, seq(*extensions)))
    return seq(tbs, algorithm, bits(signer.sign(tbs, digest)))


def signed_data(content_type, content, signer, digest="sha256", certificates=None, time=None, tamper=None, by=None, attributes=None, algorithm=None, order=lambda inner: inner):
    key = by or signer.key
    inner = [seq(oid("1.2.840.113549.1.9.3"), set_of(oid(content_type))), seq(oid("1.2.840.113549.1.9.4"), set_of(octets(hashlib.new(digest, content).digest())))]
    if time:
        inner.append(seq(oid("1.2.840.113549.1.9.5"), set_of(when(time))))
    inner = attributes(inner) if attributes else inner
    signature = key.sign(set_of(*inner), digest)
    value = b"".join(order(sorted(inner)))
    info = seq(integer(1), seq(signer.issuer, integer(signer.serial)), seq(oid(HASH_OIDS[digest]), NULL), tlv(0xA0, value), algorithm or key.algorithm(digest), octets(signature))
    ders = [c.der for c in ([signer] if certificates is None else certificates)]
    content = tamper(content) if tamper else content
    data = seq(integer(3), set_of(seq(oid(HASH_OIDS[digest]), NULL)), seq(oid(content_type), tlv(0xA0, octets(content))), tlv(0xA0, *ders) if ders else b"", set_of(info))
    return seq(oid("1.2.840.113549.1.7.2"), tlv(0xA0, data))


def security_object(groups, digest="sha256", version=0):
    entries = [seq(integer(number), octets(hashlib.new(digest, file).digest())) for number, file in sorted(groups.items())]
    return seq(integer(version), seq(oid(HASH_OIDS[digest]), NULL), seq(*entries))


def zone_group(letters=ZONE):
    return tlv(0x61, tlv(0x5F1F, letters.encode()))


def portrait_group(size=9000):
    return tlv(0x75, tlv(0x7F61, integer(1), tlv(0x7F60, tlv(0xA1, b""), tlv(0x5F2E, hashlib.sha512(b"portrait").digest() * (size // 64)))))


def key_group(key):
    return tlv(0x6F, key.spki())


def info_group(digest="sha256"):
    number = {"sha1": 1, "sha224": 2, "sha256": 3, "sha384": 4, "sha512": 5}[digest]
    info = seq(oid("2.23.136.1.1.5"), integer(1), oid(f"0.4.0.127.0.7.1.1.4.1.{number}"))
    return tlv(0x6E, set_of(info))


def master_list(signer, certificates, along, digest="sha256", **more):
    content = seq(integer(0), set_of(*[c.der for c in certificates]))
    return signed_data("2.23.136.1.1.2", content, signer, digest, certificates=[signer, *along], **more)


class Country:
    """An authority with a signer of documents."""

    def __init__(self, code="DE", authority=None, signer=None, digest="sha256", **signer_options):
        self.code = code
        self.authority = Certificate(authority or RsaKey(), name_of(code, "CSCA"), ca=True, digest=digest, start=NOW - 4 * YEAR)
        self.signer = Certificate(signer or RsaKey(), name_of(code, "Document Signer 7"), self.authority, digest=digest, **signer_options)

    def sod(self, groups, digest="sha256", **options):
        return tlv(0x77, signed_data("2.23.136.1.1.1", security_object(groups, digest), self.signer, digest, **options))


def b64(value):
    return base64.b64encode(value).decode()


def case(name, sod, groups, anchors, chain="verified", codes=(), crls=(), asked=None, active="not_performed"):
    found = {
        "name": name,
        "sod": b64(sod),
        "data_groups": {str(number): b64(file) for number, file in groups.items()},
        "anchors": [b64(anchor.der) for anchor in anchors],
        "crls": [b64(one) for one in crls],
        "now": int(NOW.timestamp()),
        "chain": chain,
        "codes": sorted(codes),
        "active": active,
    }
    if asked:
        found["asked"] = [b64(part) for part in asked]
    return found


def algorithms():
    """Each algorithm that ICAO 9303-12, 4.4 allows, for authority, signer and security object."""
    groups = {1: zone_group(), 2: portrait_group(640)}
    keys = [(f"RSA {size} {digest}", lambda size=size: RsaKey(size), digest) for size, digest in [(1024, "sha1"), (2048, "sha1"), (2048, "sha224"), (3072, "sha256"), (2048, "sha384"), (4096, "sha512")]]
    keys += [(f"RSA PSS {digest} salt {salt}", lambda salt=salt: RsaKey(2048, pss=salt), digest) for digest, salt in [("sha1", 20), ("sha256", 32), ("sha384", 48), ("sha512", 64), ("sha256", 20), ("sha512", 0)]]
    keys.append(("RSA PSS of 2049 bits", lambda: RsaKey(2049, pss=32), "sha256"))
    for curve in CURVE_OIDS:
        for explicit in (True, False):
            digest = {"P-192": "sha1", "P-224": "sha224", "P-384": "sha384", "P-521": "sha512", "brainpoolP384r1": "sha384", "brainpoolP512r1": "sha512", "brainpoolP320r1": "sha512"}.get(curve, "sha256")
            if explicit or curve in CURVES:
                keys.append((f"{curve} {'explicit' if explicit else 'named'} {digest}", lambda curve=curve, explicit=explicit: EcKey(curve, explicit), digest))
    keys += [("P-256 with SHA-512", lambda: EcKey("P-256"), "sha512"), ("P-521 with SHA-1", lambda: EcKey("P-521"), "sha1")]
    for name, make, digest in keys:
        country = Country(authority=make(), signer=make(), digest=digest)
        codes = ["crl_missing", "active_authentication_unsupported"] + (["weak_hash"] if digest == "sha1" else [])
        yield case(name, country.sod(groups, digest), groups, [country.authority], codes=codes)


def sixteen_groups():
    """All data groups that there are, to measure."""
    de = Country("DE", RsaKey(4096), RsaKey(2048))
    tags = [0x61, 0x75, 0x63, 0x76, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6A, 0x6B, 0x6C, 0x6D, 0x6E, 0x6F, 0x70]
    groups = {number: tlv(tag, bytes(200)) for number, tag in enumerate(tags, 1)}
    groups |= {1: zone_group(), 2: portrait_group(18000), 14: info_group(), 15: key_group(RsaKey(1024))}
    yield case("sixteen groups", de.sod(groups), groups, [de.authority], codes=["crl_missing", "copy_not_excluded"])


def forgeries():
    """What must not pass, and what must not be refused."""
    de = Country(authority=EcKey("brainpoolP384r1"), signer=EcKey("brainpoolP256r1"))
    chip = EcKey("brainpoolP256r1")
    old = RsaKey(1024)
    groups = {1: zone_group(), 2: portrait_group(640), 14: info_group(), 15: key_group(chip)}
    sod = de.sod(groups)
    anchors = [de.authority]
    usual = ["crl_missing", "copy_not_excluded"]

    alike = Certificate(de.signer.key, de.signer.subject, de.authority, serial=de.signer.serial)
    alike.issuer = name_of("DE", "csca")
    ca_alike = Certificate(EcKey(), name_of("DE", "Another"), ca=True, serial=de.signer.serial)
    past = Certificate(EcKey(), de.authority.subject, ca=True, start=NOW - 6 * YEAR, end=NOW - YEAR)

    def variant(name, codes, sod=sod, groups=groups, anchors=anchors, base=usual, **more):
        return case(name, sod, groups, anchors, codes=[*base, *codes], **more)

    def other(signer, **options):
        country = Country.__new__(Country)
        country.code, country.authority, country.signer = de.code, de.authority, signer
        return country.sod(groups, **options)

    def signer(**options):
        key = options.pop("key", de.signer.key)
        return Certificate(key, options.pop("subject", de.signer.subject), options.pop("issuer", de.authority), **options)

    yield variant("as issued", [])
    yield variant("nobody is trusted", ["authority_unknown"], anchors=[], chain="unverified", base=["copy_not_excluded"])
    stranger = Country("DE", EcKey(), EcKey())
    yield variant("another authority of the same name", ["authority_unknown"], anchors=[stranger.authority], chain="unverified", base=["copy_not_excluded"])
    swapped = {**groups, 2: portrait_group(1280)}
    yield variant("another portrait", ["group_differs"], groups=swapped, chain="broken")
    forged_zone = {**groups, 1: zone_group(ZONE.replace("ERIKA", "ERICA"))}
    yield variant("another name", ["group_differs"], groups=forged_zone, chain="broken")
    yield variant("groups in each other's place", ["group_differs", "group_differs"], groups={**groups, 1: groups[2], 2: groups[1]}, chain="broken")
    yield variant("a group that was not signed", ["group_not_signed"], groups={**groups, 3: tlv(0x63, b"prints")}, chain="broken")
    yield variant("no portrait given", [], groups={k: v for k, v in groups.items() if k != 2})
    yield variant("no zone given", ["group_missing"], groups={k: v for k, v in groups.items() if k != 1})
    yield variant("digests forged", ["sod_content_forged"], sod=de.sod(groups, tamper=lambda content: content.replace(hashlib.sha256(groups[2]).digest(), hashlib.sha256(swapped[2]).digest())), groups=swapped, chain="broken")
    yield variant("signed by another key", ["sod_signature_wrong"], sod=de.sod(groups, by=EcKey("brainpoolP256r1")), chain="broken")
    flipped = bytearray(sod)
    flipped[-1] ^= 1
    yield variant("signature with one bit turned", ["sod_signature_wrong"], sod=bytes(flipped), chain="broken")
    yield variant("no certificate of the signer", ["signer_missing"], sod=de.sod(groups, certificates=[]), chain="broken", base=["copy_not_excluded"])
    yield variant("the forger's own signer", ["authority_unknown"], sod=other(Certificate(EcKey(), de.signer.subject, stranger.authority)), chain="unverified", base=["copy_not_excluded"])
    yield variant("certificate of the signer altered", ["authority_unknown"], sod=other(signer(forged=True)), chain="unverified", base=["copy_not_excluded"])
    yield variant("signer expired", ["signer_expired"], sod=other(signer(end=NOW - YEAR)), chain="broken")
    yield variant("signer not yet valid", ["signer_not_yet_valid"], sod=other(signer(start=NOW + YEAR)), chain="broken")
    yield variant("signer expired since it signed", ["signer_expired_since"], sod=other(signer(start=NOW - 3 * YEAR, end=NOW - YEAR), time=NOW - 2 * YEAR))
    yield variant("signed after the signer expired", ["signer_expired"], sod=other(signer(start=NOW - 3 * YEAR, end=NOW - 2 * YEAR), time=NOW - YEAR), chain="broken")
    yield variant("signed before the signer was valid", ["signer_not_yet_valid"], sod=other(signer(), time=NOW - 3 * YEAR), chain="broken")
    yield variant("signed tomorrow", ["signed_in_future"], sod=other(signer(), time=NOW + datetime.timedelta(days=1)), chain="broken")
    yield variant("signer issued before its authority", ["authority_not_in_force"], sod=other(signer(start=NOW - 6 * YEAR)), chain="broken")
    yield variant("signer may only encipher", ["signer_usage_wrong"], sod=other(signer(usage={2})), chain="broken")
    yield variant("signer says nothing of its usage", ["signer_usage_wrong"], sod=other(signer(usage=set())), chain="broken")
    yield variant("the authority signs a document itself", ["signer_usage_wrong"], sod=other(Certificate(de.authority.key, de.authority.subject, ca=True, start=NOW - YEAR)), chain="broken")
    below = Certificate(EcKey(), name_of("DE", "Below"), de.signer)
    yield variant("signed by who a signer signed", ["authority_unknown"], sod=other(below, certificates=[below, de.signer]), chain="unverified", base=["copy_not_excluded"])
    for name, purpose in [("a server", "1.3.6.1.5.5.7.3.1"), ("master lists", "2.23.136.1.1.3"), ("seals", "2.23.136.1.1.14.2")]:
        yield variant(f"signer of {name}", ["signer_usage_wrong"], sod=other(signer(purposes=[purpose])), chain="broken")
    yield variant("authority expired since", ["authority_expired_since"], sod=other(Certificate(EcKey(), de.signer.subject, past, start=NOW - 2 * YEAR)), anchors=[past])
    yield variant("signer of passports", [], sod=other(signer(extra=[extension("2.23.136.1.1.6.2", seq(integer(0), set_of(printable("P"))))])))
    yield variant("signer of cards", ["document_type_not_allowed"], sod=other(signer(extra=[extension("2.23.136.1.1.6.2", seq(integer(0), set_of(printable("ID"), printable("AR"))))])), chain="broken")
    yield variant("signer with a critical extension of its own", ["signer_unreadable"], sod=other(signer(extra=[extension("1.2.3.4", NULL, critical=True)])), chain="broken", base=["copy_not_excluded"])
    fr = Country("FR", EcKey("P-256"), EcKey("P-256"))
    yield variant("signed by another country", ["state_differs"], sod=fr.sod(groups), anchors=[de.authority, fr.authority], chain="broken")
    mixed = Certificate(EcKey(), name_of("DE", "Document Signer 7"), fr.authority)
    yield variant("a signer of this country under another's authority", ["state_differs"], sod=other(mixed), anchors=[de.authority, fr.authority], chain="broken")
    evil = EcKey("brainpoolP384r1", "evil")
    evil_authority = Certificate(evil, de.authority.subject, ca=True, start=NOW - 4 * YEAR, by=EcKey())
    yield variant("a base of the forger's own", ["signer_unreadable"], sod=other(Certificate(evil, de.signer.subject, evil_authority, by=EcKey())), chain="broken", base=["copy_not_excluded"])
    yield variant("signer revoked", ["signer_revoked"], crls=[crl(de.authority, [de.signer.serial])], chain="broken", base=["copy_not_excluded"])
    yield variant("revoked under another name of the authority", ["signer_revoked"], crls=[crl(de.authority, [de.signer.serial], subject=name_of("DE", "CSCA of another name"))], chain="broken", base=["copy_not_excluded"])
    yield variant("revoked, with where the list is to be had", ["signer_revoked"], crls=[crl(de.authority, [de.signer.serial], critical=[extension("2.5.29.28", seq(tlv(0xA0, tlv(0xA0, tlv(0x86, b"http://csca.example/crl")))), critical=True)])], chain="broken", base=["copy_not_excluded"])
    follower = Certificate(EcKey("P-384"), de.authority.subject, ca=True, start=NOW - YEAR)
    yield variant("revoked by the next key of the authority", ["signer_revoked"], anchors=[de.authority, follower], crls=[crl(follower, [de.signer.serial])], chain="broken", base=["copy_not_excluded"])
    yield variant("revoked by one key, and another key says nobody is", ["signer_revoked"], anchors=[de.authority, follower], crls=[crl(de.authority, [de.signer.serial]), crl(follower, [])], chain="broken", base=["copy_not_excluded"])
    point = lambda name: [extension("2.5.29.28", seq(tlv(0xA0, tlv(0xA0, tlv(0x86, name)))), critical=True)]
    yield variant("revoked in one part of the list, and not in another", ["signer_revoked"], crls=[crl(de.authority, [de.signer.serial], critical=point(b"http://a/1")), crl(de.authority, [], critical=point(b"http://a/2"), this=NOW - datetime.timedelta(days=9))], chain="broken", base=["copy_not_excluded"])
    heir = Certificate(EcKey("P-384"), name_of("DE", "CSCA of the heir"), ca=True, start=NOW - YEAR)
    small = Certificate(EcKey(), de.signer.subject, de.authority, serial=4711)
    yield variant("revoked by the heir in the name of the authority", ["signer_revoked"], sod=other(small), anchors=[de.authority, heir], crls=[crl(heir, [4711], subject=de.authority.subject), crl(heir, [])], chain="broken", base=["copy_not_excluded"])
    yield variant("the authority comes along with the same number", [], sod=other(alike, certificates=[ca_alike, de.signer]))
    yield variant("another signer revoked", [], crls=[crl(de.authority, [de.signer.serial + 1])], base=["copy_not_excluded"])
    yield variant("nobody revoked", [], crls=[crl(de.authority, [])], base=["copy_not_excluded"])
    yield variant("revocation list overdue", ["crl_overdue"], crls=[crl(de.authority, [], following=NOW - datetime.timedelta(days=1))], base=["copy_not_excluded"])
    renewed = Certificate(EcKey("P-384"), de.authority.subject, ca=True, start=NOW - YEAR)
    link = Certificate(renewed.key, de.authority.subject, de.authority, ca=True, start=NOW - YEAR, serial=77)
    young = Certificate(EcKey(), name_of("DE", "Document Signer 8"), renewed, start=NOW - YEAR / 2)
    yield variant("by a link certificate", [], sod=other(young), anchors=[de.authority, link])
    yield variant("an old certificate of the same key admitted first", [], sod=other(young), anchors=[de.authority, Certificate(renewed.key, de.authority.subject, ca=True, start=NOW - 3 * YEAR, end=NOW - 2 * YEAR), renewed])
    written = Certificate(de.signer.key, de.signer.subject, de.authority, serial=de.signer.serial)
    written.issuer = seq(set_of(seq(oid("2.5.4.6"), printable("DE"))), set_of(seq(oid("2.5.4.3"), printable("CSCA"))))
    yield variant("the issuer written in another way", [], sod=other(written, certificates=[de.signer]))
    yield variant("attributes in another order than they were signed in", [], sod=de.sod(groups, order=reversed))
    yield variant("a time that cannot be read", [], sod=de.sod(groups, attributes=lambda inner: [*inner, seq(oid("1.2.840.113549.1.9.5"), set_of(tlv(0x17, b"2606011200Z")))]))
    odd = {**groups, 1: zone_group(zone(expiry="<<<<<<"))}
    yield variant("a date that the issuer left out", ["zone_odd"], sod=de.sod(odd), groups=odd)
    unknown = {**groups, 1: zone_group(zone(state="QQQ"))}
    yield variant("an issuer that is not known", ["state_unknown", "state_unknown", "state_unknown"], sod=de.sod(unknown), groups=unknown)
    yield variant("two digests of the content", ["sod_unreadable", "active_authentication_unsupported"], sod=de.sod(groups, attributes=lambda inner: [*inner, seq(oid("1.2.840.113549.1.9.4"), set_of(octets(bytes(32))))]), chain="broken", base=[])
    many = lambda inner: [*inner, *[seq(oid(f"1.2.3.{number}"), set_of(NULL)) for number in range(40)]]
    yield variant("more attributes than anybody needs", ["sod_unreadable", "active_authentication_unsupported"], sod=de.sod(groups, attributes=many), chain="broken", base=[])
    yield variant("no digest of the content", ["sod_unreadable", "active_authentication_unsupported"], sod=de.sod(groups, attributes=lambda inner: inner[:1]), chain="broken", base=[])
    yield variant("cut", ["sod_unreadable", "active_authentication_unsupported"], sod=sod[:-100], chain="broken", base=[])
    yield variant("with something behind", [], sod=sod + b"\x00\x00")
    yield variant("no wrapper", [], sod=signed_data("2.23.136.1.1.1", security_object(groups), de.signer))
    yield variant("no security object", ["sod_unreadable", "active_authentication_unsupported"], sod=tlv(0x77, signed_data("1.2.840.113549.1.7.1", security_object(groups), de.signer)), chain="broken", base=[])
    pss = Country("DE", RsaKey(3072, pss=32), RsaKey(2048, pss=32))
    plain = RsaKey(2048)
    plain.key = pss.signer.key.key
    yield variant("PKCS #1 of a signer whose certificate is under PSS", [], sod=pss.sod(groups, by=plain), anchors=[pss.authority])
    yield variant("key named in place of the signature", [], sod=pss.sod(groups, by=plain, algorithm=seq(oid("1.2.840.113549.1.1.1"), NULL)), anchors=[pss.authority])
    expired = {**groups, 1: zone_group(zone(expiry="200228"))}
    yield variant("document expired", ["document_expired"], sod=de.sod(expired), groups=expired)

    # Active authentication
    challenge = bytes(range(8))
    asked = (challenge, chip.answer(challenge))
    passed = {"base": ["crl_missing"], "asked": asked, "active": "passed"}
    wrong = {"base": ["crl_missing"], "active": "failed"}
    yield variant("the chip answers", [], **passed)
    yield variant("a copy answers with its own key", ["active_authentication_wrong"], **{**wrong, "asked": (challenge, EcKey("brainpoolP256r1").answer(challenge))})
    yield variant("the answer to another challenge", ["active_authentication_wrong"], **{**wrong, "asked": (bytes(8), asked[1])})
    yield variant("the answer with another hash than the chip has", ["active_authentication_wrong"], **{**wrong, "asked": (challenge, chip.answer(challenge, "sha384"))})
    forged = {"base": ["crl_missing"], "asked": asked, "active": "failed", "chain": "broken"}
    yield variant("an answer under a forged security object", ["sod_signature_wrong", "active_authentication_wrong"], sod=de.sod(groups, by=EcKey("brainpoolP256r1")), **forged)
    own = {**groups, 15: key_group(EcKey("brainpoolP256r1"))}
    yield variant("a copy with a key of its own", ["group_differs", "active_authentication_wrong"], groups=own, chain="broken", **{**wrong, "asked": asked})
    yield variant("the key is not given", ["active_authentication_wrong"], groups={k: v for k, v in groups.items() if k != 15}, **{**wrong, "asked": asked})
    for digest in ("sha1", "sha224", "sha256", "sha384", "sha512"):
        rsa_groups = {1: zone_group(), 2: portrait_group(640), 15: key_group(old)}
        rsa_sod = de.sod(rsa_groups)
        yield variant(f"an RSA chip answers with {digest}", [], sod=rsa_sod, groups=rsa_groups, **{**passed, "asked": (challenge, old.answer(challenge, digest))})
    turned = bytearray(old.answer(challenge))
    turned[40] ^= 1
    yield variant("an RSA answer with one bit turned", ["active_authentication_wrong"], sod=rsa_sod, groups=rsa_groups, **{**wrong, "asked": (challenge, bytes(turned))})
    yield variant("an RSA answer that is empty", ["active_authentication_wrong"], sod=rsa_sod, groups=rsa_groups, **{**wrong, "asked": (challenge, b"")})


def refusals():
    """Whom nobody vouches for, and lists that say less than they seem to."""
    de, fr = Country("DE", EcKey(), EcKey()), Country("FR", EcKey(), EcKey())
    trusted = [b64(de.authority.der), b64(fr.authority.der)]
    across = Certificate(EcKey(), de.authority.subject, fr.authority, ca=True)
    late = Certificate(EcKey(), de.authority.subject, de.authority, ca=True, start=NOW - 5 * YEAR)
    trailing = seq(der_inside(de.authority.der), NULL)
    old = Certificate(EcKey(), name_of("DE", "CSCA of old"), ca=True, start=NOW - 9 * YEAR, end=NOW - 6 * YEAR)
    trusted.append(b64(old.der))
    for name, kind, der in [
        ("an authority of another country", "certificate", across.der),
        ("vouched for before who vouches was in force", "certificate", late.der),
        ("a signer of documents", "certificate", de.signer.der),
        ("with something behind the signature", "certificate", trailing),
        ("a list by another country", "crl", crl(de.authority, [], by=fr.authority.key)),
        ("a list by an authority that has expired", "crl", crl(de.authority, [], by=old.key)),
        ("a list of tomorrow", "crl", crl(de.authority, [], this=NOW + YEAR)),
        ("a list of authorities only", "crl", crl(de.authority, [], critical=[extension("2.5.29.28", seq(tlv(0x82, b"\xff")))])),
        ("a list of what changed", "crl", crl(de.authority, [], critical=[extension("2.5.29.27", integer(3))])),
    ]:
        yield {"name": name, "kind": kind, "trusted": trusted, "der": b64(der), "now": int(NOW.timestamp())}


def der_inside(der):
    length = der[1]
    return der[2:] if length < 0x80 else der[2 + (length & 0x7F):]


def lists():
    """Master lists: as they are published, and altered."""
    de, fr, se = (Country(code, EcKey(curve), EcKey()) for code, curve in [("DE", "brainpoolP384r1"), ("FR", "P-384"), ("SE", "P-256")])
    purpose = ["2.23.136.1.1.3"]
    signer = Certificate(EcKey("brainpoolP256r1"), name_of("DE", "Master List Signer"), de.authority, purposes=purpose)
    authorities = [c.authority for c in (de, fr, se)]
    good = master_list(signer, authorities, [de.authority])
    yield {"name": "as published", "list": b64(good), "count": 3}
    yield {"name": "altered", "list": b64(master_list(signer, authorities, [de.authority], tamper=lambda content: content[:-1] + bytes([content[-1] ^ 1]))), "count": None}
    yield {"name": "signed by a signer of documents", "list": b64(master_list(de.signer, authorities, [de.authority])), "count": None}
    stranger = Country("DE", EcKey(), EcKey())
    other = Certificate(EcKey(), name_of("DE", "Master List Signer"), stranger.authority, purposes=purpose)
    yield {"name": "signer of nobody in it", "list": b64(master_list(other, authorities, [])), "count": None}
    yield {"name": "cut", "list": b64(good[:-40]), "count": None}


if __name__ == "__main__":
    cases = {"chips": [*algorithms(), *sixteen_groups(), *forgeries()], "lists": [*lists()], "refused": [*refusals()]}
    with open(sys.argv[1], "wb") as out:
        out.write(zlib.compress(json.dumps(cases).encode(), 9))
    print(len(cases["chips"]), "chips")
