//! Names and lists come from everywhere.

use portcullis_screening::{Pair, Policy, names};

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
}
