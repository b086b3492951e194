use std::thread;

use portcullis_screening::{Pair, Policy, Schema};
use proptest::{prelude::*, sample::select};

use crate::verdict;

const WORDS: [&str; 24] = [
    "mohammed", "ali", "bin", "al", "hassan", "hussein", "ivanov", "sergei", "li", "wei", "smith",
    "john", "maria", "mario", "von", "braun", "j", "7", "trading", "company", "ltd", "gmbh",
    "rahman", "abdul",
];

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::collection::vec(select(&WORDS[..]), 1..6).prop_map(|words| words.join(" ")),
        "\\PC{0,24}",
        "[a-z]{1,9} [a-z]{1,9} [a-z]{1,9}"
    ]
}

fn schema() -> impl Strategy<Value = Schema> {
    select(vec![
        Schema::Person,
        Schema::Company,
        Schema::Vessel,
        Schema::LegalEntity,
        Schema::Thing,
    ])
}

proptest! {
    #[test]
    fn the_sides_are_alike(schema in schema(), left in name(), right in name()) {
        let (there, back) = (verdict(schema, &[("name", &left)], &[("name", &right)]), verdict(schema, &[("name", &right)], &[("name", &left)]));
        prop_assert!((there.score - back.score).abs() < 0.000_2, "{} {}", there.score, back.score);
        prop_assert!((0.0..=1.0).contains(&there.score));
    }

    #[test]
    fn a_name_is_itself_in_any_order(words in prop::collection::vec("[b-df-hj-np-tv-z][aeiou][b-df-hj-np-tv-z]{2}[a-z]{2,5}", 2..5), turn in 0usize..5) {
        let straight = words.join(" ");
        let mut turned = words;
        let places = turned.len();
        turned.rotate_left(turn % places);
        let score = verdict(Schema::Person, &[("name", &straight)], &[("name", &turned.join(" "))]).score;
        prop_assert!(score >= 0.99, "{straight}: {score}");
    }

    #[test]
    fn what_agrees_never_lowers_a_score(left in name(), right in name(), year in 1930u16..2010, gender in select(vec!["male", "female"])) {
        let birth = format!("{year}-05-17");
        let plain = verdict(Schema::Person, &[("name", &left)], &[("name", &right)]).score;
        let dated = verdict(Schema::Person, &[("name", &left), ("birthDate", &birth)], &[("name", &right), ("birthDate", &birth)]).score;
        prop_assert!(dated >= plain);
        let more = |name| [("name", name), ("birthDate", birth.as_str()), ("gender", gender), ("country", "fr")];
        prop_assert!(verdict(Schema::Person, &more(left.as_str()), &more(right.as_str())).score >= dated);
    }

    #[test]
    fn another_name_never_lowers_a_score(left in name(), right in name(), other in name()) {
        let one = verdict(Schema::Company, &[("name", &left)], &[("name", &right)]).score;
        let two = verdict(Schema::Company, &[("name", &left)], &[("name", &right), ("alias", &other)]).score;
        prop_assert!(two >= one);
    }
}

#[test]
fn every_thread_says_the_same() {
    let lines = [
        r#"{"left":{"schema":"Person","properties":{"name":["Abd al-Rahman Yusuf"],"birthDate":["1970"]}},"right":{"schema":"Person","properties":{"name":["عبد الرحمن يوسف"],"birthDate":["1971-02-03"]}}}"#,
        r#"{"left":{"schema":"Company","properties":{"name":["Alpha Trading Co Ltd"]}},"right":{"schema":"Company","properties":{"name":["Alfa Trade LLC"]}}}"#,
    ];
    let scores =
        || lines.map(|line| Pair::parse(line).unwrap().score(&Policy::strict()).score.to_bits());
    let expected = scores();
    let threads: Vec<_> = (0..4)
        .map(|_| {
            thread::spawn(move || {
                lines
                    .map(|line| Pair::parse(line).unwrap().score(&Policy::strict()).score.to_bits())
            })
        })
        .collect();
    for thread in threads {
        assert_eq!(thread.join().unwrap(), expected);
    }
}
