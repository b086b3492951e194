//! Which words of an index are alike to a part of a name, and in which parts of names they stand.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::{
    bounds::Plan,
    build::word_keys,
    company::Company,
    gathered::Misspelt,
    layout::{self, Space, View, group, script_of},
    letters::Letters,
    records::{Parts, Record},
};
use crate::names::{
    How, INITIAL_SIMILARITY, Kind, LEAST_SIMILARITY, MISSPELT_MIN_LETTERS, Part, Sound, Subject,
    Weights, Word, alike, distance, fold, most_for, of_adjective,
};
use crate::tables::{Known, tables};

/// What is known about two parts.
pub enum Look {
    /// They are not alike.
    Apart,
    /// They are, this much.
    Alike(f64, How),
    /// Their letters allow at most this much, and they are less alike than what was looked for.
    Unknown(f64),
}

/// A part of the name that is looked for.
pub struct Sought<'q> {
    part: &'q Part,
    letters: Letters,
    /// Words that are this legal form with a mistake, if it is so long that one is seen.
    misspelt: Option<Arc<Misspelt>>,
    /// How alike each part of the index is that was looked at; `None` for not at all.
    alike: FxHashMap<u32, Option<(f64, How)>>,
    /// Parts that are alike for another reason than their letters.
    odd: FxHashMap<u32, (f64, How)>,
    /// Whether everything that is alike was looked at, as for an initial.
    is_complete: bool,
    group: usize,
    share: u16,
    /// Parts of the index that are so alike that their names are looked at.
    pub strong: Vec<u32>,
}

impl<'q> Sought<'q> {
    /// Finds all parts of the index whose similarity is at least `least`.
    pub fn new(
        view: &View<'_>,
        parts: &mut Parts,
        part: &'q Part,
        subject: Subject,
        plan: &Plan,
        weights: &Weights,
    ) -> Self {
        let least = plan.least;
        let letters = Letters::of(part.fold.bytes());
        let is_legal = matches!(part.kind, Kind::Legal(_));
        let is_long = part.text.len() >= MISSPELT_MIN_LETTERS;
        let mut sought = Self {
            part,
            letters,
            misspelt: (is_legal && is_long).then(|| view.gathered.misspelt(view, &part.text)),
            alike: FxHashMap::default(),
            odd: FxHashMap::default(),
            is_complete: false,
            group: group(part.script),
            share: share(LEAST_SIMILARITY),
            strong: Vec::new(),
        };
        let mut words = Vec::new();
        sought.by_letters(view, least, &mut words);
        sought.by_keys(view, subject, &mut words);
        words.sort_unstable();
        words.dedup();
        for word in words {
            for other in view.parts_of(word) {
                if view.part_subject(other) != subject {
                    continue;
                }
                let read = parts.get(view, other);
                let found = sought.measure(other, read, subject, weights);
                let record = view.record(other);
                if !sought.by_misspelling(&record) && !sought.may_be_alike(&record) {
                    found.iter().for_each(|found| {
                        sought.odd.insert(other, *found);
                    });
                }
                if found.is_some_and(|(found, _)| found >= least) {
                    sought.strong.push(other);
                }
            }
        }
        if let Some(misspelt) = &sought.misspelt {
            let words = misspelt.words().filter(|(_, similarity)| *similarity >= least);
            let parts = words.flat_map(|(word, _)| view.parts_of(word));
            let is_one = |part: &u32| {
                let record = view.record(*part);
                record.subject == subject && sought.by_misspelling(&record)
            };
            let parts: Vec<u32> = parts.filter(is_one).collect();
            sought.strong.extend(parts);
        }
        // A legal form may be misspelt, an initial stands for any word.
        if part.kind != Kind::Number && (part.kind != Kind::Initial || least <= INITIAL_SIMILARITY)
        {
            // These weigh what the lighter side does, so where small parts do not count all are looked at.
            let least = if plan.leaves_out(part.kind) { least } else { plan.least_short() };
            sought.by_kind(view, parts, subject, least, weights);
        }
        sought
    }

    /// What is known about a part of the index.
    pub fn look(&self, number: u32, other: &Record) -> Look {
        if self.by_misspelling(other) {
            let misspelt = self.misspelt.as_ref().and_then(|known| known.similarity(other.word));
            return misspelt.map_or(Look::Apart, |found| Look::Alike(found, How::LegalForm));
        }
        // Those that are alike for another reason than their letters were found by their keys.
        if !self.may_be_alike(other) {
            return self
                .odd
                .get(&number)
                .map_or(Look::Apart, |(found, how)| Look::Alike(*found, *how));
        }
        match self.alike.get(&number) {
            Some(found) => found.map_or(Look::Apart, |(found, how)| Look::Alike(found, how)),
            None if self.is_complete => Look::Apart,
            None if self.by_letters_alone(other) => {
                Look::Unknown(self.letters.most_similar(other.letters))
            }
            None => Look::Unknown(1.0),
        }
    }

