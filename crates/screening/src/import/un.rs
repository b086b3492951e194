//! Consolidated list of the UN Security Council.
//!
//! A person's alias has a quality (`Good`, `Low`), that of an entity a kind (`a.k.a.`, `f.k.a.`), both in the
//! element `QUALITY`. Names in the original script stand in an element, in brackets behind an alias, or in
//! its note.

use std::io::BufRead;

use super::{
    Import, ImportError, Listed,
    text::{clean, english_date, in_other_script, is_nothing, joined, split_outside},
    xml::{Element, Piece, Records},
};
use crate::entity::{Entity, Schema};

pub fn read(input: impl BufRead, import: &mut Import<'_>) -> Result<(), ImportError> {
    let mut records = Records::new(input, &["INDIVIDUAL", "ENTITY"]);
    while let Some(piece) = records.next()? {
        match piece {
            Piece::Root(root) if root.name == "CONSOLIDATED_LIST" => {
                import.report.published = Some(root.attribute("dateGenerated").to_owned());
            }
            Piece::Root(root) => {
                return Err(super::unsound(
                    records.place(),
                    format!("the root is `{}`, not `CONSOLIDATED_LIST`", root.name),
                ));
            }
            Piece::Record(element) => {
                let place =
                    || format!("{} {}", records.place(), element.text_of("REFERENCE_NUMBER"));
                import.record(place, listed(&element))?;
            }
        }
    }
    Ok(())
}

fn listed(element: &Element) -> Result<Option<Listed>, String> {
    let person = element.name == "INDIVIDUAL";
    let mut entity = Entity::new(if person { Schema::Person } else { Schema::Organization });
    let parts = ["FIRST_NAME", "SECOND_NAME", "THIRD_NAME", "FOURTH_NAME"]
        .map(|part| element.text_of(part));
    name(&mut entity, "name", &joined(parts, " "));
    if entity.get("name").is_empty() {
        return Err("it has no name".into());
    }
    split_outside(element.text_of("NAME_ORIGINAL_SCRIPT"), ';')
        .into_iter()
        .for_each(|text| name(&mut entity, "alias", text));
    for alias in element.all(if person { "INDIVIDUAL_ALIAS" } else { "ENTITY_ALIAS" }) {
        aliases(&mut entity, alias);
    }
    details(&mut entity, element);
    if person {
        personal(&mut entity, element);
    }
    Ok(Some(Listed { id: element.text_of("REFERENCE_NUMBER").to_owned(), entity }))
}

/// A name, and what stands in brackets behind it in another script.
fn name(entity: &mut Entity, property: &str, text: &str) {
    let text = clean(text);
    if !is_nothing(&text) {
        entity.add(property, &text);
        let property = if property == "name" { "alias" } else { property };
        in_other_script(&text).iter().for_each(|other| entity.add(property, other));
    }
}

fn aliases(entity: &mut Entity, alias: &Element) {
    let note = alias.text_of("NOTE").to_ascii_lowercase();
    let former = note.starts_with("previously listed as") || note.starts_with("formerly listed as");
    let property = match alias.text_of("QUALITY") {
        "Low" => "weakAlias",
        "f.k.a." => "previousName",
        _ if former => "previousName",
        _ => "alias",
    };
    for text in split_outside(alias.text_of("ALIAS_NAME"), ';') {
        without_letters(text).into_iter().for_each(|text| name(entity, property, text));
    }
    if let Some((_, original)) = alias.text_of("NOTE").split_once("riginal script:") {
        name(entity, property, original.trim_end_matches(['.', ')']));
    }
    let note = alias.text_of("NOTE");
    if ["passport", "identification", " id "].iter().any(|word| note.to_lowercase().contains(word))
    {
        in_prose(entity, note, false);
    }
    for born in ["DATE_OF_BIRTH"].map(|date| alias.text_of(date)) {
        if let Some(date) = date(born) {
            entity.add("birthDate", &date);
        }
    }
}

/// A numbered list in the text has left its letters: `Mohammad Sabet b) M. Javad Kareemi Sabet`.
fn without_letters(text: &str) -> Vec<&str> {
    let letter = |at: usize| {
        at > 0
            && text.as_bytes()[at - 1].is_ascii_lowercase()
            && (at == 1 || text.as_bytes()[at - 2] == b' ')
    };
    let mut parts = Vec::new();
    let mut from = 0;
    for (at, _) in text.match_indices(") ").filter(|(at, _)| letter(*at)) {
        parts.push(&text[from..at - 1]);
        from = at + 2;
    }
    parts.push(&text[from..]);
    parts
}

fn date(text: &str) -> Option<String> {
    english_date(text)
        .or_else(|| crate::dates::PartialDate::parse(text).map(|date| date.to_string()))
}

fn details(entity: &mut Entity, element: &Element) {
    entity.add("topics", "sanction");
    entity.add("program", element.text_of("UN_LIST_TYPE"));
    entity.add("notes", element.text_of("COMMENTS1"));
    let listing = element.text_of("LISTED_ON");
    entity.add("createdAt", listing.get(..10).unwrap_or(listing));
    for address in
        ["INDIVIDUAL_ADDRESS", "ENTITY_ADDRESS"].iter().flat_map(|kind| element.all(kind))
    {
        let parts = ["STREET", "CITY", "STATE_PROVINCE", "ZIP_CODE", "COUNTRY"]
            .map(|part| address.text_of(part));
        let full = joined(parts, ", ");
        entity.add("address", if full.is_empty() { address.text_of("NOTE") } else { &full });
        country(entity, "country", address.text_of("COUNTRY"));
    }
}

