//! Machine readable zones: the specimens of ICAO 9303-4 to -7, and what is wrong with others.

use portcullis_documents::{
    finding::Finding,
    zone::{self, Day, Expected, Zone},
};

const TODAY: Day = Day { year: 2026, month: 11, day: 1 };
const THEN: Day = Day { year: 2011, month: 11, day: 1 };
const PASSPORT: &str = "P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<\n\
                        L898902C36UTO7408122F1204159ZE184226B<<<<<10";

fn codes(findings: &[Finding]) -> Vec<String> {
    let show = |finding: &Finding| format!("{} {}", finding.code.as_str(), finding.detail);
    findings.iter().map(show).collect()
}

fn read(text: &str, today: Day) -> Zone {
    zone::read(text, today).unwrap()
}

#[test]
fn each_format_is_read() {
    for (text, format, code, number) in [
        (PASSPORT, "TD3", "P", "L898902C3"),
        (
            "I<UTOD231458907<<<<<<<<<<<<<<<\n7408122F1204159UTO<<<<<<<<<<<6\nERIKSSON<<ANNA<MARIA<<<<<<<<<<",
            "TD1",
            "I",
            "D23145890",
        ),
        (
            "I<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<\nD231458907UTO7408122F1204159<<<<<<<6",
            "TD2",
            "I",
            "D23145890",
        ),
        (
            "V<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<\nL8988901C4XXX4009078F96121096ZE184226B<<<<<<",
            "MRV-A",
            "V",
            "L8988901C",
        ),
        (
            "V<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<\nL8988901C4XXX4009078F9612109<<<<<<<<",
            "MRV-B",
            "V",
            "L8988901C",
        ),
    ] {
        let zone = read(text, THEN);
        let found = (zone.format, zone.document_code.as_str(), zone.document_number.as_str());
        assert_eq!(found, (format, code, number));
        assert_eq!((zone.surname.as_str(), zone.given_names.as_str()), ("ERIKSSON", "ANNA MARIA"));
        assert!(zone.check_digits.iter().all(|(_, right)| *right), "{format}: {zone:?}");
    }
}

#[test]
fn what_is_wrong_is_told() {
    let specimen = ["specimen issuing_state", "specimen nationality"];
    assert_eq!(codes(&read(PASSPORT, THEN).findings(THEN)), specimen);
    let zone = read(PASSPORT, TODAY);
    assert_eq!(codes(&zone.findings(TODAY))[0], "document_expired ");
    let altered = PASSPORT.replace("740812", "750812");
    let found = codes(&read(&altered, THEN).findings(THEN));
    assert_eq!(found[..2], ["check_digit_wrong date_of_birth", "check_digit_wrong composite"]);
    let nowhere = PASSPORT.replace("UTO", "QQQ");
    let found = codes(&read(&nowhere, THEN).findings(THEN));
    assert!(found.contains(&"state_unknown issuing_state".to_owned()), "{found:?}");
}

#[test]
fn what_is_no_zone_is_refused() {
    for text in ["", "P<UTO", "Ü", &"P<".repeat(3000), &PASSPORT.replace('<', "?"), &PASSPORT[1..]]
    {
        assert!(zone::read(text, TODAY).is_err());
        assert!(zone::find(text, TODAY).is_err() || text.len() > 80);
    }
    let code = zone::read(PASSPORT.get(1..).unwrap(), TODAY).unwrap_err().code;
    assert_eq!(code.as_str(), "zone_unreadable");
}

#[test]
fn a_zone_is_found_in_other_text() {
    let text = format!("PASSPORT\nUtopia\n{PASSPORT}\n--");
    let (zone, found) = zone::find(&text, THEN).unwrap();
    assert_eq!((zone.surname.as_str(), found.len()), ("ERIKSSON", 0));
    // A zero that was read as the letter is read as a zero, and that is told.
    let misread = text.replace("L898902C3", "L8989O2C3");
    let (zone, found) = zone::find(&misread, THEN).unwrap();
    assert_eq!(zone.document_number, "L898902C3");
    assert_eq!(codes(&found), ["zone_repaired "]);
}

