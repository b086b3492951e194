//! One part of a name against one of another.

use super::{
    distance::{EDIT_COST, distance, substitution},
    parts::{Kind, Part},
    pinyin,
    script::Script,
    sound::{SYLLABLES_MAX_LETTERS, Sound},
    weights::Weights,
    word::Word,
};
use crate::tables::tables;

/// The shortest beginning that two words of one stem have in common.
const STEM_MIN_LETTERS: usize = 5;

/// How much longer the same syllables can be in another romanisation.
const SYLLABLES_MAX_DIFFERENCE: usize = 3;

/// Why two parts are taken for the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// The same letters.
    Same,
    /// Another spelling of the same sound.
    Sound,
    /// A few letters differ.
    Spelling,
    /// A form of the same name: short, in another language, or another transliteration.
    NameForm,
    /// The beginning of the word.
    Abbreviation,
    /// A word with the same meaning.
    Translation,
    /// The first letter stands for the name.
    Initial,
    /// The consonants of a script that leaves vowels out.
    Consonants,
    /// The same parts, written together or apart.
    Joined,
    /// The same legal form, perhaps in other words.
    LegalForm,
    /// Another legal form.
    OtherLegalForm,
    /// The whole names, as one word.
    Whole,
    /// The first letters of the other name.
    Acronym,
}

fn similarity_of(cost: u16, longest: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "at most 64 letters")]
    let longest = longest.max(1) as f64;
    1.0 - f64::from(cost) / (f64::from(EDIT_COST) * longest)
}

/// The distance allowed for a similarity.
pub(crate) fn most_for(least: f64, longest: usize) -> u16 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "between 0 and 6400"
    )]
    let most = ((1.0 - least) * 100.0 * longest as f64) as u16;
    most
}

/// Similarity of letters, 0 if below `least`.
pub(super) fn letters(a: &[u8], b: &[u8], least: f64) -> f64 {
    let longest = a.len().max(b.len());
    distance(a, b, most_for(least, longest)).map_or(0.0, |cost| similarity_of(cost, longest))
}

/// The least similarity of two words that counts at all.
pub(crate) const LEAST_SIMILARITY: f64 = 0.72;

/// Short words have less room for mistakes.
fn least_similarity(shorter: usize) -> f64 {
    match shorter {
        0..=2 => 0.9,
        _ => LEAST_SIMILARITY,
    }
}

pub(crate) fn alike(a: &Part, b: &Part, person: bool, weights: &Weights) -> Option<(f64, How)> {
    match (a.kind, b.kind) {
        (Kind::Legal(x), Kind::Legal(y)) => {
            Some(if x == y { (1.0, How::LegalForm) } else { (0.5, How::OtherLegalForm) })
        }
        (Kind::Legal(_), _) | (_, Kind::Legal(_)) => {
            misspelt_form(&a.text, &b.text).map(|found| (found, How::LegalForm))
        }
        _ if a.text == b.text => Some((1.0, How::Same)),
        (Kind::Number, _) | (_, Kind::Number) => None,
        (Kind::Initial, _) | (_, Kind::Initial) => initial(a, b),
        _ => words_alike(a, b, person, weights),
    }
}

/// The shortest legal form in which a mistake is recognised.
pub(crate) const MISSPELT_MIN_LETTERS: usize = 4;

/// How alike a legal form and one with a mistake are at least.
pub(crate) const MISSPELT_SIMILARITY: f64 = 0.8;

/// A legal form with a mistake is an unknown word.
pub(crate) fn misspelt_form(a: &Word, b: &Word) -> Option<f64> {
    if a.len().min(b.len()) < MISSPELT_MIN_LETTERS {
        return None;
    }
    let found = letters(a.bytes(), b.bytes(), MISSPELT_SIMILARITY);
    (found > 0.0).then_some(found)
}

/// How alike an initial and a word are.
pub(crate) const INITIAL_SIMILARITY: f64 = 0.82;

fn initial(a: &Part, b: &Part) -> Option<(f64, How)> {
    let particles = a.kind == Kind::Particle || b.kind == Kind::Particle;
    let same = a.text.first() == b.text.first() || a.fold.first() == b.fold.first();
    (same && !particles).then_some((INITIAL_SIMILARITY, How::Initial))
}

