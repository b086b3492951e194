//! Checks of documents: reports, trust, challenges.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use data_encoding::{BASE64, HEXLOWER};
use portcullis_documents::{Certificate, chip::Active, zone::Expected};
use portcullis_events::{Check, Event, Kind, Origin, Outcome};
use portcullis_store::idv::trust::{self, TrustRow};
use portcullis_testkit::{FixedClock, START, SeededEntropy, TestDb, on_both};
use portcullis_types::Id;
use portcullis_verification::{
    Assurance, Barcode, BarcodeAsked, CHALLENGE_TTL, CheckError, CheckParts, CheckStatus, Checks,
    EmrtdAsked, EmrtdReport, Imported, Report, TrustStore, ZoneAsked,
};
use serde_json::Value;

use crate::world::machine;

/// The chips that `tests/clients/passport.py` made.
fn made() -> Value {
    let bytes = include_bytes!("../../../documents/tests/chips.json.zlib");
    let text = miniz_oxide::inflate::decompress_to_vec_zlib(bytes).unwrap();
    serde_json::from_slice(&text).unwrap()
}

fn bytes(value: &Value) -> Vec<u8> {
    BASE64.decode(value.as_str().unwrap().as_bytes()).unwrap()
}

/// A chip by its name, with the authorities and lists that it is to be verified by.
fn chip(name: &str) -> (EmrtdAsked, Vec<Vec<u8>>) {
    let made = made();
    let chips = made["chips"].as_array().unwrap();
    let chip = chips.iter().find(|chip| chip["name"] == name).unwrap();
    let mut asked = EmrtdAsked::default();
    asked.files.sod = bytes(&chip["sod"]);
    for (number, file) in chip["data_groups"].as_object().unwrap() {
        asked.files.groups.insert(number.parse().unwrap(), bytes(file));
    }
    asked.answer = chip.get("asked").map(|asked| (bytes(&asked[0]), bytes(&asked[1])));
    let files = ["anchors", "crls"].map(|kind| chip[kind].as_array().unwrap().clone());
    (asked, files.iter().flatten().map(bytes).collect())
}

struct Office {
    db: TestDb,
    clock: Arc<FixedClock>,
    checks: Checks,
}

impl Office {
    fn new(db: TestDb) -> Self {
        let clock = FixedClock::new();
        // The chips were made then.
        clock.advance(Duration::from_secs(
            MADE_AT - u64::try_from(START.micros() / 1_000_000).unwrap(),
        ));
        let checks = node(&db, &clock, 1);
        Self { db, clock, checks }
    }

    async fn import(&self, file: &[u8]) -> Result<Imported, CheckError> {
        let event = |kind| event(kind);
        let store = TrustStore { db: &self.db.db, tenant: "main", event: &event };
        let files = [("a.ml".to_owned(), file.to_vec())];
        store.import(&files, portcullis_types::Clock::now(&*self.clock), false).await
    }

    async fn remove(&self, fingerprint: &str) -> usize {
        let event = |kind| event(kind);
        let store = TrustStore { db: &self.db.db, tenant: "main", event: &event };
        store.remove(fingerprint).await.unwrap().len()
    }

    async fn check(&self, asked: EmrtdAsked) -> Report<EmrtdReport> {
        self.checks.emrtd(asked, &machine(), &Origin::default()).await.unwrap()
    }

    async fn zone(&self, text: &str, expected: Expected) -> (CheckStatus, Vec<&'static str>) {
        let asked = ZoneAsked { text: text.to_owned(), find: false, expected };
        let report = self.checks.zone(asked, &machine(), &Origin::default()).await.unwrap();
        assert_eq!(report.assurance, Assurance::SelfAsserted);
        (report.status, codes(&report))
    }

    fn recorded(&self) -> Vec<Check> {
        let check = |event: Event| match event.kind {
            Kind::Check(check) => Some(check),
            _ => None,
        };
        self.db.recorded.events().into_iter().filter_map(check).collect()
    }
}

/// 2026-11-01.
const MADE_AT: u64 = 1_793_491_200;

