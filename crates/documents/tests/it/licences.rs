//! Barcodes of licences of North America, of several versions of the standard, and what is none.

use portcullis_documents::{
    aamva::{self, Licence},
    finding::Finding,
    zone::{Day, Expected},
};

const TODAY: Day = Day { year: 2026, month: 11, day: 1 };
const CALIFORNIA: &[u8] = include_bytes!("../licence.txt");

/// A barcode as the standard has it, with one subfile.
fn barcode(issuer: u32, version: u8, kind: &str, elements: &[&str]) -> Vec<u8> {
    let inside = format!("{kind}{}\r", elements.join("\n"));
    let jurisdiction = if version < 2 { "" } else { "00" };
    let head = format!("@\n\x1e\rANSI {issuer:06}{version:02}{jurisdiction}01");
    let (offset, length) = (head.len() + 10, inside.len());
    format!("{head}{kind}{offset:04}{length:04}{inside}").into_bytes()
}

fn read(bytes: &[u8]) -> Licence {
    aamva::read(bytes).unwrap()
}

fn codes(findings: &[Finding]) -> Vec<String> {
    let show = |finding: &Finding| format!("{} {}", finding.code.as_str(), finding.detail);
    findings.iter().map(show).collect()
}

#[test]
fn a_licence_is_read() {
    let licence = read(CALIFORNIA);
    assert_eq!((licence.version, licence.jurisdiction, licence.country), (10, Some("CA"), "USA"));
    assert_eq!(
        (licence.family_name.as_str(), licence.given_names.as_str()),
        ("LOVELACE", "ADA KING")
    );
    assert_eq!(licence.date_of_birth.unwrap().to_string(), "1985-12-10");
    assert_eq!(licence.date_of_expiry.unwrap().to_string(), "2031-12-10");
    assert_eq!((licence.sex, licence.postal_code.as_str()), ("F", "95814"));
    assert_eq!(licence.elements["DAY"], "BRO");
    assert_eq!(licence.findings(TODAY), []);
}

#[test]
fn each_version_has_its_own_ways() {
    let first = barcode(
        636_026,
        1,
        "DL",
        &["DAALOVELACE,ADA,KING", "DAQ1", "DBB19851210", "DBA20311210", "DBCF"],
    );
    let first = read(&first);
    assert_eq!(
        (first.family_name.as_str(), first.given_names.as_str(), first.sex),
        ("LOVELACE", "ADA KING", "F")
    );
    assert_eq!(first.date_of_birth.unwrap().to_string(), "1985-12-10");
    let third = barcode(
        636_015,
        3,
        "ID",
        &["DCSLOVELACE", "DCTADA,KING", "DAQ1", "DBB12101985", "DBA12102031", "DCGUSA"],
    );
    let third = read(&third);
    assert_eq!((third.given_names.as_str(), third.kind.as_str()), ("ADA KING", "ID"));
    let ontario = barcode(
        636_012,
        8,
        "DL",
        &["DCSLOVELACE", "DACADA", "DAQ1", "DBB19851210", "DBA20311210", "DCGCAN"],
    );
    let ontario = read(&ontario);
    assert_eq!((ontario.jurisdiction, ontario.country), (Some("ON"), "CAN"));
    assert_eq!(ontario.date_of_birth.unwrap().to_string(), "1985-12-10");
}

#[test]
fn what_is_wrong_is_told() {
    let elements =
        ["DCSLOVELACE", "DDET", "DACADA", "DAQ1", "DBB13401985", "DBA12102020", "DCGUSA"];
    let found = codes(&read(&barcode(999_999, 8, "DL", &elements)).findings(TODAY));
    assert_eq!(
        found,
        [
            "date_impossible date_of_birth",
            "document_expired ",
            "issuer_unknown 999999",
            "name_truncated family_name"
        ]
    );
    let found = codes(&read(&barcode(636_014, 8, "DL", &["DAQ1"])).findings(TODAY));
    let missing = ["family_name", "date_of_birth", "date_of_expiry"]
        .map(|field| format!("field_missing {field}"));
    assert_eq!(found, missing);
}

#[test]
fn fields_are_compared_without_marks_and_as_far_as_they_go() {
    let some = |text: &str| Some(text.to_owned());
    let expected = Expected {
        surname: some("Lovelace"),
        given_names: some("Ada King"),
        date_of_birth: some("1985-12-10"),
        document_number: some("d-1234567"),
        issuing_state: some("ca"),
        ..Expected::default()
    };
    assert_eq!(read(CALIFORNIA).compare(&expected), []);
    let other = Expected { surname: some("Love"), ..expected.clone() };
    assert_eq!(codes(&read(CALIFORNIA).compare(&other)), ["field_differs surname"]);
    let cut = barcode(636_014, 8, "DL", &["DCSLOVEL", "DDET", "DAQ1"]);
    let expected = Expected { surname: some("Lovelace"), ..Expected::default() };
    assert_eq!(read(&cut).compare(&expected), []);
}

#[test]
fn offsets_may_slip() {
    let mut bytes = CALIFORNIA.to_vec();
    let at = bytes.windows(4).position(|four| four == b"0041").unwrap();
    bytes[at..at + 4].copy_from_slice(b"0039");
    assert_eq!(read(&bytes).family_name, "LOVELACE");
}

#[test]
fn what_is_none_is_refused() {
    let long = vec![b'A'; 5_000];
    let no_number = String::from_utf8(CALIFORNIA.to_vec()).unwrap().replace("636014", "63601X");
    for bytes in [
        &b""[..],
        b"hello",
        b"@\n\x1e\rANSI 6360",
        no_number.as_bytes(),
        &long,
        &CALIFORNIA[..30],
        b"ANSI 636014080001ZZ00310010",
    ] {
        let refused = aamva::read(bytes).unwrap_err();
        assert_eq!(refused.code.as_str(), "barcode_unreadable");
    }
    // Every cut of a real one is read or refused, and nothing else.
    for end in 0..CALIFORNIA.len() {
        drop(aamva::read(&CALIFORNIA[..end]));
    }
}
