//! A name as parts that can be compared, each with its weight.

use std::sync::OnceLock;

use super::{
    pinyin,
    script::Script,
    sound::{Sound, consonants_of_fold, fold, skeleton, syllables},
    text::{Written, words},
    word::Word,
};
use crate::tables::{Known, Tables, Title, tables};

/// What bears the name; it decides how much each part says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Subject {
    /// A natural person.
    Person,
    /// A company, authority or group.
    Organisation,
    /// A vessel, an aircraft or another thing with a name.
    Object,
}

/// What a part of a name is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A word that tells.
    Word,
    /// One letter that stands for a word.
    Initial,
    /// A number.
    Number,
    /// A legal form, by its class.
    Legal(u16),
    /// `bin`, `van der` and the like.
    Particle,
}

/// What a legal form says.
pub(crate) const LEGAL_WEIGHT: f64 = 0.15;

/// A part of a name.
#[derive(Clone, Debug)]
pub struct Part {
    /// As it is written, in Latin letters.
    pub text: Word,
    /// As it sounds.
    pub(crate) fold: Word,
    /// Its consonants.
    pub(crate) skeleton: Word,
    /// Its consonants, those that are easily confused as one.
    pub(crate) consonants: Word,
    /// It as Chinese and as Korean syllables, once somebody asks.
    syllables: OnceLock<[Word; 2]>,
    pub(super) fold_mask: u32,
    /// The script in which it stood.
    pub script: Script,
    /// What it is.
    pub kind: Kind,
    /// How much it says; 1 for a rare word of usual length.
    pub weight: f64,
    pub(crate) known: Option<&'static Known>,
    /// Whether it is a name that somebody bears.
    pub(super) is_name: bool,
    /// Whether it is an ordinary word.
    pub(super) is_ordinary: bool,
    /// Whether it is part of a name in Chinese syllables.
    pub(super) is_chinese: bool,
}

/// A name, ready to be compared.
#[derive(Clone, Debug)]
pub struct Name {
    /// Its parts in written order, without titles.
    pub parts: Vec<Part>,
    /// What bears it.
    pub subject: Subject,
}

/// Compound family names of China and Korea, as syllables.
const TWO_SYLLABLES: [(&str, &str); 14] = [
    ("ou", "yang"),
    ("si", "ma"),
    ("zhu", "ge"),
    ("shang", "guan"),
    ("si", "tu"),
    ("dong", "fang"),
    ("du", "gu"),
    ("nan", "gong"),
    ("xia", "hou"),
    ("huang", "fu"),
    ("nam", "gung"),
    ("seon", "u"),
    ("je", "gal"),
    ("hwang", "bo"),
];

impl Part {
    /// It as Chinese and as Korean syllables.
    pub(crate) fn syllables(&self) -> &[Word; 2] {
        self.syllables.get_or_init(|| syllables(&self.text))
    }

    /// It as syllables of one of the two languages.
    pub(crate) fn syllables_as(&self, sound: Sound) -> Word {
        let [chinese, korean] = *self.syllables();
        if sound == Sound::Korean { korean } else { chinese }
    }
}

impl Name {
    /// Reads a name.
    pub fn new(name: &str, subject: Subject, tables: &'static Tables) -> Self {
        let mut written = words(name, Some(tables), subject != Subject::Person);
        if subject == Subject::Person {
            written = given_names_together(&initials_apart(&written, tables));
        }
        let mut parts = Reader { written: &written, subject, tables }.parts();
        if subject == Subject::Organisation {
            drop_own_acronym(&mut parts);
        }
        Self::of_parts(parts, subject)
    }

    /// A name of parts that were read.
    pub(crate) fn of_parts(mut parts: Vec<Part>, subject: Subject) -> Self {
        let is_chinese = subject == Subject::Person && pinyin::is_chinese(&parts, tables());
        parts.iter_mut().for_each(|part| part.is_chinese = is_chinese);
        Self { parts, subject }
    }

    /// Whether it is one of Chinese syllables.
    pub(crate) fn is_chinese(&self) -> bool {
        self.parts.first().is_some_and(|part| part.is_chinese)
    }

    /// Whether nothing of it can be compared.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }
}

