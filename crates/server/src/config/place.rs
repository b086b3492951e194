//! Where in the text a mistake is. Messages begin with the part that they are about, such as `route profile: …` or
//! `tokens.access_token_lifetime …`; what they name is looked up in the text.

use std::ops::Range;

use serde::Serialize;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// Something that is wrong with a text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mistake {
    /// Line and column, counted from 1 and in characters, if it is about a part of the text.
    pub place: Option<(usize, usize)>,
    /// In words.
    pub message: String,
}

impl Mistake {
    /// One of the form: what is no TOML, a key that does not exist, a value that does not fit.
    pub fn of_toml(text: &str, error: &toml::de::Error) -> Self {
        let place = error.span().map(|span| place(text, span.start));
        Self { place, message: error.message().to_owned() }
    }

    /// Those of the meaning.
    pub fn find(text: &str, messages: impl IntoIterator<Item = String>) -> Vec<Self> {
        let table = DeTable::parse(text).ok();
        let one = |message: String| {
            let span = table.as_ref().and_then(|table| locate(table.get_ref(), &message));
            Self { place: span.map(|span| place(text, span.start)), message }
        };
        messages.into_iter().map(one).collect()
    }
}

/// As editors say it; without a place there is only the message.
impl std::fmt::Display for Mistake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.place {
            Some((line, column)) => write!(f, "line {line}, column {column}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

fn place(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.rsplit('\n').next().unwrap_or_default();
    (before.matches('\n').count() + 1, line.chars().count() + 1)
}

/// The deepest part of the table that the message names.
fn locate(table: &DeTable<'_>, message: &str) -> Option<Range<usize>> {
    let word = message.trim_start_matches(['"', '.', ' ', ':']);
    let end = word.find(|c: char| !is_of_key(c)).unwrap_or(word.len());
    let (first, rest) = word.split_at(end);
    if let Some((key, value)) = entry(table, first) {
        return match value.get_ref() {
            DeValue::Table(inner) => locate(inner, rest).or(Some(key)),
            DeValue::Array(all) => {
                let named: Vec<_> = all.iter().filter_map(|one| named(one, rest)).collect();
                let deep = |(inner, rest, _): &(&DeTable<'_>, &str, _)| locate(inner, rest);
                // Where a name is given twice it is the second that is too many.
                let last = named.last().map(|(.., at)| at.clone());
                named.iter().find_map(deep).or(last).or(Some(key))
            }
            _ => Some(key),
        };
    }
    // `there is no upstream called x`: the first word that is a key of the table.
    let words = message.split(|c: char| !is_of_key(c));
    words.filter(|word| word.len() > 2).find_map(|word| entry(table, word)).map(|(key, _)| key)
}

fn is_of_key(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-'
}

type Entry<'a, 'i> = (Range<usize>, &'a Spanned<DeValue<'i>>);

fn entry<'a, 'i>(table: &'a DeTable<'i>, name: &str) -> Option<Entry<'a, 'i>> {
    let (key, value) = table.get_key_value(name)?;
    Some((key.span(), value))
}

/// A table of an array, if `rest` goes on with its name; with what follows.
fn named<'a, 'i, 'm>(
    one: &'a Spanned<DeValue<'i>>,
    rest: &'m str,
) -> Option<(&'a DeTable<'i>, &'m str, Range<usize>)> {
    let DeValue::Table(table) = one.get_ref() else { return None };
    let (at, name) = entry(table, "name")?;
    let name = name.get_ref().as_str()?;
    let rest = rest.trim_start().trim_start_matches('"').strip_prefix(name)?;
    (!rest.starts_with(is_of_key)).then_some((table, rest, at))
}

#[cfg(test)]
mod tests {
    use super::super::Config;

    const TEXT: &str = r#"issuer = "https://localhost:8443"
[listen]
public = "127.0.0.1:8443"
[database]
url = "sqlite:x.db"
[tokens]
access_token_lifetime = "2h"
[[upstream]]
name = "a"
servers = ["http://x"]
[[upstream]]
name = "ab"
servers = ["http://x"]
retries = 11
[[route]]
name = "r"
path = "/x"
upstream = "b"
authenticate = ["none"]
[[route]]
name = "r2"
path = "x"
upstream = "a"
authenticate = ["none"]
[[route]]
name = "r2"
path = "/y"
upstream = "a"
authenticate = ["none"]
scopes = ["x"]
"#;

    fn wrong(text: &str) -> Vec<String> {
        let (_, all) = Config::inspect(text, std::path::PathBuf::new());
        all.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_mistake_is_told_with_its_line() {
        let all = wrong(TEXT);
        let begins = [
            "line 7, column 1: tokens.access_token_lifetime",
            "line 14, column 1: upstream ab: retries",
            "line 18, column 1: route r: there is no upstream",
            "line 22, column 1: route r2: path must begin",
            "line 30, column 1: route r2: \"none\" and scopes",
            "line 26, column 1: route r2 is defined twice",
        ];
        assert_eq!(all.len(), begins.len(), "{all:#?}");
        for (told, begin) in all.iter().zip(begins) {
            assert!(told.starts_with(begin), "{told}");
        }
    }

    #[test]
    fn what_does_not_parse_is_told_where_it_stands() {
        let broken = TEXT.replace("servers = [\"http://x\"]\nretries = 11", "servers = [\"é\" 1]");
        assert!(wrong(&broken)[0].starts_with("line 13, column 16: "), "{:?}", wrong(&broken));
        let unknown = TEXT.replace("[tokens]", "[token]");
        assert!(wrong(&unknown)[0].starts_with("line 6, column 2: unknown field `token`"));
        let kind = TEXT.replace("retries = 11", "retries = \"much\"");
        assert!(wrong(&kind)[0].starts_with("line 14, column 11: invalid type"));
        assert_eq!(wrong("").len(), 1);
    }

    #[test]
    fn what_is_named_nowhere_has_no_place() {
        let mistakes = super::Mistake::find(TEXT, ["cluster.url: shared counters".to_owned()]);
        assert_eq!(mistakes[0].to_string(), "cluster.url: shared counters");
    }

    #[test]
    fn of_many_mistakes_some_are_told() {
        let one = |at: u32| format!("[[upstream]]\nname = \"u{at}\"\nservers = []\n");
        let many: String = (0..2_000).map(one).collect();
        assert_eq!(wrong(&format!("{TEXT}{many}")).len(), 50);
    }
}
