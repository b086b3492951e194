//! From any script to words of Latin letters and digits.

use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};

use super::{
    script::{Script, latin},
    word::Word,
};
use crate::tables::{Original, Tables};

/// Letters of a name that are read; the rest is left out. The longest name on the lists of the UN, OFAC and
/// the EU has 270.
pub const NAME_MAX_LETTERS: usize = 400;

/// Words of a name that are read.
pub const NAME_MAX_WORDS: usize = 32;

/// A word of a name.
#[derive(Clone, Copy, Debug)]
pub struct Written {
    /// In Latin letters.
    pub latin: Word,
    /// The script in which it stood.
    pub script: Script,
    /// The class, if it is a legal form of a script without spaces.
    pub legal: Option<u16>,
    /// Whether it was one letter, however many it has in Latin.
    pub single: bool,
    /// Whether the Arabic article is written together with it.
    pub article: bool,
}

/// The words of a name: letters and digits, everything else parts them. With `tables`, words in scripts
/// other than Latin are replaced by what they are known to stand for, those of organisations only with `terms`.
pub fn words(name: &str, tables: Option<&Tables>, terms: bool) -> Vec<Written> {
    let mut reader = Reader {
        tables,
        terms,
        out: Vec::with_capacity(8),
        letters: Vec::with_capacity(16),
        dotted: false,
        single: false,
        article: false,
        case: Case::Upper,
        run: 0,
    };
    if name.is_ascii() {
        reader.read(name.chars().take(NAME_MAX_LETTERS));
    } else {
        reader.read(name.nfkc().take(NAME_MAX_LETTERS));
    }
    reader.out.truncate(NAME_MAX_WORDS);
    reader.out
}

struct Reader<'t> {
    tables: Option<&'t Tables>,
    terms: bool,
    out: Vec<Written>,
    /// The word that is being read.
    letters: Vec<char>,
    /// Whether it has points between its letters.
    dotted: bool,
    /// Of the word that is being written: whether it is one letter, and whether it has the Arabic article.
    single: bool,
    article: bool,
    /// The case of its last letter, and how many in a row have it.
    case: Case,
    run: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Case {
    Upper,
    Lower,
}

/// Marks that stand inside words and say nothing: apostrophes, hamza and the like, and what steers
/// the direction or joining of letters.
fn is_silent(letter: char) -> bool {
    matches!(
        letter,
        '\'' | '\u{2018}' | '\u{2019}' | '\u{02b9}'..='\u{02bf}' | '\u{02c8}' | '`' | '\u{b4}' | '"' | '\u{5f3}' | '\u{5f4}'
            | '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{640}'
    )
}

