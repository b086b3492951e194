//! Parts that one name writes together and another apart.
//!
//! A run of parts can be one part of another name only where a key of both is the same: the consonants, the
//! syllables, or the letters of what has hardly any consonants. The key of a run is the keys of its parts,
//! one behind the other, so an index can keep them.

use std::cell::OnceCell;

use super::{
    alike::letters,
    parts::{Kind, Name, Part},
    script::Script,
    sound::{Sound, fold},
    word::Word,
};

/// Consonants from which on they are the key.
pub(crate) const KEY_MIN_CONSONANTS: usize = 3;

/// How much longer or shorter parts may be that are written together, in one script.
pub(crate) const JOINED_MAX_DIFFERENCE: usize = 3;

/// The longest word of one syllable: `zhuang`, `kyeong`.
const SYLLABLE_MAX_LETTERS: usize = 7;

/// Two or three parts of `many` that together are one part of `single`.
pub(super) fn joined(
    many: &Name,
    single: &Name,
    mut found: impl FnMut((usize, usize), (usize, usize), f64),
) {
    let longest = single.parts.iter().map(|part| part.text.len()).max().unwrap_or(0);
    runs(&many.parts, longest + 4, |place, run| {
        for (at, part) in single.parts.iter().enumerate() {
            if let Some(similarity) = run.is(part) {
                found(place, (at, 1), similarity);
            }
        }
    });
}

/// All runs of two or three parts. The parts stand in a circle: a list puts the family name first, a
/// passport last.
pub(crate) fn runs<'n>(
    parts: &'n [Part],
    longest: usize,
    mut each: impl FnMut((usize, usize), &Run<'n>),
) {
    let count = parts.len();
    for first in 0..count {
        let mut run = Run::of(&parts[first]);
        for taken in 2..=3usize.min(count) {
            let next = &parts[(first + taken - 1) % count];
            if !can_join(&parts[first], next) || taken == 3 && count == 3 && first > 0 {
                break;
            }
            run.add(next);
            if run.text.len() > longest {
                break;
            }
            each((first, taken), &run);
        }
    }
}

fn can_join(first: &Part, next: &Part) -> bool {
    // A word that a table knows by its original letters is written in Latin ones.
    let latin = |part: &Part| part.script == Script::Latin;
    let one_script = first.script == next.script || latin(first) || latin(next);
    let word = |part: &Part| part.kind != Kind::Number && !part.text.is_empty();
    word(first) && word(next) && one_script
}

/// Parts written together.
pub(crate) struct Run<'n> {
    text: Word,
    /// The same where the Arabic article takes the sound of the next letter: `al din` is said `addin`.
    assimilated: Option<Word>,
    article: bool,
    script: Script,
    parts: [Option<&'n Part>; 3],
    forms: Forms,
}

/// Forms of a run that many parts are held against, once somebody asks.
#[derive(Default)]
struct Forms {
    consonants: [OnceCell<Word>; 2],
    syllables: [OnceCell<Option<Word>>; 2],
    fold: OnceCell<Word>,
}

/// One behind the other; a letter that would stand twice stands once.
fn behind(mut before: Word, next: &Word) -> Word {
    let rest = next.bytes();
    let doubled = usize::from(!rest.is_empty() && before.last() == next.first());
    rest[doubled..].iter().for_each(|letter| before.push(*letter));
    before
}

impl<'n> Run<'n> {
    fn of(part: &'n Part) -> Self {
        Self {
            text: part.text,
            assimilated: None,
            article: is_article(part),
            script: part.script,
            parts: [Some(part), None, None],
            forms: Forms::default(),
        }
    }

    fn add(&mut self, part: &'n Part) {
        if self.script == Script::Latin {
            self.script = part.script;
        }
        if self.article && is_sun_letter(part.text.first()) {
            let mut before = self.text;
            before.pop();
            self.assimilated = Some(before.join(&part.text));
        }
        self.article = is_article(part);
        self.text = self.text.join(&part.text);
        self.forms = Forms::default();
        if let Some(free) = self.parts.iter_mut().find(|part| part.is_none()) {
            *free = Some(part);
        }
    }

