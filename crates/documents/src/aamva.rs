//! The barcode on the back of licences of North America (AAMVA DL/ID Card Design Standard, annex D; versions 1 to
//! 10). Nothing in it is signed: it says what is printed, to be compared with something else.

use std::collections::BTreeMap;

use crate::{
    finding::{Code, Finding},
    zone::{Day, Expected},
};

/// Bytes of a barcode; a PDF417 holds less.
pub const BARCODE_MAX_BYTES: usize = 4 << 10;
/// Elements that are read.
const ELEMENTS_MAX: usize = 256;
/// Subfiles that are read.
const SUBFILES_MAX: usize = 10;

/// What a licence says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Licence {
    /// Of the standard.
    pub version: u8,
    /// The number of the issuer (IIN).
    pub issuer: String,
    /// Who that is, as `CA` or `ON`; `None` if it is not known.
    pub jurisdiction: Option<&'static str>,
    /// `USA`, `CAN`, `MEX`
    pub country: &'static str,
    /// `DL` for a licence, `ID` for a card, `EN` for an enhanced licence.
    pub kind: String,
    /// `DAQ`
    pub document_number: String,
    /// `DCS`
    pub family_name: String,
    /// `DAC` and `DAD`, or `DCT`.
    pub given_names: String,
    /// `DBB`
    pub date_of_birth: Option<Day>,
    /// `DBA`
    pub date_of_expiry: Option<Day>,
    /// `DBD`
    pub date_of_issue: Option<Day>,
    /// `M`, `F`, `X`
    pub sex: &'static str,
    /// `DAG`, `DAH`
    pub street: String,
    /// `DAI`
    pub city: String,
    /// `DAJ`
    pub region: String,
    /// `DAK`, without filling zeros and spaces.
    pub postal_code: String,
    /// Whether names were cut, by field.
    pub truncated: Vec<&'static str>,
    /// Every element, by its three letters.
    pub elements: BTreeMap<String, String>,
    /// Dates that are none, by field.
    impossible: Vec<&'static str>,
}

/// Reads what stands in a barcode.
pub fn read(bytes: &[u8]) -> Result<Licence, Finding> {
    let unreadable = |why: &str| Finding::of(Code::BarcodeUnreadable, why);
    if bytes.len() > BARCODE_MAX_BYTES {
        return Err(unreadable("it is above 4 KiB"));
    }
    // ISO 8859-1, a letter for each byte, so that places are those of bytes.
    let text: Vec<char> = bytes.iter().map(|byte| char::from(*byte)).collect();
    let all: String = text.iter().collect();
    let start = ["ANSI ", "AAMVA"].iter().filter_map(|name| all.find(name)).min();
    let start = start.filter(|at| *at <= 8).ok_or_else(|| unreadable("it is none of AAMVA"))?;
    let start = all[..start].chars().count();
    let digits = |from: usize, count: usize| -> Option<usize> {
        let digits: String = text.get(from..from + count)?.iter().collect();
        digits.bytes().all(|digit| digit.is_ascii_digit()).then(|| digits.parse().ok())?
    };
    let short = || unreadable("its header is too short");
    let issuer: String = text.get(start + 5..start + 11).ok_or_else(short)?.iter().collect();
    digits(start + 5, 6).ok_or_else(|| unreadable("its issuer is no number"))?;
    let version = digits(start + 11, 2).ok_or_else(short)?;
    // From version 2 on the jurisdiction has a version of its own.
    let entries_at = if version < 2 { start + 13 } else { start + 15 };
    let entries = digits(entries_at, 2).ok_or_else(short)?;
    if entries == 0 || entries > SUBFILES_MAX {
        return Err(unreadable("it has no subfile, or more than ten"));
    }
    let (mut elements, mut kind) = (BTreeMap::new(), String::new());
    for entry in 0..entries {
        let at = entries_at + 2 + entry * 10;
        let name: String = text.get(at..at + 2).ok_or_else(short)?.iter().collect();
        let offset = digits(at + 2, 4).ok_or_else(short)?;
        let length = digits(at + 6, 4).ok_or_else(short)?;
        // What a jurisdiction adds of its own begins with `Z`.
        if !matches!(name.as_str(), "DL" | "ID" | "EN") {
            continue;
        }
        let subfile = subfile(&text, &name, offset, length)
            .ok_or_else(|| unreadable("a subfile is not where the header says"))?;
        kind.clone_from(&name);
        for line in subfile.split(['\n', '\r', '\u{1e}']) {
            let Some((id, value)) = line.split_at_checked(3) else { continue };
            let is_id = id.starts_with('D') && id.bytes().all(|letter| letter.is_ascii_uppercase());
            if is_id && elements.len() < ELEMENTS_MAX {
                elements.entry(id.to_owned()).or_insert_with(|| value.trim().to_owned());
            }
        }
    }
    if elements.is_empty() {
        return Err(unreadable("it has no licence and no card"));
    }
    Ok(Licence::of(u8::try_from(version).unwrap_or(0), issuer, kind, elements))
}

