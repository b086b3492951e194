//! Dates as lists give them: to the day, to the month, to the year, about a year, between two years.

use std::fmt;

/// A date of which the end may be unknown; 0 stands for an unknown month or day.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct PartialDate {
    /// 1 to 9999, Gregorian.
    pub year: u16,
    /// 0 to 12.
    pub month: u8,
    /// 0 to 31.
    pub day: u8,
}

impl PartialDate {
    /// A year alone.
    pub fn year(year: u16) -> Self {
        Self { year, month: 0, day: 0 }
    }

    /// Reads `1975`, `1975-05`, `1975-05-03`, also with a time or zone behind the day. `None` for anything
    /// else, for impossible dates, and for years that nobody on a list was born in (a Hijri year is not a
    /// Gregorian one).
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (date, rest) = text.split_at_checked(10).unwrap_or((text, ""));
        let plain = date.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
        if !plain || !(rest.is_empty() || rest.starts_with(['T', 't', ' ', '+', '-', 'Z'])) {
            return None;
        }
        let mut parts = date.split('-');
        let year: u16 = parts.next().filter(|year| year.len() == 4)?.parse().ok()?;
        let mut next = |most: u8| match parts.next() {
            None => Some(0),
            Some(part) if part.len() == 2 => {
                part.parse().ok().filter(|part| (1..=most).contains(part))
            }
            Some(_) => None,
        };
        let month = next(12)?;
        let day = next(days(year, month))?;
        (1500..=2199).contains(&year).then_some(Self { year, month, day })
    }

    fn is_full(self) -> bool {
        self.day > 0
    }
}

fn days(year: u16, month: u8) -> u8 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => {
            29
        }
        2 => 28,
        _ => 31,
    }
}

impl fmt::Display for PartialDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}", self.year)?;
        if self.month > 0 {
            write!(f, "-{:02}", self.month)?;
        }
        if self.day > 0 {
            write!(f, "-{:02}", self.day)?;
        }
        Ok(())
    }
}

/// When somebody was born or something was founded.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Birth {
    /// The date, or the earliest it can be.
    pub first: PartialDate,
    /// The latest it can be.
    pub last: PartialDate,
    /// Whether the source says "about".
    pub circa: bool,
}

impl Birth {
    /// A date that is known.
    pub fn on(date: PartialDate) -> Self {
        Self { first: date, last: date, circa: false }
    }

    /// Reads a date, with `circa` or `c.` before it, or two years with a dash, slash or `to` between.
    pub fn parse(text: &str) -> Option<Self> {
        let lower = text.trim().to_ascii_lowercase();
        let bare = ["circa", "approximately", "about", "ca.", "c.", "~"]
            .iter()
            .find_map(|about| lower.strip_prefix(about));
        let circa = bare.is_some();
        let text = bare.unwrap_or(&lower).trim();
        let range = [" to ", "/", " - "].iter().find_map(|between| text.split_once(between));
        if let Some((first, last)) =
            range.or_else(|| text.split_once('-').filter(|_| text.len() == 9))
        {
            let (first, last) = (PartialDate::parse(first)?, PartialDate::parse(last)?);
            return (first <= last).then_some(Self { first, last, circa });
        }
        PartialDate::parse(text).map(|date| Self { circa, ..Self::on(date) })
    }

    fn date(&self) -> Option<PartialDate> {
        (self.first == self.last && !self.circa).then_some(self.first)
    }
}

impl fmt::Display for Birth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.circa {
            f.write_str("circa ")?;
        }
        self.first.fmt(f)?;
        if self.first != self.last {
            write!(f, " to {}", self.last)?;
        }
        Ok(())
    }
}

/// How two dates stand to each other, from the best to the worst.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DateMatch {
    /// The same day.
    Exact,
    /// Day and month in the other order, as forms of another country have it.
    Swapped,
    /// One digit or one day apart, or the same day of the year before or after: a slip.
    NearlyExact,
    /// What is known of both agrees, but not to the day.
    Consistent,
    /// The same year, but another day or month.
    SameYear,
    /// Up to two years apart.
    Near,
    /// Further apart.
    Different,
}

/// The best that any two of the dates are to each other; `None` if one side has none.
pub fn compare(left: &[Birth], right: &[Birth]) -> Option<(DateMatch, Birth, Birth)> {
    let pairs = left.iter().flat_map(|a| right.iter().map(move |b| (one(a, b), *a, *b)));
    pairs.min_by_key(|(found, _, _)| *found)
}