fn node(db: &TestDb, clock: &Arc<FixedClock>, seed: u64) -> Checks {
    Checks::new(CheckParts {
        tenant: "main".into(),
        db: db.db.clone(),
        sink: db.recorded.clone(),
        clock: clock.clone(),
        entropy: SeededEntropy::new(seed),
        digest_key: vec![9; 32],
        cores: 2,
        models: None,
    })
}

fn event(kind: Kind) -> Event {
    static MADE: AtomicU64 = AtomicU64::new(0);
    let id = Id::new(START, &*SeededEntropy::new(MADE.fetch_add(1, Ordering::Relaxed)));
    Event::new(id, START, None, machine(), Outcome::Success, kind)
}

fn codes<T>(report: &Report<T>) -> Vec<&'static str> {
    report.findings.iter().map(|finding| finding.code.as_str()).collect()
}

on_both!(nobody_is_trusted_at_first, |db: TestDb| {
    let office = Office::new(db);
    let (asked, authorities) = chip("as issued");
    let report = office.check(asked.clone()).await;
    assert_eq!((report.status, report.assurance), (CheckStatus::Review, Assurance::SelfAsserted));
    assert!(codes(&report).contains(&"authority_unknown"));
    let imported = office.import(&authorities[0]).await.unwrap();
    assert_eq!((imported.certificates, imported.refused.len()), (1, 0));
    // The next check follows.
    let report = office.check(asked).await;
    assert_eq!((report.status, report.assurance), (CheckStatus::Passed, Assurance::Cryptographic));
    let recorded = office.recorded();
    let kept = recorded.last().unwrap();
    assert_eq!((kept.status, kept.assurance), ("passed", "cryptographic"));
    assert_eq!(kept.report, report.id.to_string());
    let trust: Vec<bool> = recorded.iter().map(|one| one.trust == kept.trust).collect();
    assert_eq!(trust, [false, true], "it is told whom it depended on");
    assert_eq!(recorded[0].inputs_hash, kept.inputs_hash, "the same chip");
    let holder = format!("{recorded:?}").contains("MUSTERMANN");
    assert!(!holder, "the log knows no names");
});

on_both!(what_is_not_recorded_is_not_answered, |db: TestDb| {
    let office = Office::new(db);
    office.db.recorded.refuse(true);
    let (asked, _) = chip("as issued");
    let report = office.checks.emrtd(asked, &machine(), &Origin::default()).await;
    assert!(matches!(report, Err(CheckError::NotRecorded)));
});

on_both!(a_forged_chip_fails_whoever_is_trusted, |db: TestDb| {
    let office = Office::new(db);
    for name in ["another portrait", "signed by another key", "signer expired", "cut"] {
        let (asked, authorities) = chip(name);
        for file in &authorities {
            office.import(file).await.unwrap();
        }
        let report = office.check(asked).await;
        assert_eq!(
            (report.status, report.assurance),
            (CheckStatus::Failed, Assurance::SelfAsserted)
        );
    }
});

on_both!(who_is_removed_is_not_trusted_by_any_node, |db: TestDb| {
    let office = Office::new(db);
    let other = node(&office.db, &office.clock, 7);
    let (asked, authorities) = chip("as issued");
    office.import(&authorities[0]).await.unwrap();
    let passed = other.emrtd(asked.clone(), &machine(), &Origin::default()).await.unwrap();
    assert_eq!(passed.status, CheckStatus::Passed);
    let fingerprint = Certificate::read(&authorities[0]).unwrap().fingerprint();
    let fingerprint = HEXLOWER.encode(&fingerprint);
    assert_eq!(office.remove(&fingerprint).await, 1);
    assert_eq!(office.remove(&fingerprint).await, 0);
    let after = other.emrtd(asked, &machine(), &Origin::default()).await.unwrap();
    assert_eq!(after.status, CheckStatus::Review);
    let events = office.db.recorded.events();
    let changes: Vec<String> = events.iter().map(|event| event.kind.code(true)).collect();
    let changes: Vec<&str> =
        changes.iter().map(String::as_str).filter(|code| code.starts_with("admin_")).collect();
    assert_eq!(changes, ["admin_idv_trust_import", "admin_idv_trust_remove"]);
});

