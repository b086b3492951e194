use portcullis_screening::{Policy, Schema};

use crate::verdict;

fn text(schema: Schema, left: &[(&str, &str)], right: &[(&str, &str)]) -> String {
    verdict(schema, left, right).text(&Policy::balanced())
}

#[test]
fn a_match_is_explained_part_by_part() {
    let found = text(
        Schema::Person,
        &[("name", "Sergei Ivanov"), ("birthDate", "1953-01-31"), ("country", "Russia")],
        &[("name", "ИВАНОВ, Сергей Борисович"), ("birthDate", "1953"), ("nationality", "ru")],
    );
    assert_eq!(
        found,
        "Score 0.98: a match (policy balanced, threshold 0.70). Names: \"Sergei Ivanov\" and \"ИВАНОВ, Сергей Борисович\", 0.96 by themselves. \
         Matched: \"ivanov\" the same; \"sergei\" and \"sergey\" a form of the same name (0.94). \
         Without counterpart: \"borisovich\" (right, 29 % of its name). \
         Beyond names: born 1953-01-31 and 1953, which agree (+0.02); country ru in common (+0.01)."
    );
}

#[test]
fn a_number_decides_alone() {
    let found = text(
        Schema::Vessel,
        &[("name", "Happy Lady"), ("imoNumber", "IMO 9074729")],
        &[("name", "Grace 1"), ("imoNumber", "9074729")],
    );
    assert_eq!(
        found,
        "Score 0.99: a match (policy balanced, threshold 0.70). Names: \"Happy Lady\" and \"Grace 1\", 0.10 by themselves. \
         Without counterpart: \"happy\" (left, 52 % of its name); \"lady\" (left, 48 % of its name); \"grace\" (right, 50 % of its name); \"1\" (right, 50 % of its name). \
         Beyond names: the same imoNumber 9074729, which is given once in the world and decides alone (+0.89)."
    );
}

#[test]
fn what_speaks_against_is_named() {
    let found = text(
        Schema::Person,
        &[
            ("name", "Maria Lopez"),
            ("gender", "female"),
            ("birthDate", "1980-01-01"),
            ("country", "es"),
        ],
        &[
            ("weakAlias", "Maria Lopes"),
            ("gender", "M"),
            ("birthDate", "1955-01-01"),
            ("country", "mx"),
        ],
    );
    assert_eq!(
        found,
        "Score 0.34: no match (policy balanced, threshold 0.70). Names: \"Maria Lopez\" and \"Maria Lopes\", 0.99 by themselves. \
         Matched: \"maria\" the same; \"lopez\" and \"lopes\" a form of the same name (0.94). \
         Beyond names: the name that matched is a weak alias (-0.02); born 1980-01-01 and 1955-01-01 (-0.18); female and male (-0.36); \
         countries es and mx, none in common (-0.08)."
    );
}

#[test]
fn nothing_to_compare_is_no_match() {
    assert_eq!(
        text(Schema::Person, &[("birthDate", "1980")], &[("birthDate", "1980")]),
        "Score 0.00: no match (policy balanced, threshold 0.70). No names to compare. Beyond names: born 1980 and 1980, which agree (+0.00)."
    );
}

#[test]
fn a_person_is_no_company() {
    let line = r#"{"left":{"schema":"Person","properties":{"name":"Anna Smith"}},"right":{"schema":"Company","properties":{"name":"Anna Smith"}}}"#;
    let verdict = portcullis_screening::Pair::parse(line).unwrap().score(&Policy::balanced());
    assert!(
        verdict
            .text(&Policy::balanced())
            .ends_with("One cannot be the other: they are of different kinds.")
    );
}
