//! Machine readable zones (ICAO 9303-3 to -7): TD1, TD2, TD3, MRV-A, MRV-B.
//!
//! Whoever prints a document prints the check digits with it, so a zone without a fault says that it was read
//! as it stands there, and nothing about who made it.

use mrz::{Checks, Date, Format, MrzData, MrzError, ParseOptions, Sex};
use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};

use crate::finding::{Code, Finding};

/// Lines of text in which a zone is looked for: each pair of them may be one.
const LINES_MAX: usize = 24;

/// Bytes of text in which a zone is looked for.
pub const TEXT_MAX_BYTES: usize = 4 << 10;

/// A date of the calendar.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Day {
    /// The year.
    pub year: i32,
    /// From 1.
    pub month: u32,
    /// From 1.
    pub day: u32,
}

impl Day {
    /// The day of a time, in seconds since 1970.
    pub fn at(seconds: i64) -> Self {
        Date::from_epoch_days(seconds.div_euclid(86_400)).into()
    }

    /// `YYYY-MM-DD`, if it is in the calendar.
    pub fn parse(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.split('-').collect();
        let [year, month, day] = parts.as_slice() else { return None };
        let digits = |text: &str, count: usize| {
            text.len() == count && text.bytes().all(|digit| digit.is_ascii_digit())
        };
        if !(digits(year, 4) && digits(month, 2) && digits(day, 2)) {
            return None;
        }
        let date = Date::new(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?);
        date.is_well_formed().then(|| date.into())
    }

    /// Whole years from here to a later day; 0 if it is not later.
    pub fn years_until(self, later: Self) -> u32 {
        let early = (later.month, later.day) < (self.month, self.day);
        u32::try_from(later.year - self.year - i32::from(early)).unwrap_or(0)
    }
}

impl From<Date> for Day {
    fn from(date: Date) -> Self {
        Self { year: date.year, month: date.month, day: date.day }
    }
}

