//! What is known about words: names that are one name, titles, legal forms, common words.
//!
//! The tables are part of the crate (`data/*.tsv`, each with a header that says what its columns hold) and
//! are read once. They were written from general knowledge; nothing depends on one line of them.

use std::sync::LazyLock;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::names::{Word, words};

/// When a word is a title, rank or suffix.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Title {
    /// Always.
    Always,
    /// In front of two other words: some are called `Colonel` or `Maulana`.
    Leading,
    /// It may be one, and may be a name.
    Ambiguous,
}

/// What is known about a word of Latin letters.
#[derive(Clone, Default, Debug)]
pub struct Known {
    /// Groups of given or family names in which it stands.
    pub groups: Vec<u16>,
    /// How much it says in the name of a person, 1 for a rare name.
    pub person: Option<f32>,
    /// How much it says in the name of an organisation.
    pub organisation: Option<f32>,
    /// The English word of an organisation's name that it stands for.
    pub english: Option<u16>,
    /// The number that it says, and whether it is also an ordinary word.
    pub number: Option<(u16, bool)>,
    /// Whether it is a title, rank or suffix.
    pub title: Option<Title>,
    /// A particle such as `bin` or `van`.
    pub particle: bool,
    /// A particle that says whose child somebody is.
    pub patronym: bool,
    /// Legal forms that begin with it, longest first.
    pub legal: Vec<LegalForm>,
}

/// A legal form of organisations.
#[derive(Clone, Debug)]
pub struct LegalForm {
    /// The words after the first.
    pub rest: Vec<Word>,
    /// Forms of one class are the same form in other words or other countries.
    pub class: u16,
}

/// What a run of letters without spaces stands for.
#[derive(Clone, Copy, Debug)]
pub enum Original {
    /// A title, particle or number.
    Word(Word),
    /// A word in the names of organisations.
    Term(Word),
    /// A legal form.
    Legal(u16),
}

const ORG_WORDS: &str = include_str!("../data/org_words.tsv");
const NICKNAMES: &str = include_str!("../data/nicknames.tsv");
const COMMON_NAMES: &str = include_str!("../data/common_names.tsv");
const PARTICLES: &str = include_str!("../data/particles.tsv");
const TITLES: &str = include_str!("../data/titles.tsv");
const NUMBERS: &str = include_str!("../data/numbers.tsv");
const JAPANESE: &str = include_str!("../data/japanese_names.tsv");
const CHINESE: &str = include_str!("../data/chinese_names.tsv");
const PINYIN: &str = include_str!("../data/pinyin.tsv");
const NAMES: &str = include_str!("../data/names.txt");
const WORDS: &str = include_str!("../data/words.txt");
const ORIGINAL_NAMES: &str = include_str!("../data/original_names.tsv");
const COUNTRIES: &str = include_str!("../data/countries.tsv");
const LEGAL_FORMS: &str = include_str!("../data/legal_forms.tsv");

/// All texts of which the tables are made.
pub fn texts() -> [&'static str; 14] {
    [
        ORG_WORDS,
        NICKNAMES,
        COMMON_NAMES,
        PARTICLES,
        TITLES,
        NUMBERS,
        JAPANESE,
        CHINESE,
        PINYIN,
        NAMES,
        WORDS,
        ORIGINAL_NAMES,
        COUNTRIES,
        LEGAL_FORMS,
    ]
}

/// All that is known.
#[derive(Default, Debug)]
pub struct Tables {
    words: FxHashMap<Word, Known>,
    originals: FxHashMap<Box<str>, Original>,
    longest_original: usize,
    classes: Vec<Box<str>>,
    /// The words of each group of names.
    groups: Vec<Vec<Word>>,
    /// The words that stand for each English one.
    english: Vec<Vec<Word>>,
    /// Readings of Japanese family and given names in Chinese characters.
    japanese: [FxHashMap<&'static str, Vec<&'static str>>; 2],
    /// Readings of characters in Hong Kong and in Taiwan.
    chinese: FxHashMap<char, [&'static str; 2]>,
    /// Syllables of Chinese, and whether each is a usual family name.
    pinyin: FxHashMap<&'static str, bool>,
    /// Given and family names of which no more is known than that they are.
    names: FxHashSet<Word>,
    /// Ordinary words of English.
    ordinary: FxHashSet<Word>,
    /// Countries by their names and codes.
    countries: FxHashMap<Box<str>, Vec<[u8; 2]>>,
}

/// The tables of this crate.
pub fn tables() -> &'static Tables {
    static TABLES: LazyLock<Tables> = LazyLock::new(Tables::read);
    &TABLES
}

