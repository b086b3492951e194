//! One item of a selection: a field, its modifiers, and the values it is held against.

use std::net::IpAddr;

use ipnet::IpNet;
use regex::{Regex, RegexBuilder};
use serde_json::Value;
use time::OffsetDateTime;

use super::{
    fields::{Field, number_of, text_of},
    pattern::{Affix, Encode, Pattern, cut, dashes, encode, folded},
};

/// A regular expression takes at most so much when it is compiled.
const MAX_REGEX_BYTES: usize = 256 * 1024;

/// Values of one item, all their spellings included.
const MAX_TESTS: usize = 5_000;

/// A field and what is asked of it.
#[derive(Debug)]
pub(crate) struct Item {
    /// None for words that may be anywhere.
    field: Option<Field>,
    tests: Vec<Test>,
    /// Whether all of the tests must hold, instead of any.
    all: bool,
    /// Whether none may.
    not: bool,
}

#[derive(Debug)]
enum Test {
    Text { pattern: Pattern, cased: bool },
    Number(f64),
    Truth(bool),
    Null,
    Regex(Regex),
    Network(IpNet),
    Exists(bool),
    Compare(Operator, f64),
    Field(Field, Affix, bool),
    Time(Part, Operator, f64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Year,
}

/// What the modifiers of a field ask for.
#[derive(Debug, Default)]
struct Asked {
    affix: Affix,
    all: bool,
    cased: bool,
    not: bool,
    regex: bool,
    flags: (bool, bool, bool),
    network: bool,
    exists: bool,
    field: bool,
    operator: Option<Operator>,
    part: Option<Part>,
    windash: bool,
    /// Steps of encoding, in order.
    encode: Vec<Encode>,
}

impl Item {
    /// Reads `field|modifier|…: values`. An empty field stands for the whole event.
    pub fn new(key: &str, value: &Value) -> Result<Self, String> {
        let mut parts = key.split('|');
        let name = parts.next().unwrap_or_default();
        let mut asked = Asked::default();
        for modifier in parts {
            asked.add(modifier)?;
        }
        let values = match value {
            Value::Array(values) => values.as_slice(),
            one => std::slice::from_ref(one),
        };
        if values.is_empty() {
            return Err(format!("{key}: there is no value"));
        }
        asked.check().map_err(|why| format!("{key}: {why}"))?;
        if asked.all && values.len() < 2 {
            return Err(format!("{key}: \"all\" needs several values"));
        }
        let mut tests = Vec::new();
        for value in values {
            asked.tests(value, &mut tests).map_err(|why| format!("{key}: {why}"))?;
            if tests.len() > MAX_TESTS {
                return Err(format!("{key}: there are too many values"));
            }
        }
        let field = (!name.is_empty()).then(|| Field::new(name));
        if field.is_none()
            && !tests.iter().all(|test| matches!(test, Test::Text { .. } | Test::Regex(_)))
        {
            return Err("a word is a text".to_owned());
        }
        Ok(Self { field, tests, all: asked.all, not: asked.not })
    }

    /// How many regular expressions it has.
    pub fn regexes(&self) -> usize {
        self.tests.iter().filter(|test| matches!(test, Test::Regex(_))).count()
    }

    pub fn holds(&self, event: &Value) -> bool {
        let Some(field) = &self.field else {
            return self.any_or_all(|test| test.anywhere(event)) != self.not;
        };
        let values = field.values(event);
        self.any_or_all(|test| test.holds(&values, event)) != self.not
    }