    /// How alike a part of the index is; remembered.
    pub fn measure(
        &mut self,
        number: u32,
        other: &Part,
        subject: Subject,
        weights: &Weights,
    ) -> Option<(f64, How)> {
        let person = subject == Subject::Person;
        let found = alike(self.part, other, person, weights);
        self.alike.insert(number, found);
        found
    }

    /// The same for one that was not looked at, as a part of an index. Nearly all of these are not alike, which is
    /// seen without reading all of the part.
    pub fn measure_unknown(
        &mut self,
        view: &View<'_>,
        parts: &mut Parts,
        number: u32,
        subject: Subject,
        weights: &Weights,
    ) -> Option<(f64, How)> {
        let other = view.record(number);
        if self.by_letters_alone(&other) {
            let theirs = fold(&view.text(other.word));
            let ours = &self.part.fold;
            let most = most_for(LEAST_SIMILARITY, ours.len().max(theirs.len()));
            if distance(ours.bytes(), theirs.bytes(), most).is_none() {
                self.alike.insert(number, None);
                return None;
            }
        }
        self.measure(number, parts.get(view, number), subject, weights)
    }

    /// Finds parts that stand beside another and whose similarity is at least `least`, and perhaps others that are
    /// alike.
    pub fn beside(
        &mut self,
        view: &View<'_>,
        parts: &mut Parts,
        company: &Company<'_>,
        (subject, weights): (Subject, &Weights),
        least: f64,
        found: &mut Vec<u32>,
    ) {
        let mut near = Vec::new();
        if matches!(self.part.kind, Kind::Word | Kind::Particle) {
            let space = Space::of(view.image, 0, Sound::Whole);
            let form = self.part.fold.bytes();
            let share = share(least);
            space.beginnings.near_among(form, &self.letters, share, company.forms, |place| {
                let words = space.words.get(place).iter();
                near.extend(words.flat_map(|word| view.parts_of(word.get())));
            });
            near.extend(company.others.iter().map(|other| other.get()));
        }
        for other in near {
            if view.part_subject(other) == subject && !self.alike.contains_key(&other) {
                self.measure_unknown(view, parts, other, subject, weights);
            }
        }
        found.extend(self.alike.iter().filter(|(_, found)| found.is_some()).map(|(part, _)| *part));
    }

    /// Finds parts that stand beside another and are this legal form with a mistake.
    pub fn misspelt_beside(
        &self,
        view: &View<'_>,
        company: &Company<'_>,
        subject: Subject,
        found: &mut Vec<u32>,
    ) {
        let Some(misspelt) = &self.misspelt else { return };
        let space = Space::of(view.image, 0, Sound::Whole);
        let here =
            |place: &&u32| company.forms.binary_search_by_key(*place, |form| form.get()).is_ok();
        let words = misspelt.places.iter().filter(here);
        let words = words.flat_map(|place| space.words.get(*place as usize));
        let near = words.flat_map(|word| view.parts_of(word.get()));
        let near = near.chain(company.others.iter().map(|other| other.get()));
        found.extend(near.filter(|other| {
            let record = view.record(*other);
            record.subject == subject
                && self.by_misspelling(&record)
                && matches!(self.look(*other, &record), Look::Alike(..))
        }));
    }

    /// Whether what stands beside a part is found among forms in Latin and kindred scripts.
    pub fn can_be_beside(&self) -> bool {
        self.group == 0 && self.part.kind != Kind::Initial
    }

    /// Whether an initial may stand for a word, which it does if that begins with the same letter or sound; seen
    /// without reading the word as a part.
    fn may_stand_for(&self, view: &View<'_>, other: &Record) -> bool {
        if !matches!(other.kind, Kind::Word | Kind::Initial) {
            return true;
        }
        // No sound has more letters than `stsch`.
        let letters = view.words.get(other.word as usize);
        let beginning = Word::of_letters(letters.iter().take(6));
        beginning.first() == self.part.text.first()
            || fold(&beginning).first() == self.part.fold.first()
    }

    /// Whether letters alone decide, but for what is found by keys.
    fn by_letters_alone(&self, other: &Record) -> bool {
        let word = |kind: Kind| matches!(kind, Kind::Word | Kind::Particle);
        other.group == self.group && word(other.kind) && word(self.part.kind)
    }

    /// Whether this is a legal form and the other is not, so that it could only be the same with a mistake.
    fn by_misspelling(&self, other: &Record) -> bool {
        let is_legal = |kind: Kind| matches!(kind, Kind::Legal(_));
        is_legal(self.part.kind) && !is_legal(other.kind)
    }

