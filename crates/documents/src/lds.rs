//! Files of a chip (ICAO 9303-10): what they are wrapped in, and what is in those that are needed here.

use crate::{
    Malformed,
    der::{self, Algorithm, Reader, tag},
    digest::Hash,
    key::{PublicKey, Scheme},
};

/// Bytes of a security object.
pub const SOD_MAX_BYTES: usize = 64 << 10;

/// Bytes of a data group: portraits and prints of several fingers fit.
pub const DATA_GROUP_MAX_BYTES: usize = 1 << 20;

/// Data groups that there are.
pub const GROUPS: std::ops::RangeInclusive<u8> = 1..=16;

/// `id-icao-mrtd-security-ldsSecurityObject`: 2.23.136.1.1.1.
pub const SECURITY_OBJECT: &[u8] = &[0x67, 0x81, 0x08, 0x01, 0x01, 0x01];
/// `id-icao-mrtd-security-aaProtocolObject`: 2.23.136.1.1.5.
const ACTIVE_AUTHENTICATION: &[u8] = &[0x67, 0x81, 0x08, 0x01, 0x01, 0x05];

/// The tag of the file of each data group.
const TAGS: [u16; 16] = [
    0x61, 0x75, 0x63, 0x76, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x6b, 0x6c, 0x6d, 0x6e, 0x6f, 0x70,
];
const SOD_TAG: u16 = 0x77;
const ZONE_TAG: u16 = 0x5f1f;
/// Of biometric templates, one of them, and the data in it.
const TEMPLATES_TAG: u16 = 0x7f61;
const TEMPLATE_TAG: u16 = 0x7f60;
const BLOCK_TAG: u16 = 0x5f2e;
const BLOCK_TAG_NESTED: u16 = 0x7f2e;
/// How a record of faces begins, and how long its parts are before the image.
const FACE: &[u8] = b"FAC\0";
const FACE_BYTES: usize = 20;
const POINT_BYTES: usize = 8;
const IMAGE_BYTES: usize = 12;

/// What is in the file of a data group.
pub fn group(number: u8, file: &[u8]) -> Result<&[u8], Malformed> {
    let place = usize::from(number).checked_sub(1).and_then(|at| TAGS.get(at));
    let expected = *place.ok_or(Malformed("there is no such data group"))?;
    let mut reader = Reader::file(file);
    let element = reader.any()?;
    if element.tag == expected {
        Ok(element.value)
    } else {
        Err(Malformed("the file is not that of its data group"))
    }
}

/// The signed data in a security object, which some readers give without its wrapper.
pub fn signed_data(file: &[u8]) -> Result<&[u8], Malformed> {
    if file.len() > SOD_MAX_BYTES {
        return Err(Malformed("a security object is above 64 KiB"));
    }
    let mut reader = Reader::file(file);
    let element = reader.any()?;
    Ok(if element.tag == SOD_TAG { element.value } else { file })
}

/// What was signed: the digest of each data group (ICAO 9303-10, 4.6.2.3).
pub struct SecurityObject<'a> {
    /// How they were made.
    pub hash: Hash,
    /// By number, in order.
    pub digests: Vec<(u8, &'a [u8])>,
}

impl<'a> SecurityObject<'a> {
    /// `LDSSecurityObject`
    pub fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut inside = der::only(bytes, tag::SEQUENCE)?;
        if inside.small()? > 1 {
            return Err(Malformed("the security object has another version"));
        }
        let hash = Algorithm::read(&mut inside)?;
        let hash = Hash::of_oid(hash.oid).ok_or(Malformed("a digest algorithm is not known"))?;
        let mut list = inside.nested(tag::SEQUENCE)?;
        let mut digests: Vec<(u8, &[u8])> = Vec::new();
        while !list.is_empty() {
            let mut entry = list.nested(tag::SEQUENCE)?;
            let number = u8::try_from(entry.small()?).ok().filter(|number| GROUPS.contains(number));
            let number = number.ok_or(Malformed("there is no such data group"))?;
            let digest = entry.value(tag::OCTET_STRING)?;
            entry.end()?;
            if digests.iter().any(|(other, _)| *other == number) {
                return Err(Malformed("a data group has two digests"));
            }
            digests.push((number, digest));
        }
        digests.sort_unstable();
        Ok(Self { hash, digests })
    }

    /// The digest of a data group.
    pub fn digest(&self, number: u8) -> Option<&'a [u8]> {
        self.digests.iter().find(|(other, _)| *other == number).map(|(_, digest)| *digest)
    }
}

/// The letters of the machine readable zone in data group 1.
pub fn zone(file: &[u8]) -> Result<&str, Malformed> {
    let mut inside = Reader::file(group(1, file)?);
    let zone = inside.element(ZONE_TAG)?;
    std::str::from_utf8(zone.value)
        .map_err(|_| Malformed("a machine readable zone is not of letters"))
}

/// The portrait in data group 2, JPEG or JPEG 2000: the first image of the first record (ISO/IEC 19794-5 in what
/// ISO/IEC 7816-11 wraps around it).
pub fn portrait(file: &[u8]) -> Result<&[u8], Malformed> {
    let mut groups = Reader::file(group(2, file)?);
    let mut templates = Reader::file(groups.value(TEMPLATES_TAG)?);
    templates.value(tag::INTEGER)?;
    let mut template = Reader::file(templates.value(TEMPLATE_TAG)?);
    while !template.is_empty() {
        let element = template.any()?;
        if [BLOCK_TAG, BLOCK_TAG_NESTED].contains(&element.tag) {
            return facial_image(element.value);
        }
    }
    Err(Malformed("there is no face in it"))
}

/// The image of the first face of a record.
fn facial_image(record: &[u8]) -> Result<&[u8], Malformed> {
    let ends = Malformed("a face ends too early");
    let rest = record.strip_prefix(FACE).ok_or(Malformed("it is no record of faces"))?;
    // Version, length, and how many there are.
    let rest = rest.get(10..).ok_or(ends)?;
    let number =
        |bytes: Option<&[u8]>| bytes.map(|all| all.iter().fold(0, |n, b| n << 8 | usize::from(*b)));
    let length = number(rest.get(..4)).ok_or(ends)?;
    let points = number(rest.get(4..6)).ok_or(ends)?;
    let face = rest.get(..length).ok_or(ends)?;
    let image = face.get(FACE_BYTES + points * POINT_BYTES + IMAGE_BYTES..).ok_or(ends)?;
    if image.is_empty() { Err(ends) } else { Ok(image) }
}

/// The key in data group 15.
pub fn authentication_key(file: &[u8]) -> Result<PublicKey, Malformed> {
    PublicKey::read(group(15, file)?)
}

/// The signature algorithm that data group 14 names for active authentication with a key on a curve.
pub fn authentication_scheme(file: &[u8]) -> Result<Option<Scheme>, Malformed> {
    let mut infos = Reader::new(group(14, file)?).nested(tag::SET)?;
    while !infos.is_empty() {
        let mut info = infos.nested(tag::SEQUENCE)?;
        if info.value(tag::OID)? != ACTIVE_AUTHENTICATION {
            continue;
        }
        info.small()?;
        let algorithm = Algorithm { oid: info.value(tag::OID)?, parameters: Reader::new(&[]) };
        return Scheme::read(algorithm, None).map(Some);
    }
    Ok(None)
}