    fn any_or_all(&self, holds: impl Fn(&Test) -> bool) -> bool {
        if self.all { self.tests.iter().all(holds) } else { self.tests.iter().any(holds) }
    }
}

impl Asked {
    fn add(&mut self, modifier: &str) -> Result<(), String> {
        match modifier {
            "contains" => self.stands(Affix { before: true, after: true })?,
            "startswith" => self.stands(Affix { before: false, after: true })?,
            "endswith" => self.stands(Affix { before: true, after: false })?,
            "all" => self.all = true,
            "cased" => self.cased = true,
            "neq" => self.not = true,
            "re" => self.regex = true,
            "i" if self.regex => self.flags.0 = true,
            "m" if self.regex => self.flags.1 = true,
            "s" if self.regex => self.flags.2 = true,
            "cidr" => self.network = true,
            "exists" => self.exists = true,
            "fieldref" => self.field = true,
            "lt" => once(&mut self.operator, Operator::Less)?,
            "lte" => once(&mut self.operator, Operator::LessOrEqual)?,
            "gt" => once(&mut self.operator, Operator::Greater)?,
            "gte" => once(&mut self.operator, Operator::GreaterOrEqual)?,
            "minute" => once(&mut self.part, Part::Minute)?,
            "hour" => once(&mut self.part, Part::Hour)?,
            "day" => once(&mut self.part, Part::Day)?,
            "week" => once(&mut self.part, Part::Week)?,
            "month" => once(&mut self.part, Part::Month)?,
            "year" => once(&mut self.part, Part::Year)?,
            "windash" => self.windash = true,
            "base64" => self.encode.push(Encode::Base64),
            "base64offset" => self.encode.push(Encode::Base64Offset),
            "utf16le" | "wide" => self.encode.push(Encode::Utf16Le),
            "utf16be" => self.encode.push(Encode::Utf16Be),
            "utf16" => self.encode.push(Encode::Utf16),
            "expand" => {
                return Err("the modifier \"expand\" needs a pipeline, and there is none".into());
            }
            other => return Err(format!("the modifier {other:?} is not known")),
        }
        Ok(())
    }

    fn stands(&mut self, affix: Affix) -> Result<(), String> {
        if self.affix != Affix::default() {
            return Err("only one of contains, startswith and endswith can be".to_owned());
        }
        self.affix = affix;
        Ok(())
    }

    /// Refuses modifiers of which one would say nothing.
    fn check(&self) -> Result<(), String> {
        let number = self.operator.is_some() || self.part.is_some();
        let spelled = self.windash || !self.encode.is_empty();
        let kinds = [self.regex, self.network, self.exists, self.field, number, spelled];
        let kinds = kinds.into_iter().filter(|kind| *kind).count();
        let stands = self.affix != Affix::default() || self.cased;
        let of_text = kinds == 0 || self.field || spelled;
        if kinds > 1 || (stands && !of_text) {
            return Err("these modifiers do not go together".to_owned());
        }
        Ok(())
    }

    fn tests(&self, value: &Value, tests: &mut Vec<Test>) -> Result<(), String> {
        if let Some(part) = self.part {
            let number = number_of(value).ok_or("a part of a time is a number")?;
            tests.push(Test::Time(part, self.operator.unwrap_or(Operator::Equal), number));
            return Ok(());
        }
        if let Some(operator) = self.operator {
            let number = number_of(value).ok_or("only numbers are more or less")?;
            tests.push(Test::Compare(operator, number));
            return Ok(());
        }
        if self.exists {
            tests.push(Test::Exists(value.as_bool().ok_or("\"exists\" is true or false")?));
            return Ok(());
        }
        let of_text = self.affix != Affix::default()
            || self.regex
            || self.network
            || self.field
            || self.windash
            || !self.encode.is_empty();
        let text = match value {
            Value::String(text) => text,
            Value::Number(_) | Value::Bool(_) if of_text => &text_of(value).unwrap_or_default(),
            Value::Null if of_text => return Err("it is asked of nothing".to_owned()),
            Value::Number(number) => {
                tests.push(Test::Number(number.as_f64().ok_or("a number is too large")?));
                return Ok(());
            }
            Value::Bool(truth) => {
                tests.push(Test::Truth(*truth));
                return Ok(());
            }
            Value::Null => {
                tests.push(Test::Null);
                return Ok(());
            }
            Value::Array(_) | Value::Object(_) => return Err("a value is not a list or map".into()),
        };
        if self.network {
            let network = text.parse::<IpNet>();
            let network = network.or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
            tests.push(Test::Network(network.map_err(|_| format!("{text:?} is not a network"))?));
        } else if self.field {
            tests.push(Test::Field(Field::new(text), self.affix, self.cased));
        } else if self.regex {
            let (i, m, s) = self.flags;
            let regex = RegexBuilder::new(text)
                .case_insensitive(i)
                .multi_line(m)
                .dot_matches_new_line(s)
                .size_limit(MAX_REGEX_BYTES)
                .dfa_size_limit(MAX_REGEX_BYTES)
                .build();
            let regex = regex.map_err(|_| format!("{text:?} is no regular expression we know"))?;
            tests.push(Test::Regex(regex));
        } else {
            self.texts(text, tests)?;
        }
        Ok(())
    }

