//! Parts that one name writes together and another apart.

use super::{
    alike::{letters, most_for, same_syllables, too_far},
    parts::{Kind, Name, Part},
    script::Script,
    sound::{SYLLABLES_MAX_LETTERS, Sound, fold, syllables},
    word::Word,
};

/// Two or three parts of `many` that together are one part of `single`. The parts stand in a circle: a list
/// puts the family name first, a passport last.
pub(super) fn joined(
    many: &Name,
    single: &Name,
    mut found: impl FnMut((usize, usize), (usize, usize), f64),
) {
    let parts = many.parts.len();
    let longest = single.parts.iter().map(|part| part.text.len()).max().unwrap_or(0);
    for first in 0..parts {
        let mut run = Run::of(&many.parts[first]);
        for count in 2..=3usize.min(parts) {
            let next = &many.parts[(first + count - 1) % parts];
            if !can_join(&many.parts[first])
                || !can_join(next)
                || count == 3 && parts == 3 && first > 0
            {
                break;
            }
            run.add(next);
            if run.text.len() > longest + 4 {
                break;
            }
            for (at, part) in single.parts.iter().enumerate() {
                if let Some(similarity) = run.is(part) {
                    found((first, count), (at, 1), similarity);
                }
            }
        }
    }
}

/// Parts written together.
struct Run {
    text: Word,
    mask: u32,
    /// The same where the Arabic article takes the sound of the next letter: `al din` is said `addin`.
    assimilated: Option<Word>,
    script: Script,
    article: bool,
    /// Made when the first part comes near enough.
    forms: Option<Forms>,
}

/// A run as it sounds.
#[derive(Clone, Copy)]
struct Forms {
    fold: Word,
    assimilated: Word,
}

impl Run {
    fn of(part: &Part) -> Self {
        Self {
            text: part.text,
            mask: part.mask,
            assimilated: None,
            script: part.script,
            article: false,
            forms: None,
        }
    }

    fn add(&mut self, part: &Part) {
        if self.script == Script::Latin {
            self.script = part.script;
        }
        if self.article
            && matches!(part.text.first(), b'd' | b'n' | b'r' | b's' | b't' | b'z' | b'l')
        {
            let mut before = self.text;
            before.pop();
            self.assimilated = Some(before.join(&part.text));
        }
        self.article =
            part.kind == Kind::Particle && matches!(part.text.as_str(), "al" | "el" | "ul" | "ol");
        self.text = self.text.join(&part.text);
        self.mask |= part.mask;
        self.forms = None;
    }

    fn forms(&mut self) -> Forms {
        *self.forms.get_or_insert_with(|| Forms {
            fold: fold(&self.text),
            assimilated: self.assimilated.map_or(Word::EMPTY, |text| fold(&text)),
        })
    }

    fn is(&mut self, part: &Part) -> Option<f64> {
        if part.kind != Kind::Word || self.text.len() < 4 {
            return None;
        }
        let sound = Sound::between(self.script, part.script);
        if sound != Sound::Whole {
            let (x, y) = (sound.of(&self.text), sound.of(&part.text));
            let similarity = letters(x.bytes(), y.bytes(), 0.8) - 0.05;
            return (x.len() >= 3 && similarity > 0.75).then_some(similarity);
        }
        if self.text.len().abs_diff(part.text.len()) > 3 {
            return None;
        }
        // Romanisations of one syllable differ by more letters than mistakes do.
        let longest = self.text.len().max(part.text.len());
        if too_far(self.mask, part.mask, most_for(0.84, longest) + 140) {
            return None;
        }
        if self.text == part.text {
            return Some(0.99);
        }
        let forms = self.forms();
        if forms.fold == part.fold {
            return Some(0.96);
        }
        let near = |fold: &Word| {
            if fold.is_empty() { 0.0 } else { letters(fold.bytes(), part.fold.bytes(), 0.84) }
        };
        let similarity = near(&forms.fold).max(near(&forms.assimilated)) - 0.02;
        if longest <= SYLLABLES_MAX_LETTERS
            && same_syllables(&syllables(&self.text), part.syllables())
        {
            return Some(0.96);
        }
        (similarity > 0.8).then_some(similarity)
    }
}

fn can_join(part: &Part) -> bool {
    part.kind != Kind::Number && !part.text.is_empty()
}