impl Reader<'_> {
    fn read(&mut self, name: impl Iterator<Item = char>) {
        let mut name = name.peekable();
        while let Some(letter) = name.next() {
            if is_silent(letter) {
                continue;
            }
            if letter == '.' {
                // S.A. is one word, "St. John" two.
                let abbreviates = self.letters.len() == 1 || self.dotted;
                let goes_on = name.peek().is_some_and(|next| next.is_alphanumeric());
                if !(abbreviates && goes_on) {
                    self.end();
                } else {
                    self.dotted = true;
                }
            } else if letter == '&' || letter == '+' {
                self.end();
                self.letters.extend(['a', 'n', 'd']);
                self.end();
            } else if letter.is_alphanumeric() || is_combining_mark(letter) {
                self.case(letter, name.peek().copied());
                if letter.is_ascii() {
                    self.letter(letter.to_ascii_lowercase());
                } else {
                    letter.to_lowercase().for_each(|letter| self.letter(letter));
                }
            } else {
                self.end();
            }
            if self.out.len() >= NAME_MAX_WORDS {
                return;
            }
        }
        self.end();
    }

    /// `SMITHJohn` and `johnSMITH` lost the space between two words; `McDonald` and `IBM` did not.
    fn case(&mut self, letter: char, next: Option<char>) {
        if !letter.is_alphabetic() {
            return;
        }
        let case = if letter.is_uppercase() { Case::Upper } else { Case::Lower };
        let turns = match (self.case, case) {
            (Case::Lower, Case::Upper) => true,
            (Case::Upper, Case::Upper) => self.run >= 3 && next.is_some_and(char::is_lowercase),
            _ => false,
        };
        if turns
            && self.letters.len() >= 3
            && next.is_some_and(char::is_alphabetic)
            && letter.is_alphabetic()
        {
            self.end();
        }
        self.run = if case == self.case && !self.letters.is_empty() { self.run + 1 } else { 1 };
        self.case = case;
    }

    /// A letter of the present word; another script or a number begins a new one.
    fn letter(&mut self, letter: char) {
        if let Some(last) = self.letters.last().copied() {
            let (before, now) = (Script::of(last), Script::of(letter));
            let mark = is_combining_mark(letter) || is_combining_mark(last);
            let parts = before != now && (before.runs_together() || now.runs_together());
            if parts && !mark && !letter.is_ascii_digit() {
                self.end();
            }
        }
        self.letters.push(letter);
    }

    /// The word is complete.
    fn end(&mut self) {
        if self.letters.is_empty() {
            self.dotted = false;
            return;
        }
        let letters = std::mem::take(&mut self.letters);
        if self.dotted && !self.terms && letters.len() <= 4 {
            // J.R.R. is three names of a person.
            letters.iter().for_each(|letter| self.transliterate(Script::of(*letter), &[*letter]));
            self.letters = letters;
            self.letters.clear();
            self.dotted = false;
            return;
        }
        match Script::of(letters[0]) {
            Script::Latin if letters.iter().all(char::is_ascii) => self.ascii(&letters),
            script if script.runs_together() => self.unspaced(script, &letters),
            script => self.spaced(script, &letters),
        }
        self.letters = letters;
        self.letters.clear();
        self.dotted = false;
    }

    /// Letters and digits part, unless a digit stands where a misread letter would.
    fn ascii(&mut self, letters: &[char]) {
        let letters = without_ordinal(letters);
        let mut word = Word::EMPTY;
        for (at, letter) in letters.iter().enumerate() {
            let letter = misread(letters, at).unwrap_or(*letter);
            let byte = u8::try_from(letter).unwrap_or(b'?');
            if word.is_full()
                || !word.is_empty() && word.last().is_ascii_digit() != byte.is_ascii_digit()
            {
                self.push(Script::Latin, std::mem::replace(&mut word, Word::EMPTY));
            }
            word.push(byte);
        }
        self.push(Script::Latin, word);
    }

    fn spaced(&mut self, script: Script, letters: &[char]) {
        if script != Script::Latin
            && let Some(tables) = self.tables
        {
            let text: String = letters.iter().collect();
            if let Some(original) =
                without_articles(&text).into_iter().find_map(|text| self.known(tables, &text))
            {
                self.original(original);
                return;
            }
        }
        self.transliterate(script, letters);
    }

    /// Without spaces the longest known word comes first; what is not known is read letter by letter.
    fn unspaced(&mut self, script: Script, letters: &[char]) {
        let longest = self.tables.map_or(0, Tables::longest_original);
        let mut at = 0;
        let mut unknown = 0;
        while at < letters.len() {
            let found = (2..=longest.min(letters.len() - at)).rev().find_map(|length| {
                let text: String = letters[at..at + length].iter().collect();
                Some((length, self.known(self.tables?, &text)?))
            });
            if let Some((length, original)) = found {
                self.unknown(script, &letters[unknown..at]);
                self.original(original);
                at += length;
                unknown = at;
            } else {
                at += 1;
            }
        }
        self.unknown(script, &letters[unknown..]);
    }

    fn known(&self, tables: &Tables, text: &str) -> Option<Original> {
        tables.original(text).filter(|original| self.terms || matches!(original, Original::Word(_)))
    }

    fn unknown(&mut self, script: Script, letters: &[char]) {
        if script.is_syllabic() {
            letters.iter().for_each(|syllable| self.transliterate(script, &[*syllable]));
        } else if !letters.is_empty() {
            self.transliterate(script, letters);
        }
    }

    fn original(&mut self, original: Original) {
        let (latin, legal) = match original {
            Original::Word(word) | Original::Term(word) => (word, None),
            Original::Legal(class) => (Word::EMPTY, Some(class)),
        };
        self.out.push(Written {
            latin,
            script: Script::Latin,
            legal,
            single: false,
            article: false,
        });
    }

    fn transliterate(&mut self, script: Script, letters: &[char]) {
        let mixed = script != Script::Latin && letters.iter().any(char::is_ascii_alphabetic);
        let disguised: Vec<char> =
            if mixed { letters.iter().copied().map(look_alike).collect() } else { Vec::new() };
        let (letters, script) =
            if mixed { (disguised.as_slice(), Script::Latin) } else { (letters, script) };
        self.single = letters.len() == 1;
        self.article = matches!(letters, ['ا', 'ل', _, _, ..]);
        let mut word = Word::EMPTY;
        let mut at = 0;
        while at < letters.len() {
            let here = Script::of(letters[at]);
            let (text, taken) = latin(here, letters, at)
                .unwrap_or_else(|| (any_ascii::any_ascii_char(letters[at]), 1));
            for letter in text.bytes().filter(u8::is_ascii_alphanumeric) {
                let parts =
                    !word.is_empty() && word.last().is_ascii_digit() != letter.is_ascii_digit();
                if word.is_full() || parts {
                    self.push(script, std::mem::replace(&mut word, Word::EMPTY));
                }
                word.push(letter.to_ascii_lowercase());
            }
            at += taken;
        }
        self.push(script, word);
        (self.single, self.article) = (false, false);
    }

    fn push(&mut self, script: Script, latin: Word) {
        if !latin.is_empty() {
            self.out.push(Written {
                latin,
                script,
                legal: None,
                single: self.single,
                article: self.article,
            });
        }
    }
}