impl std::fmt::Display for Day {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

/// What a zone says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Zone {
    /// `TD1`, `TD2`, `TD3`, `MRV-A`, `MRV-B`
    pub format: &'static str,
    /// As it stands there: `P`, `ID`, `V`.
    pub document_code: String,
    /// Up to three letters.
    pub issuing_state: String,
    /// Whole, where it goes on in the optional data.
    pub document_number: String,
    /// Words with spaces between.
    pub surname: String,
    /// Words with spaces between; the last may be cut.
    pub given_names: String,
    /// Up to three letters.
    pub nationality: String,
    /// `YYYY-MM-DD`, or as it stands there where it is not known to the day.
    pub date_of_birth: String,
    /// `M`, `F`, `X`
    pub sex: &'static str,
    /// `YYYY-MM-DD`, or as it stands there.
    pub date_of_expiry: String,
    /// The number of the person, where a passport has one.
    pub personal_number: Option<String>,
    /// The fields that have a check digit, and whether it is right.
    pub check_digits: Vec<(&'static str, bool)>,
    /// The lines, without what stood around them.
    pub lines: Vec<String>,
    birth: Option<Day>,
    expiry: Option<Day>,
}

/// What else is known about the holder and the document, to be compared. What is `None` is not.
#[derive(Clone, Default, PartialEq, Debug)]
pub struct Expected {
    /// In any writing that ICAO 9303-3, 6 brings into capital letters.
    pub surname: Option<String>,
    /// The same; a zone may have cut them.
    pub given_names: Option<String>,
    /// `YYYY-MM-DD`
    pub date_of_birth: Option<String>,
    /// `YYYY-MM-DD`
    pub date_of_expiry: Option<String>,
    /// With or without fillers.
    pub document_number: Option<String>,
    /// Three letters.
    pub nationality: Option<String>,
    /// Three letters.
    pub issuing_state: Option<String>,
}

/// Reads the lines of a zone as they stand there. Spaces around lines and small letters are forgiven, nothing
/// else.
pub fn read(text: &str, today: Day) -> Result<Zone, Finding> {
    if text.len() > TEXT_MAX_BYTES {
        return Err(Finding::of(Code::ZoneUnreadable, "the text is above 4 KiB"));
    }
    let lines: Vec<String> = text
        .lines()
        .map(|line| line.trim().to_ascii_uppercase())
        .filter(|line| !line.is_empty())
        .collect();
    let options = options(today);
    let lengths: Vec<usize> = lines.iter().map(|line| line.chars().count()).collect();
    let visa = lines.first().is_some_and(|line| line.starts_with('V'));
    let parsed = match (lengths.as_slice(), lines.as_slice()) {
        ([44, 44], [a, b]) if visa => mrz::parse_mrv_a_with(a, b, &options),
        ([36, 36], [a, b]) if visa => mrz::parse_mrv_b_with(a, b, &options),
        ([44, 44], [a, b]) => mrz::parse_td3_with(a, b, &options),
        ([36, 36], [a, b]) => mrz::parse_td2_with(a, b, &options),
        ([30, 30, 30], [a, b, c]) => mrz::parse_td1_with(a, b, c, &options),
        _ => {
            let detail = "a zone has two lines of 44 or 36 letters, or three of 30";
            return Err(Finding::of(Code::ZoneUnreadable, detail));
        }
    };
    parsed.map(|data| Zone::of(&data, today)).map_err(|error| unreadable(&error))
}

/// Looks for a zone in what a program read from a picture, and reads letters as others that look alike where the
/// check digits ask for it.
pub fn find(text: &str, today: Day) -> Result<(Zone, Vec<Finding>), Finding> {
    if text.len() > TEXT_MAX_BYTES {
        return Err(Finding::of(Code::ZoneUnreadable, "the text is above 4 KiB"));
    }
    if text.lines().filter(|line| !line.trim().is_empty()).count() > LINES_MAX {
        return Err(Finding::of(Code::ZoneUnreadable, "the text has more than 24 lines"));
    }
    let data =
        mrz::find_and_parse_with(text, &options(today)).map_err(|error| unreadable(&error))?;
    let zone = Zone::of(&data, today);
    let squeezed: String = text.chars().filter(|letter| !letter.is_whitespace()).collect();
    let verbatim =
        zone.lines.iter().all(|line| squeezed.to_ascii_uppercase().contains(line.as_str()));
    let repaired = (!verbatim || data.damaged_recovery).then(|| Code::ZoneRepaired.into());
    Ok((zone, repaired.into_iter().collect()))
}

/// Reads the zone of a chip, whose lines follow each other without an end.
pub fn from_chip(letters: &str, today: Day) -> Result<Zone, Finding> {
    let length = match letters.len() {
        88 => 44,
        72 => 36,
        90 => 30,
        _ => {
            let detail = "the zone of a chip has 72, 88 or 90 letters";
            return Err(Finding::of(Code::ZoneUnreadable, detail));
        }
    };
    if !letters.is_ascii() {
        return Err(Finding::of(Code::ZoneUnreadable, "it has a letter that no zone has"));
    }
    let lines: Vec<&str> =
        (0..letters.len()).step_by(length).map(|at| &letters[at..at + length]).collect();
    read(&lines.join("\n"), today)
}

fn unreadable(error: &MrzError) -> Finding {
    // What stood there does not belong into a reason that is kept.
    let detail = match error {
        MrzError::BadLength { expected, got } => {
            format!("a line has {got} letters instead of {expected}")
        }
        MrzError::BadCharacter { line, position, .. } => {
            format!("line {} has a letter that no zone has, at {position}", line.unwrap_or(0) + 1)
        }
        MrzError::BadDocumentCode(_) => {
            "the code of the document is not one of this format".to_owned()
        }
        MrzError::LeadingFiller { .. } => {
            "the number of the document begins with a filler".to_owned()
        }
        _ => "no zone is in the text".to_owned(),
    };
    Finding::of(Code::ZoneUnreadable, detail)
}

/// Two digits of a year are of the last hundred years for a birth.
fn options(today: Day) -> ParseOptions {
    ParseOptions::default().with_pivot_yy(u32::try_from(today.year.rem_euclid(100)).unwrap_or(0))
}

impl Zone {
    fn of(data: &MrzData, today: Day) -> Self {
        let birth = data.date_of_birth.calendar().map(|date| past(date.into(), today));
        Self {
            format: match data.format {
                Format::Td1 => "TD1",
                Format::Td2 => "TD2",
                Format::Td3 => "TD3",
                Format::MrvA => "MRV-A",
                Format::MrvB => "MRV-B",
                _ => "unknown",
            },
            document_code: data.document_type.replace('<', ""),
            issuing_state: data.issuing_country.replace('<', ""),
            document_number: data.full_document_number().replace('<', ""),
            surname: data.surname.clone(),
            given_names: data.given_names.clone(),
            nationality: data.nationality.replace('<', ""),
            date_of_birth: birth
                .map_or_else(|| data.date_of_birth.to_string(), |birth| birth.to_string()),
            sex: match data.sex {
                Sex::Male => "M",
                Sex::Female => "F",
                _ => "X",
            },
            date_of_expiry: data.date_of_expiry.to_string(),
            personal_number: data.personal_number().map(|number| number.replace('<', "")),
            check_digits: check_digits(&data.checks),
            lines: data.mrz_lines.lines().map(str::to_owned).collect(),
            birth,
            expiry: data.date_of_expiry.calendar().map(Day::from),
        }
    }
}

/// Nobody is born after today: two digits of a year leave the century open.
fn past(birth: Day, today: Day) -> Day {
    if birth > today { Day { year: birth.year - 100, ..birth } } else { birth }
}

fn check_digits(checks: &Checks) -> Vec<(&'static str, bool)> {
    [
        ("document_number", checks.document_number),
        ("date_of_birth", checks.date_of_birth),
        ("date_of_expiry", checks.date_of_expiry),
        ("personal_number", checks.personal_number),
        ("composite", checks.composite),
    ]
    .into_iter()
    .filter_map(|(field, right)| Some((field, right?)))
    .collect()
}

impl Zone {
    /// What is wrong with it by itself on a day.
    pub fn findings(&self, today: Day) -> Vec<Finding> {
        let mut found: Vec<Finding> = self
            .check_digits
            .iter()
            .filter(|(_, right)| !right)
            .map(|(field, _)| Finding::of(Code::CheckDigitWrong, *field))
            .collect();
        match self.expiry {
            Some(day) if day < today => found.push(Code::DocumentExpired.into()),
            Some(_) => {}
            None => found.push(Finding::of(Code::DateImpossible, "date_of_expiry")),
        }
        match (self.birth, self.date_of_birth.contains('<')) {
            (Some(birth), _) if self.expiry.is_some_and(|expiry| expiry < birth) => {
                found.push(Code::DatesContradict.into());
            }
            (Some(_), _) => {}
            // Fillers stand for what is not known (9303-3, 4.8).
            (None, true) => found.push(Code::BirthIncomplete.into()),
            (None, false) => found.push(Finding::of(Code::DateImpossible, "date_of_birth")),
        }
        let states = [("issuing_state", &self.issuing_state), ("nationality", &self.nationality)];
        for (field, code) in states {
            match code.as_str() {
                "UTO" => found.push(Finding::of(Code::Specimen, field)),
                code if mrz::country_name(code).is_none() => {
                    found.push(Finding::of(Code::StateUnknown, field));
                }
                _ => {}
            }
        }
        found
    }