on_both!(revocation_lists_count_and_newer_ones_replace_them, |db: TestDb| {
    let office = Office::new(db);
    let (asked, files) = chip("signer revoked");
    for file in &files {
        office.import(file).await.unwrap();
    }
    let report = office.check(asked.clone()).await;
    assert_eq!(report.status, CheckStatus::Failed);
    assert!(codes(&report).contains(&"signer_revoked"));
    // One that says otherwise and is not newer does not undo it.
    let (_, others) = chip("nobody revoked");
    let imported = office.import(&others[1]).await.unwrap();
    assert_eq!((imported.crls, imported.refused.len()), (0, 1));
    assert_eq!(office.check(asked).await.status, CheckStatus::Failed);
    let used = office.checks.trust_used().await.unwrap();
    assert_eq!((used.authorities, used.crls), (1, 1), "one list of each authority");
});

on_both!(lists_are_taken_up_only_with_their_authority, |db: TestDb| {
    let office = Office::new(db);
    let (_, files) = chip("signer revoked");
    let imported = office.import(&files[1]).await.unwrap();
    assert_eq!((imported.crls, imported.refused.len()), (0, 1));
    // Together, in one file and in the wrong order, both are.
    let pem = |name: &str, der: &[u8]| {
        format!("-----BEGIN {name}-----\n{}\n-----END {name}-----\n", BASE64.encode(der))
    };
    let both = pem("X509 CRL", &files[1]) + &pem("CERTIFICATE", &files[0]);
    let imported = office.import(both.as_bytes()).await.unwrap();
    let counts = (imported.certificates, imported.crls, imported.refused.len());
    assert_eq!(counts, (1, 1, 0));
    let again = office.import(both.as_bytes()).await.unwrap();
    assert_eq!((again.certificates, again.crls, again.known), (0, 0, 2));
    assert_eq!(office.checks.trust_used().await.unwrap().version, 1, "nothing changed");
});

on_both!(files_that_are_none_are_refused, |db: TestDb| {
    let office = Office::new(db);
    for file in [&b""[..], b"hello", b"\xff\xfe", b"-----BEGIN CERTIFICATE-----\n!\n-----END"] {
        assert!(matches!(office.import(file).await, Err(CheckError::Invalid("file", _))));
    }
    let imported = office.import(&[0x30, 0x03, 0x02, 0x01, 0x05]).await.unwrap();
    assert_eq!((imported.certificates, imported.refused.len()), (0, 1));
    assert!(office.db.recorded.events().is_empty());
    let lists = made()["lists"].as_array().unwrap().clone();
    for list in lists {
        let imported = office.import(&bytes(&list["list"])).await;
        match list["count"].as_u64() {
            None => {
                let taken = imported.map_or(0, |imported| imported.certificates);
                assert_eq!(taken, 0, "{}", list["name"]);
            }
            Some(count) => {
                let imported = imported.unwrap();
                assert_eq!(u64::try_from(imported.certificates).unwrap(), count);
                assert_eq!(imported.signers.len(), 1);
            }
        }
    }
});

on_both!(a_challenge_is_good_for_one_answer, |db: TestDb| {
    let office = Office::new(db);
    let (asked, authorities) = chip("the chip answers");
    office.import(&authorities[0]).await.unwrap();
    // The answer is right, but to a challenge that was not made here: a person looks, once.
    let report = office.check(asked.clone()).await;
    assert_eq!((report.status, report.found.is_fresh), (CheckStatus::Review, false));
    assert!(matches!(report.found.active, Active::Passed { .. }));
    assert!(codes(&report).contains(&"challenge_foreign"));
    let report = office.check(asked.clone()).await;
    assert_eq!(report.status, CheckStatus::Failed);
    assert!(matches!(report.found.active, Active::Failed(_)), "an answer that was known");
    assert!(codes(&report).contains(&"challenge_spent"));

    let (challenge, until) = office.checks.challenge().await.unwrap();
    assert_eq!(challenge.len(), 8);
    assert!(until > portcullis_types::Clock::now(&*office.clock));
    let (_, response) = asked.answer.clone().unwrap();
    let other = EmrtdAsked { answer: Some((challenge, response)), ..asked.clone() };
    let wrong = codes(&office.check(other.clone()).await);
    assert!(wrong.contains(&"active_authentication_wrong"));
    assert!(!wrong.iter().any(|code| code.starts_with("challenge_")), "it was made here");
    let again = codes(&office.check(other).await);
    assert!(again.contains(&"challenge_spent"), "and is used up");

    let (late, _) = office.checks.challenge().await.unwrap();
    office.clock.advance(CHALLENGE_TTL);
    let (_, response) = asked.answer.clone().unwrap();
    let late = EmrtdAsked { answer: Some((late, response)), ..asked };
    assert!(codes(&office.check(late).await).contains(&"challenge_spent"));
});

