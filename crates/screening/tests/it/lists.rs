//! Importers on real lists, with counts that can be checked in the files (`formats` says how), and on files
//! that mean harm.

use std::io::{BufRead, Cursor};

use portcullis_screening::{
    Schema,
    import::{Format, ImportError, Listed, Open, Part, Report, import},
};

pub fn list(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/lists/{name}.zlib", env!("CARGO_MANIFEST_DIR"));
    miniz_oxide::inflate::decompress_to_vec_zlib(&std::fs::read(path).unwrap()).unwrap()
}

fn read(format: Format, open: Open<'_>, skip: bool) -> Result<(Vec<Listed>, Report), ImportError> {
    let mut found = Vec::new();
    let report = import(format, open, None, skip, &mut |listed| {
        found.push(listed);
        Ok(())
    })?;
    Ok((found, report))
}

pub fn read_text(
    format: Format,
    text: &[u8],
    skip: bool,
) -> Result<(Vec<Listed>, Report), ImportError> {
    read(
        format,
        &|part| Ok((part == Part::Main).then(|| Box::new(Cursor::new(text)) as Box<dyn BufRead>)),
        skip,
    )
}

fn ofac_part(part: Part) -> std::io::Result<Option<Box<dyn BufRead>>> {
    let name = match part {
        Part::Main => "sdn.csv",
        Part::Aliases => "alt.csv",
        Part::Addresses => "add.csv",
        Part::Comments => "sdn_comments.csv",
    };
    Ok(Some(Box::new(Cursor::new(list(name)))))
}

/// The whole list of OFAC.
pub fn ofac() -> Vec<Listed> {
    read(Format::OfacCsv, &ofac_part, false).unwrap().0
}

fn of<'l>(found: &'l [Listed], id: &str) -> &'l Listed {
    found.iter().find(|listed| listed.id == id).unwrap_or_else(|| panic!("no {id}"))
}

fn values(found: &[Listed], property: &str) -> usize {
    found.iter().map(|listed| listed.entity.get(property).len()).sum()
}

#[test]
fn the_list_of_the_united_nations() {
    let (found, report) = read_text(Format::UnXml, &list("un_consolidated.xml"), false).unwrap();
    assert_eq!(report.published.as_deref(), Some("2026-02-27T00:00:09.554Z"));
    let people = found.iter().filter(|listed| listed.entity.schema == Schema::Person).count();
    assert_eq!((people, found.len()), (730, 1003));
    // Two of the list are women and 52 men by their own element; the others do not say.
    assert_eq!(values(&found, "gender"), 54);
    assert_eq!(values(&found, "nationality"), 651, "652 values, one of which is `na`");

    let of = |id| &of(&found, id).entity;
    assert!(of("KPe.055").get("alias").contains(&"長安海連技術有限公司".to_owned()));
    assert_eq!(of("KPe.055").get("name"), ["CHANG AN SHIPPING & TECHNOLOGY"]);
    let sabet = [
        "Mohammed Sabet",
        "Mohammad Sabet",
        "M. Javad Kareemi Sabet",
        "M. Jawad Kareemi Sabet",
        "M. Jawad Karimi Sabet",
    ];
    assert!(
        sabet.iter().all(|name| of("IRi.034").get("alias").contains(&(*name).to_owned())),
        "{:?}",
        of("IRi.034").get("alias")
    );
    assert!(of("KPi.035").get("alias").contains(&"金铁三".to_owned()));
    assert_eq!(of("TAi.002").get("birthDate"), ["circa 1955 to 1958", "circa 1945 to 1950"]);
    assert_eq!(of("QDi.291").get("birthDate"), ["1982-04-19", "1982-04-18"]);
    assert_eq!(of("CFi.009").get("weakAlias"), ["Le Messie sanglant"]);
    assert!(of("CFi.009").get("birthDate").contains(&"1961-08".to_owned()));
    assert!(found.iter().all(|listed| !listed.entity.get("name").is_empty()));
    // Numbers stand among words, behind labels, in notes, and in the kind.
    for (id, property, number) in [
        ("TAi.141", "idNumber", "300786"),
        ("TAi.143", "idNumber", "4414"),
        ("QDi.203", "passportNumber", "A 0139243"),
        ("CFi.008", "idNumber", "911-10-77"),
        ("SOi.010", "idNumber", "423-31-3021"),
        ("IRi.023", "passportNumber", "Z30321794"),
        ("SSi.003", "passportNumber", "R00012098"),
        ("QDi.057", "passportNumber", "347834"),
        ("QDi.305", "idNumber", "1127083101740003"),
        ("TAi.071", "idNumber", "545167"),
        ("LYi.018", "passportNumber", "B0515260"),
    ] {
        let have = of(id).get(property);
        assert!(have.iter().any(|value| value == number), "{id} {property}: {have:?}");
    }
}