fn country(entity: &mut Entity, property: &str, text: &str) {
    if !is_nothing(text) {
        entity.add(property, text);
    }
}

fn personal(entity: &mut Entity, element: &Element) {
    entity.add("gender", &element.text_of("GENDER").to_ascii_lowercase());
    element
        .path(&["NATIONALITY", "VALUE"])
        .iter()
        .for_each(|value| country(entity, "nationality", &value.text));
    element.path(&["TITLE", "VALUE"]).iter().for_each(|value| entity.add("title", &value.text));
    element
        .path(&["DESIGNATION", "VALUE"])
        .iter()
        .for_each(|value| entity.add("position", &value.text));
    for born in element.all("INDIVIDUAL_DATE_OF_BIRTH") {
        if let Some(date) = birth(born) {
            entity.add("birthDate", &date);
        }
    }
    for born in element.all("INDIVIDUAL_PLACE_OF_BIRTH") {
        let parts = ["STREET", "CITY", "STATE_PROVINCE", "COUNTRY"].map(|part| born.text_of(part));
        entity.add("birthPlace", &joined(parts, ", "));
        country(entity, "birthCountry", born.text_of("COUNTRY"));
    }
    element.all("INDIVIDUAL_DOCUMENT").for_each(|document| number(entity, document));
}

fn birth(born: &Element) -> Option<String> {
    let circa = if born.text_of("TYPE_OF_DATE") == "APPROXIMATELY"
        || born.text_of("NOTE").eq_ignore_ascii_case("approximately")
    {
        "circa "
    } else {
        ""
    };
    let (from, to) = (born.text_of("FROM_YEAR"), born.text_of("TO_YEAR"));
    if !from.is_empty() && !to.is_empty() {
        return Some(format!("{circa}{from} to {to}"));
    }
    let given =
        [born.text_of("DATE"), born.text_of("YEAR")].into_iter().find(|text| !text.is_empty());
    match given {
        Some(text) => date(text).map(|date| format!("{circa}{date}")),
        None => Some(
            english_date(born.text_of("NOTE").trim_end_matches('.'))
                .unwrap_or_else(|| born.text_of("NOTE").to_owned()),
        )
        .filter(|date| !date.is_empty()),
    }
}

fn number(entity: &mut Entity, document: &Element) {
    let kind = document.text_of("TYPE_OF_DOCUMENT").to_lowercase();
    let passport = ["passport", "passeport", "pasaporte"].iter().any(|word| kind.contains(word));
    let text = document.text_of("NUMBER");
    if is_nothing(text) {
        // Some stand in the note, or in the other kind.
        let elsewhere =
            joined([document.text_of("TYPE_OF_DOCUMENT2"), document.text_of("NOTE")], "; ");
        in_prose(entity, &elsewhere, passport);
        return;
    }
    let passport = passport || text.to_lowercase().contains("passport");
    entity.add(if passport { "passportNumber" } else { "idNumber" }, &bare_number(text));
}

/// A number without the words around it: `Afghan identification card (tazkira) number 300786`,
/// `Diplomatic Passport: Z30321794`, `German travel document ("Reiseausweis") A 0139243`, `R1, South Sudan`.
fn bare_number(text: &str) -> String {
    let mut plain = String::new();
    for (at, piece) in text.split(['(', ')']).enumerate() {
        // What stands in brackets belongs to the number only if it has digits and nothing outside has.
        if at % 2 == 0 {
            plain.push_str(piece);
            plain.push(' ');
        }
    }
    let has_digit = |text: &str| text.bytes().any(|byte| byte.is_ascii_digit());
    if !has_digit(&plain) {
        return clean(text);
    }
    let lower = plain.to_ascii_lowercase();
    let after = ["number ", "no.: ", "no. ", ": "]
        .iter()
        .filter_map(|label| lower.rfind(label).map(|at| at + label.len()))
        .max();
    let rest =
        after.and_then(|at| plain.get(at..)).filter(|rest| has_digit(rest)).unwrap_or(&plain);
    let rest = rest.split(", ").find(|piece| has_digit(piece)).unwrap_or(rest);
    let words: Vec<&str> =
        rest.split_whitespace().skip_while(|word| word.len() > 3 && !has_digit(word)).collect();
    words.join(" ")
}

/// Numbers in a sentence: words with five digits or more.
fn in_prose(entity: &mut Entity, text: &str, passport: bool) {
    if is_nothing(text) {
        return;
    }
    entity.add("notes", text);
    for piece in text.split(['.', ';', ',']) {
        let passport = passport || piece.to_lowercase().contains("passport");
        for word in piece.split_whitespace() {
            let word = word.trim_matches(|letter: char| !letter.is_ascii_alphanumeric());
            let digits = word.bytes().filter(u8::is_ascii_digit).count();
            // A year, or a date, is none.
            if digits >= 5 && crate::dates::PartialDate::parse(word).is_none() {
                entity.add(if passport { "passportNumber" } else { "idNumber" }, word);
            }
        }
    }
}