    fn parts(&self) -> impl Iterator<Item = &'n Part> {
        self.parts.iter().flatten().copied()
    }

    /// The consonants; an article that takes the sound of the next letter has none of its own.
    pub(crate) fn consonants(&self, assimilated: bool) -> Word {
        *self.forms.consonants[usize::from(assimilated)]
            .get_or_init(|| self.find_consonants(assimilated))
    }

    fn find_consonants(&self, assimilated: bool) -> Word {
        let mut form = Word::EMPTY;
        let mut parts = self.parts().peekable();
        while let Some(part) = parts.next() {
            let sun = parts.peek().is_some_and(|next| is_sun_letter(next.text.first()));
            if !(assimilated && sun && is_article(part)) {
                form = behind(form, &part.consonants);
            }
        }
        form
    }

    /// The consonants with an article that is not written: Abdulmalik is `عبد الملك`, the article of which stands with
    /// the second word, and Abd Malik.
    pub(crate) fn consonants_with_article(&self) -> Option<Word> {
        let [Some(first), Some(second), third] = self.parts else { return None };
        let text = |part: &'n Part| part.text.as_str();
        if third.is_some() || text(first) != "abd" && !matches!(text(second), "din" | "dyn") {
            return None;
        }
        Some(behind(behind(first.consonants, &Word::new("l")), &second.consonants))
    }

    /// The whole, where each part is one Chinese or Korean syllable.
    pub(crate) fn syllables(&self, sound: Sound) -> Option<Word> {
        *self.forms.syllables[usize::from(sound == Sound::Korean)].get_or_init(|| {
            self.parts().all(|part| is_one_syllable(&part.text)).then(|| sound.of(&self.text))
        })
    }

    /// As it sounds.
    pub(crate) fn fold(&self) -> &Word {
        self.forms.fold.get_or_init(|| fold(&self.text))
    }

    /// Whether a word is one of the parts: it is rather that one than all of them together.
    pub(crate) fn has(&self, word: &Word) -> bool {
        self.parts().any(|part| part.kind == Kind::Word && part.text == *word)
    }

    pub(crate) fn text(&self) -> &Word {
        &self.text
    }

    /// Whether one of the parts has all the consonants, beside vowels and legal forms. Vowels are misspelt so often
    /// that a word with a few more of them is rather that part alone: `OOO` is not written together with a name.
    pub(crate) fn is_of_one(&self) -> bool {
        let all = self.consonants(false);
        let has_all = |part: &Part| part.consonants == all;
        let is_little =
            |part: &Part| part.consonants.is_empty() || matches!(part.kind, Kind::Legal(_));
        self.parts().any(has_all) && self.parts().all(|part| has_all(part) || is_little(part))
    }

    /// How alike it is to one part.
    pub(crate) fn is(&self, part: &Part) -> Option<f64> {
        if part.kind != Kind::Word || self.text.len() < 4 {
            return None;
        }
        let sound = Sound::between(self.script, part.script);
        let difference = self.text.len().abs_diff(part.text.len());
        if sound == Sound::Whole && difference > JOINED_MAX_DIFFERENCE {
            return None;
        }
        let syllables = |sound: Sound| {
            let theirs = part.syllables_as(sound);
            theirs.len() >= 3 && self.syllables(sound).is_some_and(|ours| ours == theirs)
        };
        let same_syllables = match sound {
            Sound::Whole => syllables(Sound::Chinese) || syllables(Sound::Korean),
            Sound::Chinese | Sound::Korean => syllables(sound),
            _ => false,
        };
        if same_syllables {
            return Some(0.96);
        }
        if part.consonants.len() < KEY_MIN_CONSONANTS {
            return (self.text == part.text).then_some(0.99);
        }
        let plain = self.consonants(false) == part.consonants;
        if !plain && self.consonants(true) != part.consonants {
            let with_article =
                self.consonants_with_article().is_some_and(|ours| ours == part.consonants);
            return with_article.then_some(0.94);
        }
        if plain && self.is_of_one() && *self.fold() != part.fold {
            return None;
        }
        if sound != Sound::Whole {
            let (x, y) = (sound.of(&self.text), sound.of(&part.text));
            let similarity = letters(x.bytes(), y.bytes(), 0.8) - 0.05;
            return (x.len() >= 3 && similarity > 0.75).then_some(similarity);
        }
        if self.text == part.text {
            return Some(0.99);
        }
        let near = |fold: &Word| {
            if *fold == part.fold { 0.98 } else { letters(fold.bytes(), part.fold.bytes(), 0.8) }
        };
        let assimilated = self.assimilated.as_ref().map(fold);
        let similarity = near(self.fold()).max(assimilated.as_ref().map_or(0.0, near)) - 0.02;
        (similarity > 0.78).then_some(similarity)
    }
}

/// Whether two or three parts, written together, are another part.
pub(crate) fn is_written_apart(parts: &[&Part], whole: &Part) -> bool {
    let [first, rest @ ..] = parts else { return false };
    let mut run = Run::of(first);
    rest.iter().for_each(|part| run.add(part));
    run.is(whole).is_some()
}

fn is_article(part: &Part) -> bool {
    part.kind == Kind::Particle && matches!(part.text.as_str(), "al" | "el" | "ul" | "ol")
}

fn is_sun_letter(letter: u8) -> bool {
    matches!(letter, b'd' | b'n' | b'r' | b's' | b't' | b'z' | b'l')
}

fn is_one_syllable(text: &Word) -> bool {
    let vowel = |letter: u8| matches!(letter, b'a' | b'e' | b'i' | b'o' | b'u' | b'y');
    let mut before = false;
    let mut groups = 0;
    for letter in text.bytes() {
        groups += usize::from(vowel(*letter) && !before);
        before = vowel(*letter);
    }
    groups == 1 && text.len() <= SYLLABLE_MAX_LETTERS
}
