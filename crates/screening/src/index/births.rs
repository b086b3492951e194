//! Where births are found, also those that differ by a slip.

use super::{file::hash, layout::purpose};
use crate::dates::{self, Birth, DateMatch, PartialDate};

/// Years from which on a birth could be in any of them.
const WIDE_YEARS: usize = 60;

/// Where a birth is found: by its day, if that is known, or by each year it may be in.
pub fn birth_keys(birth: &Birth) -> Vec<u32> {
    let date = birth.first;
    if let Some(key) = day_key(birth) {
        return vec![key];
    }
    // Two years on each side are what "about" means.
    let slack = if birth.circa { 2 } else { 0 };
    let years = date.year.saturating_sub(slack)..=birth.last.year + slack;
    if years.len() > WIDE_YEARS {
        return vec![year_key(0)];
    }
    years.map(year_key).collect()
}

/// The key of a day of a year, if the birth is known to the day.
pub fn day_key(birth: &Birth) -> Option<u32> {
    let date = birth.first;
    let full = birth.first == birth.last && !birth.circa && date.month > 0 && date.day > 0;
    full.then(|| full_key(date))
}

/// The key of a day.
pub fn full_key(date: PartialDate) -> u32 {
    let [high, low] = date.year.to_be_bytes();
    hash(purpose::DAY, &[high, low, date.month, date.day])
}

/// The key of births of which no more than the year is sure; 0 for those between years far apart.
pub fn year_key(year: u16) -> u32 {
    hash(purpose::YEAR, &year.to_be_bytes())
}

/// Days that somebody may write for this one by a slip.
pub fn slips(date: PartialDate) -> Vec<PartialDate> {
    let mut days = Vec::new();
    let mut add = |year: u16, month: u8, day: u8| {
        if (1..=12).contains(&month) && (1..=31).contains(&day) {
            days.push(PartialDate { year, month, day });
        }
    };
    let PartialDate { year, month, day } = date;
    for other in year.saturating_sub(9)..=year + 9 {
        add(other, month, day);
    }
    // The last two digits in the other order.
    add(year / 100 * 100 + year % 10 * 10 + year / 10 % 10, month, day);
    for other in 1..=12 {
        add(year, other, day);
    }
    for other in 1..=31 {
        add(year, month, other);
    }
    add(year, day, month);
    days.sort_unstable();
    days.dedup();
    let this = [Birth::on(date)];
    days.retain(|day| {
        dates::compare(&this, &[Birth::on(*day)])
            .is_some_and(|(found, _, _)| found < DateMatch::SameYear)
    });
    days
}