on_both!(the_chip_is_held_against_what_is_printed_and_said, |db: TestDb| {
    let office = Office::new(db);
    let (asked, authorities) = chip("as issued");
    office.import(&authorities[0]).await.unwrap();
    let zone = office.check(asked.clone()).await.found.passive.zone.unwrap();
    let expected = Expected { surname: Some("Mustermann".into()), ..Expected::default() };
    let printed = Some(zone.lines.join("\n"));
    let same = EmrtdAsked { printed, expected, ..asked.clone() };
    assert_eq!(office.check(same).await.status, CheckStatus::Passed);
    let other = zone.lines.join("\n").replace("ERIKA", "ERICA");
    let printed = EmrtdAsked { printed: Some(other), ..asked.clone() };
    assert!(codes(&office.check(printed).await).contains(&"printed_differs"));
    let expected = Expected { surname: Some("Musterfrau".into()), ..Expected::default() };
    let report = office.check(EmrtdAsked { expected, ..asked }).await;
    assert_eq!(report.status, CheckStatus::Failed);
    assert!(codes(&report).contains(&"field_differs"));
});

on_both!(zones_are_read_and_recorded, |db: TestDb| {
    let office = Office::new(db);
    let text = "P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<\n\
                L898902C36UTO7408122F1204159ZE184226B<<<<<10";
    let (status, codes) = office.zone(text, Expected::default()).await;
    assert_eq!(status, CheckStatus::Failed);
    assert_eq!(codes, ["document_expired", "specimen", "specimen"]);
    let (status, codes) = office.zone("nothing", Expected::default()).await;
    assert_eq!((status, codes), (CheckStatus::Failed, vec!["zone_unreadable"]));
    let recorded = office.recorded();
    assert_eq!(recorded.iter().map(|one| one.status).collect::<Vec<_>>(), ["failed", "failed"]);
    assert_eq!(recorded[0].codes, ["document_expired", "specimen"]);
    let long = ZoneAsked { text: "<".repeat(5000), find: true, expected: Expected::default() };
    let refused = office.checks.zone(long, &machine(), &Origin::default()).await;
    assert!(matches!(refused, Err(CheckError::Invalid("ocr_text", _))));
});

const LICENCE: &[u8] = include_bytes!("../../../documents/tests/licence.txt");
const PHOTO: &[u8] = include_bytes!("../../../capture/tests/photo.jpg");
const BLURRED: &[u8] = include_bytes!("../../../capture/tests/blurred.jpg");

on_both!(licences_are_read_from_pictures_as_from_their_barcode, |db: TestDb| {
    let office = Office::new(db);
    let check = async |barcode| {
        let expected = Expected { surname: Some("Lovelace".into()), ..Expected::default() };
        let asked = BarcodeAsked { barcode, expected };
        office.checks.barcode(asked, &machine(), &Origin::default()).await.unwrap()
    };
    let [typed, seen] =
        [Barcode::Payload(LICENCE.to_vec()), Barcode::Picture(PHOTO.to_vec())].map(check);
    let (typed, seen) = (typed.await, seen.await);
    assert_eq!((typed.status, typed.assurance), (CheckStatus::Passed, Assurance::SelfAsserted));
    assert_eq!(typed.found.licence, seen.found.licence);
    assert!(seen.found.quality.is_some() && typed.found.quality.is_none());
    let blurred = check(Barcode::Picture(BLURRED.to_vec())).await;
    assert_eq!(codes(&blurred), ["picture_blurred", "barcode_not_found"]);
    let none = check(Barcode::Picture(b"hello".to_vec())).await;
    assert_eq!((none.status, codes(&none)), (CheckStatus::Failed, vec!["picture_unusable"]));
    let other = check(Barcode::Payload(b"hello".to_vec())).await;
    assert_eq!(codes(&other), ["barcode_unreadable"]);
});