/// `Yazd Metallurgy Industries (YMI)`: the last word only repeats the others.
fn drop_own_acronym(parts: &mut Vec<Part>) {
    let Some((last, others)) = parts.split_last() else { return };
    let letters = last.text.bytes();
    let initials = || others.iter().map(|part| part.text.first());
    let telling = others
        .iter()
        .filter(|part| part.text.len() > 3 || part.weight >= 0.2)
        .map(|part| part.text.first());
    if letters.len() >= 3
        && (initials().eq(letters.iter().copied()) || telling.eq(letters.iter().copied()))
    {
        parts.pop();
    }
}

/// `JR Smith`: two consonants that are no name known are two initials.
fn initials_apart(written: &[Written], tables: &Tables) -> Vec<Written> {
    let vowel = |letter: &u8| matches!(letter, b'a' | b'e' | b'i' | b'o' | b'u' | b'y');
    let mut out = Vec::with_capacity(written.len());
    for word in written {
        let letters = word.latin.bytes();
        let initials = letters.len() == 2
            && word.script == Script::Latin
            && !letters.iter().any(vowel)
            && tables.known(&word.latin).is_none();
        if initials && written.len() > 1 {
            let letter = |letter: &u8| Written {
                latin: Word::new(char::from(*letter).encode_utf8(&mut [0; 4])),
                ..*word
            };
            out.extend(letters.iter().map(letter));
        } else {
            out.push(*word);
        }
    }
    out.truncate(super::text::NAME_MAX_WORDS);
    out
}

/// A person's name in Chinese or Korean syllables: the family name, then one given name.
fn given_names_together(written: &[Written]) -> Vec<Written> {
    let mut out: Vec<Written> = Vec::with_capacity(written.len());
    let mut at = 0;
    while at < written.len() {
        let run = written[at..]
            .iter()
            .take_while(|word| word.script.is_syllabic() && word.script == written[at].script)
            .count();
        if run < 2 {
            out.push(written[at]);
            at += 1;
            continue;
        }
        let syllables = &written[at..at + run];
        let pair = (syllables[0].latin, syllables[1].latin);
        let compound = run >= 3
            && TWO_SYLLABLES.iter().any(|(a, b)| pair.0.as_str() == *a && pair.1.as_str() == *b);
        let family = if compound { 2 } else { 1 };
        out.push(together(&syllables[..family]));
        out.push(together(&syllables[family..]));
        at += run;
    }
    out
}

/// What a title in front of a name weighs.
const LEADING_TITLE_WEIGHT: f64 = 0.12;

fn together(syllables: &[Written]) -> Written {
    let latin = syllables.iter().fold(Word::EMPTY, |word, syllable| word.join(&syllable.latin));
    Written { latin, ..syllables[0] }
}

/// Classes of legal forms whose full words are words of the name.
const TELLING_CLASSES: [&str; 5] = ["association", "foundation", "trust", "nonprofit", "fund"];

/// Reads the words of a name.
pub(super) struct Reader<'w> {
    pub(super) written: &'w [Written],
    pub(super) subject: Subject,
    pub(super) tables: &'static Tables,
}