fn one(a: &Birth, b: &Birth) -> DateMatch {
    if let (Some(a), Some(b)) = (a.date(), b.date()) {
        return dates(a, b);
    }
    let slack = |birth: &Birth| if birth.circa { 2 } else { 0 };
    let years = |birth: &Birth| {
        (birth.first.year.saturating_sub(slack(birth)), birth.last.year + slack(birth))
    };
    let ((a0, a1), (b0, b1)) = (years(a), years(b));
    match a0.saturating_sub(b1).max(b0.saturating_sub(a1)) {
        0 => DateMatch::Consistent,
        1 | 2 => DateMatch::Near,
        _ => DateMatch::Different,
    }
}

fn dates(a: PartialDate, b: PartialDate) -> DateMatch {
    if a == b && a.is_full() {
        return DateMatch::Exact;
    }
    if a.is_full() && b.is_full() {
        if a.year == b.year && a.day == b.month && a.month == b.day {
            return DateMatch::Swapped;
        }
        let same_day = a.month == b.month && a.day == b.day;
        let next_day = a.year == b.year && a.month == b.month && a.day.abs_diff(b.day) == 1;
        if next_day
            || same_day && (a.year.abs_diff(b.year) == 1 || digits_swapped(a.year, b.year))
            || one_digit(a, b)
        {
            return DateMatch::NearlyExact;
        }
    }
    match a.year.abs_diff(b.year) {
        0 if a.month == 0 || b.month == 0 || a.month == b.month && (a.day == 0 || b.day == 0) => {
            DateMatch::Consistent
        }
        0 => DateMatch::SameYear,
        1 | 2 => DateMatch::Near,
        _ => DateMatch::Different,
    }
}

/// The last two digits of a year in the other order.
fn digits_swapped(a: u16, b: u16) -> bool {
    a / 100 == b / 100 && a % 10 == b / 10 % 10 && a / 10 % 10 == b % 10
}

fn one_digit(a: PartialDate, b: PartialDate) -> bool {
    let differ = |a: u16, b: u16| {
        u32::from(a / 1000 != b / 1000)
            + u32::from(a / 100 % 10 != b / 100 % 10)
            + u32::from(a / 10 % 10 != b / 10 % 10)
            + u32::from(a % 10 != b % 10)
    };
    let all = differ(a.year, b.year)
        + differ(u16::from(a.month), u16::from(b.month))
        + differ(u16::from(a.day), u16::from(b.day));
    // Another decade is no slip of the hand.
    all == 1 && a.year.abs_diff(b.year) < 10
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(a: &str, b: &str) -> DateMatch {
        let birth = |text| [Birth::parse(text).unwrap()];
        compare(&birth(a), &birth(b)).unwrap().0
    }

    #[test]
    fn slips_are_told_from_differences() {
        assert_eq!(found("1975-05-03", "1975-05-03"), DateMatch::Exact);
        assert_eq!(found("1975-05-03", "1975-03-05"), DateMatch::Swapped);
        assert_eq!(found("1975-05-03", "1975-05-04"), DateMatch::NearlyExact);
        assert_eq!(found("1957-05-03", "1975-05-03"), DateMatch::NearlyExact);
        assert_eq!(found("1975", "1975-05-04"), DateMatch::Consistent);
        assert_eq!(found("circa 1973", "1975-05-04"), DateMatch::Consistent);
        assert_eq!(found("1970 to 1974", "1972"), DateMatch::Consistent);
        assert_eq!(found("1970-01-01 to 1974-12-31", "1973-06-05"), DateMatch::Consistent);
        assert_eq!(found("1930-05-05", "1980-05-05"), DateMatch::Different);
        assert_eq!(found("1975-05-03", "1975-11-20"), DateMatch::SameYear);
        assert_eq!(found("1975", "1977"), DateMatch::Near);
        assert_eq!(found("1975", "1985"), DateMatch::Different);
    }

    #[test]
    fn what_is_no_date_is_none() {
        for text in [
            "",
            "75",
            "1402",
            "1975-13-01",
            "1975-5-3",
            "19750503",
            "Monday",
            "1975-00-00",
            "2020-2010",
            "1975-02-31",
            "1975-05-035",
            "1975-+5",
        ] {
            assert_eq!(Birth::parse(text), None, "{text}");
        }
        assert_eq!(Birth::parse("2015-07-01-04:00").unwrap().to_string(), "2015-07-01");
    }
}
