use std::fmt;

use time::{Date, OffsetDateTime};

use crate::Timestamp;

/// A month of the calendar in UTC. Its text, `2026-11`, is in the order of time.
///
/// ```
/// use portcullis_types::{Month, Timestamp};
/// let month = Month::of(Timestamp::parse_rfc3339("2026-01-31T23:59:59Z").unwrap());
/// assert_eq!(month.to_string(), "2026-01");
/// assert_eq!(month.before(13).to_string(), "2024-12");
/// assert_eq!(Month::parse("2026-01"), Some(month));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Month(u32);

impl Month {
    /// The month a time is in; times outside the years 0 to 9999 count as the nearest month inside.
    pub fn of(time: Timestamp) -> Self {
        let Ok(date) = OffsetDateTime::from_unix_timestamp(time.secs()) else {
            return Self(if time.secs() < 0 { 0 } else { 9_999 * 12 + 11 });
        };
        let year = u32::try_from(date.year()).unwrap_or(0);
        Self(year * 12 + u32::from(u8::from(date.month())) - 1)
    }

    /// The month so many months earlier.
    #[must_use]
    pub fn before(self, months: u32) -> Self {
        Self(self.0.saturating_sub(months))
    }

    /// The year it is in.
    pub fn year(self) -> u32 {
        self.0 / 12
    }

    /// Reads `2026-11`.
    pub fn parse(text: &str) -> Option<Self> {
        let (year, month) = text.split_once('-')?;
        let number = |text: &str, length| {
            let plain = text.len() == length && text.bytes().all(|b| b.is_ascii_digit());
            text.parse::<u32>().ok().filter(|_| plain)
        };
        let (year, month) = (number(year, 4)?, number(month, 2)?);
        (1..=12).contains(&month).then(|| Self(year * 12 + month - 1))
    }
}

impl Timestamp {
    /// The same day and time so many months later, in UTC; the last day of the month where it has no such day.
    ///
    /// ```
    /// use portcullis_types::Timestamp;
    /// let at = |text| Timestamp::parse_rfc3339(text).unwrap();
    /// assert_eq!(at("2026-01-31T10:00:00Z").plus_months(1), at("2026-02-28T10:00:00Z"));
    /// assert_eq!(at("2027-11-30T10:00:00Z").plus_months(3), at("2028-02-29T10:00:00Z"));
    /// ```
    #[must_use]
    pub fn plus_months(self, months: u32) -> Self {
        let later = || {
            let at = OffsetDateTime::from_unix_timestamp(self.secs()).ok()?;
            let month = Month(Month::of(self).0 + months);
            let (year, number) = (i32::try_from(month.year()).ok()?, month.0 % 12 + 1);
            let number = time::Month::try_from(u8::try_from(number).ok()?).ok()?;
            let day = at.day().min(number.length(year));
            let date = Date::from_calendar_date(year, number, day).ok()?;
            let micros = self.micros() - self.secs() * 1_000_000;
            let secs = date.with_time(at.time()).assume_utc().unix_timestamp();
            Some(Self::from_micros(secs.checked_mul(1_000_000)? + micros))
        };
        // What no calendar has is so far away that a month is nothing.
        later().unwrap_or(self)
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.0 / 12, self.0 % 12 + 1)
    }
}
