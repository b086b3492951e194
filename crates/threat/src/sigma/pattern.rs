//! Texts with wildcards, and the spellings of one.

use data_encoding::BASE64;

/// Characters of a field that are looked at.
const MAX_TEXT: usize = 16 * 1024;
/// Spellings of one value with `windash`.
const MAX_SPELLINGS: usize = 256;

/// Where a value stands in a field.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Affix {
    pub before: bool,
    pub after: bool,
}

/// A step of encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encode {
    Utf16Le,
    Utf16Be,
    Utf16,
    Base64,
    Base64Offset,
}

pub(super) fn cut(text: &str) -> &str {
    let mut end = text.len().min(MAX_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

pub(super) fn folded(text: &str, cased: bool) -> String {
    let text = cut(text);
    // One by one: what a letter becomes must not follow from where it stands.
    if cased { text.to_owned() } else { text.chars().flat_map(char::to_lowercase).collect() }
}

/// A text with wildcards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern(Vec<Token>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Text(String),
    /// `?`
    One,
    /// `*`
    Any,
}

impl Pattern {
    /// `*` is any text, `?` any character; a backslash before one of them, or before a backslash
    /// before one, takes its meaning; any other backslash is itself.
    pub fn read(text: &str, affix: Affix, cased: bool) -> Self {
        let (mut tokens, mut literal) = (Vec::new(), String::new());
        let flush = |literal: &mut String, tokens: &mut Vec<Token>| {
            if !literal.is_empty() {
                tokens.push(Token::Text(folded(literal, cased)));
                literal.clear();
            }
        };
        let mut rest = text.chars().peekable();
        while let Some(c) = rest.next() {
            match (c, rest.peek()) {
                ('\\', Some('*' | '?' | '\\')) => literal.extend(rest.next()),
                ('*', _) => {
                    flush(&mut literal, &mut tokens);
                    tokens.push(Token::Any);
                }
                ('?', _) => {
                    flush(&mut literal, &mut tokens);
                    tokens.push(Token::One);
                }
                _ => literal.push(c),
            }
        }
        flush(&mut literal, &mut tokens);
        Self::within(tokens, affix)
    }

    pub fn literal(text: &str, affix: Affix, cased: bool) -> Self {
        let tokens = if text.is_empty() { vec![] } else { vec![Token::Text(folded(text, cased))] };
        Self::within(tokens, affix)
    }

    fn within(mut tokens: Vec<Token>, affix: Affix) -> Self {
        if affix.before {
            tokens.insert(0, Token::Any);
        }
        if affix.after {
            tokens.push(Token::Any);
        }
        tokens.dedup_by(|a, b| *a == Token::Any && *b == Token::Any);
        Self(tokens)
    }

    /// The same, with anything before and after.
    pub fn anywhere(&self) -> Self {
        Self::within(self.0.clone(), Affix { before: true, after: true })
    }

    /// In a time that grows with the length of the text times that of the pattern, at worst.
    pub fn matches(&self, text: &str) -> bool {
        let (mut at, mut place) = (0, 0);
        // Where to go on if what follows the last star does not fit here.
        let mut star: Option<(usize, usize)> = None;
        loop {
            let step = match self.0.get(at) {
                None if place == text.len() => return true,
                None => None,
                Some(Token::Any) => {
                    star = Some((at + 1, place));
                    at += 1;
                    continue;
                }
                Some(Token::One) => text[place..].chars().next().map(char::len_utf8),
                Some(Token::Text(literal)) => {
                    text[place..].starts_with(literal.as_str()).then_some(literal.len())
                }
            };
            match (step, star) {
                (Some(length), _) => {
                    at += 1;
                    place += length;
                }
                (None, Some((after, from))) => {
                    let Some(next) = text[from..].chars().next() else { return false };
                    star = Some((after, from + next.len_utf8()));
                    (at, place) = (after, from + next.len_utf8());
                }
                (None, None) => return false,
            }
        }
    }
}

/// Every way to write the dashes of a flag.
pub(super) fn dashes(text: &str) -> Result<Vec<String>, String> {
    const DASHES: [char; 5] = ['-', '/', '\u{2013}', '\u{2014}', '\u{2015}'];
    let mut all = vec![String::new()];
    let mut before = ' ';
    let after = text.chars().skip(1).chain([' ']);
    for (c, after) in text.chars().zip(after) {
        // One in the middle of a word, or before none, is no flag.
        if DASHES.contains(&c) && !before.is_alphanumeric() && after.is_alphanumeric() {
            let each = |text: &String| DASHES.map(|dash| format!("{text}{dash}"));
            all = all.iter().flat_map(each).collect();
        } else {
            all.iter_mut().for_each(|text| text.push(c));
        }
        before = c;
        if all.len() > MAX_SPELLINGS {
            return Err("there are too many dashes".to_owned());
        }
    }
    Ok(all)
}

pub(super) fn encode(text: &str, steps: &[Encode]) -> Result<Vec<String>, String> {
    let mut bytes = text.as_bytes().to_vec();
    for (place, step) in steps.iter().enumerate() {
        let last = place + 1 == steps.len();
        let units = || text.encode_utf16();
        match step {
            Encode::Utf16Le => bytes = units().flat_map(u16::to_le_bytes).collect(),
            Encode::Utf16Be => bytes = units().flat_map(u16::to_be_bytes).collect(),
            Encode::Utf16 => {
                bytes =
                    [0xff, 0xfe].into_iter().chain(units().flat_map(u16::to_le_bytes)).collect();
            }
            Encode::Base64 if last => return Ok(vec![BASE64.encode(&bytes)]),
            Encode::Base64Offset if last => return Ok(offsets(&bytes)),
            Encode::Base64 | Encode::Base64Offset => {
                return Err("nothing can follow base64".to_owned());
            }
        }
    }
    Err("UTF-16 is only looked for in base64".to_owned())
}

/// What of a text stays the same wherever it begins within three bytes.
fn offsets(bytes: &[u8]) -> Vec<String> {
    let one = |shift: usize| {
        let shifted: Vec<u8> = std::iter::repeat_n(0, shift).chain(bytes.iter().copied()).collect();
        let encoded = BASE64.encode(&shifted);
        let begin = [0, 2, 3][shift];
        let end = encoded.trim_end_matches('=').len();
        let end = if shifted.len().is_multiple_of(3) { end } else { end - 1 };
        encoded.get(begin..end).unwrap_or_default().to_owned()
    };
    (0..3).map(one).filter(|text| !text.is_empty()).collect()
}