/// A subfile, whose name stands again at its beginning. Offsets are wrong by a few bytes in real cards.
fn subfile(text: &[char], name: &str, offset: usize, length: usize) -> Option<String> {
    const SLIP: usize = 8;
    let from = offset.saturating_sub(SLIP);
    let near = text.get(from..(offset + SLIP + 2).min(text.len()))?;
    let name: Vec<char> = name.chars().collect();
    let at = from + near.windows(2).position(|two| two == name)?;
    let end = (at + length.max(2) + SLIP).min(text.len());
    let inside: String = text.get(at + 2..end)?.iter().collect();
    // It ends with a carriage return; what the slip took in behind is another's.
    Some(inside.split('\r').next().unwrap_or_default().to_owned())
}

impl Licence {
    fn of(version: u8, issuer: String, kind: String, elements: BTreeMap<String, String>) -> Self {
        let get = |id: &str| -> String {
            let value = elements.get(id).map(String::as_str).unwrap_or_default();
            // What is not known has words for it.
            if matches!(value, "NONE" | "unavl" | "UNAVL") {
                String::new()
            } else {
                value.to_owned()
            }
        };
        let known = issuer.parse().ok().and_then(|number: u32| {
            ISSUERS.binary_search_by_key(&number, |(number, ..)| *number).ok().map(|at| ISSUERS[at])
        });
        let country = match (elements.get("DCG").map(String::as_str), known) {
            (Some("CAN"), _) => "CAN",
            (Some("MEX"), _) => "MEX",
            (Some("USA"), _) => "USA",
            (_, Some((_, _, country))) => country,
            _ => "USA",
        };
        let mut impossible = Vec::new();
        let mut day = |field: &'static str, id: &str| {
            let text = get(id);
            if text.is_empty() {
                return None;
            }
            let read = date(&text, country, version);
            if read.is_none() {
                impossible.push(field);
            }
            read
        };
        let (birth, expiry) = (day("date_of_birth", "DBB"), day("date_of_expiry", "DBA"));
        let issue = day("date_of_issue", "DBD");
        let (family_name, given_names) = names(&get);
        let cut = [("DDE", "family_name"), ("DDF", "given_names"), ("DDG", "given_names")];
        let mut truncated: Vec<&str> =
            cut.iter().filter(|(id, _)| get(id) == "T").map(|(_, field)| *field).collect();
        truncated.dedup();
        let street = [get("DAG"), get("DAH")].join(" ").trim().to_owned();
        let postal_code = get("DAK");
        // Nine digits of which the last four are zeros are five.
        let postal_code =
            postal_code.strip_suffix("0000").unwrap_or(&postal_code).trim().to_owned();
        Self {
            version,
            issuer,
            jurisdiction: known.map(|(_, jurisdiction, _)| jurisdiction),
            country,
            kind,
            document_number: get("DAQ"),
            family_name,
            given_names,
            date_of_birth: birth,
            date_of_expiry: expiry,
            date_of_issue: issue,
            sex: match get("DBC").as_str() {
                "1" | "M" => "M",
                "2" | "F" => "F",
                _ => "X",
            },
            street,
            city: get("DAI"),
            region: get("DAJ"),
            postal_code,
            truncated,
            impossible,
            elements,
        }
    }

    /// What is wrong with it by itself on a day.
    pub fn findings(&self, today: Day) -> Vec<Finding> {
        let impossible = self.impossible.iter();
        let mut found: Vec<Finding> =
            impossible.map(|field| Finding::of(Code::DateImpossible, *field)).collect();
        match self.date_of_expiry {
            Some(day) if day < today => found.push(Code::DocumentExpired.into()),
            _ => {}
        }
        if let (Some(birth), Some(expiry)) = (self.date_of_birth, self.date_of_expiry)
            && (birth > today || expiry < birth)
        {
            found.push(Code::DatesContradict.into());
        }
        let mandatory = [
            ("document_number", self.document_number.is_empty()),
            ("family_name", self.family_name.is_empty()),
            ("date_of_birth", !self.elements.contains_key("DBB")),
            ("date_of_expiry", !self.elements.contains_key("DBA")),
        ];
        let missing = mandatory.iter().filter(|(_, missing)| *missing);
        found.extend(missing.map(|(field, _)| Finding::of(Code::FieldMissing, *field)));
        if self.jurisdiction.is_none() {
            found.push(Finding::of(Code::IssuerUnknown, self.issuer.clone()));
        }
        found.extend(self.truncated.iter().map(|field| Finding::of(Code::NameTruncated, *field)));
        found
    }

    /// Fields that are not what was expected.
    pub fn compare(&self, expected: &Expected) -> Vec<Finding> {
        let day = |day: Option<Day>| day.map(|day| day.to_string()).unwrap_or_default();
        let cut = |field| self.truncated.contains(&field);
        let fields = [
            ("surname", &expected.surname, self.family_name.clone(), cut("family_name")),
            ("given_names", &expected.given_names, self.given_names.clone(), cut("given_names")),
            ("date_of_birth", &expected.date_of_birth, day(self.date_of_birth), false),
            ("date_of_expiry", &expected.date_of_expiry, day(self.date_of_expiry), false),
            ("document_number", &expected.document_number, self.document_number.clone(), false),
            (
                "issuing_state",
                &expected.issuing_state,
                self.jurisdiction.unwrap_or(self.country).to_owned(),
                false,
            ),
        ];
        let differs = |(_, expected, ours, cut): &(&str, &Option<String>, String, bool)| {
            let Some(expected) = expected else { return false };
            let (ours, expected) = (plain(ours), plain(expected));
            ours != expected && !(*cut && !ours.is_empty() && expected.starts_with(&ours))
        };
        fields
            .into_iter()
            .filter(differs)
            .map(|(field, ..)| Finding::of(Code::FieldDiffers, field))
            .collect()
    }
}