fn rows(text: &'static str) -> impl Iterator<Item = Vec<&'static str>> {
    text.lines()
        .filter(|line| !line.starts_with('#') && !line.trim().is_empty())
        .map(|line| line.split('\t').map(str::trim).collect())
}

fn column(row: &[&'static str], at: usize) -> &'static str {
    row.get(at).copied().unwrap_or("")
}

fn index(length: usize) -> u16 {
    u16::try_from(length).unwrap_or(u16::MAX)
}

impl Tables {
    fn read() -> Self {
        let mut tables = Self::default();
        tables.read_org_words();
        tables.read_names();
        tables.read_titles();
        tables.read_numbers();
        tables.read_countries();
        tables.read_japanese();
        tables.read_chinese();
        tables.read_legal_forms();
        tables.list_kin();
        tables
    }

    /// Lists the words of each group of names and of each English word.
    fn list_kin(&mut self) {
        let mut words: Vec<(&Word, &Known)> = self.words.iter().collect();
        words.sort_unstable_by_key(|(word, _)| **word);
        let (mut groups, mut english) = (Vec::new(), Vec::new());
        let add = |lists: &mut Vec<Vec<Word>>, at: u16, word: &Word| {
            let at = usize::from(at);
            if lists.len() <= at {
                lists.resize(at + 1, Vec::new());
            }
            lists[at].push(*word);
        };
        for (word, known) in words {
            known.groups.iter().for_each(|group| add(&mut groups, *group, word));
            known.english.iter().for_each(|meant| add(&mut english, *meant, word));
        }
        (self.groups, self.english) = (groups, english);
    }

    /// The words of a group of names.
    pub fn of_group(&self, group: u16) -> &[Word] {
        self.groups.get(usize::from(group)).map_or(&[], Vec::as_slice)
    }

    /// The words that stand for an English one.
    pub fn of_english(&self, english: u16) -> &[Word] {
        self.english.get(usize::from(english)).map_or(&[], Vec::as_slice)
    }

    /// What is known about a word.
    pub fn known(&self, word: &Word) -> Option<&Known> {
        self.words.get(word)
    }

    /// What a folded word in its own script stands for.
    pub fn original(&self, text: &str) -> Option<Original> {
        self.originals.get(text).copied()
    }

    /// Letters of the longest entry of [`Self::original`] in a script without spaces.
    pub fn longest_original(&self) -> usize {
        self.longest_original
    }

    /// The name of a class of legal forms.
    pub fn class(&self, class: u16) -> &str {
        self.classes.get(usize::from(class)).map_or("", AsRef::as_ref)
    }

    /// Countries that a name, code or demonym may mean, as small letters of ISO 3166-1 alpha-2.
    pub fn countries(&self, text: &str) -> &[[u8; 2]] {
        self.countries.get(plain(text).as_str()).map_or(&[], Vec::as_slice)
    }

    fn entry(&mut self, text: &str) -> &mut Known {
        self.words.entry(Word::new(text)).or_default()
    }

    fn add_originals(&mut self, cell: &str, original: Original) {
        for text in cell.split('|').filter(|text| !text.is_empty()) {
            if text.chars().all(|letter| crate::names::Script::of(letter).runs_together()) {
                self.longest_original = self.longest_original.max(text.chars().count());
            }
            self.originals.entry(crate::names::plain_original(text).into()).or_insert(original);
        }
    }

    fn read_org_words(&mut self) {
        let mut english = FxHashMap::default();
        for row in rows(ORG_WORDS) {
            let weight = column(&row, 1).parse().unwrap_or(0.4);
            let word = Word::new(column(&row, 0));
            let meant = Word::new(column(&row, 2));
            let meant = if meant.is_empty() { word } else { meant };
            let next = index(english.len());
            let id = *english.entry(meant).or_insert(next);

            let known = self.entry(column(&row, 0));
            known.organisation = Some(weight);
            known.english = Some(id);
            self.add_originals(column(&row, 3), Original::Term(word));
        }
    }

    fn read_names(&mut self) {
        for (group, row) in rows(NICKNAMES).enumerate() {
            for name in column(&row, 1).split(' ') {
                let known = self.entry(name);
                if !known.groups.contains(&index(group)) {
                    known.groups.push(index(group));
                }
            }
        }
        self.ordinary = rows(WORDS).map(|row| Word::new(column(&row, 0))).collect();
        self.names = rows(NAMES).map(|row| Word::new(column(&row, 0))).collect();
        for row in rows(COMMON_NAMES) {
            self.entry(column(&row, 0)).person = column(&row, 1).parse().ok();
        }
        for row in rows(ORIGINAL_NAMES) {
            self.add_originals(column(&row, 0), Original::Word(Word::new(column(&row, 1))));
        }
        for row in rows(PARTICLES) {
            if !column(&row, 1).contains(' ') {
                let known = self.entry(column(&row, 1));
                known.particle = true;
                known.patronym |= column(&row, 2) == "patronym";
                self.add_originals(column(&row, 3), Original::Word(Word::new(column(&row, 1))));
            }
        }
    }

    fn read_titles(&mut self) {
        for row in rows(TITLES) {
            let title = match column(&row, 2) {
                "ambiguous" => Title::Ambiguous,
                "leading" => Title::Leading,
                _ => Title::Always,
            };
            self.entry(column(&row, 1)).title = Some(title);
            if title != Title::Ambiguous {
                self.add_originals(column(&row, 3), Original::Word(Word::new(column(&row, 1))));
            }
        }
    }

    fn read_numbers(&mut self) {
        for row in rows(NUMBERS) {
            let Ok(number) = column(&row, 1).parse() else { continue };
            self.entry(column(&row, 0)).number = Some((number, column(&row, 2) == "ambiguous"));
            if column(&row, 2).is_empty() {
                self.add_originals(column(&row, 3), Original::Word(Word::new(column(&row, 1))));
            }
        }
    }

    fn read_japanese(&mut self) {
        for row in rows(JAPANESE) {
            let kind = usize::from(column(&row, 0) == "given");
            self.japanese[kind].insert(column(&row, 1), column(&row, 2).split(' ').collect());
        }
    }

    fn read_chinese(&mut self) {
        self.pinyin =
            rows(PINYIN).map(|row| (column(&row, 0), column(&row, 1) == "family")).collect();
        for row in rows(CHINESE) {
            if let Some(letter) = column(&row, 0).chars().next() {
                self.chinese.insert(letter, [column(&row, 1), column(&row, 2)]);
            }
        }
    }

    /// Whether a word is a name somewhere.
    pub fn is_name(&self, word: &Word) -> bool {
        self.names.contains(word)
    }

    /// Whether a word is an ordinary one.
    pub fn is_ordinary(&self, word: &Word) -> bool {
        self.ordinary.contains(word)
    }

    /// Whether a syllable is a usual family name of China; `None` if it is no syllable of Chinese.
    pub fn pinyin(&self, syllable: &str) -> Option<bool> {
        self.pinyin.get(syllable).copied()
    }

    /// How a Chinese name is written in Hong Kong and in Taiwan, as far as that is known.
    pub fn chinese(&self, text: &str) -> Vec<String> {
        let letters: Vec<char> = text.chars().filter(|letter| letter.is_alphanumeric()).collect();
        if !(2..=4).contains(&letters.len()) {
            return Vec::new();
        }
        let reading = |place: usize| {
            let of = |letter: &char| self.chinese.get(letter).map(|readings| readings[place]);
            let syllables: Vec<&str> = letters.iter().map_while(of).collect();
            let whole = syllables.len() == letters.len() && !syllables.contains(&"");
            whole.then(|| syllables.join(" "))
        };
        [0, 1].into_iter().filter_map(reading).collect()
    }

    /// How a Japanese name in Chinese characters may be read, the family name first; empty if it is none that
    /// is known.
    pub fn japanese(&self, text: &str) -> Vec<String> {
        let letters: Vec<char> =
            text.chars().filter(|letter| letter.is_alphanumeric() || *letter == '々').collect();
        let han = |letter: &char| {
            *letter == '々' || crate::names::Script::of(*letter) == crate::names::Script::Han
        };
        if !(2..=6).contains(&letters.len()) || !letters.iter().all(han) {
            return Vec::new();
        }
        let [families, given_names] = &self.japanese;
        let mut found = Vec::new();
        for cut in (1..letters.len().min(4)).rev() {
            let (family, given): (String, String) =
                (letters[..cut].iter().collect(), letters[cut..].iter().collect());
            let both = families.get(family.as_str()).zip(given_names.get(given.as_str()));
            for (family, given) in both.into_iter().flat_map(|(families, given)| {
                families
                    .iter()
                    .flat_map(move |family| given.iter().map(move |given| (family, given)))
            }) {
                found.push(format!("{family} {given}"));
            }
        }
        found
    }

    fn read_countries(&mut self) {
        for row in rows(COUNTRIES) {
            let Some(code) = column(&row, 0).as_bytes().first_chunk::<2>().copied() else {
                continue;
            };
            let cells = [column(&row, 0), column(&row, 1)].into_iter();
            for text in
                cells.chain([2, 3, 4].into_iter().flat_map(|at| column(&row, at).split('|')))
            {
                let text = plain(text);
                let codes = if text.is_empty() {
                    continue;
                } else {
                    self.countries.entry(text.into()).or_default()
                };
                if !codes.contains(&code) {
                    codes.push(code);
                }
            }
        }
    }

    fn read_legal_forms(&mut self) {
        let mut classes = FxHashMap::default();
        for row in rows(LEGAL_FORMS) {
            let name = column(&row, 0);
            let next = index(self.classes.len());
            let class = *classes.entry(name).or_insert(next);
            if class == next {
                self.classes.push(name.into());
            }
            let variants = std::iter::once(column(&row, 2)).chain(column(&row, 3).split('|'));
            for variant in variants.filter(|variant| !variant.is_empty()) {
                self.add_legal_form(variant, class);
            }
        }
        for known in self.words.values_mut() {
            known.legal.sort_by_key(|form| std::cmp::Reverse(form.rest.len()));
        }
    }

    fn add_legal_form(&mut self, variant: &str, class: u16) {
        if variant.chars().all(|letter| crate::names::Script::of(letter).runs_together()) {
            self.add_originals(variant, Original::Legal(class));
            return;
        }
        let written = words(variant, None, true);
        let Some((first, rest)) = written.split_first() else { return };
        let rest: Vec<Word> = rest.iter().map(|word| word.latin).collect();
        let known = self.words.entry(first.latin).or_default();
        if !known.legal.iter().any(|form| form.rest == rest) {
            known.legal.push(LegalForm { rest, class });
        }
    }
}

/// A name of a country as the table has it: small letters and digits, single spaces.
fn plain(text: &str) -> String {
    use unicode_normalization::UnicodeNormalization;
    let folded = text
        .nfkd()
        .filter(|letter| !unicode_normalization::char::is_combining_mark(*letter))
        .flat_map(char::to_lowercase);
    let spaced: String =
        folded.map(|letter| if letter.is_alphanumeric() { letter } else { ' ' }).collect();
    spaced.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_is_read() {
        let tables = tables();
        let known = |text: &str| tables.known(&Word::new(text)).cloned().unwrap_or_default();
        assert!(known("bill").groups.iter().any(|group| known("william").groups.contains(group)));
        assert!(known("mohammed").person.is_some());
        assert!(known("trading").organisation.is_some());
        assert_eq!(known("companhia").english, known("company").english);
        assert!(known("bin").particle);
        assert!(known("dr").title.is_some());
        assert_eq!(known("seven").number.map(|number| number.0), Some(7));
        assert!(!known("gmbh").legal.is_empty());
        assert!(matches!(tables.original("有限公司"), Some(Original::Legal(_))));
        assert_eq!(tables.countries("Russian Federation"), [*b"ru"]);
        assert_eq!(tables.countries("Côte d'Ivoire"), [*b"ci"]);
        assert_eq!(tables.countries("RUS"), [*b"ru"]);
        assert!(tables.countries("Atlantis").is_empty());
        assert_eq!(tables.japanese("佐藤 純一郎"), ["sato junichiro"]);
        assert!(tables.japanese("习近平").is_empty());
        assert_eq!(tables.chinese("陳國強"), ["chan kwok keung", "chen kuo chiang"]);
        assert!(tables.chinese("Chan").is_empty());
    }
}