    /// Whether the letters allow it, or something else than letters may decide.
    fn may_be_alike(&self, other: &Record) -> bool {
        !self.by_letters_alone(other) || self.letters.may_be_near(other.letters, self.share)
    }

    fn by_letters(&self, view: &View<'_>, least: f64, words: &mut Vec<u32>) {
        for of in 0..layout::GROUPS {
            let sound = Sound::between(self.part.script, script_of(of));
            let same = group(self.part.script) == of;
            let sound = if same { Sound::Whole } else { sound };
            let space = Space::of(view.image, of, sound);
            if space.forms.is_empty() {
                continue;
            }
            let lost = if sound == Sound::Whole { 0.0 } else { 0.04 };
            let share = share(least + lost);
            let form = sound.of(&self.part.text);
            let mut take =
                |place: usize| words.extend(space.words.get(place).iter().map(|word| word.get()));
            if form.is_empty() {
                space.forms.find(&[]).into_iter().for_each(&mut take);
                continue;
            }
            let letters =
                if sound == Sound::Whole { None } else { Some(Letters::of(form.bytes())) };
            let letters = letters.as_ref().unwrap_or(&self.letters);
            let half = form.len().div_ceil(2);
            space.beginnings.near(form.bytes(), letters, half, share, &mut take);
            let back = form.reversed();
            space.endings.near(back.bytes(), letters, form.len() - half, share, &mut take);
        }
    }

    /// Words that are alike for another reason than their letters.
    fn by_keys(&self, view: &View<'_>, subject: Subject, words: &mut Vec<u32>) {
        let mut text = |text: &Word| words.extend(view.words_of(text));
        text(&self.part.text);
        let known = self.part.known;
        if let Some(known) = known {
            kin(known, subject, &mut text);
        }
        if subject == Subject::Person {
            let forms: Vec<Word> = feminine(&self.part.fold);
            forms.iter().for_each(|form| view.words_that_sound(form, words));
        } else {
            view.abbreviations(&self.part.text, words);
            of_adjective(&self.part.text, |name| words.extend(view.words_of(name)));
            view.adjectives(&self.part.text, words);
        }
        word_keys(self.part, |key| {
            words.extend(view.word_hashes.get(key).iter().map(|word| word.get()));
        });
    }

    /// Parts of a kind, each of which may be alike.
    fn by_kind(
        &mut self,
        view: &View<'_>,
        parts: &mut Parts,
        subject: Subject,
        least: f64,
        weights: &Weights,
    ) {
        let all = 0..u32::try_from(view.parts.len()).unwrap_or(u32::MAX);
        let initial = self.part.kind == Kind::Initial;
        let short_forms = view.gathered.short_forms(view).iter().copied();
        let wanted: Vec<u32> = if initial { all.collect() } else { short_forms.collect() };
        for other in wanted {
            let record = view.record(other);
            if record.subject != subject || initial && !self.may_stand_for(view, &record) {
                continue;
            }
            let found = self.measure(other, parts.get(view, other), subject, weights);
            if found.is_some_and(|(found, _)| found >= least) {
                self.strong.push(other);
            }
        }
        self.is_complete = initial;
        self.strong.sort_unstable();
        self.strong.dedup();
    }

    /// The part that is looked for.
    pub fn part(&self) -> &'q Part {
        self.part
    }
}

/// What is allowed for each letter, rounded up.
pub fn share(least: f64) -> u16 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 100")]
    let share = ((1.0 - least).clamp(0.0, 1.0) * 100.0 + 1e-6).ceil() as u16;
    share
}

/// Words that are forms of the same name, or the same word in other languages.
fn kin(known: &Known, subject: Subject, each: &mut impl FnMut(&Word)) {
    let tables = tables();
    for group in &known.groups {
        tables.of_group(*group).iter().for_each(&mut *each);
    }
    if subject != Subject::Person
        && let Some(english) = known.english
    {
        tables.of_english(english).iter().for_each(each);
    }
}

/// Folded forms of family names of the other gender.
fn feminine(fold: &Word) -> Vec<Word> {
    let text = fold.as_str();
    let mut forms = Vec::new();
    let mut add = |text: String| forms.push(Word::new(&text));
    if ["ov", "ev", "in"].iter().any(|end| text.ends_with(end)) {
        add(format!("{text}a"));
    }
    if ["ova", "eva", "ina"].iter().any(|end| text.ends_with(end)) {
        add(text[..text.len() - 1].to_owned());
    }
    for stem in [text.strip_suffix("ski"), text.strip_suffix("skii")].into_iter().flatten() {
        add(format!("{stem}skaia"));
        add(format!("{stem}tskaia"));
    }
    for stem in [text.strip_suffix("skaia"), text.strip_suffix("tskaia")].into_iter().flatten() {
        add(format!("{stem}ski"));
        add(format!("{stem}skii"));
    }
    forms
}
