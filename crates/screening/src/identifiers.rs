//! Numbers and codes. Some are unique in the world and decide alone; others only within a country or a kind
//! of document.

use crate::entity::Entity;

/// A number or code.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identifier {
    /// The property it came from.
    pub kind: &'static str,
    /// Capital letters and digits.
    pub value: String,
    /// How much it proves.
    pub proof: Proof,
}

/// How much the same number proves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Proof {
    /// Given once in the world.
    Unique,
    /// Given once by its issuer: a passport, a tax number.
    Issued,
}

/// The properties that hold numbers.
const KINDS: [(&str, Proof); 26] = [
    ("imoNumber", Proof::Unique),
    ("leiCode", Proof::Unique),
    ("innCode", Proof::Unique),
    ("ogrnCode", Proof::Unique),
    ("swiftBic", Proof::Unique),
    ("uniqueEntityId", Proof::Unique),
    ("npiCode", Proof::Unique),
    ("dunsCode", Proof::Unique),
    ("uscCode", Proof::Unique),
    ("isinCode", Proof::Unique),
    ("isin", Proof::Unique),
    ("publicKey", Proof::Unique),
    ("wikidataId", Proof::Unique),
    ("mmsi", Proof::Issued),
    ("callSign", Proof::Issued),
    ("serialNumber", Proof::Issued),
    ("passportNumber", Proof::Issued),
    ("idNumber", Proof::Issued),
    ("socialSecurityNumber", Proof::Issued),
    ("registrationNumber", Proof::Issued),
    ("taxNumber", Proof::Issued),
    ("vatCode", Proof::Issued),
    ("licenseNumber", Proof::Issued),
    ("okpoCode", Proof::Issued),
    ("cikCode", Proof::Issued),
    ("number", Proof::Issued),
];

/// Properties between which a number may stand in the wrong one.
fn family(kind: &str) -> &str {
    match kind {
        "passportNumber" | "idNumber" | "socialSecurityNumber" | "number" => "document",
        "registrationNumber" | "taxNumber" | "vatCode" | "licenseNumber" | "okpoCode"
        | "cikCode" => "registration",
        "isin" => "isinCode",
        kind => kind,
    }
}

/// The numbers of an entity, in a form that can be compared. A short one proves nothing and is left out, as
/// is an IMO number whose check digit is wrong.
pub fn identifiers(entity: &Entity) -> Vec<Identifier> {
    let mut found = Vec::new();
    for (kind, proof) in KINDS {
        for text in entity.get(kind) {
            if let Some(value) = normal(kind, text) {
                found.push(Identifier { kind, value, proof });
            }
        }
    }
    found
}

fn normal(kind: &str, text: &str) -> Option<String> {
    // A wallet's letters are told apart by case.
    let plain = |c: char| {
        c.is_ascii_alphanumeric().then_some(if kind == "publicKey" {
            c
        } else {
            c.to_ascii_uppercase()
        })
    };
    let value: String = text.chars().filter_map(plain).collect();
    match kind {
        "imoNumber" => imo(&value),
        "wikidataId" => Some(value).filter(|value| value.starts_with('Q') && value.len() > 1),
        "publicKey" => Some(value).filter(|value| value.len() >= 20),
        "callSign" => Some(value).filter(|value| value.len() >= 4),
        _ => Some(value)
            .filter(|value| value.len() >= 5 && value.bytes().any(|byte| byte.is_ascii_digit())),
    }
}

/// Seven digits, the last of which checks the others.
fn imo(value: &str) -> Option<String> {
    let digits = value.strip_prefix("IMO").unwrap_or(value);
    let numbers: Vec<u32> = digits.chars().filter_map(|digit| digit.to_digit(10)).collect();
    let [rest @ .., check] = numbers.as_slice() else { return None };
    let sum: u32 = rest.iter().zip((2..=7).rev()).map(|(digit, factor)| digit * factor).sum();
    (numbers.len() == 7 && digits.len() == 7 && sum % 10 == *check).then(|| digits.to_owned())
}

/// What numbers say of two entities.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NumbersSay {
    /// The same unique number: one and the same.
    SameUnique(Identifier),
    /// The same number of a document or register.
    SameIssued(Identifier),
    /// Different numbers of a kind of which each has one.
    DifferentUnique(Identifier, Identifier),
    /// Different numbers of documents.
    DifferentIssued(Identifier, Identifier),
    /// Nothing.
    Nothing,
}

/// Compares numbers: one that is the same outweighs any that differ.
pub fn compare(left: &[Identifier], right: &[Identifier]) -> NumbersSay {
    let pairs = || {
        left.iter()
            .flat_map(|a| right.iter().map(move |b| (a, b)))
            .filter(|(a, b)| family(a.kind) == family(b.kind))
    };
    let same = |proof| {
        pairs().find(|(a, b)| a.value == b.value && a.proof == proof).map(|(a, _)| a.clone())
    };
    if let Some(identifier) = same(Proof::Unique) {
        return NumbersSay::SameUnique(identifier);
    }
    if let Some(identifier) = same(Proof::Issued) {
        return NumbersSay::SameIssued(identifier);
    }
    let single =
        |side: &[Identifier], kind| side.iter().filter(|one| one.kind == kind).count() == 1;
    for (a, b) in pairs() {
        if a.kind == b.kind && single(left, a.kind) && single(right, b.kind) {
            return match a.kind {
                "imoNumber" | "leiCode" | "innCode" | "ogrnCode" => {
                    NumbersSay::DifferentUnique(a.clone(), b.clone())
                }
                "passportNumber" | "idNumber" | "taxNumber" | "registrationNumber" => {
                    NumbersSay::DifferentIssued(a.clone(), b.clone())
                }
                _ => continue,
            };
        }
    }
    NumbersSay::Nothing
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entity::Schema;

    fn of(property: &str, values: &[&str]) -> Vec<Identifier> {
        let mut entity = Entity::new(Schema::Thing);
        values.iter().for_each(|value| entity.add(property, value));
        identifiers(&entity)
    }

    #[test]
    fn numbers_are_compared_without_their_ornaments() {
        assert!(matches!(
            compare(&of("imoNumber", &["IMO 9074729"]), &of("imoNumber", &["9074729"])),
            NumbersSay::SameUnique(_)
        ));
        assert!(matches!(
            compare(&of("passportNumber", &["AB 123-456"]), &of("idNumber", &["ab123456"])),
            NumbersSay::SameIssued(_)
        ));
        assert!(matches!(
            compare(&of("imoNumber", &["9074729"]), &of("imoNumber", &["9176187"])),
            NumbersSay::DifferentUnique(..)
        ));
        assert_eq!(
            compare(&of("passportNumber", &["AB123456"]), &of("imoNumber", &["9074729"])),
            NumbersSay::Nothing
        );
    }

    #[test]
    fn what_proves_nothing_is_left_out() {
        assert!(of("imoNumber", &["9074720", "1234568", "none"]).is_empty());
        assert!(of("passportNumber", &["1234", "UNKNOWN"]).is_empty());
    }
}