#[test]
fn fields_are_compared_as_zones_write_them() {
    let zone = read(PASSPORT, THEN);
    let some = |text: &str| Some(text.to_owned());
    let expected = Expected {
        surname: some("Eriksson"),
        given_names: some("Anna Maria"),
        date_of_birth: some("1974-08-12"),
        date_of_expiry: some("2012-04-15"),
        document_number: some("L898902C3<"),
        nationality: some("uto"),
        issuing_state: some("UTO"),
    };
    assert_eq!(zone.compare(&expected), []);
    assert_eq!(zone.compare(&Expected::default()), []);
    let other = Expected { surname: some("Ericsson"), ..expected.clone() };
    assert_eq!(codes(&zone.compare(&other)), ["field_differs surname"]);
    let other = Expected { date_of_birth: some("1974-12-08"), surname: some("王"), ..expected };
    let found = codes(&zone.compare(&other));
    assert_eq!(found, ["field_differs date_of_birth", "name_not_compared surname"]);
}

#[test]
fn names_that_were_cut_are_the_same_as_far_as_they_go() {
    let text = "P<UTOPAPANDROPOULOUS<<JONATHON<ALEXANDER<DEM\n\
                L898902C36UTO7408122F1204159ZE184226B<<<<<10";
    let zone = read(text, THEN);
    let expected = |given: &str| Expected {
        surname: Some("Papandropoulous".to_owned()),
        given_names: Some(given.to_owned()),
        ..Expected::default()
    };
    assert_eq!(zone.compare(&expected("Jonathon Alexander Demetrios")), []);
    assert_eq!(zone.compare(&expected("Jonathon Alexandra")).len(), 1);
    // What is not at the end of the line was not cut.
    let zone = read(
        &text.replace(
            "PAPANDROPOULOUS<<JONATHON<ALEXANDER<DEM",
            "LI<<ANNA<MARIA<CAROLINA<FRANCESCA<JOSEF",
        ),
        THEN,
    );
    let other = Expected { surname: Some("Liebermann".to_owned()), ..Expected::default() };
    assert_eq!(zone.compare(&other).len(), 1);
    // Where there was room, nothing was cut.
    let zone = read(PASSPORT, THEN);
    let expected =
        Expected { given_names: Some("Anna Maria Margareta".to_owned()), ..Expected::default() };
    assert_eq!(zone.compare(&expected).len(), 1);
}

#[test]
fn names_may_be_written_in_the_ways_of_issuers() {
    for (zone, expected) in [
        ("OEZTUERK", "Öztürk"),
        ("OZTURK", "Öztürk"),
        ("MUELLER", "Mu\u{308}ller"),
        ("NUNXXEZ", "Nuñez"),
        ("NUNEZ", "Nuñez"),
        ("ASA", "Åsa"),
        ("AASA", "Åsa"),
    ] {
        let line = format!("{:<<44}", format!("P<UTO{zone}<<ANNA<MARIA"));
        let text = format!("{line}\nL898902C36UTO7408122F1204159ZE184226B<<<<<10");
        let expected = Expected { surname: Some(expected.to_owned()), ..Expected::default() };
        assert_eq!(read(&text, THEN).compare(&expected), [], "{zone}");
    }
}

#[test]
fn nobody_is_born_after_today() {
    let zone = read(&PASSPORT.replace("7408122", "1112315"), THEN);
    assert_eq!(zone.date_of_birth, "1911-12-31");
    let zone = read(&PASSPORT.replace("7408122", "1110310"), THEN);
    assert_eq!(zone.date_of_birth, "2011-10-31");
}

#[test]
fn births_that_are_not_known_fit_what_is_known() {
    let zone = read(&PASSPORT.replace("7408122", "74<<<<8"), THEN);
    let expected =
        |day: &str| Expected { date_of_birth: Some(day.to_owned()), ..Expected::default() };
    assert_eq!(zone.compare(&expected("1974-05-06")), []);
    assert_eq!(zone.compare(&expected("1975-05-06")).len(), 1);
}
