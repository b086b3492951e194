//! Names and lists come from everywhere.

use std::{
    convert::Infallible,
    io::{BufRead, Cursor},
};

use portcullis_screening::{
    Pair, Policy, Profile,
    import::{ColumnMap, Format, Part, REPORT_MAX_MALFORMED, import, read_delta},
    index::{Index, IndexBuilder, Place, Search},
    names,
};
use serde_json::json;

pub const PAIRS: &[&[u8]] = &[
    r#"{"left":{"schema":"Person","properties":{"name":["Abd al-Rahman Yusuf"],"birthDate":["1970-02-03"]}},"right":{"schema":"Person","properties":{"name":["عبد الرحمن يوسف"],"weakAlias":["A. J."],"birthDate":["circa 1970"]}}}"#.as_bytes(),
    r#"{"left":{"schema":"Company","properties":{"name":"长安科技有限公司","imoNumber":"IMO 9074729"}},"right":{"schema":"Thing","properties":{"name":["Chang An Technology Co., Ltd. (CATC)","ООО «Ромашка»"],"leiCode":[]}}}"#.as_bytes(),
    "Müller-Lüdenscheid\u{202e} van der Straße & Co. KG I.B.M. N°5 ทักษิณ やまもと".as_bytes(),
];

/// Any two entities have one score, whichever is called left, and reasons for it. Any text is a name.
pub fn screening_pairs(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    let read = names::words(text, None, true);
    assert!(read.len() <= names::NAME_MAX_WORDS);
    let Ok(pair) = Pair::parse(text) else { return };
    let policy = Policy::balanced();
    let there = pair.score(&policy);
    let back = Pair { left: pair.right.clone(), right: pair.left.clone() }.score(&policy);
    assert!(
        (0.0..=1.0).contains(&there.score) && (there.score - back.score).abs() < 0.001,
        "{} {}",
        there.score,
        back.score
    );
    assert!(there.text(&policy).starts_with("Score "));
    assert!(pair.score(&policy) == there);
    // An index of one entity finds it whenever it is a hit.
    let search = Search { policy: &policy, cutoff: 0.5, limit: 1 };
    let mut builder = IndexBuilder::new();
    builder.add(&pair.right, Place::default());
    let mut file = Vec::new();
    assert!(builder.write([0; 32], &mut file).is_ok());
    let index = Index::open(file);
    assert!(index.is_ok(), "an index that was just made");
    let Ok(index) = index else { return };
    let load = |_| Ok::<_, Infallible>(Some(pair.right.clone()));
    let Ok(found) = index.search(&pair.left, search, load);
    assert_eq!(!found.is_empty(), there.schemas_fit && there.score >= search.cutoff, "{text}");
}

/// Whatever a list holds: what is read of it can be screened, and what cannot be read is told.
fn list(format: Format, input: &[u8]) {
    let columns: ColumnMap = serde_json::from_value(
        json!({"id": "id", "values": "|", "properties": {"name": ["name"], "alias": ["aka"]}}),
    )
    .expect("it is one");
    let open = |part| {
        Ok((part == Part::Main || part == Part::Comments || input.len() > 40)
            .then(|| Box::new(Cursor::new(input)) as Box<dyn BufRead>))
    };
    let mut entities = 0;
    let report = import(format, &open, Some(&columns), true, &mut |listed| {
        entities += 1;
        assert!(!listed.id.is_empty());
        let profile = Profile::new(&listed.entity);
        assert!(profile.aliases.len() <= portcullis_screening::PROFILE_MAX_NAMES);
        Ok(())
    });
    if let Ok(report) = report {
        assert!(report.entities == entities && report.malformed.len() <= REPORT_MAX_MALFORMED);
    }
}

macro_rules! lists {
    ($($name:ident: $format:ident),* $(,)?) => { $(
        /// One format; see `list`.
        pub fn $name(input: &[u8]) {
            list(Format::$format, input);
        }
    )* };
}