impl Reader<'_> {
    fn parts(&self) -> Vec<Part> {
        let mut parts = Vec::with_capacity(self.written.len());
        let mut at = self.prefix();
        while at < self.written.len() {
            if let Some((taken, class)) = self.legal_form(at) {
                let text = self.written[at..at + taken]
                    .iter()
                    .fold(Word::EMPTY, |text, word| text.join(&word.latin));
                let text = if text.is_empty() { Word::new(self.tables.class(class)) } else { text };
                parts.push(part(text, Script::Latin, Kind::Legal(class), LEGAL_WEIGHT, None));
                at += taken;
                continue;
            }
            if self.is_ezafe(at) {
                at += 1;
                continue;
            }
            if let Some((number, taken)) = self.written_out(at) {
                let text = Word::new(&number.to_string());
                let weight = self.weight(Kind::Number, &text, None, at);
                parts.push(part(text, Script::Latin, Kind::Number, weight, None));
                at += taken;
                continue;
            }
            if let Some(part) = self.part(at, parts.len()) {
                parts.push(part);
            }
            at += 1;
        }
        parts
    }

    /// What stands before the names of ships.
    fn prefix(&self) -> usize {
        let text = |at: usize| self.written.get(at).map_or("", |word| word.latin.as_str());
        match (text(0), text(1)) {
            _ if self.subject != Subject::Object || self.written.len() < 2 => 0,
            ("m", "v" | "t") if self.written.len() > 2 => 2,
            ("mv" | "mt" | "ss" | "ms" | "mts" | "fv" | "vessel" | "tanker", _) => 1,
            _ => 0,
        }
    }

    /// The longest legal form that begins here, and how many words it takes.
    fn legal_form(&self, at: usize) -> Option<(usize, u16)> {
        if let Some(class) = self.written[at].legal {
            return Some((1, class));
        }
        if self.subject != Subject::Organisation || self.written.len() < 2 {
            return None;
        }
        let known = self.tables.known(&self.written[at].latin)?;
        let form = known.legal.iter().find(|form| self.has(at + 1, &form.rest))?;
        let taken = 1 + form.rest.len();
        let words = &self.written[at..at + taken];
        let letters: usize = words.iter().map(|word| word.latin.len()).sum();
        // `A B C Trading` is no Swedish company: letters of which there are more are no form.
        let single = |at: Option<usize>| {
            at.and_then(|at| self.written.get(at)).is_some_and(|word| word.latin.len() == 1)
        };
        let spelled = words.iter().all(|word| word.latin.len() == 1);
        if spelled && (single(at.checked_sub(1)) || single(Some(at + taken))) {
            return None;
        }
        // A society, a league and a foundation are called so: the word tells.
        if taken == 1
            && known.organisation.is_some()
            && TELLING_CLASSES.contains(&self.tables.class(form.class))
        {
            return None;
        }
        let at_an_end = at == 0 || self.only_legal_forms_from(at + taken);
        (taken < self.written.len() && (letters > 3 || at_an_end)).then_some((taken, form.class))
    }

    fn has(&self, at: usize, rest: &[Word]) -> bool {
        self.written.len() >= at + rest.len()
            && rest.iter().zip(&self.written[at..]).all(|(a, b)| *a == b.latin)
    }

    fn only_legal_forms_from(&self, at: usize) -> bool {
        self.written[at.min(self.written.len())..].iter().all(|word| {
            word.legal.is_some()
                || self.tables.known(&word.latin).is_some_and(|known| !known.legal.is_empty())
        })
    }

    fn part(&self, at: usize, before: usize) -> Option<Part> {
        let written = &self.written[at];
        let mut text = written.latin;
        let mut known = self.tables.known(&text);
        let generation = self.generation(at);
        if self.subject == Subject::Person
            && generation.is_none()
            && self.is_title(at, before, known)
        {
            return None;
        }
        if written.article
            && let Some(rest) = text.as_str().strip_prefix("al")
        {
            text = Word::new(rest);
            known = self.tables.known(&text);
        }
        if let Some(number) = generation.or_else(|| self.number(at, known)) {
            text = Word::new(&number.to_string());
        } else if text.is_number() {
            text = Word::new(match text.as_str().trim_start_matches('0') {
                "" => "0",
                digits => digits,
            });
        }
        let kind = self.kind(at, &text, known);
        Some(part(text, written.script, kind, self.weight(kind, &text, known, at), known))
    }

    /// The vowel that joins Persian and Urdu words, and is written in many ways: `Lashkar-e-Taiba`.
    fn is_ezafe(&self, at: usize) -> bool {
        let long = |at: Option<usize>| {
            at.and_then(|at| self.written.get(at)).is_some_and(|word| word.latin.len() >= 3)
        };
        self.subject == Subject::Organisation
            && matches!(self.written[at].latin.as_str(), "e" | "i")
            && long(at.checked_sub(1))
            && long(Some(at + 1))
    }

    /// A title of a person is left out, as long as two other words stay.
    fn is_title(&self, at: usize, before: usize, known: Option<&Known>) -> bool {
        let stay = before + (self.written.len() - at - 1);
        known.is_some_and(|known| known.title == Some(Title::Always)) && stay >= 2
    }

    /// Whether it is a title because it leads a name of two other words. It stays: shorter forms of the name may
    /// have it as a word.
    fn leads(&self, at: usize) -> bool {
        let title = |word: &Written| self.tables.known(&word.latin).and_then(|known| known.title);
        let leads = |word| matches!(title(word), Some(Title::Always | Title::Leading));
        self.subject == Subject::Person
            && self.written.len() - at > 2
            && self.written[..=at].iter().all(leads)
    }

    fn kind(&self, at: usize, text: &Word, known: Option<&Known>) -> Kind {
        let written = &self.written[at];
        // A particle stands before a name: what ends one is a name itself, such as Korean il.
        let last = at + 1 == self.written.len() && text.len() < 3;
        if text.is_number() {
            Kind::Number
        } else if (text.len() == 1 || written.single && !text.is_number())
            && !written.script.is_syllabic()
        {
            Kind::Initial
        } else if self.subject == Subject::Person
            && self.written.len() > 1
            && !last
            && known
                .is_some_and(|known| known.particle && !(at == 0 && is_family_name(known, text)))
        {
            Kind::Particle
        } else {
            Kind::Word
        }
    }

    fn weight(&self, kind: Kind, text: &Word, known: Option<&Known>, at: usize) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a word has at most 30 letters")]
        let length = 0.6 + 0.4 * (text.len() as f64 / 5.0).min(1.2);
        let person = || known.and_then(|known| known.person).map_or(1.0, f64::from);
        let organisation = || {
            known
                .and_then(|known| known.organisation)
                .map_or(1.0, |weight| f64::from(weight).max(0.15))
        };
        let title = known.is_some_and(|known| known.title.is_some());
        match (kind, self.subject) {
            (Kind::Number, Subject::Person) => 0.3,
            (Kind::Number, _) => 1.0,
            (Kind::Initial, Subject::Person) => 0.35,
            (Kind::Initial, _) => 0.7,
            (Kind::Legal(_), _) => LEGAL_WEIGHT,
            (Kind::Particle, _) => {
                if at == 0 {
                    0.2
                } else {
                    0.12
                }
            }
            // It says so little that it contradicts nothing.
            (Kind::Word, Subject::Person) if self.leads(at) => LEADING_TITLE_WEIGHT,
            (Kind::Word, Subject::Person) if title => 0.25 * length,
            (Kind::Word, Subject::Person) if is_patronymic(text) => 0.4,
            (Kind::Word, Subject::Person) => person() * length,
            (Kind::Word, Subject::Organisation)
                if text.len() <= 3 && known.is_some_and(|known| known.particle) =>
            {
                0.15
            }
            (Kind::Word, Subject::Organisation) => organisation() * length,
            // Ships are called by ordinary words.
            (Kind::Word, Subject::Object) => (0.4 + 0.6 * organisation()) * length,
        }
    }
}