#[test]
fn the_list_of_the_treasury() {
    let (found, report) = read(Format::OfacCsv, &ofac_part, false).unwrap();
    let count = |schema| found.iter().filter(|listed| listed.entity.schema == schema).count();
    assert_eq!(found.len(), 8976);
    assert_eq!(
        [Schema::Person, Schema::Organization, Schema::Vessel, Schema::Airplane].map(count),
        [4620, 3673, 406, 277]
    );
    // 399 ships have a number of a ship; those of nine companies are none.
    assert_eq!(
        values(&found, "imoNumber"),
        400,
        "399, and one that stands without the letters IMO"
    );
    let wallets: std::collections::HashSet<&String> =
        found.iter().flat_map(|listed| listed.entity.get("publicKey")).collect();
    assert_eq!(wallets.len(), 95);
    assert_eq!(values(&found, "gender"), 1513);
    assert_eq!(report.unknown.keys().collect::<Vec<_>>(), ["free text in remarks"]);

    let of = |id| &of(&found, id).entity;
    assert_eq!(of("30518").get("publicKey").len(), 19);
    assert!(
        of("30518").get("publicKey").contains(&"1GqChmWqGtsaLrGbHfgdrV5Nkvahtjjuxr".to_owned())
    );
    assert!(
        ["tianyinyin0404", "snowsjohn"]
            .iter()
            .all(|name| of("28263").get("weakAlias").contains(&(*name).to_owned()))
    );
    assert_eq!(of("6368").get("weakAlias"), ["'ABD-AL-'IZ", "ABU YASIR"]);
    assert_eq!(of("11748").get("birthDate"), ["circa 1979 to 1982", "1982"]);
    assert_eq!(of("15038").get("imoNumber"), ["9187667"]);
    assert_eq!(of("15038").get("pastFlags"), ["Malta", "Tuvalu", "Tanzania"]);
    assert!(of("23424").get("imoNumber").is_empty());
    assert!(of("19569").get("imoNumber").is_empty());
}

#[test]
fn the_consolidated_list_of_commerce() {
    let (found, _) = read_text(Format::CslCsv, &list("us_csl_sample.csv"), false).unwrap();
    assert_eq!(found.len(), 115);
    assert_eq!(found.iter().filter(|listed| listed.entity.schema == Schema::Person).count(), 20);
    let of = |id| &of(&found, id).entity;
    assert_eq!(of("27304").get("imoNumber"), ["9116412"]);
    assert_eq!(of("27304").get("pastFlags"), ["Panama"]);
    assert_eq!(of("10727").get("birthDate"), ["1974", "1975"]);
    assert!(found.iter().any(|listed| listed.entity.get("name")[0].starts_with("Gui")
        && listed.entity.get("name")[0].contains('’')));
}

#[test]
fn a_list_that_is_cut_off_is_refused() {
    let whole = list("un_consolidated.xml");
    for share in [3, 2] {
        let cut = &whole[..whole.len() / share];
        let refused = read_text(Format::UnXml, cut, true).unwrap_err();
        assert!(
            refused.to_string().contains("not whole")
                || refused.to_string().contains("not well-formed"),
            "{refused}"
        );
    }
}

#[test]
fn hostile_xml_is_refused() {
    let refused =
        |text: &str| read_text(Format::UnXml, text.as_bytes(), true).unwrap_err().to_string();
    assert!(
        refused("<!DOCTYPE a [<!ENTITY x \"y\">]><CONSOLIDATED_LIST/>").contains("document type")
    );
    assert!(refused("<CONSOLIDATED_LIST><INDIVIDUAL><FIRST_NAME>&x;</FIRST_NAME></INDIVIDUAL></CONSOLIDATED_LIST>").contains("not an entity of XML"));
    assert!(
        refused(&format!("<CONSOLIDATED_LIST><INDIVIDUAL>{}", "<a>".repeat(1000)))
            .contains("too deep")
    );
    assert!(refused(&format!("<CONSOLIDATED_LIST>{}", "<a>".repeat(1000))).contains("too deep"));
    assert!(
        refused(&format!("<CONSOLIDATED_LIST><INDIVIDUAL>{}", "<a/>".repeat(60_000)))
            .contains("too large")
    );
    assert!(
        refused(&format!("<CONSOLIDATED_LIST><INDIVIDUAL><a>{}", "x".repeat(9 << 20)))
            .contains("longer than")
    );
    assert!(refused("<html></html>").contains("the root is `html`"));
    assert!(
        refused("<?xml version=\"1.0\" encoding=\"UTF-16\"?><CONSOLIDATED_LIST/>")
            .contains("UTF-8")
    );
    assert!(
        refused("<CONSOLIDATED_LIST></CONSOLIDATED_LIST><CONSOLIDATED_LIST/>")
            .contains("follows the root")
    );
}

#[test]
fn malformed_records_are_told_with_their_place_and_skipped_only_if_asked() {
    let text = b"{\"id\":\"a\",\"schema\":\"Person\",\"properties\":{\"name\":[\"Ann Lee\"]}}\n{\"id\":\n{\"id\":\"a\",\"schema\":\"Person\",\"properties\":{\"name\":[\"Ann\"]}}\n";
    let refused = read_text(Format::Ftm, text, false).unwrap_err();
    assert!(refused.to_string().starts_with("line 2:"), "{refused}");
    let (found, report) = read_text(Format::Ftm, text, true).unwrap();
    assert_eq!((found.len(), report.skipped), (1, 2));
    assert!(report.malformed[1].reason.contains("there already"));
}

#[test]
fn a_billion_aliases_do_not_fit() {
    let many = vec!["\"x\""; 5000].join(",");
    let text =
        format!("{{\"id\":\"a\",\"schema\":\"Person\",\"properties\":{{\"alias\":[{many}]}}}}\n");
    let (found, _) = read_text(Format::Ftm, text.as_bytes(), false).unwrap();
    assert!(found[0].entity.get("alias").len() <= portcullis_screening::PROPERTY_MAX_VALUES);
    let long = "x".repeat(17 << 20);
    assert!(
        read_text(Format::Ftm, long.as_bytes(), true)
            .unwrap_err()
            .to_string()
            .contains("longer than")
    );
}