    fn texts(&self, text: &str, tests: &mut Vec<Test>) -> Result<(), String> {
        let mut spellings = if self.windash { dashes(text)? } else { vec![text.to_owned()] };
        // Base64 has its own case.
        let cased = self.cased || !self.encode.is_empty();
        if !self.encode.is_empty() {
            let mut encoded = Vec::new();
            for spelling in &spellings {
                encoded.extend(encode(spelling, &self.encode)?);
            }
            // Nothing in it is a wildcard.
            let literal = |text: String| Pattern::literal(&text, self.affix, cased);
            tests.extend(
                encoded.into_iter().map(|text| Test::Text { pattern: literal(text), cased }),
            );
            return Ok(());
        }
        tests.extend(
            spellings
                .drain(..)
                .map(|text| Test::Text { pattern: Pattern::read(&text, self.affix, cased), cased }),
        );
        Ok(())
    }
}

/// What can be said once.
fn once<T>(place: &mut Option<T>, what: T) -> Result<(), String> {
    match place.replace(what) {
        None => Ok(()),
        Some(_) => Err("these modifiers do not go together".to_owned()),
    }
}

impl Test {
    fn holds(&self, values: &[&Value], event: &Value) -> bool {
        match self {
            Self::Exists(exists) => values.is_empty() != *exists,
            Self::Null => values.iter().all(|value| value.is_null()),
            Self::Field(other, affix, cased) => values.iter().any(|value| {
                let Some(text) = text_of(value) else { return false };
                let others = other.values(event);
                others.into_iter().filter_map(text_of).any(|other| {
                    Pattern::literal(&other, *affix, *cased).matches(&folded(&text, *cased))
                })
            }),
            _ => values.iter().any(|value| self.fits(value)),
        }
    }

    fn fits(&self, value: &Value) -> bool {
        match self {
            Self::Text { pattern, cased } => {
                text_of(value).is_some_and(|text| pattern.matches(&folded(&text, *cased)))
            }
            Self::Number(number) => number_of(value) == Some(*number),
            Self::Truth(truth) => {
                value.as_bool() == Some(*truth)
                    || value
                        .as_str()
                        .is_some_and(|text| text.eq_ignore_ascii_case(&truth.to_string()))
            }
            Self::Regex(regex) => text_of(value).is_some_and(|text| regex.is_match(cut(&text))),
            Self::Network(network) => {
                let addr = value.as_str().and_then(|text| text.parse::<IpAddr>().ok());
                addr.is_some_and(|addr| network.contains(&addr))
            }
            Self::Compare(operator, than) => {
                number_of(value).is_some_and(|number| operator.holds(number, *than))
            }
            Self::Time(part, operator, than) => {
                part.of(value).is_some_and(|number| operator.holds(number, *than))
            }
            Self::Null | Self::Exists(_) | Self::Field(..) => false,
        }
    }

    /// Whether any value of the event fits.
    fn anywhere(&self, value: &Value) -> bool {
        match value {
            Value::Array(items) => items.iter().any(|item| self.anywhere(item)),
            Value::Object(fields) => fields.values().any(|item| self.anywhere(item)),
            one => match self {
                // A word stands somewhere in a text.
                Self::Text { pattern, cased } => text_of(one)
                    .is_some_and(|text| pattern.anywhere().matches(&folded(&text, *cased))),
                _ => self.fits(one),
            },
        }
    }
}

impl Operator {
    fn holds(self, number: f64, than: f64) -> bool {
        match self {
            #[expect(clippy::float_cmp, reason = "parts of a time are whole numbers")]
            Self::Equal => number == than,
            Self::Less => number < than,
            Self::LessOrEqual => number <= than,
            Self::Greater => number > than,
            Self::GreaterOrEqual => number >= than,
        }
    }
}

impl Part {
    /// Of a time in milliseconds or RFC 3339, in UTC.
    fn of(self, value: &Value) -> Option<f64> {
        let time = match value {
            Value::Number(millis) => {
                OffsetDateTime::from_unix_timestamp_nanos(i128::from(millis.as_i64()?) * 1_000_000)
                    .ok()?
            }
            Value::String(text) => {
                let format = &time::format_description::well_known::Rfc3339;
                OffsetDateTime::parse(text, format).ok()?.to_offset(time::UtcOffset::UTC)
            }
            _ => return None,
        };
        Some(match self {
            Self::Minute => f64::from(time.minute()),
            Self::Hour => f64::from(time.hour()),
            Self::Day => f64::from(time.day()),
            Self::Week => f64::from(time.iso_week()),
            Self::Month => f64::from(u8::from(time.month())),
            Self::Year => f64::from(time.year()),
        })
    }
}
