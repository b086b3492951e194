//! Numbers and codes. Some are unique in the world and decide alone; others only within a country or a kind
//! of document.

use std::collections::HashMap;

use crate::entity::Entity;

/// Numbers of one entity that are compared.
pub const PROFILE_MAX_NUMBERS: usize = 500;

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

/// Whether a property holds numbers.
pub fn is_number(property: &str) -> bool {
    KINDS.iter().any(|(kind, _)| *kind == property)
}

/// Properties between which a number may stand in the wrong one.
pub(crate) fn family(kind: &str) -> &str {
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
            if let Some(value) = normal(kind, text)
                && found.len() < PROFILE_MAX_NUMBERS
            {
                found.push(Identifier { kind, value, proof });
            }
        }
    }
    found
}

/// Words in place of a number.
const PLACEHOLDERS: [&str; 6] = ["UNKNOWN", "NONE", "NA", "NOTAVAILABLE", "PENDING", "XXX"];

fn normal(kind: &str, text: &str) -> Option<String> {
    if kind == "publicKey" {
        return wallet(text);
    }
    let value: String = text
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|letter| letter.to_ascii_uppercase())
        .collect();
    let digits = value.bytes().all(|byte| byte.is_ascii_digit());
    let length = value.len();
    let first = value.bytes().next()?;
    if value.bytes().all(|byte| byte == first) || is_placeholder(&value) {
        return None;
    }
    let sound = match kind {
        "imoNumber" => return imo(&value),
        "leiCode" => length == 20 && lei_checks(&value),
        "innCode" => digits && matches!(length, 10 | 12),
        "ogrnCode" => digits && matches!(length, 13 | 15),
        "swiftBic" => {
            matches!(length, 8 | 11) && value[..6].bytes().all(|byte| byte.is_ascii_uppercase())
        }
        "isin" | "isinCode" | "uniqueEntityId" => length == 12,
        "npiCode" => digits && length == 10,
        "dunsCode" => digits && length == 9,
        "uscCode" => length == 18,
        "wikidataId" => {
            length > 1 && first == b'Q' && value[1..].bytes().all(|byte| byte.is_ascii_digit())
        }
        "callSign" => length >= 4,
        _ => length >= 5 && value.bytes().any(|byte| byte.is_ascii_digit()),
    };
    // The head office of a bank may be written with or without its branch.
    let head_office = kind == "swiftBic" && length == 11 && value.ends_with("XXX");
    let kept = if head_office { 8 } else { length };
    sound.then(|| value[..kept].to_owned())
}

/// `UNKNOWN`, `UNKNOWN1`, `N/A 00000`; but `NA300786` may be the number of a passport.
fn is_placeholder(value: &str) -> bool {
    let word = value.trim_end_matches(|letter: char| letter.is_ascii_digit());
    let digits = &value.as_bytes()[word.len()..];
    let empty = digits.len() <= 2 || digits.iter().all(|digit| *digit == digits[0]);
    empty && PLACEHOLDERS.contains(&word)
}

/// Addresses are told apart by case, but for the hexadecimal and the bech32 ones.
fn wallet(text: &str) -> Option<String> {
    let value: String = text.chars().filter(char::is_ascii_alphanumeric).collect();
    let lower = value.to_ascii_lowercase();
    let caseless = ["0x", "bc1", "ltc1", "tb1"].iter().any(|prefix| lower.starts_with(prefix));
    (value.len() >= 20).then_some(if caseless { lower } else { value })
}

/// ISO 17442: letters as numbers from ten, modulo 97.
fn lei_checks(value: &str) -> bool {
    let remainder =
        value.chars().filter_map(|letter| letter.to_digit(36)).fold(0u32, |rest, digit| {
            let shifted = if digit > 9 { rest * 100 } else { rest * 10 };
            (shifted + digit) % 97
        });
    remainder == 1
}

/// Seven digits, the last of which checks the others.
fn imo(value: &str) -> Option<String> {
    let digits = value.strip_prefix("IMO").unwrap_or(value);
    let numbers: Vec<u32> = digits.chars().filter_map(|digit| digit.to_digit(10)).collect();
    let [rest @ .., check] = numbers.as_slice() else { return None };
    let sum: u32 = rest.iter().zip((2..=7).rev()).map(|(digit, factor)| digit * factor).sum();
    (numbers.len() == 7 && digits.len() == 7 && sum > 0 && sum % 10 == *check)
        .then(|| digits.to_owned())
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

/// The least length of a number of a register that is also believed under another name.
const CROSS_REGISTER_MIN_LETTERS: usize = 8;

/// Compares numbers: one that is the same outweighs any that differ.
pub fn compare(left: &[Identifier], right: &[Identifier]) -> NumbersSay {
    let theirs: HashMap<(&str, &str), &Identifier> =
        right.iter().rev().map(|one| ((family(one.kind), one.value.as_str()), one)).collect();
    let mut same = None;
    for ours in left {
        let Some(other) = theirs.get(&(family(ours.kind), ours.value.as_str())) else { continue };
        if ours.proof == Proof::Unique {
            return NumbersSay::SameUnique(ours.clone());
        }
        let documents = family(ours.kind) == "document";
        if documents || ours.kind == other.kind || ours.value.len() >= CROSS_REGISTER_MIN_LETTERS {
            same.get_or_insert(ours);
        }
    }
    if let Some(number) = same {
        return NumbersSay::SameIssued(number.clone());
    }
    for kind in [
        "imoNumber",
        "leiCode",
        "innCode",
        "ogrnCode",
        "passportNumber",
        "idNumber",
        "taxNumber",
        "registrationNumber",
    ] {
        let (Some(a), Some(b)) = (only(left, kind), only(right, kind)) else { continue };
        return match a.proof {
            Proof::Unique => NumbersSay::DifferentUnique(a.clone(), b.clone()),
            Proof::Issued => NumbersSay::DifferentIssued(a.clone(), b.clone()),
        };
    }
    NumbersSay::Nothing
}

/// The number of a kind of which there is one.
fn only<'i>(side: &'i [Identifier], kind: &str) -> Option<&'i Identifier> {
    let mut found = side.iter().filter(|one| one.kind == kind);
    found.next().filter(|_| found.next().is_none())
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
        assert!(
            of("imoNumber", &["0000000"]).is_empty()
                && of("innCode", &["00000", "N/A 00000"]).is_empty()
                && of("leiCode", &["UNKNOWN0"]).is_empty()
        );
        assert!(of("passportNumber", &["UNKNOWN1", "00000"]).is_empty());
        assert_eq!(of("swiftBic", &["DEUTDEFFXXX", "DEUTDEFF"])[0].value, "DEUTDEFF");
        assert_eq!(
            of("swiftBic", &["ABCDEXXX"])[0].value,
            "ABCDEXXX",
            "eight letters have no branch"
        );
        assert_eq!(of("passportNumber", &["NA 300786"]).len(), 1);
        assert_eq!(of("leiCode", &["5493001KJTIIGC8Y1R12"]).len(), 1);
        assert!(of("leiCode", &["5493001KJTIIGC8Y1R13"]).is_empty());
        assert!(of("passportNumber", &["1234", "UNKNOWN"]).is_empty());
    }
}