on_both!(pictures_are_measured, |db: TestDb| {
    let office = Office::new(db);
    let check = async |picture: &[u8]| {
        let actor = machine();
        office.checks.picture(picture.to_vec(), &actor, &Origin::default()).await.unwrap()
    };
    let photo = check(PHOTO).await;
    assert_eq!((photo.status, photo.assurance), (CheckStatus::Passed, Assurance::Heuristic));
    assert_eq!(codes(&check(BLURRED).await), ["picture_blurred"]);
    assert_eq!(office.recorded()[1].codes, ["picture_blurred"]);
});

on_both!(who_vouched_takes_along_whom_nobody_else_vouches_for, |db: TestDb| {
    let office = Office::new(db);
    let (asked, files) = chip("by a link certificate");
    for file in &files {
        office.import(file).await.unwrap();
    }
    assert_eq!(office.check(asked.clone()).await.status, CheckStatus::Passed);
    let old = HEXLOWER.encode(&Certificate::read(&files[0]).unwrap().fingerprint());
    assert_eq!(office.remove(&old).await, 2, "and the link");
    assert_eq!(office.check(asked).await.status, CheckStatus::Review);
});

on_both!(an_expired_document_is_genuine_all_the_same, |db: TestDb| {
    let office = Office::new(db);
    let (asked, files) = chip("document expired");
    office.import(&files[0]).await.unwrap();
    let report = office.check(asked).await;
    assert_eq!((report.status, report.assurance), (CheckStatus::Failed, Assurance::Cryptographic));
    assert!(!report.found.passive.failed());
});

on_both!(what_could_not_be_compared_is_told, |db: TestDb| {
    let office = Office::new(db);
    let (mut asked, files) = chip("no zone given");
    office.import(&files[0]).await.unwrap();
    asked.expected.surname = Some("Nobody".into());
    asked.printed = Some("AAA".into());
    let report = office.check(asked.clone()).await;
    assert_eq!(report.status, CheckStatus::Review);
    assert_eq!(codes(&report).iter().filter(|code| **code == "not_compared").count(), 2);
    // Whatever was asked for is in the digest.
    let plain = EmrtdAsked { files: asked.files.clone(), ..EmrtdAsked::default() };
    assert_ne!(office.check(plain).await.inputs_hash, report.inputs_hash);
});

on_both!(imports_at_once_leave_one_list_of_an_authority, |db: TestDb| {
    let office = Office::new(db);
    let (_, files) = chip("signer revoked");
    let (_, other) = chip("another signer revoked");
    office.import(&files[0]).await.unwrap();
    let (one, two) = tokio::join!(office.import(&files[1]), office.import(&other[1]));
    assert_eq!(one.unwrap().crls + two.unwrap().crls, 1, "they are as new as each other");
    assert_eq!(office.checks.trust_used().await.unwrap().crls, 1);
});

on_both!(a_row_that_cannot_be_read_stops_nothing, |db: TestDb| {
    let office = Office::new(db);
    let (asked, files) = chip("as issued");
    office.import(&files[0]).await.unwrap();
    let broken = TrustRow {
        fingerprint: "00".into(),
        kind: "certificate".into(),
        country: "DE".into(),
        subject: "C=DE".into(),
        valid_from: 0,
        valid_until: None,
        der: b"hello".to_vec(),
        source: "a.ml".into(),
        imported_at: 0,
    };
    let row = &broken;
    office
        .db
        .db
        .write(|tx| async move {
            trust::insert(&tx, "main", row).await?;
            trust::changed(&tx, "main").await
        })
        .await
        .unwrap();
    assert_eq!(office.check(asked).await.status, CheckStatus::Passed);
    assert_eq!(office.remove("00").await, 1);
});
