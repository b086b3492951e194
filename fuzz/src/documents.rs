//! Documents: chips, certificates of who signs them, zones.

use std::{collections::BTreeMap, str};

use portcullis_capture::{Photo, Picture, Quality, pdf417};
use portcullis_documents::{
    Certificate, Crl, MasterList, Trust, aamva,
    chip::{Files, active, passive},
    zone::{self, Day, Expected},
};

/// A time at which the seeds are in force: 2026-11-01.
const NOW: i64 = 1_793_491_200;

pub const SOD: &[u8] = include_bytes!("../seeds/sod.der");
pub const AUTHORITY: &[u8] = include_bytes!("../seeds/csca.der");
pub const REVOKED: &[u8] = include_bytes!("../seeds/csca.crl");
pub const MASTER_LIST: &[u8] = include_bytes!("../seeds/master_list.der");
pub const ZONES: &[&[u8]] = &[
    b"P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<\nL898902C36UTO7408122F1204159ZE184226B<<<<<10",
    b"I<UTOD231458907<<<<<<<<<<<<<<<\n7408122F1204159UTO<<<<<<<<<<<6\nERIKSSON<<ANNA<MARIA<<<<<<<<<<",
];

pub const LICENCE: &[u8] = include_bytes!("../../crates/documents/tests/licence.txt");
pub const PICTURE: &[u8] = include_bytes!("../seeds/picture.png");

/// What stands in a barcode.
pub fn licence(input: &[u8]) {
    let today = Day::at(NOW);
    if let Ok(licence) = aamva::read(input) {
        drop(licence.findings(today));
        drop(licence.compare(&Expected { surname: Some("x".to_owned()), ..Expected::default() }));
    }
}

/// Portraits as chips have them, the last one in its data group.
pub const PORTRAITS: &[&[u8]] = &[
    include_bytes!("../../crates/capture/tests/colours.jp2"),
    include_bytes!("../../crates/capture/tests/colours.j2k"),
    include_bytes!("../seeds/group_2.der"),
];

/// A descriptor of a model, a zero, and the model.
pub const MODELS: &[&[u8]] = &[include_bytes!("../seeds/model")];

/// The portrait of a chip, or the data group it is in.
pub fn portrait(input: &[u8]) {
    portcullis_documents::portrait(input).ok();
    let Ok(photo) = Photo::portrait(input) else { return };
    assert_eq!(photo.rgb().len(), 3 * (photo.width() as usize) * (photo.height() as usize));
}

/// A model that an operator may bring.
pub fn model(input: &[u8]) {
    let at = input.iter().position(|byte| *byte == 0).unwrap_or(input.len());
    let (descriptor, model) = input.split_at(at);
    drop(portcullis_biometrics::inspect(descriptor, model.get(1..).unwrap_or_default()));
}

/// A picture that somebody may send.
pub fn picture(input: &[u8]) {
    let Ok(picture) = Picture::decode(input) else { return };
    assert_eq!(picture.luma.len(), (picture.width as usize) * (picture.height as usize));
    assert!(Quality::of(&picture).sharpness >= -1e-6);
    // Large ones take the fuzzer too long.
    if picture.luma.len() < 50_000 {
        drop(pdf417(&picture));
    }
}

/// What a reader may send: a security object, each data group a slice of the same bytes.
pub fn chip(input: &[u8]) {
    let groups: BTreeMap<u8, Vec<u8>> = [1, 14, 15]
        .map(|number| (number, input.get(usize::from(number)..).unwrap_or_default().to_vec()))
        .into();
    let files = Files { sod: input.to_vec(), groups };
    let mut trust = Trust::new();
    if let Ok(authority) = Certificate::read(AUTHORITY) {
        let _known = trust.admit(authority);
    }
    let found = passive(&files, &trust, NOW);
    // Nobody signed slices of a security object.
    assert!(found.failed());
    drop(active(&files, &found, Some((&[0; 8], input))));
}

/// What an operator may import, or a security object may carry.
pub fn authorities(input: &[u8]) {
    let mut trust = Trust::new();
    if let Ok(certificate) = Certificate::read(input) {
        assert_eq!(certificate.der(), input);
        let _known = trust.admit(certificate);
    }
    if let Ok(authority) = Certificate::read(AUTHORITY) {
        let _known = trust.admit(authority);
    }
    if let Ok(crl) = Crl::read(input) {
        let _known = trust.admit_crl(crl, NOW);
    }
    drop(MasterList::read(input));
}

/// What somebody may type, or a program read from a picture.
pub fn zone(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    let today = Day::at(NOW);
    if let Ok(zone) = zone::read(text, today) {
        drop(zone.findings(today));
        let expected = Expected {
            surname: Some(text.to_owned()),
            given_names: Some(zone.given_names.clone()),
            date_of_birth: Some(zone.date_of_birth.clone()),
            ..Expected::default()
        };
        drop(zone.compare(&expected));
    }
    drop(zone::find(text, today));
    drop(zone::from_chip(text, today));
}