fn words_alike(a: &Part, b: &Part, person: bool, weights: &Weights) -> Option<(f64, How)> {
    // What words mean says nothing of people who are called by them.
    let abbreviated =
        |short: &Part, long: &Part| is_term(long) && !is_term(short) && abbreviates(short, long);
    if !person && (abbreviated(a, b) || abbreviated(b, a)) {
        return Some((0.88, How::Abbreviation));
    }
    if let (Some(x), Some(y)) = (a.known, b.known) {
        if !person && x.english.is_some() && x.english == y.english {
            return Some((0.95, How::Translation));
        }
        if x.groups.iter().any(|group| y.groups.contains(group)) {
            return Some((0.94, How::NameForm));
        }
    }
    if !person && (is_adjective_of(&a.text, &b.text) || is_adjective_of(&b.text, &a.text)) {
        return Some((0.88, How::NameForm));
    }
    let sound = Sound::between(a.script, b.script);
    if sound != Sound::Whole {
        return across_scripts(a, b, sound);
    }
    spelled_alike(a, b, person, weights)
}

/// How Slavic adjectives of places and names end: `Kazanskiy` is of Kazan.
const ADJECTIVES: [&str; 10] =
    ["skiy", "skii", "skij", "skyi", "sky", "skaya", "skaia", "skoye", "skoe", "skogo"];

/// The shortest name that an adjective is told by.
pub(crate) const ADJECTIVE_MIN_LETTERS: usize = 4;

/// What an adjective may be of: `Uralskiy` of `ural` or `urala`.
pub(crate) fn of_adjective(text: &Word, mut each: impl FnMut(&Word)) {
    for stem in ADJECTIVES.iter().filter_map(|end| text.as_str().strip_suffix(end)) {
        if stem.len() >= ADJECTIVE_MIN_LETTERS {
            each(&Word::new(stem));
            each(&Word::new(&format!("{stem}a")));
        }
    }
}

/// Whether it is an adjective of a name.
pub(crate) fn is_adjective_of(adjective: &Word, name: &Word) -> bool {
    let mut found = false;
    if adjective.len() > name.len() {
        of_adjective(adjective, |stem| found |= stem == name);
    }
    found
}

fn is_term(part: &Part) -> bool {
    part.known.is_some_and(|known| known.organisation.is_some())
}

/// Whether one is the beginning of the other.
fn abbreviates(short: &Part, long: &Part) -> bool {
    short.text.len() >= 3
        && short.text.len() + 2 <= long.text.len()
        && long.text.bytes().starts_with(short.text.bytes())
}

fn across_scripts(a: &Part, b: &Part, sound: Sound) -> Option<(f64, How)> {
    let (x, y) = (sound.of(&a.text), sound.of(&b.text));
    if x.is_empty() || y.is_empty() {
        return (x == y && a.text.first() == b.text.first()).then_some((0.85, How::Consonants));
    }
    let surplus = surplus(a, b);
    if x == y {
        let sure = match x.len() {
            1 => 0.85,
            2 => 0.92,
            _ => 0.96,
        };
        let found = sure - surplus;
        return (found >= LEAST_SIMILARITY).then_some((found, How::Consonants));
    }
    let found = letters(x.bytes(), y.bytes(), LEAST_SIMILARITY + 0.04) - 0.04 - surplus;
    (found >= LEAST_SIMILARITY).then_some((found, How::Consonants))
}

/// Whether words with these letters are surely further apart: each letter that only one has costs something.
pub(super) fn too_far(a: u32, b: u32, most: u16) -> bool {
    let (only_a, only_b) = ((a & !b).count_ones(), (b & !a).count_ones());
    only_a.max(only_b) * 45 > u32::from(most)
}

/// A word without vowels is not longer than the same word with them.
fn surplus(a: &Part, b: &Part) -> f64 {
    let bare = |part: &Part| matches!(part.script, Script::Arabic | Script::Hebrew);
    let (bare, full) = match (bare(a), bare(b)) {
        (true, false) => (a, b),
        (false, true) => (b, a),
        _ => return 0.0,
    };
    0.05 * f64::from(
        u8::try_from(bare.text.len().saturating_sub(full.text.len() + 1)).unwrap_or(u8::MAX),
    )
}

