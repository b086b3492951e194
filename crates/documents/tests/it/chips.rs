//! Chips that `tests/clients/passport.py` made, with what must be found out about each: every algorithm, every
//! forgery. Keys and signatures are of other programs than the one under test.

use std::sync::LazyLock;

use data_encoding::BASE64;
use portcullis_documents::{
    Certificate, Crl, MasterList, Trust,
    chip::{Active, Files, active, passive},
};
use serde_json::Value;

static MADE: LazyLock<Value> = LazyLock::new(|| {
    let bytes = include_bytes!("../chips.json.zlib");
    let text = miniz_oxide::inflate::decompress_to_vec_zlib(bytes).unwrap();
    serde_json::from_slice(&text).unwrap()
});

fn bytes(value: &Value) -> Vec<u8> {
    BASE64.decode(value.as_str().unwrap().as_bytes()).unwrap()
}

fn all<'a>(value: &'a Value) -> impl Iterator<Item = &'a Value> + use<'a> {
    value.as_array().unwrap().iter()
}

fn files(chip: &Value) -> Files {
    let groups = chip["data_groups"].as_object().unwrap().iter();
    Files {
        sod: bytes(&chip["sod"]),
        groups: groups.map(|(number, file)| (number.parse().unwrap(), bytes(file))).collect(),
    }
}

fn trust(chip: &Value) -> Trust {
    let mut trust = Trust::new();
    for anchor in all(&chip["anchors"]) {
        assert!(trust.admit(Certificate::read(&bytes(anchor)).unwrap()).unwrap());
    }
    for crl in all(&chip["crls"]) {
        assert!(
            trust
                .admit_crl(Crl::read(&bytes(crl)).unwrap(), chip["now"].as_i64().unwrap())
                .unwrap()
        );
    }
    trust
}

#[test]
fn each_chip_is_judged_as_it_was_made() {
    let mut wrong = Vec::new();
    for chip in all(&MADE["chips"]) {
        let name = chip["name"].as_str().unwrap();
        let (files, trust) = (files(chip), trust(chip));
        let found = passive(&files, &trust, chip["now"].as_i64().unwrap());
        let asked = chip.get("asked").map(|asked| (bytes(&asked[0]), bytes(&asked[1])));
        let asked = asked.as_ref().map(|(challenge, answer)| (&challenge[..], &answer[..]));
        let answer = active(&files, &found, asked);
        let (state, finding) = match &answer {
            Active::Passed { .. } => ("passed", None),
            Active::Failed(finding) => ("failed", Some(finding)),
            Active::NotPerformed(finding) => ("not_performed", Some(finding)),
        };
        let codes = found
            .findings
            .iter()
            .chain(&found.zone_findings)
            .chain(finding)
            .map(|finding| finding.code.as_str());
        let mut codes: Vec<&str> = codes.collect();
        codes.sort_unstable();
        let expected: Vec<&str> = all(&chip["codes"]).map(|code| code.as_str().unwrap()).collect();
        let expected =
            (expected, chip["chain"].as_str().unwrap(), chip["active"].as_str().unwrap());
        if (codes.clone(), found.chain.as_str(), state) != expected {
            let why: Vec<&str> =
                found.findings.iter().map(|finding| finding.detail.as_str()).collect();
            wrong.push(format!(
                "{name}: {codes:?} {} {state}, {why:?}; not {expected:?}",
                found.chain.as_str()
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn master_lists_are_read_if_who_may_signed_them() {
    for list in all(&MADE["lists"]) {
        let read = MasterList::read(&bytes(&list["list"]));
        let count = read.as_ref().ok().map(|list| list.certificates.len());
        let expected = list["count"].as_u64().map(|count| usize::try_from(count).unwrap());
        assert_eq!(count, expected, "{}: {read:?}", list["name"]);
    }
}

#[test]
fn who_is_not_vouched_for_is_refused() {
    for item in all(&MADE["refused"]) {
        let mut trust = Trust::new();
        for anchor in all(&item["trusted"]) {
            trust.admit(Certificate::read(&bytes(anchor)).unwrap()).unwrap();
        }
        let (der, now) = (bytes(&item["der"]), item["now"].as_i64().unwrap());
        let refused = if item["kind"] == "crl" {
            Crl::read(&der).map_or(true, |crl| trust.admit_crl(crl, now).is_err())
        } else {
            Certificate::read(&der).map_or(true, |one| trust.admit(one).is_err())
        };
        assert!(refused, "{}", item["name"]);
    }
}

#[test]
fn who_is_not_an_authority_is_not_admitted() {
    let chip = all(&MADE["chips"]).find(|chip| chip["name"] == "by a link certificate").unwrap();
    let [old, link] = [0, 1].map(|at| Certificate::read(&bytes(&chip["anchors"][at])).unwrap());
    // A link says nothing without what it leads from.
    let mut trust = Trust::new();
    assert!(trust.admit(link.clone()).is_err());
    assert!(trust.admit(old.clone()).unwrap());
    assert!(!trust.admit(old).unwrap(), "twice");
    assert!(trust.admit(link).unwrap());
}

/// What a byte of it changes is found: no byte of a security object is left that nobody signed, but for those
/// that say how it is wrapped.
#[test]
fn no_byte_can_be_changed() {
    let chip = all(&MADE["chips"]).find(|chip| chip["name"] == "as issued").unwrap();
    let (mut files, trust) = (files(chip), trust(chip));
    let now = chip["now"].as_i64().unwrap();
    for number in [1, 2, 14, 15] {
        for at in (0..files.groups[&number].len()).step_by(97) {
            let file = files.groups.get_mut(&number).unwrap();
            file[at] ^= 0x40;
            assert!(passive(&files, &trust, now).failed(), "byte {at} of group {number}");
            files.groups.get_mut(&number).unwrap()[at] ^= 0x40;
        }
    }
    let mut passed = Vec::new();
    for at in (0..files.sod.len()).step_by(5) {
        files.sod[at] ^= 0x01;
        let found = passive(&files, &trust, now);
        if !found.failed() && found.chain.as_str() == "verified" {
            passed.push(at);
        }
        files.sod[at] ^= 0x01;
    }
    // Versions, digest algorithms and the name of the signer stand outside what is signed.
    assert!(passed.len() < 16, "{passed:?}");
    assert!(!passive(&files, &trust, now).failed());
}
