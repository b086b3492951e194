use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

/// The longest span there is: a year and a day.
const MAX: Duration = Duration::from_secs(366 * 24 * 3600);

/// A span of time as ISO 8601 writes it, in days, hours, minutes and seconds: `PT30S`, `P1DT12H`.
///
/// Years and months have no length, so they are none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span(Duration);

/// The text is no span.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be a duration like PT30S, PT24H or P7D, at most P366D")]
pub struct SpanError;

impl Span {
    /// Of so many seconds.
    pub const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// How long it is.
    pub fn duration(self) -> Duration {
        self.0
    }
}

impl FromStr for Span {
    type Err = SpanError;

    fn from_str(text: &str) -> Result<Self, SpanError> {
        let rest = text.strip_prefix('P').ok_or(SpanError)?;
        let (days, time) = match rest.split_once('T') {
            Some((days, time)) if !time.is_empty() => (days, time),
            Some(_) => return Err(SpanError),
            None => (rest, ""),
        };
        if days.is_empty() && time.is_empty() {
            return Err(SpanError);
        }
        let mut seconds = 0;
        for (part, units) in [(days, &[('D', 86_400)][..]), (time, &TIME)] {
            seconds += read(part, units).ok_or(SpanError)?;
        }
        let span = Duration::from_secs(seconds);
        if span > MAX { Err(SpanError) } else { Ok(Self(span)) }
    }
}

const TIME: [(char, u64); 3] = [('H', 3_600), ('M', 60), ('S', 1)];

/// The sum of numbers with units, each unit at most once and in this order.
fn read(mut text: &str, units: &[(char, u64)]) -> Option<u64> {
    let mut sum = 0;
    for (unit, length) in units {
        let Some((number, rest)) = text.split_once(*unit) else { continue };
        let digits = !number.is_empty() && number.len() <= 9;
        let digits = digits && number.bytes().all(|byte| byte.is_ascii_digit());
        sum += number.parse::<u64>().ok().filter(|_| digits)? * length;
        text = rest;
    }
    text.is_empty().then_some(sum)
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let (days, rest) = (seconds / 86_400, seconds % 86_400);
        let parts = [(rest / 3_600, 'H'), (rest / 60 % 60, 'M'), (rest % 60, 'S')];
        f.write_str("P")?;
        if days > 0 {
            write!(f, "{days}D")?;
        }
        if rest > 0 || days == 0 {
            f.write_str("T")?;
        }
        if seconds == 0 {
            return f.write_str("0S");
        }
        parts.iter().filter(|(number, _)| *number > 0).try_for_each(|(n, u)| write!(f, "{n}{u}"))
    }
}

impl TryFrom<String> for Span {
    type Error = SpanError;

    fn try_from(text: String) -> Result<Self, SpanError> {
        text.parse()
    }
}

impl From<Span> for String {
    fn from(span: Span) -> Self {
        span.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_and_written() {
        let spans =
            ["PT0S", "PT30S", "PT24H", "P7D", "P1DT12H", "PT1H30M5S", "P366D"].map(|text| {
                let span: Result<Span, _> = text.parse();
                span.map(|span| (span.duration().as_secs(), span.to_string()))
            });
        let read: Vec<_> = spans.into_iter().flatten().collect();
        let seconds: Vec<u64> = read.iter().map(|(seconds, _)| *seconds).collect();
        assert_eq!(seconds, [0, 30, 86_400, 604_800, 129_600, 5_405, 31_622_400]);
        let texts: Vec<&str> = read.iter().map(|(_, text)| &text[..]).collect();
        assert_eq!(texts, ["PT0S", "PT30S", "P1D", "P7D", "P1DT12H", "PT1H30M5S", "P366D"]);
    }

    #[test]
    fn what_is_no_span_is_refused() {
        let texts = [
            "",
            "P",
            "PT",
            "30S",
            "PT30",
            "P1M",
            "P1Y",
            "PT-1S",
            "PT1.5S",
            "P367D",
            "PT1S1H",
            "PT1H1H",
            "P1DT",
            "p1d",
            "PT 1S",
            "PT9999999999S",
            "P1H",
            "PT1D",
            "PTS",
            "PT+1S",
        ];
        for text in texts {
            assert_eq!(text.parse::<Span>(), Err(SpanError), "{text}");
        }
    }
}