    /// Fields that are not what was expected.
    pub fn compare(&self, expected: &Expected) -> Vec<Finding> {
        let plain = |text: &str| -> String {
            let letters = text.chars().filter(|letter| letter.is_alphanumeric());
            letters.collect::<String>().to_ascii_uppercase()
        };
        let same = |ours: &str, theirs: &str| plain(ours) == plain(theirs);
        let mut found = Vec::new();
        let mut field =
            |name: &'static str, expected: &Option<String>, fits: &dyn Fn(&str) -> bool| {
                if expected.as_deref().is_some_and(|expected| !fits(expected)) {
                    found.push(Finding::of(Code::FieldDiffers, name));
                }
            };
        field("date_of_birth", &expected.date_of_birth, &|day| self.birth_is(day));
        field("date_of_expiry", &expected.date_of_expiry, &|day| day == self.date_of_expiry);
        field("document_number", &expected.document_number, &|number| {
            same(number, &self.document_number)
        });
        field("nationality", &expected.nationality, &|code| is_state(code, &self.nationality));
        field("issuing_state", &expected.issuing_state, &|code| {
            is_state(code, &self.issuing_state)
        });
        // Only what reaches the end of a full line may have been cut.
        let full = self.is_full();
        let surname_cut = full && self.given_names.is_empty();
        let names = [
            ("surname", &self.surname, &expected.surname, surname_cut),
            ("given_names", &self.given_names, &expected.given_names, full),
        ];
        for (name, ours, expected, cut) in names {
            let Some(expected) = expected else { continue };
            match is_name(ours, expected, cut) {
                Some(true) => {}
                Some(false) => found.push(Finding::of(Code::FieldDiffers, name)),
                None => found.push(Finding::of(Code::NameNotCompared, name)),
            }
        }
        found
    }