/// Lo and Thi are names as well: a family name where one stands first.
fn is_family_name(known: &Known, text: &Word) -> bool {
    const NEVER: [&str; 10] = ["al", "el", "bin", "ibn", "ben", "abu", "bint", "umm", "van", "von"];
    !known.groups.is_empty() && !NEVER.contains(&text.as_str())
}

/// A father's name, which is often left out.
fn is_patronymic(text: &Word) -> bool {
    const ENDS: [&str; 12] = [
        "ovich", "evich", "ovna", "evna", "ovych", "yevych", "ivna", "ovitch", "evitch", "oglu",
        "ogly", "qizi",
    ];
    text.len() > 6 && ENDS.iter().any(|end| text.as_str().ends_with(end))
}

/// A part, with all forms of its text.
pub(crate) fn part(
    text: Word,
    script: Script,
    kind: Kind,
    weight: f64,
    known: Option<&'static Known>,
) -> Part {
    let folded = fold(&text);
    Part {
        fold: folded,
        skeleton: skeleton(&folded),
        consonants: consonants_of_fold(&folded),
        syllables: OnceLock::new(),
        fold_mask: folded.mask(),
        text,
        script,
        kind,
        weight,
        known,
        is_name: tables().is_name(&text)
            || known.is_some_and(|known| !known.groups.is_empty() || known.person.is_some()),
        is_ordinary: tables().is_ordinary(&text),
        is_chinese: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(name: &str, subject: Subject) -> Vec<(String, Kind)> {
        let name = Name::new(name, subject, tables());
        name.parts.iter().map(|part| (part.text.to_string(), part.kind)).collect()
    }

    #[test]
    fn parts_are_recognised() {
        let person = parts("Dr. Omar bin J. Laden", Subject::Person);
        let kinds: Vec<_> = person.iter().map(|(_, kind)| *kind).collect();
        assert_eq!(kinds, [Kind::Word, Kind::Particle, Kind::Initial, Kind::Word]);
        let company = parts("Alpha Trading Co., Ltd.", Subject::Organisation);
        assert!(matches!(company.last(), Some((_, Kind::Legal(_)))), "{company:?}");
        assert_eq!(
            parts("M/V Ocean Star IV", Subject::Object)
                .last()
                .map(|(text, kind)| (text.as_str(), *kind)),
            Some(("4", Kind::Number))
        );
        assert_eq!(parts("欧阳锋华", Subject::Person).len(), 2);
    }
}