/// Whether two texts have the same letters and digits, in whatever case and with whatever marks.
pub(crate) fn same_words(one: &str, other: &str) -> bool {
    plain(one) == plain(other)
}

/// Letters and digits alone, in capitals; marks of Latin letters are dropped, those of others tell one from another.
fn plain(text: &str) -> String {
    use unicode_normalization::UnicodeNormalization;
    let mut is_latin = false;
    let letters = text.nfd().filter(|letter| {
        if letter.is_alphanumeric() {
            is_latin = letter.is_ascii();
            return true;
        }
        !is_latin && unicode_normalization::char::is_combining_mark(*letter)
    });
    letters.collect::<String>().to_uppercase()
}

/// Family and given names, as versions have them.
fn names(get: &impl Fn(&str) -> String) -> (String, String) {
    let family = [get("DCS"), get("DAB")].into_iter().find(|name| !name.is_empty());
    let given = match (get("DAC"), get("DCT")) {
        (first, _) if !first.is_empty() => [first, get("DAD")].join(" "),
        // Two versions have all given names in one, with commas between.
        (_, all) => all.replace(',', " "),
    };
    let given = given.split_whitespace().collect::<Vec<_>>().join(" ");
    match family {
        Some(family) => (family, given),
        // The first version has the whole name in one: family, given, middle.
        None => {
            let whole = get("DAA");
            let (family, rest) = whole.split_once(',').unwrap_or((&whole, ""));
            let rest = rest.replace(',', " ");
            (family.trim().to_owned(), rest.split_whitespace().collect::<Vec<_>>().join(" "))
        }
    }
}

