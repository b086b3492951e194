use std::time::Duration;

use serde::{Deserialize, Deserializer, de};

/// `5s`, `15min`, `500ms`, `2h`, `1d`: lengths of time as configurations write them.
pub fn read_span(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (count, unit) = text.split_at(digits);
    let count: u64 = count.parse().ok().filter(|count| *count > 0)?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    count.checked_mul(millis).map(Duration::from_millis)
}

/// Reads a length of time, for `#[serde(deserialize_with = …)]`.
pub fn span<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    read_span(&text)
        .ok_or_else(|| de::Error::custom("expected a time such as 500ms, 5s, 15min, 2h or 1d"))
}
