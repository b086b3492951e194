//! Text and dates as lists write them.

use std::borrow::Cow;

use crate::dates::PartialDate;

/// One line: white space collapsed, control characters of Windows-1252 that were taken for Unicode mended.
pub fn clean(text: &str) -> String {
    let mended = text.chars().map(|letter| {
        if ('\u{80}'..='\u{9f}').contains(&letter) { windows_1252(letter) } else { letter }
    });
    let mut out = String::with_capacity(text.len());
    for letter in mended {
        if letter.is_whitespace() || letter.is_control() {
            if !out.is_empty() && !out.ends_with(' ') {
                out.push(' ');
            }
        } else {
            out.push(letter);
        }
    }
    out.truncate(out.trim_end().len());
    out
}

/// The letters of Windows-1252 from 0x80 to 0x9f.
const UPPER: [char; 32] = [
    '€', '\u{fffd}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{fffd}', 'Ž',
    '\u{fffd}', '\u{fffd}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{fffd}',
    'ž', 'Ÿ',
];

fn windows_1252(letter: char) -> char {
    let place = usize::try_from(u32::from(letter)).unwrap_or(0);
    place.checked_sub(0x80).and_then(|place| UPPER.get(place)).copied().unwrap_or(letter)
}

/// UTF-8, or else Windows-1252, which has a letter for every byte.
pub fn decode(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(bytes.iter().map(|byte| windows_1252(char::from(*byte))).collect()),
    }
}

/// Whether a value says that there is none.
pub fn is_nothing(text: &str) -> bool {
    matches!(
        text.trim(),
        "" | "-"
            | "-0-"
            | "na"
            | "NA"
            | "N/A"
            | "n/a"
            | "UNKNOWN"
            | "Unknown"
            | "None Identified"
            | "00"
    )
}

/// Values parted by `by`, but not inside of brackets.
pub fn split_outside(text: &str, by: char) -> Vec<&str> {
    let (mut depth, mut from, mut out) = (0usize, 0, Vec::new());
    for (at, letter) in text.char_indices() {
        match letter {
            '(' | '[' => depth += 1,
            ')' | ']' => depth = depth.saturating_sub(1),
            letter if letter == by && depth == 0 => {
                out.push(&text[from..at]);
                from = at + letter.len_utf8();
            }
            _ => {}
        }
    }
    out.push(&text[from..]);
    out
}

/// What stands in brackets in another script: `Jin Tiesan (金铁三)`.
pub fn in_other_script(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for inside in text.split(['(', '[']).skip(1) {
        let inside = inside.split([')', ']']).next().unwrap_or("");
        for part in inside.split([';', ',', '،', '؛']) {
            let part = clean(part);
            let foreign = part
                .chars()
                .filter(|letter| letter.is_alphabetic())
                .all(|letter| u32::from(letter) >= 0x370);
            if foreign && part.chars().any(char::is_alphabetic) {
                found.push(part);
            }
        }
    }
    found
}

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

/// A month by its English name, short or long.
pub fn month(text: &str) -> Option<u8> {
    let lower = text.trim_end_matches('.').to_ascii_lowercase();
    let place = MONTHS.iter().position(|month| lower.starts_with(month))?;
    u8::try_from(place + 1).ok()
}

/// `12 Jul 1986`, `Jul 1986`, `August 1961`, `1986`.
fn english_one(text: &str) -> Option<PartialDate> {
    let parts: Vec<&str> = text.split_whitespace().collect();
    let year = |text: &str| PartialDate::parse(text).filter(|_| text.len() == 4);
    match parts.as_slice() {
        [only] => PartialDate::parse(only),
        [name, end] => Some(PartialDate { month: month(name)?, ..year(end)? }),
        [day, name, end] => {
            let day = day.parse().ok().filter(|day| (1..=31).contains(day))?;
            Some(PartialDate { month: month(name)?, day, ..year(end)? })
        }
        _ => None,
    }
}

/// A date in English words, about a date, or between two, in the form of [`crate::Birth::parse`].
pub fn english_date(text: &str) -> Option<String> {
    let text = text.trim();
    let (about, text) = match text.strip_prefix("circa ") {
        Some(text) => ("circa ", text),
        None => ("", text),
    };
    if let Some(date) = english_one(text) {
        return Some(format!("{about}{date}"));
    }
    let (first, last) = text.split_once(" to ").or_else(|| text.split_once('-'))?;
    let (first, last) = (english_one(first.trim())?, english_one(last.trim())?);
    // From the first to the last day of a year, or of a month, is that year or month.
    let same_year = first.year == last.year && first.day == 1 && last.day >= 28;
    if same_year && first.month == 1 && last.month == 12 {
        return Some(format!("{about}{:04}", first.year));
    }
    if same_year && first.month == last.month {
        return Some(format!("{about}{}", PartialDate { day: 0, ..first }));
    }
    Some(format!("{about}{first} to {last}"))
}

/// `31/12/1962`, with letters or zeros for what is unknown: `dd/mm/1962`, `00/07/1978`.
pub fn european_date(text: &str) -> Option<String> {
    let mut parts = text.trim().split('/');
    let (day, month, year) = (parts.next()?, parts.next()?, parts.next()?);
    let number = |text: &str| text.parse::<u8>().unwrap_or(0);
    let (day, month) = (number(day), number(month));
    let year = PartialDate::parse(year).filter(|_| year.len() == 4)?;
    let month = if month <= 12 { month } else { 0 };
    let date = PartialDate { month, day: if month > 0 && day <= 31 { day } else { 0 }, ..year };
    Some(date.to_string())
}

/// Values that are there, one after the other.
pub fn joined<'a>(values: impl IntoIterator<Item = &'a str>, between: &str) -> String {
    values.into_iter().filter(|value| !is_nothing(value)).collect::<Vec<_>>().join(between)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_one_line_in_unicode() {
        assert_eq!(clean("  a\n      b\u{92}s\t"), "a b’s");
        assert_eq!(decode(b"Jos\xe9 \x93x\x94"), "José “x”");
        assert_eq!(split_outside("a; b (c; d); e", ';'), ["a", " b (c; d)", " e"]);
        assert_eq!(in_other_script("Jin Tiesan (金铁三) (known as J.)"), ["金铁三"]);
    }

    #[test]
    fn dates_are_read_as_far_as_they_are_known() {
        let english = |text| english_date(text).unwrap_or_default();
        assert_eq!(english("12 Jul 1986"), "1986-07-12");
        assert_eq!(english("Jul 1986"), "1986-07");
        assert_eq!(english("August 1961"), "1961-08");
        assert_eq!(english("circa 1979-1982"), "circa 1979 to 1982");
        assert_eq!(english("01 Jan 1960 to 31 Dec 1960"), "1960");
        assert_eq!(english("02 Jan 1960 to 31 Dec 1961"), "1960-01-02 to 1961-12-31");
        assert_eq!(english("1343"), "");
        let european = |text| european_date(text).unwrap_or_default();
        assert_eq!(european("dd/mm/1962"), "1962");
        assert_eq!(european("00/07/1978"), "1978-07");
        assert_eq!(european("15/08/19yy"), "");
    }
}