/// A word, then without what Arabic and Hebrew write together with it, and without the mark of the feminine.
fn without_articles(text: &str) -> Vec<String> {
    let text = plain_original(text);
    let bare = ["وال", "بال", "ال", "لل", "ב", "ה"]
        .iter()
        .filter_map(|article| text.strip_prefix(article));
    let mut found: Vec<String> =
        bare.filter(|bare| bare.chars().count() > 2).map(str::to_owned).collect();
    found.insert(0, text.clone());
    let masculine: Vec<String> =
        found.iter().filter_map(|text| text.strip_suffix('ه')).map(str::to_owned).collect();
    found.extend(masculine);
    found
}

/// Letters of the Arabic script that are written one for the other are one.
pub fn plain_original(text: &str) -> String {
    let letter = |letter: char| match letter {
        'أ' | 'إ' | 'آ' | 'ٱ' => Some('ا'),
        'ى' | 'ی' | 'ئ' => Some('ي'),
        'ة' | 'ہ' | 'ھ' => Some('ه'),
        'ک' => Some('ك'),
        '\u{64b}'..='\u{65f}' | '\u{640}' => None,
        other => Some(other),
    };
    text.chars().filter_map(letter).collect()
}

/// The Latin letter that a letter of another script looks like: a word of both is a Latin one in disguise.
fn look_alike(letter: char) -> char {
    match letter {
        'а' | 'α' => 'a',
        'в' | 'β' => 'b',
        'е' | 'ε' => 'e',
        'к' | 'κ' => 'k',
        'м' => 'm',
        'н' => 'h',
        'о' | 'ο' => 'o',
        'р' | 'ρ' => 'p',
        'с' => 'c',
        'т' | 'τ' => 't',
        'у' | 'υ' => 'y',
        'х' | 'χ' => 'x',
        'і' | 'ι' => 'i',
        'ј' => 'j',
        'ѕ' => 's',
        other => other,
    }
}

/// 1st is 1.
fn without_ordinal(letters: &[char]) -> &[char] {
    let Some((number, end)) = letters.split_last_chunk::<2>() else { return letters };
    let ordinal = matches!(end, ['s', 't'] | ['n', 'd'] | ['r', 'd'] | ['t', 'h']);
    let numeric = !number.is_empty() && number.iter().all(char::is_ascii_digit);
    if ordinal && numeric { number } else { letters }
}

/// The letter that a scanner read as the digit at this place: a lone one among letters.
fn misread(letters: &[char], at: usize) -> Option<char> {
    let letter = match letters[at] {
        '0' => 'o',
        '1' => 'l',
        '2' => 'z',
        '3' => 'e',
        '4' => 'a',
        '5' => 's',
        '6' | '9' => 'g',
        '7' => 't',
        '8' => 'b',
        _ => return None,
    };
    let is_letter = |place: Option<&char>| place.is_some_and(|letter| letter.is_ascii_lowercase());
    let before = at
        .checked_sub(1)
        .map_or(letters.len() >= 4 && letters[at] == '0', |place| is_letter(letters.get(place)));
    let digits = letters.iter().filter(|letter| letter.is_ascii_digit()).count();
    let after = is_letter(letters.get(at + 1));
    (before && after && digits <= 2 && letters.len() - digits >= 3).then_some(letter)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::tables;

    fn read(name: &str) -> String {
        words(name, None, true)
            .iter()
            .map(|word| word.latin.to_string())
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn each_script_is_written_in_latin_letters() {
        assert_eq!(read("Владимир Путин"), "vladimir putin");
        assert_eq!(read("Γιώργος Παπαδόπουλος"), "giorgos papadopoulos");
        assert_eq!(read("ნიკა მელია"), "nika melia");
        assert_eq!(read("Նիկոլ Փաշինյան"), "nikol pashinyan");
        assert_eq!(read("नरेन्द्र मोदी"), "narendra modi");
        assert_eq!(read("やまもと タロウ しょう"), "yamamoto tarou shou");
        assert_eq!(read("习近平"), "xi jin ping");
        assert_eq!(read("김정은"), "gim jeong eun");
        assert_eq!(read("محمد"), "mhmd");
        assert_eq!(read("Đặng Ngọc Müller"), "dang ngoc muller");
    }

    #[test]
    fn marks_points_and_digits_part_words_as_people_mean_them() {
        assert_eq!(read("O'Neill, J. R."), "oneill j r");
        assert_eq!(read("Petróleos S.A. de C.V."), "petroleos sa de cv");
        assert_eq!(read("Ocean Star1"), "ocean star 1");
        assert_eq!(read("M0hammed 0cean DEB0NO"), "mohammed ocean debono");
        assert_eq!(read("SMITHJohn McDonald IBM"), "smith john mcdonald ibm");
        assert_eq!(read("Smith & Sons"), "smith and sons");
    }

    #[test]
    fn known_words_of_scripts_without_spaces_are_found() {
        let found = words("长安科技有限公司", Some(tables()), true);
        assert!(found.last().is_some_and(|word| word.legal.is_some()), "{found:?}");
        assert!(found.len() >= 4, "{found:?}");
    }

    #[test]
    fn what_is_read_is_bounded() {
        assert!(words(&"a ".repeat(10_000), None, true).len() <= NAME_MAX_WORDS);
        assert!(words(&"字".repeat(10_000), None, true).len() <= NAME_MAX_WORDS);
    }
}