lists! {
    list_un_xml: UnXml,
    list_ofac_csv: OfacCsv,
    list_ofac_xml: OfacXml,
    list_ofac_advanced_xml: OfacAdvancedXml,
    list_eu_xml: EuXml,
    list_eu_csv: EuCsv,
    list_uk_xml: UkXml,
    list_uk_csv: UkCsv,
    list_csl_csv: CslCsv,
    list_ftm: Ftm,
    list_ftm_nested: FtmNested,
    list_ftm_simple: FtmSimple,
    list_senzing: Senzing,
    list_csv: Csv,
}

/// Changes of a list.
pub fn list_delta(input: &[u8]) {
    let mut changes = 0;
    let read = read_delta(input, |_| {
        changes += 1;
        Ok(())
    });
    if let Ok((applied, _)) = read {
        assert_eq!(applied, changes);
    }
}

pub const OFAC_XML: &[u8] = include_bytes!("../../crates/screening/tests/fixtures/ofac_sdn.xml");
pub const OFAC_ADVANCED_XML: &[u8] =
    include_bytes!("../../crates/screening/tests/fixtures/ofac_sdn_advanced.xml");
pub const EU_XML: &[u8] = include_bytes!("../../crates/screening/tests/fixtures/eu_fsf.xml");
pub const EU_CSV: &[u8] = include_bytes!("../../crates/screening/tests/fixtures/eu_fsf.csv");
pub const UK_XML: &[u8] = include_bytes!("../../crates/screening/tests/fixtures/uk_list.xml");
pub const UK_CSV: &[u8] = include_bytes!("../../crates/screening/tests/fixtures/uk_list.csv");
pub const CSL_CSV: &[u8] = include_bytes!("../../crates/screening/tests/fixtures/csl.csv");
pub const FTM: &[u8] =
    include_bytes!("../../crates/screening/tests/fixtures/opensanctions.entities.ftm.json");
pub const FTM_NESTED: &[u8] =
    include_bytes!("../../crates/screening/tests/fixtures/opensanctions.targets.nested.json");
pub const FTM_SIMPLE: &[u8] =
    include_bytes!("../../crates/screening/tests/fixtures/opensanctions.targets.simple.csv");
pub const SENZING: &[u8] = include_bytes!("../../crates/screening/tests/fixtures/senzing.jsonl");
pub const DELTA: &[u8] =
    include_bytes!("../../crates/screening/tests/fixtures/opensanctions.delta.json");
pub const UN_XML: &[u8] = br#"<CONSOLIDATED_LIST dateGenerated="x"><INDIVIDUALS><INDIVIDUAL><FIRST_NAME>A</FIRST_NAME><REFERENCE_NUMBER>QDi.1 </REFERENCE_NUMBER><INDIVIDUAL_ALIAS><QUALITY>Low</QUALITY><ALIAS_NAME>B (C; &#x416;); D b) E</ALIAS_NAME></INDIVIDUAL_ALIAS><INDIVIDUAL_DATE_OF_BIRTH><TYPE_OF_DATE>BETWEEN</TYPE_OF_DATE><FROM_YEAR>1950</FROM_YEAR><TO_YEAR>1960</TO_YEAR></INDIVIDUAL_DATE_OF_BIRTH></INDIVIDUAL></INDIVIDUALS></CONSOLIDATED_LIST>"#;
pub const OFAC_CSV: &[u8] = b"36,\"A, B\",\"individual\",\"X] [Y\",-0- ,-0- ,-0- ,-0- ,-0- ,-0- ,-0- ,\"DOB 12 Jul 1986; alt. POB C; Passport 1 (D) issued 1 Jan 2000; a.k.a. 'E'.\"\r\n\x1a";
pub const CSV: &[u8] = b"id,name,aka\n1,\"A \"\"B\"\"\",C|D\n2,E\n";