fn spelled_alike(a: &Part, b: &Part, person: bool, weights: &Weights) -> Option<(f64, How)> {
    let (shorter, longest) = (a.text.len().min(b.text.len()), a.text.len().max(b.text.len()));
    if a.fold == b.fold && shorter >= 3 {
        return Some((0.97, How::Sound));
    }
    let differ = known_to_differ(a, b, person, weights);
    if person
        && differ <= 0.0
        && longest - shorter <= SYLLABLES_MAX_DIFFERENCE
        && longest <= SYLLABLES_MAX_LETTERS
        && same_syllables(a.syllables(), b.syllables())
    {
        return Some((0.9, How::Sound));
    }
    if person
        && a.fold.len() != b.fold.len()
        && a.skeleton.first() == b.skeleton.first()
        && !(is_given(a) && is_given(b))
        && (feminine_of(&a.fold, &b.fold) || feminine_of(&b.fold, &a.fold))
    {
        return Some((0.95, How::NameForm));
    }
    let skeletons = a.skeleton == b.skeleton && a.skeleton.len() >= 3;
    let least = least_similarity(shorter);
    let longest_fold = a.fold.len().max(b.fold.len());
    let far = too_far(a.fold_mask, b.fold_mask, most_for(least, longest_fold));
    if !skeletons && far {
        return None;
    }
    let mut best = letters(a.fold.bytes(), b.fold.bytes(), least);
    if best == 0.0 && !skeletons {
        return None;
    }
    let mut how = How::Spelling;
    if a.text.first() != b.text.first() && a.fold.first() != b.fold.first() {
        best -= weights.first_letter;
    }
    if differ > 0.0 {
        best -= differ;
    } else if skeletons && best < 0.86 {
        (best, how) = (0.86, How::Sound);
    }
    (best >= least).then_some((best, how))
}

/// Whether a table knows it as a given name: Valentina is not the wife of Valentin.
fn is_given(part: &Part) -> bool {
    part.known.is_some_and(|known| !known.groups.is_empty())
}

/// The family name of a woman where that of a man is another: Petrova, Petrov; Sharapovskaya, Sharapovsky.
fn feminine_of(woman: &Word, man: &Word) -> bool {
    let (woman, man) = (woman.as_str(), man.as_str());
    let plain = ["ova", "eva", "ina"].iter().any(|end| woman.ends_with(end))
        && woman.strip_suffix('a') == Some(man);
    let adjective =
        woman.strip_suffix("skaia").or_else(|| woman.strip_suffix("tskaia")).is_some_and(|stem| {
            man.strip_suffix("ski").or_else(|| man.strip_suffix("skii")) == Some(stem)
        });
    man.len() >= 4 && (plain || adjective)
}

/// The same Chinese or Korean syllables in another romanisation.
pub(super) fn same_syllables(a: &[Word; 2], b: &[Word; 2]) -> bool {
    a.iter().zip(b).any(|(a, b)| a.len() >= 3 && a == b)
}

/// Whether only one consonant differs, within the words, and is easily mistaken: `Kozak`, `Kosak`.
fn sounds_alike(a: &Word, b: &Word) -> bool {
    let vowel = |letter: u8| matches!(letter, b'a' | b'e' | b'i' | b'o' | b'u' | b'y');
    let mut differ = a.bytes().iter().zip(b.bytes()).enumerate().filter(|(_, (a, b))| a != b);
    let (Some((at, (x, y))), None) = (differ.next(), differ.next()) else { return false };
    a.len() == b.len()
        && a.len() >= 5
        && at > 0
        && !vowel(*x)
        && !vowel(*y)
        && substitution(*x)[usize::from(*y)] < 100
}

/// Whether two words of organisations are of one stem: `petroleum`, `petrol`.
fn is_of_stem(a: &Part, b: &Part, person: bool) -> bool {
    let (a, b) = (a.text.bytes(), b.text.bytes());
    let same = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    !person && same >= STEM_MIN_LETTERS && same * 2 > a.len().max(b.len())
}

/// What two words lose that both are known: they are rather two names than one with a mistake. Of words of which
/// no more is known than that they are names, only if their consonants differ: vowels are written in many ways.
fn known_to_differ(a: &Part, b: &Part, person: bool, weights: &Weights) -> f64 {
    let is_common = |part: &Part| {
        part.known.is_some_and(|known| !known.groups.is_empty() || known.person.is_some())
    };
    let sound_apart = !sounds_alike(&a.fold, &b.fold);
    let known = is_common(a) && is_common(b) && sound_apart
        || !is_of_stem(a, b, person)
            && (is_term(a) && is_term(b) || !person && a.is_ordinary && b.is_ordinary)
        || a.is_chinese && b.is_chinese && pinyin::differ(&a.text, &b.text, tables());
    let names = a.is_name && b.is_name && a.consonants != b.consonants && sound_apart;
    // What more is known never makes them more alike: an index does not know of whole names.
    let lost = |known: bool, lost: f64| if known { lost } else { 0.0 };
    lost(known, weights.known_to_differ).max(lost(names, weights.names_differ))
}