/// A date: the month first in the United States from version 2 on, otherwise the year.
fn date(text: &str, country: &str, version: u8) -> Option<Day> {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    if digits.len() != 8 {
        return None;
    }
    let part = |from: usize, to: usize| digits[from..to].parse::<u32>().unwrap_or(0);
    let year_first = || day(part(0, 4), part(4, 6), part(6, 8));
    let month_first = || day(part(4, 8), part(0, 2), part(2, 4));
    // Some write it the other way round; only one of both can be a date.
    if country == "USA" && version >= 2 {
        month_first().or_else(year_first)
    } else {
        year_first().or_else(month_first)
    }
}

fn day(year: u32, month: u32, day: u32) -> Option<Day> {
    let year = i32::try_from(year).ok().filter(|year| (1850..2200).contains(year))?;
    let date = mrz::Date::new(year, month, day);
    date.is_well_formed().then(|| date.into())
}

/// The numbers of issuers, with what they issue for and their country.
#[rustfmt::skip]
const ISSUERS: &[(u32, &str, &str)] = &[
    (604426, "PE", "CAN"), (604427, "AS", "USA"), (604428, "QC", "CAN"), (604429, "YT", "CAN"),
    (604430, "MP", "USA"), (604431, "PR", "USA"), (604432, "AB", "CAN"), (604433, "NU", "CAN"),
    (636000, "VA", "USA"), (636001, "NY", "USA"), (636002, "MA", "USA"), (636003, "MD", "USA"),
    (636004, "NC", "USA"), (636005, "SC", "USA"), (636006, "CT", "USA"), (636007, "LA", "USA"),
    (636008, "MT", "USA"), (636009, "NM", "USA"), (636010, "FL", "USA"), (636011, "DE", "USA"),
    (636012, "ON", "CAN"), (636013, "NS", "CAN"), (636014, "CA", "USA"), (636015, "TX", "USA"),
    (636016, "NL", "CAN"), (636017, "NB", "CAN"), (636018, "IA", "USA"), (636019, "GU", "USA"),
    (636020, "CO", "USA"), (636021, "AR", "USA"), (636022, "KS", "USA"), (636023, "OH", "USA"),
    (636024, "VT", "USA"), (636025, "PA", "USA"), (636026, "AZ", "USA"), (636027, "DOS", "USA"),
    (636028, "BC", "CAN"), (636029, "OR", "USA"), (636030, "MO", "USA"), (636031, "WI", "USA"),
    (636032, "MI", "USA"), (636033, "AL", "USA"), (636034, "ND", "USA"), (636035, "IL", "USA"),
    (636036, "NJ", "USA"), (636037, "IN", "USA"), (636038, "MN", "USA"), (636039, "NH", "USA"),
    (636040, "UT", "USA"), (636041, "ME", "USA"), (636042, "SD", "USA"), (636043, "DC", "USA"),
    (636044, "SK", "CAN"), (636045, "WA", "USA"), (636046, "KY", "USA"), (636047, "HI", "USA"),
    (636048, "MB", "CAN"), (636049, "NV", "USA"), (636050, "ID", "USA"), (636051, "MS", "USA"),
    (636052, "RI", "USA"), (636053, "TN", "USA"), (636054, "NE", "USA"), (636055, "GA", "USA"),
    (636056, "COA", "MEX"), (636057, "HID", "MEX"), (636058, "OK", "USA"), (636059, "AK", "USA"),
    (636060, "WY", "USA"), (636061, "WV", "USA"), (636062, "VI", "USA"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn issuers_are_in_order() {
        assert!(ISSUERS.is_sorted_by(|a, b| a.0 < b.0));
    }

    #[test]
    fn dates_are_read_as_they_are_written() {
        let july = Some(Day { year: 1980, month: 7, day: 4 });
        assert_eq!(date("07041980", "USA", 8), july);
        assert_eq!(date("19800704", "CAN", 8), july);
        assert_eq!(date("19800704", "USA", 1), july);
        assert_eq!(date("19800704", "USA", 8), july, "the other way round");
        assert_eq!(date("13321980", "USA", 8), None);
    }
}