    /// Whether the line of the name has no filler at its end.
    fn is_full(&self) -> bool {
        let line = if self.format == "TD1" { self.lines.last() } else { self.lines.first() };
        line.is_some_and(|line| !line.ends_with('<'))
    }

    /// What is not known in a zone fits any day.
    fn birth_is(&self, expected: &str) -> bool {
        if !self.date_of_birth.contains('<') {
            return self.date_of_birth == expected;
        }
        let digits: String = expected.chars().filter(char::is_ascii_digit).collect();
        digits.len() == 8
            && digits[2..].chars().zip(self.date_of_birth.chars()).all(|(a, b)| b == '<' || a == b)
    }
}

/// Whether two names are one: by their letters, or as a zone writes them (ICAO 9303-3, section 6).
pub fn same_name(one: &str, other: &str) -> bool {
    let has_letters = |text: &str| {
        mrz::encode_name_component(text).bytes().any(|byte| byte.is_ascii_alphanumeric())
    };
    let is_written = |ours: &str, theirs: &str| {
        has_letters(ours) && has_letters(theirs) && is_name(ours, theirs, false) == Some(true)
    };
    crate::aamva::same_words(one, other) || is_written(one, other) || is_written(other, one)
}

/// Whether a name is written so in a zone, which may have cut it; `None` if it has no letters that a zone has.
fn is_name(ours: &str, expected: &str, cut: bool) -> Option<bool> {
    let words = |text: &str| -> String {
        let encoded = mrz::encode_name_component(text);
        encoded.split('<').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
    };
    let composed: String = expected.nfc().collect();
    // Issuers choose among several ways (9303-3, 6 A): `UE`, `U` or `UXX` for `Ü`.
    let bare: String = expected.nfd().filter(|letter| !is_combining_mark(*letter)).collect();
    let other: String = composed
        .chars()
        .map(|letter| match letter {
            'Ñ' | 'ñ' => "NXX".to_owned(),
            'Ü' | 'ü' => "UXX".to_owned(),
            letter => letter.to_string(),
        })
        .collect();
    let ways: Vec<String> = [composed, bare, other].iter().map(|way| words(way)).collect();
    let ours = words(ours);
    // What has no letter in zones is dropped, and what is left is another name.
    let writable = |letter: char| !words(&letter.to_string()).is_empty();
    if !expected.nfc().filter(|letter| letter.is_alphabetic()).all(writable) {
        return None;
    }
    let fits = |way: &String| ours == *way || cut && !ours.is_empty() && way.starts_with(&ours);
    Some(ways.iter().any(fits))
}

/// Whether a code of a state is the one of a zone, which has one letter for Germany.
fn is_state(expected: &str, zone: &str) -> bool {
    let expected = expected.trim().to_ascii_uppercase();
    expected == zone || mrz::codes_equivalent(&expected, zone) || (expected == "DEU" && zone == "D")
}
